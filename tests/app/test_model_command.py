"""`quantum-trader model`, and what a run and `live` do with a model that has not passed the check."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.model_check import check_before_live, passed_check
from quantum_trader.app.runs.replay import memory_run
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.errors import ConfigError
from quantum_trader.models.loading import ModelSettings, load_model
from quantum_trader.models.port import FrameModel

MONTH = ("run", "--exit", "--from", "2018-01-01", "--to", "2018-01-14", "--json")

COUNTED = '''
import polars as pl
from quantum_trader.models import FrameModel


class Counted(FrameModel):
    bars, warmup, horizon = "4h", 40, "3d"
    heights = []

    def scores(self, frame):
        self.heights.append(frame.height)
        return frame.with_columns(score=pl.col("close") / pl.col("close").shift(18) - 1.0)
'''


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and an empty current folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def told(*arguments: str) -> Any:
    """The JSON document of one command."""
    return json.loads(call(*arguments, "--json")[1])


@pytest.mark.parametrize("form", [(), ("--frame",)])
def test_a_new_models_scores_are_as_large_in_a_calm_market_as_in_a_wild_one(form: tuple[str, ...], home: Path) -> None:
    """The same path with returns a twentieth as large has the same scores, but for compounding."""
    call("model", "new", "my_trend", *form)
    model = load_model(ModelSettings(model=str(home / "my_trend.py"))).model
    steps = np.random.default_rng(7).normal(0.0, 0.04, 120)
    wild, calm = (score_of(model, 100.0 * np.exp(np.cumsum(size * steps))) for size in (1.0, 0.05))
    assert abs(wild) > 1.0
    assert calm == pytest.approx(wild, rel=0.25)


def score_of(model: Any, close: Any) -> float:
    """What *model* says of the newest of these closes of one symbol."""
    if isinstance(model, FrameModel):
        return float(model.scores(pl.DataFrame({"ts": range(len(close)), "close": close}))["score"][-1])
    return float(model.score(SimpleNamespace(close=close[-model.warmup:, None]))[0])


@pytest.mark.parametrize("form", [(), ("--frame",)])
def test_a_new_model_is_written_passes_the_check_and_is_listed(form: tuple[str, ...]) -> None:
    """As `new` leaves it, with its next commands."""
    code, out, _ = call("model", "new", "my_trend", *form)
    assert code == 0
    assert "quantum-trader model check my_trend.py:MyTrend" in out
    assert told("model", "show", "my_trend.py:MyTrend")["checked"] is None

    report = told("model", "check", "my_trend.py:MyTrend")

    assert report["passed"]
    assert [one["name"] for one in report["findings"] if not one["passed"]] == []
    listed = {row["model"]: row["about"] for row in told("model", "list")["models"]}
    assert listed["my_trend.py:MyTrend"] == "Long what rose over the last days, short what fell."
    assert {"intraday-demo", "ScoreFile"} <= set(listed)
    shown = told("model", "show", "my_trend.py:MyTrend")
    assert shown["params"] == {"days": 28}
    assert shown["checked"]


@pytest.mark.parametrize(("changed", "why"), [
    (('bars = "1d"', 'bars = "5m"'), "the bundled bars of 30m do not make the model's of 5m"),
    (("warmup = 60", "warmup = 800"), "bars of 1d and the bundled ones make 730"),
])
def test_a_check_on_made_up_bars_says_so_and_why(home: Path, changed: tuple[str, str], why: str) -> None:
    """In text and in JSON; a check on recorded bars names their source instead."""
    call("model", "new", "mine")
    real = told("model", "check", "mine.py:Mine")
    (home / "mine.py").write_text((home / "mine.py").read_text().replace(*changed))
    report = told("model", "check", "mine.py:Mine")
    out = call("model", "check", "mine.py:Mine")[1]

    assert (real["source"], real["made_up"]) == ("bundled", "")
    assert report["source"] == "generated"
    assert why in report["made_up"]
    assert " made-up bars of " in out
    assert "note: these bars are made up, since " in out


def test_the_class_may_be_left_out_where_the_file_has_one(home: Path) -> None:
    """For check, show and run alike, and beside a settings file; with two classes they are listed."""
    call("model", "new", "mine")
    (home / "run.toml").write_text('[[models]]\nmodel = "mine.py"\n')
    checked = told("model", "check", "mine.py")
    ran = [told(*MONTH[:-1], *words)["models"]["models"][0]["name"] for words in (
        ("--model", "mine.py"), ("--config", "run.toml"),
    )]

    assert (checked["model"], checked["passed"]) == ("Mine", True)
    assert told("model", "show", "mine.py")["code"] == told("model", "show", "mine.py:Mine")["code"]
    assert ran == ["Mine", "Mine"]
    path = home / "mine.py"
    path.write_text(path.read_text() + "\n\nclass Other(Mine):\n    pass\n")
    for words in (("model", "check", "mine.py"), ("run", "--exit", "--model", "mine.py")):
        code, _, said = call(*words)
        assert code != 0
        assert "name the class too, as mine.py:Mine; it has Mine, Other" in said


@pytest.mark.parametrize(("name", "content", "says"), [
    ("x.xlsx", "", "--model 'x.xlsx': is no file of a model; name FILE.py:Class, or scores in a .csv or .parquet file"),
    ("nope.py", None, "--model nope.py: there is no such file"),
    ("none.py", "x = 1\n", "--model 'none.py': none.py has no model class"),
    ("old.py", "from freqtrade.strategy import IStrategy\n\n\nclass Old(IStrategy):\n    pass\n",
     "--model 'old.py': old.py has no model class; it looks like a freqtrade strategy, which docs/how-to-"),
    ("broken.py", "x = (\n", "--model broken.py: line 1: SyntaxError: '(' was never closed\n"),
])
def test_a_file_that_holds_no_model_says_what_to_name(home: Path, name: str, content: str | None, says: str) -> None:
    """The same words from check and run."""
    if content is not None:
        (home / name).write_text(content)
    for words in (("model", "check", name), ("run", "--exit", "--model", name)):
        code, _, said = call(*words)
        assert code != 0
        assert says in said


def test_a_score_file_of_another_time_than_the_bars_says_so_in_check_and_run(home: Path) -> None:
    """Both ranges, and how many scores are not used: in the text, in JSON, and in the notes of a run."""
    days = ("2018-01-05", "2018-01-06", "2022-01-01")
    (home / "part.csv").write_text("\n".join(["ts,symbol,score", *(f"{day},BTCUSDT,1" for day in days)]))
    (home / "late.csv").write_text("ts,symbol,score\n2022-01-01,BTCUSDT,1\n2022-01-02,BTCUSDT,2\n")
    part, late = told("model", "check", "part.csv"), told("model", "check", "late.csv")
    ran = told(*MONTH[:-1], "--model", "part.csv")

    expected = "part.csv has scores of 2018-01-05 to 2022-01-01, and the bars are of 2017-10-01 to 2019-10-01: "
    assert part["outside"] == expected + "1 of its 3 scores are not used"
    assert f"note: {expected}" in call("model", "check", "part.csv")[1]
    assert late["outside"].endswith("none of its scores is used")
    assert "give bars of its time with --data" in late["findings"][0]["text"]
    assert any("part.csv has scores of" in note and "1 of its 3 scores" in note for note in ran["notes"])


def test_the_built_in_set_is_listed_shown_and_checked_model_by_model() -> None:
    """Its name stands for its models; one alone is shown as a user's is, without asking for a check."""
    listed = {row["model"]: row["about"] for row in told("model", "list")["models"]}
    assert listed["trend"].endswith("tsmom_fast, tsmom_slow, ewmac, donchian, carry; the default")
    assert "default" not in listed["intraday-demo"]
    assert listed["xsmom"].endswith("Not enabled in the set.")
    shown = told("model", "show", "trend")
    assert [(one["model"], one["weight"]) for one in shown["models"]][-2:] == [("donchian", 1.0), ("carry", 0.25)]
    alone = told("model", "show", "carry")
    assert alone == shown["models"][-1]
    assert (alone["prior"], alone["least_symbols"]) == ([0.25, 0.4], 4)
    assert "checked       built in" in call("model", "show", "ewmac")[1]

    code, out, _ = call("model", "check", "trend", "--symbols", "BTCUSDT,ETHUSDT", "--json")

    assert code == 1
    reports = {one["model"]: one for one in json.loads(out)["models"]}
    assert [name for name, one in reports.items() if not one["passed"]] == ["carry"]
    assert "it needs 4 symbols, and here are 2" in reports["carry"]["findings"][0]["text"]


