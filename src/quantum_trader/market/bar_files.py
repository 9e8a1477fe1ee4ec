"""Readers for data files of other programs: Binance's public archive, freqtrade, exchanges' exports, plain tables.

Symbol, interval and kind come from the file's name, its columns or the caller. Cells that are no number become NaN,
which the checks refuse with their row; a time that cannot be read is an error here, because such a row has no place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.domain.symbols import parse_symbol
from quantum_trader.market.cells import numbers_of, times_of
from quantum_trader.market.checks import COLUMNS
from quantum_trader.market.file_names import BARS, FUNDING, MARK, FileName, NotBarsError, SpotBarsError, parse_file_name
from quantum_trader.market.intervals import interval_name, interval_ns
from quantum_trader.market.store import Times, Values
from quantum_trader.market.text_tables import (
    ARCHIVE_COLUMNS,
    FUNDING_COLUMNS,
    TIME_NAMES,
    plain_name,
    read_text_table,
    shown,
    shown_columns,
    unzip_csv,
)

SUFFIXES: Final = (".csv", ".txt", ".zip", ".feather", ".parquet")
_TICK_VOLUMES: Final = ("tickvol", "tick_volume")
NO_VOLUME: Final = 1e9  # the steady volume of every bar of a file that has none
_RATE_NAMES: Final = ("last_funding_rate", "funding_rate", "fundingrate", "rate")
_OTHER_KINDS: Final = {
    "side": "trades", "is_buyer_maker": "trades", "bid_price": "best bids and asks", "asks": "order books",
    "sum_open_interest": "open interest",
}


class BarFile(msgspec.Struct, frozen=True, kw_only=True):
    """Data of one symbol in the order of time its file has, oldest first.

    Shapes: ts (n,), rows (n,), ohlcv (n, 5); of funding ohlcv is (n, 1), the rate as a fraction.
    """

    path: str
    kind: str  # BARS | MARK | FUNDING
    symbol: str
    interval: str  # empty for funding
    ts_ns: Times
    ohlcv: Values
    rows: Times  # data row in the file, from 1
    notices: tuple[str, ...] = ()  # what was assumed, each as a sentence


def read_bar_file(path: Path, symbol: str | None = None, interval: str | None = None) -> list[BarFile]:
    """Read one file; several symbols in one file (a ``symbol`` column) come as several values.

    *symbol* and *interval* override the file's name and content. DataError when one of them is missing everywhere,
    when the file cannot be read, lacks a column, or has a time that cannot be parsed; NotBarsError for another kind of
    data.
    """
    name = _name(path, symbol)
    frame = _read_frame(path, FUNDING_COLUMNS if name.kind == FUNDING else ARCHIVE_COLUMNS)
    columns = {plain_name(column): frame[column] for column in reversed(frame.columns)}
    kind = name.kind or _kind(path, columns)
    ts = _times(path, columns, frame)
    wanted, notices = _values(path, columns, kind, symbol or name.symbol, frame)
    rows = np.arange(1, len(ts) + 1, dtype=np.int64)
    if len(ts) > 1 and ts[0] > ts[-1] and (np.diff(ts) <= 0).all():  # newest first
        ts, wanted, rows = ts[::-1].copy(), wanted[::-1].copy(), rows[::-1].copy()
        columns = {label: column.reverse() for label, column in columns.items() if label == "symbol"}
    files = []
    for label, mask in _groups(path, columns.get("symbol"), symbol or name.symbol, len(ts)):
        length = "" if kind == FUNDING else interval or _interval(path, name, ts[mask])
        if length:
            interval_ns(length)
        files.append(BarFile(
            path=str(path), kind=kind, symbol=label, interval=length, ts_ns=ts[mask], ohlcv=wanted[mask],
            rows=rows[mask], notices=notices,
        ))
    return files


def _name(path: Path, symbol: str | None) -> FileName:
    """What the file's name says; a symbol that the caller names settles what a name leaves in doubt."""
    try:
        return parse_file_name(path)
    except SpotBarsError as spot:
        if symbol is None:
            raise
        return FileName(interval=spot.interval)


def _read_frame(path: Path, bare: Sequence[str]) -> pl.DataFrame:
    """The table in *path*; *bare* names the columns of a text without a header."""
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".txt"):
            return read_text_table(path.read_bytes(), str(path), bare)
        if suffix == ".zip":
            return read_text_table(unzip_csv(path.read_bytes(), str(path)), str(path), bare)
        if suffix == ".feather":
            return pl.read_ipc(path)
        if suffix == ".parquet":
            return pl.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder, not a file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read as {suffix[1:]}; is it whole, and may it be read?") from error
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: cannot be read as {suffix[1:]}; it is damaged or of another kind") from error
    raise DataError(f"{path}: files of this kind are not read; use {', '.join(SUFFIXES)}")


def _kind(path: Path, columns: dict[str, pl.Series]) -> str:
    """The kind of data that the columns show."""
    if "close" in columns:
        return BARS
    if any(name in columns for name in _RATE_NAMES):
        return FUNDING
    for name, what in _OTHER_KINDS.items():
        if name in columns:
            raise NotBarsError(f"{path}: holds {what}, not bars")
    return BARS


