"""Compiled: many events at once from msgpack to JSON text, and the columns that every event has."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from quantum_trader.journal.shortest import put_double, put_unsigned

DEPTH: Final = 64
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8).copy()
_TRACE: Final = np.frombuffer(b'"trace_id":"', np.uint8).copy()
_SYMBOL: Final = np.frombuffer(b'"symbol":"', np.uint8).copy()


@njit(cache=True, nogil=True, inline="always")
def _big(raw: Any, at: Any, size: Any) -> Any:
    value = np.uint64(0)
    for i in range(size):
        value = (value << np.uint64(8)) | np.uint64(raw[at + i])
    return value


@njit(cache=True, nogil=True)
def _put_text(out: Any, at: Any, raw: Any, begin: Any, end: Any) -> Any:
    """Write a JSON string."""
    out[at] = 34
    at += 1
    for i in range(begin, end):
        byte = raw[i]
        if byte >= 32 and byte != 34 and byte != 92:
            out[at] = byte
            at += 1
            continue
        out[at] = 92
        short = 0
        if byte in (34, 92):
            short = byte
        elif byte == 10:
            short = 110
        elif byte == 13:
            short = 114
        elif byte == 9:
            short = 116
        elif byte == 8:
            short = 98
        elif byte == 12:
            short = 102
        if short:
            out[at + 1] = short
            at += 2
        else:
            out[at + 1], out[at + 2], out[at + 3] = 117, 48, 48
            out[at + 4], out[at + 5] = _HEX[byte >> 4], _HEX[byte & 15]
            at += 6
    out[at] = 34
    return at + 1


@njit(cache=True, nogil=True)
def _put_signed(out: Any, at: Any, value: Any) -> Any:
    if value < 0:
        out[at] = 45
        return put_unsigned(out, at + 1, np.uint64(0) - np.uint64(value))
    return put_unsigned(out, at, np.uint64(value))


@njit(cache=True, nogil=True)
def _head(raw: Any, at: Any) -> Any:
    """What stands at *at*: (sort, number, size of the head); sorts: 0 other, 1 text, 2 array, 3 map, -1 unknown."""
    code = raw[at]
    if code >= 0xA0 and code <= 0xBF:
        return 1, np.int64(code & 31), 1
    if code >= 0x80 and code <= 0x8F:
        return 3, np.int64(code & 15), 1
    if code >= 0x90 and code <= 0x9F:
        return 2, np.int64(code & 15), 1
    if code == 0xD9:
        return 1, np.int64(raw[at + 1]), 2
    if code == 0xDA:
        return 1, np.int64(_big(raw, at + 1, 2)), 3
    if code == 0xDB:
        return 1, np.int64(_big(raw, at + 1, 4)), 5
    if code == 0xDC:
        return 2, np.int64(_big(raw, at + 1, 2)), 3
    if code == 0xDD:
        return 2, np.int64(_big(raw, at + 1, 4)), 5
    if code == 0xDE:
        return 3, np.int64(_big(raw, at + 1, 2)), 3
    if code == 0xDF:
        return 3, np.int64(_big(raw, at + 1, 4)), 5
    return 0, np.int64(code), 1


@njit(cache=True, nogil=True)
def _put_plain(out: Any, at: Any, raw: Any, p: Any, powers: Any) -> Any:
    """Write a number, a truth value or null; returns (place behind it, bytes read), 0 read for what is none."""
    code = raw[p]
    if code <= 0x7F:
        return put_unsigned(out, at, np.uint64(code)), 1
    if code >= 0xE0:
        return _put_signed(out, at, np.int64(code) - 256), 1
    if code == 0xCB:
        return put_double(out, at, _big(raw, p + 1, 8), powers), 9
    if 0xCC <= code <= 0xCF:
        size = 1 << (code - 0xCC)
        return put_unsigned(out, at, _big(raw, p + 1, size)), size + 1
    if 0xD0 <= code <= 0xD3:
        size = 1 << (code - 0xD0)
        shift = np.uint64(64 - 8 * size)
        return _put_signed(out, at, np.int64(_big(raw, p + 1, size) << shift) >> np.int64(shift)), size + 1
    if code == 0xC0:
        out[at], out[at + 1], out[at + 2], out[at + 3] = 110, 117, 108, 108
        return at + 4, 1
    if code == 0xC3:
        out[at], out[at + 1], out[at + 2], out[at + 3] = 116, 114, 117, 101
        return at + 4, 1
    if code == 0xC2:
        out[at], out[at + 1], out[at + 2], out[at + 3], out[at + 4] = 102, 97, 108, 115, 101
        return at + 5, 1
    return at, 0


@njit(cache=True, nogil=True)
def _separate(out: Any, at: Any, counts: Any, maps: Any, depth: Any) -> Any:
    """Write what stands before the next value of the innermost map or list; returns (place, whether it is a key)."""
    done = counts[depth - 1]
    counts[depth - 1] = done + 1
    key = maps[depth - 1] and done % 2 == 0
    if maps[depth - 1] and not key:
        out[at] = 58
        return at + 1, False
    if done:
        out[at] = 44
        at += 1
    return at, key


@njit(cache=True, nogil=True)
def _put_event(out: Any, at: Any, raw: Any, p: Any, end: Any, powers: Any, fields: Any, stack: Any) -> Any:
    """Write one event; returns the place behind it, -1 when it holds what this does not know.

    *fields* receives where the values of the first two keys lie, *stack* is room for nesting.
    """
    counts, totals, maps = stack[0], stack[1], stack[2]
    depth = 0
    while p < end:
        key = False
        if depth:
            at, key = _separate(out, at, counts, maps, depth)
        sort, number, size = _head(raw, p)
        if key and sort != 1:
            return -1
        if sort == 1:
            begin = p + size
            p = begin + number
            at = _put_text(out, at, raw, begin, p)
            if depth == 1 and counts[0] in (2, 4):
                fields[counts[0] - 2], fields[counts[0] - 1] = begin, p
        elif sort >= 2:
            if depth == DEPTH:
                return -1
            p += size
            maps[depth], counts[depth], totals[depth] = sort - 2, 0, number * (sort - 1)
            out[at] = 123 if sort == 3 else 91
            at += 1
            depth += 1
        else:
            at, read = _put_plain(out, at, raw, p, powers)
            if not read:
                return -1
            p += read
        while depth and counts[depth - 1] == totals[depth - 1]:
            depth -= 1
            out[at] = 125 if maps[depth] else 93
            at += 1
        if not depth:
            break
    return at if p == end and not depth else -1


@njit(cache=True, nogil=True)
def msgpack_to_json(
    raw: Any, starts: Any, rows: Any, out: Any, offsets: Any, trace: Any, trace_at: Any, symbol: Any, symbol_at: Any,
    powers: Any,
) -> Any:
    """Write *rows* as JSON, with their trace ids and symbols; returns the first row it cannot write, or -1."""
    stack = np.empty((3, DEPTH), np.int64)
    fields = np.empty(4, np.int64)
    at = np.int64(0)
    for row in range(len(rows)):
        fields[:] = 0
        at = _put_event(out, at, raw, starts[rows[row]], starts[rows[row] + 1], powers, fields, stack)
        if at < 0:
            return row
        trace_at[row + 1] = _copy(trace, trace_at[row], raw, fields[0], fields[1])
        symbol_at[row + 1] = _copy(symbol, symbol_at[row], raw, fields[2], fields[3])
        offsets[row + 1] = at
    return -1


@njit(cache=True, nogil=True)
def _copy(out: Any, at: Any, raw: Any, begin: Any, end: Any) -> Any:
    for i in range(begin, end):
        out[at] = raw[i]
        at += 1
    return at


@njit(cache=True, nogil=True)
def _find(raw: Any, begin: Any, end: Any, wanted: Any) -> Any:
    """Where the text behind the first *wanted* begins, -1 when there is none."""
    size = len(wanted)
    for i in range(begin, end - size):
        if raw[i] == 34 and raw[i + 1] == wanted[1] and raw[i + size - 1] == 34:
            k = 2
            while k < size and raw[i + k] == wanted[k]:
                k += 1
            if k == size:
                return i + size
    return -1


@njit(cache=True, nogil=True)
def copy_lines(
    raw: Any, starts: Any, rows: Any, out: Any, offsets: Any, trace: Any, trace_at: Any, symbol: Any, symbol_at: Any,
) -> None:
    """Copy JSON lines as they are, with the first trace id and the first symbol that each names."""
    at = np.int64(0)
    for row in range(len(rows)):
        begin, end = starts[rows[row]], starts[rows[row] + 1]
        at = _copy(out, at, raw, begin, end)
        offsets[row + 1] = at
        trace_at[row + 1], symbol_at[row + 1] = trace_at[row], symbol_at[row]
        found = _find(raw, begin, end, _TRACE)
        stop = found
        while found >= 0 and stop < end and raw[stop] != 34:
            stop += 1
        if found >= 0:
            trace_at[row + 1] = _copy(trace, trace_at[row], raw, found, stop)
        found = _find(raw, begin, end, _SYMBOL)
        stop = found
        while found >= 0 and stop < end and raw[stop] != 34:
            stop += 1
        if found >= 0:
            symbol_at[row + 1] = _copy(symbol, symbol_at[row], raw, found, stop)
