"""CartPole through the same PPO: the usual first test of an implementation."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from tests.pilot.training.cart_pole import CART_POLE, Cart, step

from quantum_trader.pilot.training.ppo import Trainer
from quantum_trader.pilot.training.settings import PpoSettings

SETTINGS = PpoSettings(
    environments=8, rollout_steps=32, minibatch_size=256, epochs=20, learning_rate=1e-3,
    last_learning_rate_share=0.0, discount=0.98, trace=0.8, entropy_weight=0.0,
)
STEPS, EPISODES, BAR = 500_000, 100, 475.0


def last_episodes_mean(ended: np.ndarray, total: np.ndarray) -> float:
    """Mean reward of the last 100 episodes, or a few more: those of an update count together. Both are (updates,)."""
    from_the_end = np.cumsum(ended[::-1])
    updates = int(np.searchsorted(from_the_end, EPISODES)) + 1
    return float(total[-updates:].sum() / ended[-updates:].sum())


def test_the_last_episodes_are_counted_in_whole_updates() -> None:
    """The last two updates have 110 episodes with 1,100 + 60 of reward."""
    assert last_episodes_mean(np.array([500, 99, 11]), np.array([0.0, 1_100.0, 60.0])) == pytest.approx(1_160 / 110)


def test_one_step_is_gymnasiums() -> None:
    """From a still, upright pole: pushed right, the cart gains 0.195 m/s and the pole falls back at 0.293 rad/s."""
    outcome = step(Cart(jax.numpy.zeros(4), jax.numpy.int32(0)), jax.numpy.int32(1), jax.random.key(0), None)

    assert np.allclose(outcome.state.motion, [0.0, 0.19512195, 0.0, -0.29268292], atol=1e-6)


@pytest.mark.long
def test_cart_pole_is_solved_within_half_a_million_steps() -> None:
    """A mean of at least 475 over the last 100 episodes, in each of five seeds."""
    _, progress = Trainer(CART_POLE, SETTINGS).train(range(5), None, STEPS)
    ended, total = np.asarray(progress.episodes.ended), np.asarray(progress.episodes.total_reward)

    means = [last_episodes_mean(ended[seed], total[seed]) for seed in range(5)]

    assert min(means) >= BAR, means
