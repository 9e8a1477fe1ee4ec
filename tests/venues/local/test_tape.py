"""The tape: one path through every bar, independent of the steps in which it is walked."""

from __future__ import annotations

import numpy as np
import pytest
from tests.venues.local.world import COIN, START_NS

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import InputError
from quantum_trader.venues.local.tape import Tape


def tape_of(*bars: tuple[float, float, float, float]) -> Tape:
    """Hourly bars of AAAUSDT from START_NS."""
    tape = Tape.empty([COIN], NS_PER_HOUR)
    for number, bar in enumerate(bars):
        tape.append(START_NS + number * NS_PER_HOUR, np.array([[*bar, 60.0]]), np.array([True]))
    return tape


def test_the_path_takes_the_nearer_extreme_first() -> None:
    """From 100 the low of 98 comes before the high of 110, and the other way round."""
    tape = tape_of((100.0, 110.0, 98.0, 105.0), (105.0, 106.0, 90.0, 91.0))

    assert tape.corners(0)[:, 0].tolist() == [100.0, 98.0, 110.0, 105.0]
    assert tape.corners(1)[:, 0].tolist() == [105.0, 106.0, 90.0, 91.0]


def test_the_price_is_on_a_straight_line_between_corners() -> None:
    """Halfway through the first third the price is halfway to the first extreme."""
    tape = tape_of((100.0, 110.0, 98.0, 105.0))

    assert tape.prices(0, START_NS + NS_PER_HOUR // 6)[0] == 99.0
    assert tape.prices(0, START_NS + NS_PER_HOUR)[0] == 105.0


def test_the_running_bar_shows_the_past_alone() -> None:
    """After a third of the bar its high is still the open and its low the first extreme."""
    tape = tape_of((100.0, 110.0, 98.0, 105.0))

    bar = tape.bar_so_far(0, START_NS + NS_PER_HOUR // 3)[0].tolist()

    assert bar == [100.0, 100.0, 98.0, 98.0, 20.0]


def test_longer_bars_are_made_of_what_is_there() -> None:
    """Two hours in one bar: open of the first, close of the last, extremes and volume of both."""
    tape = tape_of((100.0, 110.0, 98.0, 105.0), (105.0, 106.0, 90.0, 91.0), (91.0, 92.0, 90.0, 92.0))

    bars = tape.bars(0, 2 * NS_PER_HOUR, START_NS, 2**62, START_NS + 2 * NS_PER_HOUR, 10)

    assert bars[0].tolist() == [float(START_NS), 100.0, 110.0, 90.0, 91.0, 120.0]
    assert bars[1, 1:5].tolist() == [91.0, 91.0, 91.0, 91.0], "the bar that has just opened"


def test_limit_and_start_choose_as_the_venue_does() -> None:
    """Without a start the last bars come, with one the first."""
    tape = tape_of(*[(100.0 + n, 101.0 + n, 99.0 + n, 100.5 + n) for n in range(10)])
    end = START_NS + 10 * NS_PER_HOUR

    assert tape.bars(0, NS_PER_HOUR, 0, 2**62, end, 3)[:, 1].tolist() == [107.0, 108.0, 109.0]
    assert tape.bars(0, NS_PER_HOUR, START_NS + NS_PER_HOUR, 2**62, end, 2)[:, 1].tolist() == [101.0, 102.0]


def test_shorter_bars_are_pieces_of_the_path() -> None:
    """Six pieces of ten minutes hold the hour's extremes and volume; the running one ends at the price of now."""
    tape = tape_of((100.0, 110.0, 98.0, 105.0))

    bars = tape.bars(0, NS_PER_HOUR // 6, START_NS, 2**62, START_NS + NS_PER_HOUR - 1, 10)
    running = tape.bars(0, NS_PER_HOUR // 6, 0, 2**62, START_NS + NS_PER_HOUR // 12, 10)

    assert len(bars) == 6
    assert (bars[0, 1], bars[-1, 4], bars[:, 2].max(), bars[:, 3].min()) == (100.0, 105.0, 110.0, 98.0)
    assert bars[:, 5].sum() == pytest.approx(60.0)
    assert bars[1:, 1].tolist() == bars[:-1, 4].tolist(), "each begins where the last one ended"
    assert running[:, 1:5].tolist() == [[100.0, 100.0, 99.5, 99.5]]


def test_an_interval_that_does_not_fit_is_refused() -> None:
    """Seven minutes do not go into an hour."""
    tape = tape_of((100.0, 110.0, 98.0, 105.0))

    assert not tape.can_make(7 * NS_PER_HOUR // 60)
    with pytest.raises(InputError, match="evenly"):
        tape.bars(0, 7 * NS_PER_HOUR // 60, 0, 2**62, START_NS, 10)


def test_time_only_moves_on() -> None:
    """A row before the end of the last one is refused."""
    tape = tape_of((100.0, 110.0, 98.0, 105.0))

    with pytest.raises(InputError, match="not before"):
        tape.append(START_NS, np.array([[1.0, 1.0, 1.0, 1.0, 1.0]]), np.array([True]))
