"""``quantum-trader run --venue local``: a recording through the production adapter, over loopback, in step.

The local venue plays the recording in this process and speaks Binance's protocol on a socket; the live engine trades
on it through the same adapter and the same driver as on the real venue. The venue's market goes on when the trader has
taken in and answered what came before, so that a run depends on the recording and not on the machine's speed
(decision 0048).
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.runs.kernels import compile_kernels
from quantum_trader.app.runs.live import run_async, settle_memory
from quantum_trader.app.runs.replay import Run, facts_of, poll_gates, poll_pilot, view_of
from quantum_trader.app.runs.results import Pace, ProgressSink, RunOptions, RunResult
from quantum_trader.app.runs.state_dir import LOCAL_RUN
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.errors import StateError, VenueError
from quantum_trader.domain.private_files import open_private
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.live.bars import BarCollector
from quantum_trader.live.driver import DriverParts, LiveDriver
from quantum_trader.live.inputs import IntentReceived, TimerFired
from quantum_trader.live.session import Session
from quantum_trader.live.stopping import Stopping
from quantum_trader.live.timing import LiveTiming
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Secret
from quantum_trader.venues.binance.parse import fill_id
from quantum_trader.venues.local.build import recorded_exchange
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.limits import LimitSettings
from quantum_trader.venues.local.server import LocalVenue, ServerSettings

_RUN_FILES: Final = ("checkpoint", "records.jsonl", "journal", "live.json")  # a folder with one of these is taken
_STUCK_S: Final = 30.0  # a trader that has not answered one bar after this long
_LATE_TURNS: Final = 1000
_EVE_NS: Final = 1_000_000  # fills inside a bar are told this long before it closes
_LOOK_EVERY: Final = 16  # bars between looks at the wall clock
_FOREVER_S: Final = 1e9
# Comparisons with the venue and what time alone brings about follow the market's time: no timer of the driver's does.
_TIMING: Final = LiveTiming(
    warm_bars=0, bar_wait_s=1.0, checkpoint_s=3600.0, tick_s=0.003, backoff_s=0.001, reconcile_s=_FOREVER_S,
    attention_s=_FOREVER_S,
)
_COLLECT_EVERY: Final = 20_000  # objects; each request makes hundreds that live a moment, in both parties
_COMPARE_NS: Final = NS_PER_DAY  # market time between two comparisons with the venue
_COMPARE_AGAIN_NS: Final = NS_PER_HOUR  # the same while something differs
# The venue counts requests by the wall's minute, into which this run puts months of its market's.
_UNLIMITED: Final = LimitSettings(weight_1m=2**53, orders_1m=2**53, orders_10s=2**53)


class _NoLog:
    """The input log of a run that is not continued: the recording is there to run again."""

    def append(self, entry: bytes) -> None:
        """Keep nothing."""

    def mark(self) -> int:
        """Nowhere."""
        return 0

    def since(self, mark: Any) -> list[bytes]:
        """Nothing."""
        return []


class _NoStore:
    """The checkpoints of a run that is not continued."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep nothing."""

    def load(self) -> dict[str, Any] | None:
        """Nothing."""
        return None


class _PunctualBars(BarCollector):
    """Bars of a market that waits for the driver: none is late."""

    def lag_s(self) -> float:
        """Always 0."""
        return 0.0


class _EndOfRecording(Stopping):
    """The end of a recording: what rests at the venue ends with it, and everything was heard."""

    async def wind_down(self) -> None:
        """Take no more decisions."""
        self.context.winding_down = True


class SteppedDriver(LiveDriver):
    """The live driver for a market that waits for it: a comparison counts as a request under way."""

    @property
    def requests(self) -> int:
        """Requests under way, comparisons and fetches of bars included."""
        return super().requests + self.reconciling.under_way


class LocalRun(Run):
    """A run whose orders go over loopback."""

    def make_engine(self, *arguments: Any, **keywords: Any) -> Engine:
        """The live engine in the place of the replay's."""
        return Engine(*arguments, live=LiveAccount(), **keywords)


