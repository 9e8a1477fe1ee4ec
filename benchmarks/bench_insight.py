"""What the insight of a day costs, and the one that a run ends with, against a second: a person waits for both.

The journal is that of a run of five months of the bundled bars with the intraday models. The first insight of a day
computes the day's metrics, a later one reads them; the day before is computed with it. The same day in a journal of ten
million events has 2,000 signals, and 60,000 stand in the window that its insight judges gates by.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.bench_metrics import EVENTS, journal_of
from benchmarks.harness import Figure, bench, seconds
from quantum_trader.app.report.run_insight import run_insight
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings
from quantum_trader.lab.insights import InsightAggregator
from quantum_trader.models.loading import ModelSettings

BUILD = Path(__file__).resolve().parent.parent / "build"
MODEL = "intraday-demo"
A_SECOND = "a second"
TURNS = 5


@bench("insight")
def insights() -> Iterator[Figure]:
    """The insight of a day in the middle of a run, and that of the whole run from its facts."""
    state = BUILD / "insight-run"
    shutil.rmtree(state, ignore_errors=True)
    settings = RunSettings(
        data=DataSettings(start="2018-05-01", end="2018-09-30"), models=(ModelSettings(model=MODEL),)
    )
    facts = run(settings, RunOptions(state_dir=state)).facts
    aggregator = InsightAggregator(state)
    days = aggregator.days()
    aggregator.get_daily_insights(days[len(days) // 2])  # compiles the kernels of thresholds
    later = days[len(days) // 2 + 1 : len(days) // 2 + 1 + 2 * TURNS : 2]
    slowest = max(seconds(partial(aggregator.get_daily_insights, day)) for day in later)
    yield Figure(
        name="insight.of_a_day", value=slowest, unit="s", reference=1.0, reference_name=A_SECOND, at_most=1.0
    )
    large = InsightAggregator(journal_of(EVENTS))
    days = large.days()
    slowest = max(seconds(partial(large.get_daily_insights, day)) for day in (days[-8], days[-6]))
    yield Figure(
        name="insight.of_a_day_of_10_m_events", value=slowest, unit="s", reference=1.0, reference_name=A_SECOND,
        at_most=1.0,
    )
    of_run = max(seconds(partial(run_insight, facts)) for _ in range(TURNS))
    yield Figure(
        name="insight.of_a_run", value=of_run, unit="s", reference=1.0, reference_name=A_SECOND, at_most=1.0
    )
