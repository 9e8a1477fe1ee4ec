"""Which clock is right where they disagree: the venue's word settles it, and nothing else moves time."""

from __future__ import annotations

import pytest

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.live.clock import LiveClock


class Clocks:
    """A live clock, the true time, and what is wrong with it here."""

    def __init__(self) -> None:
        self.true_ns, self.loop_s, self.wall_ns, self.offset_ms = 10**15, 0.0, 0, 0.0
        self.clock = LiveClock(lambda: self.true_ns + self.wall_ns, lambda: self.offset_ms)

    def go(self, seconds: int, word_ns: int) -> Clocks:
        """Let time pass; each second the venue's word comes *word_ns* late, and the clock ticks."""
        for _ in range(seconds):
            self.true_ns += NS_PER_SECOND
            self.loop_s += 1.0
            self.clock.heard(self.true_ns - word_ns)
            self.clock.tick()
        return self

    @property
    def error_s(self) -> float:
        """How far the clock is off."""
        return (self.clock.now_ns() - self.true_ns) / 1e9


@pytest.mark.parametrize(("behind_ms", "late_ms"), [(600.0, 0), (0.0, 600), (600.0, 600), (0.0, 100)])
def test_a_wall_clock_an_hour_wrong_is_not_believed_against_the_venue(behind_ms: float, late_ms: int) -> None:
    """Whatever else is a little wrong: the first measurement, or words that come late."""
    here = Clocks()
    here.offset_ms = -behind_ms
    here.clock.start(lambda: here.loop_s)
    here.go(30, late_ms * 1_000_000)
    here.wall_ns = 3600 * NS_PER_SECOND
    here.go(200, late_ms * 1_000_000)
    assert abs(here.error_s) < 1.5


def test_old_words_after_a_sleep_are_not_the_time() -> None:
    """A message from the middle of the sleep comes first: nobody can say what time it is until a fresh one came."""
    here = Clocks()
    here.clock.start(lambda: here.loop_s)
    here.go(10, 100_000_000)
    here.true_ns += 3600 * NS_PER_SECOND
    assert not here.clock.heard(here.true_ns - 1800 * NS_PER_SECOND)
    assert abs(here.clock.offset_ms()) > 500.0
    here.clock.heard(here.true_ns - 100_000_000)
    assert abs(here.error_s) < 1.0
