"""What ``quantum-trader rollout`` and the API tell of a rollout: evidence, what is missing, who changed what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from quantum_trader.domain.clock import from_ns, iso
from quantum_trader.domain.errors import StateError
from quantum_trader.policy.enforcement import SWITCHES, OrchestratorIntegrationConfig
from quantum_trader.policy.evidence import evidence
from quantum_trader.policy.ledger import read_ledger
from quantum_trader.policy.rollout import RolloutChange, RolloutState, enforced, unmet_conditions
from quantum_trader.policy.rollout_file import read_state


def status_report(folder: Path) -> dict[str, Any]:
    """The content of ``rollout status --json``; StateError when the folder's files cannot be read."""
    require_rollout_folder(folder)
    saved = read_state(folder)
    state = saved or RolloutState()
    ledger = read_ledger(folder)
    rows = []
    for name in SWITCHES:
        facts = evidence(ledger, name)
        unmet = () if state.config.is_enforced(name) else unmet_conditions(state.config, facts)
        rows.append({
            **msgspec.to_builtins(facts),
            "enforced": state.config.is_enforced(name),
            "promotable": not state.config.is_enforced(name) and not unmet,
            "missing": [item.text for item in unmet],
        })
    return {
        "mode": state.config.mode.value,
        "enforced": list(enforced(state.config)),
        "rollout_file": saved is not None,
        "revision": state.revision,
        "subject": ledger.subject,
        "signals": ledger.signals,
        "market_hours": ledger.market_hours,
        "seen_from": iso(ledger.first_ns) if ledger.market_hours else None,
        "seen_to": iso(ledger.last_ns) if ledger.market_hours else None,
        "switches": rows,
        "next": _next_step(state.config, ledger.signals, rows, folder),
        "changes": [rollout_change_document(change) for change in state.changes[-10:]],
    }


def _next_step(
    config: OrchestratorIntegrationConfig, signals: int, rows: list[dict[str, Any]], folder: Path
) -> str:
    """One sentence on what to do now."""
    if signals == 0:
        return f"No evidence yet. Collect some: quantum-trader run --policy observe --state {folder}"
    off = [row for row in rows if not row["enforced"]]
    if not off:
        return f"All switches are enforced. Back to observe: quantum-trader rollout rollback --state {folder}"
    following = off[0]
    if following["promotable"]:
        return f"Next: quantum-trader rollout promote {following['switch']} --state {folder}"
    if following["changed"] == 0:
        return f"Next is {following['switch']}: in {signals} signals it would have changed nothing: no evidence"
    return f"Next is {following['switch']}; it still needs: {'; '.join(following['missing'])}"


def rollout_change_document(change: RolloutChange) -> dict[str, Any]:
    """The fields of a change, and its time as ISO text."""
    built: dict[str, Any] = msgspec.to_builtins(change)
    return {**built, "time": from_ns(change.ts_ns).isoformat(timespec="seconds")}


def require_rollout_folder(folder: Path) -> None:
    """Raise StateError unless *folder* is there."""
    if not folder.is_dir():
        raise StateError(
            f"--state {folder}: no such folder; give the folder of a run "
            f"(quantum-trader run --policy observe --state {folder} creates it)"
        )
