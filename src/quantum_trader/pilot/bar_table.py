"""The features that come from a symbol's own bars, as the feature list states them."""

from __future__ import annotations

from typing import Final

from quantum_trader.pilot.feature import INF, Feature


def _returns(bars: int, scale: float) -> Feature:
    return Feature(
        name=f"return_{bars}", formula=f"close / close {bars} bars ago - 1" if bars > 1 else "close / last close - 1",
        unit="fraction", low=-1.0, high=INF, source="bars", scale=scale, grows=True,
    )


def _volatility(bars: int, center: float, scale: float) -> Feature:
    return Feature(
        name=f"volatility_{bars}", formula=f"population standard deviation of the last {bars} log returns",
        unit="fraction a bar", low=0.0, high=INF, source="bars", center=center, scale=scale, grows=True,
    )


def _distance(kind: str, bars: int, scale: float) -> Feature:
    return Feature(
        name=f"{kind.lower()}_{bars}_distance", formula=f"close / {kind}({bars}) - 1", unit="fraction", low=-1.0,
        high=INF, source="bars", scale=scale, grows=True,
    )


def _in_atr(name: str, formula: str, scale: float) -> Feature:
    return Feature(
        name=name, formula=f"{formula} / ATR(14)", unit="ATR", low=-INF, high=INF, source="bars", scale=scale
    )


def _percent(name: str, formula: str, center: float, scale: float) -> Feature:
    return Feature(
        name=name, formula=formula, unit="0..100", low=0.0, high=100.0, source="bars", center=center, scale=scale
    )


BAR_FEATURES: Final = (
    _returns(1, 0.008), _returns(3, 0.014), _returns(5, 0.018), _returns(15, 0.031), _returns(60, 0.065),
    _volatility(5, 0.0045, 0.005), _volatility(15, 0.0055, 0.005), _volatility(60, 0.0065, 0.005),
    Feature(
        name="volatility_ratio", formula="volatility_5 / volatility_60; 1 where both are 0", unit="ratio", low=0.0,
        high=INF, source="bars", center=0.7, scale=0.43,
    ),
    _percent("rsi", "RSI(14), Wilder", 50.0, 12.0),
    Feature(
        name="rsi_change", formula="RSI(14) - RSI(14) one bar ago", unit="points", low=-100.0, high=100.0,
        source="bars", scale=4.5,
    ),
    _in_atr("macd_line", "(EMA(12) - EMA(26))", 0.7),
    _in_atr("macd_signal", "EMA(9) of the MACD line", 0.67),
    _in_atr("macd_histogram", "(MACD line - its signal)", 0.21),
    _distance("SMA", 5, 0.0085), _distance("SMA", 15, 0.017), _distance("SMA", 60, 0.037), _distance("SMA", 200, 0.068),
    _distance("EMA", 5, 0.0068), _distance("EMA", 15, 0.014), _distance("EMA", 60, 0.031), _distance("EMA", 200, 0.059),
    Feature(
        name="bollinger_position", formula="(close - SMA(20)) / (2 standard deviations of 20 closes)",
        unit="half bands", low=-INF, high=INF, source="bars", scale=0.64,
    ),
    Feature(
        name="bollinger_width", formula="4 standard deviations of 20 closes / SMA(20)", unit="fraction", low=0.0,
        high=INF, source="bars", center=0.034, scale=0.038, grows=True,
    ),
    _percent("adx", "ADX(14), Wilder", 25.0, 12.0),
    _percent("plus_di", "+DI(14), Wilder", 22.0, 8.7),
    _percent("minus_di", "-DI(14), Wilder", 22.0, 8.7),
    Feature(
        name="atr_ratio", formula="ATR(14) / close", unit="fraction", low=0.0, high=INF, source="bars", center=0.009,
        scale=0.007, grows=True,
    ),
    _in_atr("momentum", "(close - close 10 bars ago)", 2.0),
    _in_atr("trend_slope", "slope a bar of the least-squares line through 20 closes", 0.15),
    Feature(
        name="trend_fit", formula="R² of the least-squares line through 20 closes", unit="share", low=0.0, high=1.0,
        source="bars", center=0.4, scale=0.25,
    ),
    Feature(
        name="high_distance", formula="close / highest high of 60 bars - 1", unit="fraction", low=-1.0, high=0.0,
        source="bars", center=-0.03, scale=0.037, grows=True,
    ),
    Feature(
        name="low_distance", formula="close / lowest low of 60 bars - 1", unit="fraction", low=0.0, high=INF,
        source="bars", center=0.035, scale=0.047, grows=True,
    ),
    Feature(
        name="volume_zscore", formula="(volume - mean of 60) / population standard deviation of 60 volumes",
        unit="deviations", low=-INF, high=INF, source="bars", center=-0.3, scale=0.9,
    ),
    Feature(
        name="volume_ratio", formula="mean of 5 volumes / mean of 60 volumes", unit="ratio", low=0.0, high=INF,
        source="bars", center=0.8, scale=0.7,
    ),
)
