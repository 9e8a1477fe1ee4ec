"""Small state files: written whole or not at all, private to their owner, and set aside when damaged."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from quantum_trader.domain.errors import InputError, brief, is_utf8_text
from quantum_trader.domain.private_files import create_file, make_missing_folders


def path_of(key: str, given: Path | str) -> Path:
    """*given* as a path; InputError that names *key* where it cannot be one."""
    if not isinstance(given, (str, Path)) or not is_utf8_text(str(given)) or "\0" in str(given):
        raise InputError(f"{key} = {brief(given)}: must be a path")
    return Path(given)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace *path* by *content* in one step, readable by its owner alone; OSError when that fails.

    The bytes are on disk before the name points at them, and a failed write leaves the old file and no other.
    """
    make_missing_folders(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        descriptor = create_file(partial)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(partial, path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable where the file system can; the content already is."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def set_aside(path: Path, why: str) -> str:
    """Rename *path* to a free name ending in *why* and a number; return a sentence saying what became of it."""
    for number in range(1, 1000):
        target = path.with_name(f"{path.name}.{why}-{number}")
        if target.exists():
            continue
        try:
            path.rename(target)
        except OSError as error:
            return f"{path.name} could not be set aside ({error.strerror})"
        return f"{path.name} was set aside as {target.name}"
    return f"{path.name} could not be set aside: remove old {path.name}.{why}-* files"
