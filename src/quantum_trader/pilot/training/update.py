"""One update of PPO: several passes over the collected steps, in minibatches that lie together in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from quantum_trader.pilot.training.network import ActorCritic, logits_and_values
from quantum_trader.pilot.training.rollout import Batch, chosen
from quantum_trader.pilot.training.settings import PpoSettings

_SMALL = 1e-8  # added to a standard deviation that is divided by
_ADAM_EPSILON = 1e-5


class Losses(NamedTuple):
    """Means over the gradient steps of an update."""

    policy: jax.Array
    value: jax.Array
    entropy: jax.Array  # of the policy, in nats
    divergence: jax.Array  # Kullback-Leibler divergence from the policy that collected the steps, estimated
    clipped: jax.Array  # share of the steps whose ratio was clipped


def optimizer(settings: PpoSettings) -> optax.GradientTransformation:
    """Adam behind a limit on the gradient's norm; the learning rate is applied in ``improve``."""
    return optax.chain(
        optax.clip_by_global_norm(settings.gradient_norm), optax.scale_by_adam(eps=_ADAM_EPSILON)
    )


def losses(network: ActorCritic, batch: Batch, settings: PpoSettings) -> tuple[jax.Array, Losses]:
    """The loss to reduce, and its parts."""
    logits, values = logits_and_values(network, batch.observations)
    log_probabilities = jax.nn.log_softmax(logits)
    log_ratio = chosen(log_probabilities, batch.actions) - batch.log_probabilities
    ratio = jnp.exp(log_ratio)
    gains = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + _SMALL)
    clipped_ratio = jnp.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip)
    policy_loss = -jnp.minimum(gains * ratio, gains * clipped_ratio).mean()
    value_loss = 0.5 * jnp.square(values - batch.targets).mean()
    entropy = -(jnp.exp(log_probabilities) * log_probabilities).sum(axis=-1).mean()
    total = policy_loss + settings.value_weight * value_loss - settings.entropy_weight * entropy
    divergence = (ratio - 1.0 - log_ratio).mean()
    return total, Losses(policy_loss, value_loss, entropy, divergence, (jnp.abs(ratio - 1.0) > settings.clip).mean())


def improve(
    network: ActorCritic, moments: Any, batch: Batch, learning_rate: jax.Array, settings: PpoSettings
) -> tuple[ActorCritic, Any, Losses]:
    """Make the gradient steps of one update; *moments* is the optimizer's state.

    A minibatch is a range of consecutive rows: a few steps of all environments. To choose its rows at random would cost
    much of the speed, in copying.
    """
    ranges = jax.tree.map(
        lambda rows: rows.reshape(settings.minibatches, settings.minibatch_size, *rows.shape[1:]), batch
    )
    places = jnp.tile(jnp.arange(settings.minibatches), settings.epochs)

    def descend(carried: tuple[ActorCritic, Any], place: jax.Array) -> tuple[tuple[ActorCritic, Any], Losses]:
        network, moments = carried
        part = jax.tree.map(lambda rows: jax.lax.dynamic_index_in_dim(rows, place, keepdims=False), ranges)
        gradients, parts = jax.grad(losses, has_aux=True)(network, part, settings)
        steps, moments = optimizer(settings).update(gradients, moments)
        network = jax.tree.map(lambda weights, step: weights - learning_rate * step, network, steps)
        return (network, moments), parts

    (network, moments), parts = jax.lax.scan(descend, (network, moments), places)
    return network, moments, jax.tree.map(jnp.mean, parts)
