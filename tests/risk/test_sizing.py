"""Sizing: risk to quantity, the venue's filters, liquidation and leverage."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.enums import GOV_CAUTIOUS, GOV_DEFENSIVE, GOV_EMERGENCY, GOV_NORMAL
from quantum_trader.domain.instrument import Instrument, LeverageTier, tier_rows
from quantum_trader.risk.sizing import (
    clip_to_margin,
    fit_leverage,
    leverage_cap,
    liquidation_gap_pct,
    liquidation_price,
    risk_quantity,
    tier_index,
    tradable,
)

# Continuous, as a venue's table is: amount = previous amount + bound * (rate - previous rate).
TIERS = (
    (50_000.0, 0.004, 125.0, 0.0), (500_000.0, 0.005, 100.0, 50.0), (1_000_000.0, 0.01, 50.0, 2_550.0),
    (5_000_000.0, 0.05, 10.0, 42_550.0),
)
POSITIVE = st.floats(1e-3, 1e6)


def test_tier_rows_come_in_ascending_order() -> None:
    """An instrument's tiers become ascending rows from any order."""
    tiers = tuple(
        LeverageTier(max_notional=n, maintenance_margin_rate=r, max_leverage=lev, maintenance_amount=a)
        for n, r, lev, a in reversed(TIERS)
    )
    instrument = Instrument(
        symbol="BTCUSDT", tick_size=0.1, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=tiers
    )
    assert tier_rows(instrument) == TIERS


@pytest.mark.parametrize(
    ("notional", "expected"),
    [(1.0, 0), (50_000.0, 0), (50_000.01, 1), (5_000_000.0, 3), (5_000_001.0, -1), (0.0, -1), (-1.0, -1),
     (math.nan, -1), (math.inf, -1)],
)
def test_tier_index(notional: float, expected: int) -> None:
    """The first tier that holds the notional; -1 above the table and for what is no notional."""
    assert tier_index(notional, TIERS) == expected


def test_tier_index_skips_rows_of_zeros() -> None:
    """Padding at the end of a symbol's table is never chosen."""
    assert tier_index(6_000_000.0, (*TIERS, (0.0, 0.0, 0.0, 0.0))) == -1


def test_quantity_worked_by_hand() -> None:
    """1 % of 10,000 over a distance of 3 is 33.333; halved by the governor 16.666; rounded down to the step."""
    for factor, expected in ((1.0, 33.333), (0.5, 16.666)):
        asked = risk_quantity(10_000.0, 1.0, factor, 100.0, 97.0)
        assert tradable(asked, 100.0, 0.001, 0.001, 5.0) == expected


@given(POSITIVE, st.floats(0.01, 5.0), st.floats(0.0, 1.3), st.floats(0.1, 1e5), st.floats(0.01, 0.5), st.booleans())
def test_the_loss_at_the_stop_is_the_risk(
    equity: float, risk_pct: float, factor: float, price: float, distance: float, short: bool
) -> None:
    """Quantity times distance is equity * risk, never more after rounding."""
    stop = price * (1.0 + distance if short else 1.0 - distance)
    found = risk_quantity(equity, risk_pct, factor, price, stop)
    assert found * abs(price - stop) == pytest.approx(equity * risk_pct / 100.0 * factor, rel=1e-9)
    assert tradable(found, price, 0.001, 0.001, 5.0) <= found * (1.0 + 1e-9) + 1e-11


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_risk_quantity_is_zero_for_numbers_that_are_not_finite(position: int, bad: float) -> None:
    """No trade comes from an unknown number."""
    inputs = [10_000.0, 1.0, 1.0, 100.0, 97.0]
    inputs[position] = bad
    assert risk_quantity(*inputs) == 0.0


@pytest.mark.parametrize(("equity", "stop"), [(0.0, 97.0), (-5.0, 97.0), (10_000.0, 100.0)])
def test_risk_quantity_is_zero_without_equity_or_distance(equity: float, stop: float) -> None:
    """Nothing is bought with nothing, and a stop at the price sizes nothing."""
    assert risk_quantity(equity, 1.0, 1.0, 100.0, stop) == 0.0


@given(st.floats(0.0, 1e4), st.floats(0.01, 1e4), st.sampled_from([0.001, 0.1, 1.0, 10.0]))
def test_what_is_tradable_satisfies_the_venue(qty: float, price: float, step: float) -> None:
    """On the step grid, at or above both minima, or nothing."""
    found = tradable(qty, price, step, 2 * step, 5.0)
    assert found == 0.0 or (found >= 2 * step and found * price >= 5.0)
    assert found <= qty + 1e-9 * step + 1e-9 * qty
    assert math.isclose(found / step, round(found / step), rel_tol=1e-12, abs_tol=1e-9)