def _times(path: Path, columns: dict[str, pl.Series], frame: pl.DataFrame) -> Times:
    known = [name for name in TIME_NAMES if name in columns]
    if not known:
        raise DataError(
            f"{path}: column a time (ts, open_time, date, timestamp) is missing; it has {shown_columns(frame.columns)}"
        )
    if known[0] == "date" and "time" in columns and _has_no_clock(columns["date"]):
        return times_of(str(path), columns["date"], columns["time"])
    return times_of(str(path), columns[known[0]])


def _has_no_clock(dates: pl.Series) -> bool:
    """Whether *dates* are text or numbers without a time of day."""
    return dates.dtype in (pl.String, pl.Int64) and not dates.cast(pl.String).str.contains(":").any()


def _values(
    path: Path, columns: dict[str, pl.Series], kind: str, symbol: str, frame: pl.DataFrame
) -> tuple[Values, tuple[str, ...]]:
    """The numbers of *kind* (n, 5) or (n, 1), and what was assumed."""
    if kind == FUNDING:
        named = [name for name in (*_RATE_NAMES, "open") if name in columns]  # freqtrade keeps the rate as the open
        if not named:
            raise DataError(f"{path}: column rate is missing; it has {shown_columns(frame.columns)}")
        return numbers_of(columns[named[0]])[:, None], ()
    if missing := [name for name in COLUMNS[:4] if name not in columns]:
        raise DataError(f"{path}: column {', '.join(missing)} is missing; it has {shown_columns(frame.columns)}")
    parts = [numbers_of(columns[name]) for name in COLUMNS[:4]]
    if kind == MARK:
        return np.column_stack([*parts, np.zeros(len(parts[0]))]), ()
    volume = _volume(columns, symbol)
    if volume is not None:
        return np.column_stack([*parts, numbers_of(volume)]), ()
    notice = f"{path}: has no volume; every bar counts as traded, with a steady volume of {NO_VOLUME:g}"
    return np.column_stack([*parts, np.full(len(parts[0]), NO_VOLUME)]), (notice,)


def _volume(columns: dict[str, pl.Series], symbol: str) -> pl.Series | None:
    """The column of the volume in the base asset: ``volume``, else ``volume_<base>`` (Volume BTC).

    Where a terminal of currencies knows no volume and writes 0, it is the number of price changes (TICKVOL).
    """
    ticks = next((columns[name] for name in _TICK_VOLUMES if name in columns), None)
    if "volume" in columns:
        unknown = ticks is not None and not np.any(numbers_of(columns["volume"]))
        return ticks if unknown else columns["volume"]
    if ticks is not None:
        return ticks
    if not symbol and "symbol" in columns and len(columns["symbol"]):
        symbol = str(columns["symbol"][0]).upper()
    named = [name for name in columns if name.startswith("volume_") or name.endswith("_volume")]
    for name in reversed(named):
        asset = name.removeprefix("volume_").removesuffix("_volume").upper()
        if symbol and symbol.startswith(asset):
            return columns[name]
    return None


def _groups(
    path: Path, labels: pl.Series | None, symbol: str, rows: int
) -> list[tuple[str, NDArray[np.bool_]]]:
    if labels is not None:
        told = labels.cast(pl.String).fill_null("").to_numpy()
        unique = sorted({str(label) for label in told})
        names = {label: _checked(path, label, told) for label in unique} if len(unique) > 1 or not symbol else {}
        if names:
            return [
                (name, np.isin(told, [label for label in unique if names[label] == name]))
                for name in sorted(set(names.values()))
            ]
    if not symbol:
        raise DataError(f"{path}: neither name nor content tells the symbol; give it with --symbol")
    try:
        return [(parse_symbol(symbol), np.ones(rows, dtype=bool))]
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def _checked(path: Path, label: str, labels: NDArray[np.object_]) -> str:
    try:
        return parse_symbol(label)
    except InputError as error:
        row = int(np.flatnonzero(labels == label)[0]) + 1
        raise DataError(
            f"{path}: row {row}: symbol {shown(label)} is none; write it like 'BTCUSDT'. Nothing was imported"
        ) from error


def _interval(path: Path, name: FileName, ts: Times) -> str:
    """The interval that the name states, else the step of the bars; DataError where a word of the name differs."""
    if name.interval and (not name.guessed or len(ts) < 2):
        return name.interval
    step = _inferred(path, ts)
    if name.interval and name.interval != step:
        raise DataError(
            f"{path}: its name says {name.interval}, its bars are {step} apart; give the right one with --interval"
        )
    return step


def _inferred(path: Path, ts: Times) -> str:
    steps = np.diff(np.unique(ts))
    if not len(steps):
        raise DataError(f"{path}: one bar tells no interval; give it with --interval")
    lengths, counts = np.unique(steps, return_counts=True)
    return interval_name(int(lengths[counts.argmax()]))
