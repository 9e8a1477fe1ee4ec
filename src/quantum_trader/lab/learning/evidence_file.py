"""What a model's evaluation leaves behind: its out-of-sample predictions, with all that judges them later.

One file (npz without pickled objects) of a trained model's folder. It does not state the model's id, which is the hash
of the folder's content and so of this file too: whoever reads it says whose it is. The same evidence gives the same
bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import DataError, require
from quantum_trader.domain.fields import TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import read_plain
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.learned.artefact_arrays import read_arrays

EVIDENCE_FILE: Final = "evidence.npz"
MOST_EVIDENCE_BYTES: Final = 256 << 20  # of the file, and of all arrays unpacked
MOST_REFERENCE_ROWS: Final = 5_000
_META: Final = "meta"
_RIVAL: Final = "rival."
_SAMPLES: Final = ("keys", "probabilities", "labels", "starts_ns", "ends_ns", "weights")
_FORMAT: Final = 1

Keys = npt.NDArray[np.uint64]


class LeakageFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A sign that a feature knows the future."""

    check: str  # which check found it
    feature: str  # empty: the whole model
    told: str  # a sentence
    value: float | None = None  # what was measured


class ModelEvidence(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A model on samples that it was not trained on. Arrays have one entry per sample (n,), in any order.

    Raises InputError where arrays do not fit together.
    """

    model_id: str
    created_ns: TimeNs
    data_from_ns: TimeNs  # of everything that it was trained and tested on
    data_until_ns: TimeNs
    features_hash: str
    keys: Keys  # what each sample is: the same number in every model's evidence (sample_keys)
    probabilities: Floats  # P(win after costs), calibrated, out of sample
    labels: Floats  # 1.0 or 0.0
    starts_ns: Ints  # span of each label: the decision, and the moment that fixed it
    ends_ns: Ints
    weights: Floats  # in training; what is counted here counts each sample once
    feature_names: tuple[str, ...] = ()
    leakage_checks: tuple[str, ...] = ()  # checks that were made
    leakage: tuple[LeakageFinding, ...] = ()  # what they found
    rivals: dict[str, Floats] = {}  # other models' probabilities on the same samples, by model id; no training fills it
    reference_features: Floats | None = None  # (k, features): a sample of what it was trained on, in order of time

    def __post_init__(self) -> None:
        count = len(self.keys)
        for name in _SAMPLES:
            require(getattr(self, name).shape == (count,), name, getattr(self, name).shape, f"must be ({count},)")
        for name, values in self.rivals.items():
            require(values.shape == (count,), f"rivals[{name!r}]", values.shape, f"must be ({count},)")
        require(len(np.unique(self.keys)) == count, "keys", "one twice", "each sample has a key of its own")
        good = (self.probabilities >= 0.0) & (self.probabilities <= 1.0)
        require(bool(good.all()), "probabilities", self.probabilities[~good][:3], "must lie between 0 and 1")
        known = (self.labels == 0.0) | (self.labels == 1.0)
        require(bool(known.all()), "labels", self.labels[~known][:3], "are 0 or 1")
        counts = (self.weights >= 0.0) & (self.weights < np.inf)
        require(bool(counts.all()), "weights", self.weights[~counts][:3], "must be 0 or more, and finite")
        require(bool((self.ends_ns >= self.starts_ns).all()), "ends_ns", "before its start", "give whole spans")
        reference = self.reference_features
        fits = reference is None or (
            reference.ndim == 2 and reference.shape[1] == len(self.feature_names)
            and len(reference) <= MOST_REFERENCE_ROWS
        )
        require(fits, "reference_features", None if reference is None else reference.shape,
                f"must be at most {MOST_REFERENCE_ROWS:,} rows of the {len(self.feature_names)} features")


class _Meta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the evidence is no array."""

    format: int = _FORMAT
    created_ns: TimeNs
    data_from_ns: TimeNs
    data_until_ns: TimeNs
    features_hash: str
    feature_names: tuple[str, ...]
    leakage_checks: tuple[str, ...]
    leakage: tuple[LeakageFinding, ...]


def sample_keys(symbols: Sequence[str], starts_ns: Ints, sides: npt.ArrayLike) -> Keys:
    """A number (n,) for each sample, made of its symbol, the time of its decision and its side (+1 or -1).

    The same sample has the same number in every training. 64 bits: among a million samples two share one with a
    probability of 3 in 100 million.
    """
    names, owner = np.unique(np.asarray(symbols, dtype=np.str_), return_inverse=True)
    salts = np.array(
        [int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=8).digest(), "little") for name in names],
        dtype=np.uint64,
    )
    mixed = np.asarray(starts_ns, dtype=np.int64).astype(np.uint64) ^ (salts[owner] if len(names) else np.uint64(0))
    mixed = _mix(mixed) ^ (np.asarray(sides, dtype=np.float64) > 0.0).astype(np.uint64)
    return _mix(mixed)


