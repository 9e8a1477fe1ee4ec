"""How sure one may be of the pilot: what its decisions were worth, whatever its network says of itself."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.pilot_confidence import OUTCOME_SUMS, WALK_FORWARD_WEIGHT, PilotConfidence

BAR = NS_PER_HOUR // 2
FIRST = 1_700_006_400_000_000_000
SYMBOLS = ("ONEUSDT", "TWOUSDT")
CHEAP, FREE = np.full(2, 0.5), np.zeros(2)  # a round trip in basis points, funding


def learned(skill: float, bars: int = 3_000, outcomes: tuple[float, ...] = (), seed: int = 2) -> PilotConfidence:
    """The confidence after decisions of which a share of (1 + *skill*) / 2 points where the next bar goes."""
    random = np.random.default_rng(seed)
    moves = random.normal(0.0, 0.004, (bars, 2))
    right = np.where(random.random((bars, 2)) < 0.5 + skill / 2.0, 1.0, -1.0)
    closes = 100.0 * np.exp(np.cumsum(moves, axis=0))
    made = PilotConfidence(SYMBOLS, BAR, BAR, 12 * NS_PER_HOUR, outcomes)
    here = np.ones(2, dtype=bool)
    for at in range(bars - 1):
        close = closes[at]
        ohlcv = np.stack([close, close * 1.001, close * 0.999, close, np.full(2, 1e3)], axis=1)
        made.learn(MarketBatch(FIRST + at * BAR, BAR, ohlcv, here))
        made.of(0.2 * np.sign(moves[at + 1]) * right[at], here, CHEAP, FREE)
    return made


def first_bar() -> MarketBatch:
    """One bar, which tells of no outcome."""
    return MarketBatch(FIRST, BAR, np.full((2, 5), 100.0), np.ones(2, dtype=bool))


def of_large(confidence: PilotConfidence) -> float:
    """The confidence of a long of a fifth of the equity."""
    return float(confidence.of(np.array([0.2, np.nan]), np.ones(2, dtype=bool), CHEAP, FREE)[0])


def test_it_rises_where_decisions_are_right_and_falls_where_they_are_wrong() -> None:
    """Right in 70 of 100 bars: above 0.6. Wrong in 60: below what nothing is known of."""
    unknown = of_large(learned(0.0, bars=200))
    assert of_large(learned(0.4)) > 0.6
    assert of_large(learned(-0.2)) < min(0.01, unknown)
    assert of_large(learned(0.0)) < 0.6


def test_wanting_nothing_and_deciding_nothing_have_no_confidence() -> None:
    """0.0 for a share of zero and for no decision."""
    made = learned(0.2)
    assert made.of(np.array([0.0, np.nan]), np.ones(2, dtype=bool), CHEAP, FREE).tolist() == [0.0, 0.0]


def test_outcomes_of_the_walk_forward_count_half() -> None:
    """All sums of what a trained pilot brings are halved, and decisions of this system add to them in full."""
    sums = learned(0.2).outcomes
    assert len(sums) == OUTCOME_SUMS
    fresh = PilotConfidence(SYMBOLS, BAR, BAR, 12 * NS_PER_HOUR, sums)
    fresh.learn(first_bar())
    assert fresh.outcomes == pytest.approx([WALK_FORWARD_WEIGHT * one for one in sums])
    both = learned(0.2, outcomes=sums, seed=3).outcomes
    alone = learned(0.2, seed=3).outcomes
    assert both == pytest.approx([one + 0.5 * other for one, other in zip(alone, sums, strict=True)])


def test_a_replay_over_the_bars_of_a_walk_forward_does_not_know_its_outcomes() -> None:
    """They count only where the first bar is later than the last one that they are of, also after a restart."""
    sums = learned(0.2).outcomes
    before = PilotConfidence(SYMBOLS, BAR, BAR, 12 * NS_PER_HOUR, sums, FIRST + 1)
    before.learn(first_bar())
    assert before.outcomes == (0.0,) * OUTCOME_SUMS
    after = PilotConfidence(SYMBOLS, BAR, BAR, 12 * NS_PER_HOUR, sums, FIRST)
    after.learn(first_bar())
    assert after.outcomes[0] > 0.0
    again = PilotConfidence(SYMBOLS, BAR, BAR, 12 * NS_PER_HOUR, sums, FIRST)
    again.load_state(after.state())
    again.learn(MarketBatch(FIRST + BAR, BAR, np.full((2, 5), 100.0), np.ones(2, dtype=bool)))
    assert again.outcomes == after.outcomes


def test_an_artefact_with_other_sums_is_refused() -> None:
    """Their number is stated in the error."""
    with pytest.raises(InputError, match=r"card\.outcomes"):
        PilotConfidence(SYMBOLS, BAR, BAR, 12 * NS_PER_HOUR, (1.0, 2.0))


def test_it_goes_on_after_a_restart() -> None:
    """To the bit."""
    first = learned(0.2, bars=400)
    second = PilotConfidence(SYMBOLS, BAR, BAR, 12 * NS_PER_HOUR)
    second.load_state(first.state())
    assert of_large(second) == of_large(first)
