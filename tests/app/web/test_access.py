"""The dashboard where reading needs a token: it asks for one, and keeps it in the tab alone."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.web.conftest import Visit

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.tokens import Role, TokenStore


@pytest.fixture
def access() -> AccessSettings:
    """A server that others reach: everything needs a token."""
    return AccessSettings(host="0.0.0.0", has_tls=True)


def test_reading_asks_for_a_token_and_then_shows_the_run(visit: Visit, folder: Path) -> None:
    """Without one nothing of the run is shown; with one the stream is open; a new tab has none."""
    token = TokenStore(folder).new("screen", Role.VIEWER, 1)[1]
    page = visit.page
    page.goto(f"{visit.address}/#/overview")
    playwright.expect(page.get_by_role("alert")).to_contain_text("Reading needs a token here")
    assert page.locator(".tile").count() == 0
    page.get_by_role("link", name="Give one under Settings").click()
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("link", name="Overview").click()
    playwright.expect(page.locator(".tile").first).to_be_visible()
    playwright.expect(page.get_by_text("connected", exact=True)).to_be_visible()
    assert page.evaluate("JSON.stringify({...localStorage}) + document.cookie + location.href").count(token) == 0
    other = page.context.new_page()
    other.goto(f"{visit.address}/#/overview")
    playwright.expect(other.get_by_role("alert")).to_contain_text("Reading needs a token here")
