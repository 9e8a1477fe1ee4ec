"""The ring: published events are complete, in order, and survive their producer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal import event_logger
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.flusher import Committer
from quantum_trader.journal.kinds import Event
from quantum_trader.journal.ring import WORD_TABLE, Ring, RingCursor, create_ring


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers without a flusher process: the test drains."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)


def payloads(ring: Ring, start: RingCursor) -> tuple[list[bytes], RingCursor]:
    """Payloads after *start*, checked to be numbered without a gap."""
    chunks, end = ring.take(start)
    out, seq = [], start.seq
    for chunk, _ in chunks:
        assert chunk.first_seq == seq + 1
        begin = 0
        for word in chunk.records["word"].tolist():
            out.append(bytes(chunk.payload[begin : begin + (word & 0xFFFFFFFF)]))
            begin += word & 0xFFFFFFFF
        seq += len(chunk.records)
    return out, end


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 60_000), min_size=1, max_size=120), every=st.integers(1, 20))
def test_what_goes_in_comes_out_in_order_over_many_rounds(
    tmp_path_factory: pytest.TempPathFactory, alone: None, sizes: list[int], every: int
) -> None:
    """Payloads of any length, drained at any moment, around the end of the areas: the same bytes, numbered 1.."""
    logger = EventLogger(tmp_path_factory.mktemp("ring"), ring_bytes=1 << 18, may_drop=frozenset({"x"}))
    ring, cursor, found, given_in = logger._ring, RingCursor(0, 0, 0), [], []
    for number, size in enumerate(sizes):
        payload = bytes([number % 251]) * min(size, ring.payload_bytes // 4)
        before = logger.stats().dropped.get("x", 0)
        logger.log_checked_line("x", number, payload)
        if logger.stats().dropped.get("x", 0) == before:
            given_in.append(payload)
        if number % every == 0:
            out, cursor = payloads(ring, cursor)
            ring.set_cursor(cursor)
            found += out
    found += payloads(ring, cursor)[0]
    logger.close()

    assert found == given_in


def test_an_event_larger_than_a_quarter_of_the_ring_is_refused(tmp_path: Path, alone: None) -> None:
    """The error names the size, and the logger continues."""
    with EventLogger(tmp_path, ring_bytes=1 << 18) as logger:
        with pytest.raises(InputError, match="100000 bytes"):
            logger.log_checked_line("x", 1, b"x" * 100_000)
        logger.log_checked_line("x", 1, b"{}")

        assert logger.stats().accepted == 1


def test_a_half_written_event_is_not_there(tmp_path: Path, alone: None) -> None:
    """Record and payload without the count, as a kill leaves them, are no event; the next one takes their place."""
    logger = EventLogger(tmp_path, ring_bytes=1 << 18)
    logger.log_checked_line("x", 1, b"first")
    ring = logger._ring
    ring.map.write(b"half an ev")
    os.close(logger._lock)
    again = EventLogger(tmp_path, ring_bytes=1 << 18)
    again.log_checked_line("x", 2, b"second")

    assert payloads(again._ring, RingCursor(0, 0, 0))[0] == [b"first", b"second"]
    again.close()


def test_a_ring_from_before_a_restart_of_the_machine_is_not_trusted(tmp_path: Path, alone: None) -> None:
    """After a power cut its pages may be of any age: numbers go on behind what is durable."""
    logger = EventLogger(tmp_path, ring_bytes=1 << 18)
    logger.log_checked_line("x", 1, b"durable")
    committer = Committer(tmp_path, "main", publish_s=99.0)
    committer.step(0.0)
    committer.close()
    logger.log_checked_line("x", 2, b"lost with the power")
    logger._ring.words[4] += 1
    os.close(logger._lock)
    again = EventLogger(tmp_path, ring_bytes=1 << 18)
    again.log_checked_line("x", 3, b"after")

    assert again.stats().durable == 1
    assert payloads(again._ring, again._ring.cursor())[0] == [b"after"]
    again.close()


def test_a_file_that_is_no_ring_is_refused(tmp_path: Path) -> None:
    """It raises before anything is read."""
    path = tmp_path / "main.ring"
    path.write_bytes(bytes(1 << 18))
    with pytest.raises(StateError, match="not a journal ring"):
        Ring(path, writable=False)
    create_ring(path, 1 << 18, 7)
    ring = Ring(path, writable=False)

    assert ring.cursor() == RingCursor(0, 0, 7)
    ring.close()


def test_only_registered_structs_are_logged(tmp_path: Path, alone: None) -> None:
    """Another struct is refused and nothing is written."""

    class Unknown(Event, frozen=True, kw_only=True):
        pass

    with EventLogger(tmp_path, ring_bytes=1 << 18) as logger:
        with pytest.raises(InputError, match="register_kind"):
            logger.log(Unknown(trace_id="t", symbol="", ts_ns=1))

        assert logger.stats().accepted == 0


@pytest.mark.parametrize("restart", [False, True])
def test_an_event_that_ends_exactly_where_the_area_ends(tmp_path: Path, alone: None, restart: bool) -> None:
    """The next one starts at the beginning of the area, also in the next process; both are read as written."""
    logger = EventLogger(tmp_path, ring_bytes=1 << 18)
    ring, cursor = logger._ring, RingCursor(0, 0, 0)
    quarter = ring.payload_bytes // 4
    sizes = [quarter, quarter, quarter, ring.payload_bytes - 3 * quarter - 7, 7]
    for size in sizes:
        logger.log_checked_line("x", 1, b"a" * size)
    found, cursor = payloads(ring, cursor)
    logger.log_checked_line("x", 1, b"")
    ring.set_cursor(cursor)
    if restart:
        os.close(logger._lock)
        logger = EventLogger(tmp_path, ring_bytes=1 << 18)
    logger.log_checked_line("x", 1, b"b" * 100)
    found += payloads(logger._ring, cursor)[0]
    logger.close()

    assert found == [*(b"a" * size for size in sizes), b"", b"b" * 100]


def test_the_table_of_kinds_is_never_half_there(tmp_path: Path) -> None:
    """A new table is written beside the one in force, which stays readable until then."""
    path = tmp_path / "main.ring"
    create_ring(path, 1 << 18, 0)
    ring = Ring(path, writable=True)
    ring.set_kinds(b'{"1":"first"}')
    in_force = ring.words[WORD_TABLE]
    ring.set_kinds(b'{"1":"first","2":"second"}')
    now = ring.words[WORD_TABLE]
    ring.words[WORD_TABLE] = in_force
    before = ring.kinds()
    ring.words[WORD_TABLE] = now

    assert before == {1: "first"}
    assert ring.kinds() == {1: "first", 2: "second"}
    ring.close()
