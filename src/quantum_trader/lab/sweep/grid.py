"""Grids of settings: which numbers of which profiles and models are tried, each validated by its owner."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import ConfigError
from quantum_trader.models.loading import ModelSettings, load_models
from quantum_trader.policy.layout import LABELS
from quantum_trader.policy.profiles import OrchestratorConfig, load_profile, profile_vector

MAX_SETTINGS: Final = 20_000
MAX_VALUES: Final = 1_000
_TABLES: Final = {
    "risk_multipliers": (
        *LABELS, "losing_streak_per_loss", "drawdown_per_pct", "high_spread", "high_slippage", "extreme_vol",
    ),
    "confidence_adjustments": (*LABELS, "high_spread", "high_slippage", "low_liquidity", "extreme_vol"),
    "symbol_performance_thresholds": ("min_winrate", "min_avg_r", "bad_streak_limit"),
}


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the profile or of a model and the values it takes.

    *key* is ``table.key`` for a number in a table, ``model.parameter`` for one of a model.
    """

    key: str
    values: tuple[float, ...]
    of_model: bool = False


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of a sweep: a profile, and models, with some of their numbers changed."""

    profile: str
    changes: tuple[tuple[str, float], ...]
    config: OrchestratorConfig
    models: tuple[ModelSettings, ...] = ()  # that give the signals; empty: the intraday ensemble does
    variant: int = 0  # the same for settings with the same models and parameters

    @property
    def label(self) -> str:
        """The setting in words, as "SAFE base_confidence=0.5"."""
        return " ".join((self.profile, *(f"{key}={value:g}" for key, value in self.changes)))

    @property
    def model_changes(self) -> str:
        """The changed parameters of the models in words, as "MyTrend.days=14"; empty where none is changed."""
        names = {one.shown for one in self.models}
        return _in_words([one for one in self.changes if one[0].rpartition(".")[0] in names])

    @property
    def vector(self) -> npt.NDArray[np.float64]:
        """The numbers the rules read."""
        return np.array(profile_vector(self.config))

    @property
    def identity(self) -> tuple[int, bytes]:
        """The same for settings that are the same."""
        return self.variant, self.vector.tobytes()


def numeric_keys() -> tuple[str, ...]:
    """Every key a grid may vary."""
    plain = [
        name for name, value in msgspec.structs.asdict(OrchestratorConfig()).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return (*plain, *(f"{table}.{key}" for table, keys in _TABLES.items() for key in keys))


def model_keys(models: Sequence[ModelSettings]) -> tuple[str, ...]:
    """Every parameter of *models* that a grid may vary, as ``model.parameter``. Raises ConfigError."""
    return tuple(
        f"{loaded.name}.{field.name}"
        for loaded in load_models(models) for field in msgspec.structs.fields(type(loaded.model.params))
    )


def parse_axis(text: str, more_keys: Sequence[str] = ()) -> Axis:
    """Read ``key=low:high:step`` (both ends included) or ``key=1,2,3``. Raises ConfigError saying what is wrong.

    *more_keys*: those of :func:`model_keys`, beside the profile's.
    """
    key, equals, content = text.partition("=")
    key = key.strip()
    if not equals or not content.strip():
        raise ConfigError(f"--grid {text!r}: write key=low:high:step or key=value,value")
    known = (*more_keys, *numeric_keys())
    if key not in known:
        raise ConfigError(f"--grid {text!r}: unknown key {key!r}; {_hint(key, more_keys)}")
    parts = [_number(text, key, part) for part in content.split(":" if ":" in content else ",")]
    values = _range(text, key, content, parts) if ":" in content else tuple(parts)
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"--grid {text!r}: {key} = {value:g}: stands there twice; each value may stand once")
    return Axis(key=key, values=values, of_model=key in more_keys)


def _number(text: str, key: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"--grid {text!r}: {key} = {part.strip()!r}: is no finite number; write low:high:step, or numbers with "
            "commas"
        )
    return value


def _hint(key: str, more_keys: Sequence[str]) -> str:
    """Which key may be meant by *key*; where none is like it, what there is. *more_keys*: those of models."""
    known = (*more_keys, *numeric_keys())
    table, _, name = key.rpartition(".")
    near = [one for one in known if one.rpartition(".")[2].lower() == name.lower()]
    own = [one for one in known if table and one.startswith(f"{table}.")]
    near = near or difflib.get_close_matches(key, own, n=1, cutoff=0.0) or difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {', '.join(near)}?"
    if table and table not in _TABLES:
        models = ", ".join(dict.fromkeys(one.rpartition(".")[0] for one in more_keys)) or "none"
        return f"{table} is no table of a profile and no model of this sweep ({models}); name its model with --model"
    return f"a profile has {', '.join(numeric_keys())}" + (f"; the models {', '.join(more_keys)}" if more_keys else "")


def _range(text: str, key: str, content: str, parts: Sequence[float]) -> tuple[float, ...]:
    if len(parts) != 3:
        raise ConfigError(f"--grid {text!r}: {key} = {content!r}: is not low:high:step")
    low, high, step = parts
    if not (step > 0.0 and high >= low):
        raise ConfigError(f"--grid {text!r}: {key} = {content!r}: step must be above 0 and high not below low")
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > MAX_VALUES:
        raise ConfigError(f"--grid {text!r}: {key} = {content!r}: has {count} values; at most {MAX_VALUES}")
    return tuple(round(low + step * number, 12) for number in range(count))


def settings_of(
    profiles: Sequence[str], axes: Sequence[Axis], directory: Path | str | None = None,
    models: Sequence[ModelSettings] = (),
) -> tuple[Setting, ...]:
    """Every combination of *axes* for every profile, profiles first. Raises ConfigError for one that is not valid.

    *models* give the signals, without them the intraday ensemble does.
    """
    names = [axis.key for axis in axes]
    if len(set(names)) != len(names):
        raise ConfigError(f"--grid: a key is given twice ({', '.join(names)})")
    if not profiles or len({name.upper() for name in profiles}) != len(profiles):
        raise ConfigError(f"--profiles {','.join(profiles)!r}: name each profile once, at least one")
    total = len(profiles) * math.prod(len(axis.values) for axis in axes)
    if total > MAX_SETTINGS:
        raise ConfigError(f"the grid has {total} settings; at most {MAX_SETTINGS}: take wider steps or fewer keys")
    made, variants = [], _Variants(models)
    for name in profiles:
        base = load_profile(name, directory=directory)
        for values in itertools.product(*(axis.values for axis in axes)):
            changes = tuple(zip(names, values, strict=True))
            number, own = variants.of(changes)
            config = _changed(base, [one for one in changes if one[0] not in variants.keys])
            made.append(Setting(profile=base.name, changes=changes, config=config, models=own, variant=number))
    return tuple(made)


class _Variants:
    """The models of a sweep under each combination of their parameters."""

    def __init__(self, models: Sequence[ModelSettings]) -> None:
        self._models = tuple(models)
        self.keys = frozenset(model_keys(models))
        self._made: dict[tuple[tuple[str, float], ...], tuple[int, tuple[ModelSettings, ...]]] = {}

    def of(self, changes: Sequence[tuple[str, float]]) -> tuple[int, tuple[ModelSettings, ...]]:
        """Number and models of the variant with *changes*; ConfigError where a model refuses a value."""
        mine = tuple(one for one in changes if one[0] in self.keys)
        if mine not in self._made:
            made = tuple(_with_params(one, mine) for one in self._models)
            try:
                load_models(made)
            except ConfigError as error:
                raise ConfigError(f"--grid: {_in_words(mine)}: {error}") from None
            self._made[mine] = len(self._made), made
        return self._made[mine]


def _with_params(settings: ModelSettings, changes: Sequence[tuple[str, float]]) -> ModelSettings:
    """*settings* with those of the *changes* that are of its model's parameters."""
    params = dict(settings.params)
    for key, value in changes:
        model, _, name = key.rpartition(".")
        if model == settings.shown:
            params[name] = int(value) if value.is_integer() else value
    return msgspec.structs.replace(settings, params=params)


def _in_words(changes: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{key}={value:g}" for key, value in changes)


def _changed(base: OrchestratorConfig, changes: Sequence[tuple[str, float]]) -> OrchestratorConfig:
    """*base* with *changes*, validated as any profile is."""
    plain: dict[str, Any] = {}
    for key, value in changes:
        table, _, inner = key.rpartition(".")
        if table:
            plain[table] = {**plain.get(table, getattr(base, table)), inner: value}
        else:
            plain[key] = value
    try:
        return msgspec.structs.replace(base, **plain)
    except ConfigError as error:
        raise ConfigError(f"--grid: {base.name} with {_in_words(changes)}: {error}") from None
