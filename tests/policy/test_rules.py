"""Every rule of the table and every worked case of the specification, as one evaluation."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quantum_trader.domain.enums import Direction, Trend, VolLevel
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.indicators import vol_level
from quantum_trader.domain.policy import RiskState, RuleFired
from quantum_trader.policy import (
    CostMetrics,
    MarketState,
    OrchestratorConfig,
    PolicyInputs,
    TradingPolicy,
    create_cost_metrics,
    create_symbol_performance,
    evaluate,
    load_profile,
)
from quantum_trader.policy.core import next_streak
from quantum_trader.policy.layout import RULE_A, RULE_HOLD, RULE_STREAK_END
from quantum_trader.policy.rules import RULE_NAMES, RULES, note_of

COSTLY = create_cost_metrics("HIGH", "HIGH")
CALM: dict[str, Any] = {"losing_streak": 0, "current_drawdown_pct": 0.0}


def decide(
    profile: str | OrchestratorConfig, trend: str, vol: str, direction: str | None = None, **more: Any
) -> TradingPolicy:
    """One evaluation with the risk state's fields and the other inputs mixed in *more*."""
    risk = {key: more.pop(key) for key in list(more) if key in RiskState.__struct_fields__}
    inputs = PolicyInputs(
        regime_tag=Trend(trend),
        vol_level=VolLevel(vol),
        direction=None if direction is None else Direction(direction),
        risk_state=RiskState(**risk),
        **more,
    )
    return evaluate(inputs, load_profile(profile) if isinstance(profile, str) else profile)


def fired(policy: TradingPolicy) -> set[str]:
    return {rule.rule for rule in policy.rules}


# profile, trend, vol, direction, more, risk, confidence, entry, exit, risk profile
WORKED = [
    ("STANDARD", "TRENDING", "NORMAL", None, {}, 1.0, 0.47, "AGGRESSIVE", "TREND_FOLLOW", "NORMAL"),
    ("STANDARD", "TRENDING", "HIGH", None, {}, 0.5, 0.53, "NORMAL", "TREND_FOLLOW", "REDUCED"),
    (
        "STANDARD",
        "RANGING",
        "HIGH",
        None,
        {"losing_streak": 6, "cost_metrics": COSTLY},
        0.105,
        0.66,
        "DEFENSIVE",
        "FAST_TP",
        "REDUCED",
    ),
    ("STANDARD", "RANGING", "NORMAL", None, {}, 0.7, 0.55, "DEFENSIVE", "FAST_TP", "NORMAL"),
    ("STANDARD", "TRENDING", "LOW", "UP", {}, 1.0, 0.50, "NORMAL", "TREND_FOLLOW", "NORMAL"),
    ("SAFE", "TRENDING", "NORMAL", "UP", {}, 0.72, 0.55, "NORMAL", "TREND_FOLLOW", "NORMAL"),
    ("SAFE", "TRENDING", "NORMAL", None, {}, 0.64, 0.55, "NORMAL", "TREND_FOLLOW", "NORMAL"),
    (
        "SAFE",
        "TRENDING",
        "HIGH",
        "UP",
        {"losing_streak": 3, "current_drawdown_pct": -1.5},
        0.1496,
        0.65,
        "DEFENSIVE",
        "DEFENSIVE_TRAIL",
        "REDUCED",
    ),
    ("SAFE", "TRENDING", "NORMAL", "DOWN", {}, 0.24, 0.63, "DEFENSIVE", "FAST_TP", "NORMAL"),
    ("AGGRESSIVE", "TRENDING", "NORMAL", "UP", {}, 1.56, 0.43, "AGGRESSIVE", "TREND_FOLLOW", "NORMAL"),
    ("AGGRESSIVE", "TRENDING", "NORMAL", "DOWN", {}, 0.72, 0.50, "NORMAL", "TREND_FOLLOW", "NORMAL"),
    ("AGGRESSIVE", "RANGING", "NORMAL", None, {}, 0.84, 0.47, "AGGRESSIVE", "TREND_FOLLOW", "NORMAL"),
    # F1: the lowest risk and the highest confidence of any row
    ("SAFE", "UNKNOWN", "NORMAL", None, {}, 0.24, 0.65, "DEFENSIVE", "FAST_TP", "NORMAL"),
    ("STANDARD", "UNKNOWN", "NORMAL", None, {}, 0.5, 0.55, "DEFENSIVE", "FAST_TP", "NORMAL"),
    ("STANDARD", "TRENDING", "NORMAL", None, {"market_age_bars": 3.1}, 0.5, 0.55, "DEFENSIVE", "FAST_TP", "NORMAL"),
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"market_age_bars": math.nan},
        0.5,
        0.55,
        "DEFENSIVE",
        "FAST_TP",
        "NORMAL",
    ),
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"market_age_bars": 3.0},
        1.0,
        0.47,
        "AGGRESSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    # B2 latched after the streak broke; each win while latched multiplies the risk
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"broken_streak": 5, "wins_since": 1},
        0.3,
        0.52,
        "DEFENSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"broken_streak": 5, "wins_since": 2},
        1.0,
        0.47,
        "AGGRESSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "SAFE",
        "TRENDING",
        "NORMAL",
        "UP",
        {"broken_streak": 4, "wins_since": 1},
        0.72 * 0.3 * 1.1,
        0.60,
        "DEFENSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    # D1 by cost sensitivity, D3, E1
    (
        "SAFE",
        "TRENDING",
        "NORMAL",
        "UP",
        {"cost_metrics": COSTLY},
        0.72 * 0.49,
        0.61,
        "NORMAL",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "AGGRESSIVE",
        "TRENDING",
        "NORMAL",
        "UP",
        {"cost_metrics": COSTLY},
        1.56 * 0.9,
        0.44,
        "AGGRESSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"cost_metrics": COSTLY},
        1.0,
        0.50,
        "DEFENSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "SAFE",
        "TRENDING",
        "NORMAL",
        "UP",
        {"cost_metrics": create_cost_metrics("LOW", "LOW", "LOW")},
        0.72,
        0.60,
        "NORMAL",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"cost_metrics": create_cost_metrics("LOW", "LOW", "LOW")},
        1.0,
        0.47,
        "AGGRESSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"ensemble_quality": 0.39},
        1.0,
        0.52,
        "AGGRESSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
    (
        "STANDARD",
        "TRENDING",
        "NORMAL",
        None,
        {"ensemble_quality": 0.40},
        1.0,
        0.47,
        "AGGRESSIVE",
        "TREND_FOLLOW",
        "NORMAL",
    ),
]


