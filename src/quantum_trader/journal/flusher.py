"""The flusher: one process per producer that makes events durable, then publishes them.

Two threads share it. The committer drains the ring into the segment and waits for the disk, every few milliseconds;
the publisher turns finished segments into Parquet. The flusher of an ended producer finishes its work and ends; it
also adopts events that other ended producers left in the same journal.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import gc
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from quantum_trader.domain.errors import QuantumTraderError, StateError
from quantum_trader.domain.private_files import make_private_folder, open_private
from quantum_trader.journal.recovery import drain_start
from quantum_trader.journal.ring import (
    DISK_REFUSED,
    WORD_BEAT,
    WORD_BOOT,
    WORD_CLOSED,
    WORD_ERRNO,
    WORD_ERRORS,
    WORD_FLUSHER,
    WORD_HEAD,
    Ring,
    boot_id,
)
from quantum_trader.journal.segments import (
    SegmentWriter,
    encode_chunk,
    encode_kinds,
    segment_name,
    segment_parts,
    segments_of,
)

SEGMENT_BYTES: Final = 32 << 20
BACKLOG: Final = 4  # finished segments that may be pending before the committer waits
TAKE_EVENTS: Final = 1 << 15
RETRY_S: Final = 0.05
GIVE_UP_S: Final = 2.0  # a flusher whose producer ended waits this long for a disk that refuses
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
MOST_SEGMENTS: Final = 4  # most segments of one publication


class Committer:
    """Drains one ring into segments. Not thread-safe; one per ring, which the flusher's lock guards."""

    def __init__(self, directory: Path, producer: str, *, publish_s: float, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory, self.producer = directory, producer
        self.ring = Ring(directory / "rings" / f"{producer}.ring", writable=True)
        self.wal = directory / "wal"
        make_private_folder(self.wal)
        self._cursor = drain_start(directory, producer, self.ring) if self.of_this_boot else self.ring.cursor()
        self.finished: list[Path] = segments_of(self.wal, producer)
        self._publish_s, self._segment_bytes = publish_s, segment_bytes
        parts = segment_parts(self.finished[-1]) if self.finished else None
        self._number = parts[1] if parts else 0
        self._writer: SegmentWriter | None = None
        self._kinds = b""
        self._opened = 0.0
        self.ring.set_cursor(self._cursor)
        self.ring.words[WORD_FLUSHER] = os.getpid()

    @property
    def of_this_boot(self) -> bool:
        """Whether the ring is of this start of the machine; of an older ring only the log counts."""
        return bool(self.ring.words[WORD_BOOT] == boot_id())

    @property
    def drained(self) -> bool:
        """Whether every event of the ring is durable."""
        return bool(self._cursor.count >= self.ring.words[WORD_HEAD])

    def step(self, now_s: float) -> int:
        """Make the ring's events durable; returns the number of records. OSError leaves the state unchanged."""
        self.ring.words[WORD_BEAT] += 1
        if self._writer is not None and now_s - self._opened > self._publish_s:
            self.rotate()
        chunks, end = self.ring.take(self._cursor, TAKE_EVENTS)
        if end == self._cursor:
            return 0
        if chunks:
            blocks = [piece for chunk, start in chunks for piece in encode_chunk(chunk, start, self.ring.ring_id)]
            writer = self._open(now_s, sum(map(len, blocks)))
            table = self.ring.raw_kinds()
            if writer.size == 0 or table != self._kinds:
                blocks.insert(0, encode_kinds(table, self.ring.ring_id, self._cursor))
            writer.commit(blocks)
            self._kinds = table
        moved, self._cursor = end.count - self._cursor.count, end
        self.ring.set_cursor(end)
        self.ring.words[WORD_ERRNO] = 0
        if self._writer is not None and self._writer.size >= self._segment_bytes:
            self.rotate()
        return moved

    def _open(self, now_s: float, size: int) -> SegmentWriter:
        if self._writer is None:
            path = self.wal / segment_name(self.producer, self._number + 1)
            self._writer = SegmentWriter(path, max(self._segment_bytes // 8, size))
            self._number += 1
            self._opened = now_s
        return self._writer

    def rotate(self) -> None:
        """Finish the segment for the publisher."""
        if self._writer is not None:
            self._writer.close()
            self.finished.append(self._writer.path)
            self._writer = None

    def failed(self, error: OSError) -> None:
        """Write the error into the ring's head, for readers of its state."""
        self.ring.words[WORD_ERRORS] += 1
        self.ring.words[WORD_ERRNO] = error.errno or errno.EIO

    def close(self) -> None:
        """Unmap the ring."""
        self.rotate()
        self.ring.close()


class Flusher:
    """The two threads around a committer."""

    def __init__(self, directory: Path, producer: str, *, commit_ms: float, publish_s: float, parent: int) -> None:
        self.directory, self.producer, self.parent = directory, producer, parent
        self.commit_s = commit_ms / 1000.0
        self.committer = Committer(directory, producer, publish_s=publish_s)
        self.ready: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self.failure: BaseException | None = None
        self.committed = threading.Event()  # nothing more comes from the committer

    def run(self) -> None:
        """Work until the producer closed or died and everything is published.

        Raises OSError when the disk refused until the end; the events then wait in the ring's file for the next start.
        """
        publisher = threading.Thread(target=self._publish, name="publish")
        publisher.start()
        try:
            self._commit()
        finally:
            self.committed.set()
            self._hand_over()
            self.ready.put(None)
            publisher.join()
        if self.failure is not None:
            raise self.failure
        adopt(self.directory)

    @property
    def _over(self) -> bool:
        """Whether the producer closed or died."""
        return bool(self.committer.ring.words[WORD_CLOSED]) or os.getppid() != self.parent

    def _commit(self) -> None:
        committer = self.committer
        refused_s = 0.0  # how long the disk has refused since the producer ended
        while True:
            over = self._over  # read before the ring
            try:
                moved = committer.step(time.monotonic())
                refused_s = 0.0
                if over and committer.drained:
                    committer.close()
                    return
            except OSError as error:
                committer.failed(error)
                refused_s += RETRY_S if over else 0.0
                if refused_s >= GIVE_UP_S:
                    raise
                time.sleep(RETRY_S)
                continue
            self._hand_over()
            while self.ready.qsize() > BACKLOG and self.failure is None and not self._over:
                time.sleep(self.commit_s)
            if self.failure is not None:
                raise self.failure
            if moved < TAKE_EVENTS:
                time.sleep(self.commit_s)

    def _hand_over(self) -> None:
        while self.committer.finished:
            self.ready.put(self.committer.finished.pop(0))

    def _publish(self) -> None:
        ended = False
        try:
            with suppress(OSError, QuantumTraderError):  # retried, with an error, when this producer ends
                adopt(self.directory)
            ended = self._publish_all()
        finally:
            if not ended and self.failure is None:
                self.failure = StateError(f"{self.directory}: publishing failed, the log keeps what is durable")

    def _publish_all(self) -> bool:
        """Publish the finished segments until the end; False when it gave up."""
        from quantum_trader.journal.publish import publish_segments

        ended = False
        while not ended:
            paths: list[Path] = []
            while len(paths) < MOST_SEGMENTS and not ended:
                if paths and self.ready.empty():
                    break
                path = self.ready.get()
                ended = path is None
                paths += [path] if path is not None else []
            while paths:
                try:
                    publish_segments(self.directory, paths)
                    break
                except OSError:  # a full disk: durable events stay in the log, which readers read too
                    if ended or self.committed.is_set():
                        return True
                    self.committed.wait(1.0)
                except QuantumTraderError as error:
                    self.failure = error
                    return False
        return True


def lock(directory: Path, producer: str) -> int | None:
    """Lock *producer* for this flusher; None when another holds the lock."""
    path = directory / "rings" / f"{producer}.flusher"
    make_private_folder(path.parent)
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def adopt(directory: Path) -> list[str]:
    """Make the events of ended producers in *directory* durable and publish them; returns their names."""
    from quantum_trader.journal.publish import publish_segments

    names = {path.stem for path in (directory / "rings").glob("*.ring")}
    names |= {parts[0] for path in segments_of(directory / "wal") if (parts := segment_parts(path))}
    adopted = []
    for name in sorted(names):
        held = lock(directory, name)
        if held is None:
            continue
        try:
            if (directory / "rings" / f"{name}.ring").exists():
                committer = Committer(directory, name, publish_s=0.0)
                wanted = committer.ring.words[WORD_HEAD]  # more events may follow: the logger may wait for the lock
                while committer.of_this_boot and committer.ring.cursor().count < wanted and committer.step(0.0):
                    pass
                committer.close()
            paths = segments_of(directory / "wal", name)
            if paths:
                publish_segments(directory, paths)
                adopted.append(name)
        finally:
            os.close(held)
    return adopted


def _keep_memory() -> None:
    """Make the allocator keep large blocks, which the flusher reuses within milliseconds."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library: slower, but correct
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    mallopt(_M_ARENA_MAX, 1)  # other arenas hold no large blocks


def main() -> int:
    """Run the flusher of one producer, as its logger starts it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--producer", required=True)
    parser.add_argument("--commit-ms", type=float, default=5.0)
    parser.add_argument("--publish-s", type=float, default=30.0)
    parser.add_argument("--parent", type=int, default=0)
    given = parser.parse_args()
    _keep_memory()
    gc.disable()  # no code here makes reference cycles, and a batch has a hundred thousand objects
    sys.setswitchinterval(0.0005)  # the committer must not wait for the publisher
    try:
        while lock(given.directory, given.producer) is None:  # an earlier flusher of this producer finishes its work
            if os.getppid() != given.parent:
                return 0
            time.sleep(RETRY_S)
        Flusher(
            given.directory, given.producer, commit_ms=given.commit_ms, publish_s=given.publish_s, parent=given.parent,
        ).run()
    except OSError:
        return DISK_REFUSED
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
