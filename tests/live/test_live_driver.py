"""The live driver against an account made by hand: starts, stops, streams and bars that go wrong."""

from __future__ import annotations

import asyncio
import time

from tests.contracts.hand_feed import HandFeed
from tests.live.live_world import HOUR, MINUTE, OTHER, START, SYMBOL, World

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import VenueError
from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import Kline, StreamState
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import Asked, Wished
from quantum_trader.live.timing import LiveTiming

FAST = LiveTiming(
    tick_s=0.02,
    reconcile_s=0.2,
    look_again_s=0.05,
    backoff_s=0.01,
    backoff_most_s=0.05,
    attention_s=0.1,
    checkpoint_s=10.0,
    request_timeout_s=0.5,
    stop_s=1.0,
    warm_bars=0,
    bar_wait_s=0.1,
    silence_s=0.3,
    lost_s=0.2,
)


class Account(HandFeed):
    """A hand feed with an account: market orders are acknowledged and fill when the test says so."""

    receive_window_s = 0.1

    def __init__(self, instruments):
        super().__init__(instruments)
        self.wallet = 10_000.0
        self.positions = []
        self.history = []
        self.funding = []
        self.transfers = []
        self.orders = {}
        self.sent = []
        self.user = True
        self.delay = 0.0
        self.refuse_klines = set()

    async def stream(self, interval_ns):
        yield StreamState(stream="market", up=True, ts_ns=self.now_ns)
        if self.user:
            yield StreamState(stream="user", up=True, ts_ns=self.now_ns)
        while (event := await self._events.get()) is not None:
            if isinstance(event, VenueError):
                raise event
            yield event

    async def get_klines(self, symbol, interval_ns, start_ns, end_ns):
        if symbol in self.refuse_klines:
            raise VenueError("GET klines: -1121 Invalid symbol.")
        return await super().get_klines(symbol, interval_ns, start_ns, end_ns)

    async def get_cash_balance(self):
        return VenueBalance(wallet=self.wallet, unrealised_pnl=0.0, margin_used=0.0, available=self.wallet)

    async def get_positions(self):
        return list(self.positions)

    async def get_leverages(self):
        return {}

    async def set_leverage(self, symbol, leverage):
        return leverage

    async def open_orders(self, symbol=None):
        return list(self.orders.values())

    async def get_fills(self, symbol, since_ns):
        self.asked.append(f"fills since {since_ns}")
        return [f for f in self.history if f.symbol == symbol and f.ts_ns >= since_ns]

    async def get_funding(self, since_ns):
        self.asked.append(f"funding since {since_ns}")
        return [f for f in self.funding if f.ts_ns >= since_ns]

    async def get_transfers(self, since_ns):
        self.asked.append(f"transfers since {since_ns}")
        return [one for one in self.transfers if one.ts_ns >= since_ns]

    async def get_order(self, symbol, order_id):
        return self.orders.get(order_id)

    async def cancel_order(self, r):
        self.orders.pop(r.client_order_id, None)
        return OrderUpdate(
            client_order_id=r.client_order_id,
            venue_order_id="1",
            symbol=r.symbol,
            status=OrderStatus.CANCELED,
            ts_ns=self.now_ns,
        )

    async def submit_order(self, r):
        self.sent.append(r)
        await asyncio.sleep(self.delay)
        if r.type is not OrderType.MARKET:
            self.orders[r.client_order_id] = VenueOrder(
                client_order_id=r.client_order_id,
                venue_order_id="1",
                symbol=r.symbol,
                side=r.side,
                type=r.type,
                qty=r.qty,
                filled_qty=0.0,
                average_price=0.0,
                price=0.0,
                stop_price=r.stop_price,
                reduce_only=True,
                status=OrderStatus.NEW,
                created_ns=0,
            )
        return OrderUpdate(
            client_order_id=r.client_order_id,
            venue_order_id="1",
            symbol=r.symbol,
            status=OrderStatus.NEW,
            ts_ns=self.now_ns,
        )


