"""Recovery of an ended producer's log: where it ends, and which events of the ring are not in it."""

from __future__ import annotations

import os
from pathlib import Path

from quantum_trader.journal.manifest import read_manifest
from quantum_trader.journal.ring import RECORD_BYTES, Ring, RingCursor
from quantum_trader.journal.segments import BLOCK_BYTES, Block, Damage, read_segment, segments_of, sync_folder


def last_block(directory: Path, producer: str, damage: list[Damage] | None = None) -> Block | None:
    """The producer's last intact block with events."""
    return _last(segments_of(directory / "wal", producer), damage)[1]


def _last(paths: list[Path], damage: list[Damage] | None = None) -> tuple[Path | None, Block | None]:
    """The last intact block with events in *paths*, and its path."""
    for path in reversed(paths):
        found = None
        for block in read_segment(path, damage if damage is not None else []):
            if len(block.chunk.records):
                found = block
        if found is not None:
            return path, found
    return None, None


def last_number(directory: Path, producer: str) -> int:
    """Number of the producer's last durable event, 0 when it has none."""
    block = last_block(directory, producer)
    published = read_manifest(directory).producers.get(producer)
    return max(block.cursor.seq if block else 0, published.seq if published else 0)


def known_kinds(directory: Path, producer: str) -> dict[int, str]:
    """The kind numbers and names of the producer's log; a new ring continues with them."""
    names: dict[int, str] = {}
    for path in segments_of(directory / "wal", producer):
        for block in read_segment(path, []):
            names.update(block.kinds or {})
    return names


def drain_start(directory: Path, producer: str, ring: Ring) -> RingCursor:
    """Return the cursor from which *ring* is drained: after the last event of the ring that is in the log.

    A flusher killed during a write leaves half a block. When the log has all events that the ring counts as durable,
    the half block is cut off; else it is damage, and stays for the publication to report.
    """
    cursor, paths = ring.cursor(), segments_of(directory / "wal", producer)
    path, block = _last(paths)
    if block is None or path is None:
        published = read_manifest(directory).producers.get(producer)
        whole = cursor.seq == (published.seq if published else 0) and (cursor.count > 0 or cursor.seq == 0)
        for left in paths if whole else []:
            left.unlink()
        return cursor
    if block.ring_id != ring.ring_id or block.cursor.count < cursor.count:
        return cursor
    os.truncate(path, block.offset + BLOCK_BYTES + len(block.chunk.records) * RECORD_BYTES + len(block.chunk.payload))
    for later in paths[paths.index(path) + 1 :]:
        later.unlink()
    sync_folder(path.parent)
    return block.cursor
