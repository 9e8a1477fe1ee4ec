"""A public view: everybody reads without a token, and nothing that changes the run is offered but STOP."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.web.conftest import Visit

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.tokens import Role, TokenStore

CHANGES = re.compile("^(Halt|Resume|Close [A-Z]|Force …|Enforce …|Observe|Change …|Show the effect)")


@pytest.fixture
def access() -> AccessSettings:
    """A server that others reach and everybody may read."""
    return AccessSettings(host="0.0.0.0", has_tls=True, is_read_public=True)


@pytest.mark.parametrize("folder", ["unfinished"], indirect=True)  # of a finished run nothing can be halted
def test_a_public_view_offers_no_change_and_says_why(visit: Visit, folder: Path) -> None:
    """With a token the changes are offered, and the note is gone."""
    token = TokenStore(folder).new("desk", Role.OWNER, 1)[1]
    page = visit.page
    note = page.get_by_role("note").filter(has_text="Read-only view")
    for place in ("overview", "policy", "models", "settings"):
        visit.open(place)
        playwright.expect(note).to_be_visible()
        assert page.locator("main").get_by_role("button", name=CHANGES).count() == 0, place
        assert page.get_by_role("alert").count() == 0, place
    page.get_by_role("button", name="STOP", exact=True).click()
    playwright.expect(page.get_by_role("dialog").get_by_label("Token of a trader")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use it").click()
    playwright.expect(note).to_have_count(0)
    visit.open("overview")
    for name in ("Halt", "Resume"):
        playwright.expect(page.locator("main").get_by_role("button", name=name, exact=True)).to_be_visible()
    visit.open("policy")
    assert page.locator("main").get_by_role("button", name=CHANGES).count() >= 2
    assert visit.complaints == []
