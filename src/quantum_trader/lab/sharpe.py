"""Sharpe ratios with their uncertainty: an interval, the probabilistic and the deflated ratio.

Sources: D. Bailey and M. Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (Journal of Risk 15(2), 2012) for the
probabilistic ratio, and "The Deflated Sharpe Ratio" (Journal of Portfolio Management 40(5), 2014) for the deflated
one. Both take returns as independent; :func:`effective_count` says how many independent returns tell as much as the
given ones. A. Lo, "The Statistics of Sharpe Ratios" (Financial Analysts Journal 58(4), 2002) and E. Mertens (2002) have
the variance for dependent returns and for returns with skew and fat tails. Ratios are per observation (not annualised)
unless a name says otherwise; the deviation in a ratio has n - 1 (ddof 1), and so has the variance of the ratios over
trials; skew and kurtosis have n; kurtosis is 3.0 for a normal law, not excess.

Two conventions are published for the variance of a ratio in a test. Ours is that of the papers of 2012 and 2014: at the
observed ratio, over n - 1. M. Lopez de Prado, A. Lipton and V. Zoonekynd, "Sharpe Ratio Inference: A New Standard for
Reporting and Decision-Making" (2025), take it under the null hypothesis, at the benchmark, over n
(:class:`SharpeVariance`). With negative skew and fat tails ours is the more careful one.
"""

from __future__ import annotations

import math
from enum import Enum
from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require, require_finite
from quantum_trader.policy.evidence import student_t_quantile

DAYS_PER_YEAR: Final = 365.0  # crypto trades every day
MIN_OBSERVATIONS: Final = 10
_EULER_GAMMA: Final = 0.5772156649015329
_MOST_CORRELATION: Final = 0.97  # a first-order correlation is taken as at most this (Andrews and Monahan)
_SAME: Final = 1e-18  # variance of the difference of two rows of returns that are multiples of each other
_FEW_DAYS: Final = 60  # from fewer the memory of the returns is estimated too poorly to count more days than there are
_NORMAL: Final = NormalDist()


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """What a Sharpe ratio is made of, and the shape of the returns behind it."""

    count: int
    mean: float
    deviation: float
    skew: float
    kurtosis: float  # 3.0 for a normal law
    sharpe: float  # per observation; 0.0 when the returns do not vary

    @property
    def annual_sharpe(self) -> float:
        """The ratio of daily returns, annualised."""
        return self.sharpe * math.sqrt(DAYS_PER_YEAR)

    @property
    def spread(self) -> float:
        """Variance of the ratio times the number of independent returns, by their skew and kurtosis (Mertens)."""
        return 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe * self.sharpe


def moments(returns: npt.NDArray[np.float64]) -> Moments:
    """Measure *returns* (n,), fractions per day. Raises InputError when one of them is not finite."""
    values = np.asarray(returns, dtype=np.float64)
    count = int(values.size)
    require(bool(np.isfinite(values).all()), "returns", "not finite", "every return must be a finite number")
    if count < 2:
        return Moments(count=count, mean=0.0, deviation=0.0, skew=0.0, kurtosis=3.0, sharpe=0.0)
    mean = float(values.mean())
    centred = values - mean
    variance = float((centred**2).mean())
    deviation = float(values.std(ddof=1))
    if deviation <= 1e-15:
        return Moments(count=count, mean=mean, deviation=0.0, skew=0.0, kurtosis=3.0, sharpe=0.0)
    skew = float((centred**3).mean()) / variance**1.5
    kurtosis = float((centred**4).mean()) / variance**2
    return Moments(
        count=count, mean=mean, deviation=deviation, skew=skew, kurtosis=kurtosis, sharpe=mean / deviation
    )


def period_returns(equity: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.float64]:
    """Returns (P,) of each period's last *equity* (P,), the first against *start*.

    A period without a moment is NaN in *equity*: nothing moved. After ruin nothing moves any more.
    """
    values = np.concatenate(([start], equity))
    known = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    filled = values[known]
    ruined = np.maximum.accumulate(filled <= 0.0)
    filled = np.where(ruined, 0.0, filled)
    before = filled[:-1]
    changes: npt.NDArray[np.float64] = np.where(
        before > 0.0, filled[1:] / np.where(before > 0.0, before, 1.0) - 1.0, 0.0
    )
    return changes


