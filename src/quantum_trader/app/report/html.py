"""The HTML report: one page that needs nothing else, made from ``report.json`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.charts import Line, bar_rows, both, histogram, time_chart
from quantum_trader.app.report.edges import (
    DECISION_COLUMNS,
    TRADED_COLUMNS,
    activity_lines,
    decision_cells,
    traded_cells,
)
from quantum_trader.app.report.gate_money import MONEY_COLUMNS, MONEY_TITLE, money_cells
from quantum_trader.app.report.gates import GATE_COLUMNS, gate_cells, gates_note, gates_title
from quantum_trader.app.report.metric_ids import (
    EDGES,
    EVIDENCE,
    GATE_MONEY,
    GATES,
    POLICY_GROUP,
    POSITION,
    RUN,
    TRADE_EDGES,
    TRADES,
    by_heading,
)
from quantum_trader.app.report.page_parts import (
    METRICS_NOTE,
    Column,
    Row,
    card,
    cells_table,
    framed,
    html_table,
    key_of,
    page_of,
    section,
)
from quantum_trader.app.report.pilot import pilot_lines
from quantum_trader.app.report.run_insight import run_insight_part
from quantum_trader.app.report.trade_charts import legend, trade_sections
from quantum_trader.app.report.words import words
from quantum_trader.policy.evidence import verdict_of

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FULL_COLOUR_PCT: Final = 10.0  # a month of this size has the strongest colour
_MAX_HALTS: Final = 60
_LOG_ABOVE: Final = 8.0  # a curve that spans more than this factor is drawn logarithmically
_MAX_BARS: Final = 16

_WORTH: Final = {
    "not enough evidence": "There are too few blocked signals to say whether blocking them helps.",
    "helps": "The interval lies below zero: blocking these signals would have avoided losses.",
    "harms": "The interval lies above zero: blocking these signals would have cost profits.",
    "undecided": "No clear effect: the interval includes zero, so this run does not show whether blocking helps or "
                 "harms.",
}
INTERVAL_NOTE: Final = (  # under the results of blocked signals, and under the evidence per switch
    "All intervals here are made alike: 95 % hold the true average, however often they are read. They rest on whole "
    "blocks of time and are renewed at 30, 45, 68, ... closed trades. A switch is judged by the signals that it alone "
    "would have blocked, so all together can be decided where each by itself is not."
)

NO_SHADOWS: Final = (
    "No shadow trade (a paper copy of every signal) has ended, so there is nothing to judge the policy by."
)

_OF_TRADES: Final = by_heading(
    TRADES, trades="count", won="win_rate", average="avg_r", profit_factor="profit_factor", hours="avg_hours",
    fees="fees", net="pnl",
)
_BESIDE: Final = {
    **by_heading(TRADES, trades="count", won="win_rate", average="avg_r"), "return": RUN["summary.return_pct"],
    "Sharpe": RUN["summary.sharpe"], "drawdown": RUN["summary.max_drawdown_pct"],
}
_OF_MODELS: Final = {
    "trades": RUN["models.missed[].trades"], "sum": RUN["models.missed[].sum_r"],
    "net USDT, ungated": RUN["models.missed[].net"],
}
_OF_EDGES: Final = by_heading(
    EDGES, decisions="decisions", expected="expected_bps", cost="cost_bps", realised="realised_bps",
)
_OF_TRADE_EDGES: Final = by_heading(
    TRADE_EDGES, trades="trades", expected="expected_net_bps", realised="realised_net_bps"
)
_OF_GATES: Final = by_heading(GATES, unmeasured="unmeasured", pass_rate="pass_rate", refused="refused")
_OF_MONEY: Final = by_heading(
    GATE_MONEY, closed="count", rightly="accuracy", saved="saved_r", missed="missed_r", mean="mean_bps",
    interval="low_bps",
)
_OF_POLICY: Final = by_heading(
    POLICY_GROUP, closed="count", won="win_rate", sum="sum_r", average="mean_r", interval_of_the_average="low_r"
)
_OF_SWITCHES: Final = by_heading(
    EVIDENCE, decisions="decisions", changed="changed", closed="shadows", average_of_blocked="mean_r", interval="low_r"
)
_OF_POSITIONS: Final = by_heading(
    POSITION, quantity="qty", entry="entry_price", last="mark_price", stop="stop_price", unrealised="unrealised"
)

def html_report(report: Row) -> str:
    """Render *report* (what ``build_report`` made, or a ``report.json`` read back) as one HTML page."""
    sections = [
        _header(report), _cards(report), _insight(report), _activity(report), _models(report), _pilot(report),
        _edges(report),
        _equity(report), _drawdown(report), _price(report),
        _policy(report), _evidence(report), signals_section(report), _gates(report), _gate_money(report),
        _months(report), trades_on_prices(report),
        results_section(report), _groups(report), _costs(report), halts_section(report), _positions(report),
        _data(report), _settings(report),
    ]
    data = report["data"]
    title = f"Quantum Trader · {', '.join(data['symbols'][:4])} · {fmt.day(data['first'])} to {fmt.day(data['last'])}"
    return page_of(title, sections, report)


# ---- the top ---------------------------------------------------------------------------------------------------------
def _header(report: Row) -> str:
    data, settings = report["data"], report["settings"]
    mode = settings.get("rollout", {}).get("mode", "OBSERVE")
    policy = (
        f"policy profile {settings['policy']['profile']}, {fmt.policy_words(mode)}" if report["policy"] is not None
        else "no policy"
    )
    return (
        "<header><h1>Run report</h1>"
        f"<p>{escape(', '.join(data['symbols']))} · {escape(data['interval'])} bars · {fmt.day(data['first'])} to "
        f"{fmt.day(data['last'])} · {escape(policy)} · {escape(data['source'])} data</p></header>"
    )


def _insight(report: Row) -> str:
    """The insight that the run ended with; a report of an older program has none."""
    found = report.get("insight")
    return run_insight_part(found, report.get("run", {}).get("state_dir", "")) if found else ""


def _cards(report: Row) -> str:
    summary, trades, costs, hold = report["summary"], report["trades"], report["costs"], report["benchmark"]
    low, high = summary["sharpe_low"], summary["sharpe_high"]
    doubt = f"95 %: {low:.2f} to {high:.2f}" if low is not None else "too few days"
    return '<div class="cards">' + "".join((
        card("Return", fmt.percent(summary["return_pct"]), f"{fmt.money(summary['end_equity'])} USDT", True,
             RUN["summary.return_pct"]),
        card("Buy and hold", fmt.percent(hold["return_pct"]), f"drawdown {fmt.percent(hold['max_drawdown_pct'])}",
             True, RUN["benchmark.return_pct"]),
        card("Sharpe (daily, a year)", fmt.ratio(summary["sharpe"]), doubt if summary["sharpe"] is not None
             else "equity moved on too few days", metric=RUN["summary.sharpe"]),
        card("Deepest drawdown", fmt.percent(summary["max_drawdown_pct"]), _span(summary), True,
             RUN["summary.max_drawdown_pct"]),
        card("Trades", fmt.count(trades["count"]),
             f"{fmt.share(trades['win_rate'])} won, {fmt.multiple(trades['avg_r'])} each" if trades["count"]
             else "none was closed", metric=RUN["trades.count"]),
        card("Fees and slippage", fmt.money(costs["fees"] + costs["slippage"]),
             f"funding {fmt.signed_money(costs['funding'])} USDT", metric=RUN["costs.fees"]),
    )) + "</div>" + (f"<p><strong>{escape(report['few'])}</strong></p>" if report.get("few") else "") + METRICS_NOTE


def _span(summary: Row) -> str:
    if summary["drawdown_from"] is None:
        return "never below its start"
    return f"{fmt.day(summary['drawdown_from'])} to {fmt.day(summary['drawdown_to'])}"


# ---- charts over time ------------------------------------------------------------------------------------------------
def _bars(title: str, rows: Sequence[tuple[str, float, str]], style: str = "bar") -> str:
    return both(lambda size: bar_rows(title, rows, style, size))


def _equity(report: Row) -> str:
    curves = report["curves"]
    lines = (
        Line(name="buy and hold", values=curves["hold"], style="hold"),
        Line(name="equity", values=curves["equity"], style="equity"),
    )
    known = [value for line in lines for value in line.values if value is not None]
    log = bool(known) and min(known) > 0.0 and max(known) / min(known) > _LOG_ABOVE
    chart = both(lambda size: time_chart(
        "Equity over time", curves["ts_s"], lines, lambda value: fmt.money(value, 0), height=300, log=log, size=size,
    ))
    return section(
        "Equity, logarithmic" if log else "Equity",
        key_of(("blue", "equity, USDT"), ("grey", report["benchmark"]["name"])),
        framed(chart, {"equity": "equity", "hold": "buy and hold"}),
    )


def _models(report: Row) -> str:
    """The models, what would let them trade, and the run with every target traded beside this one."""
    found = report.get("models")
    if not found:
        return ""
    note = f"UNGATED: every target is traded. {found['sentence']}" if found["ungated_run"] else found["sentence"]
    models = html_table(found["models"], (
        ("Model", lambda row: row["name"], False), ("bars", lambda row: row["bars"], False),
        ("warm-up", lambda row: fmt.count(row["warmup"]), False), ("horizon", lambda row: row["horizon"], False),
        ("exit", lambda row: row["exit"], False),
        ("prior (Sharpe a year)", lambda row: f"{row['prior'][0]:g} ± {row['prior'][1]:g}", False),
        ("weight", lambda row: f"{row['weight']:g}", True),
    ))
    if not found["side_by_side"]:
        return section("Models", models, note=note)
    beside = html_table(found["side_by_side"], (
        ("The same scores", lambda row: row["run"], False),
        ("return", lambda row: fmt.percent(row["summary"]["return_pct"]), True),
        ("Sharpe", lambda row: fmt.ratio(row["summary"]["sharpe"]), True),
        ("drawdown", lambda row: fmt.percent(row["summary"]["max_drawdown_pct"]), True),
        ("trades", lambda row: fmt.count(row["trades"]["count"]), False),
        ("won", lambda row: fmt.share(row["trades"]["win_rate"]), False),
        ("average", lambda row: fmt.multiple(row["trades"]["avg_r"]), True),
    ), metrics=_BESIDE)
    traded = found["side_by_side"][0]["trades"]["count"]
    reasons = html_table(found["missed"], (
        ("Why trades of the ungated run were not made", lambda row: words(row["reason"]), False),
        ("trades", lambda row: fmt.count(row["trades"]), False),
        ("sum", lambda row: fmt.multiple(row["sum_r"]), True),
        ("net USDT, ungated", lambda row: fmt.signed_money(row["net"]), True),
    ), "All of them were made." if traded else "Ungated there was no trade either.", _OF_MODELS)
    return section("Models", models, beside, reasons, note=note)


def _pilot(report: Row) -> str:
    """What the pilot did; nothing without one."""
    lines = pilot_lines(report.get("pilot"))
    return section("Pilot", "".join(f"<p>{escape(line)}</p>" for line in lines)) if lines else ""


def _activity(report: Row) -> str:
    """How the run traded; nothing for a *report* of a version without it."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in activity_lines(report))
    said = f"<p><b>{escape(report['statement'])}</b></p>" if report.get("statement") else ""
    return section("How it traded", lines, said) if lines or said else ""


