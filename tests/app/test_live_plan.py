"""``live --plan`` says what a start would do, refusals included; exit code 0 only where a start would go."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.pilot.made_pilot import saved
from tests.properties.live_road import live_run
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live_settings import bind_folder, load_live_settings
from quantum_trader.app.runs.model_state import ModelLine, ModelsState, models_lines
from quantum_trader.app.runs.sole_trader import other_trader, sole_trader
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.venues.binance.keys import ApiKeys, Secret

PLAN = ["live", "--plan"]
LOCAL = [*PLAN, "--mode", "LOCAL", "--address", "http://127.0.0.1:8080", "--symbols", "BTCUSDT"]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QT_LOCAL_KEY", "QT_LOCAL_SECRET", "QT_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)


def invoke(*words: str) -> Result:
    """Run one command."""
    return CliRunner().invoke(app, list(words))


def test_a_plan_without_keys_is_printed_and_says_that_keys_are_missing(tmp_path: Path) -> None:
    """The whole plan, the names of the settings to set, and exit code 1: a start would be refused."""
    result = invoke(*LOCAL, "--state", str(tmp_path / "state"))
    assert result.exit_code == 1
    assert "mode         LOCAL" in result.output
    assert "keys         missing" in result.output
    assert "REFUSED      keys missing: no keys for local: set QT_LOCAL_KEY and QT_LOCAL_SECRET" in result.output


def test_a_plan_says_that_a_stop_cancels_entries_at_rest(tmp_path: Path) -> None:
    """Where entries rest; where they go at market it says nothing of them."""
    file = tmp_path / "rest.toml"
    file.write_text("[engine]\nmaker_entry_bars = 2\n")
    says = "on a stop    positions stay open, their stops rest at the venue; "
    rests = invoke(*PLAN, "--config", str(file), "--state", str(tmp_path / "state"))
    assert f"{says}entries at rest are cancelled; restart" in rests.output
    assert f"{says}restart" in invoke(*PLAN, "--state", str(tmp_path / "state")).output


def test_a_start_without_keys_is_still_refused(tmp_path: Path) -> None:
    """Only the plan goes on without keys."""
    result = invoke("live", *LOCAL[2:], "--state", str(tmp_path / "state"))
    assert result.exit_code == 2
    assert "no keys for local" in result.output


def test_a_plan_on_a_folder_of_another_kind_says_what_the_start_says(tmp_path: Path) -> None:
    """A replay's folder: the plan names the refusal and ends with exit code 1, in JSON too."""
    (tmp_path / "checkpoint").write_bytes(b"x")
    result = invoke(*PLAN, "--state", str(tmp_path))
    assert result.exit_code == 1
    assert f"REFUSED      --state {tmp_path}: holds a replay" in result.output
    told = invoke(*PLAN, "--json", "--state", str(tmp_path))
    assert told.exit_code == 1
    assert "holds a replay" in msgspec.json.decode(told.output)["refusals"][0]


def test_a_plan_on_a_folder_that_trades_something_else_is_refused(tmp_path: Path) -> None:
    """Other symbols than the folder's."""
    bind_folder(tmp_path, load_live_settings(None, {"symbols": (["ETHUSDT"], "--symbols")}).live)
    result = invoke(*PLAN, "--symbols", "BTCUSDT", "--state", str(tmp_path))
    assert result.exit_code == 1
    assert "trades with symbols = ETHUSDT, now BTCUSDT" in result.output


def test_a_plan_on_a_folder_that_a_process_holds_is_refused(tmp_path: Path) -> None:
    """In the words of the start; once the process has ended the same plan would go."""
    held = StateDir(tmp_path)
    try:
        result = invoke(*PLAN, "--state", str(tmp_path))
    finally:
        held.close()
    assert result.exit_code == 1
    assert f"REFUSED      --state {tmp_path}: another run is using this folder" in result.output
    assert invoke(*PLAN, "--state", str(tmp_path)).exit_code == 0


