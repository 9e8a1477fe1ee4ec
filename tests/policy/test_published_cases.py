"""The published test cases, by name, against the public interface."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quantum_trader.policy import (
    OrchestratorConfig,
    OrchestratorPolicy,
    RiskState,
    SymbolPerformanceData,
    TradingPolicy,
    create_cost_metrics,
    create_risk_state,
    create_symbol_performance,
)

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
NORMAL_COSTS = create_cost_metrics("NORMAL", "NORMAL")
PERFORMANCES = [
    create_symbol_performance("BTCUSDT", 0.60, 1.5, 1000.0, "GOOD"),
    create_symbol_performance("ETHUSDT", 0.55, 1.2, 500.0, "NEUTRAL"),
    create_symbol_performance("SOLUSDT", 0.25, -0.5, -300.0, "BAD"),
]


@pytest.fixture
def orchestrator() -> OrchestratorPolicy:
    return OrchestratorPolicy(config=OrchestratorConfig(policy_update_interval_sec=1))


@pytest.fixture
def risk() -> RiskState:
    return create_risk_state(
        daily_pnl_pct=0.5, current_drawdown_pct=-0.8, losing_streak=1, open_trades_count=3, total_exposure_pct=6.0
    )


def update(
    orchestrator: OrchestratorPolicy, risk: RiskState, regime: str = "TRENDING", vol: str = "NORMAL", **more: Any
) -> TradingPolicy:
    more = {"symbol_performance": PERFORMANCES, "cost_metrics": NORMAL_COSTS, "now": START, **more}
    return orchestrator.update_policy(regime_tag=regime, vol_level=vol, risk_state=risk, **more)


def policy(**change: Any) -> TradingPolicy:
    values: dict[str, Any] = {
        "allow_new_trades": True,
        "risk_profile": "NORMAL",
        "max_risk_pct": 1.0,
        "min_confidence": 0.50,
        "entry_mode": "NORMAL",
        "exit_mode": "TREND_FOLLOW",
        "allowed_symbols": ["BTCUSDT"],
        "disallowed_symbols": [],
        "note": "one",
        "timestamp": "2025-01-01T00:00:00Z",
        **change,
    }
    return TradingPolicy(**values)


def test_default_config() -> None:
    """OrchestratorConfig() is STANDARD."""
    config = OrchestratorConfig()
    assert config == OrchestratorConfig.from_profile("standard")
    assert (config.base_confidence, config.base_risk_pct, config.daily_dd_limit, config.losing_streak_limit) == (
        0.5,
        1.0,
        3.0,
        5,
    )


def test_custom_config() -> None:
    """Single values override, the rest stays STANDARD."""
    config = OrchestratorConfig(base_confidence=0.55, daily_dd_limit=5.0)
    assert (config.base_confidence, config.daily_dd_limit, config.max_open_positions) == (0.55, 5.0, 8)


def test_risk_state_creation() -> None:
    """The maker takes its arguments in order."""
    made = create_risk_state(1.5, -2.0, 3, 5, 10.0)
    assert (
        made.daily_pnl_pct,
        made.current_drawdown_pct,
        made.losing_streak,
        made.open_trades_count,
        made.total_exposure_pct,
    ) == (1.5, -2.0, 3, 5, 10.0)


def test_symbol_performance_creation() -> None:
    """The maker takes its arguments in order; the tag compares equal to its word."""
    made = create_symbol_performance("BTCUSDT", 0.60, 1.5, 1000.0, "GOOD", 7, 2)
    assert made == SymbolPerformanceData(
        symbol="BTCUSDT",
        winrate=0.60,
        avg_r=1.5,
        cumulative_pnl=1000.0,
        performance_tag=made.performance_tag,
        trades=7,
        consecutive_losses=2,
    )
    assert made.performance_tag == "GOOD"


def test_cost_metrics_creation() -> None:
    """Levels may be words."""
    made = create_cost_metrics("HIGH", "NORMAL", funding_rate_estimate=0.001)
    assert (made.spread_level, made.slippage_level, made.funding_rate_estimate) == ("HIGH", "NORMAL", 0.001)


def test_similarity_of_identical_policies() -> None:
    """Note and time do not count."""
    assert policy().similarity_score(policy(note="two", timestamp="2025-01-01T00:01:00Z")) == 1.0


def test_similarity_of_completely_different_policies() -> None:
    """Nothing in common is nearly 0, from either side."""
    other = policy(
        allow_new_trades=False,
        risk_profile="NO_NEW_TRADES",
        max_risk_pct=0.3,
        min_confidence=0.65,
        entry_mode="DEFENSIVE",
        exit_mode="FAST_TP",
        allowed_symbols=["ETHUSDT"],
        disallowed_symbols=["BTCUSDT"],
    )
    assert policy().similarity_score(other) == other.similarity_score(policy()) == 0.0


def test_similarity_of_slightly_different_policies() -> None:
    """Numbers within a tenth count as equal; a banned symbol costs its weight."""
    assert policy().similarity_score(policy(max_risk_pct=1.05, min_confidence=0.51)) == 1.0
    assert policy().similarity_score(policy(max_risk_pct=1.2)) == 0.85
    assert policy().similarity_score(policy(disallowed_symbols={"X": "why"})) == 0.95


def test_extreme_volatility_blocks_trades(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """EXTREME volatility: no new trades, and the note says so."""
    got = update(orchestrator, risk, vol="EXTREME")
    assert (got.allow_new_trades, got.risk_profile) == (False, "NO_NEW_TRADES")
    assert "EXTREME" in got.note


def test_drawdown_limit_hit(orchestrator: OrchestratorPolicy) -> None:
    """A drawdown of 3.5 % is beyond 3.0."""
    got = update(orchestrator, create_risk_state(-4.0, -3.5, 2, 2, 5.0))
    assert (got.allow_new_trades, got.risk_profile) == (False, "NO_NEW_TRADES")
    assert "DD limit" in got.note


def test_losing_streak_reduces_risk(orchestrator: OrchestratorPolicy) -> None:
    """Six losses: 30 % of the risk, DEFENSIVE, a higher confidence."""
    got = update(orchestrator, create_risk_state(-1.5, -1.8, 6, 2, 4.0))
    assert (got.max_risk_pct, got.entry_mode) == (pytest.approx(0.3), "DEFENSIVE")
    assert got.min_confidence == pytest.approx(0.52)
    assert "streak" in got.note


def test_ranging_market_is_defensive(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """RANGING: DEFENSIVE, FAST_TP, risk ×0.7, confidence +0.05."""
    got = update(orchestrator, risk, regime="RANGING")
    assert (got.entry_mode, got.exit_mode) == ("DEFENSIVE", "FAST_TP")
    assert (got.max_risk_pct, got.min_confidence) == (pytest.approx(0.7), pytest.approx(0.55))
    assert "RANGING" in got.note


def test_trending_market_is_aggressive(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """TRENDING with NORMAL volatility: AGGRESSIVE, TREND_FOLLOW, confidence −0.03."""
    got = update(orchestrator, risk)
    assert (got.entry_mode, got.exit_mode) == ("AGGRESSIVE", "TREND_FOLLOW")
    assert got.min_confidence == pytest.approx(0.47)
    assert "TRENDING" in got.note


def test_bad_symbol_excluded(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """BAD performers are disallowed with a reason, the others allowed."""
    got = update(orchestrator, risk)
    assert set(got.disallowed_symbols) == {"SOLUSDT"}
    assert set(got.allowed_symbols) == {"BTCUSDT", "ETHUSDT"}
    assert "C1" in got.disallowed_symbols["SOLUSDT"]


def test_high_spread_is_stricter(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """High costs: DEFENSIVE and +0.03 once."""
    got = update(orchestrator, risk, cost_metrics=create_cost_metrics("HIGH", "HIGH"))
    assert (got.entry_mode, got.min_confidence) == ("DEFENSIVE", pytest.approx(0.50))
    assert "cost" in got.note


def test_high_volatility_reduces_risk(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """HIGH volatility: REDUCED, half the risk."""
    got = update(orchestrator, risk, vol="HIGH")
    assert (got.risk_profile, got.max_risk_pct) == ("REDUCED", pytest.approx(0.5))


def test_position_limit(orchestrator: OrchestratorPolicy) -> None:
    """Eight positions are the limit."""
    got = update(orchestrator, create_risk_state(1.0, -0.5, 0, 8, 12.0))
    assert got.allow_new_trades is False
    assert "positions" in got.note


def test_exposure_limit(orchestrator: OrchestratorPolicy) -> None:
    """16 % of margin is beyond 15."""
    got = update(orchestrator, create_risk_state(2.0, -0.3, 0, 5, 16.0))
    assert got.allow_new_trades is False
    assert "exposure" in got.note


def test_no_oscillation_on_similar_inputs(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """The same question again: the same policy, not a new one."""
    first = update(orchestrator, risk)
    assert update(orchestrator, risk, now=START + timedelta(seconds=5)) is first
    again = create_risk_state(0.51, -0.8, 1, 3, 6.0)
    assert update(orchestrator, again, now=START + timedelta(seconds=9)).timestamp == first.timestamp


def test_update_after_interval(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """Another market after the interval: another policy."""
    first = update(orchestrator, risk)
    second = update(orchestrator, risk, regime="RANGING", vol="HIGH", now=START + timedelta(seconds=2))
    assert second.timestamp == START + timedelta(seconds=2)
    assert first.entry_mode != second.entry_mode


def test_low_ensemble_quality_raises_confidence(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """A quality of 0.35 costs 0.05."""
    got = update(orchestrator, risk, ensemble_quality=0.35)
    assert got.min_confidence == pytest.approx(0.52)
    assert "ensemble" in got.note


def test_get_policy(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """Before an evaluation nothing is permitted; after it the policy in force."""
    assert orchestrator.get_policy().allow_new_trades is False
    got = update(orchestrator, risk)
    assert orchestrator.get_policy() is got


def test_reset_daily(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """A reset starts from the base values where trading is open."""
    update(orchestrator, risk, regime="RANGING", vol="HIGH")
    orchestrator.reset_daily(now=START)
    got = orchestrator.get_policy()
    assert (got.risk_profile, got.entry_mode, got.max_risk_pct) == ("NORMAL", "NORMAL", 1.0)
    assert "SOLUSDT" in got.disallowed_symbols


def test_reset_daily_does_not_open_what_a_limit_closed(orchestrator: OrchestratorPolicy) -> None:
    """A reset on a day whose limit was hit leaves trading closed."""
    update(orchestrator, create_risk_state(-4.0, -3.5, 2, 2, 5.0))
    orchestrator.reset_daily(now=START)
    assert orchestrator.get_policy().allow_new_trades is False
    assert (
        update(orchestrator, create_risk_state(0, 0, 0, 0, 0), now=START + timedelta(hours=1)).allow_new_trades is False
    )


def test_policy_history(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """Each policy that came into force is kept, oldest first."""
    for minute, vol in enumerate(("NORMAL", "HIGH", "LOW")):
        update(orchestrator, risk, vol=vol, now=START + timedelta(minutes=minute))
    history = orchestrator.get_history()
    assert len(history) == 3
    assert history[-1] is orchestrator.get_policy()
    assert orchestrator.get_history(limit=1) == history[-1:]


def test_history_keeps_the_last_hundred(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """Older ones fall away."""
    for minute in range(150):
        update(
            orchestrator,
            risk,
            vol="HIGH" if minute % 2 else "NORMAL",
            regime="RANGING" if minute % 3 else "TRENDING",
            now=START + timedelta(minutes=minute),
        )
    assert len(orchestrator.get_history()) == 100


def test_several_constraints_compound(orchestrator: OrchestratorPolicy) -> None:
    """RANGING, HIGH, six losses and high costs: 0.105 % and 0.66."""
    got = update(
        orchestrator,
        create_risk_state(-2.0, -2.5, 6, 4, 8.0),
        regime="RANGING",
        vol="HIGH",
        cost_metrics=create_cost_metrics("HIGH", "HIGH"),
    )
    assert (got.max_risk_pct, got.min_confidence) == (pytest.approx(0.105), pytest.approx(0.66))
    assert (got.entry_mode, got.exit_mode, got.risk_profile) == ("DEFENSIVE", "FAST_TP", "REDUCED")


def test_empty_symbol_list(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """No symbols known: both sets empty, any symbol allowed."""
    got = update(orchestrator, risk, symbol_performance=[])
    assert (len(got.allowed_symbols), len(got.disallowed_symbols), got.allows("NEW")) == (0, 0, True)


def test_no_cost_metrics(orchestrator: OrchestratorPolicy, risk: RiskState) -> None:
    """Costs not measured: no adjustment."""
    assert update(orchestrator, risk, cost_metrics=None).min_confidence == pytest.approx(0.47)


def test_zero_risk_state(orchestrator: OrchestratorPolicy) -> None:
    """An account that has done nothing may trade."""
    assert update(orchestrator, create_risk_state(0, 0, 0, 0, 0)).allow_new_trades is True


def test_the_library_imports_neither_numpy_nor_a_compiler() -> None:
    """A bot that imports the policy pays for the policy alone."""
    names = "('numpy', 'numba', 'polars', 'typer')"
    code = f"import sys, quantum_trader.policy; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_policy_is_frozen(orchestrator: OrchestratorPolicy) -> None:
    """The policy in force cannot be edited."""
    with pytest.raises(AttributeError, match="frozen"):
        orchestrator.get_policy().max_risk_pct = 9.0
