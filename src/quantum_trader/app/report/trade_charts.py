"""Charts of the price of each traded symbol, with the entry, the exit and the first stop of every trade.

The price line is thinned to a bounded number of points; no trade's mark is left out. The page's script zooms to single
trades from the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.charts import Frame, Line, Size, axes, both, curve, empty_chart, framed_by, svg
from quantum_trader.app.runs.results import FloatArray, IntArray
from quantum_trader.domain.clock import NS_PER_SECOND, from_ns
from quantum_trader.domain.enums import Side
from quantum_trader.domain.trading import ClosedTrade

PRICE_POINTS: Final = 20_000  # of all symbols together
SYMBOL_POINTS: Final = 4_000
_LEAST_POINTS: Final = 200
_DRAWN_POINTS: Final = {"wide": 900, "narrow": 300}
_LEAST_LENGTH: Final = 3.0  # pixels of the line of a stop
_LISTED: Final = 50
_MARKS: Final = (  # style class, what it shows, its shape in the legend
    ("long", "entry of a long position", "M8,3l-5,9h10z"),
    ("short", "entry of a short position", "M8,13l-5,-9h10z"),
    ("won", "exit with a profit", "M8,3l5,5 -5,5 -5,-5z"),
    ("lost", "exit with a loss", "M8,3l5,5 -5,5 -5,-5z"),
    ("stop", "first stop, while the position was open", "M0,8h16"),
    ("held", "from entry to exit", "M1,12L15,4"),
)


class ChartTrade(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One trade as the charts and the page's script read it, in this order. Times in seconds, money in USDT."""

    entry_s: int
    exit_s: int
    sign: int  # 1: long, -1: short
    entry: float
    exit: float
    stop: float | None  # the first stop; None: not known
    qty: float
    r: float | None  # None: the risk taken is not known
    net: float
    reason: str  # why it was closed, in words
    model: str


def chart_trades(trades: Iterable[ClosedTrade]) -> dict[str, list[ChartTrade]]:
    """The trades of each symbol in the order of their entries; the most traded symbol first."""
    found: dict[str, list[ChartTrade]] = {}
    for one in trades:
        found.setdefault(one.symbol, []).append(ChartTrade(
            entry_s=one.entry_ns // NS_PER_SECOND, exit_s=one.exit_ns // NS_PER_SECOND,
            sign=one.side.sign, entry=one.entry_price, exit=one.exit_price,
            stop=one.stop_price if one.stop_price > 0.0 else None, qty=one.qty,
            r=round(one.r_multiple, 4) if one.risk_amount > 0.0 else None, net=round(one.pnl, 4),
            reason=fmt.words(one.exit_reason.value), model=one.model,
        ))
    order = sorted(found, key=lambda symbol: (-len(found[symbol]), symbol))
    return {symbol: sorted(found[symbol], key=lambda one: (one.entry_s, one.exit_s)) for symbol in order}


