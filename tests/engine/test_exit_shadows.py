"""One entry under two exit modes: what each would have earned."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.domain.enums import EXIT_FAST_TP, EXIT_TREND_FOLLOW
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.exit_shadows import CAPACITY, ExitShadows

HOUR = 3_600_000_000_000
ROW = (1.5, 3.0, 0.5, 2.0, 36.0)  # stop, target, break-even, trail, hours
FREE = np.zeros(1)


def pairs() -> ExitShadows:
    """One symbol, no costs, a fine tick."""
    return ExitShadows(HOUR, [0.0], [0.001], 0.0, range_slippage_bps=0.0)


def run(shadows: ExitShadows, bars: list[tuple[float, float, float, float]]) -> list[tuple[int, float, float]]:
    """Take *shadows* through hourly bars of (open, high, low, close)."""
    ended = []
    for number, bar in enumerate(bars):
        batch = MarketBatch(number * HOUR, HOUR, np.array([[*bar, 1.0]]), np.array([True]))
        ended += shadows.on_bar(batch, FREE)
    return ended


def test_a_reached_target_is_taken_by_one_mode_and_trailed_by_the_other() -> None:
    """Up 3 ATR, back to 1 ATR above: FAST_TP takes 2 R; TREND_FOLLOW is stopped 2 ATR below the high, at 0.67 R."""
    shadows = pairs()
    assert shadows.open(0, 7, 1, 1.0, ROW, EXIT_TREND_FOLLOW, EXIT_FAST_TP)
    ended = run(shadows, [(100.0, 100.2, 99.9, 100.0), (100.0, 103.0, 99.9, 103.0), (103.0, 103.0, 100.5, 101.0)])
    assert ended == [(7, pytest.approx(1.0 / 1.5, abs=1e-3), pytest.approx(2.0, abs=1e-3))]


def test_a_straight_loss_is_the_same_under_both() -> None:
    """A short that runs 1.5 ATR against its entry loses 1 R in either mode."""
    shadows = pairs()
    assert shadows.open(0, 1, -1, 1.0, ROW, EXIT_TREND_FOLLOW, EXIT_FAST_TP)
    ended = run(shadows, [(100.0, 102.0, 100.0, 102.0)])
    assert ended == [(1, pytest.approx(-1.0), pytest.approx(-1.0))]


def test_after_a_day_both_end_at_the_close() -> None:
    """Nothing reached in 24 hourly bars: the result is where the last closed."""
    shadows = pairs()
    assert shadows.open(0, 1, 1, 1.0, ROW, EXIT_TREND_FOLLOW, EXIT_FAST_TP)
    ended = run(shadows, [(100.0, 100.1, 99.9, 100.1)] * 24)
    assert len(ended) == 1
    assert ended[0][1] == ended[0][2] == pytest.approx(0.1 / 1.5, abs=1e-9)


def test_saved_pairs_continue() -> None:
    """State put back gives the same end."""
    first, second = pairs(), pairs()
    first.open(0, 3, 1, 1.0, ROW, EXIT_TREND_FOLLOW, EXIT_FAST_TP)
    run(first, [(100.0, 100.2, 99.9, 100.0)])
    second.load_state(first.state())
    rest = [(100.0, 103.0, 99.9, 103.0), (103.0, 103.0, 100.5, 101.0)]
    assert run(first, rest) == run(second, rest)


def test_no_room_is_said_and_a_hole_drops_a_symbols_pairs() -> None:
    """The pair over the capacity is refused; a hole gives back the signals that will never end."""
    shadows = pairs()
    assert all(shadows.open(0, seq, 1, 1.0, ROW, EXIT_TREND_FOLLOW, EXIT_FAST_TP) for seq in range(CAPACITY))
    assert not shadows.open(0, CAPACITY, 1, 1.0, ROW, EXIT_TREND_FOLLOW, EXIT_FAST_TP)
    assert shadows.drop(0) == list(range(CAPACITY))
    assert run(shadows, [(100.0, 110.0, 90.0, 100.0)]) == []
