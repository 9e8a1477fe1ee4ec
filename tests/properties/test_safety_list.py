"""What must always hold (spec 2, section 5): the lines that the risk room can hold, one test each.

Line 2: one function makes brackets. 9: reducing is never gated. 10: unknown makes safer, one bad tick halts nothing.
11: limits survive restarts and midnight. 12: a gate's inputs cannot be rewritten. 15: every halt has a way out.
"""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantum_trader
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.enums import EXIT_CODES, GovernorLevel, Side, Trend, VolLevel
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.trading import Intent
from quantum_trader.risk import (
    AccountView,
    Approved,
    Halt,
    Health,
    Reason,
    Refused,
    RiskGuard,
    RiskLimits,
    SafetyGovernor,
    can_execute,
)
from quantum_trader.risk.exits import bracket, exit_row
from quantum_trader.risk.halts import TICK_HALTED_SINCE, empty_ticks, note_tick

NOW = 20_500 * NS_PER_DAY + 8 * NS_PER_HOUR
PACKAGE = Path(quantum_trader.__file__).parent
TIER = LeverageTier(max_notional=1e6, maintenance_margin_rate=0.005, max_leverage=100.0, maintenance_amount=0.0)
ETH = Instrument(
    symbol="ETHUSDT", tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=20.0, tiers=(TIER,)
)
INTENT = Intent(
    intent_id="i", trace_id="t", symbol="ETHUSDT", side=Side.LONG, qty=1.0, reduce_only=False, reference_price=3000.0,
    stop_price=2940.0, leverage=5.0, created_ns=NOW, expires_ns=NOW + 30 * NS_PER_SECOND, source="ensemble",
)
VIEW = AccountView(
    now_ns=NOW, equity=10_000.0, used_margin=0.0, open_positions=0, position_qty=0.0, data_ns=NOW, cost_in_r=0.05
)
UNKNOWN = (math.nan, math.inf, -math.inf)


def _worst_governor() -> SafetyGovernor:
    governor = SafetyGovernor()
    governor.update(100.0, NOW)
    governor.update(1.0, NOW)
    return governor


# 2. One function makes brackets, from the fill price.


@given(
    st.sampled_from([1, -1]), st.floats(0.5, 100_000.0), st.floats(1e-4, 0.2), st.sampled_from(range(len(Trend))),
    st.sampled_from(range(len(VolLevel))), st.sampled_from(range(len(EXIT_CODES))), st.floats(0.02, 0.95),
)
def test_line_2_brackets_lie_around_the_fill_on_the_tick_inside_liquidation(
    sign: int, fill: float, atr_ratio: float, trend: int, vol: int, mode: int, room: float
) -> None:
    """Long: liquidation < SL < entry < TP, short mirrored; if that cannot be, no bracket and the caller closes."""
    stop_atr, target_atr, *_ = exit_row(trend, vol)
    liquidation = fill * (1.0 - sign * room)
    stop, target = bracket(sign, fill, fill * atr_ratio, stop_atr, target_atr, mode, ETH.tick_size, liquidation)
    assert math.isnan(stop) == math.isnan(target)
    if not math.isnan(stop):
        assert sign * liquidation < sign * stop < sign * fill
        assert target == 0.0 or sign * target > sign * fill
        for price in (stop, target):
            assert math.isclose(price * 100.0, round(price * 100.0), abs_tol=1e-6, rel_tol=1e-12)


def test_line_2_there_is_one_function_that_makes_brackets() -> None:
    """Nothing outside the risk room defines another, and the room defines one."""
    found = [
        (path.relative_to(PACKAGE).as_posix(), node.name)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name in ("bracket", "make_bracket", "brackets", "make_brackets")
    ]
    assert found == [("risk/exits.py", "bracket")]


# 9. Reducing, closing and cancelling are never gated and survive a halt.


