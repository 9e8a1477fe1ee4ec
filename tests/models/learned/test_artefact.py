"""A trained model as a folder: read back as it was, refused where a byte of it is another one, no code is run."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.learned.made_models import (
    BOOSTING,
    LINEAR,
    META_LABEL,
    SIGNAL,
    altered_card,
    made_artefact,
    random_trees,
    write_folder,
)

from quantum_trader.domain.errors import ConfigError, DataError, InputError, QuantumTraderError
from quantum_trader.models.learned.artefact import (
    ARRAYS_FILE,
    CARD_FILE,
    EVIDENCE_FILE,
    LearnedArtefact,
    decode_learned,
    load_learned,
)
from quantum_trader.models.learned.calibration import IsotonicCalibration, PlattCalibration
from quantum_trader.models.learned.feature_list import NAMES

PLACE = Path("model")


@pytest.mark.parametrize("learner", [BOOSTING, LINEAR])
@pytest.mark.parametrize("kind", [SIGNAL, META_LABEL])
@pytest.mark.parametrize("calibration", [
    PlattCalibration(slope=-1.5, intercept=0.2),
    IsotonicCalibration(scores=(-1.0, 0.0, 2.0), probabilities=(0.1, 0.4, 0.9)),
])
def test_what_is_written_is_read_back(tmp_path: Path, learner: str, kind: str, calibration: Any) -> None:
    """The same id, the same probabilities to the bit."""
    made = made_artefact(learner, kind, calibration=calibration)
    rows = np.random.default_rng(2).normal(size=(50, len(made.card.features)))
    rows[rows > 1.5] = np.nan

    again = load_learned(write_folder(tmp_path / "model", made))

    assert again.model_id == made.model_id
    assert again.card == made.card
    assert again.probabilities(rows).tobytes() == made.probabilities(rows).tobytes()
    assert ((again.probabilities(rows) >= 0.0) & (again.probabilities(rows) <= 1.0)).all()


def test_the_id_does_not_depend_on_the_time_of_training_and_does_on_everything_else() -> None:
    """The same training on another day is the same model; another number, setting or evidence is another one."""
    first = made_artefact()

    assert made_artefact(created_ns=999).model_id == first.model_id
    assert made_artefact(seed=2).model_id != first.model_id
    assert made_artefact(training={"seed": 7}).model_id != first.model_id
    assert made_artefact(metrics={"auc": 0.99}).model_id != first.model_id
    assert made_artefact(base_margin=0.26).model_id != first.model_id


@pytest.mark.parametrize("name", [CARD_FILE, ARRAYS_FILE, EVIDENCE_FILE])
@given(st.data())
def test_a_changed_byte_is_noticed(name: str, data: st.DataObject) -> None:
    """Any byte of any file: refused, or read as the same numbers (a byte that holds nothing), or as another id."""
    made = made_artefact(LINEAR, META_LABEL)
    contents = made.encoded()
    at = data.draw(st.integers(0, len(contents[name]) - 1))
    changed = bytearray(contents[name])
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        again = decode_learned(contents | {name: bytes(changed)}, PLACE)
    except QuantumTraderError:
        return
    if again.model_id == made.model_id:
        assert again.encoded()[ARRAYS_FILE] == contents[ARRAYS_FILE]
        assert again.evidence == made.evidence


@given(st.binary(max_size=300), st.sampled_from([CARD_FILE, ARRAYS_FILE, EVIDENCE_FILE]))
def test_any_bytes_are_refused_with_one_kind_of_error(content: bytes, name: str) -> None:
    """Whatever a file holds, a DataError or ConfigError says that it is no model."""
    contents = made_artefact(LINEAR, META_LABEL).encoded()

    with pytest.raises((DataError, ConfigError)):
        decode_learned(contents | {name: content}, PLACE)


def packed(**arrays: Any) -> bytes:
    """An npz file; objects are pickled."""
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


@pytest.mark.parametrize(("arrays", "said"), [
    (packed(center=np.array([object()]), scale=np.ones(3), weight=np.ones(3)), "allow_pickle"),
    (packed(center=np.ones(3), scale=np.ones(3)), "must hold"),
    (packed(center=np.ones(3), scale=np.ones(3), weight=np.ones(3), more=np.ones(3)), "must hold"),
    (packed(center=np.ones(3), scale=np.zeros(3), weight=np.ones(3)), "scale = "),
    (packed(center=np.ones(3), scale=np.ones(3), weight=np.array([1.0, np.nan, 2.0])), "finite"),
    (packed(center=np.ones(4), scale=np.ones(4), weight=np.ones(4)), "must be 3 numbers"),
    (packed(center=np.ones(3, dtype=np.float32), scale=np.ones(3), weight=np.ones(3)), "must be 3 numbers"),
])
def test_arrays_that_are_none_of_a_model_are_refused(arrays: bytes, said: str) -> None:
    """Pickled objects are not unpickled; numbers that are none, of another shape or type, are named."""
    contents = made_artefact(LINEAR, META_LABEL).encoded()

    with pytest.raises(DataError, match=said):
        decode_learned(contents | {ARRAYS_FILE: arrays}, PLACE)


def test_an_archive_that_holds_something_else_than_arrays_is_refused() -> None:
    """A file with the name of an array that is none."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in ("center.npy", "scale.npy", "weight.npy"):
            archive.writestr(name, b"print('hello')")

    with pytest.raises(DataError, match="no array"):
        decode_learned(made_artefact(LINEAR, META_LABEL).encoded() | {ARRAYS_FILE: held.getvalue()}, PLACE)


