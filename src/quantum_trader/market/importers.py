"""Import of bar files into the store: everything is checked first, then all of it is written, or none.

A bad bar stops the import with an error that names it. With ``drop_bad`` the caller leaves bad bars out, and the
report lists them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import DataError
from quantum_trader.market.bar_files import SUFFIXES, BarFile, read_bar_file
from quantum_trader.market.checks import BarFault, Gap, find_faults, find_gaps, is_hole
from quantum_trader.market.intervals import interval_ns
from quantum_trader.market.store import (
    Times,
    Values,
    columns_of,
    intervals_of,
    merge_series,
    read_series,
    series_path,
    symbols_of,
)


class FileFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault and its file."""

    path: str
    fault: BarFault

    def text(self) -> str:
        """File and fault as a sentence."""
        return f"{self.path}: {self.fault.text()}"


class SeriesReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and range of one series over its files."""

    kind: str
    symbol: str
    interval: str
    files: int
    rows: int  # good rows
    first_ns: int
    last_ns: int
    gaps: tuple[Gap, ...]
    missing_bars: int
    holes: int  # gaps of more than a day
    outages: int
    duplicates: int
    time_errors: int  # backwards or off the grid
    ohlc_errors: int
    bad_rows: int
    added: int = 0  # rows new to the store


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The series, faults and gaps of an import, and whether bad rows were left out."""

    series: tuple[SeriesReport, ...]
    faults: tuple[FileFault, ...]
    dropped: bool = False

    @property
    def bad_rows(self) -> int:
        """Rows with at least one fault, over all series."""
        return sum(one.bad_rows for one in self.series)


class _Joined(msgspec.Struct, kw_only=True):
    """One series put together from its files, good rows and faults apart."""

    kind: str
    symbol: str
    interval: str
    files: int
    ts_ns: Times
    values: Values
    faults: list[FileFault]
    bad_rows: int


