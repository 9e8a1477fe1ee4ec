"""The pilot's status as a document: settings in force, what it did, its evidence, and what a promotion still lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from quantum_trader.app.runs.kept_models import PILOT_FOLDER
from quantum_trader.app.runs.pilot_journal import PilotHistory
from quantum_trader.domain.clock import iso
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.pilot.artefact import CARD_FILE, load_artefact
from quantum_trader.policy.pilot_evidence import (
    BPS,
    PILOT,
    PILOT_OVER_SIGNALS,
    DailyResult,
    PilotEvidence,
    PilotRules,
    unmet_for,
    verdict_on,
)
from quantum_trader.policy.policy_store_file import StoreReading
from quantum_trader.policy.policy_store_state import SettingChange


def card_metrics(state: Path, folder: Path | None, model: str) -> dict[str, float | None] | None:
    """The metrics on the card in *folder*, else of the model that the state folder *state* keeps; None without any.

    ConfigError where it is of another model than *model*, which decided in the journal.
    """
    kept = state / PILOT_FOLDER
    if folder is None and not (kept / CARD_FILE).exists():
        return None
    folder = folder or kept
    card = load_artefact(folder).card
    if model and card.identity != model:
        raise ConfigError(
            f"--model {folder}: is model {card.identity[:12]}, and the journal's decisions are of {model[:12]}; give "
            "the folder of the model that decided"
        )
    return card.metrics


def pilot_document(
    reading: StoreReading, history: PilotHistory, metrics: dict[str, float | None] | None,
    rules: PilotRules | None = None,
) -> dict[str, Any]:
    """The content of ``pilot status --json``; results in basis points of equity a day."""
    settings, changed = reading.pilot, reading.state.last_change_of("mode")
    evidence = history.evidence
    return {
        "mode_in_force": settings.mode_in_force.value, "settings": msgspec.to_builtins(settings),
        "since": None if changed is None else _since(changed), "trouble": reading.trouble or None,
        "in_force_in_the_run": _timed(history.applied), "model": evidence.model or None,
        "live_status": msgspec.to_builtins(history.metrics.get_live_status()),
        "decisions_total": history.metrics.decisions_total,
        "rate": {"opened_last_hour": history.intents_last_hour, "max_trades_per_hour": settings.max_trades_per_hour},
        "evidence": evidence_document(evidence), "failures": history.failures,
        "last_failure": _timed(history.last_failure),
        "promotion": {
            mode.value: [
                one.text for one in unmet_for(mode, evidence, settings=settings, metrics=metrics, rules=rules)
            ]
            for mode in (PilotMode.PRIMARY, PilotMode.HYBRID)
        },
        "verdict": verdict_line(evidence, rules),
    }


def evidence_document(evidence: PilotEvidence) -> dict[str, Any]:
    """The evidence as JSON shows it; results in basis points of equity a day."""
    return {
        "days": evidence.days, "first_day": evidence.first_day or None, "last_day": evidence.last_day or None,
        "market_hours": evidence.market_hours, "decisions": evidence.decisions,
        "trades": {
            "count": evidence.trades, "mean_r": evidence.mean_r, "win_rate": evidence.win_rate,
            "exits": evidence.exits,
        },
        "bp_a_day": {one.name: _result(one) for one in evidence.results},
    }


def _result(result: DailyResult) -> dict[str, Any]:
    look = result.look
    return {
        "mean": None if result.mean is None else result.mean * BPS,
        "interval": None if result.interval is None else [bound * BPS for bound in result.interval],
        "says": verdict_on(result), "look": look.number, "look_days": look.size, "next_look": look.upcoming,
    }


def _since(change: SettingChange) -> dict[str, Any]:
    return {
        "version": change.version, "time": iso(change.ts_ns), "actor": change.actor, "reason": change.reason,
    }


def _timed(found: msgspec.Struct | None) -> dict[str, Any] | None:
    if found is None:
        return None
    built: dict[str, Any] = msgspec.to_builtins(found)
    return {**built, "time": iso(built["ts_ns"])}


def verdict_line(evidence: PilotEvidence, rules: PilotRules | None = None) -> str:
    """Whether the pilot is better than the signals, in one sentence."""
    rules = rules or PilotRules()
    if not evidence.model:
        return "No decision of the pilot is on record yet."
    difference, own = evidence.result(PILOT_OVER_SIGNALS), evidence.result(PILOT)
    if difference.interval is None:
        if evidence.days < rules.min_days:
            return f"Too early to tell: {evidence.days} days of market, and {rules.min_days} are needed."
        return f"Too early to tell: the days are too few or too alike; next look at {difference.look.upcoming} days."
    says = verdict_on(difference)
    if says == "below zero":
        return "The pilot earns less than the signals."
    if says != "above zero":
        return f"Whether the pilot earns more than the signals {says}."
    if verdict_on(own) == "above zero":
        return "The pilot earns more than the signals, and more than nothing."
    return "The pilot earns more than the signals; that it earns anything is not shown."
