"""Metrics that a named function computes: what the function does, and their values for one state folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.lab.metrics.catalogue import Catalogue
from quantum_trader.lab.metrics.metric import Metric
from quantum_trader.lab.metrics.values import WHOLE, MetricSnapshot

INSIGHTS: Final = "insights"
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

    Raises InputError for a day that the source does not have, StateError where *state* has no such source.
    """
    source = catalogue.metric(next(iter(wanted))).of
    if source != INSIGHTS:
        raise InputError(f"metric {next(iter(wanted))}: its source {source} is printed by its command alone")
    return _of_insight(state, catalogue, wanted, day)


def _of_insight(state: Path, catalogue: Catalogue, wanted: Collection[str], day: str) -> MetricSnapshot:
    from quantum_trader.lab.insights.aggregator import InsightAggregator

    if day == WHOLE:
        raise InputError(f"--day {WHOLE}: {next(iter(wanted))} is a figure of one day; give --day DATE or --day {LAST}")
    found = InsightAggregator(state, catalogue).parts(None if day == LAST else day).snapshot
    return MetricSnapshot(found.metrics, [one for one in found if one.key.metric in wanted], found.day)
