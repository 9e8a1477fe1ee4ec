"""Requests to a run as lines of a private file in its state folder: appended by a command, read by the process.

A line is synced to disk before the command returns. The process counts the lines it has taken.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import open_private, read_private, why_unwritable


def append_request(state_dir: Path, name: str, request: Any) -> None:
    """Append *request* to the file *name* of a state folder and sync it. Raises StateError with the remedy."""
    if not (state_dir / "lock").exists():
        raise StateError(
            f"--state {state_dir}: is not a run's state folder; give the folder of `run --state` or `live --state`"
        )
    try:
        folder = state_dir.stat()
        descriptor = open_private(state_dir / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, owner=folder.st_uid)
        try:
            if os.fstat(descriptor).st_uid != folder.st_uid:  # root halts another user's run, which has to read it
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a full disk truncated the last request
            line = (b"\n" if torn else b"") + msgspec.json.encode(request) + b"\n"
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(
            f"{state_dir / name}: cannot be written ({why_unwritable(state_dir, error)}); the request was not recorded"
        ) from error


class RequestLines:
    """The lines of a request file that the process has not taken yet; *taken* counts those it has."""

    def __init__(self, path: Path, taken: int) -> None:
        self._path = path
        self.taken = taken
        self._size = 0

    def poll(self) -> list[bytes]:
        """Whole lines since the last call, counted as taken; an unfinished last line waits."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        if size == self._size:
            return []
        try:
            lines = read_private(self._path).split(b"\n")[:-1]
        except OSError:  # a link or no regular file: append_request writes nothing to one either, and says so
            return []
        self._size = sum(len(line) + 1 for line in lines)
        fresh = lines[self.taken:]
        self.taken = len(lines)
        return fresh
