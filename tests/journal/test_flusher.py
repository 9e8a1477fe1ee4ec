"""The flusher: it resumes where the log ends, and nothing is written twice or lost."""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path
from typing import Any

import pytest
from tests.journal.producer import order

from quantum_trader.domain.errors import StateError
from quantum_trader.journal import event_logger
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.flusher import BACKLOG, Committer, Flusher, adopt
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.manifest import read_manifest
from quantum_trader.journal.publish import publish_segments
from quantum_trader.journal.ring import WORD_BOOT, RingCursor

SMALL = 1 << 20


@pytest.fixture
def logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventLogger:
    """A logger whose test is the flusher."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    return EventLogger(tmp_path, ring_bytes=SMALL)


def test_a_flusher_killed_before_its_cursor_update_writes_nothing_twice(tmp_path: Path, logger: EventLogger) -> None:
    """The log has more events than the ring's cursor: the next flusher continues after the log."""
    for number in range(1, 101):
        logger.log(order(number))
    first = Committer(tmp_path, "main", publish_s=99.0)
    first.step(0.0)
    first.close()
    logger._ring.set_cursor(RingCursor(0, 0, 0))
    for number in range(101, 151):
        logger.log(order(number))
    second = Committer(tmp_path, "main", publish_s=99.0)
    second.step(0.0)
    second.close()
    logger.close()
    read = [seq for seq, _, _ in Lake(tmp_path).lines()]

    assert read == list(range(1, 151))


def test_a_full_disk_is_reported_and_retried(
    tmp_path: Path, logger: EventLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every writing call: nothing is durable, nothing is lost, the retry succeeds."""
    committer = Committer(tmp_path, "main", publish_s=99.0)
    for name in ("posix_fallocate", "pwrite", "fdatasync"):
        logger.log(order(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full_disk)
            with pytest.raises(OSError, match="No space"):
                committer.step(0.0)
        assert not committer.drained
        assert committer.step(0.0) == 1
        committer.rotate()
    committer.close()
    logger.close()

    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == [1, 2, 3]
    assert Lake(tmp_path).check() == []


def full_disk(*_: Any) -> int:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("durable", [False, True])
def test_a_half_written_last_block_is_cut_off_or_reported(tmp_path: Path, logger: EventLogger, durable: bool) -> None:
    """A half-written block that was not yet durable is cut off and written again. A durable one is damage."""
    for number in range(1, 65):
        logger.log(order(number))
    first = Committer(tmp_path, "main", publish_s=99.0)
    first.step(0.0)
    first.close()
    path = first.finished[0]
    path.write_bytes(path.read_bytes()[:-100])
    if not durable:
        logger._ring.set_cursor(RingCursor(0, 0, 0))
    adopt(tmp_path)
    logger.close()
    damage = Lake(tmp_path).check()

    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == ([] if durable else list(range(1, 65)))
    assert [(found.path, found.size > 0) for found in damage] == ([(path.name, True)] if durable else [])


def test_half_a_block_behind_whole_ones_is_cut_off(tmp_path: Path, logger: EventLogger) -> None:
    """In a full segment and in a newly started one, as a killed flusher leaves them."""
    for number in range(1, 129):
        logger.log(order(number))
    first = Committer(tmp_path, "main", publish_s=99.0)
    first.step(0.0)
    first.close()
    path = first.finished[0]
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:500])
    path.with_name("main-0000000002.seg").write_bytes(whole[:300] + bytes(1000))
    logger.log(order(129))
    second = Committer(tmp_path, "main", publish_s=99.0)
    second.step(0.0)
    second.close()
    logger.close()

    assert path.read_bytes() == whole
    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == list(range(1, 130))
    assert Lake(tmp_path).check() == []


def test_a_ring_from_before_a_restart_of_the_machine_is_not_adopted(tmp_path: Path, logger: EventLogger) -> None:
    """Its pages may be outdated after a power cut: only events of the log are published."""
    logger.log(order(1))
    committer = Committer(tmp_path, "main", publish_s=99.0)
    committer.step(0.0)
    committer.close()
    logger.log(order(2))
    logger._ring.words[WORD_BOOT] += 1
    adopt(tmp_path)
    logger.close()

    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == [1]


def test_kinds_without_a_name_are_still_read(tmp_path: Path, logger: EventLogger) -> None:
    """A lost table of names loses only the names."""
    logger.log(order(1))
    logger._ring.set_kinds(b"{}")
    committer = Committer(tmp_path, "main", publish_s=99.0)
    committer.step(0.0)
    committer.close()
    logger.close()

    assert Lake(tmp_path).counts() == {"unknown-5": 1}
    assert len(list(Lake(tmp_path).lines())) == 1

def test_a_segment_that_cannot_be_finished_is_finished_later(
    tmp_path: Path, logger: EventLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is finished before later segments, which would otherwise be published first and hide it."""
    committer = Committer(tmp_path, "main", publish_s=1.0)
    logger.log(order(1))
    committer.step(0.0)
    for name in ("ftruncate", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full_disk)
            with pytest.raises(OSError, match="No space"):
                committer.step(10.0)
    logger.log(order(2))
    committer.step(10.0)
    committer.rotate()
    publish_segments(tmp_path, committer.finished)
    committer.close()
    logger.close()

    assert [seq for seq, _, _ in Lake(tmp_path).lines()] == [1, 2]


def test_a_publisher_that_fails_ends_the_flusher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any error ends it: a committer that waits for it would block every producer silently."""
    flusher = Flusher(make_ring(tmp_path, monkeypatch), "main", commit_ms=1.0, publish_s=0.0, parent=os.getppid())
    monkeypatch.setattr(flusher, "_publish_all", lambda: 1 / 0)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    with pytest.raises(StateError, match="publishing failed"):
        flusher.run()


def make_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal with a closed producer and one event."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        for number in range(BACKLOG * 2):
            logger.log(order(number))
    return tmp_path


def test_events_of_an_ended_producer_are_adopted_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adoption does not wait until the new producer ends."""
    with monkeypatch.context() as patch:
        make_ring(tmp_path, patch)
    with EventLogger(tmp_path, "other", ring_bytes=SMALL):
        for _ in range(400):
            if read_manifest(tmp_path).producers:
                break
            select.select([], [], [], 0.05)

        assert read_manifest(tmp_path).producers["main"].seq == BACKLOG * 2


def test_a_second_damaged_segment_of_a_name_is_kept_too(tmp_path: Path, logger: EventLogger) -> None:
    """Segment names are reused when a flusher restarts."""
    logger.log(order(1))
    committer = Committer(tmp_path, "main", publish_s=99.0)
    committer.step(0.0)
    committer.close()
    logger.close()
    path = committer.finished[0]
    whole = path.read_bytes()
    for wrong in (b"first", b"second"):
        path.write_bytes(whole[:-10] + wrong.ljust(10))
        publish_segments(tmp_path, [path])

    assert sorted(kept.name for kept in (tmp_path / "damaged").iterdir()) == [path.name, f"{path.name}.1"]
