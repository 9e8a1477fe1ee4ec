"""From a decoded market frame to an order's signed bytes, through the live driver, on loopback with 222 symbols.

The local venue runs in a process of its own and plays generated one-minute bars; the production adapter, the input log
on disk, the journal and the live driver run here, as in ``quantum-trader live``. The clock starts when the event of a
moment's last bar is in the driver's hand and stops when the first order of that moment can be written to a socket. The
claim (the line in the input log) lies in between. Further orders of the same moment wait for the first: they are
reported apart, and so is the wait of the last frame behind the frames that came with it.

The reference is ccxt: one frame to a signed order, once after each measured moment, so after the same pauses.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec

from benchmarks.bench_adapter import BAR, ccxt_stream, order_maker
from benchmarks.harness import Figure, bench
from quantum_trader.app.runs.input_log import FileInputLog
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.kernels import compile_kernels
from quantum_trader.app.runs.live import run_async, settle_memory
from quantum_trader.app.runs.state_dir import RecordFile, StateDir
from quantum_trader.app.runs.trace_file import TraceFile
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.enums import OrderType
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.engine.venue_port import Kline, StreamEvent
from quantum_trader.journal.tracer import SpanTracer
from quantum_trader.live.bars import BarCollector
from quantum_trader.live.driver import DriverParts, LiveDriver
from quantum_trader.live.session import Session
from quantum_trader.live.timing import LiveTiming
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.regime import MarketSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals.settings import SignalSettings
from quantum_trader.venues.binance.adapter import BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Secret
from quantum_trader.venues.binance.orders import Grid, order_fields
from quantum_trader.venues.binance.rest import PRIVATE, PreparedRequest, Rest
from quantum_trader.venues.binance.streams import EventQueue
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

SYMBOLS = 222
WARM = 230  # moments until the models have seen enough; not measured
MOMENTS = 600
PARTS = ("frame_to_batch", "claim_on_disk", "engine", "to_the_order", "bytes_and_signature")
_QUIET_S = 0.012

now = time.perf_counter_ns


# ---------------------------------------------------------------------- the venue, in a process of its own


def serve(bars: int) -> None:
    """Serve generated bars until standard input ends; one line of JSON says where and with which keys."""
    from quantum_trader.venues.local.build import recorded_exchange
    from quantum_trader.venues.local.exchange import ExchangeSettings
    from quantum_trader.venues.local.limits import LimitSettings
    from quantum_trader.venues.local.server import LocalVenue, ServerSettings

    async def run() -> None:
        recording = generated_recording(SYMBOLS, interval="1m", bars=bars, seed=4)
        exchange = recorded_exchange(
            recording, start_ns=recording.start_ns, settings=ExchangeSettings(wallet=1e6, leverage=2)
        )
        settings = ServerSettings(
            server_clock="market", limits=LimitSettings(weight_1m=10**6, orders_1m=10**6, orders_10s=10**6)
        )
        async with LocalVenue(exchange, settings=settings) as venue:
            told = {
                "url": venue.url, "key": venue.keys[0].key, "secret": venue.keys[0].secret,
                "token": venue.admin_token, "symbols": list(recording.symbols), "start_ns": recording.start_ns,
            }
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    run_async(run())


# ---------------------------------------------------------------------- stop-watches around the production parts


class Watch:
    """Points in time of the moment in hand, ns."""

    def __init__(self) -> None:
        self.decoded = self.heard = self.claiming = self.claimed = self.deciding = self.decided = 0
        self.preparing = 0
        self.orders: list[tuple[int, bool, int]] = []  # bytes ready, opening, began
        self.done: list[dict[str, Any]] = []
        self.batch = False

    def close(self, signals: int) -> None:
        """File the moment in hand."""
        if self.orders:
            first = self.orders[0]
            self.done.append({
                "total": first[0] - self.heard, "wire": first[0] - self.decoded, "opening": first[1],
                "later": [ready - self.heard for ready, _, _ in self.orders[1:]], "signals": signals,
                "parts": (
                    self.claiming - self.heard, self.claimed - self.claiming, self.decided - self.claimed,
                    first[2] - self.decided, first[0] - first[2],
                ),
            })
        self.orders = []


class WatchedLog(FileInputLog):
    """The input log of a live process, timed."""

    watch: Watch

    def append(self, entry: bytes) -> None:
        """Write one entry."""
        began = now()
        super().append(entry)
        if self.watch.batch:
            self.watch.claiming, self.watch.claimed = began, now()


class WatchedSession(Session):
    """The session, told which inputs are bars."""

    watch: Watch

    def decide(self, ts_ns: int, received_ns: int) -> list[Command]:
        """Take a moment's bars up to the first order."""
        self.watch.batch = True
        commands = super().decide(ts_ns, received_ns)
        self.watch.batch = False
        self.watch.decided = now()
        return commands

    def next_commands(self) -> list[Command]:
        """Take the moment's further signals up to the next order."""
        commands = super().next_commands()
        if commands and not self.watch.orders:
            self.watch.decided = now()
        return commands


