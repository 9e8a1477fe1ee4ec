"""Scores of another program: each is known at its own time, and grows old."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import ConfigError
from quantum_trader.models import Panel, ScoreFile
from quantum_trader.models.loading import ModelSettings, load_model
from quantum_trader.models.score_file import outside_scores

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DAY = 1_704_067_200 * 10**9  # 2024-01-01
LONG = "ts,symbol,score\n2024-01-02,BTCUSDT,0.5\n2024-01-02T12:00:00Z,ETHUSDT,-1\n2024-01-03,BTCUSDT,\n"
WIDE = "ts,BTCUSDT,ETHUSDT\n2024-01-02,0.5,\n2024-01-02T12:00:00Z,0.5,-1\n2024-01-03,,-1\n"


def at(model: ScoreFile, now_ns: int) -> list[float]:
    """The scores at the close of a bar at *now_ns*."""
    panel = Panel(SYMBOLS, np.array([now_ns - NS_PER_HOUR]), now_ns, {"close": np.ones((1, 2))})
    return model.score(panel).tolist()


def made(tmp_path: Path, text: str, **params: str) -> ScoreFile:
    """The model of a file with *text*."""
    path = tmp_path / "scores.csv"
    path.write_text(text)
    model = load_model(ModelSettings(model=str(path), params=params)).model
    assert isinstance(model, ScoreFile)
    return model


@pytest.mark.parametrize("text", [LONG, WIDE])
def test_a_score_is_used_from_the_first_close_at_or_after_its_time(text: str, tmp_path: Path) -> None:
    """Not a nanosecond before; an empty cell is no view from then on."""
    model = made(tmp_path, text)
    second = DAY + NS_PER_DAY
    np.testing.assert_array_equal(at(model, second - 1), [np.nan, np.nan])
    np.testing.assert_array_equal(at(model, second), [0.5, np.nan])
    np.testing.assert_array_equal(at(model, second + 12 * NS_PER_HOUR), [0.5, -1.0])
    np.testing.assert_array_equal(at(model, second + NS_PER_DAY), [np.nan, -1.0])


def test_a_score_grows_old(tmp_path: Path) -> None:
    """At max_age it still counts, later it does not."""
    model = made(tmp_path, LONG, max_age="12h")
    second = DAY + NS_PER_DAY
    assert at(model, second + 12 * NS_PER_HOUR)[0] == 0.5
    assert np.isnan(at(model, second + 13 * NS_PER_HOUR)[0])


@pytest.mark.parametrize(("first", "last", "says"), [
    (0, 5, ""), (2, 5, ""),
    (20, 30, "scores of 2024-01-02 to 2024-01-03, and the bars are of 2024-01-21 to 2024-01-31: none of its scores"),
    (-9, 1, "the bars are of 2023-12-23 to 2024-01-02: 2 of its 3 scores are not used"),
])
def test_scores_outside_the_bars_are_counted(first: int, last: int, says: str, tmp_path: Path) -> None:
    """Of after the last bar, or older than max_age at the first one; both ranges are named."""
    said = outside_scores(made(tmp_path, LONG), DAY + first * NS_PER_DAY, DAY + last * NS_PER_DAY)

    assert (says in said) if says else said == ""


def test_parquet_and_csv_are_the_same_model(tmp_path: Path) -> None:
    """Times with a zone, numbers as numbers."""
    path = tmp_path / "scores.parquet"
    pl.DataFrame({"ts": [DAY + NS_PER_DAY], "BTCUSDT": [0.5]}).with_columns(
        pl.col("ts").cast(pl.Datetime("ns", "UTC"))
    ).write_parquet(path)
    model = load_model(ModelSettings(model="ScoreFile", params={"file": str(path)})).model
    assert at(model, DAY + NS_PER_DAY)[0] == 0.5


def test_its_content_is_in_the_fingerprint_and_its_place_is_not(tmp_path: Path) -> None:
    """A changed file is another model."""
    one, other = tmp_path / "scores.csv", tmp_path / "elsewhere" / "scores.csv"
    other.parent.mkdir()
    for path in (one, other):
        path.write_text(LONG)
    first = load_model(ModelSettings(model=str(one)))
    assert first.name == "scores"
    assert first.fingerprint == load_model(ModelSettings(model=str(other))).fingerprint
    other.write_text(LONG.replace("0.5", "0.6"))
    assert first.fingerprint != load_model(ModelSettings(model=str(other))).fingerprint


@pytest.mark.parametrize(("text", "says"), [
    ("when,symbol,score\n2024-01-02,BTCUSDT,1\n", "has no column ts"),
    ("ts,symbol,value\n2024-01-02,BTCUSDT,1\n", "write ts,symbol,score"),
    ("ts,symbol,score\n2024-01-02,BTCUSDT,high\n", "row 1: score = 'high': is no number"),
    ("ts,symbol,score\n2024-01-02,BTCUSDT,inf\n", "is no number"),
    ("ts;symbol;score\n2024-01-02;BTCUSDT;-0,8\n", "score = '-0,8': is no number; write decimals with a point"),
    ("ts,symbol,score\n2024-01-02,BTCUSDT,1\n2024-01-02,BTCUSDT,2\n", "has two scores at 2024-01-02 00:00:00"),
    ("ts,symbol,score\nsoon,BTCUSDT,1\n", "cannot be read; every score needs its time"),
])
def test_a_file_that_cannot_be_used_says_where(text: str, says: str, tmp_path: Path) -> None:
    """The row and what is right."""
    with pytest.raises(ConfigError, match=says):
        made(tmp_path, text)


def test_two_columns_of_one_symbol_are_refused(tmp_path: Path) -> None:
    """Neither of them is taken for the other in silence."""
    with pytest.raises(ConfigError, match="has two columns of BTCUSDT, the second one 'BTC/USDT'"):
        made(tmp_path, "ts,BTCUSDT,BTC/USDT\n2024-01-02,0.5,-0.5\n")


def test_a_parquet_file_without_a_row_is_refused(tmp_path: Path) -> None:
    """As a CSV file without one is."""
    path = tmp_path / "scores.parquet"
    pl.DataFrame(schema={"ts": pl.Datetime("ns", "UTC"), "BTCUSDT": pl.Float64}).write_parquet(path)
    with pytest.raises(ConfigError, match="holds no row"):
        load_model(ModelSettings(model=str(path)))


@pytest.mark.parametrize(("settings", "says"), [
    (ModelSettings(model="no.csv"), "there is no such file"),
    (ModelSettings(model="ScoreFile"), "name a CSV or Parquet file"),
    (ModelSettings(model="no.csv", params={"max_ages": "7d"}), "there is no such file"),
])
def test_a_model_without_its_file_says_so(settings: ModelSettings, says: str) -> None:
    """The key and what to do."""
    with pytest.raises(ConfigError, match=says):
        load_model(settings)


def test_unknown_parameters_of_a_score_file_are_refused(tmp_path: Path) -> None:
    """With the nearest name."""
    with pytest.raises(ConfigError, match="did you mean 'max_age'"):
        made(tmp_path, LONG, max_ages="7d")
