"""What the next process needs to know of what an earlier one left: where its log ends, and what is still unread."""

from __future__ import annotations

from pathlib import Path

from quantum_trader.journal.manifest import read_manifest
from quantum_trader.journal.ring import Cursor
from quantum_trader.journal.segments import Block, Damage, read_segment, segments_of


def last_block(directory: Path, producer: str, damage: list[Damage] | None = None) -> Block | None:
    """The producer's last intact block with events."""
    for path in reversed(segments_of(directory / "wal", producer)):
        found = None
        for block in read_segment(path, damage if damage is not None else []):
            if len(block.chunk.records):
                found = block
        if found is not None:
            return found
    return None


def last_number(directory: Path, producer: str) -> int:
    """Number of the producer's last durable event, 0 when it has none."""
    block = last_block(directory, producer)
    published = read_manifest(directory).producers.get(producer)
    return max(block.cursor.seq if block else 0, published.seq if published else 0)


def resume_point(directory: Path, producer: str, ring_id: int, ring_cursor: Cursor) -> Cursor:
    """Where draining a ring goes on: behind everything of this ring that the log has, seen or not by the ring."""
    block = last_block(directory, producer)
    if block is not None and block.ring_id == ring_id and block.cursor.count > ring_cursor.count:
        return block.cursor
    return ring_cursor
