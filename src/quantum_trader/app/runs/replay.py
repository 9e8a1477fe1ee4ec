"""One run: a recording through the engine and the paper venue, with progress, checkpoints and the facts at the end."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader import __version__
from quantum_trader.app.runs.gates_file import GatesFollower
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.live_settings import FOLDER_FILE
from quantum_trader.app.runs.meta_labels import run_meta_label
from quantum_trader.app.runs.model_check import unchecked_notes
from quantum_trader.app.runs.model_facts import (
    model_facts,
    outside_score_notes,
    trained_on,
    unknown_symbols,
    unused_scores,
)
from quantum_trader.app.runs.model_state import models_state
from quantum_trader.app.runs.observation_files import ObservationFiles
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, OperatorRequests
from quantum_trader.app.runs.outside_intents import BUS_TOPICS, OutsideIntents
from quantum_trader.app.runs.pilot_run import RunPilot
from quantum_trader.app.runs.results import (
    CostFacts,
    DataStatement,
    EventLine,
    EvidenceRow,
    GateFacts,
    HaltRow,
    Pace,
    PilotFacts,
    PolicyFacts,
    PolicyView,
    PositionView,
    ProgressSink,
    ProgressView,
    RunFacts,
    RunOptions,
    RunResult,
    ShadowFacts,
    ShadowTotals,
    TimeShares,
)
from quantum_trader.app.runs.run_identity import Statement, saved_statement, why_another_run
from quantum_trader.app.runs.samples import Samples, hold_drawdown
from quantum_trader.app.runs.scheduled_models import ReplayModels
from quantum_trader.app.runs.score_requests import ScoreRequests
from quantum_trader.app.runs.state_dir import LOCAL_RUN, RecordFile, ScratchRecordFile, StateDir
from quantum_trader.app.runs.trace_file import TraceFile
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import ENTRY_CODES, EXIT_CODES, GOVERNOR_CODES, RISK_PROFILE_CODES
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import OperatorRequested
from quantum_trader.engine.recorded_intents import RecordedIntents
from quantum_trader.engine.recorder import RUN, MemorySink, Recorder
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.road import ROAD_REASONS, ROAD_SPREAD
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.journal.tracer import SpanTracer
from quantum_trader.live.bus import Bus, BusSink, InMemoryBus
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.intervals import check_run_interval
from quantum_trader.market.recording import Recording, open_recording
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.models.gates import GATES
from quantum_trader.policy import layout as pol
from quantum_trader.policy.enforcement import SWITCHES
from quantum_trader.policy.evidence import evidence, verdict_of
from quantum_trader.policy.observation import PolicyObserver
from quantum_trader.policy.rollout_file import RolloutFile
from quantum_trader.signals import columns as col
from quantum_trader.venues.paper.venue import PaperVenue

_CHECKPOINT_EVERY_S: Final = 2.0
_LOOK_EVERY: Final = 32  # moments between looks at the wall clock


class NullSink:
    """Counts nothing, keeps nothing: for a run that was asked for no records."""

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Drop one record (its hash is already taken)."""


class FundingRates:
    """Hands the engine the newest known funding rate of each symbol, per 8 hours, as the recording reaches it."""

    def __init__(self, recording: Recording, engine: Engine) -> None:
        events: list[tuple[int, str, float, float]] = []
        for symbol in recording.symbols:
            history = recording.funding.get(symbol)
            if history is not None:
                payments = zip(history[0], recording.funding_8h[symbol], history[1], strict=True)
                events += [(int(ts), symbol, float(rate_8h), float(rate)) for ts, rate_8h, rate in payments]
        self._events = sorted(events)
        self._engine = engine
        self._next = 0
        self.next_ns = self._events[0][0] if self._events else 1 << 62

    def advance(self, ts_ns: int) -> None:
        """Apply every rate known at *ts_ns*."""
        while self._next < len(self._events) and self._events[self._next][0] <= ts_ns:
            paid_ns, symbol, rate_8h, rate = self._events[self._next]
            self._engine.market.note_payment(symbol, paid_ns, rate_8h, rate)
            self._next += 1
        self.next_ns = self._events[self._next][0] if self._next < len(self._events) else 1 << 62


