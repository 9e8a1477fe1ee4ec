"""`quantum-trader registry`: from a trained pilot to a champion and back, and into another registry."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import Result
from tests.lab.learning.made_evidence import SPAN_NS, made_evidence, made_samples
from tests.models.learned.made_models import made_artefact, write_folder
from tests.pilot.made_pilot import saved
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs import registries
from quantum_trader.app.runs.journal_commands import replay
from quantum_trader.app.runs.pilot_run import artefact_of
from quantum_trader.app.runs.registries import open_registry, program_commit, registry_folder
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, PilotOptions, RunSettings, load_settings
from quantum_trader.domain.clock import NS_PER_DAY, iso
from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.lab.learning.calibration import sigmoid
from quantum_trader.lab.learning.evidence_file import encode_evidence
from quantum_trader.models.learned.artefact import LINEAR, SIGNAL, LearnedArtefact

WHY = ("--reason", "a test")
ANYWAY = (*WHY, "--without-evidence", "it is untrained")
UNTRAINED = (
    "seeds_lower_quartile_sharpe in the model's card: not stated, needs above zero; evaluate all seeds with pilot "
    "evaluate --update-cards, and run the new model"
)


class Commands:
    """The commands on the registry in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, code: int = 0) -> Result:
        """The result of `registry` with *words*, with the exit code *code*."""
        result = CliRunner().invoke(app, ["registry", *words, "--registry", str(self.folder)])
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str, code: int = 0) -> Any:
        """What it prints with --json."""
        return json.loads(self(*words, "--json", code=code).stdout)


@pytest.fixture
def registry(tmp_path: Path) -> Commands:
    """The commands on a registry that is not there yet."""
    return Commands(tmp_path / "registry")


def registered(registry: Commands, folder: Path, seed: int) -> str:
    """The id of an untrained pilot that was registered."""
    found = registry.json("register", str(saved(folder / str(seed), seed)), "--commit", "c0ffee")
    assert (found["what"], found["ok"], found["record"]["git_commit"]) == ("registered", True, "c0ffee")
    return str(found["model_id"])


def test_from_a_pilot_to_a_champion_and_back(registry: Commands, tmp_path: Path) -> None:
    """Register two, promote both after each other, roll back; the history says who and why."""
    one, two = registered(registry, tmp_path, 3), registered(registry, tmp_path, 4)
    assert f"champion none → {one[:12]} (a test)" in registry("promote", one[:8], "--to", "champion", *ANYWAY).stdout
    made = registry.json("promote", two, "--to", "Champion", "--by", "ann", *ANYWAY)
    assert made["changes"][0] | {"ts_ns": 0} == {
        "version": 3, "ts_ns": 0, "actor": "ann", "reason": "a test", "action": "promote", "kind": "pilot",
        "alias": "champion", "before": one, "after": two, "without_evidence": "it is untrained", "unmet": [UNTRAINED],
    }
    assert "it has this alias already" in registry("promote", two, "--to", "champion", *ANYWAY).stdout
    assert registry.json("rollback", "--by", "bob", *WHY)["aliases"] == {"pilot": {"champion": one}}
    shown = registry("list", "--history").stdout
    assert f"{one[:12]}  ok     pilot    untrained 3" in shown
    assert "(champion)" in shown
    assert f"bob rollback: pilot champion {two[:12]} → {one[:12]} (a test)" in shown
    listed = registry.json("list", "--history")
    assert [change["action"] for change in listed["changes"]] == ["trust", "promote", "promote", "rollback"]
    assert {model["model_id"]: model["aliases"] for model in listed["models"]} == {one: ["champion"], two: []}


def test_show_says_where_a_model_came_from(registry: Commands, tmp_path: Path) -> None:
    """By alias or id, as text and as JSON."""
    one = registered(registry, tmp_path, 3)
    shown = registry("show", one).stdout
    for text in (one, "untrained 3", "c0ffee", "weights.npz", "symbols ['BTCUSDT']", "last 1970-01-01"):
        assert text in shown
    assert registry.json("show", one)["record"]["kind"] == "pilot"
    assert "has no champion" in registry("show", "champion", code=2).stderr


