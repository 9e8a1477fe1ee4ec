"""What a registry states of a model: its record, the hashes of its files, and the signature. Values and pure functions.

A record is stored as the bytes that were signed, so that reading it and writing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import DataError, InputError, brief, escaped
from quantum_trader.domain.fields import TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.journal.keys import SigningKey, signed_by

FORMAT: Final = 1
RECORD_FILE: Final = "model.json"
MOST_RECORD_BYTES: Final = 4 << 20
MOST_FILES: Final = 64
MOST_BYTES: Final = 256 << 20  # of all files of a model together
SIGNED_AS: Final = b"quantum-trader model record 1\n"  # so that a signature fits nothing else
_ID: Final = re.compile(r"[0-9a-f]{64}")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST: Final = {"name": 200, "git_commit": 100, "made_with": 1_000, "notes": 4_000}  # characters
_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a model."""

    name: str
    size: int  # bytes
    sha256: str

    def __post_init__(self) -> None:
        check_file_name(self.name)
        check_id("sha256", self.sha256)


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a registered model is and where it came from."""

    model_id: str  # SHA-256 of the model's content, as its kind defines it
    kind: str  # "pilot"
    name: str
    created_ns: TimeNs  # when it was trained
    registered_ns: TimeNs
    features_hash: str  # of the features that it reads
    data: dict[str, Any]  # the snapshot of the data that it was trained on
    metrics: dict[str, float | None]  # good or bad; None: not known
    files: tuple[ModelFile, ...]  # in the order of their names
    git_commit: str = ""  # of the program that trained it, as far as it is known
    made_with: str = ""  # program and versions that trained it
    parents: tuple[str, ...] = ()  # ids of the models that it was made from
    notes: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        check_id("model_id", self.model_id)
        if not _KIND.fullmatch(self.kind):
            raise InputError(f"kind = {brief(self.kind)}: must be a word of small letters, such as pilot")
        for key, most in _LONGEST.items():
            if len(text := getattr(self, key)) > most:
                raise InputError(f"{key} = {brief(text)}: must have at most {most:,} characters")
            if not text.isprintable():
                raise InputError(f"{key} = {brief(text)}: must be one line of printable characters")
        for parent in self.parents:
            check_id("parents", parent)
        names = [file.name for file in self.files]
        if not 1 <= len(names) <= MOST_FILES or names != sorted(set(names)) or RECORD_FILE in names:
            raise InputError(f"files = {brief(names)}: must be 1 to {MOST_FILES} names in order, each once")
        if any(file.size < 0 for file in self.files) or sum(file.size for file in self.files) > MOST_BYTES:
            raise InputError(f"files = {brief(names)}: must hold at most {MOST_BYTES >> 20} MiB together")


class SignedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record with the public key and the signature that were made for it."""

    record: ModelRecord
    signed: bytes  # the record as it was signed
    key: str  # Ed25519, hexadecimal
    signature: str

    @property
    def is_signed(self) -> bool:
        """Whether the signature is that of the stated key for these bytes."""
        return signed_by(self.key, SIGNED_AS + self.signed, self.signature)


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``model.json``."""

    format: int
    key: str
    signature: str
    record: msgspec.Raw


def check_id(key: str, text: str) -> str:
    """*text*; InputError that names *key* where it is no SHA-256 in hexadecimal."""
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise InputError(f"{key} = {brief(text)}: must be 64 hexadecimal digits")
    return text


def check_file_name(name: str) -> str:
    """*name*; InputError where it could lead out of a folder, or stands for something else on some system."""
    if not _FILE_NAME.fullmatch(name):
        raise InputError(
            f"file name = {brief(name)}: must be 1 to 64 letters, digits, points, dashes or underlines, without folder"
        )
    return name


def files_of(contents: Mapping[str, bytes]) -> tuple[ModelFile, ...]:
    """Name, size and hash of each of *contents*, in the order of the names."""
    return tuple(
        ModelFile(name=name, size=len(contents[name]), sha256=hashlib.sha256(contents[name]).hexdigest())
        for name in sorted(contents)
    )


def sign_record(record: ModelRecord, key: SigningKey) -> bytes:
    """The content of ``model.json``: *record*, signed with *key*; InputError where it would be too large to be read."""
    signed = msgspec.json.encode(record, order="deterministic")
    document = _Document(
        format=FORMAT, key=key.public, signature=key.sign(SIGNED_AS + signed), record=msgspec.Raw(signed)
    )
    content = msgspec.json.encode(document) + b"\n"
    if len(content) > MOST_RECORD_BYTES:
        most = f"at most {MOST_RECORD_BYTES:,} are kept"
        raise InputError(f"the record of {record.name} has {len(content):,} bytes: {most}")
    return content


def decode_record(content: bytes, place: str) -> SignedRecord:
    """The record in *content*, its signature not yet verified; DataError that names *place* where there is none."""
    try:
        document = decode_json(content, _Document)
        if document.format != FORMAT:
            raise DataError(f"{place}: format = {document.format!r}: this program reads {FORMAT}; use a newer program")
        signed = bytes(document.record)
        record = decode_json(signed, ModelRecord)
    except (msgspec.DecodeError, InputError) as error:
        raise DataError(f"{place}: is not the record of a model: {error}") from None
    if record.format != FORMAT:
        raise DataError(f"{place}: format = {record.format!r}: this program reads {FORMAT}; use a newer program")
    return SignedRecord(record=record, signed=signed, key=document.key, signature=document.signature)


def file_troubles(record: ModelRecord, contents: Mapping[str, bytes]) -> tuple[str, ...]:
    """What of *contents* is not as *record* states it, a sentence each."""
    found = []
    for file in record.files:
        content = contents.get(file.name)
        if content is None:
            found.append(f"{file.name} is missing")
        elif hashlib.sha256(content).hexdigest() != file.sha256 or len(content) != file.size:
            found.append(f"{file.name} was altered: its SHA-256 is not the one in the record")
    extra = sorted(set(contents) - {file.name for file in record.files})
    return (*found, *(f"{escaped(name)} is not in the record" for name in extra))
