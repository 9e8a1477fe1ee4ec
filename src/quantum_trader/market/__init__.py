"""Market data and its measures: bars, indicators, regime, costs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantum_trader.market.published import (
        CostConfig,
        CostModel,
        RegimeConfig,
        RegimeDetector,
        SymbolPerformanceManager,
        estimate_trade_cost,
    )

__all__ = [
    "CostConfig", "CostModel", "RegimeConfig", "RegimeDetector", "SymbolPerformanceManager", "estimate_trade_cost",
]


def __getattr__(name: str) -> Any:
    """Import a published name on first access, so that importing one module of this room does not load them all."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.published"), name)
