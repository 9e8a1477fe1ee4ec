"""The leakage guard: no decision with a feature from its future."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.journal.records import record_line

from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.trading import Signal
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import DecisionEvent, SignalEvent
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.leakage import LeakageError, check, ensure
from quantum_trader.journal.lines import check_line

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
    """A record of a run and a foreign line of any kind; a line that is no record of its topic is refused as such."""
    line = record_line("signal.generated", signal(NOW + 1))
    foreign = msgspec.json.encode({"model": "mine", "features": {"rsi": {"ts_ns": NOW + 1}}})

    for kind, late in (("signal.generated", line), ("my.decision", foreign)):
        with pytest.raises(LeakageError, match="after the decision"):
            check_line(kind, NOW, late)
        check_line(kind, NOW, late.replace(str(NOW + 1).encode(), str(NOW).encode()))
    with pytest.raises(InputError, match=r"line of kind 'signal\.generated'"):
        check_line("signal.generated", NOW, line[:-9])


def test_a_decision_that_is_logged_as_a_line_is_checked_like_a_typed_one(tmp_path: Path) -> None:
    """``log_line("decision", …)`` with a feature from the future is refused before it is stored."""
    line = msgspec.json.encode({
        "trace_id": "t", "symbol": "BTCUSDT", "ts_ns": NOW, "signal_id": "s", "decision": "ALLOWED", "reason": "",
        "confidence": 0.6, "feature_times": {"rsi": NOW + 1},
    })
    with EventLogger(tmp_path, ring_bytes=1 << 20) as logger:
        with pytest.raises(LeakageError, match="used rsi of"):
            logger.log_line("decision", NOW, line)
        logger.log_line("decision", NOW + 1, line.replace(b'"ts_ns":%d' % NOW, b'"ts_ns":%d' % (NOW + 1)))

    assert Lake(tmp_path).counts() == {"decision": 1}


def test_feature_times_cannot_be_changed_after_construction() -> None:
    """Neither through the event nor through the dict that it was made with; copies are the same."""
    times = {"rsi": NOW}
    event = DecisionEvent(
        trace_id="t", symbol="BTCUSDT", ts_ns=NOW, signal_id="s", decision="ALLOWED", reason="", confidence=0.6,
        feature_times=times, facts={"a": 1},
    )
    times["rsi"] = NOW + 1
    for change in (
        lambda: event.feature_times.update(rsi=NOW + 1), lambda: event.feature_times.setdefault("atr", NOW + 1),
        lambda: event.feature_times.__setitem__("rsi", NOW + 1), lambda: event.facts.clear(),
        lambda: event.feature_times.__ior__({"rsi": NOW + 1}), lambda: event.facts.pop("a"),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()

    assert event.feature_times == {"rsi": NOW}
    assert copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event
    assert msgspec.json.decode(msgspec.json.encode(event))["feature_times"] == {"rsi": NOW}


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
