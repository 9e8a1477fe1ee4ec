"""Training a model of signals: a purged walk-forward that says what it is worth, then the model on all samples.

1. The samples are cut into tests in order of time. For each test every learner is fitted on what was known before it.
2. The first test only calibrates. Each later one is calibrated on the predictions of those before it, which were made
   by models that had not seen them, and is scored against a constant and a logistic regression.
3. The model that is kept is fitted on all samples, in the same way, and calibrated on the predictions of all tests.

Everything that computes for long is a step that is kept when it is done: see ``learning_steps``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np

from quantum_trader.lab.learning.fold_results import (
    FoldMargins,
    LearnerResult,
    UnseenPredictions,
    WalkForwardBaselines,
    final_calibration,
    score_baselines,
    score_walk_forward,
)
from quantum_trader.lab.learning.importance import (
    Contributions,
    FeatureImportance,
    contributions_of,
    importance_of,
    permutation_losses,
)
from quantum_trader.lab.learning.learners import fit_learner, fit_logistic
from quantum_trader.lab.learning.learning_settings import LearningSettings
from quantum_trader.lab.learning.learning_steps import LearningSteps, StepArrays
from quantum_trader.lab.learning.probability_scores import auc_of
from quantum_trader.lab.learning.purged_folds import PurgedFold, purged_walk_forward
from quantum_trader.lab.learning.training_table import SampleTable
from quantum_trader.models.learned.artefact import BOOSTING, ModelArrays
from quantum_trader.models.learned.calibration import Calibration
from quantum_trader.models.learned.linear import LinearArrays
from quantum_trader.models.learned.trees import TreeArrays

_LOGISTIC: Final = "logistic"
_FINAL: Final = "final"


class LearningLook(msgspec.Struct, frozen=True, kw_only=True):
    """How far a training is, and what its last step gave."""

    step: int  # that are done
    steps: int
    name: str  # of the last one, in words
    auc: float  # on its test, before calibration; NaN for a step without a test
    elapsed_s: float
    eta_s: float  # NaN until it is known


class LearningOptions(NamedTuple):
    """How a training is run; none of it changes the models."""

    look: Callable[[LearningLook], None]
    stop: Callable[[], bool]
    threads: int = 1
    clock: Callable[[], float] = time.monotonic  # seconds


class TrainedLearner(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One learner, trained on all samples, and what its walk-forward says of it."""

    learner: str
    arrays: ModelArrays
    base_margin: float
    calibration: Calibration
    calibration_method: str
    result: LearnerResult
    unseen: UnseenPredictions  # of the scored tests
    importance: tuple[FeatureImportance, ...]
    additivity_error: float


class _Step(NamedTuple):
    """A step by its file's name, what it is in words, how it is made, and the test it is judged on."""

    name: str
    words: str
    make: Callable[[], StepArrays]
    fold: PurgedFold | None = None


class Trained(Protocol):
    """Where a step's arrays are looked up."""

    def __getitem__(self, name: str, /) -> StepArrays: ...


def train_learners(
    table: SampleTable, settings: LearningSettings, steps: LearningSteps, options: LearningOptions
) -> tuple[TrainedLearner, ...] | None:
    """Train *settings*' learners on *table*; None where it was stopped. *steps* have begun.

    Raises InputError where the samples are too few for the folds, StateError where a step cannot be kept.
    """
    folds = purged_walk_forward(
        table.starts_ns, table.ends_ns, settings.folds, settings.embargo_ns, first_share=settings.first_share
    )
    made: dict[str, StepArrays] = {}
    planned = _steps(table, settings, folds, options.threads)
    begun, fresh = options.clock(), 0
    for place, step in enumerate(planned, 1):
        fresh += not steps.done(step.name)
        made[step.name] = steps.result(step.name, step.make)
        passed = options.clock() - begun
        left = passed / fresh * (len(planned) - place) if fresh else np.nan
        options.look(LearningLook(
            step=place, steps=len(planned), name=step.words, auc=_step_auc(table, step, made[step.name]),
            elapsed_s=passed, eta_s=float(left),
        ))
        if options.stop():
            return None
    logistic = [made[f"fold-{fold.number}-{_LOGISTIC}"]["margins"] for fold in folds]
    baselines = score_baselines(table, folds, logistic)
    return tuple(_trained(table, settings, folds, learner, made, baselines) for learner in settings.learners)


