"""Changes of a run's gates: which one may be enforced, on what evidence, and who changed what.

Enforcing a gate asks for evidence or for a reason; observing one never asks. Every change is a :class:`GatesChange`,
which the run journals with the effect that it would have had on the signals on record. The functions here are pure;
:mod:`quantum_trader.app.runs.gates_file` keeps the state on disk.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quantum_trader.domain.fields import Revision, TimeNs
from quantum_trader.lab.gate_record import GateEvidence, GatesEffect
from quantum_trader.models.gate_tables import gate_changes
from quantum_trader.models.gates import GATES, GateSettings, gate_place
from quantum_trader.policy.evidence import MIN_EFFECTIVE_BLOCKS, RolloutRules
from quantum_trader.policy.rollout import ALREADY, HISTORY, SET_ASIDE, Unmet

ENFORCE: Final = "enforce"
OBSERVE: Final = "observe"
SET: Final = "set"


class GatesChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the gates: the audit entry. *before* and *after* hold the settings that differ, by dotted key."""

    revision: Revision
    ts_ns: TimeNs
    actor: str
    action: str  # enforce, observe, set or set_aside
    gate: str  # "" where it is of none or of several
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str = ""
    forced: bool = False
    unmet: tuple[Unmet, ...] = ()  # what a forced change passed over
    evidence: GateEvidence | None = None
    effect: GatesEffect | None = None  # on the signals on record; None: there were none


class GatesState(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the gates now, and the changes that led there (the latest HISTORY)."""

    settings: GateSettings = GateSettings()
    revision: Revision = 0
    changes: tuple[GatesChange, ...] = ()


class GateRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The gate stays observed; *unmet* lists the reasons, with figures."""

    gate: str
    unmet: tuple[Unmet, ...]


def unmet_to_enforce(
    settings: GateSettings, evidence: GateEvidence, rules: RolloutRules | None = None
) -> tuple[Unmet, ...]:
    """What stands between the gate of *evidence* and its enforcement; empty where it may be enforced."""
    rules = rules or RolloutRules()
    unmet = []
    if evidence.gate == "meta_label" and not settings.meta_label:
        unmet.append(Unmet(
            condition="meta-label model", observed="gates.meta_label names none, so every signal would be refused",
            required="one",
        ))
    if evidence.resolved < rules.min_count:
        unmet.append(Unmet(
            condition="signals refused, result known", observed=str(evidence.resolved),
            required=f"at least {rules.min_count}",
        ))
    if evidence.market_hours < rules.min_market_hours:
        unmet.append(Unmet(
            condition="hours of market", observed=f"{evidence.market_hours:.1f}",
            required=f"at least {rules.min_market_hours:g}",
        ))
    if evidence.resolved >= rules.min_count:
        unmet.extend(_interval_conditions(evidence))
    return tuple(unmet)


def _interval_conditions(evidence: GateEvidence) -> tuple[Unmet, ...]:
    """The conditions that the interval does not meet, once there are enough signals for one."""
    if evidence.interval is None:
        return (Unmet(
            condition="independent blocks of time",
            observed=f"{evidence.effective_blocks:.1f} of {evidence.block_hours:.0f} h",
            required=f"at least {MIN_EFFECTIVE_BLOCKS:g} (next look at {evidence.next_look} signals)",
        ),)
    low, high = evidence.interval
    if high < 0.0:
        return ()
    return (Unmet(
        condition="mean R of what it refuses", observed=f"interval {low:+.3f} to {high:+.3f}",
        required=f"below zero (next look at {evidence.next_look} signals)",
    ),)


def enforce_gate(
    state: GatesState, evidence: GateEvidence, *, now_ns: int, actor: str, force: bool = False, reason: str = "",
    rules: RolloutRules | None = None,
) -> GatesState | GateRefused:
    """Enforce the gate of *evidence* where that allows it, or where *force* comes with a *reason*."""
    gate, settings = evidence.gate, state.settings
    if gate in settings.enforced:
        return GateRefused(gate=gate, unmet=(Unmet(condition=ALREADY, observed=gate, required="an observed gate"),))
    if force and not reason.strip():
        return GateRefused(gate=gate, unmet=(
            Unmet(condition="reason", observed="none given", required="a reason to enforce it by force"),
        ))
    unmet = unmet_to_enforce(settings, evidence, rules)
    if unmet and not force:
        return GateRefused(gate=gate, unmet=unmet)
    after = msgspec.structs.replace(
        settings, enforced=tuple(name for name in GATES if name == gate or name in settings.enforced)
    )
    return changed(
        state, after, now_ns=now_ns, actor=actor, action=ENFORCE, gate=gate, reason=reason, forced=bool(unmet),
        unmet=unmet, evidence=evidence,
    )


def observe_gate(
    state: GatesState, gate: str | None = None, *, now_ns: int, actor: str, reason: str = ""
) -> GatesState:
    """Let *gate*, or every one, refuse nothing more: always allowed."""
    if gate is not None:
        gate_place(gate)
    left = tuple(name for name in state.settings.enforced if gate is not None and name != gate)
    return changed(
        state, msgspec.structs.replace(state.settings, enforced=left), now_ns=now_ns, actor=actor, action=OBSERVE,
        gate=gate or "", reason=reason,
    )


def changed(
    state: GatesState, settings: GateSettings, *, now_ns: int, actor: str, action: str, gate: str = "",
    reason: str = "", forced: bool = False, unmet: tuple[Unmet, ...] = (), evidence: GateEvidence | None = None,
) -> GatesState:
    """The state after a change to *settings*, its audit entry last."""
    before, after = gate_changes(state.settings, settings)
    change = GatesChange(
        revision=state.revision + 1, ts_ns=now_ns, actor=actor, action=action, gate=gate, before=before, after=after,
        reason=reason.strip(), forced=forced, unmet=unmet, evidence=evidence,
    )
    return GatesState(settings=settings, revision=change.revision, changes=(*state.changes, change)[-HISTORY:])


def with_effect(state: GatesState, effect: GatesEffect | None) -> GatesState:
    """*state* with the *effect* of its last change noted."""
    last = msgspec.structs.replace(state.changes[-1], effect=effect)
    return msgspec.structs.replace(state, changes=(*state.changes[:-1], last))


def all_observed(state: GatesState, notice: str, now_ns: int, revision: int) -> GatesState:
    """*state* fallen back to observing every gate, with that change: its file cannot be used, as *notice* says."""
    after = msgspec.structs.replace(state.settings, enforced=())
    before, now = gate_changes(state.settings, after)
    change = GatesChange(
        revision=revision, ts_ns=now_ns, actor="gates file", action=SET_ASIDE, gate="", before=before, after=now,
        reason=notice,
    )
    return GatesState(settings=after, revision=revision, changes=(*state.changes, change)[-HISTORY:])
