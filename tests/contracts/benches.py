"""The benches: how each adapter is built, and how its market is made to move.

A bench of a venue beyond a wire runs it on a private event loop and answers like a plain object. After every move it
waits until the stream has published what requests return, which is what a stream promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import ExecutionVenue, Kline, MarkPrice, Quote, StreamEvent, StreamState
from quantum_trader.venues.binance.adapter import BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Secret
from quantum_trader.venues.local.build import flat_bar
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.server import LocalVenue
from quantum_trader.venues.local.tape import Tape
from quantum_trader.venues.paper.live_account import DrySettings, PaperExecutionAdapter
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

from .hand_feed import HandFeed
from .venue_contract import COIN, INTERVAL_NS, Bench

T = TypeVar("T")
FUNDING = 0.001
_START_NS = 475_001 * NS_PER_HOUR
_SETTINGS = PaperSettings(assumed_funding_rate=0.0, default_taker_cost_bps=2.0)


class MemoryBench:
    """The paper venue, moved by flat hourly bars."""

    def __init__(self) -> None:
        self.venue = PaperVenue([COIN], _SETTINGS)
        self.published: list[StreamEvent] = []
        self._looked = 0
        self._ts_ns = 475_000 * NS_PER_HOUR

    def show(self, price: float) -> list[StreamEvent]:
        """One flat bar at *price*."""
        self._ts_ns += NS_PER_HOUR
        batch = MarketBatch(self._ts_ns, NS_PER_HOUR, np.array([[price] * 4 + [1e6]]), np.array([True]))
        self.published += self.venue.on_open(batch)
        while more := self.venue.on_range(batch):
            self.published += more
        looked, self._looked = self._looked, len(self.published)
        return self.published[looked:]

    def submit(self, request: OrderRequest) -> OrderUpdate:
        """The one update that answers an order: an acknowledgement is not a fill."""
        (update,) = self.venue.submit(request)
        assert isinstance(update, OrderUpdate)
        return update

    def cancel(self, request: CancelRequest) -> OrderUpdate:
        """The one update that answers a cancel."""
        (update,) = self.venue.cancel(request)
        assert isinstance(update, OrderUpdate)
        return update

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Ask the venue."""
        return self.venue.set_leverage(symbol, leverage)

    def positions(self) -> list[VenuePosition]:
        """Ask the venue."""
        return self.venue.positions()

    def balance(self) -> VenueBalance:
        """Ask the venue."""
        return self.venue.balance()

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Ask the venue."""
        return self.venue.open_orders(symbol)

    def order(self, client_order_id: str) -> VenueOrder | None:
        """Ask the venue."""
        return self.venue.get_order(client_order_id)

    def close(self) -> None:
        """Nothing is held."""


class WireBench:
    """What benches of ``ExecutionVenue`` share; a subclass gives ``start`` and the hands on its market."""

    patience_s = 5.0  # how long the stream may be behind what requests return

    def __init__(self) -> None:
        self.loop = self.new_loop()
        self.published: list[StreamEvent] = []
        self._looked = 0
        self._sent: set[str] = set()
        self._news = asyncio.Event()
        self._ended = False
        self._before: set[str] = set()  # fills from before the adapter of now
        self._reader: asyncio.Task[None] | None = None
        self.venue: ExecutionVenue = self.ask(self.start())
        self.since_ns = self.now_ns() - NS_PER_HOUR
        try:
            self.ask(self._open())
        except BaseException:
            self.close()
            raise

    async def _open(self) -> None:
        """Connect, begin to read, and wait until both streams are up."""
        self._ended, published = False, len(self.published)
        await self.venue.connect()
        self._before = {fill.fill_id for fill in await self.venue.get_fills(COIN.symbol, self.since_ns)}
        self._reader = self.loop.create_task(self._read())
        for stream in ("market", "user"):
            await self.received(
                lambda event, name=stream: isinstance(event, StreamState) and event.stream == name, published
            )

    # ---- what a subclass brings

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """The private loop."""
        return asyncio.new_event_loop()

    async def start(self) -> ExecutionVenue:
        """Build the venue, not yet connected."""
        raise NotImplementedError

    async def again(self) -> ExecutionVenue:
        """Build another adapter of the same account, the first one having been closed."""
        raise NotImplementedError

    async def move(self, price: float) -> None:
        """Make the market trade at *price* for at least one whole bar, and return when the venue knows."""
        raise NotImplementedError

    async def move_unseen(self, price: float) -> None:
        """The same while no adapter is there; the default has no need of one."""
        await self.move(price)

    async def fund(self) -> None:
        """Let a funding of 0.1 % become due and be paid."""
        raise NotImplementedError

    async def reach(self, up: bool) -> None:
        """Make the venue reachable or not."""
        raise NotImplementedError

    def now_ns(self) -> int:
        """The venue's time."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Let go of what :meth:`start` took."""

    # ---- the market and the stream

    def show(self, price: float) -> list[StreamEvent]:
        """Move the market, wait until the stream has caught up, and return the events since the last call."""
        self.ask(self.move(price))
        self.ask(self._settle())
        looked, self._looked = self._looked, len(self.published)
        return self.published[looked:]

    def until(self, wanted: Callable[[StreamEvent], bool]) -> StreamEvent:
        """Return the first published event that is *wanted*; StopAsyncIteration when the stream has ended without."""
        return self.ask(self.received(wanted))

    async def received(self, wanted: Callable[[StreamEvent], bool], looked: int = 0) -> StreamEvent:
        """Wait for an event that is *wanted*; published ones count too, without the first *looked*."""
        async with asyncio.timeout(self.patience_s):
            while True:
                self._news.clear()
                for event in self.published[looked:]:
                    if wanted(event):
                        return event
                looked = len(self.published)
                if self._ended:
                    raise _Ended
                await self._news.wait()

    async def _read(self) -> None:
        try:
            async for event in self.venue.stream(INTERVAL_NS):
                self.published.append(event)
                self._news.set()
        finally:
            self._ended = True
            self._news.set()

    async def _settle(self) -> None:
        """Wait until the stream has published every fill and status that requests return."""
        missing = "nothing asked yet"
        try:
            async with asyncio.timeout(self.patience_s):
                while missing := await self._missing():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), 0.05)
        except TimeoutError:
            raise AssertionError(f"the stream never published what requests return: {missing}") from None

    async def _missing(self) -> str:
        """What requests return and the stream has not published; empty when there is nothing."""
        self._news.clear()
        fills = await self.venue.get_fills(COIN.symbol, self.since_ns)
        filled = {event.fill_id for event in self.published if isinstance(event, Fill)}
        for fill in fills:
            if fill.fill_id not in filled | self._before:
                return repr(fill)
        for name in sorted(self._sent):
            known = await self.venue.get_order(COIN.symbol, name)
            last = self._status(name)
            if known is None or known.status is not last:
                return f"{name}: {known}, published last: {last}"
            if last in (OrderStatus.FILLED, OrderStatus.CANCELED):
                self._sent.discard(name)
        return ""

    def _status(self, name: str) -> OrderStatus | None:
        updates = [
            event for event in self.published if isinstance(event, OrderUpdate) and event.client_order_id == name
        ]
        return updates[-1].status if updates else None

    # ---- questions and requests

    def ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Await *question* on the private loop."""
        try:
            return self.loop.run_until_complete(question)
        except _Ended:
            raise StopAsyncIteration from None

    def submit(self, request: OrderRequest) -> OrderUpdate:
        """Ask the venue, and expect the order in the stream when it was taken."""
        update = self.ask(self.venue.submit_order(request))
        if update.status is not OrderStatus.REJECTED:
            self._sent.add(request.client_order_id)
        return update

    def cancel(self, request: CancelRequest) -> OrderUpdate:
        """Ask the venue."""
        return self.ask(self.venue.cancel_order(request))

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Ask the venue."""
        return self.ask(self.venue.set_leverage(symbol, leverage))

    def positions(self) -> list[VenuePosition]:
        """Ask the venue."""
        return self.ask(self.venue.get_positions())

    def balance(self) -> VenueBalance:
        """Ask the venue."""
        return self.ask(self.venue.get_cash_balance())

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Ask the venue."""
        return self.ask(self.venue.open_orders(symbol))

    def order(self, client_order_id: str) -> VenueOrder | None:
        """Ask the venue."""
        return self.ask(self.venue.get_order(COIN.symbol, client_order_id))

    def pass_funding(self) -> None:
        """Let a funding become due."""
        self.ask(self.fund())

    def pay(self, amount: float) -> bool:
        """Pay *amount* into the account; False where the bench cannot."""
        return False

    def come_back(self, price: float) -> None:
        """End the adapter, move the market, and connect another one; events in between need not be published."""
        self.ask(self._come_back(price))

    async def _come_back(self, price: float) -> None:
        await self._end()
        await self.move_unseen(price)
        self._sent.clear()
        self.venue = await self.again()
        await self._open()

    async def _end(self) -> None:
        await self.venue.close()
        if self._reader is not None:
            async with asyncio.timeout(self.patience_s):
                await self._reader

    def unplug(self) -> None:
        """Make the venue unreachable."""
        self.ask(self.reach(False))

    def plug(self) -> None:
        """Make it reachable."""
        self.ask(self.reach(True))

    def close(self) -> None:
        """Close the venue, wait for the stream's end, and close the loop."""
        try:
            self.ask(self._let_go())
        finally:
            self.loop.close()

    async def _let_go(self) -> None:
        try:
            await self._end()
        finally:
            await self.stop()
            await self.loop.shutdown_asyncgens()


