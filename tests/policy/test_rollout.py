"""Promotion asks for evidence, rollback never asks, and a running process follows the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.enums import OrchestratorMode
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.policy.enforcement import SWITCHES, OrchestratorIntegrationConfig
from quantum_trader.policy.evidence import Evidence
from quantum_trader.policy.rollout import (
    HISTORY,
    Promoted,
    PromotionRefused,
    RolloutState,
    enforced,
    promote,
    rollback,
    set_mode,
)
from quantum_trader.policy.rollout_file import ROLLOUT_FILE, RolloutFile, read_state

NOW = 1_700_000_000_000_000_000


def proof(switch: str, **changes: object) -> Evidence:
    """Evidence that suffices, but for *changes*."""
    base = Evidence(
        switch=switch, signals=100, changed=40, resolved=40, sum_r=-20.0, mean_r=-0.5, market_hours=200, look=1,
        look_size=30, next_look=45, interval=(-0.9, -0.1), blocks=12, effective_blocks=10.0, block_hours=16.0,
    )
    return msgspec.structs.replace(base, **changes)


def after(count: int) -> RolloutState:
    """A state with the first *count* switches promoted."""
    state = RolloutState()
    for switch in SWITCHES[:count]:
        outcome = promote(state, switch, proof(switch), now_ns=NOW, actor="ann")
        assert isinstance(outcome, Promoted)
        state = outcome.state
    return state


def test_with_evidence_the_switches_go_on_one_by_one() -> None:
    """In order, each leaving an audit entry; the first sets the mode to LIVE."""
    state = after(6)
    assert state.config == OrchestratorIntegrationConfig.create_live_mode_full()
    assert [(change.revision, change.switch, change.forced) for change in state.changes] == [
        (index + 1, name, False) for index, name in enumerate(SWITCHES)
    ]
    first = state.changes[0]
    assert (first.mode_before, first.mode_after, first.before, first.after) == (
        OrchestratorMode.OBSERVE, OrchestratorMode.LIVE, (), ("signal_filter",)
    )
    assert first.evidence == proof("signal_filter")


@pytest.mark.parametrize(
    ("changes", "condition", "figures"),
    [
        ({"resolved": 29}, "decisions changed", ("29", "30")),
        ({"market_hours": 23}, "hours of market", ("23", "24")),
        ({"interval": (-0.9, 0.0)}, "shadow R", ("-0.900 to +0.000", "below zero")),
        ({"interval": (-0.9, 0.2)}, "shadow R", ("+0.200", "45")),
        ({"interval": None, "effective_blocks": 2.3}, "independent blocks", ("2.3", "4")),
    ],
)
def test_each_missing_condition_is_named_with_its_figures(
    changes: dict[str, object], condition: str, figures: tuple[str, ...]
) -> None:
    """A refusal is a value that says what was seen and what is needed."""
    outcome = promote(RolloutState(), "signal_filter", proof("signal_filter", **changes), now_ns=NOW, actor="ann")
    assert isinstance(outcome, PromotionRefused)
    (unmet,) = outcome.unmet
    assert unmet.condition.startswith(condition)
    assert all(figure in unmet.text for figure in figures)


def test_every_unmet_condition_is_listed_at_once() -> None:
    """One refusal lists all three unmet conditions."""
    outcome = promote(
        RolloutState(), "risk_sizing", proof("risk_sizing", resolved=3, market_hours=2, look=0, interval=None),
        now_ns=NOW, actor="ann",
    )
    assert isinstance(outcome, PromotionRefused)
    assert [item.condition for item in outcome.unmet] == [
        "rollout order", "decisions changed, outcome known", "hours of market",
    ]
    assert "signal_filter, confidence_threshold" in outcome.unmet[0].observed


@given(
    resolved=st.integers(0, 100), hours=st.integers(0, 100), high=st.floats(-1.0, 1.0), earlier=st.integers(0, 5),
    index=st.integers(0, 5),
)
def test_nothing_is_promoted_unless_every_condition_holds(
    resolved: int, hours: int, high: float, earlier: int, index: int
) -> None:
    """Promoted exactly when in order, with 30 decisions, 24 hours and an interval below zero."""
    state, switch = after(earlier), SWITCHES[index]
    facts = proof(switch, resolved=resolved, market_hours=hours, interval=(-2.0, high))
    outcome = promote(state, switch, facts, now_ns=NOW, actor="ann")
    expected = index == earlier and resolved >= 30 and hours >= 24 and high < 0.0
    assert isinstance(outcome, Promoted) == expected


def test_force_needs_a_reason_and_says_what_it_passed_over() -> None:
    """Without a reason nothing changes; with one the audit keeps it beside the unmet conditions."""
    facts = proof("exit_mode", resolved=0, market_hours=0, look=0, interval=None)
    refused = promote(RolloutState(), "exit_mode", facts, now_ns=NOW, actor="ann", force=True, reason="  ")
    assert isinstance(refused, PromotionRefused)
    assert refused.unmet[0].condition == "reason"
    outcome = promote(RolloutState(), "exit_mode", facts, now_ns=NOW, actor="ann", force=True, reason="a drill")
    assert isinstance(outcome, Promoted)
    change = outcome.change
    assert (change.forced, change.reason, change.actor, change.ts_ns) == (True, "a drill", "ann", NOW)
    assert len(change.unmet) == 3
    assert enforced(outcome.state.config) == ("exit_mode",)


def test_a_switch_that_is_on_is_not_promoted_again() -> None:
    """Not even by force."""
    outcome = promote(
        after(1), "signal_filter", proof("signal_filter"), now_ns=NOW, actor="ann", force=True, reason="again"
    )
    assert isinstance(outcome, PromotionRefused)
    assert "already enforced" in outcome.unmet[0].text


def test_an_unknown_switch_and_the_wrong_evidence_are_errors() -> None:
    """They are mistakes of the caller's, not refusals."""
    with pytest.raises(ConfigError, match="signal_filter, confidence_threshold"):
        promote(RolloutState(), "leverage", proof("signal_filter"), now_ns=NOW, actor="ann")
    with pytest.raises(InputError, match="trading_gate"):
        promote(RolloutState(), "trading_gate", proof("signal_filter"), now_ns=NOW, actor="ann")


