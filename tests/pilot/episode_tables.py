"""Tables of random sequences for tests of episodes: each sequence is one symbol of a table."""

from __future__ import annotations

import numpy as np
from tests.pilot.sequences import INTERVAL_NS, Sequence, sequence

from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
from quantum_trader.pilot.feature_columns import FIRST_OWN
from quantum_trader.pilot.own_columns import OWN_SIZE
from quantum_trader.pilot.shadow_book import symbol_terms


def sequences_of(seeds: range, settings: EnvironmentSettings) -> list[Sequence]:
    """The sequences of *seeds*, all with the same settings and equity."""
    return [sequence(seed, settings=settings.positions, equity=settings.start_equity) for seed in seeds]


def actions_of(sequences: list[Sequence]) -> np.ndarray:
    """Their actions, (T, N)."""
    return np.stack([one.actions for one in sequences], axis=1)


def table_of(
    sequences: list[Sequence], settings: EnvironmentSettings, most_notional: float = 1e5
) -> EpisodeTable:
    """A table in double precision whose features are the number of their bar."""
    def column(name: str) -> np.ndarray:
        return np.stack([getattr(one, name) for one in sequences])

    ohlc, count = column("ohlc"), len(sequences)
    bars = ohlc.shape[1]
    return EpisodeTable(
        open=ohlc[:, :, 0], high=ohlc[:, :, 1], low=ohlc[:, :, 2], close=ohlc[:, :, 3], atr=column("atr"),
        cost_bps=column("cost_bps"), funding_rate=column("funding_rate"),
        trend=np.tile(np.resize([1.0, 0.0, -1.0], bars), (count, 1)),
        features=np.tile(np.arange(bars, dtype=np.float32)[None, :, None] / 100.0, (count, 1, FIRST_OWN)),
        starts=np.array([[place, 0] for place in range(count)], dtype=np.int32),
        terms=symbol_terms([one.instrument for one in sequences], settings.positions, INTERVAL_NS, most_notional),
        own_centers=np.zeros(OWN_SIZE), own_scales=np.ones(OWN_SIZE), own_seen=np.ones(OWN_SIZE, dtype=np.bool_),
        cost_share=np.array(1.0),
    )
