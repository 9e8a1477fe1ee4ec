"""Bars for a guard: hourly ones that rise, in a store, up to a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.market.store import write_series

NOW_NS = 1_798_725_600_000_000_000  # 2026-12-31T14:00Z


def rising(count: int = 400, step: float = 0.002, noise: float = 0.0) -> np.ndarray:
    """Return (count, 5) hourly bars whose closes rise by *step* each, with wiggles of *noise*."""
    close = 100.0 * np.cumprod(1.0 + step + noise * np.sin(np.arange(count)))
    open_ = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    return np.column_stack([open_, high, low, close, np.full(count, 10.0)])


def store_bars(root: Path, symbol: str = "BTCUSDT", end_ns: int = NOW_NS, ohlcv: np.ndarray | None = None) -> Path:
    """Write hourly bars of *symbol*, the last of which ends at *end_ns* or at the whole hour before; return *root*."""
    values = rising() if ohlcv is None else ohlcv
    last = end_ns // NS_PER_HOUR * NS_PER_HOUR
    ts = last - NS_PER_HOUR * np.arange(len(values), 0, -1, dtype=np.int64)
    write_series(root, "1h", symbol, ts, values)
    return root
