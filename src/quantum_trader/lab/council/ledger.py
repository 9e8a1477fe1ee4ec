"""What the council has cost: reserved before a call, settled after it, on disk before it counts.

A reservation that was never settled counts in full: its call may have been made and billed. So the month's budget holds
after a crash too. Times are ns since the epoch; a month is a calendar month of UTC.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.private_files import open_private, read_private, why_unwritable
from quantum_trader.policy.policy_store_file import locked_store
from quantum_trader.policy.storage import path_of

COST_LEDGER_FILE: Final = "costs.jsonl"


class CouncilCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model: *usd* is reserved until *outcome* says how it ended, then it is what the call cost."""

    id: str
    key: str  # of the question: the same model asked the same has the same key
    model: str
    at_ns: int
    usd: float
    outcome: str = ""  # "" reserved, "answered", "refused", "timed out", "failed"
    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0

    @property
    def month(self) -> str:
        """YYYY-MM of its reservation."""
        return month_of(self.at_ns)


class OverBudget(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was not made: it could have cost *wanted_usd*, and *left_usd* of the month's *limit_usd* is left."""

    wanted_usd: float
    left_usd: float
    limit_usd: float

    def __str__(self) -> str:
        """For a person."""
        return (
            f"over budget: the call could cost {self.wanted_usd:.4f} USD and {self.left_usd:.4f} of "
            f"{self.limit_usd:.2f} USD is left this month"
        )


class AskedAlready(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was not made: the same question was asked and has not ended."""

    call: CouncilCall

    def __str__(self) -> str:
        """For a person."""
        return (
            "its call was cut off when the program died, or another process is asking; it may have been billed; "
            "--again asks it once more"
        )


def month_of(at_ns: int) -> str:
    """YYYY-MM of a time, UTC."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m")


class CostLedger:
    """The calls of every council of a user, in *folder*; *clock* gives ns, *pause* waits for another writer."""

    def __init__(self, folder: Path | str, *, clock: Callable[[], int], pause: Callable[[float], None]) -> None:
        self.path = path_of("council", folder) / COST_LEDGER_FILE
        self._clock, self._pause = clock, pause

    def reserve(
        self, key: str, model: str, usd: float, limit_usd: float, *, again: bool = False
    ) -> CouncilCall | OverBudget | AskedAlready:
        """Reserve *usd* of this month, on disk when this returns; OverBudget where that passes *limit_usd*.

        AskedAlready where a call of the same question has not ended, unless it is to be made *again*.
        """
        with locked_store(self.path, self._pause):
            now_ns, known = self._clock(), self._read()
            if not again and (call := _open_call(known, key)) is not None:
                return AskedAlready(call=call)
            spent = ordered_sum(one.usd for one in known.values() if one.month == month_of(now_ns))
            if spent + usd > limit_usd:
                return OverBudget(wanted_usd=usd, left_usd=max(limit_usd - spent, 0.0), limit_usd=limit_usd)
            call = CouncilCall(id=f"{now_ns}-{os.getpid()}-{len(known)}", key=key, model=model, at_ns=now_ns, usd=usd)
            self._append(call)
            return call

    def settle(
        self, call: CouncilCall, outcome: str, *, usd: float, input_tokens: int = 0, output_tokens: int = 0,
        latency_s: float = 0.0,
    ) -> None:
        """Write how *call* ended and what it cost."""
        with locked_store(self.path, self._pause):
            self._append(msgspec.structs.replace(
                call, outcome=outcome, usd=usd, input_tokens=input_tokens, output_tokens=output_tokens,
                latency_s=latency_s,
            ))

    def calls(self) -> list[CouncilCall]:
        """Every call, oldest first, as it ended; one that is still reserved has no outcome."""
        return list(self._read().values())

    def cut_off(self, key: str) -> CouncilCall | None:
        """A call of this question that was reserved and never ended: the process that made it died."""
        return _open_call(self._read(), key)

    def spent_usd(self, month: str) -> float:
        """What the calls of *month* (YYYY-MM) cost, reserved ones in full."""
        return ordered_sum(one.usd for one in self._read().values() if one.month == month)

    def _read(self) -> dict[str, CouncilCall]:
        """Calls by id; what a killed writer left of the last line was no call yet. StateError for other damage."""
        try:
            content = read_private(self.path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StateError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        calls: dict[str, CouncilCall] = {}
        lines = content.split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                call = msgspec.json.decode(line, type=CouncilCall)
            except msgspec.DecodeError as error:
                raise StateError(
                    f"{self.path}: line {number} is damaged ({error}): what was spent is unknown, so no model is "
                    "called; mend the line or move the file away"
                ) from None
            calls[call.id] = call
        return calls

    def _append(self, call: CouncilCall) -> None:
        line = msgspec.json.encode(call) + b"\n"
        try:
            descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
            try:
                end = _whole_lines(descriptor)
                os.ftruncate(descriptor, end)
                if os.pwrite(descriptor, line, end) != len(line):
                    raise OSError(28, "the disk is full", str(self.path))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StateError(f"{self.path}: cannot be written ({why_unwritable(self.path, error)})") from error


def _open_call(calls: dict[str, CouncilCall], key: str) -> CouncilCall | None:
    return next((one for one in calls.values() if one.key == key and not one.outcome), None)


def _whole_lines(descriptor: int) -> int:
    """Where the last whole line ends."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).rfind(b"\n") + 1
