"""A model as one file: an uncompressed tar archive of its record and its files, the same bytes for the same model.

An archive from elsewhere is read in memory, and nothing of it touches the disk before it is checked.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Final

import msgspec

from quantum_trader.domain.errors import DataError, InputError
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
_MODE: Final = 0o600


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
