"""The settings of a run: one frozen value composed of what each room owns, read strictly, with where each came from.

Later layers win: defaults, the TOML file of ``--config``, the environment (``ORCH_PROFILE`` alone), the command line.
An unknown key is an error that names it and the nearest valid one.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import OrchestratorMode, PilotMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.pilot_settings import LIVE, PilotSettings
from quantum_trader.domain.private_files import MOST_SETTINGS, read_bounded
from quantum_trader.domain.symbols import check_symbols
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.recording import RecordingSettings
from quantum_trader.market.regime import MarketSettings
from quantum_trader.models.gate_tables import gates_from
from quantum_trader.models.gates import GateSettings
from quantum_trader.models.learned.artefact import is_learned_folder
from quantum_trader.models.loading import PLACES, REGISTRY_PREFIX, TREND, ModelSettings, expanded, with_class
from quantum_trader.models.score_file import SCORE_FILES
from quantum_trader.policy.enforcement import SWITCHES, OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import ActiveProfile, get_active_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals.settings import SignalSettings
from quantum_trader.venues.paper.settings import PaperSettings

META_LABEL: Final = "gates.meta_label"
LIVE_SECTION: Final = "live"  # of live trading alone; see live_settings
DEFAULT_SET: Final = TREND  # its models give the signals where neither [[models]] nor --model names any
_ENGINE: Final = {field.name: field.default for field in msgspec.structs.fields(EngineSettings)}
UNGATED_LIMITS: Final = RiskLimits(
    max_notional_pct=10_000.0, max_notional_usdt=1e9, max_positions=1000, max_exposure_pct=100.0, daily_loss_pct=50.0,
    max_orders_per_hour=100_000, max_cost_r=10.0,
)
_VARYING: Final = (("data", "path"), ("policy", "profile_directory"))  # where things lie decides nothing


def moment(key: str, text: str) -> date | datetime | None:
    """The date or UTC time *text* says; None when empty. ConfigError when it is neither."""
    if not text:
        return None
    try:
        if len(text) == len("2024-01-01"):
            return date.fromisoformat(text)
        stamp = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{key} = {text!r}: must be a date or time like 2024-01-31 or 2024-01-31T12:00") from None
    return stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)


class DataSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars are replayed. Empty values mean: the bundled recording, its own interval, all of it."""

    path: str = ""  # folder of a bar store
    interval: str = ""  # "1m", "5m", "30m", "1h" ...
    symbols: tuple[str, ...] = ()
    start: str = ""  # ISO date or time, UTC; included
    end: str = ""  # ISO date (the whole day is included) or time (excluded), UTC
    assumed_funding_rate: float = 0.0001  # per 8 hours, for symbols without a funding history
    warm_up: bool = True  # indicators, models and calibration begin with the store's first bar, not with start
    zero_volume_is_outage: bool = True  # a bar without volume is no market

    def __post_init__(self) -> None:
        first, last = moment("data.start", self.start), moment("data.end", self.end)
        if first is not None and last is not None and str(last)[:10] < str(first)[:10]:
            raise ConfigError(f"data.end = {self.end!r}: lies before data.start = {self.start!r}")
        check_symbols("data.symbols", self.symbols)


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The account a run starts with."""

    start_equity: float = _ENGINE["start_equity"]  # USDT
    leverage: float = _ENGINE["leverage"]  # wanted; the guard and the venue's tiers may lower it


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there is a policy, and which profile; an empty profile means ORCH_PROFILE, then SAFE."""

    enabled: bool = True
    profile: str = ""
    profile_directory: str = ""  # the user's own profiles, one TOML file each


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's own few settings."""

    operator_resume_hours: float = _ENGINE["operator_resume_hours"]  # simulated operator of a replay; 0: never
    trail_step_atr: float = _ENGINE["trail_step_atr"]
    intent_ttl_s: int = _ENGINE["intent_ttl_s"]
    volatility_target_pct: float = _ENGINE["volatility_target_pct"]  # a year; where risk sizing is not the policy's
    maker_entry_bars: int = _ENGINE["maker_entry_bars"]  # bars that an entry rests post-only; 0: at market at once
    ungated: bool = False  # replay only: every target is traded, to compare; no policy, threshold, limit or governor


class PilotOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The pilot of a run, and its settings until a person or program changes them in the policy store."""

    model: str = ""  # folder of a trained pilot, "bundled", "registry:champion" or "registry:ID"; empty: none
    registry: str = ""  # folder of the registry that is meant; empty: this user's
    enabled: bool = PilotSettings().enabled
    mode: PilotMode = PilotSettings().mode
    min_confidence: float = PilotSettings().min_confidence
    max_trades_per_hour: int = PilotSettings().max_trades_per_hour

    def __post_init__(self) -> None:
        try:
            _ = self.settings
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"{LIVE}.", "pilot.", 1)) from None

    @property
    def settings(self) -> PilotSettings:
        """What the pilot may do."""
        return PilotSettings(
            enabled=self.enabled, mode=self.mode, min_confidence=self.min_confidence,
            max_trades_per_hour=self.max_trades_per_hour,
        )


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what a run does.

    Every default stands here, that of the models too: ``load_settings`` gives only what a file or a flag sets. An empty
    tuple of models, which older records state, means the intraday models.
    """

    data: DataSettings = DataSettings()
    account: AccountSettings = AccountSettings()
    policy: PolicySettings = PolicySettings()
    rollout: OrchestratorIntegrationConfig = msgspec.field(default_factory=OrchestratorIntegrationConfig)
    market: MarketSettings = MarketSettings()
    signals: SignalSettings = SignalSettings()
    risk: RiskLimits = RiskLimits()
    venue: PaperSettings = PaperSettings()
    engine: EngineOptions = EngineOptions()
    gates: GateSettings = GateSettings()
    pilot: PilotOptions = PilotOptions()
    models: tuple[ModelSettings, ...] = expanded((ModelSettings(model=DEFAULT_SET),))

    def active_profile(self) -> ActiveProfile:
        """The profile in use and where the choice came from."""
        return get_active_profile(
            profile_name=self.policy.profile or None, directory=self.policy.profile_directory or None
        )

    def engine_settings(self) -> EngineSettings:
        """What the engine is built from."""
        ungated = self.engine.ungated
        return EngineSettings(
            profile=self.active_profile().config, start_equity=self.account.start_equity,
            leverage=self.account.leverage, policy_enabled=self.policy.enabled and not ungated,
            integration=self.rollout, market=self.market, signals=self.signals,
            limits=self.risk if not ungated else UNGATED_LIMITS,
            gates=self.gates if not ungated else msgspec.structs.replace(self.gates, enforced=()),
            funding_rate_8h=self.data.assumed_funding_rate, **msgspec.structs.asdict(self.engine),
        )

    def paper_settings(self) -> PaperSettings:
        """What the paper venue is built from: its section, with the account's money and the assumed funding."""
        return msgspec.structs.replace(
            self.venue, initial_cash=self.account.start_equity, assumed_funding_rate=self.data.assumed_funding_rate
        )

    def recording_arguments(self) -> dict[str, Any]:
        """The arguments of ``open_recording``."""
        data = self.data
        return {
            "path": Path(data.path) if data.path else None, "interval": data.interval or None,
            "symbols": data.symbols or None, "start": moment("data.start", data.start),
            "end": moment("data.end", data.end), "warm_up": data.warm_up,
            "settings": RecordingSettings(
                assumed_funding_rate=data.assumed_funding_rate, zero_volume_is_outage=data.zero_volume_is_outage
            ),
        }

    def effective(self) -> dict[str, Any]:
        """Every setting as plain values, the profile's numbers among them, without what decides nothing (folders)."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        for section, key in _VARYING:
            del plain[section][key]
        for entry in plain[MODELS]:
            if follows := entry.pop("follows"):  # a run states the model by its hash
                entry["model"], entry["params"], entry["name"] = follows, {}, ""
            del entry["registry"]
            entry["model"] = Path(entry["model"]).name  # where the file lies decides nothing
            for key in ("file", PLACES.get(entry["model"], "file")):
                if isinstance(place := entry["params"].get(key), str):
                    entry["params"][key] = Path(place).name
        for key in _SET_ELSEWHERE:
            section, _, name = key.partition(".")
            del plain[section][name]
        if self.pilot.model:
            for key in ("model", "registry"):
                del plain["pilot"][key]  # where it lies decides nothing: a run states the model by its hash
        else:
            del plain["pilot"]  # without a pilot its settings decide nothing
        if self.gates == GateSettings():
            del plain["gates"]  # a folder of before there were gates has the same identity
        elif self.gates.meta_label and not self.gates.meta_label.startswith(REGISTRY_PREFIX):
            plain["gates"]["meta_label"] = Path(self.gates.meta_label).name
        active = self.active_profile()
        plain["policy"]["profile"] = active.name
        plain["profile"] = msgspec.to_builtins(active.config)
        return plain

    def settings_hash(self) -> str:
        """Identity of these settings: two runs with the same hash and data do the same."""
        return hash_of(self.effective())


def hash_of(effective: Mapping[str, Any]) -> str:
    """The hash of *effective* settings, as :meth:`RunSettings.effective` or the record of a run states them."""
    return hashlib.sha256(msgspec.json.encode(effective, order="deterministic")).hexdigest()


# Settings that another room's struct carries but that have their one home here.
_SET_ELSEWHERE: Final = {
    "venue.initial_cash": "account.start_equity",
    "venue.default_leverage": "account.leverage",
    "venue.assumed_funding_rate": "data.assumed_funding_rate",
}
# What the engine calls a setting, and the key a person gave it under.
_NAMED_ELSEWHERE: Final = {
    "start_equity": "account.start_equity", "initial_cash": "account.start_equity",
    "leverage": "account.leverage", "default_leverage": "account.leverage",
    "funding_rate_8h": "data.assumed_funding_rate", "assumed_funding_rate": "data.assumed_funding_rate",
    **{name: f"engine.{name}" for name in EngineOptions.__struct_fields__},
}
_FOUND: Final = ("follows", "registry")  # of a model that was found by an alias; nobody writes them
MODELS: Final = "models"  # an array of tables, one a model: [[models]]
_SECTIONS: Final = {
    field.name: field.type for field in msgspec.structs.fields(RunSettings) if field.name != MODELS
}


class LoadedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings and, for each dotted key, where its value came from: default, a file's name, environment, a flag."""

    settings: RunSettings
    sources: dict[str, str]


