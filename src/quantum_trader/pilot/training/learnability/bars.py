"""Bars of the learnability markets, drawn with a seed: what is observed at each bar, and each bar's return."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantum_trader.market.arrays import Floats


class MarketBars(NamedTuple):
    """Many paths of one market side by side, as the environment takes them; its arrays are float32."""

    feature: Floats  # (paths, bars) what is observed at the close of each bar
    returns: Floats  # (paths, bars) from the close before to this close
    cost: Floats  # () of changing the position, a share of the change


def mean_reverting_bars(
    phi: float, sigma: float, cost: float, shape: tuple[int, int], rng: np.random.Generator
) -> MarketBars:
    """As ``exact.mean_reverting_market``: the log price over its deviation is observed."""
    paths, bars = shape
    noise = rng.normal(0.0, sigma, (bars, paths))
    deviation = sigma / np.sqrt(1.0 - phi * phi)
    levels = np.empty((bars + 1, paths))
    levels[0] = rng.normal(0.0, deviation, paths)
    for bar in range(bars):
        levels[bar + 1] = phi * levels[bar] + noise[bar]
    return _bars(levels[1:] / deviation, np.diff(levels, axis=0), cost)


def leaked_bars(
    correlation: float, sigma: float, cost: float, shape: tuple[int, int], rng: np.random.Generator
) -> MarketBars:
    """As ``exact.leaked_market``: what is observed at bar t tells of the return of bar t + 2.

    A decision at bar t fills at the price of bar t + 1, so that bar t + 2 is the first bar that it earns in.
    """
    paths, bars = shape
    shocks = rng.normal(0.0, 1.0, (bars + 2, paths))
    noise = rng.normal(0.0, 1.0, (bars, paths))
    feature = correlation * shocks[2:] + np.sqrt(1.0 - correlation * correlation) * noise
    return _bars(feature, sigma * shocks[:-2], cost)


def random_walk_bars(sigma: float, cost: float, shape: tuple[int, int], rng: np.random.Generator) -> MarketBars:
    """A random walk; the last return over its deviation is observed, and tells nothing."""
    paths, bars = shape
    shocks = rng.normal(0.0, 1.0, (bars, paths))
    return _bars(shocks, sigma * shocks, cost)


def _bars(feature: Floats, returns: Floats, cost: float) -> MarketBars:
    """From (bars, paths) to (paths, bars)."""
    return MarketBars(
        np.ascontiguousarray(feature.T, dtype=np.float32), np.ascontiguousarray(returns.T, dtype=np.float32),
        np.array(cost, dtype=np.float32),
    )
