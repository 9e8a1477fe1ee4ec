"""A finished run with trades, for what freqtrade's clients read of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunFacts, RunOptions
from quantum_trader.app.settings import load_settings


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunFacts]:
    """The folder and the facts of a finished replay with dozens of trades; nothing may change them."""
    folder = tmp_path_factory.mktemp("freqtrade") / "run"
    settings = load_settings(None, {
        "models": (({"model": "intraday-demo"},), "test"), "data.start": ("2018-01-01", "test"),
        "data.end": ("2018-01-31", "test"), "policy.profile": ("STANDARD", "test"),
    }).settings
    return folder, run(settings, RunOptions(state_dir=folder)).facts
