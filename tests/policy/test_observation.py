"""The observer writes what the specification shows, and never disturbs its caller."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, to_ns
from quantum_trader.domain.enums import OrchestratorMode, Side
from quantum_trader.domain.policy import RiskState
from quantum_trader.domain.trading import Signal
from quantum_trader.policy import observation
from quantum_trader.policy.observation import PolicyObserver

NOON = to_ns(datetime(2024, 5, 17, 12, tzinfo=UTC))


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a policy the observer reads."""

    allow_new_trades: bool = True
    min_confidence: float = 0.53
    max_risk_pct: float = 0.5
    max_open_positions: int = 8
    allowed_symbols: tuple[str, ...] = ()
    disallowed_symbols: dict[str, str] = msgspec.field(default_factory=lambda: {"XRPUSDT": "tagged BAD"})
    note: str = "high volatility"


def update(observer: PolicyObserver, policy: Any = None, now: int = NOON, **changes: Any) -> None:
    """Log one policy update."""
    observer.log_policy_update(
        policy or Policy(), regime_tag="TRENDING", vol_level="HIGH", risk_state=RiskState(losing_streak=2), now=now,
        **changes,
    )


def decide(observer: PolicyObserver, decision: str = "ALLOWED", now: int = NOON, **signal: Any) -> None:
    """Log one signal decision under a default policy."""
    fields = {"symbol": "BTCUSDT", "action": "LONG", "confidence": 0.50, "model": "ensemble"} | signal
    observer.log_signal_decision(fields, Policy(), decision, now=now)


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file, which must end with a whole line."""
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def test_a_policy_update_has_exactly_the_fields_of_the_specification(tmp_path: Path) -> None:
    """One object with timestamp, mode, inputs, policy, actual and comparison."""
    update(PolicyObserver(tmp_path))
    (line,) = lines(tmp_path / "policy_obs_2024-05-17.jsonl")
    assert list(line) == ["timestamp", "mode", "inputs", "policy", "actual", "comparison"]
    assert line["timestamp"] == "2024-05-17T12:00:00Z"
    assert line["mode"] == "OBSERVE"
    assert list(line["inputs"]) == ["regime_tag", "vol_level", "risk_state"]
    assert line["inputs"]["risk_state"]["losing_streak"] == 2
    assert line["policy"] == {
        "allow_new_trades": True, "min_confidence": 0.53, "risk_per_trade_pct": 0.5, "max_open_positions": 8,
        "disallowed_symbols": ["XRPUSDT"], "note": "high volatility",
    }
    assert line["actual"] == {"confidence_used": 0.45, "trading_allowed": True}
    assert line["comparison"] == {
        "would_block_trading": False, "would_raise_confidence": True, "confidence_delta": 0.08,
    }


def test_a_closed_policy_would_block_only_what_trades(tmp_path: Path) -> None:
    """would_block_trading is false where trading is already stopped."""
    observer = PolicyObserver(tmp_path)
    update(observer, Policy(allow_new_trades=False))
    update(observer, Policy(allow_new_trades=False), actual_trading_allowed=False, mode=OrchestratorMode.LIVE)
    found = lines(tmp_path / "policy_obs_2024-05-17.jsonl")
    assert [line["comparison"]["would_block_trading"] for line in found] == [True, False]
    assert [line["mode"] for line in found] == ["OBSERVE", "LIVE"]


def test_a_signal_decision_has_exactly_the_fields_of_the_specification(tmp_path: Path) -> None:
    """The verdict and its reasons are worked out from the policy."""
    signal = Signal(
        signal_id="s1", trace_id="t1", symbol="XRPUSDT", action=Side.SHORT, confidence=0.5, model="ensemble",
        ts_ns=NOON, features_ts_ns=NOON,
    )
    PolicyObserver(tmp_path).log_signal_decision(signal, Policy(), "ALLOWED", "passed every gate")
    assert lines(tmp_path / "signals_2024-05-17.jsonl") == [{
        "timestamp": "2024-05-17T12:00:00Z", "type": "signal_decision",
        "signal": {"symbol": "XRPUSDT", "action": "SELL", "confidence": 0.5, "model": "ensemble"},
        "actual_decision": "ALLOWED", "policy_verdict": "BLOCK", "agreement": False,
        "reasons": ["passed every gate", "XRPUSDT is disallowed", "confidence 0.50 is below 0.53"],
    }]


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (Policy(min_confidence=0.4), "ALLOW"), (Policy(min_confidence=0.6), "BLOCK"),
        (Policy(min_confidence=0.4, allow_new_trades=False), "BLOCK"),
        (Policy(min_confidence=0.4, allowed_symbols=("ETHUSDT",)), "BLOCK"), (None, "ALLOW"),
    ],
)
def test_the_verdict_follows_the_policy(tmp_path: Path, policy: Policy | None, verdict: str) -> None:
    """Blocked by the gate, the confidence or the symbol lists; nothing to block without a policy."""
    signal = {"symbol": "BTCUSDT", "action": "BUY", "confidence": 0.5, "model": "m"}
    PolicyObserver(tmp_path).log_signal_decision(signal, policy, "BLOCKED", now=NOON)
    (line,) = lines(tmp_path / "signals_2024-05-17.jsonl")
    assert (line["policy_verdict"], line["agreement"]) == (verdict, verdict == "BLOCK")


def test_files_rotate_by_the_events_own_utc_day(tmp_path: Path) -> None:
    """A replay of 2024 writes files of 2024, independent of today's date."""
    observer = PolicyObserver(tmp_path, flush_bytes=65536)
    for hours in (0, 11, 12, 13, 36):
        update(observer, now=NOON + hours * NS_PER_HOUR)
    observer.close()
    counts = {path.name: len(lines(path)) for path in tmp_path.iterdir()}
    assert counts == {
        "policy_obs_2024-05-17.jsonl": 2, "policy_obs_2024-05-18.jsonl": 2, "policy_obs_2024-05-19.jsonl": 1,
    }


