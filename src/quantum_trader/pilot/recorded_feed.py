"""What a recording knows of each symbol beside its bars: funding paid, and when the next payment is due."""

from __future__ import annotations

from typing import Final

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.recording import Recording
from quantum_trader.pilot.feed_columns import FEED_SIZE, FUNDING_8H, HOURS_TO_FUNDING

_EIGHT_HOURS: Final = 8 * NS_PER_HOUR


def recorded_feed(recording: Recording, ts_ns: Ints) -> Floats:
    """The feed (T, S, 5) at the closes of the base bars that opened at *ts_ns* (T,), columns in ``feed_columns``.

    A payment is known once a bar has opened at its time or later, as in a replay. The next payment is due one
    interval after the last one, the interval being the time between the last two, at most 8 hours; before the
    first payment, and for symbols whose rate is only assumed, at 00, 08 and 16 UTC. A recording has no order book.
    """
    feed = np.full((len(ts_ns), len(recording.symbols), FEED_SIZE), np.nan)
    for place, symbol in enumerate(recording.symbols):
        times, rates = np.empty(0, dtype=np.int64), np.empty(0)
        if symbol in recording.funding:
            times, rates = recording.funding[symbol][0], recording.funding_8h[symbol]
        paid = np.searchsorted(times, ts_ns, side="right")
        feed[:, place, FUNDING_8H] = np.concatenate([[np.nan], rates])[paid]
        feed[:, place, HOURS_TO_FUNDING] = _hours_to_next(times, paid, ts_ns + recording.interval_ns)
    return feed


def _hours_to_next(times: Ints, paid: Ints, closes_ns: Ints) -> Floats:
    """Hours from each close to the first payment after it, from the payments that were made by then, *paid* of them."""
    gaps = np.diff(times, prepend=times[:1] - _EIGHT_HOURS)
    lasts = np.concatenate([[0], times])[paid]
    intervals = np.minimum(np.concatenate([[_EIGHT_HOURS], gaps])[paid], _EIGHT_HOURS)
    passed = (closes_ns - lasts) % intervals
    return np.asarray((intervals - passed) / NS_PER_HOUR)
