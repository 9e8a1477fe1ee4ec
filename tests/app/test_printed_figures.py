"""Every number that ``run``, ``insight`` and ``status`` print is a figure of the catalogue, or of a closed list."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import chdir
from io import StringIO
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from rich.console import Console
from tests.app.traced import PLAIN, traced
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.cli.operator import status_document, status_lines
from quantum_trader.app.report.insight import insight_view
from quantum_trader.app.report.metric_ids import RUN, STATUS, PrintedField, printed_fields
from quantum_trader.app.report.tables import PIPE_WIDTH, print_report
from quantum_trader.app.runs.direct import VenueView
from quantum_trader.app.runs.status import OrderLine, PositionLine, folder_status
from quantum_trader.engine.ports import VenueBalance, VenuePosition
from quantum_trader.lab.insights.daily_insight import DailyInsight
from quantum_trader.lab.metrics.catalogue import load_catalogue
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.values import WHOLE
from quantum_trader.lab.statements.language import read_reference

DAY: Final = "2019-03-26"
NOW_NS: Final = 1_900_000_000 * 10**9  # ages are of this moment
RUNS: Final = {  # a few seconds of bundled bars each
    "intraday": ("--symbols", "BTCUSDT", "--from", "2019-03-22", "--to", "2019-03-31"),
    "trend": ("--symbols", "BTCUSDT,LTCUSDT", "--from", "2019-01-01", "--to", "2019-01-15"),
}
# Numbers of the documents that are no figures, each with what it is. Everything else has the id of a metric.
NO_FIGURES: Final = {
    "run": {
        "schema": "version", "data.first_ns": "time", "data.last_ns": "time", "tables.monthly[].year": "date",
        "tables.monthly[].month": "date", "tables.r_histogram.edges[]": "bounds of bins, in R",
        "insight.window_days": "setting", "models.models[].warmup": "setting of the model",
        "models.models[].prior[]": "setting of the model", "models.models[].weight": "setting of the model",
        "models.models[].outlook.threshold": "setting", "models.combined.threshold": "setting",
        "models.volatility_target_pct": "setting", "pilot.least_confidence": "setting",
        "run.wall_s": "duration of the command", "run.total_s": "duration of the command",
        "run.bars_per_s": "speed of the command", "run.resumed_at_ns": "time",
    },
    "status": {
        "pid": "number of the process", "as_of_ns": "time", "age_s": "age of the file",
        "checkpoint_age_s": "age of the file", "equity_ns": "time", "result.since_ns": "time",
        "result.peak_ns": "time", "result.trough_ns": "time", "halts[].since_ns": "time", "by_others[].ts_ns": "time",
        "pending_requests[].ts_ns": "time", "models.failed_ns": "time", "models.last_signal_ns": "time",
        "models.silent_since_ns": "time", "positions[].entry_ns": "time",
    },
    "insight": {"window_days": "setting"},
}
SETTINGS: Final = "settings."  # the whole effective configuration, as it was given
# Texts of the run's document that hold digits, each with what they are.
TEXTS: Final = {
    "data.symbols[]": "name", "data.interval": "setting", "data.fingerprint": "hash of the data",
    "data.funding_statement": "assumption",
    "costs.funding_statement": "assumption", "gates.rows[].limit": "setting", "models.models[].fingerprint": "hash",
    "models.models[].bars": "setting", "models.models[].horizon": "setting", "models.models[].exit": "setting",
    "statement": "published results of the models", "policy.shadow_statement": "rule of shadow trades",
    "notes[]": "rules of the run, hash of its records", "run.version": "version", "run.python": "version",
    "run.state_dir": "path", "run.records": "path", "run.report": "path", "run.data_path": "path",
}
# Sentences of the run's document that speak of its figures: the fields they speak of, and the constants in them.
SENTENCES: Final = {
    "few": (("trades.count", "summary.days"), ("20", "60")),
    "models.sentence": (("models.combined.",), ("1",)),
    "models.sizing": (("models.volatility_target_pct", "models.least_equity."), ("1",)),
    "gate_money.note": (("gate_money.closed",), ("0", "10")),
}
CONSTANTS: Final = (  # of the words around the figures on the screens
    r"365 days a year", r"95 %", r"24 h", r"confidence below 0\.50", r"renewed at 30, 45, 68, \.\.\.", r"\[\d+\]",
    r"\b\d+ (?=[a-z0-9_]+@)",
)
TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?Z?)?")
NUMBER: Final = re.compile(r"(?<![\w.])[+-]?\d+(?:,\d{3})*(?:\.\d+)?")
BY: Final = {  # what the rows of a table are by, and the field that says which one it is
    "tables.per_symbol[]": ("symbol", "name"), "tables.per_regime[]": ("regime", "name"),
    "tables.per_source[]": ("model", "name"), "gates.rows[]": ("gate", "gate"),
    "edges.trades_by_symbol[]": ("symbol", "name"), "edges.trades_by_source[]": ("model", "name"),
}
NOT_OF_THE_JOURNAL: Final = ("tables.per_exit[]", "tables.per_side[]", "models.side_by_side[]")  # no such dimension


def printed(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    """What the command prints on standard output."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code in codes, result.output
    return result.stdout


