"""One market measured from its bars, for a bot that brings bars of its own and no array library.

Trend from 1-hour bars, volatility from 4-hour bars, both aggregated from the bars given, by the indicators that the
engine uses. Bars that are longer are taken as they are, and their ATR ratio times √(4 h / bar): ranges grow with the
root of time, and the profiles' thresholds are those of 4-hour bars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from quantum_trader.domain.enums import (
    DIR_NONE,
    DIRECTION_CODES,
    TREND_CODES,
    TREND_UNKNOWN,
    VOL_CODES,
    Direction,
    Trend,
)
from quantum_trader.domain.indicators import (
    ADX_SIZE,
    ATR_SIZE,
    EMA_SIZE,
    adx_step,
    atr_step,
    ema_step,
    regime_step,
    vol_level,
)
from quantum_trader.domain.market import MarketState
from quantum_trader.policy.core import MAX_MARKET_AGE_BARS
from quantum_trader.policy.profiles import OrchestratorConfig

TREND_S: Final = 3_600
VOL_S: Final = 4 * 3_600
PERIOD: Final = 14
EMA_PERIOD: Final = 21
ADX_ENTER: Final = 25.0  # the values of market.regime.MarketSettings
ADX_LEAVE: Final = 22.0
MIN_BARS: Final = 3.0


class _Longer:
    """Bars of *length_s* seconds from shorter ones: complete once the last short one has come, or one after it."""

    __slots__ = ("close", "high", "length_s", "low", "start_s")

    def __init__(self, length_s: int) -> None:
        self.length_s = length_s
        self.start_s = -1
        self.high = self.low = self.close = 0.0

    def add(self, start_s: int, end_s: int, high: float, low: float, close: float) -> list[tuple[float, float, float]]:
        """Take a bar; returns the (high, low, close) of the longer bars that it completes."""
        done = []
        bucket = start_s - start_s % self.length_s
        if self.start_s >= 0 and bucket != self.start_s:
            done.append((self.high, self.low, self.close))
            self.start_s = -1
        if self.start_s < 0:
            self.start_s, self.high, self.low = bucket, high, low
        self.high, self.low, self.close = max(self.high, high), min(self.low, low), close
        if end_s >= bucket + self.length_s:
            done.append((self.high, self.low, self.close))
            self.start_s = -1
        return done


class PairMarket:
    """Trend and volatility of one pair from its bars of *bar_s* seconds, oldest first."""

    __slots__ = ("_adx", "_age", "_bar_s", "_direction", "_ema", "_last_ema", "_ratio", "_trend", "_trend_bars",
                 "_vol_atr", "_vol_bars", "_vol_scale", "end_s", "seen_s")

    def __init__(self, bar_s: int) -> None:
        self._bar_s = bar_s
        self._trend_bars, self._vol_bars = _Longer(max(bar_s, TREND_S)), _Longer(max(bar_s, VOL_S))
        self._vol_scale = math.sqrt(VOL_S / self._vol_bars.length_s)
        self._adx, self._ema, self._vol_atr = [0.0] * ADX_SIZE, [0.0] * EMA_SIZE, [0.0] * ATR_SIZE
        self._last_ema = self._ratio = math.nan
        self._trend, self._direction, self._age = TREND_UNKNOWN, DIR_NONE, 0
        self.seen_s = -1  # open of the newest bar taken, seconds since the epoch
        self.end_s = -1  # its end

    def add(self, start_s: int, high: float, low: float, close: float) -> None:
        """Take the bar that opened at *start_s*; one that is not newer than the last is passed over."""
        if start_s <= self.seen_s or not (math.isfinite(high) and math.isfinite(low) and close > 0.0):
            return
        self.seen_s, self.end_s = start_s, start_s + self._bar_s
        for bar in self._trend_bars.add(start_s, self.end_s, high, low, close):
            self._take_trend(*bar)
        for top, bottom, last in self._vol_bars.add(start_s, self.end_s, high, low, close):
            self._ratio = atr_step(self._vol_atr, 0, top, bottom, last, PERIOD) / last * self._vol_scale

    def _take_trend(self, high: float, low: float, close: float) -> None:
        adx, plus, minus = adx_step(self._adx, 0, high, low, close, PERIOD)
        ema = ema_step(self._ema, 0, close, EMA_PERIOD)
        self._trend, self._direction, self._age = regime_step(
            self._trend, self._direction, self._age, adx, ema - self._last_ema, plus, minus, ADX_ENTER, ADX_LEAVE,
            MIN_BARS,
        )
        self._last_ema = ema

    @property
    def vol_ratio(self) -> float:
        """ATR(14) over price of 4-hour bars, scaled to them from longer ones; NaN while too few were seen."""
        return self._ratio

    def state(self, now_s: float, config: OrchestratorConfig) -> MarketState:
        """The market at *now_s*, UNKNOWN while too few bars were seen; its age in trend bars, from the newest bar."""
        level = vol_level(self._ratio, config.high_vol_threshold, config.extreme_vol_threshold)
        age = (now_s - self.end_s) / self._trend_bars.length_s if self.end_s >= 0 else 0.0
        return MarketState(
            trend=TREND_CODES[self._trend], direction=DIRECTION_CODES[self._direction], vol_level=VOL_CODES[level],
            vol_ratio=self._ratio,
            age_bars=max(0.0, age),
        )


def overall(markets: Sequence[MarketState]) -> tuple[Trend, Direction | None, float]:
    """The commonest trend of the fresh *markets*, its direction, and the mean ATR ratio; UNKNOWN without a fresh one.

    A tie between trends is RANGING, then UNKNOWN; a tie between directions is none.
    """
    fresh = [one for one in markets if one.age_bars <= MAX_MARKET_AGE_BARS]
    if not fresh:
        return Trend.UNKNOWN, None, math.nan
    counts = {trend: sum(one.trend is trend for one in fresh) for trend in Trend}
    trend = max((Trend.RANGING, Trend.UNKNOWN, Trend.TRENDING), key=lambda one: counts[one])
    up = sum(one.direction is Direction.UP for one in fresh)
    down = sum(one.direction is Direction.DOWN for one in fresh)
    direction = None if trend is not Trend.TRENDING or up == down else Direction.UP if up > down else Direction.DOWN
    ratios = [one.vol_ratio for one in fresh if math.isfinite(one.vol_ratio)]
    return trend, direction, math.fsum(ratios) / len(ratios) if ratios else math.nan
