"""Profiles: the numbers of a policy, their sources and their permitted ranges.

A profile is data: TOML shipped with the package, or a user's file that overrides or adds one. It is read strictly: a
unknown key or a value out of its range is an error that names the key.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import math
import os
import struct
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import ENTRY_CODES, EXIT_CODES, EntryMode, ExitMode
from quantum_trader.domain.errors import ConfigError, brief, is_finite_number
from quantum_trader.domain.private_files import MOST_SETTINGS, read_bounded
from quantum_trader.policy.layout import LABELS, PROFILE_ROWS
from quantum_trader.policy.storage import path_of

ENVIRONMENT: Final = "ORCH_PROFILE"
DEFAULT_PROFILE: Final = "SAFE"
STANDARD: Final = "STANDARD"
SENSITIVITIES: Final = ("LOW", "STANDARD", "HIGH")  # the position is the code
LABEL_MODES: Final = ("single", "compound")
CATEGORIES: Final = (
    "core", "risk_multipliers", "confidence_adjustments", "symbol_performance_thresholds", "exit_mode_bias",
    "entry_mode_bias", "recovery_multiplier", "recovery_after_streak", "cost_sensitivity", "max_cost_in_r",
)

_PERCENT: Final = "is in percent (0.8 means 0.8 %), not a fraction"
_FRACTION: Final = "is ATR over price, a fraction (0.04 means 4 %)"
# key -> least, most, whole number, hint
_CORE: Final[dict[str, tuple[float, float, bool, str]]] = {
    "base_confidence": (0.0, 0.95, False, "is a confidence between 0 and 0.95"),
    "base_risk_pct": (0.05, 10.0, False, f"{_PERCENT}; allowed 0.05 to 10"),
    "daily_dd_limit": (0.2, 50.0, False, f"{_PERCENT}; allowed 0.2 to 50"),
    "losing_streak_limit": (1, 100, True, "is a number of trades, 1 to 100"),
    "max_open_positions": (1, 1000, True, "is a number of positions, 1 to 1000"),
    "total_exposure_limit": (0.5, 100.0, False, f"{_PERCENT}; initial margin over equity, allowed 0.5 to 100"),
    "extreme_vol_threshold": (0.005, 1.0, False, f"{_FRACTION}; allowed 0.005 to 1"),
    "high_vol_threshold": (0.005, 1.0, False, f"{_FRACTION}; allowed 0.005 to 1"),
    "high_spread_bps": (0.1, 1000.0, False, "is in basis points, 0.1 to 1000"),
    "high_slippage_bps": (0.1, 1000.0, False, "is in basis points, 0.1 to 1000"),
    "policy_update_interval_sec": (0.0, 86_400.0, False, "is in seconds, 0 to 86400"),
    "similarity_threshold": (0.0, 1.0, False, "is a similarity between 0 and 1"),
    "persistence": (1, 1000, True, "is a number of evaluations, 1 to 1000"),
}
_SCALARS: Final[dict[str, tuple[float, float, bool, str]]] = {
    "recovery_multiplier": (1.0, 3.0, False, "multiplies the risk per win, 1 to 3"),
    "recovery_after_streak": (0, 100, True, "is a number of wins, 0 to 100"),
    "max_cost_in_r": (0.01, 5.0, False, "is in R, 0.01 to 5"),
    "volatility_target_pct": (0.1, 50.0, False, f"is of the portfolio, a year; {_PERCENT}; allowed 0.1 to 50"),
}
_THRESHOLDS: Final[dict[str, tuple[float, float, bool, str]]] = {
    "min_winrate": (0.0, 1.0, False, "is a rate between 0 and 1 (0.45 means 45 %)"),
    "min_avg_r": (-5.0, 5.0, False, "is in R, -5 to 5"),
    "bad_streak_limit": (1, 100, True, "is a number of losses, 1 to 100"),
}
_MULTIPLIER: Final = (0.0, 3.0, False, "multiplies the risk, 0 to 3")
_CUT: Final = (0.0, 1.0, False, "multiplies the risk, 0 to 1: it may only lower it")
_PENALTY: Final = (0.0, 1.0, False, "is a share taken off the risk, 0 to 1")
_ADJUSTMENT: Final = (-0.5, 0.5, False, "is added to the confidence, -0.5 to 0.5")
_RAISE: Final = (0.0, 0.5, False, "is added to the confidence, 0 to 0.5: it may only raise it")
_RISK_KEYS: Final = {
    **dict.fromkeys(LABELS, _MULTIPLIER),
    "losing_streak_per_loss": _PENALTY, "drawdown_per_pct": _PENALTY,
    "high_spread": _CUT, "high_slippage": _CUT, "extreme_vol": _CUT,
}
_CONFIDENCE_KEYS: Final = {
    **dict.fromkeys(LABELS, _ADJUSTMENT),
    "high_spread": _RAISE, "high_slippage": _RAISE, "low_liquidity": _RAISE, "extreme_vol": _RAISE,
}
# Other spellings that are accepted: at the top of a file, and in its tables.
_SPELLINGS: Final[dict[str, dict[str, str]]] = {
    "": {"max_cost_in_R": "max_cost_in_r"},
    "risk_multipliers": {
        "high_spread_multiplier": "high_spread", "high_slippage_multiplier": "high_slippage",
        "extreme_vol_multiplier": "extreme_vol",
    },
    "symbol_performance_thresholds": {"min_avg_R": "min_avg_r"},
}
_log: Final = logging.getLogger(__name__)
_TABLES: Final = (
    "risk_multipliers", "confidence_adjustments", "symbol_performance_thresholds", "exit_mode_bias", "entry_mode_bias",
)


def _standard(key: str) -> Any:
    return _packaged(STANDARD)[key]


def _default(key: str) -> Any:
    return msgspec.field(default_factory=lambda: _copied(_standard(key)))


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


class ProfileMapping(dict[str, Any]):
    """The ten categories of a profile as a mapping; a copy, so that changing it changes no profile.

    A core parameter is found under its own name too, and every key in each accepted spelling (``min_avg_R``,
    ``high_spread_multiplier``).
    """

    def __init__(self, categories: Mapping[str, Any], others: Mapping[str, Any], spellings: Mapping[str, str]) -> None:
        super().__init__(categories)
        self._others, self._spellings = others, spellings

    def __missing__(self, key: str) -> Any:
        proper = self._spellings.get(key, key)
        if proper in self.keys():
            return self[proper]
        return self._others[proper]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._others or key in self._spellings

    def get(self, key: str, default: Any = None) -> Any:
        """The value of *key*, else *default*."""
        try:
            return self[key]
        except KeyError:
            return default


class ProfileLookup:
    """Lookup by key beside the attributes: ``profile["base_confidence"]``."""

    __slots__ = ()

    @property
    def categories(self) -> ProfileMapping:
        """The ten categories as a mapping; a copy."""
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        return self.categories[key]

    def __contains__(self, key: object) -> bool:
        return key in self.categories

    def __iter__(self) -> Iterator[str]:
        return iter(self.categories)

    def keys(self) -> Iterable[str]:
        """The names of the ten categories."""
        return self.categories.keys()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of *key*, else *default*."""
        return self.categories.get(key, default)


