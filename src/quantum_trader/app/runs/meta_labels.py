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
from quantum_trader.models.learned.artefact import CARD_FILE, META_LABEL
from quantum_trader.models.learned.meta_label import TrainedMetaLabel, load_meta_label
from quantum_trader.models.loading import REGISTRY_PREFIX

META_LABEL_FOLDER: Final = "meta_label"  # in a state folder: the meta-label of its run
_KEY: Final = "gates.meta_label"
_UNKNOWN: Final = EntryFeatures(*(math.nan for _ in ENTRY_FEATURES))


def meta_label_for(settings: GateSettings, registry: str = "") -> TrainedMetaLabel | None:
    """The trained meta-label that *settings* name, ready to be asked; None where they name none.

    *registry* is the folder of the registry that ``registry:NAME`` means; empty: this user's. Raises ConfigError for a
    model of other features than those that a signal has at its entry, DataError for what is none or may not be used.
    """
    named = settings.meta_label
    if not named:
        return None
    if named.startswith(REGISTRY_PREFIX):
        name = named.removeprefix(REGISTRY_PREFIX).strip()
        if not name:
            raise ConfigError(f"{_KEY} = {named!r}: names no model; write registry:champion, or registry: and an id")
        return _checked(TrainedMetaLabel(open_registry(registry).load_model(name, META_LABEL).artefact), named)
    if not Path(named).is_dir():
        raise ConfigError(
            f"{_KEY} = {named!r}: is no folder; name that of a meta-label, as `quantum-trader model train "
            "--meta-label` prints it"
        )
    return _checked(load_meta_label(Path(named)), named)


def _checked(found: TrainedMetaLabel, named: str) -> TrainedMetaLabel:
    """*found* where it reads the features that signals have. It answers once: no signal waits for the compiler."""
    if found.names != ENTRY_FEATURES or found.artefact.card.features_hash != ENTRY_FEATURES_HASH:
        other = next((name for name in found.names if name not in ENTRY_FEATURES), "another order or number of them")
        raise ConfigError(
            f"{_KEY} = {named!r}: was trained on other features than a signal has at its entry ({other}); train it on "
            "the results of your signals: quantum-trader model train --meta-label --state DIR"
        )
    found.probability(_UNKNOWN)
    return found


def run_meta_label(settings: GateSettings, folder: Path | None, *, bound: bool) -> TrainedMetaLabel | None:
    """The meta-label of a run, kept in its state *folder* where it has one.

    *bound*: the run goes on there with inputs that were decided on, so that it must have the meta-label that it had;
    an alias of the registry then means the one that is kept. Raises what :func:`meta_label_for` raises, StateError
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
            f"{_KEY}: the run in {folder} was begun with the meta-label {had}, not with {has}; give that one, or start "
            "a new --state folder"
        )
    if folder is not None and label is not None and not bound:
        from quantum_trader.lab.learning.model_folders import save_learned

        save_learned(folder / META_LABEL_FOLDER, label.artefact)
    return label


def _kept(folder: Path) -> TrainedMetaLabel | None:
    """The meta-label in the state *folder*; None where it has none."""
    place = folder / META_LABEL_FOLDER
    return _checked(load_meta_label(place), str(place)) if (place / CARD_FILE).exists() else None
