"""Made-up recordings, and networks whose decisions are known, for tests of replay and evaluation."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MINUTE
from quantum_trader.lab.pilot.evaluation import Agent, TestedFold
from quantum_trader.lab.pilot.folds import FoldRanges, Range
from quantum_trader.lab.pilot.replay_bars import ReplayBars, replay_bars
from quantum_trader.lab.pilot.replaying import ReplaySettings
from quantum_trader.market.recording import Recording, recording_from_arrays
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.actions import ACTION_COUNT, ACTIONS, PilotAction
from quantum_trader.pilot.network import Weights
from quantum_trader.pilot.scaling import default_scalers
from quantum_trader.pilot.settings import ObservationSettings

OBSERVATION: Final = ObservationSettings()
SCALERS: Final = default_scalers(OBSERVATION)
START_NS: Final = 1_704_067_200 * 10**9  # 2024-01-01
HALF_HOUR_NS: Final = 30 * NS_PER_MINUTE
BARS_A_DAY: Final = 48
PLACE: Final = {row.action: place for place, row in enumerate(ACTIONS)}


def bars_of(returns: Any, *, start: float = 1000.0) -> Any:
    """Bars (T, S, 5) whose closes move by *returns* (T, S) from *start*; each opens at the close before."""
    closes = start * np.cumprod(1.0 + returns, axis=0)
    opens = np.concatenate([np.full((1, returns.shape[1]), start), closes[:-1]])
    high, low = np.maximum(opens, closes) * 1.0005, np.minimum(opens, closes) * 0.9995
    return np.stack([opens, high, low, closes, np.full(closes.shape, 1000.0)], axis=2)


def recording_of(returns: Any, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> Recording:
    """A recording of half-hour bars whose closes move by *returns* (T, S)."""
    ts_ns = START_NS + HALF_HOUR_NS * np.arange(len(returns), dtype=np.int64)
    return recording_from_arrays(symbols, "30m", ts_ns, bars_of(returns))


def hour_wave(days: int) -> Any:
    """1 while the clock's sine is above 0 at the bar's open, else -1; (T,)."""
    share = np.arange(days * BARS_A_DAY) % BARS_A_DAY / BARS_A_DAY
    return np.where(np.sin(2.0 * np.pi * (share + 1e-9)) > 0.0, 1.0, -1.0)


def clock_market(days: int = 100, seed: int = 1) -> ReplayBars:
    """Prices rise in the first half of each day and fall in the second, with noise."""
    rng = np.random.default_rng(seed)
    returns = 0.002 * hour_wave(days)[:, None] + rng.normal(0.0, 0.002, (days * BARS_A_DAY, 2))
    return replay_bars(recording_of(returns), OBSERVATION)


def random_walk(days: int = 100, seed: int = 2) -> ReplayBars:
    """Prices that tell nothing."""
    returns = np.random.default_rng(seed).normal(0.0, 0.003, (days * BARS_A_DAY, 2))
    return replay_bars(recording_of(returns), OBSERVATION)


def _empty(width: int = 4) -> list[Any]:
    shapes = ((col.FEATURE_COUNT, width), (width,), (width, width), (width,), (width, ACTION_COUNT), (ACTION_COUNT,))
    return [np.zeros(shape, dtype=np.float32) for shape in shapes]


def _made(parts: list[Any]) -> Weights:
    return Weights((parts[0], parts[1]), (parts[2], parts[3]), (parts[4], parts[5]))


def clock_network(strength: float = 10.0) -> Weights:
    """Long by a fifth while the clock's sine is above 0, short by a fifth while it is below; looks at nothing else."""
    parts = _empty()
    parts[0][col.HOUR_SINE, 0] = strength
    parts[2][0, 0] = strength
    parts[4][0, PLACE[PilotAction.LONG_LARGE]] = strength
    parts[4][0, PLACE[PilotAction.SHORT_LARGE]] = -strength
    return _made(parts)


def stubborn_network(action: PilotAction) -> Weights:
    """Always wants *action*."""
    parts = _empty()
    parts[5][PLACE[action]] = 1.0
    return _made(parts)


def random_network(seed: int, width: int = 16) -> Weights:
    """Decides wildly, and by everything that it sees."""
    rng = np.random.default_rng(seed)

    def layer(inputs: int, outputs: int, spread: float) -> Any:
        return (
            rng.normal(0.0, spread, (inputs, outputs)).astype(np.float32),
            rng.normal(0.0, 0.1, outputs).astype(np.float32),
        )

    return Weights(
        layer(col.FEATURE_COUNT, width, 0.3), layer(width, width, 0.5), layer(width, ACTION_COUNT, 1.5)
    )


def fold_of(replay: ReplayBars, networks: list[Weights]) -> TestedFold:
    """A test of *networks* on *replay*, without a trend set."""
    start, end = replay.recording.start_ns, replay.recording.end_ns
    ranges = FoldRanges(
        number=1, train=Range(from_ns=start - 100 * NS_PER_DAY, until_ns=start - 12 * NS_PER_DAY),
        embargo_ns=12 * NS_PER_DAY, test=Range(from_ns=start, until_ns=end),
    )
    agents = tuple(
        Agent(f"seed {place}", network, SCALERS, ReplaySettings()) for place, network in enumerate(networks)
    )
    return TestedFold(ranges, replay, agents, None)
