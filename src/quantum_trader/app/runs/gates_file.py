"""The gates of a run on disk: ``gates.json`` in its state folder, with the history of changes.

A command line changes it, a running process follows it. A file that cannot be read is set aside, and every gate is
observed then: the safe reading of an unknown state is that no gate refuses and all of them are on record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import read_private
from quantum_trader.engine.signal_gates import SignalGates
from quantum_trader.lab.gate_changes import GatesChange, GatesState, all_observed
from quantum_trader.models.gates import GateSettings
from quantum_trader.policy.followed_file import FollowedFile

GATES_FILE: Final = "gates.json"
SCHEMA: Final = 1


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: its schema and the state."""

    schema: int
    state: GatesState


class GatesFile(FollowedFile[GatesState]):
    """Follow and write the gates of one run; *initial* applies while there has never been a file."""

    def __init__(
        self, directory: Path, *, initial: GateSettings | None = None, seen_revision: int = 0, now_ns: int = 0
    ) -> None:
        super().__init__(
            directory / GATES_FILE, initial=GatesState(settings=initial or GateSettings()), decode=_decode,
            encode=_encode, fall_back=all_observed, then="every gate is observed until one is enforced again",
            seen_revision=seen_revision, now_ns=now_ns,
        )


class GatesFollower:
    """Keeps the gates of a running engine as the file in its state folder has them."""

    def __init__(self, directory: Path, gates: SignalGates, initial: GateSettings, now_ns: int = 0) -> None:
        """*gates*: of the engine, its saved state loaded: it knows which changes it has taken."""
        self._gates = gates
        self._meta_label = initial.meta_label  # of the start: a running process loads no other one
        self._handed: GateSettings | None = None
        self.file = GatesFile(directory, initial=initial, seen_revision=gates.revision, now_ns=now_ns)
        self.file.ensure()

    def changes(self, now_ns: int) -> list[tuple[GateSettings, dict[str, Any]]]:
        """The settings to put into force now, each with the change that led there; empty where nothing has changed."""
        polled: tuple[GatesChange, ...] = self.file.poll(now_ns)
        # A file that counts from anew has another history: all of it is news.
        taken = self._gates.revision if self.file.state.revision >= self._gates.revision else 0
        fresh = [one for one in polled if one.revision > taken]
        settings = msgspec.structs.replace(self.file.state.settings, meta_label=self._meta_label)
        found = [(settings, msgspec.to_builtins(change)) for change in fresh]
        if not found and settings not in (self._gates.settings, self._handed):
            found.append((settings, {"notice": self.file.notice or "as the gates file has them"}))
        self._handed = settings
        return found


def read_gates_state(directory: Path) -> GatesState | None:
    """The state in *directory*, changing nothing; None where there is no file, StateError where it is damaged."""
    path = directory / GATES_FILE
    try:
        return _decode(read_private(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StateError(
            f"{path}: cannot be used as the gates of a run ({error}); put back a copy of it, or observe every gate: "
            f"`quantum-trader gates observe --state {directory}` sets it aside"
        ) from error


def planned_gates(settings: GateSettings, directory: Path) -> str:
    """What the gates of a start with *settings* do in the state folder *directory*, in words."""
    try:
        saved = read_gates_state(directory)
    except StateError:
        return f"observed: {GATES_FILE} is damaged, and a start sets it aside"
    known = settings if saved is None else saved.settings
    words = f"{', '.join(known.enforced)} enforced, the others observed" if known.enforced else "observed"
    if saved is None or saved.settings == settings:
        return f"{words}, mode {known.mode}"
    return (
        f"{words}, mode {known.mode}, as {GATES_FILE} in the state folder says; the settings given are for a new "
        "folder (`quantum-trader gates set` changes these)"
    )


def _encode(state: GatesState) -> bytes:
    return msgspec.json.encode(_Document(schema=SCHEMA, state=state)) + b"\n"


def _decode(content: bytes) -> GatesState:
    """The state in *content*; ValueError (msgspec's, or ours for another schema) when there is none."""
    document = msgspec.json.decode(content, type=_Document)
    if document.schema != SCHEMA:
        raise ValueError(f"schema {document.schema} is not {SCHEMA}")
    return document.state