@given(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True),
    st.integers(0, 3), st.booleans(), st.booleans(), st.booleans(), st.integers(-(10**18), 10**18),
)
def test_line_9_reducing_is_never_gated(
    equity: float, margin: float, level: int, connected: bool, allowed: bool, policy: bool, age_ns: int
) -> None:
    """Kill switch on, losses latched, rate used up, everything unknown: a reducing intent passes whole."""
    guard = RiskGuard(RiskLimits(max_orders_per_hour=0))
    guard.kill("drill", "test", NOW)
    guard.note_equity(NOW - NS_PER_HOUR, 100.0)
    guard.note_equity(NOW, 1.0)
    view = msgspec.structs.replace(
        VIEW, equity=equity, used_margin=margin, governor=level, connected=connected, symbol_allowed=allowed,
        policy_allows=policy, data_ns=NOW - age_ns, position_qty=3.0, cost_in_r=math.nan,
    )
    closing = msgspec.structs.replace(INTENT, reduce_only=True, stop_price=0.0, expires_ns=0, leverage=0.0)
    assert isinstance(guard.can_execute(INTENT, view, ETH), Refused)
    decision = guard.can_execute(closing, view, ETH)
    assert isinstance(decision, Approved)
    assert decision.qty == 1.0
    assert decision.clipped_by is None


# 10. Unknown, stale or non-finite inputs make the system safer, never normal; one bad tick halts nothing.


@pytest.mark.parametrize("value", UNKNOWN)
@pytest.mark.parametrize(
    ("owner", "field"),
    [(INTENT, key) for key in ("qty", "reference_price", "stop_price", "leverage")]
    + [(VIEW, key) for key in ("equity", "used_margin", "cost_in_r")],
)
def test_line_10_an_unknown_number_refuses(owner: Any, field: str, value: float) -> None:
    """Each number of intent and account, unknown, stops an opening that passes otherwise."""
    changed = msgspec.structs.replace(owner, **{field: value})
    intent, view = (changed, VIEW) if owner is INTENT else (INTENT, changed)
    assert isinstance(can_execute(INTENT, VIEW, ETH, RiskLimits()), Approved)
    decision = can_execute(intent, view, ETH, RiskLimits())
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.NOT_FINITE


@pytest.mark.parametrize("age_s", [121, 10**6, -2])
def test_line_10_stale_data_refuses(age_s: int) -> None:
    """Old data, or data from the future, opens nothing."""
    view = msgspec.structs.replace(VIEW, data_ns=NOW - age_s * NS_PER_SECOND)
    decision = can_execute(INTENT, view, ETH, RiskLimits())
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.STALE_DATA


@pytest.mark.parametrize("field", ["lag_s", "clock_offset_ms", "queue_fill"])
def test_line_10_unknown_health_is_not_normal(field: str) -> None:
    """A reading that is not there raises the governor."""
    governor = SafetyGovernor()
    governor.update(100.0, NOW, Health(**{field: math.nan}))
    assert governor.level is not GovernorLevel.NORMAL
    assert governor.factors < (1.0, 1.0, 1.0)


