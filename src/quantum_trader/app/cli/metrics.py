"""``quantum-trader metrics``: the figures of a run by one catalogue, and what computes each of them again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import InputError

if TYPE_CHECKING:
    from quantum_trader.lab.metrics.catalogue import Catalogue
    from quantum_trader.lab.metrics.metric import Metric
    from quantum_trader.lab.metrics.values import MetricSnapshot, MetricValue

_PIPE_WIDTH: Final = 140
_WHOLE: Final = "all"
_LAST: Final = "last"

app = typer.Typer(
    add_completion=False, help="Figures of a run by one catalogue, each with the SQL or the function that computes it."
)

CatalogueOption = Annotated[
    Path | None,
    typer.Option("--catalogue", metavar="FILE", help="Catalogue (YAML) that adds to the program's own or replaces "
                 "entries of it."),
]
DayOption = Annotated[
    str, typer.Option("--day", metavar="DATE|all|last", help="Day (UTC); all: every day together; last: the last one.")
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="NAME=VALUE", help="Only of this mode, symbol, regime, model, source or gate, as "
                 "symbol=BTCUSDT; repeatable."),
]
GroupOption = Annotated[str | None, typer.Option("--group", help="Only the metrics of this group.")]


@app.command("list")
def list_metrics(catalogue: CatalogueOption = None, group: GroupOption = None, as_json: JsonOption = False) -> None:
    """List the metrics of the catalogue: id, unit, which way is better, and what each one is."""
    from quantum_trader.lab.metrics.catalogue import load_catalogue

    found = _of_group(load_catalogue(catalogue), group)
    if as_json:
        _print_json([msgspec.to_builtins(one) for one in found])
        return
    rows = [[one.id, one.group, str(one.unit), str(one.direction), ", ".join(one.by) or "-", one.meaning]
            for one in found]
    _show("Metrics", ["id", "group", "unit", "better", "by", "what it is"], rows, wide=5)


@app.command()
def show(
    state: StateOption, day: DayOption = _WHOLE,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="A row for each mode, symbol, regime, model, source or gate."),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric; repeatable.")] = None,
    group: GroupOption = None, catalogue: CatalogueOption = None, as_json: JsonOption = False,
) -> None:
    """Show the metrics of a run over all days, or of one day.

    Those that a function computes instead of SQL are shown where --metric or --group asks for them.
    """
    from quantum_trader.lab.metrics.catalogue import load_catalogue

    known = load_catalogue(catalogue)
    wanted = [known.metric(name) for name in metric] if metric else _of_group(known, group)
    if not metric and group is None:
        wanted = [one for one in wanted if not one.function]
    if by is not None and not any(by in one.by for one in wanted):
        raise InputError(f"--by {by!r}: choose from {', '.join(sorted({name for one in wanted for name in one.by}))}")
    ids = {one.id for one in wanted if by is None or by in one.by}
    snapshot, chosen = _snapshot_of(state, known, [one for one in wanted if one.id in ids], day)
    names = [by] if by is not None else []
    values = [
        one for one in snapshot
        if one.key.metric in ids and one.key.day == chosen
        and (known.metrics[one.key.metric].function or [name for name, _ in one.key.where] == names)
    ]
    _show_values(snapshot, _in_order(known, values), f"{state.name}, {chosen}", as_json)


@app.command()
def compute(
    state: StateOption, day: DayOption = _WHOLE, catalogue: CatalogueOption = None, as_json: JsonOption = False
) -> None:
    """Compute every metric by day and dimension, and say how many values there are; --json prints them all."""
    from quantum_trader.lab.metrics.catalogue import load_catalogue

    snapshot, chosen = _snapshot(state, load_catalogue(catalogue), day)
    values = [one for one in snapshot if day == _WHOLE or one.key.day == chosen]
    if as_json:
        _print_json(snapshot_document(snapshot, values))
        return
    known = sum(one.value is not None for one in values)
    typer.echo(
        f"{len(snapshot.metrics)} metrics, {len(snapshot.days)} days: {len(values):,} values, {len(values) - known:,} "
        f"of them without data; content {snapshot.content_hash[:16]}"
    )


@app.command("explain")
def explain_metric(
    metric: Annotated[str, typer.Argument(metavar="ID", help="Id of the metric.")],
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="State folder of a run: compute the value too.")
    ] = None,
    day: DayOption = _WHOLE, where: WhereOption = None, catalogue: CatalogueOption = None, as_json: JsonOption = False,
) -> None:
    """Print what a metric is and what computes it: SQL that ``journal sql`` takes as it is, or a named function."""
    from quantum_trader.lab.metrics.catalogue import load_catalogue
    from quantum_trader.lab.metrics.computer import MetricsComputer, standalone_query
    from quantum_trader.lab.metrics.rendering import metric_text

    known = load_catalogue(catalogue)
    found, asked = known.metric(metric), _conditions(where)
    if found.function:
        _explain_function(known, found, state, day, asked, as_json)
        return
    value = None
    if state is not None:
        computer = MetricsComputer(state, known)
        day = _chosen(computer, day)
        value = computer.value(metric, day, **asked)
    query = standalone_query(known, metric, day, asked)
    if as_json:
        _print_json({**msgspec.to_builtins(found), "sql": query, "value": value and _value_document(value)})
        return
    _print_meaning(found)
    typer.echo(query)
    if value is not None:
        typer.echo(f"\n{value.key}: {metric_text(value.value, found.unit)}, from {value.samples:,} samples")


def _print_meaning(found: Metric) -> None:
    typer.echo(f"{found.title} ({found.id}): {found.meaning}")
    typer.echo(f"Unit: {found.unit}. By: {', '.join(found.by) or 'nothing but the day'}.\n")


def _explain_function(
    known: Catalogue, found: Metric, state: Path | None, day: str, asked: dict[str, str], as_json: bool
) -> None:
    """Print what a metric without SQL is, the function that computes it, and its values of the folder *state*."""
    from quantum_trader.app.runs.named_figures import computation_of, named_figures
    from quantum_trader.lab.metrics.rendering import metric_text

    for name, value in asked.items():
        if name not in found.by:
            raise InputError(
                f"--where {name}={value}: {found.id} cannot be asked by it; choose from {', '.join(found.by) or 'none'}"
            )
    how = computation_of(known, found)
    values = [] if state is None else [
        one for one in named_figures(state, known, [found.id], day) if asked.items() <= dict(one.key.where).items()
    ]
    if as_json:
        _print_json({
            **msgspec.to_builtins(found), **msgspec.to_builtins(how), "sql": None,
            "values": [_value_document(one) for one in values],
        })
        return
    _print_meaning(found)
    typer.echo(f"Computed by {how.function}: {how.computes}")
    typer.echo(f"From: {how.source}")
    typer.echo(f"Again: {how.command}")
    for place, one in enumerate(values):
        samples = f", from {one.samples:,} samples" if one.samples else ""
        typer.echo(f"{'' if place else chr(10)}{one.key}: {metric_text(one.value, found.unit)}{samples}")


@app.command()
def alerts(
    state: StateOption, day: DayOption = _LAST, catalogue: CatalogueOption = None, as_json: JsonOption = False
) -> None:
    """Print the alarms of a day, and tell those that are due to the log: once in each cool-down.

    Exit code 1 where a value breaks a rule of the catalogue, told before or not.
    """
    from quantum_trader.lab.metrics.alerts import AlertDesk, broken_rules
    from quantum_trader.lab.metrics.catalogue import load_catalogue

    known = load_catalogue(catalogue)
    snapshot, chosen = _snapshot(state, known, day)
    found = broken_rules(snapshot, chosen)
    told = AlertDesk(state, known).tell(found, time.time_ns())
    if as_json:
        _print_json([{**msgspec.to_builtins(one), "told": one in told} for one in found])
    elif not found:
        rules = sum(one.alert is not None for one in known.queried.values())
        typer.echo(f"{chosen}: no alarm; {rules} rules of the catalogue were looked at")
    for one in found if not as_json else ():
        typer.echo(f"{one.title}: {one.text}{'' if one in told else ' (told before)'}")
    if found:
        raise typer.Exit(1)


# ---- documents -------------------------------------------------------------------------------------------------------
def snapshot_document(snapshot: MetricSnapshot, values: Iterable[MetricValue]) -> dict[str, Any]:
    """The content of ``metrics compute --json`` and ``metrics show --json``."""
    return {
        "day": snapshot.day, "days": snapshot.days, "content_hash": snapshot.content_hash,
        "values": [_value_document(one) for one in values],
    }


def _value_document(one: MetricValue) -> dict[str, Any]:
    return {
        "metric": one.key.metric, "day": one.key.day, "where": dict(one.key.where), "value": one.value,
        "samples": one.samples, "low": one.low, "high": one.high,
    }


# ---- what is asked for -----------------------------------------------------------------------------------------------
def _of_group(known: Catalogue, group: str | None) -> list[Metric]:
    if group is not None and group not in known.groups:
        raise InputError(f"--group {group!r}: choose from {', '.join(known.groups)}")
    return [one for one in known.metrics.values() if group is None or one.group == group]


def _snapshot_of(state: Path, known: Catalogue, wanted: Sequence[Metric], day: str) -> tuple[MetricSnapshot, str]:
    """The figures of the metrics *wanted*, by SQL and by functions, and the day's name."""
    from quantum_trader.app.runs.named_figures import named_figures
    from quantum_trader.lab.metrics.values import MetricSnapshot

    by_source: dict[str, list[str]] = {}
    for one in wanted:
        by_source.setdefault(one.of if one.function else "", []).append(one.id)
    values: list[MetricValue] = []
    if "" in by_source or not by_source:
        snapshot, day = _snapshot(state, known, day)
        values += snapshot
    for source, names in by_source.items():
        if source:
            found = named_figures(state, known, names, day)
            values += found
            day = day if day != _LAST else found.day
    return MetricSnapshot(known.metrics, values, day), day


