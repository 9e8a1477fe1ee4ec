"""The checkpoint of a training: one file that holds everything that it goes on from, written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import UnsafePathError, read_private, why_unwritable
from quantum_trader.models.learned.artefact_arrays import read_arrays
from quantum_trader.policy.storage import write_atomically

CHECKPOINT_FILE: Final = "checkpoint.npz"
FORMAT: Final = 1
_MOST_BYTES: Final = 64 << 30  # of all arrays, unpacked
_HEADER: Final = "header"
_BEGIN_ANEW: Final = "remove it to begin anew, or name another folder"


class CheckpointHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the arrays of a checkpoint are of."""

    identity: dict[str, Any]  # of the plan
    groups: tuple[tuple[int, ...], ...]  # seeds that are trained at once
    group: int  # the one in training, from 0; all of them are done where it is their count
    update: int  # updates of this group that were made
    last_updates: int  # of these, counted towards the results
    elapsed_s: float  # time that all processes have trained
    device: str
    versions: dict[str, str]
    format: int = FORMAT


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A header and its arrays by name."""

    header: CheckpointHeader
    arrays: dict[str, npt.NDArray[Any]]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in *folder*. Raises StateError where it cannot be written; the one before stays."""
    path, packed = folder / CHECKPOINT_FILE, io.BytesIO()
    header = np.frombuffer(msgspec.json.encode(checkpoint.header), dtype=np.uint8)
    np.savez(packed, **{_HEADER: header}, **checkpoint.arrays)  # type: ignore[arg-type]
    try:
        write_atomically(path, packed.getvalue())
    except OSError as error:
        raise StateError(
            f"{path}: cannot be written ({why_unwritable(path, error)}); the checkpoint before is intact. Free space, "
            "then give the same command again to go on from it"
        ) from error


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in *folder*; None where there is none. Raises StateError for one that cannot be used.

    Reading it runs no code, and every array is held against its checksum.
    """
    path = folder / CHECKPOINT_FILE
    try:
        content = read_private(path)
    except FileNotFoundError:
        return None
    except UnsafePathError as error:
        raise StateError(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise StateError(f"{path}: cannot be read ({error.strerror}); put it back to go on from it") from error
    try:
        arrays = read_arrays(content, _MOST_BYTES)
        header = msgspec.json.decode(arrays.pop(_HEADER).tobytes(), type=CheckpointHeader)
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise StateError(f"{path}: is damaged ({error}); {_BEGIN_ANEW}") from None
    if header.format != FORMAT:
        raise StateError(f"{path}: format = {header.format!r}: this program reads {FORMAT}; {_BEGIN_ANEW}")
    return Checkpoint(header=header, arrays=arrays)


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a training that has ended."""
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
