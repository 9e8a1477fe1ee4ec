"""Unmodified freqtrade trades on the local venue for an hour of recorded time, in dry-run and in live mode.

freqtrade uses the computer's clock, so it runs under libfaketime in recorded time at the venue's speed. Everything
else is configuration.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.clients.environment import environment
from tests.clients.serving import START_NS, WALLET, Served, minutes, serve

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND, iso
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.exchange import Exchange
from quantum_trader.venues.local.limits import LimitSettings
from quantum_trader.venues.local.server import ServerSettings

HERE = Path(__file__).resolve().parent / "freqtrade"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to-local-venue.md"
SPEED = 30.0
FIRST = 7 * 60 + 40  # the hour plays from 07:40, with a funding at 08:00 in it
MINUTES = FIRST + 150
STARTED_WITHIN_S = 120.0
HALF_SPREAD = 1.1e-4
LIMITS = LimitSettings(weight_1m=2_400 * int(SPEED), orders_1m=1_200 * int(SPEED), orders_10s=300 * int(SPEED))


def market() -> list[float]:
    """Return closes relative to the base: small waves, and every twelve minutes a step of 0.8 % up or down again.

    The step falls into the minute between entry and exit, so that the stop of one position is hit and no exit races it;
    and not at 08:00: freqtrade asks for the funding of a position only while it holds it.
    """
    when = np.arange(MINUTES)
    steps = np.where(((when - 4) // 12) % 2 == 0, 0.008, 0.0)
    return list(1.0 + steps + 0.0005 * np.sin(when * 2 * np.pi / 7))


def documented() -> dict[str, Any]:
    """The configuration that the guide shows."""
    (block,) = re.findall("```json\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    found: dict[str, Any] = json.loads(block)
    return found


def configuration(
    served: Served, folder: Path, *, dry_run: bool, strategy: str = "Often", path: Path = HERE
) -> Path:
    """Write freqtrade's configuration: that of the guide, with this venue's address and keys."""
    key = served.venue.keys[0]
    written = folder / "config.json"
    config = documented()
    config |= {
        "dry_run": dry_run, "dry_run_wallet": WALLET, "timeframe": "1m", "strategy": strategy,
        "db_url": f"sqlite:///{folder / 'trades.sqlite'}", "user_data_dir": str(folder), "strategy_path": str(path),
        "internals": {"process_throttle_secs": 1},
    }
    config["exchange"] |= {
        "key": key.key, "secret": key.secret, "ccxt_config": {"urls": {"api": served.venue.ccxt_urls()}},
        "ccxt_async_config": {"enableRateLimit": False}, "ccxt_sync_config": {"enableRateLimit": False},
    }
    written.write_text(json.dumps(config))
    written.chmod(0o600)
    return written


def clock_of(python: Path, served: Served) -> dict[str, str]:
    """Return the environment that gives a process the venue's time, at the venue's speed."""
    (library,) = python.parent.parent.glob("lib/python3*/site-packages/libfaketime/vendor/libfaketime/src/*.so.1")
    now = served.ask(lambda exchange: exchange.now_ns)
    moment = iso(now // NS_PER_SECOND * NS_PER_SECOND).replace("T", " ").rstrip("Z")
    return {
        "LD_PRELOAD": str(library), "FAKETIME": f"@{moment} x{SPEED:g}", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "UTC", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"),
    }


def trade_for_an_hour(python: Path, served: Served, folder: Path, config: Path, more: dict[str, str]) -> str:
    """Run freqtrade for an hour of recorded time from when it trades, and stop it; return its log."""
    log = folder / "log.txt"
    never = threading.Event()
    with log.open("w") as output, subprocess.Popen(
        [str(python.parent / "freqtrade"), "trade", "--config", str(config)], cwd=folder,
        env={**clock_of(python, served), **more}, stdout=output, stderr=subprocess.STDOUT,
    ) as process:
        try:
            deadline = time.monotonic() + STARTED_WITHIN_S
            while "state to: RUNNING" not in log.read_text():
                assert process.poll() is None, log.read_text()[-4_000:]
                assert time.monotonic() < deadline, log.read_text()[-4_000:]
                never.wait(0.2)
            end_ns = served.ask(lambda exchange: exchange.now_ns) + NS_PER_HOUR
            while (rest_ns := end_ns - served.ask(lambda exchange: exchange.now_ns)) > 0:
                assert process.poll() is None, log.read_text()[-4_000:]
                never.wait(min(1.0, rest_ns / NS_PER_SECOND / SPEED))
            process.send_signal(signal.SIGINT)
            process.wait(60.0)
        finally:
            process.kill()
            process.wait()
    return log.read_text()


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    """Read freqtrade's own records."""
    base = sqlite3.connect(f"file:{folder / 'trades.sqlite'}?mode=ro", uri=True)
    try:
        base.row_factory = sqlite3.Row
        return [dict(row) for row in base.execute(query)]
    finally:
        base.close()


