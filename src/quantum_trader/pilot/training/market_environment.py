"""The training market: episodes on recorded bars, in the same arithmetic as the pilot's virtual positions.

An episode is a window of one symbol's bars and an account that begins without a position. What an action does, what it
costs and how a position ends is ``episode_steps`` and ``position_steps`` on JAX arrays; tests play the same episodes at
the paper venue.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from quantum_trader.pilot import episode_steps as steps
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.array_form import array_form
from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
from quantum_trader.pilot.episode_steps import EpisodeAccount, Known
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.own_columns import OWN_SIZE
from quantum_trader.pilot.position_steps import PendingOrder, Sizing, StepBar, Terms, VirtualPosition
from quantum_trader.pilot.shadow_book import ACTION_SHARES
from quantum_trader.pilot.training.environment import Environment, StepOutcome

_step_account, _own_numbers, _scaled_own = (
    array_form(function, jnp) for function in (steps.step_account, steps.own_numbers, steps.scaled_own)
)
_scaled_terms, _scaled_bar = array_form(steps.scaled_terms, jnp), array_form(steps.scaled_bar, jnp)


class EpisodeState(NamedTuple):
    """Where an episode is. No price of a bar after *bar* is part of it."""

    symbol: jax.Array
    bar: jax.Array  # whose close was observed
    left: jax.Array  # decisions until the episode is cut off
    account: EpisodeAccount


def market_environment(settings: EnvironmentSettings) -> Environment:
    """The environment of episodes with *settings*, on an ``EpisodeTable``; its arrays decide the precision."""
    sizing, weights = settings.positions.sizing, settings.reward.weights

    def reset(key: jax.Array, table: EpisodeTable) -> EpisodeState:
        windows = len(table.starts)
        row = (jax.random.uniform(key) * windows).astype(jnp.int32)
        return begin(table.starts[jnp.minimum(row, windows - 1)], settings, table)

    def step(state: EpisodeState, action: jax.Array, key: jax.Array, table: EpisodeTable) -> StepOutcome:
        del key  # all chance is in the bars
        now, terms = (state.symbol, state.bar), terms_of(state.symbol, table)
        share = jnp.asarray(ACTION_SHARES, table.close.dtype)[action]
        known = Known(table.close[now], table.atr[now], table.trend[now])
        after = (state.symbol, state.bar + 1)
        bar = _scaled_bar(
            StepBar(table.open[after], table.high[after], table.low[after], table.cost_bps[after],
                    table.funding_rate[after]),
            table.cost_share,
        )
        made = _step_account(
            state.account, share, known, bar, table.close[after], terms, Sizing(*sizing), weights
        )
        account = jax.tree.map(lambda new, old: new.astype(old.dtype), made.account, state.account)
        left = state.left - 1
        ruined = made.equity < settings.ruin_share * settings.start_equity
        return StepOutcome(
            EpisodeState(state.symbol, state.bar + 1, left, account), made.reward, made.liquidated | ruined, left <= 0
        )

    def observe(state: EpisodeState, table: EpisodeTable) -> jax.Array:
        return observation_of(state, table)

    return Environment(reset, step, observe, FEATURE_COUNT, ACTION_COUNT)


def begin(start: jax.Array, settings: EnvironmentSettings, table: EpisodeTable) -> EpisodeState:
    """The episode whose first decision is at *start* (2,): symbol and bar."""
    dtype = table.close.dtype
    zero = jnp.zeros((), dtype)
    equity = jnp.asarray(settings.start_equity, dtype)
    account = EpisodeAccount(
        VirtualPosition(*(zero for _ in VirtualPosition._fields)), PendingOrder(*(zero for _ in PendingOrder._fields)),
        equity, equity, *(zero for _ in EpisodeAccount._fields[4:]),
    )
    return EpisodeState(start[0], start[1], jnp.int32(settings.episode_bars), account)


def terms_of(symbol: jax.Array, table: EpisodeTable) -> Any:
    """What the venue asks of one symbol, with the share of the costs in force."""
    of_symbol: Terms = jax.tree.map(lambda column: column[..., symbol], table.terms)
    return _scaled_terms(of_symbol, table.cost_share)


def observation_of(state: EpisodeState, table: EpisodeTable) -> jax.Array:
    """The 64 features (64,) of a state, float32: those of the market, and the account's own; masked ones are 0."""
    now = (state.symbol, state.bar)
    numbers = _own_numbers(state.account, table.close[now])
    own = jnp.stack([*numbers, *(jnp.zeros_like(numbers[0]) for _ in range(OWN_SIZE - len(numbers)))])
    known = np.arange(OWN_SIZE) < len(numbers)
    scaled = _scaled_own(own, table.own_centers, table.own_scales, table.own_seen & known)
    return jnp.concatenate([table.features[now], scaled.astype(jnp.float32)])


def table_on_device(table: EpisodeTable) -> EpisodeTable:
    """*table* as arrays of the device, in the default precision of JAX."""
    moved: EpisodeTable = jax.tree.map(jnp.asarray, table)
    return moved
