"""Memory stays flat: of the page over many openings, of the server over many connections."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs the Python package playwright")
from playwright import sync_api as playwright
from tests.app.api.live_world import ask, free_port, until
from tests.app.web.conftest import PLACES, Visit
from websockets.sync.client import connect

MIB = 1 << 20
OPENINGS = [33, pytest.param(1_000, marks=pytest.mark.long)]
CONNECTIONS = [100, pytest.param(1_000, marks=pytest.mark.long)]
WARM_ROUNDS = 2  # of all pages, until what is made once has been made
MORE = {"JSHeapUsedSize": 1.5 * MIB, "Nodes": 300, "JSEventListeners": 30, "Documents": 0}  # that count as flat


class Answers:
    """Real answers of the API, each asked of the server once: the page is measured, not the journal behind it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str | None], dict[str, Any]] = {}

    def __call__(self, route: playwright.Route) -> None:
        key = (route.request.url, route.request.post_data)
        if key not in self._kept:
            answer = route.fetch(timeout=120_000)
            self._kept[key] = {"status": answer.status, "content_type": "application/json", "body": answer.body()}
        route.fulfill(**self._kept[key])


def open_all(visit: Visit, rounds: int) -> int:
    """Open every page *rounds* times, ask and leave two questions, and open the stream anew twice; openings."""
    page, dialog = visit.page, visit.page.get_by_role("dialog")
    for _ in range(rounds):
        for place in PLACES:
            page.evaluate(f"location.hash = '#/{place}'")
            page.locator("main h1").first.wait_for()
            playwright.expect(page.get_by_text("Reading …")).to_have_count(0, timeout=120_000)
        page.get_by_label("Token", exact=True).fill("qt_some_token")
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("button", name="Forget it").click()
        page.evaluate("location.hash = '#/overview'")
        for button in ("STOP", "Halt"):
            page.get_by_role("button", name=button, exact=True).click()
            dialog.wait_for()
            page.keyboard.press("Escape")
            playwright.expect(dialog).to_have_count(0)
    return rounds * len(PLACES)


def measured(page: playwright.Page) -> dict[str, float]:
    """Heap in bytes, nodes, listeners and documents of the page, after its rubbish has been collected."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return {name: found[name] for name in MORE}


@pytest.mark.parametrize("openings", OPENINGS)
@pytest.mark.parametrize("folder", ["unfinished"], indirect=True)  # of a finished run nothing can be halted
def test_a_page_that_is_opened_again_and_again_holds_no_more(
    visit: Visit, openings: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pages with charts and tables, dialogs, sockets: what was left is gone; heap, nodes and listeners."""
    visit.page.route("**/api/v1/**", Answers())
    visit.open("overview")
    open_all(visit, WARM_ROUNDS)
    before = measured(visit.page)
    opened = open_all(visit, -(-openings // len(PLACES)))
    after = measured(visit.page)
    with capsys.disabled():
        sys.stdout.write(f"\n{opened} openings: {before} before, {after} after\n")
    assert {name: after[name] - before[name] for name in MORE if after[name] - before[name] > MORE[name]} == {}


class Server:
    """``serve`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quantum_trader", "serve", "--state", str(folder), "--port", str(self.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )
        until("an answer", lambda: ask(self.port, "/api/v1/status")[0] == 200)

    def resident(self) -> int:
        """Resident bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) << 10

    def files(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def use(self, connections: int) -> None:
        """Connect to the stream, hear the status, ask something over HTTP, and leave; one after another."""
        for _ in range(connections):
            with connect(f"ws://127.0.0.1:{self.port}/api/v1/stream", proxy=None) as socket:
                assert '"type":"status"' in str(socket.recv(timeout=60.0))
                assert ask(self.port, "/api/v1/positions")[0] == 200


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """A server of the finished run."""
    made = Server(folder)
    yield made
    made.process.terminate()
    made.process.wait()


@pytest.mark.parametrize("connections", CONNECTIONS)
def test_a_server_that_is_left_again_and_again_holds_no_more(
    server: Server, connections: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resident memory and open files are what they were after the first connections."""
    server.use(50)
    files, resident = server.files(), server.resident()
    server.use(connections)
    until("the last is gone", lambda: server.files() <= files + 2, 20.0)
    more = server.resident() - resident
    with capsys.disabled():
        sys.stdout.write(
            f"\n{connections} connections: {resident / MIB:.0f} MiB before, {more / MIB:+.1f} MiB after; {files} open "
            f"files before, {server.files()} after\n"
        )
    assert more < 16 * MIB
