"""Paper fills on live prices: how quotes and bars fill orders, and the events the adapter publishes."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.contracts.hand_feed import HandFeed
from tests.venues.paper.world import (
    BUY,
    LIMIT,
    MARKET,
    SELL,
    START,
    STOP,
    TARGET,
    fills_of,
    make_instrument,
    statuses_of,
)

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import InputError, StateError, VenueError, VenueUnavailable
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import Rejection, VenueEvent
from quantum_trader.engine.venue_port import (
    Kline,
    LeverageChanged,
    MarkPrice,
    Quote,
    StreamEvent,
    StreamState,
    WalletChanged,
)
from quantum_trader.venues.paper import live_account as paper_execution
from quantum_trader.venues.paper.live_account import DrySettings, LivePaperVenue, PaperExecutionAdapter
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

COIN, OTHER = "AAAUSDT", "BBBUSDT"
BAR = NS_PER_MINUTE
SETTINGS = DrySettings(
    paper=PaperSettings(
        assumed_funding_rate=0.0, default_taker_cost_bps=0.0, range_slippage_bps=0.0, default_leverage=10.0
    ),
    slippage_bps=0.0,
)


def request(side: Any, kind: Any, qty: float, level: float = 0.0, **changes: Any) -> OrderRequest:
    """An order for COIN; its client id says what it is."""
    fields: dict[str, Any] = {
        "client_order_id": f"{side.value}-{kind.value}-{level}", "intent_id": "i", "trace_id": "t", "symbol": COIN,
        "side": side, "type": kind, "qty": qty, "created_ns": 0, "stop_price": level,
    }
    return OrderRequest(**(fields | changes))


def quote(price: float, ts_ns: int, *, half: float = 0.0, symbol: str = COIN, qty: float = 1e6) -> Quote:
    """A touch *half* above and below *price*."""
    return Quote(symbol=symbol, bid=price - half, bid_qty=qty, ask=price + half, ask_qty=qty, ts_ns=ts_ns)


def bar(ts_ns: int, *prices: float, symbol: str = COIN) -> Kline:
    """A minute's bar of (open, high, low, close), or flat at one price."""
    open_, high, low, close = prices if len(prices) == 4 else prices * 4
    return Kline(
        symbol=symbol, interval_ns=BAR, ts_ns=ts_ns, open=open_, high=high, low=low, close=close, volume=1_000.0,
    )


class Floor:
    """A live account and a clock."""

    def __init__(self, settings: DrySettings = SETTINGS) -> None:
        self.account = LivePaperVenue([make_instrument(COIN), make_instrument(OTHER)], settings)
        self.now_ns = START

    def quote(self, price: float, *, half: float = 0.0, symbol: str = COIN, qty: float = 1e6) -> list[VenueEvent]:
        """A second later the touch is around *price*."""
        self.now_ns += NS_PER_SECOND
        return self.account.on_quote(quote(price, self.now_ns, half=half, symbol=symbol, qty=qty), self.now_ns)

    def bar(self, ts_ns: int, *prices: float) -> list[VenueEvent]:
        """The bar that opened at *ts_ns* is complete now."""
        self.now_ns = max(self.now_ns, ts_ns + BAR)
        return self.account.on_bar(bar(ts_ns, *prices), self.now_ns)

    def send(self, *fields: Any, **changes: Any) -> OrderUpdate:
        """Submit now."""
        return self.account.submit(request(*fields, **changes), self.now_ns)

    def hold(self, qty: float = 1.0, price: float = 100.0) -> None:
        """Hold *qty* long, bought at a quote of *price*."""
        self.quote(price)
        assert self.send(BUY, MARKET, qty).status is OrderStatus.NEW
        assert len(fills_of(self.quote(price))) == 1

    @property
    def qty(self) -> float:
        """The signed position in COIN."""
        return sum(position.qty for position in self.account.venue.positions() if position.symbol == COIN)


# ---------------------------------------------------------------------- quotes


