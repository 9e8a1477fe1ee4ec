"""What the policy would have done, one JSON object a line, for a person or a notebook to read.

Observing never affects trading: an error here is counted (``errors``, ``last_error``, ``lost_lines``) and
the call returns. One observer writes a folder; files rotate by the event's own UTC day and are private to their owner.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, iso, to_ns, utc_day
from quantum_trader.domain.enums import OrchestratorMode
from quantum_trader.domain.policy import RiskState
from quantum_trader.domain.private_files import make_private_folder, open_private
from quantum_trader.domain.trading import Signal
from quantum_trader.policy.clock import now_ns

HISTORY: Final = 100
_ACTIONS: Final[dict[str, str]] = {"LONG": "BUY", "SHORT": "SELL"}  # the published words of a line
MAX_BUFFER: Final = 4 * 1024 * 1024  # bytes held while the disk refuses them; older lines are lost and counted
# What a value of the wrong kind or a failing disk can raise on its way to a line.
_HARMLESS: Final = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError, msgspec.MsgspecError)


class ObservedPolicy(Protocol):
    """The part of a policy that is observed."""

    @property
    def allow_new_trades(self) -> bool: ...
    @property
    def min_confidence(self) -> float: ...
    @property
    def max_risk_pct(self) -> float: ...
    @property
    def max_open_positions(self) -> int: ...
    @property
    def disallowed_symbols(self) -> Any: ...
    @property
    def note(self) -> str: ...


class PolicyObserver:
    """Write policy updates and signal decisions to *log_dir*.

    *flush_bytes* is how much may wait in memory: 0 writes every line at once, a driver passes 65536 and calls
    :meth:`flush` when it is idle and at the end. Nothing here raises.
    """

    def __init__(self, log_dir: str | Path, *, flush_bytes: int = 0) -> None:
        self.log_dir = Path(log_dir)
        self.errors = 0
        self.last_error = ""
        self._recent: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._policies = _DailyFile(self.log_dir, "policy_obs", flush_bytes)
        self._signals = _DailyFile(self.log_dir, "signals", flush_bytes)

    @property
    def recent(self) -> tuple[dict[str, Any], ...]:
        """The last 100 policy observations, oldest first."""
        return tuple(self._recent)

    def get_recent_policies(self) -> list[dict[str, Any]]:
        """The last 100 policy observations, oldest first."""
        return list(self._recent)

    @property
    def lost_lines(self) -> int:
        """Lines that never reached the disk."""
        return self._policies.lost_lines + self._signals.lost_lines

    @property
    def repaired_lines(self) -> int:
        """Half-written last lines, left by a crash, that were cut off at opening."""
        return self._policies.repaired_lines + self._signals.repaired_lines

    def log_policy_update(
        self, policy: ObservedPolicy, *, regime_tag: str, vol_level: str, risk_state: RiskState,
        mode: OrchestratorMode = OrchestratorMode.OBSERVE, actual_confidence_used: float = 0.45,
        actual_trading_allowed: bool = True, now: datetime | int | None = None,
    ) -> None:
        """Note the settings of *policy*, those that trading used, and how the two differ.

        *now*: nanoseconds or a datetime (naive is UTC); the policy's own time when left out.
        """
        try:
            ts_ns = self._moment(now, policy)
            observation = {
                "timestamp": iso(ts_ns),
                "mode": OrchestratorMode(mode).value,
                "inputs": {
                    "regime_tag": _text(regime_tag), "vol_level": _text(vol_level),
                    "risk_state": msgspec.to_builtins(risk_state),
                },
                "policy": {
                    "allow_new_trades": policy.allow_new_trades,
                    "min_confidence": policy.min_confidence,
                    "risk_per_trade_pct": policy.max_risk_pct,
                    "max_open_positions": policy.max_open_positions,
                    "disallowed_symbols": _symbols(policy.disallowed_symbols),
                    "note": policy.note,
                },
                "actual": {"confidence_used": actual_confidence_used, "trading_allowed": actual_trading_allowed},
                "comparison": {
                    "would_block_trading": actual_trading_allowed and not policy.allow_new_trades,
                    "would_raise_confidence": policy.min_confidence > actual_confidence_used,
                    "confidence_delta": round(policy.min_confidence - actual_confidence_used, 10),
                },
            }
            line = msgspec.json.encode(observation)
            self._recent.append(observation)
            self._policies.append(ts_ns, line)
        except _HARMLESS as error:
            self._count(error)

    def log_signal_decision(
        self, signal: Signal | Mapping[str, Any], policy: ObservedPolicy | None = None, decision: str = "ALLOWED",
        reasons: str | Iterable[str] = (), *, policy_verdict: str | None = None, now: datetime | int | None = None,
    ) -> None:
        """Note what became of *signal* (ALLOWED or BLOCKED) and what the policy would have done (ALLOW or BLOCK).

        The verdict is worked out from *policy* when left out. *now*: the time of the signal, else of the policy, else
        the clock, when left out.
        """
        try:
            name, action, confidence, model = _signal_fields(signal)
            if decision not in ("ALLOWED", "BLOCKED"):
                raise ValueError(f"decision = {decision!r}: must be ALLOWED or BLOCKED")
            why = [reasons] if isinstance(reasons, str) else list(reasons)
            verdict = policy_verdict
            if verdict is None:
                objections = _objections(policy, name, confidence)
                verdict = "BLOCK" if objections else "ALLOW"
                why += [objection for objection in objections if objection not in why]
            if verdict not in ("ALLOW", "BLOCK"):
                raise ValueError(f"policy_verdict = {verdict!r}: must be ALLOW or BLOCK")
            ts_ns = self._moment(now, signal, policy)
            line = msgspec.json.encode({
                "timestamp": iso(ts_ns),
                "type": "signal_decision",
                "signal": {"symbol": name, "action": action, "confidence": confidence, "model": model},
                "actual_decision": decision,
                "policy_verdict": verdict,
                "agreement": (decision == "ALLOWED") == (verdict == "ALLOW"),
                "reasons": why,
            })
            self._signals.append(ts_ns, line)
        except _HARMLESS as error:
            self._count(error)

    def mark(self) -> dict[str, int] | None:
        """Flush and return the bytes of every file: what a checkpoint covers. None when it cannot be read."""
        self.flush()
        try:
            return {path.name: path.stat().st_size for path in self._files()}
        except OSError as error:
            self._count(error)
            return None

    def rewind(self, mark: Mapping[str, int] | None) -> None:
        """Take the folder back to *mark*: what was written after a checkpoint will be written again."""
        if mark is None:
            return
        try:
            for file in (self._policies, self._signals):
                file.close()
            for path in self._files():
                if path.name not in mark:
                    path.unlink()
                elif path.stat().st_size > mark[path.name]:
                    os.truncate(path, mark[path.name])
        except _HARMLESS as error:
            self._count(error)

    def flush(self) -> None:
        """Write what waits in memory."""
        for file in (self._policies, self._signals):
            try:
                file.flush()
            except OSError as error:
                self._count(error)

    def close(self) -> None:
        """Write what waits in memory and close the files; what can't be written is lost and counted."""
        self.flush()
        for file in (self._policies, self._signals):
            file.close()

    def _moment(self, now: datetime | int | None, *subjects: Any) -> int:
        """*now* in nanoseconds, else the first time a subject knows, else the clock's."""
        if now is not None:
            return to_ns(now) if isinstance(now, datetime) else int(now)
        for subject in subjects:
            known = _time_of(subject)
            if known is not None:
                return known
        return now_ns()

    def _files(self) -> list[Path]:
        return [path for file in (self._policies, self._signals) for path in file.paths()]

    def _count(self, error: BaseException) -> None:
        self.errors += 1
        self.last_error = f"{type(error).__name__}: {error}"


