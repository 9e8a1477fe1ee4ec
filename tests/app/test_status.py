"""Status: what a folder says of its run, alive or dead, and what wants a person."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from tests.properties.live_road import live_run
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, bind_folder
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import (
    STOPPED,
    HaltLine,
    LiveStatus,
    OrderLine,
    PositionLine,
    folder_status,
    read_status,
    write_status,
)
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.domain.errors import StateError

NOW = 1_700_000_000_000_000_000
LOCAL_MODE = LiveSettings(mode=LiveMode.LOCAL, address="http://127.0.0.1:8080")
FINE = LiveStatus(
    written_ns=NOW - 1_000_000_000, pid=os.getpid(), started_ns=NOW, mode="LOCAL", endpoint="local", market_up=True,
    user_up=True, equity=1000.0, equity_ns=NOW - 600_000_000_000,
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
    assert found.pid == os.getpid()
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
        ({"halts": (HaltLine(kind="operator", reason="asked", exit_path="resume"),)},
         "new entries stop: operator: asked; ends: resume"),
        ({"positions": (PositionLine(symbol="X", side="SHORT", qty=1.0, entry_price=1.0, protected=False),)},
         "X: SHORT 1 has no stop"),
    ],
)
def test_health_means_progress(changes: dict[str, object], told: str, tmp_path: Path) -> None:
    """Each fault is listed as a problem, although the process is up."""
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
    """Requests executed before are not counted."""
    live_folder(tmp_path, msgspec.structs.replace(FINE, operator_taken=1, positions=(), orders=()))
    for words in (["halt", "--reason", "old"], ["resume", "--reason", "new"]):
        assert CliRunner().invoke(app, [*words, "--state", str(tmp_path)]).exit_code == 0
    (tmp_path / "direct_actions.jsonl").write_bytes(b"{}\n{}\n")
    found = folder_status(tmp_path, NOW)
    assert [one.reason for one in found.pending_requests] == ["new"]
    assert found.direct_actions == 2


def test_the_command_prints_lines_or_json_and_an_exit_code(tmp_path: Path) -> None:
    """Exit code 1 with a problem; the figures in both forms."""
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
    flags = {
        "data.start": ("2018-03-01", "t"), "data.end": ("2018-03-20", "t"), "data.symbols": (["BTCUSDT"], "t"),
        "models": (({"model": "intraday-demo"},), "t"),
    }
    result = run(load_settings(None, flags).settings, RunOptions(state_dir=tmp_path))
    found = folder_status(tmp_path, NOW)
    assert (found.kind, found.source, found.mode) == ("replay", "checkpoint", "REPLAY")
    assert found.equity == pytest.approx(result.facts.equity[-1])
    assert [line.symbol for line in found.positions] == [line.symbol for line in result.facts.positions]
    assert all(line.protected for line in found.positions)
    held = StateDir(tmp_path)
    assert folder_status(tmp_path, NOW).stage == "", "of a replay nothing waits for a venue"
    held.close()
    told = CliRunner().invoke(app, ["status", "--state", str(tmp_path), "--venue"])
    assert told.exit_code == 2
    assert "at no venue" in told.stderr


def test_a_replay_is_called_finished_or_stopped_and_never_dead(tmp_path: Path) -> None:
    """One that was interrupted says how it goes on."""
    flags = {"data.start": ("2018-03-01", "t"), "data.end": ("2018-03-02", "t"), "data.symbols": (["BTCUSDT"], "t")}
    run(load_settings(None, flags).settings, RunOptions(state_dir=tmp_path))
    finished = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    folder = StateDir(tmp_path)
    folder.save_checkpoint({**(folder.load_checkpoint() or {}), "finished": False})
    folder.close()
    stopped = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    folder = StateDir(tmp_path)
    saved = folder.load_checkpoint() or {}
    del saved["finished"]
    folder.save_checkpoint(saved)
    folder.close()
    older = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])

    assert "process      finished: every bar is replayed\n" in finished.stdout
    assert "process      stopped before its last bar; the same command continues it\n" in stopped.stdout
    assert "process      not running\n" in older.stdout, "an older version did not say"
    assert (finished.exit_code, stopped.exit_code) == (0, 0)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """A damaged checkpoint is reported and left where it is; a damaged status file counts as none."""
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
    """The reason names the cause, not only "governor EMERGENCY"."""
    with live_run(tmp_path) as live:
        live.engine.on_health(GOV_EMERGENCY, connected=True, reason="lag 301.0 s, clock +3 ms, queue 0 %", now_ns=NOW)
        (halt,) = live.status(live.driver.health()).halts
    assert halt.reason == "governor EMERGENCY: system health (lag 301.0 s, clock +3 ms, queue 0 %)"
    assert halt.exit_path == "resume --reason"


def quiet(path: Path, **changes: object) -> tuple[str, ...]:
    """The problems of a folder whose process is dead, holds nothing, and last said *changes*."""
    live_folder(path, msgspec.structs.replace(FINE, positions=(), orders=(), **changes))
    return folder_status(path, NOW).problems


def test_a_process_that_misses_three_status_writes_is_a_problem(tmp_path: Path) -> None:
    """Eight seconds without a status are a problem at an interval of two seconds, not at ten."""
    written_ns = NOW - 8_000_000_000
    assert "wrote no status for 8 s" in problems(tmp_path, written_ns=written_ns, every_s=2.0)
    assert problems(tmp_path, written_ns=written_ns, every_s=10.0) == ""


def test_a_dead_process_without_a_final_status_is_a_problem(tmp_path: Path) -> None:
    """Killed, or with a full disk: exit code 1, the age of the figures, and the advice to check the venue."""
    (problem,) = quiet(tmp_path, written_ns=NOW - 2_100_000_000_000)
    for words in ("without a final status", "2100 s old", "may miss later changes", "status --venue"):
        assert words in problem
    assert CliRunner().invoke(app, ["status", "--state", str(tmp_path)]).exit_code == 1
    assert quiet(tmp_path, stage=STOPPED) == ()
    assert CliRunner().invoke(app, ["status", "--state", str(tmp_path)]).exit_code == 0


def test_a_stopped_process_writes_a_final_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stage is stopped, and an account that was never read is not shown as known."""
    with live_run(tmp_path) as live:

        async def told_at_once(connected: bool) -> None:
            """Nothing to trade."""

        monkeypatch.setattr(live.driver, "run", told_at_once)
        asyncio.run(live.run())
    status = read_status(tmp_path)
    assert status is not None
    assert (status.stage, status.every_s, status.equity_ns) == (STOPPED, 0.2, 0)


