"""Training from samples to models: finds a known signal, none in noise, calls a peeking feature, survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.lab.learning.made_tables import QUICK, made_plan, made_table, options

from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.lab.learning import model_folders
from quantum_trader.lab.learning.evidence_file import ModelEvidence, encode_evidence, evidence_in
from quantum_trader.lab.learning.evolution import ModelEvolutionTracker
from quantum_trader.lab.learning.learning_result import LearningDocument, load_learning
from quantum_trader.lab.learning.learning_run import LearningPlan, train_models
from quantum_trader.lab.learning.learning_settings import LearningSettings
from quantum_trader.lab.learning.probability_scores import auc_of
from quantum_trader.lab.learning.trainer import LearningLook
from quantum_trader.lab.learning.training_table import SampleTable
from quantum_trader.lab.trials.record import Trial
from quantum_trader.models.learned.artefact import BOOSTING, LINEAR, MOST_BYTES, load_learned
from quantum_trader.models.learned.trees import MOST_FEATURES

pytest.importorskip("xgboost")
pytest.importorskip("sklearn")
ROOT = Path(__file__).resolve().parents[3]


def train(folder: Path, table: SampleTable, plan: LearningPlan | None = None, **changes: object) -> LearningDocument:
    """Train *table* in *folder* to the end."""
    document = train_models(
        folder, table, plan or made_plan(table), options(**changes), lambda line: None, lambda: 5
    )
    assert document is not None
    return document


def ready(folder: Path, document: LearningDocument, learner: str) -> tuple[bool, tuple[str, ...]]:
    """Whether the model of *learner* is ready for production, and what stands in the way."""
    ids = {one.model_id: folder / one.folder for one in document.models}
    wanted = next(one.model_id for one in document.models if one.learner == learner)
    found = ModelEvolutionTracker(lambda model_id: evidence_in(ids[model_id], model_id)).is_ready_for_hamilton(wanted)
    return found.ready, found.blockers


def test_a_known_signal_is_found(tmp_path: Path) -> None:
    """AUC near that of the true odds, the right features on top, calibrated, ready; the linear model sees less."""
    table = made_table(strength=1.5, count=6_000)
    document = train(tmp_path, table)
    boosted, linear = document.models
    assert (boosted.learner, linear.learner) == (BOOSTING, LINEAR)
    odds = table.rows[:, 0] + 0.7 * table.rows[:, 1] ** 2
    best = auc_of(table.labels, odds)

    scores = boosted.result.together.scores

    assert best - 0.03 < scores.auc.value < best + 0.02
    assert scores.auc.low > linear.result.together.scores.auc.value, "the curve is not linear"
    assert {one.name for one in boosted.importance[:2]} == {"signal", "curve"}
    assert scores.ece.value < 0.06
    assert all(one.log_loss.high < 0.0 for one in boosted.result.together.comparisons), "beats both baselines"
    assert boosted.result.p_value < 1e-6
    assert ready(tmp_path, document, BOOSTING) == (True, ())


def test_nothing_is_found_in_noise(tmp_path: Path) -> None:
    """AUC of one half within its interval; readiness refuses and says why."""
    document = train(tmp_path, made_table(strength=0.0))

    for one in document.models:
        scores = one.result.together.scores
        assert scores.auc.low < 0.5 < scores.auc.high
        is_ready, blockers = ready(tmp_path, document, one.learner)
        assert not is_ready
        assert any("AUC" in told for told in blockers)


@pytest.mark.long
def test_readiness_refuses_models_of_noise(tmp_path: Path) -> None:
    """In at least 95 of 100 trainings on labels that nothing explains."""
    settings = msgspec.structs.replace(QUICK, folds=3, importance_rows=0, contribution_rows=0)
    passed = 0
    for seed in range(100):
        table = made_table(seed=seed, strength=0.0, count=2_000)
        document = train(tmp_path / str(seed), table, made_plan(table, settings))
        passed += any(ready(tmp_path / str(seed), document, one.learner)[0] for one in document.models)

    assert passed <= 5


@pytest.mark.parametrize("peek", [0.02, 0.5])
def test_a_feature_that_peeks_is_called_by_its_name(tmp_path: Path, peek: float) -> None:
    """A column that is the label with some noise: the model looks perfect, and readiness refuses it as a leak."""
    document = train(tmp_path, made_table(peek=peek))
    boosted = document.models[0]

    is_ready, blockers = ready(tmp_path, document, BOOSTING)

    assert boosted.result.together.scores.auc.value > 0.9
    assert not is_ready
    assert any("leakage" in told and "noise_3" in told for told in blockers)
    assert [one.feature for one in document.leakage] == ["noise_3"]


def test_a_feature_of_later_data_is_proved_by_cutting_them_off(tmp_path: Path) -> None:
    """A weak peek ranks no better than honest features do; computed anew from what was known, it is another number."""
    table = made_table(peek=4.0)
    honest = made_table()
    plan = msgspec.structs.replace(
        made_plan(table), recompute=lambda row: honest.rows[row].astype(np.float64)
    )

    document = train(tmp_path, table, plan)

    assert [(one.check, one.feature) for one in document.leakage] == [("truncation", "noise_3")]
    assert not ready(tmp_path, document, BOOSTING)[0]


def test_a_row_that_was_known_after_its_decision_is_a_leak(tmp_path: Path) -> None:
    """One sample whose newest datum is an hour late."""
    table = made_table()
    known = table.known_ns.copy()
    known[17] += 3_600_000_000_000
    document = train(tmp_path, msgspec.structs.replace(table, known_ns=known))

    assert {one.check for one in document.leakage} == {"feature_times"}
    assert not ready(tmp_path, document, BOOSTING)[0]


def test_no_training_label_reaches_into_its_test(tmp_path: Path) -> None:
    """Each fold's training and calibration end before the test begins, by the embargo at least."""
    from quantum_trader.lab.learning.purged_folds import purged_walk_forward

    table = made_table()
    folds = purged_walk_forward(
        table.starts_ns, table.ends_ns, QUICK.folds, QUICK.embargo_ns, first_share=QUICK.first_share
    )
    document = train(tmp_path, table)

    for fold in folds:
        assert table.ends_ns[fold.train].max() < fold.test_from - QUICK.embargo_ns
    told = document.models[0].result.folds
    assert [one.number for one in told] == [2, 3, 4], "the first test calibrates the second"
    assert [one.test_from_ns for one in told] == [fold.test_from for fold in folds[1:]]
    assert all(one.calibrated_on <= sum(len(fold.test) for fold in folds[: one.number - 1]) for one in told)
    assert all(one.calibration in ("platt", "isotonic") for one in told)


