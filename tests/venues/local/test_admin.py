"""The admin endpoints: for this machine with the token; they show the real state."""

from __future__ import annotations

from typing import Any

import pytest
from tests.venues.local.world import exchange, run, served

from quantum_trader.market.recording import open_recording
from quantum_trader.venues.local import admin
from quantum_trader.venues.local.build import recorded_exchange
from quantum_trader.venues.local.server import LocalVenue

ORDER = "/fapi/v1/order"


def test_without_the_token_nothing_is_done() -> None:
    """No token, a wrong one: 403. From another machine: never."""

    async def scenario() -> list[int]:
        async with served() as (venue, client):
            found = []
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                async with client.http.post(f"{venue.url}/admin/price", headers=headers) as answer:
                    found.append(answer.status)
            return found

    venue = LocalVenue(exchange())
    assert run(scenario) == [403, 403]
    bearer = {"Authorization": f"Bearer {venue.admin_token}"}
    assert admin.admin_refusal(venue, "192.0.2.1", bearer)
    assert not admin.admin_refusal(venue, "127.0.0.1", bearer)


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Origin", "http://evil.example", 403), ("Origin", "null", 403), ("Origin", "http://127.0.0.1:1", 403),
        ("Origin", "http://127.0.0.1.evil.example:{port}", 403), ("Origin", "http://[::1", 403),
        ("Origin", "http://127.0.0.1:{port}", 200), ("Origin", "http://localhost:{port}", 200),
        ("Host", "evil.example", 403), ("Host", "evil.example:{port}", 403), ("Host", "x" * 5000, 403),
        ("Host", "localhost", 200), ("Host", "127.0.0.1:{port}", 200), ("Host", "[::1]:{port}", 200),
    ],
)
def test_a_page_of_another_site_administers_nothing_even_with_the_token(name: str, value: str, status: int) -> None:
    """A foreign Origin or Host (a rebound name): 403 with the header's name, not the whole of a long value."""

    async def scenario() -> tuple[int, bytes]:
        async with served() as (venue, client):
            headers = {"Authorization": f"Bearer {venue.admin_token}", name: value.format(port=venue.port)}
            async with client.http.get(f"{venue.url}/admin/state", headers=headers) as answer:
                return answer.status, await answer.read()

    found, body = run(scenario)
    assert found == status
    if status == 403:
        assert f"{name} = ".encode() in body
        assert len(body) < 400


def test_time_and_prices_are_moved_by_hand() -> None:
    """A bar, a jump, and a step of a recording."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            await client.admin("price", symbol="AAAUSDT", price=101.5)
            jumped = (await client.ask("GET", "/fapi/v1/ticker/price", symbol="AAAUSDT"))[1]["price"]
            await client.admin("bar", symbol="AAAUSDT", open=101, high=104, low=100, close=103)
            rows = (await client.ask("GET", "/fapi/v1/klines", symbol="AAAUSDT", interval="1h", limit=1))[1]
            return jumped, rows[0][1:5]

    async def recorded() -> int:
        market = recorded_exchange(open_recording(symbols=["BTCUSDT"]))
        async with served(market) as (venue, client):
            before = market.now_ns
            await client.admin("step", bars=2)
            return (market.now_ns - before) // market.tape.interval_ns

    assert run(scenario) == ("101.500", ["101.000", "104.000", "100.000", "103.000"])
    assert run(recorded) == 2


def test_the_admin_state_shows_what_really_is_there() -> None:
    """Positions, orders and trades at the venue, independent of the answers to clients; also of other senders."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            await client.admin("fault", kind="unknown", match="POST /fapi/v1/order")
            await client.signed("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            await client.admin("order", symbol="AAAUSDT", side="BUY", type="MARKET", quantity="2")
            return (await client.admin("state"))[1]

    state = run(scenario)

    assert state["positions"][0]["positionAmt"] == "3.000"
    assert (len(state["orders"]), len(state["trades"]), state["faults"]) == (2, 2, [])
    assert state["faults_done"] == ["unknown POST /fapi/v1/order"]


def test_what_cannot_be_done_is_said() -> None:
    """Unknown actions, missing fields, unknown symbols, refused orders."""

    async def scenario() -> list[int]:
        async with served() as (venue, client):
            asked = [
                await client.admin("nonsense"), await client.admin("price"),
                await client.admin("price", symbol="NOUSDT", price=1), await client.admin("fault", kind="earthquake"),
                await client.admin("speed", speed=2), await client.admin("symbol", symbol="AAAUSDT", event="fly"),
                await client.admin("symbol", symbol="AAAUSDT", event="liquidate"),
            ]
            return [status for status, _ in asked]

    assert run(scenario) == [404, 400, 400, 400, 400, 400, 400]


def test_an_exchange_can_be_made_to_misbehave() -> None:
    """Halt and resume, parts of a fill, deleveraging, ended listen keys."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            await client.admin("volume", symbol="AAAUSDT", qty=0.5)
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            await client.admin("volume", symbol="AAAUSDT")
            await client.admin("symbol", symbol="AAAUSDT", event="adl")
            await client.admin("symbol", symbol="AAAUSDT", event="halt")
            halted = await client.refused("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            await client.admin("symbol", symbol="AAAUSDT", event="resume")
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            venue.api.start_listen_key()
            await client.admin("expire")
            return halted, [(row.client_id[:4], row.qty) for row in venue.exchange.trades[1:3]], venue.api.listen_keys

    halted, trades, keys = run(scenario)

    assert (halted, keys) == (-1122, {})
    assert trades == [("venu", 0.5), ("adl_", 1.0)]


@pytest.mark.parametrize(
    ("action", "given", "name"),
    [
        ("step", {"bars": 1e9}, "bars"), ("step", {"bars": -1}, "bars"), ("step", {"ms": -5}, "ms"),
        ("price", {"symbol": "AAAUSDT", "price": -1}, "price"), ("price", {"symbol": "AAAUSDT"}, "price"),
        ("bar", {"symbol": "AAAUSDT"}, "open"), ("volume", {"symbol": "AAAUSDT", "qty": -1}, "qty"),
        ("fault", {"kind": "latency", "seconds": 1e9}, "seconds"), ("fault", {"kind": "drop", "count": -5}, "count"),
        ("money", {"amount": "much"}, "amount"),
    ],
)
def test_a_number_out_of_its_domain_is_refused_by_name(action: str, given: dict[str, Any], name: str) -> None:
    """Nothing is done: a request for a billion bars is refused."""

    async def scenario() -> tuple[int, Any]:
        async with served() as (venue, client):
            before = venue.exchange.now_ns
            status, answer = await client.admin(action, **given)
            assert venue.exchange.now_ns == before
            return status, answer

    status, answer = run(scenario)
    assert status == 400
    assert name in answer["error"]


def test_a_token_beyond_ascii_is_no_token() -> None:
    """It is refused like any other wrong one."""
    venue = LocalVenue(exchange())
    assert admin.admin_refusal(venue, "127.0.0.1", {"Authorization": "Bearer \u00e9"})
