"""Tightening at once, loosening after its wait; latches, halts and time."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from quantum_trader.domain.clock import to_ns
from quantum_trader.domain.enums import Direction, Trend, VolLevel
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.policy import (
    CostMetrics,
    MarketState,
    OrchestratorConfig,
    OrchestratorPolicy,
    PolicyInputs,
    RiskState,
    TradingPolicy,
    create_symbol_performance,
    evaluate,
)

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
CALM = RiskState()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def ask(
    policy: OrchestratorPolicy,
    seconds: float,
    trend: str = "TRENDING",
    vol: str = "NORMAL",
    risk: RiskState = CALM,
    **more: Any,
) -> TradingPolicy:
    return policy.update_policy(trend, vol, risk, now=at(seconds), **more)


def held(policy: TradingPolicy) -> set[str]:
    return {rule.field for rule in policy.rules if rule.rule == "HOLD"}


def standard(**change: Any) -> OrchestratorPolicy:
    return OrchestratorPolicy(OrchestratorConfig(**change))


def test_safer_values_take_effect_at_once_whatever_the_interval() -> None:
    """One second after the first evaluation everything tightens."""
    policy = standard()
    ask(policy, 0)
    got = ask(policy, 1, "RANGING", "HIGH")
    assert (got.max_risk_pct, got.entry_mode, got.exit_mode, got.risk_profile) == (
        pytest.approx(0.35),
        "DEFENSIVE",
        "FAST_TP",
        "REDUCED",
    )


def test_looser_values_wait_for_interval_and_persistence_and_are_listed_as_hold() -> None:
    """Three evaluations in a row and 60 s: held twice, then in force."""
    policy = standard()
    ask(policy, 0, "RANGING", "HIGH")
    first, second = ask(policy, 60), ask(policy, 120)
    assert first.entry_mode == second.entry_mode == "DEFENSIVE"
    assert held(second) == {"risk_profile", "max_risk_pct", "min_confidence", "entry_mode", "exit_mode"}
    third = ask(policy, 180)
    assert (third.entry_mode, third.exit_mode, third.max_risk_pct, third.risk_profile) == (
        "AGGRESSIVE",
        "TREND_FOLLOW",
        1.0,
        "NORMAL",
    )
    assert held(third) == set()


def test_persistence_without_the_interval_is_not_enough() -> None:
    """Ten evaluations within 59 seconds hold; the next after 60 does not."""
    policy = standard()
    ask(policy, 0, "RANGING")
    for second in range(1, 11):
        assert ask(policy, second * 5.9).entry_mode == "DEFENSIVE"
    assert ask(policy, 60).entry_mode == "AGGRESSIVE"


def test_a_tight_evaluation_in_between_starts_the_wait_anew() -> None:
    """The evaluations must come in a row."""
    policy = standard()
    for second, trend in (
        (0, "RANGING"),
        (60, "TRENDING"),
        (120, "TRENDING"),
        (180, "RANGING"),
        (240, "TRENDING"),
        (300, "TRENDING"),
    ):
        assert ask(policy, second, trend).entry_mode == "DEFENSIVE"
    assert ask(policy, 360).entry_mode == "AGGRESSIVE"


def test_what_is_released_is_the_safest_value_of_the_wait() -> None:
    """Two evaluations at half risk and one at full: half is in force, full waits on."""
    policy = standard()
    ask(policy, 0, "RANGING", "HIGH")
    ask(policy, 60, vol="HIGH")
    ask(policy, 120, vol="HIGH")
    got = ask(policy, 180)
    assert got.max_risk_pct == pytest.approx(0.5)
    assert "max_risk_pct" in held(got)


def test_each_field_waits_by_itself() -> None:
    """A field that began to loosen earlier is released earlier, while another one tightens."""
    policy = standard()
    ask(policy, 0, "RANGING", "NORMAL")
    ask(policy, 60, "TRENDING", "NORMAL")
    ask(policy, 120, "TRENDING", "HIGH")
    got = ask(policy, 180, "TRENDING", "HIGH")
    assert got.exit_mode == "TREND_FOLLOW"
    assert got.max_risk_pct == pytest.approx(0.5)
    assert got.entry_mode == "NORMAL"  # the safest of AGGRESSIVE, NORMAL, NORMAL


def test_banning_a_symbol_cannot_smuggle_in_reopened_trading() -> None:
    """Trading closed by a limit stays closed while a ban comes into force."""
    policy = standard()
    ask(
        policy,
        0,
        risk=RiskState(open_trades_count=8),
        symbol_performance=[create_symbol_performance("A", 0.5, 0.1, 0, "GOOD")],
    )
    got = ask(policy, 60, symbol_performance=[create_symbol_performance("A", 0.1, -1.0, 0, "BAD")])
    assert ("A" in got.disallowed_symbols, got.allow_new_trades) == (True, False)


def test_numeric_drift_is_suppressed_and_a_real_change_is_not() -> None:
    """A risk within a tenth loosens at the tenth evaluation in a row; beyond it, it does at the third."""
    config = OrchestratorConfig(risk_multipliers={"drawdown_per_pct": 0.1})
    policy = OrchestratorPolicy(config)
    ask(policy, 0, risk=RiskState(current_drawdown_pct=-1.0))
    for minute in range(1, 10):
        assert ask(policy, 60 * minute, risk=RiskState(current_drawdown_pct=-0.5)).max_risk_pct == pytest.approx(0.9)
    assert ask(policy, 600, risk=RiskState(current_drawdown_pct=-1.1)).max_risk_pct == pytest.approx(0.89)
    for minute in range(11, 21):
        got = ask(policy, 60 * minute, risk=RiskState(current_drawdown_pct=-0.5))
        assert got.max_risk_pct == pytest.approx(0.89 if minute < 20 else 0.95)
    ask(policy, 1_260, risk=RiskState(current_drawdown_pct=-1.1))
    for minute in range(22, 25):
        got = ask(policy, 60 * minute)
    assert got.max_risk_pct == 1.0


def test_a_confidence_raised_by_a_passing_cause_comes_back_after_ten_evaluations() -> None:
    """STANDARD, TRENDING and NORMAL, quality .6 → .39 → .6: .47 → .52, and .47 again at the tenth evaluation."""
    policy = standard()
    assert ask(policy, 0, ensemble_quality=0.6).min_confidence == pytest.approx(0.47)
    assert ask(policy, 3_600, ensemble_quality=0.39).min_confidence == pytest.approx(0.52)
    got = [ask(policy, 3_600 * hour, ensemble_quality=0.6).min_confidence for hour in range(2, 32)]
    assert got[:9] == pytest.approx([0.52] * 9)
    assert got[9:] == pytest.approx([0.47] * 21)


@pytest.mark.parametrize("seed", range(10))
def test_no_number_that_the_rules_do_not_ask_for_stays_in_force_longer_than_ten_evaluations(seed: int) -> None:
    """Random qualities, drawdowns and markets, hourly: a tighter value is in force for ten evaluations at most."""
    chance, policy = Random(seed), OrchestratorPolicy(profile_name="SAFE")
    profile, longest = policy.config, 0
    runs = {"max_risk_pct": (0.0, 0), "min_confidence": (0.0, 0)}
    quality, drawdown, trend = 0.6, 0.0, "TRENDING"
    for hour in range(600):
        if chance.random() < 0.1:
            quality, drawdown = chance.choice([0.3, 0.6]), -chance.choice([0.0, 0.2, 0.5, 2.0])
        trend = chance.choice(["TRENDING", "RANGING"]) if chance.random() < 0.03 else trend
        inputs = PolicyInputs(
            regime_tag=Trend(trend), direction=Direction.UP, vol_level=VolLevel.NORMAL, ensemble_quality=quality,
            risk_state=RiskState(day_drawdown_pct=drawdown),
        )
        asked = evaluate(inputs, profile)
        got = ask(policy, 3_600 * hour, trend, risk=inputs.risk_state, ensemble_quality=quality, direction="UP")
        for field, sign in (("max_risk_pct", 1.0), ("min_confidence", -1.0)):
            value, wanted = getattr(got, field), getattr(asked, field)
            looser = sign * (wanted - value) > 1e-12
            run = runs[field][1] + 1 if looser and runs[field][0] == value else int(looser)
            runs[field], longest = (value, run), max(longest, run)
    assert 3 <= longest <= 10


def test_a_hold_says_how_long_it_still_waits() -> None:
    """Evaluations in a row, and seconds where the interval is not over; the policy in force stays one policy."""
    policy = standard()
    ask(policy, 0, ensemble_quality=0.6)
    tight = ask(policy, 3_600, ensemble_quality=0.39)
    whys = []
    for second in (3_610, 3_620, 3_660):
        got = ask(policy, second, ensemble_quality=0.6)
        whys += [rule.why for rule in got.rules if rule.rule == "HOLD"]
        assert got.content_hash == tight.content_hash
    assert whys == [
        "looser value waits: 9 more evaluations and 50 s", "looser value waits: 8 more evaluations and 40 s",
        "looser value waits: 7 more evaluations",
    ]
    assert len(policy.get_history()) == 3


def test_a_ban_that_ends_says_how_long_it_still_waits() -> None:
    """The line of a symbol counts down like that of a field, and saves nothing more than the ban."""
    good, bad = (create_symbol_performance("A", 0.5, 0.1, 0, tag) for tag in ("GOOD", "BAD"))
    policy = standard()
    ask(policy, 0, symbol_performance=[bad])
    for second, rest in ((60, "2 more evaluations"), (120, "1 more evaluation")):
        got = ask(policy, second, symbol_performance=[good])
        assert [rule.why for rule in got.rules if rule.rule == "HOLD"] == [f"looser value waits: {rest}"]
    assert len(policy.get_history()) == 2


def test_a_ban_is_lifted_after_its_wait_per_symbol() -> None:
    """Banned at once, re-admitted after three good evaluations; listed as HOLD meanwhile."""
    good, bad = (create_symbol_performance("A", 0.5, 0.1, 0, tag) for tag in ("GOOD", "BAD"))
    other = create_symbol_performance("B", 0.5, 0.1, 0, "GOOD")
    policy = standard()
    ask(policy, 0, symbol_performance=[good, other])
    assert "A" in ask(policy, 1, symbol_performance=[bad, other]).disallowed_symbols
    for second in (61, 121):
        got = ask(policy, second, symbol_performance=[good, other])
        assert "HOLD" in got.disallowed_symbols["A"]
        assert "symbol A" in held(got)
    assert "A" in ask(policy, 181, symbol_performance=[good, other]).allowed_symbols


def test_a_symbol_that_the_inputs_do_not_name_stays_banned() -> None:
    """Absence is no evidence."""
    policy = standard()
    ask(policy, 0, symbol_performance=[create_symbol_performance("A", 0.5, 0.1, 0, "BAD")])
    for minute in range(1, 9):
        assert "A" in ask(policy, 60 * minute, symbol_performance=[]).disallowed_symbols


def test_a_symbol_whose_market_is_no_longer_told_turns_stale() -> None:
    """A slot without news gets F1, not the overall market."""
    policy = standard()
    markets = {"A": MarketState(trend=Trend.TRENDING, direction=None, vol_level=VolLevel.NORMAL)}
    assert ask(policy, 0, markets=markets).for_symbol("A").entry_mode == "AGGRESSIVE"
    assert ask(policy, 60).for_symbol("A").entry_mode == "DEFENSIVE"


def test_symbol_slots_hold_like_the_overall_one() -> None:
    """A symbol's own market loosens after its own wait."""
    policy = standard()
    calm, wild = (
        {"A": MarketState(trend=Trend.TRENDING, direction=None, vol_level=level)}
        for level in (VolLevel.NORMAL, VolLevel.EXTREME)
    )
    ask(policy, 0, markets=wild)
    opened = [ask(policy, 60 * minute, markets=calm).for_symbol("A").allow_new_trades for minute in (1, 2, 3)]
    assert opened == [False, False, True]