def run_over_local_venue(
    settings: RunSettings, options: RunOptions | None = None, *, progress: ProgressSink | None = None,
    pace: Pace | None = None,
) -> RunResult:
    """Run the recording that *settings* name over the local venue and return the facts of the run.

    Raises ConfigError, DataError, StateError or VenueError with what to do. A state folder keeps the records and the
    journal; it is not continued, because the venue's account ends with the process.
    """
    folder = options.state_dir if options is not None else None
    if folder is not None and any((folder / name).exists() for name in _RUN_FILES):
        raise StateError(
            f"--state {folder}: holds a run already, and one over the local venue is not continued; name a new folder"
        )
    session = LocalRun(settings, options or RunOptions())
    if folder is not None:
        os.close(open_private(folder / LOCAL_RUN, os.O_WRONLY | os.O_CREAT))
    try:
        started = time.perf_counter()
        run_async(_Stepping(session, progress, pace).run())
        wall = time.perf_counter() - started
        facts = facts_of(session)
        session.publish_records()
    finally:
        session.close()
    return RunResult(facts=facts, wall_s=wall)


class _Stepping:
    """One run: the venue, the adapter, the driver, and the hand that moves the market."""

    def __init__(self, session: LocalRun, progress: ProgressSink | None, pace: Pace | None) -> None:
        self.session, self._progress, self._pace = session, progress, pace
        recording = session.recording
        assert isinstance(session.engine, Engine)
        self.engine = session.engine
        self.exchange: Exchange = recorded_exchange(
            recording, start_ns=recording.start_ns, instruments=session.table.instruments,
            settings=ExchangeSettings(
                wallet=session.engine.settings.start_equity,
                assumed_funding_rate=session.engine.settings.funding_rate_8h,
            ),
        )
        self._core = Session(session.engine, _NoLog(), _NoStore(), recording.interval_ns)
        self._told = 0  # fills the trader knows
        self._compared_ns = recording.start_ns

    async def run(self) -> None:
        """Serve, connect, trade to the recording's end, hang up."""
        symbols, now = self.session.recording.symbols, self._now_ns
        compile_kernels(self.engine, self.session.pilot.artefact)
        self.session.warm_up()
        settings = ServerSettings(server_clock="market", limits=_UNLIMITED)
        async with LocalVenue(self.exchange, settings=settings) as venue:
            pair = venue.keys[0]
            keys = ApiKeys(endpoint=LOCAL, key=Secret(pair.key), secret=Secret(pair.secret), source="this run")
            adapter = BinanceFuturesExecutionAdapter(
                endpoint(LOCAL, venue.url), symbols, keys, rng=Random(0), wall_ns=now,
                settings=AdapterSettings(quotes=False),  # decisions use bars; best bid and ask are not read
            )
            await adapter.connect()
            driver = SteppedDriver(
                self._core, adapter, _TIMING, now, namespace="local-", statement=self.session.statement(), steady=False,
                parts=DriverParts(bars=_PunctualBars, stopping=_EndOfRecording),
            )
            trading = asyncio.create_task(driver.run(connected=True))
            try:
                await self._until(lambda: self._listens(driver) and self._heard(driver), driver, trading)
                with _rare_collections():
                    await self._play(venue, driver, trading)
            finally:
                driver.stop()
                await trading

    def _now_ns(self) -> int:
        return self.exchange.now_ns

    async def _play(self, venue: LocalVenue, driver: SteppedDriver, trading: asyncio.Task[None]) -> None:
        """Move the market bar by bar to the end."""
        session, tape = self.session, self.exchange.tape
        interval = tape.interval_ns
        present = np.array([tape.present[row].sum() for row in range(len(tape))])
        session.samples.begin(self.engine, session.recording.start_ns)
        poll_pilot(session, session.recording.start_ns, begins=True)
        for row, opened in enumerate(tape.ts_ns.tolist()):
            closes = int(opened) + interval
            if closes <= self._now_ns():
                continue
            venue.advance(closes - _EVE_NS - self._now_ns())
            await self._until(lambda: self._heard(driver), driver, trading)
            venue.advance(closes - self._now_ns())
            if present[row] < len(tape.symbols):  # a symbol without a bar: the trader waits for it, then goes on
                await asyncio.sleep(0)
                venue.advance(int((_TIMING.bar_wait_s + 0.1) * NS_PER_SECOND))
            await self._until(lambda: self._answered(driver, closes), driver, trading)  # noqa: B023 - awaited here
            session.samples.note(closes, self.engine.account.equity)
            await asyncio.sleep(0)  # orders of a moment go out turn by turn: the next one may be about to
            await self._until(lambda: self._heard(driver), driver, trading)
            await self._take_intents(driver, trading)
            session.models.take_due(self.engine, closes)
            if row % _LOOK_EVERY == 0:
                poll_pilot(session, closes)
                poll_gates(session, closes)
            session.row, session.bars = row + 1, session.bars + int(present[row])
            self._sample(closes, row)
            await self._attend(driver, trading)
            if self._pace is not None:
                await _in_a_thread(self._pace, closes)
        if tape.ts_ns.size:
            self._end(int(tape.ts_ns[-1]) + interval)

    async def _take_intents(self, driver: SteppedDriver, trading: asyncio.Task[None]) -> None:
        """Give the trader the outside intents that are due, one by one."""
        now_ns = self._now_ns()
        for intent in self.session.driver.intents.due(now_ns):
            driver.tell(IntentReceived(ts_ns=now_ns, intent=intent))
            await self._until(lambda: self._heard(driver), driver, trading)

    async def _attend(self, driver: SteppedDriver, trading: asyncio.Task[None]) -> None:
        """Let the trader do what its timers would, by the market's time: look after orders, compare with the venue."""
        if self.engine.attention(self._now_ns()):
            driver.tell(TimerFired(ts_ns=self._now_ns(), busy=()))
            await self._until(lambda: self._heard(driver), driver, trading)
        every_ns = _COMPARE_AGAIN_NS if self.engine.reconciler.open else _COMPARE_NS
        if self._now_ns() - self._compared_ns >= every_ns:
            self._compared_ns = self._now_ns()
            driver.reconciling.compare_now()
            await self._until(lambda: self._heard(driver), driver, trading)

    def _sample(self, close_ns: int, row: int) -> None:
        """Keep what the report shows; look up now and then."""
        session = self.session
        if close_ns % NS_PER_HOUR == 0:
            session.samples.take(self.engine, close_ns)
        if row % _LOOK_EVERY == 0 and self._progress is not None and self._progress.due():
            self._progress.show(view_of(session, close_ns))

    def _end(self, close_ns: int) -> None:
        """Keep and show how it ended."""
        samples = self.session.samples
        if samples.ts_ns[-1] != close_ns:
            samples.take(self.engine, close_ns)
        self.engine.ended(close_ns)
        if self._progress is not None:
            self._progress.show(view_of(self.session, close_ns))

    def _listens(self, driver: SteppedDriver) -> bool:
        return driver.ready and driver.health().market_up

    def _heard(self, driver: SteppedDriver) -> bool:
        """Whether the trader knows every fill and has no request under way."""
        trades, seen = self.exchange.trades, self.engine.seen
        while self._told < len(trades):
            trade = trades[self._told]
            if fill_id(trade.symbol, trade.trade_id, trade.order_id, trade.qty) not in seen:
                return False
            self._told += 1
        return not driver.requests

    def _answered(self, driver: SteppedDriver, closes: int) -> bool:
        driver.decide_due()
        return driver.decided_until_ns >= closes and self._heard(driver)

    async def _until(self, done: Callable[[], bool], driver: SteppedDriver, trading: asyncio.Task[None]) -> None:
        """Let both sides work until *done*; VenueError when nothing moves any more."""
        deadline, late = time.monotonic() + _STUCK_S, 0
        while not done():
            await asyncio.sleep(0)
            if trading.done():
                await trading
            late += time.monotonic() > deadline
            if late > _LATE_TURNS:  # one turn may have taken long: a kernel was compiled, the machine was asleep
                raise VenueError(
                    f"local venue: no progress at {self._now_ns()} within {_STUCK_S:g} s of it ({dict(driver.counts)}; "
                    f"{msgspec.to_builtins(driver.health())})"
                )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage less often, and not in what the start has left: that costs a fifth of the time otherwise."""
    before = gc.get_threshold()
    settle_memory()
    gc.set_threshold(_COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _in_a_thread(pace: Pace, close_ns: int) -> None:
    """Wait as *pace* wants while sockets stay alive; the thread of one that is given up ends with the process."""
    loop, passed = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        pace(close_ns)
        with suppress(RuntimeError):  # the loop is closed: no coroutine waits any more
            loop.call_soon_threadsafe(passed.set)

    threading.Thread(target=wait, name="pace", daemon=True).start()
    await passed.wait()
