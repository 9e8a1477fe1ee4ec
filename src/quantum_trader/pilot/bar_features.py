"""The features of one symbol that come from its own bars: one step a bar, on cells kept in a row of floats.

Each step reads and writes its cells and puts its features into *out*, in the columns of ``feature_columns``. A feature
is NaN until it has enough bars. The indicators are those of the market room.
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.indicators import (
    ADX_SIZE,
    ATR_SIZE,
    EMA_SIZE,
    NAN,
    Cells,
    adx_step,
    atr_step,
    ema_step,
    rolling_size,
    rolling_step,
)
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.indicators import (
    MACD_SIZE,
    RSI_SIZE,
    extreme_size,
    highest_step,
    lag_step,
    macd_step,
    rsi_step,
    slope_step,
)
from quantum_trader.pilot import feature_columns as col

RANGE_PERIOD: Final = 14  # of RSI, ATR and ADX
TREND_PERIOD: Final = 20  # of the Bollinger bands and of the fitted line, which share a standard deviation
MOMENTUM_PERIOD: Final = 10
CHANNEL_PERIOD: Final = 60  # of highest high, lowest low and mean volume
BAND_WIDTH: Final = 2.0  # standard deviations from the middle to a Bollinger band

# Cells of one symbol, each indicator's after the one before it.
_LAST_CLOSE: Final = 0
_LAG_1: Final = _LAST_CLOSE + 1
_LAG_3: Final = _LAG_1 + rolling_size(1)
_LAG_5: Final = _LAG_3 + rolling_size(3)
_LAG_15: Final = _LAG_5 + rolling_size(5)
_LAG_60: Final = _LAG_15 + rolling_size(15)
_LAG_MOMENTUM: Final = _LAG_60 + rolling_size(60)
_CHANGE_5: Final = _LAG_MOMENTUM + rolling_size(MOMENTUM_PERIOD)
_CHANGE_15: Final = _CHANGE_5 + rolling_size(5)
_CHANGE_60: Final = _CHANGE_15 + rolling_size(15)
_RSI: Final = _CHANGE_60 + rolling_size(60)
_LAST_RSI: Final = _RSI + RSI_SIZE
_MACD: Final = _LAST_RSI + rolling_size(1)
_SMA_5: Final = _MACD + MACD_SIZE
_SMA_15: Final = _SMA_5 + rolling_size(5)
_SMA_60: Final = _SMA_15 + rolling_size(15)
_SMA_200: Final = _SMA_60 + rolling_size(60)
_EMA_5: Final = _SMA_200 + rolling_size(200)
_EMA_15: Final = _EMA_5 + EMA_SIZE
_EMA_60: Final = _EMA_15 + EMA_SIZE
_EMA_200: Final = _EMA_60 + EMA_SIZE
_BANDS: Final = _EMA_200 + EMA_SIZE
_SLOPE: Final = _BANDS + rolling_size(TREND_PERIOD)
_ATR: Final = _SLOPE + rolling_size(TREND_PERIOD)
_ADX: Final = _ATR + ATR_SIZE
_HIGHEST: Final = _ADX + ADX_SIZE
_LOWEST: Final = _HIGHEST + extreme_size(CHANNEL_PERIOD)
_VOLUME_5: Final = _LOWEST + extreme_size(CHANNEL_PERIOD)
_VOLUME_60: Final = _VOLUME_5 + rolling_size(5)
BAR_FEATURES_SIZE: Final = _VOLUME_60 + rolling_size(CHANNEL_PERIOD)


@scalar
def quotient(above: float, below: float, otherwise: float) -> float:
    """*above* / *below*, or *otherwise* where *below* is 0; NaN where *below* is NaN."""
    return otherwise if below == 0.0 else above / below


@scalar
def step_changes(row: Cells, at: int, close: float, out: Cells) -> None:
    """Returns over 1 to 60 bars, and the standard deviation of log returns over 5 to 60."""
    out[col.RETURN_1] = close / lag_step(row, at + _LAG_1, close, 1) - 1.0
    out[col.RETURN_3] = close / lag_step(row, at + _LAG_3, close, 3) - 1.0
    out[col.RETURN_5] = close / lag_step(row, at + _LAG_5, close, 5) - 1.0
    out[col.RETURN_15] = close / lag_step(row, at + _LAG_15, close, 15) - 1.0
    out[col.RETURN_60] = close / lag_step(row, at + _LAG_60, close, 60) - 1.0
    last = row[at + _LAST_CLOSE]
    row[at + _LAST_CLOSE] = close
    short, middle, long = NAN, NAN, NAN
    if last > 0.0:
        change = math.log(close / last)
        _, short = rolling_step(row, at + _CHANGE_5, change, 5)
        _, middle = rolling_step(row, at + _CHANGE_15, change, 15)
        _, long = rolling_step(row, at + _CHANGE_60, change, 60)
    out[col.VOLATILITY_5] = short
    out[col.VOLATILITY_15] = middle
    out[col.VOLATILITY_60] = long
    out[col.VOLATILITY_RATIO] = quotient(short, long, 1.0)


@scalar
def step_oscillators(row: Cells, at: int, close: float, atr: float, out: Cells) -> None:
    """RSI and its change, MACD in units of *atr*, momentum in units of *atr*."""
    rsi = rsi_step(row, at + _RSI, close, RANGE_PERIOD)
    out[col.RSI] = rsi
    out[col.RSI_CHANGE] = rsi - lag_step(row, at + _LAST_RSI, rsi, 1)
    line, signal, histogram = macd_step(row, at + _MACD, close, 12, 26, 9)
    out[col.MACD_LINE] = quotient(line, atr, 0.0)
    out[col.MACD_SIGNAL] = quotient(signal, atr, 0.0)
    out[col.MACD_HISTOGRAM] = quotient(histogram, atr, 0.0)
    moved = close - lag_step(row, at + _LAG_MOMENTUM, close, MOMENTUM_PERIOD)
    out[col.MOMENTUM] = quotient(moved, atr, 0.0)


@scalar
def step_averages(row: Cells, at: int, close: float, out: Cells) -> None:
    """Distances of the close from its plain and exponential means."""
    out[col.SMA_5_DISTANCE] = close / rolling_step(row, at + _SMA_5, close, 5)[0] - 1.0
    out[col.SMA_15_DISTANCE] = close / rolling_step(row, at + _SMA_15, close, 15)[0] - 1.0
    out[col.SMA_60_DISTANCE] = close / rolling_step(row, at + _SMA_60, close, 60)[0] - 1.0
    out[col.SMA_200_DISTANCE] = close / rolling_step(row, at + _SMA_200, close, 200)[0] - 1.0
    out[col.EMA_5_DISTANCE] = close / ema_step(row, at + _EMA_5, close, 5) - 1.0
    out[col.EMA_15_DISTANCE] = close / ema_step(row, at + _EMA_15, close, 15) - 1.0
    out[col.EMA_60_DISTANCE] = close / ema_step(row, at + _EMA_60, close, 60) - 1.0
    out[col.EMA_200_DISTANCE] = close / ema_step(row, at + _EMA_200, close, 200) - 1.0


@scalar
def step_trend(row: Cells, at: int, close: float, atr: float, out: Cells) -> None:
    """Bollinger position and width; slope of the fitted line in units of *atr*, and how well it fits.

    R² = slope² × variance of the places ÷ variance of the closes, of the least-squares line.
    """
    mean, deviation = rolling_step(row, at + _BANDS, close, TREND_PERIOD)
    slope = slope_step(row, at + _SLOPE, close, TREND_PERIOD)
    out[col.BOLLINGER_POSITION] = quotient(close - mean, BAND_WIDTH * deviation, 0.0)
    out[col.BOLLINGER_WIDTH] = 2.0 * BAND_WIDTH * deviation / mean
    out[col.TREND_SLOPE] = quotient(slope, atr, 0.0)
    places = (TREND_PERIOD * TREND_PERIOD - 1.0) / 12.0
    fit = quotient(slope * slope * places, deviation * deviation, 0.0)
    out[col.TREND_FIT] = 1.0 if fit > 1.0 else fit


@scalar
def step_ranges(row: Cells, at: int, high: float, low: float, close: float, atr: float, out: Cells) -> None:
    """ADX and the directional indices, ATR over price, distances from the highest high and the lowest low."""
    adx, plus, minus = adx_step(row, at + _ADX, high, low, close, RANGE_PERIOD)
    out[col.ADX] = adx
    out[col.PLUS_DI] = plus
    out[col.MINUS_DI] = minus
    out[col.ATR_RATIO] = atr / close
    out[col.HIGH_DISTANCE] = close / highest_step(row, at + _HIGHEST, high, CHANNEL_PERIOD) - 1.0
    out[col.LOW_DISTANCE] = close / -highest_step(row, at + _LOWEST, -low, CHANNEL_PERIOD) - 1.0


@scalar
def step_volume(row: Cells, at: int, volume: float, out: Cells) -> None:
    """Volume against its last 60 bars: in standard deviations, and the mean of 5 bars over the mean of 60."""
    short, _ = rolling_step(row, at + _VOLUME_5, volume, 5)
    mean, deviation = rolling_step(row, at + _VOLUME_60, volume, CHANNEL_PERIOD)
    out[col.VOLUME_ZSCORE] = quotient(volume - mean, deviation, 0.0)
    out[col.VOLUME_RATIO] = quotient(short, mean, 1.0)


@scalar
def step_bar_features(row: Cells, at: int, high: float, low: float, close: float, volume: float, out: Cells) -> None:
    """Take one bar of the symbol whose cells begin at *at* and write its features RETURN_1 to VOLUME_RATIO."""
    atr = atr_step(row, at + _ATR, high, low, close, RANGE_PERIOD)
    step_changes(row, at, close, out)
    step_oscillators(row, at, close, atr, out)
    step_averages(row, at, close, out)
    step_trend(row, at, close, atr, out)
    step_ranges(row, at, high, low, close, atr, out)
    step_volume(row, at, volume, out)
