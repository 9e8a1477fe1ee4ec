"""The trader's disk: the input log and the checkpoints of a session, in memory, with the faults of disks.

It outlives the trader's process. A crash keeps what was written, but may leave half a record or lose the newest
checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.lab.simulation.schedule import Fault, Kind

DISK_FAULTS: Final = frozenset({Kind.DISK_FULL, Kind.RECORDS_FULL, Kind.TORN_WRITE, Kind.CHECKPOINT_LOST})
_KEPT: Final = 3  # checkpoints


def copied(value: Any) -> Any:
    """A copy of a state made of dicts, lists, arrays and values that cannot change, without looking for cycles."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [copied(one) for one in value]
    return value.copy() if isinstance(value, np.ndarray) else value


class Disk:
    """Log and checkpoints of one session. *struck* is called with the kind of every fault that takes effect."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.checkpoints: list[dict[str, Any]] = []
        self.appends = 0
        self.failing = 0  # writes that will fail
        self.records_failing = 0  # records that cannot be written
        self.tear = False  # the next crash leaves half a record
        self.lose = False  # the next crash loses the newest checkpoint
        self.torn = False  # the last entry is half a record
        self.struck: Callable[[Kind], None] = lambda kind: None

    def arm(self, fault: Fault) -> None:
        """Make the next writes fail, or the next crash damage the files."""
        if fault.kind is Kind.DISK_FULL:
            self.failing += fault.count
        elif fault.kind is Kind.RECORDS_FULL:
            self.records_failing += fault.count
        elif fault.kind is Kind.TORN_WRITE:
            self.tear = True
        else:
            self.lose = True

    def crash(self) -> None:
        """The process ends: tear the last record or lose the newest checkpoint, as armed."""
        if self.tear and self.entries:
            self.tear, self.torn = False, True
            self.entries.append(self.entries[-1][: len(self.entries[-1]) // 2])
            self.struck(Kind.TORN_WRITE)
        if self.lose and self.checkpoints:
            self.lose = False
            self.checkpoints.pop()
            self.struck(Kind.CHECKPOINT_LOST)

    def check(self) -> None:
        """Raise StateError while the disk is full."""
        if self.failing > 0:
            self.failing -= 1
            self.struck(Kind.DISK_FULL)
            raise StateError("the input log cannot be written (No space left on device); free some space")

    def check_records(self) -> None:
        """Raise StateError while records cannot be written."""
        if self.records_failing > 0:
            self.records_failing -= 1
            self.struck(Kind.RECORDS_FULL)
            raise StateError("a record cannot be written (No space left on device); free some space")


class MemoryLog:
    """A :class:`quantum_trader.live.inputs.InputLog` on a :class:`Disk`; one that is *closed* writes no more."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.closed = False
        if disk.torn:
            disk.entries.pop()
            disk.torn = False

    def append(self, entry: bytes) -> None:
        """Write one input. Raises StateError when the disk is full."""
        if self.closed:
            return
        self._disk.check()
        self._disk.appends += 1
        self._disk.entries.append(entry)

    def mark(self) -> int:
        """How many inputs there are."""
        return len(self._disk.entries)

    def since(self, mark: Any) -> list[bytes]:
        """The inputs behind *mark* (None: from the beginning)."""
        return self._disk.entries[mark or 0:]


class MemoryStore:
    """A :class:`quantum_trader.live.inputs.CheckpointStore` on a :class:`Disk`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.closed = False

    def save(self, state: dict[str, Any]) -> None:
        """Keep a copy of *state*. Raises StateError when the disk is full."""
        if self.closed:
            return
        self._disk.check()
        self._disk.checkpoints.append(copied(state))
        del self._disk.checkpoints[:-_KEPT]

    def load(self) -> dict[str, Any] | None:
        """A copy of the newest; None when there is none."""
        return copied(self._disk.checkpoints[-1]) if self._disk.checkpoints else None
