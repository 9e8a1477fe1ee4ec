"""What the forecast promises is what happens: against an independent computation, and on markets whose truth is known.

The markets are made up: five symbols of correlation 0.6, five years of days, scores that last for weeks, and a true
Sharpe ratio drawn from the prior. Everything goes through the product's Forecaster.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import norm

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecast import Forecaster, ForecastSettings
from quantum_trader.models.history import Completed

YEAR = 365
SYMBOLS = 5
CORRELATION, SCORE_CORRELATION = 0.6, 0.5
VOL = 0.035  # a day
HALF_LIFE = 15.0  # days of a score
COST_BPS = 12.0
HORIZON_DAYS = 20
LOOKED_AT = (180, YEAR, 2 * YEAR, 3 * YEAR, 4 * YEAR, 5 * YEAR - 1)
BINS = ((0.0, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 1.01))
BUILT_IN, USERS = (0.25, 0.4), (0.0, 0.5)

EXPECTED, ERROR, TRUTH, COST, CONFIDENCE = range(5)


def market(rng: np.random.Generator, sharpe: float, days: int = 5 * YEAR) -> tuple[np.ndarray, np.ndarray, float]:
    """Scores (days, S), the returns after them, and the true slope (volatilities a day) of a portfolio of *sharpe*."""
    def correlated(rho: float) -> np.ndarray:
        matrix = np.full((SYMBOLS, SYMBOLS), rho) + (1.0 - rho) * np.eye(SYMBOLS)
        return rng.standard_normal((days, SYMBOLS)) @ np.linalg.cholesky(matrix).T

    decay = 0.5 ** (1.0 / HALF_LIFE)
    news = correlated(SCORE_CORRELATION)
    news[1:] *= np.sqrt(1.0 - decay**2)
    scores = lfilter([1.0], [1.0, -decay], news, axis=0)
    shocks = correlated(CORRELATION) * np.sqrt(3.0 / rng.chisquare(5, days))[:, None]
    independent = SYMBOLS / (1.0 + (SYMBOLS - 1.0) * CORRELATION * SCORE_CORRELATION)
    slope = sharpe / np.sqrt(YEAR * independent)
    return scores, VOL * (slope * scores + shocks), slope


def closes_of(returns: np.ndarray) -> np.ndarray:
    """Prices (days + 1, S) that make *returns*."""
    return 100.0 * np.vstack([np.ones(returns.shape[1]), np.cumprod(1.0 + np.maximum(returns, -0.9), axis=0)])


def forecast_day(made: Forecaster, day: int, closes: np.ndarray, scores: np.ndarray) -> None:
    """One day of the forecaster: its bar, then its scores."""
    everyone = np.ones(len(closes), dtype=np.bool_)
    made.learn(Completed(day * NS_PER_DAY, np.array([closes] * 6), everyone, 0))
    made.forecast(scores, everyone, np.full(len(closes), COST_BPS), np.zeros(len(closes)))


def forecaster(prior: tuple[float, float]) -> Forecaster:
    """One of daily bars."""
    settings = ForecastSettings(prior_mean=prior[0], prior_sd=prior[1])
    return Forecaster(SYMBOLS, NS_PER_DAY, HORIZON_DAYS * NS_PER_DAY, settings)


def promises(repetitions: int, prior: tuple[float, float], sharpe: float | None = None, seed: int = 1) -> np.ndarray:
    """Rows of expected return, error, true return, cost and confidence, a day in the score's direction.

    The true Sharpe ratio is drawn from the *prior*, or is *sharpe*.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(repetitions):
        drawn = prior[0] + prior[1] * rng.standard_normal()
        scores, returns, slope = market(rng, drawn if sharpe is None else sharpe)
        closes, made = closes_of(returns), forecaster(prior)
        for day in range(len(scores)):
            forecast_day(made, day, closes[day], scores[day])
            if day in LOOKED_AT:
                truth = slope * VOL * np.abs(scores[day])
                out = made.out.T
                rows.append(np.array([out[fc.EXPECTED_DAY], out[fc.ERROR_DAY], truth, out[fc.COST_DAY],
                                      out[fc.CONFIDENCE]]))
    return np.concatenate(rows, axis=1)


