"""A walk-forward of the pilot: each fold is trained in its own folder, then tested on the bars after its embargo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from quantum_trader import __version__
from quantum_trader.app.runs.pilot_evaluation import (
    StoredBars,
    facts_of_cards,
    labels_of,
    tested_fold,
    write_cards,
)
from quantum_trader.app.runs.pilot_training import TrainingOptions, TrainingScreen, train_pilot
from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.pilot.evaluation import EvaluationSettings, Tell, TestedFold, evaluate_pilots
from quantum_trader.lab.pilot.evaluation_result import PilotEvaluation
from quantum_trader.lab.pilot.folds import FoldRanges, Range, embargo_ns, folds_of
from quantum_trader.lab.pilot.training_market import PilotTrainingSettings, training_market
from quantum_trader.lab.pilot.training_plan import TrainingPlan
from quantum_trader.lab.pilot.training_result import seed_folder
from quantum_trader.market.recording import moment_ns
from quantum_trader.pilot.artefact import Artefact, load_artefact
from quantum_trader.pilot.training.device import compiled_programs_in, training_versions


class WalkForwardPlan(NamedTuple):
    """What is trained and tested."""

    bars: StoredBars
    settings: PilotTrainingSettings
    train: Range
    test: Range
    folds: int
    steps: int  # of each seed and fold
    seeds: tuple[int, ...]

    @property
    def ranges(self) -> tuple[FoldRanges, ...]:
        """The folds. Raises ConfigError as ``folds_of``."""
        embargo = embargo_ns(self.settings.observation, self.settings.environment.episode_bars)
        return folds_of(self.train, self.test, self.folds, embargo)


def range_of(option: str, text: str) -> Range:
    """The range of *text* like "2023-01-01:2023-12-31"; both days belong to it. ConfigError for anything else."""
    first, colon, last = text.partition(":")
    if not colon or not first or not last:
        raise ConfigError(f"{option} {text!r}: must be FIRST:LAST, such as 2023-01-01:2023-12-31")
    found = Range(from_ns=moment_ns(first), until_ns=moment_ns(last, end=True))
    if found.until_ns <= found.from_ns:
        raise ConfigError(f"{option} {text!r}: is empty; the last day must not lie before the first")
    return found


def fold_folder(out: Path, number: int) -> Path:
    """Where fold *number* is trained."""
    return out / f"fold-{number}"


def trained_folds(
    plan: WalkForwardPlan, out: Path, screen: TrainingScreen, options: TrainingOptions
) -> list[list[Artefact]] | None:
    """Train every fold in *out*, going on from what is there; None where it was stopped.

    Raises as ``train_pilot``; DataError where a training range has no bars.
    """
    found = []
    versions = " ".join(f"{name} {number}" for name, number in training_versions().items())
    for ranges in plan.ranges:
        folder = fold_folder(out, ranges.number)
        recording = plan.bars.recording(ranges.train.from_ns, ranges.train.until_ns)
        screen.tell(f"fold {ranges.number} of {len(plan.ranges)}: training on {ranges.train.words} of "
                    f"{', '.join(recording.symbols)}")
        market = training_market(recording, plan.settings, f"quantum-trader {__version__} {versions}")
        training = TrainingPlan(
            ppo=plan.settings.ppo, steps=plan.steps, seeds=plan.seeds, curriculum=plan.settings.curriculum,
            facts=market.facts,
        )
        with compiled_programs_in(out / "compiled"):
            if train_pilot(folder, training, market, screen, options) is None:
                return None
        found.append([load_artefact(seed_folder(folder, seed)) for seed in plan.seeds])
    return found


def tested_folds(plan: WalkForwardPlan, trained: Sequence[Sequence[Artefact]], tell: Tell) -> list[TestedFold]:
    """The test of each fold. Raises DataError where a test range has no bars."""
    return [
        tested_fold(
            ranges, plan.bars.recording(ranges.test.from_ns, ranges.test.until_ns), artefacts, labels_of(artefacts),
            tell,
        )
        for ranges, artefacts in zip(plan.ranges, trained, strict=True)
    ]


def walk_forward_result(
    plan: WalkForwardPlan, trained: Sequence[Sequence[Artefact]], out: Path, settings: EvaluationSettings,
    tell: Tell,
) -> PilotEvaluation:
    """Test what was *trained*, and write the figures into the cards of the last fold's pilots."""
    folds = tested_folds(plan, trained, tell)
    last = trained[-1]
    facts: dict[str, Any] = facts_of_cards(folds[-1].replay.recording, last) | {
        "steps": plan.steps, "training": msgspec.to_builtins(plan.settings),
    }
    found = evaluate_pilots(folds, settings, facts=facts, tell=tell)
    folders = [seed_folder(fold_folder(out, len(folds)), seed) for seed in plan.seeds]
    write_cards(folders, last, folds[-1], found, tell)
    return found
