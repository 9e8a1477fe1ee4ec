"""The pages on models do what they say: their code is run, and their commands answer."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.test_house import ROOT
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.settings import keys_of

FIRST, FREQTRADE, SCORES = (
    (ROOT / "docs" / f"how-to-{name}.md").read_text() for name in ("first-model", "from-freqtrade", "score-file")
)
SPAN = {
    "run": ("--from", "2018-01-15", "--to", "2018-03-15"),
    "sweep": ("--from", "2018-01-01", "--to", "2018-12-31", "--symbols", "BTCUSDT"),
}


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The commands of a page, as words."""
    return [shlex.split(line)[1:] for line in re.findall(r"^    (quantum-trader .*)$", text, re.MULTILINE)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the pages name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "cross.py").write_text(blocks(FREQTRADE, "python")[0])
    (tmp_path / "scores.csv").write_text(blocks(SCORES, "csv")[0])
    return tmp_path


def invoked(words: list[str]) -> str:
    """The output of a command; a run is cut to two months, a sweep to a year of one symbol."""
    result = CliRunner().invoke(app, [*words, *SPAN.get(words[0], ())])
    assert result.exit_code == 0, f"{shlex.join(words)}: {result.output}"
    return result.output


def test_the_first_model_of_the_page_is_the_one_that_the_command_writes(folder: Path) -> None:
    """`model new` writes it, `check` passes it, `run` shows both results, `sweep` varies it."""
    written = [words for words in commands(FIRST) if words[0] in ("model", "run", "sweep")]
    assert [words[0] for words in written] == ["model", "model", "run", "sweep"]
    new, check, run, sweep = (invoked(words) for words in written)
    assert "my_trend.py written" in new
    assert check.startswith("MyTrend: ")
    assert "ungated" in run
    assert "MyTrend.days" in sweep
    code = (folder / "my_trend.py").read_text()
    change = "panel.close[-1] / panel.close[-1 - self.params.days] - 1.0"
    for part in ("class MyTrend(Model)", "days: int = 28", change):
        assert part in code
        assert part in FIRST


def test_a_changed_file_is_refused_as_the_page_says_and_runs_in_a_new_folder(folder: Path) -> None:
    """The page names both ways out of a folder with open positions; a replay takes another folder."""
    invoked(commands(FIRST)[0])
    words = ["run", "--exit", "--model", "my_trend.py:MyTrend", "--from", "2018-01-15", "--to", "2018-01-20"]
    assert CliRunner().invoke(app, [*words, "--state", "my-run"]).exit_code == 0
    path = folder / "my_trend.py"
    path.write_text(path.read_text() + "# changed\n")
    refused = CliRunner().invoke(app, [*words, "--state", "my-run"])

    assert refused.exit_code != 0
    assert "the code of MyTrend has changed since" in refused.stderr
    assert CliRunner().invoke(app, [*words, "--state", "my-second-run"]).exit_code == 0
    ways = [line[:3] for line in commands(FIRST) if line[0] in ("flatten", "resume", "live")]
    assert ways[1:] == [
        ["flatten", "--state", "my-run"], ["live", "--state", "my-second-run"], ["resume", "--state", "my-second-run"],
    ]


def test_the_classes_and_settings_of_the_page_run(folder: Path) -> None:
    """The class as printed, the column form, and the settings file beside it."""
    panel, columns = blocks(FIRST, "python")
    (folder / "my_trend.py").write_text(panel)
    (folder / "columns.py").write_text(columns)
    (folder / "run.toml").write_text(blocks(FIRST, "toml")[0])
    assert keys_of(folder / "run.toml")["models"][0]["params"] == {"days": 20}
    assert "Model trend" in invoked(["run", "--config", "run.toml"])
    assert "Model MyColumns" in invoked(["run", "--model", "columns.py:MyColumns"])


def test_the_commands_for_people_of_freqtrade_answer(folder: Path) -> None:
    """The crossing passes the check and runs."""
    check, run = (invoked(words) for words in commands(FREQTRADE))
    assert check.startswith("Cross: ")
    assert "as this system trades it" in run


def test_the_scores_of_the_page_are_read(folder: Path) -> None:
    """The file of the page is a model; so is its settings section."""
    words, _ = commands(SCORES)  # the other one writes such a file from a live run's scores
    assert "as this system trades it" in invoked(words)
    (folder / "run.toml").write_text(blocks(SCORES, "toml")[0])
    assert "bars 4h" in invoked(["run", "--config", "run.toml"])
