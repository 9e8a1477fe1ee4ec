"""Grids, walk-forward splits and what a sweep says of them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.sweep import app
from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.lab.sharpe import period_returns
from quantum_trader.lab.sweep.grid import parse_axis, settings_of
from quantum_trader.lab.sweep.market import SweepMarket, SweepSettings, levels_of, prepare, thresholds_of
from quantum_trader.lab.sweep.sweep import summary, sweep
from quantum_trader.lab.sweep.walk_forward import Criterion, Curve, out_of_sample, period, splits_of, walk_forward
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import open_recording
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.venues.paper.settings import PaperSettings


@pytest.fixture(scope="module")
def market() -> SweepMarket:
    """Three months of the bundled bars, policy enforced."""
    recording = open_recording(None, start="2017-11-01", end="2018-01-31")
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    engine = EngineSettings(
        profile=load_profile("SAFE"), integration=OrchestratorIntegrationConfig.create_live_mode_full()
    )
    return prepare(recording, instruments, SweepSettings(engine=engine, venue=PaperSettings()))


# ---- the grid ------------------------------------------------------------------------------------------------------
def test_a_range_includes_both_ends() -> None:
    """0.4, 0.45 … 0.7: seven values without float noise."""
    assert parse_axis("base_confidence=0.4:0.7:0.05").values == (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)


def test_a_list_and_a_number_in_a_table_are_read() -> None:
    """Values in the order given, for a key inside a table."""
    axis = parse_axis("risk_multipliers.BULL=1.2,0.8")
    assert (axis.key, axis.values) == ("risk_multipliers.BULL", (1.2, 0.8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base_confidence", "key=low:high:step"), ("confidence=0.4:0.5:0.1", "unknown key 'confidence'"),
        ("BULL=0.5", "risk_multipliers.BULL"), ("base_confidence=0.4:0.7", "not low:high:step"),
        ("base_confidence=a,b", "numbers with commas"), ("base_confidence=0.7:0.4:0.1", "high not below low"),
        ("base_confidence=0.4:0.7:0", "step must be above 0"), ("base_confidence=0:0.9:0.0001", "at most 1000"),
        ("base_confidence=0.4,0.4", "once"), ("base_confidence=nan", "finite"),
        ("base_confidence=0.5,a", "base_confidence = 'a': is no finite number"),
        ("base_confidence=0.5,0.4,0.5", "base_confidence = 0.5: stands there twice"),
        ("base_confidence=0.7:0.4:0.1", "base_confidence = '0.7:0.4:0.1': step must"),
        ("Mine.days=7,14", "Mine is no table of a profile and no model of this sweep .none.; name its model with"),
    ],
)
def test_a_grid_that_means_nothing_is_refused(text: str, message: str) -> None:
    """ConfigError saying what is wrong with it."""
    with pytest.raises(ConfigError, match=message):
        parse_axis(text)


def test_settings_are_every_combination_of_every_profile() -> None:
    """Profiles first, then the keys in the order given; the numbers reach the profile."""
    made = settings_of(["SAFE", "STANDARD"], [parse_axis("base_risk_pct=0.5,1"), parse_axis("persistence=2:3:1")])
    assert len(made) == 8
    assert made[1].label == "SAFE base_risk_pct=0.5 persistence=3"
    assert (made[1].config.base_risk_pct, made[1].config.persistence) == (0.5, 3)
    assert made[0].config.daily_dd_limit == load_profile("SAFE").daily_dd_limit


def test_a_value_the_profile_would_refuse_is_refused_with_the_setting() -> None:
    """The profile's own validation speaks, naming key, value and setting."""
    with pytest.raises(ConfigError, match=r"SAFE with base_risk_pct=0\.008.*base_risk_pct = 0\.008"):
        settings_of(["SAFE"], [parse_axis("base_risk_pct=0.008")])


