"""The report of a live session: made from its state folder while it trades, after it stopped, or after a kill.

Profit and drawdown are those of ``status``, trades those of the records, halts and counts those of the newest
checkpoint. Nothing in the folder is changed.
"""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.charts import Line, both, time_chart
from quantum_trader.app.report.data import grouped, r_histogram, trade_statistics
from quantum_trader.app.report.html import (
    halts_section,
    results_section,
    signals_section,
    trade_table,
    trades_on_prices,
)
from quantum_trader.app.report.metric_ids import LIVE, RUN, STATUS, metric_ids
from quantum_trader.app.report.no_trades import silence_sentence
from quantum_trader.app.report.page_parts import METRICS_NOTE, Row, card, framed, html_table, key_of, page_of, section
from quantum_trader.app.report.trade_charts import chart_trades, price_lines
from quantum_trader.app.report.trades import RECORDS, SourcedTrade, recorded_closes, recorded_trades
from quantum_trader.app.runs.live_history import history_of
from quantum_trader.app.runs.live_settings import LiveFolder, read_folder
from quantum_trader.app.runs.state_dir import unsealed
from quantum_trader.app.runs.status import FolderStatus, PositionLine, folder_status
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND, iso
from quantum_trader.domain.enums import Side
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.engine.books import Position
from quantum_trader.engine.tally import HaltEntry

KIND: Final = "quantum-trader live report"
_OF_POSITIONS: Final = {
    "quantity": STATUS["positions[].qty"], "entry": STATUS["positions[].entry_price"],
    "last": STATUS["positions[].mark_price"], "stop": STATUS["positions[].stop"],
    "unrealised": RUN["positions[].unrealised"],
}
_GROUPS: Final = (  # heading of the section, name of its first column, part of the report
    ("Results by model", "Model", "per_model"), ("Results by source", "Source", "per_source"),
    ("Trades by symbol", "Symbol", "per_symbol"), ("Trades by exit", "Exit", "per_exit"),
)


def build_live_report(state: Path, now_ns: int) -> Row:
    """The content of the report of the live folder *state* at *now_ns* (wall clock); StateError when it has none."""
    folder, status = read_folder(state), folder_status(state, now_ns)
    assert folder is not None, "a live folder"
    saved = _checkpoint(state)
    trades = recorded_trades(state) if (state / RECORDS).is_file() else []
    closed = [one.trade for one in trades]
    shown = {one.symbol for one in closed}
    content = {
        "kind": KIND, "status": msgspec.to_builtins(status), "data": _data(folder, status),
        "trades": trade_statistics(closed), "tables": _tables(trades), "costs": _costs(saved),
        "positions": _positions(status, saved), "halts": _halts(status, saved), "signals": _signals(status, saved),
    }
    return {
        **content, "metric_ids": metric_ids(content, LIVE), "curves": _curves(status, saved),
        "closed_trades": msgspec.to_builtins(chart_trades(closed)),
        "prices": price_lines(recorded_closes(state, shown)) if shown else {},
    }


def _checkpoint(state: Path) -> dict[str, Any]:
    """The newest checkpoint; empty where there is none, or it is damaged (which the status says)."""
    try:
        found: dict[str, Any] | None = unsealed((state / "checkpoint").read_bytes())
    except OSError:
        return {}
    return found if found is not None and "account" in found.get("engine", {}) else {}


def _data(folder: LiveFolder, status: FolderStatus) -> Row:
    since_ns = status.result.since_ns if status.result is not None else status.as_of_ns
    return {
        "symbols": list(folder.symbols), "interval": folder.interval, "first": iso(since_ns),
        "last": iso(status.as_of_ns),
    }


def _tables(trades: list[SourcedTrade]) -> Row:
    closed, sources = [one.trade for one in trades], {one.trade.trade_id: one.source for one in trades}
    return {
        "per_model": grouped(closed, lambda trade: trade.model),
        "per_source": grouped(closed, lambda trade: sources[trade.trade_id]),
        "per_symbol": grouped(closed, lambda trade: trade.symbol),
        "per_exit": grouped(closed, lambda trade: trade.exit_reason.value),
        "r_histogram": r_histogram(closed),
    }


