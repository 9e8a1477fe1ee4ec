"""The guard: each limit holds for all numbers, refusals state the reason, and reducing is never blocked."""

from __future__ import annotations

import copy
import json
import math
import pickle
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, Side
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.instrument import Instrument, LeverageTier, tier_rows
from quantum_trader.domain.trading import Intent
from quantum_trader.risk import account_column, intent_column, limit_column
from quantum_trader.risk.governor import level_factors
from quantum_trader.risk.guard import (
    REASON_CODES,
    AccountView,
    Approved,
    Reason,
    Refused,
    RiskGuard,
    RiskLimits,
    can_execute,
    create_intent,
    guard_core,
    tighter,
)
from quantum_trader.risk.sizing import leverage_cap, liquidation_gap_pct

NOW = 20_000 * NS_PER_DAY + 12 * NS_PER_HOUR
TIERS = tuple(
    LeverageTier(max_notional=n, maintenance_margin_rate=r, max_leverage=lev, maintenance_amount=a)
    for n, r, lev, a in ((50_000.0, 0.004, 125.0, 0.0), (500_000.0, 0.005, 100.0, 50.0))
)
BTC = Instrument(symbol="BTCUSDT", tick_size=0.1, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=TIERS)
ROWS = tier_rows(BTC)
LIMITS = RiskLimits()


def _intent(**changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "intent_id": "i-1", "trace_id": "t-1", "symbol": "BTCUSDT", "side": Side.LONG, "qty": 10.0,
        "reduce_only": False, "reference_price": 100.0, "stop_price": 97.0, "leverage": 5.0, "created_ns": NOW,
        "expires_ns": NOW + 30 * NS_PER_SECOND, "source": "test",
    }
    return Intent(**{**fields, **changes})


def _view(**changes: Any) -> AccountView:
    fields: dict[str, Any] = {
        "now_ns": NOW, "equity": 10_000.0, "used_margin": 0.0, "open_positions": 0, "position_qty": 0.0,
        "data_ns": NOW, "cost_in_r": 0.05,
    }
    return AccountView(**{**fields, **changes})


def _decide(
    intent: Intent | None = None, view: AccountView | None = None, limits: RiskLimits = LIMITS
) -> Approved | Refused:
    return can_execute(intent or _intent(), view or _view(), BTC, limits)


def _reason(decision: Approved | Refused) -> Reason | None:
    return decision.reason if isinstance(decision, Refused) else None


def test_an_ordinary_intent_is_approved_whole() -> None:
    """Within every limit nothing is clipped."""
    decision = _decide()
    assert isinstance(decision, Approved)
    assert (decision.qty, decision.clipped_by) == (10.0, None)


