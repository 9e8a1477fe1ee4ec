"""The exchange behind the local venue: one account over the paper venue, a tape of prices, and venue time.

Deterministic and without I/O: time passes when :meth:`Exchange.advance` is told so, and what happened meanwhile comes
out of :meth:`Exchange.take_events`. Prices reach the paper venue as small batches in which one symbol's path is a
straight line, so that a market order fills at once at the current price and a conditional order at its trigger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.instrument import ceil_to, floor_to, round_to
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.venues.local.account import AccountMirror
from quantum_trader.venues.local.api_errors import ApiError
from quantum_trader.venues.local.checks import check_algo, check_order
from quantum_trader.venues.local.orders import (
    AlgoEvent,
    AlgoOrder,
    ConfigEvent,
    MarketTick,
    Order,
    OrderEvent,
    OrderTicket,
    Trade,
    UserEvent,
)
from quantum_trader.venues.local.tape import Tape
from quantum_trader.venues.paper.fills import limit_marketable
from quantum_trader.venues.paper.funding import FundingSchedule
from quantum_trader.venues.paper.venue import PaperSettings, PaperVenue

AMPLE: Final = 1e12  # volume of a batch that limits no fill
MADE_UP_LEVELS: Final = 20
Levels = list[tuple[float, float]]
_LEVEL_USDT: Final = 10_000.0  # what the best level of a made-up book is worth
_FIRST_ORDER: Final = 8_886_774_000
_FIRST_ALGO: Final = 1_000_000_000_000_000  # the algo service counts in a space of its own
_MOST_PARTS: Final = 1_000  # fills of one market order
_BATCH_NS: Final = 1  # length of a batch: the venue's time is the batch's


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the exchange behaves."""

    wallet: float = 10_000.0
    leverage: float = 20.0  # of a symbol nobody set
    taker_cost_bps: float = 1.0  # half spread and slippage; the quoted bid and ask are this far from the last price
    maker_slippage_bps: float = 0.4  # how far the price must trade through a resting limit order
    assumed_funding_rate: float = 0.0001
    link_by_order_id: bool = False  # a triggered order gets a client id of its own, and TRIGGERED is told first
    max_algo_orders: int = 200  # of all symbols together


