"""AUC, Brier score, log loss, calibration error and reliability against published values and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.calibration import sigmoid
from quantum_trader.lab.learning.probability_scores import (
    auc_difference,
    auc_interval,
    auc_of,
    ece_if_calibrated,
    expected_calibration_error,
    log_losses,
    loss_difference,
    reliability_curve,
    sample_mean,
    score_probabilities,
    squared_errors,
    student_t_two_sided,
    time_blocks,
    wilson_interval,
)

metrics = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")

# Albumin, total protein, K-G score, outcome of 43 patients of DeLong, DeLong and Clarke-Pearson (1988), as printed in
# the SAS/STAT user's guide, The LOGISTIC Procedure, example "Comparing Receiver Operating Characteristic Curves".
PATIENTS = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1"""
ALBUMIN, PROTEIN, KG, OUTCOME = np.array([float(one) for one in PATIENTS.split()]).reshape(-1, 4).T


def made(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities with ties, and weights."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random(count).round(2)
    labels = (rng.random(count) < probabilities).astype(float)
    labels[:2] = (0.0, 1.0)
    return labels, probabilities, rng.uniform(0.1, 3.0, count)


@pytest.mark.parametrize(("scores", "area", "error", "low", "high"), [
    (ALBUMIN, 0.7366, 0.0927, 0.5549, 0.9182), (10.0 - KG, 0.7258, 0.1028, 0.5243, 0.9273),
    (PROTEIN, 0.6478, 0.1000, 0.4518, 0.8439),
])
def test_delongs_areas_of_the_published_example(
    scores: np.ndarray, area: float, error: float, low: float, high: float
) -> None:
    """Areas, standard errors and 95 % limits of the patients of DeLong et al. (1988).

    The data are printed; these figures are computed from the paper's formula, as :func:`plain_delong` does.
    """
    found = auc_interval(OUTCOME, scores)
    assert (found.value, found.low, found.high) == pytest.approx((area, low, high), abs=5.1e-5)
    assert (found.high - found.low) / (2.0 * 1.959964) == pytest.approx(error, abs=5.1e-5)


@pytest.mark.parametrize(("scores", "difference", "error", "squared", "p_value"), [
    (PROTEIN, -0.0780, 0.1046, 0.5554, 0.4561), (ALBUMIN, 0.0108, 0.0953, 0.0127, 0.9102),
])
def test_delongs_differences_of_the_published_example(
    scores: np.ndarray, difference: float, error: float, squared: float, p_value: float
) -> None:
    """Each against the K-G score, computed from the paper's formula as well (squared: its chi-square)."""
    found = auc_difference(OUTCOME, scores, 10.0 - KG)
    assert (found.difference, found.error, found.p_value) == pytest.approx((difference, error, p_value), abs=5.1e-5)
    assert found.statistic**2 == pytest.approx(squared, abs=2e-4)


def plain_delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The areas (2,) of two scores and their covariance (2, 2): equations 3 to 6 of the paper, pair by pair."""
    one, other = [], []
    for scores in (first, second):
        gaps = scores[labels == 1][:, None] - scores[labels == 0][None, :]
        wins = (gaps > 0.0) + 0.5 * (gaps == 0.0)
        one.append(wins.mean(axis=1))
        other.append(wins.mean(axis=0))
    covariance = np.cov(one) / len(one[0]) + np.cov(other) / len(other[0])
    return np.mean(one, axis=1), covariance


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_delongs_variance_is_that_of_his_formula_written_out(seed: int) -> None:
    """Ties included: area, standard error and the difference of two scores on the same samples."""
    labels, first, _ = made(seed, 80)
    second = (first + np.random.default_rng(seed).normal(0.0, 0.3, 80)).round(1)
    areas, covariance = plain_delong(labels, first, second)
    found = auc_interval(labels, first)
    assert found.value == pytest.approx(areas[0])
    assert (found.high - found.low) / (2.0 * 1.959964) == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-6)
    difference = auc_difference(labels, first, second)
    assert difference.difference == pytest.approx(areas[0] - areas[1])
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    assert difference.error == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_agree_with_scikit_learn(seed: int, weighted: bool) -> None:
    """Ties and weights included."""
    labels, probabilities, weights = made(seed)
    used = weights if weighted else None
    assert auc_of(labels, probabilities, used) == pytest.approx(
        metrics.roc_auc_score(labels, probabilities, sample_weight=used)
    )
    found = score_probabilities(labels, probabilities, used)
    assert found.auc.value == auc_of(labels, probabilities, used)
    assert found.brier.value == pytest.approx(metrics.brier_score_loss(labels, probabilities, sample_weight=used))
    clipped = np.clip(probabilities, 1e-15, 1.0 - 1e-15)
    assert found.log_loss.value == pytest.approx(metrics.log_loss(labels, clipped, sample_weight=used))


def test_ties_count_one_half() -> None:
    """One positive above, one equal and one below the only negative: an AUC of one half."""
    assert auc_of([1, 1, 1, 0], [0.9, 0.5, 0.1, 0.5]) == 0.5


def test_one_class_alone_has_no_auc() -> None:
    """NaN, not 0.5; the other scores are there."""
    found = score_probabilities([1, 1, 1, 1, 1], [0.5, 0.6, 0.7, 0.8, 0.9])
    assert math.isnan(found.auc.value)
    assert not math.isnan(found.brier.value)


def test_no_samples_have_no_scores() -> None:
    """NaN everywhere."""
    found = score_probabilities([], [])
    assert all(math.isnan(one.value) for one in (found.auc, found.brier, found.log_loss, found.ece))


def test_calibration_error_of_a_worked_example() -> None:
    """The formula of Guo et al. (2017) by hand, 5 bins of equal width: 2/5 * 0.25 + 3/5 * |2/3 - 0.9| = 0.24."""
    found = expected_calibration_error([0, 1, 1, 0, 1], [0.25, 0.25, 0.9, 0.9, 0.9], bins=5)
    assert found == pytest.approx(2 / 5 * abs(0.5 - 0.25) + 3 / 5 * abs(2 / 3 - 0.9))


@pytest.mark.parametrize(("labels", "probabilities", "expected"), [
    ([0, 0, 1, 1, 1], [0.25, 0.25, 0.55, 0.75, 0.75], 0.29),  # the example of its documentation
    ([0, 0, 1, 1, 1], [1.0, 1.0, 1.0, 1.0, 0.0], 0.6),  # its test with a probability of 0
])
def test_calibration_error_of_another_library(
    labels: list[int], probabilities: list[float], expected: float
) -> None:
    """torchmetrics' binary_calibration_error with 2 bins and norm l1: of the positive class, as ours."""
    assert expected_calibration_error(labels, probabilities, bins=2) == pytest.approx(expected, abs=5e-5)


def test_the_calibration_error_of_the_likelier_class_is_another_number() -> None:
    """Guo et al. measure it of the class that is predicted: 0.2000 in torchmetrics' example of three classes.

    Ours is of the positive class, whose probability decides a trade. Theirs comes from the highest probability of each
    sample and whether that class came true. With two classes, an error below 0.5 and one above it cancel in theirs and
    not in ours: 0.05 and 0.25.
    """
    of_three = np.array([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]])
    came_true = of_three.argmax(axis=1) == np.array([0, 1, 2, 0])
    assert expected_calibration_error(came_true, of_three.max(axis=1), bins=3) == pytest.approx(0.2)
    labels, probabilities = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.3, 0.3, 0.7, 0.7])
    assert expected_calibration_error(labels, probabilities, bins=2) == pytest.approx((0.3 + 0.2) / 2)
    likelier = np.maximum(probabilities, 1.0 - probabilities)
    right = (probabilities > 0.5) == (labels == 1.0)
    assert expected_calibration_error(right, likelier, bins=2) == pytest.approx(0.75 - 0.7)


