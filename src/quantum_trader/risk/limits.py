"""Loss limits and the hourly order rate: small rows of floats that survive midnight and restarts.

A row is any mutable sequence of floats (a list, or an array in the sweep); time is given in nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import Final

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.loss_window import (
    RING_SIZE,
    after_transfer,
    empty_ring,
    record_equity,
    rolling_pnl_pct,
    scale_ring,
)
from quantum_trader.domain.scalar import scalar

FloatRow = MutableSequence[float]

# A loss row is the 24-hour ring followed by these columns.
LOSS_DAY: Final = RING_SIZE  # UTC day of the newest equity, -1.0 when empty
LOSS_MIDNIGHT: Final = RING_SIZE + 1  # equity at the last UTC midnight
LOSS_LAST: Final = RING_SIZE + 2  # newest equity
LOSS_LATCH: Final = RING_SIZE + 3  # UTC day on which the limit was last breached, -1.0 when clear
LOSS_SIZE: Final = RING_SIZE + 4

_MINUTES: Final = 60
_RATE_SLOTS: Final = _MINUTES + 1
RATE_SIZE: Final = 1 + _RATE_SLOTS  # newest minute, then one count a minute


def empty_losses() -> list[float]:
    """A loss row without any equity yet."""
    return [*empty_ring(), -1.0, math.nan, math.nan, -1.0]


@scalar
def losses_pct(row: FloatRow, equity: float) -> tuple[float, float]:
    """Percent change of *equity* over the rolling 24 hours and since UTC midnight; 0.0 where nothing is known yet.

    NaN equity gives NaN, which the guard refuses.
    """
    midnight = row[LOSS_MIDNIGHT]
    since_midnight = 0.0
    if math.isfinite(midnight) and midnight > 0.0:
        since_midnight = (equity / midnight - 1.0) * 100.0
    elif not math.isfinite(equity):
        since_midnight = math.nan
    rolling: float = rolling_pnl_pct(row, equity)
    return (rolling, since_midnight)


@scalar
def record_losses(row: FloatRow, ts_ns: int, equity: float, limit_pct: float) -> None:
    """Note *equity* at *ts_ns* and latch the row when either loss has reached *limit_pct* percent.

    A latch ends at the next UTC midnight or later, once both losses are inside the limit again. Equity that is not
    finite is not noted (the guard refuses on it); a time before the last one counts as the last one.
    """
    if not math.isfinite(equity):
        return
    hour = max(ts_ns // NS_PER_HOUR, int(row[0]))
    day = hour // 24
    if row[LOSS_DAY] < 0.0:
        row[LOSS_MIDNIGHT] = equity
    elif day > row[LOSS_DAY]:
        row[LOSS_MIDNIGHT] = equity if ts_ns % NS_PER_DAY == 0 else row[LOSS_LAST]
    row[LOSS_DAY] = float(day)
    row[LOSS_LAST] = equity
    record_equity(row, hour, equity)
    rolling, since_midnight = losses_pct(row, equity)
    if rolling <= -limit_pct or since_midnight <= -limit_pct or equity <= 0.0:
        row[LOSS_LATCH] = float(day)
    elif row[LOSS_LATCH] >= 0.0 and day > row[LOSS_LATCH]:
        row[LOSS_LATCH] = -1.0


@scalar
def losses_latched(row: FloatRow) -> bool:
    """Whether the daily loss limit has been breached and not yet been released; a damaged row counts as breached."""
    return not row[LOSS_LATCH] < 0.0


@scalar
def scale_losses(row: FloatRow, equity: float, amount: float) -> None:
    """Take a transfer of *amount* at *equity* (USDT) into every equity in *row*; both losses keep their percentage."""
    scale_ring(row, equity, amount)
    row[LOSS_MIDNIGHT] = after_transfer(row[LOSS_MIDNIGHT], equity, amount)
    row[LOSS_LAST] = after_transfer(row[LOSS_LAST], equity, amount)


def empty_rate() -> list[float]:
    """A rate row without any order yet."""
    return [-1.0] + [0.0] * _RATE_SLOTS


@scalar
def note_order(row: FloatRow, ts_ns: int) -> None:
    """Count one opening order at *ts_ns*; a time before the last order counts as that of the last order."""
    last = int(row[0])
    minute = max(ts_ns // NS_PER_MINUTE, last)
    if last < 0 or minute - last >= _RATE_SLOTS:
        for slot in range(1, RATE_SIZE):
            row[slot] = 0.0
    else:
        for skipped in range(last + 1, minute + 1):
            row[1 + skipped % _RATE_SLOTS] = 0.0
    row[0] = float(minute)
    row[1 + minute % _RATE_SLOTS] += 1.0


@scalar
def orders_last_hour(row: FloatRow, ts_ns: int) -> float:
    """Opening orders within the last 60 minutes, counted by whole minutes (so up to 61: never fewer than true)."""
    last = int(row[0])
    if last < 0:
        return 0.0
    minute = max(ts_ns // NS_PER_MINUTE, last)
    total = 0.0
    for at in range(max(minute - _MINUTES, 0), last + 1):
        total += row[1 + at % _RATE_SLOTS]
    return total


def to_plain(row: Sequence[float]) -> list[float | None]:
    """*row* as JSON values: numbers, and None where it holds NaN."""
    return [None if math.isnan(value) else float(value) for value in row]


def from_plain(values: object, size: int) -> list[float] | None:
    """The row saved by :func:`to_plain`, or None when *values* is not a row of *size* numbers."""
    if not isinstance(values, (list, tuple)) or len(values) != size:
        return None
    row: list[float] = []
    for value in values:
        if value is None:
            row.append(math.nan)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            row.append(float(value))
        else:
            return None
    return row
