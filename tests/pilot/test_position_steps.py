"""The arithmetic of one position equals the scalars of the risk room, the engine and the paper venue."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quantum_trader.domain.enums import EXIT_TREND_FOLLOW
from quantum_trader.domain.instrument import Instrument, ceil_to, floor_to, round_to, tier_rows
from quantum_trader.domain.scalar import is_scalar
from quantum_trader.engine.road import ROAD_APPROVED, entry_stop, size_entry
from quantum_trader.market.costs import fill_cost_bps
from quantum_trader.market.instruments import DEFAULT_TIERS, known_instruments
from quantum_trader.market.jit import compiled
from quantum_trader.pilot import position_steps as steps
from quantum_trader.pilot.array_form import array_form
from quantum_trader.pilot.position_steps import PendingOrder, Sizing, StepBar, Terms, VirtualPosition
from quantum_trader.pilot.shadow_book import PositionSettings, symbol_terms
from quantum_trader.risk.exits import added_stop, bracket
from quantum_trader.risk.sizing import excess_quantity, fit_leverage, liquidation_price, tradable
from quantum_trader.venues.paper import fills

COUNT = 4000
ARRAYS = types.SimpleNamespace(**{
    name: array_form(function, np) for name, function in vars(steps).items() if is_scalar(function) and name != "where"
})
HALF_HOUR = 30 * 60 * 10**9
LIMITS = (0.5, 300.0, 5e5, 10.0, 1.0)  # as the guard's row: risk, notional, notional, leverage, buffer


def _instruments() -> tuple[Instrument, ...]:
    table = known_instruments()
    default = Instrument(symbol="NEWUSDT", tick_size=0.01, step_size=0.1, min_qty=0.1, min_notional=10.0,
                         tiers=DEFAULT_TIERS)
    return (table["BTCUSDT"], table["ETHUSDT"], table["XRPUSDT"], default)


class Cases:
    """Random positions, decisions and bars of several instruments; arrays (COUNT,)."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.instruments = _instruments()
        self.of = rng.integers(0, len(self.instruments), COUNT)
        terms = symbol_terms(self.instruments, PositionSettings(), HALF_HOUR)
        self.terms = Terms(*(column[self.of] for column in terms[:-1]), terms.tiers[:, :, self.of])
        scale = np.array([40_000.0, 2_000.0, 0.5, 20.0])[self.of]
        self.price = scale * rng.uniform(0.5, 2.0, COUNT)
        self.atr = self.price * 10.0 ** rng.uniform(-3.5, -0.8, COUNT)
        self.equity = 10.0 ** rng.uniform(2.0, 6.5, COUNT)
        self.side = rng.choice([-1.0, 1.0], COUNT)
        self.share = rng.choice([0.1, 0.2, 0.5, 3.0], COUNT)
        self.held_share = rng.choice([0.05, 0.3, 1.0], COUNT)
        self.risk = rng.choice([0.25, 0.5, 2.0], COUNT)
        self.leverage = np.floor(rng.uniform(1.0, 21.0, COUNT))
        self.stop = self.price - self.side * self.atr * rng.uniform(0.5, 5.0, COUNT)
        self.qty = self.share * self.equity / self.price
        self.held = np.asarray(floor_rows(self.qty * rng.uniform(0.1, 0.9, COUNT), self.terms.step))
        self.entry = self.price * rng.uniform(0.9, 1.1, COUNT)
        self.open = self.price * rng.uniform(0.97, 1.03, COUNT)
        self.high = np.maximum(self.price, self.open) * rng.uniform(1.0, 1.03, COUNT)
        self.low = np.minimum(self.price, self.open) * rng.uniform(0.97, 1.0, COUNT)
        self.cost = rng.uniform(0.0, 10.0, COUNT)

    def tiers(self, row: int) -> Any:
        return tier_rows(self.instruments[self.of[row]])


def floor_rows(values: np.ndarray, increments: np.ndarray) -> list[float]:
    return [floor_to(float(value), float(step)) for value, step in zip(values, increments, strict=True)]


