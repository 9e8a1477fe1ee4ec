"""Imports: every format read right, bad bars refused with their row, all or nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantum_trader.domain.errors import DataError
from quantum_trader.market import store
from quantum_trader.market.bar_files import read_bar_file
from quantum_trader.market.importers import import_files, inspect_files, inspect_store

T0_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def line(minute: int, *, unit: int = 1, price: float = 42_000.5, high: float | None = None) -> str:
    """One row as the public archive writes it; *unit* is 1 for ms, 1000 for µs."""
    top = price + 1.0 if high is None else high
    opened = (T0_MS + minute * 60_000) * unit
    return f"{opened},{price},{top},{price - 1.0},{price},12.5,{opened + 59_999},1,10,1,1,0"


def write(path: Path, lines: list[str]) -> Path:
    """A text file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def stored(
    root: Path, symbol: str = "BTCUSDT", interval: str = "1m", kind: str = "bars"
) -> tuple[np.ndarray, np.ndarray]:
    """What the store holds of a series."""
    path = store.series_path(root, interval, symbol, kind)
    pieces = list(store.read_series(path, columns=store.columns_of(kind)))
    return np.concatenate([one[1] for one in pieces]), np.concatenate([one[2] for one in pieces])


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("unit", [1, 1000])
def test_archive_csv(tmp_path: Path, header: bool, unit: int) -> None:
    """The archive's CSV is read with and without a header, in milliseconds and (since 2025) microseconds."""
    lines = [line(minute, unit=unit) for minute in range(5)]
    path = write(tmp_path / "BTCUSDT-1m-2024-01.csv", [HEADER, *lines] if header else lines)
    report = import_files([path], tmp_path / "store")
    ts, values = stored(tmp_path / "store")
    assert ts.tolist() == [(T0_MS + minute * 60_000) * 1_000_000 for minute in range(5)]
    assert values[0].tolist() == [42_000.5, 42_001.5, 41_999.5, 42_000.5, 12.5]
    assert [(one.symbol, one.interval, one.rows, one.added) for one in report.series] == [("BTCUSDT", "1m", 5, 5)]


def test_zip_and_months_join_into_one_series(tmp_path: Path) -> None:
    """A folder of zip and CSV months becomes one series in order of time, gaps counted across files."""
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "BTCUSDT-1m-2024-02.csv", [line(minute) for minute in range(10, 13)])
    text = "\n".join(line(minute, unit=1000) for minute in range(5))
    with zipfile.ZipFile(folder / "BTCUSDT-1m-2024-01.zip", "w") as archive:
        archive.writestr("BTCUSDT-1m-2024-01.csv", text)
    report = import_files([folder], tmp_path / "store").series[0]
    assert (report.files, report.rows, report.missing_bars, len(report.gaps)) == (2, 8, 5, 1)
    assert len(stored(tmp_path / "store")[0]) == 8


def test_freqtrade_feather(tmp_path: Path) -> None:
    """freqtrade's feather files are known by their names; marks go to the mark prices."""
    dates = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1, 1), "5m", time_zone="UTC", time_unit="ms", eager=True
    )
    frame = pl.DataFrame({"date": dates}).with_columns(
        open=pl.lit(10.0), high=pl.lit(11.0), low=pl.lit(9.0), close=pl.lit(10.5), volume=pl.lit(3.0)
    )
    frame.write_ipc(tmp_path / "BTC_USDT_USDT-5m-futures.feather")
    frame.write_ipc(tmp_path / "BTC_USDT_USDT-5m-mark.feather")
    report = import_files([tmp_path], tmp_path / "store")
    assert [(one.kind, one.symbol, one.interval) for one in report.series] == [
        ("bars", "BTCUSDT", "5m"), ("mark", "BTCUSDT", "5m"),
    ]
    ts, values = stored(tmp_path / "store", interval="5m")
    assert ts[0] == T0_MS * 1_000_000
    assert len(ts) == 13
    assert stored(tmp_path / "store", interval="5m", kind="mark")[1].shape == (13, 4)


TIMES = [
    ["1704067200", "1704067260"],
    ["1704067200000", "1704067260000"],
    ["1704067200000000", "1704067260000000"],
    ["2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z"],
    ["2024-01-01 00:00", "2024-01-01 00:01"],
    ["2024-01-01 00:00:00", "2024-01-01 00:01:00"],
    ["2024-01-01 00:00:00+00:00", "2024-01-01 00:01:00+00:00"],
    ["2024-01-01T02:00:00+02:00", "2024-01-01T02:01:00+02:00"],
]