class Exchange:
    """One account at one exchange. Money in USDT, times in ns; refusals are raised as ApiError."""

    def __init__(
        self, tape: Tape, start_ns: int, settings: ExchangeSettings = ExchangeSettings(),  # noqa: B008 - frozen
        *, funding: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]] | None = None,
    ) -> None:
        self.tape = tape
        self.settings = settings
        self.instruments = tape.instruments
        self.symbols, self.index = tape.symbols, tape.index
        size = len(self.symbols)
        paper = PaperSettings(
            initial_cash=settings.wallet, default_leverage=settings.leverage,
            default_taker_cost_bps=settings.taker_cost_bps, maker_slippage_bps=settings.maker_slippage_bps,
            participation=1.0,
            assumed_funding_rate=settings.assumed_funding_rate,
        )
        self._costs = np.full(size, settings.taker_cost_bps)
        self.paper = PaperVenue(self.instruments, paper, funding=funding, taker_cost_bps=self._costs)
        self.account = AccountMirror(settings.wallet, self.instruments)
        self.now_ns = start_ns
        self.last = np.array([tape.last_price(index, start_ns) for index in range(size)])
        self.trading = np.ones(size, dtype=np.bool_)  # what a halt or a delisting takes away
        self.delisted = np.zeros(size, dtype=np.bool_)
        self.volume = np.full(size, AMPLE)  # of the next batches: what may fill of one order
        self._most = np.full(size, AMPLE)  # of it at once, whatever the market has
        self._expires = [False] * size  # whether what exceeds the volume expires
        self.orders: dict[int, Order] = {}
        self.algos: dict[int, AlgoOrder] = {}
        self.trades: list[Trade] = []
        self.isolated = [False] * size
        self._open: dict[str, Order] = {}  # by the paper venue's id
        self._waiting: list[list[AlgoOrder]] = [[] for _ in range(size)]
        self._algo_of: dict[int, AlgoOrder] = {}  # regular order id -> the conditional order it came from
        self._events: list[UserEvent | MarketTick] = []
        self._next_order, self._next_algo, self._next_trade = _FIRST_ORDER, _FIRST_ALGO, 1
        self._updates = 0
        self._told_ns = start_ns
        self._funding = [
            FundingSchedule(
                instrument.symbol, *_history(funding or {}, instrument.symbol), settings.assumed_funding_rate,
                instrument.funding_interval_hours,
            )
            for instrument in self.instruments
        ]
        self._row = tape.row_at(start_ns)
        self._stamp = start_ns
        self._step(self.last)

    # ------------------------------------------------------------------ time and prices

    def advance(self, to_ns: int) -> None:
        """Let time pass up to *to_ns*, corner by corner; InputError when it would run backwards."""
        if to_ns < self.now_ns:
            raise InputError(f"to_ns = {to_ns}: is before the venue's time {self.now_ns}")
        while self.now_ns < to_ns:
            self._advance_once(to_ns)
        self._tick()

    def _tick(self, **recorded: Any) -> None:
        """Tell that prices moved since the tick before."""
        self._events.append(MarketTick(ts_ns=self.now_ns, since_ns=self._told_ns, **recorded))
        self._told_ns = self.now_ns

    def _advance_once(self, to_ns: int) -> None:
        """One leg of the path, or the way to the next bar."""
        row, tape = self._row, self.tape
        row_end = int(tape.ts_ns[row]) + tape.interval_ns if row >= 0 else -1
        if row >= 0 and self.now_ns < row_end:
            target = min(to_ns, tape.next_corner(row, self.now_ns))
            self.now_ns = target
            self._move(tape.prices(row, target), tape.present[row])
            if target < row_end:
                return
        following = row + 1
        opens = int(tape.ts_ns[following]) if following < len(tape) else to_ns + 1
        if opens > to_ns:
            self.now_ns = to_ns
            self._step(self.last)
            return
        self.now_ns, self._row = opens, following
        present = tape.present[following]
        self._jump(np.where(present, tape.ohlcv[following, :, 0], self.last))

    def show(self, prices: Mapping[str, float]) -> None:
        """Let symbols jump to *prices* at once, as a gap does; the tape is not asked."""
        target = self.last.copy()
        for symbol, price in prices.items():
            target[self.row_of(symbol)] = price
        self._jump(target)
        self._tick()

    def _jump(self, target: NDArray[np.float64]) -> None:
        """A gap: what it passed fills at the far side."""
        self._step(target)
        for index, waiting in enumerate(self._waiting):
            if not waiting or not self.trading[index]:
                continue
            price = float(self.last[index])
            for algo in tuple(waiting):
                if algo.is_open and _passed(algo, price):
                    self._trigger(algo)
                algo.follow(price)

    def _move(self, target: NDArray[np.float64], present: NDArray[np.bool_]) -> None:
        """A straight line from the last prices to *target*, stopping at each trigger on the way."""
        target = np.where(present, target, self.last)
        for index, waiting in enumerate(self._waiting):
            if waiting and self.trading[index]:
                self._walk(index, float(target[index]))
        self._step(target)
        for index, waiting in enumerate(self._waiting):
            for algo in waiting:
                algo.follow(float(self.last[index]))

    def _walk(self, index: int, target: float) -> None:
        """Bring one symbol to *target* past the triggers of its conditional orders, nearest first."""
        while True:
            price = float(self.last[index])
            reached = [
                algo for algo in self._waiting[index]
                if algo.is_open and algo.level > 0.0
                and ((price <= algo.level <= target) if algo.rising else (target <= algo.level <= price))
            ]
            if not reached:
                return
            algo = min(reached, key=lambda found: (abs(found.level - price), found.algo_id))
            stop_at = self.last.copy()
            stop_at[index] = algo.level
            self._step(stop_at)
            if algo.is_open:
                self._trigger(algo)

    def _step(self, target: NDArray[np.float64]) -> None:
        """Bring every symbol from its last price to *target* in the paper venue."""
        start = np.where(self.last > 0.0, self.last, target)
        known = (target > 0.0) & self.trading
        self._updates += 1
        batch = self._batch(start, np.where(known, target, start))
        self.last = np.where(known, target, self.last)
        # Funding and waiting orders meet the open, the line itself the rest.
        self._tell(self.paper.on_open(batch))
        self._tell(self.paper.on_range(batch))

    def _batch(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> MarketBatch:
        self._stamp = max(self._stamp + _BATCH_NS, self.now_ns)
        ohlcv = np.column_stack([start, np.maximum(start, end), np.minimum(start, end), end, self.volume])
        return MarketBatch(self._stamp, _BATCH_NS, ohlcv, (start > 0.0) & self.trading)

    def quote(self, index: int) -> tuple[float, float]:
        """Best bid and ask: the taker's cost to either side of the last price."""
        bids, asks = self.levels_at(index, float(self.last[index]), 1)
        return bids[0][0], asks[0][0]

    def levels(self, index: int, count: int) -> tuple[Levels, Levels]:
        """Bids and asks (price, quantity), best first; a made-up book has 20 of each at most."""
        return self.levels_at(index, float(self.last[index]), min(count, MADE_UP_LEVELS))

    def levels_at(self, index: int, last: float, count: int) -> tuple[Levels, Levels]:
        """The book made up around a *last* price: a tick apart, with growing sizes."""
        instrument, cost = self.instruments[index], float(self._costs[index]) * 1e-4
        tick = instrument.tick_size
        bid = max(floor_to(last * (1.0 - cost), tick), tick)
        ask = max(ceil_to(last * (1.0 + cost), tick), bid + tick)
        lot = max(instrument.step_size, _LEVEL_USDT / ask)
        bids = [(bid - level * tick, lot * (1 + level)) for level in range(count) if bid - level * tick > tick / 2]
        return bids, [(ask + level * tick, lot * (1 + level)) for level in range(count)]

    def touch(self) -> None:
        """Count an update of the book, so that a snapshot's id lies within the next update's."""
        self._updates += 1

    def fillable(self, index: int, sign: int, price: float) -> float:
        """How much a limit order of *sign* at *price* would take at once; 0.0 when it would rest."""
        return float(self.volume[index]) if limit_marketable(sign, price, float(self.last[index])) else 0.0

    def book_id(self, index: int) -> int:
        """The update id of a symbol's book as it stands."""
        return self._updates

    def funding_of(self, index: int) -> tuple[float, int]:
        """The rate that is due next, and when (ns)."""
        moment = self._funding[index].next_after(self.now_ns)
        return self._funding[index].rate_at(moment), moment

    def funding_paid(self, index: int, start_ns: int, end_ns: int) -> list[tuple[int, float]]:
        """(time, rate) of the symbol's fundings in [start, end]."""
        return self._funding[index].due(start_ns - 1, end_ns)

    @property
    def update_id(self) -> int:
        """Counts what changed prices or book."""
        return self._updates

    def settle(self) -> None:
        """Give waiting orders their chance at the current prices, without letting time pass."""
        self._step(self.last)

    def take_events(self) -> list[UserEvent | MarketTick]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    # ------------------------------------------------------------------ orders

    def row_of(self, symbol: str) -> int:
        """Index of *symbol*; -1121 when it is unknown."""
        index = self.index.get(symbol)
        if index is None:
            raise ApiError(-1121)
        return index

    def place(self, ticket: OrderTicket) -> Order:
        """Place a regular order; a market order has met the current price when this returns."""
        index = self.row_of(ticket.symbol)
        check_order(self, index, ticket)
        return self._enter(ticket, index)

    def _enter(self, ticket: OrderTicket, index: int, orig_type: str = "", algo: AlgoOrder | None = None) -> Order:
        order = Order(self._next_order, ticket, self.now_ns, orig_type)
        self._next_order += 1
        self._before_submit(index, ticket)
        if not ticket.client_id:
            order.ticket = msgspec.structs.replace(ticket, client_id=f"venue-{order.order_id}")
        answer = self.paper.submit(self._request(order))
        update = answer[0]
        assert isinstance(update, OrderUpdate)
        if update.status is OrderStatus.REJECTED:
            raise ApiError(*_code_of(update.reason, self.instruments[index].min_notional))
        self.orders[order.order_id] = order
        self._open[order.paper_id] = order
        if algo is not None:
            algo.actual_id = order.order_id
            self._algo_of[order.order_id] = algo
            if self.settings.link_by_order_id:
                self._tell_algo(algo, "TRIGGERED")
        self._tell_order(order, "NEW")
        self._meet(order)
        self._apply_tif(order)
        return order

    def _before_submit(self, index: int, ticket: OrderTicket) -> None:
        """What must be so before the paper venue sees an order; nothing here."""

    def _meet(self, order: Order) -> None:
        """Let a new order meet the market, in as many parts as the volume makes."""
        self.settle()
        index, parts = self.row_of(order.ticket.symbol), 0
        while order.status == "PARTIALLY_FILLED" and not self._expires[index] and parts < _MOST_PARTS:
            if order.ticket.type == "LIMIT" and order.ticket.tif not in ("IOC", "FOK"):
                return  # the rest of it rests
            self.settle()
            parts += 1

    def _request(self, order: Order) -> OrderRequest:
        ticket = order.ticket
        limit = ticket.type == "LIMIT"
        return OrderRequest(
            client_order_id=order.paper_id, intent_id="", trace_id="", symbol=ticket.symbol,
            side=OrderSide(ticket.side), type=OrderType.LIMIT if limit else OrderType.MARKET, qty=order.qty,
            created_ns=self._stamp, price=order.price if limit else 0.0, reduce_only=ticket.reduce_only,
        )

    def _apply_tif(self, order: Order) -> None:
        """What is left of an order that may not rest expires."""
        market = order.ticket.type == "MARKET"
        if order.is_open and (market or order.ticket.tif in ("IOC", "FOK")):
            self._cancel_paper(order, "EXPIRED", "9" if market else "2")

    def cancel(self, order: Order) -> Order:
        """Cancel an open order; -2011 when it is not open."""
        if not order.is_open:
            raise ApiError(-2011)
        self._cancel_paper(order, "CANCELED", "0")
        return order

    def _cancel_paper(self, order: Order, status: str, expiry: str) -> None:
        self._open.pop(order.paper_id, None)
        self.paper.cancel(
            CancelRequest(client_order_id=order.paper_id, symbol=order.ticket.symbol, created_ns=self._stamp)
        )
        order.status, order.expiry, order.updated_ns = status, expiry, self.now_ns
        self._tell_order(order, status)
        self._finish_algo(order)

    def amend(self, order: Order, qty: float, price: float) -> Order:
        """Change an open limit order's quantity and price; it keeps its id and what it filled."""
        if not order.is_open or order.ticket.type != "LIMIT":
            raise ApiError(-2013)
        if qty == order.qty and price == order.price:
            raise ApiError(-5027)
        index = self.row_of(order.ticket.symbol)
        changed = msgspec.structs.replace(order.ticket, qty=qty, price=price)
        check_order(self, index, changed, amended=order)
        if qty <= order.filled:
            return self.cancel(order)
        order.ticket, order.qty, order.price, order.updated_ns = changed, qty, price, self.now_ns
        self._before_submit(index, changed)
        self._renew(order)
        self._tell_order(order, "AMENDMENT")
        self._meet(order)
        return order

    def _renew(self, order: Order) -> None:
        """Send what is left of an open order to the paper venue as a new order of its own."""
        self._open.pop(order.paper_id)
        self.paper.cancel(
            CancelRequest(client_order_id=order.paper_id, symbol=order.ticket.symbol, created_ns=self._stamp)
        )
        order.paper_id = f"{order.paper_id}+"
        left = round_to(order.qty - order.filled, self.instruments[self.row_of(order.ticket.symbol)].step_size)
        update = self.paper.submit(msgspec.structs.replace(self._request(order), qty=left))[0]
        assert isinstance(update, OrderUpdate)
        if update.status is OrderStatus.REJECTED:
            order.status, order.expiry, order.updated_ns = "EXPIRED", "4", self.now_ns
            self._tell_order(order, "EXPIRED")
            self._finish_algo(order)
            return
        self._open[order.paper_id] = order

    def find(self, symbol: str, order_id: int = 0, client_id: str = "") -> Order | None:
        """The order of that id, or the newest one of that client id; None when there is none."""
        if order_id:
            order = self.orders.get(order_id)
            return order if order is not None and order.ticket.symbol == symbol else None
        for order in reversed(self.orders.values()):
            if order.ticket.client_id == client_id and order.ticket.symbol == symbol:
                return order
        return None

    def open_orders(self, symbol: str = "") -> list[Order]:
        """Open regular orders, oldest first."""
        return [order for order in self._open.values() if not symbol or order.ticket.symbol == symbol]

    # ------------------------------------------------------------------ conditional orders

    def place_algo(self, ticket: OrderTicket) -> AlgoOrder:
        """Accept a conditional order into the algo service."""
        index = self.row_of(ticket.symbol)
        check_algo(self, index, ticket)
        algo = AlgoOrder(self._next_algo, ticket, self.now_ns)
        self._next_algo += 1
        if not ticket.client_id:
            algo.ticket = msgspec.structs.replace(ticket, client_id=f"algo-{algo.algo_id}")
        algo.follow(float(self.last[index]))
        self.algos[algo.algo_id] = algo
        self._waiting[index].append(algo)
        self._tell_algo(algo, "NEW")
        return algo

    def cancel_algo(self, algo: AlgoOrder, status: str = "CANCELED") -> AlgoOrder:
        """Take a waiting conditional order away; -2011 when it waits no more."""
        if not algo.is_open:
            raise ApiError(-2011)
        self._waiting[self.row_of(algo.ticket.symbol)].remove(algo)
        self._tell_algo(algo, status)
        return algo

    def find_algo(self, algo_id: int = 0, client_id: str = "") -> AlgoOrder | None:
        """The conditional order of that id, or the newest one of that client id."""
        if algo_id:
            return self.algos.get(algo_id)
        return next((algo for algo in reversed(self.algos.values()) if algo.ticket.client_id == client_id), None)

    def open_algos(self, symbol: str = "") -> list[AlgoOrder]:
        """Waiting conditional orders, oldest first."""
        found = [algo for waiting in self._waiting for algo in waiting if not symbol or algo.ticket.symbol == symbol]
        return sorted(found, key=lambda algo: algo.algo_id)

    def _trigger(self, algo: AlgoOrder) -> None:
        """Turn a conditional order into a regular one at the current price."""
        ticket, index = algo.ticket, self.row_of(algo.ticket.symbol)
        self._waiting[index].remove(algo)
        algo.triggered_ns = self.now_ns
        self._tell_algo(algo, "TRIGGERING")
        qty = ticket.qty
        if ticket.close_position:
            qty = abs(self.account.holding(index).qty)
        kind = "LIMIT" if ticket.type in ("STOP", "TAKE_PROFIT") else "MARKET"
        own = f"venue-{self._next_order}" if self.settings.link_by_order_id else ticket.client_id
        regular = msgspec.structs.replace(
            ticket, type=kind, qty=qty, client_id=own, reduce_only=ticket.reduce_only or ticket.close_position,
            tif=ticket.tif if kind == "LIMIT" and ticket.tif != "GTE_GTC" else "GTC",
        )
        try:
            if qty <= 0.0:
                raise ApiError(-2022)
            order = self._enter(regular, index, ticket.type, algo)
        except ApiError as error:
            algo.reason = "Reduce Only reject" if error.code == -2022 else error.message
            self._tell_algo(algo, "REJECTED")
            return
        if order.is_open and not self.settings.link_by_order_id:
            self._tell_algo(algo, "TRIGGERED")

    def _finish_algo(self, order: Order) -> None:
        """A conditional order is finished when the regular one it became is."""
        algo = self._algo_of.pop(order.order_id, None)
        if algo is None:
            return
        if algo.status == "TRIGGERING":
            self._tell_algo(algo, "TRIGGERED")
        self._tell_algo(algo, "FINISHED")

    # ------------------------------------------------------------------ account

    def set_leverage(self, symbol: str, leverage: int) -> int:
        """Set and return the leverage in force: -4028 outside the table, -4161 for less with an open position."""
        index = self.row_of(symbol)
        if not 1 <= leverage <= max(tier.max_leverage for tier in self.instruments[index].tiers):
            raise ApiError(-4028, leverage)
        before = self.paper.leverage(symbol)
        if self.paper.set_leverage(symbol, float(leverage)) != leverage:
            raise ApiError(-4161)
        if before != leverage:
            self._events.append(ConfigEvent(ts_ns=self.now_ns, symbol=symbol, leverage=leverage))
        return leverage

    def move_margin(self, index: int, amount: float) -> None:
        """Add margin to (or, negative, take from) an isolated position; -4051 when there is not as much."""
        if not self.paper.move_margin(self.symbols[index], amount):
            raise ApiError(-4051)
        self._events.append(self.account.moved_margin(index, amount, float(self.last[index]), self.now_ns))

    def pay(self, amount: float) -> None:
        """Pay money into the account, or (negative) out of it; -4051 for more than is free."""
        if not self.paper.pay(amount):
            raise ApiError(-4051)
        self._events.append(self.account.paid(amount, self.now_ns))

    def tell(self, event: UserEvent) -> None:
        """Add an event of the account that came about outside the exchange."""
        self._events.append(event)

    # ------------------------------------------------------------------ what an exchange does to one

    def halt(self, symbol: str) -> None:
        """Stop trading in *symbol*: no prices, no new orders, nothing fills."""
        self.trading[self.row_of(symbol)] = False

    def resume(self, symbol: str) -> None:
        """Trade again, from where the tape is now."""
        index = self.row_of(symbol)
        if self.delisted[index]:
            raise ApiError(-4141)
        self.trading[index] = True
        target = self.last.copy()
        target[index] = self.tape.last_price(index, self.now_ns) or target[index]
        self._jump(target)

    def delist(self, symbol: str) -> None:
        """Settle the position, cancel what is open, and never trade *symbol* again."""
        index = self.row_of(symbol)
        self._force_close(index, f"settlement_autoclose-{self._next_order}")
        self.trading[index], self.delisted[index] = False, True

    def deleverage(self, symbol: str) -> None:
        """Close the position against somebody's liquidation (ADL)."""
        self._force_close(self.row_of(symbol), "adl_autoclose")

    def liquidate(self, symbol: str) -> None:
        """Let the price touch the position's liquidation price and come back; -4054 without a position."""
        index = self.row_of(symbol)
        price = self.account.holding(index).liquidation
        if price <= 0.0:
            raise ApiError(-4054)
        before = self.last.copy()
        target = before.copy()
        target[index] = price
        self._step(target)
        self._step(before)

    def limit_volume(self, symbol: str, qty: float | None, *, expire: bool = False) -> None:
        """Fill orders of *symbol* in parts of *qty*, or (*expire*) that much and no more; None: whole again."""
        index = self.row_of(symbol)
        self._most[index] = AMPLE if qty is None else qty
        self._limit_batches(index)
        self._expires[index] = expire

    def _limit_batches(self, index: int) -> None:
        """Let the most that may fill at once be the volume of the next batches."""
        self.volume[index] = self._most[index]

    def _force_close(self, index: int, client_id: str) -> None:
        for algo in tuple(self._waiting[index]):
            self.cancel_algo(algo, "EXPIRED")
        self._tell(self.paper.close_before_hole(self.symbols[index], self._stamp), forced_id=client_id)

    # ------------------------------------------------------------------ events, inside

    def _tell(self, events: Iterable[VenueEvent], forced_id: str = "") -> None:
        """Translate what the paper venue says, in its order."""
        for event in events:
            if isinstance(event, Fill):
                self._filled(event, forced_id)
            elif isinstance(event, FundingPayment):
                index = self.index[event.symbol]
                self._events.append(self.account.funded(index, event.amount, float(self.last[index]), self.now_ns))
            elif event.status not in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED):
                self._ended(event)

    def _filled(self, fill: Fill, forced_id: str) -> None:
        index = self.index[fill.symbol]
        order = self._open.get(fill.client_order_id) or self._forced_order(fill, forced_id)
        trade_id, self._next_trade = self._next_trade, self._next_trade + 1
        realised, account = self.account.filled(index, fill, self.paper.leverage(fill.symbol), trade_id, self.now_ns)
        order.filled = round(order.filled + fill.qty, 12)
        order.quote += fill.qty * fill.price
        order.average = order.quote / order.filled
        order.maker, order.updated_ns = fill.liquidity == "maker", self.now_ns
        order.status = "FILLED" if order.filled >= order.qty * (1.0 - 1e-12) else "PARTIALLY_FILLED"
        trade = Trade(
            trade_id=trade_id, order_id=order.order_id, client_id=order.ticket.client_id, symbol=fill.symbol,
            side=fill.side.value, qty=fill.qty, price=fill.price, fee=fill.fee, realised=realised, maker=order.maker,
            ts_ns=self.now_ns, liquidation=fill.liquidation,
        )
        self.trades.append(trade)
        self._events.append(account)
        self._tell_order(order, "CALCULATED" if fill.liquidation else "TRADE", trade)
        if order.status == "FILLED":
            self._open.pop(order.paper_id, None)
            self._finish_algo(order)

    def _forced_order(self, fill: Fill, forced_id: str) -> Order:
        """The order the venue itself sends to liquidate, deleverage or settle."""
        if fill.liquidation:
            forced_id = f"autoclose-{self._next_order}"
            for algo in tuple(self._waiting[self.index[fill.symbol]]):
                self.cancel_algo(algo, "EXPIRED")
        ticket = OrderTicket(
            symbol=fill.symbol, side=fill.side.value, type="LIMIT" if fill.liquidation else "MARKET", qty=fill.qty,
            price=fill.price if fill.liquidation else 0.0, client_id=forced_id, reduce_only=True, tif="IOC",
        )
        order = Order(self._next_order, ticket, self.now_ns, "LIQUIDATION" if fill.liquidation else "MARKET")
        self._next_order += 1
        self.orders[order.order_id] = order
        self._tell_order(order, "NEW")
        return order

    def _ended(self, update: OrderUpdate) -> None:
        """An order the paper venue took off the book by itself."""
        order = self._open.pop(update.client_order_id, None)
        if order is None:
            return
        order.status, order.expiry, order.updated_ns = "EXPIRED", "4", self.now_ns
        self._tell_order(order, "EXPIRED")
        self._finish_algo(order)

    def _tell_order(self, order: Order, execution: str, trade: Trade | None = None) -> None:
        ticket = order.ticket
        self._events.append(OrderEvent(
            execution=execution, order_id=order.order_id, client_id=ticket.client_id, symbol=ticket.symbol,
            side=ticket.side, type=ticket.type, orig_type=order.orig_type, tif=ticket.tif, qty=order.qty,
            price=order.price, trigger_price=ticket.trigger_price, average=order.average, status=order.status,
            filled=order.filled, reduce_only=ticket.reduce_only, close_position=ticket.close_position,
            working_type=ticket.working_type, ts_ns=self.now_ns, expiry=order.expiry,
            good_till_ms=ticket.good_till_ms, trade=trade,
        ))

    def _tell_algo(self, algo: AlgoOrder, status: str) -> None:
        algo.status, algo.updated_ns = status, self.now_ns
        order = self.orders.get(algo.actual_id)
        self._events.append(AlgoEvent(
            algo_id=algo.algo_id, ticket=algo.ticket, status=status, ts_ns=self.now_ns, actual_id=algo.actual_id,
            actual_type=order.ticket.type if order else "", average=order.average if order else 0.0,
            filled=order.filled if order else 0.0, triggered_ns=algo.triggered_ns, reason=algo.reason,
        ))


def _passed(algo: AlgoOrder, price: float) -> bool:
    """Whether *price* is at or beyond the trigger."""
    level = algo.level
    return level > 0.0 and (price >= level if algo.rising else price <= level)


def _history(
    funding: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]], symbol: str
) -> tuple[list[int], list[float]]:
    """Times and rates of *symbol* as the schedule wants them."""
    times, rates = funding.get(symbol, ((), ()))
    return [int(ts_ns) for ts_ns in times], [float(rate) for rate in rates]


def _code_of(reason: str, min_notional: float) -> tuple[int, object]:
    """Binance's code for what the paper venue refuses, with the detail its message shows."""
    return int(reason.split(" ", 1)[0]), f"{min_notional:g}"
