"""Which model has which alias, whose signatures are trusted, and the changes that led there. Pure.

An alias belongs to a kind of models: the champion of the kind pilot, say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import InputError, StateError, brief
from quantum_trader.domain.fields import TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.lab.registry.record import check_id
from quantum_trader.policy.policy_store_state import Version, check_text

SCHEMA: Final = 2  # 1: without what a promotion passed over
HISTORY: Final = 2_000  # changes kept
ALIASES: Final = ("champion", "challenger", "shadow")
PROMOTE, ROLLBACK, TRUST, DISTRUST = "promote", "rollback", "trust", "distrust"

AliasTable = dict[str, dict[str, str]]  # kind -> alias -> model id


class RegistryChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change: who, when, why, and what stood there before and after it."""

    version: Version  # the registry's from this change on
    ts_ns: TimeNs
    actor: str
    reason: str
    action: str  # promote, rollback, trust or distrust
    kind: str = ""  # of the models; empty for trust and distrust
    alias: str = ""
    before: str = ""  # model id; empty: none; with distrust the public key
    after: str = ""  # model id; with trust the public key
    without_evidence: str = ""  # why a champion was promoted though conditions were not met
    unmet: tuple[str, ...] = ()  # those conditions, a sentence each


class RegistryState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Aliases, trusted keys, their version (the number of changes ever made), and the last 2,000 changes."""

    version: Version = 0
    aliases: AliasTable = {}
    own_key: str = ""  # the public key of this registry, hexadecimal; empty before the first change
    trusted: tuple[str, ...] = ()  # public keys, the own one among them
    changes: tuple[RegistryChange, ...] = ()  # oldest first

    def __post_init__(self) -> None:
        """ValueError where version, aliases and changes contradict each other."""
        if (self.version and not self.changes) or len(self.changes) > self.version:
            raise ValueError(f"version {self.version} has {len(self.changes)} changes")
        if self.changes and self.changes[-1].version != self.version:
            raise ValueError("the last change did not lead to this version")
        if any(one.version + 1 != two.version for one, two in pairwise(self.changes)):
            raise ValueError("the changes are not those of one history")
        newest = {(one.kind, one.alias): one.after for one in self.changes if one.alias}
        if any(self.aliases.get(kind, {}).get(alias) != after for (kind, alias), after in newest.items()):
            raise ValueError("the changes did not lead to these aliases")

    def aliases_of(self, model_id: str) -> tuple[str, ...]:
        """The aliases that the model has."""
        return tuple(
            alias for table in self.aliases.values() for alias in ALIASES if table.get(alias) == model_id
        )

    def last_move(self, kind: str, alias: str) -> RegistryChange | None:
        """The newest change that gave *alias* to a model; None where none is kept."""
        return next((one for one in reversed(self.changes) if (one.kind, one.alias) == (kind, alias)), None)

    def earlier_model(self, kind: str, alias: str) -> str:
        """The model that a rollback of *alias* leads to; empty where none is known.

        A second rollback leads one further back, and not to the model that the first one left.
        """
        former: list[str] = []
        for change in self.changes:
            if (change.kind, change.alias) != (kind, alias):
                continue
            if change.action == PROMOTE:
                former.append(change.before)
            elif former:
                former.pop()
        return former[-1] if former else ""


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """``registry.json``: its schema, the hash of what follows, and the state."""

    schema: int
    seal: str
    registry: msgspec.Raw


def check_alias(alias: str) -> str:
    """*alias*; InputError where it is none."""
    if alias not in ALIASES:
        raise InputError(f"alias = {brief(alias)}: must be {', '.join(ALIASES[:-1])} or {ALIASES[-1]}")
    return alias


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes the registry, why, and when."""

    actor: str
    reason: str
    ts_ns: int

    def __post_init__(self) -> None:
        check_text("actor", self.actor)
        check_text("reason", self.reason)


StateChange = Callable[[RegistryState, Author], RegistryState]