@pytest.mark.parametrize("times", TIMES, ids=lambda times: times[0])
def test_plain_csv_in_many_spellings(tmp_path: Path, times: list[str]) -> None:
    """Epoch numbers of any unit and ISO text of any zone mean the same moment; columns come in any order and case."""
    rows = [f"{moment},3,1,9,2,2" for moment in times]
    path = write(tmp_path / "prices.csv", ["Timestamp,High,Low,Volume,Open,Close", *rows])
    file = read_bar_file(path, "ABCUSDT")[0]
    assert file.ts_ns.tolist() == [T0_MS * 1_000_000, (T0_MS + 60_000) * 1_000_000]
    assert file.ohlcv[0].tolist() == [2.0, 3.0, 1.0, 2.0, 9.0]
    assert file.interval == "1m"


def test_parquet_of_several_symbols(tmp_path: Path) -> None:
    """A symbol column splits a file; rows keep their number in the file."""
    frame = pl.DataFrame({
        "ts": pl.Series([T0_MS, T0_MS, T0_MS + 60_000, T0_MS + 60_000]).cast(pl.Datetime("ms", "UTC")),
        "symbol": ["A", "B", "A", "B"], "open": [1.0] * 4, "high": [2.0] * 4, "low": [1.0] * 4,
        "close": [1.5, 1.5, 1.5, 9.0], "volume": [1.0] * 4,
    })
    frame.write_parquet(tmp_path / "all.parquet")
    report = inspect_files([tmp_path / "all.parquet"])
    assert [(one.symbol, one.rows, one.bad_rows) for one in report.series] == [("A", 2, 0), ("B", 1, 1)]
    assert (report.faults[0].fault.row, report.faults[0].fault.column) == (4, "close")


def test_bad_bars_refuse_the_whole_import(tmp_path: Path) -> None:
    """One bad bar in the second file, and nothing of either is imported; the file and row are named."""
    write(tmp_path / "AAAUSDT-1m-2024-01.csv", [HEADER, line(0), line(1)])
    write(tmp_path / "BTCUSDT-1m-2024-01.csv", [HEADER, line(0), line(1), line(2, high=3.0), line(3)])
    with pytest.raises(DataError) as caught:
        import_files([tmp_path], tmp_path / "store")
    for part in ("BTCUSDT-1m-2024-01.csv", "row 3 (2024-01-01T00:02:00Z)", "high = 3.0", "Nothing was imported"):
        assert part in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_dropping_is_a_choice_and_is_listed(tmp_path: Path) -> None:
    """With drop_bad the good bars go in, and every one left out is in the report with its reason."""
    rows = [line(0), line(1, high=3.0), line(2), line(2), line(3).replace("42000.5", "x", 1), line(4)]
    path = write(tmp_path / "BTCUSDT-1m-2024-01.csv", rows)
    report = import_files([path], tmp_path / "store", drop_bad=True)
    one = report.series[0]
    assert (one.rows, one.bad_rows, one.duplicates, one.ohlc_errors, one.missing_bars) == (3, 3, 1, 2, 2)
    assert report.dropped
    faults = [(entry.fault.row, entry.fault.column, entry.fault.kind) for entry in report.faults]
    assert faults == [(2, "high", "high below low"), (4, "ts", "duplicate"), (5, "open", "not finite")]
    assert len(stored(tmp_path / "store")[0]) == 3


def test_files_that_overlap_are_duplicates(tmp_path: Path) -> None:
    """A bar that two files have is reported as a duplicate of the later one."""
    write(tmp_path / "BTCUSDT-1m-2024-01.csv", [line(minute) for minute in range(5)])
    write(tmp_path / "BTCUSDT-1m-2024-01-02.csv", [line(minute) for minute in range(3, 8)])
    one = inspect_files([tmp_path]).series[0]
    assert (one.rows, one.duplicates, one.time_errors) == (8, 2, 0)


def test_importing_again_replaces_and_adds_nothing(tmp_path: Path) -> None:
    """The same file twice leaves the same store."""
    path = write(tmp_path / "BTCUSDT-1m-2024-01.csv", [line(minute) for minute in range(5)])
    import_files([path], tmp_path / "store")
    before = store.series_path(tmp_path / "store", "1m", "BTCUSDT").read_bytes()
    assert import_files([path], tmp_path / "store").series[0].added == 0
    assert store.series_path(tmp_path / "store", "1m", "BTCUSDT").read_bytes() == before


