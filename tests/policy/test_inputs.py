"""Inputs of the wrong shape are refused with an error that names them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.policy import (
    CostMetrics,
    OrchestratorConfig,
    OrchestratorPolicy,
    RiskState,
    create_risk_state,
    create_symbol_performance,
)

NOON_NS = 1_704_110_400_000_000_000


@pytest.mark.parametrize(
    "costs",
    [
        "HIGH",
        {"spread_level": "HIGH", "slippage_level": "LOW"},
        {"BTCUSDT": {"spread_level": "HIGH"}},
        CostMetrics(spread_level="WIDE"),  # type: ignore[arg-type]
    ],
)
def test_costs_of_the_wrong_shape_are_named(costs: Any) -> None:
    """An InputError that says what would be right."""
    policy = OrchestratorPolicy(OrchestratorConfig())

    with pytest.raises(InputError, match=r"cost_metrics = .*create_cost_metrics"):
        policy.update_policy("TRENDING", "NORMAL", create_risk_state(0, 0, 0, 0, 0), (), 0.5, costs, now=NOON_NS)


def test_the_days_drawdown_has_its_name_and_the_published_one() -> None:
    """Either keyword, or the second place, gives the same state; where both are given the worse counts."""
    by_name, by_place, published = (
        create_risk_state(0.0, day_drawdown_pct=-1.5, losing_streak=0, open_trades_count=0, total_exposure_pct=0.0),
        create_risk_state(0.0, -1.5, 0, 0, 0.0),
        create_risk_state(0.0, current_drawdown_pct=-1.5, losing_streak=0, open_trades_count=0, total_exposure_pct=0.0),
    )
    assert by_name == by_place == published == RiskState(current_drawdown_pct=-1.5) == RiskState(day_drawdown_pct=-1.5)
    assert (published.day_drawdown_pct, by_name.current_drawdown_pct) == (-1.5, -1.5)
    assert RiskState(day_drawdown_pct=-1.0, current_drawdown_pct=-2.0).day_drawdown_pct == -2.0


def test_the_days_drawdown_is_derived_where_an_equity_is_given() -> None:
    """Without either it is missing; with an equity the policy derives it: 10,000 then 9,700 is -3 %, B1 of STANDARD."""
    rest: dict[str, Any] = {"losing_streak": 0, "open_trades_count": 0, "total_exposure_pct": 0.0}
    with pytest.raises(InputError, match="day_drawdown_pct: is missing; give it, or give equity"):
        create_risk_state(0.0, **rest)
    with pytest.raises(InputError, match="losing_streak: is missing"):
        create_risk_state(0.0, -1.0)
    policy = OrchestratorPolicy(profile_name="STANDARD")
    for minute, equity, opens in ((0, 10_000.0, True), (1, 9_701.0, True), (2, 9_700.0, False)):
        now = datetime(2024, 3, 1, 12, minute, tzinfo=UTC)
        got = policy.update_policy("TRENDING", "NORMAL", create_risk_state(0.0, equity=equity, **rest), now=now)
        assert got.allow_new_trades is opens


def test_a_symbol_is_told_why_it_may_not_be_traded_whatever_refuses_it() -> None:
    """A ban, a limit, both, a wait, and before the first evaluation; nothing where a trade is permitted."""
    policy = OrchestratorPolicy(profile_name="STANDARD")
    now = datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert policy.get_policy().for_symbol("A").reason == "not evaluated yet: no new trades"

    def reasons(minute: int, open_count: int, tag: str) -> tuple[str, str]:
        got = policy.update_policy(
            "TRENDING", "NORMAL", RiskState(open_trades_count=open_count),
            [create_symbol_performance("A", 0.5, 0.1, 0.0, "GOOD"), create_symbol_performance("B", 0.5, 0.1, 0.0, tag)],
            now=now + timedelta(minutes=minute),
        )
        return got.for_symbol("A").reason, got.for_symbol("B").reason

    limit, bad = "B3 POSITION_LIMIT: too many open positions", "C1 symbol's own results are bad"
    assert reasons(0, 0, "GOOD") == ("", "")
    assert reasons(1, 0, "BAD") == ("", bad)
    assert reasons(2, 8, "BAD") == (limit, f"{bad}; {limit}")
    assert reasons(3, 0, "BAD") == ("HOLD looser value waits", f"{bad}; HOLD looser value waits")