def test_a_promotion_on_an_old_version_is_refused(registry: Commands, tmp_path: Path) -> None:
    """`--version` states what it was decided on."""
    one = registered(registry, tmp_path, 3)
    registry("promote", one, "--to", "shadow", *WHY)
    told = registry("promote", one, "--to", "challenger", "--version", "1", *WHY, code=2).stderr
    assert "decided on version 1, and the registry is at version 2" in told
    assert "alias = 'king'" in registry("promote", one, "--to", "king", *WHY, code=2).stderr


def test_a_model_goes_to_another_registry(registry: Commands, tmp_path: Path) -> None:
    """Exported to a folder, refused without trust, imported with the key that the exporting side shows."""
    one = registered(registry, tmp_path, 3)
    package = registry.json("export", one, str(tmp_path))["file"]
    key = registry.json("list")["own_key"]
    other = Commands(tmp_path / "other")
    assert f"add --trust {key}" in other("import", package, code=2).stderr
    assert not other.folder.exists()
    assert other.json("import", package, "--trust", key, "--by", "ann")["what"] == "imported"
    assert "was there already" in other("import", package).stdout
    assert other.json("verify", one)["ok"]
    assert f"key {key} (trusted)" in other("list").stdout
    assert f"trusts the key {key} no more (a test)" in other("distrust", key, *WHY).stdout
    assert other.json("verify", one, code=1)["ok"] is False
    assert "is there already" in registry("export", one, str(tmp_path), code=2).stderr


def test_verify_names_what_was_altered(registry: Commands, tmp_path: Path) -> None:
    """Exit code 1, the whole registry or one model; what is altered is neither promoted nor exported."""
    one, two = registered(registry, tmp_path, 3), registered(registry, tmp_path, 4)
    assert registry("verify").stdout.count(" ok ") == 2
    (registry.folder / "models" / one / "weights.npz").write_bytes(b"x")
    told = registry("verify", code=1).stdout
    assert "NOT OK" in told
    assert "weights.npz was altered" in told
    assert registry.json("verify", code=1)["ok"] is False
    assert registry.json("verify", two)["ok"] is True
    assert "weights.npz was altered" in registry("promote", one, "--to", "champion", *ANYWAY, code=2).stderr
    assert "weights.npz was altered" in registry("export", one, str(tmp_path), code=2).stderr


def test_a_record_with_times_that_are_none_is_shown_as_it_is(registry: Commands, tmp_path: Path) -> None:
    """An altered record is refused and shown, whatever stands in it."""
    pilot = registered(registry, tmp_path, 3)
    path = registry.folder / "models" / pilot / "model.json"
    document = json.loads(path.read_bytes())
    for time in ("soon", 10**30, None, -1):
        document["record"]["data"]["start_ns"] = time
        path.write_text(json.dumps(document))
        assert f"start {time}" in registry("show", pilot).stdout
        assert "the signature is wrong" in registry("list").stdout


def test_the_bundled_pilot_can_be_registered(registry: Commands) -> None:
    """By its name, and only once."""
    assert "registered in" in registry("register", "bundled").stdout
    assert "was registered already" in registry("register", "bundled").stdout
    assert "no models" in Commands(registry.folder.parent / "none")("list").stdout


def test_a_run_takes_the_champion(registry: Commands, tmp_path: Path) -> None:
    """`registry:champion` and `registry:ID`, from the registry of the settings; an altered one is refused with why."""
    one, two = registered(registry, tmp_path, 3), registered(registry, tmp_path, 4)
    registry("promote", one, "--to", "champion", *ANYWAY)

    def identity(name: str) -> str:
        found = artefact_of(PilotOptions(model=f"registry:{name}", registry=str(registry.folder)))
        assert found is not None
        return found.card.identity

    assert (identity("champion"), identity(two[:10])) == (one, two)
    registry("promote", two, "--to", "champion", *ANYWAY)
    assert identity("champion") == two
    (registry.folder / "models" / two / "card.json").unlink()
    with pytest.raises(DataError, match=r"card\.json is missing\. It is not used"):
        identity("champion")
    with pytest.raises(DataError, match="has no shadow"):
        identity("shadow")
    with pytest.raises(ConfigError, match="names no model"):
        identity("")


