"""The HTML report: well formed, complete, and needing nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console
from tests.app.sample import STATS, facts

from quantum_trader.app.report.data import build_report
from quantum_trader.app.report.html import html_report, worth_of_blocking
from quantum_trader.app.report.tables import print_report

VOID = {"meta", "line", "rect", "polyline", "polygon", "br", "img", "link"}


class Reader(HTMLParser):
    """Checks that elements close in order, and keeps headings, addresses and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an opening."""
        self.count[tag] = self.count.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Insist that what closes was opened last."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note headings."""
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(page: str) -> Reader:
    """Parse *page*."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def page() -> str:
    """The page of a run, made from its JSON as ``report`` does."""
    return html_report(msgspec.json.decode(msgspec.json.encode(build_report(facts(), STATS))))


def test_every_element_closes(page: str) -> None:
    """The page is well formed."""
    assert read(page).open == []


def test_the_page_asks_for_nothing_else(page: str) -> None:
    """No address, no import, no network: it can be mailed and opened offline."""
    reader = read(page)

    assert reader.addresses == []
    assert "link" not in reader.count
    assert "img" not in reader.count
    assert re.search(r"(https?:)?//\w+\.|@import|url\(|fetch\(|XMLHttp", page) is None


def test_every_part_is_there(page: str) -> None:
    """Charts, tables and the statement of the data."""
    headings = " | ".join(read(page).headings)

    for part in ("Equity", "Drawdown", "the policy's state", "would have blocked", "Evidence per switch",
                 "What happened to the signals", "Monthly returns", "Results in R", "Trades by regime",
                 "Trades by symbol", "Trades by exit", "Costs", "Halts", "Open at the end", "Data", "Settings and run"):
        assert part in headings
    assert read(page).count["svg"] >= 6


def test_text_from_outside_is_escaped() -> None:
    """A reason or a symbol that looks like markup stays text, in the tables and in the embedded data."""
    run = facts()
    run = msgspec.structs.replace(
        run, notes=("<script>alert(1)</script>",), refusals={'<img src=x onerror="y">': 4}
    )
    report = build_report(run, STATS)
    report["curves"]["main_symbol"] = "</script><b>"

    page = html_report(report)

    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("</script>") == 2


def test_a_run_without_policy_trades_or_days_still_has_a_report() -> None:
    """The emptiest run gives a page and a table, not an error."""
    run = msgspec.structs.replace(facts(days=1, trades=0, with_policy=False), halts=(), positions=(), refusals={})
    report = build_report(run, STATS)
    console = Console(record=True, width=100)

    print_report(report, console)

    assert read(html_report(report)).open == []
    assert "No trades were closed" in console.export_text()


def test_the_terminal_report_fits_a_hundred_columns() -> None:
    """It shows return, costs, the source of funding, and the result of the signals the policy would have blocked."""
    console = Console(record=True, width=100)

    print_report(build_report(facts(), STATS), console)
    text = console.export_text()

    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    for words in ("Return", "Buy and hold", "Funding", "is assumed", "would have blocked", "95 %", "safety levels: 2"):
        assert words in " ".join(text.split())


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.3, -0.1, "avoided losses"), (0.1, 0.3, "cost profits"), (-0.1, 0.1, "does not show"),
        (None, None, "too few"),
    ],
)
def test_the_verdict_says_no_more_than_the_interval(low: float | None, high: float | None, words: str) -> None:
    """Below zero helps, above harms, across zero is unknown."""
    assert words in worth_of_blocking({"low_r": low, "high_r": high})
