"""A linear model on standardised features: its margin is the log odds before calibration."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Floats
from quantum_trader.market.jit import kernel
from quantum_trader.models.learned.trees import MOST_FEATURES

MOST_DEVIATIONS: Final = 8.0  # that a feature counts for, either way


class LinearArrays(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The numbers of a linear model, each (features,) float64."""

    center: Floats  # of a feature, in its unit
    scale: Floats  # by which its distance from the centre is divided; above 0
    weight: Floats  # of the standardised feature

    def check(self, features: int) -> None:
        """Raise InputError unless these are finite numbers for *features* features."""
        require(1 <= features <= MOST_FEATURES, "features", features, f"must be 1 to {MOST_FEATURES:,}")
        for name in self.__struct_fields__:
            array = getattr(self, name)
            require(array.shape == (features,) and array.dtype == np.float64, name, f"{array.dtype} {array.shape}",
                    f"must be {features} numbers of double precision")
            require(bool(np.isfinite(array).all()), name, "not finite", "must be finite numbers")
        require(bool((self.scale > 0.0).all()), "scale", self.scale[self.scale <= 0.0][:3], "must be above 0")


@kernel
def _standardise(rows, center, scale, out):  # type: ignore[no-untyped-def]
    """Write each feature in its deviations from the centre, held within 8; a missing one is at the centre."""
    for i in range(rows.shape[0]):
        for f in range(rows.shape[1]):
            value = (rows[i, f] - center[f]) / scale[f]
            if value != value:
                value = 0.0
            out[i, f] = min(max(value, -MOST_DEVIATIONS), MOST_DEVIATIONS)


@kernel
def _sum_products(rows, weight, intercept, out):  # type: ignore[no-untyped-def]
    """The margin of each row, summed in the order of the features."""
    for i in range(rows.shape[0]):
        total = intercept
        for f in range(rows.shape[1]):
            total += weight[f] * rows[i, f]
        out[i] = total


def standardised(rows: npt.ArrayLike, center: Floats, scale: Floats) -> Floats:
    """*rows* (n, features), rounded to single precision, in deviations held within 8; a missing value is 0."""
    given = np.ascontiguousarray(np.asarray(rows, dtype=np.float32), dtype=np.float64)
    out = np.empty_like(given)
    _standardise(given, center, scale, out)
    return out


class LinearScorer:
    """A linear model over *features* features, ready to score. Raises InputError where its numbers are none."""

    def __init__(self, arrays: LinearArrays, features: int, intercept: float) -> None:
        """*intercept*: the margin where every feature is at its centre."""
        arrays.check(features)
        require(bool(np.isfinite(intercept)), "intercept", intercept, "must be a finite number")
        self.arrays, self.features, self.intercept = arrays, features, float(intercept)

    def margins(self, rows: npt.ArrayLike) -> Floats:
        """The margin (n,) of each of *rows* (n, features); NaN: missing, and counts as the centre."""
        known = standardised(rows, self.arrays.center, self.arrays.scale)
        require(known.ndim == 2 and known.shape[1] == self.features, "rows", known.shape,
                f"must be (n, {self.features})")
        out = np.empty(len(known))
        _sum_products(known, self.arrays.weight, self.intercept, out)
        return out
