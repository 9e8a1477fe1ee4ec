"""The three stream roads: subscriptions, frames, and the order of a user's events."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.venues.local.world import COIN, OTHER, QUIET, START_NS, TIERS, connected, frame, frames, run, served

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.instrument import Instrument
from quantum_trader.venues.local.build import scripted_exchange

ORDER = "/fapi/v1/order"


def test_klines_end_with_the_closed_one() -> None:
    """A running bar while time passes, then x true with the whole bar."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/market/ws/aaausdt@kline_1h")
            await connected(venue, 1)
            venue.bar("AAAUSDT", 100.0, 104.0, 99.0, 103.0)
            return [await frame(ws)]

    (closed,) = run(scenario)

    assert (closed["e"], closed["s"], closed["k"]["x"]) == ("kline", "AAAUSDT", True)
    assert [closed["k"][name] for name in "ohlc"] == ["100.000", "104.000", "99.000", "103.000"]
    assert closed["k"]["t"] == START_NS // 1_000_000


def test_longer_bars_close_at_their_own_time() -> None:
    """Of a 2-hour stream one of two hourly steps is final."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/market/ws/aaausdt@kline_2h")
            await connected(venue, 1)
            for price in (101.0, 102.0, 103.0, 104.0):
                venue.show({"AAAUSDT": price})
            return [row for row in await frames(ws, 2) if row["k"]["x"]]

    assert all(row["k"]["t"] * 1_000_000 % (2 * NS_PER_HOUR) == 0 for row in run(scenario))


def test_subscribe_list_and_unsubscribe() -> None:
    """Requests are answered with their id; combined frames name their stream."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/public/stream")
            await ws.send_json({"method": "SUBSCRIBE", "params": ["aaausdt@bookTicker"], "id": 1})
            await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
            answers = await frames(ws, 2)
            venue.show({"AAAUSDT": 100.0})
            ticker = await frame(ws)
            await ws.send_json({"method": "UNSUBSCRIBE", "params": ["aaausdt@bookTicker"], "id": 3})
            await ws.send_json({"method": "NONSENSE", "id": 4})
            await ws.send_str("{")
            return [*answers, ticker, *await frames(ws, 3)]

    first, listed, ticker, ended, unknown, broken = run(scenario)

    assert (first, ended) == ({"result": None, "id": 1}, {"result": None, "id": 3})
    assert listed == {"result": ["aaausdt@bookTicker"], "id": 2}
    assert ticker["stream"] == "aaausdt@bookTicker"
    assert (ticker["data"]["b"], ticker["data"]["a"]) == ("99.990", "100.010")
    assert (unknown["error"]["code"], broken["error"]["code"]) == (2, 3)


def test_a_stream_on_the_wrong_road_is_silent() -> None:
    """bookTicker belongs to /public and kline to /market; asked elsewhere they are accepted and send nothing."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/market/ws")
            wanted = ["aaausdt@bookTicker", "aaausdt@aggTrade", "nosuch@kline_1h"]
            await ws.send_json({"method": "SUBSCRIBE", "params": wanted, "id": 1})
            accepted = await frame(ws)
            venue.show({"AAAUSDT": 101.0})
            venue.show({"AAAUSDT": 102.0})
            return [accepted, *await frames(ws, 2)]

    accepted, *sent = run(scenario)

    assert accepted == {"result": None, "id": 1}
    assert [row["e"] for row in sent] == ["aggTrade", "aggTrade"]


def test_one_root_serves_the_streams_of_all_roads() -> None:
    """For clients with one address: /ws and /stream carry quotes, bars and the account, asked for in any way."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            headers = {"X-MBX-APIKEY": client.key.key}
            key = (await client.ask("POST", "/fapi/v1/listenKey", headers=headers))[1]["listenKey"]
            ws = await client.http.ws_connect(f"{venue.ws_url}/stream?streams=aaausdt@bookTicker")
            await ws.send_json({"method": "SUBSCRIBE", "params": ["aaausdt@kline_1h", key], "id": 1})
            answer = await frame(ws)
            plain = await client.http.ws_connect(f"{venue.ws_url}/ws/aaausdt@aggTrade")
            alone = await client.http.ws_connect(f"{venue.ws_url}/ws?listenKey={key}")
            await connected(venue, 3)
            await client.ok("POST", "/fapi/v1/leverage", symbol="AAAUSDT", leverage=7)
            account = await frames(ws, 1)
            venue.show({"AAAUSDT": 101.0})
            sent = sorted(row["data"]["e"] for row in await frames(ws, 2))
            found = answer, account[0]["data"]["e"], sent, (await frame(plain))["e"], (await frame(alone))["e"]
            return *found, venue.hub.drop("private")

    answer, account, sent, plain, alone, dropped = run(scenario)

    assert answer == {"result": None, "id": 1}
    assert (account, alone) == ("ACCOUNT_CONFIG_UPDATE", "ACCOUNT_CONFIG_UPDATE")
    assert (sent, plain) == (["bookTicker", "kline"], "aggTrade")
    assert dropped == 3, "each of them may carry the account"


