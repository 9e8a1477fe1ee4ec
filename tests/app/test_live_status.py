"""Status: what a folder says of its run, alive or dead, and what wants a person."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.properties.live_road import live_run
from typer.testing import CliRunner

from quantum_trader.app.cli import app
from quantum_trader.app.live_settings import LiveMode, LiveSettings, bind_folder
from quantum_trader.app.results import RunOptions
from quantum_trader.app.runner import run
from quantum_trader.app.settings import load_settings
from quantum_trader.app.state_dir import StateDir
from quantum_trader.app.status import (
    HaltLine,
    LiveStatus,
    OrderLine,
    PositionLine,
    folder_status,
    read_status,
    write_status,
)
from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.domain.errors import StateError

NOW = 1_700_000_000_000_000_000
LOCAL_MODE = LiveSettings(mode=LiveMode.LOCAL, address="http://127.0.0.1:8080")
FINE = LiveStatus(
    written_ns=NOW - 1_000_000_000, pid=4242, started_ns=NOW, mode="LOCAL", endpoint="local", market_up=True,
    user_up=True, equity=1000.0,
    positions=(PositionLine(symbol="BTCUSDT", side="LONG", qty=0.5, entry_price=100.0, stop=90.0),),
    orders=(OrderLine(client_order_id="qt-1", symbol="BTCUSDT", purpose="STOP", qty=0.5, price=90.0),),
)


def live_folder(path: Path, status: LiveStatus | None = FINE) -> Path:
    """A folder bound to the local venue, with a status."""
    (path / "lock").touch(0o600)
    bind_folder(path, LOCAL_MODE)
    if status is not None:
        write_status(path, status)
    return path


def problems(path: Path, **changes: object) -> str:
    """The problems of a folder whose process lives and says *changes*."""
    live_folder(path, msgspec.structs.replace(FINE, **changes))
    held = StateDir(path)
    try:
        return "\n".join(folder_status(path, NOW).problems)
    finally:
        held.close()


def test_a_live_process_that_progresses_has_no_problems(tmp_path: Path) -> None:
    """Alive, its pid, its figures."""
    live_folder(tmp_path)
    held = StateDir(tmp_path)
    found = folder_status(tmp_path, NOW)
    held.close()
    assert found.alive
    assert found.pid == 4242
    assert found.problems == ()
    assert (found.kind, found.mode, found.endpoint, found.source) == ("live", "LOCAL", "local", "status file")
    assert found.age_s == pytest.approx(1.0)
    assert (tmp_path / "status.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"written_ns": NOW - 60_000_000_000}, "wrote no status for 60 s"), ({"market_up": False}, "market stream"),
        ({"user_up": False}, "account stream"), ({"lag_s": 9.0}, "lag 9.0 s"), ({"queue_fill": 0.97}, "97% full"),
        ({"unreconciled_s": 400.0}, "for 400 s"), ({"differences": ("BTCUSDT 1 for 2",)}, "differ: BTCUSDT 1 for 2"),
        ({"dropped_events": 2}, "2 events were lost"),
        ({"stage": "starting", "started_ns": NOW - 600_000_000_000, "waits_for": "the account stream"},
         "it waits for the account stream"),
        ({"halts": (HaltLine(kind="KILL", reason="asked", exit_path="resume"),)}, "KILL: asked; ends: resume"),
        ({"positions": (PositionLine(symbol="X", side="SHORT", qty=1.0, entry_price=1.0, protected=False),)},
         "X: SHORT 1 has no stop"),
    ],
)
def test_health_means_progress(changes: dict[str, object], told: str, tmp_path: Path) -> None:
    """Each thing that is missing is told, while the process is up."""
    assert told in problems(tmp_path, **changes)


def test_a_dead_process_with_positions_is_a_problem_with_two_ways_out(tmp_path: Path) -> None:
    """Start it again, or flatten --now; its last figures are shown."""
    live_folder(tmp_path)
    found = folder_status(tmp_path, NOW)
    assert not found.alive
    assert found.pid == 0
    assert len(found.positions) == 1
    assert "flatten --now" in found.problems[0]


def test_requests_that_wait_and_steps_by_hand_are_counted(tmp_path: Path) -> None:
    """Those taken before are not."""
    live_folder(tmp_path, msgspec.structs.replace(FINE, operator_taken=1, positions=(), orders=()))
    for words in (["halt", "--reason", "old"], ["resume", "--reason", "new"]):
        assert CliRunner().invoke(app, [*words, "--state", str(tmp_path)]).exit_code == 0
    (tmp_path / "direct_actions.jsonl").write_bytes(b"{}\n{}\n")
    found = folder_status(tmp_path, NOW)
    assert [one.reason for one in found.pending_requests] == ["new"]
    assert found.direct_actions == 2


def test_the_command_prints_lines_or_json_and_an_exit_code(tmp_path: Path) -> None:
    """1 when something wants a person; the figures in both forms."""
    live_folder(tmp_path)
    told = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    assert told.exit_code == 1
    for words in ("LOCAL at local", "dead", "BTCUSDT LONG 0.5 from 100, stop 90", "STOP 0.5 at 90 qt-1", "PROBLEM"):
        assert words in told.stdout
    document = msgspec.json.decode(CliRunner().invoke(app, ["status", "--state", str(tmp_path), "--json"]).stdout)
    assert document["positions"][0]["symbol"] == "BTCUSDT"
    assert document["venue"] is None
    assert not document["alive"]


def test_a_replays_folder_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    """Its equity, positions with their stops, requests; asking its venue is refused."""
    flags = {"data.start": ("2018-03-01", "t"), "data.end": ("2018-03-20", "t"), "data.symbols": (["BTCUSDT"], "t")}
    result = run(load_settings(None, flags).settings, RunOptions(state_dir=tmp_path))
    found = folder_status(tmp_path, NOW)
    assert (found.kind, found.source, found.mode) == ("replay", "checkpoint", "REPLAY")
    assert found.equity == pytest.approx(result.facts.equity[-1])
    assert [line.symbol for line in found.positions] == [line.symbol for line in result.facts.positions]
    assert all(line.protected for line in found.positions)
    told = CliRunner().invoke(app, ["status", "--state", str(tmp_path), "--venue"])
    assert told.exit_code == 2
    assert "at no venue" in told.stderr


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """A damaged checkpoint is told and left where it is; a damaged status file counts as none."""
    live_folder(tmp_path, None)
    (tmp_path / "status.json").write_bytes(b"{")
    (tmp_path / "checkpoint").write_bytes(b"damaged")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = folder_status(tmp_path, NOW)
    assert read_status(tmp_path) is None
    assert "checkpoint is damaged" in found.problems[0]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """Nothing is made in it."""
    with pytest.raises(StateError, match="is not a run's state folder"):
        folder_status(tmp_path, NOW)
    assert list(tmp_path.iterdir()) == []


def test_looking_does_not_keep_a_start_out(tmp_path: Path) -> None:
    """A start right after, and while others look, gets the lock."""
    live_folder(tmp_path)
    for _ in range(20):
        folder_status(tmp_path, NOW)
        StateDir(tmp_path).close()
    assert not folder_status(tmp_path, NOW).alive


def test_a_halt_of_the_governor_says_what_raised_it(tmp_path: Path) -> None:
    """Not "governor EMERGENCY" alone: nobody can mend what has no name."""
    with live_run(tmp_path) as live:
        live.engine.on_health(GOV_EMERGENCY, connected=True, reason="lag 301.0 s, clock +3 ms, queue 0 %", now_ns=NOW)
        (halt,) = live.status(live.driver.health()).halts
    assert halt.reason == "governor EMERGENCY: system health (lag 301.0 s, clock +3 ms, queue 0 %)"
    assert halt.exit_path == "resume --reason"
