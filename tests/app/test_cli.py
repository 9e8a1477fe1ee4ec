"""The command line: help everywhere, one-line errors, one JSON document, and the real program as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from tests.app.sample import STATS, facts
from typer.testing import CliRunner

from quantum_trader import __version__
from quantum_trader.app.cli.main import COMMANDS, app
from quantum_trader.app.cli.run import RealTimePace, pace_for, write_result
from quantum_trader.app.report.data import build_report
from quantum_trader.domain.errors import ConfigError, StateError

TWO_WEEKS = ("run", "--exit", "--symbols", "BTCUSDT,ETHUSDT", "--from", "2018-01-01", "--to", "2018-01-14")


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command, in this process."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The program as a person starts it."""
    environment = {key: value for key, value in os.environ.items() if key != "ORCH_PROFILE"}
    return subprocess.run(
        [sys.executable, "-m", "quantum_trader.app.cli.main", *arguments], capture_output=True, text=True, cwd=cwd,
        timeout=300, check=False, env=environment,
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_there_and_has_help(name: str) -> None:
    """Every command that `--help` lists exists and has a help text."""
    module, holder, _ = COMMANDS[name]
    assert hasattr(import_module(f"quantum_trader.app.cli.{module}"), holder)

    code, out, _ = call(name, "--help")

    assert code == 0
    assert "Usage" in out
    assert "completion" not in out


def test_help_imports_no_compiler_and_no_data_frames() -> None:
    """``--help`` answers at once."""
    code = (
        "import sys\nfrom quantum_trader.app.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numba','numpy','polars','pyarrow','ccxt') if m in sys.modules], file=sys.stderr)"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert "policy" in result.stdout
    assert result.stderr.strip() == "[]"


def test_version() -> None:
    """One line."""
    assert call("--version") == (0, f"quantum-trader {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--data", "no/such/folder"), "no/such/folder"),
        (("run", "--symbols", "NOSUCHUSDT"), "NOSUCHUSDT"),
        (("run", "--bars", "7m"), "7m"),
        (("run", "--from", "tomorrow"), "data.start = 'tomorrow'"),
        (("run", "--profile", "BRAVE"), "AGGRESSIVE, SAFE, STANDARD"),
        (("run", "--mode", "WILD"), "rollout.mode = 'WILD'"),
        (("run", "--policy", "wild"), "must be off, observe or enforce"),
        (("run", "--policy", "enforce", "--no-policy"), "contradicts --no-policy"),
        (("run", "--policy", "enforce", "--mode", "OBSERVE"), "old form of --policy"),
        (("sweep", "--policy", "live"), "must be off, observe or enforce"),
        (("run", "--equity", "-5"), "start_equity = -5"),
        (("run", "--speed", "fast"), "--speed fast"),
        (("run", "--speed", "nan"), "--speed nan"),
        (("run", "--report", "no/such/folder/report.html"), "--report no/such/folder/report.html"),
        (("run", "--config", "none.toml"), "none.toml"),
        (("config", "check", "none.toml"), "none.toml"),
        (("report", "--state", "no/such/state"), "there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_two(arguments: tuple[str, ...], words: str) -> None:
    """On standard error, without a traceback; standard output stays empty for machines."""
    code, out, err = call(*arguments)

    assert code == 2
    assert out == ""
    *before, last = err.splitlines()
    assert words in last
    assert last.startswith("error: ")
    assert all(line.startswith("First run of this version") for line in before)


@pytest.mark.parametrize("arguments", [
    ("run", "--exit"), ("compare",), ("sweep", "--profiles", "SAFE"),
])
def test_a_first_run_says_that_it_compiles_before_it_does(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing compiled kept; the bars that are not there end it at once."""
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    code, _, err = call(*arguments, "--from", "2030-01-01")

    assert code == 2
    assert err.startswith("First run of this version: compiling")
    assert "no bars from 2030-01-01" in err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    """--debug shows where the error was raised."""
    result = process("--debug", "run", "--profile", "BRAVE", cwd=tmp_path)

    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_a_run_as_json_is_one_document_without_running_matter(tmp_path: Path) -> None:
    """Progress goes to standard error; the report parses and says what was run."""
    result = process(*TWO_WEEKS, "--profile", "STANDARD", "--json", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert document["data"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert document["data"]["first"].startswith("2018-01-01")
    assert document["settings"]["profile"]["name"] == "STANDARD"
    assert document["costs"]["funding_source"] == "assumed"
    assert document["run"]["bars_per_s"] > 0
    assert list(tmp_path.iterdir()) == [], "a run that was not asked to keep anything leaves nothing behind"


def test_a_run_with_state_leaves_its_report_and_report_writes_it_again(tmp_path: Path) -> None:
    """``report.json`` and ``report.html``; the page made again from the JSON is the same."""
    state, copy = tmp_path / "state", tmp_path / "copy.html"

    code, _, err = call(*TWO_WEEKS, "--state", str(state))
    assert code == 0, err
    again, out, _ = call("report", "--state", str(state), "--out", str(copy))

    assert again == 0
    assert str(copy) in out.replace("\n", "")
    assert copy.read_bytes() == (state / "report.html").read_bytes()
    assert json.loads((state / "report.json").read_text())["run"]["state_dir"] == str(state)


def test_two_runs_differ_in_their_run_section_alone(tmp_path: Path) -> None:
    """Same settings and data, same records, same report."""
    documents, records = [], []
    for name in ("a", "b"):
        file = tmp_path / f"{name}.jsonl"
        code, out, err = call(*TWO_WEEKS, "--json", "--records", str(file))
        assert code == 0, err
        documents.append({key: value for key, value in json.loads(out).items() if key != "run"})
        records.append(file.read_bytes())

    assert documents[0] == documents[1]
    assert records[0] == records[1]
    assert len(records[0]) > 10_000


def test_records_and_state_together_are_refused(tmp_path: Path) -> None:
    """A state folder has its own records; two would be one too many."""
    code, _, err = call(*TWO_WEEKS, "--state", str(tmp_path), "--records", str(tmp_path / "x"))

    assert code == 2
    assert "--records" in err


def test_a_damaged_report_is_refused(tmp_path: Path) -> None:
    """Half a JSON file is no report."""
    (tmp_path / "report.json").write_text('{"kind": ')

    code, _, err = call("report", "--state", str(tmp_path))

    assert code == 2
    assert "damaged" in err


def test_config_check_counts_what_a_file_sets(tmp_path: Path) -> None:
    """And refuses a typo with the right name."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("[account]\nleverage = 3\n")
    bad.write_text("[account]\nlevrage = 3\n")

    assert json.loads(call("config", "check", str(good), "--json")[1])["sets"] == ["account.leverage"]
    code, _, err = call("config", "check", str(bad))
    assert code == 2
    assert "did you mean 'account.leverage'" in err


def test_config_show_names_the_source_of_each_setting() -> None:
    """As JSON too."""
    code, out, _ = call("config", "show", "--equity", "500", "--json")

    assert code == 0
    document = json.loads(out)
    assert document["sources"]["account.start_equity"] == "--equity"
    assert document["settings"]["account"]["start_equity"] == 500.0
    assert len(document["settings_hash"]) == 64


def test_an_interrupt_is_a_sentence_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C prints how to resume a run with --state."""
    monkeypatch.setattr("quantum_trader.app.runs.replay.run", _interrupted)

    code, _, err = call(*TWO_WEEKS)

    assert code == 130
    assert "restart with the same command to resume" in err


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_speed_max_has_no_pace_and_a_number_keeps_market_time() -> None:
    """At 3600 times real time, the first moment is not waited for, and an hour takes a second."""
    slept: list[float] = []
    now = [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = RealTimePace(3_600.0, clock=lambda: now[0], sleep=sleep)
    pace(0)
    pace(3_600 * 10**9)

    assert pace_for("max") is None
    assert sum(slept) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="0"):
        pace_for("0")


def test_the_sample_report_is_a_run_report(tmp_path: Path) -> None:
    """What ``report`` accepts is what ``build_report`` makes."""
    (tmp_path / "report.json").write_text(json.dumps(build_report(facts(days=30), STATS)))

    code, _, err = call("report", "--state", str(tmp_path))

    assert code == 0, err
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_symbols_that_name_none_are_no_wish_for_all() -> None:
    """A comma alone is a slip, and a slip does not replay everything."""
    code, out, err = call("config", "show", "--symbols", ",")

    assert (code, out) == (2, "")
    assert "--symbols ','" in err


def test_a_result_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """File and reason; and nothing half written stays."""
    taken = tmp_path / "taken"
    taken.write_text("a file where a folder should be")

    with pytest.raises(StateError, match=r"taken/report\.html: cannot be written"):
        write_result(taken / "report.html", b"x")

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
