"""``quantum-trader gates`` on the folder of a run: what it shows, asks for, changes and explains."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.config import as_toml
from quantum_trader.app.cli.gates import app
from quantum_trader.app.report.data import build_report
from quantum_trader.app.report.html import html_report
from quantum_trader.app.report.tables import PIPE_WIDTH, print_report
from quantum_trader.app.runs import journal_commands as commands
from quantum_trader.app.runs.gates_file import read_gates_state
from quantum_trader.app.runs.gates_record import change_gates, enforcing, setting
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions, RunResult, RunStats
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.errors import ConfigError, QuantumTraderError, StateError
from quantum_trader.journal.audit import day_of, record_lines
from quantum_trader.journal.proof import read_script
from quantum_trader.models.gate_tables import gates_from, gates_with
from quantum_trader.models.gates import GATES, GateSettings

SPAN = {"data.start": "2018-01-01", "data.end": "2018-01-29", "models": ({"model": "intraday-demo"},)}
FIRST_HALF, LATER = 900, 1_000  # bars of half an hour after which people change the gates


def settings(**more: Any) -> RunSettings:
    """Four weeks of the bundled bars."""
    return load_settings(None, {key: (value, "test") for key, value in (SPAN | more).items()}).settings


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A run in which a person changes the gates twice."""
    state = tmp_path_factory.mktemp("run") / "state"
    seen = [0]

    def pace(_close_ns: int) -> None:
        seen[0] += 1
        if seen[0] == FIRST_HALF:
            change_gates(state, enforcing("volume", actor="ann", force=True, reason="thin hours"))
        if seen[0] == LATER:
            change_gates(state, setting(
                lambda one: gates_with(one, ["scalp.min_volume_ratio=0.9"]), actor="bob", reason="thinner still",
            ))

    result = run(settings(), RunOptions(state_dir=state), pace=pace)
    return state, result


@pytest.fixture
def state(ran: tuple[Path, RunResult], tmp_path: Path) -> Path:
    """A copy of its folder."""
    return Path(shutil.copytree(ran[0], tmp_path / "state"))


def invoke(*arguments: object, code: int = 0) -> str:
    """The output of the command, on either stream."""
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    if found.exception is not None and isinstance(found.exception, QuantumTraderError):
        raise found.exception
    assert found.exit_code == code, found.output
    return found.output


def shown(*arguments: object, code: int = 0) -> dict[str, Any]:
    """The JSON of the command."""
    document: dict[str, Any] = json.loads(invoke(*arguments, "--json", code=code))
    return document


def reasons(folder: Path) -> list[str]:
    """Why signals were not traded, in their order."""
    decided = [line for _, line in record_lines(folder / "records.jsonl") if b'"topic":"signal.decided"' in line]
    return [json.loads(line)["data"]["reason"] for line in decided]


def test_the_run_follows_the_file_and_every_day_replays_byte_for_byte(ran: tuple[Path, RunResult]) -> None:
    """Volume refuses from the change on, and the days of the changes are proven from the records alone."""
    folder, _ = ran
    assert "GATE_VOLUME" in reasons(folder)
    script = read_script(record_lines(folder / "records.jsonl"))
    changes = [one for one in script.inputs if one.topic == "gates.changed"]
    assert [(one.data["change"]["actor"], one.data["enforced"]) for one in changes] == [
        ("ann", ["volume"]), ("bob", ["volume"])
    ]
    days = sorted({day_of(one.ts_ns) for one in changes})
    for day in (*days, "2018-01-28"):
        proof = commands.replay(folder, day)
        assert proof.identical, proof.difference


def test_show_states_limits_state_rates_and_what_enforcing_still_needs(state: Path) -> None:
    """Six gates in their order; the figures are those of the record under the limits of now."""
    told = shown("show", "--state", state)
    assert [row["gate"] for row in told["gates"]] == list(GATES)
    assert (told["mode"], told["modes"], told["enforced"], told["revision"]) == ("auto", ["scalp"], ["volume"], 2)
    volume = told["gates"][1]
    assert volume["limits"] == {"scalp": "at least 0.9 of the 24 h mean"}
    assert (volume["enforced"], volume["missing"]) == (True, [])
    assert volume["refused_here"] == reasons(state).count("GATE_VOLUME")
    assert 0 < volume["passed"] < volume["judged"] == told["signals"] == len(reasons(state))
    label = told["gates"][5]
    assert (label["passed"], label["unmeasured"]) == (0, told["signals"])
    assert any("meta-label model" in text for text in label["missing"])
    text = invoke("show", "--state", state)
    assert "Mode scalp (auto: trend for models whose score holds positions, else scalp); enforced: volume." in text
    assert "at least 0.9 of the 24 h mean" in text.replace("\n", " ")


