"""The live driver: asyncio around a session, at one venue beyond a wire.

It sends requests, listens, waits and decides nothing itself. Every input goes to the session first, which writes it
down; then the engine's commands go out. Durations are measured on the loop's clock, moments on the venue's.

The driver holds the control flow; the work is in its parts: ``listening`` (streams), ``bars`` (decisions on complete
moments), ``sending`` (orders and cancels), ``account`` (fills, funding, transfers, filters), ``reconciling``
(comparison with the venue), ``leverages``, ``health``, ``checkpoints``, ``starting`` and ``stopping``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.domain.trading import Fill, OrderUpdate
from quantum_trader.engine.core import Engine
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.engine.venue_port import ExecutionVenue
from quantum_trader.live.account import AccountReader
from quantum_trader.live.bars import BarCollector
from quantum_trader.live.checkpoints import Checkpoints
from quantum_trader.live.clock import LiveClock
from quantum_trader.live.context import LiveContext
from quantum_trader.live.health import HealthMonitor, Streams
from quantum_trader.live.inputs import (
    Input,
    OperatorRequestReceived,
    ProcessStarted,
    TimerFired,
    VenueEventReceived,
)
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.live.listening import Listening
from quantum_trader.live.reconciling import Reconciling
from quantum_trader.live.requests import RequestTasks
from quantum_trader.live.sending import OpeningCheck, Sending
from quantum_trader.live.session import Session
from quantum_trader.live.starting import Starting
from quantum_trader.live.stopping import Stopping
from quantum_trader.live.timing import HealthReport, LiveTiming, until_answered


class DriverParts(msgspec.Struct, frozen=True, kw_only=True):
    """The classes of a driver's parts; a simulation or a market that waits for the driver gives others."""

    leverages: type[LeverageKeeper] = LeverageKeeper
    openings: type[OpeningCheck] = OpeningCheck
    bars: type[BarCollector] = BarCollector
    listening: type[Listening] = Listening
    reconciling: type[Reconciling] = Reconciling
    starting: type[Starting] = Starting
    stopping: type[Stopping] = Stopping


PARTS: Final = DriverParts()


