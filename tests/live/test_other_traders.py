"""Order ids name the process that made them: another trader on the account is recognised and left alone."""

from __future__ import annotations

import asyncio

import pytest
from tests.live.live_account import make, until
from tests.live.live_world import SYMBOL, World, alive, cancels, held, orders, resting, twice

from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.engine.ids import client_order_id, mark_of
from quantum_trader.engine.reconciliation import DifferenceKind
from quantum_trader.live.inputs import ProcessStarted

OTHER_MARK = "0badcafe-"


def test_a_restored_folder_makes_no_id_that_was_used_before(warm: bytes) -> None:
    """The same intent, forgotten by the folder, is another order at the venue: ids are unique among *open* orders only,
    so a query for the old id would find an order that filled yesterday."""
    ids = []
    for life in ("a-", "b-"):
        world = World()
        world.store.content = warm
        world.session.recover()
        world.tell(ProcessStarted(ts_ns=world.now_ns, life=life))
        ids.append(orders(world.wish("i00000123"))[0].client_order_id)
    assert len(set(ids)) == len({one[-20:] for one in ids}) == 2
    assert all(len(one) <= 36 for one in ids)


def test_a_replay_makes_the_ids_of_the_process_that_sent_them(world: World) -> None:
    """What is taken again after a kill has the ids that went out, opening included."""
    world.session.checkpoint()
    world.tell(ProcessStarted(ts_ns=world.now_ns, life="a-"))
    order, stop = world.opened()
    again = World(world.log, world.store)
    again.session.recover()
    again.tell(ProcessStarted(ts_ns=world.now_ns, life="b-"))
    assert stop.client_order_id in {ticket.client_order_id for ticket in again.engine.gateway.tickets()}
    assert again.engine.gateway.is_own(order.client_order_id)


def test_a_forgotten_own_stop_is_cancelled_once_another_rests(world: World) -> None:
    """After a power cut the stop that is forgotten still protects the position: it goes once the new one is taken."""
    lost = client_order_id("gone", "STOP", 0, world.engine.gateway.mark)
    commands = twice(world, held(), orders=(resting(lost),))
    (stop, *_) = orders(commands)
    assert stop.type is OrderType.STOP_MARKET
    assert lost not in cancels(commands)
    for order in orders(commands):
        world.update(order, OrderStatus.NEW)
    assert cancels(twice(world, held(), orders=(resting(lost), *alive(world)))) == [lost]


def test_a_forgotten_own_stop_stays_while_the_other_is_not_at_the_venue(world: World) -> None:
    """A person cancelled the stop that the books know, and the newest one is forgotten: that one alone protects."""
    _, stop = world.opened()
    lost = client_order_id("gone", "STOP", 0, world.engine.gateway.mark)
    assert cancels(twice(world, held(), orders=(resting(lost),))) == []
    assert cancels(twice(world, held(), orders=(resting(lost), resting(stop)))) == [lost]


def test_orders_of_another_trader_are_never_cancelled_and_halt_openings(world: World) -> None:
    """Its stop protects its position; the halt says what to do."""
    theirs = client_order_id("x", "STOP", 0, OTHER_MARK)
    assert cancels(twice(world, orders=(resting(theirs),))) == []
    (halt,) = world.records("halt.raised")
    assert theirs in halt["data"]["reason"]
    assert "Stop the other one" in halt["data"]["reason"]
    assert halt["data"]["exit_path"] == "resume --reason"
    assert orders(world.wish("x1")) == []


def test_a_second_traders_fill_halts_even_where_manual_trades_are_adopted(world: World) -> None:
    """`on_foreign = adopt` means a person's trades, not another machine's."""
    world.fill(client_order_id("x", "OPEN", 0, OTHER_MARK), 0.01)
    assert "another trader" in world.engine.halts.held
    assert world.engine.account.books.positions[SYMBOL].stop > 0.0, "and its position is protected all the same"


def test_resume_ends_the_halt_of_a_second_trader_though_its_order_rests(world: World) -> None:
    """A person looked; the same order raises no second halt."""
    order = resting(client_order_id("x", "STOP", 0, OTHER_MARK))
    twice(world, orders=(order,))
    world.request("resume", "it is off")
    twice(world, orders=(order,))
    assert world.engine.halts.held == ""
    assert [one.kind for one in world.engine.reconciler.open] == [DifferenceKind.OTHER_TRADER]
    assert world.engine.reconciler.since_ns == 0, "another trader's order is no difference of the books"


def test_order_ids_name_the_process(world: World) -> None:
    """An order id says which process made it; those of commands and of people say nothing."""
    gateway = world.engine.gateway
    before = gateway.mark
    gateway.take_over("b-")
    assert mark_of(client_order_id("i", "OPEN", 0, before)) == before != gateway.mark
    assert (mark_of("web_7"), mark_of("qt-00000000000000000000")) == ("", "")


@pytest.mark.parametrize("first", [True, False])
def test_the_name_of_a_process_is_on_disk_before_it_opens_anything(warm: bytes, *, first: bool) -> None:
    """A power cut takes what was not synchronised: its orders would be those of another trader then."""

    async def run() -> list[str]:
        world = World()
        if not first:
            world.store.content = warm
            world.session.recover()
        world, _venue, driver = make(world)
        world.store.content = None
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        saved = world.store.load()
        assert saved is not None
        marks = saved["engine"]["gateway"]["marks"]
        driver.stop()
        await task
        return [one for one in marks if one == world.engine.gateway.mark]

    assert len(asyncio.run(run())) == 1
