"""The dashboard beside a replay that runs: its figures change by themselves, and it outlives its server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.api.live_world import Others, ask, free_port, until
from tests.app.web.conftest import Visit

SPEED = 100_000  # of the market's time: about a bar of half an hour every 20 ms
PATIENCE_MS = 60_000


class PacedReplay:
    """``run --serve`` at a pace, and its server."""

    def __init__(self, folder: Path) -> None:
        self.state, self.port, self._log = folder / "run", free_port(), folder / "run.log"
        self._server = Others()
        self._again: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PacedReplay:
        self._run = self._started(
            "run", "--state", str(self.state), "--symbols", "BTCUSDT,ETHUSDT", "--from", "2018-03-01", "--to",
            "2018-12-31", "--speed", str(SPEED), "--serve", str(self.port),
        )
        until("an answer", lambda: ask(self.port, "/api/v1/status")[1]["equity_ns"])
        self._server.hold_children(self._run.pid)
        return self

    def __exit__(self, *_: object) -> None:
        for process in filter(None, (self._again, self._run)):
            process.kill()
            process.wait()
        self._server.end()

    def end_server(self) -> None:
        """End the server alone; the replay goes on."""
        self._server.end()
        assert self._run.poll() is None

    def serve_again(self) -> None:
        """Serve the folder at the same place."""
        self._again = self._started("serve", "--state", str(self.state), "--port", str(self.port))

    def _started(self, *words: str) -> subprocess.Popen[bytes]:
        with self._log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "quantum_trader", *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=os.environ,
            )


@pytest.fixture
def replay(browser: playwright.Browser, tmp_path: Path) -> Iterator[PacedReplay]:
    """A replay that runs; first of all a browser, without which nothing is to be seen here."""
    with PacedReplay(tmp_path) as made:
        yield made


def changes(visit: Visit, what: str, selector: str, within: str = "main") -> None:
    """What *selector* shows becomes something else, without a reload."""
    one = visit.page.locator(within).locator(selector).first
    one.wait_for()
    before = one.inner_text()
    playwright.expect(one, what).not_to_have_text(before, timeout=PATIENCE_MS, use_inner_text=True)


def test_figures_change_by_themselves_and_the_page_outlives_its_server(
    browser: playwright.Browser, replay: PacedReplay
) -> None:
    """Equity, positions and decisions; where the server goes the page says so, and comes back with it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    visit = Visit(context.new_page(), f"http://127.0.0.1:{replay.port}")
    page = visit.page
    visit.open("overview")
    page.evaluate("window.first = true")
    playwright.expect(page.get_by_text("connected", exact=True)).to_be_visible()
    changes(visit, "equity", ".tile >> nth=0 >> .value")
    changes(visit, "positions", ".card:has(h2:text-is('Positions')) >> .scroll, .empty")
    changes(visit, "signals", ".funnel .count")
    page.locator("nav.pages").get_by_role("link", name="Decisions").click()
    changes(visit, "the newest decision", "tbody tr td:nth-child(2)")
    assert visit.complaints == []
    replay.end_server()
    playwright.expect(page.get_by_text("reconnecting", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    playwright.expect(page.get_by_role("alert").first).to_contain_text("The server does not answer")
    replay.serve_again()
    playwright.expect(page.get_by_text("connected", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    playwright.expect(page.get_by_role("alert")).to_have_count(0, timeout=PATIENCE_MS)
    changes(visit, "the newest decision", "tbody tr td:nth-child(2)")
    assert page.evaluate("window.first") is True
    context.close()
