"""Checks of orders: one opening per intent, nothing sent or accepted twice, brackets and leverage right."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.engine.books import ADOPTED
from quantum_trader.engine.core import Engine
from quantum_trader.engine.ports import Rejection
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.check_context import CheckContext
from quantum_trader.lab.simulation.exchange import Acceptance

_LEVERAGE_RACE_NS: Final = NS_PER_SECOND  # a person who lowers a leverage while an order is on its way comes first


class OrderChecks:
    """Follows every order of the trader from its record to the exchange."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self.openings = 0  # opening orders the exchange accepted
        self._opened: dict[str, str] = {}  # intent -> the opening order that was accepted for it
        self._unsent: dict[str, tuple[OrderRequest, float]] = {}  # reducing orders made and not sent yet, and when made
        self._maybe_sent: set[str] = set()  # orders that may have arrived
        self._given_up: set[str] = set()  # orders the trader takes for never arrived
        self._sent_ns: dict[str, int] = {}
        self._opening_times: list[int] = []

    def begin(self) -> None:
        """A trader starts: orders that an earlier one made and did not send are forgotten."""
        self._unsent.clear()

    # ------------------------------------------------------------------ made and sent

    def made(self, order: OrderRequest, engine: Engine, *, replaying: bool) -> None:
        """Check an order the engine recorded; a closing one must be sent."""
        if order.type is not OrderType.MARKET:
            self._check_bracket(order, engine)
        if replaying or not order.reduce_only or order.type is not OrderType.MARKET:
            return
        if order.client_order_id not in self._sent_ns:  # its record may come after it was sent
            self._unsent[order.client_order_id] = (order, self._context.now_s())

    def _check_bracket(self, order: OrderRequest, engine: Engine) -> None:
        """A first stop lies behind the entry, a target before it."""
        position = trader_view.position(engine, order.symbol)
        if position is None:
            return
        is_stop = order.type is OrderType.STOP_MARKET
        if not is_stop and position.plan.model == ADOPTED:  # its target is measured from the price it was found at
            return
        gap = (order.stop_price - position.entry_price) * position.sign * (-1.0 if is_stop else 1.0)
        if (is_stop and position.stop != position.first_stop) or gap > 0.0:
            return
        word = "stop" if is_stop else "target"
        self._context.fail(
            "brackets lie on the right side",
            f"{position.side.value} {order.symbol} from {position.entry_price:g}, its {word} at {order.stop_price:g}",
        )

    def sent(self, request: OrderRequest, *, arrives: bool) -> None:
        """An order leaves the trader; *arrives* unless the trader learns that it certainly did not."""
        order_id = request.client_order_id
        self._unsent.pop(order_id, None)
        self._sent_ns[order_id] = self._context.exchange.now_ns()
        if order_id in self._maybe_sent:
            self._context.fail("no order is sent twice", f"{order_id} ({request.type.value} {request.symbol})")
        if arrives:
            self._maybe_sent.add(order_id)

    def never_arrived(self, order_id: str) -> None:
        """The trader learned that an order had no effect: it may be sent again."""
        self._maybe_sent.discard(order_id)

    def check_unsent(self) -> None:
        """Check that each closing order the engine made is sent by its deadline, also during a halt."""
        context, now = self._context, self._context.now_s()
        for order_id, (order, made_s) in list(self._unsent.items()):
            if context.exchange.position_qty(order.symbol) == 0.0:
                del self._unsent[order_id]
            elif now > context.disruptions.deadline(made_s, context.bounds, order.symbol)[0]:
                context.fail(
                    "reducing is never refused",
                    f"the closing order {order_id} of {order.symbol} was made and never sent, for {now - made_s:.0f} s",
                )

    # ------------------------------------------------------------------ accepted

    def accepted(self, taken: Acceptance) -> None:
        """Check an order of the trader that the exchange accepted."""
        context, request = self._context, taken.request
        order_id = request.client_order_id
        if context.exchange.acceptances[order_id] > 1:
            context.fail("one order per intent", f"{order_id} was taken twice ({request.type.value})")
        if order_id in self._given_up:
            context.fail("a timeout is no rejection", f"{order_id} was given up, and then it arrived")
        if request.reduce_only:
            return
        self.openings += 1
        self._opening_times.append(taken.ts_ns)
        before = self._opened.setdefault(request.intent_id, order_id)
        if before != order_id:
            context.fail("one order per intent", f"{request.intent_id} opened with {before} and {order_id}")
        sent_ns = self._sent_ns.get(order_id, taken.ts_ns)
        changed_ns = context.exchange.leverage_changed_ns.get(request.symbol, 0)
        if taken.leverage != request.leverage and changed_ns <= sent_ns - self._leverage_race_ns():
            context.fail(
                "leverage is read back",
                f"{request.symbol} opened at leverage {taken.leverage:g}, sized for {request.leverage:g}",
            )

    def _leverage_race_ns(self) -> int:
        """How long a leverage changed by a person may go unnoticed; longer while the user stream fails to report it."""
        context = self._context
        unreported = context.disruptions.streams_s["user"] >= context.now_s() - context.bounds.read_back_s
        return int(context.bounds.read_back_s * NS_PER_SECOND) if unreported else _LEVERAGE_RACE_NS

    def updated(self, data: dict[str, Any]) -> None:
        """An order the trader takes for lost never reached the exchange; one it takes for gone is not open there."""
        update = msgspec.convert(data, OrderUpdate)
        if not update.reason.startswith(Rejection.LOST.value):
            return
        order_id, exchange = update.client_order_id, self._context.exchange
        known = exchange.paper.get_order(order_id)
        if update.status is OrderStatus.REJECTED:
            self._given_up.add(order_id)
            if order_id in exchange.acceptances:
                self._context.fail(
                    "a timeout is no rejection", f"{order_id} was given up, and the exchange has taken it"
                )
        elif known is not None and known.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED):
            self._context.fail(
                "a timeout is no rejection", f"{order_id} was taken for gone, and the exchange has it open"
            )

    def check_rate(self, engine: Engine) -> None:
        """The hourly count is never below the truth."""
        now = self._context.exchange.now_ns()
        recent = [ts for ts in self._opening_times if now - ts < NS_PER_HOUR - 2 * NS_PER_MINUTE]
        self._opening_times = recent
        counted = trader_view.engine_orders_last_hour(engine, now)
        if len(recent) > counted:
            self._context.fail(
                "limits survive", f"{len(recent)} orders opened in the last hour, {counted:g} are counted"
            )
