"""Flatten closes every position and cancels the orders of others, at any time."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from tests.live.live_account import FAST, make, until
from tests.live.live_world import START, World, alive, cancels, held, look, orders, resting, twice

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import StateError
from quantum_trader.engine.ids import client_order_id
from quantum_trader.live.inputs import HealthChanged, OperatorRequestReceived

OTHER_MARK = "0badcafe-"


def test_flatten_closes_everything_and_halts(world: World) -> None:
    """An operator's flatten sends its closing order in EMERGENCY and while disconnected."""
    world.opened()
    world.tell(HealthChanged(ts_ns=world.now_ns, level=3, connected=False, reason="all is lost"))
    (close,) = orders(world.request("flatten", "out"))
    assert (close.side, close.reduce_only, close.qty) == (OrderSide.SELL, True, 0.01)
    assert world.engine.halts.operator_halt


def test_flatten_cancels_the_orders_of_others(world: World) -> None:
    """A person's limit order would open a position later. Stops stay until their position is gone, then go too."""
    world.opened()
    limit = resting("web_1", reduce_only=False, type=OrderType.LIMIT, price=9_000.0, stop_price=0.0)
    elsewhere = resting("web_2", reduce_only=False, symbol="XRPUSDT")
    stop, trader = resting("web_3"), resting(client_order_id("x", "STOP", 0, OTHER_MARK))
    found = (limit, elsewhere, stop, trader)
    assert cancels(twice(world, held(), orders=(*found, *alive(world)))) == [], "not before a flatten"
    (close,) = orders(world.request("flatten", "enough"))
    assert cancels(look(world, held(), orders=(*found, *alive(world)))) == ["web_1", "web_2"]
    world.update(close, OrderStatus.NEW)
    world.fill(close, 0.01)
    world.update(close, OrderStatus.FILLED, filled=0.01)
    assert {stop.client_order_id, trader.client_order_id} <= set(cancels(look(world, orders=(stop, trader))))
    world.request("resume", "over")
    assert "web_4" not in cancels(twice(world, orders=(resting("web_4", reduce_only=False),)))


def test_a_flatten_compares_at_once(warm: bytes) -> None:
    """The driver does not wait for the minute to pass before it cancels what a person left."""

    async def run() -> bool:
        world = World()
        world.store.content = warm
        world.session.recover()
        asked: list[OperatorRequestReceived] = []
        world, venue, driver = make(
            world, timing=msgspec.structs.replace(FAST, reconcile_s=60.0),
            operator=lambda: [asked.pop()] if asked else [],
        )
        venue.orders["web_1"] = resting("web_1", reduce_only=False)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and driver.counts["looks"] >= 2)
        assert "web_1" in venue.orders
        now_ns = driver.clock.now_ns()
        asked.append(OperatorRequestReceived(ts_ns=now_ns, action="flatten", reason="enough", actor="me"))
        await until(lambda: "web_1" not in venue.orders)
        driver.stop()
        await task
        return True

    assert asyncio.run(run())


def test_flatten_is_taken_before_the_account_stream_is_up():
    """The account stream never comes up (listen key refused): a person's flatten is still taken."""

    async def run():
        asked = [OperatorRequestReceived(ts_ns=START, action="flatten", reason="now", actor="me")]
        world, venue, driver = make(operator=lambda: [asked.pop()] if asked else [])
        venue.user = False
        task = asyncio.create_task(driver.run(connected=True))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not asked, "operator requests are polled before the first comparison"

    asyncio.run(run())


def test_flatten_now_goes_on_when_nothing_can_be_written(tmp_path, monkeypatch):
    import inspect

    from quantum_trader.app.runs import direct

    def full(*a, **k):
        raise StateError("operator.jsonl: cannot be written (No space left on device); nothing was asked")

    monkeypatch.setattr(direct, "ask", full)
    inspect.getsource(direct.flatten_now)

    class Folder:
        symbols = ("BTCUSDT",)

    monkeypatch.setattr(direct, "account_folder", lambda p: Folder)
    monkeypatch.setattr(direct, "is_alive", lambda p: False)
    called = []

    async def over(*a, **k):
        called.append(1)
        raise StateError("reached the venue")

    monkeypatch.setattr(direct, "_flatten_over", over)
    from quantum_trader.app.runs.operator_requests import Action, OperatorRequest

    with contextlib.suppress(StateError):
        direct.flatten_now(
            tmp_path / "s",
            OperatorRequest(action=Action.FLATTEN, reason="x", actor="me", ts_ns=1),
            lambda s: None,
            lambda: 1,
            print,
            5.0,
        )
    assert called, "the venue was never asked"
