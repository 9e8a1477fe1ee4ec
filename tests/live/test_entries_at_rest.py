"""Entries at rest at a live venue: what ends them when people trade, and when the process stops."""

from __future__ import annotations

import pytest
from tests.live.live_world import World, orders

from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.gateway import Purpose


def at_rest(**settings: object) -> tuple[World, OrderRequest]:
    """A world whose long entry of 0.01 rests at 10,000 for an hour; and the entry's order."""
    world = World(maker_entry_bars=60, **settings).begin()
    (entry,) = orders(world.wish("x1"))
    assert entry.type is OrderType.LIMIT_MAKER
    world.update(entry, OrderStatus.NEW)
    return world, entry


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
