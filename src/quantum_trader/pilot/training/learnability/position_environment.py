"""The environment of the learnability markets: one position, changed at the next bar's price, for a cost."""

from __future__ import annotations

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp

from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.training.environment import Environment, StepOutcome
from quantum_trader.pilot.training.learnability.bars import MarketBars
from quantum_trader.pilot.training.learnability.positions import HOLD_PLACE, LARGEST_SHARE, TARGET_SHARES

EPISODE_BARS: Final = 128  # an episode is a window of this many bars, cut off at its end


class HeldPosition(NamedTuple):
    """Where an episode is."""

    path: jax.Array
    bar: jax.Array
    place: jax.Array  # of the position held, in TARGET_SHARES
    left: jax.Array  # bars until the episode is cut off


def _reset(key: jax.Array, table: MarketBars) -> HeldPosition:
    """A random window of a random path; it starts without a position or with any other, since HOLD depends on it."""
    paths, bars = table.feature.shape
    counts = jnp.array([paths, bars - EPISODE_BARS, len(TARGET_SHARES)])
    path, bar, place = (jax.random.uniform(key, (3,)) * counts).astype(jnp.int32)
    return HeldPosition(path, bar, place, jnp.int32(EPISODE_BARS))


def next_place(place: jax.Array, action: jax.Array) -> jax.Array:
    """The place of the position after *action*; HOLD keeps it."""
    return jnp.where(action == HOLD_PLACE, place, action)


def _step(state: HeldPosition, action: jax.Array, key: jax.Array, table: MarketBars) -> StepOutcome:
    """Earn the next bar's return on the position held; the change fills at that bar's close."""
    del key  # all chance is in the bars
    shares = jnp.array(TARGET_SHARES, jnp.float32)
    place, bar = next_place(state.place, action), state.bar + 1
    held, wanted = shares[state.place], shares[place]
    reward = held * table.returns[state.path, bar] - table.cost * jnp.abs(wanted - held)
    left = state.left - 1
    return StepOutcome(HeldPosition(state.path, bar, place, left), reward, jnp.bool_(False), left <= 0)


def observation(feature: jax.Array, place: jax.Array) -> jax.Array:
    """The feature (...) and the position's share of the largest one: (..., 2)."""
    shares = jnp.array(TARGET_SHARES, jnp.float32)
    return jnp.stack([feature, shares[place] / LARGEST_SHARE], axis=-1)


def _observe(state: HeldPosition, table: MarketBars) -> jax.Array:
    return observation(table.feature[state.path, state.bar], state.place)


POSITION_ENVIRONMENT: Final = Environment(
    reset=_reset, step=_step, observe=_observe, observation_size=2, action_count=ACTION_COUNT
)
