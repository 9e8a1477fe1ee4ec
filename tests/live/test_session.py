"""A session continues after any interruption: same inputs, same state, same records, nothing sent twice."""

from __future__ import annotations

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
