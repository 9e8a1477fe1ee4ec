"""Halts as values, and the rule that one bad tick halts nothing but three in a row do.

Every halt has an owner, a reason and a way out: a time at which it can end by itself, a command, or both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableSequence
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import require
from quantum_trader.domain.scalar import scalar

RESUME_COMMAND: Final = 'quantum-trader resume --reason "..."'
BAD_TICKS_TO_HALT: Final = 3
GOOD_TICKS_TO_CLEAR: Final = 3
BAD_TICK_SIZE: Final = 3
_BAD, _GOOD, _SINCE = 0, 1, 2
TICK_HALTED_SINCE: Final = _SINCE  # column: seconds, -1.0 while not halted

TICK_FINE, TICK_BAD, TICK_HALT_RAISED, TICK_HALTED, TICK_HALT_CLEARED = 0, 1, 2, 3, 4


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Openings are stopped; *scope* is a symbol or "*" for all. Reducing and closing go on.

    *expires_ns* is the earliest moment it can end by itself (0: never by itself), *command* what ends it by hand.
    """

    kind: str
    reason: str
    owner: str
    since_ns: int
    scope: str = "*"
    expires_ns: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        for key in ("kind", "reason", "owner", "scope"):
            require(bool(getattr(self, key).strip()), f"halt.{key}", getattr(self, key), "must not be empty")
        require(
            self.expires_ns > self.since_ns or bool(self.command.strip()), "halt.expires_ns", self.expires_ns,
            "a halt needs a way out: an expiry after its start, or a command",
        )


def empty_ticks() -> list[float]:
    """A symbol's row that has seen nothing: bad in a row, good in a row, halted since (seconds, -1.0 not halted)."""
    return [0.0, 0.0, -1.0]


@scalar
def bar_ok(open_: float, high: float, low: float, close: float, volume: float) -> bool:
    """Whether a bar is believable: finite, positive, low <= open, close <= high, volume not negative."""
    if not (math.isfinite(open_) and math.isfinite(high) and math.isfinite(low) and math.isfinite(close)):
        return False
    if not (math.isfinite(volume) and volume >= 0.0 and low > 0.0):
        return False
    return low <= open_ <= high and low <= close <= high


@scalar
def note_tick(row: MutableSequence[float], good: bool, now_s: float) -> int:
    """Count one tick into *row*, return a TICK_* code: the third bad one in a row halts, the third good one clears."""
    halted = row[_SINCE] >= 0.0
    if good:
        row[_BAD] = 0.0
        row[_GOOD] += 1.0
        if halted and row[_GOOD] >= GOOD_TICKS_TO_CLEAR:
            row[_SINCE] = -1.0
            return TICK_HALT_CLEARED
        return TICK_HALTED if halted else TICK_FINE
    row[_GOOD] = 0.0
    row[_BAD] += 1.0
    if halted:
        return TICK_HALTED
    if row[_BAD] >= BAD_TICKS_TO_HALT:
        row[_SINCE] = float(now_s)
        return TICK_HALT_RAISED
    return TICK_BAD


class BadTicks:
    """Bad ticks per symbol; survives a restart through :meth:`state`."""

    def __init__(self) -> None:
        self._rows: dict[str, list[float]] = {}

    def note(self, symbol: str, good: bool, now_ns: int) -> int:
        """Count one tick of *symbol*; returns a TICK_* code."""
        row = self._rows.setdefault(symbol, empty_ticks())
        return int(note_tick(row, bool(good), now_ns // NS_PER_SECOND))

    def is_halted(self, symbol: str) -> bool:
        """Whether *symbol* is halted by bad ticks."""
        row = self._rows.get(symbol)
        return row is not None and row[_SINCE] >= 0.0

    def halts(self) -> list[Halt]:
        """The halts in force, by symbol."""
        return [
            Halt(
                kind="BAD_TICKS",
                reason=f"{BAD_TICKS_TO_HALT} bad ticks in a row; ends after {GOOD_TICKS_TO_CLEAR} good ones in a row",
                owner="guard", since_ns=int(row[_SINCE]) * NS_PER_SECOND, scope=symbol, command=RESUME_COMMAND,
            )
            for symbol, row in sorted(self._rows.items()) if row[_SINCE] >= 0.0
        ]

    def resume(self, symbol: str) -> None:
        """End the halt of *symbol* by hand; its counts start again."""
        self._rows.pop(symbol, None)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as JSON values."""
        return {"version": 1, "rows": {symbol: list(row) for symbol, row in sorted(self._rows.items())}}

    def load_state(self, state: object, now_ns: int) -> bool:
        """Continue from *state*; False when it was damaged, and then every symbol it names is halted."""
        rows = state.get("rows") if isinstance(state, Mapping) and state.get("version") == 1 else None
        if not isinstance(rows, Mapping):
            return False
        intact = True
        self._rows = {}
        for symbol, row in rows.items():
            sound = isinstance(row, (list, tuple)) and len(row) == BAD_TICK_SIZE and all(
                isinstance(value, (int, float)) and math.isfinite(value) for value in row
            )
            self._rows[str(symbol)] = (
                [float(value) for value in row] if sound else [0.0, 0.0, float(now_ns // NS_PER_SECOND)]
            )
            intact = intact and sound
        return intact
