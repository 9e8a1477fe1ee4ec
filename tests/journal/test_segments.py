"""Segments: every block is checked, damaged blocks are reported and the others are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantum_trader.journal.ring import RECORD, EventChunk, RingCursor
from quantum_trader.journal.segments import (
    BLOCK_EVENTS,
    Damage,
    SegmentWriter,
    encode_chunk,
    encode_kinds,
    read_segment,
    segments_of,
)

EVENTS = 1000


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """A segment of a thousand events."""
    records = np.zeros(EVENTS, RECORD)
    records["word"] = 10 | 7 << 32
    records["ts_ns"] = np.arange(EVENTS)
    chunk = EventChunk(records, b"".join(b"%010d" % i for i in range(EVENTS)), 1)
    writer = SegmentWriter(tmp_path / "main-0000000001.seg", 1 << 20)
    writer.commit([encode_kinds(b'{"7":"note"}', 1, RingCursor(0, 0, 0)), *encode_chunk(chunk, RingCursor(0, 0, 0), 1)])
    writer.close()
    return writer.path


def numbers(path: Path, damage: list[Damage]) -> list[int]:
    """Numbers of the events that can be read."""
    return [
        block.chunk.first_seq + i for block in read_segment(path, damage) for i in range(len(block.chunk.records))
    ]


def test_reads_back_what_was_written(segment: Path) -> None:
    """Every event, every payload, no damage."""
    damage: list[Damage] = []
    payload = b"".join(bytes(block.chunk.payload) for block in read_segment(segment, damage))

    assert numbers(segment, damage) == list(range(1, EVENTS + 1))
    assert payload == b"".join(b"%010d" % i for i in range(EVENTS))
    assert damage == []


def test_a_flipped_byte_costs_its_block_and_is_named(segment: Path) -> None:
    """At any place: at most one block is missing, its events are named, all others are read."""
    content = segment.read_bytes()
    for at in range(200, len(content), 611):
        segment.write_bytes(content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :])
        damage: list[Damage] = []
        read = numbers(segment, damage)
        missing = sorted(set(range(1, EVENTS + 1)) - set(read))

        assert len(missing) <= BLOCK_EVENTS
        assert len(damage) == (1 if missing else 0)
        if missing and missing[-1] < EVENTS and missing[0] > 1:
            assert (damage[0].first_seq, damage[0].last_seq) == (missing[0], missing[-1])


def test_a_segment_cut_anywhere_keeps_what_is_before_the_cut(segment: Path) -> None:
    """The rest is reported as damage."""
    content = segment.read_bytes()
    for size in range(200, len(content), 997):
        segment.write_bytes(content[:size])
        damage: list[Damage] = []
        read = numbers(segment, damage)

        assert read == list(range(1, len(read) + 1))
        assert len(damage) <= 1
        assert damage or read == list(range(1, EVENTS + 1)) or _on_a_border(content, size)


def _on_a_border(content: bytes, size: int) -> bool:
    return content[size : size + 4] == b"QTJ1"


def test_reserved_space_is_not_damage(segment: Path) -> None:
    """Zeros after the last block are reserved space, as a killed flusher leaves it."""
    segment.write_bytes(segment.read_bytes() + bytes(5000))
    damage: list[Damage] = []

    assert len(numbers(segment, damage)) == EVENTS
    assert damage == []


def test_segments_are_listed_in_order(tmp_path: Path) -> None:
    """By producer and number; other files are none of them."""
    for name in ("b-0000000001.seg", "a-0000000002.seg", "a-0000000001.seg", "a.seg", "notes.txt"):
        (tmp_path / name).touch()

    assert [path.name for path in segments_of(tmp_path)] == ["a-0000000001.seg", "a-0000000002.seg", "b-0000000001.seg"]
    assert [path.name for path in segments_of(tmp_path, "b")] == ["b-0000000001.seg"]
