"""Reading a finished run over the API: the same truths as the journal and the commands tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.app.api.clients import client_of, refusal
from typer.testing import CliRunner

from quantum_trader.app.api.read_endpoints import LISTS
from quantum_trader.app.cli.main import app
from quantum_trader.journal.lake import Lake

BAD_TIMES = ("x", "2018-13-01", "99999-01-01", "", "2018-03-01T25:00", "0001-01-01T00:00:00+23:59")


@pytest.fixture(scope="module")
def reading(finished: Path) -> TestClient:
    """A client that reads the finished run."""
    return client_of(finished)


def got(client: TestClient, road: str) -> Any:
    """A good answer."""
    answer = client.get(f"/api/v1/{road}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def counted(folder: Path, view: str) -> int:
    """Rows of a view."""
    return int(Lake(folder / "journal").sql(f"select count(*) as n from {view}")["n"][0].as_py())


@pytest.mark.parametrize("road", LISTS)
def test_the_pages_of_a_list_hold_every_row_once(reading: TestClient, finished: Path, road: str) -> None:
    """Newest first, whatever the size of a page."""
    view, seen, before = LISTS[road][0], [], ""
    total = counted(finished, view)
    size = max(1, min(1000, total // 3 + 1))
    for _ in range(total // size + 2):
        page = got(reading, f"{road}?limit={size}&before={before}")
        seen += [(row["ts_ns"], row["producer"], row["seq"]) for row in page["rows"]]
        before = page["next"]
        if not before:
            break
    assert len(seen) == total
    assert seen == sorted(set(seen), reverse=True)


def test_a_list_is_filtered_by_symbol_decision_and_time(reading: TestClient) -> None:
    """Each filter keeps what it says, together too."""
    every = got(reading, "decisions?limit=1000")["rows"]
    middle = every[len(every) // 2]
    one = [row for row in every if row["symbol"] == middle["symbol"]]
    assert got(reading, f"decisions?limit=1000&symbol={middle['symbol']}")["rows"] == one
    assert got(reading, f"decisions?trace_id={middle['trace_id']}")["rows"] == [middle]
    since, until = every[-1]["ts"], middle["ts"]
    found = got(reading, f"decisions?limit=1000&since={since}&until={until}")["rows"]
    assert found == [row for row in every if since <= row["ts"] < until]
    assert got(reading, "decisions?symbol=NONEUSDT") == {"rows": [], "next": ""}


@pytest.mark.parametrize("query", [
    "limit=0", "limit=1001", "limit=x", "before=x", "before=1..", "before=-1.engine.1", "before=1.engine.٣",
    "before=99999999999999999999.engine.1", "nonsense=1", "limit=1&limit=2",
    *(f"since={one}" for one in BAD_TIMES if one),
])
def test_a_bad_parameter_is_named(reading: TestClient, query: str) -> None:
    """400 with its key, and never a failure of the server."""
    status, code, message = refusal(reading.get(f"/api/v1/trades?{query}"))
    assert (status, code) == (400, "bad_request")
    assert query.partition("=")[0] in message


@pytest.mark.parametrize("value", [
    "' or 1=1 --", "x'; drop view trades; --", "%", "\\", "\x00", "ü", "\U0001f3b2",
    "BTCUSDT' union select * from events --",
])
def test_a_filter_is_a_value_and_never_sql(reading: TestClient, value: str) -> None:
    """It finds nothing."""
    answer = reading.get("/api/v1/trades", params={"symbol": value})
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert answer.json()["rows"] == []


@pytest.mark.parametrize("path", [
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "traces/..%2f..%2fapi_tokens.json",
    "journal/views/..%2f..%2fcheckpoint", "metrics/..%2f..%2fcheckpoint", "signals/..%5c..%5ccheckpoint",
])
def test_no_path_leads_out_of_the_api(reading: TestClient, path: str) -> None:
    """404 or 400 in the one format, and nothing of a file."""
    answer = reading.get(f"/api/v1/{path}")
    assert answer.status_code in (400, 404), answer.text
    refusal(answer)
    assert "root:" not in answer.text


def test_status_positions_orders_and_halts_are_those_of_the_command(reading: TestClient, finished: Path) -> None:
    """One truth."""
    said = json.loads(CliRunner().invoke(app, ["status", "--state", str(finished), "--json"]).stdout)
    status = got(reading, "status")
    for name in ("equity", "governor", "positions", "orders", "halts", "result", "stage", "alive"):
        assert status[name] == said[name], name
    assert got(reading, "positions")["positions"] == said["positions"]
    assert got(reading, "orders")["orders"] == said["orders"]
    assert got(reading, "health")["problems"] == said["problems"]


def test_the_equity_ends_where_the_status_stands(reading: TestClient) -> None:
    """Its deepest drawdown is that of the result, in any number of points."""
    status = got(reading, "status")
    for points in (2, 7, 5000):
        curve = got(reading, f"equity?points={points}")
        assert len(curve["points"]) <= points
        assert curve["start_equity"] == status["result"]["start_equity"]
        assert curve["points"][-1]["equity"] == pytest.approx(status["equity"])
        deepest = min(one["drawdown"] for one in curve["points"]) * 100.0
        assert deepest == pytest.approx(status["result"]["deepest_drawdown_pct"])
    middle = got(reading, "equity")["points"][1000]
    later = got(reading, "equity?since=2018-04-15")["points"]
    assert later[0]["ts_ns"] > middle["ts_ns"]


def test_the_policy_in_force_is_the_newest_on_record(reading: TestClient) -> None:
    """With its reason."""
    newest = got(reading, "policy/history?limit=1")["rows"][0]
    assert got(reading, "policy")["policy"] == newest
    assert newest["reason"]


def test_a_signal_is_explained_as_the_command_explains_it(reading: TestClient, finished: Path) -> None:
    """And an unknown one is told the nearest."""
    known = got(reading, "decisions?limit=1")["rows"][0]["signal_id"]
    said = json.loads(CliRunner().invoke(app, ["why", known, "--state", str(finished), "--json"]).stdout)
    assert got(reading, f"signals/{known}")["signal_id"] == known
    assert got(reading, f"signals/{known}") == said
    assert "the nearest are" in refusal(reading.get("/api/v1/signals/s99999999"))[2]


def test_why_nothing_was_traded_is_told(reading: TestClient) -> None:
    """At a time; a symbol that is not traded is named with the nearest."""
    told = got(reading, "why-not?symbol=BTCUSDT&at=2018-04-01T00:00:00Z")
    assert told["summary"]
    assert "BTCUSDT" in refusal(reading.get("/api/v1/why-not?symbol=BTC&at=2018-04-01"))[2]
    assert refusal(reading.get("/api/v1/why-not?symbol=BTCUSDT"))[0] == 400


def test_a_trace_is_found_by_each_of_its_ids(reading: TestClient, finished: Path) -> None:
    """Trace, signal, intent, order and trade give the same steps."""
    trade = got(reading, "trades?limit=1")["rows"][0]
    trace = trade["trace_id"]
    intent = got(reading, f"intents?trace_id={trace}")["rows"][0]["intent_id"]
    order = got(reading, f"orders/history?trace_id={trace}&limit=1000")["rows"][0]["client_order_id"]
    signal = got(reading, f"decisions?trace_id={trace}")["rows"][0]["signal_id"]
    steps = got(reading, f"traces/{trace}")
    assert steps["trace_id"] == trace
    assert [got(reading, f"traces/{one}") for one in (signal, intent, order, trade["trade_id"])] == [steps] * 4
    said = json.loads(CliRunner().invoke(app, ["trace", "show", trace, "--state", str(finished), "--json"]).stdout)
    assert steps["spans"] == said["spans"]
    for unknown in ("tr99999999", "nothing", "s0", "s" + "9" * 400, "x'y"):
        assert refusal(reading.get(f"/api/v1/traces/{unknown}"))[0] == 404


def test_metrics_are_those_of_the_command_and_each_has_its_sql(reading: TestClient, finished: Path) -> None:
    """The SQL answers with the value when it is asked over the API."""
    said = json.loads(CliRunner().invoke(app, ["metrics", "show", "--state", str(finished), "--json"]).stdout)
    figures = {one["metric"]: one["value"] for one in got(reading, "metrics")["values"] if not one["where"]}
    assert {one["metric"]: one["value"] for one in said["values"] if not one["where"]} == figures
    for name in ("win_rate", "pnl_total", "fees"):
        sql = got(reading, f"metrics/{name}")["sql"]
        answer = reading.post("/api/v1/journal/sql", json={"query": sql}).json()
        assert "rows" in answer, answer
        assert answer["rows"][0]["value"] == pytest.approx(figures[name])
    assert refusal(reading.get("/api/v1/metrics/nothing"))[0] == 404
    last = json.loads(CliRunner().invoke(
        app, ["metrics", "show", "--state", str(finished), "--day", "last", "--json"]
    ).stdout)["day"]
    assert got(reading, "metrics?day=last")["day"] == last == "2018-05-31"
    for road in ("metrics", "insights"):
        for day in ("2031-01-01", "x", "2018-02-30"):
            assert refusal(reading.get(f"/api/v1/{road}?day={day}"))[0] == 404


def test_sql_is_bounded_as_the_commands(reading: TestClient, finished: Path) -> None:
    """One SELECT over the journal: no write, no file, no setting, no other statement."""
    answer = reading.post("/api/v1/journal/sql", json={"query": "select * from bars_or_not limit 1"})
    assert "there is no view" in refusal(answer)[2]
    for query in (
        "drop view trades", "copy (select 1) to '/tmp/x.csv'", "select * from read_text('/etc/passwd')",
        "select 1; select 2", "attach '/tmp/x.db'", "set memory_limit = '100GB'", "pragma version",
        "install httpfs", "select * from read_parquet('/etc/*')", "select * from glob('/*')",
        f"select * from read_text('{finished / 'lock'}')", "", ";", "select getenv('HOME')", "\ud800",
    ):
        content = json.dumps({"query": query})
        answer = reading.post("/api/v1/journal/sql", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, f"{query}: {answer.text}"
    many = reading.post("/api/v1/journal/sql", json={"query": "select * from range(100)", "limit": 10}).json()
    assert (len(many["rows"]), many["total"], many["columns"]) == (10, 100, ["range"])
    odd = reading.post("/api/v1/journal/sql", json={"query": "select 'nan'::double as x, 1e400::decimal(38,0) as y"})
    assert odd.status_code in (200, 400)


def test_views_are_listed_and_described(reading: TestClient) -> None:
    """Each with its columns."""
    for one in got(reading, "journal/views"):
        if one["kinds"]:
            assert got(reading, f"journal/views/{one['view']}")["columns"]
    assert refusal(reading.get("/api/v1/journal/views/nothing"))[0] == 404


def test_an_insight_is_that_of_the_command(reading: TestClient, finished: Path) -> None:
    """Every sentence of it."""
    said = CliRunner().invoke(app, ["insight", "--state", str(finished), "--day", "2018-05-15", "--json"])
    found = got(reading, "insights?day=2018-05-15")
    assert found.pop("as_of_ns") > 0
    assert found == json.loads(said.stdout)


def test_gates_rollout_models_and_pilot_are_told(reading: TestClient) -> None:
    """What is enforced, what is in force, what it lacks."""
    assert got(reading, "rollout")["mode"] == "OBSERVE"
    assert len(got(reading, "gates")["gates"]) == 6
    assert got(reading, "models")["in_force"]["names"]
    assert got(reading, "pilot")["mode_in_force"] == "SHADOW"
    assert got(reading, "rl-v3/dashboard/live-status")["mode"] == "SHADOW"


def test_an_unknown_road_and_method_are_answered_in_the_one_format(reading: TestClient) -> None:
    """404 and 405."""
    assert refusal(reading.get("/api/v1/nothing"))[:2] == (404, "not_found")
    assert refusal(reading.delete("/api/v1/status"))[:2] == (405, "method_not_allowed")


def test_an_answer_of_sql_that_is_too_large_is_refused(client: TestClient) -> None:
    """Before it is turned into text; the rows that are wanted count, and not those that are left out."""
    query = {"query": "select repeat('a', 1000000) as text from range(64)"}
    status, _, message = refusal(client.post("/api/v1/journal/sql", json=query))
    assert status == 400
    assert "at most 32" in message
    few = client.post("/api/v1/journal/sql", json={**query, "limit": 2})
    assert (few.status_code, few.json()["total"], len(few.json()["rows"])) == (200, 64, 2)
