"""What keeps openings from going out: health, connection, late bars, halts; reducing goes on."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.live.live_account import FAST, Account, until
from tests.live.live_world import MINUTE, World, orders

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, OrderType, Side
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import HealthChanged, IntentReceived, OperatorRequestReceived


def test_health_raises_the_governor_at_once_and_emergency_waits_for_a_person(world: World) -> None:
    """A critical queue is EMERGENCY; health alone does not end it, `resume` does."""
    world.tell(HealthChanged(ts_ns=world.now_ns, level=3, connected=True, reason="queue 100 %"))
    assert world.engine.account.governor[0] == 3.0
    assert orders(world.wish("x9")) == []
    world.tell(HealthChanged(ts_ns=world.now_ns, level=0, connected=True, reason="well again"))
    assert world.engine.account.governor[0] == 3.0
    world.request("resume", "disk freed")
    assert len(orders(world.wish("x10"))) == 1


def test_nothing_opens_while_the_venue_is_not_connected(world: World) -> None:
    """A stream is down: openings are refused as DISCONNECTED, a reduction goes out."""
    world.opened()
    world.tell(HealthChanged(ts_ns=world.now_ns, level=0, connected=False, reason="user stream down"))
    world.wish("x5", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1)
    assert world.records("trade.failed")[-1]["data"]["reason"] == "DISCONNECTED"
    (close,) = orders(world.wish("x6", reduce_only=True))
    assert (close.type, close.reduce_only) == (OrderType.MARKET, True)


def test_bars_that_come_late_open_nothing(warm: bytes) -> None:
    """The guard sees how late the bars were."""
    world = World()
    world.store.content = warm
    world.session.recover()
    world.bar(1500, 10_000.0, 1_000.0, late_ns=10 * MINUTE)
    world.wish("x1", created_ns=world.now_ns)
    assert world.records("trade.failed")[-1]["data"]["reason"] == "STALE_DATA"


def test_an_opposite_intent_closes_first(world: World) -> None:
    """SHORT against a long closes the long and opens nothing."""
    world.opened()
    (close,) = orders(world.wish("x2", side=Side.SHORT))
    assert close.reduce_only
    assert world.records("trade.failed")[-1]["data"]["reason"] == "CLOSES_FIRST"


def test_the_governor_names_the_cause_of_its_level(world: World) -> None:
    """Health with the reason it was reported with; losses and drawdown by their names."""
    world.tell(HealthChanged(ts_ns=world.now_ns, level=GOV_EMERGENCY, connected=True, reason="lag 301.0 s"))
    assert world.engine.halts.governor_cause == "system health (lag 301.0 s)"
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    assert again.engine.halts.governor_cause == "system health (lag 301.0 s)"


@pytest.mark.parametrize("action", ["halt", "flatten"])
def test_an_opening_that_waits_for_its_leverage_does_not_go_out_after_a_halt(action: str) -> None:
    """Its leverage takes a moment to be set; meanwhile a person halts or flattens."""

    async def run() -> None:
        world = World().begin()
        venue, base, begun = Account(world.engine.instruments.all), world.now_ns + NS_PER_SECOND, time.monotonic()
        venue.now_ns = base
        asked = asyncio.Event()

        def now() -> int:
            return base + int((time.monotonic() - begun) * 1e9)

        async def slowly(symbol: str, leverage: float) -> float:
            asked.set()
            await asyncio.sleep(0.2)
            return leverage

        venue.set_leverage = slowly
        driver = LiveDriver(world.session, venue, FAST, now, namespace="t-")
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and world.engine.halts.connected)
        intent = world.intent("x1", created_ns=now(), expires_ns=now() + 30 * NS_PER_SECOND)
        driver.tell(IntentReceived(ts_ns=now(), intent=intent))
        await asked.wait()
        driver.tell(OperatorRequestReceived(ts_ns=now(), action=action, reason="stop it", actor="me"))
        await until(lambda: not driver.engine.gateway.tickets())
        driver.stop()
        await task
        assert [order for order in venue.sent if not order.reduce_only] == []
        (failed,) = world.records("trade.failed")
        assert action == "flatten" or failed["data"]["reason"] == "HALTED: halted by command"

    asyncio.run(run())