class OrchestratorConfig(ProfileLookup, msgspec.Struct, frozen=True, kw_only=True):
    """All numbers of one profile; without arguments those of STANDARD. Read as attributes or by key.

    ``_pct`` and the two limits are percent, ``_bps`` basis points, volatility thresholds fractions. Raises
    ConfigError naming the key of a value that is not acceptable.
    """

    name: str = STANDARD
    description: str = _default("description")
    base_confidence: float = _default("base_confidence")
    base_risk_pct: float = _default("base_risk_pct")
    daily_dd_limit: float = _default("daily_dd_limit")
    losing_streak_limit: int = _default("losing_streak_limit")
    max_open_positions: int = _default("max_open_positions")
    total_exposure_limit: float = _default("total_exposure_limit")
    extreme_vol_threshold: float = _default("extreme_vol_threshold")
    high_vol_threshold: float = _default("high_vol_threshold")
    high_spread_bps: float = _default("high_spread_bps")
    high_slippage_bps: float = _default("high_slippage_bps")
    policy_update_interval_sec: float = _default("policy_update_interval_sec")
    similarity_threshold: float = _default("similarity_threshold")
    persistence: int = _default("persistence")
    risk_multipliers: dict[str, float] = _default("risk_multipliers")
    confidence_adjustments: dict[str, float] = _default("confidence_adjustments")
    symbol_performance_thresholds: dict[str, float] = _default("symbol_performance_thresholds")
    exit_mode_bias: dict[str, str] = _default("exit_mode_bias")
    entry_mode_bias: dict[str, str] = _default("entry_mode_bias")
    recovery_multiplier: float = _default("recovery_multiplier")
    recovery_after_streak: int = _default("recovery_after_streak")
    cost_sensitivity: str = _default("cost_sensitivity")
    max_cost_in_r: float = _default("max_cost_in_r")
    volatility_target_pct: float = _default("volatility_target_pct")
    labels: str = _default("labels")

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or self.name != self.name.strip():
            raise ConfigError(f"name = {self.name!r}: a profile needs a name without spaces around it")
        for key, (least, most, whole, hint) in {**_CORE, **_SCALARS}.items():
            value = _number(key, getattr(self, key), least, most, whole, hint)
            msgspec.structs.force_setattr(self, key, value)
        for key, known in (
            ("risk_multipliers", _RISK_KEYS), ("confidence_adjustments", _CONFIDENCE_KEYS),
            ("symbol_performance_thresholds", _THRESHOLDS),
        ):
            msgspec.structs.force_setattr(self, key, _numbers(key, getattr(self, key), known))
        msgspec.structs.force_setattr(self, "exit_mode_bias", _modes("exit_mode_bias", self.exit_mode_bias, ExitMode))
        msgspec.structs.force_setattr(
            self, "entry_mode_bias", _modes("entry_mode_bias", self.entry_mode_bias, EntryMode)
        )
        _one_of("cost_sensitivity", self.cost_sensitivity, SENSITIVITIES)
        _one_of("labels", self.labels, LABEL_MODES)
        _check_order(self)

    @classmethod
    def from_profile(
        cls, profile_name: str | None = None, *, directory: Path | str | None = None, **overrides: Any
    ) -> OrchestratorConfig:
        """The profile *profile_name* (any case), with single values replaced by *overrides*.

        Without a name: ``ORCH_PROFILE`` of the environment, else SAFE.
        """
        config = get_active_profile(profile_name=profile_name, directory=directory).config
        if not overrides:
            return config
        unknown = sorted(set(overrides) - set(cls.__struct_fields__))
        if unknown:
            raise ConfigError(f"unknown setting {unknown[0]!r}; settings: {', '.join(cls.__struct_fields__)}")
        return msgspec.structs.replace(config, **overrides)

    @property
    def categories(self) -> ProfileMapping:
        """The ten categories as a mapping; a copy."""
        core = {key: getattr(self, key) for key in _CORE}
        tables = {key: ProfileMapping(getattr(self, key), {}, _SPELLINGS.get(key, {})) for key in _TABLES}
        rest = {key: getattr(self, key) for key in CATEGORIES if key != "core" and key not in tables}
        others = {
            **core, "name": self.name, "description": self.description, "labels": self.labels,
            "volatility_target_pct": self.volatility_target_pct,
        }
        return ProfileMapping({"core": core, **tables, **rest}, others, _SPELLINGS[""])

    @property
    def fingerprint(self) -> str:
        """Hash of every number that decides; the same for two profiles that decide alike."""
        vector = profile_vector(self)
        return hashlib.blake2b(struct.pack(f"<{len(vector)}d", *vector), digest_size=8).hexdigest()


