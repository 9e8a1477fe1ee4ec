"""Decision traces: the steps of one decision, their durations and the bottleneck.

Traces have two sources: live, :class:`SpanTracer`, which the engine's driver feeds while it decides; and
afterwards, the records of one trace, whose spans are the times between its events. Measured times never enter a
record: records depend on the market only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import InputError

OUTCOME_OPEN: Final = ""  # outcome of an open trace
# The name of the span that ends with an event.
_STEPS: Final = {
    "signal.generated": "signal", "trade.intent": "intent", "risk.denied": "risk", "order.submitted": "order",
    "order.cancel": "cancel", "order.updated": "acknowledgement", "order.filled": "execution",
    "trade.executed": "booking", "trade.failed": "failure", "signal.decided": "decision", "policy.verdict": "policy",
    "trade.closed": "position", "shadow.closed": "shadow", "score.received": "score", "score.refused": "score",
}
_FACTS: Final = (
    "symbol", "action", "side", "type", "status", "decision", "verdict", "reason", "reasons", "qty", "price",
    "stop_price", "confidence", "leverage", "client_order_id", "exit_reason", "exit", "pnl", "r_multiple", "r", "score",
    "source", "outside_scores",
)
_LATER_ORDERS: Final = {"STOP_MARKET": "stop", "TAKE_PROFIT_MARKET": "target"}  # sent once the position is open
_ORDERS: Final = frozenset({"order.submitted"})
_TRACED: Final = (b'"trace_id":"t', b'"client_order_id":"')


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a decision."""

    name: str
    start_ns: int
    end_ns: int
    outcome: str
    facts: dict[str, Any]

    @property
    def duration_ns(self) -> int:
        """Duration of the step, ns."""
        return self.end_ns - self.start_ns


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One decision from the market event to its end."""

    trace_id: str
    symbol: str
    start_ns: int
    end_ns: int
    outcome: str  # "" while it is open
    spans: tuple[Span, ...]
    dropped_steps: int = 0  # beyond the tracer's bound
    road_ns: int = 0  # end of the decision, at the opening fill; 0: with the last span


class TraceAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """The durations of a decision's steps and its bottleneck."""

    trace_id: str
    symbol: str
    outcome: str
    spans: tuple[Span, ...]
    total_ns: int
    bottleneck: str  # the step with the longest own time; "" when all are zero
    bottleneck_ns: int
    share: float | None  # of the total, 0..1; None when the total is nothing
    sentence: str


_Step = tuple[str, int, int, str, dict[str, Any]]


class _Open:
    """An open trace; slots keep it small."""

    __slots__ = ("dropped", "end_ns", "mark_ns", "outcome", "start_ns", "steps", "symbol", "trace_id")

    def __init__(self, trace_id: str, symbol: str, start_ns: int) -> None:
        self.trace_id = trace_id
        self.symbol = symbol
        self.start_ns = start_ns
        self.end_ns = 0
        self.mark_ns = start_ns
        self.outcome = OUTCOME_OPEN
        self.steps: list[_Step] = []
        self.dropped = 0


