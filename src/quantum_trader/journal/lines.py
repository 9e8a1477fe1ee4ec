"""Lines that are already JSON: what the line of a kind must be, and the typed event that it states.

A run's topic has the schema of ``engine.record_types``, a typed kind that of its struct; any other kind is a JSON
object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.journal.checked import unwritable
from quantum_trader.journal.kinds import (
    BY_NAME,
    DecisionEvent,
    Event,
    FillEvent,
    IntentEvent,
    OrderEvent,
    PolicyEvent,
    SignalEvent,
    TradeEvent,
)
from quantum_trader.journal.leakage import LeakageError, check, ensure

Decode = Callable[[bytes], Any]
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decoders: Final[dict[str, tuple[Decode, ...]]] = {}
_open: Final[dict[str, type[msgspec.Struct]]] = {}  # the keys that the data of these topics has at least


class _Fit(msgspec.Struct, frozen=True):
    """How a topic's record becomes a typed event: its type, its other names for fields, and what the topic implies."""

    type: type[Event]
    names: Mapping[str, str] = {}
    implied: Mapping[str, str] = {}


TYPED_TOPICS: Final[dict[str, _Fit]] = {
    "signal.generated": _Fit(SignalEvent, {"action": "side"}),
    "signal.decided": _Fit(DecisionEvent),
    "trade.intent": _Fit(IntentEvent),
    "order.submitted": _Fit(OrderEvent, {}, {"status": "SUBMITTED"}),
    "order.cancel": _Fit(OrderEvent, {}, {"status": "CANCEL_REQUESTED"}),
    "order.updated": _Fit(OrderEvent),
    "order.filled": _Fit(FillEvent),
    "trade.closed": _Fit(TradeEvent),
    "policy.updated": _Fit(PolicyEvent, {"content_hash": "policy_hash", "max_risk_pct": "risk_pct", "note": "reason"}),
}
KIND_TOPICS: Final[dict[str, tuple[str, ...]]] = {  # the topics of a run whose records are events of a typed kind
    name: topics for name, kind in BY_NAME.items()
    if kind.type is not None and (topics := tuple(key for key, fit in TYPED_TOPICS.items() if fit.type is kind.type))
}


def check_record(topic: str, ts_ns: int, line: bytes) -> None:
    """Check what the recorder that wrote *line* has not: InputError or LeakageError.

    A recorder accepts only the structs of a topic, whose fields have their types. It does not look at values: fields
    with bounds, those of a topic that is written as a mapping, and the times of features are decoded here. Decoding
    the rest again would cost more than all other recording.
    """
    decode = _unchecked().get(topic)
    if decode is None:
        return
    try:
        event = decode(line)
    except ValueError as error:
        raise InputError(f"record of {topic!r} = {line[:80]!r}: {error}; the record is refused") from None
    if event.topic != topic:
        raise InputError(f"record of {topic!r}: its topic is {event.topic!r}; the record is refused")
    ensure(topic, ts_ns, event.data)


@cache
def _unchecked() -> dict[str, Decode]:
    """The topics with values that a recorder does not check, each with a decoder of these values alone."""
    from quantum_trader.engine.record_types import DATA_TYPES, OPEN

    found: dict[str, Decode] = {}
    for topic, types in DATA_TYPES.items():
        fields = {field.name: field.type for one in types for field in msgspec.structs.fields(one)}
        bounded = [(name, kind) for name, kind in fields.items() if _bounded(kind)]
        if types[0] in OPEN or bounded:
            data = types[0] if types[0] in OPEN else msgspec.defstruct("Values", bounded)
            found[topic] = msgspec.json.Decoder(msgspec.defstruct("Line", [("topic", str), ("data", data)])).decode
    return found


def _bounded(kind: Any) -> bool:
    return get_origin(kind) in (Annotated, Literal) or any(map(_bounded, get_args(kind)))


