"""A change of the gates is an input of a live session: written first, on record, the same after a kill."""

from __future__ import annotations

import msgspec
from tests.live.live_world import MemoryLog, MemoryStore, World, orders, world_of
from tests.live.test_session import BEFORE

from quantum_trader.live.inputs import GatesChanged, encode_input
from quantum_trader.models.gates import GateSettings

CLOSED = GateSettings(
    enforced=("spread",), scalp=msgspec.structs.replace(GateSettings().scalp, max_spread_bps=0.0),
)


def changed(world: World, settings: GateSettings, revision: int = 1) -> GatesChanged:
    """The input that puts *settings* into force."""
    return GatesChanged(
        ts_ns=world.now_ns, change={"actor": "ann", "reason": "a test", "revision": revision},
        in_force=msgspec.to_builtins(settings),
    )


def test_the_change_is_in_the_input_log_before_it_is_in_force_and_refuses_intents(warm: bytes) -> None:
    """A person's order meets the spread gate from then on; the record says who closed it."""
    world = world_of(warm)
    assert orders(world.wish("before"))
    world.tell(changed(world, CLOSED))
    assert world.log.entries[-1] == encode_input(changed(world, CLOSED))
    assert world.engine.opening.gates.settings == CLOSED
    assert not orders(world.wish("after", symbol="ETHUSDT", reference_price=1_000.0, stop_price=980.0))
    assert [one["data"]["reason"] for one in world.records("trade.failed")] == ["GATE_SPREAD"]
    (record,) = world.records("gates.changed")
    assert record["data"]["change"]["actor"] == "ann"


def test_after_a_kill_the_same_gates_are_in_force_and_the_records_are_the_same(warm: bytes) -> None:
    """From the checkpoint and the inputs since; what was refused stays refused."""
    first = world_of(warm)
    first.tell(changed(first, CLOSED))
    first.wish("x1")
    first.tell(changed(first, GateSettings(), 2))
    first.wish("x2")
    first.session.finish_bars()
    second = World(MemoryLog(), MemoryStore())
    second.store.content = warm
    second.log.entries = [b"before the checkpoint"] * BEFORE + first.log.entries
    second.session.recover()
    second.session.finish_bars()
    assert second.sink.lines == first.sink.lines
    assert second.engine.opening.gates.settings == GateSettings()
    assert second.engine.opening.gates.revision == 2
    assert not second.engine.gateway.is_claimed("x1")
    assert second.engine.gateway.is_claimed("x2")


def test_an_open_position_closes_whatever_the_gates_say(warm: bytes) -> None:
    """Every gate enforced and none of them open: flatten sends its order."""
    world = world_of(warm)
    world.opened()
    every = msgspec.structs.replace(CLOSED, enforced=("spread", "volume", "regime", "cost", "confidence", "meta_label"))
    assert orders(world.tell(changed(world, every))) == []
    assert [one.reduce_only for one in orders(world.request("flatten"))] == [True]
