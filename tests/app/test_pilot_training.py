"""One training in a folder: its pilots, its document, its rows in the journal, and going on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest

pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from tests.lab.pilot.tiny import TRAINER, UPDATES, Ticks, never, stop_after, tiny_plan, tiny_task
from tests.pilot.test_artefact import artefact

from quantum_trader.app.runs import pilot_training
from quantum_trader.app.runs.pilot_training import TrainingOptions, free_bytes, quartiles, train_pilot
from quantum_trader.app.runs.training_screen import TrainingLines, time_text, training_table
from quantum_trader.domain.errors import ConfigError, DataError, InputError
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.pilot.training_checkpoint import CHECKPOINT_FILE
from quantum_trader.lab.pilot.training_market import PilotTrainingSettings, TrainingMarket, training_market
from quantum_trader.lab.pilot.training_plan import CurriculumSettings, seed_groups, seeds_that_fit
from quantum_trader.lab.pilot.training_result import (
    LOWEST_RULE,
    MEDIAN_RULE,
    RESULT_FILE,
    PilotMaterial,
    TrainingDocument,
    load_document,
    seed_to_use,
)
from quantum_trader.lab.pilot.training_run import TrainingTimes
from quantum_trader.market.recording import open_recording
from quantum_trader.pilot.artefact import load_artefact, weights_hash
from quantum_trader.pilot.episode import EnvironmentSettings
from quantum_trader.pilot.shadow_book import PositionSettings
from quantum_trader.pilot.training.settings import PpoSettings

NOW_NS: Final = 1_700_000_000_000_000_000


def tiny_market() -> TrainingMarket:
    """The tiny task, with the card of another test."""
    card = artefact().card
    material = PilotMaterial(
        observation=card.observation, scalers=card.scalers, data=card.data, training={"ppo.epochs": 2}, made_with="x",
        stop_atr=2.5,
    )
    return TrainingMarket(tiny_task(), material, {})


def options(folder: Path, stop: object = never, at_once: int = 8) -> TrainingOptions:
    """A clock that moves by itself, and a trainer whose programs are compiled."""
    times = TrainingTimes(Ticks(), look_s=5.0, checkpoint_s=5.0)
    return TrainingOptions(folder / "journal", times, stop, at_once, lambda: NOW_NS, TRAINER)  # type: ignore[arg-type]


def train(
    folder: Path, told: list[str], stop: object = never, seeds: tuple[int, ...] = (3, 4)
) -> TrainingDocument | None:
    """Train the tiny plan, two seeds at once."""
    return train_pilot(folder, tiny_plan(seeds), tiny_market(), TrainingLines(told.append), options(folder, stop, 2))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingDocument, list[str]]:
    """A training that is done: its folder, its document, and what was told."""
    folder, told = tmp_path_factory.mktemp("trained"), list[str]()
    document = train(folder, told)
    assert document is not None
    return folder, document, told


def test_the_stop_of_the_training_is_the_stop_of_the_pilot(
    trained: tuple[Path, TrainingDocument, list[str]]
) -> None:
    """It stands in the card, from which a running system and an evaluation take it."""
    folder, _, _ = trained
    recording = open_recording(symbols=("BTCUSDT",), start="2018-01-01", end="2018-01-20")
    positions = PositionSettings(stop_atr=2.0)
    settings = PilotTrainingSettings(environment=EnvironmentSettings(episode_bars=48, positions=positions))

    assert training_market(recording, settings, "x").material.stop_atr == 2.0
    assert load_artefact(folder / "seed-3").card.stop_atr == 2.5
    with pytest.raises(ConfigError, match=r"stop_atr = 50"):
        PositionSettings(stop_atr=50.0)


def test_each_seed_is_a_pilot_that_loads(trained: tuple[Path, TrainingDocument, list[str]]) -> None:
    """Its hash is the one in the document, and its card states settings, figures and data."""
    folder, document, _ = trained

    assert [one.seed for one in document.seeds] == [3, 4]
    for one in document.seeds:
        found = load_artefact(folder / one.folder)
        assert weights_hash(found.weights) == one.weights_hash == found.card.weights_hash
        assert found.card.identity == one.model
        assert found.card.training["seed"] == one.seed
        assert found.card.training["ppo.epochs"] == 2
        assert found.card.metrics == one.metrics
        assert {"mean_reward", "episode_reward", "entropy", "reward_scale"} <= one.metrics.keys()
    assert len({one.network_hash for one in document.seeds}) == 2


def test_the_document_states_everything(trained: tuple[Path, TrainingDocument, list[str]]) -> None:
    """It is read back as it was, the checkpoint is gone, and the seed to use follows a stated rule."""
    folder, document, _ = trained

    assert load_document(folder) == document
    assert not (folder / CHECKPOINT_FILE).exists()
    assert (document.seed_to_use, document.seed_rule) == (3, LOWEST_RULE)
    assert document.steps == UPDATES * 128
    assert document.identity["ppo.hidden"] == [16, 16]
    assert {"quantum-trader", "jax", "optax", "numpy", "python"} == document.versions.keys()
    assert document.device == "CPU" or document.device.startswith("GPU")


def test_the_journal_has_a_row_for_each_look(trained: tuple[Path, TrainingDocument, list[str]]) -> None:
    """With typed columns; then a row for each seed's training, and one for each pilot that was registered."""
    folder, document, told = trained
    lake = Lake(folder / "journal")

    looks = lake.sql("select * from pilot_trainings order by seq").to_pylist()
    assert len(looks) == sum("update" in line and "entropy" in line for line in told) > 1
    assert looks[-1]["update"] == looks[-1]["updates"] == UPDATES
    assert looks[-1]["session_id"] == document.session
    assert looks[-1]["reward_low"] <= looks[-1]["reward_median"] <= looks[-1]["reward_high"]
    assert len(looks[-1]["rewards"]) == 2
    assert looks[0]["cost_share"] < 1.0 == looks[-1]["cost_share"]
    assert [row["seed"] for row in lake.sql("select seed from trainings order by seq").to_pylist()] == [3, 4]
    registered = lake.sql("select model_id, change from models order by seq").to_pylist()
    assert registered == [{"model_id": one.model, "change": "registered"} for one in document.seeds]


