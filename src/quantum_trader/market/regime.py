"""Trend and volatility of one symbol, from completed longer bars, with hysteresis.

Trend: ADX(14) of 1-hour bars. At 25 or more a market is TRENDING, and stays so until ADX falls below 22; a state
holds for at least three bars. Direction: UP when the slope of the EMA and +DI over -DI agree on it, DOWN likewise;
while they disagree the direction holds. Volatility: ATR(14) over price of 4-hour bars; the policy's
profile has the thresholds of its levels.
"""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.errors import require
from quantum_trader.domain.indicators import (
    ADX_SIZE,
    ATR_SIZE,
    EMA_SIZE,
    NAN,
    Cells,
    adx_step,
    atr_step,
    ema_step,
    regime_step,
    rolling_size,
    rolling_step,
)
from quantum_trader.domain.scalar import scalar

ATR_PERIOD: Final = 14
ADX_PERIOD: Final = 14
VOLUME_HOURS: Final = 24


class MarketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Timeframes and thresholds of trend and volatility."""

    trend_minutes: int = 60  # bars of ADX, EMA slope and the ATR of stops
    vol_minutes: int = 240  # bars of the volatility ratio
    ema_period: int = 21  # bars of *trend_minutes*
    adx_enter: float = 25.0  # ADX at which RANGING turns TRENDING
    adx_leave: float = 22.0  # ADX below which TRENDING turns RANGING
    regime_min_bars: int = 3  # bars a state holds at least

    def __post_init__(self) -> None:
        for key in ("trend_minutes", "vol_minutes"):
            value = getattr(self, key)
            require(0 < value <= 1440 and 1440 % value == 0, key, value, "must divide a day (1440 minutes)")
        require(2 <= self.ema_period <= 500, "ema_period", self.ema_period, "must be 2 to 500 bars")
        require(0.0 < self.adx_enter <= 100.0, "adx_enter", self.adx_enter, "is an ADX between 0 and 100")
        require(0.0 < self.adx_leave <= self.adx_enter, "adx_leave", self.adx_leave, "must not exceed adx_enter")
        require(self.regime_min_bars >= 1, "regime_min_bars", self.regime_min_bars, "must be 1 or more")

    @property
    def trend_ns(self) -> int:
        """Length of a trend bar."""
        return self.trend_minutes * NS_PER_MINUTE

    @property
    def vol_ns(self) -> int:
        """Length of a volatility bar."""
        return self.vol_minutes * NS_PER_MINUTE


# One symbol's measures in a row of floats: results first, then the indicators' cells.
(MEASURE_ATR, MEASURE_ADX, MEASURE_TREND, MEASURE_DIRECTION, MEASURE_REGIME_AGE, MEASURE_VOL_RATIO,
 MEASURE_VOLUME_RATIO, MEASURE_EMA) = range(8)
_AT_EMA: Final = 8
_AT_ATR: Final = _AT_EMA + EMA_SIZE
_AT_ADX: Final = _AT_ATR + ATR_SIZE
_AT_VOLUME: Final = _AT_ADX + ADX_SIZE
_AT_VOL_ATR: Final = _AT_VOLUME + rolling_size(VOLUME_HOURS)
MEASURE_SIZE: Final = _AT_VOL_ATR + ATR_SIZE


@scalar
def measure_clear(row: Cells, at: int) -> None:
    """Reset all measures: trend UNKNOWN, numbers NaN, indicators without history."""
    for cell in range(at, at + MEASURE_SIZE):
        row[cell] = 0.0
    row[at + MEASURE_ATR] = NAN
    row[at + MEASURE_ADX] = NAN
    row[at + MEASURE_VOL_RATIO] = NAN
    row[at + MEASURE_VOLUME_RATIO] = NAN
    row[at + MEASURE_EMA] = NAN


@scalar
def measure_trend(
    row: Cells, at: int, high: float, low: float, close: float, volume: float, ema_period: int, enter: float,
    leave: float, min_bars: float,
) -> None:
    """Update ATR, ADX, EMA, the volume ratio and the regime with one completed trend bar."""
    row[at + MEASURE_ATR] = atr_step(row, at + _AT_ATR, high, low, close, ATR_PERIOD)
    adx, plus_di, minus_di = adx_step(row, at + _AT_ADX, high, low, close, ADX_PERIOD)
    ema = ema_step(row, at + _AT_EMA, close, ema_period)
    trend, direction, age = regime_step(
        int(row[at + MEASURE_TREND]), int(row[at + MEASURE_DIRECTION]), int(row[at + MEASURE_REGIME_AGE]),
        adx, ema - row[at + MEASURE_EMA], plus_di, minus_di, enter, leave, min_bars,
    )
    row[at + MEASURE_ADX] = adx
    row[at + MEASURE_EMA] = ema
    row[at + MEASURE_TREND] = float(trend)
    row[at + MEASURE_DIRECTION] = float(direction)
    row[at + MEASURE_REGIME_AGE] = float(age)
    mean_volume, _ = rolling_step(row, at + _AT_VOLUME, volume, VOLUME_HOURS)
    row[at + MEASURE_VOLUME_RATIO] = volume / mean_volume if mean_volume > 0.0 else NAN


@scalar
def measure_volatility(row: Cells, at: int, high: float, low: float, close: float) -> None:
    """Update the volatility ratio (ATR(14) / close) with one completed volatility bar."""
    row[at + MEASURE_VOL_RATIO] = atr_step(row, at + _AT_VOL_ATR, high, low, close, ATR_PERIOD) / close