REFUSALS: list[tuple[Reason, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (Reason.KILL_SWITCH, {}, {"kill": True}, {}),
    (Reason.DISCONNECTED, {}, {"connected": False}, {}),
    (Reason.GOVERNOR, {}, {"governor": GOV_EMERGENCY}, {}),
    (Reason.GOVERNOR, {}, {"governor": -1}, {}),
    (Reason.SYMBOL, {}, {"symbol_allowed": False}, {}),
    (Reason.SYMBOL_HALTED, {}, {"symbol_halted": True}, {}),
    (Reason.POLICY_GATE, {}, {"policy_allows": False}, {}),
    (Reason.EXPIRED, {"expires_ns": NOW - 1}, {}, {}),
    (Reason.NOT_FINITE, {"qty": math.nan}, {}, {}),
    (Reason.INVALID, {"qty": -1.0}, {}, {}),
    (Reason.INVALID, {"leverage": 0.0}, {}, {}),
    (Reason.INVALID, {}, {"equity": 0.0}, {}),
    (Reason.INVALID, {}, {"used_margin": -1.0}, {}),
    (Reason.NO_STOP, {"stop_price": 0.0}, {}, {}),
    (Reason.NO_STOP, {"stop_price": 103.0}, {}, {}),
    (Reason.NO_STOP, {"side": Side.SHORT}, {}, {}),
    (Reason.RISK_PER_TRADE, {}, {}, {"max_risk_pct": 0.0}),
    (Reason.RISK_PER_TRADE, {}, {"policy_risk_pct": 0.0}, {}),
    (Reason.NOTIONAL, {}, {}, {"max_notional_usdt": 4.0}),
    (Reason.NOTIONAL, {}, {}, {"max_notional_pct": 0.01}),
    (Reason.LEVERAGE, {"leverage": 11.0}, {}, {}),
    (Reason.LEVERAGE, {"leverage": 6.0}, {"governor": 2}, {}),
    (Reason.LIQUIDATION, {"leverage": 10.0, "stop_price": 91.0}, {}, {}),
    (Reason.POSITIONS, {}, {"open_positions": 10}, {}),
    (Reason.POSITIONS, {}, {"open_positions": 3, "policy_positions": 3.0}, {}),
    (Reason.EXPOSURE, {}, {"used_margin": 2_000.0}, {}),
    (Reason.EXPOSURE, {}, {"used_margin": 1_000.0, "policy_exposure_pct": 10.0}, {}),
    (Reason.EXPOSURE, {}, {"used_margin": 1_700.0, "governor": 1}, {}),
    (Reason.DAILY_LOSS, {}, {"rolling_pnl_pct": -5.0}, {}),
    (Reason.DAILY_LOSS, {}, {"midnight_pnl_pct": -5.0}, {}),
    (Reason.DAILY_LOSS, {}, {"loss_latched": True}, {}),
    (Reason.ORDER_RATE, {}, {"orders_last_hour": 60.0}, {}),
    (Reason.STALE_DATA, {}, {"data_ns": NOW - 121 * NS_PER_SECOND}, {}),
    (Reason.STALE_DATA, {}, {"data_ns": NOW + 2 * NS_PER_SECOND}, {}),
    (Reason.COST, {}, {"cost_in_r": 0.31}, {}),
    (Reason.COST, {}, {"cost_in_r": 0.16, "policy_cost_in_r": 0.15}, {}),
    (Reason.COST, {}, {"cost_in_r": -0.1}, {}),
    (Reason.MINIMUM, {"qty": 0.04}, {}, {}),
    (Reason.MINIMUM, {"qty": 0.0005}, {}, {}),
]


@pytest.mark.parametrize(("reason", "intent", "view", "limits"), REFUSALS)
def test_each_refusal_has_its_reason_its_figures_and_a_sentence(
    reason: Reason, intent: dict[str, Any], view: dict[str, Any], limits: dict[str, Any]
) -> None:
    """One thing wrong refuses for that thing."""
    decision = _decide(_intent(**intent), _view(**view), RiskLimits(**limits))
    assert isinstance(decision, Refused)
    assert decision.reason is reason
    assert decision.sentence
    assert "{" not in decision.sentence
    assert math.isnan(decision.observed) == (reason is Reason.NOT_FINITE)
    assert math.isfinite(decision.limit)


@pytest.mark.parametrize(("reason", "intent", "view", "limits"), REFUSALS)
def test_reducing_passes_whatever_refuses_an_opening(
    reason: Reason, intent: dict[str, Any], view: dict[str, Any], limits: dict[str, Any]
) -> None:
    """The same broken state lets a reducing intent through; an unusable quantity means the whole position."""
    reducing = _intent(**{**intent, "reduce_only": True})
    decision = _decide(reducing, _view(**{**view, "position_qty": -7.0}), RiskLimits(**limits))
    assert isinstance(decision, Approved)
    assert decision.qty == (reducing.qty if reducing.qty > 0.0 else 7.0)


def test_every_reason_is_reached_by_a_test() -> None:
    """No reason is dead, and each code is its own place."""
    assert {case[0] for case in REFUSALS} == set(Reason)
    assert len(set(REASON_CODES)) == len(REASON_CODES) == len(Reason) + 1


def test_checks_run_in_the_order_of_the_reasons() -> None:
    """With several things wrong the first in the list is named."""
    order = list(Reason)
    for first, later in pairwise(REFUSALS):
        if first[0] is later[0] or {first[0], later[0]} & {Reason.NOT_FINITE, Reason.MINIMUM, Reason.SYMBOL}:
            continue
        intent, view = {**later[1], **first[1]}, {**later[2], **first[2]}
        decision = _decide(_intent(**intent), _view(**view), RiskLimits(**{**later[3], **first[3]}))
        assert _reason(decision) is first[0]
        assert order.index(first[0]) < order.index(later[0])


INTENT_ROW = (1.0, 10.0, 100.0, 97.0, 5.0, 0.001, 0.001, 5.0, 0.05, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
ACCOUNT_ROW = (0.0, 1.0, 0.0, 1.0, 10_000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", range(intent_column.SIZE + account_column.SIZE + limit_column.SIZE))
def test_no_number_may_be_anything_but_finite(index: int, bad: float) -> None:
    """Each input of each row, replaced by NaN or an infinity, refuses."""
    rows = [list(INTENT_ROW), list(ACCOUNT_ROW), list(LIMITS.row())]
    assert guard_core(*rows, ROWS)[0] == 0
    for row in rows:
        if index < len(row):
            row[index] = bad
            break
        index -= len(row)
    code, qty, _, _ = guard_core(*rows, ROWS)
    assert code != 0
    assert qty == 0.0


@pytest.mark.parametrize("field", ["max_notional", "maintenance_margin_rate", "max_leverage", "maintenance_amount"])
def test_a_venue_table_with_a_nan_refuses(field: str) -> None:
    """An unknown tier is no tier."""
    tier = msgspec.structs.replace(TIERS[0], **{field: math.nan})
    decision = can_execute(_intent(), _view(), msgspec.structs.replace(BTC, tiers=(tier,)), LIMITS)
    assert _reason(decision) in (Reason.LEVERAGE, Reason.LIQUIDATION)


@pytest.mark.parametrize(
    "field", ["policy_risk_pct", "policy_positions", "policy_exposure_pct", "policy_cost_in_r", "cost_in_r", "equity"]
)
def test_a_policy_or_account_that_says_nan_refuses(field: str) -> None:
    """Not known is not unlimited."""
    decision = _decide(view=_view(**{field: math.nan}))
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.NOT_FINITE
    assert "not a finite number" in decision.sentence


def test_tighter_is_the_smaller_and_keeps_nan() -> None:
    """The policy can only tighten."""
    assert (tighter(1.0, 2.0), tighter(3.0, 2.0), tighter(math.inf, 2.0)) == (1.0, 2.0, 2.0)
    assert math.isnan(tighter(math.nan, 2.0))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Intent, AccountView, RiskLimits]:
    """Anything from careful to reckless, with every limit within reach."""
    sign = draw(st.sampled_from([1, -1]))
    price = draw(st.floats(1.0, 1000.0))
    intent = _intent(
        side=Side.LONG if sign > 0 else Side.SHORT, qty=draw(st.floats(0.0005, 500.0)), reference_price=price,
        stop_price=price * (1.0 - sign * draw(st.floats(0.001, 0.2))), leverage=float(draw(st.integers(1, 30))),
        expires_ns=NOW + draw(st.integers(-1, 5)),
    )
    view = _view(
        equity=draw(st.floats(100.0, 100_000.0)), used_margin=draw(st.floats(0.0, 5_000.0)),
        open_positions=draw(st.integers(0, 6)), position_qty=draw(st.sampled_from([0.0, 1.0])),
        data_ns=NOW - draw(st.integers(-3, 300)) * NS_PER_SECOND, cost_in_r=draw(st.floats(0.0, 0.4)),
        governor=draw(st.integers(0, 3)), rolling_pnl_pct=draw(st.floats(-8.0, 3.0)),
        midnight_pnl_pct=draw(st.floats(-8.0, 3.0)), orders_last_hour=float(draw(st.integers(0, 20))),
        policy_risk_pct=draw(st.floats(0.0, 3.0)), policy_exposure_pct=draw(st.floats(1.0, 30.0)),
    )
    limits = RiskLimits(
        max_risk_pct=draw(st.floats(0.1, 3.0)), max_notional_pct=draw(st.floats(10.0, 500.0)),
        max_notional_usdt=draw(st.floats(100.0, 1e6)), max_leverage=draw(st.floats(1.0, 25.0)), max_positions=5,
        max_exposure_pct=draw(st.floats(5.0, 50.0)), liquidation_buffer_pct=draw(st.floats(0.0, 5.0)),
        max_orders_per_hour=15,
    )
    return intent, view, limits


@given(cases())
def test_what_is_approved_is_inside_every_limit(case: tuple[Intent, AccountView, RiskLimits]) -> None:
    """Risk, notional, leverage, liquidation, positions, exposure, losses, rate, age and cost, all at once."""
    intent, view, limits = case
    decision = can_execute(intent, view, BTC, limits)
    if isinstance(decision, Refused):
        return
    size, _, exposure = level_factors(view.governor)
    qty, price, slack = decision.qty, intent.reference_price, 1.0 + 1e-8
    grid = BTC.step_size * 1e-8
    assert 0.0 < qty <= intent.qty * slack + grid
    risk_pct = (qty - grid) * abs(price - intent.stop_price) / view.equity * 100.0
    assert risk_pct <= min(limits.max_risk_pct, view.policy_risk_pct) * size * slack
    notional = (qty - grid) * price
    assert notional <= min(limits.max_notional_usdt, limits.max_notional_pct / 100.0 * view.equity) * slack
    assert intent.leverage <= leverage_cap(limits.max_leverage, view.governor, qty * price, ROWS)
    gap = liquidation_gap_pct(intent.side.sign, price, intent.stop_price, qty, intent.leverage, ROWS)
    assert gap >= limits.liquidation_buffer_pct - 1e-6
    margin_pct = (view.used_margin + notional / intent.leverage) / view.equity * 100.0
    assert margin_pct <= min(limits.max_exposure_pct, view.policy_exposure_pct) * exposure * slack
    assert view.open_positions + (view.position_qty == 0.0) <= limits.max_positions
    assert min(view.rolling_pnl_pct, view.midnight_pnl_pct) > -limits.daily_loss_pct
    assert view.orders_last_hour < limits.max_orders_per_hour
    assert view.now_ns <= intent.expires_ns
    assert -1.0 <= (view.now_ns - view.data_ns) / NS_PER_SECOND <= limits.max_data_age_s
    assert view.cost_in_r <= limits.max_cost_r * slack
    assert view.governor < GOV_EMERGENCY
    assert qty >= BTC.min_qty
    assert qty * price >= BTC.min_notional
    assert (decision.clipped_by is not None) or qty == pytest.approx(intent.qty, abs=BTC.step_size)


@given(cases())
def test_reducing_is_never_blocked(case: tuple[Intent, AccountView, RiskLimits]) -> None:
    """In any state, through the pure function and through a guard with its kill switch on."""
    intent, view, limits = case
    reducing = msgspec.structs.replace(intent, reduce_only=True, stop_price=0.0)
    guard = RiskGuard(limits)
    guard.kill("test", "tester", NOW)
    for decision in (can_execute(reducing, view, BTC, limits), guard.can_execute(reducing, view, BTC)):
        assert isinstance(decision, Approved)
        assert decision.qty == intent.qty


@given(cases())
def test_a_worse_governor_never_allows_more(case: tuple[Intent, AccountView, RiskLimits]) -> None:
    """Level by level the approved quantity shrinks or is refused."""
    intent, view, limits = case
    sizes = []
    for level in range(4):
        decision = can_execute(intent, msgspec.structs.replace(view, governor=level), BTC, limits)
        sizes.append(decision.qty if isinstance(decision, Approved) else 0.0)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0.0


@pytest.mark.parametrize(
    ("intent", "view", "limits", "qty", "reason"),
    [
        ({"qty": 100.0}, {}, {"max_exposure_pct": 90.0}, 66.666, Reason.RISK_PER_TRADE),  # 200 USDT over 3
        ({"qty": 100.0}, {}, {"max_exposure_pct": 90.0, "max_notional_usdt": 5_000.0}, 50.0, Reason.NOTIONAL),
        ({"qty": 60.0}, {"used_margin": 1_000.0}, {}, 50.0, Reason.EXPOSURE),  # 1,000 USDT margin at leverage 5
        ({"qty": 60.0}, {"used_margin": 1_000.0, "governor": 1, "policy_risk_pct": 9.0}, {"max_leverage": 10.0},
         35.0, Reason.EXPOSURE),  # 17 % of 10,000 less 1,000
        ({"qty": 60.0}, {"governor": 2}, {}, 33.333, Reason.RISK_PER_TRADE),  # half of 200 USDT over 3
    ],
)
def test_size_limits_clip(
    intent: dict[str, Any], view: dict[str, Any], limits: dict[str, Any], qty: float, reason: Reason
) -> None:
    """Clipped, not refused, and it says by what."""
    decision = _decide(_intent(**intent), _view(**view), RiskLimits(**limits))
    assert isinstance(decision, Approved)
    assert (decision.qty, decision.clipped_by) == (qty, reason)


@pytest.mark.parametrize(
    "view",
    [{"open_positions": 9}, {"open_positions": 10, "position_qty": 1.0}, {"orders_last_hour": 59.0},
     {"data_ns": NOW - 120 * NS_PER_SECOND}, {"data_ns": NOW + NS_PER_SECOND}, {"cost_in_r": 0.30},
     {"rolling_pnl_pct": -4.99}, {"used_margin": 1_800.0}],
)
def test_just_inside_a_limit_is_approved_whole(view: dict[str, Any]) -> None:
    """The last position, order, second and R still count as inside; adding to a position opens no new one."""
    decision = _decide(view=_view(**view))
    assert isinstance(decision, Approved)
    assert (decision.qty, decision.clipped_by) == (10.0, None)


def test_only_the_guard_makes_an_approved() -> None:
    """Neither by hand, nor by subclass, copy or pickle; and it cannot be changed."""
    approved = _decide()
    assert isinstance(approved, Approved)
    with pytest.raises(TypeError, match="guard alone"):
        Approved(object(), _intent(), 1e9, None)
    with pytest.raises(TypeError, match="subclassed"):
        type("Forged", (Approved,), {})
    for forge in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="ask the guard"):
            forge(approved)
    with pytest.raises(AttributeError, match="frozen"):
        approved.qty = 1e9
    with pytest.raises(AttributeError, match="frozen"):
        del approved.qty
    assert "i-1" in repr(approved)


@pytest.mark.parametrize("key", RiskLimits.__struct_fields__)
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 1e12, "5", True, None])
def test_limits_are_validated_by_name(key: str, value: object) -> None:
    """A limit that is no number or out of range stops the start."""
    with pytest.raises(ConfigError, match=key):
        RiskLimits(**{key: value})  # type: ignore[arg-type]


