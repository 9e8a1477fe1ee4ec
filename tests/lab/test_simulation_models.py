"""Simulated days whose signals come from models: warmed up from the venue, restarted with their state, caught."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.lab.test_simulation import PROVOCATIONS, after_bars
from tests.lab.test_simulation_parts import BAR_NS, START_NS, SYMBOL, Place
from typer.testing import CliRunner

from quantum_trader.app.cli.simulate import app
from quantum_trader.domain.errors import ConfigError, VenueError
from quantum_trader.engine.core import Engine
from quantum_trader.lab.simulation.campaign import schedule_of
from quantum_trader.lab.simulation.market import BarsBefore
from quantum_trader.lab.simulation.schedule import Fault, Kind, Schedule
from quantum_trader.lab.simulation.variants import VARIANTS, Variant, live_engine
from quantum_trader.lab.simulation.world import Day, run_day
from quantum_trader.models.loading import ModelSettings

FILE = Path(__file__).with_name("simulated_models.py")
REVERSAL, REMEMBERS, SWINGS = (
    ModelSettings(model=f"{FILE}:{name}") for name in ("Reversal", "Remembers", "Swings")
)


@pytest.mark.parametrize("model", [REVERSAL, REMEMBERS], ids=lambda one: one.shown)
def test_a_day_without_faults_trades_and_agrees_to_the_last_cent(model: ModelSettings) -> None:
    """Positions open and close by the model's scores, and books equal the exchange."""
    outcome = run_day(Schedule(seed=1, faults=()), models=[model])

    assert outcome.finding is None
    assert outcome.trades >= 5
    assert outcome.held == ""
    assert abs(outcome.cash_error) < 1e-6


def test_models_are_warm_before_the_first_bar_of_the_day() -> None:
    """1,000 hours are fetched, and 500 half-hours after them are decided on as the past: they make 250 more."""
    day = Day(Schedule(seed=1, faults=(), hours=0.5), models=[REMEMBERS])
    seen: list[int] = []
    day.loop.call_at(60.0, lambda: seen.extend(_engine(day).market.forecasts.history.seen.tolist()))  # type: ignore[union-attr]

    assert day.run().finding is None
    assert seen == [1_250, 1_250, 1_250]


def _engine(day: Day) -> Engine:
    assert day.processes.trader is not None
    return day.processes.trader.engine


@pytest.mark.parametrize("seed", [0, 2, 9])
def test_days_with_faults_break_nothing(seed: int) -> None:
    """Days with two or more restarts, on which the model's memory must be what it was before the kill."""
    outcome = run_day(schedule_of(seed), models=[REMEMBERS])

    assert outcome.finding is None
    assert outcome.lives > 2
    assert outcome.openings > 5


def test_a_flatten_that_meets_an_addition_leaves_it_the_old_stop() -> None:
    """The close comes first, and the addition opens a position: what protects it is not cancelled meanwhile."""
    flatten = Fault(at_s=21_598.89, kind=Kind.FLATTEN)
    outcome = run_day(Schedule(seed=33, faults=(flatten,), hours=6.0), models=[SWINGS])

    assert outcome.finding is None
    assert outcome.openings > outcome.trades


def test_a_stop_cancelled_before_a_start_with_orders_in_doubt_is_missed_soon() -> None:
    """The trader is killed in an order meanwhile: it is found out when the orders are, not a minute later."""
    faults = (
        Fault(at_s=55_800.716, kind=Kind.BACKEND_TIMEOUT, on="submit", count=5, seconds=2.926, value=1.0),
        Fault(at_s=55_800.865, kind=Kind.CRASH_IN_ORDER, seconds=3.189, value=7.0),
        Fault(at_s=57_600.776, kind=Kind.STOP_CANCELLED, on="XRPUSDT"),
        Fault(at_s=57_601.526, kind=Kind.RATE_LIMIT, on="requests", seconds=27.013),
    )
    outcome = run_day(Schedule(seed=4, faults=faults), models=[SWINGS])

    assert outcome.finding is None
    assert outcome.lives == 2


def test_a_crash_in_the_middle_of_the_warm_up_costs_no_bar() -> None:
    """Killed before the models' bars are fetched, behind them, and among the bars that follow: the day is the same."""
    whole = run_day(Schedule(seed=1, faults=(), hours=6.0), models=[REMEMBERS])
    for steps in (50.0, 100.0, 200.0):
        crash = Fault(at_s=0.1, kind=Kind.CRASH, seconds=1.0, value=steps)
        outcome = run_day(Schedule(seed=1, faults=(crash,), hours=6.0), models=[REMEMBERS])
        assert (outcome.finding, outcome.lives) == (None, 2)
        assert (outcome.openings, outcome.trades) == (whole.openings, whole.trades)


