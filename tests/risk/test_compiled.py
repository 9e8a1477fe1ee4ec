"""Every scalar of the room compiles, and the machine code gives the same bits as the Python it came from."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from quantum_trader.domain.scalar import is_scalar
from quantum_trader.market.jit import compiled
from quantum_trader.risk import exits, governor, guard, halts, limits, sizing

ROUNDS = 400
TIERS = ((5e3, 0.004, 125.0, 0.0), (5e4, 0.005, 100.0, 5.0), (5e5, 0.01, 50.0, 255.0), (0.0, 0.0, 0.0, 0.0))
DAY_NS = 20_000 * 86_400 * 10**9
Draw = Callable[[np.random.Generator], tuple[Any, ...]]


def _odd(rng: np.random.Generator, value: Any) -> float:
    """*value*, or now and then something no number should be."""
    if rng.random() < 0.03:
        return float(rng.choice([math.nan, math.inf, -math.inf, 0.0, -1.0]))
    return float(value)


def _sign(rng: np.random.Generator) -> int:
    return int(rng.choice([1, -1]))


def _price(rng: np.random.Generator) -> float:
    return _odd(rng, rng.uniform(50.0, 150.0))


def _bracket(rng: np.random.Generator) -> tuple[Any, ...]:
    sign, price = _sign(rng), _price(rng)
    liquidation = float(rng.choice([0.0, price * (1.0 - sign * 0.1), price * (1.0 - sign * 0.01)]))
    return (sign, price, _odd(rng, rng.uniform(0.0, 5.0)), _odd(rng, 1.5), _odd(rng, 3.0), int(rng.integers(0, 4)),
            _odd(rng, rng.choice([0.01, 0.1, 1.0])), _odd(rng, liquidation))


def _next_stop(rng: np.random.Generator) -> tuple[Any, ...]:
    return (_sign(rng), *(_price(rng) for _ in range(4)), _odd(rng, 2.0), _odd(rng, 0.5), _odd(rng, 2.0),
            int(rng.integers(0, 4)), _odd(rng, 0.01), _odd(rng, 0.05))


def _intent_row(rng: np.random.Generator) -> tuple[float, ...]:
    price = rng.uniform(50.0, 150.0)
    row = (rng.choice([1.0, -1.0]), rng.uniform(0.0, 300.0), price, price * rng.uniform(0.9, 1.1),
           float(rng.integers(1, 15)), 0.001, 0.001, 5.0, rng.uniform(0.0, 0.35), rng.uniform(-1.5, 130.0),
           rng.choice([0.0, 1.0], p=[0.95, 0.05]), rng.choice([1.0, 0.0, 2.0], p=[0.9, 0.05, 0.05]), 1.0,
           rng.choice([0.0, 2.0]), 95.0)
    return tuple(_odd(rng, value) if rng.random() < 0.05 else float(value) for value in row)


def _account_row(rng: np.random.Generator) -> tuple[float, ...]:
    row = (0.0, 1.0, float(rng.integers(0, 4)), 1.0, rng.uniform(1e3, 1e4), rng.uniform(0.0, 1e3),
           float(rng.integers(0, 12)), rng.uniform(-5.5, 2.0), rng.uniform(-5.5, 2.0), 0.0, float(rng.integers(0, 70)))
    return tuple(_odd(rng, value) if rng.random() < 0.05 else float(value) for value in row)


def _guard(rng: np.random.Generator) -> tuple[Any, ...]:
    return (_intent_row(rng), _account_row(rng), guard.RiskLimits().row(policy_risk_pct=_odd(rng, 1.0)), TIERS)


def _leverage(rng: np.random.Generator) -> tuple[Any, ...]:
    price = rng.uniform(50.0, 150.0)
    return (_odd(rng, rng.integers(1, 30)), _odd(rng, 20.0), float(rng.integers(0, 4)), float(_sign(rng)), price,
            _odd(rng, price * rng.uniform(0.9, 1.1)), _odd(rng, rng.uniform(0.1, 6e3)), 1.0, TIERS)


def _risk(rng: np.random.Generator) -> tuple[float, ...]:
    return (_odd(rng, rng.uniform(0.0, 1e5)), _odd(rng, 1.0), _odd(rng, rng.random()), _price(rng), _price(rng))


def _tradable(rng: np.random.Generator) -> tuple[float, ...]:
    return (_odd(rng, rng.uniform(0.0, 10.0)), _price(rng), _odd(rng, rng.choice([0.001, 0.1, 1.0])), 0.01, 5.0)


PURE: dict[Callable[..., Any], Draw] = {
    exits.score_exit_row: lambda rng: (float(rng.uniform(0.1, 20.0)), int(rng.integers(0, 4))),
    exits.exit_row: lambda rng: (int(rng.integers(0, 4)), int(rng.integers(0, 6))),
    exits.bracket: _bracket,
    exits.next_stop: _next_stop,
    exits.added_stop: lambda rng: (_sign(rng), _price(rng), _price(rng), 0.1),
    exits.is_behind_liquidation: lambda rng: (_sign(rng), _price(rng), _price(rng), _odd(rng, rng.uniform(0.0, 99.0))),
    exits.would_trigger: lambda rng: (_sign(rng), _price(rng), _price(rng)),
    exits.timed_out: lambda rng: (DAY_NS, DAY_NS + int(rng.integers(0, 10**14)), _odd(rng, rng.uniform(1.0, 30.0))),
    sizing.tier_index: lambda rng: (_odd(rng, rng.uniform(0.0, 6e5)), TIERS),
    sizing.risk_quantity: _risk,
    sizing.tradable: _tradable,
    sizing.volatility_quantity: lambda rng: (
        _odd(rng, rng.random()), _odd(rng, 6.0), _odd(rng, rng.uniform(0.0, 1e5)), _price(rng)
    ),
    sizing.risk_weight: lambda rng: (
        _odd(rng, rng.random()), 6.0, _odd(rng, rng.uniform(0.0, 20.0)), _price(rng), _odd(rng, 1.0)
    ),
    sizing.excess_quantity: lambda rng: (
        _odd(rng, rng.uniform(0.0, 9.0)), _odd(rng, rng.uniform(0.0, 9.0)), _price(rng), 0.001, 0.01, 5.0
    ),
    sizing.quantity_beside: lambda rng: (
        float(_sign(rng)), 100.0, rng.uniform(80.0, 99.0), _odd(rng, 50.0), (_odd(rng, rng.choice([0.0, 2.0])), 95.0)
    ),
    sizing.clip_to_margin: lambda rng: (_odd(rng, 3.0), _price(rng), _odd(rng, 5.0), _odd(rng, rng.uniform(0, 90))),
    sizing.liquidation_price: lambda rng: (float(_sign(rng)), _price(rng), _odd(rng, rng.uniform(0.1, 6e3)),
                                           _odd(rng, rng.integers(1, 30)), TIERS),
    sizing.liquidation_gap_pct: lambda rng: (*_leverage(rng)[3:7], _odd(rng, rng.integers(1, 30)), TIERS),
    sizing.leverage_cap: lambda rng: (_odd(rng, 20.0), _odd(rng, rng.integers(0, 4)), rng.uniform(0, 6e5), TIERS),
    sizing.fit_leverage: _leverage,
    halts.bar_ok: lambda rng: tuple(_odd(rng, value) for value in (10.0, 12.0, 9.0, 11.0, 5.0)),
    governor.level_factors: lambda rng: (int(rng.integers(-1, 6)),),
    governor.risk_level: lambda rng: (_odd(rng, rng.uniform(0.0, 10.0)), _odd(rng, rng.integers(0, 10))),
    governor.health_level: lambda rng: (_odd(rng, rng.uniform(0, 40)), _odd(rng, 1.0), _odd(rng, rng.uniform(0, 2e3)),
                                        _odd(rng, rng.random())),
    governor.operator_resumes: lambda rng: (0.0, rng.uniform(0.0, 1e5), _odd(rng, 12.0)),
    guard.tighter: lambda rng: (_odd(rng, rng.random()), _odd(rng, rng.random())),
    guard.guard_core: _guard,
}

# Scalars that change a row: the row's start, then the other arguments.
STATEFUL: dict[Callable[..., Any], tuple[Callable[[], list[float]], Draw]] = {
    halts.note_tick: (halts.empty_ticks, lambda rng: (bool(rng.random() < 0.5), int(rng.integers(0, 100)))),
    limits.record_losses: (limits.empty_losses, lambda rng: (
        DAY_NS + int(rng.integers(0, 10**15)), _odd(rng, rng.uniform(90.0, 105.0)), 5.0)),
    limits.losses_pct: (lambda: _losses(), lambda rng: (_odd(rng, rng.uniform(90.0, 105.0)),)),
    limits.scale_losses: (lambda: _losses(), lambda rng: _transfer(rng)),
    limits.losses_latched: (limits.empty_losses, lambda rng: ()),
    limits.note_order: (limits.empty_rate, lambda rng: (DAY_NS + int(rng.integers(0, 10**13)),)),
    limits.orders_last_hour: (lambda: _orders(), lambda rng: (DAY_NS + int(rng.integers(0, 10**13)),)),
    governor.governor_step: (governor.empty_governor, lambda rng: (
        _odd(rng, rng.uniform(90.0, 101.0)), int(rng.integers(0, 10**5)), int(rng.integers(0, 3)))),
    governor.governor_trade: (governor.empty_governor, lambda rng: (
        _odd(rng, rng.normal() - 0.5), _odd(rng, rng.random()))),
    governor.scale_peak: (lambda: _emergency(), lambda rng: _transfer(rng)),
    governor.governor_resume: (lambda: _emergency(), lambda rng: (_odd(rng, 90.0), int(rng.integers(0, 10**5)))),
}


def _transfer(rng: np.random.Generator) -> tuple[float, float]:
    """Equity and amount."""
    return _odd(rng, rng.uniform(90.0, 105.0)), _odd(rng, rng.normal())


def _losses() -> list[float]:
    row = limits.empty_losses()
    for hour in range(30):
        limits.record_losses(row, DAY_NS + hour * 3600 * 10**9, 100.0 - hour / 10.0, 5.0)
    return row


def _orders() -> list[float]:
    row = limits.empty_rate()
    for minute in range(90):
        limits.note_order(row, DAY_NS + minute * 60 * 10**9)
    return row


def _emergency() -> list[float]:
    row = governor.empty_governor()
    governor.governor_step(row, 100.0, 0, 0)
    governor.governor_step(row, 90.0, 1, 0)
    return row


def _public_scalars(module: ModuleType) -> set[Callable[..., Any]]:
    return {
        value for name, value in vars(module).items()
        if is_scalar(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def test_every_public_scalar_is_compared() -> None:
    """A scalar added to the room must come here too."""
    found = set().union(*(_public_scalars(module) for module in (exits, governor, guard, halts, limits, sizing)))
    assert found == set(PURE) | set(STATEFUL)


@pytest.mark.parametrize("function", PURE, ids=lambda function: function.__name__)
def test_the_compiled_form_gives_the_same_bits(function: Callable[..., Any]) -> None:
    """On random inputs, some of them not finite: same result to the last bit, and Python never raises."""
    rng, machine = np.random.default_rng(7), compiled(function)
    for _ in range(ROUNDS):
        arguments = PURE[function](rng)
        assert repr(machine(*arguments)) == repr(function(*arguments))


@pytest.mark.parametrize("function", STATEFUL, ids=lambda function: function.__name__)
def test_the_compiled_form_changes_a_row_alike(function: Callable[..., Any]) -> None:
    """Called again and again on an array and on a list: same results, same rows, to the last bit."""
    start, draw = STATEFUL[function]
    rng, machine = np.random.default_rng(11), compiled(function)
    plain, array = start(), np.array(start())
    for _ in range(ROUNDS):
        arguments = draw(rng)
        assert repr(machine(array, *arguments)) == repr(function(plain, *arguments))
        assert repr(array.tolist()) == repr(plain)


def test_the_guard_takes_arrays_and_tuples_alike() -> None:
    """The sweep hands arrays, the engine tuples: one answer."""
    rng, machine = np.random.default_rng(13), compiled(guard.guard_core)
    for _ in range(ROUNDS):
        rows = _guard(rng)
        assert repr(machine(*(np.array(row) for row in rows))) == repr(guard.guard_core(*rows))