def test_show_without_a_folder_is_the_defaults() -> None:
    """Both modes that a run may have."""
    assert shown("show")["settings"] == json.loads(invoke("defaults", "--json"))
    assert "These are the defaults" in invoke("show")


def test_history_tells_who_why_before_after_and_the_effect(state: Path) -> None:
    """Oldest first, with the pass and win rates on record at that time."""
    first, second = shown("history", "--state", state)["changes"]
    assert (first["actor"], first["action"], first["gate"], first["forced"]) == ("ann", "enforce", "volume", True)
    assert (second["before"], second["after"]) == (
        {"scalp.min_volume_ratio": 0.5}, {"scalp.min_volume_ratio": 0.9}
    )
    effect = second["effect"]
    assert effect["signals"] > 50
    assert effect["after"]["passed"]["value"] < effect["before"]["passed"]["value"] < 1.0
    assert effect["after"]["won"]["count"] < effect["before"]["won"]["count"]
    text = invoke("history", "--state", state)
    assert "1. " in text
    assert "ann: enforce volume (forced) - thin hours" in text
    assert "scalp.min_volume_ratio: 0.5 -> 0.9" in text
    assert "condition not met" in text
    assert "signals on record the enforced gates let through" in text
    assert "volume by itself lets through" in text


def test_set_changes_a_limit_with_a_reason_and_shows_its_effect(state: Path) -> None:
    """What is asked for stands in the file; without a reason, or without a change, nothing happens."""
    told = shown("set", "scalp.max_spread_bps=4", "pass_targets.spread=0.9", "--state", state, "--because", "a test")
    assert told["after"] == {"scalp.max_spread_bps": 4.0, "pass_targets.spread": 0.9}
    saved = read_gates_state(state)
    assert saved is not None
    assert saved.settings.scalp.max_spread_bps == 4.0
    with pytest.raises(ConfigError, match="--because: say why"):
        invoke("set", "scalp.max_spread_bps=3", "--state", state)
    with pytest.raises(ConfigError, match="nothing changes"):
        invoke("set", "scalp.max_spread_bps=4", "--state", state, "--because", "a test")
    with pytest.raises(ConfigError, match=r"did you mean 'scalp\.max_spread_bps'"):
        invoke("set", "scalp.max_spread=3", "--state", state, "--because", "a test")


def test_enforce_asks_for_evidence_and_observe_never(state: Path) -> None:
    """Refused with what is missing and exit code 1; by force with a reason; observed again without one."""
    refused = shown("enforce", "confidence", "--state", state, code=1)
    assert refused["enforced"] is False
    assert refused["unmet"]
    assert '--force --because "why"' in invoke("enforce", "confidence", "--state", state, code=1)
    invoke("enforce", "confidence", "--state", state, "--force", code=1)  # without a reason
    told = shown("enforce", "confidence", "--state", state, "--force", "--because", "a test")
    assert (told["forced"], told["after"]) == (True, {"enforced": ["volume", "confidence"]})
    assert shown("observe", "volume", "--state", state)["after"] == {"enforced": ["confidence"]}
    assert shown("observe", "--state", state)["after"] == {"enforced": []}
    with pytest.raises(ConfigError, match="gate = 'spred'"):
        invoke("enforce", "spred", "--state", state)


def test_a_damaged_gates_file_is_changed_by_no_one_but_observe_which_says_so(state: Path) -> None:
    """Setting a limit must not stop every gate without a word; what was damaged stays in the folder."""
    file = state / "gates.json"
    file.write_bytes(file.read_bytes()[:100])
    for words in (
        ("set", "scalp.max_spread_bps=3", "--because", "a test"), ("show",), ("history",), ("targets",),
        ("enforce", "spread", "--force", "--because", "a test"),
    ):
        with pytest.raises(StateError, match=r"put back a copy of it, or .*gates observe --state"):
            invoke(*words, "--state", state)
    assert file.stat().st_size == 100
    told = invoke("observe", "--state", state)
    assert "warning: gates.json cannot be used" in told
    assert "gates.json.damaged-1" in told
    assert shown("show", "--state", state)["enforced"] == []
    assert [one["action"] for one in shown("history", "--state", state)["changes"]] == ["set_aside", "observe"]


def test_targets_stand_beside_what_was_measured(state: Path) -> None:
    """Below, met, or within the interval; no target, no word."""
    invoke("set", "pass_targets.volume=1", "pass_targets.spread=0.01", "--state", state, "--because", "a test")
    rows = {row["gate"]: row for row in shown("targets", "--state", state)["targets"]}
    assert (rows["volume"]["verdict"], rows["spread"]["verdict"], rows["cost"]["verdict"]) == ("below", "met", "")
    assert rows["volume"]["pass_rate"] < rows["volume"]["target"] == 1.0
    assert "below" in invoke("targets", "--state", state)


