"""Every model's score is bounded, odd in price, and follows the model's assumption."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_trader.signals.calibration import POOL_SIZE, POOL_WEIGHTS, learn_regression
from quantum_trader.signals.models import (
    CELL_FEATURES,
    CELL_SCORES,
    FEATURE_COUNT,
    MODEL_COUNT,
    MODEL_NAMES,
    MODELS_SIZE,
    update_models,
)

BARS = 260


def path(seed: int, drift: float = 0.0) -> np.ndarray:
    """Log closes of a random walk."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return np.cumsum(rng.normal(drift, 0.005, BARS))


def scores_of(log_close: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Scores (BARS, MODEL_COUNT) over bars that reach 0.1 % around their close, of constant volume."""
    row, pool = np.zeros(MODELS_SIZE), np.zeros(POOL_SIZE)
    pool[POOL_WEIGHTS : POOL_WEIGHTS + FEATURE_COUNT] = 0.0 if weights is None else weights
    scores = np.zeros((log_close.shape[0], MODEL_COUNT))
    for i, level in enumerate(log_close):
        close = math.exp(level)
        update_models(row, 0, close * 1.001, close / 1.001, close, 5.0, pool, POOL_WEIGHTS)
        scores[i] = row[CELL_SCORES : CELL_SCORES + MODEL_COUNT]
    return scores


def test_there_are_at_least_five_models_with_names_of_their_own() -> None:
    """Names are unique."""
    assert MODEL_COUNT == len(set(MODEL_NAMES)) >= 5


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_bounded_and_odd_in_price(seed: int) -> None:
    """The mirrored market gives the mirrored scores."""
    weights = np.array([0.1, -0.2, 0.3, -0.1, 0.05, 0.2])
    scores = scores_of(path(seed), weights)
    assert (np.abs(scores) <= 1.0).all()
    np.testing.assert_allclose(scores_of(-path(seed), weights), -scores, atol=1e-7)
    assert (np.abs(scores[-1]) > 0.0).sum() >= MODEL_COUNT - 1


def test_scores_do_not_depend_on_the_price_level() -> None:
    """A market quoted at a thousandth gives the same scores."""
    np.testing.assert_allclose(scores_of(path(4) - math.log(1000.0)), scores_of(path(4)), atol=1e-7)


def test_a_steady_rise_is_up_for_trends_and_stretched_for_reversion() -> None:
    """Trend models score up, the reversion model scores down."""
    last = dict(zip(MODEL_NAMES, scores_of(path(1, drift=0.004))[-1], strict=True))
    assert last["macd_trend"] > 0.3
    assert last["momentum"] > 0.3
    assert last["kalman_trend"] > 0.3
    fall = np.concatenate((path(2)[:-5], path(2)[-6] + np.linspace(-0.01, -0.06, 5)))
    assert dict(zip(MODEL_NAMES, scores_of(fall)[-1], strict=True))["band_reversion"] > 0.5


def test_a_breakout_fades() -> None:
    """A jump over the channel scores high at once and half a day later less."""
    level = np.concatenate((np.tile([0.0, 0.002], 100), np.full(40, 0.05)))
    breakout = scores_of(level)[:, MODEL_NAMES.index("donchian_breakout")]
    assert breakout[200] > 0.7
    assert 0.0 < breakout[239] < 0.2


def test_a_flat_market_has_no_score() -> None:
    """A constant price gives zero scores and no NaN."""
    np.testing.assert_array_equal(scores_of(np.zeros(BARS))[-1], np.zeros(MODEL_COUNT))


def test_the_regression_learns_a_planted_rule() -> None:
    """Where the sign of one feature decides, its weight grows and the others stay small."""
    rng = np.random.Generator(np.random.PCG64(9))
    row, pool = np.zeros(MODELS_SIZE), np.zeros(POOL_SIZE)
    for _ in range(3000):
        row[CELL_FEATURES : CELL_FEATURES + FEATURE_COUNT] = rng.normal(0.0, 1.0, FEATURE_COUNT)
        learn_regression(pool, row, CELL_FEATURES, 1.0 if row[CELL_FEATURES + 2] < 0.0 else 0.0, 0.02)
    weights = pool[POOL_WEIGHTS : POOL_WEIGHTS + FEATURE_COUNT]
    assert weights[2] < -0.5
    assert np.abs(np.delete(weights, 2)).max() < 0.2
