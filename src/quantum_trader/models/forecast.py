"""From a score to a forecast and its confidence (specification 1, section 7).

A score is scaled to unit root-mean-square with past data. The volatility-scaled return of the next bar is regressed on
it through the origin, pooled over symbols, with a prior on the annual Sharpe ratio of the pooled portfolio. The
forecast is the expected return in the score's direction with its standard error; the confidence is the probability
that this return is above the cost. It is not the probability that the price rises, and not a ranking of quality.

Everything is an update per bar with O(S) work. Quantities are per bar of the model unless a name ends in ``_day``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import StateError, require
from quantum_trader.market.jit import kernel
from quantum_trader.models.history import CLOSE, HIGH, LOW, Completed

SCORE_CAP: Final = 3.0  # of a scaled score
OUTLIER_CAP: Final = 10.0  # root-mean-squares that a score counts for at most in that of the later ones
OUTLIER_AFTER: Final = 30.0  # scores before that holds
ENTER_AT: Final = 0.5  # absolute scaled score at which a position is entered from flat
OUTCOME_CAP: Final = 8.0  # of a return, in volatilities
VOL_SPAN: Final = 36.0  # bars of the exponentially weighted volatility
VOL_BARS: Final = 10  # returns before the volatility counts
ATR_PERIOD: Final = 22
YEAR_DAYS: Final = 365.0
RHO_PRIOR: Final = 0.6  # correlation of score-signed returns before it is measured
RHO_WEIGHT: Final = 30.0  # bars that this prior counts for
NOISE_WEIGHT: Final = 30.0  # outcomes that a variance of 1 counts for
TRIPS_WEIGHT: Final = 5.0  # round trips that the stated horizon counts for, beside the target's own
BAND: Final = 0.1  # of the average position: how far a position may lie from the one wanted before it is traded

# Columns of the output, one row a symbol.
(
    SCORE,  # scaled, in root-mean-squares; NaN: no view
    TARGET,  # +1 long, -1 short, 0 flat
    EXPECTED_DAY,  # expected gross return a day in the target's direction, fraction
    ERROR_DAY,  # its standard error
    COST_DAY,  # cost of holding the target a day: round trips and funding paid, fraction; below 0: funding earned
    CONFIDENCE,  # P(expected return - cost > 0)
    WIN_PROBABILITY,  # P(the return over the horizon is above its cost)
    PRIOR_SHARE,  # share of the forecast's precision that is the prior's
    VOL_DAY,  # daily volatility, fraction
    ATR,  # of ATR_PERIOD bars, price units
    RAW,  # the score as the model gave it
    LEAST,  # notional to hold at least, in equities, for a portfolio volatility of 1.0 (100 %) a year
    MOST,  # to hold at most
) = range(13)
FORECAST_SIZE: Final = 13
FORECAST_COLUMNS: Final = (
    "score", "target", "expected_day", "error_day", "cost_day", "confidence", "win_probability", "prior_share",
    "vol_day", "atr", "raw_score", "least_notional", "most_notional",
)

# Pooled sums.
_SEEN, _COUNT, _N, _BARS, _SXX, _SXY, _SYY, _OWN, JOINT_SUM, _TURNED, _HELD, _SIZE = range(12)
SUMS: Final = slice(_N, JOINT_SUM)  # of outcomes; they grow with their number
OUTCOMES: Final = slice(_N, JOINT_SUM + 1)  # the same with the squared sum over symbols: all that outcomes leave
# Columns of one symbol's memory.
_LAST_CLOSE, _LAST_X, _LAST_VOL, _MEAN_SQUARE, _RETURNS, _ATR, _RANGES, _TARGET, _POSITION, _AVERAGE, _WIDTH = range(11)
_MARKET: Final = (_LAST_CLOSE, _MEAN_SQUARE, _RETURNS, _ATR, _RANGES)  # those that no score has a part in
_OF_LAST_SCORE: Final = (_LAST_X, _LAST_VOL)
_OF_POSITION: Final = (_TARGET, _POSITION, _AVERAGE)
# Settings as numbers.
PRIOR_MEAN, _PRIOR_SD, _YEAR_BARS, BARS_A_DAY, _HORIZON, _EARNS, _BANDED, _PARAMS = range(8)


class ForecastSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prior on the annual gross Sharpe ratio of the pooled portfolio."""

    prior_mean: float = 0.0
    prior_sd: float = 0.5

    def __post_init__(self) -> None:
        require(-5.0 <= self.prior_mean <= 5.0, "prior", self.prior_mean, "the mean must be -5 to 5 (annual Sharpe)")
        require(0.01 <= self.prior_sd <= 10.0, "prior", self.prior_sd, "the deviation must be 0.01 to 10")


