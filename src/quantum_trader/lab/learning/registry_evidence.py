"""The evidence of models that lie in a registry."""

from __future__ import annotations

from typing import Final

from quantum_trader.domain.errors import DataError
from quantum_trader.lab.learning.evidence_file import ModelEvidence, decode_evidence
from quantum_trader.lab.learning.evolution import ModelEvolutionTracker, ReadinessRules
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.registry import CHAMPION
from quantum_trader.models.learned.artefact import EVIDENCE_FILE

_SHOWN: Final = 12  # digits of an id


def registry_evidence(registry: ModelRegistry, name: str, kind: str) -> ModelEvidence:
    """The evidence of the model *name* (an alias of *kind*, an id, or its first digits), which is verified first.

    Raises DataError for a model that may not be used, or without evidence.
    """
    model = registry.load_model(name, kind)
    model_id = model.record.model_id
    content = model.contents.get(EVIDENCE_FILE)
    if content is None:
        raise DataError(
            f"model {model_id[:_SHOWN]}: has no {EVIDENCE_FILE}, which its predictions stand in; register a model with "
            "its evidence"
        )
    return decode_evidence(content, model_id, f"model {model_id[:_SHOWN]}: {EVIDENCE_FILE}")


def registry_tracker(
    registry: ModelRegistry, kind: str, rules: ReadinessRules | None = None
) -> ModelEvolutionTracker:
    """A tracker of the models of *kind* in *registry*, against its champion; names may be aliases."""
    return ModelEvolutionTracker(
        lambda name: registry_evidence(registry, name, kind),
        lambda: registry.state.aliases.get(kind, {}).get(CHAMPION, ""), rules,
    )