@given(POSITIVE, POSITIVE, st.floats(1.0, 125.0), st.floats(-1e6, 1e6))
def test_clip_to_margin_fits_the_room(qty: float, price: float, leverage: float, room: float) -> None:
    """The clipped quantity's margin is within the room; it is untouched where it fitted."""
    found = clip_to_margin(qty, price, leverage, room)
    assert 0.0 <= found <= qty
    assert found == 0.0 or found * price / leverage <= room * (1.0 + 1e-9)
    if qty * price / leverage <= room * (1.0 - 1e-9):
        assert found == qty


def test_liquidation_worked_by_hand() -> None:
    """10 at 100 with leverage 10: (1000 - 100) / (10 * 0.996) long, (1000 + 100) / (10 * 1.004) short."""
    assert liquidation_price(1, 100.0, 10.0, 10.0, TIERS) == pytest.approx(900.0 / 9.96)
    assert liquidation_price(-1, 100.0, 10.0, 10.0, TIERS) == pytest.approx(1100.0 / 10.04)


@given(st.sampled_from([1, -1]), st.floats(1.0, 1e5), st.floats(100.0, 2e6), st.integers(2, 20))
def test_at_liquidation_margin_equals_maintenance(sign: int, entry: float, notional: float, leverage: int) -> None:
    """At the liquidation price what is left of the margin is what the venue's table asks for there."""
    qty = notional / entry
    found = liquidation_price(sign, entry, qty, float(leverage), TIERS)
    left = notional / leverage + sign * qty * (found - entry)
    asked = max(qty * found * rate - amount for _, rate, _, amount in TIERS)
    assert left == pytest.approx(asked, rel=1e-6, abs=1e-6 * notional)


def test_a_long_without_leverage_cannot_be_liquidated() -> None:
    """Leverage 1: 0.0, and the gap is infinite."""
    assert liquidation_price(1, 100.0, 10.0, 1.0, TIERS) == 0.0
    assert liquidation_gap_pct(1, 100.0, 97.0, 10.0, 1.0, TIERS) == math.inf


@pytest.mark.parametrize(
    ("sign", "entry", "qty", "leverage"),
    [(0, 100.0, 1.0, 5.0), (1, math.nan, 1.0, 5.0), (1, 100.0, math.inf, 5.0), (1, 100.0, 1.0, math.nan),
     (1, 100.0, 1.0, 0.5), (1, 100.0, 1e9, 5.0), (1, -100.0, -1.0, 5.0)],
)
def test_liquidation_is_unknown_for_unusable_numbers(sign: int, entry: float, qty: float, leverage: float) -> None:
    """NaN, so that every comparison with it refuses."""
    assert math.isnan(liquidation_price(sign, entry, qty, leverage, TIERS))


@pytest.mark.parametrize(
    ("limit", "level", "notional", "expected"),
    [
        (10.0, GOV_NORMAL, 1000.0, 10.0), (10.0, GOV_CAUTIOUS, 1000.0, 7.0), (10.0, GOV_DEFENSIVE, 1000.0, 5.0),
        (10.0, GOV_EMERGENCY, 1000.0, 0.0), (1.0, GOV_DEFENSIVE, 1000.0, 1.0), (125.0, GOV_NORMAL, 900_000.0, 50.0),
        (10.0, GOV_NORMAL, 6_000_000.0, 0.0), (math.nan, GOV_NORMAL, 1000.0, 0.0), (10.0, math.nan, 1000.0, 0.0),
    ],
)
def test_leverage_cap(limit: float, level: float, notional: float, expected: float) -> None:
    """The limit times the governor's factor, whole, at least 1, within the venue's tier; unknown allows nothing."""
    assert leverage_cap(limit, level, notional, TIERS) == expected


@given(st.sampled_from([1, -1]), st.floats(0.005, 0.2), st.floats(10.0, 1e6), st.floats(1.0, 50.0))
def test_fitted_leverage_is_the_highest_that_keeps_liquidation_clear(
    sign: int, distance: float, notional: float, wanted: float
) -> None:
    """The result keeps the buffer, and one more would not (or would pass a cap)."""
    price, stop = 100.0, 100.0 * (1.0 - sign * distance)
    found = fit_leverage(wanted, 20.0, GOV_NORMAL, sign, price, stop, notional / price, 1.0, TIERS)
    ceiling = min(math.floor(wanted), leverage_cap(20.0, GOV_NORMAL, notional, TIERS))
    assert 0.0 <= found <= ceiling
    if found:
        assert liquidation_gap_pct(sign, price, stop, notional / price, found, TIERS) >= 1.0
    if found < ceiling:
        assert liquidation_gap_pct(sign, price, stop, notional / price, found + 1.0, TIERS) < 1.0
