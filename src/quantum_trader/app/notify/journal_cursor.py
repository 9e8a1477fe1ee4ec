"""Reads what is new in a run's journal, each record once, without keeping the run from writing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quantum_trader.app.notify.notices import Notice
from quantum_trader.app.notify.record_notices import NOTICED_TOPICS, notice_of
from quantum_trader.app.runs.journal_sink import PRODUCER
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.journal.lake import JOURNAL, Lake

BATCH: Final = 2_000  # records of a look
_TOPICS: Final = ", ".join(f"'{topic}'" for topic in NOTICED_TOPICS)
_NEW: Final = (
    f"select seq, payload from events where producer = ? and seq > ? and seq <= ? and kind in ({_TOPICS}) "
    "order by seq limit ?"
)


class JournalCursor:
    """The place in the journal up to which everything was taken. Its number is the journal's, which never cuts back."""

    def __init__(self, state: Path, seq: int | None = None) -> None:
        """*seq*: number of the last record that was taken; None: begin with what comes from now on."""
        self.seq = seq
        self._folder = state / JOURNAL

    def look(self) -> list[Notice]:
        """The notices of new records; the cursor moves on. An unreadable journal has none until it is readable."""
        if not self._folder.is_dir():
            self.seq = 0 if self.seq is None else self.seq
            return []
        try:
            return self._new(Lake(self._folder, threads=1))
        except (QuantumTraderError, OSError):
            return []

    def _new(self, lake: Lake) -> list[Notice]:
        last = lake.last_number(PRODUCER)
        if self.seq is None:
            self.seq = last
        if self.seq > last:
            self.seq = 0  # the folder holds another run now
        if self.seq == last:
            return []
        rows = lake.sql(_NEW, [PRODUCER, self.seq, last, BATCH]).to_pylist()
        self.seq = rows[-1]["seq"] if len(rows) == BATCH else last
        return [notice for row in rows if (notice := notice_of(row["payload"])) is not None]
