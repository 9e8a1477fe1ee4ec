"""How a model of signals is trained: learners, folds of the walk-forward, embargo, seed."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.errors import ConfigError, InputError, require
from quantum_trader.lab.learning.boosting import BoostingSettings
from quantum_trader.lab.learning.linear_training import LinearSettings
from quantum_trader.models.forecast import duration_ns
from quantum_trader.models.learned.artefact import BOOSTING, LINEAR

LEARNERS: Final = (BOOSTING, LINEAR)
LEAST_FOLDS: Final = 2  # the first one has no earlier predictions that its own could be calibrated on
MOST_FOLDS: Final = 40


class LearningSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training. The same settings on the same samples give the same models."""

    learners: tuple[str, ...] = LEARNERS
    folds: int = 6  # tests of the walk-forward; the first one is for calibration alone
    first_share: float = 0.25  # of the samples, before the first test
    embargo: str = "24h"  # between the end of a training label and the test
    seed: int = 0
    boosting: BoostingSettings = BoostingSettings()
    linear: LinearSettings = LinearSettings()
    importance_rows: int = 4_000  # of each test, in which features are shuffled
    contribution_rows: int = 1_000  # newest samples whose SHAP values are computed

    def __post_init__(self) -> None:
        unknown = [name for name in self.learners if name not in LEARNERS]
        if unknown or not self.learners or len(set(self.learners)) != len(self.learners):
            raise ConfigError(f"--learners {','.join(self.learners)!r}: name one or both of {', '.join(LEARNERS)}, "
                              "each once")
        require(LEAST_FOLDS <= self.folds <= MOST_FOLDS, "--folds", self.folds,
                f"must be {LEAST_FOLDS} to {MOST_FOLDS}")
        require(0.05 <= self.first_share <= 0.9, "first_share", self.first_share, "must be 0.05 to 0.9")
        require(0 <= self.seed < 2**31, "--seed", self.seed, "must be 0 to 2,147,483,647")
        require(0 <= self.importance_rows <= 1_000_000, "importance_rows", self.importance_rows, "0 to 1,000,000")
        require(0 <= self.contribution_rows <= 1_000_000, "contribution_rows", self.contribution_rows, "0 to 1,000,000")
        _ = self.embargo_ns

    @property
    def embargo_ns(self) -> int:
        """The embargo in nanoseconds; "0h" is none."""
        if self.embargo in ("0", "0h", "0m", "0d"):
            return 0
        try:
            return duration_ns(self.embargo, "--embargo")
        except InputError as error:
            raise ConfigError(str(error)) from None
