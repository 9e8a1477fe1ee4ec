"""The SQL of metrics: one standalone SELECT for a person, and grouped ones that answer for every day and dimension.

A metric's value is either an aggregate over the rows of its relation, or a whole SELECT over ``rows`` that groups by
``key`` and gives the columns ``key`` and ``value``. Both forms are used as they stand in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.lab.metrics.catalogue import Averaged, Catalogue, SqlPlaces
from quantum_trader.lab.metrics.metric import Dimension, Metric

_EPOCH: Final = date(1970, 1, 1).toordinal()


class DaySpan(msgspec.Struct, frozen=True):
    """Days from *first* to *last*, both included; None is without an end."""

    first: date | None = None
    last: date | None = None

    @property
    def condition(self) -> str:
        """The days as a condition on ``ts_ns``, by which parts of the journal are left out unread."""
        parts = []
        if self.first is not None:
            parts.append(f"ts_ns >= {midnight_ns(self.first)}")
        if self.last is not None:
            parts.append(f"ts_ns < {midnight_ns(self.last) + NS_PER_DAY}")
        return " and ".join(parts) or "true"


class JournalSpan(msgspec.Struct, frozen=True):
    """The times of the first and of the last event of a journal."""

    first_ns: int
    last_ns: int


class Grouping(msgspec.Struct, frozen=True):
    """One way of grouping: by day or over all days, and by one dimension or none."""

    by_day: bool
    dimension: Dimension | None


def groupings(dimensions: Sequence[Dimension]) -> list[Grouping]:
    """Every way of grouping that a snapshot has."""
    return [Grouping(by_day, one) for by_day in (False, True) for one in (None, *dimensions)]


def is_select(metric: Metric) -> bool:
    """Whether the value is a SELECT over ``rows`` instead of an aggregate."""
    return metric.value.lstrip().lower().startswith(("select ", "with "))


def text_literal(text: str) -> str:
    """*text* as SQL."""
    return "'" + text.replace("'", "''") + "'"


def rows_of(
    catalogue: Catalogue, name: str, span: DaySpan, where: Mapping[str, str] | None = None,
    journal: JournalSpan | None = None,
) -> str:
    """The SELECT of the rows of *span* of the relation *name*, with the values *where* of dimensions.

    With *journal* its times stand in the SELECT, which else reads them from all events.
    """
    conditions = [span.condition] if span.condition != "true" else []
    conditions += [f"{name} = {text_literal(value)}" for name, value in sorted((where or {}).items())]
    tail = f" where {' and '.join(conditions)}" if conditions else ""
    return f"select * from (\n{catalogue.rows_sql(name, _places(span, journal))}\n){tail}"


def _places(span: DaySpan, journal: JournalSpan | None) -> SqlPlaces:
    given = {"days": span.condition}
    if span.first is not None:
        given["begin_ns"] = str(midnight_ns(span.first))
    if span.last is not None:
        given["end_ns"] = str(midnight_ns(span.last) + NS_PER_DAY)
    if journal is not None:
        given |= {"first_ns": str(journal.first_ns), "last_ns": str(journal.last_ns)}
    return SqlPlaces(**given)


def standalone(catalogue: Catalogue, metric: Metric, span: DaySpan, where: Mapping[str, str]) -> str:
    """One SELECT over the journal's views that answers with the value of *metric* and its samples."""
    rows = rows_of(catalogue, metric.of, span, where)
    if is_select(metric):
        value = f"(select value from ({metric.value.strip()}))"
        return (
            f"with rows as (select 0 as key, * from ({rows})) "
            f"select {value} as value, {metric.samples} as samples from rows"
        )
    return f"select {metric.value.strip()} as value, {metric.samples} as samples from ({rows})"


def aggregates(metrics: Sequence[Metric], table: str, ways: Sequence[Grouping], dimensions: Sequence[Dimension]) -> str:
    """The SELECT of every aggregate of *metrics* over *table* in *ways*, which are all by day or none of them is.

    Columns: ``way`` (the bits of ``grouping_id`` over *dimensions*), ``day`` (NULL where not by day), the dimensions,
    and of each metric ``v0``, ``s0``, ``v1`` ...; ``v`` is NULL of a metric whose value is a SELECT.
    """
    number = f"grouping_id({', '.join(dimensions)})" if dimensions else "0"
    columns = [number, "day" if ways[0].by_day else "null", *dimensions, metric_columns(metrics)]
    sets = ", ".join(f"({', '.join(_keys_of(way))})" for way in ways)
    return f"select {', '.join(columns)} from {table} group by grouping sets ({sets})"


def metric_columns(metrics: Sequence[Metric]) -> str:
    """The values and samples of *metrics* as columns ``v0``, ``s0``, ``v1`` ..."""
    return ", ".join(
        f"{'null' if is_select(one) else one.value.strip()} as v{place}, {one.samples} as s{place}"
        for place, one in enumerate(metrics)
    )


def exploded(table: str, ways: Sequence[Grouping], columns: Sequence[str] = ("*",)) -> str:
    """Every row of *table* once for each of the *ways*, with the ``key`` of its group and these *columns*.

    A key is the place of the way, the day and the value; rows without a value of the dimension are left out.
    """
    parts = []
    quoted = [one if one == "*" else f'"{one}"' for one in columns]
    for place, way in enumerate(ways):
        day = "day" if way.by_day else "cast(null as date)"
        key = f"{{'way': {place}, 'day': {day}, 'of': cast({way.dimension or 'null'} as varchar)}}"
        only = f" where {way.dimension} <> ''" if way.dimension is not None else ""
        parts.append(f"select {key} as key, {', '.join(quoted)} from {table}{only}")
    return " union all ".join(parts)


def mean_parts(averages: Sequence[Averaged]) -> str:
    """The SELECT over ``rows`` of what means are made of, by ``key`` and day: ``n0``, ``s0``, ``n1`` ..."""
    columns = "".join(
        f", sum(case when {one.where} then {one.count} end) as n{place}"
        f", fsum(case when {one.where} then {one.total} end) as s{place}"
        for place, one in enumerate(averages)
    )
    return f"select key, day{columns} from rows group by key, day"


def mean_error(parts: str, place: int) -> str:
    """The SELECT over the table *parts* of the standard error of the mean at *place* of :func:`mean_parts`.

    Whole days are its independent parts. Columns ``key``, ``error`` and ``effective``, the effective number of days;
    the formula is that of ``lab.learning.probability_scores`` for blocks.
    """
    return (
        f"with parts as (select key, day, n{place} as n, s{place} as s from {parts} where n{place} > 0), "
        "means as (select key, fsum(s) / sum(n) as mean, sum(n) as total, count(*) as days, "
        "sum(n) * sum(n) / sum(n * n) as effective from parts group by key) "
        "select key, any_value(effective) as effective, "
        "sqrt(fsum((s - n * mean) * (s - n * mean)) * any_value(days) / (any_value(days) - 1)) / any_value(total) "
        "as error from parts join means using (key) where days > 1 group by key"
    )


def _keys_of(way: Grouping) -> list[str]:
    return [*(["day"] if way.by_day else []), *([str(way.dimension)] if way.dimension is not None else [])]


def midnight_ns(day: date) -> int:
    """The first moment of *day*, UTC."""
    return (day.toordinal() - _EPOCH) * NS_PER_DAY
