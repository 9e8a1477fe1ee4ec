"""The six gates as arithmetic: limits of each mode, what is not measured, and the break-even probability."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.enums import TREND_RANGING, TREND_TRENDING, TREND_UNKNOWN
from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.jit import compiled
from quantum_trader.models.gates import (
    GATE_META_LABEL,
    GATES,
    MODES,
    GateInputs,
    GateSettings,
    ModeLimits,
    first_gate,
    gate_names,
    gate_readings,
    refused_gates,
    unmeasured_gates,
)

SETTINGS = GateSettings()
GOOD = GateInputs(
    spread_bps=1.0, volume_ratio=1.0, trend=TREND_TRENDING, high_volatility=0, expected_bps=100.0, cost_bps=20.0,
    confidence=0.9, min_confidence=0.45, win_probability=0.9, payoff=2.0,
)


def refused(mode: str = "scalp", **changed: float) -> tuple[str, ...]:
    """The gates that a good signal with some figures *changed* does not pass."""
    return gate_names(refused_gates(GOOD._replace(**changed), SETTINGS.limits(mode)))


@pytest.mark.parametrize(("mode", "spread", "volume", "margin", "confidence", "probability"), [
    ("scalp", 5.0, 0.50, 3.0, 0.55, 0.45), ("runner", 10.0, 0.30, 8.0, 0.70, 0.65),
    ("trend", 10.0, 0.30, 8.0, 0.55, 1.0 / 3.0),
])
def test_each_limit_of_specification_3_passes_at_the_limit_and_refuses_just_beyond(
    mode: str, spread: float, volume: float, margin: float, confidence: float, probability: float
) -> None:
    """5 / 10 / 10 bps, 0.50 / 0.30 / 0.30, 3 / 8 / 8 bps, 0.55 / 0.70 / 0.55, 0.45 / 0.65 / break-even of 2:1."""
    up = 1.0 + 1e-9
    assert refused(mode, spread_bps=spread) == ()
    assert refused(mode, spread_bps=spread * up) == ("spread",)
    assert refused(mode, volume_ratio=volume) == ()
    assert refused(mode, volume_ratio=volume / up) == ("volume",)
    assert refused(mode, expected_bps=20.0 + margin) == ()
    assert refused(mode, expected_bps=(20.0 + margin) / up) == ("cost",)
    assert refused(mode, confidence=confidence) == ()
    assert refused(mode, confidence=confidence / up) == ("confidence",)
    assert refused(mode, win_probability=probability) == ()
    assert refused(mode, win_probability=probability / up) == ("meta_label",)


def test_scalps_pass_in_trend_and_chop_runners_in_trend_alone_and_trends_in_any_regime() -> None:
    """TREND is TRENDING, CHOP is RANGING."""
    codes = (TREND_TRENDING, TREND_RANGING, TREND_UNKNOWN)
    passed = {mode: [refused(mode, trend=code) == () for code in codes] for mode in MODES}
    assert passed == {"scalp": [True, True, False], "runner": [True, False, False], "trend": [True, True, True]}
    published = msgspec.structs.replace(SETTINGS.runner, regimes=("TREND", "CHOP"))
    assert published.limits(1.5).regimes == SETTINGS.scalp.limits(1.5).regimes


def test_high_volatility_asks_for_one_and_a_half_times_the_margin() -> None:
    """A scalp then needs its costs and 4.5 bps."""
    assert refused(expected_bps=24.5, high_volatility=1) == ()
    assert refused(expected_bps=24.4, high_volatility=1) == ("cost",)


def test_confidence_is_held_against_the_stricter_of_the_threshold_in_force_and_the_modes() -> None:
    """The policy asks for 0.60, the scalp for 0.55."""
    assert refused(confidence=0.59, min_confidence=0.60) == ("confidence",)
    assert refused(confidence=0.60, min_confidence=0.60) == ()


def test_the_break_even_probability_follows_the_payoff_in_the_mode_trend() -> None:
    """A model whose mean win is four times its mean loss breaks even at one win in five."""
    assert refused("trend", win_probability=0.2, payoff=4.0) == ()
    assert refused("trend", win_probability=0.19, payoff=4.0) == ("meta_label",)
    assert refused("scalp", win_probability=0.44, payoff=4.0) == ("meta_label",)


def test_what_is_not_measured_does_not_pass_and_is_told_apart() -> None:
    """A missing meta-label model refuses where it is enforced; the record says that it was not measured."""
    measured = GOOD._replace(win_probability=math.nan)
    assert gate_names(refused_gates(measured, SETTINGS.limits("scalp"))) == ("meta_label",)
    assert unmeasured_gates(measured) == GATE_META_LABEL
    everything = GateInputs(*(math.nan,) * 2, TREND_UNKNOWN, 1, *(math.nan,) * 6)
    assert gate_names(refused_gates(everything, SETTINGS.limits("scalp"))) == GATES


FIGURES = st.one_of(st.floats(-1e4, 1e4), st.sampled_from([math.nan, math.inf, -math.inf]))
INPUTS = st.builds(
    GateInputs, FIGURES, FIGURES, st.integers(0, 2), st.integers(0, 1), FIGURES, FIGURES, FIGURES, FIGURES, FIGURES,
    FIGURES,
)


@given(inputs=INPUTS, mode=st.sampled_from(MODES))
def test_readings_and_compiled_gates_say_the_same_as_the_bits(inputs: GateInputs, mode: str) -> None:
    """Of any figures, also of those that are no numbers."""
    limits = SETTINGS.limits(mode)
    bits = refused_gates(inputs, limits)
    assert gate_names(bits) == tuple(one.gate for one in gate_readings(inputs, limits) if not one.passed)
    assert gate_names(unmeasured_gates(inputs)) == tuple(
        one.gate for one in gate_readings(inputs, limits) if not one.measured
    )
    assert bits & unmeasured_gates(inputs) == unmeasured_gates(inputs)
    assert _refused(inputs, limits) == bits
    assert _first(bits) == first_gate(bits)


_refused, _first = compiled(refused_gates), compiled(first_gate)


@pytest.mark.parametrize(("make", "text"), [
    (lambda: GateSettings(mode="swing"), "gates.mode = 'swing': choose from auto, scalp, runner, trend"),
    (lambda: GateSettings(enforced=("spreads",)), "gate = 'spreads': choose from spread, volume"),
    (lambda: GateSettings(pass_targets={"cost": 1.5}), "pass_targets.cost = 1.5: must be a number from 0 to 1"),
    (lambda: GateSettings(high_volatility_factor=math.nan), "high_volatility_factor = nan"),
    (lambda: msgspec.structs.replace(SETTINGS.scalp, regimes=("BULL",)), "regimes = 'BULL': choose from UNKNOWN"),
    (lambda: msgspec.structs.replace(SETTINGS.scalp, regimes=()), "name at least one"),
    (lambda: msgspec.structs.replace(SETTINGS.scalp, max_spread_bps="5"), "max_spread_bps = '5'"),
])
def test_a_wrong_setting_is_refused_by_name_and_value(make: object, text: str) -> None:
    """And the error says what would be right."""
    with pytest.raises(ConfigError) as caught:
        make()  # type: ignore[operator]
    assert text in str(caught.value)


def test_mode_limits_are_frozen_values() -> None:
    """Two equal ones are equal."""
    assert ModeLimits(**msgspec.structs.asdict(SETTINGS.scalp)) == SETTINGS.scalp
