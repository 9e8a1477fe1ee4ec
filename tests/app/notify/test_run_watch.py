"""Steps of the drawdown, and a stop with open positions."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.app.notify.noted_run import NOW, NotedRun

from quantum_trader.app.notify.notices import NoticeKind
from quantum_trader.app.notify.run_watch import RunWatch, WatchState
from quantum_trader.app.notify.settings import NotifySettings
from quantum_trader.app.runs.live_history import Result
from quantum_trader.app.runs.run_condition import Condition, RunCondition, run_condition
from quantum_trader.app.runs.status import STOPPED, HaltLine, PositionLine

S = 1_000_000_000
SETTINGS = NotifySettings(drawdown_steps_pct=(5.0, 10.0, 20.0), stopped_after_s=30.0)
RESULT = Result(
    since_ns=0, start_equity=1000.0, moved=0.0, profit=0.0, return_pct=0.0, drawdown_pct=0.0,
    deepest_drawdown_pct=0.0, peak_ns=0, trough_ns=0,
)


@pytest.fixture
def running(tmp_path: Path) -> RunCondition:
    """A live run that makes progress, with one position."""
    with NotedRun(tmp_path / "run") as run:
        run.live()
        run.says()
        return run_condition(run.folder, NOW)


def steps(watch: RunWatch, running: RunCondition, *drawdowns: float) -> list[str]:
    """The keys of the notices of each drawdown in turn."""
    found = []
    for drawdown in drawdowns:
        result = msgspec.structs.replace(RESULT, drawdown_pct=-drawdown)
        status = msgspec.structs.replace(running.status, result=result)
        found += [one.key for one in watch.look(msgspec.structs.replace(running, status=status), NOW)]
    return found


def test_each_step_is_told_once_on_the_way_down(running: RunCondition) -> None:
    """A step that is jumped over is not told beside the deeper one."""
    assert steps(RunWatch(SETTINGS), running, 1.0, 5.0, 6.0, 9.9, 21.0, 25.0) == ["5", "20"]


def test_a_step_is_told_again_only_after_a_recovery_from_it(running: RunCondition) -> None:
    """A drawdown that plays around a step tells it once."""
    watch = RunWatch(SETTINGS)

    assert steps(watch, running, 10.0, 9.9, 10.1, 9.0, 10.2) == ["10"]
    assert steps(watch, running, 7.9, 10.0) == ["10"]
    assert steps(watch, running, 0.0, 5.0, 10.0) == ["5", "10"]


def test_a_drawdown_that_is_not_known_is_not_told(running: RunCondition) -> None:
    """Neither NaN nor a missing result."""
    watch = RunWatch(SETTINGS)
    assert steps(watch, running, float("nan")) == []
    assert watch.look(running, NOW) == []


def test_halts_in_force_at_the_first_look_are_told_once(running: RunCondition) -> None:
    """Later ones come from the journal."""
    halt = HaltLine(kind="governor", reason="EMERGENCY", exit_path="resume")
    status = msgspec.structs.replace(running.status, halts=(halt,))
    watch = RunWatch(SETTINGS)
    found = watch.look(msgspec.structs.replace(running, status=status), NOW)

    assert [(one.kind, one.key) for one in found] == [(NoticeKind.HALT, "governor")]
    assert watch.look(msgspec.structs.replace(running, status=status), NOW) == []


@pytest.mark.parametrize(
    ("condition", "words"), [
        (Condition.DEAD, "the process is dead"), (Condition.STOPPED, "the process has stopped"),
        (Condition.STALLED, "makes no progress (no status for 60 s)"),
    ],
)
def test_a_run_without_progress_and_with_positions_is_told_after_the_grace(
    running: RunCondition, condition: Condition, words: str
) -> None:
    """Once, with what is open; a restart of the notifications does not tell it again."""
    silent = msgspec.structs.replace(running, condition=condition, why="no status for 60 s")
    watch = RunWatch(SETTINGS)
    watch.look(running, NOW)
    assert watch.look(silent, NOW) == []
    assert watch.look(silent, NOW + 29 * S) == []

    (told,) = watch.look(silent, NOW + 30 * S)

    assert told.kind is NoticeKind.STOPPED
    assert words in told.text
    assert "1 open position (BTCUSDT LONG 0.5); their stops rest at the venue" in told.text
    again = RunWatch(SETTINGS, msgspec.json.decode(msgspec.json.encode(watch.state), type=WatchState))
    assert again.look(silent, NOW + 3600 * S) == []


def test_a_restart_within_the_grace_is_not_told(running: RunCondition) -> None:
    """And the next stop begins anew."""
    dead = msgspec.structs.replace(running, condition=Condition.DEAD)
    watch = RunWatch(SETTINGS)
    for found, seconds in ((dead, 0), (running, 20), (dead, 40)):
        assert watch.look(found, NOW + seconds * S) == []

    assert watch.look(dead, NOW + 69 * S) == []
    assert len(watch.look(dead, NOW + 70 * S)) == 1


def test_a_stop_without_positions_of_the_run_is_not_told(running: RunCondition) -> None:
    """Somebody else's position in another symbol does not count."""
    others = PositionLine(symbol="X", side="LONG", qty=1.0, entry_price=1.0, traded=False)
    for positions in ((), (others,)):
        status = msgspec.structs.replace(running.status, positions=positions)
        dead = msgspec.structs.replace(running, condition=Condition.DEAD, status=status)
        watch = RunWatch(SETTINGS)
        assert [*watch.look(dead, NOW), *watch.look(dead, NOW + 60 * S)] == []


def test_a_position_without_a_stop_is_named(running: RunCondition) -> None:
    """It is what makes it urgent."""
    bare = PositionLine(symbol="ETHUSDT", side="SHORT", qty=2.0, entry_price=1.0, protected=False)
    status = msgspec.structs.replace(running.status, positions=(*running.status.positions, bare))
    dead = msgspec.structs.replace(running, condition=Condition.DEAD, status=status)
    watch = RunWatch(SETTINGS)
    watch.look(dead, NOW)

    assert "no stop rests at the venue for ETHUSDT" in watch.look(dead, NOW + 30 * S)[0].text


def test_the_condition_tells_progress_from_life(tmp_path: Path) -> None:
    """Running, starting, stalled in three ways, stopped in order, dead."""
    with NotedRun(tmp_path / "run") as run:
        assert run_condition(run.folder, NOW).condition is Condition.DEAD
        run.live()
        now_ns = (run.folder / "lock").stat().st_mtime_ns
        run.says(now_ns, stage="starting")
        assert run_condition(run.folder, now_ns).condition is Condition.STARTING
        assert run_condition(run.folder, now_ns + 301 * S).condition is Condition.STALLED
        run.says(now_ns)
        found = run_condition(run.folder, now_ns)
        assert (found.condition, found.is_progress, found.open_positions) == (Condition.RUNNING, True, 1)
        late = run_condition(run.folder, now_ns + 60 * S)
        assert (late.condition, late.why) == (Condition.STALLED, "no status for 60 s")
        run.says(now_ns, market_up=False)
        assert run_condition(run.folder, now_ns).why == "the market stream is down"
        run.says(now_ns, equity_ns=now_ns - 3 * 3600 * S)
        assert run_condition(run.folder, now_ns).why == "no bar for 10800 s"
        run.end()
        assert run_condition(run.folder, now_ns).condition is Condition.DEAD
        run.says(now_ns, stage=STOPPED)
        assert run_condition(run.folder, now_ns).condition is Condition.STOPPED
