"""The funding that each symbol was last charged, and when the next payment is due, as a running system learns of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.market.arrays import Floats
from quantum_trader.pilot.feed_columns import FEED_SIZE, FUNDING_8H, HOURS_TO_FUNDING

_EIGHT_HOURS: Final = 8 * NS_PER_HOUR
_LAST_NS: Final = (1 << 63) - 1  # that an array holds; a time beyond it is nobody's


class PaidRates:
    """Payments by symbol. A replay states each payment; a venue announces the rate of the next one while it runs.

    What a recording says of the same moments (``recorded_feed``) is the same.
    """

    def __init__(self, count: int, hours: Sequence[int] | None = None) -> None:
        """*hours* (S,): the interval of each contract, until two of its payments tell it; 8 where it is not given."""
        self._last_ns = np.zeros(count, dtype=np.int64)
        self._interval_ns = np.full(count, _EIGHT_HOURS, dtype=np.int64)
        self._listed_ns = np.array([one * NS_PER_HOUR for one in hours or [8] * count], dtype=np.int64)
        self._is_told = np.zeros(count, dtype=np.bool_)  # two payments in a row have told the interval
        self._rates: Floats = np.full(count, np.nan)
        self._announced: Floats = np.full(count, np.nan)
        self._announced_ns = np.zeros(count, dtype=np.int64)
        self._waiting: list[tuple[int, int, float]] = []  # time, place and rate of payments that nobody asked for yet
        self._none: Floats = np.zeros(count)
        self._asked_ns = -1  # nobody has asked yet

    def pay(self, place: int, ts_ns: int, rate_8h: float, rate: float | None = None) -> None:
        """Take a payment of *ts_ns* at *rate_8h* (per 8 hours, a fraction); one that is known already changes nothing.

        *rate*: what is paid, of the notional; without it that follows from the time since the payment before.
        """
        last = int(self._last_ns[place])
        if ts_ns <= last:
            return
        self._interval_ns[place] = min(ts_ns - last, _EIGHT_HOURS) if last else _EIGHT_HOURS
        self._is_told[place] = last > 0
        self._last_ns[place], self._rates[place] = ts_ns, rate_8h
        paid = rate_8h * float(self._charged_ns(place)) / _EIGHT_HOURS if rate is None else rate
        if math.isfinite(paid):
            self._waiting.append((ts_ns, place, paid))

    def _charged_ns(self, place: int) -> int:
        """The time that a payment is for."""
        return int(self._interval_ns[place] if self._is_told[place] else self._listed_ns[place])

    def announce(self, place: int, rate_8h: float, now_ns: int) -> None:
        """Take the rate of the next payment as the venue announces it at *now_ns*."""
        self.pass_to(now_ns)
        self._announced[place], self._announced_ns[place] = rate_8h, min(now_ns, _LAST_NS)

    def pass_to(self, now_ns: int) -> None:
        """Let the payments up to *now_ns* be made at the announced rates, where a rate was announced before them."""
        if np.isnan(self._announced).all():
            return
        for place in np.flatnonzero(~np.isnan(self._announced)).tolist():
            interval, is_told = self._charged_ns(place), bool(self._is_told[place])
            due_ns = min(now_ns, _LAST_NS) // interval * interval
            if due_ns > self._last_ns[place] and due_ns > self._announced_ns[place]:
                rate_8h = float(self._announced[place])
                self.pay(place, due_ns, rate_8h, rate_8h * interval / _EIGHT_HOURS)
                self._interval_ns[place], self._is_told[place] = interval, is_told

    def due(self, ts_ns: int, assumed_8h: Floats) -> Floats:
        """The sum of the rates (S,) that fell due since this was last asked, up to *ts_ns*, the open of a bar.

        The first question is answered with none. Symbols without any payment pay the rate *assumed_8h* (S,) at 00, 08
        and 16 UTC. The answer is not changed afterwards, nor may the caller change it.
        """
        asked_ns, self._asked_ns = self._asked_ns, ts_ns
        found = self._none
        if asked_ns >= 0 and (times := ts_ns // _EIGHT_HOURS - asked_ns // _EIGHT_HOURS):
            known = np.where(np.isfinite(assumed_8h), assumed_8h, 0.0)
            found = np.where(self._last_ns == 0, known * times, 0.0)
        if not self._waiting:
            return found
        found, later = found.copy(), []
        for one in sorted(self._waiting):
            if one[0] > ts_ns:
                later.append(one)
            elif asked_ns >= 0:
                found[one[1]] += one[2]
        self._waiting = later
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
            "announced": self._announced.copy(), "announced_ns": self._announced_ns.copy(),
            "is_told": self._is_told.copy(), "waiting": [list(one) for one in self._waiting],
            "asked_ns": self._asked_ns,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._last_ns[:], self._interval_ns[:] = state["last_ns"], state["interval_ns"]
        self._rates[:], self._announced[:] = state["rates"], state["announced"]
        self._announced_ns[:] = state.get("announced_ns", 0)
        self._is_told[:] = state.get("is_told", self._last_ns > 0)
        # A folder of before payments had times has the sums that are due.
        sums = enumerate(np.asarray(state.get("due", ())).tolist())
        waiting = state["waiting"] if "waiting" in state else [(0, place, rate) for place, rate in sums if rate]
        self._waiting = [(int(ts_ns), int(place), float(rate)) for ts_ns, place, rate in waiting]
        self._asked_ns = state["asked_ns"] or -1  # older folders: 0 where nobody had asked
