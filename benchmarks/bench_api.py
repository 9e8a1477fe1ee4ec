"""What the API costs: against an empty road, with 200 listeners and ten pages beside a replay, over a long journal."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from benchmarks.api_clients import EMPTY, PAGES
from benchmarks.bench_metrics import BUILD, EVENTS, journal_of
from benchmarks.harness import Figure, bench, seconds
from quantum_trader.app.api.read_endpoints import LISTS
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings

CLIENTS = 200
ASKED = 400
TURNS = 3
USABLE_S = 2.0  # within which a page is to be usable
COMPUTED = {"gates", "insights?day=last&window=30"}  # made in the background, and shown in a part of their page
SETTINGS = RunSettings(data=DataSettings(start="2018-01-01", end="2018-12-31"))
HERE = Path(__file__).resolve().parent
STATE = BUILD / "api-run"


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class StillComputedError(Exception):
    """The server says: ask again."""


@contextmanager
def served(state: Path) -> Iterator[tuple[int, int]]:
    """The API of *state* in a process of its own; its port and its pid."""
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
            yield port, process.pid
        finally:
            process.terminate()


def times(port: int, road: str, count: int) -> list[float]:
    """Seconds of *count* requests of *road*, one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300.0)
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        _answer(connection, road)
        taken.append(time.perf_counter() - started)
    connection.close()
    return taken


def body(port: int, road: str) -> bytes:
    """The answer of *road*."""
    return _answer(http.client.HTTPConnection("127.0.0.1", port, timeout=300.0), road)


def _answer(connection: http.client.HTTPConnection, road: str) -> bytes:
    connection.request("GET", road)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status == 503:
        raise StillComputedError(road)
    assert answer.status == 200, f"{road}: {content[:200]!r}"
    return content


