"""The model registry of a user: where it lies, the models that runs take from it, and the commit of this program."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.model_watch import FollowedAlias
from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.kinds import PILOT
from quantum_trader.lab.registry.state import ALIASES
from quantum_trader.models.learned.artefact import SIGNAL
from quantum_trader.models.loading import REGISTRY_PREFIX, ModelSettings
from quantum_trader.pilot.artefact import Artefact

_GIT_TIMEOUT_S: Final = 10.0
_log: Final = logging.getLogger(__name__)


def registry_folder(given: Path | str | None) -> Path:
    """The folder *given*; this user's registry where none is: one for all runs, since a model outlives a run."""
    return Path(given) if given else Path.home() / ".local" / "state" / "quantum-trader" / "registry"


def open_registry(given: Path | str | None) -> ModelRegistry:
    """The registry in the folder *given*, or this user's."""
    return ModelRegistry(registry_folder(given))


def followed_pilot(model: str) -> FollowedAlias | None:
    """The alias that *model*, ``pilot.model`` of a run's settings, follows; None where it names one model for good."""
    alias = model.removeprefix(REGISTRY_PREFIX).strip()
    if not model.startswith(REGISTRY_PREFIX) or alias not in ALIASES:
        return None
    return FollowedAlias(role="pilot", kind=PILOT, alias=alias, named=f"{REGISTRY_PREFIX}{alias}")


def registered_pilot(model: str, registry: str) -> Artefact:
    """The pilot that *model* (``registry:NAME``) means, verified; DataError that says why where it may not be used."""
    name = model.removeprefix(REGISTRY_PREFIX).strip()
    if not name:
        raise ConfigError(f"pilot.model = {model!r}: names no model; write registry:champion, or registry: and an id")
    artefact = open_registry(registry).load_model(name, PILOT).artefact
    assert isinstance(artefact, Artefact)
    return artefact


def registered_settings(settings: ModelSettings, *, may_wait: bool = False) -> ModelSettings:
    """*settings* whose model is ``registry:NAME``, with the folder and the id of the model that it means, verified.

    An alias stays stated as what a run follows. The parameter *registry* names the folder of the registry; this user's
    without it. Raises DataError where the model may not be used, ConfigError for another parameter. *may_wait*: an
    alias whose model may not be used now is no error: a run that goes on has its model in its state folder.
    """
    name, given = settings.model.removeprefix(REGISTRY_PREFIX).strip(), dict(settings.params)
    registry = given.pop("registry", settings.registry)
    if not name or not isinstance(registry, str) or given:
        told = f"params = {sorted(given)!r}: only registry can be set" if given else (
            "names no model; write registry:champion, or registry: and an id"
        )
        raise ConfigError(f"--model {settings.model!r}: {told}")
    found = open_registry(registry)
    if name in ALIASES:
        settings = msgspec.structs.replace(
            settings, follows=f"{REGISTRY_PREFIX}{name}", registry=str(found.folder), params={}
        )
    try:
        record = found.load_model(name, SIGNAL).record
    except (DataError, StateError) as error:
        if not (may_wait and settings.follows):
            raise
        _log.warning("--model %s: %s", settings.model, error)
        return settings
    return with_registered(settings, found.model_folder(record.model_id), record.model_id, record.name)


def with_registered(settings: ModelSettings, folder: Path, model_id: str, name: str) -> ModelSettings:
    """*settings* with the trained model that lies in *folder*."""
    return msgspec.structs.replace(
        settings, model=str(folder), name=settings.name or name, params={"model": model_id}
    )


def followed_signals(models: Sequence[ModelSettings]) -> tuple[int, FollowedAlias] | None:
    """The place among the enabled *models* of the one that follows an alias, and the alias; None where none does.

    ConfigError where several do.
    """
    found = [(place, one) for place, one in enumerate(one for one in models if one.enabled) if one.follows]
    if len(found) > 1:
        named = " and ".join(one.follows for _, one in found)
        raise ConfigError(f"models: {named}: one model of a run may follow an alias; name the others by their ids")
    if not found:
        return None
    place, one = found[0]
    alias = one.follows.removeprefix(REGISTRY_PREFIX)
    return place, FollowedAlias(role="signals", kind=SIGNAL, alias=alias, named=one.follows)


def program_commit() -> str:
    """The git commit of this program, with ``+changes`` where files differ; empty where it is not in its repository."""
    folder = Path(__file__).resolve().parent
    if not _git(folder, "ls-files", "--error-unmatch", Path(__file__).name):
        return ""  # installed, perhaps inside the repository of another project
    commit = _git(folder, "rev-parse", "HEAD")
    return f"{commit}+changes" if commit and _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *words: str) -> str:
    """What git prints; empty where there is no git, or it refuses."""
    try:
        told = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""
