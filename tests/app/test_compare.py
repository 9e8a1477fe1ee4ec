"""The command compare: what it prints, its JSON, its page, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.report.comparison import difference_sentence
from quantum_trader.app.report.statements import few_rows_words
from quantum_trader.app.report.text_chart import text_chart
from quantum_trader.app.report.trade_charts import ChartTrade

SPAN = ("--from", "2018-01-01", "--to", "2018-05-31")


def invoke(*arguments: str) -> Any:
    """Run the command over five months of the bundled bars."""
    return CliRunner().invoke(app, ["compare", *SPAN, *arguments])


def told(*arguments: str) -> Any:
    """Its JSON."""
    result = invoke("--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What is printed for the set trend, and the page."""
    target = tmp_path_factory.mktemp("compare") / "compare.html"
    result = invoke("--model", "trend", "--html", str(target))
    assert result.exit_code == 0, result.output
    return result.stdout, target.read_text()


def test_the_screen_has_rule_rows_differences_trade_and_what_the_models_are_worth(page: tuple[str, str]) -> None:
    """In lines of 100 columns; no cell is cut off."""
    text, _ = page
    flat = " ".join(text.split())
    for words in (
        "stops a row until a person resumes it, and here nobody does", "buy and hold", "held, equal volatility",
        "models observed", "SAFE", "STANDARD", "AGGRESSIVE", "Differences of the Sharpe ratio on the same days",
        "One trade, the newest that the models observed closed", "expected +", "bps a day, cost",
        "that it pays its cost", "of the forecast from the prior", "threshold", "first stop", "Exit: ",
        "None of the built-in models has a proven edge after costs", "Against expectation",
    ):
        assert words in flat, words
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_rows_of_few_trades_are_named_and_prove_nothing() -> None:
    """Fewer than 20 trades, or 60 days whatever the number of trades; enough of both say nothing."""
    said = few_rows_words({"models observed": 3, "SAFE": 25}, 150)
    assert "models observed 3" in said
    assert "SAFE" not in said
    assert "neither a row's figures nor its differences are evidence, however large" in said
    assert "SAFE 25" in few_rows_words({"SAFE": 25}, 40)
    assert few_rows_words({"SAFE": 25}, 150) == ""
    assert few_rows_words({}, 10) == ""


def test_the_screen_and_the_page_say_which_rows_traded_too_little(page: tuple[str, str], tmp_path: Path) -> None:
    """Seven weeks are too few; five months with 26 trades and more are not."""
    target = tmp_path / "short.html"
    short = invoke("--from", "2018-05-01", "--to", "2018-06-20", "--html", str(target))
    said = "Too few trades in 51 days to tell anything: models observed "
    assert said in " ".join(short.stdout.split())
    assert said in target.read_text()
    assert not any("Too few trades" in one for one in page)


def test_the_page_draws_the_rows_and_the_trade(page: tuple[str, str]) -> None:
    """Curves of every row but plain holding, entry, exit and stop of one trade; no network."""
    _, html = page
    assert html.count('class="of-') >= 5
    for shape in ('class="held"', 'class="stop"', "None of the built-in models", "can be luck"):
        assert shape in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")


def test_the_json_has_the_rows_the_tests_and_the_trade() -> None:
    """The same figures as on the screen, without the values of the charts; the same each time."""
    first, second = told("--model", "trend"), told("--model", "trend", "--jobs", "1")
    assert [row["key"] for row in first["rows"]] == [
        "hold", "hold_scaled", "observed", "SAFE", "STANDARD", "AGGRESSIVE",
    ]
    for key in (
        "return_pct", "annual_return_pct", "volatility_pct", "sharpe", "sharpe_low", "sharpe_high", "max_drawdown_pct",
        "under_water_share", "longest_under_water_days", "trades", "turnover_a_year", "exposure_pct", "cost_share",
        "funding_share", "against_expectation", "stopped", "resumed_after_a_day",
    ):
        assert key in first["rows"][2]
    assert len(first["differences"]) == 4
    assert first["trade"]["forecast"]["confidence"] == first["trade"]["confidence"]
    assert "curves" not in first
    assert {**first, "run": 0} == {**second, "run": 0}


