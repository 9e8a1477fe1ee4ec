"""Six rule and statistical models over decision bars, each a score in [-1, 1]: how strongly up (+) or down (-).

A score is not a probability; signals.calibration maps scores to probabilities. All scales are relative to the
volatility of the last bars, so one model fits every symbol. Every score is odd in price: a mirrored
market gives the mirrored score. The bars' cells live in one symbol's row of floats.

| model | assumption |
|---|---|
| macd_trend | the gap of two EMAs (12, 26), relative to volatility, persists |
| donchian_breakout | a close beyond the last 48 bars continues, more so with volume; decays in half a day |
| band_reversion | extreme RSI(14) and Bollinger band (20) values revert |
| lag_regression | logistic regression on lagged standardised returns, fitted online to outcomes |
| momentum | volatility-scaled returns over 16, 48 and 144 bars continue (time-series momentum) |
| kalman_trend | the slope of a Kalman filter's local linear trend persists |
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.scalar import scalar
from quantum_trader.market.indicators import (
    EMA_SIZE,
    RSI_SIZE,
    Cells,
    ema_step,
    extreme_size,
    highest_step,
    rolling_size,
    rolling_step,
    rsi_step,
)

MODEL_NAMES: Final = (
    "macd_trend", "donchian_breakout", "band_reversion", "lag_regression", "momentum", "kalman_trend",
)
N_MODELS: Final = len(MODEL_NAMES)
N_FEATURES: Final = 6
WARMUP_BARS: Final = 150  # decision bars of warm-up of all models

_FAST: Final = 12
_SLOW: Final = 26
_CHANNEL: Final = 48
_BAND: Final = 20
_RSI: Final = 14
_LAGS: Final = (4, 16, 48, 144)
_PATH: Final = 145  # log closes kept
_VOL_WEIGHT: Final = 2.0 / 61.0  # of a new squared return in the running variance
_BREAKOUT_FADE: Final = 0.94  # a bar
_FEATURE_CLIP: Final = 3.0
_LEVEL_NOISE: Final = 0.3  # Kalman: variance of the level's own steps, in return variances
_SLOPE_NOISE: Final = 0.0005  # … of the slope's steps
_OBSERVATION_NOISE: Final = 1.0

# Cells, from the index *at* of the models in a symbol's row.
X_SCORES: Final = 0
X_FEATURES: Final = X_SCORES + N_MODELS
X_BARS: Final = X_FEATURES + N_FEATURES
X_VARIANCE: Final = X_BARS + 1
X_BREAKOUT: Final = X_VARIANCE + 1
X_LEVEL: Final = X_BREAKOUT + 1
X_SLOPE: Final = X_LEVEL + 1
X_P00: Final = X_SLOPE + 1
X_P01: Final = X_P00 + 1
X_P11: Final = X_P01 + 1
X_FAST: Final = X_P11 + 1
X_SLOW: Final = X_FAST + EMA_SIZE
X_RSI: Final = X_SLOW + EMA_SIZE
X_BAND: Final = X_RSI + RSI_SIZE
X_VOLUME: Final = X_BAND + rolling_size(_BAND)
X_HIGH: Final = X_VOLUME + rolling_size(_CHANNEL)
X_LOW: Final = X_HIGH + extreme_size(_CHANNEL)
X_PATH: Final = X_LOW + extreme_size(_CHANNEL)
MODELS_SIZE: Final = X_PATH + _PATH


@scalar
def squash(x: float) -> float:
    """Map a number into (-1, 1), odd and increasing (by square root, which gives the same bits on every machine)."""
    return x / math.sqrt(1.0 + x * x)


@scalar
def logistic(x: float) -> float:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + math.exp(-x))


@scalar
def lagged_return(row: Cells, at: int, lag: int) -> float:
    """Log return of the last *lag* bars (0.0 before there are *lag* bars)."""
    last = int(row[at + X_BARS]) - 1
    if last < lag:
        return 0.0
    return row[at + X_PATH + last % _PATH] - row[at + X_PATH + (last - lag) % _PATH]


@scalar
def breakout_score(row: Cells, at: int, high: float, low: float, close: float, volume: float) -> float:
    """Strength of the last break of the 48-bar channel, weighted by its volume, decaying since."""
    bars = row[at + X_BARS]
    top = row[at + X_HIGH + 1]  # the extremes of the bars before this one
    bottom = -row[at + X_LOW + 1]
    mean_volume, _ = rolling_step(row, at + X_VOLUME, volume, _CHANNEL)
    strength = row[at + X_BREAKOUT] * _BREAKOUT_FADE
    if bars > _CHANNEL:
        weight = min(2.0, volume / mean_volume) if mean_volume > 0.0 else 1.0
        if close > top:
            strength = squash(0.5 + weight)
        elif close < bottom:
            strength = -squash(0.5 + weight)
    highest_step(row, at + X_HIGH, high, _CHANNEL)
    highest_step(row, at + X_LOW, -low, _CHANNEL)
    row[at + X_BREAKOUT] = strength
    return strength


@scalar
def kalman_step(row: Cells, at: int, x: float, variance: float) -> float:
    """Filter log price *x* with a local linear trend; return the slope in units of its own uncertainty."""
    level = row[at + X_LEVEL] + row[at + X_SLOPE]
    slope = row[at + X_SLOPE]
    p00 = row[at + X_P00] + 2.0 * row[at + X_P01] + row[at + X_P11] + _LEVEL_NOISE * variance
    p01 = row[at + X_P01] + row[at + X_P11]
    p11 = row[at + X_P11] + _SLOPE_NOISE * variance
    total = p00 + _OBSERVATION_NOISE * variance
    if not total > 0.0:
        row[at + X_LEVEL] = x
        return 0.0
    surprise = x - level
    gain_level = p00 / total
    gain_slope = p01 / total
    row[at + X_LEVEL] = level + gain_level * surprise
    row[at + X_SLOPE] = slope + gain_slope * surprise
    row[at + X_P00] = (1.0 - gain_level) * p00
    row[at + X_P01] = (1.0 - gain_level) * p01
    row[at + X_P11] = p11 - gain_slope * p01
    spread = row[at + X_P11]
    return row[at + X_SLOPE] / math.sqrt(spread) if spread > 0.0 else 0.0


@scalar
def clip_feature(x: float) -> float:
    """Clip a standardised value to three deviations."""
    return max(-_FEATURE_CLIP, min(_FEATURE_CLIP, x))


@scalar
def update_models(
    row: Cells, at: int, high: float, low: float, close: float, volume: float, pool: Cells, weights_at: int
) -> None:
    """Process one decision bar; write the scores and the regression's features into *row*.

    *pool* holds the regression's weights at *weights_at* (N_FEATURES).
    """
    path = math.log(close)
    bars = int(row[at + X_BARS])
    change = path - row[at + X_PATH + (bars - 1) % _PATH] if bars > 0 else 0.0
    breakout = breakout_score(row, at, high, low, close, volume)
    row[at + X_PATH + bars % _PATH] = path
    row[at + X_BARS] = bars + 1.0
    if bars == 1:
        row[at + X_VARIANCE] = change * change
    elif bars > 1:
        row[at + X_VARIANCE] += (change * change - row[at + X_VARIANCE]) * max(_VOL_WEIGHT, 1.0 / bars)
    variance = row[at + X_VARIANCE]
    scale = 1.0 / math.sqrt(variance) if variance > 0.0 else 0.0
    gap = ema_step(row, at + X_FAST, path, _FAST) - ema_step(row, at + X_SLOW, path, _SLOW)
    rsi = rsi_step(row, at + X_RSI, path, _RSI)
    mean, deviation = rolling_step(row, at + X_BAND, path, _BAND)
    band = (path - mean) / deviation if deviation > 0.0 else 0.0
    trend = kalman_step(row, at, path, variance)
    if bars < WARMUP_BARS:
        return
    momentum = 0.0
    for place in range(4):
        lag = _LAGS[place]
        standardised = lagged_return(row, at, lag) * scale / math.sqrt(lag)
        row[at + X_FEATURES + 1 + place] = clip_feature(standardised)
        momentum += squash(standardised) if place > 0 else 0.0
    row[at + X_FEATURES] = clip_feature(change * scale)
    row[at + X_FEATURES + 5] = clip_feature(band)
    logit = 0.0
    for place in range(N_FEATURES):
        logit += pool[weights_at + place] * row[at + X_FEATURES + place]
    row[at + X_SCORES] = squash(0.4 * gap * scale)
    row[at + X_SCORES + 1] = breakout
    stretch = (rsi - 50.0) / 40.0 if variance > 0.0 else 0.0  # the RSI of a flat market is 0, not 50
    row[at + X_SCORES + 2] = -squash(stretch + band / 4.0)
    row[at + X_SCORES + 3] = squash(8.0 * logit)
    row[at + X_SCORES + 4] = momentum / 3.0
    row[at + X_SCORES + 5] = squash(0.7 * trend)
