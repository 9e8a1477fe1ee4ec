"""JSON from outside: whatever it holds, it is decoded or refused with one kind of error."""

from __future__ import annotations

from typing import Any, Final, TypeVar, overload

import msgspec

T = TypeVar("T")
UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)  # what msgspec raises for text from outside


@overload
def decode_json(text: str | bytes) -> Any: ...
@overload
def decode_json(text: str | bytes, kind: type[T]) -> T: ...
def decode_json(text: str | bytes, kind: Any = Any) -> Any:
    """*text* as a value of *kind*. Raises msgspec.DecodeError also for nesting without end and for broken UTF-8."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (UnicodeError, RecursionError) as error:
        told = "is nested too deeply" if isinstance(error, RecursionError) else "is not UTF-8"
        raise msgspec.DecodeError(f"JSON {told}") from None