def known_keys() -> tuple[str, ...]:
    """Every dotted key a settings file may hold."""
    return tuple(
        f"{section}.{field.name}"
        for section, kind in _SECTIONS.items()
        for field in msgspec.structs.fields(kind)
        if f"{section}.{field.name}" not in _SET_ELSEWHERE
    )


def load_settings(file: Path | None = None, flags: Mapping[str, tuple[Any, str]] | None = None) -> LoadedSettings:
    """Read *file*, lay *flags* (dotted key -> value, the flag's name) over it, and validate the whole.

    Raises ConfigError naming the key, its value and what would be right.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known_keys(), "default")
    if file is not None:
        for key, value in keys_of(file).items():
            values[key], sources[key] = value, file.name
        if META_LABEL in values:
            values[META_LABEL] = beside(values[META_LABEL], file)
        if values.get(MODELS) == []:  # names no model: as good as absent
            del values[MODELS], sources[MODELS]
        elif MODELS in values:
            values[MODELS] = _beside(values[MODELS], file)
    for key, (value, flag) in (flags or {}).items():
        is_part = isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
        values[key] = {**values[key], **value} if is_part else value  # a part of a table leaves the rest of it
        sources[key] = flag
    if values.get("rollout.mode") == OrchestratorMode.LIVE.value and sources["rollout.mode"].startswith("--"):
        _enforce_all(values, sources)
    given: dict[str, Any] = {section: _section(section, kind, values) for section, kind in _SECTIONS.items()}
    if values.get(MODELS, ()) != ():
        given[MODELS] = _models(values[MODELS], sources[MODELS])
    settings = RunSettings(**given)
    _validate(settings)
    active = settings.active_profile()
    if not settings.policy.profile and active.source != "default":
        sources["policy.profile"] = active.source
    return LoadedSettings(settings=settings, sources=sources)


def _enforce_all(values: dict[str, Any], sources: dict[str, str]) -> None:
    """A flag that enforces the policy turns all six switches on, unless the file turns on some."""
    keys = [f"rollout.use_for_{switch}" for switch in SWITCHES]
    if not any(key in values for key in keys):
        for key in keys:
            values[key], sources[key] = True, sources["rollout.mode"]


def _validate(settings: RunSettings) -> None:
    """Raise for what only shows when the rooms' own settings are made of these."""
    settings.active_profile()
    if not settings.pilot.model and settings.pilot.settings != PilotSettings():
        raise ConfigError(
            "pilot.model = '': is missing, and the other settings of [pilot] mean nothing without it; name a trained "
            "pilot's folder, or \"bundled\""
        )
    try:
        settings.engine_settings()
        settings.paper_settings()
    except ConfigError as error:
        name, is_about, rest = str(error).partition(" = ")
        if is_about and name in _NAMED_ELSEWHERE:
            raise ConfigError(f"{_NAMED_ELSEWHERE[name]} = {rest}") from None
        raise


