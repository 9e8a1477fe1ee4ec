"""The policy's profiles described: their settings, what follows from them by market type, and which one is active."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import Direction, Trend, VolLevel
from quantum_trader.domain.policy import RiskState
from quantum_trader.policy.evaluation import evaluate
from quantum_trader.policy.inputs import PolicyInputs
from quantum_trader.policy.profiles import ENVIRONMENT, OrchestratorConfig, get_active_profile, profile_names

_CORE_KEYS: Final = (
    "base_confidence", "base_risk_pct", "daily_dd_limit", "losing_streak_limit", "max_open_positions",
    "total_exposure_limit", "extreme_vol_threshold", "high_vol_threshold", "high_spread_bps", "high_slippage_bps",
    "policy_update_interval_sec", "similarity_threshold", "persistence",
)
_TABLE_KEYS: Final = (
    "risk_multipliers", "confidence_adjustments", "symbol_performance_thresholds", "exit_mode_bias", "entry_mode_bias",
)
_SCALAR_KEYS: Final = (
    "recovery_multiplier", "recovery_after_streak", "cost_sensitivity", "max_cost_in_r", "volatility_target_pct",
    "labels",
)
_USE_WHEN: Final = {
    "SAFE": "real money, a small account, a low tolerance for drawdown, a strategy that is new to you",
    "STANDARD": "the numbers of the rule table as they stand: between the other two",
    "AGGRESSIVE": "a testnet or a paper account, to collect results faster; it allows larger losses before it stops",
}
# market type -> a market of that type
_MARKETS: Final = {
    "BULL": (Trend.TRENDING, Direction.UP, VolLevel.NORMAL),
    "BEAR": (Trend.TRENDING, Direction.DOWN, VolLevel.NORMAL),
    "HIGH_VOL": (Trend.TRENDING, None, VolLevel.HIGH),
    "CHOP": (Trend.RANGING, None, VolLevel.NORMAL),
    "NORMAL": (Trend.TRENDING, None, VolLevel.NORMAL),
}


def profile_report(config: OrchestratorConfig, directory: Path | None = None) -> dict[str, Any]:
    """The whole description of a profile: its ten categories, its values by market type, the active profile."""
    active = get_active_profile(directory=directory)
    names = ", ".join(profile_names(directory))
    return {
        "name": config.name, "description": config.description, "fingerprint": config.fingerprint,
        **_settings(config),
        "active": {"name": active.name, "source": active.source},
        "switch": [
            f"{ENVIRONMENT}=NAME in the environment, --profile NAME, or profile_name=NAME in code (NAME: {names})",
            "your own: NAME.toml in a folder given with --profiles DIR; check it with `quantum-trader profile check`",
        ],
        "use_when": _USE_WHEN,
    }


def _settings(config: OrchestratorConfig) -> dict[str, Any]:
    """Every setting of a profile by its category, and its values by market type."""
    return {
        "core": {key: getattr(config, key) for key in _CORE_KEYS},
        **{key: getattr(config, key) for key in _TABLE_KEYS},
        **{key: getattr(config, key) for key in _SCALAR_KEYS},
        "derived": {label: _derived(config, label) for label in _MARKETS},
    }


class ComparedSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of several profiles; None where a profile does not have it."""

    setting: str
    values: list[Any]
    differs: bool


def compared_profiles(configs: Sequence[OrchestratorConfig]) -> list[ComparedSetting]:
    """Every setting of *configs* side by side, in the order of the profiles."""
    rows = [dict(profile_rows(_settings(one))) for one in configs]
    found = []
    for key in {key: None for one in rows for key in one}:
        values = [one.get(key) for one in rows]
        found.append(ComparedSetting(setting=key, values=values, differs=any(one != values[0] for one in values)))
    return found


def _derived(config: OrchestratorConfig, label: str) -> dict[str, Any]:
    """Confidence, base risk and modes in a market of type *label*, for an account without loss or losing streak."""
    trend, direction, vol = _MARKETS[label]
    policy = evaluate(
        PolicyInputs(regime_tag=trend, direction=direction, vol_level=vol, risk_state=RiskState()), config
    ).to_dict()
    keys = {
        "confidence": "min_confidence", "risk_pct": "max_risk_pct", "entry_mode": "entry_mode",
        "exit_mode": "exit_mode",
    }
    return {key: policy[field] for key, field in keys.items()}


def profile_rows(report: dict[str, Any]) -> list[tuple[str, Any]]:
    """The report of :func:`profile_report` as (setting, value) pairs."""
    rows: list[tuple[str, Any]] = [(f"core.{key}", value) for key, value in report["core"].items()]
    for table in _TABLE_KEYS:
        rows += [(f"{table}.{key}", value) for key, value in report[table].items()]
        if not report[table]:
            rows.append((table, "none"))
    rows += [(key, report[key]) for key in _SCALAR_KEYS]
    for label, values in report["derived"].items():
        rows += [(f"{label}: {key}", value) for key, value in values.items()]
    return rows
