"""A session continues after any interruption: same inputs, same state, same records, nothing sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from tests.live.live_world import MemoryLog, MemoryStore, World, orders, world_of

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.live.bus import TRADE_EXECUTED, TRADE_FAILED, TRADE_INTENT, BusSink, InMemoryBus
from quantum_trader.live.inputs import FundingRateReceived
from quantum_trader.live.intents import TradeIntentSubscriber

BEFORE = 1501  # inputs of the warm world: its beginning and its bars


def test_a_restart_repeats_the_inputs_and_ends_in_the_same_state(warm: bytes) -> None:
    """Checkpoint and the inputs since: books, tickets and records as before; nothing is handed out to be sent."""
    first = world_of(warm)
    order, _ = first.opened()
    first.bar(1500, 10_010.0, 1_000.0)
    first.session.finish_bars()
    second = World(MemoryLog(), MemoryStore())
    second.store.content = warm
    second.log.entries = [b"before the checkpoint"] * BEFORE + first.log.entries
    assert second.session.recover() == len(first.log.entries)
    second.session.finish_bars()
    assert second.engine.gateway.state() == first.engine.gateway.state()
    assert second.engine.account.books.state() == first.engine.account.books.state()
    assert second.sink.lines == first.sink.lines
    assert second.engine.gateway.is_claimed(order.intent_id)


def test_a_claimed_intent_is_never_sent_again(warm: bytes) -> None:
    """The same intent id again, in the same process and after a restart: no order."""
    first = world_of(warm)
    assert len(orders(first.wish("x1"))) == 1
    assert orders(first.wish("x1")) == []
    first.session.checkpoint()
    assert first.store.content is not None
    assert orders(world_of(first.store.content, first.log).wish("x1")) == []


def test_where_nothing_can_be_written_nothing_opens_and_reducing_goes_on(warm: bytes) -> None:
    """A full disk: the intent is refused, a position can still be closed, and a checkpoint lets openings go on."""
    world = world_of(warm)
    world.opened()
    world.log.full = True
    assert orders(world.wish("x2", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1)) == []
    assert len(orders(world.request("flatten", "out"))) == 1
    world.log.full = False
    assert world.session.checkpoint()
    world.request("resume", "space again")
    assert len(orders(world.wish("x3", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1))) == 1


def test_an_input_that_fails_halts_openings_in_a_replay_too(warm: bytes) -> None:
    """It is recorded, openings halt, and a restart that meets it again ends in the same state."""
    world = world_of(warm)
    bad = FundingRateReceived(ts_ns=world.now_ns, symbol="NOSUCHUSDT", rate_8h=0.0)
    assert world.tell(bad) == []
    assert world.engine.halts.operator_halt
    assert "input.failed" in world.topics()
    again = world_of(warm, None)
    again.tell(bad)
    assert again.sink.lines == world.sink.lines


def test_intents_come_by_the_bus_and_their_outcome_goes_back_with_their_trace(warm: bytes) -> None:
    """trade.intent -> order -> trade.executed; a refused one -> trade.failed; both with the intent's trace id."""
    world, bus = world_of(warm), InMemoryBus()
    world.engine.records.recorder._sink = BusSink(world.sink, bus, frozenset((TRADE_EXECUTED, TRADE_FAILED)))
    outcomes: list[tuple[str, str]] = []
    for topic in (TRADE_EXECUTED, TRADE_FAILED):
        bus.subscribe(topic, lambda name, event: outcomes.append((name, getattr(event, "trace_id", ""))))
    sent: list[object] = []
    subscriber = TradeIntentSubscriber(
        bus, lambda event: sent.extend(world.tell(event)), lambda: world.now_ns
    )
    bus.publish(TRADE_INTENT, world.intent("x1"))
    order = sent[0]
    world.update(order, OrderStatus.NEW)  # type: ignore[arg-type]
    world.fill(order, 0.01)  # type: ignore[arg-type]
    bus.publish(TRADE_INTENT, world.intent("x2", confidence=0.0))
    bus.publish(TRADE_INTENT, {"intent_id": "x3", "qty": "much"})
    assert outcomes == [(TRADE_EXECUTED, "trace-x1"), (TRADE_FAILED, "trace-x2"), (TRADE_FAILED, "")]
    assert (subscriber.taken, subscriber.refused, bus.shield.failures) == (2, 1, 0)
    subscriber.close()
    bus.publish(TRADE_INTENT, world.intent("x4"))
    assert subscriber.taken == 2


