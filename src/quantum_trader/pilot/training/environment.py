"""What PPO trains on: an environment made of pure functions, and its steps with automatic restart.

The data of an environment (bars, features) is a *table*, any tree of arrays, that every function takes as an argument.
Data compiled into the program as constants took 57 s of compiling where an argument took 4 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class StepOutcome(NamedTuple):
    """What one action led to."""

    state: Any  # after the step, also when the episode ended with it
    reward: jax.Array
    terminated: jax.Array  # whether nothing can be earned afterwards, such as after a liquidation
    truncated: jax.Array  # whether the episode is only cut off here, such as by a time limit


class Environment(NamedTuple):
    """One environment as pure functions; the trainer runs many side by side."""

    reset: Callable[[jax.Array, Any], Any]  # (random key, table) -> state of a new episode
    step: Callable[[Any, jax.Array, jax.Array, Any], StepOutcome]  # (state, action, random key, table)
    observe: Callable[[Any, Any], jax.Array]  # (state, table) -> (observation_size,) float32
    observation_size: int
    action_count: int


class Step(NamedTuple):
    """One step of an environment that starts anew when an episode ends."""

    state: Any  # to go on from: of a new episode where the old one ended
    last_state: Any  # of the episode that the action was made in
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array  # never together with terminated


def step_or_restart(environment: Environment, state: Any, action: jax.Array, keys: jax.Array, table: Any) -> Step:
    """Step, and start a new episode where this one ended; *last_state* is still of the episode that ended.

    *keys* (2,) are for the step and for a new episode.
    """
    outcome = environment.step(state, action, keys[0], table)
    ended = outcome.terminated | outcome.truncated
    fresh = environment.reset(keys[1], table)
    following = jax.tree.map(lambda new, old: jnp.where(ended, new, old), fresh, outcome.state)
    return Step(
        following, outcome.state, outcome.reward, outcome.terminated, outcome.truncated & ~outcome.terminated
    )


def reset_many(environment: Environment, count: int, key: jax.Array, table: Any) -> Any:
    """The states of *count* new episodes."""
    return jax.vmap(environment.reset, (0, None))(jax.random.split(key, count), table)


def step_many(environment: Environment, states: Any, actions: jax.Array, keys: jax.Array, table: Any) -> Step:
    """One step of every environment; *actions* (N,) and random *keys* (N, 2)."""
    many: Step = jax.vmap(lambda state, action, two: step_or_restart(environment, state, action, two, table))(
        states, actions, keys
    )
    return many


def observe_many(environment: Environment, states: Any, table: Any) -> jax.Array:
    """The observations (N, observation_size) of all environments."""
    return jax.vmap(environment.observe, (0, None))(states, table)
