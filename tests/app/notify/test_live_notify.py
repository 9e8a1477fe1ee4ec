"""`live --notify` at a real local venue: a fill is told, and so is the death of the process with an open position."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.app.api.live_world import LiveWorld, until
from tests.app.notify.http_target import http_target
from tests.app.notify.noted_run import NotedRun
from tests.app.notify.test_notify_run import SECRET, settings_file

from quantum_trader.app.notify.beside import start_beside


@pytest.mark.long
def test_a_killed_live_run_with_an_open_position_is_told(tmp_path: Path) -> None:
    """The process beside it outlives the kill, tells what is open, and ends; nothing repeats the address."""
    with http_target() as target:
        file = settings_file(tmp_path, target)
        secret = f"json://{target.place}/{SECRET}"
        with LiveWorld(tmp_path, "--notify", str(file), QT_NOTIFY_HOOK=secret) as world:
            until("notifications", lambda: (world.state / "notify" / "state.json").exists())
            environ = Path(f"/proc/{world.process.pid}/environ").read_bytes()
            world.open("BTCUSDT", 0.01)
            until("a fill is told", lambda: any("BTCUSDT: BUY 0.01" in one["message"] for one in target.posted))
            world.process.kill()
            until("the death is told", lambda: any(
                "the process is dead with 1 open position (BTCUSDT LONG 0.01)" in one["message"]
                for one in target.posted
            ))

        assert SECRET.encode() in environ  # what a process was started with stays in /proc, readable by its user alone
        assert SECRET not in (tmp_path / "live.log").read_text()
        for place in world.state.rglob("*"):
            assert not place.is_file() or SECRET.encode() not in place.read_bytes()


def test_notifications_that_were_started_beside_a_run_end_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The addresses leave the environment of the process that started them."""
    with http_target() as target, NotedRun(tmp_path / "run") as run:
        monkeypatch.setenv("QT_NOTIFY_HOOK", f"json://{target.place}/{SECRET}")
        run.live()
        process = start_beside(run.folder, settings_file(tmp_path, target))
        assert "QT_NOTIFY_HOOK" not in os.environ
        until("it looks", lambda: (run.folder / "notify" / "state.json").exists())
        run.halt("h1")
        until("the halt is told", lambda: any("h1" in one["message"] for one in target.posted))
        run.says()
        run.end()

        assert process.wait(60) == 0
        assert any("stopped with open trades" in one["title"] for one in target.posted)
