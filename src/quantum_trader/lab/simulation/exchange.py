"""The exchange of a simulated day: the truth about orders and money, living on through every restart of the trader.

A paper venue does the matching; it is fed ticks instead of bars: the recording's bars are walked through open, both
extremes and close in several ticks each, and an order that arrives between two ticks meets the price that stands.
What people and the exchange itself do to the account (manual trades, auto-deleveraging, halts) is done here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import VenueError
from quantum_trader.domain.instrument import Instrument, floor_to, round_to
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import Rejection, VenueEvent, VenueOrder
from quantum_trader.engine.venue_port import (
    Kline,
    LeverageChanged,
    MarkPrice,
    Quote,
    StreamEvent,
    Transfer,
    WalletChanged,
)
from quantum_trader.lab.simulation.calm import Weather
from quantum_trader.lab.simulation.loop import VirtualLoop
from quantum_trader.lab.simulation.schedule import Fault, Kind
from quantum_trader.venues.paper.venue import PaperSettings, PaperVenue

TICKS_PER_BAR: Final = 10
PLENTY: Final = 1e12  # volume of a tick, when fills are whole
KLINE_DELAY_S: Final = 0.02  # a completed bar is told so long after its end
_EXTREMES: Final = (0, 3, 6, 9)  # ticks of a bar at open, one extreme, the other, close

_OFF_GRID: Final = 1e-6  # of a tick
_COARSER: Final = (1.0, 2.0, 5.0, 10.0)  # as ticks are: 0.01, 0.02, 0.05, 0.1
Publish = Callable[[str, tuple[StreamEvent, ...]], None]


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """One order the exchange took, and what held at that moment."""

    ts_ns: int
    request: OrderRequest
    leverage: float
    position_qty: float
    by_trader: bool


class Exchange:
    """Truth and market of one day. *ohlcv* (T, S, 5) are the day's bars, the first opening at *start_ns*."""

    def __init__(
        self, loop: VirtualLoop, instruments: Sequence[Instrument], ohlcv: Any, start_ns: int, interval_ns: int,
        wallet: float, rng: Random, weather: Weather | None = None,
    ) -> None:
        self.loop, self.weather = loop, weather or Weather()
        self.instruments = tuple(instruments)
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.start_ns, self.interval_ns = start_ns, interval_ns
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}
        size = len(self.symbols)
        self.paper = PaperVenue(
            instruments, PaperSettings(initial_cash=wallet, participation=1.0, default_taker_cost_bps=1.0)
        )
        self._path = tick_path(ohlcv, [i.tick_size for i in instruments], rng)
        self._volumes = ohlcv[:, :, 4].tolist()
        self._bars = len(ohlcv)
        self.prices = [float(price) for price in self._path[0]]
        self._scale = [1.0] * size
        self._bar = [[0.0, 0.0, 0.0, 0.0] for _ in range(size)]  # open, high, low, close of the bar so far
        self.halted = [False] * size
        self.delisted = [False] * size
        self._thin = [0] * size  # ticks' fills of so many steps at most; 0: whole
        self.klines: dict[str, list[Kline]] = {symbol: [] for symbol in self.symbols}
        self.fills: list[Fill] = []
        self.funding: list[FundingPayment] = []
        self.accepted: list[Acceptance] = []
        self.acceptances: dict[str, int] = {}
        self.cancelled: list[VenueOrder] = []  # open stops that the trader cancelled
        self.klines_refused_s: dict[str, float] = {}  # symbol -> until when nobody gets its bars by asking
        self.filters = list(instruments)  # as they are now
        self.moves: list[Transfer] = []
        self.publish: Publish = _nobody
        self.struck: Callable[[Kind], None] = lambda kind: None
        self._waiting: list[Fault] = []  # faults that need a position to strike
        self._refuse_openings = self._refuse_stops = self._refuse_closes = 0
        self._keep_leverage: set[str] = set()
        self.lowered_ns: dict[str, int] = {}  # when a person last lowered a symbol's leverage
        self._outside = 0
        self._buffers = [(np.zeros((size, 5)), np.ones(size, dtype=np.bool_)) for _ in range(2)]
        self._batch_ns = 0
        self.version = 0  # moves whenever an order or a position does
        self._settle()
        self._schedule_bar(0)

    # ------------------------------------------------------------------ time and market

    def now_ns(self) -> int:
        """The venue's clock."""
        return self.start_ns + round(self.loop.time() * NS_PER_SECOND)

    def _schedule_bar(self, bar: int) -> None:
        """Plan the ticks of one bar and its end; the end plans the next."""
        if bar >= self._bars:
            return
        length = self.interval_ns / NS_PER_SECOND
        begin = bar * length
        for tick in range(TICKS_PER_BAR):
            at = begin + tick * (length - 2.0) / (TICKS_PER_BAR - 1) + 0.5
            self.loop.call_at(at, self._tick, bar, tick)
        self.loop.call_at(begin + length + KLINE_DELAY_S, self._end_bar, bar)

    def _tick(self, bar: int, tick: int) -> None:
        row = self._path[bar * TICKS_PER_BAR + tick]
        for index in range(len(self.symbols)):
            if not self.halted[index]:
                self._set_price(index, float(row[index]) * self._scale[index], tick == 0)
        self._settle()
        self._tell_prices()
        for fault in self._waiting[:]:
            if self._strike(fault):
                self._waiting.remove(fault)

    def _set_price(self, index: int, price: float, first: bool = False) -> None:
        increment = self.instruments[index].tick_size
        price = max(round_to(price, increment), increment)
        self.prices[index] = price
        bar = self._bar[index]
        if first or bar[0] == 0.0:
            bar[:] = (price, price, price, price)
        else:
            bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price

    def _tell_prices(self) -> None:
        now = self.now_ns()
        told: list[StreamEvent] = []
        for index, symbol in enumerate(self.symbols):
            if self.halted[index]:
                continue
            price, tick = self.prices[index], self.instruments[index].tick_size
            told.append(Quote(symbol=symbol, bid=price, bid_qty=1.0, ask=price + tick, ask_qty=1.0, ts_ns=now))
            told.append(
                MarkPrice(
                    symbol=symbol, price=price, funding_rate=0.0001, next_funding_ns=_next_funding(now), ts_ns=now
                )
            )
        if told:
            self.publish("market", tuple(told))

    def _end_bar(self, bar: int) -> None:
        for index, symbol in enumerate(self.symbols):
            row = self._bar[index]
            if row[0] == 0.0:
                continue
            kline = Kline(
                symbol=symbol, interval_ns=self.interval_ns, ts_ns=self.start_ns + bar * self.interval_ns, open=row[0],
                high=row[1], low=row[2], close=row[3], volume=max(self._volumes[bar][index], 1.0),
            )
            self.klines[symbol].append(kline)
            row[:] = (0.0, 0.0, 0.0, 0.0)
            self.publish("market", (kline,))
        self._schedule_bar(bar + 1)

    # ------------------------------------------------------------------ matching

    def _settle(self) -> None:
        """Let the market meet everything that waits, at the prices that stand."""
        ohlcv, present = self._buffers[0]
        self._buffers.reverse()
        for index, price in enumerate(self.prices):
            ohlcv[index, :4] = price
            thin = self._thin[index]
            ohlcv[index, 4] = thin * self.instruments[index].step_size if thin else PLENTY
            present[index] = not self.halted[index]
        self._batch_ns = max(self.now_ns(), self._batch_ns + 1)
        self._tell_account(self.paper.on_open(MarketBatch(self._batch_ns, NS_PER_SECOND, ohlcv, present)))

    def _tell_account(self, events: Sequence[VenueEvent]) -> None:
        """Note *events* and send them, each fill together with the order update that follows from it."""
        if not events:
            return
        self.version += 1
        pending: list[StreamEvent] = []
        for raw in events:
            event = _as_told(raw)
            if isinstance(event, Fill):
                self.fills.append(event)
            elif isinstance(event, FundingPayment):
                self.funding.append(event)
            elif event.status is OrderStatus.REJECTED:
                continue
            pending.append(event)
            if not isinstance(event, Fill) or event.client_order_id.startswith("autoclose"):
                self._tell_wallet(pending)
                pending = []
        if pending:
            self._tell_wallet(pending)

    def _tell_wallet(self, message: list[StreamEvent]) -> None:
        self.publish("user", tuple(message))
        reason = "FUNDING_FEE" if isinstance(message[0], FundingPayment) else "ORDER"
        if reason == "FUNDING_FEE" or isinstance(message[0], Fill):
            wallet = self.paper.balance().wallet
            self.publish("user", (WalletChanged(wallet=wallet, reason=reason, ts_ns=self.now_ns()),))

    # ------------------------------------------------------------------ requests of the trader

    def submit(self, request: OrderRequest, *, by_trader: bool = True) -> OrderUpdate:
        """Take or refuse an order; a market order meets the price at once, and is told by the stream."""
        refused = self._refusal(request) if by_trader else ""
        now = self.now_ns()
        if refused:
            return _refused(request, refused, now)
        position = self.position_qty(request.symbol)
        leverage = self.paper.leverage(request.symbol) if request.symbol in self._index else 0.0
        events = self.paper.submit(msgspec.structs.replace(request, created_ns=now))
        answer = events[0]
        assert isinstance(answer, OrderUpdate)
        if answer.status is OrderStatus.NEW and not answer.reason:
            self.acceptances[request.client_order_id] = self.acceptances.get(request.client_order_id, 0) + 1
            self.accepted.append(
                Acceptance(
                    ts_ns=now, request=request, leverage=leverage, position_qty=position, by_trader=by_trader
                )
            )
            self._tell_account(events)
            self._settle()
        return answer

    def _refusal(self, request: OrderRequest) -> str:
        """Why the exchange takes no such order now."""
        index = self._index.get(request.symbol)
        if index is None or self.delisted[index]:
            return f"{Rejection.UNKNOWN_SYMBOL.value} {request.symbol} is not traded"
        if self.halted[index]:
            return f"{Rejection.NO_PRICE.value} {request.symbol} is halted"
        if self._refuse_openings and not request.reduce_only:
            self._refuse_openings -= 1
            self._refuses(Kind.ORDER_REFUSED, request.symbol)
            return f"{Rejection.MARGIN.value} the margin is insufficient"
        if self._refuse_stops and request.type is OrderType.STOP_MARKET:
            self._refuse_stops -= 1
            self._refuses(Kind.STOP_REFUSED, request.symbol)
            return f"{Rejection.WOULD_TRIGGER.value} the order would trigger at once"
        if self._refuse_closes and request.reduce_only and request.type is OrderType.MARKET:
            self._refuse_closes -= 1
            self._refuses(Kind.CLOSE_REFUSED, request.symbol)
            return f"{Rejection.REDUCE_ONLY.value} the order was refused"
        filters = self.filters[index]
        if request.stop_price > 0.0 and not is_on_grid(request.stop_price, filters.tick_size):
            self._refuses(Kind.FILTERS_CHANGED, request.symbol)
            return f"{Rejection.TICK.value} the price is not on the tick size {filters.tick_size:g}"
        if not is_on_grid(request.qty, filters.step_size):
            self._refuses(Kind.FILTERS_CHANGED, request.symbol)
            return f"{Rejection.STEP.value} the quantity is not on the step size {filters.step_size:g}"
        return ""

    def _refuses(self, kind: Kind, symbol: str) -> None:
        self.struck(kind)
        self.weather.refused(symbol, self.loop.time())

    def cancel(self, request: CancelRequest, *, by_trader: bool = True) -> OrderUpdate:
        """Cancel an open order, or say what became of it."""
        orders = self.paper.open_orders(request.symbol)
        open_now = [order for order in orders if order.client_order_id == request.client_order_id]
        if by_trader:
            self.cancelled += [order for order in open_now if order.type is OrderType.STOP_MARKET]
        events = self.paper.cancel(msgspec.structs.replace(request, created_ns=self.now_ns()))
        if open_now:
            self._tell_account(events)
        answer = events[0]
        assert isinstance(answer, OrderUpdate)
        return answer

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Set a leverage, unless a fault keeps the old one; returns what is in force."""
        if symbol in self._keep_leverage and self.paper.leverage(symbol) != leverage:
            self._keep_leverage.discard(symbol)
            return self.paper.leverage(symbol)
        return self._change_leverage(symbol, leverage)

    def _change_leverage(self, symbol: str, leverage: float) -> float:
        before = self.paper.leverage(symbol)
        actual = self.paper.set_leverage(symbol, leverage)
        if actual != before:
            self.publish("user", (LeverageChanged(symbol=symbol, leverage=actual, ts_ns=self.now_ns()),))
        return actual

    def bars(self, symbol: str, start_ns: int, end_ns: int) -> list[Kline]:
        """The completed bars of *symbol* that open in [start, end); VenueError where they are refused."""
        if self.klines_refused_s.get(symbol, -1.0) > self.loop.time():
            self.struck(Kind.KLINES_REFUSED)
            self.weather.bars_s = self.loop.time()
            raise VenueError(f"{symbol}: bars cannot be asked for now")
        return [kline for kline in self.klines[symbol] if start_ns <= kline.ts_ns < end_ns]

    def ticker(self, symbol: str) -> float:
        """The last price; VenueError for what is not traded any more."""
        index = self._index[symbol]
        if self.delisted[index]:
            raise VenueError(f"{symbol}: is not traded any more")
        return self.prices[index]

    def position_qty(self, symbol: str) -> float:
        """Signed quantity held of *symbol*."""
        return ordered_sum(position.qty for position in self.paper.positions() if position.symbol == symbol)

    # ------------------------------------------------------------------ what people and the exchange do

    def apply(self, fault: Fault) -> None:
        """Do what *fault* says; one that needs a position waits for the first."""
        if not self._strike(fault):
            self._waiting.append(fault)

    def _strike(self, fault: Fault) -> bool:
        """Do it now, and say whether it was possible."""
        done = _STRIKES[fault.kind](self, fault)
        if done and fault.kind not in _STRIKE_LATER:
            self.struck(fault.kind)
            self.version += 1
        return done

    def _held(self, wanted: str) -> tuple[int, float] | None:
        """A symbol that is held and its quantity, *wanted* before the others."""
        held = [p for p in self.paper.positions() if not self.halted[self._index[p.symbol]]]
        held.sort(key=lambda position: position.symbol != wanted)
        return (self._index[held[0].symbol], held[0].qty) if held else None

    def _outside_order(self, prefix: str, index: int, sign: int, qty: float, *, reduce_only: bool) -> None:
        """A market order that the trader did not send."""
        self._outside += 1
        self.weather.people(self.symbols[index], self.loop.time())
        instrument = self.instruments[index]
        self.submit(
            OrderRequest(
                client_order_id=f"{prefix}{self._outside}", intent_id="", trace_id="", symbol=instrument.symbol,
                side=OrderSide.BUY if sign > 0 else OrderSide.SELL, type=OrderType.MARKET,
                qty=max(floor_to(qty, instrument.step_size), instrument.min_qty), created_ns=0,
                reduce_only=reduce_only,
            ),
            by_trader=False,
        )

    def _reduce_share(self, prefix: str, fault: Fault) -> bool:
        held = self._held(fault.on)
        if held is None:
            return False
        index, qty = held
        size = abs(qty) if fault.value >= 0.999 else abs(qty) * fault.value
        thin, self._thin[index] = self._thin[index], 0
        self._outside_order(prefix, index, -1 if qty > 0.0 else 1, size, reduce_only=True)
        self._thin[index] = thin
        return True

    def _manual_open(self, fault: Fault) -> bool:
        index = self._index[fault.on]
        if self.halted[index]:
            return False
        notional = abs(fault.value) * max(self.paper.balance().available, 0.0)
        self._outside_order("web_", index, 1 if fault.value > 0.0 else -1, notional / self.prices[index],
                            reduce_only=False)
        return True

    def _foreign_order(self, fault: Fault) -> bool:
        """A resting limit order, a little away from the price."""
        index = self._index[fault.on]
        if self.halted[index]:
            return False
        self._outside += 1
        instrument, sign = self.instruments[index], 1 if fault.value > 0.0 else -1
        notional = abs(fault.value) * max(self.paper.balance().available, 0.0)
        self.submit(
            OrderRequest(
                client_order_id=f"web_{self._outside}", intent_id="", trace_id="", symbol=fault.on,
                side=OrderSide.BUY if sign > 0 else OrderSide.SELL, type=OrderType.LIMIT,
                qty=max(floor_to(notional / self.prices[index], instrument.step_size), instrument.min_qty),
                price=round_to(self.prices[index] * (1.0 - sign * 0.004), instrument.tick_size), created_ns=0,
            ),
            by_trader=False,
        )
        return True

    def _transfer(self, fault: Fault) -> bool:
        """Pay money in or out; never more out than is free."""
        free = self.paper.balance().available
        amount = max(fault.value, -0.5 * free) if fault.value < 0.0 else fault.value
        state = self.paper.state()
        state["account"]["cash"] += amount
        self.paper.load_state(state)
        self.moves.append(Transfer(
            move_id=f"m{len(self.moves)}", amount=amount, ts_ns=self.now_ns(), reason="TRANSFER"
        ))
        wallet = self.paper.balance().wallet
        reason = "DEPOSIT" if amount > 0.0 else "WITHDRAW"
        self.publish("user", (WalletChanged(wallet=wallet, reason=reason, ts_ns=self.now_ns(), moved=amount),))
        return True

    def _cancel_stop(self, fault: Fault) -> bool:
        stops = [o for o in self.paper.open_orders() if o.type is OrderType.STOP_MARKET]
        stops.sort(key=lambda order: order.symbol != fault.on)
        if not stops:
            return False
        self.weather.people(stops[0].symbol, self.loop.time())
        gone = CancelRequest(client_order_id=stops[0].client_order_id, symbol=stops[0].symbol, created_ns=0)
        self.cancel(gone, by_trader=False)
        return True

    def _gap(self, fault: Fault) -> bool:
        index = self._index[fault.on]
        if self.halted[index]:
            return False
        self._scale[index] *= 1.0 + fault.value
        self._set_price(index, self.prices[index] * (1.0 + fault.value))
        self._settle()
        self._tell_prices()
        return True

    def _liquidation(self, fault: Fault) -> bool:
        held = self._held(fault.on)
        if held is None:
            return False
        index, qty = held
        position = next(p for p in self.paper.positions() if p.symbol == self.symbols[index])
        if position.liquidation_price <= 0.0:
            return False
        before = self.prices[index]
        self._set_price(index, position.liquidation_price * (0.995 if qty > 0.0 else 1.005))
        self._settle()
        self._tell_prices()
        self.loop.call_later(1.0, self._come_back, index, before)
        return True

    def _come_back(self, index: int, price: float) -> None:
        if not self.halted[index]:
            self._set_price(index, price)
            self._settle()
            self._tell_prices()

    def _halt_symbol(self, fault: Fault) -> bool:
        index = self._index[fault.on]
        if not self.delisted[index]:
            self.halted[index] = True
            self.weather.refused(fault.on, self.loop.time() + fault.seconds)
            self.loop.call_later(fault.seconds, self._open_symbol, index)
        return True

    def _open_symbol(self, index: int) -> None:
        if not self.delisted[index]:
            self.halted[index] = False
            self.version += 1
            self._settle()

    def _delist(self, fault: Fault) -> bool:
        """Settle what is held at the last price, cancel what rests, and trade the symbol no more."""
        index = self._index[fault.on]
        if self.halted[index]:
            return False
        for order in self.paper.open_orders(fault.on):
            gone = CancelRequest(client_order_id=order.client_order_id, symbol=fault.on, created_ns=0)
            self.cancel(gone, by_trader=False)
        qty, self._thin[index] = self.position_qty(fault.on), 0
        if qty != 0.0:
            self._outside_order("settlement_autoclose-", index, -1 if qty > 0.0 else 1, abs(qty), reduce_only=True)
        self.delisted[index] = self.halted[index] = True
        return True

    def _thin_out(self, fault: Fault) -> bool:
        index = self._index[fault.on]
        instrument = self.instruments[index]
        self._thin[index] = max(1, int(400.0 / (self.prices[index] * instrument.step_size)))
        self.loop.call_later(fault.seconds, self._thicken, index)
        return True

    def _thicken(self, index: int) -> None:
        self._thin[index] = 0
        self._settle()

    def _arm_refusals(self, fault: Fault) -> bool:
        if fault.kind is Kind.ORDER_REFUSED:
            self._refuse_openings += fault.count
        elif fault.kind is Kind.STOP_REFUSED:
            self._refuse_stops += fault.count
        else:
            self._refuse_closes += fault.count
        return True

    def _change_filters(self, fault: Fault) -> bool:
        """Make tick and step of a symbol coarser, as exchanges do; what rests already stays."""
        index = self._index[fault.on]
        now, was = self.filters[index], self.instruments[index]
        tick = round(was.tick_size * _COARSER[int(fault.value) % 4], 10)
        step = round(was.step_size * _COARSER[int(10.0 * fault.value) % 4], 10)
        self.filters[index] = msgspec.structs.replace(
            now, tick_size=tick, step_size=step, min_qty=max(was.min_qty, step)
        )
        return True

    def _refuse_klines(self, fault: Fault) -> bool:
        self.klines_refused_s[fault.on] = self.loop.time() + fault.seconds
        return True

    def _future_bar(self, fault: Fault) -> bool:
        """Tell a bar that is not complete for some bars to come."""
        price = self.prices[self._index[fault.on]]
        opens_ns = (self.now_ns() // self.interval_ns + max(1, int(fault.value))) * self.interval_ns
        self.publish("market", (
            Kline(symbol=fault.on, interval_ns=self.interval_ns, ts_ns=opens_ns, open=price, high=price, low=price,
                  close=price, volume=1.0),
        ))
        return True

    def _raise_leverage(self, fault: Fault) -> bool:
        """A person raises the leverage of an open position; margin is freed, and the liquidation comes nearer."""
        held = self._held(fault.on)
        if held is None:
            return False
        index, qty = held
        symbol, state = self.symbols[index], self.paper.state()
        most = max(tier.max_leverage for tier in self.paper.instrument(symbol).tiers)
        leverage = float(int(min(fault.value, most)))
        if leverage <= state["leverage"][index]:
            return False
        state["leverage"][index] = leverage
        self.paper.load_state(state)
        position = next(p for p in self.paper.positions() if p.symbol == symbol)
        needed = 1.001 * abs(qty) * position.mark_price / leverage
        self.paper.move_margin(symbol, min(needed - position.margin, 0.0))
        self.weather.people(symbol, self.loop.time())
        self.lowered_ns[symbol] = self.now_ns()
        self.publish("user", (LeverageChanged(symbol=symbol, leverage=leverage, ts_ns=self.now_ns()),))
        return True

    def _lower_leverage(self, fault: Fault) -> bool:
        """A person sets another leverage where nothing is held; the next attempt to set it has no effect."""
        symbol, leverage = fault.on, float(max(1, int(fault.value)))
        if self.delisted[self._index[symbol]] or self._change_leverage(symbol, leverage) != leverage:
            return False
        self._keep_leverage.add(symbol)
        self.lowered_ns[symbol] = self.now_ns()
        return True


def tick_path(ohlcv: Any, tick_sizes: Sequence[float], rng: Random) -> Any:
    """Prices (T * TICKS_PER_BAR, S) that walk each bar through open, one extreme, the other, and close."""
    bars, size = ohlcv.shape[:2]
    path = np.empty((bars, TICKS_PER_BAR, size))
    ticks = np.arange(TICKS_PER_BAR)
    for bar in range(bars):
        for column in range(size):
            open_, high, low, close = ohlcv[bar, column, :4].tolist()
            falling_first = rng.random() < (0.7 if close >= open_ else 0.3)
            corners = (open_, low, high, close) if falling_first else (open_, high, low, close)
            path[bar, :, column] = np.interp(ticks, _EXTREMES, corners)
    return path.reshape(bars * TICKS_PER_BAR, size)


def is_on_grid(value: float, increment: float) -> bool:
    """Whether *value* is a multiple of *increment*."""
    return abs(value / increment - round(value / increment)) < _OFF_GRID


def _next_funding(now_ns: int) -> int:
    """The next of 00:00, 08:00 and 16:00 UTC."""
    eight_hours = 8 * 3600 * NS_PER_SECOND
    return (now_ns // eight_hours + 1) * eight_hours


def _as_told(event: VenueEvent) -> VenueEvent:
    """*event* as the account is told it: deleveraging has the exchange's own name and counts as liquidation."""
    if isinstance(event, FundingPayment) or not event.client_order_id.startswith("adl_autoclose"):
        return event
    if isinstance(event, Fill):
        return msgspec.structs.replace(event, client_order_id="adl_autoclose", liquidation=True)
    return msgspec.structs.replace(event, client_order_id="adl_autoclose")


