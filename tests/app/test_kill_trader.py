"""kill -9 of the trader in the middle of an order: after the restart nothing is doubled, lost or unprotected."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.app.kill_world import PHASES, KillWorld, within


async def campaign(world: KillWorld, kills: int) -> None:
    """Kill the trader *kills* times; check after each restart, and at last replay everything from the beginning."""
    while world.figures.kills < kills:
        number = world.figures.kills
        await world.spawn(cold=number % 20 == 10)
        if number and world.chance.random() < 0.08:
            await world.die_young()
            continue
        await world.ready()
        await world.check()
        await world.live_and_die()
    await world.spawn()
    await world.ready()
    await world.check(whole=True)
    assert await world.stop() == 0


@pytest.mark.long
def test_two_hundred_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Books equal the venue, one order per intent, every position protected; and every phase was hit."""
    world = KillWorld(tmp_path, seed=1)

    async def act(world: KillWorld) -> None:
        await campaign(world, 200)

    asyncio.run(within(world, act))
    figures, exchange = world.figures, world.venue.exchange
    with capsys.disabled():
        print(f"\n{figures}; orders {len(exchange.orders)}, stops and targets {len(exchange.algos)}, "  # noqa: T201
              f"fills {len(exchange.trades)}, inputs {world.last.inputs if world.last else 0}; {dict(figures.points)}")
    assert figures.kills == 200
    assert figures.middle >= 150
    assert not [phase for phase in PHASES[:-1] if not figures.phases[phase]]
