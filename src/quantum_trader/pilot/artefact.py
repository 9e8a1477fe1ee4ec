"""A trained pilot as a folder: its weights, and a card that says what they are and what they were made of.

The folder holds ``card.json`` and ``weights.npz`` (arrays alone: reading it runs no code). The card has the hash of the
weights, and the model's identity is the hash of the card, so that neither can be exchanged unnoticed. A model whose
features, scalers or actions are not those of the running program is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import ConfigError, DataError, InputError, require, require_finite
from quantum_trader.domain.private_files import create_file, make_missing_folders, read_plain
from quantum_trader.pilot.actions import ACTIONS
from quantum_trader.pilot.network import LAYERS, Weights
from quantum_trader.pilot.scaling import Scalers
from quantum_trader.pilot.settings import ObservationSettings

FORMAT: Final = 1
CARD_FILE: Final = "card.json"
WEIGHTS_FILE: Final = "weights.npz"
MOST_BYTES: Final = 64 << 20  # of either file
_LAST_NS: Final = (1 << 63) - 1
ACTION_TABLE: Final = tuple((row.action.value, row.sign, row.share) for row in ACTIONS)
_PARTS: Final = ("matrix", "bias")
_UNREADABLE: Final = (  # what numpy and zipfile raise for a file that is not what it says
    KeyError, ValueError, TypeError, AttributeError, EOFError, MemoryError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error, InputError,
)


class DataSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The bars that a model was trained on."""

    source: str  # in words: a recording's name
    symbols: tuple[str, ...]
    interval: str  # of the observed bars
    first_ns: int  # close of the first
    last_ns: int  # close of the last
    content_hash: str = ""  # of the bars

    def __post_init__(self) -> None:
        within = 0 <= self.first_ns <= self.last_ns <= _LAST_NS
        require(within, "data", (self.first_ns, self.last_ns), "first_ns and last_ns must be times, in this order")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a trained pilot is: everything but the weights themselves."""

    name: str
    created_ns: int
    observation: ObservationSettings
    scalers: Scalers
    data: DataSnapshot
    training: dict[str, Any]  # the settings that it was trained with
    metrics: dict[str, float | None]  # what its evaluation gave, good or bad; None: not known
    weights_hash: str  # SHA-256 of the weights' numbers
    stop_atr: float = 3.0  # distance of a position's stop, in ATRs of the observed bars
    horizon_hours: float = 12.0  # for how long a position is held on average: what a round trip's cost is spread over
    outcomes: tuple[float, ...] = ()  # what its decisions were worth out of sample, as sums; they start its confidence
    outcomes_until_ns: int = 0  # close of the last bar that they are of: they count for later bars alone
    actions: tuple[tuple[str, int, float], ...] = ACTION_TABLE
    licence: str = "MIT"
    made_with: str = ""  # program and versions
    format: int = FORMAT

    def __post_init__(self) -> None:
        for key, low, high in (("stop_atr", 0.1, 20.0), ("horizon_hours", 0.01, 8760.0)):
            value = getattr(self, key)
            require_finite(key, value)
            require(low <= value <= high, key, value, f"must be {low:g} to {high:g}")
        for value in self.outcomes:
            require_finite("outcomes", value)
        for key in ("created_ns", "outcomes_until_ns"):
            value = getattr(self, key)
            require(0 <= value <= _LAST_NS, key, value, "must be a time, in nanoseconds since 1970")

    @property
    def identity(self) -> str:
        """SHA-256 of the card, and through it of the weights."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A card with its weights."""

    card: Card
    weights: Weights


