"""Models in a registry are judged by the evidence that was registered with them, and by nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.lab.learning.made_evidence import SPAN_NS, made_evidence, made_samples

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import DataError
from quantum_trader.lab.learning.calibration import sigmoid
from quantum_trader.lab.learning.evidence_file import ModelEvidence, encode_evidence
from quantum_trader.lab.learning.registry_evidence import registry_evidence, registry_tracker
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.kinds import PILOT, ReadModel
from quantum_trader.models.learned.artefact import EVIDENCE_FILE

KIND = "noted"


class NotedKind:
    """Models that are a note and its evidence: enough for a registry."""

    file_names = ("note.txt", EVIDENCE_FILE)

    def read(self, contents: Mapping[str, bytes], place: Path) -> ReadModel:
        """The note."""
        whole = contents["note.txt"] + contents[EVIDENCE_FILE]
        return ReadModel(
            artefact=contents["note.txt"], model_id=hashlib.sha256(whole).hexdigest(), name="noted", created_ns=0,
            features_hash="f" * 64, data={}, metrics={},
        )


def registered(registry: ModelRegistry, folder: Path, note: str, evidence: ModelEvidence) -> str:
    """The id of a model with this evidence."""
    folder.mkdir()
    (folder / "note.txt").write_text(note)
    (folder / EVIDENCE_FILE).write_bytes(encode_evidence(evidence))
    return registry.register_model(folder, KIND).record.model_id


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    """An empty registry of noted models."""
    return ModelRegistry(tmp_path / "registry", kinds={KIND: NotedKind()})


def test_a_challenger_is_judged_against_the_champion(registry: ModelRegistry, tmp_path: Path) -> None:
    """By alias and by id; the better one is ready, the champion is not promoted again."""
    samples = made_samples(1)
    weak = made_evidence("x", samples, sigmoid(0.1 * samples["score"] + 0.5), data_until_ns=SPAN_NS - NS_PER_DAY)
    champion = registered(registry, tmp_path / "a", "weak", weak)
    challenger = registered(registry, tmp_path / "b", "good", made_evidence("x", samples, sigmoid(samples["score"])))
    tracker = registry_tracker(registry, KIND)
    assert tracker.is_ready_for_hamilton(challenger).champion_id == ""
    for model_id, alias in ((champion, "champion"), (challenger, "challenger")):
        registry.promote(model_id, alias, actor="a", reason="r", seen_version=None, kind=KIND)
    found = tracker.is_ready_for_hamilton("challenger")
    assert (found.model_id, found.champion_id) == (challenger, champion)
    assert found.ready, found.blockers
    assert tracker.compare_models("challenger", "champion").is_better
    assert not tracker.is_ready_for_hamilton(champion).ready


def test_altered_and_missing_evidence_is_not_used(registry: ModelRegistry, tmp_path: Path) -> None:
    """DataError, and so a blocker; a model that is not there too."""
    samples = made_samples(1)
    model_id = registered(registry, tmp_path / "a", "good", made_evidence("x", samples, sigmoid(samples["score"])))
    assert registry_evidence(registry, model_id, KIND).model_id == model_id
    path = registry.folder / "models" / model_id / EVIDENCE_FILE
    path.write_bytes(encode_evidence(made_evidence("x", samples, samples["labels"])))
    with pytest.raises(DataError, match="was altered"):
        registry_evidence(registry, model_id, KIND)
    assert not registry_tracker(registry, KIND).is_ready_for_hamilton(model_id).ready
    with pytest.raises(DataError, match="no model of it"):
        registry_evidence(registry, "f" * 64, KIND)


def test_a_pilot_has_no_evidence(tmp_path: Path) -> None:
    """It is no signal model, and the error says what is missing."""
    from quantum_trader.app.runs.pilot_run import bundled_folder

    registry = ModelRegistry(tmp_path / "registry")
    model_id = registry.register_model(bundled_folder(), PILOT).record.model_id
    with pytest.raises(DataError, match="has no evidence.npz"):
        registry_evidence(registry, model_id, PILOT)
