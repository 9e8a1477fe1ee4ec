"""The models that give the signals of a run: those that it begins or goes on with, and one that follows an alias."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from quantum_trader.app.runs.kept_models import KeptModels
from quantum_trader.app.runs.model_watch import FollowedAlias
from quantum_trader.app.runs.models_in_force import models_in_force
from quantum_trader.app.runs.registries import followed_signals, open_registry, registered_settings, with_registered
from quantum_trader.lab.registry.registry import RegisteredModel
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.models.learned.artefact import SIGNAL
from quantum_trader.models.loading import REGISTRY_PREFIX, ModelSettings, expanded, load_model, make_forecasts
from quantum_trader.models.succession import KEPT_BARS, successor


def models_to_begin(settings: Sequence[ModelSettings], folder: Path | None) -> tuple[ModelSettings, ...]:
    """The models with which a run in the state *folder* begins or goes on.

    One that follows an alias is the one in force where the run has begun there, from its folder alone. Raises DataError
    where it has not, and the model of the alias may not be used.
    """
    entries = [one for one in expanded(settings) if one.enabled]
    followed = followed_signals(entries)
    if followed is None:
        return tuple(entries or settings)  # where none is enabled, loading them says so
    place, _ = followed
    in_force = models_in_force(folder).signals if folder is not None else ()
    if folder is not None and place < len(in_force):
        entries[place] = kept_entry(entries[place], KeptModels(folder), in_force[place])
    elif entries[place].model.startswith(REGISTRY_PREFIX):  # it could not be had when the settings were read
        entries[place] = registered_settings(entries[place])
    return tuple(entries)


def kept_entry(entry: ModelSettings, kept: KeptModels, model_id: str) -> ModelSettings:
    """*entry* with the model *model_id* of a state folder; StateError where that is missing or damaged."""
    name = kept.read(model_id).name
    return with_registered(msgspec.structs.replace(entry, name=""), kept.folder(model_id), model_id, name)


class RunSignals:
    """The models of signals of one run."""

    def __init__(
        self, settings: Sequence[ModelSettings], symbols: Sequence[str], interval_ns: int, folder: Path | None = None,
        kept_bars: int = 0,
    ) -> None:
        """*folder*: the state folder that the run may go on from. *kept_bars*: for models that take over by a schedule.
        """
        self._symbols, self._interval_ns = tuple(symbols), interval_ns
        self.entries = models_to_begin(settings, folder)
        found = followed_signals(self.entries)
        self.place = found[0] if found is not None else 0
        self.followed = found[1] if found is not None else None
        self.kept_bars = KEPT_BARS if self.followed is not None else kept_bars
        self.forecasts = make_forecasts(self.entries, self._symbols, interval_ns, kept_bars=self.kept_bars)
        self.found_by = self._found_by(self.followed, begun=bool(folder and models_in_force(folder).signals))

    def _found_by(self, followed: FollowedAlias | None, *, begun: bool) -> dict[str, Any]:
        """The alias that a run which begins now has found its model by."""
        if followed is None or begun or self.forecasts is None or not self.registry:
            return {}
        return followed.moved_by(open_registry(self.entries[self.place].registry), self.forecasts.ids[self.place])

    @property
    def registry(self) -> str:
        """Folder of the registry whose alias is followed."""
        return self.entries[self.place].registry

    def keep_in(self, kept: KeptModels) -> None:
        """Keep the model that the followed alias means as a run begins, so that the run goes on with it."""
        if self.found_by and self.forecasts is not None:
            kept.keep(open_registry(self.registry).load_model(self.forecasts.ids[self.place], SIGNAL))

    def entry_of(self, kept: KeptModels, model_id: str, place: int) -> ModelSettings:
        """What the settings say of the model at *place*, for the kept model *model_id*."""
        return kept_entry(self.entries[place], kept, model_id)

    def loaded(self, kept: KeptModels, model_id: str, place: int) -> LoadedModel:
        """The kept model *model_id*, as the settings have the model at *place*."""
        return load_model(self.entry_of(kept, model_id, place))

    def registered(self, model: RegisteredModel, folder: Path) -> LoadedModel:
        """A verified *model* that lies in *folder*, as the settings have the model that may be replaced."""
        entry = msgspec.structs.replace(self.entries[self.place], name="")
        return load_model(with_registered(entry, folder, model.record.model_id, model.record.name))

    def successor(self, models: Sequence[LoadedModel], place: int, model: LoadedModel, history: Any) -> Forecasts:
        """Forecasts with *model* at *place* among *models*, which have learned from the bars of *history*."""
        changed = [*models[:place], model, *models[place + 1:]]
        return successor(self._symbols, self._interval_ns, changed, history)

