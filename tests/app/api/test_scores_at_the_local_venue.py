"""A webhook's body as a model's score at a live process and the local venue: decision, order, trace, and a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.app.api.live_world import LiveWorld, until
from tests.app.api.test_signals_at_the_local_venue import command, held, openings, post, traced
from tests.app.kill_world import market

from quantum_trader.app.runs.status import read_status
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.server import LocalVenue

SETTINGS = """\
[live]
max_decision_delay_s = 100.0
warmup_bars = 900
[policy]
enabled = false
[rollout]
fixed_confidence = 0.0
[risk]
max_cost_r = 10.0
max_exposure_pct = 100.0
daily_loss_pct = 50.0
[[models]]
model = "outside-scores"
symbols = ["BTCUSDT", "ETHUSDT"]
params = { bars = "1m", horizon = "1h", max_age = "30m", source = "tradingview" }
prior = [3.0, 0.5]
"""


class TickingWorld(LiveWorld):
    """The world with a venue whose minutes pass."""

    def __init__(self, folder: Path, *more: str) -> None:
        super().__init__(folder, *more)
        self.venue = LocalVenue(market(7, time.time_ns()), clock=MarketClock(1.0))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    """A live process whose only model takes the scores of the source tradingview, looked at each minute."""
    folder = tmp_path_factory.mktemp("scores")
    (folder / "scores.toml").write_text(SETTINGS)
    with TickingWorld(folder, "--config", str(folder / "scores.toml")) as made:
        (made.state / "signal_sources.toml").write_text(
            "[tradingview]\nenter_as = 'scores'\nmax_lag_s = 300\n[other]\nenter_as = 'scores'\n"
        )
        yield made


@pytest.fixture(scope="module")
def secret(world: LiveWorld) -> str:
    """The secret of the source."""
    found: str = command("source", "new", "tradingview", "--state", str(world.state))["secret"]
    return found


def alert(secret: str, **more: Any) -> str:
    """A body as TradingView sends it."""
    return json.dumps({"secret": secret, "timestamp": time.time_ns() // 10**6, **more})


def records(world: LiveWorld, topic: str) -> list[Any]:
    """The records of one topic."""
    lines = (world.state / "records.jsonl").read_bytes().splitlines()
    found = [json.loads(line) for line in lines if topic.encode() in line]
    return [one for one in found if one["topic"] == topic]


def go_on(world: LiveWorld) -> None:
    """Start the process again with the same words; the server of the killed one has stayed."""
    key = world.venue.keys[0]
    world.process = subprocess.Popen(
        world.process.args, stdout=world.errors, stderr=world.errors, stdin=subprocess.DEVNULL,
        env={**os.environ, "QT_LOCAL_KEY": key.key, "QT_LOCAL_SECRET": key.secret},
    )

    def trades() -> bool:
        status = read_status(world.state)
        return status is not None and (status.pid, status.stage) == (world.process.pid, "trading")

    until("trading again", trades)


@pytest.mark.long
def test_a_tradingview_body_becomes_a_score_a_decision_and_an_order_with_its_trace(
    world: LiveWorld, secret: str
) -> None:
    """Sent three times it is one score; the minute's close makes a signal of it, sized by the risk, with a stop."""
    body = alert(secret, action="buy", ticker="BINANCE:BTCUSDT.P", order={"amount": "50", "currency_type": "base"})
    status, answer = post(world, "tradingview", body)
    assert (status, answer["outcome"], answer["enters_as"], answer["score"]) == (200, "accepted", "scores", 1.0)
    assert "order.amount" in answer["ignored"]
    trace = answer["trace_id"]
    for _ in range(2):
        assert post(world, "tradingview", body)[1]["outcome"] == "duplicate"
    until("the position", lambda: held(world).get("BTCUSDT"), 150.0)
    (order,) = openings(world, "BTCUSDT")
    assert 0.0 < order.qty < 50.0  # by the policy and the risk, not by the body
    stops = until("the stop", lambda: [
        one.ticket.symbol for one in world.venue.exchange.open_algos() if one.ticket.type == "STOP_MARKET"
    ])
    assert stops == ["BTCUSDT"]
    shown = json.loads(until("the trace", lambda: traced(world, trace)))
    events = [one["facts"]["event"] for one in shown["spans"]]
    assert events[0] == "score.received"
    assert events.index("signal.generated") < events.index("order.submitted") < events.index("order.filled")
    (received,) = records(world, "score.received")
    signal_of_it = records(world, "signal.generated")[0]
    assert signal_of_it["data"]["outside_scores"] == [trace]
    assert signal_of_it["ts_ns"] >= received["ts_ns"]
    assert world.get(f"traces/{trace}")["spans"][0]["name"] == "score"
    why = command("why", signal_of_it["data"]["signal_id"], "--state", str(world.state))
    assert why["outside_scores"] == [trace]
    (line,) = [one for one in world.get("signals/sources")["sources"] if one["name"] == "tradingview"]
    assert [line[key] for key in ("received", "accepted", "duplicates", "traded", "failed")] == [3, 1, 2, 1, {}]


