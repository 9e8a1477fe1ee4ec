"""`quantum-trader trials`: what was tried is on record without being asked, and says what it means."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result
from tests.lab.trials.made_trials import made_trial
from tests.pilot.made_pilot import untrained
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.registries import registry_folder
from quantum_trader.app.runs.trial_ledgers import ledger_folder, open_trials
from quantum_trader.pilot.artefact import Artefact, save_artefact

SWEEP = (
    "sweep", "--model", "intraday-demo", "--from", "2017-11-01", "--to", "2017-12-31", "--splits", "0", "--profiles",
    "AGGRESSIVE", "--grid", "base_risk_pct=0.5,0.8",
)


def invoke(*words: str, code: int = 0) -> Result:
    """The result of the command."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result


def printed(*words: str) -> Any:
    """What it prints with --json."""
    return json.loads(invoke(*words, "--json").stdout)


def test_a_sweep_is_on_record_and_its_repetition_counts_raw(tmp_path: Path) -> None:
    """Two settings are two trials; the same sweep again makes four raw and two distinct ones."""
    first = invoke(*SWEEP).output
    assert "recorded 2 trials in" in first
    assert "the best of 2 worthless trials is expected at" in first
    second = printed(*SWEEP)["run"]["trials"]
    assert (second["recorded"], second["best"]["raw_trials"], second["best"]["distinct_trials"]) == (2, 4, 2)
    listed = printed("trials", "list")
    assert [one["settings"]["changes"]["base_risk_pct"] for one in listed["trials"]] == [0.5, 0.8, 0.5, 0.8]
    assert len({one["run"] for one in listed["trials"]}) == 2
    found = printed("trials", "summary", "--registry", str(tmp_path / "registry"))
    assert (found["raw"], found["distinct"]) == (4, 2)
    told = invoke("trials", "summary", "--registry", str(tmp_path / "registry")).output
    assert "4 trials on record, 2 distinct, on 1 sets of data." in told
    assert "which is conservative because trials resemble each other" in told
    other = invoke("sweep", *SWEEP[1:], "--equity", "5000").output
    assert "recorded 2 trials" in other
    assert printed("trials", "summary", "--registry", str(tmp_path / "registry"))["distinct"] == 4


def test_a_comparison_and_a_run_are_on_record_and_are_the_same_trial(tmp_path: Path) -> None:
    """Each row that traded is a trial; the run of one of them is that trial again, another profile another one."""
    span = ("--from", "2018-01-01", "--to", "2018-02-28")
    invoke("compare", *span, "--profiles", "SAFE")
    (observed, safe) = printed("trials", "list")["trials"]
    assert [one["settings"]["row"] for one in (observed, safe)] == ["observed", "SAFE"]
    assert {one["source"] for one in (observed, safe)} == {"compare"}
    assert all(one["days"] > 50 and one["sharpe"] is not None for one in (observed, safe))
    assert observed["metrics"]["trades"] > 0
    told = printed("run", "--exit", *span)
    again = printed("trials", "list", "--source", "run")["trials"]
    assert [one["id"] for one in again] == [observed["id"]]
    assert again[0]["sharpe"] == pytest.approx(observed["sharpe"])
    assert again[0]["metrics"]["return_pct"] == pytest.approx(observed["metrics"]["return_pct"])
    assert told["data"]["fingerprint"].startswith(again[0]["data_hash"][:12])
    invoke("run", "--exit", *span, "--profile", "AGGRESSIVE", "--trials", str(tmp_path / "other"))
    (other,) = printed("trials", "list", "--trials", str(tmp_path / "other"))["trials"]
    assert other["id"] not in (observed["id"], safe["id"])


def test_a_run_that_cannot_be_recorded_gives_its_report(tmp_path: Path) -> None:
    """A warning that names the folder; a comparison, which takes longer, refuses before its work."""
    (tmp_path / "file").write_text("")
    span, place = ("--from", "2018-01-01", "--to", "2018-01-20"), ("--trials", str(tmp_path / "file"))
    told = invoke("run", "--exit", *span, *place)
    assert "records hash" in told.stdout
    assert "warning:" in told.stderr
    assert str(tmp_path / "file") in told.stderr
    assert str(tmp_path / "file") in invoke("compare", *span, *place, code=2).output


def test_a_ledger_that_cannot_be_used_stops_the_sweep_before_its_work(tmp_path: Path) -> None:
    """Exit code 2, and nothing is computed; another folder is named with --trials."""
    (tmp_path / "file").write_text("x")
    refused = invoke(*SWEEP, "--trials", str(tmp_path / "file"), code=2)
    assert "cannot be written" in refused.stderr
    assert refused.stdout == ""


def test_results_are_shown_though_the_disk_is_full_afterwards(tmp_path: Path) -> None:
    """A ledger that could be written before the work and cannot be after it: a warning, and nothing half recorded."""
    options = (*SWEEP, "--trials", str(tmp_path))
    invoke(*options)  # compiles what is compiled
    ledger = open_trials(tmp_path)
    before = ledger.path.read_bytes()
    limits, kept = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        done = invoke(*options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, kept)
    assert "no trial was recorded" in done.stderr
    assert "AGGRESSIVE base_risk_pct" in done.stdout
    assert ledger.path.read_bytes() == before


