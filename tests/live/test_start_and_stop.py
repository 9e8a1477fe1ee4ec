"""Starts on an account with a past, and stops that leave no position without a stop."""

from __future__ import annotations

import asyncio

from tests.live.live_account import make, until
from tests.live.live_world import HOUR, MINUTE, START, SYMBOL, World

from quantum_trader.domain.enums import OrderSide, OrderType
from quantum_trader.domain.trading import Fill, FundingPayment
from quantum_trader.engine.ports import VenuePosition
from quantum_trader.engine.venue_port import StreamState
from quantum_trader.live.inputs import IntentReceived


def test_a_new_session_books_no_earlier_funding():
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


def test_a_new_session_books_no_earlier_fills_of_an_adopted_symbol():
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
        driver.tell(IntentReceived(ts_ns=now, intent=world.intent("w1", created_ns=now, expires_ns=now + 30 * 10**9)))
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
