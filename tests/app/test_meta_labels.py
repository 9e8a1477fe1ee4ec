"""The meta-label that the gates of a run ask: loaded at the start, kept in its folder, the same until its end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.models.learned.made_models import EVIDENCE, made_artefact, random_linear, write_folder

from quantum_trader.app.runs import journal_commands as commands
from quantum_trader.app.runs.meta_labels import META_LABEL_FOLDER, meta_label_for, run_meta_label
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.journal.audit import day_of, record_lines
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH
from quantum_trader.models.gates import GateSettings
from quantum_trader.models.learned.artefact import LINEAR, META_LABEL, LearnedArtefact, arrays_hash

SPAN = {"data.start": "2018-01-01", "data.end": "2018-01-14", "models": ({"model": "intraday-demo"},)}


def trained(seed: int = 1) -> LearnedArtefact:
    """A meta-label on the features that signals have at their entry, with weights that were drawn."""
    arrays = random_linear(seed, len(ENTRY_FEATURES))
    card = msgspec.structs.replace(
        made_artefact(LINEAR, META_LABEL).card, features=ENTRY_FEATURES, features_hash=ENTRY_FEATURES_HASH,
        arrays_hash=arrays_hash(arrays),
    )
    return LearnedArtefact(card, arrays, EVIDENCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a trained meta-label."""
    return write_folder(tmp_path / "label", trained())


def named(folder: Path | str) -> GateSettings:
    """Gates that ask the meta-label in *folder*."""
    return GateSettings(meta_label=str(folder))


def settings(folder: Path, **gates: Any) -> RunSettings:
    """Two weeks of the bundled bars, with gates that ask the meta-label in *folder*."""
    flags = SPAN | {"gates.meta_label": str(folder)} | {f"gates.{key}": value for key, value in gates.items()}
    return load_settings(None, {key: (value, "test") for key, value in flags.items()}).settings


def judged(state: Path) -> list[dict[str, Any]]:
    """What the gates said of each signal on record."""
    lines = [line for _, line in record_lines(state / "records.jsonl")]
    return [json.loads(line)["data"] for line in lines if b'"topic":"signal.judged"' in line]


# ---- loading -------------------------------------------------------------------------------------------------------
def test_a_folder_is_loaded_with_its_id_and_answers(folder: Path) -> None:
    """A probability for a row of features, missing ones too."""
    label = meta_label_for(named(folder))
    assert label is not None
    assert label.model_id == trained().model_id
    assert meta_label_for(GateSettings()) is None


def test_what_is_no_meta_label_of_signals_is_refused_by_name(tmp_path: Path) -> None:
    """No folder, a model of signals, other features, and a registry without a name."""
    with pytest.raises(ConfigError, match=r"gates\.meta_label = .*nowhere.*: is no folder"):
        meta_label_for(named(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="is a signal model, and no meta-label"):
        meta_label_for(named(write_folder(tmp_path / "signal", made_artefact())))
    with pytest.raises(ConfigError, match="was trained on other features"):
        meta_label_for(named(write_folder(tmp_path / "other", made_artefact(LINEAR, META_LABEL))))
    with pytest.raises(ConfigError, match="names no model"):
        meta_label_for(named("registry:"))


def test_a_damaged_one_is_refused(folder: Path) -> None:
    """Its arrays are not those that the card names."""
    write_folder(folder, LearnedArtefact(trained().card, trained().arrays, EVIDENCE))
    (folder / "arrays.npz").write_bytes(trained(2).encoded()["arrays.npz"])
    with pytest.raises(DataError):
        meta_label_for(named(folder))


# ---- one run, one meta-label ---------------------------------------------------------------------------------------
def test_a_run_that_goes_on_has_the_meta_label_it_began_with(tmp_path: Path, folder: Path) -> None:
    """Another one, or none, is refused while inputs were decided on with the first; a new start takes another."""
    state = tmp_path / "state"
    state.mkdir()
    first = run_meta_label(named(folder), state, bound=False)
    assert first is not None
    assert (state / META_LABEL_FOLDER / "card.json").exists()
    again = run_meta_label(named(folder), state, bound=True)
    assert again is not None
    assert again.model_id == first.model_id
    other = write_folder(tmp_path / "other", trained(2))
    with pytest.raises(StateError, match="was begun with the meta-label"):
        run_meta_label(named(other), state, bound=True)
    with pytest.raises(StateError, match="not with none"):
        run_meta_label(GateSettings(), state, bound=True)
    second = run_meta_label(named(other), state, bound=False)
    assert second is not None
    assert second.model_id == trained(2).model_id
    assert run_meta_label(named(other), state, bound=True) is not None


def test_a_run_begun_without_one_does_not_go_on_with_one(tmp_path: Path, folder: Path) -> None:
    """What was decided without it would be decided anew."""
    with pytest.raises(StateError, match="begun with the meta-label none"):
        run_meta_label(named(folder), tmp_path, bound=True)


def test_an_alias_means_the_one_that_is_kept_while_a_run_goes_on(tmp_path: Path, folder: Path) -> None:
    """Wherever the champion has moved; no registry is asked."""
    run_meta_label(named(folder), tmp_path, bound=False)
    kept = run_meta_label(named("registry:champion"), tmp_path, bound=True)
    assert kept is not None
    assert kept.model_id == trained().model_id


# ---- in a run ------------------------------------------------------------------------------------------------------
def test_signals_are_judged_by_it_and_the_run_is_proven_from_its_folder_alone(tmp_path: Path, folder: Path) -> None:
    """Enforced it refuses what it gives too little; its id is on record, and a day replays without its first folder."""
    state = tmp_path / "state"
    run(settings(folder, enforced=["meta_label"]), RunOptions(state_dir=state))
    found = judged(state)
    assert len(found) > 20
    assert {one["meta_label"] for one in found} == {trained().model_id}
    label = meta_label_for(named(folder))
    assert label is not None
    for one in found:
        said = one["gates"][-1]
        row = [float("nan") if value is None else value for value in one["features"].values()]
        assert said["observed"] == label.probability(row)
        assert said["passed"] == (said["observed"] >= 0.45)
    assert {one["gates"][-1]["passed"] for one in found} == {True, False}
    shutil.rmtree(folder)
    days = sorted({day_of(ts_ns) for ts_ns, _ in record_lines(state / "records.jsonl")})
    proof = commands.replay(state, days[-2])
    assert proof.identical, proof.difference
    write_folder(state / META_LABEL_FOLDER, trained(2))
    with pytest.raises(DataError, match="is not the meta-label"):
        commands.replay(state, days[-2])
