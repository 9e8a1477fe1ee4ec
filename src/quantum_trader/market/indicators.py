"""Technical indicators: one step a bar, and batch forms over arrays that call the same step.

A step is a scalar function ``step(state, at, …)``: *state* is any mutable sequence of floats, *at* the index
of this indicator's first cell in it; all cells are zero before the first bar. Many indicators share one array, and a
kernel compiles them together. A step returns NaN during its warm-up. The work of a step does not depend on the
period, except in highest_step, which scans its window when the extreme leaves it; rolling sums are recomputed once
per turn of their ring, so that rounding errors do not accumulate.

Warm-up and smoothing follow TA-Lib: an EMA starts from the mean of its first *period* values, Wilder's averages
from the mean of the first *period* changes. Sources: J. W. Wilder, New Concepts in Technical Trading Systems
(1978) for RSI, ATR and ADX; TA-Lib 0.6 for the conventions the tests compare with.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.indicators import (
    ADX_SIZE,
    ATR_SIZE,
    EMA_SIZE,
    NAN,
    ROLLING_HEAD,
    Cells,
    adx_step,
    atr_step,
    ema_step,
    rolling_size,
    rolling_step,
)
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.arrays import Floats
from quantum_trader.market.jit import compiled, kernel

RSI_SIZE: Final = 4
MACD_SIZE: Final = 1 + 3 * EMA_SIZE
EXTREME_HEAD: Final = 3  # cells before the ring: count, extreme, its age


def extreme_size(period: int) -> int:
    """Cells of :func:`highest_step`."""
    return EXTREME_HEAD + period


@scalar
def rsi_step(state: Cells, at: int, x: float, period: int) -> float:
    """Wilder's relative strength index, 0..100. Cells: count, last value, mean gain, mean loss."""
    seen = state[at]
    change = x - state[at + 1]
    state[at] = seen + 1.0
    state[at + 1] = x
    if seen < 1.0:
        return NAN
    gain = change if change > 0.0 else 0.0
    loss = -change if change < 0.0 else 0.0
    if seen <= period:
        state[at + 2] += gain / period
        state[at + 3] += loss / period
        if seen < period:
            return NAN
    else:
        state[at + 2] = (state[at + 2] * (period - 1.0) + gain) / period
        state[at + 3] = (state[at + 3] * (period - 1.0) + loss) / period
    both = state[at + 2] + state[at + 3]
    return 100.0 * state[at + 2] / both if both > 0.0 else 0.0


@scalar
def macd_step(state: Cells, at: int, x: float, fast: int, slow: int, signal: int) -> tuple[float, float, float]:
    """Return (MACD line, signal line, histogram); the fast mean starts so that both are first known together."""
    count = state[at]
    state[at] = count + 1.0
    quick = ema_step(state, at + 1, x, fast) if count >= slow - fast else NAN
    calm = ema_step(state, at + 1 + EMA_SIZE, x, slow)
    if count < slow - 1.0:
        return NAN, NAN, NAN
    line = quick - calm
    smooth = ema_step(state, at + 1 + 2 * EMA_SIZE, line, signal)
    return line, smooth, line - smooth


@scalar
def lag_step(state: Cells, at: int, x: float, period: int) -> float:
    """Return the value *period* bars ago and store *x*. Cells: count, three unused, ring."""
    count = int(state[at])
    place = at + ROLLING_HEAD + count % period
    old = state[place] if count >= period else NAN
    state[place] = x
    state[at] = count + 1.0
    return old


@scalar
def slope_step(state: Cells, at: int, y: float, period: int) -> float:
    """Least-squares slope of the last *period* values, per bar. Cells: count, anchor, sum y, sum of place*y, ring."""
    count = int(state[at])
    turn = count % period
    place = at + ROLLING_HEAD + turn
    old = state[place] - state[at + 1]
    state[place] = y
    state[at] = count + 1.0
    if count < period or turn == 0:
        seen = min(count + 1, period)
        state[at + 1] = y
        state[at + 2] = 0.0
        state[at + 3] = 0.0
        for back in range(seen):
            distance = state[at + ROLLING_HEAD + (count - back) % period] - y
            state[at + 2] += distance
            state[at + 3] += distance * (period - 1 - back)
    else:
        new = y - state[at + 1]
        state[at + 3] += (period - 1) * new - (state[at + 2] - old)
        state[at + 2] += new - old
    if count + 1 < period:
        return NAN
    mean_place = (period - 1) / 2.0
    return (state[at + 3] - mean_place * state[at + 2]) / (period * (period * period - 1.0) / 12.0)


@scalar
def highest_step(state: Cells, at: int, x: float, period: int) -> float:
    """Largest of the last *period* values; the lowest is ``-highest_step(state, at, -x, period)``."""
    count = int(state[at])
    state[at + EXTREME_HEAD + count % period] = x
    state[at] = count + 1.0
    if count == 0 or x >= state[at + 1]:
        state[at + 1] = x
        state[at + 2] = 0.0
    else:
        state[at + 2] += 1.0
        if state[at + 2] >= period:  # the extreme has left the window
            state[at + 1] = x
            state[at + 2] = 0.0
            for back in range(1, period):
                other = state[at + EXTREME_HEAD + (count - back) % period]
                if other > state[at + 1]:
                    state[at + 1] = other
                    state[at + 2] = float(back)
    return state[at + 1] if count + 1 >= period else NAN


_ema, _rsi, _atr, _adx, _macd = (compiled(step) for step in (ema_step, rsi_step, atr_step, adx_step, macd_step))
_rolling, _slope, _highest, _lag = (compiled(step) for step in (rolling_step, slope_step, highest_step, lag_step))


