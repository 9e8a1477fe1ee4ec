"""A council over real HTTP against the test server; also a program, for the test that kills it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.lab.statements.day_snapshot import day_snapshot

from quantum_trader.lab.council.answers import AnswerStore
from quantum_trader.lab.council.calls import ModelCaller
from quantum_trader.lab.council.council import Council, CouncilReport
from quantum_trader.lab.council.ledger import CostLedger
from quantum_trader.lab.council.providers import PydanticAiPort
from quantum_trader.lab.council.settings import CouncilModel, CouncilSettings
from quantum_trader.lab.metrics.values import MetricSnapshot

KEY = "COUNCIL_TEST_KEY"
JUDGE = "the-judge"


def model(base_url: str, name: str, **values: Any) -> CouncilModel:
    """A model of the test server at 1 USD and 2 USD for a million tokens."""
    return CouncilModel(**({
        "name": name, "model": name.lower(), "base_url": base_url, "api_key_env": KEY, "input_usd_per_million": 1.0,
        "output_usd_per_million": 2.0, "timeout_s": 20.0,
    } | values))


def settings(base_url: str, *names: str, judge: bool = True, budget: float = 12.0, **values: Any) -> CouncilSettings:
    """A council of the named analysts and a judge."""
    return CouncilSettings(
        analysts=tuple(model(base_url, name, **values) for name in names),
        judge=model(base_url, "The-Judge") if judge else None, budget_usd_month=budget,
    )


def sit(
    made: CouncilSettings, folder: Path, snapshot: MetricSnapshot | None = None, *, keys: dict[str, str] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, again: bool = False,
    clock: Callable[[], int] = time.time_ns,
) -> CouncilReport:
    """One sitting."""
    ledger = CostLedger(folder, clock=clock, pause=time.sleep)
    caller = ModelCaller(
        PydanticAiPort(clock), AnswerStore(folder), ledger, limit_usd=made.budget_usd_month, sleep=sleep, clock=clock,
        repeat_cut_off=again,
    )
    council = Council(made, {KEY: "secret"} if keys is None else keys, caller)
    return asyncio.run(council.sit(day_snapshot() if snapshot is None else snapshot))


if __name__ == "__main__":
    sit(settings(sys.argv[1], "First", "Second"), Path(sys.argv[2]))
