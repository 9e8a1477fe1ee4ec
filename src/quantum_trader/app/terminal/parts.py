"""What the pages of the terminal's dashboard are drawn with. Text from a folder is escaped and never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import escaped

ROW: Final = "row"  # name under which the style of a row that can be opened holds its key
NARROW: Final = 100  # below so many letters some columns are left out
SMALL: Final = 75
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


def row_time(ts_ns: int | None, width: int) -> str:
    """A time in a list that is *width* letters wide: to the second, or to the minute without its year."""
    return utc_text(ts_ns) if width >= NARROW or not ts_ns else iso(ts_ns)[5:16].replace("T", " ")


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


class TextColumn(NamedTuple):
    """One column of a table."""

    heading: str
    is_number: bool = False
    from_width: int = 0  # a narrower screen leaves it out


def row_table(
    title: str, columns: Sequence[TextColumn], rows: Iterable[Sequence[object]], empty: str, width: int,
    keys: Sequence[str] = (),
) -> Table:
    """*rows* under those of *columns* that fit *width*; the sentence *empty* where there is no row.

    *keys*: one for each row where rows can be opened.
    """
    shown = [number for number, one in enumerate(columns) if width >= one.from_width]
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0),
    )
    for number in shown:
        table.add_column(
            columns[number].heading, justify="right" if columns[number].is_number else "left", overflow="fold"
        )
    for place, row in enumerate(rows):
        cells = [row[number] for number in shown]
        style = Style(meta={ROW: keys[place]}) if keys else None
        table.add_row(*(one if isinstance(one, Text) else shown_text(one) for one in cells), style=style)
    return table if table.row_count else name_grid([(title, Text(empty, style="dim"))])


def line_list(title: str, lines: Iterable[str], empty: str, style: str = "") -> RenderableType:
    """*lines* under *title*; the sentence *empty* where there is none."""
    found = list(lines)
    if not found:
        return name_grid([(title, Text(empty, style="dim"))])
    return Text("\n").join([Text(title, style="bold"), *(shown_text(f"  {one}", style) for one in found)])
