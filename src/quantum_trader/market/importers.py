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
from quantum_trader.market.file_names import FUNDING, NotBarsError
from quantum_trader.market.intervals import interval_ns, why_no_run
from quantum_trader.market.store import (
    Times,
    Values,
    columns_of,
    intervals_of,
    joined_funding,
    merge_series,
    read_funding,
    read_series,
    series_path,
    symbols_of,
    whole_minutes,
    write_funding,
)


class BadBarsError(DataError):
    """Files that can be read, with bars that cannot be used."""


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


class FundingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and range of one symbol's funding payments over its files."""

    symbol: str
    files: int
    rows: int
    first_ns: int
    last_ns: int
    added: int = 0  # payments new to the store


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The series, faults and gaps of an import, and whether bad rows were left out."""

    series: tuple[SeriesReport, ...]
    faults: tuple[FileFault, ...]
    dropped: bool = False
    funding: tuple[FundingReport, ...] = ()
    skipped: tuple[str, ...] = ()  # files of a folder that are no bars, each as a sentence
    notices: tuple[str, ...] = ()  # what was assumed, each as a sentence

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


class _Funding(msgspec.Struct, kw_only=True):
    """One symbol's funding payments over its files: times (n,) rising, rates (n,)."""

    symbol: str
    files: int
    ts_ns: Times
    rates: Values


class _Read(msgspec.Struct, kw_only=True):
    """Everything that the files of an import hold."""

    bars: list[_Joined]
    funding: list[_Funding]
    skipped: list[str]
    notices: list[str]