def test_the_same_training_gives_the_same_models_at_any_time(tmp_path: Path) -> None:
    """Ids do not depend on the folder or on the clock; another seed gives others."""
    table = made_table()
    first = train(tmp_path / "a", table)
    later = train_models(
        tmp_path / "b", table, made_plan(table), options(threads=2), lambda line: None, lambda: 10**18
    )
    other = train(tmp_path / "c", table, made_plan(table, msgspec.structs.replace(QUICK, seed=9)))

    assert later is not None
    assert [one.model_id for one in later.models] == [one.model_id for one in first.models]
    assert other.models[0].model_id != first.models[0].model_id


def test_what_is_saved_is_what_the_document_says(tmp_path: Path) -> None:
    """Models load by their ids; the document reads back; a training that is done is not done again."""
    table, told = made_table(), []
    document = train(tmp_path, table)

    for one in document.models:
        assert load_learned(tmp_path / one.folder).model_id == one.model_id
    assert not (tmp_path / "steps").exists()
    read = load_learning(tmp_path)
    assert read is not None
    assert msgspec.json.encode(read, order="deterministic") == msgspec.json.encode(document, order="deterministic")
    again = train_models(tmp_path, table, made_plan(table), options(), told.append, lambda: 9)
    assert again is not None
    assert [one.model_id for one in again.models] == [one.model_id for one in document.models]
    assert "is done" in told[0]


def test_evidence_of_more_samples_than_a_file_may_hold_keeps_the_same_ones_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with the smallest keys, in order of time: another training's evidence has samples in common with it."""
    whole = train(tmp_path / "whole", made_table(1, 1_500)).models[0]
    monkeypatch.setattr(model_folders, "MOST_EVIDENCE_SAMPLES", 200)
    monkeypatch.setattr(model_folders, "MOST_REFERENCE_NUMBERS", 60)

    cut = train(tmp_path / "cut", made_table(1, 1_500)).models[0]

    everything, kept = (
        evidence_in(tmp_path / name / one.folder, one.model_id) for name, one in (("whole", whole), ("cut", cut))
    )
    places = np.flatnonzero(np.isin(everything.keys, np.sort(everything.keys)[:200]))
    assert len(everything.keys) > 500
    for name in ("keys", "probabilities", "labels", "starts_ns", "ends_ns", "weights"):
        assert getattr(kept, name).tolist() == getattr(everything, name)[places].tolist()
    assert kept.reference_features is not None
    assert len(kept.reference_features) == 10
    assert cut.result == whole.result, "the report counts every sample"


