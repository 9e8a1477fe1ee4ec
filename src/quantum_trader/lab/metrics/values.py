"""Values of metrics: of which metric, day and filter, made of how many samples, within which interval."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from quantum_trader.lab.metrics.metric import Metric

WHOLE: Final = "all"  # in the place of a day: the whole span of a snapshot


class MetricKey(msgspec.Struct, frozen=True, order=True):
    """One figure: a metric, a day (YYYY-MM-DD, or ``all``) and a filter of dimensions, in the order of their names."""

    metric: str
    day: str
    where: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """As a placeholder names it: ``win_rate@2026-11-27|mode=scalp``."""
        where = ",".join(f"{name}={value}" for name, value in self.where)
        return f"{self.metric}@{self.day}{'|' if where else ''}{where}"


class MetricValue(msgspec.Struct, frozen=True, kw_only=True):
    """One value; None is "no data" and never 0. *low* and *high* bound it with 95 % where the metric has an interval.
    """

    key: MetricKey
    value: float | None
    samples: int = 0
    low: float | None = None
    high: float | None = None


class MetricSnapshot:
    """Every figure that a report, an insight or the council may speak of, and no other."""

    def __init__(self, metrics: Mapping[str, Metric], values: Iterable[MetricValue], day: str) -> None:
        """*metrics*: of the catalogue, by id. *day*: the day that a report is of."""
        self.metrics, self.day = dict(metrics), day
        self._values = {one.key: one for one in values}

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[MetricValue]:
        return iter(self._values.values())

    def get(self, metric: str, day: str = "", **where: str) -> MetricValue | None:
        """The value of *metric* on *day* (the report's own where left out); None where it is not in the snapshot."""
        return self.of(MetricKey(metric, day or self.day, tuple(sorted(where.items()))))

    def of(self, key: MetricKey) -> MetricValue | None:
        """The value of *key*; None where it is not in the snapshot."""
        return self._values.get(key)

    @property
    def days(self) -> list[str]:
        """The days that have values, oldest first."""
        return sorted({key.day for key in self._values} - {WHOLE})

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything in it: the same figures give the same hash, in whatever order they came."""
        rows = [
            (str(one.key), one.value, one.samples, one.low, one.high)
            for one in sorted(self._values.values(), key=lambda one: one.key)
        ]
        return hashlib.sha256(msgspec.json.encode([self.day, rows])).hexdigest()
