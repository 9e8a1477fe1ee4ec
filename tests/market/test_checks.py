"""Bad bars are found, each with its row, column, value and kind; good ones pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import DataError
from quantum_trader.market.checks import bars_are_clean, find_faults, find_gaps, is_hole, refuse_bad_bars

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE
T0 = 1_700_000_040_000_000_000 // MINUTE * MINUTE


def good(rows: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Clean bars: open 10, high 12, low 9, close 11, volume 5."""
    return T0 + np.arange(rows) * MINUTE, np.tile([10.0, 12.0, 9.0, 11.0, 5.0], (rows, 1))


CASES = [
    # row index, column index, value, expected (column, kind)
    (2, 0, math.nan, ("open", "not finite")),
    (2, 1, math.inf, ("high", "not finite")),
    (2, 4, math.nan, ("volume", "not finite")),
    (1, 2, 0.0, ("low", "not positive")),
    (1, 3, -4.0, ("close", "not positive")),
    (4, 1, 8.5, ("high", "high below low")),
    (4, 0, 12.5, ("open", "outside low..high")),
    (0, 3, 8.9, ("close", "outside low..high")),
    (5, 4, -1.0, ("volume", "negative")),
]


@pytest.mark.parametrize(("row", "column", "value", "expected"), CASES)
def test_bad_value_is_found_with_row_and_column(
    row: int, column: int, value: float, expected: tuple[str, str]
) -> None:
    """Each kind of unusable value is named where it stands, rows counted from 1."""
    ts, ohlcv = good()
    ohlcv[row, column] = value
    found = find_faults(ts, ohlcv, MINUTE)
    assert expected in [(fault.column, fault.kind) for fault in found]
    assert {fault.row for fault in found} == {row + 1}
    assert not bars_are_clean(ts, ohlcv, MINUTE)


def test_time_faults_are_distinguished() -> None:
    """A repeated time is a duplicate, an earlier one goes backwards, a half interval is off the grid."""
    ts, ohlcv = good(6)
    ts[2] = ts[1]
    ts[4] = ts[0] - MINUTE
    ts[5] += MINUTE // 2
    kinds = [(fault.row, fault.kind) for fault in find_faults(ts, ohlcv, MINUTE)]
    assert kinds == [(3, "duplicate"), (5, "time goes backwards"), (6, "off the grid")]


def test_previous_bar_counts_across_pieces() -> None:
    """The first bar of a piece must come after the last of the piece before."""
    ts, ohlcv = good()
    assert bars_are_clean(ts, ohlcv, MINUTE, previous_ns=int(ts[0]) - MINUTE)
    assert not bars_are_clean(ts, ohlcv, MINUTE, previous_ns=int(ts[0]))
    assert [fault.kind for fault in find_faults(ts, ohlcv, MINUTE, previous_ns=int(ts[0]))] == ["duplicate"]


def test_refusal_names_file_row_time_column_value_and_remedy() -> None:
    """The error is enough to find the bar and to know what to do."""
    ts, ohlcv = good()
    ohlcv[3, 2] = -1.5
    with pytest.raises(DataError) as caught:
        refuse_bad_bars("somewhere/BTCUSDT.parquet", ts, ohlcv, MINUTE, first_row=101)
    text = str(caught.value)
    for part in ("somewhere/BTCUSDT.parquet", "row 104", "low = -1.5", "2023-11-14T22:17:00Z", "--drop-bad"):
        assert part in text


def test_zero_volume_is_no_fault() -> None:
    """An outage that a source filled is counted elsewhere, never refused."""
    ts, ohlcv = good()
    ohlcv[:, 4] = 0.0
    assert find_faults(ts, ohlcv, MINUTE) == []
    assert bars_are_clean(ts, ohlcv, MINUTE)


def test_gaps_and_holes() -> None:
    """A gap counts its missing bars; a hole is more than a day between close and open."""
    ts, _ = good(3)
    ts[2] = ts[1] + 4 * MINUTE
    assert [(gap.last_ns, gap.next_ns, gap.missing_bars) for gap in find_gaps(ts, MINUTE)] == [
        (int(ts[1]), int(ts[2]), 3)
    ]
    assert not is_hole(0, MINUTE + DAY, MINUTE)
    assert is_hole(0, 2 * MINUTE + DAY, MINUTE)


@given(
    st.lists(
        st.tuples(st.integers(-2, 6), *[st.sampled_from([-1.0, 0.0, 1.0, 2.0, math.nan, math.inf])] * 5),
        min_size=1, max_size=12,
    )
)
def test_quick_and_full_check_agree(rows: list[tuple[float, ...]]) -> None:
    """The quick check says clean exactly when the full one finds nothing."""
    ts = np.array([T0 + int(row[0]) * MINUTE // 2 for row in rows])
    ohlcv = np.array([row[1:] for row in rows])
    assert bars_are_clean(ts, ohlcv, MINUTE) == (find_faults(ts, ohlcv, MINUTE) == [])
