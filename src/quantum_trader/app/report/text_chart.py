"""A price with one trade on it, or a curve alone, drawn with letters for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from quantum_trader.app.report.trade_charts import ChartTrade, axis_price
from quantum_trader.domain.clock import NS_PER_SECOND, from_ns

HEIGHT: Final = 11
PRICE, STOP, LONG, SHORT, WON, LOST = "·", "-", "▲", "▼", "◆", "◇"


class _Grid(msgspec.Struct):
    """Cells of the drawing, and how times and prices map to them."""

    cells: list[list[str]]
    first: int
    last: int
    low: float
    high: float

    def column(self, second: float) -> int:
        """The column of a time."""
        most = len(self.cells[0]) - 1
        return min(max(round((second - self.first) / max(self.last - self.first, 1) * most), 0), most)

    def line(self, price: float) -> int:
        """The line of a price; the highest is 0."""
        most = len(self.cells) - 1
        share = (self.high - price) / ((self.high - self.low) or 1.0)
        return min(max(round(share * most), 0), most)

    def put(self, second: float, price: float, letter: str) -> None:
        """Write one letter."""
        self.cells[self.line(price)][self.column(second)] = letter


def text_chart(seconds: Sequence[int], price: Sequence[float], one: ChartTrade, width: int = 88) -> str:
    """The *price* at *seconds* with the entry, the first stop and the exit of *one*, in lines of *width* letters."""
    known = [*price, one.entry, one.exit, *([one.stop] if one.stop is not None else [])]
    times = [*seconds, one.entry_s, one.exit_s]
    labels = max(len(axis_price(value)) for value in (min(known), max(known))) + 1
    room = max(width - labels, 10)
    grid = _Grid(
        [[" "] * room for _ in range(HEIGHT)], min(times), max(times), float(min(known)), float(max(known)),
    )
    if one.stop is not None:
        for column in range(grid.column(one.entry_s), grid.column(one.exit_s) + 1):
            grid.cells[grid.line(one.stop)][column] = STOP
    for second, value in _thinned(grid, seconds, price):
        grid.put(second, value, PRICE)
    grid.put(one.entry_s, one.entry, LONG if one.sign > 0 else SHORT)
    grid.put(one.exit_s, one.exit, WON if one.net > 0.0 else LOST)
    marked = {0: grid.high, HEIGHT - 1: grid.low, grid.line(one.entry): one.entry}
    lines = [
        (axis_price(marked[number]) if number in marked else "").rjust(labels - 1) + " " + "".join(row).rstrip()
        for number, row in enumerate(grid.cells)
    ]
    left, right = (from_ns(second * NS_PER_SECOND).date().isoformat() for second in (grid.first, grid.last))
    lines.append(" " * labels + left + right.rjust(room - len(left)))
    won = f"{WON} exit with a profit" if one.net > 0.0 else f"{LOST} exit with a loss"
    entry = f"{LONG} entry, long" if one.sign > 0 else f"{SHORT} entry, short"
    lines.append(" " * labels + f"{PRICE} price   {entry}   {won}" + (f"   {STOP} first stop" if one.stop else ""))
    return "\n".join(lines)


def text_curve(seconds: Sequence[int], values: Sequence[float], width: int = 88, height: int = HEIGHT) -> str:
    """*values* at *seconds* (since 1970, ascending) in *height* lines of *width* letters, and a line of dates below.

    Empty where there is no value.
    """
    if not values:
        return ""
    low, high = float(min(values)), float(max(values))
    labels = max(len(axis_price(low)), len(axis_price(high))) + 1
    room = max(width - labels, 10)
    grid = _Grid([[" "] * room for _ in range(max(height, 2))], min(seconds), max(seconds), low, high)
    for second, value in _thinned(grid, seconds, values):
        grid.put(second, value, PRICE)
    marked = {0: axis_price(high), len(grid.cells) - 1: axis_price(low)}
    lines = [
        marked.get(number, "").rjust(labels - 1) + " " + "".join(row).rstrip() for number, row in enumerate(grid.cells)
    ]
    left, right = (from_ns(second * NS_PER_SECOND).date().isoformat() for second in (grid.first, grid.last))
    return "\n".join([*lines, " " * labels + left + right.rjust(room - len(left))])


def _thinned(grid: _Grid, seconds: Sequence[int], price: Sequence[float]) -> list[tuple[float, float]]:
    """One price a column: the last in it."""
    columns = np.array([grid.column(second) for second in seconds], dtype=np.int64)
    ends = np.flatnonzero(np.diff(columns, append=-1))
    return [(float(seconds[row]), float(price[row])) for row in ends.tolist()]
