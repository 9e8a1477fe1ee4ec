"""Answers of models on disk: the same question to the same model is asked once and paid once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import read_bounded, why_unwritable
from quantum_trader.lab.council.settings import CouncilModel
from quantum_trader.policy.storage import path_of, write_atomically

_MOST_BYTES: Final = 4 << 20


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation with a model: *role* is system, user or assistant."""

    role: str
    text: str


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model said, and what it used."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with the question it answers."""

    key: str
    model: str
    snapshot: str
    prompt: str
    answer: ModelAnswer


def question_key(model: CouncilModel, snapshot: str, prompt: str, messages: tuple[ChatMessage, ...]) -> str:
    """A hash of the question: which model is asked, about which figures, with which prompt, and what exactly."""
    asked = [model.provider, model.base_url, model.model, model.max_output_tokens, snapshot, prompt, messages]
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


class AnswerStore:
    """Answers in *folder*, one file each; a damaged one is as good as none."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = path_of("council", folder) / "answers"

    def get(self, key: str) -> ModelAnswer | None:
        """The answer to the question *key*; None where it was not asked or the file cannot be read."""
        try:
            stored = msgspec.json.decode(read_bounded(self._path(key), _MOST_BYTES), type=StoredAnswer)
        except (OSError, ValueError, msgspec.DecodeError):
            return None
        return stored.answer if stored.key == key else None

    def put(self, stored: StoredAnswer) -> None:
        """Keep an answer, on disk when this returns; StateError where it cannot be written."""
        path = self._path(stored.key)
        try:
            write_atomically(path, msgspec.json.format(msgspec.json.encode(stored)))
        except OSError as error:
            raise StateError(f"{path}: cannot be written ({why_unwritable(path, error)})") from error

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
