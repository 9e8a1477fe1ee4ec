"""Trained models as folders: the card, the arrays and the evidence of a learner that was trained."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import make_missing_folders, why_unwritable
from quantum_trader.lab.learning.evidence_file import (
    MOST_REFERENCE_ROWS,
    Keys,
    LeakageFinding,
    ModelEvidence,
    encode_evidence,
)
from quantum_trader.lab.learning.evolution import EVIDENCE_P_VALUE
from quantum_trader.lab.learning.fold_results import LearnerResult
from quantum_trader.lab.learning.leakage_checks import (
    FEATURE_TIMES,
    RECORDED,
    SINGLE_FEATURE,
    TRUNCATION,
    Recompute,
    check_feature_times,
    check_single_features,
    check_truncation,
)
from quantum_trader.lab.learning.trainer import TrainedLearner
from quantum_trader.lab.learning.training_table import SampleTable
from quantum_trader.market.arrays import Ints
from quantum_trader.models.learned.artefact import (
    ARRAYS_FILE,
    CARD_FILE,
    EVIDENCE_FILE,
    LearnedArtefact,
    LearnedCard,
    arrays_hash,
)
from quantum_trader.models.port import Exit
from quantum_trader.policy.storage import write_atomically

MOST_EVIDENCE_SAMPLES: Final = 1_000_000  # 48 MB: a model's file may have 64 MiB
MOST_REFERENCE_NUMBERS: Final = 1_000_000  # of all features together: 8 MB
TRUNCATED_ROWS: Final = 200  # samples whose features are computed anew from what was known then


class CardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a card states that does not come from the training."""

    kind: str  # signal or meta-label
    name: str
    features_hash: str
    training: dict[str, Any]
    made_with: str
    created_ns: int
    bars: str = ""
    horizon: str = ""
    exit: Exit = Exit()


class LeakageReport(msgspec.Struct, frozen=True, kw_only=True):
    """The checks that were made of the features, and what they found."""

    checks: tuple[str, ...]
    findings: tuple[LeakageFinding, ...]


def check_leakage(
    table: SampleTable, recompute: Recompute | None, recorded: tuple[LeakageFinding, ...] | None = None
) -> LeakageReport:
    """Look for features of *table* that know the future.

    *recompute* gives a sample's features from what was known at its start; None where that cannot be had, and then
    the check by truncation is not made. *recorded* is what :func:`check_recorded` found; None where it was not made.
    """
    checks, labels = [FEATURE_TIMES, SINGLE_FEATURE], table.labels.astype(np.float64)
    found = [
        *check_feature_times(table.names, table.known_ns[:, None], table.starts_ns),
        *check_single_features(table.names, table.rows.astype(np.float64), labels),
    ]
    if recompute is not None:
        rows = np.unique(np.linspace(0, len(labels) - 1, TRUNCATED_ROWS).round().astype(np.int64)).tolist()
        found += check_truncation(table.names, table.rows.astype(np.float64), recompute, rows, tolerance=0.0)
        checks.append(TRUNCATION)
    if recorded is not None:
        found += recorded
        checks.append(RECORDED)
    return LeakageReport(checks=tuple(sorted(checks)), findings=tuple(found))


def kept_samples(keys: Keys) -> Ints:
    """The places of the samples with *keys* (n,) that evidence keeps, in their order: all up to a million.

    Of more, those with the smallest keys: a draw that is the same in every training, so that models share samples.
    """
    if len(keys) <= MOST_EVIDENCE_SAMPLES:
        return np.arange(len(keys), dtype=np.int64)
    return np.sort(np.argpartition(keys, MOST_EVIDENCE_SAMPLES)[:MOST_EVIDENCE_SAMPLES]).astype(np.int64)


def evidence_of(table: SampleTable, trained: TrainedLearner, features_hash: str, leakage: LeakageReport) -> bytes:
    """The evidence file of a trained learner: the predictions of its walk-forward's scored tests."""
    kept = kept_samples(table.keys[trained.unseen.test])
    test = trained.unseen.test[kept]
    newest = int(table.ends_ns.max())
    rows = min(MOST_REFERENCE_ROWS, len(table.labels), max(1, MOST_REFERENCE_NUMBERS // len(table.names)))
    picked = np.unique(np.linspace(0, len(table.labels) - 1, rows).round().astype(np.int64))
    return encode_evidence(ModelEvidence(
        model_id="", created_ns=newest,  # not the time of training: the same training gives the same file
        data_from_ns=int(table.starts_ns[0]), data_until_ns=newest, features_hash=features_hash,
        keys=table.keys[test],
        probabilities=trained.unseen.probabilities[kept], labels=table.labels[test].astype(np.float64),
        starts_ns=table.starts_ns[test], ends_ns=table.ends_ns[test], weights=table.weights[test],
        feature_names=table.names, leakage_checks=leakage.checks, leakage=leakage.findings,
        reference_features=table.rows[picked].astype(np.float64),
    ))


def model_metrics(result: LearnerResult) -> dict[str, float | None]:
    """The figures of a walk-forward that a card states."""
    scores, bets = result.together.scores, result.together
    found: dict[str, float | None] = {"samples": float(scores.samples), "blocks": float(scores.blocks)}
    for name in ("auc", "brier", "log_loss", "ece"):
        estimate = getattr(scores, name)
        found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    for name, baseline in result.baselines.items():
        found |= {f"{name}_auc": baseline.auc.value, f"{name}_brier": baseline.brier.value,
                  f"{name}_log_loss": baseline.log_loss.value}
    found |= {
        EVIDENCE_P_VALUE: result.p_value, "net_bps": bets.all_bets.net_bps, "strong_net_bps": bets.strong_bets.net_bps,
    }
    return {name: value if value is not None and np.isfinite(value) else None for name, value in found.items()}


def trained_artefact(
    table: SampleTable, trained: TrainedLearner, facts: CardFacts, leakage: LeakageReport,
    metrics: dict[str, float | None],
) -> LearnedArtefact:
    """The artefact of a learner that was trained on *table*."""
    evidence = evidence_of(table, trained, facts.features_hash, leakage)
    card = LearnedCard(
        kind=facts.kind, learner=trained.learner, name=f"{facts.name}-{trained.learner}",  # type: ignore[arg-type]
        created_ns=facts.created_ns, features=table.names, features_hash=facts.features_hash,
        base_margin=trained.base_margin, calibration=trained.calibration, data=table.snapshot(),
        training=facts.training, metrics=metrics, arrays_hash=arrays_hash(trained.arrays),
        evidence_hash=hashlib.sha256(evidence).hexdigest(), bars=facts.bars, horizon=facts.horizon, exit=facts.exit,
        made_with=facts.made_with,
    )
    return LearnedArtefact(card, trained.arrays, evidence)


def save_learned(folder: Path, artefact: LearnedArtefact) -> None:
    """Write *artefact* into *folder*, which is made where it is missing; what it held before is replaced.

    The card is written last: a folder without one is not finished. Raises StateError where it cannot be written.
    """
    contents = artefact.encoded()
    try:
        make_missing_folders(folder)
        (folder / CARD_FILE).unlink(missing_ok=True)
        for name in (EVIDENCE_FILE, ARRAYS_FILE, CARD_FILE):
            write_atomically(folder / name, contents[name])
    except OSError as error:
        raise StateError(f"{folder}: cannot be written ({why_unwritable(folder, error)})") from error
