"""Errors that an operator can act on: each names the key, the value and what to do."""

from __future__ import annotations

import math


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
        raise InputError(f"{key} = {value!r}: {hint}")


def require_finite(key: str, value: float, hint: str = "must be a finite number") -> None:
    """Raise InputError unless *value* is a finite number (bool is not a number)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{key} = {value!r}: {hint}")


class VenueError(QuantumTraderError):
    """A venue could not be reached, or its answer is not one of its protocol."""


class OutcomeUnknown(VenueError):  # noqa: N818 - a fact about a request, and it must be treated as one
    """A request was sent and its outcome is unknown: query the venue before any further request."""


class VenueUnavailable(VenueError):  # noqa: N818 - see above
    """A request certainly had no effect; *retry_after_s* is the venue's requested pause in seconds, 0.0 for none."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
