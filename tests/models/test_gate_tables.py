"""Gate settings as people write them: partial tables over the defaults, in TOML and YAML, and errors with a key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from quantum_trader.domain.errors import ConfigError
from quantum_trader.models.gate_tables import (
    default_text,
    flat_gates,
    gate_changes,
    gate_keys,
    gates_from,
    gates_with,
    read_gates,
)
from quantum_trader.models.gates import GateSettings


def written(folder: Path, name: str, text: str) -> Path:
    """A file with *text*."""
    path = folder / name
    path.write_text(text)
    return path


def test_the_file_of_the_defaults_states_the_defaults(tmp_path: Path) -> None:
    """Byte for byte the same settings, and each setting stands in it."""
    read = read_gates(written(tmp_path, "gates.yaml", default_text()))
    assert msgspec.json.encode(gates_from(read)) == msgspec.json.encode(GateSettings())
    last = {key.rpartition(".")[2] for key in gate_keys() if not key.startswith("pass_targets")}
    assert all(f"{key}:" in default_text() for key in last)


@pytest.mark.parametrize(("name", "text"), [
    ("gates.toml", '[scalp]\nmax_spread_bps = 4\n[runner]\nregimes = ["TREND", "CHOP"]\n'),
    ("gates.toml", '[gates.scalp]\nmax_spread_bps = 4\n[gates.runner]\nregimes = ["TRENDING", "RANGING"]\n'),
    ("gates.yaml", "scalp:\n  max_spread_bps: 4\nrunner: {regimes: [chop, trend]}\n"),
    ("gates.yml", "gates:\n  scalp: {max_spread_bps: 4.0}\n  runner: {regimes: 'TREND, CHOP'}\n"),
])
def test_a_table_changes_what_it_names_and_keeps_the_other_defaults(tmp_path: Path, name: str, text: str) -> None:
    """In both formats, with and without the section's name, with the published spellings of the regimes."""
    made = gates_from(read_gates(written(tmp_path, name, text)))
    before, after = gate_changes(GateSettings(), made)
    assert before == {"scalp.max_spread_bps": 5.0, "runner.regimes": ("TRENDING",)}
    assert after == {"scalp.max_spread_bps": 4.0, "runner.regimes": ("TRENDING", "RANGING")}


@pytest.mark.parametrize(("text", "says"), [
    ("scalp: {max_spread_bsp: 4}", r"scalp\.max_spread_bsp = 4: unknown key; did you mean 'scalp\.max_spread_bps'"),
    ("scap: {max_spread_bps: 4}", r"gates\.scap = .*: unknown key"),
    ("mode: trent", r"gates\.mode = 'trent': choose from auto, scalp, runner, trend"),
    ("mode: 3", r"gates\.mode = 3: must be text"),
    ("scalp: {max_spread_bps: wide}", r"gates\.scalp\.max_spread_bps = 'wide': must be a number from 0 to 1000"),
    ("scalp: {max_spread_bps: true}", r"gates\.scalp\.max_spread_bps = True: must be a number"),
    ("scalp: {max_spread_bps: .nan}", r"gates\.scalp\.max_spread_bps = nan: must be a number"),
    ("scalp: {regimes: [CHOPPY]}", r"no regime is called 'CHOPPY'; did you mean 'CHOP'\?"),
    ("scalp: {regimes: []}", r"gates\.scalp\.regimes = \[\]: name at least one"),
    ("scalp: 5", r"gates\.scalp = 5: is a table"),
    ("enforced: [spred]", r"no gate is called 'spred'; did you mean 'spread'\?"),
    ("enforced: 3", r"gates\.enforced = 3: must be a list of names"),
    ("pass_targets: {spread: 95}", r"gates\.pass_targets\.spread = 95\.0: must be a number from 0 to 1"),
    ("pass_targets: {sprad: 0.5}", r"pass_targets\.sprad = 0\.5: unknown key; did you mean 'pass_targets\.spread'"),
    ("high_volatility_factor: 0.5", r"gates\.high_volatility_factor = 0\.5: must be a number from 1 to 10"),
    ("mode: trend\nmode: scalp", r"line 2: 'mode' stands there twice"),
    ("a: &x [1]\nb: *x", r"line 2: aliases \(\*name\) are not taken"),
    ("mode: !!python/object/apply:os.getcwd []", r"is not YAML"),
    ("mode: [", r"is not YAML"),
    ("- 1", r"holds \[1\.?0?\]; write keys and values"),
])
def test_what_cannot_be_used_is_named_with_its_value(tmp_path: Path, text: str, says: str) -> None:
    """The file, the key, the value, and what would be right."""
    with pytest.raises(ConfigError, match=r"--gates gates\.yaml: .*" + says):
        read_gates(written(tmp_path, "gates.yaml", text))


def test_a_file_of_another_kind_or_none_at_all_is_refused(tmp_path: Path) -> None:
    """By its name, and where it cannot be read."""
    with pytest.raises(ConfigError, match=r"must end in \.toml, \.yaml or \.yml"):
        read_gates(written(tmp_path, "gates.json", "{}"))
    with pytest.raises(ConfigError, match="No such file"):
        read_gates(tmp_path / "gates.yaml")


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """Nothing set, nothing changed."""
    assert gates_from(read_gates(written(tmp_path, "gates.yaml", "# nothing\n"))) == GateSettings()


def test_assignments_change_one_setting_each() -> None:
    """Numbers, names, lists and targets; a target without a value is removed."""
    made = gates_with(GateSettings(), [
        "gates.scalp.max_spread_bps=4", "mode=trend", "trend.regimes=TREND,CHOP", "pass_targets.spread=0.9",
    ])
    flat = flat_gates(made)
    assert (flat["scalp.max_spread_bps"], flat["mode"]) == (4.0, "trend")
    assert (flat["trend.regimes"], flat["pass_targets.spread"]) == (("TRENDING", "RANGING"), 0.9)
    assert gates_with(made, ["pass_targets.spread="]).pass_targets == {}


@pytest.mark.parametrize(("text", "says"), [
    ("scalp.max_spread=4", "did you mean 'scalp.max_spread_bps'"), ("spread", "write KEY=VALUE"),
    ("enforced=spread", "gates enforce GATE"), ("meta_label=here", "loads its meta-label when it starts"),
    ("scalp.max_spread_bps=", "must be a number"), ("mode=fast", "choose from auto"),
])
def test_an_assignment_that_cannot_be_meant_is_refused(text: str, says: str) -> None:
    """What is wrong, and what to write."""
    with pytest.raises(ConfigError, match=says):
        gates_with(GateSettings(), [text])
