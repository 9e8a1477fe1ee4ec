"""Whether the trades that a switch would have taken away lost money: an interval that may be looked at often.

The number examined is, per changed decision, the result in R of what enforcing takes away (below zero: enforcing
helps). Three things make a plain 95 % interval wrong here, and each has its answer:

* **Looking again and again.** Looks are taken at fixed counts (30, 45, 68, ...: times 1.5), however often the interval
  is read; between two of them the interval doesn't move. Look k spends alpha / (k (k + 1)) of the error, which sums
  to alpha over all looks (an error-spending schedule: Lan and DeMets, Biometrika 70, 1983; added up by Boole's
  inequality, which asks nothing of the dependence between looks).
* **Neighbouring outcomes share a market.** Decisions are gathered in blocks of time and whole blocks are resampled
  (block bootstrap: Carlstein, Annals of Statistics 14, 1986), studentised (Goetze and Kuensch, Annals of Statistics
  24, 1996). Shadow trades that overlap in time end alike, so a block lasts at least three times their mean life
  (weighted by life: the long ones overlap most); beyond that it grows with the span, 4 hours at first, a day once
  there are twelve, and at most 60 blocks. Outcomes also overlap across the edge of two blocks. Where they last the
  life L and depend on each other by the share of it that they have in common, blocks of length B see all but L / 3B
  of the variance of the mean; the standard error is enlarged by that.
* **Few blocks.** The critical value is never below Student's t with (effective blocks - 1) degrees of freedom, which
  is valid for few, unequal groups (Ibragimov and Mueller, JBES 28, 2010); under four effective blocks there is no
  interval. Outcomes that are all alike say that one market was seen, not that there is no risk: the standard
  error is never below half the root mean square over root n.

The coverage is tested by simulation of such trades over shared random walks (tests/policy/test_evidence.py). What it
cannot see: a market that stays the same for the whole span. Evidence of one week is evidence of that week.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import require, require_finite
from quantum_trader.policy.enforcement import switch_index
from quantum_trader.policy.ledger import RolloutLedger

if TYPE_CHECKING:
    import numpy as np

LOOK_GROWTH: Final = 1.5
MIN_BLOCK_HOURS: Final = 4.0
DAY_BLOCK_HOURS: Final = 24.0
BLOCK_LIVES: Final = 3.0
WANTED_BLOCKS: Final = 12.0
MAX_BLOCKS: Final = 60.0
MIN_EFFECTIVE_BLOCKS: Final = 4.0
RESAMPLES: Final = 4000
RESOLVED_TAIL: Final = 0.005  # the furthest tail RESAMPLES resolve: 20 of 4000 beyond it
SPREAD_FLOOR: Final = 0.5  # of the root mean square


class RolloutRules(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions for promoting a switch."""

    min_count: int = 30  # changed decisions with a known outcome; also the first look
    min_market_hours: float = 24.0
    alpha: float = 0.05  # two-sided, over all looks together

    def __post_init__(self) -> None:
        require(isinstance(self.min_count, int) and self.min_count >= 10, "min_count", self.min_count, "at least 10")
        require_finite("min_market_hours", self.min_market_hours)
        require(self.min_market_hours >= 0.0, "min_market_hours", self.min_market_hours, "cannot be negative")
        require_finite("alpha", self.alpha)
        require(0.0 < self.alpha < 0.5, "alpha", self.alpha, "must lie between 0 and 0.5")


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one switch. *interval* bounds the mean R of what it takes away, per changed decision."""

    switch: str
    signals: int = 0  # seen in all
    changed: int = 0  # decisions enforcing would have changed
    resolved: int = 0  # of those, in a complete beginning with known outcomes
    open: int = 0  # outcome still to come
    void: int = 0  # outcome never known
    sum_r: float = 0.0  # over the resolved
    mean_r: float | None = None
    market_hours: int = 0
    look: int = 0  # how many looks have been taken; 0: none yet
    look_size: int = 0  # decisions the interval rests on
    next_look: int = 0  # decisions at which it changes next
    interval: tuple[float, float] | None = None
    blocks: int = 0
    effective_blocks: float = 0.0  # as many blocks of equal size would tell as much
    block_hours: float = 0.0
    alpha_look: float = 0.0  # error spent on this look
    alpha_spent: float = 0.0  # and on all so far


class BlockInterval(msgspec.Struct, frozen=True, kw_only=True):
    """An interval and the blocks it rests on; None where they are too few."""

    count: int
    effective: float
    hours: float
    interval: tuple[float, float] | None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The latest interval of a list of outcomes: its number, the count of outcomes, and the interval."""

    number: int  # 0: none yet
    size: int  # outcomes it rests on
    upcoming: int  # outcomes at which the next one is taken
    alpha: float = 0.0  # error spent on it
    blocks: BlockInterval | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the mean; None: too few outcomes or too few blocks."""
        return self.blocks.interval if self.blocks is not None else None


def look_at(
    ts_ns: Sequence[int], values: Sequence[float], life_ns: Sequence[int], rules: RolloutRules | None = None
) -> Look:
    """Take the latest look at outcomes in the order of their decisions: an interval that may be read at any time."""
    rules = rules or RolloutRules()
    number, size, upcoming = look_for(len(values), rules.min_count)
    if number == 0:
        return Look(number=0, size=size, upcoming=upcoming)
    alpha = rules.alpha / (number * (number + 1))
    blocks = block_interval(ts_ns[:size], values[:size], life_ns[:size], alpha)
    return Look(number=number, size=size, upcoming=upcoming, alpha=alpha, blocks=blocks)


def verdict_of(interval: tuple[float, float] | None) -> str:
    """What an interval of the mean R that is taken away says: helps, harms, undecided, not enough evidence."""
    if interval is None:
        return "not enough evidence"
    return "helps" if interval[1] < 0.0 else "harms" if interval[0] > 0.0 else "undecided"


def evidence(ledger: RolloutLedger, switch: str, rules: RolloutRules | None = None) -> Evidence:
    """Weigh what *ledger* holds about *switch*; a pure function of the ledger, so asking is free."""
    rules = rules or RolloutRules()
    switch_index(switch)
    known = ledger.switch(switch)
    count = len(known.result_r)
    look = look_at(known.ts_ns, known.result_r, known.life_ns, rules)
    base = Evidence(
        switch=switch, signals=ledger.signals, changed=known.changed, resolved=count, open=known.open, void=known.void,
        sum_r=math.fsum(known.result_r), mean_r=math.fsum(known.result_r) / count if count else None,
        market_hours=ledger.market_hours, look=look.number, look_size=look.size, next_look=look.upcoming,
    )
    if look.blocks is None:
        return base
    return msgspec.structs.replace(
        base, interval=look.interval, blocks=look.blocks.count, effective_blocks=look.blocks.effective,
        block_hours=look.blocks.hours, alpha_look=look.alpha,
        alpha_spent=rules.alpha * look.number / (look.number + 1),
    )


def look_sizes(first: int) -> Iterator[int]:
    """Yield the counts at which looks are taken: *first*, then each 1.5 times the one before, rounded up."""
    size = first
    while True:
        yield size
        size = math.ceil(size * LOOK_GROWTH)


def look_for(count: int, first: int) -> tuple[int, int, int]:
    """Return (number of the latest look, its count, the count of the next one) at *count* outcomes."""
    look, reached = 0, 0
    for size in look_sizes(first):
        if size > count:
            return look, reached, size
        look, reached = look + 1, size
    raise AssertionError("look sizes never end")


def block_hours_for(span_hours: float, mean_life_hours: float) -> float:
    """Length of a block, for decisions that span *span_hours* and whose shadows live *mean_life_hours*."""
    by_span = min(max(span_hours / WANTED_BLOCKS, MIN_BLOCK_HOURS), DAY_BLOCK_HOURS)
    return max(by_span, span_hours / MAX_BLOCKS, BLOCK_LIVES * mean_life_hours)


def block_interval(
    ts_ns: Sequence[int], values: Sequence[float], life_ns: Sequence[int], alpha: float
) -> BlockInterval:
    """Bound the mean of *values* at error *alpha* (two-sided); one entry per decision in each sequence."""
    import numpy as np

    times = np.asarray(ts_ns, dtype=np.int64)
    x = np.asarray(values, dtype=np.float64)
    first = int(times.min())
    life = _mean_life_hours(np.asarray(life_ns, dtype=np.float64) / NS_PER_HOUR)
    hours = block_hours_for((int(times.max()) - first) / NS_PER_HOUR, life)
    _, owner = np.unique((times - first) // int(hours * NS_PER_HOUR), return_inverse=True)
    counts = np.bincount(owner).astype(np.float64)
    effective = float(counts.sum() ** 2 / (counts**2).sum())
    interval = None
    if effective >= MIN_EFFECTIVE_BLOCKS:
        sums = np.bincount(owner, weights=x)
        squares = np.bincount(owner, weights=x * x)
        unseen = life / (3.0 * hours)  # of the variance: overlaps across the edges of blocks
        interval = _studentised(sums, counts, squares, effective - 1.0, alpha, 1.0 / math.sqrt(1.0 - unseen))
    return BlockInterval(count=len(counts), effective=effective, hours=hours, interval=interval)


def _mean_life_hours(lives: np.ndarray) -> float:
    """Mean of *lives* weighted by themselves: of all moments that outcomes last, the mean life of the one it is in."""
    whole = float(lives.sum())
    return float((lives * lives).sum()) / whole if whole > 0.0 else 0.0


def _studentised(
    sums: np.ndarray, counts: np.ndarray, squares: np.ndarray, freedom: float, alpha: float, widening: float
) -> tuple[float, float]:
    """Bootstrap-t over blocks (each array has one entry per block), no tighter than Student's t, times *widening*."""
    import numpy as np

    blocks = len(sums)
    weights = np.ones((1, blocks))
    mean, error = (float(value[0]) for value in _mean_and_error(weights, sums, counts, squares))
    rng = np.random.default_rng((blocks, int(counts.sum())))
    drawn = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=RESAMPLES).astype(np.float64)
    means, errors = _mean_and_error(drawn, sums, counts, squares)
    t = (means - mean) / np.where(errors > 0.0, errors, 1.0)
    tail = max(alpha / 2.0, RESOLVED_TAIL)
    low, high = (float(value) for value in np.quantile(t, (tail, 1.0 - tail)))
    student, student_tail = student_t_quantile(1.0 - alpha / 2.0, freedom), student_t_quantile(1.0 - tail, freedom)
    above = student * max(1.0, -low / student_tail)
    below = student * max(1.0, high / student_tail)
    return mean - below * error * widening, mean + above * error * widening


