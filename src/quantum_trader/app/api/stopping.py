"""STOP: closes everything of a run, whether its process is alive, hangs or is dead.

A process that is alive is asked, and does it. One that takes no request for a while, and writes no status meanwhile,
hangs: it is killed, so that it cannot act any more, and everything is closed at the venue from here, as for one that is
dead. A process that cannot be asked, because the folder cannot be written, is ended in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import msgspec

from quantum_trader.app.runs.direct import flatten_now
from quantum_trader.app.runs.flatten import DirectAction
from quantum_trader.app.runs.folder_holder import holding_pid, kill_holder
from quantum_trader.app.runs.folder_venue import venue_of
from quantum_trader.app.runs.live_settings import LiveMode, read_folder
from quantum_trader.app.runs.operator_requests import OperatorRequest, ask
from quantum_trader.app.runs.status import DIRECT_FILE, folder_status, is_alive, read_status
from quantum_trader.domain.errors import QuantumTraderError, StateError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import read_private
from quantum_trader.policy.storage import write_atomically

DEADLINE_S: Final = 180.0
HANGS_S: Final = 10.0  # without taking the request and without a status
_POLL_S: Final = 0.2
_DIES_S: Final = 10.0
_SHOWN: Final = 200
STOP_FILE: Final = "api_stop.json"  # how far the last stop is, for the server after one that is killed
_FROM_FILE: Final = "status file"


class StopStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a stop."""

    ts_ns: int
    text: str


class StopProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stop is. *flat* None: not known yet; *took_s*: seconds from the request to its end, or to now."""

    state: str  # "none", "running", "done", "requested" (the process or its next start does it), "failed"
    flat: bool | None
    took_s: float
    text: str
    steps: tuple[StopStep, ...]


NO_STOP: Final = StopProgress(state="none", flat=None, took_s=0.0, text="nobody has asked for a stop", steps=())

BROKEN_OFF: Final = StopProgress(
    state="failed", flat=False, took_s=0.0, steps=(),
    text="a stop began, and this server does not know its end: the server that made it has ended, or is another one; "
    "look at the positions, and stop once more",
)


class Stopper:
    """Stops the run of one folder; one stop at a time, which goes on when nobody asks for its progress."""

    def __init__(self, folder: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder
        self._now_ns = now_ns
        self._lock = Lock()
        self._steps: list[StopStep] = []
        self._thread: Thread | None = None
        self._began_s = self._ended_s = 0.0
        self._outcome: tuple[str, bool | None, str] = ("none", None, NO_STOP.text)

    def start(self, request: OperatorRequest, *, hangs_s: float = HANGS_S, deadline_s: float = DEADLINE_S) -> None:
        """Begin to stop; a stop in progress goes on. Raises StateError where the folder is no run's."""
        is_alive(self._folder)
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._steps, self._outcome = [], ("running", None, "stopping")
            self._began_s, self._ended_s = time.monotonic(), 0.0
            self._thread = Thread(
                target=self._run, args=(request, hangs_s, deadline_s), name="stop", daemon=True
            )
            self._thread.start()

    def progress(self) -> StopProgress:
        """How far it is; of a stop of a server before this one, how far that had come."""
        if self._thread is None and (before := self._kept()) is not None:
            return before
        state, flat, text = self._outcome
        took = (self._ended_s or time.monotonic()) - self._began_s if self._began_s else 0.0
        return StopProgress(
            state=state, flat=flat, took_s=round(took, 3), text=text, steps=tuple(self._steps[-_SHOWN:])
        )

    # ---- in its thread -----------------------------------------------------------------------------------------------
    def _run(self, request: OperatorRequest, hangs_s: float, deadline_s: float) -> None:
        outcome: tuple[str, bool | None, str]
        self._keep()
        try:
            flat, text = self._stop(request, hangs_s, deadline_s)
            outcome = ({True: "done", None: "requested", False: "failed"}[flat], flat, text)
        except (QuantumTraderError, OSError) as error:
            outcome = ("failed", False, str(error))
        self._say(outcome[2])
        self._ended_s = time.monotonic()
        self._outcome = outcome
        self._keep()

    def _keep(self) -> None:
        """Leave the outcome in the folder, where it can be written."""
        state, flat, text = self._outcome
        kept = StopProgress(state=state, flat=flat, took_s=0.0, text=text, steps=())
        with suppress(OSError):
            write_atomically(self._folder / STOP_FILE, msgspec.json.encode(kept) + b"\n")

    def _kept(self) -> StopProgress | None:
        try:
            found = decode_json(read_private(self._folder / STOP_FILE), StopProgress)
        except (OSError, msgspec.DecodeError):
            return None
        return BROKEN_OFF if found.state == "running" else found

    def _stop(self, request: OperatorRequest, hangs_s: float, deadline_s: float) -> tuple[bool | None, str]:
        """Stop; whether everything is closed (None: it will be), and a sentence."""
        ends_s = time.monotonic() + deadline_s
        if is_alive(self._folder):
            taken, refused = _taken(self._folder), self._asked(request)
            if not refused and not self._is_live():
                return None, "the replay was asked, and closes everything at its next bar"
            if not refused and self._waits(taken, hangs_s, time.monotonic() + deadline_s / 2.0):
                closed = self._watched(hangs_s, ends_s)
                if closed is not None:
                    return closed
            if not self._is_at_venue():
                return False, refused or "the process takes no request; end it with kill, its positions are on paper"
            self._kill()
        elif not self._is_at_venue():
            ask(self._folder, request)
            return None, "no process runs, and its account is on paper; the next start closes everything first"
        make, redactor = venue_of(self._folder, forget=False)
        result = flatten_now(
            self._folder, request, make, self._now_ns, lambda step: self._say(redactor(_step_text(step))),
            max(1.0, ends_s - time.monotonic()),
        )
        note = "" if result.halt_noted else "; new entries are NOT halted, because the request could not be written"
        return result.flat, f"{result.text}; closed: {', '.join(result.closed) or 'nothing'}{note}"

    def _asked(self, request: OperatorRequest) -> str:
        """Ask the process; why that could not be, empty where it was."""
        try:
            ask(self._folder, request)
        except StateError as error:
            self._say(f"the process cannot be asked: {error}")
            return str(error)
        self._say(f"asked the process {holding_pid(self._folder) or ''} to close everything".replace("  ", " "))
        return ""

    def _waits(self, taken: int, hangs_s: float, ends_s: float) -> bool:
        """Wait until the process has taken the request; False where it hangs, or is gone, or does not take it."""
        life = _Life(self._folder, hangs_s)
        while time.monotonic() < ends_s:
            if _taken(self._folder) > taken:
                self._say("the process has taken the request")
                return True
            if not is_alive(self._folder):
                self._say("the process is gone")
                return False
            if life.hangs():
                self._say(f"the process has written no status for {hangs_s:g} s and takes no request: it hangs")
                return False
            time.sleep(_POLL_S)
        self._say("the process lives and takes no request")
        return False

    def _watched(self, hangs_s: float, ends_s: float) -> tuple[bool, str] | None:
        """Watch the process close everything; None where it hangs or ends meanwhile, and the rest is to be closed."""
        life, held = _Life(self._folder, hangs_s), [""]
        while time.monotonic() < ends_s:
            status = folder_status(self._folder, self._now_ns())
            held = [one.symbol for one in status.positions if one.traded]
            if not held and status.source == _FROM_FILE:  # a checkpoint is older than the request
                return True, "flat: the process has closed everything; new entries are halted until resume"
            if not status.alive:
                self._say(f"the process ended with positions in {', '.join(held) or 'unknown'}")
                return None
            if life.hangs():
                self._say(f"the process has written no status for {hangs_s:g} s while it closed: it hangs")
                return None
            time.sleep(_POLL_S)
        return False, f"not flat in time: {', '.join(held) or 'positions unknown'} still open; stop once more"

    def _kill(self) -> None:
        """End the process that holds the folder, and wait until it is gone. StateError where it does not go."""
        try:
            pid = kill_holder(self._folder)
        except PermissionError:
            pid = holding_pid(self._folder)
            raise StateError(
                f"the process {pid} hangs and belongs to another user: end it with `kill -9 {pid}` as that user, "
                "and stop once more"
            ) from None
        if pid:
            self._say(f"killing the process {pid}, so that everything can be closed from here")
        elif is_alive(self._folder):
            raise StateError(
                f"the folder {self._folder} is held by a process that cannot be told for certain, so none is killed: "
                f"find it with `lsof {self._folder / 'lock'}`, end it with `kill -9`, and stop once more"
            )
        ends_s = time.monotonic() + _DIES_S
        while is_alive(self._folder):
            if time.monotonic() > ends_s:
                raise StateError(f"the process {pid} does not end; end it with `kill -9 {pid}`, and stop once more")
            time.sleep(_POLL_S)

    def _is_live(self) -> bool:
        """Whether a live process holds the folder; of one whose settings cannot be read too."""
        try:
            return read_folder(self._folder) is not None
        except StateError:
            return True

    def _is_at_venue(self) -> bool:
        folder = read_folder(self._folder)
        return folder is not None and folder.mode is not LiveMode.DRY

    def _say(self, text: str) -> None:
        self._steps.append(StopStep(ts_ns=self._now_ns(), text=text))


class _Life:
    """Tells whether a process has shown no sign of life for *hangs_s* seconds."""

    def __init__(self, folder: Path, hangs_s: float) -> None:
        self._folder, self._hangs_s = folder, hangs_s
        self._seen, self._since_s = _written(folder), time.monotonic()

    def hangs(self) -> bool:
        """Whether nothing has changed for so long."""
        if (written := _written(self._folder)) != self._seen:
            self._seen, self._since_s = written, time.monotonic()
        return time.monotonic() - self._since_s >= self._hangs_s


def _taken(folder: Path) -> int:
    """How many requests the process has taken; 0 before its first status, which says so too."""
    status = read_status(folder)
    return status.operator_taken if status is not None else 0


def _written(folder: Path) -> tuple[int, int]:
    """What changes while the process lives: the time of its status, and the steps of one that closes everything."""
    status = read_status(folder)
    try:
        steps = (folder / DIRECT_FILE).lstat().st_size
    except OSError:
        steps = 0
    return (status.written_ns if status is not None else 0), steps


def _step_text(step: DirectAction) -> str:
    size = f"{step.qty:+g}" if step.qty else ""
    return " ".join(one for one in (step.step, step.symbol, size, step.client_order_id, step.text) if one)
