"""A real live process at a real local venue, with the API beside it, for tests of control over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import select
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
from quantum_trader.venues.local.orders import OrderTicket
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


class Others:
    """The processes that a process started, held by file descriptors: their numbers may be given to others later."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}

    def hold_children(self, pid: int) -> None:
        """Hold the children that *pid* has now."""
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            if child not in self._held:
                self._held[child] = os.pidfd_open(child)

    def end(self, patience_s: float = 20.0) -> None:
        """End those that are still there, and wait until they are gone."""
        for held in self._held.values():
            try:
                signal.pidfd_send_signal(held, signal.SIGTERM)
            except ProcessLookupError:
                pass
            else:
                if not select.select([held], [], [], patience_s)[0]:
                    signal.pidfd_send_signal(held, signal.SIGKILL)
            os.close(held)
        self._held.clear()


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
        self._others = Others()

    def __enter__(self) -> LiveWorld:
        self._thread.start()
        self._do(self.venue.start())
        (self._folder / "settings.toml").write_text(SETTINGS)
        self.errors = (self._folder / "live.log").open("w")
        self.start()
        self.token = TokenStore(self.state).new("drill", Role.TRADER, time.time_ns())[1]
        return self

    def start(self) -> None:
        """Start the live process, and wait until it trades; the server of the one before serves on."""
        config, key = self._folder / "settings.toml", self.venue.keys[0]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quantum_trader", "live", "--mode", "LOCAL", "--address", self.venue.url, "--state",
             str(self.state), "--symbols", ",".join(SYMBOLS), "--bars", "1m", "--config", str(config), "--serve",
             str(self.port), *self._more],
            stdout=self.errors, stderr=self.errors, stdin=subprocess.DEVNULL,
            env={**os.environ, "QT_LOCAL_KEY": key.key, "QT_LOCAL_SECRET": key.secret, **self._environ},
        )
        until("trading", self._is_trading)
        self._others.hold_children(self.process.pid)

    def _is_trading(self) -> bool:
        status = self.get("status")
        return bool(status["alive"] and status["pid"] == self.process.pid and status["stage"] == "trading")

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(30.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._others.end()
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

    def open(self, symbol: str, qty: float, patience_s: float = PATIENCE_S) -> None:
        """Have the process open a position; AssertionError where it has not within *patience_s*."""
        now_ns = time.time_ns()
        request_intent(self.state, IntentRequest(
            intent_id=f"PERSON-{now_ns}", symbol=symbol, side=Side.LONG, qty=qty, stop_price=0.0, leverage=2.0,
            closes=False, source="PERSON", confidence=1.0, ttl_s=60.0, actor="test", ts_ns=now_ns,
        ))
        until(f"a position in {symbol}", lambda: any(
            one["symbol"] == symbol for one in self.get("positions")["positions"]
        ), patience_s)

    def resting(self) -> int:
        """How many orders rest at the venue, stops too."""
        return len(self.venue.exchange.open_orders()) + len(self.venue.exchange.open_algos())

    def place_outside(self, symbol: str, qty: float, stop_price: float) -> None:
        """Place a long and its stop at the venue, past the process."""
        async def place() -> None:
            exchange = self.venue.exchange
            exchange.place(OrderTicket(symbol=symbol, side="BUY", type="MARKET", qty=qty))
            exchange.place_algo(OrderTicket(
                symbol=symbol, side="SELL", type="STOP_MARKET", qty=qty, trigger_price=stop_price, reduce_only=True,
            ))

        self._do(place())

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30.0)