def test_a_training_that_is_done_is_not_done_again(trained: tuple[Path, TrainingDocument, list[str]]) -> None:
    """The same document, without a new row; other settings are refused with key, values and what to do."""
    folder, document, _ = trained
    told: list[str] = []

    assert train(folder, told) == document
    assert told == [f"{folder}: this training is done; its results stand"]
    with pytest.raises(ConfigError, match=r"steps = 1280, and this training has 1408; give the settings"):
        train_pilot(folder, tiny_plan(updates=11), tiny_market(), TrainingLines(told.append), options(folder))


def test_a_stopped_training_goes_on(tmp_path: Path) -> None:
    """Stopped in the second group of two: nothing is done yet; then the weights are those of an unstopped one."""
    told, seeds = list[str](), (3, 4, 5, 6)
    assert train(tmp_path / "stopped", told, stop_after(UPDATES + 4), seeds) is None
    assert not (tmp_path / "stopped" / RESULT_FILE).exists()
    document = train(tmp_path / "stopped", told, seeds=seeds)
    whole = train(tmp_path / "whole", told, seeds=seeds)

    assert document is not None
    assert whole is not None
    assert [one.network_hash for one in document.seeds] == [one.network_hash for one in whole.seeds]
    assert [one.metrics for one in document.seeds] == [one.metrics for one in whole.seeds]
    assert "going on from the checkpoint: group 2 of 2, update 4" in told
    assert any(line.startswith("device CPU; 4 seeds, in 2 groups of 2 to 2; 10 updates") for line in told)


def test_a_damaged_document_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / RESULT_FILE).write_text("{")

    with pytest.raises(DataError, match=r"training\.json: is not what a training writes"):
        train(tmp_path, [])


@pytest.mark.parametrize(("results", "expected"), [
    ({1: 0.3, 2: -0.1, 3: 0.9}, 1), ({1: 0.3, 2: -0.1, 3: 0.9, 4: 0.5}, 1), ({1: 0.5, 2: 0.5, 3: 0.5}, 1),
    ({7: 1.0}, 7),
])
def test_the_seed_to_use_is_the_median_and_never_the_best(results: dict[int, float], expected: int) -> None:
    """Of an even number the lower one in the middle, of equal ones the lowest seed."""
    assert seed_to_use(tuple(results), results) == (expected, MEDIAN_RULE)


