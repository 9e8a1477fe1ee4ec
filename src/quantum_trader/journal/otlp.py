"""Traces as OpenTelemetry: OTLP's JSON form, one export request a line.

The form is written directly: an OTLP file needs no library, process or network on the trading machine. A collector
reads it (``otlpjsonfile`` receiver) or takes a line by HTTP (``POST /v1/traces``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.journal.private import write_private
from quantum_trader.journal.tracer import Span, Trace

_INTERNAL: Final = 1  # span kind
_STATUS_OK, _STATUS_ERROR = 1, 2
_BAD: Final = ("BLOCKED", "BLOCK", "DENIED", "REJECTED", "FAILED", "ERROR")
_BATCH: Final = 200  # traces a line


def otlp_request(traces: Iterable[Trace], *, service: str = "quantum-trader", run_id: str = "") -> dict[str, Any]:
    """An ExportTraceServiceRequest in OTLP/JSON; ids derive from *run_id* and the trace, so they are reproducible."""
    spans = [span for trace in traces for span in _spans(trace, run_id)]
    resource = [_attribute("service.name", service)]
    if run_id:
        resource.append(_attribute("quantum_trader.run_id", run_id))
    return {
        "resourceSpans": [{
            "resource": {"attributes": resource},
            "scopeSpans": [{"scope": {"name": "quantum_trader.journal"}, "spans": spans}],
        }]
    }


def write_otlp(path: Path, traces: Sequence[Trace], *, service: str = "quantum-trader", run_id: str = "") -> int:
    """Write *traces* to *path*, one request a line; returns the spans written."""
    lines, count = [], 0
    for start in range(0, len(traces), _BATCH):
        request = otlp_request(traces[start:start + _BATCH], service=service, run_id=run_id)
        count += len(request["resourceSpans"][0]["scopeSpans"][0]["spans"])
        lines.append(msgspec.json.encode(request))
    write_private(path, b"".join(line + b"\n" for line in lines))
    return count


def _spans(trace: Trace, run_id: str) -> list[dict[str, Any]]:
    """The decision as one span with its steps inside."""
    trace_hex = _id(16, run_id, trace.trace_id)
    root = _id(8, run_id, trace.trace_id, "root")
    facts = {"trace_id": trace.trace_id, "symbol": trace.symbol, "outcome": trace.outcome}
    whole = Span(
        name=f"decision {trace.symbol}".strip(), start_ns=trace.start_ns, end_ns=trace.end_ns, outcome=trace.outcome,
        facts={key: value for key, value in facts.items() if value},
    )
    made = [_span(whole, trace_hex, root, "")]
    for number, span in enumerate(trace.spans):
        made.append(_span(span, trace_hex, _id(8, run_id, trace.trace_id, str(number)), root))
    return made


def _span(span: Span, trace_hex: str, span_hex: str, parent: str) -> dict[str, Any]:
    bad = span.outcome.split(" ")[0] in _BAD
    status: dict[str, Any] = {"code": _STATUS_ERROR if bad else _STATUS_OK}
    if bad:
        status["message"] = span.outcome
    return {
        "traceId": trace_hex, "spanId": span_hex, "parentSpanId": parent, "name": span.name, "kind": _INTERNAL,
        "startTimeUnixNano": str(span.start_ns), "endTimeUnixNano": str(span.end_ns),
        "attributes": [_attribute(key, value) for key, value in {"outcome": span.outcome, **span.facts}.items()],
        "status": status,
    }


def _attribute(key: str, value: Any) -> dict[str, Any]:
    """One attribute; 64-bit integers are text in OTLP's JSON."""
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, float) and not math.isfinite(value):  # the form of protobuf's JSON
        named = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return {"key": key, "value": {"doubleValue": named}}
    if isinstance(value, float):
        return {"key": key, "value": {"doubleValue": value}}
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return {"key": key, "value": {"stringValue": text}}


def _id(size: int, *parts: str) -> str:
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=size).hexdigest()
