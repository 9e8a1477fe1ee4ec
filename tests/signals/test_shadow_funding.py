"""What a shadow trade is net of: fills, fees, and funding at the interval of its contract."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.market import MarketBatch
from quantum_trader.market.costs import fill_cost_bps
from quantum_trader.signals.shadow import (
    RESOLVED_COST_BPS,
    RESOLVED_ENTRY,
    RESOLVED_EXIT,
    RESOLVED_FILL,
    RESOLVED_FROM,
    RESOLVED_FUNDING_BPS,
    RESOLVED_NET_BPS,
    RESOLVED_NET_R,
    RESOLVED_WEIGHT,
    SHADOW_HOLE,
    SHADOW_STOP,
    SHADOW_TIMEOUT,
    ShadowBook,
)

RATE = 0.0004  # of the notional, each time


def bar(hour: int, open_: float, high: float, low: float, close: float, present: bool = True) -> MarketBatch:
    """One symbol's hourly bar."""
    return MarketBatch(
        hour * NS_PER_HOUR, NS_PER_HOUR, np.array([[open_, high, low, close, 1.0]]), np.array([present])
    )


def free_book(sign: int) -> ShadowBook:
    """A book without costs whose one waiting shadow has a stop and a target that are far away."""
    book = ShadowBook(1, NS_PER_HOUR, 0.0, range_slippage_bps=0.0)
    assert book.open(0, 7, sign, 10.0, 1.0, 2.0)
    return book


@pytest.mark.parametrize(("sign", "side"), [(1, -1.0), (-1, 1.0)])
@pytest.mark.parametrize(("hours", "payments"), [(1, 23), (4, 5), (8, 2)])
def test_a_day_pays_at_the_interval_of_the_contract(hours: int, payments: int, sign: int, side: float) -> None:
    """From 00:00 to 24:00 at a price of 100: the payment at the entry and the one at the end belong to others.

    4 bps each: 23, 5 and 2 payments are 92, 20 and 8 bps; a long pays them and a short receives them.
    """
    book = free_book(sign)
    for hour in range(24):
        due = np.array([RATE if hour % hours == 0 else 0.0])
        made = book.on_bar(bar(hour, 100.0, 101.0, 99.0, 100.0), np.zeros(1), due)
    assert made == 1
    row = book.resolved[0]
    assert row[RESOLVED_EXIT] == SHADOW_TIMEOUT
    assert row[RESOLVED_FUNDING_BPS] == pytest.approx(side * payments * 4.0, rel=1e-12)
    assert row[RESOLVED_NET_BPS] == pytest.approx(side * payments * 4.0, rel=1e-12)
    assert row[RESOLVED_NET_R] == pytest.approx(side * payments * 0.04 / 10.0, rel=1e-12)


def test_a_trade_with_all_its_costs_by_hand() -> None:
    """Long at the open of 100 with 5 bps of cost and 4 bps of fee, two payments of 2 bps, out at the close of 103.

    Entry 100.05, fill 103 x 0.9995 = 102.9485. Fees (100.05 + 102.9485) x 0.0004 = 0.0811994. Funding at the opens of
    101 and 102: 0.0202 + 0.0204 = 0.0406. Net 102.9485 - 100.05 - 0.0811994 - 0.0406 = 2.7767006, over a risk of 10
    at half weight 0.13883503 R; of the entry 277.53 bps. Slippage 0.05 + 0.0515; with fees 18.26 bps of the entry.
    """
    book = ShadowBook(1, NS_PER_HOUR, 4.0, max_hours=3.0, range_slippage_bps=0.0)
    assert book.open(0, 1, 1, 10.0, 1.0, 2.0, weight=0.5)
    rates = (0.0, 2e-4, 2e-4)
    for hour, (open_, close) in enumerate([(100.0, 101.0), (101.0, 102.0), (102.0, 103.0)]):
        due = np.array([rates[hour]])
        made = book.on_bar(bar(400_000 + hour, open_, close, open_, close), np.array([5.0]), due)
    assert made == 1
    row = book.resolved[0]
    assert row[RESOLVED_ENTRY] == pytest.approx(100.05, rel=1e-12)
    assert row[RESOLVED_FILL] == pytest.approx(102.9485, rel=1e-12)
    assert row[RESOLVED_FUNDING_BPS] == pytest.approx(-0.0406 / 100.05 * 1e4, rel=1e-9)
    assert row[RESOLVED_COST_BPS] == pytest.approx((0.05 + 0.0515 + 0.0811994) / 100.05 * 1e4, rel=1e-9)
    assert row[RESOLVED_NET_BPS] == pytest.approx(2.7767006 / 100.05 * 1e4, rel=1e-9)
    assert row[RESOLVED_NET_R] == pytest.approx(0.13883503, rel=1e-9)
    assert (row[RESOLVED_WEIGHT], int(row[RESOLVED_FROM]) * NS_PER_HOUR) == (0.5, 400_000 * NS_PER_HOUR)


