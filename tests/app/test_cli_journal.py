"""``quantum-trader journal`` and ``trace``: what a person and a program get, whole, damaged, or not there."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from tests.journal.records import record_line, signal
from typer.testing import CliRunner, Result

from quantum_trader.app.cli import journal as cli_journal
from quantum_trader.app.cli import trace as cli_trace
from quantum_trader.app.runs import journal_commands
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.state_dir import RecordFile
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import InputError, QuantumTraderError, StateError
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import Lake

DAY = 17_600
LINES = [
    record_line(
        "signal.generated",
        signal(signal_id=f"s{n}", ts_ns=ts_ns, features_ts_ns=0, model="[red] below [/x]"), ts_ns, f"tr{n}",
    )
    for n, ts_ns in ((n, (DAY + n // 4) * NS_PER_DAY + n) for n in range(12))
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with twelve records on three days, sealed."""
    state = tmp_path_factory.mktemp("cli") / "state"
    state.mkdir()
    sink = JournalSink(state, RecordFile(state / "records.jsonl", 0), 0)
    for line in LINES:
        sink.append(line, "signal.generated", msgspec.json.decode(line)["ts_ns"])
    sink.close()
    journal_commands.seal(state, through="2030-01-01")
    return state


@pytest.fixture
def state(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(made, tmp_path / "state")


def ask(*words: object, app: object = None) -> Result:
    """What a command says; the error itself where it raises one."""
    return CliRunner().invoke(app or cli_journal.app, [str(word) for word in words])  # type: ignore[arg-type]


def flip(path: Path) -> None:
    """Change a byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_every_answer_is_json_when_asked(state: Path) -> None:
    """Whole numbers stay whole numbers in the JSON, also those that SQL computes."""
    wanted = {
        ("sql", "select sum(seq) as n from events"): [{"n": 78}],
        ("compact",): {"files_gone": 0},
        ("export", "--out", state / "out.jsonl"): {"rows": 12},
        ("export", "--out", state / "out.parquet", "--kind", "signal.generated"): {"rows": 12},
    }
    for words, answer in wanted.items():
        assert msgspec.json.decode(ask(*words, "--state", state, "--json").stdout) == answer
    stats = msgspec.json.decode(ask("stats", "--state", state, "--json").stdout)
    verified = msgspec.json.decode(ask("verify", "--state", state, "--json").stdout)

    assert (stats["events"], stats["kinds"], stats["damage"]) == (12, {"signal.generated": 12}, [])
    assert (verified["ok"], verified["sealed"], verified["damage"]) == (True, 12, [])
    assert (state / "out.jsonl").read_bytes().splitlines() == LINES
    assert pq.read_table(state / "out.parquet")["payload"].to_pylist() == [line.decode() for line in LINES]
    assert not list(state.glob(".*partial"))
    assert msgspec.json.decode(ask("retain", "--days", 1, "--state", state, "--json").stdout) == {"events_gone": 0}


def test_brackets_of_a_record_are_shown(state: Path) -> None:
    """They are no colours."""
    said = ask("sql", "select payload->>'$.data.model' as m from events limit 1", "--state", state).stdout

    assert "[red] below [/x]" in said


def test_a_damaged_part_is_told_by_every_command_that_meets_it(state: Path) -> None:
    """The answer is what can be read, with a word of the rest; ``verify`` fails."""
    part = next((state / "journal" / "lake").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-20] + bytes(20))
    answer = ask("sql", "select count(payload) as n from events", "--state", state, "--json")
    verified = ask("verify", "--state", state)

    assert msgspec.json.decode(answer.stdout) == [{"n": 0}]
    assert "damaged: date=" in answer.stderr
    assert "events 1 to 12 of engine" in ask("stats", "--state", state).stdout
    assert "damaged: date=" in verified.stdout
    assert verified.exit_code == 1


def test_a_damaged_manifest_is_named_by_verify(state: Path) -> None:
    """The records are whole, their journal is not."""
    flip(state / "journal" / "lake" / "manifest.json")
    said = ask("verify", "--state", state)

    assert said.exit_code == 1
    assert "manifest.json: damaged" in said.stdout
    assert "12 records under seal" in said.stdout


def test_another_producer_does_not_disturb_the_replay(state: Path) -> None:
    """Only the engine's own records are run again."""
    with EventLogger(state / "journal", "a.first", ring_bytes=1 << 18) as logger:
        logger.log_line("note", 1, b'{"not":"a record"}')

    with pytest.raises(StateError, match="first record is signal.generated"):
        raise_of(ask("replay", "--day", "2018-03-10", "--state", state))


def raise_of(result: Result) -> None:
    """Raise what ended the command."""
    assert result.exception is not None
    raise result.exception


@pytest.mark.parametrize("words", [
    ("sql", "select 1"), ("stats",), ("tail",), ("verify",), ("replay", "--day", "2018-03-10"), ("compact",),
    ("retain", "--days", "1"), ("export", "--out", "x.jsonl"),
])
def test_a_missing_journal_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    """With what to give instead."""
    with pytest.raises(QuantumTraderError, match="nowhere"):
        raise_of(ask(*words, "--state", tmp_path / "nowhere"))


def test_a_run_goes_on_after_retention(state: Path) -> None:
    """Records that were removed from the lake on purpose are not missed."""
    Lake(state / "journal").retain(1, today=date(2099, 1, 1))
    sink = JournalSink(state, RecordFile(state / "records.jsonl", (state / "records.jsonl").stat().st_size), 12)
    sink.append(LINES[0], "signal.generated", DAY * NS_PER_DAY)
    sink.close()

    assert [(seq, line) for seq, _, line in Lake(state / "journal").lines()] == [(13, LINES[0])]


def test_a_trace_exported_carries_its_run(state: Path) -> None:
    """Trace ids count from one in each run: the run makes them different."""
    found = []
    for name in ("one", "two"):
        out = state / f"{name}.json"
        ask("list", "--state", state, "--otlp", out, app=cli_trace.app)
        found.append(msgspec.json.decode(out.read_bytes())["resourceSpans"][0])
        (state / "records.jsonl").write_bytes(b'{"topic":"run.started"}\n' + (state / "records.jsonl").read_bytes())
    ids = [{span["traceId"] for span in one["scopeSpans"][0]["spans"]} for one in found]

    assert len(ids[0]) == len(ids[1]) == 12
    assert not ids[0] & ids[1]


def test_an_export_is_of_a_known_form(state: Path) -> None:
    """Named with the value."""
    with pytest.raises(InputError, match=r"out\.csv: must end in"):
        raise_of(ask("export", "--out", state / "out.csv", "--state", state))
