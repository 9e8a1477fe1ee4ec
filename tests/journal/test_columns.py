"""Parts and views: typed columns derived from the schemas, and the event's JSON made from them again."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.journal.records import NOW, decision, fill, record_line, signal, trade

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.trading import CancelRequest, OrderUpdate
from quantum_trader.engine.facts import HaltNotice
from quantum_trader.engine.record_types import DATA_TYPES
from quantum_trader.journal.columns import Group, payloads, tables_of
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import BY_NAME, DecisionEvent, Event, GateEvent, PolicyEvent
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.manifest import read_manifest
from quantum_trader.journal.publish import publish_segments
from quantum_trader.journal.ring import RECORD, EventChunk
from quantum_trader.journal.schema import shape_of
from quantum_trader.journal.views import DESCRIPTIONS, described, event_view, view_columns, views

SMALL = 1 << 20
GATE, UNKNOWN = 2, 77
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20,
)


def table_of(encoded: list[bytes], kind: int = GATE) -> tuple[Group, Any]:
    """The part that events of one kind become."""
    records = np.zeros(len(encoded), RECORD)
    records["word"] = [len(one) | kind << 32 | 1 << 48 for one in encoded]
    found = list(tables_of(EventChunk(records, b"".join(encoded), 1), "main", {GATE: "gate", UNKNOWN: "note"}))
    assert len(found) == 1
    return found[0]


def gate(**changed: Any) -> GateEvent:
    """A gate's result."""
    fields: dict[str, Any] = {
        "trace_id": "t", "symbol": "BTCUSDT", "ts_ns": 0, "signal_id": "s", "gate": "spread", "passed": True,
        "observed": 1.5, "limit": 5.0,
    }
    return GateEvent(**{**fields, **changed})


def rebuilt(events: list[GateEvent]) -> list[bytes]:
    """The JSON of *events* as it is made from a part's columns."""
    key, table = table_of([msgspec.msgpack.encode(event) for event in events])
    assert "payload" not in table.column_names
    arrays = [table[column.name].combine_chunks() for column in key.columns]
    return [text.encode() for text in payloads(key.columns, arrays).to_pylist()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(), st.floats(), st.dictionaries(st.text(), values, max_size=4)), min_size=1))
def test_the_json_made_from_columns_is_the_encoders(rows: list[tuple[str, float, dict[str, Any]]]) -> None:
    """For any text, figure and nested value of an event, byte for byte."""
    events = [gate(reason=reason, observed=observed, inputs=inputs) for reason, observed, inputs in rows]

    assert rebuilt(events) == [msgspec.json.encode(event) for event in events]


def test_every_double_is_kept_to_the_last_bit() -> None:
    """Any bits, round decimals, the edges of the format; what is not finite is null."""
    rng = np.random.default_rng(1)
    doubles = [
        *rng.integers(0, 2**64, 2_000, dtype=np.uint64).view(np.float64).tolist(),
        *[round(x, 4) for x in rng.normal(0, 1000, 500).tolist()], *[2.0**k for k in range(-1074, 1024, 7)],
        0.0, -0.0, 5e-324, 1.7976931348623157e308, 9007199254740993.0, math.nan, math.inf, -math.inf,
    ]
    events = [gate(observed=value) for value in doubles]

    assert rebuilt(events) == [msgspec.json.encode(event) for event in events]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(), values), min_size=1, max_size=20))
def test_events_without_a_schema_become_the_encoders_text(events: list[tuple[str, str, Any]]) -> None:
    """For any JSON value: byte for byte the output of msgspec, with trace and symbol."""
    plain = [{"trace_id": trace, "symbol": symbol, "value": value} for trace, symbol, value in events]
    _, table = table_of([msgspec.msgpack.encode(event) for event in plain], UNKNOWN)

    assert [line.encode() for line in table["payload"].to_pylist()] == [msgspec.json.encode(event) for event in plain]
    assert table["trace_id"].to_pylist() == [trace for trace, _, _ in events]
    assert table["symbol"].to_pylist() == [symbol for _, symbol, _ in events]


def test_values_beyond_json_are_written_as_the_encoder_writes_them() -> None:
    """A date and bytes."""
    event = {"trace_id": "t", "symbol": "s", "when": datetime(2024, 1, 1, tzinfo=UTC), "raw": b"abc"}
    _, table = table_of([msgspec.msgpack.encode(event)], UNKNOWN)

    assert table["payload"].to_pylist() == [
        '{"trace_id":"t","symbol":"s","when":"2024-01-01T00:00:00Z","raw":"YWJj"}'
    ]


