"""Operator requests (halt, resume, flatten) as lines in the run's state folder.

A request is appended and synced to disk before the command returns. A running process acts on it at once; when none
runs, the next start acts on it before its first bar. Each is executed once: the checkpoint counts the executed ones.
"""

from __future__ import annotations

import errno
import os
from enum import Enum
from pathlib import Path

import msgspec

from quantum_trader.domain.errors import InputError, StateError

FILE_NAME = "operator.jsonl"


class Action(str, Enum):
    """The kinds of request."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"


class OperatorRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request: what, why, by whom and when."""

    action: Action
    reason: str
    actor: str
    ts_ns: int


def ask(state_dir: Path, request: OperatorRequest) -> None:
    """Append *request* to the folder's requests and sync it. Raises InputError or StateError with the remedy."""
    if not request.reason.strip():
        raise InputError("--reason = '': is empty; give a reason, which is recorded")
    if not (state_dir / "lock").exists():
        raise StateError(
            f"--state {state_dir}: is not a run's state folder; give the folder of `run --state` or `live --state`"
        )
    try:
        descriptor = os.open(state_dir / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
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
            f"{state_dir / FILE_NAME}: cannot be written ({error.strerror}); the request was not recorded"
        ) from error


class OperatorRequests:
    """Reads the requests that a run has not executed yet; *taken* counts the executed ones."""

    def __init__(self, state_dir: Path, taken: int) -> None:
        self._path = state_dir / FILE_NAME
        self.taken = taken
        self._size = 0

    def poll(self) -> list[OperatorRequest]:
        """Requests since the last call; a damaged line is skipped and counted as executed."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        if size == self._size:
            return []
        lines = self._path.read_bytes().split(b"\n")[:-1]  # an unfinished last line waits
        self._size = sum(len(line) + 1 for line in lines)
        fresh = lines[self.taken:]
        self.taken = len(lines)
        requests = []
        for line in fresh:
            try:
                requests.append(msgspec.json.decode(line, type=OperatorRequest))
            except msgspec.DecodeError:
                continue
        return requests
