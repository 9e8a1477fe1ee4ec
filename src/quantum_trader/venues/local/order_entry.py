"""Order entry at the local venue: accepted orders enter the market, conditional orders become regular ones."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from quantum_trader.venues.local.account import AccountMirror
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.conditional_orders import ConditionalOrders
from quantum_trader.venues.local.event_log import EventLog
from quantum_trader.venues.local.matching import Matching
from quantum_trader.venues.local.orders import AlgoOrder, Order, OrderTicket
from quantum_trader.venues.local.regular_orders import RegularOrders
from quantum_trader.venues.local.sources import PriceSource, matched_price


class OrderEntry:
    """Enters, amends and triggers orders that have passed the checks; *index* gives each symbol's row.

    With *link_by_order_id* a triggered order has a client id of its own and TRIGGERED is reported before it.
    """

    def __init__(
        self, index: Mapping[str, int], matching: Matching, source: PriceSource, log: EventLog,
        account: AccountMirror, orders: RegularOrders, algos: ConditionalOrders, *, link_by_order_id: bool,
    ) -> None:
        self._index = index
        self._matching = matching
        self._source = source
        self._log = log
        self._account = account
        self._orders = orders
        self._algos = algos
        self._link_by_order_id = link_by_order_id

    def enter(self, ticket: OrderTicket, orig_type: str = "", algo: AlgoOrder | None = None) -> Order:
        """Enter a regular order, that of *algo* where it was triggered; fills at the current price are done then."""
        order = self._orders.create(ticket, self._matching.market.now_ns, orig_type)
        self._source.prepare(self._index[ticket.symbol], ticket)
        if not ticket.client_id:
            order.ticket = msgspec.structs.replace(ticket, client_id=f"venue-{order.order_id}")
        self._matching.submit(order)
        if algo is not None:
            self._algos.link(algo, order)
            if self._link_by_order_id:
                self._algos.set_status(algo, "TRIGGERED")
        self._log.order(order, "NEW")
        self._source.fill(order)
        self._expire_rest(order)
        return order

    def _expire_rest(self, order: Order) -> None:
        """Expire the unfilled part of an order that may not rest."""
        market = order.ticket.type == "MARKET"
        if order.is_open and (market or order.ticket.tif in ("IOC", "FOK")):
            self._matching.cancel(order, "EXPIRED", "9" if market else "2")

    def cancel(self, order: Order) -> Order:
        """Cancel an open order; -2011 when it is not open."""
        if not order.is_open:
            raise VenueApiError(-2011)
        self._matching.cancel(order, "CANCELED", "0")
        return order

    def expire(self, order: Order) -> None:
        """End an open order whose time is over."""
        self._matching.cancel(order, "EXPIRED", "0")

    def amend(self, order: Order, changed: OrderTicket) -> Order:
        """Give an open limit order the quantity and price of *changed*; it keeps its id and its fills."""
        if changed.qty <= order.filled:
            return self.cancel(order)
        now = self._matching.market.now_ns
        order.ticket, order.qty, order.price, order.updated_ns = changed, changed.qty, changed.price, now
        self._source.prepare(self._index[changed.symbol], changed)
        self._matching.renew(order)
        self._log.order(order, "AMENDMENT")
        self._source.fill(order)
        return order

    def trigger(self, algo: AlgoOrder) -> None:
        """Turn a conditional order into a regular one at the current price; REJECTED where that is refused."""
        ticket = algo.ticket
        self._algos.begin_trigger(algo)
        qty = ticket.qty
        if ticket.close_position:
            qty = abs(self._account.holding(self._index[ticket.symbol]).qty)
        kind = "LIMIT" if ticket.type in ("STOP", "TAKE_PROFIT") else "MARKET"
        client_id = f"venue-{self._orders.next_id}" if self._link_by_order_id else ticket.client_id
        regular = msgspec.structs.replace(
            ticket, type=kind, qty=qty, client_id=client_id, reduce_only=ticket.reduce_only or ticket.close_position,
            tif=ticket.tif if kind == "LIMIT" and ticket.tif != "GTE_GTC" else "GTC",
        )
        try:
            if qty <= 0.0:
                raise VenueApiError(-2022)
            if kind == "LIMIT" and ticket.price_match != "NONE":
                index = self._index[ticket.symbol]
                price = matched_price(self._source, index, ticket.sign, ticket.price_match)
                regular = msgspec.structs.replace(regular, price=price)
            order = self.enter(regular, ticket.type, algo)
        except VenueApiError as error:
            algo.reason = "Reduce Only reject" if error.code == -2022 else error.message
            self._algos.set_status(algo, "REJECTED")
            return
        if order.is_open and not self._link_by_order_id:
            self._algos.set_status(algo, "TRIGGERED")
