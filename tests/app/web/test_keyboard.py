"""The dashboard without a mouse: STOP is reached, confirmed and left with the keyboard alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.web.conftest import Visit

from quantum_trader.app.api.tokens import Role, TokenStore
from quantum_trader.app.runs.operator_requests import Action
from quantum_trader.app.runs.status import folder_status

MOST_TABS = 6


@pytest.fixture
def folder(unfinished: Path, tmp_path: Path) -> Path:
    """A copy of an unfinished run: of a finished one there is nothing to stop."""
    return Path(shutil.copytree(unfinished, tmp_path / "run"))


def tab_to(visit: Visit, target: playwright.Locator) -> int:
    """Press Tab until *target* has the focus; how often."""
    for count in range(MOST_TABS + 1):
        if target.evaluate("one => one === document.activeElement"):
            return count
        visit.page.keyboard.press("Tab")
    raise AssertionError(f"not reached with {MOST_TABS} tabs")


def test_stop_is_reached_left_and_confirmed_with_the_keyboard_alone(visit: Visit, folder: Path) -> None:
    """A few tabs from the load of a page; Escape gives the focus back; the dialog keeps the focus within."""
    token, keys = TokenStore(folder).new("phone", Role.TRADER, 1)[1], visit.page.keyboard
    visit.load("health")
    stop, dialog = visit.page.get_by_role("button", name="STOP", exact=True), visit.page.get_by_role("dialog")
    tab_to(visit, stop)
    assert stop.evaluate("one => getComputedStyle(one).outlineStyle") != "none"  # it is seen where the focus is
    keys.press("Enter")
    playwright.expect(dialog.get_by_label("Token of a trader")).to_be_focused()
    keys.press("Escape")
    playwright.expect(dialog).to_have_count(0)
    playwright.expect(stop).to_be_focused()
    assert folder_status(folder, 1_700_000_000_000_000_000).pending_requests == ()
    keys.press("Space")
    playwright.expect(dialog.get_by_label("Token of a trader")).to_be_focused()
    keys.type(token)
    tab_to(visit, dialog.get_by_role("button", name="Stop everything now"))
    keys.press("Enter")
    playwright.expect(dialog.locator(".progress")).to_contain_text("requested")
    playwright.expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    keys.press("Enter")
    playwright.expect(dialog).to_have_count(0)
    playwright.expect(stop).to_be_focused()
    (asked,) = folder_status(folder, 1_700_000_000_000_000_000).pending_requests
    assert (asked.action, asked.actor) == (Action.FLATTEN, "phone over the API")
    assert visit.complaints == []
