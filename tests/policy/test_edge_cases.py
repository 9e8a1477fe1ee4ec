"""Inputs at the edge: none measured, first seen, first equity with a loss, a new day, copies."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from quantum_trader.domain.enums import Direction, Trend, VolLevel
from quantum_trader.domain.market import MarketState
from quantum_trader.policy import OrchestratorConfig, OrchestratorPolicy, RiskState, create_risk_state

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
CALM = MarketState(trend=Trend.TRENDING, direction=Direction.UP, vol_level=VolLevel.NORMAL)


def test_no_symbol_performance_counts_as_not_measured() -> None:
    """None where results would stand means no adjustment, as everywhere."""
    policy = OrchestratorPolicy(OrchestratorConfig())
    given = policy.update_policy("TRENDING", "NORMAL", create_risk_state(0.0, 0.0, 0, 0, 0.0), None, now=NOON)
    assert given.allow_new_trades
    assert not given.disallowed_symbols


def test_a_symbol_named_for_the_first_time_does_not_open_what_is_held_closed() -> None:
    """Closed by a limit five seconds ago: a new symbol's own market is held as the overall policy is."""
    policy = OrchestratorPolicy(OrchestratorConfig())
    risk = create_risk_state(0.0, 0.0, 0, 0, 0.0)
    policy.update_policy("TRENDING", "NORMAL", risk, markets={"AUSDT": CALM}, now=NOON)
    full = create_risk_state(0.0, 0.0, 0, 8, 0.0)
    policy.update_policy("TRENDING", "NORMAL", full, markets={"AUSDT": CALM}, now=NOON + timedelta(seconds=60))
    after = policy.update_policy(
        "TRENDING", "NORMAL", risk, markets={"AUSDT": CALM, "BUSDT": CALM}, now=NOON + timedelta(seconds=65)
    )
    assert not after.for_symbol("AUSDT").allow_new_trades
    assert not after.for_symbol("BUSDT").allow_new_trades


def test_a_loss_that_comes_with_the_first_equity_keeps_trading_closed_for_a_day() -> None:
    """-3.5 % given at 22:00 with the first equity ever: at 00:06 and at 20:00 the next day it is still closed."""
    policy = OrchestratorPolicy(OrchestratorConfig())
    late = datetime(2024, 5, 1, 22, tzinfo=UTC)
    loss = RiskState(daily_pnl_pct=-3.5, current_drawdown_pct=0.0, equity=9_650.0)
    policy.update_policy("TRENDING", "NORMAL", loss, now=late)
    flat = RiskState(daily_pnl_pct=0.0, current_drawdown_pct=0.0, equity=9_650.0)
    for hours in (2.1, 22.0):
        assert not policy.update_policy("TRENDING", "NORMAL", flat, now=late + timedelta(hours=hours)).allow_new_trades


def test_reset_daily_does_not_lift_a_losing_streak() -> None:
    """Six losses in a row cut the risk; a new day changes nothing of that."""
    policy = OrchestratorPolicy(OrchestratorConfig())
    held = policy.update_policy("RANGING", "HIGH", create_risk_state(0.0, 0.0, 6, 0, 0.0), now=NOON)
    reset = policy.reset_daily(now=NOON + timedelta(hours=12))
    assert reset.max_risk_pct == held.max_risk_pct
    assert reset.min_confidence == held.min_confidence


def test_a_policy_can_be_copied_and_pickled() -> None:
    """It travels between processes with the same content."""
    policy = OrchestratorPolicy(OrchestratorConfig())
    given = policy.update_policy("TRENDING", "NORMAL", create_risk_state(0.0, 0.0, 0, 0, 0.0), now=NOON)
    for other in (copy.copy(given), copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
        assert other.content_hash == given.content_hash
        assert given.similarity_score(other) == pytest.approx(1.0)
