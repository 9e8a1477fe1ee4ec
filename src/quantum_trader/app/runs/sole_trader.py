"""One process of a user trades with a key: a lock per key, so that two state folders cannot share an account."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import make_private_folder, open_private, open_to_read
from quantum_trader.venues.binance.keys import ApiKeys


@contextmanager
def sole_trader(keys: ApiKeys | None) -> Iterator[None]:
    """Be the one process of this user that trades with *keys*: two would take each other's orders for strays.

    Raises StateError when another does.
    """
    if keys is None:
        yield
        return
    path = _lock_path(keys)
    try:
        make_private_folder(path.parent)
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StateError(f"{path.parent}: cannot be used ({error.strerror}); nothing was started") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StateError(_taken(keys)) from None
    try:
        yield
    finally:
        os.close(descriptor)


def other_trader(keys: ApiKeys | None) -> str:
    """Why a start with *keys* would be refused: another process trades with them. Empty when none does."""
    if keys is None:
        return ""
    try:
        descriptor = open_to_read(_lock_path(keys))
    except OSError:  # no process has ever traded with them
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _taken(keys)
    else:
        return ""
    finally:
        os.close(descriptor)


def _lock_path(keys: ApiKeys) -> Path:
    name = hashlib.blake2b(f"{keys.endpoint}/{keys.key.reveal()}".encode(), digest_size=12).hexdigest()
    return Path.home() / ".local" / "state" / "quantum-trader" / "accounts" / f"{name}.lock"


def _taken(keys: ApiKeys) -> str:
    return (
        f"key {keys.masked} of {keys.endpoint}: another process trades with it, from another --state folder; stop "
        "that one first, or use another account"
    )