def test_a_grid_without_end_is_refused() -> None:
    """More than 20000 settings are an accident."""
    axes = [parse_axis("base_confidence=0:0.9:0.001"), parse_axis("base_risk_pct=0.1:5:0.1")]
    with pytest.raises(ConfigError, match="at most 20000"):
        settings_of(["SAFE"], axes)


# ---- returns and splits --------------------------------------------------------------------------------------------
def test_daily_returns_carry_days_without_a_bar_and_stop_at_ruin() -> None:
    """+10 %, 0 (no bar), -50 %, then -100 % and nothing more."""
    found = period_returns(np.array([110.0, math.nan, 55.0, -3.0, 40.0]), 100.0)
    assert found == pytest.approx([0.1, 0.0, -0.5, -1.0, 0.0])


def test_tests_follow_their_training_after_the_embargo() -> None:
    """Four splits of 100 days: tests of 20 days less 3, none of them ever trained on before."""
    cut = splits_of(100, 4)
    assert [(one.train_end, one.test_start, one.test_end) for one in cut] == [
        (20, 23, 40), (40, 43, 60), (60, 63, 80), (80, 83, 100)
    ]
    assert splits_of(100, 0) == ()


def test_too_many_splits_are_refused() -> None:
    """ConfigError with the length the parts would have."""
    with pytest.raises(ConfigError, match="parts of 9 days"):
        splits_of(100, 10)


def _curve(daily: Any, trades: int = 60) -> Curve:
    days = np.linspace(0, len(daily) - 1, trades).astype(np.int64)
    return Curve(daily=np.asarray(daily, dtype=np.float64), trade_day=days, trade_r=np.full(trades, 0.5))


def test_training_chooses_what_it_saw_and_the_test_shows_the_rest() -> None:
    """The setting that was good until day 50 is chosen, and loses afterwards."""
    wave = np.tile([0.01, 0.002], 50)
    early = np.concatenate((wave[:50], -wave[50:]))
    found = walk_forward([_curve(early), _curve(-early)], splits_of(100, 1))
    assert found[0].chosen == 0
    assert found[0].train is not None
    assert found[0].train.return_pct > 0.0
    assert found[0].test is not None
    assert found[0].test.return_pct < 0.0
    assert found[0].rank == 0.5
    joined = out_of_sample([_curve(early), _curve(-early)], found)
    assert joined is not None
    assert joined.days == 47


def test_a_setting_that_hardly_trades_is_not_chosen() -> None:
    """Nine trades are too few; without another candidate the split chooses none (-1)."""
    found = walk_forward([_curve(np.full(100, 0.01), trades=9)], splits_of(100, 1))
    assert found[0].chosen == -1
    assert out_of_sample([_curve(np.full(100, 0.01))], found) is None


def test_a_period_measures_its_own_days_only() -> None:
    """Return, drawdown, trades and win rate of days 10 to 20."""
    daily = np.zeros(30)
    daily[12], daily[15] = 0.10, -0.05
    one = period(_curve(daily, trades=30), 10, 20)
    assert one.return_pct == pytest.approx(4.5)
    assert one.max_drawdown_pct == pytest.approx(-5.0)
    assert (one.days, one.trades, one.win_rate) == (10, 10, 1.0)


def test_a_test_without_a_trade_beats_nobody() -> None:
    """Chosen in training, no trade in the test: no rank, no Sharpe ratio and no probability, rather than 100 % or 0."""
    quiet = np.concatenate((np.tile([0.01, 0.002], 25), np.zeros(50)))
    curve = Curve(daily=quiet, trade_day=np.arange(50, dtype=np.int64), trade_r=np.full(50, 0.5))
    found = walk_forward([curve, curve], splits_of(100, 1))
    assert found[0].chosen == 0
    assert found[0].test is not None
    assert (found[0].test.trades, found[0].test.return_pct) == (0, 0.0)
    assert math.isnan(found[0].rank)
    assert math.isnan(found[0].test.sharpe)


