"""Trades on the price, and trades as a CSV file: every trade is there, and the size of the price line is bounded."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.app.sample import START_NS, STATS, facts, trade
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.report.data import build_report
from quantum_trader.app.report.html import html_report
from quantum_trader.app.report.trade_charts import PRICE_POINTS, SYMBOL_POINTS, chart_trades, extremes, price_lines
from quantum_trader.app.report.trades import TRADE_COLUMNS, SourcedTrade, recorded_trades, trades_csv
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.trading import ClosedTrade


def record(topic: str, trace_id: str, data: object) -> bytes:
    """One record as a run writes it."""
    return msgspec.json.encode({
        "seq": 1, "event_id": "e1", "topic": topic, "trace_id": trace_id, "ts_ns": START_NS, "received_ns": START_NS,
        "source": "engine", "schema": 1, "data": data,
    }) + b"\n"


def folder_of(path: Path, *trades: tuple[ClosedTrade, str]) -> Path:
    """A state folder with the records of *trades*, each with the source of its intent."""
    lines = [
        record("trade.intent", one.trace_id, {"trace_id": one.trace_id, "source": source}) for one, source in trades
    ]
    lines += [record("trade.closed", one.trace_id, one) for one, _ in trades]
    (path / "records.jsonl").write_bytes(b"".join(lines))
    return path


def marks(page: str, style: str) -> list[int]:
    """How many marks of a kind each chart of the page holds."""
    charts = page.split('<details class="trades"', 1)[1]  # behind the legend
    return [shapes.count("M") for shapes in re.findall(rf'<path class="{style}" d="(M[^"]*)"/>', charts)]


def test_every_trade_is_marked_wide_and_narrow() -> None:
    """Entries and exits of 300 trades in two charts of each width, whatever the price line leaves out."""
    run = facts()
    page = html_report(msgspec.json.decode(msgspec.json.encode(build_report(run, STATS))))

    assert sum(marks(page, "held")) == 2 * 300
    assert sum(marks(page, "long")) + sum(marks(page, "short")) == 2 * 300
    won = sum(one.pnl > 0.0 for one in run.trades)
    assert (sum(marks(page, "won")), sum(marks(page, "lost"))) == (2 * won, 2 * (300 - won))


def test_a_stop_is_drawn_at_its_price_for_as_long_as_the_position_was_open() -> None:
    """And none where the first stop is not known."""
    known, unknown = trade(0, 1.0), trade(2, 1.0, stop_price=0.0)
    run = msgspec.structs.replace(facts(days=2, trades=0), trades=[known, unknown])
    page = html_report(msgspec.json.decode(msgspec.json.encode(build_report(run, STATS))))

    assert marks(page, "held") == [2, 2]
    assert chart_trades(run.trades)["BTCUSDT"][1].stop is None


def test_shapes_tell_marks_apart_and_the_legend_names_them() -> None:
    """Not by colour alone."""
    page = html_report(msgspec.json.decode(msgspec.json.encode(build_report(facts(), STATS))))

    for words in ("entry of a long position", "entry of a short position", "exit with a profit", "exit with a loss",
                  "first stop"):
        assert words in page


def test_the_price_line_is_bounded_and_keeps_its_extremes() -> None:
    """20,000 points in all for any number of bars; the highest and the lowest price stay."""
    rng = np.random.default_rng(3)
    ts_ns = START_NS + np.arange(500_000, dtype=np.int64) * NS_PER_HOUR
    prices = {f"S{i}": (ts_ns, 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, ts_ns.size)))) for i in range(10)}
    lines = price_lines(prices)

    assert sum(len(line["ts_s"]) for line in lines.values()) <= PRICE_POINTS * 1.01
    for symbol, (_, values) in prices.items():
        assert max(lines[symbol]["price"]) == pytest.approx(values.max(), rel=1e-6)
        assert min(lines[symbol]["price"]) == pytest.approx(values.min(), rel=1e-6)
    assert len(price_lines({"S0": prices["S0"]})["S0"]["ts_s"]) <= SYMBOL_POINTS + 2


def test_thinning_to_extremes_leaves_short_lines_alone() -> None:
    """Nothing to thin: every value, in order."""
    assert extremes(np.array([3.0, 1.0, 2.0]), 10).tolist() == [0, 1, 2]


def test_a_report_of_an_earlier_version_still_becomes_a_page() -> None:
    """It has no trades in it, so the page has no such charts."""
    report = build_report(facts(), STATS)
    del report["closed_trades"], report["prices"]

    assert "Trades on the price" not in html_report(msgspec.json.decode(msgspec.json.encode(report)))


def test_the_csv_has_one_row_a_trade_with_every_digit(tmp_path: Path) -> None:
    """Times in UTC, units in the headings, the reason in words, the source of the intent."""
    first, second = trade(0, 1.25), trade(1, -1.0, model="MINE")
    folder = folder_of(tmp_path, (first, "ENSEMBLE"), (second, "MINE"))
    target = tmp_path / "trades.csv"
    told = CliRunner().invoke(app, ["report", "--state", str(folder), "--trades", str(target)])
    rows = list(csv.DictReader(target.open()))

    assert told.exit_code == 0, told.output
    assert told.stdout == f"{target}: 2 trades\n"
    assert not (folder / "report.html").exists()
    assert tuple(rows[0]) == TRADE_COLUMNS
    assert rows[0] == {
        "entry_time_utc": "2017-10-01T00:00:00Z", "exit_time_utc": "2017-10-01T06:00:00Z", "symbol": "BTCUSDT",
        "side": "SHORT", "qty_base": "0.1", "entry_price_usdt": "100.0", "exit_price_usdt": "101.25",
        "first_stop_price_usdt": "99.0", "result_r": "1.25", "net_usdt": "12.5", "fees_usdt": "0.5",
        "funding_usdt": "-0.1", "exit_reason": "trailing stop", "model": "ensemble", "source": "ensemble",
        "regime_at_entry": "TRENDING UP NORMAL", "confidence_0_to_1": "0.55", "trace_id": "s0",
    }
    assert (rows[1]["model"], rows[1]["source"], rows[1]["exit_reason"]) == ("MINE", "MINE", "stop-loss")


def test_what_is_not_known_is_an_empty_cell(tmp_path: Path) -> None:
    """An adopted position has no first stop, no R, no confidence; a number that was not finite is recorded as null."""
    adopted = trade(0, 1.0, model="adopted", stop_price=0.0, risk_amount=0.0, r_multiple=0.0, mfe_r=math.nan)
    found = recorded_trades(folder_of(tmp_path, (adopted, "ENSEMBLE")))
    row = dict(zip(TRADE_COLUMNS, next(csv.reader(trades_csv(found).decode().splitlines()[1:])), strict=True))

    assert (row["first_stop_price_usdt"], row["result_r"], row["confidence_0_to_1"]) == ("", "", "")
    assert row["source"] == "adopted"
    assert math.isnan(found[0].trade.mfe_r)


def test_a_source_that_looks_like_a_formula_stays_text() -> None:
    """A spreadsheet does not compute what an outside program wrote."""
    table = trades_csv([SourcedTrade(trade=trade(0, 1.0), source="=1+1")]).decode()

    assert ",'=1+1," in table


def test_a_folder_without_records_is_refused_by_name(tmp_path: Path) -> None:
    """With what to give instead."""
    told = CliRunner().invoke(app, ["report", "--state", str(tmp_path), "--trades", str(tmp_path / "t.csv")])

    assert told.exit_code == 2
    assert "holds no records.jsonl" in told.stderr
