"""One simulated day: exchange, wire, disk, people, and a trader that crashes and restarts, on virtual time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.engine.core import Engine
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.check_context import Broken
from quantum_trader.lab.simulation.client_faults import CLIENT_FAULTS
from quantum_trader.lab.simulation.deadlines import Disruptions
from quantum_trader.lab.simulation.disk import DISK_FAULTS, Disk
from quantum_trader.lab.simulation.exchange import SimulatedExchange
from quantum_trader.lab.simulation.exchange_faults import EXCHANGE_FAULTS
from quantum_trader.lab.simulation.invariants import CHECK_EVERY_S, Watch
from quantum_trader.lab.simulation.loop import Deadlock, Livelock, new_loop
from quantum_trader.lab.simulation.network import RECONNECT_S, WireFaults
from quantum_trader.lab.simulation.people import People
from quantum_trader.lab.simulation.schedule import MESSAGE_FAULTS, REQUEST_FAULTS, Fault, Kind, Schedule
from quantum_trader.lab.simulation.settings import BOUNDS, CALM_S, STOP_MOST_S, TIMEOUTS_S, TIMING, WALLET
from quantum_trader.lab.simulation.trader import Processes, describe
from quantum_trader.lab.simulation.variants import PRODUCTION, Variant
from quantum_trader.lab.simulation.warm import WarmWorld, engine_settings, warm_world
from quantum_trader.models.loading import ModelSettings, load_models


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What broke, where."""

    invariant: str
    detail: str
    at_s: float


class DayOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one day."""

    seed: int
    steps: int
    struck: dict[str, int]  # fault -> times it took effect
    requests: dict[str, int]
    lives: int  # processes of the trader
    openings: int
    fills: int
    trades: int
    looks: int  # checks of what only time shows
    worst: dict[str, float]  # what was wrong, and what its deadline followed from -> the longest, seconds after that
    held: str  # why openings waited for a person at the end
    cash_error: float  # of the books beside the wallet, at the end
    digest: str
    finding: Finding | None = None


class Day:
    """Runs one schedule."""

    def __init__(
        self, schedule: Schedule, variant: Variant = PRODUCTION, world: WarmWorld | None = None,
        models: Sequence[ModelSettings] = (),
    ) -> None:
        """*models* give the signals; without them the intraday ensemble does, with what it has learned before."""
        self.schedule, self.variant = schedule, variant
        self.models = models if load_models(models) else ()  # empty where they name the ensemble
        self.world = world or warm_world()
        rng = Random(f"day/{schedule.seed}")
        beginning = self.world.beginnings[rng.randrange(len(self.world.beginnings))]
        self.settings = engine_settings(targets=rng.random() < 0.5, models=bool(self.models))
        self.kernel = beginning.kernel
        self.loop, self.disruptions = new_loop(), Disruptions(TIMEOUTS_S[-1])
        bars = max(1, round(schedule.hours * 3600 * NS_PER_SECOND / self.world.interval_ns))
        ohlcv = self.world.ohlcv[beginning.row: beginning.row + bars]
        self.exchange = SimulatedExchange(
            self.loop, self.world.instruments, ohlcv, beginning.ts_ns, self.world.interval_ns, WALLET, rng,
            self.disruptions, self.world.before(beginning),
        )
        self.wire = WireFaults(Random(f"wire/{schedule.seed}"), self.disruptions)
        self.disk = Disk()
        self.disk.struck = self.exchange.struck = self.strike
        self.watch = Watch(self.exchange, self.disruptions, BOUNDS)
        self.sink = _Sink(self.watch, self.disk)
        self.people = People(self.exchange)
        self.processes = Processes(self)
        self.main: asyncio.Task[Any] | None = None
        self.length_s = bars * self.world.interval_ns / NS_PER_SECOND
        self._clock_offset_ns = 0

    def local_ns(self) -> int:
        """The trader's wall clock."""
        return self.exchange.now_ns() + self._clock_offset_ns

    # ------------------------------------------------------------------ the day

    def run(self) -> DayOutcome:
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
            trader = self.processes.trader
            self._clear()
        engine = trader.engine if trader is not None else None
        return self._outcome(engine, finding)

    async def _main(self) -> None:
        self.main = asyncio.current_task()
        late = next((fault for fault in self.schedule.faults if fault.kind is Kind.LATE_START), None)
        if late is None:
            self.processes.start()
        else:
            self.loop.call_later(late.seconds, self._start_late, late)
        self.loop.call_later(CHECK_EVERY_S, self._check)
        await asyncio.sleep(self.length_s + CALM_S)
        trader = self.processes.trader
        if self.watch.context.broken is None and trader is not None:
            trader.driver.stop()
            await asyncio.wait([trader.task], timeout=STOP_MOST_S)
            self.watch.stopped()

    def _start_late(self, fault: Fault) -> None:
        """Start the first process; questions for bars take *value* seconds at first, as those for many bars do."""
        self.strike(Kind.LATE_START)
        self.exchange.clients.slow_bars(fault.value)
        self.disruptions.message("user", self.loop.time())  # nobody heard those before
        self.processes.start()
        self.disruptions.begins(self.loop.time() + TIMING.reconcile_s)  # a look while orders are sent shows nothing

    def _clear(self) -> None:
        """Cancel what is left, so that no task is destroyed while it waits."""
        self.processes.kill()
        if self.main is not None:
            self.main.cancel()
        self.loop.run_out()
        self.loop.close()

    def _outcome(self, engine: Engine | None, finding: Finding | None) -> DayOutcome:
        """The day's result; *engine*: of the process that ran at its end."""
        cash_error = 0.0
        if engine is not None:
            cash_error = trader_view.cash(engine) - self.exchange.paper.balance().wallet
        return DayOutcome(
            seed=self.schedule.seed, steps=self.loop.steps, struck=dict(sorted(self.wire.struck.items())),
            requests=dict(sorted(self.wire.requests.items())), lives=self.processes.started,
            openings=self.watch.orders.openings, fills=len(self.exchange.fills),
            trades=trader_view.closed_trades(engine) if engine is not None else 0, looks=self.watch.checks,
            worst={key: round(s, 3) for key, s in sorted(self.watch.account.worst.items())},
            held=trader_view.hold_reason(engine) if engine is not None else "", cash_error=cash_error,
            digest=self.sink.digest(), finding=finding,
        )

    # ------------------------------------------------------------------ faults

    def strike(self, kind: Kind) -> None:
        """Count a fault that takes effect now."""
        self.wire.strike(kind)
        self.disruptions.struck(self.loop.time())

    def _apply(self, fault: Fault) -> None:
        """Let *fault* happen, or arm it."""
        kind = fault.kind
        if kind in EXCHANGE_FAULTS or kind in CLIENT_FAULTS:
            self.exchange.apply(fault)
        elif kind in REQUEST_FAULTS or kind in MESSAGE_FAULTS:
            self.wire.arm(fault)
        elif kind in DISK_FAULTS:
            self.disk.arm(fault)
        elif kind in _CONNECTION_FAULTS:
            _CONNECTION_FAULTS[kind](self, fault, self.loop.time() + fault.seconds)
        elif kind is Kind.CLOCK_JUMP:
            self.strike(kind)
            self._clock_offset_ns += int(fault.value * NS_PER_SECOND)
        elif kind in (Kind.HALT, Kind.RESUME, Kind.FLATTEN, Kind.INTENT):
            self.strike(kind)
            self.people.apply(fault)
        elif kind is not Kind.LATE_START:  # of the trader's first start
            self.processes.apply(fault)

    def _ban(self, fault: Fault, until: float) -> None:
        self.wire.banned_until = max(self.wire.banned_until, until)

    def _rate_limit(self, fault: Fault, until: float) -> None:
        self.wire.rate_limited_until = max(self.wire.rate_limited_until, until)

    def _disconnect(self, fault: Fault, until: float) -> None:
        self.wire.down_until[fault.on] = max(self.wire.down_until[fault.on], until)
        self.strike(fault.kind)
        self.disruptions.down(fault.on, until + RECONNECT_S)
        if self.processes.trader is not None:
            self.processes.trader.venue.disconnect(fault.on, fault.seconds)

    def _silence(self, fault: Fault, until: float) -> None:
        self.wire.silent_until[fault.on] = max(self.wire.silent_until[fault.on], until)
        self.disruptions.message(fault.on, until)
        self.strike(fault.kind)

    # ------------------------------------------------------------------ checks

    def _after_step(self) -> None:
        self.processes.count_step()
        self.watch.after_step()
        if self.loop.failures:
            context = self.loop.failures[0]
            detail = describe(context.get("exception")) + str(context.get("message"))
            raise Broken("no task dies unseen", detail, self.loop.time())

    def _check(self) -> None:
        if self.processes.trader is not None:
            self.watch.check()
        self.loop.call_later(CHECK_EVERY_S, self._check)


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
        """Hash over every record of the day."""
        return self._hash.hexdigest()


def run_day(
    schedule: Schedule, variant: Variant = PRODUCTION, models: Sequence[ModelSettings] = ()
) -> DayOutcome:
    """Run one day, with signals of *models* where some are given, and return its result."""
    return Day(schedule, variant, models=models).run()


_CONNECTION_FAULTS: Final[dict[Kind, Callable[[Day, Fault, float], None]]] = {
    Kind.RATE_LIMIT: Day._rate_limit,
    Kind.BANNED: Day._ban,
    Kind.DISCONNECT: Day._disconnect,
    Kind.SILENCE: Day._silence,
}
