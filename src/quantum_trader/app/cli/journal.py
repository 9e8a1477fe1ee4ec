"""``quantum-trader journal``: query, verify, replay, export and compact the journal of a run."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import INTERRUPTED, JsonOption, StateOption
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.domain.private_files import create_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantum_trader.journal.answers import SqlAnswer
    from quantum_trader.journal.lake import Lake
    from quantum_trader.journal.segments import Damage

_POLL_S: Final = 0.25
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_SHOWN: Final = 10_000  # rows of a table on the terminal
_WIDEST: Final = 1_000  # characters of a value in such a table
_READABLE: Final = 16  # characters that a column needs at least for what is wider
_FRAME: Final = 3  # characters of a table's frame and margin beside each column
_RULE: Final = 40  # characters of the line above each row that is shown by itself
_PIPE_WIDTH: Final = 160
_BATCH: Final = 100_000  # rows an export holds in memory
_FAILED: Final = 1

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The flight recorder of a run.")

KindOption = Annotated[str | None, typer.Option("--kind", help="Only this kind, as trade.closed.")]


TimeoutOption = Annotated[
    float, typer.Option("--timeout-s", min=0.0, help="Seconds the query may take; 0: no end.")
]
MemoryOption = Annotated[
    int, typer.Option("--memory-mb", min=64, help="MB the query may use, and as many for its answer.")
]


def _lake(state: Path, **bounds: Any) -> Lake:
    from quantum_trader.journal.lake import Lake

    return Lake(state / "journal", **bounds)


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as one JSON list, as a table, or one below the other where a table would be too wide to read."""
    if as_json:
        typer.echo(_encode(rows).decode())
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, markup=False)
    names = list(rows[0]) if rows else ["no rows"]
    texts = [[_shown(value) for value in row.values()] for row in rows]
    if not _fits(names, texts, console.width):
        typer.echo("\n".join(_blocks(names, texts, console.width)))
        return
    table = Table()
    for name in names:
        table.add_column(name)
    for row in texts:
        table.add_row(*row)
    console.print(table)


def _fits(names: list[str], texts: list[list[str]], width: int) -> bool:
    """Whether a table of *width* characters leaves each column its own width, or enough to read it wrapped."""
    needed = _FRAME * len(names) + 1
    for number, name in enumerate(names):
        needed += min(_READABLE, max([len(name), *(len(row[number]) for row in texts)]))
    return needed <= width


def _blocks(names: list[str], texts: list[list[str]], width: int) -> Iterator[str]:
    """The lines of each row as a block of its own: a column's name and its value on each line."""
    left = max(map(len, names)) + 2
    room = max(width - left, _READABLE)
    for number, row in enumerate(texts, 1):
        yield f"── row {number} ".ljust(min(width, _RULE), "─")
        for name, text in zip(names, row, strict=True):
            parts = [
                line[start:start + room] for line in text.splitlines() for start in range(0, len(line) or 1, room)
            ] or [""]
            yield from (f"{head:<{left}}{part}".rstrip() for head, part in zip(
                [name, *[""] * (len(parts) - 1)], parts, strict=True
            ))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}…"


def _print_answer(answer: SqlAnswer, as_json: bool) -> None:
    """Print an answer: all of it as JSON, row by row, or its beginning as a table."""
    if not as_json:
        _print_rows(list(answer.rows(_SHOWN)), False)
        if answer.table.num_rows > _SHOWN:
            typer.echo(f"{answer.table.num_rows - _SHOWN:,} more rows; --json prints all", err=True)
        return
    comma = "["
    for row in answer.rows():
        typer.echo(comma + _encode(row).decode(), nl=False)
        comma = ","
    typer.echo("]" if answer.table.num_rows else "[]")


def _tell(state: Path, lake: Lake) -> bool:
    """Print on standard error what an answer lacks; True where it lacks anything."""
    from quantum_trader.app.runs.journal_commands import with_missing

    damage = with_missing(state, lake, lake.damage)
    for one in damage:
        typer.echo(_damage_text(one), err=True)
    return bool(damage)


def _end(lacks: bool) -> None:
    """End with exit code 1 where an answer lacks events."""
    if lacks:
        raise typer.Exit(_FAILED)


