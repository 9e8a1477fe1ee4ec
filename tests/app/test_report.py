"""The HTML report: well formed, complete, and needing nothing from outside."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from rich.console import Console
from tests.app.sample import START_NS, STATS, facts

from quantum_trader.app.report.data import build_report
from quantum_trader.app.report.html import NO_SHADOWS, html_report, worth_of_blocking
from quantum_trader.app.report.tables import print_report
from quantum_trader.app.runs.model_facts import ModelFacts, missed
from quantum_trader.app.runs.model_state import ModelLine, ModelsState
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.lab.edges import Edge
from quantum_trader.models.forecasts import Lack
from quantum_trader.models.outlook import Outlook

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


def test_the_page_has_the_insight_of_the_run() -> None:
    """Its sentences, its advice, and every figure with its id, as the terminal has them."""
    report = build_report(facts(), STATS)
    page = html_report(report)

    assert "Insight of the whole run" in read(page).headings
    for section in report["insight"]["sections"]:
        assert all(escape(one["text"]) in page for one in section["sentences"])
    assert all(escape(key) in page for key in report["insight"]["figures"])
    assert "Insight of" not in html_report({**report, "insight": None})


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
    said = " ".join(console.export_text().split())
    assert "No trade was closed: no order of the 2,400 signals was filled. Another range" in said
    assert "none was closed" in said


@pytest.mark.parametrize(("days", "trades", "said"), [
    (200, 3, "3 trades in 200 days cannot tell a good model from a bad one"),
    (30, 40, "with fewer than 20 trades or 60 days, no figure here is evidence"), (200, 40, ""), (200, 0, ""),
])
def test_a_report_of_few_trades_says_that_they_tell_nothing(days: int, trades: int, said: str) -> None:
    """In JSON, terminal and page; a run without any says why there are none instead."""
    report = build_report(facts(days=days, trades=trades), STATS)
    console = Console(record=True, width=100)
    print_report(report, console)
    shown, page = " ".join(console.export_text().split()), html_report(report)
    assert said in report["few"]
    assert bool(report["few"]) == bool(said)
    if said:
        assert report["few"] in shown
        assert report["few"] in page
    assert "additions to open positions counted in both" in shown
    assert "additions to open positions counted in both" in page


QUIET = ModelsState(
    models=(ModelLine(name="Mine", symbols=("BTCUSDT",)),), silent_since_ns=START_NS,
    silence="the score is between -0.5 and 0.5",
)


def test_a_report_without_trades_says_why_and_what_would_change_it() -> None:
    """In JSON, terminal and page; no empty table, no unknown figure, and since when there has been no signal."""
    none = msgspec.structs.replace(facts(days=30, trades=0), halts=(), positions=(), signals=0, intents=0,
                                   refusals={}, evidence=(), models_at_end=QUIET)
    report = build_report(none, STATS)
    console = Console(record=True, width=100)
    print_report(report, console)
    said, page = " ".join(console.export_text().split()), html_report(report)

    assert report["no_trades"].startswith(
        "No trade was closed, since there was no signal: the score is between -0.5 and 0.5. Another range (--from, "
    )
    assert report["signals"]["silence"] == (
        "No signal since the start (2017-10-01T00:00Z): the score is between -0.5 and 0.5."
    )
    for sentence in (report["no_trades"], report["signals"]["silence"], NO_SHADOWS):
        assert sentence in said
        assert sentence in page
    for unknown in ("– won", "profit factor –", "nan", "Not traded because", "would have blocked 0", "Trades by"):
        assert unknown not in said
        assert unknown not in page


def models(**changes: Any) -> ModelFacts:
    """The facts of a run with models, with *changes*."""
    plain: dict[str, Any] = {
        "rows": (), "combined": None, "lacks": (), "refused": (), "ungated": False, "volatility_pct": 6.0,
        "least_equity": (),
    }
    return ModelFacts(**{**plain, **changes})


def outlook(confidence: float) -> Outlook:
    """A forecast whose *confidence* is held against a threshold of 0.45."""
    return Outlook(threshold=0.45, confidence=confidence, expected_bps=9.0, error_bps=8.0, cost_bps=10.0,
                   prior_share=0.7, outcomes=1_000, outcomes_needed=None, prior_needed=None)


@pytest.mark.parametrize(("changes", "says"), [
    ({"refusals": {"LOW_CONFIDENCE": 9, "COST": 1}},
     "of 12 signals 9 were not traded for this reason: confidence below the threshold, and 1 for this: round-trip "
     "cost too high. A lower threshold"),
    ({"refusals": {"BELOW_MINIMUM_SIZE": 9}, "models": models(least_equity=(("BTCUSDT", 505.0),))},
     "size below the exchange's minimum. More equity (--equity) would change it; the least for each symbol stands"),
    ({"refusals": {"LOW_CONFIDENCE": 9}, "models": models(combined=outlook(confidence=0.47))},
     "threshold. The confidence beside the model is that of the end, at a score of 1; at these signals it was below"),
    ({"refusals": {"LOW_CONFIDENCE": 9}, "models": models(combined=outlook(confidence=0.40))},
     "confidence below the threshold. What its confidence lacks stands beside the model"),
    ({"positions": facts().positions}, "1 position opened, and open at the end"),
    ({"signals": 0, "models_at_end": msgspec.structs.replace(QUIET, models=(ModelLine(
        name="Mine", symbols=("BTCUSDT",),
        lacks=(Lack(model="Mine", symbol="BTCUSDT", bars=3, needed=60, interval="1d"),),
    ),))}, "More bars would change it (Mine: 3 of 60 days)"),
])
def test_what_kept_a_run_from_trading_is_named(changes: dict[str, Any], says: str) -> None:
    """The most frequent reason, the positions that are open, or the bars that are missing."""
    plain: dict[str, Any] = {"positions": (), "signals": 12, "refusals": {}}
    run = msgspec.structs.replace(facts(days=5, trades=0), **{**plain, **changes})

    assert says in build_report(run, STATS)["no_trades"]
    assert build_report(facts(), STATS)["no_trades"] == ""


def test_a_run_without_trades_has_no_empty_table_of_their_edges() -> None:
    """Expected and realised edges of the decisions stand alone, in the terminal and on the page."""
    edge = Edge(name="all together", decisions=8, expected_bps=1.0, cost_bps=5.0, realised_bps=2.0, low_bps=None,
                high_bps=None)
    report = build_report(msgspec.structs.replace(facts(), trades=[]), STATS)
    report["edges"] |= {"by_model": [msgspec.to_builtins(edge)], "trades_by_source": [], "trades_by_symbol": []}
    console = Console(record=True, width=100)
    print_report(report, console)

    for said in (console.export_text(), html_report(report)):
        assert "Edges: expected against realised" in said
        assert "Net edge of trades" not in said


def test_a_refusal_stands_until_the_account_opens_the_symbol() -> None:
    """Refused again for the same reason is no new signal: a trade of ten days later still counts under it."""
    trade = facts().trades[0]
    at = {day: msgspec.structs.replace(trade, entry_ns=START_NS + day * NS_PER_DAY) for day in (1, 3, 5, 10)}
    refused = models(refused=((at[1].entry_ns, trade.symbol, "LOW_CONFIDENCE"),))
    other = msgspec.structs.replace(at[5], symbol="OTHER")

    def reasons(*made: Any) -> list[str]:
        return [row["reason"] for row in missed(refused, list(made), [at[10]])]

    assert reasons() == reasons(other) == ["LOW_CONFIDENCE"]
    assert reasons(at[5]) == reasons(at[3], other) == ["NO_SIGNAL"]
    assert reasons(at[10]) == []


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
