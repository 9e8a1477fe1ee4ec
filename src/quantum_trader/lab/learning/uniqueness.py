"""How much of its own each label says: concurrency, average uniqueness and the sample weights made of them.

Labels whose spans overlap share returns, so they are no independent samples. Source: M. Lopez de Prado, "Advances in
Financial Machine Learning" (Wiley, 2018), chapter 4: snippets 4.1 (concurrency), 4.2 (average uniqueness), 4.10
(weights by return) and 4.11 (time decay). A span is closed: it holds its first and its last bar. Bars are indices of
whatever series the labels span; labels of several symbols that are pooled share the bars of one clock.
"""

from __future__ import annotations

import numpy as np

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Floats, Ints


def bar_spans(open_ns: Ints, starts_ns: Ints, ends_ns: Ints) -> tuple[Ints, Ints]:
    """First and last bar (labels,) of spans given as times: the bars in which they start and end.

    *open_ns* (bars,) are opening times in order. Raises InputError for a span that starts before the first bar or ends
    before it starts.
    """
    times = np.asarray(open_ns, dtype=np.int64)
    first = np.searchsorted(times, np.asarray(starts_ns, dtype=np.int64), side="right") - 1
    last = np.searchsorted(times, np.asarray(ends_ns, dtype=np.int64), side="right") - 1
    require(bool((first >= 0).all()), "starts_ns", "before the first bar", "give the bars of every span")
    _check_spans(first, last, len(times))
    return first.astype(np.int64), last.astype(np.int64)


def concurrency(first_bars: Ints, last_bars: Ints, bars: int) -> Ints:
    """How many labels span each of *bars* bars: (bars,). Raises InputError for spans outside of them."""
    first, last = _check_spans(first_bars, last_bars, bars)
    steps = np.zeros(bars + 1, dtype=np.int64)
    np.add.at(steps, first, 1)
    np.add.at(steps, last + 1, -1)
    return np.cumsum(steps[:-1])


def average_uniqueness(first_bars: Ints, last_bars: Ints, bars: int) -> Floats:
    """The mean over each label's span of 1 / concurrency: (labels,), in (0, 1]; 1 for a label that overlaps none.

    Their sum is how many independent labels tell as much, at most.
    """
    first, last = _check_spans(first_bars, last_bars, bars)
    counts = concurrency(first, last, bars)
    return _span_sums(1.0 / np.maximum(counts, 1), first, last) / (last - first + 1)


def return_weights(log_returns: Floats, first_bars: Ints, last_bars: Ints) -> Floats:
    """Weights (labels,) by the absolute return that is a label's own; their mean is 1.

    *log_returns* (bars,) are those of each bar; each is shared equally by the labels that span it. Weights are equal
    where nothing moved. Raises InputError.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    require(bool(np.isfinite(returns).all()), "log_returns", "not finite", "every return must be a finite number")
    first, last = _check_spans(first_bars, last_bars, len(returns))
    counts = concurrency(first, last, len(returns))
    return mean_one(np.abs(_span_sums(returns / np.maximum(counts, 1), first, last)))


def time_decay(uniqueness: Floats, oldest: float) -> Floats:
    """Factors (labels,) that fall linearly from 1 for the newest label towards *oldest* for the first.

    *uniqueness* (labels,) is in order of time; age is counted in cumulative uniqueness, so many labels of one moment
    age like one. *oldest* 1: no decay; between 0 and 1: the weight towards which the oldest falls; below 0 and above
    -1: that share of the past has the weight 0. Raises InputError.
    """
    require(-1.0 < oldest <= 1.0, "oldest", oldest, "must be above -1 and at most 1")
    known = np.asarray(uniqueness, dtype=np.float64)
    require(bool((known > 0.0).all()), "uniqueness", known[:3], "every value must be above 0")
    if not len(known):
        return known
    age = np.cumsum(known)
    slope = (1.0 - oldest) / age[-1] if oldest >= 0.0 else 1.0 / ((oldest + 1.0) * age[-1])
    factors: Floats = np.maximum(0.0, 1.0 + slope * (age - age[-1]))
    return factors


def mean_one(weights: Floats) -> Floats:
    """*weights* (n,) scaled to a mean of 1; all 1 where their sum is 0. Raises InputError for a negative one."""
    known = np.asarray(weights, dtype=np.float64)
    require(bool((known >= 0.0).all()), "weights", known[:3], "no weight may be negative")
    total = float(known.sum())
    return known * (len(known) / total) if total > 0.0 else np.ones(len(known))


def _span_sums(values: Floats, first: Ints, last: Ints) -> Floats:
    """Sums of *values* (bars,) over each closed span: (labels,)."""
    running = np.concatenate(([0.0], np.cumsum(values)))
    sums: Floats = running[last + 1] - running[first]
    return sums


def _check_spans(first_bars: Ints, last_bars: Ints, bars: int) -> tuple[Ints, Ints]:
    """The spans as int64; InputError where one is not within *bars*."""
    first, last = np.asarray(first_bars, dtype=np.int64), np.asarray(last_bars, dtype=np.int64)
    require(len(first) == len(last), "last_bars", len(last), f"must have one per label ({len(first)})")
    good = (first >= 0) & (last >= first) & (last < bars)
    require(bool(good.all()), "spans", list(zip(first[~good][:3].tolist(), last[~good][:3].tolist(), strict=True)),
            f"a span begins at bar 0 or later, ends where it begins or later, and before bar {bars}")
    return first, last
