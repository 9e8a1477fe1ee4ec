"""How long one policy update takes with 222 symbols.

The reference judges the same 222 results in plain Python: one dict a symbol, compared with that of the call before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from benchmarks.harness import Figure, bench, median_us_in_turns
from benchmarks.references import rows_of_symbols
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
def policy_update() -> Iterator[Figure]:
    """New inputs each call, and the same frozen objects each call; medians of single calls.

    The reference is a plain-Python verdict on each of the 222 symbols, with new results each call.
    """
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

    before: dict[str, Any] = {}

    def plain(i: int) -> object:
        changes = rows_of_symbols(sets[i % 50], before)
        before.update(changes)
        return changes

    name = "plain-Python verdicts on 222 symbols"
    pair = median_us_in_turns(CALLS, fresh, plain)
    yield Figure(
        name="policy.update_new_inputs_p50", value=pair.value, unit="us", reference=pair.reference,
        reference_name=name, at_most=99.0,
    )
    pair = median_us_in_turns(CALLS, frozen, plain)
    yield Figure(
        name="policy.update_same_objects_p50", value=pair.value, unit="us", reference=pair.reference,
        reference_name=name, at_most=99.0,
    )
