"""The logger: accepted means kept, from threads, coroutines and forks; a full ring waits or drops, as configured."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import force_setattr
from tests.journal.producer import health, order

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal import event_logger
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.flusher import Committer, adopt
from quantum_trader.journal.kinds import BY_TYPE, Event, GateEvent, register_kind
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.ring import WORD_BOOT

SMALL = 1 << 20


def until_refused(logger: EventLogger, number: int) -> tuple[int, str]:
    """Log numbered events until one is refused; returns its number and the error text."""
    while True:
        try:
            logger.log(order(number))
        except StateError as error:
            return number, str(error)
        number += 1


def test_what_was_logged_is_read_with_its_text_and_its_nesting(tmp_path: Path) -> None:
    """Twelve fields, a reason of any length, nested values: the JSON of the struct, byte for byte."""
    events: list[Event] = [order(i) for i in range(50)]
    events.append(GateEvent(
        trace_id='quote " back \\ line \n', symbol="ÄÖ€", ts_ns=5, signal_id="s", gate="cost", passed=False,
        observed=float("nan"), limit=1e-7, inputs={"list": [1, -2, 2**63, None, True, {"deep": [[]]}], "big": 1e300},
    ))
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        for event in events:
            logger.log(event)
        live = [payload for _, _, payload in Lake(tmp_path).lines()]
    kept = [payload for _, _, payload in Lake(tmp_path).lines()]
    row = Lake(tmp_path).sql("select trace_id, symbol, day from events where kind = 'gate'").to_pylist()[0]

    assert live == kept == [msgspec.json.encode(event) for event in events]
    assert row["symbol"] == "ÄÖ€"
    assert str(row["day"]) == "1970-01-01"


def test_lines_keep_their_bytes(tmp_path: Path) -> None:
    """Spaces and order of keys stay as given; trace and symbol are found inside ``data`` too."""
    lines = [b'{"topic":"a","trace_id":"t1","data":{"symbol":"BTCUSDT"}}', b'{ "spaced" : 1 }', b"{}"]
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        for line in lines:
            logger.log_line("note", 1, line)
    rows = Lake(tmp_path).sql("select trace_id, symbol from events order by seq").to_pylist()

    assert [payload for _, _, payload in Lake(tmp_path).lines()] == lines
    assert rows[0] == {"trace_id": "t1", "symbol": "BTCUSDT"}


def test_many_threads_lose_nothing_and_keep_their_order(tmp_path: Path) -> None:
    """Eight threads: each one's events in its order, numbers without a gap."""
    each = 4000
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        threads = [
            threading.Thread(target=lambda t=t: [logger.log(order(t * 100_000 + i)) for i in range(each)])
            for t in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    rows = Lake(tmp_path).sql(
        "select seq, cast(payload->>'$.client_order_id' as bigint) as n from events order by seq"
    ).to_pylist()
    numbers = [row["n"] for row in rows]

    assert [row["seq"] for row in rows] == list(range(1, 8 * each + 1))
    for t in range(8):
        assert [n for n in numbers if n // 100_000 == t] == [t * 100_000 + i for i in range(each)]


def test_logs_from_coroutines(tmp_path: Path) -> None:
    """``log`` never awaits: tasks interleave at their own await points."""

    async def work(t: int, logger: EventLogger) -> None:
        for i in range(100):
            logger.log(health(t * 1000 + i))
            await asyncio.sleep(0)

    async def together(logger: EventLogger) -> None:
        await asyncio.gather(*(work(t, logger) for t in range(10)))

    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        asyncio.run(together(logger))

    assert Lake(tmp_path).counts() == {"health": 1000}


def test_a_full_ring_waits_and_then_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a flusher ``log`` blocks for *wait_s*, then raises that this event was not accepted."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    with EventLogger(tmp_path, ring_bytes=1 << 18, wait_s=0.01) as logger:
        accepted, message = until_refused(logger, 0)

        assert "not accepted" in message
        assert logger.stats().accepted == accepted
        assert logger.stats().dropped == {}
        assert logger.stats().waits > 0


def test_kinds_that_may_drop_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They never wait, and every one of them is either accepted or counted."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    with EventLogger(tmp_path, ring_bytes=1 << 18, may_drop=frozenset({"health"})) as logger:
        for i in range(10_000):
            logger.log(health(i))
        stats = logger.stats()

        assert stats.dropped["health"] > 0
        assert stats.accepted + stats.dropped["health"] == 10_000
        assert stats.waits == 0


def test_a_producer_name_belongs_to_one_process(tmp_path: Path) -> None:
    """A second logger of the same name is refused; of another name it shares the journal."""
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger, EventLogger(tmp_path, "other", ring_bytes=SMALL) as other:
        with pytest.raises(StateError, match="another producer name"):
            EventLogger(tmp_path, ring_bytes=SMALL)
        logger.log(order(1))
        other.log(order(2))
    rows = Lake(tmp_path).sql("select producer, seq from events order by 1").to_pylist()

    assert rows == [{"producer": "main", "seq": 1}, {"producer": "other", "seq": 1}]


def test_after_a_fork_log_raises_in_the_child(tmp_path: Path) -> None:
    """Two processes must not append to one ring: the child's ``log`` raises, the parent's goes on."""
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        logger.log(order(1))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                logger.log(order(2))
                os.write(write, b"logged")
            except StateError:
                os.write(write, b"refused")
            os._exit(0)
        os.waitpid(child, 0)
        message = os.read(read, 20)
        os.close(read)
        os.close(write)
        logger.log(order(3))

    assert message == b"refused"
    assert Lake(tmp_path).counts() == {"order": 2}


def test_a_closed_logger_refuses_events(tmp_path: Path) -> None:
    """Nothing is accepted after ``close``, and closing twice is allowed."""
    logger = EventLogger(tmp_path, ring_bytes=SMALL)
    logger.close()
    logger.close()
    with pytest.raises(StateError, match="closed"):
        logger.log(order(1))

    assert Lake(tmp_path).counts() == {}


def test_numbers_go_on_in_the_next_process(tmp_path: Path) -> None:
    """A producer's events are numbered consecutively across processes."""
    for i in range(3):
        with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
            logger.log(order(i))

    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == [1, 2, 3]


def test_settings_are_checked(tmp_path: Path) -> None:
    """The error names the setting and its value."""
    for wrong in ({"ring_bytes": 10}, {"commit_ms": 0.0}, {"producer": "No Name"}):
        with pytest.raises(InputError, match=f"^{next(iter(wrong))} = "):
            EventLogger(tmp_path, **wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_newer_schema_reads_beside_the_older(tmp_path: Path) -> None:
    """Versions of a kind coexist; each event carries its own."""

    class First(Event, frozen=True, kw_only=True):
        a: int

    class Second(Event, frozen=True, kw_only=True):
        a: int
        b: str

    try:
        register_kind("test.versioned", First)
        with pytest.raises(InputError, match="higher version"):
            register_kind("test.versioned", Second)
        with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
            logger.log(First(trace_id="t", symbol="", ts_ns=1, a=1))
            register_kind("test.versioned", Second, version=2)
            logger.log(Second(trace_id="t", symbol="", ts_ns=2, a=2, b="new"))
        rows = Lake(tmp_path).sql("select schema, payload->>'$.a' as a, payload->>'$.b' as b from events order by seq")
    finally:
        BY_TYPE.pop(First, None)
        BY_TYPE.pop(Second, None)

    assert rows.to_pylist() == [{"schema": 1, "a": "1", "b": None}, {"schema": 2, "a": "2", "b": "new"}]


def test_a_full_disk_holds_up_and_loses_nothing(tmp_path: Path) -> None:
    """While the flusher cannot write, ``log`` finally refuses with the disk's error; afterwards all is durable."""
    logger = EventLogger(tmp_path, ring_bytes=1 << 18, wait_s=0.5)
    logger.log(order(0))
    logger.flush()
    no_limit = resource.prlimit(logger.flusher_pid(), resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    accepted, message = until_refused(logger, 1)
    errors = logger.stats().write_errors
    during = Lake(tmp_path).counts()
    resource.prlimit(logger.flusher_pid(), resource.RLIMIT_FSIZE, no_limit)
    logger.close()

    assert "the disk says" in message
    assert errors > 0
    assert during == {"order": accepted}
    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == list(range(1, accepted + 1))
    assert Lake(tmp_path).check() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system of 24 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system is for root")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)  # the logger's ring is mapped until it is collected


def test_a_disk_without_a_free_byte_loses_nothing(small_disk: Path) -> None:
    """Real ENOSPC, from the first segment on: events are accepted until the ring is full, all durable with space."""
    logger = EventLogger(small_disk / "journal", ring_bytes=1 << 18, wait_s=3.0, publish_s=0.1)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as handle:
        while handle.write(bytes(4096)):
            pass
    accepted, message = until_refused(logger, 0)
    waiting = logger.stats()
    during = Lake(small_disk / "journal").counts()
    filler.unlink()
    logger.flush()
    after = logger.stats()
    logger.close()

    assert os.strerror(errno.ENOSPC) in message
    assert (waiting.accepted, after.durable, after.dropped) == (accepted, accepted, {})
    assert waiting.write_errors > 0
    assert during == {"order": accepted}
    assert [seq for seq, _, _ in Lake(small_disk / "journal").lines()] == list(range(1, accepted + 1))
    assert Lake(small_disk / "journal").check() == []


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventLogger:
    """A logger whose test is the flusher."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    return EventLogger(tmp_path, ring_bytes=1 << 18, wait_s=0.005)


def test_a_refusal_at_the_rings_end_leaves_what_follows_whole(alone: EventLogger, tmp_path: Path) -> None:
    """Events of any length fill the ring again and again, refused at each end: all accepted events are read."""
    committer, chance = Committer(tmp_path, "main", publish_s=99.0), random.Random(1)
    accepted: list[bytes] = []
    for _ in range(60):
        with suppress(StateError):
            while True:
                line = b"%d" % len(accepted) + b"x" * chance.randrange(1, 20_000)
                alone.log_checked_line("note", 1, line)
                accepted.append(line)
        committer.step(0.0)
    committer.close()
    alone.close()

    assert len(accepted) > 500
    assert [payload for _, _, payload in Lake(tmp_path).lines()] == accepted


def test_an_interrupt_between_two_steps_leaves_what_follows_whole(alone: EventLogger, tmp_path: Path) -> None:
    """Ctrl-C after the payload was written and before the count: that event is dropped, the next one is complete."""

    def interrupt(_frame: object, happened: str, called: object) -> None:
        if happened == "c_return" and getattr(called, "__name__", "") == "write":
            raise KeyboardInterrupt

    alone.log_checked_line("note", 1, b'"first"')
    sys.setprofile(interrupt)
    with pytest.raises(KeyboardInterrupt):
        alone.log_checked_line("note", 1, b'"interrupted"')
    sys.setprofile(None)
    alone.log_checked_line("note", 1, b'"second"')
    alone.close()

    assert [payload for _, _, payload in Lake(tmp_path).lines()] == [b'"first"', b'"second"']


def test_events_without_a_json_form_do_not_block_publication(tmp_path: Path) -> None:
    """A key without a JSON form, put in behind the check: shown as bytes, and the events around it are published."""
    odd = order(2)
    force_setattr(odd, "facts", {"levels": {(1, 2): 3}})
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        for event in (order(1), odd, order(3)):
            logger.log(event)
        live = [payload for _, _, payload in Lake(tmp_path).lines()]
    kept = [payload for _, _, payload in Lake(tmp_path).lines()]

    assert live == kept
    assert [kept[0], kept[2]] == [msgspec.json.encode(order(1)), msgspec.json.encode(order(3))]
    assert msgspec.msgpack.decode(b64decode(msgspec.json.decode(kept[1])["not_json"])) == msgspec.to_builtins(odd)
    assert not list((tmp_path / "wal").glob("*.seg"))


def test_times_and_schemas_out_of_range_are_refused(alone: EventLogger, tmp_path: Path) -> None:
    """A time beyond 64 bits, a schema beyond a byte: the error has the value, and the next event is complete."""
    for ts_ns in (2**63, 1.5):
        with pytest.raises(InputError, match=f"ts_ns = {ts_ns}"):
            alone.log_line("note", ts_ns, b"{}")
        with pytest.raises(InputError, match=f"ts_ns = {ts_ns}"):
            alone.log(msgspec.structs.replace(order(1), ts_ns=ts_ns))
    with pytest.raises(InputError, match="schema = 256"):
        alone.log_line("note", 1, b"{}", schema=256)
    alone.log_line("note", 1, b"{}", schema=255)
    alone.close()

    assert Lake(tmp_path).sql("select schema, payload from events").to_pylist() == [{"schema": 255, "payload": "{}"}]


def test_a_kind_beyond_the_tables_room_is_refused_every_time(alone: EventLogger, tmp_path: Path) -> None:
    """No event is accepted under a number without a name."""
    names = [f"{number:060d}" for number in range(1000)]
    for name in names:
        with suppress(StateError):
            alone.log_line(name, 1, b"{}")
    before = Lake(tmp_path).counts()
    for name in names[-2:]:
        with pytest.raises(StateError, match="no room for another kind"):
            alone.log_line(name, 1, b"{}")
    alone.close()

    assert Lake(tmp_path).counts() == before
    assert not any(name.startswith("unknown") for name in before)


def test_threads_that_name_kinds_at_once_share_no_number(alone: EventLogger, tmp_path: Path) -> None:
    """One thread's new kind is complete before another thread reads the table."""
    inside, most = [0], [0]
    set_kinds = alone._ring.set_kinds

    def slowly(table: bytes) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.002)
        set_kinds(table)
        inside[0] -= 1

    alone._ring.set_kinds = slowly  # type: ignore[method-assign]
    threads = [
        threading.Thread(
            target=lambda t=t: [alone.log_checked_line(f"t{t}.{i}", 1, b"t%d.%d" % (t, i)) for i in range(10)]
        )
        for t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone.close()

    assert most == [1]
    assert Lake(tmp_path).sql("select count(*) as n from events where kind = payload").to_pylist() == [{"n": 40}]


def test_a_new_ring_goes_on_with_the_names_of_the_log(tmp_path: Path, alone: EventLogger) -> None:
    """After a restart of the machine a number keeps its kind."""
    alone.log_checked_line("aaa", 1, b"aaa")
    committer = Committer(tmp_path, "main", publish_s=99.0)
    committer.step(0.0)
    committer.close()
    alone._ring.words[WORD_BOOT] += 1
    alone.close()
    after = EventLogger(tmp_path, ring_bytes=1 << 18)
    after.log_checked_line("bbb", 1, b"bbb")
    committer = Committer(tmp_path, "main", publish_s=99.0)
    committer.step(0.0)
    committer.close()
    after.close()
    live = Lake(tmp_path).sql("select kind, payload from events order by seq").to_pylist()
    adopt(tmp_path)

    assert live == [{"kind": "aaa", "payload": "aaa"}, {"kind": "bbb", "payload": "bbb"}]
    assert Lake(tmp_path).sql("select kind, payload from events order by seq").to_pylist() == live


def test_a_fork_in_the_middle_of_a_log_refuses_in_the_child_and_keeps_no_name(tmp_path: Path) -> None:
    """Another thread was in ``log``: the child's call raises at once, adds no kind, and does not lock the producer."""
    logger = EventLogger(tmp_path, ring_bytes=SMALL)
    logger._token.pop()
    reader, writer = os.pipe()
    over, end = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        for call in (lambda: logger.log(order(1)), lambda: logger.log_line("of.the.child", 1, b"{}")):
            with suppress(StateError):
                call()
                os._exit(1)
        os.write(writer, b"refused")
        os.read(over, 1)
        os._exit(0)
    logger._token.append(None)
    os.close(writer)
    message = os.read(reader, 20)
    logger.log_line("of.the.parent", 1, b"{}")
    logger.close()
    EventLogger(tmp_path, ring_bytes=SMALL).close()
    os.write(end, b".")
    status = os.waitpid(child, 0)[1]
    for descriptor in (reader, over, end):
        os.close(descriptor)

    assert (message, status) == (b"refused", 0)
    assert Lake(tmp_path).counts() == {"of.the.parent": 1}


def test_a_struct_whose_first_keys_are_others_is_no_kind() -> None:
    """Readers find trace and symbol by their position."""

    class Tagged(Event, frozen=True, kw_only=True, tag=True):
        a: int

    with pytest.raises(InputError, match="Tagged is tagged"):
        register_kind("test.tagged", Tagged)


def test_a_change_of_folder_moves_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flusher started later writes where the first one did."""
    monkeypatch.chdir(tmp_path)
    with EventLogger("journal", ring_bytes=SMALL) as logger:
        assert logger.directory == tmp_path / "journal"


def test_a_clock_set_back_while_it_logs_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers give the order, not times; the queue's lag is never below nothing."""
    wall = [1_700_000_000_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0])
    with EventLogger(tmp_path, ring_bytes=1 << 20) as logger:
        for number in range(1, 101):
            wall[0] -= 3_600 * 10**9
            logger.log(order(number))
            assert logger.stats().lag_s >= 0.0
    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == list(range(1, 101))
    assert Lake(tmp_path).check() == []