def _costs(saved: dict[str, Any]) -> Row:
    """Fees and funding since the start, USDT; None where nothing is known of them."""
    books = saved.get("engine", {}).get("account", {}).get("books", {})
    return {"fees": books.get("fees_paid"), "funding": books.get("funding_received")}


def _positions(status: FolderStatus, saved: dict[str, Any]) -> list[Row]:
    """The open positions as the status shows them, with the model that opened each where the checkpoint knows it."""
    books = saved.get("engine", {}).get("account", {}).get("books", {})
    held = [msgspec.convert(raw, Position) for raw in books.get("positions", ())]
    models = {(one.symbol, one.side.value): one.plan.model for one in held}
    return [
        {**msgspec.to_builtins(line), "unrealised": _unrealised(line),
         "model": models.get((line.symbol, line.side), "") if line.traded else "not this run's"}
        for line in status.positions
    ]


def _unrealised(line: PositionLine) -> float | None:
    """Profit at the newest price, USDT; None where no price is known."""
    gain = Side(line.side).sign * line.qty * (line.mark_price - line.entry_price)
    return gain if line.mark_price > 0.0 and math.isfinite(gain) else None


def _halts(status: FolderStatus, saved: dict[str, Any]) -> list[Row]:
    """Every halt, newest first; those in force also where they came after the checkpoint."""
    known = [msgspec.convert(raw, HaltEntry) for raw in saved.get("engine", {}).get("tally", {}).get("halts", ())]
    found = {(halt.kind, halt.ts_ns): halt for halt in known}
    for line in status.halts:
        found.setdefault((line.kind, line.since_ns), HaltEntry(
            ts_ns=line.since_ns, kind=line.kind, reason=line.reason, exit_path=line.exit_path,
        ))
    return [
        {"at": iso(halt.ts_ns), "kind": halt.kind, "reason": halt.reason, "exit_path": halt.exit_path,
         "cleared": iso(halt.cleared_ns) if halt.cleared_ns else None,
         "hours": (halt.cleared_ns - halt.ts_ns) / NS_PER_HOUR if halt.cleared_ns else None}
        for halt in sorted(found.values(), key=lambda halt: -halt.ts_ns)
    ]


def _signals(status: FolderStatus, saved: dict[str, Any]) -> Row:
    tally = saved.get("engine", {}).get("tally", {})
    refusals = dict(sorted(tally.get("refusals", {}).items(), key=lambda item: (-item[1], item[0])))
    return {
        "signals": tally.get("signals", 0), "intents": tally.get("intents", 0),
        "refused": sum(refusals.values()), "refusals": refusals, "silence": silence_sentence(status.models),
    }


