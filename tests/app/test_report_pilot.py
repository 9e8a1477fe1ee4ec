"""The pilot's lines in a run's report say what its shadow books did, and no more than can be told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from tests.pilot.made_pilot import saved

from quantum_trader.app.report.pilot import pilot_lines, pilot_section
from quantum_trader.app.runs.replay import memory_run
from quantum_trader.app.runs.results import PilotFacts
from quantum_trader.app.settings import DataSettings, PilotOptions, RunSettings
from quantum_trader.domain.clock import to_ns
from quantum_trader.policy.pilot_evidence import ShadowDay, ShadowTrade


def facts(days: int, gain: float, failed: str = "") -> PilotFacts:
    """A pilot that made *gain* more than the signals on each of *days* days, give or take a tenth of it."""
    return PilotFacts(
        name="night owl", model="ab" * 32, mode="SHADOW", decisions=480 * days, intents=0,
        results=(gain * days, 0.0, 0.0), failed=failed, sure=0.41, least=0.6,
        outcomes={"NOTHING": 480 * days - 40, "SHADOW": 40}, trained_until_ns=to_ns(datetime(2023, 12, 31)),
        days=tuple(
            ShadowDay(
                day=f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}", pilot=gain * (1.1 if day % 2 else 0.9), signals=0.0,
                hybrid=0.0, hours=24.0, decisions=480,
            )
            for day in range(days)
        ),
        trades=tuple(
            ShadowTrade(entry_ns=day, exit_ns=day + 1, r=1.0 if day % 2 else -0.5, exit="FLAT") for day in range(days)
        ),
    )


def test_a_pilot_that_gains_every_day_is_said_to_be_above_zero() -> None:
    """With the mean a day and its interval in basis points of the equity."""
    found = pilot_section(facts(60, 0.001))
    assert found is not None
    assert (found["verdict"], found["trades"], found["win_rate"]) == ("above zero", 60, 0.5)
    assert found["difference_bps"] == pytest.approx(10.0)
    assert 0.0 < found["low_bps"] < 10.0 < found["high_bps"]
    who, what, trades, books = pilot_lines(found)
    assert who.startswith("Pilot night owl, an agent of reinforcement learning, in SHADOW: it sends nothing")
    assert who.endswith("It was trained on bars until 2023-12-31 and decides on later ones.")
    assert what.startswith("28,800 decisions, of which 40 asked for a change; 0 intents sent.")
    assert "was 0.41 at most, and its settings ask for 0.60." in what
    assert trades == "60 shadow trades, mean +0.250 R, 50 % won."
    assert "on the same 60 days" in books
    assert "pilot +6.00 %, signals +0.00 %, hybrid +0.00 %;" in books
    assert ": above zero. The account above holds other sizes" in books


def test_a_pilot_that_was_put_back_is_told_with_when_and_why() -> None:
    """Every change of its mode after the first."""
    changed = msgspec.structs.replace(facts(5, 0.01), modes=(
        (to_ns(datetime(2024, 1, 1)), "PRIMARY", "the settings of the run"),
        (to_ns(datetime(2024, 1, 9)), "SHADOW", "drawdown of its shadow book: 5.10% of equity"),
    ))
    lines = pilot_lines(pilot_section(changed))
    assert "SHADOW since 2024-01-09: drawdown of its shadow book: 5.10% of equity." in lines
    assert not any("the settings of the run" in line for line in lines)


def test_a_few_days_are_said_to_be_too_few() -> None:
    """Without an interval."""
    found = pilot_section(facts(5, 0.01))
    assert found is not None
    assert (found["verdict"], found["low_bps"]) == ("too few independent days to tell", None)
    assert "interval" not in " ".join(pilot_lines(found))


def test_a_failed_pilot_is_told_and_none_says_nothing() -> None:
    """The failure stands in the report."""
    assert pilot_lines(pilot_section(facts(5, 0.01, "ValueError: broken")))[-1].endswith("ValueError: broken")
    assert pilot_section(None) is None
    assert pilot_lines(None) == []


def test_the_lines_of_a_run_are_those_of_its_records(tmp_path: Path) -> None:
    """Decisions and days of a real run."""
    settings = RunSettings(
        data=DataSettings(start="2018-01-01", end="2018-01-10"),
        pilot=PilotOptions(model=str(saved(tmp_path / "pilot"))),
    )
    result, sink = memory_run(settings)
    found = pilot_section(result.facts.pilot)
    assert found is not None
    assert found["days"] == sum(b'"topic":"pilot.day"' in line for line in sink.lines) == 9
    assert found["trades"] == sum(b'"topic":"pilot.closed"' in line for line in sink.lines)
    assert found["decisions"] > 2_000
