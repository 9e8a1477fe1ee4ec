"""Calibration of a model's scores to probabilities: Platt's sigmoid and isotonic regression.

Sources: J. Platt, "Probabilistic Outputs for Support Vector Machines", in Advances in Large Margin Classifiers (MIT
Press, 1999), for the sigmoid and its smoothed targets; H.-T. Lin, C.-J. Lin and R. Weng, "A Note on Platt's
Probabilistic Outputs", Machine Learning 68(3), 2007, for the Newton method that finds it; M. Ayer et al., Annals of
Mathematical Statistics 26(4), 1955, for the pool-adjacent-violators algorithm. What is fitted are the values of
``models.learned.calibration``: plain numbers that are stored as JSON and applied with numpy alone.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Floats
from quantum_trader.models.learned.calibration import IsotonicCalibration, PlattCalibration, sigmoid

_STEPS: Final = 100  # of Newton's method
_RIDGE: Final = 1e-12  # added to the Hessian's diagonal
_GRADIENT: Final = 1e-10  # per sample: where the method stops
_SMALLEST_STEP: Final = 1e-10
_DECREASE: Final = 1e-4  # of the line search


def fit_platt(
    scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> PlattCalibration:
    """Fit the sigmoid to *scores* (n,) and *labels* (n,), 0 or 1, of samples that the model was not trained on.

    The targets are Platt's (N+ + 1) / (N+ + 2) and 1 / (N- + 2) with the weights of the classes as counts. Raises
    InputError for samples without both classes.
    """
    f, y, w = _checked(scores, labels, weights)
    up, down = float(w[y > 0.0].sum()), float(w[y == 0.0].sum())
    require(up > 0.0 and down > 0.0, "labels", f"{up:g} positive, {down:g} negative", "both classes are needed")
    targets = np.where(y > 0.0, (up + 1.0) / (up + 2.0), 1.0 / (down + 2.0))
    centre, scale = float((f * w).sum() / w.sum()), float(np.sqrt(((f - f.mean()) ** 2).mean()))
    scale = scale if scale > 0.0 else 1.0
    slope, intercept = _newton((f - centre) / scale, targets, w, math.log((down + 1.0) / (up + 1.0)))
    return PlattCalibration(slope=slope / scale, intercept=intercept - slope * centre / scale)


def _newton(f: Floats, targets: Floats, w: Floats, start: float) -> tuple[float, float]:
    """Minimise the cross-entropy of 1 / (1 + exp(a f + b)) to *targets*: Lin, Lin and Weng's algorithm 1."""
    a, b = 0.0, start
    value = _cross_entropy(a * f + b, targets, w)
    total = float(w.sum())
    for _ in range(_STEPS):
        p = sigmoid(-(a * f + b))
        curvature, error = w * p * (1.0 - p), w * (targets - p)
        h11, h22, h21 = (
            float((f * f * curvature).sum()) + _RIDGE, float(curvature.sum()) + _RIDGE, float((f * curvature).sum())
        )
        g1, g2 = float((f * error).sum()), float(error.sum())
        if max(abs(g1), abs(g2)) < _GRADIENT * total:
            break
        determinant = h11 * h22 - h21 * h21
        da, db = -(h22 * g1 - h21 * g2) / determinant, -(-h21 * g1 + h11 * g2) / determinant
        slope, step = g1 * da + g2 * db, 1.0
        while step >= _SMALLEST_STEP:
            tried = _cross_entropy((a + step * da) * f + b + step * db, targets, w)
            if tried < value + _DECREASE * step * slope:
                a, b, value = a + step * da, b + step * db, tried
                break
            step /= 2.0
        else:
            break  # no step lowers the value: it is the least that floats can tell
    return a, b


def _cross_entropy(z: Floats, targets: Floats, w: Floats) -> float:
    """Weighted cross-entropy of p = 1 / (1 + exp(z)), without overflow."""
    return float((w * (targets * z + np.logaddexp(0.0, -z))).sum())


def fit_isotonic(
    scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> IsotonicCalibration:
    """Fit the rising step function nearest to *labels* (n,), 0 or 1, over *scores* (n,), in weighted squares.

    Equal scores are one point. Raises InputError without samples.
    """
    f, y, w = _checked(scores, labels, weights)
    f, y, w = f[w > 0.0], y[w > 0.0], w[w > 0.0]
    points, owner = np.unique(f, return_inverse=True)
    mass = np.asarray(np.bincount(owner, w), dtype=np.float64)
    means = np.asarray(np.bincount(owner, w * y), dtype=np.float64) / mass
    first, last, pooled = _pooled(means, mass)
    kept, probabilities = [], []
    for begin, end, mean in zip(first, last, pooled, strict=True):
        for place in ((begin,) if begin == end else (begin, end)):
            kept.append(float(points[place]))
            probabilities.append(min(max(mean, 0.0), 1.0))
    return IsotonicCalibration(scores=tuple(kept), probabilities=tuple(probabilities))


def _pooled(values: Floats, mass: Floats) -> tuple[list[int], list[int], list[float]]:
    """First place, last place and mean of the pools of adjacent *values* (n,) whose means rise."""
    first: list[int] = []
    last: list[int] = []
    sums: list[float] = []
    masses: list[float] = []
    for place, (value, weight) in enumerate(zip(values.tolist(), mass.tolist(), strict=True)):
        first.append(place)
        last.append(place)
        sums.append(value * weight)
        masses.append(weight)
        while len(first) > 1 and sums[-2] * masses[-1] >= sums[-1] * masses[-2]:
            last[-2] = last[-1]
            sums[-2] += sums[-1]
            masses[-2] += masses[-1]
            del first[-1], last[-1], sums[-1], masses[-1]
    return first, last, [total / weight for total, weight in zip(sums, masses, strict=True)]


def _checked(
    scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Scores, labels and weights (n,) as floats. Raises InputError."""
    f, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    w = np.ones(len(f)) if weights is None else np.asarray(weights, dtype=np.float64)
    require(f.shape == y.shape == w.shape, "labels", y.shape, f"must have one label and weight per score, {f.shape}")
    require(bool(np.isfinite(f).all()), "scores", f[~np.isfinite(f)][:3], "must be finite")
    require(bool(((y == 0.0) | (y == 1.0)).all()), "labels", y[(y != 0.0) & (y != 1.0)][:3], "are 0 or 1")
    require(bool(((w >= 0.0) & (w < math.inf)).all()), "weights", w[~(w >= 0.0)][:3], "must be 0 or more, and finite")
    require(float(w.sum()) > 0.0, "weights", 0.0, "at least one sample must count")
    return f, y, w
