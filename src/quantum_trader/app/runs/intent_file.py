"""A file of recorded intents for a replay or a sweep: one :class:`Intent` a line, as JSON.

Every line is checked before the run starts; a bad one is refused with file, line, key and value.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import ConfigError, InputError, brief
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.trading import Intent
from quantum_trader.live.intents import checked_intent

_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Intent)}
_SHOWN: Final = 60  # characters of a line that is no JSON


class IntentFile(msgspec.Struct, frozen=True, kw_only=True):
    """The intents of a file, the line of each, and a hash of the file's content."""

    path: str
    fingerprint: str
    intents: tuple[Intent, ...]
    lines: tuple[int, ...]

    def of_run(self, symbols: Sequence[str], start_ns: int) -> tuple[Intent, ...]:
        """The intents created from *start_ns* on. Raises ConfigError for one of a symbol that is not in *symbols*."""
        for intent, line in zip(self.intents, self.lines, strict=True):
            if intent.symbol not in symbols:
                raise ConfigError(
                    f"{self.path}: line {line}: symbol = {intent.symbol!r}: is not in this run, which has "
                    f"{', '.join(symbols)}; add the symbol with --symbols, or take the line out"
                )
        return tuple(intent for intent in self.intents if intent.created_ns >= start_ns)

    def statement(self, start_ns: int, end_ns: int) -> str:
        """One sentence: how many of the intents fall into a run from *start_ns* to *end_ns*."""
        inside = sum(start_ns <= intent.created_ns <= end_ns for intent in self.intents)
        left = len(self.intents) - inside
        others = f"; {left} lie before or after it and are left out" if left else ""
        return f"{self.path}: {inside} of {len(self.intents)} outside intents lie in the time of this run{others}"


def read_intents(path: Path) -> IntentFile:
    """The intents of the file *path*. Raises ConfigError with file, line, key and value of the first bad one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--intents {path}: cannot be read ({error.strerror})") from None
    intents: list[Intent] = []
    lines: list[int] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        intent = _intent(line, where)
        if intent.intent_id in seen:
            raise ConfigError(
                f"{where}: intent_id = {intent.intent_id!r}: is that of line {seen[intent.intent_id]} too; an id names "
                "one intent"
            )
        seen[intent.intent_id] = number
        intents.append(intent)
        lines.append(number)
    fingerprint = hashlib.sha256(content).hexdigest()
    return IntentFile(path=str(path), fingerprint=fingerprint, intents=tuple(intents), lines=tuple(lines))


def _intent(line: bytes, where: str) -> Intent:
    try:
        row = decode_json(line)
    except msgspec.DecodeError as error:
        text = line[:_SHOWN].decode("utf-8", errors="backslashreplace")
        raise ConfigError(f"{where}: {text!r}: is not JSON ({error}); write one intent a line") from None
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: {brief(row)}: is not an object with the fields of an intent")
    for key in row:
        if key not in _FIELDS:
            raise ConfigError(
                f"{where}: {key[:_SHOWN]} = {brief(row[key])}: is not a field of an intent; use {', '.join(_FIELDS)}"
            )
    values = {key: _value(row, key, where) for key, field in _FIELDS.items() if key in row or field.required}
    try:
        intent = checked_intent(Intent(**values))
        _check_more(intent)
    except InputError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix('intent.')}") from None
    return intent


def _value(row: dict[str, Any], key: str, where: str) -> Any:
    if key not in row:
        raise ConfigError(f"{where}: {key}: is missing; an intent needs it")
    try:
        return msgspec.convert(row[key], _FIELDS[key].type, strict=True)
    except msgspec.ValidationError as error:
        told = f"{str(error)[:1].lower()}{str(error)[1:]}"
        raise ConfigError(f"{where}: {key} = {brief(row[key])}: {told}") from None


def _check_more(intent: Intent) -> None:
    """Raise InputError for numbers that a file may not hold, beyond what every intent is checked for."""
    for key in ("qty", "reference_price", "leverage", "stop_price", "risk_pct", "confidence"):
        value = getattr(intent, key)
        if not (math.isfinite(value) and value >= 0.0):
            raise InputError(f"intent.{key} = {value!r}: must be a finite number, 0 or above")
    if not intent.confidence <= 1.0:
        raise InputError(f"intent.confidence = {intent.confidence!r}: is a probability, 0 to 1")
    if not 0 < intent.created_ns < 1 << 62:
        raise InputError(f"intent.created_ns = {intent.created_ns!r}: must be nanoseconds since 1970 (UTC)")
    if not intent.created_ns <= intent.expires_ns < 1 << 62:
        raise InputError(f"intent.expires_ns = {intent.expires_ns!r}: must not be before created_ns")