def make(world=None, warm_at=None):
    world = world or World()
    venue = Account(world.engine.instruments)
    clock0, wall0 = time.monotonic(), (warm_at or world.engine.now_ns or START) + 5_000_000_000
    venue.now_ns = wall0
    driver = LiveDriver(
        world.session, venue, FAST, lambda: wall0 + int((time.monotonic() - clock0) * 1e9), namespace="t-"
    )
    return world, venue, driver


async def until(check, seconds=3.0):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)


def test_history_of_an_account_is_not_booked_by_a_new_session():
    """A new folder on an account with a past: months-old funding and fills are in its wallet already."""

    async def run():
        world, venue, driver = make()
        venue.funding = [
            FundingPayment(symbol=SYMBOL, ts_ns=START - d * 24 * HOUR, rate=1e-4, mark_price=1e4, qty=1.0, amount=+40.0)
            for d in range(1, 40)
        ]
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        peak = world.engine.account.books.cash
        driver.stop()
        await task
        assert peak == 10_000.0, (
            f"books begin with {peak}: the wallet's 10000 and 39 old payments again; asked {venue.asked}"
        )

    asyncio.run(run())


def test_history_of_fills_is_not_replayed_on_an_adopted_symbol():
    """A manual position whose symbol has a past: only the position is adopted; old trades send no orders."""

    async def run():
        world, venue, driver = make()
        venue.positions = [
            VenuePosition(
                symbol=SYMBOL,
                qty=0.01,
                entry_price=10_000.0,
                leverage=10.0,
                margin=10.0,
                liquidation_price=0.0,
                mark_price=10_000.0,
                unrealised_pnl=0.0,
            )
        ]
        for n in range(10):  # five losing round trips of last month: short at 9000, covered at 9500
            venue.history.append(
                Fill(
                    fill_id=f"old-{n}",
                    client_order_id=f"web_{n}",
                    symbol=SYMBOL,
                    side=OrderSide.SELL if n % 2 == 0 else OrderSide.BUY,
                    qty=1.0,
                    price=9_000.0 if n % 2 == 0 else 9_500.0,
                    fee=4.0,
                    liquidity="taker",
                    ts_ns=START - (30 * 24 * 60 - n) * MINUTE,
                )
            )
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        await asyncio.sleep(0.5)
        sent, cash, held = list(venue.sent), world.engine.account.books.cash, world.engine.halts.held
        driver.stop()
        await task
        big = [(r.type.value, r.side.value, r.qty, r.stop_price) for r in sent if r.qty > 0.01]
        assert not big, (
            f"orders for positions that were closed a month ago: {big[:4]} ({len(big)}), cash {cash}, held {held!r}"
        )

    asyncio.run(run())


