"""What a benchmark is: a named function that yields figures, each beside a reference measured in the same run.

A machine may be three times as fast as another, and busy or quiet, so a figure alone says little. Each benchmark
therefore times a reference that does the same kind of work, in turns with what it measures (A B A B ...), and a bar is
a bound of the ratio value ÷ reference. The value is the figure to quote, the ratio the one to compare.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure. *at_least* and *at_most* are the bar: bounds of the ratio value ÷ reference."""

    name: str
    value: float
    unit: str
    reference: float
    reference_name: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        """Value ÷ reference; None when the reference is 0."""
        return self.value / self.reference if self.reference else None

    @property
    def passed(self) -> bool | None:
        """Whether the ratio keeps the bar; None without a bar or without a ratio."""
        if self.ratio is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )

    @property
    def bar(self) -> str:
        """The bar in words, empty without one."""
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return " and ".join(f"ratio {sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def row(self) -> dict[str, Any]:
        """The figure as written to bench.json."""
        return asdict(self) | {"bar": self.bar, "ratio": self.ratio, "passed": self.passed}


Bench = Callable[[], Iterable[Figure]]
BENCHES: dict[str, Bench] = {}


class Pair(NamedTuple):
    """What was measured, and its reference, in the same unit."""

    value: float
    reference: float


def bench(name: str) -> Callable[[Bench], Bench]:
    """Register a benchmark under *name*."""

    def register(function: Bench) -> Bench:
        BENCHES[name] = function
        return function

    return register


def seconds(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def fastest_in_turns(turns: int, subject: Callable[[], float], reference: Callable[[], float]) -> Pair:
    """The fewest seconds of *turns* calls of each, in turns; both return the seconds of what they time.

    The minimum is what the work costs when nothing else runs, so that a busy moment of the machine spoils one
    turn only.
    """
    pairs = [(subject(), reference()) for _ in range(turns)]
    return Pair(min(pair[0] for pair in pairs), min(pair[1] for pair in pairs))


def median_us_in_turns(
    count: int, subject: Callable[[int], object], reference: Callable[[int], object], turns: int = 10
) -> Pair:
    """Median microseconds of *count* calls of ``subject(i)`` and of ``reference(i)``, in *turns* blocks of each."""
    times: tuple[list[int], list[int]] = ([], [])
    now, size = time.perf_counter_ns, count // turns
    for begin in range(0, size * turns, size):
        for call, taken in zip((subject, reference), times, strict=True):
            for i in range(begin, begin + size):
                started = now()
                call(i)
                taken.append(now() - started)
    return Pair(statistics.median(times[0]) / 1_000.0, statistics.median(times[1]) / 1_000.0)
