"""A trained network and the live one give the same numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from tests.pilot.test_network import observations

from quantum_trader.domain.errors import InputError
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.training.export import weights_of
from quantum_trader.pilot.training.network import ActorCritic, Layer, logits_and_values


def trained(widths: tuple[int, ...] = (128, 128), seed: int = 5) -> ActorCritic:
    """A network with weights as large as training makes them, and biases that are not 0."""
    rng = np.random.default_rng(seed)
    sizes = (FEATURE_COUNT, *widths)
    hidden = tuple(
        Layer(
            (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32),
            (0.1 * rng.standard_normal(columns)).astype(np.float32),
        )
        for rows, columns in pairwise(sizes)
    )
    outputs = (rng.standard_normal((ACTION_COUNT + 1, widths[-1])) / np.sqrt(widths[-1])).astype(np.float32)
    return ActorCritic(hidden, outputs, (0.1 * rng.standard_normal(ACTION_COUNT + 1)).astype(np.float32))


def test_the_live_network_equals_the_trained_one() -> None:
    """To 1e-5 on 100,000 observations, and the same action wherever the best two are farther apart than that."""
    network, rows = trained(), observations(100_000)
    expected = np.asarray(logits_and_values(network, rows)[0])
    found = Network(weights_of(network)).logits(rows)
    assert np.abs(found - expected).max() < 1e-5

    best_two = np.sort(expected, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > 2e-5
    assert clear.mean() > 0.99
    assert np.array_equal(found.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])


def test_a_network_of_other_layers_is_refused() -> None:
    """The live one has two hidden layers."""
    with pytest.raises(InputError, match="hidden = 3: must be 2 layers"):
        weights_of(trained((32, 32, 32)))
