"""The settings file of a training: tables ``[ppo]``, ``[environment]``, ``[reward]`` and ``[curriculum]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.settings import read_toml, unknown_key
from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.pilot.training_market import PilotTrainingSettings
from quantum_trader.lab.pilot.training_plan import CurriculumSettings
from quantum_trader.pilot.episode import EnvironmentSettings, RewardSettings
from quantum_trader.pilot.settings import ObservationSettings
from quantum_trader.pilot.training.settings import PpoSettings

TABLES: Final[dict[str, Any]] = {
    "ppo": PpoSettings, "environment": EnvironmentSettings, "reward": RewardSettings, "curriculum": CurriculumSettings,
}
_OWN_TABLE: Final = "environment.reward"  # a table of its own in the file


def training_settings(file: Path | None, interval: str) -> PilotTrainingSettings:
    """The settings of *file*, defaults where it says nothing; bars of *interval* are observed.

    Raises ConfigError that names the key, its value and what is right, with the nearest name for an unknown key.
    """
    observation, raw = ObservationSettings(interval=interval), {} if file is None else read_toml(file)
    where = "" if file is None else f"{file.name}: "
    known = [key for name, kind in TABLES.items() for key in _keys(name, kind)]
    made = {}
    for name, content in raw.items():
        if name not in TABLES:
            raise ConfigError(f"{where}{unknown_key(name, tuple(TABLES), tuple(known))}")
        _check_keys(where, name, content, known)
    try:
        for name, kind in TABLES.items():
            made[name] = _converted(name, kind, raw.get(name, {}))
        environment = msgspec.structs.replace(made["environment"], reward=made["reward"])
    except ConfigError as error:
        raise ConfigError(f"{where}{error}") from None
    return PilotTrainingSettings(
        ppo=made["ppo"], environment=environment, curriculum=made["curriculum"], observation=observation,
    )


def _keys(prefix: str, kind: Any) -> list[str]:
    """Every dotted key of the struct *kind*, those of structs inside it too."""
    found = []
    for field in msgspec.structs.fields(kind):
        key = f"{prefix}.{field.name}"
        if key == _OWN_TABLE:
            continue
        nested = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        found += _keys(key, field.type) if nested else [key]
    return found


def _check_keys(where: str, prefix: str, content: Any, known: list[str]) -> None:
    """Raise ConfigError for a key below *prefix* that is not known, and for a value in the place of a table."""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}{prefix} = {content!r}: is a table; write [{prefix}] and its keys below")
    for name, value in content.items():
        key = f"{prefix}.{name}"
        if any(one.startswith(f"{key}.") for one in known):
            _check_keys(where, key, value, known)
        elif key == _OWN_TABLE:
            raise ConfigError(f"{where}{key}: has a table of its own; write [reward]")
        elif key not in known:
            raise ConfigError(f"{where}{unknown_key(key, tuple(known))}")


def _converted(name: str, kind: Any, content: Mapping[str, Any]) -> Any:
    try:
        return msgspec.convert(content, kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        if isinstance(error.__cause__, ConfigError):  # of a struct's own checks, which name key and value
            raise error.__cause__ from None
        key, value = place.strip("`"), content
        for part in key.strip(".").split("."):
            value = value.get(part, "") if isinstance(value, Mapping) else value
        raise ConfigError(f"{name}{key} = {value!r}: {text[:1].lower()}{text[1:]}") from None