@given(switches=st.sets(st.sampled_from(SWITCHES)), which=st.none() | st.sampled_from(SWITCHES))
def test_rollback_is_always_allowed(switches: set[str], which: str | None) -> None:
    """From any state, of any switch or all; what it leaves enforced was enforced before."""
    mode = OrchestratorMode.LIVE if switches else OrchestratorMode.OBSERVE
    config = OrchestratorIntegrationConfig(mode=mode, **{f"use_for_{name}": True for name in switches})
    state, change = rollback(RolloutState(config=config), which, now_ns=NOW, actor="ann")
    left = switches - (set(SWITCHES) if which is None else {which})
    assert set(enforced(state.config)) == left
    assert state.config.is_observe_mode == (not left)
    assert (change.before, change.after) == (enforced(config), enforced(state.config))


def test_one_setting_returns_to_observe_at_run_time() -> None:
    """Every switch goes off; going back to LIVE turns none on."""
    state, _ = set_mode(after(4), OrchestratorMode.OBSERVE, now_ns=NOW, actor="ann", reason="doubt")
    assert state.config == OrchestratorIntegrationConfig.create_observe_mode()
    again, change = set_mode(state, OrchestratorMode.LIVE, now_ns=NOW, actor="ann")
    assert (enforced(again.config), change.revision, len(again.changes)) == ((), 6, 6)


def test_the_fixed_settings_survive_every_change() -> None:
    """A user's own fixed settings are not reset by promotion and rollback."""
    config = OrchestratorIntegrationConfig(fixed_confidence=0.6, fixed_risk_pct=0.5, fixed_max_positions=3)
    outcome = promote(RolloutState(config=config), "signal_filter", proof("signal_filter"), now_ns=NOW, actor="ann")
    assert isinstance(outcome, Promoted)
    state, _ = rollback(outcome.state, now_ns=NOW, actor="ann")
    assert state.config == config


def test_the_history_is_bounded() -> None:
    """The latest changes are kept, revisions go on counting."""
    state = RolloutState()
    for _ in range(HISTORY + 5):
        state, _ = rollback(state, now_ns=NOW, actor="ann")
    assert (len(state.changes), state.revision, state.changes[0].revision) == (HISTORY, HISTORY + 5, 6)


