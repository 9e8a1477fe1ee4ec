"""Faults on demand: what a client sees, and what really happened."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from tests.venues.local.test_streams import _user
from tests.venues.local.world import (
    PATIENCE_S,
    Client,
    connected,
    exchange,
    frame,
    frames,
    run,
    served,
    ticket,
)

from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.local.faults import FaultRates, Faults, InjectedFault
from quantum_trader.venues.local.misbehaviour import LASTS, Misbehaviour

ORDER = "/fapi/v1/order"
BUY = {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}


async def outcome(client: Client, fault: InjectedFault) -> tuple[Any, int]:
    """Send one order into *fault*: (what the client saw, how many trades there are)."""
    client.venue.faults.add(fault)
    try:
        status, body = await client.signed("POST", ORDER, **BUY)
        seen: Any = (status, body.get("code", body.get("status")))
    except aiohttp.ClientError as error:
        seen = type(error).__name__
    return seen, len(client.venue.exchange.trades)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (InjectedFault(kind="rate_limit"), ((429, -1003), 0)),
        (InjectedFault(kind="ban"), ((418, -1003), 0)),
        (InjectedFault(kind="clock"), ((400, -1021), 0)),
        (InjectedFault(kind="overloaded"), ((503, -1008), 0)),
        (InjectedFault(kind="unknown", alive=True), ((408, -1007), 1)),
        (InjectedFault(kind="unknown", alive=False), ((408, -1007), 0)),
        (InjectedFault(kind="unknown", status=503, alive=True), ((503, -1000), 1)),
        (InjectedFault(kind="internal", alive=True), ((500, -1000), 1)),
        (InjectedFault(kind="drop", alive=True), ("ServerDisconnectedError", 1)),
        (InjectedFault(kind="drop", alive=False), ("ServerDisconnectedError", 0)),
        (InjectedFault(kind="latency", seconds=0.01), ((200, "NEW"), 1)),
    ],
)
def test_a_fault_decides_the_answer_and_whether_the_order_is_executed(fault: InjectedFault, expected: Any) -> None:
    """For each fault: what the client sees, and how many trades there are."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            return await outcome(client, fault)

    assert run(scenario) == expected


def test_a_late_request_misses_its_window() -> None:
    """A request that arrives after its receive window has no effect: -1021."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            venue.faults.add(InjectedFault(kind="latency", alive=False, seconds=0.05))
            return (await client.signed("POST", ORDER, **BUY, recvWindow=10))[1]["code"], len(venue.exchange.trades)

    assert run(scenario) == (-1021, 0)


def test_an_order_may_arrive_after_its_timeout() -> None:
    """Asked for right after the timeout it does not exist; a moment later it does. Past its window it never will."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            named = {"symbol": "AAAUSDT", "origClientOrderId": "late"}
            venue.faults.add(InjectedFault(kind="late", seconds=0.05))
            seen = (await client.signed("POST", ORDER, **BUY, newClientOrderId="late"))[1]["code"]
            first = (await client.signed("GET", ORDER, **named))[1]["code"]
            async with asyncio.timeout(PATIENCE_S):
                while not venue.exchange.trades:
                    await asyncio.sleep(0.005)
            second = (await client.signed("GET", ORDER, **named))[1]["status"]
            venue.faults.add(InjectedFault(kind="late", seconds=0.05))
            await client.signed("POST", ORDER, **BUY, recvWindow=10)
            while venue._late:
                await asyncio.sleep(0.005)
            return seen, first, second, len(venue.exchange.trades)

    assert run(scenario) == (-1007, -2013, "FILLED", 1)


def test_a_fault_waits_for_its_match_and_is_spent() -> None:
    """After one skipped it hits twice, orders only; then all is well."""

    async def scenario() -> list[int]:
        async with served() as (venue, client):
            venue.faults.add(InjectedFault(kind="overloaded", match="POST /fapi/v1/order", count=2, skip=1))
            found = [(await client.signed("GET", "/fapi/v2/balance"))[0]]
            return found + [(await client.signed("POST", ORDER, **BUY))[0] for _ in range(4)]

    assert run(scenario) == [200, 200, 503, 503, 200]


def test_user_frames_are_lost_doubled_and_reordered() -> None:
    """A duplicate fill comes twice with one id; a delayed frame comes after the next one."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            _, ws = await _user(venue, client, "private", "/ws?listenKey={key}")
            venue.faults.add(InjectedFault(kind="lose", match="TRADE_LITE"))
            venue.faults.add(InjectedFault(kind="duplicate", match="ORDER_TRADE_UPDATE", skip=1))
            venue.faults.add(InjectedFault(kind="delay", match="ACCOUNT_UPDATE"))
            await client.ok("POST", ORDER, **BUY)
            return await frames(ws, 4)

    sent = run(scenario)

    assert [row["e"] for row in sent] == [
        "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE",
    ]
    assert sent[1] == sent[2]


def test_a_silence_keeps_the_socket_open_and_sends_nothing() -> None:
    """Nothing comes while it lasts; requests are still answered; afterwards frames come again."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/market/ws/aaausdt@aggTrade")
            await connected(venue, 1)
            venue.faults.add(InjectedFault(kind="silence", road="market"))
            venue.show({"AAAUSDT": 101.0})
            await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            first = await frame(ws)
            venue.faults.clear()
            venue.show({"AAAUSDT": 102.0})
            return [first["id"], (await frame(ws))["p"]]

    assert run(scenario) == [1, "102.000"]


def test_dropped_sockets_end_without_a_close_frame() -> None:
    """Only connections of the named road are broken."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            market = await client.http.ws_connect(f"{venue.ws_url}/market/ws")
            public = await client.http.ws_connect(f"{venue.ws_url}/public/ws")
            await connected(venue, 2)
            dropped = venue.hub.drop("market")
            message = await market.receive()
            await public.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            return dropped, message.type, (await frame(public))["id"]

    dropped, kind, answered = run(scenario)

    assert (dropped, answered) == (1, 1)
    assert kind in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


def test_seeded_faults_repeat() -> None:
    """The same seed and the same requests get the same faults; another seed others."""

    def drawn(seed: int) -> list[str]:
        faults = Faults(seed, FaultRates(unknown=0.2, drop=0.1))
        for _ in range(50):
            faults.for_request("POST", ORDER)
        return faults.done

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(drawn(1)) > 5


def test_an_unknown_fault_is_refused() -> None:
    """The error lists what there is."""
    with pytest.raises(ConfigError, match="rate_limit"):
        Faults().add(InjectedFault(kind="earthquake"))


def test_a_seed_also_draws_what_markets_do() -> None:
    """Halts end again, positions are closed under the venue's client ids, and the same seed does the same."""

    def lived(seed: int) -> tuple[list[str], list[str]]:
        market = exchange()
        rates = FaultRates(halt=0.02, adl=0.02, liquidate=0.02, parts=0.02, silence=0.02, delist=0.0)
        faults = Faults(seed, rates)
        misbehaviour = Misbehaviour(market, faults)
        for _ in range(300):
            misbehaviour.step()
            if market.market.trading[0] and not market.account.holding(0).qty:
                market.place(ticket("BUY", "MARKET"))
            market.advance(market.now_ns + 1_000_000_000)
        for _ in range(LASTS):
            misbehaviour.step()
        return faults.done, [trade.client_id.split("-")[0] for trade in market.trades]

    done, closed = lived(3)

    assert {line.split()[0] for line in done} >= {"halt", "adl", "liquidate", "parts", "silence"}
    assert {"autoclose", "adl_autoclose"} <= set(closed)
    assert lived(3) == (done, closed)
