"""The funding rates that were known at bars of the past, where a live session fetches those bars late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quantum_trader.market.arrays import Floats, Ints


class PastRates:
    """Rates per 8 hours that the venue has charged, by symbol, for bars that open before a given time.

    Later bars have the rates of the live stream. What is no longer needed is dropped.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Ints, Floats, int]] = {}  # symbol's index -> times, rates, until when they count

    def note(self, index: int, times_ns: Ints, rates_8h: Floats, until_ns: int) -> None:
        """Take the payments (n,) of one symbol, times increasing; they count for bars that open before *until_ns*."""
        self._known[index] = times_ns, rates_8h, until_ns

    def at(self, ts_ns: int, otherwise: Floats) -> Floats:
        """The rates (S,) known when the base bar that opened at *ts_ns* closed, as a replay knows them.

        NaN before a symbol's first payment; *otherwise* for symbols without past rates at that time.
        """
        if not self._known:
            return otherwise
        rates = otherwise.copy()
        for index, (times, rates_8h, until_ns) in list(self._known.items()):
            if ts_ns >= until_ns:
                del self._known[index]
                continue
            newest = int(np.searchsorted(times, ts_ns, side="right")) - 1
            rates[index] = rates_8h[newest] if newest >= 0 else np.nan
        return rates

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {str(index): [times, rates, until] for index, (times, rates, until) in self._known.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._known = {
            int(index): (np.array(times), np.array(rates), int(until)) for index, (times, rates, until) in state.items()
        }
