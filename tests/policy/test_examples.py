"""The library examples do what they say."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.policy import policy_app, profile_app
from quantum_trader.policy import read_profile
from quantum_trader.policy.freqtrade import PolicyGuard

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
HOW_TO = (ROOT / "docs" / "how-to-policy.md").read_text("utf-8")


def loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ccxt_loop_is_guarded(capsys: pytest.CaptureFixture[str]) -> None:
    """In the trend it buys 1 % of risk; in the flat market, and while that waits to loosen, it does not."""
    said = loaded("ccxt_guard").demo()
    assert said[0].startswith("buy 50.0000")
    assert "no trade: confidence 0.50" in said[1]
    assert "no trade: confidence 0.50" in said[2]
    assert "RANGING" in capsys.readouterr().out


def test_the_freqtrade_strategy_is_a_guarded_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example compiles, and the guard's callbacks come before freqtrade's."""
    py_compile.compile(str(EXAMPLES / "freqtrade_strategy.py"), cfile=str(tmp_path / "x.pyc"), doraise=True)
    for name, members in {
        "freqtrade": {}, "freqtrade.strategy": {"IStrategy": type("IStrategy", (), {})},
        "pandas": {"DataFrame": object},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    strategy = loaded("freqtrade_strategy").PolicyGuardedStrategy
    for callback in ("bot_start", "bot_loop_start", "custom_stake_amount", "confirm_trade_entry"):
        assert getattr(strategy, callback) is getattr(PolicyGuard, callback)


def block(kind: str, containing: str) -> str:
    """The fenced block of the how-to that contains a text."""
    return next(found for found in re.findall(rf"```{kind}\n(.*?)```", HOW_TO, re.DOTALL) if containing in found)


def test_the_commands_of_the_how_to_run() -> None:
    """The JSON it feeds, and the profile commands."""
    question = re.search(r"<<'JSON'\n(.*?)JSON\n", HOW_TO, re.DOTALL)
    assert question is not None
    done = CliRunner().invoke(policy_app, ["eval", "-"], input=question.group(1))
    assert json.loads(done.stdout)["profile"] == "SAFE"
    for line in block("", "profile compare").splitlines():
        assert CliRunner().invoke(profile_app, line.split()[2:]).exit_code == 0


def test_the_profile_of_the_how_to_is_valid(tmp_path: Path) -> None:
    """What it shows can be written as it stands."""
    path = tmp_path / "mine.toml"
    path.write_text(block("toml", "extends"))
    assert read_profile(path).base_risk_pct == 0.5


def test_the_bot_of_the_how_to_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snippet as it stands permits the trade."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "bot.py"
    script.write_text(block("python", "OrchestratorPolicy("))
    spec = importlib.util.spec_from_file_location("bot", script)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert capsys.readouterr().out.startswith("0.")
    assert (tmp_path / "policy.json").exists()
