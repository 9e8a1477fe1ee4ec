"""An unmodified ccxt (REST and WebSocket) trades on the venue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import pytest
from tests.venues.local.world import PATIENCE_S, exchange, run

from quantum_trader.venues.local.faults import InjectedFault
from quantum_trader.venues.local.server import LocalVenue

SYMBOL = "AAA/USDT:USDT"


@asynccontextmanager
async def trader() -> AsyncIterator[tuple[LocalVenue, Any]]:
    """A venue and ccxt pointed at it by its constructor alone."""
    async with LocalVenue(exchange()) as venue:
        client = ccxt.pro.binanceusdm({
            "apiKey": venue.keys[0].key, "secret": venue.keys[0].secret, "urls": {"api": venue.ccxt_urls()},
        })
        try:
            await client.load_markets()
            yield venue, client
        finally:
            await client.close()


async def received(venue: LocalVenue, watching: Any, price: float) -> Any:
    """What a watch method returns while the market keeps trading."""
    task = asyncio.create_task(watching)
    async with asyncio.timeout(PATIENCE_S):
        while not task.done():
            venue.show({"AAAUSDT": price})
            await asyncio.sleep(0.01)
    return task.result()


def test_it_opens_protects_and_closes_a_position() -> None:
    """Leverage, market order, stop, position, close: as on the real venue."""

    async def scenario() -> Any:
        async with trader() as (venue, client):
            await client.set_margin_mode("isolated", SYMBOL)
            leverage = await client.set_leverage(4, SYMBOL)
            order = await client.create_order(SYMBOL, "market", "buy", 1.0)
            stop = await client.create_order(
                SYMBOL, "market", "sell", 1.0, None, {"stopLossPrice": 95.0, "reduceOnly": True}
            )
            (resting,) = await client.fetch_open_orders(SYMBOL, params={"trigger": True})
            (position,) = await client.fetch_positions([SYMBOL])
            set_to = (await client.fetch_leverage(SYMBOL))["longLeverage"]
            await client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
            closed = await client.create_order(SYMBOL, "market", "sell", 1.0, None, {"reduceOnly": True})
            trades = await client.fetch_my_trades(SYMBOL)
            balance = await client.fetch_balance()
            return (leverage, set_to), order, resting, position, closed, trades, balance, venue.exchange.account.wallet

    (leverage, set_to), order, resting, position, closed, trades, balance, wallet = run(scenario)

    assert leverage["leverage"] == set_to == 4
    assert (order["status"], order["average"], order["filled"]) == ("closed", 100.01, 1.0)
    assert (resting["triggerPrice"], resting["reduceOnly"]) == (95.0, True)
    # /fapi/v3/positionRisk names no leverage (Binance, "Position Information V3"), so neither does ccxt.
    assert (position["contracts"], position["side"], position["leverage"]) == (1.0, "long", None)
    assert (position["marginMode"], position["entryPrice"]) == ("isolated", 100.01)
    assert closed["status"] == "closed"
    assert [trade["side"] for trade in trades] == ["buy", "sell"]
    assert balance["USDT"]["total"] == pytest.approx(wallet, abs=1e-8)


def test_it_reads_the_market() -> None:
    """Filters, tiers, bars, book, funding."""

    async def scenario() -> Any:
        async with trader() as (venue, client):
            tiers = await client.fetch_leverage_tiers([SYMBOL])
            bars = await client.fetch_ohlcv(SYMBOL, "1h", limit=2)
            book = await client.fetch_order_book(SYMBOL, 5)
            funding = await client.fetch_funding_rate(SYMBOL)
            return client.market(SYMBOL), tiers[SYMBOL], bars, book, funding

    market, tiers, bars, book, funding = run(scenario)

    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.01, 0.001)
    assert (market["limits"]["cost"]["min"], market["limits"]["amount"]["min"]) == (5.0, 0.001)
    assert [tier["maxLeverage"] for tier in tiers] == [20, 10]
    assert bars[-1][1:5] == [100.0] * 4
    assert (book["bids"][0][0], book["asks"][0][0]) == (99.99, 100.01)
    assert funding["markPrice"] == 100.0


def test_it_streams_bars_and_its_own_orders() -> None:
    """Bars on /market, quotes on /public, orders on /private, an order over the WebSocket API."""

    async def scenario() -> Any:
        async with trader() as (venue, client):
            bars = await received(venue, client.watch_ohlcv(SYMBOL, "1h"), 102.0)
            quotes = await received(venue, client.watch_bids_asks([SYMBOL]), 102.0)
            orders = asyncio.create_task(client.watch_orders(SYMBOL))
            async with asyncio.timeout(PATIENCE_S):
                while not any(connection.events for connection in venue.hub.connections):
                    await asyncio.sleep(0)
            placed = await client.create_order_ws(SYMBOL, "market", "buy", 1.0)
            return bars, quotes, placed, await asyncio.wait_for(orders, PATIENCE_S)

    bars, quotes, placed, orders = run(scenario)

    assert bars[-1][4] == 102.0
    assert quotes[SYMBOL]["bid"] == pytest.approx(101.98)
    assert (placed["status"], orders[0]["id"]) == ("closed", placed["id"])


def test_it_understands_the_refusals() -> None:
    """Codes arrive; ccxt names the futures-only ones at the real venue's host alone: ExchangeError here."""

    async def scenario() -> list[str]:
        async with trader() as (venue, client):
            venue.faults.add(InjectedFault(kind="unknown", match="POST /fapi/v1/order", alive=True))
            found_errors = []
            for kind, price, params in (
                ("market", None, {"newClientOrderId": "first"}), ("market", None, {"reduceOnly": True}),
                ("market", None, {"stopLossPrice": 101.0}),
            ):
                side = "buy" if "newClientOrderId" in params else "sell"
                qty = 1.0 if "newClientOrderId" not in params else 2.0
                if params.get("reduceOnly"):
                    side = "buy"
                try:
                    await client.create_order(SYMBOL, kind, side, qty, price, params)
                except ccxt.BaseError as error:
                    found_errors.append(f"{type(error).__name__} {str(error).split(chr(34))[2].strip(':,')}")
            found = await client.fetch_order(None, SYMBOL, {"origClientOrderId": "first"})
            return [*found_errors, found["status"]]

    assert run(scenario) == [
        "RequestTimeout -1007", "ExchangeError -2022", "ExchangeError -2021", "closed",
    ]


def test_every_address_of_any_ccxt_is_the_venues() -> None:
    """What is left out would be the real exchange's: ccxt in Python says linear, ccxt in JavaScript future."""

    def found(listed: Any) -> dict[tuple[str, ...], str]:
        if isinstance(listed, str):
            return {(): listed}
        return {(name, *rest): url for name, below in listed.items() for rest, url in found(below).items()}

    async def scenario() -> Any:
        async with LocalVenue(exchange()) as venue:
            return found(venue.ccxt_urls()), venue.url, venue.ws_url

    ours, url, ws_url = run(scenario)

    for client in (ccxt.pro.binanceusdm, ccxt.pro.binance, ccxt.pro.binancecoinm):
        assert set(found(client().urls["api"])) - set(ours) == set()
    for kind in ("linear", "future"):
        assert ours["ws", kind] == f"{ws_url}/ws"
        assert ours["ws", "ws-api", kind] == f"{ws_url}/ws-fapi/v1"
    assert all(address.startswith((f"{url}/", f"{ws_url}/")) for address in ours.values())
