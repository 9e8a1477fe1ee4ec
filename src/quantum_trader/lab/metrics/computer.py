"""Computes metrics from a run's journal: every day, every value of every dimension, and the SQL of any one figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.learning.probability_scores import MIN_BLOCKS, wilson_interval
from quantum_trader.lab.metrics.catalogue import Catalogue, averaged, load_catalogue
from quantum_trader.lab.metrics.metric import Dimension, Metric
from quantum_trader.lab.metrics.queries import (
    DaySpan,
    Grouping,
    aggregates,
    exploded,
    groupings,
    is_select,
    mean_errors,
    metric_columns,
    rows_of,
    standalone,
)
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue
from quantum_trader.policy.evidence import student_t_quantile

JOURNAL: Final = "journal"
_ALPHA: Final = 0.05
_Bounds = tuple[float, float]


class MetricsComputer:
    """Metrics of one state folder by one catalogue."""

    def __init__(self, state: Path | str, catalogue: Catalogue | None = None) -> None:
        """Raise StateError where the folder has no journal."""
        self.state = Path(state)
        self.catalogue = catalogue if catalogue is not None else load_catalogue()
        if not (self.state / JOURNAL).is_dir():
            raise StateError(
                f"--state {self.state}: there is no journal; give the folder of a run "
                "(`quantum-trader run --state DIR`)"
            )

    def days(self) -> dict[str, int]:
        """Events by day of the journal, oldest day first."""
        found = self._lake().sql("select day, count(*) as events from events group by day order by day")
        return {row["day"].isoformat(): row["events"] for row in found.to_pylist()}

    def compute(self, first_day: str | None = None, last_day: str | None = None) -> MetricSnapshot:
        """Every metric of each day from *first_day* to *last_day* and of all of them together.

        A snapshot's own day is the last one. Raises StateError for a journal that is empty or has none of these days.
        """
        span = _span(first_day, last_day)
        known = [day for day in self.days() if _inside(day, span)]
        if not known:
            raise StateError(f"--state {self.state}: the journal has no event of the days asked for")
        values = self._computed(span, known)
        return MetricSnapshot(self.catalogue.metrics, values, known[-1])

    def day(self, day: str) -> MetricSnapshot:
        """Every metric of one *day*."""
        snapshot = self.compute(day, day)
        return MetricSnapshot(self.catalogue.metrics, (one for one in snapshot if one.key.day == day), day)

    def value(self, metric: str, day: str = WHOLE, **where: str) -> MetricValue:
        """One value of *metric* on *day* with any combination of dimensions."""
        found = self.catalogue.metric(metric)
        rows = self._lake().sql(self.explain(metric, day, **where)).to_pylist()
        value, samples = _number(rows[0]["value"]), int(rows[0]["samples"] or 0)
        low, high = self._bounds(found, value, samples, self._error(found, day, where))
        key = MetricKey(metric, day, tuple(sorted(where.items())))
        return MetricValue(key=key, value=value, samples=samples, low=low, high=high)

    def explain(self, metric: str, day: str = WHOLE, **where: str) -> str:
        """The SELECT that answers with the same value: ``quantum-trader journal sql`` takes it as it is."""
        return standalone_query(self.catalogue, metric, day, where)

    # ---- one figure --------------------------------------------------------------------------------------------------
    def _error(self, metric: Metric, day: str, where: Mapping[str, str]) -> tuple[float, float] | None:
        """Standard error of a mean and its effective days; None without one."""
        average = averaged(metric) if metric.interval == "mean" else None
        if average is None or day != WHOLE:
            return None
        rows = rows_of(self.catalogue, metric.of, DaySpan(), where)
        found = self._lake().sql(
            f"with rows as (select 0 as key, * from ({rows})) select * from ({mean_errors(average)})"
        ).to_pylist()
        return (found[0]["error"], found[0]["effective"]) if found else None

    def _bounds(
        self, metric: Metric, value: float | None, samples: int, error: tuple[float, float] | None
    ) -> tuple[float | None, float | None]:
        """95 % bounds of the true value; None and None where there are none."""
        if value is None:
            return None, None
        if metric.interval == "wilson":
            low, high = wilson_interval(value, samples, _ALPHA)
            return _number(low), _number(high)
        if error is None or error[0] is None or not error[1] >= MIN_BLOCKS:
            return None, None
        reach = student_t_quantile(1.0 - _ALPHA / 2.0, error[1] - 1.0) * error[0]
        return value - reach, value + reach

    # ---- all figures -------------------------------------------------------------------------------------------------
    def _computed(self, span: DaySpan, days: Sequence[str]) -> list[MetricValue]:
        values: list[MetricValue] = []
        for name, relation in self.catalogue.relations.items():
            metrics = self.catalogue.of_relation(name)
            if metrics:
                rows = self._lake().sql(rows_of(self.catalogue, name, span))
                with duckdb.connect(":memory:", config={"threads": 2}) as connection:
                    connection.register("relation", rows)
                    values += _RelationValues(connection, metrics, relation.dimensions, self._bounds).of(days)
        return values

    def _lake(self) -> Lake:
        return Lake(self.state / JOURNAL)


def standalone_query(catalogue: Catalogue, name: str, day: str, where: Mapping[str, str]) -> str:
    """The SELECT of one figure of the metric *name*; InputError for a dimension that it cannot be asked by."""
    metric = catalogue.metric(name)
    for key, value in where.items():
        if key not in metric.by:
            raise InputError(
                f"{key} = {value!r}: {name} cannot be asked by it; choose from {', '.join(metric.by) or 'none'}"
            )
    span = DaySpan() if day == WHOLE else _span(day, day)
    return standalone(catalogue, metric, span, where)


class _RelationValues:
    """All values of the metrics of one relation, whose rows are in the table ``relation``."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, metrics: Sequence[Metric], dimensions: Sequence[Dimension],
        bounds: Any,
    ) -> None:
        self._connection, self._metrics, self._bounds = connection, metrics, bounds
        self._dimensions = [one for one in dimensions if any(one in metric.by for metric in metrics)]
        self._ways = groupings(self._dimensions)
        self._numbers = [self._number_of(way) for way in self._ways]

    def of(self, days: Sequence[str]) -> Iterator[MetricValue]:
        """Every value: of groups that have rows, and of *days* and the whole without any as an empty group gives."""
        found = self._by_aggregate()
        empty = self._connection.sql(f"select {metric_columns(self._metrics)} from relation where false").fetchall()[0]
        for day in (WHOLE, *days):
            found.setdefault((day, ()), list(empty))
        selects = {place: self._by_select(one.value) for place, one in enumerate(self._metrics) if is_select(one)}
        errors = {place: self._errors(one) for place, one in enumerate(self._metrics) if one.interval == "mean"}
        for (day, where), row in found.items():
            for place, metric in enumerate(self._metrics):
                if where and where[0][0] not in metric.by:
                    continue
                given = selects[place].get((day, where)) if place in selects else row[2 * place]
                value, samples = _number(given), int(row[2 * place + 1] or 0)
                low, high = self._bounds(metric, value, samples, errors.get(place, {}).get((day, where)))
                yield MetricValue(
                    key=MetricKey(metric.id, day, where), value=value, samples=samples, low=low, high=high
                )

    def _number_of(self, way: Grouping) -> int:
        """What ``grouping_id`` says of *way*: a bit is 1 where its column is not grouped by."""
        bits = [not way.by_day, *(one != way.dimension for one in self._dimensions)]
        return int("".join("1" if bit else "0" for bit in bits), 2)

    def _by_aggregate(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[Any]]:
        query = aggregates(self._metrics, "relation", self._ways, self._dimensions)
        by_number = dict(zip(self._numbers, self._ways, strict=True))
        found = {}
        for number, day, *rest in self._connection.sql(query).fetchall():
            way, width = by_number[number], len(self._dimensions)
            value = rest[self._dimensions.index(way.dimension)] if way.dimension is not None else None
            if way.dimension is None or value:
                found[_group(way, day, value)] = list(rest[width:])
        return found

    def _by_select(self, query: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], Any]:
        return {key: row[0] for key, row in self._rows(query, "value", self._ways)}

    def _errors(self, metric: Metric) -> dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, float]]:
        """Of groups over all days: one day has no error, for the parts are days."""
        average = averaged(metric)
        assert average is not None, f"{metric.id}: an interval of a mean is of a mean"
        ways = [way for way in self._ways if not way.by_day]
        return {key: (row[0], row[1]) for key, row in self._rows(mean_errors(average), "error, effective", ways)}

    def _rows(
        self, query: str, columns: str, ways: Sequence[Grouping]
    ) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], tuple[Any, ...]]]:
        numbers = [self._number_of(way) for way in ways]
        by_number = dict(zip(numbers, ways, strict=True))
        text = f"with rows as ({exploded('relation', ways, numbers)}) select key, {columns} from ({query})"
        for (number, day, value), *rest in map(_unpacked, self._connection.sql(text).fetchall()):
            yield _group(by_number[number], day, value), tuple(rest)


def _unpacked(row: tuple[Any, ...]) -> tuple[Any, ...]:
    key, *rest = row
    return (tuple(key.values()) if isinstance(key, dict) else key, *rest)


def _group(way: Grouping, day: date | None, value: str | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    where = ((str(way.dimension), str(value)),) if way.dimension is not None else ()
    return (day.isoformat() if way.by_day and day is not None else WHOLE), where


def _number(value: Any) -> float | None:
    """*value* as a finite number; None for NULL, NaN and infinity: no data."""
    return float(value) if value is not None and math.isfinite(value) else None


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