def _forgetful(*arguments: Any, **keywords: Any) -> Engine:
    """A live engine that restores everything but what the model itself remembers."""
    engine = live_engine(*arguments, **keywords)
    assert engine.market.forecasts is not None
    for loaded in engine.market.forecasts.models:
        loaded.model.load_state = lambda state: None  # type: ignore[method-assign]
    return engine


def test_a_trader_that_forgets_its_models_state_is_caught() -> None:
    """The state after a restart is compared with the state before; the production trader passes the same day."""
    faults = tuple(after_bars(Kind.STOP_START, seconds=2.0, by_s=4.0))
    schedule = Schedule(seed=1, faults=faults, hours=6.0)
    forgetful = Variant(name="model-forgets", wrong="the model's own state is not restored", engine=_forgetful)

    found = run_day(schedule, forgetful, [REMEMBERS]).finding

    assert found is not None
    assert found.invariant == "state survives a restart"
    assert found.detail.startswith("models was")
    assert run_day(schedule, models=[REMEMBERS]).finding is None


@pytest.mark.parametrize("name", ["double-intent", "ack-is-fill", "long-for-short", "reduce-gated", "stop-late"])
def test_a_broken_trader_is_caught_with_a_model_too(name: str) -> None:
    """Within four days that hold what it is weak against."""
    faults = tuple(sorted(PROVOCATIONS.get(name, []), key=lambda fault: fault.at_s))
    days = (run_day(Schedule(seed=seed, faults=faults), VARIANTS[name], [REVERSAL]) for seed in range(4))

    assert any(day.finding is not None for day in days)


def test_the_command_runs_models_and_says_how_to_repeat_a_failure() -> None:
    """The models are in the report and in the command that repeats it; JSON names them too."""
    model = ["--model", REVERSAL.model]
    runner = CliRunner()

    broken = runner.invoke(app, [*model, "--seeds", "2", "--variant", "double-intent", "--jobs", "1"])
    good = runner.invoke(app, [*model, "--seeds", "1", "--first-seed", "8", "--jobs", "1", "--json"])

    assert broken.exit_code == 1
    assert "one order per intent" in broken.stdout
    assert f"simulate --model {REVERSAL.model} --variant double-intent" in broken.stdout
    assert good.exit_code == 0
    assert json.loads(good.stdout)["models"] == [REVERSAL.model]
    assert json.loads(good.stdout)["totals"]["openings"] > 3


@pytest.mark.parametrize(
    ("model", "text"),
    [("nowhere.py:Mine", "there is no such file"), (f"{FILE}:Reversed", "it has Reversal, Remembers"),
     ("intraday-dmo", "did you mean 'intraday-demo'")],
)
def test_a_model_that_cannot_be_loaded_is_refused_before_the_first_day(model: str, text: str) -> None:
    """With the same words as `run`."""
    result = CliRunner().invoke(app, ["--seeds", "1", "--model", model])

    assert isinstance(result.exception, ConfigError)
    assert text in str(result.exception)


def test_a_model_that_has_not_passed_the_check_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `run` does, on standard error, before the first day."""
    monkeypatch.setenv("HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["--seeds", "1", "--model", REVERSAL.model, "--json"])

    assert f"warning: {REVERSAL.shown} has not passed the look-ahead check" in done.stderr
    assert done.stdout.startswith("{")


def test_the_exchange_answers_longer_bars_made_of_the_base_bars() -> None:
    """Those of before the day and those of the day; complete ones alone; other intervals are refused."""
    hour = 2 * BAR_NS
    first = START_NS - 2 * hour
    times = np.arange(first, START_NS, BAR_NS, dtype=np.int64)
    prices = np.arange(len(times), dtype=np.float64) + 100.0
    ohlcv = np.stack([prices, prices + 2.0, prices - 1.0, prices + 1.0, np.full(len(times), 3.0)], axis=1)
    present = np.ones((len(times), 1), dtype=np.bool_)
    place = Place(bars=3, before=BarsBefore(times, ohlcv[:, None, :], present))

    async def script() -> tuple[Any, Any]:
        early = await place.venue.get_klines(SYMBOL, hour, first, START_NS + hour)
        await asyncio.sleep(3 * BAR_NS / 1e9 + 1.0)
        late = await place.venue.get_klines(SYMBOL, hour, START_NS, START_NS + 2 * hour)
        with pytest.raises(VenueError, match="multiples"):
            await place.venue.get_klines(SYMBOL, BAR_NS + 1, first, START_NS)
        return early, late

    early, late = place.run(script)
    assert [(one.ts_ns, one.open, one.high, one.low, one.close, one.volume) for one in early[:2]] == [
        (first, 100.0, 103.0, 99.0, 102.0, 6.0), (first + hour, 102.0, 105.0, 101.0, 104.0, 6.0),
    ]
    assert len(early) == 2
    assert [one.ts_ns for one in late] == [START_NS]  # the next hour is not complete