def test_listing_runs_no_file(home: Path) -> None:
    """A file in the folder is read, not run."""
    (home / "loud.py").write_text("raise SystemExit(3)\nclass Mine(Model):\n    pass\nclass Other(Mine):\n    pass\n")
    code, out, _ = call("model", "list")
    assert code == 0
    assert "loud.py:Mine" in out
    assert "loud.py:Other" in out


def test_a_file_that_is_there_is_not_overwritten() -> None:
    """Nor is a name taken that is none."""
    assert call("model", "new", "mine")[0] == 0
    code, _, error = call("model", "new", "mine")
    assert code == 2
    assert "mine.py: is there already" in error
    assert call("model", "new", "2nd-try")[0] == 2


def test_a_failed_check_names_the_line_and_has_an_exit_code(home: Path) -> None:
    """Exit code 1, and the passed check of before is of another hash."""
    call("model", "new", "mine", "--frame")
    path = home / "mine.py"
    path.write_text(path.read_text().replace("close.shift(self.params.days)", "close.shift(-1)"))
    code, out, _ = call("model", "check", "mine.py:Mine")
    assert code == 1
    assert "FAIL look-ahead" in out
    assert "mine.py:29" in out
    assert "shift by a negative number" in out
    assert "not passed" in out


def test_live_checks_a_model_once_and_refuses_one_that_looks_ahead(home: Path) -> None:
    """A changed file is checked again."""
    call("model", "new", "mine", "--frame")
    models, words = (ModelSettings(model=str(home / "mine.py") + ":Mine"),), []
    check_before_live(models, words.append)
    assert [word.partition(" ")[2] for word in words] == [
        "has not passed the look-ahead check as it is now; checking it",
        "has passed the look-ahead check on the bundled bars",
    ]
    assert passed_check(load_model(models[0]).code) is not None
    words.clear()
    check_before_live(models, words.append)
    assert words == []

    path = home / "mine.py"
    path.write_text(path.read_text().replace("close.shift(self.params.days)", "close.shift(-1)"))
    with pytest.raises(ConfigError, match=r"live trades no such model. look-ahead: the score of"):
        check_before_live(models, words.append)


