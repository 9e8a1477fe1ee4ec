"""Which process holds a run's folder, told by the system and not by the number that a file remembers.

A number in a file can be another program's by now. The kernel's list of locks says who holds the folder's lock; where
that is not to be had, the process must have the lock file open, or at least be this program.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from quantum_trader.app.runs.status import holder, is_alive

_LOCKS: Final = Path("/proc/locks")
_PROGRAM: Final = "quantum"  # in the command line, of quantum-trader and of quantum_trader
_FIELDS: Final = 8  # of a line such as "1: FLOCK ADVISORY WRITE 123 fe:00:456 0 EOF"
_ANSWER_S: Final = 2.0


def holding_pid(state_dir: Path) -> int:
    """The process that holds the lock of *state_dir*; 0 where none does, or where it cannot be told for certain."""
    try:
        lock = (state_dir / "lock").stat()
        if not is_alive(state_dir):
            return 0
    except OSError:
        return 0
    recorded = holder(state_dir)
    listed = [(pid, device) for pid, device, inode in _exclusive_locks() if inode == lock.st_ino]
    for pid, device in listed:
        if device == lock.st_dev:
            return pid
    if recorded > 1 and any(pid == recorded for pid, _ in listed):
        return recorded  # a file system that numbers its device otherwise here and there
    return recorded if recorded > 1 and _has_open(recorded, lock) else 0


def kill_holder(state_dir: Path) -> int:
    """Kill the process that holds *state_dir* with SIGKILL; its number, or 0 where it could not be told for certain.

    Raises PermissionError for a process of another user.
    """
    pid = holding_pid(state_dir)
    if pid <= 1 or pid == os.getpid():
        return 0
    with suppress(ProcessLookupError):
        if not hasattr(os, "pidfd_open"):
            os.kill(pid, signal.SIGKILL)
            return pid
        process = os.pidfd_open(pid)  # names the process itself: its number may be given to another meanwhile
        try:
            if holding_pid(state_dir) == pid:
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
    return pid


def _exclusive_locks() -> Iterator[tuple[int, int, int]]:
    """Process, device and inode of each exclusive flock that the kernel lists; none where it lists none."""
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        parts = line.split()
        if len(parts) < _FIELDS or parts[1:4:2] != ["FLOCK", "WRITE"]:
            continue
        with suppress(ValueError):
            major, minor, inode = parts[5].split(":")
            if int(parts[4]) > 1:
                yield int(parts[4]), os.makedev(int(major, 16), int(minor, 16)), int(inode)


def _has_open(pid: int, lock: os.stat_result) -> bool:
    """Whether process *pid* has the lock file open; without /proc, whether it is this program."""
    if not Path("/proc/self/fd").is_dir():
        return _PROGRAM in _command(pid)
    try:
        names = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for name in names:
        with suppress(OSError):
            found = name.stat()
            if (found.st_ino, found.st_dev) == (lock.st_ino, lock.st_dev):
                return True
    return False


def _command(pid: int) -> str:
    try:
        return subprocess.run(
            ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, timeout=_ANSWER_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
