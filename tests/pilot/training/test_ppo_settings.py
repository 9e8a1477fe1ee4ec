"""The settings of PPO: the specification's defaults; what cannot be used is refused with its key and value."""

from __future__ import annotations

from typing import Any

import pytest

from quantum_trader.domain.errors import ConfigError
from quantum_trader.pilot.training.settings import PpoSettings


def test_the_defaults_are_the_specifications() -> None:
    """A buffer of 2048 steps, minibatches of 64, ten epochs, two hidden layers of 128."""
    settings = PpoSettings()

    assert (settings.steps_per_update, settings.minibatch_size, settings.epochs) == (2048, 64, 10)
    assert (settings.hidden, settings.learning_rate) == ((128, 128), 3e-4)
    assert (settings.discount, settings.trace, settings.clip) == (0.99, 0.95, 0.2)
    assert (settings.entropy_weight, settings.value_weight, settings.gradient_norm) == (0.01, 0.5, 0.5)


@pytest.mark.parametrize(("key", "value"), [
    ("environments", 0), ("rollout_steps", 0), ("minibatch_size", 0), ("minibatch_size", 100), ("epochs", 0),
    ("hidden", ()), ("hidden", (128, 0)), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("clip", -0.2),
    ("gradient_norm", float("inf")), ("entropy_weight", -0.01), ("value_weight", float("nan")), ("discount", 1.0),
    ("trace", 1.1), ("last_learning_rate_share", -0.1), ("reward_scale", 0.0), ("learning_rate", "fast"),
])
def test_a_setting_that_cannot_be_used_is_refused(key: str, value: Any) -> None:
    """The message names the key and the value."""
    with pytest.raises(ConfigError) as refused:
        PpoSettings(**{key: value})

    assert f"ppo.{key} = {value!r}" in str(refused.value)


def test_updates_are_counted_whole() -> None:
    """5,000 steps are two updates of 2048; fewer than one update are refused."""
    assert PpoSettings().updates_for(5_000) == 2
    with pytest.raises(ConfigError, match="steps = 2047"):
        PpoSettings().updates_for(2_047)
