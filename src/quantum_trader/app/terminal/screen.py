"""A page of the terminal's dashboard as one printed document, or as a whole screen."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final

import msgspec
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from quantum_trader.app.terminal.folder_view import Facts
from quantum_trader.app.terminal.item_pages import position_detail, signal_detail
from quantum_trader.app.terminal.page_facts import PageFacts
from quantum_trader.app.terminal.parts import NARROW, ROW, shown_text, utc_text
from quantum_trader.app.terminal.place import NAMES, Seen, WatchPlace
from quantum_trader.app.terminal.run_pages import health_page, overview_page, positions_page
from quantum_trader.app.terminal.signal_pages import decisions_page, models_page, run_learning_page, shadows_page

Drawer = Callable[[Facts, int], RenderableType]
DRAWN: Final[dict[str, Drawer]] = {
    "overview": overview_page, "positions": positions_page, "decisions": decisions_page, "learning": run_learning_page,
    "shadows": shadows_page, "models": models_page, "health": health_page,
}
DRAWN_ITEMS: Final[dict[str, Drawer]] = {
    "overview": position_detail, "positions": position_detail, "decisions": signal_detail, "shadows": signal_detail,
}
PRINTED: Final = 20  # rows of a list in a printed document
_LONG: Final = ("decisions", "refused", "changes", "registry")
_GOOD: Final = frozenset({"running", "finished", "starting"})
_OVER: Final = frozenset({"stopped", "dead"})
_LOW: Final = 30  # lines; a lower screen has no empty line below its head
_CHOSEN: Final = Style(reverse=True)
_MOST_STOP_LINES: Final = 2
_MOST_TROUBLES: Final = 3


def page_document(page: PageFacts, width: int) -> Group:
    """*page* as one document, to be printed once; of long lists the first PRINTED rows."""
    facts = {name: value[:PRINTED] if name in _LONG else value for name, value in page.facts.items()}
    left = max((len(page.facts[name]) - len(facts[name]) for name in _LONG if name in facts), default=0)
    more = [Text(f"\nThe newest {PRINTED} of each list; --json has up to {left} more.", style="dim")] if left else []
    return Group(_head(page, width), *_troubles(page.trouble), Text(), DRAWN[page.page](facts, width), *more)


class DrawnPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page as lines of a screen, and between which of them each row lies that can be opened."""

    lines: list[list[Segment]]
    rows: dict[str, tuple[int, int]]


def drawn_page(console: Console, page: PageFacts | None, told: str, place: WatchPlace) -> DrawnPage:
    """The whole of *page* at the width of *console*. *told*: why the folder cannot be read just now."""
    troubles = _troubles((*([told] if told else ()), *(page.trouble if page is not None else ())))[:_MOST_TROUBLES]
    body: RenderableType = Text("reading …", style="dim")
    if page is not None:
        body = (DRAWN_ITEMS if place.item else DRAWN)[place.page](page.facts, console.width)
    lines = console.render_lines(Group(*troubles, body), pad=False)
    rows: dict[str, tuple[int, int]] = {}
    for number, line in enumerate(lines):
        key = next((one.style.meta[ROW] for one in line if one.style is not None and ROW in one.style.meta), None)
        if key is not None:
            rows[key] = (rows[key][0] if key in rows else number, number)
    return DrawnPage(lines=lines, rows=rows)


def body_height(page: PageFacts | None, size: tuple[int, int]) -> int:
    """Lines that are left for a page on a screen of *size* (letters, lines)."""
    return max(1, size[1] - _head_lines(size) - 1 - len(_stop_lines(page, size[0])))


def screen_layout(
    page: PageFacts | None, drawn: DrawnPage, place: WatchPlace, seen: Seen, size: tuple[int, int]
) -> Layout:
    """The whole screen: head, the part of *drawn* at *place*, keys, and how to stop a live run."""
    layout, width = Layout(), size[0]
    head = _head(page, width) if page is not None else Group(Text("Quantum Trader", style="bold"), Text())
    stop = _stop_lines(page, width)
    layout.split_column(
        Layout(Group(head, _tabs(place.page, width)), size=_head_lines(size)),
        Layout(_Window(drawn, place, seen.height), ratio=1),
        Layout(Text("\n").join([_keys_line(place, seen, width), *stop]), size=1 + len(stop)),
    )
    return layout