def promoted(
    state: RegistryState, author: Author, kind: str, alias: str, model_id: str, unmet: tuple[str, ...] = (),
    without_evidence: str = "",
) -> RegistryState:
    """*state* with *alias* on the model; *state* itself where it is there already.

    *unmet*: conditions that it does not meet, and *without_evidence* why it is promoted all the same.
    """
    check_alias(alias)
    if state.aliases.get(kind, {}).get(alias, "") == check_id("model_id", model_id):
        return state
    told: dict[str, Any] = {"unmet": unmet, "without_evidence": without_evidence} if unmet else {}
    return _moved(state, author, PROMOTE, kind, alias, model_id, **told)


def rolled_back(state: RegistryState, author: Author, kind: str, alias: str) -> RegistryState:
    """*state* with *alias* on the model that had it before; StateError where none is known."""
    earlier = state.earlier_model(kind, check_alias(alias))
    if not earlier:
        raise StateError(
            f"the {alias} of kind {kind} cannot be rolled back: no earlier one is on record; promote a model instead. "
            "Nothing was changed"
        )
    return _moved(state, author, ROLLBACK, kind, alias, earlier)


def trusting(state: RegistryState, author: Author, key: str, *, own: bool = False) -> RegistryState:
    """*state* that trusts the public *key*, the registry's *own* or another; *state* itself where it does already."""
    own_key = key if own else state.own_key
    if check_id("key", key) in state.trusted and own_key == state.own_key:
        return state
    values = {"trusted": tuple(dict.fromkeys((*state.trusted, key))), "own_key": own_key}
    return _after(state, author, values, action=TRUST, after=key)


def distrusting(state: RegistryState, author: Author, key: str) -> RegistryState:
    """*state* that trusts the public *key* no more; StateError where it does not, or where *key* is its own."""
    if key not in state.trusted:
        raise StateError(f"key {brief(key)}: is not trusted; `registry list` shows those that are. Nothing was changed")
    if key == state.own_key:
        raise StateError(
            f"key {key}: is this registry's own; remove its signing-key.pem and register a model, which makes another "
            "one, then repeat. Nothing was changed"
        )
    values = {"trusted": tuple(one for one in state.trusted if one != key)}
    return _after(state, author, values, action=DISTRUST, before=key)


def _moved(
    state: RegistryState, author: Author, action: str, kind: str, alias: str, after: str, **told: Any
) -> RegistryState:
    table = state.aliases.get(kind, {})
    aliases = {**state.aliases, kind: {**table, alias: after}}
    return _after(
        state, author, {"aliases": aliases}, action=action, kind=kind, alias=alias, before=table.get(alias, ""),
        after=after, **told,
    )


def _after(state: RegistryState, author: Author, values: dict[str, Any], **change: Any) -> RegistryState:
    made = RegistryChange(
        version=state.version + 1, ts_ns=author.ts_ns, actor=author.actor.strip(), reason=author.reason.strip(),
        **change,
    )
    return msgspec.structs.replace(
        state, version=made.version, changes=(*state.changes, made)[-HISTORY:], **values
    )


def encode_registry(state: RegistryState) -> bytes:
    """*state* as the content of ``registry.json``."""
    registry = msgspec.json.encode(state)
    return msgspec.json.encode(_Document(schema=SCHEMA, seal=_seal(registry), registry=msgspec.Raw(registry))) + b"\n"


def decode_registry(content: bytes) -> RegistryState:
    """The state in *content*; ValueError that says what is wrong."""
    try:
        document = decode_json(content, _Document)
        if document.schema > SCHEMA:
            raise ValueError(f"it has format {document.schema}, and this program knows formats up to {SCHEMA}")
        if document.seal != _seal(bytes(document.registry)):
            raise ValueError("its content is not what its seal states: it was edited by hand, or damaged")
        return decode_json(bytes(document.registry), RegistryState)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


def _seal(registry: bytes) -> str:
    return hashlib.blake2b(registry, digest_size=16).hexdigest()
