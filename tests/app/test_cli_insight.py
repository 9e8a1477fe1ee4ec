"""``quantum-trader insight``: terminal, Markdown, HTML and JSON, and what people typed stays text."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tests.lab.insights.insight_runs import strict_run
from tests.test_house import leaf
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.report.insight import insight_markdown, insight_page, typed_text
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import ModelEvent
from quantum_trader.lab.insights.aggregator import InsightAggregator
from quantum_trader.lab.insights.day_records import midnight_of

DAY = "2019-03-26"
EVIL = "<script>alert(1)</script> [x](http://evil) | `rm` \u202e\x1b[31m"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without trades, with a change whose reason somebody typed to harm."""
    folder = tmp_path_factory.mktemp("insight-cli")
    strict_run(folder)
    with EventLogger(folder / "journal", producer="people") as logger:
        logger.log(ModelEvent(
            trace_id="", symbol="", ts_ns=midnight_of(DAY) + 5, model_id=EVIL, alias=EVIL, change=EVIL, actor=EVIL,
            reason=EVIL,
        ))
    return folder


def told(*words: str) -> str:
    """The output of the command."""
    result = CliRunner().invoke(app, ["insight", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_terminal_shows_sentences_advice_and_every_figure_with_its_metric(state: Path) -> None:
    """Each number in brackets behind a sentence is in the list of figures."""
    out = told("--state", str(state), "--day", DAY)
    assert "max_spread_bps stood in the way" in out.replace("\n│ ", " ")
    assert f"Insight of {DAY}" in out
    rows = dict(re.findall(r"^(\d+) +(\S+@\S+)", out, re.MULTILINE))
    noted = set(re.findall(r"\[(\d+)\]", out.partition("Figures\n")[0]))
    assert noted
    assert noted <= rows.keys()


def test_each_command_of_the_advice_is_a_command_and_names_the_folder(state: Path) -> None:
    """A person can paste it."""
    found = json.loads(told("--state", str(state), "--day", DAY, "--json"))
    assert found["recommendations"]
    for one in found["recommendations"]:
        words = shlex.split(one["command"])
        assert words[0] == "quantum-trader"
        assert leaf(words[1:])[2] in {("gates", "advice"), ("why",)}
        assert words[words.index("--state") + 1] == str(state)
        assert set(one["figures"]) <= found["figures"].keys()


def test_what_people_typed_is_text_in_every_form(state: Path, tmp_path: Path) -> None:
    """No element, link, table cell, code or control character comes of a reason."""
    page = tmp_path / "insight.html"
    assert told("--state", str(state), "--day", DAY, "--html", str(page)) == ""
    html = page.read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    markdown = told("--state", str(state), "--day", DAY, "--markdown")
    row = next(line for line in markdown.splitlines() if "alert" in line)
    assert "[x](" not in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    for out in (html, markdown, told("--state", str(state), "--day", DAY)):
        assert not {"\u202e", "\x1b"} & set(out)


def test_the_forms_have_the_same_sentences_and_figures(state: Path) -> None:
    """Markdown and HTML say what the value says."""
    insight = InsightAggregator(state).get_daily_insights(DAY)
    page, text = insight_page(insight), insight_markdown(insight).replace("\\", "")
    for section in insight.sections:
        for one in section.sentences:
            assert one.text in text
            assert one.text in page
    for key in insight.figures:
        assert key in page


@pytest.mark.parametrize(("words", "said"), [
    (("--day", "2031-01-01"), "goes from 2019-03"), (("--day", "soon"), "2026-11-27"),
    (("--json", "--markdown"), "give one of them"),
])
def test_what_cannot_be_told_is_refused_in_a_line(words: tuple[str, ...], said: str, state: Path) -> None:
    """A day without events, a day that is none, two forms at once."""
    result = CliRunner().invoke(app, ["insight", "--state", str(state), *words])
    assert result.exit_code != 0
    assert said in result.output


def test_typed_text_is_one_short_line() -> None:
    """Line ends and hidden characters are replaced, and it is cut."""
    assert typed_text("a\nb\u200bc\u202e") == "a?b?c?"
    assert len(typed_text("x" * 10_000)) == 160
