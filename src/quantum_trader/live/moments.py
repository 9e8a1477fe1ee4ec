"""The bars of moments that are not decided on yet: the one place that holds them.

A moment is the open time that the bars of all symbols share. Its bars arrive one by one; they are written to the input
log in parts, and the moment is decided on once it is complete or has waited long enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantum_trader.live.inputs import BarsReceived


class _Moment:
    """The bars of one moment, (S, 5) and (S,), and what became of them so far."""

    __slots__ = ("arrived", "ohlcv", "present", "received", "unwritten", "written")

    def __init__(self, symbols: int) -> None:
        self.ohlcv = np.full((symbols, 5), np.nan)
        self.present = np.zeros(symbols, dtype=np.bool_)
        self.received = np.zeros(symbols, dtype=np.bool_)  # by this process; a restored bar is received again
        self.arrived = 0  # symbols that are received
        self.unwritten: list[int] = []  # received symbols whose bars are not in the input log yet, in order of arrival
        self.written = np.zeros(symbols, dtype=np.bool_)  # in the input log, of this process or an earlier one


class MomentBars:
    """Bars by the moment (open time, ns) they belong to."""

    def __init__(self, symbols: int) -> None:
        """*symbols* is the number of symbols, S."""
        self.symbols = symbols
        self._moments: dict[int, _Moment] = {}

    def add(self, ts_ns: int, index: int, bar: tuple[float, ...], traded: bool) -> bool:
        """Add a symbol's bar (open, high, low, close, volume); False when it was received before.

        *traded*: whether the bar had volume; a symbol without volume counts as absent.
        """
        moment = self._moment(ts_ns)
        if moment.received[index]:
            return False
        moment.ohlcv[index] = bar
        moment.present[index] = traded
        moment.received[index] = True
        moment.arrived += 1
        moment.unwritten.append(index)
        return True

    def moments(self) -> list[int]:
        """The moments with at least one received bar, oldest first."""
        return sorted(ts_ns for ts_ns, moment in self._moments.items() if moment.arrived)

    def first(self) -> int | None:
        """The oldest moment with a received bar; None when there is none."""
        return min((ts_ns for ts_ns, moment in self._moments.items() if moment.arrived), default=None)

    def arrived(self, ts_ns: int) -> int:
        """How many symbols' bars of a moment were received."""
        moment = self._moments.get(ts_ns)
        return moment.arrived if moment is not None else 0

    def unwritten(self, ts_ns: int) -> int:
        """How many received bars of a moment are not in the input log yet."""
        moment = self._moments.get(ts_ns)
        return len(moment.unwritten) if moment is not None else 0

    def traded_bar(self, ts_ns: int, index: int) -> Any:
        """A symbol's bar (5,) of a moment; None when it is absent."""
        moment = self._moments.get(ts_ns)
        return moment.ohlcv[index] if moment is not None and moment.present[index] else None

    def entry(self, ts_ns: int, received_ns: int) -> BarsReceived:
        """Return the bars of a moment that are not in the input log yet, as the input to write; they count as written.

        *received_ns* 0: others are awaited.
        """
        moment = self._moment(ts_ns)
        some, moment.unwritten = moment.unwritten, []
        moment.written[some] = True
        return BarsReceived.of(ts_ns, received_ns, moment.ohlcv, moment.present, some)

    def put(self, event: BarsReceived) -> None:
        """Put the bars of an input that is written into their moment."""
        moment = self._moment(event.ts_ns)
        moment.written[event.symbols()] = True
        event.put(moment.ohlcv, moment.present)

    def take(self, ts_ns: int) -> tuple[Any, Any]:
        """Return a moment's bars, (S, 5) and (S,), and forget this moment and earlier ones."""
        moment = self._moment(ts_ns)
        for passed in [one for one in self._moments if one <= ts_ns]:
            del self._moments[passed]
        return moment.ohlcv, moment.present

    def state(self) -> list[list[Any]]:
        """The bars that are in the input log, as a plain value: a list of moment, (S, 5), (S,)."""
        kept = []
        for ts_ns, moment in self._moments.items():
            if moment.written.any():
                bars = np.where(moment.written[:, None], moment.ohlcv, np.nan)
                kept.append([ts_ns, bars, moment.present & moment.written])
        return kept

    def load_state(self, state: list[list[Any]]) -> None:
        """Continue from :meth:`state`."""
        self._moments.clear()
        for ts_ns, ohlcv, present in state:
            moment = self._moment(ts_ns)
            moment.ohlcv, moment.present = ohlcv.copy(), present.copy()
            moment.written = ~np.isnan(moment.ohlcv[:, 3])

    def _moment(self, ts_ns: int) -> _Moment:
        moment = self._moments.get(ts_ns)
        if moment is None:
            moment = self._moments[ts_ns] = _Moment(self.symbols)
        return moment