def test_the_largest_evidence_fits_into_a_models_file() -> None:
    """A million samples and the reference rows, as evidence writes them: below the 64 MiB that are read."""
    count = model_folders.MOST_EVIDENCE_SAMPLES
    evidence = ModelEvidence(
        model_id="", created_ns=0, data_from_ns=0, data_until_ns=0, features_hash="f" * 64,
        keys=np.arange(count, dtype=np.uint64), probabilities=np.full(count, 0.5), labels=np.zeros(count),
        starts_ns=np.zeros(count, np.int64), ends_ns=np.zeros(count, np.int64), weights=np.ones(count),
        feature_names=tuple(f"feature {n}" for n in range(MOST_FEATURES)),
        reference_features=np.zeros((model_folders.MOST_REFERENCE_NUMBERS // MOST_FEATURES, MOST_FEATURES)),
    )
    assert len(encode_evidence(evidence)) <= MOST_BYTES


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    """Other settings or other data are named with both values, done or begun."""
    table = made_table()
    train(tmp_path / "done", table)
    stopped = train_models(
        tmp_path / "begun", table, made_plan(table), options(stop=lambda: True), lambda line: None, lambda: 5
    )
    other = made_plan(table, msgspec.structs.replace(QUICK, folds=3))

    assert stopped is None
    for name in ("done", "begun"):
        with pytest.raises(ConfigError, match="folds = 4, and this training has 3"):
            train(tmp_path / name, table, other)
        with pytest.raises(ConfigError, match=r"content_hash|features_hash"):
            train(tmp_path / name, made_table(seed=2))


def test_every_learner_is_recorded_as_a_trial_before_and_after(tmp_path: Path) -> None:
    """Before the training without figures, afterwards with p-value and model, by the same run."""
    table, recorded = made_table(), list[tuple[list[Trial], str]]()
    train_models(
        tmp_path, table, made_plan(table), options(), lambda line: None, lambda: 5,
        lambda trials, run: recorded.append((list(trials), run)),
    )
    (before, run), (after, same_run) = recorded

    assert run == same_run
    assert [one.identity for one in before] == [one.identity for one in after]
    assert [one.p_value for one in before] == [None, None]
    assert all(one.p_value is not None and one.model_id for one in after)
    assert len({one.settings_hash for one in after}) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.lab.learning.made_tables import QUICK, made_plan, made_table, options
from quantum_trader.lab.learning.learning_run import train_models

def look(one):
    if one.step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

table = made_table()
train_models(Path(sys.argv[1]), table, made_plan(table), options(look=look), print, lambda: 5)
"""


@pytest.mark.parametrize("step", [1, 14, *(pytest.param(step, marks=pytest.mark.long) for step in (5, 9))])
def test_a_killed_training_goes_on_to_the_same_models(tmp_path: Path, step: int) -> None:
    """SIGKILL after a step, the last one too: the same ids, documents and bytes as without it; done steps stay."""
    table = made_table()
    whole = train(tmp_path / "whole", table)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(step)], env=environ, capture_output=True,
        timeout=300, check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert not (tmp_path / "killed" / "learning.json").exists()
    looks: list[LearningLook] = []

    gone_on = train(tmp_path / "killed", table, look=looks.append)

    assert len(looks) == looks[0].steps == 14
    assert gone_on.resumed_steps == step
    for one, other in zip(whole.models, gone_on.models, strict=True):
        assert one.model_id == other.model_id
        for name in ("card.json", "arrays.npz", "evidence.npz"):
            assert (tmp_path / "whole" / one.folder / name).read_bytes() == (
                tmp_path / "killed" / other.folder / name).read_bytes()


def test_a_damaged_step_is_named(tmp_path: Path) -> None:
    """With what to do; the others are kept."""
    table, seen = made_table(), []

    def stop() -> bool:
        seen.append(1)
        return len(seen) == 3

    train_models(tmp_path, table, made_plan(table), options(stop=stop), lambda line: None, lambda: 5)
    path = tmp_path / "steps" / "fold-1-boosting-learner.npz"
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(StateError, match=r"fold-1-boosting-learner.*remove it"):
        train(tmp_path, table)
    path.unlink()
    assert train(tmp_path, table).resumed_steps == 2


def test_a_damaged_document_is_named(tmp_path: Path) -> None:
    """It is not taken for a training that is done."""
    (tmp_path / "learning.json").write_text("{}")

    with pytest.raises(DataError, match="is not what a training writes"):
        train(tmp_path, made_table())


def test_a_training_needs_enough_samples_for_its_folds(tmp_path: Path) -> None:
    """An embargo longer than the data leaves nothing to train on, and the message says what to change."""
    table = made_table(count=400)

    with pytest.raises(ValueError, match="shorter embargo"):
        train(tmp_path, table, made_plan(table, msgspec.structs.replace(QUICK, embargo="9000h")))


@pytest.mark.parametrize(("changes", "said"), [
    ({"learners": ("forest",)}, "--learners 'forest'"), ({"learners": ()}, "--learners"),
    ({"folds": 1}, "--folds = 1"), ({"embargo": "a day"}, "--embargo = 'a day'"), ({"seed": -1}, "--seed = -1"),
])
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], said: str) -> None:
    """By the option that sets them."""
    with pytest.raises(ValueError, match=said):
        LearningSettings(**changes)  # type: ignore[arg-type]
