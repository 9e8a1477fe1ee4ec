"""The WebSocket API: signed requests, a session that logged on, refusals with their ids."""

from __future__ import annotations

import time
from typing import Any

from tests.venues.local.world import Client, frame, run, served, signature

from quantum_trader.venues.local.faults import InjectedFault

ORDER = {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}


def signed(client: Client, **params: Any) -> dict[str, Any]:
    """Parameters with key, time and signature over the sorted rest."""
    params |= {"apiKey": client.key.key, "timestamp": time.time_ns() // 1_000_000}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return params | {"signature": signature(client.key.secret, payload)}


async def asked(ws: Any, method: str, params: Any = None, number: Any = 7) -> Any:
    """One request and its answer."""
    await ws.send_json({"id": number, "method": method, "params": params or {}})
    return await frame(ws)


def test_an_order_lives_on_the_socket() -> None:
    """Placed, asked for, cancelled; answers carry id, status and the used limits."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client), client.http.ws_connect(f"{venue.ws_url}/ws-fapi/v1") as ws:
            limit = ORDER | {"type": "LIMIT", "price": "90", "timeInForce": "GTC", "newClientOrderId": "mine"}
            named = {"symbol": "AAAUSDT", "origClientOrderId": "mine"}
            return [
                await asked(ws, "order.place", signed(client, **limit)),
                await asked(ws, "order.status", signed(client, **named)),
                await asked(ws, "order.cancel", signed(client, **named)),
                await asked(ws, "order.cancel", signed(client, **named)),
                await asked(ws, "v2/account.balance", signed(client)),
                await asked(ws, "ticker.price", {"symbol": "AAAUSDT"}),
            ]

    placed, status, cancelled, again, balance, price = run(scenario)

    assert (placed["id"], placed["status"], placed["result"]["status"]) == (7, 200, "NEW")
    assert status["result"]["clientOrderId"] == "mine"
    assert cancelled["result"]["status"] == "CANCELED"
    assert (again["status"], again["error"]["code"]) == (400, -2011)
    assert balance["result"][0]["balance"] == "10000.00000000"
    assert price["result"]["price"] == "100.000"
    assert placed["rateLimits"][0]["count"] >= 1


def test_conditional_orders_have_methods_of_their_own() -> None:
    """algoOrder.place and algoOrder.cancel; the regular endpoint refuses with -4120."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client), client.http.ws_connect(f"{venue.ws_url}/ws-fapi/v1") as ws:
            stop = {"symbol": "AAAUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "1"}
            algo = stop | {"algoType": "CONDITIONAL", "triggerPrice": "95", "clientAlgoId": "guard"}
            return [
                (await asked(ws, "order.place", signed(client, **stop, stopPrice="95")))["error"]["code"],
                (await asked(ws, "algoOrder.place", signed(client, **algo)))["result"]["algoStatus"],
                (await asked(ws, "algoOrder.cancel", signed(client, clientAlgoId="guard")))["result"]["code"],
            ]

    assert run(scenario) == [-4120, "NEW", "200"]


def test_requests_are_checked_like_those_of_rest() -> None:
    """Unsigned, wrongly signed, unknown method, no JSON."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client), client.http.ws_connect(f"{venue.ws_url}/ws-fapi/v1") as ws:
            answers = [
                await asked(ws, "order.place", ORDER),
                await asked(ws, "order.place", ORDER | {"apiKey": client.key.key}),
                await asked(ws, "order.place", signed(client, **ORDER) | {"quantity": "2"}),
                await asked(ws, "order.nonsense"),
            ]
            await ws.send_str("{")
            answers.append(await frame(ws))
            return [(answer["status"], answer["error"]["code"]) for answer in answers]

    assert run(scenario) == [(401, -2014), (400, -1102), (400, -1022), (404, -1020), (400, -1100)]


def test_a_session_that_logged_on_needs_no_more_signatures() -> None:
    """Until it logs out."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client), client.http.ws_connect(f"{venue.ws_url}/ws-fapi/v1") as ws:
            await asked(ws, "session.logon", signed(client))
            inside = await asked(ws, "order.place", ORDER | {"timestamp": time.time_ns() // 1_000_000})
            await asked(ws, "session.logout")
            outside = await asked(ws, "order.place", ORDER)
            return [inside["status"], outside["error"]["code"]]

    assert run(scenario) == [200, -2014]


def test_faults_apply_to_websocket_requests_too() -> None:
    """An unknown outcome with the order alive."""

    async def scenario() -> Any:
        async with served() as (venue, client), client.http.ws_connect(f"{venue.ws_url}/ws-fapi/v1") as ws:
            venue.faults.add(InjectedFault(kind="unknown", match="WS order.place"))
            answer = await asked(ws, "order.place", signed(client, **ORDER))
            return answer["id"], answer["error"]["code"], len(venue.exchange.trades)

    assert run(scenario) == (7, -1007, 1)
