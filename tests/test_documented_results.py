"""What the documents say is what one gets: their queries and commands are run, and the answers are looked at."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.test_house import DOCUMENTS, ROOT, documented, leaf
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import DecisionEvent
from quantum_trader.journal.lake import Lake

DAYS = ("--from", "2018-03-01", "--to", "2018-04-15")
TOML = '[policy]\nprofile = "STANDARD"\n'


def has(*texts: str) -> Callable[[str, Path], bool]:
    """Every one of *texts* is in the output."""
    return lambda out, _folder: all(text in out for text in texts)


def drawn(out: str, folder: Path) -> bool:
    """The report is a page with the equity and the trades."""
    page = (folder / "report.html").read_text()
    return "<svg" in page and "Sharpe" in page and "report.html" in out


def reported(out: str, folder: Path) -> bool:
    """The page of a run, the report of its result on the screen, or its trades as a table."""
    if (folder / "trades.csv").is_file():
        return len((folder / "trades.csv").read_text().splitlines()) > 10 and "trades" in out
    return drawn(out, folder) if (folder / "report.html").is_file() else "return" in out.lower()


def ran(out: str, _folder: Path) -> bool:
    """The last block of a run, or its JSON with signals and trades."""
    if out.lstrip().startswith("{"):
        told = json.loads(out)
        return "SAFE" in out and bool(told)
    return "records hash" in out and "175,005" not in out


def read(out: str, folder: Path) -> bool:
    """The insight of a day on the screen, as a document, or as a page."""
    page = folder / "insight.html"
    return "signals@" in (page.read_text() if page.is_file() else out)


def listed(out: str, _folder: Path) -> bool:
    """The metrics of the journal, or those of a group that functions compute."""
    return ("win_rate" in out and "max_drawdown" in out) or "window_gate_mean" in out


def explained(out: str, _folder: Path) -> bool:
    """The SQL of a metric with its value, or the function that computes it."""
    return ("select " in out and "win_rate@all" in out) or ("Computed by " in out and "Again: quantum-" in out)


def watched(out: str, _folder: Path) -> bool:
    """A page of the terminal's dashboard on the screen, or as a document."""
    return '"condition": "finished"' in out if out.lstrip().startswith("{") else "Why nothing happens" in out


