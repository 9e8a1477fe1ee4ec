"""``quantum-trader council``: a day's report with a local model, with none, and what it cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.lab.council.chat_server import ChatServer, statements
from tests.lab.metrics.invented_run import InventedRun
from typer.testing import CliRunner

from quantum_trader.app.cli.council import app
from quantum_trader.app.cli.main import app as program
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.lab.council.settings import load_council

LOCAL = """
budget_usd_month = 1.0

[[analysts]]
name = "Local"
model = "small"
base_url = "{base_url}"
input_usd_per_million = 1.0
output_usd_per_million = 1.0
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with three days of invented records."""
    return InventedRun(5, "2026-11-01", 3).write(tmp_path_factory.mktemp("council") / "state")


def asked(*arguments: object, code: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result.stdout


def test_without_a_key_the_rules_write_the_report(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every model of the default council is named as skipped; nothing is spent."""
    for one in load_council().analysts:
        monkeypatch.delenv(one.api_key_env, raising=False)
    told = asked("run", "--state", state, "--day", "2026-11-02", "--council", tmp_path)

    assert "Written by: rules." in told
    assert told.count("is not set") == 7
    assert "The number of trades" in told
    assert "0.0000 of 12.00 USD spent" in asked("cost", "--council", tmp_path)


def test_a_local_model_writes_about_a_day(state: Path, tmp_path: Path) -> None:
    """Its sentence is printed with the run's figure, and its tokens are in the costs; other answers are struck."""
    file = tmp_path / "council.toml"
    server = ChatServer(lambda name, messages, number: statements("The bot closed {trades} trades."))
    with server.running():
        file.write_text(LOCAL.format(base_url=server.base_url))
        options = ("run", "--state", state, "--council", tmp_path, "--council-file", file)
        report = json.loads(asked(*options, "--json"))
        told = asked(*options)
    cost = json.loads(asked("cost", "--council", tmp_path, "--council-file", file, "--json"))

    sentence = report["report"]["sections"][0]["sentences"][0]
    assert sentence["figures"] == ["trades@2026-11-03"]
    assert sentence["text"] == f"The bot closed {report['report']['figures']['trades@2026-11-03']} trades."
    assert report["written_by"] == "best analyst"
    assert sentence["text"] in told
    assert cost["models"][0]["model"] == "Local"
    assert (cost["models"][0]["calls"], cost["models"][0]["input_tokens"]) == (1, 1_000)
    assert cost["spent_usd"] == pytest.approx(0.0011)
    assert cost["left_usd"] == pytest.approx(0.9989)


def test_what_was_struck_is_not_shown(state: Path, tmp_path: Path) -> None:
    """Neither on the screen nor as JSON: only the rules that were broken."""
    file = tmp_path / "council.toml"
    lie = "The profit was 9999 USDT."
    with ChatServer(lambda name, messages, number: statements(lie)).running() as server:
        file.write_text(LOCAL.format(base_url=server.base_url))
        options = ("run", "--state", state, "--council", tmp_path, "--council-file", file)
        told, document = asked(*options), asked(*options, "--json")

    assert "9999" not in told + document
    assert "Left out: Local: 1 of its sentences were refused again" in told
    assert "Struck: 1 sentences, for" in told
    assert "characters" in document


def test_the_models_are_listed_with_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether one is set, never the key."""
    monkeypatch.setenv("XAI_API_KEY", "very-secret")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    told = asked("models")

    assert "XAI_API_KEY is set" in told
    assert "OPENAI_API_KEY is not set: skipped" in told
    assert "very-secret" not in told
    assert len(json.loads(asked("models", "--json"))["models"]) == 8


@pytest.mark.parametrize(("day", "error"), [
    ("2026-12-24", "the journal has no such day; it has 2026-11-01 to 2026-11-03"), ("yesterday", "write a day"),
])
def test_a_day_that_the_run_has_not_is_refused(state: Path, tmp_path: Path, day: str, error: str) -> None:
    """With the days it has."""
    result = CliRunner().invoke(app, ["run", "--state", str(state), "--day", day, "--council", str(tmp_path)])

    assert isinstance(result.exception, InputError)
    assert error in str(result.exception)


def test_a_state_without_a_journal_is_refused(tmp_path: Path) -> None:
    """In one line, with what to do."""
    result = CliRunner().invoke(program, ["council", "run", "--state", str(tmp_path / "none")])

    assert result.exit_code == 2
    assert isinstance(result.exception, (SystemExit, StateError))
    assert "there is no journal" in result.stderr


@pytest.mark.parametrize(("text", "error"), [
    ("x = ", "Invalid value"), ("[[analysts]]\nname = 'A'", "model"), ("analysts = []\ncolour = 1", "colour"),
    ("[[analysts]]\nname='A'\nmodel='m'", "base_url"),
    ("[[analysts]]\nname='A'\nmodel='m'\nbase_url='ftp://x'", "http"),
    ("[[analysts]]\nname='A'\nmodel='m'\nbase_url='http://x'\napi_key_env='sk-12345'", "is the name of a variable"),
    ("analysts = []\nbudget_usd_month = -1", "must be 0 or more"),
    ("analysts = []\nbudget_usd_month = nan", "must be 0"),
    ("[[analysts]]\nname='A'\nmodel='m'\nbase_url='http://x'\ninput_usd_per_million=-1", "must be a number above zero"),
    ("[[analysts]]\nname='A'\nmodel='m'\nbase_url='http://x'\n" * 2, "a name of its own"),
])
def test_a_council_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, error: str) -> None:
    """With the file, the key and the value."""
    file = tmp_path / "council.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=error) as caught:
        load_council(file)
    assert "sk-12345" not in str(caught.value)  # a key that was written in the wrong place is not shown


def test_the_default_council_has_seven_analysts_and_a_judge() -> None:
    """At 12 USD a month."""
    found = load_council()

    assert [one.name for one in found.analysts] == ["GPT", "Claude", "Gemini", "Grok", "Llama", "DeepSeek", "Meta AI"]
    assert found.judge is not None
    assert found.judge.name == "Claude Opus"
    assert found.budget_usd_month == 12.0


@pytest.mark.parametrize("month", ["2026-13", "november", "2026-1"])
def test_a_month_that_is_none_is_refused(tmp_path: Path, month: str) -> None:
    """Instead of a month in which nothing was spent."""
    result = CliRunner().invoke(app, ["cost", "--council", str(tmp_path), "--month", month])

    assert isinstance(result.exception, InputError)
    assert f"--month '{month}'" in str(result.exception)
