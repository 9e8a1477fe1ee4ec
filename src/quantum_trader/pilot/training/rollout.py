"""Collecting steps: the policy acts in all environments, and each step's advantage is computed."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from quantum_trader.pilot.training.advantages import advantages, following_values
from quantum_trader.pilot.training.environment import (
    Environment,
    observe_many,
    reset_many,
    step_many,
)
from quantum_trader.pilot.training.network import ActorCritic, logits_and_values
from quantum_trader.pilot.training.settings import PpoSettings

REWARD_SCALE_STEPS = 512  # steps of each environment that the reward scale is measured on


class Batch(NamedTuple):
    """The steps of one update, flat: the first row is the first step of the first environment."""

    observations: jax.Array  # (B, observation_size)
    actions: jax.Array  # (B,)
    log_probabilities: jax.Array  # (B,) of the actions, when they were made
    advantages: jax.Array  # (B,)
    targets: jax.Array  # (B,) what the value should have been


class Episodes(NamedTuple):
    """What the rollout's rewards were, before scaling."""

    ended: jax.Array  # episodes that ended in this rollout
    total_reward: jax.Array  # the sum of all rewards of these episodes
    mean_reward: jax.Array  # of all steps


class _Recorded(NamedTuple):
    """One step of all environments: (N, ...)."""

    observations: Any
    actions: Any
    log_probabilities: Any
    values: Any
    cut_values: Any  # the value of the last state where the episode was truncated, else anything
    rewards: Any
    terminated: Any
    truncated: Any
    finished_reward: Any  # the sum of the episode's rewards where it ended with this step, else 0


class Worlds(NamedTuple):
    """The environments between two updates."""

    states: Any  # (N, ...)
    rewards_so_far: jax.Array  # (N,) of each running episode


def new_worlds(environment: Environment, settings: PpoSettings, key: jax.Array, table: Any) -> Worlds:
    """All environments at the start of an episode."""
    states = reset_many(environment, settings.environments, key, table)
    return Worlds(states, jnp.zeros(settings.environments, jnp.float32))


def collect(
    environment: Environment, settings: PpoSettings, network: ActorCritic, worlds: Worlds, reward_scale: jax.Array,
    key: jax.Array, table: Any,
) -> tuple[Worlds, Batch, Episodes]:
    """Let the policy act for ``rollout_steps`` steps in all environments."""

    def act(now: Worlds, chance: tuple[jax.Array, jax.Array]) -> tuple[Worlds, _Recorded]:
        drawn, keys = chance
        observations = observe_many(environment, now.states, table)
        logits, values = logits_and_values(network, observations)
        log_probabilities = jax.nn.log_softmax(logits)
        actions = drawn_actions(log_probabilities, drawn)
        step = step_many(environment, now.states, actions, keys, table)
        cut_values = jax.lax.cond(
            step.truncated.any(),
            lambda: logits_and_values(network, observe_many(environment, step.last_state, table))[1],
            lambda: jnp.zeros_like(values),
        )
        ended, rewards = step.terminated | step.truncated, now.rewards_so_far + step.reward
        recorded = _Recorded(
            observations, actions, chosen(log_probabilities, actions), values, cut_values, step.reward,
            step.terminated, step.truncated, jnp.where(ended, rewards, 0.0),
        )
        return Worlds(step.state, jnp.where(ended, 0.0, rewards)), recorded

    action_key, world_key = jax.random.split(key)
    shape = (settings.rollout_steps, settings.environments)
    chances = (jax.random.uniform(action_key, shape), jax.random.split(world_key, (*shape, 2)))
    worlds, steps = jax.lax.scan(act, worlds, chances)
    last_values = logits_and_values(network, observe_many(environment, worlds.states, table))[1]
    ended = steps.terminated | steps.truncated
    episodes = Episodes(ended.sum(), steps.finished_reward.sum(), steps.rewards.mean())
    return worlds, _batch(settings, steps, last_values, reward_scale), episodes


def _batch(settings: PpoSettings, steps: _Recorded, last_values: jax.Array, reward_scale: jax.Array) -> Batch:
    """The steps with their advantages, flat in the order in which they lie in memory: time first, then environments."""
    following = following_values(steps.values, last_values, steps.cut_values, steps.terminated, steps.truncated)
    gains = advantages(
        steps.rewards / reward_scale, steps.values, following, steps.terminated | steps.truncated,
        settings.discount, settings.trace,
    )
    batch = Batch(steps.observations, steps.actions, steps.log_probabilities, gains, gains + steps.values)
    flat: Batch = jax.tree.map(lambda rows: rows.reshape(settings.steps_per_update, *rows.shape[2:]), batch)
    return flat


def chosen(log_probabilities: jax.Array, actions: jax.Array) -> jax.Array:
    """The log probability (...) of each of *actions* (...)."""
    return jnp.take_along_axis(log_probabilities, actions[..., None], axis=-1)[..., 0]


def drawn_actions(log_probabilities: jax.Array, drawn: jax.Array) -> jax.Array:
    """The actions (...) that numbers *drawn* (...) uniformly from 0 to 1 stand for: the inverse of the distribution."""
    below = jnp.cumsum(jnp.exp(log_probabilities), axis=-1)[..., :-1]
    return (drawn[..., None] >= below).sum(axis=-1)


def measured_reward_scale(environment: Environment, settings: PpoSettings, key: jax.Array, table: Any) -> jax.Array:
    """The standard deviation of the discounted sum of past rewards under uniformly random actions; 1 where it is 0.

    The sum starts at 0 in each episode. Rewards divided by it give values of the order of 1 whatever their unit: raw
    returns of 1 % a bar teach a network next to nothing.
    """
    start_key, action_key, world_key = jax.random.split(key, 3)
    shape = (REWARD_SCALE_STEPS, settings.environments)
    actions = (jax.random.uniform(action_key, shape) * environment.action_count).astype(jnp.int32)

    def act(carried: tuple[Any, jax.Array], chance: tuple[jax.Array, jax.Array]) -> tuple[tuple[Any, jax.Array], Any]:
        states, sums = carried
        step = step_many(environment, states, *chance, table)
        sums = settings.discount * sums + step.reward
        return (step.state, jnp.where(step.terminated | step.truncated, 0.0, sums)), sums

    worlds = new_worlds(environment, settings, start_key, table)
    keys = jax.random.split(world_key, (*shape, 2))
    _, sums = jax.lax.scan(act, (worlds.states, worlds.rewards_so_far), (actions, keys))
    deviation = sums.std()
    return jnp.where(deviation > 0.0, deviation, 1.0)
