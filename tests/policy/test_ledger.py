"""The ledger keeps what each switch would have changed, in order, and how it ended."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.policy import ledger as ledger_module
from quantum_trader.policy.enforcement import SWITCHES
from quantum_trader.policy.ledger import LEDGER_FILE, RolloutLedger, open_ledger, read_ledger

START = 19_000 * 24 * NS_PER_HOUR
BLOCKED = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_the_result_is_the_share_removed_times_the_shadows_r() -> None:
    """A loser blocked is -1 R taken away; a winner halved is +1; an admitted winner counts the other way."""
    ledger = RolloutLedger()
    ledger.record("a", START, (1.0, 0.0, 0.5, -1.0, 0.0, 0.0))
    ledger.resolve("a", 2.0)
    found = {name: list(ledger.switch(name).result_r) for name in SWITCHES}
    assert found == {
        "signal_filter": [2.0], "confidence_threshold": [], "risk_sizing": [1.0], "position_limits": [-2.0],
        "trading_gate": [], "exit_mode": [],
    }


def test_exit_mode_needs_the_result_of_the_other_exit() -> None:
    """Its number is the difference; without the second result the decision is void, and counted."""
    ledger = RolloutLedger()
    for key, other in (("a", 1.5), ("b", None)):
        ledger.record(key, START, (0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        ledger.resolve(key, 0.5, other)
    record = ledger.switch("exit_mode")
    assert (list(record.result_r), record.changed, record.void) == ([-1.0], 2, 1)


def test_only_a_complete_beginning_counts() -> None:
    """Stops end first: a later loser isn't read while an earlier winner is still open."""
    ledger = RolloutLedger()
    for index in range(4):
        ledger.record(index, START + index, BLOCKED)
    ledger.resolve(1, -1.0)
    ledger.resolve(3, -1.0)
    assert list(ledger.switch("signal_filter").result_r) == []
    ledger.resolve(0, 3.0)
    assert list(ledger.switch("signal_filter").result_r) == [3.0, -1.0]
    ledger.abandon(2)
    record = ledger.switch("signal_filter")
    assert (list(record.result_r), record.open, record.void) == ([3.0, -1.0, -1.0], 0, 1)


def test_a_result_that_comes_after_three_days_counts() -> None:
    """With outages a shadow ends up to 72 hours after its signal."""
    ledger = RolloutLedger()
    ledger.record("a", START, BLOCKED)
    ledger.advance(START + 72 * NS_PER_HOUR)
    ledger.resolve("a", 2.0)
    record = ledger.switch("signal_filter")
    assert (list(record.result_r), record.void) == ([2.0], 0)


def test_a_signal_that_never_ends_is_forgotten_after_four_days() -> None:
    """It would hold up the evidence for ever."""
    ledger = RolloutLedger()
    ledger.record("a", START, BLOCKED)
    ledger.advance(START + 95 * NS_PER_HOUR)
    assert ledger.switch("signal_filter").open == 1
    ledger.advance(START + 97 * NS_PER_HOUR)
    record = ledger.switch("signal_filter")
    assert (record.open, record.void) == (0, 1)
    ledger.resolve("a", 1.0)
    assert ledger.switch("signal_filter").void == 1