def test_line_10_one_bad_tick_halts_nothing_three_in_a_row_do() -> None:
    """For a symbol's bars and for the account's equity alike."""
    ticks, governor = empty_ticks(), SafetyGovernor()
    governor.update(100.0, NOW)
    halted = []
    for good in (False, True, False, False, True, False, False, False):
        note_tick(ticks, good, NOW // NS_PER_SECOND)
        governor.update(100.0 if good else math.nan, NOW)
        halted.append((ticks[TICK_HALTED_SINCE] >= 0.0, governor.halt() is not None))
    assert halted == [(False, False)] * 7 + [(True, True)]


# 11. Loss limits, streaks, halts and rate limits survive restarts and midnight.


def _restart(part: Any, fresh: Any, now_ns: int) -> Any:
    assert fresh.load_state(json.loads(json.dumps(part.state())), now_ns)
    return fresh


def test_line_11_everything_survives_a_restart_after_midnight() -> None:
    """Losses, orders, streak, peak and emergency of 23:50 are all there at 00:10 (bad bars: the live tests)."""
    late, early = 20_500 * NS_PER_DAY - 600 * NS_PER_SECOND, 20_500 * NS_PER_DAY + 600 * NS_PER_SECOND
    limits = RiskLimits(max_orders_per_hour=1)
    guard, losing, ended = RiskGuard(limits), SafetyGovernor(), SafetyGovernor()
    for ts_ns, equity in ((late - 2 * NS_PER_HOUR, 10_000.0), (late, 9_000.0)):
        guard.note_equity(ts_ns, equity)
        ended.update(equity, ts_ns)
    guard.note_order(late)
    for _ in range(4):
        losing.note_trade(-1.0, late)

    guard, losing = _restart(guard, RiskGuard(limits), early), _restart(losing, SafetyGovernor(), early)
    ended = _restart(ended, SafetyGovernor(), early)
    guard.note_equity(early, 9_000.0)
    ended.update(10_000.0, early)
    losing.update(10_000.0, early)
    losing.note_trade(-1.0, early)
    assert [halt.kind for halt in guard.halts()] == ["daily_loss"]
    assert (losing.losses, losing.level) == (5, GovernorLevel.CAUTIOUS)
    assert (ended.level, ended.peak) == (GovernorLevel.EMERGENCY, 10_000.0)

    rate_only = RiskGuard(limits)
    rate_only.note_order(late)
    rate_only = _restart(rate_only, RiskGuard(limits), early)
    view = msgspec.structs.replace(VIEW, now_ns=early, data_ns=early)
    decision = rate_only.can_execute(INTENT, view, ETH)
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.ORDER_RATE


def test_line_11_a_state_that_cannot_be_read_is_not_an_empty_past() -> None:
    """Guard and governor start closed, not fresh."""
    guard, governor = RiskGuard(), SafetyGovernor()
    assert not guard.load_state({"version": 1}, NOW)
    assert not governor.load_state({"version": 1}, NOW)
    assert isinstance(guard.can_execute(INTENT, VIEW, ETH), Refused)
    assert governor.level is GovernorLevel.EMERGENCY


# 12. A gate's inputs cannot be rewritten.


def test_line_12_what_the_gate_saw_cannot_be_changed_and_nobody_else_approves() -> None:
    """Intent, view, limits and the approval are frozen; an approval cannot be made by hand."""
    limits = RiskLimits()
    approved = can_execute(INTENT, VIEW, ETH, limits)
    assert isinstance(approved, Approved)
    assert approved.intent is INTENT
    for value, field in ((INTENT, "qty"), (VIEW, "equity"), (limits, "max_leverage"), (approved, "qty")):
        with pytest.raises(AttributeError):
            setattr(value, field, 1e9)
    with pytest.raises(TypeError):
        Approved(None, INTENT, 1e9, None)


def test_line_12_the_policy_tightens_the_guard_and_never_loosens_it() -> None:
    """Limits the policy claims above the guard's own change nothing."""
    limits = RiskLimits(max_risk_pct=0.5)
    loose = msgspec.structs.replace(
        VIEW, policy_risk_pct=99.0, policy_positions=999.0, policy_exposure_pct=99.0, policy_cost_in_r=9.0
    )
    one, other = can_execute(INTENT, VIEW, ETH, limits), can_execute(INTENT, loose, ETH, limits)
    assert isinstance(one, Approved)
    assert isinstance(other, Approved)
    assert one.qty == other.qty == pytest.approx(0.833)


# 15. Every halt has an exit path, an owner and an expiry or a command.


def test_line_15_every_halt_of_the_room_has_an_owner_and_a_way_out() -> None:
    """Halt by command, daily loss and emergency; and a halt without a way out cannot be made."""
    guard = RiskGuard()
    guard.kill("drill", "operator", NOW)
    guard.note_equity(NOW, 100.0)
    guard.note_equity(NOW + 1, 50.0)
    emergency = _worst_governor().halt()
    assert emergency is not None
    halts = [*guard.halts(), emergency]
    assert sorted(halt.kind for halt in halts) == ["daily_loss", "governor", "operator"]
    for halt in halts:
        assert halt.owner
        assert halt.reason
        assert (halt.command or halt.expires_ns > halt.since_ns)
    with pytest.raises(InputError, match="way out"):
        Halt(kind="STUCK", reason="none", owner="nobody", since_ns=NOW)


def test_line_15_every_halt_of_the_room_does_end() -> None:
    """Each by the way out it names: release, the next clean day, resume."""
    guard, governor = RiskGuard(), _worst_governor()
    guard.kill("drill", "operator", NOW)
    guard.release("over", NOW)
    for hours, equity in ((0, 100.0), (1, 50.0), (40, 50.0), (64, 50.0)):
        guard.note_equity(NOW + hours * NS_PER_HOUR, equity)
    governor.resume("over", NOW)
    assert guard.halts() == []
    assert governor.halt() is None
