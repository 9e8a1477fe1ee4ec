"""The check of an event's fields when it is made.

msgspec checks types when it decodes, not in a constructor. Each struct gets a second one, an array of the same field
types, and its values are converted to that: one compiled call, with the bounds of ``domain.fields``. A second call
encodes them: text that is not UTF-8, a number beyond 64 bits or an object in ``facts`` is refused here and not later,
by a logger.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, NamedTuple, get_origin

import msgspec
from msgspec.structs import astuple, force_setattr

from quantum_trader.domain.errors import InputError
from quantum_trader.domain.fields import FrozenDict


class _Shape(NamedTuple):
    """The array of a struct's field types, and the names of its mappings."""

    array: type[msgspec.Struct]
    mappings: tuple[str, ...]


_shapes: Final[dict[type[msgspec.Struct], _Shape]] = {}
_encode: Final = msgspec.msgpack.Encoder().encode  # the journal's encoding
_UNWRITABLE: Final = (UnicodeEncodeError, TypeError, OverflowError, RecursionError, ValueError)


def check_fields(event: msgspec.Struct) -> None:
    """Raise InputError for a field of *event* that is not of its type or range; make its mappings unchangeable."""
    shape = _shapes.get(type(event)) or _shape_of(type(event))
    values = astuple(event)
    try:
        msgspec.convert(values, shape.array)
        _encode(values)
    except _UNWRITABLE:
        _check_each(event)
    for name in shape.mappings:
        given = getattr(event, name)
        if odd := _odd_keys(given.values()):
            raise InputError(
                f"{type(event).__name__}.{name} = {given!r}: cannot be written: the key {odd[0]!r} is no text; the "
                "event is refused"
            )
        force_setattr(event, name, FrozenDict(getattr(event, name)))


def _odd_keys(values: Iterable[Any]) -> list[Any]:
    """The keys of mappings within *values* that are no text: JSON would turn them into text."""
    odd: list[Any] = []
    for value in values:
        if isinstance(value, dict):
            odd += [key for key in value if not isinstance(key, str)] + _odd_keys(value.values())
        elif isinstance(value, (list, tuple)):
            odd += _odd_keys(value)
    return odd


def unwritable(value: Any) -> str:
    """Why the journal cannot write *value*; empty when it can."""
    try:
        _encode(value)
    except _UNWRITABLE as error:
        return f"cannot be written: {error}"
    return ""


def _shape_of(kind: type[msgspec.Struct]) -> _Shape:
    fields = msgspec.structs.fields(kind)
    array = msgspec.defstruct(kind.__name__, [(one.name, one.type) for one in fields], array_like=True)
    shape = _shapes[kind] = _Shape(array, tuple(one.name for one in fields if get_origin(one.type) is dict))
    return shape


def _check_each(event: msgspec.Struct) -> None:
    """Check field by field: numbers of numpy become Python's, and the first wrong field is named."""
    for field in msgspec.structs.fields(type(event)):
        value = given = getattr(event, field.name)
        try:
            value = _plain(given)
            msgspec.convert(value, field.type)
            wrong = unwritable(value)
        except msgspec.ValidationError as error:
            wrong = _sentence(str(error))
        except RecursionError:
            wrong = "cannot be written: it contains itself or is nested too deeply"
        if wrong:
            raise InputError(f"{type(event).__name__}.{field.name} = {given!r}: {wrong}; the event is refused")
        force_setattr(event, field.name, value)


def _plain(value: Any) -> Any:
    """A number or text of another library as the Python one it stands for; anything else as it is."""
    if isinstance(value, (bool, Enum)):
        return value
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return str(value) if isinstance(value, str) else value


def _sentence(text: str) -> str:
    """msgspec's sentence in the words of the other refusals."""
    return text.replace("Expected ", "must be ", 1).replace("`", "")
