"""Make the pictures of the documentation: ``python tools/make_pictures.py``.

It serves the run that `make run` leaves in build/last-run, or makes that run, and takes the pictures with Chromium.
The picture of STOP is of a second run, in progress. The pictures are put into docs/pictures.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from rich.console import Console

from quantum_trader.app.runs.serving import served
from quantum_trader.app.terminal.page_facts import read_page
from quantum_trader.app.terminal.screen import page_document
from quantum_trader.domain.json_text import decode_json
from quantum_trader.journal.lake import JOURNAL, Lake

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURES: Final = ROOT / "docs" / "pictures"
RUN: Final = Path("build/last-run")  # relative, as the terminal's dashboard shows it
IN_PROGRESS: Final = Path("build/pictures-run")
WIDTH: Final = 1_200
HEIGHT: Final = 800
QUALITY: Final = 90
TERMINAL_LETTERS: Final = 120
MOST_BYTES: Final = 150_000
WAITS_S: Final = 120.0
WAITS_MS: Final = 60_000
PAGES: Final = (  # picture, page, theme, height in pixels
    ("overview-light", "overview", "light", 1_240), ("overview-dark", "overview", "dark", 1_240),
    ("policy", "policy", "light", HEIGHT), ("market", "market", "light", HEIGHT),
)
SHORTER_PATHS: Final = """(root) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(root, "");
}"""
REFUSED: Final = (
    "select signal_id from decisions where decision = 'BLOCKED' order by ts_ns desc, signal_id desc limit 1"
)


class _Status(msgspec.Struct):
    positions: list[object]


def command(*words: str) -> list[str]:
    """The command line of the program with *words*."""
    return [sys.executable, "-m", "quantum_trader", *words]


def make_pictures() -> None:
    """Make every picture. SystemExit where Chromium is missing or a picture is too large."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("Chromium is not installed here; the pictures are made with it")
    os.chdir(ROOT)
    if not (RUN / "report.json").is_file():
        shutil.rmtree(RUN, ignore_errors=True)
        words = ("--exit", "--state", str(RUN), "--model", "trend", "--pilot", "bundled")
        subprocess.run(command("run", *words), check=True)
    PICTURES.mkdir(exist_ok=True)
    terminal_picture(PICTURES / "terminal.svg")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        with served(RUN, free_port(), print) as server:
            assert server is not None
            answer(server.address)
            for name, place, theme, height in PAGES:
                with page_of(browser, f"{server.address}/#/{place}", theme, height) as page:
                    photograph(page, name)
            refused = Lake(RUN / JOURNAL).sql(REFUSED).to_pylist()[0]["signal_id"]
            with page_of(browser, f"{server.address}/#/decisions/{refused}") as page:
                photograph(page, "decision")
        stop_picture(browser)
        browser.close()
    large = [one.name for one in sorted(PICTURES.iterdir()) if one.stat().st_size > MOST_BYTES]
    if large:
        raise SystemExit(f"larger than {MOST_BYTES:,} bytes: {', '.join(large)}")


@contextmanager
def page_of(browser: Browser, address: str, theme: str = "light", height: int = HEIGHT) -> Iterator[Page]:
    """The page at *address* once all of it has been read and drawn."""
    size: ViewportSize = {"width": WIDTH, "height": height}
    context = browser.new_context(viewport=size, color_scheme="dark" if theme == "dark" else "light")
    page = context.new_page()
    page.set_default_timeout(WAITS_MS)
    page.goto(address)
    page.locator("main h1").first.wait_for()
    expect(page.get_by_text("Reading …")).to_have_count(0, timeout=WAITS_MS)
    page.wait_for_timeout(1_500)  # charts are drawn after what they show has been read
    page.evaluate(SHORTER_PATHS, f"{ROOT}/")
    yield page
    context.close()


def photograph(page: Page, name: str) -> None:
    """Write what is seen of *page* as the picture *name*."""
    taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(taken["data"]))


def stop_picture(browser: Browser) -> None:
    """Write the picture of the question that STOP asks, over a replay in progress that holds a position."""
    shutil.rmtree(IN_PROGRESS, ignore_errors=True)
    port = free_port()
    words = ("--state", str(IN_PROGRESS), "--serve", str(port), "--model", "trend", "--from", "2018-03-01",
             "--to", "2018-06-30", "--speed", "40000")
    with subprocess.Popen(command("run", *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            ends_s = time.monotonic() + WAITS_S
            while not decode_json(answer(f"{address}/api/v1/status"), _Status).positions:
                if time.monotonic() > ends_s:
                    raise SystemExit("the run in progress opened no position")
                time.sleep(0.5)
            with page_of(browser, f"{address}/#/overview") as page:
                page.get_by_role("button", name="STOP", exact=True).click()
                page.get_by_role("dialog").wait_for()
                photograph(page, "stop")
        finally:
            process.send_signal(signal.SIGINT)
    shutil.rmtree(IN_PROGRESS, ignore_errors=True)


def terminal_picture(target: Path) -> None:
    """Write the overview of the terminal's dashboard as a picture that names no font of another place."""
    file = io.TextIOWrapper(io.BytesIO(), "utf-8")
    console = Console(record=True, width=TERMINAL_LETTERS, file=file, force_terminal=True, highlight=False)
    console.print(page_document(read_page(RUN, "overview", time.time_ns()), TERMINAL_LETTERS))
    drawn = console.export_svg(title=f"quantum-trader watch --state {RUN}", unique_id="watch")
    start, end = drawn.index("@font-face"), drawn.index(".watch-matrix")
    target.write_text(drawn[:start] + drawn[end:], "utf-8")


def answer(address: str) -> bytes:
    """What *address* answers, once it does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ends_s = time.monotonic() + WAITS_S
    while True:
        try:
            with opener.open(address, timeout=10) as found:
                return bytes(found.read())
        except OSError:
            if time.monotonic() > ends_s:
                raise
            time.sleep(0.2)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


if __name__ == "__main__":
    make_pictures()
