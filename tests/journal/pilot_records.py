"""Records of the pilot, as the engine writes them."""

from __future__ import annotations

from typing import Any

from tests.journal.records import NOW

from quantum_trader.domain.enums import PilotMode, Side
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.engine.facts import PilotChanged, PilotDay, PilotDecided, PilotFailed, ShadowPilotTrade

MODEL = "model-a"


def pilot_decided(**changed: Any) -> PilotDecided:
    """A moment of two symbols, of which one changes its position."""
    fields: dict[str, Any] = {
        "mode": PilotMode.SHADOW, "model": MODEL, "closed_ns": NOW, "symbols": ["BTCUSDT", "ETHUSDT"],
        "actions": ["LONG_SMALL", "HOLD"], "probabilities": [0.7, 0.4], "confidences": [0.55, 0.5],
        "wanted": [0.1, 0.0], "held": [0.0, 0.0], "outcomes": ["SHADOW", "NOTHING"], "intents": ["", ""],
    }
    return PilotDecided(**{**fields, **changed})


def shadow_pilot_trade(**changed: Any) -> ShadowPilotTrade:
    """A shadow trade that gained half its risk."""
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT", "side": Side.LONG, "entry_ns": NOW - 10, "exit_ns": NOW, "r": 0.5, "result_share": 0.001,
        "exit": "FLAT", "share": 0.1, "bars_held": 3,
    }
    return ShadowPilotTrade(**{**fields, **changed})


def pilot_day(day: str = "2023-11-14", **changed: Any) -> PilotDay:
    """A day on which the pilot gained one basis point more than the signals."""
    fields: dict[str, Any] = {
        "day": day, "pilot": 0.0003, "signals": 0.0002, "hybrid": 0.00025, "trades": 4, "hours": 24.0, "decisions": 96,
    }
    return PilotDay(**{**fields, **changed})


def pilot_changed(**changed: Any) -> PilotChanged:
    """SHADOW becomes PRIMARY."""
    fields: dict[str, Any] = {
        "actor": "anna", "reason": "evidence", "before": PilotSettings(),
        "after": PilotSettings(mode=PilotMode.PRIMARY), "version": 1,
    }
    return PilotChanged(**{**fields, **changed})


def pilot_failed(**changed: Any) -> PilotFailed:
    """The pilot raised."""
    fields: dict[str, Any] = {"model": MODEL, "what": "RAISED", "error": "StateError: no bars"}
    return PilotFailed(**{**fields, **changed})
