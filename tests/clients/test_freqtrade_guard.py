"""The guard inside an unmodified freqtrade: backtests of two years of bars, guards that fail, and dry-run.

The backtests trade the bundled bars; freqtrade learns the markets from the local venue.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.clients.environment import ROOT, environment
from tests.clients.serving import SCRIPTS, START_NS, Served, minutes, serve
from tests.clients.test_freqtrade import FIRST, HERE, LIMITS, SPEED, configuration, market, rows, trade_for_an_hour
from tools.make_wheels import POLICY, build

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.server import ServerSettings

EXAMPLES = ROOT / "examples"
PAIRS = {"BTCUSDT": "BTC/USDT:USDT", "ETHUSDT": "ETH/USDT:USDT"}
GUARDS = HERE.parent / "freqtrade_guard"
WHOLE, PART = "20171015-20190925", "20190301-20190501"
FAILING = ("FailingLoop", "FailingStake", "FailingConfidence")


def guarded_environment(source: Path = ROOT / "src") -> dict[str, str]:
    """Return what freqtrade needs to find the guard, in *source*, and the example."""
    return {
        "PYTHONPATH": os.pathsep.join(map(str, (source, EXAMPLES, HERE))), "PATH": os.environ["PATH"],
        "TZ": "UTC", "HOME": os.environ.get("HOME", "/"), "ORCH_PROFILE": "SAFE",
    }


def write_candles(python: Path, folder: Path) -> None:
    """Write two years of hourly bars as freqtrade's data files."""
    for symbol, pair in PAIRS.items():
        bars = pl.read_parquet(ROOT / "src" / "quantum_trader" / "data" / "bars_30m" / f"{symbol}.parquet")
        hourly = bars.sort("ts").group_by_dynamic("ts", every="1h").agg(
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
            pl.col("volume").sum(),
        )
        csv = folder / f"{symbol}.csv"
        hourly.with_columns(pl.col("ts").dt.epoch("ns")).write_csv(csv)
        subprocess.run([str(python), str(SCRIPTS / "freqtrade_candles.py"), str(csv), str(folder), pair], check=True)


def backtest(
    python: Path, config: Path, folder: Path, span: str, strategies: tuple[str, ...], source: Path = ROOT / "src"
) -> tuple[dict[str, Any], str]:
    """Run freqtrade's backtest of *strategies*; return the trades of each, and the log."""
    done = subprocess.run(
        [str(python.parent / "freqtrade"), "backtesting", "--config", str(config), "--strategy-list", *strategies,
         "--strategy-path", str(GUARDS), "--timeframe", "1h", "--cache", "none", "--export", "trades",
         "--timerange", span],
        cwd=folder, env=guarded_environment(source), capture_output=True, text=True, timeout=1_500, check=False,
    )
    log = re.sub(r"\s*\n\s*", " ", done.stdout + done.stderr)  # freqtrade wraps its lines
    assert done.returncode == 0, log[-6_000:]
    results = max((folder / "backtest_results").glob("backtest-result-*.zip"), key=lambda path: path.stat().st_mtime)
    with zipfile.ZipFile(results) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".json") and "_config" not in one]
        outcome = json.loads(archive.read(name))
    return {name: outcome["strategy"][name]["trades"] for name in strategies}, log


def backtest_configuration(served: Served, folder: Path) -> Path:
    """Write freqtrade's configuration for backtests: the venue's markets, orders at the candle's open."""
    path = configuration(served, folder, dry_run=True)
    settings = json.loads(path.read_text())
    del settings["strategy"], settings["order_types"]
    book = {"price_side": "same", "use_order_book": True, "order_book_top": 1}
    settings |= {
        "stake_amount": "unlimited", "timeframe": "1h", "dataformat_ohlcv": "feather", "max_open_trades": 10,
        "entry_pricing": book, "exit_pricing": book,
    }
    path.write_text(json.dumps(settings))
    return path


