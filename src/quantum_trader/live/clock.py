"""The venue's time, carried on by the loop's monotonic clock: a jump of this machine's wall clock does not move it.

Between two measurements the monotonic clock carries time on. The wall clock is followed only while both agree: when it
jumps, the jump shows as an offset, which is a matter of health, and changes no time that anything is decided on. The
time stamps of the venue's messages show which of the two is right: the machine slept, or its wall clock was set. Time
never goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FOLLOW_NS: Final = 500_000_000  # the wall clock agrees within this
FOLLOW_MS: Final = FOLLOW_NS / 1e6
BELIEVE_S: Final = 60.0  # a clock that disagrees for this long is judged by the venue's time stamps
_FRESH_NS: Final = 5_000_000_000  # a time stamp of a message that was sent just now is no older
_LATELY_S: Final = 10.0
_NS: Final = 1_000_000_000


class LiveClock:
    """Venue time from a wall clock (*now_ns*) and the offset that an adapter measures (*offset_ms*).

    A venue that plays recorded time at a speed of its own is not *steady*: then *now_ns* is its time, taken as it is.
    """

    def __init__(self, now_ns: Callable[[], int], offset_ms: Callable[[], float], *, steady: bool = True) -> None:
        self._wall, self._offset = now_ns, offset_ms if steady else lambda: 0.0
        self._steady = steady
        self._monotonic: Callable[[], float] | None = None
        self._base_ns = 0
        self._base_s = 0.0
        self._floor_ns = 0  # time has reached this already
        self._set_ns = 0  # how far the wall clock was set off, judged by the venue's time stamps
        self._apart_s = -1.0  # since when the wall clock disagrees, on the monotonic clock
        self._agreed_s = -1.0  # when a time stamp of the venue last agreed with the time carried on, since then

    def start(self, monotonic: Callable[[], float]) -> None:
        """Anchor the time now; *monotonic* gives seconds."""
        if not self._steady:
            return
        self._monotonic = monotonic
        self._base_ns, self._base_s = self._wall_ns(), monotonic()

    def now_ns(self) -> int:
        """Venue time in nanoseconds since the epoch."""
        if self._monotonic is None:
            return self._wall_ns()
        return max(self._floor_ns, self._base_ns + int((self._monotonic() - self._base_s) * _NS))

    def observe(self, ts_ns: int) -> bool:
        """Take the time stamp of a venue's message that has just arrived; False while the true time is uncertain.

        A time stamp that lies ahead, as the wall clock does, means that this machine slept. Time then goes on from
        there at once: by the wall clock if that is close to the time stamp, otherwise by the time stamp.
        """
        if self._monotonic is None:
            return True
        now_ns, wall_ns = self.now_ns(), self._wall_ns()
        if self._set_ns == 0 and abs(wall_ns - now_ns) < FOLLOW_NS:
            return True
        ahead_ns, unset_ns = ts_ns - now_ns, wall_ns - self._set_ns
        if FOLLOW_NS <= ahead_ns < unset_ns - now_ns + FOLLOW_NS:
            self._set_ns = 0
            self._anchor(unset_ns if unset_ns - ts_ns < _FRESH_NS else ts_ns)
            return False
        if abs(ahead_ns) < abs(ts_ns - unset_ns):  # messages may be late: the clock closer to the time stamp is right
            self._agreed_s = self._monotonic()
        return abs(wall_ns - now_ns) < FOLLOW_NS

    def tick(self) -> None:
        """Follow the wall clock where it agrees, and judge which clock is right where it has disagreed for long."""
        if self._monotonic is None:
            return
        now_ns, now_s = self.now_ns(), self._monotonic()
        if abs(self._wall_ns() - self._set_ns - now_ns) < FOLLOW_NS:
            self._set_ns = 0  # the wall clock was set right again
        wall_ns = self._wall_ns()
        if abs(wall_ns - now_ns) < FOLLOW_NS:
            self._anchor(max(wall_ns, now_ns))
        elif self._apart_s < 0.0:
            self._apart_s = self._agreed_s = now_s
        elif now_s - self._apart_s >= BELIEVE_S:
            if self._agreed_s > now_s - _LATELY_S:  # the first messages after a jump may have waited in the socket
                self._set_ns += now_ns - wall_ns
            self._anchor(self._wall_ns())

    def offset_ms(self) -> float:
        """How far this machine's clock, corrected by the last measurement, is from the venue's time."""
        return (self._wall_ns() - self.now_ns()) / 1e6

    def _anchor(self, at_ns: int) -> None:
        """Carry time on from *at_ns*; if that lies behind, time stands still until it is reached again."""
        assert self._monotonic is not None
        self._floor_ns = self.now_ns()
        self._base_ns, self._base_s, self._apart_s, self._agreed_s = at_ns, self._monotonic(), -1.0, -1.0

    def _wall_ns(self) -> int:
        """The wall clock, corrected by the measured offset and by later changes of the host's clock."""
        return self._wall() + int(self._offset() * 1e6) + self._set_ns