def _steps(
    table: SampleTable, settings: LearningSettings, folds: tuple[PurgedFold, ...], threads: int
) -> list[_Step]:
    """Every step of the training in order."""
    found = []
    for fold in folds:
        words = f"fold {fold.number} of {len(folds)}"
        found.append(_Step(
            f"fold-{fold.number}-{_LOGISTIC}", f"{words}, logistic baseline", partial(_fold_baseline, table, fold), fold
        ))
        for learner in settings.learners:
            make = partial(_fold_step, table, fold, learner, settings, threads)
            found.append(_Step(f"fold-{fold.number}-{learner}-learner", f"{words}, {learner}", make, fold))
    for learner in settings.learners:
        make = partial(_final_step, table, learner, settings, threads)
        found.append(_Step(f"{_FINAL}-{learner}", f"{learner} on all samples", make))
    return found


def _fold_baseline(table: SampleTable, fold: PurgedFold) -> StepArrays:
    return {"margins": fit_logistic(table, fold.train).margins(table.rows[fold.test])}


def _fold_step(
    table: SampleTable, fold: PurgedFold, learner: str, settings: LearningSettings, threads: int
) -> StepArrays:
    """The margins of a fold's test, and what shuffling each feature costs there."""
    fitted = fit_learner(learner, table, fold.train, settings, threads)
    found: StepArrays = {"margins": fitted.margins(table.rows[fold.test])}
    if settings.importance_rows and fold.number > 1:
        found["permutation"] = permutation_losses(fitted, table, fold.test, settings.importance_rows, settings.seed)
    return found


def _final_step(table: SampleTable, learner: str, settings: LearningSettings, threads: int) -> StepArrays:
    """The arrays of a learner that was fitted on all samples, and the SHAP values of the newest ones."""
    fitted = fit_learner(learner, table, np.arange(len(table.labels), dtype=np.int64), settings, threads)
    newest = table.rows[max(0, len(table.rows) - settings.contribution_rows) :] if settings.contribution_rows else (
        table.rows[:0]
    )
    told = contributions_of(fitted, newest)
    return {
        **{f"arrays.{name}": array for name, array in msgspec.structs.asdict(fitted.arrays).items()},
        "base_margin": np.array(fitted.base_margin), "contributions": told.values, "expected": np.array(told.expected),
        "additivity_error": np.array(told.additivity_error),
    }


def _step_auc(table: SampleTable, step: _Step, made: StepArrays) -> float:
    if step.fold is None:
        return float("nan")
    test = step.fold.test
    return auc_of(table.labels[test], made["margins"], table.weights[test])


def _trained(
    table: SampleTable, settings: LearningSettings, folds: tuple[PurgedFold, ...], learner: str, made: Trained,
    baselines: WalkForwardBaselines,
) -> TrainedLearner:
    """What the steps of one learner amount to."""
    margins = [
        FoldMargins(
            fold=fold, learner=made[f"fold-{fold.number}-{learner}-learner"]["margins"],
            logistic=made[f"fold-{fold.number}-{_LOGISTIC}"]["margins"],
        )
        for fold in folds
    ]
    result, unseen = score_walk_forward(table, margins, baselines, settings.embargo_ns)
    final, choice = made[f"{_FINAL}-{learner}"], final_calibration(table, margins, settings.embargo_ns)
    kind: type[Any] = TreeArrays if learner == BOOSTING else LinearArrays
    shuffled = [made[f"fold-{fold.number}-{learner}-learner"].get("permutation") for fold in folds[1:]]
    contributions = Contributions(
        values=final["contributions"], expected=float(final["expected"]),
        additivity_error=float(final["additivity_error"]),
    )
    known = [one for one in shuffled if one is not None]
    permutations = np.array(known) if known else np.zeros((0, len(table.names)))
    return TrainedLearner(
        learner=learner, arrays=kind(**{name: final[f"arrays.{name}"] for name in kind.__struct_fields__}),
        base_margin=float(final["base_margin"]), calibration=choice.calibration, calibration_method=choice.method,
        result=result, unseen=unseen, importance=importance_of(table.names, permutations, contributions),
        additivity_error=contributions.additivity_error,
    )
