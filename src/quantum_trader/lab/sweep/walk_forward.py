"""Walk-forward: choose a setting on past days and test it on the days after them, once per split.

The history is cut into equal parts, one more than there are splits. Split k trains on the first k parts and tests on
the next one, less an embargo at its start: a trade opened in training may still be open there. Every setting trades the
whole history once; a split looks at the days of its equity. So a setting enters its test with the streaks, holds and
halts that its own past left, like a real account that traded this setting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.sharpe import Moments, moments
from quantum_trader.market.arrays import Floats

EMBARGO_DAYS: Final = 3  # the longest time an exit row allows a position is 72 hours
MIN_DAYS: Final = 10  # in every part
MIN_TRADES: Final = 10  # in training: a setting that hardly traded is not chosen



class Criterion(str, Enum):
    """What training picks by."""

    SHARPE = "sharpe"
    RETURN = "return"
    CALMAR = "calmar"


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Days of one split: training is [0, train_end), the test [test_start, test_end)."""

    number: int
    train_end: int
    test_start: int
    test_end: int


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one setting that a split compares."""

    daily: Floats  # (D,) returns, fractions
    trade_day: npt.NDArray[np.int64]  # (n,) day of each trade's exit
    trade_r: Floats  # (n,)


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """How one setting did in some days."""

    days: int
    return_pct: float
    sharpe: float  # annualised; NaN where the equity did not move
    max_drawdown_pct: float  # 0 or negative
    trades: int
    win_rate: float  # NaN without trades
    avg_r: float  # NaN without trades
    moments: Moments


class SplitResult(msgspec.Struct, frozen=True, kw_only=True):
    """What training chose and how that did afterwards; *chosen* -1: no setting traded enough to be chosen."""

    split: Split
    chosen: int
    train: Period | None
    test: Period | None
    rank: float  # share of the settings that did no better in the test than the chosen one, 0..1; NaN: no trade in it


def splits_of(days: int, count: int, embargo_days: int = EMBARGO_DAYS) -> tuple[Split, ...]:
    """Cut *days* into *count* splits. Raises ConfigError when the parts would be too short to say anything."""
    if not isinstance(count, int) or not 0 <= count <= 100:
        raise ConfigError(f"splits = {count!r}: must be a whole number from 0 (none) to 100")
    if count == 0:
        return ()
    part = days // (count + 1)
    if part - embargo_days < MIN_DAYS:
        raise ConfigError(
            f"splits = {count}: the {days} days of the recording make parts of {part} days, with {embargo_days} of "
            f"embargo too short for {MIN_DAYS} days of test; take fewer splits or more data"
        )
    edges = [round(days * number / (count + 1)) for number in range(count + 2)]
    return tuple(
        Split(
            number=number, train_end=edges[number], test_start=edges[number] + embargo_days, test_end=edges[number + 1]
        )
        for number in range(1, count + 1)
    )


def period(curve: Curve, first: int, last: int) -> Period:
    """Measure days [first, last) of *curve*."""
    daily = curve.daily[first:last]
    inside = (curve.trade_day >= first) & (curve.trade_day < last)
    r = curve.trade_r[inside]
    grown = np.concatenate(([1.0], np.cumprod(1.0 + daily)))
    found = moments(daily)
    return Period(
        days=len(daily), return_pct=float(grown[-1] - 1.0) * 100.0,
        sharpe=found.annual_sharpe if found.deviation > 0.0 else math.nan,
        max_drawdown_pct=float((grown / np.maximum.accumulate(grown) - 1.0).min()) * 100.0, trades=len(r),
        win_rate=float((r > 0.0).mean()) if len(r) else math.nan, avg_r=float(r.mean()) if len(r) else math.nan,
        moments=found,
    )


def score(one: Period, criterion: Criterion) -> float:
    """The number that training ranks by; greater is better. An equity that did not move ranks as a ratio of 0."""
    if criterion is Criterion.SHARPE:
        return 0.0 if math.isnan(one.sharpe) else one.sharpe
    if criterion is Criterion.RETURN:
        return one.return_pct
    return one.return_pct / max(-one.max_drawdown_pct, 0.01)


def walk_forward(
    curves: Sequence[Curve], splits: Sequence[Split], criterion: Criterion = Criterion.SHARPE
) -> tuple[SplitResult, ...]:
    """Choose in each split's training, and look in its test. A tie is won by the earlier setting."""
    return tuple(_one_split(curves, split, criterion) for split in splits)


def _one_split(curves: Sequence[Curve], split: Split, criterion: Criterion) -> SplitResult:
    trained = [period(curve, 0, split.train_end) for curve in curves]
    scores = [score(one, criterion) if one.trades >= MIN_TRADES else -math.inf for one in trained]
    best = max(range(len(scores)), key=lambda index: scores[index])
    if scores[best] == -math.inf:
        return SplitResult(split=split, chosen=-1, train=None, test=None, rank=math.nan)
    tested = [period(curve, split.test_start, split.test_end) for curve in curves]
    mine = score(tested[best], criterion)
    no_better = sum(score(one, criterion) <= mine for one in tested)
    return SplitResult(
        split=split, chosen=best, train=trained[best], test=tested[best],
        rank=no_better / len(tested) if tested[best].trades else math.nan,
    )


def out_of_sample(curves: Sequence[Curve], results: Sequence[SplitResult]) -> Period | None:
    """How the chosen settings did in their tests together; None when nothing was ever chosen."""
    joined = joined_tests(curves, results)
    return period(joined, 0, len(joined.daily)) if joined is not None else None


def joined_tests(curves: Sequence[Curve], results: Sequence[SplitResult]) -> Curve | None:
    """The chosen settings' tests joined into one history; None when nothing was ever chosen.

    The trades stand on its first day: it is measured whole.
    """
    daily: list[Floats] = []
    r: list[Floats] = []
    for result in results:
        if result.chosen >= 0:
            curve, split = curves[result.chosen], result.split
            daily.append(curve.daily[split.test_start : split.test_end])
            r.append(curve.trade_r[(curve.trade_day >= split.test_start) & (curve.trade_day < split.test_end)])
    if not daily:
        return None
    days, trades = np.concatenate(daily), np.concatenate(r)
    return Curve(daily=days, trade_day=np.zeros(len(trades), dtype=np.int64), trade_r=trades)
