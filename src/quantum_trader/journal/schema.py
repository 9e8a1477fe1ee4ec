"""The columns of each kind of event, derived from the structs that state its fields.

A topic of a run has the fields of ``engine.record_types``, a typed kind those of its struct. What SQL shows, what a
part holds and what a decoder reads is made from the same list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from quantum_trader.journal.kinds import BY_NAME, Event
from quantum_trader.journal.lines import TYPED_TOPICS

BASE: Final = (  # of every event; a field with such a name gets another one
    "producer", "seq", "kind", "ts_ns", "received_ns", "schema", "trace_id", "symbol", "payload", "day", "ts",
)
JSON: Final = "JSON"  # text; mappings and lists of structs
_LIST: Final = "[]"
_SAME: Final = ("trace_id", "symbol")  # of a record's data: the columns of every event hold them
_OWN: Final = ("trace_id", "symbol", "ts_ns")  # of a typed event: they are columns of every event
_OTHER_NAMES: Final = {"ts_ns": "stated_ns"}
_SCALARS: Final[dict[type, str]] = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
_DECODED: Final[dict[str, Any]] = {name: kind | None for kind, name in _SCALARS.items()}


class EventColumn(msgspec.Struct, frozen=True):
    """One column: its name, where its value stands in the event, and its SQL type."""

    name: str
    path: tuple[str, ...]
    type: str


class Shape(msgspec.Struct, frozen=True):
    """The columns of one kind; *record*: the events are a run's records, with the fields under ``data``."""

    columns: tuple[EventColumn, ...]
    record: bool
    version: int  # of the struct

    @property
    def form(self) -> str:
        """A short name that changes with the columns."""
        return hashlib.blake2b(msgspec.json.encode(self.columns), digest_size=6).hexdigest()


def sql_type(kind: Any) -> str:
    """The SQL type of a field of type *kind*."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return sql_type(inner[0])
    if origin is Literal:
        return sql_type(type(inner[0]))
    if origin in (Union, UnionType):
        some = {sql_type(one) for one in inner if one not in (type(None), msgspec.UnsetType)}
        return some.pop() if len(some) == 1 else JSON
    if origin in (list, tuple) and inner and (origin is list or inner[1:] == (...,)):
        of = sql_type(inner[0])
        return of if of == JSON else of + _LIST
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next((name for base, name in _SCALARS.items() if issubclass(kind, base)), JSON)
    return _SCALARS.get(kind, JSON)


def shape_of(kind: str) -> Shape | None:
    """The columns of events of *kind*; None for a kind without a schema."""
    registered = BY_NAME.get(kind)
    if registered is not None and registered.type is not None:
        return _typed_shape(registered.type, registered.version)
    return _record_shape(kind)


@cache
def _typed_shape(struct: type[Event], version: int) -> Shape | None:
    fields = msgspec.structs.fields(struct)
    if struct.__struct_config__.omit_defaults or any(msgspec.UNSET is field.default for field in fields):
        return None  # an event may lack a field
    columns = [
        EventColumn(name if name in _OWN else _free(name), (name,), sql_type(field.type))
        for field in fields for name in (field.encode_name,)
    ]
    names = [column.name.lower() for column in columns]
    return Shape(tuple(columns), False, version) if len(set(names)) == len(names) else None


def _free(name: str) -> str:
    """*name* where no column of every event has it."""
    return _OTHER_NAMES.get(name, f"stated_{name}") if name.lower() in BASE else name


@cache
def _record_shape(topic: str) -> Shape | None:
    from quantum_trader.engine.record_types import DATA_TYPES  # here: a logger of typed events does not load it

    if topic not in DATA_TYPES:
        return None
    columns = {"event_id": EventColumn("event_id", ("event_id",), "VARCHAR")}
    for struct in DATA_TYPES[topic]:
        for name, path, kind in _fields(struct, topic, ("data",)):
            columns.setdefault(name, EventColumn(name, path, kind))
    return Shape(tuple(columns.values()), True, 0)


def _fields(struct: type[msgspec.Struct], topic: str, place: tuple[str, ...]) -> list[tuple[str, tuple[str, ...], str]]:
    """Name, path and SQL type of each field; the fields of a struct inside it follow its own."""
    found, inside = [], []
    renamed = TYPED_TOPICS[topic].names if topic in TYPED_TOPICS else {}
    for field in msgspec.structs.fields(struct):
        path = (*place, field.encode_name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            inside.append((field.name, _fields(field.type, topic, path)))
        elif field.name not in _SAME:
            name = renamed.get(field.name, field.name)
            name = f"{topic.partition('.')[0]}_kind" if name == "kind" else _free(name)
            found.append((name, path, sql_type(field.type)))
    own = {name for name, _, _ in found}
    for outer, fields in inside:
        found += [(f"{outer}_{name}" if name in own else name, path, kind) for name, path, kind in fields]
    return found


# ---------------------------------------------------------------------- decoding


@cache
def row_decoder(shape: Shape, *, json: bool) -> Callable[[bytes | memoryview], Any]:
    """A decoder of one event into a struct that has every path of *shape*.

    A value that a line lacks is None. A logged event has these fields and no others: its payload is made from them.
    """
    kind = _struct([(column.path, column.type) for column in shape.columns], exact=not json)
    decode: Callable[[bytes | memoryview], Any] = (msgspec.json if json else msgspec.msgpack).Decoder(kind).decode
    return decode


def _struct(fields: list[tuple[tuple[str, ...], str]], *, exact: bool) -> type[msgspec.Struct]:
    inner: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    own: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for path, kind in fields:
        if len(path) > 1:
            inner.setdefault(path[0], []).append((path[1:], kind))
        else:
            own.append((path[0], _decoded(kind)) if exact else (path[0], _decoded(kind), None))
    for name, nested in inner.items():
        made = _struct(nested, exact=exact)
        own.append((name, made, msgspec.field(default_factory=made)))
    return msgspec.defstruct("Row", own, kw_only=True, gc=False, forbid_unknown_fields=exact)


def _decoded(kind: str) -> Any:
    if kind.endswith(_LIST):
        return list[_decoded(kind.removesuffix(_LIST))] | None  # type: ignore[misc]
    return _DECODED.get(kind, Any)
