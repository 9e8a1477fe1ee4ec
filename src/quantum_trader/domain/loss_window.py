"""The rolling 24-hour loss, kept in 26 numbers whatever the bar size.

``ring`` is any mutable sequence of floats of length RING_SIZE: ring[0] is the last hour index seen (-1 when
empty), ring[1 + h % 25] the last equity seen in hour h (NaN where none). The functions are scalar Python so that
the policy, the guard and the compiled sweep share one definition.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from quantum_trader.domain.scalar import scalar

RING_SIZE: Final = 26
_SLOTS: Final = 25
_HOURS: Final = 24


def empty_ring() -> list[float]:
    """A ring that has seen nothing."""
    return [-1.0] + [float("nan")] * _SLOTS


@scalar
def record_equity(ring: MutableSequence[float], hour: int, equity: float) -> None:
    """Note *equity* as the latest of *hour* (hours since the epoch, not going backwards)."""
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
def shift_ring(ring: MutableSequence[float], delta: float) -> None:
    """Move every equity of *ring* by *delta* (USDT), for money paid in or out; empty hours (NaN) stay empty."""
    for slot in range(1, RING_SIZE):
        ring[slot] += delta


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
