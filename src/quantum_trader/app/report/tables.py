"""The report at the end of a run, for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.edges import (
    DECISION_COLUMNS,
    TRADED_COLUMNS,
    activity_lines,
    decision_cells,
    traded_cells,
)
from quantum_trader.app.report.gate_money import MONEY_COLUMNS, MONEY_TITLE, money_cells
from quantum_trader.app.report.gates import GATE_COLUMNS, gate_cells, gates_note, gates_title
from quantum_trader.app.report.html import INTERVAL_NOTE, NO_SHADOWS, worth_of_blocking
from quantum_trader.app.report.metric_ids import EXPLAIN
from quantum_trader.app.report.models import models_view
from quantum_trader.app.report.page_parts import Row
from quantum_trader.app.report.pilot import pilot_lines
from quantum_trader.app.report.run_insight import run_insight_view

_MOST_ROWS: Final = 8
PIPE_WIDTH: Final = 100  # columns where there is no terminal to ask


def print_report(report: Row, console: Console) -> None:
    """Print the whole report."""
    console.print(report_view(report))


def report_view(report: Row) -> RenderableType:
    """The whole report, the most important part first."""
    return Group(
        _headline(report), _result(report),
        *([Text(f"\n{report['few']}", style="bold yellow")] if report.get("few") else []),
        *(Text(f"\n{line}") for line in activity_lines(report)),
        *([Text(f"\n{report['statement']}", style="bold")] if report.get("statement") else []),
        *models_view(report), *_pilot(report), *_edges(report), _trade_groups(report), _refusals(report),
        *_gates(report), *_gate_money(report), *_policy(report), *_rest(report),
    )


def _table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, left: int = 1
) -> RenderableType:
    """A table below its title; the first *left* columns hold words, the others numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*row)
    return Group(Text(), *([Text(title, style="bold")] if title else []), table)


def coloured(text: str) -> Text:
    """*text* red when it starts with a minus, green when with a plus."""
    return Text(text, style="red" if text.startswith("-") else "green" if text.startswith("+") else "")


def _pilot(report: Row) -> list[Text]:
    """What the pilot did."""
    lines = pilot_lines(report.get("pilot"))
    return [Text("\n" + "\n".join(lines))] if lines else []


def _headline(report: Row) -> Panel:
    data, settings = report["data"], report["settings"]
    policy = report["policy"]
    mode = settings.get("rollout", {}).get("mode", "")
    lines = Text()
    lines.append(f"{', '.join(data['symbols'])}, {data['interval']} bars, ")
    lines.append(f"{fmt.day(data['first'])} to {fmt.day(data['last'])} ({data['source']})\n")
    profile = settings["policy"]["profile"]
    lines.append(f"Policy: profile {profile}, {fmt.policy_words(mode)}" if policy is not None else "No policy.")
    if policy is not None and mode == "OBSERVE":
        lines.append(" (computed and recorded, not enforced)")
    return Panel(lines, title="Run report", title_align="left", border_style="dim")


