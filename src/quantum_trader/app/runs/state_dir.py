"""A run's state folder: records, checkpoints and the lock, written so that a kill at any point loses nothing.

A checkpoint names how many bytes of each append-only file it covers. On restart the files are cut back to the
checkpoint and the bars after it are run again: the engine is deterministic, so the same bytes are written again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import (
    UnsafePathError,
    make_private_folder,
    open_private,
    open_to_read,
    read_private,
    why_unwritable,
)
from quantum_trader.policy.storage import set_aside, write_atomically

LOCAL_RUN: Final = "local-run"  # marks the folder of a run over the local venue
_MAGIC: Final = b"quantum-trader checkpoint 1\n"
_PRIVATE_UMASK: Final = 0o077
_LOCK_NAPS_S: Final = (0.02, 0.05, 0.1, 0.0)
_ARRAY: Final = "__array__"
_DAMAGED: Final = (
    "Nothing is traded from a damaged state: inspect the file, then remove it and start again "
    "(the recording is then run from its beginning), or choose another --state folder."
)


def pack(state: Any) -> bytes:
    """Encode a tree of plain values and numpy arrays."""
    return msgspec.msgpack.encode(state, enc_hook=_encode_array)


def sealed(state: Any) -> bytes:
    """*state* as a file that tells when a byte of it was changed."""
    payload = pack(state)
    return _MAGIC + _seal(payload) + b"\n" + payload


def unsealed(content: bytes) -> Any | None:
    """What :func:`sealed` was given; None when the file is not what it made."""
    head, _, rest = content.partition(b"\n")
    seal, _, payload = rest.partition(b"\n")
    return unpack(payload) if head + b"\n" == _MAGIC and seal == _seal(payload) else None


def _seal(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).hexdigest().encode()


def _encode_array(value: Any) -> Any:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return {_ARRAY: [value.dtype.str, list(value.shape), value.tobytes()]}
    if isinstance(value, np.generic):
        return value.item()
    kind = "an array of objects" if isinstance(value, np.ndarray) else type(value).__name__
    raise TypeError(f"cannot store {kind} in a checkpoint")


def unpack(content: bytes) -> Any:
    """Decode what :func:`pack` made."""
    return _restore(msgspec.msgpack.decode(content))


def _restore(value: Any) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            dtype, shape, raw = value[_ARRAY]
            return np.frombuffer(raw, dtype=np.dtype(dtype)).reshape(shape).copy()
        return {key: _restore(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restore(item) for item in value]
    return value


def is_held(path: Path) -> bool:
    """Whether a process holds the folder's lock; OSError when it has none. The lock is taken for an instant only."""
    descriptor = open_to_read(path / "lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def in_use(path: Path, option: str = "--state") -> str:
    """Why a start on a folder that is held is refused; *option* is the one that named it."""
    return f"{option} {path}: another run is using this folder; stop it or choose another"


class RecordFile:
    """Appends encoded records to ``records.jsonl``; buffered, flushed at each checkpoint."""

    advice = "Free space, then start again with the same --state: the run continues from its last checkpoint."

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self.path = path
        try:
            descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self._failed(error) from error
        self._handle: IO[bytes] = os.fdopen(descriptor, "r+b", buffering=1 << 20)
        self._handle.truncate(keep_bytes)
        self._handle.seek(keep_bytes)
        self.size = keep_bytes

    def append(self, line: bytes, topic: str = "", ts_ns: int = 0) -> None:
        """Append one record and its newline."""
        try:
            self._handle.write(line + b"\n")  # one write: whole in the buffer, or not at all
        except OSError as error:
            raise self._failed(error) from error
        self.size += len(line) + 1

    def sync(self) -> None:
        """Make everything appended so far durable."""
        try:
            self._handle.flush()
            os.fsync(self._handle.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Flush and close."""
        try:
            self._handle.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StateError:
        return StateError(f"{self.path}: cannot be written ({why_unwritable(self.path, error)}). {self.advice}")


class ScratchRecordFile(RecordFile):
    """Records of a run without a state folder: written beside their name, and given it when they are whole."""

    advice = "Nothing was left behind: free space or name another file, then run again."

    def __init__(self, path: Path) -> None:
        self._whole = path
        super().__init__(path.with_name(f".{path.name}.{os.getpid()}.partial"), 0)

    def publish(self) -> None:
        """Close, and give the records their name. Raises StateError when they could not all be written."""
        super().close()
        os.replace(self.path, self._whole)

    def close(self) -> None:
        """Throw away what was not published."""
        with suppress(OSError):
            self._handle.close()
        self.path.unlink(missing_ok=True)


def _named(path: Path, error: OSError) -> str:
    """The name of the file in *path* that *error* is about, and a blank; empty where it is *path* itself."""
    return "" if error.filename == str(path) else f"{Path(error.filename).name} "


def _open_lock(path: Path) -> int:
    """A descriptor of the lock that is there, for reading; -1 where there is none."""
    try:
        return open_to_read(path / "lock")
    except OSError:
        return -1


class StateDir:
    """One run's folder: a lock, a checkpoint, the records."""

    def __init__(self, path: Path, *, or_read_only: bool = False, option: str = "--state") -> None:
        """Make the folder where it is missing, and hold it; StateError when that cannot be, or another holds it.

        The error begins with *option*, the one that named the folder.
        *or_read_only*: hold the lock of a folder that is there but cannot be written, for who only closes positions.
        """
        self.path = path
        try:
            make_private_folder(path)
            self._lock = open_private(path / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            self._lock = _open_lock(path) if or_read_only else -1
            if self._lock < 0 and isinstance(error, UnsafePathError):
                raise StateError(f"{option} {path}: {_named(path, error)}{error.strerror}") from None
            if self._lock < 0:
                raise StateError(
                    f"{option} {path}: cannot be used ({error.strerror}); choose a writable folder"
                ) from error
        os.umask(_PRIVATE_UMASK)  # every file this process and its children make from now on is private
        if not self._take_lock():
            os.close(self._lock)
            raise StateError(in_use(path, option))
        self._sign()

    def _sign(self) -> None:
        """Leave in the lock which process holds it; empty when that cannot be written."""
        with suppress(OSError):
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _take_lock(self) -> bool:
        """Whether the lock is ours; asked again within a moment, because `status` may be looking at it."""
        for nap_s in _LOCK_NAPS_S:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(nap_s)
            else:
                return True
        return False

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Publish *state* atomically. Raises StateError where it cannot be; the one before stays."""
        path = self.path / "checkpoint"
        try:
            content = sealed(state)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise StateError(
                f"{path}: cannot be made ({error}); the previous checkpoint is intact. A model's state() holds plain "
                "values, and arrays of numbers or text"
            ) from error
        try:
            write_atomically(path, content)
        except OSError as error:
            raise StateError(
                f"{path}: cannot be written ({why_unwritable(path, error)}); the previous checkpoint is intact. "
                "Free space, then start again with the same --state to continue from it."
            ) from error

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint; None when there is none. A damaged one is set aside and reported."""
        path = self.path / "checkpoint"
        if not os.path.lexists(path):
            damaged = sorted(self.path.glob("checkpoint.damaged-*"))
            if damaged:
                raise StateError(f"{damaged[-1]}: {_DAMAGED}")
            return None
        try:
            state: dict[str, Any] | None = unsealed(read_private(path))
        except OSError as error:
            raise StateError(f"{path}: cannot be read ({error.strerror}); put it back to continue") from error
        if state is None:
            raise StateError(f"{path}: damaged; {set_aside(path, 'damaged')}. {_DAMAGED}")
        return state

    def check_records(self, size: int) -> None:
        """Raise StateError when the records are shorter than *size* bytes; to be asked before they are cut back."""
        path = self.path / "records.jsonl"
        if size and (not path.exists() or path.stat().st_size < size):
            raise StateError(
                f"{path}: shorter than its checkpoint says ({size} bytes); the records were cut. "
                "Choose another --state folder"
            )

    def record_lines(self, size: int) -> Iterator[bytes]:
        """The first *size* bytes of the records, line by line, without newlines."""
        if not size:
            return
        read = 0
        with open(open_to_read(self.path / "records.jsonl"), "rb") as handle:
            for line in handle:
                read += len(line)
                yield line[:-1]
                if read >= size:
                    return

    def close(self) -> None:
        """Release the folder."""
        os.close(self._lock)