def _edges(report: Row) -> str:
    """Expected against realised edges; nothing where no forecasts are known."""
    found = report.get("edges")
    if not found or not found["by_model"]:
        return ""
    traded = traded_cells([*found["trades_by_source"], *found["trades_by_symbol"]])
    return section(
        "Edges: expected against realised",
        cells_table(DECISION_COLUMNS, decision_cells([*found["by_model"], *found["by_symbol"]]), metrics=_OF_EDGES),
        cells_table(TRADED_COLUMNS, traded, metrics=_OF_TRADE_EDGES) if traded else "", note=found["statement"],
    )


def _drawdown(report: Row) -> str:
    curves = report["curves"]
    line = Line(name="drawdown", values=curves["drawdown_pct"], style="down", filled=True)
    chart = both(lambda size: time_chart(
        "Drawdown over time", curves["ts_s"], (line,), lambda value: f"{value:g} %", height=170, size=size
    ))
    return section("Drawdown from the peak", framed(chart, {"drawdown_pct": "drawdown %"}))


def _price(report: Row) -> str:
    curves = report["curves"]
    line = Line(name="price", values=curves["price"], style="price")
    chart = both(lambda size: time_chart(
        f"{curves['main_symbol']} and the policy's state", curves["ts_s"], (line,), lambda value: fmt.money(value, 0),
        height=260, bands=curves["policy_bands"], log=True, size=size,
    ))
    return section(
        f"{curves['main_symbol']} and the policy's state",
        key_of(("ink", "price, logarithmic"), ("band1", "risk REDUCED"), ("band2", "no new trades")),
        framed(chart, {"price": "price"}),
        note="The bands show the policy's overall state. With --policy observe it is recorded and not enforced.",
    )


