"""`quantum-trader pilot settings | set`, as a person and as a machine use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.pilot_store import recorded_risk_profile, risk_profile_of
from quantum_trader.app.settings import AccountSettings, EngineOptions, PolicySettings, RunSettings
from quantum_trader.policy import PolicyStore
from quantum_trader.policy.policy_store_file import STORE_FILE
from quantum_trader.risk.guard import RiskLimits

DEFAULTS = {"enabled": True, "mode": "SHADOW", "min_confidence": 0.6, "max_trades_per_hour": 10}


@pytest.fixture(autouse=True)
def _private(tmp_path: Path) -> None:
    """State folders are their owner's alone."""
    tmp_path.chmod(0o700)


def call(*arguments: str | Path) -> Result:
    """Run one pilot command."""
    return CliRunner().invoke(app, ["pilot", *map(str, arguments)])


def told(*arguments: str | Path) -> dict[str, Any]:
    """Run one pilot command for a machine."""
    result = call(*arguments, "--json")
    assert result.exit_code in (0, 1), result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def change(folder: Path, *values: str) -> Result:
    """Set *values* in *folder* as ann."""
    return call("set", *values, "--reason", "a test", "--by", "ann", "--state", folder)


def test_without_a_file_the_defaults_are_shown_with_their_source(tmp_path: Path) -> None:
    """And that the store was never changed; looking makes no file."""
    result = call("settings", "--state", tmp_path, "--history")

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["rl_v3.live.enabled", "true", "default"], ["rl_v3.live.mode", "SHADOW", "default"],
        ["rl_v3.live.min_confidence", "0.6", "default"], ["rl_v3.live.max_trades_per_hour", "10", "default"],
    ]
    assert lines[4] == "mode in force  SHADOW: its decisions are recorded and never traded"
    assert lines[5].endswith("never changed")
    assert lines[-1] == "no changes"
    assert list(tmp_path.iterdir()) == []


def test_a_change_is_told_shown_and_in_the_history(tmp_path: Path) -> None:
    """The values before and after, who, and why; keys in both forms, a mode in any case."""
    first = change(tmp_path, "mode=primary", "rl_v3.live.min_confidence=0.75")
    second = change(tmp_path, "enabled=False")
    shown = call("settings", "--history", "--state", tmp_path)

    assert (first.exit_code, second.exit_code, shown.exit_code) == (0, 0, 0)
    assert first.stdout.splitlines() == [
        "version 1: mode SHADOW → PRIMARY, min_confidence 0.6 → 0.75 (without evidence: a test)",
        "mode in force: PRIMARY, its decisions are traded; a running pilot knows it within 10 seconds",
    ]
    assert "mode in force: OFF" in second.stdout
    assert "mode in force  OFF (not enabled): the pilot does nothing" in shown.stdout
    assert "by ann" in shown.stdout
    newest, oldest = shown.stdout.splitlines()[-2:]
    assert "ann: enabled true → false  (a test)" in newest
    assert "mode SHADOW → PRIMARY" in oldest


def test_json_states_everything(tmp_path: Path) -> None:
    """Values in their types, sources by their full names, the history on request."""
    made = json.loads(call(
        "set", "max_trades_per_hour=3", "--reason", "a test", "--by", "ann", "--state", tmp_path, "--json"
    ).stdout)
    shown = told("settings", "--state", tmp_path)
    listed = told("settings", "--state", tmp_path, "--history")

    assert made["changes"][0]["after"] == {**DEFAULTS, "max_trades_per_hour": 3}
    assert shown == {
        "file": str(tmp_path / STORE_FILE), "version": 1, "mode_in_force": "SHADOW", "trouble": None, "notice": None,
        "settings": {"rl_v3.live": {**DEFAULTS, "max_trades_per_hour": 3}},
        "sources": {
            "rl_v3.live.enabled": "default", "rl_v3.live.mode": "default", "rl_v3.live.min_confidence": "default",
            "rl_v3.live.max_trades_per_hour": f"version 1, {made['changes'][0]['time'][:19]}Z, by ann",
        },
        "risk_profile": None,
    }
    assert listed == {**shown, "older_changes": 0, "history": made["changes"]}
    assert [listed["history"][0][key] for key in ("version", "actor", "reason", "key")] == [
        1, "ann", "a test", "rl_v3.live",
    ]


@pytest.mark.parametrize(("value", "error"), [
    ("mode=LIVE", "rl_v3.live.mode = 'LIVE': must be one of OFF, SHADOW, PRIMARY, HYBRID"),
    ("enabled=yes", "rl_v3.live.enabled = 'yes': must be true or false"),
    ("min_confidence=60", "rl_v3.live.min_confidence = 60.0: must be a number from 0 to 1"),
    ("min_confidence=nan", "rl_v3.live.min_confidence = nan: must be a number from 0 to 1"),
    ("max_trades_per_hour=2.5", "rl_v3.live.max_trades_per_hour = '2.5': must be a whole number from 0 to 1000"),
    ("confidence=0.7", "unknown setting 'confidence'; did you mean min_confidence?"),
    ("mode", "'mode': write KEY=VALUE, like min_confidence=0.7"),
])
def test_a_value_that_is_not_acceptable_is_one_line(tmp_path: Path, value: str, error: str) -> None:
    """Exit code 2; the acceptable value beside it is not taken either."""
    result = change(tmp_path, "max_trades_per_hour=1" if "max" not in value else "mode=OFF", value)

    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr
    assert told("settings", "--state", tmp_path)["settings"]["rl_v3.live"] == DEFAULTS


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    """Neither value wins."""
    result = change(tmp_path, "mode=OFF", "rl_v3.live.mode=PRIMARY")

    assert result.exit_code == 2
    assert "rl_v3.live.mode = 'PRIMARY': is given twice; give it once" in result.stderr