def check(
    told: np.ndarray, prior: tuple[float, float], coverage: tuple[float, float], points: float, least: int
) -> None:
    """Compare promises with the truth; bins of fewer than *least* forecasts are shown and not judged."""
    covered = float((np.abs(told[EXPECTED] - told[TRUTH]) < 1.645 * told[ERROR]).mean())
    lines = [f"prior {prior[0]} ± {prior[1]}: 90 % intervals cover {100.0 * covered:.1f} %"]
    wrong = []
    for low, high in BINS:
        here = (told[CONFIDENCE] >= low) & (told[CONFIDENCE] < high)
        if not here.any():
            continue
        promised = float(told[CONFIDENCE, here].mean())
        true = float((told[TRUTH, here] > told[COST, here]).mean())
        lines.append(f"  confidence {low:.1f}-{high:.1f}: promised {promised:.3f}, true {true:.3f}, n {here.sum()}")
        if here.sum() >= least and abs(promised - true) > points:
            wrong.append(lines[-1])
    sys.stdout.write("\n".join(["", *lines, ""]))
    assert coverage[0] <= covered <= coverage[1], lines[0]
    assert wrong == []


@pytest.mark.parametrize("prior", [BUILT_IN, USERS])
def test_promises_are_kept_within_the_noise_of_a_hundred_markets_each(prior: tuple[float, float]) -> None:
    """Two hundred markets; the long suite has 4,000 for each prior and narrow limits."""
    check(promises(100, prior), prior, (0.83, 0.96), 0.15, 200)


@pytest.mark.long
@pytest.mark.parametrize("prior", [BUILT_IN, USERS])
def test_promises_are_kept(prior: tuple[float, float]) -> None:
    """4,000 markets: 90 % intervals cover 87 to 93 %, each bin of confidence is right within 6 points."""
    check(promises(4_000, prior), prior, (0.87, 0.93), 0.06, 1_000)


@pytest.mark.long
def test_a_score_without_any_edge_is_let_in_about_a_quarter_of_the_time() -> None:
    """The share of its forecasts above 0.55, by age, with the prior of a user's model."""
    confidence = promises(2_000, USERS, 0.0)[CONFIDENCE].reshape(-1, len(LOOKED_AT), SYMBOLS)
    shares = (confidence > 0.55).mean(axis=(0, 2))
    told = ", ".join(f"day {day}: {share:.3f}" for day, share in zip(LOOKED_AT, shares, strict=True))
    sys.stdout.write(f"\nno edge, confidence above 0.55: {told}\n")
    assert shares.min() > 0.05
    assert shares.max() < 0.3


def banded(x: np.ndarray, vol: np.ndarray, target: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, ...]:
    """What was held and turned over up to each day, in average positions, and the band's edges (days, S)."""
    days, count = x.shape
    usable = ~np.isnan(x) & (np.nan_to_num(vol) > 0.0)
    symbols_now = usable.sum(axis=1)
    now_independent = symbols_now / (1.0 + (symbols_now - 1.0) * rho)
    with np.errstate(all="ignore"):
        average = np.sqrt(now_independent / YEAR)[:, None] / symbols_now[:, None] / vol
    least = np.where(target == 0.0, 0.0, np.maximum(np.abs(x) - 0.1, 0.0) * average)
    most = np.where(target == 0.0, 0.0, (np.abs(x) + 0.1) * average)
    turned, standing, position = np.zeros(days), np.zeros(days), np.zeros(count)
    for day in range(days):
        wanted = np.where(target[day] == 0.0, 0.0, target[day] * np.clip(position * target[day], least[day], most[day]))
        unit = np.where(np.isnan(average[day]), np.inf, average[day])
        turned[day], standing[day] = (np.abs(wanted - position) / unit / 2.0).sum(), (np.abs(wanted) / unit).sum()
        position = wanted
    return np.cumsum(standing), np.cumsum(turned), least, most


