"""Locks in freqtrade's shape: no entries into a pair until a time, by the engine's own halt of one symbol.

A lock keeps both sides out, and one pair has one lock: a new one takes the place of the one before. It is asked for
through the state folder, so that it lasts over restarts; a process that does not run takes it at its next start.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from quantum_trader.app.api.endpoints import Call
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.words import date_of, ms_of, pair_of, symbol_of
from quantum_trader.app.api.locking import lock_request
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, ask
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import brief
from quantum_trader.engine.halts import LOCK

_BOTH: Final = "*"
_AT: Final = "at "
_WAIT_S: Final = 3.0  # for a running process to take a lock
_LOOK_S: Final = 0.2


class LockOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that is asked for. *until* is a time (UTC), such as ``2030-03-30 16:00:00Z``."""

    pair: str
    until: Annotated[str, msgspec.Meta(max_length=60)]
    side: str = _BOTH
    reason: Annotated[str, msgspec.Meta(max_length=300)] = ""


LockOrders = Annotated[list[LockOrder], msgspec.Meta(max_length=500)]


class LockRow(msgspec.Struct, frozen=True, kw_only=True):
    """One lock. *active*: the run keeps entries out; a lock that no process has taken yet is not."""

    id: int
    pair: str
    lock_time: str | None
    lock_timestamp: int | None
    lock_end_time: str | None
    lock_end_timestamp: int | None
    reason: str
    side: str
    active: bool


class Locks:
    """The locks of one run."""

    def __init__(self, view: RunView, now_ns: Callable[[], int]) -> None:
        self._view, self._now_ns = view, now_ns

    def told(self) -> dict[str, Any]:
        """Every lock in force, and those that wait for the process."""
        return _answer(self._all().values())

    def add(self, call: Call) -> dict[str, Any]:
        """Ask for locks; the answer has them in force where a process runs and has taken them."""
        asked = [self._request(one, call) for one in call.body]
        for request in asked:
            ask(self._view.reader.folder, request)
        self._wait(lambda found: all(_is_in_force(found.get(one.symbol), one) for one in asked))
        return self.told()

    def end(self, call: Call) -> dict[str, Any]:
        """Ask to end the lock with the number in the road."""
        number = call.path["lock_id"]
        symbol = next((name for name, one in self._all().items() if str(one.id) == number), None)
        if symbol is None:
            raise ApiError(404, f"lock_id = {brief(number)}: there is no such lock")
        ask(self._view.reader.folder, OperatorRequest(
            action=Action.UNLOCK, reason="unlocked by a freqtrade client", actor=_by(call), ts_ns=self._now_ns(),
            symbol=symbol,
        ))
        self._wait(lambda found: symbol not in found)
        return self.told()

    def _request(self, order: LockOrder, call: Call) -> OperatorRequest:
        if not order.reason.isprintable():
            raise ApiError(400, f"reason = {brief(order.reason)}: must be one line of printable characters")
        if order.side != _BOTH:
            raise ApiError(400, f"side = {brief(order.side)}: a lock keeps both sides out; give {_BOTH!r}")
        return lock_request(
            ("pair", order.pair), symbol_of(order.pair), order.until, self._view.config().symbols,
            reason=order.reason.strip() or "locked by a freqtrade client", actor=_by(call), now_ns=self._now_ns(),
        )

    def _all(self) -> dict[str, LockRow]:
        """Locks by symbol; what waits for the process stands in the place of what is in force."""
        status, found = self._view.reader.fresh_status(), {}
        for halt in status.halts:
            kind, _, symbol = halt.kind.partition(" ")
            if kind == LOCK:
                ends = datetime.fromisoformat(halt.exit_path.removeprefix(_AT)).replace(tzinfo=UTC)
                until_ns = int(ends.timestamp()) * NS_PER_SECOND
                reason = halt.reason.removeprefix("locked: ")
                found[symbol] = _lock(symbol, halt.since_ns, until_ns, reason, active=True)
        for one in status.pending_requests:
            if one.action is Action.LOCK:
                found[one.symbol] = _lock(one.symbol, one.ts_ns, one.until_ns, one.reason, active=False)
            elif one.action is Action.UNLOCK:
                found.pop(one.symbol, None)
        return found

    def _wait(self, is_done: Callable[[dict[str, LockRow]], bool]) -> None:
        """Wait a little until a running process has done what was asked."""
        ends = time.monotonic() + _WAIT_S
        while self._view.reader.fresh_status().alive and not is_done(self._all()) and time.monotonic() < ends:
            time.sleep(_LOOK_S)


def _lock(symbol: str, since_ns: int, until_ns: int, reason: str, *, active: bool) -> LockRow:
    return LockRow(
        id=zlib.crc32(symbol.encode()) & 0x7FFF_FFFF, pair=pair_of(symbol), lock_time=date_of(since_ns),
        lock_timestamp=ms_of(since_ns), lock_end_time=date_of(until_ns), lock_end_timestamp=ms_of(until_ns),
        reason=reason, side=_BOTH, active=active,
    )


def _is_in_force(lock: LockRow | None, asked: OperatorRequest) -> bool:
    return lock is not None and lock.active and lock.lock_end_timestamp == ms_of(asked.until_ns)


def _answer(locks: Iterable[LockRow]) -> dict[str, Any]:
    found = sorted(locks, key=lambda one: one.pair)
    return {"lock_count": len(found), "locks": found}


def _by(call: Call) -> str:
    return f"{call.caller.name} over the API"
