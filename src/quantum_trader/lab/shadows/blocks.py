"""Refused signals as good, bad and neutral blocks, by the results of their shadow trades.

A block is good where the shadow trade would have lost, bad where it would have won more than a few basis points, and
neutral between. Intervals are those of the evidence of a switch (``policy.evidence.look_at``): they resample blocks of
time, because shadow trades that overlap in time end alike, and they stay valid however often they are read.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from quantum_trader.domain.errors import ConfigError, is_finite_number
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.policy.evidence import Look, look_at, verdict_of


class BlockLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes a block good or bad, basis points after costs and funding."""

    good_below_bps: float = 0.0
    bad_above_bps: float = 10.0

    def __post_init__(self) -> None:
        for key in ("good_below_bps", "bad_above_bps"):
            value = getattr(self, key)
            if not (is_finite_number(value) and -10_000.0 <= value <= 10_000.0):
                raise ConfigError(f"{key} = {value!r}: must be a number of basis points between -10000 and 10000")
        if self.good_below_bps > self.bad_above_bps:
            raise ConfigError(
                f"good_below_bps = {self.good_below_bps!r}: must not be above bad_above_bps = {self.bad_above_bps!r}"
            )


class ShadowResults(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Settled shadow trades in the order of their signals; arrays share the axis of n trades."""

    ts_ns: Ints
    life_ns: Ints  # from the signal to the result
    net_bps: Floats
    r: Floats
    usdt: Floats  # at the risk that the trade would have had; NaN where that is not known

    def __len__(self) -> int:
        return len(self.ts_ns)

    def of(self, rows: Bools) -> ShadowResults:
        """Those in *rows* (n,)."""
        return ShadowResults(
            ts_ns=self.ts_ns[rows], life_ns=self.life_ns[rows], net_bps=self.net_bps[rows], r=self.r[rows],
            usdt=self.usdt[rows],
        )


class SavedAndMissed(msgspec.Struct, frozen=True, kw_only=True):
    """Losses that were saved by refusing, and wins that were missed; both positive sums, in one unit."""

    saved: float
    missed: float
    known: int  # results that the sums are of

    @property
    def net(self) -> float:
        """What refusing was worth: saved less missed."""
        return self.saved - self.missed


class BlockScore(msgspec.Struct, frozen=True, kw_only=True):
    """What refusing a group of signals was worth.

    Bounds are 95 %, valid at all looks together; they rest on the results of the latest look. None: too few results,
    or too few blocks of time.
    """

    name: str
    signals: int  # in the group
    settled: int  # results that count
    waiting: int  # known results behind a signal whose shadow trade is open
    open: int  # results still to come
    without: int  # signals without a shadow trade, or whose result never came
    good: int
    neutral: int
    bad: int
    accuracy: float | None  # share of good blocks among good and bad ones; None: there are none
    accuracy_low: float | None
    accuracy_high: float | None
    mean_bps: float | None  # of the refused; below 0: refusing was right
    low_bps: float | None
    high_bps: float | None
    bps: SavedAndMissed
    r: SavedAndMissed
    usdt: SavedAndMissed
    looked_at: int  # results behind the bounds of the mean
    effective_blocks: float  # as many blocks of time of equal size would tell as much

    @property
    def verdict(self) -> str:
        """What the interval of the mean says of refusing these signals."""
        bounds = None if self.low_bps is None or self.high_bps is None else (self.low_bps, self.high_bps)
        return verdict_of(bounds)


class GroupCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many signals of a group have a result, and how many have none."""

    signals: int
    waiting: int = 0
    open: int = 0
    without: int = 0


def score_of(name: str, results: ShadowResults, counts: GroupCounts, limits: BlockLimits) -> BlockScore:
    """Judge a group of refused signals by the settled *results* of their shadow trades."""
    good, bad = results.net_bps < limits.good_below_bps, results.net_bps > limits.bad_above_bps
    decided = good | bad
    look = _look(results, results.net_bps)
    found, shares = look.interval, _look(results.of(decided), good[decided].astype(np.float64)).interval
    return BlockScore(
        name=name, signals=counts.signals, settled=len(results), waiting=counts.waiting, open=counts.open,
        without=counts.without, good=int(good.sum()), neutral=len(results) - int(decided.sum()), bad=int(bad.sum()),
        accuracy=float(good[decided].mean()) if decided.any() else None,
        accuracy_low=max(0.0, shares[0]) if shares else None, accuracy_high=min(1.0, shares[1]) if shares else None,
        mean_bps=float(results.net_bps.mean()) if len(results) else None,
        low_bps=found[0] if found else None, high_bps=found[1] if found else None,
        bps=_money(results.net_bps), r=_money(results.r), usdt=_money(results.usdt), looked_at=look.size,
        effective_blocks=look.blocks.effective if look.blocks is not None else 0.0,
    )


def _look(results: ShadowResults, values: Floats) -> Look:
    """The latest look at the mean of *values*, one for each result."""
    return look_at(results.ts_ns.tolist(), values.tolist(), results.life_ns.tolist())


def _money(values: Floats) -> SavedAndMissed:
    known = values[np.isfinite(values)]
    return SavedAndMissed(
        saved=math.fsum(-known[known < 0.0]), missed=math.fsum(known[known > 0.0]), known=len(known),
    )