# What a person looks for in the answer of each command.
LOOKED_AT: dict[tuple[str, ...], Callable[[str, Path], bool]] = {
    ("trace", "show"): has("tr00000004", "signal", "decision"),
    ("journal", "verify"): has("records under seal"),
    ("journal", "replay"): has("identical"),
    ("journal", "tables"): has("decisions"),
    ("journal", "describe"): has("reason", "VARCHAR"),
    ("run",): ran,
    ("report",): reported,
    ("policy", "rules"): has("B1", "C1", "HOLD"),
    ("policy", "eval"): has('"allow_new_trades": true', '"rules"'),
    ("profile", "show"): has("base_confidence", "SAFE", "AGGRESSIVE"),
    ("profile", "compare"): has("base_confidence", "SAFE", "AGGRESSIVE"),
    ("config", "show"): has("start_equity", "profile"),
    ("config", "check"): has("run.toml"),
    ("shadows",): has("all refused"),
    ("watch",): watched,
    ("metrics", "list"): listed, ("metrics", "show"): has("samples", "value"),
    ("metrics", "compute"): has("metrics, ", "without data"), ("metrics", "explain"): explained,
    ("gates", "advice"): has("thresholds tried"), ("insight",): read,
    ("rollout", "status"): has("signal_filter", "exit_mode"),
    ("rollout", "promote"): has("signal_filter"),
    ("rollout", "rollback"): has("no longer enforced"),
    ("data", "list"): has("BTCUSDT", "2017"),
    ("pilot", "settings"): has("rl_v3.live.mode", "SHADOW", "SAFE"),
    ("pilot", "status"): has("SHADOW", "PRIMARY", "days of market: 0", "No decision of the pilot"),
    ("pilot", "promote"): has("PRIMARY: not promoted", "at least 20"),
    ("pilot", "demote"): has("mode SHADOW → OFF"),
    ("pilot", "set"): has("version 1: min_confidence 0.6 → 0.7"),
}
# Where the answers of the other commands are looked at: they need files, a venue, keys or hours.
ELSEWHERE: dict[tuple[str, ...], str] = {
    ("compare",): "tests/app/test_compare.py", ("metrics", "alerts"): "tests/app/test_cli_metrics.py",
    ("sweep",): "tests/lab/test_sweep.py", ("simulate",): "tests/lab/test_simulation.py",
    ("serve",): "tests/app/api/test_stop_drill.py", ("token", "new"): "tests/app/api/test_access.py",
    ("live",): "tests/app/test_live_messages.py", ("status",): "tests/app/test_status.py",
    ("halt",): "tests/app/test_operator_requests.py", ("resume",): "tests/app/test_operator_requests.py",
    ("flatten",): "tests/app/test_flatten_without_engine.py", ("keys", "set"): "tests/app/test_cli_keys.py",
    ("keys", "show"): "tests/app/test_cli_keys.py", ("keys", "remove"): "tests/app/test_cli_keys.py",
    ("venue", "serve"): "tests/venues", ("intent",): "tests/app/test_outside_intents.py",
    ("data", "download"): "tests/app/test_cli_data.py", ("data", "import"): "tests/app/test_cli_data.py",
    ("data", "check"): "tests/app/test_cli_data.py", ("model", "new"): "tests/app/test_model_docs.py",
    ("model", "check"): "tests/app/test_model_docs.py",
    ("pilot", "features"): "tests/app/test_pilot_cli.py", ("pilot", "show"): "tests/app/test_pilot_cli.py",
    ("pilot", "train"): "tests/app/test_pilot_train.py", ("journal", "tail"): "tests/app/test_pilot_train.py",
    ("pilot", "learnability"): "tests/pilot/training/test_learnability.py",
    **dict.fromkeys(
        [("registry", name) for name in (
            "list", "show", "register", "promote", "rollback", "export", "import", "verify", "distrust", "ready",
            "compare",
        )], "tests/app/test_registry_cli.py",
    ),
    **dict.fromkeys(
        [("registry", name) for name in ("live", "which", "trades", "outcomes")], "tests/app/test_followed_signals.py",
    ),
    **dict.fromkeys(
        [("gates", name) for name in ("show", "set", "enforce", "observe", "history", "targets", "defaults")],
        "tests/app/test_cli_gates.py",
    ),
    **dict.fromkeys([("source", name) for name in ("new", "list", "try", "revoke")],
                    "tests/app/api/test_signal_endpoints.py"),
    ("source", "export"): "tests/app/test_outside_scores.py",
    ("trials", "summary"): "tests/app/test_trials_cli.py", ("trials", "list"): "tests/app/test_trials_cli.py",
    ("trials", "show"): "tests/app/test_trials_cli.py",
    ("model", "train"): "tests/app/test_model_train.py",
    ("council", "run"): "tests/app/test_council_cli.py", ("council", "cost"): "tests/app/test_council_cli.py",
    ("council", "models"): "tests/app/test_council_cli.py",
    **dict.fromkeys([("notify", name) for name in ("run", "test", "list", "set")], "tests/app/notify"),
    ("why",): "tests/app/test_why.py", ("why-not",): "tests/app/test_why.py",
    ("pilot", "evaluate"): "tests/app/test_pilot_evaluate.py",
    ("pilot", "walk-forward"): "tests/app/test_pilot_evaluate.py",
    **dict.fromkeys(
        [("guard", name) for name in ("serve", "mode", "resume", "report", "status")],
        "tests/app/guard/test_guard_server.py",
    ),
    ("guard", "freqtrade"): "tests/app/guard/test_freqtrade_veto.py",
}
NEEDS = (  # a store, a file, hours, a server, a trained model
    "--data ", "--intents ", "--speed ", "--venue ", " my_data", " live-run", " gates.yaml", " observed.toml",
    " build/learned", " registry:",
)


def queries() -> list[tuple[str, str]]:
    """Every SQL text of the documents: of `journal sql`, of `.sql(…)` and of a SQL block."""
    found = []
    for path in DOCUMENTS:
        if path.name == "reference-cli.md":
            continue
        text, place = path.read_text(), path.relative_to(ROOT).as_posix()
        found += [(place, sql) for sql in re.findall(r"journal sql \"(.*?)\"", text)]
        found += [(place, sql) for sql in re.findall(r"\.sql\(\"(.*?)\"", text)]
        found += [(place, sql) for sql in re.findall(r"```sql\n(.*?)```", text, re.DOTALL)]
    return sorted(set(found))