def effective_count(returns: npt.NDArray[np.float64]) -> float:
    """How many independent returns bound the Sharpe ratio as well as *returns* (n,) do: n unless they are correlated.

    It compares the variance of each return's influence on the ratio (delta method) with its long-run variance: the
    quadratic-spectral kernel with automatic bandwidth over residuals of a first-order autoregression (D. Andrews and
    J. Monahan, Econometrica 60(4), 1992), whose coefficient is corrected for its bias (M. Kendall, Biometrika 41,
    1954).
    """
    values = np.asarray(returns, dtype=np.float64)
    shape = moments(values)
    return _independent(_influence(values, shape)) if shape.deviation > 0.0 else float(shape.count)


def _influence(values: npt.NDArray[np.float64], shape: Moments) -> npt.NDArray[np.float64]:
    """How far each of *values* (n,) moves their ratio, times n (delta method); *shape* is theirs and varies."""
    z: npt.NDArray[np.float64] = (values - values.mean()) / values.std()
    return z - shape.sharpe / 2.0 * (z * z - 1.0)


def _independent(influence: npt.NDArray[np.float64]) -> float:
    """How many independent observations have a mean of the same variance as those of *influence* (n,), of mean 0."""
    count = len(influence)
    long_run = _long_run_variance(influence)
    variance = float((influence**2).mean())
    effective = count * variance / long_run if long_run > 1e-12 * variance else float(count)
    return min(effective, (1.0 if count < _FEW_DAYS else 2.0) * count)


def _long_run_variance(values: npt.NDArray[np.float64]) -> float:
    """Variance of the mean of *values* (n,), which have mean 0, times n."""
    count = len(values)
    slope = _first_order(values)
    slope = min(slope + (1.0 + 3.0 * slope) / count, _MOST_CORRELATION)
    rest = values[1:] - slope * values[:-1]
    left = _first_order(rest)
    bandwidth = 1.3221 * (4.0 * left * left / (1.0 - left) ** 4 * len(rest)) ** 0.2
    covariances = np.correlate(rest, rest, "full")[len(rest) - 1 :] / len(rest)
    lags = np.arange(1, len(rest)) / max(bandwidth, 1e-6)
    angle = 6.0 * math.pi * lags / 5.0
    weights = 25.0 / (12.0 * math.pi**2 * lags**2) * (np.sin(angle) / angle - np.cos(angle))
    return float(covariances[0] + 2.0 * (weights * covariances[1:]).sum()) / (1.0 - slope) ** 2


def _first_order(values: npt.NDArray[np.float64]) -> float:
    """First-order autocorrelation of *values*, which have mean 0."""
    whole = float((values**2).sum())
    found = float((values[1:] * values[:-1]).sum()) / whole if whole > 0.0 else 0.0
    return min(max(found, -_MOST_CORRELATION), _MOST_CORRELATION)


def sharpe_interval(shape: Moments, effective: float, alpha: float = 0.05) -> tuple[float, float] | None:
    """Bounds of the true ratio at two-sided error *alpha*; None below ten observations that count as independent.

    *effective* is :func:`effective_count` of the returns. The bounds are Student's, with as many degrees of freedom as
    independent observations, less one. The simulated coverage stands in docs/how-to-run.md.
    """
    if shape.deviation == 0.0 or min(effective, shape.count) < MIN_OBSERVATIONS:
        return None
    error = math.sqrt(shape.spread / (effective - 1.0))
    reach = student_t_quantile(1.0 - alpha / 2.0, min(effective, float(shape.count)) - 1.0) * error
    return shape.sharpe - reach, shape.sharpe + reach


