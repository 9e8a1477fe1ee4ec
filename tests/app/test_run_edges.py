"""Edges in the report of a run: in its JSON and page, and a run that ends where they cannot be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli import run as run_module
from quantum_trader.app.cli.main import app
from quantum_trader.domain.errors import DataError

SPAN = ("--exit", "--from", "2018-03-01", "--to", "2018-04-15")


def run(*arguments: str) -> Any:
    """Six weeks of the bundled bars."""
    result = CliRunner().invoke(app, ["run", *SPAN, *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_the_report_has_edges_activity_and_what_the_models_are_worth(tmp_path: Path) -> None:
    """In the JSON and on the page."""
    page = tmp_path / "run.html"
    told = json.loads(run("--model", "tsmom_fast", "--json", "--report", str(page)).stdout)
    assert [one["name"] for one in told["edges"]["by_model"]] == ["all together"]
    assert [one["name"] for one in told["edges"]["by_symbol"]] == told["data"]["symbols"]
    assert told["edges"]["trades_by_source"][0]["expected_net_bps"] is not None
    assert told["activity"]["against_expectation"] is not None
    assert 0.0 < told["activity"]["exposure_pct"] < 500.0
    assert 0.0 < told["activity"]["held_share"] <= 1.0
    text = page.read_text()
    for words in ("Edges: expected against realised", "How it traded", "proven edge after costs"):
        assert words in text


def test_the_intraday_models_have_activity_and_no_expected_edge() -> None:
    """Their confidence is one of direction: no trade can be called against expectation by it."""
    told = json.loads(run("--model", "intraday-demo", "--json").stdout)
    assert told["edges"]["by_model"] == []
    assert told["activity"]["against_expectation"] is None
    assert told["activity"]["turnover_a_year"] > 100.0
    assert "intraday-demo" in told["statement"]


def test_a_run_over_bars_that_a_sweep_refuses_ends_with_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run leaves out what is no bar; forecasts over one tape are not computed then, and a line says why."""

    def refuse(*_: object) -> None:
        raise DataError("BTCUSDT: [1.0, 0.5, 2.0, 1.0] is no bar")

    monkeypatch.setattr("quantum_trader.lab.edges.edges_of", refuse)
    result = run("--model", "tsmom_fast")
    assert "No edges in the report: BTCUSDT: [1.0, 0.5, 2.0, 1.0] is no bar" in result.stderr
    assert "Turnover" in result.stdout


def test_more_bars_than_memory_is_taken_for_have_no_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run itself takes any number of bars."""
    monkeypatch.setattr(run_module, "MOST_EDGE_BARS", 1_000)
    result = run("--model", "tsmom_fast")
    assert "No edges in the report: more than 1,000 bars" in result.stderr
    assert "Edges: expected against realised" not in result.stdout
