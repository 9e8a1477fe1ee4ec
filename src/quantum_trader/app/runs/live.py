"""Live trading, wired: settings, keys, venue, engine, recorder, state folder, status, and an end that leaves order."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import msgspec

from quantum_trader import __version__
from quantum_trader.app.runs.gates_file import GatesFollower
from quantum_trader.app.runs.input_log import FileInputLog
from quantum_trader.app.runs.journal_sink import LiveSink
from quantum_trader.app.runs.kernels import compile_kernels
from quantum_trader.app.runs.live_history import HistorySink
from quantum_trader.app.runs.live_messages import LiveWords, say
from quantum_trader.app.runs.live_settings import (
    LiveMode,
    LiveSettings,
    LoadedLive,
    OnForeign,
    bind_folder,
    check_folder,
)
from quantum_trader.app.runs.meta_labels import run_meta_label
from quantum_trader.app.runs.model_check import check_before_live
from quantum_trader.app.runs.model_state import models_state
from quantum_trader.app.runs.models_in_force import INPUTS_FOLDER, has_inputs
from quantum_trader.app.runs.operator_requests import OperatorRequests
from quantum_trader.app.runs.outside_intents import BUS_TOPICS, OutsideIntents
from quantum_trader.app.runs.pilot_run import RunPilot, pilot_line
from quantum_trader.app.runs.run_models import RunModels
from quantum_trader.app.runs.run_signals import models_to_begin
from quantum_trader.app.runs.sole_trader import sole_trader
from quantum_trader.app.runs.state_dir import RecordFile, StateDir, sealed, unsealed
from quantum_trader.app.runs.status import (
    STOPPED,
    HaltLine,
    LiveStatus,
    OrderLine,
    OthersLine,
    position_line,
    untraded_lines,
    write_status,
)
from quantum_trader.app.runs.trace_file import TraceFile
from quantum_trader.app.runs.watchdog import Watchdog
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, GOVERNOR_CODES
from quantum_trader.domain.errors import StateError, VenueError
from quantum_trader.domain.private_files import read_private, why_unwritable
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.halts import OPERATOR
from quantum_trader.engine.ports import PilotSource
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.engine.venue_port import ExecutionVenue
from quantum_trader.journal.tracer import SpanTracer
from quantum_trader.live.bus import BusSink, InMemoryBus
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import (
    GatesChanged,
    Input,
    IntentReceived,
    OperatorRequestReceived,
    PilotSettingsReceived,
    ScoreReceived,
)
from quantum_trader.live.pilot_limit import TimeLimitedPilot
from quantum_trader.live.session import Session
from quantum_trader.live.timing import HealthReport, LiveTiming
from quantum_trader.models.gates import GateSettings
from quantum_trader.models.learned.meta_label import TrainedMetaLabel
from quantum_trader.pilot.settings import WARM_BARS
from quantum_trader.policy.storage import write_atomically
from quantum_trader.signals import columns as col
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Redactor
from quantum_trader.venues.paper.live_account import DrySettings, PaperExecutionAdapter
from quantum_trader.venues.paper.settings import PaperSettings

T = TypeVar("T")

_DRAIN_S: Final = 5.0  # at the end, subscribers of the bus get this long to finish
_LEVERAGE_PACE_S: Final = 0.5  # 222 symbols take two minutes and a third of the requests the venue allows
_PAPER_ACCOUNT: Final = "paper_account"


class PaperAccountFile:
    """The paper account of a dry run on disk; like an account at a venue it outlives the trader's process."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _PAPER_ACCOUNT

    def load(self) -> dict[str, Any] | None:
        """The account as it was last kept; None when there is none. StateError when the file is damaged."""
        try:
            content = read_private(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self._path}: cannot be read ({error.strerror})") from None
        account: dict[str, Any] | None = unsealed(content)
        if account is None:
            raise StateError(f"{self._path}: damaged; remove it to begin with a fresh paper account")
        return account

    def keep(self, account: dict[str, Any]) -> None:
        """Replace what was kept. Raises StateError when it cannot be written."""
        content = sealed(account)
        try:
            write_atomically(self._path, content)
        except OSError as error:
            raise StateError(f"{self._path}: cannot be written ({why_unwritable(self._path, error)})") from error