class _Ended(Exception):  # noqa: N818 - a fact, passed on as StopAsyncIteration, which no coroutine may raise
    """The stream has ended."""


class DryBench(WireBench):
    """Paper fills on a market that the check moves, a minute a step; its clock stands still in between."""

    async def start(self) -> ExecutionVenue:
        """The adapter over a hand feed."""
        self._now_ns = _START_NS
        self.feed = HandFeed([COIN])
        return PaperExecutionAdapter(self.feed, DrySettings(paper=_SETTINGS), now_ns=lambda: self._now_ns)

    async def again(self) -> ExecutionVenue:
        """Another adapter over a feed that knows the same bars, with the state the first one left."""
        bars, self.feed = self.feed.bars, HandFeed([COIN])
        self.feed.bars = bars
        return continued(self.venue, self.feed, lambda: self._now_ns)

    async def move_unseen(self, price: float) -> None:
        """A bar that can only be asked for."""
        self.feed.push(self._bar(price))

    async def move(self, price: float) -> None:
        """Two quotes and the bar of one minute at *price*."""
        bar = self._bar(price)
        for moment in (bar.ts_ns + NS_PER_SECOND, self._now_ns - NS_PER_SECOND):
            self.feed.push(Quote(symbol=COIN.symbol, bid=price, bid_qty=1e6, ask=price, ask_qty=1e6, ts_ns=moment))
        self.feed.push(bar)
        await self.received(lambda event: event is bar)

    def _bar(self, price: float) -> Kline:
        """The bar of the minute that passes now."""
        opened, self._now_ns = self._now_ns, self._now_ns + INTERVAL_NS
        return Kline(
            symbol=COIN.symbol, interval_ns=INTERVAL_NS, ts_ns=opened, open=price, high=price, low=price, close=price,
            volume=1e6,
        )

    async def fund(self) -> None:
        """Announce a funding in ten minutes, let them pass, and show the price again."""
        due = self._now_ns + 10 * INTERVAL_NS
        self.feed.push(MarkPrice(
            symbol=COIN.symbol, price=100.0, funding_rate=FUNDING, next_funding_ns=due, ts_ns=self._now_ns
        ))
        await self.received(lambda event: isinstance(event, MarkPrice))
        self._now_ns = due
        await self.move(self.feed.last[COIN.symbol])

    async def reach(self, up: bool) -> None:
        """Pull the feed's plug, long enough for its prices to be old."""
        self.feed.up = up
        self._now_ns += INTERVAL_NS

    def now_ns(self) -> int:
        """The clock that the test moves."""
        return self._now_ns


