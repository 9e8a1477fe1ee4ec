"""The meta-label that a run's gates ask: loaded once, when the run starts, and kept in its state folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from quantum_trader.app.runs.registries import open_registry
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.lab.registry.state import ALIASES
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH, EntryFeatures
from quantum_trader.models.gates import GateSettings
from quantum_trader.models.learned.artefact import CARD_FILE, META_LABEL, LearnedArtefact, load_learned
from quantum_trader.models.learned.meta_label import TrainedMetaLabel
from quantum_trader.models.loading import REGISTRY_PREFIX

META_LABEL_FOLDER: Final = "meta_label"  # in a state folder: the meta-label of its run
_KEY: Final = "gates.meta_label"
_UNKNOWN: Final = EntryFeatures(*(math.nan for _ in ENTRY_FEATURES))


def meta_label_for(settings: GateSettings, registry: str = "") -> TrainedMetaLabel | None:
    """The trained meta-label that *settings* name, ready to be asked; None where they name none.

    Raises ConfigError for a folder that is not there, a model of another kind or one of other features, DataError for a
    damaged one or one that its registry refuses.
    """
    named = settings.meta_label
    if not named:
        return None
    if named.startswith(REGISTRY_PREFIX):
        alias = named.removeprefix(REGISTRY_PREFIX).strip()
        if not alias:
            raise ConfigError(f"gates.meta_label = {named!r}: write registry:champion, or registry: and an id")
        artefact = open_registry(None).load_model(alias, META_LABEL).artefact
        assert isinstance(artefact, LearnedArtefact)
    else:
        if not Path(named).is_dir():
            raise ConfigError(f"gates.meta_label = {named!r}: no such folder; name that of a trained meta-label")
        artefact = load_learned(Path(named))
    return _asked(TrainedMetaLabel(artefact), named)


def _asked(label: TrainedMetaLabel, named: str) -> TrainedMetaLabel:
    """*label* after a first answer, so that nothing compiles while a signal waits; ConfigError for other features."""
    if label.names != ENTRY_FEATURES or label.artefact.card.features_hash != ENTRY_FEATURES_HASH:
        other = next((name for name in label.names if name not in ENTRY_FEATURES), "")
        other = other or next((name for name in ENTRY_FEATURES if name not in label.names), "their order")
        raise ConfigError(
            f"gates.meta_label = {named!r}: reads other features than a signal has at its entry ({other}); train it on "
            "the signals on record"
        )
    label.probability(_UNKNOWN)
    return label


def run_meta_label(settings: GateSettings, folder: Path | None, *, bound: bool) -> TrainedMetaLabel | None:
    """The meta-label of a run, kept in its state *folder* where it has one.

    *bound*: the run goes on there with inputs that were decided on, so that it must have the meta-label it had. An
    alias of the registry then means the one that is kept. Raises what :func:`meta_label_for` raises, StateError
    where the settings name another one.
    """
    kept = _kept(folder) if folder is not None and bound else None
    name = settings.meta_label.removeprefix(REGISTRY_PREFIX).strip()
    if kept is not None and settings.meta_label.startswith(REGISTRY_PREFIX) and name in ALIASES:
        return kept
    label = meta_label_for(settings)
    had, has = (one.model_id[:12] if one is not None else "none" for one in (kept, label))
    if folder is not None and bound and had != has:
        raise StateError(
            f"{_KEY}: the run in {folder} was begun with the meta-label {had}, not with {has}; give that one, or start a "
            "new --state folder"
        )
    if folder is not None and label is not None and not bound:
        from quantum_trader.lab.learning.model_folders import save_learned

        save_learned(folder / META_LABEL_FOLDER, label.artefact)
    return label


def _kept(folder: Path) -> TrainedMetaLabel | None:
    """The meta-label in the state *folder*; None where it has none."""
    place = folder / META_LABEL_FOLDER
    return _asked(TrainedMetaLabel(load_learned(place)), str(place)) if (place / CARD_FILE).exists() else None
