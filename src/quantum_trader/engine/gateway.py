"""The gateway: the only source of orders.

An opening order needs an ``Approved`` from the risk room. A client order id is derived from its intent, and an intent
is claimed before its order exists, so that one intent makes one order; a claim is permanent.
Reducing orders need no approval and are never gated. The gateway is pure: it returns commands, a driver sends them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.instrument import ceil_to, floor_to
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest, OrderUpdate
from quantum_trader.engine import ids
from quantum_trader.engine.books import Position, closing_side, opening_side
from quantum_trader.engine.instruments import Instruments
from quantum_trader.risk.guard import Approved

Command = OrderRequest | CancelRequest

_EPSILON: Final = 1e-9


class Purpose(str, Enum):
    """The purpose of an order."""

    OPEN = "OPEN"
    STOP = "STOP"
    TARGET = "TARGET"
    CLOSE = "CLOSE"
    REDUCE = "REDUCE"  # a part of a position that goes on


class Ticket(msgspec.Struct, kw_only=True):
    """State of one order that may still be open at the venue."""

    client_order_id: str
    purpose: Purpose
    symbol: str
    intent_id: str
    qty: float
    price: float = 0.0
    created_ns: int = 0
    resting: bool = False
    filled: float = 0.0  # quantity of the fills booked
    cancelled: bool = False  # a cancel was requested
    final_qty: float = msgspec.field(default=-1.0, name="told")  # filled at the final status; -1.0 before it

    @property
    def left(self) -> float:
        """The unfilled quantity, in base units."""
        return self.qty - self.filled

    @property
    def over(self) -> bool:
        """Whether the order has a final status; fills of it may still arrive."""
        return self.final_qty >= 0.0

    @property
    def rests_post_only(self) -> bool:
        """Whether it is a post-only entry that may still fill: an opening order with a price."""
        return self.purpose is Purpose.OPEN and self.price > 0.0 and not self.over

    @property
    def settled(self) -> bool:
        """Whether the order has a final status and all its fills are booked."""
        return self.over and self.filled >= self.final_qty * (1.0 - _EPSILON)


def covers_position(ticket: Ticket, held: float) -> bool:
    """Whether an order is for at least the *held* quantity of its position."""
    return ticket.purpose is not Purpose.STOP or ticket.qty >= held * (1.0 - _EPSILON)


def _cancel(ticket: Ticket, now_ns: int) -> Command:
    """The request to cancel an order of ours."""
    ticket.cancelled = True
    return CancelRequest(client_order_id=ticket.client_order_id, symbol=ticket.symbol, created_ns=now_ns)


class Gateway:
    """Claims intents, makes orders and keeps a ticket for each order that may be open."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self.namespace = ""  # of a live session; keeps ids of two sessions of one account apart
        self.process = ""  # of a live process; keeps ids apart from those a crashed process did not record
        self._order_limits: dict[str, float] = {}  # by symbol, after the venue refused a larger order
        self._marks: dict[str, None] = {}  # id marks of all processes of this session
        self._claimed: dict[str, int] = {}  # intent id -> orders made for it
        self._tickets: dict[str, Ticket] = {}
        self._by_symbol: dict[str, list[Ticket]] = {}  # tickets by symbol, oldest first

    def take_over(self, process: str) -> None:
        """Set the process that new order ids name; orders of earlier processes of the session remain own orders."""
        self.process = process
        self._marks[self.mark] = None

    @property
    def mark(self) -> str:
        """The mark after the prefix of order ids, which distinguishes processes; empty in a replay."""
        if not self.namespace:
            return ""
        return ids.process_mark(self.namespace, self.process)

    def is_own(self, order_id: str) -> bool:
        """Whether a process of this session made the order, recorded or not."""
        return ids.mark_of(order_id) in self._marks

    def open(self, approved: Approved, resting_price: float = 0.0) -> list[Command]:
        """Return the order of an approved opening intent; empty when the intent was claimed before.

        It goes at market, or rests post-only at *resting_price* where that is given.
        """
        if not isinstance(approved, Approved):
            raise StateError(f"the gateway takes Approved intents only, not {type(approved).__name__}")
        intent = approved.intent
        if intent.intent_id in self._claimed:
            return []
        return [self._opening(approved, resting_price)]

    def protect(self, position: Position, now_ns: int) -> list[Command]:
        """Place the position's stop, and its target if any, at the venue; the old ones are cancelled afterwards."""
        commands: list[Command] = [self._resting(position, Purpose.STOP, position.stop, now_ns)]
        if position.target > 0.0:
            commands.append(self._resting(position, Purpose.TARGET, position.target, now_ns))
        return commands

    def rest_target(self, position: Position, now_ns: int) -> list[Command]:
        """Place the position's target only."""
        return [self._resting(position, Purpose.TARGET, position.target, now_ns)]

    def move_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Place the new stop; the one it replaces is cancelled when the new one is acknowledged."""
        return [self._resting(position, Purpose.STOP, position.stop, now_ns)]

    def reduce_untraded(
        self, name: str, symbol: str, sign: int, purpose: Purpose, qty: float, price: float, now_ns: int
    ) -> OrderRequest:
        """Return a stop or a close, by *purpose*, for a position of *sign* in a symbol that is not traded here.

        It has no ticket: the account as it is read shows what became of it. *name* is its own, so that no two orders
        have one id.
        """
        order_id = ids.client_order_id(f"{self.namespace}{self.process}{name}", purpose.value, 0, self.mark)
        return OrderRequest(
            client_order_id=order_id, intent_id=name, trace_id=name, symbol=symbol, side=closing_side(sign),
            type=OrderType.STOP_MARKET if purpose is Purpose.STOP else OrderType.MARKET, qty=qty, created_ns=now_ns,
            stop_price=price, reduce_only=True,
        )

    def close_in_parts(self, symbol: str, refused: float) -> None:
        """Limit each closing or reducing order of *symbol* to half of the quantity that the venue *refused*."""
        step = self._instruments[self._instruments.index[symbol]].step_size
        self._order_limits[symbol] = max(floor_to(refused / 2.0, step), step)

    def close(self, position: Position, now_ns: int) -> list[Command]:
        """Return a reduce-only market order for the uncovered quantity of *position*, up to the largest order size."""
        rest = min(self.uncovered(position), self._order_limits.get(position.symbol, math.inf))
        return [self._reducing(position, Purpose.CLOSE, OrderType.MARKET, 0.0, now_ns, rest)] if rest > 0.0 else []

    def reduce(self, position: Position, qty: float, now_ns: int) -> list[Command]:
        """Return a reduce-only market order for *qty* of *position*, up to the largest order size; the rest goes on."""
        qty = min(qty, self._order_limits.get(position.symbol, math.inf))
        return [self._reducing(position, Purpose.REDUCE, OrderType.MARKET, 0.0, now_ns, qty)]

    def uncovered(self, position: Position) -> float:
        """The quantity of *position* without a pending order that reduces it; 0.0 when such orders cover all of it."""
        closes = self._find(position.symbol, Purpose.CLOSE) + self._find(position.symbol, Purpose.REDUCE)
        if not closes:
            return position.qty
        rest = position.qty - ordered_sum(ticket.qty - ticket.filled for ticket in closes)
        return round(rest, 10) if rest > position.qty * _EPSILON else 0.0

    def on_update(self, update: OrderUpdate, held: float = 0.0) -> tuple[Ticket | None, list[Command]]:
        """Apply a venue's status report of an order; an acknowledged stop or target cancels its predecessors.

        A stop for less than the *held* quantity, or than that and what an opening order at market may still fill,
        cancels none: the next one will.

        Reports may arrive late or twice: an order with a final status never becomes open again. Its ticket stays until
        the fills counted in the final status are booked; fills and status may arrive in either order.
        """
        ticket = self._tickets.get(update.client_order_id)
        if ticket is None:
            return None, []
        commands: list[Command] = []
        if update.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED):  # either shows an open order
            if not (ticket.resting or ticket.over):
                ticket.resting = True
                commands = self._retire(ticket, held, update.ts_ns)
        else:
            ticket.resting = False
            ticket.final_qty = max(ticket.final_qty, update.filled_qty)
            if ticket.settled:
                self._drop(ticket)
        return ticket, commands

    def on_fill(self, fill: Fill) -> Ticket | None:
        """Apply one fill; return the ticket of its order, which is removed once it is settled."""
        ticket = self._tickets.get(fill.client_order_id)
        if ticket is not None:
            ticket.filled += fill.qty
            if ticket.settled:
                self._drop(ticket)
        return ticket

    def _to_come(self, symbol: str, *, soon: bool = False) -> float:
        """What the opening orders of *symbol* may still add to its position, fills that were not heard of included.

        *soon*: without post-only entries, which may fill in many parts over hours.
        """
        return ordered_sum(
            max(0.0, ticket.final_qty - ticket.filled) if ticket.over else ticket.left
            for ticket in self._by_symbol.get(symbol, ())
            if ticket.purpose is Purpose.OPEN and not (soon and ticket.rests_post_only)
        )

    def _retire(self, acknowledged: Ticket, held: float, now_ns: int) -> list[Command]:
        """Cancel the resting stops or targets that the newest of them replaces, now that one is *acknowledged*."""
        symbol, purpose = acknowledged.symbol, acknowledged.purpose
        if purpose not in (Purpose.STOP, Purpose.TARGET):
            return []
        resting = [one for one in self._find(symbol, purpose) if one.resting and not one.cancelled]  # oldest first
        if not (resting and covers_position(resting[-1], held + self._to_come(symbol, soon=True))):
            return []
        return [_cancel(old, now_ns) for old in resting[:-1]]

    def in_flight(self, symbol: str, purpose: Purpose) -> bool:
        """Whether an order of *purpose* for *symbol* was made and has no report from the venue yet."""
        return any(not ticket.resting for ticket in self._find(symbol, purpose))

    def ticket(self, client_order_id: str) -> Ticket | None:
        """Return the ticket of an order that may be open; None when there is none."""
        return self._tickets.get(client_order_id)

    def cancel_all(self, symbol: str, now_ns: int) -> list[Command]:
        """Cancel every order of *symbol*, which has no position, the remainder of its opening order included.

        Its stops stay while an opening order may still fill: what that opens has no other stop at first. They are
        replaced by the stop of the new position, or cancelled by :meth:`cancel_kept_stops`.
        """
        grows = self._to_come(symbol) > 0.0
        return [
            _cancel(ticket, now_ns)
            for ticket in self._by_symbol.get(symbol, ())
            if not (ticket.over or ticket.filled >= ticket.qty * (1.0 - _EPSILON))
            and not (grows and ticket.purpose is Purpose.STOP)
        ]

    def cancel_kept_stops(self, symbol: str, now_ns: int) -> list[Command]:
        """Cancel the stops of *symbol*, which has no position, unless an opening order may still fill."""
        if self._to_come(symbol) > 0.0:
            return []
        return [_cancel(stop, now_ns) for stop in self._find(symbol, Purpose.STOP) if not stop.cancelled]

    def cancel_stale(self, positions: Mapping[str, Position], now_ns: int) -> list[Command]:
        """Cancel again orders that should be closed: those without a position, and replaced stops and targets.

        While an opening order may still fill, every stop of its symbol stays. A post-only one may fill for hours: it
        keeps the stops only where there is no position, as replaced ones would pile up beside one.
        """
        newest: dict[tuple[str, Purpose], Ticket] = {}
        for ticket in self._tickets.values():
            if ticket.resting:
                key, position = (ticket.symbol, ticket.purpose), positions.get(ticket.symbol)
                held = position.qty if position is not None else 0.0
                if key not in newest or covers_position(ticket, held) or not covers_position(newest[key], held):
                    newest[key] = ticket
        return [
            _cancel(ticket, now_ns)
            for ticket in self._tickets.values()
            if ticket.resting and ticket.purpose in (Purpose.STOP, Purpose.TARGET)
            and (ticket.symbol not in positions or newest[ticket.symbol, ticket.purpose] is not ticket)
            and not (
                ticket.purpose is Purpose.STOP and self._to_come(ticket.symbol, soon=ticket.symbol in positions) > 0.0
            )
        ]

    def cancel_stray(self, order_id: str, symbol: str, now_ns: int) -> Command:
        """Cancel an order with our prefix that has no ticket."""
        return CancelRequest(client_order_id=order_id, symbol=symbol, created_ns=now_ns)

    def cancel_openings(self, now_ns: int, symbol: str = "") -> list[Command]:
        """Cancel every opening order that may be open, or only those of *symbol*."""
        return [
            _cancel(ticket, now_ns)
            for ticket in self._tickets.values()
            if ticket.purpose is Purpose.OPEN and not ticket.over and symbol in ("", ticket.symbol)
        ]

    def entries_at_rest(self) -> list[str]:
        """The symbols of the acknowledged post-only entries that may still fill."""
        return [
            ticket.symbol for ticket in self._tickets.values() if ticket.rests_post_only and ticket.resting
        ]

    def has(self, symbol: str, purpose: Purpose) -> bool:
        """Whether an order of *purpose* may be open for *symbol*."""
        return bool(self._find(symbol, purpose))

    def tickets(self) -> list[Ticket]:
        """Every order that may be open or has unbooked fills, oldest first."""
        return list(self._tickets.values())

    def is_protected(self, position: Position) -> bool:
        """Whether an acknowledged stop for at least the whole position rests at the venue."""
        return self.resting_stop(position) > 0.0

    def resting_stop(self, position: Position) -> float:
        """Price of the newest acknowledged stop for at least the whole position; 0.0 when there is none.

        A stop that is being cancelled is none: one that is larger than its successor would hide that this is too small.
        Neither is one that was kept from an earlier position of the symbol.
        """
        price = 0.0
        for ticket in self._by_symbol.get(position.symbol, ()):
            if (
                ticket.purpose is Purpose.STOP and ticket.resting and not (ticket.over or ticket.cancelled)
                and ticket.intent_id == position.plan.intent_id and covers_position(ticket, position.qty)
            ):
                price = ticket.price
        return price

    def is_claimed(self, intent_id: str) -> bool:
        """Whether an order was made for this intent."""
        return intent_id in self._claimed

    def state(self) -> dict[str, Any]:
        """Claims and tickets, as plain values."""
        return {
            "namespace": self.namespace, "process": self.process, "marks": list(self._marks),
            "claimed": dict(self._claimed), "most": dict(self._order_limits),
            "tickets": [msgspec.to_builtins(ticket) for ticket in self._tickets.values()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.namespace, self.process = state["namespace"], state["process"]
        self._marks = dict.fromkeys(state["marks"])
        self._order_limits = dict(state["most"])
        self._claimed = dict(state["claimed"])
        tickets = [msgspec.convert(raw, Ticket) for raw in state["tickets"]]
        self._tickets, self._by_symbol = {}, {}
        for ticket in tickets:
            self._keep(ticket)

    def _find(self, symbol: str, purpose: Purpose) -> list[Ticket]:
        return [t for t in self._by_symbol.get(symbol, ()) if t.purpose is purpose and not t.over]

    def _keep(self, ticket: Ticket) -> None:
        self._tickets[ticket.client_order_id] = ticket
        self._by_symbol.setdefault(ticket.symbol, []).append(ticket)

    def _drop(self, ticket: Ticket) -> None:
        del self._tickets[ticket.client_order_id]
        left = self._by_symbol[ticket.symbol]
        left.remove(ticket)
        if not left:
            del self._by_symbol[ticket.symbol]

    def _claim(
        self, intent_id: str, purpose: Purpose, symbol: str, qty: float, price: float, now_ns: int
    ) -> str:
        attempt = self._claimed.get(intent_id, 0)
        self._claimed[intent_id] = attempt + 1
        mark = self.mark
        self._marks[mark] = None
        order_id = ids.client_order_id(f"{self.namespace}{self.process}{intent_id}", purpose.value, attempt, mark)
        self._keep(Ticket(
            client_order_id=order_id, purpose=purpose, symbol=symbol, intent_id=intent_id, qty=qty, price=price,
            created_ns=now_ns,
        ))
        return order_id

    def _opening(self, approved: Approved, price: float) -> OrderRequest:
        """The opening order of an approved intent: at market, or resting at *price* where that is not 0.0."""
        intent, qty, now_ns = approved.intent, approved.qty, approved.intent.created_ns
        return OrderRequest(
            client_order_id=self._claim(intent.intent_id, Purpose.OPEN, intent.symbol, qty, price, now_ns),
            intent_id=intent.intent_id, trace_id=intent.trace_id, symbol=intent.symbol,
            side=opening_side(intent.side.sign), type=OrderType.LIMIT_MAKER if price > 0.0 else OrderType.MARKET,
            qty=qty, created_ns=now_ns, price=price, leverage=intent.leverage,
        )

    def _resting(self, position: Position, purpose: Purpose, price: float, now_ns: int) -> OrderRequest:
        kind = OrderType.STOP_MARKET if purpose is Purpose.STOP else OrderType.TAKE_PROFIT_MARKET
        return self._reducing(position, purpose, kind, price, now_ns)

    def _reducing(
        self, position: Position, purpose: Purpose, kind: OrderType, price: float, now_ns: int, qty: float = 0.0
    ) -> OrderRequest:
        plan, qty = position.plan, qty if qty > 0.0 else position.qty
        if grid := self._instruments.new_grid(position.symbol):  # round up: reduce-only orders cannot open a position
            qty = max(ceil_to(qty, grid[0]), grid[1])
        return OrderRequest(
            client_order_id=self._claim(plan.intent_id, purpose, position.symbol, qty, price, now_ns),
            intent_id=plan.intent_id, trace_id=plan.trace_id, symbol=position.symbol, side=closing_side(plan.sign),
            type=kind, qty=qty, created_ns=now_ns, stop_price=price, reduce_only=True,
        )
