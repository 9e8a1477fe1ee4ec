"""The registry of event kinds: name, number, struct and schema version; names never change their number.

A reader does not need the registry: every buffer and log carries its own table of names, and a number without a name is
read as ``unknown-<number>``.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.domain.fields import Finite, Int64, Probability, TimeNs, Word
from quantum_trader.domain.records import TOPICS
from quantum_trader.journal.checked import check_fields
from quantum_trader.journal.leakage import ensure

PAD: Final = 0  # not an event: skipped bytes at the end of a ring
FIRST_FREE: Final = 4096  # numbers from here on are given at run time, per producer
MAX_KIND: Final = 0xFFFF
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of every event: its trace, its symbol ("" for none) and its time (ns).

    Every field is checked when an event is made, and a mapping is kept as a copy that cannot be changed. A subclass
    with a ``__post_init__`` of its own calls this one first.
    """

    trace_id: str
    symbol: str
    ts_ns: TimeNs

    def __post_init__(self) -> None:
        """Raise InputError for a field that is not of its type or range."""
        check_fields(self)


class SignalEvent(Event, frozen=True, kw_only=True):
    """A signal of the models for one symbol."""

    signal_id: Word
    side: Word
    confidence: Probability
    consensus: Probability
    model: str
    features_ts_ns: TimeNs
    price: Finite = 0.0
    reason: str = ""
    votes: dict[str, float] = {}

    def __post_init__(self) -> None:
        """Refuse a signal with a feature from its future."""
        check_fields(self)
        if self.features_ts_ns > self.ts_ns:
            ensure("signal", self.ts_ns, self)


class GateEvent(Event, frozen=True, kw_only=True):
    """The result of one gate for one signal; *observed* and *limit* are NaN where they are not measured."""

    signal_id: Word
    gate: Word
    passed: bool
    observed: float
    limit: float
    mode: str = ""
    price: Finite = 0.0
    reason: str = ""
    inputs: dict[str, Any] = {}


class DecisionEvent(Event, frozen=True, kw_only=True):
    """A signal was allowed or blocked; *feature_times* states when each feature it used was known."""

    signal_id: Word
    decision: Literal["ALLOWED", "BLOCKED"]
    reason: str
    confidence: Probability
    feature_times: dict[str, TimeNs]
    price: Finite = 0.0
    qty: Finite = 0.0
    policy_hash: str = ""
    facts: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse a decision with a feature from its future."""
        check_fields(self)
        if self.feature_times and max(self.feature_times.values()) > self.ts_ns:
            ensure("decision", self.ts_ns, self)


class IntentEvent(Event, frozen=True, kw_only=True):
    """A proposed position change."""

    intent_id: Word
    side: Word
    qty: Finite
    reference_price: Finite
    stop_price: Finite
    reduce_only: bool
    leverage: Finite
    reason: str = ""
    facts: dict[str, Any] = {}


class OrderEvent(Event, frozen=True, kw_only=True):
    """An order was sent, acknowledged, refused or cancelled; a venue's report states no side, type and quantity."""

    client_order_id: Word
    status: Word
    side: str = ""
    type: str = ""
    qty: Finite = 0.0
    price: Finite = 0.0
    filled_qty: Finite = 0.0
    reason: str = ""
    facts: dict[str, Any] = {}


class FillEvent(Event, frozen=True, kw_only=True):
    """One execution."""

    fill_id: Word
    client_order_id: str
    side: Word
    qty: Finite
    price: Finite
    fee: float  # NaN where the venue does not say
    liquidity: str
    slippage_bps: float  # NaN where it is not measured
    reason: str = ""
    facts: dict[str, Any] = {}


class TradeEvent(Event, frozen=True, kw_only=True):
    """One round trip has ended; money in USDT."""

    trade_id: Word
    side: Word
    pnl: Finite
    r_multiple: float  # NaN without a stop
    fees: Finite
    exit_reason: str
    bars_held: Int64
    reason: str = ""
    facts: dict[str, Any] = {}


class PolicyEvent(Event, frozen=True, kw_only=True):
    """The policy has changed; *observe* is None where the event does not state it."""

    policy_hash: Word
    risk_pct: Finite
    min_confidence: Probability
    regime: str = ""
    vol_level: str = ""
    observe: bool | None = None
    evaluated_ns: TimeNs = 0
    reason: str = ""
    facts: dict[str, Any] = {}


class TrainingEvent(Event, frozen=True, kw_only=True):
    """A training session has ended."""

    session_id: Word
    rows: Int64
    seed: Int64
    duration_s: Finite
    data_hash: str
    reason: str = ""
    metrics: dict[str, float] = {}
    parameters: dict[str, Any] = {}


class PilotTrainingEvent(Event, frozen=True, kw_only=True):
    """How far a training of the pilot is; figures are means since the event before, NaN where not known."""

    session_id: Word
    device: str
    data_hash: str
    group_number: Int64
    groups: Int64
    first_seed: Int64
    seeds: Int64
    update: Int64
    updates: Int64
    steps: Int64
    steps_per_s: float
    eta_s: float
    elapsed_s: Finite
    cost_share: Probability
    reward_low: float
    reward_median: float
    reward_high: float
    rewards: tuple[float, ...]
    policy_loss: float
    value_loss: float
    entropy: float
    divergence: float
    clipped: float
    terms: dict[str, float] = {}
    reason: str = ""