@pytest.mark.parametrize(
    ("profile", "trend", "vol", "direction", "more", "risk", "confidence", "entry", "exit_", "level"), WORKED
)
def test_worked_cases_come_out_as_the_specification_prints_them(
    profile: str,
    trend: str,
    vol: str,
    direction: str | None,
    more: dict[str, Any],
    risk: float,
    confidence: float,
    entry: str,
    exit_: str,
    level: str,
) -> None:
    """Risk, confidence, modes and risk profile of each worked case."""
    policy = decide(profile, trend, vol, direction, **more)
    assert policy.allow_new_trades is True
    assert (risk, confidence) == (pytest.approx(policy.max_risk_pct), pytest.approx(policy.min_confidence))
    assert (entry, exit_, level) == (policy.entry_mode, policy.exit_mode, policy.risk_profile)


REFUSALS = [
    ("A4", {"vol": "EXTREME"}),
    ("B1", {"current_drawdown_pct": -3.0}),
    ("B1", {"daily_pnl_pct": -3.5}),
    ("B3", {"open_trades_count": 8}),
    ("B4", {"total_exposure_pct": 15.0}),
    ("D2", {"cost_metrics": create_cost_metrics("LOW", "LOW", cost_in_r=0.21)}),
    ("F2", {"equity": 0.0}),
    ("F2", {"equity": math.nan}),
    ("F2", {"risk_age_s": 61.0}),
]


@pytest.mark.parametrize(("rule", "more"), REFUSALS)
def test_a_limit_closes_trading_and_says_which(rule: str, more: dict[str, Any]) -> None:
    """Each limit of STANDARD: no new trades, NO_NEW_TRADES, and the rule is listed."""
    policy = decide("STANDARD", "TRENDING", more.pop("vol", "NORMAL"), **more)
    assert (policy.allow_new_trades, policy.risk_profile) == (False, "NO_NEW_TRADES")
    assert rule in fired(policy)
    assert rule in policy.note


def test_a_note_that_leaves_symbols_out_says_how_many() -> None:
    """Four effects of a rule are listed, the others counted; with four nothing is said of more."""
    fired_for = [
        RuleFired(rule="C1", field=f"symbol {symbol}", before="allowed", after="disallowed", why="barred")
        for symbol in "ABCDEF"
    ]

    assert note_of(fired_for).endswith("symbol D allowed → disallowed and 2 more)")
    assert note_of(fired_for[:4]).endswith("symbol D allowed → disallowed)")


