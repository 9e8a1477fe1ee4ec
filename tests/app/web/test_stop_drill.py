"""The stop drill from the dashboard: every page, both sizes, the engine alive, hung and dead, until nothing is held."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.api.live_world import LiveWorld
from tests.app.web.conftest import PLACES, SIZES, Visit
from tests.app.web.steering import TURNS, make, stop, unexpected

pytestmark = pytest.mark.long


@pytest.fixture
def world(browser: playwright.Browser, tmp_path: Path) -> Iterator[LiveWorld]:
    """A live process at the local venue; first of all a browser, without which nothing is to be seen here."""
    with LiveWorld(tmp_path) as made:
        yield made


@pytest.mark.parametrize("process", ["alive", "hung", "dead"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}px")
def test_stop_on_every_page_closes_everything(
    browser: playwright.Browser, world: LiveWorld, size: tuple[int, int], process: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The page is loaded anew where the process is in that state already; one click and one confirmation suffice."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    visit, took = Visit(context.new_page(), f"http://127.0.0.1:{world.port}"), {}
    visit.hold(world.token)
    for number, place in enumerate(PLACES):
        make(world, process, TURNS[number % len(TURNS)])
        began = time.monotonic()
        visit.load(place)
        loaded = time.monotonic() - began
        took[place] = stop(visit, world, process)
        with capsys.disabled():
            sys.stdout.write(
                f"\nSTOP on {place} at {size[0]} px, engine {process}: loaded in {loaded:.1f} s, the venue held "
                f"nothing after {took[place]:.1f} s"
            )
            sys.stdout.flush()
    with capsys.disabled():
        sys.stdout.write(f"\nengine {process}, {size[0]} px: {min(took.values()):.1f} to {max(took.values()):.1f} s\n")
    assert unexpected(visit) == []
    context.close()
