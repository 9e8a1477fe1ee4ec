"""Calibration of model scores: the share of right directions by size of the score, estimated online.

Every model has BINS cells by the size of its score, shared by all symbols and by both directions (a rise after a
score of +0.7 and a fall after -0.7 count alike, so the drift of a sample does not count as skill). A cell starts as a
beta prior around one half; only outcomes that are already known update it. Outcomes over a horizon overlap, so each
bar counts as 1/horizon of an independent outcome; old outcomes decay.
"""

from __future__ import annotations

from typing import Final

from quantum_trader.domain.indicators import Cells
from quantum_trader.domain.scalar import scalar
from quantum_trader.signals.models import FEATURE_COUNT, MODEL_COUNT, logistic

BINS: Final = 5

# Cells of the pool, which all symbols share.
POOL_QUALITY: Final = 0  # weighted share of right signals
POOL_SIGNALS: Final = 1  # signals whose outcome is known
POOL_OUTCOMES: Final = 2  # known outcomes, in independent outcomes
POOL_WEIGHTS: Final = 3  # of the regression model
POOL_GAINS: Final = POOL_WEIGHTS + FEATURE_COUNT  # mean log-likelihood gain of each model over probability 0.5, nats
POOL_CELLS: Final = POOL_GAINS + MODEL_COUNT  # per model and bin: right, all
POOL_SIZE: Final = POOL_CELLS + MODEL_COUNT * BINS * 2


@scalar
def score_bin(score: float) -> int:
    """The calibration cell of a score in [-1, 1], by its absolute size."""
    return min(BINS - 1, int(abs(score) * BINS))


@scalar
def calibrated(pool: Cells, model: int, score: float, prior: float) -> float:
    """P(up) of *model*'s *score*; *prior* is the weight of the prior, in independent outcomes."""
    if score == 0.0:
        return 0.5
    cell = POOL_CELLS + 2 * (model * BINS + score_bin(score))
    right = (pool[cell] + 0.5 * prior) / (pool[cell + 1] + prior)
    return right if score > 0.0 else 1.0 - right


@scalar
def learn_cell(pool: Cells, model: int, score: float, rose: float, weight: float, memory: float) -> None:
    """Count an outcome (*rose* 1, 0, or 0.5 for unchanged) of *weight* independent outcomes in the score's cell."""
    if score == 0.0:
        return
    cell = POOL_CELLS + 2 * (model * BINS + score_bin(score))
    keep = 1.0 - weight / memory
    pool[cell] = pool[cell] * keep + weight * (rose if score > 0.0 else 1.0 - rose)
    pool[cell + 1] = pool[cell + 1] * keep + weight


@scalar
def learn_regression(pool: Cells, row: Cells, features_at: int, rose: float, rate: float) -> None:
    """One gradient step of the logistic model towards an outcome of the features at *features_at* of *row*."""
    logit = 0.0
    for place in range(FEATURE_COUNT):
        logit += pool[POOL_WEIGHTS + place] * row[features_at + place]
    error = rose - logistic(logit)
    for place in range(FEATURE_COUNT):
        weight = pool[POOL_WEIGHTS + place]
        pool[POOL_WEIGHTS + place] = weight + rate * (error * row[features_at + place] - 0.1 * weight)
