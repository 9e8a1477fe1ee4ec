"""The RL pilot: what it observes. Numbers in, numbers out: nothing here trades, reads a clock or a file.

The published names of its metrics lead to :mod:`quantum_trader.live.pilot_metrics`, where a run's records arrive.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from quantum_trader.live.pilot_metrics import RLv3LiveStatusResponse, RLv3MetricsStore
    from quantum_trader.pilot.published import RLv3LiveFeatureAdapter, RLv3Manager

__all__ = ["RLv3LiveFeatureAdapter", "RLv3LiveStatusResponse", "RLv3Manager", "RLv3MetricsStore"]
_METRICS, _PILOT = "quantum_trader.live.pilot_metrics", "quantum_trader.pilot.published"
_HOMES: Final = {
    "RLv3LiveFeatureAdapter": _PILOT, "RLv3Manager": _PILOT, "RLv3LiveStatusResponse": _METRICS,
    "RLv3MetricsStore": _METRICS,
}


def __getattr__(name: str) -> Any:
    """Import a published name on first access."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
