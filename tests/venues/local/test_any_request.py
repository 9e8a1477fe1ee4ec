"""Any text at the local venue's doors: an answer or a documented error, never a broken connection or a 500."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.local.world import exchange, frame, run, served

from quantum_trader.venues.local.api import Api
from quantum_trader.venues.local.server import LocalVenue
from quantum_trader.venues.local.ws_api import SocketSession

DEEP = "[" * 100_000
BROKEN = (DEEP, '{"a":' * 5_000, '"\ud800"', "{", "[]", "1", "null", '{"method": 1}',
          '{"method":"order.place","params":[]}', '{"method":"order.place","params":3,"id":1}',
          '{"method":"session.logon","params":{"apiKey":{}}}',
          '{"method":"' + "x" * 100_000 + '"}', '{"id":1e999}', "1" * 5_000)
words = st.text(max_size=12)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | words,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(words, one, max_size=3), max_leaves=6,
)
METHODS = ("order.place", "order.cancel", "order.status", "session.logon", "session.status", "ticker.price", "depth",
           "account.status", "algoOrder.place", "")


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_request_on_a_socket_is_answered_and_the_socket_lives(text: str) -> None:
    """On the WebSocket API and on a stream, as text and as bytes that are not UTF-8; the answer is short."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            told = []
            for place in ("ws-fapi/v1", "public/stream"):
                ws = await client.http.ws_connect(f"{venue.ws_url}/{place}", max_msg_size=0)
                if "\ud800" not in text:
                    await ws.send_str(text)
                    told.append(await frame(ws))
                if place == "ws-fapi/v1":
                    await ws.send_bytes(b'"\xff"')
                    told.append(await frame(ws))
            return told

    for answer in run(scenario):
        assert "error" in answer
        assert len(msgspec.json.encode(answer)) < 1_000


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(METHODS) | words, st.dictionaries(st.sampled_from(["symbol", "apiKey", "side", "type"]) | words,
                                                         json_values, max_size=4) | json_values, json_values)
def test_the_websocket_api_answers_any_request(method: str, params: Any, number: Any) -> None:
    """With a status, whatever the parameters are."""
    api: Api = LocalVenue(exchange()).api
    answer = SocketSession(api).answer(msgspec.json.encode({"method": method, "params": params, "id": number}))
    assert isinstance(answer["status"], int)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=5, max_size=5))
def test_any_text_as_a_symbol_is_answered_by_every_market_endpoint(texts: list[str]) -> None:
    """400 or 200, never 500; nothing of it is a path."""
    venue = LocalVenue(exchange())
    for path in ("ticker/price", "klines", "depth", "premiumIndex", "ticker/bookTicker", "trades", "fundingRate"):
        for text in [*texts, "../../evil", "BTC/USDT:USDT", "\x00", "A" * 10_000]:
            symbol = quote(text, safe="", errors="replace")
            status, _, body = venue.answer("GET", f"/fapi/v1/{path}", f"symbol={symbol}&interval=1h", "", "")
            assert status in (200, 400, 404), body
            assert len(msgspec.json.encode(body)) < 100_000


@pytest.mark.parametrize(
    "body", [DEEP, '{"a":' * 5_000, "{", '{"price":1e999}', "[1]", '{"symbol":"' + "x" * 90_000 + '"}']
)
@pytest.mark.parametrize("action", ["price", "bar", "step", "money", "order", "speed", "fault"])
def test_any_body_at_the_admin_door_is_refused_in_short(action: str, body: str) -> None:
    """400 or 404 with a sentence; an action without a symbol leaves one unread."""
    from quantum_trader.venues.local import admin

    status, answer = admin.perform(LocalVenue(exchange()), action, body)
    assert status in (400, 404) or (action == "step" and "symbol" in body)
    assert len(msgspec.json.encode(answer)) < 1_000