class _Followed(NamedTuple):
    """What a run reads and writes in its state folder beside its records; None without a folder."""

    rollout: RolloutFile | None = None
    operator: OperatorRequests | None = None
    watcher: ObservationFiles | None = None
    scores: ScoreRequests | None = None


class Run:
    """The parts of one run, wired."""

    def __init__(self, settings: RunSettings, options: RunOptions) -> None:
        self.settings, self._options = settings, options
        self.recording = open_recording(**settings.recording_arguments())
        check_run_interval(self.recording.interval)
        self.models = ReplayModels(
            settings, self.recording, options.state_dir, options.switches, options.kept_bars
        )
        intents = RecordedIntents(self._recorded_intents())
        if options.state_dir is not None:
            check_replay_folder(options.state_dir)
        self.state_dir = StateDir(options.state_dir) if options.state_dir is not None else None
        self.checkpoint = self.state_dir.load_checkpoint() if self.state_dir is not None else None
        if self.checkpoint is not None:
            self.models.go_on(self.checkpoint)
        self._meta_label = run_meta_label(
            settings.gates, self.state_dir.path if self.state_dir is not None else None,
            bound=self.checkpoint is not None,
        )
        self._check_identity()
        self.records = self._record_sink(options)
        engine_settings = settings.engine_settings()
        self._followed = self._follow(engine_settings)
        self.table = instruments_for(self.recording.symbols, self.recording.first_closes().tolist())
        instruments = self.table.instruments
        self.traces = TraceFile(self.state_dir.path) if self.state_dir is not None else None
        tracer = SpanTracer(
            clock=time.time_ns, finished=self.traces.add if self.traces is not None else None
        )
        bus: Bus = options.bus or InMemoryBus()
        self.engine = self.make_engine(
            instruments, self.recording.interval_ns, engine_settings, BusSink(self.records, bus, BUS_TOPICS),
            self.watcher, tracer, forecasts=self.forecasts, pilot=self.pilot.source,
            meta_label=self._meta_label,
        )
        venue = PaperVenue(
            instruments, settings.paper_settings(), funding=self.recording.funding,
            taker_cost_bps=self.engine.market.kernel.out[:, col.TAKER_COST_BPS],
        )
        self.driver = ReplayDriver(self.engine, venue, self.recording.interval_ns, intents)
        self.outside = OutsideIntents(bus, self.engine, intents.add, lambda: self.engine.now_ns, options.state_dir)
        self.funding = FundingRates(self.recording, self.engine)
        self.samples = Samples(len(self.recording.symbols), engine_settings.start_equity)
        self.row = 0
        self.bars = 0
        if self.checkpoint is not None:
            self._restore(self.checkpoint)
        self.gates: GatesFollower | None = None
        if self.state_dir is not None and not engine_settings.ungated:
            self.gates = GatesFollower(self.state_dir.path, self.engine.opening.gates, engine_settings.gates)

    def _follow(self, engine_settings: EngineSettings) -> _Followed:
        """What a run with a state folder follows there; nothing without one."""
        if self.state_dir is None:
            return _Followed()
        saved, folder = self.checkpoint, self.state_dir.path
        rollout = RolloutFile(
            folder, initial=engine_settings.integration, seen_revision=saved["rollout_revision"] if saved else 0
        )
        rollout.ensure()
        self.models.keep_in(folder, begun=saved is not None)
        observer = PolicyObserver(folder / "policy_observations", flush_bytes=1 << 16)
        return _Followed(
            rollout=rollout, operator=OperatorRequests(folder, saved["operator_taken"] if saved else 0),
            watcher=ObservationFiles(observer, rollout.config),
            scores=ScoreRequests(folder, saved.get("scores_taken", 0) if saved else 0),
        )

    @property
    def rollout(self) -> RolloutFile | None:
        """The rollout file of the state folder."""
        return self._followed.rollout

    @property
    def operator(self) -> OperatorRequests | None:
        """What people request through the state folder."""
        return self._followed.operator

    @property
    def watcher(self) -> ObservationFiles | None:
        """Where the policy's observations are written."""
        return self._followed.watcher

    @property
    def scores(self) -> ScoreRequests | None:
        """The scores that other programs hand in through the state folder."""
        return self._followed.scores

    @property
    def pilot(self) -> RunPilot:
        """The pilot of this run."""
        return self.models.pilot

    @property
    def forecasts(self) -> Forecasts | None:
        """The forecasts of the models that it began with; None where the intraday ensemble gives the signals."""
        return self.models.signals.forecasts

    def make_engine(self, *arguments: Any, **keywords: Any) -> Engine:
        """The engine of this run."""
        return Engine(*arguments, **keywords)

    def _recorded_intents(self) -> tuple[Intent, ...]:
        """The recorded intents of this run's symbols and time."""
        file = self._options.intents
        return file.of_run(self.recording.symbols, self.recording.start_ns) if file is not None else ()

    def intents_statement(self) -> str:
        """One sentence on the recorded intents; empty where there are none."""
        file = self._options.intents
        return file.statement(self.recording.start_ns, self.recording.end_ns) if file is not None else ""

    def warm_up(self) -> int:
        """Show the engine the bars of before the range; returns how many moments they were."""
        earlier = self.recording.earlier
        if earlier is None:
            return 0
        funding, engine, moments = FundingRates(earlier, self.engine), self.engine, 0
        for ts_ns, ohlcv, present, _ in self.recording.chunks_before():
            for row, moment in enumerate(ts_ns.tolist()):
                if moment >= funding.next_ns:
                    funding.advance(moment)
                batch = MarketBatch(moment, self.recording.interval_ns, ohlcv[row], present[row])
                engine.market.warm(batch)
                engine.piloting.warm(batch)
            moments += len(ts_ns)
        return moments

    def publish_records(self) -> None:
        """Give records without a state folder their name, now that they are whole."""
        if isinstance(self.records, ScratchRecordFile):
            self.records.publish()

    def identity(self) -> dict[str, str]:
        """What decides this run: its settings, its data and its recorded intents where there are any, by hash."""
        file, meta_label = self._options.intents, self._meta_label
        return {
            "settings": self.settings.settings_hash(), "data": self.recording.fingerprint,
            **({"intents": file.fingerprint} if file is not None else {}),
            **self.models.identity(),
            **({"meta_label": meta_label.model_id} if meta_label is not None else {}),
        }

    def statement(self) -> dict[str, Any]:
        """What a replay from the records alone needs: every setting, what is enforced, and which bars, by content."""
        return {
            **self.identity(), **self.models.statement(), "version": __version__,
            "effective": self.settings.effective(),
            "rollout": msgspec.to_builtins(self.engine.policy.integration), "recording": self._recording_statement(),
        }

    def _recording_statement(self) -> dict[str, Any]:
        """Which bars this run replays, by content."""
        recording = self.recording
        return {
            "source": recording.source, "interval": recording.interval, "symbols": list(recording.symbols),
            "start_ns": recording.start_ns, "end_ns": recording.end_ns, "bars": recording.report.bars,
            "fingerprint": recording.fingerprint,
        }

    def _check_identity(self) -> None:
        """Refuse to continue a state that belongs to other settings, other data or other recorded intents."""
        if self.checkpoint is None:
            return
        assert self.state_dir is not None
        now = self.identity()
        why = why_another_run(
            self.checkpoint["identity"], now,
            saved_statement(self.state_dir, self.checkpoint["record_bytes"]),
            Statement(self.settings.effective(), self._recording_statement(), now.get("models", "")),
            [loaded.name for loaded in self.forecasts.models] if self.forecasts is not None else (),
            RunSettings().effective(),
        )
        if why:
            self.state_dir.close()
            raise StateError(f"--state {self.state_dir.path}: {why}")

    def _record_sink(self, options: RunOptions) -> JournalSink | ScratchRecordFile | NullSink:
        if self.state_dir is not None:
            keep = self.checkpoint["record_bytes"] if self.checkpoint is not None else 0
            self.state_dir.check_records(keep)
            recorded = sum(self.checkpoint["engine"]["seq"].values()) if self.checkpoint is not None else 0
            return JournalSink(self.state_dir.path, RecordFile(self.state_dir.path / "records.jsonl", keep), recorded)
        if options.records is not None:
            return ScratchRecordFile(options.records)
        return NullSink()

    def _restore(self, saved: dict[str, Any]) -> None:
        assert self.state_dir is not None
        self.engine.load_state(saved["engine"])
        self.driver.venue.load_state(saved["venue"])
        self.samples.load_state(saved["samples"])
        self.row, self.bars = saved["row"], saved["bars"]
        self.engine.records.recorder.resume(saved["engine"]["seq"], self.state_dir.record_lines(saved["record_bytes"]))
        if self.engine.records.recorder.digest != saved["records_digest"]:
            raise StateError(
                f"{self.state_dir.path / 'records.jsonl'}: is not what its checkpoint was made with; the records were "
                "changed. Choose another --state folder"
            )
        self.funding.advance(saved["ts_ns"])
        if "intents" in saved:
            self.driver.intents.load_state(saved["intents"])
            self.outside.resume(saved["intents_taken"])
        if self.watcher is not None:
            self.watcher.observer.rewind(saved["observed"])

    def save(self, ts_ns: int, *, finished: bool = False) -> None:
        """Publish a checkpoint: the records first, then what refers to them. *finished*: no bar is left to replay."""
        if self.state_dir is None:
            return
        assert isinstance(self.records, JournalSink)
        self.records.sync()
        self.state_dir.save_checkpoint(
            {
                "identity": self.identity(), "record_bytes": self.records.size,
                "records_digest": self.engine.records.recorder.digest, "row": self.row, "bars": self.bars,
                "finished": finished, "ts_ns": ts_ns, "engine": self.engine.state(), "venue": self.driver.venue.state(),
                "samples": self.samples.state(),
                "models": msgspec.to_builtins(models_state(self.engine, self.recording.start_ns)),
                "observed": self.watcher.observer.mark() if self.watcher is not None else None,
                "operator_taken": self.operator.taken if self.operator is not None else 0,
                "rollout_revision": self.rollout.state.revision if self.rollout is not None else 0,
                "intents": self.driver.intents.state(), "intents_taken": self.outside.taken,
                "scores_taken": self.scores.taken if self.scores is not None else 0,
            }
        )
        self.engine.judging.ledger.save(self.state_dir.path)

    def close(self) -> None:
        """Release files."""
        with ExitStack() as stack:
            stack.callback(self.outside.bus.close)
            if self.state_dir is not None:
                stack.callback(self.state_dir.close)
            if self.traces is not None:
                stack.callback(self.traces.flush)
            if self.watcher is not None:
                stack.callback(self.watcher.observer.close)
            if not isinstance(self.records, NullSink):
                stack.callback(self.records.close)


