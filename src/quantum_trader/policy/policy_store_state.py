"""What the policy store holds: settings, a version, and the changes that led there. Values and pure functions alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final

import msgspec

from quantum_trader.domain.errors import InputError, brief
from quantum_trader.domain.fields import TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.pilot_settings import LIVE, PilotSettings, field_of

SCHEMA: Final = 1
HISTORY: Final = 500  # changes kept
LONGEST_TEXT: Final = 500  # characters of a reason or a name
STORE: Final = "policy store"  # who stopped the pilot after damage

Version = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]


class SettingChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change: who, when, why, and the settings before and after it."""

    version: Version  # the store's from this change on
    ts_ns: TimeNs
    actor: str
    reason: str
    key: str = LIVE
    before: PilotSettings
    after: PilotSettings

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields whose values differ."""
        return tuple(
            name for name in PilotSettings.__struct_fields__
            if getattr(self.before, name) != getattr(self.after, name)
        )


class StoreState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings, their version (the number of changes ever made), and the last 500 changes, oldest first."""

    version: Version = 0
    pilot: PilotSettings = PilotSettings()
    changes: tuple[SettingChange, ...] = ()

    def __post_init__(self) -> None:
        """ValueError where version, settings and changes contradict each other."""
        if (self.version and not self.changes) or len(self.changes) > self.version:
            raise ValueError(f"version {self.version} has {len(self.changes)} changes")
        if self.changes and (self.changes[-1].version, self.changes[-1].after) != (self.version, self.pilot):
            raise ValueError("the last change did not lead to these settings")
        if any(one.version + 1 != two.version or one.after != two.before for one, two in pairwise(self.changes)):
            raise ValueError("the changes are not those of one history")

    @property
    def older_changes(self) -> int:
        """Changes that are no longer kept."""
        return self.version - len(self.changes)

    def changes_after(self, version: int) -> tuple[SettingChange, ...]:
        """The kept changes made after *version*, oldest first."""
        return tuple(change for change in self.changes if change.version > version)

    def last_change_of(self, key: str) -> SettingChange | None:
        """The newest kept change of the setting *key*; None where there is none."""
        name = field_of(key)
        return next((change for change in reversed(self.changes) if name in change.fields), None)


class NewerFormatError(ValueError):
    """A file of a later program, which this one cannot judge."""


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """The file: its schema, the hash of what follows, and the state."""

    schema: int
    seal: str
    store: msgspec.Raw


def check_text(key: str, text: str) -> str:
    """*text* without blanks around it; InputError where it is empty, longer than 500 characters or no single line."""
    stripped = text.strip() if isinstance(text, str) else ""
    if not stripped:
        raise InputError(f"{key} = {brief(text)}: is empty; it is recorded with the change, so give one")
    if len(stripped) > LONGEST_TEXT or not stripped.isprintable():
        raise InputError(f"{key} = {brief(text)}: must be one line of at most {LONGEST_TEXT} printable characters")
    return stripped


def changed_state(
    state: StoreState, values: Mapping[str, Any], *, ts_ns: int, actor: str, reason: str
) -> StoreState:
    """*state* after a change of *values*; *state* itself where they are its values already.

    Raises InputError without a reason or an actor, and ConfigError as :meth:`PilotSettings.with_values` does.
    """
    actor, reason = check_text("actor", actor), check_text("reason", reason)
    pilot = state.pilot.with_values(values)
    return state if pilot == state.pilot else _after(state, pilot, ts_ns, actor, reason)


def stopped_state(state: StoreState, damage: str, *, ts_ns: int) -> StoreState:
    """*state* in mode OFF, with *damage* on record: what was in force while the file could not be used."""
    return _after(state, state.pilot.stopped(), ts_ns, STORE, damage)


def _after(state: StoreState, pilot: PilotSettings, ts_ns: int, actor: str, reason: str) -> StoreState:
    change = SettingChange(
        version=state.version + 1, ts_ns=ts_ns, actor=actor, reason=reason, before=state.pilot, after=pilot
    )
    return StoreState(version=change.version, pilot=pilot, changes=(*state.changes, change)[-HISTORY:])


def encode_state(state: StoreState) -> bytes:
    """*state* as the content of a file."""
    store = msgspec.json.encode(state)
    return msgspec.json.encode(_Document(schema=SCHEMA, seal=_seal(store), store=msgspec.Raw(store))) + b"\n"


def decode_state(content: bytes) -> StoreState:
    """The state in *content*; ValueError that says what is wrong, NewerFormatError for a later program's file."""
    try:
        document = decode_json(content, _Document)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    if document.schema > SCHEMA:
        raise NewerFormatError(f"has format {document.schema}, and this program knows formats up to {SCHEMA}")
    if document.seal != _seal(bytes(document.store)):
        raise ValueError("its content is not what its seal states: it was edited by hand, or damaged")
    try:
        return decode_json(bytes(document.store), StoreState)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


def _seal(store: bytes) -> str:
    return hashlib.blake2b(store, digest_size=16).hexdigest()
