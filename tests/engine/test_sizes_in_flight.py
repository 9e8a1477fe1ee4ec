"""Additions and reductions that are filled in parts, refused or overtaken by a stop; and what they may not change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.engine.test_position_sizes import START, SYMBOL, World, growing, shrinking

from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.gateway import Command, Purpose, Ticket
from quantum_trader.models import forecast as fc


def ticket(world: World, purpose: Purpose) -> Ticket:
    """The newest order of *purpose*."""
    return [one for one in world.engine.gateway.tickets() if one.purpose is purpose][-1]


def filled(world: World, order_id: str, side: OrderSide, qty: float, price: float, number: int) -> list[OrderRequest]:
    """Report a fill; returns the orders that it leads to."""
    return orders(world.engine.on_event(Fill(
        fill_id=f"f{number}", client_order_id=order_id, symbol=SYMBOL, side=side, qty=qty, price=price, fee=0.0,
        liquidity="taker", ts_ns=world.engine.now_ns + number,
    )))


def close_under_an_addition(world: World) -> tuple[Ticket, Ticket]:
    """Flatten while an addition is on its way and report the close; returns the addition and the position's stop."""
    adding, stop, position = ticket(world, Purpose.OPEN), ticket(world, Purpose.STOP), world.position
    closing = orders(world.engine.flatten(world.engine.now_ns))[0]
    filled(world, closing.client_order_id, OrderSide.SELL, closing.qty, position.entry_price, 1)
    assert SYMBOL not in world.engine.account.books.positions
    return adding, stop


def told(
    world: World, order_id: str, status: OrderStatus, reason: str = "", filled_qty: float = 0.0
) -> list[OrderRequest]:
    """Report a status; returns the orders that it leads to."""
    return orders(world.engine.on_event(OrderUpdate(
        client_order_id=order_id, venue_order_id="1", symbol=SYMBOL, status=status, ts_ns=world.engine.now_ns + 50,
        reason=reason, filled_qty=filled_qty,
    )))


def orders(commands: list[Command]) -> list[OrderRequest]:
    """The orders among *commands*."""
    return [one for one in commands if isinstance(one, OrderRequest)]


def test_a_stop_from_before_a_reduction_does_not_stand_for_one_that_an_addition_has_outgrown() -> None:
    """The addition fills in two parts; the first one's stop replaces a larger one, and another follows at once."""
    world = World(growing).until(START + 20)
    adding, position, engine = ticket(world, Purpose.OPEN), world.position, world.engine
    reduction = orders(engine.gateway.reduce(position, position.qty / 2.0, engine.now_ns))[0]
    filled(world, reduction.client_order_id, OrderSide.SELL, reduction.qty, position.entry_price, 1)
    pending = engine.opening.orders.pending[SYMBOL]
    at_its_place = msgspec.structs.replace(pending, added_stop=position.stop)
    engine.opening.orders.pending[SYMBOL] = at_its_place

    first = filled(world, adding.client_order_id, OrderSide.BUY, adding.qty / 4.0, position.entry_price, 2)
    assert filled(world, adding.client_order_id, OrderSide.BUY, adding.qty / 4.0, position.entry_price, 3) == []
    again = told(world, first[0].client_order_id, OrderStatus.NEW)

    assert [(one.type, one.qty) for one in again] == [(OrderType.STOP_MARKET, position.qty)]
    stops = [one for one in engine.gateway.tickets() if one.purpose is Purpose.STOP]
    assert [one.cancelled for one in stops] == [False, False, False]
    told(world, again[0].client_order_id, OrderStatus.NEW)
    assert engine.gateway.cancel_stale(engine.account.books.positions, engine.now_ns) == []  # more may still fill
    told(world, adding.client_order_id, OrderStatus.CANCELED, filled_qty=adding.qty / 2.0)
    engine.gateway.cancel_stale(engine.account.books.positions, engine.now_ns)
    assert [one.cancelled for one in stops] == [True, True, False]
    assert engine.gateway.is_protected(position)


