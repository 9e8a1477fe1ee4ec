"""The veto from outside at an unmodified freqtrade in dry-run: no code in the bot, locks with reasons on its pairs."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.clients.environment import ROOT, environment
from tests.clients.serving import START_NS, WALLET, Served, minutes, serve
from tests.clients.test_freqtrade import (
    FIRST,
    HERE,
    LIMITS,
    SPEED,
    STARTED_WITHIN_S,
    clock_of,
    configuration,
    market,
    rows,
)

from quantum_trader.domain.clock import NS_PER_MINUTE, from_ns
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.server import ServerSettings

USER, PASSWORD = "someone", "a-password-nobody-else-has"
PACE = 12.0  # of the market's time: freqtrade, its API and the guard share the machine
PHASE = timedelta(minutes=24)  # of the market's time: six entries of each pair
# The command at the market's time. Under libfaketime its time limits would run at that pace too.
AT_THE_MARKETS_TIME = f"""
import sys, time
began, first = time.monotonic_ns(), int(sys.argv.pop(1))
time.time_ns = lambda: first + int((time.monotonic_ns() - began) * {PACE})
from quantum_trader.app.cli.main import main
main()
"""
SETTLED = timedelta(minutes=4)  # entries that were under way when a mode changed


def clock(python: Path, served: Served) -> dict[str, str]:
    """Return the environment that gives a process the venue's time, at this test's pace."""
    found = clock_of(python, served)
    return {**found, "FAKETIME": found["FAKETIME"].replace(f" x{SPEED:g}", f" x{PACE:g}")}


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class RunningFreqtrade:
    """freqtrade in dry-run on the local venue, at the venue's time, with its API on *port*."""

    def __init__(self, served: Served, folder: Path, port: int) -> None:
        self.served, self.folder, self.url = served, folder, f"http://127.0.0.1:{port}"
        self._never = threading.Event()

    @property
    def now(self) -> datetime:
        """The market's time."""
        return from_ns(self.served.ask(lambda exchange: exchange.now_ns))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer of one request to its API."""
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}", data=None if body is None else json.dumps(body).encode(), method=method,
            headers={"Authorization": f"Basic {pair}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20.0) as answer:
            return json.loads(answer.read())

    def locks(self) -> list[dict[str, Any]]:
        """Return the locks in force, but for freqtrade's own until the next candle after an exit."""
        return [one for one in self.ask("GET", "locks")["locks"] if one["reason"] != "Auto lock"]

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until *done*; AssertionError with *what* and its log after a while."""
        deadline = time.monotonic() + STARTED_WITHIN_S
        while not done():
            assert time.monotonic() < deadline, f"{what}\n{self.log()[-4_000:]}"
            self._never.wait(0.2)

    def play(self, span: timedelta) -> tuple[datetime, datetime]:
        """Let *span* of the market's time pass; return its begin and end."""
        begin = self.now
        while self.now < begin + span:
            self._never.wait(0.2)
        return begin, self.now

    def log(self) -> str:
        """Return its log."""
        return (self.folder / "log.txt").read_text()

    def entries(self, span: tuple[datetime, datetime]) -> int:
        """Count the trades it opened in *span*, what was under way at its begin left out."""
        opened = [datetime.fromisoformat(one["open_date"]).replace(tzinfo=UTC)
                  for one in rows(self.folder, "select * from trades")]
        return sum(span[0] + SETTLED <= one < span[1] for one in opened)


@contextmanager
def freqtrade(python: Path, served: Served, folder: Path) -> Iterator[RunningFreqtrade]:
    """Run freqtrade with its API until the block ends."""
    port = free_port()
    path = configuration(served, folder, dry_run=True)
    settings = json.loads(path.read_text())
    settings["api_server"] = {
        "enabled": True, "listen_ip_address": "127.0.0.1", "listen_port": port, "username": USER,
        "password": PASSWORD, "jwt_secret_key": "a" * 40, "verbosity": "error",
    }
    path.write_text(json.dumps(settings))
    with (folder / "log.txt").open("w") as output, subprocess.Popen(
        [str(python.parent / "freqtrade"), "trade", "--config", str(path)], cwd=folder, env=clock(python, served),
        stdout=output, stderr=subprocess.STDOUT,
    ) as process:
        running = RunningFreqtrade(served, folder, port)
        try:
            running.wait(lambda: "state to: RUNNING" in running.log(), "freqtrade does not run")
            yield running
        finally:
            process.kill()
            process.wait()


