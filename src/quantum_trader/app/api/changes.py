"""The record of every change that was asked for over the API: who, from where, what, why, and what came of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.api.access import Caller
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import open_private, read_private, why_unwritable

FILE_NAME: Final = "api_changes.jsonl"
DONE: Final = "done"


class ChangeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change. *outcome* is "done", or why it was refused."""

    ts_ns: int
    name: str  # of the token
    role: str
    address: str
    action: str  # method and road
    reason: str
    detail: str  # what was asked for, as JSON
    outcome: str


class ChangeLog:
    """Appends to the folder's record of changes; a line is on disk before the answer is sent."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def note(
        self, ts_ns: int, caller: Caller, action: str, *, reason: str, detail: str, outcome: str, must: bool = True
    ) -> None:
        """Append one line. Raises StateError where that fails, unless it is no *must*: a stop waits for no disk."""
        line = ChangeLine(
            ts_ns=ts_ns, name=caller.name, role=caller.role.value, address=caller.address, action=action,
            reason=reason, detail=detail, outcome=outcome,
        )
        try:
            descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                size = os.fstat(descriptor).st_size
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a full disk cut the last line short
                content = (b"\n" if torn else b"") + msgspec.json.encode(line) + b"\n"
                if os.write(descriptor, content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if must:
                raise StateError(f"{self._path}: cannot be written ({why_unwritable(self._path, error)})") from None

    def last(self, most: int) -> list[ChangeLine]:
        """The newest changes, newest first; a damaged line is left out."""
        try:
            lines = read_private(self._path).split(b"\n")[-most - 1:]
        except OSError:
            return []
        found = []
        for line in reversed(lines):
            try:
                found.append(decode_json(line, ChangeLine))
            except msgspec.DecodeError:
                continue
        return found[:most]
