"""Prices as a continuous function of market time: bars, and the path assumed inside each.

Inside a bar the price goes from the open to the extreme nearer to it, on to the other one, and to the close, a third of
the bar each, in straight lines. So the price now, the bar so far and a shorter bar do not depend
on the steps in which time passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.market.recording import Recording
from quantum_trader.market.store import Values
from quantum_trader.venues.local.api_errors import VenueApiError

_CORNERS: Final = 3  # open, first extreme, second extreme; the close is the last corner's end
_ROOM: Final = 64


class Tape:
    """Bars of *instruments*, oldest first; rows may be appended. Times in ns, the bar's open.

    *ohlcv* (T, S, 5), *present* (T, S). A symbol without a bar keeps its last close and does not trade.
    """

    def __init__(
        self, instruments: Sequence[Instrument], interval_ns: int, ts_ns: NDArray[np.int64], ohlcv: Values,
        present: NDArray[np.bool_],
    ) -> None:
        self.instruments = tuple(instruments)
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.index = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.interval_ns = interval_ns
        self._size = len(ts_ns)
        self._ts, self._ohlcv, self._present = ts_ns, ohlcv, present
        self._ticks = np.array([instrument.tick_size for instrument in instruments])

    @classmethod
    def of_recording(cls, recording: Recording, instruments: Sequence[Instrument], shift_ns: int = 0) -> Tape:
        """The whole of *recording* in memory, *shift_ns* later."""
        chunk = recording.arrays()
        return cls(instruments, recording.interval_ns, chunk.ts_ns + shift_ns, chunk.ohlcv, chunk.present)

    @classmethod
    def empty(cls, instruments: Sequence[Instrument], interval_ns: int) -> Tape:
        """Return a tape without bars; :meth:`append` adds them."""
        size = len(instruments)
        return cls(
            instruments, interval_ns, np.empty(0, dtype=np.int64), np.empty((0, size, 5)),
            np.empty((0, size), dtype=np.bool_),
        )

    # ------------------------------------------------------------------ rows

    def __len__(self) -> int:
        return self._size

    @property
    def ts_ns(self) -> NDArray[np.int64]:
        """Opening times of the rows."""
        return self._ts[: self._size]

    @property
    def ohlcv(self) -> Values:
        """Bars, shape (T, S, 5)."""
        return self._ohlcv[: self._size]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which symbols have a bar, shape (T, S)."""
        return self._present[: self._size]

    @property
    def end_ns(self) -> int:
        """When the last bar closes; 0 without bars."""
        return int(self._ts[self._size - 1]) + self.interval_ns if self._size else 0

    def append(self, ts_ns: int, ohlcv: Values, present: NDArray[np.bool_]) -> None:
        """Add one row; InputError when its time does not move on."""
        if ts_ns % self.interval_ns or ts_ns < self.end_ns:
            raise InputError(f"ts_ns = {ts_ns}: must be a multiple of {self.interval_ns} and not before {self.end_ns}")
        if self._size == len(self._ts):
            room = max(_ROOM, self._size)
            self._ts = np.concatenate([self._ts, np.empty(room, dtype=np.int64)])
            self._ohlcv = np.concatenate([self._ohlcv, np.empty((room, *self._ohlcv.shape[1:]))])
            self._present = np.concatenate([self._present, np.empty((room, self._present.shape[1]), dtype=np.bool_)])
        self._ts[self._size], self._ohlcv[self._size], self._present[self._size] = ts_ns, ohlcv, present
        self._size += 1

    def row_of(self, symbol: str) -> int:
        """Return the row of *symbol*; -1121 when it is unknown."""
        index = self.index.get(symbol)
        if index is None:
            raise VenueApiError(-1121)
        return index

    def row_at(self, now_ns: int) -> int:
        """Last row that opened at or before *now_ns*; -1 before the first."""
        return int(np.searchsorted(self.ts_ns, now_ns, side="right")) - 1

    # ------------------------------------------------------------------ the path

    def corners(self, row: int) -> Values:
        """Prices at the four corners of *row*, shape (4, S): open, nearer extreme, other extreme, close."""
        open_, high, low, close = (self._ohlcv[row, :, column] for column in range(4))
        low_first = open_ - low <= high - open_
        return np.stack([open_, np.where(low_first, low, high), np.where(low_first, high, low), close])

    def next_corner(self, row: int, now_ns: int) -> int:
        """Time of the first corner of *row* after *now_ns*."""
        start, third = int(self._ts[row]), self.interval_ns // _CORNERS
        passed = (now_ns - start) // third
        return start + (passed + 1) * third if passed < _CORNERS - 1 else start + self.interval_ns

    def prices(self, row: int, now_ns: int) -> Values:
        """Price of each symbol at *now_ns*, which lies in or after *row*; NaN where *row* has no bar. Shape (S,)."""
        corners: Values = self.corners(row)
        third = self.interval_ns // _CORNERS
        leg, rest = divmod(min(max(now_ns - int(self._ts[row]), 0), self.interval_ns), third)
        if leg >= _CORNERS or now_ns >= int(self._ts[row]) + self.interval_ns:
            final: Values = corners[_CORNERS]
            return final
        start, end = corners[leg], corners[leg + 1]
        if rest == 0:
            corner: Values = start
            return corner
        middle = start + (end - start) * (rest / third)
        return np.asarray(np.round(middle / self._ticks) * self._ticks)

    def bar_so_far(self, row: int, now_ns: int) -> Values:
        """The running bar of *row* up to *now_ns*, shape (S, 5); volume grows with time."""
        elapsed = min(max(now_ns - int(self._ts[row]), 0), self.interval_ns)
        bar: Values = self._ohlcv[row].copy()
        if elapsed >= self.interval_ns:
            return bar
        price, corners = self.prices(row, now_ns), self.corners(row)
        seen = [corners[leg] for leg in range(_CORNERS) if leg * (self.interval_ns // _CORNERS) <= elapsed]
        points = np.stack([*seen, price])
        bar[:, 1], bar[:, 2], bar[:, 3] = points.max(axis=0), points.min(axis=0), price
        bar[:, 4] *= elapsed / self.interval_ns
        return bar

    # ------------------------------------------------------------------ questions

    def bars(self, index: int, interval_ns: int, start_ns: int, end_ns: int, now_ns: int, limit: int) -> Values:
        """Bars of one symbol that open in [start, end] and at or before *now_ns*, rows (open time, o, h, l, c, v).

        A longer interval is made of what is there, a shorter one of the path inside each bar; the last bar is the
        running one. With a start the first *limit* are returned, without (start 0) the last. InputError for an
        interval the tape cannot make.
        """
        if not self.can_make(interval_ns):
            raise InputError(f"interval = {interval_ns} ns: does not go evenly with bars of {self.interval_ns} ns")
        if interval_ns < self.interval_ns:
            return self._short_bars(index, interval_ns, start_ns, end_ns, now_ns, limit)
        last = self.row_at(now_ns)
        span = -(-interval_ns // self.interval_ns)
        first = max(0, int(np.searchsorted(self.ts_ns, start_ns - interval_ns, side="right")))
        final = min(last + 1, int(np.searchsorted(self.ts_ns, end_ns + interval_ns, side="left")))
        room = (limit + 2) * span
        if start_ns > 0:
            final = min(final, first + room)
        else:
            first = max(first, final - room)
        if first >= final:
            return np.empty((0, 6))
        rows = np.column_stack([self.ts_ns[first:final].astype(np.float64), self._ohlcv[first:final, index]])
        if final == last + 1:
            rows[-1, 1:] = self.bar_so_far(last, now_ns)[index]
        times = self.ts_ns[first:final][self.present[first:final, index]]
        rows = rows[self.present[first:final, index]]
        return _cut(_grouped(times, rows, interval_ns), first > 0, start_ns, end_ns, limit)

    def can_make(self, interval_ns: int) -> bool:
        """Whether bars of *interval_ns* can be made of this tape's."""
        return interval_ns % self.interval_ns == 0 or self.interval_ns % interval_ns == 0

    def _short_bars(
        self, index: int, interval_ns: int, start_ns: int, end_ns: int, now_ns: int, limit: int
    ) -> Values:
        """Bars shorter than the tape's: pieces of the path."""
        parts = self.interval_ns // interval_ns
        last = self.row_at(min(now_ns, end_ns))
        first = max(0, self.row_at(start_ns)) if start_ns > 0 else max(0, last - limit // parts - 1)
        last = min(last, first + limit // parts + 1)
        pieces = [self._pieces(row, index, parts, now_ns) for row in range(first, last + 1) if self.present[row, index]]
        if not pieces:
            return np.empty((0, 6))
        return _cut(np.concatenate(pieces), False, start_ns, end_ns, limit)

    def _pieces(self, row: int, index: int, parts: int, now_ns: int) -> Values:
        """One row as *parts* bars, those that opened by *now_ns*."""
        opened, corners = int(self._ts[row]), self.corners(row)[:, index]
        share = min(1.0, (now_ns - opened) / self.interval_ns)
        edges = np.append(np.arange(parts) / parts, 1.0)
        edges = np.append(edges[:-1][edges[:-1] <= share], 0.0)
        edges[-1] = min(share, (len(edges) - 1) / parts)
        at = np.arange(_CORNERS + 1) / _CORNERS
        tick = self._ticks[index]
        path = np.round(np.interp(edges, at, corners) / tick) * tick
        bars = np.empty((len(edges) - 1, 6))
        for part in range(len(bars)):
            inside = corners[(at > edges[part]) & (at < edges[part + 1])]
            points = np.concatenate([path[part : part + 2], inside])
            volume = self._ohlcv[row, index, 4] * (edges[part + 1] - edges[part])
            at_ns = opened + part * self.interval_ns // parts
            bars[part] = at_ns, path[part], points.max(), points.min(), path[part + 1], volume
        return bars

    def last_price(self, index: int, now_ns: int) -> float:
        """Price of one symbol at *now_ns*, or its last before; 0.0 when it never traded."""
        row = self.row_at(now_ns)
        if row >= 0 and self._present[row, index]:
            return float(self.prices(row, now_ns)[index])
        there = np.flatnonzero(self.present[: max(row, 0), index])
        return float(self._ohlcv[there[-1], index, 3]) if len(there) else 0.0

    def day_rows(self, now_ns: int) -> slice:
        """Rows of the last 24 hours, the running one included."""
        last = self.row_at(now_ns)
        return slice(int(np.searchsorted(self.ts_ns, now_ns - NS_PER_DAY, side="right")), last + 1)


def _grouped(times: NDArray[np.int64], rows: Values, interval_ns: int) -> Values:
    """*rows* (time, o, h, l, c, v) as bars of *interval_ns*."""
    if not len(rows):
        return rows
    opens = times // interval_ns * interval_ns
    starts = np.flatnonzero(np.concatenate([[True], opens[1:] != opens[:-1]]))
    ends = np.concatenate([starts[1:], [len(rows)]]) - 1
    return np.column_stack([
        opens[starts].astype(np.float64), rows[starts, 1], np.maximum.reduceat(rows[:, 2], starts),
        np.minimum.reduceat(rows[:, 3], starts), rows[ends, 4], np.add.reduceat(rows[:, 5], starts),
    ])


def _cut(bars: Values, torn: bool, start_ns: int, end_ns: int, limit: int) -> Values:
    """Return the requested bars; the first one of a *torn* stretch may lack rows and is dropped if others exist."""
    inside = bars[(bars[:, 0] >= start_ns) & (bars[:, 0] <= end_ns)]
    if start_ns > 0:
        return inside[:limit]
    return (inside[1:] if torn and len(inside) > 1 else inside)[-limit:]
