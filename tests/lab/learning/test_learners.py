"""The learners: deterministic, equal to their libraries, explained by values that add up."""

from __future__ import annotations

import numpy as np
import pytest
from tests.lab.learning.made_tables import NAMES, QUICK, made_table

from quantum_trader.lab.learning.calibration_choice import (
    ISOTONIC,
    NONE,
    PLATT,
    CalibrationSamples,
    choose_calibration,
)
from quantum_trader.lab.learning.importance import ADDITIVITY_TOLERANCE, contributions_of, permutation_losses
from quantum_trader.lab.learning.learners import fit_learner, fit_logistic
from quantum_trader.models.learned.artefact import BOOSTING, LINEAR, arrays_hash
from quantum_trader.models.learned.calibration import UNCALIBRATED, sigmoid
from quantum_trader.models.learned.linear import standardised

pytest.importorskip("xgboost")
pytest.importorskip("sklearn")
EVERY = np.arange(3_000, dtype=np.int64)


@pytest.mark.parametrize("learner", [BOOSTING, LINEAR])
def test_a_learner_gives_the_same_numbers_again_on_any_number_of_threads(learner: str) -> None:
    """To the bit."""
    table = made_table()

    hashes = {arrays_hash(fit_learner(learner, table, EVERY, QUICK, threads).arrays) for threads in (1, 2, 1)}

    assert len(hashes) == 1


def test_the_linear_model_is_the_minimum_of_its_stated_loss() -> None:
    """The gradient of the summed log loss plus half of l2 times the squared weights is 0."""
    table = made_table()
    fitted = fit_logistic(table, EVERY)
    arrays = fitted.arrays
    rows = standardised(table.rows, arrays.center, arrays.scale)  # type: ignore[union-attr]
    error = table.weights * (sigmoid(fitted.margins(table.rows)) - table.labels)

    gradient = rows.T @ error + 1.0 * arrays.weight  # type: ignore[union-attr]

    assert np.abs(gradient).max() < 1e-3
    assert abs(error.sum()) < 1e-3


@pytest.mark.parametrize("learner", [BOOSTING, LINEAR])
def test_shap_values_add_up_to_the_margin(learner: str) -> None:
    """Of every row, within the tolerance of sums in single precision."""
    table = made_table()
    fitted = fit_learner(learner, table, EVERY, QUICK, 1)

    told = contributions_of(fitted, table.rows[:300])

    margins = fitted.margins(table.rows[:300])
    assert told.values.sum(axis=1) + told.expected == pytest.approx(margins, abs=1e-4)
    assert told.additivity_error < ADDITIVITY_TOLERANCE
    assert np.abs(told.values).mean(axis=0).argmax() == NAMES.index("signal")


@pytest.mark.parametrize("learner", [BOOSTING, LINEAR])
def test_no_rows_have_no_shap_values(learner: str) -> None:
    """As with ``contribution_rows = 0``: an empty table, one column a feature."""
    table = made_table()
    fitted = fit_learner(learner, table, EVERY, QUICK, 1)

    assert contributions_of(fitted, table.rows[:0]).values.shape == (0, len(NAMES))


def test_values_that_do_not_add_up_are_seen() -> None:
    """One contribution is moved: the error is as large as the move."""
    from quantum_trader.lab.learning.boosting import additivity_error

    whole = np.array([[0.5, -0.2, 1.0], [0.1, 0.2, 1.0]])
    margins = whole.sum(axis=1)
    broken = whole + np.array([[0.0, 0.3, 0.0], [0.0, 0.0, 0.0]])

    assert additivity_error(whole, margins) < 1e-15
    assert additivity_error(broken, margins) == pytest.approx(0.3 / np.abs(margins).max())


def test_shuffling_a_feature_costs_what_it_was_worth() -> None:
    """The signal and the curve cost most, noise nearly nothing; the table is as it was."""
    table = made_table()
    fitted = fit_learner(BOOSTING, table, EVERY[:2_000], QUICK, 1)
    before = table.rows.tobytes()

    losses = permutation_losses(fitted, table, EVERY[2_000:], 1_000, 0)

    assert set(np.argsort(-losses)[:2].tolist()) == {0, 1}
    assert losses[0] > 0.05
    assert np.abs(losses[2:5]).max() < 0.02
    assert table.rows.tobytes() == before


def samples(count: int, bend: float, seed: int = 3) -> CalibrationSamples:
    """Margins whose probabilities are a sigmoid (*bend* 0), or a step that no sigmoid has."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(size=count)
    truth = sigmoid(2.0 * margins - 0.5) if not bend else np.where(np.abs(margins) < bend, 0.5, margins > 0.0)
    starts = np.arange(count, dtype=np.int64) * 10
    return CalibrationSamples(
        margins=margins, labels=(rng.random(count) < truth).astype(np.int64), weights=np.ones(count),
        starts_ns=starts, ends_ns=starts + 5,
    )


def test_the_calibration_is_the_one_that_newer_predictions_prefer() -> None:
    """Platt's where the truth is a sigmoid, the isotonic one where it is a step."""
    sigmoid_like, step = choose_calibration(samples(6_000, 0.0), 0), choose_calibration(samples(6_000, 1.0), 0)

    assert sigmoid_like.method == PLATT
    assert sigmoid_like.log_losses[PLATT] <= sigmoid_like.log_losses[ISOTONIC]
    assert sigmoid_like.calibration.slope == pytest.approx(-2.0, abs=0.15)  # type: ignore[union-attr]
    assert step.method == ISOTONIC
    assert step.samples == 6_000


def test_too_few_predictions_choose_nothing() -> None:
    """Below 50 of each class in a part Platt's is fitted without a choice; below 50 in all nothing is fitted."""
    few, fewer = choose_calibration(samples(200, 0.0), 0), choose_calibration(samples(60, 0.0), 0)

    assert (few.method, few.log_losses) == (PLATT, {})
    assert (fewer.method, fewer.calibration) == (NONE, UNCALIBRATED)


def test_predictions_that_reach_into_the_part_that_chooses_do_not_fit() -> None:
    """With an embargo as long as the whole history nothing is left to fit, and Platt's comes without a choice."""
    assert choose_calibration(samples(6_000, 1.0), 10**9).method == PLATT
