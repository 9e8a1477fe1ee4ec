"""Times and numbers in the cells of tables, as people and programs write them.

A spelling that can be read in two ways is refused with both readings: a wrong price is worse than none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from quantum_trader.domain.errors import DataError
from quantum_trader.market.store import Times, Values
from quantum_trader.market.text_tables import shown

_EARLIEST_S: Final = 1_230_768_000  # 2009-01-01, before the first bitcoin block: a smaller epoch number is no time
_LATEST_NS: Final = 2**63 - 1  # the year 2262
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK: Final = (
    r"(?:[T ,]+(?P<hour>\d{1,2})(?::?(?P<minute>\d{2}))?(?::?(?P<second>\d{2}))?(?:[.,](?P<fraction>\d{1,9}))?"
    r"[ -]*(?P<half>[AaPp][Mm])?)?"
)
_ZONE: Final = r"\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_YEAR_FIRST: Final = r"^(?P<year>\d{4})[-/.]?(?P<month>\d{1,2}|[A-Za-z]{3,9})[-/.]?(?P<day>\d{1,2})"
_DAY_OR_MONTH: Final = r"\d{1,2}|[A-Za-z]{3,9}"
_YEAR_LAST: Final = rf"^(?P<first>{_DAY_OR_MONTH})[-/. ]+(?P<second_part>{_DAY_OR_MONTH}),?[-/. ]+(?P<year>\d{{4}})"


# ---- numbers -------------------------------------------------------------------------------------------------------
def numbers_of(column: pl.Series) -> Values:
    """*column* as float64 (n,); a cell that is no number becomes NaN, which the checks refuse with its row.

    Decimal commas and separators of thousands are read where the column shows which of the two a comma is.
    """
    if column.dtype != pl.String:
        return _floats(column)
    text = column.str.strip_chars().str.replace_all(r"[\s_'\u00a0\u202f]", "")
    if not (text.str.contains(",", literal=True).any() or False):
        return _floats(text)
    return _floats(_without_commas(text))


def _floats(column: pl.Series) -> Values:
    return column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _without_commas(text: pl.Series) -> pl.Series:
    """Numbers with commas, with a point for the decimals; cells whose comma may mean either become empty."""
    thousands = bool(text.str.contains(r",\d+\.|,\d{3},").any())  # 42,000.5
    decimals = bool(
        text.str.contains(r"\.\d+,").any()  # 42.000,5
        or (text.str.contains(r",(\d{1,2}|\d{4,})([eE][+-]?\d+)?$").any() and not text.str.contains(r"\d\.\d").any())
    )
    if thousands and not decimals:
        return text.str.replace_all(",", "", literal=True)
    if decimals and not thousands:
        return text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return pl.select(pl.when(text.str.contains(",", literal=True)).then(None).otherwise(text)).to_series()


# ---- times ---------------------------------------------------------------------------------------------------------
def times_of(where: str, column: pl.Series, clock: pl.Series | None = None) -> Times:
    """Opening times in ns since the epoch, UTC; *clock* is a second column with the time of day.

    Epoch numbers of any unit, dates, and text with or without a zone (without one it is UTC). DataError names the row
    of a time that cannot be read, and a date that is day-month or month-day with nothing to tell which.
    """
    if isinstance(column.dtype, pl.Datetime):
        zone = column.dtype.time_zone
        moments = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone not in (None, "UTC") else (
            column.dt.replace_time_zone(None)
        )
        numbers = moments.dt.timestamp("us") * 1_000
    elif column.dtype == pl.Date and clock is None:
        numbers = column.cast(pl.Datetime("us")).dt.timestamp("us") * 1_000
    elif column.dtype == pl.String or clock is not None:
        numbers = _times_of_text(where, _joined(where, column, clock), whole=clock is None)
    else:
        numbers = _scaled(column.cast(pl.Float64, strict=False)) if column.dtype.is_float() else (
            _scaled_whole(column.cast(pl.Int64, strict=False))
        )
    if numbers.null_count():
        row = int(numbers.is_null().arg_max() or 0)
        raise DataError(
            f"{where}: row {row + 1}: time {shown(column[row])} cannot be read; every bar needs its opening time, as "
            "2024-01-31 00:00 (UTC), with an offset, or as an epoch number since 2009"
        )
    return np.asarray(numbers.to_numpy(), dtype=np.int64)


def _joined(where: str, column: pl.Series, clock: pl.Series | None) -> pl.Series:
    text = column.cast(pl.String).str.strip_chars()
    if clock is None:
        return text
    time = clock.cast(pl.String).str.strip_chars()
    if time.str.contains(r"^\d{1,6}$").all() and not time.str.contains(r"^\d{4}$").all():
        if not time.str.contains(r"^\d{5,6}$").any():
            raise DataError(
                f"{where}: the times of day ({shown(time[-1])}) can be read as HHMM or as HMMSS; write them as 09:30"
            )
        time = time.str.zfill(6)
    return text + " " + time


def _times_of_text(where: str, text: pl.Series, *, whole: bool) -> pl.Series:
    if whole:
        text = text.str.replace(r"^((?:19|20)\d{6})(\d{4}(?:\d{2})?)$", "$1 $2")  # 20240131093000
        digits = text.cast(pl.Int64, strict=False)
        days = text.str.contains(r"^(19|20)\d{6}$").fill_null(False)
        if digits.null_count() == 0 and not bool(days.all()):
            return _scaled_whole(digits)
        floats = text.cast(pl.Float64, strict=False)
        if floats.null_count() == 0 and not bool(days.all()):
            return _scaled(floats)
        if floats.null_count() < len(text) and not bool(days.any()):  # epoch numbers, and cells that are none
            return _scaled(floats)
    parts = text.str.extract_groups(_YEAR_FIRST + _CLOCK + _ZONE + "$").struct.unnest()
    if parts["year"].null_count() == len(text):
        parts = text.str.extract_groups(_YEAR_LAST + _CLOCK + _ZONE + "$").struct.unnest()
        parts = _with_months(where, parts, text)
    return _moments(parts)


def _scaled_whole(numbers: pl.Series) -> pl.Series:
    """Epoch numbers as ns: the unit (s, ms, us, ns) follows from the size, cell by cell."""
    size = numbers.abs()
    factor = (
        pl.when(size < 10**11).then(10**9).when(size < 10**14).then(10**6).when(size < 10**17).then(10**3).otherwise(1)
    )
    factor = factor.cast(pl.Int64)
    fits = size < pl.lit(_LATEST_NS, dtype=pl.Int64) // factor
    stamps = pl.select(pl.when(fits).then(pl.lit(numbers) * factor)).to_series()
    return pl.select(pl.when(stamps >= _EARLIEST_S * 10**9).then(stamps)).to_series()


def _scaled(numbers: pl.Series) -> pl.Series:
    """Epoch numbers with decimals as ns, exact to the millisecond."""
    size = numbers.abs()
    to_ms = pl.when(size < 1e11).then(1e3).when(size < 1e14).then(1.0).when(size < 1e17).then(1e-3).otherwise(1e-6)
    finite = pl.lit(numbers).is_finite() & (size < 1e19)
    ms = pl.select(pl.when(finite).then(pl.lit(numbers) * to_ms)).to_series().round(0).cast(pl.Int64, strict=False)
    return _scaled_whole(ms)


def _with_months(where: str, parts: pl.DataFrame, text: pl.Series) -> pl.DataFrame:
    """*parts* of dates whose year stands last, with the columns month and day told apart."""
    first, second = parts["first"], parts["second_part"]
    if first.str.contains("[A-Za-z]").any():  # Jan 2, 2024
        return parts.with_columns(month=first, day=second)
    if second.str.contains("[A-Za-z]").any() or text.str.contains(r"^\d{1,2}\.").any():  # 02-Jan-2024, 02.01.2024
        return parts.with_columns(month=second, day=first)
    one, other = first.cast(pl.Int64, strict=False), second.cast(pl.Int64, strict=False)
    day_first, month_first = bool((one > 12).any()), bool((other > 12).any())
    if day_first == month_first and not parts.is_empty() and one.null_count() < len(one):
        example = text.drop_nulls()[0]
        raise DataError(
            f"{where}: the dates ({shown(example)}) can be read as day/month or as month/day; write them as 2024-01-31"
        )
    return parts.with_columns(month=second if day_first else first, day=first if day_first else second)


def _moments(parts: pl.DataFrame) -> pl.Series:
    """Nanoseconds since the epoch of dates in parts; null where a part is missing or out of range."""
    names = {name: f"{number:02d}" for number, name in enumerate(_MONTHS, start=1)}
    month = pl.col("month").str.to_lowercase().str.slice(0, 3)
    hour, half = pl.col("hour").fill_null("0").cast(pl.Int64), pl.col("half").str.to_lowercase()
    clock = (
        pl.when(half.is_null()).then(hour).when((hour < 1) | (hour > 12)).then(99)
        .when(half == "pm").then(hour % 12 + 12).otherwise(hour % 12)
    )
    iso = pl.format(
        "{}-{}-{} {}:{}:{}.{}", pl.col("year"),
        pl.when(month.str.contains("[a-z]")).then(month.replace(names)).otherwise(month.str.zfill(2)),
        pl.col("day").str.zfill(2), clock.cast(pl.String).str.zfill(2), pl.col("minute").fill_null("00"),
        pl.col("second").fill_null("00"), pl.col("fraction").fill_null("0").str.pad_end(9, "0").str.slice(0, 6),
    )
    zone = pl.col("zone").str.replace(":", "", literal=True).str.replace("^(?:Z|z|UTC|GMT)$", "+0000")
    minutes = (
        zone.str.slice(1, 2).cast(pl.Int64, strict=False) * 60
        + zone.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    ).fill_null(0)
    offset = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    stamp = iso.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us").dt.timestamp("us")
    return parts.select(((stamp - offset * 60_000_000) * 1_000).alias("ns")).to_series()