def expressions() -> list[tuple[str, str]]:
    """Every expression on a payload that a document names beside its queries."""
    return sorted({
        (path.relative_to(ROOT).as_posix(), expression)
        for path in DOCUMENTS
        for expression in re.findall(r"`(payload->>'[^'`]+')`", path.read_text())
    })


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the run that `make run` leaves, of six weeks."""
    folder = tmp_path_factory.mktemp("documented")
    result = CliRunner().invoke(app, ["run", *DAYS, "--state", str(folder / "build" / "last-run")])
    assert result.exit_code == 0, result.output
    (folder / "run.toml").write_text(TOML)
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    shutil.copytree(kept, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize(("place", "sql"), queries())
def test_documented_queries_answer_with_values(place: str, sql: str, kept: Path) -> None:
    """Rows, and no column that is NULL in each of them."""
    rows = Lake(kept / "build" / "last-run" / "journal").sql(sql).to_pylist()

    assert rows, f"{place}: {sql}: no rows"
    empty = [name for name in rows[0] if all(row[name] is None for row in rows)]
    assert empty == [], f"{place}: {sql}: NULL in every row"


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_documented_expressions_on_a_payload_have_values(place: str, expression: str, folder: Path) -> None:
    """In a journal with a run's records and a logged event at least one row has the value."""
    journal = folder / "build" / "last-run" / "journal"
    with EventLogger(journal, "docs", ring_bytes=1 << 18) as logger:
        logger.log(DecisionEvent(
            trace_id="t", symbol="BTCUSDT", ts_ns=1, signal_id="s", decision="BLOCKED", reason="LOW_CONFIDENCE",
            confidence=0.5, feature_times={},
        ))
    told = Lake(journal).sql(f"select count({expression}) as n from events").to_pylist()

    assert told[0]["n"] > 0, f"{place}: {expression} is NULL for every row"


def runnable() -> list[object]:
    """The documented commands whose answers are looked at here; of the runs all but the plain one are long."""
    found = set()
    for place, line in documented():
        words = shlex.split(re.split(r"\s[<>|]\s?|<<", line)[0])[1:]
        _, _, path = leaf(words)
        if path in LOOKED_AT and not any(need in line for need in NEEDS):
            found.add((place, line, path == ("run",) and len(words) > 1))
    return [
        pytest.param(place, line, marks=[pytest.mark.long] if long else [], id=f"{place}: {line}")
        for place, line, long in sorted(found)
    ]


@pytest.mark.parametrize(("place", "line"), runnable())
def test_documented_commands_answer_with_what_they_promise(place: str, line: str, folder: Path) -> None:
    """The answer holds what a person looks for; a run is cut to six weeks."""
    words = shlex.split(re.split(r"\s[<>|]\s?|<<", line)[0])[1:]
    _, _, path = leaf(words)
    if path == ("run",) and "--from" not in words:
        words += DAYS
    if path != ("run",):
        for name in {"my-run", "my-live"} & set(words):
            shutil.copytree(folder / "build" / "last-run", folder / name)
    for name in re.findall(r"(\w+)\.py:\w+", line):
        CliRunner().invoke(app, ["model", "new", name])
    text = (ROOT / place).read_text()
    if "scores.csv" in line:  # the file that the page shows
        (folder / "scores.csv").write_text(re.findall(r"```csv\n(.*?)```", text, re.DOTALL)[0])
    block = re.search(re.escape(line) + r"\n(.*?)\nJSON\n", text, re.DOTALL)
    result = CliRunner().invoke(app, words, input=block[1] if block else None)

    assert result.exception is None or isinstance(result.exception, SystemExit), f"{line}: {result.exception!r}"
    assert LOOKED_AT[path](result.output, folder), f"{place}: {line}\n{result.output[:3000]}"


def test_every_documented_command_is_looked_at_somewhere() -> None:
    """Here, or in the tests that are named."""
    paths = set()
    for _, line in documented():
        paths.add(leaf(shlex.split(re.split(r"\s[<>|]\s?|<<", line)[0])[1:])[2])

    assert paths - {("journal", "sql")} <= LOOKED_AT.keys() | ELSEWHERE.keys()
    assert [place for place in set(ELSEWHERE.values()) if not (ROOT / place).exists()] == []
