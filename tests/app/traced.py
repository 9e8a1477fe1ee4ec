"""Numbers that can be told apart in a text: digits of another script, through every format and sum.

A traced number counts and compares as the number that it is; written out, its digits are of the script that it was
given. What a text says in ordinary digits was therefore made of no traced number.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import msgspec

NUMBERS: Final = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")  # of traced numbers
WORDS: Final = str.maketrans("0123456789", "०१२३४५६७८९")  # of traced texts
PLAIN: Final = str.maketrans("٠١٢٣٤٥٦٧٨٩०१२३४५६७८९", "0123456789" * 2)


class TracedFloat(float):
    """A traced number with a fraction."""

    def __format__(self, how: str) -> str:
        return float.__format__(float(self), how).translate(NUMBERS)

    def __str__(self) -> str:
        return repr(float(self)).translate(NUMBERS)


class TracedInt(int):
    """A traced whole number."""

    def __format__(self, how: str) -> str:
        return int.__format__(int(self), how).translate(NUMBERS)

    def __str__(self) -> str:
        return repr(int(self)).translate(NUMBERS)


def _kept(value: Any) -> Any:
    return TracedInt(value) if isinstance(value, int) else TracedFloat(value)


def _operation(name: str) -> Callable[..., Any]:
    def found(self: Any, *others: Any) -> Any:
        plain = (float if isinstance(self, float) else int)(self)
        result = getattr(operator, name)(plain, *others)
        return _kept(result) if isinstance(result, int | float) and not isinstance(result, bool) else result

    return found


def _reversed(name: str) -> Callable[..., Any]:
    return lambda self, other: _kept(getattr(operator, name)(other, (float if isinstance(self, float) else int)(self)))


for _kind in (TracedFloat, TracedInt):
    for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "neg", "abs"):
        setattr(_kind, f"__{_name}__", _operation(_name))
    for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod"):
        setattr(_kind, f"__r{_name}__", _reversed(_name))


def traced(value: Any, *, numbers: bool = True, keys: bool = False) -> Any:
    """The document or struct *value* with every text of it traced; its numbers, and the keys of its tables, if wanted.
    """
    if isinstance(value, msgspec.Struct):
        fields = (field.name for field in msgspec.structs.fields(value))
        return msgspec.structs.replace(
            value, **{name: traced(getattr(value, name), numbers=numbers, keys=keys) for name in fields}
        )
    if isinstance(value, dict):
        return {
            key.translate(WORDS) if keys else key: traced(one, numbers=numbers, keys=keys)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(traced(one, numbers=numbers, keys=keys) for one in value)
    if type(value) is str:
        return value.translate(WORDS)
    if type(value) in (int, float) and numbers:
        return _kept(value)
    return value