def check_line(kind: str, ts_ns: int, line: bytes) -> Any:
    """Return *line* decoded as an event of *kind* that happened at *ts_ns*.

    Raises InputError when it is not JSON of its kind, LeakageError when it states a feature from its future.
    """
    decoders = _decoders.get(kind) or _decoders_of(kind)
    try:
        event = decoders[0](line)
    except ValueError as error:
        event = _other(decoders[1:], kind, line, error)
    if kind in _open:
        _check_open(kind, event)
    if (kind in TYPED_TOPICS or not isinstance(event, dict)) and (wrong := unwritable(event)):
        raise InputError(f"line of kind {kind!r} = {line[:80]!r}: {wrong}; the line is refused")
    stated = event.get("data") if isinstance(event, dict) else getattr(event, "data", None)
    for data in (event, stated) if isinstance(event, dict) else (event if stated is None else stated,):
        if data is not None and (leak := check(kind, ts_ns, data)) is not None:
            raise LeakageError(leak)
    if not isinstance(event, dict) and getattr(event, "topic", kind) != kind:
        raise InputError(f"line of kind {kind!r}: its topic is {event.topic!r}; the line is refused")
    return event


def _decoders_of(kind: str) -> tuple[Decode, ...]:
    """The decoders of *kind*, one for each type that its lines may have."""
    from quantum_trader.engine import record_types  # here: a logger of typed events does not load it

    registered = BY_NAME.get(kind)
    if kind in record_types.DATA_TYPES:
        types: tuple[Any, ...] = record_types.line_types(kind)
        first = record_types.DATA_TYPES[kind][0]
        if first in record_types.OPEN:
            _open[kind] = first
    elif registered is not None and registered.type is not None:
        types = (record_types.json_type(registered.type),)
    else:
        types = (dict[str, Any],)
    found = _decoders[kind] = tuple(msgspec.json.Decoder(one).decode for one in types)
    return found


def _other(decoders: tuple[Decode, ...], kind: str, line: bytes, first: ValueError) -> Any:
    """Decode with the kind's other types; InputError with the *first* failure when none fits."""
    for decode in decoders:
        try:
            return decode(line)
        except ValueError:
            continue
    raise InputError(f"line of kind {kind!r} = {line[:80]!r}: {first}; the line is refused") from None


def _check_open(kind: str, event: Any) -> None:
    try:
        msgspec.convert(event.data, _open[kind])
    except msgspec.ValidationError as error:
        raise InputError(f"line of kind {kind!r}: data: {error}; the line is refused") from None


def typed_event(kind: str, payload: bytes) -> Event | None:
    """The typed event that a payload of *kind* states; None for a kind that has none.

    What a run's record holds beyond the fields of its typed event is in ``facts``. Raises InputError when the payload
    does not have the fields of its kind.
    """
    try:
        if (fit := TYPED_TOPICS.get(kind)) is not None:
            return _from_record(fit, _object(payload))
        registered = BY_NAME.get(kind)
        if registered is None or registered.type is None:
            return None
        return _made(registered.type, _object(payload))
    except (msgspec.ValidationError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise InputError(f"payload of kind {kind!r} = {payload[:80]!r}: {error}") from None


def _from_record(fit: _Fit, record: dict[str, Any]) -> Event:
    data = {**fit.implied, **record["data"]}
    named = {fit.names.get(key, key): value for key, value in data.items()}
    own = set(fit.type.__struct_fields__)
    fields = {key: value for key, value in named.items() if key in own}
    rest = {key: value for key, value in named.items() if key not in own}
    if "feature_times" in own:
        fields["feature_times"] = {"features_ts_ns": rest.pop("features_ts_ns")}
    if "facts" in own:
        fields["facts"] = rest
    stated = {"trace_id": record["trace_id"], "symbol": data.get("symbol", ""), "ts_ns": record["ts_ns"]}
    return _made(fit.type, {**fields, **stated})


def _made(kind: type[Event], fields: dict[str, Any]) -> Event:
    """The event of *fields* from JSON, where null stands for a figure that is not finite."""
    figures = {field.name for field in msgspec.structs.fields(kind) if field.type is float}
    made: dict[str, Any] = {
        name: math.nan if value is None and name in figures else value for name, value in fields.items()
    }
    return kind(**made)