def test_a_running_process_takes_up_what_the_command_line_wrote(tmp_path: Path) -> None:
    """poll hands out each change once, and a poll without a change hands out nothing."""
    running = RolloutFile(tmp_path)
    assert (running.config.is_observe_mode, running.poll()) == (True, ())
    RolloutFile(tmp_path).write(after(2))
    assert [change.switch for change in running.poll()] == ["signal_filter", "confidence_threshold"]
    assert running.config.use_for_confidence_threshold is True
    assert running.poll() == ()
    command = RolloutFile(tmp_path)
    command.write(rollback(command.state, now_ns=NOW, actor="ann")[0])
    assert [change.action for change in running.poll()] == ["rollback"]
    assert running.config.is_observe_mode


def test_a_restarted_process_is_told_only_what_it_has_not_journaled(tmp_path: Path) -> None:
    """Changes made while nothing ran reach the journal with the next start."""
    RolloutFile(tmp_path).write(after(3))
    assert [change.revision for change in RolloutFile(tmp_path, seen_revision=1).poll()] == [2, 3]


def test_the_initial_settings_apply_until_there_is_a_file(tmp_path: Path) -> None:
    """ensure writes them, so that a command line starts from what the run enforces."""
    full = OrchestratorIntegrationConfig.create_live_mode_full()
    running = RolloutFile(tmp_path, initial=full)
    running.ensure()
    command = RolloutFile(tmp_path)
    assert command.config == full
    command.write(rollback(command.state, "exit_mode", now_ns=NOW, actor="ann")[0])
    running.poll()
    running.ensure()
    assert running.config.switches == (1, 1, 1, 1, 1, 0)


def test_the_file_is_private_and_written_whole(tmp_path: Path) -> None:
    """0600, and no partial file left beside it."""
    RolloutFile(tmp_path).write(after(1))
    assert [path.name for path in tmp_path.iterdir()] == [ROLLOUT_FILE]
    assert stat.S_IMODE((tmp_path / ROLLOUT_FILE).stat().st_mode) == 0o600
    assert read_state(tmp_path) == after(1)


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[]", b'{"schema": 2, "state": {}}', b'{"schema": 1, "state": {}, "extra": 1}',
        b'{"schema": 1, "state": {"config": {"mode": "OBSERVE", "use_for_exit_mode": true}}}',
        b'{"schema": 1, "state": {"config": {"mode": "LIVE", "use_for_exit_mod": true}}}',
    ],
)
def test_a_damaged_file_is_set_aside_reported_and_means_observe(tmp_path: Path, damage: bytes) -> None:
    """At run time and at the next start; the damaged file stays for inspection."""
    full = OrchestratorIntegrationConfig.create_live_mode_full()
    running = RolloutFile(tmp_path, initial=full)
    running.ensure()
    (tmp_path / ROLLOUT_FILE).write_bytes(damage)
    with pytest.raises(StateError, match=ROLLOUT_FILE):
        read_state(tmp_path)
    (change,) = running.poll(NOW)
    assert (change.action, change.after, change.ts_ns) == ("set_aside", (), NOW)
    assert running.config.is_observe_mode
    assert "damaged-1" in running.notice
    assert (tmp_path / f"{ROLLOUT_FILE}.damaged-1").read_bytes() == damage
    assert RolloutFile(tmp_path, initial=full).config.is_observe_mode


def test_a_vanished_file_means_observe(tmp_path: Path) -> None:
    """A file that was there and is gone is an unknown state: OBSERVE is in force, with a notice."""
    RolloutFile(tmp_path).write(after(2))
    running = RolloutFile(tmp_path, seen_revision=2)
    (tmp_path / ROLLOUT_FILE).unlink()
    assert [change.action for change in running.poll()] == ["set_aside"]
    assert (running.config.is_observe_mode, "vanished" in running.notice) == (True, True)
    assert running.poll() == ()


def test_two_writers_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """The second is refused: the file has changed."""
    first, second = RolloutFile(tmp_path), RolloutFile(tmp_path)
    first.write(after(1))
    with pytest.raises(StateError, match="changed by someone else"):
        second.write(after(2))
    assert read_state(tmp_path) == after(1)


def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays whole, nothing is left beside it, and the state in memory is the old one."""
    file = RolloutFile(tmp_path)
    file.write(after(1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        file.write(after(2))
    assert (read_state(tmp_path), file.state) == (after(1), after(1))
    assert [path.name for path in tmp_path.iterdir()] == [ROLLOUT_FILE]
