"""The interval of a Sharpe ratio covers the true one, whatever the shape and the memory of the returns."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from quantum_trader.app.report.data import curve_statistics
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.lab.sharpe import deflate, effective_count, moments, probability_above, sharpe_interval

Draw = Callable[[np.random.Generator, int], np.ndarray]
DAYS = 730
YEAR = math.sqrt(365.0)


def normal(rng: np.random.Generator, days: int) -> np.ndarray:
    """Independent and normal."""
    return rng.standard_normal(days)


def skewed(rng: np.random.Generator, days: int) -> np.ndarray:
    """Many small gains and rare large losses: skew -2.8, kurtosis 15."""
    return (0.5 - rng.gamma(0.5, size=days)) / math.sqrt(0.5)


def crashes(rng: np.random.Generator, days: int) -> np.ndarray:
    """Normal days with a crash on 3 % of them."""
    crash = rng.random(days) < 0.03
    drawn = rng.standard_normal(days) * np.where(crash, 3.0, 1.0) - 5.0 * crash
    return (drawn + 0.15) / math.sqrt(0.97 + 0.03 * 9.0 + 0.03 * 0.97 * 25.0)


def remembering(slope: float) -> Draw:
    """An autoregression of first order with unit variance."""

    def draw(rng: np.random.Generator, days: int) -> np.ndarray:
        shocks = rng.standard_normal(days) * math.sqrt(1.0 - slope * slope)
        made = np.empty(days)
        last = rng.standard_normal()
        for day, shock in enumerate(shocks):
            last = made[day] = slope * last + shock
        return made

    return draw


def coverage(draw: Draw, sharpe: float, repetitions: int, days: int = DAYS) -> float:
    """Share of *repetitions* whose interval in the report holds the annual *sharpe*."""
    rng = np.random.default_rng(20261128)
    ts_ns = np.arange(days + 1, dtype=np.int64) * NS_PER_DAY
    held = 0
    for _ in range(repetitions):
        returns = 0.01 * (draw(rng, days) + sharpe / YEAR)
        found = curve_statistics(ts_ns, np.concatenate(([1.0], np.cumprod(1.0 + returns))))
        held += found["sharpe_low"] <= sharpe <= found["sharpe_high"]
    return held / repetitions


@pytest.mark.long
@pytest.mark.parametrize(
    ("draw", "sharpe"),
    [(normal, 0.0), (normal, 2.0), (skewed, 2.0), (crashes, 2.0), (remembering(0.2), 0.0), (remembering(0.2), 1.0),
     (remembering(0.4), 0.0), (remembering(0.4), 2.0), (remembering(-0.2), 1.0)],
)
def test_the_interval_of_the_sharpe_ratio_covers_as_often_as_it_says(draw: Draw, sharpe: float) -> None:
    """0.93 to 0.97 of 400 histories of 730 days."""
    assert 0.93 <= coverage(draw, sharpe, 400) <= 0.97


def test_the_interval_allows_for_returns_that_remember() -> None:
    """At an autocorrelation of 0.4 an interval for independent days holds the truth in 0.80 of the histories."""
    assert coverage(remembering(0.4), 1.0, 60) >= 0.9


def test_days_that_repeat_each_other_count_as_fewer() -> None:
    """(1 - 0.4) / (1 + 0.4) of the days, and (1 + 0.2) / (1 - 0.2) where each day takes some of the last one back."""
    rng = np.random.default_rng(5)
    assert effective_count(remembering(0.4)(rng, 20_000)) == pytest.approx(20_000 * 3.0 / 7.0, rel=0.1)
    assert effective_count(remembering(-0.2)(rng, 20_000)) == pytest.approx(20_000 * 1.5, rel=0.1)
    assert effective_count(normal(rng, 20_000)) == pytest.approx(20_000, rel=0.1)


def test_few_days_are_never_more_than_there_are_and_many_at_most_twice_as_many() -> None:
    """Ten independent days seemed to be 121 where they happened to alternate, and the interval was too narrow."""
    rng = np.random.default_rng(1)
    assert max(effective_count(normal(rng, 10)) for _ in range(300)) <= 10.0
    assert effective_count(np.tile([0.01, -0.01], 365) + 1e-5 * normal(rng, 730)) == 1_460.0


def test_probability_and_deflation_count_the_same_days() -> None:
    """Positive memory makes a ratio less certain: in the report, in the deflated ratio, and out of sample."""
    returns = remembering(0.4)(np.random.default_rng(3), DAYS) * 0.01 + 0.0012
    shape, effective = moments(returns), effective_count(returns)
    tried = np.array([shape.sharpe, 0.0, -0.01])

    assert 0.5 < probability_above(shape, 0.0, effective) < probability_above(shape, 0.0, DAYS)
    judged = deflate(shape, tried, effective)
    assert judged.above_zero == probability_above(shape, 0.0, effective)
    assert judged.probability < deflate(shape, tried).probability
    assert (judged.days, judged.effective_days) == (DAYS, effective)


def test_returns_that_do_not_vary_say_nothing() -> None:
    """No interval and no probability, not one of 50 %."""
    flat = np.zeros(100)
    assert effective_count(flat) == 100.0
    assert sharpe_interval(moments(flat), 100.0) is None
    assert math.isnan(probability_above(moments(flat), 0.0, 100.0))


def test_fewer_than_ten_independent_days_have_no_interval() -> None:
    """Twelve days that count as eight are too few."""
    shape = moments(np.random.default_rng(1).normal(0.001, 0.01, 12))
    assert sharpe_interval(shape, 8.0) is None
    assert sharpe_interval(shape, 12.0) is not None
