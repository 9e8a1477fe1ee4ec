"""The conditional orders of the account: the algo service that holds them until a price triggers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.event_log import EventLog
from quantum_trader.venues.local.market import LocalMarket
from quantum_trader.venues.local.orders import AlgoOrder, Order, OrderTicket
from quantum_trader.venues.local.regular_orders import RegularOrders

_FIRST_ID: Final = 1_000_000_000_000_000  # the algo service has its own id space


class ConditionalOrders:
    """Keeps conditional orders and finds those that a price triggers; *index* gives each symbol's row."""

    def __init__(self, index: Mapping[str, int], market: LocalMarket, log: EventLog, orders: RegularOrders) -> None:
        self.by_id: dict[int, AlgoOrder] = {}
        self.waiting: list[list[AlgoOrder]] = [[] for _ in index]
        self._index = index
        self._market = market
        self._log = log
        self._orders = orders
        self._origin: dict[int, AlgoOrder] = {}  # regular order id -> the conditional order it came from
        self._next_id = _FIRST_ID

    # ------------------------------------------------------------------ life of an order

    def add(self, ticket: OrderTicket) -> AlgoOrder:
        """Take an accepted conditional order."""
        index = self._index[ticket.symbol]
        algo = AlgoOrder(self._next_id, ticket, self._market.now_ns)
        self._next_id += 1
        if not ticket.client_id:
            algo.ticket = msgspec.structs.replace(ticket, client_id=f"algo-{algo.algo_id}")
        algo.follow(float(self._market.last[index]))
        self.by_id[algo.algo_id] = algo
        self.waiting[index].append(algo)
        self.set_status(algo, "NEW")
        return algo

    def cancel(self, algo: AlgoOrder, status: str = "CANCELED") -> AlgoOrder:
        """Remove a waiting conditional order; -2011 when it does not wait any more."""
        if not algo.is_open:
            raise VenueApiError(-2011)
        self.waiting[self._index[algo.ticket.symbol]].remove(algo)
        self.set_status(algo, status)
        return algo

    def expire_all(self, index: int) -> None:
        """Expire every waiting conditional order of the symbol."""
        for algo in tuple(self.waiting[index]):
            self.cancel(algo, "EXPIRED")

    def begin_trigger(self, algo: AlgoOrder) -> None:
        """Remove a conditional order from the waiting ones because its price was reached."""
        self.waiting[self._index[algo.ticket.symbol]].remove(algo)
        algo.triggered_ns = self._market.now_ns
        self.set_status(algo, "TRIGGERING")

    def link(self, algo: AlgoOrder, order: Order) -> None:
        """Note which regular order a conditional one became."""
        algo.actual_id = order.order_id
        self._origin[order.order_id] = algo

    def finish(self, order: Order) -> None:
        """Finish the conditional order that became *order*, which has ended; nothing where there is none."""
        algo = self._origin.pop(order.order_id, None)
        if algo is None:
            return
        if algo.status == "TRIGGERING":
            self.set_status(algo, "TRIGGERED")
        self.set_status(algo, "FINISHED")

    def set_status(self, algo: AlgoOrder, status: str) -> None:
        """Change a conditional order's status and report it."""
        algo.status, algo.updated_ns = status, self._market.now_ns
        self._log.algo(algo, self._orders.by_id.get(algo.actual_id))

    # ------------------------------------------------------------------ prices

    def next_between(self, index: int, price: float, target: float) -> AlgoOrder | None:
        """Return the order whose trigger is reached first on the way from *price* to *target*; None without one."""
        reached = [
            algo for algo in self.waiting[index]
            if algo.is_open and algo.level > 0.0
            and ((price <= algo.level <= target) if algo.rising else (target <= algo.level <= price))
        ]
        return min(reached, key=lambda found: (abs(found.level - price), found.algo_id), default=None)

    def follow(self, index: int, price: float) -> None:
        """Update the symbol's trailing stops with a new price."""
        for algo in self.waiting[index]:
            algo.follow(price)

    # ------------------------------------------------------------------ questions

    def find(self, algo_id: int = 0, client_id: str = "") -> AlgoOrder | None:
        """Return the conditional order of that id, or the newest one of that client id; None without one."""
        if algo_id:
            return self.by_id.get(algo_id)
        return next((algo for algo in reversed(self.by_id.values()) if algo.ticket.client_id == client_id), None)

    def open_of(self, symbol: str = "") -> list[AlgoOrder]:
        """Return the waiting conditional orders, of all symbols or one, oldest first."""
        found = [algo for waiting in self.waiting for algo in waiting if not symbol or algo.ticket.symbol == symbol]
        return sorted(found, key=lambda algo: algo.algo_id)


def is_passed(algo: AlgoOrder, price: float) -> bool:
    """Whether *price* is at or beyond the trigger."""
    level = algo.level
    return level > 0.0 and (price >= level if algo.rising else price <= level)
