"""The input log of a live session on disk: one append a time, complete or not there at all.

What :meth:`FileInputLog.append` has written survives the death of the process (the operating system holds it); a power
cut can take what was written since the last :meth:`sync`. An entry is its length, a checksum and its bytes; one that
was cut ends the log, and the engine never saw it.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import make_private_folder, open_private, read_private, why_unwritable

_HEAD: Final = struct.Struct("<II")
_SEGMENT_BYTES: Final = 64 << 20
_NAME: Final = "inputs-{:08d}.log"


class FileInputLog:
    """Inputs in numbered files of one folder, for its owner alone."""

    def __init__(self, folder: Path) -> None:
        """Open *folder* to append behind its last whole entry. Raises StateError when it cannot be used."""
        self.folder = folder
        try:
            make_private_folder(folder)
            numbers = self._numbers()
            self._number = numbers[-1] if numbers else 1
            self._torn = False
            self._descriptor = self._open(self._number)
            self._size = _whole(read_private(self._path(self._number)))[1]
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            raise StateError(f"{folder}: cannot be used ({error.strerror}); choose another --state folder") from error

    def append(self, entry: bytes) -> None:
        """Write one entry; StateError when it could not be written whole, and then none of it is there."""
        block = _HEAD.pack(len(entry), zlib.crc32(entry)) + entry
        try:
            if self._torn:  # what a failed append left behind could not be cut off: go on in a file of its own
                self._rotate()
            if os.write(self._descriptor, block) != len(block):
                raise OSError(28, os.strerror(28))
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError:
                self._torn = True
            raise StateError(
                f"{self._path(self._number)}: cannot be written ({why_unwritable(self.folder, error)}); nothing opens "
                "until it can"
            ) from error
        self._size += len(block)
        if self._size >= _SEGMENT_BYTES:
            with suppress(OSError):  # it goes on in the old file, and the next append tries again
                self._rotate()

    def mark(self) -> list[int]:
        """The place behind the last entry: number of the file, bytes in it."""
        return [self._number, self._size]

    def since(self, mark: Any) -> list[bytes]:
        """The entries behind *mark*; StateError where a file in between is damaged or gone."""
        first, offset = mark if mark is not None else (1, 0)
        entries: list[bytes] = []
        for number in range(first, self._number + 1):
            path = self._path(number)
            try:
                content = self._content(number)
            except OSError as error:
                raise StateError(f"{path}: cannot be read ({error.strerror}); put it back to continue") from error
            found, end = _whole(content[offset:] if number == first else content)
            if number < self._number and end + (offset if number == first else 0) != len(content):
                raise StateError(f"{path}: damaged at byte {end}; put back a copy, or start a new --state folder")
            entries += found
        return entries

    def sync(self) -> None:
        """Make everything written so far survive a power cut. Raises StateError when that fails."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise StateError(f"{self._path(self._number)}: cannot be made durable ({error.strerror})") from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _content(self, number: int) -> bytes:
        """What file *number* holds, without what a failed append left behind its end."""
        content, cut = read_private(self._path(number)), self._path(number).with_suffix(".cut")
        return content[:int(read_private(cut))] if cut.exists() else content

    def _rotate(self) -> None:
        os.fdatasync(self._descriptor)
        if self._torn:
            cut = open_private(self._path(self._number).with_suffix(".cut"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                os.write(cut, str(self._size).encode())
            finally:
                os.close(cut)
        fresh = self._open(self._number + 1)
        os.close(self._descriptor)
        self._number += 1
        self._descriptor, self._size, self._torn = fresh, 0, False

    def _open(self, number: int) -> int:
        return open_private(self._path(number), os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def _path(self, number: int) -> Path:
        return self.folder / _NAME.format(number)

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem.partition("-")[2]) for path in self.folder.glob("inputs-*.log"))


def _whole(content: bytes) -> tuple[list[bytes], int]:
    """The whole entries at the beginning of *content*, and where they end."""
    entries, position = [], 0
    while position + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, position)
        entry = content[position + _HEAD.size:position + _HEAD.size + length]
        if len(entry) != length or zlib.crc32(entry) != checksum:
            break
        entries.append(entry)
        position += _HEAD.size + length
    return entries, position


def whole_entries(content: bytes) -> list[bytes]:
    """The whole entries at the beginning of a file's *content*."""
    return _whole(content)[0]
