"""The guide for other bots says what is true: its questions are answered, and its client fails closed."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import itertools
import json
import re
import socket
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
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
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def saying(*pieces: bytes, pause_s: float) -> Iterator[str]:
    """Accept connections, and send each the *pieces* with pauses; without any, say nothing. Gives the address."""
    ended = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            for piece in pieces or (b"",):
                connection.sendall(piece)
                if ended.wait(pause_s):
                    return

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.close()


def address_of(guard: ServedGuard) -> str:
    """Return the guard's host and port."""
    return guard.url.removeprefix("http://")


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

    assert client(question | {"id": "1"}, token, address_of(guard)) == 200.0
    assert client(question | {"id": "2", "stop": 100.0, "stake": 9_000.0}, token, address_of(guard)) < 100.0
    assert client(question | {"id": "3", "confidence": 0.1}, token, address_of(guard)) == 0.0
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


@pytest.mark.parametrize("pieces", [
    [], [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", *itertools.repeat(b" ", 400)],
    [*itertools.repeat(b"H", 400)], [b"HTTP/1.1 200 OK\r\n", *itertools.repeat(b"A: b\r\n", 400)],
], ids=["silent", "slow body", "slow status", "slow headers"])
def test_the_guides_client_waits_no_longer_than_its_limit(client: Client, pieces: list[bytes]) -> None:
    """A guard that hangs, or sends a byte at a time: no entry, after the limit for the whole answer."""
    with saying(*pieces, pause_s=0.05 if pieces else 20.0) as address:
        began = time.monotonic()
        stake = client(BODIES[0], "token", address, limit_s=0.5)
        took = time.monotonic() - began

    assert stake == 0.0
    assert took < 3.0


def test_the_guides_client_permits_nothing_where_nobody_listens(client: Client, tmp_path: Path) -> None:
    """A guard that was killed."""
    with answering(200, b"") as url:
        pass

    assert client(BODIES[0], "token", url) == 0.0


class TradeType(Enum):
    """hummingbot's two sides."""

    BUY = 1
    SELL = 2


def executor(key: str, amount: str, stop: str | None, leverage: int = 2, kind: str = "position_executor") -> Any:
    """Return an action with a configuration of the shape of hummingbot's position executor."""
    return SimpleNamespace(executor_config=SimpleNamespace(
        id=key, type=kind, trading_pair="BTC-USDT", connector_name="binance_perpetual", side=TradeType.BUY,
        amount=Decimal(amount), leverage=leverage,
        triple_barrier_config=SimpleNamespace(stop_loss=None if stop is None else Decimal(stop)),
    ))


def test_the_guides_hummingbot_strategy_opens_what_the_guard_permits(guard: ServedGuard, client: Client) -> None:
    """In hummingbot's event loop: whole or not at all; nothing without a stop's worth of risk, or without the guard."""
    (block,) = [one for one in PYTHON if "create_actions_proposal" in one]
    permitted = executor("1", "0.02", "0.01")
    wanted = [
        permitted, executor("2", "5", "0.2"), executor("3", "0.6", None),
        executor("4", "0.02", "0.01", kind="dca_executor"),
    ]
    prices = SimpleNamespace(get_price_by_type=lambda connector, pair, kind: Decimal("10000"))

    class Base:
        """What hummingbot calls."""

        market_data_provider = prices
        token = (guard.state / "token").read_text().strip()

        def create_actions_proposal(self) -> list[Any]:
            """Return what the strategy wants."""
            return wanted

        def equity(self) -> float:
            """Return the account's equity."""
            return 10_000.0

        def positions(self) -> list[dict[str, Any]]:
            """Return the open executors."""
            return [{"symbol": "ETH-USDT", "stake": 150.0}]

    async def proposed(address: str) -> list[Any]:
        names: dict[str, Any] = {
            "Base": Base, "TradeType": TradeType, "PriceType": SimpleNamespace(MidPrice=1),
            "permitted_stake": lambda question, token: client(question, token, address, limit_s=2.0),
        }
        exec("class Mine(Base):\n" + textwrap.indent(block, "    "), names)
        found: list[Any] = names["Mine"]().create_actions_proposal()
        return found

    command("mode", "ENFORCED", "--bot", "hummingbot", "--state", str(guard.state))

    assert asyncio.run(proposed(address_of(guard))) == [permitted]
    with saying(pause_s=20.0) as silent:
        wanted[1:] = []
        assert asyncio.run(proposed(silent)) == []


def test_the_guides_other_blocks_are_python() -> None:
    """freqtrade's, which needs that program, and the rest."""
    assert len([ast.parse(block) for block in PYTHON]) == 3