@pytest.mark.parametrize("change", [{"more": 1}, {"limit": "five"}, {"ts_ns": 2**64 - 1}])
def test_an_event_that_does_not_fit_its_schema_keeps_its_text(change: dict[str, Any]) -> None:
    """Another version of the program wrote it: nothing of it is lost, and it holds up no other event."""
    written = {**msgspec.to_builtins(gate()), **change}
    key, table = table_of([msgspec.msgpack.encode(written)])

    assert key.form == ""
    assert table["payload"].to_pylist() == [msgspec.json.encode(written).decode()]
    del written["limit"]
    assert table_of([msgspec.msgpack.encode(written)])[0].form == ""


def test_parts_hold_typed_columns(tmp_path: Path) -> None:
    """Of a logged event its fields instead of a payload; of a record its fields beside its bytes."""
    line = record_line("signal.decided", decision(decision="BLOCKED", reason="LOW_CONFIDENCE", features_ts_ns=1))
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        logger.log(gate(inputs={"spread": 1.5}))
        logger.log_line("signal.decided", NOW, line)
    parts = {part.kind: pq.read_table(tmp_path / "lake" / part.path, partitioning=None)
             for part in read_manifest(tmp_path).parts}

    assert {name: parts["gate"][name].to_pylist()[0] for name in ("gate", "passed", "observed", "limit", "inputs")} == {
        "gate": "spread", "passed": True, "observed": 1.5, "limit": 5.0, "inputs": '{"spread":1.5}',
    }
    assert "payload" not in parts["gate"].column_names
    decided = parts["signal.decided"]
    assert (decided["reason"].to_pylist(), decided["confidence"].to_pylist()) == (["LOW_CONFIDENCE"], [0.6])
    assert decided["payload"].to_pylist() == [line.decode()]
    assert Lake(tmp_path).check() == []


LOGGED = (
    ("signal.decided", decision(decision="BLOCKED", reason="LOW_CONFIDENCE", features_ts_ns=1)),
    ("signal.decided", decision(features_ts_ns=1)), ("signal.generated", signal()), ("order.filled", fill()),
    ("trade.closed", trade(-5.0)),
    ("order.cancel", CancelRequest(client_order_id="o1", symbol="BTCUSDT", created_ns=NOW)),
    ("order.updated", OrderUpdate(
        client_order_id="o1", venue_order_id="v1", symbol="BTCUSDT", status=OrderStatus.NEW, ts_ns=NOW,
    )),
    ("halt.raised", HaltNotice(kind="DRAWDOWN", reason="8 % lost", owner="governor", exit_path="resume")),
)
ASKED: dict[str, list[dict[str, Any]]] = {
    "select reason, count(*) as n from decisions where decision = 'BLOCKED' group by 1 order by 1": [
        {"reason": "LOW_CONFIDENCE", "n": 1}, {"reason": "SPREAD", "n": 1}
    ],
    "select symbol, side, confidence, votes->>'$.momentum' as vote from signals": [
        {"symbol": "BTCUSDT", "side": "LONG", "confidence": 0.6, "vote": "0.6"}
    ],
    "select sum(qty * price) as notional, sum(fee) as fees, any_value(fee_asset) as coin from fills": [
        {"notional": 30_000.0, "fees": 1.0, "coin": None}
    ],
    "select side, pnl, r_multiple, exit_reason, entry_ns from trades": [
        {"side": "LONG", "pnl": -5.0, "r_multiple": -0.05, "exit_reason": "TRAILING_STOP", "entry_ns": NOW - 1}
    ],
    "select kind, client_order_id, status from orders order by 1": [
        {"kind": "order.cancel", "client_order_id": "o1", "status": None},
        {"kind": "order.updated", "client_order_id": "o1", "status": "NEW"},
    ],
    "select halt_kind, reason, owner from halts": [
        {"halt_kind": "DRAWDOWN", "reason": "8 % lost", "owner": "governor"}
    ],
    "select g.gate, g.passed, d.reason from Gates g join DECISIONS d using (signal_id) where d.kind = 'decision'": [
        {"gate": "spread", "passed": True, "reason": "SPREAD"}
    ],
    "select observe, risk_pct, allowed_symbols from policies": [
        {"observe": None, "risk_pct": 1.0, "allowed_symbols": None}
    ],
    "select count(*) as n from refusals": [{"n": 0}],
}


