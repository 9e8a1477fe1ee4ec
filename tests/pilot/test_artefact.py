"""A trained pilot as a folder: what is read is what was written, and nothing else is read."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.pilot.test_network import observations, random_weights

from quantum_trader.domain.errors import ConfigError, DataError, InputError
from quantum_trader.pilot.artefact import (
    CARD_FILE,
    MOST_BYTES,
    WEIGHTS_FILE,
    Artefact,
    Card,
    DataSnapshot,
    load_artefact,
    save_artefact,
    weights_hash,
)
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.scaling import default_scalers
from quantum_trader.pilot.settings import ObservationSettings


def artefact() -> Artefact:
    """A small one with random weights."""
    weights, observation = random_weights(widths=(16, 8)), ObservationSettings()
    card = Card(
        name="test", created_ns=1, observation=observation, scalers=default_scalers(observation),
        data=DataSnapshot(source="made up", symbols=("BTCUSDT",), interval="30m", first_ns=1, last_ns=2),
        training={"steps": 10, "seed": 3}, metrics={"sharpe": -0.4, "turnover": None},
        weights_hash=weights_hash(weights),
    )
    return Artefact(card=card, weights=weights)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a trained pilot."""
    save_artefact(tmp_path / "pilot", artefact())
    return tmp_path / "pilot"


def test_what_is_read_is_what_was_written(folder: Path) -> None:
    """Card, weights to the bit, identity; written twice the files have the same bytes."""
    made, read = artefact(), load_artefact(folder)
    assert read.card == made.card
    assert read.card.identity == made.card.identity
    rows = observations(10)
    assert np.array_equal(Network(read.weights).logits(rows), Network(made.weights).logits(rows))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save_artefact(folder, made)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(before) == [CARD_FILE, WEIGHTS_FILE]


def test_the_identity_depends_on_everything_the_card_says() -> None:
    """Other weights or other scalers are another model."""
    card = artefact().card
    others = (
        msgspec.structs.replace(card, weights_hash="0" * 64),
        msgspec.structs.replace(card, scalers=msgspec.structs.replace(card.scalers, fitted_on="other bars")),
        msgspec.structs.replace(card, training={"steps": 11, "seed": 3}),
    )
    assert len({card.identity, *(other.identity for other in others)}) == 4


def test_exchanged_weights_are_refused(folder: Path) -> None:
    """Also where they are a pilot's weights themselves."""
    other = artefact()
    np.savez(folder / WEIGHTS_FILE, **{
        f"{layer}.{part}": array * np.float32(1.0001)
        for layer in ("hidden_1", "hidden_2", "actions")
        for part, array in zip(("matrix", "bias"), getattr(other.weights, layer), strict=True)
    })
    with pytest.raises(DataError, match="not those that were trained"):
        load_artefact(folder)
    with pytest.raises(InputError, match="weights_hash"):
        save_artefact(folder, msgspec.structs.replace(other, weights=random_weights(7, (16, 8))))


def edited(folder: Path, **changes: object) -> None:
    """Change the card by hand."""
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | changes))


def test_a_model_of_other_features_is_refused(folder: Path) -> None:
    """Its scalers name another list of features: it was trained on something else."""
    card = json.loads((folder / CARD_FILE).read_text())
    edited(folder, scalers=card["scalers"] | {"feature_hash": "ab" * 32})
    with pytest.raises(ConfigError, match="made with other features"):
        load_artefact(folder)


def test_a_model_of_other_actions_is_refused(folder: Path) -> None:
    """The same output must not mean short in training and long when it trades."""
    card = json.loads((folder / CARD_FILE).read_text())
    edited(folder, actions=[card["actions"][0], *card["actions"][:0:-1]])
    with pytest.raises(ConfigError, match=r"actions = .*train the model again"):
        load_artefact(folder)


