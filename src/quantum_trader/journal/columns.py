"""Conversion of logged events to Arrow columns."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.journal.kinds import kind_name
from quantum_trader.journal.ring import JSON_FLAG, RECORD, EventChunk

EVENT_SCHEMA: Final = pa.schema(
    [
        ("producer", pa.dictionary(pa.int32(), pa.string())), ("seq", pa.int64()), ("ts_ns", pa.int64()),
        ("received_ns", pa.int64()), ("schema", pa.int16()), ("trace_id", pa.string()), ("symbol", pa.string()),
        ("payload", pa.string()),
    ]
)
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode
_TRACE: Final = re.compile(r'"trace_id":"([^"]*)"')
_SYMBOL: Final = re.compile(r'"symbol":"([^"]*)"')
COMPILED_FROM: Final = 2000  # below this number of events, loading compiled code costs more than it saves
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Texts = tuple[pa.Array, pa.Array, pa.Array]  # trace ids, symbols, payloads


class _Scratch(threading.local):
    """Reused buffers of each thread for texts of unknown length; new memory is slower."""

    def __init__(self) -> None:
        self.held: dict[str, Bytes] = {}

    def room(self, name: str, count: int, size: int) -> tuple[Bytes, npt.NDArray[np.int32]]:
        """Return a buffer of at least *size* bytes, reused where it suffices, and offsets of *count* texts."""
        held = self.held.get(name)
        if held is None or len(held) < size + 64:
            held = self.held[name] = np.empty(size + 64, np.uint8)
        return held, np.zeros(count + 1, np.int32)


_scratch: Final = _Scratch()


def _array(data: Bytes, offsets: npt.NDArray[np.int32]) -> pa.Array:
    """An Arrow text column of the written bytes."""
    used = data[: int(offsets[-1])].copy()
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(used)])


def _texts(raw: Bytes, starts: Places, rows: Places, plain: bool) -> Texts:
    """The three texts of *rows*, whose bytes begin at *starts*; *plain*: they are already JSON."""
    if len(rows) < COMPILED_FROM:
        return _texts_in_python(raw, starts, rows, plain)
    from quantum_trader.journal.shortest import POWERS
    from quantum_trader.journal.transcode import ROOM, SLACK, copy_lines, msgpack_to_json

    count, size = len(rows), int((starts[rows + 1] - starts[rows]).sum())
    if len(raw) < starts[rows[-1] + 1] + SLACK:
        raw = np.concatenate([raw, np.zeros(SLACK, np.uint8)])
    payload, payload_at = _scratch.room("payload", count, size if plain else 6 * size)
    trace, trace_at = _scratch.room("trace", count, size)
    symbol, symbol_at = _scratch.room("symbol", count, size)
    if plain:
        copy_lines(raw, starts, rows, payload, payload_at, trace, trace_at, symbol, symbol_at)
    elif msgpack_to_json(
        raw, starts, rows, payload, payload_at, trace, trace_at, symbol, symbol_at, POWERS, np.empty(ROOM, np.int64)
    ) >= 0:
        return _texts_in_python(raw, starts, rows, plain)
    columns = _array(trace, trace_at), _array(symbol, symbol_at), _array(payload, payload_at)
    if plain:
        try:
            for column in columns:
                column.validate(full=True)
        except pa.ArrowInvalid:
            return _texts_in_python(raw, starts, rows, plain)
    return columns


def _texts_in_python(raw: Bytes, starts: Places, rows: Places, plain: bool) -> Texts:
    """The same in Python: for few events, and for values that the compiled form does not support, such as dates.

    A line that is not UTF-8 is shown with replacement marks, and an event without a JSON form as its bytes: an
    accepted event must not block the events after it.
    """
    payloads = [raw[starts[row] : starts[row + 1]].tobytes() for row in rows.tolist()]
    if not plain:
        return _columns([_readable(payload) for payload in payloads])
    texts = [payload.decode("utf-8", "replace") for payload in payloads]
    found = [(_TRACE.search(text), _SYMBOL.search(text)) for text in texts]
    traces = [trace[1] if trace else "" for trace, _ in found]
    symbols = [symbol[1] if symbol else "" for _, symbol in found]
    return _columns(list(zip(traces, symbols, texts, strict=True)))


def _columns(rows: list[tuple[str, str, str]]) -> Texts:
    traces, symbols, texts = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.array(traces, pa.string()), pa.array(symbols, pa.string()), pa.array(texts, pa.string())


def _readable(payload: bytes) -> tuple[str, str, str]:
    """Trace id, symbol and JSON text of one event."""
    try:
        event = _decode(payload)
        text = _encode(event).decode()
    except (ValueError, TypeError, RecursionError):  # keys without a JSON form, nested too deep, or damaged
        return "", "", _encode({"not_json": payload}).decode()
    return str(event.get("trace_id", "")), str(event.get("symbol", "")), text


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
    def _raw(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(b"".join(self._payloads), np.uint8)

    def texts(self, rows: npt.NDArray[np.int64]) -> Texts:
        """Trace ids, symbols and payloads of *rows*."""
        plain = self._plain[rows]
        if plain.all() or not plain.any():
            return _texts(self._raw, self._starts, rows, bool(plain.all()))
        order = np.concatenate([np.flatnonzero(plain), np.flatnonzero(~plain)])
        back = pa.array(np.argsort(order))
        first = _texts(self._raw, self._starts, rows[plain], True)
        second = _texts(self._raw, self._starts, rows[~plain], False)
        pairs = zip(first, second, strict=True)
        trace, symbol, payload = (pa.concat_arrays(list(pair)).take(back) for pair in pairs)
        return trace, symbol, payload


def tables_of(chunk: EventChunk, producer: str, kinds: dict[int, str]) -> Iterator[tuple[str, str, pa.Table]]:
    """The events of *chunk* by (day, kind), in order within each."""
    if not len(chunk.records):
        return
    words = chunk.records["word"]
    seqs = np.arange(chunk.first_seq, chunk.first_seq + len(words), dtype=np.int64)
    numbers = ((words >> np.uint64(32)) & np.uint64(0xFFFF)).astype(np.int64)
    flags = ((words >> np.uint64(56)) & np.uint64(JSON_FLAG)).astype(np.int64)
    days = chunk.records["received_ns"] // NS_PER_DAY
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum((words & np.uint64(0xFFFFFFFF)).astype(np.int64), out=starts[1:])
    raw = np.frombuffer(chunk.payload, np.uint8)
    group = (days - days.min()) * (1 << 17) + numbers * 2 + flags
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    for rows in np.split(order, cuts):
        first = rows[0]
        day = str(np.datetime64(int(days[first]), "D"))
        texts = _texts(raw, starts, rows, bool(flags[first]))
        yield day, kind_name(kinds, int(numbers[first])), _table(chunk.records[rows], seqs[rows], texts, producer)


def _table(records: npt.NDArray[Any], seqs: npt.NDArray[np.int64], texts: Texts, producer: str) -> pa.Table:
    count = len(records)
    return pa.Table.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([producer])),
            pa.array(seqs), pa.array(records["ts_ns"]), pa.array(records["received_ns"]),
            pa.array(((records["word"] >> np.uint64(48)) & np.uint64(0xFF)).astype(np.int16)), *texts,
        ],
        schema=EVENT_SCHEMA,
    )
