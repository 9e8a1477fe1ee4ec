"""Binance's own SDK, unmodified, trades on the local venue; every answer and event passes through its strict models."""

from __future__ import annotations

import pytest
from tests.clients.serving import WALLET, minutes, run_script, serve

from quantum_trader.venues.local.clock import MarketClock

STOPS = [1.0] * 40 + [0.97, 0.95]


def test_the_official_sdk_trades() -> None:
    """REST, socket API, three stream roads: one long stopped out and one short, in the SDK's own models."""
    with serve(minutes(STOPS), clock=MarketClock(60.0)) as served:
        told = run_script("binance_sdk.py", served, react={"protected": lambda: served.play_to(len(STOPS) - 1)})
        algos = served.ask(lambda exchange: {algo.algo_id: algo.status for algo in exchange.algos.values()})
        trades = served.ask(lambda exchange: [(trade.qty, trade.price) for trade in exchange.trades])
        held = served.ask(lambda exchange: exchange.account.holding(exchange.index["BTCUSDT"]).qty)

    assert told["markets"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert len(told["bars"]["minutes"]) == 50
    assert told["leverage"] == {"leverage": 6, "hedge": False, "brackets": 12}
    assert told["streamed"]["bars"][0] < told["streamed"]["bars"][1]
    assert float(told["streamed"]["bid"]) < float(told["streamed"]["ask"])
    entry, protected, stopped = told["entry"], told["protected"], told["stopped"]
    assert (protected["status"], protected["amount"]) == ("NEW", ["0.020"])
    assert protected["waiting"] == sorted(algos)
    assert algos == {protected["stop"]: "FINISHED", protected["target"]: "CANCELED"}
    assert (stopped["state"], stopped["actual"]) == ("FINISHED", str(stopped["order"]))
    assert stopped["kinds"] == ["AccountUpdate", "AlgoUpdate", "OrderTradeUpdate", "TradeLite"]
    loss = 0.02 * (entry["price"] - float(stopped["price"]))
    assert float(stopped["profit"]) == pytest.approx(-loss)
    fees = sum(float(fee) for *_, fee in stopped["trades"])
    assert float(stopped["wallet"]) == pytest.approx(WALLET - loss - fees)
    assert trades[:2] == [(0.02, entry["price"]), (0.02, float(stopped["price"]))]
    assert told["reversed"]["limit"] in told["reversed"]["resting"]
    assert [told["reversed"][name] for name in ("cancelled", "opened", "closed")] == ["CANCELED", "FILLED", "FILLED"]
    assert "-2022" in told["reversed"]["again"]
    assert held == 0.0