def test_market_orders_pay_the_touch_and_the_slippage_beyond_it() -> None:
    """100.1 to a buyer and 99.9 to a seller at 99.9/100.1; 2 bps more, as where none was measured: 100.12, 99.88."""
    for slippage, bought, sold in ((0.0, 100.1, 99.9), (2.0, 100.12, 99.88), (None, 100.12, 99.88)):
        for side, price in ((BUY, bought), (SELL, sold)):
            floor = Floor(msgspec.structs.replace(SETTINGS, slippage_bps=slippage))
            floor.quote(50.0, half=0.1)
            assert floor.send(side, MARKET, 1.0).status is OrderStatus.NEW
            assert floor.qty == 0.0
            fill, update = floor.quote(100.0, half=0.1)
            assert isinstance(fill, Fill)
            assert (fill.price, fill.liquidity, fill.ts_ns) == (price, "taker", floor.now_ns)
            assert statuses_of([update]) == [(fill.client_order_id, "FILLED")]


def test_another_symbols_quote_fills_nothing_here() -> None:
    """An order waits for its own symbol's price, and a second one is taken meanwhile."""
    floor = Floor()
    floor.quote(100.0)
    floor.send(BUY, MARKET, 1.0)
    assert floor.quote(7.0, symbol=OTHER) == []
    assert floor.send(BUY, MARKET, 2.0, client_order_id="second").status is OrderStatus.NEW
    assert floor.quote(7.1, symbol=OTHER) == []
    assert [fill.qty for fill in fills_of(floor.quote(101.0))] == [1.0, 2.0]


@pytest.mark.parametrize("bad", [
    quote(math.nan, START), quote(100.0, START, half=-0.1), quote(0.0, START), quote(math.inf, START),
    quote(100.0, START - 6 * NS_PER_SECOND), quote(100.0, START, symbol="NOSUCHUSDT"),
])
def test_a_bad_quote_moves_nothing(bad: Quote) -> None:
    """Not finite, crossed, zero, older than five seconds or foreign: the order still waits."""
    floor = Floor()
    floor.account.on_quote(quote(100.0, START - 10), START)
    floor.send(BUY, MARKET, 1.0)

    assert floor.account.on_quote(bad, START) == []
    assert floor.qty == 0.0


def test_protection_triggers_on_the_middle() -> None:
    """A stop at 95 lives at 95.5 and goes at 94.9; a target at 105 goes at 105.1; a 20x long is liquidated at 90."""
    floor = Floor()
    floor.hold()
    floor.send(SELL, STOP, 1.0, 95.0, reduce_only=True)
    assert floor.quote(95.5, half=1.0) == []
    (stopped,) = fills_of(floor.quote(94.9, half=0.1))
    assert (stopped.price <= 94.8 + 1e-9, floor.qty) == (True, 0.0)

    floor.hold()
    floor.send(SELL, TARGET, 1.0, 105.0, reduce_only=True)
    assert len(fills_of(floor.quote(105.1))) == 1

    floor.account.venue.set_leverage(COIN, 20.0)
    floor.hold()
    (liquidated,) = fills_of(floor.quote(90.0))
    assert liquidated.liquidation


def test_what_was_partly_filled_waits_for_its_own_volume() -> None:
    """A tenth of ten units at the touch is one unit; quotes of another symbol give nothing more."""
    floor = Floor(msgspec.structs.replace(
        SETTINGS, paper=msgspec.structs.replace(SETTINGS.paper, participation=0.1),
    ))
    floor.quote(100.0)
    floor.send(BUY, MARKET, 3.0)
    assert [fill.qty for fill in fills_of(floor.quote(100.0, qty=10.0))] == [1.0]
    assert floor.quote(7.0, symbol=OTHER) == []
    assert [fill.qty for fill in fills_of(floor.quote(100.0))] == [2.0]


# ---------------------------------------------------------------------- bars


def test_without_quotes_a_market_order_fills_at_the_next_open() -> None:
    """Sent a second after an open it gets that open; sent in the middle of a bar it waits for the next one."""
    floor = Floor()
    floor.bar(START, 100.0)
    floor.now_ns += NS_PER_SECOND
    floor.send(BUY, MARKET, 1.0)
    (fill,) = fills_of(floor.bar(START + BAR, 101.0, 103.0, 100.0, 102.0))
    assert (fill.price, fill.ts_ns) == (101.0, START + BAR + NS_PER_SECOND)

    floor.now_ns = START + 2 * BAR + 30 * NS_PER_SECOND
    floor.send(SELL, MARKET, 1.0, reduce_only=True)
    assert floor.bar(START + 2 * BAR, 103.0) == []
    (fill,) = fills_of(floor.bar(START + 3 * BAR, 104.0, 105.0, 99.0, 100.0))
    assert (fill.price, fill.ts_ns) == (104.0, START + 3 * BAR)


