"""Gate settings as people write them: tables in TOML or YAML that change some of the defaults.

A key that is left out keeps its default, inside the table of a mode too. What cannot be used raises ConfigError with
the dotted key, its value and what would be right; an unknown key is answered with the nearest one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import Trend
from quantum_trader.domain.errors import ConfigError, brief, is_number
from quantum_trader.domain.private_files import MOST_SETTINGS, read_bounded
from quantum_trader.models.gates import GATES, MODES, GateSettings, ModeLimits

SECTION: Final = "gates"
ANY: Final = "ANY"  # in place of a list of regimes
LIMITS: Final = tuple(ModeLimits.__struct_fields__)
_PLAIN: Final = ("mode", "enforced", "meta_label", "high_volatility_factor")
_TARGETS: Final = "pass_targets"
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {**dict.fromkeys(MODES, LIMITS), _TARGETS: GATES}
_SPELLINGS: Final = {"TREND": Trend.TRENDING.value, "CHOP": Trend.RANGING.value}  # as the gates were published
_TOML, _YAML = (".toml",), (".yaml", ".yml")
_MOST_NAMES: Final = 20  # of a list


def gate_keys() -> tuple[str, ...]:
    """Every dotted key that gate settings have, without the section's name."""
    return (*_PLAIN, *(f"{table}.{key}" for table, keys in _TABLES.items() for key in keys))


def gates_from(given: Mapping[str, Any], base: GateSettings | None = None) -> GateSettings:
    """*base* (the defaults where left out) with the settings *given*. Raises ConfigError."""
    base = base or GateSettings()
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key in _PLAIN:
            changes[key] = _plain(key, value)
        elif key in MODES:
            changes[key] = _mode_limits(key, value, getattr(base, key))
        elif key == _TARGETS:
            changes[key] = {**base.pass_targets, **_table(key, value)}
        else:
            raise ConfigError(f"{SECTION}.{key} = {brief(value)}: {_unknown(str(key))}")
    for name, share in changes.get(_TARGETS, {}).items():
        _check_share(name, share)
    try:
        return msgspec.structs.replace(base, **changes)
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"{SECTION}: ", f"{SECTION}.", 1)) from None


def _plain(key: str, value: Any) -> Any:
    """The *value* of a setting that is no table, where it is of the right kind."""
    if key == "enforced":
        names = _names(f"{SECTION}.{key}", value)
        for name in names:
            if name not in GATES:
                raise ConfigError(f"{SECTION}.{key} = {brief(value)}: no gate is called {name!r}; {_near(name, GATES)}")
        return tuple(name for name in GATES if name in names)
    if key in ("mode", "meta_label"):
        if not isinstance(value, str):
            raise ConfigError(f"{SECTION}.{key} = {brief(value)}: must be text")
        return value.strip()
    return _as_float(value)


def _as_float(value: Any) -> Any:
    """A whole number as a float, so that the same settings are the same however they are written."""
    return float(value) if is_number(value) else value


def _mode_limits(mode: str, value: Any, base: ModeLimits) -> ModeLimits:
    """The limits of *mode*: *base* with what the table *value* sets."""
    table = _table(mode, value)
    if "regimes" in table:
        table["regimes"] = _regimes(f"{SECTION}.{mode}.regimes", table["regimes"])
    try:
        return msgspec.structs.replace(base, **table)
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"{SECTION}: ", f"{SECTION}.{mode}.", 1)) from None


