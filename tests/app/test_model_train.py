"""`quantum-trader model train`: from bars to models that a replay takes by folder or from the registry."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.learned.made_models import META_LABEL, made_artefact, write_folder
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.report.learning_page import learning_page
from quantum_trader.app.runs.meta_labels import meta_label_for
from quantum_trader.app.runs.pilot_daily import DailyClock, DailyTraining
from quantum_trader.app.runs.replay import memory_run, run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.signal_training import MODEL_PLACE
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.clock import NS_PER_SECOND, from_ns
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.learning import LearningTracker
from quantum_trader.lab.learning.learning_result import load_learning
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.shadows.meta_labels import meta_label_table
from quantum_trader.lab.trials import TrialLedger
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH, EntryFeatures
from quantum_trader.models.gates import GateSettings
from quantum_trader.models.learned.artefact import load_learned
from quantum_trader.models.learned.meta_label import load_meta_label

pytest.importorskip("xgboost")
pytest.importorskip("sklearn")
ROOT = Path(__file__).resolve().parents[2]
TOML = """
[learning]
folds = 3
importance_rows = 300
contribution_rows = 100

[boosting]
rounds = 15
depth = 3
learning_rate = 0.1
"""
YEAR_NS = 1_704_067_200 * NS_PER_SECOND  # 2024-01-01
BARS = ("--symbols", "BTCUSDT,ETHUSDT", "--to", "2018-01-31")


def words(folder: Path, *more: str) -> list[str]:
    """A short training into *folder*, with the settings file, the trials and the registry beside it."""
    config = folder.parent / "learning.toml"
    config.write_text(TOML)
    return ["model", "train", "--config", str(config), *BARS, "--out", str(folder), "--trials",
            str(folder.parent / "trials"), *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A training that registers its models and writes its page: its folder, its document, its progress."""
    folder = tmp_path_factory.mktemp("train") / "out"
    result = CliRunner().invoke(app, words(
        folder, "--json", "--register", "--registry", str(folder.parent / "registry"), "--html",
        str(folder.parent / "page.html"),
    ))
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout), result.stderr


