"""Listens to the venue's streams: hands each event to the part it concerns, and keeps which streams are up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.engine.venue_port import (
    Kline,
    LeverageChanged,
    MarkPrice,
    StreamEvent,
    StreamState,
    WalletChanged,
)
from quantum_trader.live.account import AccountReader
from quantum_trader.live.bars import BarCollector
from quantum_trader.live.context import LiveContext
from quantum_trader.live.health import HealthMonitor, Streams
from quantum_trader.live.inputs import FundingRateReceived, Input, MoneyTransferred
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.market.costs import FUNDING_HOURS

_RATE_STEP: Final = 1e-5  # a funding rate per 8 hours that changed by less is not handed on


class Listening:
    """Takes the events of the venue's streams, in order."""

    def __init__(
        self, context: LiveContext, streams: Streams, bars: BarCollector, account: AccountReader,
        leverages: LeverageKeeper, health: HealthMonitor, apply: Callable[[Input], None],
        report: Callable[[VenueEvent], None],
    ) -> None:
        """*apply* takes an input, *report* an event of the venue."""
        self.context, self._streams, self._bars = context, streams, bars
        self._account, self._leverages, self._health = account, leverages, health
        self._apply, self._report = apply, report
        self._symbols = frozenset(context.symbols)
        self._rates: dict[str, float] = {}  # as handed on last
        self._account_up = asyncio.Event()  # the account stream was up once
        self.market_ns = 0  # the newest time stamp of the market's prices

    async def run(self) -> None:
        """Listen until the streams end."""
        async for event in self.context.venue.stream(self.context.session.interval_ns):
            self.context.counts[type(event).__name__] += 1
            self.take(event)

    @property
    def account_was_up(self) -> bool:
        """Whether the account stream has been up since the start."""
        return self._account_up.is_set()

    async def until_account_is_up(self) -> None:
        """Wait until the account stream is up for the first time."""
        await self._account_up.wait()

    def take(self, event: StreamEvent) -> None:
        """Take one event of the streams."""
        if isinstance(event, Kline):
            if not self.context.clock.observe(event.ts_ns + event.interval_ns):
                self._health.check()  # before it is decided on: the bar may be as old as the clock is wrong
            self._note_time(event.ts_ns + event.interval_ns)
            self._bars.take(event)
        elif isinstance(event, (OrderUpdate, Fill, FundingPayment)):
            self._report(event)
        elif isinstance(event, MarkPrice):
            self.context.clock.observe(event.ts_ns)
            self._note_time(event.ts_ns)
            self.market_ns = max(self.market_ns, event.ts_ns)
            self._take_rate(event)
        elif isinstance(event, StreamState):
            self.stream_changed(event)
        elif isinstance(event, LeverageChanged):
            self._leverages.note(event.symbol, event.leverage)
        elif isinstance(event, WalletChanged):
            self._take_wallet(event)

    def _note_time(self, ts_ns: int) -> None:
        """Note how far a time stamp is from the venue's clock, which the first of them may have set right."""
        self._streams.note_time(ts_ns, self.context.clock.now_ns())

    def stream_changed(self, event: StreamState) -> None:
        """Note that a stream is down, or up again: then the missed events are read before the next decision."""
        self._streams.note(event)
        self.context.counts[f"{event.stream} {'up' if event.up else 'down'}"] += 1
        self._health.check()
        if not event.up:
            return
        if event.stream == "user":
            self._leverages.forget()
            self._account_up.set()
            if self.context.ready:
                self._account.read_missed()
        elif self.context.ready:
            self._bars.fetch_missing()

    def _take_wallet(self, event: WalletChanged) -> None:
        """Money moved, or funding was paid."""
        if event.moved != 0.0:
            self._account.requests.touch("")  # a comparison under way read the wallet before or after: inconclusive
            self._apply(MoneyTransferred(ts_ns=event.ts_ns, amount=event.moved))
        if event.reason == "FUNDING_FEE":
            self._account.read_funding_soon()

    def _take_rate(self, event: MarkPrice) -> None:
        """Hand on a funding rate, per 8 hours, that differs from the last one handed on."""
        if event.symbol not in self._symbols:
            return
        hours = self.context.venue.instrument(event.symbol).funding_interval_hours
        known, rate = self._rates.get(event.symbol), event.funding_rate * FUNDING_HOURS / hours
        same = known is not None and (abs(rate - known) < _RATE_STEP or (math.isnan(rate) and math.isnan(known)))
        if not same:
            self._rates[event.symbol] = rate
            self._apply(FundingRateReceived(ts_ns=event.ts_ns, symbol=event.symbol, rate_8h=rate))
