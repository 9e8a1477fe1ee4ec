"""Entries at rest at a live venue: what ends them when people trade, and when the process stops."""

from __future__ import annotations

import asyncio

import pytest
from tests.live.live_account import make, until
from tests.live.live_world import SYMBOL, World, cancels, held, orders, resting, twice
from tests.live.test_models_live import EAGER, Trend, forecasts

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import InputError, VenueUnavailable
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.books import ADOPTED
from quantum_trader.engine.gateway import Purpose
from quantum_trader.live.inputs import IntentReceived, TimerFired
from quantum_trader.live.intents import checked_intent


def at_rest(**settings: object) -> tuple[World, OrderRequest]:
    """A world whose long entry of 0.01 rests at 10,000 for an hour; and the entry's order."""
    world = World(maker_entry_bars=60, **settings).begin()
    (entry,) = orders(world.wish("x1"))
    assert entry.type is OrderType.LIMIT_MAKER
    world.update(entry, OrderStatus.NEW)
    return world, entry


@pytest.mark.parametrize("side", [OrderSide.BUY, OrderSide.SELL])
def test_an_entry_at_rest_ends_when_a_person_opens_its_symbol(side: OrderSide) -> None:
    """The person's position is taken over, as theirs; the entry would make another size of it, at any later time."""
    world, entry = at_rest()
    commands = world.fill("web_1", 0.02, side=side)
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.plan.model, position.qty) == (ADOPTED, 0.02)
    assert orders(commands)[0].type is OrderType.STOP_MARKET
    assert cancels(commands) == [entry.client_order_id]
    assert orders(world.update(entry, OrderStatus.CANCELED)) == []


def test_an_entry_at_rest_ends_when_the_venue_shows_its_fill_first() -> None:
    """Its fill of 0.004 was never reported: the position is this entry's, and what has not filled is cancelled."""
    world, entry = at_rest()
    part = resting(
        entry, side=OrderSide.BUY, type=OrderType.LIMIT, qty=0.01, filled_qty=0.004, price=entry.price, stop_price=0.0,
        reduce_only=False, status=OrderStatus.PARTIALLY_FILLED,
    )
    commands = twice(world, held(0.004), orders=(part,))
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.plan.intent_id, position.qty) == ("x1", 0.004)
    assert entry.client_order_id in cancels(commands)


def test_an_entry_whose_cancel_got_lost_is_cancelled_again() -> None:
    """Its plan went with the position that was taken over; a cancel that a crash kept from going out is repeated."""
    world, entry = at_rest()
    world.fill("web_1", 0.02, side=OrderSide.BUY)
    again = world.tell(TimerFired(ts_ns=world.now_ns + 1))
    assert cancels(again) == [entry.client_order_id]
    assert cancels(world.tell(TimerFired(ts_ns=world.now_ns + 2, busy=(SYMBOL,)))) == []
    world.update(entry, OrderStatus.CANCELED)
    assert not world.engine.attention(world.now_ns + 3)


def test_models_without_a_view_let_an_entry_from_outside_rest() -> None:
    """It was never theirs: it ends for halts and gates, and goes at market in its time."""
    model = Trend()
    model.sign = 0.0
    world = World(forecasts=forecasts(model), maker_entry_bars=3, **EAGER).begin()
    assert world.engine.market.target(0) == 0
    (entry,) = orders(world.wish("x1"))
    world.update(entry, OrderStatus.NEW)
    assert [cancels(world.bar(minute, 10_000.0, 1_000.0)) for minute in (1500, 1501)] == [[], []]
    assert cancels(world.bar(1502, 10_000.0, 1_000.0)) == [entry.client_order_id]
    (rest,) = orders(world.update(entry, OrderStatus.CANCELED))
    assert (rest.type, rest.qty, rest.intent_id) == (OrderType.MARKET, entry.qty, "x1-rest")


@pytest.mark.parametrize("unreached", [False, True], ids=["cancelled", "unreached"])
def test_a_graceful_stop_leaves_no_entry_at_rest(unreached: bool) -> None:
    """Nobody would put a stop behind its fill; one whose cancel is not answered is named."""

    async def run() -> tuple[list[str], tuple[str, ...]]:
        world, venue, driver = make(World(maker_entry_bars=60).begin())
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        now_ns = driver.clock.now_ns()
        intent = world.intent("w1", created_ns=now_ns, expires_ns=now_ns + 30 * 10**9)
        driver.tell(IntentReceived(ts_ns=now_ns, intent=intent))
        await until(lambda: any(one.resting for one in world.engine.gateway.tickets()))
        if unreached:
            async def refused(request: object) -> None:
                raise VenueUnavailable("down")

            venue.cancel_order = refused
        driver.stop()
        await asyncio.wait([task], timeout=5)
        assert "order.cancel" in world.topics()
        return list(venue.orders), driver.left_exposed

    left, exposed = asyncio.run(run())
    assert (len(left), exposed) == ((1, (SYMBOL,)) if unreached else (0, ()))


def test_parts_of_an_entry_at_rest_leave_one_stop() -> None:
    """Each stop replaces that of the part before, so that they do not add up to the venue's limit."""
    world, entry = at_rest()
    for part in range(5):
        for one in orders(world.fill(entry, 0.002)):
            world.update(one, OrderStatus.NEW)
            for ticket in world.engine.gateway.tickets():
                if ticket.purpose is Purpose.STOP and ticket.cancelled:
                    world.update(ticket.client_order_id, OrderStatus.CANCELED)
        stops = [one for one in world.engine.gateway.tickets() if one.purpose is Purpose.STOP]
        assert [one.qty for one in stops] == [pytest.approx(0.002 * (part + 1))]


@pytest.mark.parametrize("changes", [{"intent_id": "x1-rest"}, {"source": "MODEL"}, {"source": "model"}])
def test_an_outside_intent_takes_no_name_of_the_program(changes: dict[str, str]) -> None:
    """An id that an entry's rest will have would keep that from going to market; the source is the models'."""
    with pytest.raises(InputError, match="system's own"):
        checked_intent(World().intent(**changes))