@kernel
def normal_cdf(z):  # type: ignore[no-untyped-def]
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@kernel
def _learn(closes, present, skipped, memory, pool):  # type: ignore[no-untyped-def]
    """Learn the outcomes of the last scores, one bar later, and update each symbol's volatility."""
    count, joint, seen = 0, 0.0, False
    for s in range(closes.shape[0]):
        row = memory[s]
        if not present[s]:
            row[_LAST_X], row[_LAST_CLOSE] = np.nan, np.nan  # what comes after a hole is no return of one bar
            continue
        if row[_LAST_CLOSE] > 0.0 and not skipped:
            change = closes[s] / row[_LAST_CLOSE] - 1.0
            x, vol = row[_LAST_X], row[_LAST_VOL]
            if x == x and vol > 0.0:
                y = min(max(change / vol, -OUTCOME_CAP), OUTCOME_CAP)
                gain = x * y
                pool[_SXX] += x * x
                pool[_SXY] += gain
                pool[_SYY] += y * y
                pool[_OWN] += gain * gain
                joint += gain
                count += 1
                seen = True
            if row[_RETURNS] == 0.0:
                row[_MEAN_SQUARE] = change * change
            else:
                weight = max(2.0 / (VOL_SPAN + 1.0), 1.0 / (row[_RETURNS] + 1.0))
                row[_MEAN_SQUARE] += weight * (change * change - row[_MEAN_SQUARE])
            row[_RETURNS] += 1.0
        row[_LAST_X] = np.nan
    if seen:
        pool[_N] += count
        pool[_BARS] += 1.0
        pool[JOINT_SUM] += joint * joint


@kernel
def _measure_ranges(bars, present, skipped, memory):  # type: ignore[no-untyped-def]
    """Update each symbol's ATR: the mean of the first ranges, then Wilder's average."""
    for s in range(memory.shape[0]):
        row = memory[s]
        if not present[s]:
            continue
        last = row[_LAST_CLOSE]
        span = bars[HIGH, s] - bars[LOW, s]
        if last > 0.0 and not skipped:
            span = max(span, abs(bars[HIGH, s] - last), abs(bars[LOW, s] - last))
        row[_RANGES] += 1.0
        row[_ATR] += (span - row[_ATR]) / min(row[_RANGES], float(ATR_PERIOD))


@kernel
def _learn_bar(bars, present, skipped, memory, pool):  # type: ignore[no-untyped-def]
    closes = bars[CLOSE]
    _measure_ranges(bars, present, skipped, memory)
    _learn(closes, present, skipped, memory, pool)
    for s in range(closes.shape[0]):
        if present[s]:
            memory[s, _LAST_CLOSE] = closes[s]


@kernel
def _correlation(pool):  # type: ignore[no-untyped-def]
    """Mean number of symbols with an outcome at a bar, and the mean correlation of their score-signed returns."""
    bars = pool[_BARS]
    symbols = max(pool[_N] / max(bars, 1.0), 1.0)
    rho = RHO_PRIOR
    if pool[_OWN] > 0.0:
        rho = (pool[JOINT_SUM] - pool[_OWN]) / max((symbols - 1.0) * pool[_OWN], 1e-9)
    return symbols, min(max((rho * bars + RHO_PRIOR * RHO_WEIGHT) / (bars + RHO_WEIGHT), 0.0), 1.0)


