"""The meta-label that a run's gates ask: loaded once, when the run starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quantum_trader.app.runs.registries import open_registry
from quantum_trader.app.settings import REGISTRY_PREFIX
from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.signal_gates import MetaLabel
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH
from quantum_trader.models.gates import GateSettings
from quantum_trader.models.learned.artefact import META_LABEL
from quantum_trader.models.learned.meta_label import TrainedMetaLabel, load_meta_label

_KEY: Final = "gates.meta_label"


def meta_label_for(settings: GateSettings, registry: str = "") -> MetaLabel | None:
    """The trained meta-label that *settings* name; None where they name none.

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
        found = TrainedMetaLabel(open_registry(registry).load_model(name, META_LABEL).artefact)
    else:
        if not Path(named).is_dir():
            raise ConfigError(
                f"{_KEY} = {named!r}: is no folder; name that of a meta-label, as `quantum-trader model train "
                "--meta-label` prints it"
            )
        found = load_meta_label(Path(named))
    if found.names != ENTRY_FEATURES or found.artefact.card.features_hash != ENTRY_FEATURES_HASH:
        other = next((name for name in found.names if name not in ENTRY_FEATURES), "another order or number of them")
        raise ConfigError(
            f"{_KEY} = {named!r}: was trained on other features than a signal has at its entry ({other}); train it on "
            "the results of your signals: quantum-trader model train --meta-label --state DIR"
        )
    return found
