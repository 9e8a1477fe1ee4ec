"""Decision traces: where the time went, live and from records, within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.journal.otlp import otlp_request, write_otlp
from quantum_trader.journal.tracer import (
    Span,
    SpanTracer,
    Trace,
    analyze,
    duration,
    find_trace_id,
    trace_from_records,
    traces_from_records,
)

MS = 1_000_000
T = 1_700_000_000_000_000_000


def decided(tracer: SpanTracer, trace_id: str = "tr1") -> str:
    """A decision of 50 ms, 45 of them in execution."""
    tracer.start_trace(trace_id, T, symbol="BTCUSDT")
    tracer.record_step("signal", T, T + 2 * MS, "LONG", confidence=0.6)
    tracer.record_step("gates", T + 2 * MS, T + 5 * MS)
    tracer.record_step("execution", T + 5 * MS, T + 50 * MS, "FILLED", venue="paper")
    tracer.finish_trace(outcome="TRADED")
    return trace_id


def test_the_bottleneck_is_named_with_its_share() -> None:
    """The sentence names step, duration and share."""
    tracer = SpanTracer()
    analysis = tracer.analyze_trace(decided(tracer))

    assert analysis.sentence == "execution 45 ms, 90 %"
    assert (analysis.total_ns, analysis.bottleneck, analysis.share) == (50 * MS, "execution", 0.9)
    assert [span.name for span in analysis.spans] == ["signal", "gates", "execution"]
    assert analysis.spans[0].facts == {"confidence": 0.6}
    assert analysis.outcome == "TRADED"


def test_a_step_that_only_contains_the_slow_one_is_not_the_bottleneck() -> None:
    """Its own time counts, without the steps inside it."""
    tracer = SpanTracer()
    tracer.start_trace("tr1", T)
    tracer.record_step("road", T, T + 10 * MS)
    tracer.record_step("guard", T + 1 * MS, T + 9 * MS)
    tracer.record_step("limits", T + 2 * MS, T + 5 * MS)

    analysis = tracer.analyze_trace("tr1")

    assert (analysis.bottleneck, analysis.bottleneck_ns) == ("guard", 5 * MS)


def test_steps_without_duration_give_no_bottleneck() -> None:
    """No step, or all at one moment: there is no bottleneck."""
    tracer = SpanTracer()
    tracer.start_trace("tr1", T)
    assert tracer.analyze_trace("tr1").sentence == "no steps"
    tracer.record_step("signal", T, T)
    analysis = tracer.analyze_trace("tr1")
    assert (analysis.bottleneck, analysis.share) == ("", None)


def test_traces_are_bounded_in_number_and_length() -> None:
    """The oldest trace is dropped, and steps beyond the bound are counted."""
    tracer = SpanTracer(max_traces=3, max_steps=2)
    for number in range(5):
        decided(tracer, f"tr{number}")

    assert [trace.trace_id for trace in tracer.recent()] == ["tr2", "tr3", "tr4"]
    assert tracer.trace("tr4").dropped_steps == 1
    with pytest.raises(InputError, match="latest traces"):
        tracer.analyze_trace("tr0")
    tracer.record_step("late", T, T, trace_id="tr0")


def test_a_symbol_gives_each_decision_its_own_id() -> None:
    """Several traces may be open at once."""
    tracer = SpanTracer()
    first, second = tracer.start_trace("BTCUSDT", T), tracer.start_trace("BTCUSDT", T + 1)
    tracer.record_step("signal", T, T + 5, trace_id=first)
    tracer.record_step("signal", T + 1, T + 2)

    assert first != second
    assert tracer.analyze_trace(first).total_ns == 5
    assert tracer.analyze_trace(second).total_ns == 1


def test_marks_measure_from_one_to_the_next() -> None:
    """With the clock that was handed in; without one there is none."""
    times = iter([100, 130, 230])
    tracer = SpanTracer(clock=lambda: next(times))
    tracer.start_trace("tr1")
    tracer.mark("gates")
    tracer.mark("guard", "DENIED", limit=3)

    assert [(span.name, span.duration_ns, span.outcome) for span in tracer.trace("tr1").spans] == [
        ("gates", 30, "OK"), ("guard", 100, "DENIED"),
    ]
    with pytest.raises(InputError, match="clock"):
        SpanTracer().start_trace("tr1")


@pytest.mark.parametrize(("ns", "text"), [
    (0, "0 ns"), (999, "999 ns"), (1_500, "1.5 µs"), (45 * MS, "45 ms"), (90 * 10**9, "1.5 min"),
    (7_200 * 10**9, "2 h"), (3 * 86_400 * 10**9, "3 d"),
])
def test_durations_have_three_digits_and_a_unit(ns: int, text: str) -> None:
    """Three digits and a unit."""
    assert duration(ns) == text


def line(topic: str, at_ms: int, trace_id: str = "tr1", late_ms: int = 0, **data: Any) -> bytes:
    """One record that happened *at_ms* and was received *late_ms* after."""
    at = T + at_ms * MS
    return msgspec.json.encode({
        "seq": 1, "event_id": f"e{at_ms}", "topic": topic, "trace_id": trace_id, "ts_ns": at,
        "received_ns": at + late_ms * MS, "source": "engine", "schema": 1, "data": {"symbol": "BTCUSDT", **data},
    })


def records() -> list[bytes]:
    """A live decision: 2 ms to the signal, 48 ms to the fill, an hour in the position; other traces in between."""
    return [
        line("regime.changed", -1, ""),
        line("signal.generated", 0, late_ms=2, signal_id="s1", action="LONG"),
        line("signal.generated", 1, "tr2", signal_id="s2"),
        line("trade.intent", 2, intent_id="i1", qty=1.0),
        line("order.submitted", 3, client_order_id="o1", type="MARKET"),
        line("order.submitted", 3, "tr2", client_order_id="o2"),
        line("signal.decided", 4, signal_id="s1", decision="ALLOWED", reason=""),
        line("policy.verdict", 5, signal_id="s1", verdict="BLOCK"),
        line("order.updated", 6, "", client_order_id="o1", status="NEW"),
        line("order.updated", 6, "", client_order_id="o2", status="NEW"),
        line("order.filled", 50, "", client_order_id="o1", price=100.0),
        line("order.submitted", 51, client_order_id="o3", type="STOP_MARKET"),
        line("order.filled", 3_600_050, "", client_order_id="o3", price=99.0),
        line("trade.closed", 3_600_050, trade_id="t1", exit_reason="STOP", pnl=-1.0),
    ]


def test_a_trace_is_made_from_records() -> None:
    """Fills are found by their order; the time in the position is shown and not counted."""
    trace = trace_from_records(records(), "tr1")

    assert trace is not None
    assert [span.name for span in trace.spans] == [
        "signal", "intent", "order", "decision", "policy", "acknowledgement", "execution", "stop", "execution",
        "position",
    ]
    assert (trace.outcome, trace.symbol) == ("CLOSED", "BTCUSDT")
    assert trace.spans[-1].duration_ns == 3_600_000 * MS
    tracer_view = traces_from_records(records(), 1)
    assert [one.trace_id for one in tracer_view] == ["tr2"]
    assert traces_from_records(records(), 5)[0] == trace


def test_the_analysis_of_records_ends_with_the_opening_fill() -> None:
    """The bottleneck is the execution, not the hour in the position."""
    trace = trace_from_records(records(), "tr1")
    assert trace is not None
    analysis = analyze(trace)

    assert analysis.total_ns == 50 * MS
    assert analysis.sentence == "execution 44 ms, 88 %"


@pytest.mark.parametrize("name", ["tr1", "s1", "i1", "o1", "o3", "t1"])
def test_a_trace_is_found_by_any_of_its_ids(name: str) -> None:
    """Signal, intent, order or trade."""
    assert find_trace_id(records(), name) == "tr1"
    assert find_trace_id(records(), "x9") is None


def test_a_refusal_is_the_outcome() -> None:
    """With its reason."""
    trace = trace_from_records([
        line("signal.generated", 0, signal_id="s1"),
        line("signal.decided", 0, decision="BLOCKED", reason="LOW_CONFIDENCE"),
    ], "tr1")

    assert trace is not None
    assert trace.outcome == "BLOCKED LOW_CONFIDENCE"
    assert trace_from_records(records(), "tr9") is None


def test_otlp_has_the_forms_of_its_json(tmp_path: Path) -> None:
    """Ids in hexadecimal of the right length, times as text, one parent, one request a line."""
    trace = trace_from_records(records(), "tr1")
    assert trace is not None

    spans = otlp_request([trace], run_id="run")["resourceSpans"][0]["scopeSpans"][0]["spans"]

    root = spans[0]
    assert (len(root["traceId"]), len(root["spanId"]), root["parentSpanId"]) == (32, 16, "")
    assert {span["parentSpanId"] for span in spans[1:]} == {root["spanId"]}
    assert len({span["spanId"] for span in spans}) == len(trace.spans) + 1
    assert root["startTimeUnixNano"] == str(T)
    assert [span["status"]["code"] for span in spans if span["name"] in ("policy", "order")] == [1, 2]
    assert otlp_request([trace], run_id="run") == otlp_request([trace], run_id="run")
    assert write_otlp(tmp_path / "t.json", [trace] * 201) == 201 * 11
    lines = (tmp_path / "t.json").read_bytes().splitlines()
    assert [len(msgspec.json.decode(one)["resourceSpans"]) for one in lines] == [1, 1]


def test_a_number_that_is_none_has_the_form_of_its_json() -> None:
    """As protobuf writes it: null would be refused by a collector."""
    facts = {"a": float("nan"), "b": float("inf"), "c": float("-inf"), "d": 1.5}
    trace = Trace(
        trace_id="t", symbol="", start_ns=T, end_ns=T, outcome="OK",
        spans=(Span(name="risk", start_ns=T, end_ns=T, outcome="OK", facts=facts),),
    )
    step = otlp_request([trace])["resourceSpans"][0]["scopeSpans"][0]["spans"][1]

    assert [one["value"].get("doubleValue") for one in step["attributes"][1:]] == ["NaN", "Infinity", "-Infinity", 1.5]


def test_an_unfinished_last_line_is_ignored() -> None:
    """The last record of a running writer is incomplete."""
    half = b'{"event_id":"e9","topic":"signal.generated","trace_id":"t'

    assert traces_from_records([*records(), half]) == traces_from_records(records())
