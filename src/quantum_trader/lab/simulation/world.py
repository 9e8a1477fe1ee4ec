"""One simulated day: an exchange, a wire, a disk, and a trader that lives, dies and comes back, on virtual time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import Side
from quantum_trader.domain.instrument import floor_to, round_to
from quantum_trader.domain.trading import Intent, OrderRequest
from quantum_trader.lab.simulation.calm import Bounds, Weather
from quantum_trader.lab.simulation.disk import Disk, MemoryLog, MemoryStore, copied
from quantum_trader.lab.simulation.exchange import EXCHANGE_FAULTS, Exchange
from quantum_trader.lab.simulation.invariants import LOOK_EVERY_S, WISH, Broken, Safety, Watch
from quantum_trader.lab.simulation.loop import Deadlock, Livelock, new_loop
from quantum_trader.lab.simulation.network import (
    LATENCY_S,
    RECEIVE_WINDOW_S,
    RECONNECT_S,
    TIMEOUT_S,
    SimulatedVenue,
    Wire,
)
from quantum_trader.lab.simulation.schedule import MESSAGE_FAULTS, REQUEST_FAULTS, Fault, Kind, Schedule
from quantum_trader.lab.simulation.variants import PRODUCTION, Variant
from quantum_trader.lab.simulation.warm import WarmWorld, engine_settings, warm_world
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import Input, IntentReceived, OperatorRequestReceived
from quantum_trader.live.session import Session
from quantum_trader.live.timing import LiveTiming

WALLET: Final = 10_000.0
TIMING: Final = LiveTiming(tick_s=15.0, checkpoint_s=2900.0, request_timeout_s=6.0)
TIMEOUTS_S: Final = (TIMEOUT_S, 3.0 * TIMING.request_timeout_s)  # before and after the driver's own
BOUNDS: Final = Bounds.of(TIMING, RECEIVE_WINDOW_S, LATENCY_S[1], TIMEOUTS_S[-1])
CALM_S: Final = BOUNDS.found_s + 200.0  # after the last bar nothing strikes, and everything must come to agree
_STOP_MOST_S: Final = 60.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What broke, where."""

    invariant: str
    detail: str
    at_s: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one day."""

    seed: int
    steps: int
    struck: dict[str, int]
    requests: dict[str, int]
    lives: int
    openings: int
    fills: int
    trades: int
    looks: int
    worst: dict[str, float]
    held: str  # why openings waited for a person at the end
    cash_error: float  # of the books beside the wallet, at the end
    digest: str
    finding: Finding | None = None


class Trader:
    """One life of the trader's process."""

    def __init__(self, day: Day) -> None:
        self.day = day
        variant = day.variant
        self.engine = variant.engine(
            day.world.instruments, day.world.interval_ns, day.settings, day.sink
        )
        self.engine.kernel.load_state(copied(day.kernel))
        self.engine.now_ns = day.exchange.start_ns
        self.log, self.store = MemoryLog(day.disk), MemoryStore(day.disk)
        self.session: Session = variant.session(
            self.engine, self.log, self.store, day.world.interval_ns
        )
        self.venue = SimulatedVenue(day.loop, day.exchange, day.wire, day.local_ns, TIMEOUTS_S)
        self.venue.submitted = self._submitted
        self.venue.no_effect = day.watch.never_arrived
        self._recover()
        self.driver = LiveDriver(
            self.session, variant.venue(self.venue), TIMING, day.local_ns, namespace=f"sim{day.lives}/",
            operator=self._requests, inputs=day.take_wishes, parts=variant.parts,
        )
        day.exchange.publish = self.venue.deliver
        self.task = day.loop.create_task(self.driver.run(), name="trader")

    def _recover(self) -> None:
        """Continue from disk, and compare with what was known before."""
        day = self.day
        saved = self.store.load()
        if saved is not None:
            self.engine.recorder.resume(saved["engine"]["seq"], ())
        day.watch.replaying = True
        self.session.recover()
        day.watch.begin(self.session, day.before)
        day.before = None

    def _requests(self) -> list[OperatorRequestReceived]:
        """What people have asked for and this trader has not taken."""
        fresh = self.day.asked[self.session.request_count:]
        for asked in fresh:
            self.day.watch.asked(asked.action)
        return fresh

    def _submitted(self, request: OrderRequest, may_arrive: bool) -> None:
        self.day.watch.sent(request, arrives=may_arrive)
        if self.day.fragile:
            self.day.fragile = False
            self.day.crash_in_steps(Kind.CRASH_IN_ORDER)

    def kill(self) -> None:
        """End this process as a signal 9 does: nothing it does from now on reaches anything."""
        self.venue.kill()
        self.log.closed = self.store.closed = True
        self.day.watch.end()
        if self.session.unwritten_inputs == 0:
            self.session.finish_bars()  # what was written down and not yet thought through to its end
            self.day.before = Safety.of(self.engine)
        for task in self.day.loop.live_tasks():
            if task is not self.day.main:
                task.cancel()


