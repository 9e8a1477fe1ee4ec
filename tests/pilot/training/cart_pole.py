"""CartPole-v1 with Gymnasium's constants, as pure functions: a pole is kept upright for up to 500 steps."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from quantum_trader.pilot.training.environment import Environment, StepOutcome

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
MOST_ANGLE, MOST_DISTANCE, MOST_STEPS = 12 * 2 * math.pi / 360, 2.4, 500


class Cart(NamedTuple):
    """Position, speed, angle and angular speed (4,), and the steps made."""

    motion: jax.Array
    steps: jax.Array


def reset(key: jax.Array, table: Any) -> Cart:
    """All four numbers between -0.05 and 0.05."""
    return Cart(jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), jnp.int32(0))


def step(state: Cart, action: jax.Array, key: jax.Array, table: Any) -> StepOutcome:
    """Push right (1) or left (0) for one fiftieth of a second; the reward is 1."""
    _, speed, angle, turn = state.motion
    force = jnp.where(action == 1, FORCE, -FORCE)
    total, lever = CART + POLE, POLE * HALF_LENGTH
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    pushed = (force + lever * turn**2 * sine) / total
    turning = (GRAVITY * sine - cosine * pushed) / (HALF_LENGTH * (4.0 / 3.0 - POLE * cosine**2 / total))
    moving = pushed - lever * turning * cosine / total
    motion = state.motion + SECONDS * jnp.stack([speed, moving, turn, turning])
    fallen = (jnp.abs(motion[0]) > MOST_DISTANCE) | (jnp.abs(motion[2]) > MOST_ANGLE)
    steps = state.steps + 1
    return StepOutcome(Cart(motion, steps), jnp.float32(1.0), fallen, steps >= MOST_STEPS)


CART_POLE = Environment(
    reset=reset, step=step, observe=lambda state, table: state.motion, observation_size=4, action_count=2
)
