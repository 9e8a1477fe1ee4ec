"""What the tests of models share: a small market of daily bars made of hourly ones."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.models.history import BarHistory, Completed

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
START = 1_577_836_800 * 10**9  # 2020-01-01


class Feed:
    """Hourly bars of three symbols around random walks, one array a hour."""

    def __init__(self, hours: int, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        closes = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal((hours, len(SYMBOLS))), axis=0))
        opens = np.vstack([np.full((1, len(SYMBOLS)), 100.0), closes[:-1]])
        self.ohlcv = np.stack([
            opens, np.maximum(opens, closes) * 1.001, np.minimum(opens, closes) * 0.999, closes,
            rng.uniform(1.0, 2.0, closes.shape),
        ], axis=2)
        self.present = np.ones((hours, len(SYMBOLS)), dtype=np.bool_)
        self.ts_ns = START + np.arange(hours, dtype=np.int64) * NS_PER_HOUR
        self.funding = np.full(len(SYMBOLS), 1e-4)

    def completed(self, history: BarHistory) -> list[Completed]:
        """Every interval that the bars complete."""
        return [
            bar for row, ts_ns in enumerate(self.ts_ns.tolist())
            for bar in history.take(ts_ns, self.ohlcv[row], self.present[row], self.funding)
        ]


@pytest.fixture
def feed() -> Feed:
    """Thirty days of hourly bars."""
    return Feed(30 * 24)


def daily(capacity: int = 10) -> BarHistory:
    """A history of daily bars made of hourly ones."""
    return BarHistory(SYMBOLS, NS_PER_HOUR, NS_PER_DAY, capacity)
