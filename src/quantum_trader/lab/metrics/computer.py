"""Computes metrics from a run's journal: every day, every value of every dimension, and the SQL of any one figure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal.lake import Lake, journal_of
from quantum_trader.lab.metrics.catalogue import OF_MEANS, Catalogue, averaged, load_catalogue
from quantum_trader.lab.metrics.finished_days import FinishedDays
from quantum_trader.lab.metrics.metric import Metric
from quantum_trader.lab.metrics.queries import (
    DaySpan,
    JournalSpan,
    mean_error,
    mean_parts,
    midnight_ns,
    rows_of,
    standalone,
)
from quantum_trader.lab.metrics.relation_values import ROWS, RelationValues, finite_number, value_bounds
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue

_DAYS: Final = (
    "select day, count(*) as events, min(ts_ns) as first_ns, max(ts_ns) as last_ns from events "
    "group by day order by day"
)
_SPAN: Final = "select min(ts_ns) as first_ns, max(ts_ns) as last_ns from events"
_THREADS: Final = 2  # relations that are grouped at the same time
_LAST_DAY: Final = f"select coalesce(max(day) filter (ts_ns % {NS_PER_DAY} <> 0), max(day)) as day from events"


class MetricsComputer:
    """Metrics of one state folder by one catalogue."""

    def __init__(self, state: Path | str, catalogue: Catalogue | None = None, *, keeps: bool = True) -> None:
        """*keeps*: whether values of days that are over are kept. Raises StateError where there is no journal."""
        self.state = Path(state)
        self.catalogue = catalogue if catalogue is not None else load_catalogue()
        journal_of(self.state)
        self._finished = FinishedDays(self.state, self.catalogue.content_hash)
        self._keeps = keeps

    def days(self) -> dict[str, int]:
        """Events by day of the journal, oldest day first."""
        return self._counted()[0]

    def last_day(self) -> str:
        """The last day that has an event after its first moment; empty for an empty journal.

        The last bar of a run to a day's end closes at midnight, where a further day begins that nothing happened on.
        """
        found = self._lake().sql(_LAST_DAY)["day"][0].as_py()
        return found.isoformat() if found is not None else ""

    def compute(self, first_day: str | None = None, last_day: str | None = None) -> MetricSnapshot:
        """Every metric of each day from *first_day* to *last_day* and of all of them together.

        A snapshot's own day is the last one, as :meth:`last_day` has it. Days that are over are kept in the
        state folder and read from there.
        Raises StateError for a journal that is empty or has none of these days.
        """
        span = _span(first_day, last_day)
        known, journal = self._counted()
        counts = {day: events for day, events in known.items() if _inside(day, span)}
        kept = self._kept(counts)
        found = self._finished.read(WHOLE, _total(counts)) if span == DaySpan() else None
        if found is None or not counts.keys() <= kept.keys() | {one.key.day for one in found}:
            missing = {day: events for day, events in counts.items() if day not in kept}
            found = self._computed(span, journal, missing, whole=_total(counts))
        values = [*found, *(one for day in kept for one in kept[day])]
        last = self.last_day()
        return MetricSnapshot(self.catalogue.queried, values, last if last in counts else max(counts))

    def day(self, day: str) -> MetricSnapshot:
        """Every metric of one *day*. Raises StateError where the journal has no event of that day."""
        span = _span(day, day)
        counts, journal = self._counted_of(day, span)
        kept = self._kept(counts)
        values = kept[day] if day in kept else self._computed(span, journal, counts)
        return MetricSnapshot(self.catalogue.queried, values, day)

    def some(self, day: str, names: Collection[str]) -> MetricSnapshot:
        """The metrics *names* of one *day*: of what was kept, or computed without the others and not kept.

        Raises StateError where the journal has no event of that day.
        """
        span = _span(day, day)
        counts, journal = self._counted_of(day, span)
        kept = self._kept(counts)
        if day in kept:
            return MetricSnapshot(
                self.catalogue.queried, (one for one in kept[day] if one.key.metric in names), day
            )
        part = Catalogue(self.catalogue.relations, {name: self.catalogue.metric(name) for name in names})
        values = MetricsComputer(self.state, part, keeps=False)._computed(span, journal, counts)
        return MetricSnapshot(self.catalogue.queried, values, day)

    def value(self, metric: str, day: str = WHOLE, **where: str) -> MetricValue:
        """One value of *metric* on *day* with any combination of dimensions."""
        found = self.catalogue.metric(metric)
        rows = self._lake().sql(self.explain(metric, day, **where)).to_pylist()
        value, samples = finite_number(rows[0]["value"]), int(rows[0]["samples"] or 0)
        low, high = value_bounds(found, value, samples, self._error(found, day, where))
        key = MetricKey(metric, day, tuple(sorted(where.items())))
        return MetricValue(key=key, value=value, samples=samples, low=low, high=high)

    def explain(self, metric: str, day: str = WHOLE, **where: str) -> str:
        """The SELECT that answers with the same value: ``quantum-trader journal sql`` takes it as it is."""
        return standalone_query(self.catalogue, metric, day, where)

    # ---- one figure --------------------------------------------------------------------------------------------------
    def _error(self, metric: Metric, day: str, where: Mapping[str, str]) -> tuple[float, float] | None:
        """Standard error of a mean and its effective days; None without one."""
        average = averaged(metric) if metric.interval in OF_MEANS else None
        if average is None or day != WHOLE:
            return None
        rows = rows_of(self.catalogue, metric.of, DaySpan(), where)
        found = self._lake().sql(
            f"with rows as (select 0 as key, * from ({rows})), made as ({mean_parts([average])}) "
            f"select * from ({mean_error('made', 0)})"
        ).to_pylist()
        return (found[0]["error"], found[0]["effective"]) if found else None

    # ---- all figures -------------------------------------------------------------------------------------------------
    def _counted(self) -> tuple[dict[str, int], JournalSpan | None]:
        """Events by day, oldest day first, and the times of the first and the last event; None without an event."""
        rows = self._lake().sql(_DAYS).to_pylist()
        counts = {row["day"].isoformat(): row["events"] for row in rows}
        if not rows:
            return counts, None
        return counts, JournalSpan(min(row["first_ns"] for row in rows), max(row["last_ns"] for row in rows))

    def _counted_of(self, day: str, span: DaySpan) -> tuple[dict[str, int], JournalSpan | None]:
        """As ``_counted``, with the events of one *day*, without reading the other days."""
        counting = f"select count(*) as events from events where {span.condition}"
        counted, times = (table.to_pylist()[0] for table in self._lake().tables([counting, _SPAN]))
        return ({day: counted["events"]}, JournalSpan(**times)) if counted["events"] else ({}, None)

    def _kept(self, counts: Mapping[str, int]) -> dict[str, list[MetricValue]]:
        """The values of the days of *counts* that were kept and still count."""
        found = {day: self._finished.read(day, events) for day, events in counts.items()}
        return {day: values for day, values in found.items() if values is not None}

    def _computed(
        self, span: DaySpan, journal: JournalSpan | None, counts: Mapping[str, int], whole: int | None = None
    ) -> list[MetricValue]:
        """The values of the days of *counts*, and of all rows of *span* where *whole* says how many events these are.

        What is kept is kept for the events that were counted: one that came since makes its day anew.
        """
        if journal is None or not (counts or whole):
            raise StateError(f"--state {self.state}: the journal has no event of the days asked for")
        used = [name for name in self.catalogue.relations if self.catalogue.of_relation(name)]
        tables = self._lake().tables([rows_of(self.catalogue, name, span, journal=journal) for name in used])
        with (
            duckdb.connect(":memory:", config={"threads": 1}) as database,  # one: sums in one order, bit for bit
            ThreadPoolExecutor(_THREADS, "metrics") as pool,
        ):
            grouped = partial(self._grouped, database, list(counts), whole=whole is not None)
            values = [one for some in pool.map(grouped, used, tables) for one in some]
        if self._keeps:
            over = [day for day in counts if journal.last_ns >= _over_ns(day)]
            self._keep(counts, over, values, whole if span == DaySpan() else None)
        return values

    def _grouped(
        self, database: duckdb.DuckDBPyConnection, days: Sequence[str], name: str, rows: pa.Table, *, whole: bool
    ) -> list[MetricValue]:
        """The values of the relation *name*, which has *rows*; several relations at a time."""
        with database.cursor() as connection:
            connection.register("found", rows)
            connection.execute(f"create temp table {ROWS} as select * from found {ordering(rows)}")
            metrics, dimensions = self.catalogue.of_relation(name), self.catalogue.relations[name].dimensions
            return list(RelationValues(connection, metrics, dimensions).of(days, whole=whole))

    def _keep(
        self, counts: Mapping[str, int], over: Sequence[str], values: Sequence[MetricValue], whole: int | None
    ) -> None:
        """Keep the *values* of the days that are *over*; the others as those of the *whole*, with its events."""
        by_day: dict[str, list[MetricValue]] = {day: [] for day in over}
        rest: list[MetricValue] = []
        for one in values:
            by_day.get(one.key.day, rest).append(one)
        events = dict(counts)
        if whole is not None:
            by_day[WHOLE], events[WHOLE] = rest, whole
        for day, some in by_day.items():
            if not self._finished.keep(day, events[day], some):
                return

    def _lake(self) -> Lake:
        return journal_of(self.state)


def ordering(rows: pa.Table) -> str:
    """The ORDER BY of *rows* under which sums are the same bit for bit, wherever the rows came from.

    Rows that are equal in time and in every number may stand in any order: no sum sees it.
    """
    numbers = [field.name for field in rows.schema if pa.types.is_floating(field.type)]
    return f"order by {', '.join(['ts_ns', *numbers])}" if numbers else ""


def standalone_query(catalogue: Catalogue, name: str, day: str, where: Mapping[str, str]) -> str:
    """The SELECT of one figure of the metric *name*; InputError where it has no SQL, or for a dimension that
    it cannot be asked by.
    """
    metric = catalogue.metric(name)
    if metric.function:
        command = catalogue.sources[metric.of].command
        raise InputError(f"metric {name!r}: has no SQL; {metric.function} computes it, and `{command}` prints it")
    for key, value in where.items():
        if key not in metric.by:
            raise InputError(
                f"{key} = {value!r}: {name} cannot be asked by it; choose from {', '.join(metric.by) or 'none'}"
            )
    span = DaySpan() if day == WHOLE else _span(day, day)
    return standalone(catalogue, metric, span, where)


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _over_ns(day: str) -> int:
    """When *day* counts as over: an hour after its end, for what its end still brings."""
    return midnight_ns(date.fromisoformat(day)) + NS_PER_DAY + NS_PER_HOUR


def _span(first: str | None, last: str | None) -> DaySpan:
    days = [_day(key, given) if given is not None else None for key, given in (("first", first), ("last", last))]
    return DaySpan(days[0], days[1])


def _day(key: str, given: str) -> date:
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise InputError(f"{key} day {given!r}: write it as 2026-11-27") from None


def _inside(day: str, span: DaySpan) -> bool:
    found = date.fromisoformat(day)
    return (span.first is None or span.first <= found) and (span.last is None or found <= span.last)