class ActiveProfile(ProfileLookup, msgspec.Struct, frozen=True, kw_only=True):
    """The profile in use, and where the choice came from (an argument, the environment or the default).

    Its numbers are read from ``config`` or by key.
    """

    name: str
    source: str
    config: OrchestratorConfig

    @property
    def categories(self) -> ProfileMapping:
        """The ten categories as a mapping; a copy."""
        return self.config.categories


# ---- validation -----------------------------------------------------------------------------------------------------
def _number(key: str, value: Any, least: float, most: float, whole: bool, hint: str) -> float | int:
    """*value* as a number of its kind; ConfigError when it is none or out of range."""
    if not is_finite_number(value):
        raise ConfigError(f"{key} = {brief(value)}: must be a number; it {hint}")
    if whole and value != int(value):
        raise ConfigError(f"{key} = {brief(value)}: must be a whole number; it {hint}")
    if not least <= value <= most:
        raise ConfigError(f"{key} = {brief(value)}: it {hint}")
    return int(value) if whole else float(value)


def _numbers(table: str, values: Any, known: Mapping[str, tuple[float, float, bool, str]]) -> dict[str, float]:
    """The numbers of one table, with accepted spellings made one."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{table} = {brief(values)}: must be a table of numbers")
    result: dict[str, float] = {}
    for key, value in values.items():
        proper = _SPELLINGS.get(table, {}).get(str(key), str(key))
        if proper not in known:
            raise ConfigError(_unknown(f"{table}.{key}", str(key), known))
        if proper in result:
            raise ConfigError(f"{table}.{key}: given twice, as {proper} and another spelling")
        least, most, whole, hint = known[proper]
        result[proper] = _number(f"{table}.{key}", value, least, most, whole, hint)
    return result


def _modes(table: str, values: Any, modes: type[EntryMode] | type[ExitMode]) -> dict[str, str]:
    """Mode per label, as the mode's word."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{table} = {brief(values)}: must be a table of modes per label")
    words = [mode.value for mode in modes]
    result = {}
    for key, value in values.items():
        if key not in LABELS:
            raise ConfigError(_unknown(f"{table}.{key}", key, LABELS))
        _one_of(f"{table}.{key}", value, words)
        result[key] = str(modes(value).value)
    return result


