"""The process beside a run: reads its journal and status, tells what there is to tell, and pings while it progresses.

It only reads what the run writes. What it knows stands in ``notify/state.json`` of the state folder, written before a
message is sent and after: a restart tells nothing twice and leaves nothing out. Only a message that was being sent when
the program was killed is sent again, and says so.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.notify.daily import alarms_of, insight_of_day
from quantum_trader.app.notify.desk import DeskState, NoticeDesk
from quantum_trader.app.notify.journal_cursor import JournalCursor
from quantum_trader.app.notify.notices import Notice, NoticeKind
from quantum_trader.app.notify.outbox import Errand, Outbox, OutboxState
from quantum_trader.app.notify.run_watch import RunWatch, WatchState
from quantum_trader.app.notify.secret_addresses import TargetAddress
from quantum_trader.app.notify.sender import Delivered, SendOrder
from quantum_trader.app.notify.settings import PING, NotifySettings, allowed_of
from quantum_trader.app.runs.run_condition import Condition, RunCondition, run_condition
from quantum_trader.domain.clock import NS_PER_SECOND, from_ns
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import open_private, read_bounded
from quantum_trader.journal.private import private_folder, write_private

FOLDER: Final = "notify"
STATE_FILE: Final = "state.json"
_MOST_BYTES: Final = 16 << 20
_DAY_S: Final = 86_400
_DAY_OVER_S: Final = 120  # after midnight, so that the day's last records are in the journal
_ALARMS_S: Final = 3_600.0
_OVER: Final = (Condition.STOPPED, Condition.FINISHED, Condition.DEAD, Condition.NOTHING)
_LAST_TRIES_S: Final = 300.0  # a run that is over is waited for no longer than this

Deliver = Callable[[SendOrder], Delivered]
Say = Callable[[str, dict[str, Any]], None]
"""Tells what happens: a sentence, and the same as plain values."""


class NotifyState(msgspec.Struct, kw_only=True):
    """Everything a restart needs."""

    version: int = 1
    seq: int | None = None  # of the journal
    desk: DeskState = msgspec.field(default_factory=DeskState)
    outbox: OutboxState = msgspec.field(default_factory=OutboxState)
    watch: WatchState = msgspec.field(default_factory=WatchState)
    insight_day: str = ""  # the last day whose insight was told, or need not be
    ping_ns: int = 0
    ping_why: str = ""  # why the last ping failed


def read_notify_state(state: Path) -> NotifyState | None:
    """What the last process noted in the folder *state*; None without one. StateError where it is damaged."""
    path = state / FOLDER / STATE_FILE
    try:
        return msgspec.json.decode(read_bounded(path, _MOST_BYTES), type=NotifyState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise StateError(
            f"{path}: damaged; remove it, and notifications begin with what happens from then on"
        ) from None


class NotifyLock:
    """Keeps a second process from telling the same; StateError names the one that does already.

    The kernel frees the lock when its process ends, however it ends; the pid in the file is for people.
    """

    def __init__(self, state: Path) -> None:
        private_folder(state / FOLDER)
        self._descriptor = open_private(state / FOLDER / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            pid = f" (pid {holder})" if holder.isdigit() else ""
            raise StateError(f"--state {state}: another process{pid} notifies of this run; stop it first") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Let another process notify."""
        os.close(self._descriptor)


class RunEnd:
    """Since when a run has been over; a restart makes it go on."""

    def __init__(self, state: Path, settings: NotifySettings) -> None:
        self._folder, self._settings = state, settings
        self._since_ns = 0
        self._has_lived = False

    def over_s(self, now_ns: int) -> float | None:
        """For how many seconds the run has been over; None: it is not, or it may still begin or be restarted."""
        found = condition_of(self._folder, now_ns)
        self._has_lived = self._has_lived or (found is not None and found.status.alive)
        if found is not None and found.condition not in _OVER:
            self._since_ns = 0
            return None
        self._since_ns = self._since_ns or now_ns
        over_s = (now_ns - self._since_ns) / NS_PER_SECOND
        is_short = over_s < self._settings.stopped_after_s + 2.0 * self._settings.poll_s
        return None if is_short or (not self._has_lived and over_s < _DAY_OVER_S) else over_s


def condition_of(state: Path, now_ns: int) -> RunCondition | None:
    """The condition of the run in *state*; None where there is none yet, or a file is being replaced."""
    try:
        return run_condition(state, now_ns)
    except (StateError, OSError):
        return None


