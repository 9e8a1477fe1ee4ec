"""Decodes lists of rows of which some may be unreadable: one odd row, of whatever symbol, hides no other row.

A row is unreadable when a field is missing or of another kind, when a number is not finite or beyond any real
quantity, price or amount of money, or when the time of what it reports is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.json_text import UNREADABLE
from quantum_trader.venues.binance import wire
from quantum_trader.venues.binance.wire import T

LARGEST: Final = 1e18  # beyond it a number is no quantity, price or amount of money
_LATEST_MS: Final = 10**14  # the year 5138
_TIMES: Final = ("time", "funding_time")  # of an execution, a payment or a transfer, ms
_NONE: Final[dict[str, type[Any]]] = {}
_BLANKS: Final[dict[Any, Any]] = {str: "", int: 0, float: math.nan, bool: False}


class Readable(list[T]):
    """The readable rows of an answer; *told* is how many rows it had, which says whether its page was full."""

    told: int = 0


def finite(value: float, otherwise: float = 0.0) -> float:
    """*value*, or *otherwise* when it is no finite number below 1e18."""
    return value if abs(value) < LARGEST else otherwise  # a comparison with NaN is False


def readable_rows(kind: type[T]) -> Callable[[bytes], Readable[T]]:
    """A decoder of a list of *kind* that leaves unreadable rows out, and counts them.

    It raises msgspec.DecodeError for an answer that is no list.
    """
    whole = wire.decoder(list[kind]).decode  # type: ignore[valid-type]

    def decode(answer: bytes) -> Readable[T]:
        try:
            rows: list[Any] = whole(answer)
        except UNREADABLE as error:
            rows = [_strict(kind, row) for row in _loose_list(answer, error)]
        found = Readable(row for row in rows if row is not None and _is_readable(row))
        found.told = len(rows)
        return found

    return decode


def all_rows(kind: type[T]) -> Callable[[bytes], list[T]]:
    """A decoder of a list of *kind* that keeps every row, with what can be read of it.

    A field that cannot be read has its default; without one a number is NaN, an integer 0 and a text empty. It raises
    msgspec.DecodeError for an answer that is no list.
    """
    whole = wire.decoder(list[kind]).decode  # type: ignore[valid-type]

    def decode(answer: bytes) -> list[T]:
        try:
            rows: list[T] = whole(answer)
        except UNREADABLE as error:
            return [salvaged(kind, row) for row in _loose_list(answer, error)]
        return rows

    return decode


def with_readable(
    kind: type[T], lists: Mapping[str, type[Any]], *, whole: Mapping[str, type[Any]] = _NONE
) -> Callable[[bytes], T]:
    """A decoder of *kind* whose lists may hold rows that cannot be read.

    *lists* names lists and the kind of their rows: unreadable rows are left out. Of the lists *whole* every row is
    kept, with what can be read of it (:func:`salvaged`). It raises msgspec.DecodeError where the rest has another
    shape.
    """
    strict = wire.decoder(kind).decode

    def decode(answer: bytes) -> T:
        try:
            return strict(answer)
        except UNREADABLE as error:
            found = _loose(answer, error)
            if not isinstance(found, dict):
                raise
            rows: dict[str, list[Any]] = {}
            for key, row_kind in {**lists, **whole}.items():
                if not isinstance(told := found.get(key, []), list):
                    raise
                read = [salvaged(row_kind, row) if key in whole else _strict(row_kind, row) for row in told]
                rows[key] = [row for row in read if row is not None]
            try:
                rest = {key: value for key, value in found.items() if key not in rows}
                blank: dict[str, list[Any]] = {key: [] for key in rows if key in found}
                made = msgspec.convert(_plain({**rest, **blank}), kind, strict=False)
            except (ValueError, OverflowError):
                raise error from None
            return msgspec.structs.replace(made, **rows)  # type: ignore[type-var]

    return decode


def salvaged(kind: type[T], row: object) -> T:
    """What can be read of *row* as a *kind*."""
    known = row if isinstance(row, dict) else {}
    fields = msgspec.structs.fields(kind)  # type: ignore[arg-type]
    return kind(**{field.name: _field(field, known.get(field.encode_name)) for field in fields})


def milliseconds(value: int) -> int:
    """A time stamp, or 0 when it is none."""
    return value if is_time(value) else 0


def is_time(value: int) -> bool:
    """Whether *value* can be a time stamp in ms."""
    return 0 <= value < _LATEST_MS


def _field(field: Any, value: object) -> Any:
    if value is not None:
        try:
            return msgspec.convert(_plain(value), field.type, strict=False)
        except (msgspec.ValidationError, ValueError, OverflowError):
            pass
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return _BLANKS.get(field.type)


def _strict(kind: type[T], row: object) -> T | None:
    """*row* as a *kind*; None when it is none."""
    try:
        return msgspec.convert(_plain(row), kind, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError):
        return None


def _is_readable(row: Any) -> bool:
    return (
        all(not isinstance(value, float) or abs(value) < LARGEST for value in _values(row))
        and all(is_time(getattr(row, name, 0)) for name in _TIMES)
    )


def _values(row: Any) -> list[Any]:
    return [getattr(row, name) for name in row.__struct_fields__]


def _loose_list(answer: bytes, error: Exception) -> list[Any]:
    """The rows of *answer*, also where a single number or text of it is malformed; raises *error* for another shape."""
    found = _loose(answer, error)
    if not isinstance(found, list):
        raise error
    return found


def _loose(answer: bytes, error: Exception) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise error from None


def _plain(value: Any) -> Any:
    """*value* with texts that can be written (no lone surrogates)."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
