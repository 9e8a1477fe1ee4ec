"""What the tests of the pilot share: bars of the bundled recording, and walks with missing bars and an account."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.market.recording import Recording, open_recording
from quantum_trader.pilot.feed_columns import FEED_SIZE
from quantum_trader.pilot.observer import Observer, RawObservations
from quantum_trader.pilot.own_columns import OWN_SIZE, RISK_IN_FORCE, SIDE
from quantum_trader.pilot.recorded_feed import recorded_feed
from quantum_trader.pilot.settings import ObservationSettings

START = 1_704_067_200_000_000_000  # 2024-01-01


class Tape(NamedTuple):
    """Base bars of *symbols* and what is known beside them: (T,), (T, S, 5), (T, S), (T, S, 5), (T, S, 11)."""

    symbols: tuple[str, ...]
    base_ns: int
    ts: np.ndarray
    ohlcv: np.ndarray
    present: np.ndarray
    feed: np.ndarray
    own: np.ndarray

    def rows(self, first: int, last: int) -> Tape:
        """Some of the moments."""
        return self._replace(**{
            name: getattr(self, name)[first:last] for name in ("ts", "ohlcv", "present", "feed", "own")
        })

    def observer(self, interval: str = "30m") -> Observer:
        """A fresh observer of these symbols."""
        return Observer(self.symbols, self.base_ns, ObservationSettings(interval=interval))

    def observed(self, interval: str = "30m", observer: Observer | None = None) -> RawObservations:
        """All observations at once, with the account."""
        return (observer or self.observer(interval)).take_all(self.ts, self.ohlcv, self.present, self.feed, self.own)


def walk(
    moments: int, minutes: int, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "XRPUSDT"), seed: int = 7,
    missing: float = 0.02,
) -> Tape:
    """Random walks with a share of *missing* bars, an order book that is there half of the time, and an account."""
    rng = np.random.default_rng(seed)
    count = len(symbols)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, (moments, count)), axis=0))
    opens = np.vstack([np.full((1, count), 100.0), closes[:-1]])
    ohlcv = np.stack([
        opens, np.maximum(opens, closes) * 1.001, np.minimum(opens, closes) * 0.999, closes,
        rng.uniform(1.0, 9.0, closes.shape),
    ], axis=2)
    feed = rng.uniform(0.1, 0.9, (moments, count, FEED_SIZE))
    feed[rng.random((moments, count)) < 0.5, :3] = np.nan
    own = rng.uniform(0.0, 1.0, (moments, count, OWN_SIZE))
    own[..., SIDE], own[..., RISK_IN_FORCE] = rng.integers(-1, 2, (moments, count)), 0.5
    base_ns = minutes * NS_PER_MINUTE
    ts = START + np.arange(moments, dtype=np.int64) * base_ns
    return Tape(symbols, base_ns, ts, ohlcv, rng.random((moments, count)) >= missing, feed, own)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal to the bit, NaN included."""
    return np.array_equal(one, other, equal_nan=True)


@pytest.fixture(scope="session")
def bundled() -> Recording:
    """The bundled two years of half-hour bars of five symbols."""
    return open_recording()


@pytest.fixture(scope="session")
def tape(bundled: Recording) -> Tape:
    """The bundled bars with an account that changes at every bar."""
    ts, ohlcv, present, _ = bundled.arrays()
    own = walk(len(ts), 30, bundled.symbols, seed=3).own
    return Tape(bundled.symbols, bundled.interval_ns, ts, ohlcv, present, recorded_feed(bundled, ts), own)
