"""The command line of policy and profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.policy import policy_app, profile_app

RUNNER = CliRunner()
INPUT: dict[str, Any] = {
    "profile": "SAFE",
    "regime_tag": "TRENDING",
    "direction": "UP",
    "vol_level": "HIGH",
    "market_age_bars": 0,
    "risk_state": {
        "daily_pnl_pct": -1.5,
        "current_drawdown_pct": -1.5,
        "losing_streak": 3,
        "open_trades_count": 1,
        "total_exposure_pct": 2.0,
        "broken_streak": 0,
        "wins_since": 0,
        "equity": 10000,
    },
    "symbol_performance": [
        {
            "symbol": "BTCUSDT",
            "winrate": 0.6,
            "avg_r": 1.5,
            "cumulative_pnl": 1000,
            "performance_tag": "GOOD",
            "trades": 9,
            "consecutive_losses": 0,
        },
        {"symbol": "SOLUSDT", "winrate": 0.2, "avg_r": -0.5, "cumulative_pnl": -300, "performance_tag": "BAD"},
    ],
    "cost_metrics": {
        "spread_level": "NORMAL",
        "slippage_level": "NORMAL",
        "liquidity_level": "NORMAL",
        "cost_in_r": 0.05,
    },
    "ensemble_quality": 0.6,
}


def evaluate(data: Any) -> Any:
    return RUNNER.invoke(policy_app, ["eval", "-"], input=data if isinstance(data, str) else json.dumps(data))


def changed(path: str, value: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(INPUT))
    place: Any = data
    *parents, last = path.split("/")
    for parent in parents:
        place = place[int(parent)] if parent.isdigit() else place[parent]
    place[last] = value
    return data


def test_eval_prints_the_policy_with_the_field_names_of_the_specification(tmp_path: Path) -> None:
    """SAFE HIGH_VOL with three losses and −1.5 %: 0.1496 %, 0.65; the same from a file and from standard input."""
    file = tmp_path / "in.json"
    file.write_text(json.dumps(INPUT))
    time = ["--now", "2024-03-01T12:00:00Z"]
    done = RUNNER.invoke(policy_app, ["eval", str(file), *time])
    got = json.loads(done.stdout)
    assert {
        "allow_new_trades": True,
        "risk_profile": "REDUCED",
        "max_risk_pct": 0.1496,
        "min_confidence": 0.65,
        "entry_mode": "DEFENSIVE",
        "exit_mode": "DEFENSIVE_TRAIL",
        "max_open_positions": 5,
        "total_exposure_limit_pct": 10.0,
        "allowed_symbols": ["BTCUSDT"],
        "profile": "SAFE",
        "timestamp": "2024-03-01T12:00:00Z",
    }.items() <= got.items()
    assert list(got["disallowed_symbols"]) == ["SOLUSDT"]
    assert {"rule", "field", "before", "after", "why"} == set(got["rules"][0])
    assert RUNNER.invoke(policy_app, ["eval", "-", *time], input=file.read_text()).stdout == done.stdout


def test_eval_needs_only_market_and_account() -> None:
    """Everything else has its neutral value, the profile is the active one."""
    required = ("daily_pnl_pct", "current_drawdown_pct", "losing_streak", "open_trades_count", "total_exposure_pct")
    data = {"regime_tag": "RANGING", "vol_level": "NORMAL", "risk_state": dict.fromkeys(required, 0)}
    assert json.loads(evaluate(data).stdout)["profile"] == "SAFE"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed("risk_state/current_drawdown_pct", 1.5), ["current_drawdown_pct", "1.5"]),
        (changed("profile", "RECKLESS"), ["RECKLESS", "AGGRESSIVE, SAFE, STANDARD"]),
        (changed("profile ", "SAFE"), ["'profile '", "unknown key"]),
        (changed("risk_state/losses", 3), ["risk_state.losses", "unknown key"]),
        (changed("symbol_performance/0/winrate", 60), ["symbol_performance[0].winrate", "60"]),
        (changed("symbol_performance/1/performance_tag", "UGLY"), ["symbol_performance[1].performance_tag", "UGLY"]),
        (changed("symbol_performance", {"A": 1}), ["symbol_performance", "list"]),
        (changed("symbol_performance", False), ["symbol_performance", "list"]),
        (changed("symbol_performance/0/trades", True), ["symbol_performance[0].trades", "True"]),
        (changed("risk_state/daily_pnl_pct", 10**400), ["401 digits"]),
        (changed("risk_state/losing_streak", 10**400), ["401 digits"]),
        (changed("cost_metrics/spread_level", "WIDE"), ["cost_metrics.spread_level", "WIDE"]),
        (changed("cost_metrics/cost_in_r", -1), ["cost_metrics.cost_in_r", "-1"]),
        (changed("cost_metrics/cost_in_r", "much"), ["cost_metrics.cost_in_r", "much"]),
        (changed("direction", "SIDEWAYS"), ["direction", "SIDEWAYS"]),
        (changed("regime_tag", ["TRENDING"]), ["regime_tag", "TRENDING"]),
        (changed("ensemble_quality", 60), ["ensemble_quality", "60"]),
        (changed("ensemble_quality", "good"), ["ensemble_quality", "good"]),
        (changed("market_age_bars", "old"), ["market_age_bars", "old"]),
        (changed("market_age_bars", -1), ["market_age_bars", "-1"]),
        (changed("risk_state/losing_streak", "3"), ["losing_streak", "'3'"]),
        (changed("risk_state/equity", "10000"), ["equity", "10000"]),
        (changed("risk_state", None), ["risk_state", "object"]),
        ({"regime_tag": "TRENDING", "vol_level": "LOW"}, ["risk_state", "missing"]),
        ("{not json", ["not JSON"]),
        ("[1]", ["input", "object"]),
        ('{"profile": "SAFE", "profile": "STANDARD"}', ["profile", "twice"]),
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_exit_code_2(data: Any, words: list[str]) -> None:
    """The line names the key and the value."""
    done = evaluate(data)
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words)


def test_json_may_be_asked_for() -> None:
    """``--json`` is known everywhere; here it changes nothing."""
    done = RUNNER.invoke(policy_app, ["eval", "-", "--json", "--now", "2024-01-01"], input=json.dumps(INPUT))
    assert (done.exit_code, json.loads(done.stdout)["profile"]) == (0, "SAFE")


def test_a_missing_file_is_told() -> None:
    """Not a traceback."""
    done = RUNNER.invoke(policy_app, ["eval", "none.json"])
    assert done.exit_code == 2
    assert "none.json" in done.stderr


def test_rules_prints_every_rule() -> None:
    """As a table and as JSON."""
    rows = json.loads(RUNNER.invoke(policy_app, ["rules", "--json"]).stdout)["rules"]
    assert {"A1", "A2", "A3", "A", "A4", "A5", "B1", "B2", "B3", "B4", "C1", "D1", "D2", "D3", "E1", "F1", "F2"} <= {
        row["name"] for row in rows
    }
    assert "RANGING" in RUNNER.invoke(policy_app, ["rules"]).stdout


CATEGORIES = {
    "core",
    "risk_multipliers",
    "confidence_adjustments",
    "symbol_performance_thresholds",
    "exit_mode_bias",
    "entry_mode_bias",
    "recovery_multiplier",
    "recovery_after_streak",
    "cost_sensitivity",
    "max_cost_in_r",
}


def test_show_prints_ten_categories_what_follows_and_what_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    """The derived numbers of the worked cases, and where the choice comes from."""
    monkeypatch.setenv("ORCH_PROFILE", "aggressive")
    got = json.loads(RUNNER.invoke(profile_app, ["show", "SAFE", "--json"]).stdout)
    assert set(got) >= CATEGORIES
    assert (got["derived"]["BULL"]["risk_pct"], got["derived"]["BEAR"]["confidence"]) == (0.72, 0.63)
    assert got["active"] == {"name": "AGGRESSIVE", "source": "environment ORCH_PROFILE"}
    text = RUNNER.invoke(profile_app, ["show"]).stdout
    assert "Active: AGGRESSIVE (from: environment ORCH_PROFILE)" in text
    assert "To switch" in text


def test_compare_marks_what_differs() -> None:
    """Differences are listed for machines and marked for people."""
    got = json.loads(RUNNER.invoke(profile_app, ["compare", "SAFE", "aggressive", "--json"]).stdout)
    assert got["differences"]["core.base_risk_pct"] == [0.8, 1.2]
    assert "risk_multipliers.extreme_vol" not in got["differences"]
    assert "differs" in RUNNER.invoke(profile_app, ["compare", "SAFE", "AGGRESSIVE"]).stdout


def test_check_validates_a_file(tmp_path: Path) -> None:
    """A good file is shown; a percentage given as a fraction is refused by key."""
    good, bad = tmp_path / "mine.toml", tmp_path / "bad.toml"
    good.write_text('extends = "SAFE"\nbase_risk_pct = 0.5\n')
    bad.write_text('extends = "SAFE"\nbase_risk_pct = 0.008\n')
    assert json.loads(RUNNER.invoke(profile_app, ["check", str(good), "--json"]).stdout)["core"]["base_risk_pct"] == 0.5
    done = RUNNER.invoke(profile_app, ["check", str(bad)])
    assert done.exit_code == 2
    assert "base_risk_pct = 0.008" in done.stderr
    assert "percent" in done.stderr


@pytest.mark.parametrize("arguments", [["show", "NONE"], ["compare", "SAFE", "NONE"], ["check", "none.toml"]])
def test_unknown_profiles_are_one_line_and_exit_code_2(arguments: list[str]) -> None:
    """Named on standard error."""
    done = RUNNER.invoke(profile_app, arguments)
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
