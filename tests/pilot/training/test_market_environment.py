"""The training market: equal to the paper venue, blind to the future, and rewarded as stated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

import jax.numpy as jnp
from tests.pilot.sequences import INTERVAL_NS, Sequence, sequence
from tests.pilot.venue_account import VenueAccount

from quantum_trader.pilot.actions import ACTIONS, PilotAction
from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
from quantum_trader.pilot.feature_columns import FIRST_OWN
from quantum_trader.pilot.own_columns import OWN_SIZE
from quantum_trader.pilot.shadow_book import ACTION_SHARES, PositionSettings, symbol_terms
from quantum_trader.pilot.training.environment import Environment
from quantum_trader.pilot.training.market_environment import begin, market_environment

TOLERANCE = 1e-9  # of the equity
KEY = jax.random.key(0)
BUY, SELL, FLAT, HOLD = (
    next(i for i, row in enumerate(ACTIONS) if row.action is one)
    for one in (PilotAction.LONG_LARGE, PilotAction.SHORT_LARGE, PilotAction.FLAT, PilotAction.HOLD)
)
VARIANTS = (
    PositionSettings(), PositionSettings(stop_atr=6.0, risk_pct=5.0, leverage=20.0, buffer_pct=0.0),
    PositionSettings(stop_atr=1.0, risk_pct=1.0, leverage=5.0),
)


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """The training runs in single precision; equality is judged in double."""
    with jax.enable_x64(True):
        yield


def table_of(sequences: list[Sequence], settings: PositionSettings) -> EpisodeTable:
    """Each sequence as one symbol of a table, with features that name their bar."""
    def column(name: str) -> Any:
        return jnp.asarray(np.stack([getattr(one, name) for one in sequences]))

    ohlc, count = column("ohlc"), len(sequences)
    bars = ohlc.shape[1]
    features = np.tile(np.arange(bars, dtype=np.float32)[None, :, None], (count, 1, FIRST_OWN))
    return EpisodeTable(
        open=ohlc[:, :, 0], high=ohlc[:, :, 1], low=ohlc[:, :, 2], close=ohlc[:, :, 3], atr=column("atr"),
        cost_bps=column("cost_bps"), funding_rate=column("funding_rate"),
        trend=jnp.asarray(np.tile(np.resize([1.0, 0.0, -1.0], bars), (count, 1))), features=jnp.asarray(features),
        starts=jnp.asarray([[place, 0] for place in range(count)], jnp.int32),
        terms=jax.tree.map(jnp.asarray, symbol_terms([one.instrument for one in sequences], settings, INTERVAL_NS)),
        own_centers=jnp.zeros(OWN_SIZE), own_scales=jnp.ones(OWN_SIZE), own_seen=jnp.ones(OWN_SIZE, jnp.bool_),
        cost_share=jnp.asarray(1.0),
    )


class Played(NamedTuple):
    """What an environment did: (bars, sequences)."""

    states: Any
    rewards: Any
    terminated: Any
    truncated: Any
    observations: Any


def play(environment: Environment, settings: EnvironmentSettings, table: EpisodeTable, actions: Any) -> Played:
    """Play *actions* (T, N) of N sequences from their first bar, going on after an end."""
    states = jax.vmap(begin, (0, None, None))(table.starts, settings, table)

    def act(now: Any, chosen: Any) -> tuple[Any, Any]:
        outcome = jax.vmap(environment.step, (0, 0, None, None))(now, chosen, KEY, table)
        seen = jax.vmap(environment.observe, (0, None))(outcome.state, table)
        return outcome.state, Played(outcome.state, outcome.reward, outcome.terminated, outcome.truncated, seen)

    played: Played = jax.jit(lambda first, chosen: jax.lax.scan(act, first, chosen)[1])(states, actions)
    return played


def equal_to_the_venue(one: Sequence, place: int, states: Any, settings: EnvironmentSettings) -> VenueAccount:
    """Compare every bar of one sequence until the account is ruined."""
    venue = VenueAccount(one.instrument, settings.positions, INTERVAL_NS, settings.start_equity, one.funding)
    account = jax.tree.map(lambda rows: np.asarray(rows[:, place]), states.account)
    peak = settings.start_equity
    for bar in range(len(one.ts)):
        venue.take(int(one.ts[bar]), one.ohlc[bar], one.cost_bps[bar])
        if bar:
            at, row = f"bar {bar}", bar - 1
            equity = account.cash[row] + account.position.qty[row] * (venue.close - account.position.entry[row])
            peak = max(peak, venue.equity)
            assert equity == pytest.approx(venue.equity, abs=TOLERANCE * settings.start_equity), at
            assert account.position.qty[row] == pytest.approx(venue.sign * venue.qty, rel=1e-12, abs=1e-15), at
            assert account.position.stop[row] == pytest.approx(venue.stop, rel=1e-12), at
            assert account.peak[row] == pytest.approx(peak, rel=1e-12), at
            assert account.lost_r[row] == pytest.approx(venue.lost_r, rel=1e-9, abs=1e-9), at
        if venue.equity < 0.3 * settings.start_equity or bar == len(one.ts) - 1:
            break
        venue.want(ACTION_SHARES[one.actions[bar]], float(one.atr[bar]))
    return venue


@pytest.mark.parametrize(("variant", "seeds"), [
    pytest.param(0, range(17), id="17"),
    *(pytest.param(variant, range(2000 + 340 * variant, 2340 + 340 * variant), id=f"340-{variant}",
                   marks=pytest.mark.long) for variant in range(3)),
])
def test_episodes_equal_the_paper_venue(variant: int, seeds: range) -> None:
    """Equity, quantity, stop, peak and losses in a row after every bar, within 1e-9 of the equity.

    With gaps, liquidations, additions, reductions and funding every 1, 4 and 8 hours.
    """
    settings = EnvironmentSettings(positions=VARIANTS[variant], episode_bars=1000)
    sequences = [sequence(seed, settings=settings.positions, equity=settings.start_equity) for seed in seeds]
    played = play(
        market_environment(settings), settings, table_of(sequences, settings.positions),
        jnp.asarray(np.stack([one.actions for one in sequences], axis=1)),
    )
    venues = [equal_to_the_venue(one, place, played.states, settings) for place, one in enumerate(sequences)]
    assert sum(venue.stops for venue in venues) > 3 * len(seeds)
    if len(seeds) > 100 and variant == 1:
        assert sum(venue.liquidations for venue in venues) > 20
