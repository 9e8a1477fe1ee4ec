"""The booking of fills: they open, add to, reduce and close positions, and end trades. Funding is charged here.

Only fills and funding move the books. An acknowledgement changes what the gateway knows of an order, and no more.
"""

from __future__ import annotations

from typing import Final

from quantum_trader.domain.enums import ExitReason
from quantum_trader.domain.trading import Fill, FundingPayment
from quantum_trader.engine import ids
from quantum_trader.engine.account import Account
from quantum_trader.engine.accounting import counted_loss, weighted_r
from quantum_trader.engine.books import Position, opening_side
from quantum_trader.engine.gateway import Command, Gateway, Purpose, Ticket
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.judging import Judging
from quantum_trader.engine.market import Market
from quantum_trader.engine.opening import Opening
from quantum_trader.engine.opening_orders import Pending
from quantum_trader.engine.protection import Protection
from quantum_trader.engine.records import Records
from quantum_trader.engine.tracing import Tracing
from quantum_trader.risk.governor import governor_trade

_EPSILON: Final = 1e-9  # share of a quantity that rounding may leave


class Fills:
    """Books fills and funding, and has positions protected and trades recorded because of them."""

    def __init__(
        self, account: Account, opening: Opening, protection: Protection, judging: Judging, market: Market,
        gateway: Gateway, halts: Halts, records: Records, tracing: Tracing,
    ) -> None:
        self._account, self._opening, self._protection = account, opening, protection
        self._judging, self._market, self._gateway = judging, market, gateway
        self._halts, self._records, self._tracing = halts, records, tracing

    def pay_funding(self, payment: FundingPayment) -> None:
        """Charge funding on an open position."""
        self._account.books.pay_funding(payment)
        self._records.record("funding.paid", "", payment.ts_ns, payment)

    def is_opening(self, fill: Fill, ticket: Ticket | None) -> bool:
        """Whether *fill* is of an opening order whose plan is known, or adds to the position it opened."""
        if ticket is None or ticket.purpose is not Purpose.OPEN:
            return False
        position = self._account.books.positions.get(fill.symbol)
        if position is not None:
            return fill.side is opening_side(position.sign)
        return fill.symbol in self._opening.orders.pending

    def opened(self, fill: Fill, ticket: Ticket) -> list[Command]:
        """Book an opening fill and put the position's stop at the venue."""
        symbol, books, pending = fill.symbol, self._account.books, self._opening.orders.pending.get(fill.symbol)
        if pending is not None and (ticket.settled or ticket.left <= fill.qty * _EPSILON):
            del self._opening.orders.pending[symbol]
        if symbol in books.positions:
            return self._added(fill, ticket, pending) + self._opening.rest_at_market(pending, ticket, fill.ts_ns)
        assert pending is not None, f"{symbol}: an opening fill without its plan"
        position = books.open_position(symbol, self._opening.index_of(symbol), pending.plan, fill)
        self._tracing.step("execution", "OK", position.plan.trace_id)
        self._records.record("trade.executed", position.plan.trace_id, fill.ts_ns, fill)
        self._records.tally.event(fill.ts_ns, "trade", f"{position.side.value} {symbol} {fill.qty:g} at {fill.price:g}")
        if position.plan.by_models and self._opening.targets.is_stopped_out(position.index):
            return self._protection.close(position, ExitReason.STOP, fill.ts_ns)  # the stop was faster than this order
        commands = self._protection.bracket(position, position.entry_price, fill.ts_ns)
        return commands + self._opening.rest_at_market(pending, ticket, fill.ts_ns)

    def _added(self, fill: Fill, ticket: Ticket, pending: Pending | None) -> list[Command]:
        """Book a fill that makes a position larger: a further one of its opening order, or one of an addition."""
        position = self._account.books.add(fill)
        if ids.entry_intent_id(ticket.intent_id) == ids.entry_intent_id(position.plan.intent_id):
            return self._protection.grown(position, fill.ts_ns)
        if pending is not None:
            position.plan.volatility_pct, position.plan.share = pending.plan.volatility_pct, pending.plan.share
            if ticket.filled <= fill.qty * (1.0 + _EPSILON):  # the first one
                self._tracing.step("execution", "OK", pending.plan.trace_id)
                self._records.record("trade.executed", pending.plan.trace_id, fill.ts_ns, fill)
        stop = pending.added_stop if pending is not None else 0.0
        return self._protection.added_to(position, stop, fill.ts_ns)

    def reduced(self, fill: Fill, purpose: Purpose | None, *, by_others: bool = False) -> list[Command]:
        """Book a closing fill; when it leaves nothing, close the trade and cancel what rests.

        *by_others*: of an order that this program did not send.
        """
        position, flat = self._account.books.reduce(fill)
        self._protection.reduced(fill.symbol)
        was_closing = position.exit_reason is not None
        goes_on = purpose is Purpose.REDUCE and not flat
        if (not was_closing and not goes_on) or fill.liquidation or purpose in (Purpose.STOP, Purpose.TARGET):
            position.exit_reason = _exit_reason(position, fill, purpose, by_others=by_others)
        if flat:
            return self._trade_closed(position, fill)
        if fill.liquidation:  # the venue took a part: the rest is closed at once
            return self._records.outgoing(self._gateway.close(position, fill.ts_ns))
        if purpose is None and not was_closing:
            position.exit_reason = None  # a part was closed by hand: the rest goes on
        return []

    def _trade_closed(self, position: Position, fill: Fill) -> list[Command]:
        account, tally = self._account, self._records.tally
        regime = self._market.regime_name(position.index)
        trade = account.books.close_trade(position, fill, regime, fill.slippage_bps)
        tally.trades.append(trade)
        self._judging.trade_closed(fill.ts_ns)
        if position.exit_reason in (ExitReason.STOP, ExitReason.TRAILING_STOP, ExitReason.LIQUIDATION):
            self._opening.targets.stopped(position)
        permitted = position.plan.permitted_risk
        lost = counted_loss(trade.pnl, permitted)
        account.performance.trade(
            position.index, weighted_r(trade.pnl, trade.r_multiple, permitted), trade.pnl, lost,
            by_score=position.plan.by_score,
        )
        level_before = account.governor_level
        governor_trade(account.governor, trade.pnl, lost)
        self._records.record("trade.closed", trade.trace_id, fill.ts_ns, trade)
        self._halts.governor_moved(level_before, fill.ts_ns)
        self._tracing.trade(trade)
        tally.event(
            fill.ts_ns, "trade",
            f"closed {trade.side.value} {trade.symbol} {trade.exit_reason.value} {trade.r_multiple:+.2f} R",
        )
        return self._records.outgoing(self._gateway.cancel_all(fill.symbol, fill.ts_ns))


def _exit_reason(position: Position, fill: Fill, purpose: Purpose | None, *, by_others: bool) -> ExitReason:
    """Why *fill* reduced *position*."""
    if fill.liquidation:
        return ExitReason.LIQUIDATION
    if purpose is Purpose.TARGET:
        return ExitReason.TAKE_PROFIT
    if purpose is Purpose.STOP:
        return ExitReason.STOP if position.stop == position.first_stop else ExitReason.TRAILING_STOP
    if purpose is Purpose.REDUCE and position.exit_reason is None:
        return ExitReason.SCORE
    return position.exit_reason or (ExitReason.EXTERNAL if by_others else ExitReason.FLATTEN)