def test_bars_that_the_bundled_ones_cannot_make_are_made_up(home: Path) -> None:
    """A model of 5-minute bars is checked too."""
    call("model", "new", "quick")
    path = home / "quick.py"
    path.write_text(path.read_text().replace('bars = "1d"', 'bars = "5m"'))
    report = told("model", "check", "quick.py:Quick")
    assert report["passed"]
    assert report["bars"] == "5m"
    assert report["symbols"][0].startswith("GEN")


def test_a_run_warns_of_a_model_that_has_not_passed() -> None:
    """On standard error and in the report's notes, until it has passed."""
    call("model", "new", "mine")
    _, out, error = call(*MONTH, "--model", "mine.py:Mine")
    assert "warning: Mine has not passed the look-ahead check" in error
    assert any("model check mine.py:Mine" in note for note in json.loads(out)["notes"])

    assert call("model", "check", "mine.py:Mine")[0] == 0

    _, out, error = call(*MONTH, "--model", "mine.py:Mine")
    assert "look-ahead" not in error
    assert not any("look-ahead" in note for note in json.loads(out)["notes"])


def test_a_replay_computes_columns_once(home: Path) -> None:
    """Once for each symbol, over all bars of the run."""
    path = home / "counted.py"
    path.write_text(COUNTED)
    memory_run(load_settings(None, {
        "data.start": ("2018-01-01", "test"), "data.end": ("2018-02-28", "test"),
        "models": ([{"model": f"{path}:Counted"}], "test"),
    }).settings)
    heights = load_model(ModelSettings(model=f"{path}:Counted")).model.heights  # type: ignore[union-attr]
    assert len(heights) == 5
    assert min(heights) > 300


