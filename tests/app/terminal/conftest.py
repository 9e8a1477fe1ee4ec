"""A short run that has finished, for all tests of the terminal's dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import load_settings


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of two weeks of two symbols."""
    folder = tmp_path_factory.mktemp("finished")
    settings = load_settings(None, {
        "data.symbols": (["BTCUSDT", "ETHUSDT"], "t"), "data.start": ("2018-03-01", "t"),
        "data.end": ("2018-03-14", "t"), "models": ([{"model": "intraday-demo"}], "t"),
    }).settings
    run(settings, RunOptions(state_dir=folder))
    return folder
