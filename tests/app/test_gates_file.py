"""The gates file of a state folder: followed by a running process, safe against damage and two writers."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.engine.test_position_sizes import START, World

from quantum_trader.app.runs.gates_file import (
    GATES_FILE,
    GatesFile,
    GatesFollower,
    planned_gates,
    read_gates_state,
)
from quantum_trader.domain.errors import StateError
from quantum_trader.lab.gate_changes import GatesState, changed, observe_gate
from quantum_trader.models.gates import GateSettings
from quantum_trader.policy import followed_file

NOW = 1_700_000_000_000_000_000
SPREAD = GateSettings(enforced=("spread",))


def after(count: int) -> GatesState:
    """The state after *count* changes of the factor, with the spread enforced."""
    state = GatesState(settings=SPREAD)
    for number in range(count):
        settings = msgspec.structs.replace(state.settings, high_volatility_factor=2.0 + number)
        state = changed(state, settings, now_ns=NOW, actor="ann", action="set", reason=f"change {number}")
    return state


def test_a_running_process_takes_up_what_the_command_line_wrote(tmp_path: Path) -> None:
    """Each change once; the first file holds what the run began with."""
    running = GatesFile(tmp_path, initial=SPREAD)
    running.ensure()
    command = GatesFile(tmp_path)
    assert command.state.settings == SPREAD
    command.write(observe_gate(command.state, "spread", now_ns=NOW, actor="ann", reason="quiet"))
    assert [(one.action, one.reason) for one in running.poll()] == [("observe", "quiet")]
    assert running.state.settings.enforced == ()
    assert running.poll() == ()
    assert stat.S_IMODE((tmp_path / GATES_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [
    b"", b"{", b"[]", b'{"schema": 2, "state": {}}', b'{"schema": 1, "state": {}, "extra": 1}',
    b'{"schema": 1, "state": {"settings": {"mode": "fast"}}}',
    b'{"schema": 1, "state": {"settings": {"enforced": ["spred"]}}}',
    b'{"schema": 1, "state": {"settings": {"scalp": {"max_spread_bps": 4}}}}',
    b'{"schema": 1, "state": {"revision": -1}}', b'{"schema": 1, "state": {"revision": 99999999999999999999}}',
])
def test_a_damaged_file_is_set_aside_and_every_gate_is_observed(tmp_path: Path, damage: bytes) -> None:
    """At run time and at the next start; limits stay, and the damaged file stays for inspection."""
    running = GatesFile(tmp_path, initial=msgspec.structs.replace(SPREAD, high_volatility_factor=3.0))
    running.ensure()
    (tmp_path / GATES_FILE).write_bytes(damage)
    with pytest.raises(StateError, match=GATES_FILE):
        read_gates_state(tmp_path)
    (change,) = running.poll(NOW)
    assert (change.action, change.after, change.ts_ns) == ("set_aside", {"enforced": ()}, NOW)
    settings = running.state.settings
    assert (settings.enforced, settings.high_volatility_factor) == ((), 3.0)
    assert "damaged-1" in running.notice
    assert (tmp_path / f"{GATES_FILE}.damaged-1").read_bytes() == damage
    assert GatesFile(tmp_path, initial=SPREAD).state.settings.enforced == ()


def test_a_damaged_file_at_the_start_means_observed(tmp_path: Path) -> None:
    """Whatever the run was told to enforce."""
    (tmp_path / GATES_FILE).write_bytes(b"{")
    assert GatesFile(tmp_path, initial=SPREAD).state.settings.enforced == ()
    assert GatesFile(tmp_path, initial=SPREAD).state.settings.enforced == ()


def test_a_vanished_file_means_observed(tmp_path: Path) -> None:
    """A file that was there and is gone is an unknown state."""
    running = GatesFile(tmp_path, initial=SPREAD)
    running.ensure()
    (tmp_path / GATES_FILE).unlink()
    assert [one.action for one in running.poll()] == ["set_aside"]
    assert running.state.settings.enforced == ()
    assert "vanished" in running.notice


def test_two_writers_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """The second is refused: the file has changed."""
    first, second = GatesFile(tmp_path), GatesFile(tmp_path)
    first.write(after(1))
    with pytest.raises(StateError, match="changed by someone else"):
        second.write(after(2))
    assert read_gates_state(tmp_path) == after(1)


def test_no_one_can_write_between_the_look_at_the_file_and_its_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer of the folder waits; once it is done it is let in."""
    def is_free() -> bool:
        folder = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(folder)
        return True

    seen = []
    monkeypatch.setattr(followed_file, "write_atomically", lambda *_: seen.append(is_free()))
    GatesFile(tmp_path).write(after(1))
    assert (seen, is_free()) == ([False], True)


def test_a_change_with_an_impossible_time_is_no_state(tmp_path: Path) -> None:
    """It could be neither shown nor recorded."""
    GatesFile(tmp_path).write(after(1))
    content = (tmp_path / GATES_FILE).read_bytes().replace(str(NOW).encode(), b"-" + b"9" * 30)
    (tmp_path / GATES_FILE).write_bytes(content)
    with pytest.raises(StateError, match="quantum-trader gates observe --state"):
        read_gates_state(tmp_path)


