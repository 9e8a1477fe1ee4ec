"""The evidence of a model as a file: what is written is read again, and nothing else is read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.learning.made_evidence import made_evidence, made_samples

from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.lab.learning.calibration import sigmoid
from quantum_trader.lab.learning.evidence_file import (
    EVIDENCE_FILE,
    LeakageFinding,
    decode_evidence,
    encode_evidence,
    evidence_in,
    sample_keys,
)

SAMPLES = made_samples(1, 200)
EVIDENCE = made_evidence(
    "a" * 64, SAMPLES, sigmoid(SAMPLES["score"]), feature_names=("x", "y"),
    leakage=(LeakageFinding(check="truncation", feature="x", told="x peeks", value=0.5),),
    rivals={"b" * 64: np.full(200, 0.5)}, reference_features=np.arange(20.0).reshape(10, 2),
)


def test_what_is_written_is_read_again() -> None:
    """Every array to the bit, and every fact; the id is the reader's."""
    content = encode_evidence(EVIDENCE)
    again = decode_evidence(content, "c" * 64, "here")
    assert again.model_id == "c" * 64
    for name in EVIDENCE.__struct_fields__:
        here, there = getattr(EVIDENCE, name), getattr(again, name)
        if isinstance(here, np.ndarray):
            assert (here == there).all()
        elif name == "rivals":
            assert here.keys() == there.keys()
        elif name != "model_id":
            assert here == there
    assert encode_evidence(again) == content, "the same evidence gives the same bytes"


def test_it_is_found_in_a_models_folder(tmp_path: Path) -> None:
    """DataError that names the file where there is none."""
    with pytest.raises(DataError, match=EVIDENCE_FILE):
        evidence_in(tmp_path, "a" * 64)
    (tmp_path / EVIDENCE_FILE).write_bytes(encode_evidence(EVIDENCE))
    assert evidence_in(tmp_path, "a" * 64).model_id == "a" * 64


def test_an_array_of_objects_is_not_read() -> None:
    """A pickle in the file is refused and not run."""
    held = io.BytesIO()
    np.savez(held, keys=np.array([{"a": 1}], dtype=object), meta=np.zeros(1, dtype=np.uint8))
    with pytest.raises(DataError, match="is not the evidence"):
        decode_evidence(held.getvalue(), "a" * 64, "here")


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_file_is_refused_or_says_the_same(place: int, byte: int) -> None:
    """One changed byte: DataError, or what does not matter to the content."""
    content = bytearray(encode_evidence(EVIDENCE))
    content[place % len(content)] = byte
    try:
        again = decode_evidence(bytes(content), "a" * 64, "here")
    except DataError:
        return
    assert (again.probabilities == EVIDENCE.probabilities).all()


def zipped(parts: dict[str, bytes], mark: bytes = b"", *, local: int = 0, central: int = 0) -> bytes:
    """An archive of *parts*; *mark* is written into each header, so many bytes behind its beginning."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    made = bytearray(held.getvalue())
    for start, behind in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        place = made.find(start)
        while mark and place >= 0:
            made[place + behind : place + behind + len(mark)] = mark
            place = made.find(start, place + 4)
    return bytes(made)


def parts_of(content: bytes) -> dict[str, bytes]:
    """The files in an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def an_array_of(shape: int) -> bytes:
    """A file that says it holds *shape* numbers, and holds none."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape},), }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


@pytest.mark.parametrize(("change", "told"), [
    (lambda parts: zipped(parts, b"\x63\x00", local=8, central=10), "compression method is not supported"),
    (lambda parts: zipped(parts, b"\x01\x00", local=6, central=8), "is encrypted"),
    (lambda parts: zipped(parts | {"labels.npy": an_array_of(10**15)}), "Unable to allocate"),
    (lambda parts: zipped(parts | {"rival.x": b"no array"}), "no array"),
    (lambda parts: zipped(parts | {f"rival.{n}.npy": bytes(40 << 20) for n in range(7)}), "larger than 256 MiB"),
], ids=["unknown method", "encrypted", "a petabyte", "no array", "a bomb of many arrays"])
def test_a_file_that_was_made_to_harm_is_refused_with_its_reason(change: Any, told: str) -> None:
    """A sentence, and nothing that numpy or zipfile raises; what is too large together is not unpacked."""
    with pytest.raises(DataError, match=told):
        decode_evidence(change(parts_of(encode_evidence(EVIDENCE))), "a" * 64, "here")


@pytest.mark.parametrize("name", ["labels", "reference_features"])
def test_numbers_that_are_none_are_refused(name: str) -> None:
    """Complex numbers and text are not read as real ones."""
    with np.load(io.BytesIO(encode_evidence(EVIDENCE))) as loaded:
        arrays = dict(loaded)
    for kind in (np.complex128, np.str_):
        held = io.BytesIO()
        np.savez(held, **(arrays | {name: arrays[name].astype(kind)}))
        with pytest.raises(DataError, match="is not the evidence of a model"):
            decode_evidence(held.getvalue(), "a" * 64, "here")


def test_a_part_that_is_missing_is_named() -> None:
    """Without its labels, and as something else altogether."""
    held, packed = io.BytesIO(), zipfile.ZipFile(io.BytesIO(encode_evidence(EVIDENCE)))
    with zipfile.ZipFile(held, "w") as made:
        for name in packed.namelist():
            if name != "labels.npy":
                made.writestr(name, packed.read(name))
    with pytest.raises(DataError, match="lacks 'labels'"):
        decode_evidence(held.getvalue(), "a" * 64, "here")
    with pytest.raises(DataError, match="is not the evidence"):
        decode_evidence(b"nothing", "a" * 64, "here")


def test_arrays_that_do_not_fit_are_refused() -> None:
    """InputError names the array; two samples with one key are refused."""
    with pytest.raises(InputError, match="labels"):
        made_evidence("a", SAMPLES | {"labels": SAMPLES["labels"][:-1]}, sigmoid(SAMPLES["score"]))
    with pytest.raises(InputError, match="keys"):
        made_evidence("a", SAMPLES, sigmoid(SAMPLES["score"]), keys=np.zeros(200, dtype=np.uint64))
    for weight in (np.nan, -1.0, np.inf):
        with pytest.raises(InputError, match="weights"):
            made_evidence("a", SAMPLES, sigmoid(SAMPLES["score"]), weights=np.full(200, weight))
    with pytest.raises(InputError, match="rivals"):
        made_evidence("a", SAMPLES, sigmoid(SAMPLES["score"]), rivals={"b": np.zeros(3)})


def test_keys_tell_symbol_time_and_side_apart() -> None:
    """Another symbol, another nanosecond or the other side is another number; the same is the same."""
    names, times, sides = ["BTCUSDT", "ETHUSDT", "BTCUSDT", "BTCUSDT"], np.array([5, 5, 6, 5]), [1, 1, 1, -1]
    found = sample_keys(names, times, sides)
    assert len(set(found.tolist())) == 4
    assert (sample_keys(names, times, sides) == found).all()
    many = sample_keys(["BTCUSDT"] * 200_000, np.arange(200_000) * 60_000_000_000, np.ones(200_000))
    assert len(np.unique(many)) == 200_000
