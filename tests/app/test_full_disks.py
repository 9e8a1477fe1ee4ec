"""Disks that are really full (small tmpfs): it is said at once which one and what is safe, and no process stays."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.sample import trade as sample_trade
from tests.journal.producer import order
from tests.live.live_world import World
from tests.properties.live_road import Road

from quantum_trader.app.runs.input_log import FileInputLog
from quantum_trader.app.runs.live_messages import LiveWords
from quantum_trader.app.runs.state_dir import RecordFile, StateDir
from quantum_trader.domain.errors import StateError
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.trade_journal import TradeJournal
from quantum_trader.policy.store import SavedPolicy, write_state

DEADLINE_S = 30.0
MIB = 1 << 20
WORKER = """
import os, sys, time
from pathlib import Path
from tests.journal.producer import order
from quantum_trader.domain.errors import StateError
from quantum_trader.journal.event_logger import EventLogger
logger = EventLogger(Path(sys.argv[1]), ring_bytes=1 << 20)
for number in range(1, 101):
    logger.log(order(number))
logger.flush()
found = os.statvfs(sys.argv[1])
Path(sys.argv[2]).write_bytes(bytes(found.f_bavail * found.f_frsize))
number = 101
try:
    while True:
        logger.log(order(number))
        number += 1
except StateError:
    print(number - 1, logger.flusher_pid(), flush=True)
time.sleep(60)
"""


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path, mib: int) -> None:
        self.path = path
        self.path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(path)],
            capture_output=True, text=True, check=False,
        )
        if done.returncode:
            pytest.skip(f"needs the right to mount a tmpfs (root): {done.stderr.strip()}")

    def fill(self, leave_kib: int = 0) -> Path:
        """Fill it up with one file, except for *leave_kib*."""
        filler = self.path / "filler"
        found = os.statvfs(self.path)
        filler.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - (leave_kib << 10))))
        return filler

    def unmounts(self) -> bool:
        """Whether no process holds it any more; unmounts it."""
        return subprocess.run(["umount", str(self.path)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 24 MiB."""
    made = SmallDisk(tmp_path / "disk", 24)
    yield made
    subprocess.run(["umount", "-l", str(made.path)], capture_output=True, check=False)


def within(seconds: float, done: object) -> bool:
    """Whether *done* (a callable) is true within *seconds*."""
    assert callable(done)
    ends = time.monotonic() + seconds
    while not done():
        if time.monotonic() > ends:
            return False
        select.select([], [], [], 0.05)
    return True


def logged_until_refused(logger: EventLogger) -> int:
    """How many events the logger accepted, a hundred before these; its refusal names the disk."""
    number = 100
    with pytest.raises(StateError, match=r"full, the disk says: No space.*24 MiB.*not accepted"):  # noqa: PT012
        while True:
            logger.log(order(number + 1))
            number += 1
    return number


