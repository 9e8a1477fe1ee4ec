"""Longer bars are aligned to UTC and never made up."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import InputError
from quantum_trader.market.resample import resample

FIVE = 5 * NS_PER_MINUTE


def bars(places: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Five-minute bars at these places after midnight, bar i with prices i+1 .. i+4."""
    ts = np.array([place * FIVE for place in places], dtype=np.int64)
    rows = np.array([[i + 2.0, i + 4.0, i + 1.0, i + 3.0, 1.0] for i in range(len(places))])
    return ts, rows


def test_an_hour_is_its_twelve_bars() -> None:
    """Open of the first, close of the last, extremes and volume of all; an unfinished hour is not shown."""
    ts, rows = bars(list(range(30)))
    times, hours = resample(ts, rows, FIVE, NS_PER_HOUR)
    np.testing.assert_array_equal(times, [0, NS_PER_HOUR])
    np.testing.assert_array_equal(hours, [[2.0, 15.0, 1.0, 14.0, 12.0], [14.0, 27.0, 13.0, 26.0, 12.0]])


def test_a_bar_without_its_last_part_is_complete_when_the_next_begins() -> None:
    """Bar 11 never came; the hour ends with bar 10 once bar 12 is there."""
    ts, rows = bars([*range(11), 12])
    times, hours = resample(ts, rows, FIVE, NS_PER_HOUR)
    np.testing.assert_array_equal(times, [0])
    assert hours[0, 4] == 11.0


def test_hours_without_bars_do_not_exist() -> None:
    """A gap leaves a gap."""
    ts, rows = bars([*range(12), *range(36, 48)])
    times, _ = resample(ts, rows, FIVE, NS_PER_HOUR)
    np.testing.assert_array_equal(times, [0, 3 * NS_PER_HOUR])


def test_a_recording_that_begins_inside_an_hour_gives_that_hour_as_it_is() -> None:
    """Alignment is to UTC, not to the first bar."""
    ts, rows = bars(list(range(6, 24)))
    times, hours = resample(ts, rows, FIVE, NS_PER_HOUR)
    np.testing.assert_array_equal(times, [0, NS_PER_HOUR])
    np.testing.assert_array_equal(hours[:, 4], [6.0, 12.0])


def test_bars_that_do_not_divide_are_refused() -> None:
    """Seven minutes are not a part of an hour."""
    ts, rows = bars([0])
    with pytest.raises(InputError, match="bucket_ns"):
        resample(ts, rows, 7 * NS_PER_MINUTE, NS_PER_HOUR)
