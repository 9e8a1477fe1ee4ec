"""The dashboard of a live process at the local venue: what a person changes there happens, and is on record."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.api.live_world import LiveWorld, ask, until
from tests.app.web.conftest import PLACES, SIZES, Visit
from tests.app.web.steering import HELD, make, make_trading, stop, unexpected

from quantum_trader.app.api.tokens import Role, TokenStore


@pytest.fixture(scope="module")
def world(browser: playwright.Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    """A live process at the local venue, ended after the browser is there: without one nothing is to be seen here."""
    with LiveWorld(tmp_path_factory.mktemp("live"), "--policy", "observe") as made:
        yield made


@pytest.fixture
def sized(browser: playwright.Browser, world: LiveWorld) -> Iterator[dict[int, Visit]]:
    """A visit of either size, each with a token of a trader in its tab."""
    contexts = [browser.new_context(viewport={"width": width, "height": height}) for width, height in SIZES]
    made = {
        size[0]: Visit(context.new_page(), f"http://127.0.0.1:{world.port}")
        for size, context in zip(SIZES, contexts, strict=True)
    }
    for visit in made.values():
        visit.hold(world.token)
    yield made
    for context in contexts:
        if context.pages:
            context.close()


@pytest.fixture
def wide(sized: dict[int, Visit]) -> Visit:
    """The wider one."""
    return sized[1440]


def answer(visit: Visit, button: str, confirm: str, why: str | None = None) -> playwright.Locator:
    """Press *button*, say why, and confirm; the dialog, which says that it was done or refused."""
    visit.page.get_by_role("button", name=button, exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    if why is not None:
        dialog.get_by_label("Why (it is recorded)").fill(why)
    dialog.get_by_role("button", name=confirm, exact=True).click()
    return dialog


def done(visit: Visit, button: str, confirm: str, why: str) -> None:
    """A change that is taken; its dialog is closed again."""
    dialog = answer(visit, button, confirm, why)
    playwright.expect(dialog.get_by_role("status")).to_be_visible()
    dialog.get_by_role("button", name="Close", exact=True).click()
    playwright.expect(dialog).to_have_count(0)


def recorded(world: LiveWorld, why: str) -> list[tuple[str, str]]:
    """Action and actor of the journal's requests whose reason is *why*; no request is recorded twice."""
    rows = world.get("requests?limit=1000")["rows"]
    return [(one["action"], one["actor"]) for one in rows if one["reason"] == why]


def gates_taken(world: LiveWorld) -> list[dict[str, Any]]:
    """Who changed the gates, why, and what is enforced since, as the process recorded it."""
    query = "select payload from events where kind = 'gates.changed' order by ts_ns, seq"
    found = ask(world.port, "/api/v1/journal/sql", {"query": query})[1]["rows"]
    rows = [json.loads(one["payload"])["data"] for one in found]
    return [
        {"actor": one["change"]["actor"], "reason": one["change"]["reason"], "enforced": one["in_force"]["enforced"]}
        for one in rows
    ]


def shown(visit: Visit, place: str, *texts: str) -> None:
    """A row of a table of *place* holds every one of *texts*."""
    visit.open(place)
    row = visit.page.locator("tbody tr")
    for text in texts:
        row = row.filter(has_text=text)
    playwright.expect(row.first).to_be_visible()


def test_a_person_halts_resumes_locks_and_closes_one_position(world: LiveWorld, wide: Visit) -> None:
    """Each does what it says; the journal, Health and Settings tell who asked and why."""
    make_trading(world)
    wide.open("overview")
    done(wide, "Halt", "Halt", "drill of a halt")
    playwright.expect(wide.page.locator("main")).to_contain_text("halted: drill of a halt (drill over the API)")
    assert world.get("halts")["entries_halted"]
    done(wide, "Resume", "Resume", "drill of a resume")
    playwright.expect(wide.page.locator("main")).to_contain_text("No halt keeps new positions from being opened")
    assert not world.get("halts")["entries_halted"]
    wide.page.get_by_label("Open nothing in").select_option("ETHUSDT")
    done(wide, "Lock …", "Lock it", "drill of a lock")
    playwright.expect(wide.page.locator("tr", has_text="drill of a lock")).to_contain_text("lock ethusdt")
    assert [one["kind"] for one in world.get("halts")["halts"]] == ["lock ETHUSDT"]
    done(wide, "Unlock ETHUSDT", "Unlock it", "drill of an unlock")
    playwright.expect(wide.page.locator("tr", has_text="drill of a lock")).to_have_count(0)
    assert world.get("halts")["halts"] == []
    done(wide, "Close ETHUSDT", "Close the position", "drill of a close")
    until("ETHUSDT closed", lambda: set(world.held()) == {"BTCUSDT"})
    playwright.expect(wide.page.get_by_role("button", name="Close ETHUSDT")).to_have_count(0)
    by = "drill over the API"
    for what in ("halt", "resume", "lock", "unlock"):
        why = f"drill of {'an' if what == 'unlock' else 'a'} {what}"
        until(why, lambda what=what, why=why: recorded(world, why) == [(what, by)])
    shown(wide, "settings", "drill", "trader", "/positions/ETHUSDT/close", "drill of a close", "done")
    shown(wide, "settings", "drill", "trader", "/symbols/ETHUSDT/lock", "drill of a lock", "done")
    visit_requests = wide.page.get_by_role("button", name="Requests")
    wide.open("health")
    visit_requests.click()
    for why in ("drill of a halt", "drill of a resume", "drill of a lock", "drill of an unlock"):
        playwright.expect(wide.page.locator("tbody tr", has_text=why)).to_contain_text(by)
    assert wide.complaints == []


