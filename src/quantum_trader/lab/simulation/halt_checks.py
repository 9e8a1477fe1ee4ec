"""Checks of halts and limits: nothing opens while one is in force, each names its exit, midnight ends none."""

from __future__ import annotations

from typing import Any

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.core import Engine
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.check_context import CheckContext


class _Overnight(msgspec.Struct, frozen=True, kw_only=True):
    """What must not end because a day does."""

    day: int
    kill: bool
    streak: int
    trades: int
    latched: bool
    cleared: int  # halts that were ended on record
    corrections: int  # of money that was taken for a result, or is no transfer


class HaltChecks:
    """Compares openings with the halts in force."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._halted_since_ns = -1  # an operator's halt; -1: none
        self._cleared = 0
        self._corrections = 0
        self._overnight: _Overnight | None = None

    def begin(self) -> None:
        """A trader starts."""
        self._overnight = None

    def requested(self, action: str) -> None:
        """The trader has taken an operator's request: halted, it may make no opening from now on."""
        if action == "resume":
            self._halted_since_ns = -1
        elif self._halted_since_ns < 0:
            self._halted_since_ns = self._context.exchange.now_ns() + NS_PER_SECOND

    def opening_made(self, order: OrderRequest, engine: Engine) -> None:
        """Check an opening order the engine recorded."""
        why = trader_view.why_no_openings(engine)
        if why:
            self._context.fail("nothing opens while halted", f"{order.symbol} opens, and {why}")
        context, clients = self._context, self._context.exchange.clients
        known_s = max(clients.hedge_since_s, context.disruptions.requests_s, context.disruptions.began_s)
        hedged_s = context.now_s() - known_s
        if clients.hedged and hedged_s > context.bounds.found_s:
            context.fail("nothing opens in hedge mode", f"{order.symbol} opens, {hedged_s:.0f} s after the switch")

    def opening_accepted(self, order: OrderRequest) -> None:
        """Check an opening order the exchange accepted."""
        if 0 <= self._halted_since_ns < order.created_ns:
            self._context.fail("nothing opens while halted", f"{order.client_order_id} was made after the halt")

    def raised(self, data: dict[str, Any]) -> None:
        """A halt was raised."""
        if not data["exit_path"] or not data["reason"]:
            self._context.fail("every halt has an exit", f"{data['kind']}: {data['reason']!r} names none")

    def cleared(self) -> None:
        """A halt was ended."""
        self._cleared += 1

    def adjusted(self, data: dict[str, Any]) -> None:
        """The books' money was set to the venue's; a transfer reported in time changes no loss in percent."""
        self._corrections += data["why"] != "transfer"

    def check_midnight(self, engine: Engine) -> None:
        """A new UTC day ends no halt, no streak, and no loss latch while the losses last."""
        now = _Overnight(
            day=trader_view.engine_now_ns(engine) // NS_PER_DAY, kill=trader_view.is_killed(engine),
            streak=trader_view.losing_streak(engine), trades=trader_view.booked_trades(engine),
            latched=trader_view.is_loss_latched(engine), cleared=self._cleared,
            corrections=self._corrections,
        )
        before, self._overnight = self._overnight, now
        if before is None or before.day == now.day:
            return
        fail = self._context.fail
        if before.kill and not now.kill and self._halted_since_ns >= 0:
            fail("halts survive midnight", "the operator's halt ended with the day")
        if now.streak < before.streak and (now.trades, now.cleared) == (before.trades, before.cleared):
            fail("streaks survive midnight", f"a losing streak of {before.streak} ended with the day")
        rolling = trader_view.loss_24h_pct(engine)
        corrected = before.corrections != now.corrections  # then the loss itself is another one
        limit = trader_view.daily_loss_limit_pct(engine)
        if before.latched and not now.latched and not corrected and rolling <= -limit:
            fail("limits survive midnight", f"the day's loss latch ended with {rolling:.2f} % lost in 24 hours")
