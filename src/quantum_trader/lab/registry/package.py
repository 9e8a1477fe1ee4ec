"""A model as one file: an uncompressed tar archive of its record and its files, the same bytes for the same model.

A folder with one such file, or with the files of one, stands for it.

An archive from elsewhere is read in memory, and nothing of it touches the disk before it is checked.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import DataError, InputError, escaped
from quantum_trader.domain.private_files import read_plain
from quantum_trader.lab.registry.record import (
    MOST_BYTES,
    MOST_FILES,
    MOST_RECORD_BYTES,
    RECORD_FILE,
    SignedRecord,
    check_file_name,
    decode_record,
)

MOST_PACKAGE_BYTES: Final = MOST_BYTES + MOST_RECORD_BYTES + (1 << 20)
PACKAGE_ENDING: Final = ".tar"
_PICKLES: Final = (".pkl", ".pickle", ".joblib")
_MODE: Final = 0o600
_MOST_LISTED: Final = 10  # names of files in an error
_SHOWN: Final = 12  # digits of an id in the name of a file


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds."""

    signed: SignedRecord
    record_content: bytes  # model.json
    contents: dict[str, bytes]  # the model's files, by name


def pack_model(record_content: bytes, contents: Mapping[str, bytes]) -> bytes:
    """The archive of a model; the record comes first."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in ((RECORD_FILE, record_content), *sorted(contents.items())):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), _MODE
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def unpack_model(content: bytes, place: str) -> Package:
    """What the archive *content* holds; DataError that names *place* for anything but a package of a model.

    Links, folders, devices, names that lead out of a folder, names twice, and files that are too large are refused, and
    so is an archive with anything besides.
    """
    try:
        found = _members(content, place)
    except (tarfile.TarError, ValueError, EOFError, OSError, OverflowError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{place}: is not a package of a model: {error}") from None
    record_content = found.pop(RECORD_FILE, None)
    if record_content is None:
        raise DataError(f"{place}: is not a package of a model: it has no {RECORD_FILE}")
    if pack_model(record_content, found) != content:
        raise DataError(
            f"{place}: holds more than the files of a model, or was not written by `registry export`; export it again"
        )
    return Package(signed=decode_record(record_content, place), record_content=record_content, contents=found)


def package_at(path: Path) -> Package:
    """The package in the file *path*; of a folder the one that it holds, or whose files it holds.

    DataError as :func:`unpack_model`, and for a folder with none or several.
    """
    if not path.is_dir():
        return unpack_model(_content(path, MOST_PACKAGE_BYTES), str(path))
    names = sorted(one.name for one in path.iterdir())
    if RECORD_FILE in names:
        return _unpacked(path, names)
    packages = [name for name in names if name.endswith(PACKAGE_ENDING)]
    if len(packages) == 1:
        return unpack_model(_content(path / packages[0], MOST_PACKAGE_BYTES), str(path / packages[0]))
    if packages:
        raise DataError(f"{path}: holds {len(packages)} packages: {_listed(packages)}; name one of them")
    raise DataError(
        f"{path}: holds no package: neither a file {PACKAGE_ENDING} of `registry export` nor {RECORD_FILE}; it holds "
        f"{_listed(names) or 'nothing'}"
    )


def _unpacked(folder: Path, names: list[str]) -> Package:
    """The package whose files lie in *folder* under these *names*."""
    if len(names) > MOST_FILES + 1:
        raise DataError(f"{folder}: holds more than {MOST_FILES} files")
    contents, left = {}, MOST_BYTES
    for name in names:
        if name != RECORD_FILE:
            contents[name] = _content(folder / name, left)
            left -= len(contents[name])
    record_content = _content(folder / RECORD_FILE, MOST_RECORD_BYTES)
    return Package(
        signed=decode_record(record_content, str(folder / RECORD_FILE)), record_content=record_content,
        contents=contents,
    )


def _content(path: Path, most: int) -> bytes:
    """The content of a file that a person names; DataError where it cannot be read."""
    try:
        return read_plain(path, most)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _listed(names: list[str]) -> str:
    """*names* in a few words."""
    more = len(names) - _MOST_LISTED
    return ", ".join(map(escaped, names[:_MOST_LISTED])) + (f" and {more:,} more" if more > 0 else "")


def package_file(target: Path, kind: str, model_id: str) -> Path:
    """The file for the package of a model: *target*, or one that is named after the model in the folder *target*.

    What is there says whether it is a folder; else a name without an ending is one.
    """
    is_folder = target.is_dir() or not (target.suffix or os.path.lexists(target))
    return target / f"{kind}-{model_id[:_SHOWN]}{PACKAGE_ENDING}" if is_folder else target


def ending_notice(file: Path) -> str:
    """What to tell of a package with another ending than .tar; empty for .tar."""
    if file.suffix == PACKAGE_ENDING:
        return ""
    what = "and no pickle: it runs no code, and only" if file.suffix in _PICKLES else "whatever its ending says:"
    return (
        f"{file}: is a package of this program (a tar archive of the model's record, signature and files), {what} "
        "`registry import` reads it"
    )


def _members(content: bytes, place: str) -> dict[str, bytes]:
    """The regular files of the archive, by name."""
    found: dict[str, bytes] = {}
    left = MOST_PACKAGE_BYTES
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for entry in archive:
            try:
                name = check_file_name(entry.name)
            except InputError as error:
                raise DataError(f"{place}: {error}") from None
            if entry.type != tarfile.REGTYPE:
                raise DataError(f"{place}: {name} is no regular file; nothing of the package was taken")
            left -= entry.size
            if left < 0 or len(found) > MOST_FILES or entry.size < 0:
                raise DataError(f"{place}: holds more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB")
            if name in found:
                raise DataError(f"{place}: {name} is in it twice")
            file = archive.extractfile(entry)
            found[name] = file.read(entry.size) if file is not None else b""
    return found