def bar_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the bar files among *paths*, folders searched through, in order; DataError when there are none."""
    found: list[Path] = []
    given = list(paths)
    for path in given:
        if path.is_dir():
            found += sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
        else:
            found.append(path)
    if not found:
        raise DataError(f"{', '.join(map(str, given))}: there are no bar files; looked for {', '.join(SUFFIXES)}")
    return found


def inspect_files(
    paths: Sequence[Path], symbol: str | None = None, interval: str | None = None
) -> ImportReport:
    """Read and check *paths* (files or folders) and report; nothing is written."""
    return _report(_read_all(paths, symbol, interval))


def inspect_store(root: Path) -> ImportReport:
    """Check every series of a bar store, file by file."""
    joined = []
    for kind in ("bars", "mark"):
        for interval in intervals_of(root) if kind == "bars" else _mark_intervals(root):
            for symbol in symbols_of(root, interval, kind):
                joined.append(_join([_stored(root, kind, interval, symbol)]))
    if not joined:
        raise DataError(f"{root}: there are no bars (expected {root}/bars_1m/BTCUSDT.parquet or the like)")
    return _report(joined)


def _mark_intervals(root: Path) -> list[str]:
    return sorted(path.name.removeprefix("mark_") for path in root.glob("mark_*") if path.is_dir())


def _stored(root: Path, kind: str, interval: str, symbol: str) -> BarFile:
    path = series_path(root, interval, symbol, kind)
    pieces = list(read_series(path, columns=columns_of(kind)))
    ts = np.concatenate([piece[1] for piece in pieces]) if pieces else np.empty(0, dtype=np.int64)
    values = np.concatenate([piece[2] for piece in pieces]) if pieces else np.empty((0, len(columns_of(kind))))
    if kind == "mark":
        values = np.column_stack((values, np.zeros(len(ts))))
    rows = np.arange(1, len(ts) + 1, dtype=np.int64)
    return BarFile(
        path=str(path), kind=kind, symbol=symbol, interval=interval, ts_ns=ts, ohlcv=values, rows=rows
    )


def import_files(
    paths: Sequence[Path],
    root: Path,
    symbol: str | None = None,
    interval: str | None = None,
    *,
    drop_bad: bool = False,
) -> ImportReport:
    """Import *paths* (files or folders) into the bar store *root*.

    Nothing is written unless every file can be read and, without *drop_bad*, every bar is good: DataError names the
    first bad one. Bars of the files replace stored bars of the same time.
    """
    joined = _read_all(paths, symbol, interval)
    report = _report(joined, dropped=drop_bad)
    if report.faults and not drop_bad:
        more = f" ({len(report.faults) - 1} more faults)" if len(report.faults) > 1 else ""
        raise DataError(
            f"{report.faults[0].text()}{more}. Nothing was imported; repair the source, or say --drop-bad to leave "
            f"out the {report.bad_rows} bad rows"
        )
    if empty := [one.symbol for one in joined if not len(one.ts_ns)]:
        raise DataError(f"{', '.join(empty)}: no good bar is left. Nothing was imported")
    added = _write_all(joined, root)
    series = [msgspec.structs.replace(told, added=new) for told, new in zip(report.series, added, strict=True)]
    return msgspec.structs.replace(report, series=tuple(series))


def _write_all(joined: Sequence[_Joined], root: Path) -> list[int]:
    """Write every series beside the store, then move all of them into place; return the new rows of each."""
    incoming = root / ".incoming"
    made_root = not root.exists()
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        paths, added = [], []
        for one in joined:
            values = one.values[:, : len(columns_of(one.kind))]
            path, new = merge_series(root, one.interval, one.symbol, one.ts_ns, values, one.kind, into=incoming)
            paths.append(path)
            added.append(new)
        for path in paths:
            place = root / path.relative_to(incoming)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
    except OSError as error:
        raise DataError(f"{root}: cannot be written ({error}); free space or choose another folder") from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
        if made_root and root.is_dir() and not any(root.iterdir()):
            root.rmdir()
    return added


def _read_all(paths: Sequence[Path], symbol: str | None, interval: str | None) -> list[_Joined]:
    groups: dict[tuple[str, str, str], list[BarFile]] = {}
    for path in bar_paths(paths):
        for file in read_bar_file(path, symbol, interval):
            groups.setdefault((file.kind, file.symbol, file.interval), []).append(file)
    return [_join(files) for _, files in sorted(groups.items(), key=lambda item: item[0])]


def _join(files: Sequence[BarFile]) -> _Joined:
    """Put the files of one series together in the order of their first bars; every fault keeps its file and row."""
    step_ns = interval_ns(files[0].interval)
    ordered = sorted(files, key=lambda file: int(file.ts_ns[0]) if len(file.ts_ns) else 0)
    times: list[Times] = []
    values: list[Values] = []
    faults: list[FileFault] = []
    bad_rows = 0
    previous: int | None = None
    for file in ordered:
        found = find_faults(file.ts_ns, file.ohlcv, step_ns, previous_ns=previous)
        if found and times:
            found = _relabel_duplicates(found, np.concatenate(times))
        good = _good_rows(found, len(file.ts_ns))
        bad_rows += int((~good).sum())
        faults += [
            FileFault(path=file.path, fault=msgspec.structs.replace(fault, row=int(file.rows[fault.row - 1])))
            for fault in found
        ]
        times.append(file.ts_ns[good])
        values.append(file.ohlcv[good])
        if good.any():
            previous = max(int(times[-1].max()), previous or 0)
    return _Joined(
        kind=files[0].kind, symbol=files[0].symbol, interval=files[0].interval, files=len(files),
        ts_ns=np.concatenate(times), values=np.concatenate(values), faults=faults, bad_rows=bad_rows,
    )


def _relabel_duplicates(faults: Sequence[BarFault], earlier: Times) -> list[BarFault]:
    """Relabel a "time goes backwards" fault as a duplicate where an earlier file has the same time."""
    return [
        msgspec.structs.replace(fault, kind="duplicate")
        if fault.kind == "time goes backwards" and fault.ts_ns in earlier else fault
        for fault in faults
    ]


def _good_rows(faults: Sequence[BarFault], rows: int) -> NDArray[np.bool_]:
    good = np.ones(rows, dtype=bool)
    good[[fault.row - 1 for fault in faults]] = False
    return good


def _report(joined: Sequence[_Joined], dropped: bool = False) -> ImportReport:
    return ImportReport(
        series=tuple(_series_report(one) for one in joined),
        faults=tuple(fault for one in joined for fault in one.faults),
        dropped=dropped and any(one.faults for one in joined),
    )


def _series_report(one: _Joined) -> SeriesReport:
    step_ns = interval_ns(one.interval)
    gaps = find_gaps(one.ts_ns, step_ns)
    kinds = [entry.fault.kind for entry in one.faults]
    duplicates = kinds.count("duplicate")
    time_errors = kinds.count("time goes backwards") + kinds.count("off the grid")
    return SeriesReport(
        kind=one.kind, symbol=one.symbol, interval=one.interval, files=one.files, rows=len(one.ts_ns),
        first_ns=int(one.ts_ns[0]) if len(one.ts_ns) else 0, last_ns=int(one.ts_ns[-1]) if len(one.ts_ns) else 0,
        gaps=tuple(gaps), missing_bars=sum(gap.missing_bars for gap in gaps),
        holes=sum(is_hole(gap.last_ns, gap.next_ns, step_ns) for gap in gaps),
        outages=int((one.values[:, 4] == 0.0).sum()) if one.kind == "bars" else 0,
        duplicates=duplicates, time_errors=time_errors, ohlc_errors=len(kinds) - duplicates - time_errors,
        bad_rows=one.bad_rows,
    )


def gap_text(gap: Gap) -> str:
    """The gap as a sentence."""
    return f"{gap.missing_bars} bars missing between {iso(gap.last_ns)} and {iso(gap.next_ns)}"
