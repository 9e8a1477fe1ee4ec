"""The pages about the run itself, drawn: overview, positions, health."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.text_chart import text_curve
from quantum_trader.app.terminal.folder_view import Facts
from quantum_trader.app.terminal.parts import (
    NARROW,
    SMALL,
    TextColumn,
    line_list,
    name_grid,
    number_text,
    row_table,
    seconds_text,
    shown_text,
    signed_text,
    utc_text,
)
from quantum_trader.domain.clock import NS_PER_SECOND

_CHART_LINES: Final = 8
_CHART_WIDTH: Final = 110
_NO_STOP: Final = "NO STOP at the venue"
_POSITION_COLUMNS: Final = (
    TextColumn("symbol"), TextColumn("side"), TextColumn("quantity", True, NARROW), TextColumn("entry", True, SMALL),
    TextColumn("last", True), TextColumn("stop", True), TextColumn("to the stop", True), TextColumn("USDT", True),
    TextColumn("R", True, NARROW),
)
_WHOLE: Final = 130  # from so many letters on a position's line has everything
_MORE_COLUMNS: Final = (
    TextColumn("liquidation", True, _WHOLE), TextColumn("leverage", True, _WHOLE),
    TextColumn("fees USDT", True, _WHOLE), TextColumn("funding USDT", True, _WHOLE),
    TextColumn("entered", False, _WHOLE), TextColumn("model", False, _WHOLE),
)
_ORDER_COLUMNS: Final = (
    TextColumn("symbol"), TextColumn("for"), TextColumn("quantity", True), TextColumn("at", True),
    TextColumn("resting", False, SMALL), TextColumn("id", False, NARROW),
)


def overview_page(facts: Facts, width: int) -> RenderableType:
    """State, equity with its curve, halts, positions, the last trade, why nothing happens."""
    curve = facts["curve"]
    seconds = [ts // NS_PER_SECOND for ts in curve["ts_ns"]]
    drawn = text_curve(seconds, curve["equity"], min(width - 2, _CHART_WIDTH), _CHART_LINES)
    told = f"{drawn}\nequity in USDT, transfers left out" if drawn else "no equity over time yet"
    chart = Text(told, style="blue" if drawn else "dim")
    quiet = line_list("Why nothing happens", facts["why_quiet"], "nothing keeps the run from its next trade")
    problems = [line_list("Problems", facts["problems"], "none", "bold red")] if facts["problems"] else []
    return Group(
        *problems, name_grid(_account_rows(facts)), chart, _halts(facts),
        _positions(facts, width, _POSITION_COLUMNS),
        name_grid([("last trade", _last_trade(facts))]), quiet,
    )


def _account_rows(facts: Facts) -> list[tuple[str, object]]:
    result, governor = facts["result"], facts["governor"]
    worth = f"{fmt.money(facts['equity'])} USDT at {utc_text(facts['equity_ns'])}"
    rows: list[tuple[str, object]] = [
        ("equity", Text(worth, style="bold") if facts["equity"] is not None else "not known yet"),
    ]
    if result:
        moved = f", {fmt.signed_money(result['moved'])} USDT paid in or out left out" if result["moved"] else ""
        rows += [
            ("profit", signed_text(f"{fmt.signed_money(result['profit'])} USDT ({fmt.percent(result['return_pct'])}) "
                                   f"since {utc_text(result['since_ns'])}{moved}")),
            ("drawdown", signed_text(f"{fmt.percent(result['drawdown_pct'])} now, deepest "
                                     f"{fmt.percent(result['deepest_drawdown_pct'])}")),
        ]
    style = "" if governor in (None, "NORMAL") else "bold red"
    return [*rows, ("governor", shown_text(governor or "not known yet", style))]


def _halts(facts: Facts) -> RenderableType:
    lines = [
        f"{fmt.words(one['kind'])}: {one['reason']}; since {utc_text(one['since_ns'])}; ends: {one['exit_path']}"
        for one in facts["halts"]
    ]
    return line_list("Halts in force", lines, "none", "bold red")


def _positions(facts: Facts, width: int, columns: tuple[TextColumn, ...]) -> RenderableType:
    rows = [[*_position(one), *_position_rest(one)] for one in facts["positions"]]
    keys = [one["symbol"] for one in facts["positions"]]
    return row_table(f"Open positions: {len(rows)}", columns, rows, "none", width, keys)


def _position(one: Facts) -> list[object]:
    whose = "" if one["traded"] else " (not this run's)"
    return [
        f"{one['symbol']}{whose}", one["side"], number_text(one["qty"]), fmt.price(one["entry_price"]),
        fmt.price(one["mark_price"]) if one["mark_price"] else fmt.UNKNOWN,
        stop_text(one),
        fmt.percent(one["stop_distance_pct"]) if one["stop_distance_pct"] is not None else fmt.UNKNOWN,
        signed_text(fmt.signed_money(one["unrealised_usdt"])), signed_text(fmt.multiple(one["unrealised_r"])),
    ]


def stop_text(one: Facts) -> Text:
    """The stop of a position, or that none rests at the venue."""
    stopped = one["protected"] and one["stop"]
    return Text(fmt.price(one["stop"])) if stopped else Text(_NO_STOP, style="bold red")


def _position_rest(one: Facts) -> list[object]:
    return [
        fmt.price(one["liquidation_price"]) if one["liquidation_price"] else fmt.UNKNOWN,
        f"{one['leverage']:g}x" if one["leverage"] else fmt.UNKNOWN, fmt.money(one["fees"]),
        fmt.signed_money(one["funding"]), utc_text(one["entry_ns"]), one["model"] or fmt.UNKNOWN,
    ]


def _last_trade(facts: Facts) -> Text:
    one = facts["last_trade"]
    if one is None:
        return Text("none yet", style="dim")
    told = (
        f"{utc_text(one['ts_ns'])}: {one['symbol']} {one['side']} closed by {fmt.words(str(one['exit_reason']))}, "
        f"{fmt.signed_money(one['pnl'])} USDT, {fmt.multiple(one['r_multiple'])}"
    )
    return shown_text(told, "red" if (one["pnl"] or 0.0) < 0.0 else "green")


def positions_page(facts: Facts, width: int) -> RenderableType:
    """Positions with everything known of them, and the orders at the venue."""
    others = [f"{utc_text(one['ts_ns'])}: {one['text']}" for one in facts["by_others"]]
    return Group(
        _positions(facts, width, (*_POSITION_COLUMNS, *_MORE_COLUMNS)), orders_table(facts["orders"], width),
        line_list("Done by others on the account", others, "nothing"),
    )


def orders_table(orders: list[Facts], width: int) -> RenderableType:
    """Orders that may still be open."""
    rows = [
        [one["symbol"], fmt.words(one["purpose"]) if one["purpose"] else "another trader's", number_text(one["qty"]),
         fmt.price(one["price"]) if one["price"] else fmt.UNKNOWN, "yes" if one["resting"] else "not acknowledged",
         one["client_order_id"]]
        for one in orders
    ]
    return row_table(f"Orders: {len(rows)}", _ORDER_COLUMNS, rows, "none", width)


def health_page(facts: Facts, width: int) -> RenderableType:
    """Problems with their remedies, ages, lag, queue, and damage."""
    newest, fill = facts["newest_record"], facts["queue_fill"]
    grid = name_grid([
        ("stage", facts["stage"] or fmt.UNKNOWN), ("figures from", facts["source"]),
        ("their age", seconds_text(facts["age_s"])), ("checkpoint's age", seconds_text(facts["checkpoint_age_s"])),
        ("last account event", f"{seconds_text(facts['last_event_age_s'])} before the status"),
        ("lag of decisions", seconds_text(facts["lag_s"])), ("fullest queue", fmt.share(fill)),
        ("books matched", f"{seconds_text(facts['unreconciled_s'])} before the status"),
        ("orders in doubt", fmt.count(facts["in_doubt"])), ("events lost", fmt.count(facts["dropped_events"])),
        ("bus", facts["bus"] or "fine"), ("steps by command", fmt.count(facts["direct_actions"])),
        ("newest record", f"{utc_text(newest['ts_ns'])} {newest['kind']}" if newest else "none"),
    ])
    waiting = [f"{one['action']} by {one['actor']}: {one['reason']}" for one in facts["pending_requests"]]
    return Group(
        line_list("Problems", facts["problems"], "none", "bold red"), grid,
        line_list("Requests that wait", waiting, "none"),
        line_list("Damage of the journal", facts["journal_damage"], "none found", "bold red"),
    )
