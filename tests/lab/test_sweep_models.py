"""A sweep of a user's own models: grids over their parameters, and the same results as `run`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.options import policy_flags
from quantum_trader.app.cli.sweep import app
from quantum_trader.app.runs.replay import memory_run
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.lab.sweep.grid import Axis, Setting, model_keys, parse_axis, settings_of
from quantum_trader.lab.sweep.layout import Targets
from quantum_trader.lab.sweep.market import SweepSettings, prepare
from quantum_trader.lab.sweep.sweep import sweep
from quantum_trader.lab.sweep.targets import embargo_of, targets_of
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import open_recording
from quantum_trader.models.loading import ModelSettings, make_forecasts
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.venues.paper.settings import PaperSettings

MINE = '''
import msgspec

from quantum_trader.models import Exit, Model


class Trend(Model):
    bars, warmup, horizon = "4h", 40, "6d"

    class Params(msgspec.Struct, frozen=True):
        bars: int = 18
        lean: float = 0.0

    def score(self, panel):
        return panel.close[-1] / panel.close[-1 - self.params.bars] - 1.0 + self.params.lean


class Short(Trend):
    horizon = "12h"


class Table(Trend):
    exit = Exit(on="regime")
'''
SPAN = ("--from", "2017-11-01", "--to", "2018-01-15", "--splits", "2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A user's file."""
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def models_of(file: Path, *kinds: str) -> tuple[ModelSettings, ...]:
    """Models of *file* with a prior that lets them trade."""
    return tuple(ModelSettings(model=f"{file}:{kind}", prior=(3.0, 0.5)) for kind in kinds or ("Trend",))


def config(file: Path) -> Path:
    """A settings file beside the model's, with a prior that lets it trade."""
    path = file.parent / "settings.toml"
    path.write_text('[[models]]\nname = "Mine"\nmodel = "mine.py:Trend"\nprior = [3.0, 0.5]\n')
    return path


def invoke(*arguments: str) -> Any:
    """Run the command over ten weeks of the bundled bars."""
    return CliRunner().invoke(app, [*SPAN, *arguments])


# ---- the grid ------------------------------------------------------------------------------------------------------
def test_a_parameter_of_a_model_is_a_key_of_the_grid(file: Path) -> None:
    """Whole numbers stay whole, the profile's numbers go to the profile, equal parameters are one variant."""
    models = models_of(file)
    axes = [parse_axis(text, model_keys(models)) for text in ("Trend.bars=6:18:6", "base_risk_pct=0.5,0.8")]
    made = settings_of(["SAFE", "STANDARD"], axes, models=models)
    assert len(made) == 12
    assert made[3].label == "SAFE Trend.bars=12 base_risk_pct=0.8"
    assert (made[3].models[0].params, made[3].config.base_risk_pct) == ({"bars": 12}, 0.8)
    assert {(one.variant, one.models[0].params["bars"]) for one in made} == {(0, 6), (1, 12), (2, 18)}
    assert axes[0] == Axis(key="Trend.bars", values=(6.0, 12.0, 18.0), of_model=True)


@pytest.mark.parametrize(("text", "says"), [
    ("Trend.bar=6,12", "unknown key 'Trend.bar'; did you mean Trend.bars?"),
    ("Trend.days=6,12", "did you mean Trend.bars?"),
    ("Trand.bars=6,12", "did you mean Trend.bars?"),
    ("base_confidense=0.4,0.5", "did you mean base_confidence?"),
])
def test_an_unknown_parameter_is_refused_with_the_nearest(file: Path, text: str, says: str) -> None:
    """The key, and what is meant."""
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        parse_axis(text, model_keys(models_of(file)))


def test_a_value_the_model_refuses_is_refused_with_its_key(file: Path) -> None:
    """Half a bar is no number of bars."""
    axes = [parse_axis("Trend.bars=6,6.5", ["Trend.bars"])]
    with pytest.raises(ConfigError, match=r"--grid: Trend\.bars=6\.5: .*Expected `int`"):
        settings_of(["SAFE"], axes, models=models_of(file))


def test_the_embargo_covers_the_horizon_of_a_score(file: Path) -> None:
    """Six days for a score of six days; three where the horizon is shorter or the regime table ends positions."""
    embargoes = [
        embargo_of(settings_of(["SAFE"], [], models=models_of(file, kind))) for kind in ("Trend", "Short", "Table")
    ]
    assert embargoes == [6, 3, 3]
    assert embargo_of(settings_of(["SAFE"], [])) == 3


