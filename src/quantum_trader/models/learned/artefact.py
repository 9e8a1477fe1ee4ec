"""A trained model of signals as a folder: its numbers, a card that says what they are, and its evidence.

The folder holds ``card.json``, ``arrays.npz`` and ``evidence.npz``, the model's predictions of samples that it was not
trained on, which the lab reads (arrays alone: reading them runs no code). The card has the hashes of both; the model's
id is the hash of the card, so that none of them can be exchanged unnoticed. When it was trained is no part of the id:
the same training gives the same id on any day.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import ConfigError, DataError, InputError, brief, require
from quantum_trader.domain.fields import Finite, TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import read_plain
from quantum_trader.market.arrays import Floats
from quantum_trader.market.intervals import INTERVALS
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH
from quantum_trader.models.forecast import duration_ns
from quantum_trader.models.learned.artefact_arrays import read_arrays
from quantum_trader.models.learned.calibration import Calibration
from quantum_trader.models.learned.feature_list import NAMES, names_hash, signal_features_hash
from quantum_trader.models.learned.linear import LinearArrays, LinearScorer
from quantum_trader.models.learned.trees import MOST_FEATURES, TreeArrays, TreeEnsemble
from quantum_trader.models.port import Exit

FORMAT: Final = 1
CARD_FILE: Final = "card.json"
ARRAYS_FILE: Final = "arrays.npz"
EVIDENCE_FILE: Final = "evidence.npz"
LEARNED_FILES: Final = (CARD_FILE, ARRAYS_FILE, EVIDENCE_FILE)
SIGNAL, META_LABEL = "signal", "meta-label"
BOOSTING, LINEAR = "boosting", "linear"
MOST_BYTES: Final = 64 << 20  # of a file, and of all arrays once they are unpacked
_Short = Annotated[str, msgspec.Meta(max_length=200)]
_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class LearningData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The samples that a model was trained on."""

    source: str  # in words: a recording's name, or the journals
    symbols: tuple[str, ...]
    interval: str  # of the bars; empty where there are none
    samples: int
    first_ns: TimeNs  # start of the first sample
    last_ns: TimeNs  # end of the last one
    content_hash: _Hash  # of features, labels, weights and spans

    def __post_init__(self) -> None:
        within = 0 <= self.first_ns <= self.last_ns and self.samples > 0
        require(within, "data", (self.first_ns, self.last_ns, self.samples), "must be samples of a span of time")


class LearnedCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trained model is: everything but its arrays."""

    kind: Literal["signal", "meta-label"]
    learner: Literal["boosting", "linear"]
    name: _Short
    created_ns: TimeNs
    features: tuple[_Short, ...]  # in the order of a row
    features_hash: _Hash
    base_margin: Finite  # the margin before the trees, or of a row at every centre
    calibration: Calibration
    data: LearningData
    training: dict[str, Any]  # every setting that it was trained with
    metrics: dict[str, float | None]  # on data that it was not trained on; None: not known
    arrays_hash: _Hash
    evidence_hash: _Hash
    bars: str = ""  # of a signal model: the interval of its bars
    horizon: str = ""  # for how long a probability is meant
    exit: Exit = Exit()  # of a signal model
    made_with: _Short = ""  # program and versions
    format: int = FORMAT

    def __post_init__(self) -> None:
        count = len(self.features)
        require(1 <= count <= MOST_FEATURES and len(set(self.features)) == count, "features", count,
                f"must be 1 to {MOST_FEATURES:,} names, each once")
        if self.kind == SIGNAL:
            require(self.bars in INTERVALS, "bars", self.bars, f"must be one of {', '.join(INTERVALS)}")
        if self.kind == SIGNAL or self.horizon:
            duration_ns(self.horizon)

    @property
    def identity(self) -> str:
        """SHA-256 of the card, and through it of the arrays and the evidence; whatever the time of training."""
        stated = msgspec.structs.replace(self, created_ns=0)
        return hashlib.sha256(msgspec.json.encode(stated, order="deterministic")).hexdigest()

    def check_features(self, place: Path) -> None:
        """Raise ConfigError where the model reads other features than this program makes."""
        here = signal_features_hash(self.bars) if self.kind == SIGNAL else meta_features_hash(self.features)
        if self.kind == SIGNAL and self.features != NAMES:
            other = next((name for name in (*self.features, *NAMES) if (name in self.features) != (name in NAMES)), "")
            raise ConfigError(f"{place}: reads other features than this program makes ({other}); train it again")
        if self.features_hash != here:
            raise ConfigError(
                f"{place}: features_hash = {self.features_hash}: this program makes the features {here}; train it again"
            )


ModelArrays = TreeArrays | LinearArrays


def meta_features_hash(names: tuple[str, ...]) -> str:
    """What names the features of a meta-label: those of a signal at its entry, or a table's own by their names."""
    return ENTRY_FEATURES_HASH if names == ENTRY_FEATURES else names_hash(names)