def test_a_socket_that_is_not_there_says_where_the_others_are() -> None:
    """Refused in the handshake; the body names the paths there are."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.http.ws_connect(f"{venue.ws_url}/ws-dapi/v1")
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
            return refused.value.status, await client.ask("GET", "/spot/ws", headers=upgrade)

    status, (code, body, _) = run(scenario)

    assert (status, code, body["code"]) == (404, 404, -1020)
    assert "The local venue has no socket at /spot/ws: use /public, /market, /private, /ws" in body["msg"]


def test_a_symbol_without_a_price_is_silent() -> None:
    """Its streams are accepted and send nothing until it trades."""

    async def scenario() -> list[Any]:
        market = scripted_exchange(
            [COIN, OTHER], {"BBBUSDT": 50.0}, interval_ns=NS_PER_HOUR, settings=QUIET, start_ns=START_NS, history=3
        )
        async with served(market) as (venue, client):
            names = "aaausdt@bookTicker/aaausdt@depth5/bbbusdt@bookTicker"
            ws = await client.http.ws_connect(f"{venue.ws_url}/public/stream?streams={names}")
            await connected(venue, 1)
            venue.show({"BBBUSDT": 51.0})
            first = await frame(ws)
            venue.show({"AAAUSDT": 100.0})
            return [first["stream"], *(row["stream"] for row in await frames(ws, 3))]

    first, *later = run(scenario)

    assert first == "bbbusdt@bookTicker"
    assert sorted(later) == ["aaausdt@bookTicker", "aaausdt@depth5", "bbbusdt@bookTicker"]


def test_every_kind_of_market_stream_speaks() -> None:
    """One frame each, with the event type the clients look for."""
    market = {
        "aaausdt@aggTrade": "aggTrade", "aaausdt@markPrice": "markPriceUpdate",
        "aaausdt@markPrice@1s": "markPriceUpdate",
        "aaausdt@ticker": "24hrTicker", "aaausdt@miniTicker": "24hrMiniTicker",
        "aaausdt_perpetual@continuousKline_1h": "continuous_kline", "!ticker@arr": "24hrTicker",
        "!miniTicker@arr": "24hrMiniTicker", "!markPrice@arr@1s": "markPriceUpdate",
    }
    public = {
        "aaausdt@bookTicker": "bookTicker", "!bookTicker": "bookTicker", "aaausdt@depth5@100ms": "depthUpdate",
        "aaausdt@depth@100ms": "depthUpdate", "aaausdt@trade": "trade",
    }

    async def sent(road: str, wanted: dict[str, str]) -> dict[str, str]:
        async with served() as (venue, client):
            address = f"{venue.ws_url}/{road}/stream?streams={'/'.join(wanted)}"
            async with client.http.ws_connect(address) as ws:
                await connected(venue, 1)
                venue.show({"AAAUSDT": 100.0})
                found = {}
                while len(found) < len(wanted):
                    row = await frame(ws)
                    data = row["data"][0] if isinstance(row["data"], list) else row["data"]
                    found[row["stream"]] = data["e"]
                return found

    assert run(lambda: sent("market", market)) == market
    assert run(lambda: sent("public", public)) == public


def test_depth_updates_chain() -> None:
    """Each one's pu is the u before it; a snapshot taken before the first received one lies within that one."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            venue.show({"AAAUSDT": 101.0})
            ws = await client.http.ws_connect(f"{venue.ws_url}/public/ws/aaausdt@depth")
            await connected(venue, 1)
            snapshot = (await client.ask("GET", "/fapi/v1/depth", symbol="AAAUSDT", limit=1000))[1]
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            venue.show({"AAAUSDT": 99.0})
            venue.show({"AAAUSDT": 102.0})
            fresh = (await client.ask("GET", "/fapi/v1/depth", symbol="AAAUSDT", limit=1000))[1]
            return snapshot, await frames(ws, 2), fresh

    snapshot, (first, second), fresh = run(scenario)

    assert first["U"] <= snapshot["lastUpdateId"] <= first["u"] == second["pu"]
    for side in ("bids", "asks"):
        book = dict(snapshot[side])
        for update in (first, second):
            book |= dict(update[side[0]])
        assert {price: qty for price, qty in book.items() if float(qty)} == dict(fresh[side])