def test_run_with_the_champion_records_its_id(registry: Commands, tmp_path: Path) -> None:
    """The records of the run name the id of the registry, so that they say which model decided."""
    one = registered(registry, tmp_path, 3)
    registry("promote", one, "--to", "champion", *ANYWAY)
    config = tmp_path / "run.toml"
    config.write_text(f'[pilot]\nregistry = "{registry.folder}"\n')
    result = CliRunner().invoke(app, [
        "run", "--from", "2018-01-01", "--to", "2018-01-12", "--config", str(config), "--pilot", "registry:champion",
        "--state", str(tmp_path / "state"),
    ])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "state" / "records.jsonl").read_text().splitlines()]
    decided = [line["data"]["model"] for line in lines if line["topic"] == "pilot.decided"]
    assert decided
    assert set(decided) == {one}


def records(folder: Path) -> list[dict[str, Any]]:
    """Every record of a state folder."""
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def test_a_rollback_changes_no_replay(registry: Commands, tmp_path: Path) -> None:
    """A replay keeps the model that the alias meant at its start, and goes on with it after a stop."""
    one, two = registered(registry, tmp_path, 3), registered(registry, tmp_path, 4)
    for model_id in (one, two):
        registry("promote", model_id, "--to", "champion", *ANYWAY)
    champion = RunSettings(
        data=DataSettings(start="2018-01-01", end="2018-01-12"),
        pilot=PilotOptions(model="registry:champion", registry=str(registry.folder)),
    )
    moments: list[int] = []

    def pace(close_ns: int) -> None:
        moments.append(close_ns)
        if len(moments) == 300:
            registry("rollback", *WHY)

    run(champion, RunOptions(state_dir=tmp_path / "state"), pace=pace)
    decided = [one["data"]["model"] for one in records(tmp_path / "state") if one["topic"] == "pilot.decided"]
    assert set(decided) == {two}
    assert run(champion, RunOptions(state_dir=tmp_path / "state")).resumed
    for name, accepted in ((two[:12], True), (one[:12], False)):
        named = msgspec.structs.replace(champion, pilot=msgspec.structs.replace(
            champion.pilot, model=f"registry:{name}"
        ))
        if accepted:
            assert run(named, RunOptions(state_dir=tmp_path / "state")).resumed
        else:
            with pytest.raises(StateError, match=f"other pilot .{two[:12]}, now {one[:12]}"):
                run(named, RunOptions(state_dir=tmp_path / "state"))


def test_a_scheduled_model_takes_over_in_a_replay(registry: Commands, tmp_path: Path) -> None:
    """`--switch TIME=NAME`: at the first close from then on, on record, and the day is proven byte for byte."""
    one, two = registered(registry, tmp_path, 3), registered(registry, tmp_path, 4)
    registry("promote", one, "--to", "champion", *ANYWAY)
    registry("promote", two, "--to", "challenger", *WHY)
    config = tmp_path / "run.toml"
    config.write_text(f'[pilot]\nregistry = "{registry.folder}"\n')
    words = [
        "run", "--from", "2018-01-01", "--to", "2018-01-16", "--config", str(config), "--pilot", "registry:champion",
        "--switch", "2018-01-12T06:00=challenger", "--switch", f"2018-01-14={one[:10]}",
    ]
    state = tmp_path / "state"
    result = CliRunner().invoke(app, [*words, "--state", str(state)])
    assert result.exit_code == 0, result.output
    told = [line["data"] for line in records(state) if line["topic"] == "model.in_force"]
    assert [(line["ids"], line["before"], line["alias"]) for line in told if line["role"] == "pilot"] == [
        ([one], [], "registry:champion"), ([two], [one], "registry:challenger"), ([one], [two], ""),
    ]
    switched = [line["ts_ns"] for line in records(state) if line["topic"] == "model.in_force"][-2:]
    assert [iso(ts_ns)[:16] for ts_ns in switched] == ["2018-01-12T06:00", "2018-01-14T00:00"]
    for line in records(state):
        if line["topic"] == "pilot.decided":
            assert line["data"]["model"] == (two if switched[0] < line["ts_ns"] <= switched[1] else one)
    for day in ("2018-01-12", "2018-01-14"):
        proof = replay(state, day)
        assert proof.identical, proof.difference
    assert CliRunner().invoke(app, [*words, "--state", str(state)]).exit_code == 0
    other = CliRunner().invoke(app, [*words[:-2], "--state", str(state)])
    assert (other.exit_code, "other switches" in other.stderr) == (2, True)