class SpanTracer:
    """Keeps the latest *max_traces* decisions with up to *max_steps* steps each.

    Times are arguments; only :meth:`mark` reads *clock*. One tracer belongs to one thread; with several open
    decisions, pass the trace id.
    """

    def __init__(
        self, max_traces: int = 4096, max_steps: int = 64, clock: Callable[[], int] | None = None,
        finished: Callable[[Trace], None] | None = None,
    ) -> None:
        """*clock* gives ns; *finished* is called with every trace that ends."""
        if max_traces < 1 or max_steps < 1:
            raise InputError(f"max_traces = {max_traces}, max_steps = {max_steps}: must both be 1 or more")
        self._max_traces = max_traces
        self._max_steps = max_steps
        self._clock = clock
        self._finished = finished
        self._traces: OrderedDict[str, _Open] = OrderedDict()
        self._current: _Open | None = None
        self._started = 0

    def start_trace(self, trace_id: str, ts_ns: int | None = None, *, symbol: str = "") -> str:
        """Begin a decision and make it the current one; returns its id.

        *trace_id* may be a symbol ("BTCUSDT"): an id is then made from it when a trace of that id exists.
        InputError without a time and without a clock.
        """
        start = self._now() if ts_ns is None else ts_ns
        self._started += 1
        if not trace_id or trace_id in self._traces:
            symbol, trace_id = symbol or trace_id, f"{trace_id or 'trace'}-{self._started}"
        self._current = self._traces[trace_id] = _Open(trace_id, symbol, start)
        if len(self._traces) > self._max_traces:
            self._traces.popitem(last=False)
        return trace_id

    def record_step(
        self, name: str, start_ns: int, end_ns: int, outcome: str = "OK", *, trace_id: str | None = None, **facts: Any
    ) -> None:
        """Add a step to the current trace, or to *trace_id*; a trace that is no longer kept is ignored."""
        trace = self._current if trace_id is None else self._traces.get(trace_id)
        if trace is None:
            return
        steps = trace.steps
        if len(steps) < self._max_steps:
            steps.append((name, start_ns, end_ns, outcome, facts))
        else:
            trace.dropped += 1

    def mark(
        self, name: str, outcome: str = "OK", *, trace_id: str | None = None, at_ns: int | None = None, **facts: Any
    ) -> None:
        """Add the step that ends at *at_ns* (None: now) and began at the last mark (or the start)."""
        trace = self._current if trace_id is None else self._traces.get(trace_id)
        if trace is None:
            return
        now_ns = self._now() if at_ns is None else at_ns
        if len(trace.steps) < self._max_steps:
            trace.steps.append((name, trace.mark_ns, now_ns, outcome, facts))
        else:
            trace.dropped += 1
        trace.mark_ns = now_ns

    def finish_trace(self, trace_id: str | None = None, end_ns: int | None = None, outcome: str = "DONE") -> None:
        """End the current trace, or *trace_id*; without *end_ns* it ends with its last step."""
        trace = self._current if trace_id is None else self._traces.get(trace_id)
        if trace is None:
            return
        last = max((step[2] for step in trace.steps), default=trace.start_ns)
        trace.end_ns = last if end_ns is None else end_ns
        trace.outcome = outcome
        if self._finished is not None:
            self._finished(self._whole(trace_id or trace.trace_id, trace))
        if trace is self._current:
            self._current = None

    def trace(self, trace_id: str) -> Trace:
        """The current state of trace *trace_id*; InputError when it is not kept."""
        found = self._traces.get(trace_id)
        if found is None:
            raise InputError(f"trace_id = {trace_id!r}: is not among the {len(self._traces)} latest traces")
        return self._whole(trace_id, found)

    def _whole(self, trace_id: str, found: _Open) -> Trace:
        spans = tuple(
            Span(name=name, start_ns=start, end_ns=max(start, end), outcome=outcome, facts=facts)
            for name, start, end, outcome, facts in found.steps
        )
        end = found.end_ns or max((span.end_ns for span in spans), default=found.start_ns)
        return Trace(
            trace_id=trace_id, symbol=found.symbol, start_ns=found.start_ns, end_ns=end, outcome=found.outcome,
            spans=spans, dropped_steps=found.dropped,
        )

    def analyze_trace(self, trace_id: str) -> TraceAnalysis:
        """Analyze trace *trace_id*; InputError when it is not kept."""
        return analyze(self.trace(trace_id))

    def recent(self, count: int = 100) -> list[Trace]:
        """The latest *count* traces, oldest first."""
        names = list(islice(reversed(self._traces), count))
        return [self.trace(name) for name in reversed(names)]

    def now(self) -> int:
        """The clock's time, ns; InputError without a clock."""
        return self._now()

    def _now(self) -> int:
        if self._clock is None:
            raise InputError("clock = None: give the times, or a tracer with a clock")
        return self._clock()


