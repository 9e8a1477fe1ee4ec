"""A run's records on their two roads: the file its checkpoints refer to, and the journal anyone may query meanwhile.

The journal never cuts back. After a restart the records behind the last checkpoint come again, byte for byte; those the
journal already holds are passed over, so that it holds each once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from quantum_trader.app.state_dir import RecordFile
from quantum_trader.domain.errors import StateError
from quantum_trader.journal import EventLogger, Lake
from quantum_trader.journal.leakage import STATES_FEATURES, LeakageError, check_line
from quantum_trader.journal.private import private_folder
from quantum_trader.journal.queue_monitor import QueueMonitor, QueueReading, QueueStatus

JOURNAL: Final = "journal"
PRODUCER: Final = "engine"
_FILL_UNITS: Final = 1_000_000


class JournalSink:
    """Appends records to the record file and to the journal of one state folder."""

    def __init__(
        self, state_dir: Path, records: RecordFile, recorded: int, redact: Callable[[bytes], bytes] | None = None
    ) -> None:
        """*recorded*: how many records the file holds, up to the checkpoint the run continues from. *redact* takes out
        what no record may hold (keys of a live process)."""
        self.records = records
        self._redact = redact
        self._monitor = QueueMonitor()
        self._looked_ns = 0
        private_folder(state_dir / JOURNAL)
        self._logger = EventLogger(state_dir / JOURNAL, producer=PRODUCER)
        rows = Lake(state_dir / JOURNAL).sql("select max(seq) as last from events where producer = ?", [PRODUCER])
        held = rows.to_pylist()[0]["last"] or 0
        if held < recorded:
            raise StateError(
                f"{state_dir / JOURNAL}: holds {held} records where the checkpoint says {recorded}; the journal was "
                "cut. Restore it, or move the folder away and start a new --state."
            )
        self._held = held - recorded

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record; the journal passes over what it already holds.

        Raises LeakageError, before anything is written, for a decision with a feature from its future.
        """
        if self._redact is not None:
            line = self._redact(line)
        if topic in STATES_FEATURES and (leak := check_line(line)) is not None:
            raise LeakageError(leak)
        self.records.append(line)
        if self._held:
            self._held -= 1
        else:
            self._logger.log_line(topic, ts_ns, line)

    def queue(self) -> QueueStatus:
        """Fill, lag and level of the journal's queue now."""
        stats = self._logger.stats()
        self._looked_ns = max(self._looked_ns, time.time_ns())
        return self._monitor.observe(QueueReading(
            now_ns=self._looked_ns, capacity=_FILL_UNITS, used=min(int(stats.fill * _FILL_UNITS), _FILL_UNITS),
            accepted=stats.accepted, durable=stats.durable, oldest_ns=stats.oldest_ns,
            dropped=sum(stats.dropped.values()), write_errors=stats.write_errors,
        ))

    @property
    def size(self) -> int:
        """Bytes in the record file."""
        return self.records.size

    def sync(self) -> None:
        """Make everything appended so far durable in both."""
        self.records.sync()
        self._logger.flush()

    def close(self) -> None:
        """Flush and close both."""
        try:
            self.records.close()
        finally:
            self._logger.close()