def _curves(status: FolderStatus, saved: dict[str, Any]) -> Row:
    """What the start's money is worth, and its drawdown, each hour; the last value is the status's."""
    state = saved.get("more", {}).get("history")
    history = history_of(state) if state is not None else None
    ts_s = [ts // NS_PER_SECOND for ts in history.ts_ns] if history is not None else []
    worth = [round(value, 2) for value in history.worth] if history is not None else []
    lows = [round(value * 100.0, 4) for value in history.lows] if history is not None else []
    now, found = status.equity_ns // NS_PER_SECOND, status.result
    if found is not None and (not ts_s or now > ts_s[-1]):
        ts_s.append(now)
        worth.append(round(found.start_equity * (1.0 + found.return_pct / 100.0), 2))
        lows.append(round(found.drawdown_pct, 4))
    return {"ts_s": ts_s, "worth": worth, "drawdown_pct": lows}


# ---- the page --------------------------------------------------------------------------------------------------------
def live_page(report: Row) -> str:
    """The report of a live session as one HTML page that needs nothing else."""
    data = report["data"]
    results = results_section(report) if report["trades"]["count"] else ""
    sections = [
        _header(report), _cards(report), _problems(report), _worth(report), _drawdown(report),
        _open_positions(report), *(
            section(title, trade_table(report["tables"][key], name, "No trades were closed."))
            for title, name, key in _GROUPS
        ),
        trades_on_prices(report), results, halts_section(report), signals_section(report),
    ]
    title = f"Quantum Trader · live · {', '.join(data['symbols'][:4])} · since {fmt.day(data['first'])}"
    return page_of(title, sections, report)


def _header(report: Row) -> str:
    data, status = report["data"], report["status"]
    process = "the process runs" if status["alive"] else "the process does not run"
    return (
        "<header><h1>Live report</h1>"
        f"<p>{escape(status['mode'])} at {escape(status['endpoint'])} · {escape(', '.join(data['symbols']))} · "
        f"{escape(data['interval'])} bars · {_minute(data['first'])} to {_minute(data['last'])} UTC · {process}</p>"
        "</header>"
    )


def _minute(time: str) -> str:
    return time.replace("T", " ")[:16]


def _cards(report: Row) -> str:
    status, trades, costs = report["status"], report["trades"], report["costs"]
    found, open_count = status["result"], len(report["positions"])
    unrealised = [row["unrealised"] for row in report["positions"] if row["unrealised"] is not None]
    paid = f"; {fmt.signed_money(found['moved'])} USDT paid in or out left out" if found and found["moved"] else ""
    fell = (
        f"{_minute(iso(found['peak_ns']))} to {_minute(iso(found['trough_ns']))}, now "
        f"{fmt.percent(found['drawdown_pct'])}" if found and found["trough_ns"] else "never below its peak"
    )
    return '<div class="cards">' + "".join((
        card("Profit since the start", fmt.signed_money(found["profit"] if found else None),
             f"{fmt.percent(found['return_pct'])}{paid}" if found else "not known yet", True,
             STATUS["result.profit"]),
        card("Deepest drawdown", fmt.percent(found["deepest_drawdown_pct"] if found else None),
             fell if found else "not known yet", True, STATUS["result.deepest_drawdown_pct"]),
        card("Equity", fmt.money(status["equity"]), f"USDT; safety level {status['governor'] or 'not known'}",
             metric=STATUS["equity"]),
        card("Trades", fmt.count(trades["count"]),
             f"{fmt.share(trades['win_rate'])} won, {fmt.multiple(trades['avg_r'])} each", metric=RUN["trades.count"]),
        card("Open positions", fmt.count(open_count), f"unrealised {fmt.signed_money(ordered_sum(unrealised))} USDT"),
        card("Fees", fmt.money(costs["fees"]), f"funding {fmt.signed_money(costs['funding'])} USDT",
             metric=RUN["costs.fees"]),
    )) + "</div>" + METRICS_NOTE


def _problems(report: Row) -> str:
    problems = report["status"]["problems"]
    if not problems:
        return ""
    return section("Problems", "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in problems) + "</ul>")


def _worth(report: Row) -> str:
    curves = report["curves"]
    line = Line(name="worth", values=curves["worth"], style="equity")
    chart = both(lambda size: time_chart(
        "Worth of the start's money over time", curves["ts_s"], (line,), lambda value: f"{value:,.7g}", height=300,
        size=size,
    ))
    return section(
        "Result over time", key_of(("blue", "what the start's money is worth, USDT")),
        framed(chart, {"worth": "worth"}), note="Money paid in or out is left out. One value an hour.",
    )


def _drawdown(report: Row) -> str:
    curves = report["curves"]
    line = Line(name="drawdown", values=curves["drawdown_pct"], style="down", filled=True)
    chart = both(lambda size: time_chart(
        "Drawdown over time", curves["ts_s"], (line,), lambda value: f"{value:g} %", height=170, size=size
    ))
    return section("Drawdown from the peak", framed(chart, {"drawdown_pct": "drawdown %"}))


def _open_positions(report: Row) -> str:
    return section("Open positions", html_table(report["positions"], (
        ("Symbol", lambda row: row["symbol"], False),
        ("side", lambda row: row["side"], False),
        ("quantity", lambda row: f"{row['qty']:g}", False),
        ("entry", lambda row: fmt.price(row["entry_price"]), False),
        ("last", lambda row: fmt.price(row["mark_price"]) if row["mark_price"] else fmt.UNKNOWN, False),
        ("stop", lambda row: fmt.price(row["stop"]) if row["protected"] else "NO STOP at the venue", False),
        ("unrealised", lambda row: fmt.signed_money(row["unrealised"]), True),
        ("model", lambda row: row["model"] or fmt.UNKNOWN, False),
    ), metrics=_OF_POSITIONS))