class LearnedArtefact:
    """A trained model, checked and ready to score; *evidence* is the content of its evidence file."""

    def __init__(self, card: LearnedCard, arrays: ModelArrays, evidence: bytes) -> None:
        """Raises InputError where card, arrays and evidence are not of one model."""
        kind: type[ModelArrays] = TreeArrays if card.learner == BOOSTING else LinearArrays
        require(isinstance(arrays, kind), "learner", card.learner, f"must have {kind.__name__}")
        count = len(card.features)
        self._scorer: TreeEnsemble | LinearScorer = (
            TreeEnsemble(arrays, count, card.base_margin) if isinstance(arrays, TreeArrays)
            else LinearScorer(arrays, count, card.base_margin)
        )
        for key, stated, made in (
            ("arrays_hash", card.arrays_hash, arrays_hash(arrays)),
            ("evidence_hash", card.evidence_hash, hashlib.sha256(evidence).hexdigest()),
        ):
            require(stated == made, key, stated, f"what is there has {made}: it is not what was trained")
        self.card, self.arrays, self.evidence = card, arrays, evidence

    @property
    def model_id(self) -> str:
        """The model's id."""
        return self.card.identity

    def margins(self, rows: npt.ArrayLike) -> Floats:
        """The margin (n,) of each of *rows* (n, F), before calibration."""
        return np.asarray(self._scorer.margins(rows), dtype=np.float64)

    def probabilities(self, rows: npt.ArrayLike) -> Floats:
        """The calibrated probability (n,) of each of *rows* (n, F); NaN: a missing value."""
        return self.card.calibration.apply(self.margins(rows))

    def encoded(self) -> dict[str, bytes]:
        """The contents of its files by name."""
        card = msgspec.json.format(msgspec.json.encode(self.card, order="deterministic"), indent=1) + b"\n"
        packed = io.BytesIO()
        np.savez(packed, **msgspec.structs.asdict(self.arrays))
        return {CARD_FILE: card, ARRAYS_FILE: packed.getvalue(), EVIDENCE_FILE: self.evidence}


def arrays_hash(arrays: ModelArrays) -> str:
    """SHA-256 of every array's name, type, shape and numbers."""
    found = hashlib.sha256()
    for name, array in sorted(msgspec.structs.asdict(arrays).items()):
        plain = array.astype(array.dtype.newbyteorder("<"))
        found.update(f"{name} {plain.dtype.str} {array.shape} ".encode() + plain.tobytes())
    return found.hexdigest()


def decode_learned(contents: Mapping[str, bytes], place: Path) -> LearnedArtefact:
    """The trained model in the *contents* of its files; *place* is where errors say that they lie.

    Runs no code of it. Raises DataError for what is none or is damaged, ConfigError for one of other features than
    those of this program.
    """
    for name in LEARNED_FILES:
        if name not in contents:
            raise DataError(f"{place / name}: is missing")
        if len(contents[name]) > MOST_BYTES:
            raise DataError(f"{place / name}: is larger than {MOST_BYTES >> 20} MiB")
    try:
        card = decode_json(contents[CARD_FILE], LearnedCard)
    except (msgspec.DecodeError, InputError) as error:
        raise DataError(f"{place / CARD_FILE}: is not the card of a trained model of signals: {error}") from None
    if card.format != FORMAT:
        raise DataError(f"{place / CARD_FILE}: format = {card.format!r}: this program reads {FORMAT}; train it again")
    card.check_features(place / CARD_FILE)
    arrays = _arrays_of(contents[ARRAYS_FILE], TreeArrays if card.learner == BOOSTING else LinearArrays,
                        place / ARRAYS_FILE)
    try:
        return LearnedArtefact(card, arrays, contents[EVIDENCE_FILE])
    except InputError as error:
        raise DataError(f"{place}: {error}; take the folder anew from where it was made") from None


def _arrays_of(content: bytes, kind: type[ModelArrays], path: Path) -> ModelArrays:
    try:
        arrays: dict[str, Any] = read_arrays(content, MOST_BYTES)
        wanted = set(kind.__struct_fields__)
        if set(arrays) != wanted:
            raise ValueError(f"it holds {brief(sorted(arrays))}, and must hold {', '.join(sorted(wanted))}")
        return kind(**arrays)
    except ValueError as error:
        raise DataError(f"{path}: does not hold the arrays of a model: {error}") from None


def is_learned_folder(folder: Path) -> bool:
    """Whether *folder* looks like that of a trained model of signals."""
    return all((folder / name).is_file() for name in (CARD_FILE, ARRAYS_FILE))


def read_learned_files(folder: Path) -> dict[str, bytes]:
    """The contents of a model's files; DataError where one cannot be read."""
    contents = {}
    for name in LEARNED_FILES:
        try:
            contents[name] = read_plain(folder / name, MOST_BYTES)
        except OSError as error:
            why = error.strerror or error
            raise DataError(f"{folder / name}: cannot be read: {why}; name the folder of a trained model") from None
    return contents


def load_learned(folder: Path) -> LearnedArtefact:
    """Read and check the trained model in *folder*; raises as :func:`decode_learned` does."""
    return decode_learned(read_learned_files(folder), folder)
