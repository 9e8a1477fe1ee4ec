"""The bar store: a folder of Parquet files, and the only layout there is for recordings, downloads and imports.

    ROOT/bars_<interval>/<SYMBOL>.parquet   ts (UTC, the bar's open), symbol, open, high, low, close, volume
    ROOT/mark_<interval>/<SYMBOL>.parquet   the same without volume: mark prices
    ROOT/funding.parquet                    ts, symbol, rate

Writes are atomic: a file is written under a temporary name and then renamed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_MINUTE, NS_PER_MS
from quantum_trader.domain.errors import DataError
from quantum_trader.market.checks import COLUMNS
from quantum_trader.market.intervals import INTERVALS

ROW_GROUP: Final = 32_768
_TS = pa.timestamp("ms", tz="UTC")
_MAX_NS: Final = 2**63 - 1
_NO_NAME: Final = frozenset("/\\:\0")
_NS_PER_UNIT: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}

Times = NDArray[np.int64]
Values = NDArray[np.float64]


class StoreEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One series in a store, read from the file's statistics."""

    kind: str  # "bars" | "mark" | "funding"
    interval: str
    symbol: str
    rows: int
    first_ns: int
    last_ns: int
    bytes: int


def bars_folder(root: Path, interval: str, kind: str = "bars") -> Path:
    """Folder of the series of one interval; *kind* is "bars" or "mark"."""
    return root / f"{kind}_{interval}"


def series_path(root: Path, interval: str, symbol: str, kind: str = "bars") -> Path:
    """File of one series; DataError for a symbol that is no single file name, so that nothing leaves the store."""
    if not symbol or symbol.startswith(".") or any(letter in _NO_NAME for letter in symbol):
        raise DataError(f"symbol = {symbol[:60]!r}: is not a symbol; write it like 'BTCUSDT'")
    return bars_folder(root, interval, kind) / f"{symbol}.parquet"


def intervals_of(root: Path) -> list[str]:
    """Intervals of the bars in *root*, finest first."""
    return [name for name in INTERVALS if any(bars_folder(root, name).glob("*.parquet"))]


def symbols_of(root: Path, interval: str, kind: str = "bars") -> list[str]:
    """Symbols with a series in *root* at *interval*, in alphabetical order."""
    return sorted(path.stem for path in bars_folder(root, interval, kind).glob("*.parquet"))


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file; DataError names it when it is missing or damaged."""
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}); fetch or import it again") from error


def require_columns(path: Path, present: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise DataError naming the columns of *path* that are missing."""
    there = list(present)
    if missing := [name for name in wanted if name not in there]:
        raise DataError(f"{path}: column {', '.join(missing)} is missing; it has {', '.join(there)}")


