"""``quantum-trader trace``: the steps of one decision, drawn in the terminal or written for OpenTelemetry."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from quantum_trader.journal.tracer import Span, Trace, TraceAnalysis

_BAR: Final = 32  # characters
_SHOWN: Final = (
    "symbol", "action", "side", "type", "qty", "price", "stop_price", "confidence", "score", "source", "outside_scores",
    "reason", "r", "pnl",
)
_QUIET: Final = ("acknowledgement", "cancel", "booking")
_GOOD: Final = ("ALLOWED", "ALLOW", "FILLED", "NEW", "OK", "CLOSED")
_BAD: Final = ("BLOCKED", "BLOCK", "DENIED", "REFUSED", "REJECTED", "FAILED", "LIQUIDATION", "UNPROTECTED")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The steps of one decision.")


@app.command("show")
def show_command(
    trace_id: Annotated[
        str, typer.Argument(metavar="ID", help="Trace, signal, intent, order or trade: tr00000012, s00000012 ...")
    ],
    state: StateOption,
    otlp: Annotated[
        Path | None, typer.Option("--otlp", metavar="FILE", help="Also write it here, as OpenTelemetry (OTLP/JSON).")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show acknowledgements and cancellations after the opening fill too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw the steps of one decision, from the bar to the closed trade."""
    from rich.console import Console

    from quantum_trader.app.runs.trace_file import measured, road_of
    from quantum_trader.journal.otlp import write_otlp
    from quantum_trader.journal.tracer import analyze, duration, find_trace_id, trace_from_records

    known = find_trace_id(_lines(state), trace_id)
    trace = trace_from_records(_lines(state), known) if known is not None else None
    if trace is None:
        raise InputError(f"ID = {trace_id!r}: no record carries it; see `quantum-trader trace list --state {state}`")
    if otlp is not None:
        write_otlp(otlp, [trace], run_id=_run_id(state))
    analysis, timed = analyze(trace), measured(state, trace.trace_id)
    road = analyze(road_of(timed)) if timed is not None else None
    if as_json:
        plain = msgspec.to_builtins(analysis)
        typer.echo(msgspec.json.encode({**plain, "measured": msgspec.to_builtins(road)}).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    draw(trace, analysis, console, every=every)
    if road is not None:
        steps = "  ".join(f"{span.name} {duration(span.duration_ns)}" for span in road.spans)
        console.print(f"measured  {steps}", highlight=False)
        console.print(f"          {road.sentence}", highlight=False)


@app.command("list")
def list_command(
    state: StateOption,
    count: Annotated[int, typer.Option("--count", min=1, max=100_000, help="How many, newest last.")] = 20,
    otlp: Annotated[
        Path | None, typer.Option("--otlp", metavar="FILE", help="Also write them here, as OpenTelemetry (OTLP/JSON).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the latest decisions with their outcome and the slowest step of each."""
    from quantum_trader.journal.otlp import write_otlp
    from quantum_trader.journal.tracer import analyze, duration, traces_from_records

    traces = traces_from_records(_lines(state), count)
    if otlp is not None:
        write_otlp(otlp, traces, run_id=_run_id(state))
    found = [analyze(trace) for trace in traces]
    if as_json:
        typer.echo(msgspec.json.encode([_brief(one) for one in found]).decode())
        return
    for one in found:
        typer.echo(f"{one.trace_id}  {one.symbol:<10}  {one.outcome or 'open':<28}  {duration(one.total_ns):>8}  "
                   f"{one.sentence}")
    if not found:
        typer.echo("no decision is recorded yet")


def _brief(analysis: TraceAnalysis) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(analysis)
    plain["spans"] = len(analysis.spans)
    return plain


def _lines(state: Path) -> Iterator[bytes]:
    from quantum_trader.app.runs.journal_commands import recorded

    return (line for _, line in recorded(state)())


def _run_id(state: Path) -> str:
    """The run's id as the trade journal has it: trace ids count from one in each run."""
    return hashlib.sha256(next(_lines(state), b"")).hexdigest()[:16]


def draw(trace: Trace, analysis: TraceAnalysis, console: Console, *, every: bool = False) -> None:
    """Print the spans of *trace*, one row each, with bars on one time axis."""
    from rich.table import Table
    from rich.text import Text

    from quantum_trader.domain.clock import iso
    from quantum_trader.journal.tracer import duration

    console.print(Text.assemble(
        (f"{trace.trace_id}  {trace.symbol}", "bold"), f"  {iso(trace.start_ns)}  ",
        (trace.outcome or "open", _style(trace.outcome)),
    ))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in (("step", "left"), ("from", "right"), ("took", "right"), ("", "left"), ("outcome", "left"),
                          ("facts", "left")):
        table.add_column(name, justify=justify, no_wrap=name not in ("facts",))  # type: ignore[arg-type]
    end_ns = max(trace.end_ns, trace.start_ns + 1)
    hidden = 0
    for number, span in enumerate(trace.spans):
        if not every and span.name in _QUIET and any(one.name == "execution" for one in trace.spans[:number]):
            hidden += 1
            continue
        table.add_row(
            span.name, _after(span.start_ns - trace.start_ns), duration(span.duration_ns),
            Text(_bar(span, trace.start_ns, end_ns), style="red" if span.name == analysis.bottleneck else "blue"),
            Text(span.outcome, style=_style(span.outcome)), Text(_facts(span), style="dim"),
        )
    console.print(table)
    if hidden:
        told = f"{hidden} acknowledgements and cancellations after the fill: --all shows them"
        console.print(Text(told, style="dim"))
    console.print(Text(f"decision {duration(analysis.total_ns)}: {analysis.sentence}"))


def _after(ns: int) -> str:
    """A time after the start of a trace; that of a clock which was behind lies before it."""
    from quantum_trader.journal.tracer import duration

    return f"{'-' if ns < 0 else '+'}{duration(abs(ns))}"


def _bar(span: Span, start_ns: int, end_ns: int) -> str:
    """Where *span* lies between the two times, at least one character wide."""
    scale = _BAR / (end_ns - start_ns)
    left = min(_BAR - 1, int((span.start_ns - start_ns) * scale))
    width = max(1, round((span.end_ns - start_ns) * scale) - left)
    return " " * left + ("━" * width if span.duration_ns else "╵")


def _style(outcome: str) -> str:
    word = outcome.split(" ", maxsplit=1)[0]
    return "green" if word in _GOOD else "red" if word in _BAD else ""


def _facts(span: Span) -> str:
    """The facts shown of *span*, as one line."""
    shown = []
    for key in _SHOWN:
        value = span.facts.get(key)
        if value in (None, "", 0.0) or (key == "symbol" and span.name != "signal"):
            continue
        shown.append(f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}")
    return " · ".join(shown)
