"""Triple-barrier labels: first touches over the range of bars, as the book's snippets and every shadow trade."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.labels import UNRESOLVED, triple_barrier, vertical_barriers
from quantum_trader.signals.shadow import SHADOW_STOP, SHADOW_TARGET, SHADOW_TIMEOUT


def bars_of_closes(*closes: float) -> np.ndarray:
    """Bars (n, 4) that open, trade and close at one price each: the book's path of closes."""
    return np.repeat(np.array(closes, dtype=float)[:, None], 4, axis=1)


def label_one(bars: np.ndarray, last: int, *, side: int = 1, target: float = 0.02, stop: float = 0.01, cost: float = 0):
    """The labels of one event that enters at the close of bar 0, as the book has it."""
    return triple_barrier(
        bars, np.array([1]), side, target, stop, np.array([last]), cost, entry_prices=np.array([bars[0, 3]])
    )


@pytest.mark.parametrize(("closes", "sign", "touched", "bar", "gross"), [
    ((100.0, 101.0, 102.0, 90.0), 1, SHADOW_TARGET, 2, 0.02),  # the upper barrier first
    ((100.0, 101.0, 99.0, 110.0), -1, SHADOW_STOP, 2, -0.01),  # the lower one first
    ((100.0, 101.0, 100.5, 101.5), 0, SHADOW_TIMEOUT, 3, 0.015),  # the vertical one
])
def test_the_first_touch_on_a_path_of_closes(
    closes: tuple[float, ...], sign: int, touched: int, bar: int, gross: float
) -> None:
    """1 where the upper barrier is touched first, -1 the lower, 0 the vertical: AFML section 3.4, made up here."""
    found = label_one(bars_of_closes(*closes), 3)
    assert (found.sign[0], found.touched[0], found.exit_bar[0]) == (sign, touched, bar)
    assert found.gross_return[0] == pytest.approx(gross)


def label_by_the_snippets(closes: np.ndarray, target: float, stop: float) -> tuple[int, int, float, int]:
    """Exit bar, bin of snippet 3.5, return and bin of exercise 3.3 of a trade from the first to the last close.

    What AFML snippet 3.2 (first close beyond a barrier, ``df0 > pt`` and ``df0 < sl``) and 3.5 (the sign of the return
    at that close) do. Exercise 3.3 asks for 0 where the vertical barrier is the first.
    """
    returns = closes / closes[0] - 1.0
    beyond = np.flatnonzero((returns > target) | (returns < -stop))
    bar = int(beyond[0]) if len(beyond) else len(closes) - 1
    sign = int(np.sign(returns[bar]))
    return bar, sign, float(returns[bar]), sign if len(beyond) else 0


@given(st.integers(0, 2**32 - 1), st.floats(0.005, 0.04), st.floats(0.005, 0.04))
def test_on_closes_a_label_is_that_of_the_books_snippets(seed: int, target: float, stop: float) -> None:
    """Exit bar, return and both bins: ours is the 0 of exercise 3.3; snippet 3.5's is the sign of the return."""
    closes = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.01, 12)))
    found = label_one(bars_of_closes(*closes), 11, target=target, stop=stop)
    bar, sign_of_return, gross, sign = label_by_the_snippets(closes, target, stop)
    assert (found.exit_bar[0], found.sign[0], np.sign(found.gross_return[0])) == (bar, sign, sign_of_return)
    assert found.gross_return[0] == pytest.approx(gross)
    assert found.win[0] == int(gross > 0.0)  # snippet 3.7: 1 for a gain and 0 for none


def test_a_price_at_a_barrier_touches_it_and_in_the_book_it_does_not() -> None:
    """At exactly 1/64 above 128: ours ends there, as an order at that price may fill; snippet 3.2 waits for more."""
    closes = np.array([128.0, 130.0, 128.0])
    found = label_one(bars_of_closes(*closes), 2, target=1 / 64, stop=1 / 64)
    assert (found.exit_bar[0], found.sign[0]) == (1, 1)
    assert label_by_the_snippets(closes, 1 / 64, 1 / 64) == (2, 0, 0.0, 0)
    fallen = label_one(bars_of_closes(128.0, 126.0, 128.0), 2, target=1 / 64, stop=1 / 64)
    assert (fallen.exit_bar[0], fallen.sign[0]) == (1, -1)


def test_a_timeout_is_the_sign_of_its_return_in_the_other_convention() -> None:
    """AFML snippet 3.5: the bin is the sign of the return; ours keeps 0 and the return beside it."""
    up, down = label_one(bars_of_closes(100.0, 100.5), 1), label_one(bars_of_closes(100.0, 99.5), 1)
    assert (up.sign[0], np.sign(up.gross_return[0])) == (0, 1.0)
    assert (down.sign[0], np.sign(down.gross_return[0])) == (0, -1.0)


def test_a_short_gains_from_a_fall() -> None:
    """The target of side -1 lies below the entry."""
    found = label_one(bars_of_closes(100.0, 99.0, 98.0), 2, side=-1)
    assert (found.sign[0], found.win[0]) == (1, 1)
    assert found.gross_return[0] == pytest.approx(0.02)


def test_the_stop_comes_first_in_a_bar_that_touches_both() -> None:
    """A range from 98 to 103 around an entry of 100 is a loss of the stop's 1 %."""
    bars = np.array([[100.0, 100.0, 100.0, 100.0], [100.0, 103.0, 98.0, 102.0]])
    found = label_one(bars, 1)
    assert (found.sign[0], found.gross_return[0]) == (-1, pytest.approx(-0.01))


