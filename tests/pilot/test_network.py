"""The pilot's network without the training library, and what it refuses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.pilot.actions import ACTION_COUNT, ACTIONS, PilotAction
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.network import Network, Weights


def random_weights(seed: int = 0, widths: tuple[int, int] = (128, 128)) -> Weights:
    """Weights of the size that training gives."""
    rng = np.random.default_rng(seed)
    sizes = (FEATURE_COUNT, *widths, ACTION_COUNT)
    return Weights(*(
        (
            (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32),
            (0.1 * rng.standard_normal(columns)).astype(np.float32),
        )
        for rows, columns in itertools.pairwise(sizes)
    ))


def observations(count: int, seed: int = 1) -> np.ndarray:
    """Scaled observations: within ±5, some of them masked."""
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-5.0, 5.0, (count, FEATURE_COUNT))
    rows[rng.random(rows.shape) < 0.1] = 0.0
    return rows.astype(np.float32)


def in_double(weights: Weights, rows: np.ndarray) -> np.ndarray:
    """The logits by numpy's products in double precision."""
    values = rows.astype(np.float64)
    for layer in (weights.hidden_1, weights.hidden_2):
        values = np.tanh(values @ layer[0].astype(np.float64) + layer[1])
    return np.asarray(values @ weights.actions[0].astype(np.float64) + weights.actions[1])


@pytest.mark.parametrize("widths", [(128, 128), (32, 7)])
def test_it_equals_the_products_in_double_precision(widths: tuple[int, int]) -> None:
    """To 1e-5 on 100,000 observations, also where the hidden layers have different widths."""
    weights, rows = random_weights(widths=widths), observations(100_000)
    network = Network(weights)
    assert np.abs(network.logits(rows) - in_double(weights, rows)).max() < 1e-5

    logits = in_double(weights, rows)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    found = network.probabilities(rows)
    assert np.abs(found - shares).max() < 1e-5
    assert np.abs(found.sum(axis=1) - 1.0).max() < 1e-12


def test_an_observation_does_not_depend_on_those_beside_it() -> None:
    """One symbol alone has the bits that it has among many."""
    network, rows = Network(random_weights()), observations(50)
    together = network.logits(rows)
    for place in (0, 7, 49):
        assert np.array_equal(network.logits(rows[place : place + 1])[0], together[place])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_observation_that_is_not_finite_is_refused(bad: float) -> None:
    """Only ready observations may be judged."""
    rows = observations(3)
    rows[1, 5] = bad
    with pytest.raises(InputError, match="not finite"):
        Network(random_weights()).probabilities(rows)
    with pytest.raises(InputError, match=r"rows = .*\(N, 64\)"):
        Network(random_weights()).probabilities(observations(3).astype(np.float64))


def test_weights_of_another_shape_are_refused_by_their_name() -> None:
    """The layer, what it has, and what it must have."""
    good = random_weights()
    with pytest.raises(InputError, match=r"weights\.actions\.bias = \(5,\): must be \(6,\)"):
        Weights(good.hidden_1, good.hidden_2, (good.actions[0], good.actions[1][:5]))
    with pytest.raises(InputError, match=r"weights\.hidden_2\.matrix"):
        Weights(good.hidden_1, (good.hidden_2[0][:7], good.hidden_2[1]), good.actions)
    with pytest.raises(InputError, match=r"float32"):
        Weights((good.hidden_1[0].astype(np.float64), good.hidden_1[1]), good.hidden_2, good.actions)
    broken = good.hidden_1[0].copy()
    broken[3, 3] = np.nan
    with pytest.raises(InputError, match=r"weights\.hidden_1\.matrix: holds numbers that are not finite"):
        Weights((broken, good.hidden_1[1]), good.hidden_2, good.actions)


def test_the_actions_are_those_of_the_specification() -> None:
    """Six, in one order, with their sizes; HOLD and FLAT want no position of their own."""
    assert [(row.action, row.sign, row.share) for row in ACTIONS] == [
        (PilotAction.FLAT, 0, 0.0), (PilotAction.LONG_SMALL, 1, 0.10), (PilotAction.LONG_LARGE, 1, 0.20),
        (PilotAction.SHORT_SMALL, -1, 0.10), (PilotAction.SHORT_LARGE, -1, 0.20), (PilotAction.HOLD, 0, 0.0),
    ]
