"""What a training puts into the registry: the model to use, and the alias that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.registries import open_registry, program_commit, registry_folder
from quantum_trader.domain.errors import ConfigError, brief
from quantum_trader.lab.registry.registry import CHAMPION, RegisteredModel
from quantum_trader.lab.registry.state import ALIASES

ACTOR: Final = "training"  # who gives a trained model its alias


class Registering(msgspec.Struct, frozen=True, kw_only=True):
    """That trained models go into the registry in *folder*, and which *alias* they get; empty: none."""

    folder: Path
    alias: str = ""


def registering_of(register: bool, registry: Path | None, alias: str | None) -> Registering | None:
    """What ``--register``, ``--registry`` and ``--alias`` ask for; ConfigError where they do not go together."""
    if not register:
        for option, value in (("--registry", registry), ("--alias", alias)):
            if value is not None:
                raise ConfigError(f"{option} {value}: is about the models of --register; give --register with it")
        return None
    wanted = (alias or "").strip().lower()
    if wanted == CHAMPION:
        raise ConfigError(
            f"--alias {alias}: a champion needs evidence; evaluate the model, then `quantum-trader registry promote`"
        )
    if wanted and wanted not in ALIASES:
        raise ConfigError(f"--alias {brief(alias)}: must be {' or '.join(one for one in ALIASES if one != CHAMPION)}")
    return Registering(folder=registry_folder(registry), alias=wanted)


def register_trained(
    wanted: Registering, model: Path, kind: str, notes: str, tell: Callable[[str], None]
) -> RegisteredModel:
    """Put the trained model in the folder *model* into the registry and give it its alias; *tell* says what was done.

    Doing it again changes nothing. The commit of this program is recorded, and its parents where the same arrays are
    registered already.
    """
    registry = open_registry(wanted.folder)
    made = registry.register_model(model, kind, git_commit=program_commit(), notes=notes)
    model_id = made.record.model_id
    tell(f"{'registered' if made.is_new else 'was registered already'}: {kind} {model_id}")
    if wanted.alias and registry.state.aliases.get(kind, {}).get(wanted.alias) != model_id:
        registry.promote(
            model_id, wanted.alias, actor=ACTOR, reason=f"trained: {notes}" if notes else "trained", seen_version=None,
            kind=kind,
        )
        tell(f"{wanted.alias}: {kind} {model_id}")
    return made