def test_a_daily_loss_limit_of_zero_is_refused() -> None:
    """With such a limit no trade would ever be allowed."""
    with pytest.raises(ConfigError, match="daily_loss_pct"):
        RiskLimits(daily_loss_pct=0.0)


def _restarted(guard: RiskGuard, now_ns: int) -> RiskGuard:
    again = RiskGuard(guard.limits)
    assert again.load_state(json.loads(json.dumps(guard.state())), now_ns)
    assert repr(again.state()) == repr(guard.state())
    return again


def test_the_kill_switch_survives_a_restart_and_is_released_with_a_reason() -> None:
    """It is a halt with owner and command; opening is refused until released."""
    guard = RiskGuard()
    guard.kill("fat finger", "operator", NOW)
    guard = _restarted(guard, NOW + 1)
    (halt,) = guard.halts()
    assert (halt.kind, halt.owner, halt.reason) == ("operator", "operator", "fat finger")
    assert _reason(guard.can_execute(_intent(), _view(), BTC)) is Reason.KILL_SWITCH
    with pytest.raises(InputError, match="reason"):
        guard.release("", NOW + 2)
    with pytest.raises(InputError, match="before"):
        guard.release("checked", NOW - 1)
    assert guard.release("checked", NOW + 2) == halt
    assert isinstance(guard.can_execute(_intent(), _view(), BTC), Approved)
    with pytest.raises(StateError, match="nothing to release"):
        guard.release("again", NOW + 3)


