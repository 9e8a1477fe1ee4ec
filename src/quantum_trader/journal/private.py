"""Files that only their owner may read, written atomically."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from quantum_trader.domain.errors import StateError

PRIVATE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700


def private_folder(path: Path) -> None:
    """Make *path* a folder, readable by its owner alone where it is new; StateError when that fails."""
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{path}: cannot be made ({error.strerror}); choose a writable folder") from error


def create_private(path: Path, content: bytes = b"") -> bool:
    """Create *path* with *content*, mode 0600; False when it exists, StateError when it cannot be made."""
    private_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError:
        return False
    except OSError as error:
        raise StateError(f"{path}: cannot be made ({error.strerror})") from error
    with open(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    return True


def write_private(path: Path, content: bytes) -> None:
    """Replace *path* by *content* in one step, mode 0600; StateError when that fails; the old file then stays."""
    private_folder(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), PRIVATE)
        with open(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StateError(f"{path}: cannot be written ({error.strerror}); nothing was changed") from error