class NotifyRun:
    """One run and the people who are told of it. :meth:`step` is called every ``poll_s``."""

    def __init__(
        self, state: Path, settings: NotifySettings, addresses: Mapping[str, TargetAddress], pool: Executor,
        deliver: Deliver, say: Say = lambda text, facts: None, now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """*addresses* of all targets, and of the ping where there is one. *pool* sends; *say* tells what happens."""
        self._folder, self._settings, self._addresses = state, settings, addresses
        self._pool, self._deliver, self._say, self._now_ns = pool, deliver, say, now_ns
        found = read_notify_state(state)
        self._kept = found if found is not None else NotifyState(insight_day=_day_before(now_ns()))
        self.cursor = JournalCursor(state, self._kept.seq)
        self.desk = NoticeDesk(settings, settings.label or state.resolve().name, self._kept.desk)
        self.outbox = Outbox(self._kept.outbox)
        self._watch = RunWatch(settings, self._kept.watch)
        self._errands: dict[Future[Delivered], Errand | None] = {}  # None: the ping
        self._jobs: list[Future[list[Notice]]] = []
        self._alarms_ns = 0
        self._end = RunEnd(state, settings)
        self._written = b""

    def step(self) -> RunCondition | None:
        """Look once, send what is due; returns the run's condition, None while there is none to read."""
        now_ns = self._now_ns()
        self._collect(now_ns)
        self.desk.take(self.cursor.look(), now_ns)
        found = condition_of(self._folder, now_ns)
        if found is not None:
            self.desk.take(self._watch.look(found, now_ns), now_ns)
            self._start_jobs(found, now_ns)
            self._ping(found, now_ns)
        for message in self.desk.due(now_ns):
            self.outbox.add(
                message, [name for name in self._settings.targets if self._settings.hears(name, message.kind)], now_ns
            )
        errands = self.outbox.begin(now_ns, self._settings.targets)
        self._save_or_say()
        for errand in errands:
            self._errands[self._pool.submit(self._deliver, self._order(errand))] = errand
        return found

    def is_over(self) -> bool:
        """Whether the run has ended and everything that can be told of it was told."""
        over_s = self._end.over_s(self._now_ns())
        if over_s is None:
            return False
        return over_s > _LAST_TRIES_S or not (self.outbox.waiting or self._errands or self._jobs or self._is_due_soon())

    def finish(self) -> None:
        """Wait for what is being sent, and note it."""
        wait(self._errands)
        wait(self._jobs)
        self._collect(self._now_ns())
        self._save_or_say()

    def save(self) -> None:
        """Note everything durably, where something has changed. Raises StateError where it cannot be."""
        self._kept.seq = self.cursor.seq
        content = msgspec.json.encode(self._kept)
        if content != self._written:
            write_private(self._folder / FOLDER / STATE_FILE, content)
            self._written = content

    # ------------------------------------------------------------------ parts
    def _save_or_say(self) -> None:
        """Note everything; on a full disk people are told all the same, and perhaps again after a restart."""
        try:
            self.save()
        except StateError as error:
            self._say(f"not noted, so that a restart may repeat it: {error}", {"ok": False, "why": str(error)})

    def _is_due_soon(self) -> bool:
        """Whether a notice waits for the end of its window; those of quiet hours wait for the next start."""
        return any(
            not self.desk.is_quiet(self._now_ns()) and self._settings.cooldown_s(one.kind) == 0.0
            for one in self.desk.state.waiting
        )

    def _collect(self, now_ns: int) -> None:
        """Take in what the pool has finished."""
        for future in [one for one in self._errands if one.done()]:
            errand = self._errands.pop(future)
            if errand is None:
                self._kept.ping_why = future.result().why
                continue
            delivered = future.result()
            self.outbox.ended(errand, delivered, now_ns)
            told = "told" if delivered.ok else f"not told: {delivered.why}"
            self._say(f"{errand.target}: {told}: {errand.message.title}", {
                "target": errand.target, "kind": errand.message.kind.value, "title": errand.message.title,
                "ok": delivered.ok, "why": delivered.why,
            })
        for job in [one for one in self._jobs if one.done()]:
            self._jobs.remove(job)
            failed = job.exception()
            if failed is not None:
                self._say(f"figures could not be computed: {failed}", {"ok": False, "why": str(failed)})
            else:
                self.desk.take(job.result(), now_ns)

    def _start_jobs(self, found: RunCondition, now_ns: int) -> None:
        """Ask for the insight of the day before, and for alarms each hour, of a live run; one job at a time."""
        if found.status.kind != "live" or self._jobs:
            return
        day = _day_before(now_ns - _DAY_OVER_S * NS_PER_SECOND)
        if day > self._kept.insight_day:
            self._kept.insight_day = day
            if self._settings.is_enabled(NoticeKind.INSIGHT):
                self._jobs.append(self._pool.submit(insight_of_day, self._folder, day))
        elif now_ns - self._alarms_ns > _ALARMS_S * NS_PER_SECOND and self._settings.is_enabled(NoticeKind.ALERT):
            self._alarms_ns = now_ns
            self._jobs.append(self._pool.submit(alarms_of, self._folder, now_ns))

    def _ping(self, found: RunCondition, now_ns: int) -> None:
        ping = self._settings.ping
        if ping is None or not found.is_progress or None in self._errands.values():
            return
        if 0 <= now_ns - self._kept.ping_ns < ping.every_s * NS_PER_SECOND:
            return
        self._kept.ping_ns = now_ns
        order = SendOrder(
            address=self._addresses[PING].address.reveal(), is_ping=True, allow=allowed_of(ping, f"{PING}.allow")
        )
        self._errands[self._pool.submit(self._deliver, order)] = None

    def _order(self, errand: Errand) -> SendOrder:
        target = self._settings.targets[errand.target]
        return SendOrder(
            address=self._addresses[errand.target].address.reveal(), title=errand.message.title,
            text=errand.message.text, level=errand.message.level.value,
            allow=allowed_of(target, f"targets.{errand.target}.allow"),
        )


def _day_before(now_ns: int) -> str:
    return f"{from_ns(now_ns - _DAY_S * NS_PER_SECOND):%Y-%m-%d}"