# ---- policy and signals ----------------------------------------------------------------------------------------------
def _policy(report: Row) -> str:
    policy = report["policy"]
    if policy is None:
        return section("Policy", note="This run had no policy.")
    worth = worth_of_blocking(policy["blocked"])
    rows = [
        {"what": "would have blocked", **policy["blocked"]}, {"what": "would have allowed", **policy["allowed"]}
    ]
    table = html_table(rows, (
        ("Signals the policy", lambda row: row["what"], False),
        ("closed", lambda row: fmt.count(row["count"]), False),
        ("won", lambda row: fmt.share(row["win_rate"]), False),
        ("sum", lambda row: fmt.multiple(row["sum_r"]), True),
        ("average", lambda row: fmt.multiple(row["mean_r"]), True),
        ("interval of the average", lambda row: fmt.interval(row["low_r"], row["high_r"]), False),
    ), metrics=_OF_POLICY)
    if not policy["blocked"]["count"] and not policy["allowed"]["count"]:
        table, worth = f"<p>{escape(NO_SHADOWS)}</p>", ""
    fired = list(policy["rules"].items())[:_MAX_BARS]
    rules = _bars("Rules that fired", [(rule, float(found), fmt.count(found)) for rule, found in fired])
    return section(
        "Signals the policy would have blocked, and their result", table,
        f"<p>{escape(policy['shadow_statement'])} {escape(worth)}</p>",
        f"<p>No new trades permitted {fmt.share(policy['blocked_share'])} of the time, risk reduced "
        f"{fmt.share(policy['reduced_share'])}; {fmt.count(policy['updates'])} evaluations, "
        f"{fmt.count(policy['changes'])} changes. Evaluations in which each rule fired:</p>", rules,
    )


