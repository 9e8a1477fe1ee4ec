"""Profiles: what is shipped, what a user may write, what is refused, and which one is active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantum_trader.domain.errors import ConfigError
from quantum_trader.policy import OrchestratorConfig, OrchestratorPolicy, get_active_profile, load_profile, read_profile
from quantum_trader.policy.layout import PROFILE_SIZE
from quantum_trader.policy.profiles import profile_vector

MINIMAL = """
base_confidence = 0.5
base_risk_pct = 0.5
daily_dd_limit = 2.0
losing_streak_limit = 3
max_open_positions = 4
total_exposure_limit = 8
extreme_vol_threshold = 0.05
high_vol_threshold = 0.03
high_spread_bps = 5
high_slippage_bps = 5
policy_update_interval_sec = 30
similarity_threshold = 0.9
persistence = 2
"""


def written(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["SAFE", "safe", " Standard ", "aggressive"])
def test_shipped_profiles_load_in_any_case(name: str) -> None:
    """And make a whole vector."""
    config = load_profile(name)
    assert config.name == name.strip().upper()
    assert len(profile_vector(config)) == PROFILE_SIZE


def test_the_choice_is_config_then_argument_then_environment_then_safe() -> None:
    """Each source wins over the next, and the active profile names it."""
    custom = OrchestratorConfig(name="MINE", base_confidence=0.6)
    environ = {"ORCH_PROFILE": "aggressive"}
    chosen = [
        get_active_profile(custom, "STANDARD", environ=environ),
        get_active_profile(None, "standard", environ=environ),
        get_active_profile(environ=environ),
        get_active_profile(environ={}),
        get_active_profile(environ={"ORCH_PROFILE": " "}),
    ]
    assert [one.name for one in chosen] == ["MINE", "STANDARD", "AGGRESSIVE", "SAFE", "SAFE"]
    assert [one.source for one in chosen] == [
        "argument config",
        "argument profile_name",
        "environment ORCH_PROFILE",
        "default",
        "default",
    ]


def test_the_policy_takes_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORCH_PROFILE in any case; without it SAFE."""
    monkeypatch.setenv("ORCH_PROFILE", "aggressive")
    assert OrchestratorPolicy().config.name == "AGGRESSIVE"
    monkeypatch.delenv("ORCH_PROFILE")
    assert OrchestratorPolicy().config.name == "SAFE"


@pytest.mark.parametrize("source", ["argument", "environment"])
def test_an_unknown_name_lists_the_names(source: str) -> None:
    """ValueError with every name there is."""
    name, environ = ("RECKLESS", {}) if source == "argument" else (None, {"ORCH_PROFILE": "RECKLESS"})
    with pytest.raises(ValueError, match="AGGRESSIVE, SAFE, STANDARD"):
        get_active_profile(profile_name=name, environ=environ)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_risk_pct": 0.008}, "base_risk_pct = 0.008.*percent"),
        ({"daily_dd_limit": 0.03}, "daily_dd_limit = 0.03.*percent"),
        ({"total_exposure_limit": 0.15}, "total_exposure_limit = 0.15.*percent"),
        ({"high_vol_threshold": 4.0}, "high_vol_threshold = 4.0.*fraction"),
        ({"high_vol_threshold": 0.07}, "must be below extreme_vol_threshold"),
        ({"base_confidence": 55}, "base_confidence = 55"),
        ({"base_confidence": float("nan")}, "base_confidence = nan"),
        ({"base_confidence": "0.5"}, "base_confidence = '0.5'"),
        ({"losing_streak_limit": 4.5}, "losing_streak_limit = 4.5.*whole"),
        ({"losing_streak_limit": True}, "losing_streak_limit = True"),
        ({"risk_multipliers": {"BULL ": 1.0}}, "did you mean 'BULL'"),
        ({"risk_multipliers": {"high_spread": 1.5}}, "high_spread = 1.5.*only lower"),
        ({"confidence_adjustments": {"extreme_vol": -0.1}}, "extreme_vol = -0.1.*only raise"),
        ({"symbol_performance_thresholds": {"min_winrate": 45}}, "min_winrate = 45"),
        ({"exit_mode_bias": {"BULL": "HOLD"}}, "exit_mode_bias.BULL = 'HOLD'"),
        ({"entry_mode_bias": {"SIDE": "NORMAL"}}, "entry_mode_bias.SIDE"),
        ({"cost_sensitivity": "MEDIUM"}, "cost_sensitivity = 'MEDIUM'"),
        ({"labels": "both"}, "labels = 'both'"),
        ({"recovery_multiplier": 0.5}, "recovery_multiplier = 0.5"),
        ({"max_cost_in_r": 0.0}, "max_cost_in_r = 0.0"),
        ({"risk_multipliers": {"high_spread": 0.5, "high_slippage": 0.9}}, "second high cost"),
    ],
)
def test_bad_values_are_refused_by_key(change: dict[str, Any], message: str) -> None:
    """The key, the value and what it should be."""
    with pytest.raises(ConfigError, match=message):
        OrchestratorConfig(**change)