def test_a_low_from_before_the_stop_does_not_trigger_it() -> None:
    """In the bar it came in only the close counts; from the next bar on the whole range does."""
    floor = Floor()
    floor.bar(START, 100.0)
    floor.now_ns += 30 * NS_PER_SECOND
    floor.hold()
    floor.send(SELL, STOP, 1.0, 95.0, reduce_only=True)
    assert floor.bar(START + BAR, 100.0, 100.0, 90.0, 99.0) == []
    (fill,) = fills_of(floor.bar(START + 2 * BAR, 99.0, 100.0, 94.0, 99.0))
    assert (fill.price, fill.ts_ns // NS_PER_SECOND) == (95.0, (START + 3 * BAR) // NS_PER_SECOND - 1)


def test_the_close_of_the_bar_a_stop_came_in_triggers_it() -> None:
    """The close is a price after the stop was sent; the bar's range is not used."""
    floor = Floor()
    floor.bar(START, 100.0)
    floor.now_ns += 30 * NS_PER_SECOND
    floor.hold()
    floor.send(SELL, STOP, 1.0, 95.0, reduce_only=True)
    assert len(fills_of(floor.bar(START + BAR, 100.0, 100.0, 90.0, 94.0))) == 1


def test_a_bar_that_closed_before_the_order_came_does_not_reach_it() -> None:
    """A late close of 94 from before the stop at 95 does not trigger it, and the newer price of 100 stays."""
    floor = Floor()
    floor.now_ns = START + BAR
    floor.hold()
    floor.send(SELL, STOP, 1.0, 95.0, reduce_only=True)

    assert floor.bar(START, 96.0, 97.0, 93.0, 94.0) == []
    assert floor.account.venue.positions()[0].mark_price == 100.0


def test_a_late_bar_does_not_replace_a_newer_quote() -> None:
    """The range of the past minute is processed, the mark is the quote's."""
    floor = Floor()
    floor.hold()
    floor.now_ns = START + 2 * BAR
    floor.quote(103.0)
    floor.bar(START + BAR, 100.0, 104.0, 99.0, 101.0)
    assert floor.account.venue.positions()[0].mark_price == 103.0


@pytest.mark.parametrize("participation", [None, 0.01])
@pytest.mark.parametrize("seed", range(10))
def test_bars_alone_do_what_they_do_to_the_paper_venue(seed: int, participation: float | None) -> None:
    """With every order sent as a bar closes, the events are those of a replay of the same bars, to the last bit."""
    rng = random.Random(seed)
    paper = msgspec.structs.replace(SETTINGS.paper, participation=participation, default_taker_cost_bps=3.0)
    floor = Floor(msgspec.structs.replace(SETTINGS, paper=paper))
    replay = PaperVenue([make_instrument(COIN)], paper)
    price, events = 100.0, 0
    for number in range(150):
        open_, close = round(price + rng.uniform(-1.0, 1.0), 2), round(price + rng.uniform(-3.0, 3.0), 2)
        prices = (open_, round(max(open_, close) + rng.random(), 2), round(min(open_, close) - rng.random(), 2), close)
        price, ts_ns = min(max(close, 80.0), 120.0), START + number * BAR
        batch = MarketBatch(ts_ns, BAR, np.array([[*prices, 1_000.0]]), np.array([True]))
        expected = [*replay.on_open(batch), *replay.on_range(batch)]
        assert floor.bar(ts_ns, *prices) == expected
        events += len(expected)
        for kind in rng.sample([MARKET, LIMIT, STOP, TARGET], rng.randrange(3)):
            level = round(price + rng.uniform(-4.0, 4.0), 2)
            order = request(
                rng.choice([BUY, SELL]), kind, rng.randrange(1, 20) * 1.0, level, price=level,
                client_order_id=f"c{number}-{kind.value}", created_ns=floor.now_ns,
                reduce_only=kind in (STOP, TARGET),
            )
            assert [floor.account.submit(order, floor.now_ns)] == replay.submit(order)
    assert events > 20
    assert floor.account.venue.balance() == replay.balance()


def test_a_bar_is_met_once_and_only_when_it_can_be_true() -> None:
    """A repeated bar changes nothing; a bar whose low is above its open is ignored."""
    floor = Floor()
    floor.bar(START, 100.0)
    floor.send(BUY, MARKET, 1.0)
    assert floor.bar(START + BAR, 100.0, 101.0, 102.0, 100.0) == []
    assert len(fills_of(floor.bar(START + BAR, 100.0))) == 1
    floor.send(SELL, MARKET, 1.0, reduce_only=True)
    assert floor.bar(START + BAR, 100.0) == []


# ---------------------------------------------------------------------- funding


def mark(rate: float, due_ns: int) -> MarkPrice:
    """An announcement of the next funding."""
    return MarkPrice(symbol=COIN, price=100.0, funding_rate=rate, next_funding_ns=due_ns, ts_ns=0)


def payments(events: list[VenueEvent]) -> list[tuple[float, float]]:
    """(rate, amount) of the fundings."""
    return [(event.rate, event.amount) for event in events if isinstance(event, FundingPayment)]


def test_funding_is_paid_at_its_announced_time_at_the_last_announced_rate() -> None:
    """Four hours away, at 3 basis points: 0.06 of 2 x 100; the assumed grid in between counts no more, nor twice."""
    floor = Floor(msgspec.structs.replace(
        SETTINGS, paper=msgspec.structs.replace(SETTINGS.paper, assumed_funding_rate=0.01),
    ))
    floor.now_ns += NS_PER_HOUR
    due = floor.now_ns + 11 * NS_PER_HOUR  # the assumed one would be due in seven
    floor.hold(2.0)
    for rate in (0.0001, 0.0003):
        floor.account.on_mark(mark(rate, due), floor.now_ns)
    floor.now_ns = due - 2 * NS_PER_SECOND
    assert payments(floor.quote(100.0)) == []
    assert payments(floor.quote(100.0)) == [(0.0003, pytest.approx(-0.06))]
    floor.account.on_mark(mark(0.0005, due + 4 * NS_PER_HOUR), floor.now_ns)
    floor.account.on_mark(mark(0.0009, due), floor.now_ns)
    assert payments(floor.quote(100.0)) == []
    floor.now_ns = due + 5 * NS_PER_HOUR
    assert payments(floor.quote(100.0)) == [(0.0005, pytest.approx(-0.1))]


def test_funding_before_the_first_announcement_uses_the_assumed_rate() -> None:
    """A position held through a funding that was not announced pays the assumed rate."""
    floor = Floor(msgspec.structs.replace(
        SETTINGS, paper=msgspec.structs.replace(SETTINGS.paper, assumed_funding_rate=0.001),
    ))
    floor.hold()
    floor.now_ns += 9 * NS_PER_HOUR
    floor.account.on_mark(mark(0.0003, START + 16 * NS_PER_HOUR), floor.now_ns)
    assert payments(floor.quote(100.0)) == [(0.001, pytest.approx(-0.1))]


def test_fundings_paid_together_have_times_of_their_own() -> None:
    """Three missed fundings are paid in one moment, each with a time of its own: none looks like a repetition."""
    floor = Floor(msgspec.structs.replace(
        SETTINGS, paper=msgspec.structs.replace(SETTINGS.paper, assumed_funding_rate=0.001),
    ))
    floor.hold()
    floor.now_ns += 25 * NS_PER_HOUR
    late = [event for event in floor.quote(100.0) if isinstance(event, FundingPayment)]
    assert [event.ts_ns - late[0].ts_ns for event in late] == [0, 1, 2]


# ---------------------------------------------------------------------- state


def script(seed: int) -> list[Callable[[Floor], Any]]:
    """Two hundred steps of quotes, bars, funding announcements, orders and cancels."""
    rng = random.Random(seed)
    steps: list[Callable[[Floor], Any]] = []
    price = 100.0
    for number in range(200):
        price = round(max(50.0, price + rng.uniform(-2.0, 2.0)), 2)
        kind, side, level = rng.randrange(8), rng.choice([BUY, SELL]), round(price + rng.uniform(-6.0, 6.0), 2)
        low, high, name = round(price - 1.5, 2), round(price + 1.5, 2), f"c{number}"
        if kind <= 2:
            steps.append(lambda floor, p=price: floor.quote(p, half=0.02))
        elif kind == 3:
            steps.append(lambda floor, p=price, n=number: floor.quote(p / 10.0, symbol=OTHER))
        elif kind == 4:
            steps.append(lambda floor, p=price, lo=low, hi=high: floor.bar(floor.now_ns // BAR * BAR, p, hi, lo, p))
        elif kind == 5:
            word = rng.random() * 1e-3
            steps.append(lambda floor, r=word: floor.account.on_mark(mark(r, floor.now_ns + BAR), floor.now_ns))
        else:
            order = rng.choice([MARKET, MARKET, STOP, TARGET])
            steps.append(lambda floor, s=side, o=order, p=level, n=name: [
                floor.send(s, o, 1.0, 0.0 if o is MARKET else p, client_order_id=n, reduce_only=o is not MARKET)
            ])
    return steps


@pytest.mark.parametrize("seed", range(12))
def test_an_account_continues_from_its_state_as_if_nothing_had_been(seed: int) -> None:
    """After a restart through JSON at any step the same script brings the same events and the same books."""
    steps = script(seed)
    cut = random.Random(seed).randrange(20, 180)
    floor, twin = Floor(), Floor()
    for step in steps[:cut]:
        step(floor)
    twin.now_ns = floor.now_ns
    twin.account.load_state(msgspec.json.decode(msgspec.json.encode(floor.account.state())))

    assert [step(twin) for step in steps[cut:]] == [step(floor) for step in steps[cut:]]
    assert twin.account.state() == floor.account.state()
    assert floor.account.venue.balance().wallet != floor.account.venue.settings.initial_cash


def test_a_state_that_does_not_fit_is_refused() -> None:
    """Of other symbols, cut short, or of another version: StateError, and the account is the adapter's affair."""
    state = Floor().account.state()
    for damaged in (
        state | {"met_ns": [0]}, {key: value for key, value in state.items() if key != "venue"},
        state | {"venue": state["venue"] | {"symbols": [OTHER, COIN]}},
        state | {"venue": {key: value for key, value in state["venue"].items() if key != "announced"}},
    ):
        with pytest.raises(StateError):
            Floor().account.load_state(damaged)


# ---------------------------------------------------------------------- the adapter


class Desk:
    """An adapter over a hand feed, with a clock, and the events that came out so far."""

    def __init__(self, settings: DrySettings = SETTINGS) -> None:
        self.feed = HandFeed([make_instrument(COIN), make_instrument(OTHER)])
        self.now_ns = START
        self.venue = PaperExecutionAdapter(self.feed, settings, now_ns=lambda: self.now_ns)
        self.published: list[StreamEvent] = []
        self.events: AsyncIterator[StreamEvent] | None = None

    async def __aenter__(self) -> Desk:
        await self.venue.connect()
        self.events = self.venue.stream(BAR)
        await self.until(lambda event: event == StreamState(stream="market", up=True, ts_ns=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.venue.close()
        assert self.events is not None
        async with asyncio.timeout(5):
            async for event in self.events:
                self.published.append(event)

    async def until(self, wanted: Callable[[StreamEvent], bool]) -> list[StreamEvent]:
        """Read up to an event that is *wanted*; return what came, it included."""
        assert self.events is not None
        came: list[StreamEvent] = []
        async with asyncio.timeout(5):
            while not (came and wanted(came[-1])):
                came.append(await anext(self.events))
        self.published += came
        return came

    async def push(self, event: Quote | Kline) -> list[StreamEvent]:
        """Push a price and return what came with it, it being the last."""
        self.now_ns = max(self.now_ns, event.ts_ns + (event.interval_ns if isinstance(event, Kline) else 0))
        self.feed.push(event)
        return await self.until(lambda published: published == event)

    async def quote(self, price: float) -> list[StreamEvent]:
        """A second later a touch at *price*."""
        return await self.push(quote(price, self.now_ns + NS_PER_SECOND))

    async def hold(self) -> None:
        """Hold one unit long from 100, protected at 95."""
        await self.quote(100.0)
        await self.venue.submit_order(request(BUY, MARKET, 1.0))
        await self.quote(100.0)
        await self.venue.submit_order(request(SELL, STOP, 1.0, 95.0, reduce_only=True))
        await self.until(lambda event: isinstance(event, OrderUpdate) and event.status is OrderStatus.NEW)


def play(scene: Callable[[Desk], Coroutine[Any, Any, None]], settings: DrySettings = SETTINGS) -> Desk:
    """Run *scene* at a fresh desk, close it, and return it."""

    async def run() -> Desk:
        async with Desk(settings) as desk:
            await scene(desk)
        return desk

    return asyncio.run(run())


def kinds(events: list[StreamEvent]) -> list[str]:
    """The names of the events' types."""
    return [type(event).__name__ for event in events]


def test_account_events_come_before_the_price_that_caused_them() -> None:
    """Stream states first; NEW while the market is silent; then fill, status, wallet and the quote that made them."""

    async def scene(desk: Desk) -> None:
        await desk.quote(100.0)
        await desk.venue.submit_order(request(BUY, MARKET, 1.0))
        await desk.until(lambda event: isinstance(event, OrderUpdate) and event.status is OrderStatus.NEW)
        came = await desk.quote(101.0)
        assert kinds(came) == ["Fill", "OrderUpdate", "WalletChanged", "Quote"]
        wallet = (await desk.venue.get_cash_balance()).wallet
        assert msgspec.structs.replace(came[2], ts_ns=0) == WalletChanged(wallet=wallet, reason="ORDER", ts_ns=0)
        assert await desk.venue.get_fills(COIN, 0) == [came[0]]
        assert await desk.venue.get_fills(COIN, desk.now_ns + 1) == await desk.venue.get_fills(OTHER, 0) == []

    published = play(scene).published
    states = [(event.stream, event.up) for event in published if isinstance(event, StreamState)]
    assert states == [("user", True), ("market", True)]
    assert kinds(published[:2]) == ["StreamState"] * 2


def test_events_of_the_feeds_own_account_are_dropped() -> None:
    """Fills, updates, wallet and user-stream states of the feed are dropped; its market data pass."""

    async def scene(desk: Desk) -> None:
        for foreign in (
            WalletChanged(wallet=1.0, reason="DEPOSIT", ts_ns=1), LeverageChanged(symbol=COIN, leverage=3.0, ts_ns=1),
            StreamState(stream="user", up=False, ts_ns=1),
            OrderUpdate(client_order_id="x", venue_order_id="y", symbol=COIN, status=OrderStatus.FILLED, ts_ns=1),
        ):
            desk.feed.push(foreign)
        word = mark(0.1, START + NS_PER_HOUR)
        desk.feed.push(word)
        assert await desk.until(lambda event: isinstance(event, MarkPrice)) == [word]

    assert len(play(scene).published) == 3


def test_leverage_and_cancels_are_published_once() -> None:
    """A changed leverage is published, an unchanged one is not; a cancel is published, a second one only answered."""

    async def scene(desk: Desk) -> None:
        assert [await desk.venue.set_leverage(COIN, ask) for ask in (5.0, 5.0, 900.0)] == [5.0, 5.0, 50.0]
        await desk.hold()
        stop = CancelRequest(client_order_id="SELL-STOP_MARKET-95.0", symbol=COIN, created_ns=0)
        assert [(await desk.venue.cancel_order(stop)).status for _ in range(2)] == [OrderStatus.CANCELED] * 2
        with pytest.raises(InputError):
            await desk.venue.set_leverage("NOSUCHUSDT", 2.0)
        order = await desk.venue.get_order(COIN, stop.client_order_id)
        assert order is not None
        assert order.status is OrderStatus.CANCELED
        assert await desk.venue.get_order(OTHER, stop.client_order_id) is None

    published = play(scene).published
    assert [event.leverage for event in published if isinstance(event, LeverageChanged)] == [5.0, 50.0]
    assert sum(isinstance(event, OrderUpdate) and event.status is OrderStatus.CANCELED for event in published) == 1


def test_an_opening_order_needs_a_price_of_now() -> None:
    """The last price is asked for when quotes are old; unplugged, opening has no effect and reducing is taken."""

    async def scene(desk: Desk) -> None:
        desk.feed.last[COIN] = 100.0
        assert (await desk.venue.submit_order(request(BUY, MARKET, 1.0))).status is OrderStatus.NEW
        assert desk.feed.asked == ["connect", "get_ticker_price"]
        assert (await desk.venue.get_positions()) == []
        await desk.quote(100.0)
        desk.now_ns += NS_PER_MINUTE
        desk.feed.up = False
        with pytest.raises(VenueUnavailable):
            await desk.venue.submit_order(request(BUY, MARKET, 1.0, client_order_id="late"))
        assert await desk.venue.get_order(COIN, "late") is None
        closing = await desk.venue.submit_order(request(SELL, MARKET, 1.0, reduce_only=True))
        assert closing.status is OrderStatus.NEW
        unknown = await desk.venue.submit_order(request(BUY, MARKET, 1.0, symbol="NOSUCHUSDT"))
        assert unknown.reason.startswith(Rejection.UNKNOWN_SYMBOL.value)

    play(scene)


def test_a_dry_run_survives_a_restart_and_processes_the_missed_bars() -> None:
    """The stop fills in a bar of the hours it was down, at the stop's price; fills and wallet are as before."""
    saved: dict[str, Any] = {}

    async def before(desk: Desk) -> None:
        await desk.push(bar(START, 100.0))
        await desk.hold()
        saved.update(msgspec.json.decode(msgspec.json.encode(desk.venue.state())))

    async def after() -> Desk:
        desk = Desk()
        desk.venue.load_state(saved)
        desk.now_ns = START + 90 * BAR + NS_PER_SECOND
        desk.feed.bars = [bar(START + n * BAR, 100.0, 100.0, 94.0 if n == 40 else 99.0, 100.0) for n in range(1, 91)]
        async with desk:
            (fill,) = [e for e in await desk.until(lambda e: isinstance(e, WalletChanged)) if isinstance(e, Fill)]
            assert (fill.price, fill.ts_ns // NS_PER_SECOND) == (95.0, (START + 41 * BAR) // NS_PER_SECOND - 1)
            assert len(await desk.venue.get_fills(COIN, 0)) == 2
            assert await desk.venue.get_positions() == []
        return desk

    play(before)
    assert kinds(asyncio.run(after()).published)[:2] == ["StreamState"] * 2


def test_a_gap_is_repaired_by_the_next_bar_when_it_could_not_be_at_once() -> None:
    """The feed reconnects but its bars are not available yet: they are requested again before the next bar."""

    async def scene(desk: Desk) -> None:
        await desk.push(bar(START, 100.0))
        await desk.hold()
        desk.feed.bars.append(bar(START + BAR, 100.0))
        desk.feed.bars.append(bar(START + 2 * BAR, 100.0, 100.0, 90.0, 100.0))
        desk.now_ns = START + 3 * BAR
        desk.feed.up = False
        desk.feed.push(StreamState(stream="market", up=False, ts_ns=1))
        desk.feed.push(StreamState(stream="market", up=True, ts_ns=2))
        await desk.until(lambda event: isinstance(event, StreamState) and event.ts_ns == 2)
        await asyncio.sleep(0)
        assert len(await desk.venue.get_positions()) == 1
        desk.feed.up = True
        came = await desk.push(bar(START + 3 * BAR, 100.0))
        assert kinds(came) == ["Fill", "OrderUpdate", "WalletChanged", "Kline"]

    play(scene)


def test_ages_are_measured_by_the_feeds_clock() -> None:
    """With our clock an hour behind the feed's, or ahead, its quotes are fresh and fill."""

    async def scene(desk: Desk, hours: int) -> None:
        desk.feed.offset_ms = hours * 3_600_000.0
        for price in (100.0, 101.0):
            event = quote(price, desk.now_ns + hours * NS_PER_HOUR)
            desk.feed.push(event)
            await desk.until(lambda published, event=event: published == event)
            await desk.venue.submit_order(request(BUY, MARKET, 1.0))
        assert desk.feed.asked == ["connect"]
        (fill,) = await desk.venue.get_fills(COIN, 0)
        assert fill.price == 101.0

    for hours in (-1, 1):
        play(lambda desk, hours=hours: scene(desk, hours))


def test_the_account_is_kept_before_its_events_are_published() -> None:
    """Each change is handed over before its event comes out, and an account made of the last one goes on from there."""
    kept: list[bytes] = []

    async def run() -> None:
        desk = Desk()
        desk.venue = PaperExecutionAdapter(
            desk.feed, SETTINGS, now_ns=lambda: desk.now_ns, keep=lambda state: kept.append(msgspec.json.encode(state))
        )
        async with desk:
            await desk.venue.set_leverage(COIN, 5.0)
            await desk.hold()
            assert [len(msgspec.json.decode(state)["fills"]) for state in kept] == [0, 0, 1, 1]
            await desk.quote(99.0)
            assert len(kept) == 4
        killed = Desk()
        killed.now_ns = desk.now_ns
        killed.venue.load_state(msgspec.json.decode(kept[-1]))
        async with killed:
            assert [position.leverage for position in await killed.venue.get_positions()] == [5.0]
            assert kinds(await killed.quote(94.0))[0] == "Fill"

    asyncio.run(run())


def test_a_closed_venue_answers_nothing_and_its_stream_ends() -> None:
    """VenueUnavailable from every question, before connect too; closing twice is silent; the account is still there."""

    async def run() -> None:
        desk = Desk()
        with pytest.raises(VenueUnavailable):
            await desk.venue.get_positions()
        with pytest.raises(StateError):
            desk.venue.state()
        async with desk:
            await desk.hold()
        await desk.venue.close()
        assert desk.events is not None
        with pytest.raises(StopAsyncIteration):
            await anext(desk.events)
        for question in (
            desk.venue.get_cash_balance(), desk.venue.get_klines(COIN, BAR, 0, START), desk.venue.open_orders(),
            desk.venue.get_ticker_price(COIN), desk.venue.get_funding(0),
            desk.venue.submit_order(request(BUY, MARKET, 1.0)), anext(desk.venue.stream(BAR)),
        ):
            with pytest.raises(VenueUnavailable):
                await question
        await desk.venue.connect()
        assert len(await desk.venue.get_positions()) == len(await desk.venue.open_orders()) == 1

    asyncio.run(run())


def test_a_new_stream_ends_the_one_before() -> None:
    """The old reader ends, the new one gets its stream states; no market event is processed twice."""

    async def scene(desk: Desk) -> None:
        old, desk.events = desk.events, desk.venue.stream(BAR)
        assert old is not None
        await desk.until(lambda event: isinstance(event, StreamState) and event.stream == "market")
        with pytest.raises(StopAsyncIteration):
            await anext(old)
        assert kinds(await desk.quote(100.0)) == ["Quote"]

    play(scene)


def test_what_ends_the_feed_ends_the_stream() -> None:
    """An error of the feed is raised to the reader, after the events before it."""

    async def run() -> None:
        async with Desk() as desk:
            desk.feed.push(quote(100.0, START))
            desk.feed.push(VenueError("gone for good"))
            with pytest.raises(VenueError, match="gone for good"):
                await desk.until(lambda event: False)

    asyncio.run(run())


def test_a_slow_reader_makes_the_feed_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for three events three quotes of ten are processed; the rest follow as the reader reads, in order."""
    monkeypatch.setattr(paper_execution, "_BACKLOG", 3)

    async def scene(desk: Desk) -> None:
        quotes = [quote(100.0 + n, START + n) for n in range(10)]
        desk.now_ns = START + 20
        for each in quotes:
            desk.feed.push(each)
        for _ in range(50):
            await asyncio.sleep(0)
        assert desk.feed._events.qsize() >= 6
        assert await desk.until(lambda event: event == quotes[-1]) == quotes

    play(scene)


def test_a_saved_state_of_another_kind_is_refused() -> None:
    """Another version at once, a damaged one when it is opened."""

    async def run() -> None:
        desk = Desk()
        with pytest.raises(StateError, match="version"):
            desk.venue.load_state({"version": 99})
        desk.venue.load_state({"version": 1, "fills": [{}], "funding": [], "account": {}})
        with pytest.raises(StateError, match="damaged"):
            await desk.venue.connect()

    asyncio.run(run())