def test_the_defaults_are_a_file_for_the_option_gates(tmp_path: Path) -> None:
    """Printed, read back, and the same settings."""
    import yaml

    assert gates_from(yaml.safe_load(invoke("defaults"))) == GateSettings()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the command that makes one."""
    with pytest.raises(QuantumTraderError, match="no such folder"):
        invoke("show", "--state", tmp_path / "none")


# ---- settings and reports ------------------------------------------------------------------------------------------
def test_a_settings_file_changes_some_gates_and_a_gates_file_wins_key_by_key(tmp_path: Path) -> None:
    """[gates] of --config below --gates; what neither sets is the default; each value's source is named."""
    from quantum_trader.app.cli.options import gate_flags

    config, file = tmp_path / "run.toml", tmp_path / "gates.yaml"
    config.write_text('[gates]\nenforced = ["spread"]\n[gates.scalp]\nmax_spread_bps = 4\nmargin_bps = 2\n')
    file.write_text("scalp: {max_spread_bps: 3}\n")
    loaded = load_settings(config, gate_flags(file))
    scalp = loaded.settings.gates.scalp
    assert (scalp.max_spread_bps, scalp.margin_bps, scalp.min_volume_ratio) == (3.0, 2.0, 0.5)
    assert loaded.settings.gates.enforced == ("spread",)
    assert (loaded.sources["gates.scalp"], loaded.sources["gates.enforced"]) == ("--gates gates.yaml", "run.toml")
    again = tmp_path / "again.toml"
    again.write_text(as_toml(loaded))
    assert load_settings(again).settings.gates == loaded.settings.gates
    assert load_settings(config, gate_flags(file)).settings.settings_hash() != settings().settings_hash()


def test_a_wrong_gate_in_a_settings_file_is_named(tmp_path: Path) -> None:
    """Its key, its value and the nearest one."""
    config = tmp_path / "run.toml"
    config.write_text("[gates.scalp]\nmax_spred_bps = 4\n")
    with pytest.raises(ConfigError, match=r"gates\.scalp\.max_spred_bps = 4: unknown key; did you mean"):
        load_settings(config)


def test_a_meta_label_beside_the_settings_file_is_found_there(tmp_path: Path) -> None:
    """A folder is looked for beside the file that names it; a registry's name stays."""
    config = tmp_path / "run.toml"
    config.write_text('[gates]\nmeta_label = "label"\n')
    assert load_settings(config).settings.gates.meta_label == str(tmp_path / "label")
    config.write_text('[gates]\nmeta_label = "registry:champion"\n')
    assert load_settings(config).settings.gates.meta_label == "registry:champion"


def stats() -> RunStats:
    """What varies between runs."""
    return RunStats(wall_s=1.0, bars_per_s=1.0, version="0", python="3")


def test_the_report_has_a_table_of_the_six_gates(ran: tuple[Path, RunResult]) -> None:
    """Counts, pass rates, limits and what is enforced, as text and as a page."""
    from rich.console import Console

    folder, result = ran
    report = build_report(result.facts, stats())
    rows = {row["gate"]: row for row in report["gates"]["rows"]}
    assert report["gates"]["judged"] == result.facts.signals == len(reasons(folder))
    assert (rows["volume"]["enforced"], rows["spread"]["enforced"]) == (True, False)
    assert rows["volume"]["refused"] == reasons(folder).count("GATE_VOLUME")
    assert rows["meta_label"]["unmeasured"] == result.facts.signals
    assert 0.0 < rows["volume"]["pass_rate"] < 1.0
    console = Console(width=PIPE_WIDTH, record=True, file=StringIO())
    print_report(report, console)
    text, page = console.export_text(), html_report(report)
    for each in (text, page):
        assert "The six gates, mode scalp" in each
        assert "unmeasured" in each
        assert "The gates changed 2 times" in each


def test_no_trades_names_the_gate_and_its_threshold(tmp_path: Path) -> None:
    """With a gate that lets nothing through, the report says which, what it asks for and how to observe it."""
    gates = {"scalp": {"max_spread_bps": 0.0}, "enforced": ["spread"]}
    result = run(settings(**{f"gates.{key}": value for key, value in gates.items()} | {"data.end": "2018-01-12"}))
    assert result.facts.trades == []
    told = build_report(result.facts, stats())["no_trades"]
    assert "spread above the gate's limit" in told
    assert "lets through: at most 0 bps (mode scalp)" in told
    assert "gates observe spread --state DIR" in told


def test_enforcing_an_enforced_gate_does_not_say_that_it_stays_observed(state: Path) -> None:
    """It is enforced, and nothing was changed."""
    said = invoke("enforce", "volume", "--state", state, code=1)
    assert said.strip() == "volume is enforced already; nothing was changed."
    assert shown("enforce", "volume", "--state", state, code=1)["enforced"] is True