def check_replay_folder(folder: Path) -> None:
    """Raise StateError when *folder* belongs to a live session or a local run; nothing is written."""
    if (folder / FOLDER_FILE).exists():
        raise StateError(
            f"--state {folder}: holds a live session; continue it with quantum-trader live --state {folder}, or choose "
            "another folder for the replay"
        )
    if (folder / LOCAL_RUN).exists():
        raise StateError(
            f"--state {folder}: holds a run over the local venue, which is not continued; choose another folder"
        )


def run(
    settings: RunSettings,
    options: RunOptions | None = None,
    *,
    progress: ProgressSink | None = None,
    pace: Pace | None = None,
) -> RunResult:
    """Replay the recording that *settings* name and return the facts of the run.

    Raises ConfigError, DataError or StateError with what to do; the state folder stays usable after any error.
    """
    session = Run(settings, options or RunOptions())
    try:
        started = time.perf_counter()
        _loop(session, progress, pace)
        wall = time.perf_counter() - started
        facts = facts_of(session)
        session.publish_records()
    finally:
        session.close()
    saved = session.checkpoint
    return RunResult(
        facts=facts, wall_s=wall, resumed=saved is not None, resumed_at_ns=saved["ts_ns"] if saved is not None else 0
    )


def _loop(session: Run, progress: ProgressSink | None, pace: Pace | None) -> None:
    """Feed every remaining moment; look at the clock, the checkpoint and the rollout file now and then."""
    engine, driver, funding, samples = session.engine, session.driver, session.funding, session.samples
    interval = session.recording.interval_ns
    if session.checkpoint is None:
        session.warm_up()
        engine.started(session.statement(), session.recording.start_ns)
        poll_pilot(session, session.recording.start_ns, begins=True)
        session.save(0)
    _poll_rollout(session, engine.now_ns)
    poll_gates(session, engine.now_ns)
    poll_pilot(session, engine.now_ns)
    _take_requests(session, engine.now_ns)
    last_saved = time.monotonic()
    close_ns = 0
    for ts_ns, ohlcv, present, holes in session.recording.chunks(start_row=session.row):
        times, hole_rows = ts_ns.tolist(), np.any(holes, axis=1).tolist()
        samples.begin(engine, times[0])
        counts = present.sum(axis=1).tolist()
        for i, moment in enumerate(times):
            if moment >= funding.next_ns:
                funding.advance(moment)
            driver.step(moment, ohlcv[i], present[i])
            close_ns = moment + interval
            samples.note(close_ns, engine.account.equity)
            if hole_rows[i]:
                driver.hole(close_ns, np.flatnonzero(holes[i]).tolist())
            session.row += 1
            session.bars += counts[i]
            if close_ns % NS_PER_HOUR == 0:
                samples.take(engine, close_ns)
            session.models.take_due(engine, close_ns)
            if session.row % _LOOK_EVERY == 0:
                if progress is not None and progress.due():
                    progress.show(view_of(session, close_ns))
                asked = _poll_rollout(session, close_ns) + _take_requests(session, close_ns)
                asked += poll_pilot(session, close_ns) + poll_gates(session, close_ns)
                due = time.monotonic() - last_saved > _CHECKPOINT_EVERY_S
                if session.state_dir is not None and (asked or due):
                    session.save(close_ns)
                    last_saved = time.monotonic()
            if pace is not None:
                pace(close_ns)
    if close_ns and (not samples.ts_ns or samples.ts_ns[-1] != close_ns):
        samples.take(engine, close_ns)
    if close_ns:
        engine.ended(close_ns)
    session.save(close_ns or engine.now_ns, finished=True)
    if progress is not None:
        progress.show(view_of(session, close_ns or engine.now_ns))


