"""What ``status`` calls a process: stopped, halted, in hedge mode; and what it shows of others on the account."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.test_flatten_at_the_local_venue import instrument
from tests.app.test_flatten_odd_symbols import ODD, SYMBOLS, hold, live, run_cli
from tests.live.live_world import World
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live_settings import bind_folder
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import (
    BY_HAND,
    STATUS_FILE,
    STOPPED,
    HaltLine,
    LiveStatus,
    OthersLine,
    PositionLine,
    _from_checkpoint,
    write_status,
)
from quantum_trader.venues.local.build import scripted_exchange
from quantum_trader.venues.local.server import LocalVenue


def said(folder: Path, *, alive: bool, **changes: Any) -> tuple[int, str]:
    """Exit code and text of `status` for a folder whose last status is as given."""
    bind_folder(folder, live("http://127.0.0.1:1"))
    held = StateDir(folder)
    try:
        pid = int((folder / "lock").read_bytes())
        status = LiveStatus(
            written_ns=time.time_ns(), pid=pid, started_ns=time.time_ns(), mode="LOCAL", endpoint="local",
            market_up=True, user_up=True, equity=1.0, equity_ns=1,
        )
        write_status(folder, msgspec.structs.replace(status, **changes))
        if alive:
            result = CliRunner().invoke(app, ["status", "--state", str(folder)])
    finally:
        held.close()
    if not alive:
        result = CliRunner().invoke(app, ["status", "--state", str(folder)])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("stage", "text"), [(STOPPED, "process      stopped\n"), (BY_HAND, "process      stopped; flattened at the venue")]
)
def test_a_process_that_was_stopped_is_not_called_dead(tmp_path: Path, stage: str, text: str) -> None:
    """The text says what its JSON says."""
    code, output = said(tmp_path, alive=False, stage=stage)
    assert text in output
    assert "dead" not in output
    assert code == 0


def test_a_process_that_was_killed_is_called_dead(tmp_path: Path) -> None:
    """Its last word was trading."""
    code, output = said(tmp_path, alive=False)
    assert "process      dead\n" in output
    assert code == 1


def test_a_halted_process_is_not_called_trading(tmp_path: Path) -> None:
    """Alive, and why nothing opens."""
    halt = HaltLine(kind="operator", reason="halted: news (me)", exit_path="resume --reason")
    code, output = said(tmp_path, alive=True, halts=(halt,), entries_halted="halted: news (me)")
    assert "no new entries: halted: news (me)\n" in output
    assert "trading" not in output.split("process")[1].split("\n")[0]
    assert code == 1


def test_what_others_did_and_hold_is_shown(tmp_path: Path) -> None:
    """Their orders with a time, and their position with whose it is; with its stop it is no problem."""
    code, output = said(
        tmp_path, alive=True, by_others=(OthersLine(ts_ns=1_700_000_000_000_000_000, text="AAAUSDT: a person sold"),),
        positions=(PositionLine(
            symbol=ODD, side="LONG", qty=500.0, entry_price=1.0, stop=0.9, protected=True, traded=False
        ),),
    )
    assert "by others    2023-11-14T22:13:20Z AAAUSDT: a person sold" in output
    assert f"position     {ODD} LONG 500 from 1, stop 0.9, not opened by this bot, in a symbol" in output
    assert code == 0


def test_a_status_with_an_unknown_number_can_be_read(tmp_path: Path) -> None:
    """A quantity that the venue reports as no number, and a mark before the first bar: shown, not damaged."""
    code, output = said(tmp_path, alive=True, positions=(PositionLine(
        symbol=ODD, side="LONG", qty=math.nan, entry_price=1.0, mark_price=math.nan, protected=False, traded=False
    ),))
    assert f"position     {ODD} LONG nan from 1, NO STOP at the venue" in output
    assert "status file" in output
    assert code == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"positions": ["qty"]}', b"7"])
def test_a_status_that_cannot_be_read_is_called_that(tmp_path: Path, content: bytes) -> None:
    """A process that has traded for an hour is not said to start, nor to have written nothing."""
    bind_folder(tmp_path, live("http://127.0.0.1:1"))
    held = StateDir(tmp_path)
    try:
        (tmp_path / STATUS_FILE).write_bytes(content)
        os.utime(tmp_path / "lock", (time.time() - 3600.0,) * 2)
        result = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    finally:
        held.close()
    assert "status.json cannot be read" in result.output
    assert "wrote no status" not in result.output
    assert "starting" not in result.output
    assert result.exit_code == 1


def test_a_checkpoint_with_an_open_order_can_be_shown(world: World) -> None:
    """Every order of a saved state has a field with another name on disk than in the program."""
    world.opened()
    world.session.checkpoint()
    view = _from_checkpoint(world.store.load())
    assert [line.purpose for line in view["orders"]] == ["STOP"]
    assert [line.protected for line in view["positions"]] == [True]


@pytest.fixture
def world() -> World:
    """A live engine with a few bars behind it."""
    return World().begin(1500)


async def until_status(state: Path, server: LocalVenue, check: Any) -> dict[str, Any]:
    """The status, as soon as it is as *check* wants."""
    for _ in range(120):
        result = await asyncio.to_thread(run_cli, state, server, "status", "--json")
        found: dict[str, Any] = msgspec.json.decode(result.stdout.encode()) if result.stdout else {}
        if found and check(found):
            return found
        await asyncio.sleep(1.0)
    raise AssertionError(found)


@pytest.mark.long
def test_a_foreign_position_in_an_untraded_symbol_at_the_local_venue(tmp_path: Path) -> None:
    """A run of AAAUSDT, an account that holds 币安人生USDT: halted, with a stop, shown; after Ctrl-C: stopped."""
    state, config = tmp_path / "state", tmp_path / "live.toml"
    config.write_text("[live]\nwarmup_bars = 1\nreconcile_s = 5.0\nstatus_s = 0.5\n")

    async def script() -> tuple[dict[str, Any], list[Any], str]:
        exchange = scripted_exchange(
            [instrument(symbol) for symbol in SYMBOLS], dict.fromkeys(SYMBOLS, 100.0), start_ns=time.time_ns()
        )
        async with LocalVenue(exchange) as server:
            await hold(server)
            environ = {
                **os.environ, "QT_LOCAL_KEY": server.keys[0].key, "QT_LOCAL_SECRET": server.keys[0].secret,
                "HOME": str(tmp_path),
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "quantum_trader.app.cli.main", "live", "--mode", "LOCAL", "--address",
                 server.url, "--symbols", "AAAUSDT", "--bars", "1m", "--config", str(config), "--state", str(state)],
                env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            try:
                found = await until_status(
                    state, server, lambda one: any(
                        line["symbol"] == ODD and line["protected"] for line in one["positions"]
                    ),
                )
                rests = list(exchange.open_algos())
            finally:
                process.send_signal(signal.SIGINT)
                errors = await asyncio.to_thread(lambda: process.communicate(timeout=300)[1])
            told = await asyncio.to_thread(run_cli, state, server, "status")
            return found, rests, errors + told.stdout

    found, rests, text = asyncio.run(script())
    assert any("did not open" in halt["reason"] for halt in found["halts"])
    assert rests
    assert "process      stopped\n" in text
