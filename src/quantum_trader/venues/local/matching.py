"""Matching at the local venue: the paper venue fills, and its events become orders, trades and account events."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import round_to
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.venues.local.account import AccountMirror
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.coin_fees import COIN
from quantum_trader.venues.local.conditional_orders import ConditionalOrders
from quantum_trader.venues.local.event_log import EventLog
from quantum_trader.venues.local.market import LocalMarket
from quantum_trader.venues.local.orders import Order, OrderTicket, Trade
from quantum_trader.venues.local.regular_orders import RegularOrders
from quantum_trader.venues.paper.venue import PaperVenue


class Matching:
    """Sends orders and prices to the paper venue and reports what follows. *trades* are the account's, oldest first."""

    def __init__(
        self, paper: PaperVenue, market: LocalMarket, log: EventLog, account: AccountMirror, orders: RegularOrders,
        algos: ConditionalOrders,
    ) -> None:
        self.paper = paper
        self.market = market
        self.trades: list[Trade] = []
        self._log = log
        self._account = account
        self._orders = orders
        self._algos = algos
        self._index = {symbol: index for index, symbol in enumerate(paper.symbols)}
        self._next_trade = 1

    # ------------------------------------------------------------------ prices

    def step(self, target: NDArray[np.float64]) -> None:
        """Move every symbol from its last price to *target* in the paper venue."""
        batch = self.market.step_to(target)
        # Funding and waiting orders are processed at the open, everything else along the line.
        self.report(self.paper.on_open(batch))
        self.report(self.paper.on_range(batch))

    def settle(self) -> None:
        """Fill what can be filled at the current prices, without letting time pass."""
        self.step(self.market.last)

    # ------------------------------------------------------------------ orders

    def submit(self, order: Order) -> None:
        """Send a new order to the paper venue and keep it; VenueApiError with Binance's code where it is refused."""
        update = self._submitted(self._request(order))
        if update.status is OrderStatus.REJECTED:
            raise VenueApiError(*_code_of(update.reason, self.paper.instrument(order.ticket.symbol).min_notional))
        self._orders.keep(order)
        self._orders.open[order.paper_id] = order

    def cancel(self, order: Order, status: str, expiry: str) -> None:
        """Take an open order from the paper venue and end it with *status*."""
        self._orders.open.pop(order.paper_id, None)
        self._withdraw(order)
        self._end(order, status, expiry)

    def renew(self, order: Order) -> None:
        """Send the unfilled part of an open order to the paper venue as a new order there."""
        self._orders.open.pop(order.paper_id)
        self._withdraw(order)
        order.paper_id = f"{order.paper_id}+"
        left = round_to(order.qty - order.filled, self.paper.instrument(order.ticket.symbol).step_size)
        update = self._submitted(msgspec.structs.replace(self._request(order), qty=left))
        if update.status is OrderStatus.REJECTED:
            self._end(order, "EXPIRED", "4")
            return
        self._orders.open[order.paper_id] = order

    def _request(self, order: Order) -> OrderRequest:
        ticket = order.ticket
        limit = ticket.type == "LIMIT"
        return OrderRequest(
            client_order_id=order.paper_id, intent_id="", trace_id="", symbol=ticket.symbol,
            side=OrderSide(ticket.side), type=OrderType.LIMIT if limit else OrderType.MARKET, qty=order.qty,
            created_ns=self.market.stamp_ns, price=order.price if limit else 0.0, reduce_only=ticket.reduce_only,
        )

    def _submitted(self, request: OrderRequest) -> OrderUpdate:
        update = self.paper.submit(request)[0]
        assert isinstance(update, OrderUpdate)
        return update

    def _withdraw(self, order: Order) -> None:
        self.paper.cancel(
            CancelRequest(
                client_order_id=order.paper_id, symbol=order.ticket.symbol, created_ns=self.market.stamp_ns
            )
        )

    def _end(self, order: Order, status: str, expiry: str) -> None:
        """Set an order's final status and report it."""
        order.status, order.expiry, order.updated_ns = status, expiry, self.market.now_ns
        self._log.order(order, status)
        self._algos.finish(order)

    # ------------------------------------------------------------------ events of the paper venue

    def report(self, events: Iterable[VenueEvent], forced_id: str = "") -> None:
        """Translate events of the paper venue, in order; *forced_id* is the client id of an order the venue sends."""
        for event in events:
            if isinstance(event, Fill):
                self._filled(event, forced_id)
            elif isinstance(event, FundingPayment):
                index = self._index[event.symbol]
                price = float(self.market.last[index])
                self._log.add(self._account.funded(index, event.amount, price, self.market.now_ns))
            elif event.status not in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED):
                order = self._orders.open.pop(event.client_order_id, None)
                if order is not None:  # the paper venue took it off the book by itself
                    self._end(order, "EXPIRED", "4")

    def _filled(self, fill: Fill, forced_id: str) -> None:
        """Book one fill: the order, the trade, the account, and the events of each."""
        index, now = self._index[fill.symbol], self.market.now_ns
        order = self._orders.open.get(fill.client_order_id) or self._forced_order(fill, forced_id)
        trade_id, self._next_trade = self._next_trade, self._next_trade + 1
        coin_fee = 0.0 if fill.liquidation else self._account.coin.pay(fill.fee, now)
        if coin_fee:
            self.paper.pay(fill.fee)  # it took USDT, which stay
        leverage = self.paper.leverage(fill.symbol)
        realised, account = self._account.filled(index, fill, leverage, trade_id, now, coin_fee)
        order.filled = round(order.filled + fill.qty, 12)
        order.quote += fill.qty * fill.price
        order.average = order.quote / order.filled
        order.maker, order.updated_ns = fill.liquidity == "maker", now
        order.status = "FILLED" if order.filled >= order.qty * (1.0 - 1e-12) else "PARTIALLY_FILLED"
        trade = Trade(
            trade_id=trade_id, order_id=order.order_id, client_id=order.ticket.client_id, symbol=fill.symbol,
            side=fill.side.value, qty=fill.qty, price=fill.price, fee=coin_fee or fill.fee, realised=realised,
            maker=order.maker, ts_ns=now, liquidation=fill.liquidation, fee_asset=COIN if coin_fee else "USDT",
        )
        self.trades.append(trade)
        self._log.add(account)
        self._log.order(order, "CALCULATED" if fill.liquidation else "TRADE", trade)
        if order.status == "FILLED":
            self._orders.open.pop(order.paper_id, None)
            self._algos.finish(order)

    def _forced_order(self, fill: Fill, forced_id: str) -> Order:
        """Return the order that the venue itself sends to liquidate, deleverage or settle."""
        if fill.liquidation:
            forced_id = f"autoclose-{self._orders.next_id}"
            self._algos.expire_all(self._index[fill.symbol])
        ticket = OrderTicket(
            symbol=fill.symbol, side=fill.side.value, type="LIMIT" if fill.liquidation else "MARKET", qty=fill.qty,
            price=fill.price if fill.liquidation else 0.0, client_id=forced_id, reduce_only=True, tif="IOC",
        )
        order = self._orders.create(ticket, self.market.now_ns, "LIQUIDATION" if fill.liquidation else "MARKET")
        self._orders.keep(order)
        self._log.order(order, "NEW")
        return order


def _code_of(reason: str, min_notional: float) -> tuple[int, object]:
    """Return Binance's code for a refusal of the paper venue, with the detail its message shows."""
    return int(reason.split(" ", 1)[0]), f"{min_notional:g}"
