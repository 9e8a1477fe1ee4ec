"""The journal: event log, lake, trade journal, traces, audit chain."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantum_trader.journal.event_logger import EventLogger
    from quantum_trader.journal.kinds import Event, register_kind
    from quantum_trader.journal.lake import Lake

__all__ = ["Event", "EventLogger", "Lake", "register_kind"]
_HOMES = {"Event": "kinds", "EventLogger": "event_logger", "Lake": "lake", "register_kind": "kinds"}


def __getattr__(name: str) -> Any:
    """Import a public name on first access, so that a logger does not load the database libraries."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
