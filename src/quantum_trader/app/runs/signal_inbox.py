"""The signals of other programs that reached a state folder: ``signals.db``, a SQLite file, one row a signal.

A signal is on disk before its intent or its score is, and that before its sender is answered. It is taken once, however
often it is sent and whatever process dies in between. No row holds a secret or a body.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.outside_intents import FILE_NAME as INTENTS_FILE
from quantum_trader.app.runs.outside_intents import IntentRequest, SizedIn, request_intent
from quantum_trader.app.runs.score_requests import SCORES_FILE, ScoreRequest, request_score
from quantum_trader.app.runs.signal_bodies import SignalRefused
from quantum_trader.app.runs.signal_mapping import OutsideSignal
from quantum_trader.app.runs.signal_sources import SignalAction, SourceSettings
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import open_private, read_private
from quantum_trader.live.intents import checked_intent

INBOX_FILE: Final = "signals.db"
_KEPT_NS: Final = 90 * NS_PER_DAY  # for so long the id of a signal is known
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_CLOSING: Final = 10  # times as many signals a minute may close
_WAIT_S: Final = 0.8  # for another request or process that writes
_NAP_S: Final = 0.01
_TABLES: Final = """
create table if not exists signals (
    seq integer primary key, received_ns integer not null, source text not null, key text not null,
    outcome text not null, reason text not null, message text not null, intent_id text not null,
    symbol text not null, action text not null, sent_ns integer not null, price real not null
);
create index if not exists signals_by_key on signals (source, key);
create index if not exists signals_by_time on signals (source, received_ns);
create table if not exists counts (
    source text not null, outcome text not null, reason text not null, n integer not null,
    primary key (source, outcome, reason)
);
"""


class SignalOutcome(str, Enum):
    """What became of a signal at its receipt."""

    PENDING = "pending"  # noted, and its intent or score is not known to be written
    ACCEPTED = "accepted"  # its intent or score is handed to the run
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    REFUSED = "refused"


class SignalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One signal of the inbox. *intent_id* is its trace; empty where it was refused."""

    received_ns: int
    source: str
    outcome: SignalOutcome
    reason: str = ""
    message: str = ""
    intent_id: str = ""
    symbol: str = ""
    action: str = ""
    sent_ns: int = 0
    price: float = 0.0