def _result(report: Row) -> Table:
    summary, hold, trades, costs = report["summary"], report["benchmark"], report["trades"], report["costs"]
    yearly = f"; a year {fmt.percent(summary['cagr_pct'])}" if summary["cagr_pct"] is not None else ""
    rows: list[tuple[str, str | Text, str]] = [
        ("Return", coloured(fmt.percent(summary["return_pct"])),
         f"{fmt.money(summary['start_equity'])} to {fmt.money(summary['end_equity'])} USDT{yearly}"),
        ("Buy and hold", coloured(fmt.percent(hold["return_pct"])),
         f"equal parts, unleveraged, no costs; drawdown {fmt.percent(hold['max_drawdown_pct'])}"),
        *_risk_rows(summary),
        ("Deepest drawdown", coloured(fmt.percent(summary["max_drawdown_pct"])), _span(summary)),
        ("Trades", fmt.count(trades["count"]), fmt.trades_words(trades)),
        ("Fees", fmt.money(costs["fees"]), f"spread and slippage {fmt.money(costs['slippage'])} inside the prices"),
        ("Funding", coloured(fmt.signed_money(costs["funding"])), costs["funding_statement"]),
        ("Before costs", coloured(fmt.signed_money(costs["profit_before_costs"])),
         f"after costs {fmt.signed_money(costs['profit'])} USDT"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _risk_rows(summary: Row) -> list[tuple[str, str | Text, str]]:
    """Sharpe and Sortino ratio; nothing where too few days, or an equity that never moved, give none."""
    if summary["sharpe"] is None:
        return []
    low, high = summary["sharpe_low"], summary["sharpe_high"]
    doubt = f"95 %: {low:.2f} to {high:.2f}" if low is not None else "too few days for an interval"
    return [
        ("Sharpe", fmt.ratio(summary["sharpe"]), f"daily returns, 365 days a year; {doubt}"),
        ("Sortino", fmt.ratio(summary["sortino"]), f"volatility {fmt.percent(summary['volatility_pct'])[1:]} a year"),
    ]


def _span(summary: Row) -> str:
    if summary["drawdown_from"] is None:
        return "equity was never below its start"
    return f"peak {fmt.day(summary['drawdown_from'])}, trough {fmt.day(summary['drawdown_to'])}"


def _edges(report: Row) -> list[RenderableType]:
    """Expected against realised edges; nothing where no forecasts are known."""
    found = report.get("edges")
    if not found or not found["by_model"]:
        return []
    traded = [*found["trades_by_source"], *found["trades_by_symbol"]]
    decisions = decision_cells([*found["by_model"], *found["by_symbol"]])
    parts = [_table("Edges: expected against realised", DECISION_COLUMNS, decisions)]
    if traded:
        parts.append(_table("", TRADED_COLUMNS, traded_cells(traded)))
    return [*parts, Text(f"\n{found['statement']}", style="dim")]


def _trade_groups(report: Row) -> RenderableType:
    tables = report["tables"]
    parts: list[RenderableType] = []
    for name, key, least in (
        ("Regime at entry", "per_regime", 1), ("Symbol", "per_symbol", 1), ("Exit", "per_exit", 1),
        ("Source", "per_source", 2),
    ):
        if len(tables.get(key, ())) < least:
            continue
        title = "Results by source" if key == "per_source" else ""
        columns = (name, "trades", "won", "average", "profit factor", "hours", "fees", "net USDT")
        parts.append(_table(title, columns, [
            (
                fmt.words(row["name"]) if key == "per_exit" else row["name"], fmt.count(row["count"]),
                fmt.share(row["win_rate"]), coloured(fmt.multiple(row["avg_r"])), fmt.ratio(row["profit_factor"]),
                f"{row['avg_hours']:.1f}", fmt.money(row["fees"]), coloured(fmt.signed_money(row["pnl"])),
            )
            for row in tables[key][:_MOST_ROWS]
        ]))
    return Group(*parts) if parts else Text(f"\n{report['no_trades']}")


def _refusals(report: Row) -> RenderableType:
    road = report["signals"]
    title = f"What happened to the signals: {fmt.attempted_words(road)}"
    silence = [Text(road["silence"])] if road["silence"] else []
    rows = list(road["refusals"].items())[:_MOST_ROWS]
    if not rows:
        return Group(Text(), Text(title, style="bold"), *silence)
    cells = [(fmt.words(reason), fmt.count(found)) for reason, found in rows]
    return Group(_table(title, ("Not traded because", "count"), cells), *silence)


def _gates(report: Row) -> list[RenderableType]:
    """What the six gates said of the signals."""
    found = report.get("gates")
    if not found:
        return []
    table = _table(gates_title(found), GATE_COLUMNS, gate_cells(found), left=2)
    return [table, Text(f"\n{gates_note(found)}", style="dim")]


def _gate_money(report: Row) -> list[RenderableType]:
    """What the gates would have saved and missed."""
    found = report.get("gate_money")
    if found is None:
        return []
    return [_table(MONEY_TITLE, MONEY_COLUMNS, [money_cells(row) for row in found["rows"]]), Text(found["note"])]


def _policy(report: Row) -> list[RenderableType]:
    policy = report["policy"]
    if policy is None:
        return []
    rows = [
        (
            words, fmt.count(group["count"]), fmt.share(group["win_rate"]), coloured(fmt.multiple(group["sum_r"])),
            coloured(fmt.multiple(group["mean_r"])), fmt.interval(group["low_r"], group["high_r"]),
        )
        for words, group in (("would have blocked", policy["blocked"]), ("would have allowed", policy["allowed"]))
    ]
    found: list[RenderableType] = [
        *_shadows(policy, rows),
        Text(
            f"No new trades permitted {fmt.share(policy['blocked_share'])} of the time, risk reduced "
            f"{fmt.share(policy['reduced_share'])}; {fmt.count(policy['updates'])} evaluations, "
            f"{fmt.count(policy['changes'])} changes."
        ),
    ]
    evidence = [] if not any(row["shadows"] for row in policy["evidence"]) else [
        (
            fmt.words(row["switch"]), "yes" if row["enforced"] else "no", fmt.count(row["changed"]),
            fmt.count(row["shadows"]), fmt.multiple(row["mean_r"]), fmt.interval(row["low_r"], row["high_r"]),
            fmt.words(row["verdict"]),
        )
        for row in policy["evidence"]
    ]
    if evidence:
        found.append(_table(
            "Evidence per switch: average result of the trades it would have blocked (negative: it helps)",
            ("Switch", "enforced", "changed", "closed", "average", "interval", "verdict"), evidence,
        ))
        found.append(Text(f"\n{INTERVAL_NOTE}", style="dim"))
    return found


def _shadows(policy: Row, rows: Sequence[Sequence[str | Text]]) -> list[RenderableType]:
    """The table of the shadow trades, and whether blocking helped; one line where there are none."""
    title = "Signals the policy would have blocked, by their shadow trades (a paper copy of every signal)"
    if not policy["blocked"]["count"] and not policy["allowed"]["count"]:
        return [Text(f"\n{NO_SHADOWS}\n")]
    columns = ("The policy", "closed", "won", "sum", "average", "interval of the average")
    return [_table(title, columns, rows), Text(f"\n{worth_of_blocking(policy['blocked'])}")]


def _rest(report: Row) -> list[RenderableType]:
    data, halts = report["data"], report["halts"]
    parts: list[RenderableType] = []
    if halts:
        rows = [
            (halt["at"].replace("T", " ")[:16], fmt.words(halt["kind"]), halt["reason"],
             "still in force" if halt["cleared"] is None else f"{halt['hours']:.1f} h")
            for halt in halts[:_MOST_ROWS]
        ]
        more = f", the first {_MOST_ROWS} listed" if len(halts) > _MOST_ROWS else ""
        title = f"Halts (new entries stop) and safety levels: {fmt.count(report.get('halt_count', len(halts)))}{more}"
        parts.append(_table(title, ("When", "kind", "reason", "lasted"), rows, left=3))
    if report["positions"]:
        held = [
            (row["symbol"], row["side"], f"{row['qty']:g}", fmt.price(row["entry_price"]), fmt.price(row["mark_price"]),
             fmt.price(row["stop_price"]), coloured(fmt.signed_money(row["unrealised"])))
            for row in report["positions"]
        ]
        parts.append(
            _table("Open at the end", ("Symbol", "side", "quantity", "entry", "last", "stop", "unrealised"), held)
        )
    statement = (
        f"Data: {fmt.count(data['bars'])} bars in {fmt.count(data['moments'])} moments, {fmt.count(data['outages'])} "
        f"outages, {fmt.count(data['holes'])} holes of more than a day, content {data['fingerprint'][:16]}."
    )
    parts.append(Text(f"\n{statement}", style="dim"))
    parts += [Text(note, style="dim") for note in report["notes"]]
    return [*parts, *_insight(report), _ids_line(), _run_line(report["run"]), _totals(report)]


def _insight(report: Row) -> list[RenderableType]:
    """What the run taught and what to do; nothing in a report of an older version."""
    if not report.get("insight"):
        return []
    return [Text(), run_insight_view(report["insight"], report["run"].get("state_dir", ""))]


def _ids_line() -> Text:
    """Where the metrics of the figures stand."""
    return Text(f"Every figure is a metric: ids in --json (metric_ids) and the HTML report; `{EXPLAIN}`.", style="dim")


def _totals(report: Row) -> Text:
    """Signals, trades and the share of the signals that became orders."""
    road = report["signals"]
    rate = road.get("approval_rate")
    return Text(
        f"\nTotal Signals: {road['signals']}\nTotal Trades: {report['trades']['count']}\n"
        f"Approval Rate: {'no data' if rate is None else f'{rate:.1%}'}"
    )


def _run_line(run: Row) -> Text:
    words = f"{run['wall_s']:.1f} s of replay"
    words += ", resumed from a saved state" if run["resumed"] else f", {run['bars_per_s']:,.0f} bars/s"
    for name, key in (("report", "report"), ("records", "records"), ("state", "state_dir")):
        if run[key]:
            words += f"; {name} in {run[key]}"
    return Text(words + ".", style="dim")
