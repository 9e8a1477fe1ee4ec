"""What a body of another program holds: its secret, and its fields as flat names with plain values.

The secret is taken out of the bytes before anything reads them, so that no message, record or file can repeat it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from quantum_trader.domain.errors import InputError, brief

SECRET_PREFIX: Final = "qts"
REDACTED: Final = "***"
MOST_SIGNAL_BYTES: Final = 16 << 10
_SECRET: Final = re.compile(rb"qts_[0-9a-f]{8}_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
_ANY_TOKEN: Final = re.compile(rb"qts?_[0-9a-f]{8}_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")  # of the API too
_MOST_SECRETS: Final = 4  # that one body may state
_MOST_DEPTH: Final = 6
_MOST_FIELDS: Final = 200
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')

FieldValue = str | int | float | bool | None


class SignalRefused(InputError):  # noqa: N818 - an answer to a sender
    """A signal that is not taken: *reason* is the name it is counted under, the text is for its sender."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def secrets_in(body: bytes) -> tuple[list[str], bytes]:
    """The secrets that *body* states wherever they stand, and the body without them and without the API's tokens."""
    found = list(dict.fromkeys(_SECRET.findall(body[:MOST_SIGNAL_BYTES])))[:_MOST_SECRETS]
    return [one.decode("ascii") for one in found], _ANY_TOKEN.sub(REDACTED.encode(), body)


def body_fields(body: bytes, pattern: str, actions: Sequence[str]) -> dict[str, FieldValue]:
    """The fields of *body*: of a JSON object its values by dotted names in small letters, of a text its parts.

    Where there is a regular expression *pattern*, its named groups are fields too, and of a text the only ones. The
    parts of another text stand between commas, semicolons, lines or blanks: ``name=value``, and without names an action
    of *actions* with its symbol after it. Raises SignalRefused.
    """
    if len(body) > MOST_SIGNAL_BYTES:
        raise SignalRefused("too_large", f"body: has {len(body):,} bytes; at most {MOST_SIGNAL_BYTES:,} are read")
    try:
        text = body.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SignalRefused("unreadable", "body: is not UTF-8") from None
    if not text:
        raise SignalRefused("unreadable", "body: is empty")
    if text[0] in "{[":
        found = _flat(_object(body, text))
        return {**found, **_matched(text, pattern)} if pattern else found
    return _matched(text, pattern) if pattern else _parts(text, actions)


def _object(body: bytes, text: str) -> dict[str, Any]:
    depth = most = 0
    for token in _BRACKETS.findall(body):
        depth += (token in b"{[") - (token in b"}]")
        most = max(most, depth)
    if most > _MOST_DEPTH:
        raise SignalRefused("nested", f"body: is nested {most} levels deep; at most {_MOST_DEPTH} are read")
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, SignalRefused):
            raise
        place = f" ({error.msg}, character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise SignalRefused("unreadable", f"body: is no JSON{place}") from None
    if not isinstance(found, dict):
        raise SignalRefused("unreadable", "body: is no JSON object, such as {\"action\": \"buy\"}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object each of whose names stands once: of two prices nobody knows which one is meant."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        name = key.strip().lower()
        if name in made:
            raise SignalRefused("unreadable", f"{brief(key)}: stands twice in the body")
        made[name] = value
    return made


def _flat(found: dict[str, Any]) -> dict[str, FieldValue]:
    made: dict[str, FieldValue] = {}
    ahead: list[tuple[str, Any]] = list(found.items())
    while ahead:
        name, value = ahead.pop()
        if isinstance(value, dict):
            ahead += [(f"{name}.{key}", one) for key, one in value.items()]
        elif isinstance(value, list):
            ahead += [(f"{name}.{place}", one) for place, one in enumerate(value)]
        elif name in made:
            raise SignalRefused("unreadable", f"{brief(name)}: stands twice in the body")
        else:
            made[name] = value.strip() if isinstance(value, str) else value
        if len(made) + len(ahead) > _MOST_FIELDS:
            raise SignalRefused("too_large", f"body: has more than {_MOST_FIELDS} fields")
    return made


def _matched(text: str, pattern: str) -> dict[str, FieldValue]:
    found = re.search(pattern, text, re.IGNORECASE)
    if found is None:
        raise SignalRefused("unreadable", f"body = {brief(text)}: does not match the source's pattern")
    return {name.lower(): value.strip() for name, value in found.groupdict().items() if value is not None}


def _parts(text: str, actions: Sequence[str]) -> dict[str, FieldValue]:
    split = r"[,;\n]+" if re.search(r"[,;\n]", text) else r"\s+"
    made: dict[str, FieldValue] = {}
    plain = []
    for part in filter(None, (one.strip() for one in re.split(split, text))):
        name, sign, value = part.partition("=")
        if not sign:
            plain.append(part)
        elif (key := name.strip().lower()) in made:
            raise SignalRefused("unreadable", f"{brief(key)}: stands twice in the body")
        else:
            made[key] = value.strip()
    at = next((place for place, one in enumerate(plain) if one.lower() in actions), None)
    if at is not None:
        made.setdefault("action", plain[at])
        if len(plain) > at + 1:
            made.setdefault("symbol", plain[at + 1])
    if not made:
        raise SignalRefused("unreadable", f"body = {brief(text)}: is neither JSON nor a text with an action in it")
    return made
