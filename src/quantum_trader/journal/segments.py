"""Segments: the durable log of one producer, files of checksummed blocks, appended by its flusher alone.

A block is a head of 64 bytes (magic, body length, crc32 of the body, events, first number, then the ring's id, count
and position behind the block, crc32 of the head) and a body: records of 24 bytes, then the payloads. A block of
no events carries the table of kinds. Unreadable bytes are reported and left out; the blocks around them stay.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.private_files import open_private, read_private
from quantum_trader.journal.kinds import decode_table
from quantum_trader.journal.ring import RECORD, RECORD_BYTES, EventChunk, RingCursor

BLOCK_EVENTS: Final = 64
BLOCK_BYTES: Final = 64
_MAGIC: Final = b"QTJ1"
_HEAD: Final = struct.Struct("<4sIIIQQQQQI")
_CHECK: Final = struct.Struct("<I")
_NAME: Final = re.compile(r"(?P<producer>.+)-(?P<number>\d{10})\.seg")


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Unreadable bytes: their place, and the event numbers they held as far as the neighbouring blocks show."""

    path: str
    offset: int
    size: int
    reason: str
    producer: str = ""
    first_seq: int = 0  # 0: not known
    last_seq: int = 0


class Block(msgspec.Struct, frozen=True):
    """One intact block; *cursor* is the ring's position after it."""

    chunk: EventChunk
    cursor: RingCursor
    ring_id: int
    kinds: dict[int, str] | None
    offset: int


def segment_name(producer: str, number: int) -> str:
    """File name of a producer's segment."""
    return f"{producer}-{number:010d}.seg"


def segment_parts(path: Path) -> tuple[str, int] | None:
    """Producer and number of a segment's file name, None for another file."""
    match = _NAME.fullmatch(path.name)
    return (match["producer"], int(match["number"])) if match else None


def segments_of(directory: Path, producer: str | None = None) -> list[Path]:
    """Segments in *directory* in order, of one producer or all."""
    found = [(parts, path) for path in directory.glob("*.seg") if (parts := segment_parts(path))]
    return [path for parts, path in sorted(found) if producer in (None, parts[0])]


def _pack(body: bytes, events: int, first_seq: int, ring_id: int, cursor: RingCursor) -> bytes:
    head = _HEAD.pack(
        _MAGIC, len(body), zlib.crc32(body), events, first_seq, ring_id, cursor.count, cursor.position, cursor.seq, 0
    )[:-4]
    return head + _CHECK.pack(zlib.crc32(head)) + bytes(BLOCK_BYTES - len(head) - 4)


def encode_kinds(table: bytes, ring_id: int, cursor: RingCursor) -> bytes:
    """A block that carries the table of kinds."""
    return _pack(table, 0, 0, ring_id, cursor) + table


def encode_chunk(chunk: EventChunk, start: RingCursor, ring_id: int) -> list[bytes]:
    """Return the encoded blocks of *chunk*, which begins at *start*."""
    lengths = (chunk.records["word"] & 0xFFFFFFFF).astype(np.int64)
    ends = np.cumsum(lengths)
    records, payload = chunk.records.tobytes(), chunk.payload
    out: list[bytes] = []
    total, begin = len(lengths), 0
    for first in range(0, total, BLOCK_EVENTS):
        last = min(first + BLOCK_EVENTS, total)
        end = int(ends[last - 1])
        body = records[first * RECORD_BYTES : last * RECORD_BYTES] + bytes(payload[begin:end])
        cursor = RingCursor(start.count + last, start.position + end, chunk.first_seq + last - 1)
        out += (_pack(body, last - first, chunk.first_seq + first, ring_id, cursor), body)
        begin = end
    return out


class SegmentWriter:
    """Appends blocks to one new segment; ``commit`` makes them durable, or raises OSError without a change."""

    def __init__(self, path: Path, reserve: int) -> None:
        self.path = path
        self.size = 0
        self.first_seq = 0
        self._descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            os.posix_fallocate(self._descriptor, 0, reserve)
            os.fsync(self._descriptor)
            sync_folder(path.parent)
        except OSError:
            self.discard()
            raise

    def commit(self, blocks: list[bytes]) -> None:
        """Append *blocks* and wait until they are on disk."""
        at = self.size
        joined = b"".join(blocks)
        view = memoryview(joined)
        while view:
            written = os.pwrite(self._descriptor, view, at)
            at += written
            view = view[written:]
        os.fdatasync(self._descriptor)
        self.size = at

    def close(self) -> None:
        """Cut the unused reserved space and close; OSError leaves it open."""
        os.ftruncate(self._descriptor, self.size)
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def discard(self) -> None:
        """Close and remove the file."""
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make the directory entries of *path* durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_segment(path: Path, damage: list[Damage]) -> Iterator[Block]:
    """Intact blocks of *path* in order; unreadable bytes are appended to *damage*. A missing file is empty."""
    try:
        content = memoryview(read_private(path))
    except FileNotFoundError:
        return
    parts = segment_parts(path)
    producer = parts[0] if parts else ""
    at, last_seq, broken = 0, 0, -1
    while at + BLOCK_BYTES <= len(content):
        block = _block_at(content, at)
        if block is None:
            if broken < 0 and not any(content[at : at + BLOCK_BYTES]) and _find(content, at) < 0:
                return  # reserved and not written yet
            broken = at if broken < 0 else broken
            found = _find(content, at + 1)
            if found < 0:
                break
            at = found
            continue
        if broken >= 0:
            damage.append(_damage_between(path, producer, broken, at, last_seq, block.chunk.first_seq))
            broken = -1
        if len(block.chunk.records):
            last_seq = block.cursor.seq
        yield block
        at += BLOCK_BYTES + _HEAD.unpack_from(content, at)[1]
    if broken >= 0 or at < len(content):
        start = broken if broken >= 0 else at
        damage.append(_damage_between(path, producer, start, len(content), last_seq, 0))


def _damage_between(path: Path, producer: str, start: int, end: int, before: int, after: int) -> Damage:
    first = before + 1 if before else 0
    reason = "checksum does not match" if after else "cut short or checksum does not match at the end"
    return Damage(
        path=path.name, offset=start, size=end - start, reason=reason, producer=producer, first_seq=first,
        last_seq=after - 1 if after else 0,
    )


def _find(content: memoryview, at: int) -> int:
    whole = content.obj
    assert isinstance(whole, bytes)
    return whole.find(_MAGIC, at)


def _block_at(content: memoryview, at: int) -> Block | None:
    """The block at *at*, None when its head or body fails its checksum."""
    if at + BLOCK_BYTES > len(content):
        return None
    magic, length, check, events, first, ring_id, count, position, seq, head_check = _HEAD.unpack_from(content, at)
    if magic != _MAGIC or zlib.crc32(content[at : at + _HEAD.size - 4]) != head_check:
        return None
    body = content[at + BLOCK_BYTES : at + BLOCK_BYTES + length]
    if len(body) != length or zlib.crc32(body) != check:
        return None
    cursor = RingCursor(count, position, seq)
    records = np.frombuffer(body, RECORD, events)
    kinds = None if events else decode_table(bytes(body))
    payload = body[events * RECORD_BYTES :] if events else b""
    return Block(EventChunk(records, payload, first), cursor, ring_id, kinds, at)
