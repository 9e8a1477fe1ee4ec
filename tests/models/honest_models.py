"""Twenty honest models, written as users write them; none may be refused."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl

from quantum_trader.models import Exit, FrameModel, Model

CLOSE = pl.col("close")
EDGES = (0.2, 0.8)


class Trend(Model):
    """Long what rose over the last days."""

    bars, warmup, horizon = "1d", 90, "7d"

    class Params(msgspec.Struct, frozen=True):
        days: int = 28

    def score(self, panel):
        return panel.close[-1] / panel.close[-1 - self.params.days] - 1.0


class WholePanel(Trend):
    """The return over the whole panel: its length is the parameter."""

    def score(self, panel):
        return panel.close[-1] / panel.close[0] - 1.0


class Reversal(Trend):
    """Against yesterday's move."""

    exit = Exit(on="regime")

    def score(self, panel):
        return -(panel.close[-1] / panel.close[-2] - 1.0)


class CrossSection(Trend):
    """Long the strong against the weak."""

    def score(self, panel):
        change = panel.close[-1] / panel.close[-21] - 1.0
        return change - np.nanmean(change)


class Ranks(Trend):
    """By rank among the symbols."""

    def score(self, panel):
        change = panel.close[-1] / panel.close[-31] - 1.0
        known = ~np.isnan(change)
        ranks = np.argsort(np.argsort(np.where(known, change, -np.inf))).astype(float)
        return np.where(known, ranks - (~known).sum() - (known.sum() - 1) / 2.0, np.nan)


class PanelZScore(Trend):
    """In deviations of the panel, which is all past."""

    def score(self, panel):
        middle, width = np.nanmean(panel.close, axis=0), np.nanstd(panel.close, axis=0)
        return np.where(width > 0.0, (panel.close[-1] - middle) / width, np.nan)


class Carry(Trend):
    """Paid by funding."""

    needs = ("close", "funding")

    def score(self, panel):
        return -np.nanmean(panel.funding[-9:], axis=0)


class Breakout(Trend):
    """Near the end of its range."""

    needs = ("high", "low", "close")

    def score(self, panel):
        top, bottom = np.nanmax(panel.high[-55:], axis=0), np.nanmin(panel.low[-55:], axis=0)
        width = np.where(top > bottom, top - bottom, np.nan)
        return 2.0 * (panel.close[-1] - bottom) / width - 1.0


class LastMoves(Trend):
    """It remembers the last seven closes itself, and says so."""

    def __init__(self, params=None):
        super().__init__(params)
        self.closes = []

    def score(self, panel):
        self.closes = [*self.closes[-6:], panel.close[-1].copy()]
        return self.closes[-1] / self.closes[0] - 1.0

    def state(self):
        return {"closes": [one.copy() for one in self.closes]}

    def load_state(self, state):
        self.closes = list(state["closes"])


class Smoothed(Trend):
    """An exponential average kept from call to call."""

    tolerance = 1e-4

    def __init__(self, params=None):
        super().__init__(params)
        self.mean = None

    def score(self, panel):
        with np.errstate(invalid="ignore"):
            change = np.nan_to_num(panel.close[-1] / panel.close[-11] - 1.0)
        self.mean = change if self.mean is None else self.mean + 0.2 * (change - self.mean)
        return self.mean

    def state(self):
        return {"mean": self.mean}

    def load_state(self, state):
        self.mean = state["mean"]


class Seasonal(Trend):
    """By the day of the week."""

    def score(self, panel):
        days = panel.ts_ns // 86_400_000_000_000 % 7
        moves = np.diff(panel.close, axis=0) / panel.close[:-1]
        same = moves[days[1:] == (days[-1] + 1) % 7]
        known = np.maximum((~np.isnan(same)).sum(axis=0), 1)
        return np.nansum(same, axis=0) / known


class ColumnTrend(FrameModel):
    """The trend as a column."""

    bars, warmup, horizon = "1d", 60, "7d"

    def scores(self, frame):
        return frame.with_columns(score=CLOSE / CLOSE.shift(28) - 1.0)


class ColumnZScore(ColumnTrend):
    """In deviations of a rolling window."""

    def scores(self, frame):
        width = CLOSE.rolling_std(30)
        return frame.with_columns(
            score=pl.when(width > 1e-9 * CLOSE).then((CLOSE - CLOSE.rolling_mean(30)) / width)
        )


class ColumnCross(ColumnTrend):
    """Two exponential averages."""

    warmup = 400

    def scores(self, frame):
        return frame.with_columns(
            score=CLOSE.ewm_mean(span=10, adjust=False) / CLOSE.ewm_mean(span=40, adjust=False) - 1.0
        )


class ColumnRsi(ColumnTrend):
    """Ups against downs."""

    def scores(self, frame):
        move = CLOSE.diff()
        up, down = (pl.max_horizontal(sign * move, 0.0).rolling_mean(14) for sign in (1.0, -1.0))
        return frame.with_columns(score=pl.when(up + down > 0.0).then(0.5 - up / (up + down)))


class ColumnVolume(ColumnTrend):
    """Moves on much volume."""

    needs = ("close", "volume")

    def scores(self, frame):
        usual = pl.col("volume").rolling_mean(20)
        return frame.with_columns(score=(CLOSE / CLOSE.shift(5) - 1.0) * pl.col("volume") / usual)


class ColumnRange(ColumnTrend):
    """Place in the range of the last weeks."""

    needs = ("high", "low", "close")

    def scores(self, frame):
        top, bottom = pl.col("high").rolling_max(40), pl.col("low").rolling_min(40)
        return frame.with_columns(score=pl.when(top > bottom).then((CLOSE - bottom) / (top - bottom) - 0.5))


class ColumnQuantile(ColumnTrend):
    """Above the best fifth of its last moves, below the worst."""

    def scores(self, frame):
        move = CLOSE / CLOSE.shift(7) - 1.0
        low, high = (move.rolling_quantile(edge, window_size=45) for edge in EDGES)
        return frame.with_columns(score=(move > high).cast(pl.Float64) - (move < low).cast(pl.Float64))


class ColumnLastWeek(ColumnTrend):
    """The close of the last finished week, from the first day of the next one on."""

    def scores(self, frame):
        weeks = frame.group_by_dynamic("ts", every="1w").agg(pl.col("close").last().alias("week"))
        weeks = weeks.with_columns(pl.col("week").shift(1))
        joined = frame.join_asof(weeks, on="ts")
        return joined.with_columns(score=pl.col("close") / pl.col("week") - 1.0)


class ColumnLoop(ColumnTrend):
    """Row by row, as one writes it first."""

    def scores(self, frame):
        closes = frame["close"].to_numpy()
        score = np.full(len(closes), np.nan)
        for i in range(30, len(closes)):
            score[i] = closes[i] / np.mean(closes[i - 29:i + 1]) - 1.0
        return frame.with_columns(score=pl.Series(score))


HONEST = (
    Trend, WholePanel, Reversal, CrossSection, Ranks, PanelZScore, Carry, Breakout, LastMoves, Smoothed, Seasonal,
    ColumnTrend, ColumnZScore, ColumnCross, ColumnRsi, ColumnVolume, ColumnRange, ColumnQuantile, ColumnLastWeek,
    ColumnLoop,
)