def continued(before: ExecutionVenue, feed: ExecutionVenue, now_ns: Callable[[], int]) -> PaperExecutionAdapter:
    """A paper adapter with the state of the one *before*, sent through JSON."""
    assert isinstance(before, PaperExecutionAdapter)
    after = PaperExecutionAdapter(feed, before.settings, now_ns=now_ns)
    after.load_state(msgspec.json.decode(msgspec.json.encode(before.state())))
    return after


class LocalVenueBench(WireBench):
    """The Binance adapter over loopback at the local venue; both clocks show market time, which only moves move."""

    exchange_settings = ExchangeSettings(assumed_funding_rate=0.0)

    async def start(self) -> ExecutionVenue:
        """The server and the adapter, with a key to the account."""
        await self.serve()
        return await self.again()

    async def again(self) -> ExecutionVenue:
        """An adapter with a key to the account."""
        (pair, *_) = self.server.keys
        return self.adapter(ApiKeys(LOCAL, Secret(pair.key), Secret(pair.secret), "the bench"))

    async def serve(self) -> None:
        """A venue with one funding half an hour ahead."""
        self._funding_ns = _START_NS + NS_PER_HOUR
        start_ns = self._funding_ns - NS_PER_HOUR // 2
        tape = Tape.empty([COIN], INTERVAL_NS)
        for back in (3, 2, 1):
            tape.append(start_ns - back * INTERVAL_NS, *flat_bar(tape, {COIN.symbol: 100.0}))
        times = np.array([_START_NS, self._funding_ns])
        exchange = Exchange(
            tape, start_ns, self.exchange_settings, funding={COIN.symbol: (times, np.array([0.0, FUNDING]))},
        )
        self.server = LocalVenue(exchange, wall_ns=lambda: exchange.now_ns)
        await self.server.start()

    def adapter(self, keys: ApiKeys | None) -> BinanceFuturesExecutionAdapter:
        """An adapter of the server."""
        return BinanceFuturesExecutionAdapter(
            endpoint(LOCAL, self.server.url), [COIN.symbol], keys, rng=Random(0), wall_ns=self.now_ns
        )

    async def move(self, price: float) -> None:
        """One flat bar at *price*."""
        self.server.show({COIN.symbol: price})

    async def fund(self) -> None:
        """Let time pass to the funding, and a bar after it."""
        self.server.advance(self._funding_ns - self.server.exchange.now_ns)
        self.server.show({COIN.symbol: 100.0})

    def pay(self, amount: float) -> bool:
        """Move money at the exchange."""
        self.server.exchange.pay(amount)
        self.server.flush()
        return True

    async def reach(self, up: bool) -> None:
        """End the server, or start it again at the same port."""
        if up:
            await self.server.start()
        else:
            self.server.settings = msgspec.structs.replace(self.server.settings, port=self.server.port)
            await self.server.stop()

    def now_ns(self) -> int:
        """The market's time."""
        return self.server.exchange.now_ns

    async def stop(self) -> None:
        """End the server."""
        await self.server.stop()