@pytest.mark.long
def test_a_score_of_a_source_that_no_model_takes_is_refused(world: LiveWorld) -> None:
    """The model is for another source's scores; the answer says what to do, and it is counted."""
    other = command("source", "new", "other", "--state", str(world.state))["secret"]
    status, answer = post(world, "other", alert(other, score=1.0, symbol="BTCUSDT"))
    assert status == 409
    assert "no model of this run takes the scores of other" in answer["error"]["message"]


@pytest.mark.long
def test_killed_between_receipt_and_bar_the_next_process_trades_the_score_once(
    world: LiveWorld, secret: str
) -> None:
    """Answered, written to the input log, killed before the minute closes: nothing is lost and nothing taken twice."""
    left_s = 60.0 - time.time() % 60.0
    time.sleep(left_s + 2.0 if left_s < 30.0 else 0.0)
    answer = post(world, "tradingview", alert(secret, score=-2.0, symbol="ETHUSDT"))[1]
    assert answer["outcome"] == "accepted"
    until("the input", lambda: [
        path for path in (world.state / "inputs").iterdir() if answer["trace_id"].encode() in path.read_bytes()
    ], 20.0)
    world.process.send_signal(signal.SIGKILL)
    world.process.wait()
    assert "ETHUSDT" not in held(world)
    go_on(world)
    until("the short", lambda: held(world).get("ETHUSDT", 0.0) < 0.0, 150.0)
    assert len(openings(world, "ETHUSDT")) == 1
    assert until("the trace", lambda: traced(world, answer["trace_id"]))
    taken = [one["trace_id"] for one in records(world, "score.received")]
    assert taken.count(answer["trace_id"]) == 1


@pytest.mark.long
def test_close_leaves_the_position_at_the_next_bar(world: LiveWorld, secret: str) -> None:
    """An exit of the other side changes nothing and is on record; CLOSE leaves."""
    exit_long = alert(secret, action="exit_long", symbol="ETHUSDT")
    assert post(world, "tradingview", exit_long)[1]["outcome"] == "accepted"
    until("the refusal", lambda: [
        one for one in records(world, "score.refused") if one["data"]["reason"] == "NO_SCORE_OF_SIDE"
    ])
    assert held(world)["ETHUSDT"] < 0.0
    assert post(world, "tradingview", alert(secret, action="close", symbol="ETHUSDT"))[1]["score"] == 0.0
    until("flat", lambda: "ETHUSDT" not in held(world), 150.0)
    (line,) = [one for one in world.get("signals/sources")["sources"] if one["name"] == "tradingview"]
    assert line["failed"] == {"NO_SCORE_OF_SIDE": 1}
