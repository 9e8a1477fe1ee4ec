"""What the engine does when a venue, an operator or its own policy does not do what was hoped for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.journal.records import CheckedSink

from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType, Side
from quantum_trader.domain.trading import CancelRequest, Fill, Intent, OrderRequest, OrderUpdate
from quantum_trader.engine.books import Plan
from quantum_trader.engine.core import Engine
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.opening_orders import Pending
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.instruments import instrument_for
from quantum_trader.policy.profiles import OrchestratorConfig
from quantum_trader.risk.guard import AccountView, Approved, RiskLimits, can_execute

SYMBOL = "BTCUSDT"


def engine() -> Engine:
    """An engine of one symbol that has seen nothing."""
    settings = EngineSettings(profile=OrchestratorConfig.from_profile("STANDARD"))
    return Engine([instrument_for(SYMBOL, 10_000.0)[0]], 60_000_000_000, settings, CheckedSink())


def update(order_id: str, status: OrderStatus, reason: str = "", filled: float = 0.0) -> OrderUpdate:
    """What the venue says of an order."""
    return OrderUpdate(
        client_order_id=order_id, venue_order_id="1", symbol=SYMBOL, status=status, ts_ns=30, reason=reason,
        filled_qty=filled,
    )


def approved_entry() -> tuple[Approved, Plan]:
    """A long of 0.01 that the guard approved, and the plan of its position."""
    intent = Intent(
        intent_id="i1", trace_id="tr1", symbol=SYMBOL, side=Side.LONG, qty=0.01, reduce_only=False,
        reference_price=10_000.0, stop_price=9_850.0, leverage=5.0, created_ns=10, expires_ns=40, source="TEST",
    )
    view = AccountView(
        now_ns=10, equity=10_000.0, used_margin=0.0, open_positions=0, position_qty=0.0, data_ns=10, cost_in_r=0.05
    )
    verdict = can_execute(intent, view, instrument_for(SYMBOL, 10_000.0)[0], RiskLimits())
    assert isinstance(verdict, Approved)
    plan = Plan(
        intent_id="i1", trace_id="tr1", sign=1, leverage=5.0, atr=100.0, stop_atr=1.5, target_atr=3.0, breakeven_r=0.5,
        trail_atr=2.0, max_hours=36.0, exit_mode=0, confidence=0.5, policy_hash="", model="m", regime="",
    )
    return verdict, plan


def opened(trader: Engine, filled: float = 0.01) -> tuple[str, str]:
    """Open *filled* of a long of 0.01 with its stop resting; returns the ids of the opening order and the stop."""
    verdict, plan = approved_entry()
    trader.opening.orders.pending[SYMBOL] = Pending(plan=plan, margin=20.0, expires_ns=40)
    order = orders(trader.gateway.open(verdict))[0]
    trader.on_event(update(order.client_order_id, OrderStatus.NEW))
    commands = trader.on_event(Fill(
        fill_id="f1", client_order_id=order.client_order_id, symbol=SYMBOL, side=OrderSide.BUY, qty=filled,
        price=10_000.0, fee=0.0, liquidity="taker", ts_ns=20,
    ))
    stop = next(o for o in orders(commands) if o.type is OrderType.STOP_MARKET)
    trader.on_event(update(stop.client_order_id, OrderStatus.NEW))
    return order.client_order_id, stop.client_order_id


def orders(commands: list[Command]) -> list[OrderRequest]:
    """The orders among *commands*."""
    return [command for command in commands if isinstance(command, OrderRequest)]


def moved_stop(trader: Engine) -> str:
    """Send a tighter stop; returns its id."""
    position = trader.account.books.positions[SYMBOL]
    position.stop = 9_950.0
    return orders(trader.gateway.move_stop(position, 25))[0].client_order_id


def test_a_moved_stop_that_the_price_has_passed_closes_the_position() -> None:
    """-2021 for the new stop: a market close goes out, while the old stop still rests."""
    trader = engine()
    opened(trader)
    commands = trader.on_event(update(moved_stop(trader), OrderStatus.REJECTED, "-2021 would trigger"))
    assert [(o.type, o.reduce_only) for o in orders(commands)] == [(OrderType.MARKET, True)]
    assert trader.account.books.positions[SYMBOL].exit_reason is ExitReason.TRAILING_STOP


def test_a_moved_stop_refused_for_another_reason_leaves_the_old_one_in_the_books() -> None:
    """The books name the price that rests at the venue, so that the next bar tries to move it again."""
    trader = engine()
    opened(trader)
    before = trader.account.books.positions[SYMBOL].first_stop
    assert trader.on_event(update(moved_stop(trader), OrderStatus.REJECTED, "-1102 bad")) == []
    assert trader.account.books.positions[SYMBOL].stop == before
    assert trader.account.books.positions[SYMBOL].exit_reason is None


def test_a_refused_first_stop_closes_the_position() -> None:
    """No stop at the venue: the position may not stay."""
    trader = engine()
    _, stop = opened(trader)
    trader.gateway._tickets[stop].resting = False
    commands = trader.on_event(update(stop, OrderStatus.REJECTED, "-1102 bad"))
    assert [o.type for o in orders(commands)] == [OrderType.MARKET]
    assert trader.account.books.positions[SYMBOL].exit_reason is ExitReason.UNPROTECTED


def test_the_remainder_of_a_partly_filled_entry_goes_when_its_position_is_gone() -> None:
    """A stop that fills first cancels what the opening order has left, which could only open the trade again."""
    trader = engine()
    opening, stop = opened(trader, filled=0.004)
    commands = trader.on_event(Fill(
        fill_id="f2", client_order_id=stop, symbol=SYMBOL, side=OrderSide.SELL, qty=0.004, price=9_850.0, fee=0.0,
        liquidity="taker", ts_ns=30,
    ))
    cancelled = {command.client_order_id for command in commands if isinstance(command, CancelRequest)}
    assert opening in cancelled
    trader.on_event(update(opening, OrderStatus.CANCELED, filled=0.004))
    assert not trader.opening.orders.pending


@pytest.mark.parametrize(("now_ns", "expected"), [(40, 0), (41, 1)])
def test_the_remainder_of_an_entry_expires_with_its_intent(now_ns: int, expected: int) -> None:
    """Up to the intent's expiry the rest may fill; after it, it is cancelled."""
    trader = engine()
    opened(trader, filled=0.004)
    assert len(trader.opening.orders.expire(now_ns)) == expected