def test_list_and_show(tmp_path: Path) -> None:
    """The newest, those of one source or of one set of data; one trial in full by the first digits of its id."""
    ledger = open_trials(tmp_path)
    ledger.record([made_trial(number, sharpe=0.01 * number, days=300) for number in range(60)], "a")
    ledger.record([made_trial(7, data="e" * 64, source="pilot train", kind="seed", metrics={"reward": None})], "b")
    options = ("--trials", str(tmp_path))
    assert "the newest 50 of 61; --limit 0 shows all" in invoke("trials", "list", *options).output
    assert len(printed("trials", "list", "--limit", "0", *options)["trials"]) == 61
    assert len(printed("trials", "list", "--source", "pilot", *options)["trials"]) == 1
    assert printed("trials", "list", "--data-hash", "eeee", *options)["found"] == 1
    trial = made_trial(30).identity
    shown = invoke("trials", "show", trial[:8], *options).output
    assert "Sharpe" not in shown
    assert "+0.3000 a day in 300 days" in shown
    assert "varied    number 30" in shown
    assert printed("trials", "show", trial, *options)["trials"][0]["settings"] == {"number": 30}
    assert "reward unknown" in invoke("trials", "show", made_trial(7, data="e" * 64).identity, *options).output
    for name in ("abc", "f" * 32):
        assert "is no trial" in invoke("trials", "show", name, *options, code=2).stderr


def test_nothing_on_record_is_said(tmp_path: Path) -> None:
    """No folder is made by looking."""
    options = ("--trials", str(tmp_path / "none"))
    assert "no trials on record" in invoke("trials", "list", *options).output
    assert printed("trials", "list", *options) == {"trials": [], "found": 0, "damage": []}
    assert not (tmp_path / "none").exists()


def test_damage_is_told(tmp_path: Path) -> None:
    """By list and summary."""
    ledger = open_trials(tmp_path)
    ledger.record([made_trial(1)], "a")
    ledger.path.write_bytes(ledger.path.read_bytes() + b"{half")
    assert "damaged: the last 5 bytes" in invoke("trials", "list", "--trials", str(tmp_path)).output


def test_promoted_models_are_judged_among_all_trials(tmp_path: Path) -> None:
    """One with the p-value that its record states, one without."""
    registry = ("--registry", str(tmp_path / "registry"))
    for seed, metrics in ((1, {"p_value": 0.0001}), (2, {})):
        made = untrained(seed)
        card = msgspec.structs.replace(made.card, metrics=metrics)
        save_artefact(tmp_path / str(seed), Artefact(card=card, weights=made.weights))
        model_id = printed("registry", "register", str(tmp_path / str(seed)), *registry)["model_id"]
        invoke("registry", "promote", model_id, "--to", "champion", "--reason", "a test",
               "--without-evidence", "a test", *registry)
    ledger = open_trials(tmp_path / "trials")
    ledger.record([made_trial(number) for number in range(40)], "a")
    found = printed("trials", "summary", *registry, "--trials", str(tmp_path / "trials"))["promotions"]
    assert (found["promoted"], found["without_p_value"], found["discoveries"]) == (2, 1, 1)
    assert list(found["rates_of_all"].values()) == [pytest.approx(0.004)]
    assert found["expected_false_share"] == 1.0


def test_the_ledger_lies_beside_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless an option or the environment names another folder."""
    monkeypatch.setenv("QUANTUM_TRADER_TRIALS", "elsewhere")
    assert ledger_folder(None) == Path("elsewhere")
    assert ledger_folder("named") == Path("named")
    monkeypatch.delenv("QUANTUM_TRADER_TRIALS")
    assert ledger_folder(None) == registry_folder(None).parent / "trials"


@pytest.mark.parametrize("words", [
    ("trials", "list", "--trials", ""), ("trials", "summary", "--registry", " "), ("registry", "list", "--registry="),
    ("model", "train", "--trials="), ("status", "--state", ""),
])
def test_an_empty_folder_is_not_the_current_one(words: tuple[str, ...]) -> None:
    """It is refused by its option, with what to give."""
    refused = invoke(*words, code=2)
    option = next(word for word in words if word.startswith("--")).rstrip("=")
    assert refused.stderr == f"error: {option} '': is empty; name a folder, such as {option} my-{option[2:]}\n"


def test_what_is_in_a_ledger_steers_no_terminal(tmp_path: Path) -> None:
    """A label or a value with control characters is shown as codes."""
    open_trials(tmp_path).record([made_trial(0, label="\x1b[2J", settings={"x": "\x1b[3J"})], "a run")
    listed = invoke("trials", "list", "--trials", str(tmp_path)).stdout
    shown = invoke("trials", "show", listed[:12], "--trials", str(tmp_path)).stdout
    assert r"\x1b[2J" in listed
    assert r"x \x1b[3J" in shown
    assert "\x1b" not in listed + shown
