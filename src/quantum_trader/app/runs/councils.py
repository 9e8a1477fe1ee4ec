"""The council of a user: where its answers and its costs lie, and one sitting about a day of a run."""

from __future__ import annotations

import asyncio
import os
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from quantum_trader.app.runs.registries import registry_folder
from quantum_trader.domain.errors import InputError
from quantum_trader.lab.council.ledger import CostLedger
from quantum_trader.policy import clock

if TYPE_CHECKING:
    from quantum_trader.lab.council.council import CouncilReport
    from quantum_trader.lab.council.settings import CouncilSettings
    from quantum_trader.lab.metrics.values import MetricSnapshot

COUNCIL_VARIABLE: Final = "QUANTUM_TRADER_COUNCIL"  # the council's folder where no option names one
COUNCIL_FOLDER: Final = "council"
DAYS_BEFORE: Final = 7  # that a sitting is told of, beside its day


def council_folder(given: Path | str | None) -> Path:
    """The folder *given*, else the one that QUANTUM_TRADER_COUNCIL names, else ``council`` beside this user's registry.

    One budget for all runs.
    """
    named = given or os.environ.get(COUNCIL_VARIABLE, "").strip()
    return Path(named) if named else registry_folder(None).parent / COUNCIL_FOLDER


def open_costs(given: Path | str | None) -> CostLedger:
    """The ledger of costs in the folder *given*, or this user's."""
    return CostLedger(council_folder(given), clock=clock.now_ns, pause=clock.pause)


def api_keys_of(settings: CouncilSettings) -> dict[str, str]:
    """The API keys in the environment that the models of *settings* name."""
    models = [*settings.analysts, *([settings.judge] if settings.judge else [])]
    names = {one.api_key_env for one in models if one.api_key_env}
    return {name: os.environ[name] for name in sorted(names) if os.environ.get(name, "").strip()}


def snapshot_of(state: Path, day: str) -> MetricSnapshot:
    """The figures of *day* of the run in *state* and of the week before it; the last day where *day* is empty.

    The whole run's figures are among them on its last day alone: on an earlier one they would tell of what came after.
    """
    from quantum_trader.lab.metrics.computer import MetricsComputer
    from quantum_trader.lab.metrics.values import WHOLE, MetricSnapshot

    whole = MetricsComputer(state).compute()
    chosen = day or whole.day
    try:
        first = (date.fromisoformat(chosen) - timedelta(days=DAYS_BEFORE)).isoformat()
    except ValueError:
        raise InputError(f"--day {chosen!r}: write a day of the run, such as {whole.day}") from None
    if chosen not in whole.days:
        raise InputError(f"--day {chosen}: the journal has no such day; it has {whole.days[0]} to {whole.days[-1]}")
    values = [
        one for one in whole
        if first <= one.key.day <= chosen or (one.key.day == WHOLE and chosen == whole.day)
    ]
    return MetricSnapshot(whole.metrics, values, chosen)


def hold_council(
    snapshot: MetricSnapshot, settings: CouncilSettings, folder: Path | str | None, *, again: bool = False
) -> CouncilReport:
    """One sitting about *snapshot*, with the keys of the environment."""
    from quantum_trader.lab.council.answers import AnswerStore
    from quantum_trader.lab.council.calls import ModelCaller
    from quantum_trader.lab.council.council import Council
    from quantum_trader.lab.council.providers import PydanticAiPort

    caller = ModelCaller(
        PydanticAiPort(clock.now_ns), AnswerStore(council_folder(folder)), open_costs(folder),
        limit_usd=settings.budget_usd_month, sleep=asyncio.sleep, clock=clock.now_ns, repeat_cut_off=again,
    )
    return asyncio.run(Council(settings, api_keys_of(settings), caller).sit(snapshot))