@pytest.mark.parametrize("reason", [ExitReason.STOP, ExitReason.LIQUIDATION])
def test_an_addition_that_fills_after_the_stop_is_closed_at_once(reason: ExitReason) -> None:
    """The stop was faster: the symbol stays out, and what the addition bought does not stand in for a new entry."""
    world = World(growing).until(START + 20)
    adding, stop, position = ticket(world, Purpose.OPEN), ticket(world, Purpose.STOP), world.position
    world.engine.on_event(Fill(
        fill_id="f1", client_order_id=stop.client_order_id if reason is ExitReason.STOP else "autoclose-1",
        symbol=SYMBOL, side=OrderSide.SELL, qty=position.qty, price=position.stop, fee=0.0, liquidity="taker",
        ts_ns=world.engine.now_ns + 1, liquidation=reason is ExitReason.LIQUIDATION,
    ))
    assert [one.exit_reason for one in world.engine.records.tally.trades] == [reason]

    closing = filled(world, adding.client_order_id, OrderSide.BUY, adding.qty, position.stop, 2)

    assert [(one.type, one.reduce_only, one.qty) for one in closing] == [(OrderType.MARKET, True, adding.qty)]
    assert world.position.exit_reason is ExitReason.STOP


def test_an_addition_that_fills_after_another_close_is_protected() -> None:
    """Nothing keeps the symbol out of a target that is still wanted: the position has its stop."""
    world = World(growing).until(START + 20)
    adding, position = ticket(world, Purpose.OPEN), world.position
    closing = orders(world.engine.protection.close(position, ExitReason.INTENT, world.engine.now_ns))[0]
    filled(world, closing.client_order_id, OrderSide.SELL, position.qty, position.entry_price, 1)

    commands = filled(world, adding.client_order_id, OrderSide.BUY, adding.qty, position.entry_price, 2)

    assert [(one.type, one.qty) for one in commands] == [(OrderType.STOP_MARKET, adding.qty)]


def test_a_looser_target_does_not_sell_and_buy_at_the_same_moment() -> None:
    """Above the band it was sized for and below the one in force: it is added to, and not reduced."""
    world = World(lambda hour: 1.6 if hour < START + 20 else 1.25).until(START + 19)
    before, policy = world.position.qty, world.engine.policy
    policy.settings = msgspec.structs.replace(policy.settings, volatility_target_pct=9.0)
    world.until(START + 20)
    assert world.edge(fc.MOST, 6.0) < before < world.edge(fc.LEAST, 9.0)
    world.until(START + 21)

    late = [one for one in world.records("order.filled") if one["ts_ns"] > world.moments[START + 20][0]]
    assert [one["side"] for one in late] == ["BUY"]


@pytest.mark.parametrize("off_grid", [0.0, 0.6])
def test_a_position_of_before_there_were_targets_keeps_its_size(off_grid: float) -> None:
    """A state folder of before says no target, and its quantity may lie between two steps of today."""
    world = World(shrinking).until(START + 19)
    position = world.position
    position.plan.volatility_pct = 0.0
    position.qty -= off_grid * world.step_size
    world.engine.protection.manage(_bars(world), world.engine.market.closes, world.engine.now_ns, _all_new(world))

    assert not world.engine.gateway.has(SYMBOL, Purpose.REDUCE)


def _bars(world: World) -> Any:
    """The newest bars as a batch."""
    ts_ns, ohlcv, present = world.moments[world.at - 1]
    return MarketBatch(ts_ns, world.engine.interval_ns, ohlcv, present)


def _all_new(world: World) -> Any:
    """What the models want, as newly decided."""
    wanted = world.engine.market.wanted
    assert wanted is not None
    return wanted._replace(renewed=wanted.renewed | True)