# ---- the sweep -----------------------------------------------------------------------------------------------------
def test_threads_change_nothing(market: SweepMarket) -> None:
    """One thread or three: the same results in the same order."""
    made = settings_of(["SAFE", "STANDARD", "AGGRESSIVE"], [parse_axis("base_confidence=0.4:0.6:0.1")])
    told: list[tuple[int, int]] = []
    one = sweep(market, made, jobs=1, splits=2, progress=lambda done, total: told.append((done, total)))
    three = sweep(market, made, jobs=3, splits=2)
    assert told[-1] == (9, 9)
    for mine, theirs in zip(one.results, three.results, strict=True):
        np.testing.assert_array_equal(mine.curve.daily, theirs.curve.daily)
        assert mine.decisions == theirs.decisions
        assert sum(mine.decisions.values()) == len(market.tape.signal_symbol)
    assert one.trials == 9
    assert [one.profile for one in one.spreads] == ["SAFE", "STANDARD", "AGGRESSIVE"]
    assert any("AGGRESSIVE trades" in line for line in summary(one))


def test_a_setting_does_not_depend_on_its_neighbours(market: SweepMarket) -> None:
    """Thresholds are shared by settings that have the same, and by no others."""
    made = settings_of(["STANDARD"], [parse_axis("high_vol_threshold=0.02,0.04"), parse_axis("base_risk_pct=0.5,1")])
    together = sweep(market, made, splits=0)
    for index, setting in enumerate(made):
        alone = sweep(market, [setting], splits=0)
        np.testing.assert_array_equal(together.results[index].curve.daily, alone.results[0].curve.daily)
    assert len({thresholds_of(setting.vector) for setting in made}) == 2
    first, last = levels_of(market, made[0].vector), levels_of(market, made[-1].vector)
    assert not np.array_equal(first.key, last.key)


def test_the_same_setting_twice_is_one_trial(market: SweepMarket) -> None:
    """Deflation counts different settings, not rows."""
    twice = settings_of(["SAFE"], [])
    assert sweep(market, [*twice, *twice], splits=0).trials == 1


def test_jobs_and_periods_are_checked(market: SweepMarket) -> None:
    """ConfigError for no thread at all."""
    with pytest.raises(ConfigError, match="jobs = 0"):
        sweep(market, settings_of(["SAFE"], []), jobs=0)


def test_a_venue_that_fills_parts_cannot_be_swept() -> None:
    """ConfigError: the sweep fills whole orders, and says so instead of approximating."""
    engine = EngineSettings(profile=load_profile("SAFE"))
    with pytest.raises(ConfigError, match="participation"):
        SweepSettings(engine=engine, venue=PaperSettings(participation=0.1))


def test_best_needs_trades(market: SweepMarket) -> None:
    """A grid that never trades has no best, and the summary says so."""
    result = sweep(market, settings_of(["SAFE"], [parse_axis("base_confidence=0.95")]), criterion=Criterion.RETURN)
    assert result.best == -1
    assert "nothing to choose from" in summary(result)[0]


def test_without_a_trade_nothing_is_said_of_the_sharpe_ratio(market: SweepMarket) -> None:
    """A grid that never trades: unknown instead of 0, every signal refused, however seldom the gate was closed."""
    result = sweep(market, settings_of(["SAFE"], [parse_axis("base_confidence=0.95")]), splits=0)
    one = result.results[0]
    assert one.whole.trades == 0
    assert math.isnan(one.whole.sharpe)
    assert math.isnan(result.spreads[0].sharpe)
    assert math.isnan(result.out_of_sample_above_zero)
    assert one.refused_share == 1.0
    assert one.blocked_share < 1.0


# ---- the command ---------------------------------------------------------------------------------------------------
def _invoke(*arguments: str) -> Any:
    """Sweep two months of the intraday models; those of the default set need an embargo of a month between parts."""
    span = ["--model", "intraday-demo", "--from", "2017-11-01", "--to", "2017-12-31", "--splits", "2"]
    return CliRunner().invoke(app, [*span, *arguments])


