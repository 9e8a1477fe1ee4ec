"""A small state file that a command line changes and a running process follows.

Its content is one state with a revision and the changes that led there. What cannot be read is set aside, and the
state falls back to one that its owner names; a write finds out where another process has written meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import make_missing_folders, read_private
from quantum_trader.policy.storage import set_aside, write_atomically

_Stamp = tuple[int, int, int]


class FollowedState(Protocol):
    """A state with its revision and its changes, oldest first; each change has a revision of its own."""

    @property
    def revision(self) -> int:
        """Number of the last change."""
        ...

    @property
    def changes(self) -> tuple[Any, ...]:
        """The latest changes."""
        ...


Followed = TypeVar("Followed", bound=FollowedState)


class FollowedFile(Generic[Followed]):
    """Follow and write the state in one file.

    *initial* applies while there has never been a file. *seen_revision* is the last change already journaled, so that
    changes made while no process ran are handed out by the first poll. *fall_back* makes the state that applies when
    the file cannot be used, of the state before, the notice, the time and the revision. ``notice`` is a sentence for
    people about what went wrong; "" when nothing did.
    """

    def __init__(
        self, path: Path, *, initial: Followed, decode: Callable[[bytes], Followed],
        encode: Callable[[Followed], bytes], fall_back: Callable[[Followed, str, int, int], Followed], then: str,
        seen_revision: int = 0, now_ns: int = 0,
    ) -> None:
        """*decode* raises ValueError for content that is no state. *then*: what holds after a fall back, in words."""
        self.path = path
        self.notice = ""
        self.state = initial
        self._decode, self._encode, self._fall_back, self._then = decode, encode, fall_back, then
        self._seen = seen_revision
        self._stamp: _Stamp | None = None
        self._fresh: list[Any] = []
        self._reload(now_ns)

    def poll(self, now_ns: int = 0) -> tuple[Any, ...]:
        """Take up a changed file; return the changes not handed out before, oldest first. One stat when unchanged.

        *now_ns* stamps a fall back, should there be one.
        """
        if self._look() != self._stamp:
            self._reload(now_ns)
        fresh, self._fresh = tuple(self._fresh), []
        return fresh

    def ensure(self) -> None:
        """Write the state where there is no file yet, so that a command line starts from what this run has."""
        if self._stamp is None:
            self.write(self.state)

    def write(self, state: Followed) -> None:
        """Save *state*.

        Raises StateError when another process changed the file meanwhile, OSError when it cannot be written.
        """
        with self._alone():
            if self._look() != self._stamp:
                raise StateError(f"{self.path}: changed by someone else meanwhile; look at the status and try again")
            write_atomically(self.path, self._encode(state))
            self._stamp = self._look()
        self._take(state)
        self.notice = ""

    def _look(self) -> _Stamp | None:
        """Time, inode and size of the file; None when there is none. Every write makes a new inode."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other writers of the folder waiting, between a look at the file and its replacement."""
        make_missing_folders(self.path.parent)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _reload(self, now_ns: int) -> None:
        """Read the file, and fall back where that isn't possible."""
        known = self._stamp is not None
        self._stamp = self._look()
        if self._stamp is None:
            if known:
                self._give_up(f"{self.path.name} vanished", now_ns)
            return
        try:
            state = self._decode(read_private(self.path))
        except (OSError, ValueError) as error:
            set_aside_as = set_aside(self.path, "damaged")
            self._stamp = self._look()
            self._give_up(f"{self.path.name} cannot be used ({error}); {set_aside_as}", now_ns)
            return
        self.notice = ""
        self._take(state)

    def _take(self, state: Followed) -> None:
        """Make *state* the current one and queue its unseen changes."""
        if state.revision < self._seen:  # another history: everything in it is news
            self._seen = 0
        self._fresh.extend(change for change in state.changes if change.revision > self._seen)
        self._seen = state.revision
        self.state = state

    def _give_up(self, notice: str, now_ns: int) -> None:
        """Fall back, queue that as a change and, where possible, write it: a restart must find it too."""
        revision = max(self.state.revision, self._seen) + 1
        self._take(self._fall_back(self.state, notice, now_ns, revision))
        self.notice = f"{notice}; {self._then}"
        try:
            write_atomically(self.path, self._encode(self.state))
        except OSError as error:
            self.notice += f" (and {self.path.name} could not be written: {error.strerror})"
        self._stamp = self._look()
