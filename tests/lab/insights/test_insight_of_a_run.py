"""Insights of real runs: every sentence holds, every figure is the catalogue's, nothing of the future is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.lab.insights.insight_runs import cut_after, run_into, strict_run

from quantum_trader.app.report.run_insight import run_insight
from quantum_trader.app.runs.results import RunFacts
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.engine.decision_inputs import decide_again
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.insights import insight_sentences
from quantum_trader.lab.insights.aggregator import InsightAggregator
from quantum_trader.lab.insights.daily_insight import DailyInsight
from quantum_trader.lab.insights.day_records import RefusedSignal, read_day
from quantum_trader.lab.insights.insight_figures import INSIGHTS
from quantum_trader.lab.insights.insight_sentences import SPOKEN
from quantum_trader.lab.metrics.catalogue import load_catalogue
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE
from quantum_trader.lab.statements.language import Sentence, read_reference


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunFacts]:
    """The folder and the facts of a run that trades."""
    folder = tmp_path_factory.mktemp("traded")
    return folder, run_into(folder)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunFacts]:
    """The folder and the facts of a run whose enforced spread gate lets nothing through."""
    folder = tmp_path_factory.mktemp("strict")
    return folder, strict_run(folder)


def insights(state: Path) -> list[DailyInsight]:
    """The insight of every day of the run in *state*."""
    aggregator = InsightAggregator(state)
    return [aggregator.get_daily_insights(day) for day in aggregator.days()]


def traded_at(refused: RefusedSignal, spread_bps: float) -> bool:
    """Whether the engine lets a refused signal through where the spread gate's limit is *spread_bps*."""
    limits = (spread_bps, *refused.inputs.gate_limits[1:])
    return decide_again(msgspec.structs.replace(refused.inputs, gate_limits=limits)).is_approved


@pytest.mark.parametrize("which", ["traded", "strict"])
def test_no_sentence_of_any_day_is_struck(which: str, request: pytest.FixtureRequest) -> None:
    """The checker of statements finds every sentence and every piece of advice true."""
    found = insights(request.getfixturevalue(which)[0])
    assert [one.struck for one in found] == [0] * len(found)
    assert all(one.summary for one in found[:-1])
    assert len([said for one in found for section in one.sections for said in section.sentences]) > 40


@pytest.mark.parametrize("which", ["traded", "strict"])
def test_every_figure_of_the_catalogue_is_what_its_sql_gives(which: str, request: pytest.FixtureRequest) -> None:
    """An insight's figure equals the metric that is computed alone; the others have a metric of their own."""
    state = request.getfixturevalue(which)[0]
    computer, catalogue = MetricsComputer(state), load_catalogue()
    compared = 0
    for insight in insights(state)[::3]:
        for key, figure in insight.figures.items():
            reference = read_reference(key, insight.day)
            metric = catalogue.metrics[reference.metric]
            assert not metric.function or metric.of == INSIGHTS
            assert figure.text == metric_text(figure.value, metric.unit)
            if not metric.function:
                alone = computer.value(reference.metric, reference.day, **dict(reference.where))
                assert figure.value == (None if alone.value is None else pytest.approx(alone.value, rel=1e-12)), key
                compared += 1
    assert compared > 20


def test_every_metric_that_sentences_speak_of_exists() -> None:
    """A metric that the catalogue no longer has would silently take its sentence away."""
    assert [name for name in SPOKEN if name not in load_catalogue().metrics] == []


def test_an_insight_uses_nothing_that_came_after_its_day(traded: tuple[Path, RunFacts], tmp_path: Path) -> None:
    """The insight of a day is the same from a journal that ends with the day."""
    day = InsightAggregator(traded[0]).days()[5]
    cut = cut_after(traded[0], day, tmp_path / "cut")
    whole, early = (InsightAggregator(one).get_daily_insights(day) for one in (traded[0], cut))
    assert InsightAggregator(cut).days()[-1] == day
    without = [
        msgspec.to_builtins(msgspec.structs.replace(one, recommendations=tuple(
            msgspec.structs.replace(advice, command="") for advice in one.recommendations
        ))) for one in (whole, early)
    ]
    assert without[0] == without[1]


