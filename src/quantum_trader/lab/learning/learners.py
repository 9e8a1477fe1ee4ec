"""The learners by name: each is fitted on samples and gives arrays that score without the library that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.lab.learning.boosting import booster_arrays, train_booster
from quantum_trader.lab.learning.learning_settings import LearningSettings
from quantum_trader.lab.learning.linear_training import LinearSettings, train_linear
from quantum_trader.lab.learning.training_table import SampleTable
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.learned.artefact import BOOSTING, ModelArrays
from quantum_trader.models.learned.linear import LinearArrays, LinearScorer
from quantum_trader.models.learned.trees import TreeEnsemble

if TYPE_CHECKING:
    import xgboost

PLAIN_LOGISTIC = LinearSettings(l2=1.0)
"""The baseline: the penalty that scikit-learn has where none is asked for."""


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted learner: what live scoring reads, and of boosted trees the booster itself."""

    arrays: ModelArrays
    base_margin: float
    booster: xgboost.Booster | None = None

    def margins(self, rows: npt.NDArray[np.float32]) -> Floats:
        """The margin (n,) of each of *rows* (n, F), by the scorer that runs live."""
        scorer: TreeEnsemble | LinearScorer
        if isinstance(self.arrays, LinearArrays):
            scorer = LinearScorer(self.arrays, rows.shape[1], self.base_margin)
        else:
            scorer = TreeEnsemble(self.arrays, rows.shape[1], self.base_margin)
        return np.asarray(scorer.margins(rows), dtype=np.float64)


def fit_learner(learner: str, table: SampleTable, chosen: Ints, settings: LearningSettings, threads: int) -> Fitted:
    """*learner* fitted on the samples of *table* at the places *chosen*."""
    rows, labels, weights = table.rows[chosen], table.labels[chosen], table.weights[chosen]
    if learner == BOOSTING:
        booster = train_booster(rows, labels, weights, settings.boosting, settings.seed, threads)
        arrays, base_margin = booster_arrays(booster)
        return Fitted(arrays=arrays, base_margin=base_margin, booster=booster)
    linear, intercept = train_linear(rows, labels, weights, settings.linear)
    return Fitted(arrays=linear, base_margin=intercept)


def fit_logistic(table: SampleTable, chosen: Ints) -> Fitted:
    """The logistic baseline on the samples of *table* at the places *chosen*."""
    linear, intercept = train_linear(table.rows[chosen], table.labels[chosen], table.weights[chosen], PLAIN_LOGISTIC)
    return Fitted(arrays=linear, base_margin=intercept)
