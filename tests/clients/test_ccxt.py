"""Unmodified ccxt trades on the local venue, over REST and over its WebSocket classes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clients.serving import START_NS, WALLET, minutes, run_script, serve

from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.exchange import Exchange

STOPS = [1.0] * 40 + [0.97, 0.95]  # minutes after the start: calm, then a fall through every stop


@pytest.fixture(scope="module")
def over_rest() -> tuple[dict[str, Any], Exchange]:
    """The output of the REST script, and the exchange after it."""
    with serve(minutes([1.0] * 10)) as served:
        told = run_script("ccxt_rest.py", served)
    return told, served.venue.exchange


def test_ccxt_trades_over_rest(over_rest: tuple[dict[str, Any], Exchange]) -> None:
    """A plain ccxt script gets from markets to a closed position, and the venue's state matches the script's output."""
    told, exchange = over_rest
    orders = [
        (str(order.order_id), order.ticket.side, order.ticket.type, order.status, order.ticket.reduce_only)
        for order in exchange.orders.values()
    ]
    algos = [(str(algo.algo_id), algo.status) for algo in exchange.algos.values()]
    wallet, held = exchange.account.wallet, exchange.account.holding(exchange.index["BTCUSDT"]).qty

    assert told["markets"] == {"symbols": ["BTC/USDT:USDT", "ETH/USDT:USDT"], "tick": 0.1, "lot": 0.001}
    assert told["leverage"] == {"long": 5, "mode": "isolated", "tiers": 12}
    entry, limit = told["entry"]["id"], told["limit"]["id"]
    assert [order[:4] for order in orders] == [
        (entry, "BUY", "MARKET", "FILLED"), (limit, "BUY", "LIMIT", "CANCELED"),
        (orders[-1][0], "SELL", "MARKET", "FILLED"),
    ]
    assert orders[-1][4], "the closing order must have arrived as a reducing one"
    assert algos == [(told["protected"]["stop"], "CANCELED"), (told["protected"]["target"], "CANCELED")]
    assert told["protected"]["waiting"] == sorted(identity for identity, _ in algos)
    assert told["limit"] == {"open": [limit], "id": limit, "status": "canceled"}
    assert (held, told["closed"]["positions"], told["closed"]["left"]) == (0.0, 0, 0)
    # There and back at one price: two half spreads of 1 bp, two fees.
    fees = sum(fee for *_, fee in told["closed"]["trades"])
    (_, amount, bought, _), (_, _, sold, _) = told["closed"]["trades"]
    assert wallet == pytest.approx(WALLET - amount * (bought - sold) - fees)
    assert told["closed"]["wallet"] == pytest.approx(wallet, abs=1e-6)


def test_ccxt_reads_the_recording(over_rest: tuple[dict[str, Any], Exchange]) -> None:
    """Bars, longer bars, quotes, mark and position arrive as the recording and the account say."""
    told, bars = over_rest[0], minutes([1.0] * 10).arrays()
    past = [row for row in told["bars"]["minutes"] if row[0] < START_NS // 1_000_000]
    expected = [
        [int(ts) // 1_000_000, *map(float, bars.ohlcv[row, 0])]
        for row, ts in enumerate(bars.ts_ns) if past[0][0] <= int(ts) // 1_000_000 <= past[-1][0]
    ]
    assert len(past) >= 99
    assert past == expected
    hour = next(row for row in told["bars"]["hours"] if row[0] == past[-60][0])
    assert hour[1:] == [past[-60][1], max(row[2] for row in past[-60:]), min(row[3] for row in past[-60:]),
                        past[-1][4], 60 * 250.0]
    assert told["prices"]["bid"] < told["prices"]["last"] < told["prices"]["ask"]
    assert told["funding"] == {"rate": 0.0001, "mark": told["prices"]["last"]}
    position = told["position"]
    # /fapi/v3/positionRisk names no leverage (Binance, "Position Information V3"), so neither does ccxt.
    assert (position["side"], position["contracts"], position["leverage"]) == ("long", 0.01, None)
    assert position["entry"] == told["entry"]["average"]
    assert 0.79 < position["liquidation"] / position["entry"] < 0.82


def test_ccxt_is_refused_with_the_venues_codes(over_rest: tuple[dict[str, Any], Exchange]) -> None:
    """What Binance refuses is refused, with Binance's code, in the form that ccxt turns into an exception."""
    assert over_rest[0]["refused"] == {
        "too little": -4164, "too much": -2019, "stop at once": -2021, "nothing to reduce": -2022,
        "no such order": -2013, "no such stop": -2011,
    }


def test_ccxt_streams_bars_and_its_own_orders() -> None:
    """Bars, book, orders, trades, positions and balance arrive on ccxt's sockets; a triggered stop is reported."""
    with serve(minutes(STOPS), clock=MarketClock(60.0)) as served:
        told = run_script("ccxt_streams.py", served, react={"protected": lambda: served.play_to(len(STOPS) - 1)})
        trades = served.ask(lambda exchange: [(str(trade.order_id), trade.price) for trade in exchange.trades])
        states = served.ask(lambda exchange: [(str(algo.algo_id), algo.status) for algo in exchange.algos.values()])
        wallet = served.ask(lambda exchange: exchange.account.wallet)

    assert told["bars"]["later"][0] - told["bars"]["first"][0] >= 120_000
    assert told["book"]["bid"] < told["book"]["ask"]
    entry, stopped = told["entry"], told["stopped"]
    assert trades == [(entry["id"], entry["fill"]), (stopped["order"], stopped["price"])]
    assert entry["entry"] == entry["average"] == entry["fill"]
    assert stopped["price"] <= told["protected"]["price"]
    assert states == [(told["protected"]["id"], "FINISHED")]
    assert (stopped["amount"], stopped["left"]) == (0.02, 0.0)
    assert stopped["wallet"] == pytest.approx(wallet, abs=1e-6)
