"""Reading request parameters, and refusing them in Binance's codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from quantum_trader.venues.local.api_errors import VenueApiError

Params = Mapping[str, str]
_DECIMAL: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"  # as Binance's error messages quote it
_WHOLE: Final = "^[0-9]{1,20}$"
# As it is parsed: a sign is accepted here, the use of the number refuses it.
_IS_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_IS_WHOLE: Final = re.compile("-?[0-9]{1,20}")


def text(params: Params, name: str, default: str | None = None) -> str:
    """A text; -1102 when it is mandatory (no *default*) and missing."""
    value = params.get(name, "")
    if value == "":
        if default is None:
            raise VenueApiError(-1102, name)
        return default
    return value


def number(params: Params, name: str, default: float | None = None) -> float:
    """A finite decimal; -1102 when missing, -1100 when it is none."""
    value = params.get(name, "")
    if value == "":
        if default is None:
            raise VenueApiError(-1102, name)
        return default
    if _IS_DECIMAL.fullmatch(value) is None:
        raise VenueApiError(-1100, name, _DECIMAL)
    return float(value)


def whole(params: Params, name: str, default: int | None = None, *, low: int = 0, high: int = 2**63) -> int:
    """A whole number in [low, high]; -1130 outside."""
    value = params.get(name, "")
    if value == "":
        if default is None:
            raise VenueApiError(-1102, name)
        return default
    if _IS_WHOLE.fullmatch(value) is None:
        raise VenueApiError(-1100, name, _WHOLE)
    found = int(value)
    if not low <= found <= high:
        raise VenueApiError(-1130, name)
    return found


def flag(params: Params, name: str, default: bool | None = None) -> bool:
    """"true" or "false", in any case; -1102 or -1130 otherwise."""
    value = text(params, name, "" if default is not None else None).lower()
    if value == "" and default is not None:
        return default
    if value not in ("true", "false"):
        raise VenueApiError(-1130, name)
    return value == "true"


def choice(params: Params, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    """One of *allowed*; -1130 otherwise."""
    value = text(params, name, default)
    if value not in allowed:
        raise VenueApiError(-1130, name)
    return value
