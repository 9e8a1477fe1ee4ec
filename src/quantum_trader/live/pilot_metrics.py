"""What the pilot has decided and sent of late, and its live status: fed with the records of a run.

The journal holds every record; here are the last 200 decisions and 100 intents of the pilot, and the totals.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final, TypeVar

import msgspec

from quantum_trader.domain.clock import iso
from quantum_trader.domain.enums import PilotMode, Side
from quantum_trader.domain.errors import InputError, brief
from quantum_trader.domain.fields import FieldLookup, Finite, Probability, TimeNs, Word
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.records import Record
from quantum_trader.engine.facts import PilotDecided
from quantum_trader.engine.ids import entry_intent_id
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.supervision import Shield

KEPT_DECISIONS: Final = 200
KEPT_INTENTS: Final = 100
PILOT_SOURCES: Final = "RL_V3_"  # the sources of the pilot's intents begin with it
FED_TOPICS: Final = ("pilot.decided", "trade.intent", "order.submitted", "order.filled", "trade.executed")
_OF_INTENT: Final = ("intent_id", "symbol", "side", "source", "confidence", "qty", "reduce_only")
_MOST_WAITING: Final = 10_000  # intents and orders whose fill may still come

Kept = TypeVar("Kept", bound=msgspec.Struct)


class LiveDecision(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the pilot about one symbol."""

    ts_ns: TimeNs  # when it was made
    symbol: Word
    action: Word
    confidence: Probability
    mode: PilotMode = PilotMode.SHADOW  # in force
    model: str = ""
    probability: Probability = 0.0  # of the action
    wanted: Finite = 0.0  # signed share of the equity after the decision
    held: Finite = 0.0  # and before it
    outcome: str = ""  # what became of it, in a word
    intent_id: str = ""  # "" for none


