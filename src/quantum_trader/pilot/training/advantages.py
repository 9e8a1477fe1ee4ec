"""Generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438)."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def following_values(
    values: jax.Array, last_values: jax.Array, cut_values: jax.Array, terminated: jax.Array, truncated: jax.Array
) -> jax.Array:
    """The value of the state that each step led to, in the step's own episode: (T, N).

    *values* (T, N) are of the states before each step, *last_values* (N,) of those after the last one. After a
    termination the value is 0. After a truncation it is *cut_values* (T, N), the value of the episode's last state:
    the next row of *values* is already of another episode.
    """
    after = jnp.concatenate([values[1:], last_values[None]])
    return jnp.where(terminated, 0.0, jnp.where(truncated, cut_values, after))


def advantages(
    rewards: jax.Array, values: jax.Array, following: jax.Array, ended: jax.Array, discount: float, trace: float
) -> jax.Array:
    """How much better each step was than its value: (T, N), as are all arguments but *discount* and *trace*.

    δ = reward + discount * following - value; advantage = δ + discount * trace * the next advantage, which is 0 where
    the episode *ended* with the step, by termination or by truncation.
    """
    errors = rewards + discount * following - values
    decay = discount * trace * (1.0 - ended.astype(jnp.float32))

    def earlier(later: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        error, weight = step
        advantage = error + weight * later
        return advantage, advantage

    return jax.lax.scan(earlier, jnp.zeros_like(errors[0]), (errors, decay), reverse=True)[1]

