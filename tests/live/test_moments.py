"""Bars of moments that are not decided on yet: one owner, and only written bars are in its state."""

from __future__ import annotations

import numpy as np

from quantum_trader.live.inputs import BarsReceived
from quantum_trader.live.moments import MomentBars

BAR, OTHER_BAR = (1.0, 2.0, 0.5, 1.5, 10.0), (2.0, 3.0, 1.5, 2.5, 10.0)


def arrived(*symbols: int) -> MomentBars:
    """Bars of *symbols* out of three have arrived in the moment 60."""
    bars = MomentBars(3)
    for index in symbols:
        assert bars.add(60, index, BAR, True)
    return bars


def test_a_bar_is_received_once() -> None:
    """The second bar of a symbol in a moment is dropped; the first one stays."""
    bars = arrived(1)

    assert not bars.add(60, 1, OTHER_BAR, True)
    assert (bars.arrived(60), bars.unwritten(60)) == (1, 1)
    assert bars.traded_bar(60, 1).tolist() == list(BAR)
    assert bars.traded_bar(60, 0) is None


def test_an_entry_holds_the_unwritten_bars_in_order_of_arrival() -> None:
    """Each bar is written once."""
    bars = arrived(2, 0)

    first = bars.entry(60, 0)
    bars.add(60, 1, OTHER_BAR, False)
    last = bars.entry(60, 120)

    assert np.frombuffer(first.indices or b"", dtype=np.int32).tolist() == [2, 0]
    assert np.frombuffer(last.indices or b"", dtype=np.int32).tolist() == [1]
    ohlcv, present = bars.take(60)
    assert ohlcv.tolist() == [list(BAR), list(OTHER_BAR), list(BAR)]
    assert present.tolist() == [True, False, True]


def test_a_decision_forgets_earlier_moments_and_keeps_later_ones() -> None:
    """Bars of moments up to the one decided on are not needed any more."""
    bars = arrived(0)
    bars.add(0, 0, BAR, True)
    bars.add(120, 0, BAR, True)

    bars.take(60)

    assert bars.moments() == [120]
    assert bars.first() == 120


def test_the_state_holds_written_bars_alone() -> None:
    """A bar that is not in the input log is not in a checkpoint either."""
    bars = arrived(0)
    bars.entry(60, 0)
    bars.add(60, 1, OTHER_BAR, True)
    bars.add(120, 0, BAR, True)

    ((ts_ns, ohlcv, present),) = bars.state()

    assert ts_ns == 60
    assert present.tolist() == [True, False, False]
    assert np.isnan(ohlcv[1:]).all()


def test_restored_bars_are_received_again_and_count_until_then() -> None:
    """After a restart a moment is awaited whole; bars that do not come again are decided on as written."""
    before = arrived(0, 1)
    before.entry(60, 0)
    bars = MomentBars(3)
    bars.load_state(before.state())

    assert (bars.moments(), bars.arrived(60)) == ([], 0)
    assert bars.add(60, 1, OTHER_BAR, True)
    ohlcv, present = bars.take(60)

    assert ohlcv[:2].tolist() == [list(BAR), list(OTHER_BAR)]
    assert present.tolist() == [True, True, False]


def test_a_replayed_input_fills_the_moment_without_being_received() -> None:
    """The replay of the input log restores bars as a checkpoint does."""
    ohlcv = np.array([BAR, OTHER_BAR, BAR])
    bars = MomentBars(3)

    bars.put(BarsReceived.of(60, 0, ohlcv, np.ones(3, dtype=np.bool_), [1]))

    assert bars.moments() == []
    assert bars.state()[0][2].tolist() == [False, True, False]