def _gate_money(report: Row) -> str:
    """What the gates would have saved and missed."""
    found = report.get("gate_money")
    if found is None:
        return ""
    table = cells_table(MONEY_COLUMNS, [money_cells(row) for row in found["rows"]], metrics=_OF_MONEY)
    return section(MONEY_TITLE, table, note=found["note"])


def worth_of_blocking(blocked: Row) -> str:
    """Whether blocking these signals helped, by the interval of their shadow results, in one sentence."""
    return _WORTH[verdict_of(None if blocked["low_r"] is None else (blocked["low_r"], blocked["high_r"]))]


def _evidence(report: Row) -> str:
    rows = report["policy"]["evidence"] if report["policy"] is not None else []
    if not any(row["shadows"] for row in rows):
        return ""
    return section("Evidence per switch", html_table(rows, (
        ("Switch", lambda row: fmt.words(row["switch"]), False),
        ("enforced", lambda row: "yes" if row["enforced"] else "no", False),
        ("decisions", lambda row: fmt.count(row["decisions"]), False),
        ("changed", lambda row: fmt.count(row["changed"]), False),
        ("closed", lambda row: fmt.count(row["shadows"]), False),
        ("average of blocked", lambda row: fmt.multiple(row["mean_r"]), False),
        ("interval", lambda row: fmt.interval(row["low_r"], row["high_r"]), False),
        ("verdict", lambda row: fmt.words(row["verdict"]), False),
    ), metrics=_OF_SWITCHES), note="For each switch by itself: average result of the trades it would have blocked "
        "(negative: it helps). " + INTERVAL_NOTE)


