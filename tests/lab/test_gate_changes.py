"""Gates are enforced on evidence or for a reason, and observed without either; every change is on record."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.gated_signals import history, signal, wide_spread

from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.gate_changes import (
    GateRefused,
    GatesState,
    all_observed,
    changed,
    enforce_gate,
    observe_gate,
)
from quantum_trader.lab.gate_record import gate_evidence
from quantum_trader.models.gates import GATES, GateSettings
from quantum_trader.policy.rollout import HISTORY

SCALP = GatesState(settings=GateSettings(mode="scalp"))


def asked(state: GatesState, made: Any, gate: str = "spread", **how: Any) -> GatesState | GateRefused:
    """Enforce *gate* on the signals *made*."""
    evidence = gate_evidence(history(made), state.settings, gate)
    return enforce_gate(state, evidence, now_ns=1, actor="ann", **how)


def test_a_gate_whose_refused_signals_lost_is_enforced_with_its_evidence() -> None:
    """Who, when, before, after, and what it rests on."""
    state = asked(SCALP, wide_spread(120, -0.6), reason="too dear")
    assert isinstance(state, GatesState)
    assert state.settings.enforced == ("spread",)
    (change,) = state.changes
    assert (change.actor, change.action, change.gate, change.reason, change.forced) == (
        "ann", "enforce", "spread", "too dear", False
    )
    assert (change.before, change.after) == ({"enforced": ()}, {"enforced": ("spread",)})
    assert change.evidence is not None
    assert change.evidence.resolved == 60


@pytest.mark.parametrize(("made", "condition"), [
    (wide_spread(40, -0.6), "signals refused, result known"), (wide_spread(120, 0.6), "mean R of what it refuses"),
    (wide_spread(120, 0.0), "mean R of what it refuses"),
    ([signal(n, hour=0.1 * n, r=-1.0, spread_bps=9.0) for n in range(40)], "independent blocks of time"),
])
def test_without_evidence_it_stays_observed_and_says_what_is_missing(made: Any, condition: str) -> None:
    """Too few, none that lost, or all in one market."""
    refused = asked(SCALP, made)
    assert isinstance(refused, GateRefused)
    assert condition in [one.condition for one in refused.unmet]


def test_a_reason_enforces_it_by_force_and_stands_on_record() -> None:
    """Without a reason force does nothing."""
    assert isinstance(asked(SCALP, wide_spread(40, 0.6), force=True), GateRefused)
    state = asked(SCALP, wide_spread(40, 0.6), force=True, reason="a test")
    assert isinstance(state, GatesState)
    assert state.changes[0].forced
    assert state.changes[0].unmet


def test_a_meta_label_is_not_enforced_on_evidence_while_there_is_none() -> None:
    """Every signal is unmeasured, so that losing signals alone would speak for refusing all of them."""
    made = [signal(n, hour=6.0 * n, r=-0.5 + 0.1 * (n % 5)) for n in range(100)]
    refused = asked(SCALP, made, "meta_label")
    assert isinstance(refused, GateRefused)
    assert [one.condition for one in refused.unmet] == ["meta-label model"]


def test_an_enforced_gate_is_not_enforced_twice() -> None:
    """It says so."""
    state = GatesState(settings=GateSettings(mode="scalp", enforced=("spread",)))
    refused = asked(state, wide_spread(120, -0.6))
    assert isinstance(refused, GateRefused)
    assert refused.unmet[0].condition == "already enforced"


def test_observing_is_always_permitted() -> None:
    """One gate, or all; a gate that there is not is named."""
    state = GatesState(settings=GateSettings(enforced=("spread", "cost")))
    one = observe_gate(state, "spread", now_ns=2, actor="ann")
    assert one.settings.enforced == ("cost",)
    assert observe_gate(one, now_ns=3, actor="ann", reason="quiet").settings.enforced == ()
    with pytest.raises(ConfigError, match="gate = 'spred'"):
        observe_gate(state, "spred", now_ns=2, actor="ann")


@given(st.lists(st.sampled_from([*GATES, ""]), max_size=12))
def test_any_order_of_changes_keeps_the_gates_in_their_order_and_counts_revisions(gates: list[str]) -> None:
    """Enforced by force and observed in any order."""
    state, enforced = SCALP, set[str]()
    for gate in gates:
        if not gate:
            state, enforced = observe_gate(state, now_ns=1, actor="ann"), set()
        elif gate in enforced:
            state = observe_gate(state, gate, now_ns=1, actor="ann")
            enforced.remove(gate)
        else:
            after = asked(state, wide_spread(4, 0.0), gate, force=True, reason="a test")
            assert isinstance(after, GatesState)
            state = after
            enforced.add(gate)
        assert state.settings.enforced == tuple(name for name in GATES if name in enforced)
    assert state.revision == len(gates)


def test_the_history_is_bounded_and_falling_back_observes_every_gate() -> None:
    """The latest changes are kept; a file that cannot be used leaves the limits and enforces nothing."""
    state = SCALP
    for number in range(HISTORY + 3):
        after = GateSettings(mode="scalp", high_volatility_factor=1.0 + 0.01 * (number % 2))
        state = changed(state, after, now_ns=1, actor="ann", action="set")
    assert (len(state.changes), state.revision) == (HISTORY, HISTORY + 3)
    kept = msgspec.structs.replace(state, settings=msgspec.structs.replace(state.settings, enforced=("spread",)))
    fallen = all_observed(kept, "gates.json vanished", 7, kept.revision + 1)
    assert fallen.settings == state.settings
    assert (fallen.changes[-1].action, fallen.changes[-1].reason) == ("set_aside", "gates.json vanished")