def test_a_user_profile_stands_by_itself(tmp_path: Path) -> None:
    """Core at the top or in [core]; missing rows are 1.0, 0.0, TREND_FOLLOW, NORMAL; labels single."""
    config = read_profile(written(tmp_path, MINIMAL))
    assert (config.name, config.labels, config.risk_multipliers, config.base_risk_pct) == ("MINE", "single", {}, 0.5)
    in_table = read_profile(written(tmp_path, "[core]" + MINIMAL))
    assert in_table == config


def test_a_user_profile_may_extend_or_override_a_shipped_one(tmp_path: Path) -> None:
    """Only what differs is written; the file wins over the shipped name."""
    written(tmp_path, "base_confidence = 0.6\n[risk_multipliers]\nBULL = 0.7\n", "SAFE.toml")
    safe = load_profile("safe", directory=tmp_path)
    assert (safe.base_confidence, safe.risk_multipliers["BULL"], safe.risk_multipliers["BEAR"]) == (0.6, 0.7, 0.3)
    extended = read_profile(written(tmp_path, 'extends = "AGGRESSIVE"\nbase_risk_pct = 2.0\n'))
    assert (extended.base_risk_pct, extended.labels) == (2.0, "single")
    assert OrchestratorPolicy(profile_name="mine", profile_directory=tmp_path).config.base_risk_pct == 2.0


def test_the_published_spellings_are_accepted(tmp_path: Path) -> None:
    """min_avg_R and max_cost_in_R."""
    text = 'extends = "SAFE"\nmax_cost_in_R = 0.1\n[symbol_performance_thresholds]\nmin_avg_R = 0.4\n'
    config = read_profile(written(tmp_path, text))
    assert (config.max_cost_in_r, config.symbol_performance_thresholds["min_avg_r"]) == (0.1, 0.4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base_confidence = 0.5\n", "is missing"),
        (MINIMAL + "surprise = 1\n", "unknown key 'surprise'"),
        (MINIMAL + '"max_cost_in_r " = 0.1\n', "did you mean 'max_cost_in_r'"),
        (MINIMAL + "[core]\nbase_confidence = 0.5\n", "given twice"),
        (MINIMAL + "max_cost_in_r = 0.1\nmax_cost_in_R = 0.1\n", "given twice"),
        ('extends = "NONE"\n', "extends = 'NONE'"),
        ("base_confidence = \n", "is not TOML"),
        ('extends = "SAFE"\nbase_risk_pct = 0.008\n', "mine.toml: base_risk_pct = 0.008"),
    ],
)
def test_bad_files_are_refused_by_key(tmp_path: Path, text: str, message: str) -> None:
    """The file, the key, and what to do."""
    with pytest.raises(ConfigError, match=message):
        read_profile(written(tmp_path, text))


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_profile(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="no such directory"):
        load_profile("SAFE", directory=tmp_path / "none")


def test_overrides_of_a_profile_are_validated() -> None:
    """from_profile takes single values; an unknown one is named."""
    assert OrchestratorConfig.from_profile("SAFE", base_risk_pct=0.5).base_risk_pct == 0.5
    with pytest.raises(ConfigError, match="unknown setting 'base_risk'"):
        OrchestratorConfig.from_profile("SAFE", base_risk=0.5)
