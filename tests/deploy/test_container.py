"""The container file: who runs, what it may write, what healthy means. Read by a parser; it is built elsewhere."""

from __future__ import annotations

import fnmatch
import http.server
import json
import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from tests.test_house import leaf

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "Containerfile"
IGNORED = ROOT / ".containerignore"


def instructions() -> list[tuple[str, str]]:
    """(instruction, its words), lines that go on joined, comments left out."""
    text = "\n".join(line for line in FILE.read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def last(name: str) -> str:
    """The words of the last instruction *name*."""
    return [rest for word, rest in instructions() if word == name][-1]


def test_every_instruction_is_one() -> None:
    """Of those that container files have; the first names a public image with its version."""
    known = {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "LABEL", "USER", "VOLUME", "STOPSIGNAL", "HEALTHCHECK",
             "ENTRYPOINT", "CMD"}

    assert {word for word, _ in instructions()} <= known
    assert [rest.split()[0] for word, rest in instructions() if word == "FROM"] == ["python:3.13-slim"] * 2


def test_it_runs_as_a_numbered_user_that_owns_the_volume_alone() -> None:
    """A number, so that an orchestrator can see that it is not root; nothing is copied or run after it as that user."""
    words = [word for word, _ in instructions()]
    after = words[len(words) - 1 - words[::-1].index("USER"):]

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last("USER"))
    assert not {"RUN", "COPY"} & set(after)
    assert json.loads(last("VOLUME")) == ["/var/lib/quantum-trader"]
    assert "HOME=/var/lib/quantum-trader" in " ".join(rest for word, rest in instructions() if word == "ENV")


def test_what_it_starts_is_a_command_of_this_program_on_paper() -> None:
    """No mode that trades money; the API beside it is the one that the health check asks."""
    words = json.loads(last("CMD"))
    command, rest, path = leaf(words)
    params = command.make_context("quantum-trader", rest).params

    assert json.loads(last("ENTRYPOINT")) == ["quantum-trader"]
    assert path == ("live",)
    assert (params["mode"], params["serve"]) == (None, 8000)
    assert str(params["state"]).startswith("/var/lib/quantum-trader/")
    assert last("STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_for_progress(status: int, code: int) -> None:
    """Its very words, with the port of a server of the test."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    words = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    code_text = words[2].replace("8000", str(server.server_address[1]))
    try:
        found = subprocess.run([sys.executable, words[1], code_text], timeout=60, check=False)
    finally:
        server.shutdown()
        server.server_close()

    assert (found.returncode, asked) == (code, ["/readyz"])


def test_a_health_check_without_an_api_is_not_healthy() -> None:
    """Nothing listens."""
    words = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    found = subprocess.run(
        [sys.executable, words[1], words[2].replace("8000", "9")], stderr=subprocess.DEVNULL, timeout=60, check=False
    )
    assert found.returncode != 0


def test_it_installs_the_pinned_versions_and_extras_that_exist() -> None:
    """The same as anywhere."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    install = next(rest for word, rest in instructions() if word == "RUN" and "pip install" in rest)
    wanted = re.search(r"\.\[([\w,]+)\]", install)

    assert "--constraint constraints.txt" in install
    assert wanted is not None
    assert set(wanted[1].split(",")) <= set(extras)


def test_what_it_copies_is_there_and_not_ignored() -> None:
    """And nothing else of the folder goes into the build: no state, no keys, no environment."""
    lines = [line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        name.rstrip("/") for word, rest in instructions() if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    }

    assert lines[0] == "*"
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    left_out = ("state", ".venv", "build", ".git", "keys.toml", "notify.toml", "my-live")
    assert not any(fnmatch.fnmatch(name, one) for name in left_out for one in let_in)
    assert (FILE.parent / "Containerfile.dockerignore").read_text() == IGNORED.read_text()
