"""The event logger: ``log`` appends one event to a mapped ring and returns; another process does the rest.

An event is accepted when ``log`` returns. It then survives the end of this process; a power cut loses
only events that the flusher has not committed yet (``commit_ms``). When the ring is full ``log`` waits; kinds named in
*may_drop* are dropped and counted instead.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.domain.private_files import (
    UnsafePathError,
    check_regular_file,
    make_private_folder,
    open_private,
    why_unwritable,
)
from quantum_trader.journal.kinds import BY_TYPE, PAD, Event, KindTable, check_name
from quantum_trader.journal.lines import check_line
from quantum_trader.journal.recovery import known_kinds, last_number
from quantum_trader.journal.ring import (
    DISK_REFUSED,
    HEAD_BYTES,
    JSON_FLAG,
    RECORD_BYTES,
    WORD_BOOT,
    WORD_CLOSED,
    WORD_DROPPED,
    WORD_ERRNO,
    WORD_ERRORS,
    WORD_HEAD,
    WORD_PRODUCER,
    WORD_STARTS,
    Ring,
    boot_id,
    create_ring,
)

if TYPE_CHECKING:
    import polars as pl

DEFAULT_DIRECTORY: Final = Path("journal")
_RECORD: Final = struct.Struct("<Qqq")
_NEVER: Final = -1
_WAIT_S: Final = 0.0002
_LOG_ROOM: Final = 8 << 20  # bytes of a new journal's disk that its ring leaves to the log
_REFUSED_S: Final = 2.0  # a disk that refuses for this long is reported; the flusher goes on trying
_REFUSALS: Final = 10  # at least, in that time: a flusher that is starved of processor time has fewer
_FIRST_PAUSE_S: Final = 0.2
_MOST_PAUSE_S: Final = 5.0  # between two starts of a flusher that ends at once
_loggers: weakref.WeakSet[EventLogger] = weakref.WeakSet()


class LoggerStats(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a logger. Counts are of events; *lag_s* is the age of the oldest one that is not durable."""

    accepted: int
    durable: int
    waiting: int
    fill: float
    lag_s: float
    oldest_ns: int
    dropped: dict[str, int]
    waits: int
    write_errors: int
    flusher_starts: int


class _Done:
    """The answer of a call that has ended: awaiting it waits for nothing."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield  # makes this a generator


_DONE: Final = _Done()


class _Place(NamedTuple):
    """The position of the next event: record slot, records before it, payload position, and free space."""

    at: int
    before: int
    position: int
    stop: int
    limit: int
    free: bool


class _KindWords:
    """The kinds of one ring by number, and the upper half of a record's first word for each.

    A new kind is written into the ring's table before its first event. The two mappings are read by ``log`` without a
    lock; an entry is added once and never changed.
    """

    __slots__ = ("_kinds", "_lock", "_ring", "by_line", "by_type")

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._kinds = KindTable(ring.kinds())
        self._lock = threading.Lock()
        self.by_type: dict[type[Event], int] = {}
        self.by_line: dict[str, int] = {}

    def line_word(self, kind: str) -> int:
        """The record word for lines of *kind*."""
        word = self.by_line[kind] = self._number(kind) << 32 | JSON_FLAG << 56
        return word

    def type_word(self, event_type: type[Event]) -> int:
        """The record word for events of *event_type*; raises InputError for one that is not registered."""
        kind = BY_TYPE.get(event_type)
        if kind is None:
            raise InputError(f"event = {event_type.__name__}: is no registered kind; call register_kind first")
        word = self.by_type[event_type] = self._number(kind.name) << 32 | kind.version << 48
        return word

    def name(self, number: int) -> str:
        """The name of the kind *number*; empty where there is none."""
        return self._kinds.names.get(number, "")

    def _number(self, name: str) -> int:
        with self._lock:
            number = self._kinds.number(name)
            if number is None:
                grown = KindTable(self._kinds.names)
                number = grown.add(name)
                self._ring.set_kinds(grown.encode())
                self._kinds = grown
        return number

    def after_fork(self) -> None:
        """Replace the lock in the child: a thread of the parent may have held it."""
        self._lock = threading.Lock()


class _Refusal:
    """How long the disk has refused the flusher's writes, as far as it was asked."""

    def __init__(self, ring: Ring, why: Callable[[], str]) -> None:
        self._ring, self._why = ring, why
        self._since_s = 0.0
        self._seen = 0  # write errors when the disk was first found refusing

    def lasts(self) -> str:
        """Why the disk refuses when it has done so for long; else empty."""
        words, now_s = self._ring.words, time.monotonic()
        if not words[WORD_ERRNO]:
            self._since_s = 0.0
            return ""
        if not self._since_s:
            self._since_s, self._seen = now_s, int(words[WORD_ERRORS])
        lasts = now_s - self._since_s >= _REFUSED_S and words[WORD_ERRORS] >= self._seen + _REFUSALS
        return self._why() if lasts else ""


