"""The limits of the gates in a browser: an error stands at its field, and the effect is seen before the change."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.web.conftest import Visit

from quantum_trader.app.api.tokens import Role, TokenStore
from quantum_trader.app.runs.gates_record import gates_of


def test_a_wrong_limit_is_told_at_its_field_and_cannot_be_set(visit: Visit) -> None:
    """The message of the server describes the field; the right one beside it is not marked."""
    visit.open("settings")
    page = visit.page
    page.get_by_label("Most spread").fill("-1")
    page.get_by_label("Least confidence").fill("0.7")
    page.get_by_role("button", name="Show the effect").click()
    wrong = page.get_by_label("Most spread")
    playwright.expect(wrong).to_have_attribute("aria-invalid", "true")
    playwright.expect(wrong).to_have_accessible_description(
        "gates.trend.max_spread_bps = -1.0: must be a number from 0 to 1000"
    )
    assert page.get_by_label("Least confidence").get_attribute("aria-invalid") is None
    playwright.expect(page.get_by_role("button", name="Change …")).to_be_disabled()


def test_limits_are_changed_with_reason_and_token_once_their_effect_was_shown(visit: Visit, folder: Path) -> None:
    """The effect of other values counts for nothing; the change is on record with who and why."""
    token = TokenStore(folder).new("desk", Role.OWNER, 1)[1]
    visit.open("settings")
    page = visit.page
    change = page.get_by_role("button", name="Change …")
    page.get_by_label("Most spread").fill("4")
    playwright.expect(change).to_be_disabled()
    page.get_by_role("button", name="Show the effect").click()
    effect = page.get_by_role("region", name="Effect of the change")
    playwright.expect(effect).to_contain_text("trend: max spread bps: 10 → 4")
    playwright.expect(effect.get_by_role("group", name="Effect of each threshold")).to_contain_text("10 → 4")
    page.get_by_label("Most spread").fill("3")
    playwright.expect(effect).to_have_count(0)
    playwright.expect(change).to_be_disabled()
    page.get_by_role("button", name="Show the effect").click()
    change.click()
    dialog = page.get_by_role("dialog")
    playwright.expect(dialog).to_contain_text("trend: max spread bps: 10 → 3")
    dialog.get_by_label("Why (it is recorded)").fill("spreads have fallen")
    dialog.get_by_label("Token of an owner").fill(token)
    dialog.get_by_role("button", name="Change them").click()
    playwright.expect(dialog).to_contain_text("Changed, and recorded")
    state = gates_of(folder)
    assert state.settings.trend.max_spread_bps == 3.0
    assert (state.changes[-1].actor, state.changes[-1].reason) == ("desk over the API", "spreads have fallen")
    dialog.get_by_role("button", name="Close").click()
    playwright.expect(page.get_by_label("Most spread")).to_have_value("3")
    with urllib.request.urlopen(f"{visit.address}/api/v1/changes", timeout=60) as answer:
        line = json.load(answer)["changes"][0]
    assert (line["name"], line["reason"], line["outcome"]) == ("desk", "spreads have fallen", "done")
