"""A pilot that is slow, stuck or broken holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from quantum_trader.live.pilot_limit import TimeLimitedPilot
from quantum_trader.pilot.predictor import Predictions


class Slow:
    """Answers when it is let go."""

    identity, name, length_ns, horizon_ns, stop_atr, trained_until_ns = "slow", "slow", 60, 600, 3.0, 0
    outcomes: tuple[float, ...] = ()
    outcomes_until_ns = 0
    range_ratios = np.ones(1)

    def __init__(self) -> None:
        self.go = threading.Event()
        self.error: Exception | None = None
        self.asked = 0

    def observe(self, *arguments: Any) -> None:
        """Look."""
        self.take(*arguments)

    def take(self, *arguments: Any) -> Predictions:
        """Wait, then answer."""
        self.asked += 1
        self.go.wait(10.0)
        if self.error is not None:
            raise self.error
        return Predictions(60, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 6)))

    def state(self) -> dict[str, Any]:
        """Something."""
        return {"asked": self.asked}

    def load_state(self, state: Any) -> None:
        """Continue."""
        self.asked = state["asked"]


@pytest.fixture
def pair() -> Iterator[tuple[Slow, TimeLimitedPilot]]:
    """A slow pilot behind a limit of 50 ms."""
    slow = Slow()
    limited = TimeLimitedPilot(slow, 0.05)
    yield slow, limited
    slow.go.set()
    limited.close()


def ask(pilot: TimeLimitedPilot) -> Predictions:
    """One question."""
    found: Predictions = pilot.take(0, None, None, None, None)
    return found


def test_an_answer_in_time_is_the_pilots(pair: tuple[Slow, TimeLimitedPilot]) -> None:
    """It comes through as it is."""
    slow, limited = pair
    slow.go.set()
    assert ask(limited).closed_ns == 60
    assert limited.state() == {"asked": 1}


def test_a_late_answer_is_an_error_and_the_next_question_does_not_wait(pair: tuple[Slow, TimeLimitedPilot]) -> None:
    """The first question costs the limit; while it is stuck no other one costs anything; then it answers again."""
    slow, limited = pair
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        ask(limited)
    assert time.monotonic() - started < 2.0
    for _ in range(3):
        with pytest.raises(TimeoutError, match="earlier question"):
            ask(limited)
    assert slow.asked == 1
    assert limited.state() == {}
    slow.go.set()
    deadline = time.monotonic() + 5.0
    while limited._late is not None and not limited._late.done() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ask(limited).closed_ns == 60


def test_an_error_of_the_pilot_is_raised_as_it_is(pair: tuple[Slow, TimeLimitedPilot]) -> None:
    """Also one that looks like a late answer: it was not late."""
    slow, limited = pair
    slow.go.set()
    for error in (ValueError("broken"), TimeoutError("its own")):
        slow.error = error
        with pytest.raises(type(error), match=str(error)):
            ask(limited)
    slow.error = None
    assert ask(limited).closed_ns == 60


def test_a_pilot_that_was_busy_at_a_checkpoint_begins_anew(pair: tuple[Slow, TimeLimitedPilot]) -> None:
    """An empty state loads as none."""
    slow, limited = pair
    slow.asked = 7
    limited.load_state({})
    assert slow.asked == 7
    limited.load_state({"asked": 2})
    assert slow.asked == 2
