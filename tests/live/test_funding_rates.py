"""Funding rates as the venue announces them, read by the interval of their contract."""

from __future__ import annotations

import asyncio

import msgspec
from tests.live.live_account import make, until
from tests.live.live_world import OTHER, SYMBOL

from quantum_trader.engine import stage
from quantum_trader.engine.venue_port import MarkPrice


def test_an_announced_rate_is_read_by_the_interval_of_its_contract(monkeypatch):
    """-2 % each 2 hours costs as -8 % per 8 hours; when the venue changes the interval to 1 hour, as -16 %."""

    async def run():
        world, venue, driver = make()
        hours = {SYMBOL: 2, OTHER: 8}
        told = venue.instrument
        monkeypatch.setattr(
            venue, "instrument",
            lambda symbol: msgspec.structs.replace(told(symbol), funding_interval_hours=hours[symbol]),
        )
        seen = world.engine.market.symbols[:, stage.SYM_FUNDING]
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)

        def announce():
            for symbol in (SYMBOL, OTHER):
                venue.push(MarkPrice(
                    symbol=symbol, price=1e4, funding_rate=-0.02, next_funding_ns=0, ts_ns=driver.clock.now_ns()
                ))

        announce()
        await until(lambda: seen.tolist() == [-0.08, -0.02])
        hours[SYMBOL] = 1
        announce()
        await until(lambda: seen.tolist() == [-0.16, -0.02])
        driver.stop()
        await task

    asyncio.run(run())
