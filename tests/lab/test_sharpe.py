"""Probabilistic and deflated Sharpe ratios against printed numbers, and against the tests of other libraries.

Each test says which: a number that a paper prints, one that another library's tests or snapshots hold, or one that is
computed here from a paper's formula.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.sharpe import (
    Moments,
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
    """0.1132 a day, as the paper prints in its numerical example."""
    assert expected_best_sharpe(DAILY_VARIANCE, 100) == pytest.approx(0.1132, abs=5e-5)


def test_deflated_ratio_of_the_published_example() -> None:
    """0.9004 for skew -3 and kurtosis 10 after 100 trials, as the paper prints."""
    assert deflated_sharpe(DAILY_SHARPE, 1250, -3.0, 10.0, DAILY_VARIANCE, 100) == pytest.approx(0.9004, abs=5e-5)


def test_fewer_trials_deflate_less() -> None:
    """0.9505 after 46 trials, as the paper prints; with normal returns it prints 0.9505 after 88 trials."""
    assert deflated_sharpe(DAILY_SHARPE, 1250, -3.0, 10.0, DAILY_VARIANCE, 46) == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe(DAILY_SHARPE, 1250, 0.0, 3.0, DAILY_VARIANCE, 88) == pytest.approx(0.9505, abs=5e-5)


def test_the_variance_over_trials_has_n_less_one_and_in_mlfinlab_n() -> None:
    """0.95836 in mlfinlab's test_deflated_sharpe_ratio, by numpy's deviation over n; ours over n - 1 gives 0.1524.

    Ratio 1.14 of 250 normal returns, the best of three trials with 3.5, 1.01 and 1.02. Of so few trials the convention
    decides. The paper takes the variance as known; that of a sample over n is too low on average, so n - 1 is ours.
    """
    tried = np.array([3.5, 1.01, 1.02])
    assert deflated_sharpe(1.14, 250, 0.0, 3.0, float(tried.var(ddof=0)), 3) == pytest.approx(0.95836, abs=1e-5)
    best = Moments(count=250, mean=1.14, deviation=1.0, skew=0.0, kurtosis=3.0, sharpe=1.14)
    assert deflate(best, tried).probability == pytest.approx(0.15238, abs=1e-5)


@pytest.mark.parametrize(("skew", "kurtosis", "expected"), [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)])
def test_probabilistic_ratio_of_the_published_example(skew: float, kurtosis: float, expected: float) -> None:
    """Two years of months with ratio 0.458: 0.982 if they were normal, 0.913 with their skew and kurtosis.

    Printed by Bailey and Lopez de Prado (2012); also in the tests of rubenbriones/Probabilistic-Sharpe-Ratio.
    """
    assert probabilistic_sharpe(0.458, 0.0, 24, skew, kurtosis) == pytest.approx(expected, abs=5.1e-4)


def test_probabilistic_ratio_of_another_library() -> None:
    """0.95727 for a ratio of 1.14 against 1 over 250 normal returns: mlfinlab's test_probabalistic_sharpe_ratio."""
    assert probabilistic_sharpe(1.14, 1.0, 250) == pytest.approx(0.95727, abs=1e-5)


@pytest.mark.parametrize(("a_year", "skew", "kurtosis", "years"), [
    (252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99),
])
def test_minimum_track_record_of_the_published_examples(
    a_year: int, skew: float, kurtosis: float, years: float
) -> None:
    """An annual ratio of 2 against 1 at 95 %: 2.73 years of days, 2.83 of weeks, 3.24 of months; 4.99 for hedge funds.

    Printed by Bailey and Lopez de Prado (2012), for normal returns and for months with skew -0.72 and kurtosis 5.78.
    """
    root = math.sqrt(a_year)
    found = minimum_track_record(2.0 / root, 1.0 / root, skew, kurtosis)
    assert found / a_year == pytest.approx(years, abs=5.1e-3)


@pytest.mark.parametrize(("sharpe", "skew", "kurtosis", "years"), [
    (0.7079, -0.2250, 2.9570, 0.7152), (0.8183, -1.4455, 7.0497, 1.1593),
])
def test_minimum_track_record_of_monthly_indices(sharpe: float, skew: float, kurtosis: float, years: float) -> None:
    """Against 0 at 95 %: two indices of the paper's tables, as the tests of rubenbriones' repository have them."""
    assert minimum_track_record(sharpe, 0.0, skew, kurtosis) / 12.0 == pytest.approx(years, abs=5.1e-5)


def test_minimum_track_record_of_other_libraries() -> None:
    """228.73497 returns in mlfinlab's tests; 52.3736 months in PerformanceAnalytics' snapshot of MinTrackRecord.

    The last has skew -0.72 and, although kurtosis 5.78 is given, the kurtosis 3 of a normal law: R's function leaves
    kurtosis out by default, because it is estimated poorly from short records. Ours takes it in: 59.9 months.
    """
    assert minimum_track_record(1.14, 1.0) == pytest.approx(228.73497, abs=1.1e-5)
    two, one = 2.0 / math.sqrt(12.0), 1.0 / math.sqrt(12.0)
    assert minimum_track_record(two, one, -0.72, 3.0) == pytest.approx(52.3736, abs=1.1e-4)
    assert minimum_track_record(two, one, -0.72, 5.78) == pytest.approx(4.99 * 12.0, abs=0.06)


def test_the_convention_under_the_null_gives_the_other_published_values() -> None:
    """PSR 0.987 against 0 and 0.939 against 0.1, 13.029 months: Lopez de Prado, Lipton, Zoonekynd (2025).

    24 months with mean 3.6 %, deviation 7.9 %, skew -2.448 and kurtosis 10.164: the asserts of functions.py in the
    paper's repository, zoonek/2025-sharpe-ratio.
    """
    ratio, shape = 0.036 / 0.079, (-2.448, 10.164)
    null = SharpeVariance.NULL
    assert probabilistic_sharpe(ratio, 0.0, 24, *shape, variance_at=null) == pytest.approx(0.987, abs=5.1e-4)
    assert probabilistic_sharpe(ratio, 0.1, 24, *shape, variance_at=null) == pytest.approx(0.939, abs=5.1e-4)
    assert minimum_track_record(ratio, 0.0, *shape, variance_at=null) == pytest.approx(13.029, abs=5.1e-4)


def test_our_convention_is_the_more_careful_one_with_bad_tails() -> None:
    """The same returns: 0.913 instead of 0.987, 34.8 months instead of 13; computed here from the formula of 2012."""
    ratio, shape = 0.036 / 0.079, (-2.448, 10.164)
    assert probabilistic_sharpe(ratio, 0.0, 24, *shape) == pytest.approx(0.9127, abs=5.1e-5)
    assert minimum_track_record(ratio, 0.0, *shape) == pytest.approx(34.761, abs=5.1e-4)


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


def test_the_ratio_has_n_less_one_and_skew_and_kurtosis_have_n() -> None:
    """scipy's defaults for skew and kurtosis (not excess); its unbiased estimates (bias=False) are further from 0."""
    stats = pytest.importorskip("scipy.stats")
    returns = np.random.default_rng(2).lognormal(0.0, 0.5, 40)
    found = moments(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skew == pytest.approx(stats.skew(returns))
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))
    assert found.skew < stats.skew(returns, bias=False)
    assert found.kurtosis < stats.kurtosis(returns, fisher=False, bias=False)


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
