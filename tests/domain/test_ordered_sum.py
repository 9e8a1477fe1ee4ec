"""Sums of floats: added from left to right, so that every supported Python gives the same bits."""

from __future__ import annotations

import functools
import operator

from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.ordered_sum import ordered_sum


def test_rounding_is_not_compensated() -> None:
    """Ten tenths miss 1.0 by one bit, and 1.0 is lost beside 1e16; the built-in of Python 3.12 gives 1.0 for both."""
    assert ordered_sum([0.1] * 10) == 0.9999999999999999
    assert ordered_sum([1e16, 1.0, -1e16]) == 0.0


def test_nothing_adds_up_to_a_float_zero() -> None:
    """No value gives 0.0, a float: an integer 0 would be written differently in JSON."""
    assert repr(ordered_sum([])) == "0.0"


@given(st.lists(st.floats(allow_nan=False), max_size=30))
def test_each_addition_is_rounded_in_the_stated_order(values: list[float]) -> None:
    """The sum is the plain fold from 0.0."""
    assert repr(ordered_sum(values)) == repr(functools.reduce(operator.add, values, 0.0))
