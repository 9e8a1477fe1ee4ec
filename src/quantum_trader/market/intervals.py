"""Bar intervals by name: the length of each, and which of them the bar store supports."""

from __future__ import annotations

from typing import Final

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, DataError

INTERVALS: Final = {
    "1m": NS_PER_MINUTE,
    "3m": 3 * NS_PER_MINUTE,
    "5m": 5 * NS_PER_MINUTE,
    "15m": 15 * NS_PER_MINUTE,
    "30m": 30 * NS_PER_MINUTE,
    "1h": NS_PER_HOUR,
    "2h": 2 * NS_PER_HOUR,
    "4h": 4 * NS_PER_HOUR,
    "6h": 6 * NS_PER_HOUR,
    "8h": 8 * NS_PER_HOUR,
    "12h": 12 * NS_PER_HOUR,
    "1d": NS_PER_DAY,
}

RUN_INTERVALS: Final = tuple(name for name, length in INTERVALS.items() if NS_PER_HOUR % length == 0)
"""The intervals of bars that runs take; for models of longer bars they make those of them."""


def why_no_run(interval: str) -> str:
    """Why no run takes bars of *interval*, and what to do, as a sentence; empty where runs take them."""
    if interval in RUN_INTERVALS:
        return ""
    return (
        f"no run takes bars of {interval}: runs take bars of {', '.join(RUN_INTERVALS)}, and make longer ones of them "
        "for the models that look at those; get the same time in bars of 1h or shorter"
    )


def check_run_interval(interval: str) -> None:
    """Raise ConfigError where no run takes bars of *interval*."""
    if why := why_no_run(interval):
        raise ConfigError(f"--bars {interval}: {why}")


def interval_ns(interval: str) -> int:
    """Length of *interval* ("5m") in nanoseconds; DataError lists the supported ones."""
    if interval not in INTERVALS:
        raise DataError(f"interval {interval!r} is not known: use one of {', '.join(INTERVALS)}")
    return INTERVALS[interval]


def interval_name(length_ns: int) -> str:
    """Name of the interval that is *length_ns* long; DataError when there is none."""
    for name, length in INTERVALS.items():
        if length == length_ns:
            return name
    seconds = length_ns / 1e9
    raise DataError(f"bars are {seconds:g} s apart, which is no known interval: use one of {', '.join(INTERVALS)}")
