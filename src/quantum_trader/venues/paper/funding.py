"""When funding is due, and at which rate: a venue's history where there is one, an assumed rate elsewhere."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import DataError

_ASSUMED_HOURS = 8.0  # an assumed rate is quoted for 8 hours


class FundingSchedule:
    """Funding times and rates of one symbol.

    Between the first and the last recorded time the record alone counts; before and after it *assumed_rate* (per 8
    hours, a fraction) applies every *interval_hours*, aligned to UTC. Recorded times are floored to the minute:
    venues stamp them some milliseconds late.
    """

    def __init__(
        self, symbol: str, times_ns: Sequence[int], rates: Sequence[float], assumed_rate: float, interval_hours: int
    ) -> None:
        self._times = [int(time) // NS_PER_MINUTE * NS_PER_MINUTE for time in times_ns]
        self._rates = [float(rate) for rate in rates]
        self._interval_ns = interval_hours * NS_PER_HOUR
        self._assumed = assumed_rate * interval_hours / _ASSUMED_HOURS
        if len(self._times) != len(self._rates):
            raise DataError(f"funding of {symbol}: {len(self._times)} times but {len(self._rates)} rates")
        for index, rate in enumerate(self._rates):
            if not math.isfinite(rate):
                raise DataError(f"funding of {symbol}: rate {rate!r} in row {index} is not finite")
            if index and self._times[index] <= self._times[index - 1]:
                raise DataError(f"funding of {symbol}: time {self._times[index]} in row {index} does not move on")

    def next_after(self, ts_ns: int) -> int:
        """Return the first funding time after *ts_ns*."""
        assumed = (ts_ns // self._interval_ns + 1) * self._interval_ns
        index = bisect_right(self._times, ts_ns)
        if index == len(self._times):
            return assumed
        return min(assumed, self._times[0]) if index == 0 else self._times[index]

    def rate_at(self, ts_ns: int) -> float:
        """Return the rate of the funding time *ts_ns*: the recorded one, else the assumed one."""
        index = bisect_right(self._times, ts_ns) - 1
        return self._rates[index] if index >= 0 and self._times[index] == ts_ns else self._assumed

    def due(self, after_ns: int, until_ns: int) -> list[tuple[int, float]]:
        """Return (time, rate) of every funding after *after_ns* and up to *until_ns*."""
        found = []
        moment = self.next_after(after_ns)
        while moment <= until_ns:
            found.append((moment, self.rate_at(moment)))
            moment = self.next_after(moment)
        return found