def _one_of(key: str, value: Any, words: Iterable[str]) -> None:
    if not isinstance(value, str) or value not in words:
        raise ConfigError(f"{key} = {brief(value)}: must be one of {', '.join(words)}")


def _unknown(path: str, key: str, known: Iterable[str]) -> str:
    near = [name for name in known if name.strip().lower() == key.strip().lower()]
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {brief(path)}; {hint}"


def _check_order(config: OrchestratorConfig) -> None:
    """Refuse values that contradict each other."""
    if not config.high_vol_threshold < config.extreme_vol_threshold:
        raise ConfigError(
            f"high_vol_threshold = {config.high_vol_threshold!r}: must be below "
            f"extreme_vol_threshold = {config.extreme_vol_threshold!r}"
        )
    multipliers = config.risk_multipliers
    spread, slippage = multipliers.get("high_spread", 1.0), multipliers.get("high_slippage", 1.0)
    if config.cost_sensitivity != "HIGH" and spread != slippage:
        raise ConfigError(
            f"risk_multipliers.high_slippage = {slippage!r}: must equal high_spread = {spread!r} unless "
            "cost_sensitivity is HIGH: only the smaller cut would apply when both are high, so a second high cost "
            "would raise the risk"
        )


# ---- the vector the rules read --------------------------------------------------------------------------------------
def profile_vector(config: OrchestratorConfig) -> list[float]:
    """*config* as the numbers the scalar rules index, in the order of ``policy.layout.P_*``."""
    risk, confidence = config.risk_multipliers, config.confidence_adjustments
    limits = config.symbol_performance_thresholds
    rows = [
        (
            risk.get(label, 1.0), confidence.get(label, 0.0),
            float(ENTRY_CODES.index(EntryMode(config.entry_mode_bias.get(label, "NORMAL")))),
            float(EXIT_CODES.index(ExitMode(config.exit_mode_bias.get(label, "TREND_FOLLOW")))),
        )
        for label in LABELS
    ]
    head = [
        *(float(getattr(config, key)) for key in (
            "base_confidence", "base_risk_pct", "daily_dd_limit", "losing_streak_limit", "max_open_positions",
            "total_exposure_limit", "extreme_vol_threshold", "high_vol_threshold", "high_spread_bps",
            "high_slippage_bps", "policy_update_interval_sec", "similarity_threshold", "persistence",
        )),
        float(LABEL_MODES.index(config.labels)), float(SENSITIVITIES.index(config.cost_sensitivity)),
        config.max_cost_in_r, config.recovery_multiplier, float(config.recovery_after_streak),
        risk.get("losing_streak_per_loss", 0.0), risk.get("drawdown_per_pct", 0.0),
        risk.get("high_spread", 1.0), risk.get("high_slippage", 1.0), risk.get("extreme_vol", 0.0),
        confidence.get("high_spread", 0.0), confidence.get("high_slippage", 0.0),
        confidence.get("low_liquidity", 0.0), confidence.get("extreme_vol", 0.0),
        *(float(limits.get(key, math.nan)) for key in ("min_winrate", "min_avg_r", "bad_streak_limit")),
        min(row[0] for row in rows), max(row[1] for row in rows), config.volatility_target_pct,
    ]
    assert len(head) == PROFILE_ROWS
    return [*head, *(value for row in rows for value in row)]