@contextmanager
def guarding(running: RunningFreqtrade, *words: str) -> Iterator[Path]:
    """Run `quantum-trader guard freqtrade` with *words* at the market's time; gives its state folder."""
    state = running.folder / "guard"
    variables = {
        "PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"),
        "FREQTRADE__API_SERVER__USERNAME": USER, "FREQTRADE__API_SERVER__PASSWORD": PASSWORD,
    }
    with (running.folder / "guard.txt").open("a") as output, subprocess.Popen(
        [sys.executable, "-c", AT_THE_MARKETS_TIME, str(running.served.ask(lambda exchange: exchange.now_ns)), "guard",
         "freqtrade", running.url, "--state", str(state), "--profile", "SAFE", "--every", "1", *words],
        env=variables, stdout=output, stderr=subprocess.STDOUT,
    ) as process:
        try:
            said = running.folder / "guard.txt"
            running.wait(lambda: "OBSERVE" in said.read_text() or process.poll() is not None, "the guard says nothing")
            assert process.poll() is None, said.read_text()[-4_000:]
            yield state
            assert process.poll() is None, said.read_text()[-4_000:]
        finally:
            process.kill()
            process.wait()


def set_mode(state: Path, mode: str) -> None:
    """Put the bot into *mode*."""
    subprocess.run(
        [sys.executable, "-m", "quantum_trader", "guard", "mode", mode, "--bot", "freqtrade", "--state", str(state)],
        check=True, env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"]}, timeout=60.0,
    )


@pytest.mark.long
def test_locks_stop_an_unmodified_freqtrade_and_let_it_go_on(tmp_path: Path) -> None:
    """OBSERVE: it trades and there is no lock. ENFORCED: no entry, its log has the reason. OBSERVE: it trades again."""
    python = environment(HERE / "requirements.txt")
    settings = ServerSettings(server_clock="market", tick_s=0.02, limits=LIMITS)
    with serve(
        minutes(market()), settings=settings, clock=MarketClock(PACE), start_ns=START_NS + FIRST * NS_PER_MINUTE
    ) as served, freqtrade(python, served, tmp_path) as running, guarding(
        running, "--confidence", "0.1"
    ) as state:
        observed = running.play(PHASE)
        assert running.locks() == []
        until = (running.now + timedelta(hours=2)).isoformat()
        running.ask("POST", "locks", [{"pair": "LTC/USDT:USDT", "until": until, "reason": "a person's"}])
        set_mode(state, "ENFORCED")
        running.wait(lambda: len(running.locks()) == 3, "the pairs are not locked")
        enforced = running.play(PHASE)
        locked = {one["pair"]: one["reason"] for one in running.locks()}
        set_mode(state, "OBSERVE")
        running.wait(lambda: len(running.locks()) == 1, "the locks are not removed")
        freed = running.play(PHASE)
        left = [one["reason"] for one in running.locks()]
        profit = running.ask("GET", "profit")
        closed, equity = profit["closed_trade_count"], profit["profit_all_coin"]
        equity += running.ask("GET", "balance")["starting_capital"]
        log, said = re.sub(r"\s*\n\s*", " ", running.log()), (tmp_path / "guard.txt").read_text()
    report = json.loads(subprocess.run(
        [sys.executable, "-m", "quantum_trader", "guard", "report", "--state", str(state), "--json"], check=True,
        capture_output=True, env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"]}, timeout=60.0,
    ).stdout)["bots"][0]

    counts = [running.entries(one) for one in (observed, enforced, freed)]
    assert counts[1] == 0, log[-4_000:]
    assert min(counts[0], counts[2]) >= 2, (counts, log[-4_000:])
    assert set(locked) == {"BTC/USDT:USDT", "ETH/USDT:USDT", "LTC/USDT:USDT"}
    assert all("CONFIDENCE" in locked[pair] for pair in ("BTC/USDT:USDT", "ETH/USDT:USDT"))
    assert re.search(r"is locked until .* due to quantum-trader guard freqtrade: .*CONFIDENCE", log)
    assert left == ["a person's"]
    assert closed - 2 <= report["exits"] <= closed
    assert report["locks"] >= 2
    assert {one["rule"] for one in report["rules"]} == {"CONFIDENCE"}, "an order on its way is no loss of the day"
    assert equity == pytest.approx(WALLET, rel=0.03)
    assert PASSWORD not in said
