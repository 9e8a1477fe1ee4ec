"""How market time follows real time: at a speed, or as fast as the machine can."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from quantum_trader.domain.errors import ConfigError

if TYPE_CHECKING:
    from quantum_trader.venues.local.exchange import Exchange

_STEPS_A_BAR: Final = 4  # at full speed


class MarketClock:
    """Market time at *speed* times real time; None means as fast as possible, a quarter of a bar at a time."""

    def __init__(self, speed: float | None, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        if speed is not None and not 0.0 < speed < float("inf"):
            raise ConfigError(f"speed = {speed!r}: must be above 0 and finite, or None for as fast as possible")
        self.speed = speed
        self._monotonic_ns = monotonic_ns
        self._origin = (0, 0)

    def start(self, market_ns: int) -> None:
        """Start at the market time *market_ns*."""
        self._origin = (market_ns, self._monotonic_ns())

    def set_speed(self, speed: float, market_ns: int) -> None:
        """Continue from *market_ns* at another speed."""
        self.speed = speed
        self.start(market_ns)

    def now_ns(self, exchange: Exchange) -> int:
        """Return the market time that is due."""
        if self.speed is None:
            due = exchange.now_ns + exchange.tape.interval_ns // _STEPS_A_BAR
            return min(due, max(exchange.now_ns, exchange.tape.end_ns))
        market_ns, started = self._origin
        return market_ns + int((self._monotonic_ns() - started) * self.speed)

    def pause_s(self, tick_s: float, moved: bool) -> float:
        """Return how long to pause before the next step (s); 0 at full speed while time moves."""
        return 0.0 if self.speed is None and moved else tick_s
