"""Files that only their owner may read, written atomically."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import (
    UnsafePathError,
    create_file,
    make_private_folder,
    open_private,
    why_unwritable,
)


def private_folder(path: Path) -> None:
    """Make *path* a folder, mode 0700 where it is new; StateError when it is not usable or not private."""
    try:
        make_private_folder(path)
    except UnsafePathError as error:
        raise StateError(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise StateError(f"{path}: cannot be made ({error.strerror}); choose a writable folder") from error


def create_private(path: Path, content: bytes = b"") -> bool:
    """Create *path* with *content*, mode 0600; False when it exists, StateError when it cannot be made."""
    private_folder(path.parent)
    try:
        descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
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
        with open(create_file(partial), "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StateError(f"{path}: cannot be written ({why_unwritable(path, error)}); nothing was changed") from error