def test_a_file_of_scores_runs_and_lies_beside_its_settings(home: Path) -> None:
    """As --model and in [[models]]; an unknown class is named."""
    lines = [f"2018-01-{day:02d},BTCUSDT,{(-1) ** (day // 4)}" for day in range(1, 15)]
    (home / "scores.csv").write_text("ts,symbol,score\n" + "\n".join(lines) + "\n")
    code, out, _ = call(*MONTH, "--model", "scores.csv")
    assert code == 0
    assert json.loads(out)["notes"]
    folder = home / "elsewhere"
    folder.mkdir()
    (home / "scores.csv").rename(folder / "scores.csv")
    for entry in ('model = "scores.csv"', 'model = "ScoreFile"\nparams = {file = "scores.csv", max_age = "3d"}'):
        (folder / "run.toml").write_text(f"[[models]]\n{entry}\n")
        code, _, error = call(*MONTH, "--config", str(folder / "run.toml"))
        assert code == 0, error


def test_a_run_from_a_middle_day_looks_its_columns_up_too(home: Path) -> None:
    """The bars of before the range are part of the column: no bar is asked for by itself."""
    path = home / "counted.py"
    path.write_text(COUNTED.replace("shift(18)", "shift(17)"))
    memory_run(load_settings(None, {
        "data.start": ("2018-02-01", "test"), "data.end": ("2018-02-28", "test"),
        "models": ([{"model": f"{path}:Counted"}], "test"),
    }).settings)
    heights = load_model(ModelSettings(model=f"{path}:Counted")).model.heights  # type: ignore[union-attr]
    assert len(heights) == 5


SETTINGS = '''
[[models]]
model = "mine.py:Mine"
params = {days = 20}

[[models]]
name = "fast"
model = "mine.py:Mine"
params = {days = 7}

[[models]]
name = "resting"
model = "mine.py:Mine"
enabled = false
'''


def test_models_of_a_settings_file_are_checked_with_their_parameters(home: Path) -> None:
    """Each enabled one; the run's notice, which names this command, is gone then; with the class's own it stays."""
    call("model", "new", "mine")
    (home / "run.toml").write_text(SETTINGS)
    _, _, error = call(*MONTH, "--config", "run.toml")
    assert "`quantum-trader model check --config FILE --name Mine`" in error
    assert "`quantum-trader model check --config FILE --name fast`" in error

    document = told("model", "check", "--config", "run.toml")

    assert document["passed"]
    assert [one["model"] for one in document["models"]] == ["Mine", "fast"]
    assert len({one["code"] for one in document["models"]}) == 2
    _, out, error = call(*MONTH, "--config", "run.toml")
    assert "look-ahead" not in error + out
    assert "model check mine.py:Mine`" in call(*MONTH, "--model", "mine.py:Mine")[2]


def test_one_model_of_a_settings_file_is_checked_by_its_name(home: Path) -> None:
    """A resting one too; the result is one model's, and the exit code tells whether it passed."""
    call("model", "new", "mine", "--frame")
    (home / "run.toml").write_text(SETTINGS)
    code, out, _ = call("model", "check", "--config", "run.toml", "--name", "resting")
    assert code == 0
    assert out.splitlines()[0].startswith("resting: ")
    assert [line for line in out.splitlines() if line == "passed"] == ["passed"]
    path = home / "mine.py"
    path.write_text(path.read_text().replace("shift(self.params.days)", "shift(self.params.days - 20)"))
    assert call("model", "check", "--config", "run.toml", "--name", "Mine")[0] == 1  # looks at its own bar alone
    assert call("model", "check", "--config", "run.toml", "--name", "fast")[0] == 1  # shift(-13)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--config", "run.toml", "--name", "fats"), "did you mean 'fast'"),
        (("mine.py:Mine", "--config", "run.toml"), "name a MODEL"), ((), "name a MODEL"),
        (("mine.py:Mine", "--name", "fast"), "give --config FILE with it"),
        (("--config", "plain.toml"), "has no model to check"),
    ],
)
def test_a_check_that_does_not_say_of_which_model_is_refused(words: tuple[str, ...], text: str, home: Path) -> None:
    """With what to write instead."""
    call("model", "new", "mine")
    (home / "run.toml").write_text(SETTINGS)
    (home / "plain.toml").write_text("[policy]\nprofile = \"SAFE\"\n")
    code, _, error = call("model", "check", *words)
    assert code == 2
    assert text in error