def gone(pid: int) -> bool:
    """Whether process *pid* has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_disk_without_room_for_the_log_behind_the_ring_is_refused_at_the_start(tmp_path: Path) -> None:
    """67 MB hold the ring of 64 and no log: refused within seconds, with the disk and its size; nothing stays."""
    small = SmallDisk(tmp_path / "disk", 67)
    words = ["run", "--symbols", "BTCUSDT", "--from", "2018-01-01", "--to", "2018-01-03", "--state", f"{small.path}/st"]
    ended = subprocess.run(
        [sys.executable, "-m", "quantum_trader.app.cli.main", *words], capture_output=True, text=True,
        timeout=DEADLINE_S, check=False,
    )
    left = list((small.path / "st" / "journal" / "rings").glob("engine.ring"))
    assert small.unmounts(), "no process holds the disk"
    assert ended.returncode == 2
    assert "the journal needs 72 MiB (No space left on device" in ended.stderr
    assert f"of 67 MiB are free on {small.path})" in ended.stderr
    assert left == []


def test_a_disk_that_fills_in_the_middle_is_named_at_once_and_nothing_is_lost(disk: SmallDisk) -> None:
    """flush and close say so within seconds each; the flusher ends; with space again every event is there, once."""
    logger = EventLogger(disk.path / "journal", ring_bytes=MIB)
    for number in range(1, 101):
        logger.log(order(number))
    logger.flush()
    filler = disk.fill()
    accepted = logged_until_refused(logger)
    began, pid = time.monotonic(), logger.flusher_pid()
    with pytest.raises(StateError, match=r"not durable, the disk says: No space.*of 24 MiB are free on"):
        logger.flush()
    with pytest.raises(StateError, match="wait in .*main.ring, and the next start on this folder makes them durable"):
        logger.close()
    assert time.monotonic() - began < DEADLINE_S
    assert gone(pid)
    filler.unlink()
    EventLogger(disk.path / "journal", ring_bytes=MIB).close()
    assert [seq for seq, _, _ in Lake(disk.path / "journal").lines()] == list(range(1, accepted + 1))


def test_a_flusher_with_a_full_disk_ends_with_its_owner(disk: SmallDisk) -> None:
    """kill -9 of the process that logs: its flusher ends within seconds, and nothing is lost."""
    filler = disk.path / "filler"
    child = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(disk.path / "journal"), str(filler)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parent.parent.parent,
    )
    assert child.stdout is not None
    accepted, pid = map(int, child.stdout.readline().split())
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert within(DEADLINE_S, lambda: gone(pid))
    filler.unlink()
    EventLogger(disk.path / "journal", ring_bytes=MIB).close()
    assert [seq for seq, _, _ in Lake(disk.path / "journal").lines()] == list(range(1, accepted + 1))


def test_every_writer_of_a_state_folder_names_the_full_disk(disk: SmallDisk) -> None:
    """Records, checkpoint, input log, policy state and trade journal (SQLite): which disk, and what is intact."""
    folder = StateDir(disk.path / "st")
    folder.save_checkpoint({"a": 1})
    records = RecordFile(disk.path / "st" / "records.jsonl", 0)
    log = FileInputLog(disk.path / "st" / "inputs")
    book = TradeJournal(disk.path / "st" / "journal.db")
    disk.fill()
    records.append(b"x" * 1000)
    with pytest.raises(StateError, match=r"records.jsonl: cannot be written \(No space.*of 24 MiB are free on"):
        records.sync()
    with pytest.raises(StateError, match=r"checkpoint: cannot be written \(No space.*previous checkpoint is intact"):
        folder.save_checkpoint({"a": "b" * 100_000})
    with pytest.raises(StateError, match=r"inputs-.*No space.*nothing opens until it can"):
        log.append(b"x" * 100_000)
    with pytest.raises(StateError, match=r"No space.*the file is as it was before"):
        write_state(disk.path / "st" / "policy.json", SavedPolicy(
            profile="x" * 100_000, fingerprint="", memory=[], ring=[], overall=[],
        ))
    with pytest.raises(StateError, match=r"trade journal .*full \(No space.*of 24 MiB are free on.*none of these rows"):
        book.add_trades([sample_trade(number, 1.0) for number in range(2000)], mode="LIVE")
    assert folder.load_checkpoint() == {"a": 1}


def test_a_live_process_says_once_that_the_disk_is_full_and_once_that_it_is_not() -> None:
    """With the cause; the same state is not repeated."""
    lines: list[str] = []
    trouble = [""]
    world = World().begin()
    driver = Road(world).driver
    words = LiveWords(driver, lines.append, lambda: trouble[0])
    for trouble[0] in ("", "nothing opens: disk A", "nothing opens: disk A", "", ""):
        words.look(driver.health())
    told = [line for line in lines if "opens" in line or "openings" in line]
    assert told == [
        "nothing opens: disk A; positions keep their stops at the venue",
        "inputs and records are written again; openings go on",
    ]