def _damage_text(one: Damage) -> str:
    events = f"; events {one.first_seq} to {one.last_seq} of {one.producer}" if one.last_seq else ""
    return f"damaged: {one.path}: {one.reason}{events}"


@app.command("sql")
def sql_command(
    query: Annotated[str, typer.Argument(help="One SELECT; `journal tables` lists the views.")],
    state: StateOption,
    timeout_s: TimeoutOption = 120.0,
    memory_mb: MemoryOption = 1024,
    as_json: JsonOption = False,
) -> None:
    """Answer one SELECT over the journal; it reads no other file. Exit code 1 when events are missing or damaged."""
    lake = _lake(state, timeout_s=timeout_s, memory_mb=memory_mb)
    try:
        _print_answer(lake.answer(query), as_json)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(INTERRUPTED) from None
    _end(_tell(state, lake))


@app.command("tables")
def tables_command(as_json: JsonOption = False) -> None:
    """List the views that SQL can ask."""
    from quantum_trader.journal.views import SUMMARIES, views

    rows: list[dict[str, Any]] = [{"view": "events", "kinds": [], "description": "Every event, with its JSON."}]
    rows += [{"view": one.name, "kinds": list(one.kinds), "description": one.description} for one in views()]
    rows += [{"view": name, "kinds": [], "description": one[2]} for name, one in SUMMARIES.items()]
    _print_rows(rows if as_json else [{**row, "kinds": ", ".join(row["kinds"])} for row in rows], as_json)


@app.command("describe")
def describe_command(
    kind: Annotated[str, typer.Argument(help="A view or a kind: decisions, signal.decided.")],
    as_json: JsonOption = False,
) -> None:
    """Describe the columns of one view: type, unit and meaning."""
    from quantum_trader.journal.views import described, event_view

    view = event_view(kind)
    columns = [msgspec.to_builtins(column) for column in described(view)]
    if as_json:
        typer.echo(msgspec.json.encode({**msgspec.structs.asdict(view), "columns": columns}).decode())
        return
    typer.echo(f"{view.name}: {view.description} Kinds: {', '.join(view.kinds)}.")
    _print_rows(columns, False)


@app.command("stats")
def stats_command(state: StateOption, as_json: JsonOption = False) -> None:
    """Events by kind, files, bytes and damage."""
    from quantum_trader.app.runs.journal_commands import with_missing
    from quantum_trader.journal.manifest import read_manifest

    lake = _lake(state)
    parts, counts = read_manifest(lake.directory).parts, lake.counts()
    damage = with_missing(state, lake, lake.check())
    told = {
        "events": sum(counts.values()), "kinds": counts, "producers": lake.producers(),
        "parts": len(parts), "bytes": sum(part.size for part in parts),
        "damage": [msgspec.to_builtins(one) for one in damage],
    }
    if as_json:
        typer.echo(msgspec.json.encode(told).decode())
        return
    _print_rows([{"kind": kind, "events": count} for kind, count in counts.items()], False)
    typer.echo(f"{told['events']:,} events in {told['parts']:,} parts of {told['bytes']:,} bytes")
    for one in damage:
        typer.echo(_damage_text(one))


def _tail(lake: Lake, kind: str | None, after: dict[str, int]) -> Iterator[bytes]:
    """Lines newer than *after*, which is moved on."""
    for producer in lake.producers():
        for seq, _, line in lake.lines(kind=kind, producer=producer, after_seq=after.get(producer, 0)):
            after[producer] = seq
            yield line


