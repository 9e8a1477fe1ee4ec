"""Compiled conversion of many events from msgpack to JSON text, with the common columns.

The functions read from and write to addresses. The input must have ``SLACK`` readable bytes after the last event: words
of eight bytes are read across the end of a text.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quantum_trader.journal.shortest import (
    NULL,
    load8,
    load64,
    put_double,
    put_unsigned,
    put_word,
    store8,
    store64,
    swapped,
)
from quantum_trader.market.jit import kernel

DEPTH: Final = 64
SLACK: Final = 16
ROOM: Final = 4 + 3 * DEPTH
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8).copy()
_SHORT: Final = np.zeros(256, np.uint8)  # the letter of a two-byte escape
_SHORT[[34, 92, 10, 13, 9, 8, 12]] = np.frombuffer(b'"\\nrtbf', np.uint8)
_TRACE: Final = np.frombuffer(b'"trace_id":"', np.uint8).copy()
_SYMBOL: Final = np.frombuffer(b'"symbol":"', np.uint8).copy()
_TRUE: Final = np.uint64(int.from_bytes(b"true", "little"))
_FALSE: Final = np.uint64(int.from_bytes(b"false", "little"))
_ONES: Final = np.uint64(0x0101010101010101)
_TOPS: Final = np.uint64(0x8080808080808080)
_SPACES: Final = np.uint64(0x2020202020202020)
_QUOTES: Final = np.uint64(0x2222222222222222)
_STROKES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel
def _big(p: Any, size: Any) -> Any:
    """An unsigned big-endian number of *size* bytes."""
    return swapped(load64(p)) >> np.uint64(64 - 8 * size)


@kernel
def _strange(word: Any) -> Any:
    """Not 0 when one of eight bytes is a control, a quote or a backslash (Anderson, "Bit twiddling hacks")."""
    quotes, strokes = word ^ _QUOTES, word ^ _STROKES
    return (((word - _SPACES) & ~word) | ((quotes - _ONES) & ~quotes) | ((strokes - _ONES) & ~strokes)) & _TOPS


@kernel
def _escape(at: Any, byte: Any) -> Any:
    """Write one byte of a JSON string."""
    if byte >= 32 and byte != 34 and byte != 92:
        store8(at, byte)
        return at + 1
    store8(at, 92)
    if _SHORT[byte]:
        store8(at + 1, _SHORT[byte])
        return at + 2
    store8(at + 1, 117)
    store8(at + 2, 48)
    store8(at + 3, 48)
    store8(at + 4, _HEX[byte >> 4])
    store8(at + 5, _HEX[byte & 15])
    return at + 6


@kernel
def _put_text(at: Any, p: Any, end: Any) -> Any:
    """Write a JSON string; plain bytes eight at a time."""
    store8(at, 34)
    at += 1
    while p < end:
        word, size = load64(p), min(end - p, 8)
        if size < 8:
            mask = _ALL >> np.uint64(64 - 8 * size)
            word = (word & mask) | (_SPACES & ~mask)
        if _strange(word):
            for i in range(size):
                at = _escape(at, load8(p + i))
        else:
            store64(at, word)
            at += size
        p += size
    store8(at, 34)
    return at + 1


@kernel
def _put_signed(at: Any, value: Any) -> Any:
    if value < 0:
        store8(at, 45)
        return put_unsigned(at + 1, np.uint64(0) - np.uint64(value))
    return put_unsigned(at, np.uint64(value))


@kernel
def _head(p: Any, code: Any) -> Any:
    """The msgpack head at *p*: (type, number, size of the head); types: 0 other, 1 text, 2 array, 3 map."""
    if code >= 0xA0 and code <= 0xBF:
        return 1, code & 31, 1
    if code >= 0x80 and code <= 0x8F:
        return 3, code & 15, 1
    if code >= 0x90 and code <= 0x9F:
        return 2, code & 15, 1
    if code >= 0xD9 and code <= 0xDB:
        size = 1 << (code - 0xD9)
        return 1, np.int64(_big(p + 1, size)), size + 1
    if code >= 0xDC and code <= 0xDF:
        size = 2 << (code & 1)
        return 2 + (code - 0xDC >> 1), np.int64(_big(p + 1, size)), size + 1
    return 0, code, 1


@kernel
def _put_plain(at: Any, p: Any, code: Any, powers: Any) -> Any:
    """Write a number, a truth value or null; returns (address after it, bytes read); 0 read for other types."""
    if code == 0xCB:
        return put_double(at, swapped(load64(p + 1)), powers), 9
    if code <= 0x7F:
        return put_unsigned(at, np.uint64(code)), 1
    if code >= 0xE0:
        return _put_signed(at, code - 256), 1
    if code >= 0xCC and code <= 0xCF:
        size = 1 << (code - 0xCC)
        return put_unsigned(at, _big(p + 1, size)), size + 1
    if code >= 0xD0 and code <= 0xD3:
        size = 1 << (code - 0xD0)
        shift = 64 - 8 * size
        return _put_signed(at, np.int64(swapped(load64(p + 1))) >> shift), size + 1
    if code == 0xC0:
        return put_word(at, NULL, 4), 1
    if code == 0xC3:
        return put_word(at, _TRUE, 4), 1
    if code == 0xC2:
        return put_word(at, _FALSE, 5), 1
    return at, 0


@kernel
def _put_event(at: Any, p: Any, end: Any, powers: Any, fields: Any, stack: Any) -> Any:
    """Write one event; returns the address after it, -1 when it holds an unsupported value.

    *fields*: address of two pairs for the positions of the values of the first two keys; *stack*: memory for nesting.
    Every value is followed by its comma or colon; a closing bracket takes the place of the last one.
    """
    depth, left, closing, total = 0, 1, 0, 1
    while p < end:
        code = load8(p)
        sort, number, size = _head(p, code)
        if sort != 1 and closing == 125 and left & 1 == 0:
            return -1  # a key that is no text
        if sort == 1:
            begin, p = p + size, p + size + number
            at = _put_text(at, begin, p)
            place = total - left
            if depth == 1 and closing == 125 and (place == 1 or place == 3):
                store64(fields + 8 * (place - 1), np.uint64(begin))
                store64(fields + 8 * place, np.uint64(p))
        elif sort:
            if depth == DEPTH:
                return -1
            p += size
            store64(stack + 24 * depth, np.uint64(left))
            store64(stack + 24 * depth + 8, np.uint64(closing))
            store64(stack + 24 * depth + 16, np.uint64(total))
            depth, left, closing = depth + 1, number * (sort - 1), 125 if sort == 3 else 93
            total = left
            store8(at, closing - 2)
            at += 1
            if left:
                continue
            at, depth, left, closing, total = _close(at + 1, depth, stack, closing)
        else:
            at, read = _put_plain(at, p, code, powers)
            if not read:
                return -1
            p += read
        left -= 1
        store8(at, 58 if closing == 125 and left & 1 else 44)
        at += 1
        while depth and not left:
            at, depth, left, closing, total = _close(at, depth, stack, closing)
            left -= 1
            store8(at, 58 if closing == 125 and left & 1 else 44)
            at += 1
    return at - 1 if p == end and not depth and not left else -1


@kernel
def _close(at: Any, depth: Any, stack: Any, closing: Any) -> Any:
    """End the innermost map or list; returns the address, the depth and the saved state of the enclosing one."""
    store8(at - 1, closing)
    depth -= 1
    place = stack + 24 * depth
    return at, depth, np.int64(load64(place)), np.int64(load64(place + 8)), np.int64(load64(place + 16))


@kernel
def _at(array: Any) -> Any:
    return np.int64(array.ctypes.data)


@kernel
def msgpack_to_json(
    raw: Any, starts: Any, rows: Any, out: Any, offsets: Any, trace: Any, trace_at: Any, symbol: Any, symbol_at: Any,
    powers: Any, room: Any,
) -> Any:
    """Write *rows* as JSON, with their trace ids and symbols; returns the first row it cannot write, or -1.

    *room* is ``ROOM`` numbers of working memory. The caller owns it, as every array whose address is taken: an array
    made here would be freed after its last use by name.
    """
    source, target, trace_to, symbol_to = _at(raw), _at(out), _at(trace), _at(symbol)
    fields_at, powers_at = _at(room), _at(powers)
    stack_at = fields_at + 8 * 4
    at = target
    for row in range(len(rows)):
        room[:4] = 0
        begin, end = source + starts[rows[row]], source + starts[rows[row] + 1]
        at = _put_event(at, begin, end, powers_at, fields_at, stack_at)
        if at < 0:
            return row
        trace_at[row + 1] = _copy(trace_to + trace_at[row], room[0], room[1]) - trace_to
        symbol_at[row + 1] = _copy(symbol_to + symbol_at[row], room[2], room[3]) - symbol_to
        offsets[row + 1] = at - target
    return -1


@kernel
def _copy(at: Any, begin: Any, end: Any) -> Any:
    """Copy bytes, eight at a time; up to seven bytes after them are overwritten too."""
    for i in range(0, end - begin, 8):
        store64(at + i, load64(begin + i))
    return at + end - begin


@kernel
def _find(begin: Any, end: Any, wanted: Any) -> Any:
    """The text after the first *wanted*: addresses (begin, end), equal when there is none."""
    size = len(wanted)
    for i in range(begin, end - size):
        if load8(i) == 34 and load8(i + 1) == wanted[1] and load8(i + size - 1) == 34:
            k = 2
            while k < size and load8(i + k) == wanted[k]:
                k += 1
            if k == size:
                stop = i + size
                while stop < end and load8(stop) != 34:
                    stop += 1
                return i + size, stop
    return end, end


@kernel
def copy_lines(
    raw: Any, starts: Any, rows: Any, out: Any, offsets: Any, trace: Any, trace_at: Any, symbol: Any, symbol_at: Any,
) -> None:
    """Copy JSON lines as they are, with the first trace id and the first symbol that each names."""
    source, target, trace_to, symbol_to = _at(raw), _at(out), _at(trace), _at(symbol)
    at = target
    for row in range(len(rows)):
        begin, end = source + starts[rows[row]], source + starts[rows[row] + 1]
        at = _copy(at, begin, end)
        offsets[row + 1] = at - target
        first, stop = _find(begin, end, _TRACE)
        trace_at[row + 1] = _copy(trace_to + trace_at[row], first, stop) - trace_to
        first, stop = _find(begin, end, _SYMBOL)
        symbol_at[row + 1] = _copy(symbol_to + symbol_at[row], first, stop) - symbol_to