def test_bins_are_closed_on_the_right() -> None:
    """((m - 1) / M, m / M] in Guo et al., ours: 0.5 of two bins belongs to the first, so the errors cancel there.

    Other tools close bins on the left (numpy's histogram): 0.5 and 0.51 are then in one bin. Where no probability lies
    on an edge both are the same.
    """
    def closed_on_the_left(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
        owner = np.digitize(probabilities, np.arange(1, bins) / bins)
        return float(np.abs(np.bincount(owner, labels - probabilities)).sum()) / len(labels)

    assert expected_calibration_error([1, 0], [0.5, 0.5], bins=2) == 0.0
    assert expected_calibration_error([1, 0], [0.5, 0.51], bins=2) == pytest.approx((0.5 + 0.51) / 2)
    assert closed_on_the_left(np.array([1.0, 0.0]), np.array([0.5, 0.51]), 2) == pytest.approx(0.005)
    labels, probabilities, _ = made(4)
    inside = probabilities + 0.0001
    assert expected_calibration_error(labels, np.minimum(inside, 1.0), bins=10) == pytest.approx(
        closed_on_the_left(labels, np.minimum(inside, 1.0 - 1e-9), 10), abs=1e-6
    )


def test_bins_of_equal_mass_split_what_equal_width_joins() -> None:
    """All probabilities in one bin of equal width: opposite errors cancel there; in two of equal mass they do not."""
    labels, probabilities = [1, 1, 0, 0], [0.51, 0.52, 0.53, 0.54]
    assert expected_calibration_error(labels, probabilities, bins=2) == pytest.approx(0.025)
    assert expected_calibration_error(labels, probabilities, bins=2, equal_mass=True) == pytest.approx(0.51)


def test_the_reliability_curve_is_the_calibration_error_drawn() -> None:
    """The weighted mean gap of its bins is the ECE; scikit-learn's calibration_curve has the same points."""
    labels, probabilities, weights = made(5)
    curve = reliability_curve(labels, probabilities, weights, bins=10)
    gap = math.fsum(one.weight * abs(one.share - one.mean_probability) for one in curve) / weights.sum()
    assert gap == pytest.approx(expected_calibration_error(labels, probabilities, weights, bins=10))
    theirs = pytest.importorskip("sklearn.calibration").calibration_curve(labels, probabilities, n_bins=10)
    plain = reliability_curve(labels, probabilities, bins=10)
    assert [one.share for one in plain] == pytest.approx(theirs[0])
    assert [one.mean_probability for one in plain] == pytest.approx(theirs[1])
    assert all(one.share_low <= one.share <= one.share_high for one in plain)


@pytest.mark.parametrize(("wins", "count"), [(81, 263), (15, 148), (0, 20), (1, 29)])
def test_wilsons_interval_of_the_published_examples(wins: int, count: int) -> None:
    """The four proportions of R. Newcombe (Statistics in Medicine 17, 1998), his method 3, without a correction.

    His method 4 corrects for continuity and is wider; scipy computes both, and the figures are scipy's.
    """
    expected = {
        (81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0000, 0.1611), (1, 29): (0.0061, 0.1718)
    }[(wins, count)]
    found = wilson_interval(wins / count, count)
    assert found == pytest.approx(expected, abs=5.1e-5)
    exact = stats.binomtest(wins, count)
    assert found == pytest.approx(exact.proportion_ci(method="wilson"))
    corrected = exact.proportion_ci(method="wilsoncc")
    assert corrected.low <= found[0] < found[1] < corrected.high


@pytest.mark.parametrize("freedom", [1.0, 2.5, 7.0, 40.0, 1e4])
@pytest.mark.parametrize("statistic", [0.0, 0.3, 1.5, 4.0, 30.0])
def test_students_tail_agrees_with_scipy(freedom: float, statistic: float) -> None:
    """Relative to 1e-10, also far out."""
    assert student_t_two_sided(statistic, freedom) == pytest.approx(2.0 * stats.t.sf(statistic, freedom), rel=1e-9)


def test_a_paired_difference_of_losses_is_a_t_test_over_blocks() -> None:
    """With one sample a block it is the paired t test, but for the variance about the mean over n - 1."""
    labels, probabilities, _ = made(8)
    first, second = squared_errors(labels, probabilities), squared_errors(labels, np.full(300, 0.5))
    found = loss_difference(first, second, np.ones(300), np.arange(300))
    theirs = stats.ttest_rel(first, second)
    assert (found.statistic, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-6)


def test_labels_that_repeat_within_blocks_count_once() -> None:
    """Every sample ten times over: the error with blocks stays, without blocks it shrinks by the root of ten."""
    labels, probabilities, _ = made(11)
    blocks = np.arange(300)
    plain = auc_interval(labels, probabilities, blocks=blocks)
    again = auc_interval(np.tile(labels, 10), np.tile(probabilities, 10), blocks=np.tile(blocks, 10))
    naive = auc_interval(np.tile(labels, 10), np.tile(probabilities, 10))
    assert again.high - again.low == pytest.approx(plain.high - plain.low, rel=1e-9)
    assert naive.high - naive.low == pytest.approx((plain.high - plain.low) / math.sqrt(10.0), rel=0.02)


def covered(seed: int, runs: int, shift: float, truth: tuple[float, float, float]) -> np.ndarray:
    """Whether the intervals of AUC, Brier score and ECE hold the truth: labels that end alike in runs of 20."""
    rng = np.random.default_rng(seed)
    score, draw = np.repeat(rng.normal(size=runs), 20), np.repeat(rng.random(runs), 20)
    labels = (draw < sigmoid(score)).astype(float)
    found = score_probabilities(labels, sigmoid(score + shift), blocks=np.arange(20 * runs) // 40)
    scores = (found.auc, found.brier, found.ece)
    return np.array([one.low <= true <= one.high for one, true in zip(scores, truth, strict=True)])


@pytest.mark.parametrize(("shift", "truth"), [(0.0, (0.739, 0.2067, 0.0)), (0.6, (0.739, 0.2221, 0.1213))])
def test_intervals_hold_the_truth_where_labels_overlap(shift: float, truth: tuple[float, float, float]) -> None:
    """In at least 88 % of 80 simulations (95 % are meant), calibrated or not; the truth is of two million samples."""
    held = np.mean([covered(seed, 150, shift, truth) for seed in range(80)], axis=0)
    assert (held >= 0.88).all(), held


def test_many_independent_samples_need_no_blocks() -> None:
    """100,000 samples are scored with little memory, and the interval is narrow."""
    rng = np.random.default_rng(1)
    probabilities = rng.random(100_000)
    labels = (rng.random(100_000) < probabilities).astype(float)
    found = score_probabilities(labels, probabilities)
    assert found.blocks == 100_000
    assert found.auc.high - found.auc.low < 0.01
    assert found.ece.low == 0.0 < found.ece.high < 0.01


def test_few_blocks_have_no_interval() -> None:
    """Three blocks: NaN bounds, the value is there."""
    labels, probabilities, _ = made(2, 30)
    found = auc_interval(labels, probabilities, blocks=np.arange(30) // 10)
    assert math.isnan(found.low)
    assert not math.isnan(found.value)


def test_blocks_last_three_lives_at_least() -> None:
    """Labels of 8 hours over 40 days: days at least, never under 24 hours."""
    hour = 3_600_000_000_000
    starts = np.arange(0, 40 * 24 * hour, hour)
    blocks = time_blocks(starts, starts + 8 * hour)
    assert (np.bincount(blocks)[:-1] == 24).all()


def test_a_calibrated_model_shows_the_error_of_noise() -> None:
    """200 samples: an ECE of about 0.08 is noise; 20,000 samples: about a tenth of it."""
    rng = np.random.default_rng(3)
    few = ece_if_calibrated(rng.random(200), np.ones(200), rng=rng)
    many = ece_if_calibrated(rng.random(20_000), np.ones(20_000), rng=rng)
    assert 0.05 < few < 0.12
    assert many == pytest.approx(few / 10.0, rel=0.2)


@given(st.integers(0, 2**32 - 1))
def test_invariants_of_the_auc(seed: int) -> None:
    """Turning the scores or the labels over turns it over; a rising function of the scores changes nothing."""
    labels, scores, weights = made(seed, 60)
    area = auc_of(labels, scores, weights)
    assert auc_of(labels, -scores, weights) == pytest.approx(1.0 - area)
    assert auc_of(1.0 - labels, scores, weights) == pytest.approx(1.0 - area)
    assert auc_of(labels, np.exp(3.0 * scores), weights) == area
    assert auc_of(np.tile(labels, 2), np.tile(scores, 2), np.tile(weights, 2)) == pytest.approx(area)


@given(st.integers(0, 2**32 - 1))
def test_the_true_probabilities_have_the_least_expected_loss(seed: int) -> None:
    """Both scores are proper: their expectation is least where the probabilities are true."""
    rng = np.random.default_rng(seed)
    true, said = rng.uniform(0.01, 0.99, 50), rng.uniform(0.01, 0.99, 50)
    ones, zeros = np.ones(50), np.zeros(50)
    for loss in (squared_errors, log_losses):
        expected = [true * loss(ones, p) + (1.0 - true) * loss(zeros, p) for p in (true, said)]
        assert sample_mean(expected[0], ones) <= sample_mean(expected[1], ones) + 1e-12


def test_what_cannot_be_scored_is_refused() -> None:
    """InputError names the argument."""
    for labels, probabilities, weights, told in (
        ([2.0], [0.5], None, "labels"), ([1.0], [1.5], None, "probabilities"), ([1.0], [0.5], [-1.0], "weights"),
        ([1.0, 0.0], [0.5], None, "probabilities"),
    ):
        with pytest.raises(InputError, match=told):
            score_probabilities(labels, probabilities, weights)
