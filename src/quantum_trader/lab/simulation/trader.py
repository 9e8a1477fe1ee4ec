"""The trader of a simulated day: its process, which starts, crashes, stops and is started again from disk."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from quantum_trader.domain.trading import OrderRequest
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.disk import MemoryLog, MemoryStore, copied
from quantum_trader.lab.simulation.exchange import ignore_message
from quantum_trader.lab.simulation.network import SimulatedVenue
from quantum_trader.lab.simulation.schedule import Fault, Kind
from quantum_trader.lab.simulation.settings import TIMEOUTS_S, TIMING
from quantum_trader.lab.simulation.trader_view import Safety
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import OperatorRequestReceived
from quantum_trader.live.session import Session
from quantum_trader.models.loading import make_forecasts

if TYPE_CHECKING:
    from quantum_trader.lab.simulation.world import Day

_NO_CRASH_S = 60.0  # before the end of the bars, in which no crash happens
_NO_STOP_S = 120.0  # the same for a graceful stop


class Trader:
    """One process of the trader. *number* counts them; *before*: what the last one knew when it was killed."""

    def __init__(self, day: Day, processes: Processes, before: Safety | None) -> None:
        self.day, self._processes = day, processes
        variant, interval_ns = day.variant, day.world.interval_ns
        self.engine = variant.engine(
            day.world.instruments, interval_ns, day.settings, day.sink,
            forecasts=make_forecasts(day.models, day.exchange.symbols, interval_ns),
        )
        if not day.models:  # they learn from the bars that the driver fetches at a first start
            trader_view.begin_warm(self.engine, copied(day.kernel), day.exchange.market.start_ns)
        self.log, self.store = MemoryLog(day.disk), MemoryStore(day.disk)
        self.session: Session = variant.session(self.engine, self.log, self.store, interval_ns)
        self.venue = SimulatedVenue(day.loop, day.exchange, day.wire, day.local_ns, TIMEOUTS_S)
        self.venue.submitted = self._submitted
        self.venue.no_effect = day.watch.orders.never_arrived
        self._recover(before)
        self.driver = LiveDriver(
            self.session, variant.venue(self.venue), TIMING, day.local_ns, namespace=f"sim{processes.started}/",
            operator=self._requests, inputs=day.people.take_intents, parts=variant.parts,
        )
        day.exchange.publish = self.venue.deliver
        self.task = day.loop.create_task(self.driver.run(), name="trader")

    def _recover(self, before: Safety | None) -> None:
        """Continue from disk, and compare with what was known before."""
        watch, saved = self.day.watch, self.store.load()
        if saved is not None:
            trader_view.continue_records(self.engine, saved)
        watch.replaying = True
        self.session.recover()
        watch.begin(self.session.engine, before)

    def _requests(self) -> list[OperatorRequestReceived]:
        """The operators' requests that the session has not taken."""
        fresh = self.day.people.requests[self.session.request_count:]
        for request in fresh:
            self.day.watch.requested(request.action)
        return fresh

    def _submitted(self, request: OrderRequest, may_arrive: bool) -> None:
        self.day.watch.sent(request, arrives=may_arrive)
        self._processes.order_sent()

    def kill(self) -> Safety | None:
        """End this process as signal 9 does; returns what it knew, None when an input was not written."""
        self.venue.kill()
        self.log.closed = self.store.closed = True
        self.day.watch.end()
        known = None
        if self.session.unwritten_inputs == 0:
            self.session.finish_bars()  # finish the inputs that were written and only partly decided on
            known = Safety.of(self.engine)
        for task in self.day.loop.live_tasks():
            if task is not self.day.main:
                task.cancel()
        return known


class Processes:
    """Starts, kills and restarts the trader of *day*."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.trader: Trader | None = None  # the process that runs now
        self.started = 0
        self._before: Safety | None = None  # what the last process knew
        self._crash_on_order = False  # the next order kills the process that sends it
        self._crash_in = -1  # steps until a crash; -1: none
        self._crash_after = 1  # steps from the moment a crash is triggered
        self._crash_kind = Kind.CRASH
        self._down_s = 1.0

    def start(self) -> None:
        """Start a process from disk."""
        day = self.day
        self.started += 1
        day.disruptions.begins(day.loop.time())
        self.trader = Trader(day, self, self._before)
        self._before = None
        day.disruptions.is_ready = partial(getattr, self.trader.driver, "ready")
        self.trader.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A process that ends by itself is a finding, unless it was stopped or killed."""
        trader = self.trader
        if trader is None or task is not trader.task or trader.venue.dead:
            return
        if task.cancelled() or task.exception() is not None:
            error = "cancelled" if task.cancelled() else describe(task.exception())
            self.day.watch.context.fail("the trader goes on", f"run() ended: {error}")

    def apply(self, fault: Fault) -> None:
        """Arm a crash or stop the process gracefully, as *fault* says."""
        if fault.kind is Kind.STOP_START:
            self.day.strike(fault.kind)
        if fault.kind in (Kind.STOP_START, Kind.TRANSFER_UNHEARD):
            self._stop(fault)
            return
        self._down_s = fault.seconds
        self._crash_after = max(int(fault.value), 1)
        if fault.kind is Kind.CRASH:
            self._trigger_crash(fault.kind)
        else:
            self._crash_on_order = True

    # ------------------------------------------------------------------ crashes

    def order_sent(self) -> None:
        """An order was handed to the connection."""
        if self._crash_on_order:
            self._crash_on_order = False
            self._trigger_crash(Kind.CRASH_IN_ORDER)

    def _trigger_crash(self, kind: Kind) -> None:
        self._crash_in, self._crash_kind = self._crash_after, kind

    def count_step(self) -> None:
        """One step of the loop was taken: a triggered crash may be due."""
        if self._crash_in >= 0:
            self._crash_in -= 1
            if self._crash_in < 0:
                self._crash()

    def _crash(self) -> None:
        """Kill the process now and start another one later."""
        day = self.day
        if self.trader is None or day.loop.time() > day.length_s - _NO_CRASH_S:
            return
        day.strike(self._crash_kind)
        self.kill()
        day.disk.crash()
        day.exchange.publish = ignore_message
        day.loop.call_later(self._down_s, self.start)

    def kill(self) -> None:
        """Kill the process that runs, if any."""
        if self.trader is not None:
            known = self.trader.kill()
            self._before = known if known is not None else self._before
            self.trader = None

    # ------------------------------------------------------------------ graceful stops

    def _stop(self, fault: Fault) -> None:
        """Stop gracefully, and start again after that."""
        trader, day = self.trader, self.day
        if trader is None or day.loop.time() > day.length_s - _NO_STOP_S:
            return
        trader.driver.stop()
        trader.task.add_done_callback(lambda _: self._stopped(trader, fault))

    def _stopped(self, trader: Trader, fault: Fault) -> None:
        day, seconds = self.day, fault.seconds
        if self.trader is not trader or trader.venue.dead:
            return
        day.watch.stopped()
        self.kill()
        day.exchange.publish = ignore_message
        day.loop.call_later(seconds, self.start)
        if fault.kind is Kind.TRANSFER_UNHEARD:
            day.strike(fault.kind)
            transfer = msgspec.structs.replace(fault, kind=Kind.TRANSFER)
            day.loop.call_later(0.5 * seconds, day.exchange.apply, transfer)


def describe(error: BaseException | None) -> str:
    """An error in words, with the members of a group."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"