def test_a_seed_without_a_result_is_refused() -> None:
    """All results or none."""
    with pytest.raises(InputError, match=r"held_out = \[1\]: must have a result for each of \[1, 2\]"):
        seed_to_use((1, 2), {1: 0.5})


def test_groups_are_as_even_as_can_be() -> None:
    """Ten seeds with room for four: 4, 3 and 3. Half of the free memory is used."""
    assert [len(group) for group in seed_groups(range(10), 4)] == [4, 3, 3]
    assert [seed for group in seed_groups(range(10), 4) for seed in group] == list(range(10))
    assert (seeds_that_fit(32, 100, 1000), seeds_that_fit(32, 1, 1000), seeds_that_fit(32, 10_000, 1000)) == (5, 32, 1)


def test_free_memory_is_that_of_machine_and_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller of both; "max" is no limit; without figures it is 4 GiB."""
    names = ("meminfo", "memory.max", "memory.current")
    memory, *group = (tmp_path / name for name in names)
    monkeypatch.setattr(pilot_training, "_MEMORY", memory)
    monkeypatch.setattr(pilot_training, "_GROUP_MEMORY", tuple(group))
    monkeypatch.setattr(pilot_training, "free_device_bytes", lambda: None)
    found = []
    for texts in ((), ("MemTotal: 9 kB\nMemAvailable: 8 kB\n",), ("MemAvailable: 8 kB", "5000", "1000"),
                  ("MemAvailable: 8 kB", "max", "1000")):
        for path, text in zip((memory, *group), texts, strict=False):
            path.write_text(text)
        found.append(free_bytes())

    assert found == [4 << 30, 8192, 4000, 8192]


def test_costs_rise_linearly_to_all_of_them() -> None:
    """From a fifth to all over the first half; without a setting they are full from the beginning."""
    rising = CurriculumSettings(first_cost_share=0.2, full_costs_after=0.5)

    assert [rising.cost_share(done) for done in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.2, 0.6, 1.0, 1.0])
    assert CurriculumSettings().cost_share(0.0) == 1.0


@pytest.mark.parametrize(("given", "message"), [
    ({"first_cost_share": -0.1}, r"curriculum.first_cost_share = -0.1: must lie within 0 and 1"),
    ({"full_costs_after": float("nan")}, r"curriculum.full_costs_after = nan: must lie within 0 and 1"),
    ({"first_cost_share": 0.5, "full_costs_after": 0.0}, r"costs are full from the first update"),
])
def test_a_curriculum_that_cannot_be_is_refused(given: dict[str, float], message: str) -> None:
    """The error names the key."""
    with pytest.raises(ConfigError, match=message):
        CurriculumSettings(**given)


def test_plans_that_cannot_be_are_refused() -> None:
    """No seeds, one twice, less than an update."""
    for changes, message in (
        ({"seeds": ()}, r"seeds = 0: must be 1 to 1024"), ({"seeds": (1, 1)}, r"one is named twice"),
        ({"ppo": PpoSettings(environments=4096)}, r"steps = 1280: an update takes 262144 steps"),
    ):
        with pytest.raises((ConfigError, InputError), match=message):
            tiny_plan(**changes)


def test_a_terminal_shows_a_table(trained: tuple[Path, TrainingDocument, list[str]]) -> None:
    """Progress, quartiles of each figure, the course of the reward."""
    from rich.console import Console

    from quantum_trader.lab.pilot.training_run import TrainingLook

    look = TrainingLook(
        group=1, groups=2, seeds=(1, 2, 3), update=5, updates=10, steps=640, steps_per_s=1234.5, eta_s=90.0,
        elapsed_s=3.0, cost_share=0.6, figures={"mean_reward": [0.1, 0.2, 0.3]}, terms={"profit": [0.1, 0.2, 0.4]},
    )
    console = Console(width=100, record=True)
    console.print(training_table(look, [0.1, 0.2], 100))

    shown = console.export_text()
    for text in ("50.0%", "group 1 of 2", "3 seeds", "1,234 steps/s", "costs 60%", "2 min to go", "+0.2", "profit"):
        assert text in shown, text
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)
    assert [time_text(seconds) for seconds in (5.0, 600.0, 9000.0)] == ["5 s", "10 min", "2.5 h"]
    assert msgspec.json.decode(msgspec.json.encode(look), type=TrainingLook) == look
