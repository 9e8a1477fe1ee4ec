"""Whether a run makes progress: not whether its process lives, but whether it does what it is there for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.live_settings import read_folder
from quantum_trader.app.runs.status import (
    BY_HAND,
    FINISHED,
    STOPPED,
    UNFINISHED,
    FolderStatus,
    folder_status,
    read_status,
)
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.market.intervals import interval_ns

_SILENT_WRITES: Final = 5.0  # missed status writes
_SILENT_S: Final = 15.0  # and the least time without a status
_START_S: Final = 300.0  # a start may take so long
_BARS: Final = 2.0  # intervals without a bar
_BAR_SLACK_S: Final = 60.0
_REPLAY_S: Final = 600.0  # between two checkpoints of a replay, at its slowest


class Condition(StrEnum):
    """What a run is doing."""

    NOTHING = "nothing"  # no start got that far
    STARTING = "starting"
    RUNNING = "running"  # it makes progress
    STALLED = "stalled"  # its process lives and makes none
    STOPPED = "stopped"  # in order, before its end
    FINISHED = "finished"  # a replay at its end
    DEAD = "dead"  # ended without a last word


class RunCondition(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a run, why it is that, and the status it was read from."""

    condition: Condition
    why: str
    status: FolderStatus

    @property
    def is_progress(self) -> bool:
        """Whether the run does what it is there for."""
        return self.condition is Condition.RUNNING

    @property
    def open_positions(self) -> int:
        """Positions of this run, others' left out."""
        return len([one for one in self.status.positions if one.traded])


def run_condition(state: Path, now_ns: int, status: FolderStatus | None = None) -> RunCondition:
    """The condition of the run in *state* at *now_ns*; *status* where it was read already.

    Raises StateError where the folder is no run's or cannot be read.
    """
    status = status if status is not None else folder_status(state, now_ns)
    found, why = _of_process(state, status, now_ns) if status.alive else _of_files(status)
    return RunCondition(condition=found, why=why, status=status)


def _of_files(status: FolderStatus) -> tuple[Condition, str]:
    """The condition of a run without a process."""
    if status.kind == "nothing":
        return Condition.NOTHING, "nothing ran here yet"
    if status.stage == FINISHED:
        return Condition.FINISHED, "the replay is at its end"
    if status.stage in (STOPPED, BY_HAND, UNFINISHED):
        return Condition.STOPPED, f"the run has ended: {status.stage}"
    return Condition.DEAD, "the process ended without a final status"


def _of_process(state: Path, status: FolderStatus, now_ns: int) -> tuple[Condition, str]:
    """The condition of a run whose process lives."""
    if status.kind == "replay":
        age_s = status.checkpoint_age_s
        slow = age_s is not None and age_s > _REPLAY_S
        return (Condition.STALLED, f"no checkpoint for {age_s:.0f} s") if slow else (Condition.RUNNING, "replaying")
    live, folder = read_status(state), read_folder(state)
    if status.stage == "starting" or live is None or folder is None:
        begun_s = _held_s(state, now_ns)
        late = begun_s > _START_S
        return (Condition.STALLED, f"the start takes {begun_s:.0f} s") if late else (Condition.STARTING, "starting")
    silent_s = status.age_s if status.age_s is not None else 0.0
    if silent_s > max(_SILENT_WRITES * live.every_s, _SILENT_S):
        return Condition.STALLED, f"no status for {silent_s:.0f} s"
    if not live.market_up:
        return Condition.STALLED, "the market stream is down"
    bar_s = interval_ns(folder.interval) / NS_PER_SECOND
    quiet_s = (live.written_ns - live.equity_ns) / NS_PER_SECOND if live.equity_ns else 0.0  # both by the run's clock
    if quiet_s > _BARS * bar_s + _BAR_SLACK_S:
        return Condition.STALLED, f"no bar for {quiet_s:.0f} s"
    return Condition.RUNNING, "trading"


def _held_s(state: Path, now_ns: int) -> float:
    """Seconds since the process took the folder."""
    try:
        return max(0.0, (now_ns - (state / "lock").stat().st_mtime_ns) / NS_PER_SECOND)
    except OSError:
        return 0.0