def _snapshot(state: Path, known: Catalogue, day: str) -> tuple[MetricSnapshot, str]:
    """The figures of *state* that *day* needs, and the day's name."""
    from quantum_trader.lab.metrics.computer import MetricsComputer

    computer = MetricsComputer(state, known)
    if day == _WHOLE:
        return computer.compute(), day
    chosen = _chosen(computer, day)
    return computer.day(chosen), chosen


def _chosen(computer: Any, day: str) -> str:
    """*day*, or the last one of the journal where that is meant."""
    return (computer.last_day() or day) if day == _LAST else day


def _conditions(given: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for one in given or ():
        name, sign, value = one.partition("=")
        if not (name and sign and value):
            raise InputError(f"--where {one!r}: write it as symbol=BTCUSDT")
        found[name] = value
    return found


# ---- tables ----------------------------------------------------------------------------------------------------------
def _in_order(known: Catalogue, values: Iterable[MetricValue]) -> list[MetricValue]:
    places = {name: place for place, name in enumerate(known.metrics)}
    return sorted(values, key=lambda one: (places[one.key.metric], one.key.where))


def _show_values(snapshot: MetricSnapshot, values: Sequence[MetricValue], title: str, as_json: bool) -> None:
    from quantum_trader.lab.metrics.rendering import metric_text

    if as_json:
        _print_json(snapshot_document(snapshot, values))
        return
    rows = []
    for one in values:
        metric = snapshot.metrics[one.key.metric]
        bounds = " to ".join(metric_text(bound, metric.unit) for bound in (one.low, one.high) if bound is not None)
        where = ", ".join(value for _, value in one.key.where)
        samples = "" if "field" in dict(one.key.where) else f"{one.samples:,}"  # a field of a report has none
        rows.append([metric.group, metric.id, where, metric_text(one.value, metric.unit), bounds, samples])
    _show(f"Metrics: {title}", ["group", "id", "of", "value", "95 %", "samples"], rows, right=(3, 4, 5))


def _show(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], wide: int = -1, right: Sequence[int] = ()
          ) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for place, name in enumerate(names):
        table.add_column(
            name, justify="right" if place in right else "left", ratio=1 if place == wide else None,
            overflow="fold", no_wrap=False,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _print_json(content: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(content)).decode())
