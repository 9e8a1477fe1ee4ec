"""``learning.json``: what a training was of, what it gave, and how it was found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import DataError
from quantum_trader.domain.private_files import read_private
from quantum_trader.lab.learning.evidence_file import LeakageFinding
from quantum_trader.lab.learning.fold_results import LearnerResult
from quantum_trader.lab.learning.importance import FeatureImportance
from quantum_trader.models.learned.artefact import LearningData
from quantum_trader.policy.storage import write_atomically

LEARNING_FILE: Final = "learning.json"


class LearnedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One trained learner."""

    learner: str
    folder: str  # within the training's folder
    model_id: str
    calibration: str  # platt, isotonic or none: of the model that is kept
    result: LearnerResult
    importance: tuple[FeatureImportance, ...]  # the largest first
    additivity_error: float  # of SHAP values, as a share of the margins' size


class LearningDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A training that is done."""

    session: str
    kind: str  # signal or meta-label
    identity: dict[str, Any]  # settings and data that decide the models
    data: LearningData
    positives: float  # weighted share of the samples whose label is 1
    independent_samples: float  # sum of the samples' uniqueness, at most: overlapping labels share what they tell
    versions: dict[str, str]
    begun_ns: int
    ended_ns: int
    elapsed_s: float  # of this process
    resumed_steps: int  # that an earlier process had done
    leakage_checks: tuple[str, ...]
    leakage: tuple[LeakageFinding, ...]
    models: tuple[LearnedOutcome, ...]


def save_learning(folder: Path, document: LearningDocument) -> None:
    """Write ``learning.json``: with it a training is done. A figure that is not known is null."""
    text = msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)
    write_atomically(folder / LEARNING_FILE, text + b"\n")


def load_learning(folder: Path) -> LearningDocument | None:
    """The document of a training that is done; None where there is none. Raises DataError for a damaged one."""
    path = folder / LEARNING_FILE
    try:
        plain = msgspec.json.decode(read_private(path))
        return msgspec.convert(_with_unknowns(plain), LearningDocument)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DataError(f"{path}: is not what a training writes: {error}; name another folder") from None


def _with_unknowns(value: Any) -> Any:
    """*value* with NaN for null: what a figure was that JSON cannot write."""
    if isinstance(value, dict):
        return {key: _with_unknowns(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_unknowns(each) for each in value]
    return float("nan") if value is None else value
