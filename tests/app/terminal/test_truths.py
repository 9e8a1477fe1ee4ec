"""One folder tells the same whoever reads it: `watch --json`, `status --json` and the API."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.test_status import FINE, live_folder
from typer.testing import CliRunner

pytest.importorskip("fastapi", reason="needs the extra `serve`")
from tests.app.api.clients import client_of

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import HaltLine, LiveStatus, OrderLine, PositionLine
from quantum_trader.app.terminal.page_facts import PAGES

MOVING = {"age_s", "checkpoint_age_s"}  # seconds until now
BUSY: LiveStatus = msgspec.structs.replace(
    FINE, governor="CAUTIOUS", entries_halted="an operator's halt", lag_s=1.25, queue_fill=0.5, in_doubt=2,
    positions=(
        PositionLine(symbol="BTCUSDT", side="SHORT", qty=0.3, entry_price=100.1, stop=120.3, mark_price=math.nan),
        PositionLine(symbol="ETHUSDT", side="LONG", qty=1.7, entry_price=50.0, protected=False, trace_id="tr00000002"),
    ),
    orders=(OrderLine(client_order_id="qt-9", symbol="ETHUSDT", purpose="", qty=3.0, resting=False),),
    halts=(HaltLine(kind="operator", reason="lunch", exit_path="resume", since_ns=5),),
)


def said(*words: str) -> Any:
    """The JSON document that a command prints."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def pages_of(folder: Path) -> dict[str, Any]:
    """The facts of each page."""
    return {name: said("watch", "--state", str(folder), "--page", name)["facts"] for name in PAGES}


def same_as_status(folder: Path) -> int:
    """How many figures were compared; every figure that two of the three have is equal in them."""
    status, pages = said("status", "--state", str(folder)), pages_of(folder)
    with client_of(folder) as client:
        served = client.get("/api/v1/status").json()
        health = client.get("/api/v1/health").json()
        halts = client.get("/api/v1/halts").json()
        positions = client.get("/api/v1/positions").json()["positions"]
        orders = client.get("/api/v1/orders").json()["orders"]
    assert len(served) > 25
    for name in served.keys() - MOVING:  # the command adds the figures' ids
        assert served[name] == status[name], name
    assert (positions, orders, halts["halts"]) == (status["positions"], status["orders"], status["halts"])
    compared = 0
    for page, facts in pages.items():
        for name in (facts.keys() & status.keys()) - MOVING - {"models"}:  # what models lack is told in words
            found, wanted = facts[name], status[name]
            if name == "positions":
                assert [{key: one[key] for key in known} for one, known in zip(found, wanted, strict=True)] == wanted
            else:
                assert found == wanted, (page, name)
            compared += 1
        for name in (facts.keys() & health.keys()) - MOVING:
            assert facts[name] == health[name], (page, name)
            compared += 1
        assert facts["problem_count"] == len(status["problems"])
    return compared


def test_a_finished_run_has_one_truth(finished: Path) -> None:
    """Status, positions, orders, halts, and the equity over time."""
    assert same_as_status(finished) > 50
    curve = pages_of(finished)["overview"]["curve"]
    with client_of(finished) as client:
        points = client.get("/api/v1/equity?points=400").json()["points"]
    assert len(points) > 100
    assert [[one[name] for one in points] for name in ("ts_ns", "equity", "drawdown")] == [
        curve["ts_ns"], curve["equity"], curve["drawdown"]
    ]


def test_a_live_run_has_one_truth(tmp_path: Path) -> None:
    """With what is not known, what is halted, and what has no stop."""
    live_folder(tmp_path, msgspec.structs.replace(BUSY, written_ns=time.time_ns()))
    held = StateDir(tmp_path)
    try:
        assert same_as_status(tmp_path) > 50
    finally:
        held.close()


def test_decisions_trades_and_shadows_are_those_of_the_api(finished: Path) -> None:
    """Row by row, the newest first."""
    pages = pages_of(finished)
    with client_of(finished) as client:
        asked = {name: client.get(f"/api/v1/{name}?limit=1000").json()["rows"]
                 for name in ("decisions", "trades", "shadows")}
    decisions = pages["decisions"]["decisions"]
    assert len(decisions) == len(asked["decisions"]) > 20
    assert decisions == [{name: one[name] for name in decisions[0]} for one in asked["decisions"]]
    last = pages["overview"]["last_trade"]
    assert last == {name: asked["trades"][0][name] for name in last}
    traded = [one["net_bps"] for one in asked["shadows"] if one["traded"]]
    told = next(one for one in pages["shadows"]["by_reason"] if one["traded"])
    assert (told["shadows"], told["mean_bps"]) == (len(traded), pytest.approx(sum(traded) / len(traded)))
    refused = [one["signal_id"] for one in asked["shadows"] if not one["traded"]]
    assert [one["signal_id"] for one in pages["shadows"]["refused"]] == refused[:200]
