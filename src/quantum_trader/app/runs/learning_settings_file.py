"""The settings of a training of signal models: tables ``[labels]``, ``[learning]``, ``[boosting]``, ``[linear]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.settings import read_toml, unknown_key
from quantum_trader.domain.errors import ConfigError, QuantumTraderError
from quantum_trader.lab.learning.boosting import BoostingSettings
from quantum_trader.lab.learning.learning_settings import LearningSettings
from quantum_trader.lab.learning.linear_training import LinearSettings
from quantum_trader.lab.learning.signal_samples import LabelSettings

_TABLES: Final[dict[str, Any]] = {
    "labels": LabelSettings, "learning": LearningSettings, "boosting": BoostingSettings, "linear": LinearSettings,
}


def learning_settings(
    file: Path | None, flags: Mapping[str, tuple[Any, str]] | None = None
) -> tuple[LabelSettings, LearningSettings]:
    """The settings of *file*, with *flags* (dotted key -> value or None, the flag's name) over them.

    Raises ConfigError that names the key, its value and what is right, with the nearest name for an unknown key.
    """
    raw, where = ({}, "") if file is None else (read_toml(file), f"{file.name}: ")
    known = tuple(f"{table}.{key}" for table, kind in _TABLES.items() for key in _keys(kind))
    values: dict[str, dict[str, Any]] = {table: {} for table in _TABLES}
    for table, content in raw.items():
        if table not in _TABLES:
            raise ConfigError(f"{where}{unknown_key(table, tuple(_TABLES), known)}")
        if not isinstance(content, Mapping):
            raise ConfigError(f"{where}{table} = {content!r}: is a table; write [{table}] and its keys below")
        for key, value in content.items():
            if f"{table}.{key}" not in known:
                raise ConfigError(f"{where}{unknown_key(f'{table}.{key}', known)}")
            values[table][key] = value
    for dotted, (value, _) in (flags or {}).items():
        if value is not None:
            table, _, key = dotted.partition(".")
            values[table][key] = value
    made = {table: _made(where, table, kind, values[table]) for table, kind in _TABLES.items()}
    settings = msgspec.structs.replace(made["learning"], boosting=made["boosting"], linear=made["linear"])
    return made["labels"], settings


def _keys(kind: Any) -> list[str]:
    """The keys of a table: the fields of *kind* that are no tables of their own."""
    return [field.name for field in msgspec.structs.fields(kind) if field.name not in _TABLES]


def _made(where: str, table: str, kind: Any, content: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(content, kind, strict=True)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, QuantumTraderError):  # of the struct's own checks, which name key and value
            raise ConfigError(f"{where}{error.__cause__}") from None
        text, _, place = str(error).partition(" - at `$")
        key = place.strip("`").lstrip(".")
        raise ConfigError(
            f"{where}{table}.{key} = {content.get(key)!r}: {text[:1].lower()}{text[1:]}"
        ) from None
