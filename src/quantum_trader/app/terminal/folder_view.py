"""One look at a state folder: its status, its equity, rows of its journal; what cannot be read is told, not raised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from quantum_trader.app.runs.equity_history import EquityHistory, equity_history
from quantum_trader.app.runs.journal_trace import trace_in
from quantum_trader.app.runs.run_condition import RunCondition, run_condition
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.journal.lake import JOURNAL, Lake, QueryParams

TIMEOUT_S: Final = 5.0  # of one question to the journal
MEMORY_MB: Final = 256
MOST_POINTS: Final = 400  # of the equity
UNREADABLE: Final = (  # what damaged files, or files of another version, raise where they are read
    QuantumTraderError, OSError, msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError,
)
_MOST_FILES: Final = 64  # of a folder, that are looked at
Facts = dict[str, Any]
T = TypeVar("T")


def fingerprint(state: Path) -> tuple[tuple[int, ...], ...]:
    """Sizes and times of what a run in *state* writes: equal while it has written nothing. Raises OSError when gone."""
    journal = state / JOURNAL
    found = [*sorted(state.iterdir())[:_MOST_FILES], journal / "lake", *sorted((journal / "wal").glob("*"))[-8:]]
    return tuple(_stamp(path) for path in found)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        one = path.stat()
    except OSError:
        return ()
    return one.st_ino, one.st_size, one.st_mtime_ns


class FolderView:
    """One reading of the folder *state* at *now_ns* (wall clock); *trouble* names what could not be read."""

    def __init__(self, state: Path, now_ns: int) -> None:
        self.state = state
        self.now_ns = now_ns
        self.trouble: list[str] = []
        self.damage: list[str] = []  # of the journal
        self._condition: RunCondition | None = None

    def condition(self) -> RunCondition:
        """The condition of the run with its status. Raises StateError, or another of UNREADABLE."""
        if self._condition is None:
            self._condition = run_condition(self.state, self.now_ns)
        return self._condition

    def equity(self) -> EquityHistory:
        """The equity over time; empty where it cannot be read."""
        empty = EquityHistory(start_equity=None, points=())
        return self.tried("equity", lambda: equity_history(self.state, most=MOST_POINTS), empty)

    def rows(self, query: str, params: QueryParams = None) -> list[dict[str, Any]]:
        """The rows of one SELECT over the journal; none where there is no journal or it cannot be read."""
        if not self._has_journal():
            return []
        return self.tried("journal", lambda: self._asked(query, params), [])

    def trace(self, given: str) -> dict[str, Any] | None:
        """The steps of the decision that *given* belongs to (a `Trace`); None where none is recorded."""
        if not given or not self._has_journal():
            return None
        found = self.tried("trace", lambda: trace_in(self._lake(), given), None)
        return msgspec.to_builtins(found) if found is not None else None

    def _has_journal(self) -> bool:
        return (self.state / JOURNAL).is_dir()

    def _lake(self) -> Lake:
        return Lake(self.state / JOURNAL, timeout_s=TIMEOUT_S, memory_mb=MEMORY_MB, threads=1)

    def _asked(self, query: str, params: QueryParams) -> list[dict[str, Any]]:
        lake = self._lake()
        found = list(lake.answer(query, params).rows())
        for one in lake.damage:
            told = f"{one.path}: {one.reason}"
            if told not in self.damage:
                self.damage.append(told)
        return found

    def tried(self, what: str, read: Callable[[], T], otherwise: T) -> T:
        """What *read* gives, or *otherwise* where *what* cannot be read, which is told."""
        try:
            return read()
        except UNREADABLE as error:
            told = f"{what} not read: {error}"
            if told not in self.trouble:
                self.trouble.append(told)
            return otherwise