class LiveTradeIntent(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """One intent of the pilot; *executed*: some of it was filled."""

    ts_ns: TimeNs  # when it was recorded
    intent_id: Word
    symbol: Word
    side: Side
    source: Word
    confidence: Probability = 0.0
    qty: Finite = 0.0
    reduce_only: bool = False
    executed: bool = False


class RLv3LiveStatusResponse(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """The pilot's live status; times are ISO 8601 in UTC, None where nothing has happened yet."""

    enabled: bool
    mode: PilotMode
    min_confidence: float
    trade_intents_total: int
    trade_intents_executed: int
    shadow_decisions: int
    last_decision_at: str | None
    last_trade_intent_at: str | None


class RLv3MetricsStore:
    """The pilot's last 200 decisions and 100 intents, and the totals since it was made; safe for several threads.

    *settings* gives the settings in force, as ``lambda: policy_store.pilot`` does; without it the status shows the
    defaults. It writes nothing: the records that feed it are in the journal.
    """

    def __init__(self, settings: Callable[[], PilotSettings] = PilotSettings) -> None:
        self._settings = settings
        self._decisions: deque[LiveDecision] = deque(maxlen=KEPT_DECISIONS)
        self._intents: deque[LiveTradeIntent] = deque(maxlen=KEPT_INTENTS)
        self._waiting: OrderedDict[str, None] = OrderedDict()  # ids of intents that have no fill yet
        self._orders: OrderedDict[str, str] = OrderedDict()  # client order id -> intent id, of those
        self._lock = Lock()
        self.decisions_total = 0
        self._shadow_decisions = self._intents_total = self._intents_executed = 0
        self._last_decision_ns: int | None = None
        self._last_intent_ns: int | None = None

    def record_live_decision(self, decision: LiveDecision | Mapping[str, Any]) -> None:
        """Take one decision about one symbol; InputError naming the field that is not acceptable."""
        made = _row(decision, LiveDecision, "decision")
        with self._lock:
            self._decisions.append(made)
            self.decisions_total += 1
            self._shadow_decisions += made.mode is PilotMode.SHADOW
            self._last_decision_ns = max(made.ts_ns, self._last_decision_ns or made.ts_ns)

    def record_trade_intent(self, intent: LiveTradeIntent | Mapping[str, Any]) -> None:
        """Take one intent of the pilot; InputError naming the field that is not acceptable."""
        made = _row(intent, LiveTradeIntent, "intent")
        with self._lock:
            self._intents.append(made)
            self._intents_total += 1
            self._last_intent_ns = max(made.ts_ns, self._last_intent_ns or made.ts_ns)
            if made.executed:
                self._intents_executed += 1
            else:
                self._waiting[made.intent_id] = None
                _shorten(self._waiting)

    def record_order(self, client_order_id: str, intent_id: str) -> None:
        """Note that an order belongs to an intent; of intents of others, or that have a fill, nothing is kept."""
        entry = entry_intent_id(intent_id)
        with self._lock:
            if entry in self._waiting:
                self._orders[client_order_id] = entry
                _shorten(self._orders)

    def record_execution(self, client_order_id: str) -> None:
        """Mark the intent of the order as executed; the later fills of one intent change nothing."""
        with self._lock:
            intent_id = self._orders.pop(client_order_id, None)
            if intent_id is None or intent_id not in self._waiting:
                return
            del self._waiting[intent_id]
            self._intents_executed += 1
            for place, intent in enumerate(self._intents):
                if intent.intent_id == intent_id:
                    self._intents[place] = msgspec.structs.replace(intent, executed=True)

    def get_live_status(self) -> RLv3LiveStatusResponse:
        """The settings in force, the totals, and when the last decision and the last intent were made."""
        settings = self._settings()  # reads a file: not under the lock
        with self._lock:
            return RLv3LiveStatusResponse(
                enabled=settings.enabled, mode=settings.mode, min_confidence=settings.min_confidence,
                trade_intents_total=self._intents_total, trade_intents_executed=self._intents_executed,
                shadow_decisions=self._shadow_decisions, last_decision_at=_time(self._last_decision_ns),
                last_trade_intent_at=_time(self._last_intent_ns),
            )

    def get_recent_live_decisions(self, limit: int = 50) -> list[LiveDecision]:
        """The last decisions, newest first, at most *limit* and 200; InputError for a limit below 0."""
        with self._lock:
            return _newest(self._decisions, limit)

    def get_recent_trade_intents(self, limit: int = 50) -> list[LiveTradeIntent]:
        """The last intents, newest first, at most *limit* and 100; InputError for a limit below 0."""
        with self._lock:
            return _newest(self._intents, limit)

    def feed(self, record: Record) -> None:
        """Take a record of one of :data:`FED_TOPICS`; others, and intents of other sources, are passed over."""
        if record.topic == "pilot.decided":
            for one in _decisions_of(record):
                self.record_live_decision(one)
        elif record.topic == "trade.intent" and record.data["source"].startswith(PILOT_SOURCES):
            self.record_trade_intent({"ts_ns": record.ts_ns, **{name: record.data[name] for name in _OF_INTENT}})
        elif record.topic == "order.submitted":
            self.record_order(record.data["client_order_id"], record.data["intent_id"])
        elif record.topic in ("order.filled", "trade.executed") and "client_order_id" in record.data:
            self.record_execution(record.data["client_order_id"])  # an adopted position has no order of ours


class PilotMetricsSink:
    """A record sink that also feeds *store*, after the record was kept; a failure of the store stops no record.

    A bus does not carry ``trade.intent`` of this program (by that topic intents come in), so the store is fed here.
    """

    def __init__(self, sink: RecordSink, store: RLv3MetricsStore) -> None:
        self._sink, self._store = sink, store
        self.shield = Shield()

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep one record, then feed the store with it where its topic is one of FED_TOPICS."""
        self._sink.append(line, topic, ts_ns)
        if topic in FED_TOPICS:
            self.shield.run(self._feed, line)

    def _feed(self, line: bytes) -> None:
        self._store.feed(msgspec.json.decode(line, type=Record))


def _decisions_of(record: Record) -> list[LiveDecision]:
    """The decisions of one moment, one a symbol."""
    moment = msgspec.convert(record.data, PilotDecided)
    rows = zip(
        moment.symbols, moment.actions, moment.probabilities, moment.confidences, moment.wanted, moment.held,
        moment.outcomes, moment.intents, strict=True,
    )
    return [
        LiveDecision(
            ts_ns=record.ts_ns, symbol=symbol, action=action, probability=probability, confidence=confidence,
            wanted=wanted, held=held, outcome=outcome, intent_id=intent, mode=moment.mode, model=moment.model,
        )
        for symbol, action, probability, confidence, wanted, held, outcome, intent in rows
    ]


def _row(given: Any, kind: type[Kept], key: str) -> Kept:
    """*given* as a checked row of *kind*; InputError naming the field that is not acceptable."""
    fields = msgspec.structs.asdict(given) if isinstance(given, msgspec.Struct) else given
    try:
        unknown = sorted(set(fields) - set(kind.__struct_fields__))
        if unknown:
            raise InputError(f"{key}.{unknown[0]}: unknown; fields: {', '.join(kind.__struct_fields__)}")
        return msgspec.convert(dict(fields), kind)
    except (msgspec.ValidationError, TypeError) as error:
        raise InputError(f"{key} = {brief(given)}: {error}; give the fields of {kind.__name__}") from None


def _shorten(held: OrderedDict[str, Any]) -> None:
    while len(held) > _MOST_WAITING:
        held.popitem(last=False)


def _newest(kept: deque[Kept], limit: int) -> list[Kept]:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise InputError(f"limit = {brief(limit)}: must be a whole number, 0 or above")
    return list(reversed(kept))[:limit]


def _time(ts_ns: int | None) -> str | None:
    return iso(ts_ns) if ts_ns is not None else None
