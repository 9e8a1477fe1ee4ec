"""The ledger on disk: one file that is only appended to, for its owner alone.

A batch of trials is one append, on disk before it counts. Writers hold a lock, so that two processes never mix their
lines. What a writer that was killed left of its last line is moved to a file beside the ledger by the next writer, and
reported. A line that is damaged elsewhere is reported and left out; those around it stay.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import create_file, open_private, read_private, why_unwritable
from quantum_trader.journal.segments import sync_folder
from quantum_trader.lab.trials.record import Trial, TrialRecord, decode_line, encode_line
from quantum_trader.policy import clock as default_clock
from quantum_trader.policy.policy_store_file import locked_store
from quantum_trader.policy.storage import path_of

LEDGER_FILE: Final = "trials.jsonl"
_MOST_ASIDE: Final = 1_000


class LedgerReading(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger holds: of each trial of a run its newest record, oldest first; and what could not be read."""

    records: tuple[TrialRecord, ...] = ()
    damage: tuple[str, ...] = ()  # a sentence each


class RecordedTrials(msgspec.Struct, frozen=True, kw_only=True):
    """What an append did."""

    trials: int
    repaired: str = ""  # a sentence where the end of the file was damaged; empty: it was not


class TrialLedger:
    """The trials in *folder*, which is made by the first record.

    *clock* gives ns since the epoch; *pause* waits between two tries to become the one writer.
    """

    def __init__(
        self, folder: Path | str, *, clock: Callable[[], int] = default_clock.now_ns,
        pause: Callable[[float], None] = default_clock.pause,
    ) -> None:
        self.folder = path_of("trials", folder)
        self.path = self.folder / LEDGER_FILE
        self._clock, self._pause = clock, pause

    def new_run(self, source: str) -> str:
        """A name for a run of the program that has none of its own: another one each time."""
        return f"{source} {self._clock()}-{os.getpid()}"

    def check_writable(self) -> None:
        """Raise StateError where a trial could not be recorded: before work that it would be recorded after."""
        with locked_store(self.path, self._pause):
            try:
                os.close(open_private(self.path, os.O_RDWR | os.O_CREAT))
            except OSError as error:
                raise StateError(self._unusable(error)) from error

    def record(self, trials: Iterable[Trial], run: str) -> RecordedTrials:
        """Append *trials* that *run* made, all or none. Raises StateError where nothing was recorded.

        A trial that the same run recorded before is replaced by the new record, its result say; a trial of another run
        counts beside it.
        """
        now_ns = self._clock()
        lines = [encode_line(TrialRecord(ts_ns=now_ns, run=run, trial=trial)) for trial in trials]
        if not lines:
            return RecordedTrials(trials=0)
        with locked_store(self.path, self._pause):
            try:
                repaired = self._append(b"".join(lines))
            except OSError as error:
                raise StateError(self._unusable(error)) from error
        return RecordedTrials(trials=len(lines), repaired=repaired)

    def _append(self, content: bytes) -> str:
        """Write *content* behind the last whole line; a sentence where there was half a line."""
        is_new = not os.path.lexists(self.path)
        descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
        try:
            size = os.fstat(descriptor).st_size
            whole, repaired = self._whole_size(descriptor, size)
            try:
                view, at = memoryview(content), whole
                while view:
                    written = os.pwrite(descriptor, view, at)
                    at += written
                    view = view[written:]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, whole)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(self.folder)
        return repaired

    def _whole_size(self, descriptor: int, size: int) -> tuple[int, str]:
        """Where the last whole line ends; what comes behind it is moved to another file, and a sentence says so."""
        if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
            return size, ""
        at = size
        rest = b""
        while at > 0 and b"\n" not in rest:
            step = min(at, 1 << 16)
            at -= step
            rest = os.pread(descriptor, step, at) + rest
        end = at + rest.rfind(b"\n") + 1
        broken = rest[end - at:]
        aside = self._keep_aside(broken)
        os.ftruncate(descriptor, end)
        return end, (
            f"{self.path}: ended in {len(broken):,} bytes of a record that was not written whole; they were moved to "
            f"{aside.name}"
        )

    def _keep_aside(self, content: bytes) -> Path:
        """Write *content* to a new file beside the ledger."""
        for number in range(1, _MOST_ASIDE):
            aside = self.path.with_name(f"{self.path.name}.damaged-{number}")
            if not os.path.lexists(aside):
                with open(create_file(aside), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                return aside
        raise OSError(17, f"remove old {self.path.name}.damaged-* files", str(self.path))

    def read(self, data_hash: str = "") -> LedgerReading:
        """Everything on record, or the trials on one set of data; an empty reading where there is no ledger.

        With *data_hash* lines of other data are not looked at, nor whether they are damaged. Raises StateError where
        the ledger is unreadable.
        """
        try:
            content = read_private(self.path)
        except FileNotFoundError:
            return LedgerReading()
        except OSError as error:
            raise StateError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        found: dict[str, TrialRecord] = {}
        damage = []
        lines = content.split(b"\n")
        rest, wanted = lines.pop(), data_hash.encode()
        for number, line in enumerate(lines, start=1):
            if wanted not in line:
                continue
            try:
                record = decode_line(line)
            except ValueError as error:
                damage.append(f"line {number:,} cannot be read and is left out: {error}")
                continue
            found[record.key] = record
        if rest:
            damage.append(
                f"the last {len(rest):,} bytes are no whole line: they are being written, or their writer was killed; "
                "the next record moves them aside"
            )
        return LedgerReading(records=tuple(found.values()), damage=tuple(damage))

    def _unusable(self, error: OSError) -> str:
        where = Path(error.filename or self.path)
        return (
            f"{where}: cannot be written ({why_unwritable(where, error)}); no trial was recorded. Free it, or name "
            "another folder with --trials"
        )
