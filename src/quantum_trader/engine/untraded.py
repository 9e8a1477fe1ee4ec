"""Positions in symbols that this program does not trade: told, given a stop at the venue or closed, and never booked.

A person or another client opened them. They have no bars here, so their stop is made from the venue's entry, mark and
liquidation price. Everything follows from the venue's account as it is read: an order whose outcome is unknown shows
in the next comparison, and all orders reduce only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import EXIT_TREND_FOLLOW, TREND_UNKNOWN, VOL_UNKNOWN, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument, ceil_to, floor_to
from quantum_trader.domain.trading import Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.books import closing_side
from quantum_trader.engine.gateway import Command, Gateway, Purpose
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.ports import Rejection, VenueOrder, VenuePosition
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.engine.records import Records
from quantum_trader.engine.refusals import TOO_LARGE, is_of
from quantum_trader.risk.exits import bracket, exit_row

UNKNOWN_ATR: Final = 0.01  # of the price, for a position whose ATR is not known
_TRIES: Final = 3  # stops that may be refused or lost in a row before the position is closed; closes, before a halt
_PARTS: Final = 10  # closing orders of one comparison, where the venue takes no order for the whole position
_PATIENCE_NS: Final = 10 * NS_PER_SECOND  # an order that does not show in the account for this long has failed
_SAME: Final = 1e-9  # of a quantity: less is nothing


class UntradedPosition(msgspec.Struct, kw_only=True):
    """One such position as last read, and what is being done about it."""

    symbol: str
    qty: float  # signed; NaN where the venue's figure cannot be read
    entry_price: float
    mark_price: float
    stop: float = 0.0  # price of the stop that rests at the venue for all of it; 0.0: none does
    order_id: str = ""  # our last order for it
    sent_ns: int = 0  # when it was made; 0: it has ended
    tries: int = 0  # stops in a row that did not come to rest
    closing: bool = False
    order_qty: float = 0.0  # of our last order
    most: float = 0.0  # what one order may hold at most; 0.0: not known
    refusals: int = 0  # closes that were refused in a row
    unraised: str = ""  # why openings must halt, while another difference holds them


class UntradedPositions:
    """Every position of the account in a symbol that is not traded here."""

    def __init__(
        self, instruments: Instruments, gateway: Gateway, halts: Halts, records: Records,
        tell: Callable[[str, str, int], None], *, quietly: bool,
    ) -> None:
        """*tell* (symbol, what, time) records what others did. *quietly*: such a position does not halt openings."""
        self._instruments, self._gateway = instruments, gateway
        self._halts, self._records, self._tell, self._quietly = halts, records, tell, quietly
        self.held: dict[str, UntradedPosition] = {}  # by symbol and side
        self._orders = 0  # made so far

    def on_snapshot(self, snapshot: VenueSnapshot) -> list[Command]:
        """Protect or close each position that *snapshot* shows, and cancel orders of ours whose position is gone."""
        shown = {
            f"{one.symbol}/{'SHORT' if one.qty < 0.0 else 'LONG'}": one for one in snapshot.positions
            if one.symbol not in self._instruments.index
        }
        self.held = {key: known for key, known in self.held.items() if key in shown}
        commands: list[Command] = []
        for key, theirs in sorted(shown.items()):
            known = self._seen(key, theirs, snapshot.ts_ns)
            self._raise(known, snapshot.ts_ns)
            if theirs.symbol not in snapshot.busy:
                commands += self._see_to(known, theirs, snapshot)
        symbols = {one.symbol for one in shown.values()}
        commands += [
            self._gateway.cancel_stray(order.client_order_id, order.symbol, snapshot.ts_ns)
            for order in snapshot.orders
            if order.symbol not in self._instruments.index and order.symbol not in symbols
            and order.symbol not in snapshot.busy and self._gateway.is_own(order.client_order_id)
        ]
        return self._records.outgoing(commands)

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> None:
        """Take the end of an order of ours; the next comparison leads to another one."""
        if not isinstance(event, OrderUpdate) or event.status not in (OrderStatus.REJECTED, OrderStatus.CANCELED):
            return
        for known in self.held.values():
            if known.order_id == event.client_order_id and known.sent_ns:
                self._records.record("order.updated", "", event.ts_ns, event)
                known.sent_ns = 0
                self._ended(known, event)

    def _ended(self, known: UntradedPosition, update: OrderUpdate) -> None:
        """Make the next try one that may succeed; after several refused closes in a row a person has to look."""
        reason, too_large = update.reason, is_of(update.reason, TOO_LARGE)
        if too_large:
            known.most = known.order_qty / 2.0
        if not known.closing:  # it was a stop
            known.closing = too_large or reason.startswith(Rejection.WOULD_TRIGGER.value)
        elif update.status is OrderStatus.REJECTED and not is_of(
            reason, (Rejection.LOST.value, Rejection.UNAVAILABLE.value)
        ):
            known.refusals += 1
            if known.refusals == _TRIES:
                known.unraised = f"{known.symbol}: closing is refused again and again: {reason}"
                self._raise(known, update.ts_ns)

    def _raise(self, known: UntradedPosition, now_ns: int) -> None:
        """Halt openings for *known*, once; while another difference holds them, the next comparison tries again."""
        if known.unraised and not self._halts.held:
            self._halts.hold(known.unraised, now_ns)
            known.unraised = ""

    def _seen(self, key: str, theirs: VenuePosition, now_ns: int) -> UntradedPosition:
        """Note the position as it is now: a new or changed one is reported, a new or larger one halts openings."""
        known, before = self.held.get(key), 0.0
        if known is None:
            known = self.held[key] = UntradedPosition(
                symbol=theirs.symbol, qty=theirs.qty, entry_price=theirs.entry_price, mark_price=theirs.mark_price
            )
        else:
            before, known.qty = known.qty, theirs.qty
            known.entry_price, known.mark_price = theirs.entry_price, theirs.mark_price
            if abs(known.qty) < abs(before):
                known.refusals = 0
        same = known.qty == before or (math.isnan(known.qty) and math.isnan(before))
        if same or known.closing or self._halts.flattening:
            return known
        known.tries = 0
        what = f"holds {theirs.qty:+g}, in a symbol that this run does not trade"
        self._tell(theirs.symbol, what if before == 0.0 else f"changed {before:+g} to {theirs.qty:+g}", now_ns)
        if not self._quietly and not abs(theirs.qty) < abs(before):
            known.unraised = (
                f"{theirs.symbol}: a position of {theirs.qty:+g} that this bot did not open, in a symbol that it does "
                "not trade; it gets a stop at the venue or is closed; check it, then resume"
            )
        return known

    def _see_to(self, known: UntradedPosition, theirs: VenuePosition, snapshot: VenueSnapshot) -> list[Command]:
        """Leave the position where a stop for all of it rests; else send one, or close it."""
        now_ns = snapshot.ts_ns
        if not (theirs.symbol and math.isfinite(theirs.qty)):  # nothing can be sent for it: a person has to look
            known.stop = 0.0
            return []
        stops = [order for order in snapshot.orders if is_stop_for(order, theirs)]
        known.stop = stops[-1].stop_price if stops else 0.0
        waits = now_ns - known.sent_ns < _PATIENCE_NS
        filters = next((one for one in snapshot.filters if one.symbol == theirs.symbol), None)
        if known.closing or self._halts.flattening:
            if known.closing and waits:
                return []
            return self._closes(known, filters, now_ns)
        if stops:
            known.tries = 0
            return self._replaced(stops, theirs, snapshot)
        if waits:
            return []
        stop = _stop_price(theirs, filters) if known.tries < _TRIES else math.nan
        if math.isnan(stop):
            return self._closes(known, filters, now_ns)
        known.tries += 1
        return [self._order(known, filters, Purpose.STOP, abs(known.qty), stop, now_ns)]

    def _closes(self, known: UntradedPosition, filters: Instrument | None, now_ns: int) -> list[Command]:
        """Close the position: with one order, or in parts where the venue refused one for all of it as too large.

        While closes are refused one part is sent, else several.
        """
        known.closing = True
        whole = left = abs(known.qty)
        part = known.most or whole
        if filters is not None and part < whole:
            with suppress(ArithmeticError):
                part = max(floor_to(part, filters.step_size), filters.min_qty)
        commands: list[Command] = []
        for _ in range(1 if known.refusals else _PARTS):
            commands.append(self._order(known, filters, Purpose.CLOSE, min(part, left), 0.0, now_ns))
            left -= part
            if left <= whole * _SAME:
                break
        return commands

    def _replaced(
        self, stops: list[VenueOrder], theirs: VenuePosition, snapshot: VenueSnapshot
    ) -> list[Command]:
        """Cancel the stops of ours that another one for the whole position replaces."""
        side = closing_side(1 if theirs.qty > 0.0 else -1)
        return [
            self._gateway.cancel_stray(order.client_order_id, order.symbol, snapshot.ts_ns)
            for order in snapshot.orders
            if order.symbol == theirs.symbol and order.side is side and order is not stops[-1]
            and self._gateway.is_own(order.client_order_id)
        ]

    def _order(
        self, known: UntradedPosition, filters: Instrument | None, purpose: Purpose, qty: float, price: float,
        now_ns: int,
    ) -> OrderRequest:
        """A reducing order for *qty* of the position."""
        self._orders += 1
        name = f"untraded/{known.symbol}/{self._orders}"
        if filters is not None:
            with suppress(ArithmeticError):  # a quantity beyond the filters: as the venue reports it
                qty = max(ceil_to(qty, filters.step_size), filters.min_qty)
        request = self._gateway.reduce_untraded(
            name, known.symbol, 1 if known.qty > 0.0 else -1, purpose, qty, price, now_ns
        )
        known.order_id, known.order_qty, known.sent_ns = request.client_order_id, qty, now_ns
        return request

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {"orders": self._orders, "held": {k: msgspec.to_builtins(one) for k, one in self.held.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._orders = state["orders"]
        self.held = {key: msgspec.convert(raw, UntradedPosition) for key, raw in state["held"].items()}


def is_stop_for(order: VenueOrder, theirs: VenuePosition) -> bool:
    """Whether *order* is a stop at market for the whole position that triggers before the venue liquidates it.

    A stop-limit (it has a price) may stay unfilled; a trailing stop has no stop price.
    """
    sign, liquidation = 1 if theirs.qty > 0.0 else -1, theirs.liquidation_price
    return (
        order.symbol == theirs.symbol and order.type is OrderType.STOP_MARKET and order.side is closing_side(sign)
        and order.qty >= abs(theirs.qty) * (1.0 - _SAME)
        and order.stop_price > 0.0 and not order.price > 0.0
        and not (liquidation > 0.0 and (order.stop_price - liquidation) * sign <= 0.0)
    )


def _stop_price(theirs: VenuePosition, filters: Instrument | None) -> float:
    """A stop on the losing side of entry and mark, clear of liquidation; NaN where none can be made."""
    if filters is None:
        return math.nan
    sign = 1 if theirs.qty > 0.0 else -1
    entry = theirs.entry_price if theirs.entry_price > 0.0 else theirs.mark_price
    mark = theirs.mark_price if theirs.mark_price > 0.0 else entry
    price = min(entry, mark) if sign > 0 else max(entry, mark)
    stop_atr, target_atr, _, _, _ = exit_row(TREND_UNKNOWN, VOL_UNKNOWN)
    try:
        stop, _ = bracket(
            sign, price, UNKNOWN_ATR * price, stop_atr, target_atr, EXIT_TREND_FOLLOW, filters.tick_size,
            max(theirs.liquidation_price, 0.0),
        )
    except ArithmeticError:
        return math.nan
    return float(stop)
