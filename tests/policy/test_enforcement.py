"""What trading uses when parts of the policy are, and are not, enforced."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.domain.enums import EXIT_CODES, ExitMode, OrchestratorMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.road import (
    ROAD_APPROVED,
    ROAD_CONFIDENCE,
    ROAD_GATE,
    ROAD_POSITIONS,
    ROAD_SYMBOL,
    gate,
)
from quantum_trader.market.jit import compiled
from quantum_trader.policy.enforcement import (
    BLOCK,
    NOT_CONFIDENCE,
    NOT_GATE,
    NOT_POSITIONS,
    NOT_SYMBOL,
    SWITCHES,
    EffectiveSettings,
    OrchestratorIntegrationConfig,
    PolicyNumbers,
    Settings,
    effective,
    refusal_names,
    refusals,
    removed_by_switch,
    settings_in_use,
    trade_size,
)

OBSERVE = OrchestratorIntegrationConfig.create_observe_mode()
FULL = OrchestratorIntegrationConfig.create_live_mode_full()

policies = st.builds(
    PolicyNumbers, allow=st.booleans(), symbol_allowed=st.booleans(), min_confidence=st.floats(0.0, 0.95),
    risk_pct=st.floats(0.0, 3.0), max_positions=st.integers(1, 20), exit_mode=st.sampled_from(EXIT_CODES),
)
switch_sets = st.tuples(*[st.integers(0, 1)] * 6)
confidences = st.floats(0.0, 1.0)
positions = st.integers(0, 25)


def live(**on: bool) -> OrchestratorIntegrationConfig:
    """LIVE with the given switches."""
    return OrchestratorIntegrationConfig(
        mode=OrchestratorMode.LIVE, **{f"use_for_{name}": value for name, value in on.items()}
    )


FIXED = OBSERVE.fixed_settings(1)  # of a symbol that isn't tagged BAD


def numbers(policy: PolicyNumbers) -> Settings:
    """The policy as the scalars take it."""
    return Settings(
        int(policy.allow), int(policy.symbol_allowed), policy.min_confidence, policy.risk_pct, policy.max_positions,
        EXIT_CODES.index(policy.exit_mode),
    )


def test_the_rollout_order_is_the_one_of_the_specification() -> None:
    """Six switches, signal_filter first and exit_mode last."""
    assert SWITCHES == (
        "signal_filter", "confidence_threshold", "risk_sizing", "position_limits", "trading_gate", "exit_mode",
    )


def test_observe_mode_enforces_nothing_and_is_the_default() -> None:
    """OBSERVE has every switch off; the full live mode has every switch on."""
    assert OrchestratorIntegrationConfig() == OBSERVE
    assert (OBSERVE.is_observe_mode, OBSERVE.is_observe_mode()) == (True, True)
    assert OBSERVE.switches == (0, 0, 0, 0, 0, 0)
    assert (FULL.is_observe_mode, FULL.is_observe_mode()) == (False, False)
    assert FULL.switches == (1, 1, 1, 1, 1, 1)


@pytest.mark.parametrize("name", SWITCHES)
def test_observe_with_a_switch_on_is_refused_naming_the_key(name: str) -> None:
    """Settings that contradict each other are an error, from code and from a file alike."""
    key = f"use_for_{name}"
    with pytest.raises(ConfigError, match=key):
        OrchestratorIntegrationConfig(**{key: True})
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert({"mode": "OBSERVE", key: True}, OrchestratorIntegrationConfig)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fixed_confidence", 1.5), ("fixed_confidence", math.nan), ("fixed_risk_pct", 0.0), ("fixed_risk_pct", True),
        ("fixed_max_positions", 0), ("fixed_max_positions", 2.5), ("mode", "LIVE"), ("use_for_exit_mode", 1),
        ("fixed_exit_mode", "FAST_TP"),
    ],
)
def test_a_setting_out_of_its_domain_is_refused_naming_the_key(key: str, value: object) -> None:
    """Every setting is checked where it is made."""
    with pytest.raises(ConfigError, match=key):
        OrchestratorIntegrationConfig(**{key: value})


@given(policy=policies, bad=st.booleans())
def test_observe_never_changes_the_fixed_settings(policy: PolicyNumbers, bad: bool) -> None:
    """With any policy, OBSERVE trades on 0.45, 1.0 %, 8 positions, an open gate and the symbol's own tag."""
    assert effective(OBSERVE, policy, symbol_tag_bad=bad) == EffectiveSettings(
        trading_allowed=True, symbol_allowed=not bad, min_confidence=0.45, risk_pct=1.0, max_positions=8,
        exit_mode=ExitMode.TREND_FOLLOW,
    )


@given(policy=policies, bad=st.booleans())
def test_the_full_live_mode_is_the_policy(policy: PolicyNumbers, bad: bool) -> None:
    """With every switch on nothing of the fixed settings is left."""
    assert effective(FULL, policy, symbol_tag_bad=bad) == EffectiveSettings(
        trading_allowed=policy.allow, symbol_allowed=policy.symbol_allowed, min_confidence=policy.min_confidence,
        risk_pct=policy.risk_pct, max_positions=policy.max_positions, exit_mode=policy.exit_mode,
    )


@given(policy=policies, index=st.integers(0, 5))
def test_a_switch_changes_its_own_field_alone(policy: PolicyNumbers, index: int) -> None:
    """Enforcing one subsystem leaves the other five on the fixed settings."""
    field = ("symbol_allowed", "min_confidence", "risk_pct", "max_positions", "trading_allowed", "exit_mode")[index]
    before = effective(OBSERVE, policy)
    after = effective(live(**{SWITCHES[index]: True}), policy)
    assert msgspec.structs.replace(after, **{field: getattr(before, field)}) == before


