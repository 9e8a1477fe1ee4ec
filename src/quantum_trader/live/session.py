"""The deterministic core of live trading: an input is written down, the engine takes it, then commands go out.

A restart loads the last checkpoint and replays the inputs written since. The commands of that replay are not sent:
their orders may be at the venue already, and the driver queries them by their ids. So the line in the input log *is*
the claim of an intent: it is written before the order goes out, and no order exists without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import InputFailure, OperatorRequested
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.supervision import Shield
from quantum_trader.live.inputs import (
    AccountRead,
    BarsReceived,
    CheckpointStore,
    FiltersChanged,
    FundingHistoryReceived,
    FundingRateReceived,
    GatesChanged,
    HealthChanged,
    Input,
    InputLog,
    IntentReceived,
    ModelBarsReceived,
    ModelReceived,
    ModelWasRefused,
    MoneyTransferred,
    OperatorRequestReceived,
    PilotSettingsReceived,
    PilotWasLate,
    ProcessStarted,
    ProcessStopping,
    RolloutChanged,
    ScoreReceived,
    SessionStarted,
    TimerFired,
    VenueEventReceived,
    decode_input,
    encode_input,
)
from quantum_trader.live.model_shelf import EmptyShelf, ModelShelf
from quantum_trader.live.moments import MomentBars
from quantum_trader.live.pilot_limit import TimeLimitedPilot
from quantum_trader.models.gates import GateSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig

_LATE: Final = b"late"
_MODEL: Final = b"model"
FORMAT: Final = 3  # of a checkpoint; raised with every change that makes older states unreadable


class Session:
    """One live engine, its input log and its checkpoints."""

    def __init__(
        self, engine: Engine, log: InputLog, store: CheckpointStore, interval_ns: int,
        more_state: Callable[[], dict[str, Any]] = dict, pilot: TimeLimitedPilot | None = None,
        shelf: ModelShelf | None = None,
    ) -> None:
        """*more_state* is saved beside the engine's with every checkpoint (a sink's position, a venue's account).

        *pilot*: the engine's. When it is late depends on the machine, so that is an input too. *shelf*: has the models
        that take over while the session runs.
        """
        self.engine, self.log, self.store = engine, log, store
        self.interval_ns = interval_ns
        self.more_state = more_state
        self.moments = MomentBars(len(engine.symbols))  # bars of moments that are not decided on yet
        self.shield = Shield()
        self.input_count = 0
        self.request_count = 0  # operator requests taken so far, in all processes
        self.recent_intents: list[str] = []  # ids of the outside intents taken since the last checkpoint
        self.recent_scores: list[str] = []  # and of the outside scores
        self.checkpoint_error = ""  # why the last checkpoint could not be written
        self.unwritten_inputs = 0  # inputs that could not be written and were taken all the same
        self._now_ns = 0
        self._unsent: list[Command] = []
        self._shelf: ModelShelf = shelf or EmptyShelf()
        self._late: Mapping[int, bool] | None = None  # when the pilot was late, while inputs are taken again
        self._pilot: TimeLimitedPilot | None = None
        if pilot is not None:
            self._follow(pilot)

    def apply(self, event: Input) -> list[Command]:
        """Write *event* to the input log, then let the engine take it; returns the commands to send.

        When it cannot be written the engine still takes it, because reducing risk must go on, but nothing opens until
        a checkpoint has brought state and log together again.
        """
        self.finish_bars()  # first: if this input cannot be written, that changes nothing of the earlier decisions
        self._write(event)
        return self.replay(event)

    def write_bars(self, ts_ns: int) -> None:
        """Write the bars of a moment that arrived so far, while others are awaited.

        Nothing is decided; the decision on the moment then has fewer bars to write before its orders go out.
        """
        event = self.moments.entry(ts_ns, 0)
        if self.engine.decides:
            self.finish_bars()
        self._write(event)
        self.input_count += 1
        self.moments.put(event)

    def decide(self, ts_ns: int, received_ns: int) -> list[Command]:
        """Write the remaining bars of a moment and decide on it.

        Returns the commands to send first; :meth:`next_commands` returns the others.
        """
        event = self.moments.entry(ts_ns, received_ns)
        self.finish_bars()
        self._write(event)
        return self._with_unsent(self._guarded(event))

    def next_commands(self) -> list[Command]:
        """The next commands of the moment decided on; with the last of them the moment is recorded."""
        commands = self._with_unsent(self._next_signal())
        if not commands:
            self._record_bars()
        return commands

    def finish_bars(self) -> None:
        """Take the remaining signals of the moment decided on and write the records that were deferred.

        The next input does it first in any case. Commands that are not sent yet are returned by the next call.
        """
        unsent: list[Command] = []
        while commands := self.next_commands():
            unsent += commands
        self._unsent = unsent

    def replay(self, event: Input) -> list[Command]:
        """Let the engine take an input that is written already, and everything that follows from it."""
        self.finish_bars()
        commands = self._with_unsent(self._guarded(event))
        if isinstance(event, BarsReceived):
            while more := self._next_signal():
                commands += more
        return commands

    def _next_signal(self) -> list[Command]:
        """The commands of the next signals, up to the first order; one signal that fails does not stop the others."""
        while True:
            failures = self.shield.failures
            commands = self.shield.run(self.engine.more) or []
            if self.shield.failures != failures:
                self._failed("a signal")
            if commands or not self.engine.decides:
                return commands

    def _write(self, event: Input) -> None:
        try:
            self.log.append(encode_input(event))
        except StateError:
            self.engine.halts.inputs_written = False
            self.unwritten_inputs += 1

    def _note_late(self, bars_ns: int, seen: bool) -> None:
        """Write that the pilot was late, while the engine takes the bars of *bars_ns* or what was put off of them."""
        self._write(PilotWasLate(ts_ns=self._now_ns, bars_ns=bars_ns, seen=seen))
        self.input_count += 1

    def _follow(self, pilot: TimeLimitedPilot) -> None:
        """Note when *pilot* is late from now on, in the place of the one until now."""
        if self._pilot is not None:
            self._pilot.close()
        self._pilot, pilot.told = pilot, self._note_late
        pilot.repeat(self._late)

    @property
    def pilot_is_busy(self) -> bool:
        """Whether the pilot still makes a late answer: no other one can go on from it before that is done."""
        return self._pilot is not None and self._pilot.is_busy

    def _take_model(self, event: ModelReceived) -> None:
        """Hand a model that is to take over to the engine."""
        change, forecasts = event.change, self.engine.market.forecasts
        if change.role == "signals" and forecasts is not None:
            made = self._shelf.signals_of(change, forecasts)
            self.engine.models.take_signals(made, change.place, change, event.ts_ns)
            return
        source = self._shelf.pilot_of(change.ids[0])
        why_not = self.engine.models.take_pilot(source, event.change, event.ts_ns)
        if not why_not and isinstance(source, TimeLimitedPilot):
            self._follow(source)

    def _with_unsent(self, commands: list[Command]) -> list[Command]:
        """*commands* behind those that were not returned to anyone yet."""
        if self._unsent:
            commands, self._unsent = self._unsent + commands, []
        return commands

    def _guarded(self, event: Input) -> list[Command]:
        """Let the engine take *event*; an exception halts openings, in the first process as in a replay."""
        self.input_count += 1
        failures = self.shield.failures
        commands = self.shield.run(self._take, event)
        if self.shield.failures != failures:
            self._failed(type(event).__name__)
            return []
        return commands or []

    def _record_bars(self) -> None:
        """Write the records that were deferred until the orders had gone out."""
        failures = self.shield.failures
        self.shield.run(self.engine.record_bars)
        if self.shield.failures != failures:
            self._failed("what was put off")

    def _failed(self, what: str) -> None:
        """Record that the engine failed on *what*, and halt openings until a person resumes."""
        engine, reason = self.engine, self.shield.last
        now_ns = max(self._now_ns, engine.now_ns)
        self.shield.run(engine.note, "input.failed", now_ns, InputFailure(input=what, error=reason))
        self.shield.run(engine.halt, f"the engine failed on {what}: {reason}", now_ns)

    def _take(self, event: Input) -> list[Command] | None:
        """Hand *event* to the engine; returns the commands to send."""
        engine = self.engine
        if isinstance(event, BarsReceived):
            self.moments.put(event)
            if not event.received_ns:
                return None
            self._now_ns = max(self._now_ns, event.received_ns)
            ohlcv, present = self.moments.take(event.ts_ns)
            return engine.on_bars(MarketBatch(event.ts_ns, self.interval_ns, ohlcv, present), event.received_ns)
        if isinstance(event, VenueEventReceived):
            self._now_ns = max(self._now_ns, event.event.ts_ns)
            return engine.on_event(event.event)
        if isinstance(event, AccountRead):
            self._now_ns = max(self._now_ns, event.snapshot.ts_ns)
            return engine.on_snapshot(event.snapshot)
        if isinstance(event, PilotWasLate):
            return None  # the pilot has been told already
        self._now_ns = max(self._now_ns, event.ts_ns)
        if isinstance(event, TimerFired):
            return engine.on_timer(event.ts_ns, event.busy)
        if isinstance(event, ProcessStopping):
            return engine.stopping(event.ts_ns, event.busy)
        if isinstance(event, IntentReceived):
            self.recent_intents.append(event.intent.intent_id)
            return engine.on_intent(event.intent, event.ts_ns)
        if isinstance(event, OperatorRequestReceived):
            return self._take_request(event)
        self._take_news(event)
        return None

    def _take_news(
        self,
        event: SessionStarted | ProcessStarted | HealthChanged | RolloutChanged | GatesChanged | PilotSettingsReceived
        | ModelReceived | ModelWasRefused | ScoreReceived | MoneyTransferred | FundingRateReceived
        | FundingHistoryReceived | FiltersChanged | ModelBarsReceived,
    ) -> None:
        """Hand an input that leads to no command to the engine."""
        engine = self.engine
        if isinstance(event, HealthChanged):
            engine.on_health(event.level, event.connected, event.reason, event.ts_ns)
        elif isinstance(event, FundingRateReceived):
            engine.market.announce_rate(event.symbol, event.rate_8h, event.ts_ns)
        elif isinstance(event, FundingHistoryReceived):
            times = np.frombuffer(event.times_ns, dtype=np.int64)
            rates = np.frombuffer(event.rates_8h, dtype=np.float64)
            engine.market.note_past_rates(event.symbol, times, rates, event.until_ns)
        elif isinstance(event, ModelBarsReceived):
            ohlcv = np.frombuffer(event.ohlcv, dtype=np.float64).reshape(-1, 5)
            engine.market.warm_models(event.ts_ns, ohlcv, np.frombuffer(event.present, dtype=np.bool_))
        elif isinstance(event, FiltersChanged):
            engine.note_filters(event.instrument, event.ts_ns)
        elif isinstance(event, MoneyTransferred):
            engine.on_transfer(event.amount, event.ts_ns, event.move_id)
        elif isinstance(event, ProcessStarted):
            engine.continue_as(event.life, event.ts_ns)
        elif isinstance(event, PilotSettingsReceived):
            engine.piloting.set_settings(event.change, event.ts_ns)
        elif isinstance(event, GatesChanged):
            settings = msgspec.convert(event.in_force, GateSettings)
            engine.opening.gates.set_settings(settings, event.change, event.ts_ns)
        elif isinstance(event, ModelReceived):
            self._take_model(event)
        elif isinstance(event, ScoreReceived):
            self.recent_scores.append(event.score.score_id)
            engine.models.take_score(event.score, event.ts_ns)
        elif isinstance(event, ModelWasRefused):
            engine.models.refuse(event.refusal, event.ts_ns)
        elif isinstance(event, RolloutChanged):
            config = msgspec.convert(event.in_force, OrchestratorIntegrationConfig)
            engine.set_integration(config, {**event.change, "in_force": event.in_force}, event.ts_ns)
        else:
            engine.started(event.statement, event.ts_ns)
            engine.begin(event.wallet, event.namespace, event.ts_ns)

    def _take_request(self, event: OperatorRequestReceived) -> list[Command]:
        """Carry out an operator's request; it is recorded before its effects."""
        engine = self.engine
        self.request_count += 1
        engine.note("operator.requested", event.ts_ns, OperatorRequested(
            action=event.action, reason=event.reason, actor=event.actor, ts_ns=event.ts_ns,
            symbol=event.symbol or msgspec.UNSET, until_ns=event.until_ns or msgspec.UNSET,
        ))
        reason = f"{event.reason} ({event.actor})"
        if event.action == "lock":
            engine.halts.lock(event.symbol, event.until_ns, reason, event.ts_ns)
            return []
        if event.action == "unlock":
            engine.halts.unlock(event.symbol, reason, event.ts_ns)
            return []
        if event.action == "resume":
            engine.resume(reason, event.ts_ns)
            return []
        engine.halt(reason, event.ts_ns)
        return engine.flatten(event.ts_ns) if event.action == "flatten" else []

    # ------------------------------------------------------------------ checkpoints

    def checkpoint(self) -> bool:
        """Save the whole state and its position in the input log; False when it could not be written."""
        self.finish_bars()
        try:
            self.store.save(self._state())
        except (StateError, OSError) as error:
            self.checkpoint_error = str(error)
            self.engine.halts.inputs_written = False
            return False
        self.checkpoint_error, self.engine.halts.inputs_written = "", True
        self.recent_intents.clear()
        self.recent_scores.clear()
        return True

    def _state(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "engine": self.engine.state(), "mark": self.log.mark(), "inputs": self.input_count,
            "asked": self.request_count, "failures": self.shield.failures, "now_ns": self._now_ns,
            "more": self.more_state(), "heard": self.moments.state(),
        }

    def recover(self, restore_more: Callable[[dict[str, Any]], None] | None = None) -> int:
        """Continue from the last checkpoint and the inputs since; returns how many inputs were replayed.

        Nothing is sent. Raises StateError when the checkpoint cannot be read, or a model that took over is missing.
        """
        saved = self.store.load()
        if saved is not None and saved.get("format") != FORMAT:
            raise StateError(
                "checkpoint: written by another version of this program; let that version flatten and stop, then start "
                "in a new --state folder"
            )
        if saved is not None:
            self.engine.load_state(saved["engine"])
            self.input_count, self._now_ns = saved["inputs"], saved["now_ns"]
            self.shield.failures, self.request_count = saved["failures"], saved["asked"]
            self.moments.load_state(saved["heard"])
            if restore_more is not None:
                restore_more(saved["more"])
        entries = self.log.since(saved["mark"] if saved is not None else None)
        self._shelf.require(_models_in(entries))
        self._repeat_late(_late_in(entries))
        for entry in entries:
            self.replay(decode_input(entry))
        self.finish_bars()
        self._unsent = []
        self._repeat_late(None)
        return len(entries)

    def _repeat_late(self, late: Mapping[int, bool] | None) -> None:
        """Let the pilot be *late* as it was; None: as the machine lets it be."""
        self._late = late
        if self._pilot is not None:
            self._pilot.repeat(late)


def _late_in(entries: list[bytes]) -> dict[int, bool]:
    """The bars to which the pilot was late, by the time that they opened, and whether it was shown them."""
    events = (decode_input(entry) for entry in entries if _LATE in entry)
    return {one.bars_ns: one.seen for one in events if isinstance(one, PilotWasLate)}


def _models_in(entries: list[bytes]) -> list[str]:
    """The ids of the models that were to take over."""
    events = (decode_input(entry) for entry in entries if _MODEL in entry)
    return [one.change.ids[one.change.place] for one in events if isinstance(one, ModelReceived)]
