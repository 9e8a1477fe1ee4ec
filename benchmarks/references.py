"""The references that have no library: plain programs whose cost is made of the same things as what they stand beside.

None of them is a rival. Each is short, uses nothing of the project but its ``@kernel`` decorator, and changes only
together with the bars that are stated as ratios to it.
"""

from __future__ import annotations

import heapq
import random
from typing import Any

import msgspec
import numpy as np

from quantum_trader.market.jit import kernel


@kernel
def averages(close: Any, present: Any, state: Any, out: Any) -> int:
    """Step two averages and a range of each symbol; *out* becomes 1, -1 or 0 (a cross). Returns how many crossed."""
    crossed = 0
    for s in range(close.shape[0]):
        out[s] = 0.0
        if not present[s]:
            continue
        before = state[0, s] - state[1, s]
        state[0, s] += (close[s] - state[0, s]) * 0.02
        state[1, s] += (close[s] - state[1, s]) * 0.005
        state[2, s] += (abs(close[s] - state[3, s]) - state[2, s]) * 0.05
        state[3, s] = close[s]
        after = state[0, s] - state[1, s]
        if before * after < 0.0:
            out[s] = 1.0 if after > 0.0 else -1.0
            crossed += 1
    return crossed


@kernel
def worth(close: Any, quantity: Any, cash: float) -> float:
    """Cash and what the quantities are worth."""
    total = cash
    for s in range(close.shape[0]):
        if quantity[s] != 0.0:
            total += quantity[s] * close[s]
    return total


class PlainBot:
    """A bot as one writes it by hand: an EMA cross with a stop on many symbols, moment by moment, with JSON records.

    A moment costs what an engine's moment is made of: small numpy operations, two calls of compiled functions, Python
    between them, and encoded records. It has no policy, no guard, no venue, no models: ratios to it are far below 1.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.state = np.zeros((4, width))
        self.out = np.zeros(width)
        self.quantity = np.zeros(width)
        self.open: dict[int, dict[str, Any]] = {}
        self.cash, self.peak = 1e6, 1e6
        self.encode = msgspec.json.Encoder().encode
        self.lines: list[bytes] = []

    def run(self, times: list[int], ohlcv: Any, present: Any) -> None:
        """Take consecutive moments: *ohlcv* (T, S, 5), *present* (T, S)."""
        self.lines = []
        for row, ts_ns in enumerate(times):
            self.step(ts_ns, ohlcv[row], present[row])

    def step(self, ts_ns: int, ohlcv: Any, present: Any) -> None:
        """Take one moment: stops first, then the crosses, then the account's record."""
        close = np.ascontiguousarray(ohlcv[:, 3])
        item = ohlcv.item
        for index, position in list(self.open.items()):
            if present[index] and item(index, 2) <= position["stop"]:
                self.leave(ts_ns, index, position["stop"])
        if averages(close, present, self.state, self.out):
            for index in self.out.nonzero()[0].tolist():
                if self.out[index] < 0.0 and index in self.open:
                    self.leave(ts_ns, index, item(index, 3))
                elif self.out[index] > 0.0 and index not in self.open:
                    self.enter(ts_ns, index, item(index, 3))
        equity = float(worth(np.where(present, close, 0.0), self.quantity, self.cash))
        self.peak = max(self.peak, equity)
        known = int(np.count_nonzero(present))
        record = {"ts_ns": ts_ns, "equity": equity, "drawdown": 1.0 - equity / self.peak, "bars": known}
        self.lines.append(self.encode(record))

    def enter(self, ts_ns: int, index: int, price: float) -> None:
        """Buy, with a stop three ranges below."""
        quantity = 1_000.0 / price
        self.quantity[index] = quantity
        self.cash -= quantity * price
        self.open[index] = {"ts_ns": ts_ns, "price": price, "stop": price - 3.0 * float(self.state[2, index])}
        self.lines.append(self.encode({"kind": "entry", "symbol": index, **self.open[index]}))

    def leave(self, ts_ns: int, index: int, price: float) -> None:
        """Sell all of one symbol."""
        position = self.open.pop(index)
        self.cash += float(self.quantity[index]) * price
        self.quantity[index] = 0.0
        self.lines.append(self.encode({"kind": "exit", "at_ns": ts_ns, "at": price, "symbol": index, **position}))


@kernel
def crosses_of_settings(closes: Any, stops: Any) -> float:
    """A portfolio of EMA crosses, bar by bar, for each of some stop distances (fractions), compiled.

    No policy, no guard, no venue. Returns the sum of all results so that nothing is optimised away.
    """
    cash = 0.0
    for k in range(stops.shape[0]):
        for s in range(closes.shape[1]):
            fast = slow = closes[0, s]
            position, entry = 0, 0.0
            for t in range(closes.shape[0]):
                close = closes[t, s]
                if not close > 0.0:
                    continue
                fast += (close - fast) * 0.15
                slow += (close - slow) * 0.05
                if position and close < entry * (1.0 - stops[k]):
                    cash += (close - entry) / entry
                    position = 0
                elif not position and fast > slow:
                    position, entry = 1, close
                elif position and fast < slow:
                    cash += (close - entry) / entry
                    position = 0
    return cash


def rows_of_symbols(performance: list[Any], before: dict[str, Any]) -> dict[str, Any]:
    """Verdicts on symbols' results in plain Python: one dict a symbol, compared with those of *before*; the changes."""
    changes = {}
    for one in performance:
        blocked = one.trades >= 10 and (one.winrate < 0.3 or one.avg_r < -0.5)
        factor = 0.0 if blocked else min(1.0, 0.5 + one.winrate / 2)
        row = {"blocked": blocked, "factor": factor, "tag": one.performance_tag}
        if before.get(one.symbol) != row:
            changes[one.symbol] = row
    return changes


def scheduled_steps(count: int, seed: int = 1) -> float:
    """Run *count* events of a plain schedule: a heap of times, orders in a dict, books checked after each.

    What a simulated day is made of, without anything simulated: allocation, dicts, a heap, seeded chance.
    """
    chance = random.Random(seed)
    schedule: list[tuple[int, int, str]] = [(0, 0, "place")]
    orders: dict[str, dict[str, Any]] = {}
    position, cash, made = 0, 0.0, 0
    for number in range(1, count + 1):
        moment, _, kind = heapq.heappop(schedule)
        if kind == "place":
            made += 1
            name = f"order-{seed}-{made}"
            side, quantity = chance.choice((1, -1)), chance.randrange(1, 9)
            orders[name] = {"side": side, "quantity": quantity, "price": chance.random()}
            heapq.heappush(schedule, (moment + chance.randrange(1, 1_000), number, name))
            heapq.heappush(schedule, (moment + chance.randrange(1, 1_000), -number, "place"))
        elif (order := orders.pop(kind, None)) is not None:
            position += order["side"] * order["quantity"]
            cash -= order["side"] * order["quantity"] * order["price"]
        if sum(order["side"] * order["quantity"] for order in orders.values()) > 1_000_000 or position > 10**9:
            raise AssertionError("the books are wrong")
        if not schedule:
            heapq.heappush(schedule, (moment, number, "place"))
    return cash + position
