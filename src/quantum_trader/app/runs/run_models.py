"""The models of a run that may be replaced while it goes on: what it follows, what is ready, what was refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.app.runs.kept_models import KeptModels
from quantum_trader.app.runs.model_check import check_before_live
from quantum_trader.app.runs.model_watch import ModelWatch, ReadyModel
from quantum_trader.app.runs.pilot_run import RunPilot
from quantum_trader.app.runs.registries import open_registry
from quantum_trader.app.runs.run_signals import RunSignals
from quantum_trader.app.runs.score_requests import ScoreRequests
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import ModelInForce, ModelRefused
from quantum_trader.engine.ports import PilotSource
from quantum_trader.lab.registry.registry import RegisteredModel
from quantum_trader.live.inputs import ModelReceived, ModelWasRefused
from quantum_trader.live.pilot_limit import TimeLimitedPilot
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.models.succession import why_not
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.artefact import Artefact
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.predictor import Predictor

PILOT, SIGNALS = "pilot", "signals"  # roles
Limit = Callable[[Predictor], PilotSource]
_log: Final = logging.getLogger(__name__)


def ready_pilot(artefact: Artefact, symbols: Sequence[str], interval_ns: int) -> Predictor:
    """The pilot *artefact* over *symbols*, asked once; DataError or ConfigError where it cannot be used here."""
    try:
        made = Predictor(artefact, symbols, interval_ns)
    except ConfigError as error:
        raise ConfigError(f"the model {artefact.card.name!r} cannot see these bars: {error}") from None
    shares = Network(artefact.weights).of_observer(made.observer.values)
    if shares.shape != (len(symbols), ACTION_COUNT) or not np.isfinite(shares).all():
        raise DataError(f"the model {artefact.card.name!r}: its network gives no probabilities")
    return made


class _Learning(NamedTuple):
    """A model of signals that learns from the kept bars in a thread, and behind which bar."""

    model_id: str
    next_ns: int
    made: Future[Forecasts]


class RunModels:
    """A shelf of models that are ready (``live.model_shelf.ModelShelf``), and the watches that put them there."""

    def __init__(
        self, settings: RunSettings, symbols: Sequence[str], interval_ns: int, folder: Path, *,
        limit: Limit = TimeLimitedPilot,
    ) -> None:
        """*folder*: the run's state folder. *limit*: makes a source of a pilot."""
        self.pilot = RunPilot(settings, symbols, interval_ns, folder)
        self.signals = RunSignals(settings.models, symbols, interval_ns, folder)
        self.scores = ScoreRequests(folder)  # from outside
        self._symbols, self._interval_ns = tuple(symbols), interval_ns
        self.kept, self._limit = KeptModels(folder), limit
        self._ready: dict[str, Predictor] = {}  # id -> a pilot that has seen no bar
        self._learned: dict[str, Forecasts] = {}  # id -> forecasts that may take over
        self._learning: _Learning | None = None
        self._made: list[TimeLimitedPilot] = []
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model of signals")
        self.watches: dict[str, ModelWatch] = {}  # by role
        if (pilot := self.pilot.followed) is not None:
            registry = open_registry(settings.pilot.registry)
            self.watches[PILOT] = ModelWatch(registry, pilot, self._prepared_pilot)
        if (signals := self.signals.followed) is not None:
            self.watches[SIGNALS] = ModelWatch(open_registry(self.signals.registry), signals, self._prepared_signals)

    def follow(self) -> None:
        """Look from now on, in threads of their own, what the aliases that the run follows mean."""
        for watch in self.watches.values():
            watch.start()

    def _prepared_pilot(self, model: RegisteredModel) -> Predictor:
        """A verified pilot, ready to take over, its files kept in the state folder."""
        made = ready_pilot(model.artefact, self._symbols, self._interval_ns)
        self.kept.keep(model)
        return made

    def _prepared_signals(self, model: RegisteredModel) -> LoadedModel:
        """A verified model of signals that has passed the look-ahead check, its files kept in the state folder."""
        model_id, place = model.record.model_id, self.signals.place
        self.kept.keep(model)
        check_before_live([self.signals.entry_of(self.kept, model_id, place)], _log.info)
        return self.signals.loaded(self.kept, model_id, place)

    def aliases(self) -> dict[str, dict[str, object]]:
        """By what aliases a run that begins now has found its models, by role."""
        found = {PILOT: self.pilot.found_by, SIGNALS: self.signals.found_by}
        return {role: facts for role, facts in found.items() if facts}

    def close(self) -> None:
        """End the watches and every thread that was made here."""
        for watch in self.watches.values():
            watch.close()
        for made in self._made:
            made.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------ what takes over

    def inputs(self, engine: Engine, now_ns: int, *, busy: bool = False) -> list[ModelReceived | ModelWasRefused]:
        """The models that may take over now, and those that are refused and were not said to be yet.

        While the pilot in force is *busy* none goes on from it.
        """
        found: list[ModelReceived | ModelWasRefused] = []
        for role, watch in self.watches.items():
            answer = watch.answer(self._in_force(engine, role))
            now = self._ready_now(engine, answer, now_ns, busy=busy) if isinstance(answer, ReadyModel) else answer
            if isinstance(now, ModelInForce):
                found.append(ModelReceived(ts_ns=now_ns, change=now))
            elif now is not None and not is_known(engine, now):
                found.append(ModelWasRefused(ts_ns=now_ns, refusal=now))
        return found

    def _in_force(self, engine: Engine, role: str) -> str:
        """The id of the model of *role* in force, of signals that of the one which follows an alias."""
        forecasts = engine.market.forecasts
        if role == PILOT:
            return engine.piloting.identity
        return forecasts.ids[self.signals.place] if forecasts is not None else ""

    def _ready_now(
        self, engine: Engine, answer: ReadyModel, now_ns: int, *, busy: bool
    ) -> ModelInForce | ModelRefused | None:
        """The change that puts a model into force, by what the engine does now; None: later."""
        if answer.change.role == SIGNALS:
            return self._signals_now(engine, answer)
        change = answer.change
        if reason := engine.piloting.why_not(answer.prepared, max(now_ns, engine.now_ns)):
            return _refused(change, reason)
        if busy:
            return None
        self._ready[change.ids[0]] = answer.prepared
        return change

    def _signals_now(self, engine: Engine, answer: ReadyModel) -> ModelInForce | ModelRefused | None:
        """The same for a model of signals, which learns from the kept bars first, in a thread."""
        before, place, model = engine.market.forecasts, self.signals.place, answer.prepared
        assert before is not None, "a run that follows an alias of signals has forecasts"
        if reason := why_not(before, place, model):
            return _refused(answer.change, reason)
        learning = self._learning
        if learning is None or (learning.model_id, learning.next_ns) != (model.model_id, before.history.next_ns):
            made = self._pool.submit(
                self.signals.successor, before.models, place, model, before.history.state()
            )
            self._learning = _Learning(model.model_id, before.history.next_ns, made)
            return None
        if not learning.made.done():
            return None
        if (error := learning.made.exception()) is not None:
            return _refused(answer.change, f"{type(error).__name__}: {error}")
        self._learning, self._learned = None, {model.model_id: learning.made.result()}
        names = [one.name for one in before.models]
        names[place] = model.name
        return msgspec.structs.replace(
            answer.change, names=names, before=before.ids, ids=[*before.ids[:place], model.model_id,
                                                                *before.ids[place + 1:]],
        )

    def notes(self, engine: Engine) -> list[str]:
        """What of the followed models a person has to know: those that are refused now."""
        said = []
        for role, watch in self.watches.items():
            answer = watch.answer(self._in_force(engine, role))
            refused = answer if isinstance(answer, ModelRefused) else engine.models.refused.get(role)
            if answer is not None and refused is not None:
                said.append(
                    f"{role}: {refused.alias} means model {refused.model[:12] or 'none'}, which is refused: "
                    f"{refused.reason}; {self._in_force(engine, role)[:12] or 'none'} goes on"
                )
        return said

    # ------------------------------------------------------------------ the session's shelf

    def require(self, model_ids: Collection[str]) -> None:
        """Look whether the models are there that an earlier process took; StateError that names one which is not."""
        for model_id in model_ids:
            if model_id != self.pilot.identity:
                self.kept.read(model_id)

    def pilot_of(self, model_id: str) -> PilotSource:
        """The pilot *model_id*, which has seen no bar; StateError where it is not kept."""
        ready = self._ready.pop(model_id) if model_id in self._ready else ready_pilot(
            self.kept.pilot(model_id), self._symbols, self._interval_ns
        )
        made = self._limit(ready)
        if isinstance(made, TimeLimitedPilot):
            self._made.append(made)
        return made

    def signals_of(self, change: ModelInForce, before: Forecasts) -> Forecasts:
        """Forecasts with the model that takes over, which have learned from the bars that *before* keeps.

        StateError where it is not kept.
        """
        model_id, place = change.ids[change.place], change.place
        learned = self._learned.pop(model_id) if model_id in self._learned else None
        if learned is not None and learned.history.next_ns == before.history.next_ns:
            return learned
        return self.signals.successor(
            before.models, place, self.signals.loaded(self.kept, model_id, place), before.history.state()
        )


def _refused(change: ModelInForce, reason: str) -> ModelRefused:
    return ModelRefused(
        role=change.role, model=change.ids[0], in_force=change.before, reason=reason, alias=change.alias,
        version=change.version,
    )


def is_known(engine: Engine, refusal: ModelRefused) -> bool:
    """Whether this refusal is the last one that was recorded for its role."""
    last = engine.models.refused.get(refusal.role)
    return last is not None and (last.model, last.reason) == (refusal.model, refusal.reason)