def test_a_payment_is_charged_before_a_stop_in_the_same_bar() -> None:
    """Funding is due at the open, and the range comes after it."""
    book = free_book(1)
    assert book.on_bar(bar(0, 100.0, 101.0, 99.0, 100.0), np.zeros(1), np.array([RATE])) == 0
    assert book.on_bar(bar(1, 100.0, 101.0, 80.0, 85.0), np.zeros(1), np.array([RATE])) == 1
    row = book.resolved[0]
    assert row[RESOLVED_EXIT] == SHADOW_STOP
    assert row[RESOLVED_FUNDING_BPS] == pytest.approx(-4.0, rel=1e-12)


def test_payments_of_missing_bars_are_charged_at_the_next_one() -> None:
    """At its open of 110: 3 payments of 4 bps of 110 are 13.2 bps of the entry; a newcomer owes none of them."""
    book = free_book(1)
    book.on_bar(bar(0, 100.0, 101.0, 99.0, 100.0), np.zeros(1))
    for hour in (1, 2):
        book.on_bar(bar(hour, 0.0, 0.0, 0.0, 0.0, present=False), np.zeros(1), np.array([RATE]))
    assert book.open(0, 8, 1, 10.0, 1.0, 9.0)
    assert book.on_bar(bar(3, 110.0, 111.0, 109.0, 110.0), np.zeros(1), np.array([RATE])) == 0
    assert book.on_bar(bar(4, 110.0, 111.0, 70.0, 70.0), np.zeros(1)) == 2
    assert book.resolved[0, RESOLVED_FUNDING_BPS] == pytest.approx(-13.2, rel=1e-12)
    assert book.resolved[1, RESOLVED_FUNDING_BPS] == 0.0


def test_payments_inside_a_hole_are_nobodys() -> None:
    """The shadow ended at the last close before it."""
    book = free_book(1)
    book.on_bar(bar(0, 100.0, 101.0, 99.0, 101.0), np.zeros(1))
    for hour in range(1, 30):
        book.on_bar(bar(hour, 0.0, 0.0, 0.0, 0.0, present=False), np.zeros(1), np.array([RATE]))
    assert book.on_bar(bar(30, 90.0, 91.0, 89.0, 90.0), np.zeros(1), np.array([RATE])) == 1
    row = book.resolved[0]
    assert (row[RESOLVED_EXIT], row[RESOLVED_FUNDING_BPS]) == (SHADOW_HOLE, 0.0)


@settings(max_examples=150, deadline=None)
@given(
    sign=st.sampled_from([1, -1]), cost=st.floats(0.0, 50.0), fee=st.floats(-1.0, 20.0),
    range_bps=st.floats(0.0, 100.0), seed=st.integers(0, 2**32 - 1), hours=st.sampled_from([1, 4, 8]),
    weight=st.floats(0.01, 5.0),
)
def test_net_is_gross_less_costs_plus_funding(
    sign: int, cost: float, fee: float, range_bps: float, seed: int, hours: int, weight: float
) -> None:
    """For any market, costs and rates; and R is net over the risk times the weight."""
    rng = np.random.Generator(np.random.PCG64(seed))
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 31)))
    rates = np.where(np.arange(30) % hours == 0, rng.normal(0.0, 3e-4, 30), 0.0)
    book, made, hour, opened = ShadowBook(1, NS_PER_HOUR, fee, range_slippage_bps=range_bps), 0, 0, float(closes[0])
    assert book.open(0, 1, sign, 2.0, 1.5, 2.0, weight=weight)
    funding = 0.0
    while not made:
        open_, close = float(closes[hour]), float(closes[hour + 1])
        high, low = max(open_, close) * 1.002, min(open_, close) * 0.998
        if hour:
            funding -= sign * open_ * rates[hour]
        made = book.on_bar(bar(hour, open_, high, low, close), np.array([cost]), rates[hour : hour + 1])
        hour += 1
    row = book.resolved[0]
    entry, fill = row[RESOLVED_ENTRY], row[RESOLVED_FILL]
    level = fill / (1.0 - sign * fill_cost_bps(cost, range_bps, open_, high, low, NS_PER_HOUR) / 1e4)
    gross = sign * (level - opened) / entry * 1e4
    assert row[RESOLVED_FUNDING_BPS] == pytest.approx(funding / entry * 1e4, rel=1e-9, abs=1e-9)
    assert row[RESOLVED_NET_BPS] == pytest.approx(
        gross - row[RESOLVED_COST_BPS] + row[RESOLVED_FUNDING_BPS], rel=1e-9, abs=1e-7
    )
    assert row[RESOLVED_NET_R] == pytest.approx(
        row[RESOLVED_NET_BPS] / 1e4 * entry / 3.0 * weight, rel=1e-9, abs=1e-12
    )