def bar_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the bar files among *paths*, folders searched through, in order; DataError for a path without any."""
    found: list[Path] = []
    given = list(paths)
    for path in given:
        if path.is_dir():
            tables = (one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
            found += sorted(one for one in tables if not _is_leftover(one))
        elif not path.exists():
            raise DataError(f"{path}: there is no such file or folder")
        else:
            found.append(path)
    if not found:
        raise DataError(f"{', '.join(map(str, given))}: there are no bar files; looked for {', '.join(SUFFIXES)}")
    return found


def _is_leftover(path: Path) -> bool:
    """Whether macOS put the file there beside the real one."""
    return path.name.startswith("._") or "__MACOSX" in path.parts


def inspect_files(
    paths: Sequence[Path], symbol: str | None = None, interval: str | None = None
) -> ImportReport:
    """Read and check *paths* (files or folders) and report; nothing is written."""
    read = _read_all(paths, symbol, interval)
    return _with_others(_report(read.bars), read)


def inspect_store(root: Path) -> ImportReport:
    """Check every series of a bar store, file by file."""
    joined = []
    for kind in ("bars", "mark"):
        for interval in intervals_of(root) if kind == "bars" else _mark_intervals(root):
            for symbol in symbols_of(root, interval, kind):
                joined.append(_join([_stored(root, kind, interval, symbol)]))
    if not joined:
        raise DataError(f"{root}: there are no bars (expected {root}/bars_1m/BTCUSDT.parquet or the like)")
    return _noted(_report(joined))


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
    read = _read_all(paths, symbol, interval)
    joined = read.bars
    report = _report(joined, dropped=drop_bad)
    if report.faults and not drop_bad:
        more = f" ({len(report.faults) - 1} more faults)" if len(report.faults) > 1 else ""
        raise BadBarsError(
            f"{report.faults[0].text()}{more}. Nothing was imported; repair the source, or say --drop-bad to leave "
            f"out the {report.bad_rows} bad rows"
        )
    if empty := [one.symbol for one in joined if not len(one.ts_ns)]:
        raise BadBarsError(f"{', '.join(empty)}: no good bar is left. Nothing was imported")
    added, paid = _write_all(joined, read.funding, root)
    series = [msgspec.structs.replace(told, added=new) for told, new in zip(report.series, added, strict=True)]
    return _with_others(msgspec.structs.replace(report, series=tuple(series)), read, paid)


def _with_others(report: ImportReport, read: _Read, added: Sequence[int] = ()) -> ImportReport:
    """*report* with the funding, the files left out and the notices of *read*; *added* payments of each symbol."""
    funding = tuple(
        FundingReport(
            symbol=one.symbol, files=one.files, rows=len(one.ts_ns), first_ns=int(one.ts_ns[0]),
            last_ns=int(one.ts_ns[-1]), added=added[index] if added else 0,
        )
        for index, one in enumerate(read.funding)
    )
    return _noted(msgspec.structs.replace(
        report, funding=funding, skipped=tuple(read.skipped), notices=tuple(read.notices)
    ))


def _noted(report: ImportReport) -> ImportReport:
    """*report* with a notice for each interval of bars that no run takes."""
    longer = dict.fromkeys(one.interval for one in report.series if one.kind == "bars" and why_no_run(one.interval))
    return msgspec.structs.replace(report, notices=(*report.notices, *map(why_no_run, longer)))


def _write_all(joined: Sequence[_Joined], funding: Sequence[_Funding], root: Path) -> tuple[list[int], list[int]]:
    """Write all beside the store, then move it into place; return the new rows of each series and each funding."""
    incoming = root / ".incoming"
    made_root = not root.exists()
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        paths: list[Path] = []
        added, paid = [], []
        for one in joined:
            values = one.values[:, : len(columns_of(one.kind))]
            path, new = merge_series(root, one.interval, one.symbol, one.ts_ns, values, one.kind, into=incoming)
            paths.append(path)
            added.append(new)
        if funding:
            stored = read_funding(root)
            for payments in funding:
                paid.append(joined_funding(stored, payments.symbol, payments.ts_ns, payments.rates))
            paths.append(write_funding(incoming, stored))
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
    return added, paid


def _read_all(paths: Sequence[Path], symbol: str | None, interval: str | None) -> _Read:
    """Read all files; of a folder those of another kind are left out, a file that was named alone is refused."""
    groups: dict[tuple[str, str, str], list[BarFile]] = {}
    skipped, notices = [], []
    for path in bar_paths(paths):
        try:
            files = read_bar_file(path, symbol, interval)
        except NotBarsError as error:
            if path in paths:
                raise
            skipped.append(str(error))
            continue
        notices += list(dict.fromkeys(notice for file in files for notice in file.notices))
        for file in files:
            groups.setdefault((file.kind, file.symbol, file.interval), []).append(file)
    if not groups:
        raise DataError(f"there are no bars to import: {'; '.join(skipped[:3])}")
    ordered = [files for _, files in sorted(groups.items(), key=lambda item: item[0])]
    return _Read(
        bars=[_join(files) for files in ordered if files[0].kind != FUNDING],
        funding=[_join_funding(files) for files in ordered if files[0].kind == FUNDING],
        skipped=skipped, notices=notices,
    )


def _join_funding(files: Sequence[BarFile]) -> _Funding:
    """The payments of one symbol over its files; DataError for a rate that is not finite, or two at one time."""
    for file in files:
        if (bad := np.flatnonzero(~np.isfinite(file.ohlcv[:, 0]))).size:
            raise BadBarsError(
                f"{file.path}: row {file.rows[bad[0]]}: rate is no finite number; a funding rate is a fraction such as "
                "0.0001. Nothing was imported"
            )
    ts = whole_minutes(np.concatenate([file.ts_ns for file in files]))
    rates = np.concatenate([file.ohlcv[:, 0] for file in files])
    order = np.argsort(ts, kind="stable")
    ts, rates = ts[order], rates[order]
    same = np.flatnonzero(np.diff(ts) == 0)
    if (differs := same[rates[same] != rates[same + 1]]).size:
        raise BadBarsError(
            f"{files[0].path}: {files[0].symbol} has two funding rates at {iso(int(ts[differs[0]]))}. "
            "Nothing was imported"
        )
    kept = np.ones(len(ts), dtype=bool)
    kept[same] = False
    return _Funding(symbol=files[0].symbol, files=len(files), ts_ns=ts[kept], rates=rates[kept])


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
