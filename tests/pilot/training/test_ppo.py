"""PPO as a whole: reproducible to the bit, and several seeds at once are the seeds one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.pilot.training.device import on_device
from quantum_trader.pilot.training.learnability.bars import leaked_bars
from quantum_trader.pilot.training.learnability.position_environment import POSITION_ENVIRONMENT
from quantum_trader.pilot.training.network import actor_critic_hash
from quantum_trader.pilot.training.ppo import Trainer, Training, of_seed
from quantum_trader.pilot.training.settings import PpoSettings

SETTINGS = PpoSettings(hidden=(16,), environments=8, rollout_steps=16, minibatch_size=64, epochs=2)
UPDATES = 4
STEPS = UPDATES * SETTINGS.steps_per_update


def market(cost: float = 0.001) -> Any:
    """A small market that tells half of the coming return."""
    return on_device(leaked_bars(0.5, 0.01, cost, (4, 256), np.random.default_rng(1)))


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """One trainer, so that its programs are compiled once."""
    return Trainer(POSITION_ENVIRONMENT, SETTINGS)


def hashes(training: Training) -> list[str]:
    """The hash of each seed's weights."""
    return [actor_critic_hash(of_seed(training.network, place)) for place in range(len(training.updates))]


def test_the_same_seed_gives_the_same_weights(trainer: Trainer) -> None:
    """Two trainings of seeds 3 and 4: the same two hashes, which differ from each other."""
    first, _ = trainer.train([3, 4], market(), STEPS)
    second, _ = trainer.train([3, 4], market(), STEPS)

    assert hashes(first) == hashes(second)
    assert len(set(hashes(first))) == 2


def test_other_data_gives_other_weights(trainer: Trainer) -> None:
    """The table is an argument: the same compiled program trains on other costs."""
    cheap, _ = trainer.train([3, 4], market(), STEPS)
    dear, _ = trainer.train([3, 4], market(cost=0.01), STEPS)

    assert set(hashes(cheap)).isdisjoint(hashes(dear))


def test_several_seeds_at_once_are_the_seeds_one_by_one(trainer: Trainer) -> None:
    """Weights after four updates differ by rounding alone: products of matrices are summed in another order."""
    together, _ = trainer.train([5, 6], market(), STEPS)
    one_by_one = Trainer(POSITION_ENVIRONMENT, SETTINGS)

    for place, seed in enumerate((5, 6)):
        alone, _ = one_by_one.train([seed], market(), STEPS)
        pairs = zip(jax.tree.leaves(of_seed(together, place).network), jax.tree.leaves(of_seed(alone, 0).network),
                    strict=True)
        assert all(np.allclose(one, other, atol=1e-5) for one, other in pairs)


def test_training_goes_on_from_any_update(trainer: Trainer) -> None:
    """Two updates and two more are four."""
    planned = SETTINGS.updates_for(STEPS)
    training = trainer.start([7, 8], market())
    for _ in range(2):
        training, _ = trainer.update(training, market(), planned)
    for _ in range(2):
        training, _ = trainer.update(training, market(), planned)
    whole, _ = trainer.train([7, 8], market(), STEPS)

    assert hashes(training) == hashes(whole)
    assert np.asarray(training.updates).tolist() == [4, 4]


def test_progress_is_told_for_each_seed_and_update(trainer: Trainer) -> None:
    """Finite losses, an entropy of at most log 6, episodes of 128 bars: 4 of 8 environments' 64 steps end none."""
    _, progress = trainer.train([3, 4], market(), STEPS)

    assert all(np.isfinite(numbers).all() and numbers.shape == (2, UPDATES) for numbers in jax.tree.leaves(progress))
    assert np.asarray(progress.losses.entropy).max() <= np.log(6.0) + 1e-6


def test_less_than_an_update_is_refused(trainer: Trainer) -> None:
    """127 steps are less than the 128 of an update."""
    with pytest.raises(ConfigError, match="steps = 127"):
        trainer.train([1], market(), 127)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_is_refused(trainer: Trainer, seed: int) -> None:
    """The message names it."""
    with pytest.raises(InputError, match=f"seed = {seed}"):
        trainer.start([1, seed], market())


def test_rewards_are_scaled_by_what_random_actions_make_of_them(trainer: Trainer) -> None:
    """The unit of the rewards does not matter: 1,000 times the returns and the cost give 1,000 times the scale."""
    small = market()
    large = small._replace(returns=small.returns * 1000.0, cost=small.cost * 1000.0)

    scales = [float(trainer.start([1, 2], table).reward_scale[0]) for table in (small, large)]

    assert scales[1] == pytest.approx(1000.0 * scales[0], rel=1e-4)


def test_a_stated_reward_scale_is_taken() -> None:
    """2.5 as given."""
    settings = PpoSettings(hidden=(16,), environments=8, rollout_steps=16, minibatch_size=64, reward_scale=2.5)

    assert float(Trainer(POSITION_ENVIRONMENT, settings).start([1], market()).reward_scale[0]) == 2.5