def test_weights_cannot_run_code(folder: Path) -> None:
    """An array of Python objects, which numpy would unpickle, is not read."""
    np.savez(folder / WEIGHTS_FILE, **{"hidden_1.matrix": np.array([print], dtype=object)})
    with pytest.raises(DataError, match="does not hold a pilot's weights"):
        load_artefact(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_damaged_files_are_named(folder: Path, content: bytes) -> None:
    """The path, and what it should be."""
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(DataError, match=WEIGHTS_FILE):
        load_artefact(folder)
    (folder / CARD_FILE).write_bytes(content)
    with pytest.raises(DataError, match="is not the card of a trained pilot"):
        load_artefact(folder)
    (folder / CARD_FILE).unlink()
    with pytest.raises(DataError, match="name the folder of a trained pilot"):
        load_artefact(folder)


def test_a_card_of_another_format_is_refused(folder: Path) -> None:
    """It may mean something else by the same words."""
    edited(folder, format=2)
    with pytest.raises(DataError, match="format = 2: this program reads 1"):
        load_artefact(folder)


def packed(folder: Path, name: str, content: bytes, **how: Any) -> None:
    """Put a weights file of one array into *folder*."""
    with zipfile.ZipFile(folder / WEIGHTS_FILE, "w", **how) as file:
        file.writestr(name, content)


def test_weights_that_unpack_to_more_than_they_may_are_refused(folder: Path) -> None:
    """A small file of zeros that would fill the memory is not unpacked."""
    packed(folder, "hidden_1.matrix.npy", bytes(MOST_BYTES + 1), compression=zipfile.ZIP_DEFLATED)
    assert (folder / WEIGHTS_FILE).stat().st_size < 1 << 20
    with pytest.raises(DataError, match="unpacked it is larger than 64 MiB"):
        load_artefact(folder)


def header(shape: str) -> bytes:
    """The head of an array that says it has *shape*."""
    said = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(said).to_bytes(2, "little") + said


@pytest.mark.parametrize("content", [
    header("(9000000000000000,)"), header("(-1, 64)"), header("(4, 64)"), header("(2.5,)"), header("__import__('os')"),
])
def test_an_array_that_is_not_what_its_head_says_is_refused(folder: Path, content: bytes) -> None:
    """Too large for any memory, negative, cut off, no whole number, no shape at all."""
    packed(folder, "hidden_1.matrix.npy", content)
    with pytest.raises(DataError, match="does not hold a pilot's weights"):
        load_artefact(folder)


def test_a_file_of_one_array_and_a_damaged_part_are_refused(folder: Path) -> None:
    """Neither is an archive of a pilot's arrays."""
    whole = (folder / WEIGHTS_FILE).read_bytes()
    with (folder / WEIGHTS_FILE).open("wb") as file:
        np.save(file, np.zeros(3, dtype=np.float32))
    with pytest.raises(DataError, match="does not hold a pilot's weights"):
        load_artefact(folder)
    for place in range(60, len(whole), 97):
        (folder / WEIGHTS_FILE).write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with suppress(DataError):  # some places hold nothing that counts
            load_artefact(folder)


@pytest.mark.parametrize(("key", "value"), [
    ("created_ns", 1 << 70), ("created_ns", -1), ("outcomes_until_ns", 1 << 63),
    ("data", {"source": "x", "symbols": [], "interval": "30m", "first_ns": 2, "last_ns": 1}),
    ("data", {"source": "x", "symbols": [], "interval": "30m", "first_ns": 0, "last_ns": 1 << 64}),
])
def test_a_card_with_impossible_times_is_refused(folder: Path, key: str, value: Any) -> None:
    """They decide which bars it may decide on."""
    edited(folder, **{key: value})
    with pytest.raises(DataError, match="is not the card of a trained pilot"):
        load_artefact(folder)


def test_a_failed_write_leaves_the_pilot_that_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk while a card gets new figures: the old card and the weights are whole, and nothing else is left."""
    made = artefact()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("quantum_trader.pilot.artefact.os.fsync", full)
    figures = msgspec.structs.replace(made.card, metrics={"sharpe": 1.0})
    with pytest.raises(OSError, match="No space left"):
        save_artefact(folder, Artefact(card=figures, weights=made.weights))
    other = random_weights(7, (16, 8))
    card = msgspec.structs.replace(made.card, weights_hash=weights_hash(other))
    with pytest.raises(OSError, match="No space left"):
        save_artefact(folder, Artefact(card=card, weights=other))
    assert load_artefact(folder).card == made.card
    assert sorted(path.name for path in folder.iterdir()) == [CARD_FILE, WEIGHTS_FILE]
