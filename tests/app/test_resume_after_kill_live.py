"""kill -9 of the trader in the middle of an order: after the restart nothing is doubled, lost or unprotected."""

from __future__ import annotations

import asyncio
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest
from tests.app.kill_world import PHASES, KillWorld, within
from tests.app.trader import REFUSED, WARM_BARS

from quantum_trader.live.inputs import IntentReceived, encode_input


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
    assert len(set(world.journaled())) == 1, world.journaled()


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


@pytest.mark.parametrize("seed", [3])
def test_a_few_kills(seed: int, tmp_path: Path) -> None:
    """The same, three times."""
    world = KillWorld(tmp_path, seed)

    async def act(world: KillWorld) -> None:
        await campaign(world, 3)

    asyncio.run(within(world, act))
    assert world.figures.kills == 3
    assert world.last is not None
    assert world.venue.exchange.trades


@pytest.mark.long
def test_killed_in_its_very_first_start(tmp_path: Path) -> None:
    """Before the first checkpoint, at any moment: the next start begins, or goes on where that one was."""
    world = KillWorld(tmp_path, seed=4)

    async def act(world: KillWorld) -> None:
        for wait_s in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            await world.spawn()
            await asyncio.sleep(wait_s)
            world.kill()
            assert await world.reap() == -signal.SIGKILL
        await world.spawn()
        await world.ready()
        said = await world.check(whole=True)
        assert said.topics["cash.adjusted"] == 1
        assert said.topics["market.bar"] >= WARM_BARS - 1
        await world.live_and_die()
        await world.spawn()
        await world.ready()
        await world.check(whole=True)
        assert await world.stop() == 0

    asyncio.run(within(world, act))
    assert world.venue.exchange.trades


@pytest.mark.long
def test_a_torn_last_entry_is_cut_off(tmp_path: Path) -> None:
    """Half of an input at the end of the log was never acted on: the start goes on without it."""
    world = KillWorld(tmp_path, seed=5)

    async def act(world: KillWorld) -> None:
        await world.spawn()
        await world.ready()
        await world.live_and_die()
        path = tmp_path / "state" / "inputs" / "inputs-00000001.log"
        whole = path.read_bytes()
        entry = encode_input(IntentReceived(ts_ns=1, intent=world.wish()))
        for torn in (b"\x07", struct.pack("<II", len(entry), zlib.crc32(entry)) + entry[:-1]):
            path.write_bytes(whole + torn)
            await world.spawn()
            recovered = await world.hear("recovered")
            assert recovered.taken >= 1
            await world.hear("ready")
            await world.check()
            assert path.read_bytes()[:len(whole)] == whole
            world.kill()
            await world.reap()
            whole = path.read_bytes()

    asyncio.run(within(world, act))


@pytest.mark.long
def test_a_graceful_stop_leaves_a_checkpoint_and_nothing_to_replay(tmp_path: Path) -> None:
    """SIGTERM in the middle of trading: exit code 0, and the next start takes no input again."""
    world = KillWorld(tmp_path, seed=6)

    async def act(world: KillWorld) -> None:
        for _ in range(4):
            await world.spawn()
            recovered = await world.hear("recovered")
            assert recovered.taken == 0
            await world.hear("ready")
            await world.check()
            trading = asyncio.create_task(world.traffic())
            await asyncio.sleep(1.0)
            assert await world.stop() == 0, world.errors.read_text()
            trading.cancel()
            await asyncio.gather(trading, return_exceptions=True)

    asyncio.run(within(world, act))
    assert len(world.venue.exchange.trades) > 4


@pytest.mark.long
def test_a_second_trader_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """It ends with what to do, and the first goes on as if nothing had been."""
    world = KillWorld(tmp_path, seed=7)

    async def act(world: KillWorld) -> None:
        await world.spawn()
        await world.ready()
        order = msgspec.json.encode(world.order()).decode()
        second = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "tests.app.trader", order], capture_output=True, text=True,
            check=False, timeout=120,
        )
        assert second.returncode == REFUSED
        assert "another run is using this folder" in second.stderr
        await world.check()
        assert await world.stop() == 0

    asyncio.run(within(world, act))
    assert world.figures.checks == 1
