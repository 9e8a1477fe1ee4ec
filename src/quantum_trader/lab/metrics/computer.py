"""Computes metrics from a run's journal: every day, every value of every dimension, and the SQL of any one figure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
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
from quantum_trader.lab.metrics.queries import DaySpan, mean_error, mean_parts, midnight_ns, rows_of, standalone
from quantum_trader.lab.metrics.relation_values import ROWS, RelationValues, finite_number, value_bounds
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue

_DAYS: Final = "select day, count(*) as events from events group by day order by day"
_LAST: Final = "select max(ts_ns) as last_ns from events"


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
        return _counts(self._lake().sql(_DAYS))

    def compute(self, first_day: str | None = None, last_day: str | None = None) -> MetricSnapshot:
        """Every metric of each day from *first_day* to *last_day* and of all of them together.

        A snapshot's own day is the last one. Days that are over are kept in the state folder and read from there.
        Raises StateError for a journal that is empty or has none of these days.
        """
        span = _span(first_day, last_day)
        counts = self.days()
        kept = self._kept(counts, span)
        found = self._finished.read(WHOLE, _total(counts)) if span == DaySpan() else None
        if found is None or not counts.keys() <= kept.keys() | {one.key.day for one in found}:
            counts, found = self._computed(span, lambda day: day not in kept, whole=True)
        values = [*found, *(one for day in kept for one in kept[day])]
        return MetricSnapshot(self.catalogue.queried, values, max(day for day in counts if _inside(day, span)))

    def day(self, day: str) -> MetricSnapshot:
        """Every metric of one *day*. Raises StateError where the journal has no event of that day."""
        span = _span(day, day)
        kept = self._kept(self._count_of(day, span), span)
        values = kept[day] if day in kept else self._computed(span, lambda _: True, whole=False)[1]
        return MetricSnapshot(self.catalogue.queried, values, day)

    def some(self, day: str, names: Collection[str]) -> MetricSnapshot:
        """The metrics *names* of one *day*: of what was kept, or computed without the others and not kept.

        Raises StateError where the journal has no event of that day.
        """
        span = _span(day, day)
        kept = self._kept(self._count_of(day, span), span)
        if day in kept:
            return MetricSnapshot(
                self.catalogue.queried, (one for one in kept[day] if one.key.metric in names), day
            )
        part = Catalogue(self.catalogue.relations, {name: self.catalogue.metric(name) for name in names})
        values = MetricsComputer(self.state, part, keeps=False)._computed(span, lambda _: True, whole=False)[1]
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
    def _kept(self, counts: Mapping[str, int], span: DaySpan) -> dict[str, list[MetricValue]]:
        """The values of the days of *span* that were kept and still count."""
        found = {day: self._finished.read(day, events) for day, events in counts.items() if _inside(day, span)}
        return {day: values for day, values in found.items() if values is not None}

    def _count_of(self, day: str, span: DaySpan) -> dict[str, int]:
        """The events of one *day*, without reading the other days."""
        found = self._lake().sql(f"select count(*) as events from events where {span.condition}").to_pylist()
        return {day: found[0]["events"]} if found[0]["events"] else {}

    def _computed(
        self, span: DaySpan, is_wanted: Callable[[str], bool], *, whole: bool
    ) -> tuple[dict[str, int], list[MetricValue]]:
        """Events by day of *span*, and the values of its days that are wanted and, where asked for, of the whole."""
        used = [name for name in self.catalogue.relations if self.catalogue.of_relation(name)]
        counting = f"select day, count(*) as events from events where {span.condition} group by day order by day"
        counted, last, *tables = self._lake().tables(
            [counting, _LAST, *(rows_of(self.catalogue, name, span) for name in used)]
        )
        counts = _counts(counted)
        if not counts:
            raise StateError(f"--state {self.state}: the journal has no event of the days asked for")
        days = [day for day in counts if is_wanted(day)]
        values: list[MetricValue] = []
        with duckdb.connect(":memory:", config={"threads": 1}) as connection:  # one: sums in one order, bit for bit
            for name, rows in zip(used, tables, strict=True):
                connection.register("found", rows)
                connection.execute(f"create or replace temp table {ROWS} as select * from found {ordering(rows)}")
                connection.unregister("found")
                metrics, dimensions = self.catalogue.of_relation(name), self.catalogue.relations[name].dimensions
                values += RelationValues(connection, metrics, dimensions).of(days, whole=whole)
        over = [day for day in days if last["last_ns"][0].as_py() >= _over_ns(day)]
        if self._keeps:
            self._keep(counts, over, values, whole=whole and span == DaySpan())
        return counts, values

    def _keep(
        self, counts: Mapping[str, int], over: Sequence[str], values: Sequence[MetricValue], *, whole: bool
    ) -> None:
        """Keep the *values* of the days that are *over*; those of the whole with the days that are not, if *whole*."""
        by_day: dict[str, list[MetricValue]] = {day: [] for day in over}
        rest: list[MetricValue] = []
        for one in values:
            by_day.get(one.key.day, rest).append(one)
        if whole:
            by_day[WHOLE] = rest
        for day, some in by_day.items():
            if not self._finished.keep(day, _total(counts) if day == WHOLE else counts[day], some):
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


def _counts(table: pa.Table) -> dict[str, int]:
    """Events by day."""
    return {row["day"].isoformat(): row["events"] for row in table.to_pylist()}


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