def p99(taken: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(taken, n=100)[98]


def replayed() -> float:
    """Seconds of a replay of the bundled bars into a fresh folder."""
    shutil.rmtree(STATE, ignore_errors=True)
    return seconds(lambda: run(SETTINGS, RunOptions(state_dir=STATE)))


@contextmanager
def clients(port: int, count: int, what: str, told: Told) -> Iterator[None]:
    """*count* clients of api_clients in a process of their own; *told* takes what they saw and used."""
    command = [sys.executable, str(HERE / "api_clients.py"), str(port), str(count), what]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        found = json.loads(process.stdout.readline())
        told.lags += found["lags"]
        told.clients_s.append(found["cpu_s"])


class Told:
    """What was measured beside runs: seconds of lags, of the empty road, and of processors for each run."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.empty: list[float] = []
        self.server_s: list[float] = []
        self.clients_s: list[float] = []


def used_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def replayed_with(count: int, what: str, told: Told) -> float:
    """Seconds of a replay with *count* clients of *what*, and a status every second."""
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(mode=0o700, parents=True)
    (STATE / "lock").touch(0o600)
    ended = Event()

    def poll(port: int) -> None:
        while not ended.wait(1.0):
            told.empty.extend(times(port, EMPTY, 1))
            times(port, "/api/v1/status", 1)

    with served(STATE) as (port, pid), clients(port, count, what, told):
        poller = Thread(target=poll, args=(port,))
        poller.start()
        began_s = used_s(pid)
        try:
            return seconds(lambda: run(SETTINGS, RunOptions(state_dir=STATE)))
        finally:
            told.server_s.append(used_s(pid) - began_s)
            ended.set()
            poller.join()


@bench("api.status")
def status() -> Iterator[Figure]:
    """The status of a finished run against a road that answers nothing."""
    replayed()
    with served(STATE) as (port, _):
        times(port, "/api/v1/status", 20)
        empty, found = times(port, EMPTY, ASKED), times(port, "/api/v1/status", ASKED)
    yield Figure(name="api.status_p99", value=p99(found) * 1e3, unit="ms", reference=p99(empty) * 1e3,
                 reference_name="p99 of an empty road of the same server, ms")


@bench("api.stream")
def stream() -> Iterator[Figure]:
    """A replay alone, with 200 clients of an empty road, and with 200 listeners; how late the listeners hear."""
    told, others = Told(), Told()
    turns = [
        (replayed_with(CLIENTS, "stream", told), replayed_with(CLIENTS, "empty", others), replayed())
        for _ in range(TURNS)
    ]
    listened, asked, alone = (min(one) for one in zip(*turns, strict=True))
    yield Figure(name="api.engine_with_200_listeners", value=listened, unit="s", reference=alone,
                 reference_name="the same replay without a server, s", at_most=1.10)
    yield Figure(name="api.engine_with_200_clients_of_an_empty_road", value=asked, unit="s", reference=alone,
                 reference_name="the same replay without a server, s")
    yield Figure(name="api.engine_listeners_against_empty_road", value=listened, unit="s", reference=asked,
                 reference_name="the same replay with 200 clients of an empty road, s")
    yield Figure(name="api.server_with_200_listeners", value=min(told.server_s), unit="processor s",
                 reference=min(others.server_s), reference_name="the server's with 200 clients of an empty road, s")
    yield Figure(name="api.clients_200_listeners", value=min(told.clients_s), unit="processor s",
                 reference=min(others.clients_s), reference_name="the clients' of an empty road, s")
    yield Figure(name="api.stream_lag_p99", value=p99(told.lags), unit="s", reference=p99(told.empty),
                 reference_name="p99 of an empty road of the same server meanwhile, s")


@bench("api.ten_pages")
def ten_pages() -> Iterator[Figure]:
    """A replay alone, and with ten pages of the dashboard open: their streams and the requests that they make."""
    told = Told()
    turns = [(replayed_with(len(PAGES), "pages", told), replayed()) for _ in range(TURNS)]
    opened, alone = (min(one) for one in zip(*turns, strict=True))
    yield Figure(name="api.engine_with_ten_pages", value=opened, unit="s", reference=alone,
                 reference_name="the same replay without a server, s", at_most=1.10)
    yield Figure(name="api.server_with_ten_pages", value=min(told.server_s), unit="processor s",
                 reference=alone, reference_name="the replay alone, s")


@bench("api.pages")
def pages(count: int = EVENTS) -> Iterator[Figure]:
    """A page of each list of a journal of ten million events: the newest, and the one after."""
    state = journal_of(count)
    (state / "lock").touch(0o600)
    with served(state) as (port, _):
        empty = p99(times(port, EMPTY, ASKED))
        for road in (*LISTS, "events"):
            found = min(times(port, f"/api/v1/{road}?limit=100", 3))
            after = json.loads(body(port, f"/api/v1/{road}?limit=100"))["next"]
            if after:
                found = max(found, min(times(port, f"/api/v1/{road}?limit=100&before={after}", 3)))
            yield Figure(name=f"api.page_of {road}", value=found, unit="s", reference=empty,
                         reference_name="p99 of an empty road of the same server, s")


@bench("api.dashboard")
def dashboard(count: int = EVENTS) -> Iterator[Figure]:
    """What each page of the dashboard asks of a journal of ten million events: the first time, and once more.

    A page asks for its parts at once, and each part is shown as it comes. The server's processor seconds are what it
    costs on a machine that has nothing else to do.
    """
    state = journal_of(count)
    (state / "lock").touch(0o600)
    with served(state) as (port, pid):
        body(port, "/api/v1/status")
        for page, roads in PAGES.items():
            begun_s = used_s(pid)
            first = _of_page(port, list(roads))
            between_s = used_s(pid)
            again = _of_page(port, list(roads))
            for what, cost_s in (("first", between_s - begun_s), ("again", used_s(pid) - between_s)):
                yield Figure(name=f"api.page_{page}_{what}_processor", value=cost_s, unit="processor s",
                             reference=USABLE_S, reference_name="a page is usable within, s")
            soon = [taken for road, taken in first.items() if road not in COMPUTED]
            for what, found in (("first", max(soon, default=0.0)), ("again", max(again.values()))):
                yield Figure(name=f"api.page_{page}_{what}", value=found, unit="s", reference=USABLE_S,
                             reference_name="a page is usable within, s", at_most=1.0)
            for road in COMPUTED & roads.keys():
                yield Figure(name=f"api.computed_first {road}", value=first[road], unit="s", reference=USABLE_S,
                             reference_name="a page is usable within, s")


def _of_page(port: int, roads: list[str]) -> dict[str, float]:
    """Seconds until each of *roads*, which are asked at once, is answered."""
    with ThreadPoolExecutor(len(roads)) as pool:
        taken = pool.map(lambda road: seconds(lambda: _until_answered(port, f"/api/v1/{road}")), roads)
        return dict(zip(roads, taken, strict=True))


def _until_answered(port: int, road: str) -> None:
    """Ask again while an answer is being computed, as a page does."""
    while True:
        try:
            body(port, road)
            return
        except StillComputedError:
            time.sleep(1.0)