@kernel
def posterior(pool, params):  # type: ignore[no-untyped-def]
    """Slope per unit of scaled score (volatilities a bar), its standard error, the prior's share, the noise."""
    n = pool[_N]
    symbols, rho = _correlation(pool)
    independent = symbols / (1.0 + (symbols - 1.0) * rho)
    noise = (pool[_SYY] + NOISE_WEIGHT) / (n + NOISE_WEIGHT)
    mean_xx = pool[_SXX] / max(n, 1.0) if n > NOISE_WEIGHT else 1.0
    unit = math.sqrt(noise / max(mean_xx, 1e-9) / independent / params[_YEAR_BARS])
    prior = 1.0 / (params[_PRIOR_SD] * unit) ** 2
    data = pool[_SXX] * (independent / symbols) / noise
    fitted = pool[_SXY] / pool[_SXX] if pool[_SXX] > 0.0 else 0.0
    precision = prior + data
    mean = (params[PRIOR_MEAN] * unit * prior + fitted * data) / precision
    return mean, 1.0 / math.sqrt(precision), prior / precision, noise


@kernel
def _next_target(score, before):  # type: ignore[no-untyped-def]
    """The direction wanted: entered at ENTER_AT, left where the score is 0, NaN or of the other sign."""
    if not (score != 0.0 and score == score):
        return 0.0
    side = 1.0 if score > 0.0 else -1.0
    if before == side or abs(score) >= ENTER_AT:
        return side
    return 0.0


@kernel
def _volatility(row):  # type: ignore[no-untyped-def]
    """Volatility of a bar; NaN where there are too few returns yet."""
    return math.sqrt(row[_MEAN_SQUARE]) if row[_RETURNS] >= VOL_BARS else np.nan


@kernel
def _scale(scores, present, scale, out):  # type: ignore[no-untyped-def]
    """Write the scores in root-mean-squares into *out*; NaN where there is none."""
    for s in range(scores.shape[0]):
        if present[s]:
            known = scores[s] == scores[s] and scale > 0.0
            out[s, SCORE] = min(max(scores[s] / scale, -SCORE_CAP), SCORE_CAP) if known else np.nan


@kernel
def _risk_share(pool, memory, out):  # type: ignore[no-untyped-def]
    """Share of the portfolio's volatility that an average position gets: sqrt(independent symbols) / symbols.

    Positions of that volatility in all symbols that have a score now, correlated as their score-signed returns have
    been, make a portfolio of the volatility wanted.
    """
    count = 0
    for s in range(out.shape[0]):
        if out[s, SCORE] == out[s, SCORE] and _volatility(memory[s]) > 0.0:
            count += 1
    _, rho = _correlation(pool)
    return math.sqrt((1.0 + (count - 1.0) * rho) ** -1.0 / count) if count else np.nan


@kernel
def _turn(target, least, most, row, pool, banded):  # type: ignore[no-untyped-def]
    """Move a symbol's own position to what its target wants, and count the round trips and the bars held.

    *banded*: both in average positions; it goes to the nearest edge of the band between the notionals *least* and
    *most*. Otherwise a target that is entered is one round trip, and held in full.
    """
    if banded:
        before, held = row[_POSITION], 0.0
        if target != 0.0:
            held = target * min(max(before * target, least), most)
        if row[_AVERAGE] > 0.0:
            pool[_HELD] += abs(held) / row[_AVERAGE]
            pool[_TURNED] += 0.5 * abs(held - before) / row[_AVERAGE]
        row[_POSITION] = held
    elif target != 0.0:
        pool[_HELD] += 1.0
        pool[_TURNED] += 1.0 if target != row[_TARGET] else 0.0
    row[_TARGET] = target


