"""What a run taught: metrics, insights, gates, models, rollout, the pilot, and SQL over the journal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from quantum_trader.app.api.endpoints import Call, Endpoint, Lane, not_found
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.funnel import Funnel, FunnelQuery, funnel
from quantum_trader.app.api.pilot_status import StateFolderStatus
from quantum_trader.app.api.read_endpoints import V1
from quantum_trader.app.api.reader import MEMORY_MB, TIMEOUT_S, RunReader
from quantum_trader.app.api.sql_process import SqlLimits, SqlProcesses, SqlRows
from quantum_trader.app.runs.gates_file import GATES_FILE
from quantum_trader.app.runs.gates_record import gates_document, gates_of, history_in
from quantum_trader.app.runs.named_figures import Computation, computation_of
from quantum_trader.app.runs.pilot_store import pilot_settings_document, store_of
from quantum_trader.app.runs.rollout_record import status_report
from quantum_trader.domain.errors import InputError, brief
from quantum_trader.journal.lake import JOURNAL
from quantum_trader.journal.views import SUMMARIES, described, event_view, views
from quantum_trader.lab.metrics.catalogue import Catalogue, load_catalogue
from quantum_trader.lab.metrics.computer import MetricsComputer, standalone_query
from quantum_trader.lab.metrics.metric import Metric
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricValue
from quantum_trader.live.pilot_metrics import RLv3LiveStatusResponse

_MOST_ROWS: Final = 10_000
_LAST: Final = "last"
_AS_OF_NS: Final = 1551025800000000000  # of the examples


class DayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the journal."""

    day: Annotated[str, msgspec.Meta(description="Day (UTC) as 2024-01-15; `last`: the last one; `all`: all.")] = WHOLE


class LastDayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the journal; `last`: the last one."""

    day: str = _LAST
    window: Annotated[int, msgspec.Meta(ge=1, le=3650, description="Days that blocks are judged by.")] = 30


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. *value* None is "no data"; *low* and *high* bound it with 95 % where it has an interval."""

    metric: str
    day: str
    where: dict[str, str]
    value: float | None
    text: str  # as a person reads it
    samples: int
    low: float | None
    high: float | None


