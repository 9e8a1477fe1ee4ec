"""Drift: PSI and KS against printed tables and scipy; limits that neither alarm on noise nor miss a drift."""

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
    """The three decimals of the usual printed tables (NIST/SEMATECH e-Handbook 1.3.6.7.4), and scipy's."""
    assert chi_square_quantile(probability, freedom) == pytest.approx(stats.chi2.ppf(probability, freedom), rel=1e-9)
    assert chi_square_quantile(probability, freedom) == pytest.approx(expected, abs=5.1e-4)


@given(st.floats(1e-3, 300.0), st.integers(1, 100))
def test_the_chi_square_tail_agrees_with_scipy(value: float, freedom: int) -> None:
    """Also far out in the tail."""
    assert chi_square_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("alpha", "printed"), [
    (0.10, 1.22), (0.05, 1.36), (0.025, 1.48), (0.01, 1.63), (0.005, 1.73), (0.001, 1.95),
])
def test_kolmogorovs_law_has_the_published_critical_values(alpha: float, printed: float) -> None:
    """c(alpha) of the usual tables of the two-sample test, printed to two decimals; four and more from scipy."""
    assert ks_limit(100, 100, alpha) / math.sqrt(0.02) == pytest.approx(printed, abs=5.1e-3)
    assert ks_limit(100, 100, alpha) / math.sqrt(0.02) == pytest.approx(special.kolmogi(alpha), abs=1e-9)


def test_the_law_of_large_samples_is_ours_and_the_exact_one_is_near_it() -> None:
    """P(D >= 0.11) of twice 100 samples: 0.5806 in the limit, which is ours, and 0.5830 exactly.

    The exact figure is scipy's; T. Ferguson's page on the two-sample test prints P(D <= 0.10) = 0.41699, what is left.
    Limits are made of independent sizes that are estimated, so exact tables would promise too much.
    """
    exact = stats.ks_2samp(np.arange(100), np.arange(100) + 10.5, method="exact")
    assert (exact.statistic, 1.0 - exact.pvalue) == pytest.approx((0.11, 0.41699), abs=5.1e-6)
    assert kolmogorov_tail(0.11 * math.sqrt(50.0)) == pytest.approx(0.58062, abs=5.1e-6)


def test_distances_of_scipys_own_tests() -> None:
    """5/16 and 190/546 of testRepeatedValues, 232/1100 of test100_110: whole numbers with ties, and shifted lines."""
    assert ks_statistic(np.repeat([2.0, 3, 5, 6], [3, 4, 5, 4]), np.repeat([3.0, 4, 6, 7], [3, 4, 5, 4])) == 5 / 16
    first, second = np.repeat([2.0, 3, 5, 6], [3, 4, 10, 4]), np.repeat([3.0, 4, 6, 7], [10, 2, 10, 4])
    assert ks_statistic(first, second) == pytest.approx(190 / 21 / 26)
    line = np.linspace(1.0, 100.0, 100)
    assert ks_statistic(line, np.linspace(1.0, 100.0, 110) + 20.1) == pytest.approx(232 / 1100)


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


# M. Burke, "Population Stability Index" (2018): ten bins of equal width over 100 samples, and 117 of 120 later ones.
BEFORE, AFTER = np.array([1, 1, 4, 8, 27, 22, 16, 12, 6, 3]), np.array([0, 3, 6, 15, 18, 23, 26, 14, 9, 3])


def plain_index(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """The terms (bins,) of the index of two rows of shares, which are above 0."""
    return np.asarray((actual - expected) * np.log(actual / expected))


def test_the_index_of_a_printed_table() -> None:
    """Nine bins that have samples on both sides: the printed terms 0.013744 to 0.000912 sum to 0.132032.

    With the three samples that the table leaves out in its first bin, as ours would count values below it, 0.145776.
    """
    shares = BEFORE[1:] / 100, AFTER[1:] / 120
    assert plain_index(*shares) == pytest.approx(
        [0.013744, 0.002231, 0.020083, 0.070534, 0.003906, 0.017181, 0.000094, 0.003347, 0.000912], abs=5.1e-7
    )
    whole = np.where(AFTER == 0, 3, AFTER)
    assert stability_index(BEFORE * 10**6, whole * 10**6) == pytest.approx(0.132032 + 0.013744, abs=2e-6)


def test_an_empty_bin_has_half_a_sample_and_elsewhere_a_small_share() -> None:
    """The printed index 0.153 takes 0.001 for the empty bin's share; ours adds half a sample to each: 0.132.

    What the small share is decides the printed number: with 0.0001 the empty bin's term doubles. Half a sample depends
    on how many samples there are, as the share of an empty bin should. Ours has no bounds outside of which samples are
    lost; the printed table has lost 3 of 120.
    """
    shares = BEFORE / 100, np.where(AFTER == 0, 0.001, AFTER / 120)
    assert plain_index(*shares)[0] == pytest.approx(0.020723, abs=5.1e-7)
    assert plain_index(*shares).sum() == pytest.approx(0.153, abs=5.1e-4)
    assert plain_index(np.array([0.01]), np.array([0.0001]))[0] == pytest.approx(0.0456, abs=5.1e-5)
    assert stability_index(BEFORE, AFTER) == pytest.approx(0.13218, abs=5.1e-6)


def test_bins_hold_equal_shares_of_the_reference_and_not_equal_widths() -> None:
    """Four values of which one is far off: two and two, where bins of equal width would hold three and one.

    Both are in use. With equal widths a long tail leaves most bins empty, so equal shares are ours.
    """
    reference = np.array([1.0, 2.0, 3.0, 100.0])
    expected, actual = binned(reference, np.array([0.0, 2.5, 50.0, 1000.0]), 2)
    assert (expected.tolist(), actual.tolist()) == ([2, 2], [2, 2])
    assert np.histogram(reference, 2)[0].tolist() == [3, 1]


def test_the_limits_of_published_examples() -> None:
    """0.0454 for four bins and twice 500 samples at 1 %: the threshold that the readme of R's rpsi prints.

    Ten bins and twice 100 samples at 5 % give chi-square 16.919 times 2/100 = 0.338, computed from Yurdakul's formula.
    He also has a normal law of the same mean and variance, 0.320, which alarms too often; chi-square is ours.
    """
    assert psi_limit(4, 500, 500, 0.01) == pytest.approx(0.0454, abs=5.1e-5)
    assert psi_limit(10, 100, 100, 0.05) == pytest.approx(0.33838, abs=5.1e-6)
    normal = 0.02 * (9.0 + stats.norm.ppf(0.95) * math.sqrt(2.0 * 9.0))
    assert normal == pytest.approx(0.31957, abs=5.1e-6)
    assert chi_square_tail(normal / 0.02, 9) > 0.05


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
    """0.5208 for 15 and 28 samples at 1 %; a printed example has 0.522, with c(alpha) rounded to 1.63."""
    assert ks_limit(15, 28, 0.01) == pytest.approx(0.52079, abs=5.1e-6)
    assert ks_limit(15, 28, 0.01) * 1.63 / special.kolmogi(0.01) == pytest.approx(0.522, abs=5.1e-4)
    assert ks_limit(2, 2, 0.01) == 1.0


def test_infinite_values_are_refused() -> None:
    """InputError names the sample."""
    with pytest.raises(InputError, match="current"):
        drift_of("x", [1.0], [math.inf])
