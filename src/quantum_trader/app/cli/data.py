"""``quantum-trader data``: download, import, check and list the bars that runs replay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from quantum_trader.app.cli.options import JsonOption
from quantum_trader.domain.clock import from_ns
from quantum_trader.domain.errors import ConfigError, DataError, InputError
from quantum_trader.domain.symbols import listed_symbols
from quantum_trader.market.download import DownloadPlan, DownloadReport, PartDone, download, plan_parts
from quantum_trader.market.importers import (
    BadBarsError,
    ImportReport,
    SeriesReport,
    gap_text,
    import_files,
    inspect_files,
    inspect_store,
)
from quantum_trader.market.intervals import INTERVALS, why_no_run
from quantum_trader.market.recording import bundled_path, moment_ns
from quantum_trader.market.store import intervals_of, list_store

BAD_BARS: Final = 1
UNUSABLE: Final = 2
_SHOWN: Final = 20

app = typer.Typer(no_args_is_help=True, help="Market data: download, import, check and list bars.")
data_app = app

OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Bar store to write into; `run --data DIR` reads it.")
]
SymbolOption = Annotated[
    str | None, typer.Option("--symbol", metavar="SYMBOL", help="Symbol, where the file's name does not contain it.")
]
IntervalOption = Annotated[
    str | None,
    typer.Option("--interval", metavar="INTERVAL", help=f"Interval, where name and times do not show it: "
                 f"{', '.join(INTERVALS)}."),
]
PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders of them.")]


@app.command("download")
def download_command(
    symbols: Annotated[str, typer.Option("--symbols", metavar="A,B", help="Symbols as the venue writes them.")],
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First day or time (UTC), 2024-01-31.")],
    out: OutOption,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Last day (included) or time (UTC); now when left out.")
    ] = None,
    interval: Annotated[str, typer.Option("--interval", metavar="INTERVAL", help="Length of a bar.")] = "1m",
    source: Annotated[
        str, typer.Option("--source", help="archive: the public files, by month. api: the venue's API, up to now.")
    ] = "archive",
    funding: Annotated[bool, typer.Option("--funding/--no-funding", help="Fetch the funding history too.")] = True,
    mark: Annotated[
        str, typer.Option("--mark", metavar="INTERVAL", help="Fetch mark prices of this interval; `none` for none.")
    ] = "1h",
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Another server of the same protocol.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download Binance USD-M bars, funding and mark prices; the same command resumes a stopped download."""
    try:
        now_ns = time.time_ns()
        plan = DownloadPlan(
            symbols=tuple(dict.fromkeys(listed_symbols(symbols))),
            interval=interval, start_ns=moment_ns(start),
            end_ns=now_ns if end is None else moment_ns(end, end=True), now_ns=now_ns, root=out, source=source,
            base_url=base_url, funding=funding, mark_interval=None if mark == "none" else mark,
        )
        report = _download(plan, quiet=as_json)
    except (ConfigError, DataError, InputError) as error:
        _fail(str(error), as_json)
    if as_json:
        _echo_json({
            "parts": report.parts, "rows": report.rows, "resumed": report.resumed, "missing": report.missing,
            "notices": [why] if (why := why_no_run(interval)) else [],
        })
    else:
        _show_download(report, Console(), out, interval)


def _download(plan: DownloadPlan, quiet: bool) -> DownloadReport:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("months", total=len(plan_parts(plan)))

        def show(done: PartDone) -> None:
            part = done.part
            label = f"{part.symbol} {part.kind} {part.interval} {from_ns(part.start_ns):%Y-%m}"
            progress.update(task, advance=1, description=escape(label))

        return download(plan, progress=show)


def _show_download(report: DownloadReport, console: Console, out: Path, interval: str) -> None:
    table = _table("symbol", "what", "months", "rows", "missing", "already there")
    groups: dict[tuple[str, str], list[PartDone]] = {}
    for done in report.parts:
        groups.setdefault((done.part.symbol, f"{done.part.kind} {done.part.interval}".strip()), []).append(done)
    for (symbol, what), parts in groups.items():
        table.add_row(
            symbol, what, str(len(parts)), f"{sum(one.rows for one in parts):,}",
            f"{sum(one.missing_bars for one in parts):,}", str(sum(one.resumed for one in parts)),
        )
    console.print(table)
    for name in report.missing[:_SHOWN]:
        console.print(f"The source does not have {escape(name)}.", highlight=False)
    if len(report.missing) > _SHOWN:
        console.print(f"… and {len(report.missing) - _SHOWN} more.", highlight=False)
    used = f"note: {why}" if (why := why_no_run(interval)) else f"Use it: quantum-trader run --data {out}"
    console.print(used, markup=False, highlight=False, soft_wrap=True)


