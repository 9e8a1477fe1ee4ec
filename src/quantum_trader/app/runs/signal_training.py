"""Training models of signals, and meta-labels: the samples, the plan, where the results go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.runs.journal_commands import BOOK
from quantum_trader.app.runs.model_bars import bars_of
from quantum_trader.app.runs.pilot_daily import DailyPlace
from quantum_trader.app.runs.registries import open_registry
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, QuantumTraderError
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import Event, ModelEvent, TrainingEvent
from quantum_trader.lab.learning.evidence_file import ModelEvidence, decode_evidence, evidence_in
from quantum_trader.lab.learning.leakage_checks import Recompute
from quantum_trader.lab.learning.learning_result import LEARNING_FILE, LearnedOutcome, LearningDocument
from quantum_trader.lab.learning.learning_run import LearningPlan
from quantum_trader.lab.learning.learning_settings import LearningSettings
from quantum_trader.lab.learning.learning_steps import PLAN_FILE, STEPS
from quantum_trader.lab.learning.meta_label_samples import meta_label_samples
from quantum_trader.lab.learning.probability_scores import (
    auc_of,
    expected_calibration_error,
    log_losses,
    squared_errors,
)
from quantum_trader.lab.learning.signal_samples import LabelSettings, signal_samples
from quantum_trader.lab.learning.tracker import LearningSession, LearningTracker
from quantum_trader.lab.learning.training_table import SampleTable
from quantum_trader.lab.registry.state import ALIASES
from quantum_trader.market.arrays import Floats
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.intervals import INTERVALS, interval_name, interval_ns
from quantum_trader.market.recording import Recording
from quantum_trader.models.entry_features import ENTRY_FEATURES_HASH
from quantum_trader.models.learned.artefact import META_LABEL, SIGNAL
from quantum_trader.models.learned.feature_list import WINDOW, signal_features_hash
from quantum_trader.models.learned.signal_features import NEEDS, panel_features
from quantum_trader.models.port import Exit
from quantum_trader.models.whole_bars import WholeBars

PRODUCER: Final = "model-training"
MODEL_PLACE: Final = DailyPlace("models", f"{STEPS}/{PLAN_FILE}", LEARNING_FILE, "model-daily", "learning")
ACTOR: Final = "model train"
DEFAULT_BARS: Final = "1h"
LEAST_COMMON: Final = 500  # samples that a model and the champion both predicted, to say how far one is better
_RING_BYTES: Final = 1 << 20


META_LABEL_PLACE: Final = DailyPlace(
    "meta-labels", f"{STEPS}/{PLAN_FILE}", LEARNING_FILE, "meta-label-daily", "meta-label"
)


class LearningTask(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The samples of a training, and what is trained on them."""

    table: SampleTable
    plan: LearningPlan


def signal_task(
    recording: Recording, labels: LabelSettings, settings: LearningSettings, bars: str = "", exit_on: Exit | None = None
) -> LearningTask:
    """The samples that *recording* gives in bars of *bars* (its own where empty), and the plan of their training.

    Raises ConfigError where the recording's bars do not make them, DataError where there are too few.
    """
    name = bars or (DEFAULT_BARS if NS_PER_HOUR % recording.interval_ns == 0 else recording.interval)
    if name not in INTERVALS or interval_ns(name) % recording.interval_ns:
        made = [one for one, length in INTERVALS.items() if length % recording.interval_ns == 0]
        raise ConfigError(f"--model-bars {bars!r}: bars of {recording.interval} make {', '.join(made)}")
    whole = bars_of(recording, interval_ns(name))
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    table = signal_samples(whole, instruments, labels, recording.source)
    plan = LearningPlan(
        kind=SIGNAL, name=f"signal-{name}-{labels.horizon}", settings=settings, facts=_facts(labels),
        features_hash=signal_features_hash(name), data_hash=recording.fingerprint, bars=name,
        horizon=labels.horizon, exit=exit_on or Exit(),
        recompute=_recompute(table, whole),
    )
    return LearningTask(table=table, plan=plan)


def meta_label_task(
    state: Path, until_ns: int, symbols: Sequence[str] | None, settings: LearningSettings,
    notice: Callable[[str], None],
) -> LearningTask:
    """The signals in the journal of *state* with their results, and the plan of the training of a meta-label.

    Raises StateError where there is no journal, DataError where it holds no results.
    """
    samples = meta_label_samples(state, until_ns, symbols, notice)
    table = samples.table
    plan = LearningPlan(
        kind=META_LABEL, name="meta-label", settings=settings, facts={"labels.source": "shadow trades"},
        features_hash=ENTRY_FEATURES_HASH, data_hash=table.content_hash,
        recorded=samples.recorded,
    )
    return LearningTask(table=table, plan=plan)