class Printed:
    """What the three commands print of one run, as text and as documents."""

    def __init__(self, name: str, folder: Path) -> None:
        """Run *name* of RUNS into *folder*, in which it is called, so that no path has digits."""
        (folder / "run.toml").write_text('[[models]]\nmodel = "intraday-demo"\n' if name == "intraday" else "")
        self.folder, self.state = folder, folder / "state"
        with chdir(folder):
            self._run(name)

    def _run(self, name: str) -> None:
        at = ("--state", "state")
        words = ("run", "--config", "run.toml", *RUNS[name], *at)
        self.run_text = printed(*words)
        self.report = json.loads(Path("state", "report.json").read_text())
        self.run = json.loads(printed(*words, "--json"))
        self.status_text = printed("status", *at, codes=(0, 1))
        self.status = json.loads(printed("status", *at, "--json", codes=(0, 1)))
        day = DAY if name == "intraday" else "last"
        self.insight_text = printed("insight", *at, "--day", day)
        self.insight = json.loads(printed("insight", *at, "--day", day, "--json"))


@pytest.fixture(scope="module", params=RUNS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """The output of each of RUNS."""
    return Printed(request.param, tmp_path_factory.mktemp(request.param))


# ---- documents -------------------------------------------------------------------------------------------------------
def numbers_of(document: Any, paths: Mapping[str, str]) -> Iterator[PrintedField]:
    """The fields of *document* that hold a number."""
    for field in printed_fields(document, paths):
        if isinstance(field.value, int | float) and not isinstance(field.value, bool):
            yield field


def unnamed(document: dict[str, Any], paths: Mapping[str, str], no_figures: Mapping[str, str]) -> list[str]:
    """Fields with a number that have no metric of the catalogue and are not in the closed list."""
    known, told = load_catalogue().metrics, document.get("metric_ids", {})
    content = {key: value for key, value in document.items() if key != "metric_ids"}
    return [
        field.path for field in numbers_of(content, paths)
        if told.get(field.path) not in known and field.path not in no_figures
        and not field.path.startswith(SETTINGS) and not _of_insight(field, known)
    ]


def _of_insight(field: PrintedField, known: Mapping[str, Any]) -> bool:
    """Whether the field belongs to a figure of an insight, whose key names its metric."""
    found = re.fullmatch(r"(?:insight\.)?figures\.([a-z0-9_]+)@.+\.(value|samples|low|high)", field.place)
    return found is not None and found[1] in known


def test_every_number_of_the_documents_has_a_metric_or_is_no_figure(told: Printed) -> None:
    """Of ``run --json``, ``status --json`` and ``insight --json``; an insight's figures name their metric by key."""
    assert unnamed(told.run, RUN, NO_FIGURES["run"]) == []
    assert unnamed(told.status, STATUS, NO_FIGURES["status"]) == []
    insight = {**told.insight, "metric_ids": {"struck": "struck_sentences"}}
    assert unnamed(insight, {}, NO_FIGURES["insight"]) == []
    assert len(told.run["metric_ids"]) > 100
    assert len(list(numbers_of(told.run, RUN))) > 200


def test_a_number_without_an_id_is_found(told: Printed) -> None:
    """Wherever it is added: in a table, in a list, beside an insight's figures."""
    report, status = copy.deepcopy(told.run), copy.deepcopy(told.status)
    report["summary"]["calmar"] = 1.5
    report["tables"]["per_symbol"].append({"name": "X", "omega": 2})
    report["insight"]["more"] = 3
    status["result"]["fees"] = 0.5
    added = ["summary.calmar", "insight.more", "tables.per_symbol[].omega"]
    assert unnamed(report, RUN, NO_FIGURES["run"]) == added
    assert unnamed(status, STATUS, NO_FIGURES["status"]) == ["result.fees"]


def test_texts_with_digits_are_times_settings_or_sentences_of_figures(told: Printed) -> None:
    """A sentence's numbers are its figures, rounded as it writes them, or constants of its words."""
    loose = []
    for field in printed_fields(told.run, RUN):
        text = field.value
        if not isinstance(text, str) or field.path.startswith((SETTINGS, "insight.", "metric_ids.")):
            continue
        if field.path not in TEXTS and re.search(r"\d", rest := TIME.sub("", _without_names(text, told.run))):
            fields, constants = SENTENCES.get(field.path, ((), ()))
            values = [abs(one.value) for one in numbers_of(told.run, RUN) if one.path.startswith(fields or ("-",))]
            loose += [
                f"{field.path}: {number}" for number in NUMBER.findall(rest)
                if number not in constants and not any(_is_written_as(value, number) for value in values)
            ]
    assert loose == []


def _without_names(text: str, report: Mapping[str, Any]) -> str:
    """*text* without the symbols and models of the run, which may have digits in their names."""
    names = [*report["data"]["symbols"], *(row["name"] for row in (report["models"] or {"models": ()})["models"])]
    for name in names:
        text = text.replace(name, "")
    return text


def _is_written_as(value: float, number: str) -> bool:
    """Whether *number* is *value*, or percent of it, rounded to the digits that it has."""
    digits = len(number.partition(".")[2])
    said = abs(float(number.replace(",", "")))
    return any(abs(one - said) <= 0.5001 * 10.0**-digits for one in (value, 100.0 * value))


# ---- screens ---------------------------------------------------------------------------------------------------------
def rendered(view: Any) -> str:
    """What :func:`print_report` or a console prints where there is no terminal."""
    out = StringIO()
    if isinstance(view, dict):
        print_report(view, Console(file=out, width=PIPE_WIDTH))
    else:
        Console(file=out, width=120, highlight=False).print(view)
    return out.getvalue()


def traced_report(report: dict[str, Any]) -> dict[str, Any]:
    """The report with traced numbers and texts; of its insight the texts alone, whose numbers are checked by figure."""
    made: dict[str, Any] = traced({key: value for key, value in report.items() if key != "insight"})
    return {**made, "insight": traced(report["insight"], numbers=False, keys=True)}


def untraced(text: str) -> list[str]:
    """Numbers of a traced *text* that come from no field, and are no constant, list number or time."""
    joined = " ".join(text.split())
    for one in CONSTANTS:
        joined = re.sub(one, "", joined)
    return re.findall(r"\S*[0-9]\S*", TIME.sub("", joined))


def test_the_runs_screen_prints_nothing_but_fields_of_its_document(told: Printed) -> None:
    """Each number on the screen is a field of the report, which has an id or is in the closed list."""
    assert rendered(told.report) == told.run_text
    text = rendered(traced_report(told.report))
    assert text.translate(PLAIN) == told.run_text
    assert untraced(text) == []


def test_a_number_that_is_printed_beside_the_document_is_found(
    told: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the screen makes up by itself, such as the length of a list."""
    from quantum_trader.app.report import tables

    monkeypatch.setattr(tables, "_ids_line", lambda: f"{len(told.report['tables'])} tables")
    assert untraced(rendered(traced_report(told.report))) == [str(len(told.report["tables"]))]


def test_the_status_prints_nothing_but_fields_of_its_document(told: Printed) -> None:
    """Its lines are made of the status alone; ages are those of the moment."""
    with chdir(told.folder):
        found = folder_status(Path("state"), NOW_NS)
    lines = "\n".join(status_lines(traced(found), None))
    assert untraced(lines) == []
    plain = lines.translate(PLAIN).splitlines()
    assert [line for line in plain if " old" not in line] == [
        line for line in told.status_text.splitlines() if " old" not in line
    ]


def test_a_live_status_prints_nothing_but_figures_with_an_id(told: Printed) -> None:
    """The figures that only a running process and the venue know."""
    with chdir(told.folder):
        found = folder_status(Path("state"), NOW_NS)
    found = msgspec.structs.replace(
        found, lag_s=0.25, queue_fill=0.5, last_event_age_s=1.5, unreconciled_s=9000.0, in_doubt=2, dropped_events=3,
        direct_actions=4, positions=(PositionLine(symbol="A", side="LONG", qty=1.5, entry_price=2.5, stop=2.0),),
        orders=(OrderLine(client_order_id="one", symbol="A", purpose="STOP", qty=1.5, price=2.0),),
    )
    view = VenueView(
        endpoint="venue", balance=VenueBalance(wallet=10.0, unrealised_pnl=1.0, margin_used=2.0, available=8.0),
        orders=(), positions=(VenuePosition(
            symbol="A", qty=-1.5, entry_price=2.5, leverage=3.0, margin=1.0, liquidation_price=0.0, mark_price=2.5,
            unrealised_pnl=0.5,
        ),),
    )
    assert unnamed(status_document(found, view), STATUS, NO_FIGURES["status"]) == []
    seen = traced(view)
    lines = "\n".join(status_lines(traced(found), seen))
    assert untraced(lines) == []
    assert f"equity {11.0:,.2f} USDT" in lines.translate(PLAIN)


def test_the_insight_prints_its_figures_and_nothing_else(told: Printed) -> None:
    """Every number of a sentence is one of the figures that the sentence names, as that is written."""
    insight = msgspec.convert(told.insight, DailyInsight)
    assert rendered(insight_view(insight)) == told.insight_text
    assert untraced(rendered(insight_view(traced(insight, keys=True)))) == []
    for part in insight.sections:
        for said in part.sentences:
            written = " ".join(insight.figures[key].text for key in said.figures)
            assert set(NUMBER.findall(TIME.sub("", said.text))) <= set(NUMBER.findall(written)), said.text


# ---- the journal -----------------------------------------------------------------------------------------------------
def test_figures_with_sql_are_what_the_journal_gives(told: Printed) -> None:
    """The printed figures are recomputed by the SQL of their metrics, in all and by the rows' dimensions."""
    snapshot, queried = MetricsComputer(told.state).compute(), load_catalogue().queried
    compared = set()
    for field in numbers_of(told.run, RUN):
        metric = told.run["metric_ids"].get(field.path)
        if metric not in queried or field.path.startswith(NOT_OF_THE_JOURNAL):
            continue
        table = field.path.rpartition(".")[0]
        where = {BY[table][0]: row_name(told.run, field.place, BY[table][1])} if table in BY else {}
        value = snapshot.get(metric, WHOLE, **where)
        assert value is not None, (field, where)
        assert value.value is not None, (field, where)
        assert field.value == pytest.approx(value.value, rel=1e-9, abs=1e-9), (field, where)
        compared.add(metric)
    assert {"trades", "pnl_total", "fees", "slippage", "signals", "equity_end", "policy_changes"} <= compared
    assert snapshot.get("equity_end", WHOLE).value == pytest.approx(told.status["equity"])  # type: ignore[union-attr]


def row_name(document: Any, place: str, name: str) -> str:
    """The *name* of the row that the field at *place* is in."""
    found = document
    for key, index in re.findall(r"([a-z_]+)|\[(\d+)\]", place.rpartition(".")[0]):
        found = found[key] if key else found[int(index)]
    return str(found[name])


def test_an_insights_figures_with_sql_are_what_the_journal_gives(told: Printed) -> None:
    """Of the day, and of the day before where a sentence compares."""
    computer, queried = MetricsComputer(told.state), load_catalogue().queried
    for key, figure in told.insight["figures"].items():
        reference = read_reference(key, told.insight["day"])
        if reference.metric in queried:
            value = computer.value(reference.metric, reference.day, **dict(reference.where)).value
            assert figure["value"] == (None if value is None else pytest.approx(value)), key


def test_a_printed_figure_is_shown_and_explained_by_its_id(told: Printed) -> None:
    """With the field that it stands in, and the function and command that compute it."""
    found = json.loads(printed("metrics", "explain", "equity_sharpe", "--state", str(told.state), "--json"))
    summary = told.run["summary"]
    values = {one["where"]["field"]: one["value"] for one in found["values"]}
    assert {key: values[f"summary.{key}"] for key in ("sharpe", "sharpe_low", "sharpe_high")} == {
        key: summary[key] for key in ("sharpe", "sharpe_low", "sharpe_high")
    }
    assert found["function"] == "app.report.data.curve_statistics"
    words = ("metrics", "show", "--metric", "status_equity", "--metric", "equity_profit", "--state", str(told.state))
    shown = {one["metric"]: one["value"] for one in json.loads(printed(*words, "--json"))["values"]}
    assert shown == {"status_equity": told.status["equity"], "equity_profit": summary["profit"]}


def test_every_id_is_of_the_catalogue_and_every_printed_metric_is_printed() -> None:
    """The lists of ids name nothing that is not there; the catalogue has no figure of a screen that none prints."""
    known = load_catalogue().metrics
    named = {*RUN.values(), *STATUS.values()}
    assert named - known.keys() == set()
    assert [one.id for one in known.values() if one.of in ("run", "status") and one.id not in named] == []
