"""Twelve ways in which users' models have looked ahead, each one planted on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quantum_trader.models import FrameModel, Model

CLOSE = pl.col("close")
SEEN: dict[int, Any] = {}


class Columns(FrameModel):
    """What the planted column models share."""

    bars, warmup, horizon = "1d", 60, "7d"


class Shift(Columns):
    """Tomorrow's return."""

    def scores(self, frame):
        return frame.with_columns(score=CLOSE.shift(-1) / CLOSE - 1.0)


class CentredWindow(Columns):
    """A trend from a window around now."""

    def scores(self, frame):
        return frame.with_columns(score=CLOSE / CLOSE.rolling_mean(21, center=True) - 1.0)


class LateResample(Columns):
    """The week's close, on all days of the week."""

    def scores(self, frame):
        weeks = frame.group_by_dynamic("ts", every="1w").agg(pl.col("close").last().alias("week"))
        joined = frame.join_asof(weeks, on="ts")
        return joined.with_columns(score=pl.col("week") / pl.col("close").shift(7) - 1.0)


class WholeSampleScaling(Columns):
    """A return in deviations of the whole sample."""

    def scores(self, frame):
        change = CLOSE / CLOSE.shift(14) - 1.0
        return frame.with_columns(score=(change - change.mean()) / change.std())


class SameBarFill(Columns):
    """The signal of a bar is written to the bar before, so that it is filled in its own bar."""

    def scores(self, frame):
        closes = frame["close"].to_numpy()
        score = np.full(len(closes), np.nan)
        for i in range(20, len(closes)):
            score[i - 1] = closes[i] / closes[i - 20] - 1.0
        return frame.with_columns(score=pl.Series(score))


class FutureFunding(Columns):
    """The next funding rate instead of the last one."""

    needs = ("close", "funding")

    def scores(self, frame):
        return frame.with_columns(score=-pl.col("funding").shift(-1))


class FillAcrossAHole(Columns):
    """Bars of little volume are taken out, and the holes filled between what is before and behind them."""

    needs = ("close", "volume")

    def scores(self, frame):
        thin = pl.col("volume") < pl.col("volume").rolling_mean(30) * 0.5
        filled = pl.when(thin).then(None).otherwise(CLOSE).interpolate()
        return frame.with_columns(score=filled / filled.shift(10) - 1.0)


class FittedScaler(Columns):
    """A scaler that is fitted once, on all that is there."""

    def scores(self, frame):
        changes = (frame["close"] / frame["close"].shift(5) - 1.0).to_numpy()
        self.fit(changes)
        return frame.with_columns(score=pl.Series((changes - self.middle) / self.width))

    def fit(self, changes):
        self.middle, self.width = np.nanmean(changes), np.nanstd(changes)


class GlobalQuantile(Columns):
    """Long above the best tenth of all returns."""

    def scores(self, frame):
        change = CLOSE / CLOSE.shift(14) - 1.0
        return frame.with_columns(score=(change > change.quantile(0.9)).cast(pl.Float64) - 0.1)


class IndexJoin(Columns):
    """Returns lose their first row and are put back by row number."""

    def scores(self, frame):
        changes = (frame["close"] / frame["close"].shift(1) - 1.0).drop_nulls()
        return frame.with_columns(score=pl.Series(np.append(changes.to_numpy()[: frame.height - 1], np.nan)))


class PeekingState(Model):
    """A cache of the class knows what an earlier run has seen after now."""

    bars, warmup, horizon = "1d", 60, "7d"

    def score(self, panel):
        SEEN[panel.now_ns] = panel.close[-1]
        tomorrow = SEEN.get(panel.now_ns + 86_400_000_000_000, panel.close[-1])
        return panel.close[-1] / panel.close[-20] - 1.0 + 10.0 * (tomorrow / panel.close[-1] - 1.0)


PLANTED = (
    Shift, CentredWindow, LateResample, WholeSampleScaling, SameBarFill, FutureFunding, FillAcrossAHole, FittedScaler,
    GlobalQuantile, IndexJoin, PeekingState,
)  # and a file with late timestamps


def file_with_late_timestamps(folder: Path, bars: Any, bars_late: int = 0) -> Path:
    """A file of 20-day returns stamped with the open of the bar that they are made of; *bars_late* 1 is right."""
    closes = bars.fields[3]
    frame = {"ts": (bars.opens + bars_late * bars.length_ns)[20:] // 1_000_000_000}
    for s, symbol in enumerate(bars.symbols):
        frame[symbol] = closes[20:, s] / closes[:-20, s] - 1.0
    path = folder / "scores.csv"
    pl.DataFrame(frame).write_csv(path)
    return path