def test_files_and_folder_are_private(tmp_path: Path) -> None:
    """Only the owner may read the files (0600) and the folder (0700)."""
    folder = tmp_path / "policy_observations"
    observer = PolicyObserver(folder)
    update(observer)
    decide(observer)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (modes, stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)


def test_the_last_hundred_policies_stay_in_memory(tmp_path: Path) -> None:
    """The oldest goes first."""
    observer = PolicyObserver(tmp_path, flush_bytes=1 << 20)
    for index in range(130):
        update(observer, Policy(max_open_positions=index))
    assert [entry["policy"]["max_open_positions"] for entry in observer.recent] == list(range(30, 130))
    assert observer.get_recent_policies() == list(observer.recent)


def test_a_buffered_observer_writes_the_same_bytes(tmp_path: Path) -> None:
    """Buffering changes when, not what."""
    for name, size in (("direct", 0), ("buffered", 4096)):
        observer = PolicyObserver(tmp_path / name, flush_bytes=size)
        for index in range(100):
            update(observer, Policy(max_open_positions=index), now=NOON + index * NS_PER_HOUR)
            decide(observer, now=NOON + index * NS_PER_HOUR)
        observer.close()
    assert content(tmp_path / "direct") == content(tmp_path / "buffered")
    assert len(content(tmp_path / "direct")) == 10


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_an_unwritable_folder_is_counted_and_never_raised(tmp_path: Path) -> None:
    """A file where the folder should be: trading goes on, the errors and the lost line are counted."""
    (tmp_path / "occupied").write_text("")
    observer = PolicyObserver(tmp_path / "occupied")
    update(observer)
    decide(observer)
    observer.close()
    assert observer.errors >= 2
    assert "occupied" in observer.last_error
    assert observer.lost_lines == 2