@pytest.fixture(scope="module", params=(1, 2))
def cases(request: pytest.FixtureRequest) -> Cases:
    return Cases(request.param)


def _same(found: np.ndarray, expected: list[float], rtol: float = 0.0) -> None:
    np.testing.assert_allclose(np.asarray(found), np.array(expected), rtol=rtol, atol=0.0, equal_nan=True)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("round_down", floor_to), ("round_up", ceil_to), ("round_nearest", round_to)]
)
def test_rounding_is_that_of_instruments(cases: Cases, ours: str, theirs: Callable[..., float]) -> None:
    """Bit for bit, for prices on the tick and quantities on the step."""
    for values, increments in ((cases.price, cases.terms.tick), (cases.qty, cases.terms.step)):
        expected = [theirs(float(value), float(step)) for value, step in zip(values, increments, strict=True)]
        _same(getattr(ARRAYS, ours)(values, increments), expected)
        again = [theirs(value, float(step)) for value, step in zip(expected, increments, strict=True)]
        _same(getattr(ARRAYS, ours)(np.array(expected), increments), again)


def test_tradable_quantity_is_that_of_the_risk_room(cases: Cases) -> None:
    """Rounded down; 0.0 below the minima."""
    qty = cases.qty * 10.0 ** np.random.default_rng(3).uniform(-5.0, 0.0, COUNT)
    terms = cases.terms
    expected = [
        tradable(float(qty[i]), float(cases.price[i]), terms.step[i], terms.min_qty[i], terms.min_notional[i])
        for i in range(COUNT)
    ]
    assert 0.0 in expected
    _same(ARRAYS.tradable_qty(qty, cases.price, terms), expected)


def test_liquidation_is_that_of_the_paper_venue_and_of_the_risk_room(cases: Cases) -> None:
    """The venue's bit for bit, the risk room's but for rounding where its table holds the notional."""
    margin = cases.qty * cases.price / cases.leverage
    found = ARRAYS.liquidation_of(cases.side, cases.qty, cases.price, margin, cases.terms.tiers)
    _same(found, [
        fills.position_liquidation_price(int(cases.side[i]), cases.qty[i], cases.price[i], margin[i], cases.tiers(i))
        for i in range(COUNT)
    ])
    risk = [
        liquidation_price(cases.side[i], cases.price[i], cases.qty[i], cases.leverage[i], cases.tiers(i))
        for i in range(COUNT)
    ]
    listed = np.array([math.isfinite(one) for one in risk])
    np.testing.assert_allclose(found[listed], np.array(risk)[listed], rtol=1e-9, atol=1e-9)


def test_leverage_is_that_of_the_risk_room(cases: Cases) -> None:
    """The highest whole leverage with liquidation clear of the stop; 0.0 where there is none."""
    wanted = np.minimum(cases.leverage, LIMITS[3])
    found = ARRAYS.safe_leverage(
        wanted, cases.side, cases.price, cases.stop, cases.qty, LIMITS[4], cases.terms.tiers
    )
    expected = [
        fit_leverage(wanted[i], LIMITS[3], 0, cases.side[i], cases.price[i], cases.stop[i], cases.qty[i], LIMITS[4],
                     cases.tiers(i))
        for i in range(COUNT)
    ]
    assert {0.0, 1.0, 10.0} <= set(expected)
    _same(found, expected)


def _position(cases: Cases, held: np.ndarray) -> VirtualPosition:
    side, zero = cases.side, np.zeros(COUNT)
    leverage = np.minimum(cases.leverage, 10.0)
    margin = held * cases.entry / leverage
    liquidation = ARRAYS.liquidation_of(side, held, cases.entry, margin, cases.terms.tiers)
    return VirtualPosition(side * held, cases.entry, margin, liquidation, leverage, cases.stop, cases.stop, held,
                    side * cases.held_share, cases.atr, zero, held)


def _no_order() -> PendingOrder:
    return PendingOrder(*(np.zeros(COUNT) for _ in PendingOrder._fields))