class WatchedBars(BarCollector):
    """The driver's bars, noting when one arrives."""

    watch: Watch

    def take(self, bar: Kline) -> None:
        """Take one bar."""
        self.watch.heard = now()
        super().take(bar)


class WatchedAdapter(BinanceFuturesExecutionAdapter):
    """The production adapter, noting when an order's bytes are ready."""

    watch: Watch
    moment_ns = 0

    def prepare_order(self, request: OrderRequest) -> PreparedRequest:
        """Return the order's bytes."""
        began = now()
        prepared = super().prepare_order(request)
        if request.created_ns == self.moment_ns and request.type.value == "MARKET":
            self.watch.orders.append((now(), not request.reduce_only, began))
        return prepared


def watch_decoding(watch: Watch) -> Callable[[], None]:
    """Note when a bar's frame has been decoded, before it waits for its turn; returns how to stop."""
    put = EventQueue.put

    def noted(queue: EventQueue, event: StreamEvent) -> None:
        if type(event) is Kline:
            watch.decoded = now()
        put(queue, event)

    EventQueue.put = noted  # type: ignore[method-assign, assignment]

    def stop() -> None:
        EventQueue.put = put  # type: ignore[method-assign]

    return stop


# ---------------------------------------------------------------------- the run


def engine_settings() -> EngineSettings:
    """STANDARD, on signals that come every few minutes somewhere and are traded."""
    return EngineSettings(
        profile=load_profile("STANDARD"), start_equity=1e6, operator_resume_hours=1.0 / 60.0,
        market=MarketSettings(trend_minutes=10, vol_minutes=10), leverage=2.0,
        signals=SignalSettings(
            decision_minutes=1, horizon_hours=0.1, cooldown_hours=24.0, edge=0.51, warmup_outcomes=5.0
        ),
        integration=OrchestratorIntegrationConfig(fixed_risk_pct=0.05, fixed_confidence=0.0, fixed_max_positions=8),
        limits=RiskLimits(max_orders_per_hour=100_000, max_cost_r=10.0, daily_loss_pct=50.0, max_exposure_pct=100.0),
    )


class _NoStore:
    """Checkpoints of a run that is not continued."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep nothing."""

    def load(self) -> dict[str, Any] | None:
        """Nothing."""
        return None


class Rehearsal:
    """One live process beside the venue's."""

    def __init__(self, venue: dict[str, Any], folder: Path) -> None:
        self.told, self.folder, self.watch = venue, folder, Watch()
        self.now_ns = int(venue["start_ns"])
        self.theirs: list[float] = []
        self.report: dict[str, Any] = {}

    async def run(self) -> list[dict[str, Any]]:
        """Trade through the recording; returns the measured moments."""
        keys = ApiKeys(
            endpoint=LOCAL, key=Secret(self.told["key"]), secret=Secret(self.told["secret"]), source="benchmark"
        )
        adapter = WatchedAdapter(
            endpoint(LOCAL, self.told["url"]), shuffled(self.told["symbols"]), keys, rng=Random(0),
            wall_ns=lambda: self.now_ns,
        )
        adapter.watch = self.watch
        await adapter.connect()
        state = StateDir(self.folder)
        records = JournalSink(state.path, RecordFile(state.path / "records.jsonl", 0), 0)
        WatchedLog.watch = self.watch
        log, traces = WatchedLog(state.path / "inputs"), TraceFile(state.path)
        engine = Engine(
            [adapter.instrument(symbol) for symbol in self.told["symbols"]], NS_PER_MINUTE, engine_settings(), records,
            live=LiveAccount(),
        )
        engine.tracing.tracer = SpanTracer(clock=time.time_ns, finished=traces.add)
        compile_kernels(engine)
        session = WatchedSession(engine, log, _NoStore(), NS_PER_MINUTE)
        session.watch = self.watch
        WatchedBars.watch = self.watch
        driver = LiveDriver(
            session, adapter,
            LiveTiming(warm_bars=0, bar_wait_s=5.0, leverage_pace_s=0.001), lambda: self.now_ns,
            namespace="bench-", steady=False, parts=DriverParts(bars=WatchedBars),
        )
        trading = asyncio.create_task(driver.run(connected=True))
        stop_decoding = watch_decoding(self.watch)
        try:
            await self._play(adapter, driver, trading)
        finally:
            stop_decoding()
            driver.stop()
            await trading
            await adapter.close()
            traces.flush()
            log.close()
            records.close()
            state.close()
        self.report = {
            "trades": len(engine.records.tally.trades), "signals": engine.records.tally.signals,
            "failures": session.shield.failures, "last failure": session.shield.last, "counts": dict(driver.counts),
        }
        return self.watch.done

    async def _play(self, adapter: WatchedAdapter, driver: LiveDriver, trading: asyncio.Task[None]) -> None:
        headers = {"Authorization": f"Bearer {self.told['token']}"}
        step_url = f"{self.told['url']}/admin/step"
        async with aiohttp.ClientSession(headers=headers) as client:
            await self._until(lambda: driver.ready, trading)
            settle_memory()
            for moment in range(WARM + MOMENTS):
                await self._quiet(driver, trading)
                closes = self.now_ns + NS_PER_MINUTE
                adapter.moment_ns = self.now_ns = closes
                seen = driver.engine.records.tally.signals
                async with client.post(step_url, json={"bars": 1}) as answer:
                    await answer.read()
                await self._until(lambda: driver.decided_until_ns >= closes, trading)  # noqa: B023 - awaited here
                await self._quiet(driver, trading)
                if moment < WARM:
                    self.watch.orders = []
                elif self.watch.orders:
                    self.theirs += ccxt_road(1)  # after the same pause, so with caches as cold
                self.watch.close(driver.engine.records.tally.signals - seen)

    async def _quiet(self, driver: LiveDriver, trading: asyncio.Task[None]) -> None:
        """Wait until nothing is under way and nothing has come for a moment."""
        while True:
            before = driver.counts.total()
            await asyncio.sleep(_QUIET_S)
            if not driver.requests and driver.counts.total() == before:
                return
            if trading.done():
                await trading

    async def _until(self, done: Callable[[], bool], trading: asyncio.Task[None]) -> None:
        deadline = time.monotonic() + 60.0
        while not done():
            await asyncio.sleep(0.001)
            if trading.done():
                await trading
            if time.monotonic() > deadline:
                raise SystemExit("latency: the driver made no progress for a minute")


