"""Markets the signal tests share: the bundled recording, and a seeded one without any edge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.market.recording import open_recording

HALF_HOUR = 30 * NS_PER_MINUTE
START = 1_704_067_200_000_000_000  # 2024-01-01


class Market(NamedTuple):
    """Aligned bars: (T,), (T, S, 5), (T, S), and their length."""

    ts: np.ndarray
    ohlcv: np.ndarray
    present: np.ndarray
    interval_ns: int

    @property
    def symbols(self) -> list[str]:
        """Names for the kernel."""
        return [f"S{i}" for i in range(self.present.shape[1])]

    def rows(self, start: int, stop: int) -> Market:
        """Some of the moments."""
        return Market(self.ts[start:stop], self.ohlcv[start:stop], self.present[start:stop], self.interval_ns)


def random_market(moments: int, symbols: int, interval_ns: int, seed: int) -> Market:
    """A random walk without edge; whole volumes, so that sums are exact; a few bars are missing."""
    rng = np.random.Generator(np.random.PCG64(seed))
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, (moments, symbols)), axis=0))
    ohlcv = np.empty((moments, symbols, 5))
    ohlcv[..., 3] = close
    ohlcv[..., 0] = np.vstack((np.full((1, symbols), 100.0), close[:-1]))
    ohlcv[..., 1] = np.maximum(ohlcv[..., 0], close) * (1.0 + rng.exponential(0.001, close.shape))
    ohlcv[..., 2] = np.minimum(ohlcv[..., 0], close) * (1.0 - rng.exponential(0.001, close.shape))
    ohlcv[..., 4] = rng.integers(1, 1000, close.shape)
    ts = START + interval_ns * np.arange(moments, dtype=np.int64)
    return Market(ts, ohlcv, rng.random(close.shape) > 0.003, interval_ns)


@pytest.fixture(scope="session")
def bundled() -> Market:
    """The bundled recording: two years of 30-minute bars of five symbols."""
    ts, ohlcv, present, _ = open_recording().arrays()
    return Market(ts, ohlcv, present, HALF_HOUR)


@pytest.fixture(scope="session")
def walk() -> Market:
    """3000 moments of three symbols that cannot be forecast."""
    return random_market(3000, 3, HALF_HOUR, seed=11)
