"""What is drawn of one row that was opened: a position, or a signal with its way."""

from __future__ import annotations

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.terminal.folder_view import Facts
from quantum_trader.app.terminal.parts import name_grid, number_text, shown_text, signed_text, utc_text
from quantum_trader.app.terminal.run_pages import orders_table, stop_text
from quantum_trader.app.terminal.signal_pages import bps_text, reason_words, verdict_text
from quantum_trader.app.terminal.trace_drawing import trace_drawing
from quantum_trader.journal.tracer import Trace, analyze


def position_detail(facts: Facts, width: int) -> RenderableType:
    """Everything known of one position, its orders, and the decision that opened it."""
    one = facts["position"]
    if one is None:
        return Text("This position is closed. Esc leads back.", style="yellow")
    rows: list[tuple[str, object]] = [
        ("position", Text.assemble(shown_text(one["symbol"], "bold"), f" {one['side']} {number_text(one['qty'])}")),
        ("whose", "this run's" if one["traded"] else "not this run's"),
        ("entered", f"{fmt.price(one['entry_price'])} at {utc_text(one['entry_ns'])}"),
        ("last price", _price(one["mark_price"])), ("stop", stop_text(one)),
        ("to the stop", _to_stop(one)), ("first stop", _price(one["first_stop"])), ("target", _price(one["target"])),
        ("gained so far", signed_text(f"{fmt.signed_money(one['unrealised_usdt'])} USDT "
                                      f"({fmt.multiple(one['unrealised_r'])})")),
        ("realised of it", f"{fmt.signed_money(one['realised'])} USDT"),
        ("fees, funding", f"{fmt.money(one['fees'])} USDT paid, {fmt.signed_money(one['funding'])} USDT received"),
        ("leverage", f"{one['leverage']:g}x" if one["leverage"] else fmt.UNKNOWN),
        ("liquidation", _price(one["liquidation_price"])), ("decided by", one["model"] or fmt.UNKNOWN),
    ]
    return Group(name_grid(rows), Text(), orders_table(facts["orders"], width), *_way(facts, width))


def _price(value: float) -> str:
    return fmt.price(value) if value else fmt.UNKNOWN


def _to_stop(one: Facts) -> Text:
    """How far the stop is, and what is lost from here where it is hit, without costs."""
    if one["stop_distance_pct"] is None:
        return Text(fmt.UNKNOWN)
    lost = abs(one["mark_price"] - one["stop"]) * one["qty"]
    return Text(f"{fmt.percent(one['stop_distance_pct'])} of the last price; {fmt.money(lost)} USDT from here")


def signal_detail(facts: Facts, width: int) -> RenderableType:
    """One signal: its decision, the steps of it, what its shadow trade made, and which command explains it."""
    one, shadow = facts["signal"], facts["shadow"]
    if one is None:
        return Group(Text("No decision on this signal is in the journal.", style="yellow"), *_way(facts, width))
    rows: list[tuple[str, object]] = [
        ("signal", Text.assemble(shown_text(one["signal_id"], "bold"), "  ", shown_text(one["symbol"]), "  ",
                                 shown_text(one["action"]))),
        ("at", utc_text(one["ts_ns"])),
        ("decision", Text.assemble(verdict_text(one["decision"]), "  ", shown_text(reason_words(one)))),
        ("confidence", f"{number_text(one['confidence'])}, at least {number_text(one['min_confidence_used'])} needed"),
    ]
    if shadow is not None:
        what = "beside the trade" if shadow["traded"] else "had it been traded"
        rows.append((
            "shadow trade", Text.assemble(
                bps_text(shadow["net_bps"]), f" bps, {fmt.multiple(shadow['r'])} after costs and funding, {what}; "
                f"left by {fmt.words(shadow['exit'])} after {fmt.count(shadow['bars_held'])} bars",
            ),
        ))
    rows.append(("what changes it", f"quantum-trader why {one['signal_id']} --state {facts['state']}"))
    return Group(name_grid(rows), *_way(facts, width))


def _way(facts: Facts, width: int) -> list[RenderableType]:
    if facts["trace"] is None:
        return [Text("\nno steps of a decision are recorded", style="dim")]
    trace = msgspec.convert(facts["trace"], Trace)
    return [Text(), trace_drawing(trace, analyze(trace), width)]
