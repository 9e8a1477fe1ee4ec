"""The bars of a whole recording at once are those that a run sees one by one."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.conftest import SYMBOLS, Feed, daily

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.models.port import FIELDS
from quantum_trader.models.whole_bars import BaseBars, WholeBars, rates_at, whole_bars


def made(feed: Feed) -> WholeBars:
    """The days of *feed*, read in three parts."""
    some = feed.present.any(axis=1)
    ts_ns, ohlcv, present = feed.ts_ns[some], feed.ohlcv[some], feed.present[some]
    funding = np.tile(feed.funding, (len(ts_ns), 1))
    parts = [
        BaseBars(ts_ns[at], ohlcv[at], present[at], funding[at])
        for at in (slice(0, 100), slice(100, 101), slice(101, None))
    ]
    return whole_bars(SYMBOLS, NS_PER_HOUR, NS_PER_DAY, (int(ts_ns[0]), int(ts_ns[-1])), parts)


@pytest.mark.parametrize("hours", [30 * 24, 30 * 24 - 1])
def test_whole_bars_equal_the_history_bar_by_bar(hours: int) -> None:
    """To the bit, with gaps, days without a bar and an unfinished last day."""
    feed = Feed(hours)
    feed.present[23, 1] = feed.present[50:60, 0] = False
    feed.present[47] = feed.present[5 * 24:7 * 24] = False
    history = daily(10)
    bars = made(feed)
    steps = feed.completed(history)
    rows = {int(ts_ns): row for row, ts_ns in enumerate(bars.opens.tolist())}
    for bar in steps:
        np.testing.assert_array_equal(bars.fields[:, rows[bar.ts_ns]], bar.bars)
    assert int(bars.opens[-1]) == steps[-1].ts_ns
    for name in FIELDS:
        np.testing.assert_array_equal(
            bars.panel(FIELDS, len(bars.opens) - 1, 10).field(name), history.panel(FIELDS, 10).field(name)
        )
    np.testing.assert_array_equal(bars.panel(FIELDS, 3, 10).ts_ns, bars.opens[3] + NS_PER_DAY * np.arange(-9, 1))
    np.testing.assert_array_equal(bars.seen()[-1], history.seen)


def test_a_rate_is_known_from_its_time_on() -> None:
    """Before the first one the assumed rate holds."""
    known = np.array([10, 20]), np.array([0.1, np.nan])
    assert rates_at(np.array([9, 10, 19, 20]), known, 0.5).tolist() == [0.5, 0.1, 0.1, np.inf]
    assert rates_at(np.array([9, 10]), None, 0.5).tolist() == [0.5, 0.5]
