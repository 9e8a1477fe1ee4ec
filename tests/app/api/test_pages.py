"""The files of the dashboard: how they are served, and that they are what `make web` builds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")
from tests.app.api.clients import client_of

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.pages import FILES, POLICY, STATIC, page_routes
from quantum_trader.app.report.words import CODE_WORDS
from quantum_trader.domain.errors import StateError

WEB = Path(__file__).parents[3] / "web"


def test_pages_load_only_what_the_server_itself_gives(folder: Path) -> None:
    """Every file has the strict policy and the headers of the API, and names nothing elsewhere."""
    client = client_of(folder)
    for road, (name, media) in FILES.items():
        answer = client.get(road)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.content == (STATIC / name).read_bytes()
        again = client.get(road, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert set(re.findall(r'(?:src|href)="([^"]*)"', client.get("/").text)) - set(FILES) == set(
        re.findall(r'href="(data:[^"]*)"', client.get("/").text)
    )
    assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", client.get("/app.css").text)


def test_nothing_but_the_files_of_the_dashboard_is_served(folder: Path) -> None:
    """Paths that lead elsewhere are answered as roads that are none."""
    client = client_of(folder)
    for path in ("/..%2f..%2fpyproject.toml", "/static/app.js", "/%2e%2e/api_tokens.json", "/index.html"):
        assert client.get(path).status_code == 404, path


def test_the_page_comes_without_a_token_and_its_data_does_not(folder: Path) -> None:
    """Where reading needs a token, the page asks for it; under another host's name there is no page either."""
    client = client_of(folder, AccessSettings(host="0.0.0.0", has_tls=True))
    assert client.get("/").status_code == 200
    assert client.get("/api/v1/status").status_code == 401
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421


def test_a_missing_file_is_told_at_the_start(tmp_path: Path) -> None:
    """The message names the file and what to do."""
    with pytest.raises(StateError, match="index.html.*make web"):
        page_routes(tmp_path)


def test_nothing_in_the_sources_sets_html_or_runs_text() -> None:
    """Text of data reaches the page as text nodes alone."""
    sources = sorted((WEB / "src").rglob("*.js*"))
    assert len(sources) > 10
    ways = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|href=\{(?!`#/)[^}]*\}"
    )
    assert [f"{path.name}: {found}" for path in sources for found in ways.findall(path.read_text())] == []


def test_the_shipped_files_are_what_the_sources_build(tmp_path: Path) -> None:
    """`make web` changes nothing."""
    if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("needs Node.js and web/node_modules (`make web`): the dashboard is not rebuilt here")
    subprocess.run(["node", "build.mjs", tmp_path], cwd=WEB, check=True, capture_output=True, timeout=120)
    for name, _ in FILES.values():
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes(), f"{name}: run `make web`"


def test_the_pages_say_reasons_in_the_words_of_the_reports() -> None:
    """`make web` was run after the last change of these words."""
    made = (WEB / "src" / "code_words.js").read_text()
    assert json.loads(made.partition("CODE_WORDS = ")[2].rstrip(";\n")) == {
        code: text for code, text in CODE_WORDS.items() if code.isupper()
    }
