"""The deterministic core of live trading: an input is written down, then the engine takes it, then commands go out.

A restart loads the last checkpoint and takes the inputs written since again. Commands that come out of that are not
sent: their orders may be at the venue already, and a driver asks for them by their ids. So the line in the input log
*is* the claim of an intent: it is there before its order is, and no order exists without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.core import Engine
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.supervision import Shield
from quantum_trader.live.inputs import (
    Asked,
    BarsCame,
    Began,
    CheckpointStore,
    FiltersKnown,
    HealthTold,
    Input,
    InputLog,
    Lived,
    Looked,
    MoneyMoved,
    RateKnown,
    RolloutSet,
    Ticked,
    VenueSaid,
    Wished,
    decode_input,
    encode_input,
)
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig

FORMAT: Final = 2  # of a checkpoint; another one for every change that an older state cannot be read with


class Session:
    """One live engine, its input log and its checkpoints."""

    def __init__(
        self, engine: Engine, log: InputLog, store: CheckpointStore, interval_ns: int,
        more_state: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """*more_state* is saved beside the engine's with every checkpoint (a sink's place, a venue's account)."""
        self.engine, self.log, self.store = engine, log, store
        self.interval_ns = interval_ns
        self.more_state = more_state
        self.shield = Shield()
        self.inputs = 0
        self.asked = 0  # requests of people taken so far, in all lives
        self.trouble = ""  # why the last checkpoint could not be written
        self.unwritten = 0  # inputs that could not be written and were acted on all the same
        self._now_ns = 0
        self._unsent: list[Command] = []
        self._moments: dict[int, tuple[Any, Any]] = {}  # bars heard of moments that are not decided on yet

    def apply(self, told: Input) -> list[Command]:
        """Write *told* down, then let the engine take it; returns what is to be sent.

        Where it cannot be written the engine still takes it, because reducing risk must go on, but nothing opens until
        a checkpoint has put state and log together again.
        """
        self.settle()  # first: what cannot be written now changes nothing of what was decided on before
        self._write(told)
        return self._step(told)

    def hear(self, ts_ns: int, some: list[int], ohlcv: Any, present: Any) -> None:
        """Write down the bars of *some* symbols out of a moment's (S, 5), (S,), while others are awaited.

        Nothing is decided; what is heard now need not be written when an order waits for it.
        """
        told = BarsCame.of(ts_ns, 0, ohlcv, present, some)
        if self.engine.decides:
            self.settle()
        self._write(told)
        self.inputs += 1
        self._keep(told)

    def decide(
        self, ts_ns: int, received_ns: int, ohlcv: Any, present: Any, some: list[int] | None = None
    ) -> list[Command]:
        """Decide on a moment's bars (S, 5), (S,), of which *some* (None: all) were not heard before.

        It returns with what is to be sent first; see :meth:`more`.
        """
        told = BarsCame.of(ts_ns, received_ns, ohlcv, present, some)
        self.settle()
        self._write(told)
        return self._flushed(self._guarded(told))

    def _keep(self, told: BarsCame) -> tuple[Any, Any]:
        """Put bars to those of their moment; returns all of them, (S, 5) and (S,)."""
        bars = self._moments.get(told.ts_ns)
        if bars is None:
            size = len(self.engine.symbols)
            bars = self._moments[told.ts_ns] = np.full((size, 5), np.nan), np.zeros(size, dtype=np.bool_)
        told.put(*bars)
        return bars

    def _batch(self, told: BarsCame) -> MarketBatch:
        """The moment that *told* makes whole; what was heard of it and of earlier ones is not needed any more."""
        ohlcv, present = self._keep(told)
        for ts_ns in [ts_ns for ts_ns in self._moments if ts_ns <= told.ts_ns]:
            del self._moments[ts_ns]
        return MarketBatch(told.ts_ns, self.interval_ns, ohlcv, present)

    def more(self) -> list[Command]:
        """What the bars of :meth:`decide` want sent next; when there is nothing, they are done with and recorded."""
        commands = self._flushed(self._next())
        if not commands:
            self._settle()
        return commands

    def _next(self) -> list[Command]:
        """What the moment's signals that are still due want, up to the next order; one that fails holds up no other."""
        while True:
            failures = self.shield.failures
            commands = self.shield.run(self.engine.more) or []
            if self.shield.failures != failures:
                self._failed("a signal")
            if commands or not self.engine.decides:
                return commands

    def settle(self) -> None:
        """Finish the bars in hand and record what did not have to be on record before orders went out.

        The next input would do it first. What is still to be sent comes with the next call.
        """
        unsent: list[Command] = []
        while commands := self.more():
            unsent += commands
        self._unsent = unsent

    def _write(self, told: Input) -> None:
        try:
            self.log.append(encode_input(told))
        except StateError:
            self.engine.halts.inputs_written = False
            self.unwritten += 1

    def _step(self, told: Input) -> list[Command]:
        """Let the engine take *told* and all that follows from it."""
        self.settle()
        commands = self._flushed(self._guarded(told))
        if isinstance(told, BarsCame):
            while more := self._next():
                commands += more
        return commands

    def _flushed(self, commands: list[Command]) -> list[Command]:
        """*commands*, behind those that nobody has been given yet."""
        if self._unsent:
            commands, self._unsent = self._unsent + commands, []
        return commands

    def _guarded(self, told: Input) -> list[Command]:
        """Let the engine take *told*; what it raises halts openings, in the first life as in a replay."""
        self.inputs += 1
        failures = self.shield.failures
        commands = self.shield.run(self._take, told)
        if self.shield.failures != failures:
            self._failed(type(told).__name__)
            return []
        return commands or []

    def _settle(self) -> None:
        """Record what was put off."""
        failures = self.shield.failures
        self.shield.run(self.engine.record_bars)
        if self.shield.failures != failures:
            self._failed("what was put off")

    def _failed(self, what: str) -> None:
        """Record what *what* broke, and let nothing open until somebody has looked."""
        engine, reason = self.engine, self.shield.last
        now_ns = max(self._now_ns, engine.now_ns)
        self.shield.run(engine.note, "input.failed", now_ns, {"input": what, "error": reason})
        self.shield.run(engine.halt, f"the engine failed on {what}: {reason}", now_ns)

    def _take(self, told: Input) -> list[Command] | None:
        engine = self.engine
        if isinstance(told, BarsCame):
            if not told.received_ns:
                self._keep(told)
                return None
            self._now_ns = max(self._now_ns, told.received_ns)
            return engine.on_bars(self._batch(told), told.received_ns)
        if isinstance(told, VenueSaid):
            self._now_ns = max(self._now_ns, told.event.ts_ns)
            return engine.on_event(told.event)
        if isinstance(told, Looked):
            self._now_ns = max(self._now_ns, told.snapshot.ts_ns)
            return engine.on_snapshot(told.snapshot)
        self._now_ns = max(self._now_ns, told.ts_ns)
        if isinstance(told, Ticked):
            return engine.on_timer(told.ts_ns, told.busy)
        if isinstance(told, Wished):
            return engine.on_intent(told.intent, told.ts_ns)
        if isinstance(told, Asked):
            return self._asked(told)
        self._take_quiet(told)
        return None

    def _take_quiet(
        self, told: Began | Lived | HealthTold | RolloutSet | MoneyMoved | RateKnown | FiltersKnown
    ) -> None:
        """Take an input that sends nothing."""
        engine = self.engine
        if isinstance(told, HealthTold):
            engine.on_health(told.level, told.connected, told.reason, told.ts_ns)
        elif isinstance(told, RateKnown):
            engine.market.note_funding_rate(told.symbol, told.rate_8h)
        elif isinstance(told, FiltersKnown):
            engine.note_filters(told.instrument, told.ts_ns)
        elif isinstance(told, MoneyMoved):
            engine.on_transfer(told.amount, told.ts_ns, told.move_id)
        elif isinstance(told, Lived):
            engine.continue_as(told.life, told.ts_ns)
        elif isinstance(told, RolloutSet):
            config = msgspec.convert(told.in_force, OrchestratorIntegrationConfig)
            engine.set_integration(config, {**told.change, "in_force": told.in_force}, told.ts_ns)
        else:
            engine.started(told.statement, told.ts_ns)
            engine.begin(told.wallet, told.namespace, told.ts_ns)

    def _asked(self, told: Asked) -> list[Command]:
        """Do what a person asked for; it goes on record before its effects."""
        engine = self.engine
        self.asked += 1
        engine.note("operator.requested", told.ts_ns, {
            "action": told.action, "reason": told.reason, "actor": told.actor, "ts_ns": told.ts_ns,
        })
        reason = f"{told.reason} ({told.actor})"
        if told.action == "resume":
            engine.resume(reason, told.ts_ns)
            return []
        engine.halt(reason, told.ts_ns)
        return engine.flatten(told.ts_ns) if told.action == "flatten" else []

    # ------------------------------------------------------------------ checkpoints

    def checkpoint(self) -> bool:
        """Save the whole state and where in the log it stands; False when it could not be written."""
        self.settle()
        try:
            self.store.save(self._state())
        except (StateError, OSError) as error:
            self.trouble = str(error)
            self.engine.halts.inputs_written = False
            return False
        self.trouble, self.engine.halts.inputs_written = "", True
        return True

    def _state(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "engine": self.engine.state(), "mark": self.log.mark(), "inputs": self.inputs,
            "asked": self.asked, "failures": self.shield.failures, "now_ns": self._now_ns, "more": self.more_state(),
            "heard": [[ts_ns, *bars] for ts_ns, bars in self._moments.items()],
        }

    def recover(self, restore_more: Callable[[dict[str, Any]], None] | None = None) -> int:
        """Continue from the last checkpoint and the inputs since; returns how many of those were taken again.

        Nothing is sent. Raises StateError when the checkpoint cannot be read.
        """
        saved = self.store.load()
        if saved is not None and saved.get("format") != FORMAT:
            raise StateError(
                "checkpoint: written by another version of this program; let that version flatten and stop, then start "
                "in a new --state folder"
            )
        if saved is not None:
            self.engine.load_state(saved["engine"])
            self.inputs, self._now_ns = saved["inputs"], saved["now_ns"]
            self.shield.failures, self.asked = saved["failures"], saved["asked"]
            self._moments = {ts_ns: (ohlcv.copy(), present.copy()) for ts_ns, ohlcv, present in saved["heard"]}
            if restore_more is not None:
                restore_more(saved["more"])
        entries = self.log.since(saved["mark"] if saved is not None else None)
        for entry in entries:
            self._step(decode_input(entry))
        self.settle()
        self._unsent = []
        return len(entries)


