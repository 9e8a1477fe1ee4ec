"""How long one policy update takes with 222 symbols."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from benchmarks.harness import Figure, bench, median_us
from quantum_trader.policy import (
    OrchestratorConfig,
    OrchestratorPolicy,
    RiskState,
    SymbolPerformanceData,
    create_cost_metrics,
    create_risk_state,
    create_symbol_performance,
)

SYMBOLS = 222
CALLS = 3_000
START = datetime(2024, 1, 1, tzinfo=UTC)


def results(chance: Random) -> list[SymbolPerformanceData]:
    """One set of 222 symbols' results."""
    tags = ("GOOD", "NEUTRAL", "NEUTRAL", "NEUTRAL", "BAD")
    return [
        create_symbol_performance(
            f"SYM{number:03d}USDT", chance.random(), chance.uniform(-1, 2), chance.uniform(-100, 100),
            chance.choice(tags), chance.randrange(40), chance.randrange(4),
        )
        for number in range(SYMBOLS)
    ]


def risk(chance: Random) -> RiskState:
    """An account that is a little different each time."""
    return create_risk_state(chance.uniform(-1, 1), -chance.uniform(0, 1), chance.randrange(3), 2, 5.0)


@bench("policy")
def policy_update() -> list[Figure]:
    """New inputs each call, and the same frozen objects each call; the reference passes once over 222 objects."""
    chance = Random(7)
    sets = [results(chance) for _ in range(50)]
    risks = [risk(chance) for _ in range(CALLS)]
    costs = [create_cost_metrics("NORMAL", "NORMAL") for _ in range(CALLS)]
    tags = ("TRENDING", "RANGING")
    policy = OrchestratorPolicy(OrchestratorConfig())

    def fresh(i: int) -> object:
        return policy.update_policy(
            tags[i % 2], "NORMAL", risks[i], sets[i % 50], 0.55, costs[i], now=START + timedelta(minutes=i)
        )

    same = OrchestratorPolicy(OrchestratorConfig())
    inputs = ("TRENDING", "NORMAL", risks[0], tuple(sets[0]), 0.55, costs[0])

    def frozen(i: int) -> object:
        return same.update_policy(*inputs, now=START)

    reference = median_us(CALLS, lambda i: [s for s in sets[i % 50] if s.winrate < 0.1 and s.trades > 5])
    name = "one pass over 222 objects"
    return [
        Figure(
            name="policy.update_new_inputs_p50", value=median_us(CALLS, fresh), unit="us", reference=reference,
            reference_name=name, bar="<= 40",
        ),
        Figure(
            name="policy.update_same_objects_p50", value=median_us(CALLS, frozen), unit="us", reference=reference,
            reference_name=name, bar="<= 3",
        ),
    ]
