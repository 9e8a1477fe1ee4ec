"""One symbol's bars as a stream: from a store's file or from arrays, checked once, then read in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.market.checks import find_gaps, is_hole, refuse_bad_bars
from quantum_trader.market.store import Times, Values, read_series, series_span

_VOLUME = 4
_CLOSE = 3


class Series(Protocol):
    """Bars of one symbol in order of time, readable any number of times."""

    symbol: str
    where: str  # the file or arrays, as named in errors

    def pieces(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, Times, Values]]:
        """Yield (first row from 1, ts (n,), ohlcv (n, 5)) covering at least [start_ns, end_ns)."""
        ...

    def span(self) -> tuple[int, int]:
        """First and last opening time (ns) of the whole series."""
        ...


class StoredSeries:
    """A series in a bar store's file."""

    def __init__(self, symbol: str, path: Path) -> None:
        self.symbol = symbol
        self.where = str(path)
        self._path = path

    def pieces(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, Times, Values]]:
        """Read the file's row groups that touch the range."""
        return read_series(self._path, start_ns, end_ns)

    def span(self) -> tuple[int, int]:
        """Read the file's first and last opening time."""
        return series_span(self._path)


class ArraySeries:
    """A series in memory: ts (n,) and ohlcv (n, 5)."""

    def __init__(self, symbol: str, ts_ns: Times, ohlcv: Values, where: str) -> None:
        self.symbol = symbol
        self.where = where
        self._ts = ts_ns
        self._ohlcv = ohlcv

    def pieces(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, Times, Values]]:
        """Yield the whole series as one piece."""
        if len(self._ts):
            yield 1, self._ts, self._ohlcv

    def span(self) -> tuple[int, int]:
        """Return the first and last opening time (ns); (0, 0) when empty."""
        return (int(self._ts[0]), int(self._ts[-1])) if len(self._ts) else (0, 0)


def has_bars(series: Series, start_ns: int, end_ns: int) -> bool:
    """Whether *series* has a bar that opens in [start_ns, end_ns)."""
    return any(bool(((ts >= start_ns) & (ts < end_ns)).any()) for _, ts, _ in series.pieces(start_ns, end_ns))


class SymbolReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and range of one symbol's bars in the recording's range."""

    symbol: str
    rows: int
    first_ns: int
    last_ns: int
    gaps: int
    missing_bars: int
    outages: int  # bars without volume
    holes: int  # more than a day without a traded bar, the end of the series included


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one pass over a series."""

    rows: int
    outages: int
    gaps: int
    missing_bars: int
    first_ns: int
    last_ns: int
    last_present_ns: int
    first_close: float
    holes: list[int]  # opening time of the last traded bar before each hole
    digest: bytes


class SeriesScanner:
    """Checks a series in pieces and counts its bars, outages, gaps and holes."""

    def __init__(self, series: Series, interval_ns: int, zero_volume_is_outage: bool) -> None:
        self._series = series
        self._interval_ns = interval_ns
        self._outages_absent = zero_volume_is_outage
        self._rows = self._outages = self._gaps = self._missing = 0
        self._first_ns = self._last_ns = self._last_present = -1
        self._first_close = float("nan")
        self._holes: list[int] = []
        self._digests = (hashlib.sha256(), hashlib.sha256())

    def scan(self, start_ns: int, end_ns: int, occupied: NDArray[np.bool_], origin_ns: int) -> Scan:
        """Check all bars in [start_ns, end_ns), mark their moments in *occupied* and return the sums.

        *occupied* is a grid of moments from *origin_ns*, one cell an interval. DataError on the first bad bar.
        """
        for row, ts, ohlcv in self._series.pieces(start_ns, end_ns):
            inside = (ts >= start_ns) & (ts < end_ns)
            if not inside.any():
                continue
            # Only the ends are cut, so that rows keep their numbers; bars out of order inside the range are refused.
            first, last = int(inside.argmax()), len(inside) - int(inside[::-1].argmax())
            times = ts[first:last]
            self._take(row + first, times, ohlcv[first:last])
            occupied[(times - origin_ns) // self._interval_ns] = True
        return self._result()

    def _take(self, row: int, ts: Times, ohlcv: Values) -> None:
        previous = self._last_ns if self._rows else None
        refuse_bad_bars(self._series.where, ts, ohlcv, self._interval_ns, first_row=row, previous_ns=previous)
        if previous is None:
            self._first_ns = int(ts[0])
            joined = ts
        else:
            joined = np.concatenate(([previous], ts))
        gaps = find_gaps(joined, self._interval_ns)
        self._gaps += len(gaps)
        self._missing += sum(gap.missing_bars for gap in gaps)
        self._rows += len(ts)
        self._last_ns = int(ts[-1])
        traded = ohlcv[:, _VOLUME] > 0.0
        self._outages += int((~traded).sum())
        present = ts[traded] if self._outages_absent else ts
        closes = ohlcv[traded, _CLOSE] if self._outages_absent else ohlcv[:, _CLOSE]
        if len(present):
            self._take_present(present, closes)
        self._digests[0].update(np.ascontiguousarray(ts, dtype="<i8").data)
        self._digests[1].update(np.ascontiguousarray(ohlcv, dtype="<f8").data)

    def _take_present(self, present: Times, closes: Values) -> None:
        if self._last_present < 0:
            self._first_close = float(closes[0])
            joined = present
        else:
            joined = np.concatenate(([self._last_present], present))
        breaks = np.flatnonzero(np.diff(joined) > NS_PER_DAY)
        self._holes += [
            int(joined[index]) for index in breaks
            if is_hole(int(joined[index]), int(joined[index + 1]), self._interval_ns)
        ]
        self._last_present = int(present[-1])

    def _result(self) -> Scan:
        return Scan(
            rows=self._rows, outages=self._outages, gaps=self._gaps, missing_bars=self._missing,
            first_ns=self._first_ns, last_ns=self._last_ns, last_present_ns=self._last_present,
            first_close=self._first_close, holes=self._holes,
            digest=self._digests[0].digest() + self._digests[1].digest(),
        )


class SeriesReader:
    """Reads a series forward: each call of :meth:`until` continues after the last one."""

    def __init__(self, series: Series, start_ns: int, end_ns: int) -> None:
        self._pieces = series.pieces(start_ns, end_ns)
        self._start_ns = start_ns
        self._ts: Times = np.empty(0, dtype=np.int64)
        self._ohlcv: Values = np.empty((0, 5))
        self._ended = False

    def until(self, end_ns: int) -> tuple[Times, Values]:
        """Return the bars that open before *end_ns* and were not returned yet."""
        found_ts, found = [self._ts], [self._ohlcv]
        while not self._ended and (len(found_ts[-1]) == 0 or found_ts[-1][-1] < end_ns):
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                break
            first = int(np.searchsorted(piece[1], self._start_ns))
            found_ts.append(piece[1][first:])
            found.append(piece[2][first:])
        ts = np.concatenate(found_ts) if len(found_ts) > 1 else found_ts[0]
        ohlcv = np.concatenate(found) if len(found) > 1 else found[0]
        cut = int(np.searchsorted(ts, end_ns))
        self._ts, self._ohlcv = ts[cut:], ohlcv[cut:]
        return ts[:cut], ohlcv[:cut]
