"""A page of the terminal's dashboard as one printed document, or as a whole screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.text import Text

from quantum_trader.app.terminal.folder_view import Facts
from quantum_trader.app.terminal.page_facts import PAGES, PageFacts
from quantum_trader.app.terminal.parts import shown_text, utc_text
from quantum_trader.app.terminal.run_pages import health_page, overview_page, positions_page
from quantum_trader.app.terminal.signal_pages import decisions_page, models_page, run_learning_page, shadows_page

Drawer = Callable[[Facts, int], RenderableType]
DRAWN: Final[dict[str, Drawer]] = {
    "overview": overview_page, "positions": positions_page, "decisions": decisions_page, "learning": run_learning_page,
    "shadows": shadows_page, "models": models_page, "health": health_page,
}
NAMES: Final = tuple(PAGES)
_GOOD: Final = frozenset({"running", "finished", "starting"})


def page_document(page: PageFacts, width: int) -> Group:
    """*page* as one document, to be printed once."""
    return Group(_head(page), *_troubles(page.trouble), Text(), DRAWN[page.page](page.facts, width))


def screen_layout(name: str, page: PageFacts | None, told: str, width: int) -> Layout:
    """The whole screen: head, page *name* as far as it fits, keys. *told*: why the folder cannot be read just now."""
    layout = Layout()
    head = _head(page) if page is not None else Text("Quantum Trader", style="bold")
    troubles = _troubles((*([told] if told else ()), *(page.trouble if page is not None else ())))[:3]
    body = DRAWN[name](page.facts, width) if page is not None else Text("reading …", style="dim")
    layout.split_column(
        Layout(Group(head, _tabs(name)), size=4), Layout(Group(*troubles, body), ratio=1),
        Layout(Text(f"1–{len(NAMES)}, arrows: pages   q: quit", style="dim", no_wrap=True), size=1),
    )
    return layout


def _head(page: PageFacts) -> Group:
    facts = page.facts
    condition, problems = facts["condition"], facts["problem_count"]
    style = "bold red" if problems or condition not in _GOOD else "bold green"
    first = Text.assemble(
        ("Quantum Trader  ", "bold"), shown_text(facts["state"]), (f"  {condition}", style), "  ",
        shown_text(facts["why"], "dim"), (f"  pid {facts['pid']}" if facts["pid"] else "", "dim"), overflow="ellipsis",
        no_wrap=True,
    )
    many = f"   {problems} problem{'s' * (problems > 1)}: page health" if problems else ""
    second = Text.assemble(
        shown_text(f"{facts['mode']} at {facts['endpoint']}", "dim"),
        (f"   figures of {utc_text(facts['as_of_ns'])}, read {utc_text(page.read_ns)}", "dim"), (many, "bold red"),
        overflow="ellipsis", no_wrap=True,
    )
    return Group(first, second)


def _tabs(name: str) -> Text:
    tabs = Text(no_wrap=True, overflow="ellipsis")
    for number, one in enumerate(NAMES, start=1):
        tabs.append(f" {number} {one} ", style="reverse" if one == name else "dim")
    return tabs


def _troubles(told: tuple[str, ...]) -> list[Text]:
    return [shown_text(one, "yellow") for one in told]


def document_console(console: Console, width: int) -> Console:
    """*console* where it is a terminal; else one of *width* letters that writes to the same file."""
    if console.is_terminal:
        return console
    return Console(file=console.file, width=width, markup=False, highlight=False)
