"""Bring raw features to one scale: (raw - center) / scale, clipped to ±5. The centers and scales are data of a model.

They are fitted on training bars only and stored with the model. Without a fit the documented defaults of the feature
table are used.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, InputError, brief, require
from quantum_trader.domain.indicators import NAN
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.arrays import Bools, Floats
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.pilot.feature_columns import FEATURE_COUNT, FIRST_OWN
from quantum_trader.pilot.features import FEATURES, feature_hash
from quantum_trader.pilot.settings import ObservationSettings

LIMIT: Final = 5.0  # a scaled feature lies within ±LIMIT
LEAST_ROWS: Final = 1000  # a feature known at fewer rows keeps its default scale
_DEFAULT_NS: Final = 30 * NS_PER_MINUTE  # the bars that the default scales are for
_TAIL: Final = 0.05  # share of the bars on each side that the fit leaves out
_DEVIATIONS: Final = 1.6448536269514722  # from the middle of a normal distribution to the quantile of _TAIL

Singles = npt.NDArray[np.float32]


class Scalers(msgspec.Struct, frozen=True, kw_only=True):
    """The center and the scale of each feature, and the bars that they were fitted on."""

    feature_hash: str  # of the features that they are for
    centers: tuple[float, ...]  # (64,)
    scales: tuple[float, ...]  # (64,), each above 0
    fitted_on: str = "defaults"  # what the training bars were, in words
    first_ns: int = 0  # close of the first bar they were fitted on; 0: not fitted
    last_ns: int = 0  # close of the last one
    rows: int = 0  # ready observations among them
    unseen: tuple[str, ...] = ()  # features that never varied there: a model knows nothing of them, so they are masked

    def __post_init__(self) -> None:
        names = [feature.name for feature in FEATURES]
        for name in self.unseen:
            require(name in names, "unseen", name, "is not a feature; `quantum-trader pilot features` lists them")
        for key, numbers in (("centers", self.centers), ("scales", self.scales)):
            if len(numbers) != FEATURE_COUNT:
                raise InputError(f"{key} = {brief(numbers)}: must hold {FEATURE_COUNT} numbers, one for each feature")
            for feature, number in zip(FEATURES, numbers, strict=True):
                if not math.isfinite(number) or (key == "scales" and number <= 0.0):
                    raise InputError(f"{key}[{feature.name}] = {number!r}: must be a finite number"
                                     f"{' above 0' if key == 'scales' else ''}")

    def check_features(self, settings: ObservationSettings) -> None:
        """Raise ConfigError where these scalers are for other features, or for another interval, than those here."""
        here = feature_hash(settings)
        if self.feature_hash != here:
            raise ConfigError(
                f"scalers: feature_hash = {self.feature_hash!r}, but the features here have {here!r}: the model was "
                f"made with other features or another interval than {settings.interval}; train it again"
            )


def default_scalers(settings: ObservationSettings) -> Scalers:
    """The scalers of the feature table, whose figures are for 30-minute bars.

    The scale of what grows with time (returns, volatility, distances) is multiplied by the square root of the
    interval's length over 30 minutes.
    """
    growth = math.sqrt(settings.length_ns / _DEFAULT_NS)
    return Scalers(
        feature_hash=feature_hash(settings),
        centers=tuple(one.center * (growth if one.grows else 1.0) for one in FEATURES),
        scales=tuple(one.scale * (growth if one.grows else 1.0) for one in FEATURES),
    )


def fit_scalers(
    settings: ObservationSettings, closes_ns: npt.NDArray[np.int64], raw: Floats, ready: Bools, fitted_on: str
) -> Scalers:
    """Fit on training bars: *closes_ns* (T,), *raw* (T, S, 64), *ready* (T, S); give training bars alone.

    The center is the median, the scale the distance between the 5 % and 95 % quantiles over 3.29, which is one standard
    deviation of a normal distribution: a few extreme bars change neither. Features that are not fitted, those known at
    fewer than LEAST_ROWS ready rows, and those whose two quantiles are the same keep their defaults. A feature of the
    market that is masked or the same in all ready rows is *unseen*: it is masked wherever these scalers are used, so
    that a model trained on bars alone is not shown an order book that it knows nothing of.
    """
    expected = (len(closes_ns), ready.shape[-1], FEATURE_COUNT)
    require(raw.shape == expected, "raw", raw.shape, f"must be of the shape {expected}")
    require(ready.shape == expected[:2], "ready", ready.shape, f"must be of the shape {expected[:2]}")
    require(bool(ready.any()), "ready", int(ready.sum()), "no observation is ready; give more training bars")
    default = default_scalers(settings)
    centers, scales = list(default.centers), list(default.scales)
    known, unseen = raw[ready], []
    for place, feature in enumerate(FEATURES):
        numbers = known[:, place][np.isfinite(known[:, place])]
        if place < FIRST_OWN and (len(numbers) == 0 or numbers.min() == numbers.max()):
            unseen.append(feature.name)
        if not feature.fitted or len(numbers) < LEAST_ROWS:
            continue
        low, middle, high = np.quantile(numbers, [_TAIL, 0.5, 1.0 - _TAIL]).tolist()
        if high > low:
            centers[place], scales[place] = middle, (high - low) / (2.0 * _DEVIATIONS)
    times = closes_ns[ready.any(axis=1)]
    return Scalers(
        feature_hash=default.feature_hash, centers=tuple(centers), scales=tuple(scales), fitted_on=fitted_on,
        first_ns=int(times[0]), last_ns=int(times[-1]), rows=len(known), unseen=tuple(unseen),
    )


@scalar
def scaled(raw: float, center: float, scale: float) -> float:
    """(*raw* - *center*) / *scale*, clipped to ±5; 0 where *raw* is NaN, which means masked."""
    if raw != raw:
        return 0.0
    return min(LIMIT, max(-LIMIT, (raw - center) / scale))


_scaled = compiled(scaled)


@kernel
def scale_rows(raw: Any, centers: Any, scales: Any, seen: Any, values: Any, masked: Any) -> None:
    """Scale *raw* (N, 64) into *values* (N, 64), and mark what is not known or not *seen* (64,) in *masked* (N, 64)."""
    for row in range(raw.shape[0]):
        for place in range(raw.shape[1]):
            number = raw[row, place] if seen[place] else NAN
            values[row, place] = _scaled(number, centers[place], scales[place])
            masked[row, place] = number != number


class Scaling:
    """Applies scalers to raw features of any leading shape."""

    def __init__(self, scalers: Scalers) -> None:
        self.centers = np.array(scalers.centers)
        self.scales = np.array(scalers.scales)
        self.seen: Bools = np.array([feature.name not in scalers.unseen for feature in FEATURES])

    def into(self, raw: Floats, values: Singles, masked: Bools) -> None:
        """Write the scaled features and the masks of *raw* (N, 64) into *values* (N, 64) and *masked* (N, 64)."""
        scale_rows(raw, self.centers, self.scales, self.seen, values, masked)

    def of(self, raw: Floats) -> tuple[Singles, Bools]:
        """The scaled features and the masks of *raw* (..., 64)."""
        rows = np.ascontiguousarray(raw).reshape(-1, FEATURE_COUNT)
        values, masked = np.empty(rows.shape, dtype=np.float32), np.empty(rows.shape, dtype=np.bool_)
        self.into(rows, values, masked)
        return values.reshape(raw.shape), masked.reshape(raw.shape)