def test_an_owner_promotes_a_gate_and_rolls_it_back(world: LiveWorld, wide: Visit) -> None:
    """The token of a trader is refused with the reason; the process takes the owner's changes, on record."""
    owner = TokenStore(world.state).new("boss", Role.OWNER, time.time_ns())[1]
    wide.open("policy")
    dialog = answer(wide, "Force … spread", "Enforce it", "drill of a promotion")
    playwright.expect(dialog.get_by_role("alert")).to_contain_text("'drill' is of a trader, and this needs a owner")
    assert gates_taken(world) == []
    dialog.get_by_label("Token of an owner").fill(owner)
    dialog.get_by_role("button", name="Enforce it").click()
    playwright.expect(dialog.get_by_role("status")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    promoted = {"actor": "boss over the API", "reason": "drill of a promotion", "enforced": ["spread"]}
    until("the process has taken it", lambda: gates_taken(world) == [promoted])
    done(wide, "Observe spread", "Only observe it", "drill of a rollback")
    rolled_back = {"actor": "boss over the API", "reason": "drill of a rollback", "enforced": []}
    until("the process has taken it back", lambda: gates_taken(world) == [promoted, rolled_back])
    shown(wide, "settings", "boss", "owner", "/gates/spread", "drill of a promotion", "done")
    shown(wide, "settings", "boss", "owner", "/gates/spread", "drill of a rollback", "done")


def test_no_token_a_revoked_one_and_one_of_a_viewer_change_nothing(world: LiveWorld, wide: Visit) -> None:
    """The dialog says what is wrong, and takes another token."""
    make_trading(world)
    tokens, now_ns = TokenStore(world.state), time.time_ns()
    ended = tokens.new("ended", Role.TRADER, now_ns)[1]
    viewer = tokens.new("screen", Role.VIEWER, now_ns)[1]
    before = world.get("changes?limit=1000")["changes"]
    wide.hold(ended)
    wide.load("overview")
    tokens.revoke("ended", time.time_ns())
    dialog = answer(wide, "Halt", "Halt")
    playwright.expect(dialog.get_by_role("alert")).to_contain_text("the token is not known, or was revoked")
    dialog.get_by_role("button", name="Cancel").click()
    for place, button, confirm in (
        ("overview", "Halt", "Halt"), ("overview", "Close BTCUSDT", "Close the position"),
        ("overview", "Lock …", "Lock it"), ("policy", "STOP", "Stop everything now"),
    ):
        wide.load(place)
        dialog = answer(wide, button, confirm)
        assert dialog.get_by_label("Token of a trader").evaluate("one => one.validity.valueMissing")
        dialog.get_by_label("Token of a trader").fill(viewer)
        dialog.get_by_role("button", name=confirm, exact=True).click()
        playwright.expect(dialog.get_by_role("alert")).to_contain_text("is of a viewer, and this needs a trader")
        dialog.get_by_role("button", name="Cancel").click()
    assert set(world.held()) == set(HELD)
    assert not world.get("halts")["entries_halted"]
    assert world.get("halts")["halts"] == []
    assert world.get("changes?limit=1000")["changes"] == before
    assert len([one for one in wide.complaints if "401" in one]) < 10  # it does not ask on with a token that is refused


def test_what_a_model_lacks_is_said_in_words(world: LiveWorld, wide: Visit) -> None:
    """Bars that it has, of those that it needs: on the overview and with the models."""
    lacks = world.get("status")["models"]["models"][0]["lacks"]
    assert lacks
    words = f"{lacks[0]['bars']} of {lacks[0]['needed']} bars of {lacks[0]['interval']}"
    for place in ("overview", "models"):
        wide.open(place)
        playwright.expect(wide.page.locator("main")).to_contain_text(words)


def test_stop_is_the_same_on_every_page_at_both_sizes(world: LiveWorld, sized: dict[int, Visit]) -> None:
    """One click anywhere asks the same question, in sight; Escape leaves it."""
    make_trading(world)
    said: dict[tuple[int, str], str] = {}
    for width, visit in sized.items():
        for place in PLACES:
            visit.page.goto(f"{visit.address}/#/{place}")
            button = visit.page.get_by_role("button", name="STOP", exact=True)
            playwright.expect(button).to_be_in_viewport(ratio=1)
            button.click()
            dialog = visit.page.get_by_role("dialog")
            confirm = dialog.get_by_role("button", name="Stop everything now")
            playwright.expect(confirm).to_be_in_viewport(ratio=1)
            playwright.expect(confirm).to_be_focused()
            said[width, place] = dialog.inner_text()
            visit.page.keyboard.press("Escape")
            playwright.expect(dialog).to_have_count(0)
    assert len(said) == len(SIZES) * len(PLACES)
    (text,) = set(said.values())
    assert "The process is asked to close every position at the market" in text
    assert re.search(r"BTCUSDT LONG 0\.5\s+ETHUSDT LONG 2", text)


def test_a_sample_of_the_stop_drill(
    world: LiveWorld, sized: dict[int, Visit], capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine alive, hung and dead, one page each: everything is closed at the venue. Every page is in the drill."""
    for process, width, place in (("alive", 390, "journal"), ("hung", 1440, "lab"), ("dead", 390, "overview")):
        make(world, process)
        visit = sized[width]
        visit.load(place)
        took = stop(visit, world, process)
        assert world.venue.exchange.paper.positions() == []
        with capsys.disabled():
            sys.stdout.write(f"\nSTOP on {place} at {width} px, engine {process}: flat after {took:.1f} s\n")
    first = world.get("changes")["changes"][0]
    assert (first["name"], first["role"], first["reason"]) == ("drill", "trader", "STOP from the dashboard")
    shown(sized[1440], "settings", "/flatten", "drill", "STOP from the dashboard", "done")
    assert [one for visit in sized.values() for one in unexpected(visit)] == []
