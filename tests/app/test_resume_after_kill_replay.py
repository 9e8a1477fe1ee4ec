"""A run with a state folder, killed at any point, ends as if it had not been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quantum_trader.app.runs.replay import Run, run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.run_identity import Statement, why_another_run
from quantum_trader.app.settings import RunSettings, hash_of, load_settings
from quantum_trader.domain.errors import StateError

FLAGS = {"data.start": "2018-01-01", "data.end": "2018-02-28", "models": ({"model": "intraday-demo"},)}

CHILD = """
import sys, pathlib
import quantum_trader.app.runs.replay as runner
runner._CHECKPOINT_EVERY_S = 0.02
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import load_settings
flags = {
    "data.start": ("2018-01-01", "t"), "data.end": ("2018-02-28", "t"), "models": (({"model": "intraday-demo"},), "t"),
}
print("go", flush=True)
pace = lambda ns: __import__("time").sleep(0.0004)
runner.run(load_settings(None, flags).settings, RunOptions(state_dir=pathlib.Path(sys.argv[1])), pace=pace)
"""


def settings(**more: str | float) -> RunSettings:
    """Two months of the bundled bars with the intraday models."""
    return load_settings(None, {key: (value, "test") for key, value in {**FLAGS, **more}.items()}).settings


def contents(folder: Path) -> dict[str, bytes]:
    """What a run leaves that must not depend on how often it was killed."""
    names = ["records.jsonl", *(f"policy_observations/{p.name}" for p in (folder / "policy_observations").iterdir())]
    return {name: (folder / name).read_bytes() for name in sorted(names)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """An uninterrupted run: its folder and its last equity."""
    folder = tmp_path_factory.mktemp("whole")
    result = run(settings(), RunOptions(state_dir=folder))
    assert not any("observation failures" in note for note in result.facts.notes), result.facts.notes
    return folder, float(result.facts.equity[-1])


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_killed_runs_end_as_an_uninterrupted_one(seed: int, whole: tuple[Path, float], tmp_path: Path) -> None:
    """kill -9 at random moments, start again, and again: records, observations and result are the same bytes."""
    chance = random.Random(seed)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.uniform(0.3, 1.5))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    result = run(settings(), RunOptions(state_dir=tmp_path))
    assert float(result.facts.equity[-1]) == whole[1]
    assert contents(tmp_path) == contents(whole[0])


def test_a_finished_run_started_again_tells_the_same(whole: tuple[Path, float]) -> None:
    """Nothing is traded twice: the same result comes from the saved state."""
    before = contents(whole[0])
    result = run(settings(), RunOptions(state_dir=whole[0]))
    assert result.resumed
    assert float(result.facts.equity[-1]) == whole[1]
    assert contents(whole[0]) == before


def test_other_settings_do_not_continue_a_saved_run(whole: tuple[Path, float]) -> None:
    """Continuing with another profile is refused, and nothing in the folder changes."""
    before = contents(whole[0])
    with pytest.raises(StateError, match="other settings"):
        run(settings(**{"policy.profile": "AGGRESSIVE"}), RunOptions(state_dir=whole[0]))
    assert contents(whole[0]) == before


def test_a_refused_resume_names_each_setting_that_differs(whole: tuple[Path, float]) -> None:
    """Its key, the value of the saved run and the value now; of a profile the name, not its numbers."""
    changed = {"policy.profile": "AGGRESSIVE", "data.end": "2018-03-31", "account.start_equity": 500.0}
    with pytest.raises(StateError) as refused:
        run(settings(**changed), RunOptions(state_dir=whole[0]))
    said = str(refused.value)

    assert said.startswith(f"--state {whole[0]}: the saved run used other settings: ")
    assert 'data.end = "2018-02-28", now "2018-03-31"' in said
    assert 'policy.profile = "SAFE", now "AGGRESSIVE"' in said
    assert "account.start_equity = 10000.0, now 500.0" in said
    assert said.count(", now ") == 3


def test_a_refused_resume_names_a_parameter_of_a_model() -> None:
    """By the model's name; a parameter that was not given is not set. Other models are named as a whole."""
    one = {"model": "mine.py:Mine", "name": "", "params": {}, "enabled": True}
    more = {**one, "params": {"days": 20}}
    for now, expected in (
        ([more], "models.mine.py:Mine.params.days = not set, now 20"),
        ([one, more], 'models = ["mine.py:Mine"], now ["mine.py:Mine","mine.py:Mine"]'),
    ):
        said = why_another_run(
            {"settings": "a"}, {"settings": "b"}, Statement({"models": [one]}), Statement({"models": now}), ["Mine"],
            {},
        )
        assert f"other settings: {expected}. Give the saved values" in said


