"""The policy store on disk: a private file, a copy of its last good version, and a lock that writers hold.

A change writes the file first and the copy after it, both whole or not at all. So a file is never older than its copy,
and never absent where there is one; a reader that finds either knows that something else changed the folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.private_files import make_private_folder, open_private, why_unwritable
from quantum_trader.policy.policy_store_state import NewerFormatError, StoreState, decode_state, encode_state
from quantum_trader.policy.storage import set_aside, write_atomically

STORE_FILE: Final = "policy_store.json"
COPY: Final = ".last-good"
LOCK: Final = ".lock"
MOST_BYTES: Final = 4 << 20
_NAP_S: Final = 0.02
_TRIES: Final = 250


class StoreReading(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at the store found.

    *state* is the last good one. *trouble* is a sentence where it may not be used, "" otherwise; *damaged* says that a
    change sets the file aside and continues from *state*. *notice* is a sentence about something that stops nothing.
    """

    state: StoreState = StoreState()
    trouble: str = ""
    damaged: bool = False
    notice: str = ""

    @property
    def pilot(self) -> PilotSettings:
        """The settings in force: mode OFF where the store cannot be used."""
        return self.state.pilot.stopped() if self.trouble else self.state.pilot


def read_store(path: Path) -> StoreReading:
    """The store in the file *path*; the defaults where there is none. Changes nothing and raises nothing."""
    kept, notice = _copy_of(path)  # before the file: it may be replaced meanwhile, by a newer one alone
    last_good = kept or StoreState()
    try:
        state = decode_state(_content(path))
    except FileNotFoundError:
        if kept is None and not notice:
            return StoreReading()
        told = f"{path.name} is gone, and {_beside(path, COPY).name} is still there"
        return StoreReading(state=last_good, trouble=told, damaged=True)
    except OSError as error:
        told = f"{path.name} cannot be read: {error.strerror or error}"
        return StoreReading(state=last_good, trouble=told)
    except NewerFormatError as error:
        return StoreReading(state=last_good, trouble=f"{path.name} {error}; use the program that wrote it")
    except ValueError as error:
        return StoreReading(state=last_good, trouble=f"{path.name} is damaged ({error})", damaged=True)
    if state.version < last_good.version:
        told = f"{path.name} has version {state.version}, and version {last_good.version} was in force before"
        return StoreReading(state=last_good, trouble=told, damaged=True)
    return StoreReading(state=state, notice=notice)


@contextmanager
def locked_store(path: Path, pause: Callable[[float], None]) -> Iterator[None]:
    """Be the one writer of the store while the block runs; the folder is made where it is missing.

    Raises StateError where the folder or the lock cannot be used, or another writer holds the lock for 5 seconds.
    """
    lock = _beside(path, LOCK)
    try:
        make_private_folder(path.parent)
        descriptor = open_private(lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StateError(_unusable(error.filename or lock, error)) from error
    try:
        _take(descriptor, lock, pause)
        yield
    finally:
        os.close(descriptor)


def write_store(path: Path, state: StoreState) -> str:
    """Write *state*, then its copy; a sentence where only the copy failed. StateError where nothing was changed."""
    content = encode_state(state)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise StateError(_unusable(path, error)) from error
    copy = _beside(path, COPY)
    try:
        write_atomically(copy, content)
    except OSError as error:
        return f"{copy.name} could not be written ({why_unwritable(copy, error)}); the next change writes it anew"
    return ""


def set_aside_damaged(path: Path) -> str:
    """Rename the store's file, and a copy that is damaged too; a sentence saying what became of them.

    StateError where that fails: a damaged file is never written over.
    """
    copy = _beside(path, COPY)
    told = []
    for one in (path, copy) if _copy_of(path)[0] is None else (path,):
        if not os.path.lexists(one):
            continue
        told.append(set_aside(one, "damaged"))
        if os.path.lexists(one):
            raise StateError(f"{told[-1]}; rename it, and repeat. Nothing was changed")
    return "; ".join(told)


def _copy_of(path: Path) -> tuple[StoreState | None, str]:
    """The state in the copy, None where there is none; and a sentence where the copy cannot be used."""
    copy = _beside(path, COPY)
    try:
        return decode_state(_content(copy)), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{copy.name} cannot be read: {error.strerror or error}"
    except ValueError as error:
        return None, f"{copy.name} is damaged ({error}); the next change writes it anew"


def _content(path: Path) -> bytes:
    """The content of *path*; OSError for a link, for no regular file, and for one that others may write."""
    with open(open_private(path, os.O_RDONLY), "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
    return content


def _take(descriptor: int, lock: Path, pause: Callable[[float], None]) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(_NAP_S)
        except OSError as error:
            raise StateError(_unusable(lock, error)) from error
        else:
            return
    raise StateError(
        f"{lock}: another process has held the store for {_TRIES * _NAP_S:g} seconds; repeat. Nothing was changed"
    )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _unusable(place: str | Path, error: OSError) -> str:
    return f"{place}: cannot be written ({why_unwritable(Path(place), error)}); nothing was changed"
