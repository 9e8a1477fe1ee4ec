"""What the API costs: the status against an empty road, 200 listeners while a replay runs, pages of a long journal."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from benchmarks.bench_metrics import BUILD, EVENTS, journal_of
from benchmarks.harness import Figure, bench, fastest_in_turns, seconds
from quantum_trader.app.api.read_endpoints import LISTS
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings

CLIENTS = 200
EMPTY = "/livez"
ASKED = 400
HERE = Path(__file__).resolve().parent
STATE = BUILD / "api-run"


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def served(state: Path) -> Iterator[int]:
    """The API of *state* in a process of its own; its port."""
    port = free_port()
    command = [sys.executable, "-m", "quantum_trader", "serve", "--state", str(state), "--port", str(port), "--wait"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    times(port, EMPTY, 1)
                    break
                except OSError:
                    time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def times(port: int, road: str, count: int) -> list[float]:
    """Seconds of *count* requests of *road*, one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120.0)
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        connection.request("GET", road)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, road
        taken.append(time.perf_counter() - started)
    connection.close()
    return taken


def p99(taken: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(taken, n=100)[98]


def replayed() -> float:
    """Seconds of a replay of the bundled bars into a fresh folder."""
    shutil.rmtree(STATE, ignore_errors=True)
    settings = RunSettings(data=DataSettings(start="2018-01-01", end="2018-12-31"))
    return seconds(lambda: run(settings, RunOptions(state_dir=STATE)))


@contextmanager
def listeners(port: int, lags: list[float]) -> Iterator[None]:
    """CLIENTS sockets of the stream in a process of their own; *lags* takes what they saw."""
    command = [sys.executable, str(HERE / "api_clients.py"), str(port), str(CLIENTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        lags += json.loads(process.stdout.readline())


@bench("api.status")
def status() -> Iterator[Figure]:
    """The status of a finished run against a road that answers nothing."""
    replayed()
    with served(STATE) as port:
        times(port, "/api/v1/status", 20)
        empty, found = times(port, EMPTY, ASKED), times(port, "/api/v1/status", ASKED)
    yield Figure(name="api.status_p99", value=p99(found) * 1e3, unit="ms", reference=p99(empty) * 1e3,
                 reference_name="p99 of an empty road of the same server, ms")


@bench("api.stream")
def stream() -> Iterator[Figure]:
    """A replay alone, and with 200 listeners and a status every second; how late the listeners hear."""
    lags: list[float] = []
    empty: list[float] = []

    def with_listeners() -> float:
        shutil.rmtree(STATE, ignore_errors=True)
        STATE.mkdir(mode=0o700, parents=True)
        (STATE / "lock").touch(0o600)
        ended = Event()

        def poll(port: int) -> None:
            while not ended.wait(1.0):
                empty.extend(times(port, EMPTY, 1))
                times(port, "/api/v1/status", 1)

        with served(STATE) as port, listeners(port, lags):
            poller = Thread(target=poll, args=(port,))
            poller.start()
            try:
                settings = RunSettings(data=DataSettings(start="2018-01-01", end="2018-12-31"))
                return seconds(lambda: run(settings, RunOptions(state_dir=STATE)))
            finally:
                ended.set()
                poller.join()

    found = fastest_in_turns(3, with_listeners, replayed)
    yield Figure(name="api.engine_with_200_listeners", value=found.value, unit="s", reference=found.reference,
                 reference_name="the same replay without a server, s", at_most=1.10)
    yield Figure(name="api.stream_lag_p99", value=p99(lags), unit="s", reference=p99(empty),
                 reference_name="p99 of an empty road of the same server meanwhile, s")


@bench("api.pages")
def pages(count: int = EVENTS) -> Iterator[Figure]:
    """A page of each list of a journal of ten million events: the newest, and the one after."""
    state = journal_of(count)
    (state / "lock").touch(0o600)
    slowest, name = 0.0, ""
    with served(state) as port:
        for road in LISTS:
            taken = min(times(port, f"/api/v1/{road}?limit=100", 3))
            if taken > slowest:
                slowest, name = taken, road
        empty = p99(times(port, EMPTY, ASKED))
    yield Figure(name=f"api.slowest_page ({name})", value=slowest, unit="s", reference=empty,
                 reference_name="p99 of an empty road of the same server, s")
