"""What must always hold (spec/2, section 5), checked against the exchange's truth while a day runs.

``Watch`` passes each event to the checks that it concerns: orders, money, halts, limits, progress, and the account.
What can break at a step is checked when something changed at the exchange or in the records; what may be wrong for a
moment (a fill on its way, a stop being placed) has a deadline that follows from what struck
(:mod:`.account_checks`); what only time shows is checked every half minute. No check changes the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.core import Engine
from quantum_trader.journal.lines import check_line
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.account_checks import AccountChecks
from quantum_trader.lab.simulation.check_context import CheckContext
from quantum_trader.lab.simulation.deadlines import Bounds, Disruptions
from quantum_trader.lab.simulation.exchange import SimulatedExchange
from quantum_trader.lab.simulation.halt_checks import HaltChecks
from quantum_trader.lab.simulation.limit_checks import LimitChecks
from quantum_trader.lab.simulation.money_checks import MoneyChecks
from quantum_trader.lab.simulation.order_checks import OrderChecks
from quantum_trader.lab.simulation.progress_checks import ProgressChecks
from quantum_trader.lab.simulation.trader_view import Safety

CHECK_EVERY_S: Final = 30.0


class Watch:
    """Every check of one day. *disruptions* holds what struck when, *bounds* how long it takes to find out."""

    def __init__(self, exchange: SimulatedExchange, disruptions: Disruptions, bounds: Bounds) -> None:
        self.context = CheckContext(exchange, disruptions, bounds)
        self.orders = OrderChecks(self.context)
        self.money = MoneyChecks(self.context)
        self.halts = HaltChecks(self.context)
        self.limits = LimitChecks(self.context)
        self.progress = ProgressChecks(self.context)
        self.account = AccountChecks(self.context)
        self.engine: Engine | None = None  # of the trader that runs now
        self.replaying = False  # it replays its inputs after a start
        self.checks = 0
        self._version = -1  # of the exchange, when it was last checked
        self._records = 0
        self._accepted = 0  # acceptances checked

    # ------------------------------------------------------------------ after every step

    def after_step(self) -> None:
        """Raise Broken if something broke; check the account when the exchange has changed."""
        if self.context.exchange.version != self._version:
            self._version = self.context.exchange.version
            self._take_in()
            self.limits.sample()
            self.account.moved()
        if self.context.broken is not None:
            raise self.context.broken

    def _take_in(self) -> None:
        """Check the orders that the exchange has accepted since the last time, and index its fills."""
        accepted = self.context.exchange.accepted
        while self._accepted < len(accepted):
            taken = accepted[self._accepted]
            self._accepted += 1
            if taken.by_trader:
                self.orders.accepted(taken)
                if not taken.request.reduce_only:
                    self.halts.opening_accepted(taken.request)
        self.money.index_fills()

    def sent(self, request: OrderRequest, *, arrives: bool) -> None:
        """An order leaves the trader; *arrives* unless the trader learns that it certainly did not."""
        self.account.sent(request.client_order_id)
        self.orders.sent(request, arrives=arrives)

    def requested(self, action: str) -> None:
        """The trader has taken an operator's request; after a flatten the account becomes and stays flat."""
        self.halts.requested(action)
        if action in ("resume", "flatten"):
            self.account.flatten(action == "flatten")

    # ------------------------------------------------------------------ records

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record of the engine, as its sink."""
        self._records += 1
        try:
            check_line(topic, ts_ns, line)
        except (DataError, InputError) as error:
            self.context.fail("every record is what its topic says", str(error))
        check = _RECORDS.get(topic)
        if check is not None and self.engine is not None:
            record = msgspec.json.decode(line)
            check(self, record["data"], self.engine)
            if topic == "halt.raised":
                self.limits.raised(record["data"], ts_ns, self.engine)

    def _order_made(self, data: dict[str, Any], engine: Engine) -> None:
        order = msgspec.convert(data, OrderRequest)
        self.orders.made(order, engine, replaying=self.replaying)
        if self.replaying or order.reduce_only:
            return
        self.halts.opening_made(order, engine)
        self.progress.opening_made(order, engine)
        self.money.sized(engine, books_agree=self.account.books_agree())

    def _order_updated(self, data: dict[str, Any], engine: Engine) -> None:
        self.orders.updated(data)

    def _filled(self, data: dict[str, Any], engine: Engine) -> None:
        self._take_in()
        self.money.filled(data)

    def _cash_adjusted(self, data: dict[str, Any], engine: Engine) -> None:
        self.money.adjusted(data, engine)
        self.halts.adjusted(data)

    def _bars_taken(self, data: dict[str, Any], engine: Engine) -> None:
        self.money.bars_taken(engine)

    def _halt_raised(self, data: dict[str, Any], engine: Engine) -> None:
        self.halts.raised(data)

    def _halt_cleared(self, data: dict[str, Any], engine: Engine) -> None:
        self.halts.cleared()

    def _differs(self, data: dict[str, Any], engine: Engine) -> None:
        if data["kind"] == "POSITION":
            self.context.exchange.loop.call_soon(self._must_be_held, engine, data)

    def _must_be_held(self, engine: Engine, data: dict[str, Any]) -> None:
        if not trader_view.hold_reason(engine) and engine is self.engine and not self.replaying:
            self.context.fail(
                "unexplained differences halt openings", f"{data['symbol']} differs and nothing halts"
            )

    def _input_failed(self, data: dict[str, Any], engine: Engine) -> None:
        self.context.fail("the engine takes every input", f"{data['input']}: {data['error']}")

    # ------------------------------------------------------------------ every half minute

    def check(self) -> None:
        """Check what only time shows."""
        self.checks += 1
        engine = self.engine
        if engine is None:
            return
        self.account.look(self._records)
        self.orders.check_unsent()
        self.orders.check_rate(engine)
        self.progress.check_bars(engine)
        self.halts.check_midnight(engine)
        self.limits.check(engine, books_agree=self.account.books_agree())

    # ------------------------------------------------------------------ restarts

    def begin(self, engine: Engine, before: Safety | None) -> None:
        """A trader has continued from disk; what must survive a restart is as it was *before*."""
        self.engine, self.replaying = engine, False
        for checks in (self.orders, self.progress, self.halts, self.limits):
            checks.begin()
        if before is None:
            self.money.begin(engine)
        self.money.bars_taken(engine)
        self.account.begin(engine)
        if before is None:
            return
        after = Safety.of(engine)
        for name in Safety.__struct_fields__:
            if getattr(before, name) != getattr(after, name):
                self.context.fail(
                    "state survives a restart", f"{name} was {getattr(before, name)!r}, is {getattr(after, name)!r}"
                )

    def end(self) -> None:
        """The trader is gone."""
        self.engine = None
        self.account.end()

    def stopped(self) -> None:
        """A trader has ended as it was asked to: it leaves no position without a stop."""
        context = self.context
        bare = self.account.left_bare()
        if bare and context.disruptions.knows(context.now_s(), context.bounds):
            context.fail("a graceful stop leaves nothing bare", f"{', '.join(bare)}: no stop for all of it")


_RECORDS: Final[dict[str, Callable[[Watch, dict[str, Any], Engine], None]]] = {
    "order.submitted": Watch._order_made,
    "order.filled": Watch._filled,
    "order.updated": Watch._order_updated,
    "halt.raised": Watch._halt_raised,
    "halt.cleared": Watch._halt_cleared,
    "reconciliation.difference": Watch._differs,
    "input.failed": Watch._input_failed,
    "cash.adjusted": Watch._cash_adjusted,
    "market.bar": Watch._bars_taken,
}
