"""Drift: PSI and KS against published tables and scipy; limits that neither alarm on noise nor miss a drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.drift import (
    binned,
    chi_square_quantile,
    chi_square_tail,
    drift_of,
    drift_table,
    independent_size,
    kolmogorov_tail,
    ks_limit,
    ks_statistic,
    psi_limit,
    stability_index,
)

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")


@pytest.mark.parametrize(("probability", "freedom", "expected"), [
    (0.95, 1, 3.841), (0.95, 9, 16.919), (0.99, 9, 21.666), (0.95, 19, 30.144), (0.999, 4, 18.467),
])
def test_chi_square_quantiles_of_the_published_table(probability: float, freedom: int, expected: float) -> None:
    """Table of the chi-square distribution (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4)."""
    assert chi_square_quantile(probability, freedom) == pytest.approx(expected, abs=5.1e-4)


@given(st.floats(1e-3, 300.0), st.integers(1, 100))
def test_the_chi_square_tail_agrees_with_scipy(value: float, freedom: int) -> None:
    """Also far out in the tail."""
    assert chi_square_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("value", "expected"), [(1.2238, 0.10), (1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001)])
def test_kolmogorovs_law_has_the_published_critical_values(value: float, expected: float) -> None:
    """Smirnov (1948), table for estimating the goodness of fit; also Massey (JASA 46, 1951): 1.36 at 5 %."""
    assert kolmogorov_tail(value) == pytest.approx(expected, rel=5e-4)


@given(st.floats(0.0, 5.0))
def test_kolmogorovs_law_agrees_with_scipy(value: float) -> None:
    """Both forms of the series."""
    assert kolmogorov_tail(value) == pytest.approx(special.kolmogorov(value), abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_the_distance_agrees_with_scipy(seed: int) -> None:
    """Ties included."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0, 1, int(rng.integers(1, 60))).round(1), rng.normal(0.3, 1, 40).round(1)
    assert ks_statistic(first, second) == pytest.approx(stats.ks_2samp(first, second).statistic)


def test_the_index_by_hand() -> None:
    """Shares 20, 80 against 80, 20: 2 * 0.6 * ln 4 = 1.664, up to the half sample in each bin."""
    assert stability_index(np.array([20, 80]) * 10_000, np.array([80, 20]) * 10_000) == pytest.approx(
        1.2 * math.log(4.0), rel=1e-4
    )
    assert stability_index(np.array([50, 50]), np.array([50, 50])) == 0.0


def test_the_limit_of_the_published_example() -> None:
    """Ten bins, 100 samples each at 5 %: chi-square 16.919 times 2/100 = 0.338, Yurdakul's critical value."""
    assert psi_limit(10, 100, 100, 0.05) == pytest.approx(0.338, abs=5e-4)


def test_a_fixed_tenth_alarms_on_noise_at_200_and_sleeps_at_10_000() -> None:
    """At 200 samples each, noise exceeds 0.1 in a third of the looks; at 10,000 the limit is a thirtieth of it."""
    rng = np.random.default_rng(5)
    above = 0
    for _ in range(400):
        expected, actual = binned(rng.normal(size=200), rng.normal(size=200))
        above += stability_index(expected, actual) > 0.1
    assert 0.25 < above / 400 < 0.45
    assert psi_limit(10, 10_000, 10_000, 0.05) == pytest.approx(0.0034, abs=5e-5)


@pytest.mark.parametrize("size", [100, 200, 2_000])
def test_noise_is_called_a_drift_as_often_as_said(size: int) -> None:
    """At most 5 % of looks at samples of one law, and not never."""
    rng = np.random.default_rng(size)
    found = [
        drift_of("x", rng.normal(size=size), rng.normal(size=size), alpha=0.05, independent=True) for _ in range(400)
    ]
    assert 0.002 < np.mean([one.has_drifted for one in found]) <= 0.075


def test_a_shift_is_found_and_a_small_one_needs_samples() -> None:
    """0.2 deviations: not at 100 samples, at 10,000 in any case."""
    rng = np.random.default_rng(1)
    small = drift_of("x", rng.normal(size=100), rng.normal(0.2, 1.0, 100), independent=True)
    large = drift_of("x", rng.normal(size=10_000), rng.normal(0.2, 1.0, 10_000), independent=True)
    assert not small.has_drifted
    assert large.has_drifted
    assert large.psi < 0.1 < small.psi_limit


def test_neighbours_that_depend_on_each_other_count_less() -> None:
    """An autoregression of 0.98 is worth about a hundredth of its samples, and makes no false alarms."""
    rng = np.random.default_rng(3)
    alarms, sizes = 0, []
    for _ in range(60):
        rows = [np.empty(20_000), np.empty(20_000)]
        for row in rows:
            noise = rng.normal(size=len(row))
            row[0] = noise[0] / math.sqrt(1.0 - 0.98**2)
            for place in range(1, len(row)):
                row[place] = 0.98 * row[place - 1] + noise[place]
        sizes.append(independent_size(rows[0]))
        alarms += drift_of("x", rows[0], rows[1], alpha=0.05).has_drifted
    assert 100.0 < np.median(sizes) < 400.0
    assert alarms <= 6


def test_missing_values_are_a_drift_of_their_own() -> None:
    """A feature that is missing three times in ten drifts though its values do not; KS does not see it."""
    rng = np.random.default_rng(4)
    then, now = rng.normal(size=2_000), rng.normal(size=2_000)
    now[rng.random(2_000) < 0.3] = math.nan
    found = drift_of("x", then, now, independent=True)
    assert found.psi_p_value < 1e-6 < 0.01 < found.ks_p_value
    assert found.has_drifted


def test_a_constant_feature_does_not_drift_until_it_changes() -> None:
    """One bin has no index; another constant is a drift."""
    same = drift_of("x", np.ones(500), np.ones(500), independent=True)
    other = drift_of("x", np.ones(500), np.zeros(500), independent=True)
    assert (same.psi, same.has_drifted, other.has_drifted) == (0.0, False, True)


def test_few_samples_say_nothing() -> None:
    """Below 50 on one side: NaN, no drift."""
    found = drift_of("x", np.zeros(500), np.ones(20), independent=True)
    assert (found.is_known, found.has_drifted, math.isnan(found.psi)) == (False, False, True)


def test_of_many_features_the_one_that_drifted_comes_first() -> None:
    """64 features, one shifted: its rate is below 1 %, and the others' are not."""
    rng = np.random.default_rng(7)
    then, now = rng.normal(size=(1_000, 64)), rng.normal(size=(1_000, 64))
    now[:, 9] += 0.4
    table = drift_table([f"f{place}" for place in range(64)], then, now, independent=True)
    assert table[0][0].name == "f9"
    assert [one.name for one, rate in table if rate < 0.01] == ["f9"]


def test_the_limit_of_the_distance() -> None:
    """1.36 sqrt(2/100) at 5 %: the published large-sample formula."""
    assert ks_limit(100, 100, 0.05) == pytest.approx(1.3581 * math.sqrt(0.02), abs=1e-4)


def test_infinite_values_are_refused() -> None:
    """InputError names the sample."""
    with pytest.raises(InputError, match="current"):
        drift_of("x", [1.0], [math.inf])
