"""Triple-barrier labels: which of a target, a stop and a time limit a trade touches first.

Source: M. Lopez de Prado, "Advances in Financial Machine Learning" (Wiley, 2018), chapter 3, snippets 3.2 to 3.5. The
book looks at closes; here the range of each bar is looked at, because a stop is an order that fills inside a bar. The
rules within a bar are those of every shadow trade (``signals.shadow``): where a bar touches both levels the stop came
first, and where it opens beyond a level the trade ends at that open. The book labels a trade that only time ends
either by the sign of its return (snippet 3.5) or with 0 (exercise 3.3): ``sign`` has the 0, and the sign of
``gross_return`` is the other convention. A barrier is touched at its price; the book's snippet needs a close beyond it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.costs import BPS
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.signals.shadow import SHADOW_STOP, SHADOW_TARGET, shadow_exit

UNRESOLVED: Final = -1  # the bars end before the trade does

_exit = compiled(shadow_exit)


class BarrierLabels(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The outcome of each event, arrays (events,). An event that is not resolved has no label: returns are NaN."""

    win: Ints  # 1: the net return is above 0; 0: it is not; -1: not resolved
    sign: Ints  # 1: the target was touched first; -1: the stop; 0: time ended the trade, or it is not resolved
    touched: Ints  # SHADOW_STOP, SHADOW_TARGET, SHADOW_TIMEOUT of ``signals.shadow``; UNRESOLVED
    exit_bar: Ints  # index of the bar in which the trade ends; the last bar where it is not resolved
    gross_return: Floats  # fraction of the entry price, positive for a trade that gains
    net_return: Floats  # less the costs

    @property
    def resolved(self) -> Bools:
        """Which events have an outcome (events,)."""
        found: Bools = self.touched != UNRESOLVED
        return found


def triple_barrier(
    ohlc: Floats, first_bars: Ints, sides: npt.ArrayLike, target: npt.ArrayLike, stop: npt.ArrayLike, last_bars: Ints,
    cost_bps: npt.ArrayLike = 0.0, entry_prices: Floats | None = None,
) -> BarrierLabels:
    """Label events over the bars *ohlc* (bars, at least 4: open, high, low, close) of one symbol, in order of time.

    *first_bars* and *last_bars* (events,) are the first and the last bar of which the range counts; a last bar beyond
    the data leaves an event that touches nothing unresolved (:func:`vertical_barriers`). *sides* are +1 or -1;
    *target* and *stop* are distances as fractions of the entry price (infinite: no such barrier); *cost_bps* is what
    the round trip costs in basis points of the entry price. Each is one number or one per event. A trade enters at the
    open of its first bar unless *entry_prices* (events,) says otherwise. Raises InputError.
    """
    bars = np.ascontiguousarray(np.asarray(ohlc, dtype=np.float64)[:, :4])
    first, last = (np.ascontiguousarray(one, dtype=np.int64) for one in (first_bars, last_bars))
    count = len(first)
    side, up, down, cost = (
        np.ascontiguousarray(np.broadcast_to(np.asarray(one, dtype=np.float64), (count,)))
        for one in (sides, target, stop, cost_bps)
    )
    _check_events(bars, first, last, side, up, down, cost)
    entry = bars[first, 0] if entry_prices is None else np.ascontiguousarray(entry_prices, dtype=np.float64)
    require(len(entry) == count and bool((entry > 0.0).all()), "entry_prices", entry, "one positive price per event")
    touched, exit_bar, gross = _first_touches(bars, first, last, side, entry, up, down)
    net = gross - cost / BPS
    resolved = touched != UNRESOLVED
    return BarrierLabels(
        win=np.where(resolved, (net > 0.0).astype(np.int64), -1),
        sign=np.where(touched == SHADOW_TARGET, 1, np.where(touched == SHADOW_STOP, -1, 0)).astype(np.int64),
        touched=touched, exit_bar=exit_bar, gross_return=gross, net_return=net,
    )


def vertical_barriers(open_ns: Ints, first_bars: Ints, life_ns: int) -> Ints:
    """The last bar (events,) of trades that enter at the open of *first_bars* and live *life_ns*.

    *open_ns* (bars,) are the opening times of equally long bars in order, gaps allowed. The last bar is the last one
    that opens before the life is over; a trade whose life goes beyond the data gets the index after the last bar.
    Raises InputError.
    """
    require(life_ns > 0, "life_ns", life_ns, "must be above 0")
    times, first = np.asarray(open_ns, dtype=np.int64), np.asarray(first_bars, dtype=np.int64)
    require(len(times) > 1 and bool((np.diff(times) > 0).all()), "open_ns", times[:3], "two or more times in order")
    ends = times[first] + int(life_ns)
    last = np.searchsorted(times, ends, side="left") - 1
    length = int(np.diff(times).min())
    return np.where(ends > times[-1] + length, len(times), last).astype(np.int64)


def _check_events(
    bars: Floats, first: Ints, last: Ints, side: Floats, up: Floats, down: Floats, cost: Floats
) -> None:
    """Refuse events that no trade can have."""
    require(bool(np.isfinite(bars).all()), "ohlc", "not finite", "every price must be a finite number")
    require(len(last) == len(first), "last_bars", len(last), f"must have one per event ({len(first)})")
    inside = (first >= 0) & (first < len(bars))
    require(bool(inside.all()), "first_bars", first[~inside][:3], f"must be indices of the {len(bars)} bars")
    require(bool((last >= first).all()), "last_bars", last[last < first][:3], "must not come before the first bar")
    require(bool((np.abs(side) == 1.0).all()), "sides", side[np.abs(side) != 1.0][:3], "are +1 (long) or -1 (short)")
    for key, values in (("target", up), ("stop", down)):
        require(bool((values > 0.0).all()), key, values[~(values > 0.0)][:3], "must be above 0")
    require(bool(np.isfinite(cost).all()), "cost_bps", cost[~np.isfinite(cost)][:3], "must be finite")


@kernel
def _first_touches(bars: Any, first: Any, last: Any, side: Any, entry: Any, up: Any, down: Any) -> Any:
    """Touched barrier, bar and gross return of each event; arrays (events,)."""
    count, end = len(first), len(bars)
    touched = np.full(count, UNRESOLVED, dtype=np.int64)
    exit_bar = np.full(count, end - 1, dtype=np.int64)
    gross = np.full(count, np.nan)
    for event in range(count):
        sign, paid = side[event], entry[event]
        stop_price, target_price = paid * (1.0 - sign * down[event]), paid * (1.0 + sign * up[event])
        for bar in range(first[event], min(last[event] + 1, end)):
            level, code = _exit(
                sign, stop_price, target_price, bars[bar, 0], bars[bar, 1], bars[bar, 2], bars[bar, 3],
                bar == last[event],
            )
            if code >= 0:
                touched[event], exit_bar[event], gross[event] = code, bar, sign * (level / paid - 1.0)
                break
    return touched, exit_bar, gross
