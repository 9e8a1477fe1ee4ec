"""Logistic regression with a ridge penalty on standardised features, by scikit-learn.

scikit-learn is imported inside the function: no process but the one that trains needs it.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.learned.linear import LinearArrays, standardised

_TOLERANCE: Final = 1e-6
_ITERATIONS: Final = 100  # of Newton's method; a handful is usual


class LinearSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the linear model is held back from its samples."""

    l2: float = 100.0  # penalty: half of it times the sum of the squared weights, beside the sum of the losses

    def __post_init__(self) -> None:
        require(1e-9 <= self.l2 <= 1e9, "linear.l2", self.l2, "must be 1e-9 to 1e9")


def train_linear(
    rows: npt.NDArray[np.float32], labels: Ints, weights: Floats, settings: LinearSettings
) -> tuple[LinearArrays, float]:
    """The model of *rows* (n, F), *labels* (n,) 0 or 1 and *weights* (n,), and its intercept.

    Features are standardised by their weighted mean and deviation; a missing value counts as the mean, and one beyond
    8 deviations as 8. A feature that does not vary has no weight.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    center, scale = _moments(rows, weights)
    known = standardised(rows, center, scale)
    model = LogisticRegression(C=1.0 / settings.l2, tol=_TOLERANCE, max_iter=_ITERATIONS, solver="newton-cholesky")
    with threadpool_limits(limits=1):  # sums in one order, whatever the number of processors
        model.fit(known, labels, sample_weight=weights)
    weight = np.where(known.any(axis=0), model.coef_[0], 0.0).astype(np.float64)
    return LinearArrays(center=center, scale=scale, weight=weight), float(model.intercept_[0])


def _moments(rows: npt.NDArray[np.float32], weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and deviation (F,) of the known values of each feature; 0 and 1 where there is nothing to see."""
    center, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    for f in range(rows.shape[1]):
        values = rows[:, f].astype(np.float64)
        known = np.isfinite(values)
        mass = weights[known]
        if not mass.sum() > 0.0:
            continue
        center[f] = (values[known] * mass).sum() / mass.sum()
        deviation = float(np.sqrt((mass * (values[known] - center[f]) ** 2).sum() / mass.sum()))
        scale[f] = deviation if deviation > 1e-12 * max(1.0, abs(center[f])) else 1.0
    return center, scale
