"""Which calibration a model gets: Platt's or the isotonic one, chosen on predictions that neither was fitted on.

The predictions are those of a walk-forward, made by models that had not seen their samples. The older part fits both,
the newer part chooses the one with the lower log loss, and that one is fitted anew on both parts. The samples that a
model is tested on afterwards come later still.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from quantum_trader.lab.learning.calibration import fit_isotonic, fit_platt
from quantum_trader.lab.learning.probability_scores import log_losses, sample_mean
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.learned.calibration import UNCALIBRATED, Calibration

PLATT, ISOTONIC, NONE = "platt", "isotonic", "none"
FIT_SHARE: Final = 0.6  # of the predictions, the older ones
LEAST_EACH: Final = 50  # samples of each class in a part; with fewer nothing is fitted, or nothing chosen


class CalibrationSamples(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Predictions (n,) of samples that the predicting model had not seen, in order of their start."""

    margins: Floats
    labels: Ints
    weights: Floats
    starts_ns: Ints
    ends_ns: Ints

    def take(self, chosen: Ints) -> CalibrationSamples:
        """The samples at the places *chosen*."""
        return CalibrationSamples(**{name: getattr(self, name)[chosen] for name in self.__struct_fields__})

    @property
    def fit(self) -> bool:
        """Whether there are enough of both classes to fit a calibration."""
        up = int(self.labels.sum())
        return min(up, len(self.labels) - up) >= LEAST_EACH


class CalibrationChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A calibration and how it was chosen."""

    calibration: Calibration
    method: str  # platt, isotonic or none
    samples: int  # that it was fitted on in the end
    log_losses: dict[str, float] = {}  # of each on the part that chose; empty where there was no choice


def choose_calibration(samples: CalibrationSamples, embargo_ns: int) -> CalibrationChoice:
    """The calibration for what comes after *samples*; none where there are too few.

    A sample of the older part ends more than *embargo_ns* before the newer part begins.
    """
    if not samples.fit:
        return CalibrationChoice(calibration=UNCALIBRATED, method=NONE, samples=0)
    begin = int(samples.starts_ns[int(FIT_SHARE * len(samples.labels))])
    older = samples.take(np.flatnonzero(samples.ends_ns < begin - embargo_ns))
    newer = samples.take(np.flatnonzero(samples.starts_ns >= begin))
    method, losses = PLATT, {}
    if older.fit and newer.fit:
        for name in (PLATT, ISOTONIC):
            probabilities = _fitted(name, older).apply(newer.margins)
            losses[name] = sample_mean(log_losses(newer.labels.astype(np.float64), probabilities), newer.weights)
        method = min(losses, key=lambda name: losses[name])
    return CalibrationChoice(
        calibration=_fitted(method, samples), method=method, samples=len(samples.labels), log_losses=losses
    )


def _fitted(method: str, samples: CalibrationSamples) -> Calibration:
    fit = fit_platt if method == PLATT else fit_isotonic
    return fit(samples.margins, samples.labels, samples.weights)