@app.command("tail")
def tail_command(
    state: StateOption,
    kind: KindOption = None,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="How many of the last records.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Print new records as they come; Ctrl-C ends it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the last records, one JSON line each, and with --follow new ones too (--json changes nothing)."""
    lake = _lake(state)
    last = lake.sql("select producer, max(seq) as last from events group by 1").to_pylist()
    after = {row["producer"]: row["last"] for row in last}  # asked first: what comes from here on is followed
    condition = "where (? is null or kind = ?)"
    rows = lake.sql(
        f"select producer, seq, payload from events {condition} order by received_ns desc, seq desc limit ?",
        [kind, kind, count],
    ).to_pylist()
    for row in reversed(rows):
        if row["seq"] <= after.get(row["producer"], 0) or not follow:
            typer.echo(row["payload"])
    lacks = _tell(state, lake)
    while follow:
        for line in _tail(lake, kind, after):
            typer.echo(line.decode())
        time.sleep(_POLL_S)
    _end(lacks)


@app.command("export")
def export_command(
    state: StateOption,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .parquet or .jsonl file.")],
    kind: KindOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the journal, or one kind of it, to one file."""
    if out.suffix not in (".parquet", ".jsonl"):
        raise InputError(f"--out {out}: must end in .parquet or .jsonl")
    lake, partial = _lake(state), out.with_name(f".{out.name}.partial")
    try:
        os.close(create_file(partial))
        if out.suffix == ".parquet":
            written = _export_parquet(lake, kind, partial)
        else:
            written = 0
            with partial.open("wb") as handle:
                for _, _, line in lake.lines(kind=kind):
                    handle.write(line + b"\n")
                    written += 1
        partial.replace(out)
    except OSError as error:
        raise StateError(f"--out {out}: cannot be written ({error.strerror}); nothing was left behind") from None
    finally:
        with suppress(OSError):
            partial.unlink()
    typer.echo(f'{{"rows": {written}}}' if as_json else f"{written:,} records written to {out}")
    _end(_tell(state, lake))


def _export_parquet(lake: Lake, kind: str | None, path: Path) -> int:
    """Write the events to *path* in batches; returns how many."""
    import pyarrow.parquet as pq

    wanted = "select * from events where producer = ? and seq > ? and (? is null or kind = ?) order by seq limit ?"
    schema, written = lake.sql("select * from events limit 0").schema, 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for producer in lake.producers():
            after = 0
            while (table := lake.sql(wanted, [producer, after, kind, kind, _BATCH])).num_rows:
                writer.write_table(table.cast(schema))
                after, written = table["seq"][-1].as_py(), written + table.num_rows
    return written


@app.command("verify")
def verify_command(
    state: StateOption,
    public_key: Annotated[str | None, typer.Option("--public-key", help="Trust only this key (hexadecimal).")] = None,
    head: Annotated[str | None, typer.Option("--head", help="The chain's head as you noted it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the records against the signed chain of their days; exit code 1 when something was changed."""
    from quantum_trader.app.runs import journal_commands

    report = journal_commands.verify(state, public_key=public_key, head=head)
    damage = journal_commands.damage_of(state)
    if as_json:
        told = {**msgspec.to_builtins(report), "damage": [msgspec.to_builtins(one) for one in damage]}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        typer.echo("\n".join([*map(_damage_text, damage), journal_commands.verify_text(report, len(damage))]))
    if damage or not report.ok:
        raise typer.Exit(_FAILED)


@app.command("replay")
def replay_command(
    state: StateOption,
    day: Annotated[str, typer.Option("--day", metavar="DAY", help="A day of the journal: 2024-01-15.")],
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Folder of the bars, if moved.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a day from the journal and compare; exit code 1 and both records at the first difference."""
    from quantum_trader.app.runs import journal_commands
    from quantum_trader.app.runs.journal_sink import PRODUCER

    lake = _lake(state)
    proof = journal_commands.replay(
        state, day, data=data, lines=lambda: ((ts_ns, line) for _, ts_ns, line in lake.lines(producer=PRODUCER))
    )
    typer.echo(msgspec.json.encode(proof).decode() if as_json else journal_commands.replay_text(proof))
    if not proof.identical:
        raise typer.Exit(_FAILED)


@app.command("compact")
def compact_command(state: StateOption, as_json: JsonOption = False) -> None:
    """Merge small parts of the lake."""
    gone = _lake(state).compact()
    typer.echo(f'{{"files_gone": {gone}}}' if as_json else f"{gone:,} files fewer")


@app.command("retain")
def retain_command(
    state: StateOption,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days to keep.")],
    as_json: JsonOption = False,
) -> None:
    """Remove all but the last days from the lake."""
    gone = _lake(state).retain(days)
    typer.echo(f'{{"events_gone": {gone}}}' if as_json else f"{gone:,} events removed")
