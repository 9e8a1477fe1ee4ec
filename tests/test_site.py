"""The documentation as a site: built without a broken link, without anything from outside, and searched from disk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("zensical", reason="needs the extra `docs`: the site is not built here")

from tools.make_site import DOCS, build_site, pages_in_order

LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^>]*>", re.IGNORECASE)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    return build_site(DOCS, tmp_path_factory.mktemp("site"))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A copy of the pages that a test may break."""
    return Path(shutil.copytree(DOCS, tmp_path / "docs"))


def test_every_page_is_in_the_site_and_none_loads_anything_from_outside(site: Path) -> None:
    """Pages and style sheets name no script, style, font or picture of another place."""
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    wanted = {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")}
    assert {one.replace("README.html", "index.html") for one in wanted} <= pages
    assert [(page, found) for page in sorted(pages) for found in LOADED.findall((site / page).read_text())] == []
    elsewhere = re.compile(r"(url\(|@import)[\s\"']*(https?:)?//")
    styles = [path for path in site.rglob("*.css") if elsewhere.search(path.read_text())]
    assert styles == []


@pytest.mark.parametrize(
    "link", ["[a page](no-such-page.md)", "[a part](safety.md#no-such-part)", "![a picture](no.png)"]
)
def test_a_broken_link_keeps_the_site_from_being_built(link: str, docs: Path, tmp_path: Path) -> None:
    """Of a page, of a part of one, or of a picture: the page that has it is named."""
    with (docs / "how-to-run.md").open("a") as page:
        page.write(f"\n{link}\n")
    with pytest.raises(SystemExit, match=r"(?s)how-to-run\.md.*mend the links"):
        build_site(docs, tmp_path / "build")


def test_a_page_that_the_index_does_not_link_is_named(docs: Path) -> None:
    """A page that nobody finds is none."""
    (docs / "how-to-hide.md").write_text("# Hide\n")
    with pytest.raises(SystemExit, match=r"links no how-to-hide\.md"):
        pages_in_order(docs)


@pytest.fixture(scope="module")
def texts(site: Path) -> Iterator[list[str]]:
    """What the search shows for a word of one decision, from disk; and what was asked of other places."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed here: the search is not tried in a browser")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = chromium.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.locator("#__search, .md-search, button", has_text="Search").first.click()
        page.locator("input:focus").wait_for()
        page.keyboard.type("liquidation price bankruptcy")
        found = page.locator("a", has_text="Positions are isolated.").first
        found.wait_for(timeout=30_000)
        yield [str(found.get_attribute("href")), *(url for url in asked if not url.startswith("file:"))]
        chromium.close()


def test_the_search_finds_a_page_from_disk_without_a_network(texts: list[str]) -> None:
    """Its first words lead to the decision that has them, and the browser asked nobody else for anything."""
    assert "decisions/0033-liquidation-is-dear.html" in texts[0]
    assert texts[1:] == []
