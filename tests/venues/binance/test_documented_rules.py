"""Rules of Binance's documentation beyond payloads, as the local venue applies them to the adapter.

Sources: the change log (https://developers.binance.com/docs/derivatives/change-log), the pages New-Algo-Order,
Modify-Isolated-Position-Margin and error-code, and Important-WebSocket-Change-Notice.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.venues.local.world import exchange, served, ticket

from quantum_trader.venues.binance import endpoints
from quantum_trader.venues.binance.orders import OrderService
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.exchange import ExchangeSettings
from quantum_trader.venues.local.market_frames import stream_of
from quantum_trader.venues.local.orders import OrderTicket


def stop(symbol: str, price: float, **changes: Any) -> OrderTicket:
    """A stop that opens a short below the market."""
    return ticket("SELL", "STOP_MARKET", symbol=symbol, trigger_price=price, **changes)


def test_conditional_orders_are_counted_over_all_symbols() -> None:
    """Change log, 2025-12-29: 200 across all symbols, and exchangeInfo has no filter for it."""
    market = exchange(ExchangeSettings(assumed_funding_rate=0.0, max_algo_orders=2))
    market.place_algo(stop("AAAUSDT", 90.0))
    market.place_algo(stop("BBBUSDT", 40.0))

    for symbol, price in (("AAAUSDT", 91.0), ("BBBUSDT", 41.0)):
        with pytest.raises(VenueApiError) as caught:
            market.place_algo(stop(symbol, price))
        assert caught.value.code == -4045
    assert ExchangeSettings().max_algo_orders == 200


@pytest.mark.parametrize(("rate", "taken"), [(0.1, True), (20.0, True), (20.1, False), (0.0, False)])
def test_a_trailing_stop_may_follow_at_up_to_a_fifth(rate: float, taken: bool) -> None:
    """Change log, 2026-10-23: callbackRate from 0.1 to 20."""
    trailing = ticket("SELL", "TRAILING_STOP_MARKET", callback_rate=rate)

    if taken:
        assert exchange().place_algo(trailing).status == "NEW"
    else:
        with pytest.raises(VenueApiError, match="callbackRate"):
            exchange().place_algo(trailing)


def ask(*calls: tuple[str, str, dict[str, object]]) -> list[tuple[int, dict[str, object]]]:
    """Signed calls, one after another, on one venue."""

    async def story() -> list[tuple[int, dict[str, object]]]:
        async with served() as (_, client):
            return [await client.signed(method, path, **params) for method, path, params in calls]

    return asyncio.run(story())


def test_margin_is_moved_on_an_isolated_position_alone() -> None:
    """Error-code: -4049 on cross margin, -4054 on isolated margin without a position."""
    more = {"symbol": "AAAUSDT", "amount": 1, "type": 1}

    answers = ask(
        ("POST", "/fapi/v1/marginType", {"symbol": "AAAUSDT", "marginType": "CROSSED"}),
        ("POST", "/fapi/v1/positionMargin", more),
        ("POST", "/fapi/v1/marginType", {"symbol": "AAAUSDT", "marginType": "ISOLATED"}),
        ("POST", "/fapi/v1/positionMargin", more),
    )

    assert [body["code"] for _, body in answers if body["code"] not in (200, -4046)] == [-4049, -4054]


def test_a_client_id_is_36_characters_long_at_most() -> None:
    """Error-code: -4015 for a longer one, also of a conditional order; 36 are taken."""
    regular = {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": 1}
    stops = {"symbol": "AAAUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL",
             "triggerPrice": 90, "quantity": 1}

    answers = ask(
        ("POST", "/fapi/v1/order", regular | {"newClientOrderId": "x" * 36}),
        ("POST", "/fapi/v1/order", regular | {"newClientOrderId": "x" * 37}),
        ("POST", "/fapi/v1/algoOrder", stops | {"clientAlgoId": "y" * 36}),
        ("POST", "/fapi/v1/algoOrder", stops | {"clientAlgoId": "y" * 37}),
        ("POST", "/fapi/v1/order", regular | {"newClientOrderId": "a b"}),
    )

    assert [(status, body.get("code")) for status, body in answers] == [
        (200, None), (400, -4015), (200, None), (400, -4015), (400, -1100)
    ]


@pytest.mark.parametrize("kind", ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"])
def test_conditional_orders_are_refused_by_the_regular_service(kind: str) -> None:
    """Error-code, -4120 STOP_ORDER_SWITCH_ALGO; New-Algo-Order lists the same five types."""
    fields = {"symbol": "AAAUSDT", "side": "SELL", "quantity": 1, "type": kind}

    ((status, body),) = ask(("POST", f"/fapi/v1/{OrderService.REGULAR.value}", fields | {"stopPrice": 90}))

    assert (status, body["code"]) == (400, -4120)


def test_a_second_closing_stop_is_refused_and_a_target_is_not() -> None:
    """-4130, seen on the testnet in 2026: one stop and one target with closePosition for a direction."""
    market = exchange()
    market.place_algo(stop("AAAUSDT", 90.0, qty=0.0, close_position=True))
    market.place_algo(
        ticket("SELL", "TAKE_PROFIT_MARKET", qty=0.0, trigger_price=110.0, close_position=True)
    )

    with pytest.raises(VenueApiError) as caught:
        market.place_algo(stop("AAAUSDT", 91.0, qty=0.0, close_position=True))

    assert caught.value.code == -4130
    assert market.place_algo(stop("AAAUSDT", 91.0)).status == "NEW"  # with a quantity, as the adapter sends it


@pytest.mark.parametrize(
    ("name", "road"),
    [
        ("aaausdt@bookTicker", endpoints.PUBLIC_PATH), ("!bookTicker", endpoints.PUBLIC_PATH),
        ("aaausdt@depth20@100ms", endpoints.PUBLIC_PATH), ("aaausdt@depth@500ms", endpoints.PUBLIC_PATH),
        ("aaausdt@aggTrade", endpoints.MARKET_PATH), ("aaausdt@markPrice@1s", endpoints.MARKET_PATH),
        ("!markPrice@arr@1s", endpoints.MARKET_PATH), ("aaausdt@kline_1h", endpoints.MARKET_PATH),
        ("aaausdt_perpetual@continuousKline_1h", endpoints.MARKET_PATH),
        ("aaausdt@miniTicker", endpoints.MARKET_PATH), ("!ticker@arr", endpoints.MARKET_PATH),
    ],
)
def test_each_stream_is_sent_on_its_path_only(name: str, road: str) -> None:
    """Important-WebSocket-Change-Notice: the mapping of streams to /public and /market, in force since 2026-04-23."""
    stream = stream_of(exchange(), name)

    assert stream is not None
    assert f"/{stream.road}" == road