WRONG = {
    "unknown model": ('model = "trnd"', "is no built-in model"),
    "file missing": ('model = "other.py:Mine"', "there is no such file"),
    "class missing": ('model = "mine.py:Yours"', "it has Mine"),
    "parameter unknown": ('model = "mine.py:Mine"\nparams = {day = 3}', "did you mean 'days'"),
    "parameter of another type": ('model = "mine.py:Mine"\nparams = {days = "3"}', "Expected `int`"),
    "exit unknown": ('model = "mine.py:Mine"\nexit = {on = "luck"}', "exit = {'on': 'luck'}"),
    "symbol unknown": ('model = "mine.py:Mine"\nsymbols = ["BTCUSD"]', "did you mean 'BTCUSDT'"),
    "bars that do not divide": ('model = "short.py:Mine"', "Mine.bars = '15m'"),
    "other priors": (
        'model = "mine.py:Mine"\n[[models]]\nname = "b"\nmodel = "mine.py:Mine"\nprior = [0.3, 0.5]', "different priors"
    ),
    "other exits": (
        'model = "mine.py:Mine"\n[[models]]\nname = "b"\nmodel = "mine.py:Mine"\nexit = {stop_atr = 2}',
        "cannot be combined",
    ),
    "the ensemble among others": (
        'model = "mine.py:Mine"\n[[models]]\nmodel = "intraday-demo"', "cannot be combined with others"
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_config_check_refuses_the_models_that_a_run_refuses(what: str, home: Path) -> None:
    """In the same words, and reads no bar for it."""
    entry, text = WRONG[what]
    call("model", "new", "mine")
    (home / "short.py").write_text((home / "mine.py").read_text().replace('bars = "1d"', 'bars = "15m"'))
    (home / "run.toml").write_text(f"[[models]]\n{entry}\n")

    code, _, error = call("config", "check", "run.toml")
    ran, _, run_error = call(*MONTH, "--config", "run.toml")

    assert (code, ran) == (2, 2)
    assert text in " ".join(error.split())
    assert error.splitlines() == [line for line in run_error.splitlines() if not line.startswith("warning: ")]


def test_config_check_compares_models_with_the_bars_of_live_where_there_is_that_section(home: Path) -> None:
    """A model of 5 minutes suits live bars of a minute, and not the bundled half-hours; symbols are those of live."""
    call("model", "new", "mine")
    (home / "mine.py").write_text((home / "mine.py").read_text().replace('bars = "1d"', 'bars = "5m"'))
    (home / "run.toml").write_text('[[models]]\nmodel = "mine.py:Mine"\n')
    assert "do not make them" in call("config", "check", "run.toml")[2]
    live = (
        '[live]\nmode = "TESTNET"\ninterval = "1m"\nsymbols = ["SOLUSDT"]\n'
        '[[models]]\nmodel = "mine.py:Mine"\nsymbols = ["{}"]\n'
    )
    (home / "live.toml").write_text(live.format("SOLUSDT"))
    assert call("config", "check", "live.toml")[0] == 0
    (home / "live.toml").write_text(live.format("BTCUSDT"))
    assert "is not traded here" in call("config", "check", "live.toml")[2]


def test_config_check_of_a_store_that_is_not_there_checks_the_models_all_the_same(home: Path) -> None:
    """Its symbols are not known, so those of a model are taken as they are."""
    call("model", "new", "mine")
    there = '[data]\npath = "nowhere"\ninterval = "1h"\n[[models]]\nmodel = "mine.py:{}"\nsymbols = ["ANYUSDT"]\n'
    (home / "run.toml").write_text(there.format("Mine"))
    assert call("config", "check", "run.toml")[0] == 0
    (home / "run.toml").write_text(there.format("Yours"))
    assert "it has Mine" in call("config", "check", "run.toml")[2]
