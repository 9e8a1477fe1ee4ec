"""Sends orders and cancels, each in a task of its own, so that an answer that does not come delays nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import InputError, VenueError, VenueUnavailable
from quantum_trader.domain.trading import CancelRequest, OrderRequest, OrderUpdate
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.ports import Rejection, VenueEvent, VenueOrder
from quantum_trader.engine.refusals import FILTERS, is_of
from quantum_trader.engine.venue_port import PreparingVenue
from quantum_trader.live.account import AccountReader
from quantum_trader.live.context import LiveContext
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.live.requests import RequestTasks
from quantum_trader.live.timing import UNREACHED, Backoff

_FILTERS_WAIT_S: Final = 1.5  # an order refused for a filter is reported once the filters are read, or after this long


class OpeningCheck:
    """Decides whether an opening order may go out now."""

    def __init__(self, context: LiveContext, leverages: LeverageKeeper) -> None:
        self.context, self.leverages = context, leverages

    def is_ready(self, request: OrderRequest) -> bool:
        """Whether the order can go out at once: its leverage is known and it has not expired."""
        ready = self.leverages.is_ready(request.symbol, request.leverage)
        return ready and self.context.clock.now_ns() <= self.context.engine.opening.orders.expires_ns(request)

    async def refusal(self, request: OrderRequest, ready: bool) -> str:
        """Why the order may not go out; empty when it may. *ready*: its leverage is known.

        It may not with another leverage in force, after its time, or when openings were halted since it was decided.
        """
        if not ready and (refusal := await self.leverages.ensure(request.symbol, request.leverage)):
            return refusal
        engine = self.context.engine
        ticket = engine.gateway.ticket(request.client_order_id)
        halted = "the process stops" if self.context.winding_down else engine.halts.closed(request.symbol)
        if halted or ticket is None or ticket.over:
            return f"HALTED: {halted or 'it was given up'}"
        now_ns = self.context.clock.now_ns()
        if now_ns > engine.opening.orders.expires_ns(request):
            return f"EXPIRED: {(now_ns - request.created_ns) / NS_PER_SECOND:.1f} s old"
        return ""


class Sending:
    """Sends commands and reports what became of them."""

    def __init__(
        self, context: LiveContext, requests: RequestTasks, openings: OpeningCheck, account: AccountReader,
        report: Callable[[VenueEvent], None],
    ) -> None:
        """*report* takes an event of the venue."""
        self.context, self.requests = context, requests
        self._openings, self._account, self._report = openings, account, report
        self._prepares = context.venue if isinstance(context.venue, PreparingVenue) else None

    def send(self, commands: list[Command]) -> None:
        """Send *commands*, each in a task of its own."""
        for command in commands:
            if self.context.closed:
                return  # the next start queries it
            self.context.counts["commands"] += 1
            if isinstance(command, OrderRequest):
                job = self.order(command, self._prepared(command))
            else:
                job = self.cancel(command)
            self.requests.start(job, command.symbol)

    def _prepared(self, request: OrderRequest) -> Any:
        """The order's bytes, made at once if the venue can and nothing must be read first; otherwise None."""
        if self._prepares is None or (not request.reduce_only and not self._openings.is_ready(request)):
            return None
        try:
            return self._prepares.prepare_order(request)
        except (VenueError, InputError):
            return None  # submitting it says why

    async def order(self, request: OrderRequest, prepared: Any = None) -> None:
        """Send one order, the first time as *prepared*, and report its outcome."""
        if not request.reduce_only and (refusal := await self._openings.refusal(request, prepared is not None)):
            self._report(_rejected(request, refusal, self.context.clock.now_ns()))
            return
        update = await self._answer(request, prepared)
        if update.status is OrderStatus.REJECTED and update.reason.startswith(Rejection.DUPLICATE.value):
            update = await self.find(request.symbol, request.client_order_id)
        if update.status is OrderStatus.REJECTED:
            self.context.compare_soon.set()
            if is_of(update.reason, FILTERS):  # the next order is to fit the filters
                with suppress(TimeoutError):  # not for long: a position may have no stop meanwhile
                    async with asyncio.timeout(_FILTERS_WAIT_S):
                        await self._account.read_filters()
        self._report(update)

    async def _answer(self, request: OrderRequest, prepared: Any) -> OrderUpdate:
        """Submit an order until its outcome is known; an opening is not tried again."""
        context, backoff = self.context, Backoff(self.context.timing)
        update: OrderUpdate | None = None
        while update is None:
            try:
                async with asyncio.timeout(context.timing.request_timeout_s):
                    update = await self._submit(request, prepared)
            except VenueUnavailable as error:
                context.counts["unavailable"] += 1
                prepared = None  # its time stamp grows old
                if not request.reduce_only or not self._is_wanted(request):
                    reason = f"{Rejection.UNAVAILABLE.value}: {error}"
                    update = _rejected(request, reason, context.clock.now_ns())
                else:
                    await backoff.pause(error)
            except UNREACHED:
                context.counts["unknown"] += 1
                update = await self.find(request.symbol, request.client_order_id)
        return update

    async def _submit(self, request: OrderRequest, prepared: Any) -> OrderUpdate:
        if prepared is None or self._prepares is None:
            return await self.context.venue.submit_order(request)
        return await self._prepares.submit_prepared(request, prepared)

    def _is_wanted(self, request: OrderRequest) -> bool:
        """Whether a reducing order still has a position to reduce and was not replaced."""
        engine = self.context.engine
        position = engine.account.books.positions.get(request.symbol)
        return position is not None and engine.gateway.ticket(request.client_order_id) is not None

    async def cancel(self, request: CancelRequest) -> None:
        """Cancel one order, again and again until the venue answers, and report its outcome."""
        context, backoff = self.context, Backoff(self.context.timing)
        while True:
            try:
                async with asyncio.timeout(context.timing.request_timeout_s):
                    update = await context.venue.cancel_order(request)
                break
            except UNREACHED as error:
                context.counts["unavailable"] += 1
                known = context.engine.gateway.ticket(request.client_order_id)
                if known is None or known.over:
                    return
                await backoff.pause(error)
        if (
            update.status is OrderStatus.REJECTED
            and context.engine.gateway.ticket(request.client_order_id) is not None
        ):
            update = await self.find(request.symbol, request.client_order_id, gone=OrderStatus.CANCELED)
        self._report(update)

    async def query(self, symbol: str, order_id: str) -> None:
        """Find out what became of an order whose outcome is unknown, and report it."""
        self._report(await self.find(symbol, order_id))

    async def find(self, symbol: str, order_id: str, gone: OrderStatus = OrderStatus.REJECTED) -> OrderUpdate:
        """Query an order until the venue says what became of it; *gone* is the status of one that does not exist.

        "Not found" proves nothing until the receive window has passed: the request may still be on its way.
        """
        context, backoff = self.context, Backoff(self.context.timing)
        clock = asyncio.get_running_loop().time
        since = clock()
        while True:
            asked = clock()
            try:
                async with asyncio.timeout(context.timing.request_timeout_s):
                    order = await context.venue.get_order(symbol, order_id)
            except UNREACHED:
                order = None
            else:
                if order is not None:
                    if order.filled_qty > 0.0:
                        await self._account.read_fills(symbol)
                    return _update_of(order, context.clock.now_ns())
                if asked - since > context.venue.receive_window_s:
                    return OrderUpdate(
                        client_order_id=order_id, venue_order_id="", symbol=symbol, status=gone,
                        ts_ns=context.clock.now_ns(), reason=f"{Rejection.LOST.value}: the venue does not know it",
                    )
            await backoff.pause()


def _rejected(request: OrderRequest, reason: str, now_ns: int) -> OrderUpdate:
    """The update of an order that was refused for *reason*."""
    return OrderUpdate(
        client_order_id=request.client_order_id, venue_order_id="", symbol=request.symbol,
        status=OrderStatus.REJECTED, ts_ns=now_ns, reason=reason,
    )


def _update_of(order: VenueOrder, now_ns: int) -> OrderUpdate:
    """The update that brings an order to the status in which it was found."""
    return OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id=order.venue_order_id, symbol=order.symbol,
        status=order.status, ts_ns=now_ns, filled_qty=order.filled_qty, reason=order.reason,
    )