def test_the_bus_keeps_its_order_and_survives_a_handler() -> None:
    """What is published while handlers run comes after; an exception stops no other handler."""
    bus, calls = InMemoryBus(), []

    def first(_name: str, event: int) -> None:
        if event == 1:
            bus.publish("t", 2)
        calls.append(("first", event))
        raise ValueError("no")

    bus.subscribe("t", first)
    end = bus.subscribe("t", lambda _name, event: calls.append(("second", event)))
    bus.publish("t", 1)
    end()
    bus.publish("t", 3)
    assert calls == [("first", 1), ("second", 1), ("first", 2), ("second", 2), ("first", 3)]
    assert bus.shield.failures == 3


def test_asynchronous_handlers_are_awaited_and_their_failures_counted() -> None:
    """``await bus.publish`` returns when they have ended; who only publishes loses nothing either."""
    bus, calls = InMemoryBus(), []

    async def slowly(name: str, event: int) -> None:
        await asyncio.sleep(0)
        if event == 2:
            raise ValueError("no")
        calls.append((name, event))

    async def publish() -> None:
        bus.subscribe("t", slowly)
        await bus.publish("t", 1)
        assert calls == [("t", 1)]
        for event in (2, 3, 4):
            bus.publish("t", event)
        await bus.drain()

    asyncio.run(publish())
    assert calls == [("t", 1), ("t", 3), ("t", 4)]
    assert bus.shield.failures == 1
    assert bus.notice == "calls of bus handlers that failed: 1, the last with ValueError: no"


def test_an_asynchronous_handler_gets_its_events_one_after_the_other() -> None:
    """The first takes longest; the second waits for it. Another handler does not."""
    bus, calls = InMemoryBus(), []

    async def shorter_each_time(_name: str, event: int) -> None:
        for _ in range(10 - event):
            await asyncio.sleep(0)
        calls.append(("a", event))

    async def at_once(_name: str, event: int) -> None:
        calls.append(("b", event))

    async def publish() -> None:
        for handler in (shorter_each_time, at_once):
            bus.subscribe("t", handler)
        for event in (1, 2, 3):
            bus.publish("t", event)
        await bus.drain()

    asyncio.run(publish())
    assert [call for call in calls if call[0] == "a"] == [("a", 1), ("a", 2), ("a", 3)]
    assert calls[:3] == [("b", 1), ("b", 2), ("b", 3)]


def test_handlers_that_publish_to_each_other_do_not_wait_for_themselves() -> None:
    """A handler awaits an event whose handler awaits one for the first: both end."""
    bus, calls = InMemoryBus(), []

    async def ping(_name: str, event: int) -> None:
        calls.append(("ping", event))
        if event < 3:
            await bus.publish("pong", event + 1)

    async def pong(_name: str, event: int) -> None:
        calls.append(("pong", event))
        await bus.publish("ping", event + 1)

    async def publish() -> None:
        bus.subscribe("ping", ping)
        bus.subscribe("pong", pong)
        await asyncio.wait_for(_awaited(bus.publish("ping", 1)), 5.0)

    asyncio.run(publish())
    assert calls == [("ping", 1), ("pong", 2), ("ping", 3)]
    assert bus.shield.failures == 0


def test_two_handlers_that_await_each_other_at_the_same_time_both_end() -> None:
    """One event for each, at once: neither waits for what waits for it, and later events keep their order."""
    bus, calls = InMemoryBus(), []

    async def relay(name: str, event: int) -> None:
        await asyncio.sleep(0)
        if event < 10:
            await bus.publish("b" if name == "a" else "a", event + 10)
        calls.append((name, event))

    async def publish() -> None:
        for topic in ("a", "b"):
            bus.subscribe(topic, relay)
        for event in (1, 2, 3):
            for topic in ("a", "b"):
                bus.publish(topic, event)
        await bus.drain(2.0)

    asyncio.run(publish())
    assert bus.notice == ""
    for topic in ("a", "b"):
        assert [event for name, event in calls if name == topic and event < 10] == [1, 2, 3]
        assert sorted(event for name, event in calls if name == topic and event > 10) == [11, 12, 13]


def test_three_handlers_in_a_ring_all_end() -> None:
    """The wait for each other is found through any number of handlers."""
    bus, calls = InMemoryBus(), []
    after = {"a": "b", "b": "c", "c": "a"}

    async def relay(name: str, event: int) -> None:
        await asyncio.sleep(0)
        if event < 3:
            await bus.publish(after[name], event + 1)
        calls.append((name, event))

    async def publish() -> None:
        for topic in after:
            bus.subscribe(topic, relay)
        for topic in after:
            bus.publish(topic, 0)
        await bus.drain(2.0)

    asyncio.run(publish())
    assert bus.notice == ""
    assert len(calls) == 12


