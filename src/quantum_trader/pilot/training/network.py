"""The network of the pilot: hidden layers that policy and value share, and the hash of its weights."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from quantum_trader.pilot.training.environment import Environment
from quantum_trader.pilot.training.settings import PpoSettings

_HIDDEN_GAIN, _POLICY_GAIN, _VALUE_GAIN = 2.0**0.5, 0.01, 1.0


class Layer(NamedTuple):
    """A dense layer: *weights* (in, out), *bias* (out,)."""

    weights: jax.Array
    bias: jax.Array


class ActorCritic(NamedTuple):
    """All weights."""

    hidden: tuple[Layer, ...]
    outputs: jax.Array  # (actions + 1, units): one row for each action, the last for the value
    output_bias: jax.Array  # (actions + 1,)


def initial_network(environment: Environment, settings: PpoSettings, rng: np.random.Generator) -> ActorCritic:
    """Orthogonal weights, biases of 0; the policy starts almost uniform."""
    sizes = (environment.observation_size, *settings.hidden)
    hidden = tuple(
        Layer(_orthogonal(rng, inputs, units, _HIDDEN_GAIN), np.zeros(units, np.float32))
        for inputs, units in pairwise(sizes)
    )
    policy = _orthogonal(rng, environment.action_count, sizes[-1], _POLICY_GAIN)
    value = _orthogonal(rng, 1, sizes[-1], _VALUE_GAIN)
    return ActorCritic(hidden, np.concatenate([policy, value]), np.zeros(environment.action_count + 1, np.float32))


def _orthogonal(rng: np.random.Generator, rows: int, columns: int, gain: float) -> npt.NDArray[np.float32]:
    """A matrix whose rows, or whose columns where there are fewer, have length *gain* and are at right angles."""
    tall = rng.normal(size=(max(rows, columns), min(rows, columns)))
    directions, triangle = np.linalg.qr(tall)
    directions = directions * np.sign(np.diag(triangle))  # else the directions would not be uniform
    return (gain * (directions if rows >= columns else directions.T)).astype(np.float32)


def logits_and_values(network: ActorCritic, observations: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The policy's outputs (..., actions) and the values (...) of *observations* (..., observation_size).

    The policy's outputs are the logarithms of the actions' probabilities but for a constant. The value is the expected
    discounted sum of scaled rewards. All outputs are one product with rows of weights: on a CPU, the gradient of a few
    columns of weights takes five times as long.
    """
    units = observations
    for layer in network.hidden:
        units = jnp.tanh(units @ layer.weights + layer.bias)
    outputs = jnp.einsum("...u,ou->...o", units, network.outputs) + network.output_bias
    return outputs[..., :-1], outputs[..., -1]


def best_actions(network: ActorCritic, observations: jax.Array) -> jax.Array:
    """The most probable action (...) of each observation."""
    return jnp.argmax(logits_and_values(network, observations)[0], axis=-1)


def actor_critic_hash(network: ActorCritic) -> str:
    """SHA-256 over shapes and bytes of all weights, in the order of the layers."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(network):
        numbers = np.ascontiguousarray(array, dtype="<f4")
        digest.update(repr(numbers.shape).encode())
        digest.update(numbers.tobytes())
    return digest.hexdigest()
