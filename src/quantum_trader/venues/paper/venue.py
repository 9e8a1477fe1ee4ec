"""The paper venue: an exchange in memory, driven by bars, deterministic to the last bit.

:mod:`stepper` decides which orders a bar reaches, :mod:`execution` fills them, :mod:`margin` refuses, :mod:`account`
holds wallet and positions, :mod:`orders` the open orders, :mod:`funding` the schedules, :mod:`prices` time and prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import CancelRequest, OrderRequest
from quantum_trader.engine.ports import Rejection, VenueBalance, VenueEvent, VenueOrder, VenuePosition, update_of
from quantum_trader.venues.paper.account import PaperAccount
from quantum_trader.venues.paper.execution import Execution
from quantum_trader.venues.paper.funding import FundingHistory, FundingLedger, FundingSchedule, funding_schedules
from quantum_trader.venues.paper.margin import Margin
from quantum_trader.venues.paper.orders import OrderBook, PaperOrder, filter_refusal, refuse, rejected
from quantum_trader.venues.paper.prices import Prices
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.stepper import Stepper
from quantum_trader.venues.paper.watch import PriceWatch

__all__ = ["PaperSettings", "PaperVenue"]

_STATE_VERSION: Final = 1


class PaperVenue:
    """A :class:`quantum_trader.engine.ports.Venue` over bars.

    *instruments* are in the row order of the batches. *funding* maps a symbol to (times in ns, rates); a symbol
    without one pays the assumed rate. *schedules*, in row order, replace *funding* where fundings are announced while
    the venue runs. *taker_cost_bps* (S,) is kept as a reference and read at every taker's fill, so that a cost model
    refreshes it in place; NaN takes the default, and the range of the bar adds to it. A batch must stay unchanged until
    the next one is given to :meth:`on_open`.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: PaperSettings = PaperSettings(),  # noqa: B008 - frozen
        *,
        funding: FundingHistory | None = None,
        schedules: Sequence[FundingSchedule] | None = None,
        taker_cost_bps: NDArray[np.float64] | None = None,
    ) -> None:
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.settings = settings
        size = len(instruments)
        if len(set(self.symbols)) != size:
            raise ConfigError(f"instruments = {self.symbols!r}: a symbol is listed twice")
        if taker_cost_bps is not None and taker_cost_bps.shape != (size,):
            raise ConfigError(f"taker_cost_bps has shape {taker_cost_bps.shape}, expected ({size},)")
        self._instruments = tuple(instruments)
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}
        if schedules is None:
            schedules = funding_schedules(instruments, funding or {}, settings.assumed_funding_rate)
        self._prices = Prices(size)
        self._account = PaperAccount(settings.initial_cash, instruments)
        self._orders = OrderBook(size)
        self._margin = Margin(instruments, self._account, self._orders, self._prices, settings.default_leverage)
        self._funding = FundingLedger(schedules, self._account)
        self._watch = PriceWatch(self._account, self._orders)
        self._execution = Execution(
            instruments, settings, np.full(size, np.nan) if taker_cost_bps is None else taker_cost_bps,
            prices=self._prices, account=self._account, orders=self._orders, margin=self._margin,
            funding=self._funding, watch=self._watch,
        )
        self._stepper = Stepper(
            self.symbols, settings.maker_slippage_bps, prices=self._prices, account=self._account,
            orders=self._orders, funding=self._funding, watch=self._watch, execution=self._execution,
        )

    # ------------------------------------------------------------------ bars

    def on_open(self, batch: MarketBatch) -> list[VenueEvent]:
        """Process the opens: funding that is due, waiting orders, then what the opens gapped through.

        Raises InputError when time goes backwards; a second call for one moment returns nothing.
        """
        return self._stepper.on_open(batch)

    def on_range(self, batch: MarketBatch) -> list[VenueEvent]:
        """Process the ranges, stops first. Called again for one batch, it looks at stops sent since an inside fill.

        Raises InputError when *batch* is not the moment given to :meth:`on_open`.
        """
        return self._stepper.on_range(batch)

    def close_before_hole(self, symbol: str, ts_ns: int) -> list[VenueEvent]:
        """Cancel the symbol's orders and close its position at its last price, as a taker.

        Raises InputError for an unknown symbol.
        """
        index = self._row(symbol)
        events: list[VenueEvent] = []
        now = max(self._prices.now_ns, ts_ns)
        self._execution.cancel_all(index, "data hole", now, events)
        self._execution.close(index, now, events)
        return events

    # ------------------------------------------------------------------ requests

    def submit(self, request: OrderRequest) -> list[VenueEvent]:
        """Acknowledge or refuse; the same request again, while it is open, repeats its status and is one order."""
        ts_ns = max(self._prices.now_ns, request.created_ns)
        existing = self._orders.open.get(request.client_order_id)
        if existing is not None and existing.request == request:
            reason = refuse(Rejection.DUPLICATE, "is this open order")
            return [update_of(existing.view(existing.open_status), ts_ns, reason)]
        index = self._index.get(request.symbol)
        if existing is not None:
            reason = refuse(Rejection.DUPLICATE, "another order with this client id is open")
        elif index is None:
            reason = refuse(Rejection.UNKNOWN_SYMBOL, f"no symbol {request.symbol!r} here")
        else:
            order = PaperOrder(request, index, self._orders.seq + 1)
            reason = (
                filter_refusal(request, self._instruments[index])
                or self._margin.position_refusal(order)
                or self._margin.price_refusal(order)
            )
        if reason or index is None:
            return [rejected(request.client_order_id, request.symbol, ts_ns, reason)]
        self._orders.add(order)
        self._watch.refresh(index)
        return [update_of(order.view(OrderStatus.NEW), ts_ns)]

    def cancel(self, request: CancelRequest) -> list[VenueEvent]:
        """Cancel an open order; a finished one answers its final status again, an unknown one REJECTED -2011."""
        ts_ns = max(self._prices.now_ns, request.created_ns)
        order = self._orders.open.get(request.client_order_id)
        if order is not None and order.request.symbol == request.symbol:
            events: list[VenueEvent] = []
            self._execution.finish(order, OrderStatus.CANCELED, "", ts_ns, events)
            return events
        finished = self._orders.finished.get(request.client_order_id)
        reason = refuse(Rejection.UNKNOWN_ORDER, "no such open order")
        if order is None and finished is not None and finished.symbol == request.symbol:
            return [update_of(finished, ts_ns, reason)]
        return [rejected(request.client_order_id, request.symbol, ts_ns, reason)]

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Set and read back: whole numbers between 1 and the symbol's largest; unchanged while something is open.

        Raises InputError for an unknown symbol.
        """
        return self._margin.set_leverage(self._row(symbol), leverage)

    def change_leverage(self, symbol: str, leverage: float) -> Rejection | float:
        """Set a whole *leverage* whatever is open; return the margin (USDT) that this adds to the position.

        A higher one leaves the position's margin as it is. MAX_POSITION where position and orders are too large for
        it, MARGIN where the wallet does not carry the rest. Raises InputError for an unknown symbol.
        """
        index = self._row(symbol)
        added = self._margin.change_leverage(index, leverage)
        if added and not isinstance(added, Rejection):
            self._account.move_margin(index, added)
            self._watch.refresh(index)
        return added

    def move_margin(self, symbol: str, amount: float) -> bool:
        """Add *amount* (USDT, negative takes away) to a position's margin; False where it may not.

        The wallet must carry what is added; what is left must be the initial margin at the last price at least.
        Raises InputError for an unknown symbol.
        """
        index = self._row(symbol)
        if not self._margin.may_move(index, amount):
            return False
        self._account.move_margin(index, amount)
        self._watch.refresh(index)
        return True

    def pay(self, amount: float) -> bool:
        """Pay *amount* USDT into the wallet (negative: out of it); False for more than is available."""
        if amount < 0.0 and -amount > self._margin.available():
            return False
        self._account.cash += amount
        return True

    # ------------------------------------------------------------------ questions

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown."""
        return self._instruments[self._row(symbol)]

    def leverage(self, symbol: str) -> float:
        """Return the leverage in force for *symbol*; InputError when it is unknown."""
        return self._margin.leverage[self._row(symbol)]

    def positions(self) -> list[VenuePosition]:
        """Return the open positions at the last known prices, in the order of *symbols*."""
        return [self._position(index) for index, held in enumerate(self._account.holdings) if held.qty != 0.0]

    def _position(self, index: int) -> VenuePosition:
        holding, mark = self._account.holdings[index], self._prices.mark(index)
        return VenuePosition(
            symbol=self.symbols[index], qty=holding.qty, entry_price=holding.entry,
            leverage=self._margin.leverage[index], margin=holding.margin, liquidation_price=holding.liquidation,
            mark_price=mark, unrealised_pnl=holding.qty * (mark - holding.entry),
        )

    def balance(self) -> VenueBalance:
        """Return the account's money at the last known prices."""
        return VenueBalance(
            wallet=self._account.cash,
            unrealised_pnl=ordered_sum(position.unrealised_pnl for position in self.positions()),
            margin_used=self._account.margin_used(), available=self._margin.available(),
        )

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, oldest first."""
        return [
            order.view(order.open_status)
            for order in self._orders.open.values()
            if symbol is None or order.request.symbol == symbol
        ]

    def get_order(self, client_order_id: str) -> VenueOrder | None:
        """Return an open order or one of the last 256 finished; None when the venue does not know it."""
        order = self._orders.open.get(client_order_id)
        if order is None:
            return self._orders.finished.get(client_order_id)
        return order.view(order.open_status)

    def funding_schedule(self, symbol: str) -> FundingSchedule:
        """Return when *symbol* pays funding and at which rates; InputError when it is unknown."""
        return self._funding.schedules[self._row(symbol)]

    def plan_funding(self) -> None:
        """Find the next funding again, after a schedule has changed."""
        self._funding.plan()

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return everything needed to continue, as plain values that JSON and msgpack keep exactly."""
        return {
            "version": _STATE_VERSION, "symbols": list(self.symbols), **self._prices.state(),
            "sequences": [self._orders.seq, *self._execution.state()],
            "account": self._account.state(), "leverage": list(self._margin.leverage),
            "funded_ns": self._funding.state(), **self._orders.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`; StateError when it is of another version or of other symbols."""
        if state.get("version") != _STATE_VERSION or tuple(state.get("symbols", ())) != self.symbols:
            raise StateError(
                f"the venue's saved state is of version {state.get('version')!r} and symbols "
                f"{state.get('symbols')!r}; expected {_STATE_VERSION} and {list(self.symbols)!r}: start a new run"
            )
        try:
            self._restore(state)
        except (KeyError, IndexError, TypeError, ValueError, msgspec.ValidationError) as error:
            raise StateError(f"the venue's saved state is damaged ({error!r}): start from an older one") from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._account.load_state(state["account"])
        self._prices.load_state(state)
        order_seq, fill_seq, close_seq = (int(number) for number in state["sequences"])
        self._execution.load_state(fill_seq, close_seq)
        self._margin.leverage = [float(leverage) for leverage in state["leverage"]]
        self._funding.load_state(state["funded_ns"])
        self._orders.load_state(state, order_seq)
        for index in range(len(self.symbols)):
            self._watch.refresh(index)
        self._funding.plan()

    def _row(self, symbol: str) -> int:
        index = self._index.get(symbol)
        if index is None:
            raise InputError(f"symbol = {symbol!r}: this venue trades {', '.join(self.symbols)}")
        return index
