"""Disks that are full: fills and reducing orders go on, nothing opens, and a checkpoint ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextlib import suppress
from typing import Any

import pytest
from tests.live.live_account import FAST, make, until
from tests.live.live_world import OTHER, SYMBOL, World, orders

from quantum_trader.app.runs.input_log import FileInputLog
from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.errors import StateError
from quantum_trader.engine.facts import InputFailure
from quantum_trader.live.inputs import FundingRateReceived, HealthChanged, decode_input, encode_input


class BrokenSink:
    def __init__(self, sink):
        self.sink, self.full = sink, False

    def append(self, line, topic, ts_ns):
        if self.full:
            raise StateError("records.jsonl: cannot be written (No space left on device)")
        self.sink.append(line, topic, ts_ns)


def test_a_full_disk_loses_no_fill(world):
    """Records cannot be written: the fill is still booked and its stop still goes out."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    world.session.finish_bars()
    sink = BrokenSink(world.engine.records.recorder._sink)
    world.engine.records.recorder._sink = sink
    sink.full = True
    world.log.full = True
    sent = world.fill(order, 0.01)
    assert SYMBOL in world.engine.account.books.positions, "the fill is not in the books, and its id is already 'seen'"
    assert any(o.type is OrderType.STOP_MARKET for o in orders(sent))


def test_a_flatten_goes_out_on_a_full_disk(world):
    """flatten while records cannot be written."""
    world.opened()
    world.session.finish_bars()
    sink = BrokenSink(world.engine.records.recorder._sink)
    world.engine.records.recorder._sink = sink
    sink.full = True
    world.log.full = True
    sent = world.request("flatten", "enough")
    assert any(o.type is OrderType.MARKET and o.reduce_only for o in orders(sent))


def test_a_checkpoint_that_cannot_be_written_returns_false(world):
    """records.sync() (in more_state) raises StateError on a full disk: checkpoint() says False, it does not raise."""

    def full():
        raise StateError("records.jsonl: cannot be written (No space left on device)")

    world.session.more_state = full
    assert world.session.checkpoint() is False


def test_an_input_log_that_cannot_begin_a_file_raises_a_state_error(tmp_path, monkeypatch):
    """A full disk at the moment the input log begins a new file."""
    from quantum_trader.app.runs import input_log

    monkeypatch.setattr(input_log, "_SEGMENT_BYTES", 64)
    log = FileInputLog(tmp_path / "inputs")
    real = os.open

    def full(path, flags, mode=0o777, **kw):
        if "inputs-00000002" in str(path):
            raise OSError(28, "No space left on device")
        return real(path, flags, mode, **kw)

    monkeypatch.setattr(os, "open", full)
    with contextlib.suppress(StateError):
        log.append(b"x" * 100)


def test_records_that_could_not_be_written_do_not_forbid_the_next_start(tmp_path):
    """Disk full for a moment, then free: the folder must start again."""
    from quantum_trader.app.runs.journal_sink import JournalSink
    from quantum_trader.app.runs.state_dir import RecordFile
    from quantum_trader.engine.recorder import Recorder

    tmp_path.chmod(0o700)
    records = RecordFile(tmp_path / "records.jsonl", 0)
    sink = JournalSink(tmp_path, records, 0)
    recorder = Recorder(sink)

    def note(n):
        with suppress(StateError):  # Records.record goes on
            recorder.record("input.failed", "", n, InputFailure(input=str(n), error=""))

    note(1)
    note(2)
    real = records.append

    def full(line, topic="", ts_ns=0):
        raise StateError("no space")

    records.append = full
    note(3)
    records.append = real
    note(4)
    note(5)
    sink.sync()
    size = records.size
    sink.close()
    recorded = sum(recorder.seq.values())  # what LiveRun takes from the checkpoint
    JournalSink(tmp_path, RecordFile(tmp_path / "records.jsonl", size), recorded).close()


def test_a_disk_that_stays_full_is_not_tried_every_tick(warm: bytes) -> None:
    """Each try syncs files on the loop: the pause doubles; a disk that is free again is found all the same."""

    async def run() -> tuple[int, bool]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, _venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        tries = []

        def save(state: dict[str, Any]) -> None:
            tries.append(1)
            if world.store.full:
                raise StateError("disk full")

        world.store.save = save  # type: ignore[method-assign]
        world.store.full, world.engine.halts.inputs_written = True, False
        await asyncio.sleep(50 * FAST.tick_s)
        failed = len(tries)
        world.store.full = False
        await until(lambda: world.engine.halts.inputs_written)
        driver.stop()
        await task
        return failed, world.engine.halts.inputs_written

    failed, well = asyncio.run(run())
    assert 1 <= failed <= 7, "at 0, 1, 3, 7, 15, 31 ticks"
    assert well


def test_failed_records_change_nothing_of_a_replay(world: World) -> None:
    """A full disk is no input: counted for this process, and no part of what is proven."""

    class Broken:
        def append(self, *_arguments: Any) -> None:
            raise StateError("disk full")

    world.session.checkpoint()
    before = world.engine.state()["failures"]
    world.engine.records.recorder._sink = Broken()
    world.opened("x1")
    assert len(orders(world.wish("x2", symbol=OTHER, reference_price=1_000.0, stop_price=980.0))) == 1
    assert world.engine.records.refused.failures > 0
    assert world.engine.state()["failures"] == before
    again = World(world.log, world.store)
    again.session.recover()
    assert again.engine.gateway.state() == world.engine.gateway.state()
    assert again.engine.account.books.state() == world.engine.account.books.state()


def test_records_that_cannot_be_written_stop_openings_until_a_checkpoint(warm: bytes) -> None:
    """The engine gets it as an input, so that a replay stops and goes on where this process did."""

    class Broken:
        def append(self, *_arguments: Any) -> None:
            raise StateError("disk full")

    async def run() -> list[tuple[bool, str]]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, _venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and world.engine.halts.connected)
        recorder = world.engine.records.recorder
        sound, recorder._sink, world.store.full = recorder._sink, Broken(), True
        world.engine.note("input.failed", world.now_ns, InputFailure(input="x", error=""))
        await until(lambda: not world.engine.halts.connected)
        recorder._sink, world.store.full = sound, False
        await until(lambda: world.engine.halts.connected)
        driver.stop()
        await task
        events = [decode_input(entry) for entry in world.log.entries]
        return [(one.connected, one.reason) for one in events if isinstance(one, HealthChanged)]

    health = asyncio.run(run())
    assert any(not up and why.endswith(", records cannot be written: StateError: disk full") for up, why in health)
    assert health[-1][0]


def test_an_input_that_cannot_be_encoded_is_unwritten_and_stops_no_session() -> None:
    """A number beyond 64 bits: nothing opens until a checkpoint, as with a full disk."""
    world = World().begin()
    world.session.apply(FundingRateReceived(ts_ns=2**70, symbol=SYMBOL, rate_8h=0.0001))
    assert world.session.unwritten_inputs == 1
    assert not world.engine.halts.inputs_written
    with pytest.raises(StateError, match="FundingRateReceived cannot be written"):
        encode_input(FundingRateReceived(ts_ns=1, symbol="\ud800", rate_8h=0.0))
