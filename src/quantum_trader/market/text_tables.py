"""Tables in text files as other programs write them: any usual delimiter, a banner before the header, no header.

Every cell is returned as text; ``market.cells`` turns cells into times and numbers.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Sequence
from typing import Final

import msgspec
import polars as pl

from quantum_trader.domain.errors import DataError

ARCHIVE_COLUMNS: Final = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)
FUNDING_COLUMNS: Final = ("calc_time", "funding_interval_hours", "last_funding_rate")
MAX_BYTES: Final = 1 << 30  # of one table: ten years of one-minute bars are a third of that
_HEAD_BYTES: Final = 1 << 16
_HEAD_LINES: Final = 40
_MAX_COLUMNS: Final = 200
_DELIMITERS: Final = (",", ";", "\t", "|")
_LEAST_CELLS: Final = 5  # time, open, high, low, close
_SHOWN: Final = 60
_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SHORT_NAMES: Final = {
    "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vol": "volume", "last": "close",
    "base_volume": "volume", "ticker": "symbol", "pair": "symbol", "instrument": "symbol",
}
TIME_NAMES: Final = (
    "ts", "open_time", "unix", "unix_timestamp", "timestamp", "unixtime", "datetime", "date", "time", "calc_time",
    "funding_time", "fundingtime", "local_time", "gmt_time",
)


class _Layout(msgspec.Struct, frozen=True):
    """Where the table begins in a text, and how its cells are apart."""

    skipped: int  # lines before the header, or before the first row where there is none
    delimiter: str
    headed: bool
    width: int  # cells of the first line


def plain_name(column: str) -> str:
    """The name of a column in lower case, words joined by underscores; usual abbreviations are spelled out."""
    name = re.sub(r"[^\w.]+", "_", column.strip().lower().strip("<>")).strip("_")
    name = name.rsplit(".", 1)[-1] if name.count(".") == 1 else name
    return _SHORT_NAMES.get(name, name)


def shown(text: object) -> str:
    """*text* as it is repeated in a message: quoted, and cut where it is long."""
    plain = repr(text)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}… ({len(str(text))} characters)"


def shown_columns(columns: Sequence[str]) -> str:
    """The names of *columns* as they are repeated in a message."""
    names = [column if len(column) <= _SHOWN else f"{column[:_SHOWN]}…" for column in columns[:20]]
    return ", ".join(names) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")


def read_text_table(content: bytes, where: str, bare: Sequence[str] = ARCHIVE_COLUMNS) -> pl.DataFrame:
    """Read a table; without a header its columns are *bare*, as in Binance's public archive. All cells are text.

    DataError naming *where* for a text that is no table: no rows, too many columns, rows of different widths.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"{where}: is larger than {MAX_BYTES >> 30} GiB; split it, for example by year")
    content = _utf8(content, where)
    layout = _layout(content, where)
    try:
        frame = pl.read_csv(
            content, has_header=layout.headed, separator=layout.delimiter, skip_lines=layout.skipped,
            infer_schema=False, truncate_ragged_lines=False,
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(_uneven(content, layout, where)) from error
    if not layout.headed:
        frame.columns = [*bare, *(f"extra_{n}" for n in range(frame.width))][: frame.width]
    if not frame.height:
        raise DataError(f"{where}: holds a header and no row; nothing to read")
    return frame


def _utf8(content: bytes, where: str) -> bytes:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            content = content[len(mark):]
            if encoding == "utf-8":
                return content
            try:
                return content.decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: is not whole {encoding} text; save it as UTF-8") from error
    return content


def _layout(content: bytes, where: str) -> _Layout:
    """How the table in *content* is written."""
    lines = _head(content, where)
    for number, line in enumerate(lines):
        for delimiter in _DELIMITERS:
            cells = next(csv.reader([line], delimiter=delimiter))
            if len(cells) < _LEAST_CELLS and not _may_be_funding(cells):
                continue
            if len(cells) > _MAX_COLUMNS:
                raise DataError(f"{where}: has {len(cells)} columns; a table of bars has at most a dozen")
            names = {plain_name(cell) for cell in cells}
            if names.intersection(TIME_NAMES) and not any(_is_number(cell) for cell in cells):
                return _Layout(number, delimiter, True, len(cells))
            numeric = [_is_number(cell) for cell in cells]
            if numeric[1:].count(True) >= _LEAST_CELLS - 1 or (len(cells) == len(FUNDING_COLUMNS) and all(numeric)):
                return _Layout(number, delimiter, False, len(cells))
    if not lines:
        raise DataError(f"{where}: is empty")
    first = next((line for line in lines if line.strip()), "")
    cells = max((next(csv.reader([first], delimiter=one)) for one in _DELIMITERS), key=len)
    raise DataError(
        f"{where}: column a time (ts, open_time, date, timestamp), open, high, low, close is missing; "
        f"it has {shown_columns(cells)}"
    )


def _may_be_funding(cells: Sequence[str]) -> bool:
    """Whether a line of few cells names a funding rate, or is one payment as the public archive writes it."""
    names = any("funding" in cell.lower() or plain_name(cell) == "rate" for cell in cells)
    return len(cells) > 1 and (names or (len(cells) == len(FUNDING_COLUMNS) and all(map(_is_number, cells))))


def _head(content: bytes, where: str) -> list[str]:
    head = content[:_HEAD_BYTES]
    if b"\x00" in head:
        raise DataError(f"{where}: is no text; files read are CSV, zip, feather and Parquet")
    if len(content) > _HEAD_BYTES:
        whole, found, _ = head.rpartition(b"\n")
        if not found:
            raise DataError(
                f"{where}: its first line is longer than {_HEAD_BYTES >> 10} kB; a table of bars has a dozen columns"
            )
        head = whole
    return head.decode("utf-8", errors="replace").splitlines()[:_HEAD_LINES]


def _is_number(cell: str) -> bool:
    return _NUMBER.match(cell.strip()) is not None


def _uneven(content: bytes, layout: _Layout, where: str) -> str:
    """Say which row has not as many cells as the first line."""
    text = io.StringIO(content.decode("utf-8", errors="replace"), newline="")
    for _ in range(layout.skipped + int(layout.headed)):
        next(text, None)
    try:
        for number, row in enumerate(csv.reader(text, delimiter=layout.delimiter), start=1):
            if len(row) > layout.width:
                return f"{where}: row {number} has {len(row)} cells, the first line {layout.width}; repair the row"
    except csv.Error:
        pass
    return f"{where}: cannot be read as a table (an open quotation mark, or no UTF-8 text); save it again as CSV"


def unzip_csv(content: bytes, where: str) -> bytes:
    """Return the one CSV inside a zip file.

    DataError when the file is damaged, holds another number of them, or unpacks to more than a table may have.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if _is_csv(entry.filename)]
            if len(entries) != 1:
                raise DataError(f"{where}: holds {len(entries)} CSV files, expected one")
            if entries[0].file_size > MAX_BYTES:
                raise DataError(f"{where}: unpacks to more than {MAX_BYTES >> 30} GiB; split it, for example by year")
            with archive.open(entries[0]) as file:
                return file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: is no whole zip file, or needs a password; fetch it again") from error


def _is_csv(name: str) -> bool:
    """Whether a name inside a zip file is a table; macOS adds a folder and dot files of its own."""
    last = name.rsplit("/", 1)[-1]
    return last.lower().endswith((".csv", ".txt")) and not last.startswith(".") and "__MACOSX" not in name