class EventLogger:
    """One producer of a journal. ``log`` may be called from any thread and from a coroutine; it never awaits.

    ``await logger.log(event)`` is the same call: the event is accepted when ``log`` returns.
    """

    log: Callable[[Event], Awaitable[None]]
    log_checked_line: Callable[..., None]

    def __init__(
        self, directory: Path | str = DEFAULT_DIRECTORY, producer: str = "main", *, ring_bytes: int = 64 << 20,
        commit_ms: float = 5.0, may_drop: frozenset[str] = frozenset(), wait_s: float = 30.0, publish_s: float = 30.0,
    ) -> None:
        if not 1 << 18 <= ring_bytes <= 1 << 34:
            raise InputError(f"ring_bytes = {ring_bytes!r}: must be 256 KiB to 16 GiB")
        if not 0.0 < commit_ms <= 10_000.0:
            raise InputError(f"commit_ms = {commit_ms!r}: must be above 0 and at most 10,000")
        self.directory, self.producer = Path(directory).absolute(), check_name(producer, "producer")
        self.commit_ms, self.publish_s, self.wait_s = commit_ms, publish_s, wait_s
        self.may_drop = may_drop
        self.waits = 0
        self._dropped: dict[str, int] = {}
        self._closed, self._forked, self._stale = False, False, False
        self._token: list[None] = [None]
        self._lock = self._own()
        self._ring = self._open_ring(ring_bytes)
        self._words = _KindWords(self._ring)
        self._flusher: subprocess.Popen[bytes] | None = None
        self._build()
        self._start_flusher()
        self._supervisor = threading.Thread(target=self._supervise, name=f"journal-{producer}", daemon=True)
        self._supervisor.start()
        _loggers.add(self)

    def __enter__(self) -> EventLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own(self) -> int:
        """Lock the producer's name for this process."""
        folder = self.directory / "rings"
        try:
            for used in (self.directory, folder, self.directory / "wal", self.directory / "lake"):
                make_private_folder(used)
            for suffix in ("ring", "flusher"):
                check_regular_file(folder / f"{self.producer}.{suffix}")
            descriptor = open_private(folder / f"{self.producer}.lock", os.O_RDWR | os.O_CREAT)
        except UnsafePathError as error:
            raise StateError(f"{error.filename}: {error.strerror}") from None
        except OSError as error:
            raise StateError(f"{folder}: cannot be used ({error.strerror}); choose a writable folder") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StateError(
                f"{folder}: another process logs as {self.producer!r}; give this one another producer name"
            ) from None
        return descriptor

    def _open_ring(self, ring_bytes: int) -> Ring:
        """Return the ring of this name: the one that an ended process left, or a new one.

        StateError, and no ring is left, where a new one would leave the disk no room for the log.
        """
        path = self.directory / "rings" / f"{self.producer}.ring"
        if path.exists():
            ring = Ring(path, writable=True)
            if ring.words[WORD_BOOT] == boot_id():
                ring.words[WORD_CLOSED], ring.words[WORD_PRODUCER] = 0, os.getpid()
                return ring
            ring.close()  # from before a restart of the machine: its events are in the log or were not durable
        create_ring(path, ring_bytes, last_number(self.directory, self.producer), spare=_LOG_ROOM)
        ring = Ring(path, writable=True)
        ring.set_kinds(KindTable(known_kinds(self.directory, self.producer)).encode())
        ring.words[WORD_PRODUCER] = os.getpid()
        return ring

    # Threads exclude each other with a token that is popped and pushed, which costs half as much as a lock. The write
    # order is: record, payload, then the count in word 8 of the head, which publishes the event. After a call that
    # ends early (a refusal, ctrl-C between two steps) the next call reads its position from the ring.
    def _build(self) -> None:
        """Make ``log`` and ``log_checked_line``: closures, because Python looks a local name up fastest."""
        encode_into, pack_into, now = msgspec.msgpack.Encoder().encode_into, _RECORD.pack_into, time.time_ns
        area, words, write = self._ring.map, self._ring.words, self._ring.map.write
        pop, push, wait_turn, room = self._token.pop, self._token.append, self._wait_turn, self._room
        known, numbers = self._words.by_type.get, self._words.by_line
        payload = bytearray(1024)  # used by the thread that holds the token
        at, count, position, stop, limit, _ = self._place()

        def log(event: Event) -> _Done:
            """Append one event; it is accepted when this returns. The answer may be awaited."""
            nonlocal at, count, position, stop, limit
            try:
                pop()
            except IndexError:
                wait_turn()
            try:
                encode_into(event, payload)
                word = (known(type(event)) or self._word(type(event))) | len(payload)
                if at >= stop or position + len(payload) > limit:
                    at, count, position, stop, limit, free = room(word, at, count, position)
                    if not free:
                        return _DONE
                pack_into(area, at, word, event.ts_ns, now())
                position, at, count = position + write(payload), at + 24, count + 1
                words[8] = count
                return _DONE
            except BaseException as error:
                self._stale, stop = True, _NEVER
                _explain(error, event.ts_ns)
                raise
            finally:
                push(None)

        def log_checked_line(kind: str, ts_ns: int, line: bytes, schema: int = 1) -> None:
            """Append one line that ``lines.check_line`` has accepted; the journal keeps its bytes unchanged."""
            nonlocal at, count, position, stop, limit
            word = (numbers.get(kind) or self._line_word(kind)) | len(line)
            word |= (schema if 0 < schema < 256 else _wrong_schema(schema)) << 48
            try:
                pop()
            except IndexError:
                wait_turn()
            try:
                if at >= stop or position + len(line) > limit:
                    at, count, position, stop, limit, free = room(word, at, count, position)
                    if not free:
                        return
                pack_into(area, at, word, ts_ns, now())
                position, at, count = position + write(line), at + 24, count + 1
                words[8] = count
            except BaseException as error:
                self._stale, stop = True, _NEVER
                _explain(error, ts_ns)
                raise
            finally:
                push(None)
        def refuse() -> None:
            nonlocal stop
            stop = _NEVER
        self.log, self.log_checked_line, self._refuse = log, log_checked_line, refuse

    def query(self, sql: str) -> pl.DataFrame:
        """Answer one SELECT over everything accepted so far, with the published short kinds (``kind = 'signal'``)."""
        from quantum_trader.journal.published import query

        self.flush()
        return query(self.directory, sql)

    def log_line(self, kind: str, ts_ns: int, line: bytes, schema: int = 1) -> None:
        """Append one event that is already JSON; the journal keeps its bytes unchanged.

        Raises InputError for a line that is not JSON of its *kind*, and LeakageError for one that states a feature
        from its future, before anything is stored.
        """
        check_name(kind)
        check_line(kind, ts_ns, line)
        self.log_checked_line(kind, ts_ns, line, schema)

    def _place(self) -> _Place:
        """The position after the last published event."""
        ring = self._ring
        head, start = int(ring.words[WORD_HEAD]), ring.cursor()
        lengths = ring.records(start.count, head)["word"] & 0xFFFFFFFF
        position = start.position + int(lengths.sum())
        behind = position % ring.payload_bytes
        ring.map.seek(ring.payload_at + (behind if behind or not position else ring.payload_bytes))
        at = HEAD_BYTES + head % ring.slots * RECORD_BYTES
        return _Place(at, head, position, at, position, True)

    def _room(self, word: int, at: int, count: int, position: int) -> _Place:
        """Free a record and the payload's bytes, waiting for the flusher; ``free`` is False when it was dropped."""
        ring, size, deadline = self._ring, word & 0xFFFFFFFF, time.monotonic() + self.wait_s
        self._check_usable(size, ring.payload_bytes)
        if self._stale:
            at, count, position, *_ = self._place()
            self._stale = False
        end, refusal = HEAD_BYTES + ring.slots * RECORD_BYTES, _Refusal(ring, self._why)
        full = ring.payload_at + ring.payload_bytes
        while True:
            if at == end:
                at = HEAD_BYTES
            cursor = ring.cursor()
            free = min(cursor.count + ring.slots - count, (end - at) // RECORD_BYTES)
            edge = position - position % ring.payload_bytes
            edge += 0 if ring.map.tell() == full else ring.payload_bytes
            limit = min(cursor.position + ring.payload_bytes, edge)
            if free and position + size <= limit:
                return _Place(at, count, position, at + free * RECORD_BYTES, limit, True)
            if free and limit == edge:  # skip the rest of the area and continue at its start
                _RECORD.pack_into(ring.map, at, edge - position | PAD << 32, 0, 0)
                at, count, position = at + RECORD_BYTES, count + 1, edge
                ring.map.seek(ring.payload_at)
                ring.words[WORD_HEAD] = count
            elif not self._wait(deadline, word, refusal):
                return _Place(at, count, position, at, limit, False)

    def _line_word(self, kind: str) -> int:
        self._check_usable(0, 0)
        return self._words.line_word(kind)

    def _word(self, event_type: type[Event]) -> int:
        self._check_usable(0, 0)
        return self._words.type_word(event_type)

    def _check_usable(self, size: int, payload_bytes: int) -> None:
        if self._forked:
            raise StateError("EventLogger: made before a fork; make one with another producer name in the child")
        if self._closed:
            raise StateError("EventLogger: closed; log before close()")
        if size > payload_bytes // 4:
            raise InputError(f"event of {size} bytes: larger than a quarter of the ring; raise ring_bytes")

    def _wait_turn(self) -> None:
        """Wait until no other thread is in ``log``."""
        while True:
            time.sleep(0.0)
            try:
                return self._token.pop()
            except IndexError:
                continue

    def _wait(self, deadline: float, word: int, refusal: _Refusal) -> bool:
        """The ring is full: count a drop and return False when this kind may drop, else wait briefly."""
        name = self._words.name(word >> 32 & 0xFFFF)
        if name in self.may_drop:
            self._dropped[name] = self._dropped.get(name, 0) + 1
            self._ring.words[WORD_DROPPED] += 1
            return False
        refused = refusal.lasts()
        if refused or time.monotonic() > deadline:
            cause = refused or self._why() or "its flusher does not keep up"
            raise StateError(
                f"{self.directory}: full, {cause}. This event was not accepted; "
                "free space, the journal goes on by itself"
            )
        self.waits += 1
        time.sleep(_WAIT_S)
        return True

    def _why(self) -> str:
        """Why the disk refuses now; empty when it does not."""
        number = int(self._ring.words[WORD_ERRNO])
        if not number:
            return ""
        return f"the disk says: {why_unwritable(self.directory, OSError(number, os.strerror(number)))}"

    def _what_is_safe(self) -> str:
        """How many events are durable, where the others wait, and what to do."""
        cursor, head = self._ring.cursor(), int(self._ring.words[WORD_HEAD])
        return (
            f"{cursor.seq:,} events are durable; {head - cursor.count:,} wait in {self._ring.path}, and the next start "
            "on this folder makes them durable: free space, then start again"
        )

    def _start_flusher(self) -> None:
        self._flusher = subprocess.Popen(
            [
                sys.executable, "-m", "quantum_trader.journal.flusher", str(self.directory),
                "--producer", self.producer, "--commit-ms", str(self.commit_ms),
                "--publish-s", str(self.publish_s), "--parent", str(os.getpid()),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )
        self._ring.words[WORD_STARTS] += 1

    def _supervise(self) -> None:
        """Restart the flusher when it ends before the logger; the pause grows while it ends at once."""
        pause_s = _FIRST_PAUSE_S
        while self._flusher is not None:
            started = time.monotonic()
            self._flusher.wait()
            if self._shutting():
                return
            if time.monotonic() - started < 1.0:
                time.sleep(pause_s)
                pause_s = min(2.0 * pause_s, _MOST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S
            self._start_flusher()

    def _shutting(self) -> bool:
        return self._closed

    def flusher_pid(self) -> int:
        """Process id of the flusher."""
        return self._flusher.pid if self._flusher else 0

    def stats(self) -> LoggerStats:
        """Counts, fill, lag and drops, read from the ring."""
        ring = self._ring
        cursor = ring.cursor()
        waiting = ring.records(cursor.count, int(ring.words[WORD_HEAD]))
        events = waiting[(waiting["word"] >> 32) & 0xFFFF != PAD]
        oldest = int(events["received_ns"][0]) if len(events) else 0
        used = max(len(waiting) / ring.slots, float((events["word"] & 0xFFFFFFFF).sum()) / ring.payload_bytes)
        return LoggerStats(
            accepted=cursor.seq + len(events), durable=cursor.seq, waiting=len(events), fill=used, oldest_ns=oldest,
            lag_s=max(0.0, (time.time_ns() - oldest) / 1e9) if oldest else 0.0, dropped=dict(self._dropped),
            waits=self.waits, write_errors=int(ring.words[WORD_ERRORS]), flusher_starts=int(ring.words[WORD_STARTS]),
        )

    def flush(self, timeout_s: float = 30.0) -> int:
        """Wait until everything accepted so far is durable; returns the number of the last durable event."""
        wanted, refusal = int(self._ring.words[WORD_HEAD]), _Refusal(self._ring, self._why)
        deadline = time.monotonic() + timeout_s
        while True:
            cursor = self._ring.cursor()
            if cursor.count >= wanted:
                return cursor.seq
            refused = refusal.lasts()
            if refused or time.monotonic() > deadline:
                cause = refused or self._why() or f"its flusher has not answered for {timeout_s:g} s"
                raise StateError(f"{self.directory}: not durable, {cause}. {self._what_is_safe()}")
            time.sleep(_WAIT_S)

    def close(self, timeout_s: float = 120.0) -> None:
        """Refuse further events, let the flusher finish (durable and published), and wait for it."""
        if self._closed or self._forked:
            return
        self._closed = True
        self._wait_turn()
        self._refuse()
        self._token.append(None)
        self._ring.words[WORD_CLOSED] = 1
        try:
            if self._flusher is not None and self._flusher.wait(timeout_s) == DISK_REFUSED:
                raise StateError(f"{self.directory}: not durable, {self._why()}. {self._what_is_safe()}")
        except subprocess.TimeoutExpired:
            raise StateError(f"{self.directory}: the flusher did not finish in {timeout_s:g} s; it goes on") from None
        finally:
            self._supervisor.join(timeout_s)
            os.close(self._lock)

    def _after_fork(self) -> None:
        """In the child: refuse events, even if a thread of the parent was in ``log``, and close the copied lock."""
        self._forked = True
        self._refuse()
        self._token[:] = [None]
        self._words.after_fork()
        if not self._closed:
            os.close(self._lock)


def _explain(error: BaseException, ts_ns: object) -> None:
    """Raise InputError where *error* is the refusal of an event's time."""
    if isinstance(error, struct.error):
        raise InputError(f"ts_ns = {ts_ns!r}: must be whole nanoseconds in 64 bits; the event is refused") from None


def _wrong_schema(schema: int) -> int:
    raise InputError(f"schema = {schema!r}: must be 1 to 255")


def _mark_forked() -> None:
    for logger in _loggers:
        logger._after_fork()


os.register_at_fork(after_in_child=_mark_forked)
