"""Conversion of logged events to Arrow columns.

Events of a kind with a schema become typed columns. Any other event, and one that does not fit its schema, becomes its
JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.journal.kinds import kind_name
from quantum_trader.journal.ring import JSON_FLAG, RECORD, EventChunk
from quantum_trader.journal.schema import JSON, EventColumn, Shape, row_decoder, shape_of

EVENT_SCHEMA: Final = pa.schema(
    [
        ("producer", pa.dictionary(pa.int32(), pa.string())), ("seq", pa.int64()), ("ts_ns", pa.int64()),
        ("received_ns", pa.int64()), ("schema", pa.int16()), ("trace_id", pa.string()), ("symbol", pa.string()),
        ("payload", pa.string()),
    ]
)
_AT_A_TIME: Final = 1_000  # events decoded at a time: as many as stay in the processor's cache
_ARROW: Final = {"BOOLEAN": pa.bool_(), "BIGINT": pa.int64(), "DOUBLE": pa.float64()}
_UNFIT: Final = (msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError, AttributeError)
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode
_TRACE: Final = re.compile(rb'"trace_id":"([^"]*)"')
_SYMBOL: Final = re.compile(rb'"symbol":"([^"]*)"')


Columns = dict[str, pa.Array | pa.ChunkedArray]


class Group(NamedTuple):
    """What the events of one part have in common; *form* is "" where the part has no columns of a schema."""

    day: str
    kind: str
    form: str = ""
    columns: tuple[EventColumn, ...] = ()  # from which the payload is made; empty where the part holds it


# ---------------------------------------------------------------------- texts


def _first(pattern: re.Pattern[bytes], line: bytes) -> str:
    found = pattern.search(line)
    return found[1].decode("utf-8", "replace") if found else ""


def trace_id(payload: bytes, plain: bool) -> str:
    """The trace id of one event; *plain*: it is JSON."""
    return _first(_TRACE, payload) if plain else _own(payload, "trace_id")


def symbol(payload: bytes, plain: bool) -> str:
    """The symbol of one event: of a line the first that it names."""
    return _first(_SYMBOL, payload) if plain else _own(payload, "symbol")


def _own(payload: bytes, key: str) -> str:
    try:
        return str(_decode(payload).get(key, ""))
    except _UNFIT:
        return ""


def json_text(payload: bytes, plain: bool) -> str:
    """One event as JSON.

    A line that is not UTF-8 is shown with replacement marks, and an event without a JSON form as its bytes: an
    accepted event must not block the events after it.
    """
    if plain:
        return payload.decode("utf-8", "replace")
    try:
        return _encode(_decode(payload)).decode()
    except _UNFIT:  # keys without a JSON form, nested too deep, or damaged
        return _encode({"not_json": payload}).decode()


TEXTS: Final[tuple[Callable[[bytes, bool], str], ...]] = (trace_id, symbol, json_text)


def payloads(columns: Sequence[EventColumn], arrays: Sequence[pa.Array]) -> pa.Array:
    """The JSON text of events whose *columns* are *arrays*, as the encoder of typed events writes it."""
    names = [column.path[0] for column in columns]
    values = [_values(column, array) for column, array in zip(columns, arrays, strict=True)]
    return pa.array([_encode(dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)], pa.string())


def _values(column: EventColumn, array: pa.Array) -> list[Any]:
    found: list[Any] = array.to_pylist()
    return found if column.type != JSON else [None if one is None else msgspec.Raw(one.encode()) for one in found]


# ---------------------------------------------------------------------- events in no part yet


def concatenated(chunks: list[EventChunk]) -> npt.NDArray[Any]:
    """Concatenate the records of *chunks*; as bytes, because structured arrays are slow to join."""
    return np.frombuffer(b"".join([chunk.records.tobytes() for chunk in chunks]), RECORD)


class Rows:
    """Events that are in no part yet: numeric columns in memory, texts decoded only for the rows of a query."""

    def __init__(self, found: list[tuple[str, dict[int, str], EventChunk]]) -> None:
        chunks = [chunk for _, _, chunk in found]
        self.records = concatenated(chunks)
        self._payloads = [chunk.payload for chunk in chunks]
        words = self.records["word"]
        self._starts = np.zeros(len(words) + 1, np.int64)
        np.cumsum((words & np.uint64(0xFFFFFFFF)).astype(np.int64), out=self._starts[1:])
        self._plain = ((words >> np.uint64(56)) & np.uint64(JSON_FLAG)).astype(np.bool_)
        self._found = found

    def table(self) -> pa.Table:
        """Every column except the texts; the column ``row`` refers to them."""
        count = len(self.records)
        numbers = ((self.records["word"] >> np.uint64(32)) & np.uint64(0xFFFF)).astype(np.int64)
        sizes = np.array([len(c.records) for _, _, c in self._found], np.int64)
        firsts = np.array([c.first_seq for _, _, c in self._found], np.int64)
        seqs = np.arange(count, dtype=np.int64) + np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes)
        names = sorted({producer for producer, _, _ in self._found})
        places = {producer: at for at, producer in enumerate(names)}
        owner = np.repeat(np.array([places[producer] for producer, _, _ in self._found], np.int32), sizes)
        kinds: dict[tuple[int, int], str] = {}
        for producer, known in {id(known): (producer, known) for producer, known, _ in self._found}.values():
            kinds.update({(places[producer], number): name for number, name in known.items()})
        keys, inverse = np.unique(owner.astype(np.int64) << 16 | numbers, return_inverse=True)
        labels = [kinds.get((key >> 16, key & 0xFFFF)) or f"unknown-{key & 0xFFFF}" for key in keys.tolist()]
        kind = pa.DictionaryArray.from_arrays(pa.array(inverse.astype(np.int32)), pa.array(labels, pa.string()))
        producer_column = pa.DictionaryArray.from_arrays(pa.array(owner), pa.array(names, pa.string()))
        return pa.table({
            "producer": producer_column.cast(pa.string()), "kind": kind.cast(pa.string()),
            "seq": seqs, "ts_ns": self.records["ts_ns"],
            "received_ns": self.records["received_ns"], "row": np.arange(count, dtype=np.int64),
            "schema": ((self.records["word"] >> np.uint64(48)) & np.uint64(0xFF)).astype(np.int16),
            "day": pa.array((self.records["ts_ns"] // NS_PER_DAY).astype(np.int32)).cast(pa.date32()),
        })

    @cached_property
    def _raw(self) -> bytes:
        return b"".join(self._payloads)

    def texts(self, rows: npt.NDArray[np.int64], text: Callable[[bytes, bool], str]) -> pa.Array:
        """*text* of each of *rows*."""
        raw, plain = self._raw, self._plain[rows].tolist()
        places = zip(self._starts[rows].tolist(), self._starts[rows + 1].tolist(), plain, strict=True)
        return pa.array([text(raw[begin:end], is_plain) for begin, end, is_plain in places], pa.string())


# ---------------------------------------------------------------------- parts


def tables_of(chunk: EventChunk, producer: str, kinds: dict[int, str]) -> Iterator[tuple[Group, pa.Table]]:
    """The events of *chunk* by what a part has in common, in order within each."""
    if not len(chunk.records):
        return
    words = chunk.records["word"]
    seqs = np.arange(chunk.first_seq, chunk.first_seq + len(words), dtype=np.int64)
    heads = (words >> np.uint64(32)).astype(np.int64)  # kind, schema and flags
    days = chunk.records["received_ns"] // NS_PER_DAY
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum((words & np.uint64(0xFFFFFFFF)).astype(np.int64), out=starts[1:])
    raw = memoryview(chunk.payload)
    group = (days - days.min()) * (1 << 32) + heads
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        head, day = int(heads[rows[0]]), str(np.datetime64(int(days[rows[0]]), "D"))
        found = [raw[a:b] for a, b in zip(starts[rows].tolist(), starts[rows + 1].tolist(), strict=True)]
        key, texts = _texts(Group(day, kind_name(kinds, head & 0xFFFF)), head >> 16 & 0xFF, found, bool(head >> 24 & 1))
        yield key, _table(chunk.records[rows], seqs[rows], texts, producer)


def _texts(key: Group, version: int, events: list[memoryview], plain: bool) -> tuple[Group, Columns]:
    """The group of *events* of one kind, and their columns: typed ones where the events fit their schema."""
    shape = shape_of(key.kind)
    if shape is None or (not plain and version != shape.version):
        return key, _as_text(events, plain)
    try:
        columns = _typed(shape, events, plain)
    except _UNFIT:
        return key, _as_text(events, plain)
    if not plain:
        return key._replace(form=shape.form, columns=shape.columns), columns
    own = {name: array for name, array in columns.items() if name not in EVENT_SCHEMA.names}
    return key._replace(form=shape.form), {**_as_text(events, plain), **own}


def _as_text(events: list[memoryview], plain: bool) -> Columns:
    found = [bytes(event) for event in events]
    texts = ([text(event, plain) for event in found] for text in TEXTS)
    return {
        name: pa.array(some, pa.string()) for name, some in zip(("trace_id", "symbol", "payload"), texts, strict=True)
    }


def _typed(shape: Shape, events: list[memoryview], plain: bool) -> Columns:
    decode = row_decoder(shape, json=plain)
    values = [attrgetter(".".join(column.path)) for column in shape.columns]
    pieces: list[list[pa.Array]] = [[] for _ in values]
    for begin in range(0, len(events), _AT_A_TIME):
        rows = list(map(decode, events[begin : begin + _AT_A_TIME]))
        for column, value, some in zip(shape.columns, values, pieces, strict=True):
            some.append(_array(column.type, list(map(value, rows))))
    return {column.name: pa.chunked_array(some) for column, some in zip(shape.columns, pieces, strict=True)}


def _array(kind: str, values: list[Any]) -> pa.Array:
    """An Arrow column of *values*; a figure that is not finite is null, as in JSON."""
    if kind == JSON:
        return pa.array([None if one is None else _encode(one) for one in values], pa.string())
    array = pa.array(values, arrow_type(kind), from_pandas=kind == "DOUBLE")
    if kind == "DOUBLE" and not pc.all(pc.is_finite(array)).as_py():
        return pc.if_else(pc.is_finite(array), array, None)
    return array


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of the SQL type *kind*."""
    if kind.endswith("[]"):
        return pa.list_(arrow_type(kind.removesuffix("[]")))
    return _ARROW.get(kind, pa.string())


def _table(
    records: npt.NDArray[Any], seqs: npt.NDArray[np.int64], columns: Columns, producer: str
) -> pa.Table:
    count = len(records)
    return pa.table({
        "producer": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([producer])),
        "seq": pa.array(seqs), "ts_ns": pa.array(records["ts_ns"]), "received_ns": pa.array(records["received_ns"]),
        "schema": pa.array(((records["word"] >> np.uint64(48)) & np.uint64(0xFF)).astype(np.int16)),
        **{name: array for name, array in columns.items() if name != "ts_ns"},
    })
