"""The steps of one decision, drawn: a row each, with bars on one time axis."""

from __future__ import annotations

from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from quantum_trader.app.terminal.parts import SMALL, shown_text
from quantum_trader.domain.clock import iso
from quantum_trader.journal.tracer import Span, Trace, TraceAnalysis, duration

_BAR: Final = 32  # characters
_SHORT_BAR: Final = 12
_BARS_FROM: Final = 120  # characters of the whole screen, from which the bars are long
_SHOWN: Final = (
    "symbol", "action", "side", "type", "qty", "price", "stop_price", "confidence", "score", "source", "outside_scores",
    "reason", "r", "pnl",
)
_QUIET: Final = ("acknowledgement", "cancel", "booking")
_GOOD: Final = ("ALLOWED", "ALLOW", "FILLED", "NEW", "OK", "CLOSED")
_BAD: Final = ("BLOCKED", "BLOCK", "DENIED", "REFUSED", "REJECTED", "FAILED", "LIQUIDATION", "UNPROTECTED")


def trace_drawing(trace: Trace, analysis: TraceAnalysis, width: int, *, every: bool = False) -> Group:
    """The steps of *trace*; acknowledgements and cancellations after the opening fill with *every* alone.

    On less than SMALL letters the bars and the facts are left out.
    """
    head = Text.assemble(
        (f"{trace.trace_id}  {trace.symbol}", "bold"), f"  {iso(trace.start_ns)}  ",
        (trace.outcome or "open", _style(trace.outcome)),
    )
    is_wide, end_ns = width >= SMALL, max(trace.end_ns, trace.start_ns + 1)
    table, hidden = _table(is_wide), 0
    for number, span in enumerate(trace.spans):
        if not every and span.name in _QUIET and any(one.name == "execution" for one in trace.spans[:number]):
            hidden += 1
            continue
        bar = _bar(span, trace.start_ns, end_ns, _BAR if width >= _BARS_FROM else _SHORT_BAR)
        more = (
            Text(bar, style="red" if span.name == analysis.bottleneck else "blue"),
            shown_text(span.outcome, _style(span.outcome)), shown_text(_facts(span), "dim"),
        )
        table.add_row(
            shown_text(span.name), _after(span.start_ns - trace.start_ns), duration(span.duration_ns),
            *(more if is_wide else more[1:2]),
        )
    told = f"{hidden} acknowledgements and cancellations after the fill: `trace show --all` shows them"
    return Group(
        head, table, *([Text(told, style="dim")] if hidden else []),
        Text(f"decision {duration(analysis.total_ns)}: {analysis.sentence}"),
    )


def _table(is_wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step", no_wrap=True)
    table.add_column("from", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("", no_wrap=True)
    table.add_column("outcome", no_wrap=is_wide)
    if is_wide:
        table.add_column("facts")
    return table


def _after(ns: int) -> str:
    """A time after the start of a trace; that of a clock which was behind lies before it."""
    return f"{'-' if ns < 0 else '+'}{duration(abs(ns))}"


def _bar(span: Span, start_ns: int, end_ns: int, letters: int) -> str:
    """Where *span* lies between the two times, at least one character wide."""
    scale = letters / (end_ns - start_ns)
    left = min(letters - 1, int((span.start_ns - start_ns) * scale))
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
