"""A trial and its line in the ledger. Values and pure functions."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import InputError, brief, require
from quantum_trader.domain.fields import TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.lab.sharpe import Moments, probabilistic_sharpe

SETTING, SEED, THRESHOLD, MODEL = "setting", "seed", "threshold", "model"
TRIAL_KINDS: Final = (SETTING, SEED, THRESHOLD, MODEL)
_HASH_LETTERS: Final = 32
_LONGEST: Final = 300  # characters of a label
_MOST_LINE: Final = 1 << 20


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried on some data. Raises InputError for a kind or name that cannot be.

    Two trials with the same settings and the same data are the same trial, whoever makes them: they count once as
    distinct ones.
    """

    source: str  # what tried it, such as "sweep" or "pilot train"
    kind: str  # setting, seed, threshold or model
    label: str  # for a person
    settings_hash: str  # of everything that decides the result but the data (settings_hash)
    data_hash: str
    settings: dict[str, Any] = {}  # what was varied, as plain values
    sharpe: float | None = None  # per day; None: not measured
    days: int | None = None  # daily returns behind it
    skew: float = 0.0
    kurtosis: float = 3.0  # 3.0 for a normal law
    p_value: float | None = None  # of a worthless trial doing as well, one-sided, where it was tested otherwise
    metrics: dict[str, float | None] = {}
    model_id: str = ""  # of the model that it made

    def __post_init__(self) -> None:
        if self.kind not in TRIAL_KINDS:
            raise InputError(f"kind = {brief(self.kind)}: must be one of {', '.join(TRIAL_KINDS)}")
        for key in ("source", "settings_hash", "data_hash"):
            require(bool(getattr(self, key).strip()), key, getattr(self, key), "must not be empty")
        require(len(self.label) <= _LONGEST, "label", self.label, f"must have at most {_LONGEST} characters")
        known = self.p_value is None or 0.0 <= self.p_value <= 1.0
        require(known, "p_value", self.p_value, "must lie between 0 and 1")

    @property
    def identity(self) -> str:
        """The same for trials that are the same."""
        return hash_of_values({"settings": self.settings_hash, "data": self.data_hash})

    @property
    def tested(self) -> float | None:
        """Its p-value: as given, else of a Sharpe ratio of 0 or less, with daily returns taken as independent."""
        if self.p_value is not None or self.sharpe is None or self.days is None:
            return self.p_value
        above = probabilistic_sharpe(self.sharpe, 0.0, self.days, self.skew, self.kurtosis)
        return None if above != above else 1.0 - above


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A trial as the ledger holds it."""

    ts_ns: TimeNs
    run: str  # which run of the program tried it; a run that goes on keeps its name
    trial: Trial

    @property
    def key(self) -> str:
        """Of two records with the same key the later one replaces the earlier one: a trial and then its result."""
        return f"{self.run}:{self.trial.identity}"


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger."""

    check: str  # CRC-32 of the record's bytes, hexadecimal
    record: msgspec.Raw


def hash_of_values(values: Mapping[str, Any]) -> str:
    """The identity of plain *values*: 32 hexadecimal digits, the same for the same values in any order of keys."""
    return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()[:_HASH_LETTERS]


def with_moments(shape: Moments) -> dict[str, Any]:
    """The fields of a trial that daily returns of this shape give."""
    if shape.deviation == 0.0:
        return {"days": shape.count}
    return {"sharpe": shape.sharpe, "days": shape.count, "skew": shape.skew, "kurtosis": shape.kurtosis}


def encode_line(record: TrialRecord) -> bytes:
    """*record* as a line, with its end. Raises InputError for one that is too long to be read again."""
    content = msgspec.json.encode(record)
    line = msgspec.json.encode(_Line(check=f"{zlib.crc32(content):08x}", record=msgspec.Raw(content))) + b"\n"
    require(len(line) <= _MOST_LINE, "trial", record.trial.label, f"has {len(line):,} bytes, at most {_MOST_LINE:,}")
    return line


def decode_line(line: bytes) -> TrialRecord:
    """The record in *line*; ValueError that says what is wrong."""
    try:
        outer = decode_json(line, _Line)
        content = bytes(outer.record)
        if f"{zlib.crc32(content):08x}" != outer.check:
            raise ValueError("its checksum is another one")
        return decode_json(content, TrialRecord)
    except (msgspec.DecodeError, InputError) as error:
        raise ValueError(str(error)) from None