@pytest.mark.parametrize(("text", "told"), [
    ("2018-01-12", "write TIME=NAME"), ("soon=champion", "must be a date or time"),
    ("2018-01-12=table:champion", "kind 'table' is none of pilot"), ("2018-01-12=shadow", "has no shadow"),
    ("=champion", "states no time"),
])
def test_a_schedule_that_cannot_be_kept_is_refused_before_the_run(
    text: str, told: str, registry: Commands, tmp_path: Path
) -> None:
    """With the option, the value and what to write."""
    one = registered(registry, tmp_path, 3)
    registry("promote", one, "--to", "champion", *ANYWAY)
    config = tmp_path / "run.toml"
    config.write_text(f'[pilot]\nregistry = "{registry.folder}"\n')
    result = CliRunner().invoke(app, [
        "run", "--config", str(config), "--pilot", "registry:champion", "--switch", text,
        "--state", str(tmp_path / "state"),
    ])
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "state").exists()


def learned(registry: Commands, folder: Path, name: str, strength: float, **changes: Any) -> str:
    """The id of a registered model of signals whose unseen predictions know the score by *strength*."""
    samples = made_samples(1)
    noise = np.random.default_rng(7).normal(0.0, 1.0, len(samples["score"]))
    evidence = encode_evidence(made_evidence(
        "", samples, sigmoid(1.2 * (strength * samples["score"] + (1.0 - strength) * noise)), **changes
    ))
    made = made_artefact(LINEAR, SIGNAL)
    card = msgspec.structs.replace(made.card, name=name, evidence_hash=hashlib.sha256(evidence).hexdigest())
    where = write_folder(folder / name, LearnedArtefact(card, made.arrays, evidence))
    return str(registry.json("register", str(where))["model_id"])


def test_ready_tells_every_condition_and_promote_asks_the_same(registry: Commands, tmp_path: Path) -> None:
    """Of a good model, of noise, and of a worse one against the champion; nothing is changed by asking."""
    good = learned(registry, tmp_path, "good", 1.0, data_until_ns=SPAN_NS - NS_PER_DAY)
    noise = learned(registry, tmp_path, "noise", 0.0)
    before = (registry.folder / "registry.json").read_bytes()

    told = registry.json("ready", good)
    assert (told["ready"], told["kind"], told["blockers"]) == (True, "signal", [])
    assert [one["name"] for one in told["checks"]] == [
        "samples", "auc", "auc_above_chance", "ece", "leakage", "newer_data", "better_than_champion",
    ]
    assert told["scores"]["auc"]["low"] > 0.5
    refused = registry.json("ready", noise, code=1)
    assert not refused["ready"]
    assert (registry.folder / "registry.json").read_bytes() == before
    unmet = registry.json("promote", noise, "--to", "champion", *WHY, code=1)["unmet"]
    assert unmet == refused["blockers"] == [one["told"] for one in refused["checks"] if not one["passed"]]

    registry("promote", good, "--to", "champion", *WHY)
    lines = registry("ready", noise, code=1).stdout.splitlines()
    assert lines[0] == f"{noise[:12]}: signal, NOT READY to be the champion"
    assert any(line.startswith("  NOT met better_than_champion: against") for line in lines)
    assert any(line.startswith("  met     samples: 3,000") for line in lines)
    assert "it is the champion already" in registry("ready", "champion", "--kind", "signal", code=1).stdout