@pytest.mark.parametrize(("saved", "now", "expected"), [
    ({"models": "m1+m2"}, {"models": "m1+m3"}, "the code of Slow has changed since"),
    ({"data": "d1"}, {"data": "d2"}, "other bars: bars = 10, now 12"),
    ({"intents": "i1"}, {}, "other intents (i1, now none)"),
    ({"settings": "s1"}, {"settings": "s1"}, ""),
])
def test_what_differs_beside_the_settings_is_named_too(
    saved: dict[str, str], now: dict[str, str], expected: str
) -> None:
    """The model whose file has changed, the bars, the recorded intents."""
    before = Statement({"a": 1}, {"bars": 10}, saved.get("models", ""))
    after = Statement({"a": 1}, {"bars": 12 if "data" in now else 10}, now.get("models", ""))
    said = why_another_run(saved, now, before, after, ["Fast", "Slow"], {})

    assert (expected in said) if expected else said == ""


def test_a_setting_that_is_younger_than_the_saved_run_refuses_no_resume_at_its_default() -> None:
    """A version that adds a setting continues the folders of before; another value of it is another run."""
    before = {"engine": {"ttl": 30}, "models": []}
    saved, named = {"settings": hash_of(before)}, [{"model": "intraday-demo", "name": ""}]
    for bars, models, expected in (
        (0, [], ""), (0, named, ""), (2, [], "engine.bars = not set, now 2"), (0, [{"model": "carry"}], "models = "),
    ):
        after = {"engine": {"ttl": 30, "bars": bars}, "models": models}
        said = why_another_run(
            saved, {"settings": hash_of(after)}, Statement(before), Statement(after), [], {"engine": {"bars": 0}}
        )
        assert (expected in said) if expected else said == ""
    forged = why_another_run({"settings": "s"}, {"settings": "t"}, Statement(before), Statement(before), [], {})
    assert "other settings" in forged


def test_a_damaged_checkpoint_is_set_aside_and_nothing_is_traded(tmp_path: Path) -> None:
    """One flipped byte: the start is refused with what to do, the second start too."""
    run(settings(), RunOptions(state_dir=tmp_path))
    path = tmp_path / "checkpoint"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StateError, match="damaged"):
        run(settings(), RunOptions(state_dir=tmp_path))
    assert not path.exists()
    assert list(tmp_path.glob("checkpoint.damaged-*"))
    with pytest.raises(StateError, match="damaged"):
        run(settings(), RunOptions(state_dir=tmp_path))


def test_a_folder_serves_one_run_at_a_time(tmp_path: Path) -> None:
    """A second run on the same folder is refused while the first lives."""
    first = Run(settings(), RunOptions(state_dir=tmp_path))
    try:
        with pytest.raises(StateError, match="another run"):
            Run(settings(), RunOptions(state_dir=tmp_path))
    finally:
        first.close()


def test_state_files_are_private_to_their_owner(whole: tuple[Path, float]) -> None:
    """Every file of a state folder is 0600."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in whole[0].rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o600}, modes


def test_a_full_disk_is_told_and_the_run_can_go_on(whole: tuple[Path, float], tmp_path: Path) -> None:
    """Where no more can be written the run ends saying what to do; with space again it ends as if nothing had been."""
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", limit + CHILD, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert child.returncode != 0
    assert "cannot be" in child.stderr
    assert not list(tmp_path.glob("*.partial"))
    result = run(settings(), RunOptions(state_dir=tmp_path))
    assert float(result.facts.equity[-1]) == whole[1]
    assert contents(tmp_path) == contents(whole[0])


def test_records_asked_for_alone_are_whole_or_not_there(tmp_path: Path) -> None:
    """--records FILE on a disk that fills up leaves nothing; with space it is complete."""
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    )
    child = CHILD.replace("state_dir=pathlib.Path(sys.argv[1])", "records=pathlib.Path(sys.argv[1])")
    wanted = tmp_path / "records.jsonl"
    failed = subprocess.run(
        [sys.executable, "-c", limit + child, str(wanted)], capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert "Nothing was left behind" in failed.stderr
    assert not list(tmp_path.iterdir())
    run(settings(), RunOptions(records=wanted))
    assert wanted.read_bytes().endswith(b"}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]
