"""The models of a run that may be replaced while it goes on: what it follows, what is ready, what was refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantum_trader.app.runs.kept_models import KeptModels
from quantum_trader.app.runs.model_watch import ModelWatch, ReadyModel
from quantum_trader.app.runs.pilot_run import RunPilot
from quantum_trader.app.runs.registries import open_registry
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import ModelRefused
from quantum_trader.engine.ports import PilotSource
from quantum_trader.lab.registry.registry import RegisteredModel
from quantum_trader.live.inputs import ModelReceived, ModelWasRefused
from quantum_trader.live.pilot_limit import TimeLimitedPilot
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.artefact import Artefact
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.predictor import Predictor

Limit = Callable[[Predictor], PilotSource]


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


class RunModels:
    """A shelf of models that are ready (``live.model_shelf.ModelShelf``), and the watches that put them there."""

    def __init__(
        self, settings: RunSettings, symbols: Sequence[str], interval_ns: int, folder: Path, *,
        limit: Limit = TimeLimitedPilot,
    ) -> None:
        """*folder*: the run's state folder. *limit*: makes a source of a pilot."""
        self.pilot = RunPilot(settings, symbols, interval_ns, folder)
        self._symbols, self._interval_ns = tuple(symbols), interval_ns
        self.kept, self._limit = KeptModels(folder), limit
        self._ready: dict[str, Predictor] = {}  # id -> a pilot that has seen no bar
        self._made: list[TimeLimitedPilot] = []
        self.watches: dict[str, ModelWatch] = {}  # by role
        if (followed := self.pilot.followed) is not None:
            registry = open_registry(settings.pilot.registry)
            self.watches[followed.role] = ModelWatch(registry, followed, self._prepared)

    def follow(self) -> None:
        """Look from now on, in threads of their own, what the aliases that the run follows mean."""
        for watch in self.watches.values():
            watch.start()

    def _prepared(self, model: RegisteredModel) -> Predictor:
        """A verified pilot, ready to take over, its file kept in the state folder."""
        made = ready_pilot(model.artefact, self._symbols, self._interval_ns)
        self.kept.keep(model)
        return made

    def close(self) -> None:
        """End the watches, and the threads of pilots that were made here."""
        for watch in self.watches.values():
            watch.close()
        for made in self._made:
            made.close()

    # ------------------------------------------------------------------ what takes over

    def inputs(self, engine: Engine, now_ns: int, *, busy: bool = False) -> list[ModelReceived | ModelWasRefused]:
        """The models that may take over now, and those that are refused and were not said to be yet.

        While the pilot in force is *busy* none goes on from it.
        """
        found: list[ModelReceived | ModelWasRefused] = []
        for role, watch in self.watches.items():
            in_force = engine.piloting.identity
            answer = watch.answer(in_force)
            if isinstance(answer, ReadyModel):
                answer = self._why_not(engine, answer, now_ns) or answer
            if isinstance(answer, ReadyModel):
                if not busy:
                    self._ready[answer.change.ids[0]] = answer.prepared
                    found.append(ModelReceived(ts_ns=now_ns, change=answer.change))
            elif answer is not None and not _is_known(engine, role, answer):
                found.append(ModelWasRefused(ts_ns=now_ns, refusal=answer))
        return found

    def _why_not(self, engine: Engine, answer: ReadyModel, now_ns: int) -> ModelRefused | None:
        """The refusal of a model that is ready, by what the engine does now; None: it may take over."""
        change = answer.change
        why_not = engine.piloting.why_not(answer.prepared, max(now_ns, engine.now_ns))
        if not why_not:
            return None
        return ModelRefused(
            role=change.role, model=change.ids[0], in_force=change.before, reason=why_not, alias=change.alias,
            version=change.version,
        )

    def notes(self, engine: Engine) -> list[str]:
        """What of the followed models a person has to know: those that are refused now."""
        said = []
        for role, watch in self.watches.items():
            answer = watch.answer(engine.piloting.identity)
            refused = answer if isinstance(answer, ModelRefused) else engine.models.refused.get(role)
            if answer is not None and refused is not None:
                said.append(
                    f"{role}: {refused.alias} means model {refused.model[:12] or 'none'}, which is refused: "
                    f"{refused.reason}; {refused.in_force[0][:12] if refused.in_force else 'none'} goes on"
                )
        return said

    # ------------------------------------------------------------------ the session's shelf

    def require(self, model_ids: Collection[str]) -> None:
        """Make the models ready that an earlier process took; StateError that names one which is missing."""
        for model_id in model_ids:
            self._ready[model_id] = self._from_folder(model_id)

    def pilot_of(self, model_id: str) -> PilotSource:
        """The pilot *model_id*, which has seen no bar; StateError where it is not kept."""
        ready = self._ready.pop(model_id) if model_id in self._ready else self._from_folder(model_id)
        made = self._limit(ready)
        if isinstance(made, TimeLimitedPilot):
            self._made.append(made)
        return made

    def _from_folder(self, model_id: str) -> Predictor:
        return ready_pilot(self.kept.pilot(model_id), self._symbols, self._interval_ns)


def _is_known(engine: Engine, role: str, refusal: ModelRefused) -> bool:
    last: Any = engine.models.refused.get(role)
    return last is not None and (last.model, last.reason) == (refusal.model, refusal.reason)
