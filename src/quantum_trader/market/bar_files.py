"""Readers for bar files of other programs: the public archive's CSV, freqtrade's feather, plain CSV and Parquet.

Symbol and interval come from the file's name or from the caller. Non-numeric cells become NaN, which the checks
refuse with their row number; a time that cannot be parsed is an error here, because such a row cannot be placed.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantum_trader.domain.errors import DataError
from quantum_trader.market.checks import COLUMNS
from quantum_trader.market.intervals import INTERVALS, interval_name, interval_ns
from quantum_trader.market.store import Times, Values

SUFFIXES: Final = (".csv", ".zip", ".feather", ".parquet")
ARCHIVE_COLUMNS: Final = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)
_TIME_NAMES: Final = ("ts", "open_time", "date", "datetime", "time", "timestamp")
_SHORT_NAMES: Final = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vol": "volume"}
# BTCUSDT-1m-2024-01.csv, BTCUSDT-5m.parquet
_ARCHIVE_NAME: Final = re.compile(r"^(?P<symbol>[0-9A-Z]+(?:_\d{6})?)-(?P<interval>\d+[mhd])(?:-[\d-]+)?$")
# BTC_USDT_USDT-5m-futures.feather, BTC_USDT-5m.feather
_FREQTRADE_NAME: Final = re.compile(
    r"^(?P<base>[0-9A-Za-z]+)_(?P<quote>[0-9A-Za-z]+)(?:_[0-9A-Za-z]+)?-(?P<interval>\d+[mhd])(?:-(?P<kind>\w+))?$"
)
_SYMBOL_NAME: Final = re.compile(r"^[0-9A-Z]{5,}$")
_MAX_NS: Final = 2**63 - 1


class BarFile(msgspec.Struct, frozen=True, kw_only=True):
    """Bars of one symbol in the order of their file. Shapes: ts (n,), ohlcv (n, 5), rows (n,)."""

    path: str
    kind: str  # "bars" | "mark"
    symbol: str
    interval: str
    ts_ns: Times
    ohlcv: Values
    rows: Times  # data row in the file, from 1


class _Name(msgspec.Struct, frozen=True, kw_only=True):
    """Symbol, interval and kind parsed from a file's name."""

    symbol: str = ""
    interval: str = ""
    kind: str = "bars"


def parse_file_name(path: Path) -> _Name:
    """Read symbol, interval and kind from a file's name (and, for the store's own layout, its folder)."""
    stem = path.stem
    if found := _FREQTRADE_NAME.match(stem):
        label = found["kind"] or ""
        if label == "funding_rate":
            raise DataError(f"{path}: freqtrade's funding files are not imported; use `quantum-trader data download`")
        symbol = (found["base"] + found["quote"]).upper()
        return _Name(symbol=symbol, interval=found["interval"], kind="mark" if label == "mark" else "bars")
    if found := _ARCHIVE_NAME.match(stem):
        mark = any("markprice" in part.lower() for part in path.parts)
        return _Name(symbol=found["symbol"], interval=found["interval"], kind="mark" if mark else "bars")
    if _SYMBOL_NAME.match(stem):
        folder, _, interval = path.parent.name.partition("_")
        return _Name(
            symbol=stem, interval=interval if interval in INTERVALS else "", kind="mark" if folder == "mark" else "bars"
        )
    return _Name()


def read_bar_file(path: Path, symbol: str | None = None, interval: str | None = None) -> list[BarFile]:
    """Read one file; several symbols in one file (a ``symbol`` column) come as several values.

    *symbol* and *interval* override the file's name and content. DataError when one of them is missing everywhere,
    when the file cannot be read, lacks a column, or has a time that cannot be parsed.
    """
    name = parse_file_name(path)
    frame = _normalised(path, _read_frame(path), name.kind)
    ts = _times(path, frame["ts"])
    ohlcv = _numbers(frame, name.kind)
    rows = np.arange(1, len(ts) + 1, dtype=np.int64)
    groups = _groups(path, frame, symbol or name.symbol)
    files = []
    for label, mask in groups:
        length = interval or name.interval or _inferred(path, ts[mask])
        interval_ns(length)
        files.append(
            BarFile(
                path=str(path), kind=name.kind, symbol=label, interval=length, ts_ns=ts[mask], ohlcv=ohlcv[mask],
                rows=rows[mask],
            )
        )
    return files


def _read_frame(path: Path) -> pl.DataFrame:
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            return read_archive_csv(path.read_bytes())
        if suffix == ".zip":
            return read_archive_csv(unzip_csv(path.read_bytes(), str(path)))
        if suffix == ".feather":
            return pl.read_ipc(path)
        if suffix == ".parquet":
            return pl.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as {suffix[1:]} ({str(error).splitlines()[0]})") from error
    raise DataError(f"{path}: files of this kind are not read; use {', '.join(SUFFIXES)}")


