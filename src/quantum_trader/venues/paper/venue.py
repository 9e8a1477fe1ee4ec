"""The paper venue: an exchange in memory, driven by bars, deterministic to the last bit.

An order meets the *next* price: market orders the next open, resting orders the ranges after them. In one bar stops
come before targets and limits; of a stop and the liquidation the one nearer to the open comes first; what the open
gapped through fills at the open. Everything triggers on the last price, the only one bars tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import ConfigError, InputError, StateError, require
from quantum_trader.domain.instrument import Instrument, round_to
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest
from quantum_trader.engine.ports import Rejection, VenueBalance, VenueEvent, VenueOrder, VenuePosition
from quantum_trader.venues.paper import fills
from quantum_trader.venues.paper.account import Account
from quantum_trader.venues.paper.funding import FundingSchedule
from quantum_trader.venues.paper.orders import (
    PaperOrder,
    filter_refusal,
    refuse,
    rejected,
    update_of,
    would_trigger,
)
from quantum_trader.venues.paper.settings import PaperSettings

__all__ = ["PaperSettings", "PaperVenue"]

_STATE_VERSION: Final = 1
_FINISHED_KEPT: Final = 256
_NEVER: Final = 2**63 - 1
_BAR_END_NS: Final = 1_000_000  # a bar's last moment is one millisecond before the next one's first
_LIQUIDATION_SEQ: Final = 2**62  # behind every order that is as near to the open


class PaperVenue:
    """A :class:`quantum_trader.engine.ports.Venue` over bars.

    *instruments* are in the row order of the batches. *funding* maps a symbol to (times in ns, rates); a symbol
    without one pays the assumed rate. *taker_cost_bps* (S,) is kept as a reference and read at every taker's fill, so
    that whoever measures costs refreshes it in place; NaN takes the default. A batch must stay unchanged until the
    next one is given to :meth:`on_open`.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: PaperSettings = PaperSettings(),  # noqa: B008 - frozen
        *,
        funding: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]] | None = None,
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
        self._costs = np.full(size, np.nan) if taker_cost_bps is None else taker_cost_bps
        self._participation = settings.participation or 0.0
        self._schedules = _schedules(instruments, funding or {}, settings.assumed_funding_rate)
        self._account = Account(settings.initial_cash, instruments)
        self._leverage = [self._allowed_leverage(index, settings.default_leverage) for index in range(size)]
        self._open: dict[str, PaperOrder] = {}
        self._orders_of: list[list[PaperOrder]] = [[] for _ in range(size)]
        self._waiting: list[PaperOrder] = []  # they fill at the next open
        self._finished: dict[str, VenueOrder] = {}
        self._batch: MarketBatch | None = None
        self._bar_ns = -1
        self._in_range = False
        self._last = [0.0] * size  # last price of a watched symbol whose bars stopped; 0.0 unknown
        self._traded: dict[int, float] = {}  # symbol -> price of its last fill inside this bar's range
        self._funded_ns = [0] * size
        self._next_funding = _NEVER
        self._envelopes: list[tuple[int, float, float] | None] = [None] * size
        self._watch: list[tuple[int, float, float]] = []  # (symbol, price that matters below, above)
        self._seq = self._fill_seq = self._close_seq = 0

    # ------------------------------------------------------------------ bars

    def on_open(self, batch: MarketBatch) -> list[VenueEvent]:
        """Meet the opens: funding that is due, waiting orders, then what the opens gapped through.

        Raises InputError when time goes backwards; a second call for one moment returns nothing.
        """
        if batch.ts_ns <= self._bar_ns:
            require(batch.ts_ns == self._bar_ns, "batch.ts_ns", batch.ts_ns, f"is before {self._bar_ns}")
            return []
        previous, self._batch = self._batch, batch
        self._bar_ns = batch.ts_ns
        self._in_range = False
        if self._traded:
            self._traded = {}
        return self._meet_opens(batch, previous) if self._watch else []

    def on_range(self, batch: MarketBatch) -> list[VenueEvent]:
        """Meet the ranges, stops first. Called again for one batch, it looks at stops sent since an inside fill.

        Raises InputError when *batch* is not the moment given to :meth:`on_open`.
        """
        require(batch.ts_ns == self._bar_ns, "batch.ts_ns", batch.ts_ns, f"on_open was given {self._bar_ns}")
        self._batch = batch
        if self._in_range:
            return self._meet_ranges_again() if self._traded else []
        self._in_range = True
        if not self._watch:
            return []
        item = batch.ohlcv.item
        reached = [i for i, below, above in self._watch if item(i, 2) <= below or item(i, 1) >= above]
        events: list[VenueEvent] = []
        for index in reached:
            if batch.present[index]:
                self._settle(index, item(index, 0), events)
        return events

    def close_before_hole(self, symbol: str, ts_ns: int) -> list[VenueEvent]:
        """Cancel the symbol's orders and close its position at its last price, as a taker.

        Raises InputError for an unknown symbol.
        """
        index = self._row(symbol)
        events: list[VenueEvent] = []
        now = max(self._now, ts_ns)
        self._cancel_all(index, "data hole", now, events)
        holding, price = self._account.holdings[index], self._mark(index)
        if holding.qty != 0.0:
            sign, qty = -holding.sign, abs(holding.qty)
            filled = fills.market_fill_price(sign, price, self._cost(index), self._instruments[index].tick_size)
            fee = fills.fee_amount(qty, filled, self._instruments[index].taker_fee_bps)
            self._close_seq += 1
            self._book(f"hole-{self._close_seq}", index, sign, qty, filled, price, fee, now, events)
        return events

    # ------------------------------------------------------------------ requests

    def submit(self, request: OrderRequest) -> list[VenueEvent]:
        """Acknowledge or refuse; the same request again, while it is open, repeats its status and is one order."""
        ts_ns = max(self._now, request.created_ns)
        existing = self._open.get(request.client_order_id)
        if existing is not None and existing.request == request:
            status = OrderStatus.PARTIALLY_FILLED if existing.filled > 0.0 else OrderStatus.NEW
            return [update_of(existing.view(status), ts_ns, refuse(Rejection.DUPLICATE, "is this open order"))]
        index = self._index.get(request.symbol)
        if existing is not None:
            reason = refuse(Rejection.DUPLICATE, "another order with this client id is open")
        elif index is None:
            reason = refuse(Rejection.UNKNOWN_SYMBOL, f"no symbol {request.symbol!r} here")
        else:
            order = PaperOrder(request, index, self._seq + 1)
            reason = (
                filter_refusal(request, self._instruments[index])
                or self._position_refusal(order)
                or self._price_refusal(order)
            )
        if reason or index is None:
            return [rejected(request.client_order_id, request.symbol, ts_ns, reason)]
        self._seq += 1
        self._open[request.client_order_id] = order
        self._orders_of[index].append(order)
        if order.waiting:
            self._waiting.append(order)
        self._refresh(index)
        return [update_of(order.view(OrderStatus.NEW), ts_ns)]

    def cancel(self, request: CancelRequest) -> list[VenueEvent]:
        """Cancel an open order; a finished one answers its final status again, an unknown one REJECTED -2011."""
        ts_ns = max(self._now, request.created_ns)
        order = self._open.get(request.client_order_id)
        if order is not None and order.request.symbol == request.symbol:
            events: list[VenueEvent] = []
            self._finish(order, OrderStatus.CANCELED, "", ts_ns, events)
            return events
        finished = self._finished.get(request.client_order_id)
        reason = refuse(Rejection.UNKNOWN_ORDER, "no such open order")
        if order is None and finished is not None and finished.symbol == request.symbol:
            return [update_of(finished, ts_ns, reason)]
        return [rejected(request.client_order_id, request.symbol, ts_ns, reason)]

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Set and read back: whole numbers between 1 and the symbol's largest; unchanged while something is open.

        Raises InputError for an unknown symbol.
        """
        index = self._row(symbol)
        opening = any(not order.request.reduce_only for order in self._orders_of[index])
        if self._account.holdings[index].qty == 0.0 and not opening and math.isfinite(leverage):
            self._leverage[index] = self._allowed_leverage(index, leverage)
        return self._leverage[index]

    def move_margin(self, symbol: str, amount: float) -> bool:
        """Add *amount* (USDT, negative takes away) to a position's margin; False where it may not.

        The wallet must carry what is added; what is left must be the initial margin at the last price at least.
        Raises InputError for an unknown symbol.
        """
        index = self._row(symbol)
        holding = self._account.holdings[index]
        least = abs(holding.qty) * self._mark(index) / self._leverage[index]
        if holding.qty == 0.0 or amount > self._available() or (amount < 0.0 and holding.margin + amount < least):
            return False
        self._account.move_margin(index, amount)
        self._refresh(index)
        return True

    def pay(self, amount: float) -> bool:
        """Pay *amount* USDT into the wallet (negative: out of it); False for more than is available."""
        if amount < 0.0 and -amount > self._available():
            return False
        self._account.cash += amount
        return True

    # ------------------------------------------------------------------ questions

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown."""
        return self._instruments[self._row(symbol)]

    def leverage(self, symbol: str) -> float:
        """Return the leverage in force for *symbol*; InputError when it is unknown."""
        return self._leverage[self._row(symbol)]

    def positions(self) -> list[VenuePosition]:
        """Return the open positions at the last known prices, in the order of *symbols*."""
        return [
            VenuePosition(
                symbol=self.symbols[index], qty=holding.qty, entry_price=holding.entry,
                leverage=self._leverage[index], margin=holding.margin, liquidation_price=holding.liquidation,
                mark_price=self._mark(index), unrealised_pnl=holding.qty * (self._mark(index) - holding.entry),
            )
            for index, holding in enumerate(self._account.holdings)
            if holding.qty != 0.0
        ]

    def balance(self) -> VenueBalance:
        """Return the account's money at the last known prices."""
        return VenueBalance(
            wallet=self._account.cash,
            unrealised_pnl=ordered_sum(position.unrealised_pnl for position in self.positions()),
            margin_used=self._account.margin_used(), available=self._available(),
        )

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, oldest first."""
        return [
            order.view(OrderStatus.PARTIALLY_FILLED if order.filled > 0.0 else OrderStatus.NEW)
            for order in self._open.values()
            if symbol is None or order.request.symbol == symbol
        ]

    def get_order(self, client_order_id: str) -> VenueOrder | None:
        """Return an open order or one of the last 256 finished; None when the venue does not know it."""
        order = self._open.get(client_order_id)
        if order is None:
            return self._finished.get(client_order_id)
        return order.view(OrderStatus.PARTIALLY_FILLED if order.filled > 0.0 else OrderStatus.NEW)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return everything needed to continue, as plain values that JSON and msgpack keep exactly."""
        return {
            "version": _STATE_VERSION, "symbols": list(self.symbols), "bar_ns": self._bar_ns,
            "interval_ns": self._batch.interval_ns if self._batch is not None else 0, "in_range": self._in_range,
            "prices": [self._prices_now(index) for index in range(len(self.symbols))], "last": list(self._last),
            "traded": [[index, price] for index, price in self._traded.items()],
            "sequences": [self._seq, self._fill_seq, self._close_seq],
            "account": self._account.state(), "leverage": list(self._leverage), "funded_ns": list(self._funded_ns),
            "orders": [order.state() for order in self._open.values()],
            "finished": [msgspec.to_builtins(order) for order in self._finished.values()],
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
        size = len(self.symbols)
        self._account.load_state(state["account"])
        self._bar_ns, self._in_range = int(state["bar_ns"]), bool(state["in_range"])
        self._last = [float(price) for price in state["last"]]
        self._traded = {int(index): float(price) for index, price in state["traded"]}
        self._seq, self._fill_seq, self._close_seq = (int(number) for number in state["sequences"])
        self._leverage = [float(leverage) for leverage in state["leverage"]]
        self._funded_ns = [int(ts_ns) for ts_ns in state["funded_ns"]]
        orders = [PaperOrder.from_state(raw) for raw in state["orders"]]
        self._open = {order.request.client_order_id: order for order in orders}
        self._waiting = [order for order in orders if order.waiting]
        self._orders_of = [[order for order in orders if order.index == index] for index in range(size)]
        finished = [msgspec.convert(raw, VenueOrder) for raw in state["finished"]]
        self._finished = {order.client_order_id: order for order in finished}
        ohlcv = np.full((size, 5), np.nan)
        present = np.zeros(size, dtype=np.bool_)
        for index, prices in enumerate(state["prices"]):
            if prices is not None:
                ohlcv[index, 0], ohlcv[index, 3] = prices
                present[index] = True
        self._batch = MarketBatch(self._bar_ns, int(state["interval_ns"]), ohlcv, present)
        for index in range(size):
            self._refresh(index)
        self._plan_funding()

    def _prices_now(self, index: int) -> list[float] | None:
        """The current bar's open and close, None when it has none."""
        if self._batch is None or not self._batch.present[index]:
            return None
        return [self._batch.ohlcv.item(index, 0), self._batch.ohlcv.item(index, 3)]

    # ------------------------------------------------------------------ bars, inside

    def _meet_opens(self, batch: MarketBatch, previous: MarketBatch | None) -> list[VenueEvent]:
        item, present = batch.ohlcv.item, batch.present.tolist()
        reached = []
        for index, below, above in self._watch:
            if present[index]:
                price = item(index, 0)
                if price <= below or price >= above:
                    reached.append(index)
            elif previous is not None and previous.present[index]:
                self._last[index] = previous.ohlcv.item(index, 3)
        if not (reached or self._waiting or batch.ts_ns >= self._next_funding):
            return []
        events: list[VenueEvent] = []
        if batch.ts_ns >= self._next_funding:
            self._pay_funding(batch, events)
        for order in sorted(self._waiting, key=lambda waiting: waiting.seq):
            if present[order.index] and item(order.index, 0) > 0.0:
                self._meet_market(order, item(order.index, 0), events)
        for index, below, above in tuple(self._watch):
            if present[index] and not below < item(index, 0) < above:
                self._settle(index, item(index, 0), events, at_open=True)
        return events

    def _meet_ranges_again(self) -> list[VenueEvent]:
        """After fills inside the range: the stops sent since, and the liquidation of what was opened there."""
        events: list[VenueEvent] = []
        for index, price in tuple(self._traded.items()):
            self._settle(index, price, events, late=True)
        return events

    def _settle(
        self, index: int, open_: float, events: list[VenueEvent], *, at_open: bool = False, late: bool = False
    ) -> None:
        """Fill what the open alone, or the bar's range, reaches for one symbol, in the order it is assumed to come."""
        assert self._batch is not None
        low = open_ if at_open else self._batch.ohlcv.item(index, 2)
        high = open_ if at_open else self._batch.ohlcv.item(index, 1)
        holding = self._account.holdings[index]
        reached: list[tuple[int, float, int, PaperOrder | None]] = [
            (0 if order.is_stop else 1, abs(order.level - open_), order.seq, order)
            for order in self._orders_of[index]
            if self._reaches(order, low, high) and (not late or self._came_late(order))
        ]
        if holding.liquidation > 0.0 and fills.stop_touched(-holding.sign, holding.liquidation, low, high):
            reached.append((0, abs(holding.liquidation - open_), _LIQUIDATION_SEQ, None))
        for _, _, _, order in sorted(reached, key=lambda candidate: candidate[:3]):
            if order is None:
                self._liquidate(index, open_, low, high, events)
            elif self._open.get(order.request.client_order_id) is order:
                self._meet_level(order, open_, events)

    def _reaches(self, order: PaperOrder, low: float, high: float) -> bool:
        """Whether a price between *low* and *high* fills a resting order that had no chance in this bar yet."""
        if order.waiting or order.touched_ns == self._bar_ns:
            return False
        if order.request.type is OrderType.LIMIT:
            return fills.limit_touched(order.side_sign, order.level, low, high, self.settings.maker_slippage_bps)
        touched = fills.stop_touched if order.is_stop else fills.target_touched
        return touched(order.side_sign, order.level, low, high)

    def _came_late(self, order: PaperOrder) -> bool:
        """Whether *order* is a stop sent before this bar closed; older ones had their chance and were not reached."""
        assert self._batch is not None
        return order.is_stop and order.request.created_ns < self._bar_ns + self._batch.interval_ns

    def _meet_market(self, order: PaperOrder, price: float, events: list[VenueEvent]) -> None:
        """Fill a waiting order at the open *price*; a limit that is no longer marketable goes to rest."""
        tick, cost = self._instruments[order.index].tick_size, self._cost(order.index)
        order.touched_ns = self._bar_ns
        if order.request.type is not OrderType.LIMIT:
            filled = fills.market_fill_price(order.side_sign, price, cost, tick)
            self._execute(order, filled, price, self._instruments[order.index].taker_fee_bps, events)
            return
        self._waiting.remove(order)
        order.waiting = False
        if fills.limit_marketable(order.side_sign, order.level, price):
            filled = fills.limit_taker_price(order.side_sign, order.level, price, cost, tick)
            self._execute(order, filled, price, self._instruments[order.index].taker_fee_bps, events)
        else:
            order.touched_ns = -1
        self._refresh(order.index)

    def _meet_level(self, order: PaperOrder, open_: float, events: list[VenueEvent]) -> None:
        """Fill a resting order whose level was reached; what a triggered one leaves waits for the next open."""
        instrument = self._instruments[order.index]
        order.touched_ns = self._bar_ns
        if order.request.type is OrderType.LIMIT:
            self._execute(order, order.level, order.level, instrument.maker_fee_bps, events, maker=True)
            return
        fill_price = fills.stop_fill_price if order.is_stop else fills.target_fill_price
        price = fill_price(order.side_sign, order.level, open_, self._cost(order.index), instrument.tick_size)
        self._execute(order, price, order.level, instrument.taker_fee_bps, events)
        if self._open.get(order.request.client_order_id) is order:
            order.waiting = True
            self._waiting.append(order)
            self._refresh(order.index)

    def _execute(
        self, order: PaperOrder, price: float, reference: float, fee_bps: float, events: list[VenueEvent], *,
        maker: bool = False,
    ) -> None:
        """Fill as much of *order* as position, volume and margin allow at *price*, and tell its new status."""
        assert self._batch is not None
        index, now = order.index, self._now
        holding, step = self._account.holdings[index], self._instruments[index].step_size
        wanted = round_to(order.remaining, step)
        if order.request.reduce_only:
            wanted = min(wanted, abs(holding.qty)) if order.side_sign * holding.qty < 0.0 else 0.0
            if wanted == 0.0:
                reason = refuse(Rejection.REDUCE_ONLY, "no position to reduce")
                self._finish(order, OrderStatus.CANCELED, reason, now, events)
                return
        qty = fills.fill_quantity(wanted, self._batch.ohlcv.item(index, 4), self._participation, step)
        if qty <= 0.0:
            return
        fee = fills.fee_amount(qty, price, fee_bps)
        if self._margin_short(order, qty, price, fee):
            reason = refuse(Rejection.MARGIN, "the margin is insufficient at the fill")
            self._finish(order, OrderStatus.CANCELED, reason, now, events)
            return
        self._book(
            order.request.client_order_id, index, order.side_sign, qty, price, reference, fee, now, events, maker=maker
        )
        order.filled = round_to(order.filled + qty, step)
        order.cost += qty * price
        if round_to(order.remaining, step) <= 0.0:
            self._finish(order, OrderStatus.FILLED, "", now, events)
        elif order.request.reduce_only and holding.qty == 0.0:
            reason = refuse(Rejection.REDUCE_ONLY, "the position is closed")
            self._finish(order, OrderStatus.CANCELED, reason, now, events)
        else:
            events.append(update_of(order.view(OrderStatus.PARTIALLY_FILLED), now))

    def _liquidate(self, index: int, open_: float, low: float, high: float, events: list[VenueEvent]) -> None:
        """Close a position at its liquidation price (or the gap), all of it, and cancel the symbol's orders."""
        holding, instrument, now = self._account.holdings[index], self._instruments[index], self._now
        level = holding.liquidation
        if level <= 0.0 or not fills.stop_touched(-holding.sign, level, low, high):
            return
        sign, qty = -holding.sign, abs(holding.qty)
        price = fills.liquidation_fill_price(holding.sign, level, open_, instrument.tick_size)
        fee = fills.fee_amount(qty, price, instrument.taker_fee_bps + self.settings.liquidation_fee_bps)
        self._close_seq += 1
        self._book(
            f"autoclose-{self._close_seq}", index, sign, qty, price, level, fee, now, events, liquidation=True
        )
        self._cancel_all(index, "liquidation", now, events)

    # ------------------------------------------------------------------ books, inside

    def _book(
        self, client_order_id: str, index: int, side_sign: int, qty: float, price: float, reference: float, fee: float,
        ts_ns: int, events: list[VenueEvent], *, maker: bool = False, liquidation: bool = False,
    ) -> None:
        """Move the account by one fill and tell it; the only place where a position changes."""
        holding = self._account.holdings[index]
        was_flat = holding.qty == 0.0
        self._account.apply(index, side_sign, qty, price, fee, self._leverage[index])
        self._fill_seq += 1
        events.append(
            Fill(
                fill_id=f"paper-f-{self._fill_seq:08d}", client_order_id=client_order_id, symbol=self.symbols[index],
                side=OrderSide.BUY if side_sign > 0 else OrderSide.SELL, qty=qty, price=price, fee=fee,
                liquidity="maker" if maker else "taker", ts_ns=ts_ns,
                slippage_bps=fills.slippage_bps(side_sign, reference, price), liquidation=liquidation,
            )
        )
        self._last[index] = price
        if self._in_range:
            self._traded[index] = price
        if was_flat:
            self._funded_ns[index] = ts_ns
        if was_flat or holding.qty == 0.0:
            self._plan_funding()
        self._refresh(index)

    def _pay_funding(self, batch: MarketBatch, events: list[VenueEvent]) -> None:
        """Charge every funding since the last one on each open position whose bar is here; the mark is the open."""
        for index, holding in enumerate(self._account.holdings):
            mark = batch.ohlcv.item(index, 0)
            if holding.qty == 0.0 or not batch.present[index] or not mark > 0.0:
                continue
            for _, rate in self._schedules[index].due(self._funded_ns[index], batch.ts_ns):
                amount = fills.funding_amount(holding.qty, mark, rate)
                self._account.cash += amount
                events.append(
                    FundingPayment(
                        symbol=self.symbols[index], ts_ns=batch.ts_ns, rate=rate, mark_price=mark, qty=holding.qty,
                        amount=amount,
                    )
                )
            self._funded_ns[index] = batch.ts_ns
        self._plan_funding()

    def _plan_funding(self) -> None:
        """Find when the next funding of any open position is due."""
        self._next_funding = min(
            (
                schedule.next_after(self._funded_ns[index])
                for index, schedule in enumerate(self._schedules)
                if self._account.holdings[index].qty != 0.0
            ),
            default=_NEVER,
        )

    def _finish(
        self, order: PaperOrder, status: OrderStatus, reason: str, ts_ns: int, events: list[VenueEvent]
    ) -> None:
        """Take *order* off the book and tell its final status."""
        client_order_id = order.request.client_order_id
        del self._open[client_order_id]
        self._orders_of[order.index].remove(order)
        if order in self._waiting:
            self._waiting.remove(order)
        view = order.view(status, reason)
        self._finished.pop(client_order_id, None)
        self._finished[client_order_id] = view
        if len(self._finished) > _FINISHED_KEPT:
            del self._finished[next(iter(self._finished))]
        self._refresh(order.index)
        events.append(update_of(view, ts_ns))

    def _cancel_all(self, index: int, reason: str, ts_ns: int, events: list[VenueEvent]) -> None:
        for order in tuple(self._orders_of[index]):
            self._finish(order, OrderStatus.CANCELED, reason, ts_ns, events)

    def _refresh(self, index: int) -> None:
        """Find anew the prices at which something happens to *index*, and whether it is watched at all."""
        below, above = -math.inf, math.inf
        holding, orders = self._account.holdings[index], self._orders_of[index]
        for order in orders:
            if order.waiting:
                continue
            if order.below:
                below = max(below, order.level)
            else:
                above = min(above, order.level)
        if holding.qty > 0.0 and holding.liquidation > 0.0:
            below = max(below, holding.liquidation)
        elif holding.qty < 0.0 and holding.liquidation > 0.0:
            above = min(above, holding.liquidation)
        watched = bool(orders) or holding.qty != 0.0
        self._envelopes[index] = (index, below, above) if watched else None
        self._watch = [envelope for envelope in self._envelopes if envelope is not None]

    # ------------------------------------------------------------------ checks and prices, inside

    def _position_refusal(self, order: PaperOrder) -> str:
        """Why position, notional or margin forbid *order*; reserves its margin when nothing does."""
        request, holding, index = order.request, self._account.holdings[order.index], order.index
        if request.reduce_only:
            reduces = order.side_sign * holding.qty < 0.0
            return "" if reduces else refuse(Rejection.REDUCE_ONLY, "no position to reduce")
        opening = holding.opening_qty(order.side_sign, request.qty)
        price = order.level or self._price_at(index, request.created_ns)
        here = self._batch is not None and bool(self._batch.present[index])
        if opening > 0.0 and not (here and price > 0.0):
            return refuse(Rejection.NO_PRICE, f"{request.symbol} has no price now")
        instrument, leverage = self._instruments[index], self._leverage[index]
        if request.qty * price < instrument.min_notional * (1.0 - 1e-9):
            return refuse(Rejection.MIN_NOTIONAL, f"notional is below {instrument.min_notional!r}")
        same = abs(holding.qty) if order.side_sign * holding.qty > 0.0 else 0.0
        for other in self._orders_of[index]:
            if other.side_sign == order.side_sign and not other.request.reduce_only:
                same += other.remaining
        cap = fills.tier_cap(leverage, self._account.tiers[index])
        if opening > 0.0 and (same + opening) * price > cap:
            return refuse(Rejection.MAX_POSITION, f"notional above {cap!r} at leverage {leverage!r}")
        if opening > 0.0:
            need = fills.initial_margin(opening, price, leverage)
            need += fills.fee_amount(request.qty, price, instrument.taker_fee_bps)
            need -= self._freed(order, request.qty, price)
            if need > self._available():
                return refuse(Rejection.MARGIN, f"needs {need:.8g}, available {self._available():.8g}")
            order.reserve = max(0.0, need)
        return ""

    def _price_refusal(self, order: PaperOrder) -> str:
        """Why the last price forbids *order*; a limit that is marketable already is set to wait for the next open."""
        last = self._price_at(order.index, order.request.created_ns)
        if order.request.type is OrderType.LIMIT:
            order.waiting = last > 0.0 and fills.limit_marketable(order.side_sign, order.level, last)
        elif order.request.type is not OrderType.MARKET and last > 0.0 and would_trigger(order, last):
            return refuse(Rejection.WOULD_TRIGGER, f"{order.level!r} is already passed by the last price {last!r}")
        return ""

    def _margin_short(self, order: PaperOrder, qty: float, price: float, fee: float) -> bool:
        """Whether the wallet cannot carry what filling *qty* at *price* opens."""
        opening = self._account.holdings[order.index].opening_qty(order.side_sign, qty)
        if opening <= 0.0:
            return False
        room = self._available() + order.reserved + self._freed(order, qty, price)
        return fills.initial_margin(opening, price, self._leverage[order.index]) + fee > room

    def _freed(self, order: PaperOrder, qty: float, price: float) -> float:
        """What a fill that crosses zero frees first: the closed position's margin and profit (USDT)."""
        holding = self._account.holdings[order.index]
        if holding.opening_qty(order.side_sign, qty) >= qty:
            return 0.0
        return holding.margin + holding.qty * (price - holding.entry)

    def _available(self) -> float:
        """Wallet less margins of positions and reserves of orders."""
        reserved = ordered_sum(order.reserved for order in self._open.values())
        return self._account.cash - self._account.margin_used() - reserved

    def _allowed_leverage(self, index: int, leverage: float) -> float:
        largest = max(row[2] for row in self._account.tiers[index])
        return float(math.floor(max(1.0, min(leverage, largest))))

    def _cost(self, index: int) -> float:
        return fills.taker_cost(float(self._costs[index]), self.settings.default_taker_cost_bps)

    def _row(self, symbol: str) -> int:
        index = self._index.get(symbol)
        if index is None:
            raise InputError(f"symbol = {symbol!r}: this venue trades {', '.join(self.symbols)}")
        return index

    @property
    def _now(self) -> int:
        """The venue's time: the bar's open, or its last moment once the range was met."""
        if not self._in_range or self._batch is None:
            return self._bar_ns
        return self._bar_ns + self._batch.interval_ns - _BAR_END_NS

    def _mark(self, index: int) -> float:
        """The last price known: the bar's open, its close once the range was met, or the last one before an outage."""
        if self._batch is not None and self._batch.present[index]:
            price: float = self._batch.ohlcv.item(index, 3 if self._in_range else 0)
            if 0.0 < price < math.inf:
                return price
        return self._last[index]

    def _price_at(self, index: int, created_ns: int) -> float:
        """The last price at *created_ns*: inside the bar's range that of the symbol's last fill; 0.0 unknown."""
        if self._in_range and self._batch is not None and created_ns < self._bar_ns + self._batch.interval_ns:
            return self._traded.get(index) or self._mark(index)
        return self._mark(index)


def _schedules(
    instruments: Sequence[Instrument], history: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]],
    assumed_rate: float,
) -> list[FundingSchedule]:
    """When and at which rate each instrument pays funding."""
    found = []
    for instrument in instruments:
        times, rates = history.get(instrument.symbol, ((), ()))
        found.append(
            FundingSchedule(
                instrument.symbol, [int(ts_ns) for ts_ns in times], [float(rate) for rate in rates], assumed_rate,
                instrument.funding_interval_hours,
            )
        )
    return found