def test_b1_latches_until_midnight_and_until_the_24_hour_loss_is_inside() -> None:
    """Equity 100 → 96 at noon: the new day's inputs are clean, the rolling loss is not until the next noon."""
    policy = standard(policy_update_interval_sec=0, persistence=1)
    ask(policy, -3600, risk=RiskState(equity=100.0))
    assert ask(policy, 0, risk=RiskState(daily_pnl_pct=-4.0, equity=96.0)).allow_new_trades is False
    opened = {hour: ask(policy, 3600 * hour, risk=RiskState(equity=96.0)).allow_new_trades for hour in range(1, 30)}
    assert not any(opened[hour] for hour in range(1, 24))
    assert opened[29] is True


def test_b1_without_equity_is_lifted_after_midnight() -> None:
    """Without an equity the latch ends with the UTC day."""
    policy = standard(policy_update_interval_sec=0, persistence=1)
    ask(policy, 0, risk=RiskState(daily_pnl_pct=-4.0))
    assert ask(policy, 11.9 * 3600).allow_new_trades is False
    assert ask(policy, 12 * 3600).allow_new_trades is True


def test_the_days_peak_counts_against_a_milder_drawdown_given() -> None:
    """Given no drawdown while equity fell 4 % from the day's peak: B1."""
    policy = standard()
    ask(policy, 0, risk=RiskState(equity=100.0))
    got = ask(policy, 60, risk=RiskState(equity=96.0))
    assert "B1" in {rule.rule for rule in got.rules}


