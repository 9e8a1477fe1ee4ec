"""Metrics that a named function computes: what the function does, and their values for one state folder."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.report.metric_ids import RUN, STATUS, Paths, printed_fields
from quantum_trader.app.runs.status import folder_status
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.private_files import read_bounded
from quantum_trader.lab.metrics.catalogue import Catalogue
from quantum_trader.lab.metrics.metric import Metric
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue

INSIGHTS: Final = "insights"
RUN_REPORT: Final = "run"
RUN_STATUS: Final = "status"
REPORT: Final = "report.json"
_MOST_BYTES: Final = 256 << 20
LAST: Final = "last"


class Computation(msgspec.Struct, frozen=True, kw_only=True):
    """How a metric without SQL is computed."""

    function: str  # dotted name
    computes: str  # the first sentence of its docstring
    source: str  # what it works on
    command: str  # computes it again


def function_of(metric: Metric) -> Callable[..., Any]:
    """The function that *metric* names; ConfigError where there is none of that name."""
    module, _, name = metric.function.rpartition(".")
    try:
        found = getattr(import_module(f"quantum_trader.{module}"), name)
    except (ImportError, AttributeError):
        raise ConfigError(f"metric {metric.id}: function = {metric.function!r}: there is none of that name") from None
    if not callable(found):
        raise ConfigError(f"metric {metric.id}: function = {metric.function!r}: is no function")
    return found  # type: ignore[no-any-return]


def computation_of(catalogue: Catalogue, metric: Metric) -> Computation:
    """How *metric*, one with a function, is computed; ConfigError where the function does not exist."""
    said = (inspect.getdoc(function_of(metric)) or "").split("\n\n")[0]
    source = catalogue.sources[metric.of]
    return Computation(
        function=metric.function, computes=" ".join(said.split()), source=source.meaning, command=source.command
    )


def named_figures(state: Path, catalogue: Catalogue, wanted: Collection[str], day: str) -> MetricSnapshot:
    """The values that *state* has of the metrics *wanted*, which all have the same source, on *day* (or the last one).

    A metric of the run's report or of the status has a value for each field that it stands in. Raises InputError for a
    day that the source does not have, StateError where *state* has no such source.
    """
    name = next(iter(wanted))
    source = catalogue.metric(name).of
    if source == INSIGHTS:
        return _of_insight(state, catalogue, wanted, day)
    if day not in (WHOLE, LAST):
        raise InputError(f"--day {day}: {name} is a figure of all days together; leave --day out")
    if source == RUN_REPORT:
        return _of_document(_report(state), RUN, catalogue, wanted)
    if source == RUN_STATUS:
        return _of_document(msgspec.to_builtins(folder_status(state, time.time_ns())), STATUS, catalogue, wanted)
    raise InputError(f"metric {name}: the values of its source {source} are printed by its command alone")


def _report(state: Path) -> Any:
    """The report of the run in *state*; StateError where it has not ended there."""
    try:
        return msgspec.json.decode(read_bounded(state / REPORT, _MOST_BYTES))
    except (OSError, msgspec.DecodeError):
        raise StateError(
            f"--state {state}: there is no {REPORT} that can be read; a run writes it at its end, `report` of a live "
            "session"
        ) from None


def _of_document(content: Any, paths: Paths, catalogue: Catalogue, wanted: Collection[str]) -> MetricSnapshot:
    """The fields of a document that are figures of the metrics *wanted*: each with its place as a filter."""
    values = [
        MetricValue(key=MetricKey(paths[one.path], WHOLE, (("field", one.place),)), value=one.value)
        for one in printed_fields(content, paths)
        if paths.get(one.path) in wanted and (one.value is None or isinstance(one.value, int | float))
    ]
    return MetricSnapshot(catalogue.metrics, values, WHOLE)


def _of_insight(state: Path, catalogue: Catalogue, wanted: Collection[str], day: str) -> MetricSnapshot:
    from quantum_trader.lab.insights.aggregator import InsightAggregator

    if day == WHOLE:
        raise InputError(f"--day {WHOLE}: {next(iter(wanted))} is a figure of one day; give --day DATE or --day {LAST}")
    found = InsightAggregator(state, catalogue).parts(None if day == LAST else day).snapshot
    return MetricSnapshot(found.metrics, [one for one in found if one.key.metric in wanted], found.day)
