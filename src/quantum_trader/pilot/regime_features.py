"""The market's regime as features: one of BULL, BEAR, HIGH_VOL, CHOP, NORMAL, and for how long it has been that one.

Trend and volatility are the market room's measures, with its default settings: ADX of 1-hour bars with hysteresis, ATR
over price of 4-hour bars. Both are built of the run's bars, whatever interval is observed.
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.enums import DIR_DOWN, DIR_UP, TREND_TRENDING, TREND_UNKNOWN
from quantum_trader.domain.indicators import NAN, Cells
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.regime import (
    MEASURE_ADX,
    MEASURE_DIRECTION,
    MEASURE_SIZE,
    MEASURE_TREND,
    MEASURE_VOL_RATIO,
    MarketSettings,
    measure_clear,
    measure_trend,
    measure_volatility,
)
from quantum_trader.market.resample import BUCKET_SIZE, bucket_add, bucket_waits
from quantum_trader.pilot import feature_columns as col

HIGH_VOL_RATIO: Final = 0.04  # ATR over price of 4-hour bars, as the profile STANDARD has it
CHOP_ADX: Final = 20.0  # of 1-hour bars; Wilder calls a market below it trendless

_MEASURES: Final = MarketSettings()
TREND_NS: Final = _MEASURES.trend_ns
VOL_NS: Final = _MEASURES.vol_ns
_EMA_PERIOD: Final = _MEASURES.ema_period
_ENTER: Final = _MEASURES.adx_enter
_LEAVE: Final = _MEASURES.adx_leave
_LEAST_BARS: Final = _MEASURES.regime_min_bars

BULL, BEAR, HIGH_VOL, CHOP, NORMAL = range(5)
UNKNOWN: Final = -1

# Cells of one symbol.
_REGIME: Final = 0  # the regime's code + 1, 0 before it is known
_AGE: Final = 1  # observed bars since it began
_MEASURE: Final = 2
_TREND_BAR: Final = _MEASURE + MEASURE_SIZE
_VOL_BAR: Final = _TREND_BAR + BUCKET_SIZE
REGIME_SIZE: Final = _VOL_BAR + BUCKET_SIZE


@scalar
def clear_regime(row: Cells, at: int) -> None:
    """Forget everything."""
    for cell in range(at, at + REGIME_SIZE):
        row[cell] = 0.0
    measure_clear(row, at + _MEASURE)


@scalar
def close_trend_bar(row: Cells, at: int) -> None:
    """Measure the trend with the held 1-hour bar and let go of it."""
    bar = at + _TREND_BAR
    measure_trend(
        row, at + _MEASURE, row[bar + 3], row[bar + 4], row[bar + 5], row[bar + 6], _EMA_PERIOD, _ENTER, _LEAVE,
        _LEAST_BARS,
    )
    row[bar] = 0.0


@scalar
def close_vol_bar(row: Cells, at: int) -> None:
    """Measure the volatility with the held 4-hour bar and let go of it."""
    bar = at + _VOL_BAR
    measure_volatility(row, at + _MEASURE, row[bar + 3], row[bar + 4], row[bar + 5])
    row[bar] = 0.0


@scalar
def take_base_bar(row: Cells, at: int, ts_ns: int, end_ns: int, bar: Cells) -> None:
    """Take a base bar (5,) from *ts_ns* to *end_ns* into the 1-hour and 4-hour bars, and measure those it completes."""
    trend, vol = float(ts_ns // TREND_NS), float(ts_ns // VOL_NS)
    if bucket_waits(row, at + _TREND_BAR, trend):
        close_trend_bar(row, at)
    if bucket_waits(row, at + _VOL_BAR, vol):
        close_vol_bar(row, at)
    bucket_add(row, at + _TREND_BAR, trend, bar[0], bar[1], bar[2], bar[3], bar[4])
    bucket_add(row, at + _VOL_BAR, vol, bar[0], bar[1], bar[2], bar[3], bar[4])
    if end_ns % TREND_NS == 0:
        close_trend_bar(row, at)
    if end_ns % VOL_NS == 0:
        close_vol_bar(row, at)


@scalar
def regime_of(trend: int, direction: int, adx: float, vol_ratio: float) -> int:
    """The code of the regime: high volatility first, then a trend's direction, then how little trend there is."""
    if trend == TREND_UNKNOWN or vol_ratio != vol_ratio:
        return UNKNOWN
    if vol_ratio >= HIGH_VOL_RATIO:
        return HIGH_VOL
    if trend == TREND_TRENDING:
        return BULL if direction == DIR_UP else (BEAR if direction == DIR_DOWN else NORMAL)
    return CHOP if adx < CHOP_ADX else NORMAL


@scalar
def step_regime(row: Cells, at: int, out: Cells) -> None:
    """Write the regime's five columns (1 in its own, 0 in the others) and its age at the end of an observed bar."""
    measure = at + _MEASURE
    regime = regime_of(
        int(row[measure + MEASURE_TREND]), int(row[measure + MEASURE_DIRECTION]), row[measure + MEASURE_ADX],
        row[measure + MEASURE_VOL_RATIO],
    )
    same = row[at + _REGIME] == regime + 1.0
    row[at + _AGE] = row[at + _AGE] + 1.0 if same else 0.0
    row[at + _REGIME] = regime + 1.0
    for code in range(5):
        out[col.REGIME_BULL + code] = NAN if regime == UNKNOWN else (1.0 if regime == code else 0.0)
    out[col.REGIME_AGE] = NAN if regime == UNKNOWN else math.log(1.0 + row[at + _AGE])
