"""The funding that each symbol was last charged, and when the next payment is due, as a running system learns of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.market.arrays import Floats
from quantum_trader.pilot.feed_columns import FEED_SIZE, FUNDING_8H, HOURS_TO_FUNDING

_EIGHT_HOURS: Final = 8 * NS_PER_HOUR


class PaidRates:
    """Payments by symbol. A replay states each payment; a venue announces the rate of the next one while it runs.

    What a recording says of the same moments (``recorded_feed``) is the same.
    """

    def __init__(self, count: int) -> None:
        self._last_ns = np.zeros(count, dtype=np.int64)
        self._interval_ns = np.full(count, _EIGHT_HOURS, dtype=np.int64)
        self._rates: Floats = np.full(count, np.nan)
        self._announced: Floats = np.full(count, np.nan)
        self._announced_ns = np.zeros(count, dtype=np.int64)
        self._due: Floats = np.zeros(count)  # rates of payments made since they were last asked for
        self._asked_ns = 0

    def pay(self, place: int, ts_ns: int, rate_8h: float) -> None:
        """Take a payment of *ts_ns* at *rate_8h* (per 8 hours, a fraction); one that is known already changes nothing.
        """
        last = int(self._last_ns[place])
        if ts_ns <= last:
            return
        self._interval_ns[place] = min(ts_ns - last, _EIGHT_HOURS) if last else _EIGHT_HOURS
        self._last_ns[place], self._rates[place] = ts_ns, rate_8h
        if np.isfinite(rate_8h):
            self._due[place] += rate_8h * float(self._interval_ns[place]) / _EIGHT_HOURS

    def announce(self, place: int, rate_8h: float, now_ns: int) -> None:
        """Take the rate of the next payment as the venue announces it at *now_ns*."""
        self.pass_to(now_ns)
        self._announced[place], self._announced_ns[place] = rate_8h, now_ns

    def pass_to(self, now_ns: int) -> None:
        """Let the payments up to *now_ns* be made at the announced rates, where a rate was announced before them."""
        if np.isnan(self._announced).all():
            return
        for place in np.flatnonzero(~np.isnan(self._announced)).tolist():
            due_ns = now_ns // int(self._interval_ns[place]) * int(self._interval_ns[place])
            if due_ns > self._last_ns[place] and due_ns > self._announced_ns[place]:
                interval = int(self._interval_ns[place])
                self.pay(place, due_ns, float(self._announced[place]))
                self._interval_ns[place] = interval

    def due(self, ts_ns: int, assumed_8h: Floats) -> Floats:
        """The sum of the rates (S,) that fell due since this was last asked, up to *ts_ns*, the open of a bar.

        Symbols without any payment pay the rate *assumed_8h* (S,) every 8 hours.
        """
        found = self._due.copy()
        self._due[:] = 0.0
        times = ts_ns // _EIGHT_HOURS - self._asked_ns // _EIGHT_HOURS if self._asked_ns else 0
        if times:
            known = np.where(np.isfinite(assumed_8h), assumed_8h, 0.0)
            found = np.where(self._last_ns == 0, known * times, found)
        self._asked_ns = ts_ns
        return found

    def feed(self, now_ns: int) -> Floats:
        """The feed (S, 5) at *now_ns*, the close of a bar, columns in ``feed_columns``; what is not known is NaN."""
        found = np.full((len(self._rates), FEED_SIZE), np.nan)
        found[:, FUNDING_8H] = self._rates
        passed = (now_ns - self._last_ns) % self._interval_ns
        found[:, HOURS_TO_FUNDING] = (self._interval_ns - passed) / NS_PER_HOUR
        return found

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as arrays."""
        return {
            "last_ns": self._last_ns.copy(), "interval_ns": self._interval_ns.copy(), "rates": self._rates.copy(),
            "announced": self._announced.copy(), "announced_ns": self._announced_ns.copy(), "due": self._due.copy(),
            "asked_ns": self._asked_ns,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._last_ns[:], self._interval_ns[:] = state["last_ns"], state["interval_ns"]
        self._rates[:], self._announced[:], self._due[:] = state["rates"], state["announced"], state["due"]
        self._announced_ns[:] = state.get("announced_ns", 0)
        self._asked_ns = state["asked_ns"]
