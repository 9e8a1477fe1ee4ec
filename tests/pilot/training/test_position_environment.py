"""The environment of the learnability markets: fills at the next bar, costs, windows; equal to the exact markets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from quantum_trader.pilot.actions import PilotAction
from quantum_trader.pilot.training.device import on_device
from quantum_trader.pilot.training.learnability.bars import (
    MarketBars,
    leaked_bars,
    mean_reverting_bars,
    random_walk_bars,
)
from quantum_trader.pilot.training.learnability.exact import (
    ExactMarket,
    best_policy,
    leaked_market,
    mean_profit,
    mean_reverting_market,
)
from quantum_trader.pilot.training.learnability.position_environment import (
    EPISODE_BARS,
    POSITION_ENVIRONMENT,
    HeldPosition,
)
from quantum_trader.pilot.training.learnability.positions import PLACE_OF, TARGET_SHARES

STEP = jax.jit(POSITION_ENVIRONMENT.step)
KEY = jax.random.key(0)


def played(actions: list[PilotAction], returns: list[float], cost: float) -> list[float]:
    """The rewards of *actions* on a path whose bars return *returns*, from a start without a position at bar 0."""
    table = on_device(MarketBars(np.zeros((1, len(returns)), np.float32), np.array([returns], np.float32),
                                 np.array(cost, np.float32)))
    state, rewards = HeldPosition(*jax.numpy.array([0, 0, 0, EPISODE_BARS])), []
    for action in actions:
        outcome = STEP(state, jax.numpy.int32(PLACE_OF[action]), KEY, table)
        state = outcome.state
        rewards.append(float(outcome.reward))
    return rewards


def test_a_decision_earns_from_the_bar_after_its_fill() -> None:
    """Long at bar 0 fills at bar 1's close: 2 % of bar 1 are not earned, 3 % of bar 2 are, and of bar 3 still."""
    rewards = played([PilotAction.LONG_LARGE, PilotAction.HOLD, PilotAction.FLAT], [0.0, 0.02, 0.03, 0.04], 0.001)

    assert rewards == pytest.approx([-0.2 * 0.001, 0.2 * 0.03, 0.2 * 0.04 - 0.2 * 0.001], rel=1e-5)


def test_a_turn_costs_the_whole_change() -> None:
    """From 20 % long to 10 % short: 0.3 of the equity changes hands."""
    rewards = played([PilotAction.LONG_LARGE, PilotAction.SHORT_SMALL, PilotAction.HOLD], [0.0, 0.0, 0.0, 0.05], 0.001)

    assert rewards == pytest.approx([-0.0002, -0.0003, -0.1 * 0.05], rel=1e-5)


def test_hold_and_flat_without_a_position_do_nothing() -> None:
    """Nothing is earned and nothing paid."""
    actions = [PilotAction.HOLD, PilotAction.FLAT, PilotAction.HOLD]

    assert played(actions, [0.0, 0.02, 0.03, 0.04], 0.001) == [0.0, 0.0, 0.0]


def test_an_episode_is_cut_off_after_its_window() -> None:
    """The last bar of the window truncates and does not terminate."""
    table = on_device(random_walk_bars(0.01, 0.0, (2, 300), np.random.default_rng(1)))
    state = POSITION_ENVIRONMENT.reset(KEY, table)

    for left in range(EPISODE_BARS - 1, -1, -1):
        outcome = STEP(state, jax.numpy.int32(PLACE_OF[PilotAction.HOLD]), KEY, table)
        state = outcome.state
        assert (int(state.left), bool(outcome.truncated), bool(outcome.terminated)) == (left, left == 0, False)


def test_windows_stay_within_the_bars() -> None:
    """A thousand windows over 130 bars: all start at bar 0 or 1, on every path, with every position."""
    table = on_device(random_walk_bars(0.01, 0.0, (3, EPISODE_BARS + 2), np.random.default_rng(1)))

    states = jax.vmap(POSITION_ENVIRONMENT.reset, (0, None))(jax.random.split(KEY, 1000), table)

    assert set(np.asarray(states.bar).tolist()) == {0, 1}
    assert set(np.asarray(states.path).tolist()) == {0, 1, 2}
    assert set(np.asarray(states.place).tolist()) == set(range(len(TARGET_SHARES)))


def simulated(market: ExactMarket, table: Any) -> tuple[float, float]:
    """The mean profit a bar of the market's best policy in the environment, and its standard error over paths."""
    policy, grid = jax.numpy.asarray(best_policy(market)), jax.numpy.asarray(market.seen)
    paths, bars = table.feature.shape
    none = jax.numpy.zeros(paths, jax.numpy.int32)
    start = HeldPosition(jax.numpy.arange(paths), none, none, none + bars)
    step = jax.vmap(POSITION_ENVIRONMENT.step, (0, 0, None, None))

    def act(now: HeldPosition, _: None) -> tuple[HeldPosition, Any]:
        feature = table.feature[now.path, now.bar]
        level = jax.numpy.abs(feature[:, None] - grid[None]).argmin(axis=1)
        outcome = step(now, policy[level, now.place], KEY, table)
        return outcome.state, outcome.reward

    profits = np.asarray(jax.lax.scan(act, start, length=bars - 1)[1].mean(axis=0), np.float64)
    return float(profits.mean()), float(profits.std() / np.sqrt(paths))


@pytest.mark.parametrize("name", ["mean reverting", "leaked"])
def test_the_environment_is_the_exact_market(name: str) -> None:
    """The best policy's profit on simulated bars is the exact one, within four standard errors of under 3 %."""
    rng = np.random.default_rng(5)
    if name == "leaked":
        market, bars = leaked_market(0.5, 0.01, 0.001), leaked_bars(0.5, 0.01, 0.001, (512, 1024), rng)
    else:
        market, bars = mean_reverting_market(0.9, 0.01, 0.005), mean_reverting_bars(0.9, 0.01, 0.005, (512, 1024), rng)
    exact = mean_profit(market, best_policy(market))

    mean, error = simulated(market, on_device(bars))

    assert error < 0.03 * exact
    assert abs(mean - exact) < 4.0 * error