def test_stop_works_before_the_account_stream_is_up():
    async def run():
        world, venue, driver = make()
        venue.user = False
        task = asyncio.create_task(driver.run(connected=True))
        await asyncio.sleep(0.2)
        driver.stop()
        done, _ = await asyncio.wait([task], timeout=1.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert done, "SIGTERM is ignored while the account stream is not up"

    asyncio.run(run())


def test_flatten_is_taken_before_the_account_stream_is_up():
    """The account stream never comes up (listen key refused): a person's flatten must still be heard."""

    async def run():
        world, venue, driver = make()
        venue.user = False
        asked = [Asked(ts_ns=START, action="flatten", reason="now", actor="me")]
        driver._operator = lambda: [asked.pop()] if asked else []
        task = asyncio.create_task(driver.run(connected=True))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not asked, "nobody polls operator requests until the first look is done"

    asyncio.run(run())


def test_one_symbol_whose_klines_are_refused_does_not_stop_the_others():
    async def run():
        world, venue, driver = make()
        venue.refuse_klines = {OTHER}
        for m in range(3):
            venue.bars.append(
                Kline(
                    symbol=SYMBOL,
                    interval_ns=MINUTE,
                    ts_ns=START + (m - 3) * MINUTE,
                    open=1e4,
                    high=1e4,
                    low=1e4,
                    close=1e4,
                    volume=1.0,
                )
            )
        driver.timing = __import__("msgspec").structs.replace(FAST, warm_bars=3)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        await asyncio.sleep(1.5)
        got = driver.counts["commands"], driver.decided_until_ns, driver.counts["klines failed"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert got[1] > 0, f"no bar of any symbol is ever decided on: {got}"
        assert driver._caught_up

    asyncio.run(run())


def test_a_bar_with_a_price_of_zero_is_screened_and_ends_nothing():
    """It is no bar: not worked out ahead, refused when its moment is decided on, and trading goes on."""

    async def run():
        world = World().begin(200)
        venue, start, begun = Account(world.engine.instruments), world.now_ns, time.monotonic()
        wall = start + MINUTE - 100_000_000
        venue.now_ns = wall
        driver = LiveDriver(
            world.session, venue, FAST, lambda: wall + int((time.monotonic() - begun) * 1e9), namespace="t-"
        )
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        for symbol, price in ((SYMBOL, 0.0), (OTHER, 1e3)):
            venue.push(Kline(
                symbol=symbol, interval_ns=MINUTE, ts_ns=start, open=price, high=price, low=price, close=price,
                volume=5.0,
            ))
        await until(lambda: driver.decided_until_ns >= start + MINUTE)
        driver.stop()
        await task
        world.session.settle()
        assert world.engine.records.tally.topics["market.refused"] == 1
        assert world.session.shield.failures == 0

    asyncio.run(run())


def test_a_bar_from_the_future_does_not_end_trading():
    async def run():
        world, venue, driver = make()
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        t = START - MINUTE
        for s in (SYMBOL, OTHER):
            venue._events.put_nowait(
                Kline(symbol=s, interval_ns=MINUTE, ts_ns=t, open=1e3, high=1e3, low=1e3, close=1e3, volume=1.0)
            )
        await asyncio.sleep(0.2)
        venue._events.put_nowait(
            Kline(
                symbol=SYMBOL,
                interval_ns=MINUTE,
                ts_ns=START + 365 * 24 * HOUR,
                open=1e3,
                high=1e3,
                low=1e3,
                close=1e3,
                volume=1.0,
            )
        )
        await asyncio.sleep(0.2)
        venue._events.put_nowait(StreamState(stream="market", up=False, ts_ns=t))
        venue._events.put_nowait(StreamState(stream="market", up=True, ts_ns=t))  # any reconnect
        await asyncio.sleep(0.5)
        far = driver.decided_until_ns
        lag = driver.health().lag_s
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert far < START + HOUR, f"decided until {(far - START) / HOUR / 24:.0f} days ahead; lag shown: {lag}"

    asyncio.run(run())


def test_a_graceful_stop_leaves_no_position_without_a_stop():
    """SIGTERM right after an opening order went out; its fill comes 0.2 s later."""

    async def run():
        world = World().begin(1500)
        world, venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        venue._events.put_nowait(StreamState(stream="market", up=True, ts_ns=venue.now_ns))
        await asyncio.sleep(0.2)
        now = driver.clock.now_ns()
        driver.tell(Wished(ts_ns=now, intent=world.intent("w1", created_ns=now, expires_ns=now + 30 * 10**9)))
        await until(lambda: any(r.type is OrderType.MARKET for r in venue.sent), 2.0)
        opening = next(r for r in venue.sent if r.type is OrderType.MARKET)
        driver.stop()
        await asyncio.sleep(0.05)
        fill = Fill(
            fill_id="n-1",
            client_order_id=opening.client_order_id,
            symbol=SYMBOL,
            side=opening.side,
            qty=opening.qty,
            price=1e4,
            fee=0.1,
            liquidity="taker",
            ts_ns=now,
        )
        venue.history.append(fill)
        venue._events.put_nowait(fill)
        venue.positions = [
            VenuePosition(
                symbol=SYMBOL,
                qty=opening.qty,
                entry_price=1e4,
                leverage=5.0,
                margin=10.0,
                liquidation_price=0.0,
                mark_price=1e4,
                unrealised_pnl=0.0,
            )
        ]
        await asyncio.wait([task], timeout=5)
        assert any(r.type is OrderType.STOP_MARKET for r in venue.sent), (
            "the process ended with a position at the venue and no stop"
        )

    asyncio.run(run())
