"""The waits and periods of a live driver, and its health report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from quantum_trader.domain.errors import VenueError

T = TypeVar("T")

UNREACHED: Final = (VenueError, TimeoutError)  # how a request ends that was not answered


class LiveTiming(msgspec.Struct, frozen=True, kw_only=True):
    """The waits and periods of a live driver. Seconds."""

    bar_wait_s: float = 2.0  # for the last symbols of a moment
    reconcile_s: float = 60.0
    look_again_s: float = 2.0  # until the next comparison, after a difference
    request_timeout_s: float = 10.0
    tick_s: float = 1.0
    attention_s: float = 5.0  # between two tries to protect or close a position
    silence_s: float = 10.0  # between two tries to fetch bars that are overdue
    klines_s: float = 180.0  # a symbol whose bars cannot be fetched for this long is left out until they come again
    klines_timeout_s: float = 90.0  # of one request for bars: it may take several pages and wait for its turn
    leverage_s: float = 90.0  # a leverage read back longer ago is read back again before an opening
    lost_s: float = 5.0  # a stream that is down this long raises the governor
    connect_timeout_s: float = 60.0
    checkpoint_s: float = 30.0
    backoff_s: float = 0.25  # first wait after a failure; it doubles
    backoff_most_s: float = 5.0
    stop_s: float = 10.0  # for requests under way when it stops
    warm_bars: int = 500  # fetched at the first start
    leverage_pace_s: float = 0.0  # between two symbols whose leverage is set ahead of an opening; 0: set by openings


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The health of a driver, measured by its progress."""

    ts_ns: int
    ready: bool
    market_up: bool
    user_up: bool
    lag_s: float  # how long the next bars are overdue
    clock_offset_ms: float
    queue_fill: float
    last_event_ns: int
    last_bars_ns: int  # close of the newest bars decided on
    unreconciled_s: float  # how long venue and books have not agreed
    reconciled_ns: int  # the last comparison
    requests: int  # under way
    waits_for: str  # what the start waits for; empty once it can trade
    counts: dict[str, int]


class Backoff:
    """The waits between tries of one request: each twice the last one up to a limit, or as long as the venue asks."""

    def __init__(self, timing: LiveTiming) -> None:
        self._wait_s, self._most_s = timing.backoff_s, timing.backoff_most_s

    async def pause(self, error: BaseException | None = None) -> None:
        """Wait before the next try after *error*."""
        await asyncio.sleep(max(getattr(error, "retry_after_s", 0.0), self._wait_s))
        self._wait_s = min(2.0 * self._wait_s, self._most_s)


async def until_answered(
    request: Callable[[], Awaitable[T]], timing: LiveTiming, timeout_s: float, failed: Callable[[], None]
) -> T:
    """Return the answer of *request*, tried again and again with a backoff; *failed* is called for every failure."""
    backoff = Backoff(timing)
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                return await request()
        except UNREACHED as error:
            failed()
            await backoff.pause(error)