def test_a_training_prints_one_document(trained: tuple[Path, dict[str, Any], str]) -> None:
    """Settings, data, folds with intervals and baselines; it is the one in the folder, progress is on standard error.
    """
    folder, document, progress = trained

    assert document == json.loads((folder / "learning.json").read_text())
    assert document["identity"]["boosting.rounds"] == 15
    assert document["identity"]["labels.horizon"] == "24h"
    assert document["data"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert [one["learner"] for one in document["models"]] == ["boosting", "linear"]
    for one in document["models"]:
        folds = one["result"]["folds"]
        assert [fold["number"] for fold in folds] == [2, 3]
        for fold in folds:
            for name in ("auc", "brier", "ece"):
                assert fold["learner"]["scores"][name]["low"] <= fold["learner"]["scores"][name]["value"]
            assert set(fold["baselines"]) == {"constant", "logistic"}
            assert fold["baselines"]["constant"]["auc"]["value"] == pytest.approx(0.5)
        assert len(one["importance"]) == 54
        assert one["additivity_error"] < 1e-4
    assert document["leakage_checks"] == ["feature_times", "single_feature", "truncation"]
    assert document["leakage"] == []
    assert "step 11 of 11" in progress


def test_the_page_shows_folds_reliability_and_importance(trained: tuple[Path, dict[str, Any], str]) -> None:
    """It needs nothing else, and is made of the document alone."""
    folder, document, _ = trained
    page = (folder.parent / "page.html").read_text()
    read = load_learning(folder)
    assert read is not None

    assert page == learning_page(read)
    for part in ("Reliability", "noise alone", "logistic", "Mean size of SHAP values",
                 from_ns(document["data"]["last_ns"]).date().isoformat(), document["models"][0]["model_id"][:16]):
        assert part in page, part
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_same_command_shows_the_same_results_for_a_person(trained: tuple[Path, dict[str, Any], str]) -> None:
    """A training that is done is not done again; lines name the folder that --model takes."""
    folder, document, _ = trained

    result = CliRunner().invoke(app, words(folder))

    assert result.exit_code == 0, result.output
    assert "this training is done" in result.stderr
    for one in document["models"]:
        assert f"use: --model {folder / one['folder']}" in result.stdout
        assert one["model_id"][:16] in result.stdout
    assert "log loss against constant" in result.stdout


def test_a_training_is_on_record(trained: tuple[Path, dict[str, Any], str]) -> None:
    """In the journal, in the learning tracker with importance and figures, and each learner in the trial ledger."""
    folder, document, _ = trained
    ids = [one["model_id"] for one in document["models"]]

    events = Lake(folder / "journal").sql("select session_id, rows from trainings order by session_id")
    with LearningTracker(folder / "journal" / "journal.db") as tracker:
        sessions = tracker.sessions()
        day = tracker.get_daily_summary(from_ns(sessions[0].started_ns).date())
    trials = TrialLedger(folder.parent / "trials").read().records

    assert events["rows"].to_pylist() == [document["data"]["samples"]] * 2
    assert sorted(one.model_id for one in sessions) == sorted(ids)
    assert all(len(one.importance) == 54 and one.after["auc"] is not None for one in sessions)
    assert day.num_sessions == 2
    assert day.best_model in ids
    assert sorted(one.trial.model_id for one in trials) == sorted(ids)
    assert all(one.trial.p_value is not None for one in trials)


def test_models_are_registered_under_their_kind(trained: tuple[Path, dict[str, Any], str]) -> None:
    """Verified, with the metrics and the features hash of their cards; a pilot's place does not take them."""
    folder, document, _ = trained
    registry = ModelRegistry(folder.parent / "registry")

    for one in document["models"]:
        record = registry.load_model(one["model_id"], "signal").record
        assert record.kind == "signal"
        assert record.metrics["auc"] == one["result"]["together"]["scores"]["auc"]["value"]
        assert record.features_hash == load_learned(folder / one["folder"]).card.features_hash
    with pytest.raises(DataError, match="is of kind signal, and not pilot"):
        registry.load_model(document["models"][0]["model_id"], "pilot")
    with pytest.raises(DataError, match="kind signal"):
        registry.register_model(folder / "boosting", "meta-label")


def test_a_replay_takes_models_by_folder_and_from_the_registry(
    trained: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    """Alone, and two in an ensemble; the same model by both names decides the same; what it was trained on is said."""
    folder, document, _ = trained
    registry = ModelRegistry(folder.parent / "registry")
    registry.promote(document["models"][0]["model_id"], "champion", actor="a test", reason="a test",
                     seen_version=None, kind="signal", without_evidence="a test")
    (tmp_path / "run.toml").write_text(
        f'[[models]]\nmodel = "registry:champion"\nname = "boosting"\n'
        f'params = {{registry = "{folder.parent / "registry"}"}}\n'
    )
    flags: dict[str, tuple[Any, str]] = {
        "data.symbols": (("BTCUSDT", "ETHUSDT"), "--symbols"), "data.end": ("2017-12-31", "--to"),
    }
    by_folder = load_settings(None, flags | {"models": (({"model": str(folder / "boosting")},), "--model")})
    by_alias = load_settings(tmp_path / "run.toml", flags)
    both = load_settings(None, flags | {"models": (
        tuple({"model": str(folder / name)} for name in ("boosting", "linear")), "--model")})

    first, second, third = (memory_run(one.settings)[0] for one in (by_folder, by_alias, both))

    assert by_alias.settings.models[0].params == {"model": document["models"][0]["model_id"]}
    assert first.facts.models.rows[0].fingerprint == second.facts.models.rows[0].fingerprint
    assert first.facts.trades == second.facts.trades
    assert [row.name for row in third.facts.models.rows] == ["boosting", "linear"]
    assert any("was trained on bars from 2017-10" in note for note in first.facts.notes)


def test_a_registered_model_that_was_altered_is_not_taken(
    trained: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    """Its arrays were exchanged: the settings are refused before anything runs."""
    folder, document, _ = trained
    registry = tmp_path / "registry"
    shutil.copytree(folder.parent / "registry", registry)
    model_id = document["models"][0]["model_id"]
    arrays = registry / "models" / model_id / "arrays.npz"
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(bytes(content))

    with pytest.raises(DataError, match=r"arrays\.npz was altered"):
        load_settings(None, {"models": (({"model": f"registry:{model_id}", "params": {"registry": str(registry)}},),
                                        "--model")})


@pytest.mark.parametrize(("options", "said"), [
    (("--learners", "forest"), "--learners 'forest'"),
    (("--folds", "1"), "--folds = 1"),
    (("--width", "nan"), "--width = nan"),
    (("--every", "0"), "--every = 0"),
    (("--horizon", "10m"), "--horizon 10m: is shorter than a bar of 1h"),
    (("--model-bars", "7m"), "--model-bars '7m'"),
    (("--model-bars", "5m"), "--model-bars '5m': bars of 30m make 30m, 1h"),
    (("--threads", "0"), "--threads 0"),
    (("--registry", "x"), "give --register with it"),
    (("--daily",), "--daily: needs --state DIR"),
    (("--meta-label",), "--meta-label: needs --state DIR"),
    (("--state", "x"), "is for --daily and --once"),
    (("--at", "00:00"), "is the time of --daily"),
    (("--symbols", "NOUSDT"), "no bars of NOUSDT"),
    (("--to", "2017-10-03"), "more bars"),
])
def test_what_cannot_be_is_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """By the option, its value and what is right; nothing is trained."""
    result = CliRunner().invoke(app, [*words(tmp_path / "out"), *options])

    assert result.exit_code != 0
    assert said in result.stderr, result.stderr
    assert not (tmp_path / "out" / "learning.json").exists()


@pytest.mark.parametrize(("toml", "said"), [
    ("[boosting]\nround = 5\n", "did you mean 'boosting.rounds'"),
    ("[boosting]\nrounds = 0\n", "boosting.rounds = 0"),
    ("[labels]\nhorizon = 24\n", "labels.horizon = 24"),
    ("[forest]\ntrees = 5\n", "unknown key 'forest'"),
    ("learning = 3\n", "write [learning]"),
])
def test_a_settings_file_that_cannot_be_is_refused(tmp_path: Path, toml: str, said: str) -> None:
    """By its key."""
    path = tmp_path / "mine.toml"
    path.write_text(toml)

    result = CliRunner().invoke(app, ["model", "train", "--config", str(path), "--out", str(tmp_path / "out")])

    assert result.exit_code != 0
    assert said in result.stderr, result.stderr


KILLED = """
import os, signal, sys
from quantum_trader.app.runs import learning_screen
from quantum_trader.app.cli.main import app

def show(self, look):
    if look.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

learning_screen.LearningLines.show = show
app(sys.argv[1:])
"""


def test_a_killed_command_goes_on_to_the_same_models(
    trained: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    """SIGKILL after the fourth step; the same command again ends with the ids of the training that was not killed."""
    _, document, _ = trained
    command = words(tmp_path / "out", "--json")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *command], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, timeout=300, check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]

    result = CliRunner().invoke(app, command)

    assert result.exit_code == 0, result.output
    gone_on = json.loads(result.stdout)
    assert gone_on["resumed_steps"] == 4
    assert [one["model_id"] for one in gone_on["models"]] == [one["model_id"] for one in document["models"]]


# ---- on a journal --------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a replay of three months, whose signals have results."""
    state = tmp_path_factory.mktemp("state") / "run"
    settings = load_settings(None, {
        "models": (({"model": "intraday-demo"},), "--model"), "data.end": ("2018-01-15", "--to"),
    }).settings
    run(settings, RunOptions(state_dir=state))
    return state


def test_a_meta_label_is_trained_on_the_signals_of_a_run(journal: Path) -> None:
    """One sample a signal with a result; the gates load both models by folder; the training is on record."""
    config = journal.parent / "learning.toml"
    config.write_text(TOML)
    result = CliRunner().invoke(app, [
        "model", "train", "--meta-label", "--config", str(config), "--state", str(journal), "--json",
    ])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    folder = next((journal / "meta-labels").glob("*-*-*"))

    known = int(meta_label_table(journal).ends_ns.size)
    assert document["kind"] == "meta-label"
    assert document["data"]["samples"] == known > 200
    assert document["leakage_checks"] == ["feature_times", "recorded_at_decision", "single_feature"]
    assert document["leakage"] == []
    for one in document["models"]:
        label = meta_label_for(GateSettings(meta_label=str(folder / one["folder"])))
        assert label is not None
        assert label.model_id == one["model_id"]
        assert 0.0 <= label.probability(EntryFeatures(*[0.5] * len(ENTRY_FEATURES))) <= 1.0
    with LearningTracker(journal / "journal" / "journal.db") as tracker:
        assert {one.model_id for one in tracker.sessions()} == {one["model_id"] for one in document["models"]}


def test_a_run_judges_its_signals_by_a_meta_label(journal: Path, tmp_path: Path) -> None:
    """Each signal's record has the probability that the model gives its features, and the model's id."""
    made = made_artefact("boosting", META_LABEL, features=ENTRY_FEATURES, features_hash=ENTRY_FEATURES_HASH)
    folder = write_folder(tmp_path / "label", made)
    label = load_meta_label(folder)
    settings = load_settings(None, {
        "models": (({"model": "intraday-demo"},), "--model"), "data.end": ("2017-11-10", "--to"),
        "gates.meta_label": (str(folder), "--config"),
    }).settings
    run(settings, RunOptions(state_dir=tmp_path / "run"))

    rows = Lake(tmp_path / "run" / "journal").sql("select gates, features, meta_label from signal_gates").to_pylist()

    assert len(rows) > 5
    for row in rows:
        features = {name: np.nan if value is None else value for name, value in json.loads(row["features"]).items()}
        told = {one["gate"]: one for one in json.loads(row["gates"])}["meta_label"]
        assert row["meta_label"] == made.model_id
        assert told["observed"] == pytest.approx(label.probability(features), abs=1e-12)


def test_a_meta_label_of_other_features_is_refused_by_the_gates(tmp_path: Path) -> None:
    """And so is a folder without one, and a signal model."""
    other = write_folder(tmp_path / "other", made_artefact("linear", META_LABEL))
    signals = write_folder(tmp_path / "signals", made_artefact())

    with pytest.raises(ConfigError, match="other features than a signal has"):
        meta_label_for(GateSettings(meta_label=str(other)))
    with pytest.raises(ConfigError, match="no meta-label"):
        meta_label_for(GateSettings(meta_label=str(signals)))
    with pytest.raises(ConfigError, match="is no folder"):
        meta_label_for(GateSettings(meta_label=str(tmp_path / "nowhere")))
    assert meta_label_for(GateSettings()) is None


def test_a_meta_label_comes_from_the_registry(tmp_path: Path) -> None:
    """By its alias, verified; a name without a model is refused."""
    made = made_artefact("linear", META_LABEL, features=ENTRY_FEATURES, features_hash=ENTRY_FEATURES_HASH)
    registry = ModelRegistry(tmp_path / "registry")
    registry.register_model(write_folder(tmp_path / "label", made), "meta-label")
    registry.promote(
        made.model_id, "champion", actor="a test", reason="a test", seen_version=None, kind="meta-label",
        without_evidence="a test",
    )

    found = meta_label_for(GateSettings(meta_label="registry:champion"), str(tmp_path / "registry"))

    assert found is not None
    assert found.model_id == made.model_id
    with pytest.raises(DataError, match="has no shadow"):
        meta_label_for(GateSettings(meta_label="registry:shadow"), str(tmp_path / "registry"))
    with pytest.raises(ConfigError, match="names no model"):
        meta_label_for(GateSettings(meta_label="registry:"), str(tmp_path / "registry"))


def test_a_daily_training_of_models_has_a_folder_of_its_own(journal: Path) -> None:
    """`--once` on a journal without bars fails, says why, and leaves no half of a model."""
    result = CliRunner().invoke(app, ["model", "train", "--once", "--state", str(journal)])

    assert result.exit_code == 1
    assert "holds no bars until" in result.stderr
    assert (journal / MODEL_PLACE.folder / "last.json").is_file()


def test_an_interrupted_daily_training_goes_on_in_its_folder(tmp_path: Path) -> None:
    """One whose plan is there and whose document is not; at midnight the next one begins."""
    now_ns, calls = [YEAR_NS], list[tuple[str, int]]()

    def train(folder: Path, until_ns: int) -> object | None:
        calls.append((folder.name, until_ns))
        (folder / "steps").mkdir(exist_ok=True)
        (folder / "steps" / "plan.json").write_text("{}")
        if len(calls) == 1:
            return None  # stopped
        (folder / "learning.json").write_text("{}")
        return object()

    def wait(seconds: float) -> bool:
        now_ns[0] += round(seconds * NS_PER_SECOND)
        return len(calls) >= 3

    daemon = DailyTraining(tmp_path, train, lambda line: None, DailyClock(lambda: now_ns[0], wait), MODEL_PLACE)
    assert daemon.once().outcome == "stopped"

    daemon.serve(0)

    assert [name for name, _ in calls] == ["2024-01-01", "2024-01-01", "2024-01-02"]
    assert calls[0][1] == calls[1][1] == YEAR_NS, "the same bars count"
    assert (tmp_path / "models" / "last.json").is_file()
    assert not (tmp_path / "pilots").exists()
