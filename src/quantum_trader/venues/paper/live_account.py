"""Paper fills on live market data ("dry"): a live venue in everything except the orders, which stay in memory.

Two parts. :class:`LivePaperVenue` drives a paper venue with quotes and completed bars, one symbol at a time, and reads
no clock. :class:`PaperExecutionAdapter` is the venue around it: it follows a market feed, answers requests and
publishes the account's events. The feed is any ``ExecutionVenue``; no order is ever sent to it.

How prices fill orders:

* a quote counts as its mid price; half the spread and the slippage beyond the touch are the taker's cost, so that a
  buy pays the ask and more, a sale gets the bid and less. Stops, targets and limits trigger on the mid price;
* a completed bar applies its whole range to orders that rested when it opened, and its close alone to those sent while
  it ran: a low from before a stop was sent does not trigger it;
* a market order fills at the first quote after it was sent or, without quotes, at the open of the first bar that opens
  after it (give or take ``open_grace_s``, since decisions come moments after one bar closed and the next opened).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import StateError, VenueError, VenueUnavailable, require, require_finite
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueEvent, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import (
    ExecutionVenue,
    FundingHistoryVenue,
    FundingRate,
    Kline,
    LeverageChanged,
    MarkPrice,
    Quote,
    StreamEvent,
    StreamState,
    Transfer,
    WalletChanged,
)
from quantum_trader.market.costs import liquidity_of
from quantum_trader.venues.paper.funding import AnnouncedFunding
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

__all__ = ["DrySettings", "LivePaperVenue", "PaperExecutionAdapter"]

_STATE_VERSION: Final = 1
_INSTANT_NS: Final = 1_000_000  # a bar's last moment is this long before its end: one so short has but one moment
_FILLS_KEPT: Final = 1_000
_FUNDING_KEPT: Final = 1_000
_BACKLOG: Final = 20_000  # events a slow reader may be behind before the feed has to wait


class DrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How paper fills follow live prices; *paper* holds money, fees, leverage and participation.

    A fill at a quote costs half its spread and *slippage_bps*, one inside a bar ``paper.default_taker_cost_bps`` and
    the bar's range.
    """

    paper: PaperSettings = PaperSettings()
    slippage_bps: float | None = None  # beyond the touch; None: by the symbol's measured liquidity
    quote_max_age_s: float = 5.0  # an older quote is ignored; an opening order then asks for the last price first
    open_grace_s: float = 3.0  # how long after a bar's open an order still counts as sent before it

    def __post_init__(self) -> None:
        for key in ("slippage_bps", "quote_max_age_s", "open_grace_s"):
            value = getattr(self, key)
            if value is not None:
                require_finite(key, value)
                require(value >= 0.0, key, value, "must not be negative")


