"""The meta-label that a run's gates ask: loaded once, when the run starts."""

from __future__ import annotations

from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.signal_gates import MetaLabel
from quantum_trader.models.gates import GateSettings


def meta_label_for(settings: GateSettings) -> MetaLabel | None:
    """The trained meta-label that *settings* name; None where they name none. Raises ConfigError."""
    if not settings.meta_label:
        return None
    raise ConfigError(f"gates.meta_label = {settings.meta_label!r}: no such meta-label; name a folder of one")
