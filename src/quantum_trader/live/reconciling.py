"""Compares the books with the venue every minute, and sooner where something differs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.engine.venue_port import ModeVenue
from quantum_trader.live.account import AccountReader
from quantum_trader.live.context import LiveContext
from quantum_trader.live.inputs import AccountRead, Input
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.live.requests import RequestTasks
from quantum_trader.live.sending import Sending
from quantum_trader.live.timing import UNREACHED


class Reconciling:
    """Reads the account, lets the engine compare it with the books, and reads what explains a difference."""

    def __init__(
        self, context: LiveContext, requests: RequestTasks, account: AccountReader, sending: Sending,
        leverages: LeverageKeeper, apply: Callable[[Input], None],
    ) -> None:
        """*apply* takes an input."""
        self.context, self._requests, self._account = context, requests, account
        self._sending, self._leverages, self._apply = sending, leverages, apply
        self.account_mode = ""  # why the account cannot be traded in its mode, as last read
        self._running = 0  # comparisons and reads of leverages under way
        self._requested = False  # a comparison was requested and has not been made yet

    @property
    def under_way(self) -> int:
        """Comparisons and reads of leverages under way, a requested comparison included."""
        return self._running + self._requested

    def compare_now(self) -> None:
        """Request a comparison; :meth:`run` makes it within moments."""
        self._requested = True
        self.context.compare_soon.set()

    async def run(self) -> None:
        """Compare without end: every ``reconcile_s``, or every ``look_again_s`` while something differs."""
        timing, soon = self.context.timing, self.context.compare_soon
        while True:
            agreed = await self.compare() and not self.context.engine.reconciler.since_ns
            await self._read_leverages()
            wait = timing.reconcile_s if agreed else timing.look_again_s
            try:
                async with asyncio.timeout(wait):
                    await soon.wait()
            except TimeoutError:
                continue
            soon.clear()
            await asyncio.sleep(timing.backoff_s)  # the venue gets a moment to answer what was just sent

    async def _read_leverages(self) -> None:
        self._running += 1
        try:
            await self._leverages.read_all()
        finally:
            self._running -= 1

    async def compare(self) -> bool:
        """Read the account once and let the engine compare; False when the venue was not reached."""
        self._running += 1
        self._requested = False  # a request that comes meanwhile wants another comparison
        try:
            return await self._compare()
        finally:
            self._running -= 1

    async def _compare(self) -> bool:
        context, engine = self.context, self.context.engine
        if self._account.filters_are_due:
            await self._account.read_filters()
        snapshot = await self._snapshot()
        if snapshot is None:
            context.counts["looks failed"] += 1
            return False
        self._apply(AccountRead(snapshot=snapshot))
        context.counts["looks"] += 1
        for symbol in sorted(engine.adopting.suspects()):
            await self._account.read_fills(symbol)
        if engine.reconciler.since_ns:
            await self._account.read_funding()
        if engine.reconciler.misses_money or engine.money.is_unexplained(context.clock.now_ns()):
            await self._account.read_transfers()
        under_way = set(self._requests.symbols())
        for symbol, order_id in engine.reconciler.missing_orders():  # a stop and a target of one symbol: both now
            if symbol not in under_way:
                self._requests.start(self._sending.query(symbol, order_id), symbol)
        return True

    async def _snapshot(self) -> VenueSnapshot | None:
        """Wallet, positions and orders as the venue has them; None when it was not reached.

        Symbols with a request under way meanwhile are ``busy``: nothing is concluded about them.
        """
        venue, requests = self.context.venue, self._requests
        requests.watch()
        busy, asked_ns = requests.symbols(), self.context.clock.now_ns()
        try:
            async with asyncio.timeout(3.0 * self.context.timing.request_timeout_s):
                balance = await venue.get_cash_balance()
                positions = await venue.get_positions()
                orders = await venue.open_orders()
        except UNREACHED:
            return None
        mode = await self._read_mode()
        busy |= requests.symbols() | requests.touched()
        return VenueSnapshot(
            ts_ns=asked_ns, wallet=balance.wallet, positions=tuple(positions), orders=tuple(orders),
            busy=tuple(sorted(busy)), moves_known=self._account.transfers_known, mode=mode,
            filters=self._filters({one.symbol for one in positions} - set(self.context.symbols)),
        )

    def _filters(self, untraded: set[str]) -> tuple[Instrument, ...]:
        """The filters of symbols that are held and not traded here, where the venue lists them."""
        found: list[Instrument] = []
        for symbol in sorted(untraded):
            with suppress(InputError):
                found.append(self.context.venue.instrument(symbol))
        return tuple(found)

    async def _read_mode(self) -> str:
        """Why the account cannot be traded in its mode; as last read where the venue does not answer it.

        A key that the venue refuses from now on is no reason to end: the next look fails, and is made again.
        """
        venue = self.context.venue
        if isinstance(venue, ModeVenue):
            try:
                async with asyncio.timeout(self.context.timing.request_timeout_s):
                    self.account_mode = await venue.account_mode()
            except (*UNREACHED, ConfigError):
                self.context.counts["modes not read"] += 1
        return self.account_mode
