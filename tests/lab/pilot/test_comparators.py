"""Comparators against figures that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.lab.pilot.replay_world import (
    BARS_A_DAY,
    OBSERVATION,
    SCALERS,
    clock_network,
    random_walk,
    recording_of,
    stubborn_network,
)

from quantum_trader.lab.pilot.comparators import (
    by_regime,
    flat_track,
    hold_track,
    joined_tracks,
    random_agent,
    random_play,
    scaled_hold,
    track_of,
)
from quantum_trader.lab.pilot.replay_bars import replay_bars
from quantum_trader.lab.pilot.replaying import Replayer, ReplaySettings
from quantum_trader.lab.sharpe import moments
from quantum_trader.pilot.actions import PilotAction


def days_of(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Days since the epoch from 2024-01-01 on."""
    return 19_723 + np.arange(count, dtype=np.int64)


def test_flat_is_zero() -> None:
    """Money that is never traded is there at the end."""
    track = flat_track(random_walk(10), days_of(10))

    assert (track.returns.sum(), track.traded, track.sharpe, track.growth[-1]) == (0.0, 0.0, 0.0, 1.0)


def test_holding_two_symbols_is_the_mean_of_both_less_cost_and_funding() -> None:
    """One doubles, one stays: half of the money doubles; what it cost and the assumed funding are taken off."""
    bars = 10 * BARS_A_DAY
    returns = np.zeros((bars, 2))
    returns[:, 0] = 2.0 ** (1.0 / bars) - 1.0
    replay = replay_bars(recording_of(returns), OBSERVATION)
    track = hold_track(replay, days_of(10))

    spent = 1.0 / (1.0 + replay.instruments[0].taker_fee_bps * 1e-4)  # of each half, the rest is the fee
    assert track.traded == pytest.approx(spent, rel=1e-6)
    assert track.fees == pytest.approx(1.0 - spent, rel=1e-3)
    price = np.array([2.0, 1.0])
    worth = float((0.5 * spent * price / (1.0 + track.slippage / (spent - track.slippage))).sum())
    payments = 29  # at 00, 08 and 16 UTC of ten days, without that of the purchase
    paid = 0.0001 * sum(0.5 * (2.0 ** (k / 30.0) + 1.0) for k in range(1, payments + 1))
    assert -track.funding == pytest.approx(paid, rel=5e-3)
    assert track.growth[-1] == pytest.approx(worth + track.funding, rel=1e-4)
    assert float(np.prod(1.0 + track.returns)) == pytest.approx(track.growth[-1])


def test_scaled_holding_has_the_volatility_asked_for() -> None:
    """A fixed share of the holding has that share of its daily volatility; its equity at each bar joins its days."""
    replay = random_walk(60)
    hold = hold_track(replay, days_of(60))
    scaled = scaled_hold(replay, hold, 0.25 * moments(hold.returns).deviation)

    assert moments(scaled.returns).deviation == pytest.approx(0.25 * moments(hold.returns).deviation, rel=0.01)
    assert scaled.sharpe == pytest.approx(hold.sharpe, abs=0.3)
    assert scaled.growth[-1] == pytest.approx(float(np.prod(1.0 + scaled.returns)))
    assert scaled.traded > 0.25 * hold.traded


def test_a_random_agent_trades_as_much_as_the_pilot() -> None:
    """Its turnover is that of the pilot within a tenth; its decisions are of the pilot's own kinds."""
    replayer = Replayer(random_walk(60), ReplaySettings(), SCALERS)
    pilot = replayer.pilot(clock_network())
    rng = np.random.default_rng(3)
    agent = random_agent(replayer, pilot, rng)
    plays = [random_play(replayer, agent, rng) for _ in range(10)]
    turnover = np.mean([one.traded / one.equity.mean() for one in plays])

    assert turnover == pytest.approx(pilot.traded / pilot.equity.mean(), rel=0.1)
    assert set(np.unique(agent.targets)) <= {-0.2, 0.0, 0.2}


def test_a_random_agent_beside_one_that_never_trades_does_not_trade() -> None:
    """Nothing is matched with nothing."""
    replayer = Replayer(random_walk(20), ReplaySettings(), SCALERS)
    agent = random_agent(replayer, replayer.pilot(stubborn_network(PilotAction.FLAT)), np.random.default_rng(1))

    assert random_play(replayer, agent, np.random.default_rng(2)).traded == 0.0


def test_regimes_share_the_whole_result() -> None:
    """What was made while a regime was known adds up over the regimes; their shares add up to 1."""
    replay = random_walk(40)
    played = Replayer(replay, ReplaySettings(), SCALERS).pilot(clock_network())
    made, share = by_regime(replay, played.values / played.start, played.days)

    assert made.sum() == pytest.approx((played.values[-1] - played.values[0]).sum() / played.start)
    assert share.sum() == pytest.approx(1.0)


def test_folds_are_chained() -> None:
    """Returns of folds follow one another, and the deepest fall may reach from one into the next."""
    replay = random_walk(20)
    part = track_of(replay, Replayer(replay, ReplaySettings(), SCALERS).pilot(clock_network()))
    both = joined_tracks([part, part])

    assert len(both.returns) == 2 * len(part.returns)
    assert both.growth[-1] == pytest.approx(part.growth[-1] ** 2)
    assert both.trades == 2 * part.trades
    assert both.held_share == pytest.approx(part.held_share)
