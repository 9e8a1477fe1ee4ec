"""NautilusTrader's own adapter, unmodified, reconciles and trades on the local venue, with one address for sockets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.clients.environment import environment, newest_python
from tests.clients.serving import START_NS, WALLET, minutes, run_script, serve

from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.exchange import Exchange
from quantum_trader.venues.local.orders import OrderTicket

REQUIREMENTS = Path(__file__).resolve().parent / "nautilus" / "requirements.txt"
STOPS = [1.0] * 600 + [0.97, 0.95]


def prepare(exchange: Exchange) -> None:
    """A position with its stop, a trailing stop that was cancelled and a resting order: from before the client."""
    exchange.place(OrderTicket(symbol="BTCUSDT", side="BUY", type="MARKET", qty=0.01, client_id="before-1"))
    exchange.place_algo(OrderTicket(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", qty=0.01, trigger_price=20_000.0, reduce_only=True,
        client_id="before-2",
    ))
    exchange.cancel_algo(exchange.place_algo(OrderTicket(
        symbol="BTCUSDT", side="SELL", type="TRAILING_STOP_MARKET", qty=0.01, callback_rate=1.5, reduce_only=True,
        client_id="before-3",
    )))
    exchange.place(OrderTicket(
        symbol="BTCUSDT", side="BUY", type="LIMIT", qty=0.01, price=28_000.0, client_id="before-4",
    ))


@pytest.mark.long
def test_nautilus_reconciles_and_trades(tmp_path: Path) -> None:
    """It takes over position, stop and order from before, buys, protects, and is stopped out at the venue's price."""
    python = newest_python("3.14", "3.13", "3.12")
    if python is None:
        pytest.skip("Python 3.12 or newer is not installed: NautilusTrader is not tried on the local venue")
    runs = environment(REQUIREMENTS, python=python)
    with serve(minutes(STOPS), clock=MarketClock(1.0), start_ns=START_NS, now_ns=time.time_ns()) as served:
        served.ask(prepare)
        told = run_script(
            "nautilus_node.py", served, python=runs, more={"NODE_LOGS": str(tmp_path)}, timeout_s=150.0,
            react={"protected": lambda: served.ask(lambda exchange: exchange.show({"ETHUSDT": 1_800.0}))},
        )
        trades = served.ask(lambda exchange: [(trade.symbol, trade.qty, trade.price) for trade in exchange.trades])
        algos = served.ask(lambda exchange: [algo.status for algo in exchange.algos.values()])
        paths = served.venue.unknown_paths

    log = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert told["reconciled"] == {
        "orders": [["LIMIT", "0.010"], ["STOP_MARKET", "0.010"]], "positions": [["LONG", "0.010"]],
        "wallet": pytest.approx(WALLET, rel=1e-3),
    }, log[-6_000:]
    entry, stopped = told["entry"], told["stopped"]
    assert trades[1:] == [("ETHUSDT", 0.5, entry["price"]), ("ETHUSDT", 0.5, stopped["price"])]
    assert stopped["mine"]
    assert algos == ["NEW", "CANCELED", "FINISHED"]
    assert told["flat"]["profit"] < 0.0
    assert paths == []
    assert "[ERROR]" not in log, [line for line in log.splitlines() if "[ERROR]" in line]
