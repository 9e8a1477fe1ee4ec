"""A browser and a server of a finished run's folder. Where Chromium or Playwright is missing, the tests are skipped."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("playwright", reason="needs the Python package playwright")
import uvicorn
from playwright import sync_api as playwright

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.server import app_of
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings

PLACES = (  # every page
    "overview", "market", "decisions", "decisions/s00000001", "policy", "models", "lab", "insights", "journal",
    "health", "settings",
)
SIZES = ((390, 844), (1440, 900))  # of a phone and of a screen
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAITS_MS = 30_000
STOPS_NS = 1_527_796_800_000_000_000  # of the unfinished run, four hours before its last bar


class Visit:
    """A page of the dashboard in a fresh browser context; *complaints*: what its console said, its errors too."""

    def __init__(self, page: playwright.Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        page.set_default_timeout(WAITS_MS)
        page.on("console", lambda line: self.complaints.append(f"{line.type}: {line.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.asked: set[str] = set()  # origins of everything that the page has asked for
        page.on("request", lambda request: self.asked.add("/".join(request.url.split("/")[:3])))
        page.on("websocket", lambda socket: self.asked.add("/".join(socket.url.split("/")[:3])))

    def load(self, place: str) -> None:
        """Load a page from the server anew, and wait for STOP alone."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/#/{place}")
        self.page.get_by_role("button", name="STOP", exact=True).wait_for()

    def hold(self, token: str) -> None:
        """Give the tab a token, under Settings."""
        self.load("settings")
        if (forget := self.page.get_by_role("button", name="Forget it")).count():
            forget.click()
        self.page.get_by_label("Token", exact=True).fill(token)
        self.page.get_by_role("button", name="Use it").click()
        self.page.get_by_text("This tab holds a token").wait_for()

    def open(self, place: str) -> None:
        """Open a page, and wait until everything on it has been read."""
        self.page.goto(f"{self.address}/#/{place}")
        self.page.locator("main h1").first.wait_for()
        playwright.expect(self.page.get_by_text("Reading …")).to_have_count(0, timeout=WAITS_MS)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished replay of three months of two symbols; nothing may change it."""
    folder = tmp_path_factory.mktemp("web") / "run"
    settings = RunSettings(data=DataSettings(symbols=("BTCUSDT", "ETHUSDT"), start="2018-03-01", end="2018-05-31"))
    run(settings, RunOptions(state_dir=folder))
    return folder


@pytest.fixture(scope="session")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a replay that was stopped on its way; nothing may change it."""
    folder = tmp_path_factory.mktemp("stopped") / "run"

    def stop(close_ns: int) -> None:
        if close_ns >= STOPS_NS:
            raise KeyboardInterrupt

    settings = RunSettings(data=DataSettings(symbols=("BTCUSDT", "ETHUSDT"), start="2018-03-01", end="2018-05-31"))
    with pytest.raises(KeyboardInterrupt):
        run(settings, RunOptions(state_dir=folder), pace=stop)
    return folder


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, which a test may change, of the finished run, or of the one that the test names."""
    source = request.getfixturevalue(getattr(request, "param", "finished"))
    return Path(shutil.copytree(source, tmp_path / "run"))


@pytest.fixture
def access() -> AccessSettings:
    """Who may do what: on loopback everybody reads."""
    return AccessSettings()


@pytest.fixture
def served(folder: Path, access: AccessSettings) -> Iterator[str]:
    """The address at which *folder* is served."""
    config = uvicorn.Config(
        app_of(folder, access), host="127.0.0.1", port=0, log_level="error", lifespan="off",
        ws="websockets-sansio", timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends_s = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < ends_s
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """The system's Chromium, ended with the module: while it is driven, nothing else in this thread runs asyncio."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed here: the dashboard is not tried in a browser")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: playwright.Browser, served: str) -> Iterator[Visit]:
    """A visit of the served dashboard at the width of a small laptop."""
    context = browser.new_context(viewport={"width": 1024, "height": 800})
    yield Visit(context.new_page(), served)
    context.close()


@pytest.fixture
def visits(browser: playwright.Browser, served: str) -> Iterator[Callable[[int, str], Visit]]:
    """Visits at any width, in a light or dark system."""
    contexts = []

    def made(width: int, scheme: str) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        contexts.append(context)
        return Visit(context.new_page(), served)

    yield made
    for context in contexts:
        context.close()
