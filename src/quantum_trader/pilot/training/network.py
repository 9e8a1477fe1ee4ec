"""The network of the pilot: hidden layers that policy and value share, and the hash of its weights."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from quantum_trader.pilot.training.environment import Environment
from quantum_trader.pilot.training.settings import PpoSettings

_HIDDEN_GAIN, _POLICY_GAIN, _VALUE_GAIN = 2.0**0.5, 0.01, 1.0


class Layer(NamedTuple):
    """A dense layer: *weights* (in, out), *bias* (out,)."""

    weights: jax.Array
    bias: jax.Array


class Network(NamedTuple):
    """All weights."""

    hidden: tuple[Layer, ...]
    policy: Layer  # one output for each action: the logarithms of their probabilities but for a constant
    value: Layer  # one output: the expected discounted sum of scaled rewards


def initial_network(environment: Environment, settings: PpoSettings, rng: np.random.Generator) -> Network:
    """Orthogonal weights, biases of 0; the policy starts almost uniform."""
    sizes = (environment.observation_size, *settings.hidden)
    return Network(
        tuple(_layer(rng, inputs, outputs, _HIDDEN_GAIN) for inputs, outputs in pairwise(sizes)),
        _layer(rng, sizes[-1], environment.action_count, _POLICY_GAIN), _layer(rng, sizes[-1], 1, _VALUE_GAIN),
    )


def _layer(rng: np.random.Generator, inputs: int, outputs: int, gain: float) -> Layer:
    """A layer whose weights are orthonormal columns, or rows where there are more outputs, times *gain*."""
    tall = rng.normal(size=(max(inputs, outputs), min(inputs, outputs)))
    columns, triangle = np.linalg.qr(tall)
    columns *= np.sign(np.diag(triangle))  # else the directions would not be uniform
    weights = columns if inputs >= outputs else columns.T
    return Layer((gain * weights).astype(np.float32), np.zeros(outputs, np.float32))


def logits_and_values(network: Network, observations: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The policy's outputs (..., actions) and the values (...) of *observations* (..., observation_size)."""
    units = observations
    for layer in network.hidden:
        units = jnp.tanh(units @ layer.weights + layer.bias)
    values = units @ network.value.weights + network.value.bias
    return units @ network.policy.weights + network.policy.bias, values[..., 0]


def best_actions(network: Network, observations: jax.Array) -> jax.Array:
    """The most probable action (...) of each observation."""
    return jnp.argmax(logits_and_values(network, observations)[0], axis=-1)


def weights_hash(network: Network) -> str:
    """SHA-256 over shapes and bytes of all weights, in the order of the layers."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(network):
        numbers = np.ascontiguousarray(array, dtype="<f4")
        digest.update(repr(numbers.shape).encode())
        digest.update(numbers.tobytes())
    return digest.hexdigest()