@kernel
def _forecast(scores, present, cost_bps, funding_8h, memory, pool, params, out):  # type: ignore[no-untyped-def]
    """Scale the scores and turn them into forecasts; symbols without a bar keep theirs."""
    for s in range(scores.shape[0]):
        raw = scores[s]
        if present[s] and raw == raw:
            square = raw * raw
            if pool[_COUNT] >= OUTLIER_AFTER:  # one score beyond measure must not make all later ones small
                square = min(square, OUTLIER_CAP * OUTLIER_CAP * pool[_SEEN] / pool[_COUNT])
            pool[_SEEN] += square
            pool[_COUNT] += 1.0
    scale = math.sqrt(pool[_SEEN] / pool[_COUNT]) if pool[_SEEN] > 0.0 else 0.0
    mean, error, prior_share, noise = posterior(pool, params)
    bars_a_day, horizon = params[BARS_A_DAY], params[_HORIZON]
    _scale(scores, present, scale, out)
    risk = _risk_share(pool, memory, out) / math.sqrt(params[_YEAR_BARS])
    trips = (pool[_TURNED] + TRIPS_WEIGHT) / (pool[_HELD] + TRIPS_WEIGHT * horizon)
    for s in range(scores.shape[0]):
        if not present[s]:
            continue
        row, told, raw = memory[s], out[s], scores[s]
        x, vol = told[SCORE], _volatility(row)
        target = _next_target(x if vol > 0.0 else np.nan, row[_TARGET])
        least, most = 0.0, 0.0
        if vol > 0.0 and risk == risk:
            row[_AVERAGE] = risk / vol
        if target != 0.0:
            least, most = max(abs(x) - BAND, 0.0) * row[_AVERAGE], (abs(x) + BAND) * row[_AVERAGE]
        _turn(target, least, most, row, pool, params[_BANDED])
        side = 0.0 if np.isnan(x) else (1.0 if x > 0.0 else -1.0)
        rate = funding_8h[s]
        paid = side * rate * 3.0 / bars_a_day if abs(rate) < np.inf else np.inf  # unknown costs too much
        if not params[_EARNS]:
            paid = max(0.0, paid)
        cost = trips * cost_bps[s] / 10_000.0 + paid
        expected, doubt = mean * abs(x) * vol, error * abs(x) * vol
        told[TARGET], told[RAW], told[LEAST], told[MOST] = target, raw, least, most
        told[EXPECTED_DAY], told[ERROR_DAY] = expected * bars_a_day, doubt * bars_a_day
        told[COST_DAY] = cost * bars_a_day
        told[CONFIDENCE] = normal_cdf((expected - cost) / max(doubt, 1e-12)) if doubt == doubt else np.nan
        spread = math.sqrt(noise * vol * vol * horizon + doubt * doubt * horizon * horizon)
        gain = (expected - cost) * horizon / max(spread, 1e-12)
        told[WIN_PROBABILITY] = normal_cdf(gain) if gain == gain else np.nan
        told[PRIOR_SHARE], told[VOL_DAY] = prior_share, vol * math.sqrt(bars_a_day)
        told[ATR] = row[_ATR] if row[_RANGES] >= ATR_PERIOD else np.nan
        row[_LAST_X], row[_LAST_VOL] = x, vol