def _refused(request: OrderRequest, reason: str, ts_ns: int) -> OrderUpdate:
    return OrderUpdate(
        client_order_id=request.client_order_id, venue_order_id="", symbol=request.symbol,
        status=OrderStatus.REJECTED, ts_ns=ts_ns, reason=reason,
    )


def _nobody(stream: str, message: tuple[StreamEvent, ...]) -> None:
    """Nobody listens."""


_STRIKES: Final[dict[Kind, Callable[[Exchange, Fault], bool]]] = {
    Kind.PARTIAL_FILLS: Exchange._thin_out,
    Kind.SYMBOL_HALTED: Exchange._halt_symbol,
    Kind.DELISTED: Exchange._delist,
    Kind.LIQUIDATION: Exchange._liquidation,
    Kind.ADL: lambda exchange, fault: exchange._reduce_share("adl_autoclose", fault),
    Kind.MANUAL_CLOSE: lambda exchange, fault: exchange._reduce_share("web_", fault),
    Kind.LEVERAGE_KEPT: Exchange._lower_leverage,
    Kind.ORDER_REFUSED: Exchange._arm_refusals,
    Kind.STOP_REFUSED: Exchange._arm_refusals,
    Kind.CLOSE_REFUSED: Exchange._arm_refusals,
    Kind.FILTERS_CHANGED: Exchange._change_filters,
    Kind.KLINES_REFUSED: Exchange._refuse_klines,
    Kind.BAR_FROM_FUTURE: Exchange._future_bar,
    Kind.LEVERAGE_RAISED: Exchange._raise_leverage,
    Kind.PRICE_GAP: Exchange._gap,
    Kind.MANUAL_OPEN: Exchange._manual_open,
    Kind.STOP_CANCELLED: Exchange._cancel_stop,
    Kind.FOREIGN_ORDER: Exchange._foreign_order,
    Kind.TRANSFER: Exchange._transfer,
}
EXCHANGE_FAULTS: Final = frozenset(_STRIKES)
# Armed now, they strike when somebody asks for what they refuse.
_STRIKE_LATER: Final = frozenset(
    {Kind.ORDER_REFUSED, Kind.STOP_REFUSED, Kind.CLOSE_REFUSED, Kind.FILTERS_CHANGED, Kind.KLINES_REFUSED}
)
