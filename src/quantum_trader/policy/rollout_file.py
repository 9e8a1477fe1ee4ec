"""The rollout state on disk: ``rollout.json`` in a run's state folder.

A command line changes it, a running process follows it (:meth:`RolloutFile.poll`). What can't be read is set aside and
means OBSERVE: the safe reading of an unknown state is that nothing of the policy is enforced but all of it is logged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.enums import OrchestratorMode
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import read_private
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.rollout import SET_ASIDE, RolloutChange, RolloutState, enforced
from quantum_trader.policy.storage import set_aside, write_atomically

ROLLOUT_FILE: Final = "rollout.json"
SCHEMA: Final = 1

_Stamp = tuple[int, int, int]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: its schema and the state."""

    schema: int
    state: RolloutState


class RolloutFile:
    """Follow and write the rollout state of one run.

    *initial* applies while there has never been a file. *seen_revision* is the last change already journaled, so
    that changes made while no process ran are handed out by the first poll. ``notice`` is a sentence for
    people about what went wrong; "" when nothing did.
    """

    def __init__(
        self, directory: str | Path, *, initial: OrchestratorIntegrationConfig | None = None, seen_revision: int = 0,
        now_ns: int = 0,
    ) -> None:
        self.path = Path(directory) / ROLLOUT_FILE
        self.notice = ""
        self.state = RolloutState(config=msgspec.structs.replace(initial or OrchestratorIntegrationConfig()))
        self._seen = seen_revision
        self._stamp: _Stamp | None = None
        self._fresh: list[RolloutChange] = []
        self._reload(now_ns)

    @property
    def config(self) -> OrchestratorIntegrationConfig:
        """What is enforced now."""
        return self.state.config

    def poll(self, now_ns: int = 0) -> tuple[RolloutChange, ...]:
        """Take up a changed file; return the changes not handed out before, oldest first. One stat when unchanged.

        *now_ns* stamps the fall back to OBSERVE, should there be one.
        """
        if self._look() != self._stamp:
            self._reload(now_ns)
        fresh, self._fresh = tuple(self._fresh), []
        return fresh

    def ensure(self) -> None:
        """Write the state where there is no file yet, so that a command line starts from what this run enforces."""
        if self._stamp is None:
            self.write(self.state)

    def write(self, state: RolloutState) -> None:
        """Save *state*.

        Raises StateError when another process changed the file meanwhile, OSError when it cannot be written.
        """
        if self._look() != self._stamp:
            raise StateError(f"{self.path}: changed by someone else meanwhile; look at the status and try again")
        write_atomically(self.path, _encode(state))
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

    def _reload(self, now_ns: int) -> None:
        """Read the file, and fall back to OBSERVE where that isn't possible."""
        known = self._stamp is not None
        self._stamp = self._look()
        if self._stamp is None:
            if known:
                self._observe(f"{self.path.name} vanished", now_ns)
            return
        try:
            state = _decode(read_private(self.path))
        except (OSError, ValueError) as error:
            set_aside_as = set_aside(self.path, "damaged")
            self._stamp = self._look()
            self._observe(f"{self.path.name} cannot be used ({error}); {set_aside_as}", now_ns)
            return
        self.notice = ""
        self._take(state)

    def _take(self, state: RolloutState) -> None:
        """Make *state* the current one and queue its unseen changes."""
        if state.revision < self._seen:  # another history: everything in it is news
            self._seen = 0
        self._fresh.extend(change for change in state.changes if change.revision > self._seen)
        self._seen = state.revision
        self.state = state

    def _observe(self, notice: str, now_ns: int) -> None:
        """Fall back to OBSERVE, queue that as a change and, where possible, write it: a restart must find it too."""
        before = self.state.config
        config = OrchestratorIntegrationConfig(
            fixed_confidence=before.fixed_confidence, fixed_risk_pct=before.fixed_risk_pct,
            fixed_max_positions=before.fixed_max_positions, fixed_exit_mode=before.fixed_exit_mode,
        )
        change = RolloutChange(
            revision=max(self.state.revision, self._seen) + 1, ts_ns=now_ns, actor="rollout file", action=SET_ASIDE,
            switch="", before=enforced(before), after=(), mode_before=before.mode,
            mode_after=OrchestratorMode.OBSERVE, reason=notice,
        )
        state = RolloutState(config=config, revision=change.revision, changes=(*self.state.changes, change))
        self._take(state)
        self.notice = f"{notice}; OBSERVE until a switch is promoted again"
        try:
            write_atomically(self.path, _encode(state))
        except OSError as error:
            self.notice += f" (and {self.path.name} could not be written: {error.strerror})"
        self._stamp = self._look()


def read_state(directory: str | Path) -> RolloutState | None:
    """Read the state in *directory* and change nothing; None when there is no file, StateError when it is damaged."""
    path = Path(directory) / ROLLOUT_FILE
    try:
        return _decode(read_private(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StateError(f"{path}: cannot be used as a rollout state ({error})") from error


def _encode(state: RolloutState) -> bytes:
    return msgspec.json.encode(_Document(schema=SCHEMA, state=state)) + b"\n"


def _decode(content: bytes) -> RolloutState:
    """The state in *content*; ValueError (msgspec's, or ours for another schema) when there is none."""
    document = msgspec.json.decode(content, type=_Document)
    if document.schema != SCHEMA:
        raise ValueError(f"schema {document.schema} is not {SCHEMA}")
    return document.state
