"""What the pilot may do: defaults, modes, and values that are refused by name."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.pilot_settings import PilotSettings


def test_by_default_the_pilot_is_shadowed() -> None:
    """Enabled, SHADOW, from a confidence of 0.6, ten trades an hour."""
    assert msgspec.to_builtins(PilotSettings()) == {
        "enabled": True, "mode": "SHADOW", "min_confidence": 0.6, "max_trades_per_hour": 10,
    }


@pytest.mark.parametrize(("mode", "predicts", "trades"), [
    ("OFF", False, False), ("SHADOW", True, False), ("PRIMARY", True, True), ("HYBRID", True, True),
])
def test_the_four_modes(mode: str, predicts: bool, trades: bool) -> None:
    """OFF does nothing, SHADOW only records, PRIMARY and HYBRID trade."""
    assert len(PilotMode) == 4
    assert (PilotMode(mode).predicts, PilotMode(mode).trades) == (predicts, trades)


@pytest.mark.parametrize("mode", list(PilotMode))
def test_a_pilot_that_is_not_enabled_is_off(mode: PilotMode) -> None:
    """Whatever its mode says; the mode itself stays for when it is enabled again."""
    settings = PilotSettings(enabled=False, mode=mode)

    assert (settings.mode_in_force, settings.mode) == (PilotMode.OFF, mode)
    assert PilotSettings(mode=mode).mode_in_force is mode


@pytest.mark.parametrize(("key", "value", "hint"), [
    ("enabled", 1, "must be true or false"),
    ("enabled", "true", "must be true or false"),
    ("mode", "primary", "must be one of OFF, SHADOW, PRIMARY, HYBRID"),
    ("mode", "LIVE", "must be one of OFF, SHADOW, PRIMARY, HYBRID"),
    ("mode", None, "must be one of OFF, SHADOW, PRIMARY, HYBRID"),
    ("min_confidence", -0.01, "must be a number from 0 to 1"),
    ("min_confidence", 60, "must be a number from 0 to 1"),
    ("min_confidence", math.nan, "must be a number from 0 to 1"),
    ("min_confidence", True, "must be a number from 0 to 1"),
    ("min_confidence", "0.6", "must be a number from 0 to 1"),
    ("max_trades_per_hour", -1, "must be a whole number from 0 to 1000"),
    ("max_trades_per_hour", 1001, "must be a whole number from 0 to 1000"),
    ("max_trades_per_hour", 2.0, "must be a whole number from 0 to 1000"),
    ("max_trades_per_hour", True, "must be a whole number from 0 to 1000"),
])
@pytest.mark.parametrize("before", ["", "rl_v3.live."])
def test_a_value_of_the_wrong_type_or_range_is_refused_by_name(before: str, key: str, value: Any, hint: str) -> None:
    """Key, value and what is accepted, given alone or with the name of the settings before it."""
    with pytest.raises(ConfigError) as refused:
        PilotSettings().with_values({f"{before}{key}": value})

    assert str(refused.value) == f"rl_v3.live.{key} = {value!r}: {hint}"


@pytest.mark.parametrize(("key", "hint"), [
    ("min_confidense", "did you mean min_confidence?"), ("Mode", "did you mean mode?"), ("size", "settings: rl_v3"),
    ("rl_v3.live", "settings: rl_v3"), ("rl_v2.live.mode", "settings: rl_v3"), ("", "settings: rl_v3"),
])
def test_an_unknown_key_is_refused_with_the_known_ones(key: str, hint: str) -> None:
    """And the nearest of them, where one is near."""
    with pytest.raises(ConfigError, match=hint) as refused:
        PilotSettings().with_values({key: 1})

    assert f"unknown setting {key!r}" in str(refused.value)
    assert "rl_v3.live.max_trades_per_hour" in str(refused.value)


def test_a_key_in_both_its_forms_is_refused() -> None:
    """Neither of the two values wins."""
    with pytest.raises(ConfigError, match="rl_v3.live.mode = 'OFF': is given twice"):
        PilotSettings().with_values({"mode": "PRIMARY", "rl_v3.live.mode": "OFF"})


def test_the_edges_of_the_ranges_are_accepted() -> None:
    """0 and 1, 0 and 1000; a whole number is a confidence too."""
    low = PilotSettings().with_values({"min_confidence": 0, "max_trades_per_hour": 0})
    high = PilotSettings().with_values({"min_confidence": 1.0, "max_trades_per_hour": 1000, "mode": PilotMode.HYBRID})

    assert (repr(low.min_confidence), low.max_trades_per_hour) == ("0.0", 0)
    assert (high.min_confidence, high.max_trades_per_hour, high.mode) == (1.0, 1000, PilotMode.HYBRID)
