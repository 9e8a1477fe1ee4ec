"""A finished run's folder and clients of its API."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")
from starlette.testclient import TestClient
from tests.app.api.clients import client_of

from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished replay of three months of two symbols; nothing may change it."""
    folder = tmp_path_factory.mktemp("api") / "run"
    settings = RunSettings(data=DataSettings(symbols=("BTCUSDT", "ETHUSDT"), start="2018-03-01", end="2018-05-31"))
    run(settings, RunOptions(state_dir=folder))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def client(folder: Path) -> TestClient:
    """A client on loopback without a token."""
    return client_of(folder)


@pytest.fixture
def clock() -> Callable[[], int]:
    """The time stands still."""
    return lambda: 1_700_000_000_000_000_000