def _take_requests(session: Run, now_ns: int) -> int:
    """Do what was requested through the state folder, and return how much; an intent is due at the next close."""
    requests = session.operator.poll() if session.operator is not None else []
    for request in requests:
        take_request(session, request, now_ns)
    scores, now_ns = session.scores, max(now_ns, session.recording.start_ns)
    received = scores.poll(lambda _: now_ns) if scores is not None else []
    for score in received:  # from the next bar on: that of now has been decided on
        session.engine.models.take_score(score, now_ns)
    return len(requests) + session.outside.poll() + len(received)


def take_request(session: Run, request: OperatorRequest, now_ns: int) -> None:
    """Record *request*, then do it: a replay finds what came from outside before its effects."""
    engine = session.engine
    engine.records.tally.topics["operator.requested"] += 1
    engine.records.recorder.record("operator.requested", "", now_ns, OperatorRequested(
        action=request.action.value, reason=request.reason, actor=request.actor, ts_ns=request.ts_ns,
        symbol=request.symbol or msgspec.UNSET, until_ns=request.until_ns or msgspec.UNSET,
    ), RUN)
    reason = f"{request.reason} ({request.actor})"
    if request.action is Action.RESUME:
        engine.resume(reason, now_ns)
    elif request.action is Action.LOCK:
        engine.halts.lock(request.symbol, request.until_ns, reason, now_ns)
    elif request.action is Action.UNLOCK:
        engine.halts.unlock(request.symbol, reason, now_ns)
    else:
        engine.halt(reason, now_ns)
    if request.action is Action.FLATTEN:
        session.driver.send(engine.flatten(now_ns))


