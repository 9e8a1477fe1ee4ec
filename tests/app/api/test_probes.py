"""Probes: the server answers, and the run makes progress; one word and no data, without a token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.app.api.asgi import get
from tests.app.notify.noted_run import NotedRun

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.server import app_of
from quantum_trader.app.runs.status import STOPPED

S = 10**9
OPEN = AccessSettings(host="0.0.0.0", has_tls=True)  # others reach it: all else needs a token


def ready(run: NotedRun, now_ns: int) -> tuple[int, str]:
    """Status and word of ``/readyz`` at *now_ns*."""
    status, _, body = get(app_of(run.folder, OPEN, lambda: now_ns), "/readyz")
    found = json.loads(body)
    return status, found["state"] if status == 200 else found["error"]["message"]


def test_readiness_is_progress_and_not_life(tmp_path: Path) -> None:
    """A process that holds its folder and writes nothing is not ready; each condition has its word."""
    with NotedRun(tmp_path / "run") as run:
        run.live()
        now_ns = (run.folder / "lock").stat().st_mtime_ns
        run.says(now_ns, stage="starting")
        assert ready(run, now_ns) == (503, "starting")
        run.says(now_ns)
        assert ready(run, now_ns) == (200, "running")
        assert ready(run, now_ns + 60 * S) == (503, "stalled")
        run.end()
        assert ready(run, now_ns) == (503, "dead")
        run.says(now_ns, stage=STOPPED)
        assert ready(run, now_ns) == (503, "stopped")


def test_the_server_is_alive_whatever_the_run_does(tmp_path: Path) -> None:
    """A dead run is no reason to restart its server."""
    with NotedRun(tmp_path / "run") as run:
        status, _, body = get(app_of(run.folder, OPEN), "/livez")

    assert (status, json.loads(body)) == (200, {"state": "alive"})


def test_a_folder_that_cannot_be_read_is_not_ready(tmp_path: Path) -> None:
    """Nor does the answer say anything of it."""
    with NotedRun(tmp_path / "run") as run:
        app = app_of(run.folder, OPEN)
        (run.folder / "live.json").write_text("damaged")
        status, _, body = get(app, "/readyz")

    assert status == 503
    assert str(run.folder) not in body.decode()


@pytest.mark.parametrize("road", ["/livez", "/readyz"])
def test_probes_hold_no_data(tmp_path: Path, road: str) -> None:
    """Neither names nor figures: anybody may ask."""
    with NotedRun(tmp_path / "run") as run:
        run.live()
        now_ns = (run.folder / "lock").stat().st_mtime_ns
        run.says(now_ns)
        _, _, body = get(app_of(run.folder, OPEN, lambda: now_ns), road)

    assert len(body) < 40
    assert not any(word in body.decode() for word in ("BTC", "1000", str(run.folder), "LOCAL"))