def shuffled(symbols: list[str]) -> list[str]:
    """The symbols in an order of no meaning: frames come in it, while the engine keeps its own."""
    return Random(5).sample(symbols, len(symbols))


def rehearse() -> Rehearsal:
    """Run the venue's process and this one to the end."""
    code = f"from benchmarks.bench_latency import serve; serve({WARM + MOMENTS + 10})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as venue:
        assert venue.stdout is not None
        assert venue.stdin is not None
        told = json.loads(venue.stdout.readline())
        with tempfile.TemporaryDirectory() as folder:
            rehearsal = Rehearsal(told, Path(folder) / "state")
            try:
                run_async(rehearsal.run())
            finally:
                gc.unfreeze()  # what was frozen is taken apart in order when the process ends
                venue.stdin.close()
                venue.wait(timeout=30)
    return rehearsal


# ---------------------------------------------------------------------- without a network, in a tight loop


class HotEngine(Engine):
    """A live engine under a replay's driver whose bars go the live way: input log, session, engine, signed bytes."""

    session: Session
    rest: Rest
    grids: dict[str, Grid]
    took: list[float]
    _inside = False

    def on_batch(self, batch: MarketBatch) -> list[Command]:
        """Take bars as the live driver tells them, timed to the first order's bytes."""
        if self._inside:
            return super().on_batch(batch)
        self._inside = True
        moments, last = self.session.moments, len(self.symbols) - 1
        for index in range(last + 1):
            moments.add(batch.ts_ns, index, batch.ohlcv[index], bool(batch.present[index]))
            if index < last:
                self.prepare_bar(batch.ts_ns, index, batch.ohlcv[index])
            if index < last and moments.unwritten(batch.ts_ns) == 16:
                self.session.write_bars(batch.ts_ns)
        began = now()
        commands = first = self.session.decide(batch.ts_ns, batch.ts_ns + NS_PER_MINUTE)
        ready = False
        while first:
            for command in first:
                if not ready and isinstance(command, OrderRequest) and command.type is OrderType.MARKET:
                    fields = order_fields(command, self.grids[command.symbol], "CONTRACT_PRICE")
                    self.rest.prepare("POST", PRIVATE, "order", fields)
                    self.took.append((now() - began) / 1_000.0)
                    ready = True
            first = self.session.next_commands()
            commands += first
        self._inside = False
        return commands


