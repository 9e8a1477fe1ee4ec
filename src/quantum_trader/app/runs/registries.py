"""The model registry of a user: where it lies, the models that runs take from it, and the commit of this program."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.settings import REGISTRY_PREFIX
from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.kinds import PILOT
from quantum_trader.models.learned.artefact import SIGNAL
from quantum_trader.models.loading import ModelSettings
from quantum_trader.pilot.artefact import Artefact

_GIT_TIMEOUT_S: Final = 10.0


def registry_folder(given: Path | str | None) -> Path:
    """The folder *given*; this user's registry where none is: one for all runs, since a model outlives a run."""
    return Path(given) if given else Path.home() / ".local" / "state" / "quantum-trader" / "registry"


def open_registry(given: Path | str | None) -> ModelRegistry:
    """The registry in the folder *given*, or this user's."""
    return ModelRegistry(registry_folder(given))


def registered_pilot(model: str, registry: str) -> Artefact:
    """The pilot that *model* (``registry:NAME``) means, verified; DataError that says why where it may not be used."""
    name = model.removeprefix(REGISTRY_PREFIX).strip()
    if not name:
        raise ConfigError(f"pilot.model = {model!r}: names no model; write registry:champion, or registry: and an id")
    artefact = open_registry(registry).load_model(name, PILOT).artefact
    assert isinstance(artefact, Artefact)
    return artefact


def registered_settings(settings: ModelSettings) -> ModelSettings:
    """*settings* whose model is ``registry:NAME``, with the folder and the id of the model that it means, verified.

    The id is stated, so that a run which goes on uses the same model, whichever has the alias by then. The parameter
    *registry* names the folder of the registry; this user's without it. Raises DataError where the model may not be
    used, ConfigError for another parameter.
    """
    name, given = settings.model.removeprefix(REGISTRY_PREFIX).strip(), dict(settings.params)
    registry = given.pop("registry", "")
    if not name or not isinstance(registry, str) or given:
        told = f"params = {sorted(given)!r}: only registry can be set" if given else (
            "names no model; write registry:champion, or registry: and an id"
        )
        raise ConfigError(f"--model {settings.model!r}: {told}")
    found = open_registry(registry)
    record = found.load_model(name, SIGNAL).record
    return msgspec.structs.replace(
        settings, model=str(found.model_folder(record.model_id)), name=settings.name or record.name,
        params={"model": record.model_id},
    )


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