class LiveDriver:
    """Runs one session at one venue until :meth:`stop`."""

    def __init__(
        self, session: Session, venue: ExecutionVenue, timing: LiveTiming, now_ns: Callable[[], int], *,
        namespace: str, statement: dict[str, Any] | None = None,
        operator: Callable[[], list[OperatorRequestReceived]] = list, inputs: Callable[[], list[Input]] = list,
        queue: Callable[[], tuple[float, bool]] = lambda: (0.0, False),
        report: Callable[[HealthReport], None] | None = None, steady: bool = True, parts: DriverParts = PARTS,
    ) -> None:
        """*namespace* marks this process's order ids. *operator* and *inputs* are polled each tick for the requests of
        people and the inputs of other parts; *queue* returns the fill of the fullest queue and whether it is critical;
        *report* takes the health of each tick; *steady*: see :class:`LiveClock`."""
        clock = LiveClock(now_ns, venue.clock_offset_ms, steady=steady)
        self.context = LiveContext(session, venue, timing, clock)
        self._namespace, self._statement = namespace, statement or {}
        self._operator, self._inputs, self._report = operator, inputs, report
        self.tasks = RequestTasks()
        self.account = AccountReader(self.context, self.tasks, self.tell, self.report)
        self.leverages = parts.leverages(self.context)
        openings = parts.openings(self.context, self.leverages)
        self.sending = Sending(self.context, self.tasks, openings, self.account, self.report)
        self.bars = parts.bars(self.context, self.tasks, self.sending.send)
        self.checkpoints = Checkpoints(self.context)
        streams = Streams()
        self.monitor = HealthMonitor(self.context, streams, self.bars, self.checkpoints, queue, self.tell)
        self.listening = parts.listening(
            self.context, streams, self.bars, self.account, self.leverages, self.monitor, self.tell, self.report
        )
        self.reconciling = parts.reconciling(
            self.context, self.tasks, self.account, self.sending, self.leverages, self.tell
        )
        self.starting = parts.starting(
            self.context, self.tasks, self.account, self.sending, self.reconciling, self.listening, self.tell
        )
        self.stopping = parts.stopping(self.context, self.tasks, self.tell)
        self._stop_requested = asyncio.Event()
        self._trading: list[asyncio.Task[None]] = []  # what runs once the start is over
        self._attended_s = 0.0  # when a timer last fired, on the loop's clock

    # ------------------------------------------------------------------ start, tick, stop

    async def run(self, *, connected: bool = False) -> None:
        """Trade until :meth:`stop`; orders at the venue stay there. The session has been recovered before."""
        context = self.context
        self.bars.begin()
        try:
            if not connected:
                await until_answered(
                    context.venue.connect, context.timing, context.timing.connect_timeout_s,
                    lambda: context.counts.update(["connect failed"]),
                )
            context.clock.start(asyncio.get_running_loop().time)
            async with asyncio.TaskGroup() as group:
                self.tasks.open(group)
                if context.engine.halts.started:
                    self.tell(ProcessStarted(ts_ns=context.clock.now_ns(), life=self._namespace))
                running = [group.create_task(part()) for part in (self.listening.run, self._tick, self._begin)]
                await self._stop_requested.wait()
                await self.stopping.wind_down()
                for part in [*running, *self._trading]:
                    part.cancel()
                await self._drain()
        finally:
            self.tasks.close()
            try:
                context.session.checkpoint()
            finally:
                await context.venue.close()

    async def _begin(self) -> None:
        """Start up, then begin to trade; a stop or a flatten does not wait for this."""
        await self.starting.run(self._namespace, self._statement)
        self._trading = [
            self.tasks.spawn(work())
            for work in (self.reconciling.run, self.checkpoints.run, self.leverages.set_ahead)
        ]
        self.bars.fetch_missing()

    async def _drain(self) -> None:
        """Wait for requests under way, for at most ``stop_s``; the next start queries those without an answer."""
        await self.tasks.wait(self.context.timing.stop_s, *self.bars.stop_fetching())
        self.context.closed = True  # commands that follow from answers now are decided again at the next start
        self.tasks.cancel()

    def stop(self) -> None:
        """Request :meth:`run` to end; requests under way get a moment to finish."""
        self._stop_requested.set()

    async def _tick(self) -> None:
        """Do every ``tick_s`` what time alone makes due."""
        context = self.context
        while True:
            await asyncio.sleep(context.timing.tick_s)
            context.clock.tick()
            self._take_requests()
            if context.ready and not context.winding_down:
                for event in self._inputs():
                    self.tell(event)
            self.monitor.check()
            self.bars.decide_due()
            self.bars.fetch_overdue()
            self._attend()
            self.checkpoints.save_after_failure()
            if self._report is not None:
                self._report(self.health())

    def _take_requests(self) -> None:
        """Take the operator's requests; they are on disk at once."""
        requests = self._operator()
        for request in requests:
            self.tell(request)
        if requests:
            self.context.session.checkpoint()
            self.context.compare_soon.set()  # a flatten cancels other people's orders too: a comparison finds them

    def _attend(self) -> None:
        """Let the engine see to positions and orders that need attention, at most every ``attention_s``."""
        context, engine = self.context, self.context.engine
        busy, now_ns = frozenset(self.tasks.symbols()), context.clock.now_ns()
        now_s = asyncio.get_running_loop().time()
        due = now_s - self._attended_s >= context.timing.attention_s and (context.ready or engine.halts.flattening)
        if due and engine.attention(now_ns, busy):
            self._attended_s = now_s
            self.tell(TimerFired(ts_ns=now_ns, busy=tuple(sorted(busy))))

    # ------------------------------------------------------------------ inputs

    def tell(self, event: Input) -> None:
        """Give the session an input (on the loop's thread) and send the commands that follow."""
        self.sending.send(self.context.session.apply(event))

    def report(self, event: VenueEvent) -> None:
        """Give the session an order update, a fill or a funding payment; a fill that it knows is skipped."""
        engine = self.context.engine
        self.tasks.touch(event.symbol)
        if isinstance(event, Fill) and event.fill_id in engine.seen:
            self.context.counts["repeated"] += 1
            return
        self.tell(VenueEventReceived.of(event))
        if isinstance(event, OrderUpdate):
            ticket = engine.gateway.ticket(event.client_order_id)
            if ticket is not None and ticket.over:
                self.tasks.start(self.account.await_fills(ticket.symbol, ticket.client_order_id), ticket.symbol)

    def decide_due(self) -> None:
        """Decide now on moments that have waited long enough, without waiting for the next tick."""
        self.bars.decide_due()

    # ------------------------------------------------------------------ what others may read

    @property
    def session(self) -> Session:
        """The session it runs."""
        return self.context.session

    @property
    def engine(self) -> Engine:
        """The session's engine."""
        return self.context.engine

    @property
    def venue(self) -> ExecutionVenue:
        """The venue it trades at."""
        return self.context.venue

    @property
    def clock(self) -> LiveClock:
        """The venue's time."""
        return self.context.clock

    @property
    def timing(self) -> LiveTiming:
        """Its waits and periods."""
        return self.context.timing

    @property
    def counts(self) -> Counter[str]:
        """What happened so far, counted by name."""
        return self.context.counts

    @property
    def ready(self) -> bool:
        """Whether books and venue have been compared, so that bars are decided on."""
        return self.context.ready

    @property
    def requests(self) -> int:
        """Requests under way, a fetch of bars included."""
        return len(self.tasks) + self.bars.is_fetching

    @property
    def decided_until_ns(self) -> int:
        """Close of the newest bars decided on."""
        return self.bars.decided_until_ns

    @property
    def waits_for(self) -> str:
        """What the start waits for; empty once it can trade."""
        return self.starting.waits_for

    @property
    def left_exposed(self) -> tuple[str, ...]:
        """The symbols whose position had no stop at the venue when it stopped."""
        return self.stopping.left_exposed

    @property
    def records_lost(self) -> bool:
        """Whether records could not be written since the last checkpoint."""
        return self.checkpoints.records_lost

    def health(self) -> HealthReport:
        """The health now."""
        return self.monitor.report(len(self.tasks), self.starting.waits_for)
