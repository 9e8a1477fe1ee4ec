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

from quantum_trader.domain.indicators import EMA_SIZE, Cells, ema_step, rolling_size, rolling_step
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.indicators import (
    RSI_SIZE,
    extreme_size,
    highest_step,
    rsi_step,
)

MODEL_NAMES: Final = (
    "macd_trend", "donchian_breakout", "band_reversion", "lag_regression", "momentum", "kalman_trend",
)
MODEL_COUNT: Final = len(MODEL_NAMES)
FEATURE_COUNT: Final = 6
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
CELL_SCORES: Final = 0
CELL_FEATURES: Final = CELL_SCORES + MODEL_COUNT
CELL_BARS: Final = CELL_FEATURES + FEATURE_COUNT
CELL_VARIANCE: Final = CELL_BARS + 1
CELL_BREAKOUT: Final = CELL_VARIANCE + 1
CELL_LEVEL: Final = CELL_BREAKOUT + 1
CELL_SLOPE: Final = CELL_LEVEL + 1
CELL_P00: Final = CELL_SLOPE + 1
CELL_P01: Final = CELL_P00 + 1
CELL_P11: Final = CELL_P01 + 1
CELL_FAST: Final = CELL_P11 + 1
CELL_SLOW: Final = CELL_FAST + EMA_SIZE
CELL_RSI: Final = CELL_SLOW + EMA_SIZE
CELL_BAND: Final = CELL_RSI + RSI_SIZE
CELL_VOLUME: Final = CELL_BAND + rolling_size(_BAND)
CELL_HIGH: Final = CELL_VOLUME + rolling_size(_CHANNEL)
CELL_LOW: Final = CELL_HIGH + extreme_size(_CHANNEL)
CELL_PATH: Final = CELL_LOW + extreme_size(_CHANNEL)
MODELS_SIZE: Final = CELL_PATH + _PATH


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
    last = int(row[at + CELL_BARS]) - 1
    if last < lag:
        return 0.0
    return row[at + CELL_PATH + last % _PATH] - row[at + CELL_PATH + (last - lag) % _PATH]


@scalar
def breakout_score(row: Cells, at: int, high: float, low: float, close: float, volume: float) -> float:
    """Strength of the last break of the 48-bar channel, weighted by its volume, decaying since."""
    bars = row[at + CELL_BARS]
    top = row[at + CELL_HIGH + 1]  # the extremes of the bars before this one
    bottom = -row[at + CELL_LOW + 1]
    mean_volume, _ = rolling_step(row, at + CELL_VOLUME, volume, _CHANNEL)
    strength = row[at + CELL_BREAKOUT] * _BREAKOUT_FADE
    if bars > _CHANNEL:
        weight = min(2.0, volume / mean_volume) if mean_volume > 0.0 else 1.0
        if close > top:
            strength = squash(0.5 + weight)
        elif close < bottom:
            strength = -squash(0.5 + weight)
    highest_step(row, at + CELL_HIGH, high, _CHANNEL)
    highest_step(row, at + CELL_LOW, -low, _CHANNEL)
    row[at + CELL_BREAKOUT] = strength
    return strength


@scalar
def kalman_step(row: Cells, at: int, x: float, variance: float) -> float:
    """Filter log price *x* with a local linear trend; return the slope in units of its own uncertainty."""
    level = row[at + CELL_LEVEL] + row[at + CELL_SLOPE]
    slope = row[at + CELL_SLOPE]
    p00 = row[at + CELL_P00] + 2.0 * row[at + CELL_P01] + row[at + CELL_P11] + _LEVEL_NOISE * variance
    p01 = row[at + CELL_P01] + row[at + CELL_P11]
    p11 = row[at + CELL_P11] + _SLOPE_NOISE * variance
    total = p00 + _OBSERVATION_NOISE * variance
    if not total > 0.0:
        row[at + CELL_LEVEL] = x
        return 0.0
    surprise = x - level
    gain_level = p00 / total
    gain_slope = p01 / total
    row[at + CELL_LEVEL] = level + gain_level * surprise
    row[at + CELL_SLOPE] = slope + gain_slope * surprise
    row[at + CELL_P00] = (1.0 - gain_level) * p00
    row[at + CELL_P01] = (1.0 - gain_level) * p01
    row[at + CELL_P11] = p11 - gain_slope * p01
    spread = row[at + CELL_P11]
    return row[at + CELL_SLOPE] / math.sqrt(spread) if spread > 0.0 else 0.0


@scalar
def clip_feature(x: float) -> float:
    """Clip a standardised value to three deviations."""
    return max(-_FEATURE_CLIP, min(_FEATURE_CLIP, x))


@scalar
def update_models(
    row: Cells, at: int, high: float, low: float, close: float, volume: float, pool: Cells, weights_at: int
) -> None:
    """Process one decision bar; write the scores and the regression's features into *row*.

    *pool* holds the regression's weights at *weights_at* (FEATURE_COUNT).
    """
    path = math.log(close)
    bars = int(row[at + CELL_BARS])
    change = path - row[at + CELL_PATH + (bars - 1) % _PATH] if bars > 0 else 0.0
    breakout = breakout_score(row, at, high, low, close, volume)
    row[at + CELL_PATH + bars % _PATH] = path
    row[at + CELL_BARS] = bars + 1.0
    if bars == 1:
        row[at + CELL_VARIANCE] = change * change
    elif bars > 1:
        row[at + CELL_VARIANCE] += (change * change - row[at + CELL_VARIANCE]) * max(_VOL_WEIGHT, 1.0 / bars)
    variance = row[at + CELL_VARIANCE]
    scale = 1.0 / math.sqrt(variance) if variance > 0.0 else 0.0
    gap = ema_step(row, at + CELL_FAST, path, _FAST) - ema_step(row, at + CELL_SLOW, path, _SLOW)
    rsi = rsi_step(row, at + CELL_RSI, path, _RSI)
    mean, deviation = rolling_step(row, at + CELL_BAND, path, _BAND)
    band = (path - mean) / deviation if deviation > 0.0 else 0.0
    trend = kalman_step(row, at, path, variance)
    if bars < WARMUP_BARS:
        return
    momentum = 0.0
    for place in range(4):
        lag = _LAGS[place]
        standardised = lagged_return(row, at, lag) * scale / math.sqrt(lag)
        row[at + CELL_FEATURES + 1 + place] = clip_feature(standardised)
        momentum += squash(standardised) if place > 0 else 0.0
    row[at + CELL_FEATURES] = clip_feature(change * scale)
    row[at + CELL_FEATURES + 5] = clip_feature(band)
    logit = 0.0
    for place in range(FEATURE_COUNT):
        logit += pool[weights_at + place] * row[at + CELL_FEATURES + place]
    row[at + CELL_SCORES] = squash(0.4 * gap * scale)
    row[at + CELL_SCORES + 1] = breakout
    stretch = (rsi - 50.0) / 40.0 if variance > 0.0 else 0.0  # the RSI of a flat market is 0, not 50
    row[at + CELL_SCORES + 2] = -squash(stretch + band / 4.0)
    row[at + CELL_SCORES + 3] = squash(8.0 * logit)
    row[at + CELL_SCORES + 4] = momentum / 3.0
    row[at + CELL_SCORES + 5] = squash(0.7 * trend)
