"""The protection of open positions: brackets, trailing stops, refused stops and closes, and leaving.

Every open position has a stop that rests at the venue. One that cannot have it is closed. A stop is moved by placing
the new one first, and never loosens. This is the only module that moves a stop.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final

from quantum_trader.domain.enums import ExitReason
from quantum_trader.domain.instrument import ceil_to, floor_to
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import OrderUpdate
from quantum_trader.engine.account import Account
from quantum_trader.engine.books import ADOPTED, Position
from quantum_trader.engine.gateway import Command, Gateway, Purpose, Ticket, covers_position
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Wanted
from quantum_trader.engine.ports import Rejection, VenuePosition
from quantum_trader.engine.reconciliation import Reconciler
from quantum_trader.engine.records import Records
from quantum_trader.engine.refusals import FILTERS, ONLY_REDUCE, OTHER_MODE, OTHERS_REDUCE, TOO_LARGE, is_of
from quantum_trader.engine.supervision import Supervise
from quantum_trader.market.jit import compiled
from quantum_trader.risk.exits import added_stop, bracket, is_behind_liquidation, next_stop, timed_out, would_trigger
from quantum_trader.risk.sizing import excess_quantity, liquidation_price, volatility_quantity

_next_stop = compiled(next_stop)
_LOST_STOPS: Final = 3  # stops in a row that may get lost before the position is closed
_TRIES: Final = 3  # of an order that is refused


def reported_liquidation(theirs: VenuePosition) -> float:
    """The liquidation price that the venue reports; 0.0 where it reports none that can be read."""
    price = theirs.liquidation_price
    return price if math.isfinite(price) and price > 0.0 else 0.0


class Protection:
    """Stops, targets and closing orders of every open position."""

    def __init__(
        self, account: Account, gateway: Gateway, instruments: Instruments, records: Records, halts: Halts,
        supervise: Supervise, reconciler: Reconciler, trail_step_atr: float,
    ) -> None:
        """*trail_step_atr*: a trailing stop moves by at least this share of the ATR."""
        self._account, self._books, self._gateway, self._instruments = account, account.books, gateway, instruments
        self._records, self._halts, self._supervise = records, halts, supervise
        self._reconciler = reconciler
        self._trail_step_atr = trail_step_atr
        self._refused_closes: dict[str, int] = {}  # closes of a symbol that were refused in a row

    # ------------------------------------------------------------------ brackets

    def bracket(self, position: Position, price: float, now_ns: int, kept: float = 0.0) -> list[Command]:
        """Make stop and target of *position* from *price* and rest them at the venue; without them it is closed.

        A stop *kept* from before (0.0: none) stays where it is the tighter one.
        """
        if position.exit_reason is not None:  # it is closing: what was added closes too
            return self.close(position, position.exit_reason, now_ns)
        if self._halts.flattening:
            return self.close(position, ExitReason.FLATTEN, now_ns)
        plan = position.plan
        stop, target = bracket(
            plan.sign, price, plan.atr, plan.stop_atr, plan.target_atr, plan.exit_mode,
            self._instruments[position.index].tick_size, self.liquidation_price(position),
        )
        if stop != stop:  # not a number: no bracket is possible
            return self.close(position, ExitReason.UNPROTECTED, now_ns)
        position.first_stop = stop
        position.stop = kept if kept > 0.0 and (kept - stop) * plan.sign > 0.0 else stop
        position.target = target
        return self.rest(position, now_ns)

    def grown(self, position: Position, now_ns: int) -> list[Command]:
        """Make the brackets of a position anew that its opening order has made larger.

        A stop that has moved already never loosens.
        """
        kept = position.stop if position.stop != position.first_stop else 0.0
        return self.bracket(position, position.entry_price, now_ns, kept)

    def added_to(self, position: Position, stop: float, now_ns: int) -> list[Command]:
        """Rest the brackets of a position for the quantity that it has after an addition.

        Its stop is the one that the addition was judged with (0.0: not known), and never looser than before.
        """
        if position.exit_reason is not None or self._halts.flattening:
            return self.bracket(position, position.entry_price, now_ns)  # it closes
        has_moved = position.stop != position.first_stop
        if stop > 0.0:
            tick = self._instruments[position.index].tick_size
            position.stop = added_stop(position.sign, stop, position.stop, tick)
        if not has_moved:
            position.first_stop = position.stop
        if self.is_behind_liquidation(position):
            return self.close(position, ExitReason.UNPROTECTED, now_ns)
        return self.rest(position, now_ns)

    def rest(self, position: Position, now_ns: int) -> list[Command]:
        """Rest stop and target at the venue; while a stop is on its way, its answer leads to the next one."""
        if self._gateway.in_flight(position.symbol, Purpose.STOP):
            return []
        return self._records.outgoing(self._gateway.protect(position, now_ns))

    def liquidation_price(self, position: Position) -> float:
        """The price at which the venue liquidates *position*; 0.0 where it cannot be.

        It is computed from entry, quantity and leverage. Where the venue has reported a price nearer to the entry (a
        margin that funding or another client has reduced), that one.
        """
        computed = float(liquidation_price(
            position.sign, position.entry_price, position.qty, position.plan.leverage,
            self._instruments.tiers[position.index],
        ))
        reported = position.venue_liquidation
        if reported > 0.0 and not (computed > 0.0 and (computed - reported) * position.sign >= 0.0):
            return reported
        return computed

    def is_behind_liquidation(self, position: Position) -> bool:
        """Whether the venue would liquidate *position* before its stop triggers, or next to it."""
        liquidation = self.liquidation_price(position)
        return bool(is_behind_liquidation(position.sign, position.stop, position.entry_price, liquidation))

    def take_liquidation(self, position: Position, theirs: VenuePosition, now_ns: int) -> list[Command]:
        """Take over the liquidation price that the venue reports; a stop that would trigger after it is made anew."""
        reported = position.venue_liquidation = reported_liquidation(theirs)
        late = reported > 0.0 and (position.stop - reported) * position.sign <= 0.0
        if not late or position.exit_reason is not None:
            return []
        mark, sign = theirs.mark_price, position.sign
        worse = position.entry_price
        if mark > 0.0:
            worse = min(worse, mark) if sign > 0 else max(worse, mark)
        return self.bracket(position, worse, now_ns, position.stop)

    # ------------------------------------------------------------------ bars and time

    def manage(
        self, batch: MarketBatch, closes: Any, now_ns: int, wanted: Wanted | None = None, volatility_pct: float = 0.0
    ) -> list[Command]:
        """Trail, time out and verify the protection of every open position that has a bar; *closes* (S,).

        *wanted* by models: a position held by the score is closed where it is not, and reduced where it is too large
        for both the *volatility_pct* in force and the one it was sized for.
        """
        commands: list[Command] = []
        for position in list(self._books.positions.values()):
            if batch.present[position.index] and now_ns > position.entry_ns:  # no bar from before it was there
                commands += self._supervise(
                    "position", position.symbol, now_ns, self._take_bar, position, batch, closes, now_ns, wanted,
                    volatility_pct,
                ) or []
        return commands

    def _take_bar(
        self, position: Position, batch: MarketBatch, closes: Any, now_ns: int, wanted: Wanted | None,
        volatility_pct: float,
    ) -> list[Command]:
        """Take one open position through its bar."""
        index, sign = position.index, position.plan.sign
        position.bars_held += 1
        high, low = float(batch.ohlcv[index, 1]), float(batch.ohlcv[index, 2])
        if position.plan.model == ADOPTED and batch.ts_ns < position.entry_ns:  # the bar began before it was taken over
            high = low = float(closes[index])
        best, worst = (high, low) if sign > 0 else (low, high)
        if (best - position.best) * sign > 0.0:
            position.best = best
        if (worst - position.worst) * sign < 0.0:
            position.worst = worst
        if position.exit_reason is not None:
            return self._records.outgoing(self._gateway.close(position, now_ns))
        if position.plan.by_models and wanted is not None and wanted.targets[index] != sign:
            return self.close(position, ExitReason.SCORE, now_ns)
        if not self._gateway.is_protected(position):
            return self.replace_missing_stop(position, now_ns)
        if timed_out(position.entry_ns, now_ns, position.plan.max_hours):
            return self.close(position, ExitReason.TIMEOUT, now_ns)
        commands = self._trail(position, float(closes[index]), now_ns)
        if position.plan.by_models and wanted is not None and wanted.renewed[index] and position.exit_reason is None:
            target_pct = max(position.plan.volatility_pct, volatility_pct)
            largest = volatility_quantity(
                float(wanted.most[index]), target_pct, self._account.equity, float(closes[index])
            )
            commands += self._reduce_to(position, largest, float(closes[index]), now_ns)
        return commands

    def _reduce_to(self, position: Position, largest: float, price: float, now_ns: int) -> list[Command]:
        """Reduce *position* to the quantity *largest*; one that was not sized for a target stays."""
        return self.reduce_to(position, largest, price, now_ns) if position.plan.volatility_pct > 0.0 else []

    def reduce_to(self, position: Position, largest: float, price: float, now_ns: int) -> list[Command]:
        """Reduce *position* to the quantity *largest*; never gated. Nothing while a reduction is on its way."""
        excess = self.excess(position, largest, price)
        return self._records.outgoing(self._gateway.reduce(position, excess, now_ns)) if excess > 0.0 else []

    def excess(self, position: Position, largest: float, price: float) -> float:
        """What *position* holds beyond the quantity *largest* and :meth:`reduce_to` sends; 0.0: nothing."""
        if not largest > 0.0 or self.is_reducing(position):
            return 0.0
        return float(excess_quantity(position.qty, largest, price, *self._instruments.sizes[position.index]))

    def is_reducing(self, position: Position) -> bool:
        """Whether a reduction of *position* is on its way."""
        return self._gateway.has(position.symbol, Purpose.REDUCE)

    def _trail(self, position: Position, close: float, now_ns: int) -> list[Command]:
        """Move the stop where the exit rules say so; it never loosens."""
        plan = position.plan
        stop = _next_stop(
            plan.sign, position.entry_price, position.first_stop, position.stop, position.best, plan.atr,
            plan.breakeven_r, plan.trail_atr, plan.exit_mode, self._instruments[position.index].tick_size,
            self._trail_step_atr * plan.atr,
        )
        if stop == position.stop:
            return []
        if would_trigger(plan.sign, stop, close):
            return self.close(position, ExitReason.TRAILING_STOP, now_ns)
        position.stop = stop
        if self._gateway.in_flight(position.symbol, Purpose.STOP):
            return []  # its answer leads to this one
        return self._records.outgoing(self._gateway.move_stop(position, now_ns))

    def needs_attention(self, now_ns: int, busy: Collection[str]) -> bool:
        """Whether :meth:`attend` would do anything for a position whose symbol is not *busy*."""
        return any(self._wants(position, now_ns) for position in self._books.positions.values()
                   if position.symbol not in busy)

    def _wants(self, position: Position, now_ns: int) -> bool:
        if position.exit_reason is not None:
            return self._gateway.uncovered(position) > 0.0
        if not self._gateway.is_protected(position):
            return not self._gateway.in_flight(position.symbol, Purpose.STOP)
        return bool(timed_out(position.entry_ns, now_ns, position.plan.max_hours))

    def attend(self, now_ns: int, busy: Collection[str]) -> list[Command]:
        """See to positions that must close and to those without a stop; *busy* symbols are left alone."""
        commands: list[Command] = []
        for position in list(self._books.positions.values()):
            if position.symbol not in busy:
                commands += self._supervise(
                    "position", position.symbol, now_ns, self._attend_one, position, now_ns
                ) or []
        return commands

    def _attend_one(self, position: Position, now_ns: int) -> list[Command]:
        if position.exit_reason is not None:
            return self._records.outgoing(self._gateway.close(position, now_ns))
        if not self._gateway.is_protected(position):
            return self.replace_missing_stop(position, now_ns)
        if timed_out(position.entry_ns, now_ns, position.plan.max_hours):
            return self.close(position, ExitReason.TIMEOUT, now_ns)
        return []

    def replace_missing_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Send another stop for a position without one, a few times; then close it."""
        if self._gateway.in_flight(position.symbol, Purpose.STOP):
            return []
        if position.lost_stops >= _LOST_STOPS or not position.stop > 0.0:
            return self.close(position, ExitReason.UNPROTECTED, now_ns)
        position.lost_stops += 1
        return self._records.outgoing(self._gateway.move_stop(position, now_ns))

    # ------------------------------------------------------------------ leaving

    def close(self, position: Position, reason: ExitReason, now_ns: int) -> list[Command]:
        """Close *position*, and cancel what would open more of it."""
        position.exit_reason = reason
        openings = self._gateway.cancel_openings(now_ns, position.symbol)
        return self._records.outgoing([*openings, *self._gateway.close(position, now_ns)])

    def flatten(self, now_ns: int, reason: ExitReason) -> list[Command]:
        """Cancel what would open and close what is open, until :meth:`Halts.resume`; never gated."""
        self._halts.flattening = True
        commands = self._records.outgoing(self._gateway.cancel_openings(now_ns))
        for position in self._books.positions.values():
            position.exit_reason = reason
            commands += self._records.outgoing(self._gateway.close(position, now_ns))
        return commands

    def reduced(self, symbol: str) -> None:
        """Note that a part of *symbol*'s position was closed: refused closes before it count no more."""
        self._refused_closes.pop(symbol, None)

    # ------------------------------------------------------------------ what the venue answers

    def stop_refused(self, position: Position, update: OrderUpdate) -> list[Command]:
        """Answer a refused stop of *position*, by its reason.

        Filters that have changed: send it again on their grid. Lost: send it again under another id. A price that is
        passed already (-2021), or no older stop: close. Anything else: the older stop stays.
        """
        now_ns, tries_left = update.ts_ns, position.lost_stops < _LOST_STOPS
        if is_of(update.reason, FILTERS) and tries_left:
            position.lost_stops += 1
            self._put_on_grid(position)
            return self._records.outgoing(self._gateway.move_stop(position, now_ns))
        if update.reason.startswith(Rejection.LOST.value) and tries_left:
            position.lost_stops += 1
            return self._records.outgoing(self._gateway.move_stop(position, now_ns))
        resting = self._gateway.resting_stop(position)
        if not resting > 0.0:
            return self.close(position, position.exit_reason or ExitReason.UNPROTECTED, now_ns)
        if update.reason.startswith(Rejection.WOULD_TRIGGER.value):
            return self.close(position, position.exit_reason or ExitReason.TRAILING_STOP, now_ns)
        position.stop = resting
        in_flight = self._gateway.in_flight(position.symbol, Purpose.STOP)
        if position.exit_reason is None and not in_flight and self.is_behind_liquidation(position):
            return self.close(position, ExitReason.UNPROTECTED, now_ns)
        return []

    def stop_acknowledged(self, position: Position, ticket: Ticket, now_ns: int) -> list[Command]:
        """Rest another stop where the position grew, or its stop moved, while that of *ticket* was on its way."""
        if position.exit_reason is not None or self._gateway.in_flight(position.symbol, Purpose.STOP):
            return []
        position.lost_stops = 0
        outgrown = not covers_position(ticket, position.qty) and not ticket.cancelled
        return self.rest(position, now_ns) if outgrown or self._gateway.resting_stop(position) != position.stop else []

    def refused(self, ticket: Ticket, update: OrderUpdate) -> list[Command]:
        """Answer a refused opening, target or close that another try alone does not mend."""
        position = self._books.positions.get(ticket.symbol)
        if ticket.purpose is Purpose.OPEN:
            if is_of(update.reason, ONLY_REDUCE):
                self._halts.hold(f"the venue takes orders that reduce alone: {update.reason}", update.ts_ns)
            elif is_of(update.reason, OTHER_MODE):
                self._halts.hold(
                    f"another client has switched the account to hedge mode ({update.reason}); switch it back to "
                    "one-way mode, then resume", update.ts_ns,
                )
        elif position is not None and ticket.purpose is Purpose.TARGET and is_of(update.reason, FILTERS):
            before = position.target
            self._put_on_grid(position)
            if position.target != before and position.exit_reason is None:
                return self._records.outgoing(self._gateway.rest_target(position, update.ts_ns))
        elif position is not None and ticket.purpose is Purpose.CLOSE:
            return self._close_refused(position, ticket, update)
        elif position is not None and ticket.purpose is Purpose.REDUCE and is_of(update.reason, TOO_LARGE):
            return self._reduce_less(position, ticket.qty, update.ts_ns)
        return []

    def _reduce_less(self, position: Position, refused: float, now_ns: int) -> list[Command]:
        """Reduce by half of the quantity that was too large for one order; what is left waits for the next decision."""
        self._gateway.close_in_parts(position.symbol, refused)
        if position.exit_reason is not None or refused <= self._instruments.sizes[position.index][0]:
            return []
        return self._records.outgoing(self._gateway.reduce(position, refused, now_ns))

    def _close_refused(self, position: Position, ticket: Ticket, update: OrderUpdate) -> list[Command]:
        """Make the next try one that may succeed; after several in a row a person has to look."""
        symbol, reason, now_ns = ticket.symbol, update.reason, update.ts_ns
        if is_of(reason, (Rejection.LOST.value, Rejection.UNAVAILABLE.value)):
            return []
        tries = self._refused_closes[symbol] = self._refused_closes.get(symbol, 0) + 1
        if tries == _TRIES:
            self._halts.hold(f"{symbol}: closing is refused again and again: {reason}", now_ns)
        if is_of(reason, OTHERS_REDUCE):
            foreign = self._reconciler.foreign_orders(symbol)
            return self._records.outgoing([self._gateway.cancel_stray(one, symbol, now_ns) for one in foreign])
        if is_of(reason, TOO_LARGE):
            self._gateway.close_in_parts(symbol, ticket.qty)
        elif not is_of(reason, FILTERS):
            return []
        return self._records.outgoing(self._gateway.close(position, now_ns)) if tries < _TRIES else []

    def _put_on_grid(self, position: Position) -> None:
        """Bring stop and target onto the symbol's tick, each nearer to the price."""
        tick, is_long = self._instruments[position.index].tick_size, position.plan.sign > 0
        position.stop = ceil_to(position.stop, tick) if is_long else floor_to(position.stop, tick)
        if position.target > 0.0:
            position.target = floor_to(position.target, tick) if is_long else ceil_to(position.target, tick)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {"refused_closes": dict(self._refused_closes)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._refused_closes = dict(state["refused_closes"])
