"""Halts have a way out; one bad bar halts nothing, three in a row do."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.risk.halts import (
    TICK_BAD,
    TICK_FINE,
    TICK_HALT_CLEARED,
    TICK_HALT_RAISED,
    TICK_HALTED,
    TICK_HALTED_SINCE,
    Halt,
    bar_ok,
    empty_ticks,
    note_tick,
)


def test_a_halt_without_a_way_out_cannot_be_made() -> None:
    """No command and no expiry, or one before its start: refused by name."""
    for expires_ns in (0, 5, 10):
        with pytest.raises(InputError, match=r"halt\.expires_ns"):
            Halt(kind="X", reason="r", owner="o", since_ns=10, expires_ns=expires_ns)
    assert Halt(kind="X", reason="r", owner="o", since_ns=10, expires_ns=11).expires_ns == 11


@pytest.mark.parametrize("key", ["kind", "reason", "owner", "scope"])
def test_a_halt_says_what_why_and_whose(key: str) -> None:
    """None of its words may be empty."""
    words = {"kind": "X", "reason": "r", "owner": "o", "scope": "*", key: " "}
    with pytest.raises(InputError, match=key):
        Halt(since_ns=0, command="resume", **words)


def test_three_bad_bars_halt_and_three_good_ones_clear() -> None:
    """Bad, bad, bad halts; good, good, good clears; a bad one between starts the count again."""
    row = empty_ticks()
    seen = [note_tick(row, good, at) for at, good in enumerate([0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1])]
    assert seen == [
        TICK_BAD, TICK_BAD, TICK_FINE, TICK_BAD, TICK_BAD, TICK_HALT_RAISED, TICK_HALTED, TICK_HALTED, TICK_HALTED,
        TICK_HALTED, TICK_HALTED, TICK_HALTED, TICK_HALT_CLEARED, TICK_FINE,
    ]


@given(st.lists(st.booleans(), max_size=60))
def test_a_symbol_is_halted_by_three_bad_in_a_row_and_only_then(goods: list[bool]) -> None:
    """The counter agrees with looking at the whole history."""
    row, halted = empty_ticks(), False
    for at, good in enumerate(goods):
        note_tick(row, good, float(at))
        last = goods[max(0, at - 2) : at + 1]
        if len(last) == 3 and not any(last):
            halted = True
        elif len(last) == 3 and all(last):
            halted = False
        assert (row[TICK_HALTED_SINCE] >= 0.0) is halted


def test_the_count_goes_on_from_a_saved_row() -> None:
    """Two bad bars before, one after a restart: halted since the third."""
    row = empty_ticks()
    for _ in range(2):
        note_tick(row, False, 7.0)
    row = json.loads(json.dumps(row))
    assert note_tick(row, False, 9.0) == TICK_HALT_RAISED
    assert row[TICK_HALTED_SINCE] == 9.0


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_bar_ok_refuses_each_bad_number(position: int, bad: float) -> None:
    """Finite, positive, volume not negative."""
    bar = [10.0, 12.0, 9.0, 11.0, 5.0]
    assert bar_ok(*bar)
    bar[position] = bad
    assert not bar_ok(*bar)


def test_bar_ok_refuses_an_impossible_shape() -> None:
    """Open and close lie between low and high."""
    assert not bar_ok(13.0, 12.0, 9.0, 11.0, 5.0)
    assert not bar_ok(10.0, 12.0, 9.0, 8.0, 5.0)
    assert not bar_ok(0.0, 0.0, 0.0, 0.0, 0.0)
