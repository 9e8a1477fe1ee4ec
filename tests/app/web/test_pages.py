"""The dashboard in a browser: every page loads, shows text of data as text alone, and fits small and large screens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.web.conftest import PLACES, Visit

from quantum_trader.app.api.tokens import Role, TokenStore
from quantum_trader.app.report.words import CODE_WORDS

PAGES = (
    *PLACES, "lab/win_rate", "overview?t=2018-04-10T12:00", "market?symbol=ETHUSDT&t=2018-04-10T12:00",
    "policy?t=2018-04-10T12:00", "lab/status_equity",
)
GAPS = """() => [...document.querySelectorAll('.cards, .tiles')].flatMap((grid) => {
  const right = grid.getBoundingClientRect().right, rows = new Map();
  for (const one of grid.children) {
    const box = one.getBoundingClientRect();
    rows.set(Math.round(box.top), Math.max(rows.get(Math.round(box.top)) ?? 0, box.right));
  }
  return [...rows].filter(([, ends]) => Math.abs(right - ends) > 2).map(([top]) => `${grid.className} at ${top}`);
})"""
AXE = Path(__file__).parents[3] / "web" / "node_modules" / "axe-core" / "axe.min.js"
ATTACKS = (
    "<img src=x onerror=\"window.taken=1\">", "<script>window.taken=1</script>", "\"><svg onload=\"window.taken=1\">",
    "javascript:window.taken=1",
)


def test_every_page_loads_without_a_complaint_of_the_browser(visit: Visit) -> None:
    """No error, no warning, no refusal of the content security policy."""
    for place in PAGES:
        visit.open(place)
        assert visit.page.locator("main .trouble").count() == 0, place
    assert visit.complaints == []


def test_links_of_the_navigation_lead_to_pages(visit: Visit) -> None:
    """Each link of the navigation opens a page with a heading."""
    visit.open("overview")
    links = visit.page.locator("nav.pages a")
    titles = links.all_inner_texts()
    assert "Overview" in titles
    for title in titles:
        visit.page.locator("nav.pages").get_by_role("link", name=title).click()
        playwright.expect(visit.page).to_have_title(f"{title} · Quantum Trader")
        playwright.expect(visit.page.locator("main h1")).to_be_visible()


def test_the_overview_tells_equity_positions_and_why(visit: Visit) -> None:
    """The figures of the status, in words and units, and a drawn chart."""
    visit.open("overview")
    page = visit.page
    assert re.search(r"Equity, USDT\s+[\d,]+\.\d\d", page.locator(".tiles").inner_text())
    assert page.locator("canvas").count() == 2
    assert "the replay has ended" in page.locator("section", has_text="Why is nothing happening?").inner_text()
    counts = [int(text.replace(",", "")) for text in page.locator(".funnel .count").all_inner_texts()]
    assert len(counts) == 7
    assert counts[0] > 0


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_data_is_never_code(visit: Visit, attack: str) -> None:
    """An attack in the values and the column names of a SQL answer is shown as text."""
    visit.open("journal")
    value, name = attack.replace("'", "''"), attack.replace('"', '""')
    visit.page.get_by_label("Query").fill(f"select '{value}' as plain, '{value}' as \"{name}\"")
    visit.page.get_by_role("button", name="Run", exact=True).click()
    playwright.expect(visit.page.locator(".answer td").first).to_have_text(attack)
    visit.page.wait_for_timeout(100)
    assert visit.page.evaluate("window.taken") is None
    assert visit.page.locator("main img, main script, main svg").count() == 0
    assert visit.complaints == []


def test_a_symbol_that_is_markup_is_shown_as_text(visit: Visit) -> None:
    """A status whose symbols and problems are markup changes nothing of the page but its text."""
    attack = ATTACKS[0]

    def poisoned(route: playwright.Route) -> None:
        answer = route.fetch()
        status = answer.json()
        position = {"symbol": attack, "side": "LONG", "qty": 1.0, "entry_price": 10.0, "stop": 9.0, "target": 0.0,
                    "mark_price": 11.0, "protected": True, "traded": True}
        body = {**status, "positions": [position], "problems": [attack], "entries_halted": attack, "state": attack}
        route.fulfill(response=answer, body=json.dumps(body))

    visit.page.route("**/api/v1/status", poisoned)
    visit.page.route_web_socket("**/api/v1/stream", lambda socket: None)
    visit.open("overview")
    playwright.expect(visit.page.locator("section.problems")).to_contain_text(attack)
    playwright.expect(visit.page.locator("td", has_text=attack).first).to_be_visible()
    assert visit.page.evaluate("window.taken") is None
    assert visit.page.locator("main img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1024, "dark"), (1920, "light")])
def test_pages_fit_the_screen(visits: Callable[[int, str], Visit], width: int, scheme: str) -> None:
    """Nothing but tables scrolls sideways, and STOP is in sight."""
    visit = visits(width, scheme)
    for place in PAGES:
        visit.open(place)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, place
        playwright.expect(visit.page.get_by_role("button", name="STOP")).to_be_in_viewport(ratio=1)


def broken_rules(visit: Visit) -> list[tuple[str, list[str]]]:
    """What axe-core, which the page holds already, finds on it: the rule and the elements."""
    found = visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(one["id"], [node["html"][:100] for node in one["nodes"]]) for one in found]


def test_rows_of_cards_leave_no_gap_at_any_width(visits: Callable[[int, str], Visit]) -> None:
    """Every row of tiles and of cards ends at the edge of the page."""
    for width in (390, 768, 1024, 1440, 1920):
        visit = visits(width, "light")
        for place in ("overview", "overview?t=2018-04-10T12:00", "settings", "health", "insights"):
            visit.open(place)
            assert visit.page.evaluate(GAPS) == [], (width, place)


def test_every_figure_opens_its_metric_and_how_it_is_computed(visit: Visit) -> None:
    """The link of each figure leads to an id that the catalogue knows, with its SQL or its function."""
    found: set[str] = set()
    for place in ("overview", "policy", "models", "health"):
        visit.open(place)
        found |= set(visit.page.locator("a.metric").evaluate_all("all => all.map((one) => one.hash)"))
    assert {f"#/lab/{one}" for one in ("status_equity", "status_position_stop", "policy_risk", "status_order_price",
                                       "status_least_equity", "gate_passed")} <= found
    for place in sorted(found):
        visit.open(place.removeprefix("#/"))
        card = visit.page.locator("section", has=visit.page.get_by_role("heading", name=re.compile("that computes it")))
        playwright.expect(card.locator("dd code").first).to_have_text(place.rpartition("/")[2])


def test_what_a_model_lacks_is_told_in_words(visit: Visit) -> None:
    """How much it knows of what it needs, on the overview and among the models."""
    visit.open("overview")
    idle = visit.page.locator("section", has_text="Why is nothing happening?")
    playwright.expect(idle).to_contain_text("it knows 243 of 373 days")
    visit.open("models")
    playwright.expect(visit.page.get_by_role("group", name="Models", exact=True)).to_contain_text("243 of 373 days")
    for place in PAGES:
        visit.open(place)
        assert "[object" not in visit.page.locator("main").inner_text(), place


@pytest.mark.skipif(not AXE.exists(), reason="needs web/node_modules (`make web`)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_break_no_rule_of_accessibility(visits: Callable[[int, str], Visit], scheme: str) -> None:
    """axe-core finds nothing on any page, contrast included."""
    visit = visits(1024, scheme)
    for place in PAGES:
        visit.open(place)
        visit.page.evaluate(AXE.read_text())
        assert broken_rules(visit) == [], place


def test_the_theme_is_chosen_and_kept(visit: Visit) -> None:
    """The button changes the theme; a reload keeps it."""
    visit.open("overview")
    before = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.page.get_by_role("button", name="Use the dark theme").click()
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.page.reload()
    visit.open("overview")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark != before


def test_decisions_are_filtered_and_paged(visit: Visit) -> None:
    """A filter keeps what it names, and the next page holds others."""
    visit.open("decisions")
    first = visit.page.locator("tbody tr").first.inner_text()
    visit.page.get_by_role("button", name="Older").click()
    playwright.expect(visit.page.get_by_text("Page 2")).to_be_visible()
    playwright.expect(visit.page.locator("tbody tr").first).not_to_have_text(first)
    visit.page.get_by_label("Symbol").fill("ETHUSDT")
    visit.page.get_by_label("Outcome").select_option("blocked")
    visit.page.get_by_role("button", name="Show").click()
    playwright.expect(visit.page.locator("tbody tr td:nth-child(3)", has_text="BTCUSDT")).to_have_count(0)
    assert {one.strip() for one in visit.page.locator("tbody tr td:nth-child(5)").all_inner_texts()} <= {"blocked"}


def test_reasons_are_said_as_the_reports_say_them(visit: Visit) -> None:
    """No code, nor its letters in lower case."""
    visit.open("decisions")
    visit.page.get_by_label("Outcome").select_option("blocked")
    visit.page.get_by_role("button", name="Show").click()
    rows = visit.page.locator("tbody tr")
    playwright.expect(rows.filter(has_text="allowed")).to_have_count(0)
    said = {one.strip() for one in rows.locator("td:nth-child(6)").all_inner_texts()}
    assert said
    assert said <= set(CODE_WORDS.values())


def test_a_refused_signal_tells_what_would_have_changed_it_and_what_its_shadow_made(visit: Visit) -> None:
    """Each change is a sentence with words for codes, and the shadow trade has its result in R and in basis points."""
    visit.open("decisions")
    visit.page.get_by_label("Outcome").select_option("blocked")
    visit.page.get_by_role("button", name="Show").click()
    blocked = visit.page.locator("tbody tr")
    playwright.expect(blocked.filter(has_text="allowed")).to_have_count(0)
    blocked.last.locator("a").first.click()  # an old one: its shadow trade has ended
    changes = visit.page.get_by_role("group", name="What would have changed it").locator("tbody tr")
    playwright.expect(changes.first).to_contain_text(" instead of ")
    outcome = visit.page.locator("section", has=visit.page.get_by_role("heading", name="What came of it"))
    playwright.expect(outcome).to_contain_text(re.compile(r"\d R, [+−]?[\d,.]+ bps after costs, ended 20"))


def test_a_figure_of_the_lab_opens_its_id_and_its_sql(visit: Visit) -> None:
    """The SQL that is shown gives the figure that was shown; the last day comes first, as it is made at once."""
    visit.open("lab")
    playwright.expect(visit.page.get_by_role("button", name="Last day")).to_have_attribute("aria-pressed", "true")
    visit.page.get_by_role("button", name="Whole run").click()
    playwright.expect(visit.page.get_by_role("heading", name="Metrics of the whole run")).to_be_visible()
    visit.page.get_by_role("link", name="win rate", exact=True).click()
    card = visit.page.locator("section", has_text="SQL that computes it")
    playwright.expect(card.locator("dd code")).to_have_text("win_rate")
    shown = card.locator("tbody tr").first.locator("td").nth(1).inner_text()
    card.get_by_role("link", name="Ask it in the journal").click()
    value = float(visit.page.locator(".answer td").first.inner_text())
    assert shown == f"{value * 100:.1f} %"


def test_enforcing_a_part_of_the_policy_names_what_is_missing_and_asks_for_an_owner(visit: Visit) -> None:
    """Nothing is sent before the reason and the token are given."""
    sent: list[str] = []
    visit.page.on("request", lambda request: sent.append(request.method))
    visit.open("policy")
    visit.page.get_by_role("button", name="Force … signal_filter").click()
    dialog = visit.page.get_by_role("dialog")
    playwright.expect(dialog).to_contain_text("needs at least 30")
    playwright.expect(dialog.get_by_label("Token of an owner")).to_be_visible()
    dialog.get_by_role("button", name="Enforce it").click()
    playwright.expect(dialog).to_be_visible()
    assert "PUT" not in sent


def test_a_refused_query_says_why(visit: Visit) -> None:
    """The message of the server stands where the answer would."""
    visit.open("journal")
    visit.page.get_by_label("Query").fill("select nothing from nowhere")
    visit.page.get_by_role("button", name="Run", exact=True).click()
    playwright.expect(visit.page.get_by_role("alert")).to_contain_text("nowhere")


def test_a_flood_of_events_keeps_the_page_small(visit: Visit) -> None:
    """Of twenty thousand events the newest are shown, and the number of nodes stays what it was."""
    sockets: list[playwright.WebSocketRoute] = []
    visit.page.route_web_socket("**/api/v1/stream", lambda socket: sockets.append(socket))
    visit.open("overview")
    page = visit.page

    def flood(first: int) -> int:
        for start in range(first, first + 10_000, 200):
            rows = [
                {"ts_ns": 1_519_862_400_000_000_000 + one, "kind": "order.filled", "symbol": "BTCUSDT", "payload": {},
                 "trace_id": f"tr{one:08}", "producer": "engine", "seq": one} for one in range(start, start + 200)
            ]
            sockets[-1].send(json.dumps({"type": "events", "rows": rows}))
        newest = f"tr{first + 9_999:08}"
        playwright.expect(page.get_by_role("link", name=newest)).to_be_visible()
        return int(page.evaluate("document.querySelectorAll('*').length"))

    nodes = flood(1)
    assert flood(10_001) <= nodes
    assert page.get_by_role("group", name="Newest events").locator("tbody tr").count() == 12


def test_a_lost_stream_is_opened_again(visit: Visit) -> None:
    """The page says that it reconnects, does so, and shows what the new stream says."""
    sockets: list[playwright.WebSocketRoute] = []
    visit.page.route_web_socket("**/api/v1/stream", lambda socket: sockets.append(socket))
    visit.open("overview")
    playwright.expect(visit.page.get_by_text("connected", exact=True)).to_be_visible()
    sockets[0].close()
    playwright.expect(visit.page.get_by_text("reconnecting", exact=True)).to_be_visible()
    playwright.expect(visit.page.get_by_text("connected", exact=True)).to_be_visible()
    assert len(sockets) == 2


@pytest.mark.skipif(not AXE.exists(), reason="needs web/node_modules (`make web`)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("folder", ["unfinished"], indirect=True)  # a finished run is asked nothing
def test_dialogs_break_no_rule_of_accessibility(
    visits: Callable[[int, str], Visit], folder: Path, scheme: str
) -> None:
    """Every question, asked, refused and done: axe-core finds nothing."""
    visit = visits(390, scheme)
    viewer, trader = (TokenStore(folder).new(role.value, role, 1)[1] for role in (Role.VIEWER, Role.TRADER))
    dialog = visit.page.get_by_role("dialog")
    for place, button, confirm in (
        ("overview", "Halt", "Halt"), ("overview", "Resume", "Resume"), ("overview", "Lock …", "Lock it"),
        ("policy", "Force … signal_filter", "Enforce it"), ("policy", "Force … spread", "Enforce it"),
        ("settings", "STOP", "Stop everything now"),
    ):
        visit.open(place)
        visit.page.evaluate(AXE.read_text())
        visit.page.get_by_role("button", name=button, exact=True).click()
        assert broken_rules(visit) == [], button
        if dialog.get_by_label("Why").count():
            dialog.get_by_label("Why").fill("a test")
        token = dialog.get_by_label("Token of a")
        token.fill(viewer)
        dialog.get_by_role("button", name=confirm, exact=True).click()
        playwright.expect(dialog.get_by_role("alert")).to_be_visible()
        assert broken_rules(visit) == [], f"{button}, refused"
        if button != "STOP":
            visit.page.keyboard.press("Escape")
    token.fill(trader)
    dialog.get_by_role("button", name="Stop everything now").click()
    playwright.expect(dialog.locator(".progress")).to_contain_text("requested")
    assert broken_rules(visit) == []