def analyze(trace: Trace) -> TraceAnalysis:
    """Find the step of the decision with the longest own time, without the steps inside it.

    Steps after the opening fill (the open position, its stops) are shown and not counted.
    """
    end_ns = trace.road_ns or trace.end_ns
    total = max(0, end_ns - trace.start_ns)
    road = tuple(span for span in trace.spans if span.end_ns <= end_ns)
    own = _own_times(road)
    worst = max(range(len(own)), key=own.__getitem__, default=-1)
    took = own[worst] if worst >= 0 else 0
    if took <= 0:
        sentence = "every step of the decision bears the same time" if trace.spans else "no steps"
        return TraceAnalysis(
            trace_id=trace.trace_id, symbol=trace.symbol, outcome=trace.outcome, spans=trace.spans, total_ns=total,
            bottleneck="", bottleneck_ns=0, share=None, sentence=sentence,
        )
    name = road[worst].name
    share = took / total if total else None
    sentence = f"{name} {duration(took)}" + (f", {share:.0%}" if share is not None else "")
    return TraceAnalysis(
        trace_id=trace.trace_id, symbol=trace.symbol, outcome=trace.outcome, spans=trace.spans, total_ns=total,
        bottleneck=name, bottleneck_ns=took, share=share, sentence=sentence.replace("%", " %"),
    )


def _own_times(spans: tuple[Span, ...]) -> list[int]:
    """Each span's duration less that of the spans directly inside it."""
    own = [span.duration_ns for span in spans]
    order = sorted(range(len(spans)), key=lambda i: (spans[i].start_ns, -spans[i].end_ns, i))
    stack: list[int] = []
    for i in order:
        while stack and spans[stack[-1]].end_ns < spans[i].end_ns:
            stack.pop()
        while stack and spans[stack[-1]].end_ns <= spans[i].start_ns:
            stack.pop()
        if stack:
            own[stack[-1]] -= spans[i].duration_ns
        stack.append(i)
    return own