class LivePaperVenue:
    """A paper venue driven by quotes and completed bars. Rows are those of *instruments*; times are in ns."""

    def __init__(self, instruments: Sequence[Instrument], settings: DrySettings = DrySettings()) -> None:  # noqa: B008
        size = len(instruments)
        self.settings = settings
        self._slippage = [
            liquidity_of(one.symbol).slippage_bps if settings.slippage_bps is None else settings.slippage_bps
            for one in instruments
        ]
        self._costs = np.full(size, np.nan)
        self._announced = [AnnouncedFunding(each, settings.paper.assumed_funding_rate) for each in instruments]
        self.venue = PaperVenue(instruments, settings.paper, schedules=self._announced, taker_cost_bps=self._costs)
        self._row = {symbol: row for row, symbol in enumerate(self.venue.symbols)}
        self._ohlcv = np.full((size, 5), np.nan)  # last price of each symbol; the row being processed has a range
        self._known = np.zeros(size, dtype=np.bool_)
        self._fresh = np.zeros(size, dtype=np.bool_)
        self._moment_ns = 0
        self._priced_ns = [0] * size  # time of the last price
        self._bars_until_ns = [0] * size  # end of the newest bar
        self._changed_ns = [0] * size  # newest order or fill

    # ------------------------------------------------------------------ prices

    def on_quote(self, quote: Quote, now_ns: int) -> list[VenueEvent]:
        """Process a quote. One that is old, crossed, not finite or of an unknown symbol is ignored."""
        row = self._row.get(quote.symbol)
        if row is None or now_ns - quote.ts_ns > self.settings.quote_max_age_s * NS_PER_SECOND:
            return []
        if not 0.0 < quote.bid <= quote.ask < math.inf:
            return []
        price = (quote.bid + quote.ask) / 2.0
        self._costs[row] = (quote.ask - quote.bid) / 2.0 / price * 1e4 + self._slippage[row]
        qty = min(quote.bid_qty, quote.ask_qty)
        moment = max(self._moment_ns + 1, min(quote.ts_ns, now_ns))
        return self._step(row, (price, price, price, price, qty), moment, moment, opens=True)

    def on_bar(self, bar: Kline, now_ns: int) -> list[VenueEvent]:
        """Process a completed bar; one that was processed before, or of an unknown symbol, is ignored."""
        row, end = self._row.get(bar.symbol), bar.ts_ns + bar.interval_ns
        if row is None or end <= self._bars_until_ns[row] or not _is_valid(bar):
            return []
        older = self._changed_ns[row] <= bar.ts_ns + int(self.settings.open_grace_s * NS_PER_SECOND)
        whole = older and bar.ts_ns >= self._bars_until_ns[row]
        self._bars_until_ns[row] = end
        if not whole and self._changed_ns[row] > end:
            return []
        self._costs[row] = math.nan
        price_after = self._ohlcv.item(row, 3) if self._priced_ns[row] > end else bar.close
        moment = max(self._moment_ns + 1, bar.ts_ns, min(self._changed_ns[row], end))
        ends = max(moment, min(end - _INSTANT_NS, now_ns))
        prices = (bar.open, bar.high, bar.low, bar.close) if whole else (bar.close,) * 4
        events = self._step(row, (*prices, bar.volume), moment, ends, opens=whole)
        self._ohlcv[row, :4] = price_after
        return events

    def on_last(self, symbol: str, price: float, now_ns: int) -> list[VenueEvent]:
        """Process a last price that was requested: resting orders may fill at it, market orders do not."""
        row = self._row.get(symbol)
        if row is None or not 0.0 < price < math.inf:
            return []
        self._costs[row] = math.nan
        moment = max(self._moment_ns + 1, now_ns)
        return self._step(row, (price, price, price, price, 0.0), moment, moment, opens=False)

    def on_mark(self, mark: MarkPrice, now_ns: int) -> None:
        """Take the time and rate of the next funding from a mark price event."""
        row = self._row.get(mark.symbol)
        if row is None or not math.isfinite(mark.funding_rate) or mark.next_funding_ns <= 0:
            return
        if self._announced[row].announce(mark.next_funding_ns, mark.funding_rate, now_ns):
            self.venue.plan_funding()

    def _step(
        self, row: int, prices: tuple[float, ...], moment: int, ends: int, *, opens: bool
    ) -> list[VenueEvent]:
        """Move one symbol and leave the others where they are; waiting orders fill only where the price *opens*."""
        interval = max(_INSTANT_NS, ends - moment + _INSTANT_NS)
        self._ohlcv[row] = prices
        self._known[row], self._fresh[row] = True, opens
        events = list(self.venue.on_open(MarketBatch(moment, interval, self._ohlcv, self._fresh)))
        events += self.venue.on_range(MarketBatch(moment, interval, self._ohlcv, self._known))
        self._fresh[row] = False
        self._ohlcv[row, 4] = 0.0  # the volume is used up
        self._moment_ns = max(moment, ends)
        self._priced_ns[row] = max(self._priced_ns[row], self._moment_ns)
        if any(isinstance(event, Fill) for event in events):
            self._changed_ns[row] = self._moment_ns
        return _with_distinct_funding_times(events)

    # ------------------------------------------------------------------ orders

    def submit(self, request: OrderRequest, now_ns: int) -> OrderUpdate:
        """Acknowledge or refuse; the order can fill at prices after *now_ns*."""
        (update,) = self.venue.submit(request)
        assert isinstance(update, OrderUpdate)
        row = self._row.get(request.symbol)
        if row is not None and update.status is OrderStatus.NEW and not update.reason:
            self._changed_ns[row] = max(self._changed_ns[row], now_ns)
        return update

    def price_age_ns(self, symbol: str, now_ns: int) -> int:
        """Return the age of the last price of *symbol*; *now_ns* where there is none or the symbol is unknown."""
        row = self._row.get(symbol)
        return now_ns - (self._priced_ns[row] if row is not None else 0)

    def exposed(self) -> list[tuple[str, int]]:
        """Return symbols with a position or an order, each with the end of its newest processed bar (0: none)."""
        names = {position.symbol for position in self.venue.positions()}
        names |= {order.symbol for order in self.venue.open_orders()}
        return [(symbol, self._bars_until_ns[row]) for symbol, row in self._row.items() if symbol in names]

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return everything needed to continue, as plain values that JSON and msgpack keep exactly."""
        prices = [self._ohlcv.item(row, 3) if self._known[row] else None for row in range(len(self._row))]
        announced = {"announced": [schedule.state() for schedule in self._announced]}
        return {
            "version": _STATE_VERSION, "venue": self.venue.state() | announced, "prices": prices,
            "moment_ns": self._moment_ns, "priced_ns": list(self._priced_ns), "met_ns": list(self._bars_until_ns),
            "changed_ns": list(self._changed_ns),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`; StateError when it is damaged or of other symbols."""
        try:
            self.venue.load_state(state["venue"])
            for schedule, raw in zip(self._announced, state["venue"]["announced"], strict=True):
                schedule.load_state(raw)
            self.venue.plan_funding()
            self._moment_ns = int(state["moment_ns"])
            self._priced_ns, self._bars_until_ns, self._changed_ns = (
                _times(state[key], len(self._row)) for key in ("priced_ns", "met_ns", "changed_ns")
            )
            for row, price in enumerate(state["prices"]):
                self._known[row] = price is not None
                self._ohlcv[row] = (*([price if price is not None else math.nan] * 4), 0.0)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise StateError(f"the dry run's saved state is damaged ({error!r}): start from an older one") from error


