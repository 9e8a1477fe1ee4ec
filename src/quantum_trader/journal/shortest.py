"""The shortest decimal that parses to the same double, compiled.

R. Giulietti, "The Schubfach way to render doubles" (2021), as in the author's Java and A. Bolz's C++ forms. Texts are
written to addresses: passing arrays between functions costs more than formatting.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from quantum_trader.market.jit import kernel

_LOW: Final = -292
_HIGH: Final = 324


def _powers() -> npt.NDArray[np.uint64]:
    """10^k for k in [-292, 324] as 126-bit numbers rounded up, high and low halves."""
    out = np.empty((_HIGH - _LOW + 1, 2), np.uint64)
    for k in range(_LOW, _HIGH + 1):
        shift = (k * 1741647 >> 19) - 127  # floor(log2(10^k)) - 127
        top, bottom = (10**k, 1) if k >= 0 else (1, 10**-k)
        top, bottom = (top, bottom << shift) if shift >= 0 else (top << -shift, bottom)
        value = -(-top // bottom)
        out[k - _LOW] = value >> 64, value & 0xFFFFFFFFFFFFFFFF
    return out


POWERS: Final = _powers()
_M32: Final = np.uint64(0xFFFFFFFF)
_S32: Final = np.uint64(32)
_NONE: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_TEN: Final = np.uint64(10)
_HUNDRED: Final = np.uint64(100)
NULL: Final = np.uint64(int.from_bytes(b"null", "little"))
_ZERO: Final = np.uint64(int.from_bytes(b"0.0", "little"))
_ZEROS: Final = np.uint64(int.from_bytes(b"0.000000", "little"))
_TWOS: Final = 2.0 ** np.arange(-1075.0, 973.0)
_PAIRS: Final = np.frombuffer("".join(f"{two:02d}" for two in range(100)).encode(), np.uint8).copy()


@intrinsic
def load8(context: Any, place: Any) -> Any:
    """The byte at an address."""

    def make(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        return builder.zext(builder.load(pointer, align=1), ir.IntType(64))

    return types.int64(types.int64), make


@intrinsic
def load64(context: Any, place: Any) -> Any:
    """The eight bytes at an address, the first one lowest."""

    def make(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), align=1)

    return types.uint64(types.int64), make


@intrinsic
def swapped(context: Any, value: Any) -> Any:
    """Eight bytes in reverse order."""

    def make(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), make


@intrinsic
def store8(context: Any, place: Any, value: Any) -> Any:
    """Write a byte to an address."""

    def make(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        builder.store(builder.trunc(arguments[1], ir.IntType(8)), pointer, align=1)

    return types.void(types.int64, types.int64), make


@intrinsic
def store64(context: Any, place: Any, value: Any) -> Any:
    """Write eight bytes to an address, the lowest one first."""

    def make(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), align=1)

    return types.void(types.int64, types.uint64), make


@njit(cache=True, nogil=True, inline="always")
def _high(a: Any, b: Any) -> Any:
    """The upper half of a 64 x 64 bit product."""
    a0, a1, b0, b1 = a & _M32, a >> _S32, b & _M32, b >> _S32
    low = a0 * b0
    middle = a1 * b0 + (low >> _S32)
    other = a0 * b1 + (middle & _M32)
    return a1 * b1 + (middle >> _S32) + (other >> _S32)


@kernel
def _to_odd(g1: Any, g0: Any, c: Any) -> Any:
    """The product's upper part, its last bit set when nonzero bits were cut."""
    x1 = _high(g0, c)
    y0 = g1 * c
    y1 = _high(g1, c)
    total = y0 + x1
    if total < y0:
        y1 += _ONE
    if total > _ONE:
        y1 |= _ONE
    return y1


@kernel
def shortest(bits: Any, powers: Any) -> Any:
    """Digits and exponent of ten of the finite, positive double with these *bits*; *powers*: address of ``POWERS``."""
    fraction = bits & np.uint64(0xFFFFFFFFFFFFF)
    exponent = np.int64((bits >> np.uint64(52)) & np.uint64(0x7FF))
    if exponent:
        c, q = fraction | np.uint64(1 << 52), exponent - 1075
        if -52 <= q <= 0 and c & ((_ONE << np.uint64(-q)) - _ONE) == 0:
            return c >> np.uint64(-q), np.int64(0)
    else:
        c, q = fraction, np.int64(-1074)
    closer = fraction == 0 and exponent > 1
    odd = c & _ONE
    k = (q * 1262611 - 524031) >> 22 if closer else q * 1262611 >> 22
    h = np.uint64(q + (-k * 1741647 >> 19) + 1)
    g1, g0 = load64(powers + 16 * (292 - k)), load64(powers + 16 * (292 - k) + 8)
    four = c << np.uint64(2)
    below = four - (_ONE if closer else np.uint64(2))
    lower = _to_odd(g1, g0, below << h) + odd
    middle = _to_odd(g1, g0, four << h)
    upper = _to_odd(g1, g0, (four + np.uint64(2)) << h) - odd
    s = middle >> np.uint64(2)
    if s >= np.uint64(10):
        tenth = s // np.uint64(10)
        forty = np.uint64(40) * tenth
        down = lower <= forty
        up = forty + np.uint64(40) <= upper
        if down != up:
            return tenth + (_ONE if up else np.uint64(0)), k + 1
    down = lower <= s << np.uint64(2)
    up = (s << np.uint64(2)) + np.uint64(4) <= upper
    if down != up:
        return s + (_ONE if up else np.uint64(0)), k
    half = (s << np.uint64(2)) + np.uint64(2)
    rounds = middle > half or (middle == half and s & _ONE)
    return s + (_ONE if rounds else np.uint64(0)), k