def _sizing(cases: Cases) -> Sizing:
    return Sizing(np.full(COUNT, 3.0), cases.risk, np.full(COUNT, 10.0), np.full(COUNT, LIMITS[4]))


def test_opening_is_that_of_the_road(cases: Cases) -> None:
    """Quantity and leverage of an opening order are those of ``size_entry``."""
    none = VirtualPosition(*(np.zeros(COUNT) for _ in VirtualPosition._fields))
    order = ARRAYS.order_for(
        none, _no_order(), cases.side * cases.share, cases.price, cases.atr, cases.equity, cases.terms, _sizing(cases)
    )
    expected = []
    for i in range(COUNT):
        row = cases.instruments[cases.of[i]]
        stop = cases.price[i] - cases.side[i] * 3.0 * cases.atr[i]
        road, qty, leverage = size_entry(
            int(cases.side[i]), cases.price[i], stop, cases.equity[i], cases.risk[i], 1.0, 0, 10.0,
            (row.step_size, row.min_qty, row.min_notional), LIMITS, cases.tiers(i),
            cases.share[i] * cases.equity[i] / cases.price[i], (0.0, 0.0),
        )
        expected.append((cases.side[i] * qty, leverage) if road == ROAD_APPROVED else (0.0, 0.0))
    _same(order.qty, [one[0] for one in expected])
    _same(order.leverage, [one[1] for one in expected])
    assert 0.02 < np.mean(order.qty == 0.0) < 0.9


def test_resizing_is_that_of_the_road(cases: Cases) -> None:
    """Additions have quantity and stop of ``size_entry`` and ``entry_stop``; reductions are ``excess_quantity``."""
    position = _position(cases, np.maximum(cases.held, cases.terms.min_qty))
    order = ARRAYS.order_for(
        position, _no_order(), cases.side * cases.share, cases.price, cases.atr, cases.equity, cases.terms,
        _sizing(cases),
    )
    added = 0
    for i in range(COUNT):
        row, sign = cases.instruments[cases.of[i]], int(cases.side[i])
        sizes = (row.step_size, row.min_qty, row.min_notional)
        held, wanted = (abs(position.qty[i]), position.entry[i]), cases.share[i] * cases.equity[i] / cases.price[i]
        if cases.share[i] < cases.held_share[i]:
            excess = excess_quantity(held[0], wanted, cases.price[i], *sizes)
            assert order.qty[i] == -sign * excess
            continue
        stop = entry_stop(sign, cases.price[i], cases.atr[i], 3.0, wanted, held, position.stop[i],
                          position.leverage[i], LIMITS, cases.tiers(i))
        road, qty, _ = size_entry(
            sign, cases.price[i], stop, cases.equity[i], cases.risk[i], 1.0, 0, position.leverage[i], sizes, LIMITS,
            cases.tiers(i), wanted, held,
        )
        assert order.qty[i] == (sign * qty if road == ROAD_APPROVED else 0.0)
        if road == ROAD_APPROVED:
            added += 1
            assert order.stop[i] == pytest.approx(stop, rel=1e-12)
    assert added > 100


def test_stops_are_those_of_the_exits(cases: Cases) -> None:
    """``bracket`` under TREND_FOLLOW from the fill price, and ``added_stop``; none is 0.0."""
    margin = cases.qty * cases.price / cases.leverage
    liquidation = ARRAYS.liquidation_of(cases.side, cases.qty, cases.price, margin, cases.terms.tiers)
    price = np.array(floor_rows(cases.price, cases.terms.tick))
    found = ARRAYS.stop_from_fill(cases.side, price, 3.0 * cases.atr, liquidation, cases.terms.tick)
    expected = [
        bracket(int(cases.side[i]), price[i], cases.atr[i], 3.0, 0.0, EXIT_TREND_FOLLOW, cases.terms.tick[i],
                liquidation[i])[0]
        for i in range(COUNT)
    ]
    _same(found, [0.0 if math.isnan(one) else one for one in expected])
    assert any(math.isnan(one) for one in expected)
    judged = cases.stop * np.random.default_rng(4).uniform(0.99, 1.01, COUNT)
    _same(ARRAYS.stop_after_addition(cases.side, judged, cases.stop, cases.terms.tick), [
        added_stop(int(cases.side[i]), judged[i], cases.stop[i], cases.terms.tick[i]) for i in range(COUNT)
    ])