def mean_interval(values: npt.NDArray[np.float64], alpha: float = 0.05) -> tuple[float, float] | None:
    """Bounds of the true mean behind *values* (n,), one a day, which may remember: the method of the Sharpe ratio's.

    None where they do not vary, or below ten that count as independent. Raises InputError for one that is not finite.
    """
    shape = moments(values)
    if shape.deviation == 0.0:
        return None
    effective = _independent(np.asarray(values) - shape.mean)
    if min(effective, shape.count) < MIN_OBSERVATIONS:
        return None
    reach = student_t_quantile(1.0 - alpha / 2.0, min(effective, float(shape.count)) - 1.0)
    error = shape.deviation / math.sqrt(effective - 1.0)
    return shape.mean - reach * error, shape.mean + reach * error


class SharpeDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The Sharpe ratio of one row of returns less that of another on the same days, both annual, with its doubt."""

    difference: float
    low: float  # bounds of the true difference, 95 % by default
    high: float
    probability: float  # that the true difference is above 0
    effective_days: float  # independent days that would tell as much

    @property
    def is_told_from_luck(self) -> bool:
        """Whether the interval leaves out a difference of 0."""
        return self.low > 0.0 or self.high < 0.0


def sharpe_difference(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], alpha: float = 0.05
) -> SharpeDifference | None:
    """Compare the ratios of daily returns (n,) of *first* and *second* on the same days at two-sided error *alpha*.

    A paired test by the delta method with the long-run variance of :func:`effective_count` (O. Ledoit and M. Wolf,
    "Robust Performance Hypothesis Testing with the Sharpe Ratio", Journal of Empirical Finance 15(5), 2008). None where
    one of them does not vary, where both are the same, or below ten observations that count as independent. Raises
    InputError for rows of different lengths or a return that is not finite.
    """
    require(len(first) == len(second), "returns", (len(first), len(second)), "both must be of the same days")
    shapes = moments(first), moments(second)
    if min(shape.deviation for shape in shapes) == 0.0:
        return None
    influence = _influence(np.asarray(first), shapes[0]) - _influence(np.asarray(second), shapes[1])
    variance = float((influence**2).mean())
    effective = _independent(influence) if variance > _SAME else 0.0
    if min(effective, len(influence)) < MIN_OBSERVATIONS:
        return None
    yearly = math.sqrt(DAYS_PER_YEAR)
    found, error = shapes[0].sharpe - shapes[1].sharpe, math.sqrt(variance / (effective - 1.0))
    reach = student_t_quantile(1.0 - alpha / 2.0, min(effective, float(len(influence))) - 1.0) * error
    return SharpeDifference(
        difference=found * yearly, low=(found - reach) * yearly, high=(found + reach) * yearly,
        probability=_NORMAL.cdf(found / error), effective_days=effective,
    )


def probability_above(shape: Moments, benchmark: float, effective: float) -> float:
    """Probability that the true ratio behind *shape* is above *benchmark*; NaN where the returns do not vary."""
    if shape.deviation == 0.0:
        return math.nan
    return probabilistic_sharpe(shape.sharpe, benchmark, effective, shape.skew, shape.kurtosis)


class SharpeVariance(str, Enum):
    """Where the variance of a ratio is taken in a test against a benchmark."""

    OBSERVED = "observed"  # at the observed ratio, over n - 1: Bailey and Lopez de Prado (2012), the default here
    NULL = "null"  # at the benchmark, over n: Lopez de Prado, Lipton and Zoonekynd (2025)


def probabilistic_sharpe(  # the ratio, its benchmark and the shape of the returns
    sharpe: float, benchmark: float, count: float, skew: float = 0.0, kurtosis: float = 3.0, *,
    variance_at: SharpeVariance = SharpeVariance.OBSERVED,
) -> float:
    """Probability that the true ratio is above *benchmark*, given *sharpe* of *count* independent observations.

    NaN with fewer than ten observations, where no such statement is honest. Raises InputError for numbers that are
    not finite.
    """
    spread = _spread(sharpe, benchmark, skew, kurtosis, variance_at)
    if count < MIN_OBSERVATIONS or spread <= 0.0:  # no sample can have moments that give a negative one
        return math.nan
    degrees = count - 1.0 if variance_at is SharpeVariance.OBSERVED else count
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(degrees) / math.sqrt(spread))


def minimum_track_record(  # the ratio, its benchmark and the shape of the returns
    sharpe: float, benchmark: float, skew: float = 0.0, kurtosis: float = 3.0, *, alpha: float = 0.05,
    variance_at: SharpeVariance = SharpeVariance.OBSERVED,
) -> float:
    """How many independent observations it takes until *sharpe* is above *benchmark* at one-sided error *alpha*.

    The minimum track record length of Bailey and Lopez de Prado (2012; equation 13 of the authors' manuscript): the
    count at which :func:`probabilistic_sharpe` reaches 1 - *alpha*. Infinite where *sharpe* is not above *benchmark*;
    NaN for moments that no sample can have. Divide by the observations of a year for years. Raises InputError.
    """
    require(0.0 < alpha < 0.5, "alpha", alpha, "must lie between 0 and 0.5")
    spread = _spread(sharpe, benchmark, skew, kurtosis, variance_at)
    if spread <= 0.0:
        return math.nan
    if sharpe <= benchmark:
        return math.inf
    needed = spread * (_NORMAL.inv_cdf(1.0 - alpha) / (sharpe - benchmark)) ** 2
    return 1.0 + needed if variance_at is SharpeVariance.OBSERVED else needed


def _spread(sharpe: float, benchmark: float, skew: float, kurtosis: float, variance_at: SharpeVariance) -> float:
    """Variance of the ratio times the number of observations (Mertens), where *variance_at* says."""
    for key, value in (("sharpe", sharpe), ("benchmark", benchmark), ("skew", skew), ("kurtosis", kurtosis)):
        require_finite(key, value)
    at = sharpe if variance_at is SharpeVariance.OBSERVED else benchmark
    return 1.0 - skew * at + (kurtosis - 1.0) / 4.0 * at * at


def expected_best_sharpe(variance: float, trials: int) -> float:
    """The ratio that the best of *trials* worthless settings is expected to show.

    *variance* is that of the ratios over the settings tried. 0.0 for a single trial. Raises InputError for a negative
    variance or no trial.
    """
    require(math.isfinite(variance) and variance >= 0.0, "variance", variance, "must be 0 or more")
    require(trials >= 1, "trials", trials, "at least one setting was tried")
    if trials == 1:
        return 0.0
    upper = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    tail = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER_GAMMA) * upper + _EULER_GAMMA * tail)


def deflated_sharpe(
    sharpe: float, count: int, skew: float, kurtosis: float, variance: float, trials: int
) -> float:
    """Probability that the best of *trials* settings has a true ratio above what chance alone would have shown."""
    return probabilistic_sharpe(sharpe, expected_best_sharpe(variance, trials), count, skew, kurtosis)


class Deflated(msgspec.Struct, frozen=True, kw_only=True):
    """The best setting's ratio beside what chance would have given, annualised; probabilities 0..1 (NaN: too short)."""

    trials: int
    days: int
    effective_days: float  # as many independent days would tell as much
    sharpe: float
    expected_best: float
    probability: float  # deflated Sharpe ratio
    above_zero: float  # probabilistic Sharpe ratio against 0


def deflate(best: Moments, sharpes: npt.NDArray[np.float64], effective: float | None = None) -> Deflated:
    """Deflate *best*, chosen among settings with the per-day ratios *sharpes* (n,), for having looked at n.

    *effective* is :func:`effective_count` of its returns; independent returns when left out.
    """
    effective = float(best.count) if effective is None else effective
    tried: Any = np.asarray(sharpes, dtype=np.float64)
    trials = max(1, int(tried.size))
    variance = float(tried.var(ddof=1)) if trials > 1 else 0.0
    expected = expected_best_sharpe(variance, trials)
    scale = math.sqrt(DAYS_PER_YEAR)
    return Deflated(
        trials=trials, days=best.count, effective_days=effective, sharpe=best.sharpe * scale,
        expected_best=expected * scale, probability=probability_above(best, expected, effective),
        above_zero=probability_above(best, 0.0, effective),
    )
