"""The venue's clock, estimated from server time requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_MS
from quantum_trader.domain.errors import require

SAMPLES: Final = 5


class ClockSample(msgspec.Struct, frozen=True, kw_only=True):
    """One server time request, with our clock before and after it."""

    sent_ns: int
    received_ns: int
    venue_ms: int

    @property
    def round_trip_ns(self) -> int:
        """Round trip time of the request, ns."""
        return self.received_ns - self.sent_ns

    @property
    def offset_ns(self) -> int:
        """The venue's clock minus ours in ns; half the round trip counts as the way there."""
        return self.venue_ms * NS_PER_MS + NS_PER_MS // 2 - (self.sent_ns + self.received_ns) // 2


class VenueClock:
    """Our clock, shifted to the venue's time by the last measurement."""

    def __init__(self, wall_ns: Callable[[], int]) -> None:
        self.wall_ns = wall_ns
        self.offset_ns = 0
        self.round_trip_ms = 0.0

    @property
    def offset_ms(self) -> float:
        """The venue's clock minus ours, ms."""
        return self.offset_ns / NS_PER_MS

    def update(self, samples: Sequence[ClockSample]) -> None:
        """Set the offset to the median of the faster half of *samples*; InputError when there are none."""
        require(bool(samples), "samples", samples, "at least one is needed")
        quick = sorted(samples, key=lambda sample: sample.round_trip_ns)[: (len(samples) + 1) // 2]
        self.offset_ns = int(median(sample.offset_ns for sample in quick))
        self.round_trip_ms = quick[0].round_trip_ns / NS_PER_MS

    def now_ns(self) -> int:
        """The venue's time."""
        return self.wall_ns() + self.offset_ns

    def stamp_ms(self) -> int:
        """The time to sign a request with."""
        return self.now_ns() // NS_PER_MS