def test_a_value_of_the_wrong_kind_is_counted_and_never_raised(tmp_path: Path) -> None:
    """No policy, no signal fields, an unknown decision, a number that is a word."""
    observer = PolicyObserver(tmp_path)
    observer.log_policy_update(None, regime_tag="", vol_level="", risk_state=None, now=NOON)  # type: ignore[arg-type]
    observer.log_signal_decision({"symbol": "BTCUSDT"}, now=NOON)
    decide(observer, decision="PERHAPS")
    decide(observer, confidence="high")
    assert observer.errors == 4
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_whole_lines_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half-written line is cut off at once, kept in memory, and written later."""
    observer = PolicyObserver(tmp_path)
    decide(observer)
    path = tmp_path / "signals_2024-05-17.jsonl"
    whole, write = path.read_bytes(), os.write
    room = [len(whole) + 10]

    def full(descriptor: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(28, "No space left on device")
        taken = min(room[0], len(data))
        room[0] -= taken
        return write(descriptor, data[:taken])

    monkeypatch.setattr(os, "write", full)
    decide(observer)
    decide(observer)
    assert (path.read_bytes(), observer.errors) == (whole * 2, 1)
    assert "No space left" in observer.last_error
    monkeypatch.setattr(os, "write", write)
    decide(observer)
    assert path.read_bytes() == whole * 4
    assert observer.lost_lines == 0


def test_what_the_disk_refuses_for_too_long_is_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: the older lines go and are counted."""
    monkeypatch.setattr(observation, "MAX_BUFFER", 2000)
    (tmp_path / "occupied").write_text("")
    observer = PolicyObserver(tmp_path / "occupied")
    for _ in range(50):
        decide(observer)
    observer.close()
    assert observer.lost_lines == 50


@pytest.mark.parametrize(("torn", "repaired"), [(b"", 0), (b'{"timestamp": "2024', 1)])
def test_a_torn_last_line_is_cut_off_and_counted_at_opening(tmp_path: Path, torn: bytes, repaired: int) -> None:
    """A crash in the middle of a line costs that line alone."""
    path = tmp_path / "signals_2024-05-17.jsonl"
    path.write_bytes(b'{"kept": true}\n' + torn)
    observer = PolicyObserver(tmp_path)
    decide(observer)
    first, second = lines(path)
    assert (first, second["type"], observer.repaired_lines) == ({"kept": True}, "signal_decision", repaired)


def test_a_restart_from_a_checkpoint_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """What was written after the checkpoint is cut off and written again, across midnight too."""
    moments = [NOON + index * NS_PER_DAY // 5 for index in range(12)]

    def write(observer: PolicyObserver, some: list[int]) -> None:
        for moment in some:
            update(observer, now=moment)
            decide(observer, now=moment)

    straight = PolicyObserver(tmp_path / "straight", flush_bytes=1000)
    write(straight, moments)
    straight.close()
    killed = PolicyObserver(tmp_path / "killed", flush_bytes=1000)
    write(killed, moments[:4])
    mark = killed.mark()
    write(killed, moments[4:])
    killed.flush()
    again = PolicyObserver(tmp_path / "killed", flush_bytes=1000)
    again.rewind(mark)
    write(again, moments[4:])
    again.close()
    assert content(tmp_path / "killed") == content(tmp_path / "straight")
    assert (again.errors, again.repaired_lines) == (0, 0)


def test_a_failed_mark_rewinds_nothing(tmp_path: Path) -> None:
    """Not knowing what was covered must not delete anything."""
    observer = PolicyObserver(tmp_path)
    decide(observer)
    observer.rewind(None)
    assert len(lines(tmp_path / "signals_2024-05-17.jsonl")) == 1


def test_without_a_time_the_signals_own_is_taken(tmp_path: Path) -> None:
    """A mapping may carry its timestamp; a datetime without a zone is UTC."""
    observer = PolicyObserver(tmp_path)
    signal = {"symbol": "A", "action": "BUY", "confidence": 0.5, "model": "m", "timestamp": "2023-01-02T03:04:05+00:00"}
    observer.log_signal_decision(signal)
    observer.log_signal_decision(signal, now=datetime(2023, 1, 3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "signals_2023-01-02.jsonl", "signals_2023-01-03.jsonl",
    ]