class MetricValues(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one day, or of all, as of *as_of_ns*."""

    day: str
    as_of_ns: int
    values: list[MetricRow]


class MetricExplained(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric is, and the SELECT that computes it, which `POST /api/v1/journal/sql` takes as it is.

    *sql* is empty where a function computes it; *computation* says which, of what, and the command that does it again.
    """

    metric: Metric
    sql: str
    computation: Computation | None = None


class SqlQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SELECT over the views of the journal."""

    query: Annotated[str, msgspec.Meta(max_length=100_000)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=_MOST_ROWS, description="At most so many rows.")] = 1_000


class ViewLine(msgspec.Struct, frozen=True, kw_only=True):
    """One view that SQL can ask."""

    view: str
    kinds: tuple[str, ...]
    description: str


class ViewDescribed(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a view: type, unit and meaning."""

    view: ViewLine
    columns: list[dict[str, Any]]


def lab_endpoints(reader: RunReader) -> list[Endpoint]:
    """The roads that tell what the run in *reader*'s folder taught."""
    pilot = StateFolderStatus(reader.folder, time.monotonic_ns)
    return [
        Endpoint(
            path=f"{V1}/rollout", summary="The evidence for each part of the policy, and what is enforced.",
            tag="policy", answers=dict[str, Any], run=lambda _: status_report(reader.folder),
            example={"mode": "OBSERVE", "enforced": [], "switches": []},
        ),
        Endpoint(
            path=f"{V1}/gates", summary="The six gates: limits, what they let through, what the refused were worth.",
            tag="policy", answers=dict[str, Any],
            run=lambda _: _gates(reader), basis=lambda: _stat(reader.folder / GATES_FILE),
            example={"as_of_ns": _AS_OF_NS, "mode": "trend", "enforced": [], "gates": []},
        ),
        Endpoint(
            path=f"{V1}/models", summary="Models in force and what they lack.", tag="models", answers=dict[str, Any],
            run=lambda _: _models(reader), example={"in_force": {"role": "signals", "names": ["ewmac"]}, "state": None},
        ),
        Endpoint(
            path=f"{V1}/pilot", summary="What the pilot may do, and where each setting came from.", tag="pilot",
            answers=dict[str, Any], run=lambda _: _pilot(reader), example={"version": 0, "mode_in_force": "SHADOW"},
        ),
        Endpoint(
            path=f"{V1}/rl-v3/dashboard/live-status", summary="The pilot's decisions and intents.", tag="pilot",
            answers=RLv3LiveStatusResponse, run=lambda _: pilot.status(), example={"enabled": True, "mode": "SHADOW"},
        ),
        Endpoint(
            path=f"{V1}/funnel", summary="How many signals became trades, step by step.", tag="decisions",
            answers=Funnel, query=FunnelQuery, run=lambda call: funnel(reader, call.query.days), basis=str,
            example={"as_of_ns": _AS_OF_NS, "since_ns": 0, "signals": 412, "allowed": 97, "trades": 75},
        ),
        Endpoint(
            path=f"{V1}/metrics", summary="Every metric of a day, or of all days together.", tag="metrics",
            answers=MetricValues, query=DayQuery, run=lambda call: _metrics(reader, call.query.day), basis=str,
            example={"day": "all", "as_of_ns": _AS_OF_NS, "values": [
                {"metric": "win_rate", "day": "all", "where": {}, "value": 0.36},
            ]},
        ),
        Endpoint(
            path=f"{V1}/metrics/{{id}}", tag="metrics",
            summary="What a metric is, and the SQL or the function that computes it.",
            answers=MetricExplained, query=DayQuery, run=lambda call: _explained(reader, call),
            example={"metric": {"id": "win_rate"}, "sql": "select ..."},
        ),
        Endpoint(
            path=f"{V1}/insights", summary="What a day taught, what was blocked, what it cost, what to do.",
            tag="insights", answers=dict[str, Any], query=LastDayQuery, run=lambda call: _insight(reader, call),
            basis=str, example={"as_of_ns": _AS_OF_NS, "day": "2019-02-24", "summary": "3 trades ended ..."},
        ),
        *_journal_endpoints(reader),
    ]


def _journal_endpoints(reader: RunReader) -> list[Endpoint]:
    processes = SqlProcesses(reader.folder / JOURNAL, SqlLimits(timeout_s=TIMEOUT_S, memory_mb=MEMORY_MB))
    return [
        Endpoint(
            path=f"{V1}/journal/sql", summary="One SELECT over the journal; it reads nothing else and changes nothing.",
            tag="journal", method="POST", answers=SqlRows, body=SqlQuery,
            run=lambda call: _sql(reader, processes, call.body), is_read=True, lane=Lane.QUERIES,
            body_example={"query": "select count(*) as n from trades"},
            example={"columns": ["n"], "rows": [{"n": 108}], "total": 1},
        ),
        Endpoint(
            path=f"{V1}/journal/views", summary="The views that SQL can ask.", tag="journal", answers=list[ViewLine],
            run=lambda _: _views(), example=[{"view": "trades", "kinds": ["trade.closed"], "description": "..."}],
        ),
        Endpoint(
            path=f"{V1}/journal/views/{{view}}", summary="The columns of one view.", tag="journal",
            answers=ViewDescribed, run=lambda call: _described(call.path["view"]),
            example={"view": {"view": "trades"}, "columns": [{"name": "pnl", "type": "DOUBLE"}]},
        ),
    ]


def _models(reader: RunReader) -> dict[str, Any]:
    status = reader.status()
    return {
        "in_force": reader.last("models_in_force", "role = 'signals'"),
        "pilot": reader.last("models_in_force", "role = 'pilot'"),
        "refused": reader.last("model_refusals"), "state": msgspec.to_builtins(status.models),
    }


def _pilot(reader: RunReader) -> dict[str, Any]:
    store = store_of(reader.folder, None)
    return {**pilot_settings_document(store, store.read(), history=True), "sentence": reader.status().pilot}


def _row(one: MetricValue, catalogue: Catalogue) -> MetricRow:
    unit = catalogue.metric(one.key.metric).unit
    return MetricRow(
        metric=one.key.metric, day=one.key.day, where=dict(one.key.where), value=one.value,
        text=metric_text(one.value, unit), samples=one.samples, low=one.low, high=one.high,
    )


def _metrics(reader: RunReader, day: str) -> MetricValues:
    reader.lake()
    as_of_ns = time.time_ns()
    catalogue = load_catalogue()
    computer = MetricsComputer(reader.folder, catalogue)
    if day == _LAST:
        day = computer.last_day() or day
    _check_day(day, computer)
    snapshot = computer.compute() if day == WHOLE else computer.day(day)
    values = [_row(one, catalogue) for one in snapshot if one.key.day == day]
    return MetricValues(day=day, as_of_ns=as_of_ns, values=values)


def _check_day(day: str, computer: MetricsComputer) -> None:
    """Raise ApiError where the journal has no event of *day*."""
    if day not in (WHOLE, _LAST) and day not in computer.days():
        not_found(f"day = {brief(day)}: the journal has no event of such a day; write it as 2024-01-15")


def _explained(reader: RunReader, call: Call) -> MetricExplained:
    catalogue = load_catalogue()
    try:
        found = catalogue.metric(call.path["id"])
    except InputError as error:
        not_found(str(error))
    if found.function:
        return MetricExplained(metric=found, sql="", computation=computation_of(catalogue, found))
    day = call.query.day
    if day == _LAST:
        reader.lake()
        day = MetricsComputer(reader.folder, catalogue).last_day() or WHOLE
    return MetricExplained(metric=found, sql=standalone_query(catalogue, found.id, day, {}))


def _gates(reader: RunReader) -> dict[str, Any]:
    as_of_ns = time.time_ns()
    return {"as_of_ns": as_of_ns, **gates_document(gates_of(reader.folder), history_in(reader.folder))}


def _stat(path: Path) -> tuple[int, int]:
    """Another value after each change of the file at *path*."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_ino, about.st_mtime_ns


def _insight(reader: RunReader, call: Call) -> dict[str, Any]:
    from quantum_trader.app.report.insight import insight_document
    from quantum_trader.lab.insights.aggregator import InsightAggregator

    reader.lake()
    catalogue = load_catalogue()
    _check_day(call.query.day, MetricsComputer(reader.folder, catalogue))
    aggregator = InsightAggregator(reader.folder, catalogue, window_days=call.query.window)
    as_of_ns = time.time_ns()
    found = aggregator.get_daily_insights(None if call.query.day == _LAST else call.query.day)
    return {"as_of_ns": as_of_ns, **insight_document(found)}


def _sql(reader: RunReader, processes: SqlProcesses, asked: SqlQuery) -> msgspec.Raw:
    reader.lake()
    try:
        return processes.answer(asked.query, asked.limit)
    except InputError as error:
        limits = f"a query here may take {TIMEOUT_S:g} s and {MEMORY_MB} MB; `quantum-trader journal sql` may have more"
        text = str(error)
        raise ApiError(400, f"{text} ({limits})" if "--" in text else text) from None


def _views() -> list[ViewLine]:
    lines = [ViewLine(view="events", kinds=(), description="Every event, with its JSON.")]
    lines += [ViewLine(view=one.name, kinds=one.kinds, description=one.description) for one in views()]
    return [*lines, *(ViewLine(view=name, kinds=(), description=one[2]) for name, one in SUMMARIES.items())]


def _described(name: str) -> ViewDescribed:
    try:
        found = event_view(name)
    except InputError:
        not_found(f"view = {brief(name)}: there is no such view; {V1}/journal/views lists them")
    line = ViewLine(view=found.name, kinds=found.kinds, description=found.description)
    return ViewDescribed(view=line, columns=[msgspec.to_builtins(one) for one in described(found)])
