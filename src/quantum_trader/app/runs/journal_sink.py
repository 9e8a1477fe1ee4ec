"""A run's records on their two roads: the file its checkpoints refer to, and the journal anyone may query meanwhile.

The journal never cuts back. After a restart the records behind the last checkpoint come again, byte for byte; those the
journal already holds are passed over, so that it holds each once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from quantum_trader.app.runs.live_history import LiveHistory
from quantum_trader.app.runs.state_dir import RecordFile
from quantum_trader.domain.errors import DataError, InputError, StateError
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import JOURNAL, Lake
from quantum_trader.journal.lines import check_record
from quantum_trader.journal.private import private_folder
from quantum_trader.journal.queue_monitor import QueueMonitor, QueueReading, QueueStatus

PRODUCER: Final = "engine"
_FILL_UNITS: Final = 1_000_000
_SOON_S: Final = 1.0
_TURN_S: Final = 0.02  # live trading waits this long for room in the journal's queue, no longer


class JournalSink:
    """Appends records to the record file and to the journal of one state folder."""

    def __init__(
        self, state_dir: Path, records: RecordFile, recorded: int, redact: Callable[[bytes], bytes] | None = None,
        wait_s: float = 30.0,
    ) -> None:
        """*recorded*: how many records the file holds, up to the checkpoint the run continues from. *redact* removes
        secrets (keys of a live process) from each record. *wait_s*: seconds to wait for room in the journal's queue."""
        self.records = records
        self._redact = redact
        self._monitor = QueueMonitor()
        self._looked_ns = 0
        private_folder(state_dir / JOURNAL)
        self._logger = EventLogger(state_dir / JOURNAL, producer=PRODUCER, wait_s=wait_s)
        held = Lake(state_dir / JOURNAL).last_number(PRODUCER)
        if held < recorded:
            raise StateError(
                f"{state_dir / JOURNAL}: holds {held} records where the checkpoint says {recorded}; the journal was "
                "cut. Restore it, or move the folder away and start a new --state."
            )
        self._held = held - recorded

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record; the journal passes over what it already holds.

        Raises, before anything is written, LeakageError for a decision with a feature from its future, and InputError
        for a record whose values are not what its topic says.
        """
        if self._redact is not None:
            line = self._redact(line)
        check_record(topic, ts_ns, line)
        self.records.append(line)
        self._log(line, topic, ts_ns)

    def _log(self, line: bytes, topic: str, ts_ns: int) -> None:
        if self._held:
            self._held -= 1
        else:
            self._logger.log_checked_line(topic, ts_ns, line)

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


class LiveSink(JournalSink):
    """The sink of live trading: recording never stands in the way of reducing risk.

    What cannot be written waits in memory, in order, on each of the two roads, and is written as soon as it can be;
    nothing opens meanwhile. Beyond *most* waiting records they are counted as lost; a restart makes them again from
    the checkpoint and the inputs.
    """

    def __init__(self, *arguments: Any, most: int = 200_000, **keywords: Any) -> None:
        super().__init__(*arguments, **{"wait_s": _TURN_S, **keywords})
        self._most = most
        self._for_file: deque[bytes] = deque()
        self._for_journal: deque[tuple[bytes, str, int]] = deque()
        self.lost = 0
        self.trouble = ""  # why records wait; empty: none does
        self.history = LiveHistory()  # of the equity, noted with the records of bars

    @property
    def waiting(self) -> int:
        """Records that could not be written yet."""
        return max(len(self._for_file), len(self._for_journal))

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record; never raises."""
        if self._redact is not None:
            line = self._redact(line)
        try:
            check_record(topic, ts_ns, line)
        except (DataError, InputError) as refused:
            self.lost += 1
            self.trouble = f"a record of {topic} was refused: {refused}"
            return
        if self.waiting >= self._most:
            self.lost += 1
            return
        self._for_file.append(line)
        self._for_journal.append((line, topic, ts_ns))
        self.catch_up()

    def catch_up(self) -> bool:
        """Write what waits; False when some of it still cannot be written."""
        try:
            while self._for_file:
                self.records.append(self._for_file[0])
                self._for_file.popleft()
            while self._for_journal:
                self._log(*self._for_journal[0])
                self._for_journal.popleft()
        except (StateError, OSError) as error:
            self.trouble = str(error)
            return False
        if not self.lost:
            self.trouble = ""
        return True

    def sync(self) -> None:
        """Make everything durable, without waiting long; StateError when something cannot be written."""
        if self.lost or not self.catch_up():
            raise StateError(f"{self.waiting} records wait and {self.lost} were lost: {self.trouble}")
        self.records.sync()
        self._logger.flush(_SOON_S)