def duration(ns: int) -> str:
    """A duration as text, with a unit."""
    for unit, size in (("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("min", 60_000_000_000),
                       ("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:,.0f} {unit}"
    return f"{ns} ns"


# ---------------------------------------------------------------------- from records


class _Record(msgspec.Struct):
    topic: str
    trace_id: str
    ts_ns: int
    received_ns: int = 0
    data: Any = None
    event_id: str = ""

    @property
    def seen_ns(self) -> int:
        """Time of receipt, ns; in a replay, the event's own time."""
        return max(self.received_ns, self.ts_ns)


_decode: Final = msgspec.json.Decoder(_Record).decode


_NAMES: Final = ("signal_id", "intent_id", "trade_id", "client_order_id")


def find_trace_id(lines: Iterable[bytes], name: str) -> str | None:
    """The trace that *name* belongs to: its own id, or a signal's, an intent's, an order's or a trade's."""
    token = f'"{name}"'.encode()
    for line in lines:
        if token not in line:
            continue
        with suppress(ValueError):
            record = _decode(line)
            data = record.data if isinstance(record.data, Mapping) else {}
            if record.trace_id and (record.trace_id == name or any(data.get(key) == name for key in _NAMES)):
                return record.trace_id
    return None


def trace_from_records(lines: Iterable[bytes], trace_id: str) -> Trace | None:
    """The trace *trace_id* from record lines in the order they were written; None when no record carries it.

    An order's acknowledgements and fills carry no trace: they are found by the order's own id. The trace of an outside
    score goes on with the signals that it was used in.
    """
    orders: set[str] = set()
    traces = {trace_id}
    tokens = [f'"{trace_id}"'.encode()]
    events = []
    for line in lines:
        if not any(token in line for token in tokens):
            continue
        try:
            record = _decode(line)
        except ValueError:
            continue
        data = record.data if isinstance(record.data, Mapping) else {}
        order = data.get("client_order_id", "")
        if record.topic == "signal.generated" and trace_id in data.get("outside_scores", ()):
            traces.add(record.trace_id)
            tokens.append(f'"trace_id":"{record.trace_id}"'.encode())
        if record.trace_id in traces and record.topic in _ORDERS:
            orders.add(order)
            tokens.append(f'"client_order_id":"{order}"'.encode())
        if record.trace_id in traces or order in orders:
            events.append(record)
    return _joined(trace_id, events) if events else None


def _joined(trace_id: str, events: list[_Record]) -> Trace:
    """The decision as spans between consecutive events, from the market event to the opening fill.

    Events after the fill belong to the open position: points in time, and the position itself as one span.
    """
    started = before = road_ns = events[0].ts_ns
    spans: list[Span] = []
    symbol, opened_ns = "", 0
    for event in events:
        data = event.data if isinstance(event.data, Mapping) else {}
        symbol = symbol or str(data.get("symbol", ""))
        seen_ns = event.seen_ns
        if event.topic == "shadow.closed":
            begin = started
        elif event.topic == "trade.closed":
            begin = opened_ns or seen_ns
        else:
            begin = seen_ns if opened_ns else min(before, seen_ns)
            before = max(before, seen_ns)
        spans.append(_span_of(event, data, begin, bool(opened_ns)))
        if not opened_ns and event.topic in ("signal.decided", "order.filled"):
            road_ns = max(road_ns, seen_ns)
            opened_ns = seen_ns if event.topic == "order.filled" else 0
    return Trace(
        trace_id=trace_id, symbol=symbol, start_ns=started, end_ns=max(span.end_ns for span in spans),
        outcome=_ending(events), spans=tuple(spans), road_ns=road_ns,
    )


def _span_of(event: _Record, data: Mapping[str, Any], begin_ns: int, opened: bool) -> Span:
    """One event as the span that ends with it."""
    name = _STEPS.get(event.topic, event.topic)
    if opened and event.topic == "order.submitted":
        name = _LATER_ORDERS.get(str(data.get("type", "")), "exit")
    facts = {key: data[key] for key in _FACTS if data.get(key) not in (None, "", [])}
    return Span(
        name=name, start_ns=begin_ns, end_ns=event.seen_ns, outcome=_outcome(event, data),
        facts={"event": event.topic, "event_id": event.event_id, **facts},
    )


def _outcome(event: _Record, data: Mapping[str, Any]) -> str:
    for key in ("decision", "verdict", "status", "exit_reason", "exit"):
        if data.get(key):
            return str(data[key])
    return {"risk.denied": "DENIED", "trade.failed": "FAILED", "score.refused": "REFUSED"}.get(event.topic, "OK")


def _ending(events: list[_Record]) -> str:
    """How the decision ended: CLOSED, BLOCKED with its reason, FAILED, or "" while it is open."""
    topics = {event.topic for event in events}
    if "trade.closed" in topics:
        return "CLOSED"
    if "trade.failed" in topics:
        return "FAILED"
    for event in events:
        if event.topic == "signal.decided" and event.data["decision"] == "BLOCKED":
            return f"BLOCKED {event.data['reason']}".strip()
    return OUTCOME_OPEN


def traces_from_records(lines: Iterable[bytes], count: int = 20) -> list[Trace]:
    """The last *count* decisions in *lines*, oldest first, read in one pass."""
    kept: OrderedDict[str, list[_Record]] = OrderedDict()
    orders: dict[str, str] = {}  # client order id -> trace
    for line in lines:
        if not any(word in line for word in _TRACED):
            continue
        try:
            record = _decode(line)
        except ValueError:  # damaged, or an unfinished last line of a running writer
            continue
        data = record.data if isinstance(record.data, Mapping) else {}
        order = str(data.get("client_order_id", ""))
        trace_id = record.trace_id or orders.get(order, "")
        if record.topic == "signal.generated":
            kept[trace_id] = []
            if len(kept) > count:
                kept.popitem(last=False)
        if trace_id in kept:
            if order and record.topic in _ORDERS:
                orders[order] = trace_id
            kept[trace_id].append(record)
    return [_joined(trace_id, events) for trace_id, events in kept.items()]