class ModelEvent(Event, frozen=True, kw_only=True):
    """A model was registered, promoted, exported or rolled back."""

    model_id: Word
    alias: str
    change: str
    actor: str
    reason: str = ""
    metrics: dict[str, float] = {}


class HealthEvent(Event, frozen=True, kw_only=True):
    """The health of a part of the system."""

    part: Word
    level: Word
    queue_fill: Finite
    lag_s: Finite
    drops: Int64
    errors: Int64
    throughput: Finite = 0.0
    reason: str = ""
    facts: dict[str, Any] = {}


class MarketContextEvent(Event, frozen=True, kw_only=True):
    """Market measures at one moment, as used by decisions; NaN where one is not known."""

    price: Finite
    spread_bps: float
    volume_ratio: float
    volatility: float
    trend: str
    direction: str
    funding_rate: float = 0.0
    reason: str = ""
    facts: dict[str, Any] = {}


class EventKind(msgspec.Struct, frozen=True):
    """One registered kind; *type* is None for lines that are encoded elsewhere."""

    name: str
    number: int
    version: int = 1
    type: type[Event] | None = None


_TYPED: Final[tuple[tuple[str, type[Event]], ...]] = (
    ("signal", SignalEvent), ("gate", GateEvent), ("decision", DecisionEvent), ("intent", IntentEvent),
    ("order", OrderEvent), ("fill", FillEvent), ("trade", TradeEvent), ("policy", PolicyEvent),
    ("training", TrainingEvent), ("model", ModelEvent), ("health", HealthEvent), ("market", MarketContextEvent),
    ("pilot.training", PilotTrainingEvent),
)
_FIRST_TOPIC: Final = 256
BY_NAME: dict[str, EventKind] = {}
BY_TYPE: dict[type[Event], EventKind] = {}


def check_name(name: str, key: str = "kind") -> str:
    """Return *name* when it is a valid name for *key*, else raise InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{key} = {name!r}: use lower-case letters, digits, '.', '_' and '-', at most 64")
    return name


def register_kind(name: str, event_type: type[Event], version: int = 1, number: int | None = None) -> EventKind:
    """Make *event_type* the struct of kind *name*; a newer version of a registered kind keeps its number."""
    known = BY_NAME.get(check_name(name))
    config = event_type.__struct_config__
    if event_type.__struct_encode_fields__[:2] != ("trace_id", "symbol") or config.tag is not None or config.array_like:
        raise InputError(
            f"kind = {name!r}: {event_type.__name__} is tagged, renamed or an array; readers find trace_id and symbol "
            "as the first two keys of a map"
        )
    if known is not None and known.type is not None and known.type is not event_type and version <= known.version:
        raise InputError(f"kind = {name!r}: version {known.version} is registered; give a higher version")
    if not 1 <= version <= 255:
        raise InputError(f"version = {version!r}: must be 1 to 255")
    chosen = known.number if known is not None else number
    kind = EventKind(name, chosen if chosen is not None else -1, version, event_type)
    BY_NAME[name] = kind
    BY_TYPE[event_type] = kind
    return kind


for _position, (_name, _type) in enumerate(_TYPED):
    register_kind(_name, _type, number=_position + 1)
for _position, _topic in enumerate(TOPICS):
    BY_NAME[_topic] = EventKind(_topic, _FIRST_TOPIC + _position)


class KindTable:
    """The kind numbers of one producer; a new name adds a number."""

    def __init__(self, names: dict[int, str] | None = None) -> None:
        self.names: dict[int, str] = dict(names or {})
        self._numbers = {name: number for number, name in self.names.items()}

    def number(self, name: str) -> int | None:
        """The number of *name*, None when it has none yet."""
        return self._numbers.get(name)

    def add(self, name: str) -> int:
        """Give *name* a number: its registered one when that is free here, else the next free one."""
        kind = BY_NAME.get(check_name(name))
        number = kind.number if kind is not None else -1
        if number < 0 or number in self.names:
            number = max([FIRST_FREE - 1, *self.names]) + 1
        if number > MAX_KIND:
            raise InputError(f"kind = {name!r}: this journal has too many kinds already")
        self.names[number] = name
        self._numbers[name] = number
        return number

    def encode(self) -> bytes:
        """The table as JSON."""
        return msgspec.json.encode(self.names)


def decode_table(raw: bytes) -> dict[int, str]:
    """Decode a table of ``encode``; a damaged table is empty."""
    try:
        return msgspec.json.decode(raw, type=dict[int, str])
    except msgspec.DecodeError:
        return {}


def kind_name(names: dict[int, str], number: int) -> str:
    """The kind's name; ``unknown-<number>`` when it is not in *names*."""
    return names.get(number) or f"unknown-{number}"
