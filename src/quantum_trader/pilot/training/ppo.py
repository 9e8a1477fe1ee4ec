"""PPO in one compiled program: environments, policy and updates, for several seeds at once.

One program makes a whole update: all environments step under the policy, advantages are computed, the network improves.
Nothing returns to Python within it. The same seed gives the same weights on the same machine; ``actor_critic_hash``
tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from quantum_trader.domain.errors import require
from quantum_trader.pilot.training.environment import Environment
from quantum_trader.pilot.training.network import ActorCritic, initial_network
from quantum_trader.pilot.training.rollout import Episodes, Worlds, collect, measured_reward_scale, new_worlds
from quantum_trader.pilot.training.settings import PpoSettings
from quantum_trader.pilot.training.update import Losses, improve, optimizer

_LARGEST_SEED: Final = 2**32 - 1
_SINGLE_BYTES: Final = 4  # of a number
_NUMBERS_OF_STEP: Final = 24  # beside the observation: rewards, values, advantages, random keys
_COPIES_OF_STEPS: Final = 3  # as recorded, as a batch, as minibatches
_COPIES_OF_UNITS: Final = 4  # of the hidden layers in a gradient step
_COPIES_OF_STATE: Final = 3  # before an update, after it, and in between


class Training(NamedTuple):
    """All that one seed's training goes on from; for several seeds every array has them as its first axis."""

    network: ActorCritic
    moments: Any  # of the optimizer
    worlds: Worlds
    key: jax.Array
    reward_scale: jax.Array
    updates: jax.Array  # made so far


class UpdateProgress(NamedTuple):
    """What an update showed."""

    episodes: Episodes
    losses: Losses


class Trainer:
    """Trains on one environment with one set of settings; its two programs are compiled at their first use."""

    def __init__(self, environment: Environment, settings: PpoSettings) -> None:
        self.environment, self.settings = environment, settings
        self._start = jax.jit(jax.vmap(partial(_start, environment, settings), (0, 0, None)))
        self._update = jax.jit(jax.vmap(partial(_update, environment, settings), (0, None, None)))

    def start(self, seeds: Sequence[int], table: Any) -> Training:
        """The state before the first update, for each of *seeds*."""
        training: Training = self._start(*self._beginnings(seeds), table)
        return training

    def shape_of(self, seeds: Sequence[int], table: Any) -> Training:
        """The shapes and types of what :meth:`start` returns, without computing it."""
        training: Training = jax.eval_shape(self._start, *self._beginnings(seeds), table)
        return training

    def _beginnings(self, seeds: Sequence[int]) -> tuple[ActorCritic, Any]:
        """The untrained networks and the seeds, with the seeds as the first axis."""
        for seed in seeds:
            require(0 <= seed <= _LARGEST_SEED, "seed", seed, f"must lie within 0 and {_LARGEST_SEED}")
        networks = [initial_network(self.environment, self.settings, np.random.default_rng(seed)) for seed in seeds]
        stacked: ActorCritic = jax.tree.map(lambda *arrays: np.stack(arrays), *networks)
        return stacked, np.array(seeds, dtype=np.uint32)

    def bytes_of_seed(self, table: Any) -> int:
        """Roughly the memory (bytes) that one seed needs beside the table, while it is trained."""
        state: int = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.shape_of([0], table)))
        step = self.environment.observation_size + _NUMBERS_OF_STEP
        widest = max(self.settings.hidden) * len(self.settings.hidden)
        collected: int = self.settings.steps_per_update * step * _COPIES_OF_STEPS
        passed = self.settings.minibatch_size * widest * _COPIES_OF_UNITS
        needed: int = _COPIES_OF_STATE * state + _SINGLE_BYTES * (collected + passed)
        return needed

    def update(self, training: Training, table: Any, planned: int) -> tuple[Training, UpdateProgress]:
        """Make one of *planned* updates for every seed; neither *planned* nor the table's numbers are compiled in."""
        after: tuple[Training, UpdateProgress] = self._update(training, table, jnp.float32(planned))
        return after

    def train(self, seeds: Sequence[int], table: Any, steps: int) -> tuple[Training, UpdateProgress]:
        """Train each of *seeds* from the start for *steps* environment steps; progress is (seeds, updates)."""
        planned = self.settings.updates_for(steps)
        training, shown = self.start(seeds, table), []
        for _ in range(planned):
            training, progress = self.update(training, table, planned)
            shown.append(progress)
        return training, jax.tree.map(lambda *updates: np.stack(updates, axis=1), *shown)


def _start(
    environment: Environment, settings: PpoSettings, network: ActorCritic, seed: jax.Array, table: Any
) -> Training:
    scale_key, worlds_key, key = jax.random.split(jax.random.key(seed), 3)
    if settings.reward_scale is None:
        scale = measured_reward_scale(environment, settings, scale_key, table)
    else:
        scale = jnp.float32(settings.reward_scale)
    return Training(
        network, optimizer(settings).init(network), new_worlds(environment, settings, worlds_key, table), key, scale,
        jnp.int32(0),
    )


def _update(
    environment: Environment, settings: PpoSettings, now: Training, table: Any, planned: jax.Array
) -> tuple[Training, UpdateProgress]:
    """Collect steps and improve the network with them."""
    key, collect_key = jax.random.split(now.key)
    worlds, batch, episodes = collect(
        environment, settings, now.network, now.worlds, now.reward_scale, collect_key, table
    )
    done = jnp.minimum(now.updates / planned, 1.0)
    rate = settings.learning_rate * (1.0 - done * (1.0 - settings.last_learning_rate_share))
    network, moments, parts = improve(now.network, now.moments, batch, rate, settings)
    after = Training(network, moments, worlds, key, now.reward_scale, now.updates + 1)
    return after, UpdateProgress(episodes, parts)


def of_seed(training: Any, place: int) -> Any:
    """The arrays of one seed."""
    return jax.tree.map(lambda array: array[place], training)
