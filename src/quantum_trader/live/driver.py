"""The live driver: asyncio around a session, at one venue beyond a wire.

It asks, listens, waits and asks again; it decides nothing. Whatever comes is told to the session first, which writes it
down; whatever the engine wants goes out, each order in a task of its own, so that an answer that does not come holds up
nothing else. Durations are measured on the loop's clock, moments on the venue's.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_DEFENSIVE, GOV_EMERGENCY, OrderStatus
from quantum_trader.domain.errors import InputError, OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.gateway import Command, Purpose
from quantum_trader.engine.ports import Rejection, VenueOrder
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.engine.refusals import FILTERS, is_of
from quantum_trader.engine.supervision import Shield
from quantum_trader.engine.venue_port import (
    ChangingVenue,
    ExecutionVenue,
    Kline,
    LeverageChanged,
    MarkPrice,
    PreparingVenue,
    StreamEvent,
    StreamState,
    WalletChanged,
)
from quantum_trader.live.clock import FOLLOW_MS, LiveClock
from quantum_trader.live.inputs import (
    Asked,
    Began,
    FiltersKnown,
    HealthTold,
    Input,
    Lived,
    Looked,
    MoneyMoved,
    RateKnown,
    Ticked,
    VenueSaid,
)
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.live.session import Session
from quantum_trader.live.timing import UNREACHED, Backoff, HealthReport, LiveTiming
from quantum_trader.risk.governor import health_level

T = TypeVar("T")

_FILLS_OVERLAP_NS: Final = 60 * NS_PER_SECOND  # fills are asked for from this long before everything agreed
_NAP_S: Final = 0.02
_UNSURE: Final = 3.0  # times between two looks without one that agreed: trade smaller
_HEARD_AT_ONCE: Final = 16  # bars written down together while others are awaited
_AT_ONCE: Final = 8  # questions for bars at a time
_FUTURE_NS: Final = 60 * NS_PER_SECOND  # a bar that closes this far ahead of the venue's time is no bar
_FILTERS_S: Final = 3600.0  # a symbol's filters are asked for so often, and when an order does not fit them
_PATIENCE_S: Final = 1.5  # of a refused order, for the filters that it did not fit
_RATE_STEP: Final = 1e-5  # a funding rate that moved by less is not worth an input


class _Moment:
    """The bars of one moment as they come in."""

    __slots__ = ("arrived", "ohlcv", "present", "unheard")

    def __init__(self, symbols: int) -> None:
        self.ohlcv = np.full((symbols, 5), np.nan)
        self.present = np.zeros(symbols, dtype=np.bool_)
        self.arrived = 0
        self.unheard: list[int] = []  # symbols whose bars the session does not know yet


class LiveDriver:
    """Runs one session at one venue until :meth:`stop`."""

    keeper = LeverageKeeper

    def __init__(
        self, session: Session, venue: ExecutionVenue, timing: LiveTiming, now_ns: Callable[[], int], *,
        namespace: str, statement: dict[str, Any] | None = None, operator: Callable[[], list[Asked]] = list,
        inputs: Callable[[], list[Input]] = list, queue: Callable[[], tuple[float, bool]] = lambda: (0.0, False),
        report: Callable[[HealthReport], None] | None = None, steady: bool = True,
    ) -> None:
        """*namespace* marks the order ids of a new session. *operator* and *inputs* are polled each tick for what
        people and other parts ask; *queue* tells the fill of the fullest queue and whether it is critical."""
        self.session, self.venue, self.timing = session, venue, timing
        self.engine = session.engine
        self.symbols = session.engine.symbols
        self.counts: Counter[str] = Counter()
        self.clock = LiveClock(now_ns, venue.clock_offset_ms, steady=steady)
        self._namespace, self._statement = namespace, statement or {}
        self._operator, self._inputs, self._queue, self._report = operator, inputs, queue, report
        self._interval = session.interval_ns
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._moments: dict[int, _Moment] = {}
        self._decided_ns = session.engine.now_ns - session.interval_ns  # open of the newest bars decided on
        self._tasks: dict[asyncio.Task[None], str] = {}  # requests under way and their symbols
        self._touched: set[str] = set()
        self.leverages = self.keeper(venue, self.engine, timing, self.counts, self._involved)
        self._rates: dict[str, float] = {}
        self._filters_s = 0.0  # when filters are asked for next, on the loop's clock
        self._read_s = -1.0  # when they were read last
        self._reading = asyncio.Lock()
        self._recorded = 0  # records that had failed when the last checkpoint succeeded
        self._claims_s = self._claims_wait_s = 0.0  # the last try to save what could not be written, and the next wait
        self._market_ns = 0  # the newest moment of the market told
        self._asks_funding = False  # a question for funding is on its way out
        self._moves_known = False  # whether the venue was asked for money moved, when the wallet differed last
        self._prepares = venue if isinstance(venue, PreparingVenue) else None
        self._ahead = Shield()  # around what is done before it is needed: what fails there is done again when it is
        self._up = {"market": False, "user": False}
        self._said = (0, True)  # health as it was last told
        self._ready = self._closed = self._winding_down = False
        self.waits_for = "the venue"  # before it can trade; empty once it can
        self.left_exposed: tuple[str, ...] = ()  # positions without a stop at the venue when it stopped
        self._parts: list[asyncio.Task[None]] = []
        self._caught_up = False  # the bars missed before this start have been decided on
        self._down_since: dict[str, float] = {}
        self._silent_until = 0.0
        self._repairing: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._look_soon = asyncio.Event()
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._listening = asyncio.Event()

    # ------------------------------------------------------------------ life

    async def run(self, *, connected: bool = False) -> None:
        """Trade until :meth:`stop`; what rests at the venue stays there. The session has been recovered before."""
        self._decided_ns = self.engine.now_ns - self._interval  # where the recovery ended
        try:
            if not connected:
                await self._try(self.venue.connect, "connect", self.timing.connect_timeout_s)
            self.clock.start(asyncio.get_running_loop().time)
            async with asyncio.TaskGroup() as group:
                self._group = group
                if self.engine.halts.started:
                    self._apply(Lived(ts_ns=self.clock.now_ns(), life=self._namespace))
                parts = [group.create_task(part()) for part in (self._listen, self._tick, self._begin)]
                await self._stopping.wait()
                await self._wind_down()
                for part in [*parts, *self._parts]:
                    part.cancel()
                await self._drain()
        finally:
            self._group = None
            try:
                self.session.checkpoint()
            finally:
                await self.venue.close()

    async def _begin(self) -> None:
        """Find out how things stand, then start what trades; a stop or a flatten need not wait for it."""
        self.waits_for = "the account stream"
        with suppress(TimeoutError):  # what is in the account wants protection, whether somebody tells of it or not
            async with asyncio.timeout(self.timing.bar_wait_s):
                await self._listening.wait()
        heard = self._listening.is_set()
        await self._first_look()
        self.waits_for = ""
        if not heard and self._listening.is_set():
            self._ask_what_was_missed()
        assert self._group is not None
        self._parts = [
            self._group.create_task(work()) for work in (self._reconcile, self._save, self.leverages.set_ahead)
        ]
        self._repair()

    async def _wind_down(self) -> None:
        """Take no more decisions, and give what is under way a moment: fills are heard, positions get their stops."""
        self._winding_down = True
        deadline = asyncio.get_running_loop().time() + self.timing.stop_s
        while asyncio.get_running_loop().time() < deadline and (self._tasks or self._is_exposed()):
            await asyncio.sleep(_NAP_S)
        gateway = self.engine.gateway
        self.left_exposed = tuple(
            symbol for symbol, position in self.engine.account.books.positions.items() if not gateway.is_protected(position)
        )

    def _is_exposed(self) -> bool:
        """Whether an opening may still fill, or a position has no stop at the venue."""
        gateway = self.engine.gateway
        return any(ticket.purpose is Purpose.OPEN for ticket in gateway.tickets()) or any(
            not gateway.is_protected(position) for position in self.engine.account.books.positions.values()
        )

    def stop(self) -> None:
        """Ask :meth:`run` to end; requests under way get a moment to finish."""
        self._stopping.set()

    @property
    def ready(self) -> bool:
        """Whether books and venue have been compared, so that bars are decided on."""
        return self._ready

    @property
    def requests(self) -> int:
        """Requests under way, a fetch of bars included."""
        return len(self._tasks) + (self._repairing is not None)

    @property
    def decided_until_ns(self) -> int:
        """Close of the newest bars decided on."""
        return self._decided_ns + self._interval

    def tell(self, told: Input) -> None:
        """Tell the session something from another part of this process (on the loop's thread), and act on it."""
        self._apply(told)

    def poke(self) -> None:
        """Decide now on what has waited long enough, without waiting for the next tick."""
        self._decide_due()

    async def _drain(self) -> None:
        """Wait for requests under way, not for long; who is asked again at the next start."""
        tasks = [*self._tasks, *([self._repairing] if self._repairing else [])]
        if self._repairing is not None:
            self._repairing.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self.timing.stop_s)
        self._closed = True  # what comes of the answers now is asked for at the next start
        for task in list(self._tasks):
            task.cancel()

    async def _first_look(self) -> None:
        """Begin a new session with the money that is there; ask for everything that is in doubt; compare."""
        if not self.engine.halts.started:
            self.waits_for = "the account's balance"
            await self._same_time()
            balance = await self._try(self.venue.get_cash_balance, "balance")
            self._apply(Began(
                ts_ns=self.clock.now_ns(), wallet=balance.wallet, namespace=self._namespace, statement=self._statement
            ))
            self._apply(Lived(ts_ns=self.clock.now_ns(), life=self._namespace))
        self.session.checkpoint()  # a power cut shall not make this process's orders those of a stranger
        doubtful = [t for t in self.engine.gateway.tickets() if not t.resting and not t.over]
        for symbol in self._involved():
            await self._fetch_fills(symbol)
        await self._fetch_funding()
        await self._fetch_transfers()
        for ticket in doubtful:
            self._start(self._settle_doubt(ticket.symbol, ticket.client_order_id), ticket.symbol)
        self.waits_for = "the first comparison with the venue"
        while not await self._look():
            await asyncio.sleep(self.timing.look_again_s)
        self._ready = True

    async def _same_time(self) -> None:
        """Wait until the market's time is ours: what an account did before the books began is told by its time."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        while self._market_ns == 0 and clock() - begun < self.timing.bar_wait_s:
            await asyncio.sleep(_NAP_S)
        while (ahead_s := (self._market_ns - self.clock.now_ns()) / NS_PER_SECOND) > _FUTURE_NS / NS_PER_SECOND:
            self.waits_for = f"the market's time, {ahead_s:.0f} s ahead (a recorded market must be played at speed 1)"
            await asyncio.sleep(self.timing.tick_s)
        self.waits_for = "the account's balance"

    def _involved(self) -> list[str]:
        """Symbols with a position or an order."""
        tickets = self.engine.gateway.tickets()
        return sorted({ticket.symbol for ticket in tickets} | set(self.engine.account.books.positions))

    async def _settle_doubt(self, symbol: str, order_id: str) -> None:
        """Find out about an order that may or may not have been sent before a restart."""
        self._tell(await self._find(symbol, order_id))

    # ------------------------------------------------------------------ telling and sending

    def _apply(self, told: Input) -> None:
        """Tell the session and send what comes of it."""
        self._send(self.session.apply(told))

    def _send(self, commands: list[Command]) -> None:
        """Send *commands*, each in a task of its own."""
        for command in commands:
            if self._closed:
                return  # it is asked for at the next start
            self.counts["commands"] += 1
            if isinstance(command, OrderRequest):
                job = self._order(command, self._prepared(command))
            else:
                job = self._cancel(command)
            self._start(job, command.symbol)

    def _tell(self, event: OrderUpdate | Fill | FundingPayment) -> None:
        """Tell the session what the venue said."""
        self._touched.add(event.symbol)
        if isinstance(event, Fill) and event.fill_id in self.engine.seen:
            self.counts["repeated"] += 1
            return
        self._apply(VenueSaid.of(event))
        if isinstance(event, OrderUpdate):
            ticket = self.engine.gateway.ticket(event.client_order_id)
            if ticket is not None and ticket.over:
                self._start(self._await_fills(ticket.symbol, ticket.client_order_id), ticket.symbol)

    async def _await_fills(self, symbol: str, order_id: str) -> None:
        """Ask for the fills that a final status spoke of, unless they come by themselves in a moment."""
        await asyncio.sleep(self.timing.tick_s)
        if self.engine.gateway.ticket(order_id) is not None:
            await self._fetch_fills(symbol)

    def _prepared(self, request: OrderRequest) -> Any:
        """The order's bytes, made at once where the venue can and nothing must be asked first; None where not."""
        if self._prepares is None or (not request.reduce_only and self._waits(request)):
            return None
        try:
            return self._prepares.prepare_order(request)
        except (VenueError, InputError):
            return None  # submitting it says why

    def _waits(self, request: OrderRequest) -> bool:
        """Whether an opening has to ask for its leverage first, or is too old to be sent."""
        return (
            not self.leverages.is_ready(request.symbol, request.leverage)
            or self.clock.now_ns() - request.created_ns > self.engine.settings.intent_ttl_s * NS_PER_SECOND
        )

    def _start(self, job: Any, symbol: str) -> None:
        assert self._group is not None
        task = self._group.create_task(job)
        self._tasks[task] = symbol
        self._touched.add(symbol)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._touched.add(self._tasks.pop(task))

    async def _order(self, request: OrderRequest, prepared: Any = None) -> None:
        """Send one order, the first time as *prepared*, and tell how it fared."""
        opening = not request.reduce_only
        refusal = await self._refusal(request, prepared is not None) if opening else ""
        if refusal:
            self._tell(_rejected(request, refusal, self.clock.now_ns()))
            return
        backoff = Backoff(self.timing)
        update: OrderUpdate | None = None
        while update is None:
            try:
                async with asyncio.timeout(self.timing.request_timeout_s):
                    update = await self._submit(request, prepared)
            except VenueUnavailable as error:
                self.counts["unavailable"] += 1
                prepared = None  # its time stamp grows old
                if opening or not self._is_wanted(request):
                    reason = f"{Rejection.UNAVAILABLE.value}: {error}"
                    update = _rejected(request, reason, self.clock.now_ns())
                else:
                    await backoff.pause(error)
            except UNREACHED:
                self.counts["unknown"] += 1
                update = await self._find(request.symbol, request.client_order_id)
        if update.status is OrderStatus.REJECTED and update.reason.startswith(Rejection.DUPLICATE.value):
            update = await self._find(request.symbol, request.client_order_id)
        if update.status is OrderStatus.REJECTED:
            self._look_soon.set()
            if is_of(update.reason, FILTERS):  # what comes of the refusal shall fit
                with suppress(TimeoutError):  # not for long: a position may have no stop meanwhile
                    async with asyncio.timeout(_PATIENCE_S):
                        await self._read_filters()
        self._tell(update)

    async def _submit(self, request: OrderRequest, prepared: Any) -> OrderUpdate:
        if prepared is None or self._prepares is None:
            return await self.venue.submit_order(request)
        return await self._prepares.submit_prepared(request, prepared)

    async def _refusal(self, request: OrderRequest, ready: bool) -> str:
        """Why an opening order may not go: another leverage is in force, its time is over, or openings have been
        halted since it was decided on. Empty: it may. *ready*: its leverage is known."""
        if not ready and (refusal := await self.leverages.ensure(request.symbol, request.leverage)):
            return refusal
        ticket = self.engine.gateway.ticket(request.client_order_id)
        halted = "the process stops" if self._winding_down else self.engine.halts.closed()
        if halted or ticket is None or ticket.over:
            return f"HALTED: {halted or 'it was given up'}"
        age_s = (self.clock.now_ns() - request.created_ns) / NS_PER_SECOND
        if age_s > self.engine.settings.intent_ttl_s:
            return f"EXPIRED: {age_s:.1f} s old"
        return ""

    def _is_wanted(self, request: OrderRequest) -> bool:
        """Whether a reducing order still has something to reduce and nothing has taken its place."""
        gateway, position = self.engine.gateway, self.engine.account.books.positions.get(request.symbol)
        return position is not None and gateway.ticket(request.client_order_id) is not None

    async def _cancel(self, request: CancelRequest) -> None:
        """Cancel one order and tell what became of it; it is tried until the venue answers."""
        backoff = Backoff(self.timing)
        while True:
            try:
                async with asyncio.timeout(self.timing.request_timeout_s):
                    update = await self.venue.cancel_order(request)
                break
            except UNREACHED as error:
                self.counts["unavailable"] += 1
                known = self.engine.gateway.ticket(request.client_order_id)
                if known is None or known.over:
                    return
                await backoff.pause(error)
        if update.status is OrderStatus.REJECTED and self.engine.gateway.ticket(request.client_order_id) is not None:
            update = await self._find(request.symbol, request.client_order_id, gone=OrderStatus.CANCELED)
        self._tell(update)

    async def _find(
        self, symbol: str, order_id: str, gone: OrderStatus = OrderStatus.REJECTED
    ) -> OrderUpdate:
        """Ask for an order until the venue says what became of it.

        "Not found" proves nothing until the receive window has passed: the request may still be on its way.
        """
        clock, backoff = asyncio.get_running_loop().time, Backoff(self.timing)
        since = clock()
        while True:
            asked = clock()
            try:
                async with asyncio.timeout(self.timing.request_timeout_s):
                    order = await self.venue.get_order(symbol, order_id)
            except UNREACHED:
                order = None
            else:
                if order is not None:
                    if order.filled_qty > 0.0:
                        await self._fetch_fills(symbol)
                    return _update_of(order, self.clock.now_ns())
                if asked - since > self.venue.receive_window_s:
                    return OrderUpdate(
                        client_order_id=order_id, venue_order_id="", symbol=symbol, status=gone,
                        ts_ns=self.clock.now_ns(), reason=f"{Rejection.LOST.value}: the venue does not know it",
                    )
            await backoff.pause()

    # ------------------------------------------------------------------ listening

    async def _listen(self) -> None:
        async for event in self.venue.stream(self._interval):
            self.counts[type(event).__name__] += 1
            self._hear(event)

    def _hear(self, event: StreamEvent) -> None:
        """Take one event of the streams."""
        if isinstance(event, Kline):
            if not self.clock.heard(event.ts_ns + event.interval_ns):
                self._check_health()  # before it is decided on: what is told now may be as old as the clock is wrong
            self._bar(event)
        elif isinstance(event, (OrderUpdate, Fill, FundingPayment)):
            self._tell(event)
        elif isinstance(event, MarkPrice):
            self.clock.heard(event.ts_ns)
            self._market_ns = max(self._market_ns, event.ts_ns)
            self._rate(event)
        elif isinstance(event, StreamState):
            self._stream(event)
        elif isinstance(event, LeverageChanged):
            self.leverages.heard(event.symbol, event.leverage)
        elif isinstance(event, WalletChanged):
            if event.moved != 0.0:
                self._touched.add("")  # a look under way asked for the wallet before or after: it says nothing of it
                self._apply(MoneyMoved(ts_ns=event.ts_ns, amount=event.moved))
            if event.reason == "FUNDING_FEE" and not self._asks_funding:
                self._asks_funding = True
                self._start(self._fetch_funding_soon(), "")

    def _stream(self, event: StreamState) -> None:
        """A stream is down, or up again; then what was missed is fetched before anything is decided."""
        self._up[event.stream] = event.up
        if event.up:
            self._down_since.pop(event.stream, None)
        else:
            self._down_since.setdefault(event.stream, asyncio.get_running_loop().time())
        self.counts[f"{event.stream} {'up' if event.up else 'down'}"] += 1
        self._check_health()
        if not event.up:
            return
        if event.stream == "user":
            self.leverages.forget()
            self._listening.set()
            if self._ready:
                self._ask_what_was_missed()
        elif self._ready:
            self._repair()

    def _ask_what_was_missed(self) -> None:
        """Ask for what the account did while nobody listened."""
        for symbol in self._involved():
            self._start(self._fetch_fills(symbol), symbol)
        self._start(self._fetch_funding(), "")
        self._look_soon.set()

    def _rate(self, event: MarkPrice) -> None:
        known = self._rates.get(event.symbol)
        rate = event.funding_rate
        same = known is not None and (abs(rate - known) < _RATE_STEP or (math.isnan(rate) and math.isnan(known)))
        if event.symbol in self._index and not same:
            self._rates[event.symbol] = event.funding_rate
            self._apply(RateKnown(ts_ns=event.ts_ns, symbol=event.symbol, rate_8h=event.funding_rate))

    # ------------------------------------------------------------------ bars

    def _bar(self, bar: Kline) -> None:
        """Put one bar into its moment; the last of a moment that is next in order is decided on at once."""
        index = self._index.get(bar.symbol)
        if index is None or bar.interval_ns != self._interval:
            return
        if bar.ts_ns <= self._decided_ns:
            self.counts["late bars"] += 1
            return
        if bar.ts_ns + self._interval > self.clock.now_ns() + _FUTURE_NS:
            self.counts["bars from the future"] += 1
            return
        moment = self._moments.get(bar.ts_ns)
        if moment is None:
            moment = self._moments[bar.ts_ns] = _Moment(len(self.symbols))
        if moment.ohlcv[index, 3] == moment.ohlcv[index, 3]:
            return  # told twice
        moment.ohlcv[index] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        moment.present[index] = bar.volume > 0.0  # a bar without volume is no market
        moment.arrived += 1
        moment.unheard.append(index)
        if moment.arrived == len(self.symbols):
            self._decide_due()
        elif bar.ts_ns == self._decided_ns + self._interval and self._ready and not self._winding_down:
            self._prepare(bar.ts_ns, index, moment)

    def _prepare(self, ts_ns: int, index: int, moment: _Moment) -> None:
        """Do what can be done for the moment that is next before its last bar has come."""
        if len(moment.unheard) == _HEARD_AT_ONCE:
            self.session.hear(ts_ns, moment.unheard, moment.ohlcv, moment.present)
            moment.unheard = []
        if moment.present[index]:
            self._ahead.run(self.engine.prepare_bar, ts_ns, index, moment.ohlcv[index])

    def _decide_due(self) -> None:
        """Decide on every moment that is whole or has waited long enough, in order; a hole is repaired first."""
        while self._ready and not self._winding_down and self._repairing is None and self._moments:
            ts_ns = min(self._moments)
            waited = self.clock.now_ns() - ts_ns - self._interval > self.timing.bar_wait_s * NS_PER_SECOND
            if self._moments[ts_ns].arrived < len(self.symbols) and not waited:
                return
            if ts_ns > self._decided_ns + self._interval:
                self._repair()
                return
            self._decide(ts_ns)

    def _decide(self, ts_ns: int) -> None:
        moment = self._moments.pop(ts_ns)
        self._decided_ns = ts_ns
        received_ns = max(self.clock.now_ns(), ts_ns + self._interval)
        self._send(self.session.decide(ts_ns, received_ns, moment.ohlcv, moment.present, moment.unheard))
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Send what the moment's other signals want, an order at a time, so that none waits for those behind it."""
        commands = self.session.more()
        if commands:
            self._send(commands)
            asyncio.get_running_loop().call_soon(self._go_on)

    def _repair(self) -> None:
        """Fetch the bars that are missing, in a task of its own, unless that is under way."""
        if self._repairing is None and self._group is not None:
            self._repairing = self._group.create_task(self._fetch_bars())

    async def _fetch_bars(self) -> None:
        """Fetch every completed bar since the last decision, then decide on them in order; late ones open nothing."""
        try:
            end = self.clock.now_ns() // self._interval * self._interval
            if self._moments:  # a bar that has come is complete, whatever our clock says
                end = max(end, max(self._moments) + self._interval)
            start = self._decided_ns + self._interval
            if self._decided_ns < 0:
                start = end - self.timing.warm_bars * self._interval
            if start < end:
                self.counts["repairs"] += 1
                await self._fetch_all(start, end)
            for ts_ns in sorted(self._moments):
                if ts_ns < end and not self._winding_down:
                    self._decide(ts_ns)
                    await asyncio.sleep(0)
            self._caught_up = True
        finally:
            self._repairing = None
        self._decide_due()

    async def _fetch_all(self, start: int, end: int) -> None:
        """Fetch until at least one symbol answers; one that is refused alone stays out and holds up nobody."""
        backoff = Backoff(self.timing)
        while not any(await asyncio.gather(*(self._fetch_symbol(symbol, start, end) for symbol in self.symbols))):
            await backoff.pause()

    async def _ask_klines(self, symbol: str, start: int, end: int) -> list[Kline] | None:
        """The bars of one symbol; None when the venue refuses them, or has been out of reach for long."""
        clock, backoff = asyncio.get_running_loop().time, Backoff(self.timing)
        deadline = clock() + self.timing.klines_s
        while clock() < deadline:
            try:
                async with self._few, asyncio.timeout(self.timing.klines_timeout_s):
                    return await self.venue.get_klines(symbol, self._interval, start, end)
            except (VenueUnavailable, OutcomeUnknown, TimeoutError) as error:
                self.counts["klines failed"] += 1
                await backoff.pause(error)
            except VenueError:
                self.counts["klines refused"] += 1
                return None
        return None

    async def _fetch_symbol(self, symbol: str, start: int, end: int) -> bool:
        index, bars = self._index[symbol], await self._ask_klines(symbol, start, end)
        for bar in bars or ():
            moment = self._moments.get(bar.ts_ns)
            if moment is None:
                moment = self._moments[bar.ts_ns] = _Moment(len(self.symbols))
            if moment.ohlcv[index, 3] != moment.ohlcv[index, 3]:
                moment.ohlcv[index] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
                moment.present[index] = bar.volume > 0.0
                moment.arrived += 1
                moment.unheard.append(index)
        return bars is not None

    # ------------------------------------------------------------------ reconciliation

    async def _reconcile(self) -> None:
        """Compare with the venue every minute, and sooner where something differs."""
        while True:
            agreed = await self._look() and not self.engine.reconciler.since_ns
            await self._read_leverages()
            wait = self.timing.reconcile_s if agreed else self.timing.look_again_s
            try:
                async with asyncio.timeout(wait):
                    await self._look_soon.wait()
            except TimeoutError:
                continue
            self._look_soon.clear()
            await asyncio.sleep(self.timing.backoff_s)  # what was just sent gets a moment to be answered

    async def _read_leverages(self) -> None:
        await self.leverages.read_all()

    async def _look(self) -> bool:
        """Take one snapshot, let the engine compare, and ask about what it cannot explain; False: not reached."""
        if asyncio.get_running_loop().time() >= self._filters_s:
            await self._read_filters()
        self._touched.clear()
        busy, asked_ns = set(self._tasks.values()), self.clock.now_ns()
        try:
            async with asyncio.timeout(3.0 * self.timing.request_timeout_s):
                balance = await self.venue.get_cash_balance()
                positions = await self.venue.get_positions()
                orders = await self.venue.open_orders()
        except UNREACHED:
            self.counts["looks failed"] += 1
            return False
        busy |= set(self._tasks.values()) | self._touched
        self._apply(Looked(snapshot=VenueSnapshot(
            ts_ns=asked_ns, wallet=balance.wallet, positions=tuple(positions), orders=tuple(orders),
            busy=tuple(sorted(busy)), moves_known=self._moves_known,
        )))
        self.counts["looks"] += 1
        for symbol in sorted(self.engine.adopting.suspects()):
            await self._fetch_fills(symbol)
        if self.engine.reconciler.since_ns:
            await self._fetch_funding()
        if self.engine.reconciler.misses_money or self.engine.money.is_unexplained(self.clock.now_ns()):
            await self._fetch_transfers()
        for symbol, order_id in self.engine.reconciler.missing_orders():
            if symbol not in self._tasks.values():
                self._start(self._settle_doubt(symbol, order_id), symbol)
        return True

    async def _read_filters(self) -> None:
        """Ask for the filters of all symbols, where the venue can, and tell the session those that have changed."""
        clock = asyncio.get_running_loop().time
        asked_s = clock()
        async with self._reading:
            if isinstance(self.venue, ChangingVenue) and self._read_s < asked_s:  # who waited here has the answer
                self._filters_s = clock() + self.timing.reconcile_s
                try:
                    async with asyncio.timeout(self.timing.request_timeout_s):
                        await self.venue.read_instruments()
                except UNREACHED:
                    self.counts["filters not read"] += 1
                    return
            self._read_s = clock()
        self._filters_s = self._read_s + _FILTERS_S
        for index, symbol in enumerate(self.symbols):
            told = self.venue.instrument(symbol)
            if told != self.engine.instruments[index]:
                self._apply(FiltersKnown(ts_ns=self.clock.now_ns(), instrument=told))

    async def _fetch_fills(self, symbol: str) -> None:
        """Tell the session the fills of *symbol* it has not heard of; nothing where the venue cannot be reached."""
        since = max(self.engine.reconciler.agreed.get(symbol, 0) - _FILLS_OVERLAP_NS, self.engine.money.began_ns)
        try:
            async with asyncio.timeout(self.timing.request_timeout_s):
                fills = await self.venue.get_fills(symbol, since)
        except UNREACHED:
            self._look_soon.set()
            return
        for fill in fills:
            self._tell(fill)

    async def _fetch_funding_soon(self) -> None:
        """Ask once for a whole burst of events: at funding time there is one for every position."""
        await asyncio.sleep(self.timing.tick_s)
        self._asks_funding = False
        await self._fetch_funding()

    async def _fetch_funding(self) -> None:
        """Tell the session the funding it has not heard of."""
        since = max(self.engine.reconciler.agreed_ns - _FILLS_OVERLAP_NS, self.engine.money.began_ns)
        try:
            async with asyncio.timeout(self.timing.request_timeout_s):
                payments = await self.venue.get_funding(since)
        except UNREACHED:
            self._look_soon.set()
            return
        for payment in payments:
            if f"{payment.symbol}/{payment.ts_ns}" not in self.engine.seen:
                self._tell(payment)

    async def _fetch_transfers(self) -> None:
        """Tell the session the money moved that it may not have heard of, and note whether the venue could be asked."""
        since = max(self.engine.money.transfers_since(self.clock.now_ns()) - _FILLS_OVERLAP_NS, self.engine.money.began_ns)
        try:
            async with asyncio.timeout(self.timing.request_timeout_s):
                moved = await self.venue.get_transfers(since)
        except UNREACHED:
            self.counts["transfers not read"] += 1
            self._moves_known = False
            return
        self._moves_known = True
        for one in moved:
            if f"money/{one.move_id}" not in self.engine.seen:
                self._apply(MoneyMoved(ts_ns=one.ts_ns, amount=one.amount, move_id=one.move_id))

    # ------------------------------------------------------------------ time

    async def _tick(self) -> None:
        """Look after what time alone brings about."""
        loop_time = asyncio.get_running_loop().time
        attended = 0.0
        while True:
            await asyncio.sleep(self.timing.tick_s)
            self.clock.tick()
            requests = self._operator()
            for asked in requests:
                self._apply(asked)
            if requests:
                self.session.checkpoint()
                self._look_soon.set()  # a flatten cancels what is not ours as well, and a look shows what that is
            if self._ready and not self._winding_down:
                for told in self._inputs():
                    self._apply(told)
            self._check_health()
            self._decide_due()
            self._check_silence()
            busy = frozenset(self._tasks.values())
            now_ns = self.clock.now_ns()
            due = loop_time() - attended >= self.timing.attention_s and (self._ready or self.engine.halts.flattening)
            if due and self.engine.attention(now_ns, busy):
                attended = loop_time()
                self._apply(Ticked(ts_ns=now_ns, busy=tuple(sorted(busy))))
            self._save_claims()
            if self._report is not None:
                self._report(self.health())

    @property
    def unrecorded(self) -> bool:
        """Whether records were lost since the last checkpoint."""
        return self.engine.recording.failures > self._recorded

    def _save_claims(self) -> None:
        """Put state and files together again where something could not be written; a disk that stays full is let be."""
        now_s = asyncio.get_running_loop().time()
        if self.engine.halts.inputs_written and not self.unrecorded:
            self._claims_s, self._claims_wait_s = now_s, 0.0
        elif now_s - self._claims_s >= self._claims_wait_s:
            failures = self.engine.recording.failures
            if self.session.checkpoint():
                self._recorded = failures
            self._claims_s = now_s
            self._claims_wait_s = min(max(2.0 * self._claims_wait_s, self.timing.tick_s), self.timing.checkpoint_s)

    def _check_silence(self) -> None:
        """Fetch bars that should long be there: a stream that says nothing is no market standing still."""
        now = asyncio.get_running_loop().time()
        quiet = self._ready and not self._winding_down and now >= self._silent_until
        if quiet and self._lag_s() > self.timing.bar_wait_s:
            self._silent_until = now + self.timing.silence_s
            self._repair()

    def _lag_s(self) -> float:
        """How long the next bars are overdue, beyond the wait for the last symbol; while the bars missed before a
        start are fetched, nothing opens, and that is no lag."""
        due = self._decided_ns + 2 * self._interval + int(self.timing.bar_wait_s * NS_PER_SECOND)
        return max(0.0, (self.clock.now_ns() - due) / NS_PER_SECOND) if self._caught_up else 0.0

    def _check_health(self) -> None:
        """Tell the engine when health calls for another level, or the venue is there no more or again."""
        fill, critical = self._queue()
        offset, lag = self.clock.offset_ms(), self._lag_s()
        surely = abs(offset) < FOLLOW_MS  # while the clocks disagree nobody can say what is late
        connected = self._up["market"] and self._up["user"] and surely and not self.unrecorded
        now = asyncio.get_running_loop().time()
        lost = any(now - since >= self.timing.lost_s for since in self._down_since.values())
        level = max(health_level(lag, float(not lost), offset, fill), GOV_EMERGENCY if critical else 0)
        if (unsure_s := self._unreconciled_s(self.clock.now_ns())) > _UNSURE * self.timing.reconcile_s:
            level = max(level, GOV_DEFENSIVE)
        if (level, connected) != self._said:
            self._said = (level, connected)
            reason = (
                f"lag {lag:.1f} s, clock {offset:+.0f} ms, queue {100.0 * fill:.0f} %, unreconciled {unsure_s:.0f} s"
            )
            if not connected:
                reason += "".join(f", {name} stream down" for name, up in self._up.items() if not up)
                reason += f", records cannot be written: {self.engine.recording.last}" if self.unrecorded else ""
            self._apply(HealthTold(ts_ns=self.clock.now_ns(), level=level, connected=connected, reason=reason))

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(self.timing.checkpoint_s)
            self.session.checkpoint()

    def _unreconciled_s(self, now_ns: int) -> float:
        """How long nobody has found venue and books equal: something differs, or no look has come off for long."""
        reconciler = self.engine.reconciler
        if reconciler.since_ns:
            return (now_ns - reconciler.since_ns) / NS_PER_SECOND
        looked_s = (now_ns - reconciler.checked_ns) / NS_PER_SECOND
        return looked_s if self._ready and looked_s > 2.0 * self.timing.reconcile_s else 0.0

    def health(self) -> HealthReport:
        """How it is now."""
        now_ns, reconciler = self.clock.now_ns(), self.engine.reconciler
        return HealthReport(
            ts_ns=now_ns, ready=self._ready, market_up=self._up["market"], user_up=self._up["user"],
            lag_s=self._lag_s(), clock_offset_ms=self.clock.offset_ms(), queue_fill=self._queue()[0],
            last_event_ns=self.engine.last_event_ns, last_bars_ns=self._decided_ns + self._interval,
            unreconciled_s=self._unreconciled_s(now_ns),
            reconciled_ns=reconciler.checked_ns, requests=len(self._tasks), waits_for=self.waits_for,
            counts=dict(self.counts),
        )

    async def _try(self, ask: Callable[[], Awaitable[T]], what: str, timeout_s: float = 0.0) -> T:
        """Ask until there is an answer."""
        backoff = Backoff(self.timing)
        while True:
            try:
                async with asyncio.timeout(timeout_s or self.timing.request_timeout_s):
                    return await ask()
            except UNREACHED as error:
                self.counts[f"{what} failed"] += 1
                await backoff.pause(error)


def _rejected(request: OrderRequest, reason: str, now_ns: int) -> OrderUpdate:
    return OrderUpdate(
        client_order_id=request.client_order_id, venue_order_id="", symbol=request.symbol,
        status=OrderStatus.REJECTED, ts_ns=now_ns, reason=reason,
    )


def _update_of(order: VenueOrder, now_ns: int) -> OrderUpdate:
    return OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id=order.venue_order_id, symbol=order.symbol,
        status=order.status, ts_ns=now_ns, filled_qty=order.filled_qty, reason=order.reason,
    )
