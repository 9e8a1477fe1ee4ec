"""Remembered equities after a transfer: in proportion to the account, or by the amount where there is none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.loss_window import after_transfer, empty_ring, newest_equity, record_equity, scale_ring
from quantum_trader.market.jit import compiled

MONEY = st.floats(0.01, 1e9)
ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(MONEY, MONEY, MONEY)
def test_the_percentage_below_a_remembered_equity_stays(remembered: float, equity: float, after: float) -> None:
    """Holds for any deposit, and for any withdrawal that leaves at least a cent in the account."""
    amount = after - equity
    moved = after_transfer(remembered, equity, amount)
    assert (equity + amount) / moved == pytest.approx(equity / remembered, rel=1e-12)
    assert after_transfer(equity, equity, amount) == equity + amount, "the equity itself, to the bit"


@given(MONEY, MONEY, st.floats(-1e9, 1e9))
def test_a_transfer_never_puts_an_equity_above_its_peak(peak: float, equity: float, amount: float) -> None:
    """The higher of two equities stays the higher one; none falls below 0."""
    high, low = max(peak, equity), min(peak, equity)
    assert after_transfer(high, equity, amount) >= after_transfer(low, equity, amount) >= 0.0


@pytest.mark.parametrize(("remembered", "equity", "amount", "expected"), [
    (10_000.0, 9_600.0, -9_600.0, 400.0),  # all of it paid out: a loss of 400 stays a loss of 400
    (10_000.0, 9_600.0, -20_000.0, 0.0),
    (400.0, 0.0, 9_600.0, 10_000.0),
    (100.0, -50.0, 200.0, 300.0),
    (100.0, math.nan, 10.0, 110.0),
    (100.0, math.inf, 10.0, 110.0),
    (0.0, 100.0, 50.0, 0.0),
])
def test_without_a_proportion_it_moves_by_the_amount(
    remembered: float, equity: float, amount: float, expected: float
) -> None:
    """An equity of 0 or less, or an unknown one, before or after; never below 0."""
    assert after_transfer(remembered, equity, amount) == expected


@given(ANY, ANY, ANY)
def test_the_compiled_form_gives_the_same_bits(remembered: float, equity: float, amount: float) -> None:
    """For every float; what is unknown stays unknown."""
    result = after_transfer(remembered, equity, amount)
    assert repr(float(compiled(after_transfer)(remembered, equity, amount))) == repr(float(result))
    assert math.isnan(after_transfer(math.nan, equity, amount))


def test_a_ring_changes_where_it_holds_an_equity() -> None:
    """An empty one stays empty; the hour, and hours without an equity, stay."""
    ring = empty_ring()
    scale_ring(ring, 100.0, 50.0)
    assert repr(ring) == repr(empty_ring())
    assert math.isnan(newest_equity(ring))
    record_equity(ring, 80, 90.0)
    record_equity(ring, 82, 100.0)
    scale_ring(ring, newest_equity(ring), -50.0)
    assert ring[0] == 82.0
    assert [value for value in ring[1:] if not math.isnan(value)] == [45.0, 50.0]
    assert newest_equity(ring) == 50.0
