"""What the API reads of one state folder. It takes no lock, and keeps no process from writing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Final

import msgspec

from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.runs.status import FolderStatus, folder_status
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import brief
from quantum_trader.journal.lake import JOURNAL, Lake, QueryParams

STATUS_S: Final = 0.5  # how old a status may be that is answered
TIMEOUT_S: Final = 30.0  # of one query
MEMORY_MB: Final = 512
MOST_ROWS: Final = 1_000
AS_OF: Final = msgspec.Meta(description="What was on record by this time of the market (UTC, ISO 8601).")


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of a list, newest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS, description="How many rows.")] = 100
    before: Annotated[str, msgspec.Meta(description="Only rows older than this: the `next` of the page before.")] = ""
    symbol: Annotated[str, msgspec.Meta(max_length=100, description="Only this symbol.")] = ""
    trace_id: Annotated[str, msgspec.Meta(max_length=100, description="Only this decision.")] = ""
    since: Annotated[str, msgspec.Meta(description="From this time on (UTC, ISO 8601).")] = ""
    until: Annotated[str, msgspec.Meta(description="Before this time (UTC, ISO 8601).")] = ""
    as_of: Annotated[str, AS_OF] = ""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a list, newest first. *next* is the `before` of the page after; empty when there is none."""

    rows: list[dict[str, Any]]
    next: str


class RunReader:
    """One state folder as the API reads it."""

    def __init__(self, folder: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.folder = folder
        self._now_ns = now_ns
        self._status: FolderStatus | None = None
        self._read_s = 0.0
        self._lock = Lock()

    def status(self) -> FolderStatus:
        """The status of the folder, at most STATUS_S old; many callers share one reading."""
        with self._lock:
            if self._status is None or time.monotonic() - self._read_s > STATUS_S:
                self._status, self._read_s = folder_status(self.folder, self._now_ns()), time.monotonic()
            return self._status

    def fresh_status(self) -> FolderStatus:
        """The status of the folder now."""
        return folder_status(self.folder, self._now_ns())

    def lake(self) -> Lake:
        """The journal, each query bounded by TIMEOUT_S and MEMORY_MB. ApiError where there is none yet."""
        if not (self.folder / JOURNAL).is_dir():
            raise ApiError(404, f"{self.folder.name}: has no journal yet")
        return Lake(self.folder / JOURNAL, timeout_s=TIMEOUT_S, memory_mb=MEMORY_MB, threads=1)

    def rows(self, query: str, params: QueryParams) -> list[dict[str, Any]]:
        """The rows of one SELECT, in values that JSON holds."""
        return list(self.lake().answer(query, params).rows())

    def page(self, view: str, asked: ListQuery, where: str = "", params: tuple[Any, ...] = ()) -> Page:
        """A page of the rows of *view*, which *where* with its *params* restricts further."""
        conditions, values = [where] if where else [], [*params]
        if asked.before:
            conditions.append("(ts_ns, producer, seq) < (?, ?, ?)")
            values += cursor(asked.before)
        for name in ("symbol", "trace_id"):
            if value := getattr(asked, name):
                conditions.append(f"{name} = ?")
                values.append(value)
        for name, sign in (("since", ">="), ("until", "<"), ("as_of", "<=")):
            if text := getattr(asked, name):
                conditions.append(f"ts_ns {sign} ?")
                values.append(query_time_ns(name, text))
        newest = "order by ts_ns desc, producer desc, seq desc"
        keys = f"select ts_ns, producer, seq from {view}{' where ' if conditions else ''}{' and '.join(conditions)}"
        found = self.rows(  # the keys first: sorting whole rows of a long journal would need them all in memory
            f"with keys as materialized ({keys} {newest} limit ?) "
            f"select * from {view} where (ts_ns, producer, seq) in (from keys) {newest}", [*values, asked.limit + 1],
        )
        rows = found[:asked.limit]
        more = f"{rows[-1]['ts_ns']}.{rows[-1]['producer']}.{rows[-1]['seq']}" if len(found) > len(rows) else ""
        return Page(rows=rows, next=more)

    def last(self, view: str, where: str = "", params: tuple[Any, ...] = ()) -> dict[str, Any] | None:
        """The newest row of *view*; None where there is none."""
        found = self.page(view, ListQuery(limit=1), where, params).rows
        return found[0] if found else None


def cursor(text: str) -> tuple[int, str, int]:
    """The time, producer and number in a `before`; ApiError for what is none."""
    ts_ns, _, rest = text.partition(".")
    producer, _, seq = rest.rpartition(".")
    if not (_is_number(ts_ns) and producer and _is_number(seq)):
        raise ApiError(400, f"before = {brief(text)}: must be the `next` of a page")
    return int(ts_ns), producer, int(seq)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(1 << 62)) and int(text) < 1 << 62


def query_time_ns(key: str, text: str) -> int:
    """*text* as nanoseconds; ApiError for what is no time."""
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return int(found.timestamp()) * NS_PER_SECOND + found.microsecond * 1_000
    except (ValueError, OverflowError):
        raise ApiError(400, f"{key} = {brief(text)}: must be a time such as 2024-01-15T12:00:00Z") from None
