"""The unmodified freqtrade-client controls a live process at a local venue: entries, exits, halts, locks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.app.api.freqtrade.world import FreqtradeClient, connected
from tests.app.api.live_world import LiveWorld, until
from websockets.asyncio.client import connect

from quantum_trader.app.api.tokens import Role, TokenStore

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    """A live process with its API, shared by the tests of this file, which come one after the other."""
    with LiveWorld(tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture(scope="module")
def client(world: LiveWorld) -> Iterator[FreqtradeClient]:
    """freqtrade-client with a trader's token."""
    with connected(f"http://127.0.0.1:{world.port}", "drill", world.token) as made:
        yield made


def enter(client: FreqtradeClient, pair: str, stake: float) -> dict[str, Any]:
    """Open a position of *stake* with leverage 2, and return its trade."""
    trade = client.forceenter(pair, "long", stake_amount=stake, leverage=2.0, enter_tag="by_hand")
    if "trade_id" not in trade:
        assert "handed over" in trade.get("status", ""), trade
        (trade,) = until("the trade", lambda: [one for one in client.status() if one["pair"] == pair])
    return trade


def test_a_live_run_is_running_with_candles(client: FreqtradeClient) -> None:
    """State, mode and journalled bars of the process that trades."""
    config = client.show_config()
    assert (config["state"], config["runmode"], config["dry_run"]) == ("running", "live", False)
    assert client.ping() == {"status": "pong"}
    candles = client.pair_candles(BTC, "1m", 20)
    assert candles["length"] >= 1, candles
    assert candles["data"][-1][candles["columns"].index("close")] > 0.0


def test_entry_and_exit_by_hand(world: LiveWorld, client: FreqtradeClient) -> None:
    """forceenter opens at the venue with the stake asked for, forceexit closes it, and the number stays the trade's."""
    trade = enter(client, BTC, 500.0)
    qty = world.held()["BTCUSDT"]
    assert (trade["pair"], trade["leverage"], trade["enter_tag"]) == (BTC, 2.0, "by_hand")
    assert trade["amount"] == pytest.approx(qty)
    assert trade["stake_amount"] == pytest.approx(500.0, rel=0.02)
    assert trade["stop_loss_abs"] is None or trade["stop_loss_abs"] < trade["open_rate"]
    number = until("its record", lambda: [
        one["trade_id"] for one in client.status() if one["pair"] == BTC and one["trade_id"] < 10**9
    ])[0]
    assert client.count()["current"] == 1
    assert "trade" in client.forceexit(number)["result"]
    ended = until("the end", lambda: [one for one in client.trades()["trades"] if one["trade_id"] == number])
    assert world.held().get("BTCUSDT", 0.0) == 0.0
    assert client.trade(number)["close_profit_abs"] == pytest.approx(ended[0]["close_profit_abs"])
    assert client.forceexit(number)["error"]["code"] == "not_found"


def test_an_entry_without_a_quantity_is_refused(client: FreqtradeClient) -> None:
    """A price of next to nothing makes a quantity without end, which no request could carry."""
    refused = client.forceenter(ETH, "long", price=1e-300, stake_amount=1e300)
    assert "gives no quantity" in refused["error"]["message"]


def test_a_halt_refuses_entries_until_start(client: FreqtradeClient) -> None:
    """stopbuy and stop pause the bot; forceenter says why it is refused; start ends that."""
    assert "no more entries" in client.stopbuy()["status"]
    until("paused", lambda: client.show_config()["state"] == "paused")
    assert "was not entered" in client.forceenter(ETH, "long", stake_amount=200.0)["error"]["message"]
    assert client.reload_config()["status"]
    assert client.show_config()["state"] == "paused"
    assert client.start()["status"] == "entries resume"
    until("running", lambda: client.show_config()["state"] == "running")


