"""Platt's sigmoid and isotonic regression against LibSVM, scikit-learn and their definitions."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.calibration import fit_isotonic, fit_platt
from quantum_trader.models.learned.calibration import Calibration, IsotonicCalibration, PlattCalibration

calibration = pytest.importorskip("sklearn.calibration")
isotonic = pytest.importorskip("sklearn.isotonic")


def made(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels that follow them, and weights."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.0, 2.0, count).round(2)
    labels = (rng.random(count) < 1.0 / (1.0 + np.exp(-0.7 * scores + 0.3))).astype(float)
    return scores, labels, rng.uniform(0.2, 2.0, count)


def test_platt_of_libsvms_algorithm() -> None:
    """A = -0.20261354, B = 0.65236315 for the scores 5, -4 and 1 of which the first is positive.

    The figures of scikit-learn's test_sigmoid_calibration, made with a port of LibSVM's code, which stops earlier.
    """
    found = fit_platt([5.0, -4.0, 1.0], [1.0, 0.0, 0.0])
    assert (found.slope, found.intercept) == pytest.approx((-0.20261354391187855, 0.65236314980010512), abs=5e-6)


def test_platts_targets_are_ours_and_plain_logistic_regression_is_their_limit() -> None:
    """On 40 samples the plain slope is -1.876 and Platt's -1.194; with many samples of each kind they agree.

    Plain logistic regression (scikit-learn without a penalty) fits the labels 0 and 1 themselves. Ours fits Platt's
    smoothed targets, which approach the labels as the classes grow.
    """
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(3)
    scores = rng.normal(0.0, 2.0, 40)
    labels = (rng.random(40) < 1.0 / (1.0 + np.exp(-scores))).astype(float)
    plain = linear.LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(scores[:, None], labels)
    expected = (-plain.coef_[0, 0], -plain.intercept_[0])
    ours, many = fit_platt(scores, labels), fit_platt(scores, labels, np.full(40, 1e8))
    assert (expected[0], ours.slope) == pytest.approx((-1.8759, -1.1939), abs=5.1e-5)
    assert (many.slope, many.intercept) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_platt_agrees_with_scikit_learn(seed: int, weighted: bool) -> None:
    """scikit-learn's ``_sigmoid_calibration`` minimises the same function with another method."""
    scores, labels, weights = made(seed)
    used = weights if weighted else None
    slope, intercept = calibration._sigmoid_calibration(scores, labels, used)
    found = fit_platt(scores, labels, used)
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept), abs=2e-4)


def test_platt_agrees_with_calibrated_classifier() -> None:
    """scikit-learn's CalibratedClassifierCV over a frozen classifier gives the same probabilities."""
    linear = pytest.importorskip("sklearn.linear_model")
    frozen = pytest.importorskip("sklearn.frozen")
    scores, labels, _ = made(9)
    model = linear.LogisticRegression().fit(scores[:200, None], labels[:200])
    fitted = calibration.CalibratedClassifierCV(frozen.FrozenEstimator(model), method="sigmoid").fit(
        scores[200:, None], labels[200:]
    )
    found = fit_platt(model.decision_function(scores[200:, None]), labels[200:])
    expected = fitted.predict_proba(scores[:, None])[:, 1]
    assert found.apply(model.decision_function(scores[:, None])) == pytest.approx(expected, abs=2e-3)


def test_platts_targets_keep_a_perfect_score_finite() -> None:
    """Two groups of 10: the least of the function is at the targets 11/12 and 1/12, not at an infinite slope."""
    found = fit_platt(np.repeat([-1.0, 1.0], 10), np.repeat([0.0, 1.0], 10))
    assert found.apply([-1.0, 1.0]) == pytest.approx([1 / 12, 11 / 12], abs=1e-9)
    assert found.slope == pytest.approx(-math.log(11.0), abs=1e-8)


def test_a_useless_score_gives_the_smoothed_share() -> None:
    """Equal scores: one probability for all, between the targets."""
    found = fit_platt(np.zeros(30), np.repeat([0.0, 1.0], 15))
    assert found.apply([0.0]) == pytest.approx([0.5])


def test_large_scores_overflow_nothing() -> None:
    """Probabilities 0 and 1."""
    assert PlattCalibration(slope=-1.0, intercept=0.0).apply([-1e6, 1e6]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("weighted", [False, True])
@given(seed=st.integers(0, 2**32 - 1))
def test_isotonic_agrees_with_scikit_learn(seed: int, weighted: bool) -> None:
    """The same line at, between and beyond the points; ties, constant labels and weights included."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    scores = rng.normal(0.0, 1.0, count).round(1)
    labels = (rng.random(count) < 0.5).astype(float)
    weights = rng.uniform(0.1, 2.0, count) if weighted else None
    theirs = isotonic.IsotonicRegression(out_of_bounds="clip").fit(scores, labels, sample_weight=weights)
    asked = np.concatenate((scores, rng.uniform(-4.0, 4.0, 50)))
    assert fit_isotonic(scores, labels, weights).apply(asked) == pytest.approx(theirs.predict(asked), abs=1e-9)


def test_the_pools_of_a_small_example() -> None:
    """Labels 1, 0, 1 over the scores 1, 2, 3: the first two pool to one half (Ayer et al. 1955)."""
    found = fit_isotonic([1.0, 2.0, 3.0], [1.0, 0.0, 1.0])
    assert found == IsotonicCalibration(scores=(1.0, 2.0, 3.0), probabilities=(0.5, 0.5, 1.0))


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
def test_a_calibration_is_stored_as_plain_numbers(fit: object) -> None:
    """JSON and back gives the same probabilities to the bit."""
    scores, labels, _ = made(4)
    found = fit(scores, labels)  # type: ignore[operator]
    again = msgspec.json.decode(msgspec.json.encode(found), type=Calibration)
    assert again == found
    assert (again.apply(scores) == found.apply(scores)).all()


def test_a_higher_score_never_has_a_lower_probability() -> None:
    """Both rise, so neither changes the ranking by more than ties."""
    scores, labels, weights = made(6)
    asked = np.linspace(-10.0, 10.0, 500)
    for fit in (fit_platt, fit_isotonic):
        assert (np.diff(fit(scores, labels, weights).apply(asked)) >= 0.0).all()


def test_samples_that_say_nothing_are_refused() -> None:
    """InputError: one class alone for Platt, no weight, a score that is not finite, a label of 2."""
    with pytest.raises(InputError, match="both classes"):
        fit_platt([1.0, 2.0], [1.0, 1.0])
    with pytest.raises(InputError, match="weights"):
        fit_isotonic([1.0], [1.0], [0.0])
    with pytest.raises(InputError, match="scores"):
        fit_isotonic([math.inf], [1.0])
    with pytest.raises(InputError, match="labels"):
        fit_platt([1.0, 2.0], [2.0, 0.0])
