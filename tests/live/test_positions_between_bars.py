"""What happens to positions and openings between bars, by timer or at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.live.live_world import MINUTE, OTHER, SYMBOL, World, cancels, orders, twice

from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType
from quantum_trader.domain.trading import Fill, OrderUpdate
from quantum_trader.engine.ports import VenuePosition
from quantum_trader.live.inputs import TimerFired


def test_a_timer_protects_a_position_without_a_stop(world: World) -> None:
    """A position whose stop is gone is noticed between bars: another stop goes out, unless something is on its way."""
    _, stop = world.opened()
    world.update(stop, OrderStatus.CANCELED)
    assert not world.engine.attention(world.now_ns, {SYMBOL})
    assert world.engine.attention(world.now_ns)
    (again,) = orders(world.tell(TimerFired(ts_ns=world.now_ns)))
    assert (again.type, again.qty) == (OrderType.STOP_MARKET, 0.01)


def test_a_timer_cancels_an_opening_that_expired(world: World) -> None:
    """Acknowledged and not filled before it expires."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    assert cancels(world.tell(TimerFired(ts_ns=world.now_ns + MINUTE))) == [order.client_order_id]


def test_a_bar_does_not_close_a_position_whose_stop_is_on_its_way(world):
    """A fill just before a bar closes: its stop is sent and not answered yet when the bar is decided."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    world.fill(order, 0.01)
    sent = orders(world.bar(1500, 10_000.0, 1_000.0))
    assert not [o for o in sent if o.type is OrderType.MARKET], (
        "closed as UNPROTECTED while the stop request is under way"
    )


def test_an_error_on_one_position_does_not_keep_the_others_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have been held for too long; something breaks on the first: the second closes, and openings halt."""
    world = World().begin()
    positions = [
        VenuePosition(
            symbol=symbol, qty=0.01, entry_price=price, leverage=5.0, margin=0.0, liquidation_price=0.0,
            mark_price=price, unrealised_pnl=0.0,
        )
        for symbol, price in ((SYMBOL, 10_000.0), (OTHER, 1_000.0))
    ]
    for stop in orders(twice(world, *positions)):
        world.say(OrderUpdate(
            client_order_id=stop.client_order_id, venue_order_id="1", symbol=stop.symbol, status=OrderStatus.NEW,
            ts_ns=world.now_ns,
        ))
    assert set(world.engine.account.books.positions) == {SYMBOL, OTHER}
    for position in world.engine.account.books.positions.values():
        position.plan.max_hours = 0.0
    leave = world.engine.protection.close

    def breaks(position: Any, reason: ExitReason, now_ns: int) -> Any:
        if position.symbol == SYMBOL:
            raise ZeroDivisionError("an unforeseen error")
        return leave(position, reason, now_ns)

    monkeypatch.setattr(world.engine.protection, "close", breaks)
    closes = [order for order in orders(world.bar(1500, 10_000.0, 1_000.0)) if order.type is OrderType.MARKET]
    assert [order.symbol for order in closes] == [OTHER]
    assert world.engine.halts.operator_halt
    assert SYMBOL in world.engine.records.tally.halts[-1].reason


def test_the_rest_of_a_liquidation_or_deleveraging_is_closed_at_once() -> None:
    """The venue closed a part of the position: the rest does not wait for the next comparison."""
    world = World().begin()
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    commands = world.say(Fill(
        fill_id="adl-1", client_order_id="adl_autoclose", symbol=SYMBOL, side=OrderSide.SELL, qty=position.qty / 2.0,
        price=position.entry_price, fee=0.1, liquidity="taker", ts_ns=world.now_ns, liquidation=True,
    ))
    (close,) = [order for order in orders(commands) if order.type is OrderType.MARKET]
    assert (close.reduce_only, close.qty) == (True, pytest.approx(position.qty))
    assert position.exit_reason is ExitReason.LIQUIDATION
