"""Saved at each change, restored at start, set aside when damaged."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quantum_trader.domain.enums import Trend, VolLevel
from quantum_trader.domain.errors import StateError
from quantum_trader.policy import MarketState, OrchestratorPolicy, RiskState, create_symbol_performance

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LOSS = RiskState(daily_pnl_pct=-4.0, equity=96.0)
BAD = create_symbol_performance("A", 0.1, -1.0, -5.0, "BAD")


def opened(path: Path | None) -> OrchestratorPolicy:
    return OrchestratorPolicy(profile_name="STANDARD", state_path=path)


def ask(policy: OrchestratorPolicy, minutes: float, risk: RiskState | None = None, **more: Any) -> Any:
    return policy.update_policy(
        "TRENDING", "NORMAL", risk or RiskState(equity=100.0), now=NOON + timedelta(minutes=minutes), **more
    )


def test_a_restart_continues_with_the_same_policy_history_bans_and_slots(tmp_path: Path) -> None:
    """What is in force before the restart is in force after it, word for word."""
    path = tmp_path / "policy.json"
    first = opened(path)
    ask(
        first,
        0,
        symbol_performance=[BAD],
        markets={"B": MarketState(trend=Trend.RANGING, direction=None, vol_level=VolLevel.HIGH)},
    )
    before = first.get_policy()
    second = opened(path)
    assert second.get_policy().to_dict() == before.to_dict()
    assert len(second.get_history()) == len(first.get_history()) == 1
    assert second.get_policy().for_symbol("B") == before.for_symbol("B")


def test_a_restart_and_an_uninterrupted_run_decide_alike(tmp_path: Path) -> None:
    """Holds, latches and the equity ring go on across a restart at every step."""
    path = tmp_path / "policy.json"
    steady = opened(None)
    equity = [100.0, 101.0, 99.0, 96.0, 97.0, 98.0, 99.0, 99.5, 99.5, 99.5]
    for step in range(60):
        risk = RiskState(equity=equity[step % len(equity)], losing_streak=step % 7)
        expected = ask(steady, 60 * step, risk)
        got = ask(opened(path), 60 * step, risk)
        assert got.content_hash == expected.content_hash


def test_the_file_is_private_and_complete(tmp_path: Path) -> None:
    """0600, JSON, and no partial file left behind."""
    path = tmp_path / "policy.json"
    ask(opened(path), 0, LOSS)
    assert path.stat().st_mode & 0o777 == 0o600
    saved = msgspec.json.decode(path.read_bytes())
    assert saved["latch"]["reason"].startswith("B1")
    assert os.listdir(tmp_path) == ["policy.json"]


def test_a_latch_survives_restart_reset_and_loading_an_older_state(tmp_path: Path) -> None:
    """A state saved before the loss does not reopen trading."""
    path, old = tmp_path / "policy.json", tmp_path / "old.json"
    policy = opened(path)
    ask(policy, 0)
    policy.save(old)
    ask(policy, 10, LOSS)
    policy.reset_daily(now=NOON + timedelta(minutes=11))
    policy.load(old)
    assert ask(policy, 20).allow_new_trades is False
    again = opened(path)
    assert again.latched
    assert ask(again, 600).allow_new_trades is False


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"format": 1}', b"\xff\xfe", b'{"format": 99}'])
def test_a_damaged_file_is_set_aside_and_nothing_is_traded_until_resumed(tmp_path: Path, damage: bytes) -> None:
    """The damaged file is kept and named, and the halt outlives another restart."""
    path = tmp_path / "policy.json"
    path.write_bytes(damage)
    policy = opened(path)
    assert "set aside" in policy.recovered_from
    assert (tmp_path / "policy.json.damaged-1").read_bytes() == damage
    assert ask(policy, 0).allow_new_trades is False
    again = opened(path)
    assert again.halted
    assert "damaged" in again.halt_reason
    again.resume("checked the account by hand")
    assert [ask(again, 1 + n).allow_new_trades for n in range(4)][-1] is True


def test_a_truncated_row_is_damage(tmp_path: Path) -> None:
    """A file of the right shape with a row of the wrong length is not trusted."""
    path = tmp_path / "policy.json"
    ask(opened(path), 0)
    saved = msgspec.json.decode(path.read_bytes())
    saved["overall"] = saved["overall"][:-1]
    path.write_bytes(msgspec.json.encode(saved))
    assert opened(path).halted


def test_a_full_disk_is_a_clear_error_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """StateError, the file as it was, the policy still safe in memory."""
    path = tmp_path / "policy.json"
    policy = opened(path)
    ask(policy, 0)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("quantum_trader.policy.storage.os.fsync", full)
    with pytest.raises(StateError, match="No space left"):
        ask(policy, 1, LOSS)
    assert path.read_bytes() == before
    assert policy.get_policy().allow_new_trades is False
    assert os.listdir(tmp_path) == ["policy.json"]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No path, no file; saving needs one."""
    monkeypatch.chdir(tmp_path)
    policy = opened(None)
    ask(policy, 0)
    assert os.listdir(tmp_path) == []
    with pytest.raises(StateError, match="no path"):
        policy.save()
    with pytest.raises(StateError, match="no such file"):
        policy.load(tmp_path / "none.json")
