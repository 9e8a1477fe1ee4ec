"""What a newcomer types wrong, and what the answer says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.market import store

START_NS = 1_704_067_200_000_000_000


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "quantum_trader.app.cli.main", *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, encoding="ascii", errors="replace",
    )


@pytest.mark.parametrize(("typed", "called"), [("backtest", "run"), ("hyperopt", "sweep"), ("trade", "live")])
def test_commands_of_other_programs_get_a_hint(typed: str, called: str) -> None:
    """`backtest` is called `run` here."""
    result = call(typed, "--strategy", "X")
    assert result.returncode == 2
    assert f"'{typed}' is called `quantum-trader {called}` here" in result.stderr


def test_a_report_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The answer says that the folder is missing, not that a run should be resumed."""
    result = call("report", "--state", str(tmp_path / "nope"))
    assert result.returncode == 2
    assert "there is no such folder; a run makes it" in result.stderr


def test_config_check_knows_the_section_live(tmp_path: Path) -> None:
    """The known sections are all listed, also where the nearest one is not close."""
    file = tmp_path / "c.toml"
    file.write_text("[quux]\na = 1\n", encoding="utf-8")
    result = call("config", "check", str(file))
    assert result.returncode == 2
    assert result.stderr.rstrip().endswith("engine, gates, pilot, models, live")


@pytest.mark.parametrize("command", [["policy", "rules"], ["profile", "show", "SAFE"], ["data", "list"]])
def test_a_terminal_without_unicode_gets_text(command: list[str]) -> None:
    """A character that it cannot show is replaced; there is no traceback."""
    result = call(*command, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_bars_that_were_never_traded_are_named(tmp_path: Path) -> None:
    """A store whose volume is 0 in every bar has no market; the message says so and what to do."""
    ts = START_NS + np.arange(500) * 3_600_000_000_000
    store.write_series(tmp_path, "1h", "ODDUSDT", ts, np.tile([1.0, 1.0, 1.0, 1.0, 0.0], (500, 1)))
    result = call("run", "--data", str(tmp_path))
    assert result.returncode == 2
    assert "ODDUSDT: no bar was traded (volume 0 in every one)" in result.stderr


def test_half_a_symbol_gets_the_whole_one() -> None:
    """BTC is no symbol of the bundled bars; BTCUSDT is."""
    result = call("run", "--symbols", "BTC")
    assert result.returncode == 2
    assert "no bars of BTC (did you mean BTCUSDT?)" in result.stderr


@pytest.mark.parametrize("text", ["btcusdt", "BTC/USDT:USDT", "BINANCE:BTCUSDT.P", "BTC_USDT_USDT"])
def test_symbols_of_other_programs_are_taken_on_the_command_line(text: str) -> None:
    """The settings in force hold the venue's spelling."""
    result = call("config", "show", "--symbols", text)
    assert result.returncode == 0, result.stderr
    assert 'symbols = ["BTCUSDT"]' in result.stdout


def test_symbols_in_a_file_are_written_as_the_venue_writes_them(tmp_path: Path) -> None:
    """The message names the key, the value and the right spelling."""
    file = tmp_path / "c.toml"
    file.write_text('[data]\nsymbols = ["BTC/USDT:USDT"]\n', encoding="utf-8")
    result = call("config", "check", str(file))
    assert result.returncode == 2
    assert "data.symbols: 'BTC/USDT:USDT' is not how the exchange writes it; write 'BTCUSDT'" in result.stderr