# ---- the sweep -----------------------------------------------------------------------------------------------------
def test_scores_are_computed_once_a_setting_of_the_model(file: Path) -> None:
    """Two look-backs, three thresholds, two profiles: two times; a setting does not depend on its neighbours."""
    recording = open_recording(None, start="2017-11-01", end="2018-01-15")
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    engine = EngineSettings(
        profile=load_profile("SAFE"), integration=OrchestratorIntegrationConfig.create_live_mode_full()
    )
    fixed = SweepSettings(engine=engine, venue=PaperSettings())
    market = prepare(recording, instruments, fixed, models="Trend")
    asked: list[int] = []

    def wanted(setting: Setting) -> Targets:
        asked.append(setting.variant)
        forecasts = make_forecasts(setting.models, recording.symbols, recording.interval_ns)
        assert forecasts is not None
        return targets_of(recording, market, forecasts)

    models = models_of(file)
    axes = [parse_axis(text, model_keys(models)) for text in ("high_vol_threshold=0.02,0.03,0.04", "Trend.bars=6,18")]
    made = settings_of(["SAFE", "AGGRESSIVE"], axes, models=models)
    result = sweep(market, made, splits=2, targets=wanted, jobs=2)
    assert asked == [0, 1]
    assert result.trials == 12
    for index in (1, 8):
        alone = sweep(market, [made[index]], splits=0, targets=wanted).results[0]
        np.testing.assert_array_equal(result.results[index].curve.daily, alone.curve.daily)
    slow, fast = (result.results[index].decisions for index in (1, 0))
    assert slow != fast


# ---- the command ---------------------------------------------------------------------------------------------------
def test_the_command_equals_the_runs(file: Path) -> None:
    """Each setting has the trades, the equity and the fingerprint that `run` has with the same parameters."""
    settings = config(file)
    done = invoke("--config", str(settings), "--profiles", "STANDARD", "--grid", "Mine.bars=6,18", "--json")
    assert done.exit_code == 0, done.exception
    whole = json.loads(done.stdout)
    assert [one["changes"] for one in whole["settings"]] == [{"Mine.bars": 6}, {"Mine.bars": 18}]
    assert whole["data"]["signals"] is None
    assert {one["chosen"] for one in whole["splits"]} <= {"STANDARD Mine.bars=6", "STANDARD Mine.bars=18"}
    for row in whole["settings"]:
        bars = int(row["changes"]["Mine.bars"])
        flags = {
            "data.start": "2017-11-01", "data.end": "2018-01-15", "policy.profile": "STANDARD",
            "models": [{"name": "Mine", "model": f"{file}:Trend", "prior": [3.0, 0.5], "params": {"bars": bars}}],
        }
        given = {key: (value, "test") for key, value in flags.items()}
        loaded = load_settings(None, given | policy_flags("enforce"))
        facts = memory_run(loaded.settings)[0].facts
        assert row["trades"] == len(facts.trades) > 10
        assert row["return_pct"] == pytest.approx((facts.equity[-1] / facts.start_equity - 1.0) * 100.0, rel=1e-9)
        assert row["models"][0]["params"] == {"bars": bars, "lean": 0.0}


def test_the_command_names_the_parameters_everywhere(file: Path, tmp_path: Path) -> None:
    """Tables, heat map, chart and CSV."""
    page, rows = tmp_path / "chart.html", tmp_path / "all.csv"
    done = invoke(
        "--model", f"{file}:Trend", "--profiles", "SAFE", "--grid", "Trend.bars=6,18", "--policy", "observe",
        "--chart", str(page), "--out", str(rows),
    )
    assert done.exit_code == 0, done.exception
    assert "warning: Trend has not passed the look-ahead check" in done.output
    assert "signals of Trend" in done.output
    assert "SAFE Trend.bars=18" in done.output
    assert "Sharpe by Trend.bars" in " ".join(done.output.split())
    assert "The policy is not enforced" not in done.output
    assert "Trend.bars" in page.read_text()
    assert [row["Trend.bars"] for row in csv.DictReader(rows.open())] == ["6.0", "18.0"]


@pytest.mark.parametrize(("arguments", "says"), [
    (["--model", "{file}:Trand"], "it has Trend, Short, Table"),
    (["--model", "{file}:Trend", "--grid", "Trend.bar=1,2"], "did you mean Trend.bars?"),
    (["--model", "{file}:Trend", "--model", "{file}:Table"], "cannot be combined"),
    (["--grid", "Trend.bars=1,2"], "unknown key 'Trend.bars'"),
    (["--model", "{file}:Trend", "--grid", "Trend.bars=6,900"], "--grid: Trend.bars=900: Trend: "),
])
def test_the_command_says_what_is_wrong_with_a_model(file: Path, arguments: list[str], says: str) -> None:
    """Before any work."""
    done = invoke(*(one.format(file=file) for one in arguments))
    assert done.exit_code != 0
    assert says in str(done.exception)
