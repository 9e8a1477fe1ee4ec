"""The scalars of the paper venue: worked figures, properties, and the same bits when compiled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.scalar import is_scalar
from quantum_trader.market.jit import compiled
from quantum_trader.venues.paper import fills

TIERS = ((2_000.0, 0.01, 50.0, 0.0), (20_000.0, 0.02, 20.0, 20.0), (200_000.0, 0.05, 10.0, 620.0))
PADDED = np.array([*TIERS, (0.0, 0.0, 0.0, 0.0)])
PRICES = st.integers(1, 1_000_000).map(lambda ticks: ticks / 100)


def test_costs_that_were_not_measured_take_the_default() -> None:
    """7 for NaN, negative and absurd figures, the figure itself otherwise."""
    assert [fills.taker_cost(x, 7.0) for x in (math.nan, -1.0, math.inf, 1e4)] == [7.0] * 4
    assert [fills.taker_cost(x, 7.0) for x in (0.0, 3.5)] == [0.0, 3.5]


def test_worked_prices() -> None:
    """Rounded against the trader; a sale never falls below one tick."""
    assert fills.market_fill_price(1, 100.0, 1.0, 0.1) == 100.1
    assert fills.market_fill_price(-1, 100.0, 1.0, 0.1) == 99.9
    assert fills.market_fill_price(-1, 0.011, 5_000.0, 0.01) == 0.01
    assert fills.stop_fill_price(-1, 95.0, 93.0, 0.0, 0.01) == 93.0
    assert fills.target_fill_price(-1, 105.0, 107.0, 0.0, 0.01) == 107.0
    assert fills.limit_taker_price(1, 100.02, 100.0, 5.0, 0.01) == 100.02
    assert fills.funding_amount(-2.0, 100.0, 1e-4) == 0.02
    assert fills.fill_quantity(5.0, 33.3, 0.1, 1.0) == 3.0
    assert fills.slippage_bps(-1, 100.0, 99.9) == pytest.approx(10.0)


def test_first_exit_order() -> None:
    """Stop before target; stop against liquidation by the distance from the open; a missing price never fires."""
    assert fills.first_exit(1, 95.0, 105.0, 0.0, 100.0, 94.0, 106.0) == fills.EXIT_STOP
    assert fills.first_exit(1, 95.0, 105.0, 92.0, 100.0, 90.0, 106.0) == fills.EXIT_STOP
    assert fills.first_exit(1, 95.0, 105.0, 96.0, 100.0, 90.0, 106.0) == fills.EXIT_LIQUIDATION
    assert fills.first_exit(-1, 105.0, 95.0, 110.0, 100.0, 94.0, 104.0) == fills.EXIT_TARGET
    assert fills.first_exit(1, 0.0, 0.0, 0.0, 100.0, 0.5, 1e9) == fills.EXIT_NONE
    assert fills.first_exit(1, 95.0, 0.0, 90.0, 80.0, 80.0, 80.0) == fills.EXIT_LIQUIDATION  # gapped through both


@given(st.sampled_from([1, -1]), PRICES, st.floats(0.0, 500.0))
def test_fill_is_never_better_than_its_costs(sign: int, price: float, cost: float) -> None:
    """A taker's price is on the tick grid and at least the cost worse, less than a tick more (but for float noise)."""
    paid = fills.market_fill_price(sign, price, cost, 0.01)
    worse = sign * (paid - price)
    assert worse >= min(price * cost * 1e-4, price - 0.01) - 1e-8
    assert worse <= price * cost * 1e-4 + 0.01 + 1e-8
    assert abs(paid * 100 - round(paid * 100)) < 1e-6


@given(st.sampled_from([1, -1]), st.floats(0.01, 1_500.0), st.floats(10.0, 130.0), st.integers(1, 10))
def test_margin_at_the_liquidation_price_is_maintenance(sign: int, qty: float, entry: float, leverage: int) -> None:
    """At the price: margin + profit = maintenance; a little nearer to the entry the position still lives."""
    margin = fills.initial_margin(qty, entry, leverage)
    price = fills.position_liquidation_price(sign, qty, entry, margin, TIERS)
    assert price == fills.position_liquidation_price(sign, qty, entry, margin, PADDED)
    if price == 0.0:
        assert sign > 0
        assert leverage == 1
        return
    for nearer, alive in ((0.0, None), (1e-6, True), (-1e-6, False)):
        there = price * (1.0 + sign * nearer)
        spare = margin + sign * qty * (there - entry) - fills.maintenance_margin(qty * there, TIERS)
        if alive is None:
            assert spare == pytest.approx(0.0, abs=1e-7 * qty * entry)
        else:
            assert (spare > 0.0) is alive


def test_tier_cap() -> None:
    """2000 at 50x, 20000 at 20x, all at 1x, nothing above the table."""
    assert [fills.tier_cap(x, TIERS) for x in (50.0, 21.0, 20.0, 1.0, 51.0)] == [2e3, 2e3, 2e4, 2e5, 0.0]


def arguments(name: str, rng: np.random.Generator) -> tuple[object, ...]:
    """Random arguments of the scalar *name*, by the names of its parameters."""
    made = {
        "side_sign": int(rng.choice([-1, 1])), "position_sign": int(rng.choice([-1, 1])), "tick": 0.01, "step": 0.001,
        "increment": 0.01, "tiers": PADDED, "leverage": float(rng.integers(1, 60)), "cost_bps": rng.uniform(-1.0, 90.0),
        "participation": float(rng.choice([0.0, 0.1])), "rate": rng.normal(0.0, 1e-3), "signed_qty": rng.normal(),
    }
    code = getattr(fills, name).__code__
    return tuple(made.get(key, float(rng.uniform(0.01, 200.0))) for key in code.co_varnames[: code.co_argcount])


SCALARS = sorted(name for name, value in vars(fills).items() if is_scalar(value) and value.__module__ == fills.__name__)


@pytest.mark.parametrize("name", SCALARS)
def test_compiled_form_gives_the_same_bits(name: str) -> None:
    """Python and machine code agree exactly on 200 random inputs of every scalar here."""
    rng = np.random.default_rng(7)
    plain, fast = getattr(fills, name), compiled(getattr(fills, name))
    for _ in range(200):
        given_ = arguments(name, rng)
        assert fast(*given_) == plain(*given_)