class _Window:
    """The lines of a page that are on the screen; the chosen row is drawn in reverse."""

    def __init__(self, drawn: DrawnPage, place: WatchPlace, height: int) -> None:
        self._lines = drawn.lines[place.line:place.line + height]
        first, last = drawn.rows.get(place.row, (0, -1)) if not place.item else (0, -1)
        self._chosen = range(first - place.line, last - place.line + 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, line in enumerate(self._lines):
            yield from Segment.apply_style(line, post_style=_CHOSEN) if number in self._chosen else line
            yield Segment.line()


def _head_lines(size: tuple[int, int]) -> int:
    return 3 if size[1] < _LOW else 4


def _head(page: PageFacts, width: int) -> Group:
    facts = page.facts
    condition, problems = facts["condition"], facts["problem_count"]
    style = "bold red" if problems or condition not in _GOOD else "bold green"
    many = f"  {problems} problem{'s' * (problems > 1)}: page health" if problems else ""
    first = Text.assemble(
        ("Quantum Trader  " if width >= NARROW else "", "bold"), (condition, style), "  ",
        shown_text(facts["why"], "dim"), (many, "bold red"), (f"  pid {facts['pid']}" if facts["pid"] else "", "dim"),
        "  ", shown_text(facts["state"]), overflow="ellipsis", no_wrap=True,
    )
    second = Text.assemble(
        shown_text(f"{facts['mode']} at {facts['endpoint']}", "dim"),
        (f"   figures of {utc_text(facts['as_of_ns'])}, read {utc_text(page.read_ns)}", "dim"), overflow="ellipsis",
        no_wrap=True,
    )
    return Group(first, second)


def _tabs(name: str, width: int) -> Text:
    """The pages; on a narrow screen only the one that is shown has its name."""
    tabs = Text(no_wrap=True, overflow="ellipsis")
    room = width - sum(len(one) + 2 for one in NAMES)  # a digit and a space before each name
    for number, one in enumerate(NAMES, start=1):
        label = f"{number} {one}" if room >= len(NAMES) - 1 or one == name else f"{number}"
        tabs.append(f" {label} " if room >= 2 * len(NAMES) else label, style="reverse" if one == name else "dim")
        if room < 2 * len(NAMES):
            tabs.append(" ")
    return tabs


def _keys_line(place: WatchPlace, seen: Seen, width: int) -> Text:
    """Which lines are shown, and the keys; those that do not fit are left out."""
    shown = min(seen.lines, place.line + seen.height)
    parts = [f"lines {place.line + 1}–{shown} of {seen.lines}"] if seen.lines > seen.height else []
    parts += ["q: quit", f"1–{len(NAMES)} ← →: pages"]
    if place.item:
        parts.append("Esc: back")
    elif seen.rows:
        parts += ["↑ ↓: row", "Enter: open"]
    if seen.lines > seen.height:
        parts += ["PgUp PgDn Home End"] if seen.rows and not place.item else ["↑ ↓ PgUp PgDn Home End"]
    line = ""
    for part in parts:
        longer = f"{line}   {part}" if line else part
        line = longer if cell_len(longer) <= width else line
    return Text(line, style="dim", no_wrap=True)


def _stop_lines(page: PageFacts | None, width: int) -> list[Text]:
    """How a live run is stopped and everything closed, folded to *width*; none for a replay."""
    if page is None or page.facts["kind"] != "live":
        return []
    now = " --now" if page.facts["condition"] in _OVER else ""
    told = shown_text(
        f"close everything: quantum-trader flatten --state {shlex.quote(page.facts['state'])}{now} --reason WHY", "dim"
    )
    places = range(width, min(len(told), width * _MOST_STOP_LINES), width)
    return list(told.divide(places))


def _troubles(told: tuple[str, ...]) -> list[Text]:
    return [shown_text(one, "yellow") for one in told]


def document_console(console: Console, width: int) -> Console:
    """*console* where it is a terminal; else one of *width* letters that writes to the same file."""
    if console.is_terminal:
        return console
    return Console(file=console.file, width=width, markup=False, highlight=False)