# ---- a running engine ----------------------------------------------------------------------------------------------
def world() -> World:
    """An engine some bars into its run."""
    return World(lambda _: 1.0).until(START + 10)


def follow(made: World, folder: Path, initial: GateSettings | None = None) -> GatesFollower:
    """What keeps the engine's gates as the file has them."""
    return GatesFollower(folder, made.engine.opening.gates, initial or GateSettings())


def take(made: World, follower: GatesFollower) -> list[dict[str, Any]]:
    """Put what has changed into force; returns the changes."""
    found = follower.changes(NOW)
    for settings, change in found:
        made.engine.opening.gates.set_settings(settings, change, made.engine.now_ns)
    return [change for _, change in found]


def test_an_engine_follows_the_file_and_records_who_and_why(tmp_path: Path) -> None:
    """Every change is a record with the settings in force; without one nothing is handed out."""
    made = world()
    follower = follow(made, tmp_path)
    assert take(made, follower) == []
    command = GatesFile(tmp_path)
    command.write(changed(command.state, SPREAD, now_ns=NOW, actor="ann", action="enforce", reason="dear"))
    (change,) = take(made, follower)
    assert (change["actor"], change["reason"], change["after"]) == ("ann", "dear", {"enforced": ["spread"]})
    assert made.engine.opening.gates.settings == SPREAD
    assert take(made, follower) == []
    (record,) = made.records("gates.changed")
    assert (record["enforced"], record["change"]["actor"]) == (["spread"], "ann")


def test_changes_made_while_nothing_ran_reach_the_record_once(tmp_path: Path) -> None:
    """The engine's saved state knows which changes it has taken."""
    made = world()
    follower = follow(made, tmp_path, SPREAD)
    GatesFile(tmp_path).write(after(2))
    assert [one["revision"] for one in take(made, follower)] == [1, 2]
    GatesFile(tmp_path).write(after(4))
    again = World(lambda _: 1.0)
    again.engine.load_state(made.engine.state())
    assert [one["revision"] for one in take(again, follow(again, tmp_path))] == [3, 4]
    last = World(lambda _: 1.0)
    last.engine.load_state(again.engine.state())
    assert take(last, follow(last, tmp_path)) == []
    assert last.engine.opening.gates.settings == after(4).settings


def test_a_damaged_file_observes_every_gate_of_a_running_engine(tmp_path: Path) -> None:
    """On record, with the reason."""
    made = world()
    follower = follow(made, tmp_path, SPREAD)
    take(made, follower)
    assert made.engine.opening.gates.settings == SPREAD
    (tmp_path / GATES_FILE).write_bytes(b"{")
    (change,) = take(made, follower)
    assert change["action"] == "set_aside"
    assert made.engine.opening.gates.settings.enforced == ()


def test_a_meta_label_stays_that_of_the_start(tmp_path: Path) -> None:
    """A file that names another one changes the other settings alone."""
    made = world()
    follower = follow(made, tmp_path)
    other = msgspec.structs.replace(SPREAD, meta_label="another")
    GatesFile(tmp_path).write(changed(GatesState(), other, now_ns=NOW, actor="ann", action="set"))
    take(made, follower)
    assert made.engine.opening.gates.settings == SPREAD
    assert take(made, follower) == []


def test_the_plan_of_a_start_says_which_gates_are_enforced(tmp_path: Path) -> None:
    """Those of the folder, where it has some, with a word that the given ones are not used."""
    assert planned_gates(SPREAD, tmp_path) == "spread enforced, the others observed, mode auto"
    GatesFile(tmp_path).write(after(1))
    assert planned_gates(after(1).settings, tmp_path) == "spread enforced, the others observed, mode auto"
    assert "as gates.json in the state folder says" in planned_gates(GateSettings(), tmp_path)
    (tmp_path / GATES_FILE).write_bytes(b"{")
    assert planned_gates(SPREAD, tmp_path).startswith("observed: gates.json is damaged")


def test_a_file_that_counts_from_anew_reaches_the_record_with_who_and_why(tmp_path: Path) -> None:
    """A command line has set a damaged file aside meanwhile: its changes are numbered from one again."""
    made = world()
    follower = follow(made, tmp_path)
    GatesFile(tmp_path).write(after(5))
    assert [one["revision"] for one in take(made, follower)] == [1, 2, 3, 4, 5]
    (tmp_path / GATES_FILE).write_bytes(b"{")
    command = GatesFile(tmp_path, now_ns=NOW)
    assert "set aside" in command.notice
    command.write(changed(command.state, SPREAD, now_ns=NOW, actor="ann", action="set", reason="again"))
    told = [(one["revision"], one.get("reason", "")[:5]) for one in take(made, follower)]
    assert told == [(1, "gates"), (2, "again")]
    assert take(made, follower) == []
