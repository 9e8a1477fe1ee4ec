"""What the gates have said of signals, and judged again under other settings."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from tests.lab.gated_signals import START, history, signal, wide_spread
from tests.lab.shadows.made_signals import HOURS_OPEN, made_signals

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.lab.gate_record import (
    effect_of_change,
    gate_evidence,
    gate_history,
    gate_rates,
    outcomes,
    resolved,
)
from quantum_trader.lab.shadows.judged_signals import NONE, OPEN, RESOLVED, VOID
from quantum_trader.models.gates import GateSettings

SCALP = GateSettings(mode="scalp")


def test_signals_are_weighed_with_their_measures_results_and_reasons() -> None:
    """A result, one to come, one without a shadow trade, one that never came; without inputs a signal is left out."""
    made = made_signals(5, 1)
    inputs = made.gate_inputs.copy()
    inputs[4] = math.nan
    found = gate_history(msgspec.structs.replace(
        made, outcome=np.array([RESOLVED, OPEN, NONE, VOID, RESOLVED], dtype=np.int8), gate_inputs=inputs,
        by_score=np.array([False, True, False, False, False]), reasons=("GATE_SPREAD", "", "", "", ""),
        first_ns=START, last_ns=START + 3 * NS_PER_HOUR,
    ))
    assert [(one.signal_id, one.outcome, one.by_score) for one in found.signals] == [
        ("s00000001", RESOLVED, False), ("s00000002", OPEN, True), ("s00000003", VOID, False),
        ("s00000004", VOID, False),
    ]
    first = found.signals[0]
    assert (first.r, first.life_ns, first.reason) == (made.r[0], HOURS_OPEN * NS_PER_HOUR, "GATE_SPREAD")
    assert list(first.inputs) == pytest.approx(made.gate_inputs[0].tolist(), nan_ok=True)
    assert math.isnan(found.signals[1].r)
    assert found.market_hours == 3.0


def test_results_count_up_to_the_first_that_is_still_to_come() -> None:
    """Losers end sooner: later results would hold too many of them. One that never comes stands in no way."""
    made = [
        signal(0, hour=0, r=1.0), signal(1, hour=1, outcome=VOID), signal(2, hour=2, r=-1.0),
        signal(3, hour=3, outcome=OPEN), signal(4, hour=4, r=-1.0),
    ]
    assert [one.r for one in resolved(made)] == [1.0, -1.0]


def test_pass_rates_are_those_of_the_settings_asked_for() -> None:
    """Half of the spreads are above 5 bps and none above 10; without a meta-label its gate is unmeasured."""
    known = history(wide_spread(60, -0.3))
    rates = {one.gate: one for one in gate_rates(known, SCALP)}
    spread = rates["spread"]
    assert (spread.judged, spread.passed, spread.unmeasured) == (60, 30, 0)
    assert spread.share.value == 0.5
    assert spread.share.low is not None
    assert spread.share.high is not None
    assert 0.0 <= spread.share.low < 0.5 < spread.share.high <= 1.0
    label = rates["meta_label"]
    assert (label.passed, label.unmeasured, label.share.value) == (0, 60, None)
    assert {one.gate: one.passed for one in gate_rates(known, msgspec.structs.replace(SCALP, mode="runner"))}[
        "spread"] == 60


def test_too_few_blocks_of_time_give_no_interval() -> None:
    """Three signals within an hour are one market."""
    share = gate_rates(history(signal(n, hour=0.2 * n) for n in range(3)), SCALP)[0].share
    assert (share.count, share.value, share.low) == (3, 1.0, None)


def test_the_effect_of_a_change_is_recomputed_on_the_record() -> None:
    """Enforcing the spread refuses half, which lost: the win rate of what passes rises."""
    known = history(wide_spread(60, -0.5))
    effect = effect_of_change(known, SCALP, msgspec.structs.replace(SCALP, enforced=("spread",)))
    assert (effect.signals, effect.before.passed.value, effect.after.passed.value) == (60, 1.0, 0.5)
    assert (effect.before.won.value, effect.after.won.value) == (0.5, 1.0)
    assert effect.newly_refused.count == 30
    assert effect.newly_refused.value == pytest.approx(
        math.fsum(one.r for one in known.signals if one.inputs.spread_bps > 5.0) / 30, rel=1e-12
    )
    assert effect.newly_passed.count == 0
    back = effect_of_change(known, msgspec.structs.replace(SCALP, enforced=("spread",)), SCALP)
    assert (back.newly_passed.count, back.newly_refused.count) == (30, 0)


def test_only_enforced_gates_refuse() -> None:
    """Observed gates that no signal passes leave the outcome as it is."""
    known = history(wide_spread(20, -0.5))
    assert outcomes(known, SCALP).passed.value == 1.0
    assert outcomes(known, msgspec.structs.replace(SCALP, enforced=("meta_label",))).passed.value == 0.0


def test_evidence_is_the_mean_result_of_what_a_gate_refuses() -> None:
    """Thirty refused signals that lost have an interval below zero; twenty have none yet."""
    found = gate_evidence(history(wide_spread(120, -0.6)), SCALP, "spread")
    assert (found.signals, found.refused, found.resolved, found.unmeasured) == (120, 60, 60, 0)
    assert found.interval is not None
    assert found.interval[1] < 0.0
    assert (found.look, found.look_size) == (2, 45)
    few = gate_evidence(history(wide_spread(40, -0.6)), SCALP, "spread")
    assert (few.resolved, few.interval, few.next_look) == (20, None, 30)
    won = gate_evidence(history(wide_spread(120, 0.6)), SCALP, "spread").interval
    assert won is not None
    assert won[0] > 0.0


def test_a_limit_of_an_observed_gate_has_an_effect_of_its_own() -> None:
    """What passes the enforced gates stays as it is; the gate by itself would let another share through."""
    known = history(wide_spread(60, -0.5))
    wider = msgspec.structs.replace(SCALP, scalp=msgspec.structs.replace(SCALP.scalp, max_spread_bps=9.0))
    effect = effect_of_change(known, SCALP, wider)
    assert (effect.before.passed.value, effect.after.passed.value) == (1.0, 1.0)
    (spread,) = effect.by_gate
    assert (spread.gate, spread.before.passed.value, spread.after.passed.value) == ("spread", 0.5, 1.0)
    assert (spread.before.won.value, spread.after.won.value) == (1.0, 0.5)
