"""Which models a run that has begun in a state folder goes on with, by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.input_log import whole_entries
from quantum_trader.app.runs.state_dir import unsealed
from quantum_trader.domain.private_files import read_private
from quantum_trader.live.inputs import SessionStarted, decode_input

_BEGAN: Final = b"began"  # in every SessionStarted
INPUTS_FOLDER: Final = "inputs"  # in a state folder: the input log of a live session


class ModelsInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of a run's models at its last checkpoint, or where it began; empty where none has begun."""

    pilot: str = ""
    signals: tuple[str, ...] = ()


def models_in_force(folder: Path) -> ModelsInForce:
    """The models of the run in the state *folder* at its last checkpoint, from which it goes on.

    A live session that was killed before its first checkpoint goes on from its first input.
    """
    try:
        checkpoint = unsealed(read_private(folder / "checkpoint"))
    except OSError:
        checkpoint = None
    if checkpoint is not None:
        engine = checkpoint["engine"]
        return ModelsInForce(pilot=saved_pilot_id(engine), signals=tuple(saved_signal_ids(engine)))
    stated = _first_statement(folder)
    return ModelsInForce(pilot=stated.get("pilot", ""), signals=tuple(stated.get("signals", ())))


def has_inputs(folder: Path) -> bool:
    """Whether a live session has begun in the state *folder*."""
    return any(path.stat().st_size for path in (folder / INPUTS_FOLDER).glob("inputs-*.log"))


def saved_pilot_id(engine: Mapping[str, Any]) -> str:
    """The identity of the pilot in an engine's saved state; empty where it had none."""
    parts = engine.get("piloting", {}).get("parts")
    return str(parts[0].get("identity", "")) if parts else ""


def saved_signal_ids(engine: Mapping[str, Any]) -> list[str]:
    """The ids of the models of signals in an engine's saved state; empty for the intraday ones."""
    forecasts = engine.get("market", {}).get("forecasts")
    return list(forecasts.get("ids", ())) if forecasts else []


def _first_statement(folder: Path) -> dict[str, Any]:
    """What a live session stated as it began; empty where none has begun."""
    for path in sorted((folder / INPUTS_FOLDER).glob("inputs-*.log"))[:1]:
        for entry in whole_entries(read_private(path)):
            if _BEGAN in entry and isinstance(first := decode_input(entry), SessionStarted):
                return first.statement
    return {}
