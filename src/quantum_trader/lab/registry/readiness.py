"""What stands between a model and the alias champion: the evidence that its kind asks for.

A model of signals and a meta-label are judged by their out-of-sample predictions
(``ModelEvolutionTracker.is_ready_for_hamilton``), a pilot by what the evaluation of all seeds of its training has
written on its card. Whether a pilot may trade is asked again in the run (``pilot promote``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantum_trader.lab.registry.kinds import PILOT
from quantum_trader.models.learned.artefact import META_LABEL, SIGNAL, LearnedArtefact
from quantum_trader.pilot.artefact import Artefact
from quantum_trader.policy.pilot_evidence import unmet_seeds

if TYPE_CHECKING:
    from quantum_trader.lab.learning.evidence_file import ModelEvidence
    from quantum_trader.lab.registry.registry import ModelRegistry


def promotion_blockers(registry: ModelRegistry, kind: str, model_id: str) -> tuple[str, ...]:
    """A sentence for each condition that the model does not meet; empty where it may become the champion of *kind*.

    A kind without conditions has none. Raises DataError where the model may not be used.
    """
    if kind == PILOT:
        artefact = registry.load_model(model_id, kind).artefact
        assert isinstance(artefact, Artefact)
        return tuple(one.text for one in unmet_seeds(artefact.card.metrics))
    if kind not in (SIGNAL, META_LABEL):
        return ()
    from quantum_trader.lab.learning.evolution import ModelEvolutionTracker  # here: a live process does not load it

    champion = registry.state.aliases.get(kind, {}).get("champion", "")
    tracker = ModelEvolutionTracker(lambda one: registered_evidence(registry, kind, one), lambda: champion)
    return tracker.is_ready_for_hamilton(model_id).blockers


def registered_evidence(registry: ModelRegistry, kind: str, model_id: str) -> ModelEvidence:
    """What the evaluation of the model of *kind* left behind; DataError where it cannot be used."""
    from quantum_trader.lab.learning.evidence_file import decode_evidence

    artefact = registry.load_model(model_id, kind).artefact
    assert isinstance(artefact, LearnedArtefact)
    return decode_evidence(artefact.evidence, model_id, Path(model_id))
