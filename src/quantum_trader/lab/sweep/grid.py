"""Grids of settings: which numbers of which profiles are tried, each validated by the profile itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import ConfigError
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
    """One number of the profile and the values it takes; ``table.key`` for a number in a table."""

    key: str
    values: tuple[float, ...]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of a sweep: a profile with some of its numbers changed."""

    profile: str
    changes: tuple[tuple[str, float], ...]
    config: OrchestratorConfig

    @property
    def label(self) -> str:
        """The setting in words, as "SAFE base_confidence=0.5"."""
        return " ".join((self.profile, *(f"{key}={value:g}" for key, value in self.changes)))

    @property
    def vector(self) -> npt.NDArray[np.float64]:
        """The numbers the rules read."""
        return np.array(profile_vector(self.config))


def numeric_keys() -> tuple[str, ...]:
    """Every key a grid may vary."""
    plain = [
        name for name, value in msgspec.structs.asdict(OrchestratorConfig()).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return (*plain, *(f"{table}.{key}" for table, keys in _TABLES.items() for key in keys))


def parse_axis(text: str) -> Axis:
    """Read ``key=low:high:step`` (both ends included) or ``key=1,2,3``. Raises ConfigError saying what is wrong."""
    key, equals, content = text.partition("=")
    key = key.strip()
    if not equals or not content.strip():
        raise ConfigError(f"--grid {text!r}: write key=low:high:step or key=value,value")
    if key not in numeric_keys():
        near = [name for name in numeric_keys() if name.rpartition(".")[2].lower() == key.rpartition(".")[2].lower()]
        hint = f"did you mean {', '.join(near)}?" if near else f"numeric keys: {', '.join(numeric_keys())}"
        raise ConfigError(f"--grid {text!r}: unknown key {key!r}; {hint}")
    try:
        parts = [float(part) for part in content.split(":" if ":" in content else ",")]
    except ValueError:
        raise ConfigError(f"--grid {text!r}: {content!r} is not low:high:step nor numbers with commas") from None
    values = _range(content, parts) if ":" in content else tuple(parts)
    if not all(math.isfinite(value) for value in values) or len(set(values)) != len(values):
        raise ConfigError(f"--grid {text!r}: the values must be finite and each stand once")
    return Axis(key=key, values=values)


def _range(content: str, parts: Sequence[float]) -> tuple[float, ...]:
    if len(parts) != 3:
        raise ConfigError(f"--grid: {content!r} is not low:high:step")
    low, high, step = parts
    if not (all(math.isfinite(part) for part in parts) and step > 0.0 and high >= low):
        raise ConfigError(f"--grid: {content!r}: step must be above 0 and high not below low")
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > MAX_VALUES:
        raise ConfigError(f"--grid: {content!r} has {count} values; at most {MAX_VALUES}")
    return tuple(round(low + step * number, 12) for number in range(count))


def settings_of(
    profiles: Sequence[str], axes: Sequence[Axis], directory: Path | str | None = None
) -> tuple[Setting, ...]:
    """Every combination of *axes* for every profile, profiles first. Raises ConfigError for one that is not valid."""
    names = [axis.key for axis in axes]
    if len(set(names)) != len(names):
        raise ConfigError(f"--grid: a key is given twice ({', '.join(names)})")
    if not profiles or len({name.upper() for name in profiles}) != len(profiles):
        raise ConfigError(f"--profiles {','.join(profiles)!r}: name each profile once, at least one")
    total = len(profiles) * math.prod(len(axis.values) for axis in axes)
    if total > MAX_SETTINGS:
        raise ConfigError(f"the grid has {total} settings; at most {MAX_SETTINGS}: take wider steps or fewer keys")
    made = []
    for name in profiles:
        base = load_profile(name, directory=directory)
        for values in itertools.product(*(axis.values for axis in axes)):
            changes = tuple(zip(names, values, strict=True))
            made.append(Setting(profile=base.name, changes=changes, config=_changed(base, changes)))
    return tuple(made)


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
        what = ", ".join(f"{key}={value:g}" for key, value in changes)
        raise ConfigError(f"--grid: {base.name} with {what}: {error}") from None