@kernel
def _digits(value: Any) -> Any:
    """The number of decimal digits of *value*."""
    count, bound = 1, np.uint64(10)
    while count < 20 and value >= bound:
        count += 1
        bound *= np.uint64(10)
    return min(count, 20)


@kernel
def put_unsigned(at: Any, value: Any) -> Any:
    """Write an unsigned number; returns the address after it."""
    end = at + _digits(value)
    place = end
    while value >= _HUNDRED:
        rest = value // _HUNDRED
        two = (value - rest * _HUNDRED) << _ONE
        place -= 2
        store8(place, _PAIRS[two])
        store8(place + 1, _PAIRS[two + _ONE])
        value = rest
    if value >= _TEN:
        store8(at, _PAIRS[value << _ONE])
        store8(at + 1, _PAIRS[(value << _ONE) + _ONE])
    else:
        store8(at, np.int64(value) + 48)
    return end


@kernel
def _rounded(bits: Any) -> Any:
    """The double with these *bits* in ten-thousandths when that is exact in at most 15 digits, else 0.

    Different decimals of 15 digits are different doubles, and the quotient of two exact numbers is rounded as in
    parsing: so the decimal that gives the double back is its shortest text.
    """
    exponent = (bits >> np.uint64(52)) & np.uint64(0x7FF)
    if exponent < np.uint64(1009) or exponent > np.uint64(1058):  # 2^-14 and 2^36
        return _NONE
    value = np.float64(bits & np.uint64(0xFFFFFFFFFFFFF) | np.uint64(1 << 52)) * _TWOS[exponent]
    scaled = np.uint64(value * 1e4 + 0.5)
    return scaled if np.float64(scaled) / 1e4 == value else _NONE


@kernel
def put_word(at: Any, word: Any, size: Any) -> Any:
    """Write the first *size* bytes of *word* (and garbage after them); returns the address after them."""
    store64(at, word)
    return at + size


@kernel
def put_double(at: Any, bits: Any, powers: Any) -> Any:
    """Write a double as JSON the way msgspec does: null for NaN and infinities, exponents beyond 1e-5 and 1e16."""
    if (bits >> np.uint64(52)) & np.uint64(0x7FF) == np.uint64(0x7FF):
        return put_word(at, NULL, 4)
    if bits >> np.uint64(63):
        store8(at, 45)
        at += 1
    size = bits & np.uint64(0x7FFFFFFFFFFFFFFF)
    if size == 0:
        return put_word(at, _ZERO, 3)
    digits, exponent = _rounded(size), np.int64(-4)
    if not digits:
        digits, exponent = shortest(size, powers)
    rest = digits // _TEN
    while digits == rest * _TEN:
        digits, exponent = rest, exponent + 1
        rest = digits // _TEN
    count = np.int64(_digits(digits))
    point = count + exponent  # digits before the point
    if 0 < point <= 16:
        return _plain(at, digits, count, point)
    if -5 < point <= 0:
        put_word(at, _ZEROS, 8)
        return put_unsigned(at + 2 - point, digits)
    return _scientific(at, put_unsigned(at, digits), count, point - 1)


@kernel
def _plain(at: Any, digits: Any, count: Any, point: Any) -> Any:
    if point >= count:
        end = put_unsigned(at, digits)
        for _ in range(point - count):
            store8(end, 48)
            end += 1
        store8(end, 46)
        store8(end + 1, 48)
        return end + 2
    end = put_unsigned(at + 1, digits)
    for i in range(point):
        store8(at + i, load8(at + i + 1))
    store8(at + point, 46)
    return end


@kernel
def _scientific(at: Any, end: Any, count: Any, exponent: Any) -> Any:
    if count > 1:
        for i in range(count - 1):
            store8(end - i, load8(end - 1 - i))
        store8(at + 1, 46)
        end += 1
    store8(end, 101)
    end += 1
    if exponent < 0:
        store8(end, 45)
        end += 1
        exponent = -exponent
    return put_unsigned(end, np.uint64(exponent))