class SourceCounts(msgspec.Struct, kw_only=True):
    """How many signals of a source came, and what became of them at their receipt."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    expired: int = 0
    refused: dict[str, int] = {}
    last_ns: int = 0  # 0: none yet, or none kept


class SignalInbox:
    """The inbox of one state folder. Raises StateError where the disk fails."""

    def __init__(self, folder: Path, now_ns: Callable[[], int]) -> None:
        self._folder, self._now_ns = folder, now_ns
        self._path = folder / INBOX_FILE
        self._lock = Lock()

    def take(
        self, source: str, signal: OutsideSignal, body: bytes, settings: SourceSettings
    ) -> tuple[SignalOutcome, str]:
        """Hand *signal* of *source* to the run once: what became of it, and the id of its intent or score.

        *body* is what was sent, without its secret: it tells a signal without an id from another. Raises SignalRefused
        where the source sends too many, InputError for an intent that cannot be.
        """
        now_ns = self._now_ns()
        key = f"id {signal.signal_id}" if signal.signal_id else f"body {hashlib.sha256(body).hexdigest()}"
        own_id = signal.signal_id or f"{now_ns}"
        with self._held(), closing(self._open()) as base:
            row = self._known(base, source, key, signal, settings, now_ns)
            if row is None:
                self._check_rate(base, source, signal.action, settings, now_ns)
                intent_id = f"{source}-{own_id}"
                hand_over = self._handing(source, intent_id, signal, settings, now_ns)
                seq = _add(base, key, _row(now_ns, source, SignalOutcome.PENDING, signal, intent_id))
            else:
                seq, outcome, intent_id = row
                hand_over = self._handing(source, intent_id, signal, settings, now_ns)
                if outcome == SignalOutcome.ACCEPTED.value or self._is_written(intent_id):
                    _add(base, key, _row(now_ns, source, SignalOutcome.DUPLICATE, signal, intent_id))
                    _count(base, source, SignalOutcome.DUPLICATE)
                    return SignalOutcome.DUPLICATE, intent_id
            hand_over()
            base.execute("update signals set outcome = ? where seq = ?", (SignalOutcome.ACCEPTED.value, seq))
            _count(base, source, SignalOutcome.ACCEPTED)
            if seq % 1000 == 0:
                base.execute("delete from signals where received_ns < ?", (now_ns - _KEPT_NS,))
        return SignalOutcome.ACCEPTED, intent_id

    def refuse(self, source: str, refused: SignalRefused, signal: OutsideSignal | None = None) -> None:
        """Note and count a signal that is not taken; of wrong secrets and floods the count alone."""
        outcome = SignalOutcome.EXPIRED if refused.reason == "expired" else SignalOutcome.REFUSED
        with self._held(), closing(self._open()) as base:
            _count(base, source, outcome, "" if outcome is SignalOutcome.EXPIRED else refused.reason)
            if refused.reason not in ("wrong_secret", "too_many"):
                row = _row(self._now_ns(), source, outcome, signal, "")
                _add(base, "", msgspec.structs.replace(row, reason=refused.reason, message=str(refused)[:500]))

    def counts(self) -> dict[str, SourceCounts]:
        """What came from each source, ever."""
        if not self._path.exists():
            return {}
        found: dict[str, SourceCounts] = {}
        with self._held(), closing(self._open()) as base:
            for source, outcome, reason, n in base.execute("select source, outcome, reason, n from counts"):
                one = found.setdefault(source, SourceCounts(refused={}))
                one.received += n
                if outcome == SignalOutcome.REFUSED.value:
                    one.refused[reason] = n
                else:
                    name = "duplicates" if outcome == SignalOutcome.DUPLICATE.value else outcome
                    setattr(one, name, n)
            for source, last_ns in base.execute("select source, max(received_ns) from signals group by source"):
                found.setdefault(source, SourceCounts(refused={})).last_ns = last_ns
        return found

    def last(self, most: int, source: str = "") -> list[SignalRow]:
        """The newest *most* signals, newest first; of *source* alone where it is given."""
        if not self._path.exists():
            return []
        names = [field.name for field in msgspec.structs.fields(SignalRow)]
        with self._held(), closing(self._open()) as base:
            rows = base.execute(
                f"select {', '.join(names)} from signals where ? in ('', source) order by seq desc limit ?",
                (source, most),
            ).fetchall()
        return [msgspec.convert(dict(zip(names, row, strict=True)), SignalRow) for row in rows]

    # ---- the parts of taking one -------------------------------------------------------------------------------------
    def _known(
        self, base: sqlite3.Connection, source: str, key: str, signal: OutsideSignal, settings: SourceSettings,
        now_ns: int,
    ) -> tuple[int, str, str] | None:
        """Number, outcome and intent of the signal that this one repeats; None for a new one.

        Without an id and a time, the same body is the same signal for *repeat_s* seconds only.
        """
        since_ns = 0 if signal.signal_id or signal.sent_ns else now_ns - int(settings.repeat_s * NS_PER_SECOND)
        found: tuple[int, str, str] | None = base.execute(
            "select seq, outcome, intent_id from signals where source = ? and key = ? and received_ns >= ? "
            "and outcome in ('pending', 'accepted') order by seq desc limit 1", (source, key, since_ns),
        ).fetchone()
        return found

    def _check_rate(
        self, base: sqlite3.Connection, source: str, action: SignalAction, settings: SourceSettings, now_ns: int
    ) -> None:
        most = settings.per_minute * (_CLOSING if action.closes else 1)
        (n,) = base.execute(
            "select count(*) from signals where source = ? and received_ns > ?", (source, now_ns - _MINUTE_NS)
        ).fetchone()
        if n >= most:
            raise SignalRefused(
                "too_many", f"{n} signals came from {source} in the last minute; at most {most} are taken "
                "(per_minute in the source's settings)"
            )

    def _handing(
        self, source: str, intent_id: str, signal: OutsideSignal, settings: SourceSettings, now_ns: int
    ) -> Callable[[], None]:
        """What writes *signal* where the run finds it. Raises InputError for an intent that cannot be."""
        if signal.score is not None:
            score = score_request(source, intent_id, signal, now_ns)
            return lambda: request_score(self._folder, score)
        request = request_of(source, intent_id, signal, settings, now_ns)
        return lambda: request_intent(self._folder, request)

    def _is_written(self, intent_id: str) -> bool:
        """Whether a signal that is pending was written for the run before the process ended."""
        name = msgspec.json.encode(intent_id)
        for file, key in ((INTENTS_FILE, b'"intent_id":'), (SCORES_FILE, b'"score_id":')):
            try:
                lines = read_private(self._folder / file)
            except FileNotFoundError:
                continue
            if key + name in lines:
                return True
        return False

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the inbox against other threads and processes; errors of the disk become StateError."""
        if not self._lock.acquire(timeout=_WAIT_S):  # no request waits for ever: a STOP needs its thread
            raise self._busy()
        try:
            descriptor = open_private(self._folder / f".{INBOX_FILE}.lock", os.O_RDWR | os.O_CREAT)
            try:
                self._lock_file(descriptor)
                yield
            finally:
                os.close(descriptor)
        except sqlite3.Error as error:
            raise StateError(
                f"{self._path}: cannot be read or written ({error}); where it is damaged, set it aside: the ids of "
                "signals that came before are then not known any more"
            ) from None
        finally:
            self._lock.release()

    def _lock_file(self, descriptor: int) -> None:
        """Hold the lock of *descriptor*. Raises StateError where another process keeps it for too long."""
        ends_s = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > ends_s:
                    raise self._busy() from None
                time.sleep(_NAP_S)

    def _busy(self) -> StateError:
        return StateError(f"{self._path}: is held by another request or process for {_WAIT_S:g} s; send again")

    def _open(self) -> sqlite3.Connection:
        os.close(open_private(self._path, os.O_RDWR | os.O_CREAT))
        base = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)
        try:
            base.execute("pragma journal_mode = wal")
            base.execute("pragma synchronous = full")
            base.executescript(_TABLES)
        except sqlite3.Error:
            base.close()
            raise
        return base


