"""The leakage guard: no decision with a feature from its future."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import DataError
from quantum_trader.domain.trading import Signal
from quantum_trader.journal.kinds import DecisionEvent, SignalEvent
from quantum_trader.journal.leakage import LeakageError, check, check_line, ensure

NOW = 1_700_000_000_000_000_000


def signal(features_ns: int) -> Signal:
    """A signal of NOW whose newest feature is of *features_ns*."""
    return Signal(
        signal_id="s1", trace_id="tr1", symbol="BTCUSDT", action=Side.LONG, confidence=0.6, model="m", ts_ns=NOW,
        features_ts_ns=features_ns,
    )


@pytest.mark.parametrize("features_ns", [NOW, NOW - 1, 0])
def test_a_feature_of_its_past_is_fine(features_ns: int) -> None:
    """The decision's own moment included."""
    assert check("signal.generated", NOW, signal(features_ns)) is None


def test_a_feature_one_nanosecond_late_is_refused_with_both_times() -> None:
    """The error carries them as numbers and in words."""
    with pytest.raises(LeakageError, match="after the decision") as caught:
        ensure("signal.generated", NOW, signal(NOW + 1))

    assert (caught.value.decision_ns, caught.value.feature_ns) == (NOW, NOW + 1)
    assert str(NOW) in str(caught.value)
    assert str(NOW + 1) in str(caught.value)


@pytest.mark.parametrize(("data", "feature"), [
    ({"features": {"rsi": NOW - 5, "atr": NOW + 5, "vol": NOW + 2}}, "atr"),
    ({"features": {"rsi": {"value": 3.0, "ts_ns": NOW + 1}}}, "rsi"),
    ({"features_ts_ns": NOW + 1}, "features_ts_ns"),
])
def test_any_decision_event_is_checked_by_name(data: dict[str, Any], feature: str) -> None:
    """The latest of its features is named."""
    leak = check("signal.decided", NOW, data)

    assert leak is not None
    assert leak.feature == feature


def test_a_decision_dated_after_its_record_gains_nothing() -> None:
    """The earlier of the two times counts."""
    assert check("signal.decided", NOW, {"ts_ns": NOW + 10, "features_ts_ns": NOW + 5}) is not None


def test_a_signal_must_state_the_time_of_its_features() -> None:
    """A signal without that time is refused."""
    leak = check("signal.generated", NOW, {"symbol": "BTCUSDT"})

    assert leak is not None
    assert "states no time" in leak.text
    assert check("order.filled", NOW, {"symbol": "BTCUSDT"}) is None


def test_encoded_records_are_checked_the_same() -> None:
    """A line that is no record is refused as such."""
    line = msgspec.json.encode({"topic": "signal.generated", "ts_ns": NOW, "data": signal(NOW + 1)})

    assert check_line(line) is not None
    assert check_line(line.replace(str(NOW + 1).encode(), str(NOW).encode())) is None
    assert check_line(b'{"topic":"order.filled","ts_ns":1}') is None
    with pytest.raises(DataError, match="not a record"):
        check_line(line[:-9])


def test_typed_events_are_refused_when_they_are_made() -> None:
    """A decision and a signal with a feature one nanosecond late are refused by their structs."""
    decision: dict[str, Any] = {
        "trace_id": "t", "symbol": "BTCUSDT", "ts_ns": NOW, "signal_id": "s", "decision": "ALLOWED", "reason": "",
        "confidence": 0.6, "price": 1.0, "qty": 1.0, "policy_hash": "",
    }
    DecisionEvent(**decision, feature_times={"rsi": NOW, "atr": NOW - 1})
    with pytest.raises(LeakageError, match="used atr of") as caught:
        DecisionEvent(**decision, feature_times={"rsi": NOW, "atr": NOW + 1})
    with pytest.raises(LeakageError, match="features_ts_ns"):
        SignalEvent(
            trace_id="t", symbol="BTCUSDT", ts_ns=NOW, signal_id="s", side="LONG", confidence=0.6, consensus=1.0,
            model="m", features_ts_ns=NOW + 1,
        )

    assert caught.value.feature_ns == NOW + 1
