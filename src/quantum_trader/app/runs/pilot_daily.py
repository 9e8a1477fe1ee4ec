"""The training daemon: once a day, at a stated UTC time, on the bars that the journal of a state folder holds.

Each training has a folder ``pilots/<date>`` of its own, or ``models/<date>`` for models of signals. One that was
interrupted, by a stop or a kill, goes on when the daemon starts again: the time until which bars count stands in the
folder, so that the data are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from quantum_trader.app.runs.pilot_schedule import next_time_ns
from quantum_trader.domain.clock import NS_PER_SECOND, from_ns, iso
from quantum_trader.domain.errors import DataError, QuantumTraderError, StateError
from quantum_trader.domain.private_files import make_private_folder, read_private
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import TrainingEvent
from quantum_trader.lab.pilot.training_checkpoint import CHECKPOINT_FILE
from quantum_trader.lab.pilot.training_result import RESULT_FILE
from quantum_trader.policy.storage import write_atomically

PILOTS: Final = "pilots"
_SPAN_FILE: Final = "until.json"
_LAST_FILE: Final = "last.json"
_RING_BYTES: Final = 1 << 18
_NAME: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:-(\d+))?")  # of a training's folder
_LONGEST_WAIT_S: Final = 60.0  # between two looks at the clock, so that a changed clock is noticed
_FAILURES: Final = (  # JAX raises RuntimeError, XGBoost and scikit-learn ValueError
    QuantumTraderError, OSError, RuntimeError, MemoryError, ValueError,
)


class DailyPlace(NamedTuple):
    """Where trainings of one kind lie in a state folder, and what shows how far one is."""

    folder: str
    begun: str  # file of a training that has begun
    done: str  # file of one that is done
    producer: str  # of its events
    session: str  # what the name of a session begins with


PILOT_PLACE: Final = DailyPlace(PILOTS, CHECKPOINT_FILE, RESULT_FILE, "pilot-daily", "pilot")


class DataSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars a training takes: those that closed at this time or before."""

    until_ns: int


class LastTraining(msgspec.Struct, frozen=True, kw_only=True):
    """``last.json``: what became of the newest training of the daemon."""

    folder: str
    started_ns: int
    ended_ns: int
    outcome: str  # "trained", "stopped" or "failed"
    reason: str = ""


class DailyTrain(Protocol):
    """Trains in a folder on the bars until a time; its document, None where it was stopped."""

    def __call__(self, folder: Path, until_ns: int) -> object | None:
        """Train, or go on with a training that was interrupted."""


class DailyClock(NamedTuple):
    """Time, as arguments."""

    now_ns: Callable[[], int]
    wait: Callable[[float], bool]  # waits so many seconds, or until it is stopped: then it returns true


class DailyTraining:
    """Trains once a day in the folder of *state* that *place* names; a failed one is reported and stops nothing."""

    def __init__(
        self, state: Path, train: DailyTrain, tell: Callable[[str], None], clock: DailyClock,
        place: DailyPlace = PILOT_PLACE,
    ) -> None:
        self.folder, self._state, self._place = state / place.folder, state, place
        self._train, self._tell, self._clock = train, tell, clock
        make_private_folder(self.folder)

    def serve(self, minutes: int) -> None:
        """Go on with an interrupted training, then train every day at *minutes* after midnight, until stopped.

        A time that passes while a training is running, or while no daemon is, is left out.
        """
        interrupted = self._interrupted()
        if interrupted is not None and self.attempt(interrupted).outcome == "stopped":
            return
        while True:
            due_ns = next_time_ns(self._clock.now_ns(), minutes)
            self._tell(f"the next training is at {iso(due_ns)}")
            if self._wait_until(due_ns):
                return
            if self.attempt(self._new_folder(due_ns)).outcome == "stopped":
                return

    def once(self) -> LastTraining:
        """Train now on the bars there are, or go on with an interrupted training; not with one that failed.

        What failed may fail at the same place each time, and a training every night would never be made again.
        """
        interrupted, last = self._interrupted(), last_training(self._state, self._place)
        if interrupted is not None and last is not None and (last.folder, last.outcome) == (interrupted.name, "failed"):
            interrupted = None
        return self.attempt(interrupted or self._new_folder(self._clock.now_ns()))

    def attempt(self, folder: Path) -> LastTraining:
        """Run one training in *folder*; report its outcome and write it to ``last.json``."""
        started_ns, reason, outcome = self._clock.now_ns(), "", "trained"
        self._tell(f"training in {folder.name}")
        try:
            if self._train(folder, _span(folder).until_ns) is None:
                outcome = "stopped"
        except _FAILURES as error:
            outcome, reason = "failed", str(error) or type(error).__name__
        last = LastTraining(
            folder=folder.name, started_ns=started_ns, ended_ns=self._clock.now_ns(), outcome=outcome, reason=reason,
        )
        self._tell(f"training in {folder.name} {outcome}{f': {reason}' if reason else ''}")
        self._keep(last)
        return last

    def _keep(self, last: LastTraining) -> None:
        """Write the outcome of a training; if the disk refuses, report that and go on."""
        try:
            write_atomically(self.folder / _LAST_FILE, msgspec.json.encode(last))
            if last.outcome == "failed":
                with EventLogger(self._state / "journal", self._place.producer, ring_bytes=_RING_BYTES) as logger:
                    logger.log(TrainingEvent(
                        trace_id="", symbol="", ts_ns=last.ended_ns,
                        session_id=f"{self._place.session}-{last.folder}", rows=0, seed=0,
                        duration_s=(last.ended_ns - last.started_ns) / NS_PER_SECOND, data_hash="",
                        reason=f"failed: {last.reason}",
                    ))
        except (OSError, StateError) as error:
            self._tell(f"what became of the training could not be written: {error}")

    def _interrupted(self) -> Path | None:
        """The newest folder, where a training has begun and is not done."""
        found = [(match[1], int(match[2] or 1), path) for path in self.folder.iterdir()
                 if (match := _NAME.fullmatch(path.name))]
        if not found:
            return None
        newest = max(found)[2]
        begun, done = newest / self._place.begun, newest / self._place.done
        return newest if begun.exists() and not done.exists() else None

    def _new_folder(self, until_ns: int) -> Path:
        """A folder named by the date of *until_ns*; with a number where that one was taken by another training."""
        name = f"{from_ns(until_ns):%Y-%m-%d}"
        folder, number = self.folder / name, 1
        while any((folder / file).exists() for file in (self._place.done, self._place.begun)):
            number += 1
            folder = self.folder / f"{name}-{number}"
        make_private_folder(folder)
        write_atomically(folder / _SPAN_FILE, msgspec.json.encode(DataSpan(until_ns=until_ns)))
        return folder

    def _wait_until(self, due_ns: int) -> bool:
        """Wait until *due_ns*; true where it was stopped before."""
        while (left_ns := due_ns - self._clock.now_ns()) > 0:
            if self._clock.wait(min(left_ns / NS_PER_SECOND, _LONGEST_WAIT_S)):
                return True
        return False


def last_training(state: Path, place: DailyPlace = PILOT_PLACE) -> LastTraining | None:
    """What became of the newest training of the daemon of *state*; None where there was none or it is not known."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(read_private(state / place.folder / _LAST_FILE), type=LastTraining)
    return None


def _span(folder: Path) -> DataSpan:
    try:
        return msgspec.json.decode(read_private(folder / _SPAN_FILE), type=DataSpan)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{folder / _SPAN_FILE}: cannot be read ({error}); remove the folder") from None