def venue_for(
    live: LiveSettings, keys: ApiKeys | None, paper: PaperSettings | None = None, *, closing: bool = False,
    account: PaperAccountFile | None = None,
) -> ExecutionVenue:
    """The venue that *live* trades at, not connected: Binance or the local venue, or paper fills on their prices.

    *closing*: only to read the account and to close positions; what forbids opening them does not keep it from
    connecting. *account* keeps the paper account of a dry run.
    """
    binance = BinanceFuturesExecutionAdapter(
        endpoint(live.venue, live.address), live.symbols, keys if live.needs_keys else None, rng=Random(time.time_ns()),
        settings=AdapterSettings(
            trigger_on=live.trigger_on.value, timeout_s=live.order_timeout_s, closing=closing
        ),
    )
    if live.mode is not LiveMode.DRY:
        return binance
    dry = PaperExecutionAdapter(
        binance, DrySettings(paper=paper if paper is not None else PaperSettings()),
        keep=account.keep if account is not None else None,
    )
    if account is not None and (kept := account.load()) is not None:
        dry.load_state(kept)
    return dry


def live_engine_settings(loaded: LoadedLive) -> EngineSettings:
    """The engine's settings for live trading: no simulated operator resumes a halt, and late bars open no position."""
    settings = loaded.run.settings.engine_settings()
    limits = settings.limits
    return msgspec.structs.replace(
        settings, operator_resume_hours=0.0,
        limits=msgspec.structs.replace(
            limits, max_data_age_s=min(limits.max_data_age_s, loaded.live.max_decision_delay_s)
        ),
    )


