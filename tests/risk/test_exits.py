"""Exits: the table, brackets from the fill price, break-even and trailing that never loosen, time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import (
    EXIT_DEFENSIVE_TRAIL,
    EXIT_FAST_TP,
    EXIT_TREND_FOLLOW,
    TREND_RANGING,
    TREND_TRENDING,
    TREND_UNKNOWN,
    VOL_EXTREME,
    VOL_HIGH,
    VOL_LOW,
    VOL_NORMAL,
    VOL_UNKNOWN,
)
from quantum_trader.risk.exits import LIQUIDATION_BUFFER, bracket, exit_row, next_stop, timed_out, would_trigger

LOW, NORMAL = (1.2, 3.5, 0.3, 1.8, 48.0), (1.5, 3.0, 0.5, 2.0, 36.0)
HIGH, EXTREME = (2.0, 4.0, 0.8, 2.5, 24.0), (2.5, 5.0, 1.0, 3.0, 12.0)
TRENDING, RANGING = (1.8, 4.5, 0.4, 2.5, 72.0), (1.0, 2.0, 0.3, 1.5, 18.0)
SAFEST = (2.5, 2.0, 0.3, 1.5, 12.0)

TICKS = st.sampled_from([0.0001, 0.001, 0.01, 0.1, 0.5, 1.0, 5.0])
SIGNS = st.sampled_from([1, -1])
MODES = st.sampled_from([EXIT_TREND_FOLLOW, EXIT_DEFENSIVE_TRAIL, EXIT_FAST_TP])
ODD = [math.nan, math.inf, -math.inf, 0.0, -1.0]


@pytest.mark.parametrize(
    ("trend", "vol", "row"),
    [
        (TREND_UNKNOWN, VOL_LOW, LOW), (TREND_UNKNOWN, VOL_NORMAL, NORMAL),
        (TREND_UNKNOWN, VOL_HIGH, HIGH), (TREND_TRENDING, VOL_HIGH, HIGH), (TREND_RANGING, VOL_HIGH, HIGH),
        (TREND_UNKNOWN, VOL_EXTREME, EXTREME), (TREND_TRENDING, VOL_EXTREME, EXTREME),
        (TREND_RANGING, VOL_EXTREME, EXTREME),
        (TREND_TRENDING, VOL_LOW, TRENDING), (TREND_TRENDING, VOL_NORMAL, TRENDING),
        (TREND_RANGING, VOL_LOW, RANGING), (TREND_RANGING, VOL_NORMAL, RANGING),
        (TREND_UNKNOWN, VOL_UNKNOWN, SAFEST), (TREND_TRENDING, VOL_UNKNOWN, SAFEST), (TREND_RANGING, 99, SAFEST),
    ],
)
def test_exit_row_is_the_table(trend: int, vol: int, row: tuple[float, ...]) -> None:
    """The volatility row applies; a known trend replaces it in LOW and NORMAL; unknown volatility is the safest."""
    assert exit_row(trend, vol) == row


def test_the_row_for_unknown_volatility_is_the_safest_of_every_column() -> None:
    """Widest stop, nearest target, earliest break-even, tightest trail, shortest time of all rows."""
    columns = list(zip(LOW, NORMAL, HIGH, EXTREME, TRENDING, RANGING, strict=True))
    assert exit_row(TREND_UNKNOWN, VOL_UNKNOWN) == (max(columns[0]), *(min(column) for column in columns[1:]))


@pytest.mark.parametrize(
    ("sign", "mode", "expected"),
    [
        (1, EXIT_FAST_TP, (97.0, 106.0)), (-1, EXIT_FAST_TP, (103.0, 94.0)),
        (1, EXIT_TREND_FOLLOW, (97.0, 0.0)), (-1, EXIT_DEFENSIVE_TRAIL, (103.0, 0.0)),
        (1, 7, (97.0, 106.0)),
    ],
)
def test_bracket_worked_by_hand(sign: int, mode: int, expected: tuple[float, float]) -> None:
    """A fill at 100 with ATR 2, stop 1.5 and target 3 ATR; only the trailing modes rest no target."""
    assert bracket(sign, 100.0, 2.0, 1.5, 3.0, mode, 0.01, 0.0) == expected


def _on_grid(price: float, tick: float) -> bool:
    return math.isclose(price / tick, round(price / tick), rel_tol=1e-12, abs_tol=1e-7)


@given(
    SIGNS, st.floats(0.01, 100_000.0), st.floats(1e-5, 0.5), st.floats(0.5, 5.0), st.floats(0.5, 8.0), MODES, TICKS,
    st.one_of(st.just(0.0), st.floats(0.001, 0.9)),
)
def test_every_bracket_is_on_the_right_sides_on_the_grid_and_inside_liquidation(
    sign: int, price: float, atr_ratio: float, stop_atr: float, target_atr: float, mode: int, tick: float, room: float
) -> None:
    """Long: liquidation < stop < fill < target; short mirrored; or there is no bracket at all."""
    liquidation = price * (1.0 - sign * room) if room else 0.0
    stop, target = bracket(sign, price, price * atr_ratio, stop_atr, target_atr, mode, tick, liquidation)
    if math.isnan(stop):
        assert math.isnan(target)
        return
    assert sign * (price - stop) > 0.0
    assert stop > 0.0
    assert _on_grid(stop, tick)
    assert (target > 0.0) == (mode == EXIT_FAST_TP)
    if target:
        assert sign * (target - price) > 0.0
        assert _on_grid(target, tick)
    if liquidation:
        clear = sign * (stop - liquidation)
        assert clear > 0.0
        assert clear >= LIQUIDATION_BUFFER * abs(price - liquidation) - 1e-5 * tick - 1e-9 * price


@given(SIGNS, st.floats(1.0, 50_000.0), st.floats(0.001, 0.05), st.floats(1.0, 2.5))
def test_a_stop_never_risks_more_than_was_sized_for(sign: int, price: float, atr_ratio: float, stop_atr: float) -> None:
    """Rounding moves the stop towards the entry, unless less than one tick is left."""
    tick = 0.01
    stop, _ = bracket(sign, price, price * atr_ratio, stop_atr, 3.0, EXIT_FAST_TP, tick, 0.0)
    planned = price * atr_ratio * stop_atr
    assert abs(price - stop) <= max(planned, tick * (1.0 + 1e-6)) + 1e-9 * price


@pytest.mark.parametrize("position", range(8))
@pytest.mark.parametrize("bad", ODD)
def test_bracket_answers_nan_for_unusable_numbers(position: int, bad: float) -> None:
    """Nothing but a complete, finite input makes a bracket; the caller then closes the position."""
    inputs: list[float] = [1, 100.0, 2.0, 1.5, 3.0, EXIT_FAST_TP, 0.01, 60.0]
    if position == 5 or (position == 7 and bad == 0.0) or (position == 0 and bad == -1.0):
        bad = math.nan if position != 5 else bad
    inputs[position] = bad
    stop, target = bracket(*inputs)  # type: ignore[arg-type]
    if position == 5:  # an unknown exit mode takes the target
        assert (stop, target) == ((97.0, 106.0) if bad != 0.0 else (97.0, 0.0))
    else:
        assert math.isnan(stop)
        assert math.isnan(target)


@pytest.mark.parametrize(
    ("sign", "fill", "liquidation"), [(1, 100.0, 100.0), (1, 100.0, 120.0), (-1, 100.0, 99.0), (1, 100.0, 99.9999)]
)
def test_no_bracket_when_liquidation_leaves_no_room(sign: int, fill: float, liquidation: float) -> None:
    """Liquidation at or beyond the fill, or nearer than a tick: impossible, not a wrong stop."""
    assert math.isnan(bracket(sign, fill, 2.0, 1.5, 3.0, EXIT_FAST_TP, 0.01, liquidation)[0])


@pytest.mark.parametrize(
    ("best", "mode", "expected"),
    [
        (101.4, EXIT_TREND_FOLLOW, 97.0),  # under half an R: nothing moves
        (101.5, EXIT_TREND_FOLLOW, 100.0),  # break-even
        (101.5, EXIT_FAST_TP, 100.0),
        (110.0, EXIT_TREND_FOLLOW, 106.0),  # 2 ATR of 2 behind
        (110.0, EXIT_DEFENSIVE_TRAIL, 107.6),  # 0.6 of that
        (110.0, EXIT_FAST_TP, 100.0),  # takes the target, does not trail
    ],
)
def test_next_stop_worked_by_hand(best: float, mode: int, expected: float) -> None:
    """A long from 100 with its stop at 97 (3 = 1 R), break-even at 0.5 R, trail 2 ATR, ATR 2."""
    assert next_stop(1, 100.0, 97.0, 97.0, best, 2.0, 0.5, 2.0, mode, 0.1, 0.1) == pytest.approx(expected)


PRICES = st.one_of(st.floats(0.5, 1000.0), st.sampled_from([math.nan, math.inf, 0.0]))


@given(SIGNS, PRICES, PRICES, PRICES, PRICES, PRICES, st.floats(0.0, 3.0), st.floats(0.0, 4.0), MODES, TICKS, PRICES)
@example(1, 100.0, 99.0, 99.0, 105.0, 2.0, 0.5, 2.0, EXIT_TREND_FOLLOW, 0.01, 0.0)
def test_a_stop_never_loosens(
    sign: int, entry: float, first: float, current: float, best: float, atr: float, breakeven: float, trail: float,
    mode: int, tick: float, min_step: float,
) -> None:
    """For any numbers, the next stop is the current one or a tighter one, short of the best price."""
    after = next_stop(sign, entry, first, current, best, atr, breakeven, trail, mode, tick, min_step)
    if math.isfinite(current):
        assert sign * (after - current) >= 0.0
        assert after == current or sign * (best - after) > 0.0
    else:
        assert repr(after) == repr(current)


@given(SIGNS, st.lists(st.floats(0.9, 1.2), min_size=2, max_size=40), MODES)
def test_stops_along_a_path_only_tighten(sign: int, path: list[float], mode: int) -> None:
    """Fed with the running best price, stops are monotone."""
    entry, first = 100.0, 100.0 - sign * 2.0
    stops, best = [first], entry
    for factor in path:
        price = 100.0 * (factor if sign > 0 else 2.0 - factor)
        best = max(best, price) if sign > 0 else min(best, price)
        stops.append(next_stop(sign, entry, first, stops[-1], best, 1.5, 0.4, 2.5, mode, 0.01, 0.05))
    assert all(sign * (later - earlier) >= 0.0 for earlier, later in pairwise(stops))


def test_the_defensive_trail_is_tighter() -> None:
    """At the same best price DEFENSIVE_TRAIL lies nearer to it than TREND_FOLLOW."""
    args = (1, 100.0, 97.0, 97.0, 112.0, 2.0, 0.5, 2.0)
    assert next_stop(*args, EXIT_DEFENSIVE_TRAIL, 0.01, 0.0) > next_stop(*args, EXIT_TREND_FOLLOW, 0.01, 0.0)


def test_a_small_step_is_not_worth_an_order() -> None:
    """A move below min_step leaves the stop; one at min_step moves it."""
    assert next_stop(1, 100.0, 97.0, 105.9, 110.0, 2.0, 0.5, 2.0, EXIT_TREND_FOLLOW, 0.1, 0.5) == 105.9
    assert next_stop(1, 100.0, 97.0, 105.5, 110.0, 2.0, 0.5, 2.0, EXIT_TREND_FOLLOW, 0.1, 0.5) == 106.0


@pytest.mark.parametrize("min_step", [math.nan, -5.0, 0.0])
def test_a_strange_min_step_does_not_loosen(min_step: float) -> None:
    """The trail asks for 106, the stop is at 108: it stays with a *min_step* of NaN, below zero or zero."""
    assert next_stop(1, 100.0, 97.0, 108.0, 110.0, 2.0, 0.5, 2.0, EXIT_TREND_FOLLOW, 0.1, min_step) == 108.0


@pytest.mark.parametrize(
    ("sign", "stop", "last", "expected"),
    [(1, 99.0, 100.0, False), (1, 100.0, 100.0, True), (1, 101.0, 100.0, True), (-1, 101.0, 100.0, False),
     (-1, 99.0, 100.0, True), (1, math.nan, 100.0, True), (1, 99.0, math.nan, True)],
)
def test_would_trigger(sign: int, stop: float, last: float, expected: bool) -> None:
    """A stop at or beyond the last price fires at once; so does one that is not known."""
    assert would_trigger(sign, stop, last) is expected


@pytest.mark.parametrize(
    ("hours", "limit", "expected"),
    [(11, 12.0, False), (12, 12.0, True), (13, 12.0, True), (0, 0.0, True), (1, math.nan, True), (1, -5.0, True)],
)
def test_timed_out(hours: int, limit: float, expected: bool) -> None:
    """Reached at the limit exactly; an unusable limit counts as reached."""
    assert timed_out(0, hours * NS_PER_HOUR, limit) is expected
