"""Markup in the data of a run is text on every page: no script runs, and nothing is asked of another origin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.web.conftest import PLACES, Visit
from tests.app.web.poisoned_run import ATTACK, poison

from quantum_trader.app.api.pages import POLICY
from quantum_trader.app.api.tokens import Role, TokenStore

ANYWHERE = (*PLACES, "lab/win_rate", f"decisions/{ATTACK}", f"market?symbol={ATTACK}", f"lab/{ATTACK}", ATTACK)
SHOWS = {  # pages that show texts of data, and how often at least
    "overview": 8, "market": 1, "decisions": 50, "decisions/s00000001": 5, "policy": 5, "models": 5, "insights": 3,
    "health": 4, "settings": 1,
}


def spoilt_insight(route: playwright.Route) -> None:
    """The real insight with markup for each of its texts: the journal's own keeps no sentence with such a name."""
    answer = route.fetch()
    insight = answer.json()
    sections = [
        {**one, "title": ATTACK, "sentences": [{**line, "text": ATTACK} for line in one["sentences"]]}
        for one in insight["sections"]
    ]
    tables = [
        {**one, "title": ATTACK, "columns": [f"{number} {ATTACK}" for number, _ in enumerate(one["columns"])],
         "rows": [[ATTACK, *row[1:]] for row in one["rows"]], "verdicts": [ATTACK for _ in one["rows"]]}
        for one in insight["tables"]
    ]
    body = {**insight, "summary": ATTACK, "recommendations": [ATTACK], "sections": sections, "tables": tables}
    route.fulfill(response=answer, body=json.dumps(body))


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """The poisoned run."""
    made = tmp_path / "run"
    poison(finished, made)
    return made


@pytest.fixture
def poisoned_visit(visit: Visit, folder: Path) -> Visit:
    """A visit of it, after an operator whose note is markup too asked for a halt."""
    visit.hold(TokenStore(folder).new("phone", Role.TRADER, 1)[1])
    visit.open("overview")
    visit.page.get_by_role("button", name="Halt", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_label("Why (it is recorded)").fill(ATTACK)
    dialog.get_by_role("button", name="Halt", exact=True).click()
    playwright.expect(dialog.get_by_role("status")).to_be_visible()
    return visit


def test_markup_of_data_is_text_on_every_page(poisoned_visit: Visit) -> None:
    """Symbols, notes, names of models, gates and sources, texts of insights: shown as they are, and inert."""
    visit, page = poisoned_visit, poisoned_visit.page
    page.route("**/api/v1/insights?*", spoilt_insight)
    shown = {}
    for place in ANYWHERE:
        page.goto("about:blank")
        answer = page.goto(f"{visit.address}/#/{place}")
        assert answer is not None
        assert answer.headers["content-security-policy"] == POLICY
        page.locator("main h1, main .empty").first.wait_for()
        playwright.expect(page.get_by_text("Reading …")).to_have_count(0, timeout=60_000)
        shown[place] = page.locator("main").inner_text().lower().count("onerror")
        assert page.evaluate("window.taken") is None, place
        assert page.locator("img, script:not([src='/app.js']), svg, iframe, object, embed").count() == 0, place
    assert {place: shown[place] for place in SHOWS if shown[place] < SHOWS[place]} == {}
    assert {origin.replace("ws:", "http:") for origin in visit.asked} == {visit.address}
    assert [one for one in visit.complaints if "Failed to load resource" not in one] == []


def test_markup_in_dialogs_is_text(poisoned_visit: Visit) -> None:
    """The questions of STOP, of one position, of a lock and of its end name the symbol as it is."""
    visit = poisoned_visit
    visit.load("overview")
    for button in ("STOP", f"Close {ATTACK}", f"Unlock {ATTACK}", "Lock …"):
        one = visit.page.get_by_role("button", name=button, exact=True)
        playwright.expect(one).to_be_visible()
        if one.is_disabled():  # no process runs, and one position is closed by its process alone
            continue
        one.click()
        dialog = visit.page.get_by_role("dialog")
        playwright.expect(dialog).to_contain_text(ATTACK)
        assert dialog.locator("img").count() == 0
        visit.page.keyboard.press("Escape")
    assert visit.page.evaluate("window.taken") is None
