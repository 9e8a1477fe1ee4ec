"""A straight line through values over time, with the doubt of its slope."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from quantum_trader.domain.errors import require
from quantum_trader.lab.learning.probability_scores import student_t_two_sided
from quantum_trader.policy.evidence import student_t_quantile


class TrendLine(msgspec.Struct, frozen=True, kw_only=True):
    """Ordinary least squares with independent errors; NaN where fewer than three times are known."""

    points: int
    slope: float  # per unit of time
    low: float  # 95 % bounds of the true slope
    high: float
    p_value: float  # of no slope, two-sided


class MetricTrend(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of each day, and the line through it."""

    metric: str
    days_ns: tuple[int, ...]  # UTC midnight
    values: tuple[float, ...]
    samples: tuple[int, ...]  # behind each value: predictions, or training sessions
    line: TrendLine  # per day


def trend_line(times: Sequence[float], values: Sequence[float]) -> TrendLine:
    """Fit a line to *values* at *times*; values that are not known (NaN) are left out. Raises InputError."""
    require(len(times) == len(values), "values", len(values), f"must have one per time ({len(times)})")
    t, y = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    t, y = t[~np.isnan(y)], y[~np.isnan(y)]
    spread = float(((t - t.mean()) ** 2).sum()) if len(t) else 0.0
    if len(t) < 3 or spread <= 0.0:
        return TrendLine(points=len(t), slope=math.nan, low=math.nan, high=math.nan, p_value=math.nan)
    slope = float(((t - t.mean()) * (y - y.mean())).sum()) / spread
    rest = y - y.mean() - slope * (t - t.mean())
    freedom = len(t) - 2.0
    error = math.sqrt(float((rest * rest).sum()) / freedom / spread)
    reach = student_t_quantile(0.975, freedom) * error
    p_value = student_t_two_sided(slope / error, freedom) if error > 0.0 else (1.0 if slope == 0.0 else 0.0)
    return TrendLine(points=len(t), slope=slope, low=slope - reach, high=slope + reach, p_value=p_value)
