"""Advice on thresholds: found where one truly helps, withheld on noise, and every threshold tried on record."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.lab.shadows.made_signals import made_signals

from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.decision_inputs import gate_inputs_of
from quantum_trader.lab.shadows.advice import (
    LUCK,
    AdviceSettings,
    GateAdvice,
    ThresholdAdvice,
    advice_trials,
    advise,
)
from quantum_trader.lab.shadows.judged_signals import JudgedSignals
from quantum_trader.lab.shadows.thresholds import candidates, limits_of_row, passing, value_of, with_value
from quantum_trader.lab.trials import TrialLedger
from quantum_trader.models.gates import GATES, gate_bits, refused_gates

COUNT = 1_500


def of_gate(found: ThresholdAdvice, gate: str) -> GateAdvice:
    """What *found* says of one gate."""
    return found.gates[GATES.index(gate)]


def test_a_threshold_that_helps_is_advised() -> None:
    """Results rise with the confidence and cross zero at 0.6; the threshold is 0.55. In each of three worlds a value
    near 0.6 is advised, and nothing else.
    """
    for seed in range(3):
        found = advise(made_signals(COUNT, seed, gain_per_confidence=3_000.0))
        one = of_gate(found, "confidence")
        assert one.is_told
        assert one.today == "0.55"
        assert 0.58 <= float(one.chosen) <= 0.63
        assert one.second is not None
        assert one.second.low_bps is not None
        assert 0.0 < one.second.low_bps < one.second.difference_bps
        assert f"Advice: min_confidence = {one.chosen}" in one.sentence
        assert [gate.gate for gate in found.gates if gate.is_told] == ["confidence"]
        assert f"min_confidence = {one.chosen}" in found.sentence


@pytest.mark.long
def test_noise_gets_no_advice() -> None:
    """Where nothing tells wins from losses, at most 2 worlds of 24 get an advice (5 % are expected at most)."""
    advised = 0
    for seed in range(24):
        found = advise(made_signals(700, 1_000 + seed))
        told = [one for one in found.gates if one.is_told]
        advised += bool(told)
        if not told:
            assert LUCK in found.sentence
    assert advised <= 2


def test_too_few_signals_get_no_advice() -> None:
    """Sixty signals are not split in two."""
    found = advise(made_signals(60, 2))
    assert found.tried == 0
    assert all(one.split == "" and "too few signals" in one.sentence for one in found.gates)


def test_the_effect_is_what_passes_under_the_other_threshold() -> None:
    """Pass rate, mean, total and difference of one threshold, counted by hand from the figures."""
    signals = made_signals(COUNT, 4)
    one = of_gate(advise(signals), "spread")
    effect = one.tried[7]
    spread = signals.gate_inputs[:, 0]
    passed, today = spread <= float(effect.value), spread <= 5.0
    assert (effect.passed, effect.changed) == (int(passed.sum()), int((passed != today).sum()))
    assert effect.mean_bps == pytest.approx(float(signals.net_bps[passed].mean()))
    assert effect.total_bps == pytest.approx(float(signals.net_bps[passed].sum()))
    difference = (float(signals.net_bps[passed].sum()) - float(signals.net_bps[today].sum())) / COUNT
    assert effect.difference_bps == pytest.approx(difference)
    assert one.now is not None
    assert one.now.pass_rate == pytest.approx(float(today.mean()))


def test_the_second_part_chooses_nothing() -> None:
    """Other results in the second part change what is shown, not which threshold was chosen; and a signal whose shadow
    trade ends in the second part's first moment is in neither part.
    """
    signals = made_signals(COUNT, 6, gain_per_confidence=3_000.0)
    cut = int(COUNT * 0.6)
    turned = signals.net_bps.copy()
    turned[cut:] = -turned[cut:]
    before, after = advise(signals), advise(msgspec.structs.replace(signals, net_bps=turned))
    for gate in GATES[:5]:
        assert of_gate(before, gate).chosen == of_gate(after, gate).chosen
    one = of_gate(before, "confidence")
    assert not of_gate(after, "confidence").is_told
    assert one.first is not None
    assert one.second is not None
    assert one.second.signals == COUNT - cut
    overlapping = int((signals.end_ns[:cut] >= signals.ts_ns[cut]).sum())
    assert overlapping == 6
    assert one.first.signals == cut - overlapping


@pytest.mark.parametrize("gate", GATES)
def test_passing_is_what_the_gates_say(gate: str) -> None:
    """For every signal and every threshold that is tried, the gates' own arithmetic; a figure that is missing does not
    pass.
    """
    inputs = made_signals(200, 8).gate_inputs
    inputs[:, 8] = np.linspace(0.2, 0.8, 200)
    inputs[3, :] = math.nan
    inputs[3, 2:4] = 0.0
    limits = limits_of_row(made_signals(1, 8).gate_limits[0].tolist())
    tried = (value_of(gate, limits), *candidates(gate, np.delete(inputs, 3, axis=0), limits))
    assert len(tried) >= 7
    for value in tried:
        changed = with_value(gate, limits, value)
        made = [gate_inputs_of(tuple(row)) for row in inputs.tolist()]
        expected = [not refused_gates(one, changed) & gate_bits((gate,)) for one in made]
        assert passing(gate, inputs, changed).tolist() == expected


def test_signals_of_another_mode_are_left_out() -> None:
    """The newest signal's mode is advised on; the others are counted."""
    signals = made_signals(COUNT, 9)
    mixed = msgspec.structs.replace(signals, modes=("runner",) * 300 + ("scalp",) * (COUNT - 300))
    found = advise(mixed)
    assert (found.mode, found.signals, found.other_modes) == ("scalp", COUNT - 300, 300)


def test_each_threshold_is_a_trial(tmp_path: Path) -> None:
    """All that were tried are on record; the same advice again counts raw, not as distinct ones."""
    signals: JudgedSignals = made_signals(COUNT, 10)
    found, ledger = advise(signals), TrialLedger(tmp_path)
    trials = list(advice_trials(found, signals.data_hash))
    assert len(trials) == found.tried > 80
    assert {one.kind for one in trials} == {"threshold"}
    ledger.record(trials, "first")
    ledger.record(advice_trials(advise(signals), signals.data_hash), "second")
    records = ledger.read().records
    assert len(records) == 2 * found.tried
    assert len({one.trial.identity for one in records}) == found.tried


@pytest.mark.parametrize("changes", [{"first_share": 0.95}, {"least": 3}, {"alpha": 0.0}])
def test_settings_that_cannot_be_name_their_key(changes: dict[str, float]) -> None:
    """A bad share, too few signals, no error at all."""
    with pytest.raises(ConfigError, match=next(iter(changes))):
        AdviceSettings(**changes)  # type: ignore[arg-type]