def test_market_hours_are_distinct_hours_seen() -> None:
    """Minutes within an hour, and time that was seen before, add nothing."""
    ledger = RolloutLedger()
    for minutes in (0, 5, 59, 60, 61, 30, 60 * 26):
        ledger.advance(START + minutes * NS_PER_HOUR // 60)
    assert (ledger.market_hours, ledger.first_ns, ledger.last_ns) == (3, START, START + 26 * NS_PER_HOUR)


def test_the_life_of_a_shadow_is_kept() -> None:
    """From the decision to the latest moment seen, or to the end given."""
    ledger = RolloutLedger()
    ledger.record("a", START, BLOCKED)
    ledger.record("b", START, BLOCKED)
    ledger.advance(START + 7)
    ledger.resolve("a", -1.0)
    ledger.resolve("b", -1.0, end_ns=START + 5)
    assert list(ledger.switch("signal_filter").life_ns) == [7, 5]


def test_a_pending_key_is_not_recorded_twice_and_bad_numbers_are_refused() -> None:
    """A share or a result that isn't finite is an error of the caller's, and changes nothing."""
    ledger = RolloutLedger()
    assert ledger.record("a", START, BLOCKED) is True
    assert ledger.record("a", START, BLOCKED) is False
    with pytest.raises(InputError, match="removed"):
        ledger.record("b", START, (math.nan, 0.0, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="r = "):
        ledger.resolve("a", math.inf)
    assert (ledger.signals, ledger.switch("signal_filter").open) == (1, 1)


def test_a_full_ledger_counts_what_it_does_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and the first decisions stay what they were."""
    monkeypatch.setattr(ledger_module, "CAPACITY", 3)
    ledger = RolloutLedger()
    for index in range(5):
        ledger.record(index, START + index, BLOCKED)
        ledger.resolve(index, float(index))
    assert (list(ledger.switch("signal_filter").result_r), ledger.overflow) == ([0.0, 1.0, 2.0], 2)


steps = st.lists(
    st.tuples(st.sampled_from(("record", "resolve", "abandon", "advance")), st.integers(0, 9),
              st.floats(-3.0, 3.0)), max_size=40,
)


@given(steps=steps, cut=st.integers(0, 40))
def test_a_restored_ledger_goes_on_as_if_nothing_had_happened(
    steps: list[tuple[str, int, float]], cut: int
) -> None:
    """State through JSON and back, anywhere in any history, changes nothing that follows."""
    def play(ledger: RolloutLedger, some: list[tuple[str, int, float]]) -> RolloutLedger:
        for action, key, value in some:
            now = START + key * 11 * NS_PER_HOUR
            if action == "record":
                ledger.record(key, now, (1.0, 0.0, value, 0.0, -1.0, 1.0))
            elif action == "resolve":
                ledger.resolve(key, value, -value)
            elif action == "abandon":
                ledger.abandon(key)
            else:
                ledger.advance(now)
        return ledger

    straight = play(RolloutLedger("SAFE"), steps)
    saved = json.loads(json.dumps(play(RolloutLedger("SAFE"), steps[:cut]).state()))
    restored = play(RolloutLedger.load_state(saved), steps[cut:])
    assert restored.state() == straight.state()
    assert [restored.switch(name) for name in SWITCHES] == [straight.switch(name) for name in SWITCHES]


def test_a_saved_ledger_is_private_and_read_back(tmp_path: Path) -> None:
    """0600, and nothing but the file itself is left."""
    ledger = RolloutLedger("SAFE")
    ledger.record("a", START, BLOCKED)
    ledger.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER_FILE]
    assert stat.S_IMODE((tmp_path / LEDGER_FILE).stat().st_mode) == 0o600
    assert read_ledger(tmp_path).state() == ledger.state()
    assert open_ledger(tmp_path, "SAFE")[1] == ""


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"schema": 9}', b'{"schema": 1, "subject": "SAFE"}'],
)
def test_a_damaged_ledger_is_set_aside_and_reported(tmp_path: Path, damage: bytes) -> None:
    """The file stays for inspection, evidence starts afresh, reading alone touches nothing."""
    (tmp_path / LEDGER_FILE).write_bytes(damage)
    with pytest.raises(StateError, match="rollout ledger"):
        read_ledger(tmp_path)
    ledger, notice = open_ledger(tmp_path, "SAFE")
    assert (ledger.signals, "set aside" in notice) == (0, True)
    assert (tmp_path / f"{LEDGER_FILE}.damaged-1").read_bytes() == damage


@pytest.mark.parametrize(
    "change",
    [("ts", [1, 2]), ("removed", [math.nan]), ("status", [7]), ("result", ["x"]), ("life", [1.5])],
)
def test_columns_that_do_not_belong_together_are_refused(change: tuple[str, list[object]]) -> None:
    """Lengths, kinds and ranges are checked."""
    ledger = RolloutLedger()
    ledger.record("a", START, BLOCKED)
    state = ledger.state()
    state["switches"]["signal_filter"][change[0]] = change[1]
    with pytest.raises(StateError, match="rollout ledger"):
        RolloutLedger.load_state(state)


def test_a_pending_signal_must_point_at_a_decision() -> None:
    """A position beyond the columns would fail much later."""
    ledger = RolloutLedger()
    ledger.record("a", START, BLOCKED)
    state = ledger.state()
    state["pending"]["a"] = [START, [5, -1, -1, -1, -1, -1]]
    with pytest.raises(StateError, match="position 5"):
        RolloutLedger.load_state(state)


def test_evidence_about_another_subject_is_set_aside(tmp_path: Path) -> None:
    """What SAFE would have blocked proves nothing about AGGRESSIVE."""
    ledger = RolloutLedger("SAFE")
    ledger.record("a", START, BLOCKED)
    ledger.save(tmp_path)
    fresh, notice = open_ledger(tmp_path, "AGGRESSIVE")
    assert (fresh.subject, fresh.signals) == ("AGGRESSIVE", 0)
    assert "superseded" in notice
    assert open_ledger(tmp_path, "AGGRESSIVE")[1] == ""
