"""``quantum-trader run --venue local``: a recording through the production adapter, over loopback, in step.

The local venue plays the recording in this process and speaks Binance's protocol on a socket; the live engine trades
on it through the same adapter and the same driver as on the real venue. The venue's market goes on when the trader has
taken in and answered what came before, so that a run depends on the recording and not on the machine's speed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.live import compile_kernels, run_async
from quantum_trader.app.results import Pace, ProgressSink, RunOptions, RunResult
from quantum_trader.app.runner import Run, facts_of, view_of
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.errors import StateError, VenueError
from quantum_trader.engine.engine import Engine
from quantum_trader.engine.live import LiveDriver, LiveTiming
from quantum_trader.engine.live_engine import LiveEngine
from quantum_trader.engine.session import Session
from quantum_trader.venues.binance.adapter import BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Secret
from quantum_trader.venues.local.build import recorded_exchange
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.server import LocalVenue, ServerSettings

_STUCK_S: Final = 30.0  # a trader that has not answered one bar after this long
_LATE_TURNS: Final = 1000
_EVE_NS: Final = 1_000_000  # fills inside a bar are told this long before it closes
_LOOK_EVERY: Final = 16  # bars between looks at the wall clock
_TIMING: Final = LiveTiming(warm_bars=0, bar_wait_s=1.0, checkpoint_s=3600.0, tick_s=0.02, backoff_s=0.01)


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


class LocalRun(Run):
    """A run whose orders go over loopback."""

    def make_engine(self, *arguments: Any) -> Engine:
        """The live engine in the place of the replay's."""
        return LiveEngine(*arguments)


def run_over_local_venue(
    settings: RunSettings, options: RunOptions | None = None, *, progress: ProgressSink | None = None,
    pace: Pace | None = None,
) -> RunResult:
    """Run the recording that *settings* name over the local venue and return the facts of the run.

    Raises ConfigError, DataError, StateError or VenueError with what to do. A state folder keeps the records and the
    journal; it is not continued, because the venue's account ends with the process.
    """
    folder = options.state_dir if options is not None else None
    if folder is not None and (folder / "checkpoint").exists():
        raise StateError(
            f"--state {folder}: holds a run already, and one over the local venue is not continued; name a new folder"
        )
    session = LocalRun(settings, options or RunOptions())
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
        assert isinstance(session.engine, LiveEngine)
        self.engine = session.engine
        self.exchange: Exchange = recorded_exchange(
            recording, start_ns=recording.start_ns, instruments=session.table.instruments,
            settings=ExchangeSettings(
                wallet=session.engine.settings.start_equity,
                assumed_funding_rate=session.engine.settings.funding_rate_8h,
            ),
        )
        self._core = Session(session.engine, _NoLog(), _NoStore(), recording.interval_ns)

    async def run(self) -> None:
        """Serve, connect, trade to the recording's end, hang up."""
        symbols, now = self.session.recording.symbols, self._now_ns
        compile_kernels(self.engine)
        async with LocalVenue(self.exchange, settings=ServerSettings(server_clock="market")) as venue:
            pair = venue.keys[0]
            keys = ApiKeys(endpoint=LOCAL, key=Secret(pair.key), secret=Secret(pair.secret), source="this run")
            adapter = BinanceFuturesExecutionAdapter(
                endpoint(LOCAL, venue.url), symbols, keys, rng=Random(0), wall_ns=now
            )
            await adapter.connect()
            driver = LiveDriver(
                self._core, adapter, _TIMING, now, namespace="local-", statement=self.session.statement(), steady=False
            )
            trading = asyncio.create_task(driver.run(connected=True))
            try:
                await self._until(lambda: driver.ready, driver, trading)
                await self._play(venue, driver, trading)
            finally:
                driver.stop()
                await trading

    def _now_ns(self) -> int:
        return self.exchange.now_ns

    async def _play(self, venue: LocalVenue, driver: LiveDriver, trading: asyncio.Task[None]) -> None:
        """Move the market bar by bar to the end."""
        session, engine, tape = self.session, self.engine, self.exchange.tape
        interval = tape.interval_ns
        present = np.array([tape.present[row].sum() for row in range(len(tape))])
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
            session.row, session.bars = row + 1, session.bars + int(present[row])
            self._sample(closes, row)
        if tape.ts_ns.size:
            engine.ended(int(tape.ts_ns[-1]) + interval)

    def _sample(self, close_ns: int, row: int) -> None:
        """Keep what the report shows; look up now and then."""
        session = self.session
        if close_ns % NS_PER_HOUR == 0 or not session.samples.ts_ns:
            session.samples.take(self.engine, close_ns)
        if row % _LOOK_EVERY == 0 and self._progress is not None and self._progress.due():
            self._progress.show(view_of(session, close_ns))
        if self._pace is not None:
            self._pace(close_ns)

    def _heard(self, driver: LiveDriver) -> bool:
        """Whether the trader knows every fill and has no request under way."""
        return not driver.requests and driver.counts["Fill"] >= len(self.exchange.trades)

    def _answered(self, driver: LiveDriver, closes: int) -> bool:
        driver.poke()
        return driver.decided_until_ns >= closes and self._heard(driver)

    async def _until(self, done: Callable[[], bool], driver: LiveDriver, trading: asyncio.Task[None]) -> None:
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