@kernel
def _ema_over(values: Floats, period: int, state: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[i] = _ema(state, 0, values[i], period)


@kernel
def _rsi_over(values: Floats, period: int, state: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[i] = _rsi(state, 0, values[i], period)


@kernel
def _slope_over(values: Floats, period: int, state: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[i] = _slope(state, 0, values[i], period)


@kernel
def _lag_over(values: Floats, period: int, state: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[i] = _lag(state, 0, values[i], period)


@kernel
def _rolling_over(values: Floats, period: int, state: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[0, i], out[1, i] = _rolling(state, 0, values[i], period)


@kernel
def _macd_over(values: Floats, fast: int, slow: int, signal: int, state: Floats, out: Floats) -> None:
    for i in range(values.shape[0]):
        out[0, i], out[1, i], out[2, i] = _macd(state, 0, values[i], fast, slow, signal)


@kernel
def _range_over(high: Floats, low: Floats, close: Floats, period: int, state: Floats, out: Floats) -> None:
    for i in range(close.shape[0]):
        out[0, i] = _atr(state, 0, high[i], low[i], close[i], period)
        out[1, i], out[2, i], out[3, i] = _adx(state, ATR_SIZE, high[i], low[i], close[i], period)


@kernel
def _channel_over(high: Floats, low: Floats, period: int, state: Floats, out: Floats) -> None:
    for i in range(high.shape[0]):
        out[0, i] = _highest(state, 0, high[i], period)
        out[1, i] = -_highest(state, EXTREME_HEAD + period, -low[i], period)


def _column(values: npt.ArrayLike) -> Floats:
    column: Floats = np.ascontiguousarray(values, dtype=np.float64)
    return column


def _single(over: Any, values: npt.ArrayLike, period: int, size: int) -> Floats:
    column = _column(values)
    out = np.empty(column.shape[0])
    over(column, period, np.zeros(size), out)
    return out


def ema(values: npt.ArrayLike, period: int) -> Floats:
    """Exponential mean of *values* (n,); NaN for the first period-1."""
    return _single(_ema_over, values, period, EMA_SIZE)


def sma(values: npt.ArrayLike, period: int) -> Floats:
    """Plain mean of the last *period* values (n,); NaN for the first period-1."""
    return _rolling_pair(values, period)[0]


def rsi(values: npt.ArrayLike, period: int = 14) -> Floats:
    """Wilder's RSI (n,), 0..100; NaN for the first *period*."""
    return _single(_rsi_over, values, period, RSI_SIZE)


def slope(values: npt.ArrayLike, period: int) -> Floats:
    """Least-squares slope per bar over the last *period* values (n,); NaN for the first period-1."""
    return _single(_slope_over, values, period, rolling_size(period))


def returns(values: npt.ArrayLike, lag: int = 1) -> Floats:
    """Simple return over *lag* bars (n,), a fraction; NaN for the first *lag*."""
    earlier = _single(_lag_over, values, lag, rolling_size(lag))
    change: Floats = _column(values) / earlier - 1.0
    return change


def realised_volatility(values: npt.ArrayLike, period: int) -> Floats:
    """Standard deviation of the last *period* log returns (n,), a fraction a bar; NaN for the first *period*."""
    column = _column(values)
    out = np.full(column.shape[0], NAN)
    out[1:] = _rolling_pair(np.diff(np.log(column)), period)[1]
    return out


def bollinger(values: npt.ArrayLike, period: int = 20, width: float = 2.0) -> tuple[Floats, Floats, Floats]:
    """Return (upper, middle, lower) bands (n,): mean and *width* population standard deviations."""
    mean, deviation = _rolling_pair(values, period)
    return mean + width * deviation, mean, mean - width * deviation


def macd(
    values: npt.ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9
) -> tuple[Floats, Floats, Floats]:
    """Return (line, signal, histogram) (n,); the line is NaN for the first slow-1, the others signal-1 longer."""
    column = _column(values)
    out = np.empty((3, column.shape[0]))
    _macd_over(column, fast, slow, signal, np.zeros(MACD_SIZE), out)
    return out[0], out[1], out[2]


def atr(high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, period: int = 14) -> Floats:
    """Wilder's average true range (n,), price units; NaN for the first *period*."""
    values: Floats = _ranges(high, low, close, period)[0]
    return values


def adx(
    high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, period: int = 14
) -> tuple[Floats, Floats, Floats]:
    """Return (ADX, +DI, -DI) (n,), 0..100; the DIs are NaN for the first *period*, ADX for the first 2*period-1."""
    out = _ranges(high, low, close, period)
    return out[1], out[2], out[3]


def donchian(high: npt.ArrayLike, low: npt.ArrayLike, period: int = 20) -> tuple[Floats, Floats]:
    """Return (highest high, lowest low) of the last *period* bars (n,); NaN for the first period-1."""
    highs = _column(high)
    out = np.empty((2, highs.shape[0]))
    _channel_over(highs, _column(low), period, np.zeros(2 * extreme_size(period)), out)
    return out[0], out[1]


def _rolling_pair(values: npt.ArrayLike, period: int) -> tuple[Floats, Floats]:
    column = _column(values)
    out = np.empty((2, column.shape[0]))
    _rolling_over(column, period, np.zeros(rolling_size(period)), out)
    return out[0], out[1]


def _ranges(high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, period: int) -> Floats:
    closes = _column(close)
    out = np.empty((4, closes.shape[0]))
    _range_over(_column(high), _column(low), closes, period, np.zeros(ATR_SIZE + ADX_SIZE), out)
    return out
