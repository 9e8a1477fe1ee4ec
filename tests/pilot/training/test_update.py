"""One gradient step of PPO: its losses against numbers computed by hand, and the order of minibatches."""

from __future__ import annotations

import math

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from quantum_trader.pilot.training.network import ActorCritic, Layer, actor_critic_hash
from quantum_trader.pilot.training.rollout import Batch, drawn_actions
from quantum_trader.pilot.training.settings import PpoSettings
from quantum_trader.pilot.training.update import losses

SETTINGS = PpoSettings(environments=2, rollout_steps=1, minibatch_size=2)


def network(bias: float = 0.0) -> ActorCritic:
    """Two actions with logits 0 and *bias*; the value is 0."""
    hidden = Layer(jax.numpy.zeros((1, 1)), jax.numpy.zeros(1))
    return ActorCritic((hidden,), jax.numpy.zeros((3, 1)), jax.numpy.array([0.0, bias, 0.0]))


def batch() -> Batch:
    """Both actions once, made when they were equally probable; advantages 3 and 1, value targets 2 and 4."""
    half = math.log(0.5)
    return Batch(*(jax.numpy.array(numbers) for numbers in (
        [[0.0], [0.0]], [0, 1], [half, half], [3.0, 1.0], [2.0, 4.0],
    )))


def test_the_losses_of_a_policy_that_did_not_change() -> None:
    """Ratios of 1: policy loss 0, value loss (2² + 4²) / 4 = 5, entropy log 2, no divergence, nothing clipped."""
    total, parts = losses(network(), batch(), SETTINGS)

    assert [float(part) for part in parts] == pytest.approx([0.0, 5.0, math.log(2.0), 0.0, 0.0], abs=1e-6)
    assert float(total) == pytest.approx(0.5 * 5.0 - 0.01 * math.log(2.0), abs=1e-6)


def test_a_ratio_beyond_the_clip_counts_as_the_clip_where_it_would_gain() -> None:
    """Logits 0 and log 3: ratios 0.5 and 1.5, advantages normalised to 1 and -1.

    The first is min(0.5, 0.8), the second min(-1.5, -1.2): the loss is -(0.5 - 1.5) / 2.
    """
    _, parts = losses(network(math.log(3.0)), batch(), SETTINGS)

    assert float(parts.policy) == pytest.approx(0.5, abs=1e-5)
    assert float(parts.clipped) == 1.0
    assert float(parts.divergence) == pytest.approx(-(math.log(0.5) + math.log(1.5)) / 2.0, abs=1e-5)


def test_a_uniform_number_stands_for_an_action() -> None:
    """With probabilities 0.5, 0.25, 0.25: below 0.5 the first, below 0.75 the second, else the third."""
    logs = jax.numpy.log(jax.numpy.array([[0.5, 0.25, 0.25]] * 5))

    assert drawn_actions(logs, jax.numpy.array([0.0, 0.49, 0.51, 0.74, 0.999])).tolist() == [0, 0, 1, 1, 2]


def test_the_hash_tells_one_bit_of_one_weight() -> None:
    """The smallest change of the last bias gives another hash; the same weights give the same."""
    one, other = network(1.0), network(float(np.nextafter(np.float32(1.0), np.float32(2.0))))

    assert actor_critic_hash(one) == actor_critic_hash(network(1.0)) != actor_critic_hash(other)
