"""The policy as a library: one authoritative answer to what may be traded, how much, and why.

Importing this room costs neither numpy nor a compiler; :mod:`quantum_trader.policy.compiled` has the fast form.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from quantum_trader.domain.enums import (
    Direction,
    EntryMode,
    ExitMode,
    Level,
    OrchestratorMode,
    PerformanceTag,
    RiskProfile,
    Trend,
    VolLevel,
)
from quantum_trader.domain.market import MarketState
from quantum_trader.domain.policy import CostMetrics, RiskState, RuleFired, SymbolPerformanceData
from quantum_trader.policy.evaluation import evaluate
from quantum_trader.policy.inputs import (
    PolicyInputs,
    create_cost_metrics,
    create_risk_state,
    create_symbol_performance,
    vol_level_of,
)
from quantum_trader.policy.orchestrator import OrchestratorPolicy
from quantum_trader.policy.policy import SymbolPolicy, TradingPolicy
from quantum_trader.policy.profiles import (
    ActiveProfile,
    OrchestratorConfig,
    get_active_profile,
    load_profile,
    profile_names,
    read_profile,
)
from quantum_trader.policy.rules import RULES, Rule

if TYPE_CHECKING:
    from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
    from quantum_trader.policy.observation import PolicyObserver
    from quantum_trader.policy.policy_store import PolicyStore
    from quantum_trader.policy.profiles import ProfileMapping

    SAFE_PROFILE: ProfileMapping
    AGGRESSIVE_PROFILE: ProfileMapping
    CURRENT_PROFILE: str

# Made anew at each access: a copy of a shipped profile's numbers, and the name of the profile in use.
_PUBLISHED: Final[dict[str, Callable[[], Any]]] = {
    "SAFE_PROFILE": lambda: load_profile("SAFE").categories,
    "AGGRESSIVE_PROFILE": lambda: load_profile("AGGRESSIVE").categories,
    "CURRENT_PROFILE": lambda: get_active_profile().name,
}
# Loaded when first used: evaluating a policy needs no file handling.
_LATER: Final = {
    "OrchestratorIntegrationConfig": "quantum_trader.policy.enforcement",
    "PolicyObserver": "quantum_trader.policy.observation",
    "PolicyStore": "quantum_trader.policy.policy_store",
}

__all__ = [
    "AGGRESSIVE_PROFILE", "CURRENT_PROFILE", "RULES", "SAFE_PROFILE", "ActiveProfile", "CostMetrics", "Direction",
    "EntryMode", "ExitMode", "Level", "MarketState", "OrchestratorConfig", "OrchestratorIntegrationConfig",
    "OrchestratorMode", "OrchestratorPolicy", "PerformanceTag", "PolicyInputs", "PolicyObserver", "PolicyStore",
    "RiskProfile", "RiskState", "Rule", "RuleFired", "SymbolPerformanceData", "SymbolPolicy", "TradingPolicy", "Trend",
    "VolLevel", "create_cost_metrics", "create_risk_state", "create_symbol_performance", "evaluate",
    "get_active_profile", "load_profile", "profile_names", "read_profile", "vol_level_of",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLISHED:
        return _PUBLISHED[name]()
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