def times_ns(column: pa.ChunkedArray | pa.Array, where: str) -> Times:
    """A timestamp column as nanoseconds since the epoch, UTC; DataError on any other type or an empty cell."""
    if not pa.types.is_timestamp(column.type):
        raise DataError(f"{where}: ts is {column.type}, not a time; the store keeps timestamp[ms, UTC]")
    if column.null_count:
        raise DataError(f"{where}: ts has {column.null_count} empty cells; every bar needs its opening time")
    numbers: Times = np.asarray(column.cast(pa.int64()), dtype=np.int64)
    unit = _NS_PER_UNIT[column.type.unit]
    if (far := np.flatnonzero(np.abs(numbers) > _MAX_NS // unit)).size:
        raise DataError(
            f"{where}: row {far[0] + 1}: ts = {numbers[far[0]]} {column.type.unit} is no date of this age; "
            "its unit is wrong (microseconds taken as milliseconds?)"
        )
    return numbers * unit


def values_of(table: pa.Table | pa.RecordBatch, columns: Iterable[str]) -> Values:
    """Numeric columns as an (n, k) matrix; an empty cell becomes NaN, which the checks refuse."""
    arrays = [np.asarray(table.column(name).cast(pa.float64()), dtype=np.float64) for name in columns]
    return np.column_stack(arrays) if arrays else np.empty((table.num_rows, 0))


def read_series(
    path: Path, start_ns: int | None = None, end_ns: int | None = None, columns: tuple[str, ...] = COLUMNS
) -> Iterator[tuple[int, Times, Values]]:
    """Yield (first row, ts (n,), values (n, k)) for each row group that touches [start_ns, end_ns).

    Rows count from 1. Row groups outside the range are skipped by their statistics where the file has them;
    rows outside it are included when their group is: the caller cuts.
    """
    with open_parquet(path) as file:
        require_columns(path, file.schema_arrow.names, ("ts", *columns))
        row = 1
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if not _outside(file, group, start_ns, end_ns):
                for batch in file.iter_batches(
                    ROW_GROUP, row_groups=[group], columns=["ts", *columns], use_threads=False
                ):
                    yield row, times_ns(batch.column("ts"), str(path)), values_of(batch, columns)
                    row += batch.num_rows
            else:
                row += rows


def _outside(file: pq.ParquetFile, group: int, start_ns: int | None, end_ns: int | None) -> bool:
    span = _group_span(file, group)
    if span is None:
        return False
    return (start_ns is not None and span[1] < start_ns) or (end_ns is not None and span[0] >= end_ns)


def _group_span(file: pq.ParquetFile, group: int) -> tuple[int, int] | None:
    index = file.schema_arrow.get_field_index("ts")
    statistics = file.metadata.row_group(group).column(index).statistics
    field = file.schema_arrow.field("ts").type
    if statistics is None or not statistics.has_min_max or not pa.types.is_timestamp(field):
        return None
    low, high = (int(edge) * _NS_PER_UNIT[field.unit] for edge in (statistics.min_raw, statistics.max_raw))
    return (low, high) if max(-low, high) <= _MAX_NS else None


def series_table(symbol: str, ts_ns: Times, values: Values, columns: tuple[str, ...] = COLUMNS) -> pa.Table:
    """Arrow table of one series in the store's types."""
    arrays: list[pa.Array] = [
        pa.array(ts_ns // NS_PER_MS, pa.int64()).cast(_TS),
        pa.array([symbol] * len(ts_ns), pa.string()).dictionary_encode().cast(pa.string()),
    ]
    arrays += [pa.array(np.ascontiguousarray(values[:, index])) for index in range(len(columns))]
    return pa.table(arrays, names=["ts", "symbol", *columns])


def write_parquet(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write *tables* one after another as one file (zstd), atomically; return the rows written.

    The bytes depend only on the content. A failure (a full disk) leaves the earlier file unchanged and raises
    DataError.
    """
    part = path.with_name(path.name + ".part")
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for table in tables:
            if writer is None:
                writer = pq.ParquetWriter(part, table.schema, **_encoding(table.schema.names))
            writer.write_table(table, row_group_size=ROW_GROUP)
            rows += table.num_rows
        if writer is None:
            raise DataError(f"{path}: there are no bars to write")
        writer.close()
        os.replace(part, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}); free space or choose another folder") from error
    finally:
        if writer is not None and writer.is_open:
            writer.close()
        part.unlink(missing_ok=True)
    return rows


def _encoding(columns: list[str]) -> dict[str, Any]:
    """Return the Parquet encoding of each column: dictionary for prices, delta for times, byte split for volumes."""
    plain = {"ts": "DELTA_BINARY_PACKED", "volume": "BYTE_STREAM_SPLIT"}
    return {
        "compression": "zstd",
        "compression_level": 9,
        "use_dictionary": [name for name in columns if name not in plain],
        "column_encoding": {name: encoding for name, encoding in plain.items() if name in columns},
    }


def write_series(
    root: Path, interval: str, symbol: str, ts_ns: Times, values: Values, kind: str = "bars"
) -> Path:
    """Write one whole series into the store (replacing it) and return its file."""
    path = series_path(root, interval, symbol, kind)
    write_parquet(path, [series_table(symbol, ts_ns, values, columns_of(kind))])
    return path


def columns_of(kind: str) -> tuple[str, ...]:
    """Value columns of a kind of series."""
    return COLUMNS if kind == "bars" else COLUMNS[:4]


def merge_series(
    root: Path,
    interval: str,
    symbol: str,
    ts_ns: Times,
    values: Values,
    kind: str = "bars",
    *,
    into: Path | None = None,
) -> tuple[Path, int]:
    """Add bars to a series: union by time, and for a time that both have the new bar counts.

    Returns the file and how many of its rows are new. The result goes to the store *into* where one is given.
    DataError when the stored series is out of order; it is not sorted silently.
    """
    path = series_path(root, interval, symbol, kind)
    columns = columns_of(kind)
    if path.exists():
        pieces = list(read_series(path, columns=columns))
        old_ts = np.concatenate([piece[1] for piece in pieces])
        old_values = np.concatenate([piece[2] for piece in pieces])
        if (late := np.flatnonzero(np.diff(old_ts) <= 0)).size:
            raise DataError(f"{path}: row {late[0] + 2}: time does not move on; see `quantum-trader data check {root}`")
        kept = ~np.isin(old_ts, ts_ns)
        added = len(ts_ns) - int((~kept).sum())
        ts_ns = np.concatenate((old_ts[kept], ts_ns))
        values = np.concatenate((old_values[kept], values))
        order = np.argsort(ts_ns, kind="stable")
        ts_ns, values = ts_ns[order], values[order]
    else:
        added = len(ts_ns)
    return write_series(into or root, interval, symbol, ts_ns, values, kind), added


def funding_path(root: Path) -> Path:
    """File of all funding payments of a store."""
    return root / "funding.parquet"


def read_funding(root: Path) -> dict[str, tuple[Times, Values]]:
    """Funding of every symbol as (ts ns (n,), rate (n,)), in order of time; empty when the store has none.

    DataError names the symbol and row of a rate that is not finite or a time that occurs twice.
    """
    path = funding_path(root)
    if not path.exists():
        return {}
    with open_parquet(path) as file:
        require_columns(path, file.schema_arrow.names, ("ts", "symbol", "rate"))
        table = file.read(columns=["ts", "symbol", "rate"], use_threads=False)
    ts, rate = times_ns(table.column("ts"), str(path)), values_of(table, ["rate"])[:, 0]
    if (bad := np.flatnonzero(~np.isfinite(rate))).size:
        raise DataError(f"{path}: row {bad[0] + 1}: rate = {rate[bad[0]]!r}: a funding rate is a finite fraction")
    encoded = table.column("symbol").combine_chunks().dictionary_encode()
    codes = np.asarray(encoded.indices)
    found = {}
    for code, symbol in enumerate(encoded.dictionary.to_pylist()):
        rows = np.flatnonzero(codes == code)
        order = rows[np.argsort(ts[rows], kind="stable")]
        if (twice := np.flatnonzero(np.diff(ts[order]) <= 0)).size:
            raise DataError(f"{path}: row {order[twice[0] + 1] + 1}: {symbol} has two rates for one time; keep one")
        found[symbol] = (ts[order], rate[order])
    return found


def write_funding(root: Path, funding: dict[str, tuple[Times, Values]]) -> Path:
    """Write the funding of every symbol (replacing the file) and return it."""
    symbols = sorted(funding)
    ts = np.concatenate([funding[symbol][0] for symbol in symbols])
    rate = np.concatenate([funding[symbol][1] for symbol in symbols])
    names = [symbol for symbol in symbols for _ in range(len(funding[symbol][0]))]
    table = pa.table(
        [pa.array(ts // NS_PER_MS).cast(_TS), pa.array(names, pa.string()), pa.array(rate)],
        names=["ts", "symbol", "rate"],
    )
    write_parquet(funding_path(root), [table])
    return funding_path(root)


def merge_funding(root: Path, symbol: str, ts_ns: Times, rate: Values) -> int:
    """Add funding of one symbol to the store; return how many payments are new."""
    funding = read_funding(root)
    added = joined_funding(funding, symbol, ts_ns, rate)
    write_funding(root, funding)
    return added


def joined_funding(funding: dict[str, tuple[Times, Values]], symbol: str, ts_ns: Times, rate: Values) -> int:
    """Add payments to the *funding* of a store in memory; return how many are new. A new rate replaces the old."""
    stored = funding.get(symbol, (np.empty(0, dtype=np.int64), np.empty(0)))
    known = dict(zip(whole_minutes(stored[0]).tolist(), stored[1].tolist(), strict=True))
    before = len(known)
    known.update(zip(whole_minutes(ts_ns).tolist(), rate.tolist(), strict=True))
    times = sorted(known)
    funding[symbol] = (np.array(times, dtype=np.int64), np.array([known[time] for time in times]))
    return len(known) - before


def whole_minutes(ts_ns: Times) -> Times:
    """*ts_ns* cut to the minute: sources stamp one funding payment some milliseconds apart."""
    return ts_ns - ts_ns % NS_PER_MINUTE


def list_store(root: Path) -> list[StoreEntry]:
    """Every series of the store with its range, read from the files' statistics where they have them."""
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; name one made by `quantum-trader data download`")
    entries = []
    for kind in ("bars", "mark"):
        for interval in INTERVALS:
            for symbol in symbols_of(root, interval, kind):
                entries.append(_entry(root, kind, interval, symbol))
    for symbol, (ts, _) in sorted(read_funding(root).items()):
        entries.append(
            StoreEntry(
                kind="funding", interval="", symbol=symbol, rows=len(ts), first_ns=int(ts[0]), last_ns=int(ts[-1]),
                bytes=0,
            )
        )
    return entries


def _entry(root: Path, kind: str, interval: str, symbol: str) -> StoreEntry:
    path = series_path(root, interval, symbol, kind)
    first, last = series_span(path)
    with open_parquet(path) as file:
        rows = file.metadata.num_rows
    return StoreEntry(
        kind=kind, interval=interval, symbol=symbol, rows=rows, first_ns=first, last_ns=last,
        bytes=path.stat().st_size,
    )


def series_span(path: Path) -> tuple[int, int]:
    """First and last opening time of a series (0, 0 when it is empty)."""
    with open_parquet(path) as file:
        require_columns(path, file.schema_arrow.names, ("ts",))
        spans = [_group_span(file, group) for group in range(file.num_row_groups)]
    known = [span for span in spans if span is not None]
    if len(known) == len(spans) and known:
        return min(span[0] for span in known), max(span[1] for span in known)
    times = [ts for _, ts, _ in read_series(path, columns=()) if len(ts)]
    return (int(min(ts.min() for ts in times)), int(max(ts.max() for ts in times))) if times else (0, 0)
