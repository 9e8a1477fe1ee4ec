"""Models that take over in a replay at times given beforehand: what a promotion does to a live run, in virtual time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from quantum_trader.app.runs.kept_models import KeptModels
from quantum_trader.app.runs.model_bars import use_columns
from quantum_trader.app.runs.model_watch import FollowedAlias
from quantum_trader.app.runs.models_in_force import saved_pilot_id
from quantum_trader.app.runs.pilot_run import RunPilot
from quantum_trader.app.runs.registries import open_registry
from quantum_trader.app.runs.run_models import ready_pilot
from quantum_trader.app.runs.run_signals import RunSignals
from quantum_trader.app.settings import RunSettings, moment
from quantum_trader.domain.clock import to_ns
from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import ModelInForce
from quantum_trader.lab.registry.kinds import PILOT
from quantum_trader.lab.registry.registry import RegisteredModel
from quantum_trader.lab.registry.state import ALIASES
from quantum_trader.market.recording import Recording
from quantum_trader.models.forecasts import LoadedModel
from quantum_trader.models.learned.artefact import SIGNAL
from quantum_trader.models.loading import REGISTRY_PREFIX
from quantum_trader.models.succession import KEPT_BARS, why_not

ACTOR: Final = "the run's schedule"
ROLES: Final[Mapping[str, Literal["pilot", "signals"]]] = {PILOT: "pilot", SIGNAL: "signals"}  # by kind


class ScheduledModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the registry that is to take over at *ts_ns*, as a person named it."""

    ts_ns: int
    kind: str
    name: str  # an alias, an id, or its beginning

    @property
    def named(self) -> str:
        """As a run names it."""
        return f"{REGISTRY_PREFIX}{self.name}"


def scheduled_models(texts: Sequence[str], option: str = "--switch") -> tuple[ScheduledModel, ...]:
    """The models that *texts* (``TIME=[KIND:]NAME``) name, by their times; ConfigError for a text that is none."""
    found = [_scheduled(text, option) for text in texts]
    return tuple(sorted(found, key=lambda one: one.ts_ns))


def _scheduled(text: str, option: str) -> ScheduledModel:
    when, equals, name = text.partition("=")
    name = name.strip().removeprefix(REGISTRY_PREFIX)
    kind, colon, rest = name.partition(":")
    kind, name = (kind, rest) if colon else (PILOT, name)
    if not equals or not name:
        raise ConfigError(f"{option} {text!r}: write TIME=NAME, as 2024-03-01T12:00=challenger or 2024-03-01=3f9c21ab")
    if kind not in ROLES:
        raise ConfigError(f"{option} {text!r}: kind {kind!r} is none of {', '.join(ROLES)}")
    found = moment(option, when.strip())
    if found is None:
        raise ConfigError(f"{option} {text!r}: states no time; write TIME=NAME")
    stamp = found if isinstance(found, datetime) else datetime(found.year, found.month, found.day, tzinfo=UTC)
    return ScheduledModel(ts_ns=to_ns(stamp), kind=kind, name=name)


class DueModel(NamedTuple):
    """A model that was read and verified before the run began."""

    ts_ns: int
    model: RegisteredModel
    folder: Path  # where it lies
    facts: dict[str, Any]  # how it comes to take over, as ModelInForce states it


class ModelSchedule:
    """The scheduled models of a run, all read and verified before its first bar.

    Raises DataError for a model that may not be used.
    """

    def __init__(self, scheduled: Sequence[ScheduledModel], registry: str) -> None:
        self._due = [_due(one, registry) for one in scheduled]

    @property
    def models(self) -> list[RegisteredModel]:
        """The models, by their times."""
        return [one.model for one in self._due]

    @property
    def has_signals(self) -> bool:
        """Whether a model of signals is among them."""
        return any(one.record.kind == SIGNAL for one in self.models)

    @property
    def fingerprint(self) -> str:
        """What is part of the run's identity; empty where nothing is scheduled."""
        stated = [(one.ts_ns, one.model.record.model_id) for one in self._due]
        return hashlib.sha256(msgspec.json.encode(stated)).hexdigest() if stated else ""

    def due(self, after_ns: int, now_ns: int) -> list[DueModel]:
        """The models that are due after *after_ns* and until *now_ns*."""
        return [one for one in self._due if after_ns < one.ts_ns <= now_ns]


def _due(one: ScheduledModel, registry: str) -> DueModel:
    found = open_registry(registry)
    model = found.load_model(one.name, one.kind)
    facts: dict[str, Any] = {"actor": ACTOR, "reason": f"{one.named} from now on"}
    if one.name in ALIASES:
        followed = FollowedAlias(role=ROLES[one.kind], kind=one.kind, alias=one.name, named=one.named)
        facts = followed.moved_by(found, model.record.model_id) | facts
    return DueModel(one.ts_ns, model, found.model_folder(model.record.model_id), facts)


