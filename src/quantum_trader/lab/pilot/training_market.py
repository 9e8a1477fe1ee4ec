"""The training market of a recording: environment, table, what the cards state, and the facts of its identity."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.lab.pilot.market_table import market_history
from quantum_trader.lab.pilot.training_plan import CurriculumSettings
from quantum_trader.lab.pilot.training_result import PilotMaterial
from quantum_trader.lab.pilot.training_run import TrainingTask
from quantum_trader.market.recording import Recording
from quantum_trader.pilot.artefact import DataSnapshot
from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
from quantum_trader.pilot.features import feature_hash
from quantum_trader.pilot.settings import ObservationSettings
from quantum_trader.pilot.training.market_environment import market_environment
from quantum_trader.pilot.training.settings import PpoSettings

REWARD_TERMS: Final = ("profit", "drawdown", "turnover", "regime")


class PilotTrainingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a training: a table of its settings file each."""

    ppo: PpoSettings = PpoSettings()
    environment: EnvironmentSettings = EnvironmentSettings()  # the reward among them
    curriculum: CurriculumSettings = CurriculumSettings()
    observation: ObservationSettings = ObservationSettings()


class TrainingMarket(NamedTuple):
    """What is trained on, what the cards state of it, and what of it belongs to the identity of a training."""

    task: TrainingTask
    material: PilotMaterial
    facts: dict[str, Any]  # by dotted keys


def training_market(recording: Recording, settings: PilotTrainingSettings, made_with: str) -> TrainingMarket:
    """The market of all bars in the range of *recording*; scalers are fitted on that range.

    Raises ConfigError where the recording's bars do not divide the observed ones, DataError where it has no window as
    long as an episode.
    """
    observation, environment = settings.observation, settings.environment
    history = market_history(recording, environment, observation, recording.start_ns, recording.end_ns + 1)
    seen = history.closes_ns[history.ready.any(axis=0)]
    data = DataSnapshot(
        source=recording.source, symbols=recording.symbols, interval=observation.interval, first_ns=int(seen[0]),
        last_ns=int(seen[-1]), content_hash=recording.fingerprint,
    )
    chosen: dict[str, Any] = msgspec.to_builtins(environment)
    reward = chosen.pop("reward")
    facts = {
        "observation.interval": observation.interval, "observation.features": feature_hash(observation),
        "data.symbols": recording.symbols, "data.bars": recording.interval, "data.first_ns": data.first_ns,
        "data.last_ns": data.last_ns, "data.content_hash": data.content_hash,
        **dotted("environment", chosen), **dotted("reward", reward),
    }
    task = TrainingTask(
        market_environment(environment), history.table, at_cost_share,
        lambda states: running_terms(states, environment.episode_bars),
    )
    training = {
        **dotted("ppo", msgspec.to_builtins(settings.ppo)),
        **dotted("curriculum", msgspec.to_builtins(settings.curriculum)), **facts,
    }
    material = PilotMaterial(
        observation=observation, scalers=history.scalers, data=data, training=training, made_with=made_with,
        stop_atr=environment.positions.stop_atr,
    )
    return TrainingMarket(task, material, facts)


def at_cost_share(table: EpisodeTable, share: float) -> EpisodeTable:
    """*table* with *share* of fee, spread and slippage in force; the type of its number stays."""
    return table._replace(cost_share=np.asarray(share, dtype=table.cost_share.dtype))


def running_terms(states: Any, episode_bars: int) -> dict[str, list[float]]:
    """The mean of each term of the reward a step, over the running episodes of each seed; their states are (seeds, N).

    Each term has its weight and its sign; without a step it is 0.
    """
    steps = np.maximum((episode_bars - np.asarray(states.left)).sum(axis=1), 1)
    return {
        name: (np.asarray(getattr(states.account, name), dtype=np.float64).sum(axis=1) / steps).tolist()
        for name in REWARD_TERMS
    }


def dotted(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """*values*, and those of the mappings in it, by dotted keys that begin with *prefix*."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= dotted(f"{prefix}.{key}", value) if isinstance(value, dict) else {f"{prefix}.{key}": value}
    return found
