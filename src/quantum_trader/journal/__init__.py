"""The journal: event log, lake, trade journal, traces, audit chain."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from quantum_trader.journal.event_logger import EventLogger
    from quantum_trader.journal.kinds import Event, SignalEvent, register_kind
    from quantum_trader.journal.lake import Lake
    from quantum_trader.journal.published import DecisionTracer, LoggingExtensions
    from quantum_trader.journal.queue_monitor import QueueMonitor
    from quantum_trader.journal.trade_journal import TradeJournal
    from quantum_trader.lab.market_context import MarketContextLogger
    from quantum_trader.live.bus import InMemoryBus as EventBus

__all__ = [
    "DecisionTracer", "Event", "EventBus", "EventLogger", "Lake", "LoggingExtensions", "MarketContextLogger",
    "QueueMonitor", "SignalEvent", "TradeJournal", "register_kind",
]
_HOMES: Final = {  # public name -> module, and the name there where it is another one
    "DecisionTracer": "journal.published", "Event": "journal.kinds", "EventBus": "live.bus:InMemoryBus",
    "EventLogger": "journal.event_logger", "Lake": "journal.lake", "LoggingExtensions": "journal.published",
    "MarketContextLogger": "lab.market_context", "QueueMonitor": "journal.queue_monitor",
    "SignalEvent": "journal.kinds", "TradeJournal": "journal.trade_journal", "register_kind": "journal.kinds",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first access, so that a logger does not load the database libraries."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, there = _HOMES[name].partition(":")
    return getattr(import_module(f"quantum_trader.{module}"), there or name)
