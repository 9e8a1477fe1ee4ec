"""The features from quotes, funding, regime, clock and the other symbols, as the feature list states them."""

from __future__ import annotations

from typing import Final

from quantum_trader.pilot.feature import INF, Feature

NO_BOOK: Final = "where the feed has no order book: bars alone, every recording"
NO_FUNDING: Final = "before the first payment that the venue's history has; where rates are only assumed"
NO_SCHEDULE: Final = "where the time of the next payment is not known"
NO_MARKET: Final = "where no other symbol is traded or none has a bar; until 60 common bars (market_correlation)"


def _book(name: str, formula: str, unit: str, low: float, high: float, scale: float) -> Feature:
    return Feature(
        name=name, formula=formula, unit=unit, low=low, high=high, source="quotes", mask=NO_BOOK, scale=scale,
        fitted=name == "spread",
    )


def _regime(name: str, formula: str) -> Feature:
    return Feature(
        name=f"regime_{name.lower()}", formula=f"1 where the regime is {name}: {formula}; else 0", unit="flag", low=0.0,
        high=1.0, source="bars", fitted=False,
    )


def _clock(name: str, formula: str) -> Feature:
    return Feature(name=name, formula=formula, unit="wave", low=-1.0, high=1.0, source="clock", fitted=False)


MARKET_FEATURES: Final = (
    _book("spread", "(ask - bid) / their middle, at the close", "bps", 0.0, INF, 2.0),
    _book("depth_imbalance", "(bid - ask quantity) / both, of the levels shown", "share", -1.0, 1.0, 0.5),
    _book("order_flow_imbalance", "(bought - sold) / both, of the bar's takers", "share", -1.0, 1.0, 0.5),
    Feature(
        name="order_book_known", formula="share of the three features above that are not masked", unit="share",
        low=0.0, high=1.0, source="quotes", fitted=False,
    ),
    Feature(
        name="funding_rate", formula="rate of the last payment, per 8 hours", unit="fraction", low=-INF, high=INF,
        source="funding", mask=NO_FUNDING, scale=0.0002,
    ),
    Feature(
        name="funding_hours", formula="hours from the close to the first payment after it", unit="hours", low=0.0,
        high=8.0, source="funding", mask=NO_SCHEDULE, center=4.0, scale=2.5, fitted=False,
    ),
    _regime("BULL", "TRENDING UP on 1-hour bars (ADX(14) from 25, until below 22), not HIGH_VOL"),
    _regime("BEAR", "TRENDING DOWN on 1-hour bars, not HIGH_VOL"),
    _regime("HIGH_VOL", "ATR(14) / close of 4-hour bars >= 0.04"),
    _regime("CHOP", "RANGING on 1-hour bars, ADX(14) < 20, not HIGH_VOL"),
    _regime("NORMAL", "none of the others"),
    Feature(
        name="regime_age", formula="ln(1 + bars since the regime began)", unit="log bars", low=0.0, high=INF,
        source="bars", center=3.4, scale=1.9,
    ),
    _clock("hour_sine", "sin(2π × share of the UTC day passed at the close)"),
    _clock("hour_cosine", "cos(2π × share of the UTC day passed at the close)"),
    _clock("week_sine", "sin(2π × share of the week passed at the close, from Monday 00:00 UTC)"),
    _clock("week_cosine", "cos(2π × share of the week passed at the close, from Monday 00:00 UTC)"),
    Feature(
        name="market_return", formula="return_1 of Bitcoin; for Bitcoin, or without it, the mean of the other symbols",
        unit="fraction", low=-1.0, high=INF, source="market", mask=NO_MARKET, scale=0.006, grows=True,
    ),
    Feature(
        name="market_correlation", formula="correlation of return_1 with market_return over 60 common bars",
        unit="correlation", low=-1.0, high=1.0, source="market", mask=NO_MARKET, center=0.78, scale=0.2,
    ),
)
