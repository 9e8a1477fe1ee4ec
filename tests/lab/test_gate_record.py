"""What the gates have said, read from records, and judged again under other settings."""

from __future__ import annotations

import math

import msgspec
import pytest
from tests.lab.gated_signals import START, history, line, signal, wide_spread

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import DataError
from quantum_trader.lab.gate_record import (
    KNOWN,
    OPEN,
    VOID,
    effect_of_change,
    gate_evidence,
    gate_rates,
    outcomes,
    read_history,
    resolved,
)
from quantum_trader.models.gates import GateSettings

SCALP = GateSettings(mode="scalp")
GATES_ROW = [1.0, 0.9, 1.0, 0.0, 40.0, 10.0, 0.8, 0.45, None, 2.0]


def inputs(name: str, ts_ns: int, *, quantity: float | None = None, symbol: str = "BTCUSDT") -> tuple[int, bytes]:
    """A record of what a decision was made of."""
    return line("signal.inputs", ts_ns, signal_id=name, symbol=symbol, ts_ns=ts_ns, gates=GATES_ROW, quantity=quantity)


def decided(name: str, ts_ns: int, reason: str = "", *, shadow: float = 24.0) -> tuple[int, bytes]:
    """A record of a decision."""
    return line("signal.decided", ts_ns, signal_id=name, reason=reason, shadow_hours=shadow)


def test_signals_are_read_with_their_measures_results_and_reasons() -> None:
    """A result, one to come, one without a shadow trade, and one that a hole of the data ends before its entry."""
    hour = NS_PER_HOUR
    found = read_history([
        line("run.started", START), inputs("a", START), decided("a", START, "GATE_SPREAD"),
        inputs("b", START + hour, quantity=3.0), decided("b", START + hour),
        inputs("c", START + hour), decided("c", START + hour, shadow=0.0),
        inputs("d", START + hour, symbol="ETHUSDT"), decided("d", START + hour),
        line("market.hole", START + 2 * hour, symbol="ETHUSDT"),
        line("shadow.closed", START + 3 * hour, signal_id="a", r=-0.5),
    ])
    assert [(one.signal_id, one.outcome, one.by_score) for one in found.signals] == [
        ("a", KNOWN, False), ("b", OPEN, True), ("c", VOID, False), ("d", VOID, False),
    ]
    first = found.signals[0]
    assert (first.r, first.life_ns, first.reason) == (-0.5, 3 * hour, "GATE_SPREAD")
    assert (first.inputs.volume_ratio, first.inputs.trend) == (0.9, 1)
    assert math.isnan(first.inputs.win_probability)
    assert found.market_hours == 3.0


def test_a_line_that_is_being_written_is_left_out_and_a_damaged_one_is_named() -> None:
    """Cut off at the end it is no matter; before others it is."""
    good = [inputs("a", START), decided("a", START)]
    cut = (START, inputs("b", START)[1][:60])
    assert len(read_history([*good, cut]).signals) == 1
    with pytest.raises(DataError, match="does not have the fields of its topic"):
        read_history([good[0], cut, good[1]])
    with pytest.raises(DataError, match="gates: 2 numbers"):
        read_history([line("signal.inputs", START, signal_id="a", symbol="B", ts_ns=START, gates=[1, 2], quantity=None),
                      *good])


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
