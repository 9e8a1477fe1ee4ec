"""The rollout commands, as a person and as a machine use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.rollout import app
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.policy.enforcement import SWITCHES
from quantum_trader.policy.ledger import LEDGER_FILE, RolloutLedger
from quantum_trader.policy.rollout import enforced
from quantum_trader.policy.rollout_file import ROLLOUT_FILE, read_state

START = 19_000 * 24 * NS_PER_HOUR


def call(*arguments: str | Path) -> Result:
    """Run one rollout command."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ask(*arguments: str | Path) -> dict[str, Any]:
    """Run one rollout command for a machine."""
    found: dict[str, Any] = json.loads(call(*arguments, "--json").output)
    return found


def on(folder: Path) -> tuple[str, ...]:
    """The switches enforced by the folder's file."""
    state = read_state(folder)
    return enforced(state.config) if state else ()


@pytest.fixture
def observed(tmp_path: Path) -> Path:
    """A state folder whose run blocked forty losers over eighty hours by its signal filter."""
    ledger = RolloutLedger("SAFE")
    for index in range(40):
        moment = START + index * 2 * NS_PER_HOUR
        ledger.record(index, moment, (1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        ledger.advance(moment + NS_PER_HOUR)
        ledger.resolve(index, -1.0 if index % 7 else 0.5)
    ledger.save(tmp_path)
    return tmp_path


def test_without_evidence_status_says_so_and_what_to_run(tmp_path: Path) -> None:
    """No data is no data, not zero."""
    found = call("status", "--state", tmp_path)
    assert found.exit_code == 0
    assert "No evidence yet" in found.output
    assert f"quantum-trader run --policy observe --state {tmp_path}" in found.output.replace("\n", "")
    assert "no data" in found.output


def test_status_tells_a_machine_everything(observed: Path) -> None:
    """Per switch: on or off, the counts, R taken away, the interval, and what is missing."""
    report = ask("status", "--state", observed)
    assert (report["mode"], report["signals"], report["market_hours"], report["subject"]) == ("OBSERVE", 40, 80, "SAFE")
    rows = {row["switch"]: row for row in report["switches"]}
    assert tuple(rows) == SWITCHES
    first = rows["signal_filter"]
    assert (first["changed"], first["sum_r"], first["enforced"], first["promotable"]) == (40, -31.0, False, True)
    assert first["interval"][0] < first["interval"][1] < 0.0
    assert rows["exit_mode"]["mean_r"] is None
    assert any("rollout order" in text for text in rows["exit_mode"]["missing"])
    assert report["next"] == f"Next: quantum-trader rollout promote signal_filter --state {observed}"


def test_status_shows_a_person_the_same(observed: Path) -> None:
    """A table with every switch and the next step."""
    found = call("status", "--state", observed)
    assert found.exit_code == 0
    assert all(name in found.output for name in SWITCHES)
    assert "-31.00" in found.output
    assert "rollout promote signal_filter" in found.output


def test_promotion_and_rollback_change_the_file(observed: Path) -> None:
    """Each tells what is enforced now."""
    promoted = call("promote", "signal_filter", "--state", observed)
    assert (promoted.exit_code, on(observed)) == (0, ("signal_filter",))
    assert "Policy enforce; enforced: signal_filter" in promoted.output
    back = call("rollback", "--state", observed, "--reason", "a drill")
    assert (back.exit_code, on(observed)) == (0, ())
    assert "Policy observe; enforced: nothing" in back.output
    report = ask("status", "--state", observed)
    assert [change["action"] for change in report["changes"]] == ["promote", "rollback"]
    assert report["changes"][1]["reason"] == "a drill"


def test_one_switch_can_be_rolled_back_alone(observed: Path) -> None:
    """The others stay."""
    call("promote", "signal_filter", "--state", observed)
    call("promote", "trading_gate", "--state", observed, "--force", "--reason", "a drill")
    change = ask("rollback", "signal_filter", "--state", observed)
    assert (change["after"], on(observed)) == (["trading_gate"], ("trading_gate",))


def test_a_refused_promotion_names_every_condition_and_changes_nothing(observed: Path) -> None:
    """Exit code 1, figures, the way out."""
    refused = call("promote", "risk_sizing", "--state", observed)
    assert refused.exit_code == 1
    assert "signal_filter, confidence_threshold not enforced yet" in refused.output
    assert "decisions changed, outcome known: 0, needs at least 30" in refused.output
    assert "--force --reason" in refused.output
    assert not (observed / ROLLOUT_FILE).exists()
    machine = call("promote", "risk_sizing", "--state", observed, "--json")
    assert machine.exit_code == 1
    assert json.loads(machine.output)["promoted"] is False


def test_force_needs_a_reason(tmp_path: Path) -> None:
    """And with one, what was passed over is shown and kept."""
    refused = call("promote", "exit_mode", "--state", tmp_path, "--force")
    assert (refused.exit_code, on(tmp_path)) == (1, ())
    assert "reason: none given" in refused.output
    forced = call("promote", "exit_mode", "--state", tmp_path, "--force", "--reason", "a drill")
    assert (forced.exit_code, on(tmp_path)) == (0, ("exit_mode",))
    assert "condition not met: rollout order" in forced.output


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("promote", "signal_filter"), ("rollback",), ("promote", "leverage"), ("rollback", "leverage")],
)
def test_what_cannot_be_used_is_a_clear_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A missing folder or an unknown switch: exit code 2, the value, and what to do."""
    found = call(*arguments, "--state", tmp_path / "missing")
    assert found.exit_code == 2
    assert "no such folder" in found.output or "must be one of signal_filter" in found.output
    assert "error" in json.loads(call(*arguments, "--state", tmp_path / "missing", "--json").output)


@pytest.mark.parametrize("name", [ROLLOUT_FILE, LEDGER_FILE])
def test_status_reports_a_damaged_file_and_leaves_it(tmp_path: Path, name: str) -> None:
    """Looking changes nothing."""
    (tmp_path / name).write_text("{")
    found = call("status", "--state", tmp_path)
    assert found.exit_code == 2
    assert name in found.output
    assert (tmp_path / name).read_text() == "{"


def test_rollback_works_on_a_damaged_file(tmp_path: Path) -> None:
    """Rollback succeeds on a damaged rollout file, leaves every switch off, and says what became of the file."""
    (tmp_path / ROLLOUT_FILE).write_text("{")
    found = call("rollback", "--state", tmp_path)
    assert (found.exit_code, on(tmp_path)) == (0, ())
    assert "warning: rollout.json cannot be used" in found.output


def test_promote_refuses_a_damaged_file(tmp_path: Path) -> None:
    """Replacing it would switch off what was enforced, without a word."""
    (tmp_path / ROLLOUT_FILE).write_text("{")
    found = call("promote", SWITCHES[0], "--state", tmp_path, "--force", "--reason", "a test")
    assert found.exit_code == 2
    assert f"quantum-trader rollout rollback --state {tmp_path}" in found.output
    assert (tmp_path / ROLLOUT_FILE).read_text() == "{"