def log_all(logger: EventLogger) -> None:
    """Log one of each."""
    for topic, data in LOGGED:
        logger.log_line(topic, NOW, record_line(topic, data))
    logger.log(gate())
    logger.log(DecisionEvent(
        trace_id="t", symbol="BTCUSDT", ts_ns=NOW, signal_id="s", decision="BLOCKED", reason="SPREAD", confidence=0.5,
        feature_times={},
    ))
    logger.log(PolicyEvent(
        trace_id="t", symbol="", ts_ns=NOW, policy_hash="h", risk_pct=1.0, min_confidence=0.6,
    ))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same events in typed parts, in parts of text as older versions wrote them, and in no part yet."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("typed", "text", "waiting", "merged")}
    with EventLogger(made["typed"], ring_bytes=SMALL) as logger:
        log_all(logger)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventLogger, "_start_flusher", lambda self: None)
        for name in ("text", "waiting"):
            with EventLogger(made[name], ring_bytes=SMALL) as logger:
                log_all(logger)
    with pytest.MonkeyPatch.context() as patch:
        from quantum_trader.journal.flusher import Committer

        patch.setattr("quantum_trader.journal.columns.shape_of", lambda kind: None)
        committer = Committer(made["text"], "main", publish_s=99.0)
        committer.step(0.0)
        committer.rotate()
        publish_segments(made["text"], committer.finished)
        committer.close()
    for _ in range(2):
        with EventLogger(made["merged"], "other", ring_bytes=SMALL) as logger:
            log_all(logger)
    assert Lake(made["merged"]).compact(least=2) > 0
    return made


@pytest.mark.parametrize("place", ["typed", "text", "waiting"])
@pytest.mark.parametrize(("query", "rows"), ASKED.items())
def test_a_view_has_the_same_rows_wherever_the_events_are(
    places: dict[str, Path], place: str, query: str, rows: list[dict[str, Any]]
) -> None:
    """By column names and without JSON paths."""
    assert Lake(places[place]).sql(query).to_pylist() == rows


def test_old_parts_are_read_beside_typed_ones(places: dict[str, Path]) -> None:
    """The same payloads, traces, symbols and times from each place, also after a merge."""
    asked = "select kind, trace_id, symbol, ts_ns, payload from events order by seq"
    typed, text, waiting = (Lake(places[name]).sql(asked).to_pylist() for name in ("typed", "text", "waiting"))
    merged = Lake(places["merged"]).sql(f"select * exclude (seq) from ({asked.replace('kind,', 'seq, kind,')})")

    assert typed == text == waiting
    assert merged.to_pylist() == typed * 2
    assert [part.payload for part in read_manifest(places["text"]).parts] == [True] * 10
    assert Lake(places["merged"]).sql("select count(*) as n from decisions").to_pylist() == [{"n": 6}]
    assert Lake(places["merged"]).check() == []


def test_typed_events_are_read_back_from_their_columns(places: dict[str, Path]) -> None:
    """As the events that were logged."""
    read, = (event for event in Lake(places["typed"]).events("gate"))

    assert read == gate()


def test_a_view_of_every_kind_answers(places: dict[str, Path]) -> None:
    """With the columns and types that are described, whether there are such events or not."""
    for place in ("typed", "text"):
        for view in views():
            told = Lake(places[place]).sql(f"select * from {view.name} limit 0")
            assert told.column_names == [column.name for column in described(view)], view.name


def test_every_kind_with_a_schema_has_one_view() -> None:
    """A topic or a kind that is added later needs its line."""
    shown = [kind for view in views() for kind in view.kinds]
    wanted = {*DATA_TYPES, *(name for name, kind in BY_NAME.items() if kind.type is not None)}

    assert sorted(shown) == sorted(set(shown))
    assert {kind for kind in wanted if shape_of(kind) is not None} == set(shown)


def test_every_column_is_described_and_no_description_is_left_over() -> None:
    """A field that is added later needs its sentence."""
    own = [view for view in views() if all(known(kind) for kind in view.kinds)]
    missing = [f"{view.name}.{column.name}" for view in own for column in described(view) if not column.description]
    used = {column.name for view in own for column in described(view)}
    used |= {f"{view.name}.{name}" for view in own for name in view_columns(view)}

    assert missing == []
    assert set(DESCRIPTIONS) - used == set()


def known(kind: str) -> bool:
    """Whether *kind* is one of the program's own, not one that another test registered."""
    found = BY_NAME[kind].type
    return found is None or found.__module__ == Event.__module__


def test_a_view_is_found_by_a_kind_too() -> None:
    """And an unknown name is answered with the names there are."""
    assert event_view("signal.decided") == event_view("decisions")
    with pytest.raises(InputError, match=r"kind = 'orders_sent'.*orders"):
        event_view("orders_sent")
