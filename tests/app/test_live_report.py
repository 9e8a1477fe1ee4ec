"""The report of a live session: result, drawdown and trades as the folder holds them, also after a kill."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.app.test_report import read
from tests.properties.live_road import live_run
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.report.live import build_live_report, live_page
from quantum_trader.app.report.trades import recorded_closes, recorded_trades
from quantum_trader.app.runs.live import LiveRun
from quantum_trader.app.runs.live_history import LiveHistory
from quantum_trader.app.runs.status import folder_status, write_status
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import OrderSide
from quantum_trader.domain.trading import Fill
from quantum_trader.live.inputs import (
    BarsReceived,
    MoneyTransferred,
    OperatorRequestReceived,
    SessionStarted,
    VenueEventReceived,
)

MINUTE = 60_000_000_000
START = 1_700_006_400_000_000_000 // NS_PER_HOUR * NS_PER_HOUR
NOW = START + 400 * MINUTE


def bar(live: LiveRun, minute: int, price: float) -> None:
    """One bar of each symbol."""
    rows = np.array([[price, price, price, price, 100.0], [1_000.0, 1_000.0, 1_000.0, 1_000.0, 100.0]])
    ts_ns = START + minute * MINUTE
    live.session.apply(BarsReceived(
        ts_ns=ts_ns, received_ns=ts_ns + MINUTE, ohlcv=rows.tobytes(), present=np.ones(2, dtype=np.bool_).tobytes(),
    ))


def by_hand(live: LiveRun, number: int, side: OrderSide, price: float) -> None:
    """A person buys or sells a tenth of a unit at the venue."""
    live.session.apply(VenueEventReceived.of(Fill(
        fill_id=f"BTCUSDT-{number}", symbol="BTCUSDT", side=side, qty=0.1, price=price,
        client_order_id=f"hand-{number}", fee=1.0, liquidity="taker", ts_ns=live.engine.now_ns,
    )))


def trade(live: LiveRun) -> None:
    """A session of an hour and a half: a trade that wins 100 less its fees, a withdrawal, an open position, a halt."""
    live.session.apply(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    for minute in range(30):
        bar(live, minute, 10_000.0)
    by_hand(live, 1, OrderSide.BUY, 10_000.0)
    bar(live, 30, 9_000.0)  # 100 below: -1 %
    bar(live, 31, 11_000.0)
    by_hand(live, 2, OrderSide.SELL, 11_000.0)
    bar(live, 32, 11_000.0)
    live.session.apply(MoneyTransferred(ts_ns=live.engine.now_ns, amount=-5_000.0))
    by_hand(live, 3, OrderSide.SELL, 11_000.0)
    for minute in range(33, 90):
        bar(live, minute, 10_900.0)
    live.session.apply(OperatorRequestReceived(ts_ns=live.engine.now_ns, action="halt", reason="news", actor="me"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A live folder after the session, with a checkpoint and a status."""
    with live_run(tmp_path, on_foreign=("adopt", "t")) as live:
        trade(live)
        assert live.session.checkpoint()
        write_status(tmp_path, live.status(live.driver.health()))
    return tmp_path


def test_the_result_leaves_transfers_out(folder: Path) -> None:
    """98 of the first trade and 10 less a fee open; the 5,000 taken out are no loss, and the drawdown is 1 %."""
    found = folder_status(folder, NOW).result

    assert found is not None
    assert found.moved == -5_000.0
    assert found.profit == pytest.approx(100.0 - 2.0 + 10.0 - 1.0)
    assert found.deepest_drawdown_pct == pytest.approx((9_899.0 / 10_000.0 - 1.0) * 100.0)
    assert found.return_pct == pytest.approx(((10_098.0 / 10_000.0) * (5_107.0 / 5_098.0) - 1.0) * 100.0)


def test_status_shows_the_result_and_the_deepest_drawdown(folder: Path) -> None:
    """As one line; from the checkpoint too, where there is no status file."""
    for _ in range(2):
        told = CliRunner().invoke(app, ["status", "--state", str(folder)]).stdout
        assert "result       +107.00 USDT (+1.16 %)" in told
        assert "-5,000.00 USDT paid in or out left out" in told
        assert "deepest -1.01 %" in told
        (folder / "status.json").unlink(missing_ok=True)