def told(trades: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what two backtests are compared by."""
    return [(one["pair"], one["open_date"], one["stake_amount"], one["profit_abs"]) for one in trades]


@pytest.mark.long
def test_a_guarded_strategy_trades_on_after_losing_streaks(tmp_path: Path) -> None:
    """Two years of bars with many losing streaks: trades in every quarter."""
    python = environment(HERE / "requirements.txt")
    write_candles(python, tmp_path)
    with serve(minutes([1.0] * 60)) as served:
        trades, _ = backtest(python, backtest_configuration(served, tmp_path), tmp_path, WHOLE, ("Guarded",))
    quarters = {(one["open_date"][:4], (int(one["open_date"][5:7]) - 1) // 3) for one in trades["Guarded"]}
    assert len(quarters) == 8
    assert len(trades["Guarded"]) > 100


@pytest.mark.long
def test_a_second_backtest_is_the_first_and_a_guard_that_fails_trades_nothing(tmp_path: Path) -> None:
    """No state is left on disk, and no fault becomes consent: without a guard the same entries are many trades."""
    python = environment(HERE / "requirements.txt")
    write_candles(python, tmp_path)
    with serve(minutes([1.0] * 60)) as served:
        config = backtest_configuration(served, tmp_path)
        trades, log = backtest(python, config, tmp_path, PART, ("Unguarded", "Guarded", *FAILING))
        again, _ = backtest(python, config, tmp_path, PART, ("Guarded",))
    assert len(trades["Unguarded"]) > len(trades["Guarded"]) > 0
    assert told(again["Guarded"]) == told(trades["Guarded"])
    assert {name: len(trades[name]) for name in FAILING} == dict.fromkeys(FAILING, 0)
    for reason in ("No space left on device", "could not convert string to float", "the guard failed: 'ETH/USDT:USDT'"):
        assert reason in log
    assert not list(tmp_path.glob("policy*"))


@pytest.mark.long
def test_the_guard_runs_from_the_small_package(tmp_path: Path) -> None:
    """freqtrade with quantum-trader-policy beside it, and nothing else of this program, makes the same trades."""
    python, site = environment(HERE / "requirements.txt"), tmp_path / "site"
    with zipfile.ZipFile(build(POLICY, tmp_path / "dist")) as wheel:
        wheel.extractall(site)
    write_candles(python, tmp_path)
    with serve(minutes([1.0] * 60)) as served:
        config = backtest_configuration(served, tmp_path)
        trades, log = backtest(python, config, tmp_path, PART, ("Guarded",), site)
        whole, _ = backtest(python, config, tmp_path, PART, ("Guarded",))
    assert told(trades["Guarded"]) == told(whole["Guarded"]) != []
    assert "policy guard: profile SAFE" in log
    assert not (site / "quantum_trader" / "app").exists()


@pytest.mark.long
def test_the_guard_runs_in_dry_run_on_the_local_venue(tmp_path: Path) -> None:
    """An hour of dry-run: its state is on disk, and it trades without a fault of the guard."""
    python = environment(HERE / "requirements.txt")
    settings = ServerSettings(server_clock="market", tick_s=0.02, limits=LIMITS)
    with serve(
        minutes(market()), settings=settings, clock=MarketClock(SPEED), start_ns=START_NS + FIRST * NS_PER_MINUTE
    ) as served:
        config = configuration(served, tmp_path, dry_run=True, strategy="GuardedOften", path=GUARDS)
        log = trade_for_an_hour(python, served, tmp_path, config, guarded_environment())
    assert "policy guard: profile SAFE, dry_run" in log
    assert "the guard failed" not in log
    assert "could not be evaluated" not in log
    assert rows(tmp_path, "select * from trades")
    (state,) = tmp_path.glob("policy_GuardedOften_dry_run.json")
    assert json.loads(state.read_text())["profile"] == "SAFE"
