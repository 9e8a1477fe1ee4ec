"""Reads from the account what the streams may have missed: fills, funding, transfers; and the symbols' filters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.engine.venue_port import ChangingVenue
from quantum_trader.live.context import LiveContext
from quantum_trader.live.inputs import FiltersChanged, Input, MoneyTransferred
from quantum_trader.live.requests import RequestTasks
from quantum_trader.live.timing import UNREACHED

_OVERLAP_NS: Final = 60 * NS_PER_SECOND  # history is read from this long before books and venue last agreed
_FILTERS_S: Final = 3600.0  # between two reads of the filters; an order refused for a filter reads them at once


class AccountReader:
    """Reads the account's history and hands on what the session does not know yet.

    When the venue cannot be reached nothing is handed on, and the next comparison asks again.
    """

    def __init__(
        self, context: LiveContext, requests: RequestTasks, apply: Callable[[Input], None],
        report: Callable[[VenueEvent], None],
    ) -> None:
        """*apply* takes an input, *report* an event of the venue."""
        self.context, self.requests = context, requests
        self._apply, self._report = apply, report
        self.transfers_known = False  # whether the last read of transfers was answered
        self._reads_funding = False  # a read of funding is about to go out
        self._filters_s = 0.0  # when filters are read next, on the loop's clock
        self._read_s = -1.0  # when they were read last
        self._reading = asyncio.Lock()

    def read_missed(self) -> None:
        """Read what the account did while its stream was down, and compare soon."""
        for symbol in self.context.involved_symbols():
            self.requests.start(self.read_fills(symbol), symbol)
        self.requests.start(self.read_funding(), "")
        self.context.compare_soon.set()

    async def await_fills(self, symbol: str, order_id: str) -> None:
        """Read the fills that an order's final status implies, unless the stream delivers them within a tick."""
        await asyncio.sleep(self.context.timing.tick_s)
        if self.context.engine.gateway.ticket(order_id) is not None:
            await self.read_fills(symbol)

    async def read_fills(self, symbol: str) -> None:
        """Read the fills of *symbol* and report them; the session skips those it knows."""
        engine = self.context.engine
        since = max(engine.reconciler.agreed.get(symbol, 0) - _OVERLAP_NS, engine.money.began_ns)
        try:
            async with asyncio.timeout(self.context.timing.request_timeout_s):
                fills = await self.context.venue.get_fills(symbol, since)
        except UNREACHED:
            self.context.compare_soon.set()
            return
        for fill in fills:
            self._report(fill)

    def read_funding_soon(self) -> None:
        """Read the funding once for a whole burst of events: at funding time each position has one."""
        if not self._reads_funding:
            self._reads_funding = True
            self.requests.start(self._read_funding_later(), "")

    async def _read_funding_later(self) -> None:
        await asyncio.sleep(self.context.timing.tick_s)
        self._reads_funding = False
        await self.read_funding()

    async def read_funding(self) -> None:
        """Read funding payments and report those that are not known."""
        engine = self.context.engine
        since = max(engine.reconciler.agreed_ns - _OVERLAP_NS, engine.money.began_ns)
        try:
            async with asyncio.timeout(self.context.timing.request_timeout_s):
                payments = await self.context.venue.get_funding(since)
        except UNREACHED:
            self.context.compare_soon.set()
            return
        for payment in payments:
            if f"{payment.symbol}/{payment.ts_ns}" not in engine.seen:
                self._report(payment)

    async def read_transfers(self) -> None:
        """Read the transfers that may not be known, and note whether the venue answered."""
        engine = self.context.engine
        since = max(engine.money.transfers_since(self.context.clock.now_ns()) - _OVERLAP_NS, engine.money.began_ns)
        try:
            async with asyncio.timeout(self.context.timing.request_timeout_s):
                transfers = await self.context.venue.get_transfers(since)
        except UNREACHED:
            self.context.counts["transfers not read"] += 1
            self.transfers_known = False
            return
        self.transfers_known = True
        for transfer in transfers:
            if f"money/{transfer.move_id}" not in engine.seen:
                self._apply(MoneyTransferred(ts_ns=transfer.ts_ns, amount=transfer.amount, move_id=transfer.move_id))

    @property
    def filters_are_due(self) -> bool:
        """Whether the filters are to be read again."""
        return asyncio.get_running_loop().time() >= self._filters_s

    async def read_filters(self) -> None:
        """Read the filters of all symbols, if the venue can, and hand on those that have changed."""
        context, clock = self.context, asyncio.get_running_loop().time
        asked_s = clock()
        async with self._reading:
            if isinstance(context.venue, ChangingVenue) and self._read_s < asked_s:  # else read while this one waited
                self._filters_s = clock() + context.timing.reconcile_s
                try:
                    async with asyncio.timeout(context.timing.request_timeout_s):
                        await context.venue.read_instruments()
                except UNREACHED:
                    context.counts["filters not read"] += 1
                    return
            self._read_s = clock()
        self._filters_s = self._read_s + _FILTERS_S
        for index, symbol in enumerate(context.symbols):
            instrument = context.venue.instrument(symbol)
            if instrument != context.engine.instruments[index]:
                self._apply(FiltersChanged(ts_ns=context.clock.now_ns(), instrument=instrument))
