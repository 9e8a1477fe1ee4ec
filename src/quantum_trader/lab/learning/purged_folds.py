"""Folds in which no training label overlaps a test label: walk-forward and k-fold, purged, with an embargo.

A label is known over its span, from the decision to the moment that fixes it. Spans are closed intervals: a training
label that ends in the first moment of the test is purged. Source: M. Lopez de Prado, "Advances in Financial Machine
Learning" (Wiley, 2018), chapter 7. The book has two conventions: snippet 7.1 (``getTrainTimes``) takes closed
intervals, as here; snippet 7.3 (``PurgedKFold``) keeps a training label that ends exactly where the test begins
(``t1 <= t0``), and one that starts exactly where the last test label ends. Times are int64 in any unit, nanoseconds for
example; the embargo has the same unit.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Bools, Ints

MOST_PURGED_FOLDS: Final = 100
_NO_LABELS: Final = np.zeros(0, dtype=np.int64)


class PurgedFold(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One fold: indices of labels in order of their start."""

    number: int  # from 1
    train: Ints
    calibration: Ints  # between training and test, purged from both; empty where none was asked for
    test: Ints
    test_from: int  # first start of a test label
    test_until: int  # last end of one
    purged: int  # labels that overlap the test or the calibration, or lie in an embargo


def overlapping(starts: Ints, ends: Ints, first: int, last: int) -> Bools:
    """Which of the closed spans [starts, ends] (n,) share a moment with the closed span [*first*, *last*]: (n,)."""
    found: Bools = (np.asarray(starts) <= last) & (np.asarray(ends) >= first)
    return found


def purged_training(starts: Ints, ends: Ints, test_from: int, test_until: int, embargo: int = 0) -> Ints:
    """Indices of the labels that a test over [*test_from*, *test_until*] leaves for training.

    A label that starts within the *embargo* after the test is left out too.
    """
    return np.flatnonzero(~overlapping(starts, ends, test_from, test_until + embargo)).astype(np.int64)


def purged_k_fold(starts: Ints, ends: Ints, folds: int, embargo: int = 0) -> tuple[PurgedFold, ...]:
    """Cut the labels into *folds* tests of about equal size, each trained for on all others that it leaves.

    Labels of one start stay in one test. Training comes before and after the test, so a k-fold says how a model fits,
    not how it would have traded. Raises InputError.
    """
    starts, ends, order = _checked(starts, ends, folds, embargo)
    require(folds >= 2, "folds", folds, "a k-fold has two or more")
    cuts = _cuts(starts[order], 0, folds)
    found = []
    for number in range(folds):
        test = order[cuts[number]:cuts[number + 1]]
        first, last = int(starts[test].min()), int(ends[test].max())
        train = _in_order(purged_training(starts, ends, first, last, embargo), order)
        found.append(PurgedFold(
            number=number + 1, train=train, calibration=_NO_LABELS, test=test, test_from=first, test_until=last,
            purged=len(starts) - len(test) - len(train),
        ))
    return tuple(found)


def purged_walk_forward(  # the parts of a walk-forward
    starts: Ints, ends: Ints, folds: int, embargo: int = 0, *, first_share: float = 0.4,
    calibration_share: float = 0.0, longest: int | None = None,
) -> tuple[PurgedFold, ...]:
    """Cut the labels after the first *first_share* of them into *folds* tests; each is trained for on the past alone.

    A training label ends more than *embargo* before its test begins. With *calibration_share* above 0, that share of
    what precedes the test, its newest part, is the calibration; training then ends more than *embargo* before the
    calibration begins. *longest* bounds the training's length, back from its test's first moment (same unit as the
    times); None trains on everything. Labels of one start stay together. Raises InputError where a part would be empty.
    """
    starts, ends, order = _checked(starts, ends, folds, embargo)
    require(0.0 < first_share < 1.0, "first_share", first_share, "must be above 0 and below 1")
    require(0.0 <= calibration_share < 1.0, "calibration_share", calibration_share, "must be 0 or more and below 1")
    require(longest is None or longest > 0, "longest", longest, "must be above 0; leave it out for no bound")
    cuts = _cuts(starts[order], int(np.ceil(first_share * len(order))), folds)
    return tuple(
        _walk_fold(starts, ends, order, order[cuts[number]:cuts[number + 1]], number + 1, embargo, calibration_share,
                   longest)
        for number in range(folds)
    )


def _walk_fold(
    starts: Ints, ends: Ints, order: Ints, test: Ints, number: int, embargo: int, share: float, longest: int | None
) -> PurgedFold:
    """One fold of a walk-forward with the labels *test*."""
    first, last = int(starts[test].min()), int(ends[test].max())
    earlier = order[starts[order] < first]
    if longest is not None:
        earlier = earlier[starts[earlier] >= first - longest]
    known = earlier[ends[earlier] < first - embargo]
    calibration = _NO_LABELS
    train = known
    if share > 0.0 and len(known):
        begin = starts[known[min(int(np.ceil((1.0 - share) * len(known))), len(known) - 1)]]
        calibration = known[starts[known] >= begin]
        train = known[ends[known] < begin - embargo]
    require(len(train) > 0, "first_share", f"fold {number}", "no label is left to train on before the embargo; give "
            "more labels, a shorter embargo or a larger first share")
    return PurgedFold(
        number=number, train=train, calibration=calibration, test=test, test_from=first, test_until=last,
        purged=len(earlier) - len(train) - len(calibration),
    )


def _cuts(ordered_starts: Ints, first: int, folds: int) -> list[int]:
    """Places (folds + 1) in *ordered_starts* at which the tests begin and the last one ends; ties stay together."""
    wanted = np.linspace(first, len(ordered_starts), folds + 1).round().astype(np.int64)
    inner = [int(np.searchsorted(ordered_starts, ordered_starts[place], side="left")) for place in wanted[:-1]]
    cuts = [*inner, len(ordered_starts)]
    require(all(one < other for one, other in pairwise(cuts)), "folds", folds,
            "a test would have no label of its own; take fewer folds or give more labels")
    return cuts


def _in_order(indices: Ints, order: Ints) -> Ints:
    """*indices* in the order of time that *order* (all labels) has."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return indices[np.argsort(place[indices], kind="stable")]


def _checked(starts: Ints, ends: Ints, folds: int, embargo: int) -> tuple[Ints, Ints, Ints]:
    """Starts, ends, and the labels in order of their start. Raises InputError."""
    first, last = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    require(type(folds) is int and 1 <= folds <= MOST_PURGED_FOLDS, "folds", folds, f"1 to {MOST_PURGED_FOLDS}")
    require(embargo >= 0, "embargo", embargo, "cannot be negative")
    require(len(first) == len(last), "ends", len(last), f"must have one per label ({len(first)})")
    require(bool((last >= first).all()), "ends", last[last < first][:3], "a label ends when it starts or later")
    require(len(first) > folds, "labels", len(first), f"must be more than the folds ({folds})")
    return first, last, np.argsort(first, kind="stable").astype(np.int64)
