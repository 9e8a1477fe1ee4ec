"""The wire fields of orders, and the client ids of executions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.enums import OrderSide, OrderType
from quantum_trader.domain.instrument import Instrument, LeverageTier, floor_to
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.venues.binance.orders import Grid, OrderDirectory, OrderService, decimals, order_fields

TIER = LeverageTier(max_notional=1e6, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0)
COIN = Instrument(symbol="AAAUSDT", tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=(TIER,))


def request(kind: OrderType, **changes: Any) -> OrderRequest:
    """An order of AAAUSDT."""
    values = dict(
        client_order_id="qt-1", intent_id="i", trace_id="t", symbol="AAAUSDT", side=OrderSide.SELL, type=kind, qty=0.3,
        created_ns=0,
    )
    return OrderRequest(**(values | changes))


def test_market_and_limit_orders_use_the_regular_service() -> None:
    """Client id, acknowledgement only, and the digits of tick and step."""
    market = order_fields(request(OrderType.MARKET), Grid(COIN), "CONTRACT_PRICE")
    limit = order_fields(request(OrderType.LIMIT, price=100.1, reduce_only=True), Grid(COIN), "CONTRACT_PRICE")

    assert market == {
        "symbol": "AAAUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.300", "newClientOrderId": "qt-1",
        "newOrderRespType": "ACK",
    }
    assert (limit["price"], limit["timeInForce"], limit["reduceOnly"]) == ("100.10", "GTC", "true")


@pytest.mark.parametrize("kind", [OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET])
def test_stops_and_targets_go_to_the_algo_service(kind: OrderType) -> None:
    """With a quantity, reduce-only, and an explicit trigger price; never with closePosition (-4130)."""
    fields = order_fields(request(kind, stop_price=95.0, reduce_only=True), Grid(COIN), "MARK_PRICE")

    assert fields == {
        "symbol": "AAAUSDT", "side": "SELL", "type": kind.value, "algoType": "CONDITIONAL", "quantity": "0.300",
        "triggerPrice": "95.00", "workingType": "MARK_PRICE", "priceProtect": "false", "clientAlgoId": "qt-1",
        "reduceOnly": "true",
    }


@given(steps=st.integers(1, 10**9), increment=st.sampled_from([1.0, 0.5, 0.1, 0.001, 0.00001, 10.0, 1e-8]))
def test_every_multiple_is_written_exactly(steps: int, increment: float) -> None:
    """The text of every rounded float has the increment's digits and the same value."""
    grid = Grid(
        Instrument(
            symbol="A", tick_size=increment, step_size=increment, min_qty=increment, min_notional=1.0, tiers=(TIER,)
        )
    )
    value = floor_to(steps * increment, increment)

    text = grid.qty(value)

    assert len(text.partition(".")[2]) == decimals(increment)
    assert float(text) == pytest.approx(value, rel=1e-9)
    assert grid.price(value) == text


def test_a_value_off_the_grid_goes_out_as_it_is() -> None:
    """The venue refuses it; rounding it here would send another order than was decided on."""
    assert Grid(COIN).qty(0.0015) == "0.0015"
    assert Grid(COIN).price(100.123) == "100.123"


def test_executions_of_a_triggered_order_are_its_parents() -> None:
    """Also when the venue's own id for it was seen first."""
    directory = OrderDirectory()
    directory.sent("qt-stop", OrderService.ALGO, "AAAUSDT")
    directory.add_order(77, "venue-made")

    directory.add_algo("qt-stop", "AAAUSDT", "77")

    assert directory.client_id_of(77) == directory.parent(77) == "qt-stop"
    assert directory.service("qt-stop") is OrderService.ALGO
    assert directory.waiting("AAAUSDT") == []


def test_an_unknown_order_has_no_order_service() -> None:
    """Both services are then queried."""
    directory = OrderDirectory()

    assert directory.service("qt-x") is None
    assert directory.client_id_of(1) is None
    directory.add_order(1, "qt-x")
    assert directory.service("qt-x") is OrderService.REGULAR