class LiveRun:
    """The parts of one live process around one state folder."""

    def __init__(
        self, loaded: LoadedLive, venue: ExecutionVenue, state_dir: StateDir, redactor: Redactor,
        now_ns: Callable[[], int] = time.time_ns, timing: LiveTiming | None = None,
        inputs: Callable[[], list[Input]] = list, bus: InMemoryBus | None = None,
    ) -> None:
        """*venue* is connected; *state_dir* is locked and bound. *inputs* is polled for what other parts wish."""
        live = loaded.live
        self.live, self.venue, self.state_dir, self._now_ns = live, venue, state_dir, now_ns
        self.started_ns = now_ns()
        self.checkpoint = state_dir.load_checkpoint()
        self._stack = ExitStack()
        keep = self.checkpoint["more"]["record_bytes"] if self.checkpoint is not None else 0
        state_dir.check_records(keep)
        recorded = sum(self.checkpoint["engine"]["seq"].values()) if self.checkpoint is not None else 0
        self.records = LiveSink(
            state_dir.path, RecordFile(state_dir.path / "records.jsonl", keep), recorded, redact=redactor.bytes
        )
        self._stack.callback(self.records.close)
        self.log = FileInputLog(state_dir.path / INPUTS_FOLDER)
        self._stack.callback(self.log.close)
        self.bus = bus or InMemoryBus()
        self._stack.callback(self.bus.close)
        sink = HistorySink(BusSink(self.records, self.bus, BUS_TOPICS), self.records.history)
        self.models = RunModels(loaded.run.settings, live.symbols, live.interval_ns, state_dir.path)
        self._stack.callback(self.models.close)
        pilot = self._limited_pilot()
        self.models.signals.keep_in(self.models.kept)
        self.engine = sink.engine = Engine(
            [venue.instrument(symbol) for symbol in live.symbols], live.interval_ns, live_engine_settings(loaded), sink,
            live=LiveAccount(adopt_quietly=live.on_foreign is OnForeign.ADOPT),
            forecasts=self.models.signals.forecasts,
            pilot=pilot, meta_label=self._meta_label(loaded.run.settings.gates),
        )
        gates = GatesFollower(state_dir.path, self.engine.opening.gates, self.engine.settings.gates, self.started_ns)
        self.traces = TraceFile(state_dir.path)
        self._stack.callback(self.traces.flush)
        self.session = Session(
            self.engine, self.log, _Checkpoints(self), live.interval_ns, self._more_state, pilot, self.models
        )
        self.operator = OperatorRequests(state_dir.path, 0)
        self.driver = LiveDriver(
            self.session, venue, timing if timing is not None else timing_of(live, pilot), now_ns,
            namespace=f"{self.started_ns:x}-", statement=self._statement(loaded), operator=self._asked,
            inputs=lambda: [
                *self._pilot_settings(), *self._models_that_take_over(), *self._gates_changed(gates),
                *self._received_intents(), *self._received_scores(), *inputs(),
            ],
            queue=self._queue, report=self._report,
        )
        self.outside = OutsideIntents(
            self.bus, self.engine, None, self.driver.clock.now_ns, state_dir.path
        )
        self._reported = 0.0
        self.words: LiveWords | None = None
        self._watchdog = Watchdog(live.watchdog_s)

    @property
    def pilot(self) -> RunPilot:
        """The pilot of this run."""
        return self.models.pilot

    def _limited_pilot(self) -> TimeLimitedPilot | None:
        """The run's pilot, which is not waited for; None where it has none."""
        if self.pilot.source is None:
            return None
        begun = self.checkpoint is not None or has_inputs(self.state_dir.path)
        self.pilot.keep_in(self.state_dir.path, begun=begun)
        limited = TimeLimitedPilot(self.pilot.source)
        self._stack.callback(limited.close)
        return limited

    def _meta_label(self, settings: GateSettings) -> TrainedMetaLabel | None:
        """The meta-label that the gates ask; the one from before where inputs are to be taken again."""
        mark = self.checkpoint["mark"] if self.checkpoint is not None else None
        return run_meta_label(settings, self.state_dir.path, bound=bool(self.log.since(mark)))

    def _pilot_settings(self) -> list[PilotSettingsReceived]:
        """A change of the pilot's settings since the last tick."""
        found: list[PilotSettingsReceived] = []
        now_ns = self.driver.clock.now_ns()
        self.pilot.look(
            self.engine, lambda change: found.append(PilotSettingsReceived(ts_ns=now_ns, change=change))
        )
        return found

    def _gates_changed(self, gates: GatesFollower) -> list[GatesChanged]:
        """The changes of the gates file since the last tick."""
        now_ns = self.driver.clock.now_ns()
        return [
            GatesChanged(ts_ns=now_ns, change=change, in_force=msgspec.to_builtins(settings))
            for settings, change in gates.changes(now_ns)
        ]

    def _models_that_take_over(self) -> list[Input]:
        """The models that the aliases of this run have come to since the last tick, and those that were refused."""
        now_ns = self.driver.clock.now_ns()
        return [*self.models.inputs(self.engine, now_ns, busy=self.session.pilot_is_busy)]

    def recover(self) -> int:
        """Continue where the last process ended; returns how many inputs were taken again."""
        taken = self.session.recover(self._restore_more)
        self.engine.tracing.tracer = SpanTracer(clock=self._now_ns, finished=self.traces.add)
        more = self.checkpoint["more"] if self.checkpoint is not None else {"operator_taken": 0, "asked": 0}
        self.outside.resume(more.get("intents_taken", 0), frozenset(self.session.recent_intents))
        self.models.scores.resume(more.get("scores_taken", 0), frozenset(self.session.recent_scores))
        self.operator.taken = more["operator_taken"] + self.session.request_count - more["asked"]
        return taken

    async def run(self) -> None:
        """Trade until told to stop; the last word in the status is then that it stopped in order."""
        self.models.follow()
        await self.driver.run(connected=True)
        await self.bus.drain(_DRAIN_S)
        with suppress(StateError):
            write_status(self.state_dir.path, msgspec.structs.replace(self.status(self.driver.health()), stage=STOPPED))

    def close(self) -> None:
        """Release files."""
        self._watchdog.stop()
        self._stack.close()

    def _statement(self, loaded: LoadedLive) -> dict[str, Any]:
        return {
            "version": __version__, "mode": self.live.mode.value, "endpoint": self.venue.name,
            "effective": loaded.run.settings.effective(), "settings": loaded.run.settings.settings_hash(),
            "live": {"symbols": list(self.live.symbols), "interval": self.live.interval},
            "aliases": self.models.aliases(), "pilot": self.pilot.identity,
            "signals": self.models.signals.forecasts.ids if self.models.signals.forecasts is not None else [],
        }

    def _more_state(self) -> dict[str, Any]:
        self.records.sync()
        self.log.sync()
        more: dict[str, Any] = {
            "record_bytes": self.records.size, "operator_taken": self.operator.taken,
            "asked": self.session.request_count, "intents_taken": self.outside.taken,
            "scores_taken": self.models.scores.taken,
            "history": self.records.history.state(),
            "models": msgspec.to_builtins(models_state(self.engine, self.engine.money.began_ns)),
        }
        return more

    def _restore_more(self, more: dict[str, Any]) -> None:
        assert self.checkpoint is not None
        self.engine.records.recorder.resume(self.checkpoint["engine"]["seq"], ())
        if "history" in more:
            self.records.history.load_state(more["history"])

    def _asked(self) -> list[OperatorRequestReceived]:
        return [
            OperatorRequestReceived(
                ts_ns=self.driver.clock.now_ns(), action=request.action.value, reason=request.reason,
                actor=request.actor, symbol=request.symbol, until_ns=request.until_ns,
            )
            for request in self.operator.poll()
        ]

    def _received_intents(self) -> list[IntentReceived]:
        """Outside intents since the last tick, from the bus and from the state folder."""
        self.outside.poll()
        return self.outside.queue.take(self.driver.clock.now_ns())

    def _received_scores(self) -> list[ScoreReceived]:
        """Outside scores since the last tick; one that waited for a process is as old as that."""
        now_ns = self.driver.clock.now_ns()
        found = self.models.scores.poll(lambda request: min(request.ts_ns, now_ns))
        return [ScoreReceived(ts_ns=now_ns, score=score) for score in found]

    def _queue(self) -> tuple[float, bool]:
        told = self.records.queue()
        stuck = self.records.waiting > 0 and not self.records.catch_up()
        return (1.0 if stuck else told.fill), stuck or told.governor_level == GOV_EMERGENCY

    def _report(self, health: HealthReport) -> None:
        """Write the status file every few seconds; a failed write is counted and raises nothing."""
        self._watchdog.beat()
        if self.words is not None:
            self.words.look(health)
        now = time.monotonic()
        if now - self._reported < self.live.status_s:
            return
        self._reported = now
        self.traces.flush()
        try:
            write_status(self.state_dir.path, self.status(health))
        except StateError:
            self.driver.counts["status not written"] += 1

    def status(self, health: HealthReport) -> LiveStatus:
        """The status of this process, as the status file shows it."""
        engine = self.engine
        marks = engine.market.kernel.out[:, col.CLOSE]
        now_ns = self._now_ns()
        return LiveStatus(
            written_ns=now_ns, pid=os.getpid(), started_ns=self.started_ns, mode=self.live.mode.value,
            endpoint=self.venue.name, stage="trading" if health.ready else "starting", market_up=health.market_up,
            user_up=health.user_up, last_bar_ns=health.last_bars_ns, lag_s=health.lag_s,
            last_event_age_s=max(0.0, (health.ts_ns - health.last_event_ns) / NS_PER_SECOND)
            if health.last_event_ns else None,
            queue_fill=health.queue_fill, unreconciled_s=health.unreconciled_s,
            differences=tuple(
                f"{one.kind.value} {one.symbol} venue {one.venue:g}, books {one.books:g}"
                for one in engine.reconciler.open
            ),
            clock_offset_ms=health.clock_offset_ms,
            waits_for=health.waits_for, notes=self._notes(),
            dropped_events=self.records.lost + engine.records.refused.failures + self.session.unwritten_inputs
            + health.counts.get("Unreadable", 0),
            in_doubt=sum(not ticket.resting and not ticket.over for ticket in engine.gateway.tickets()),
            equity=engine.account.equity, wallet=engine.account.books.cash, every_s=self.live.status_s,
            equity_ns=max(engine.now_ns, engine.money.began_ns) if engine.halts.started else 0,
            governor=GOVERNOR_CODES[int(engine.account.governor[0])].value,
            result=self.records.history.result(engine.account.equity, engine.account.moved),
            positions=untraded_lines(engine.adopting.untraded_positions()) + tuple(
                position_line(
                    held, stop=engine.gateway.resting_stop(held), protected=engine.gateway.is_protected(held),
                    mark_price=max(0.0, float(marks[held.index])),  # 0.0 before the first bar
                )
                for held in engine.account.books.positions.values()
            ),
            orders=tuple(
                OrderLine(
                    client_order_id=ticket.client_order_id, symbol=ticket.symbol, purpose=ticket.purpose.value,
                    qty=ticket.qty, price=ticket.price, resting=ticket.resting,
                )
                for ticket in engine.gateway.tickets() if not ticket.over
            ),
            halts=tuple(
                HaltLine(
                    kind=halt.kind, exit_path=halt.exit_path, since_ns=halt.ts_ns, owner="risk",
                    reason=f"{halt.reason}: {engine.halts.governor_cause}" if halt.kind == "governor" else halt.reason,
                )
                for halt in engine.records.tally.halts if halt.cleared_ns == 0
            ),
            operator_taken=self.session.request_count, bus=self.bus.notice,
            entries_halted=engine.halts.in_force.get(OPERATOR) or engine.halts.closed(),
            by_others=tuple(OthersLine(ts_ns=at_ns, text=text) for at_ns, text in engine.records.tally.others),
            models=models_state(engine, engine.money.began_ns), pilot=pilot_line(engine.piloting),
        )

    def _notes(self) -> tuple[str, ...]:
        """What keeps this process from opening though no halt stands, and what else needs a person."""
        mode = self.driver.reconciling.account_mode
        unwritten, failed = self.unwritten(), self.engine.piloting.failed
        found = [mode] if mode and mode not in self.engine.halts.held else []
        if unwritten:
            found.append(unwritten)
        if failed:
            found.append(f"the pilot has failed and is not asked any more: {failed}; mend it and start again")
        return (*found, *self.models.notes(self.engine))

    def unwritten(self) -> str:
        """Why inputs or records cannot be written; empty when they can."""
        failed = not self.engine.halts.inputs_written or self.session.checkpoint_error or self.driver.records_lost
        if not failed and not self.records.trouble:
            return ""
        told = (self.session.checkpoint_error, self.records.trouble, self.engine.records.refused.last)
        why = next((one for one in told if one), "a write failed")
        return f"nothing opens until inputs and records can be written again: {why}"