@pytest.mark.parametrize(
    "more",
    [
        {"current_drawdown_pct": -2.99},
        {"daily_pnl_pct": -2.99},
        {"open_trades_count": 7},
        {"total_exposure_pct": 14.99},
        {"cost_metrics": create_cost_metrics("LOW", "LOW", cost_in_r=0.20)},
        {"equity": 1.0},
        {"risk_age_s": 60.0},
    ],
)
def test_just_inside_a_limit_trading_stays_open(more: dict[str, Any]) -> None:
    """The last value inside each limit."""
    assert decide("STANDARD", "TRENDING", "NORMAL", **more).allow_new_trades is True


def test_extreme_volatility_leaves_no_risk() -> None:
    """A4: risk × 0, confidence + extreme_vol."""
    policy = decide("SAFE", "RANGING", "EXTREME")
    assert policy.max_risk_pct == 0.0
    assert policy.min_confidence == pytest.approx(0.75)


def test_a_risk_of_zero_means_no_new_trades() -> None:
    """Seven losses under SAFE's penalty leave nothing: rule ZERO closes trading."""
    policy = decide("SAFE", "TRENDING", "NORMAL", "UP", losing_streak=7)
    assert (policy.max_risk_pct, policy.allow_new_trades) == (0.0, False)
    assert "ZERO" in fired(policy)


def test_confidence_is_clamped_at_095() -> None:
    """Adjustments cannot ask for more than 0.95."""
    config = OrchestratorConfig(base_confidence=0.95)
    assert decide(config, "RANGING", "HIGH").min_confidence == 0.95


def test_recovery_cannot_lift_the_risk_above_its_ceiling() -> None:
    """Eight wins at ×3 while still latched: the risk stops at base × max(1, the label's multiplier)."""
    config = OrchestratorConfig(recovery_multiplier=3.0, recovery_after_streak=10)
    policy = decide(config, "TRENDING", "NORMAL", broken_streak=9, wins_since=8)
    assert policy.max_risk_pct == 1.0
    assert "CLAMP" in fired(policy)


SYMBOLS = [
    ("STANDARD", {"performance_tag": "BAD"}, True),
    ("STANDARD", {"winrate": 0.0, "avg_r": -1.0, "trades": 50, "consecutive_losses": 9}, False),
    ("SAFE", {"winrate": 0.44, "trades": 5}, True),
    ("SAFE", {"winrate": 0.44, "trades": 4}, False),
    ("SAFE", {"avg_r": 0.59, "trades": 5}, True),
    ("SAFE", {"consecutive_losses": 3, "trades": 5}, True),
    ("SAFE", {"consecutive_losses": 2, "trades": 5}, False),
    ("AGGRESSIVE", {"winrate": 0.36, "avg_r": 0.31, "trades": 99}, False),
]


@pytest.mark.parametrize(("profile", "change", "banned"), SYMBOLS)
def test_c1_bans_by_tag_and_by_thresholds_from_five_trades(profile: str, change: dict[str, Any], banned: bool) -> None:
    """C1 per profile: the tag always, the thresholds where the profile has them."""
    values: dict[str, Any] = {
        "symbol": "X",
        "winrate": 0.6,
        "avg_r": 1.0,
        "cumulative_pnl": 0.0,
        "performance_tag": "NEUTRAL",
        **change,
    }
    good = create_symbol_performance("GOOD", 0.9, 2.0, 5.0, "GOOD", 99)
    policy = decide(profile, "TRENDING", "NORMAL", symbol_performance=(create_symbol_performance(**values), good))
    assert ("X" in policy.disallowed_symbols) is banned
    assert ("X" in policy.allowed_symbols) is not banned
    assert policy.for_symbol("X").allow_new_trades is not banned
    assert "GOOD" in policy.allowed_symbols


def test_d2_refuses_only_the_symbol_whose_cost_is_too_high() -> None:
    """Costs per symbol: the dear one is disallowed with its reason, the other trades on."""
    costs = {"DEAR": CostMetrics(cost_in_r=0.5), "CHEAP": CostMetrics(cost_in_r=0.01)}
    policy = decide("STANDARD", "TRENDING", "NORMAL", cost_metrics=costs)
    assert "D2" in policy.disallowed_symbols["DEAR"]
    assert (policy.allow_new_trades, policy.for_symbol("CHEAP").allow_new_trades) == (True, True)