def read_toml(file: Path) -> dict[str, Any]:
    """The content of a settings file; ConfigError when it cannot be read."""
    try:
        return tomllib.loads(read_bounded(file, MOST_SETTINGS).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"--config {file}: cannot be read: {why}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--config {file}: is not TOML: {error}") from None


def keys_of(file: Path) -> dict[str, Any]:
    """Every dotted key that the settings file *file* sets, with its value; ConfigError for one that is not known."""
    return _flatten(read_toml(file), file.name)


def _flatten(raw: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Dotted keys of *raw*; ConfigError for one that is not known."""
    known = known_keys()
    flat: dict[str, Any] = {}
    for section, content in raw.items():
        if section == LIVE_SECTION:
            _check_live(content, file)
            continue
        if section == MODELS:
            flat[MODELS] = content
            continue
        if section not in _SECTIONS:
            raise ConfigError(f"{file}: {unknown_key(section, (*_SECTIONS, MODELS, LIVE_SECTION), known)}")
        if not isinstance(content, Mapping):
            raise ConfigError(f"{file}: {section} = {content!r}: is a section; write [{section}] and its keys below")
        for key, value in content.items():
            dotted = f"{section}.{key}"
            if dotted in _SET_ELSEWHERE:
                raise ConfigError(f"{file}: {dotted} is set by {_SET_ELSEWHERE[dotted]}")
            if dotted not in known:
                raise ConfigError(f"{file}: {unknown_key(dotted, known)}")
            flat[dotted] = value.isoformat() if isinstance(value, (date, datetime)) else value
    return flat


def beside(named: Any, file: Path) -> Any:
    """The folder *named* in *file*, looked for beside it; a registry's model, and what is no text, as it is."""
    is_folder = isinstance(named, str) and named.strip() and not named.startswith(REGISTRY_PREFIX)
    return str(file.parent / named.strip()) if is_folder else named


def _beside(given: Any, file: Path) -> Any:
    """The models of a settings *file*, whose own files are looked for beside it."""
    if not isinstance(given, list):
        return given
    return [_with_paths(entry, file.parent) if isinstance(entry, dict) else entry for entry in given]


def _with_paths(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One model's *entry* with the paths of its files in *folder*; an absolute path stays as it is."""
    entry, model, params = {**entry}, str(entry.get("model")), entry.get("params")
    if ".py:" in model or Path(model).suffix.lower() in (".py", *SCORE_FILES) or is_learned_folder(folder / model):
        entry["model"] = str(folder / model)
    key = PLACES.get(model)
    if key is not None and isinstance(params, dict) and isinstance(params.get(key), str):
        entry["params"] = {**params, key: str(folder / params[key])}
    return entry


def _models(given: Any, source: str) -> tuple[ModelSettings, ...]:
    """The models of ``[[models]]`` or of --model; ConfigError naming the key."""
    if not isinstance(given, (list, tuple)):
        raise ConfigError(f"{source}: models = {given!r}: is a list; write [[models]] and its keys below, once a model")
    known = tuple(field.name for field in msgspec.structs.fields(ModelSettings) if field.name not in _FOUND)
    made = []
    for number, entry in enumerate(given, 1):
        if isinstance(entry, ModelSettings):
            made.append(entry)
            continue
        for key in entry if isinstance(entry, Mapping) else ():
            if key not in known:
                raise ConfigError(f"{source}: models[{number}]: {unknown_key(key, known)}")
        try:
            one = msgspec.convert(entry, ModelSettings, strict=True)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{source}: models[{number}]: {error}") from None
        made.append(_with_model(one))
    try:
        made = list(expanded(made))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    names = [one.shown for one in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{source}: models: two are called {twice!r}; give one of them another name")
    return tuple(made)


def _with_model(one: ModelSettings) -> ModelSettings:
    """*one* with the class of a FILE.py that has one alone, or the folder of a model that the registry has."""
    from quantum_trader.app.runs.registries import registered_settings

    if one.model.startswith(REGISTRY_PREFIX):
        return registered_settings(one, may_wait=True)
    return msgspec.structs.replace(one, model=with_class(one.model))


def _check_live(content: Any, file: str) -> None:
    """Check the keys of ``[live]``; a replay does not use them, but reports a wrong one."""
    from quantum_trader.app.runs.live_settings import check_keys

    if not isinstance(content, Mapping):
        raise ConfigError(f"{file}: {LIVE_SECTION} = {content!r}: is a section; write [{LIVE_SECTION}] and its keys")
    try:
        check_keys(content)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def unknown_key(key: str, *pools: tuple[str, ...]) -> str:
    """Say that *key* is not known, with the nearest name of *pools* (by the whole name, then by the last part)."""
    for pool in pools:
        near = difflib.get_close_matches(key.strip().lower(), pool, n=1, cutoff=0.6)
        if not near:
            near = [name for name in pool if name.rpartition(".")[2] == key.strip().rpartition(".")[2]][:1]
        if near:
            return f"unknown key {key!r}; did you mean {near[0]!r}?"
    return f"unknown key {key!r}; known: {', '.join(pools[0])}"


def _words(kind: Any, name: str) -> tuple[str, ...]:
    """The permitted values of the enum setting *name* of *kind*; empty for another type."""
    wanted: Any = next(field.type for field in msgspec.structs.fields(kind) if field.name == name)
    if not (isinstance(wanted, type) and issubclass(wanted, Enum)):
        return ()
    return tuple(str(member.value) for member in wanted)


def _section(section: str, kind: Any, values: Mapping[str, Any]) -> Any:
    """The struct of one section, with its own checks; ConfigError naming the key."""
    given = {key.partition(".")[2]: value for key, value in values.items() if key.partition(".")[0] == section}
    if kind is GateSettings:
        return gates_from(given)
    try:
        return msgspec.convert(given, kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$")
        name = where.strip("`.").split("[")[0]
        if name in given:
            words = _words(kind, name)
            if words:
                text = f"must be one of {', '.join(words)}"
            raise ConfigError(f"{section}.{name} = {given[name]!r}: {text[:1].lower()}{text[1:]}") from None
        prefix = "" if text.startswith(f"{section}.") else f"{section}."
        raise ConfigError(f"{prefix}{text}") from None
