"""Unmodified ccxt of npm trades on the local venue over its WebSocket classes; the quick suite names what it needs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.clients.environment import InstallationError, node_packages
from tests.clients.serving import SCRIPTS, WALLET, minutes, run_script, serve

from quantum_trader.venues.local.clock import MarketClock

PACKAGE = Path(__file__).resolve().parent / "npm_ccxt" / "package.json"
SCRIPT = "ccxt_pro.cjs"
STOPS = [1.0] * 400 + [0.97, 0.95]
NEEDS_NODE = "Node.js (node and npm) is not installed: npm's ccxt is not tried on the local venue"


def node() -> str:
    """Node.js, where it and npm are on this machine; the test is skipped elsewhere."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip(NEEDS_NODE)
    return found


def packages() -> Path:
    """The npm packages; the test is skipped where npm cannot install them."""
    try:
        return node_packages(PACKAGE)
    except InstallationError as error:
        pytest.skip(f"npm cannot install ccxt, which is not tried on the local venue: {error}")


def addresses_in(listed: Any) -> list[tuple[str, ...]]:
    """Every address of ccxt's ``urls.api`` by the names that lead to it."""
    if not isinstance(listed, dict):
        return [()]
    return [(name, *rest) for name, below in listed.items() for rest in addresses_in(below)]


def test_the_script_for_npms_ccxt_is_javascript() -> None:
    """Node.js reads it; where there is none, this line names what `make test-node` will not try."""
    subprocess.run([node(), "--check", str(SCRIPTS / SCRIPT)], check=True, timeout=60)


@pytest.mark.long
def test_npms_ccxt_streams_and_trades() -> None:
    """A ticker, orders over the socket, own orders, a long that is stopped out; all on the venue's addresses."""
    runs, modules = node(), packages()
    with serve(minutes(STOPS), clock=MarketClock(60.0)) as served:
        told = run_script(
            SCRIPT, served, python=runs, more={"NODE_PATH": str(modules)}, timeout_s=120.0,
            react={"protected": lambda: served.play_to(len(STOPS) - 1)},
        )
        trades = served.ask(lambda exchange: [(str(trade.order_id), trade.price) for trade in exchange.trades])
        algos = served.ask(lambda exchange: [(str(algo.algo_id), algo.status) for algo in exchange.algos.values()])
        wallet = served.ask(lambda exchange: exchange.account.wallet)
        address = served.venue.ws_url

    assert told["markets"]["symbols"] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert told["ticker"]["last"] == pytest.approx(30_000.0, rel=0.01)
    assert told["ticker"]["quote"] == pytest.approx(told["ticker"]["volume"] * 30_000.0, rel=0.01)
    entry, stopped = told["entry"], told["stopped"]
    assert trades[0] == (entry["id"], entry["average"])
    assert (entry["filled"], told["limit"]["status"]) == (0.02, "canceled")
    assert trades[1][1] == stopped["average"]
    assert algos == [(told["protected"]["id"], "FINISHED")]
    assert (stopped["filled"], stopped["positions"]) == (0.02, 0)
    assert stopped["wallet"] == pytest.approx(wallet, abs=1e-6) != WALLET
    assert stopped["opened"]
    assert [url for url in stopped["opened"] if not url.startswith(address)] == []


@pytest.mark.long
def test_every_address_of_npms_ccxt_is_the_venues() -> None:
    """What ccxt in JavaScript has as urls.api, `venue serve` prints with an address on this machine."""
    runs, modules = node(), packages()
    code = 'console.log(JSON.stringify(new (require("ccxt").pro.binanceusdm)().urls.api))'
    listed = subprocess.run(
        [runs, "-e", code], env={"NODE_PATH": str(modules)}, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    with serve(minutes([1.0])) as served:
        ours = addresses_in(served.venue.ccxt_urls())

    assert set(addresses_in(json.loads(listed))) - set(ours) == set()