def test_a_risk_state_grows_stale_even_when_the_same_object_is_handed_in() -> None:
    """F2 after 60 s, though the frozen inputs are remembered."""
    policy = standard()
    risk = RiskState(ts_ns=to_ns(NOON))
    assert ask(policy, 0, risk=risk).allow_new_trades is True
    assert ask(policy, 60, risk=risk).allow_new_trades is True
    assert ask(policy, 61, risk=risk).allow_new_trades is False


def test_a_list_changed_in_place_is_seen() -> None:
    """The memory of the last call copies what a caller could change."""
    policy = standard()
    performances = [create_symbol_performance("A", 0.5, 0.1, 0, "GOOD")]
    ask(policy, 0, symbol_performance=performances)
    performances.append(create_symbol_performance("B", 0.1, -1.0, 0, "BAD"))
    assert "B" in ask(policy, 1, symbol_performance=performances).disallowed_symbols


def test_the_same_frozen_inputs_still_release_what_waits() -> None:
    """Handing in the same objects counts as evaluations."""
    policy = standard()
    ask(policy, 0, "RANGING")
    assert [ask(policy, 60 * minute).entry_mode for minute in (1, 2, 3)] == ["DEFENSIVE", "DEFENSIVE", "AGGRESSIVE"]


def test_time_going_backwards_is_refused() -> None:
    """More than a minute back is an error; a small step stands still."""
    policy = standard()
    ask(policy, 0)
    ask(policy, -30)
    with pytest.raises(InputError, match="now"):
        ask(policy, -61)


