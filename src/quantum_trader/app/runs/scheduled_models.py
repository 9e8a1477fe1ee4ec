"""Models that take over in a replay at times given beforehand: what a promotion does to a live run, in virtual time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from quantum_trader.app.runs.kept_models import KeptModels
from quantum_trader.app.runs.model_bars import use_columns
from quantum_trader.app.runs.model_watch import FollowedAlias
from quantum_trader.app.runs.pilot_run import RunPilot, saved_identity
from quantum_trader.app.runs.registries import REGISTRY_PREFIX, open_registry
from quantum_trader.app.runs.run_models import ready_pilot
from quantum_trader.app.settings import RunSettings, moment
from quantum_trader.domain.clock import to_ns
from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import ModelInForce
from quantum_trader.lab.registry.kinds import KINDS, PILOT
from quantum_trader.lab.registry.registry import RegisteredModel
from quantum_trader.lab.registry.state import ALIASES
from quantum_trader.market.recording import Recording
from quantum_trader.models.loading import make_forecasts
from quantum_trader.pilot.artefact import Artefact
from quantum_trader.pilot.predictor import Predictor

ACTOR: Final = "the run's schedule"


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
    if kind not in KINDS:
        raise ConfigError(f"{option} {text!r}: kind {kind!r} is none of {', '.join(KINDS)}")
    found = moment(option, when.strip())
    if found is None:
        raise ConfigError(f"{option} {text!r}: states no time; write TIME=NAME")
    stamp = found if isinstance(found, datetime) else datetime(found.year, found.month, found.day, tzinfo=UTC)
    return ScheduledModel(ts_ns=to_ns(stamp), kind=kind, name=name)


class _Due(NamedTuple):
    """A model that was read and verified before the run began."""

    ts_ns: int
    model: RegisteredModel
    source: Predictor  # which has seen no bar
    facts: dict[str, Any]  # how it comes to take over, as ModelInForce states it


class ModelSchedule:
    """The scheduled models of a run, all read and verified before its first bar.

    Raises DataError for a model that may not be used, ConfigError for one that the run's bars do not suit.
    """

    def __init__(
        self, scheduled: Sequence[ScheduledModel], registry: str, symbols: Sequence[str], interval_ns: int
    ) -> None:
        self._due = [_due(one, registry, symbols, interval_ns) for one in scheduled]

    @property
    def fingerprint(self) -> str:
        """What is part of the run's identity; empty where nothing is scheduled."""
        stated = [(one.ts_ns, one.model.record.model_id) for one in self._due]
        return hashlib.sha256(msgspec.json.encode(stated)).hexdigest() if stated else ""

    def keep_in(self, folder: Path) -> None:
        """Keep the models in the state *folder*."""
        kept = KeptModels(folder)
        for one in self._due:
            kept.keep(one.model)

    def take_due(self, engine: Engine, after_ns: int, now_ns: int) -> Artefact | None:
        """Let the models take over that are due after *after_ns* and until *now_ns*.

        Returns the pilot that has taken over; None where none was due, or none may.
        """
        taken = None
        for one in self._due:
            record = one.model.record
            if after_ns < one.ts_ns <= now_ns and record.model_id != engine.piloting.identity:
                change = ModelInForce(
                    role="pilot", names=[record.name], ids=[record.model_id], before=[engine.piloting.identity],
                    **one.facts,
                )
                if not engine.models.take_pilot(one.source, change, now_ns):
                    taken = one.model.artefact
        return taken


def _due(one: ScheduledModel, registry: str, symbols: Sequence[str], interval_ns: int) -> _Due:
    found = open_registry(registry)
    model = found.load_model(one.name, one.kind)
    facts: dict[str, Any] = {"actor": ACTOR, "reason": f"{one.named} from now on"}
    if one.name in ALIASES:
        followed = FollowedAlias(role="pilot", kind=one.kind, alias=one.name, named=one.named)
        facts = followed.moved_by(found, model.record.model_id) | facts
    return _Due(one.ts_ns, model, ready_pilot(model.artefact, symbols, interval_ns), facts)


class ReplayModels:
    """The models of a replay: those that it begins with, and those that take over."""

    def __init__(
        self, settings: RunSettings, recording: Recording, folder: Path | None, scheduled: Sequence[ScheduledModel]
    ) -> None:
        """*folder*: the state folder that the run may go on from.

        Raises what a model says that cannot be used.
        """
        symbols, interval_ns = tuple(recording.symbols), recording.interval_ns
        self.forecasts = make_forecasts(settings.models, symbols, interval_ns)
        use_columns(self.forecasts, recording)
        self.pilot = RunPilot(settings, symbols, interval_ns, folder)
        self.began_with = self.pilot.identity  # the pilot of the run's first bar
        self.schedule = ModelSchedule(scheduled, settings.pilot.registry, symbols, interval_ns)
        self._done_ns = 0  # what was due until then has taken over

    def go_on(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on behind *checkpoint*; where its pilot is this one, the run began with the one that it states."""
        if saved_identity(checkpoint["engine"]) == self.pilot.identity:
            self.began_with = checkpoint["identity"].get("pilot", "")
        self._done_ns = checkpoint["ts_ns"]

    def keep_in(self, folder: Path, *, begun: bool) -> None:
        """Keep the pilot and what is scheduled in the state *folder*."""
        self.pilot.keep_in(folder, begun=begun)
        self.schedule.keep_in(folder)

    def take_due(self, engine: Engine, now_ns: int) -> None:
        """Let the models take over that are due at *now_ns*."""
        taken = self.schedule.take_due(engine, self._done_ns, now_ns)
        self._done_ns = now_ns
        if taken is not None:
            self.pilot.artefact = taken

    def identity(self) -> dict[str, str]:
        """What of the models decides a run, by hash."""
        made = {"models": "+".join(self.forecasts.fingerprints)} if self.forecasts is not None else {}
        if self.began_with:
            made["pilot"] = self.began_with
        if self.schedule.fingerprint:
            made["switches"] = self.schedule.fingerprint
        return made

    def statement(self) -> dict[str, Any]:
        """By what aliases the models were found, for the run's first record."""
        return {"aliases": {"pilot": self.pilot.found_by}} if self.pilot.found_by else {}
