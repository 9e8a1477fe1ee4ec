"""The training market: equal to the paper venue, blind to the future, and rewarded as stated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

import jax.numpy as jnp
from tests.pilot.engine_account import EngineAccount
from tests.pilot.episode_tables import actions_of, sequences_of, table_of
from tests.pilot.sequences import INTERVAL_NS, Sequence
from tests.pilot.venue_account import VenueAccount

from quantum_trader.pilot.actions import ACTIONS, PilotAction
from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
from quantum_trader.pilot.feature_columns import FIRST_OWN
from quantum_trader.pilot.own_columns import (
    ACCOUNT_EXPOSURE,
    HELD_BARS,
    OPEN_R,
    OWN_SIZE,
    SIDE,
    SIZE_SHARE,
    STOP_SHARE,
)
from quantum_trader.pilot.shadow_book import ACTION_SHARES, PositionSettings
from quantum_trader.pilot.training.market_environment import begin, market_environment, table_on_device
from quantum_trader.pilot.training.ppo import Trainer
from quantum_trader.pilot.training.settings import PpoSettings

TOLERANCE = 1e-9  # of the equity
KEY = jax.random.key(0)
BUY = next(place for place, row in enumerate(ACTIONS) if row.action is PilotAction.LONG_LARGE)
VARIANTS = (
    PositionSettings(risk_pct=1.0),  # what the engine permits without a policy
    PositionSettings(stop_atr=6.0, risk_pct=5.0, leverage=20.0, buffer_pct=0.0),
    PositionSettings(stop_atr=1.0, risk_pct=1.0, leverage=5.0),
)
QUICK = range(17)
SETTINGS = EnvironmentSettings(positions=VARIANTS[0], episode_bars=100, ruin_share=0.97)
BARS = ("open", "high", "low", "close", "atr", "cost_bps", "funding_rate", "trend", "features")


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """The training runs in single precision; equality is judged in double."""
    with jax.enable_x64(True):
        yield


class Played(NamedTuple):
    """What an environment did: (bars, sequences)."""

    states: Any
    rewards: Any
    terminated: Any
    truncated: Any
    observations: Any


@cache
def _player(settings: EnvironmentSettings) -> Any:
    environment = market_environment(settings)

    def play_all(states: Any, actions: Any, table: EpisodeTable) -> Played:
        def act(now: Any, chosen: Any) -> tuple[Any, Any]:
            outcome = jax.vmap(environment.step, (0, 0, None, None))(now, chosen, KEY, table)
            seen = jax.vmap(environment.observe, (0, None))(outcome.state, table)
            return outcome.state, Played(
                outcome.state, outcome.reward, outcome.terminated, outcome.truncated, seen
            )

        played: Played = jax.lax.scan(act, states, actions)[1]
        return played

    return jax.jit(play_all)


def play(settings: EnvironmentSettings, table: EpisodeTable, actions: Any) -> Played:
    """Play *actions* (T, N) of N sequences from their first bar, going on after an end; arrays on this machine."""
    table = table_on_device(table)
    states = jax.vmap(begin, (0, None, None))(table.starts, settings, table)
    played: Played = jax.tree.map(np.asarray, _player(settings)(states, jnp.asarray(actions), table))
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
    pytest.param(0, QUICK, id="17"),
    *(pytest.param(variant, range(2000 + 340 * variant, 2340 + 340 * variant), id=f"340-{variant}",
                   marks=pytest.mark.long) for variant in range(3)),
])
def test_episodes_equal_the_paper_venue(variant: int, seeds: range) -> None:
    """Equity, quantity, stop, peak and losses in a row after every bar, within 1e-9 of the equity.

    With gaps, liquidations, additions, reductions and funding every 1, 4 and 8 hours.
    """
    settings = SETTINGS if variant == 0 else msgspec.structs.replace(SETTINGS, positions=VARIANTS[variant])
    sequences = sequences_of(seeds, settings)
    table = table_of(sequences, settings, math.inf if variant == 2 else 1e5)
    played = play(settings, table, actions_of(sequences))
    venues = [equal_to_the_venue(one, place, played.states, settings) for place, one in enumerate(sequences)]
    assert sum(venue.stops for venue in venues) > len(seeds)
    if len(seeds) > 100 and variant == 1:
        assert sum(venue.liquidations for venue in venues) > 20


@pytest.mark.parametrize("seeds", [
    pytest.param(QUICK, id="17"), pytest.param(range(17, 1000), id="983", marks=pytest.mark.long),
])
def test_episodes_equal_the_engine(seeds: range) -> None:
    """Equity, quantity and what the pilot is shown of its account, bar by bar, of a replay with the same actions.

    Engine, replay driver and paper venue are those of every run; gates are off and limits wide, which also forgets
    drawdown and losses in a row. Where a stop was refused and the position closes at the next open, the engine shows
    the stop that it wanted.
    """
    sequences = sequences_of(seeds, SETTINGS)
    played = play(SETTINGS, table_of(sequences, SETTINGS), actions_of(sequences))
    for place, one in enumerate(sequences):
        account = jax.tree.map(lambda rows, place=place: rows[:, place], played.states.account)
        shown = np.asarray(played.observations[:, place, FIRST_OWN:])
        trader = EngineAccount(one)
        assert trader.risk_pct == SETTINGS.positions.risk_pct
        for bar in range(len(one.ts)):
            trader.take(int(one.ts[bar]), one.ohlc[bar], one.cost_bps[bar])
            if not bar:
                continue
            row, close = bar - 1, one.ohlc[bar, 3]
            equity = account.cash[row] + account.position.qty[row] * (close - account.position.entry[row])
            assert equity == pytest.approx(trader.equity, abs=TOLERANCE * SETTINGS.start_equity), f"{place} bar {bar}"
            assert account.position.qty[row] == pytest.approx(trader.qty, rel=1e-12, abs=1e-12)
            own = trader.pilot.own[-1].copy()
            own[HELD_BARS] = np.log1p(own[HELD_BARS])
            compared = [SIDE, SIZE_SHARE, OPEN_R, HELD_BARS, ACCOUNT_EXPOSURE]
            compared += [STOP_SHARE] if account.order.closes[row] == 0.0 else []
            np.testing.assert_allclose(
                shown[row, compared], np.clip(own, -5.0, 5.0)[compared], rtol=1e-5, atol=1e-5, err_msg=f"{bar}"
            )
            if trader.equity < 0.3 * SETTINGS.start_equity:
                break


def test_nothing_of_a_later_bar_is_seen() -> None:
    """With other bars from bar 60 on, states, rewards and observations up to bar 59 are the same to the bit."""
    sequences = sequences_of(QUICK, SETTINGS)
    table = table_of(sequences, SETTINGS)
    rng = np.random.default_rng(1)

    def changed(rows: Any) -> Any:
        other = rows.copy()
        other[:, 60:] *= rng.uniform(0.5, 2.0, rows[:, 60:].shape).astype(rows.dtype)
        return other

    later = table._replace(**{name: changed(getattr(table, name)) for name in BARS})
    plain, other = (play(SETTINGS, one, actions_of(sequences)) for one in (table, later))
    for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        assert np.array_equal(one[:59], two[:59])
    assert not np.array_equal(plain.rewards[59], other.rewards[59])


def test_rewards_are_their_terms_and_the_terms_are_kept() -> None:
    """The sums that a state carries are those of the rewards; a share of 0 of the costs leaves the turnover's term."""
    sequences = sequences_of(QUICK, SETTINGS)
    played = play(SETTINGS, table_of(sequences, SETTINGS), actions_of(sequences))
    account = played.states.account
    sums = account.profit + account.drawdown + account.turnover + account.regime
    np.testing.assert_allclose(np.cumsum(played.rewards, axis=0), sums, rtol=1e-9, atol=1e-9)
    free = play(
        SETTINGS, table_of(sequences, SETTINGS)._replace(cost_share=np.array(0.0)), actions_of(sequences)
    )
    assert (free.states.account.turnover[-1] < 0.0).all()
    first = slice(0, 10)
    assert (free.states.account.profit[first] >= played.states.account.profit[first] - 1e-9).mean() > 0.9