def weights_hash(weights: Weights) -> str:
    """SHA-256 of every layer's name, shape and numbers."""
    found = hashlib.sha256()
    for name, array in _arrays(weights).items():
        found.update(f"{name} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return found.hexdigest()


def _arrays(weights: Weights) -> dict[str, Any]:
    return {
        f"{layer}.{part}": array
        for layer in LAYERS for part, array in zip(_PARTS, getattr(weights, layer), strict=True)
    }


def save_artefact(folder: Path, artefact: Artefact) -> None:
    """Write *artefact* into *folder*, which is made where it is missing; what it held before is replaced.

    The card is written last, so that a folder without one is not finished. Where the weights are there already the card
    alone is replaced, in one step: a disk that is full costs nobody a trained pilot. Raises InputError where the card
    names other weights, OSError where it cannot be written.
    """
    made = weights_hash(artefact.weights)
    if made != artefact.card.weights_hash:
        raise InputError(f"card.weights_hash = {artefact.card.weights_hash!r}: the weights have {made!r}")
    make_missing_folders(folder)
    card = msgspec.json.format(msgspec.json.encode(artefact.card, order="deterministic"), indent=1) + b"\n"
    if not _holds(folder, made):
        packed = io.BytesIO()
        np.savez(packed, **_arrays(artefact.weights))
        partial = _written(folder / WEIGHTS_FILE, packed.getvalue())
        (folder / CARD_FILE).unlink(missing_ok=True)
        os.replace(partial, folder / WEIGHTS_FILE)
    os.replace(_written(folder / CARD_FILE, card), folder / CARD_FILE)


def _holds(folder: Path, made: str) -> bool:
    """Whether *folder* has the weights with the hash *made*."""
    try:
        return weights_hash(_weights_of(read_plain(folder / WEIGHTS_FILE, MOST_BYTES), folder / WEIGHTS_FILE)) == made
    except (OSError, DataError):
        return False


def _written(path: Path, content: bytes) -> Path:
    """A file beside *path* with *content*, on disk; OSError where it cannot be written, and then there is none."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(create_file(partial), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return partial


def load_artefact(folder: Path) -> Artefact:
    """Read and check a trained pilot.

    Raises DataError for a folder that is not one or is damaged, ConfigError for a model of other features, scalers or
    actions than those of this program.
    """
    card_file, weights_file = folder / CARD_FILE, folder / WEIGHTS_FILE
    try:
        card = read_plain(card_file, MOST_BYTES)
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{card_file}: cannot be read: {why}; name the folder of a trained pilot") from None
    try:
        weights = read_plain(weights_file, MOST_BYTES)
    except OSError as error:
        raise DataError(f"{weights_file}: cannot be read: {error.strerror or error}") from None
    return decode_artefact(card, weights, folder)


def decode_artefact(card_content: bytes, weights_content: bytes, folder: Path) -> Artefact:
    """The trained pilot in the contents of its two files; *folder* is where errors say that they lie.

    Raises DataError and ConfigError as :func:`load_artefact` does.
    """
    card = _card_of(card_content, folder / CARD_FILE)
    card.scalers.check_features(card.observation)
    if card.actions != ACTION_TABLE:
        raise ConfigError(
            f"{folder / CARD_FILE}: actions = {list(card.actions)!r}: this program has {list(ACTION_TABLE)!r}; train "
            "the model again"
        )
    weights = _weights_of(weights_content, folder / WEIGHTS_FILE)
    found = weights_hash(weights)
    if found != card.weights_hash:
        raise DataError(
            f"{folder / WEIGHTS_FILE}: its hash is {found}, and the card names {card.weights_hash}: the weights are "
            "not those that were trained; take the folder anew from where it was made"
        )
    return Artefact(card=card, weights=weights)


def _card_of(content: bytes, path: Path) -> Card:
    try:
        card = msgspec.json.decode(content, type=Card, strict=True)
    except (msgspec.DecodeError, InputError) as error:
        raise DataError(f"{path}: is not the card of a trained pilot: {error}") from None
    if card.format != FORMAT:
        raise DataError(f"{path}: format = {card.format!r}: this program reads {FORMAT}; train the model again")
    return card


def _weights_of(content: bytes, path: Path) -> Weights:
    try:
        held = io.BytesIO(content)
        with zipfile.ZipFile(held) as packed:  # says how large each array is before any is unpacked
            if any(one.file_size > MOST_BYTES for one in packed.infolist()):
                raise ValueError(f"unpacked it is larger than {MOST_BYTES >> 20} MiB")
        held.seek(0)
        with np.load(held, allow_pickle=False) as arrays:
            parts = {name: arrays[name] for layer in LAYERS for name in (f"{layer}.{part}" for part in _PARTS)}
        return Weights(*((parts[f"{layer}.matrix"], parts[f"{layer}.bias"]) for layer in LAYERS))
    except (OSError, *_UNREADABLE) as error:
        raise DataError(f"{path}: does not hold a pilot's weights: {error}") from None