def test_a_gap_beyond_the_stop_ends_at_the_open() -> None:
    """An open of 95 under a stop at 99 loses 5 %."""
    bars = np.array([[100.0, 100.0, 100.0, 100.0], [95.0, 96.0, 94.0, 95.5]])
    assert label_one(bars, 1).gross_return[0] == pytest.approx(-0.05)


def test_costs_turn_a_small_win_into_no_win() -> None:
    """2 % gross is a win after 100 bps of costs and none after 250."""
    bars = bars_of_closes(100.0, 102.0)
    assert label_one(bars, 1, cost=100.0).win[0] == 1
    after = label_one(bars, 1, cost=250.0)
    assert (after.win[0], after.sign[0], after.net_return[0]) == (0, 1, pytest.approx(-0.005))


def test_a_trade_that_outlives_the_data_has_no_label() -> None:
    """Not resolved: -1, NaN; a trade that touches a barrier before is resolved all the same."""
    open_ns = np.array([0, 60, 120])
    bars = bars_of_closes(100.0, 100.0, 100.0)
    last = vertical_barriers(open_ns, np.array([1]), 600)
    found = label_one(bars, int(last[0]))
    assert last[0] == 3
    assert (found.win[0], found.touched[0], bool(found.resolved[0])) == (-1, UNRESOLVED, False)
    assert math.isnan(found.net_return[0])
    assert label_one(bars_of_closes(100.0, 100.0, 110.0), 3).win[0] == 1


def test_the_vertical_barrier_counts_time_and_not_bars() -> None:
    """A life of 120 from the open at 60 holds the bars that open at 60 and 120; one from 120 over a gap holds one."""
    open_ns = np.array([0, 60, 120, 300, 360, 420])
    assert vertical_barriers(open_ns, np.array([1, 2, 4]), 120).tolist() == [2, 2, 5]


def test_a_position_enters_at_the_open_of_its_first_bar() -> None:
    """Without entry prices the path before that open does not matter."""
    bars = np.array([[50.0, 50.0, 50.0, 50.0], [100.0, 100.5, 99.5, 100.0], [100.0, 102.5, 100.0, 102.0]])
    found = triple_barrier(bars, np.array([1]), 1, 0.02, 0.01, np.array([2]))
    assert (found.exit_bar[0], found.sign[0]) == (2, 1)


@pytest.mark.parametrize(("change", "told"), [
    ({"sides": 0}, "sides"), ({"target": 0.0}, "target"), ({"stop": -0.1}, "stop"),
    ({"first_bars": np.array([9])}, "first_bars"), ({"last_bars": np.array([0])}, "last_bars"),
    ({"cost_bps": math.nan}, "cost_bps"),
])
def test_an_event_that_no_trade_can_have_is_refused(change: dict[str, object], told: str) -> None:
    """InputError names the argument."""
    given_values: dict[str, object] = {
        "ohlc": bars_of_closes(100.0, 100.0, 100.0), "first_bars": np.array([1]), "sides": 1, "target": 0.02,
        "stop": 0.01, "last_bars": np.array([2]),
    }
    with pytest.raises(InputError, match=told):
        triple_barrier(**(given_values | change))  # type: ignore[arg-type]


def plain_label(bars: np.ndarray, first: int, last: int, side: int, target: float, stop: float) -> tuple[int, int]:
    """Touched barrier and bar, written out slowly."""
    entry = bars[first, 0]
    for bar in range(first, min(last, len(bars) - 1) + 1):
        worst, best = (bars[bar, 2], bars[bar, 1]) if side > 0 else (bars[bar, 1], bars[bar, 2])
        if side * (worst - entry * (1.0 - side * stop)) <= 0.0:
            return SHADOW_STOP, bar
        if side * (best - entry * (1.0 + side * target)) >= 0.0:
            return SHADOW_TARGET, bar
        if bar == last:
            return SHADOW_TIMEOUT, bar
    return UNRESOLVED, len(bars) - 1


@given(st.integers(0, 2**32 - 1))
def test_the_kernel_agrees_with_the_rules_written_out(seed: int) -> None:
    """Random bars and events; a shorter life never changes a touch that came before its end."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 60)))
    open_ = np.concatenate(([100.0], close[:-1]))
    spread = rng.uniform(0.0, 0.01, (2, 60))
    bars = np.stack((
        open_, np.maximum(open_, close) * (1 + spread[0]), np.minimum(open_, close) * (1 - spread[1]), close
    ), axis=1)
    first = rng.integers(0, 60, 30)
    last = first + rng.integers(0, 40, 30)
    side, target, stop = rng.choice((-1.0, 1.0), 30), rng.uniform(0.002, 0.05, 30), rng.uniform(0.002, 0.05, 30)
    found = triple_barrier(bars, first, side, target, stop, last)
    expected = [
        plain_label(bars, *(int(one) for one in event[:2]), int(event[2]), event[3], event[4])
        for event in zip(first, last, side, target, stop, strict=True)
    ]
    assert list(zip(found.touched.tolist(), found.exit_bar.tolist(), strict=True)) == expected
    shorter = triple_barrier(bars, first, side, target, stop, np.maximum(first, last - 5))
    early = found.exit_bar < last - 5
    assert (shorter.exit_bar[early] == found.exit_bar[early]).all()