def test_a_liquidation_is_called_one_whatever_was_on_its_way() -> None:
    """A position that was being closed for another reason and was liquidated first says LIQUIDATION."""
    trader = engine()
    opened(trader)
    trader.account.books.positions[SYMBOL].exit_reason = ExitReason.TIMEOUT
    trader.on_event(Fill(
        fill_id="f2", client_order_id="autoclose-1", symbol=SYMBOL, side=OrderSide.SELL, qty=0.01, price=8_000.0,
        fee=0.0, liquidity="taker", ts_ns=30, liquidation=True,
    ))
    assert trader.records.tally.trades[0].exit_reason is ExitReason.LIQUIDATION


def test_resume_ends_only_what_it_ended() -> None:
    """Outside EMERGENCY a resume leaves the governor's halt open; with no equity it does not end an EMERGENCY."""
    trader = engine()
    trader.account.governor[0] = 1.0
    trader.halts.governor_moved(0, 10)
    trader.resume("looks fine", 20)
    assert trader.records.tally.halts[0].cleared_ns == 0
    trader.account.governor[0] = 3.0
    trader.halts.governor_moved(1, 30)
    trader.account.equity = -1.0
    trader.resume("looks fine", 40)
    assert all(halt.cleared_ns == 0 for halt in trader.records.tally.halts)
    trader.account.equity = 9_000.0
    trader.resume("money came", 50)
    assert all(halt.cleared_ns == 50 for halt in trader.records.tally.halts)
    assert trader.account.governor_level == 0


def test_a_policy_that_fails_allows_nothing_and_stops_nothing(monkeypatch: Any) -> None:
    """The stage's exception is counted, and the policy in force then allows no new trades."""
    from quantum_trader.engine import stage
    from quantum_trader.policy import layout as pol

    def broken(*_: Any) -> int:
        raise RuntimeError("policy is broken")

    trader = engine()
    trader.policy.slots.out[:, pol.OUT_ALLOW] = 1.0
    monkeypatch.setattr(stage, "policy_stage", broken)
    trader.policy.step(60_000_000_000, trader.account.stage_row(0), trader.market.kernel.out)
    assert trader.shield.failures == 1
    assert not trader.policy.slots.out[:, pol.OUT_ALLOW].any()


def test_an_entry_that_met_no_price_is_cancelled_at_the_next_close() -> None:
    """The symbol stopped trading after the order was sent: the price it was sized for is gone, with any expiry."""
    trader = engine()
    opening, _ = opened(trader, filled=0.004)
    del trader.account.books.positions[SYMBOL]
    commands = trader.opening.orders.expire(40)
    assert [c.client_order_id for c in commands if isinstance(c, CancelRequest)] == [opening]