@pytest.mark.parametrize("status", [None, msgspec.structs.replace(FINE, stage="starting", equity=0.0, equity_ns=0)])
def test_an_unread_account_is_not_shown_as_known(status: LiveStatus | None, tmp_path: Path) -> None:
    """Neither an equity of 0.00 nor a governor, and a dead start is a problem."""
    live_folder(tmp_path, status)
    found = folder_status(tmp_path, NOW)
    assert (found.equity, found.governor, found.equity_ns) == (None, None, 0)
    assert "ended during its start" in "\n".join(found.problems)
    told = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    assert told.exit_code == 1
    assert "equity       not known yet" in told.stdout
    assert "0.00" not in told.stdout
    assert "NORMAL" not in told.stdout


def test_the_equity_is_known_from_the_books_begin(tmp_path: Path) -> None:
    """Before the first bar its moment is when the account's money was read."""
    with live_run(tmp_path) as live:
        assert live.status(live.driver.health()).equity_ns == 0
        live.engine.begin(1_000.0, "life-", NOW)
        status = live.status(live.driver.health())
    assert (status.equity, status.equity_ns) == (1_000.0, NOW)


def test_the_equity_says_of_which_bar_it_is(tmp_path: Path) -> None:
    """It can be half an hour older than the other figures."""
    live_folder(tmp_path)
    told = CliRunner().invoke(app, ["status", "--state", str(tmp_path)]).stdout
    assert "equity       1,000.00 USDT as of 2023-11-14T22:03:20Z (updated at each bar), governor NORMAL" in told


def test_a_start_is_not_judged_by_the_status_of_an_earlier_process(tmp_path: Path) -> None:
    """The lock names its process: for two minutes it is starting, then it is stuck."""
    live_folder(tmp_path, msgspec.structs.replace(FINE, pid=1, written_ns=NOW - 3_600_000_000_000))
    held = StateDir(tmp_path)
    os.utime(tmp_path / "lock", ns=(NOW - 60_000_000_000,) * 2)
    found = folder_status(tmp_path, NOW)
    os.utime(tmp_path / "lock", ns=(NOW - 600_000_000_000,) * 2)
    (stuck,) = folder_status(tmp_path, NOW).problems
    held.close()
    assert (found.pid, found.stage, found.problems) == (os.getpid(), "starting", ())
    assert "for 600 s and wrote no status" in stuck


@pytest.mark.parametrize(
    ("left", "flags", "told"),
    [(3, 0, "full or nearly (12 KiB left)"), (10_000, os.ST_RDONLY, "read-only"), (10_000, 0, "")],
)
def test_a_folder_that_cannot_be_written_is_a_problem(
    left: int, flags: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the remedy that needs no disk; a living process is stopped first."""
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=flags, f_bavail=left, f_frsize=4096))
    found = problems(tmp_path)
    assert told in found
    assert (f"kill -TERM {os.getpid()}" in found) is bool(told)
    assert ("flatten --now" in found) is bool(told)


def test_a_folder_of_a_refused_start_is_not_a_replay(tmp_path: Path) -> None:
    """A refused start leaves nothing but a lock file."""
    (tmp_path / "lock").touch()
    found = folder_status(tmp_path, NOW)
    assert (found.kind, found.mode) == ("nothing", "nothing yet")
    assert "nothing ran here yet" in found.problems[0]
    held = StateDir(tmp_path)
    os.utime(tmp_path / "lock", ns=(NOW - 600_000_000_000,) * 2)
    (stuck,) = folder_status(tmp_path, NOW).problems
    held.close()
    assert "it waits for the venue" in stuck
