"""`quantum-trader pilot train`: on bars, from beginning to end; what is refused; Ctrl-C and a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app

needs_jax = pytest.mark.skipif(
    find_spec("jax") is None, reason="training needs JAX: pip install 'quantum-trader[train]'"
)
ROOT = Path(__file__).resolve().parents[2]
STEPS = 1_000
TOML = """
[ppo]
hidden = [16, 16]
environments = 8
rollout_steps = 16
minibatch_size = 64
epochs = 2
reward_scale = 0.5

[environment]
episode_bars = 48

[environment.positions]
stop_atr = 2.5

[reward]
turnover = 0.05

[curriculum]
first_cost_share = 0.2
"""
BARS = ("--symbols", "BTCUSDT,ETHUSDT", "--from", "2018-02-01", "--to", "2018-03-31")


def words(folder: Path, *more: str) -> list[str]:
    """A short training of two seeds into *folder*, with the settings file beside it."""
    config = folder.parent / "training.toml"
    config.write_text(TOML)
    return ["pilot", "train", "--config", str(config), *BARS, "--steps", str(STEPS), "--seeds", "2", "--out",
            str(folder), *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A training: its folder, the document that it printed, and its progress."""
    folder = tmp_path_factory.mktemp("train") / "out"
    result = CliRunner().invoke(app, words(folder, "--json", "--trials", str(folder.parent / "trials")))
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout), result.stderr


