"""--policy off|observe|enforce, and the old forms that it replaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app

ALL = (True,) * 6
NONE = (False,) * 6
SWITCHES = (
    "signal_filter", "confidence_threshold", "risk_sizing", "position_limits", "trading_gate", "exit_mode",
)


def shown(*words: str) -> tuple[dict[str, Any], str]:
    """Settings that ``config show`` prints for *words*, and its standard error."""
    result = CliRunner().invoke(app, ["config", "show", *words, "--json"])
    assert result.exit_code == 0, result.stderr
    return msgspec.json.decode(result.stdout)["settings"], result.stderr


@pytest.mark.parametrize(
    ("words", "enabled", "mode", "switches", "notice"),
    [
        ((), True, "OBSERVE", NONE, ""),
        (("--policy", "observe"), True, "OBSERVE", NONE, ""),
        (("--policy", "ENFORCE"), True, "LIVE", ALL, ""),
        (("--policy", "off"), False, "OBSERVE", NONE, ""),
        (("--no-policy",), False, "OBSERVE", NONE, ""),
        (("--mode", "OBSERVE"), True, "OBSERVE", NONE, "--policy observe"),
        (("--mode", "live"), True, "LIVE", ALL, "--policy enforce"),
    ],
)
def test_the_option_and_its_old_form_set_the_same(
    words: tuple[str, ...], enabled: bool, mode: str, switches: tuple[bool, ...], notice: str
) -> None:
    """The old form prints one line on standard error, the new one none."""
    settings, errors = shown(*words)

    assert settings["policy"]["enabled"] is enabled
    assert settings["rollout"]["mode"] == mode
    assert tuple(settings["rollout"][f"use_for_{switch}"] for switch in SWITCHES) == switches
    assert len(errors.splitlines()) == bool(notice)
    assert notice in errors


def test_enforce_keeps_the_switches_of_a_settings_file(tmp_path: Path) -> None:
    """A file that turns one switch on means that switch alone."""
    file = tmp_path / "mine.toml"
    file.write_text("[rollout]\nuse_for_trading_gate = true\n")

    settings, _ = shown("--config", str(file), "--policy", "enforce")

    assert settings["rollout"]["mode"] == "LIVE"
    assert [switch for switch in SWITCHES if settings["rollout"][f"use_for_{switch}"]] == ["trading_gate"]


@pytest.mark.parametrize(
    ("words", "policy", "notice"),
    [
        ((), "SAFE, observe", ""), (("--policy", "enforce"), "SAFE, enforce", ""), (("--policy", "off"), "off", ""),
        (("--no-policy",), "off", ""), (("--policy-mode", "LIVE"), "SAFE, enforce", "--policy enforce"),
    ],
)
def test_live_has_the_option_and_its_mode_stays_where_orders_go(
    words: tuple[str, ...], policy: str, notice: str, tmp_path: Path
) -> None:
    """`live --mode` names the venue; the plan shows both."""
    start = ["live", "--state", str(tmp_path / "state"), "--mode", "DRY", "--plan", "--json"]
    result = CliRunner().invoke(app, [*start, *words])

    assert result.exit_code == 0, result.stderr
    plan = msgspec.json.decode(result.stdout)
    assert (plan["mode"], plan["policy"]) == ("DRY", policy)
    assert notice in result.stderr