def _mean_and_error(
    weights: np.ndarray, sums: np.ndarray, counts: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean per decision and its standard error between blocks; *weights* (resamples, blocks): times drawn."""
    import numpy as np

    blocks = len(sums)
    total = weights @ counts
    mean = (weights @ sums) / total
    deviation = weights @ (sums * sums) - 2.0 * mean * (weights @ (sums * counts)) + mean**2 * (weights @ counts**2)
    between = np.maximum(deviation, 0.0) * blocks / (blocks - 1.0) / total**2
    floor = SPREAD_FLOOR**2 * (weights @ squares) / total**2
    return mean, np.sqrt(np.maximum(between, floor))


def student_t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t for *probability* in (0.5, 1) and real *freedom* >= 1.

    G. W. Hill, Algorithm 396, Communications of the ACM 13, 1970: six significant digits from 3 degrees on; below
    that the exact form for *freedom* rounded down to 1 or 2 (wider, never narrower).
    """
    two_sided = 2.0 * (1.0 - probability)
    if freedom < 2.0:
        return 1.0 / math.tan(two_sided * math.pi / 2.0)
    if freedom < 3.0:
        return math.sqrt(2.0 / (two_sided * (2.0 - two_sided)) - 2.0)
    a = 1.0 / (freedom - 0.5)
    b = (48.0 / a) / a
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * math.sqrt(a * math.pi / 2.0) * freedom
    y = (d * two_sided) ** (2.0 / freedom)
    if y > 0.05 + a:
        x = -NormalDist().inv_cdf(1.0 - two_sided / 2.0)
        y = x * x
        if freedom < 5.0:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (1.0 / (((freedom + 6.0) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2.0) * 3.0)
             + 0.5 / (freedom + 4.0)) * y - 1.0
        ) * (freedom + 1.0) / (freedom + 2.0) + 1.0 / y
    return math.sqrt(freedom * y)