def test_a_stopped_row_shows_its_date_and_what_it_did_if_resumed() -> None:
    """The intraday models are stopped; with --resume 24 they are not, and the rule at the top says so."""
    result = invoke("--model", "intraday-demo")
    flat = " ".join(result.stdout.split())
    assert "models observed: stopped on 2018-0" in flat
    assert "Resumed after a day each time:" in flat
    assert "SAFE: flat. Signals refused: confidence below the threshold" in flat
    assert "-64 % on BTC and ETH perpetuals" in flat
    resumed = told("--model", "intraday-demo", "--resume", "24")
    assert all(row["stopped"] is None for row in resumed["rows"])
    assert "resumed after 24 hours" in resumed["rule"]["words"]


def test_no_trade_pays_its_cost_is_a_result_with_its_numbers(tmp_path: Path) -> None:
    """A prior that expects nothing: all rows stay flat, and the best forecast stands there with error and cost."""
    file = tmp_path / "doubt.toml"
    file.write_text('[[models]]\nmodel = "tsmom_fast"\nprior = [0.0, 0.01]\n')
    content = told("--config", str(file))
    assert [row["trades"] for row in content["rows"]] == [0] * 6
    assert len(content["flat"]) == 4
    assert "no trade pays its cost: flat (expected +" in content["flat"][0]
    assert " bps a day, cost " in content["flat"][0]
    assert content["trade"] is None
    assert "never traded" in content["sentence"]


def test_the_sentence_says_which_difference_is_more_than_luck() -> None:
    """Every combination of what can be told."""

    def pair(first: str, told_from_luck: bool | None) -> dict[str, Any]:
        known = told_from_luck is not None
        return {
            "first": first, "second": "observed", "told_from_luck": told_from_luck,
            **dict.fromkeys(("difference", "low", "high"), 0.5 if known else None),
        }

    assert difference_sentence([pair("SAFE", False)]).endswith("this can be luck.")
    assert "each of these differences can be luck" in difference_sentence([pair("SAFE", False), pair("A", False)])
    assert "luck alone does not explain any of these" in difference_sentence([pair("SAFE", True), pair("A", True)])
    assert "luck alone does not explain SAFE against the models observed; the other differences can be luck" in (
        difference_sentence([pair("SAFE", True), pair("A", False)])
    )
    some = difference_sentence([pair("SAFE", True), pair("A", None)])
    assert "Not compared, since a row did not move: A against" in some


@pytest.mark.parametrize(("arguments", "says"), [
    (("--resume", "soon"), "--resume 'soon': must be none, or hours above 0 and up to 8760, such as 24"),
    (("--resume", "0"), "must be none, or hours above 0"),
    (("--volatility", "0"), "--volatility 0: must be 0.1 to 500 percent a year"),
    (("--html", "no/such/folder/page.html"), "--html no/such/folder/page.html: must be a file in a folder that exists"),
    (("--profiles", "SAVE"), "SAFE"),
    (("--profiles", ""), "name each profile once, at least one"),
    (("--jobs", "-1"), "--jobs -1: must be 0 to 256"),
    (("--model", "trends"), "is no built-in model"),
])
def test_a_bad_option_is_refused_with_what_to_do(arguments: tuple[str, ...], says: str) -> None:
    """One line, exit code 2, before any work."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert "Traceback" not in result.output


def test_the_volatility_of_holding_can_be_asked_for() -> None:
    """Stated instead of that of the observed row."""
    content = told("--model", "trend", "--volatility", "10")
    assert content["scaled"]["stated"]
    assert "10.0 % a year (as asked)" in content["scaled"]["words"]
    assert content["rows"][1]["volatility_pct"] == pytest.approx(10.0, rel=0.35)


def test_the_text_chart_marks_entry_exit_and_stop_where_they_are() -> None:
    """A long trade from the left third to the right: higher prices stand higher."""
    seconds = tuple(range(0, 86_400 * 30, 86_400))
    price = tuple(100.0 + day for day in range(30))
    one = ChartTrade(
        entry_s=seconds[10], exit_s=seconds[20], sign=1, entry=110.0, exit=120.0, stop=102.0, qty=1.0, r=1.0, net=10.0,
        reason="", model="",
    )
    lines = text_chart(seconds, price, one, 60).splitlines()
    places = {mark: next((row, line.index(mark)) for row, line in enumerate(lines) if mark in line) for mark in "▲◆"}
    assert places["▲"][0] > places["◆"][0]
    assert places["▲"][1] < places["◆"][1]
    assert any(line.count("-") > 10 for line in lines)
    assert max(map(len, lines)) <= 60 + 20
    assert "1970-01-01" in lines[-2]