async def _user(venue: Any, client: Any, road: str, query: str) -> tuple[str, Any]:
    key = (await client.ask("POST", "/fapi/v1/listenKey", headers={"X-MBX-APIKEY": client.key.key}))[1]["listenKey"]
    ws = await client.http.ws_connect(f"{venue.ws_url}/{road}{query.format(key=key)}")
    await connected(venue, 1)
    return key, ws


def test_the_events_of_a_fill_come_in_order() -> None:
    """Accepted, the account, TRADE_LITE, the trade: with fee, profit and ids."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            _, ws = await _user(venue, client, "private", "/ws?listenKey={key}")
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1",
                            newClientOrderId="mine")
            return await frames(ws, 4)

    new, account, lite, trade = run(scenario)

    assert [row["e"] for row in (new, account, lite, trade)] == [
        "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE",
    ]
    assert (new["o"]["x"], new["o"]["X"], new["o"]["c"], "n" in new["o"]) == ("NEW", "NEW", "mine", False)
    assert (trade["o"]["x"], trade["o"]["X"], trade["o"]["L"], trade["o"]["n"]) == (
        "TRADE", "FILLED", "100.010", "0.05000500",
    )
    assert (account["a"]["m"], account["a"]["P"][0]["pa"]) == ("ORDER", "1.000")
    assert account["a"]["B"][0]["wb"] == "9999.94999500"


def test_a_triggered_stop_is_reported_by_both_services() -> None:
    """The regular order carries the conditional one's client id; the service names the order it became."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            events = "ALGO_UPDATE/ORDER_TRADE_UPDATE"
            _, ws = await _user(venue, client, "private", "/stream?listenKey={key}&events=" + events)
            await client.ok("POST", "/fapi/v1/algoOrder", algoType="CONDITIONAL", symbol="AAAUSDT", side="SELL",
                            type="STOP_MARKET", quantity="1", triggerPrice="97", reduceOnly="true",
                            clientAlgoId="guard")
            venue.bar("AAAUSDT", 100.0, 100.0, 96.0, 96.5)
            return [row["data"] for row in await frames(ws, 6)]

    placed, triggering, new, trade, triggered, finished = run(scenario)

    assert [row["o"]["X"] for row in (placed, triggering, triggered, finished)] == [
        "NEW", "TRIGGERING", "TRIGGERED", "FINISHED",
    ]
    assert new["o"]["c"] == trade["o"]["c"] == placed["o"]["caid"] == "guard"
    assert triggered["o"]["ai"] == str(trade["o"]["i"])
    assert (trade["o"]["ot"], trade["o"]["o"], trade["o"]["R"]) == ("STOP_MARKET", "MARKET", True)


@pytest.mark.parametrize("query", ["/ws/{key}", "/ws?listenKey={key}", "/stream?listenKey={key}"])
def test_every_form_of_address_reaches_the_user_stream(query: str) -> None:
    """As a path, as a parameter, combined."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            _, ws = await _user(venue, client, "private", query)
            await client.ok("POST", "/fapi/v1/leverage", symbol="AAAUSDT", leverage=7)
            return await frame(ws)

    sent = run(scenario)

    assert sent.get("data", sent)["e"] == "ACCOUNT_CONFIG_UPDATE"
    assert sent.get("data", sent)["ac"] == {"s": "AAAUSDT", "l": 7}


def test_an_unknown_listen_key_receives_nothing_and_the_end_of_a_key_is_an_event() -> None:
    """The handshake succeeds for any key; only a live one receives events; its end is one of them."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            key, ws = await _user(venue, client, "private", "/ws?listenKey={key}")
            stranger = await client.http.ws_connect(f"{venue.ws_url}/private/ws?listenKey={'0' * 64}")
            await connected(venue, 2)
            await client.ask("DELETE", "/fapi/v1/listenKey", headers={"X-MBX-APIKEY": client.key.key})
            ended = await frame(ws)
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            await stranger.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 9})
            return ended["e"], ended["listenKey"] == key, (await frame(stranger))["id"]

    assert run(scenario) == ("listenKeyExpired", True, 9)


