"""``live --plan`` says what a start would do, refusals included; exit code 0 only where a start would go."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live_settings import bind_folder, load_live_settings
from quantum_trader.app.runs.sole_trader import other_trader, sole_trader
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.venues.binance.keys import ApiKeys, Secret

PLAN = ["live", "--plan"]
LOCAL = [*PLAN, "--mode", "LOCAL", "--address", "http://127.0.0.1:8080", "--symbols", "BTCUSDT"]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QT_LOCAL_KEY", "QT_LOCAL_SECRET", "QT_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)


def invoke(*words: str) -> Result:
    """Run one command."""
    return CliRunner().invoke(app, list(words))


def test_a_plan_without_keys_is_printed_and_says_that_keys_are_missing(tmp_path: Path) -> None:
    """The whole plan, the names of the settings to set, and exit code 1: a start would be refused."""
    result = invoke(*LOCAL, "--state", str(tmp_path / "state"))
    assert result.exit_code == 1
    assert "mode         LOCAL" in result.output
    assert "keys         missing" in result.output
    assert "REFUSED      keys missing: no keys for local: set QT_LOCAL_KEY and QT_LOCAL_SECRET" in result.output


def test_a_start_without_keys_is_still_refused(tmp_path: Path) -> None:
    """Only the plan goes on without keys."""
    result = invoke("live", *LOCAL[2:], "--state", str(tmp_path / "state"))
    assert result.exit_code == 2
    assert "no keys for local" in result.output


def test_a_plan_on_a_folder_of_another_kind_says_what_the_start_says(tmp_path: Path) -> None:
    """A replay's folder: the plan names the refusal and ends with exit code 1, in JSON too."""
    (tmp_path / "checkpoint").write_bytes(b"x")
    result = invoke(*PLAN, "--state", str(tmp_path))
    assert result.exit_code == 1
    assert f"REFUSED      --state {tmp_path}: holds a replay" in result.output
    told = invoke(*PLAN, "--json", "--state", str(tmp_path))
    assert told.exit_code == 1
    assert "holds a replay" in msgspec.json.decode(told.output)["refusals"][0]


def test_a_plan_on_a_folder_that_trades_something_else_is_refused(tmp_path: Path) -> None:
    """Other symbols than the folder's."""
    bind_folder(tmp_path, load_live_settings(None, {"symbols": (["ETHUSDT"], "--symbols")}).live)
    result = invoke(*PLAN, "--symbols", "BTCUSDT", "--state", str(tmp_path))
    assert result.exit_code == 1
    assert "trades with symbols = ETHUSDT, now BTCUSDT" in result.output


def test_a_plan_on_a_folder_that_a_process_holds_is_refused(tmp_path: Path) -> None:
    """In the words of the start; once the process has ended the same plan would go."""
    held = StateDir(tmp_path)
    try:
        result = invoke(*PLAN, "--state", str(tmp_path))
    finally:
        held.close()
    assert result.exit_code == 1
    assert f"REFUSED      --state {tmp_path}: another run is using this folder" in result.output
    assert invoke(*PLAN, "--state", str(tmp_path)).exit_code == 0


def test_a_plan_of_a_start_that_would_go_ends_with_zero(tmp_path: Path) -> None:
    """A dry run in a new folder; nothing is written."""
    result = invoke(*PLAN, "--state", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    assert "REFUSED" not in result.output
    assert not (tmp_path / "new").exists()


def test_a_plan_whose_key_another_folder_trades_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the start would be: exit 1 with the masked key; free again once that process ends."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    keys = ApiKeys("local", Secret("k" * 64), Secret("s" * 64), "environment")
    assert other_trader(keys) == ""
    with sole_trader(keys):
        taken = other_trader(keys)
        monkeypatch.setenv("QT_LOCAL_KEY", "k" * 64)
        monkeypatch.setenv("QT_LOCAL_SECRET", "s" * 64)
        refused = invoke(*LOCAL, "--state", str(tmp_path / "other"))
    assert "another process trades with it" in taken
    assert "k" * 64 not in taken
    assert refused.exit_code == 1
    assert "REFUSED" in refused.output
    assert "another process trades with it" in refused.output
    assert other_trader(keys) == ""


def test_a_plan_on_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """As the start would be; the plan itself changes nothing."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st").chmod(0o777)
    result = invoke(*PLAN, "--state", str(tmp_path / "st"))
    assert result.exit_code == 1
    assert "REFUSED" in result.output
    assert "lets others write it" in result.output