@needs_jax
def test_a_training_prints_one_document(trained: tuple[Path, dict[str, Any], str]) -> None:
    """Settings of the file, data, device, hashes; it is the one in the folder, and progress is on standard error."""
    folder, document, progress = trained

    assert document == json.loads((folder / "training.json").read_text())
    assert document["identity"]["environment.positions.stop_atr"] == 2.5
    assert document["identity"]["reward.turnover"] == 0.05
    assert document["identity"]["ppo.hidden"] == [16, 16]
    assert document["data"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert document["steps"] == STEPS // 128 * 128
    assert [one["seed"] for one in document["seeds"]] == [0, 1]
    assert all(len(one["weights_hash"]) == 64 for one in document["seeds"])
    assert f"device {document['device']}; 2 seeds, 2 at once; 7 updates of 128 steps a seed" in progress
    assert "100.0%  update 7 of 7" in progress


@needs_jax
def test_the_pilots_of_a_training_are_shown(trained: tuple[Path, dict[str, Any], str]) -> None:
    """`pilot show` checks each and shows what it was trained on; what training never varies is masked."""
    folder, document, _ = trained
    result = CliRunner().invoke(app, ["pilot", "show", str(folder / "seed-1"), "--json"])
    card = json.loads(result.stdout)

    assert result.exit_code == 0
    assert card["weights_hash"] == document["seeds"][1]["weights_hash"]
    assert card["training"]["curriculum.first_cost_share"] == 0.2
    assert card["training"]["seed"] == 1
    assert {"min_confidence", "max_risk", "gate", "spread"} <= set(card["scalers"]["unseen"])
    assert card["metrics"].keys() == document["seeds"][1]["metrics"].keys()


@needs_jax
def test_the_looks_are_in_the_journal_of_the_folder(trained: tuple[Path, dict[str, Any], str]) -> None:
    """`journal tail` shows them, with the terms of the reward, and `journal stats` counts without damage."""
    folder, document, _ = trained
    tail = CliRunner().invoke(app, ["journal", "tail", "--kind", "pilot.training", "--state", str(folder)])
    stats = CliRunner().invoke(app, ["journal", "stats", "--state", str(folder), "--json"])

    looks = [json.loads(line) for line in tail.stdout.splitlines()]
    assert tail.exit_code == 0
    assert looks[-1]["update"] == 7
    assert looks[-1]["session_id"] == document["session"]
    assert looks[-1]["terms"].keys() == {"profit", "drawdown", "turnover", "regime"}
    assert json.loads(stats.stdout)["kinds"] == {"model": 2, "pilot.training": len(looks), "training": 2}
    assert json.loads(stats.stdout)["damage"] == []


@needs_jax
def test_every_seed_of_a_training_is_on_record(trained: tuple[Path, dict[str, Any], str]) -> None:
    """In the trial ledger, with the model that it made; a training of two seeds is two trials."""
    folder, document, _ = trained
    ledger = str(folder.parent / "trials")
    shared = CliRunner().invoke(app, ["trials", "list", "--json", "--source", "pilot train", "--trials", ledger])
    models = {one["model"]: one["seed"] for one in document["seeds"]}

    rows = [row for row in json.loads(shared.stdout)["trials"] if row["model_id"] in models]
    assert sorted(row["settings"]["seed"] for row in rows) == [0, 1]
    assert {row["kind"] for row in rows} == {"seed"}
    assert len({row["run"] for row in rows}) == 1
    assert all(models[row["model_id"]] == row["settings"]["seed"] for row in rows)


@needs_jax
def test_the_same_command_again_shows_the_same_results(trained: tuple[Path, dict[str, Any], str]) -> None:
    """It trains nothing; other settings are refused with the key and what to do."""
    folder, document, _ = trained
    again = CliRunner().invoke(app, words(folder))
    other = CliRunner().invoke(app, words(folder, "--first-seed", "5"))

    assert again.exit_code == 0
    assert "this training is done; its results stand" in again.stderr
    for one in document["seeds"]:
        assert one["weights_hash"][:16] in again.stdout
    assert "on another machine or device hashes may differ" in again.stdout
    assert f"use: {folder / 'seed-0'}  (the lowest seed number" in again.stdout
    assert other.exit_code == 2
    assert "seeds = [0, 1], and this training has [5, 6]; give the settings and the data" in other.stderr


@needs_jax
@pytest.mark.parametrize(("text", "message"), [
    ("[ppo]\nepoch = 3", "training.toml: unknown key 'ppo.epoch'; did you mean 'ppo.epochs'?"),
    ("[pp]\nepochs = 3", "training.toml: unknown key 'pp'; did you mean 'ppo'?"),
    ("[environment.positions]\nstop_at = 3", "unknown key 'environment.positions.stop_at'; did you mean "
     "'environment.positions.stop_atr'?"),
    ("[environment.reward]\nprofit = 3", "environment.reward: has a table of its own; write [reward]"),
    ("ppo = 3", "ppo = 3: is a table; write [ppo] and its keys below"),
    ("[ppo]\nepochs = 'x'", "training.toml: ppo.epochs = 'x': expected `int`, got `str`"),
    ("[ppo]\nepochs = 0", "training.toml: ppo.epochs = 0: must be at least 1"),
    ("[reward]\nprofit = -1", "training.toml: reward.profit = -1.0: must be a finite number, 0 to 1000"),
    ("[curriculum]\nfirst_cost_share = 2", "curriculum.first_cost_share = 2.0: must lie within 0 and 1"),
    ("[ppo", "is not TOML"),
])
def test_wrong_settings_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    """Exit code 2; the key, its value and what is right, the nearest name for an unknown key."""
    (tmp_path / "training.toml").write_text(text)
    result = CliRunner().invoke(app, ["pilot", "train", "--config", str(tmp_path / "training.toml")])

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@needs_jax
@pytest.mark.parametrize(("options", "message"), [
    (["--seeds", "0"], "--seeds 0: must be 1 to 1,024"),
    (["--steps", "0"], "--steps 0: must be 1 to"),
    (["--steps", "1000"], "steps = 1000: an update takes 2048 steps"),
    (["--checkpoint-every", "-1"], "--checkpoint-every -1.0: must be 0"),
    (["--seeds-at-once", "-1"], "--seeds-at-once -1: must be 0"),
    (["--daily"], "--daily: needs --state DIR"),
    (["--once"], "--once: needs --state DIR"),
    (["--state", "x"], "--state x: is for --daily and --once"),
    (["--at", "00:00"], "--at 00:00: is the time of --daily"),
    (["--daily", "--state", "x", "--at", "25:00"], "--at '25:00': must be a time of the day in UTC"),
    (["--daily", "--state", "x", "--data", "y"], "--data: with --daily the bars are those in the journal"),
    (["--daily", "--state", "x"], "--state x: has no journal"),
    (["--interval", "7m"], "pilot.interval = '7m': must be one of"),
    (["--data", "nowhere"], "nowhere: there is no such folder"),
])
def test_wrong_options_are_one_line(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and nothing is trained."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["pilot", "train", *options])

    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "build" / "pilot" / "journal").exists()


def test_without_the_packages_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, exit code 2."""
    monkeypatch.setattr("quantum_trader.pilot.training.required_packages.TRAINING_PACKAGES", ("jaxx", "optax"))
    result = CliRunner().invoke(app, ["pilot", "train"])

    assert result.exit_code == 2
    assert "jaxx is not installed" in result.stderr
    assert "pip install 'quantum-trader[train]'" in result.stderr


@needs_jax
def test_a_folder_in_use_is_refused(trained: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    """Two trainings in one folder would mix their checkpoints."""
    from quantum_trader.app.runs.state_dir import StateDir

    held = StateDir(tmp_path / "out")
    result = CliRunner().invoke(app, words(tmp_path / "out"))
    held.close()

    assert result.exit_code == 2
    assert f"--out {tmp_path / 'out'}: another run is using this folder" in result.stderr


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    """The command in a process of its own; its progress can be read line by line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "quantum_trader", *words(folder, *more), "--checkpoint-every", "0"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def until_saved(process: subprocess.Popen[str], folder: Path, updates: int) -> None:
    """Wait until a checkpoint of at least so many updates is there."""
    from quantum_trader.lab.pilot.training_checkpoint import load_checkpoint

    while process.poll() is None:
        checkpoint = load_checkpoint(folder)
        if checkpoint is not None and checkpoint.header.update >= updates:
            return
        time.sleep(0.01)
    pytest.fail(f"it ended too early: {process.communicate()[1]}")


@needs_jax
@pytest.mark.long
def test_a_killed_command_goes_on_and_a_stopped_one_too(tmp_path: Path) -> None:
    """SIGKILL, then Ctrl-C (exit code 130 and how to go on), then to the end: the hashes of an untouched training."""
    more = ("--steps", "100000")
    killed = started(tmp_path / "broken", *more)
    until_saved(killed, tmp_path / "broken", 5)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    stopped = started(tmp_path / "broken", *more)
    until_saved(stopped, tmp_path / "broken", 200)
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate()
    assert stopped.returncode == 130, said
    assert f"stopped; the same command goes on from the checkpoint in {tmp_path / 'broken'}" in said
    for folder in ("broken", "whole"):
        process = started(tmp_path / folder, *more)
        _, said = process.communicate()
        assert process.returncode == 0, said

    broken, whole = (json.loads((tmp_path / folder / "training.json").read_text()) for folder in ("broken", "whole"))
    for key in ("weights_hash", "network_hash", "metrics"):
        assert [one[key] for one in broken["seeds"]] == [one[key] for one in whole["seeds"]]
    assert broken["session"] == whole["session"]


@needs_jax
@pytest.mark.long
def test_once_trains_on_the_bars_of_a_journal(tmp_path: Path) -> None:
    """A journal of two months: a pilot in pilots/<date>, its looks in the journal of the state folder."""
    from tests.app.test_pilot_train_daily import SYMBOLS, logged_bars

    from quantum_trader.market.recording import open_recording

    recording = open_recording(None, None, SYMBOLS, "2018-02-01", "2018-03-31")
    chunk = recording.arrays()

    def rows(note: Any) -> None:
        for ts_ns, ohlcv, present in zip(chunk.ts_ns.tolist(), chunk.ohlcv, chunk.present, strict=True):
            names = [symbol for symbol, there in zip(SYMBOLS, present, strict=True) if there]
            note(ts_ns + recording.interval_ns, names, ohlcv[present].tolist())

    logged_bars(tmp_path / "state", rows, recording.interval_ns)
    config = tmp_path / "training.toml"
    config.write_text(TOML)
    result = CliRunner().invoke(app, [
        "pilot", "train", "--once", "--state", str(tmp_path / "state"), "--config", str(config), "--steps", str(STEPS),
        "--seeds", "2", "--json",
    ])

    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    folder, = (path.parent for path in (tmp_path / "state" / "pilots").glob("*/training.json"))
    assert document["data"]["source"] == "the journal"
    assert (folder / "seed-0" / "card.json").exists()
    assert json.loads((tmp_path / "state" / "pilots" / "last.json").read_text())["outcome"] == "trained"
    stats = CliRunner().invoke(app, ["journal", "stats", "--state", str(tmp_path / "state"), "--json"])
    assert json.loads(stats.stdout)["kinds"]["pilot.training"] >= 1


@needs_jax
def test_the_settings_in_the_how_to_are_the_defaults(tmp_path: Path) -> None:
    """The first block of the document, read as a settings file; the second is read too."""
    from quantum_trader.app.runs.training_settings import training_settings

    text = (ROOT / "docs" / "how-to-train-a-pilot.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```toml\n")[1:]]
    found = []
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.toml").write_text(block)
        found.append(training_settings(tmp_path / f"{number}.toml", "30m"))

    assert found[0] == training_settings(None, "30m")
    assert found[1].ppo.environments == 1024
    assert found[1].ppo.minibatches == 8
