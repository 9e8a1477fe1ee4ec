"""What would let a model trade: how many outcomes like those so far, or which prior."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from quantum_trader.models import forecast as fc
from quantum_trader.models.forecast import Forecaster

_MOST: Final = 1_000.0  # times the outcomes so far: beyond that no number of them helps
_STEPS: Final = 60


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """A model's forecast at a score of one root-mean-square, and what its confidence lacks for *threshold*."""

    threshold: float
    confidence: float
    expected_bps: float  # gross, a day, in the score's direction
    error_bps: float
    cost_bps: float
    prior_share: float
    outcomes: int
    outcomes_needed: int | None  # in all, if they go on as so far; None: no number is enough
    prior_needed: float | None  # mean of the prior (annual Sharpe ratio) at which it trades now; None: none up to 5


def outlook(forecaster: Forecaster, threshold: float) -> Outlook | None:
    """The outlook of *forecaster* for a confidence *threshold*; None before it has forecast anything."""
    out = forecaster.out
    known = ~np.isnan(out[:, fc.CONFIDENCE]) & (out[:, fc.VOL_DAY] > 0.0)
    if not known.any():
        return None
    unit = float(np.median(out[known, fc.VOL_DAY]))
    cost = float(np.median(out[known, fc.COST_DAY]))
    now = _at(forecaster, unit, cost, 1.0, forecaster.settings.prior_mean)
    outcomes = forecaster.outcomes
    prior = forecaster.settings.prior_mean
    needed = _first(lambda n: _at(forecaster, unit, cost, n, prior)[0] >= threshold, 1.0, _MOST) if outcomes else None
    mean = _first(lambda one: _at(forecaster, unit, cost, 1.0, one)[0] >= threshold, prior, 5.0)
    return Outlook(
        threshold=threshold, confidence=now[0], expected_bps=now[1] * 1e4, error_bps=now[2] * 1e4, cost_bps=cost * 1e4,
        prior_share=now[3], outcomes=outcomes, prior_needed=mean,
        outcomes_needed=math.ceil(needed * outcomes) if needed is not None else None,
    )


def _at(
    forecaster: Forecaster, vol_day: float, cost_day: float, times: float, prior_mean: float
) -> tuple[float, float, float, float]:
    """Confidence, expected return and error a day, and the prior's share with *times* the outcomes so far."""
    pool, params = forecaster.pool.copy(), forecaster.params.copy()
    pool[fc.SUMS] *= times
    pool[fc.JOINT_SUM] *= times
    params[fc.PRIOR_MEAN] = prior_mean
    slope, error, share, _ = fc.posterior(pool, params)
    scale = vol_day * math.sqrt(params[fc.BARS_A_DAY])
    expected, doubt = slope * scale, error * scale
    return float(fc.normal_cdf((expected - cost_day) / doubt)), expected, doubt, float(share)


def _first(holds, low: float, high: float) -> float | None:  # type: ignore[no-untyped-def]
    """The smallest number from *low* to *high* at which *holds* does; None where it does not even at *high*."""
    if holds(low):
        return low
    if not holds(high):
        return None
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
