"""The shortest decimal that reads back as the same double, compiled.

R. Giulietti, "The Schubfach way to render doubles" (2021), as in the author's Java and A. Bolz's C++ forms.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

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
_ONE: Final = np.uint64(1)


@njit(cache=True, nogil=True, inline="always")
def _high(a: Any, b: Any) -> Any:
    """The upper half of a 64 x 64 bit product."""
    a0, a1, b0, b1 = a & _M32, a >> _S32, b & _M32, b >> _S32
    low = a0 * b0
    middle = a1 * b0 + (low >> _S32)
    other = a0 * b1 + (middle & _M32)
    return a1 * b1 + (middle >> _S32) + (other >> _S32)


@njit(cache=True, nogil=True)
def _to_odd(g1: Any, g0: Any, c: Any) -> Any:
    """The product's upper part, its last bit set when anything was cut."""
    x1 = _high(g0, c)
    y0 = g1 * c
    y1 = _high(g1, c)
    total = y0 + x1
    if total < y0:
        y1 += _ONE
    if total > _ONE:
        y1 |= _ONE
    return y1


@njit(cache=True, nogil=True)
def shortest(bits: Any, powers: Any) -> Any:
    """Digits and exponent of ten of the finite, positive double with these *bits*."""
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
    g1, g0 = powers[-k + 292, 0], powers[-k + 292, 1]
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


@njit(cache=True, nogil=True)
def put_unsigned(out: Any, at: Any, value: Any) -> Any:
    """Write an unsigned number; returns the place behind it."""
    digits = 1
    rest = value
    while rest >= np.uint64(10):
        rest //= np.uint64(10)
        digits += 1
    for i in range(digits):
        out[at + digits - 1 - i] = 48 + value % np.uint64(10)
        value //= np.uint64(10)
    return at + digits


@njit(cache=True, nogil=True)
def put_double(out: Any, at: Any, bits: Any, powers: Any) -> Any:
    """Write a double as JSON the way msgspec does: null when it is no number, exponents beyond 1e-5 and 1e16."""
    if (bits >> np.uint64(52)) & np.uint64(0x7FF) == np.uint64(0x7FF):
        out[at], out[at + 1], out[at + 2], out[at + 3] = 110, 117, 108, 108
        return at + 4
    if bits >> np.uint64(63):
        out[at] = 45
        at += 1
        bits &= np.uint64(0x7FFFFFFFFFFFFFFF)
    if bits == 0:
        out[at], out[at + 1], out[at + 2] = 48, 46, 48
        return at + 3
    digits, exponent = shortest(bits, powers)
    while digits % np.uint64(10) == 0:
        digits //= np.uint64(10)
        exponent += 1
    end = put_unsigned(out, at, digits)
    count = end - at
    point = count + exponent  # digits before the point
    if 0 < point <= 16:
        return _plain(out, at, end, count, point)
    if -5 < point <= 0:
        shift = 2 - point
        for i in range(count):
            out[end - 1 - i + shift] = out[end - 1 - i]
        for i in range(shift):
            out[at + i] = 48
        out[at + 1] = 46
        return end + shift
    return _scientific(out, at, end, count, point - 1)


@njit(cache=True, nogil=True)
def _plain(out: Any, at: Any, end: Any, count: Any, point: Any) -> Any:
    if point >= count:
        for _ in range(point - count):
            out[end] = 48
            end += 1
        out[end], out[end + 1] = 46, 48
        return end + 2
    for i in range(count - point):
        out[end - i] = out[end - 1 - i]
    out[at + point] = 46
    return end + 1


@njit(cache=True, nogil=True)
def _scientific(out: Any, at: Any, end: Any, count: Any, exponent: Any) -> Any:
    if count > 1:
        for i in range(count - 1):
            out[end - i] = out[end - 1 - i]
        out[at + 1] = 46
        end += 1
    out[end] = 101
    end += 1
    if exponent < 0:
        out[end] = 45
        end += 1
        exponent = -exponent
    return put_unsigned(out, end, np.uint64(exponent))