class ReplayModels:
    """The models of a replay: those that it begins with, and those that take over."""

    def __init__(
        self, settings: RunSettings, recording: Recording, folder: Path | None, scheduled: Sequence[ScheduledModel],
        kept_bars: int = 0,
    ) -> None:
        """*folder*: the state folder that the run may go on from. *kept_bars*: as :meth:`statement` had stated them.

        Raises what a model says that cannot be used.
        """
        self._symbols, self._interval_ns = tuple(recording.symbols), recording.interval_ns
        self._schedule = ModelSchedule(scheduled, settings.pilot.registry)
        kept_bars = kept_bars or (KEPT_BARS if self._schedule.has_signals else 0)
        self.signals = RunSignals(settings.models, self._symbols, self._interval_ns, folder, kept_bars)
        use_columns(self.signals.forecasts, recording)
        self.pilot = RunPilot(settings, self._symbols, self._interval_ns, folder)
        self._ready = {
            one.record.model_id: ready_pilot(one.artefact, self._symbols, self._interval_ns)
            for one in self._schedule.models if one.record.kind == PILOT
        }
        self._began = {"pilot": self.pilot.identity, "models": self._fingerprint}  # of the run's first bar
        self._done_ns = 0  # what was due until then has taken over

    @property
    def _fingerprint(self) -> str:
        forecasts = self.signals.forecasts
        return "+".join(forecasts.fingerprints) if forecasts is not None else ""

    def go_on(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on behind *checkpoint*; where its models are these, the run began with those that it states."""
        engine, stated = checkpoint["engine"], checkpoint["identity"]
        if saved_pilot_id(engine) == self.pilot.identity:
            self._began["pilot"] = stated.get("pilot", "")
        forecasts = engine["market"]["forecasts"]
        if forecasts and "+".join(forecasts["models"]) == self._fingerprint:
            self._began["models"] = stated.get("models", "")
        self._done_ns = checkpoint["ts_ns"]

    def keep_in(self, folder: Path, *, begun: bool) -> None:
        """Keep the models and what is scheduled in the state *folder*."""
        kept = KeptModels(folder)
        self.pilot.keep_in(folder, begun=begun)
        self.signals.keep_in(kept)
        for one in self._schedule.models:
            kept.keep(one)

    def take_due(self, engine: Engine, now_ns: int) -> None:
        """Let the models take over that are due at *now_ns*."""
        for one in self._schedule.due(self._done_ns, now_ns):
            if one.model.record.kind == PILOT:
                self._take_pilot(engine, one, now_ns)
            else:
                self._take_signals(engine, one, now_ns)
        self._done_ns = now_ns

    def _take_pilot(self, engine: Engine, due: DueModel, now_ns: int) -> None:
        model, record, before = due.model, due.model.record, engine.piloting.identity
        if record.model_id == before:
            return
        change = ModelInForce(role="pilot", names=[record.name], ids=[record.model_id], before=[before], **due.facts)
        source = self._ready.pop(record.model_id, None) or ready_pilot(
            model.artefact, self._symbols, self._interval_ns
        )
        if not engine.models.take_pilot(source, change, now_ns):
            self.pilot.artefact = model.artefact

    def _take_signals(self, engine: Engine, due: DueModel, now_ns: int) -> None:
        record, before, place = due.model.record, engine.market.forecasts, self.signals.place
        if before is None or before.ids[place] == record.model_id:
            return
        loaded = self.signals.registered(due.model, due.folder)
        names, ids = [one.name for one in before.models], list(before.ids)
        names[place], ids[place] = loaded.name, record.model_id
        change = ModelInForce(role="signals", names=names, ids=ids, before=before.ids, **due.facts)
        take_signals(engine, self.signals, loaded, change, now_ns)

    def identity(self) -> dict[str, str]:
        """What of the models decides a run, by hash."""
        made = {key: self._began[key] for key in ("models", "pilot") if self._began[key]}
        if self._schedule.fingerprint:
            made["switches"] = self._schedule.fingerprint
        return made

    def statement(self) -> dict[str, Any]:
        """What else a replay from the records alone needs: how models were found, and what those that follow need."""
        found = {"pilot": self.pilot.found_by, "signals": self.signals.found_by}
        stated: dict[str, Any] = {"aliases": {role: facts for role, facts in found.items() if facts}}
        if self.signals.kept_bars and self.signals.forecasts is not None:
            stated |= {"kept_bars": self.signals.kept_bars, "signals": self.signals.forecasts.ids}
        return {key: value for key, value in stated.items() if value}


def take_signals(
    engine: Engine, signals: RunSignals, model: LoadedModel, change: ModelInForce, now_ns: int
) -> None:
    """Let *model* take over among the models of signals, once it has learned from the bars that the run keeps."""
    before, place = engine.market.forecasts, change.place
    assert before is not None, "a run whose signals' model changes has forecasts"
    if why_not(before, place, model):  # the engine refuses it before anything is learned
        engine.models.refuse_signals(model, place, change, now_ns)
        return
    made = signals.successor(before.models, place, model, before.history.state())
    engine.models.take_signals(made, place, change, now_ns)
