"""``quantum-trader metrics``: lists, shows, computes, explains and alarms, and says what it cannot do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.lab.insights.insight_runs import run_into
from tests.lab.metrics.independent import DAY_NS
from tests.lab.metrics.invented_run import InventedRun
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.named_figures import computation_of
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.insights.aggregator import InsightAggregator
from quantum_trader.lab.metrics.catalogue import catalogue_text, load_catalogue
from quantum_trader.models.gate_tables import own_yaml, plain_yaml

OWN = """
relations:
  sides:
    meaning: One trade.
    dimensions: [symbol]
    sql: select day, ts_ns, symbol, side from trades
metrics:
  - id: long_share
    title: Share of long trades
    group: activity
    unit: share
    direction: neither
    meaning: Share of the trades that were long.
    of: sides
    value: avg(case when side = 'LONG' then 1.0 else 0.0 end)
    by: [symbol]
    nouns: [share of long trades]
    interval: wilson
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three invented days, the last of which has an emergency and lost money."""
    folder = tmp_path_factory.mktemp("run")
    made = InventedRun(6, "2026-10-05", 3)
    made.write(folder)
    made.append(folder, [(made.first_ns + 3 * DAY_NS - 2, "halt.raised", "", "", {
        "kind": "governor", "level": "EMERGENCY", "reason": "drawdown",
    })])
    return folder


def asked(*words: str, code: int = 0) -> Result:
    """The answer of the command."""
    result = CliRunner().invoke(app, ["metrics", *words])
    assert result.exit_code == code, result.output
    return result


def document(*words: str, code: int = 0) -> Any:
    """The JSON document of the command."""
    return json.loads(asked(*words, "--json", code=code).stdout)


def test_the_list_has_every_group_of_the_specification_and_sixty_metrics() -> None:
    """Each with a meaning, a unit and a noun."""
    found = document("list")
    groups = {
        "performance", "activity", "gates", "models", "learning", "system", "costs", "market", "regimes", "policy",
    }
    assert groups <= {one["group"] for one in found}
    assert len({one["id"] for one in found}) == len(found) >= 60
    assert all(one["meaning"].endswith(".") and one["nouns"] for one in found)
    assert {one["group"] for one in document("list", "--group", "costs")} == {"costs"}


def test_figures_are_shown_of_all_days_of_one_and_by_symbol(state: Path) -> None:
    """The same values as in the document; a day without a value says no data."""
    table = asked("show", "--state", str(state), "--metric", "win_rate", "--metric", "spread").stdout
    values = {one["metric"]: one for one in document("show", "--state", str(state))["values"]}
    assert f"{100.0 * values['win_rate']['value']:,.1f} %" in table
    by_symbol = document("show", "--state", str(state), "--metric", "trades", "--by", "symbol")["values"]
    assert sum(int(one["value"]) for one in by_symbol) == values["trades"]["value"]
    words = ("show", "--state", str(state), "--metric", "trades", "--day")
    days = [document(*words, f"2026-10-0{day}") for day in (5, 6, 7)]
    assert sum(int(one["values"][0]["value"]) for one in days) == values["trades"]["value"]
    last = document("show", "--state", str(state), "--metric", "trades", "--day", "last")
    assert last["values"] == days[2]["values"]
    assert "no data" in asked("show", "--state", str(state), "--metric", "sharpe", "--day", "last").stdout


def test_the_explained_sql_is_answered_by_the_journal(state: Path) -> None:
    """One SELECT, of one day and symbol; without a state folder the SQL alone."""
    words = ("explain", "pnl_total", "--day", "2026-10-06", "--where", "symbol=BTCUSDT")
    found = document(*words, "--state", str(state))
    rows = Lake(state / "journal").sql(found["sql"]).to_pylist()
    assert rows[0]["value"] == pytest.approx(found["value"]["value"])
    assert found["value"]["where"] == {"symbol": "BTCUSDT"}
    printed = asked(*words).stdout
    assert found["sql"] in printed
    assert "Profit and loss (pnl_total): Sum of what the trades made" in printed


def test_a_metric_without_sql_names_its_function_and_has_its_values(tmp_path: Path) -> None:
    """What the function computes, from what, the command that calls it; by day and gate what the insight has."""
    run_into(tmp_path)
    day = ("--state", str(tmp_path), "--day", "2019-03-26")
    words = ("explain", "window_gate_mean", *day)
    found = document(*words, "--where", "gate=cost")
    assert (found["sql"], found["function"]) == (None, "lab.shadows.analysis.analyse")
    assert found["computes"].startswith("Judge the refused among *signals*")
    assert found["command"] == "quantum-trader insight --state DIR --day DATE --json"
    insight = InsightAggregator(tmp_path).get_daily_insights("2019-03-26")
    figure = insight.figures["window_gate_mean@2019-03-26|gate=cost"]
    assert [one["value"] for one in found["values"]] == [figure.value]
    printed = asked(*words).stdout
    assert "Computed by lab.shadows.analysis.analyse" in printed
    assert f"window_gate_mean@2019-03-26|gate=cost: {figure.text}" in printed
    shown = document("show", "--group", "insights", *day)["values"]
    assert {"window_signals", "open_halts", "window_gate_mean"} <= {one["metric"] for one in shown}
    assert "open_halts" not in {one["metric"] for one in document("show", *day)["values"]}


def test_every_named_function_exists_and_says_what_it_computes() -> None:
    """A renamed function would leave a metric that nobody can compute again."""
    catalogue = load_catalogue()
    named = [one for one in catalogue.metrics.values() if one.function]
    assert len(named) >= 15
    assert [one.id for one in named if not computation_of(catalogue, one).computes] == []


def test_the_catalogue_of_the_program_stands_the_checks_of_a_catalogue_of_ones_own() -> None:
    """It is read without them, for speed: no key twice, no alias, and the same content."""
    assert own_yaml(catalogue_text()) == plain_yaml(catalogue_text())


def test_compute_says_how_many_values_there_are(state: Path) -> None:
    """With those without data, and the hash of all of them; the document has each one."""
    line = asked("compute", "--state", str(state)).stdout
    found = document("compute", "--state", str(state))
    empty = len([one for one in found["values"] if one["value"] is None])
    assert re.match(rf"140 metrics, 3 days: {len(found['values']):,} values, {empty:,} of them without data", line)
    assert found["content_hash"][:16] in line
    assert {one["day"] for one in found["values"]} == {"all", "2026-10-05", "2026-10-06", "2026-10-07"}


def test_alarms_end_with_one_and_are_told_once(state: Path) -> None:
    """The emergency of the last day; the second time it is said that it was told; a day without alarm says so."""
    first = document("alerts", "--state", str(state), code=1)
    emergency = next(one for one in first if one["key"]["metric"] == "emergencies")
    assert (emergency["value"] >= 1.0, emergency["limit"], emergency["told"]) == (True, 0.0, True)
    again = asked("alerts", "--state", str(state), code=1).stdout
    count = int(emergency["value"])
    told = f"Emergency halts: {count}, above the limit of 0 (emergencies@2026-10-07, {count} samples) (told before)"
    assert told in again


def test_an_own_catalogue_adds_metrics(state: Path, tmp_path: Path) -> None:
    """Its metric is listed and computed beside the program's."""
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    found = document("show", "--state", str(state), "--catalogue", str(file), "--metric", "long_share")["values"]
    assert [one["metric"] for one in found] == ["long_share"]
    assert len(document("list", "--catalogue", str(file))) == len(load_catalogue().metrics) + 1