def test_the_verdict_names_what_each_switch_would_do_to_a_signal() -> None:
    """A signal of 0.48 with 6 positions open, under a policy that asks 0.50, 0.7 % and 5 positions."""
    policy = PolicyNumbers(
        allow=True, symbol_allowed=True, min_confidence=0.50, risk_pct=0.7, max_positions=5,
        exit_mode=ExitMode.TREND_FOLLOW,
    )
    found = removed_by_switch(OBSERVE.switches, numbers(policy), FIXED, 0.48, 6)
    assert found == pytest.approx((0.0, BLOCK, 0.3, BLOCK, 0.0, 0.0))


def test_a_verdict_can_admit_what_the_fixed_settings_refuse() -> None:
    """A policy that asks 0.43 admits a signal of 0.44: it takes away less than nothing."""
    policy = PolicyNumbers(
        allow=True, symbol_allowed=True, min_confidence=0.43, risk_pct=1.0, max_positions=8, exit_mode=ExitMode.FAST_TP,
    )
    found = removed_by_switch(OBSERVE.switches, numbers(policy), FIXED, 0.44, 0)
    assert found == (0.0, -1.0, 0.0, 0.0, 0.0, 0.0)


@given(policy=policies, switches=switch_sets, confidence=confidences, opened=positions, index=st.integers(0, 4))
def test_a_verdict_is_the_size_without_the_switch_less_the_size_with_it(
    policy: PolicyNumbers, switches: tuple[int, ...], confidence: float, opened: int, index: int
) -> None:
    """The definition, recomputed with the switch off and on, the others as they are."""
    def size(on: int) -> float:
        turned = (*switches[:index], on, *switches[index + 1:])
        return trade_size(settings_in_use(turned, numbers(policy), FIXED), confidence, opened)

    found = removed_by_switch(switches, numbers(policy), FIXED, confidence, opened)
    assert found[index] == size(0) - size(1)


@settings(deadline=None)  # the first example compiles
@given(policy=policies, switches=switch_sets, confidence=confidences, opened=positions)
def test_the_compiled_scalars_give_the_same_bits(
    policy: PolicyNumbers, switches: tuple[int, ...], confidence: float, opened: int
) -> None:
    """The sweep compiles this very source."""
    arguments = (switches, numbers(policy), FIXED)
    used = settings_in_use(*arguments)
    assert compiled(settings_in_use)(*arguments) == used
    assert compiled(removed_by_switch)(*arguments, confidence, opened) == removed_by_switch(
        *arguments, confidence, opened
    )
    assert compiled(refusals)(used, confidence, opened) == refusals(used, confidence, opened)
    assert compiled(trade_size)(used, confidence, opened) == trade_size(used, confidence, opened)


REFUSING = [
    ({}, 0.5, 0, 0, ()),
    ({"gate": 0}, 0.5, 0, NOT_GATE, ("trading_gate",)),
    ({"risk_pct": 0.0}, 0.5, 0, NOT_GATE, ("trading_gate",)),
    ({"symbol": 0}, 0.5, 0, NOT_SYMBOL, ("signal_filter",)),
    ({}, 0.4999, 0, NOT_CONFIDENCE, ("confidence_threshold",)),
    ({}, math.nan, 0, NOT_CONFIDENCE, ("confidence_threshold",)),
    ({"min_confidence": math.nan}, 0.5, 0, NOT_CONFIDENCE, ("confidence_threshold",)),
    ({"risk_pct": math.nan}, 0.5, 0, NOT_GATE, ("trading_gate",)),
    ({}, 0.5, 4, 0, ()),
    ({}, 0.5, 5, NOT_POSITIONS, ("position_limits",)),
    ({"gate": 0, "symbol": 0}, 0.1, 9, 15, (
        "trading_gate", "signal_filter", "confidence_threshold", "position_limits",
    )),
]


@pytest.mark.parametrize(("change", "confidence", "opened", "bits", "names"), REFUSING)
def test_refusals_names_every_setting_that_refuses(
    change: dict[str, float], confidence: float, opened: int, bits: int, names: tuple[str, ...]
) -> None:
    """Settings of 0.5, 1 % and 5 positions: a bit for each that refuses, and no size where one does."""
    settings = Settings(1, 1, 0.5, 1.0, 5, 0)._replace(**change)  # type: ignore[arg-type]
    assert refusals(settings, confidence, opened) == bits
    assert refusal_names(bits) == names
    assert trade_size(settings, confidence, opened) == (0.0 if bits else 1.0)


@pytest.mark.parametrize(("change", "confidence", "opened", "bits", "names"), REFUSING)
def test_the_gate_of_the_engine_names_the_first_of_them(
    change: dict[str, float], confidence: float, opened: int, bits: int, names: tuple[str, ...]
) -> None:
    """Trading gate, symbol filter, confidence, positions: in this order."""
    order = {
        "trading_gate": ROAD_GATE, "signal_filter": ROAD_SYMBOL, "confidence_threshold": ROAD_CONFIDENCE,
        "position_limits": ROAD_POSITIONS,
    }
    settings = Settings(1, 1, 0.5, 1.0, 5, 0)._replace(**change)  # type: ignore[arg-type]
    assert gate(1, confidence, 100.0, 0, 0, opened, settings) == (order[names[0]] if bits else ROAD_APPROVED)
