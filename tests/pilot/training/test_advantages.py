"""Advantages and values after truncation, against examples computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from tests.pilot.training.counting import Count, counting

from quantum_trader.pilot.training.advantages import advantages, following_values
from quantum_trader.pilot.training.environment import step_or_restart
from quantum_trader.pilot.training.network import ActorCritic, Layer
from quantum_trader.pilot.training.rollout import collect, new_worlds
from quantum_trader.pilot.training.settings import PpoSettings

NEVER = 1_000
KEYS = jax.random.split(jax.random.key(0))


def column(*numbers: float) -> np.ndarray:
    """The steps of one environment: (T, 1)."""
    return np.array(numbers, dtype=np.float32)[:, None]


def flags(*numbers: int) -> np.ndarray:
    """One flag for each step of one environment: (T, 1)."""
    return np.array(numbers, dtype=bool)[:, None]


def test_advantages_of_three_steps_within_an_episode() -> None:
    """δ = 1.25, 1.75, 0.5; with decay 0.25 the advantages are 0.5, 1.75 + 0.125, 1.25 + 0.46875."""
    values, following = column(0.5, 1.5, 2.5), column(1.5, 2.5, 0.0)

    found = advantages(column(1.0, 2.0, 3.0), values, following, flags(0, 0, 0), 0.5, 0.5)

    assert np.asarray(found).ravel().tolist() == [1.71875, 1.875, 0.5]


def test_an_advantage_takes_nothing_from_the_next_episode() -> None:
    """The second step ends an episode: its advantage is its own δ of 1.75, and the first one's is 1.25 + 0.4375."""
    values, following = column(0.5, 1.5, 2.5), column(1.5, 2.5, 0.0)

    found = advantages(column(1.0, 2.0, 3.0), values, following, flags(0, 1, 0), 0.5, 0.5)

    assert np.asarray(found).ravel().tolist() == [1.6875, 1.75, 0.5]


def test_the_value_after_a_truncation_is_that_of_the_same_episode() -> None:
    """7 is the cut episode's last state, 20 the next episode's first; a termination is followed by 0."""
    values, cut = column(10.0, 20.0, 30.0, 40.0), column(7.0, 8.0, 9.0, 6.0)

    found = following_values(values, np.array([50.0]), cut, flags(0, 0, 1, 0), flags(1, 0, 0, 0))

    assert np.asarray(found).ravel().tolist() == [7.0, 30.0, 0.0, 50.0]


@pytest.mark.parametrize(("terminates", "truncates", "marks"), [
    (NEVER, 3, (False, True)), (3, NEVER, (True, False)), (3, 3, (True, False)),
])
def test_an_episode_that_ends_starts_anew_and_keeps_its_last_state(
    terminates: int, truncates: int, marks: tuple[bool, bool]
) -> None:
    """After the third step the state is 0 and the last state 3; an end that is both counts as a termination."""
    step = step_or_restart(
        counting(terminates, truncates), Count(jax.numpy.int32(2)), jax.numpy.int32(0), KEYS, 1.0
    )

    assert (int(step.state.steps), int(step.last_state.steps)) == (0, 3)
    assert (bool(step.terminated), bool(step.truncated)) == marks
    assert float(step.reward) == 3.0


def test_an_episode_that_goes_on_is_not_restarted() -> None:
    """After the second of three steps the state is the last state."""
    step = step_or_restart(
        counting(NEVER, 3), Count(jax.numpy.int32(1)), jax.numpy.int32(0), KEYS, 1.0
    )

    assert (int(step.state.steps), int(step.last_state.steps)) == (2, 2)
    assert not bool(step.terminated | step.truncated)


def doubling_network() -> ActorCritic:
    """A network whose value of the observation x is 2 tanh(x), and whose two actions are equally probable."""
    hidden = Layer(jax.numpy.ones((1, 1)), jax.numpy.zeros(1))
    return ActorCritic((hidden,), jax.numpy.array([[0.0], [0.0], [2.0]]), jax.numpy.zeros(3))


def hand_made_targets(steps: int, episode: int, discount: float, trace: float, truncated: bool) -> list[float]:
    """The value targets of one counting environment whose episodes have *episode* steps, backwards, in plain Python."""
    targets, advantage = [], 0.0
    for at in reversed(range(steps)):
        count = at % episode
        ends = count + 1 == episode
        value, following = 2.0 * np.tanh(count), 2.0 * np.tanh(count + 1)
        if ends and not truncated:
            following = 0.0
        error = (count + 1.0) / 4.0 + discount * following - value  # rewards are divided by the reward scale, 4
        advantage = error + (0.0 if ends else discount * trace * advantage)
        targets.append(advantage + value)
    return targets[::-1]


@pytest.mark.parametrize("truncated", [True, False])
def test_a_rollout_bootstraps_from_the_last_state_of_the_same_episode(truncated: bool) -> None:
    """Over eight steps with two ends of episodes, the targets are those computed step by step."""
    settings = PpoSettings(environments=2, rollout_steps=8, minibatch_size=16, discount=0.9, trace=0.8)
    environment = counting(NEVER, 3) if truncated else counting(3, NEVER)
    worlds = new_worlds(environment, settings, jax.random.key(1), 1.0)

    after, batch, episodes = collect(
        environment, settings, doubling_network(), worlds, jax.numpy.float32(4.0), jax.random.key(2), 1.0
    )

    expected = hand_made_targets(8, 3, 0.9, 0.8, truncated)
    assert np.allclose(np.asarray(batch.targets).reshape(8, 2), np.array(expected)[:, None], atol=1e-5)
    assert (int(episodes.ended), float(episodes.total_reward)) == (4, 24.0)
    assert np.asarray(after.rewards_so_far).tolist() == [3.0, 3.0]
