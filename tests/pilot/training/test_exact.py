"""The markets that are known exactly: the best policy is the best, and profits are those of a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.pilot.training.learnability.exact import (
    POSITIONS,
    Places,
    best_policy,
    leaked_market,
    mean_profit,
    mean_reverting_market,
    one_bar_policy,
)
from quantum_trader.pilot.training.learnability.plan import ONE_BAR_AT_MOST_PCT, PHI, REVERTING_COST, SIGMA, WALK_COST

FLAT, LONG_LARGE, SHORT_LARGE = 0, 2, 4


def always(place: int, levels: int) -> Places:
    """The policy that always wants one position."""
    return np.full((levels, len(POSITIONS)), place, dtype=np.intp)


def test_without_a_position_nothing_is_earned() -> None:
    """0 for the policy that is always flat; holding earns nothing on average in a market that returns to its mean."""
    market = mean_reverting_market(PHI, SIGMA, REVERTING_COST)

    assert mean_profit(market, always(FLAT, len(market.seen))) == 0.0
    assert mean_profit(market, always(LONG_LARGE, len(market.seen))) == pytest.approx(0.0, abs=1e-8)


def test_looking_one_bar_ahead_is_not_enough() -> None:
    """The one-bar policy makes less than half of the best one's profit: else the exam would prove nothing."""
    market = mean_reverting_market(PHI, SIGMA, REVERTING_COST)

    share = mean_profit(market, one_bar_policy(market)) / mean_profit(market, best_policy(market))

    assert 0.1 < share <= ONE_BAR_AT_MOST_PCT / 100.0


def test_the_best_policy_is_better_than_bands_of_any_width() -> None:
    """Go short above a level and long below its negative, for sixteen levels: none is better, and one is as good."""
    market = mean_reverting_market(PHI, SIGMA, REVERTING_COST)
    best = mean_profit(market, best_policy(market))

    bands = []
    for edge in np.linspace(0.0, 3.0, 16):
        policy = np.tile(np.arange(len(POSITIONS)), (len(market.seen), 1))
        policy[market.seen > edge], policy[market.seen < -edge] = SHORT_LARGE, LONG_LARGE
        bands.append(mean_profit(market, policy))

    assert max(bands) <= best * (1.0 + 1e-6)
    assert max(bands) > 0.99 * best


def test_full_knowledge_at_no_cost_earns_the_mean_absolute_return() -> None:
    """With correlation 1 and no cost: 0.2 of the equity times 0.7979 standard deviations."""
    market = leaked_market(1.0, SIGMA, 0.0)

    assert mean_profit(market, best_policy(market)) == pytest.approx(0.2 * SIGMA * np.sqrt(2.0 / np.pi), rel=1e-3)


def test_no_knowledge_is_worth_nothing() -> None:
    """With correlation 0 the best profit is 0: trading only costs."""
    market = leaked_market(0.0, SIGMA, WALK_COST)

    assert mean_profit(market, best_policy(market)) == 0.0


def test_a_finer_grid_gives_the_same_profit() -> None:
    """Within 0.2 %: the grid is fine enough for percentages of a tenth."""
    coarse, fine = (mean_reverting_market(PHI, SIGMA, REVERTING_COST, levels) for levels in (301, 601))

    assert mean_profit(coarse, best_policy(coarse)) == pytest.approx(mean_profit(fine, best_policy(fine)), rel=2e-3)