def test_a_day_without_trades_names_gate_and_threshold_and_what_moving_it_does(
    strict: tuple[Path, RunFacts]
) -> None:
    """The counts are those that the engine's own decision gives under the tried value, set by hand."""
    state = strict[0]
    told = let_through = 0
    for insight in insights(state):
        records = read_day(Lake(state / "journal"), insight.day)
        if not records.refused:
            continue
        assert "max_spread_bps stood in the way" in insight.summary
        assert {one.reason for one in records.refused} == {"GATE_SPREAD"}
        for name in ("max_spread_bps", "max_spread_bps:first", "max_spread_bps:all"):
            keys = {
                metric: f"{metric}@{insight.day}|gate={name}"
                for metric in ("threshold_tried", "threshold_passed", "threshold_now", "threshold_ended")
            }
            if keys["threshold_tried"] not in insight.figures:
                continue
            tried = insight.figures[keys["threshold_tried"]].value
            assert tried is not None
            assert insight.figures[keys["threshold_now"]].value == 0.01
            passed = len([one for one in records.refused if traded_at(one, tried)])
            assert insight.figures[keys["threshold_passed"]].value == passed
            assert (insight.figures[keys["threshold_ended"]].value or 0) <= passed
            told, let_through = told + 1, let_through + passed
        assert [one.command for one in insight.recommendations if "--gate spread" in one.command]
    assert told > 5
    assert let_through > 5


def test_a_day_with_trades_says_no_threshold_stood_in_the_way(traded: tuple[Path, RunFacts]) -> None:
    """Moves are for days on which every signal was refused."""
    aggregator = InsightAggregator(traded[0])
    for day in aggregator.days():
        records = read_day(Lake(traded[0] / "journal"), day)
        told = "stood in the way" in aggregator.get_daily_insights(day).summary
        assert not told or records.given == len(records.refused) > 0


@pytest.mark.parametrize("which", ["traded", "strict"])
def test_the_insight_at_the_end_of_a_run_has_the_figures_of_its_journal(
    which: str, request: pytest.FixtureRequest
) -> None:
    """What a run without a journal computes from its facts is what the catalogue's SQL gives for the whole run."""
    state, facts = request.getfixturevalue(which)
    told, computer, catalogue = run_insight(facts), MetricsComputer(state), load_catalogue()
    assert told["struck"] == 0
    compared = []
    for key, figure in told["figures"].items():
        reference = read_reference(key, WHOLE)
        if not catalogue.metrics[reference.metric].function:
            alone = computer.value(reference.metric, WHOLE, **dict(reference.where))
            assert figure["value"] == (None if alone.value is None else pytest.approx(alone.value)), key
            compared.append(reference.metric)
    assert {"trades", "signals", "halts", "policy_changes"} <= set(compared) or which == "strict"


def test_a_sentence_that_does_not_hold_is_not_printed(
    traded: tuple[Path, RunFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typed number, and a claim that is false, are struck and counted; the rest stays."""

    def lies(_figures: Any) -> list[Sentence]:
        return [Sentence(text="There were 5 trades."), Sentence(text="The {fees} were a gain."),
                Sentence(text="The fees were {fees}.")]

    monkeypatch.setattr(insight_sentences, "cost_sentences", lies)
    aggregator = InsightAggregator(traded[0])
    found = aggregator.get_daily_insights(aggregator.days()[2])
    costs = next(one for one in found.sections if one.title == insight_sentences.COSTS)
    assert found.struck == 2
    assert len(costs.sentences) == 1


def test_days_that_are_not_there_are_refused(traded: tuple[Path, RunFacts], tmp_path: Path) -> None:
    """The message names the days that are; a folder without a journal is none."""
    aggregator = InsightAggregator(traded[0])
    with pytest.raises(StateError, match="2019-03-22"):
        aggregator.get_daily_insights("2031-01-01")
    with pytest.raises(InputError, match="2026-11-27"):
        aggregator.get_daily_insights("tomorrow")
    with pytest.raises(StateError, match="no journal"):
        InsightAggregator(tmp_path)


def test_the_published_fields_are_attributes_and_keys(traded: tuple[Path, RunFacts]) -> None:
    """``summary`` and ``recommendations``, either way; a recommendation prints as a line."""
    found = InsightAggregator(traded[0]).get_daily_insights()
    assert found["summary"] == found.summary
    assert found["recommendations"] is found.recommendations
    assert all(str(one).startswith(one["text"]) for one in found.recommendations)
