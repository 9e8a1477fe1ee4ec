"""The bar store: files appear whole, merge by time, and damaged ones are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quantum_trader.domain.errors import DataError
from quantum_trader.market import store

MINUTE = 60_000_000_000
T0 = 1_704_067_200_000_000_000


def bars(first: int, rows: int, price: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Clean bars from minute *first* on."""
    return T0 + np.arange(first, first + rows) * MINUTE, np.tile([price, price, price, price, 1.5], (rows, 1))


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A whole series."""
    pieces = list(store.read_series(path))
    return np.concatenate([one[1] for one in pieces]), np.concatenate([one[2] for one in pieces])


def test_series_is_read_back_as_written(tmp_path: Path) -> None:
    """Times and values survive to the bit, in the documented columns."""
    ts, values = bars(0, 100)
    values[:, 3] = np.random.default_rng(1).random(100) + 1.0
    path = store.write_series(tmp_path, "1m", "BTCUSDT", ts, values)
    back_ts, back = read(path)
    assert path == tmp_path / "bars_1m" / "BTCUSDT.parquet"
    assert np.array_equal(back_ts, ts)
    assert np.array_equal(back, values)
    assert pq.read_schema(path).names == ["ts", "symbol", "open", "high", "low", "close", "volume"]
    assert store.series_span(path) == (int(ts[0]), int(ts[-1]))


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Writing twice is byte-identical, so that a store can be compared by hash."""
    first = store.write_series(tmp_path / "a", "1m", "X", *bars(0, 500))
    second = store.write_series(tmp_path / "b", "1m", "X", *bars(0, 500))
    assert first.read_bytes() == second.read_bytes()


def test_merge_is_a_union_where_new_bars_win(tmp_path: Path) -> None:
    """Overlapping bars are replaced, others kept, and only really new rows are counted."""
    store.write_series(tmp_path, "1m", "X", *bars(0, 10, 1.0))
    path, added = store.merge_series(tmp_path, "1m", "X", *bars(8, 5, 2.0))
    ts, values = read(path)
    assert added == 3
    assert np.array_equal(ts, T0 + np.arange(13) * MINUTE)
    assert values[:, 0].tolist() == [1.0] * 8 + [2.0] * 5


def test_rows_and_range_of_pieces(tmp_path: Path) -> None:
    """Row groups outside the range are skipped, and rows keep their number in the file."""
    rows = store.ROW_GROUP + 10
    path = store.write_series(tmp_path, "1m", "X", *bars(0, rows))
    late = list(store.read_series(path, start_ns=T0 + (rows - 5) * MINUTE))
    assert [(row, len(ts)) for row, ts, _ in late] == [(store.ROW_GROUP + 1, 10)]
    early = list(store.read_series(path, end_ns=T0 + MINUTE))
    assert [(row, len(ts)) for row, ts, _ in early] == [(1, store.ROW_GROUP)]


def test_a_failed_write_keeps_the_earlier_file(tmp_path: Path) -> None:
    """When writing fails half way (a full disk), the old file stands, nothing half-written stays, the error says so."""
    path = store.write_series(tmp_path, "1m", "X", *bars(0, 10))
    before = path.read_bytes()

    def tables() -> object:
        yield store.series_table("X", *bars(0, 10))
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="No space left on device"):
        store.write_parquet(path, tables())  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["X.parquet"]


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    """Bytes that are no Parquet, a missing column, an empty time and an impossible one each have an error."""
    path = tmp_path / "bars_1m" / "X.parquet"
    path.parent.mkdir()
    path.write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"X\.parquet: cannot be read as Parquet"):
        read(path)
    table = store.series_table("X", *bars(0, 3))
    pq.write_table(table.drop_columns(["close"]), path)
    with pytest.raises(DataError, match="column close is missing"):
        read(path)
    stamps = pa.array([1, None, 3], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    pq.write_table(table.set_column(0, "ts", stamps), path)
    with pytest.raises(DataError, match="1 empty cells"):
        read(path)
    far = pa.array([2**60] * 3, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    pq.write_table(table.set_column(0, "ts", far), path)
    with pytest.raises(DataError, match="row 1: ts = .* unit is wrong"):
        read(path)


def test_funding_merges_by_time(tmp_path: Path) -> None:
    """Payments are kept once a time; a second fetch of the same month adds nothing."""
    ts = T0 + np.arange(3) * 8 * 60 * MINUTE
    assert store.merge_funding(tmp_path, "BTCUSDT", ts, np.array([1e-4, 2e-4, 3e-4])) == 3
    assert store.merge_funding(tmp_path, "ETHUSDT", ts[:1], np.array([5e-4])) == 1
    assert store.merge_funding(tmp_path, "BTCUSDT", ts[1:], np.array([9e-4, 3e-4])) == 0
    found = store.read_funding(tmp_path)
    assert found["BTCUSDT"][1].tolist() == [1e-4, 9e-4, 3e-4]
    assert np.array_equal(found["BTCUSDT"][0], ts)
    assert found["ETHUSDT"][1].tolist() == [5e-4]


def test_bad_funding_is_refused_with_its_row(tmp_path: Path) -> None:
    """A rate that is no number and a time given twice are errors that name the row."""
    ts = np.array([T0, T0 + MINUTE])
    store.write_funding(tmp_path, {"X": (ts, np.array([1e-4, np.nan]))})
    with pytest.raises(DataError, match="row 2: rate = "):
        store.read_funding(tmp_path)
    store.write_funding(tmp_path, {"X": (np.array([T0, T0]), np.array([1e-4, 2e-4]))})
    with pytest.raises(DataError, match="row 2: X has two rates for one time"):
        store.read_funding(tmp_path)


def test_list_shows_every_series(tmp_path: Path) -> None:
    """Bars, mark prices and funding are listed with rows and ranges; a missing folder is an error."""
    ts, values = bars(0, 7)
    store.write_series(tmp_path, "1m", "X", ts, values)
    store.write_series(tmp_path, "1h", "X", T0 + np.arange(2) * 60 * MINUTE, values[:2, :4], kind="mark")
    store.merge_funding(tmp_path, "X", ts[:1], np.array([1e-4]))
    listed = [(one.kind, one.interval, one.symbol, one.rows, one.first_ns) for one in store.list_store(tmp_path)]
    assert listed == [("bars", "1m", "X", 7, T0), ("mark", "1h", "X", 2, T0), ("funding", "", "X", 1, T0)]
    with pytest.raises(DataError, match="there is no such folder"):
        store.list_store(tmp_path / "nowhere")
