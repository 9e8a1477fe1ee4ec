"""Staged rollout: which switch may be enforced next, on what evidence, and who changed what.

Promotion asks for evidence or for a reason; rollback never asks. Every change is a :class:`RolloutChange`, which the
run journals. The functions here are pure; :mod:`quantum_trader.policy.rollout_file` keeps the state on disk.
"""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.enums import OrchestratorMode
from quantum_trader.domain.errors import require
from quantum_trader.domain.fields import Revision, TimeNs
from quantum_trader.policy.enforcement import SWITCHES, OrchestratorIntegrationConfig, switch_index
from quantum_trader.policy.evidence import MIN_EFFECTIVE_BLOCKS, Evidence, RolloutRules

HISTORY: Final = 500  # changes kept in the state

PROMOTE: Final = "promote"
ROLLBACK: Final = "rollback"
SET_MODE: Final = "set_mode"
SET_ASIDE: Final = "set_aside"
ALREADY: Final = "already enforced"  # the condition of a promotion that changes nothing


class Unmet(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a promotion that doesn't hold, with its figures."""

    condition: str
    observed: str
    required: str

    @property
    def text(self) -> str:
        """The condition as a sentence."""
        return f"{self.condition}: {self.observed}, needs {self.required}"


class RolloutChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of what is enforced: the audit entry."""

    revision: Revision
    ts_ns: TimeNs
    actor: str
    action: str  # promote, rollback, set_mode or set_aside
    switch: str  # "" for all
    before: tuple[str, ...]  # switches enforced
    after: tuple[str, ...]
    mode_before: OrchestratorMode
    mode_after: OrchestratorMode
    reason: str = ""
    forced: bool = False
    unmet: tuple[Unmet, ...] = ()  # what a forced promotion passed over
    evidence: Evidence | None = None


class RolloutState(msgspec.Struct, frozen=True, kw_only=True):
    """What is enforced now, and the changes that led there (the latest HISTORY)."""

    config: OrchestratorIntegrationConfig = msgspec.field(default_factory=OrchestratorIntegrationConfig)
    revision: Revision = 0
    changes: tuple[RolloutChange, ...] = ()


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """The switch is enforced from now on."""

    state: RolloutState
    change: RolloutChange


class PromotionRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The switch stays off; *unmet* lists the reasons, with figures."""

    switch: str
    unmet: tuple[Unmet, ...]


def enforced(config: OrchestratorIntegrationConfig) -> tuple[str, ...]:
    """The switches that are on, in rollout order."""
    return tuple(name for name, on in zip(SWITCHES, config.switches, strict=True) if on)


def unmet_conditions(
    config: OrchestratorIntegrationConfig, evidence: Evidence, rules: RolloutRules | None = None
) -> tuple[Unmet, ...]:
    """List what stands between the switch of *evidence* and its promotion; empty when it may be promoted."""
    rules = rules or RolloutRules()
    unmet = []
    missing = [name for name in SWITCHES[: switch_index(evidence.switch)] if not config.is_enforced(name)]
    if missing:
        unmet.append(Unmet(condition="rollout order", observed=f"{', '.join(missing)} not enforced yet",
                           required="them first"))
    if evidence.resolved < rules.min_count:
        unmet.append(Unmet(condition="decisions changed, outcome known", observed=str(evidence.resolved),
                           required=f"at least {rules.min_count}"))
    if evidence.market_hours < rules.min_market_hours:
        unmet.append(Unmet(condition="hours of market", observed=str(evidence.market_hours),
                           required=f"at least {rules.min_market_hours:g}"))
    if evidence.resolved >= rules.min_count:
        unmet.extend(_interval_conditions(evidence))
    return tuple(unmet)


def _interval_conditions(evidence: Evidence) -> tuple[Unmet, ...]:
    """The conditions that the interval does not meet, once there are enough decisions for one."""
    if evidence.interval is None:
        return (Unmet(
            condition="independent blocks of time",
            observed=f"{evidence.effective_blocks:.1f} of {evidence.block_hours:.0f} h",
            required=f"at least {MIN_EFFECTIVE_BLOCKS:g} (next look at {evidence.next_look} decisions)",
        ),)
    low, high = evidence.interval
    if high < 0.0:
        return ()
    return (Unmet(
        condition="shadow R of what it takes away", observed=f"interval {low:+.3f} to {high:+.3f} per decision",
        required=f"below zero (next look at {evidence.next_look} decisions)",
    ),)


def promote(
    state: RolloutState, switch: str, evidence: Evidence, *, now_ns: int, actor: str, force: bool = False,
    reason: str = "", rules: RolloutRules | None = None,
) -> Promoted | PromotionRefused:
    """Enforce *switch* when its evidence allows it, or when *force* comes with a *reason*.

    The first promotion out of OBSERVE sets the mode to LIVE. Raises ConfigError for a switch there is not, and
    InputError for evidence about another one.
    """
    switch_index(switch)
    require(evidence.switch == switch, "evidence.switch", evidence.switch, f"must be the evidence about {switch}")
    if state.config.is_enforced(switch):
        return PromotionRefused(switch=switch, unmet=(
            Unmet(condition=ALREADY, observed=switch, required="a switch that is off"),
        ))
    if force and not reason.strip():
        return PromotionRefused(switch=switch, unmet=(
            Unmet(condition="reason", observed="none given", required="a reason for a forced promotion"),
        ))
    unmet = unmet_conditions(state.config, evidence, rules)
    if unmet and not force:
        return PromotionRefused(switch=switch, unmet=unmet)
    config = msgspec.structs.replace(state.config, mode=OrchestratorMode.LIVE, **{f"use_for_{switch}": True})
    after = _changed(
        state, config, ts_ns=now_ns, actor=actor, action=PROMOTE, switch=switch, reason=reason.strip(),
        forced=force and bool(unmet), unmet=unmet, evidence=evidence,
    )
    return Promoted(state=after, change=after.changes[-1])


def rollback(
    state: RolloutState, switch: str | None = None, *, now_ns: int, actor: str, reason: str = ""
) -> tuple[RolloutState, RolloutChange]:
    """Stop enforcing *switch*, or everything: always allowed. With nothing left enforced the mode is OBSERVE."""
    if switch is not None:
        switch_index(switch)
    names = SWITCHES if switch is None else (switch,)
    left = [name for name in enforced(state.config) if name not in names]
    mode = OrchestratorMode.LIVE if left else OrchestratorMode.OBSERVE
    config = msgspec.structs.replace(state.config, mode=mode, **{f"use_for_{name}": False for name in names})
    after = _changed(
        state, config, ts_ns=now_ns, actor=actor, action=ROLLBACK, switch=switch or "", reason=reason.strip()
    )
    return after, after.changes[-1]


def set_mode(
    state: RolloutState, mode: OrchestratorMode, *, now_ns: int, actor: str, reason: str = ""
) -> tuple[RolloutState, RolloutChange]:
    """Set the mode at run time. OBSERVE turns every switch off; LIVE leaves them as they are."""
    off = {f"use_for_{name}": False for name in SWITCHES} if mode is OrchestratorMode.OBSERVE else {}
    config = msgspec.structs.replace(state.config, mode=mode, **off)
    after = _changed(state, config, ts_ns=now_ns, actor=actor, action=SET_MODE, switch="", reason=reason.strip())
    return after, after.changes[-1]


def _changed(
    state: RolloutState, config: OrchestratorIntegrationConfig, *, ts_ns: int, actor: str, action: str, switch: str,
    reason: str, forced: bool = False, unmet: tuple[Unmet, ...] = (), evidence: Evidence | None = None,
) -> RolloutState:
    """The state after a change, its audit entry last."""
    change = RolloutChange(
        revision=state.revision + 1, ts_ns=ts_ns, actor=actor, action=action, switch=switch,
        before=enforced(state.config), after=enforced(config), mode_before=state.config.mode, mode_after=config.mode,
        reason=reason, forced=forced, unmet=unmet, evidence=evidence,
    )
    return RolloutState(config=config, revision=change.revision, changes=(*state.changes, change)[-HISTORY:])
