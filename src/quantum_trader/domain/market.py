"""Bars and market states."""

from __future__ import annotations

import msgspec

from quantum_trader.domain.enums import Direction, Trend, VolLevel


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One candle; *ts_ns* marks its open (UTC)."""

    symbol: str
    ts_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class MarketState(msgspec.Struct, frozen=True, kw_only=True):
    """Trend from hourly bars, volatility from 4-hour bars, and how old they are."""

    trend: Trend
    direction: Direction | None
    vol_level: VolLevel
    vol_ratio: float = float("nan")  # ATR(14) / price of 4-hour bars; NaN when only the level is known
    age_bars: float = 0.0  # in bars of the market's own timeframe


class MarketBatch:
    """The bars of all symbols (S) at one open time: the engine's input for one step.

    Shapes: ohlcv (S, 5) float64 columns open, high, low, close, volume; present (S,) bool. *ts_ns* is the open
    of the bars; they are complete at ``ts_ns + interval_ns``. Arrays may be views of a larger recording and are
    read only.
    """

    __slots__ = ("interval_ns", "ohlcv", "present", "ts_ns")

    def __init__(self, ts_ns: int, interval_ns: int, ohlcv, present) -> None:  # type: ignore[no-untyped-def]
        self.ts_ns = ts_ns
        self.interval_ns = interval_ns
        self.ohlcv = ohlcv
        self.present = present
