"""Fitted calibrations as frozen values of plain numbers: from a model's margin to a probability.

They are fitted by ``lab.learning.calibration`` and applied here with numpy alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.domain.fields import Finite
from quantum_trader.market.arrays import Floats

_MOST_POINTS: Final = 100_000
_Points = Annotated[tuple[Finite, ...], msgspec.Meta(min_length=1, max_length=_MOST_POINTS)]


class PlattCalibration(msgspec.Struct, frozen=True, kw_only=True, tag="platt", tag_field="kind"):
    """p = 1 / (1 + exp(slope * score + intercept)), in Platt's signs: the slope of a useful score is negative."""

    slope: Finite
    intercept: Finite

    def apply(self, scores: npt.ArrayLike) -> Floats:
        """Probabilities (n,) of *scores* (n,)."""
        return sigmoid(-(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept))


class IsotonicCalibration(msgspec.Struct, frozen=True, kw_only=True, tag="isotonic", tag_field="kind"):
    """A rising line through (scores, probabilities); beyond its ends the first and the last probability."""

    scores: _Points  # in order
    probabilities: _Points

    def __post_init__(self) -> None:
        require(len(self.scores) == len(self.probabilities) > 0, "probabilities", len(self.probabilities),
                f"must have one per score ({len(self.scores)}), and at least one")
        for key, values in (("scores", self.scores), ("probabilities", self.probabilities)):
            rising = all(one <= other for one, other in pairwise(values))
            require(rising, key, values[:3], "must not fall")
        within = self.probabilities[0] >= 0.0 and self.probabilities[-1] <= 1.0
        require(within, "probabilities", (self.probabilities[0], self.probabilities[-1]), "must lie within 0 and 1")

    def apply(self, scores: npt.ArrayLike) -> Floats:
        """Probabilities (n,) of *scores* (n,), interpolated."""
        found: Floats = np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.probabilities)
        return found


Calibration = PlattCalibration | IsotonicCalibration
UNCALIBRATED: Final = PlattCalibration(slope=-1.0, intercept=0.0)
"""The log odds as they are: p = 1 / (1 + exp(-margin))."""


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-*values*)) without overflow."""
    small = np.exp(-np.abs(values))
    found: Floats = np.where(values >= 0.0, 1.0 / (1.0 + small), small / (1.0 + small))
    return found
