"""The steps of a training on disk: each is kept when it is done, so that a training that was killed goes on from there.

A step is a pure function of the samples and the settings. What it gives is a file of arrays, read without running code.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import make_private_folder, read_private, why_unwritable
from quantum_trader.lab.pilot.training_plan import check_identity
from quantum_trader.models.learned.artefact_arrays import read_arrays
from quantum_trader.policy.storage import write_atomically

STEPS: Final = "steps"
PLAN_FILE: Final = "plan.json"
_MOST_BYTES: Final = 4 << 30  # of the arrays of a step, unpacked
StepArrays = dict[str, npt.NDArray[Any]]


class BegunTraining(msgspec.Struct, frozen=True, kw_only=True):
    """``plan.json``: what a training that has begun is of."""

    identity: dict[str, Any]
    versions: dict[str, str]
    begun_ns: int


class LearningSteps:
    """The steps of the training in *folder*; :meth:`begin` comes first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / STEPS
        self.notices: list[str] = []  # what a person is to be told
        self.resumed = 0  # steps that were there already
        self.begun_ns = 0

    def begin(self, identity: Mapping[str, Any], versions: Mapping[str, str], now_ns: int) -> None:
        """Begin, or go on with what is there.

        Raises ConfigError where the folder has a training of other settings or data, StateError where it cannot be
        read or written.
        """
        plain = msgspec.json.decode(msgspec.json.encode(identity))
        path = self.folder / PLAN_FILE
        try:
            make_private_folder(self.folder)
            there = msgspec.json.decode(read_private(path), type=BegunTraining)
        except FileNotFoundError:
            there = BegunTraining(identity=plain, versions=dict(versions), begun_ns=now_ns)
            self._write(path, msgspec.json.encode(there))
        except (OSError, msgspec.DecodeError) as error:
            raise StateError(f"{path}: cannot be used ({error}); remove {self.folder} to begin anew") from None
        check_identity(str(self.folder.parent), there.identity, plain)
        for name, number in versions.items():
            if there.versions.get(name) != number:
                self.notices.append(
                    f"{name} was {there.versions.get(name)} and is {number}: the models may differ from those of a "
                    "training that was not interrupted"
                )
        self.begun_ns = there.begun_ns

    def done(self, name: str) -> bool:
        """Whether the step is done."""
        return self._path(name).exists()

    def result(self, name: str, make: Callable[[], StepArrays]) -> StepArrays:
        """What the step gives: from its file, or made and kept. Raises StateError where that cannot be."""
        path = self._path(name)
        if path.exists():
            self.resumed += 1
            return self._read(path)
        made, packed = make(), io.BytesIO()
        np.savez(packed, **made)  # type: ignore[arg-type]
        self._write(path, packed.getvalue())
        return made

    def remove(self) -> None:
        """Remove the steps of a training that has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _read(self, path: Path) -> StepArrays:
        try:
            return read_arrays(read_private(path), _MOST_BYTES)
        except (OSError, ValueError) as error:
            raise StateError(f"{path}: is damaged ({error}); remove it, and the step is made again") from None

    def _write(self, path: Path, content: bytes) -> None:
        try:
            write_atomically(path, content)
        except OSError as error:
            raise StateError(
                f"{path}: cannot be written ({why_unwritable(path, error)}); free space, then give the same command "
                "again to go on"
            ) from error