def test_a_reduction_that_is_too_large_for_one_order_is_halved() -> None:
    """-4005: the half goes out at once, what is left waits for the next decision."""
    world = World(shrinking).until(START + 20)
    reduction = ticket(world, Purpose.REDUCE)

    again = told(world, reduction.client_order_id, OrderStatus.REJECTED, "-4005 quantity above the maximum")

    assert [(one.type, one.reduce_only) for one in again] == [(OrderType.MARKET, True)]
    assert again[0].qty == pytest.approx(reduction.qty / 2.0, abs=world.step_size)
    assert world.position.exit_reason is None


def test_a_larger_old_stop_stays_while_an_addition_may_still_fill() -> None:
    """The venue may have filled more of it than was heard of: a stop for what is known does not replace it."""
    world = World(growing).until(START + 20)
    adding, old = ticket(world, Purpose.OPEN), ticket(world, Purpose.STOP)
    position, engine = world.position, world.engine
    old.qty = position.qty + adding.qty  # of before a reduction
    first = filled(world, adding.client_order_id, OrderSide.BUY, adding.qty / 2.0, position.entry_price, 1)
    told(world, first[0].client_order_id, OrderStatus.NEW)
    assert not old.cancelled
    second = filled(world, adding.client_order_id, OrderSide.BUY, adding.qty / 2.0, position.entry_price, 2)
    told(world, second[0].client_order_id, OrderStatus.NEW)
    assert old.cancelled
    assert engine.gateway.is_protected(position)


def test_a_stop_outlasts_its_position_while_an_addition_may_still_fill() -> None:
    """The venue may have filled the addition after the close: its stop goes once what that opened is closed too."""
    world = World(growing).until(START + 20)
    adding, stop = close_under_an_addition(world)
    engine, price = world.engine, stop.price
    assert engine.gateway.cancel_stale(engine.account.books.positions, engine.now_ns) == []
    assert (adding.cancelled, stop.cancelled) == (True, False)

    closing = filled(world, adding.client_order_id, OrderSide.BUY, adding.qty, price, 2)

    assert [(one.type, one.reduce_only, one.qty) for one in closing] == [(OrderType.MARKET, True, adding.qty)]
    assert (stop.cancelled, engine.gateway.is_protected(world.position)) == (False, False)  # it is no stop of its own
    told(world, adding.client_order_id, OrderStatus.FILLED, filled_qty=adding.qty)
    filled(world, closing[0].client_order_id, OrderSide.SELL, adding.qty, price, 3)
    assert stop.cancelled


def test_a_stop_kept_for_an_addition_goes_once_that_has_ended_without_a_fill() -> None:
    """The addition is cancelled at the venue: nothing of the symbol is left there."""
    world = World(growing).until(START + 20)
    adding, stop = close_under_an_addition(world)

    commands = world.engine.on_event(OrderUpdate(
        client_order_id=adding.client_order_id, venue_order_id="1", symbol=SYMBOL, status=OrderStatus.CANCELED,
        ts_ns=world.engine.now_ns + 50,
    ))

    assert [one.client_order_id for one in commands if isinstance(one, CancelRequest)] == [stop.client_order_id]


def test_the_stop_of_a_new_position_replaces_one_kept_from_before() -> None:
    """Closed by command while an addition was on its way: what that opens gets its stop, then the older one goes."""
    world = World(growing).until(START + 20)
    adding, old = ticket(world, Purpose.OPEN), ticket(world, Purpose.STOP)
    engine, position = world.engine, world.position
    closing = orders(engine.protection.close(position, ExitReason.INTENT, engine.now_ns))[0]
    filled(world, closing.client_order_id, OrderSide.SELL, position.qty, position.entry_price, 1)
    stop = filled(world, adding.client_order_id, OrderSide.BUY, adding.qty, position.entry_price, 2)[0]
    assert not old.cancelled

    told(world, stop.client_order_id, OrderStatus.NEW)

    assert old.cancelled
    assert engine.gateway.is_protected(world.position)
