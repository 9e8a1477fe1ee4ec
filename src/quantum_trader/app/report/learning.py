"""What a training of signal models gave, as lines and as the cells of tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from quantum_trader.app.report import formats as fmt
from quantum_trader.domain.clock import iso
from quantum_trader.models.learned.artefact import SIGNAL

if TYPE_CHECKING:
    from quantum_trader.lab.learning.fold_results import BetResult, FoldResult, UnseenResult
    from quantum_trader.lab.learning.learning_result import LearnedOutcome, LearningDocument
    from quantum_trader.lab.learning.probability_scores import Estimate, LossDifference, ProbabilityScores

FOLD_COLUMNS: Final = (
    "test", "until", "trained on", "tested on", "calibration", "AUC [95 %]", "logistic", "Brier [95 %]", "constant",
    "logistic ", "ECE [95 %]", "log loss against constant",
)
IMPORTANCE_COLUMNS: Final = ("feature", "log loss if shuffled", "standard error", "mean |SHAP|")
RELIABILITY_COLUMNS: Final = ("said", "happened", "95 %", "samples")
MOST_FEATURES_SHOWN: Final = 15
_MILLI: Final = 1_000.0


def estimate_text(value: Estimate, digits: int = 3) -> str:
    """A number with its interval."""
    if math.isnan(value.value):
        return fmt.UNKNOWN
    if math.isnan(value.low):
        return f"{value.value:.{digits}f}"
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def difference(one: LossDifference) -> str:
    """A difference of losses in thousandths, with its interval; below 0 the learner is better."""
    if math.isnan(one.difference):
        return fmt.UNKNOWN
    if math.isnan(one.low):
        return f"{one.difference * _MILLI:+.1f}"
    return f"{one.difference * _MILLI:+.1f} [{one.low * _MILLI:+.1f}, {one.high * _MILLI:+.1f}] ‰"


def bets(one: BetResult) -> str:
    """What bets made in bps, with the interval."""
    if not one.samples or math.isnan(one.net_bps):
        return fmt.UNKNOWN
    interval = "" if math.isnan(one.low_bps) else f" [{one.low_bps:+.1f}, {one.high_bps:+.1f}]"
    return f"{one.net_bps:+.1f}{interval} bps a bet"


def fold_cells(fold: FoldResult) -> tuple[str, ...]:
    """One test as a row of ``FOLD_COLUMNS``."""
    mine, constant, logistic = fold.learner.scores, fold.baselines["constant"], fold.baselines["logistic"]
    return (
        iso(fold.test_from_ns)[:10], iso(fold.test_until_ns)[:10], f"{fold.train_samples:,}", f"{fold.test_samples:,}",
        fold.calibration, estimate_text(mine.auc), f"{logistic.auc.value:.3f}", estimate_text(mine.brier, 4),
        f"{constant.brier.value:.4f}", f"{logistic.brier.value:.4f}", estimate_text(mine.ece),
        difference(fold.learner.comparisons[0].log_loss),
    )


def together_cells(outcome: LearnedOutcome) -> tuple[str, ...]:
    """All tests together as a row of ``FOLD_COLUMNS``."""
    result = outcome.result
    mine, constant, logistic = result.together.scores, result.baselines["constant"], result.baselines["logistic"]
    return (
        "all", "", "", f"{mine.samples:,}", "", estimate_text(mine.auc), f"{logistic.auc.value:.3f}",
        estimate_text(mine.brier, 4), f"{constant.brier.value:.4f}", f"{logistic.brier.value:.4f}",
        estimate_text(mine.ece), difference(result.together.comparisons[0].log_loss),
    )


def importance_cells(outcome: LearnedOutcome) -> list[tuple[str, ...]]:
    """The features that matter most as rows of ``IMPORTANCE_COLUMNS``."""
    return [
        (one.name, _thousandths(one.permutation), _thousandths(one.permutation_error), f"{one.contribution:.4f}")
        for one in outcome.importance[:MOST_FEATURES_SHOWN]
    ]


def reliability_cells(outcome: LearnedOutcome) -> list[tuple[str, ...]]:
    """The reliability curve as rows of ``RELIABILITY_COLUMNS``."""
    return [
        (f"{one.mean_probability:.3f}", f"{one.share:.3f}", f"{one.share_low:.3f} to {one.share_high:.3f}",
         f"{one.count:,}")
        for one in outcome.result.reliability
    ]


def _thousandths(value: float) -> str:
    return fmt.UNKNOWN if math.isnan(value) else f"{value * _MILLI:+.2f} ‰"


def learned_verdict(outcome: LearnedOutcome) -> str:
    """What the walk-forward says of a model, as a sentence."""
    together = outcome.result.together
    constant = together.comparisons[0]
    better = constant.log_loss.high < 0.0
    above = together.scores.auc.low > 0.5
    if better and above:
        return "It beats the constant beyond chance; whether that pays its costs, the bets say."
    if above:
        return "It ranks better than chance; its probabilities are not better than the constant's beyond doubt."
    return "Nothing here is beyond chance: a constant probability does as well."


def outcome_lines(outcome: LearnedOutcome, folder: Path, usable: bool) -> list[str]:
    """One model as lines."""
    together = outcome.result.together
    lines = [
        f"{outcome.learner}: model {outcome.model_id[:16]} in {folder / outcome.folder}, calibration "
        f"{outcome.calibration}",
        *aligned([FOLD_COLUMNS, *map(fold_cells, outcome.result.folds), together_cells(outcome)]),
        f"  net of costs  {bets(together.all_bets)}; the fifth with the strongest conviction "
        f"{bets(together.strong_bets)}",
        "  matters most  " + ", ".join(
            f"{one.name} {_thousandths(one.permutation)}" for one in outcome.importance[:5]
        ),
        f"  {learned_verdict(outcome)}",
    ]
    return [*lines, f"  use: --model {folder / outcome.folder}"] if usable else lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """*rows* as lines whose columns stand below each other."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def learning_lines(document: LearningDocument, folder: Path) -> list[str]:
    """What a training gave, for a person."""
    data = document.data
    lines = [
        f"{data.samples:,} samples ({document.independent_samples:,.0f} independent at most) of "
        f"{', '.join(data.symbols)}, {iso(data.first_ns)[:10]} to {iso(data.last_ns)[:10]}; {document.positives:.1%} "
        "came out",
    ]
    for outcome in document.models:
        lines += ["", *outcome_lines(outcome, folder, document.kind == SIGNAL)]
    found = [one.told for one in document.leakage] or ["none found"]
    return [
        *lines, "", f"leakage ({', '.join(document.leakage_checks)}): {'; '.join(found)}",
        f"written: {folder}; {document.elapsed_s:,.0f} s"
        + (f", {document.resumed_steps} steps were there already" if document.resumed_steps else ""),
    ]


def score_words(scores: ProbabilityScores) -> str:
    """The scores of all tests in a few words."""
    return (
        f"AUC {estimate_text(scores.auc)}, Brier {estimate_text(scores.brier, 4)}, ECE {estimate_text(scores.ece)} "
        f"(noise alone {scores.ece_if_calibrated:.3f}), log loss {estimate_text(scores.log_loss, 4)}, {scores.blocks} "
        "blocks of time"
    )


def bets_words(together: UnseenResult) -> str:
    """What the bets of all tests made, in a few words."""
    return (
        f"net of fee, spread, slippage and funding: {bets(together.all_bets)}; the fifth with the strongest conviction "
        f"{bets(together.strong_bets)}"
    )
