"""Positions and orders that the venue knows better, and what to do with a fill that no order explains.

A replay is given :class:`RefuseUnexplained`: its venue is its own, so such a fill is a fault. A live engine is given
:class:`Adopting`, which takes such positions over, protects them, and brings the books to the venue's truth.
"""

from __future__ import annotations

import math
from typing import Any, Final, Protocol

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import ExitReason, OrderSide
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine import ids
from quantum_trader.engine.account import Account
from quantum_trader.engine.books import ADOPTED, Plan, Position, closing_side
from quantum_trader.engine.facts import AdoptedPosition, ByOthers
from quantum_trader.engine.fills import Fills
from quantum_trader.engine.gateway import Command, Gateway, Purpose, Ticket
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Market
from quantum_trader.engine.money import Money
from quantum_trader.engine.opening import Opening
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.protection import Protection, reported_liquidation
from quantum_trader.engine.reconciliation import (
    NOT_OURS,
    Difference,
    DifferenceKind,
    RecentIds,
    Reconciler,
    VenueSnapshot,
    compare,
    is_same_qty,
)
from quantum_trader.engine.records import Records
from quantum_trader.engine.untraded import UNKNOWN_ATR, UntradedPosition, UntradedPositions
from quantum_trader.risk.exits import exit_row
from quantum_trader.signals import columns as col

_SAME: Final = 1e-9  # of a quantity: less is nothing
_MUCH: Final = 1e-4  # of the wallet: more than a funding payment that was missed
_ASKING_NS: Final = 60 * NS_PER_SECOND  # a wallet that differs for longer is believed, asked for or not


