"""``quantum-trader venue serve``: a real process, asked over loopback, ended by a signal."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.venues.local.world import exchange
from typer.testing import CliRunner

from quantum_trader.app.cli.venue import _page, _told, app
from quantum_trader.venues.local.server import LocalVenue

_PATIENCE_S = 60


def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """It prints where it is, answers, keeps its secrets private, and ends in peace."""
    keys, token = tmp_path / "keys.json", tmp_path / "token"
    command = [
        sys.executable, "-m", "quantum_trader.app.cli.main", "venue", "serve", "--symbols", "BTCUSDT",
        "--speed", "manual",
        "--keys-file", str(keys), "--admin-token-file", str(token), "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = json.loads(process.stdout.readline())
        with urllib.request.urlopen(f"{printed['url']}/fapi/v1/exchangeInfo", timeout=_PATIENCE_S) as answer:
            symbols = [row["symbol"] for row in json.load(answer)["symbols"]]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=_PATIENCE_S)

    assert symbols == printed["symbols"] == ["BTCUSDT"]
    assert (process.returncode, errors.strip()) == (0, "stopped")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (keys, token)] == [0o600, 0o600]
    assert json.loads(keys.read_text())["key"] == printed["api_key"]
    assert printed["admin_token"] == "", "a token in a file is not printed"


def test_the_page_says_what_a_client_in_javascript_needs() -> None:
    """The agent that ccxt opens ws:// addresses with, all addresses, and the one for clients that take one."""
    async def page() -> str:
        async with LocalVenue(exchange()) as venue:
            return _page(_told(venue, None, None))

    shown = asyncio.run(page())

    assert "await exchange.loadHttpProxyAgent()" in shown
    assert re.search(r"one address for all sockets: ws://127\.0\.0\.1:\d+/ws and ws://127\.0\.0\.1:\d+/stream", shown)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--speed", "fast"], "--speed fast"), (["--shift", "back"], "--shift back"),
        (["--host", "0.0.0.0"], "loopback"), (["--clock", "sun"], "server_clock"),
    ],
)
def test_unusable_options_are_refused(options: list[str], part: str) -> None:
    """Before anything listens."""
    result = CliRunner().invoke(app, ["serve", "--symbols", "BTCUSDT", *options])

    assert result.exit_code != 0
    assert part in str(result.exception)


def test_a_keys_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message names the remedy."""
    keys = tmp_path / "keys.json"
    keys.write_text('{"key": "a", "secret": "b"}')
    keys.chmod(0o644)

    result = CliRunner().invoke(app, ["serve", "--symbols", "BTCUSDT", "--keys-file", str(keys)])

    assert "chmod 600" in str(result.exception)
