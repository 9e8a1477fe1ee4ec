"""A training of the pilot: looks, checkpoints, going on after a kill, groups of seeds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from tests.lab.pilot.killed import UPDATES as KILLED_UPDATES
from tests.lab.pilot.tiny import (
    PPO,
    TRAINER,
    UPDATES,
    Ticks,
    hashes_of,
    never,
    stop_after,
    tiny_plan,
    tiny_run,
    tiny_task,
)

from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.lab.pilot.training_checkpoint import CHECKPOINT_FILE, load_checkpoint
from quantum_trader.lab.pilot.training_plan import CurriculumSettings
from quantum_trader.lab.pilot.training_run import TrainedSeed, TrainingRun, TrainingTask, TrainingTimes

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[TrainedSeed]:
    """The results of a training that was never stopped."""
    run, results = tiny_run(tmp_path_factory.mktemp("whole"))
    list(run.looks(never))
    assert run.ended
    return results


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(whole: list[TrainedSeed], tmp_path: Path) -> None:
    """Stopped after 4 of 10 updates, and once more after 3 of the rest: weights and figures are the same bits."""
    for updates in (4, 3):
        run, results = tiny_run(tmp_path)
        list(run.looks(stop_after(updates)))
        assert not run.ended
        assert results == []
    run, results = tiny_run(tmp_path)
    assert run.place == (0, 7)
    list(run.looks(never))

    assert hashes_of(results) == hashes_of(whole)
    assert [one.metrics for one in results] == [one.metrics for one in whole]


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL of a real process in the middle; the same command again ends as a training that nobody killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))}

    def started(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.lab.pilot.killed", str(folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)

    killed = started(tmp_path / "killed")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "from 0\n"
    seen = ""
    while not (tmp_path / "killed" / CHECKPOINT_FILE).exists() or "update" not in seen:
        seen = killed.stdout.readline()
        assert seen, "it ended before it could be killed"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again, _ = started(tmp_path / "killed").communicate()
    untouched, expected = tiny_run(tmp_path / "whole", tiny_plan(updates=KILLED_UPDATES))
    list(untouched.looks(never))

    begun = int(again.splitlines()[0].removeprefix("from "))
    assert 0 < begun < KILLED_UPDATES
    assert again.splitlines()[-1] == str(hashes_of(expected))


def test_the_same_plan_gives_the_same_weights(whole: list[TrainedSeed], tmp_path: Path) -> None:
    """And other seeds give others."""
    run, results = tiny_run(tmp_path)
    list(run.looks(never))

    assert hashes_of(results) == hashes_of(whole)
    assert len(set(hashes_of(results).values())) == 2


def test_a_seed_in_a_group_is_the_seed_alone(whole: list[TrainedSeed], tmp_path: Path) -> None:
    """Weights after ten updates in groups of one differ by rounding alone (decision 0140)."""
    run, results = tiny_run(tmp_path, at_once=1)
    looks = list(run.looks(never))

    assert run.groups == ((3,), (4,))
    assert [(look.group, look.groups, look.seeds) for look in looks[-1:]] == [(2, 2, (4,))]
    for one, other in zip(results, whole, strict=True):
        assert one.seed == other.seed
        pairs = zip(jax.tree.leaves(one.network), jax.tree.leaves(other.network), strict=True)
        assert all(np.allclose(first, second, atol=1e-4) for first, second in pairs)


def test_groups_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    """A training that goes on where fewer seeds fit keeps its groups, says so, and ends as it would have."""
    run, _ = tiny_run(tmp_path, tiny_plan((1, 2, 3)), at_once=2)
    list(run.looks(stop_after(UPDATES + 3)))
    run, results = tiny_run(tmp_path, tiny_plan((1, 2, 3)), at_once=1)
    assert run.notices == ["the groups of seeds are those of the checkpoint: 2 of at most 2"]
    list(run.looks(never))

    untouched, expected = tiny_run(tmp_path / "whole", tiny_plan((1, 2, 3)), at_once=2)
    list(untouched.looks(never))
    assert hashes_of(results) == {3: hashes_of(expected)[3]}


def test_looks_tell_how_far_it_is(tmp_path: Path) -> None:
    """Every few seconds and at the end; costs rise to all of them; speed and time left are known after an update."""
    run, _ = tiny_run(tmp_path)
    looks = list(run.looks(never))

    last = looks[-1]
    assert (last.update, last.updates, last.steps, last.group, last.groups) == (10, 10, 1280, 1, 1)
    assert last.eta_s == 0.0
    assert last.steps_per_s is not None
    assert last.steps_per_s > 0.0
    assert [look.update for look in looks] == sorted({look.update for look in looks})
    assert len(looks) > 1
    assert looks[0].cost_share < 1.0 == last.cost_share
    assert {len(numbers) for numbers in last.figures.values()} == {2}
    assert 0.0 < last.figures["entropy"][0] <= np.log(6.0) + 1e-6


def test_a_changing_cost_share_compiles_nothing_anew(tmp_path: Path) -> None:
    """One program makes all updates, whatever part of the costs is in force."""
    run, _ = tiny_run(tmp_path)
    list(run.looks(stop_after(2)))
    compiled = run.trainer._update._cache_size()
    list(run.looks(never))

    assert run.ended
    assert run.trainer._update._cache_size() == compiled


@pytest.mark.parametrize(("changes", "message"), [
    ({"ppo": msgspec.structs.replace(PPO, epochs=3)}, r"ppo.epochs = 2, and this training has 3; give the settings"),
    ({"facts": {"data.content_hash": "0b"}}, r"data.content_hash = '0a', and this training has '0b'"),
    ({"seeds": (3, 5)}, r"seeds = \[3, 4\], and this training has \[3, 5\]"),
    ({"updates": 11}, r"steps = 1280, and this training has 1408"),
    ({"curriculum": CurriculumSettings(first_cost_share=0.2)}, r"curriculum.first_cost_share = 0.1, .* has 0.2"),
])
def test_a_checkpoint_of_another_training_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    """The error names the key, both values, and what to do."""
    run, _ = tiny_run(tmp_path)
    list(run.looks(stop_after(2)))

    with pytest.raises(ConfigError, match=message):
        tiny_run(tmp_path, tiny_plan(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_refused(damage: str, tmp_path: Path) -> None:
    """The error names the file and what to do."""
    run, _ = tiny_run(tmp_path)
    list(run.looks(stop_after(2)))
    path = tmp_path / CHECKPOINT_FILE
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    kept = {"cut": len(content) - 500, "flipped": len(content), "empty": 0}[damage]
    path.write_bytes(content[:kept])

    with pytest.raises(StateError, match=r"checkpoint\.npz: is damaged .*remove it to begin anew"):
        tiny_run(tmp_path)


def test_a_checkpoint_holds_no_objects(tmp_path: Path) -> None:
    """Plain arrays alone, private to their owner: reading it runs no code."""
    run, _ = tiny_run(tmp_path)
    list(run.looks(stop_after(2)))

    checkpoint = load_checkpoint(tmp_path)

    assert checkpoint is not None
    assert all(array.dtype != object for array in checkpoint.arrays.values())
    assert checkpoint.header.update == 2
    assert (tmp_path / CHECKPOINT_FILE).stat().st_mode & 0o077 == 0


def test_a_training_that_diverges_ends_with_the_reason(tmp_path: Path) -> None:
    """Returns that are no numbers: the error names the seeds and what to try."""
    task = tiny_task()
    task.table.returns[:] = np.nan
    broken = TrainingTask(task.environment, task.table, task.at_cost_share)
    run = TrainingRun(tiny_plan(), broken, tmp_path, TrainingTimes(Ticks()), lambda _: None, TRAINER)

    with pytest.raises(StateError, match=r"seed 3, 4: a figure of update 1 is not a finite number.*learning_rate"):
        list(run.looks(never))


def test_a_checkpoint_of_a_training_that_is_done_trains_nothing(tmp_path: Path) -> None:
    """All groups are done: it has ended at once."""
    run, _ = tiny_run(tmp_path)
    list(run.looks(never))
    run, results = tiny_run(tmp_path)

    assert run.ended
    assert list(run.looks(never)) == []
    assert results == []
    assert PPO.steps_per_update == 128
