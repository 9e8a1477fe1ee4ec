"""A person halts, or the host's clock is set back, while orders are on their way: every order ends in the books."""

from __future__ import annotations

import asyncio

import pytest
from tests.live.live_world import SYMBOL, World
from tests.properties.live_road import ETH, Road, restarted

from quantum_trader.domain.clock import NS_PER_SECOND


def warm_road() -> Road:
    """A trader with bars behind it, at an exchange of its own."""
    world = World().begin()
    world.session.checkpoint()
    assert world.store.content is not None
    return Road(restarted(world.store.content))


async def sent(road: Road) -> None:
    """Wish for a position and return while its order is on its way: sent, and not filled in the books."""
    road.wish("x1")
    while not road.venue.times("submit"):
        await asyncio.sleep(0.001)
    assert SYMBOL not in road.engine.account.books.positions


def test_a_halt_with_an_opening_in_flight_protects_what_it_fills_and_opens_nothing_more() -> None:
    """The order was sent before: its position gets a stop at the venue; the next wish is refused until resume."""
    road = warm_road()

    async def script() -> None:
        await sent(road)
        road.ask("halt")
        await road.until(lambda: SYMBOL in road.engine.account.books.positions)
        held = road.engine.account.books.positions[SYMBOL]
        await road.until(lambda: road.engine.gateway.is_protected(held))
        road.wish("x2", **ETH)
        await road.until(lambda: not road.driver.requests)
        assert list(road.engine.account.books.positions) == [SYMBOL]
        road.ask("resume")
        road.wish("x3", **ETH)
        await road.until(lambda: len(road.engine.account.books.positions) == 2)

    road.run(script)


def test_a_flatten_with_an_opening_in_flight_ends_flat() -> None:
    """What the order fills is closed; no order and no position is left at the venue."""
    road = warm_road()

    async def script() -> None:
        await sent(road)
        road.ask("flatten")
        await road.until(lambda: not road.driver.requests and not road.engine.gateway.tickets())
        await road.until(lambda: not road.engine.account.books.positions)
        assert [one for one in await road.venue.get_positions() if one.qty] == []
        assert list(await road.venue.open_orders()) == []

    road.run(script)


@pytest.mark.parametrize("hours", [-24.0, -1.0, 1.0])
@pytest.mark.parametrize("moment", ["idle", "in flight"])
def test_the_hosts_clock_set_while_it_runs_loses_no_order_and_time_never_goes_back(hours: float, moment: str) -> None:
    """Through the one clock port of the driver: a position opened before keeps its stop, records stay in order."""
    road = warm_road()

    async def script() -> None:
        if moment == "idle":
            await road.opened()
        else:
            await sent(road)
        before_ns = road.driver.clock.now_ns()
        road.offset_ns = int(hours * 3600 * NS_PER_SECOND)
        await road.until(lambda: SYMBOL in road.engine.account.books.positions)
        held = road.engine.account.books.positions[SYMBOL]
        await road.until(lambda: road.engine.gateway.is_protected(held))
        await road.until(lambda: not road.engine.halts.connected)
        assert abs(road.driver.clock.now_ns() - road.exchange.now_ns()) < 5 * NS_PER_SECOND
        assert road.driver.clock.now_ns() >= before_ns
        await road.until(lambda: road.engine.halts.connected, 600.0)
        road.wish("x2", **ETH)
        await road.until(lambda: len(road.engine.account.books.positions) == 2)

    road.run(script)
    times = [one["ts_ns"] for one in road.world.records("order.submitted")]
    assert times == sorted(times)
