"""Orders that the venue refuses: filters that changed, positions too large, accounts that may only reduce."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.live.live_account import make, until
from tests.live.live_world import SYMBOL, MemoryLog, MemoryStore, World, alive, cancels, held, look, orders, resting

from quantum_trader.domain.enums import ExitReason, OrderStatus, OrderType
from quantum_trader.domain.trading import Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.gateway import Purpose
from quantum_trader.live.inputs import FiltersChanged, IntentReceived, TimerFired


def on_another_grid(world: World, **changes: float) -> None:
    """The venue says that the first symbol's filters are others now."""
    world.tell(FiltersChanged(
        ts_ns=world.now_ns, instrument=msgspec.structs.replace(world.engine.instruments[0], **changes)
    ))


def test_a_stop_refused_for_its_tick_is_sent_on_the_new_one(world: World) -> None:
    """A sound position is not closed because the venue's tick became coarser: its next stop fits, no looser."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    (first,) = orders(world.fill(order, 0.01))
    on_another_grid(world, tick_size=7.0)
    (again,) = orders(world.update(first, OrderStatus.REJECTED, reason="-4014 Price not increased by tick size."))
    assert (again.type, again.stop_price % 7.0) == (OrderType.STOP_MARKET, 0.0)
    assert 0.0 <= again.stop_price - first.stop_price < 7.0, "nearer to the price, so that no more is risked"
    world.update(again, OrderStatus.NEW)
    assert world.engine.gateway.is_protected(world.engine.account.books.positions[SYMBOL])
    assert world.engine.account.books.positions[SYMBOL].exit_reason is None


def test_a_target_refused_for_its_tick_is_sent_on_the_new_one(world: World) -> None:
    """Nearer to the price too; one that is on the grid already is not sent again and again."""
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    position.target = 10_400.0
    (target,) = orders(world.engine.gateway.rest_target(position, world.now_ns))
    on_another_grid(world, tick_size=7.0)
    refusal = {"status": OrderStatus.REJECTED, "reason": "-1111 Precision is over the maximum"}
    (again,) = orders(world.update(target, **refusal))
    assert (again.type, again.stop_price) == (OrderType.TAKE_PROFIT_MARKET, 10_395.0)
    assert orders(world.update(again, **refusal)) == []


def test_a_stop_refused_three_times_closes_the_position(world: World) -> None:
    """The filters are unknown: after three refusals the position is closed at market."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    commands = orders(world.fill(order, 0.01))
    for _ in range(4):
        stop = next(one for one in commands if one.type is not OrderType.TAKE_PROFIT_MARKET)
        commands = orders(world.update(stop, OrderStatus.REJECTED, reason="-4014 Price not increased by tick size."))
    assert [(one.type, one.reduce_only) for one in commands] == [(OrderType.MARKET, True)]
    assert world.engine.account.books.positions[SYMBOL].exit_reason is ExitReason.UNPROTECTED


def test_a_position_that_is_no_multiple_any_more_still_closes(world: World) -> None:
    """0.015 of a symbol that trades in hundredths now: reduce-only, and so the next step up closes all of it."""
    world.opened(qty=0.015)
    (close,) = orders(world.request("flatten", "test"))
    assert close.qty == 0.015
    on_another_grid(world, step_size=0.01, min_qty=0.01)
    (again,) = orders(world.update(close, OrderStatus.REJECTED, reason="-1111 Precision is over the maximum"))
    assert (again.qty, again.reduce_only, again.type) == (0.02, True, OrderType.MARKET)
    world.update(again, OrderStatus.NEW)
    world.fill(again, 0.015)
    world.update(again, OrderStatus.CANCELED, filled=0.015)
    assert world.engine.account.books.positions == {}
    assert not any(ticket.purpose is Purpose.CLOSE for ticket in world.engine.gateway.tickets())


def test_a_position_too_large_for_one_order_closes_in_parts(world: World) -> None:
    """-4005: half of it, and the rest after that."""
    world.opened(qty=0.01)
    (close,) = orders(world.request("flatten", "test"))
    (part,) = orders(world.update(close, OrderStatus.REJECTED, reason="-4005 Quantity greater than max quantity."))
    assert part.qty == 0.005
    world.update(part, OrderStatus.NEW)
    world.fill(part, 0.005)
    world.update(part, OrderStatus.FILLED, filled=0.005)
    (rest,) = orders(world.tell(TimerFired(ts_ns=world.now_ns)))
    assert rest.qty == 0.005


