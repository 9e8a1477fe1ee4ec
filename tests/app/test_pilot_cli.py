"""`quantum-trader pilot features` lists what the pilot observes, `pilot show` what a trained one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.pilot.test_artefact import artefact
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.pilot.artefact import WEIGHTS_FILE, save_artefact
from quantum_trader.pilot.features import FEATURES, feature_hash
from quantum_trader.pilot.settings import ObservationSettings


def test_the_table_names_every_feature_and_every_reason_for_a_mask() -> None:
    """With the interval and the hash in the last line."""
    result = CliRunner().invoke(app, ["pilot", "features"], env={"COLUMNS": "220"})

    assert result.exit_code == 0
    for one in FEATURES:
        assert f" {one.name} " in result.stdout
        assert one.mask in result.stdout
    assert f"interval 30m, feature hash {feature_hash(ObservationSettings())}" in result.stdout.splitlines()[-1]


def test_json_states_each_feature_whole() -> None:
    """Column, name, formula, unit, range, source, mask, default scaling; an open end of a range is null."""
    result = CliRunner().invoke(app, ["pilot", "features", "--json", "--interval", "2h"])
    shown = json.loads(result.stdout)

    assert shown["interval"] == "2h"
    assert shown["feature_hash"] == feature_hash(ObservationSettings(interval="2h"))
    assert [one["name"] for one in shown["features"]] == [one.name for one in FEATURES]
    assert shown["features"][0] == {
        "column": 0, "name": "return_1", "formula": "close / last close - 1", "unit": "fraction", "low": -1.0,
        "high": None, "range": "-1 or more", "source": "bars", "masked": None, "center": 0.0,
        "scale": pytest.approx(0.016), "fitted": True, "version": 1,
    }


def test_an_interval_that_is_not_observed_is_one_line() -> None:
    """Exit code 2, and the intervals that are."""
    result = CliRunner().invoke(app, ["pilot", "features", "--interval", "7m"])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "pilot.interval = '7m': must be one of 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h" in result.stderr


def test_a_trained_pilot_says_what_it_is(tmp_path: Path) -> None:
    """Identity, features, data, settings, results; as JSON the whole card."""
    save_artefact(tmp_path / "pilot", artefact())
    card = artefact().card

    shown = CliRunner().invoke(app, ["pilot", "show", str(tmp_path / "pilot")])
    assert shown.exit_code == 0
    for text in (card.identity, "64 features of 30m bars", card.scalers.feature_hash, "made up: BTCUSDT", "steps 10",
                 "sharpe -0.4, turnover not known", card.weights_hash):
        assert text in shown.stdout

    told = json.loads(CliRunner().invoke(app, ["pilot", "show", str(tmp_path / "pilot"), "--json"]).stdout)
    assert (told["identity"], told["metrics"]) == (card.identity, card.metrics)


def test_a_damaged_pilot_is_one_line(tmp_path: Path) -> None:
    """Exit code 2, with the file and what to do."""
    save_artefact(tmp_path / "pilot", artefact())
    (tmp_path / "pilot" / WEIGHTS_FILE).write_bytes(b"nothing")
    result = CliRunner().invoke(app, ["pilot", "show", str(tmp_path / "pilot")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert WEIGHTS_FILE in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
