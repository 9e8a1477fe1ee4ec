"""What stands between a model and the alias champion: the evidence that its kind asks for.

A model of signals and a meta-label are judged by their out-of-sample predictions
(``ModelEvolutionTracker.is_ready_for_hamilton``), a pilot by what the evaluation of all seeds of its training has
written on its card. Whether a pilot may trade is asked again in the run (``pilot promote``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantum_trader.domain.errors import DataError
from quantum_trader.lab.registry.kinds import PILOT
from quantum_trader.models.learned.artefact import META_LABEL, SIGNAL
from quantum_trader.pilot.artefact import Artefact
from quantum_trader.policy.pilot_evidence import SEEDS_COUNT, SEEDS_KEY, unmet_seeds

if TYPE_CHECKING:
    from quantum_trader.lab.learning.evolution import Readiness, ReadinessCheck
    from quantum_trader.lab.registry.registry import ModelRegistry


def promotion_blockers(registry: ModelRegistry, kind: str, model_id: str) -> tuple[str, ...]:
    """A sentence for each condition that the model does not meet; empty where it may become the champion of *kind*."""
    return model_readiness(registry, kind, model_id).blockers


def model_readiness(registry: ModelRegistry, kind: str, name: str) -> Readiness:
    """Every condition that *kind* asks of a champion, and whether the model *name* meets it.

    A kind without conditions has none. A model that may not be used is not ready, and says why. Raises DataError where
    *name* means no model.
    """
    from quantum_trader.lab.learning.evolution import Readiness  # here: a live process does not load it
    from quantum_trader.lab.learning.registry_evidence import registry_tracker

    model_id = registry.resolve(name, kind)
    if kind in (SIGNAL, META_LABEL):
        return registry_tracker(registry, kind).is_ready_for_hamilton(model_id)
    checks = _pilot_checks(registry, model_id) if kind == PILOT else ()
    champion = registry.state.aliases.get(kind, {}).get("champion", "")
    return Readiness(model_id=model_id, champion_id=champion, checks=checks, scores=None)


def _pilot_checks(registry: ModelRegistry, model_id: str) -> tuple[ReadinessCheck, ...]:
    """What the card of a pilot says of the evaluation of all seeds of its training."""
    from quantum_trader.lab.learning.evolution import ReadinessCheck

    try:
        artefact = registry.load_model(model_id, PILOT).artefact
    except DataError as error:
        return (ReadinessCheck(name="model", passed=False, told=str(error)),)
    assert isinstance(artefact, Artefact)
    metrics = artefact.card.metrics
    if unmet := unmet_seeds(metrics):
        return tuple(ReadinessCheck(name="seeds", passed=False, told=one.text) for one in unmet)
    told = f"{SEEDS_KEY} in the model's card: {metrics[SEEDS_KEY]:.2f}, over {metrics[SEEDS_COUNT]:g} seeds"
    return (ReadinessCheck(name="seeds", passed=True, told=told, value=metrics[SEEDS_KEY], limit=0.0),)