class Forecaster:
    """The forecasts of one combined score over all symbols; ``out`` (S, FORECAST_SIZE), columns in this module."""

    def __init__(
        self, count: int, length_ns: int, horizon_ns: int, settings: ForecastSettings, *, earns_funding: bool = False,
        banded: bool = True,
    ) -> None:
        """*count* symbols, bars of *length_ns*; the score is meant for *horizon_ns*.

        *earns_funding*: the score is about funding, so that funding received lowers the cost. *banded*: its positions
        follow the score within the band; otherwise each is opened once and left by other rules.
        """
        self.settings = settings
        self.params = np.zeros(_PARAMS)
        bars_a_day = NS_PER_DAY / length_ns
        self.params[:] = (
            settings.prior_mean, settings.prior_sd, YEAR_DAYS * bars_a_day, bars_a_day,
            max(1.0, horizon_ns / length_ns), earns_funding, banded,
        )
        self.memory = np.zeros((count, _WIDTH))
        self.memory[:, [_LAST_CLOSE, _LAST_X, _LAST_VOL]] = np.nan
        self.pool = np.zeros(_SIZE)
        self.out = np.full((count, FORECAST_SIZE), np.nan)
        self.out[:, TARGET] = 0.0

    def learn(self, bar: Completed) -> None:
        """Learn from a completed bar what the scores before it were worth."""
        _learn_bar(bar.bars, bar.present, bar.skipped > 0, self.memory, self.pool)

    def forecast(self, scores: Any, present: Any, cost_bps: Any, funding_8h: Any) -> None:
        """Forecast from the *scores* (S,) of the bar just learned from, for the symbols *present* (S,).

        *cost_bps* (S,): a round trip; *funding_8h* (S,): the rate per 8 hours, positive where longs pay.
        """
        _forecast(
            np.asarray(scores, dtype=np.float64), present, np.asarray(cost_bps, dtype=np.float64),
            np.asarray(funding_8h, dtype=np.float64), self.memory, self.pool, self.params, self.out,
        )

    def take_market(self, other: Forecaster) -> None:
        """Go on with what *other*, over the same symbols and bars, knows of the market: volatilities and ranges.

        What the scores were worth stays this forecaster's own; no score waits for its outcome.
        """
        self.memory[:, _MARKET] = other.memory[:, _MARKET]
        self.memory[:, _OF_LAST_SCORE] = np.nan
        self.memory[:, _OF_POSITION] = 0.0

    @property
    def average_notional(self) -> Any:
        """Notional (S,) of an average position, in equities, for a volatility of 100 % a year; 0.0: not known."""
        return self.memory[:, _AVERAGE]

    @property
    def outcomes(self) -> int:
        """How many outcomes of scores it has learned from."""
        return int(self.pool[_N])

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as arrays."""
        return {
            "memory": self.memory.copy(), "pool": self.pool.copy(), "params": self.params.copy(),
            "out": self.out.copy(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError for one of other symbols, bars or settings."""
        if state["memory"].shape != self.memory.shape or not np.array_equal(state["params"], self.params):
            raise StateError("forecasts: saved for other symbols, bars, horizon or prior; start a new --state folder")
        self.memory[...], self.pool[...], self.out[...] = state["memory"], state["pool"], state["out"]


def over_horizon(told: Any, confidence: float, round_trip_bps: float, horizon_days: float) -> float:
    """A model's *confidence* if its position were held for *horizon_days*: one round trip in that time.

    *told*: its row of a forecast (columns in this module); *confidence* where that knows no expectation.
    """
    expected, error, cost = told[EXPECTED_DAY], told[ERROR_DAY], told[COST_DAY]
    if not (error > 0.0 and math.isfinite(expected) and math.isfinite(cost) and horizon_days > 0.0):
        return confidence
    return float(normal_cdf((expected - max(cost, round_trip_bps / 10_000.0 / horizon_days)) / error))


def duration_ns(text: str, key: str = "horizon") -> int:
    """Nanoseconds of a time like "12h" or "7d"; InputError names *key*."""
    number, unit = text[:-1], text[-1:]
    scale = {"h": NS_PER_HOUR, "d": NS_PER_DAY, "m": NS_PER_HOUR // 60}.get(unit, 0)
    good = scale > 0 and number.isdigit() and 0 < int(number) <= 10_000
    require(good, key, text, 'must be a time like "12h" or "7d"')
    return int(number) * scale