def test_prices_and_exits_are_those_of_the_paper_venue(cases: Cases) -> None:
    """Cost in a bar, prices of fills, and which of stop and liquidation comes first."""
    bar = StepBar(cases.open, cases.high, cases.low, cases.cost, 0.0)
    cost = ARRAYS.cost_in_bar(bar, cases.terms)
    _same(cost, [
        fill_cost_bps(cases.cost[i], 50.0, cases.open[i], cases.high[i], cases.low[i], HALF_HOUR)
        for i in range(COUNT)
    ])
    _same(ARRAYS.market_price(cases.side, cases.open, cost, cases.terms.tick), [
        fills.market_fill_price(int(cases.side[i]), cases.open[i], cost[i], cases.terms.tick[i]) for i in range(COUNT)
    ])
    liquidation = cases.stop * np.random.default_rng(5).uniform(0.98, 1.02, COUNT)
    code = ARRAYS.first_reached(cases.side, cases.stop, liquidation, cases.open, cases.low, cases.high)
    _same(code, [
        fills.first_exit(int(cases.side[i]), cases.stop[i], 0.0, liquidation[i], cases.open[i], cases.low[i],
                         cases.high[i])
        for i in range(COUNT)
    ])
    assert set(np.unique(code)) == {0.0, 1.0, 2.0}
    price = ARRAYS.exit_price(code, cases.side, cases.stop, liquidation, bar, cases.terms)
    for i in np.flatnonzero(code):
        sign, tick = int(cases.side[i]), float(cases.terms.tick[i])
        expected = (
            fills.stop_fill_price(-sign, cases.stop[i], cases.open[i], cost[i], tick) if code[i] == steps.EXIT_STOP
            else fills.liquidation_fill_price(sign, liquidation[i], cases.open[i], tick)
        )
        assert price[i] == expected


def test_compiled_scalars_equal_the_array_form(cases: Cases) -> None:
    """Machine code for one position gives the bits that numpy gives for all of them, decision and bar."""
    decide, take_bar = compiled(steps.order_for), compiled(steps.through_bar)
    held = np.where(np.arange(COUNT) % 2 == 0, cases.held, 0.0)
    whole = _position(cases, np.maximum(held, cases.terms.min_qty))
    position = VirtualPosition(*(np.where(held > 0.0, column, 0.0) for column in whole))
    share = np.where(np.arange(COUNT) % 7 == 0, np.nan, cases.side * cases.share * np.where(held % 3 == 0.0, -1.0, 1.0))
    sizing = _sizing(cases)
    orders = ARRAYS.order_for(position, _no_order(), share, cases.price, cases.atr, cases.equity, cases.terms, sizing)
    bar = StepBar(cases.open, cases.high, cases.low, cases.cost, np.full(COUNT, 1e-4))
    outcome = ARRAYS.through_bar(position, orders, bar, cases.terms)
    for i in range(COUNT):
        one = VirtualPosition(*(float(column[i]) for column in position))
        tiers = np.ascontiguousarray(cases.terms.tiers[:, :, i])
        terms = Terms(*(float(column[i]) for column in cases.terms[:-1]), tiers)
        order = decide(one, PendingOrder(*(0.0,) * len(PendingOrder._fields)), float(share[i]), float(cases.price[i]),
                       float(cases.atr[i]), float(cases.equity[i]), terms, Sizing(*(float(c[i]) for c in sizing)))
        assert tuple(order) == tuple(float(column[i]) for column in orders)
        found = take_bar(one, order, StepBar(*(float(np.asarray(c)[i]) for c in bar)), terms)
        assert tuple(found.position) == tuple(float(column[i]) for column in outcome.position)
        assert tuple(found.order) == tuple(float(column[i]) for column in outcome.order)
        assert tuple(found[2:]) == tuple(float(np.asarray(column)[i]) for column in outcome[2:])
