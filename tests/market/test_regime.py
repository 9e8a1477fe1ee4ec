"""Trend by ADX with hysteresis, direction by slope and directional indicators."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.enums import DIR_DOWN, DIR_NONE, DIR_UP, TREND_RANGING, TREND_TRENDING, TREND_UNKNOWN
from quantum_trader.domain.errors import InputError
from quantum_trader.market.regime import MarketSettings, regime_step

COLD = (TREND_UNKNOWN, DIR_NONE, 0)


def step(state: tuple[int, int, int], adx: float, slope: float = 1.0, plus: float = 30.0, minus: float = 10.0,
         min_bars: int = 1) -> tuple[int, int, int]:
    """One bar with the default thresholds 25 and 22."""
    return regime_step(*state, adx, slope, plus, minus, 25.0, 22.0, min_bars)


@pytest.mark.parametrize(
    ("adx", "expected"), [(25.0, TREND_TRENDING), (24.999, TREND_RANGING), (60.0, TREND_TRENDING), (0.0, TREND_RANGING)]
)
def test_trending_from_25_on(adx: float, expected: int) -> None:
    """ADX 25 itself is a trend."""
    assert step(COLD, adx)[0] == expected


def test_unknown_until_warm() -> None:
    """Neither ADX nor slope may be missing."""
    assert step(COLD, math.nan) == COLD
    assert step(COLD, 30.0, slope=math.nan) == COLD


def test_a_value_on_the_boundary_does_not_flap() -> None:
    """Between 22 and 25 the state stays what it was."""
    state = step(COLD, 26.0)
    for adx in (24.9, 25.1, 24.0, 22.0, 24.9):
        state = step(state, adx)
        assert state[0] == TREND_TRENDING
    state = step(state, 21.9)
    assert state[0] == TREND_RANGING
    for adx in (22.1, 24.9, 24.0):
        state = step(state, adx)
        assert state[0] == TREND_RANGING


def test_a_state_holds_for_its_minimum() -> None:
    """With three bars' minimum a new trend outlives two quiet bars."""
    state = step(step(COLD, 10.0), 10.0, min_bars=3)
    trends = []
    for adx in (40.0, 40.0, 10.0, 10.0, 10.0):
        state = step(state, adx, min_bars=3)
        trends.append(state[0])
    assert trends == [TREND_RANGING, TREND_TRENDING, TREND_TRENDING, TREND_TRENDING, TREND_RANGING]


@pytest.mark.parametrize(
    ("slope", "plus", "minus", "expected"),
    [
        (1.0, 30.0, 10.0, DIR_UP), (-1.0, 10.0, 30.0, DIR_DOWN), (1.0, 10.0, 30.0, DIR_NONE),
        (-1.0, 30.0, 10.0, DIR_NONE),
    ],
)
def test_direction_needs_slope_and_indicators_to_agree(slope: float, plus: float, minus: float, expected: int) -> None:
    """A new trend without agreement has no direction."""
    assert step(COLD, 30.0, slope, plus, minus)[1] == expected


def test_direction_holds_while_they_disagree_and_ends_with_the_trend() -> None:
    """UP stays UP through a disagreement; a ranging market has none."""
    state = step(COLD, 30.0)
    state = step(state, 30.0, slope=-1.0)
    assert state[1] == DIR_UP
    assert step(state, 30.0, slope=-1.0, plus=5.0)[1] == DIR_DOWN
    assert step(state, 10.0)[1] == DIR_NONE


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60), st.integers(1, 6))
def test_age_counts_the_bars_of_a_state(values: list[float], min_bars: int) -> None:
    """Age is 0 where the trend changes and grows by one otherwise, and no state ends before its minimum."""
    state = COLD
    for adx in values:
        before, state = state, step(state, adx, min_bars=min_bars)
        changed = before[0] != state[0]
        assert state[2] == (0 if changed else before[2] + 1)
        assert not changed or before[0] == TREND_UNKNOWN or before[2] + 1 >= min_bars


@pytest.mark.parametrize(
    ("key", "value"),
    [("trend_minutes", 7), ("vol_minutes", 0), ("adx_leave", 26.0), ("adx_enter", 0.0), ("regime_min_bars", 0),
     ("ema_period", 1)],
)
def test_settings_out_of_range_name_their_key(key: str, value: float) -> None:
    """Each bad setting is refused by name."""
    with pytest.raises(InputError, match=key):
        MarketSettings(**{key: value})  # type: ignore[arg-type]