class RenamingVenueBench(LocalVenueBench):
    """The same at a venue that gives a triggered stop a client id of its own, and reports the link later."""

    exchange_settings = ExchangeSettings(assumed_funding_rate=0.0, link_by_order_id=True)


class DryLocalVenueBench(LocalVenueBench):
    """Paper fills on the local venue's market, which the Binance adapter brings without a key."""

    async def start(self) -> ExecutionVenue:
        """The server, an adapter that may only look, and the paper account."""
        await self.serve()
        self._later_ns = 0
        return PaperExecutionAdapter(
            self.adapter(None), DrySettings(paper=_SETTINGS), now_ns=lambda: self.now_ns() + self._later_ns
        )

    async def again(self) -> ExecutionVenue:
        """The state of the first one over another feed."""
        return continued(self.venue, self.adapter(None), lambda: self.now_ns() + self._later_ns)

    def pay(self, amount: float) -> bool:
        """The venue's account is not this one's."""
        return False

    async def move_unseen(self, price: float) -> None:
        """One flat bar at *price* while no adapter is connected."""
        await super().move(price)

    async def move(self, price: float) -> None:
        """One flat bar at *price*, published as bar and as quote, which come on different sockets."""
        await super().move(price)
        now_ns = self.now_ns()
        await self.received(lambda event: isinstance(event, Quote) and event.ts_ns >= now_ns)
        await self.received(lambda event: isinstance(event, Kline) and event.ts_ns + event.interval_ns >= now_ns)

    async def reach(self, up: bool) -> None:
        """End the server or start it again, and let its prices grow old."""
        await super().reach(up)
        self._later_ns += INTERVAL_NS


# By the name of the class, which a word may follow.
BENCHES: dict[str, Callable[[], Bench]] = {
    "PaperVenue": MemoryBench,
    "PaperExecutionAdapter": DryBench,
    "BinanceFuturesExecutionAdapter": LocalVenueBench,
    "BinanceFuturesExecutionAdapter with renamed stops": RenamingVenueBench,
    "PaperExecutionAdapter over BinanceFuturesExecutionAdapter": DryLocalVenueBench,
}
