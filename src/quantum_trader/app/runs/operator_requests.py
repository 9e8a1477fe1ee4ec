"""Operator requests (halt, resume, flatten, lock, unlock) as lines in the run's state folder.

A request is appended and synced to disk before the command returns. A running process acts on it at once; when none
runs, the next start acts on it before its first bar. Each is executed once: the checkpoint counts the executed ones.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import msgspec

from quantum_trader.app.runs.request_file import RequestLines, append_request
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.json_text import decode_json

FILE_NAME = "operator.jsonl"


class Action(str, Enum):
    """The kinds of request."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    LOCK = "lock"  # no entries into one symbol until a time
    UNLOCK = "unlock"


class OperatorRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request: what, why, by whom and when; of a lock also the symbol, and until when."""

    action: Action
    reason: str
    actor: str
    ts_ns: int
    symbol: str = ""
    until_ns: int = 0


def ask(state_dir: Path, request: OperatorRequest) -> None:
    """Append *request* to the folder's requests and sync it. Raises InputError or StateError with the remedy."""
    if not request.reason.strip():
        raise InputError("--reason = '': is empty; give a reason, which is recorded")
    append_request(state_dir, FILE_NAME, request)


class OperatorRequests:
    """Reads the requests that a run has not executed yet; *taken* counts the executed ones."""

    def __init__(self, state_dir: Path, taken: int) -> None:
        self._lines = RequestLines(state_dir / FILE_NAME, taken)

    @property
    def taken(self) -> int:
        """Requests executed so far."""
        return self._lines.taken

    @taken.setter
    def taken(self, taken: int) -> None:
        self._lines.taken = taken

    def poll(self) -> list[OperatorRequest]:
        """Requests since the last call; a damaged line is skipped and counted as executed."""
        requests = []
        for line in self._lines.poll():
            try:
                requests.append(decode_json(line, OperatorRequest))
            except msgspec.DecodeError:
                continue
        return requests