def _mix(values: Keys) -> Keys:
    """Spread every bit over all of them (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    found = values + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))


def encode_evidence(evidence: ModelEvidence) -> bytes:
    """*evidence* as the content of its file, without the model's id."""
    meta = _Meta(**{
        name: getattr(evidence, name) for name in _Meta.__struct_fields__ if name != "format"
    })
    arrays: dict[str, Any] = {name: getattr(evidence, name) for name in _SAMPLES}
    arrays |= {f"{_RIVAL}{name}": evidence.rivals[name] for name in sorted(evidence.rivals)}
    if evidence.reference_features is not None:
        arrays["reference_features"] = evidence.reference_features
    arrays[_META] = np.frombuffer(msgspec.json.encode(meta, order="deterministic"), dtype=np.uint8)
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **arrays)
    return held.getvalue()


def decode_evidence(content: bytes, model_id: str, place: Path | str) -> ModelEvidence:
    """The evidence of *model_id* in *content*; DataError that names *place* for anything else."""
    try:
        arrays: dict[str, Any] = read_arrays(content, MOST_EVIDENCE_BYTES)
        meta = decode_json(arrays.pop(_META).tobytes(), _Meta)
        if meta.format != _FORMAT:
            raise DataError(f"{place}: format = {meta.format!r}: this program reads {_FORMAT}; train the model again")
        facts = {name: getattr(meta, name) for name in _Meta.__struct_fields__ if name != "format"}
        return ModelEvidence(
            model_id=model_id, **facts, keys=arrays["keys"].astype(np.uint64, casting="safe"),
            probabilities=_numbers(arrays["probabilities"]), labels=_numbers(arrays["labels"]),
            weights=_numbers(arrays["weights"]),
            **{name: arrays[name].astype(np.int64, casting="safe") for name in ("starts_ns", "ends_ns")},
            rivals={
                name.removeprefix(_RIVAL): _numbers(values)
                for name, values in arrays.items() if name.startswith(_RIVAL)
            },
            reference_features=_numbers(arrays["reference_features"]) if "reference_features" in arrays else None,
        )
    except (KeyError, ValueError, TypeError, msgspec.DecodeError) as error:
        if isinstance(error, DataError):
            raise
        told = f"lacks {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{place}: is not the evidence of a model: {told}; train the model again") from None


def _numbers(values: npt.NDArray[Any]) -> Floats:
    """*values* in double precision; TypeError for what is no row of real numbers."""
    return values.astype(np.float64, casting="safe")


def evidence_in(folder: Path, model_id: str) -> ModelEvidence:
    """The evidence in the *folder* of the model; DataError where there is none or it cannot be used."""
    path = folder / EVIDENCE_FILE
    try:
        content = read_plain(path, MOST_EVIDENCE_BYTES)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}; nothing is known of the model's predictions"
        ) from None
    return decode_evidence(content, model_id, path)