def _table(name: str, value: Any) -> dict[str, Any]:
    """The table *value* under *name*; ConfigError where it is none or has a key that is not known."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{SECTION}.{name} = {brief(value)}: is a table; write its keys below [{SECTION}.{name}]")
    for key, content in value.items():
        if key not in _TABLES[name]:
            raise ConfigError(f"{SECTION}.{name}.{key} = {brief(content)}: {_unknown(f'{name}.{key}')}")
    return {key: _as_float(content) for key, content in value.items()}


def _regimes(key: str, value: Any) -> tuple[str, ...]:
    """The regimes that *value* names, as the market measures call them."""
    known = tuple(one.value for one in Trend)
    if isinstance(value, str) and value.strip().upper() == ANY:
        return known
    names = [_SPELLINGS.get(name.upper(), name.upper()) for name in _names(key, value)]
    for name in names:
        if name not in known:
            meant = _near(name, (*known, *_SPELLINGS))
            raise ConfigError(f"{key} = {brief(value)}: no regime is called {name!r}; {meant}")
    if not names:
        raise ConfigError(f"{key} = {brief(value)}: name at least one, or the mode could never trade")
    return tuple(name for name in known if name in names)


def _names(key: str, value: Any) -> list[str]:
    """The names that *value* lists: a list of text, or text with commas."""
    if isinstance(value, str):
        value = [one for one in value.split(",") if one.strip()]
    listed = isinstance(value, list | tuple) and len(value) <= _MOST_NAMES
    if not listed or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{key} = {brief(value)}: must be a list of names")
    return [one.strip() for one in value]


def _check_share(name: str, share: Any) -> None:
    if not is_number(share) or not 0.0 <= share <= 1.0:
        raise ConfigError(f"{SECTION}.{_TARGETS}.{name} = {brief(share)}: must be a number from 0 to 1")


def _unknown(key: str) -> str:
    return f"unknown key; {_near(key, gate_keys())}"


def _near(name: str, known: Iterable[str]) -> str:
    """Which of *known* may be meant by *name*; all of them where none is like it."""
    known = tuple(known)
    near = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=1, cutoff=0.6)
    if not near:
        last = name.rpartition(".")[2]
        near = [one.lower() for one in known if one.rpartition(".")[2] == last][:1]
    meant = next((one for one in known if near and one.lower() == near[0]), "")
    return f"did you mean {meant!r}?" if meant else f"choose from {', '.join(known)}"


# ---- one setting at a time -----------------------------------------------------------------------------------------
def gates_with(settings: GateSettings, assignments: Iterable[str]) -> GateSettings:
    """*settings* with each of *assignments* (``scalp.max_spread_bps=4``). Raises ConfigError.

    What is enforced has a command of its own, which asks for evidence. A target without a value is removed.
    """
    for text in assignments:
        key, equals, written = text.partition("=")
        key = key.strip().removeprefix(f"{SECTION}.")
        if not equals:
            raise ConfigError(f"{text!r}: write KEY=VALUE, such as scalp.max_spread_bps=4")
        if key == "enforced":
            raise ConfigError(f"{text!r}: use `gates enforce GATE`, which asks for evidence, or `gates observe GATE`")
        if key == "meta_label":
            raise ConfigError(f"{text!r}: a run loads its meta-label when it starts; name it in the file of --gates")
        if key not in gate_keys():
            raise ConfigError(f"{text!r}: {_unknown(key)}")
        table, _, name = key.rpartition(".")
        if table == _TARGETS and not written.strip():
            left = {gate: share for gate, share in settings.pass_targets.items() if gate != name}
            settings = msgspec.structs.replace(settings, pass_targets=left)
            continue
        value = _value_of(key, written.strip())
        settings = gates_from({table: {name: value}} if table else {name: value}, settings)
    return settings


def _value_of(key: str, written: str) -> Any:
    """What *written* means for *key*: a number, or text."""
    if key == "mode" or key.endswith("regimes"):
        return written
    try:
        return float(written)
    except ValueError:
        raise ConfigError(f"{SECTION}.{key} = {written!r}: must be a number") from None


def flat_gates(settings: GateSettings) -> dict[str, Any]:
    """Every setting by its dotted key, as plain values."""
    plain = msgspec.to_builtins(settings)
    flat = {key: plain[key] for key in _PLAIN}
    for table in _TABLES:
        flat |= {f"{table}.{key}": value for key, value in plain[table].items()}
    return flat


def gate_changes(before: GateSettings, after: GateSettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that differ, by dotted key: as they were, and as they are; None where one is not there."""
    old, new = flat_gates(before), flat_gates(after)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return {key: old.get(key) for key in keys}, {key: new.get(key) for key in keys}


# ---- files ---------------------------------------------------------------------------------------------------------
def read_gates(file: Path) -> dict[str, Any]:
    """The settings in *file* (TOML or YAML), with or without a ``gates`` around them; ConfigError.

    They are checked as a whole; what the file leaves out is not in the answer.
    """
    kind = file.suffix.lower()
    if kind not in (*_TOML, *_YAML):
        raise ConfigError(f"--gates {file}: the name must end in .toml, .yaml or .yml")
    try:
        text = read_bounded(file, MOST_SETTINGS).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"--gates {file}: cannot be read: {why}") from None
    try:
        content = _from_toml(text) if kind in _TOML else plain_yaml(text)
        if isinstance(content, Mapping) and set(content) == {SECTION}:
            content = content[SECTION]
        if content is None:
            content = {}
        if not isinstance(content, Mapping):
            raise ConfigError(f"holds {brief(content)}; write keys and values, such as mode: trend")
        gates_from(content)
    except ConfigError as error:
        raise ConfigError(f"--gates {file.name}: {error}") from None
    return dict(content)


def _from_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not TOML: {error}") from None


def plain_yaml(text: str) -> Any:
    """What the YAML *text* holds; ConfigError where it is none, repeats a key or has an alias."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Plain values alone: no tags of Python, no aliases, no key twice."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            """A node that is no alias: those can unfold without end."""
            if self.check_event(yaml.AliasEvent):
                raise ConfigError(f"line {self.peek_event().start_mark.line + 1}: aliases (*name) are not taken")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """A table whose keys are each there once."""
            seen: set[str] = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise ConfigError(f"line {key.start_mark.line + 1}: {key.value!r} stands there twice")
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"is not YAML: {' '.join(str(error).split())}") from None


def own_yaml(text: str) -> Any:
    """What the YAML *text* of a file of this program holds: read by the C library where there is one, unchecked."""
    import yaml

    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def default_text() -> str:
    """The file ``gates.yaml`` that states the defaults, with what each of them means."""
    return files("quantum_trader").joinpath("data", "gates.yaml").read_text(encoding="utf-8")
