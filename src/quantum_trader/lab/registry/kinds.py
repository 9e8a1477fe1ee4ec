"""The kinds of models that a registry holds: which files one has, how they are read, and what they say of themselves.

Another kind is another entry of KINDS. The format of records, folders and packages does not change for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from quantum_trader.domain.errors import DataError
from quantum_trader.models.learned.artefact import LEARNED_FILES, META_LABEL, SIGNAL, decode_learned
from quantum_trader.pilot.artefact import CARD_FILE, WEIGHTS_FILE, decode_artefact

PILOT: Final = "pilot"


class ReadModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was read and checked, and what it says of itself."""

    artefact: Any  # pilot.artefact.Artefact of a pilot, models.learned.artefact.LearnedArtefact of the others
    model_id: str  # SHA-256 of its content
    name: str
    created_ns: int
    features_hash: str
    data: dict[str, Any]
    metrics: dict[str, float | None]
    made_with: str = ""


class ModelKind(Protocol):
    """One kind of models."""

    @property
    def file_names(self) -> tuple[str, ...]:
        """The files of a model, without folder."""

    def read(self, contents: Mapping[str, bytes], place: Path) -> ReadModel:
        """The model in *contents*, by file name; *place* is where errors say that they lie. It must run no code of it.

        Raises DataError for what is not one, ConfigError for one that is not for this program.
        """


class PilotKind:
    """Trained pilots: their id is the identity that runs record, the hash of the card and through it of the weights."""

    file_names = (CARD_FILE, WEIGHTS_FILE)

    def read(self, contents: Mapping[str, bytes], place: Path) -> ReadModel:
        """The pilot in *contents*."""
        artefact = decode_artefact(contents[CARD_FILE], contents[WEIGHTS_FILE], place)
        card = artefact.card
        return ReadModel(
            artefact=artefact, model_id=card.identity, name=card.name, created_ns=card.created_ns,
            features_hash=card.scalers.feature_hash, data=msgspec.to_builtins(card.data), metrics=dict(card.metrics),
            made_with=card.made_with,
        )


class LearnedKind:
    """Trained models of signals, or meta-labels: their id is the hash of the card, and so of arrays and evidence."""

    file_names = LEARNED_FILES

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def read(self, contents: Mapping[str, bytes], place: Path) -> ReadModel:
        """The model in *contents*; DataError for one of another kind."""
        artefact = decode_learned(contents, place)
        card = artefact.card
        if card.kind != self._kind:
            raise DataError(f"{place}: is a model of kind {card.kind}, and not {self._kind}; give --kind {card.kind}")
        return ReadModel(
            artefact=artefact, model_id=artefact.model_id, name=card.name, created_ns=card.created_ns,
            features_hash=card.features_hash, data=msgspec.to_builtins(card.data), metrics=dict(card.metrics),
            made_with=card.made_with,
        )


KINDS: Final[Mapping[str, ModelKind]] = {
    PILOT: PilotKind(), SIGNAL: LearnedKind(SIGNAL), META_LABEL: LearnedKind(META_LABEL),
}
