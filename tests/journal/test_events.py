"""Events are what they say: typed ones are checked when they are made, lines before they are stored."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.journal.records import NOW, fill, record_line, signal, trade

from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.records import TOPICS
from quantum_trader.engine.record_types import DATA_TYPES
from quantum_trader.engine.recorder import MemorySink, Recorder
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import (
    BY_TYPE,
    Event,
    FillEvent,
    GateEvent,
    HealthEvent,
    SignalEvent,
    TradeEvent,
    TrainingEvent,
)
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.lines import check_line, typed_event

SIGNAL: dict[str, Any] = {
    "trace_id": "t", "symbol": "BTCUSDT", "ts_ns": NOW, "signal_id": "s", "side": "LONG", "confidence": 0.6,
    "consensus": 1.0, "model": "m", "features_ts_ns": NOW,
}


@pytest.mark.parametrize(("field", "value"), [
    ("confidence", "abc"), ("confidence", 7.0), ("confidence", math.nan), ("confidence", None), ("confidence", True),
    ("consensus", -0.1), ("symbol", None), ("ts_ns", 1.5), ("ts_ns", 2**63), ("ts_ns", "now"), ("signal_id", ""),
    ("features_ts_ns", None), ("price", math.inf), ("votes", {"m": "much"}), ("votes", None), ("side", 1),
])
def test_a_typed_event_with_a_wrong_field_is_refused_by_name(field: str, value: Any) -> None:
    """The error names the event, the field and the value."""
    with pytest.raises(InputError, match=rf"SignalEvent\.{field} = "):
        SignalEvent(**{**SIGNAL, field: value})
    with pytest.raises(InputError):
        msgspec.structs.replace(SignalEvent(**SIGNAL), **{field: value})


TRADE: dict[str, Any] = {
    "trace_id": "t", "symbol": "BTCUSDT", "ts_ns": NOW, "trade_id": "t1", "side": "LONG", "pnl": 1.0, "r_multiple": 0.1,
    "fees": 0.1, "exit_reason": "STOP", "bars_held": 3,
}
TRAINING: dict[str, Any] = {
    "trace_id": "t", "symbol": "", "ts_ns": NOW, "session_id": "s", "rows": 1, "seed": 7, "duration_s": 1.0,
    "data_hash": "",
}
HEALTH: dict[str, Any] = {
    "trace_id": "t", "symbol": "", "ts_ns": NOW, "part": "p", "level": "OK", "queue_fill": 0.0, "lag_s": 0.0,
    "drops": 0, "errors": 0,
}


@pytest.mark.parametrize("value", [10**30, 2**63, -(2**63) - 1])
@pytest.mark.parametrize(("event", "fields", "field"), [
    (TradeEvent, TRADE, "bars_held"), (TrainingEvent, TRAINING, "rows"), (TrainingEvent, TRAINING, "seed"),
    (HealthEvent, HEALTH, "drops"), (HealthEvent, HEALTH, "errors"),
])
def test_a_count_beyond_64_bits_is_refused(
    event: type[Event], fields: dict[str, Any], field: str, value: int, tmp_path: Path
) -> None:
    """When an event is made and when a line is logged: SQL reads these fields as BIGINT."""
    kind = BY_TYPE[event].name
    with pytest.raises(InputError, match=rf"{event.__name__}\.{field} = "):
        event(**{**fields, field: value})
    line = msgspec.json.encode({**fields, field: value})
    with EventLogger(tmp_path, ring_bytes=1 << 20) as logger, pytest.raises(InputError, match="the line is refused"):
        logger.log_line(kind, NOW, line)
    assert getattr(event(**{**fields, field: 2**63 - 1}), field) == 2**63 - 1


def test_no_whole_number_of_a_typed_event_is_without_bounds() -> None:
    """A field added later is held to it as well."""
    unbounded = [
        f"{event.__name__}.{field.name}" for event in BY_TYPE for field in msgspec.structs.fields(event)
        if field.type is int and event.__module__.startswith("quantum_trader.")
    ]

    assert unbounded == []


_LOOP: dict[str, Any] = {}
_LOOP["again"] = _LOOP


@pytest.mark.parametrize(("field", "value"), [
    ("symbol", "\ud800"), ("trace_id", "a\udfff"), ("exit_reason", "\ud800"), ("facts", {"x": object()}),
    ("facts", {"x": "\ud800"}), ("facts", {"\ud800": 1}), ("facts", {"x": {"y": [object()]}}), ("facts", {"x": 2**64}),
    ("facts", {"x": np.zeros(2)}), ("facts", _LOOP), ("facts", {"x": {1: 2}}), ("facts", {"x": [{None: 1}]}),
])
def test_a_typed_event_that_cannot_be_written_is_refused_by_name(field: str, value: Any) -> None:
    """The error comes when it is made, not from a logger that has taken it."""
    with pytest.raises(InputError, match=rf"TradeEvent\.{field} = .*cannot be written"):
        TradeEvent(**{**TRADE, field: value})


def test_what_an_event_may_state_is_written(tmp_path: Path) -> None:
    """Text beyond ASCII, numbers of numpy at any depth, and NaN."""
    facts = {"name": "\u00e4\U0001f600", "n": np.float64(0.5), "deep": {"list": [np.int64(3), math.nan]}, "none": None}
    with EventLogger(tmp_path, ring_bytes=1 << 20) as logger:
        logger.log(TradeEvent(**{**TRADE, "facts": facts}))
    read, = Lake(tmp_path).events("trade")

    assert isinstance(read, TradeEvent)
    assert read.facts == {"name": "\u00e4\U0001f600", "n": 0.5, "deep": {"list": [3, None]}, "none": None}


def test_numbers_of_numpy_and_enums_are_taken_as_what_they_stand_for() -> None:
    """A numpy float becomes a float, which the journal can write."""
    event = SignalEvent(**{
        **SIGNAL, "confidence": np.float64(0.6), "ts_ns": np.int64(NOW), "side": Side.LONG,
        "votes": {"m": np.float32(1)},
    })

    assert (type(event.confidence), type(event.ts_ns), type(event.votes["m"])) == (float, int, float)
    assert msgspec.json.decode(msgspec.json.encode(event))["side"] == "LONG"


def test_a_gate_that_is_not_measured_may_say_so() -> None:
    """NaN is written as null where a figure may be unknown, and read back as NaN."""
    event = GateEvent(
        trace_id="t", symbol="BTCUSDT", ts_ns=NOW, signal_id="s", gate="meta_label", passed=False, observed=math.nan,
        limit=0.45,
    )
    line = msgspec.json.encode(event)
    check_line("gate", NOW, line)
    read = typed_event("gate", line)

    assert isinstance(read, GateEvent)
    assert math.isnan(read.observed)
    assert read.limit == 0.45


@pytest.mark.parametrize(("kind", "line"), [
    ("note", b""), ("note", b"not json"), ("note", b'{"a":1}x'), ("note", b"7"), ("note", b'{"a":"\xff"}'),
    ("note", b'{"a":"\\ud800"}'), ("note", b'{"a":NaN}'), ("note", b'{"a":1'),
    ("signal", b"{}"), ("signal", msgspec.json.encode({**SIGNAL, "confidence": "abc"})),
    ("signal", msgspec.json.encode({**SIGNAL, "confidence": 7.0})), ("signal", msgspec.json.encode({**SIGNAL, "x": 1})),
    ("trade.closed", b'{"data":{"symbol":"BTCUSDT","pnl":5.0}}'),
    ("order.filled", record_line("trade.closed", trade(1.0))),
    ("trade.closed", record_line("trade.closed", trade(math.nan))),
    ("trade.closed", record_line("trade.closed", trade(1.0)).replace(b'"bars_held":3', b'"bars_held":' + b"9" * 30)),
    ("trade", msgspec.json.encode({**TRADE, "facts": {"x": 10**30}})),
    ("signal.generated", record_line("signal.generated", signal(confidence=7.0))),
    ("trade.executed", record_line("order.filled", fill())),
])
def test_a_line_that_is_not_json_of_its_kind_is_refused_before_it_is_stored(
    kind: str, line: bytes, tmp_path: Path
) -> None:
    """What follows is stored, and JSON queries over all events go on answering."""
    with EventLogger(tmp_path, ring_bytes=1 << 20) as logger:
        with pytest.raises(InputError, match=f"line of kind '{kind}'"):
            logger.log_line(kind, NOW, line)
        logger.log_line("note", NOW, b'{"value":2.0}')
    rows = Lake(tmp_path).sql("select avg(cast(payload->>'$.value' as double)) as mean from events").to_pylist()

    assert rows == [{"mean": 2.0}]


def test_the_recorder_takes_only_the_data_of_the_topic() -> None:
    """Another struct, a plain dict and a topic without a schema are refused, and no number is used up."""
    sink = MemorySink()
    recorder = Recorder(sink)
    for topic, data in (("trade.closed", fill()), ("market.hole", {"symbol": "X"}), ("note", {"n": 1})):
        with pytest.raises(InputError, match=f"topic '{topic}'"):
            recorder.record(topic, "", NOW, data)
    recorder.record("order.filled", "", NOW, fill())

    assert [msgspec.json.decode(line)["seq"] for line in sink.lines] == [1]


def test_every_topic_with_a_schema_has_a_number() -> None:
    """``stream.changed`` alone has a number and is not written."""
    assert set(TOPICS) - set(DATA_TYPES) == {"stream.changed"}
    assert set(DATA_TYPES) <= set(TOPICS)


def test_records_of_a_run_are_read_as_typed_events(tmp_path: Path) -> None:
    """One query by the short kind finds what runs wrote and what was logged, with the same fields."""
    with EventLogger(tmp_path, ring_bytes=1 << 20) as logger:
        logger.log(SignalEvent(**SIGNAL))
        for topic, data in (
            ("signal.generated", signal()), ("order.filled", fill()), ("trade.closed", trade(-5.0)),
        ):
            logger.log_line(topic, NOW, record_line(topic, data))
    lake = Lake(tmp_path)
    logged, recorded = lake.events("signal")
    booked, = lake.events("trade")
    filled, = lake.events("fill")

    assert isinstance(logged, SignalEvent)
    assert isinstance(recorded, SignalEvent)
    assert (recorded.side, recorded.confidence, recorded.votes) == ("LONG", 0.6, {"momentum": 0.6})
    assert isinstance(booked, TradeEvent)
    assert (booked.pnl, booked.facts["policy_hash"], booked.symbol) == (-5.0, "abc", "BTCUSDT")
    assert isinstance(filled, FillEvent)
    assert list(lake.events("order")) == []
    with pytest.raises(InputError, match="kind = 'note'"):
        next(lake.events("note"))
