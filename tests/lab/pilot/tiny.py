"""A training of the pilot that takes a second: the position environment with 64 observed numbers, tiny networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from quantum_trader.lab.pilot.training_plan import CurriculumSettings, TrainingPlan
from quantum_trader.lab.pilot.training_run import TrainedSeed, TrainingRun, TrainingTask, TrainingTimes
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.training.environment import Environment
from quantum_trader.pilot.training.learnability.bars import MarketBars, leaked_bars
from quantum_trader.pilot.training.learnability.position_environment import POSITION_ENVIRONMENT
from quantum_trader.pilot.training.network import actor_critic_hash
from quantum_trader.pilot.training.ppo import Trainer
from quantum_trader.pilot.training.settings import PpoSettings

PPO: Final = PpoSettings(  # a stated scale of rewards: to measure it is another program to compile
    hidden=(16, 16), environments=8, rollout_steps=16, minibatch_size=64, epochs=2, reward_scale=0.005,
)
UPDATES: Final = 10


def wide_observation(state: Any, table: MarketBars) -> jax.Array:
    """The two numbers of the position environment, then 62 zeros."""
    return jnp.pad(POSITION_ENVIRONMENT.observe(state, table), (0, FEATURE_COUNT - 2))


WIDE: Final[Environment] = POSITION_ENVIRONMENT._replace(observe=wide_observation, observation_size=FEATURE_COUNT)
TRAINER: Final = Trainer(WIDE, PPO)


def at_cost_share(table: MarketBars, share: float) -> MarketBars:
    """The table with a share of its cost."""
    return table._replace(cost=table.cost * np.float32(share))


def tiny_task() -> TrainingTask:
    """A market that tells half of the coming return."""
    return TrainingTask(WIDE, leaked_bars(0.5, 0.01, 0.001, (4, 256), np.random.default_rng(1)), at_cost_share)


def tiny_plan(seeds: tuple[int, ...] = (3, 4), updates: int = UPDATES, **changes: Any) -> TrainingPlan:
    """Ten updates of two seeds, costs rising over the first half."""
    curriculum = CurriculumSettings(first_cost_share=0.1)
    made = {"ppo": PPO, "seeds": seeds, "curriculum": curriculum, "facts": {"data.content_hash": "0a"}, **changes}
    return TrainingPlan(steps=updates * PPO.steps_per_update, **made)


class Ticks:
    """A clock that moves on by one second at each look at it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


def tiny_run(
    folder: Path, plan: TrainingPlan | None = None, at_once: int = 8, checkpoint_s: float = 5.0,
) -> tuple[TrainingRun, list[TrainedSeed]]:
    """A training in *folder* and the list that its results come into."""
    results: list[TrainedSeed] = []
    times = TrainingTimes(Ticks(), look_s=5.0, checkpoint_s=checkpoint_s)
    made = plan or tiny_plan()
    trainer = TRAINER if made.ppo == PPO else None  # compiled once for all tests
    run = TrainingRun(made, tiny_task(), folder, times, results.append, trainer)
    run.group_by(at_once)
    return run, results


def stop_after(updates: int) -> Callable[[], bool]:
    """True at the question after so many updates."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= updates

    return stop


def never() -> bool:
    """Not to stop."""
    return False


def hashes_of(results: list[TrainedSeed]) -> dict[int, str]:
    """The hash of all weights of each seed."""
    return {one.seed: actor_critic_hash(one.network) for one in results}
