"""The ring: a memory-mapped file into which a producer appends, and which survives the producer.

Layout: 64 KiB head (64-bit words, then two places for the table of kinds) | fixed records of 24 bytes | payload bytes.
A record is (length | kind << 32 | schema << 48 | flags << 56, time happened, time received). The word HEAD counts the
complete records: it is stored after the record and its payload, so a killed producer leaves no half event. Counts and
payload positions are logical and only grow; a record of kind 0 marks skipped bytes at the end of the area (possibly
none): the events before and after it are not contiguous.
"""

from __future__ import annotations

import mmap
import os
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import open_private, open_to_read, why_unwritable
from quantum_trader.journal.kinds import decode_table

MAGIC: Final = int.from_bytes(b"QTRING01", "little")
HEAD_BYTES: Final = 65536
TABLE_AT: Final = 4096
TABLE_BYTES: Final = (HEAD_BYTES - TABLE_AT) // 2
RECORD: Final = np.dtype([("word", "<u8"), ("ts_ns", "<i8"), ("received_ns", "<i8")])
RECORD_BYTES: Final = 24
JSON_FLAG: Final = 1
DISK_REFUSED: Final = 3  # exit code of a flusher whose disk refused until the end; its events wait in the ring's file
EVENT_GUESS: Final = 256  # expected payload bytes of an event, which sets the sizes of the two areas

# words of the head
WORD_MAGIC, WORD_SLOTS, WORD_PAYLOAD, WORD_ID, WORD_BOOT = 0, 1, 2, 3, 4
WORD_HEAD, WORD_CLOSED, WORD_PRODUCER, WORD_DROPPED = 8, 9, 10, 11
WORD_VERSION, WORD_CURSORS = 16, 17  # two copies of (count, position, seq, unused)
WORD_FLUSHER, WORD_ERRORS, WORD_ERRNO, WORD_BEAT, WORD_STARTS = 26, 27, 28, 29, 30
WORD_TABLE = 40  # length of the table of kinds | which of its two places << 32

Words = Any  # memoryview of 64-bit words


class RingCursor(msgspec.Struct, frozen=True):
    """The durable position: records and payload bytes of this ring, and the last event's number."""

    count: int
    position: int
    seq: int


class EventChunk(msgspec.Struct, frozen=True):
    """Events taken from a ring or a segment: records, their payload bytes one after another, the first number."""

    records: npt.NDArray[Any]
    payload: bytes | memoryview
    first_seq: int


