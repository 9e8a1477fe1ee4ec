"""The venue's time, from requests with different round trips."""

from __future__ import annotations

import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.venues.binance.clock import ClockSample, VenueClock

MS = 1_000_000


def sample(offset_ms: int, there_ms: int, back_ms: int, at_ms: int = 1_000_000) -> ClockSample:
    """A question sent at *at_ms*, read by a venue whose clock is ahead by *offset_ms*."""
    return ClockSample(
        sent_ns=at_ms * MS, received_ns=(at_ms + there_ms + back_ms) * MS, venue_ms=at_ms + there_ms + offset_ms
    )


def test_slow_answers_do_not_count() -> None:
    """The median of the quicker half: 250 ms ahead, although slow answers show another offset."""
    clock = VenueClock(lambda: 1_000_000 * MS)

    clock.update([sample(250, 5, 5), sample(250, 900, 5), sample(250, 6, 6), sample(250, 5, 700), sample(250, 7, 7)])

    assert clock.offset_ms == pytest.approx(250.5)
    assert clock.round_trip_ms == 10.0
    assert clock.stamp_ms() == 1_000_250
    assert clock.now_ns() == 1_000_250 * MS + MS // 2


def test_a_clock_needs_a_sample() -> None:
    """Without samples it raises InputError."""
    clock = VenueClock(lambda: 1_000_000 * MS)

    with pytest.raises(InputError, match="at least one"):
        clock.update([])
    assert clock.offset_ms == 0.0