class _DailyFile:
    """Append lines to ``<prefix>_YYYY-MM-DD.jsonl``; the file always ends with a whole line."""

    def __init__(self, folder: Path, prefix: str, flush_bytes: int) -> None:
        self.lost_lines = 0
        self.repaired_lines = 0
        self._folder = folder
        self._prefix = prefix
        self._flush_bytes = flush_bytes
        self._day = -1
        self._descriptor = -1
        self._size = 0  # bytes of whole lines in the open file
        self._buffer = bytearray()

    def append(self, ts_ns: int, line: bytes) -> None:
        """Add *line* to the file of the day of *ts_ns*; OSError when the disk refuses (the line is kept)."""
        day = utc_day(ts_ns)
        try:
            if day != self._day:
                self._rotate(day)
        finally:
            self._buffer += line
            self._buffer += b"\n"
            self._bound()
        if len(self._buffer) > self._flush_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the buffer; on OSError the file is cut back to its last whole line and the rest stays buffered."""
        if not self._buffer:
            return
        if self._descriptor < 0:
            self._open()
        written = 0
        try:
            while written < len(self._buffer):
                written += os.write(self._descriptor, memoryview(self._buffer)[written:].tobytes())
        finally:
            whole = self._buffer.rfind(b"\n", 0, written) + 1
            self._size += whole
            del self._buffer[:whole]
            if whole < written:
                self._cut()

    def _cut(self) -> None:
        """Cut the file back to its last whole line; where even that fails, opening it again will."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def close(self) -> None:
        """Close the file; lines still buffered are lost and counted."""
        self.lost_lines += self._buffer.count(b"\n")
        self._buffer.clear()
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def paths(self) -> list[Path]:
        """The files of every day."""
        return sorted(self._folder.glob(f"{self._prefix}_????-??-??.jsonl"))

    def _path(self, day: int) -> Path:
        return self._folder / f"{self._prefix}_{iso(day * NS_PER_DAY)[:10]}.jsonl"

    def _rotate(self, day: int) -> None:
        """Leave the day's file; the new one is opened by the first flush."""
        try:
            self.flush()
        finally:
            self.close()
            self._day = day

    def _open(self) -> None:
        """Open the day's file for appending and cut off a half-written last line, counted."""
        make_private_folder(self._folder)
        descriptor = open_private(self._path(self._day), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            whole = _whole_lines(descriptor, size)
            if whole < size:
                os.ftruncate(descriptor, whole)
                self.repaired_lines += 1
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self._size = descriptor, whole

    def _bound(self) -> None:
        """Drop the oldest lines of a buffer the disk refuses for too long."""
        if len(self._buffer) > max(MAX_BUFFER, 2 * self._flush_bytes):
            cut = self._buffer.find(b"\n", len(self._buffer) // 2) + 1
            self.lost_lines += self._buffer.count(b"\n", 0, cut)
            del self._buffer[:cut]


def _whole_lines(descriptor: int, size: int) -> int:
    """Bytes up to and including the last newline among the first *size*."""
    end = size
    while end > 0:
        start = max(0, end - 65536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _time_of(subject: Any) -> int | None:
    """The time of *subject* in nanoseconds; None when it has none."""
    when: Any = None
    for name in ("ts_ns", "timestamp"):
        when = subject.get(name) if isinstance(subject, Mapping) else getattr(subject, name, None)
        if when is not None:
            break
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        return to_ns(when)
    return when if isinstance(when, int) and not isinstance(when, bool) else None


def _text(value: Any) -> str:
    """The string of an enum member or a string."""
    return str(getattr(value, "value", value))


def _symbols(disallowed: Any) -> list[str]:
    """Names out of a mapping (name -> reason), of (name, reason) pairs or of names, sorted."""
    names = disallowed.keys() if isinstance(disallowed, Mapping) else disallowed
    return sorted(
        name if isinstance(name, str) else str(name[0] if isinstance(name, tuple | list) else name.symbol)
        for name in names
    )


def _signal_fields(signal: Signal | Mapping[str, Any]) -> tuple[str, str, float, str]:
    """Symbol, action (BUY or SELL), confidence and model of *signal*."""
    if isinstance(signal, Mapping):
        action = _text(signal["action"])
        return (
            str(signal["symbol"]), _ACTIONS.get(action, action), float(signal["confidence"]),
            _text(signal.get("model", "")),
        )
    return signal.symbol, _ACTIONS[signal.action], signal.confidence, signal.model


def _objections(policy: ObservedPolicy | None, symbol: str, confidence: float) -> list[str]:
    """Why *policy* would block a signal; empty when it wouldn't, or when there is no policy."""
    if policy is None:
        return []
    objections = []
    if not policy.allow_new_trades:
        objections.append("no new trades")
    allowed: Collection[str] = getattr(policy, "allowed_symbols", None) or ()
    if symbol in _symbols(policy.disallowed_symbols):
        objections.append(f"{symbol} is disallowed")
    elif allowed and symbol not in allowed:
        objections.append(f"{symbol} is not among the allowed symbols")
    if confidence < policy.min_confidence:
        objections.append(f"confidence {confidence:.2f} is below {policy.min_confidence:.2f}")
    return objections
