"""Probabilistic and deflated Sharpe ratios against the numbers printed in the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.sharpe import (
    deflate,
    deflated_sharpe,
    expected_best_sharpe,
    moments,
    probabilistic_sharpe,
)

# Bailey and Lopez de Prado (2014): 5 years of 250 days, annual ratio 2.5, variance of annual ratios 1/2, 100 trials.
DAILY_SHARPE = 2.5 / math.sqrt(250.0)
DAILY_VARIANCE = 0.5 / 250.0


def test_expected_best_of_a_hundred_trials_is_the_published_one() -> None:
    """0.1132 a day, as printed in the paper's example."""
    assert expected_best_sharpe(DAILY_VARIANCE, 100) == pytest.approx(0.1132, abs=5e-5)


def test_deflated_ratio_of_the_published_example() -> None:
    """0.9004 for skew -3 and kurtosis 10 after 100 trials."""
    assert deflated_sharpe(DAILY_SHARPE, 1250, -3.0, 10.0, DAILY_VARIANCE, 100) == pytest.approx(0.9004, abs=5e-5)


def test_fewer_trials_deflate_less() -> None:
    """0.9505 after 46 trials, the paper's second figure; 88 trials with normal returns give the same confidence."""
    assert deflated_sharpe(DAILY_SHARPE, 1250, -3.0, 10.0, DAILY_VARIANCE, 46) == pytest.approx(0.9505, abs=5e-4)
    assert deflated_sharpe(DAILY_SHARPE, 1250, 0.0, 3.0, DAILY_VARIANCE, 88) == pytest.approx(0.9505, abs=1e-3)


@pytest.mark.parametrize(("skew", "kurtosis", "expected"), [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)])
def test_probabilistic_ratio_of_the_published_example(skew: float, kurtosis: float, expected: float) -> None:
    """Two years of months with ratio 0.458: 0.982 if they were normal, 0.913 with their skew and kurtosis (2012)."""
    assert probabilistic_sharpe(0.458, 0.0, 24, skew, kurtosis) == pytest.approx(expected, abs=1e-3)


def test_moments_of_known_returns() -> None:
    """Mean 2, sample deviation sqrt(2.5), no skew, kurtosis 1.7 for 0..4."""
    found = moments(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    assert (found.count, found.mean, found.skew) == (5, 2.0, 0.0)
    assert found.deviation == pytest.approx(math.sqrt(2.5))
    assert found.kurtosis == pytest.approx(1.7)
    assert found.sharpe == pytest.approx(2.0 / math.sqrt(2.5))


def test_returns_that_do_not_vary_have_no_ratio() -> None:
    """0.0, not infinity: a setting that never traded is no discovery."""
    assert moments(np.zeros(30)).sharpe == 0.0
    assert moments(np.array([0.01])).sharpe == 0.0


def test_too_few_observations_give_no_probability() -> None:
    """NaN below ten observations."""
    assert math.isnan(probabilistic_sharpe(0.2, 0.0, 9))


def test_a_return_that_is_not_finite_is_refused() -> None:
    """InputError naming the returns."""
    with pytest.raises(InputError, match="returns"):
        moments(np.array([0.1, math.nan]))


def test_pure_chance_is_seen_as_chance() -> None:
    """The best of 200 random settings looks good alone and unremarkable once deflated."""
    daily = np.random.default_rng(7).normal(0.0, 0.01, (200, 500))
    found = [moments(row) for row in daily]
    best = max(found, key=lambda one: one.sharpe)
    judged = deflate(best, np.array([one.sharpe for one in found]))
    assert judged.trials == 200
    assert judged.above_zero > 0.99
    assert judged.probability < 0.9
    assert judged.expected_best == pytest.approx(judged.sharpe, rel=0.35)