def test_a_close_that_is_refused_repeatedly_is_reported_and_tried_on(world: World) -> None:
    """It is tried on, and a person hears the venue's words; a close that never arrived is no refusal."""
    world.opened()
    commands = orders(world.request("flatten", "test"))
    world.update(commands[0], OrderStatus.REJECTED, reason="LOST: the venue does not know it")
    for _ in range(3):
        (close,) = orders(world.tell(TimerFired(ts_ns=world.now_ns)))
        assert world.engine.halts.held == ""
        world.update(close, OrderStatus.REJECTED, reason="-4141 Symbol is closed.")
    assert "-4141 Symbol is closed." in world.engine.halts.held
    assert orders(world.tell(TimerFired(ts_ns=world.now_ns))), "and it goes on trying"


def test_foreign_orders_that_block_a_close_are_cancelled(world: World) -> None:
    """-4118: foreign reduce-only orders take up the position; reducing is never blocked."""
    world.opened()
    foreign = resting("web_1", type=OrderType.LIMIT, price=11_000.0, stop_price=0.0)
    look(world, held(), orders=(foreign, *alive(world)))
    (close,) = orders(world.request("halt", "x")) or orders(
        world.wish("x2", reduce_only=True)
    )
    answer = world.update(close, OrderStatus.REJECTED, reason="-4118 ReduceOnly Order Failed.")
    assert cancels(answer) == ["web_1"]


def test_filters_in_force_survive_a_restart(world: World) -> None:
    """What the inputs made of them before a checkpoint holds behind it."""
    on_another_grid(world, step_size=0.01, min_qty=0.01, tick_size=7.0)
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    assert again.engine.instruments.all == world.engine.instruments.all
    again.opened(qty=0.015)
    (close,) = orders(again.wish("x2", reduce_only=True))
    assert close.qty == 0.02


def test_filters_that_changed_while_it_was_down_do_not_change_the_replay() -> None:
    """The next process starts with the venue's new step; what was decided before is taken again on the old one."""
    log, store = MemoryLog(), MemoryStore()
    first = World(log, store).begin()
    first.session.checkpoint()
    first.wish("x1", qty=0.0153)
    first.session.finish_bars()
    second = World(log, store)
    coarser = msgspec.structs.replace(second.engine.instruments[0], step_size=0.01, min_qty=0.01)
    second.engine.instruments.change(coarser)
    second.session.recover()
    assert second.engine.instruments.all == first.engine.instruments.all
    assert second.engine.gateway.state() == first.engine.gateway.state()
    assert first.engine.gateway.tickets()[0].qty == 0.015


@pytest.mark.parametrize("code", ["-4087", "-4088", "-4192", "-4400", "-4401"])
def test_an_account_that_may_only_reduce_opens_no_more(world: World, code: str) -> None:
    """Asking on makes some of these last longer: openings wait for a person, who reads the venue's words."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.REJECTED, reason=f"{code} only reduceOnly order is allowed")
    assert code in world.engine.halts.held
    assert orders(world.wish("x2")) == []
    world.request("resume", "over")
    assert len(orders(world.wish("x3"))) == 1


def test_a_refusal_for_a_filter_makes_the_driver_read_filters(warm: bytes) -> None:
    """The stop is refused, the filters are read, the next stop fits: before the position could be closed."""

    async def run() -> tuple[World, list[OrderRequest]]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        sound, coarse = venue.submit_order, []

        async def read_instruments() -> None:
            for instrument in coarse:
                venue._instruments[instrument.symbol] = instrument

        async def submit(request: OrderRequest) -> OrderUpdate:
            update = await sound(request)
            if coarse and request.stop_price % coarse[0].tick_size:
                venue.orders.pop(request.client_order_id, None)
                update = msgspec.structs.replace(
                    update, status=OrderStatus.REJECTED, reason="-4014 Price not increased by tick size."
                )
            return update

        venue.read_instruments, venue.submit_order = read_instruments, submit
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        coarse.append(msgspec.structs.replace(world.engine.instruments[0], tick_size=9.0))
        driver.tell(IntentReceived(ts_ns=world.now_ns, intent=world.intent(expires_ns=driver.clock.now_ns() + 10**12,
                                                                   created_ns=driver.clock.now_ns())))
        await until(lambda: venue.sent)
        order = venue.sent[0]
        venue.positions = [held()]
        venue.push(Fill(
            fill_id="f-1", client_order_id=order.client_order_id, symbol=SYMBOL, side=order.side, qty=order.qty,
            price=10_000.0, fee=0.0, liquidity="taker", ts_ns=driver.clock.now_ns(),
        ))
        position = world.engine.account.books.positions
        await until(lambda: SYMBOL in position and world.engine.gateway.is_protected(position[SYMBOL]))
        driver.stop()
        await task
        return world, venue.sent

    world, sent = asyncio.run(run())
    assert world.engine.instruments[0].tick_size == 9.0
    assert [one for one in sent if one.type is OrderType.MARKET and one.reduce_only] == []
