"""Metrics: figures of a run by the definitions of one catalogue, each with the SQL that computes it again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from quantum_trader.lab.metrics.computer import MetricsComputer

__all__ = ["MetricsComputer"]
_HOMES: Final = {"MetricsComputer": "computer"}


def __getattr__(name: str) -> Any:
    """Import a public name on first access, so that units and values do not load the database."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
