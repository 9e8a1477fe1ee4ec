"""Indicators of trend and volatility, one step a bar: means, true range, ATR, ADX, regime, levels.

They need no array library, so that the policy as a library can measure a market. ``market.indicators`` has the other
indicators and the batch forms; the conventions of a step, its cells and its warm-up are stated there.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from quantum_trader.domain.enums import (
    DIR_DOWN,
    DIR_NONE,
    DIR_UP,
    TREND_RANGING,
    TREND_TRENDING,
    TREND_UNKNOWN,
    VOL_EXTREME,
    VOL_HIGH,
    VOL_LOW,
    VOL_NORMAL,
    VOL_UNKNOWN,
)
from quantum_trader.domain.scalar import scalar


class Cells(Protocol):
    """A mutable sequence of floats: an array in kernels, an array or a list in plain Python."""

    def __getitem__(self, place: int, /) -> float:
        """The number in *place*."""

    def __setitem__(self, place: int, value: float, /) -> None:
        """Put *value* in *place*."""


NAN: Final = math.nan
EMA_SIZE: Final = 2
ROLLING_HEAD: Final = 4  # cells before the ring: count, anchor, sum, sum of squares (or of products)
ATR_SIZE: Final = 3
ADX_SIZE: Final = 8
LOW_VOL_RATIO: Final = 0.005  # ATR(14) / price of 4-hour bars below which volatility is LOW


@scalar
def ema_step(state: Cells, at: int, x: float, period: int) -> float:
    """Exponential mean with weight 2/(period+1). Cells: count, value."""
    if state[at] < period:
        state[at] += 1.0
        state[at + 1] += x
        if state[at] < period:
            return NAN
        state[at + 1] /= period
        return state[at + 1]
    state[at + 1] = (x - state[at + 1]) * (2.0 / (period + 1.0)) + state[at + 1]
    return state[at + 1]


@scalar
def true_range(high: float, low: float, last_close: float) -> float:
    """The bar's range, extended to the previous close, in price units."""
    return max(high - low, abs(high - last_close), abs(low - last_close))


@scalar
def atr_step(state: Cells, at: int, high: float, low: float, close: float, period: int) -> float:
    """Wilder's average true range, price units. Cells: count, last close, value."""
    seen = state[at]
    last_close = state[at + 1]
    state[at] = seen + 1.0
    state[at + 1] = close
    if seen < 1.0:
        return NAN
    span = true_range(high, low, last_close)
    if seen <= period:
        state[at + 2] += span
        if seen < period:
            return NAN
        state[at + 2] /= period
        return state[at + 2]
    state[at + 2] = (state[at + 2] * (period - 1.0) + span) / period
    return state[at + 2]


@scalar
def adx_step(state: Cells, at: int, high: float, low: float, close: float, period: int) -> tuple[float, float, float]:
    """Return (ADX, +DI, -DI), 0..100. Cells: count, last high, low, close, smoothed +DM, -DM, TR, ADX."""
    seen = state[at]
    rise = high - state[at + 1]
    fall = state[at + 2] - low
    span = true_range(high, low, state[at + 3])
    state[at] = seen + 1.0
    state[at + 1] = high
    state[at + 2] = low
    state[at + 3] = close
    if seen < 1.0:
        return NAN, NAN, NAN
    keep = 1.0 if seen < period else (period - 1.0) / period
    state[at + 4] = state[at + 4] * keep + (rise if rise > 0.0 and rise > fall else 0.0)
    state[at + 5] = state[at + 5] * keep + (fall if fall > 0.0 and fall > rise else 0.0)
    state[at + 6] = state[at + 6] * keep + span
    if seen < period:
        return NAN, NAN, NAN
    total = state[at + 6]
    plus = 100.0 * state[at + 4] / total if total > 0.0 else 0.0
    minus = 100.0 * state[at + 5] / total if total > 0.0 else 0.0
    moves = plus + minus
    index = 100.0 * abs(plus - minus) / moves if moves > 0.0 else 0.0
    if seen < 2.0 * period:
        state[at + 7] += index / period
        return (state[at + 7] if seen == 2.0 * period - 1.0 else NAN), plus, minus
    if moves > 0.0:
        state[at + 7] = (state[at + 7] * (period - 1.0) + index) / period
    return state[at + 7], plus, minus


@scalar
def regime_step(
    trend: int, direction: int, age: int, adx: float, slope: float, plus_di: float, minus_di: float, enter: float,
    leave: float, min_bars: float,
) -> tuple[int, int, int]:
    """Return the next (trend, direction, age): codes, and bars since the trend state began.

    *slope* is the change of the EMA over the bar. UNKNOWN until ADX and slope are numbers; the direction is none
    outside a trend.
    """
    if not (adx == adx and slope == slope):
        return TREND_UNKNOWN, DIR_NONE, 0
    threshold = leave if trend == TREND_TRENDING else enter
    wanted = TREND_TRENDING if adx >= threshold else TREND_RANGING
    next_age = age + 1
    if wanted != trend and (trend == TREND_UNKNOWN or next_age >= min_bars):
        trend = wanted
        direction = DIR_NONE
        next_age = 0
    if trend == TREND_RANGING:
        direction = DIR_NONE
    elif slope > 0.0 and plus_di > minus_di:
        direction = DIR_UP
    elif slope < 0.0 and minus_di > plus_di:
        direction = DIR_DOWN
    return trend, direction, next_age


@scalar
def vol_level(ratio: float, high: float, extreme: float) -> int:
    """VOL_* code of ATR/price *ratio* (4-hour bars) against the thresholds; UNKNOWN when not finite or negative."""
    if not math.isfinite(ratio) or ratio < 0.0:
        return VOL_UNKNOWN
    if ratio >= extreme:
        return VOL_EXTREME
    if ratio >= high:
        return VOL_HIGH
    return VOL_LOW if ratio < LOW_VOL_RATIO else VOL_NORMAL


def rolling_size(period: int) -> int:
    """Cells of :func:`rolling_step`, and of market.indicators' slope_step and lag_step."""
    return ROLLING_HEAD + period


@scalar
def rolling_step(state: Cells, at: int, x: float, period: int) -> tuple[float, float]:
    """Return (mean, population standard deviation) of the last *period* values. Cells: count, anchor, sums, ring."""
    count = int(state[at])
    turn = count % period
    place = at + ROLLING_HEAD + turn
    old = state[place]
    state[place] = x
    state[at] = count + 1.0
    if turn == 0:  # once a turn: sums afresh, as distances from a near value
        state[at + 1] = x
        state[at + 2] = 0.0
        state[at + 3] = 0.0
        for other in range(at + ROLLING_HEAD, at + ROLLING_HEAD + (period if count >= period else 1)):
            distance = state[other] - x
            state[at + 2] += distance
            state[at + 3] += distance * distance
    else:
        new_distance = x - state[at + 1]
        old_distance = old - state[at + 1] if count >= period else 0.0
        state[at + 2] += new_distance - old_distance
        state[at + 3] += new_distance * new_distance - old_distance * old_distance
    if count + 1 < period:
        return NAN, NAN
    offset = state[at + 2] / period
    variance = state[at + 3] / period - offset * offset
    return state[at + 1] + offset, (math.sqrt(variance) if variance > 0.0 else 0.0)
