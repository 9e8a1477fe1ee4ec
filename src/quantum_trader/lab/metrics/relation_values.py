"""The values of all metrics of one relation: its rows grouped once by day and each dimension, with bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import duckdb

from quantum_trader.lab.learning.probability_scores import MIN_BLOCKS, wilson_interval
from quantum_trader.lab.metrics.catalogue import OF_MEANS, averaged
from quantum_trader.lab.metrics.metric import Dimension, Metric
from quantum_trader.lab.metrics.queries import (
    Grouping,
    aggregates,
    exploded,
    groupings,
    is_select,
    mean_error,
    mean_parts,
    metric_columns,
)
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricValue
from quantum_trader.policy.evidence import student_t_quantile

ALPHA: Final = 0.05  # two-sided error of the bounds
ROWS: Final = "relation"  # table of the rows
_DAYS: Final = "wanted_days"
_PARTS: Final = "parts_of_means"
_EXPLODED: Final = "exploded_rows"
_WORD: Final = re.compile(r"\w+")
_Group = tuple[str, tuple[tuple[str, str], ...]]  # day and filter


def finite_number(value: Any) -> float | None:
    """*value* as a finite number; None for NULL, NaN and infinity: no data."""
    return float(value) if value is not None and math.isfinite(value) else None


def value_bounds(
    metric: Metric, value: float | None, samples: int, error: tuple[float | None, float] | None
) -> tuple[float | None, float | None]:
    """95 % bounds of the true value, None and None where there are none.

    *error* is the standard error of a mean and its effective number of days.
    """
    if value is None:
        return None, None
    if metric.interval == "wilson":
        low, high = wilson_interval(value, samples, ALPHA)
        return finite_number(low), finite_number(high)
    if error is None or error[0] is None or not error[1] >= MIN_BLOCKS:
        return None, None
    reach = student_t_quantile(1.0 - ALPHA / 2.0, error[1] - 1.0) * error[0]
    low, high = value - reach, value + reach
    return (max(low, 0.0), min(high, 1.0)) if metric.interval == "share" else (low, high)


class RelationValues:
    """All values of the metrics of one relation, whose rows are in the table ``relation`` of *connection*."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, metrics: Sequence[Metric], dimensions: Sequence[Dimension]
    ) -> None:
        self._connection, self._metrics = connection, metrics
        self._dimensions = [one for one in dimensions if any(one in metric.by for metric in metrics)]

    def of(self, days: Sequence[str], *, whole: bool) -> Iterator[MetricValue]:
        """The values of each of *days* and, where asked for, of all rows together.

        A day without rows has the values that the aggregates have of no row: a count is 0, all else is no data.
        """
        if self._connection.execute(f"select 1 from {ROWS} limit 1").fetchone() is None:
            yield from self._made([*days, *([WHOLE] if whole else [])], {}, {}, {})
            return
        listed = ", ".join(f"date '{day}'" for day in days) or "null"
        self._connection.execute(
            f"create or replace temp view {_DAYS} as select * from {ROWS} where day in ({listed})"
        )
        ways = groupings(self._dimensions)
        if days:
            yield from self._values([way for way in ways if way.by_day], _DAYS, days)
        if whole:
            yield from self._values([way for way in ways if not way.by_day], ROWS, [WHOLE])

    def _values(self, ways: Sequence[Grouping], table: str, days: Sequence[str]) -> Iterator[MetricValue]:
        errors = {} if ways[0].by_day else self._errors(ways)  # the parts of a mean's error are days: one day has none
        yield from self._made(days, self._by_aggregate(ways, table), self._selected(ways, table), errors)

    def _made(
        self, days: Sequence[str], found: dict[_Group, list[Any]], selects: Mapping[int, Mapping[_Group, Any]],
        errors: Mapping[int, Mapping[_Group, tuple[float | None, float]]],
    ) -> Iterator[MetricValue]:
        """The values of *days* and groups from the columns *found* of aggregates, *selects* and *errors* by place."""
        empty = self._connection.sql(f"select {metric_columns(self._metrics)} from {ROWS} where false").fetchall()[0]
        for day in days:
            found.setdefault((day, ()), list(empty))
        for (day, where), row in found.items():
            for place, metric in enumerate(self._metrics):
                if where and where[0][0] not in metric.by:
                    continue
                given = selects[place].get((day, where)) if place in selects else row[2 * place]
                value, samples = finite_number(given), int(row[2 * place + 1] or 0)
                low, high = value_bounds(metric, value, samples, errors.get(place, {}).get((day, where)))
                yield MetricValue(
                    key=MetricKey(metric.id, day, where), value=value, samples=samples, low=low, high=high
                )

    def _by_aggregate(self, ways: Sequence[Grouping], table: str) -> dict[_Group, list[Any]]:
        query = aggregates(self._metrics, table, ways, self._dimensions)
        by_number = {self._number_of(way): way for way in ways}
        found, width = {}, len(self._dimensions)
        for number, day, *rest in self._connection.sql(query).fetchall():
            way = by_number[number]
            value = rest[self._dimensions.index(way.dimension)] if way.dimension is not None else None
            if way.dimension is None or value:
                found[_group(way, day, value)] = rest[width:]
        return found

    def _errors(self, ways: Sequence[Grouping]) -> dict[int, dict[_Group, tuple[float | None, float]]]:
        """Standard errors of the means and their effective days, by the place of the metric."""
        found = [(place, averaged(one)) for place, one in enumerate(self._metrics) if one.interval in OF_MEANS]
        averages = [(place, one) for place, one in found if one is not None]
        if not averages:
            return {}
        self._connection.execute(
            f"create or replace temp table {_PARTS} as with rows as ({exploded(ROWS, ways)}) "
            + mean_parts([one for _, one in averages])
        )
        return {
            place: {
                _group(ways[way], day, value): (error, effective)
                for way, day, value, error, effective in self._connection.sql(
                    f"select key.way, key.day, key.of, error, effective from ({mean_error(_PARTS, number)})"
                ).fetchall()
            }
            for number, (place, _) in enumerate(averages)
        }

    def _selected(self, ways: Sequence[Grouping], table: str) -> dict[int, dict[_Group, Any]]:
        """The values of the metrics that are SELECTs over ``rows``, by the place of the metric."""
        places = [place for place, one in enumerate(self._metrics) if is_select(one)]
        if places:  # a table, else each SELECT would plan and read the rows of all ways again
            words = {word for place in places for word in _WORD.findall(self._metrics[place].value.lower())}
            columns = [one for one in self._connection.table(ROWS).columns if one.lower() in words]
            self._connection.execute(
                f"create or replace temp table {_EXPLODED} as {exploded(table, ways, columns)}"
            )
        return {
            place: {
                _group(ways[way], day, of): value
                for way, day, of, value in self._connection.sql(
                    f"with rows as (select * from {_EXPLODED}) "
                    f"select key.way, key.day, key.of, value from ({self._metrics[place].value})"
                ).fetchall()
            }
            for place in places
        }

    def _number_of(self, way: Grouping) -> int:
        """What ``grouping_id`` says of *way*: a bit is 1 where its column is not grouped by."""
        return int("0" + "".join("0" if one == way.dimension else "1" for one in self._dimensions), 2)


def _group(way: Grouping, day: date | None, value: str | None) -> _Group:
    where = ((str(way.dimension), str(value)),) if way.dimension is not None else ()
    return (day.isoformat() if way.by_day and day is not None else WHOLE), where