def test_a_plan_of_a_start_that_would_go_ends_with_zero(tmp_path: Path) -> None:
    """A dry run in a new folder; nothing is written."""
    result = invoke(*PLAN, "--state", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    assert "REFUSED" not in result.output
    assert not (tmp_path / "new").exists()


def test_a_plan_whose_key_another_folder_trades_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the start would be: exit 1 with the masked key; free again once that process ends."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    keys = ApiKeys("local", Secret("k" * 64), Secret("s" * 64), "environment")
    assert other_trader(keys) == ""
    with sole_trader(keys):
        taken = other_trader(keys)
        monkeypatch.setenv("QT_LOCAL_KEY", "k" * 64)
        monkeypatch.setenv("QT_LOCAL_SECRET", "s" * 64)
        refused = invoke(*LOCAL, "--state", str(tmp_path / "other"))
    assert "another process trades with it" in taken
    assert "k" * 64 not in taken
    assert refused.exit_code == 1
    assert "REFUSED" in refused.output
    assert "another process trades with it" in refused.output
    assert other_trader(keys) == ""


def test_a_plan_on_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """As the start would be; the plan itself changes nothing."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st").chmod(0o777)
    result = invoke(*PLAN, "--state", str(tmp_path / "st"))
    assert result.exit_code == 1
    assert "REFUSED" in result.output
    assert "lets others write it" in result.output


# ---------------------------------------------------------------------- models
@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a model written by `model new` in the current folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert invoke("model", "new", "mine").exit_code == 0
    return tmp_path / "mine.py"


def planned(tmp_path: Path, *words: str) -> Result:
    """The plan of a dry run with the model."""
    return invoke(*PLAN, "--state", str(tmp_path / "state"), "--model", "mine.py:Mine", *words)


def test_a_plan_names_the_models_checks_them_as_the_start_does_and_says_what_they_lack(
    mine: Path, tmp_path: Path
) -> None:
    """Name, source, bars, horizon, exit, prior, the check that has just passed; in a new folder nothing is warm."""
    result = planned(tmp_path)
    assert result.exit_code == 0, result.output
    assert "Mine has passed the look-ahead check" in result.stderr
    assert (
        "model        Mine (mine.py:Mine): bars 1d, warm-up 60, horizon 7d, exit by score, stop 3 ATR, prior 0 ± 0.5; "
        "check: passed 20"
    ) in result.stdout
    assert "warm-up      Mine: 0 of 60 bars of 1d; the start fetches up to 1,000 from the venue" in result.stdout
    again = planned(tmp_path, "--json")
    assert again.stderr == ""  # it is not checked twice
    (row,) = msgspec.json.decode(again.stdout)["models"]
    assert (row["name"], row["bars"], row["horizon"], row["prior"]) == ("Mine", "1d", "7d", [0.0, 0.5])
    assert row["check"].startswith("passed 20")
    assert not (tmp_path / "state").exists()


def test_a_plan_of_a_model_that_looks_ahead_is_refused_in_the_words_of_the_start(mine: Path, tmp_path: Path) -> None:
    """Exit code 1; the start itself ends with the same sentence."""
    mine.unlink()
    assert invoke("model", "new", "mine", "--frame").exit_code == 0
    mine.write_text(mine.read_text().replace("close.shift(self.params.days)", "close.shift(-1)"))
    plan, start = planned(tmp_path), invoke("live", "--state", str(tmp_path / "s"), "--model", "mine.py:Mine")
    assert plan.exit_code == 1
    assert "check: not passed\n" in plan.stdout
    (refused,) = [line for line in plan.stdout.splitlines() if line.startswith("REFUSED")]
    why = refused.removeprefix("REFUSED      ")
    assert why.startswith("Mine has not passed the look-ahead check, and live trades no such model. look-ahead: ")
    assert start.exit_code == 2
    assert why in start.stderr


@pytest.mark.parametrize(("broken", "says"), [
    ('raise ValueError("not today")\n', "ValueError: not today"),
    ("def (:\n", "SyntaxError"),
])
def test_a_plan_of_a_model_that_cannot_be_loaded_says_why(broken: str, says: str, mine: Path, tmp_path: Path) -> None:
    """One refusal, in the words of the start."""
    mine.write_text(broken + mine.read_text())
    plan, start = planned(tmp_path), invoke("live", "--state", str(tmp_path / "s"), "--model", "mine.py:Mine")
    assert plan.exit_code == 1
    assert plan.stdout.count("REFUSED") == 1
    assert says in plan.stdout
    assert (start.exit_code, says in start.output) == (2, True)


def test_a_plan_of_bars_that_the_models_cannot_use_is_refused(mine: Path, tmp_path: Path) -> None:
    """A model of 5-minute bars on bars of half an hour."""
    mine.write_text(mine.read_text().replace('bars = "1d"', 'bars = "5m"'))
    plan = planned(tmp_path)
    assert plan.exit_code == 1
    assert "REFUSED      Mine.bars = '5m': the recording's bars (30 minutes) do not make them" in plan.stdout


def test_a_plan_on_a_folder_says_what_its_models_lack_and_refuses_a_changed_file(mine: Path, tmp_path: Path) -> None:
    """As it was last saved; a parameter of the file has changed since: the sentence of the start."""
    flags = {"models": ([{"model": f"{mine}:Mine"}], "t")}
    with live_run(tmp_path / "state", flags) as live:
        assert live.session.checkpoint()
    where = ["--mode", "LOCAL", "--address", "http://127.0.0.1:1", "--symbols", "BTCUSDT,ETHUSDT", "--bars", "1m"]
    same = planned(tmp_path, *where)
    assert "models       still lacking: Mine: 0 of 60 days" in same.stdout
    assert "signals      none yet: no bar of theirs is complete yet" in same.stdout
    assert same.stdout.count("REFUSED") == 1  # the keys
    mine.write_text(mine.read_text().replace("days: int = 28", "days: int = 21"))
    changed = planned(tmp_path, *where)
    assert "REFUSED      models: Mine is not what the saved state was made with" in changed.stdout
    for words, said in (((), "tsmom_fast+"), (("--model", "intraday-demo"), "other models than intraday-demo")):
        other = invoke(*PLAN, "--state", str(tmp_path / "state"), *where, *words)
        (refused,) = [line for line in other.stdout.splitlines() if line.startswith("REFUSED      models:")]
        assert said in refused
        assert "the same --model or [[models]]" in refused


def test_a_plan_on_a_folder_of_the_intraday_models_says_how_to_go_on(tmp_path: Path) -> None:
    """Those models were the default once: a start that names none is refused, and one that names them is not."""
    with live_run(tmp_path / "state") as live:
        assert live.session.checkpoint()
    where = ["--mode", "LOCAL", "--address", "http://127.0.0.1:1", "--symbols", "BTCUSDT,ETHUSDT", "--bars", "1m"]
    unnamed = invoke(*PLAN, "--state", str(tmp_path / "state"), *where)
    assert "REFUSED      models: the saved state was made with the intraday models, not with tsmom" in unnamed.stdout
    assert "give --model intraday-demo to continue it" in unnamed.stdout
    named = invoke(*PLAN, "--state", str(tmp_path / "state"), *where, "--model", "intraday-demo")
    assert "REFUSED      models" not in named.stdout


def test_a_plan_without_models_names_those_of_the_set_trend(tmp_path: Path) -> None:
    """One line for each, and what each lacks."""
    result = invoke(*PLAN, "--state", str(tmp_path / "new"))
    named = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("model ")]
    assert named == ["tsmom_fast", "tsmom_slow", "ewmac", "donchian", "carry"]
    assert "tsmom_slow: 0 of 373 bars of 1d" in result.stdout


def test_a_plan_names_the_intraday_ensemble(tmp_path: Path) -> None:
    """It has no class that a check could judge."""
    result = invoke(*PLAN, "--state", str(tmp_path / "new"), "--model", "intraday-demo")
    assert "model        intraday-demo (six intraday models and their ensemble, compiled)" in result.stdout


def test_a_plan_compares_the_equity_with_the_least_orders(tmp_path: Path) -> None:
    """Of a new folder by an assumed volatility: 10,000 USDT are enough for the orders known, 100 are not."""
    (tmp_path / "poor.toml").write_text("[account]\nstart_equity = 100\n")
    where = ("--state", str(tmp_path / "new"))
    for words, said in (
        ((), "10,000 USDT: a score of 1 asks for about 225 USDT in each symbol"),
        (("--config", str(tmp_path / "poor.toml")), "too small for the least orders known here of BTCUSDT (10)"),
        (("--model", "intraday-demo"), ""),
    ):
        lines = [line for line in invoke(*PLAN, *where, *words).stdout.splitlines() if line.startswith("equity ")]
        assert (said in lines[0]) if said else lines == []


def test_a_saved_state_names_the_symbols_that_the_equity_cannot_trade() -> None:
    """With the equity that each needs; nothing where all can be traded."""
    line = ModelLine(name="Mine", symbols=("BTCUSDT", "XRPUSDT"))
    state = ModelsState(models=(line,), equity=812.0, least_equity=(("BTCUSDT", 5_555.6), ("XRPUSDT", 300.0)))
    assert models_lines(state)[-1] == (
        "too small    an equity of 812 USDT cannot trade BTCUSDT (from 5,556 USDT on): the position of a score of 1 is "
        "below the venue's least order"
    )
    assert len(models_lines(msgspec.structs.replace(state, equity=6_000.0))) == 1


def test_a_plan_names_the_pilot_and_what_it_may_do(tmp_path: Path) -> None:
    """Its mode as the policy store of the folder has it; one that may trade is said in capitals."""
    model, state, file = saved(tmp_path / "pilot"), tmp_path / "state", tmp_path / "run.toml"
    told = invoke(*PLAN, "--pilot", str(model), "--state", str(state))
    assert told.exit_code == 0
    assert "pilot        untrained 3 (" in told.output
    assert "in SHADOW: its decisions are recorded and never sent; trained on bars until 1970-01-01" in told.output
    assert "pilot " not in invoke(*PLAN, "--state", str(state)).output
    file.write_text(f'[pilot]\nmodel = "{model}"\nmode = "PRIMARY"\nmin_confidence = 0.7\n')
    primary = invoke(*PLAN, "--config", str(file), "--state", str(state)).output
    assert "in PRIMARY: IT ALONE OPENS POSITIONS" in primary
    assert "from a confidence of 0.7 on, at most 10 an hour" in primary


def test_a_plan_with_a_pilot_that_cannot_run_is_refused(tmp_path: Path) -> None:
    """A folder that is none, and bars that do not make its own."""
    nothing = invoke(*PLAN, "--pilot", str(tmp_path), "--state", str(tmp_path / "state"))
    assert nothing.exit_code == 1
    assert "name the folder of a trained pilot" in nothing.output
    model = saved(tmp_path / "pilot", interval="5m")
    assert "cannot see these bars" in invoke(*PLAN, "--pilot", str(model), "--state", str(tmp_path / "state")).output