def signals_section(report: Row) -> str:
    """What happened to the signals, by reason."""
    road = report["signals"]
    refusals = list(road["refusals"].items())[:_MAX_BARS]
    rows = [(fmt.words(reason), float(found), fmt.count(found)) for reason, found in refusals]
    silence = f"<p>{escape(road['silence'])}</p>" if road.get("silence") else ""
    note = fmt.attempted_words(road)
    if not rows:
        return section("What happened to the signals", silence, note=f"{note}.")
    return section(
        "What happened to the signals", _bars("Signals not traded, by reason", rows), silence,
        note=f"{note}, {fmt.count(road['refused'])} signals not traded, by reason:",
    )


def _gates(report: Row) -> str:
    """What the six gates said of the signals."""
    found = report.get("gates")
    if not found:
        return ""
    table = cells_table(GATE_COLUMNS, gate_cells(found), metrics=_OF_GATES)
    return section(gates_title(found), table, note=gates_note(found))


# ---- trades ----------------------------------------------------------------------------------------------------------
def _months(report: Row) -> str:
    months = report["tables"]["monthly"]
    found = {(row["year"], row["month"]): row["return_pct"] for row in months}
    years = sorted({year for year, _ in found})
    head = "".join(f"<th>{name}</th>" for name in _MONTHS)
    body = "".join(
        f"<tr><td>{year}</td>{''.join(_heat(found.get((year, month))) for month in range(1, 13))}"
        f"{_heat(_compound([found[key] for key in sorted(found) if key[0] == year]))}</tr>"
        for year in years
    )
    return section(
        "Monthly returns",
        f'<div class="scroll"><table class="heat"><thead><tr><th></th>{head}<th>Year</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>",
        note="Percent of equity at the month's start; first and last month may be partial.",
    )


def _heat(value: float | None) -> str:
    if value is None:
        return "<td></td>"
    strength = min(abs(value) / _FULL_COLOUR_PCT, 1.0) * 0.5
    colour = f"rgba(29,138,78,{strength:.2f})" if value >= 0.0 else f"rgba(201,48,44,{strength:.2f})"
    return f'<td style="background:{colour}">{value:+.1f}</td>'


def _compound(changes: Sequence[float | None]) -> float | None:
    growth = 1.0
    for change in changes:
        if change is None:
            return None
        growth *= 1.0 + change / 100.0
    return (growth - 1.0) * 100.0


def trades_on_prices(report: Row) -> str:
    """The price of each traded symbol with its trades; nothing for a *report* of a version without such charts."""
    if not report.get("closed_trades"):
        return ""
    return section(
        "Trades on the price", legend(), trade_sections(report["closed_trades"], report["prices"]),
        note="Every trade is marked; the price line is thinned. Prices are logarithmic. As a table with every figure: "
        "quantum-trader report --state DIR --trades FILE.csv",
    )


def results_section(report: Row) -> str:
    """The distribution of the results in R."""
    trades, bins = report["trades"], report["tables"]["r_histogram"]
    if not trades["count"]:
        return section("Results in R", note=report.get("no_trades") or "No trade was closed.")
    note = (
        f"{fmt.count(trades['count'])} trades after fees and funding: {fmt.share(trades['win_rate'])} won, "
        f"profit factor {fmt.ratio(trades['profit_factor'])}, average {fmt.multiple(trades['avg_r'])}, median "
        f"{fmt.multiple(trades['median_r'])}, best {fmt.multiple(trades['best_r'])}, worst "
        f"{fmt.multiple(trades['worst_r'])}. The outermost bars include all results beyond them."
    )
    chart = both(lambda size: histogram(
        "Distribution of R", bins["edges"], bins["counts"],
        lambda value: f"{value:g} R" if size.label else f"{value:g}", size,
    ))
    return section("Results in R", chart, note=note)


def _trade_columns(name: str) -> tuple[Column, ...]:
    return (
        (name, lambda row: fmt.words(row["name"]) if name == "Exit" else row["name"], False),
        ("trades", lambda row: fmt.count(row["count"]), False),
        ("won", lambda row: fmt.share(row["win_rate"]), False),
        ("average", lambda row: fmt.multiple(row["avg_r"]), True),
        ("profit factor", lambda row: fmt.ratio(row["profit_factor"]), False),
        ("hours", lambda row: f"{row['avg_hours']:.1f}", False),
        ("fees", lambda row: fmt.money(row["fees"]), False),
        ("net", lambda row: fmt.signed_money(row["pnl"]), True),
    )


