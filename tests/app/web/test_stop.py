"""STOP in a browser: one click, one question, then what came of it."""

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


@pytest.fixture
def folder(request: pytest.FixtureRequest, unfinished: Path, tmp_path: Path) -> Path:
    """A copy of an unfinished run, which its next start goes on with, or of the one that a test names."""
    source = Path(request.getfixturevalue(request.param)) if hasattr(request, "param") else unfinished
    return Path(shutil.copytree(source, tmp_path / "run"))


def requests(folder: Path) -> list[Action]:
    """What the run was asked for and has not done yet."""
    return [one.action for one in folder_status(folder, 1_700_000_000_000_000_000).pending_requests]


def test_stop_says_what_will_happen_asks_for_a_token_once_and_tells_its_steps(visit: Visit, folder: Path) -> None:
    """The request is in the folder, its state is shown, and a second STOP asks for no token."""
    token = TokenStore(folder).new("phone", Role.TRADER, 1)[1]
    visit.open("decisions")
    visit.page.get_by_role("button", name="STOP", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    playwright.expect(dialog).to_contain_text("No process runs, and the account is on paper")
    assert requests(folder) == []
    dialog.get_by_label("Token of a trader").fill(token)
    dialog.get_by_role("button", name="Stop everything now").click()
    playwright.expect(dialog.locator(".progress")).to_contain_text("requested")
    playwright.expect(dialog.locator(".steps li").first).to_contain_text("the next start closes everything first")
    assert requests(folder) == [Action.FLATTEN]
    dialog.get_by_role("button", name="Close").click()
    playwright.expect(dialog).to_have_count(0)
    visit.page.get_by_role("button", name="STOP", exact=True).click()
    playwright.expect(dialog.get_by_role("button", name="Stop everything now")).to_be_visible()
    playwright.expect(dialog.get_by_label("Token of a trader")).to_have_count(0)
    assert visit.complaints == []


def test_stop_can_be_left_and_asks_nothing_then(visit: Visit, folder: Path) -> None:
    """Escape and Cancel close the question, and nothing was requested; the focus is on STOP again."""
    visit.open("overview")
    stop = visit.page.get_by_role("button", name="STOP", exact=True)
    stop.focus()
    visit.page.keyboard.press("Enter")
    playwright.expect(visit.page.get_by_role("dialog")).to_be_visible()
    visit.page.keyboard.press("Escape")
    playwright.expect(visit.page.get_by_role("dialog")).to_have_count(0)
    playwright.expect(stop).to_be_focused()
    assert requests(folder) == []


def test_a_token_that_may_not_stop_is_refused_with_the_reason(visit: Visit, folder: Path) -> None:
    """The dialog stays, says why, and takes another token."""
    viewer = TokenStore(folder).new("screen", Role.VIEWER, 1)[1]
    trader = TokenStore(folder).new("phone", Role.TRADER, 2)[1]
    visit.open("overview")
    visit.page.get_by_role("button", name="STOP", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_label("Token of a trader").fill(viewer)
    dialog.get_by_role("button", name="Stop everything now").click()
    playwright.expect(dialog.get_by_role("alert")).to_contain_text("needs a trader")
    assert requests(folder) == []
    dialog.get_by_label("Token of a trader").fill(trader)
    dialog.get_by_role("button", name="Stop everything now").click()
    playwright.expect(dialog.locator(".progress")).to_contain_text("requested")
    assert requests(folder) == [Action.FLATTEN]


def test_stop_asks_even_before_the_state_is_known(visit: Visit, folder: Path) -> None:
    """A server that answers no status keeps nobody from stopping."""
    token = TokenStore(folder).new("phone", Role.TRADER, 1)[1]
    visit.page.route("**/api/v1/status", lambda route: route.abort())
    visit.page.route_web_socket("**/api/v1/stream", lambda socket: None)
    visit.page.goto(f"{visit.address}/")
    visit.page.get_by_role("button", name="STOP", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    playwright.expect(dialog).to_contain_text("The state of the run is not known")
    dialog.get_by_label("Token of a trader").fill(token)
    dialog.get_by_role("button", name="Stop everything now").click()
    playwright.expect(dialog.locator(".progress")).to_contain_text("requested")
    assert requests(folder) == [Action.FLATTEN]


@pytest.mark.parametrize("folder", ["finished"], indirect=True)
def test_a_finished_replay_says_that_there_is_nothing_to_stop(visit: Visit, folder: Path) -> None:
    """STOP explains it and asks for nothing; the overview offers neither halt nor resume, and says why."""
    visit.open("overview")
    safety = visit.page.locator("section", has_text="Governor and halts")
    playwright.expect(safety).to_contain_text("the replay has finished: there is nothing to halt")
    playwright.expect(safety.get_by_role("button")).to_have_count(0)
    visit.page.get_by_role("button", name="STOP", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    playwright.expect(dialog).to_contain_text("There is nothing to stop")
    playwright.expect(dialog.get_by_role("button")).to_have_count(1)
    dialog.get_by_role("button", name="Close").click()
    playwright.expect(dialog).to_have_count(0)
    assert requests(folder) == []
    assert visit.complaints == []


def test_an_unfinished_replay_can_be_halted_and_resumed(visit: Visit) -> None:
    """The overview offers both: its next start acts on them."""
    visit.open("overview")
    safety = visit.page.locator("section", has_text="Governor and halts")
    playwright.expect(safety.get_by_role("button", name="Halt")).to_be_visible()
    playwright.expect(safety.get_by_role("button", name="Resume")).to_be_visible()
