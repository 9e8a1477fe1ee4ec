"""How much each feature matters: what shuffling it costs on unseen samples, and its SHAP values.

Permutation importance: L. Breiman, "Random forests", Machine Learning 45 (2001). SHAP values: S. Lundberg and S.-I.
Lee (2017); of trees they are exact (``boosting.tree_contributions``), of a linear model they are weight times distance
from the centre, where features are taken as independent.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.lab.learning.boosting import additivity_error, tree_contributions
from quantum_trader.lab.learning.learners import Fitted
from quantum_trader.lab.learning.probability_scores import log_losses, sample_mean
from quantum_trader.lab.learning.training_table import SampleTable
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.learned.calibration import sigmoid
from quantum_trader.models.learned.linear import LinearArrays, standardised

ADDITIVITY_TOLERANCE: float = 1e-4  # of the margins' size: SHAP values of trees are sums in single precision


class FeatureImportance(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of one learner."""

    name: str
    permutation: float  # by how much the log loss (nats) rises where it is shuffled; mean over the tests
    permutation_error: float  # standard error of that mean over the tests; NaN for a single one
    contribution: float  # mean absolute SHAP value, log odds


class Contributions(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """SHAP values of rows: (n, F), the expected margin, and how far they are from adding up to the margins."""

    values: Floats
    expected: float
    additivity_error: float  # largest, as a share of the margins' size


def permutation_losses(
    fitted: Fitted, table: SampleTable, chosen: Ints, most: int, seed: int
) -> Floats:
    """By how much (F,) the log loss rises where a feature is shuffled among at most *most* of the samples *chosen*."""
    picked = chosen[np.linspace(0, len(chosen) - 1, min(most, len(chosen))).round().astype(np.int64)]
    rows, weights = table.rows[picked].copy(), table.weights[picked]
    labels = table.labels[picked].astype(np.float64)
    rng = np.random.default_rng((seed, 1))
    before, found = _loss(fitted, rows, labels, weights), np.zeros(rows.shape[1])
    for feature in range(rows.shape[1]):
        kept = rows[:, feature].copy()
        rows[:, feature] = kept[rng.permutation(len(kept))]
        found[feature] = _loss(fitted, rows, labels, weights) - before
        rows[:, feature] = kept
    return found


def _loss(fitted: Fitted, rows: npt.NDArray[np.float32], labels: Floats, weights: Floats) -> float:
    return sample_mean(log_losses(labels, sigmoid(fitted.margins(rows))), weights)


def contributions_of(fitted: Fitted, rows: npt.NDArray[np.float32]) -> Contributions:
    """The SHAP values of *rows* (n, F)."""
    margins = fitted.margins(rows)
    if isinstance(fitted.arrays, LinearArrays):
        arrays = fitted.arrays
        values = standardised(rows, arrays.center, arrays.scale) * arrays.weight
        expected = fitted.base_margin
        whole = np.column_stack([values, np.full(len(values), expected)])
        return Contributions(values=values, expected=expected, additivity_error=additivity_error(whole, margins))
    assert fitted.booster is not None, "trees come with their booster"
    whole = tree_contributions(fitted.booster, rows)
    expected = float(whole[0, -1]) if len(whole) else fitted.base_margin
    return Contributions(
        values=whole[:, :-1], expected=expected, additivity_error=additivity_error(whole, margins)
    )


def importance_of(
    names: tuple[str, ...], permutations: Floats, contributions: Contributions
) -> tuple[FeatureImportance, ...]:
    """Each feature's importance, the largest permutation first; *permutations* (tests, F)."""
    tests = len(permutations)
    mean = permutations.mean(axis=0) if tests else np.full(len(names), np.nan)
    error = permutations.std(axis=0, ddof=1) / np.sqrt(tests) if tests > 1 else np.full(len(names), np.nan)
    size = np.abs(contributions.values).mean(axis=0) if len(contributions.values) else np.full(len(names), np.nan)
    found = [
        FeatureImportance(name=name, permutation=float(mean[place]), permutation_error=float(error[place]),
                          contribution=float(size[place]))
        for place, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda one: (-one.permutation, one.name)))