class _Outbox:
    """The queue of one stream's events: the reader sleeps while it is empty, the feed waits while it is full."""

    def __init__(self) -> None:
        self._events: deque[StreamEvent] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    def put(self, event: StreamEvent) -> None:
        """Add an event; nothing is added after :meth:`close`."""
        if not self._closed:
            self._events.append(event)
            self._news.set()

    def close(self) -> None:
        """Let the reader finish the queued events; no event follows them."""
        self._closed = True
        self._news.set()

    async def room(self) -> None:
        """Return once the reader is less than a backlog behind."""
        while len(self._events) >= _BACKLOG and not self._closed:
            self._room.clear()
            await self._room.wait()

    async def get(self) -> StreamEvent | None:
        """Return the next event; None once the queue is closed and empty."""
        while not self._events:
            if self._closed:
                return None
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        self._room.set()
        return event


class PaperExecutionAdapter:
    """An ``ExecutionVenue`` with the market data of *feed* and a paper account. *now_ns* reads the local clock.

    One stream at a time: a new one ends the one before. The account's events are published before the price that caused
    them. *keep* receives the state each time orders, positions or money have changed, before the events are published:
    a *keep* that writes it to disk makes the account survive a killed process, as a venue's account does.
    """

    def __init__(
        self, feed: ExecutionVenue, settings: DrySettings = DrySettings(), *,  # noqa: B008 - frozen
        now_ns: Callable[[], int] = time.time_ns, keep: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.name = f"paper-{feed.name}"
        self.symbols = feed.symbols
        self.receive_window_s = feed.receive_window_s
        self.settings = settings
        self._feed = feed
        self._clock = now_ns
        self._keep = keep
        self._account: LivePaperVenue | None = None
        self._saved: Mapping[str, Any] | None = None
        self._connected = False
        self._outbox: _Outbox | None = None
        self._pump: asyncio.Task[None] | None = None
        self._fills: deque[Fill] = deque(maxlen=_FILLS_KEPT)
        self._funding: deque[FundingPayment] = deque(maxlen=_FUNDING_KEPT)

    # ------------------------------------------------------------------ life

    async def connect(self) -> None:
        """Connect the feed and open the account, or the one whose state was loaded."""
        await self._feed.connect()
        self.symbols = self._feed.symbols
        if self._account is None:
            account = LivePaperVenue([self._feed.instrument(symbol) for symbol in self.symbols], self.settings)
            if self._saved is not None:
                self._restore(account, self._saved)
            self._account, self._saved = account, None
        self._connected = True

    async def close(self) -> None:
        """End the stream and close the feed; the account stays as it is. Safe to call twice."""
        self._connected = False
        self._end_stream()
        await self._feed.close()

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown."""
        return self._feed.instrument(symbol)

    def clock_offset_ms(self) -> float:
        """Return the feed's clock less the local one (ms), at the last measurement."""
        return self._feed.clock_offset_ms()

    # ------------------------------------------------------------------ the stream

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        """Yield events until :meth:`close`: the feed's market data and the paper account's events."""
        self._open_account()
        self._end_stream()
        outbox = self._outbox = _Outbox()
        outbox.put(StreamState(stream="user", up=True, ts_ns=self._venue_ns()))
        pump = self._pump = asyncio.create_task(self._follow(interval_ns, outbox))
        try:
            while (event := await outbox.get()) is not None:
                yield event
            if pump.done() and not pump.cancelled():
                pump.result()  # raises what ended the feed
        finally:
            pump.cancel()
            if self._outbox is outbox:
                self._outbox = self._pump = None
            await asyncio.gather(pump, return_exceptions=True)

    def _end_stream(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        if self._outbox is not None:
            self._outbox.close()
        self._outbox = self._pump = None

    async def _follow(self, interval_ns: int, outbox: _Outbox) -> None:
        """Pass the feed's events to the account and into *outbox* until the feed ends."""
        events = self._feed.stream(interval_ns)
        try:
            async for event in events:
                await outbox.room()
                await self._take(event, interval_ns, outbox)
        finally:
            close_stream = getattr(events, "aclose", None)
            if close_stream is not None:
                await close_stream()
            outbox.close()

    async def _take(self, event: StreamEvent, interval_ns: int, outbox: _Outbox) -> None:
        """Let the account process one event of the feed, then publish it; the feed's own account is ignored."""
        account = self._open_account()
        if isinstance(event, Quote):
            self._publish(account.on_quote(event, self._venue_ns()))
        elif isinstance(event, Kline):
            await self._repair(interval_ns, event.ts_ns, only=event.symbol)
            self._publish(account.on_bar(event, self._venue_ns()))
        elif isinstance(event, MarkPrice):
            account.on_mark(event, self._venue_ns())
        elif not (isinstance(event, StreamState) and event.stream == "market"):
            return
        outbox.put(event)
        if isinstance(event, StreamState) and event.up:
            await self._repair(interval_ns, self._venue_ns())

    async def _repair(self, interval_ns: int, until_ns: int, only: str = "") -> None:
        """Process the bars that were missed by symbols with a position or an order, as a venue would have."""
        account = self._open_account()
        for symbol, until in account.exposed():
            start = until // interval_ns * interval_ns
            if until == 0 or only not in ("", symbol) or start + interval_ns > until_ns:
                continue
            try:
                missed = await self._feed.get_klines(symbol, interval_ns, start, until_ns)
            except VenueError:
                continue  # the next bar of the symbol asks again
            for bar in missed:
                self._publish(account.on_bar(bar, self._venue_ns()))

    def _publish(self, events: Sequence[VenueEvent]) -> None:
        """Keep and publish the account's events, then the wallet where they changed it."""
        if not events:
            return
        reason = ""
        for event in events:
            if isinstance(event, Fill):
                self._fills.append(event)
                reason = "ORDER"
            elif isinstance(event, FundingPayment):
                self._funding.append(event)
                reason = reason or "FUNDING_FEE"
        self._changed()
        for event in events:
            self._put(event)
        if reason:
            wallet = self._open_account().venue.balance().wallet
            self._put(WalletChanged(wallet=wallet, reason=reason, ts_ns=events[-1].ts_ns))

    def _put(self, event: StreamEvent) -> None:
        if self._outbox is not None:
            self._outbox.put(event)

    def _changed(self) -> None:
        if self._keep is not None:
            self._keep(self.state())

    # ------------------------------------------------------------------ questions

    async def get_positions(self) -> list[VenuePosition]:
        """Return the open positions at the last known prices."""
        return self._open_account().venue.positions()

    async def get_cash_balance(self) -> VenueBalance:
        """Return the account's money at the last known prices."""
        return self._open_account().venue.balance()

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """Return the feed's completed bars that open in [start, end), oldest first."""
        self._open_account()
        return await self._feed.get_klines(symbol, interval_ns, start_ns, end_ns)

    async def get_funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """Return the rates that the feed's venue charged in [start, end), oldest first; none where it keeps none."""
        self._open_account()
        if not isinstance(self._feed, FundingHistoryVenue):
            return []
        return await self._feed.get_funding_rates(symbol, start_ns, end_ns)

    async def get_ticker_price(self, symbol: str) -> float:
        """Return the feed's last traded price."""
        self._open_account()
        return await self._feed.get_ticker_price(symbol)

    async def get_order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """Return an open order or one of the last finished ones; None when the account does not know it."""
        order = self._open_account().venue.get_order(client_order_id)
        return order if order is not None and order.symbol == symbol else None

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, oldest first."""
        return self._open_account().venue.open_orders(symbol)

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """Return the fills since *since_ns* among the last 1000 of the account, oldest first."""
        self._open_account()
        return [fill for fill in self._fills if fill.symbol == symbol and fill.ts_ns >= since_ns]

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        """Return the funding since *since_ns* among the last 1000 payments, oldest first."""
        self._open_account()
        return [payment for payment in self._funding if payment.ts_ns >= since_ns]

    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        """Return nothing: a paper account has no transfers."""
        self._open_account()
        return []

    # ------------------------------------------------------------------ requests

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        """Ask for a leverage and return the one in force; InputError for an unknown symbol."""
        venue = self._open_account().venue
        before = venue.leverage(symbol)
        after = venue.set_leverage(symbol, leverage)
        if after != before:
            self._changed()
            self._put(LeverageChanged(symbol=symbol, leverage=after, ts_ns=self._venue_ns()))
        return after

    async def get_leverages(self) -> dict[str, float]:
        """Return the leverage in force of every symbol."""
        venue = self._open_account().venue
        return {symbol: venue.leverage(symbol) for symbol in self.symbols}

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Acknowledge or refuse an order. One that opens needs a current price; VenueUnavailable without one."""
        account = self._open_account()
        too_old = account.price_age_ns(request.symbol, self._venue_ns()) > self.settings.quote_max_age_s * NS_PER_SECOND
        if too_old and not request.reduce_only and request.symbol in self.symbols:
            price = await self._feed.get_ticker_price(request.symbol)
            self._open_account()
            self._publish(account.on_last(request.symbol, price, self._venue_ns()))
        update = account.submit(request, self._venue_ns())
        if update.status is OrderStatus.NEW and not update.reason:
            self._publish([update])
        return update

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        """Cancel an open order; a finished one answers its final status, an unknown one REJECTED -2011."""
        (update,) = self._open_account().venue.cancel(request)
        assert isinstance(update, OrderUpdate)
        if not update.reason:
            self._publish([update])
        return update

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return the account's state as plain values that JSON and msgpack keep exactly; StateError before connect."""
        if self._account is None:
            raise StateError("the dry account has no state before the first connect: connect first")
        return {
            "version": _STATE_VERSION, "account": self._account.state(),
            "fills": [msgspec.to_builtins(fill) for fill in self._fills],
            "funding": [msgspec.to_builtins(payment) for payment in self._funding],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`, at once or at the next connect; StateError when it does not fit."""
        if state.get("version") != _STATE_VERSION:
            raise StateError(f"the dry run's state is of version {state.get('version')!r}, not {_STATE_VERSION}")
        if self._account is None:
            self._saved = state
        else:
            self._restore(self._account, state)

    def _restore(self, account: LivePaperVenue, state: Mapping[str, Any]) -> None:
        try:
            fills = [msgspec.convert(raw, Fill) for raw in state["fills"]]
            funding = [msgspec.convert(raw, FundingPayment) for raw in state["funding"]]
            account.load_state(state["account"])
        except (KeyError, TypeError, msgspec.ValidationError) as error:
            raise StateError(f"the dry run's saved state is damaged ({error!r}): start from an older one") from error
        self._fills = deque(fills, maxlen=_FILLS_KEPT)
        self._funding = deque(funding, maxlen=_FUNDING_KEPT)

    def _venue_ns(self) -> int:
        """The time at the feed, whose clock stamps the prices."""
        return self._clock() + int(self._feed.clock_offset_ms() * 1e6)

    def _open_account(self) -> LivePaperVenue:
        if self._account is None or not self._connected:
            raise VenueUnavailable(f"{self.name} is closed: connect first")
        return self._account


def _with_distinct_funding_times(events: list[VenueEvent]) -> list[VenueEvent]:
    """Give fundings that were paid late, together, times of their own: symbol and time identify a payment."""
    newest: dict[str, int] = {}
    for place, event in enumerate(events):
        if isinstance(event, FundingPayment):
            ts_ns = newest[event.symbol] = max(event.ts_ns, newest.get(event.symbol, 0) + 1)
            events[place] = msgspec.structs.replace(event, ts_ns=ts_ns)
    return events


def _is_valid(bar: Kline) -> bool:
    """Whether a bar's prices are finite, positive and consistent."""
    return 0.0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high < math.inf


def _times(values: Sequence[Any], size: int) -> list[int]:
    """Return *values* as times; ValueError unless there are *size* of them."""
    if len(values) != size:
        raise ValueError(f"{len(values)} times for {size} symbols")
    return [int(value) for value in values]
