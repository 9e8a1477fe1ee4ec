"""What a walk-forward gave: each test's scores against a constant and a logistic baseline, and all tests together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from quantum_trader.lab.learning.calibration_choice import (
    NONE,
    CalibrationChoice,
    CalibrationSamples,
    choose_calibration,
)
from quantum_trader.lab.learning.probability_scores import (
    AucDifference,
    LossDifference,
    ProbabilityScores,
    ReliabilityBin,
    auc_difference,
    auc_p_value,
    log_losses,
    loss_difference,
    reliability_curve,
    sample_mean,
    score_probabilities,
    squared_errors,
    time_blocks,
)
from quantum_trader.lab.learning.purged_folds import PurgedFold
from quantum_trader.lab.learning.training_table import SampleTable
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.costs import BPS
from quantum_trader.models.learned.calibration import UNCALIBRATED

CONSTANT, LOGISTIC = "constant", "logistic"
CONVICTION_SHARE: Final = 0.2  # of the samples, those whose probability is farthest from one half


class BaselineComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A learner beside a baseline on the same samples; below 0 the learner's loss is lower."""

    baseline: str
    log_loss: LossDifference
    brier: LossDifference
    auc: AucDifference


class BetResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the bets that a learner's probabilities call for made, in bps after all costs, with a 95 % interval."""

    samples: int
    net_bps: float
    low_bps: float
    high_bps: float


class UnseenResult(msgspec.Struct, frozen=True, kw_only=True):
    """A learner's probabilities on unseen samples."""

    scores: ProbabilityScores
    comparisons: tuple[BaselineComparison, ...]
    all_bets: BetResult
    strong_bets: BetResult  # the fifth of the samples with the strongest conviction


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """One test of the walk-forward."""

    number: int
    train_samples: int
    purged: int
    test_samples: int
    test_from_ns: int
    test_until_ns: int
    calibration: str  # platt, isotonic, or none
    calibrated_on: int  # samples of earlier tests
    learner: UnseenResult
    baselines: dict[str, ProbabilityScores]


class LearnerResult(msgspec.Struct, frozen=True, kw_only=True):
    """One learner over the whole walk-forward: each test that it is scored on, and all of them together."""

    folds: tuple[FoldResult, ...]
    together: UnseenResult
    p_value: float  # one-sided, of an AUC of 0.5 or less over all tests; NaN where there are too few blocks
    baselines: dict[str, ProbabilityScores]
    reliability: tuple[ReliabilityBin, ...]