def test_a_halt_closes_at_once_and_resume_needs_a_reason() -> None:
    """Halted until resumed; afterwards the usual wait."""
    policy = standard()
    ask(policy, 0)
    policy.halt("operator saw something")
    assert policy.get_policy().allow_new_trades is False
    assert ask(policy, 600).allow_new_trades is False
    with pytest.raises(InputError, match="reason"):
        policy.resume("  ")
    policy.resume("looked, all well")
    assert [ask(policy, 660 + 60 * n).allow_new_trades for n in range(3)] == [False, False, True]
    with pytest.raises(StateError, match="nothing to resume"):
        policy.resume("again")


def test_another_profile_after_a_restart_lowers_limits_at_once() -> None:
    """Limits are held like every other field."""
    policy = standard()
    assert ask(policy, 0).max_open_positions == 8
    assert standard(max_open_positions=3).update_policy("TRENDING", "NORMAL", CALM, now=NOON).max_open_positions == 3


def test_costs_of_all_symbols_make_the_overall_costs_when_none_is_named() -> None:
    """The worst level any symbol shows; ``*`` names the overall costs."""
    dear, cheap = CostMetrics(spread_level="HIGH"), CostMetrics()  # type: ignore[arg-type]
    assert ask(standard(), 0, cost_metrics={"A": dear, "B": cheap}).entry_mode == "DEFENSIVE"
    got = ask(standard(), 0, cost_metrics={"A": dear, "*": cheap})
    assert (got.entry_mode, got.for_symbol("A").entry_mode) == ("AGGRESSIVE", "DEFENSIVE")


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("regime_tag", {"trend": "SIDEWAYS"}),
        ("vol_level", {"vol": "WILD"}),
        ("direction", {"direction": "LEFT"}),
        ("ensemble_quality", {"ensemble_quality": math.nan}),
        ("market_age_bars", {"market_age_bars": -1}),
    ],
)
def test_words_and_numbers_out_of_their_domain_are_refused_by_key(key: str, change: dict[str, Any]) -> None:
    """The error names the key, and nothing has changed."""
    policy = standard()
    with pytest.raises(InputError, match=key):
        ask(policy, 0, **change)
    assert policy.get_history() == []
