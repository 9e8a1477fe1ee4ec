"""Bars that are refused, slow, from the future or no prices: the others are decided on."""

from __future__ import annotations

import asyncio
import time

import msgspec
from tests.live.live_account import FAST, Account, make, until
from tests.live.live_world import HOUR, MINUTE, OTHER, START, SYMBOL, World

from quantum_trader.domain.errors import VenueUnavailable
from quantum_trader.engine.venue_port import Kline, StreamState
from quantum_trader.live.driver import LiveDriver
from quantum_trader.signals import columns as col


def test_one_symbol_whose_klines_are_refused_does_not_stop_the_others():
    async def run():
        world, venue, driver = make(timing=msgspec.structs.replace(FAST, warm_bars=3))
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
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        await asyncio.sleep(1.5)
        got = driver.counts["commands"], driver.decided_until_ns, driver.counts["klines failed"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert got[1] > 0, f"no bar of any symbol is ever decided on: {got}"
        assert driver.bars.caught_up

    asyncio.run(run())


def test_bars_of_a_slow_symbol_are_waited_for():
    """A symbol whose bars come late: the warm-up waits for it, it is not decided without them."""

    async def run():
        world, venue, driver = make(timing=msgspec.structs.replace(FAST, warm_bars=3))
        for s in (SYMBOL, OTHER):
            for m in range(4):
                venue.bars.append(
                    Kline(
                        symbol=s,
                        interval_ns=MINUTE,
                        ts_ns=START + (m - 3) * MINUTE,
                        open=1e3,
                        high=1e3,
                        low=1e3,
                        close=1e3,
                        volume=1.0,
                    )
                )
        real = venue.get_klines

        async def klines(symbol, *rest):
            if symbol == OTHER and count() <= 8:
                raise VenueUnavailable("the venue has a request limit, and it is near")
            return await real(symbol, *rest)

        n = [0]

        def count():
            n[0] += 1
            return n[0]

        venue.get_klines = klines
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.decided_until_ns > 0, 6.0)
        close = float(
            world.engine.market.kernel.out[1, col.CLOSE]
        )
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert close > 0, f"the second symbol's warm-up was thrown away after a few tries (its close: {close})"

    asyncio.run(run())


def test_a_bar_with_a_price_of_zero_is_refused_and_trading_goes_on():
    """It is no bar: not worked out ahead, refused when its moment is decided on, and trading goes on."""

    async def run():
        world = World().begin(200)
        venue, start, begun = Account(world.engine.instruments.all), world.now_ns, time.monotonic()
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
        world.session.finish_bars()
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