# ---- reading --------------------------------------------------------------------------------------------------------
@cache
def _packaged(name: str) -> dict[str, Any]:
    """The settings of a shipped profile, flat."""
    text = resources.files("quantum_trader.policy").joinpath("profile_data", f"{name}.toml").read_text("utf-8")
    return _flatten(tomllib.loads(text), f"{name}.toml")


@cache
def packaged_names() -> tuple[str, ...]:
    """Names of the shipped profiles."""
    folder = resources.files("quantum_trader.policy").joinpath("profile_data")
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def _user_files(directory: Path | str | None) -> dict[str, Path]:
    """Upper-case name -> file of the user's profiles."""
    if directory is None:
        return {}
    folder = path_of("profile directory", directory)
    if not os.path.isdir(folder):  # false, too, for a name that is too long
        raise ConfigError(f"profile directory = {brief(str(folder))}: no such directory")
    return {path.stem.upper(): path for path in sorted(folder.glob("*.toml"))}


def profile_names(directory: Path | str | None = None) -> tuple[str, ...]:
    """Names that can be chosen: the shipped profiles and those of *directory*."""
    return tuple(sorted({*packaged_names(), *_user_files(directory)}))


def load_profile(name: str, *, directory: Path | str | None = None) -> OrchestratorConfig:
    """The profile *name* (any case); a file of *directory* wins over a shipped one. ConfigError lists the names."""
    config = _found(name, directory)
    _log.info("Loading %s profile: %s", config.name, config.description)
    return config


def _found(name: str, directory: Path | str | None) -> OrchestratorConfig:
    if not isinstance(name, str):
        raise ConfigError(f"profile = {brief(name)}: must be a name, one of {', '.join(profile_names(directory))}")
    wanted = name.strip().upper()
    files = _user_files(directory)
    if wanted in files:
        return read_profile(files[wanted], directory=directory)
    if wanted in packaged_names():
        return OrchestratorConfig(name=wanted, **{key: _copied(value) for key, value in _packaged(wanted).items()})
    names = profile_names(directory)
    near = difflib.get_close_matches(name.upper(), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"unknown profile {brief(name)}; {hint}profiles: {', '.join(names)}")