def hour(folder: Path, *, dry_run: bool) -> tuple[str, Exchange, Counter[str]]:
    """Trade for an hour; return the log, the exchange as it stands then, and the requests not answered with 200."""
    python = environment(HERE / "requirements.txt")
    settings = ServerSettings(
        server_clock="market", tick_s=0.02,  # limits count by the wall's minutes, which hold SPEED of the market's
        limits=LIMITS,
    )
    with serve(
        minutes(market()), settings=settings, clock=MarketClock(SPEED), start_ns=START_NS + FIRST * NS_PER_MINUTE,
    ) as served:
        config = configuration(served, folder, dry_run=dry_run)
        log = trade_for_an_hour(python, served, folder, config, {})
    return log, served.venue.exchange, served.unanswered


@pytest.mark.long
def test_freqtrade_trades_dry(tmp_path: Path) -> None:
    """In dry-run it opens and closes long and short at the venue's prices by its own book, and sends no order."""
    log, exchange, unanswered = hour(tmp_path, dry_run=True)
    closed = rows(tmp_path, "select * from trades where is_open = 0")

    assert len(closed) >= 10, log[-4_000:]
    assert {bool(trade["is_short"]) for trade in closed} == {True, False}
    assert (exchange.orders, exchange.algos, exchange.trades) == ({}, {}, [])
    assert unanswered == {}
    tape = exchange.tape
    for trade in closed:
        opened = datetime.fromisoformat(trade["open_date"]).replace(tzinfo=UTC).timestamp() * NS_PER_SECOND
        row, column = tape.row_at(int(opened)), tape.index[trade["pair"].replace("/USDT:USDT", "USDT")]
        low, high = tape.ohlcv[row - 1 : row + 1, column, 2].min(), tape.ohlcv[row - 1 : row + 1, column, 1].max()
        assert low * (1 - HALF_SPREAD) <= trade["open_rate"] <= high * (1 + HALF_SPREAD), trade


@pytest.mark.long
def test_freqtrade_trades_live(tmp_path: Path) -> None:
    """In live mode its orders, its stops at the exchange, its fundings and its profit are the venue's, one for one."""
    log, exchange, unanswered = hour(tmp_path, dry_run=False)
    closed = rows(tmp_path, "select * from trades where is_open = 0")
    still = rows(tmp_path, "select * from trades where is_open = 1")
    sent = rows(tmp_path, "select * from orders")

    assert len(closed) >= 10, log[-4_000:]
    assert {bool(trade["is_short"]) for trade in closed} == {True, False}
    # -4046 (margin type is what it should be) is Binance's answer, which freqtrade expects; nothing else was refused.
    # Their time runs fast: on a busy machine a reading may come too late for its recvWindow, and is asked again.
    late = {one for one in unanswered if one.startswith("GET ") and one.endswith(" 400 -1021")}
    assert set(unanswered) - late <= {"POST /fapi/v1/marginType 400 -4046"}

    regular = {int(row["order_id"]): row for row in sent if row["ft_order_side"] != "stoploss"}
    stops = {int(row["order_id"]): row for row in sent if row["ft_order_side"] == "stoploss"}
    triggered = {algo.actual_id for algo in exchange.algos.values() if algo.actual_id}
    assert set(regular) == set(exchange.orders) - triggered
    assert set(stops) == set(exchange.algos)
    for order_id, row in regular.items():
        held = exchange.orders[order_id]
        assert (row["status"], row["side"].upper()) == ("closed", held.ticket.side)
        assert row["filled"] == pytest.approx(held.filled)
        assert row["average"] == pytest.approx(held.average, rel=1e-6)

    assert {row["ft_trade_id"] for row in stops.values()} == {trade["id"] for trade in (*closed, *still)}
    by_stop = [trade for trade in closed if trade["exit_reason"] == "stoploss_on_exchange"]
    assert by_stop, "the market steps through the stop of one position every twelve minutes"
    assert len(triggered) == len(by_stop)
    assert len(exchange.open_algos()) == len(still)

    # What it counts as earned is what the wallet gained, but for the fees of what is still open.
    paid = {trade.order_id: trade.fee for trade in exchange.trades}
    open_fees = sum(paid[int(row["order_id"])] for row in sent
                    if row["ft_trade_id"] in {trade["id"] for trade in still} and int(row["order_id"]) in paid)
    earned = sum(trade["close_profit_abs"] for trade in closed)
    assert exchange.account.wallet == pytest.approx(WALLET + earned - open_fees, abs=1e-4)
    funding = [line.amount for line in exchange.account.income if line.kind == "FUNDING_FEE"]
    assert funding, "both positions are open at 08:00"
    assert sum(trade["funding_fees"] or 0.0 for trade in closed) == pytest.approx(sum(funding), abs=1e-6)
    for symbol, index in exchange.index.items():
        amounts = [(-1 if trade["is_short"] else 1) * trade["amount"] for trade in still
                   if trade["pair"].startswith(symbol.removesuffix("USDT"))]
        assert exchange.account.holding(index).qty == pytest.approx(sum(amounts))
