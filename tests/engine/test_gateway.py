"""One gateway, one order per intent, new stop before the old one goes."""

from __future__ import annotations

import pytest

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType, Side
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import CancelRequest, Fill, Intent, OrderRequest, OrderUpdate
from quantum_trader.engine.books import Books, Plan, Position
from quantum_trader.engine.gateway import Gateway, Purpose
from quantum_trader.engine.ids import client_order_id
from quantum_trader.engine.instruments import Instruments
from quantum_trader.market.instruments import instrument_for
from quantum_trader.risk.guard import AccountView, Approved, RiskLimits, can_execute

INSTRUMENTS = Instruments([instrument_for("BTCUSDT", 10_000.0)[0]])


def approved(number: int = 1) -> Approved:
    """An intent the guard let through."""
    intent = Intent(
        intent_id=f"i{number}", trace_id="tr1", symbol="BTCUSDT", side=Side.LONG, qty=0.01, reduce_only=False,
        reference_price=10_000.0, stop_price=9_850.0, leverage=5.0, created_ns=10, expires_ns=10**12, source="TEST",
    )
    view = AccountView(
        now_ns=10, equity=10_000.0, used_margin=0.0, open_positions=0, position_qty=0.0, data_ns=10, cost_in_r=0.05
    )
    verdict = can_execute(intent, view, instrument_for("BTCUSDT", 10_000.0)[0], RiskLimits())
    assert isinstance(verdict, Approved), verdict
    return verdict


def position() -> Position:
    """A long position of 0.01 with a stop."""
    plan = Plan(
        intent_id="i1", trace_id="tr1", sign=1, leverage=5.0, atr=100.0, stop_atr=1.5, target_atr=3.0, breakeven_r=0.5,
        trail_atr=2.0, max_hours=36.0, exit_mode=0, confidence=0.5, policy_hash="", model="m", regime="",
    )
    fill = Fill(
        fill_id="f", client_order_id="c", symbol="BTCUSDT", side=OrderSide.BUY, qty=0.01, price=10_000.0, fee=0.0,
        liquidity="taker", ts_ns=20,
    )
    opened = Books(1_000.0, 2).open_position("BTCUSDT", 0, plan, fill)
    opened.stop = opened.first_stop = 9_850.0
    return opened


def acknowledge(gateway: Gateway, order: OrderRequest) -> list[object]:
    """Tell the gateway the venue has it."""
    update = OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id="1", symbol=order.symbol, status=OrderStatus.NEW, ts_ns=30
    )
    return list(gateway.on_update(update)[1])


def test_the_same_intent_twice_is_one_order() -> None:
    """The second call sends nothing, and neither does one after a restart."""
    gateway = Gateway(INSTRUMENTS)
    verdict = approved()
    assert len(gateway.open(verdict)) == 1
    assert gateway.open(verdict) == []
    restarted = Gateway(INSTRUMENTS)
    restarted.load_state(gateway.state())
    assert restarted.open(verdict) == []


def test_client_ids_derive_from_the_intent() -> None:
    """The same intent and purpose give the same id in any process; others differ; venues accept its length."""
    first = client_order_id("i1", Purpose.OPEN.value, 0)
    assert first == client_order_id("i1", Purpose.OPEN.value, 0)
    assert len({first, client_order_id("i1", Purpose.STOP, 0), client_order_id("i1", Purpose.STOP, 1)}) == 3
    assert len(first) <= 36


def test_only_an_approved_intent_opens() -> None:
    """A bare intent is refused by the gateway itself."""
    with pytest.raises(StateError, match="Approved"):
        Gateway(INSTRUMENTS).open(approved().intent)  # type: ignore[arg-type]


def test_a_stop_moves_by_placing_the_new_one_first() -> None:
    """The old stop is cancelled when the new one is acknowledged, not before."""
    gateway, held = Gateway(INSTRUMENTS), position()
    first = gateway.protect(held, 20)[0]
    assert isinstance(first, OrderRequest)
    assert (first.type, first.reduce_only, first.stop_price) == (OrderType.STOP_MARKET, True, 9_850.0)
    assert not gateway.is_protected(held)
    acknowledge(gateway, first)
    assert gateway.is_protected(held)
    held.stop = 9_900.0
    moved = gateway.move_stop(held, 40)
    assert [type(command) for command in moved] == [OrderRequest]
    cancels = acknowledge(gateway, moved[0])  # type: ignore[arg-type]
    assert [c.client_order_id for c in cancels if isinstance(c, CancelRequest)] == [first.client_order_id]


def test_a_close_is_sent_once_and_reduces_only() -> None:
    """While one close is on its way no second is sent."""
    gateway, held = Gateway(INSTRUMENTS), position()
    (order,) = gateway.close(held, 50)
    assert isinstance(order, OrderRequest)
    assert (order.side, order.reduce_only, order.qty) == (OrderSide.SELL, True, 0.01)
    assert gateway.close(held, 60) == []


def test_an_order_first_heard_of_as_partly_filled_is_there() -> None:
    """After a restart the venue is asked and says so: nothing is in doubt any more."""
    gateway = Gateway(INSTRUMENTS)
    order = gateway.open(approved())[0]
    assert isinstance(order, OrderRequest)
    assert gateway.in_flight(order.symbol, Purpose.OPEN)
    gateway.on_update(OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id="1", symbol=order.symbol, ts_ns=30, filled_qty=0.001,
        status=OrderStatus.PARTIALLY_FILLED,
    ))
    assert not gateway.in_flight(order.symbol, Purpose.OPEN)
