"""Bars with gaps and crashes, and random actions on them, for tests against the paper venue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.instrument import Instrument
from quantum_trader.market.instruments import known_instruments
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.shadow_book import PositionSettings
from quantum_trader.venues.paper.funding import FundingSchedule

START = 1_704_067_200_000_000_000  # 2024-01-01
INTERVAL_NS = 30 * NS_PER_MINUTE
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "LTCUSDT")
PRICES = {"BTCUSDT": 42_000.0, "ETHUSDT": 2_300.0, "XRPUSDT": 0.6, "LTCUSDT": 70.0}
FUNDING_HOURS = (1, 4, 8)


class Sequence(NamedTuple):
    """One random sequence: bars, what is known of them, and the actions; arrays (T,)."""

    instrument: Instrument
    settings: PositionSettings
    equity: float
    ts: np.ndarray
    ohlc: np.ndarray  # (T, 4)
    atr: np.ndarray
    cost_bps: np.ndarray
    funding_rate: np.ndarray  # due after the open before and up to the open
    funding: dict[str, tuple[np.ndarray, np.ndarray]]
    actions: np.ndarray  # (T - 1,)


def _bars(rng: np.random.Generator, count: int, price: float, tick: float) -> np.ndarray:
    """A walk whose bars gap often and crash now and then, on the tick grid."""
    moves = rng.normal(0.0, 0.01, count) * rng.choice([0.3, 1.0, 4.0], count, p=[0.6, 0.35, 0.05])
    gaps = np.where(rng.random(count) < 0.15, rng.normal(0.0, 0.03, count), 0.0)
    gaps = np.where(rng.random(count) < 0.02, rng.choice([-1.0, 1.0], count) * rng.uniform(0.1, 0.3, count), gaps)
    rows, last = np.empty((count, 4)), price
    for bar in range(count):
        opened = last * np.exp(gaps[bar])
        closed = opened * np.exp(moves[bar])
        spread = np.abs(rng.normal(0.0, 0.006, 2)) * rng.choice([1.0, 12.0], p=[0.97, 0.03])
        high, low = max(opened, closed) * (1.0 + spread[0]), min(opened, closed) * (1.0 - min(spread[1], 0.5))
        rows[bar] = opened, high, low, closed
        last = closed * (price / closed) ** 0.02
    inverse = round(1.0 / tick) if tick < 1.0 else 0
    counts = np.maximum(np.rint(rows / tick), 1.0)
    return counts / inverse if inverse else counts * tick


def sequence(
    seed: int, count: int = 120, settings: PositionSettings | None = None, equity: float | None = None
) -> Sequence:
    """The sequence of *seed*; fundings every 1, 4 or 8 hours, by a history.

    *settings* and *equity* are drawn where they are not given.
    """
    rng = np.random.default_rng(seed)
    symbol = SYMBOLS[seed % len(SYMBOLS)]
    instrument = known_instruments()[symbol]
    chosen = PositionSettings(
        stop_atr=float(rng.choice([1.0, 3.0, 6.0])), risk_pct=float(rng.choice([0.25, 0.5, 3.0])),
        leverage=float(rng.choice([3.0, 10.0, 20.0])), buffer_pct=float(rng.choice([0.0, 1.0])),
    )
    ts = START + np.arange(count, dtype=np.int64) * INTERVAL_NS
    ohlc = _bars(rng, count, PRICES[symbol], instrument.tick_size)
    hours = FUNDING_HOURS[seed // len(SYMBOLS) % len(FUNDING_HOURS)]
    times = np.arange(START - hours * NS_PER_HOUR, ts[-1] + hours * NS_PER_HOUR, hours * NS_PER_HOUR, dtype=np.int64)
    rates = rng.normal(0.0, 0.002, len(times))
    schedule = FundingSchedule(symbol, times.tolist(), rates.tolist(), 0.0, hours)
    due = np.array([
        sum(rate for _, rate in schedule.due(int(ts[bar]) - INTERVAL_NS, int(ts[bar]))) for bar in range(count)
    ])
    actions = rng.choice(ACTION_COUNT, count - 1, p=[0.1, 0.2, 0.2, 0.15, 0.15, 0.2])
    return Sequence(
        instrument, settings or chosen, equity or float(rng.choice([10_000.0, 500.0, 200_000.0])), ts, ohlc,
        ohlc[:, 3] * 10.0 ** rng.uniform(-2.5, -1.3, count), rng.uniform(0.0, 8.0, count), due,
        {symbol: (times, rates)}, actions,
    )
