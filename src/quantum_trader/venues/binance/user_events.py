"""Converts the account's stream to domain events: an execution comes before the status it led to.

A stop that triggers becomes a regular order with another id. Its executions carry the client id of the stop,
whether the venue repeats that id, gives its own, or reports the trigger only after the execution.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.trading import OrderUpdate
from quantum_trader.engine.venue_port import StreamEvent
from quantum_trader.venues.binance import parse, wire
from quantum_trader.venues.binance.orders import OrderDirectory, OrderService

_FINAL: Final = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED})


class UserEvents:
    """Converts frames to events, in order.

    *find_parent* queries the venue for the conditional order of an order id; *fee* converts a fee to USDT; *mark_price*
    is the last one seen of a symbol, 0.0 without one.
    """

    def __init__(
        self, directory: OrderDirectory, *, find_parent: Callable[[str, int], Awaitable[str | None]],
        fee: Callable[[str, str, float, float], Awaitable[float]], mark_price: Callable[[str], float],
    ) -> None:
        self._directory = directory
        self._find_parent = find_parent
        self._fee = fee
        self._mark_price = mark_price

    async def events(self, frame: wire.UserFrame) -> list[StreamEvent]:
        """Return the events of a frame; empty when another frame carries the same with more detail."""
        if type(frame) is wire.OrderFrame:
            return await self._order(frame.o)
        if type(frame) is wire.AlgoFrame:
            return self._algo(frame)
        if type(frame) is wire.AccountFrame:
            wallet, funding = parse.wallet_change(frame), parse.funding_of_event(
                frame, self._mark_price(frame.a.P[0].s) if frame.a.P else 0.0
            )
            return [event for event in (funding, wallet) if event is not None]
        if type(frame) is wire.ConfigFrame:
            change = parse.leverage_change(frame)
            return [change] if change is not None else []
        return []  # TRADE_LITE: ORDER_TRADE_UPDATE has the same execution with its fee

    async def _order(self, body: wire.OrderBody) -> list[StreamEvent]:
        client_id, child = await self._client_id(body)
        events: list[StreamEvent] = []
        if parse.fills_now(body):
            fee = await self._fee(body.s, body.N or parse.QUOTE_ASSET, body.n, body.l * body.L)
            events.append(parse.fill_of_event(body, client_id, fee))
        update = parse.update_of_event(body, client_id)
        if child and update.status is OrderStatus.NEW:
            return events  # the stop was acknowledged long ago
        if update.status in _FINAL:
            self._directory.end(client_id)
        return [*events, update]

    async def _client_id(self, body: wire.OrderBody) -> tuple[str, bool]:
        """The client id of an order event, and whether it is of a triggered conditional order."""
        parent = self._directory.parent(body.i)
        if parent is None and self._directory.service(body.c) is OrderService.ALGO:
            parent = body.c
            self._directory.add_algo(parent, body.s, str(body.i))
        if parent is None and self._directory.service(body.c) is None and self._directory.waiting(body.s):
            parent = await self._find_parent(body.s, body.i)
            if parent is not None:
                self._directory.add_algo(parent, body.s, str(body.i))
        if parent is not None:
            return parent, True
        self._directory.add_order(body.i, body.c)
        return body.c, False

    def _algo(self, frame: wire.AlgoFrame) -> list[StreamEvent]:
        body = frame.o
        self._directory.add_algo(body.caid, body.s, body.ai)
        status = parse.algo_status(body.X)
        if body.X not in parse.ALGO_ENDED:
            return [self._update(frame, status)] if body.X == "NEW" else []
        if self._directory.ended(body.caid) or (body.X == "FINISHED" and parse.number_or_zero(body.aq) > 0.0):
            return []  # the order it became reports the end, after its executions
        self._directory.end(body.caid)
        return [self._update(frame, status)]

    @staticmethod
    def _update(frame: wire.AlgoFrame, status: OrderStatus) -> OrderUpdate:
        body = frame.o
        word = body.X if body.X in ("EXPIRED", "REJECTED") else ""
        return OrderUpdate(
            client_order_id=body.caid, venue_order_id=str(body.aid), symbol=body.s, status=status,
            ts_ns=parse.event_time_ns(frame.T), reason=f"{word} {body.rm}".strip(),
        )