def price_lines(prices: dict[str, tuple[IntArray, FloatArray]]) -> dict[str, dict[str, Any]]:
    """The prices (N,) of each symbol at times (N,) in ns, thinned to PRICE_POINTS in all; unknown ones left out."""
    most = max(_LEAST_POINTS, min(SYMBOL_POINTS, PRICE_POINTS // max(len(prices), 1)))
    lines = {}
    for symbol, (ts_ns, values) in prices.items():
        known = np.isfinite(values) & (values > 0.0)
        ts_s, kept = ts_ns[known] // NS_PER_SECOND, values[known]
        rows = extremes(kept, most)
        lines[symbol] = {"ts_s": ts_s[rows].tolist(), "price": [float(f"{value:.7g}") for value in kept[rows]]}
    return lines


def extremes(values: FloatArray, most: int) -> IntArray:
    """Indices of at most about *most* values: the first, the last, and the lowest and highest of each stretch."""
    if values.size <= most:
        return np.arange(values.size)
    edges = np.linspace(0, values.size, max(most // 2, 1) + 1).astype(np.int64)
    lows = [int(a + np.argmin(values[a:b])) for a, b in pairwise(edges)]
    highs = [int(a + np.argmax(values[a:b])) for a, b in pairwise(edges)]
    return np.array(sorted({0, values.size - 1, *lows, *highs}), dtype=np.int64)


# ---- the page --------------------------------------------------------------------------------------------------------
def trade_sections(trade_lists: dict[str, list[list[Any]]], prices: dict[str, dict[str, Any]]) -> str:
    """One chart for each traded symbol, the first one open, with the newest trades as a table."""
    return "".join(
        _symbol(symbol, msgspec.convert(rows, list[ChartTrade]), prices.get(symbol, {"ts_s": [], "price": []}), not at)
        for at, (symbol, rows) in enumerate(trade_lists.items())
    )


def legend() -> str:
    """The shapes of the marks, and what each shows."""
    return '<div class="key">' + "".join(
        f'<span><svg class="mark" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path class="{style}" '
        f'd="{shape}"/></svg>{escape(name)}</span>' for style, name, shape in _MARKS
    ) + "</div>"


def _symbol(symbol: str, trades: list[ChartTrade], line: dict[str, Any], first: bool) -> str:
    won = sum(one.net > 0.0 for one in trades)
    net = fmt.signed_money(float(np.sum([one.net for one in trades])))
    title = f"{symbol}: {fmt.count(len(trades))} trades, {fmt.share(won / len(trades))} won, net {net} USDT"
    chart = both(lambda size: trade_chart(f"{symbol}: price and trades", line, trades, size))
    return (
        f'<details class="trades"{" open" if first else ""}><summary>{escape(title)}</summary>'
        f'<div class="frame" data-symbol="{escape(symbol)}">{chart}</div><div class="steps"></div>'
        f"{_list(trades)}</details>"
    )


def _list(trades: list[ChartTrade]) -> str:
    """The newest trades as a table."""
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(one)) + "</tr>"
        for one in reversed(trades[-_LISTED:])
    )
    heads = (
        "Entry (UTC)", "side", "quantity", "entry", "first stop", "exit (UTC)", "exit", "R", "net USDT", "closed by",
    )
    more = f" (the newest {_LISTED} of {fmt.count(len(trades))})" if len(trades) > _LISTED else ""
    return (
        f'<details><summary>List of trades{more}</summary><div class="scroll"><table><thead><tr>'
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _cells(one: ChartTrade) -> tuple[str, ...]:
    return (
        _minute(one.entry_s), _side(one), f"{one.qty:g}", fmt.price(one.entry),
        fmt.UNKNOWN if one.stop is None else fmt.price(one.stop), _minute(one.exit_s), fmt.price(one.exit),
        fmt.UNKNOWN if one.r is None else f"{one.r:+.2f}", fmt.signed_money(one.net), one.reason,
    )


def _side(one: ChartTrade) -> str:
    return str((Side.LONG if one.sign > 0 else Side.SHORT).value)


def _minute(second: int) -> str:
    return from_ns(second * NS_PER_SECOND).strftime("%Y-%m-%d %H:%M")


def trade_chart(title: str, line: dict[str, Any], trades: Sequence[ChartTrade], size: Size) -> str:
    """The price *line* and a mark for each entry, exit and first stop."""
    values = np.array(line["price"], dtype=np.float64)
    rows = extremes(values, _DRAWN_POINTS[size.style]).tolist()
    seconds, drawn = [line["ts_s"][row] for row in rows], [line["price"][row] for row in rows]
    shown = [*drawn, *(price for one in trades for price in (one.entry, one.exit) if price > 0.0)]
    if not trades or not shown:
        return empty_chart(title, size)
    times = [*seconds[:1], *seconds[-1:], *(second for one in trades for second in (one.entry_s, one.exit_s))]
    height = 340 if size.label else 260
    frame = framed_by((min(times), max(times)), min(shown), max(shown), height=height, log=True, size=size)
    parts = axes(frame, axis_price)
    parts += [curve(frame, seconds, Line(name="price", values=drawn, style="price")), *marks(frame, trades)]
    return svg(title, frame.height, parts, size, frame)


def axis_price(value: float) -> str:
    """A price as short as an axis has room for."""
    return f"{value:,.0f}" if value >= 1_000.0 else f"{value:.4g}"


def marks(frame: Frame, trades: Sequence[ChartTrade]) -> list[str]:
    """One path for all marks of a kind."""
    drawn: dict[str, list[str]] = {style: [] for style, _, _ in reversed(_MARKS)}
    for one in trades:
        x, y, end = frame.x(one.entry_s), frame.y(one.entry), frame.x(one.exit_s)
        drawn["held"].append(f"M{x:.1f},{y:.1f}L{end:.1f},{frame.y(one.exit):.1f}")
        if one.stop is not None and frame.low <= one.stop <= frame.high:
            drawn["stop"].append(f"M{x:.1f},{frame.y(one.stop):.1f}h{max(end - x, _LEAST_LENGTH):.1f}")
        tip = "l-4,7h8z" if one.sign > 0 else "l-4,-7h8z"
        drawn["long" if one.sign > 0 else "short"].append(f"M{x:.1f},{y:.1f}{tip}")
        drawn["won" if one.net > 0.0 else "lost"].append(f"M{end:.1f},{frame.y(one.exit) - 4:.1f}l4,4 -4,4 -4,-4z")
    return [f'<path class="{style}" d="{"".join(shapes)}"/>' for style, shapes in drawn.items()]
