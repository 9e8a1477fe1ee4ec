"""A registry on disk: a folder per model, the state with a copy of its last good version, a private key.

A model's folder is written beside its place and renamed, so it is whole or not there. All writers hold one lock; what
an earlier one left unfinished is removed by the next.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import (
    create_file,
    make_private_folder,
    open_private,
    read_private,
    why_unwritable,
)
from quantum_trader.journal.keys import SigningKey, new_private_key
from quantum_trader.journal.segments import sync_folder
from quantum_trader.lab.registry.record import MOST_BYTES, MOST_FILES, MOST_RECORD_BYTES, RECORD_FILE
from quantum_trader.lab.registry.state import RegistryState, decode_registry, encode_registry
from quantum_trader.policy.policy_store_file import locked_store
from quantum_trader.policy.storage import set_aside, write_atomically

REGISTRY_FILE: Final = "registry.json"
COPY_FILE: Final = "registry.json.last-good"
KEY_FILE: Final = "signing-key.pem"
MODELS: Final = "models"
UNFINISHED: Final = "unfinished"
MOST_STATE_BYTES: Final = 8 << 20
_MODEL_FOLDER: Final = re.compile(r"[0-9a-f]{64}")
_UNCHANGED: Final = "nothing was changed"
_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO


class RegistryFolder:
    """The files of the registry in *path*. *pause* waits between two tries to become the one writer."""

    def __init__(self, path: Path, pause: Callable[[float], None]) -> None:
        self.path = path
        self._pause = pause

    # ---- the state ----
    def read_state(self) -> RegistryState:
        """The aliases and their history; an empty state where there is no registry. StateError where it is damaged."""
        copy = self._decoded(self.path / COPY_FILE)  # before the file: it may be replaced meanwhile, by a newer one
        file = self.path / REGISTRY_FILE
        state = self._decoded(file)
        if isinstance(state, RegistryState) and (not isinstance(copy, RegistryState) or state.version >= copy.version):
            return state
        if state is None and copy is None:
            return RegistryState()
        told = "it is older than it was" if isinstance(state, RegistryState) else state or "it is gone"
        raise StateError(
            f"{file}: cannot be used: {told}; no model is loaded by an alias. {COPY_FILE} beside it has the last good "
            f"version: compare them, copy it to {REGISTRY_FILE}, and repeat"
        )

    def _decoded(self, path: Path) -> RegistryState | str | None:
        """The state in *path*; a sentence where it cannot be used, None where there is no such file."""
        try:
            with open(open_private(path, os.O_RDONLY), "rb") as file:
                content = file.read(MOST_STATE_BYTES + 1)
            if len(content) > MOST_STATE_BYTES:
                return f"it is larger than {MOST_STATE_BYTES >> 20} MiB"
            return decode_registry(content)
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"it cannot be read: {error.strerror or error}"
        except ValueError as error:
            return str(error)

    def write_state(self, state: RegistryState) -> None:
        """Write *state*, then its copy. StateError where nothing was changed; the next change repairs a failed copy."""
        content = encode_registry(state)
        with _told(self.path / REGISTRY_FILE):
            write_atomically(self.path / REGISTRY_FILE, content)
        with contextlib.suppress(OSError):
            write_atomically(self.path / COPY_FILE, content)

    # ---- writers ----
    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one writer while the block runs, with the remains of earlier ones removed; StateError as a store."""
        with locked_store(self.path / REGISTRY_FILE, self._pause):
            with _told(self.path):
                self._remove_remains()
            yield

    def _remove_remains(self) -> None:
        """Remove what writers that were killed left behind; nobody else writes while the lock is held."""
        unfinished = self.path / UNFINISHED
        if unfinished.is_symlink():
            unfinished.unlink()
        elif unfinished.is_dir():
            shutil.rmtree(unfinished)
        for partial in self.path.glob(".*.partial"):
            partial.unlink()

    def signing_key(self) -> SigningKey:
        """This registry's own key, made on first use; to be called under the lock.

        StateError where others may read it.
        """
        path = self.path / KEY_FILE
        with _told(path):
            if not os.path.lexists(path):
                write_atomically(path, new_private_key())
            mode = stat.S_IMODE(path.lstat().st_mode)
            content = read_private(path)
        if mode & _OTHERS_MAY:
            raise StateError(
                f"{path}: has mode {mode:04o}, which lets others read it; run chmod 600 on it. Where somebody may "
                "have copied it, remove it, register a model, and withdraw trust with `registry distrust`"
            )
        return SigningKey.from_pem(path, content)

    # ---- models ----
    def model_folder(self, model_id: str) -> Path:
        """Where the model lies or would lie."""
        return self.path / MODELS / model_id

    def model_ids(self) -> list[str]:
        """The ids of the models that have a folder, in their order; StateError where they cannot be listed."""
        folder = self.path / MODELS
        try:
            return sorted(one.name for one in folder.iterdir() if _MODEL_FOLDER.fullmatch(one.name))
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise StateError(
                f"{folder}: is no folder, and the models lie in one; name the folder of a registry with --registry, or "
                "move the file away, then register or import the models again"
            ) from None
        except OSError as error:
            raise StateError(f"{folder}: cannot be read: {error.strerror or error}; let this user read it") from None

    def record_content(self, model_id: str) -> bytes:
        """The model's ``model.json``; OSError where it cannot be read."""
        return _bounded(self.model_folder(model_id) / RECORD_FILE, MOST_RECORD_BYTES)

    def contents(self, model_id: str) -> dict[str, bytes]:
        """Every file of the model but its record, by name; OSError where one cannot be read, or there are too many."""
        found: dict[str, bytes] = {}
        folder = self.model_folder(model_id)
        for path in sorted(folder.iterdir()):
            if len(found) > MOST_FILES:
                raise OSError(errno.EFBIG, f"it holds more than {MOST_FILES} files", str(folder))
            if path.name != RECORD_FILE:
                found[path.name] = _bounded(path, MOST_BYTES)
        return found

    def write_model(self, model_id: str, record: bytes, contents: Mapping[str, bytes]) -> None:
        """Put the model in its place, whole or not at all; what lies there is set aside. StateError where it fails."""
        self.prepare_model(model_id, record, contents)
        self.place_model(model_id)

    def prepare_model(self, model_id: str, record: bytes, contents: Mapping[str, bytes]) -> None:
        """Write the model beside its place, so that :meth:`place_model` only renames it. StateError where it fails."""
        made, place = self.path / UNFINISHED / model_id, self.model_folder(model_id)
        with _told(place):
            make_private_folder(made)
            for name, content in {**contents, RECORD_FILE: record}.items():
                with open(create_file(made / name), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            sync_folder(made)
            make_private_folder(place.parent)

    def place_model(self, model_id: str, changed: str = _UNCHANGED) -> None:
        """Put the model that was prepared in its place; what lies there is set aside.

        StateError where it fails, which says with *changed* what has changed so far.
        """
        made, place = self.path / UNFINISHED / model_id, self.model_folder(model_id)
        with _told(place, changed):
            if os.path.lexists(place):
                set_aside(place, "damaged")
            os.rename(made, place)
            sync_folder(place.parent)


def _bounded(path: Path, most: int) -> bytes:
    """The content of *path*; OSError for a link, for no regular file, and for more than *most* bytes."""
    with open(open_private(path, os.O_RDONLY), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"{path.name} is larger than {most >> 20} MiB")
    return content


@contextlib.contextmanager
def _told(place: Path, changed: str = _UNCHANGED) -> Iterator[None]:
    """An OSError of the block as a StateError that names what could not be written, and what has *changed*."""
    try:
        yield
    except OSError as error:
        where = error.filename or place
        raise StateError(f"{where}: cannot be written ({why_unwritable(Path(where), error)}); {changed}") \
            from error