def unzip_csv(content: bytes, where: str) -> bytes:
    """Return the one CSV inside an archive's zip file; DataError when it is damaged or holds another number."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if len(names) != 1:
                raise DataError(f"{where}: holds {len(names)} CSV files, expected one")
            return archive.read(names[0])
    except zipfile.BadZipFile as error:
        raise DataError(f"{where}: is no whole zip file ({error}); fetch it again") from error


def read_archive_csv(content: bytes) -> pl.DataFrame:
    """Read CSV text with or without a header; without one the columns are the public archive's. All cells are text."""
    first = content.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    headed = any(character.isalpha() for character in first.decode("utf-8", errors="replace").replace("e", ""))
    frame = pl.read_csv(content, has_header=headed, infer_schema=False)
    if not headed:
        frame.columns = list(ARCHIVE_COLUMNS[: frame.width]) + [f"extra_{n}" for n in range(frame.width - 12)]
    return frame


def _normalised(path: Path, frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    names = {column: _plain(column) for column in frame.columns}
    known = [name for name in _TIME_NAMES if name in names.values()]
    wanted = COLUMNS if kind == "bars" else COLUMNS[:4]
    missing = [name for name in wanted if name not in names.values()]
    if not known or missing:
        lacking = missing if known else ["a time (ts, open_time, date, timestamp)", *missing]
        raise DataError(f"{path}: column {', '.join(lacking)} is missing; it has {', '.join(frame.columns)}")
    columns = []
    for wanted_name, plain in [("ts", known[0]), *((name, name) for name in wanted), ("symbol", "symbol")]:
        source = [column for column, name in names.items() if name == plain]
        if source:
            columns.append(frame[source[0]].alias(wanted_name))
    return pl.DataFrame(columns)


def _plain(column: str) -> str:
    name = column.strip().lower().replace(" ", "_").rsplit(".", 1)[-1]
    return _SHORT_NAMES.get(name, name)


def _numbers(frame: pl.DataFrame, kind: str) -> Values:
    wanted = COLUMNS if kind == "bars" else COLUMNS[:4]
    parts = [frame[name].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy() for name in wanted]
    if kind == "mark":
        parts.append(np.zeros(frame.height))
    return np.column_stack(parts) if frame.height else np.empty((0, 5))


def _times(path: Path, column: pl.Series) -> Times:
    if isinstance(column.dtype, pl.Datetime):
        stamps = column.dt.replace_time_zone(None) if column.dtype.time_zone in (None, "UTC") else (
            column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        )
        numbers = stamps.dt.timestamp("us") * 1_000
    elif column.dtype == pl.Date:
        numbers = column.cast(pl.Datetime("us")).dt.timestamp("us") * 1_000
    elif column.dtype == pl.String:
        numeric = column.str.strip_chars().cast(pl.Int64, strict=False)
        numbers = _scaled(numeric) if numeric.null_count() < len(column) or column.is_empty() else _parsed(column)
    else:
        numbers = _scaled(column.cast(pl.Int64, strict=False))
    if numbers.null_count():
        row = int(numbers.is_null().arg_max() or 0)
        raise DataError(f"{path}: row {row + 1}: time {column[row]!r} cannot be read; every bar needs its opening time")
    return np.asarray(numbers.to_numpy(), dtype=np.int64)


def _scaled(numbers: pl.Series) -> pl.Series:
    """Epoch numbers as ns: the unit (s, ms, us, ns) follows from the size, cell by cell."""
    size = numbers.abs()
    factor = (
        pl.when(size < 10**11).then(10**9).when(size < 10**14).then(10**6).when(size < 10**17).then(10**3).otherwise(1)
    )
    return pl.select(pl.lit(numbers) * factor).to_series()


def _parsed(column: pl.Series) -> pl.Series:
    """Times from ISO text; without a zone it is UTC, another zone is converted."""
    text = column.str.strip_chars().str.replace("T", " ", literal=True).str.replace(r"(Z|\+00:?00)$", "")
    zoned = text.str.contains(r"\d\s?[+-]\d\d:?\d\d$").any()
    if zoned:
        return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", strict=False, time_unit="us").dt.timestamp("us") * 1_000
    best = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    for pattern in ("%Y-%m-%d %H:%M", "%Y-%m-%d"):
        if best.null_count():
            other = text.str.to_date(pattern, strict=False).cast(pl.Datetime("us")) if pattern == "%Y-%m-%d" else (
                text.str.to_datetime(pattern, strict=False, time_unit="us")
            )
            best = best.fill_null(other) if best.null_count() < len(best) else other
    return best.dt.timestamp("us") * 1_000


def _groups(path: Path, frame: pl.DataFrame, symbol: str) -> list[tuple[str, NDArray[np.bool_]]]:
    if "symbol" in frame.columns:
        labels = frame["symbol"].cast(pl.String).to_numpy()
        unique = sorted({str(label) for label in labels})
        if len(unique) > 1 or not symbol:
            return [(label, np.asarray(labels == label)) for label in unique]
    if not symbol:
        raise DataError(f"{path}: neither name nor content tells the symbol; give it with --symbol")
    return [(symbol, np.ones(frame.height, dtype=bool))]


def _inferred(path: Path, ts: Times) -> str:
    steps = np.diff(np.unique(ts))
    if not len(steps):
        raise DataError(f"{path}: one bar tells no interval; give it with --interval")
    lengths, counts = np.unique(steps, return_counts=True)
    return interval_name(int(lengths[counts.argmax()]))