def test_a_lock_keeps_entries_out_of_one_pair(client: FreqtradeClient) -> None:
    """The locked pair is refused and the other opens; the lock is listed with its end, and ends on request."""
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    added = client.lock_add(BTC, ends.strftime("%Y-%m-%d %H:%M:%SZ"), reason="listing rumour")
    (lock,) = added["locks"]
    assert (lock["pair"], lock["active"], lock["side"]) == (BTC, True, "*")
    assert lock["lock_end_timestamp"] == int(ends.timestamp()) * 1000
    assert "listing rumour" in lock["reason"]
    assert client.locks() == added
    assert "SYMBOL_HALTED" in client.forceenter(BTC, "long", stake_amount=200.0)["error"]["message"]
    assert client.show_config()["state"] == "running"
    number = enter(client, ETH, 300.0)["trade_id"]
    assert "for trade" in client.forceexit(number)["result"] or client.forceexit("all")
    assert client.delete_lock(lock["id"]) == {"lock_count": 0, "locks": []}
    until("no position", lambda: not client.status())
    enter(client, BTC, 300.0)
    client.forceexit("all")
    until("no position", lambda: not client.status())


def test_a_lock_that_cannot_be_made_is_refused(client: FreqtradeClient) -> None:
    """One side alone, a time that is over, a pair that is not traded, a reason that would write over a terminal."""
    later = "2099-01-01 00:00:00Z"
    assert "printable" in client.lock_add(BTC, later, reason="\x1b[2J no halt is in force")["error"]["message"]
    assert "both sides" in client.lock_add(BTC, later, "long")["error"]["message"]
    assert "is over" in client.lock_add(BTC, "2020-01-01 00:00:00Z")["error"]["message"]
    assert "does not trade" in client.lock_add("DOGE/USDT", later)["error"]["message"]
    assert client.delete_lock(1)["error"]["code"] == "not_found"
    assert client.locks()["lock_count"] == 0
    assert "lock a pair" in client.blacklist(BTC)["error"]["message"]


def test_the_socket_tells_entries_and_exits(world: LiveWorld, client: FreqtradeClient) -> None:
    """A subscriber is told the pairs, the entry and the exit of one trade; a fill's fields stand beside its type."""
    reader = TokenStore(world.state).new("socket", Role.VIEWER, time.time_ns())[1]

    async def heard() -> dict[str, Any]:
        found: dict[str, Any] = {}
        address = f"ws://127.0.0.1:{world.port}/freqtrade/api/v1/message/ws?token={reader}"
        async with connect(address, proxy=None) as socket:
            await socket.send(json.dumps({"type": "subscribe", "data": ["entry_fill", "exit_fill", "new_candle"]}))
            await socket.send('{"type":"subscribe","data":' + "[" * 20_000)  # no message, and no end of the socket
            await socket.send(json.dumps({"type": "whitelist", "data": None}))
            await asyncio.sleep(3.0)
            trade = await asyncio.to_thread(enter, client, ETH, 300.0)
            while "entry_fill" not in found:
                message = json.loads(await asyncio.wait_for(socket.recv(), 60.0))
                found[message["type"]] = message
            assert found["entry_fill"]["pair"] == trade["pair"]
            await asyncio.to_thread(client.forceexit, "all")
            while "exit_fill" not in found:
                message = json.loads(await asyncio.wait_for(socket.recv(), 60.0))
                found[message["type"]] = message
        return found

    found = asyncio.run(heard())
    assert found["whitelist"]["data"] == [BTC, ETH]
    assert found["exit_fill"]["pair"] == found["entry_fill"]["pair"] == ETH
    assert found["exit_fill"]["open_date"] == found["entry_fill"]["open_date"]


def test_what_was_changed_is_on_record(world: LiveWorld) -> None:
    """Each change stands there with the token's name and what came of it."""
    changes = world.get("changes")["changes"]
    asked = {(one["name"], one["action"], one["outcome"] == "done") for one in changes}
    assert ("drill", "POST /freqtrade/api/v1/stopbuy", True) in asked
    assert ("drill", "POST /freqtrade/api/v1/forceenter", False) in asked
    assert any(action.startswith("DELETE /freqtrade/api/v1/locks/") for _, action, _ in asked)