def _facts(labels: LabelSettings) -> dict[str, Any]:
    return {f"labels.{key}": value for key, value in msgspec.structs.asdict(labels).items()}


def _recompute(table: SampleTable, bars: WholeBars) -> Recompute:
    """Features of a sample from a panel that ends with its decision, as a live process makes them."""
    place_of = {symbol: place for place, symbol in enumerate(bars.symbols)}

    def again(sample: int) -> Floats:
        row = (int(table.starts_ns[sample]) - bars.length_ns - int(bars.opens[0])) // bars.length_ns
        panel = bars.panel(NEEDS, row, WINDOW)
        symbol = place_of[table.symbols[int(table.symbol[sample])]]
        return np.asarray(panel_features(panel)[symbol], dtype=np.float64)

    return again


def record_training(state: Path, folder: Path, document: LearningDocument, registry: Path | None) -> None:
    """Write the training in *folder* and its models into the journal and the trade journal of *state*.

    Each learner is a session of the learning tracker, beside the champion in *registry* where there is one.
    """
    with EventLogger(state / "journal", PRODUCER, ring_bytes=_RING_BYTES) as logger:
        for event in training_events(document):
            logger.log(event)
    champion = champion_evidence(registry, document.kind)
    with LearningTracker(state / BOOK) as tracker:
        for one in document.models:
            tracker.record_session(learning_session(document, one, evidence_in(folder / one.folder, one.model_id),
                                                    champion))


def champion_evidence(registry: Path | None, kind: str) -> ModelEvidence | None:
    """The evidence of the champion of *kind* in *registry*; None where there is none that can be used."""
    if registry is None or not registry.is_dir():
        return None
    try:
        found = open_registry(registry).load_model(ALIASES[0], kind)
        artefact = found.artefact
        return decode_evidence(artefact.evidence, artefact.model_id, registry)
    except QuantumTraderError:
        return None


def learning_session(
    document: LearningDocument, one: LearnedOutcome, evidence: ModelEvidence, champion: ModelEvidence | None
) -> LearningSession:
    """One learner's training as the tracker keeps it: its figures, and the champion's on the same samples."""
    before, chosen = {}, np.arange(len(evidence.keys))
    if champion is not None:
        _, mine, theirs = np.intersect1d(evidence.keys, champion.keys, assume_unique=True, return_indices=True)
        if len(mine) >= LEAST_COMMON:
            before, chosen = _figures(champion, theirs), mine
    return LearningSession(
        session_id=f"{document.session}-{one.learner}", kind=one.learner, started_ns=document.begun_ns,
        ended_ns=max(document.ended_ns, document.begun_ns), data_hash=document.data.content_hash,
        rows=document.data.samples, data_from_ns=document.data.first_ns, data_until_ns=document.data.last_ns,
        parameters=document.identity, seed=int(document.identity.get("seed", 0)), model_id=one.model_id,
        before=before, after=_figures(evidence, chosen),
        importance={each.name: each.permutation for each in one.importance if np.isfinite(each.permutation)},
    )


def _figures(evidence: ModelEvidence, chosen: Any) -> dict[str, float | None]:
    """AUC, ECE, Brier score and log loss of the samples *chosen*, each counted once."""
    labels, said = evidence.labels[chosen], evidence.probabilities[chosen]
    found = {
        "auc": auc_of(labels, said), "ece": expected_calibration_error(labels, said),
        "brier": float(squared_errors(labels, said).mean()), "log_loss": float(log_losses(labels, said).mean()),
    }
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def training_events(document: LearningDocument) -> list[Event]:
    """For each learner: that its training has ended, and that its model is there."""
    events: list[Event] = []
    shared: dict[str, Any] = {"trace_id": document.session, "symbol": "", "ts_ns": document.ended_ns}
    for one in document.models:
        scores = one.result.together.scores
        metrics = {
            name: float(value) for name, value in (
                ("auc", scores.auc.value), ("ece", scores.ece.value), ("brier", scores.brier.value),
                ("log_loss", scores.log_loss.value), ("samples", float(scores.samples)),
            ) if np.isfinite(value)
        }
        events.append(TrainingEvent(
            **shared, session_id=f"{document.session}-{one.learner}", rows=document.data.samples,
            seed=int(document.identity.get("seed", 0)),
            duration_s=(document.ended_ns - document.begun_ns) / NS_PER_SECOND,
            data_hash=document.data.content_hash, metrics=metrics, parameters=document.identity,
        ))
        events.append(ModelEvent(
            **shared, model_id=one.model_id, alias="", change="trained", actor=ACTOR,
            reason="trained; it may be promoted only when its evidence passes", metrics=metrics,
        ))
    return events


def bars_words(recording: Recording) -> str:
    """The bars of *recording* in a few words."""
    return f"{recording.report.bars:,} bars of {interval_name(recording.interval_ns)}, {', '.join(recording.symbols)}"
