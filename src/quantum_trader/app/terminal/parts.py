"""What the pages of the terminal's dashboard are drawn with. Text from a folder is escaped and never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import escaped

_MINUTES_FROM_S: Final = 120.0
_HOURS_FROM_S: Final = 7_200.0
_DAYS_FROM_S: Final = 172_800.0


def shown_text(value: object, style: str = "") -> Text:
    """*value* as it is, one line, with codes for what a terminal would act on."""
    return Text(escaped(str(value)), style=style)


def signed_text(text: str) -> Text:
    """*text* red when it starts with a minus, green when with a plus."""
    return shown_text(text, "red" if text.startswith("-") else "green" if text.startswith("+") else "")


def utc_text(ts_ns: int | None) -> str:
    """A time to the second with UTC; a dash where there is none (0 or None)."""
    return f"{iso(ts_ns)[:19].replace('T', ' ')} UTC" if ts_ns else fmt.UNKNOWN


def seconds_text(seconds: float | None) -> str:
    """A span of seconds with the unit that fits it; a dash where it is not known."""
    if seconds is None:
        return fmt.UNKNOWN
    if seconds < _MINUTES_FROM_S:
        return f"{seconds:.1f} s"
    if seconds < _HOURS_FROM_S:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3600.0:.0f} h" if seconds < _DAYS_FROM_S else f"{seconds / 86_400.0:.0f} days"


def number_text(value: float | None, unit: str = "") -> str:
    """A number as short as it is exact to six digits, with its unit; a dash where it is not known."""
    return fmt.UNKNOWN if value is None else f"{value:.6g}{f' {unit}' if unit else ''}"


def name_grid(rows: Iterable[tuple[str, object]]) -> Table:
    """Names with their values, a line each; a value is text of ours (Text) or anything else, which is escaped."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), value if isinstance(value, Text) else shown_text(value))
    return grid


def row_table(title: str, columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[object]], empty: str) -> Table:
    """*rows* under *columns* (heading, whether its values are numbers); the sentence *empty* where there is none."""
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0),
    )
    for heading, is_number in columns:
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(one if isinstance(one, Text) else shown_text(one) for one in row))
    return table if table.row_count else name_grid([(title, Text(empty, style="dim"))])


def line_list(title: str, lines: Iterable[str], empty: str, style: str = "") -> RenderableType:
    """*lines* under *title*; the sentence *empty* where there is none."""
    found = list(lines)
    if not found:
        return name_grid([(title, Text(empty, style="dim"))])
    return Text("\n").join([Text(title, style="bold"), *(shown_text(f"  {one}", style) for one in found)])
