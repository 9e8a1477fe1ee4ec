"""The data commands: tables for people, JSON for machines, exit codes for scripts, and the how-to's own commands."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.data import app
from quantum_trader.app.runs.replay import Run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings
from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.store import list_store

ROOT = Path(__file__).resolve().parents[2]
T0_MS = 1_704_067_200_000


def _server_module() -> ModuleType:
    found = importlib.util.spec_from_file_location("binance_server", ROOT / "tests" / "market" / "binance_server.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


SERVER = _server_module()


def call(*arguments: str) -> Result:
    """Run one data command."""
    return CliRunner().invoke(app, list(arguments))


def answer(result: Result) -> Any:
    """The JSON a command printed."""
    return json.loads(result.stdout)


def long_bars(path: Path, hours: int) -> Path:
    """Forty bars of *hours* hours in the archive's form."""
    rows = [f"{T0_MS + number * hours * 3_600_000},10,12,9,11,5,0,0,0,0,0,0" for number in range(40)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def csv_file(path: Path, bad: bool = False) -> Path:
    """Four minutes of bars in the archive's form; the third is crossed when *bad*."""
    highs = [12, 12, 1 if bad else 12, 12]
    rows = [f"{T0_MS + minute * 60_000},10,{high},9,11,5,0,0,0,0,0,0" for minute, high in enumerate(highs)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def server() -> Iterator[Any]:
    """A venue on loopback with an archive of January and two days of February 2024."""
    with SERVER.BinanceServer() as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            for kind in ("klines", "markPriceKlines"):
                path = f"monthly/{kind}/{symbol}/1h/{symbol}-1h-2024-01.zip"
                running.publish_klines(path, T0_MS, 31 * 24, SERVER.LENGTHS["1h"])
            rows = [f"{T0_MS + number * SERVER.FUNDING_MS},8,0.0001" for number in range(93)]
            header = "calc_time,funding_interval_hours,last_funding_rate"
            running.publish(f"monthly/fundingRate/{symbol}/{symbol}-fundingRate-2024-01.zip", [header, *rows])
        yield running


def test_bundled_bars_are_listed_and_clean() -> None:
    """Without a folder the bundled bars are meant; check finds their gaps and no fault."""
    listed = answer(call("list", "--json"))
    assert listed["store"] == "bundled"
    assert [one["rows"] for one in listed["series"]] == [35_019, 34_995, 35_011, 34_989, 34_991]
    result = call("check", str(ROOT / "src" / "quantum_trader" / "data"))
    assert result.exit_code == 0
    assert "EOSUSDT 30m: 10 bars missing between 2019-01-07T10:00:00Z and 2019-01-07T15:30:00Z" in result.stdout


def test_import_then_check_then_list(tmp_path: Path) -> None:
    """A file goes in, is found clean, and is listed."""
    store = str(tmp_path / "store")
    path = csv_file(tmp_path / "BTCUSDT-1m-2024-01.csv")
    done = answer(call("import", str(path), "--out", store, "--json"))
    assert [(one["symbol"], one["added"]) for one in done["series"]] == [("BTCUSDT", 4)]
    assert answer(call("check", store, "--json"))["bad_rows"] == 0
    assert answer(call("list", store, "--json"))["series"][0]["rows"] == 4
    assert "BTCUSDT bars 1m" in call("list", store).stdout


@pytest.mark.parametrize(("interval", "hours"), [("4h", 4), ("1d", 24)])
def test_bars_that_no_run_takes_are_named_where_they_are_imported_and_checked(
    tmp_path: Path, interval: str, hours: int
) -> None:
    """With the intervals that runs take; a run refuses them with the same sentence."""
    store = str(tmp_path / "store")
    path = str(long_bars(tmp_path / f"BTCUSDT-{interval}-2024-01.csv", hours))
    expected = f"no run takes bars of {interval}: runs take bars of 1m, 3m, 5m, 15m, 30m, 1h"
    for words in (("check", path), ("import", path, "--out", store), ("check", store)):
        (notice,) = answer(call(*words, "--json"))["notices"]
        assert notice.startswith(expected)
        assert f"note: {expected}" in call(*words).stdout

    with pytest.raises(ConfigError, match=f"--bars {interval}: {expected}"):
        Run(RunSettings(data=DataSettings(path=store)), RunOptions())
    assert answer(call("check", str(csv_file(tmp_path / "BTCUSDT-1m-2024-01.csv")), "--json"))["notices"] == []


def test_a_download_of_bars_that_no_run_takes_says_so(tmp_path: Path, server: Any) -> None:
    """It is made all the same: `model check` can use them."""
    running, out = server, str(tmp_path / "store")
    running.publish_klines(
        "monthly/klines/BTCUSDT/4h/BTCUSDT-4h-2024-01.zip", T0_MS, 31 * 6, 4 * SERVER.LENGTHS["1h"]
    )
    words = ["download", "--symbols", "BTCUSDT", "--from", "2024-01-01", "--to", "2024-01-31", "--interval", "4h",
             "--mark", "none", "--no-funding", "--base-url", running.url, "--out", out]
    said = call(*words).stdout

    assert "note: no run takes bars of 4h" in said
    assert "Use it" not in said
    assert answer(call(*words, "--json"))["notices"][0].startswith("no run takes bars of 4h")


def test_bad_bars_exit_with_one_and_are_named(tmp_path: Path) -> None:
    """check and import both tell the row; only --drop-bad imports, and lists what it left out."""
    store = str(tmp_path / "store")
    path = str(csv_file(tmp_path / "BTCUSDT-1m-2024-01.csv", bad=True))
    checked = call("check", path)
    assert checked.exit_code == 1
    assert "row 3 (2024-01-01T00:02:00Z): high = 1.0: high below low" in checked.stdout
    refused = call("import", path, "--out", store)
    assert refused.exit_code == 1
    assert "Nothing was imported" in refused.stderr
    assert not (tmp_path / "store").exists()
    assert "error" in answer(call("import", path, "--out", store, "--json"))
    dropped = call("import", path, "--out", store, "--drop-bad")
    assert dropped.exit_code == 0
    assert f"left out: {path}: row 3" in dropped.stdout
    assert list_store(tmp_path / "store")[0].rows == 3


UNUSABLE = [
    (["list", "nowhere"], "there is no such folder"),
    (["check", "nowhere.csv"], "there is no such file"),
    (["check", "nope"], "nope: there is no such file or folder"),
    (["import", "nope", "--out", "x"], "nope: there is no such file or folder"),
    (["download", "--symbols", "BTCUSDT", "--from", "soon", "--out", "x"], "'soon' is no time"),
    (["download", "--symbols", ",", "--from", "2024-01-01", "--out", "x"], "symbols = ()"),
    (["download", "--symbols", "A", "--from", "2024-01-01", "--out", "x", "--interval", "7m"], "'7m' is not known"),
    (["download", "--symbols", "A", "--from", "2999-01-01", "--out", "x"], "2999"),
]


@pytest.mark.parametrize(("arguments", "message"), UNUSABLE, ids=lambda value: str(value)[:30])
def test_unusable_arguments_exit_with_two(arguments: list[str], message: str) -> None:
    """What was given and what to do, on stderr or as JSON, never a traceback."""
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert message in answer(call(*arguments, "--json"))["error"]


@pytest.mark.parametrize("command", ["download", "import", "check", "list"])
def test_every_command_and_option_has_help(command: str) -> None:
    """--help works on each and explains each option."""
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "--json" in result.stdout


def _documented() -> list[str]:
    text = (ROOT / "docs" / "how-to-data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("quantum-trader data ")]


def test_the_how_to_works_as_written(tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of docs/how-to-data.md succeeds, downloads pointed at the loopback venue."""
    monkeypatch.chdir(tmp_path)
    csv_file(tmp_path / "BTCUSDT-1m-2024-01.csv")
    csv_file(tmp_path / "broken.csv", bad=True)
    rows = "1704067200,1,1,1,1,1\n1704067260,1,1,1,1,1\n"
    (tmp_path / "prices.csv").write_text(f"time,open,high,low,close,volume\n{rows}", "utf-8")
    futures = tmp_path / "user_data" / "data" / "binance" / "futures"
    futures.mkdir(parents=True)
    dates = pl.Series([T0_MS, T0_MS + 300_000]).cast(pl.Datetime("ms", "UTC"))
    ones = [1.0, 1.0]
    pl.DataFrame(
        {"date": dates, "open": ones, "high": ones, "low": ones, "close": ones, "volume": ones}
    ).write_ipc(futures / "SOL_USDT_USDT-5m-futures.feather")
    commands = _documented()
    assert len(commands) == 10
    for line in commands:
        arguments = shlex.split(line)[2:]
        result = call(*arguments, *(["--base-url", server.url] if arguments[0] == "download" else []))
        assert result.exit_code == 0, f"{line}\n{result.output}"
    rows = {(one.kind, one.interval, one.symbol): one.rows for one in list_store(tmp_path / "my_data")}
    assert rows[("bars", "1h", "ETHUSDT")] == rows[("mark", "1h", "BTCUSDT")] == 744
    assert rows[("bars", "5m", "BTCUSDT")] == 576
    assert rows[("bars", "5m", "SOLUSDT")] == 2
    assert rows[("funding", "", "BTCUSDT")] == 93
