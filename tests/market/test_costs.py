"""The cost model's numbers, and that more of anything never costs less."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.market import costs
from quantum_trader.market.jit import compiled


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 2.0), (0.01, 2.5), (0.04, 4.0), (0.12, 8.0)])
def test_taker_slippage_is_2_plus_50_times_the_atr_ratio(ratio: float, expected: float) -> None:
    """Spec 1 section 6."""
    assert costs.taker_slippage_bps(2.0, ratio) == pytest.approx(expected)


def test_a_measured_book_is_cheaper_than_an_unknown_one() -> None:
    """BTC and ETH: one tick of spread and 0.2 bps beyond the touch, as recorded; others half a bp and 2 bps."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert costs.liquidity_of(symbol) == (0.0, 0.2)
    assert costs.liquidity_of("DOGEUSDT") == (0.5, 2.0)


@pytest.mark.parametrize(("range_", "expected"), [(0.49, 173.5), (0.57, 201.2)])
def test_a_crash_costs_what_a_crash_costs(range_: float, expected: float) -> None:
    """DOGE, 2025-10-10 21:15 to 21:25: 5-minute bars of 4,900 to 5,700 bps range cost 1.7 to 2 %, not 4.3 bps."""
    cost = costs.fill_cost_bps(3.8, 50.0, 0.2, 0.2, 0.2 * (1.0 - range_), 5 * NS_PER_MINUTE)
    assert cost == pytest.approx(expected, abs=0.1)


def test_a_fill_in_an_average_bar_costs_what_was_expected() -> None:
    """A 4-hour bar with the range of the ATR; in shorter bars of the same volatility, ranges shrink with the root."""
    expected = costs.taker_slippage_bps(2.0, 0.02)
    for hours in (4.0, 1.0, 0.25, 1.0 / 60.0):
        high = 100.0 * (1.0 + 0.02 * math.sqrt(hours / 4.0))
        paid = costs.fill_cost_bps(2.0, costs.RANGE_SLIPPAGE_BPS, 100.0, high, 100.0, int(hours * NS_PER_HOUR))
        assert paid == pytest.approx(expected)


@pytest.mark.parametrize(("high", "interval_ns"), [(100.0, NS_PER_HOUR), (math.nan, NS_PER_HOUR), (101.0, 1)])
def test_no_range_adds_nothing(high: float, interval_ns: int) -> None:
    """A flat bar, a bar whose range is unknown, and a step between two quotes."""
    assert costs.fill_cost_bps(2.0, 50.0, 100.0, high, 100.0, interval_ns) == 2.0


def test_maker_slippage_is_a_fifth_of_the_base() -> None:
    """20 % of 2 bps."""
    assert costs.maker_slippage_bps() == pytest.approx(0.4)


def test_spread_is_a_tick_or_the_floor_and_widens_with_volatility() -> None:
    """A coarse tick decides; a fine one gives way to the floor of half a basis point."""
    assert costs.spread_bps(0.5, 0.001, 0.5, 0.0) == pytest.approx(20.0)
    assert costs.spread_bps(60_000.0, 0.1, 0.5, 0.0) == 0.5
    assert costs.spread_bps(60_000.0, 0.1, 0.5, 0.02) == 1.0
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
    fill = (3.17, 50.0, 63_123.4, 63_411.7, 62_980.1, 5 * NS_PER_MINUTE)
    assert compiled(costs.fill_cost_bps)(*fill) == costs.fill_cost_bps(*fill)
