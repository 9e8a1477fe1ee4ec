"""Sharpe ratios with the doubt they deserve: probabilistic and deflated.

Sources: D. Bailey and M. Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (Journal of Risk 15(2), 2012) for the
probabilistic ratio, and "The Deflated Sharpe Ratio" (Journal of Portfolio Management 40(5), 2014) for the deflated
one. Ratios are per observation (not annualised) unless a name says otherwise; kurtosis is 3.0 for a normal law.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require, require_finite

DAYS_PER_YEAR: Final = 365.0  # crypto trades every day
MIN_OBSERVATIONS: Final = 10
_EULER_GAMMA: Final = 0.5772156649015329
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


def probabilistic_sharpe(
    sharpe: float, benchmark: float, count: int, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true ratio is above *benchmark*, given *sharpe* measured on *count* observations.

    NaN with fewer than ten observations, where no such statement is honest. Raises InputError for numbers that are
    not finite.
    """
    for key, value in (("sharpe", sharpe), ("benchmark", benchmark), ("skew", skew), ("kurtosis", kurtosis)):
        require_finite(key, value)
    if count < MIN_OBSERVATIONS:
        return math.nan
    spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    if spread <= 0.0:  # moments that no sample can have together
        return math.nan
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(count - 1.0) / math.sqrt(spread))


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
    sharpe: float
    expected_best: float
    probability: float  # deflated Sharpe ratio
    above_zero: float  # probabilistic Sharpe ratio against 0


def deflate(best: Moments, sharpes: npt.NDArray[np.float64]) -> Deflated:
    """Deflate *best*, chosen among settings with the per-day ratios *sharpes* (n,), for having looked at n."""
    tried: Any = np.asarray(sharpes, dtype=np.float64)
    trials = max(1, int(tried.size))
    variance = float(tried.var(ddof=1)) if trials > 1 else 0.0
    expected = expected_best_sharpe(variance, trials)
    scale = math.sqrt(DAYS_PER_YEAR)
    return Deflated(
        trials=trials, days=best.count, sharpe=best.sharpe * scale, expected_best=expected * scale,
        probability=probabilistic_sharpe(best.sharpe, expected, best.count, best.skew, best.kurtosis),
        above_zero=probabilistic_sharpe(best.sharpe, 0.0, best.count, best.skew, best.kurtosis),
    )