def test_an_episode_is_cut_off_by_time_and_ended_by_ruin() -> None:
    """Cut off with the last decision; ended by a liquidation or below the share of the equity that is ruin."""
    sequences = sequences_of(QUICK, SETTINGS)
    played = play(SETTINGS, table_of(sequences, SETTINGS), actions_of(sequences))
    assert not played.truncated[:SETTINGS.episode_bars - 1].any()
    assert played.truncated[SETTINGS.episode_bars - 1].all()
    account = played.states.account
    closes = np.stack([one.ohlc[1:, 3] for one in sequences], axis=1)
    equity = account.cash + account.position.qty * (closes - account.position.entry)
    ruined = equity < SETTINGS.ruin_share * SETTINGS.start_equity
    assert ruined.any()
    assert played.terminated[ruined].all()


def test_observations_are_features_of_the_bar_and_of_the_account() -> None:
    """53 features of the table at the observed bar, then the account's own on the stored scale."""
    sequences = sequences_of(QUICK, SETTINGS)
    table = table_of(sequences, SETTINGS)
    played = play(SETTINGS, table, np.full((len(sequences[0].ts) - 1, len(QUICK)), BUY))
    seen, account = played.observations, played.states.account
    assert seen.dtype == np.float32
    assert (seen[:, 0, :FIRST_OWN] == np.asarray(table.features[0, 1:])).all()
    closes = np.stack([one.ohlc[1:, 3] for one in sequences], axis=1)
    size = np.abs(account.position.qty) * closes / (
        account.cash + account.position.qty * (closes - account.position.entry)
    )
    assert (seen[..., FIRST_OWN] == np.sign(account.position.qty)).all()
    np.testing.assert_allclose(seen[..., FIRST_OWN + 1], np.minimum(size, 5.0), rtol=1e-6)
    np.testing.assert_allclose(seen[..., FIRST_OWN + 3], np.minimum(np.log1p(account.held_bars), 5.0), rtol=1e-6)
    assert (seen[..., FIRST_OWN + 8 :] == 0.0).all()
    masked = table._replace(own_seen=np.zeros(OWN_SIZE, dtype=np.bool_), own_scales=np.full(OWN_SIZE, 2.0))
    assert (play(SETTINGS, masked, actions_of(sequences)).observations[..., FIRST_OWN:] == 0.0).all()


