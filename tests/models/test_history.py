"""The bars that a model sees are complete, aligned to UTC days, and never of the future."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.conftest import START, SYMBOLS, Feed, daily

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.models.history import BarHistory
from quantum_trader.models.port import FIELDS


def test_daily_bars_are_those_of_the_hours_they_hold(feed: Feed) -> None:
    """Open of the first hour, close of the last, extremes and the sum of the volumes."""
    made = feed.completed(daily())
    days = feed.ohlcv.reshape(30, 24, len(SYMBOLS), 5)
    assert [bar.ts_ns for bar in made] == [START + day * NS_PER_DAY for day in range(30)]
    for day, bar in enumerate(made):
        hours = days[day]
        expected = [hours[0, :, 0], hours[:, :, 1].max(0), hours[:, :, 2].min(0), hours[-1, :, 3]]
        np.testing.assert_array_equal(bar.bars[:4], expected)
        np.testing.assert_allclose(bar.bars[4], hours[:, :, 4].sum(0), rtol=1e-12)
        np.testing.assert_array_equal(bar.bars[5], feed.funding)


def test_the_panel_holds_the_newest_bars_and_pads_with_nan(feed: Feed) -> None:
    """Four days in, a panel of six rows has two without numbers, and its times are numbered on."""
    history = daily()
    for row, ts_ns in enumerate(feed.ts_ns[: 4 * 24].tolist()):
        list(history.take(ts_ns, feed.ohlcv[row], feed.present[row], feed.funding))
    panel = history.panel(("close", "volume"), 6)
    assert panel.close.shape == (6, 3)
    assert np.isnan(panel.close[:2]).all()
    np.testing.assert_array_equal(panel.close[2:], feed.ohlcv[23 : 4 * 24 : 24, :, 3])
    assert panel.ts_ns.tolist() == [START + day * NS_PER_DAY for day in range(-2, 4)]
    assert panel.now_ns == START + 4 * NS_PER_DAY
    with pytest.raises(AttributeError, match="add 'open' to its needs"):
        _ = panel.open


def test_a_panel_that_a_model_keeps_does_not_change(feed: Feed) -> None:
    """The arrays are copies, and read only."""
    history = daily(2)
    kept = [history.panel(("close",), 2).close.copy() for _ in feed.completed(history)]
    panel = history.panel(("close",), 2)
    before = panel.close.copy()
    Feed(30 * 24, seed=9).completed(history)
    np.testing.assert_array_equal(panel.close, before)
    assert kept
    with pytest.raises(ValueError, match="read-only"):
        panel.close[0] = 1.0


def test_a_day_whose_last_hour_is_missing_completes_with_the_next_bar(feed: Feed) -> None:
    """For one symbol its last bar is the one there is; for all, the day ends when the next one begins."""
    feed.present[23, 1] = False  # one symbol lacks its last hour
    feed.present[47, :] = False  # all lack it
    made = feed.completed(daily())
    assert made[0].bars[3, 1] == feed.ohlcv[22, 1, 3]
    assert made[1].ts_ns == START + NS_PER_DAY
    np.testing.assert_array_equal(made[1].bars[3], feed.ohlcv[46, :, 3])
    assert len(made) == 30


def test_days_without_a_bar_are_rows_of_nan(feed: Feed) -> None:
    """Two days of no data: the next day says how many were skipped, and the panel shows them empty."""
    feed.present[5 * 24 : 7 * 24] = False
    history = daily()
    made = feed.completed(history)
    assert [bar.skipped for bar in made if bar.skipped] == [2]
    rows = history.panel(("close",), 10).ts_ns
    assert np.diff(rows).tolist() == [NS_PER_DAY] * 9
    assert history.seen.tolist() == [30, 30, 30]


def test_a_symbol_listed_later_counts_its_own_bars(feed: Feed) -> None:
    """What a model lacks is counted from each symbol's first bar."""
    feed.present[: 20 * 24, 2] = False
    history = daily()
    feed.completed(history)
    assert history.seen.tolist() == [30, 30, 10]


def test_whole_bars_of_the_venue_and_bars_made_here_are_the_same_history(feed: Feed) -> None:
    """A warm-up of daily bars leaves the same panel as the hours they are made of."""
    made, warmed = daily(), daily()
    for bar in feed.completed(made):
        warmed.take_whole(bar.ts_ns, bar.bars[:5].T, bar.present, feed.funding)
    for name in FIELDS:
        np.testing.assert_array_equal(made.panel(FIELDS, 10).field(name), warmed.panel(FIELDS, 10).field(name))


def test_a_history_continues_from_its_state(feed: Feed) -> None:
    """Cut in the middle of a day, the second half gives the same bars."""
    whole, first, second = daily(), daily(), daily()
    expected = feed.completed(whole)
    cut = 10 * 24 + 7
    for row in range(cut):
        list(first.take(int(feed.ts_ns[row]), feed.ohlcv[row], feed.present[row], feed.funding))
    second.load_state(first.state())
    made = [
        bar for row in range(cut, len(feed.ts_ns))
        for bar in second.take(int(feed.ts_ns[row]), feed.ohlcv[row], feed.present[row], feed.funding)
    ]
    for bar, other in zip(expected[10:], made, strict=True):
        np.testing.assert_array_equal(bar.bars, other.bars)
    np.testing.assert_array_equal(whole.panel(("close",), 10).close, second.panel(("close",), 10).close)


def test_a_state_of_another_warm_up_is_refused() -> None:
    """It says so, and what to do."""
    with pytest.raises(StateError, match="saved for other symbols, bars or warm-up"):
        daily(5).load_state(daily(6).state())


@pytest.mark.parametrize(("base", "length", "capacity"), [
    (NS_PER_HOUR, NS_PER_HOUR // 2, 5), (NS_PER_DAY, NS_PER_HOUR * 25, 5), (NS_PER_HOUR, NS_PER_DAY, 0),
])
def test_bars_that_cannot_be_made_are_refused(base: int, length: int, capacity: int) -> None:
    """Shorter than the base bars, no multiple of them, or no bar at all."""
    with pytest.raises(InputError, match="must be"):
        BarHistory(SYMBOLS, base, length, capacity)
