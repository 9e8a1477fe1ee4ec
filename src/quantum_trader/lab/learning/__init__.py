"""The learning lab: labels, sample weights, folds, scores and calibration of models that are trained on signals."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from quantum_trader.lab.learning.evolution import ModelEvolutionTracker
    from quantum_trader.lab.learning.tracker import LearningTracker

__all__ = ["LearningTracker", "ModelEvolutionTracker"]
_HOMES: Final = {"LearningTracker": "tracker", "ModelEvolutionTracker": "evolution"}


def __getattr__(name: str) -> Any:
    """Import a public name on first access, so that labels and folds do not load the database libraries."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
