"""A webhook's body at a real live process and the local venue: one order, its trace, and a secret that is nowhere."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.app.api.live_world import LiveWorld, ask, until
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.journal.lake import Lake


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    """A live process that trades, with its API."""
    with LiveWorld(tmp_path_factory.mktemp("signals")) as made:
        yield made


def command(*words: str) -> Any:
    """What a command with --json says."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def post(world: LiveWorld, source: str, body: str, kind: str = "text/plain; charset=utf-8") -> tuple[int, Any]:
    """Post a body as TradingView does: no header of its own."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{world.port}/api/v1/webhooks/{source}", data=body.encode(), method="POST",
        headers={"Content-Type": kind},
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10.0) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def openings(world: LiveWorld, symbol: str) -> list[Any]:
    """Orders of the venue that open a position of *symbol*."""
    orders = world.venue.exchange.orders.values()
    return [one.ticket for one in orders if one.ticket.symbol == symbol and not one.ticket.reduce_only]


def held(world: LiveWorld) -> dict[str, float]:
    """Signed quantities that the venue holds."""
    return {one.symbol: one.qty for one in world.venue.exchange.paper.positions()}


@pytest.mark.long
def test_a_tradingview_body_becomes_one_order_with_its_trace(world: LiveWorld) -> None:
    """Sent four times it is one order with a stop; it answers within a second; the trace and the counts name it."""
    secret = command("source", "new", "tradingview", "--state", str(world.state))["secret"]
    body = json.dumps({
        "secret": secret, "action": "buy", "ticker": "BINANCE:BTCUSDT.P", "price": "10000.5", "max_lag": "300",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "order": {"amount": "0.05", "currency_type": "base"}, "stopLoss": {"type": "percent", "percent": "2"},
        "strategy_info": {"market_position": "long", "prev_market_position": "flat"},
    })
    began = time.monotonic()
    status, answer = post(world, "tradingview", body)
    assert time.monotonic() - began < 1.0
    assert (status, answer["outcome"], answer["symbol"], answer["action"]) == (200, "accepted", "BTCUSDT", "LONG")
    trace = answer["trace_id"]
    for _ in range(3):
        again, told = post(world, "tradingview", body)
        assert (again, told["outcome"], told["trace_id"]) == (200, "duplicate", trace)
    until("the position", lambda: held(world).get("BTCUSDT"), 20.0)
    time.sleep(1.0)
    (order,) = openings(world, "BTCUSDT")
    assert 0.0 < order.qty <= 0.05
    stop = next(one.ticket for one in world.venue.exchange.open_algos() if one.ticket.type == "STOP_MARKET")
    assert stop.symbol == "BTCUSDT"
    shown = until("the trace", lambda: traced(world, trace))
    assert "intent.received" in shown
    assert "tradingview" in shown
    assert "order.filled" in shown
    (line,) = [one for one in world.get("signals/sources")["sources"] if one["name"] == "tradingview"]
    counts = ("received", "accepted", "duplicates", "expired", "refused", "traded")
    assert [line[key] for key in counts] == [4, 1, 3, 0, {}, 1]


def traced(world: LiveWorld, trace: str) -> str:
    """What `trace show` prints once the order is filled; empty before."""
    result = CliRunner().invoke(app, ["trace", "show", trace, "--state", str(world.state), "--json"])
    return result.stdout if result.exit_code == 0 and "order.filled" in result.stdout else ""


@pytest.mark.long
def test_an_exit_of_the_other_side_leaves_the_position_and_one_of_its_own_closes_it(world: LiveWorld) -> None:
    """exit_short does nothing to a long; market_position flat closes it."""
    secret = command("source", "new", "exits", "--state", str(world.state))["secret"]
    assert held(world)["BTCUSDT"] > 0.0
    status, answer = post(world, "exits", f"{secret},exit_short,BTCUSDT")
    assert (status, answer["outcome"], answer["action"]) == (200, "accepted", "CLOSE_SHORT")
    time.sleep(2.0)
    assert held(world)["BTCUSDT"] > 0.0
    body = {"action": "sell", "market_position": "flat", "prev_position": "long", "symbol": "BTCUSDT", "k": secret}
    assert post(world, "exits", json.dumps(body), "application/json")[1]["action"] == "CLOSE_LONG"
    until("flat", lambda: "BTCUSDT" not in held(world), 20.0)


@pytest.mark.long
def test_a_signal_with_a_token_takes_the_size_that_the_risk_gives(world: LiveWorld) -> None:
    """A trader's token, this API's own form; no size stated: the run sizes it, and the id again is nothing."""
    token = command("source", "new", "desk", "--token", "--state", str(world.state))["secret"]
    order = {"id": "d-1", "symbol": "ETHUSDT", "action": "SHORT", "stop_pct": 2.0, "leverage": 4.0}
    assert ask(world.port, "/api/v1/signals", order)[0] == 401
    status, answer = ask(world.port, "/api/v1/signals", order, token)
    assert (status, answer["trace_id"], answer["sized_in"]) == (200, "desk-d-1", "risk")
    assert ask(world.port, "/api/v1/signals", {**order, "symbol": "BTCUSDT"}, token)[1]["outcome"] == "duplicate"
    until("the short", lambda: held(world).get("ETHUSDT", 0.0) < 0.0, 20.0)
    (sent,) = openings(world, "ETHUSDT")
    equity = world.get("status")["equity"]
    price = float(world.venue.exchange.last[world.venue.exchange.index["ETHUSDT"]])
    risked = abs(held(world)["ETHUSDT"]) * price * 0.02
    assert 0.0 < risked < 0.03 * equity
    assert sent.qty * price < 4.0 * equity


@pytest.mark.long
def test_a_source_that_reverses_closes_the_short_and_opens_a_long(world: LiveWorld) -> None:
    """One signal, the closing order and then the opening one; the venue holds a long with a stop."""
    secret = command("source", "new", "turns", "--state", str(world.state))["secret"]
    (world.state / "signal_sources.toml").write_text("[turns]\nreverses = true\nttl_s = 60\n")
    assert held(world)["ETHUSDT"] < 0.0
    body = {"s": secret, "side": "buy", "symbol": "ETHUSDT.P", "quantity": "2", "market_position": "long"}
    trace = post(world, "turns", json.dumps(body))[1]["trace_id"]
    until("the long", lambda: held(world).get("ETHUSDT", 0.0) > 0.0, 20.0)
    assert 0.0 < held(world)["ETHUSDT"] <= 2.0
    assert "order.filled" in until("the trace", lambda: traced(world, trace))
    stops = [one.ticket for one in world.venue.exchange.open_algos() if one.ticket.type == "STOP_MARKET"]
    assert {(one.symbol, one.sign) for one in stops} == {("ETHUSDT", -1)}


@pytest.mark.long
def test_the_secret_is_in_no_file(world: LiveWorld) -> None:
    """Refused, wrong and accepted bodies alike: no file of the folder nor the process's log holds a secret."""
    secret = command("source", "new", "quiet", "--state", str(world.state))["secret"]
    for body in (
        {"secret": secret, "action": secret, "symbol": "BTCUSDT"}, {"symbol": secret, "action": "buy"},
        {"secret": secret, "action": "buy", "symbol": "NOPEUSDT"}, {"action": "buy", "signal_id": secret},
        {"bot_uuid": secret, "action": "close", "symbol": "LTCUSDT.P", secret: 1},
    ):
        status, answer = post(world, "quiet", json.dumps(body))
        assert status == 400, answer
        assert secret not in json.dumps(answer)
    assert post(world, "other", json.dumps({"secret": secret}))[0] == 401
    assert secret not in json.dumps(world.get("signals/received"))
    world.process.terminate()
    world.process.wait(60.0)
    needle = secret.rpartition("_")[2][:20].encode()
    files = [path for path in (*world.state.rglob("*"), Path(world.errors.name)) if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if needle in path.read_bytes()] == []
    plain = [path for path in files if path.suffix != ".parquet"]  # compressed bytes spell anything once in a while
    assert [path for path in plain if b"qts_" in path.read_bytes()] == []
    query = "select count(*) as n from events where contains(payload::varchar, 'qts_')"
    found = Lake(world.state / "journal").sql(query)
    assert found.to_pylist()[0]["n"] == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in world.state.glob("*signals*"))
