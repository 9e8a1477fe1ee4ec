"""Loss limits and the order rate: right over midnight, over restarts and with clocks that go wrong."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.risk.limits import (
    LOSS_SIZE,
    RATE_SIZE,
    empty_losses,
    empty_rate,
    from_plain,
    losses_latched,
    losses_pct,
    note_order,
    orders_last_hour,
    record_losses,
    to_plain,
)

DAY = 20_000 * NS_PER_DAY
H = NS_PER_HOUR


def _fed(points: list[tuple[int, float]], limit_pct: float = 5.0) -> list[float]:
    row = empty_losses()
    for ts_ns, equity in points:
        record_losses(row, ts_ns, equity, limit_pct)
    return row


def test_rows_have_their_size() -> None:
    """The sweep allocates by these sizes."""
    assert (len(empty_losses()), len(empty_rate())) == (LOSS_SIZE, RATE_SIZE)


def test_nothing_known_is_no_loss_but_unknown_equity_is_unknown() -> None:
    """An empty row reads 0; NaN equity reads NaN once anything is known or not."""
    assert losses_pct(empty_losses(), 100.0) == (0.0, 0.0)
    assert math.isnan(losses_pct(empty_losses(), math.nan)[1])
    assert math.isnan(losses_pct(_fed([(DAY, 100.0)]), math.nan)[0])


def test_midnight_and_rolling_losses_differ() -> None:
    """100 at 10:00, 97 before midnight, 94 at 06:00: -6 % over 24 hours, -3.09 % since midnight."""
    row = _fed([(DAY + 10 * H, 100.0), (DAY + 23 * H, 97.0), (DAY + 30 * H, 94.0)], 50.0)
    rolling, midnight = losses_pct(row, 94.0)
    assert rolling == pytest.approx(-6.0)
    assert midnight == pytest.approx((94.0 / 97.0 - 1.0) * 100.0)


def test_equity_noted_exactly_at_midnight_is_the_equity_at_midnight() -> None:
    """A bar that closes at 00:00 starts the new day."""
    row = _fed([(DAY + 23 * H, 100.0), (DAY + 24 * H, 98.0)])
    assert losses_pct(row, 98.0)[1] == 0.0


def test_after_days_without_an_equity_the_last_one_counts() -> None:
    """A loss between the last equity of a day and the first of the next counts for the new day."""
    row = _fed([(DAY, 100.0), (DAY + 72 * H + 1, 94.0)])
    assert losses_pct(row, 94.0)[1] == pytest.approx(-6.0)
    assert losses_latched(row)


def test_a_loss_over_midnight_stays_latched_until_both_are_inside() -> None:
    """Lost at 23:00; at 01:00 the day is new but 24 hours are not: still latched; the next day it ends."""
    row = _fed([(DAY + 20 * H, 100.0), (DAY + 23 * H, 94.0)])
    assert losses_latched(row)
    record_losses(row, DAY + 25 * H, 94.0, 5.0)
    assert losses_latched(row)
    record_losses(row, DAY + 46 * H, 94.0, 5.0)
    assert losses_latched(row)  # that was still seen as a breach on day two, at 01:00
    record_losses(row, DAY + 48 * H, 94.0, 5.0)
    assert not losses_latched(row)


def test_a_recovery_on_the_same_day_does_not_release() -> None:
    """Equity back at the start within the day: latched until midnight, then free."""
    row = _fed([(DAY, 100.0), (DAY + H, 94.0), (DAY + 2 * H, 100.0)])
    assert losses_latched(row)
    record_losses(row, DAY + 24 * H, 100.0, 5.0)
    assert not losses_latched(row)


@given(st.lists(st.tuples(st.integers(0, 4000), st.floats(50.0, 150.0)), min_size=1, max_size=60), st.integers(0, 60))
def test_a_restart_changes_nothing(moves: list[tuple[int, float]], cut: int) -> None:
    """Saved as JSON and loaded anywhere along the way, the row ends the same."""
    points, ts_ns = [], DAY
    for minutes, equity in moves:
        ts_ns += minutes * NS_PER_MINUTE
        points.append((ts_ns, equity))
    straight = _fed(points)
    row = _fed(points[:cut])
    loaded = from_plain(json.loads(json.dumps(to_plain(row))), LOSS_SIZE)
    assert loaded is not None
    for ts_ns, equity in points[cut:]:
        record_losses(loaded, ts_ns, equity, 5.0)
    assert repr(loaded) == repr(straight)


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(80.0, 120.0)), min_size=1, max_size=80))
def test_a_breach_always_latches(moves: list[tuple[int, float]]) -> None:
    """Whenever a measured loss is at the limit the row is latched; when not latched both are inside."""
    row, ts_ns = empty_losses(), DAY
    for minutes, equity in moves:
        ts_ns += minutes * NS_PER_MINUTE
        record_losses(row, ts_ns, equity, 5.0)
        if min(losses_pct(row, equity)) <= -5.0:
            assert losses_latched(row)
        if not losses_latched(row):
            assert min(losses_pct(row, equity)) > -5.0


def test_equity_of_nothing_latches_at_once() -> None:
    """Zero or negative equity needs no reference."""
    assert losses_latched(_fed([(DAY, 0.0)]))
    assert losses_latched(_fed([(DAY, -5.0)]))


def test_time_that_goes_backwards_erases_nothing() -> None:
    """A clock set back keeps the day's reference and the latch."""
    row = _fed([(DAY + 5 * H, 100.0), (DAY + 6 * H, 94.0), (DAY - 48 * H, 100.0)])
    assert losses_latched(row)
    assert losses_pct(row, 94.0)[1] == pytest.approx(-6.0)


def test_a_damaged_latch_counts_as_breached() -> None:
    """NaN in the latch does not read as clear."""
    row = empty_losses()
    row[-1] = math.nan
    assert losses_latched(row)


@given(st.lists(st.integers(0, 30 * 60), max_size=80), st.integers(0, 5000))
def test_the_rate_never_counts_fewer_than_the_last_60_minutes(gaps_s: list[int], later_s: int) -> None:
    """Every order within 60 minutes counts, none older than 61."""
    row, now, times = empty_rate(), DAY, []
    for gap in gaps_s:
        now += gap * 1_000_000_000
        times.append(now)
        note_order(row, now)
    now += later_s * 1_000_000_000
    counted = orders_last_hour(row, now)
    assert sum(t > now - H for t in times) <= counted <= sum(t > now - H - NS_PER_MINUTE for t in times)


def test_the_rate_survives_restart_midnight_and_a_clock_set_back() -> None:
    """Ten orders before midnight still count after it, after a restart, and when the clock jumps back."""
    row = empty_rate()
    for minute in range(10):
        note_order(row, DAY - (10 - minute) * NS_PER_MINUTE)
    loaded = from_plain(json.loads(json.dumps(to_plain(row))), RATE_SIZE)
    assert loaded is not None
    assert orders_last_hour(loaded, DAY + 5 * NS_PER_MINUTE) == 10.0
    assert orders_last_hour(loaded, DAY - 24 * H) == 10.0
    note_order(loaded, DAY - 24 * H)
    assert orders_last_hour(loaded, DAY) == 11.0


@pytest.mark.parametrize("values", [None, "x", [1.0], ["a"] * RATE_SIZE, [True] * RATE_SIZE, [math.inf] * RATE_SIZE])
def test_from_plain_refuses_what_is_no_row(values: object) -> None:
    """Anything but the right count of finite numbers or nulls is damaged."""
    assert from_plain(values, RATE_SIZE) is None
