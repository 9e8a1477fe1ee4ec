"""kill -9: of the producer, of the flusher, at random points: no accepted event lost, none twice, order kept."""

from __future__ import annotations

import mmap
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.journal.producer import order

from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.ring import WORD_FLUSHER, Ring

ROOT = Path(__file__).resolve().parent.parent.parent


def after(seconds: float) -> None:
    """Let the other processes work for *seconds* of the machine's time."""
    select.select([], [], [], seconds)


def numbers(directory: Path) -> list[int]:
    """The events' own numbers in the order of the journal's."""
    rows = Lake(directory).sql(
        "select seq, cast(payload->>'$.client_order_id' as bigint) as n from events order by seq"
    )
    assert rows["seq"].to_pylist() == list(range(1, rows.num_rows + 1))
    return [int(n) for n in rows["n"].to_pylist()]


def kill_producers(tmp_path: Path, times: int, ring_bytes: int) -> None:
    """Kill the producer *times* times at random points, read after each, and let the next one go on."""
    chance = random.Random(times)
    accepted = tmp_path / "accepted"
    accepted.write_bytes(bytes(8))
    directory = tmp_path / "journal"
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.journal.producer", str(directory), str(accepted), str(ring_bytes)], cwd=ROOT
        )
        before = accepted_count(accepted)
        while accepted_count(accepted) == before:
            after(0.005)
            assert process.poll() is None
        after(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        last = accepted_count(accepted)
        read = numbers(directory)
        assert read == list(range(1, len(read) + 1)), "each once, in order"
        assert last <= len(read) <= last + 1, "every accepted event; one more may be complete but not yet counted"
        accepted.write_bytes(len(read).to_bytes(8, "little"))
    EventLogger(directory, ring_bytes=ring_bytes).close()
    assert numbers(directory) == list(range(1, accepted_count(accepted) + 1))
    assert Lake(directory).check() == []


def accepted_count(path: Path) -> int:
    """The count that the producer wrote as accepted."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 8, access=mmap.ACCESS_READ) as area:
        return int.from_bytes(area[:8], "little")


def test_killed_producers_lose_nothing(tmp_path: Path) -> None:
    """Four kills, one journal."""
    kill_producers(tmp_path, 4, 1 << 20)


@pytest.mark.long
def test_fifty_killed_producers_lose_nothing(tmp_path: Path) -> None:
    """Fifty kills, one journal."""
    kill_producers(tmp_path, 50, 1 << 20)


def kill_flushers(tmp_path: Path, times: int) -> None:
    """Kill the flusher *times* times at random points under load, read after each; the logger starts another."""
    chance, number, killed = random.Random(times), 0, 0
    with EventLogger(tmp_path, ring_bytes=1 << 20, publish_s=0.1) as logger:
        for _ in range(times):
            while (pid := flusher_of(tmp_path)) == killed:  # the next one has not taken over yet
                number += 1
                logger.log(order(number))
            for _ in range(chance.randrange(1, 8000)):
                number += 1
                logger.log(order(number))
            os.kill(pid, signal.SIGKILL)
            killed = pid
            assert numbers(tmp_path) == list(range(1, number + 1))
        logger.flush()
        assert logger.stats().flusher_starts == times + 1

    assert numbers(tmp_path) == list(range(1, number + 1))
    assert Lake(tmp_path).check() == []


def test_killed_flushers_lose_nothing(tmp_path: Path) -> None:
    """Four kills of the flusher alone."""
    kill_flushers(tmp_path, 4)


@pytest.mark.long
def test_fifty_killed_flushers_lose_nothing(tmp_path: Path) -> None:
    """Fifty kills of the flusher alone."""
    kill_flushers(tmp_path, 50)


def test_events_of_a_killed_producer_are_adopted_by_another(tmp_path: Path) -> None:
    """A logger of another name finds the ring of a dead one and publishes it."""
    directory, accepted = tmp_path / "journal", tmp_path / "accepted"
    accepted.write_bytes(bytes(8))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.journal.producer", str(directory), str(accepted), str(1 << 20)], cwd=ROOT
    )
    while accepted_count(accepted) < 100:
        after(0.005)
    flusher = flusher_of(directory)
    process.send_signal(signal.SIGSTOP)
    os.kill(flusher, signal.SIGKILL)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(numbers(directory))
    EventLogger(directory, "other", ring_bytes=1 << 20).close()

    assert kept >= accepted_count(accepted)
    assert len(numbers(directory)) == kept
    assert not list((directory / "wal").glob("*.seg")), "everything is in the lake"


def flusher_of(directory: Path) -> int:
    """Process id of the flusher of producer main, once it has the ring."""
    ring = Ring(directory / "rings" / "main.ring", writable=False)
    pid = 0
    while pid <= 1:
        after(0.005)
        pid = int(ring.words[WORD_FLUSHER])
    ring.close()
    return pid