def poll_pilot(session: Run, now_ns: int, *, begins: bool = False) -> int:
    """Take the pilot's settings into force where they have changed, on record; returns how many times."""
    engine = session.engine
    return session.pilot.look(
        engine, lambda change: engine.piloting.set_settings(change, now_ns), begins=begins
    )


def poll_gates(session: Run, now_ns: int) -> int:
    """Take changed gates into force; every change is a record. Returns how many there were."""
    changes = session.gates.changes(now_ns) if session.gates is not None else []
    for settings, change in changes:
        session.engine.opening.gates.set_settings(settings, change, now_ns)
    return len(changes)


def _poll_rollout(session: Run, now_ns: int) -> int:
    """Take a changed rollout file into force; every change is a record. Returns how many there were."""
    if session.rollout is None:
        return 0
    changes = 0
    for change in session.rollout.poll(now_ns):
        changes += 1
        _set_rollout(session, msgspec.to_builtins(change), now_ns)
        if session.watcher is not None:
            session.watcher.integration = session.rollout.config
    engine_config = session.engine.policy.integration
    if session.rollout.config is not engine_config and session.rollout.config != engine_config:
        _set_rollout(session, {"notice": session.rollout.notice}, now_ns)
        changes += 1
    return changes


def _set_rollout(session: Run, change: dict[str, Any], now_ns: int) -> None:
    """Take the rollout file's switches into force; the record says who, why, and everything in force from now on."""
    assert session.rollout is not None
    config = session.rollout.config
    session.engine.set_integration(config, {**change, "in_force": msgspec.to_builtins(config)}, now_ns)


