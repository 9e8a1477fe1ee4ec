"""Inputs of the wrong shape are refused with an error that names them."""

from __future__ import annotations

from typing import Any

import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.policy import CostMetrics, OrchestratorConfig, OrchestratorPolicy, create_risk_state

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