def test_user_events_do_not_leak_onto_market_roads() -> None:
    """A listen key subscribed on /market receives nothing of the account."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            key, _ = await _user(venue, client, "private", "/ws?listenKey={key}")
            market = await client.http.ws_connect(f"{venue.ws_url}/market/ws/{key}")
            await connected(venue, 2)
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            await market.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 9})
            return [await frame(market)]

    assert run(scenario)[0]["id"] == 9


def test_many_symbols_are_sent_at_once() -> None:
    """222 closed bars in one go reach one client in the order of its symbols."""
    coins = [
        Instrument(
            symbol=f"C{n:03d}USDT", tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=TIERS
        )
        for n in range(222)
    ]

    async def scenario() -> list[str]:
        market = scripted_exchange(
            coins, {coin.symbol: 100.0 for coin in coins}, interval_ns=NS_PER_HOUR, start_ns=START_NS
        )
        names = "/".join(f"{coin.symbol.lower()}@kline_1h" for coin in coins)
        async with served(market) as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/market/stream?streams={names}")
            await connected(venue, 1)
            venue.show({})
            return [row["data"]["s"] for row in await frames(ws, 222)]

    assert run(scenario) == [coin.symbol for coin in coins]


def test_a_closing_venue_sends_a_close_frame() -> None:
    """Code 1001, so that clients reconnect elsewhere or later."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/market/ws")
            await connected(venue, 1)
            stopping = asyncio.create_task(venue.stop())
            message = await ws.receive()
            await ws.close()
            await stopping
            return message.type, message.data

    assert run(scenario) == (aiohttp.WSMsgType.CLOSE, 1001)


def test_frames_are_whole_json() -> None:
    """Hand-made frames are what an encoder would have made."""

    async def scenario() -> Any:
        async with served() as (venue, client), client.http.ws_connect(
            f"{venue.ws_url}/market/stream?streams=aaausdt@kline_1h"
        ) as ws:
            await connected(venue, 1)
            venue.show({"AAAUSDT": 100.0})
            message = await ws.receive()
            return message.data

    text = run(scenario)

    assert msgspec.json.encode(msgspec.json.decode(text)).decode() == text


def test_a_reader_that_reads_nothing_is_disconnected_and_delays_nobody() -> None:
    """Its sender waits for the socket for ever: the connection is broken when it is too far behind, by both roads."""

    async def scenario() -> tuple[int, list[Any], int]:
        async with served() as (venue, client):
            slow = await client.http.ws_connect(f"{venue.ws_url}/public/stream?streams=aaausdt@bookTicker")
            chatty = await client.http.ws_connect(f"{venue.ws_url}/public/stream")
            quick = await client.http.ws_connect(f"{venue.ws_url}/public/ws/aaausdt@bookTicker")
            await connected(venue, 3)
            told: list[Any] = []
            (one,) = [found for found in venue.hub.connections if found.names and found.combined]
            (other,) = [found for found in venue.hub.connections if not found.names]
            filler = b'"' + b"x" * 2_000 + b'"'
            for number in range(25_000):
                one.send("aaausdt@bookTicker", filler)
                other.answer({"result": "x" * 2_000, "id": number})
                if number % 1_000 == 0:
                    await asyncio.sleep(0)
            for _ in range(200):
                if len(venue.hub.connections) == 1:
                    break
                await asyncio.sleep(0.01)
            venue.show({"AAAUSDT": 101.0})
            told += await frames(quick, 1)
            left = len(venue.hub.connections)
            await slow.close()
            await chatty.close()
            return left, told, len(one._waiting) + len(other._waiting)

    left, told, waiting = run(scenario)
    assert left == 1
    assert told[0]["s"] == "AAAUSDT"
    assert waiting == 0, "nothing is kept for a connection that is gone"


def test_a_connection_takes_no_more_streams_than_the_venue() -> None:
    """1,024, whatever they are called; more are refused, and the refusal is short."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/public/stream")
            await ws.send_json({"method": "SUBSCRIBE", "params": [f"x{one}@y" for one in range(1024)], "id": 1})
            await ws.send_json({"method": "SUBSCRIBE", "params": ["x0@y"], "id": 2})
            await ws.send_json({"method": "SUBSCRIBE", "params": ["one@more"], "id": 3})
            await ws.send_json({"method": "M" * 100_000, "id": 4})
            return await frames(ws, 4)

    first, again, more, odd = run(scenario)
    assert (first["result"], again["result"]) == (None, None)
    assert "1025 streams; one connection takes 1024" in more["error"]["msg"]
    assert len(odd["error"]["msg"]) < 200
