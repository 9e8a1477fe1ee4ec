"""The start of a live driver: begin the books, find out about orders in doubt, compare with the venue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.live.account import AccountReader
from quantum_trader.live.context import LiveContext
from quantum_trader.live.inputs import Input, ProcessStarted, SessionStarted
from quantum_trader.live.listening import Listening
from quantum_trader.live.reconciling import Reconciling
from quantum_trader.live.requests import RequestTasks
from quantum_trader.live.sending import Sending
from quantum_trader.live.timing import until_answered

_AHEAD_S: Final = 60.0  # while the market's time is farther ahead than this, no session begins
_NAP_S: Final = 0.02


class Starting:
    """Brings a driver to the point where it may trade; ``waits_for`` says what it waits for meanwhile."""

    def __init__(
        self, context: LiveContext, requests: RequestTasks, account: AccountReader, sending: Sending,
        reconciling: Reconciling, listening: Listening, apply: Callable[[Input], None],
    ) -> None:
        """*apply* takes an input."""
        self.context, self.requests, self.sending = context, requests, sending
        self._account, self._reconciling, self._listening, self._apply = account, reconciling, listening, apply
        self.waits_for = "the venue"  # empty once it can trade

    async def run(self, namespace: str, statement: dict[str, Any]) -> None:
        """Start up to the first comparison. *namespace* marks a new session's order ids, *statement* is recorded."""
        self.waits_for = "the account stream"
        with suppress(TimeoutError):  # positions in the account need protection, with or without that stream
            async with asyncio.timeout(self.context.timing.bar_wait_s):
                await self._listening.until_account_is_up()
        was_up = self._listening.account_was_up
        if not self.context.engine.halts.started:
            await self._begin_books(namespace, statement)
        await self.compare_first()
        self.waits_for = ""
        if not was_up and self._listening.account_was_up:
            self._account.read_missed()

    async def _begin_books(self, namespace: str, statement: dict[str, Any]) -> None:
        """Begin a new session with the wallet that the venue reports."""
        context = self.context
        self.waits_for = "the account's balance"
        await self._until_market_time_is_ours()
        balance = await until_answered(
            context.venue.get_cash_balance, context.timing, context.timing.request_timeout_s,
            lambda: context.counts.update(["balance failed"]),
        )
        self._apply(SessionStarted(
            ts_ns=context.clock.now_ns(), wallet=balance.wallet, namespace=namespace, statement=statement
        ))
        self._apply(ProcessStarted(ts_ns=context.clock.now_ns(), life=namespace))

    async def _until_market_time_is_ours(self) -> None:
        """Wait until the market's time is not ahead: the books count events by their time, from their beginning."""
        context, clock = self.context, asyncio.get_running_loop().time
        began = clock()
        while self._listening.market_ns == 0 and clock() - began < context.timing.bar_wait_s:
            await asyncio.sleep(_NAP_S)
        while (ahead_s := (self._listening.market_ns - context.clock.now_ns()) / NS_PER_SECOND) > _AHEAD_S:
            self.waits_for = f"the market's time, {ahead_s:.0f} s ahead (a recorded market must be played at speed 1)"
            await asyncio.sleep(context.timing.tick_s)
        self.waits_for = "the account's balance"

    async def compare_first(self) -> None:
        """Read what the account did since the last process, query orders in doubt, compare until the venue answers."""
        context = self.context
        context.session.checkpoint()  # after a power cut this process's orders must not look like another trader's
        doubtful = [t for t in context.engine.gateway.tickets() if not t.resting and not t.over]
        for symbol in context.involved_symbols():
            await self._account.read_fills(symbol)
        await self._account.read_funding()
        await self._account.read_transfers()
        for ticket in doubtful:
            self.requests.start(self._find_out(ticket.symbol, ticket.client_order_id), ticket.symbol)
        self.waits_for = "the first comparison with the venue"
        while not await self._reconciling.compare():
            await asyncio.sleep(context.timing.look_again_s)
        context.ready = True

    async def _find_out(self, symbol: str, order_id: str) -> None:
        """Query an order in doubt, then compare again: the first comparison concludes nothing about its symbol."""
        await self.sending.query(symbol, order_id)
        self._reconciling.compare_now()
