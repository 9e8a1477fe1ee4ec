"""The cost model's numbers, and that more of anything never costs less."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.market import costs
from quantum_trader.market.jit import compiled


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 2.0), (0.01, 2.5), (0.04, 4.0), (0.12, 8.0)])
def test_taker_slippage_is_2_plus_50_times_the_atr_ratio(ratio: float, expected: float) -> None:
    """Spec 1 section 6."""
    assert costs.taker_slippage_bps(ratio) == pytest.approx(expected)


def test_maker_slippage_is_a_fifth_of_the_base() -> None:
    """20 % of 2 bps."""
    assert costs.maker_slippage_bps() == pytest.approx(0.4)


def test_spread_is_a_tick_or_the_floor_and_widens_with_volatility() -> None:
    """A coarse tick decides; a fine one gives way to the floor of half a basis point."""
    assert costs.spread_bps(0.5, 0.001, 0.0) == pytest.approx(20.0)
    assert costs.spread_bps(60_000.0, 0.1, 0.0) == 0.5
    assert costs.spread_bps(60_000.0, 0.1, 0.02) == 1.0
    assert costs.taker_cost_bps(1.0, 3.0) == 3.5


def test_unmeasured_volatility_is_taken_as_two_percent() -> None:
    """NaN never reaches a price."""
    assert costs.known_atr_ratio(math.nan) == 0.02
    assert costs.known_atr_ratio(0.013) == 0.013


def test_cost_in_r_of_a_round_trip() -> None:
    """(2 x (4 + 3) + 2) bps of 100 and 0.02 % funding are 0.18; the stop is 1.5 away."""
    assert costs.cost_in_r(100.0, 1.5, 4.0, 2.0, 3.0, 0.0001, 16.0) == pytest.approx(0.18 / 1.5)


def test_funding_income_is_not_counted_on() -> None:
    """A position that would receive funding costs the same as without it."""
    with_income = costs.cost_in_r(100.0, 1.0, 4.0, 1.0, 2.0, -0.01, 24.0)
    assert with_income == costs.cost_in_r(100.0, 1.0, 4.0, 1.0, 2.0, 0.0, 24.0)


@pytest.mark.parametrize("distance", [0.0, -1.0, math.nan])
def test_no_stop_distance_costs_infinitely_much(distance: float) -> None:
    """Infinite costs exceed every limit."""
    assert costs.cost_in_r(100.0, distance, 4.0, 1.0, 2.0, 0.0, 8.0) == math.inf


@given(
    *[st.floats(0.0, 50.0)] * 3, st.floats(0.0, 0.01), st.floats(0.0, 100.0), st.floats(0.01, 50.0), st.floats(0.0, 9.0)
)
def test_cost_in_r_is_monotone(fee: float, spread: float, slip: float, funding: float, hours: float, stop: float,
                               more: float) -> None:
    """Raising any cost, or tightening the stop, never makes the trade cheaper."""
    base = costs.cost_in_r(100.0, stop, fee, spread, slip, funding, hours)
    assert costs.cost_in_r(100.0, stop, fee + more, spread, slip, funding, hours) >= base
    assert costs.cost_in_r(100.0, stop, fee, spread + more, slip, funding, hours) >= base
    assert costs.cost_in_r(100.0, stop, fee, spread, slip + more, funding, hours) >= base
    assert costs.cost_in_r(100.0, stop, fee, spread, slip, funding, hours + more) >= base
    assert costs.cost_in_r(100.0, stop / (1.0 + more), fee, spread, slip, funding, hours) >= base


def test_compiled_form_gives_the_same_number() -> None:
    """One definition: machine code and Python agree bit for bit."""
    arguments = (63_123.4, 411.7, 4.0, 0.9, 2.61, 0.00013, 36.0)
    assert compiled(costs.cost_in_r)(*arguments) == costs.cost_in_r(*arguments)