def read_profile(path: Path | str, *, directory: Path | str | None = None) -> OrchestratorConfig:
    """The profile of one TOML file.

    A file may say ``extends = "SAFE"``; one that carries a shipped profile's name extends that profile. Any other must
    give every core parameter.
    """
    file = Path(path)
    try:
        raw = tomllib.loads(read_bounded(file, MOST_SETTINGS).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"profile file {file.name!r} cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"profile file {file.name!r} is not TOML: {error}") from None
    name = file.stem.upper()
    parent = raw.pop("extends", name if name in packaged_names() else None)
    settings = _flatten(raw, file.name)
    if parent is None:
        missing = [key for key in _CORE if key not in settings]
        if missing:
            raise ConfigError(
                f"{file.name}: {missing[0]!r} is missing; give every core parameter or say extends = \"SAFE\""
            )
        base: dict[str, Any] = {
            "risk_multipliers": {}, "confidence_adjustments": {}, "symbol_performance_thresholds": {},
            "exit_mode_bias": {}, "entry_mode_bias": {}, "labels": "single",
        }
    else:
        base = _parent(parent, name, directory)
    try:
        return OrchestratorConfig(name=name, **_merged(base, settings))
    except ConfigError as error:
        raise ConfigError(f"{file.name}: {error}") from None


def _parent(parent: Any, name: str, directory: Path | str | None) -> dict[str, Any]:
    """The settings a file builds on; a file of a shipped name, or extending its own name, builds on the shipped one."""
    if isinstance(parent, str) and parent.strip().upper() in packaged_names():
        return _packaged(parent.strip().upper())
    if isinstance(parent, str) and parent.strip().upper() == name:
        raise ConfigError(f"extends = {brief(parent)}: a profile cannot extend itself")
    raise ConfigError(f"extends = {brief(parent)}: must be a shipped profile: {', '.join(packaged_names())}")


def _merged(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """*settings* over *base*; tables key by key."""
    result = {key: _copied(value) for key, value in base.items()}
    for key, value in settings.items():
        if key in _TABLES and isinstance(value, Mapping):
            spellings = _SPELLINGS.get(key, {})
            renamed = {spellings.get(name, name): number for name, number in value.items()}
            if len(renamed) != len(value):
                raise ConfigError(f"{key}: a key is given in two spellings")
            result[key] = {**result.get(key, {}), **renamed}
        else:
            result[key] = value
    return result


def _flatten(raw: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """TOML to settings: core keys may stand in [core] or at the top; unknown keys are refused."""
    known = (*_CORE, *_SCALARS, *_TABLES, "cost_sensitivity", "labels", "description")
    settings: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "core" and isinstance(value, Mapping):
            for inner, number in value.items():
                if inner not in _CORE:
                    raise ConfigError(f"{origin}: {_unknown(f'core.{inner}', inner, _CORE)}")
                if inner in settings or inner in raw:
                    raise ConfigError(f"{origin}: {inner!r} is given twice")
                settings[inner] = number
            continue
        proper = _SPELLINGS[""].get(key, key)
        if proper not in known:
            raise ConfigError(f"{origin}: {_unknown(key, key, known)}")
        if proper in settings:
            raise ConfigError(f"{origin}: {proper!r} is given twice")
        settings[proper] = value
    return settings


def get_active_profile(
    config: OrchestratorConfig | None = None, profile_name: str | None = None, *,
    directory: Path | str | None = None, environ: Mapping[str, str] | None = None,
) -> ActiveProfile:
    """The profile in use: *config*, else *profile_name*, else ``ORCH_PROFILE`` of the environment, else SAFE."""
    active = _chosen(config, profile_name, directory, environ)
    _log.info("Using profile: %s (%s)", active.name, active.source)
    return active


def _chosen(
    config: OrchestratorConfig | None, profile_name: str | None, directory: Path | str | None,
    environ: Mapping[str, str] | None,
) -> ActiveProfile:
    if config is not None:
        if not isinstance(config, OrchestratorConfig):
            raise ConfigError(f"config = {brief(config)}: must be an OrchestratorConfig")
        return ActiveProfile(name=config.name, source="argument config", config=config)
    if profile_name is not None:
        chosen = load_profile(profile_name, directory=directory)
        return ActiveProfile(name=chosen.name, source="argument profile_name", config=chosen)
    wanted = (os.environ if environ is None else environ).get(ENVIRONMENT, "").strip()
    if wanted:
        chosen = load_profile(wanted, directory=directory)
        return ActiveProfile(name=chosen.name, source=f"environment {ENVIRONMENT}", config=chosen)
    return ActiveProfile(
        name=DEFAULT_PROFILE, source="default", config=load_profile(DEFAULT_PROFILE, directory=directory)
    )