def test_events_that_a_handler_publishes_keep_their_order() -> None:
    """The receiver has no part in the sender: it gets them one after the other, after what it is still at."""
    bus, calls, running = InMemoryBus(), [], []

    async def sender(_name: str, _event: int) -> None:
        for event in (1, 2, 3):
            bus.publish("t", event)

    async def receiver(_name: str, event: int) -> None:
        running.append(event)
        assert len(running) == 1
        for _ in range(10 - event):
            await asyncio.sleep(0)
        calls.append(event)
        running.remove(event)

    async def publish() -> None:
        bus.subscribe("s", sender)
        bus.subscribe("t", receiver)
        bus.publish("t", 0)
        bus.publish("s", 0)
        await bus.drain()
        bus.publish("t", 4)
        await bus.drain()

    asyncio.run(publish())
    assert (calls, bus.notice) == ([0, 1, 2, 3, 4], "")


def test_an_event_from_outside_waits_for_every_call_of_its_handler() -> None:
    """Also for the first of two calls, the second of which did not wait for it."""
    bus, calls = InMemoryBus(), []

    async def handler(_name: str, event: int) -> None:
        if event == 1:
            await bus.publish("t", 2)
            for _ in range(5):
                await asyncio.sleep(0)
        calls.append(event)

    async def publish() -> None:
        bus.subscribe("t", handler)
        bus.publish("t", 1)
        await asyncio.sleep(0)  # the first has published the second
        bus.publish("t", 3)
        await bus.drain(2.0)

    asyncio.run(publish())
    assert (calls, bus.notice) == ([2, 1, 3], "")


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("how", ["raises", "awaits", "cancels itself", "is no coroutine"])
def test_a_cancelled_handler_counts_as_failed_and_stops_nothing(how: str, loop: bool) -> None:
    """A handler's CancelledError is its own: the publisher and the other handlers go on, with and without a loop."""
    bus, calls = InMemoryBus(), []

    async def handler(_name: str, _event: int) -> None:
        if how == "raises":
            raise asyncio.CancelledError
        task = asyncio.current_task() if how == "cancels itself" else asyncio.ensure_future(asyncio.sleep(9.0))
        assert task is not None
        task.cancel()
        await (asyncio.sleep(0) if how == "cancels itself" else task)

    def plain(_name: str, _event: int) -> None:
        raise asyncio.CancelledError

    async def publish() -> None:
        await bus.publish("t", 1)
        await bus.publish("t", 2)

    bus.subscribe("t", plain if how == "is no coroutine" else handler)
    bus.subscribe("t", lambda _name, event: calls.append(event))
    if loop:
        asyncio.run(publish())
    else:
        bus.publish("t", 1)
        bus.publish("t", 2)
        bus.close()
    assert calls == [1, 2]
    assert bus.notice == "calls of bus handlers that failed: 2, the last with CancelledError: the handler was cancelled"


async def _awaited(delivery: Awaitable[None]) -> None:
    await delivery


def test_without_an_event_loop_asynchronous_handlers_run_before_publish_returns() -> None:
    """As in a replay, which is no coroutine; all of them on one loop."""
    bus, calls, loops = InMemoryBus(), [], set()

    async def handler(_name: str, event: int) -> None:
        await asyncio.sleep(0)
        loops.add(asyncio.get_running_loop())
        calls.append(event)
        if event == 1:
            await bus.publish("t", 2)

    bus.subscribe("t", handler)
    bus.publish("t", 1)
    assert calls == [1, 2]
    bus.publish("t", 3)
    bus.close()
    assert calls == [1, 2, 3]
    assert len(loops) == 1


def test_a_handler_that_does_not_end_is_cancelled_and_counted() -> None:
    """The end of a process waits for its subscribers for some seconds only."""
    bus = InMemoryBus()

    async def for_ever(_name: str, _event: int) -> None:
        await asyncio.Event().wait()

    async def publish() -> None:
        bus.subscribe("t", for_ever)
        bus.publish("t", 1)
        await bus.drain(0.01)

    asyncio.run(publish())
    assert bus.shield.failures == 1
    assert "still running after 0.01 s" in bus.notice