def test_ready_judges_a_pilot_by_its_card_and_an_altered_model_not_at_all(registry: Commands, tmp_path: Path) -> None:
    """One that was never evaluated, one that was altered, and a name that means nothing."""
    pilot = registered(registry, tmp_path, 3)
    assert registry.json("ready", pilot, code=1)["blockers"] == [UNTRAINED]
    (registry.folder / "models" / pilot / "weights.npz").write_bytes(b"other")
    assert "weights.npz was altered" in registry("ready", pilot, code=1).stdout
    assert "is no model of it" in registry("ready", "f" * 64, code=2).output


def test_compare_tests_two_models_on_the_same_samples(registry: Commands, tmp_path: Path) -> None:
    """The one that knows more is better, whichever comes first; by alias too; a pilot has nothing to compare."""
    good, worse = learned(registry, tmp_path, "good", 1.0), learned(registry, tmp_path, "worse", 0.5)
    registry("promote", good, "--to", "champion", *WHY)

    told = registry.json("compare", good, worse)
    assert (told["is_better"], told["is_worse"], told["samples"]) == (True, False, 3_000)
    assert registry.json("compare", worse, "champion")["is_worse"]
    lines = registry("compare", good, worse).stdout
    assert "significantly better" in lines
    assert "AUC: +0." in lines
    pilot = registered(registry, tmp_path, 3)
    assert "has no evidence.npz" in registry("compare", pilot, pilot, code=2).output


def test_where_a_registry_lies_decides_nothing(tmp_path: Path) -> None:
    """Two runs with the same model from different registries have the same settings hash; the default is the user's."""
    config = tmp_path / "run.toml"
    config.write_text('[pilot]\nmodel = "registry:champion"\nregistry = "here"\n')
    loaded = load_settings(config).settings
    assert loaded.pilot.registry == "here"
    assert loaded.settings_hash() == RunSettings(pilot=PilotOptions(model="elsewhere")).settings_hash()
    assert open_registry("here").folder == Path("here")
    assert registry_folder(None) == Path.home() / ".local" / "state" / "quantum-trader" / "registry"


def test_no_test_reaches_the_home_of_the_person(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What has no folder of its own lies in one of the session, also in another process; compiled kernels are shared.
    """
    session = tmp_path_factory.getbasetemp()
    code = "from quantum_trader.app.runs.registries import registry_folder as f\nprint(f(None))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert session in registry_folder(None).parents
    assert Path(told.strip()) == registry_folder(None)
    assert session not in (Path.home() / ".cache").resolve().parents


def test_the_commit_is_that_of_this_programs_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed program says none, not even inside another repository; a changed one says so."""
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y", *words], check=True,
            capture_output=True, text=True,
        ).stdout.strip()

    module = tmp_path / "registries.py"
    module.write_text("1")
    git("init", "-q")
    monkeypatch.setattr(registries, "__file__", str(module))
    assert program_commit() == ""
    git("add", ".")
    git("commit", "-qm", "x")
    assert program_commit() == git("rev-parse", "HEAD")
    module.write_text("2")
    assert program_commit() == f"{git('rev-parse', 'HEAD')}+changes"
    monkeypatch.setenv("PATH", "")
    assert program_commit() == ""


def test_a_damaged_model_hides_no_other(registry: Commands, tmp_path: Path) -> None:
    """A file whose name is not UTF-8, one that steers a terminal, and a record of nonsense: the others are shown."""
    one, two, three = (registered(registry, tmp_path, seed) for seed in (3, 4, 5))
    models = registry.folder / "models"
    for name in (b"bad\xff", b"bad\x1b[2J"):
        Path(os.fsdecode(os.path.join(os.fsencode(models / one), name))).write_bytes(b"x")
    record = models / two / "model.json"
    document = json.loads(record.read_text())
    document["record"]["data"] |= {"first_ns": "soon", "last_ns": 2**70}
    document["record"]["data"]["\x1b[2J"] = "a\nb"
    record.write_text(json.dumps(document))

    listed, verified = registry("list").stdout, registry("verify", code=1).stdout

    assert f"{three[:12]}  ok" in listed
    for text in (listed, verified):
        assert f"{one[:12]}  NOT OK" in text
        assert r"bad\udcff is not in the record" in text
        assert r"bad\x1b[2J is not in the record" in text
        assert f"{two[:12]}  NOT OK" in text
        assert "\x1b" not in text
    assert r"bad\udcff" in registry("show", one).stdout
    shown = registry("show", two).stdout
    assert "first soon" in shown
    assert "\x1b" not in shown
    assert {model["model_id"]: model["ok"] for model in registry.json("list")["models"]} == {
        one: False, two: False, three: True,
    }