def test_a_change_needs_a_reason(tmp_path: Path) -> None:
    """Left out or blank."""
    left_out = call("set", "mode=OFF", "--state", tmp_path)
    blank = call("set", "mode=OFF", "--state", tmp_path, "--reason", " ")

    assert (left_out.exit_code, blank.exit_code) == (2, 2)
    assert "--reason" in left_out.stderr
    assert "reason = ' ': is empty" in blank.stderr
    assert told("settings", "--state", tmp_path)["version"] == 0


def test_a_change_of_a_stated_version_is_refused_when_it_is_old(tmp_path: Path) -> None:
    """With the version that is there."""
    change(tmp_path, "mode=OFF")
    refused = call("set", "mode=PRIMARY", "--reason", "x", "--version", "0", "--state", tmp_path)
    made = call("set", "mode=PRIMARY", "--reason", "x", "--version", "1", "--state", tmp_path)

    assert refused.exit_code == 2
    assert "decided on version 0, and the store is at version 1" in refused.stderr
    assert made.exit_code == 0


def test_values_that_are_there_already_are_said(tmp_path: Path) -> None:
    """No version is made of them."""
    change(tmp_path, "mode=OFF")

    assert change(tmp_path, "mode=OFF").stdout == "nothing changed: the store has these values already (version 1)\n"


def test_a_store_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    """Exit code 1, OFF, the reason and the way out; a change takes it and says what was OFF meanwhile."""
    change(tmp_path, "mode=PRIMARY")
    (tmp_path / STORE_FILE).write_text("{")
    shown, machine = call("settings", "--state", tmp_path), told("settings", "--state", tmp_path)

    assert shown.exit_code == 1
    assert "mode in force  OFF" in shown.stdout
    assert "PROBLEM        policy_store.json is damaged" in shown.stdout
    assert "continues from version 1, in mode OFF" in shown.stdout
    assert (machine["mode_in_force"], machine["version"]) == ("OFF", 1)
    assert machine["sources"]["rl_v3.live.mode"] == "the store cannot be used"

    repaired = change(tmp_path, "min_confidence=0.7").stdout.splitlines()
    assert repaired[0].startswith("version 2: mode PRIMARY → OFF (policy_store.json is damaged")
    assert repaired[1].startswith("version 3: min_confidence 0.6 → 0.7")
    assert call("settings", "--state", tmp_path).exit_code == 0


def test_the_place_of_the_store_is_needed(tmp_path: Path) -> None:
    """One of --state and --file; a state folder that is there."""
    for words in ((), ("--state", str(tmp_path), "--file", str(tmp_path / "x.json"))):
        assert "give --state DIR, a run's state folder, or --file FILE" in call("settings", *words).stderr
    assert "no such folder" in call("settings", "--state", tmp_path / "none").stderr
    assert "no such folder" in change(tmp_path / "none", "mode=OFF").stderr
    assert not (tmp_path / "none").exists()


def test_a_store_of_its_own(tmp_path: Path) -> None:
    """With --file; a run by the defaults would have this risk profile."""
    file = tmp_path / "mine.json"
    assert call("set", "mode=OFF", "--reason", "x", "--file", file).exit_code == 0
    shown = told("settings", "--file", file)

    assert PolicyStore(file).version == 1
    assert shown["risk_profile"] == {"name": "SAFE", "source": "default", "max_leverage": 10.0}


def test_a_runs_folder_states_its_risk_profile(tmp_path: Path) -> None:
    """The profile that was chosen and the guard's leverage limit, from the first record of the run."""
    (tmp_path / "run.toml").write_text('[policy]\nprofile = "AGGRESSIVE"\n[risk]\nmax_leverage = 4.0\n')
    state = tmp_path / "state"
    ran = CliRunner().invoke(app, [
        "run", "--from", "2018-03-01", "--to", "2018-03-04", "--symbols", "BTCUSDT", "--state", str(state),
        "--config", str(tmp_path / "run.toml"),
    ])
    assert ran.exit_code == 0, ran.stderr

    assert told("settings", "--state", state)["risk_profile"] == {
        "name": "AGGRESSIVE", "source": "this run's settings", "max_leverage": 4.0,
    }
    shown = call("settings", "--state", state).stdout
    assert "risk profile   AGGRESSIVE (this run's settings), leverage at most 4" in shown


def test_the_leverage_limit_is_the_guards() -> None:
    """The account's wanted leverage is another number; an ungated run has its own limits."""
    settings = RunSettings(
        policy=PolicySettings(profile="safe"), risk=RiskLimits(max_leverage=3.0), account=AccountSettings(leverage=7.0)
    )
    ungated = RunSettings(risk=RiskLimits(max_leverage=3.0), engine=EngineOptions(ungated=True))
    profile = risk_profile_of(settings)

    assert (profile.name, profile.source, profile.max_leverage) == ("SAFE", "argument profile_name", 3.0)
    assert risk_profile_of(ungated).max_leverage == ungated.engine_settings().limits.max_leverage


@pytest.mark.parametrize("line", [b"", b"{", b'{"topic":"x","data":{}}\n', b'{"topic":"x","data":{"effective":{'
                                  b'"policy":{"profile":"SAFE"},"risk":{"max_leverage":"ten"}}}}\n'])
def test_a_folder_that_states_no_profile_has_none(tmp_path: Path, line: bytes) -> None:
    """Nothing is made up."""
    (tmp_path / "records.jsonl").write_bytes(line)

    assert recorded_risk_profile(tmp_path) is None
