"""Probabilistic and deflated Sharpe ratios against the numbers printed in the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.sharpe import (
    SharpeVariance,
    deflate,
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
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


@pytest.mark.parametrize(("a_year", "skew", "kurtosis", "years"), [
    (252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99),
])
def test_minimum_track_record_of_the_published_examples(
    a_year: int, skew: float, kurtosis: float, years: float
) -> None:
    """An annual ratio of 2 against 1 at 95 %: 2.73 years of days, 2.83 of weeks, 3.24 of months; 4.99 for hedge funds.

    Bailey and Lopez de Prado (2012), section "Minimum track record length".
    """
    root = math.sqrt(a_year)
    found = minimum_track_record(2.0 / root, 1.0 / root, skew, kurtosis)
    assert found / a_year == pytest.approx(years, abs=5.1e-3)


def test_the_convention_under_the_null_gives_the_other_published_values() -> None:
    """PSR 0.987 against 0 and 0.939 against 0.1, 13.029 months: Lopez de Prado, Lipton, Zoonekynd (2025).

    24 months with mean 3.6 %, deviation 7.9 %, skew -2.448 and kurtosis 10.164, from the paper's functions.py.
    """
    ratio, shape = 0.036 / 0.079, (-2.448, 10.164)
    null = SharpeVariance.NULL
    assert probabilistic_sharpe(ratio, 0.0, 24, *shape, variance_at=null) == pytest.approx(0.987, abs=5.1e-4)
    assert probabilistic_sharpe(ratio, 0.1, 24, *shape, variance_at=null) == pytest.approx(0.939, abs=5.1e-4)
    assert minimum_track_record(ratio, 0.0, *shape, variance_at=null) == pytest.approx(13.029, abs=5.1e-4)


def test_our_convention_is_the_more_careful_one_with_bad_tails() -> None:
    """The same returns: 0.913 instead of 0.987, and three years of months instead of one."""
    ratio, shape = 0.036 / 0.079, (-2.448, 10.164)
    assert probabilistic_sharpe(ratio, 0.0, 24, *shape) == pytest.approx(0.913, abs=2e-3)
    assert minimum_track_record(ratio, 0.0, *shape) == pytest.approx(34.5, abs=0.5)


def test_excess_kurtosis_is_not_what_is_asked_for() -> None:
    """A kurtosis of 0, the excess of a normal law, would claim more certainty than 3.0 does."""
    assert probabilistic_sharpe(0.458, 0.0, 24, 0.0, 0.0) > probabilistic_sharpe(0.458, 0.0, 24, 0.0, 3.0)


@given(st.floats(0.01, 0.5), st.floats(-0.1, 0.3), st.floats(-1.0, 1.0), st.floats(2.5, 12.0))
def test_the_minimum_track_record_is_where_the_probability_is_reached(
    sharpe: float, benchmark: float, skew: float, kurtosis: float
) -> None:
    """PSR of that many observations is 95 %, in both conventions; none is enough at or below the benchmark."""
    for convention in SharpeVariance:
        needed = minimum_track_record(sharpe, benchmark, skew, kurtosis, variance_at=convention)
        if sharpe <= benchmark:
            assert needed == math.inf or math.isnan(needed)
        elif needed >= 10.0:
            found = probabilistic_sharpe(sharpe, benchmark, needed, skew, kurtosis, variance_at=convention)
            assert found == pytest.approx(0.95)


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