def test_daily_loss_survives_midnight_and_restart() -> None:
    """-6 % at 23:00: refused after a restart at 01:00 the next day, though midnight reset the day."""
    guard = RiskGuard()
    start = 20_000 * NS_PER_DAY
    assert guard.note_equity(start + 10 * NS_PER_HOUR, 10_000.0) is None
    halt = guard.note_equity(start + 23 * NS_PER_HOUR, 9_400.0)
    assert halt is not None
    assert halt.kind == "daily_loss"
    assert halt.expires_ns == start + NS_PER_DAY
    assert guard.note_equity(start + 23 * NS_PER_HOUR + 1, 9_400.0) is None
    guard = _restarted(guard, start + 25 * NS_PER_HOUR)
    now = start + 25 * NS_PER_HOUR
    view = _view(now_ns=now, data_ns=now, equity=9_400.0)
    intent = _intent(expires_ns=now)
    assert _reason(guard.can_execute(intent, view, BTC)) is Reason.DAILY_LOSS
    assert [halt.kind for halt in guard.halts()] == ["daily_loss"]


def test_the_order_rate_survives_a_restart() -> None:
    """Two an hour: the third is refused, also by a guard that was started anew; an hour later it passes."""
    guard = RiskGuard(RiskLimits(max_orders_per_hour=2))
    for _ in range(2):
        assert isinstance(guard.can_execute(_intent(), _view(), BTC), Approved)
        guard.note_order(NOW)
    assert _reason(_restarted(guard, NOW).can_execute(_intent(), _view(), BTC)) is Reason.ORDER_RATE
    later = NOW + 62 * NS_PER_MINUTE
    decision = guard.can_execute(_intent(expires_ns=later), _view(now_ns=later, data_ns=later), BTC)
    assert isinstance(decision, Approved)


