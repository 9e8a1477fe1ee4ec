"""What a benchmark is: a named function that returns figures, each with a reference measured in the same run.

Machines are noisy; the ratio to the reference is the figure to compare between runs, the value the one to quote.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure. *ratio* is value / reference; *bar* is what the issue asks for, as text."""

    name: str
    value: float
    unit: str
    reference: float
    reference_name: str
    bar: str = ""

    def row(self) -> dict[str, Any]:
        """The figure as written to bench.json."""
        plain = asdict(self)
        plain["ratio"] = self.value / self.reference if self.reference else None
        return plain


Bench = Callable[[], list[Figure]]
BENCHES: dict[str, Bench] = {}


def bench(name: str) -> Callable[[Bench], Bench]:
    """Register a benchmark under *name*."""

    def register(function: Bench) -> Bench:
        BENCHES[name] = function
        return function

    return register


def best_of(runs: int, call: Callable[[], object]) -> float:
    """Seconds of the fastest of *runs* calls."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def median_us(count: int, call: Callable[[int], object]) -> float:
    """Median microseconds of *count* calls of ``call(i)``."""
    times = []
    for i in range(count):
        started = time.perf_counter_ns()
        call(i)
        times.append(time.perf_counter_ns() - started)
    return statistics.median(times) / 1_000.0


def ema_cross_loop(closes: list[float]) -> float:
    """The reference loop: two averages, a cross, a stop, bar by bar in plain Python, as a hand-written bot has it."""
    fast = slow = closes[0]
    position, entry, cash = 0, 0.0, 0.0
    for close in closes:
        fast += (close - fast) * 0.15
        slow += (close - slow) * 0.05
        if position and close < entry * 0.98:
            cash += close - entry
            position = 0
        elif not position and fast > slow:
            position, entry = 1, close
        elif position and fast < slow:
            cash += close - entry
            position = 0
    return cash
