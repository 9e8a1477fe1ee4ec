"""The manifest: the list of Parquet parts. Replacing it publishes, merges and removes parts.

One line of JSON and one with its crc32: a changed digit would hide or duplicate events.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import create_file, make_private_folder, open_private, read_private
from quantum_trader.journal.schema import EventColumn
from quantum_trader.journal.segments import Damage, sync_folder

NAME: Final = "manifest.json"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file: *path* within the lake; numbers *first* to *last* of one producer, or 0 after a merge.

    *form* names its typed columns (``schema.Shape.form``), "" where it has none; without a *payload* column the event's
    JSON is made from the columns that the manifest's ``forms`` lists.
    """

    path: str
    day: str
    kind: str
    producer: str
    first: int
    last: int
    rows: int
    size: int
    crc: int
    form: str = ""
    payload: bool = True


class Published(msgspec.Struct, frozen=True):
    """The last event number of a producer in the lake."""

    seq: int


class Retired(msgspec.Struct, frozen=True):
    """A file that is no longer part of the lake, kept for a while for readers that have it open."""

    path: str
    since_ns: int


class Manifest(msgspec.Struct, kw_only=True):
    """The lake's contents."""

    version: int = 1
    merges: int = 0
    parts: list[Part] = []
    producers: dict[str, Published] = {}
    retired: list[Retired] = []
    damage: list[Damage] = []
    forms: dict[str, list[EventColumn]] = {}
    removed: int | None = None  # events removed by retention; None in a manifest that an older version began


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest in force; an empty one when there is none yet."""
    path = directory / "lake" / NAME
    try:
        text, _, check = read_private(path).partition(b"\n")
    except FileNotFoundError:
        return Manifest(removed=0)
    try:
        if check != _check(text):
            raise ValueError("its checksum does not match")
        return msgspec.json.decode(text, type=Manifest)
    except ValueError as error:
        raise StateError(
            f"{path}: damaged ({error}); restore it. Nothing else is touched: parts are Parquet files that can be read "
            "without it, and what is logged meanwhile waits in wal/"
        ) from None


def _check(text: bytes) -> bytes:
    return b"%08x\n" % zlib.crc32(text)


@contextmanager
def changing(directory: Path) -> Iterator[Manifest]:
    """Lock the manifest and yield it for changes; it is written and takes force when the block ends."""
    lake = directory / "lake"
    make_private_folder(lake)
    lock = open_private(lake / "manifest.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        manifest = read_manifest(directory)
        yield manifest
        temporary = lake / f"{NAME}.new"
        text = msgspec.json.encode(manifest)
        write_durably(temporary, text + b"\n" + _check(text))
        os.replace(temporary, lake / NAME)
        sync_folder(lake)
    finally:
        os.close(lock)


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write *path*, readable by its owner alone, and wait until the disk has it."""
    with open(create_file(path), "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
