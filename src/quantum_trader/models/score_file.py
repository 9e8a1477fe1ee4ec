"""Scores that another program has written: a CSV or Parquet file with times is a model too.

What reads tables is imported where one is read: every program that knows the models imports this module.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, DataError, InputError
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.intervals import interval_ns
from quantum_trader.models.forecast import duration_ns
from quantum_trader.models.port import Model, Panel

if TYPE_CHECKING:
    import polars as pl

SCORE_FILES: Final = (".csv", ".parquet")
_TIME: Final = ("ts", "time", "timestamp", "date", "datetime")
_SEPARATORS: Final = (",", ";", "\t")
_EMPTY: Final = ("", "nan", "null", "none", "na")
_SHOWN_SYMBOLS: Final = 8


class ScoreFile(Model):
    """Scores from a file, each known at its own time.

    The file is long (columns ``ts, symbol, score``) or wide (``ts`` and a column for each symbol). A score is used from
    the first bar that closes at or after its time, and until it is *max_age* old. An empty cell means no view from then
    on. A time without an offset is UTC; a date alone is the midnight that the day begins with, so that a score made
    from a day's close is written with the next day's date.
    """

    needs = ("close",)
    warmup = 1

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        file: str  # CSV or Parquet
        bars: str = "1d"  # the interval at whose closes the scores are looked at
        horizon: str = "7d"  # for how long a score is meant
        max_age: str = "7d"  # from then on an old score is no view

    def __init__(self, params: msgspec.Struct | None = None) -> None:
        super().__init__(params)
        if params is None:
            raise ConfigError("ScoreFile: names no file; write params = {file = \"scores.csv\"}, or --model scores.csv")
        self.bars, self.horizon = self.params.bars, self.params.horizon
        interval_ns(self.bars)
        try:
            self.max_age_ns = duration_ns(self.params.max_age, "max_age")
        except InputError as error:
            raise ConfigError(f"ScoreFile: {error}") from None
        self._scores = read_scores(Path(self.params.file))

    def score(self, panel: Panel) -> Floats:
        """The newest score of each symbol that is known at the close of the newest bar."""
        scores = np.full(len(panel.symbols), np.nan)
        for index, symbol in enumerate(panel.symbols):
            times, values = self._scores.get(symbol, (None, None))
            if times is None or values is None:
                continue
            newest = int(np.searchsorted(times, panel.now_ns, side="right")) - 1
            if newest >= 0 and panel.now_ns - int(times[newest]) <= self.max_age_ns:
                scores[index] = values[newest]
        return scores

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that the file has scores for."""
        return tuple(self._scores)

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last time in the file."""
        times = [one for one, _ in self._scores.values()]
        return min(int(one[0]) for one in times), max(int(one[-1]) for one in times)

    def outside(self, first_ns: int, last_ns: int) -> tuple[int, int]:
        """How many scores there are, and how many are too old at *first_ns* or of after *last_ns*."""
        times = np.concatenate([one for one, _ in self._scores.values()])
        unused = (times > last_ns) | (times < first_ns - self.max_age_ns)
        return len(times), int(np.count_nonzero(unused))


def read_scores(path: Path) -> dict[str, tuple[Ints, Floats]]:
    """Times (ns, in order) and scores of each symbol in *path*; ConfigError names the row that cannot be used."""
    import polars as pl

    from quantum_trader.market.cells import times_of
    from quantum_trader.market.text_tables import plain_name, shown_columns

    try:
        frame = _table(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        why = str(error).partition("\n")[0]
        raise ConfigError(f"{path}: cannot be read as a table of scores: {why}") from None
    except DataError as error:
        raise ConfigError(str(error)) from None
    columns = {plain_name(name): name for name in frame.columns}
    stamp = next((columns[name] for name in _TIME if name in columns), None)
    if stamp is None:
        raise ConfigError(f"{path}: has no column ts (its columns: {shown_columns(frame.columns)}); it holds the time "
                          "at which each score is known")
    try:
        times = times_of(str(path), frame[stamp])
    except DataError as error:
        why = str(error).replace("every bar needs its opening time", "every score needs its time")
        raise ConfigError(why) from None
    if "symbol" in columns and "score" in columns:
        return _long(path, times, frame[columns["symbol"]], _numbers(path, frame[columns["score"]]))
    if "symbol" in columns or "score" in columns:
        raise ConfigError(
            f"{path}: has {shown_columns(frame.columns)}; write ts,symbol,score, or ts and a column for each symbol"
        )
    wide = [name for name in frame.columns if name != stamp]
    if not wide:
        raise ConfigError(f"{path}: has times and no scores; write ts,symbol,score, or ts and a column for each symbol")
    found: dict[str, tuple[Ints, Floats]] = {}
    for name in wide:
        if _symbol(name) in found:
            raise ConfigError(f"{path}: has two columns of {_symbol(name)}, the second one {name!r}; leave one out")
        found[_symbol(name)] = _in_order(path, name, times, _numbers(path, frame[name]))
    return found


def _table(path: Path) -> pl.DataFrame:
    import polars as pl

    if path.suffix.lower() == ".parquet":
        frame = pl.read_parquet(path)
        if not frame.height:
            raise DataError(f"{path}: holds no row; nothing to read")
        return frame
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    head = content.partition(b"\n")[0]
    separator = max(_SEPARATORS, key=lambda one: head.count(one.encode()))
    frame = pl.read_csv(content, separator=separator, infer_schema=False)
    if not frame.height:
        raise DataError(f"{path}: holds a header and no row; nothing to read")
    return frame


def _symbol(name: Any) -> str:
    return str(name).strip().upper().replace("/", "").partition(":")[0]


def _numbers(path: Path, column: pl.Series) -> Floats:
    """The scores of a column; an empty cell is NaN, and ConfigError names one that is no number."""
    import polars as pl

    from quantum_trader.market.text_tables import shown

    values = column
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        empty = text.str.to_lowercase().is_in(_EMPTY)
        values = pl.select(pl.when(~empty).then(pl.lit(text))).to_series()
    numbers = values.cast(pl.Float64, strict=False)
    wrong = (numbers.is_null() & values.is_not_null()) | numbers.is_infinite().fill_null(False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        cell = str(column[row]).strip()
        advice = "; write decimals with a point" if cell.replace(",", "", 1).lstrip("+-").isdigit() else ""
        raise ConfigError(f"{path}: row {row + 1}: {column.name} = {shown(column[row])}: is no number{advice}")
    return np.asarray(numbers.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _long(path: Path, times: Ints, symbols: pl.Series, scores: Floats) -> dict[str, tuple[Ints, Floats]]:
    names = np.array([_symbol(name) for name in symbols.to_list()])
    found: dict[str, tuple[Ints, Floats]] = {}
    for name in dict.fromkeys(names.tolist()):
        if not name or name == "NONE":
            raise ConfigError(f"{path}: row {int(np.flatnonzero(names == name)[0]) + 1}: names no symbol")
        mine = names == name
        found[name] = _in_order(path, name, times[mine], scores[mine])
    return found


def _in_order(path: Path, symbol: str, times: Ints, scores: Floats) -> tuple[Ints, Floats]:
    order = np.argsort(times, kind="stable")
    times, scores = times[order], scores[order]
    twice = np.flatnonzero(np.diff(times) == 0)
    if len(twice):
        moment = datetime.fromtimestamp(int(times[twice[0]]) // NS_PER_SECOND, tz=UTC)
        raise ConfigError(f"{path}: {symbol} has two scores at {moment:%Y-%m-%d %H:%M:%S} UTC; leave one of them out")
    return times, scores


def missing_symbols(model: ScoreFile, wanted: tuple[str, ...]) -> str:
    """A sentence on the symbols of *wanted* that the file has no scores for; empty where there are none."""
    lacking = [symbol for symbol in wanted if symbol not in model.symbols]
    if not lacking:
        return ""
    names = ", ".join(model.symbols[:_SHOWN_SYMBOLS])
    return f"{Path(model.params.file).name} has no scores for {', '.join(lacking)} (it has {names})"


def outside_scores(model: ScoreFile, first_ns: int, last_ns: int) -> str:
    """A sentence on the scores that no bar from *first_ns* to *last_ns* can use; empty where there are none.

    They are too old at the first close, or of after the last one.
    """
    total, unused = model.outside(first_ns, last_ns)
    if not unused:
        return ""
    first, last = model.span
    many = "none of its scores is used" if unused == total else f"{unused:,} of its {total:,} scores are not used"
    return (
        f"{Path(model.params.file).name} has scores of {_day(first)} to {_day(last)}, and the bars are of "
        f"{_day(first_ns)} to {_day(last_ns)}: {many}"
    )


def _day(ts_ns: int) -> str:
    return f"{datetime.fromtimestamp(ts_ns // NS_PER_SECOND, tz=UTC):%Y-%m-%d}"