class _Checkpoints:
    """The state folder as the session's checkpoint store."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run

    def save(self, state: dict[str, Any]) -> None:
        """Publish *state*."""
        self._run.state_dir.save_checkpoint({**state, "operator_taken": state["asked"]})

    def load(self) -> dict[str, Any] | None:
        """The last one, read when the folder was opened."""
        return self._run.checkpoint


def timing_of(live: LiveSettings, pilot: PilotSource | None = None) -> LiveTiming:
    """How long the driver waits, from the settings; more bars to warm up with where *pilot* needs them."""
    needed = WARM_BARS * pilot.length_ns // live.interval_ns if pilot is not None else 0
    return LiveTiming(
        reconcile_s=live.reconcile_s, request_timeout_s=live.order_timeout_s, stop_s=live.stop_grace_s,
        warm_bars=max(live.warmup_bars, needed), lost_s=live.stream_lost_s, leverage_pace_s=_LEVERAGE_PACE_S,
    )


def run_live(
    loaded: LoadedLive, keys: ApiKeys | None, state: Path, redactor: Redactor, *, quiet: bool = False,
    bus: InMemoryBus | None = None,
) -> int:
    """Trade until Ctrl-C, SIGTERM or SIGHUP, telling what happens unless *quiet*; returns the exit code.

    *bus* publishes each record whose topic has a subscriber, and takes intents; None: a bus of the process's own.
    Raises ConfigError or StateError with what to do.
    """
    check_before_live(models_to_begin(loaded.run.settings.models, state), say)
    folder = StateDir(state)
    try:
        check_folder(state, loaded.live)
        with sole_trader(keys):
            exposed = run_async(_trade(loaded, keys, folder, redactor, quiet=quiet, bus=bus))
        close_books(state, loaded.live)
    finally:
        folder.close()
    if exposed:
        say(
            f"stopped with no stop at the venue for {', '.join(exposed)}: start again at once, or close with "
            f"quantum-trader flatten --now --state {state} --reason ..."
        )
    return 1 if exposed else 0


def close_books(state: Path, live: LiveSettings) -> None:
    """Seal the days that are over and carry the trades into the trade journal; what fails is done at the next stop."""
    from quantum_trader.app.runs.journal_commands import feed_book, seal

    try:
        seal(state)
        feed_book(state, mode=live.mode.value)
    except (StateError, OSError) as error:
        say(f"the journal's books could not be closed ({error}); the next stop does it")


def settle_memory() -> None:
    """Take what the start has left out of the collector's sight: a full collection over it takes tens of ms."""
    gc.collect()
    gc.freeze()


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _trade(
    loaded: LoadedLive, keys: ApiKeys | None, folder: StateDir, redactor: Redactor, *, quiet: bool,
    bus: InMemoryBus | None = None,
) -> tuple[str, ...]:
    """Trade until told to stop; returns the symbols whose position has no stop at the venue then."""
    venue = venue_for(
        loaded.live, keys, loaded.run.settings.paper_settings(), account=PaperAccountFile(folder.path)
    )
    try:
        await connect(venue)
        bind_folder(folder.path, loaded.live)  # not before: a start that the venue refuses binds nothing
        live = LiveRun(loaded, venue, folder, redactor, bus=bus)
        compile_kernels(live.engine, live.pilot.artefact)
        try:
            taken = live.recover()
            settle_memory()
            words = LiveWords(live.driver, _unsaid if quiet else say, live.unwritten)
            words.connected(taken)
            live.words = words
            stop_on_signals(live.driver.stop, words.stopping)
            await live.run()
            words.stopped()
        finally:
            gc.unfreeze()  # what was frozen is taken apart in order when the process ends
            live.close()
    finally:
        await venue.close()
    return live.driver.left_exposed


async def connect(venue: ExecutionVenue, tries: int = 0) -> None:
    """Connect, again and again while the venue cannot be reached (*tries* 0: without end); ConfigError ends it."""
    wait = 0.5
    while True:
        try:
            await venue.connect()
            return
        except VenueError as error:
            tries -= 1
            if tries == 0:
                raise
            say(f"{venue.name}: not reached ({error}); trying again in {wait:g} s")
            await asyncio.sleep(wait)
            wait = min(2.0 * wait, 30.0)


def stop_on_signals(stop: Callable[[], None], told: Callable[[], None] = lambda: None) -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP end the loop's work in order; *told* is called before *stop*, the first time.

    A terminal that closes sends SIGHUP: killed at once, a position just opened would stay without its stop. Under
    ``nohup``, which ignores it, it goes on being ignored.
    """
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def end(number: int) -> None:
        if not asked:
            told()
        asked.append(number)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, end, number)


def _unsaid(text: str) -> None:
    """Say nothing."""