def score_request(source: str, score_id: str, signal: OutsideSignal, now_ns: int) -> ScoreRequest:
    """The score that *signal* is, received at *now_ns*."""
    sides = {SignalAction.CLOSE_LONG: Side.LONG, SignalAction.CLOSE_SHORT: Side.SHORT}
    return ScoreRequest(
        score_id=score_id, symbol=signal.symbol, score=signal.score or 0.0, source=source, ts_ns=now_ns,
        age_ns=max(0, now_ns - signal.sent_ns) if signal.sent_ns else 0, life_ns=int(signal.life_s * NS_PER_SECOND),
        leaves=sides.get(signal.action),
    )


def request_of(
    source: str, intent_id: str, signal: OutsideSignal, settings: SourceSettings, now_ns: int
) -> IntentRequest:
    """The intent that *signal* asks for. Raises InputError for one that cannot be."""
    action = signal.action
    request = IntentRequest(
        intent_id=intent_id, symbol=signal.symbol,
        side=Side.SHORT if action in (SignalAction.SHORT, SignalAction.CLOSE_SHORT) else Side.LONG,
        qty=signal.size, sized_in=SizedIn.BASE if action.closes else signal.sized_in, stop_price=signal.stop_price,
        stop_pct=signal.stop_pct, leverage=signal.leverage, closes=action.closes,
        reverses=settings.reverses and not action.closes,
        side_only=action.closes and action is not SignalAction.CLOSE, source=source, confidence=signal.confidence,
        ttl_s=settings.ttl_s, actor=f"signal source {source}", ts_ns=now_ns,
    )
    checked_intent(request.intent(1.0))
    return request


def _row(
    now_ns: int, source: str, outcome: SignalOutcome, signal: OutsideSignal | None, intent_id: str
) -> SignalRow:
    if signal is None:
        return SignalRow(received_ns=now_ns, source=source, outcome=outcome)
    return SignalRow(
        received_ns=now_ns, source=source, outcome=outcome, intent_id=intent_id, symbol=signal.symbol,
        action=signal.action.value, sent_ns=signal.sent_ns, price=signal.price,
    )


def _add(base: sqlite3.Connection, key: str, row: SignalRow) -> int:
    """Write *row*; its number."""
    values: dict[str, Any] = {**msgspec.to_builtins(row), "key": key}
    made = base.execute(
        f"insert into signals ({', '.join(values)}) values ({', '.join('?' * len(values))})", [*values.values()]
    )
    return int(made.lastrowid or 0)


def _count(base: sqlite3.Connection, source: str, outcome: SignalOutcome, reason: str = "") -> None:
    base.execute(
        "insert into counts values (?, ?, ?, 1) on conflict do update set n = n + 1", (source, outcome.value, reason)
    )

