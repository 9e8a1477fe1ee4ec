"""A trained network as the weights that the live process evaluates without the training library."""

from __future__ import annotations

from typing import Final

import numpy as np

from quantum_trader.domain.errors import require
from quantum_trader.pilot.network import Weights
from quantum_trader.pilot.training.network import ActorCritic

_HIDDEN: Final = 2  # layers that the live network has


def weights_of(network: ActorCritic) -> Weights:
    """The policy's part of *network*, whose last output is the value, which live decisions do not need.

    Raises InputError for a network of other layers or of another size than the live one's.
    """
    require(len(network.hidden) == _HIDDEN, "hidden", len(network.hidden), f"must be {_HIDDEN} layers for a live pilot")
    hidden = [
        (np.ascontiguousarray(layer.weights, dtype=np.float32), np.ascontiguousarray(layer.bias, dtype=np.float32))
        for layer in network.hidden
    ]
    actions = (
        np.ascontiguousarray(np.asarray(network.outputs)[:-1].T, dtype=np.float32),
        np.ascontiguousarray(np.asarray(network.output_bias)[:-1], dtype=np.float32),
    )
    return Weights(hidden[0], hidden[1], actions)
