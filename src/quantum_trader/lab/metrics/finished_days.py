"""Values of days that are over, kept in a run's state folder, so that a further day does not compute them again.

One file a day, ``metrics/2026-11-27.json``, and ``metrics/all.json`` for all days together with those that are not
over: it counts until the next event. A file counts only for the catalogue and the number of events that it was
made of, and only where its checksum is that of its content; any other is computed again. What cannot be written is not
kept: the values are the same without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import read_bounded
from quantum_trader.journal.private import write_private
from quantum_trader.lab.metrics.values import WHOLE, MetricValue

FOLDER: Final = "metrics"
_FORMAT: Final = 1  # raised when the same catalogue gives other values
_MOST_BYTES: Final = 64 << 20


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    catalogue: str  # content hash
    events: int  # of the day in the journal
    values: list[MetricValue]


class FinishedDays:
    """The kept days of one state folder under one catalogue."""

    def __init__(self, state: Path, catalogue_hash: str) -> None:
        self.folder = state / FOLDER
        self._catalogue = catalogue_hash

    def read(self, day: str, events: int) -> list[MetricValue] | None:
        """The values of *day*, which has so many *events* now; None where there are none that count."""
        try:
            line, _, content = read_bounded(self._path(day), _MOST_BYTES).partition(b"\n")
        except OSError:
            return None
        if line != _checksum(content):
            return None
        try:
            kept = msgspec.json.decode(content, type=_Kept)
        except msgspec.DecodeError:
            return None
        counts = (kept.format, kept.catalogue, kept.events) == (_FORMAT, self._catalogue, events)
        return kept.values if counts and (day == WHOLE or all(one.key.day == day for one in kept.values)) else None

    def keep(self, day: str, events: int, values: Sequence[MetricValue]) -> bool:
        """Keep the *values* of *day*; False where the folder cannot be written."""
        ordered = sorted(values, key=attrgetter("key"))
        content = msgspec.json.encode(
            _Kept(format=_FORMAT, catalogue=self._catalogue, events=events, values=ordered)
        )
        try:
            write_private(self._path(day), _checksum(content) + b"\n" + content)
        except StateError:
            return False
        return True

    def _path(self, day: str) -> Path:
        return self.folder / f"{day}.json"


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