class VenueTruth(Protocol):
    """What an engine does where venue and books disagree."""

    def admits(self, event: OrderUpdate | Fill | FundingPayment) -> bool:
        """Whether *event* is new and concerns this account's books."""
        ...

    def unexplained(self, fill: Fill) -> list[Command]:
        """Answer a fill that fits no order and no position."""
        ...

    def is_by_others(self, fill: Fill, position: Position) -> bool:
        """Whether a person or another client reduced *position* with *fill*, whose order is not known here."""
        ...

    def order_cancelled(self, ticket: Ticket, update: OrderUpdate) -> None:
        """Note that an order of ours was cancelled."""
        ...

    def on_snapshot(self, snapshot: VenueSnapshot) -> list[Command]:
        """Compare the books with the venue."""
        ...

    def suspects(self) -> set[str]:
        """Symbols on which the last look disagreed."""
        ...

    def untraded_positions(self) -> list[UntradedPosition]:
        """The positions of the account in symbols that are not traded here."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        ...


class RefuseUnexplained:
    """The truth of a replay: its venue reports each event once, and nothing but what was ordered."""

    def admits(self, event: OrderUpdate | Fill | FundingPayment) -> bool:
        """Whether to take *event*: always."""
        return True

    def unexplained(self, fill: Fill) -> list[Command]:
        """Raise StateError: the books cannot place *fill*."""
        raise StateError(f"{fill.symbol}: fill {fill.fill_id} fits no position and no order; the books halt")

    def is_by_others(self, fill: Fill, position: Position) -> bool:
        """Always False: a replay's account has no other trader."""
        return False

    def order_cancelled(self, ticket: Ticket, update: OrderUpdate) -> None:
        """Do nothing: a replay's account has no other trader who could cancel an order."""

    def on_snapshot(self, snapshot: VenueSnapshot) -> list[Command]:
        """Raise StateError: a replay has no account beyond its own to compare with."""
        raise StateError("account read: this engine replays a recording; only a live one is compared with a venue")

    def suspects(self) -> set[str]:
        """Nothing is ever in doubt."""
        return set()

    def untraded_positions(self) -> list[UntradedPosition]:
        """An empty list: a replay's account has no other trader."""
        return []

    def state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue; there is nothing to restore."""


class Adopting:
    """The truth of a live account: events come twice or never, people trade by hand, orders get lost."""

    def __init__(
        self, account: Account, market: Market, instruments: Instruments, opening: Opening, protection: Protection,
        fills: Fills, money: Money, policy: PolicyInForce, gateway: Gateway, halts: Halts, records: Records,
        reconciler: Reconciler, seen: RecentIds, *, quietly: bool,
    ) -> None:
        """*quietly*: a trade that a person made by hand is taken over without halting openings."""
        self._account, self._market, self._instruments = account, market, instruments
        self._opening, self._protection, self._fills, self._money = opening, protection, fills, money
        self._policy, self._gateway, self._halts, self._records = policy, gateway, halts, records
        self._reconciler, self._seen, self._quietly = reconciler, seen, quietly
        self.untraded = UntradedPositions(
            instruments, gateway, halts, records, self._told_at, quietly=quietly
        )
        self._adopted = 0  # number of the last position that was taken over or closed as gone
        self._looked_ns: dict[str, int] = {}  # when a symbol's position was last taken from the venue

    # ------------------------------------------------------------------ events

    def admits(self, event: OrderUpdate | Fill | FundingPayment) -> bool:
        """Whether *event* is new: of a symbol traded here, not reported before, and of an order that may be alive."""
        if event.symbol not in self._instruments.index:
            self.untraded.on_event(event)
            return False
        if isinstance(event, FundingPayment):
            return self._seen.add(f"{event.symbol}/{event.ts_ns}")
        if isinstance(event, OrderUpdate):
            return self._gateway.ticket(event.client_order_id) is not None
        if not self._seen.add(event.fill_id):
            return False
        if event.ts_ns <= self._looked_ns.get(event.symbol, 0):  # the position taken from the venue includes it
            self._opening.orders.forget(self._gateway.on_fill(event))
            self._records.record("fill.known", "", event.ts_ns, event)
            return False
        return True

    def is_by_others(self, fill: Fill, position: Position) -> bool:
        """Whether a person or another client reduced *position* with *fill*; recorded once for each of their orders.

        Orders of the venue (liquidation, delisting) and orders of this program's commands do not count.
        """
        if fill.liquidation or not self._is_foreign(fill.client_order_id):
            return False
        left = position.qty - fill.qty
        what = f"reduced {position.side.value} {position.qty:g} to {left:g}" if left > position.qty * _SAME else (
            f"closed {position.side.value} {position.qty:g}"
        )
        self._told(fill.symbol, fill.client_order_id, f"{what} at {fill.price:g}", fill.ts_ns)
        return True

    def order_cancelled(self, ticket: Ticket, update: OrderUpdate) -> None:
        """Tell that somebody else cancelled the stop or target of an open position; another stop is placed."""
        position = self._account.books.positions.get(ticket.symbol)
        if ticket.cancelled or position is None or position.exit_reason is not None or update.reason:
            return
        if ticket.purpose in (Purpose.STOP, Purpose.TARGET):
            again = ", and it is placed again" if ticket.purpose is Purpose.STOP else ""
            text = f"cancelled the {ticket.purpose.value.lower()} at {ticket.price:g}{again}"
            self._told(ticket.symbol, ticket.client_order_id, text, update.ts_ns)

    def _is_foreign(self, order_id: str) -> bool:
        """Whether an order was sent by a person or another client."""
        if self._gateway.is_own(order_id):
            return False
        return bool(ids.mark_of(order_id)) or not order_id.startswith(ids.OWN_PREFIX)

    def _told(self, symbol: str, order_id: str, what: str, now_ns: int) -> None:
        """Record and show what a person or another client did, once for each order concerned."""
        if self._seen.add(f"others/{order_id}"):
            text = f"{symbol}: a person or another client {what} (order {order_id})"
            self._records.record("account.by_others", "", now_ns, ByOthers(
                symbol=symbol, order_id=order_id, what=what
            ))
            self._records.tally.by_others(now_ns, text)

    def _told_at(self, symbol: str, what: str, now_ns: int) -> None:
        """As :meth:`_told`, for what the account shows without an order."""
        if self._seen.add(f"others/{symbol}/{now_ns}"):
            self._records.record("account.by_others", "", now_ns, ByOthers(symbol=symbol, order_id="", what=what))
            self._records.tally.by_others(now_ns, f"{symbol}: a person or another client {what}")

    def unexplained(self, fill: Fill) -> list[Command]:
        """Book a fill of no order of this program: it closes our position, and what it opens is taken over."""
        books = self._account.books
        position = books.positions.get(fill.symbol)
        if self._is_foreign(fill.client_order_id):
            side = "bought" if fill.side is OrderSide.BUY else "sold"
            self._told(fill.symbol, fill.client_order_id, f"{side} {fill.qty:g} at {fill.price:g}", fill.ts_ns)
        commands: list[Command] = []
        if position is not None and fill.side is closing_side(position.sign):
            share = position.qty / fill.qty
            first = msgspec.structs.replace(fill, qty=position.qty, fee=fill.fee * share)
            position.exit_reason = ExitReason.EXTERNAL
            commands += self._fills.reduced(first, None, by_others=True)
            fill = msgspec.structs.replace(fill, qty=fill.qty - first.qty, fee=fill.fee * (1.0 - share))
        elif position is not None:
            books.add(fill)
            commands += self._protection.grown(position, fill.ts_ns)
            fill = msgspec.structs.replace(fill, qty=0.0)
        if fill.qty > 0.0:
            sign = 1 if fill.side is OrderSide.BUY else -1
            books.cash -= fill.fee
            books.fees_paid += fill.fee
            traded = VenuePosition(
                symbol=fill.symbol, qty=sign * fill.qty, entry_price=fill.price, leverage=0.0, margin=0.0,
                liquidation_price=0.0, mark_price=0.0, unrealised_pnl=0.0,
            )
            by_others = self._is_foreign(fill.client_order_id)
            commands += self._adopt(traded, fill.price, fill.ts_ns, "a trade by hand", by_others=by_others)
        if ids.mark_of(fill.client_order_id) and not self._gateway.is_own(fill.client_order_id):
            reason = f"{fill.symbol}: another trader trades on this account; stop it, then resume"
            self._halts.hold(reason, fill.ts_ns)
        elif not self._quietly:
            self._halts.hold(f"{fill.symbol}: a trade that was not ours ({fill.fill_id})", fill.ts_ns)
        return commands

    # ------------------------------------------------------------------ taking over

    def _adopt(
        self, theirs: VenuePosition, entry_price: float, now_ns: int, why: str, *, by_others: bool = False
    ) -> list[Command]:
        """Take the venue's position over and protect it as if it had been opened now at its mark price.

        It is our own opening where an order for it is on its way, unless it is known to be *by_others*. An entry that
        rests post-only ends: it could make the position larger, or close it, hours later.
        """
        symbol, qty, mark = theirs.symbol, theirs.qty, theirs.mark_price
        index, sign = self._instruments.index[symbol], 1 if qty > 0.0 else -1
        self._adopted += 1
        pending = self._opening.orders.pending.pop(symbol, None)
        own = pending is not None and pending.plan.sign == sign and not by_others
        plan = pending.plan if pending is not None and own else self._plan(index, sign, entry_price, theirs.leverage)
        position = self._account.books.adopt(symbol, index, plan, abs(qty), entry_price, now_ns)
        position.venue_liquidation = reported_liquidation(theirs)
        adopted = AdoptedPosition(symbol=symbol, qty=qty, entry_price=entry_price, why=why)
        if own:  # its fill was never reported: this is our opening, seen at the venue
            self._records.record("trade.executed", plan.trace_id, now_ns, adopted)
        self._records.record("position.adopted", plan.trace_id, now_ns, adopted)
        self._records.tally.event(now_ns, "trade", f"took over {position.side.value} {symbol} {abs(qty):g}: {why}")
        price = mark if mark > 0.0 else self._market.close(index)
        if mark > 0.0 and not own:  # what it gained or lost before is no result of ours
            self._account.move_money(qty * (mark - entry_price))
        worse = min(entry_price, price) if sign > 0 else max(entry_price, price)
        commands = self._protection.bracket(position, worse if price > 0.0 else entry_price, now_ns)
        if pending is not None and pending.rests:
            commands += self._records.outgoing(self._gateway.cancel_openings(now_ns, symbol))
        return commands

    def _plan(self, index: int, sign: int, entry_price: float, leverage: float) -> Plan:
        """The plan of a position that this program did not open: the exits of its symbol's regime now."""
        row = self._market.row(index)
        atr = row[col.ATR_1H] if row[col.ATR_1H] > 0.0 else UNKNOWN_ATR * entry_price
        stop_atr, target_atr, breakeven_r, trail_atr, max_hours = exit_row(
            int(row[col.TREND]), int(self._market.levels[index])
        )
        return Plan(
            intent_id=ids.adopted_intent_id(self._adopted), trace_id=ids.adopted_trace_id(self._adopted), sign=sign,
            leverage=leverage if leverage > 0.0 else self._policy.settings.leverage, atr=atr, stop_atr=stop_atr,
            target_atr=target_atr, breakeven_r=breakeven_r, trail_atr=trail_atr, max_hours=max_hours,
            exit_mode=self._policy.integration.fixed[3], confidence=0.0,
            policy_hash=self._policy.deciding_hash, model=ADOPTED,
            regime=self._market.regime_name(index),
        )

    # ------------------------------------------------------------------ reconciliation

    def on_snapshot(self, snapshot: VenueSnapshot) -> list[Command]:
        """Compare the books with the venue; what two looks in a row show alike is acted on."""
        gateway, books, symbols = self._gateway, self._account.books, self._instruments.symbols
        if snapshot.mode:
            self._halts.hold(f"{snapshot.mode}; then resume", snapshot.ts_ns)
        found = compare(snapshot, books.positions, gateway.tickets(), books.cash, symbols, gateway.is_own)
        commands = self.untraded.on_snapshot(snapshot)
        for difference in self._reconciler.look(found, snapshot, symbols):
            commands += self._mend(difference, snapshot)
        for theirs in snapshot.positions:
            position = books.positions.get(theirs.symbol)
            if position is not None and is_same_qty(theirs.qty, position.sign * position.qty):
                commands += self._protection.take_liquidation(position, theirs, snapshot.ts_ns)
        commands += self._records.outgoing(gateway.cancel_stale(books.positions, snapshot.ts_ns))
        if self._halts.flattening:
            commands += self._records.outgoing(self._unknown_orders_cancelled(snapshot))
        return commands

    def _unknown_orders_cancelled(self, snapshot: VenueSnapshot) -> list[Command]:
        """Cancel every order at the venue that is not ours: a flatten leaves none that could open a position.

        What only reduces stays until its position is gone.
        """
        held = {theirs.symbol for theirs in snapshot.positions}
        return [
            self._gateway.cancel_stray(order.client_order_id, order.symbol, snapshot.ts_ns)
            for order in snapshot.orders
            if self._gateway.ticket(order.client_order_id) is None
            and not (order.reduce_only and order.symbol in held)
        ]

    def _mend(self, difference: Difference, snapshot: VenueSnapshot) -> list[Command]:
        """Bring the books to the venue's truth in one respect."""
        kind, now_ns = difference.kind, snapshot.ts_ns
        if not self._counts(difference, snapshot):
            return []
        self._records.record("reconciliation.difference", "", now_ns, difference)
        if kind is DifferenceKind.STRAY_ORDER:
            stray = self._gateway.cancel_stray(difference.order_id, difference.symbol, now_ns)
            return self._records.outgoing([stray])
        if kind is DifferenceKind.OTHER_TRADER:
            self._halts.hold(
                f"{difference.symbol}: order {difference.order_id} is a trader's, and none of this folder's. Are two "
                "on this account, or was the folder copied or restored? Stop the other one, cancel its orders, then "
                "resume", now_ns,
            )
        if kind is DifferenceKind.LEVERAGE:
            return self._take_leverage(self._account.books.positions[difference.symbol], difference.venue, now_ns)
        if kind in (DifferenceKind.WALLET, DifferenceKind.POSITION) and not math.isfinite(difference.venue):
            what = f"{difference.symbol}: the position" if difference.symbol else "the wallet"
            self._halts.hold(
                f"{what} as the venue reports it cannot be read (the books hold {difference.books:g}); look at the "
                "venue, then resume", now_ns,
            )
        elif kind is DifferenceKind.WALLET:
            equity = self._money.equity()
            self._money.take_wallet(snapshot.wallet, now_ns, equity, self._take_entry_prices(snapshot))
        elif kind is DifferenceKind.POSITION:
            self._halts.hold(
                f"{difference.symbol}: the venue holds {difference.venue:g}, the books {difference.books:g}", now_ns
            )
            return self._take_position(difference.symbol, snapshot)
        return []

    def _counts(self, difference: Difference, snapshot: VenueSnapshot) -> bool:
        """Whether a confirmed difference is acted on, once."""
        kind, now_ns = difference.kind, snapshot.ts_ns
        if kind is DifferenceKind.MISSING_ORDER:
            return False  # the driver asks for it by its id
        if kind in NOT_OURS:
            return self._seen.add(f"order/{difference.order_id}")
        if kind is DifferenceKind.STRAY_ORDER:
            return not self._protects(difference, snapshot)
        if kind is DifferenceKind.WALLET:
            asking = not snapshot.moves_known and now_ns - self._reconciler.since_ns < _ASKING_NS
            return not asking and not self._money.is_older_than_a_transfer(now_ns)
        return True

    def _protects(self, stray: Difference, snapshot: VenueSnapshot) -> bool:
        """Whether a stray order may be all that protects a position at the venue: it goes once ours rests."""
        order: VenueOrder = next(one for one in snapshot.orders if one.client_order_id == stray.order_id)
        if not order.reduce_only or all(theirs.symbol != stray.symbol for theirs in snapshot.positions):
            return False
        position = self._account.books.positions.get(stray.symbol)
        shown = {one.client_order_id for one in snapshot.orders}
        rests = any(  # at the venue, and not by the books alone: ours may have been cancelled while nobody listened
            ticket.symbol == stray.symbol and ticket.purpose is Purpose.STOP and ticket.client_order_id in shown
            for ticket in self._gateway.tickets()
        )
        return position is None or not self._gateway.is_protected(position) or not rests

    def _take_leverage(self, position: Position, leverage: float, now_ns: int) -> list[Command]:
        """Take over a leverage that was changed; a stop that would come after the liquidation is made anew."""
        if leverage > 0.0:  # 0.0: the venue does not say
            what = f"changed the leverage from {position.plan.leverage:g} to {leverage:g}"
            self._told_at(position.symbol, what, now_ns)
            position.plan.leverage = leverage
        if self._protection.is_behind_liquidation(position):
            return self._protection.bracket(position, position.entry_price, now_ns)
        return []

    def _take_position(self, symbol: str, snapshot: VenueSnapshot) -> list[Command]:
        """Take the venue's quantity into the books, and protect it."""
        now_ns = snapshot.ts_ns
        self._looked_ns[symbol] = now_ns
        position = self._account.books.positions.get(symbol)
        theirs = next((held for held in snapshot.positions if held.symbol == symbol), None)
        commands: list[Command] = []
        if position is not None and (theirs is None or theirs.qty * position.sign < 0.0):
            commands += self._close_vanished(position, now_ns)
            position = None
        if theirs is None:
            return commands
        entry_price = self._entry_price(theirs, position)
        if not entry_price > 0.0:  # no price is known: the next comparison takes it over
            return commands
        if position is None:
            return commands + self._adopt(theirs, entry_price, now_ns, "found at the venue")
        return commands + self._resize(position, theirs, entry_price, now_ns)

    def _take_entry_prices(self, snapshot: VenueSnapshot) -> float:
        """Take the venue's entry prices of positions that agree in quantity; returns the unrealised profit this moves.

        Trades that are heard in another order than they happened realise another profit here than at the venue, and
        leave another entry price: the sum of both is the same.
        """
        moved = 0.0
        for theirs in snapshot.positions:
            position = self._account.books.positions.get(theirs.symbol)
            if position is None or not is_same_qty(theirs.qty, position.sign * position.qty):
                continue
            if math.isfinite(theirs.entry_price) and theirs.entry_price > 0.0:
                moved += position.sign * position.qty * (position.entry_price - theirs.entry_price)
                position.entry_price = theirs.entry_price
        return moved

    def _entry_price(self, theirs: VenuePosition, position: Position | None) -> float:
        """The entry price that the venue reports; without one that of *position*, the mark or the newest close.

        0.0 where none of them is known.
        """
        known = position.entry_price if position is not None else 0.0
        close = self._market.close(self._instruments.index[theirs.symbol])
        return next((price for price in (theirs.entry_price, known, theirs.mark_price, close) if price > 0.0), 0.0)

    def _close_vanished(self, position: Position, now_ns: int) -> list[Command]:
        """Close in the books a position that the venue no longer holds; the wallet gives its profit."""
        mark = self._market.close(position.index)
        self._adopted += 1
        fill = Fill(
            fill_id=ids.vanished_fill_id(self._adopted), client_order_id="", symbol=position.symbol,
            side=closing_side(position.sign), qty=position.qty, price=mark if mark > 0.0 else position.entry_price,
            fee=0.0, liquidity="taker", ts_ns=now_ns,
        )
        if position.exit_reason is None:
            what = f"closed {position.side.value} {position.qty:g}: the venue holds it no longer"
            self._told_at(position.symbol, what, now_ns)
        position.exit_reason = ExitReason.EXTERNAL
        return self._fills.reduced(fill, None)

    def _resize(
        self, position: Position, theirs: VenuePosition, entry_price: float, now_ns: int
    ) -> list[Command]:
        what = f"changed {position.side.value} {position.qty:g} to {abs(theirs.qty):g}"
        self._told_at(position.symbol, what, now_ns)
        if abs(theirs.qty) > position.qty:
            position.grown_ns = now_ns
        position.qty = abs(theirs.qty)
        position.peak_qty = max(position.peak_qty, position.qty)
        position.entry_price = entry_price
        if theirs.leverage > 0.0:  # 0.0: the venue does not say
            position.plan.leverage = theirs.leverage
        position.venue_liquidation = reported_liquidation(theirs)
        return self._protection.bracket(position, position.entry_price, now_ns, position.stop)

    def untraded_positions(self) -> list[UntradedPosition]:
        """The positions of the account in symbols that are not traded here."""
        return list(self.untraded.held.values())

    def suspects(self) -> set[str]:
        """Symbols on which the last look disagreed; every one of them when much of the wallet is unexplained."""
        suspects = set()
        for one in self._reconciler.open:
            if one.kind is DifferenceKind.POSITION:
                suspects.add(one.symbol)
            elif one.kind is DifferenceKind.WALLET and abs(one.venue - one.books) > _MUCH * abs(one.books):
                return set(self._instruments.symbols)
        return suspects

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {"adopted": self._adopted, "looked_ns": dict(self._looked_ns), "untraded": self.untraded.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._adopted, self._looked_ns = state["adopted"], dict(state["looked_ns"])
        if "untraded" in state:
            self.untraded.load_state(state["untraded"])
