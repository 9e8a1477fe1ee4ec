"""Whether a feature knows the future: checks, each of which returns what it found.

* :func:`check_feature_times`: a feature that is stated to be of a later time than the decision;
* :func:`check_truncation`: a feature that is another one when it is computed without the data after the decision;
* :func:`check_recorded`: a feature that a journal recorded after the result, or that its other records contradict;
* :func:`check_single_features`: a feature that alone ranks wins above losses better than any honest one does.

The first three prove a leak. The last is a suspicion: it finds a feature that peeks at most of its label's span, and
none that peeks a little. Which of them a model must pass before it is ready: :func:`needed_checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import require
from quantum_trader.lab.learning.evidence_file import LeakageFinding
from quantum_trader.lab.learning.probability_scores import auc_of
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.entry_features import ENTRY_FEATURES_HASH

FEATURE_TIMES: Final = "feature_times"
TRUNCATION: Final = "truncation"
SINGLE_FEATURE: Final = "single_feature"
RECORDED: Final = "recorded_at_decision"
LEAKAGE_CHECKS: Final = (FEATURE_TIMES, TRUNCATION, SINGLE_FEATURE)
RECORDED_CHECKS: Final = (FEATURE_TIMES, RECORDED, SINGLE_FEATURE)
IMPLAUSIBLE_AUC: Final = 0.85  # of one feature, or below 0.15
TOLERANCE: Final = 1e-9  # relative, of a feature that was computed twice
LEAST_SAMPLES: Final = 100

Recompute = Callable[[int], Floats]  # features (features,) of the decision at that row, from earlier data alone


def needed_checks(features_hash: str) -> tuple[str, ...]:
    """The checks that a model of these features must pass.

    The features of a signal at its entry come from a journal, which holds them and not the data that they were made of:
    they cannot be computed again, so it is checked when they were recorded.
    """
    return RECORDED_CHECKS if features_hash == ENTRY_FEATURES_HASH else LEAKAGE_CHECKS


def check_feature_times(names: Sequence[str], feature_ns: Ints, decision_ns: Ints) -> tuple[LeakageFinding, ...]:
    """Find features (n, features) or (features,) whose time is later than the decision's (n,)."""
    decisions = np.asarray(decision_ns, dtype=np.int64)
    times = np.broadcast_to(np.asarray(feature_ns, dtype=np.int64), (len(decisions), len(names)))
    late = times - decisions[:, None]
    found = []
    for place in np.flatnonzero((late > 0).any(axis=0)).tolist():
        row = int(late[:, place].argmax())
        found.append(LeakageFinding(
            check=FEATURE_TIMES, feature=names[place], value=float(late[row, place]),
            told=f"{names[place]} is of {iso(int(times[row, place]))}, later than the decision at "
                 f"{iso(int(decisions[row]))}; it is so in {int((late[:, place] > 0).sum()):,} of {len(decisions):,} "
                 "samples",
        ))
    return tuple(found)


def check_truncation(
    names: Sequence[str], features: Floats, recompute: Recompute, rows: Sequence[int], *, tolerance: float = TOLERANCE
) -> tuple[LeakageFinding, ...]:
    """Find features that change when they are computed without what came after the decision.

    *features* (n, features) are those that the model learned from; *recompute* gives those of one row, from data that
    ends with its decision; *rows* are the ones looked at. NaN is the same as NaN.
    """
    table = np.asarray(features, dtype=np.float64)
    require(table.ndim == 2 and table.shape[1] == len(names), "features", table.shape, "must have a column per name")
    require(len(rows) > 0, "rows", rows, "at least one row must be looked at")
    again = np.stack([np.asarray(recompute(int(row)), dtype=np.float64) for row in rows])
    there = table[list(rows)]
    gap = np.abs(there - again)
    allowed = tolerance * np.maximum(1.0, np.maximum(np.abs(there), np.abs(again)))
    same = (gap <= allowed) | (np.isnan(there) & np.isnan(again)) | (there == again)
    found = []
    for place in np.flatnonzero(~same.all(axis=0)).tolist():
        wrong = ~same[:, place]
        first, known = int(np.flatnonzero(wrong)[0]), gap[wrong & ~np.isnan(gap[:, place]), place]
        found.append(LeakageFinding(
            check=TRUNCATION, feature=names[place], value=float(known.max()) if len(known) else None,
            told=f"{names[place]} is {there[first, place]:.6g} in the training data and {again[first, place]:.6g} "
                 f"computed without what came later; it differs in {int(wrong.sum())} of {len(rows)} samples",
        ))
    return tuple(found)


def check_recorded(
    names: Sequence[str], features: Floats, again: Mapping[str, Floats], numbers: Ints
) -> tuple[LeakageFinding, ...]:
    """Find features (n, features) that were not recorded at their decisions.

    *numbers* (n, 2) are those of the records of the features and of the result: the former must be the lower one.
    *again* has those features, by name, that other records of the decision state (n,); rows that are NaN in all of them
    have no such record. NaN is the same as NaN.
    """
    found = []
    late = numbers[:, 0] >= numbers[:, 1]
    if late.any():
        first = int(np.flatnonzero(late)[0])
        found.append(LeakageFinding(
            check=RECORDED, feature="", value=float(late.sum()),
            told=f"the features of {int(late.sum()):,} of {len(late):,} samples were recorded after their results, the "
                 f"first with record {numbers[first, 0]:,} behind record {numbers[first, 1]:,}",
        ))
    known = ~np.all([np.isnan(values) for values in again.values()], axis=0)
    for name, values in again.items():
        there = features[:, names.index(name)]
        wrong = known & ~((there == values) | (np.isnan(there) & np.isnan(values)))
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            found.append(LeakageFinding(
                check=RECORDED, feature=name, value=float(wrong.sum()),
                told=f"{name} is {there[first]:.6g} in the training data and {values[first]:.6g} in the other records "
                     f"of the decision; it differs in {int(wrong.sum()):,} of {len(wrong):,} samples",
            ))
    return tuple(found)


def check_single_features(
    names: Sequence[str], features: Floats, labels: Floats, *, limit: float = IMPLAUSIBLE_AUC
) -> tuple[LeakageFinding, ...]:
    """Find features (n, features) that alone have an AUC above *limit*, or below 1 - *limit*, for *labels* (n,).

    Samples without the feature (NaN) are left out; fewer than 100 say nothing.
    """
    require(0.5 < limit < 1.0, "limit", limit, "must lie between 0.5 and 1")
    table, y = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    found = []
    for place, name in enumerate(names):
        known = ~np.isnan(table[:, place])
        if int(known.sum()) < LEAST_SAMPLES:
            continue
        area = auc_of(y[known], table[known, place])
        if area > limit or area < 1.0 - limit:
            found.append(LeakageFinding(
                check=SINGLE_FEATURE, feature=name, value=area,
                told=f"{name} alone has an AUC of {area:.3f}, and more than {limit:g} is not plausible for anything "
                     "that is known before a trade; look whether it knows the outcome",
            ))
    return tuple(found)
