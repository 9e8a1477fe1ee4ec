"""The features of a signal at its entry: one row of numbers, the same for a record, for training and for scoring.

A meta-label model learns from them whether a signal wins after costs. Each value was known at the close at which the
signal was given. None is about the account's money; the record of the symbol is that of the account's own closed
trades, so that the same signal may have another one in another account.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final, NamedTuple

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.enums import DIR_DOWN, DIR_UP
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.costs import BPS, FUNDING_HOURS


class EntryFeatures(NamedTuple):
    """The features, in their order; NaN where one is not known."""

    sign: float  # +1 long, -1 short
    confidence: float
    expected_bps: float  # gross, over the time that the forecast is meant for
    error_bps: float  # standard error of that; NaN without a model's forecast
    cost_bps: float
    score: float  # of the model, in the signal's direction, root-mean-squares; NaN without a model
    consensus: float  # share of the models that agree
    quality: float  # of the ensemble lately, 0..1
    spread_bps: float
    volume_ratio: float  # last hour over the mean of the last 24
    trend: float  # TREND code
    direction: float  # +1 the trend's direction is the signal's, -1 it is the other one, 0 there is none
    regime_age: float  # hours since the trend state began
    adx: float
    vol_ratio: float  # ATR over price of 4-hour bars
    atr_bps: float  # ATR of hourly bars over price
    funding_bps: float  # per 8 hours, as the position pays it; below 0: it receives
    symbol_trades: float  # closed trades of the symbol
    symbol_winrate: float
    symbol_avg_r: float
    hour_sin: float  # of the hour of the day, UTC
    hour_cos: float
    weekday: float  # 0 Monday to 6 Sunday


ENTRY_FEATURES: Final = EntryFeatures._fields
ENTRY_FEATURES_HASH: Final = hashlib.sha256("\n".join(("entry 1", *ENTRY_FEATURES)).encode()).hexdigest()
_EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday


@scalar
def direction_edge_bps(confidence: float, atr_1h: float, close: float, hours: float) -> float:
    """The expected return of a direction that is right with probability *confidence*, basis points over *hours*.

    (2 p - 1) times the mean absolute move. Of a random walk that move is half the mean range (W. Feller, Annals of
    Mathematical Statistics 22, 1951: sqrt(2 / pi) and sqrt(8 / pi) standard deviations), and both grow with the square
    root of time; the range of an hour is *atr_1h*, price units. NaN while that is not known.
    """
    return (2.0 * confidence - 1.0) * 0.5 * atr_1h / close * math.sqrt(hours) * BPS


@scalar
def signal_cost_bps(sign: int, round_trip_bps: float, funding_8h: float, hours: float) -> float:
    """The cost of a direction's position over *hours*, basis points: a round trip, and funding where it is paid."""
    funding = sign * funding_8h
    paid = funding if funding > 0.0 else 0.0
    return round_trip_bps + paid * hours / FUNDING_HOURS * BPS


def time_features(now_ns: int) -> tuple[float, float, float]:
    """Sine and cosine of the hour of the day, and the weekday (0 Monday), of the UTC time *now_ns*."""
    angle = 2.0 * math.pi * (now_ns % NS_PER_DAY) / NS_PER_DAY
    return math.sin(angle), math.cos(angle), float((now_ns // NS_PER_DAY + _EPOCH_WEEKDAY) % 7)


def trend_agreement(sign: int, direction: int) -> float:
    """+1 where the trend's *direction* (a DIR code) is that of *sign*, -1 where it is the other one, 0 without one."""
    if direction not in (DIR_UP, DIR_DOWN):
        return 0.0
    return 1.0 if (direction == DIR_UP) == (sign > 0) else -1.0