def test_the_guard_does_not_believe_the_view_where_it_knows_better() -> None:
    """A view that claims no orders and no losses does not hide the guard's own."""
    guard = RiskGuard(RiskLimits(max_orders_per_hour=1))
    guard.note_order(NOW)
    assert _reason(guard.can_execute(_intent(), _view(orders_last_hour=0.0), BTC)) is Reason.ORDER_RATE
    assert _reason(guard.can_execute(_intent(), _view(kill=True), BTC)) is Reason.KILL_SWITCH


GOOD = RiskGuard().state()


@pytest.mark.parametrize(
    "state",
    [
        None, "x", {}, {**GOOD, "version": 2}, {**GOOD, "losses": [1.0]}, {**GOOD, "losses": None},
        {**GOOD, "losses": [None, *GOOD["losses"][1:]]}, {**GOOD, "losses": [*GOOD["losses"][:-1], None]},
        {**GOOD, "rate": [None, *GOOD["rate"][1:]]}, {**GOOD, "rate": [1e30, *GOOD["rate"][1:]]},
        {**GOOD, "rate": [0.5, *GOOD["rate"][1:]]}, {**GOOD, "rate": [*GOOD["rate"][:-1], -5.0]},
        {**GOOD, "kill_switch": "on"}, {**GOOD, "kill_switch": {"kind": "K"}},
        {k: v for k, v in GOOD.items() if k != "kill_switch"},
    ],
)
def test_a_damaged_state_turns_the_kill_switch_on(state: object) -> None:
    """What cannot be read is not taken for an empty past."""
    guard = RiskGuard()
    assert not guard.load_state(state, NOW)
    assert _reason(guard.can_execute(_intent(), _view(), BTC)) is Reason.KILL_SWITCH
    assert guard.release("rebuilt", NOW + 1).owner == "guard"


