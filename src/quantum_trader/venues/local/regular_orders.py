"""The regular orders of the account: every one by id, and the open ones by the paper venue's id."""

from __future__ import annotations

from typing import Final

from quantum_trader.venues.local.orders import Order, OrderTicket

_FIRST_ID: Final = 8_886_774_000


class RegularOrders:
    """Numbers, keeps and finds regular orders. *open* holds those that may still fill, oldest first."""

    def __init__(self) -> None:
        self.by_id: dict[int, Order] = {}
        self.open: dict[str, Order] = {}
        self.next_id = _FIRST_ID

    def create(self, ticket: OrderTicket, now_ns: int, orig_type: str = "") -> Order:
        """Return a new order with an id of its own, not kept yet."""
        order = Order(self.next_id, ticket, now_ns, orig_type)
        self.next_id += 1
        return order

    def keep(self, order: Order) -> None:
        """Keep an order for later questions."""
        self.by_id[order.order_id] = order

    def find(self, symbol: str, order_id: int = 0, client_id: str = "") -> Order | None:
        """Return the order of that id, or the newest one of that client id; None when there is none."""
        if order_id:
            order = self.by_id.get(order_id)
            return order if order is not None and order.ticket.symbol == symbol else None
        for order in reversed(self.by_id.values()):
            if order.ticket.client_id == client_id and order.ticket.symbol == symbol:
                return order
        return None

    def open_of(self, symbol: str = "") -> list[Order]:
        """Return the open orders, of all symbols or one, oldest first."""
        return [order for order in self.open.values() if not symbol or order.ticket.symbol == symbol]