def test_the_gymnasium_view_plays_the_same_episodes() -> None:
    """Rewards within 1e-9 and observations in single precision, on the same actions."""
    pytest.importorskip("gymnasium", reason="the view needs Gymnasium: pip install 'quantum-trader[train]'")
    from quantum_trader.pilot.gym_view import MarketGym

    sequences = sequences_of(QUICK, SETTINGS)
    table = table_of(sequences, SETTINGS)
    played, view = play(SETTINGS, table, actions_of(sequences)), MarketGym(table, SETTINGS)
    for window, one in enumerate(sequences):
        view.reset(options={"window": window})
        for bar, action in enumerate(one.actions[: SETTINGS.episode_bars].tolist()):
            seen, reward, terminated, truncated, _ = view.step(action)
            assert reward == pytest.approx(float(played.rewards[bar, window]), rel=1e-9, abs=1e-9)
            np.testing.assert_allclose(seen, played.observations[bar, window], rtol=1e-6, atol=1e-6)
            assert terminated == bool(played.terminated[bar, window])
            assert truncated == (bool(played.truncated[bar, window]) and not terminated)


def test_a_new_episode_begins_at_a_window_without_a_position() -> None:
    """Every window is drawn, and the account is that of the settings."""
    table = table_on_device(table_of(sequences_of(QUICK, SETTINGS), SETTINGS))
    environment = market_environment(SETTINGS)
    states = jax.vmap(environment.reset, (0, None))(jax.random.split(jax.random.key(3), 500), table)
    assert set(np.asarray(states.symbol).tolist()) == set(range(len(QUICK)))
    assert (np.asarray(states.account.cash) == SETTINGS.start_equity).all()
    assert (np.asarray(states.account.position.qty) == 0.0).all()
    assert (np.asarray(states.left) == SETTINGS.episode_bars).all()


@pytest.mark.long
def test_episodes_run_in_the_trainer() -> None:
    """One update of PPO on the market: finite losses, and weights that have changed."""
    settings = PpoSettings(hidden=(8,), environments=8, rollout_steps=16, minibatch_size=64, epochs=1, reward_scale=1.0)
    sequences = sequences_of(QUICK, SETTINGS)
    table = jax.tree.map(
        lambda rows: rows.astype(np.float32) if rows.dtype == np.float64 else rows, table_of(sequences, SETTINGS)
    )
    short = msgspec.structs.replace(SETTINGS, episode_bars=20)
    training, shown = Trainer(market_environment(short), settings).train([1], table, 256)
    assert np.isfinite(np.asarray(shown.losses.policy)).all()
    assert int(training.updates[0]) == 2