def test_a_symbol_is_judged_by_its_own_market() -> None:
    """One symbol EXTREME and one RANGING under a trending overall market."""
    markets = {
        "WILD": MarketState(trend=Trend.TRENDING, direction=Direction.UP, vol_level=VolLevel.EXTREME),
        "FLAT": MarketState(trend=Trend.RANGING, direction=None, vol_level=VolLevel.NORMAL),
    }
    policy = decide("STANDARD", "TRENDING", "NORMAL", markets=markets)
    assert policy.allow_new_trades is True
    assert policy.for_symbol("WILD").allow_new_trades is False
    assert (policy.for_symbol("FLAT").entry_mode, policy.for_symbol("FLAT").max_risk_pct) == ("DEFENSIVE", 0.7)
    assert "A2" in {rule.rule for rule in policy.for_symbol("FLAT").rules}


def test_unlisted_symbols_are_allowed_only_when_no_symbol_is_known() -> None:
    """No known symbols: every unlisted one is allowed; with known ones it is not."""
    none_known = decide("STANDARD", "TRENDING", "NORMAL")
    one_known = decide(
        "STANDARD", "TRENDING", "NORMAL", symbol_performance=(create_symbol_performance("A", 0.5, 0.1, 0.0, "NEUTRAL"),)
    )
    assert (none_known.allows("NEW"), one_known.allows("NEW"), one_known.allows("A")) == (True, False, True)


def test_stale_markets_never_loosen_what_was_known() -> None:
    """F1 keeps the safer of its own row and of the state that has grown old."""
    fresh = decide("STANDARD", "RANGING", "HIGH")
    stale = decide("STANDARD", "RANGING", "HIGH", market_age_bars=10.0)
    assert stale.max_risk_pct <= fresh.max_risk_pct
    assert stale.min_confidence >= fresh.min_confidence


def test_every_rule_code_has_its_row() -> None:
    """The codes of the layout and the rows of the table are one list."""
    assert len(set(RULE_NAMES)) == len(RULES) == RULE_STREAK_END + 1
    assert (RULE_NAMES[RULE_A], RULE_NAMES[RULE_HOLD]) == ("A", "HOLD")


@pytest.mark.parametrize(
    ("ratio", "level"),
    [
        (0.0049, "LOW"),
        (0.005, "NORMAL"),
        (0.0399, "NORMAL"),
        (0.04, "HIGH"),
        (0.06, "EXTREME"),
        (math.nan, "UNKNOWN"),
        (math.inf, "UNKNOWN"),
        (-0.01, "UNKNOWN"),
    ],
)
def test_volatility_levels_follow_the_thresholds(ratio: float, level: str) -> None:
    """STANDARD's 0.04 and 0.06, and 0.005 below which volatility is LOW."""
    codes = ("LOW", "NORMAL", "HIGH", "EXTREME", "UNKNOWN")
    assert level == codes[vol_level(ratio, 0.04, 0.06)]


def test_a_streak_breaks_recovers_and_is_judged_anew() -> None:
    """Losses count up; the first win breaks the streak; a shorter streak within the recovery does not hide it."""
    streak = (0, 0, 0)
    for won in (False, False, False, True):
        streak = next_streak(*streak, won, 2)
    assert streak == (0, 3, 1)
    assert next_streak(*next_streak(*streak, False, 2), True, 2) == (0, 3, 2)
    assert next_streak(1, 7, 9, True, 2) == (0, 1, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("current_drawdown_pct", 1.5),
        ("current_drawdown_pct", math.nan),
        ("losing_streak", -1),
        ("losing_streak", 1.5),
        ("total_exposure_pct", -1.0),
        ("daily_pnl_pct", math.inf),
    ],
)
def test_a_risk_state_out_of_its_domain_is_refused_by_key(key: str, value: Any) -> None:
    """The error names the key."""
    with pytest.raises(InputError, match=key):
        RiskState(**{key: value})


@pytest.mark.parametrize(("key", "value"), [("ensemble_quality", 1.2), ("market_age_bars", -1.0)])
def test_other_inputs_out_of_their_domain_are_refused_by_key(key: str, value: Any) -> None:
    """The error names the key."""
    with pytest.raises(InputError, match=key):
        decide("SAFE", "TRENDING", "NORMAL", **{key: value})