def boot_id() -> int:
    """A number for this start of the machine; the content of a ring from an earlier start is not reliable."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return 1
    return int(text.strip().replace("-", "")[:15], 16)


class Ring:
    """A mapped ring file. One process appends, one flusher drains, any number read."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        descriptor = open_private(path, os.O_RDWR) if writable else open_to_read(path)
        try:
            size = os.fstat(descriptor).st_size
            if size < HEAD_BYTES:
                raise StateError(f"{path}: is not a journal ring; move it away")
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self.map = mmap.mmap(descriptor, size, access=access)
        finally:
            os.close(descriptor)
        self.words: Words = memoryview(self.map)[:TABLE_AT].cast("Q")
        self.slots = self.words[WORD_SLOTS]
        self.payload_bytes = self.words[WORD_PAYLOAD]
        self.payload_at = HEAD_BYTES + self.slots * RECORD_BYTES
        if self.words[WORD_MAGIC] != MAGIC or self.payload_at + self.payload_bytes > size:
            self.close()
            raise StateError(f"{path}: is not a journal ring; move it away")

    def close(self) -> None:
        """Unmap the file."""
        self.words.release()
        self.map.close()

    @property
    def ring_id(self) -> int:
        """Id of this ring; positions of a ring with another id are not valid here."""
        return int(self.words[WORD_ID])

    def cursor(self) -> RingCursor:
        """The durable position. Two copies alternate, so that a killed flusher leaves no half-written one."""
        words = self.words
        while True:
            version = words[WORD_VERSION]
            at = WORD_CURSORS + 4 * (version & 1)
            found = RingCursor(words[at], words[at + 1], words[at + 2])
            if words[WORD_VERSION] == version:
                return found

    def set_cursor(self, cursor: RingCursor) -> None:
        """Publish the durable position."""
        words = self.words
        at = WORD_CURSORS + 4 * ((words[WORD_VERSION] + 1) & 1)
        words[at], words[at + 1], words[at + 2] = cursor.count, cursor.position, cursor.seq
        words[WORD_VERSION] += 1

    def kinds(self) -> dict[int, str]:
        """The producer's table of kinds."""
        return decode_table(self.raw_kinds())

    def raw_kinds(self) -> bytes:
        """The table of kinds in force. Two places alternate, so that no reader gets half a table."""
        while True:
            word = self.words[WORD_TABLE]
            at = TABLE_AT + (word >> 32 & 1) * TABLE_BYTES
            found = bytes(self.map[at : at + min(word & 0xFFFFFFFF, TABLE_BYTES)])
            if self.words[WORD_TABLE] == word:
                return found

    def set_kinds(self, table: bytes) -> None:
        """Replace the table of kinds; a table only grows."""
        if len(table) > TABLE_BYTES:
            raise StateError(f"{self.path}: has no room for another kind; use fewer names")
        place = (self.words[WORD_TABLE] >> 32 & 1) ^ 1
        at = TABLE_AT + place * TABLE_BYTES
        self.map[at : at + len(table)] = table
        self.words[WORD_TABLE] = place << 32 | len(table)

    def records(self, start: int, stop: int) -> npt.NDArray[Any]:
        """A copy of the records from *start* to *stop*, logical."""
        area: npt.NDArray[Any] = np.frombuffer(self.map, RECORD, self.slots, HEAD_BYTES)
        first, count = start % self.slots, stop - start
        if first + count <= self.slots:
            return area[first : first + count].copy()
        return np.concatenate([area[first:], area[: first + count - self.slots]])

    def take(self, start: RingCursor, most: int = 1 << 17) -> tuple[list[tuple[EventChunk, RingCursor]], RingCursor]:
        """Events after *start*, at most *most* records: chunks, each with its start, and the cursor after the last.

        StateError where the ring is inconsistent (damaged) or has overwritten *start*.
        """
        head = min(self.words[WORD_HEAD], start.count + most)
        if self.words[WORD_HEAD] - start.count > self.slots:
            raise StateError(f"{self.path}: damaged (counts more records than it has); move it away")
        if head <= start.count:
            return [], start
        records = self.records(start.count, head)
        lengths = (records["word"] & 0xFFFFFFFF).astype(np.int64)
        ends = np.cumsum(lengths)
        pads = np.flatnonzero((records["word"] >> np.uint64(32)) & np.uint64(0xFFFF) == 0)
        chunks: list[tuple[EventChunk, RingCursor]] = []
        first, seq, base = 0, start.seq, 0
        for stop in [*pads.tolist(), len(records)]:
            if stop > first:
                size = int(ends[stop - 1]) - base
                at = self.payload_at + (start.position + base) % self.payload_bytes
                chunk = EventChunk(records[first:stop], bytes(self.map[at : at + size]), seq + 1)
                if len(chunk.payload) != size:
                    raise StateError(f"{self.path}: damaged (an event reaches beyond its area); move it away")
                chunks.append((chunk, RingCursor(start.count + first, start.position + base, seq)))
                seq += stop - first
            if stop < len(records):
                base = int(ends[stop])
            first = stop + 1
        return chunks, RingCursor(head, start.position + int(ends[-1]), seq)

    def tail(self) -> tuple[list[EventChunk], int]:
        """Return the events that are not durable yet, and the number of the last durable one (all earlier are too)."""
        wanted = self.words[WORD_HEAD]
        while True:
            start = self.cursor()
            if start.count >= wanted:
                return [], start.seq
            try:
                chunks, _ = self.take(start, self.slots)
            except StateError:
                if self.cursor().count == start.count:
                    raise
                continue
            if self.cursor().count == start.count:  # no space was freed, so no event was overwritten
                return [chunk for chunk, _ in chunks], start.seq


def create_ring(path: Path, ring_bytes: int, seq: int, *, spare: int = 0) -> None:
    """Make an empty ring whose next event gets number *seq* + 1; its disk space is reserved at once.

    StateError, and nothing is left behind, when the disk has no room for it and *spare* bytes besides.
    """
    slots = max(1024, (ring_bytes - HEAD_BYTES) // (RECORD_BYTES + EVENT_GUESS))
    payload = max(1 << 16, ring_bytes - HEAD_BYTES - slots * RECORD_BYTES)
    size = HEAD_BYTES + slots * RECORD_BYTES + payload
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = open_private(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        os.posix_fallocate(descriptor, 0, size + spare)  # a full disk fails here, not by a signal during a store
        os.ftruncate(descriptor, size)
        with mmap.mmap(descriptor, size) as area:
            for page in range(0, size, mmap.PAGESIZE):
                area[page] = 0
            with memoryview(area)[:TABLE_AT].cast("Q") as words:
                words[WORD_SLOTS], words[WORD_PAYLOAD] = slots, payload
                words[WORD_ID], words[WORD_BOOT] = secrets.randbits(62) | 1, boot_id()
                words[WORD_CURSORS + 2] = seq
                words[WORD_MAGIC] = MAGIC
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StateError(
            f"{path}: cannot be made: the journal needs {size + spare >> 20} MiB ({why_unwritable(path, error)}); "
            "nothing was recorded. Free space there, or choose a folder on another disk"
        ) from error
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
