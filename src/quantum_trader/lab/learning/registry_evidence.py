"""The evidence of models that lie in a registry."""

from __future__ import annotations

import hashlib
from typing import Final

from quantum_trader.domain.errors import DataError
from quantum_trader.domain.private_files import read_plain
from quantum_trader.lab.learning.evidence_file import (
    EVIDENCE_FILE,
    MOST_EVIDENCE_BYTES,
    ModelEvidence,
    decode_evidence,
)
from quantum_trader.lab.learning.evolution import ModelEvolutionTracker, ReadinessRules
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.disk import MODELS
from quantum_trader.lab.registry.registry import CHAMPION

_HOW: Final = "register a model with its evidence"


def registry_evidence(registry: ModelRegistry, name: str, kind: str) -> ModelEvidence:
    """The evidence of the model *name* (an alias of *kind*, an id, or its first digits), which is verified first.

    Raises DataError for a model that may not be used, or without evidence.
    """
    model_id = registry.resolve(name, kind)
    checked = registry.verify_model(model_id, kind)
    if checked.record is None or not checked.ok:
        raise DataError(f"model {model_id[:12]}: {'; '.join(checked.troubles)}; {_HOW}")
    stated = {file.name: file.sha256 for file in checked.record.files}.get(EVIDENCE_FILE)
    if stated is None:
        raise DataError(f"model {model_id[:12]}: has no {EVIDENCE_FILE}, which its predictions stand in; {_HOW}")
    path = registry.folder / MODELS / model_id / EVIDENCE_FILE
    try:
        content = read_plain(path, MOST_EVIDENCE_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != stated:
        raise DataError(f"{path}: was altered since it was verified; register the model again")
    return decode_evidence(content, model_id, path)


def registry_tracker(
    registry: ModelRegistry, kind: str, rules: ReadinessRules | None = None
) -> ModelEvolutionTracker:
    """A tracker of the models of *kind* in *registry*, against its champion; names may be aliases."""
    return ModelEvolutionTracker(
        lambda name: registry_evidence(registry, name, kind),
        lambda: registry.state.aliases.get(kind, {}).get(CHAMPION, ""), rules,
    )