def test_a_model_of_too_many_files_is_not_read(registry: Commands, tmp_path: Path) -> None:
    """What was put beside its files is counted, and read only up to a bound."""
    one = registered(registry, tmp_path, 3)
    for number in range(80):
        (registry.folder / "models" / one / f"extra-{number}").write_bytes(b"")

    assert "holds more than 64 files" in registry("list").stdout


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "a\udcffb", "\u202egnp"])
@pytest.mark.parametrize("words", [
    ("registry", "promote", "123456", "--to", "shadow", "--reason"),
    ("registry", "promote", "123456", "--to", "shadow", "--reason", "x", "--by"),
    ("registry", "promote", "123456", "--to", "champion", "--reason", "x", "--without-evidence"),
    ("registry", "rollback", "--reason"), ("registry", "distrust", "0" * 64, "--reason"),
    ("registry", "import", "x.tar", "--reason"), ("gates", "enforce", "spread", "--state", "x", "--because"),
    ("gates", "set", "margin=3", "--state", "x", "--because"), ("rollout", "rollback", "--state", "x", "--reason"),
    ("pilot", "promote", "--to", "HYBRID", "--state", "x", "--reason"),
    ("pilot", "set", "mode=OFF", "--state", "x", "--reason", "x", "--by"), ("halt", "--state", "x", "--reason"),
])
def test_what_is_recorded_is_a_line_that_can_be_shown(words: tuple[str, ...], text: str) -> None:
    """A line break, an escape sequence, bytes that are no UTF-8, a reversed text: refused by the option's name."""
    result = CliRunner().invoke(app, [*words, text])

    assert result.exit_code == 2, result.output
    assert f"{words[-1]} {text!r}: must be one line of printable characters" in result.stderr


@pytest.mark.parametrize("option", ["--notes", "--commit"])
def test_a_record_has_lines_that_can_be_shown(registry: Commands, option: str, tmp_path: Path) -> None:
    """Notes and commit with control characters or bytes that are no UTF-8: the model is not registered."""
    folder = saved(tmp_path / "pilot", 3)
    for text in ("two\nlines", "\x1b[2J", "a\udcffb"):
        refused = registry("register", str(folder), option, text, code=2)
        assert f"= {text!r}: must be one line of printable characters" in refused.stderr
    assert registry.json("list")["models"] == []


def test_a_name_with_control_characters_is_shown_as_codes(registry: Commands) -> None:
    """Of an error, too: whatever it repeats."""
    refused = registry("show", "\x1b[2Jabcdef", code=2)
    assert "\x1b" not in refused.stderr
    missing = registry("import", "/nowhere/\x1b[2J.tar", code=2)
    assert "\\x1b[2J.tar: cannot be read" in missing.stderr
    assert "\x1b" not in missing.stderr


def test_a_model_goes_to_another_registry_by_a_folder(registry: Commands, tmp_path: Path) -> None:
    """Export into a folder that is not there, import that folder; another ending has a notice on standard error."""
    one = registered(registry, tmp_path, 3)
    key = registry.json("export", one, str(tmp_path / "out"))["own_key"]
    other = Commands(tmp_path / "other")
    assert "imported" in other("import", str(tmp_path / "out"), "--trust", key, *WHY).stdout

    named = registry("export", one, str(tmp_path / "x.pkl"))

    assert named.stderr.startswith(f"notice: {tmp_path / 'x.pkl'}: is a package of this program")
    assert named.stdout == f"{tmp_path / 'x.pkl'}: {one}\n"
