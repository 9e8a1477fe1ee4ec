"""Differences between books and account that may last for a moment only, each with its deadline.

They are examined whenever the exchange changes, and again at the deadline, which follows from the faults since
(:mod:`.deadlines`); nothing is allowed beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from quantum_trader.domain.enums import OrderSide, OrderType
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.engine.core import Engine
from quantum_trader.engine.ids import OWN_PREFIX
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.check_context import CheckContext
from quantum_trader.lab.simulation.deadlines import NEVER_S

_SAME: Final = 1e-9
_CENT: Final = 0.01  # USDT
_AFTER_S: Final = 1e-3  # from a deadline to its examination


class _Wrong(NamedTuple):
    """One difference that exists now. *moved_s*: when position or money last changed; its deadline counts from then.

    *by_look*: only a reconciliation shows it. *by_tick*: the trader repeats a failed order at a tick. *at_tick*: it
    acts at a tick alone, also without a fault.
    """

    key: str
    invariant: str
    detail: str
    since_s: float
    symbol: str
    moved_s: float = NEVER_S
    by_look: bool = False
    by_tick: bool = False
    at_tick: bool = False


class AccountChecks:
    """Compares the trader's books and orders with the exchange's account."""

    def __init__(self, context: CheckContext) -> None:
        self.exchange = exchange = context.exchange
        self.disruptions, self.bounds, self._fail = context.disruptions, context.bounds, context.fail
        self.engine: Engine | None = None
        self.worst: dict[str, float] = {}  # difference and reason of its deadline -> the longest it lasted, seconds
        self._since: dict[str, tuple[float, float]] = {}  # key -> since when, and when it last changed
        self._due_s = float("inf")
        self._sent_s: dict[str, float] = {}
        self._moved_s = dict.fromkeys(exchange.symbols, NEVER_S)  # the last fill of each symbol
        self._fills = self._cancels = 0  # of the exchange, taken in
        self._wallet, self._wallet_s = exchange.paper.balance().wallet, NEVER_S
        self._flatten_s = -1.0
        self._looked_at = (-1, -1)

    # ------------------------------------------------------------------ what happens

    def begin(self, engine: Engine) -> None:
        """A trader with *engine* runs from now on."""
        self.engine = engine
        self._since.clear()
        self.examine()

    def end(self) -> None:
        """No trader runs."""
        self.engine = None
        self._since.clear()

    def sent(self, order_id: str) -> None:
        """An order leaves the trader."""
        self._sent_s[order_id] = self.exchange.loop.time()

    def flatten(self, in_force: bool) -> None:
        """The trader has accepted a flatten, or a resume that ends it."""
        self._flatten_s = self.exchange.loop.time() if in_force else -1.0
        self.examine()

    def moved(self) -> None:
        """The exchange has changed: take in its fills, wallet and cancelled stops."""
        exchange, now = self.exchange, self.exchange.loop.time()
        while self._fills < len(exchange.fills):
            self._moved_s[exchange.fills[self._fills].symbol] = now
            self._fills += 1
        wallet = exchange.paper.balance().wallet
        if wallet != self._wallet:
            self._wallet, self._wallet_s = wallet, now
        self.examine()
        while self._cancels < len(exchange.cancelled):
            self._stop_cancelled(exchange.cancelled[self._cancels])
            self._cancels += 1

    def books_agree(self) -> bool:
        """Whether positions and money agreed at the last examination."""
        return not any(key.startswith(("books/", "wallet")) for key in self._since)

    def left_bare(self) -> list[str]:
        """Symbols with a position and no stop for all of it, or with an entry at rest that may fill, now."""
        orders = self.exchange.paper.open_orders()
        halted = dict(zip(self.exchange.symbols, self.exchange.market.halted, strict=True))
        entries = [order.symbol for order in orders if order.type is OrderType.LIMIT_MAKER]
        return entries + [
            position.symbol for position in self.exchange.paper.positions()
            if not halted[position.symbol] and not is_protected(position.symbol, position.qty, orders)
        ]

    # ------------------------------------------------------------------ examining

    def look(self, records: int) -> None:
        """Examine, unless exchange and records are unchanged since an examination that found nothing."""
        state = (self.exchange.version, records)
        if state != self._looked_at or self._since or self._flatten_s >= 0.0:
            self._looked_at = state
            self.examine()

    def examine(self) -> None:
        """Compare everything, and schedule the next examination at the earliest deadline."""
        engine = self.engine
        if engine is None:
            return
        positions, orders = self.exchange.paper.positions(), self.exchange.paper.open_orders()
        wrong = [
            *self._books(engine, positions), *self._symbols(engine, positions, orders), *self._outcomes(engine),
            *self._foreign(),
        ]
        if self._since:
            still = {one.key for one in wrong}
            for key in [key for key in self._since if key not in still]:
                del self._since[key]
        if not wrong:
            return
        now, soonest = self.exchange.loop.time(), min(self._judge(one) for one in wrong)
        if soonest < self._due_s or self._due_s <= now < soonest:
            self._due_s = soonest
            self.exchange.loop.call_at(soonest + _AFTER_S, self._look_again, soonest)

    def _look_again(self, due_s: float) -> None:
        if due_s == self._due_s:
            self._due_s = float("inf")
        self.examine()

    def _judge(self, one: _Wrong) -> float:
        """Fail when *one* has lasted past its deadline; returns the deadline."""
        now = self.exchange.loop.time()
        began, since = self._since.get(one.key, (one.since_s, one.since_s))
        since = max(since, one.moved_s)
        self._since[one.key] = (began, since)
        deadline, why = self.disruptions.deadline(since, self.bounds, one.symbol, by_look=one.by_look, wrong_s=began)
        takes: float = getattr(self.bounds, f"{why}_s")
        topic = f"{one.key.partition('/')[0]}, {why}"
        self.worst[topic] = max(self.worst.get(topic, 0.0), now - deadline + takes)
        if one.at_tick or (one.by_tick and why != "told"):
            deadline += self.bounds.attended_s
        if now > deadline:
            self._fail(one.invariant, f"{one.detail}, for {now - since:.2f} s; what is {why} takes {takes:.2f} s")
        return deadline

    def _books(self, engine: Engine, positions: list[VenuePosition]) -> Iterator[_Wrong]:
        """Positions and money of the books are the exchange's."""
        theirs = {position.symbol: position.qty for position in positions}
        for symbol in self.exchange.symbols:
            held = trader_view.position(engine, symbol)
            ours, qty = held.sign * held.qty if held is not None else 0.0, theirs.get(symbol, 0.0)
            if abs(ours - qty) > _SAME:
                yield _Wrong(
                    f"books/{symbol}", "books equal the exchange", f"{symbol}: books {ours:g}, exchange {qty:g}",
                    self._moved_s[symbol], symbol, self._moved_s[symbol],
                )
        cash = trader_view.cash(engine)
        if abs(self._wallet - cash) > _CENT:
            by_others = self._moved_by_others()
            moved_s = self._wallet_s + (self.bounds.found_s if by_others else 0.0)  # its fills may be read after that
            yield _Wrong(
                "wallet", "the books' money equals the wallet", f"books {cash:.4f} USDT, wallet {self._wallet:.4f}",
                self._wallet_s, "", moved_s, by_look=by_others,
            )

    def _moved_by_others(self) -> bool:
        """Whether another client has moved the wallet lately, or before this start: a reconciliation shows it."""
        result_s, lately_s = self.exchange.clients.result_s, 3.0 * self.bounds.found_s
        since_s = max(result_s, self.disruptions.began_s)
        return result_s > NEVER_S and self.exchange.loop.time() - since_s <= lately_s

    def _symbols(
        self, engine: Engine, positions: list[VenuePosition], orders: list[VenueOrder]
    ) -> Iterator[_Wrong]:
        """Differences of each symbol that trades."""
        held = {position.symbol: position for position in positions}
        for symbol, halted in zip(self.exchange.symbols, self.exchange.market.halted, strict=True):
            if halted:
                continue
            own = [o for o in orders if o.symbol == symbol and o.client_order_id.startswith(OWN_PREFIX)]
            position = held.get(symbol)
            if position is not None:
                yield from self._held(engine, position, own, orders)
            entries = [order for order in own if order.type is OrderType.LIMIT_MAKER]
            left = entries if position is not None else own
            if left and not self._rests(engine, left):
                ids = ", ".join(order.client_order_id for order in left)
                detail = f"{'open' if position is not None else 'flat'}, and at the exchange rest {ids}"
                yield self._now(f"left/{symbol}", "nothing is left behind", detail, at_tick=left == entries)
            if self._flatten_s >= 0.0 and any(not order.reduce_only for order in own):
                yield self._now(f"opening/{symbol}", "flatten ends flat", "an order of ours still opens", by_tick=True)

    def _rests(self, engine: Engine, own: list[VenueOrder]) -> bool:
        """Whether the *own* orders of a symbol that protect no position are one entry that may rest there."""
        now_ns, entry = self.exchange.now_ns(), own[0]
        return (
            len(own) == 1 and entry.type is OrderType.LIMIT_MAKER and not entry.reduce_only
            and trader_view.may_rest(engine, entry.symbol, now_ns)
        )

    def _held(
        self, engine: Engine, held: VenuePosition, own: list[VenueOrder], orders: list[VenueOrder]
    ) -> Iterator[_Wrong]:
        """A position has its stop, before its liquidation price, and closes when it should."""
        symbol, qty, position = held.symbol, held.qty, trader_view.position(engine, held.symbol)
        leaves = position is not None and position.exit_reason is not None
        if not is_protected(symbol, qty, orders):
            interfered_s = self.exchange.loop.time() - self.disruptions.people_s.get(symbol, NEVER_S)
            yield self._now(  # a stop whose cancelling was found out is placed again at a tick
                f"stop/{symbol}", "every position has its stop", f"{qty:g} has no stop for all of it",
                by_tick=leaves or interfered_s <= 2.0 * self.bounds.found_s,
            )
        stops = [o.stop_price for o in own if o.type is OrderType.STOP_MARKET and is_protected(symbol, qty, [o])]
        liquidation = held.liquidation_price
        stays = not is_protected(symbol, qty, [o for o in own if o.type is OrderType.MARKET and o.reduce_only])
        if stays and stops and liquidation > 0.0 and all((stop - liquidation) * qty <= 0.0 for stop in stops):
            yield self._now(
                f"liquidation/{symbol}", "a stop comes before the liquidation",
                f"{qty:g}: stop {stops}, liquidation {liquidation:g}", by_look=True,
            )
        if not leaves and self._flatten_s < 0.0:
            return
        if stays and leaves and not _is_filling(own):
            yield self._now(
                f"close/{symbol}", "what should close closes", f"{qty:g} should close, and no order closes it",
                by_tick=True,
            )
        if stays and self._flatten_s >= 0.0:
            yield self._now(f"flatten/{symbol}", "flatten ends flat", f"{qty:g} is open", by_tick=True)

    def _foreign(self) -> Iterator[_Wrong]:
        """A position in a symbol that is not traded here has a stop too."""
        clients = self.exchange.clients
        orders = clients.orders()
        for position in clients.positions():
            if not is_protected(position.symbol, position.qty, orders):
                symbol, lost_s = position.symbol, self.disruptions.requests_s  # a lost stop shows at the next look
                yield _Wrong(
                    f"foreign/{symbol}", "every foreign position has its stop",
                    f"{symbol}: {position.qty:g} has no stop for all of it", self.exchange.loop.time(), symbol,
                    lost_s + self.bounds.found_s, by_look=True, by_tick=True,
                )

    def _outcomes(self, engine: Engine) -> Iterator[_Wrong]:
        """The outcome of every sent order becomes known."""
        now = self.exchange.loop.time()
        for ticket in trader_view.tickets(engine):
            if not (ticket.resting or ticket.over):
                order_id = ticket.client_order_id
                yield _Wrong(
                    f"outcome/{order_id}", "unknown outcomes are found out",
                    f"nothing is known of {order_id} ({ticket.purpose.value} {ticket.symbol})",
                    self._sent_s.get(order_id, now), ticket.symbol,
                )

    def _now(
        self, key: str, invariant: str, detail: str, *, by_look: bool = False, by_tick: bool = False,
        at_tick: bool = False,
    ) -> _Wrong:
        """A difference of one symbol that exists from now on, unless it existed before."""
        symbol = key.partition("/")[2]
        return _Wrong(
            key, invariant, f"{symbol}: {detail}", self.exchange.loop.time(), symbol, by_look=by_look, by_tick=by_tick,
            at_tick=at_tick,
        )

    def _stop_cancelled(self, order: VenueOrder) -> None:
        """The trader cancelled a stop: if it alone protected a position, another must already rest.

        The stops of a growing position replace each other; they are judged by how long a part has no stop.
        """
        qty = self.exchange.position_qty(order.symbol)
        orders = self.exchange.paper.open_orders(order.symbol)
        interfered_s = self.disruptions.people_s.get(order.symbol, NEVER_S)
        by_people = self.exchange.loop.time() - interfered_s <= self.bounds.told_s
        if qty == 0.0 or by_people or is_protected(order.symbol, qty, orders):
            return
        if is_protected(order.symbol, qty, [order]):
            self._fail(
                "a new stop is placed before the old one goes",
                f"{order.client_order_id} was cancelled, and {order.symbol} {qty:g} has no other",
            )


def is_protected(symbol: str, qty: float, orders: list[VenueOrder]) -> bool:
    """Whether stops (or a close on its way) cover all of a position."""
    side = OrderSide.SELL if qty > 0.0 else OrderSide.BUY
    covered = ordered_sum(
        order.qty - order.filled_qty for order in orders
        if order.symbol == symbol and order.side is side and order.reduce_only
        and order.type in (OrderType.STOP_MARKET, OrderType.MARKET)
    )
    return covered >= abs(qty) * (1.0 - _SAME)


def _is_filling(orders: list[VenueOrder]) -> bool:
    """Whether a stop or target has triggered and fills in parts."""
    return any(order.type is not OrderType.MARKET and order.filled_qty > 0.0 for order in orders)
