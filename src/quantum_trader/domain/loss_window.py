"""The rolling 24-hour loss, kept in 26 numbers for every bar size.

``ring`` is any mutable sequence of floats of length RING_SIZE: ring[0] is the last hour index seen (-1 when
empty), ring[1 + h % 25] the last equity seen in hour h (NaN where none). The functions are scalar Python so that
the policy, the guard and the compiled sweep share one definition.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import Final

from quantum_trader.domain.scalar import scalar

RING_SIZE: Final = 26
_SLOTS: Final = 25
_HOURS: Final = 24


def empty_ring() -> list[float]:
    """Return an empty ring."""
    return [-1.0] + [float("nan")] * _SLOTS


@scalar
def record_equity(ring: MutableSequence[float], hour: int, equity: float) -> None:
    """Store *equity* (USDT) as the latest of *hour* (hours since the epoch, not going backwards)."""
    last = int(ring[0])
    if last < 0 or hour - last >= _SLOTS:
        for slot in range(1, _SLOTS + 1):
            ring[slot] = float("nan")
    else:
        for skipped in range(last + 1, hour + 1):
            ring[1 + skipped % _SLOTS] = float("nan")
    ring[0] = float(hour)
    ring[1 + hour % _SLOTS] = equity


@scalar
def newest_equity(ring: Sequence[float]) -> float:
    """The last equity noted in *ring*, NaN when it is empty."""
    last = int(ring[0])
    return ring[1 + last % _SLOTS] if last >= 0 else float("nan")


@scalar
def after_transfer(remembered: float, equity: float, amount: float) -> float:
    """A *remembered* equity once *amount* was paid in (negative: out) of an account worth *equity*; all in USDT.

    It changes in proportion to the account's equity, so that a loss or drawdown measured from it keeps its percentage.
    Where the equity before or after is not finite or not above 0 there is no such proportion: then it moves by
    *amount*, not below 0. NaN (nothing remembered) stays NaN.
    """
    after = equity + amount
    if equity > 0.0 and after > 0.0:
        scaled = after * (remembered / equity)  # in this order the equity itself becomes *after*, to the bit
        if math.isfinite(scaled):
            return scaled
    moved = remembered + amount
    return 0.0 if moved < 0.0 else moved


@scalar
def scale_ring(ring: MutableSequence[float], equity: float, amount: float) -> None:
    """Take a transfer of *amount* at *equity* (USDT) into every equity of *ring*: see :func:`after_transfer`."""
    for slot in range(1, RING_SIZE):
        ring[slot] = after_transfer(ring[slot], equity, amount)


@scalar
def rolling_pnl_pct(ring: Sequence[float], equity: float) -> float:
    """Percent change of *equity* against the oldest equity seen within the last 24 hours; 0.0 when none."""
    last = int(ring[0])
    if last < 0:
        return 0.0
    for hour in range(last - _HOURS, last + 1):
        reference = ring[1 + hour % _SLOTS] if hour >= 0 else float("nan")
        if reference == reference and reference > 0.0:  # not NaN
            return (equity / reference - 1.0) * 100.0
    return 0.0
