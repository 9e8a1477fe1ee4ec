"""The settings of PPO (proximal policy optimization, Schulman et al. 2017, arXiv:1707.06347)."""

from __future__ import annotations

import msgspec

from quantum_trader.domain.errors import ConfigError, brief, is_finite_number


class PpoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a pilot is trained; the defaults are those of the specification."""

    hidden: tuple[int, ...] = (128, 128)  # units of each hidden layer
    environments: int = 32  # environments side by side
    rollout_steps: int = 64  # steps of each environment between two updates
    minibatch_size: int = 64  # steps in one gradient step
    epochs: int = 10  # passes over the steps of an update
    learning_rate: float = 3e-4
    last_learning_rate_share: float = 1.0  # learning rate at the end over that at the start; it falls linearly
    discount: float = 0.99  # γ, for each step
    trace: float = 0.95  # λ of generalized advantage estimation
    clip: float = 0.2  # how far the ratio of probabilities may move from 1 in an update
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    gradient_norm: float = 0.5  # gradients are scaled down to this norm
    reward_scale: float | None = None  # rewards are divided by it; None: measured before training

    def __post_init__(self) -> None:
        for key in ("environments", "rollout_steps", "minibatch_size", "epochs"):
            self._require(getattr(self, key) >= 1, key, "must be at least 1")
        self._require(len(self.hidden) > 0 and min(self.hidden) >= 1, "hidden", "must name layers of at least 1 unit")
        self._require(
            self.steps_per_update % self.minibatch_size == 0, "minibatch_size",
            f"must divide the {self.steps_per_update} steps of an update (environments * rollout_steps)",
        )
        for key in ("learning_rate", "clip", "gradient_norm"):
            self._require(self._number(key) > 0.0, key, "must be a finite number above 0")
        for key in ("entropy_weight", "value_weight"):
            self._require(self._number(key) >= 0.0, key, "must be a finite number, not negative")
        for key in ("last_learning_rate_share", "trace"):
            self._require(0.0 <= self._number(key) <= 1.0, key, "must lie within 0 and 1")
        self._require(0.0 <= self._number("discount") < 1.0, "discount", "must be at least 0 and below 1")
        if self.reward_scale is not None:
            self._require(self._number("reward_scale") > 0.0, "reward_scale", "must be a finite number above 0")

    @property
    def steps_per_update(self) -> int:
        """Steps of all environments between two updates."""
        return self.environments * self.rollout_steps

    @property
    def minibatches(self) -> int:
        """Gradient steps of one epoch."""
        return self.steps_per_update // self.minibatch_size

    def updates_for(self, steps: int) -> int:
        """Updates that *steps* environment steps make, a part of an update left out; ConfigError for less than one."""
        updates = steps // self.steps_per_update
        if updates < 1:
            raise ConfigError(f"steps = {steps!r}: an update takes {self.steps_per_update} steps; give at least that")
        return updates

    def _number(self, key: str) -> float:
        value = getattr(self, key)
        self._require(is_finite_number(value), key, "must be a finite number")
        return float(value)

    def _require(self, condition: bool, key: str, hint: str) -> None:
        if not condition:
            raise ConfigError(f"ppo.{key} = {brief(getattr(self, key))}: {hint}")