def test_a_full_disk_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second of two series cannot be written, the first is not in the store either."""
    write(tmp_path / "AAAUSDT-1m-2024-01.csv", [line(0), line(1)])
    write(tmp_path / "BBBUSDT-1m-2024-01.csv", [line(0), line(1)])
    original = store.series_table

    def full(symbol: str, *rest: Any) -> Any:
        if symbol == "BBBUSDT":
            raise OSError(28, "No space left on device")
        return original(symbol, *rest)

    monkeypatch.setattr(store, "series_table", full)
    with pytest.raises(DataError, match="No space left on device"):
        import_files([tmp_path], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_stored_series_out_of_order_is_not_sorted_in_silence(tmp_path: Path) -> None:
    """Adding to a damaged series is refused; it would hide the damage."""
    ts = T0_MS * 1_000_000 + np.array([1, 0]) * 60_000_000_000
    store.write_series(tmp_path / "store", "1m", "BTCUSDT", ts, np.tile([1.0, 1.0, 1.0, 1.0, 1.0], (2, 1)))
    path = write(tmp_path / "BTCUSDT-1m-2024-01.csv", [line(5)])
    with pytest.raises(DataError, match="row 2: time does not move on"):
        import_files([path], tmp_path / "store")


UNREADABLE = [
    ("prices.csv", "time,open,high,low,volume\n1704067200,1,1,1,1\n", "column close is missing; it has time, open"),
    ("prices.csv", "a,b\n1,2\n", "a time .* is missing"),
    ("prices.csv", "time,open,high,low,close,volume\n1704067200,1,1,1,1,1\nsoon,1,1,1,1,1\n", "row 2: time 'soon'"),
    ("prices.csv", "time,open,high,low,close,volume\n1704067200,1,1,1,1,1\n", "one bar tells no interval"),
    (
        "odd.csv", "time,open,high,low,close,volume\n1704067200,1,1,1,1,1\n1704067207,1,1,1,1,1\n",
        "7 s apart, which is no known interval",
    ),
    ("BTCUSDT-1m.feather", "no feather", "cannot be read as feather"),
    ("BTCUSDT-1m.parquet", "no parquet", "cannot be read as parquet"),
    ("BTCUSDT-1m.zip", "no zip", "is no whole zip file"),
    ("BTCUSDT-1m.doc", "text", "files of this kind are not read"),
]


@pytest.mark.parametrize(("name", "text", "message"), UNREADABLE, ids=lambda value: str(value)[:20])
def test_unreadable_files_are_reported(tmp_path: Path, name: str, text: str, message: str) -> None:
    """A missing column, an unreadable time, an unknown interval, a damaged file: each has its message."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    symbol = None if name.startswith("BTC") else "ABCUSDT"
    with pytest.raises(DataError, match=message):
        import_files([path], tmp_path / "store", symbol)


def test_symbol_must_be_given_and_files_must_exist(tmp_path: Path) -> None:
    """A file name without a symbol needs --symbol; a missing file and an empty folder are errors."""
    rows = ["1704067200,1,1,1,1,1", "1704067260,1,1,1,1,1"]
    path = write(tmp_path / "prices.csv", ["time,open,high,low,close,volume", *rows])
    with pytest.raises(DataError, match="give it with --symbol"):
        import_files([path], tmp_path / "store")
    with pytest.raises(DataError, match="there is no such file"):
        import_files([tmp_path / "none.csv"], tmp_path / "store")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there are no bar files"):
        import_files([tmp_path / "empty"], tmp_path / "store")


def test_a_store_is_checked_file_by_file(tmp_path: Path) -> None:
    """A store damaged by hand is reported with file and row, and its good series without a fault."""
    ts = T0_MS * 1_000_000 + np.arange(10) * 60_000_000_000
    bars = np.tile([10.0, 11.0, 9.0, 10.0, 1.0], (10, 1))
    store.write_series(tmp_path, "1m", "GOOD", ts, bars)
    bars[6, 1] = 1.0
    store.write_series(tmp_path, "1m", "BADLY", ts, bars)
    store.write_series(tmp_path, "1m", "BADLY", ts, bars[:, :4], kind="mark")
    report = inspect_store(tmp_path)
    assert [(one.symbol, one.kind, one.bad_rows) for one in report.series] == [
        ("BADLY", "bars", 1), ("GOOD", "bars", 0), ("BADLY", "mark", 1),
    ]
    assert report.faults[0].text().startswith(f"{tmp_path}/bars_1m/BADLY.parquet: row 7 ")
    with pytest.raises(DataError, match="there are no bars"):
        inspect_store(tmp_path / "bars_1m")
