"""The guide for other bots says what is true: its questions are answered, and its client fails closed."""

from __future__ import annotations

import ast
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.guard.bars import store_bars
from tests.app.guard.serving import ROOT, ServedGuard, command, served

from quantum_trader.app.guard.questions import DecideQuestion, GuardAnswer

GUIDE = (ROOT / "docs" / "how-to-guard-another-bot.md").read_text()
BODIES = [json.loads(body) for body in re.findall(r"-d '(\{.*?\})'", GUIDE, re.DOTALL)]
PYTHON = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
Client = Callable[..., float]


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGuard]:
    """A served guard over bars of BTCUSDT up to now."""
    folder = tmp_path_factory.mktemp("guide")
    store_bars(folder / "bars", end_ns=time.time_ns())
    with served(folder / "state", "--data", str(folder / "bars"), "--profile", "SAFE") as found:
        yield found


@pytest.fixture
def client() -> Client:
    """The function `permitted_stake` of the guide."""
    (block,) = [one for one in PYTHON if "def permitted_stake" in one]
    names: dict[str, Any] = {}
    exec(block, names)
    found: Client = names["permitted_stake"]
    return found


@contextmanager
def answering(status: int, content: bytes, wait_s: float = 0.0) -> Iterator[str]:
    """Serve one answer to every request; gives the address."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        """The same answer to all."""

        def do_POST(self) -> None:
            """Answer."""
            ended.wait(wait_s)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_guides_question_and_report_are_taken(guard: ServedGuard) -> None:
    """As they stand there, in this order."""
    question, report = BODIES

    assert guard.ask("/v1/decide", question)[0] == 200
    assert guard.ask("/v1/fills", report)[1]["is_counted"] is True


def test_the_guides_tables_name_every_field() -> None:
    """What is sent and what is answered."""
    for kind in (DecideQuestion, GuardAnswer):
        missing = [field.name for field in msgspec.structs.fields(kind) if f"`{field.name}`" not in GUIDE]
        assert missing == []


def test_the_guides_client_takes_the_verdict(
    guard: ServedGuard, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """The permitted stake; 0.0 with the reason where the guard refuses."""
    token = (guard.state / "token").read_text().strip()
    question = BODIES[0] | {"bot": "client", "equity": 10_000.0}
    command("mode", "ENFORCED", "--bot", "client", "--state", str(guard.state))

    assert client(question | {"id": "1"}, token, guard.url) == 200.0
    assert client(question | {"id": "2", "stop": 100.0, "stake": 9_000.0}, token, guard.url) < 100.0
    assert client(question | {"id": "3", "confidence": 0.1}, token, guard.url) == 0.0
    assert "CONFIDENCE" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "content", "wait_s"), [
    (500, b'{"allow": true, "max_stake": 200}', 0.0), (200, b"no JSON", 0.0), (200, b'{"max_stake": 200}', 0.0),
    (200, b'{"allow": "true", "max_stake": 200, "reason": ""}', 0.0), (200, b'{"allow": true}', 0.0),
    (200, b"[]", 0.0), (200, b'{"allow": true, "max_stake": 200}', 10.0),
])
def test_the_guides_client_permits_nothing_without_a_clear_answer(
    client: Client, status: int, content: bytes, wait_s: float
) -> None:
    """An error, an answer that is none, one that comes late: no entry."""
    with answering(status, content, wait_s) as url:
        assert client(BODIES[0], "token", url) == 0.0


def test_the_guides_client_permits_nothing_where_nobody_listens(client: Client, tmp_path: Path) -> None:
    """A guard that was killed."""
    with answering(200, b"") as url:
        pass

    assert client(BODIES[0], "token", url) == 0.0


def test_the_guides_other_blocks_are_python() -> None:
    """hummingbot's and freqtrade's, which need those programs."""
    assert len([ast.parse(block) for block in PYTHON]) == 3
