"""The stop drill over the API: a real live process at the local venue, alive, hung and dead; everything is closed."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.app.api.live_world import LiveWorld, until

LONG = pytest.mark.long


def stopped(world: LiveWorld, **body: float) -> tuple[float, Any]:
    """STOP; seconds until the venue held nothing, and the progress at the end."""
    began = time.monotonic()
    status, told = world.post("flatten", reason="drill", **body)
    assert status == 200, told
    until("flat at the venue", lambda: not world.held())
    took = time.monotonic() - began
    return took, until("an end", lambda: (one := world.get("flatten"))["state"] != "running" and one)


@pytest.mark.parametrize("process", ["hung", pytest.param("alive", marks=LONG), pytest.param("dead", marks=LONG)])
def test_stop_closes_everything(tmp_path: Path, process: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The venue holds nothing and nothing rests; who asked is on record; what was done is told step by step."""
    with LiveWorld(tmp_path) as world:
        world.open("BTCUSDT", 0.5)
        world.open("ETHUSDT", 2.0)
        assert set(world.held()) == {"BTCUSDT", "ETHUSDT"}
        if process == "hung":
            world.process.send_signal(signal.SIGSTOP)
        elif process == "dead":
            world.process.kill()
            world.process.wait()
        took, told = stopped(world, hangs_s=4.0)
        with capsys.disabled():
            sys.stdout.write(f"\nSTOP over the API, engine {process}: the venue held nothing after {took:.1f} s\n")
        assert (told["state"], told["flat"]) == ("done", True), told
        assert world.venue.exchange.paper.positions() == []
        steps = " ".join(one["text"] for one in told["steps"])
        assert ("killing the process" in steps) == (process == "hung")
        assert ("the process has taken the request" in steps) == (process == "alive")
        assert world.get("changes")["changes"][0]["name"] == "drill"
        assert world.get("status")["alive"] is (process == "alive")


@LONG
def test_one_position_is_closed_and_the_other_stays(tmp_path: Path) -> None:
    """The process does it; its trace tells what came of it."""
    with LiveWorld(tmp_path) as world:
        world.open("BTCUSDT", 0.5)
        world.open("ETHUSDT", 2.0)
        status, told = world.post("positions/ETHUSDT/close", reason="drill")
        assert status == 200, told
        until("ETHUSDT closed", lambda: set(world.held()) == {"BTCUSDT"})
        until("its trace", lambda: world.get(f"traces/{told['intent_id']}")["symbol"] == "ETHUSDT")
        assert world.post("halt", reason="drill")[0] == 200
        until("halted", lambda: world.get("halts")["entries_halted"])
        assert world.post("resume", reason="drill")[0] == 200
        until("resumed", lambda: not world.get("halts")["entries_halted"])