def trade_table(rows: Sequence[Row], name: str, empty: str = "No trades.") -> str:
    """The table of trades grouped by *name*."""
    return html_table(rows, _trade_columns(name), empty, _OF_TRADES)


def _groups(report: Row) -> str:
    tables = report["tables"]
    if not report["trades"]["count"]:
        return ""
    sources = tables.get("per_source", ())
    by_source = section("Results by source", trade_table(sources, "Source")) if len(sources) > 1 else ""
    return by_source + "".join(
        section(f"Trades by {name.lower()}", trade_table(tables[key], name))
        for name, key in (
            ("Regime", "per_regime"), ("Symbol", "per_symbol"), ("Exit", "per_exit"), ("Side", "per_side")
        )
    )


def _costs(report: Row) -> str:
    costs = report["costs"]
    rows = [
        ("profit before costs", costs["profit_before_costs"], fmt.signed_money(costs["profit_before_costs"])),
        ("fees", -costs["fees"], fmt.signed_money(-costs["fees"])),
        ("spread and slippage", -costs["slippage"], fmt.signed_money(-costs["slippage"])),
        ("funding", costs["funding"], fmt.signed_money(costs["funding"])),
        ("profit", costs["profit"], fmt.signed_money(costs["profit"])),
    ]
    return section("Costs", _bars("Profit before and after costs", rows, "gain"), note=costs["funding_statement"])


# ---- the rest --------------------------------------------------------------------------------------------------------
def halts_section(report: Row) -> str:
    """The halts, each with its reason and its end."""
    halts = report["halts"]
    note = f"{len(halts)} in all; the first {_MAX_HALTS} are listed." if len(halts) > _MAX_HALTS else ""
    return section("Halts (new entries stop) and safety levels", html_table(halts[:_MAX_HALTS], (
        ("When", lambda row: row["at"].replace("T", " ")[:16], False),
        ("kind", lambda row: fmt.words(row["kind"]), False),
        ("reason", lambda row: row["reason"], False),
        ("ended", lambda row: "still in force" if row["cleared"] is None else f"after {row['hours']:.1f} h", False),
    )), note=note)


def _positions(report: Row) -> str:
    return section("Open at the end", html_table(report["positions"], (
        ("Symbol", lambda row: row["symbol"], False),
        ("side", lambda row: row["side"], False),
        ("quantity", lambda row: f"{row['qty']:g}", False),
        ("entry", lambda row: fmt.price(row["entry_price"]), False),
        ("last", lambda row: fmt.price(row["mark_price"]), False),
        ("stop", lambda row: fmt.price(row["stop_price"]), False),
        ("unrealised", lambda row: fmt.signed_money(row["unrealised"]), True),
    ), metrics=_OF_POSITIONS))


def _data(report: Row) -> str:
    data = report["data"]
    rows = [
        {"name": name, "value": value}
        for name, value in (
            ("Source", data["source"]), ("Symbols", ", ".join(data["symbols"])), ("Bars", data["interval"]),
            ("Span", f"{data['first']} to {data['last']}"),
            ("Moments", fmt.count(data["moments"])), ("Bars with trading", fmt.count(data["bars"])),
            ("Outages (bars without volume)", fmt.count(data["outages"])),
            ("Holes of more than a day", fmt.count(data["holes"])), ("Funding", data["funding_statement"]),
            ("Assumed filters and tiers", ", ".join(data["instruments_assumed"]) or "none"),
            ("Content sha256", data["fingerprint"]),
        )
    ]
    notes = "".join(f"<p>{escape(note)}</p>" for note in report["notes"])
    table = html_table(rows, (("What", lambda row: row["name"], False), ("Value", lambda row: row["value"], False)))
    return section("Data", table, notes)


def _settings(report: Row) -> str:
    settings = msgspec.json.format(msgspec.json.encode(report["settings"])).decode()
    run = msgspec.json.format(msgspec.json.encode(report["run"])).decode()
    return section(
        "Settings and run",
        f"<details><summary>All settings in force</summary><pre>{escape(settings)}</pre></details>",
        f"<details><summary>This run (varies between runs)</summary><pre>{escape(run)}</pre></details>",
    )
