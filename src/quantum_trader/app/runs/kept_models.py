"""The models that took over in a run, kept in its state folder: it is continued, explained and proven with them alone.

Each is the file that ``registry export`` writes. It was verified when it took over; here its content must have the id
that the records name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from quantum_trader.domain.errors import DataError, StateError
from quantum_trader.domain.private_files import read_bounded, why_unwritable
from quantum_trader.lab.registry.kinds import KINDS, ReadModel
from quantum_trader.lab.registry.package import MOST_PACKAGE_BYTES, unpack_model
from quantum_trader.lab.registry.registry import PACKAGE_ENDING, RegisteredModel
from quantum_trader.pilot.artefact import CARD_FILE, Artefact, load_artefact
from quantum_trader.policy.storage import write_atomically

MODELS_FOLDER: Final = "models"  # in a state folder
PILOT_FOLDER: Final = "pilot"  # in a state folder: the pilot that its run began with
_ID: Final = re.compile(r"[0-9a-f]{64}")


class KeptModels:
    """The models in the state folder *state*."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def keep(self, model: RegisteredModel) -> None:
        """Keep a verified model; StateError where it cannot be written. One that is there already stays."""
        path = self._path(model.record.model_id)
        if path.exists():
            return
        try:
            write_atomically(path, model.package)
        except OSError as error:
            raise StateError(f"{path}: cannot be written ({why_unwritable(path, error)})") from error

    def read(self, model_id: str) -> ReadModel:
        """The model *model_id*; StateError where it is missing or is another one."""
        path = self._path(model_id)
        try:
            package = unpack_model(read_bounded(path, MOST_PACKAGE_BYTES), str(path))
            kind = KINDS.get(package.signed.record.kind)
            if kind is None:
                raise DataError(f"kind {package.signed.record.kind}: this program reads {', '.join(KINDS)}")
            model = kind.read(package.contents, path)
        except (OSError, DataError) as error:
            raise StateError(
                f"{path}: cannot be used ({error}); the run in {self.state} took this model over: put the file back, "
                "or write it with `quantum-trader registry export`"
            ) from None
        if model.model_id != model_id:
            raise StateError(f"{path}: holds the model {model.model_id}; put the right file back")
        return model

    def pilot(self, model_id: str) -> Artefact:
        """The pilot *model_id*: the one that the run began with, or one that took over; StateError without it."""
        begun = self.state / PILOT_FOLDER
        if (begun / CARD_FILE).exists():
            artefact = load_artefact(begun)
            if artefact.card.identity == model_id:
                return artefact
        found = self.read(model_id).artefact
        if not isinstance(found, Artefact):
            raise StateError(f"{self._path(model_id)}: is no pilot; put the right file back")
        return found

    def _path(self, model_id: str) -> Path:
        if not _ID.fullmatch(model_id):
            raise StateError(f"model {model_id!r}: is no id of a kept model")
        return self.state / MODELS_FOLDER / f"{model_id}{PACKAGE_ENDING}"
