"""A tiny environment whose every number is known: it counts its steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from quantum_trader.pilot.training.environment import Environment, StepOutcome


class Count(NamedTuple):
    """Steps made in this episode."""

    steps: jax.Array


def counting(terminates_at: int, truncates_at: int) -> Environment:
    """An episode ends after so many steps; the reward is the number of the step, in units that the table holds."""

    def step(state: Count, action: jax.Array, key: jax.Array, table: Any) -> StepOutcome:
        steps = state.steps + 1
        return StepOutcome(Count(steps), steps * table, steps >= terminates_at, steps >= truncates_at)

    return Environment(
        reset=lambda key, table: Count(jnp.int32(0)), step=step,
        observe=lambda state, table: state.steps.astype(jnp.float32)[None], observation_size=1, action_count=2,
    )
