"""Attribution: gradients are derivatives, and a feature that a network does not look at is worth nothing."""

from __future__ import annotations

import numpy as np
import pytest
from tests.lab.pilot.replay_world import SCALERS, clock_market, clock_network, random_network, random_walk

from quantum_trader.lab.pilot.attribution import (
    chosen_gradients,
    feature_groups,
    gradient_times_input,
    shuffled_plays,
)
from quantum_trader.lab.pilot.replaying import Replayer, ReplaySettings
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.network import Network


def test_every_feature_is_in_one_group() -> None:
    """64 features, each once."""
    columns = [column for group in feature_groups() for column in group.columns]

    assert sorted(columns) == list(range(col.FEATURE_COUNT))


def test_gradients_are_those_of_finite_differences() -> None:
    """The gradient of the chosen action's logit is what moving an input by a little does."""
    weights = random_network(5)
    rows = np.random.default_rng(1).normal(0.0, 0.5, (20, col.FEATURE_COUNT)).astype(np.float64)
    logits, gradients = chosen_gradients(weights, rows)  # type: ignore[arg-type]
    chosen, step = logits.argmax(axis=1), 1e-5
    for column in range(0, col.FEATURE_COUNT, 7):
        moved = []
        for sign in (1.0, -1.0):
            other = rows.copy()
            other[:, column] += sign * step
            moved.append(chosen_gradients(weights, other)[0][np.arange(len(rows)), chosen])  # type: ignore[arg-type]
        np.testing.assert_allclose((moved[0] - moved[1]) / (2.0 * step), gradients[:, column], rtol=1e-5, atol=1e-7)


def test_logits_are_the_networks() -> None:
    """Attribution looks at the same numbers as the decision."""
    weights = random_network(6)
    rows = np.random.default_rng(2).normal(0.0, 1.0, (50, col.FEATURE_COUNT)).astype(np.float32)

    np.testing.assert_allclose(chosen_gradients(weights, rows)[0], Network(weights).logits(rows), rtol=1e-3, atol=1e-4)


def test_shuffling_what_is_not_looked_at_changes_nothing() -> None:
    """The clock network looks at one wave of the hour: other groups lose 0 exactly, the clock loses much."""
    replayer = Replayer(clock_market(30), ReplaySettings(), SCALERS)
    network = clock_network()
    played = replayer.pilot(network)
    rng = np.random.default_rng(1)
    for group in feature_groups():
        (shuffled,) = shuffled_plays(replayer, network, played, group, 1, rng)
        if group.name == "clock":
            assert shuffled.equity[-1] < played.equity[-1] - 500.0
        else:
            assert shuffled.equity[-1] == played.equity[-1]


def test_own_features_are_shuffled_too() -> None:
    """A network that looks at everything decides otherwise when its own position is taken from another time."""
    replayer = Replayer(random_walk(20), ReplaySettings(), SCALERS)
    network = random_network(7)
    played = replayer.pilot(network)
    group = next(one for one in feature_groups() if one.name == "own position")
    (shuffled,) = shuffled_plays(replayer, network, played, group, 1, np.random.default_rng(1))

    assert shuffled.equity[-1] != played.equity[-1]


def test_gradient_times_input_finds_the_feature_looked_at() -> None:
    """All of it is the hour's sine."""
    replayer = Replayer(clock_market(20), ReplaySettings(), SCALERS)
    network = clock_network(1.0)
    found = gradient_times_input(replayer, network, replayer.pilot(network))

    assert found[col.HOUR_SINE] > 0.0
    assert found.sum() == pytest.approx(found[col.HOUR_SINE])
