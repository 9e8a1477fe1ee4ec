"""The settings of the signal ensemble. Times are hours, so that they do not depend on the length of the base bars."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import require

MAX_HORIZON_BARS: Final = 512


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the ensemble; chosen on the first part of the bundled bars (docs/decisions/0022)."""

    decision_minutes: int = 30  # bars of the models; base bars longer than this are used directly
    horizon_hours: float = 8.0  # a direction is right when the close has moved that way after this time
    cooldown_hours: float = 24.0  # between two signals of one symbol in the same direction
    edge: float = 0.515  # smallest probability of a signal
    prior_outcomes: float = 60.0  # weight of the prior of a calibration cell, in independent outcomes
    memory_outcomes: float = 2000.0  # independent outcomes after which a cell's old weight has decayed to 1/e
    warmup_outcomes: float = 20.0  # independent outcomes of the whole ensemble before its first signal
    learning_rate: float = 0.05  # of the logistic model, per independent outcome
    trust: float = 0.0003  # shrinkage of the models' weights: the gain (nats) at which a model has half its weight
    quality_memory: float = 50.0  # signals over which the ensemble's quality is averaged

    def __post_init__(self) -> None:
        require(
            0 < self.decision_minutes <= 1440 and 1440 % self.decision_minutes == 0,
            "decision_minutes", self.decision_minutes, "must divide a day (1440 minutes)",
        )
        require(0.0 < self.horizon_hours <= 168.0, "horizon_hours", self.horizon_hours, "must be above 0, at most 168")
        require(0.0 <= self.cooldown_hours <= 168.0, "cooldown_hours", self.cooldown_hours, "must be 0 to 168")
        require(0.5 <= self.edge < 1.0, "edge", self.edge, "is a probability from 0.5 to below 1")
        for key in ("prior_outcomes", "memory_outcomes", "trust", "quality_memory"):
            value = getattr(self, key)
            require(0.0 < value <= 1e9, key, value, "must be above 0")
        require(0.0 <= self.warmup_outcomes <= 1e9, "warmup_outcomes", self.warmup_outcomes, "cannot be negative")
        require(0.0 <= self.learning_rate <= 1.0, "learning_rate", self.learning_rate, "must be 0 to 1")

    def decision_ns(self, interval_ns: int) -> int:
        """Length (ns) of the models' bars, given base bars of *interval_ns*."""
        return max(self.decision_minutes * NS_PER_MINUTE, interval_ns)

    def horizon_bars(self, interval_ns: int) -> int:
        """Decision bars after which an outcome is known, at least 1. Raises InputError above 512."""
        bars = max(1, round(self.horizon_hours * NS_PER_HOUR / self.decision_ns(interval_ns)))
        hint = f"is over {MAX_HORIZON_BARS} decision bars; use longer ones"
        require(bars <= MAX_HORIZON_BARS, "horizon_hours", self.horizon_hours, hint)
        return bars

    def cooldown_bars(self, interval_ns: int) -> int:
        """Decision bars between two signals in the same direction."""
        return round(self.cooldown_hours * NS_PER_HOUR / self.decision_ns(interval_ns))
