"""The pilot's live metrics: the last decisions and intents, the totals, and the status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.pilot_run import FIRST_NS, record_intent, recording
from tests.journal.pilot_records import MODEL, pilot_decided

from quantum_trader.app.runs.pilot_journal import pilot_metrics
from quantum_trader.domain.clock import NS_PER_MINUTE, iso
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.engine.recorder import MemorySink, Recorder
from quantum_trader.live.pilot_metrics import PilotMetricsSink
from quantum_trader.pilot import RLv3LiveStatusResponse, RLv3MetricsStore

DECISION = {"ts_ns": 1, "symbol": "BTCUSDT", "action": "HOLD", "confidence": 0.5}
INTENT = {"ts_ns": 1, "intent_id": "i1", "symbol": "BTCUSDT", "side": "LONG", "source": "RL_V3_PRIMARY"}


def test_the_status_has_the_published_fields() -> None:
    """In their order; the defaults and no time where nothing has happened."""
    status = RLv3MetricsStore().get_live_status()

    assert msgspec.to_builtins(status) == {
        "enabled": True, "mode": "SHADOW", "min_confidence": 0.6, "trade_intents_total": 0,
        "trade_intents_executed": 0, "shadow_decisions": 0, "last_decision_at": None, "last_trade_intent_at": None,
    }
    assert RLv3LiveStatusResponse.__struct_fields__ == tuple(msgspec.to_builtins(status))
    assert status["mode"] is PilotMode.SHADOW


def test_the_last_ones_are_kept_and_all_are_counted() -> None:
    """200 decisions and 100 intents, newest first."""
    store = RLv3MetricsStore()
    for i in range(250):
        store.record_live_decision({**DECISION, "ts_ns": i})
        store.record_trade_intent({**INTENT, "ts_ns": i, "intent_id": f"i{i}"})

    assert [one.ts_ns for one in store.get_recent_live_decisions(300)] == list(range(249, 49, -1))
    assert [one.ts_ns for one in store.get_recent_trade_intents(300)] == list(range(249, 149, -1))
    assert len(store.get_recent_live_decisions()) == len(store.get_recent_trade_intents()) == 50
    status = store.get_live_status()
    assert (store.decisions_total, status.shadow_decisions, status.trade_intents_total) == (250, 250, 250)


def test_a_run_feeds_it_through_its_sink(tmp_path: Path) -> None:
    """Decisions one a symbol; of the intents the pilot's alone; an intent in several fills is executed once."""
    store = RLv3MetricsStore(lambda: PilotSettings(mode=PilotMode.HYBRID, min_confidence=0.7))
    with recording(tmp_path, lambda sink: PilotMetricsSink(sink, store)) as recorder:
        recorder.record("pilot.decided", "", FIRST_NS, pilot_decided())
        recorder.record("pilot.decided", "", FIRST_NS, pilot_decided(mode=PilotMode.HYBRID))
        record_intent(recorder, 1, FIRST_NS + 1, source="RL_V3_HYBRID_CONSENSUS")
        record_intent(recorder, 2, FIRST_NS + NS_PER_MINUTE, filled=False)
        record_intent(recorder, 3, FIRST_NS + 3, source="signals")
    status = store.get_live_status()

    assert (status.mode, status.min_confidence) == (PilotMode.HYBRID, 0.7)
    assert (store.decisions_total, status.shadow_decisions) == (4, 2)
    assert (status.trade_intents_total, status.trade_intents_executed) == (2, 1)
    assert (status.last_decision_at, status.last_trade_intent_at) == (iso(FIRST_NS), iso(FIRST_NS + NS_PER_MINUTE))
    assert [(one.symbol, one.action, one.outcome) for one in store.get_recent_live_decisions(2)] == [
        ("ETHUSDT", "HOLD", "NOTHING"), ("BTCUSDT", "LONG_SMALL", "SHADOW"),
    ]
    assert store.get_recent_live_decisions(1)[0].model == MODEL
    assert [(one.intent_id, one.executed) for one in store.get_recent_trade_intents()] == [
        ("i00000002", False), ("i00000001", True),
    ]


def test_a_journal_gives_the_same_metrics_again(tmp_path: Path) -> None:
    """After a restart, or in another process."""
    store = RLv3MetricsStore()
    with recording(tmp_path, lambda sink: PilotMetricsSink(sink, store)) as recorder:
        for number in range(1, 130):
            recorder.record("pilot.decided", "", FIRST_NS + number, pilot_decided())
            record_intent(recorder, number, FIRST_NS + number, filled=number % 3 == 0)
    again = pilot_metrics(tmp_path)

    assert again.get_live_status() == store.get_live_status()
    assert again.get_recent_live_decisions(200) == store.get_recent_live_decisions(200)
    assert again.get_recent_trade_intents(100) == store.get_recent_trade_intents(100)
    assert again.get_live_status().trade_intents_executed == 43


def test_a_failure_of_the_metrics_stops_no_record() -> None:
    """It is counted; the record is kept."""
    kept = MemorySink()
    sink = PilotMetricsSink(kept, RLv3MetricsStore())
    Recorder(sink).record("pilot.decided", "", 1, pilot_decided(actions=["HOLD"]))  # one action for two symbols

    assert (len(kept.lines), sink.shield.failures) == (1, 1)


@pytest.mark.parametrize(("changed", "told"), [
    ({"confidence": 7.0}, "confidence"), ({"symbol": ""}, "symbol"), ({"mood": 1}, "decision.mood: unknown"),
    ({"mode": "LIVE"}, "mode"),
])
def test_a_wrong_decision_is_refused(changed: dict[str, Any], told: str) -> None:
    """With the field's name; nothing is counted."""
    store = RLv3MetricsStore()
    with pytest.raises(InputError, match=told):
        store.record_live_decision({**DECISION, **changed})
    with pytest.raises(InputError, match="LiveTradeIntent"):
        store.record_trade_intent({"ts_ns": 1})
    with pytest.raises(InputError, match="limit = -1"):
        store.get_recent_live_decisions(-1)

    assert (store.decisions_total, store.get_live_status().trade_intents_total) == (0, 0)