@app.command("import")
def import_command(
    paths: PathsArgument,
    out: OutOption,
    symbol: SymbolOption = None,
    interval: IntervalOption = None,
    drop_bad: Annotated[
        bool, typer.Option("--drop-bad", help="Omit bad bars and list them, instead of refusing the import.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Import CSV, zip, Parquet or feather files (Binance's archive, freqtrade's data, plain tables) into a store."""
    try:
        report = import_files(paths, out, symbol, interval, drop_bad=drop_bad)
    except (ConfigError, DataError) as error:
        _fail(str(error), as_json, BAD_BARS if isinstance(error, BadBarsError) else UNUSABLE)
    if as_json:
        _echo_json(_report_object(report))
    else:
        _show_report(report, Console(), imported=True)


@app.command("check")
def check_command(
    paths: PathsArgument, symbol: SymbolOption = None, interval: IntervalOption = None, as_json: JsonOption = False
) -> None:
    """Check bar stores or files and report gaps, duplicates, OHLC errors and outages; exits with 1 on bad bars."""
    try:
        report = _inspect(paths, symbol, interval)
    except (ConfigError, DataError) as error:
        _fail(str(error), as_json)
    if as_json:
        _echo_json(_report_object(report))
    else:
        _show_report(report, Console(), imported=False)
    if report.faults:
        raise typer.Exit(BAD_BARS)


def _inspect(paths: Sequence[Path], symbol: str | None, interval: str | None) -> ImportReport:
    reports = [
        inspect_store(path) if path.is_dir() and intervals_of(path) else inspect_files([path], symbol, interval)
        for path in paths
    ]
    return ImportReport(
        series=tuple(one for report in reports for one in report.series),
        faults=tuple(fault for report in reports for fault in report.faults),
        funding=tuple(one for report in reports for one in report.funding),
        skipped=tuple(line for report in reports for line in report.skipped),
        notices=tuple(line for report in reports for line in report.notices),
    )


def _report_object(report: ImportReport) -> dict[str, Any]:
    return {
        "series": report.series, "funding": report.funding, "faults": report.faults, "bad_rows": report.bad_rows,
        "dropped": report.dropped, "skipped": report.skipped, "notices": report.notices,
    }


def _show_report(report: ImportReport, console: Console, imported: bool) -> None:
    table = _table("series", "from", "to", "bars", "gaps", "missing", "outages", "bad", *(["new"] if imported else []))
    for one in report.series:
        cells = [
            f"{one.symbol} {one.kind} {one.interval}", f"{from_ns(one.first_ns):%Y-%m-%d}",
            f"{from_ns(one.last_ns):%Y-%m-%d}", f"{one.rows:,}", str(len(one.gaps)), f"{one.missing_bars:,}",
            str(one.outages), _bad(one),
        ]
        table.add_row(*cells, *([f"{one.added:,}"] if imported else []))
    for paid in report.funding:
        cells = [
            f"{paid.symbol} funding", f"{from_ns(paid.first_ns):%Y-%m-%d}", f"{from_ns(paid.last_ns):%Y-%m-%d}",
            f"{paid.rows:,}", "", "", "", "0",
        ]
        table.add_row(*cells, *([f"{paid.added:,}"] if imported else []))
    console.print(table)
    for line in _details(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=True, justify="left" if number < 3 else "right")
    return table


def _bad(one: SeriesReport) -> str:
    kinds = [(one.duplicates, "duplicate"), (one.time_errors, "time"), (one.ohlc_errors, "OHLC")]
    told = ", ".join(f"{number} {word}" for number, word in kinds if number)
    return f"{one.bad_rows} ({told})" if told else "0"


def _details(report: ImportReport) -> list[str]:
    gaps = [(one, gap) for one in report.series for gap in one.gaps]
    largest = sorted(gaps, key=lambda pair: -pair[1].missing_bars)[:_SHOWN]
    lines = [f"gap: {_label(one)}: {gap_text(gap)}" for one, gap in largest]
    if len(gaps) > _SHOWN:
        lines.append(f"… and {len(gaps) - _SHOWN} smaller gaps (--json lists all)")
    word = "left out" if report.dropped else "bad"
    faults = report.faults if report.dropped else report.faults[:_SHOWN]
    lines += [f"{word}: {fault.text()}" for fault in faults]
    if len(report.faults) > len(faults):
        lines.append(f"… and {len(report.faults) - len(faults)} more (--json lists all)")
    lines = lines or ["No gaps, no faults."]
    return [*lines, *(f"skipped: {line}" for line in report.skipped), *(f"note: {line}" for line in report.notices)]


def _label(one: SeriesReport) -> str:
    return f"{one.symbol} {one.interval}"


@app.command("list")
def list_command(
    path: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Bar store; the bundled bars when left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the content of a bar store: symbols, intervals, ranges and sizes."""
    try:
        entries = list_store(path or bundled_path())
    except DataError as error:
        _fail(str(error), as_json)
    if as_json:
        _echo_json({"store": "bundled" if path is None else str(path), "series": entries})
        return
    table = _table("series", "from", "to", "rows", "size")
    for one in entries:
        table.add_row(
            f"{one.symbol} {one.kind} {one.interval}", f"{from_ns(one.first_ns):%Y-%m-%d}",
            f"{from_ns(one.last_ns):%Y-%m-%d}", f"{one.rows:,}", f"{one.bytes / 1024:,.0f} kB" if one.bytes else "",
        )
    Console().print(table)
    if not entries:
        typer.echo(f"{path}: contains no bars.")


def _echo_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _fail(message: str, as_json: bool, code: int = UNUSABLE) -> NoReturn:
    if as_json:
        typer.echo(msgspec.json.encode({"error": message}).decode())
    else:
        typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)
