"""How long a live driver waits for what, and what it tells of itself."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from quantum_trader.domain.errors import VenueError

UNREACHED: Final = (VenueError, TimeoutError)  # what a question may end with when there is no answer


class LiveTiming(msgspec.Struct, frozen=True, kw_only=True):
    """How long a live driver waits for what. Seconds."""

    bar_wait_s: float = 2.0  # for the last symbols of a moment
    reconcile_s: float = 60.0
    look_again_s: float = 2.0  # after a difference was seen
    request_timeout_s: float = 10.0
    tick_s: float = 1.0
    attention_s: float = 5.0  # between two tries to protect or close a position
    silence_s: float = 10.0  # between two tries to fetch bars that are overdue
    klines_s: float = 180.0  # a symbol whose bars cannot be had for this long is left out until they come again
    klines_timeout_s: float = 90.0  # of one question for bars: it may take several pages, and wait for its turn
    leverage_s: float = 90.0  # a leverage read back longer ago is read back again before an opening
    lost_s: float = 5.0  # a stream that is down this long is a matter for the governor
    connect_timeout_s: float = 60.0
    checkpoint_s: float = 30.0
    backoff_s: float = 0.25  # first wait after a failure; it doubles
    backoff_most_s: float = 5.0
    stop_s: float = 10.0  # for requests under way when it stops
    warm_bars: int = 500  # fetched at the first start
    leverage_pace_s: float = 0.0  # between two symbols whose leverage is set ahead of an opening; 0: when one comes


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a driver is: progress, not existence."""

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
    reconciled_ns: int  # the last look
    requests: int  # under way
    waits_for: str  # before it can trade; empty once it can
    counts: dict[str, int]


class Backoff:
    """The waits between tries of one thing: each twice the one before, up to a most, or as long as the venue asks."""

    def __init__(self, timing: LiveTiming) -> None:
        self._wait_s, self._most_s = timing.backoff_s, timing.backoff_most_s

    async def pause(self, error: BaseException | None = None) -> None:
        """Wait before the next try after *error*."""
        await asyncio.sleep(max(getattr(error, "retry_after_s", 0.0), self._wait_s))
        self._wait_s = min(2.0 * self._wait_s, self._most_s)
