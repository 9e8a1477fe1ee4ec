"""The engine of a live account: the same engine, and what only an account beyond a wire brings about.

Messages come twice or never, people trade by hand, money moves, orders get lost. Everything here is still pure: a
driver tells, commands and records come out, and the same inputs give the same outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, TAG_BAD, ExitReason, OrderSide, OrderStatus
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.instrument import Instrument, ceil_to, floor_to
from quantum_trader.domain.loss_window import RING_SIZE
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.scalar import scalar
from quantum_trader.domain.trading import Fill, FundingPayment, Intent, OrderUpdate
from quantum_trader.engine import stage
from quantum_trader.engine.books import Plan, Position, closing_side
from quantum_trader.engine.engine import Engine
from quantum_trader.engine.gateway import Command, Purpose, Ticket, mark_of
from quantum_trader.engine.ports import Rejection, VenuePosition
from quantum_trader.engine.reconciliation import (
    NOT_OURS,
    Difference,
    DifferenceKind,
    Reconciler,
    Seen,
    VenueSnapshot,
    compare,
)
from quantum_trader.engine.recorder import ENGINE, RUN
from quantum_trader.engine.refusals import FILTERS, ONLY_REDUCE, OTHERS_REDUCE, TOO_LARGE, is_of
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_FLIP, ROAD_REASONS, gate
from quantum_trader.engine.supervision import Shield
from quantum_trader.market import performance as perf
from quantum_trader.policy.enforcement import effective_settings
from quantum_trader.risk.exits import exit_row, timed_out
from quantum_trader.risk.governor import CAUSE_HEALTH, CAUSES, GOV_ROW_CAUSE, GOV_ROW_LEVEL, GOV_ROW_PEAK
from quantum_trader.risk.guard import Approved, can_execute
from quantum_trader.risk.limits import LOSS_LAST, LOSS_MIDNIGHT
from quantum_trader.risk.sizing import liquidation_price, tier_rows
from quantum_trader.signals import columns as col

UNKNOWN_ATR: Final = 0.01  # of the price, for a position taken over before the ATR is known
_HALT: Final = "reconciliation"
_LIQUIDATION_BUFFER: Final = 0.002  # of the entry price, between stop and liquidation
_MUCH: Final = 1e-4  # of the wallet: more than a funding payment that was missed
_ASKING_NS: Final = 60 * NS_PER_SECOND  # a wallet that differs for longer is believed, whoever could not be asked
_ASKING_ON_NS: Final = 3600 * NS_PER_SECOND  # so long money moved is asked for after a wallet was taken over
_SAME_MOVE_NS: Final = 60 * NS_PER_SECOND  # stream and question stamp one transfer no farther apart
_SAME_MONEY: Final = 1e-6  # USDT
_MOVES_KEPT: Final = 100
_TRIES: Final = 3  # of an order that is refused


class AdoptedPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position somebody else made is in the books from now on."""

    symbol: str
    qty: float  # signed
    entry_price: float
    why: str


class CashAdjusted(msgspec.Struct, frozen=True, kw_only=True):
    """The books' money was set to the wallet's."""

    before: float
    wallet: float
    explained: bool  # the venue told of a transfer
    why: str


class MoneyMove(msgspec.Struct, frozen=True, kw_only=True):
    """Money moved, as one of two roads told it: the account's stream, or an answer (*asked*)."""

    ts_ns: int
    amount: float
    asked: bool

    def is_other_word_of(self, other: MoneyMove) -> bool:
        """Whether both are the same move, told by each road once."""
        return (
            self.asked is not other.asked and abs(self.amount - other.amount) < _SAME_MONEY
            and abs(self.ts_ns - other.ts_ns) <= _SAME_MOVE_NS
        )


class BarsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The completed bars of one moment, as they came."""

    symbols: list[str]
    ohlcv: list[list[float]]
    received_ns: int


@scalar
def shift_equity(losses: Any, governor: Any, day: Any, delta: float) -> None:
    """Move every remembered equity by *delta* (USDT), so that money paid in or out is no profit and no loss."""
    for slot in range(1, RING_SIZE):
        losses[slot] += delta
    losses[LOSS_MIDNIGHT] += delta
    losses[LOSS_LAST] += delta
    governor[GOV_ROW_PEAK] = max(governor[GOV_ROW_PEAK] + delta, 0.0)
    day[stage.DAY_PEAK] += delta


class LiveEngine(Engine):
    """An engine whose fills, orders and money are told by a venue that may know better."""

    def __init__(self, *arguments: Any, adopt_quietly: bool = True, **keywords: Any) -> None:
        """*adopt_quietly*: a trade made by hand and seen as such is taken over without halting openings."""
        super().__init__(*arguments, **keywords)
        self.adopt_quietly = adopt_quietly
        self.reconciler = Reconciler()
        self.recording = Shield()  # of this process alone: a disk that was full is not full in a replay
        self.seen = Seen()
        self.held = ""  # why openings wait for `resume`; empty: they do not
        self.claims_ok = True  # whether inputs can be written before they are acted on
        self.began_ns = 0  # 0: it has not; what came before is in the wallet the books began with
        self.flattening = False  # a flatten is in force: what opens or is taken over meanwhile is closed at once
        self.last_event_ns = 0
        self._adopted = 0
        self._looked_ns: dict[str, int] = {}  # when a symbol's position was last taken from the venue
        self._health_why = ""  # as it was last told
        self._asked_from_ns = 0  # since when money moved may still explain a wallet that was taken over; 0: it need not
        self._remembered: list[float] = []  # equities noted before a wallet was taken over that nothing explained
        self._moved_ns = 0  # the newest money move told: an older look at the wallet does not hold it
        self._wallet_ns = 0  # when the wallet was last taken from the venue though nothing explained it
        self._unclosed: dict[str, int] = {}  # closes of a symbol that were refused in a row
        self._filters: list[Any] = []  # the instruments in force as plain values, once a state has asked for them
        self._moves: list[MoneyMove] = []  # money moves that only one road has told
        self._unrecorded: tuple[MarketBatch, int] | None = None

    @property
    def begun(self) -> bool:
        """Whether the books know the money they began with."""
        return self.began_ns > 0

    def begin(self, wallet: float, namespace: str, now_ns: int) -> None:
        """Start the books of a new session with the money that is there."""
        self.began_ns = now_ns
        self.books.cash = self.equity = wallet
        self.gateway.namespace = namespace
        self.gateway.live_as("")
        self._record("cash.adjusted", "", now_ns, CashAdjusted(
            before=self.settings.start_equity, wallet=wallet, explained=True, why="the account at the first start"
        ))

    def live_again(self, life: str, now_ns: int) -> None:
        """Note that another process has taken the session over; its orders get ids of its own."""
        self.gateway.live_as(life)
        self._record("session.continued", "", now_ns, {"life": life, "open_positions": len(self.books.positions)}, RUN)

    # ------------------------------------------------------------------ bars and events

    def on_bars(self, batch: MarketBatch, received_ns: int) -> list[Command]:
        """Take completed bars that were there at *received_ns*; bars that come late open nothing.

        It returns with what open positions need and the first order of a signal; :meth:`more` goes on from there.
        """
        self._late_ns = max(0, received_ns - batch.ts_ns - batch.interval_ns)
        self._unrecorded = (batch, received_ns)
        self._later = []
        return self.on_batch(batch)

    @property
    def decides(self) -> bool:
        """Whether signals of the bars decided on last are still due: until they are not, nothing else may be told."""
        return bool(self._due)

    def more(self) -> list[Command]:
        """Go on with the signals that are due until there is something to send. One that fails is not due again."""
        commands: list[Command] = []
        if self._due:
            self._take_signals(commands)
        return commands

    def _take_signals(self, commands: list[Command]) -> None:
        before = len(commands)
        while self._due and len(commands) == before:
            index = self._due.pop(0)
            self._by_itself("signal", self.symbols[index], self.now_ns, self._take_signal, index, commands)
        if not self._due:
            self._after(self._learn, self.now_ns)

    def expect_bar(self, ts_ns: int, index: int, bar: Any) -> None:
        """Work out ahead what a symbol's next bar (5,) means, should it be decided on. Changes nothing that counts."""
        if self._later is None and stage.is_bar(bar):
            self.kernel.prepare(ts_ns, index, bar)

    def record_bars(self) -> None:
        """Record the bars decided on last and what came of them, once, before anything else is told.

        Orders do not wait for that: until then it is put off, and with it what only observes.
        """
        self.catch_up()
        if self._unrecorded is None:
            return
        (batch, received_ns), self._unrecorded = self._unrecorded, None
        rows = batch.present.nonzero()[0].tolist()
        self._record("market.bar", "", batch.ts_ns + batch.interval_ns, BarsRecord(
            symbols=[self.symbols[index] for index in rows], ohlcv=batch.ohlcv[rows].tolist(), received_ns=received_ns,
        ), RUN)

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Take one venue event; a fill or payment told again changes nothing."""
        self.last_event_ns = max(self.last_event_ns, event.ts_ns)
        if event.symbol not in self._index:
            return []
        if isinstance(event, Fill):
            if not self.seen.add(event.fill_id):
                return []
            if event.ts_ns <= self._looked_ns.get(event.symbol, 0):
                self._forget_pending(self.gateway.on_fill(event))
                self._record("fill.known", "", event.ts_ns, event)  # the position taken from a look holds it already
                return []
        if isinstance(event, FundingPayment) and not self.seen.add(f"{event.symbol}/{event.ts_ns}"):
            return []
        if isinstance(event, OrderUpdate) and self.gateway.ticket(event.client_order_id) is None:
            return []  # of an order that is nobody's here, or is no more
        return super().on_event(event)

    def _unexplained(self, fill: Fill) -> list[Command]:
        """Book a trade that nobody here asked for: what it closes is closed, what it opens is taken over."""
        position = self.books.positions.get(fill.symbol)
        commands: list[Command] = []
        if position is not None and fill.side is closing_side(position.sign):
            share = position.qty / fill.qty
            first = msgspec.structs.replace(fill, qty=position.qty, fee=fill.fee * share)
            position.exit_reason = ExitReason.EXTERNAL
            commands += self._reduced(first, None)
            fill = msgspec.structs.replace(fill, qty=fill.qty - first.qty, fee=fill.fee * (1.0 - share))
        elif position is not None:
            self.books.add(fill)
            commands += self._bracket(position, position.entry_price, fill.ts_ns)
            fill = msgspec.structs.replace(fill, qty=0.0)
        if fill.qty > 0.0:
            sign = 1 if fill.side is OrderSide.BUY else -1
            self.books.cash -= fill.fee
            self.books.fees_paid += fill.fee
            commands += self._adopt(fill.symbol, sign * fill.qty, fill.price, 0.0, fill.ts_ns, "a trade by hand")
        if mark_of(fill.client_order_id) and not self.gateway.is_own(fill.client_order_id):
            self._hold(f"{fill.symbol}: another trader trades on this account; stop it, then resume", fill.ts_ns)
        elif not self.adopt_quietly:
            self._hold(f"{fill.symbol}: a trade that was not ours ({fill.fill_id})", fill.ts_ns)
        return commands

    def _reduced(self, fill: Fill, purpose: Purpose | None) -> list[Command]:
        closing = self.books.positions[fill.symbol].exit_reason
        commands = super()._reduced(fill, purpose)
        position = self.books.positions.get(fill.symbol)
        self._unclosed.pop(fill.symbol, None)
        if position is not None and purpose is None and closing is None and not fill.liquidation:
            position.exit_reason = None  # somebody closed a part: the rest goes on
        elif position is not None and fill.liquidation:  # the venue took a part: the rest goes at once
            commands += self._sent(self.gateway.close(position, fill.ts_ns))
        return commands

    def _record(self, topic: str, trace_id: str, ts_ns: int, data: Any, source: str = ENGINE) -> None:
        """Record one event. Where that fails it is counted; a driver sees to it, in words that a replay hears too."""
        self.recording.run(super()._record, topic, trace_id, ts_ns, data, source)

    def note(self, topic: str, now_ns: int, data: Any) -> None:
        """Record something that happened around the engine."""
        self._record(topic, "", now_ns, data, RUN)

    # ------------------------------------------------------------------ taking over

    def _adopt(
        self, symbol: str, qty: float, entry_price: float, leverage: float, now_ns: int, why: str, mark: float = 0.0
    ) -> list[Command]:
        """Take a position over (*qty* is signed) and protect it as if it had been opened now at *mark*."""
        index = self._index[symbol]
        row = self.kernel.out[index].tolist()
        sign = 1 if qty > 0.0 else -1
        atr = row[col.ATR_1H] if row[col.ATR_1H] > 0.0 else UNKNOWN_ATR * entry_price
        stop_atr, target_atr, breakeven_r, trail_atr, max_hours = exit_row(int(row[col.TREND]), int(self.levels[index]))
        self._adopted += 1
        pending = self._pending.pop(symbol, None)
        own = pending is not None and pending.plan.sign == sign
        plan = pending.plan if pending is not None and own else Plan(
            intent_id=f"a{self._adopted:08d}", trace_id=f"ad{self._adopted:08d}", sign=sign,
            leverage=leverage if leverage > 0.0 else self.settings.leverage, atr=atr, stop_atr=stop_atr,
            target_atr=target_atr, breakeven_r=breakeven_r, trail_atr=trail_atr, max_hours=max_hours,
            exit_mode=self.integration.fixed[3], confidence=0.0, policy_hash="", model="adopted",
            regime=self.regime_name(index),
        )
        position = self.books.adopt(symbol, index, plan, abs(qty), entry_price, now_ns)
        if own:  # its fill was never told: this is our opening, seen at the venue
            self._record("trade.executed", plan.trace_id, now_ns, AdoptedPosition(
                symbol=symbol, qty=qty, entry_price=entry_price, why=why
            ))
        self._record("position.adopted", plan.trace_id, now_ns, AdoptedPosition(
            symbol=symbol, qty=qty, entry_price=entry_price, why=why
        ))
        self.tally.event(now_ns, "trade", f"took over {position.side.value} {symbol} {abs(qty):g}: {why}")
        price = mark if mark > 0.0 else row[col.CLOSE]
        if mark > 0.0 and not own:  # what it gained or lost before is no result of ours
            gain = qty * (mark - entry_price)
            self.equity += gain
            shift_equity(self.losses, self.governor, self._day, gain)
        worse = min(entry_price, price) if sign > 0 else max(entry_price, price)
        return self._bracket(position, worse if price > 0.0 else entry_price, now_ns)

    def on_health(self, level: int, connected: bool, reason: str, now_ns: int) -> None:
        """Take what system health calls for into force at once, and remember why."""
        self._health_why = reason
        super().on_health(level, connected, reason, now_ns)

    @property
    def governor_cause(self) -> str:
        """What raised the governor's level, in words."""
        cause = int(self.governor[GOV_ROW_CAUSE])
        return f"{CAUSES[cause]} ({self._health_why})" if cause == CAUSE_HEALTH else CAUSES[cause]

    def _hold(self, reason: str, now_ns: int) -> None:
        """Halt openings until somebody who looked says `resume`."""
        if not self.held:
            self.held = reason
            self._halt(_HALT, reason, "resume --reason", now_ns)

    def flatten(self, now_ns: int, reason: ExitReason = ExitReason.FLATTEN) -> list[Command]:
        """Cancel what would open and close what is open, now and until :meth:`resume`; never gated."""
        self.flattening = True
        return super().flatten(now_ns, reason)

    def _bracket(self, position: Position, price: float, now_ns: int, kept: float = 0.0) -> list[Command]:
        if self.flattening and position.exit_reason is None:
            return self._exit(position, ExitReason.FLATTEN, now_ns)
        return super()._bracket(position, price, now_ns, kept)

    def resume(self, reason: str, now_ns: int) -> None:
        """End what waits for a person: a halt by command, a difference from the venue, an EMERGENCY."""
        self.flattening = False
        if self.held:
            self.held = ""
            self._clear(_HALT, f"resumed: {reason}", now_ns)
        peak = float(self.governor[GOV_ROW_PEAK])
        super().resume(reason, now_ns)
        if self._remembered and float(self.governor[GOV_ROW_PEAK]) != peak:
            self._remembered[-2] = -math.inf  # a person has looked: drawdown is measured from here

    @property
    def closed_to_openings(self) -> str:
        """What keeps anything from opening now, whatever was decided a moment ago; empty: nothing does."""
        if self.kill or self.flattening:
            return "halted by command"
        if self.held:
            return self.held
        if int(self.governor[GOV_ROW_LEVEL]) >= GOV_EMERGENCY:
            return "the governor is in EMERGENCY"
        if not self.claims_ok:
            return "inputs cannot be written"
        return "" if self.connected else "the venue is not there"

    def _account_view(self, index: int, row: list[float], now_ns: int) -> Any:
        view = super()._account_view(index, row, now_ns)
        if self.held or not self.claims_ok or not self.begun:
            view = msgspec.structs.replace(view, kill=True)
        return view

    # ------------------------------------------------------------------ stops on their way

    def _protect(self, position: Position, now_ns: int) -> list[Command]:
        """Rest stop and target, one of each at a time: while one is on its way, its answer sees to the rest."""
        if self.gateway.in_flight(position.symbol, Purpose.STOP):
            return []
        return super()._protect(position, now_ns)

    def _move_stop(self, position: Position, now_ns: int) -> list[Command]:
        if self.gateway.in_flight(position.symbol, Purpose.STOP):
            return []
        return super()._move_stop(position, now_ns)

    def _unprotected(self, position: Position, now_ns: int) -> list[Command]:
        if self.gateway.in_flight(position.symbol, Purpose.STOP):
            return []
        return self._protect_again(position, now_ns)

    def _forget_pending(self, ticket: Ticket | None) -> None:
        """Drop what an opening was remembered for, once its order is over and all of it is known."""
        if ticket is None or ticket.purpose is not Purpose.OPEN or not ticket.settled:
            return
        pending = self._pending.get(ticket.symbol)
        if pending is not None and pending.plan.intent_id == ticket.intent_id:
            del self._pending[ticket.symbol]

    def _stop_refused(self, position: Position, update: OrderUpdate) -> list[Command]:
        """Send a stop again that met filters we did not know, on their grid; else as ever."""
        if not is_of(update.reason, FILTERS) or position.lost_stops >= _TRIES:
            commands = super()._stop_refused(position, update)
            kept = position.exit_reason is None and not self.gateway.in_flight(position.symbol, Purpose.STOP)
            if not commands and kept and self._too_late(position, position.stop):
                return self._exit(position, ExitReason.UNPROTECTED, update.ts_ns)
            return commands
        position.lost_stops += 1
        self._put_on_grid(position)
        return self.gateway.move_stop(position, update.ts_ns)

    def _put_on_grid(self, position: Position) -> None:
        """Bring stop and target onto the symbol's tick, each nearer to the price."""
        tick, long = self.instruments[position.index].tick_size, position.plan.sign > 0
        position.stop = ceil_to(position.stop, tick) if long else floor_to(position.stop, tick)
        if position.target > 0.0:
            position.target = floor_to(position.target, tick) if long else ceil_to(position.target, tick)

    def _refused(self, ticket: Ticket, update: OrderUpdate) -> list[Command]:
        """See to a refusal that another try alone does not mend."""
        symbol, reason, now_ns = ticket.symbol, update.reason, update.ts_ns
        position = self.books.positions.get(symbol)
        if ticket.purpose is Purpose.OPEN:
            if is_of(reason, ONLY_REDUCE):
                self._hold(f"the venue takes orders that reduce alone: {reason}", now_ns)
            return []
        if position is None:
            return []
        if ticket.purpose is Purpose.TARGET and is_of(reason, FILTERS):
            before = position.target
            self._put_on_grid(position)
            again = position.target != before and position.exit_reason is None
            return self._sent(self.gateway.rest_target(position, now_ns)) if again else []
        if ticket.purpose is Purpose.CLOSE:
            return self._close_refused(position, ticket, update)
        return []

    def _close_refused(self, position: Position, ticket: Ticket, update: OrderUpdate) -> list[Command]:
        """Make the next try one that may succeed; a person hears of it when several in a row did not."""
        symbol, reason, now_ns = ticket.symbol, update.reason, update.ts_ns
        if is_of(reason, (Rejection.LOST.value, Rejection.UNAVAILABLE.value)):
            return []
        tries = self._unclosed[symbol] = self._unclosed.get(symbol, 0) + 1
        if tries == _TRIES:
            self._hold(f"{symbol}: closing is refused again and again: {reason}", now_ns)
        if is_of(reason, OTHERS_REDUCE):
            return self._sent([
                self.gateway.cancel_stray(one.order_id, symbol, now_ns) for one in self.reconciler.open
                if one.kind is DifferenceKind.FOREIGN_ORDER and one.symbol == symbol
            ])
        if is_of(reason, TOO_LARGE):
            self.gateway.close_in_parts(symbol, ticket.qty, self.instruments[position.index].step_size)
        elif not is_of(reason, FILTERS):
            return []
        return self._sent(self.gateway.close(position, now_ns)) if tries < _TRIES else []  # then at its leisure

    def note_filters(self, instrument: Instrument, now_ns: int) -> None:
        """Take the filters of a symbol as the venue tells them now; what rests already stays."""
        index = self._index.get(instrument.symbol)
        if index is None:
            raise InputError(f"symbol = {instrument.symbol!r}: is not traded here")
        self._take_filters(index, instrument)
        self.gateway.take_grid(instrument.symbol, instrument.step_size, instrument.min_qty)
        self._record("instrument.changed", "", now_ns, instrument, RUN)

    def _instruments_in_force(self) -> list[Any]:
        if not self._filters:
            self._filters = [msgspec.to_builtins(instrument) for instrument in self.instruments]
        return self._filters

    def _take_filters(self, index: int, instrument: Instrument) -> None:
        self._filters = []
        specs = (instrument.step_size, instrument.min_qty, instrument.min_notional)
        self.instruments = (*self.instruments[:index], instrument, *self.instruments[index + 1:])
        self._tiers = (*self._tiers[:index], tier_rows(instrument), *self._tiers[index + 1:])
        self._specs = (*self._specs[:index], specs, *self._specs[index + 1:])

    def _on_update(self, update: OrderUpdate) -> list[Command]:
        opening = self.gateway.ticket(update.client_order_id)
        commands = super()._on_update(update)
        self._forget_pending(opening)
        if opening is not None and update.status is OrderStatus.REJECTED:
            return commands + self._refused(opening, update)
        ticket = self.gateway.ticket(update.client_order_id)
        position = self.books.positions.get(update.symbol)
        if ticket is None or position is None or position.exit_reason is not None:
            return commands
        on_its_way = self.gateway.in_flight(update.symbol, Purpose.STOP)
        if ticket.purpose is Purpose.STOP and ticket.resting and not on_its_way:
            position.lost_stops = 0
            if self.gateway.resting_stop(position) != position.stop:  # the position grew, or its stop moved, meanwhile
                commands += self._protect(position, update.ts_ns)
        return commands

    # ------------------------------------------------------------------ reconciliation

    def on_snapshot(self, snapshot: VenueSnapshot) -> list[Command]:
        """Compare the books with the venue; what two looks in a row show alike is acted on."""
        gateway = self.gateway
        found = compare(
            snapshot, self.books.positions, gateway.tickets(), self.books.cash, self.symbols, gateway.is_own
        )
        commands: list[Command] = []
        for difference in self.reconciler.look(found, snapshot, self.symbols):
            commands += self._mend(difference, snapshot)
        commands += self._sent(self.gateway.cancel_stale(self.books.positions, snapshot.ts_ns))
        return commands + self._sent(self._rest_of(snapshot)) if self.flattening else commands

    def _rest_of(self, snapshot: VenueSnapshot) -> list[Command]:
        """Cancel whatever rests at the venue and is not ours: a flatten leaves no order that could open a position.

        What only reduces stays until its position is gone.
        """
        held = {theirs.symbol for theirs in snapshot.positions}
        return [
            self.gateway.cancel_stray(order.client_order_id, order.symbol, snapshot.ts_ns) for order in snapshot.orders
            if self.gateway.ticket(order.client_order_id) is None
            and not (order.reduce_only and order.symbol in held)
        ]

    def _mend(self, difference: Difference, snapshot: VenueSnapshot) -> list[Command]:
        """Bring the books to the venue's truth in one respect."""
        kind, now_ns = difference.kind, snapshot.ts_ns
        if kind is DifferenceKind.MISSING_ORDER:
            return []  # the driver asks for it by its id
        if kind in NOT_OURS and not self.seen.add(f"order/{difference.order_id}"):
            return []
        if kind is DifferenceKind.STRAY_ORDER and self._guards(difference, snapshot):
            return []
        asking = not snapshot.moves_known and now_ns - self.reconciler.since_ns < _ASKING_NS
        if kind is DifferenceKind.WALLET and (asking or now_ns <= self._moved_ns):
            return []
        self._record("reconciliation.difference", "", now_ns, difference)
        if kind is DifferenceKind.STRAY_ORDER:
            return self._sent([self.gateway.cancel_stray(difference.order_id, difference.symbol, now_ns)])
        if kind is DifferenceKind.OTHER_TRADER:
            self._hold(
                f"{difference.symbol}: order {difference.order_id} is a trader's, and none of this folder's. Are two "
                "on this account, or was the folder copied or restored? Stop the other one, cancel its orders, then "
                "resume", now_ns,
            )
        if kind is DifferenceKind.LEVERAGE:
            return self._releveraged(self.books.positions[difference.symbol], difference.venue, now_ns)
        if kind is DifferenceKind.WALLET:
            self._set_cash(snapshot.wallet, now_ns)
        elif kind is DifferenceKind.POSITION:
            self._hold(
                f"{difference.symbol}: the venue holds {difference.venue:g}, the books {difference.books:g}", now_ns
            )
            return self._mend_position(difference, snapshot)
        return []

    def _guards(self, stray: Difference, snapshot: VenueSnapshot) -> bool:
        """Whether a stray order may be all that protects a position at the venue: it goes once ours rests."""
        order = next(one for one in snapshot.orders if one.client_order_id == stray.order_id)
        if not order.reduce_only or all(theirs.symbol != stray.symbol for theirs in snapshot.positions):
            return False
        position = self.books.positions.get(stray.symbol)
        return position is None or not self.gateway.is_protected(position)

    def _releveraged(self, position: Position, leverage: float, now_ns: int) -> list[Command]:
        """Take over a leverage that somebody set; a stop that would come after the liquidation now is made anew."""
        position.plan.leverage = leverage
        if self._too_late(position, position.stop):
            return self._bracket(position, position.entry_price, now_ns)
        return []

    def _too_late(self, position: Position, stop: float) -> bool:
        """Whether the venue would liquidate *position* before a stop there triggers, or next to it."""
        liquidation = liquidation_price(
            position.sign, position.entry_price, position.qty, position.plan.leverage, self._tiers[position.index]
        )
        buffer = _LIQUIDATION_BUFFER * position.entry_price
        return bool(liquidation > 0.0 and (stop - liquidation) * position.sign < buffer)

    def _mend_position(self, difference: Difference, snapshot: VenueSnapshot) -> list[Command]:
        """Take the venue's quantity into the books, and protect it."""
        symbol, now_ns = difference.symbol, snapshot.ts_ns
        self._looked_ns[symbol] = now_ns
        position = self.books.positions.get(symbol)
        theirs = next((held for held in snapshot.positions if held.symbol == symbol), None)
        commands: list[Command] = []
        if position is not None and (theirs is None or theirs.qty * position.sign < 0.0):
            commands += self._gone(position, now_ns)
            position = None
        if theirs is None:
            return commands
        if position is None:
            return commands + self._adopt(
                symbol, theirs.qty, theirs.entry_price, theirs.leverage, now_ns, "found at the venue",
                theirs.mark_price,
            )
        return commands + self._resize(position, theirs, now_ns)

    def _gone(self, position: Position, now_ns: int) -> list[Command]:
        """Close in the books what the venue no longer holds; the wallet tells what it really earned."""
        mark = float(self.kernel.out[position.index, col.CLOSE])
        self._adopted += 1
        fill = Fill(
            fill_id=f"gone-{self._adopted}", client_order_id="", symbol=position.symbol,
            side=closing_side(position.sign), qty=position.qty, price=mark if mark > 0.0 else position.entry_price,
            fee=0.0, liquidity="taker", ts_ns=now_ns,
        )
        position.exit_reason = ExitReason.EXTERNAL
        return super()._reduced(fill, None)

    def _resize(self, position: Position, theirs: VenuePosition, now_ns: int) -> list[Command]:
        position.qty = abs(theirs.qty)
        position.peak_qty = max(position.peak_qty, position.qty)
        position.entry_price = theirs.entry_price
        position.plan.leverage = theirs.leverage
        return self._bracket(position, position.entry_price, now_ns, position.stop)

    def _set_cash(self, wallet: float, now_ns: int) -> None:
        """Set the books' money to the wallet's: nobody told of a transfer, so it counts as profit or loss."""
        before, self.books.cash = self.books.cash, wallet
        agreed_ns = self.reconciler.agreed_ns
        if not self.asks_on(now_ns):
            self._remembered = self._remember()
        self._asked_from_ns = min(self._asked_from_ns, agreed_ns) if self.asks_on(now_ns) else max(agreed_ns, 1)
        self._wallet_ns = now_ns
        self._record("cash.adjusted", "", now_ns, CashAdjusted(
            before=before, wallet=wallet, explained=False, why="the wallet differs and nothing explains it"
        ))
        if not abs(wallet - before) <= self.settings.wallet_halt_share * max(abs(before), 1.0):
            self._hold(f"the wallet holds {wallet:.2f} USDT, the books {before:.2f}", now_ns)

    def on_transfer(self, amount: float, ts_ns: int, move_id: str = "") -> None:
        """Book money paid in or taken out at *ts_ns*, once: no profit, no loss, no drawdown.

        Stream and question tell the same move without a name in common: what one road told, the other's word of the
        same amount at the same time means. A wallet that was taken over since holds it: then it is no loss any more.
        """
        if ts_ns <= self.began_ns or not self.seen.add(f"money/{move_id or f'{ts_ns}/{amount!r}'}"):
            return
        self._moved_ns = max(self._moved_ns, ts_ns)
        told = MoneyMove(ts_ns=ts_ns, amount=amount, asked=bool(move_id))
        known = next((one for one in self._moves if one.is_other_word_of(told)), None)
        if known is not None:
            self._moves.remove(known)
            return
        self._moves = [*self._moves[1 - _MOVES_KEPT:], told]
        before, late = self.books.cash, ts_ns <= self._wallet_ns
        if not late:
            self.books.cash += amount
            self.equity += amount
            shift_equity(self.losses, self.governor, self._day, amount)
        elif self._remembered:
            self._shift_what_was_remembered(amount)
        self._record("cash.adjusted", "", ts_ns, CashAdjusted(
            before=before, wallet=self.books.cash, explained=True,
            why="transfer" if not late else f"a transfer of {amount:.2f} USDT that was taken for a result",
        ))

    def _shift_what_was_remembered(self, amount: float) -> None:
        """Move the equities remembered before the wallet was taken over, and not those noted since: they hold it."""
        then, equity = self._remembered, self.books.equity(self.kernel.out[:, col.CLOSE])
        self._remembered = [value + amount for value in then]
        cells = (*range(1, RING_SIZE), LOSS_MIDNIGHT, LOSS_LAST)
        for cell, before in zip(cells, then, strict=False):
            if self.losses[cell] == before:
                self.losses[cell] += amount
        for row, cell, before in ((self.governor, GOV_ROW_PEAK, then[-2]), (self._day, stage.DAY_PEAK, then[-1])):
            since = equity if row[cell] == before else float(row[cell])
            row[cell] = max(before + amount, since, 0.0)

    def _remember(self) -> list[float]:
        """Every equity that losses and drawdown are measured from."""
        cells = (*range(1, RING_SIZE), LOSS_MIDNIGHT, LOSS_LAST)
        return [*(float(self.losses[cell]) for cell in cells), float(self.governor[GOV_ROW_PEAK]),
                float(self._day[stage.DAY_PEAK])]

    def asks_on(self, now_ns: int) -> bool:
        """Whether a wallet was taken over lately that nothing explained: a transfer may be told late."""
        return self._asked_from_ns > 0 and now_ns - self._wallet_ns <= _ASKING_ON_NS

    def moves_since(self, now_ns: int) -> int:
        """From when on money moved may not be known here, ns."""
        agreed_ns = self.reconciler.agreed_ns
        return max(min(agreed_ns, self._asked_from_ns) if self.asks_on(now_ns) else agreed_ns, 0)

    @property
    def misses_money(self) -> bool:
        """Whether the wallet differed at the last look: money may have been moved."""
        return any(one.kind is DifferenceKind.WALLET for one in self.reconciler.open)

    def questions(self) -> list[tuple[str, str]]:
        """(symbol, client order id) of every order the last look missed: whoever can, asks the venue for it."""
        return [
            (one.symbol, one.order_id) for one in self.reconciler.open if one.kind is DifferenceKind.MISSING_ORDER
        ]

    def suspects(self) -> set[str]:
        """Symbols on which the last look disagreed; every one of them when much of the wallet is unexplained."""
        suspects = set()
        for one in self.reconciler.open:
            if one.kind is DifferenceKind.POSITION:
                suspects.add(one.symbol)
            elif one.kind is DifferenceKind.WALLET and abs(one.venue - one.books) > _MUCH * abs(one.books):
                return set(self.symbols)
        return suspects

    # ------------------------------------------------------------------ between bars

    def attention(self, now_ns: int, busy: Collection[str] = ()) -> bool:
        """Whether :meth:`on_timer` would do anything; *busy* symbols have something on its way and are left alone."""
        if any(now_ns > pending.expires_ns and s not in busy for s, pending in self._pending.items()):
            return True
        for position in self.books.positions.values():
            if position.symbol in busy:
                continue
            if position.exit_reason is not None:
                if self.gateway.uncovered(position) > 0.0:
                    return True
            elif not self.gateway.is_protected(position):
                if not self.gateway.in_flight(position.symbol, Purpose.STOP):
                    return True
            elif self._is_timed_out(position, now_ns):
                return True
        return False

    def on_timer(self, now_ns: int, busy: Collection[str] = ()) -> list[Command]:
        """See to openings that expired, to positions that must close, and to those without a stop."""
        commands: list[Command] = []
        for symbol, pending in self._pending.items():
            if now_ns > pending.expires_ns and symbol not in busy:
                commands += self._sent(self.gateway.cancel_openings(now_ns, symbol))
        for position in list(self.books.positions.values()):
            if position.symbol not in busy:
                commands += self._by_itself("position", position.symbol, now_ns, self._attend, position, now_ns) or []
        return commands

    def _attend(self, position: Position, now_ns: int) -> list[Command]:
        """See to one position that must close, or has no stop."""
        if position.exit_reason is not None:
            return self._sent(self.gateway.close(position, now_ns))
        if not self.gateway.is_protected(position):
            return self._unprotected(position, now_ns)
        return self._exit(position, ExitReason.TIMEOUT, now_ns) if self._is_timed_out(position, now_ns) else []

    def _manage(self, position: Position, batch: MarketBatch, market: Any, now_ns: int) -> list[Command]:
        symbol, see_to = position.symbol, super()._manage
        return self._by_itself("position", symbol, now_ns, see_to, position, batch, market, now_ns) or []

    def _by_itself(self, kind: str, symbol: str, now_ns: int, see_to: Callable[..., Any], *arguments: Any) -> Any:
        """See to one position or signal; what fails halts openings, and keeps nobody from seeing to the others."""
        failures = self.shield.failures
        found = self.shield.run(see_to, *arguments)
        if self.shield.failures != failures:
            self.halt(f"the engine failed on the {kind} of {symbol}: {self.shield.last}", now_ns)
        return found

    def _protect_again(self, position: Position, now_ns: int) -> list[Command]:
        """Send another stop for a position without one, a few times; then close it."""
        if position.lost_stops >= 3 or not position.stop > 0.0:
            return self._exit(position, ExitReason.UNPROTECTED, now_ns)
        position.lost_stops += 1
        return self._sent(self.gateway.move_stop(position, now_ns))

    def _is_timed_out(self, position: Position, now_ns: int) -> bool:
        return bool(timed_out(position.entry_ns, now_ns, position.plan.max_hours))

    def note_funding_rate(self, symbol: str, rate_8h: float) -> None:
        """Take the newest funding rate of *symbol*, per 8 hours, for the cost estimate; an unknown one is too dear."""
        if symbol not in self._index:
            raise InputError(f"symbol = {symbol!r}: is not traded here")
        self.sym[self._index[symbol], stage.SYM_FUNDING] = rate_8h if math.isfinite(rate_8h) else math.inf

    # ------------------------------------------------------------------ intents from outside

    def on_intent(self, intent: Intent, now_ns: int) -> list[Command]:
        """Take a wish from outside the signals (a pilot, a person's strategy) down the same road.

        A reducing intent closes the whole position and is never gated. An opening one meets gates, guard and governor;
        refused or expired, it ends as ``trade.failed``. The same intent id twice is one order.
        """
        if intent.symbol not in self._index:
            raise InputError(f"intent.symbol = {intent.symbol!r}: is not traded here; use one of {self.symbols}")
        position = self.books.positions.get(intent.symbol)
        if intent.reduce_only:
            if position is None:
                return self._failed(intent, "NO_POSITION", now_ns)
            return self._exit(position, ExitReason.SIGNAL_FLIP, now_ns)
        if self.gateway.is_claimed(intent.intent_id):
            return []
        self.equity = self.books.equity(self.kernel.out[:, col.CLOSE]) if self.books.positions else self.books.cash
        index = self._index[intent.symbol]
        row = self.kernel.out[index].tolist()
        numbers = self._policy_numbers(index)
        tag_ok = int(self.performance.rows[index, perf.P_TAG] != TAG_BAD)
        used = effective_settings(
            self.integration.switches, numbers[0], numbers[1], tag_ok, *numbers[2:], *self.integration.fixed
        )
        held = position.sign if position is not None else 0
        code = gate(
            intent.side.sign, intent.confidence, row[col.ATR_1H], held, int(intent.symbol in self._pending),
            len(self.books.positions) + len(self._pending), used,
        )
        if code == ROAD_FLIP and position is not None:
            return self._exit(position, ExitReason.SIGNAL_FLIP, now_ns) + self._failed(intent, "CLOSES_FIRST", now_ns)
        if code != ROAD_APPROVED:
            return self._failed(intent, ROAD_REASONS[code], now_ns)
        view = msgspec.structs.replace(
            self._account_view(index, row, now_ns),
            data_ns=min(now_ns, self.now_ns + self._interval_ns) - self._late_ns,  # until the next bar is due
        )
        verdict = can_execute(intent, view, self.instruments[index], self.settings.limits, self._tiers[index])
        if not isinstance(verdict, Approved):
            self._record("risk.denied", intent.trace_id, now_ns, verdict)
            return self._failed(intent, verdict.reason.value, now_ns)
        trend, vol = int(row[col.TREND]), int(self.levels[index])
        self._plan_entry(index, verdict, row[col.ATR_1H], trend, vol, int(used[5]), now_ns)
        return self._sent(self.gateway.open(verdict))

    def _failed(self, intent: Intent, reason: str, now_ns: int) -> list[Command]:
        self._record("trade.failed", intent.trace_id, now_ns, {
            "intent_id": intent.intent_id, "symbol": intent.symbol, "reason": reason, "source": intent.source,
        })
        return []

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            **super().state(), "reconciler": self.reconciler.state(), "seen": self.seen.state(),
            "held": self.held, "began_ns": self.began_ns, "flattening": self.flattening,
            "last_event_ns": self.last_event_ns, "looked_ns": dict(self._looked_ns), "adopted": self._adopted,
            "late": self._late_ns, "wallet_ns": self._wallet_ns, "asked_from_ns": self._asked_from_ns,
            "remembered": list(self._remembered),
            "moved_ns": self._moved_ns, "health_why": self._health_why,
            "moves": [msgspec.to_builtins(move) for move in self._moves], "unclosed": dict(self._unclosed),
            "instruments": self._instruments_in_force(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        super().load_state(state)
        self.reconciler.load_state(state["reconciler"])
        self.seen.load_state(state["seen"])
        self.held, self.flattening = state["held"], state["flattening"]
        self.began_ns, self._looked_ns = state["began_ns"], dict(state["looked_ns"])
        self.last_event_ns, self._adopted, self._late_ns = state["last_event_ns"], state["adopted"], state["late"]
        self._wallet_ns, self._health_why = state["wallet_ns"], state["health_why"]
        self._remembered = list(state["remembered"])
        self._asked_from_ns, self._moved_ns = state["asked_from_ns"], state["moved_ns"]
        self._moves = [msgspec.convert(move, MoneyMove) for move in state["moves"]]
        self._unclosed = dict(state["unclosed"])
        for index, plain in enumerate(state["instruments"]):  # what has changed since is told as an input
            self._take_filters(index, msgspec.convert(plain, Instrument))