class UnseenPredictions(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A learner's predictions of the samples at the places *test*, with what the baselines say of them."""

    test: Ints
    probabilities: Floats
    constant: Floats
    logistic: Floats


class FoldMargins(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The margins of a learner and of the logistic baseline on a fold's test."""

    fold: PurgedFold
    learner: Floats
    logistic: Floats


class WalkForwardBaselines(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of both baselines on each test but the first, and on all of them together."""

    folds: tuple[dict[str, ProbabilityScores], ...]
    together: dict[str, ProbabilityScores]


def score_baselines(table: SampleTable, folds: Sequence[PurgedFold], logistic: list[Floats]) -> WalkForwardBaselines:
    """Score both baselines; *logistic* are the margins of the logistic one on each test."""
    parts = [
        (fold.test, _constant(table, fold), UNCALIBRATED.apply(margins))
        for fold, margins in zip(folds[1:], logistic[1:], strict=True)
    ]
    pooled = tuple(np.concatenate(each) for each in zip(*parts, strict=True))
    return WalkForwardBaselines(
        folds=tuple(_baseline_scores(table, *part) for part in parts),
        together=_baseline_scores(table, *pooled),
    )


def calibration_samples(table: SampleTable, margins: list[FoldMargins], before_ns: int) -> CalibrationSamples:
    """The predictions of tests in *margins* whose labels are known before *before_ns*, in order of their start."""
    places = np.concatenate([one.fold.test for one in margins]) if margins else np.zeros(0, dtype=np.int64)
    values = np.concatenate([one.learner for one in margins]) if margins else np.zeros(0)
    known = table.ends_ns[places] < before_ns
    places, values = places[known], values[known]
    order = np.argsort(table.starts_ns[places], kind="stable")
    places, values = places[order], values[order]
    return CalibrationSamples(
        margins=values, labels=table.labels[places], weights=table.weights[places], starts_ns=table.starts_ns[places],
        ends_ns=table.ends_ns[places],
    )


def score_walk_forward(
    table: SampleTable, margins: list[FoldMargins], baselines: WalkForwardBaselines, embargo_ns: int
) -> tuple[LearnerResult, UnseenPredictions]:
    """Calibrate and score each test but the first, whose predictions only calibrate those of later tests."""
    found, parts = [], []
    for number, one in enumerate(margins[1:], 1):
        choice = choose_calibration(
            calibration_samples(table, margins[:number], one.fold.test_from - embargo_ns), embargo_ns
        )
        predicted = UnseenPredictions(
            test=one.fold.test, probabilities=choice.calibration.apply(one.learner),
            constant=_constant(table, one.fold),
            logistic=UNCALIBRATED.apply(one.logistic),
        )
        found.append(_fold_result(table, one.fold, choice, predicted, baselines.folds[number - 1]))
        parts.append(predicted)
    pooled = UnseenPredictions(**{
        name: np.concatenate([getattr(part, name) for part in parts]) for name in UnseenPredictions.__struct_fields__
    })
    labels, weights = table.labels[pooled.test], table.weights[pooled.test]
    p_value = auc_p_value(labels, pooled.probabilities, weights, _blocks(table, pooled.test))
    return LearnerResult(
        folds=tuple(found), together=_unseen_result(table, pooled), p_value=p_value,
        baselines=baselines.together,
        reliability=reliability_curve(labels, pooled.probabilities, weights),
    ), pooled


def final_calibration(table: SampleTable, margins: list[FoldMargins], embargo_ns: int) -> CalibrationChoice:
    """The calibration of the model that was trained on all samples: on the predictions of every test."""
    return choose_calibration(calibration_samples(table, margins, int(table.ends_ns.max()) + 1), embargo_ns)


def _constant(table: SampleTable, fold: PurgedFold) -> Floats:
    """The share of 1 among the training labels of *fold*, for each sample of its test."""
    share = sample_mean(table.labels[fold.train].astype(np.float64), table.weights[fold.train])
    return np.full(len(fold.test), share)


def _fold_result(
    table: SampleTable, fold: PurgedFold, choice: CalibrationChoice, predicted: UnseenPredictions,
    baselines: dict[str, ProbabilityScores],
) -> FoldResult:
    return FoldResult(
        number=fold.number, train_samples=len(fold.train), purged=fold.purged, test_samples=len(fold.test),
        test_from_ns=fold.test_from, test_until_ns=fold.test_until, calibration=choice.method,
        calibrated_on=choice.samples if choice.method != NONE else 0, learner=_unseen_result(table, predicted),
        baselines=baselines,
    )


def _baselines(predicted: UnseenPredictions) -> Mapping[str, Floats]:
    return {CONSTANT: predicted.constant, LOGISTIC: predicted.logistic}


def _blocks(table: SampleTable, test: Ints) -> Ints:
    return time_blocks(table.starts_ns[test], table.ends_ns[test])


def _baseline_scores(
    table: SampleTable, test: Ints, constant: Floats, logistic: Floats
) -> dict[str, ProbabilityScores]:
    blocks = _blocks(table, test)
    return {
        name: score_probabilities(table.labels[test], values, table.weights[test], blocks)
        for name, values in ((CONSTANT, constant), (LOGISTIC, logistic))
    }


def _unseen_result(table: SampleTable, predicted: UnseenPredictions) -> UnseenResult:
    test, blocks = predicted.test, _blocks(table, predicted.test)
    labels, weights = table.labels[test].astype(np.float64), table.weights[test]
    mine = predicted.probabilities
    comparisons = tuple(
        BaselineComparison(
            baseline=name,
            log_loss=loss_difference(log_losses(labels, mine), log_losses(labels, other), weights, blocks),
            brier=loss_difference(squared_errors(labels, mine), squared_errors(labels, other), weights, blocks),
            auc=auc_difference(labels, mine, other, weights, blocks),
        )
        for name, other in _baselines(predicted).items()
    )
    conviction = np.abs(mine - 0.5)
    strong = np.flatnonzero(conviction >= np.quantile(conviction, 1.0 - CONVICTION_SHARE))
    every = np.arange(len(test), dtype=np.int64)
    return UnseenResult(
        scores=score_probabilities(labels, mine, weights, blocks), comparisons=comparisons,
        all_bets=_bets(table, predicted, every, blocks), strong_bets=_bets(table, predicted, strong, blocks),
    )


def _bets(table: SampleTable, predicted: UnseenPredictions, chosen: Ints, blocks: Ints) -> BetResult:
    """The bet for a probability above one half, and the opposite one below it where there is one."""
    places, mine = predicted.test[chosen], predicted.probabilities[chosen]
    net = np.where(mine > 0.5, table.net_returns[places], table.net_against[places])
    taken = ~np.isnan(net)
    net, weights, parts = net[taken], table.weights[places][taken], blocks[chosen][taken]
    tested = loss_difference(net * BPS, np.zeros(len(net)), weights, parts)
    return BetResult(samples=len(net), net_bps=tested.difference, low_bps=tested.low, high_bps=tested.high)
