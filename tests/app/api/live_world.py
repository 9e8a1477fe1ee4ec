"""A real live process at a real local venue, with the API beside it, for tests of control over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.app.kill_world import market

from quantum_trader.app.api.tokens import Role, TokenStore
from quantum_trader.app.runs.outside_intents import IntentRequest, request_intent
from quantum_trader.domain.enums import Side
from quantum_trader.venues.local.server import LocalVenue

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
PATIENCE_S: Final = 90.0
SETTINGS: Final = """\
[live]
max_decision_delay_s = 100.0
warmup_bars = 900
[policy]
enabled = false
[risk]
max_cost_r = 10.0
max_exposure_pct = 100.0
daily_loss_pct = 50.0
[[models]]
model = "intraday-demo"
"""


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int, road: str, body: Any = None, token: str = "", method: str = "") -> tuple[int, Any]:
    """Ask the API; status and decoded answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{road}", data=None if body is None else json.dumps(body).encode(),
        method=method or ("GET" if body is None else "POST"),
        headers={
            **({"Content-Type": "application/json"} if body is not None else {}),
            **({"Authorization": f"Bearer {token}"} if token else {}),
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60.0) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def until(what: str, look: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The first true answer of *look*."""
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        try:
            if found := look():
                return found
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"{what}: not in {patience_s:g} s")


class LiveWorld:
    """One local venue, one live process on it with its API, one token of a trader."""

    def __init__(self, folder: Path, *more: str, **environ: str) -> None:
        """*more*: further words of the command, *environ*: further variables of its environment."""
        self._more, self._environ = more, environ
        self.state = folder / "state"
        self.port = free_port()
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.venue = LocalVenue(market(7, time.time_ns()))
        self.token = ""

    def __enter__(self) -> LiveWorld:
        self._thread.start()
        self._do(self.venue.start())
        config = self._folder / "settings.toml"
        config.write_text(SETTINGS)
        key = self.venue.keys[0]
        self.errors = (self._folder / "live.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quantum_trader", "live", "--mode", "LOCAL", "--address", self.venue.url, "--state",
             str(self.state), "--symbols", ",".join(SYMBOLS), "--bars", "1m", "--config", str(config), "--serve",
             str(self.port), *self._more],
            stdout=self.errors, stderr=self.errors, stdin=subprocess.DEVNULL,
            env={**os.environ, "QT_LOCAL_KEY": key.key, "QT_LOCAL_SECRET": key.secret, **self._environ},
        )
        until("trading", lambda: self.get("status")["stage"] == "trading")
        self.token = TokenStore(self.state).new("drill", Role.TRADER, time.time_ns())[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(30.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        subprocess.run(["pkill", "-f", f"quantum_trader serve --state {self.state} "], check=False)
        self._do(self.venue.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()
        self.errors.close()

    def get(self, road: str) -> Any:
        """A reading of the API."""
        status, found = ask(self.port, f"/api/v1/{road}")
        assert status == 200, found
        return found

    def post(self, road: str, **body: Any) -> tuple[int, Any]:
        """A change over the API."""
        return ask(self.port, f"/api/v1/{road}", body, self.token)

    def held(self) -> dict[str, float]:
        """What the venue holds."""
        return {one.symbol: one.qty for one in self.venue.exchange.paper.positions()}

    def open(self, symbol: str, qty: float) -> None:
        """Have the process open a position."""
        now_ns = time.time_ns()
        request_intent(self.state, IntentRequest(
            intent_id=f"PERSON-{now_ns}", symbol=symbol, side=Side.LONG, qty=qty, stop_price=0.0, leverage=2.0,
            closes=False, source="PERSON", confidence=1.0, ttl_s=60.0, actor="test", ts_ns=now_ns,
        ))
        until(f"a position in {symbol}", lambda: any(
            one["symbol"] == symbol for one in self.get("positions")["positions"]
        ))

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30.0)
