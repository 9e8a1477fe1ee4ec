"""Funding: when it is due and at which rate, and what each open position pays or receives."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import DataError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import FundingPayment
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.venues.paper.account import PaperAccount
from quantum_trader.venues.paper.fills import funding_amount

FundingHistory = Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]  # symbol -> (times in ns, rates)

_ASSUMED_HOURS: Final = 8.0  # an assumed rate is quoted for 8 hours
_RATES_KEPT: Final = 64
_NEVER: Final = 2**63 - 1


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

    def interval_ns(self, ts_ns: int) -> int:
        """Return the time between the last funding up to *ts_ns* and the next; within the record as recorded."""
        index = bisect_right(self._times, ts_ns)
        if 0 < index < len(self._times):
            return self._times[index] - self._times[index - 1]
        return self._interval_ns

    def due(self, after_ns: int, until_ns: int) -> list[tuple[int, float]]:
        """Return (time, rate) of every funding after *after_ns* and up to *until_ns*."""
        found = []
        moment = self.next_after(after_ns)
        while moment <= until_ns:
            found.append((moment, self.rate_at(moment)))
            moment = self.next_after(moment)
        return found


class AnnouncedFunding(FundingSchedule):
    """Funding times and rates of one symbol as a venue announces them while it runs.

    From the first announcement on the announced fundings alone count; before it the assumed rate applies.
    """

    def __init__(self, instrument: Instrument, assumed_rate: float) -> None:
        super().__init__(instrument.symbol, (), (), assumed_rate, instrument.funding_interval_hours)
        self._began_ns = 0  # minute of the first announcement: it stands in the record and is no funding

    def announce(self, due_ns: int, rate: float, moment_ns: int) -> bool:
        """Set the *rate* of the funding at *due_ns*, until a newer announcement; return whether the time is new."""
        due = due_ns // NS_PER_MINUTE * NS_PER_MINUTE
        if self._times and due <= self._times[-1]:
            if due == self._times[-1]:
                self._rates[-1] = rate
            return False
        if not self._times and (began := moment_ns // NS_PER_MINUTE * NS_PER_MINUTE) < due:
            self._began_ns = began
            self._times, self._rates = [began], [0.0]
        self._times = [*self._times[-_RATES_KEPT:], due]
        self._rates = [*self._rates[-_RATES_KEPT:], rate]
        return True

    def due(self, after_ns: int, until_ns: int) -> list[tuple[int, float]]:
        """Return (time, rate) of every funding after *after_ns* and up to *until_ns*."""
        return [(moment, rate) for moment, rate in super().due(after_ns, until_ns) if moment != self._began_ns]

    def state(self) -> list[Any]:
        """Return what was announced, as plain values."""
        return [self._began_ns, list(self._times), list(self._rates)]

    def load_state(self, state: Sequence[Any]) -> None:
        """Continue from :meth:`state`."""
        self._began_ns = int(state[0])
        self._times, self._rates = [int(ts_ns) for ts_ns in state[1]], [float(rate) for rate in state[2]]


class FundingLedger:
    """Charges funding to the open positions. *schedules* are in the row order of the account."""

    def __init__(self, schedules: Sequence[FundingSchedule], account: PaperAccount) -> None:
        self.schedules = tuple(schedules)
        self.next_ns = _NEVER  # when the next funding of any open position is due
        self._account = account
        self._paid_until_ns = [0] * len(self.schedules)

    def charge(self, batch: MarketBatch, symbols: Sequence[str], events: list[VenueEvent]) -> None:
        """Charge every funding since the last one on each open position that has a bar; the mark is the open."""
        for index, holding in enumerate(self._account.holdings):
            mark = batch.ohlcv.item(index, 0)
            if holding.qty == 0.0 or not batch.present[index] or not mark > 0.0:
                continue
            for _, rate in self.schedules[index].due(self._paid_until_ns[index], batch.ts_ns):
                amount = funding_amount(holding.qty, mark, rate)
                self._account.cash += amount
                events.append(
                    FundingPayment(
                        symbol=symbols[index], ts_ns=batch.ts_ns, rate=rate, mark_price=mark, qty=holding.qty,
                        amount=amount,
                    )
                )
            self._paid_until_ns[index] = batch.ts_ns
        self.plan()

    def begin(self, index: int, ts_ns: int) -> None:
        """Charge the symbol from *ts_ns* on: its position has just been opened."""
        self._paid_until_ns[index] = ts_ns

    def plan(self) -> None:
        """Find when the next funding of any open position is due."""
        self.next_ns = min(
            (
                schedule.next_after(self._paid_until_ns[index])
                for index, schedule in enumerate(self.schedules)
                if self._account.holdings[index].qty != 0.0
            ),
            default=_NEVER,
        )

    def state(self) -> list[int]:
        """Return until when each symbol's funding was charged, in ns."""
        return list(self._paid_until_ns)

    def load_state(self, state: Sequence[int]) -> None:
        """Continue from :meth:`state`."""
        self._paid_until_ns = [int(ts_ns) for ts_ns in state]


def funding_schedules(
    instruments: Sequence[Instrument], history: FundingHistory, assumed_rate: float
) -> list[FundingSchedule]:
    """Return each instrument's schedule; *assumed_rate* (per 8 hours, a fraction) applies without a history."""
    found = []
    for instrument in instruments:
        times, rates = history.get(instrument.symbol, ((), ()))
        found.append(
            FundingSchedule(
                instrument.symbol, [int(ts_ns) for ts_ns in times], [float(rate) for rate in rates], assumed_rate,
                instrument.funding_interval_hours,
            )
        )
    return found
