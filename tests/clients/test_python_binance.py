"""Unmodified python-binance trades on the local venue; only its class attributes point there."""

from __future__ import annotations

import pytest
from tests.clients.serving import WALLET, minutes, run_script, serve

from quantum_trader.venues.local.clock import MarketClock

STOPS = [1.0] * 40 + [0.97, 0.95]


def test_python_binance_trades() -> None:
    """Synchronous and asynchronous client, socket orders and streams: a long stopped out, a short there and back."""
    with serve(minutes(STOPS), clock=MarketClock(60.0)) as served:
        told = run_script("python_binance.py", served, react={"protected": lambda: served.play_to(len(STOPS) - 1)})
        orders = served.ask(lambda exchange: [
            (order.ticket.side, order.ticket.type, order.status) for order in exchange.orders.values()
        ])
        algos = served.ask(lambda exchange: {algo.algo_id: algo.status for algo in exchange.algos.values()})
        trades = served.ask(lambda exchange: [(trade.qty, trade.price) for trade in exchange.trades])
        held = served.ask(lambda exchange: exchange.account.holding(exchange.index["BTCUSDT"]).qty)

    assert told["markets"] == {"symbols": ["BTCUSDT", "ETHUSDT"], "tick": "0.1"}
    assert len(told["bars"]["minutes"]) == 50
    assert float(told["prices"]["bid"]) < float(told["prices"]["ask"])
    assert told["leverage"] == {"leverage": 7, "brackets": 12, "again": -4046}
    assert told["streamed"]["kind"] == "continuous_kline"
    assert [closed for *_, closed in told["streamed"]["bars"]].count(True) == 1
    entry, protected, stopped = told["entry"], told["protected"], told["stopped"]
    assert entry["events"].index("ACCOUNT_UPDATE") < len(entry["events"]) - 1, "the fill is told after the account"
    assert protected["waiting"] == sorted(algos)
    assert (protected["amount"], float(protected["entry"])) == ("0.010", entry["price"])
    assert algos == {protected["stop"]: "FINISHED", protected["target"]: "CANCELED"}
    assert stopped["client_id"] == stopped["stop_client_id"]
    assert trades[:2] == [(0.01, entry["price"]), (0.01, float(stopped["price"]))]
    loss = 0.01 * (entry["price"] - float(stopped["price"])) + sum(float(fee) for *_, fee in stopped["trades"])
    assert float(stopped["wallet"]) == float(stopped["total"]) == pytest.approx(WALLET - loss)
    assert stopped["positions"] == []
    assert orders[2:] == [("SELL", "LIMIT", "CANCELED"), ("SELL", "MARKET", "FILLED"), ("BUY", "MARKET", "FILLED")]
    assert (told["reversed"]["opened"], told["reversed"]["closed"], told["reversed"]["again"]) == (
        "FILLED", "FILLED", -2022)
    assert held == 0.0
