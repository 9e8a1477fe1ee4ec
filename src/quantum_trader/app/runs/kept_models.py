"""The models that took over in a run, kept in its state folder: it is continued, explained and proven with them alone.

Each is a folder of the files that the registry has of it. They were verified when it took over; here their content must
be the model with the id that the records name.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from quantum_trader.domain.errors import DataError, QuantumTraderError, StateError
from quantum_trader.lab.registry.disk import MODELS, UNFINISHED, RegistryFolder
from quantum_trader.lab.registry.kinds import KINDS, ReadModel
from quantum_trader.lab.registry.record import RECORD_FILE, decode_record
from quantum_trader.lab.registry.registry import RegisteredModel
from quantum_trader.pilot.artefact import CARD_FILE, Artefact, load_artefact
from quantum_trader.policy import clock

PILOT_FOLDER: Final = "pilot"  # in a state folder: the pilot that its run began with
_ID: Final = re.compile(r"[0-9a-f]{64}")


class KeptModels:
    """The models in the state folder *state*, each in ``models/<id>``."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._disk = RegistryFolder(state, clock.pause)

    def folder(self, model_id: str) -> Path:
        """Where the files of the model lie or would lie."""
        if not _ID.fullmatch(model_id):
            raise StateError(f"model {model_id!r}: is no id of a kept model")
        return self._disk.model_folder(model_id).absolute()

    def keep(self, model: RegisteredModel) -> None:
        """Keep a verified model, whole or not at all; StateError where it cannot be written.

        One that is there already stays, unless it is damaged.
        """
        model_id = model.record.model_id
        with suppress(StateError):
            self.read(model_id)
            return
        with suppress(FileNotFoundError):
            shutil.rmtree(self.state / UNFINISHED / model_id)  # of a process that was killed
        self._disk.write_model(model_id, model.record_content, model.contents)

    def read(self, model_id: str) -> ReadModel:
        """The model *model_id*; StateError where it is missing or is another one."""
        folder = self.folder(model_id)
        try:
            kind = decode_record(self._disk.record_content(model_id), RECORD_FILE).record.kind
            if kind not in KINDS:
                raise DataError(f"kind {kind}: this program reads {', '.join(KINDS)}")
            model = KINDS[kind].read(self._disk.contents(model_id), folder)
        except (OSError, KeyError, QuantumTraderError) as error:
            told = f"{error.filename} is missing" if isinstance(error, FileNotFoundError) else str(error)
            raise StateError(
                f"{folder}: cannot be used ({told}); the run in {self.state} used this model: put the folder back, as "
                f"it lies in its registry's {MODELS}/"
            ) from None
        if model.model_id != model_id:
            raise StateError(f"{folder}: holds the model {model.model_id}; put the right folder back")
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
            raise StateError(f"{self.folder(model_id)}: is no pilot; put the right folder back")
        return found
