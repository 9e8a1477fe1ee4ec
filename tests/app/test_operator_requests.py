"""A person's halt, resume and flatten reach a run through its state folder, dead or alive."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.operator_requests import Action, OperatorRequests
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import RunSettings, load_settings


def settings(end: str = "2018-04-30") -> RunSettings:
    """Two months of the bundled bars with the intraday models, which hold positions in them."""
    flags = {"data.start": ("2018-03-01", "t"), "data.end": (end, "t"), "models": (({"model": "intraday-demo"},), "t")}
    return load_settings(None, flags).settings


def ask(folder: Path, *words: str) -> str:
    """Run one command of the operator."""
    result = CliRunner().invoke(app, [*words, "--state", str(folder)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_halt_asked_for_while_nothing_runs_is_taken_at_the_next_start(tmp_path: Path) -> None:
    """With a halt waiting the whole run opens nothing, and the record says who and why."""
    run(settings("2018-03-01"), RunOptions(state_dir=tmp_path / "other"))
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "lock").touch()
    ask(folder, "halt", "--reason", "holiday")
    result = run(settings(), RunOptions(state_dir=folder))
    assert result.facts.intents == 0
    assert result.facts.refusals["KILL_SWITCH"] > 0
    assert b"halted: holiday" in (folder / "records.jsonl").read_bytes()


def test_resume_ends_the_halt_and_needs_a_reason(tmp_path: Path) -> None:
    """Halt and resume before the start: trading goes on; an empty reason is refused with exit code 2."""
    (tmp_path / "lock").touch()
    ask(tmp_path, "halt", "--reason", "doubt")
    ask(tmp_path, "resume", "--reason", "checked")
    refused = CliRunner().invoke(app, ["resume", "--reason", " ", "--state", str(tmp_path)])
    assert refused.exit_code == 2
    assert run(settings(), RunOptions(state_dir=tmp_path)).facts.intents > 0


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """Nothing is written into a folder no run has used."""
    result = CliRunner().invoke(app, ["flatten", "--reason", "x", "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_each_request_is_taken_once(tmp_path: Path) -> None:
    """A reader that knows how many were taken sees only the later ones, also after a damaged line."""
    (tmp_path / "lock").touch()
    ask(tmp_path, "halt", "--reason", "one")
    reader = OperatorRequests(tmp_path, 0)
    assert [r.action for r in reader.poll()] == [Action.HALT]
    assert reader.poll() == []
    with (tmp_path / "operator.jsonl").open("ab") as handle:
        handle.write(b"garbage\n")
    ask(tmp_path, "resume", "--reason", "two")
    assert [r.action for r in reader.poll()] == [Action.RESUME]
    assert [r.action for r in OperatorRequests(tmp_path, 3).poll()] == []


@pytest.mark.parametrize("words", [("halt",), ("resume",), ("flatten",)])
def test_json_prints_the_request(words: tuple[str, ...], tmp_path: Path) -> None:
    """--json gives one object with action, reason, actor and time."""
    (tmp_path / "lock").touch()
    told = msgspec.json.decode(ask(tmp_path, *words, "--reason", "why", "--json"))
    assert told["action"] == words[0]
    assert told["reason"] == "why"