@pytest.mark.parametrize(("changes", "kind", "said"), [
    ({"format": 2}, DataError, "this program reads 1"),
    ({"kind": "pilot"}, DataError, "is not the card"),
    ({"learner": "forest"}, DataError, "is not the card"),
    ({"bars": "7h"}, DataError, "bars"),
    ({"horizon": "soon"}, DataError, "horizon"),
    ({"base_margin": None}, DataError, "is not the card"),
    ({"unknown": 1}, DataError, "is not the card"),
    ({"features": [*NAMES[:-1], "another"]}, ConfigError, "another"),
    ({"features": list(reversed(NAMES))}, ConfigError, "other features"),
    ({"features_hash": "b" * 64}, ConfigError, "train it again"),
    ({"arrays_hash": "c" * 64}, DataError, "not what was trained"),
    ({"evidence_hash": "d" * 64}, DataError, "not what was trained"),
    ({"calibration": {"kind": "isotonic", "scores": [1.0, 0.0], "probabilities": [0.1, 0.2]}}, DataError, "must not"),
    ({"calibration": {"kind": "isotonic", "scores": [0.0, 1.0], "probabilities": [0.1, 1.2]}}, DataError, "within 0"),
])
def test_a_card_that_does_not_fit_is_refused(changes: dict[str, Any], kind: type[Exception], said: str) -> None:
    """With the key, and what is right."""
    contents = altered_card(made_artefact().encoded(), **changes)

    with pytest.raises(kind, match=said):
        decode_learned(contents, PLACE)


@pytest.mark.parametrize("name", [CARD_FILE, ARRAYS_FILE, EVIDENCE_FILE])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """With its path."""
    folder = write_folder(tmp_path / "model", made_artefact())
    (folder / name).unlink()

    with pytest.raises(DataError, match=name):
        load_learned(folder)


def test_arrays_of_another_model_are_refused() -> None:
    """The card names the hash of its own."""
    made, other = made_artefact(seed=1), made_artefact(seed=2)

    with pytest.raises(DataError, match="arrays_hash"):
        decode_learned(made.encoded() | {ARRAYS_FILE: other.encoded()[ARRAYS_FILE]}, PLACE)


def test_arrays_of_another_learner_are_refused() -> None:
    """A card of a linear model with trees."""
    card = msgspec.structs.replace(made_artefact().card, learner=LINEAR)

    with pytest.raises(InputError, match="LinearArrays"):
        LearnedArtefact(card, random_trees(1, len(NAMES)), b"evidence")