def test_the_command_writes_table_chart_and_file(tmp_path: Path) -> None:
    """A table on the screen, a self-contained page, and one CSV row a setting."""
    page, rows = tmp_path / "chart.html", tmp_path / "all.csv"
    done = _invoke("--grid", "base_confidence=0.4:0.5:0.05", "--chart", str(page), "--out", str(rows))
    assert done.exit_code == 0, done.output
    assert "Walk-forward" in done.output
    assert "AGGRESSIVE" in done.output
    assert "<svg" in page.read_text()
    assert "http" not in page.read_text().replace("http://www.w3.org/2000/svg", "")
    assert len(list(csv.DictReader(rows.open()))) == 9


def test_the_command_speaks_json() -> None:
    """One document; what varies between runs stands under run."""
    done = _invoke("--profiles", "SAFE", "--grid", "base_risk_pct=0.5,0.8", "--json")
    whole = json.loads(done.stdout)
    assert [one["changes"] for one in whole["settings"]] == [{"base_risk_pct": 0.5}, {"base_risk_pct": 0.8}]
    assert whole["mode"] == "LIVE"
    assert set(whole["run"]) == {"wall_s", "prepare_s", "jobs", "symbol_bars_x_settings_per_s", "trials"}
    again = json.loads(_invoke("--profiles", "SAFE", "--grid", "base_risk_pct=0.5,0.8", "--json", "--jobs", "2").stdout)
    assert {**whole, "run": {}} == {**again, "run": {}}


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        ("[account]\nstart_equity = 10000.0\n", "LIVE"), ("[policy]\nenabled = true\n", "LIVE"),
        ("[rollout]\nuse_for_trading_gate = true\n", "LIVE"), ('[rollout]\nmode = "OBSERVE"\n', "OBSERVE"),
        ("[policy]\nenabled = false\n", "OBSERVE"),
    ],
)
def test_a_settings_file_leaves_the_policy_enforced_unless_it_says_otherwise(
    tmp_path: Path, content: str, mode: str
) -> None:
    """A file about other things gives what no file gives; one that names the mode is obeyed, and that is said."""
    file = tmp_path / "settings.toml"
    file.write_text(content)
    grid = ("--profiles", "SAFE", "--grid", "base_confidence=0.4,0.44,0.7")
    told = json.loads(_invoke(*grid, "--config", str(file), "--json").stdout)
    assert told["mode"] == mode
    if "start_equity" in content:
        plain = json.loads(_invoke(*grid, "--json").stdout)
        assert told["settings"] == plain["settings"]
        assert len({one["refused_share"] for one in told["settings"]}) == 3
    if mode == "OBSERVE":
        assert "The policy is not enforced" in _invoke(*grid, "--config", str(file)).output


def test_the_tables_tell_refused_signals_from_a_closed_gate() -> None:
    """Both columns stand in the table; no Sharpe ratio stands where nothing was traded."""
    output = _invoke("--profiles", "SAFE", "--grid", "base_confidence=0.95").output
    assert "refused" in output
    assert "gate closed" in output
    assert "blocked" not in output
    row = next(line for line in output.splitlines() if "SAFE base_confidence=0.95" in line)
    assert row.split()[2:5] == ["0.0", "–", "0.0"]
    assert "100 %" in row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "nothing=1"], "unknown key"), (["--profiles", "BOLD"], "BOLD"),
        (["--profiles", "SAFR"], "did you mean SAFE?"),
        (["--criterion", "luck"], "--criterion 'luck'"), (["--chart", "a.png"], ".svg or .html"),
        (["--out", "nowhere/at/all.csv"], "there is no folder"), (["--splits", "50"], "splits = 50"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str) -> None:
    """An error of this package, naming the flag or key."""
    done = _invoke(*arguments)
    assert done.exit_code != 0
    assert message in str(done.exception)
