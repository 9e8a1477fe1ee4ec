"""SQL of callers in a process of its own: what it may not use ends it, and the server answers on."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.app.api.clients import refusal

from quantum_trader.app.api.sql_process import SqlLimits, SqlProcesses
from quantum_trader.domain.errors import InputError
from quantum_trader.journal.lake import JOURNAL

COUNT = "select count(*) as n from trades"


@pytest.fixture
def processes(finished: Path) -> Iterator[SqlProcesses]:
    """Processes with the bounds of the API."""
    made = SqlProcesses(finished / JOURNAL, SqlLimits(timeout_s=30.0, memory_mb=512))
    yield made
    made.close()


def pid_of(processes: SqlProcesses) -> int:
    """The process that waits for the next query."""
    return processes._idle[-1]._process.pid


@pytest.mark.parametrize("query", [
    "select length(repeat('a', 4000000000)) as n",
    "select list(x) from (select repeat('a', 400000000) as x from range(8))",
    "select sum(length(x)) from (select repeat(cast(i as varchar), 300000000) as x from range(20) t(i) order by x)",
])
def test_a_query_that_would_take_gigabytes_is_refused_with_what_to_do(client: TestClient, query: str) -> None:
    """The server has not grown by it, and answers the next query."""
    first = client.post("/api/v1/journal/sql", json={"query": COUNT})
    assert first.json()["total"] == 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status, _, message = refusal(client.post("/api/v1/journal/sql", json={"query": query}))
    assert status == 400
    assert "512 MB" in message
    assert "ask for less" in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
    assert client.post("/api/v1/journal/sql", json={"query": COUNT}).json() == first.json()


def test_a_process_is_used_again_and_has_no_key_of_an_exchange(
    processes: SqlProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment has what a program needs to start, and nothing else."""
    monkeypatch.setenv("BINANCE_API_SECRET", "secret")
    assert json.loads(bytes(processes.answer(COUNT, 10)))["total"] == 1
    pid = pid_of(processes)
    assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    with pytest.raises(InputError, match="no view"):
        processes.answer("select 1 from nothing", 10)
    processes.answer(COUNT, 10)
    assert pid_of(processes) == pid


def test_a_process_that_was_killed_is_replaced(processes: SqlProcesses) -> None:
    """Between two queries nobody notices."""
    processes.answer(COUNT, 10)
    process = processes._idle[-1]._process
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads(bytes(processes.answer(COUNT, 10)))["total"] == 1
    assert pid_of(processes) != process.pid


def test_a_query_beyond_its_time_is_ended(finished: Path) -> None:
    """With the time that it had."""
    processes = SqlProcesses(finished / JOURNAL, SqlLimits(timeout_s=1.0, memory_mb=512))
    processes.answer(COUNT, 10)
    began_s = time.monotonic()
    with pytest.raises(InputError, match="took more than 1 s"):
        processes.answer("select count(*) from range(100000000000) t(i) where sin(i) > 2", 10)
    assert time.monotonic() - began_s < 20.0
    processes.close()
