"""The venue's time, as well as we know it, on a clock that no jump of ours can move.

Between two measurements time is carried on by the loop's monotonic clock. The wall clock is followed only while both
agree: one that jumps shows as an offset, which is a matter of health, and changes no time that anything is decided on.
Moments that the venue itself names say which of the two is right: the machine slept, or its clock was set. Time never
goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FOLLOW_NS: Final = 500_000_000
FOLLOW_MS: Final = FOLLOW_NS / 1e6
BELIEVE_S: Final = 60.0  # whoever is contradicted for so long is wrong
_WORD_NS: Final = 5_000_000_000  # a moment named as just past is no older
_LATELY_S: Final = 10.0
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
        self._floor_ns = 0  # time was here already
        self._set_ns = 0  # how far our wall clock was set off, by the venue's word
        self._apart_s = -1.0  # since when the wall clock disagrees, on the monotonic clock
        self._agreed_s = -1.0  # when the venue last named a moment that agrees with the time carried on, since then

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
        return max(self._floor_ns, self._base_ns + int((self._monotonic() - self._base_s) * _NS))

    def heard(self, ts_ns: int) -> bool:
        """Take a moment that the venue names as just past; False while nobody can say what time it is.

        One that lies ahead, as the wall clock does, means that this machine slept: time goes on from there at once, by
        the wall clock where that is near what the venue says, else by the venue's word.
        """
        if self._monotonic is None:
            return True
        now_ns, told = self.now_ns(), self._told()
        if self._set_ns == 0 and abs(told - now_ns) < FOLLOW_NS:
            return True
        ahead_ns, wall_ns = ts_ns - now_ns, told - self._set_ns
        if FOLLOW_NS <= ahead_ns < wall_ns - now_ns + FOLLOW_NS:
            self._set_ns = 0
            self._anchor(wall_ns if wall_ns - ts_ns < _WORD_NS else ts_ns)
            return False
        if abs(ahead_ns) < abs(ts_ns - wall_ns):  # a word may come late: it bears out what it is nearer to
            self._agreed_s = self._monotonic()
        return abs(told - now_ns) < FOLLOW_NS

    def tick(self) -> None:
        """Follow the wall clock where it still agrees, and settle who is right where it has disagreed for long."""
        if self._monotonic is None:
            return
        now_ns, now_s = self.now_ns(), self._monotonic()
        if abs(self._told() - self._set_ns - now_ns) < FOLLOW_NS:
            self._set_ns = 0  # our wall clock was set right again
        told = self._told()
        if abs(told - now_ns) < FOLLOW_NS:
            self._anchor(max(told, now_ns))
        elif self._apart_s < 0.0:
            self._apart_s = self._agreed_s = now_s
        elif now_s - self._apart_s >= BELIEVE_S:
            if self._agreed_s > now_s - _LATELY_S:  # what the venue said in the first moments may have waited for us
                self._set_ns += now_ns - told
            self._anchor(self._told())

    def offset_ms(self) -> float:
        """How far our wall clock, set right by the last measurement, is from the venue's time."""
        return (self._told() - self.now_ns()) / 1e6

    def _anchor(self, at_ns: int) -> None:
        """Carry time on from *at_ns*; where that lies behind, it stands still until it is reached again."""
        assert self._monotonic is not None
        self._floor_ns = self.now_ns()
        self._base_ns, self._base_s, self._apart_s, self._agreed_s = at_ns, self._monotonic(), -1.0, -1.0

    def _told(self) -> int:
        return self._wall() + int(self._offset() * 1e6) + self._set_ns
