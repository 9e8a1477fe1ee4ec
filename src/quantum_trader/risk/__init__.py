"""Sizing, brackets and exits, the guard before every opening order, and the governor above everything.

Numbers live in ``@scalar`` functions (plain Python that the sweep compiles unchanged). The engine calls these scalars
over state of its own; :class:`RiskGuard` and :class:`SafetyGovernor` are the same rules as objects, for another
program. Reducing risk is never blocked here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from quantum_trader.risk.governor import Health, SafetyGovernor
    from quantum_trader.risk.guard import (
        AccountView,
        Approved,
        Reason,
        Refused,
        RiskGuard,
        RiskLimits,
        can_execute,
        create_intent,
    )
    from quantum_trader.risk.halts import Halt
    from quantum_trader.risk.published import ExitPolicyRegimeConfig, get_exit_params

__all__ = [
    "AccountView", "Approved", "ExitPolicyRegimeConfig", "Halt", "Health", "Reason", "Refused", "RiskGuard",
    "RiskLimits", "SafetyGovernor", "can_execute", "create_intent", "get_exit_params",
]

# Loaded when first used, so that importing one module of this room does not load them all.
_HOMES: Final = {
    "ExitPolicyRegimeConfig": "published", "get_exit_params": "published",
    "Halt": "halts", "Health": "governor", "SafetyGovernor": "governor",
    **dict.fromkeys(
        ("AccountView", "Approved", "Reason", "Refused", "RiskGuard", "RiskLimits", "can_execute", "create_intent"),
        "guard",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"quantum_trader.risk.{_HOMES[name]}"), name)
