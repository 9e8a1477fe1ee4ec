"""Insights: what a day taught, what was blocked and whether rightly, what changed, what it cost, and what to do."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from quantum_trader.lab.insights.aggregator import InsightAggregator

__all__ = ["InsightAggregator"]
_HOMES: Final = {"InsightAggregator": "aggregator"}


def __getattr__(name: str) -> Any:
    """Import a public name on first access, so that the end of a run does not load the database."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