# ---------------------------------------------------------------------- what is shown and handed over


def view_of(session: Run, now_ns: int) -> ProgressView:
    """What is shown of a run that goes on."""
    engine, tally = session.engine, session.engine.records.tally
    shadows, start = tally.shadows, engine.settings.start_equity
    return ProgressView(
        ts_ns=now_ns, bars_done=session.bars, bars_total=session.recording.report.bars,
        equity=engine.account.equity, return_pct=(engine.account.equity / start - 1.0) * 100.0,
        drawdown_pct=session.samples.drawdown.now * 100.0, positions=_positions(engine),
        policy=_policy_view(engine), signals=tally.signals, trades=len(tally.trades),
        refusals=dict(tally.refusals),
        shadows=ShadowTotals(
            allowed=len(shadows.r) - shadows.blocked_count, allowed_r=shadows.allowed_sum,
            blocked=shadows.blocked_count, blocked_r=shadows.blocked_sum,
        ),
        halts=tuple(halt.reason for halt in tally.halts if halt.cleared_ns == 0),
        events=tuple(EventLine(ts_ns=ts, kind=kind, text=text) for ts, kind, text in tally.feed),
    )


def _positions(engine: Engine) -> tuple[PositionView, ...]:
    views = []
    for position in engine.account.books.positions.values():
        mark = float(engine.market.kernel.out[position.index, col.CLOSE])
        gain = position.sign * position.qty * (mark - position.entry_price)
        risk = abs(position.entry_price - position.first_stop) * position.qty
        views.append(
            PositionView(
                symbol=position.symbol, side=position.side.value, qty=position.qty,
                entry_price=position.entry_price, mark_price=mark, stop_price=position.stop,
                target_price=position.target, unrealised=gain, unrealised_r=gain / risk if risk > 0.0 else 0.0,
                bars_held=position.bars_held,
            )
        )
    return tuple(views)