def hot() -> list[float]:
    """Microseconds from a moment's bars to its first order's bytes, moments one after another without a pause."""
    recording = generated_recording(SYMBOLS, interval="1m", bars=WARM + MOMENTS, seed=4)
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    engine = HotEngine(
        table.instruments, NS_PER_MINUTE, engine_settings(), MemorySink(), live=LiveAccount()
    )
    engine.rest, _, _ = order_maker()
    engine.grids = {instrument.symbol: Grid(instrument) for instrument in table.instruments}
    engine.halts.started, engine.took = True, []
    venue = PaperVenue(
        table.instruments, PaperSettings(initial_cash=1e6), taker_cost_bps=engine.market.taker_costs
    )
    driver = ReplayDriver(engine, venue, NS_PER_MINUTE)
    with tempfile.TemporaryDirectory() as folder:
        log = FileInputLog(Path(folder) / "inputs")
        engine.session = Session(engine, log, _NoStore(), NS_PER_MINUTE)
        for ts_ns, ohlcv, present, _ in recording.chunks(8192):
            for row, moment in enumerate(ts_ns.tolist()):
                driver.step(moment, ohlcv[row], present[row])
        log.close()
    return engine.took


# ---------------------------------------------------------------------- ccxt's way


@lru_cache
def ccxt_client() -> Any:
    """ccxt's client with keys."""
    theirs = ccxt_stream()
    theirs.apiKey, theirs.secret = "k" * 64, "s" * 64
    return theirs


def ccxt_road(count: int, frames: int = 1) -> list[float]:
    """Microseconds of ccxt.pro's message of *frames* bars, a trivial decision and the signature of an order."""
    theirs = ccxt_client()
    client = SimpleNamespace(
        url="wss://fstream.binance.com/market/ws/1", subscriptions={}, futures={}, resolve=lambda *_: None
    )
    frame = msgspec.json.encode({"stream": "btcusdt@kline_1m", "data": BAR})
    fields = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.100", "newOrderRespType": "ACK"}
    rng, last, took = random.Random(1), 0.0, []
    for _ in range(count):
        fields["newClientOrderId"] = f"qt-{rng.randbytes(10).hex()}"
        began = now()
        for _ in range(frames):
            theirs.handle_message(client, json.loads(frame))
        close = theirs.ohlcvs["BTC/USDT:USDT"]["1m"][-1][4]
        fields["side"] = "BUY" if close > last else "SELL"
        theirs.sign("order", ["fapiPrivate"], "POST", fields)["body"].encode()
        took.append((now() - began) / 1_000.0)
        last = close
    return took


# ---------------------------------------------------------------------- figures


def percentile(values: list[float], share: float) -> float:
    """The value that *share* of *values* do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures_of(
    what: str, values: list[float], beside: list[float], name: str,
    bars: tuple[float | None, float | None] = (None, None),
) -> Iterator[Figure]:
    """The median and the 99th percentile of *values*, us, each beside the same of *beside*."""
    for share, bar in zip((0.5, 0.99), bars, strict=True):
        text = f"p{share * 100:.0f}"
        yield Figure(
            name=f"latency.{what}_{text}", value=percentile(values, share), unit="us",
            reference=percentile(beside, share), reference_name=f"{name} {text}", at_most=bar,
        )


@bench("latency")
def latency() -> Iterator[Figure]:
    """Decoded frame to signed order bytes through the live driver.

    The reference is plain ccxt from one frame to a signed order, after each moment's pause and in the same process.
    """
    rehearsal = rehearse()
    done, report = rehearsal.watch.done, rehearsal.report
    assert report["failures"] == 0, report["last failure"]
    assert len(done) > 50, f"too few orders to measure: {len(done)} ({report})"
    ccxt = (rehearsal.theirs, "ccxt, 1 frame to a signed order, same pauses")
    yield from figures_of("frame_to_bytes", [row["total"] / 1_000.0 for row in done], *ccxt, bars=(1.0, 1.5))
    for place, part in enumerate(PARTS):
        yield from figures_of(part, [row["parts"][place] / 1_000.0 for row in done], *ccxt)
    later = [value / 1_000.0 for row in done for value in row["later"]] or [0.0]
    yield from figures_of("later_orders_of_a_moment", later, *ccxt)
    yield from figures_of("behind_other_frames", [row["wire"] / 1_000.0 for row in done], *ccxt)
    yield Figure(
        name="latency.signals_in_such_a_moment", value=statistics.median(row["signals"] for row in done),
        unit="signals", reference=float(len(done)), reference_name="moments measured",
    )
    tight, every = ccxt_road(1500), ccxt_road(50, SYMBOLS)
    loop = hot()
    tight, every = tight + ccxt_road(1500), every + ccxt_road(50, SYMBOLS)
    yield from figures_of("tight_loop_without_network", loop, tight, "ccxt, 1 frame to a signed order, tight loop")
    yield from figures_of("tight_loop_beside_all_frames", loop, every, f"ccxt, {SYMBOLS} frames to a signed order")
