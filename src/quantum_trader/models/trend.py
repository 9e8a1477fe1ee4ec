"""The built-in set ``trend``: slow models of the literature on daily bars, with the numbers that were published.

None of the numbers was fitted to this project's data. A score is a position for one unit of volatility: the system
divides by each symbol's volatility when it sizes a position, as the sources do. Where a source moves to its position
at once, the system enters at half a root-mean-square and holds until the score flips (specification 1, section 7).

All arrays are (days, symbols), oldest first; NaN where a symbol has no bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np

from quantum_trader.market.arrays import Bools, Floats
from quantum_trader.models.port import Exit, Model, Panel

VOL_SPAN: Final = 36.0  # days of the exponentially weighted volatility (Carver 2015)
VOL_DAYS: Final = 60  # returns that it is made of
HOLE_DAYS: Final = 7  # days without a bar that a look-back may begin in
REAL_FUNDING_DAYS: Final = 90  # within which a real funding rate changes


class _Slow(Model):
    """What the models of the set share."""

    bars = "1d"
    horizon = "30d"
    needs = ("close",)
    exit = Exit(on="score", stop_atr=3.0)


class _TimeSeriesMomentum(_Slow):
    """The return of each look-back in its own deviations, held within ±1, averaged with equal weights."""

    lookbacks: ClassVar[tuple[int, ...]]

    def score(self, panel: Panel) -> Floats:
        """See the base class."""
        logs = np.log(panel.close)
        filled, vol = _filled(logs), _volatility(logs)
        days = np.array(self.lookbacks)
        moves = (filled[-1] - filled[-1 - days]) / (vol * np.sqrt(days)[:, None])
        return np.asarray(np.clip(moves, -1.0, 1.0).mean(axis=0))


class TsmomFast(_TimeSeriesMomentum):
    """Time-series momentum over 7, 14 and 28 days.

    Moskowitz, Ooi & Pedersen (2012, "Time series momentum") and Hurst, Ooi & Pedersen (2017, three look-backs with
    equal weights). The strength of a trend is its t-value held within ±1, as in Baltas & Kosowski (2020,
    "Demystifying time-series momentum strategies", SSRN 2140091), in place of its sign. Look-backs of one to four
    weeks: Liu & Tsyvinski (2021, "Risks and returns of cryptocurrency", SSRN 3226806).
    """

    lookbacks = (7, 14, 28)
    warmup = VOL_DAYS + 1
    horizon = "7d"


class TsmomSlow(_TimeSeriesMomentum):
    """Time-series momentum over 30, 90 and 365 days.

    Hurst, Ooi & Pedersen (2017, "A century of evidence on trend-following investing"): one, three and twelve months.
    The score is made as that of ``tsmom_fast``.
    """

    lookbacks = (30, 90, 365)
    warmup = 365 + 1 + HOLE_DAYS


class Ewmac(_Slow):
    """Moving-average crossovers 8/24, 16/48 and 32/96 days.

    Baz, Granger, Harvey, Le Roux & Rattray (2015, "Dissecting investment strategies in the cross section and time
    series"): exponential averages whose weights fall by 1 - 1/n a day; the response is x exp(-x²/4) / 0.89, so that
    an extreme trend counts less. A crossover is divided by the volatility of the price (Carver 2015, "Systematic
    trading") and by its own deviation on a random walk, which follows from its weights, in place of a year's estimate.
    """

    warmup = 360
    pairs: ClassVar[tuple[tuple[int, int], ...]] = ((8, 24), (16, 48), (32, 96))

    def score(self, panel: Panel) -> Floats:
        """See the base class."""
        logs = np.log(panel.close)
        moves = np.nan_to_num(np.diff(_filled(logs), axis=0))
        # not by a matrix product, whose last bits depend on the library that computes it
        crossovers = (_CROSSOVERS * moves).sum(axis=1) / _volatility(logs)
        return np.asarray((crossovers * np.exp(-0.25 * crossovers**2)).mean(axis=0) / 0.89)


class Donchian(_Slow):
    """Channel breakouts of nine lengths from 5 to 360 days, long and short.

    Zarattini, Pagani & Barbon (2025, "Catching crypto trends", SSRN 5209907): long at the highest close of n days, left
    below a stop that follows the middle of the channel and never falls; equal weights. The short side is its mirror
    image, which the paper leaves out.
    """

    warmup = 360
    tolerance = 1.0  # a position of the longest channels may have begun before any warm-up
    lengths: ClassVar[tuple[int, ...]] = (5, 10, 20, 30, 60, 90, 150, 250, 360)

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self._side = self._stop = np.zeros((len(self.lengths), 0))  # of each length and symbol: +1, -1, 0; its stop
        self._age = np.zeros(0)  # days since each symbol's first bar
        self._newest_ns = -1  # open of the last day taken

    def score(self, panel: Panel) -> Floats:
        """See the base class."""
        if self._side.shape[1] != len(panel.symbols):
            self._side = np.zeros((len(self.lengths), len(panel.symbols)))
            self._stop, self._age = np.full_like(self._side, np.nan), np.zeros(len(panel.symbols))
        for row in np.flatnonzero(panel.ts_ns > self._newest_ns).tolist():
            self._take(panel.close[: row + 1])
        self._newest_ns = int(panel.ts_ns[-1])
        return np.asarray(self._side.mean(axis=0))

    def _take(self, closes: Floats) -> None:
        """Move each position by the newest of *closes*."""
        today = closes[-1]
        here = ~np.isnan(today)
        self._age = np.where(here | (self._age > 0.0), self._age + 1.0, 0.0)
        backwards, ends = closes[::-1], np.minimum(self.lengths, len(closes)) - 1
        top = np.fmax.accumulate(backwards, axis=0)[ends]
        bottom = np.fmin.accumulate(backwards, axis=0)[ends]
        middle = 0.5 * (top + bottom)
        ready = here & (self._age >= np.array(self.lengths)[:, None])

        side, stop = self._side, self._stop
        left = ((side > 0.0) & (today <= stop)) | ((side < 0.0) & (today >= stop))
        wide, kept = top > bottom, np.where(left, 0.0, side)
        after = np.where(wide & (today == top), 1.0, np.where(wide & (today == bottom), -1.0, kept))
        held = np.where(after == side, stop, np.nan)
        moved = np.where(after > 0.0, np.fmax(held, middle), np.where(after < 0.0, np.fmin(held, middle), np.nan))
        self._side, self._stop = np.where(ready, after, side), np.where(ready, moved, stop)

    def state(self) -> dict[str, Any]:
        """See the base class."""
        return {
            "side": self._side.copy(), "stop": self._stop.copy(), "age": self._age.copy(), "newest_ns": self._newest_ns,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See the base class."""
        self._side, self._stop, self._age = (np.array(state[name]) for name in ("side", "stop", "age"))
        self._newest_ns = int(state["newest_ns"])


class Carry(_Slow):
    """Long the symbols whose longs pay least funding, short those whose longs pay most; four symbols or more.

    Koijen, Moskowitz, Pedersen & Vrugt (2018, "Carry"): weights by rank across symbols; the carry of a perpetual is
    minus its funding, here over 7 days. Franz & Schmeling (SSRN 3774118) on crypto. Only symbols whose rate has
    changed within 90 days count: an assumed rate says nothing about a symbol.
    """

    warmup = REAL_FUNDING_DAYS
    horizon = "7d"
    needs = ("funding",)
    weight = 0.25
    least_symbols = 4
    earns_funding = True

    def score(self, panel: Panel) -> Floats:
        """See the base class."""
        rates = panel.funding
        real = np.fmax.reduce(rates, axis=0) > np.fmin.reduce(rates, axis=0)
        week = rates[-7:]
        known = ~np.isnan(week)
        count = known.sum(axis=0)
        mean = np.where(known, week, 0.0).sum(axis=0) / np.maximum(count, 1)
        return -_ranks(mean, real & (count >= 4), self.least_symbols)


class Xsmom(_Slow):
    """Long the strongest of the last 21 days against the weakest; ten symbols or more. Not enabled in the set.

    Liu, Tsyvinski & Wu (2022, "Common risk factors in cryptocurrency", SSRN 3394671): momentum of one to four weeks
    across coins; weights by rank in place of quintiles.
    """

    warmup = 21 + 1 + HOLE_DAYS
    horizon = "7d"
    least_symbols = 10

    def score(self, panel: Panel) -> Floats:
        """See the base class."""
        filled = _filled(panel.close)
        moves = filled[-1] / filled[-22] - 1.0
        return _ranks(moves, ~np.isnan(moves) & ~np.isnan(panel.close[-HOLE_DAYS:]).all(axis=0), self.least_symbols)


TREND_MODELS: Final[Mapping[str, type[Model]]] = {
    "tsmom_fast": TsmomFast, "tsmom_slow": TsmomSlow, "ewmac": Ewmac, "donchian": Donchian, "carry": Carry,
    "xsmom": Xsmom,
}
NOT_ENABLED: Final = frozenset({"xsmom"})  # of the set, unless named


def _filled(values: Floats) -> Floats:
    """*values* with what was known last in each hole; NaN before a symbol's first bar."""
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    return np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)


def _volatility(logs: Floats) -> Floats:
    """Daily volatility (S,) of the newest one-day returns of log prices; NaN where nothing has moved."""
    moves = np.diff(logs[-VOL_DAYS - 1:], axis=0)
    known = ~np.isnan(moves)
    weights = np.where(known, _VOL_WEIGHTS[-len(moves):, None], 0.0)
    total = weights.sum(axis=0)
    square = (weights * np.where(known, moves, 0.0) ** 2).sum(axis=0) / np.where(total > 0.0, total, np.nan)
    return np.sqrt(np.where(square > 0.0, square, np.nan))


def _ranks(values: Floats, counted: Bools, least: int) -> Floats:
    """Ranks of *values* (S,) among the *counted*, from -1 to 1; equal ones share. NaN for others, and below *least*."""
    ranks = np.full(len(values), np.nan)
    count = int(counted.sum())
    if count >= least:
        mine = values[counted]
        ranks[counted] = np.sign(mine[:, None] - mine).sum(axis=1) / (count - 1)
    return ranks


def _crossover_weights(fast: int, slow: int, count: int) -> Floats:
    """Weights (count,) of a crossover on the newest *count* returns, oldest first, of variance 1 on a random walk.

    The price less its exponential average holds the return of k days ago with (1 - 1/n) ** (k + 1).
    """
    power = np.arange(count, 0, -1.0)
    weights = (1.0 - 1.0 / slow) ** power - (1.0 - 1.0 / fast) ** power
    return np.asarray(weights / np.sqrt((weights * weights).sum()))


_VOL_WEIGHTS: Final = (1.0 - 2.0 / (VOL_SPAN + 1.0)) ** np.arange(VOL_DAYS - 1, -1, -1.0)
_CROSSOVERS: Final = np.stack([_crossover_weights(*pair, Ewmac.warmup - 1) for pair in Ewmac.pairs])[:, :, None]
