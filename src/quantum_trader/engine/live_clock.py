"""The venue's time, as well as we know it, on a clock that no jump of ours can move.

Between two measurements time is carried on by the loop's monotonic clock. The wall clock is followed only while both
agree: one that jumps shows as an offset, which is a matter of health, and changes no time that anything is decided on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FOLLOW_NS: Final = 500_000_000
FOLLOW_MS: Final = FOLLOW_NS / 1e6
BELIEVE_S: Final = 60.0  # a wall clock that disagrees this long is right: the machine slept, or its time was set
_NS: Final = 1_000_000_000


class LiveClock:
    """Venue time from a wall clock (*now_ns*) and the offset that an adapter measures (*offset_ms*).

    A venue that plays recorded time at a speed of its own is not *steady*: then *now_ns* is its time, taken as told.
    """

    def __init__(self, now_ns: Callable[[], int], offset_ms: Callable[[], float], *, steady: bool = True) -> None:
        self._wall, self._offset = now_ns, offset_ms if steady else lambda: 0.0
        self._steady = steady
        self._monotonic: Callable[[], float] | None = None
        self._base_ns = 0
        self._base_s = 0.0
        self._apart_s = -1.0  # since when the wall clock disagrees, on the monotonic clock

    def start(self, monotonic: Callable[[], float]) -> None:
        """Anchor the time now; *monotonic* gives seconds."""
        if not self._steady:
            return
        self._monotonic = monotonic
        self._base_ns, self._base_s = self._told(), monotonic()

    def now_ns(self) -> int:
        """Venue time in nanoseconds since the epoch."""
        if self._monotonic is None:
            return self._told()
        return self._base_ns + int((self._monotonic() - self._base_s) * _NS)

    def tick(self) -> None:
        """Follow the wall clock where it still agrees, or has disagreed for so long that it must be believed."""
        if self._monotonic is None:
            return
        now_s = self._monotonic()
        if abs(self._told() - self.now_ns()) < FOLLOW_NS:
            self._base_ns, self._base_s = max(self._told(), self.now_ns()), now_s
            self._apart_s = -1.0
        elif self._apart_s < 0.0:
            self._apart_s = now_s
        elif now_s - self._apart_s >= BELIEVE_S:
            self._base_ns, self._base_s, self._apart_s = self._told(), now_s, -1.0

    def offset_ms(self) -> float:
        """How far our wall clock, set right by the last measurement, is from the venue's time."""
        return (self._told() - self.now_ns()) / 1e6

    def _told(self) -> int:
        return self._wall() + int(self._offset() * 1e6)