def test_a_risk_given_as_a_fraction_is_refused() -> None:
    """0.008 for 0.8 % names the key and the unit."""
    with pytest.raises(ConfigError, match=r"max_risk_pct = 0.008: is percent"):
        RiskLimits(max_risk_pct=0.008)


def test_three_lines_guard_another_bot_and_its_state_is_restored() -> None:
    """1 % of 10,000 USDT over a stop 1,000 below: 0.1; after a restart the one order of the hour is still counted."""
    guard = RiskGuard(RiskLimits(max_risk_pct=1.0, max_orders_per_hour=1, max_exposure_pct=90.0))
    intent = create_intent("BTCUSDT", "LONG", 5.0, price=60_000.0, stop=59_000.0, leverage=5.0, now_ns=NOW)
    decision = guard.can_execute(intent, _view(), BTC)
    assert isinstance(decision, Approved)
    assert (decision.qty, decision.clipped_by) == (0.1, Reason.RISK_PER_TRADE)
    guard.note_order(NOW)
    assert _reason(_restarted(guard, NOW).can_execute(intent, _view(), BTC)) is Reason.ORDER_RATE
    closing = create_intent("BTCUSDT", "LONG", 0.1, price=60_000.0, now_ns=NOW, reduce_only=True)
    assert isinstance(guard.can_execute(closing, _view(position_qty=0.1), BTC), Approved)


def test_an_intent_needs_a_side_that_there_is() -> None:
    """BUY is no side of a position."""
    with pytest.raises(InputError, match="LONG, SHORT"):
        create_intent("BTCUSDT", "BUY", 1.0, price=1.0, now_ns=NOW)


@pytest.mark.parametrize("amount", [-600.0, 600.0])
def test_money_paid_in_or_out_is_no_loss_and_hides_none(amount: float) -> None:
    """A deposit or withdrawal of 6 % raises no halt; a loss of 5 % of the equity after it raises one."""
    guard = RiskGuard()
    guard.note_equity(NOW - NS_PER_HOUR, 10_000.0)
    guard.note_transfer(amount)
    assert guard.note_equity(NOW, 10_000.0 + amount) is None
    assert isinstance(guard.can_execute(_intent(), _view(equity=10_000.0 + amount), BTC), Approved)
    halt = guard.note_equity(NOW + 1, (10_000.0 + amount) * 0.95)
    assert halt is not None
    with pytest.raises(InputError, match="amount"):
        guard.note_transfer(math.nan)
