"""Pages at a time: the address names it, a slider moves it, and what is shown is what the run held then."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.test_status import FINE, LOCAL_MODE
from tests.app.web.conftest import Visit

from quantum_trader.app.runs.live_settings import bind_folder
from quantum_trader.app.runs.status import PositionLine, write_status

AT = "2018-04-10T12:00"
SHOWN = "2018-04-10 12:00"
TIMED = ("overview", "market?symbol=ETHUSDT", "decisions", "policy")


def at(place: str, time: str = AT) -> str:
    """The address of *place* at a time."""
    return f"{place}{'&' if '?' in place else '?'}t={time}"


def told(visit: Visit, road: str) -> Any:
    """What the API tells."""
    with urllib.request.urlopen(f"{visit.address}/api/v1/{road}", timeout=60) as answer:
        return json.load(answer)


def bar(visit: Visit) -> playwright.Locator:
    """The bar of the time that is shown."""
    return visit.page.get_by_role("region", name="Time that is shown")


def test_the_overview_at_a_time_shows_what_the_run_held_then(visit: Visit) -> None:
    """Equity and positions of that hour, nothing to close, and the way back to now."""
    visit.open(at("overview"))
    page, past = visit.page, told(visit, f"past?at={AT}")
    playwright.expect(bar(visit)).to_contain_text(f"As of {SHOWN} UTC")
    assert f"{past['equity']['equity']:,.2f}" in page.locator(".tiles").inner_text()
    rows = page.get_by_role("group", name="Positions").locator("tbody tr")
    assert [row.split()[0] for row in rows.all_inner_texts()] == [one["symbol"] for one in past["positions"]]
    assert page.get_by_role("button", name=re.compile("^Close ")).count() == 0
    bar(visit).get_by_role("button", name="Back to now").click()
    playwright.expect(page.get_by_role("button", name="Close BTCUSDT")).to_be_visible()
    assert "t=" not in page.url


def test_a_link_shows_the_same_in_another_tab_and_leads_to_the_same_time(visits: Callable[[int, str], Visit]) -> None:
    """The text of every page that can be shown at a time is that of its address; the navigation keeps the time."""
    one, two = visits(1024, "light"), visits(1024, "light")
    for place in TIMED:
        one.open(at(place))
        two.open(at(place))
        assert one.page.locator("main").inner_text() == two.page.locator("main").inner_text(), place
        assert f"As of {SHOWN} UTC" in one.page.locator("main").inner_text(), place
    one.page.locator("nav.pages").get_by_role("link", name="Market").click()
    playwright.expect(bar(one)).to_contain_text(f"As of {SHOWN} UTC")
    assert one.complaints == []


def test_the_slider_is_moved_by_keys_and_the_page_follows(visit: Visit) -> None:
    """Three hours back from the end, and the equity is that of then."""
    visit.open("overview")
    slider = visit.page.get_by_role("slider", name="Time of the market (UTC)")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    playwright.expect(bar(visit)).to_contain_text("As of 2018-05-31 21:00 UTC")
    assert visit.page.url.endswith("t=2018-05-31T21:00")
    equity = told(visit, "past?at=2018-05-31T21:00")["equity"]["equity"]
    playwright.expect(visit.page.locator(".tiles")).to_contain_text(f"{equity:,.2f}")
    bar(visit).get_by_role("button", name="Week back").click()
    playwright.expect(bar(visit)).to_contain_text("As of 2018-05-24 21:00 UTC")


def test_stop_acts_on_now_also_on_a_page_at_a_time(visit: Visit, folder: Path) -> None:
    """It is in sight, and its question names the positions of now."""
    held = tuple(
        PositionLine(symbol=symbol, side="LONG", qty=qty, entry_price=100.0, stop=90.0)
        for symbol, qty in (("BTCUSDT", 0.5), ("ETHUSDT", 2.0))
    )
    (folder / "checkpoint").unlink()
    bind_folder(folder, LOCAL_MODE)  # a finished replay has nothing to stop, a live run has
    write_status(folder, msgspec.structs.replace(FINE, positions=held))
    visit.open(at("market?symbol=ETHUSDT"))
    stop = visit.page.get_by_role("button", name="STOP", exact=True)
    playwright.expect(stop).to_be_in_viewport(ratio=1)
    stop.click()
    dialog = visit.page.get_by_role("dialog")
    for one in held:
        playwright.expect(dialog).to_contain_text(f"{one.symbol} {one.side} {one.qty:g}")
    visit.page.keyboard.press("Escape")
    playwright.expect(dialog).to_have_count(0)
    playwright.expect(stop).to_be_focused()


def test_a_page_that_is_shown_as_of_now_alone_says_so(visit: Visit) -> None:
    """And a time that is none is taken for now."""
    visit.open(at("health"))
    playwright.expect(visit.page.locator(".as-of")).to_contain_text(f"as it is now, not at {SHOWN} UTC")
    visit.open("overview?t=nonsense")
    playwright.expect(bar(visit)).to_contain_text("Now.")


def test_lists_of_a_time_end_there(visit: Visit) -> None:
    """Decisions and policies that came later are not among the rows."""
    visit.open(at("decisions"))
    times = visit.page.locator("tbody tr td:first-child").all_inner_texts()
    assert times
    assert max(times) <= SHOWN
    visit.open(at("policy"))
    history = visit.page.locator("section", has=visit.page.get_by_role("heading", name="History"))
    times = history.locator("tbody tr td:first-child").all_inner_texts()
    assert times
    assert max(times) <= SHOWN
    since = visit.page.locator("section", has_text="In force").first.locator(".lead").inner_text()
    assert since.endswith(f"since {times[0]} UTC")


GROUND = """([share]) => {
  const canvas = document.querySelector('.u-wrap canvas'), over = document.querySelector('.u-over');
  const place = over.getBoundingClientRect(), whole = canvas.getBoundingClientRect();
  const scale = canvas.width / whole.width;
  const x = (place.left - whole.left + place.width * share) * scale;
  const y = (place.top - whole.top + place.height - 14) * scale;
  const found = canvas.getContext('2d').getImageData(x, y, 7, 7).data, counts = {};
  for (let i = 0; i < found.length; i += 4) {
    const key = found.slice(i, i + 4).join(); counts[key] = (counts[key] ?? 0) + 1;
  }
  return Object.entries(counts).sort((a, b) => b[1] - a[1])[0][0];
}"""


def test_market_states_are_shaded_behind_the_candles_with_a_legend(visit: Visit) -> None:
    """The ground of a ranging time is another than that of a falling one; each state is listed in words."""
    visit.open(at("market?symbol=ETHUSDT&candle=4h&candles=500"))
    page = visit.page
    ranging, falling = (page.evaluate(GROUND, [share]) for share in (0.1, 0.9))
    assert ranging != falling
    assert {ranging, falling}.isdisjoint({"0,0,0,0"})
    for text in ("trending up", "trending down", "ranging", "high volatility", "allowed signal", "its stop"):
        playwright.expect(page.get_by_role("list", name="Legend")).to_contain_text(text)
    spans = told(visit, f"candles?symbol=ETHUSDT&timeframe=4h&limit=500&as_of={AT}")["regimes"]
    page.locator("details.states summary").click()
    rows = page.get_by_role("group", name="Market states of ETHUSDT").locator("tbody tr")
    assert [row.split("\t")[2].upper() for row in rows.all_inner_texts()] == [one["regime"] for one in spans[::-1]]


def test_the_market_is_moved_along_the_whole_history(visit: Visit) -> None:
    """Earlier by half of what is in sight, to the first hour, and back to now; the link holds the symbol."""
    visit.open("market?symbol=ETHUSDT&candle=1h&candles=1000")
    page = visit.page
    earlier, later = (page.get_by_role("button", name=name) for name in ("← Earlier", "Later →"))
    playwright.expect(later).to_be_disabled()
    earlier.click()
    playwright.expect(bar(visit)).to_contain_text("As of 2018-05-11 04:00 UTC")
    for _ in range(10):
        if earlier.is_disabled():
            break
        earlier.click()
        playwright.expect(page.get_by_text("Reading …")).to_have_count(0)
    playwright.expect(bar(visit)).to_contain_text("As of 2018-03-01 00:00 UTC")
    bar(visit).get_by_role("button", name="Back to now").click()
    playwright.expect(later).to_be_disabled()
    page.get_by_role("combobox", name="Symbol").select_option("BTCUSDT")
    playwright.expect(page.get_by_role("heading", name="BTCUSDT, USDT")).to_be_visible()
    assert "symbol=BTCUSDT" in page.url


def test_rules_and_profiles_are_compared_on_the_policy_page(visit: Visit) -> None:
    """A bar for every rule with its share, and the settings in which the profiles differ."""
    visit.open("policy")
    page = visit.page
    rules = told(visit, "policy/rules")["rules"]
    shown = [name or "" for name in page.locator(".timeline .bar").evaluate_all("all => all.map(o => o.ariaLabel)")]
    assert [text.partition(",")[0] for text in shown] == [one["rule"] for one in rules]
    card = page.get_by_role("group", name="Profiles compared")
    differing = sum(one["differs"] for one in told(visit, "profiles")["settings"])
    assert card.locator("tbody tr").count() == differing
    page.get_by_role("button", name="Every setting").click()
    assert card.locator("tbody tr").count() == len(told(visit, "profiles")["settings"]) > differing
    assert card.get_by_text("differs", exact=True).count() == differing
