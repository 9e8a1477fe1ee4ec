"""Every argument of the policy's public functions may be anything: an answer, or a refusal in our own words."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.enums import Direction, Level, PerformanceTag, Trend, VolLevel
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.domain.market import MarketState
from quantum_trader.policy import (
    OrchestratorPolicy,
    TradingPolicy,
    create_cost_metrics,
    create_risk_state,
    create_symbol_performance,
)

NOON_NS = 19_783 * NS_PER_DAY + NS_PER_DAY // 2
LOOP: list[Any] = []
LOOP.append(LOOP)


class Odd:
    """An object whose text, truth and equality fail."""

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("no truth")

    def __eq__(self, other: object) -> bool:
        raise TypeError("no equality")


numbers = st.one_of(
    st.integers(), st.integers(-(2**80), 2**80), st.floats(), st.just(10**400), st.just(-(10**400)),
    st.sampled_from([0, -1, math.inf, -math.inf, math.nan, 1e308, -1e308, 5e-324, 2**63, 2**64, True, False]),
    st.builds(np.float64, st.floats()), st.builds(np.int64, st.integers(-(2**63), 2**63 - 1)),
    st.decimals(), st.complex_numbers(), st.fractions(),
)
texts = st.one_of(
    st.text(), st.text(st.characters(categories=["Cs"]), max_size=3),
    st.sampled_from(["", " ", "\x00", "../x", "A" * 9000]),
)
moments = st.one_of(
    st.datetimes(), st.datetimes(timezones=st.just(UTC)),
    st.datetimes(timezones=st.just(timezone(timedelta(hours=14)))),
    st.sampled_from([datetime.min, datetime.max, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]),
)
plain = st.one_of(st.none(), numbers, texts, moments, st.binary(max_size=5), st.just(LOOP), st.just(object()))
anything = st.recursive(
    plain,
    lambda one: st.one_of(
        st.lists(one, max_size=3), st.tuples(one), st.frozensets(texts, max_size=2),
        st.dictionaries(st.one_of(texts, st.integers(), st.none()), one, max_size=3),
        st.builds(np.array, st.just([1.0])), st.sampled_from([Odd, int, Trend]),
    ),
    max_leaves=6,
)
right = {
    "regime_tag": st.sampled_from([*Trend, "TRENDING"]), "vol_level": st.sampled_from([*VolLevel, "HIGH"]),
    "ensemble_quality": st.none() | st.floats(0.0, 1.0), "direction": st.none() | st.sampled_from(Direction),
    "market_age_bars": st.floats(0.0, 100.0),
}
calls = st.sampled_from([
    "update_policy", "get_history", "reset_daily", "note_transfer", "halt", "resume", "save", "load",
    "similarity_score", "for_symbol", "allows", "from_dict",
])


def answered(call: Callable[..., Any], *given_: Any, **named: Any) -> Any:
    """What *call* returns, None for a refusal; any other exception is a finding."""
    try:
        return call(*given_, **named)
    except QuantumTraderError:
        return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_functions_that_make_inputs_take_or_refuse_anything(data: st.DataObject) -> None:
    """Each argument by itself is anything; the others are right."""
    makers: tuple[tuple[Callable[..., Any], dict[str, Any]], ...] = (
        (create_risk_state, {
            "daily_pnl_pct": -1.0, "day_drawdown_pct": -1.0, "losing_streak": 0, "open_trades_count": 0,
            "total_exposure_pct": 0.0, "broken_streak": 0, "wins_since": 0, "equity": 100.0, "ts_ns": 0,
            "current_drawdown_pct": -1.0,
        }),
        (create_symbol_performance, {
            "symbol": "A", "winrate": 0.5, "avg_r": 0.1, "cumulative_pnl": 1.0, "performance_tag": "GOOD", "trades": 3,
            "consecutive_losses": 0,
        }),
        (create_cost_metrics, {
            "spread_level": "LOW", "slippage_level": Level.HIGH, "liquidity_level": None, "funding_rate_estimate": 0.0,
            "cost_in_r": 0.1,
        }),
    )
    maker, arguments = data.draw(st.sampled_from(makers))
    wrong = data.draw(st.lists(st.sampled_from(sorted(arguments)), max_size=3, unique=True))
    answered(maker, **{**arguments, **{name: data.draw(anything) for name in wrong}})


def performance(draw: Callable[[Any], Any]) -> Any:
    """Performances: right ones, none, or anything."""
    one = create_symbol_performance("A", 0.5, 0.1, 1.0, PerformanceTag.BAD, 5, 3)
    return draw(st.one_of(st.just([one]), st.just({"A": one}), st.just(()), anything, st.lists(anything, max_size=2)))


def arguments_of(name: str, draw: Callable[[Any], Any], folder: Path) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of one call, each right or anything."""
    if name == "update_policy":
        risk = create_risk_state(-1.0, None, 0, 0, 0.0, equity=draw(st.floats(0.0, 1e6)))
        cost = create_cost_metrics("LOW", "LOW")
        state = MarketState(trend=Trend.RANGING, direction=None, vol_level=VolLevel.NORMAL)
        named = {
            **{key: draw(st.one_of(value, value, value, anything)) for key, value in right.items()},
            "risk_state": draw(st.one_of(st.just(risk), st.just(risk), anything)),
            "symbol_performance": performance(draw),
            "cost_metrics": draw(st.one_of(st.none(), st.just(cost), st.just({"*": cost}), anything)),
            "markets": draw(st.one_of(st.none(), st.just({"A": state}), anything, st.dictionaries(texts, anything))),
            "now": draw(st.one_of(st.integers(NOON_NS, NOON_NS + NS_PER_DAY), st.none(), anything)),
        }
        return (), named
    if name in ("save", "load"):
        return (draw(st.one_of(st.just(folder / "other.json"), st.just(folder), anything)),), {}
    return (draw(st.one_of(st.just("why"), st.just(1), st.just(NOON_NS), anything)),), {}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_policy_takes_or_refuses_any_arguments_in_any_order(data: st.DataObject) -> None:
    """A refused call changes nothing that is in force, and what is in force can always be told."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state_path = data.draw(st.sampled_from([None, folder / "s"]))
        policy = OrchestratorPolicy(profile_name="STANDARD", state_path=state_path)
        for _ in range(data.draw(st.integers(1, 6))):
            call = data.draw(calls)
            here = policy if hasattr(policy, call) else policy.get_policy()
            positional, named = arguments_of(call, data.draw, folder)
            if call == "save" and not isinstance(positional[0], Path):
                positional = (folder / "x" / repr(positional[0])[:9],) if data.draw(st.booleans()) else (3.5,)
            before = policy.get_policy()
            refused = False
            try:
                getattr(here, call)(*positional, **named)
            except QuantumTraderError as error:
                refused = bool(str(error))
            if refused and call != "load":
                assert policy.get_policy() is before
            told = policy.get_policy()
            assert TradingPolicy.from_dict(told.to_dict()).content_hash
            assert 0.0 <= told.max_risk_pct < math.inf
        resumed_if_halted(policy)
        risk = create_risk_state(0.0, 0.0, 0, 0, 0.0)
        assert policy.update_policy("TRENDING", "NORMAL", risk, now=2**63 - 1) is policy.get_policy()


def resumed_if_halted(policy: OrchestratorPolicy) -> None:
    """Lift a halt, as a person would."""
    if policy.halted:
        policy.resume("test")


@settings(max_examples=200, deadline=None)
@given(anything, anything, anything)
def test_a_policy_is_made_or_refused_from_anything(config: Any, name: Any, directory: Any) -> None:
    """Of config, profile name and profile folder each may be anything."""
    answered(OrchestratorPolicy, config)
    answered(OrchestratorPolicy, None, name)
    answered(OrchestratorPolicy, None, name, profile_directory=directory)
    answered(OrchestratorPolicy, None, "SAFE", profile_directory=directory)
