"""Statements over the figures of real runs: every falsehood is refused, every noun of the catalogue can be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lab.statements.planted_falsehoods import planted

from quantum_trader.app.runs.councils import snapshot_of
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import load_settings
from quantum_trader.lab.insights.aggregator import InsightAggregator
from quantum_trader.lab.metrics.catalogue import load_catalogue
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue
from quantum_trader.lab.statements.checker import check_sentence
from quantum_trader.lab.statements.daily import daily_sentences
from quantum_trader.lab.statements.language import Sentence
from quantum_trader.lab.statements.report import make_report


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over five days of the bundled bars."""
    folder = tmp_path_factory.mktemp("run") / "state"
    flags = {
        "data.start": ("2018-03-05", "t"), "data.end": ("2018-03-09", "t"),
        "models": (({"model": "intraday-demo"},), "t"),
    }
    run(load_settings(None, flags).settings, RunOptions(state_dir=folder))
    return folder


@pytest.mark.parametrize("day", ["2018-03-07", "2018-03-09"])
def test_no_falsehood_about_a_real_run_is_printed(state: Path, day: str) -> None:
    """Every fifth of those planted: more than 500 over each of two days' figures, of more than 15 kinds."""
    snapshot = snapshot_of(state, day)
    falsehoods = list(planted(snapshot))[::5]
    passed = [(kind, one.text, one.claims) for kind, one in falsehoods if not check_sentence(one, snapshot)]

    assert passed == []
    assert len(falsehoods) > 500
    assert len({kind.split(":")[0] for kind, _ in falsehoods}) > 15


@pytest.mark.parametrize("day", ["2018-03-07", "2018-03-09"])
def test_the_report_of_the_rules_speaks_of_a_real_day(state: Path, day: str) -> None:
    """Nothing of it is struck, and each figure of a footnote is the one that the snapshot has."""
    snapshot = snapshot_of(state, day)
    report = make_report(daily_sentences(snapshot), snapshot)

    assert sum(len(one.sentences) for one in report.sections) > 20
    assert not any(one.struck for one in report.sections)
    assert all(value != "no data" for value in report.figures.values())


def test_an_earlier_day_is_not_told_what_came_after(state: Path) -> None:
    """Neither later days nor figures of the whole run, except on its last day."""
    early, last = snapshot_of(state, "2018-03-07"), snapshot_of(state, "")

    assert max(early.days) == "2018-03-07"
    assert not any(one.key.day == WHOLE for one in early)
    assert any(one.key.day == WHOLE for one in last)


def test_every_noun_of_the_catalogue_can_be_written() -> None:
    """A metric whose noun no rule admits could never be spoken of."""
    metrics = load_catalogue().metrics
    day = "2018-03-07"
    snapshot = MetricSnapshot(metrics, [MetricValue(key=MetricKey(one, day), value=5.0) for one in metrics], day)
    refused = [
        (text, [str(flaw) for flaw in flaws])
        for metric in metrics.values() for noun in metric.nouns
        for text in (f"The {noun} was {{{metric.id}}}.", f"With a {noun} of {{{metric.id}}}, the day was calm.")
        if (flaws := check_sentence(Sentence(text=text), snapshot))
    ]

    assert refused == []


def test_the_last_day_is_one_on_which_something_happened(state: Path) -> None:
    """The last bar closes at midnight: the day that begins there has three events and is no day to write about."""
    computer = MetricsComputer(state)

    assert list(computer.days())[-1] == "2018-03-10"
    assert computer.last_day() == "2018-03-09"
    assert computer.compute().day == "2018-03-09"
    assert snapshot_of(state, "").day == "2018-03-09"
    assert InsightAggregator(state).get_daily_insights().day == "2018-03-09"
