"""The liquidation price that the venue reports counts where it is nearer to the entry than the computed one."""

from __future__ import annotations

import math

import msgspec
import pytest
from tests.live.live_world import SYMBOL, World, alive, held, look, orders, twice, world_of

from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.ports import VenuePosition


def told(liquidation: float, qty: float = 0.01, leverage: float = 5.0, mark: float = 10_000.0) -> VenuePosition:
    """A position of the first symbol with this liquidation price, as the venue reports it."""
    return msgspec.structs.replace(held(qty, leverage=leverage, mark=mark), liquidation_price=liquidation)


def stops(commands: list[Command]) -> list[float]:
    """The prices of the stops among *commands*."""
    return [order.stop_price for order in orders(commands) if order.type is OrderType.STOP_MARKET]


def computed(world: World) -> float:
    """The liquidation price in force of the open position."""
    engine = world.engine
    return engine.protection.liquidation_price(engine.account.books.positions[SYMBOL])


@pytest.mark.parametrize(("qty", "liquidation", "mark"), [(0.01, 9_790.0, 9_800.0), (-0.01, 10_210.0, 10_200.0)])
def test_the_stop_of_an_adopted_position_comes_before_the_reported_liquidation(
    world: World, qty: float, liquidation: float, mark: float
) -> None:
    """At 24 x the table says some 4 % away; the venue, where the margin has shrunk, says 2.1 %."""
    (stop,) = stops(twice(world, told(liquidation, qty, 24.0, mark)))
    assert min(liquidation, mark) < stop < max(liquidation, mark)


def test_a_resting_stop_that_the_reported_liquidation_overtakes_is_placed_anew(world: World) -> None:
    """The margin of an open position may shrink: its stop moves once, before the price at which it would be lost."""
    world.opened()
    nearer = world.engine.account.books.positions[SYMBOL].stop + 1.0
    (stop,) = stops(look(world, told(nearer), orders=alive(world)))
    assert nearer < stop < 10_000.0
    for ticket in world.engine.gateway.tickets():
        world.update(ticket.client_order_id, OrderStatus.NEW)
    assert stops(look(world, told(nearer), orders=alive(world))) == []


@pytest.mark.parametrize("reported", [0.0, -1.0, math.nan, math.inf, 1.0])
def test_a_reported_liquidation_that_is_none_or_further_away_moves_nothing(world: World, reported: float) -> None:
    """The computed price stays in force."""
    world.opened()
    before = computed(world)
    assert stops(look(world, told(reported), orders=alive(world))) == []
    assert computed(world) == before


def test_the_report_survives_a_restart_and_ends_when_the_position_grows(world: World) -> None:
    """It stands in the checkpoint; a fill that adds to the position makes it old."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    world.fill(order, 0.004)
    look(world, told(9_000.0, qty=0.004), orders=alive(world))
    assert computed(world) == 9_000.0
    assert world.session.checkpoint()
    again = world_of(world.store.content or b"", world.log)
    assert computed(again) == 9_000.0
    again.fills = world.fills
    again.fill(order, 0.006)
    assert computed(again) < 9_000.0
