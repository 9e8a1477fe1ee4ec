"""Seeded, realistic bars of any length: for benchmarks, memory tests and rehearsals. No substitute for a market.

Regimes come and go hourly (calm, up, down, wild), volatility clusters, tails are fat, symbols share a market factor.
Everything derives from (seed, block, symbol), so a series can be read any number of times and is never
whole in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, to_ns
from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.arrays import Floats
from quantum_trader.market.intervals import interval_ns
from quantum_trader.market.recording import Recording, RecordingSettings
from quantum_trader.market.store import Times, Values, series_path, series_table, write_parquet

BLOCK_BARS: Final = 16_384
FIRST_OPEN: Final = datetime(2024, 1, 1, tzinfo=UTC)
_HOUR_VOL: Final = 0.006  # one hour's standard deviation of a typical symbol
# calm, up, down, wild: drift per hour in hourly deviations, volatility multiplier
_DRIFT: Final = np.array([0.0, 0.12, -0.13, 0.0])
_LEVEL: Final = np.array([0.6, 0.9, 1.1, 2.4])
_STAY: Final = 0.97  # probability that an hour keeps the regime of the hour before
_PERSISTENCE: Final = 0.98  # of log-volatility, hour to hour
_VOL_OF_VOL: Final = 0.08
_TAIL: Final = 4.0  # degrees of freedom of the shocks
_SYMBOL_STREAM: Final = 1_000


class _Factor(NamedTuple):
    """The market factor of one block, by bar; the same for all symbols."""

    drift: Floats
    level: Floats
    shock: Floats


def symbol_names(count: int) -> tuple[str, ...]:
    """Names of *count* made-up symbols; real names would suggest real data."""
    return tuple(f"GEN{number:02d}USDT" for number in range(1, count + 1))


class GeneratedSeries:
    """One symbol's bars, made block by block as they are read."""

    def __init__(self, symbol: str, index: int, interval: str, start_ns: int, bars: int, seed: int) -> None:
        self.symbol = symbol
        self.where = f"generated:{symbol}"
        self._index = index
        self._step_ns = interval_ns(interval)
        self._start_ns = start_ns
        self._bars = bars
        self._seed = seed

    def span(self) -> tuple[int, int]:
        """First and last opening time."""
        return self._start_ns, self._start_ns + (self._bars - 1) * self._step_ns

    def pieces(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, Times, Values]]:
        """Yield the blocks that touch the range; earlier ones are made too, since the price path starts there."""
        base = self._seed, _SYMBOL_STREAM + self._index
        close = float(np.random.default_rng(base).lognormal(3.0, 2.5))
        tick = 10.0 ** (np.floor(np.log10(close)) - 4)
        for first in range(0, self._bars, BLOCK_BARS):
            rows = min(BLOCK_BARS, self._bars - first)
            block_start = self._start_ns + first * self._step_ns
            if block_start >= end_ns:
                return
            ohlcv = self._block(first // BLOCK_BARS, close, tick)[:rows]
            close = float(ohlcv[-1, 3])
            ts = block_start + np.arange(rows, dtype=np.int64) * self._step_ns
            if ts[-1] >= start_ns:
                yield first + 1, ts, ohlcv

    def _block(self, block: int, open_price: float, tick: float) -> Values:
        rng = np.random.default_rng((self._seed, _SYMBOL_STREAM + self._index, block))
        factor = _factor(self._seed, block, self._step_ns)
        hourly = self._step_ns / NS_PER_HOUR
        beta = 0.5 + 0.5 * rng.random()
        own = rng.standard_t(_TAIL, BLOCK_BARS) / np.sqrt(2.0)
        level = factor.level * _per_bar(_log_volatility(rng, _hours(self._step_ns)), self._step_ns)
        sigma = _HOUR_VOL * np.sqrt(hourly) * level
        returns = sigma * (beta * factor.shock + np.sqrt(1.0 - beta * beta) * own)
        returns = np.clip(returns + _HOUR_VOL * hourly * factor.drift, -0.2, 0.2)
        path = np.log(open_price) + np.cumsum(returns)
        # Prices revert towards the start price, so that years of bars neither reach zero nor overflow.
        path -= np.linspace(0.0, 1.0, BLOCK_BARS) * 0.2 * (path[-1] - np.log(tick * 3e4))
        closes = np.maximum(np.round(np.exp(path) / tick), 100.0) * tick
        opens = np.concatenate(([open_price], closes[:-1]))
        wick = np.abs(rng.standard_normal((2, BLOCK_BARS))) * sigma * 0.6
        highs = np.maximum(opens, closes) + np.round(np.maximum(opens, closes) * wick[0] / tick) * tick
        lows = np.minimum(opens, closes) - np.round(np.minimum(opens, closes) * wick[1] / tick) * tick
        lows = np.maximum(lows, np.minimum(np.minimum(opens, closes), tick))
        activity = np.abs(returns) / np.maximum(sigma, 1e-12)
        volumes = np.round(2e5 / closes * level * rng.lognormal(0.0, 0.5, BLOCK_BARS) * (0.5 + activity), 3) + 0.001
        return np.column_stack((opens, highs, lows, closes, volumes))


def _hours(step_ns: int) -> int:
    """Hours of one block, at least one bar each."""
    return max(1, -(-BLOCK_BARS * step_ns // max(NS_PER_HOUR, step_ns)))


def _per_bar(by_hour: Floats, step_ns: int) -> Floats:
    """Spread hourly values over the bars of a block."""
    return by_hour[np.arange(BLOCK_BARS) * step_ns // max(NS_PER_HOUR, step_ns)]


def _log_volatility(rng: np.random.Generator, hours: int) -> Floats:
    """Return a volatility multiplier by hour: exp of an autoregressive path from its long-run distribution."""
    shocks = rng.standard_normal(hours) * _VOL_OF_VOL
    path = np.empty(hours)
    value = shocks[0] / np.sqrt(1.0 - _PERSISTENCE**2)
    for hour in range(hours):
        value = _PERSISTENCE * value + shocks[hour]
        path[hour] = value
    return np.exp(path)


@lru_cache(maxsize=2)
def _factor(seed: int, block: int, step_ns: int) -> _Factor:
    """Return the market factor of one block: the same for every symbol of a seed."""
    rng = np.random.default_rng((seed, 0, block))
    hours = _hours(step_ns)
    change = rng.random(hours) > _STAY
    change[0] = True
    drawn = rng.choice(4, hours, p=(0.45, 0.22, 0.22, 0.11))
    regime = drawn[np.maximum.accumulate(np.where(change, np.arange(hours), 0))]
    level = _LEVEL[regime] * _log_volatility(rng, hours)
    return _Factor(
        drift=_per_bar(_DRIFT[regime], step_ns),
        level=_per_bar(level, step_ns),
        shock=rng.standard_t(_TAIL, BLOCK_BARS) / np.sqrt(2.0),
    )


def _all_series(
    symbols: Sequence[str] | int, interval: str, start: datetime, bars: int, seed: int
) -> list[GeneratedSeries]:
    names = symbol_names(symbols) if isinstance(symbols, int) else tuple(symbols)
    if bars < 1 or not names:
        raise ConfigError(f"bars = {bars}, symbols = {symbols!r}: at least one of each")
    start_ns, step_ns = to_ns(start), interval_ns(interval)
    if start_ns % step_ns:
        raise ConfigError(f"start = {start.isoformat()}: must be a whole multiple of {interval}")
    return [GeneratedSeries(name, index, interval, start_ns, bars, seed) for index, name in enumerate(names)]


def generated_recording(
    symbols: Sequence[str] | int = 5,
    interval: str = "1m",
    start: datetime = FIRST_OPEN,
    bars: int = 10_000,
    seed: int = 1,
    *,
    settings: RecordingSettings | None = None,
) -> Recording:
    """Make a recording of *bars* generated moments; the same arguments give the same bits."""
    series = _all_series(symbols, interval, start, bars, seed)
    first, last = series[0].span()
    return Recording(
        series, interval, first, last + 1, settings=settings or RecordingSettings(), source="generated",
        known_funding={}, notes=(f"Generated bars (seed {seed}), not a market.",),
    )


def write_generated(
    root: Path,
    symbols: Sequence[str] | int = 5,
    interval: str = "1m",
    start: datetime = FIRST_OPEN,
    bars: int = 10_000,
    seed: int = 1,
) -> Path:
    """Write the same bars as a bar store and return its folder; memory stays at a block."""
    for series in _all_series(symbols, interval, start, bars, seed):
        pieces = series.pieces(*(edge + extra for edge, extra in zip(series.span(), (0, 1), strict=True)))
        write_parquet(
            series_path(root, interval, series.symbol),
            (series_table(series.symbol, ts, values) for _, ts, values in pieces),
        )
    return root