def test_after_a_kill_the_history_is_the_same(tmp_path: Path) -> None:
    """Inputs since the checkpoint are taken again, and with them bars and transfers."""
    for name, kept in (("whole", True), ("killed", False)):
        (tmp_path / name).mkdir()
        with live_run(tmp_path / name, on_foreign=("adopt", "t")) as live:
            trade(live)
            if kept:
                expected = live.records.history.state()
    with live_run(tmp_path / "killed", on_foreign=("adopt", "t")) as live:
        assert live.recover() > 0
        assert live.records.history.state() == expected


def test_the_report_of_a_live_folder_has_every_part(folder: Path) -> None:
    """Result, models, sources, positions, halts, trades on the price: one well-formed page without addresses."""
    report = build_live_report(folder, NOW)
    reader = read(live_page(report))

    assert reader.open == []
    assert reader.addresses == []
    for part in ("Results by model", "Results by source", "Open positions", "Halts", "Trades on the price", "Drawdown"):
        assert part in " | ".join(reader.headings)
    assert [(row["name"], row["count"]) for row in report["tables"]["per_source"]] == [("adopted", 1)]
    assert [(row["symbol"], row["side"], row["model"]) for row in report["positions"]] == [
        ("BTCUSDT", "SHORT", "adopted")
    ]
    assert report["positions"][0]["unrealised"] == pytest.approx(10.0)
    assert [(halt["kind"], halt["cleared"]) for halt in report["halts"] if halt["kind"] == "operator"] == [
        ("operator", None)
    ]


def test_the_report_command_works_on_a_live_folder(folder: Path, tmp_path: Path) -> None:
    """Page and trades, without a change of the folder's own files."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    page, table = tmp_path / "page.html", tmp_path / "trades.csv"
    told = CliRunner().invoke(app, ["report", "--state", str(folder), "--out", str(page), "--trades", str(table)])

    assert told.exit_code == 0, told.output
    assert "Live report" in page.read_text()
    rows = list(csv.DictReader(table.open()))
    assert [(row["symbol"], row["side"], row["source"], row["net_usdt"]) for row in rows] == [
        ("BTCUSDT", "LONG", "adopted", repr(recorded_trades(folder)[0].trade.pnl))
    ]
    assert {path: path.read_bytes() for path in before} == before


def test_prices_of_a_live_report_are_the_recorded_closes(folder: Path) -> None:
    """One a bar, at its close."""
    ts_ns, closes = recorded_closes(folder, ["BTCUSDT"])["BTCUSDT"]

    assert ts_ns.tolist() == [START + (minute + 1) * MINUTE for minute in range(90)]
    assert closes[29:33].tolist() == [10_000.0, 9_000.0, 11_000.0, 11_000.0]


def test_a_start_that_got_nowhere_has_a_report_too(tmp_path: Path) -> None:
    """No checkpoint, no status, no trades: unknown is shown as unknown."""
    with live_run(tmp_path):
        pass
    page = live_page(build_live_report(tmp_path, NOW))

    assert read(page).open == []
    assert "not known yet" in page
    assert "No trades were closed." in page


def test_a_transfer_told_late_is_no_drawdown() -> None:
    """Taken for a loss of 30 % at first; once it is explained, the deepest drawdown is again the 2 % of before."""
    history = LiveHistory()
    for hour, equity in enumerate((100.0, 98.0, 100.0)):
        history.note(START + hour * NS_PER_HOUR, equity, 0.0)
    history.doubt()
    history.note(START + 3 * NS_PER_HOUR, 70.0, 0.0)
    assert history.result(70.0, 0.0).deepest_drawdown_pct == pytest.approx(-30.0)  # type: ignore[union-attr]

    history.take_transfer(70.0, -30.0, late=True)
    history.note(START + 4 * NS_PER_HOUR, 70.0, -30.0)
    found = history.result(70.0, -30.0)

    assert found is not None
    assert (found.profit, found.moved) == (0.0, -30.0)
    assert found.return_pct == pytest.approx(0.0)
    assert found.deepest_drawdown_pct == pytest.approx(-2.0)