@pytest.mark.parametrize(("words", "told"), [
    (("explain", "win_rat"), "there is none of that name; did you mean win_rate?"),
    (("explain", "win_rate", "--where", "symbol"), "--where 'symbol': write it as symbol=BTCUSDT"),
    (("explain", "win_rate", "--where", "gate=cost"), "cannot be asked by it; choose from mode, symbol"),
    (("explain", "win_rate", "--day", "yesterday"), "write it as 2026-11-27"),
    (("explain", "refusals", "--where", "mode=scalp"), "refusals cannot be asked by it; choose from gate"),
    (("explain", "refusals", "--state", "{state}"), "--day all: refusals is a figure of one day; give --day DATE"),
    (("list", "--group", "gate"), "choose from performance"),
    (("show", "--by", "gate", "--metric", "win_rate", "--state", "{state}"), "--by 'gate': choose from mode"),
    (("show", "--state", "{state}", "--day", "2031-01-01"), "no event of the days asked for"),
    (("show", "--state", "{state}/nowhere"), "there is no journal; give the folder of a run"),
    (("list", "--catalogue", "{state}/none.yaml"), "cannot be read"),
])
def test_what_cannot_be_done_is_said(state: Path, words: tuple[str, ...], told: str) -> None:
    """One sentence with the value and what would be right."""
    result = CliRunner().invoke(app, ["metrics", *(word.format(state=state) for word in words)])
    assert result.exit_code != 0
    assert told in " ".join(result.output.split())


@pytest.mark.parametrize(("change", "told"), [
    (("of: sides", "of: side"), "of = 'side': there is none of that name; did you mean sides?"),
    (("by: [symbol]", "by: [mode]"), "by = 'mode': sides has no such dimension"),
    (("interval: wilson", "interval: means"), "interval = 'means': choose wilson, mean or share"),
    (("value: avg(case when side = 'LONG' then 1.0 else 0.0 end)", ""), "give value (SQL) or function (a dotted name)"),
    (("value: avg(case when side = 'LONG' then 1.0 else 0.0 end)", "function: mine"), "write it as lab.sharpe."),
    (("value: avg(case when side = 'LONG' then 1.0 else 0.0 end)", "function: lab.edges.edges_of"),
     "of = 'sides': there is none of that name"),
    (("unit: share", "unit: percent"), "metrics[0] (long_share): Invalid enum value 'percent'"),
    (("nouns: [share of long trades]", "nouns: []"), "nouns: name at least one"),
    (("id: long_share", "id: Long"), "an id is of 2 to 48 lower-case letters"),
    (("from trades", "from {sides}"), "relations.sides.sql: {sides}: stands inside itself"),
    (("from trades", "from {nowhere}"), "{nowhere}: there is none of that name"),
    (("relations:", "relation:"), "write relations:, sources: and metrics:"),
    (("sql: select day, ts_ns, symbol, side from trades", "sql: ''"), "relations.sides.sql: is empty"),
])
def test_a_catalogue_with_a_fault_is_refused(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    """The entry, its value and what would be right."""
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace(*change))
    result = CliRunner().invoke(app, ["metrics", "list", "--catalogue", str(file)])
    assert result.exit_code != 0
    assert told in " ".join(result.output.split())


def test_an_interval_of_a_mean_is_of_a_mean(tmp_path: Path) -> None:
    """A sum has none."""
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace("avg(case", "fsum(case").replace("wilson", "mean"))
    result = CliRunner().invoke(app, ["metrics", "list", "--catalogue", str(file)])
    assert result.exit_code != 0
    assert "interval = 'mean': value: must be favg(...) or fsum(...) / sum(...)" in " ".join(result.output.split())
