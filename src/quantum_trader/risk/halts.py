"""A halt as a value, and the counting of bad bars: one halts nothing, three in a row halt their symbol.

Every halt has an owner, a reason and a way out: a time at which it can end by itself, a call that ends it, or both. The
engine keeps one row of :func:`empty_ticks` for each symbol and counts its bars with :func:`note_tick`.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence
from typing import Final

import msgspec

from quantum_trader.domain.errors import require
from quantum_trader.domain.scalar import scalar

BAD_TICKS_TO_HALT: Final = 3
GOOD_TICKS_TO_CLEAR: Final = 3
_BAD, _GOOD, _SINCE = 0, 1, 2
TICK_HALTED_SINCE: Final = _SINCE  # column: seconds, -1.0 while not halted

TICK_FINE, TICK_BAD, TICK_HALT_RAISED, TICK_HALTED, TICK_HALT_CLEARED = 0, 1, 2, 3, 4


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Openings are stopped; *scope* is a symbol or "*" for all. Reducing and closing go on.

    *expires_ns* is the earliest moment it can end by itself (0: never by itself), *command* the call that ends it.
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
    """The row of a symbol without any bar yet: bad in a row, good in a row, halted since (seconds, -1.0 not halted)."""
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
    """Count one bar into *row*, return a TICK_* code: the third bad one in a row halts, the third good one clears."""
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
