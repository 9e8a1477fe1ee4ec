"""One training in a folder: its steps, its models, its document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader import __version__
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import make_private_folder, why_unwritable
from quantum_trader.lab.learning.evidence_file import LeakageFinding
from quantum_trader.lab.learning.evolution import EVIDENCE_P_VALUE
from quantum_trader.lab.learning.leakage_checks import Recompute
from quantum_trader.lab.learning.learning_result import LearnedOutcome, LearningDocument, load_learning, save_learning
from quantum_trader.lab.learning.learning_settings import LEARNERS, LearningSettings
from quantum_trader.lab.learning.learning_steps import LearningSteps
from quantum_trader.lab.learning.model_folders import (
    CardFacts,
    check_leakage,
    model_metrics,
    save_learned,
    trained_artefact,
)
from quantum_trader.lab.learning.probability_scores import sample_mean
from quantum_trader.lab.learning.required_packages import LEARNING_PACKAGES
from quantum_trader.lab.learning.trainer import LearningOptions, train_learners
from quantum_trader.lab.learning.training_table import SampleTable, independent_samples
from quantum_trader.lab.pilot.training_plan import check_identity
from quantum_trader.lab.trials.record import MODEL, Trial, hash_of_values
from quantum_trader.models.learned.artefact import SIGNAL, load_learned
from quantum_trader.models.port import Exit

MODEL_TRAIN: Final = "model train"
_ID_LETTERS: Final = 12


RecordTrials = Callable[[Sequence[Trial], str], None]  # what was tried, and the run that tried it


class LearningPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained: the same plan on the same samples gives the same models."""

    kind: str  # signal or meta-label
    name: str  # of the models, before the learner's
    settings: LearningSettings
    facts: dict[str, Any]  # how the samples were made, by dotted keys
    features_hash: str
    data_hash: str  # of what the samples were made of: trials on the same data are counted together
    bars: str = ""
    horizon: str = ""
    exit: Exit = Exit()
    recompute: Recompute | None = None
    recorded: tuple[LeakageFinding, ...] | None = None  # what `check_recorded` found; None: it was not made

    def identity(self, table: SampleTable) -> dict[str, Any]:
        """Every setting and fact that decides the models, by its dotted key, as plain values."""
        settings: dict[str, Any] = {}
        for key, value in msgspec.structs.asdict(self.settings).items():
            nested = msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else None
            settings |= {key: value} if nested is None else {f"{key}.{name}": each for name, each in nested.items()}
        stated = {
            "kind": self.kind, "name": self.name, "bars": self.bars, "horizon": self.horizon, "exit": self.exit,
            **settings, **self.facts, "features_hash": self.features_hash, "data.content_hash": table.content_hash,
        }
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(stated))
        return plain


def learner_trials(
    plan: LearningPlan, identity: Mapping[str, Any], outcomes: Sequence[LearnedOutcome] = ()
) -> list[Trial]:
    """A trial for each learner of *plan*, with its figures where it is trained."""
    by_learner = {one.learner: one for one in outcomes}
    found = []
    for learner in plan.settings.learners:
        others = tuple(f"{name}." for name in LEARNERS if name != learner)
        decisive = {
            key: value for key, value in identity.items()
            if key not in ("learners", "data.content_hash") and not key.startswith(others)
        }
        trained = by_learner.get(learner)
        metrics = {} if trained is None else model_metrics(trained.result)
        found.append(Trial(
            source=MODEL_TRAIN, kind=MODEL, label=f"{plan.name}-{learner}",
            settings_hash=hash_of_values({**decisive, "learner": learner}), data_hash=plan.data_hash,
            settings={"learner": learner, "seed": plan.settings.seed, **plan.facts},
            p_value=metrics.get(EVIDENCE_P_VALUE),
            metrics=metrics, model_id="" if trained is None else trained.model_id,
        ))
    return found


def learning_versions() -> dict[str, str]:
    """The versions of this program and of the packages that train. Imports them."""
    found = {module: str(import_module(module).__version__) for module in LEARNING_PACKAGES}
    return {"quantum-trader": __version__, **found}


def session_of_learning(identity: Mapping[str, Any]) -> str:
    """The name of a training in the journal: the same for the same plan and data."""
    digest = hashlib.sha256(msgspec.json.encode(identity, order="deterministic")).hexdigest()
    return f"learning-{digest[:_ID_LETTERS]}"


def train_models(  # what is trained, on what, where and how
    folder: Path, table: SampleTable, plan: LearningPlan, options: LearningOptions,
    tell: Callable[[str], None], now_ns: Callable[[], int], record: RecordTrials = lambda trials, run: None,
) -> LearningDocument | None:
    """Train *plan* on *table* in *folder*, from the steps that are there; None where it was stopped before its end.

    *record* keeps each learner as a trial, before it is trained and with its figures afterwards. A training that is
    done is not done again: its document is returned. Raises ConfigError where the folder holds a training of other
    settings or data, StateError where steps or models cannot be read or written.
    """
    identity, versions = plan.identity(table.checked()), learning_versions()
    done = load_learning(folder)
    if done is not None:
        check_identity(str(folder), done.identity, identity)
        for one in done.models:
            load_learned(folder / one.folder)
        tell(f"{folder}: this training is done; its results stand")
        return done
    steps, begun_s = LearningSteps(folder), options.clock()
    try:
        make_private_folder(folder)
    except OSError as error:
        raise StateError(f"{folder}: cannot be used ({why_unwritable(folder, error)})") from error
    steps.begin(identity, versions, now_ns())
    for notice in steps.notices:
        tell(f"notice: {notice}")
    run = f"{MODEL_TRAIN} {session_of_learning(identity)} {steps.begun_ns}"
    record(learner_trials(plan, identity), run)
    trained = train_learners(table, plan.settings, steps, options)
    if trained is None:
        return None
    leakage = check_leakage(table, plan.recompute, plan.recorded)
    facts = CardFacts(
        kind=plan.kind, name=plan.name, features_hash=plan.features_hash, training=identity,
        made_with=" ".join(f"{name} {number}" for name, number in versions.items()), created_ns=steps.begun_ns,
        bars=plan.bars, horizon=plan.horizon, exit=plan.exit,
    )
    outcomes = []
    for made in trained:
        artefact = trained_artefact(table, made, facts, leakage, model_metrics(made.result))
        save_learned(folder / made.learner, artefact)
        outcomes.append(LearnedOutcome(
            learner=made.learner, folder=made.learner, model_id=artefact.model_id,
            calibration=made.calibration_method, result=made.result, importance=made.importance,
            additivity_error=made.additivity_error,
        ))
    record(learner_trials(plan, identity, outcomes), run)
    document = LearningDocument(
        session=session_of_learning(identity), kind=plan.kind, identity=identity, data=table.snapshot(),
        positives=sample_mean(table.labels.astype(float), table.weights),
        independent_samples=independent_samples(table), versions=versions, begun_ns=steps.begun_ns, ended_ns=now_ns(),
        elapsed_s=options.clock() - begun_s, resumed_steps=steps.resumed, leakage_checks=leakage.checks,
        leakage=leakage.findings, models=tuple(outcomes),
    )
    save_learning(folder, document)
    steps.remove()
    return document


def is_signal_model(document: LearningDocument) -> bool:
    """Whether the models of *document* can be named by ``--model``."""
    return document.kind == SIGNAL