class Day:
    """Runs one schedule."""

    def __init__(self, schedule: Schedule, variant: Variant = PRODUCTION, world: WarmWorld | None = None) -> None:
        self.schedule, self.variant = schedule, variant
        self.world = world or warm_world()
        rng = Random(f"day/{schedule.seed}")
        beginning = self.world.beginnings[rng.randrange(len(self.world.beginnings))]
        self.settings = engine_settings(targets=rng.random() < 0.5)
        self.kernel = beginning.kernel
        self.loop, self.weather = new_loop(), Weather(TIMEOUTS_S[-1])
        bars = max(1, round(schedule.hours * 3600 * NS_PER_SECOND / self.world.interval_ns))
        ohlcv = self.world.ohlcv[beginning.row: beginning.row + bars]
        self.exchange = Exchange(
            self.loop, self.world.instruments, ohlcv, beginning.ts_ns, self.world.interval_ns, WALLET, rng,
            self.weather,
        )
        self.wire = Wire(Random(f"wire/{schedule.seed}"), self.weather)
        self.disk = Disk()
        self.disk.struck = self.exchange.struck = self._strike
        self.watch = Watch(self.exchange, self.weather, BOUNDS)
        self.sink = _Sink(self.watch, self.disk)
        self.asked: list[OperatorRequestReceived] = []
        self._wishes: list[Input] = []
        self._wishes_made = 0
        self.before: Safety | None = None
        self.trader: Trader | None = None
        self.main: asyncio.Task[Any] | None = None
        self.lives = 0
        self._clock_offset_ns = 0
        self._crash_in = -1
        self._crash_after = 1
        self._crash_kind = Kind.CRASH
        self.fragile = False  # the next order kills the process that sends it
        self._down_s = 1.0
        self._length_s = bars * self.world.interval_ns / NS_PER_SECOND

    def local_ns(self) -> int:
        """The trader's wall clock."""
        return self.exchange.now_ns() + self._clock_offset_ns

    # ------------------------------------------------------------------ the day

    def run(self) -> Outcome:
        """Run it to its end, or to the first thing that breaks."""
        finding = None
        for fault in self.schedule.faults:
            self.loop.call_at(fault.at_s, self._apply, fault)
        self.loop.after_step = self._after_step
        try:
            self.loop.run_until_complete(self._main())
        except Broken as broken:
            finding = Finding(invariant=broken.invariant, detail=broken.detail, at_s=broken.at_s)
        except (Deadlock, Livelock) as stuck:
            finding = Finding(invariant="the trader goes on", detail=str(stuck), at_s=self.loop.time())
        finally:
            self.loop.after_step = None
            self._clear()
        return self._outcome(finding)

    async def _main(self) -> None:
        self.main = asyncio.current_task()
        self._start()
        self.loop.call_later(LOOK_EVERY_S, self._look)
        await asyncio.sleep(self._length_s + CALM_S)
        if self.watch.broken is None and self.trader is not None:
            self.trader.driver.stop()
            await asyncio.wait([self.trader.task], timeout=_STOP_MOST_S)
            self.watch.stopped()

    def _clear(self) -> None:
        """Cancel what is left, so that no task is destroyed while it waits."""
        if self.trader is not None:
            self.trader.kill()
        if self.main is not None:
            self.main.cancel()
        self.loop.run_out()
        self.loop.close()

    def _outcome(self, finding: Finding | None) -> Outcome:
        trader = self.trader
        return Outcome(
            seed=self.schedule.seed, steps=self.loop.steps, struck=dict(sorted(self.wire.struck.items())),
            requests=dict(sorted(self.wire.requests.items())), lives=self.lives, openings=self.watch.openings,
            fills=len(self.exchange.fills), trades=len(trader.engine.tally.trades) if trader is not None else 0,
            looks=self.watch.checks, worst={key: round(s, 3) for key, s in sorted(self.watch.standing.worst.items())},
            held=trader.engine.held if trader is not None else "",
            cash_error=trader.engine.books.cash - self.exchange.paper.balance().wallet if trader is not None else 0.0,
            digest=self.sink.digest(), finding=finding,
        )

    # ------------------------------------------------------------------ lives

    def _start(self) -> None:
        self.lives += 1
        self.weather.begins(self.loop.time())
        self.trader = Trader(self)
        self.weather.is_ready = partial(getattr, self.trader.driver, "ready")
        self.trader.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A trader that ends by itself is a finding, unless it was asked to or killed."""
        trader = self.trader
        if trader is None or task is not trader.task or trader.venue.dead:
            return
        if task.cancelled() or task.exception() is not None:
            error = "cancelled" if task.cancelled() else _told(task.exception())
            self.watch.fail("the trader goes on", f"run() ended: {error}")

    def _crash(self) -> None:
        """Kill the trader here and now, and start another one later."""
        self._crash_in = -1
        if self.trader is None or self.loop.time() > self._length_s - 60.0:
            return
        self._strike(self._crash_kind)
        self.trader.kill()
        self.trader = None
        self.disk.crash()
        self.exchange.publish = _nobody
        self.loop.call_later(self._down_s, self._start)

    def crash_in_steps(self, kind: Kind) -> None:
        """Let the crash that was armed happen some steps from now."""
        self._crash_in, self._crash_kind = self._crash_after, kind

    def _stop(self, fault: Fault) -> None:
        """Stop gracefully, and start again when that is done."""
        trader = self.trader
        if trader is None or self.loop.time() > self._length_s - 120.0:
            return
        trader.driver.stop()
        trader.task.add_done_callback(lambda _: self._stopped(trader, fault))

    def _stopped(self, trader: Trader, fault: Fault) -> None:
        seconds = fault.seconds
        if self.trader is not trader or trader.venue.dead:
            return
        self.watch.stopped()
        trader.kill()
        self.trader = None
        self.exchange.publish = _nobody
        self.loop.call_later(seconds, self._start)
        if fault.kind is Kind.TRANSFER_UNHEARD:
            self._strike(fault.kind)
            moved = msgspec.structs.replace(fault, kind=Kind.TRANSFER)
            self.loop.call_later(0.5 * seconds, self.exchange.apply, moved)

    # ------------------------------------------------------------------ faults

    def _strike(self, kind: Kind) -> None:
        self.wire.strike(kind)
        self.weather.struck(self.loop.time())

    def _apply(self, fault: Fault) -> None:
        """Let *fault* happen, or arm it."""
        now, kind = self.loop.time(), fault.kind
        if kind in EXCHANGE_FAULTS:
            self.exchange.apply(fault)
        elif kind in REQUEST_FAULTS or kind in MESSAGE_FAULTS:
            self.wire.arm(fault)
        else:
            _OWN_FAULTS[kind](self, fault, now)

    def _ban(self, fault: Fault, now: float) -> None:
        self.wire.banned_until = max(self.wire.banned_until, now + fault.seconds)

    def _rate_limit(self, fault: Fault, now: float) -> None:
        self.wire.rate_limited_until = max(self.wire.rate_limited_until, now + fault.seconds)

    def _disconnect(self, fault: Fault, now: float) -> None:
        until = now + fault.seconds
        self.wire.down_until[fault.on] = max(self.wire.down_until[fault.on], until)
        self._strike(fault.kind)
        self.weather.down(fault.on, until + RECONNECT_S)
        if self.trader is not None:
            self.trader.venue.disconnect(fault.on, fault.seconds)

    def _silence(self, fault: Fault, now: float) -> None:
        self.wire.silent_until[fault.on] = max(self.wire.silent_until[fault.on], now + fault.seconds)
        self.weather.message(fault.on, now + fault.seconds)
        self._strike(fault.kind)

    def _arm_crash(self, fault: Fault, now: float) -> None:
        """Crash some steps from now, or some steps after the next order."""
        self._down_s = fault.seconds
        self._crash_after = max(int(fault.value), 1)
        if fault.kind is Kind.CRASH:
            self.crash_in_steps(fault.kind)
        else:
            self.fragile = True

    def _graceful(self, fault: Fault, now: float) -> None:
        if fault.kind is Kind.STOP_START:
            self._strike(fault.kind)
        self._stop(fault)

    def _clock_jump(self, fault: Fault, now: float) -> None:
        self._strike(fault.kind)
        self._clock_offset_ns += int(fault.value * NS_PER_SECOND)

    def _disk(self, fault: Fault, now: float) -> None:
        if fault.kind is Kind.DISK_FULL:
            self.disk.failing += fault.count
        elif fault.kind is Kind.RECORDS_FULL:
            self.disk.records_failing += fault.count
        elif fault.kind is Kind.TORN_WRITE:
            self.disk.tear = True
        else:
            self.disk.lose = True

    def _ask(self, fault: Fault, now: float) -> None:
        """Somebody asks the trader for something; it is in a file and waits there if need be."""
        self._strike(fault.kind)
        self.asked.append(
            OperatorRequestReceived(
                ts_ns=self.exchange.now_ns(), action=fault.kind.value, reason="simulated", actor="operator"
            )
        )

    def _wish(self, fault: Fault, now: float) -> None:
        """Somebody wishes for a position, or for its end, and says so once or more often."""
        self._strike(fault.kind)
        self._wishes_made += 1
        index = self.exchange.symbols.index(fault.on)
        instrument, price = self.exchange.instruments[index], self.exchange.prices[index]
        now_ns = self.exchange.now_ns()
        side = Side.LONG if fault.value >= 0.0 else Side.SHORT
        intent = Intent(
            intent_id=f"{WISH}{self._wishes_made}", trace_id=f"{WISH}{self._wishes_made}", symbol=fault.on, side=side,
            qty=floor_to(0.2 * WALLET / price, instrument.step_size), reduce_only=fault.value == 0.0,
            reference_price=price, stop_price=round_to(price * (1.0 - 0.02 * side.sign), instrument.tick_size),
            leverage=5.0, created_ns=now_ns, expires_ns=now_ns + 30 * NS_PER_SECOND, source="SIMULATED",
            risk_pct=0.5, confidence=0.9,
        )
        told = IntentReceived(ts_ns=now_ns, intent=intent)
        self._wishes.append(told)
        for again in range(1, fault.count):
            self.loop.call_later(15.0 * again, self._wish_again, told)

    def _wish_again(self, told: IntentReceived) -> None:
        self._wishes.append(msgspec.structs.replace(told, ts_ns=self.exchange.now_ns()))

    def take_wishes(self) -> list[Input]:
        """What was wished for since the last time; what a dead trader took is lost."""
        fresh, self._wishes = self._wishes, []
        return fresh

    # ------------------------------------------------------------------ checks

    def _after_step(self) -> None:
        if self._crash_in >= 0:
            self._crash_in -= 1
            if self._crash_in < 0:
                self._crash()
        self.watch.after_step()
        if self.loop.failures:
            context = self.loop.failures[0]
            raise Broken("no task dies unseen", _told(context.get("exception")) + str(context.get("message")),
                         self.loop.time())

    def _look(self) -> None:
        if self.trader is not None:
            self.watch.look()
        self.loop.call_later(LOOK_EVERY_S, self._look)


class _Sink:
    """Takes the engine's records: for the digest, and for the watch."""

    def __init__(self, watch: Watch, disk: Disk) -> None:
        self._watch, self._disk = watch, disk
        self._hash = hashlib.blake2b(digest_size=16)

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record. Raises StateError while records cannot be written."""
        self._disk.check_records()
        self._hash.update(line)
        self._watch.append(line, topic, ts_ns)

    def digest(self) -> str:
        """Hash over every record of every life."""
        return self._hash.hexdigest()


def run_day(schedule: Schedule, variant: Variant = PRODUCTION) -> Outcome:
    """Run one day and return what became of it."""
    return Day(schedule, variant).run()


def _told(error: BaseException | None) -> str:
    """An error in words, with what is inside of a group."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"


def _nobody(stream: str, message: tuple[Any, ...]) -> None:
    """No trader is there to hear."""


_OWN_FAULTS: Final[dict[Kind, Callable[[Day, Fault, float], None]]] = {
    Kind.RATE_LIMIT: Day._rate_limit,
    Kind.BANNED: Day._ban,
    Kind.DISCONNECT: Day._disconnect,
    Kind.SILENCE: Day._silence,
    Kind.CRASH: Day._arm_crash,
    Kind.CRASH_IN_ORDER: Day._arm_crash,
    Kind.STOP_START: Day._graceful,
    Kind.TRANSFER_UNHEARD: Day._graceful,
    Kind.CLOCK_JUMP: Day._clock_jump,
    Kind.DISK_FULL: Day._disk,
    Kind.RECORDS_FULL: Day._disk,
    Kind.TORN_WRITE: Day._disk,
    Kind.CHECKPOINT_LOST: Day._disk,
    Kind.HALT: Day._ask,
    Kind.RESUME: Day._ask,
    Kind.FLATTEN: Day._ask,
    Kind.INTENT: Day._wish,
}