def oracle(scores: np.ndarray, closes: np.ndarray, prior: tuple[float, float]) -> dict[int, np.ndarray]:
    """Specification 1, section 7, over whole arrays: columns of the forecast (days, S)."""
    days, count = scores.shape
    scale = np.sqrt(np.cumsum(np.nansum(scores**2, axis=1)) / np.cumsum((~np.isnan(scores)).sum(axis=1)))
    x = np.clip(scores / scale[:, None], -3.0, 3.0)
    change = closes[1:days] / closes[: days - 1] - 1.0
    square = np.full((days, count), np.nan)
    for day in range(1, days):
        weight = max(2.0 / 37.0, 1.0 / day)
        square[day] = weight * change[day - 1] ** 2 + (0.0 if day == 1 else (1.0 - weight) * square[day - 1])
    vol = np.sqrt(square)
    vol[:10] = np.nan

    before = np.zeros((days, count))  # the outcomes known on each day: of the scores of the day before
    gain, sizes, moves = before.copy(), before.copy(), before.copy()
    y = np.clip(change / vol[: days - 1], -8.0, 8.0)
    known = ~np.isnan(x[: days - 1]) & ~np.isnan(y)
    before[1:] = known
    gain[1:] = np.where(known, x[: days - 1] * y, 0.0)
    sizes[1:], moves[1:] = np.where(known, x[: days - 1] ** 2, 0.0), np.where(known, y**2, 0.0)
    n, bars = np.cumsum(before.sum(axis=1)), np.cumsum(before.any(axis=1))
    sxx, sxy, syy = (np.cumsum(part.sum(axis=1)) for part in (sizes, gain, moves))
    own, joint = np.cumsum((gain**2).sum(axis=1)), np.cumsum(gain.sum(axis=1) ** 2)
    symbols = np.maximum(n / np.maximum(bars, 1), 1.0)
    measured = np.where(own > 0.0, (joint - own) / np.maximum((symbols - 1.0) * own, 1e-9), 0.6)
    rho = np.clip((measured * bars + 0.6 * 30.0) / (bars + 30.0), 0.0, 1.0)
    independent = symbols / (1.0 + (symbols - 1.0) * rho)
    noise = (syy + 30.0) / (n + 30.0)
    unit = np.sqrt(noise / np.where(n > 30, sxx / np.maximum(n, 1), 1.0) / independent / YEAR)
    prior_precision = 1.0 / (prior[1] * unit) ** 2
    data_precision = sxx * independent / symbols / noise
    fitted = np.divide(sxy, sxx, out=np.zeros(days), where=sxx > 0.0)
    mean = (prior[0] * unit * prior_precision + fitted * data_precision) / (prior_precision + data_precision)
    error = 1.0 / np.sqrt(prior_precision + data_precision)

    target = np.zeros((days, count))
    for day in range(days):
        usable = ~np.isnan(x[day]) & ~np.isnan(vol[day])
        side = np.sign(np.where(usable, x[day], 0.0))
        held = (target[day - 1] == side) if day else np.zeros(count, dtype=bool)
        target[day] = np.where(held | (np.abs(x[day]) >= 0.5), side, 0.0)
    held, turned, least, most = banded(x, vol, target, rho)
    trips = (np.append(0, turned[:-1]) + 5.0) / (np.append(0, held[:-1]) + 5.0 * HORIZON_DAYS)
    size = np.abs(x) * vol
    cost = np.broadcast_to((trips * COST_BPS / 1e4)[:, None], size.shape)
    expected, doubt = mean[:, None] * size, error[:, None] * size
    return {
        fc.SCORE: x, fc.TARGET: target, fc.EXPECTED_DAY: expected, fc.ERROR_DAY: doubt, fc.COST_DAY: cost,
        fc.CONFIDENCE: norm.cdf((expected - cost) / doubt), fc.VOL_DAY: vol,
        fc.LEAST: least, fc.MOST: most,
        fc.PRIOR_SHARE: np.broadcast_to((prior_precision / (prior_precision + data_precision))[:, None], size.shape),
    }


@pytest.mark.parametrize("prior", [BUILT_IN, USERS])
@pytest.mark.parametrize("sharpe", [-1.0, 0.0, 2.0])
def test_forecasts_are_those_of_the_specification(prior: tuple[float, float], sharpe: float) -> None:
    """Day by day the same numbers as an independent computation over whole arrays, with symbols that begin later."""
    rng = np.random.default_rng(7)
    scores, returns, _ = market(rng, sharpe, 700)
    scores[:120, 3], scores[300:310, 1], scores[:400, 4] = np.nan, np.nan, np.nan
    closes, made = closes_of(returns), forecaster(prior)
    rows = []
    for day in range(len(scores)):
        forecast_day(made, day, closes[day], scores[day])
        rows.append(made.out.copy())
    told = np.array(rows)
    for column, wanted in oracle(scores, closes, prior).items():
        name = fc.FORECAST_COLUMNS[column]
        np.testing.assert_allclose(told[:, :, column], wanted, rtol=1e-9, atol=1e-300, err_msg=name)
