"""Errors that an operator can act on: each names the key, the value and what to do."""

from __future__ import annotations

import math
from typing import Final

_MOST_SHOWN: Final = 200


class QuantumTraderError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(QuantumTraderError, ValueError):
    """A setting, profile or argument is not usable as given."""


class DataError(QuantumTraderError, ValueError):
    """Market data is missing, damaged or out of order."""


class StateError(QuantumTraderError):
    """A saved state cannot be read, written or continued."""


class InputError(QuantumTraderError, ValueError):
    """A value handed to a public function is out of its domain."""


def require(condition: bool, key: str, value: object, hint: str) -> None:
    """Raise InputError naming *key*, *value* and *hint* unless *condition* holds."""
    if not condition:
        raise InputError(f"{key} = {brief(value)}: {hint}")


def require_finite(key: str, value: float, hint: str = "must be a finite number") -> None:
    """Raise InputError unless *value* is a finite number (bool is not a number)."""
    if not is_finite_number(value):
        raise InputError(f"{key} = {brief(value)}: {hint}")


def is_number(value: object) -> bool:
    """Whether *value* is an int or a float (bool is neither) that a float can hold: NaN and the infinities too."""
    return isinstance(value, float) or is_finite_number(value)


def is_finite_number(value: object) -> bool:
    """Whether *value* is an int or a float (bool is neither) that a finite float can hold."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an int beyond the largest float
        return False


def is_utf8_text(value: object) -> bool:
    """Whether *value* is a str that UTF-8 can hold: half of a surrogate pair can be written nowhere."""
    try:
        return isinstance(value, str) and (value.isascii() or value.encode() != b"")
    except UnicodeEncodeError:
        return False


def escaped(text: str) -> str:
    """*text* as one line that a terminal shows and UTF-8 holds: what is not printable stands there as its code."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def brief(value: object) -> str:
    """*value* as an error repeats it: its repr, cut off after 200 characters; its type where it has none."""
    try:
        text = repr(value)
    except (ValueError, TypeError, AttributeError, RecursionError):  # an int of 5,000 digits, a broken object
        return f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… ({len(text):,} characters)"


class VenueError(QuantumTraderError):
    """A venue could not be reached, or its answer is not one of its protocol."""


class OutcomeUnknown(VenueError):  # noqa: N818 - a fact about a request, and it must be treated as one
    """A request was sent and its outcome is unknown: query the venue before any further request."""


class VenueUnavailable(VenueError):  # noqa: N818 - see above
    """A request certainly had no effect; *retry_after_s* is the venue's requested pause in seconds, 0.0 for none."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