def _policy_view(engine: Engine) -> PolicyView | None:
    if not engine.settings.policy_enabled:
        return None
    out = engine.policy.slots.out
    row = out[0].tolist()
    banned = [s for i, s in enumerate(engine.symbols) if not out[i + 1, pol.OUT_SYMBOL_OK]]
    return PolicyView(
        profile=engine.settings.profile.name, mode=engine.policy.integration.mode.value,
        allow_new_trades=bool(row[pol.OUT_ALLOW]),
        risk_profile=RISK_PROFILE_CODES[int(row[pol.OUT_RISK_PROFILE])].value,
        min_confidence=row[pol.OUT_MIN_CONF], max_risk_pct=row[pol.OUT_RISK_PCT],
        entry_mode=ENTRY_CODES[int(row[pol.OUT_ENTRY])].value, exit_mode=EXIT_CODES[int(row[pol.OUT_EXIT])].value,
        note=engine.policy.note, bans=tuple(banned), governor=GOVERNOR_CODES[int(engine.account.governor[0])].value,
    )


def _shares(counts: dict[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {key: count / total for key, count in sorted(counts.items(), key=lambda item: -item[1])} if total else {}


def facts_of(session: Run) -> RunFacts:
    """The facts of a finished run."""
    engine, tally, recording = session.engine, session.engine.records.tally, session.recording
    samples = session.samples.arrays()
    return RunFacts(
        settings=session.settings.effective(), data=_data_statement(session), start_equity=engine.settings.start_equity,
        **samples, drawdown=session.samples.drawdown.facts(),
        hold_drawdown=hold_drawdown(recording, samples["ts_ns"], samples["closes"]), trades=tally.trades,
        costs=CostFacts(
            fees=engine.account.books.fees_paid, funding=engine.account.books.funding_received,
            slippage=tally.fills.slippage_paid, turnover=tally.fills.turnover,
            maker_turnover=tally.fills.maker_turnover,
        ),
        signals=tally.signals, intents=tally.intents, refusals=dict(tally.refusals),
        shadows=_shadow_facts(engine),
        policy=_policy_facts(engine), evidence=_evidence_rows(engine),
        halts=tuple(HaltRow(**msgspec.structs.asdict(halt)) for halt in tally.halts), positions=_positions(engine),
        shares=TimeShares(regime=_shares(tally.regimes), governor=_shares(tally.governor)), records=dict(tally.topics),
        notes=(*_notes(session), f"records hash {engine.records.recorder.digest}", *recording.notes),
        models=model_facts(engine), models_at_end=models_state(engine, recording.start_ns),
        pilot=_pilot_facts(session), gates=_gate_facts(engine),
    )


def _gate_facts(engine: Engine) -> GateFacts:
    gates, refusals = engine.opening.gates, engine.records.tally.refusals
    return GateFacts(
        settings=gates.settings, mode=gates.mode, judged=gates.counts.judged, passed=tuple(gates.counts.passed),
        unmeasured=tuple(gates.counts.unmeasured), changes=engine.records.tally.topics["gates.changed"],
        refused={gate: refusals[ROAD_REASONS[ROAD_SPREAD + place]] for place, gate in enumerate(GATES)},
    )


def _pilot_facts(session: Run) -> PilotFacts | None:
    piloting, totals = session.engine.piloting, session.engine.piloting.totals
    if totals is None or session.pilot.artefact is None:
        return None
    return PilotFacts(
        name=session.pilot.artefact.card.name, model=piloting.identity, mode=piloting.stance.mode.value,
        decisions=totals.decisions, intents=piloting.intents, results=totals.results, days=totals.days,
        trades=totals.trades, failed=piloting.failed,
        outcomes=dict(piloting.counts.outcomes), sure=piloting.counts.sure,
        least=piloting.stance.settings.min_confidence, modes=tuple(piloting.counts.modes),
        trained_until_ns=session.pilot.artefact.card.data.last_ns,
        known_until_end=piloting.stance.is_trained_on,
    )


def _notes(session: Run) -> list[str]:
    """What else a reader must know of the run."""
    engine, notes = session.engine, []
    if session.forecasts is not None:
        notes += unchecked_notes(session.forecasts.models)
        notes += unknown_symbols(session.forecasts.models, session.recording.symbols)
        notes += outside_score_notes(session.engine)
        notes += unused_scores(session.forecasts.models, session.recording)
        notes += trained_on(session.forecasts.models, session.recording.start_ns, session.recording.end_ns)
    if session.intents_statement():
        notes.append(session.intents_statement())
    if session.rollout is not None and session.rollout.notice:
        notes.append(session.rollout.notice)
    if session.gates is not None and session.gates.file.notice:
        notes.append(session.gates.file.notice)
    if engine.shield.failures:
        notes.append(f"{engine.shield.failures} observation failures were kept from trading: {engine.shield.last}")
    if session.outside.bus.notice:
        notes.append(session.outside.bus.notice)
    if engine.settings.operator_resume_hours > 0.0:
        notes.append(
            "An EMERGENCY halt is resumed by a simulated operator after "
            f"{engine.settings.operator_resume_hours:g} h of market time; a live system waits for a person."
        )
    return notes


def _shadow_facts(engine: Engine) -> ShadowFacts:
    """The shadow trades with a result, in the order of their signals."""
    shadows = engine.records.tally.shadows
    order = np.argsort(np.array(shadows.seq, dtype=np.int64), kind="stable")
    seq, blocked = np.array(shadows.seq, dtype=np.int64)[order], np.array(shadows.blocked, dtype=np.bool_)[order]
    ts_ns, end_ns = np.array(shadows.ts_ns, dtype=np.int64)[order], np.array(shadows.end_ns, dtype=np.int64)[order]
    first = [engine.judging.first_open(blocked=kind) for kind in (False, True)]
    allowed_until, blocked_until = (np.iinfo(np.int64).max if one is None else one for one in first)
    return ShadowFacts(
        r=np.array(shadows.r)[order], blocked=blocked, ts_ns=ts_ns, life_ns=end_ns - ts_ns,
        complete=seq < np.where(blocked, blocked_until, allowed_until),
        settled=seq < min(allowed_until, blocked_until), net_bps=np.array(shadows.net_bps)[order],
        traded=np.array(shadows.traded, dtype=np.bool_)[order], gates=np.array(shadows.gates, dtype=np.int64)[order],
    )


def _policy_facts(engine: Engine) -> PolicyFacts | None:
    tally = engine.records.tally
    if not engine.settings.policy_enabled:
        return None
    return PolicyFacts(
        updates=tally.policy_steps, changes=tally.policy_changes, moments=tally.policy_steps,
        moments_blocked=tally.policy_moments_blocked, moments_reduced=tally.policy_moments_reduced,
        rules=dict(tally.rules),
    )


def _evidence_rows(engine: Engine) -> tuple[EvidenceRow, ...]:
    rows = []
    if not engine.settings.policy_enabled:
        return ()
    for switch in SWITCHES:
        found = evidence(engine.judging.ledger, switch)
        low, high = found.interval if found.interval is not None else (float("nan"), float("nan"))
        rows.append(
            EvidenceRow(
                switch=switch, enforced=engine.policy.integration.is_enforced(switch), decisions=found.signals,
                changed=found.changed, shadows=found.resolved, mean_r=found.mean_r, low_r=low, high_r=high,
                verdict=verdict_of(found.interval),
            )
        )
    return tuple(rows)


def _data_statement(session: Run) -> DataStatement:
    recording = session.recording
    return DataStatement(
        source=recording.source, symbols=tuple(recording.symbols), interval=recording.interval,
        first_ns=recording.start_ns, last_ns=recording.end_ns, moments=session.row, bars=session.bars,
        outages=recording.report.outages, holes=recording.report.holes, fingerprint=recording.fingerprint,
        funding_source=recording.funding_source, funding_statement=recording.funding_statement,
        instruments_assumed=session.table.assumed,
    )


def memory_run(settings: RunSettings) -> tuple[RunResult, MemorySink]:
    """Run with the records kept in memory; for tests and benchmarks."""
    session = Run(settings, RunOptions())
    sink = MemorySink()
    session.engine.records.recorder = Recorder(sink)
    try:
        started = time.perf_counter()
        _loop(session, None, None)
        wall = time.perf_counter() - started
        return RunResult(facts=facts_of(session), wall_s=wall), sink
    finally:
        session.close()
