"""``quantum-trader journal`` and ``trace``: what a person and a program get, whole, damaged, or not there."""

from __future__ import annotations

import shutil
import signal as signals
import subprocess
import sys
from datetime import date
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from tests.journal.records import record_line, signal
from typer.testing import CliRunner, Result

from quantum_trader.app.cli import journal as cli_journal
from quantum_trader.app.cli import trace as cli_trace
from quantum_trader.app.cli.options import INTERRUPTED
from quantum_trader.app.runs import journal_commands
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.state_dir import RecordFile, sealed
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import InputError, QuantumTraderError, StateError
from quantum_trader.engine.facts import OperatorRequested, RunEnded
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.manifest import changing

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


def test_rows_too_wide_for_a_table_are_shown_one_below_the_other(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is a block with every column's name and whole value; a narrow answer stays a table."""
    monkeypatch.setattr(cli_journal, "_PIPE_WIDTH", 80)
    wide = ask("sql", "select * from signals order by seq limit 2", "--state", state).stdout
    long = ask("sql", "select payload, 'a' || chr(10) || 'b' as text from events limit 1", "--state", state).stdout
    narrow = ask("sql", "select kind, seq, symbol from events order by seq limit 2", "--state", state).stdout

    lines = wide.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[:3] for line in lines if line.startswith("──")] == [["──", "row", "1"], ["──", "row", "2"]]
    assert "signal_id" in wide
    assert sum(line.split() == ["model", "[red]", "below", "[/x]"] for line in lines) == 2
    assert "┃ seq ┃" in narrow
    assert "┃ text ┃" in long


def test_values_longer_than_a_line_go_on_below_their_beginning(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a character of a long value is lost."""
    monkeypatch.setattr(cli_journal, "_PIPE_WIDTH", 80)
    columns = ", ".join(f"payload as p{number}" for number in range(9))
    said = ask("sql", f"select {columns}, 'a' || chr(10) || 'b' as text from events order by seq limit 1",
               "--state", state).stdout
    lines = said.splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[-2:] == ["text  a", "      b"]
    assert "".join(line[6:] for line in lines[1:-2]).startswith(LINES[0].decode())


@pytest.mark.parametrize(("query", "hint"), [
    ("select * from signal", "did you mean signals?"),
    ("select * from trade.closed", "did you mean trades?"),
    ("select * from trade_by_day", "did you mean trades_by_day?"),
    ("select * from xyzzy", "tables"),
])
def test_a_view_that_is_not_there_is_answered_with_our_own_names(state: Path, query: str, hint: str) -> None:
    """The tables of the database's own catalogue are no help to anybody."""
    with pytest.raises(InputError, match="there is no view") as refused:
        Lake(state / "journal").sql(query)

    assert hint in str(refused.value)
    assert "pg_" not in str(refused.value)
    assert "`quantum-trader journal tables`" in str(refused.value)


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


GONE = {
    "the manifest": lambda journal: (journal / "lake" / "manifest.json").unlink(),
    "the lake": lambda journal: shutil.rmtree(journal / "lake"),
    "the lake and the rings": lambda journal: [shutil.rmtree(journal / name) for name in ("lake", "rings")],
    "everything but the seals": lambda journal: [
        shutil.rmtree(path) for path in journal.iterdir() if path.name != "audit"
    ],
}


@pytest.mark.parametrize("what", GONE)
def test_a_lake_that_is_gone_is_a_problem(what: str, state: Path) -> None:
    """``verify`` and SQL compare with what the ring, the checkpoint and the seals say should be there."""
    GONE[what](state / "journal")
    verified = ask("verify", "--state", state)
    asked = ask("sql", "select count(*) as n from events", "--state", state, "--json")

    assert verified.exit_code == 1
    assert "events 1 to 12 of engine" in verified.stdout
    assert "NOT intact" in verified.stdout
    assert (asked.exit_code, msgspec.json.decode(asked.stdout)) == (1, [{"n": 0}])
    assert "events 1 to 12 of engine" in asked.stderr
    assert "events 1 to 12 of engine" in ask("stats", "--state", state).stdout


def test_a_manifest_that_lists_too_little_is_a_problem(state: Path) -> None:
    """One part fewer than was published, with a checksum that matches."""
    with changing(state / "journal") as manifest:
        gone = manifest.parts.pop()
    said = ask("verify", "--state", state)

    assert said.exit_code == 1
    assert f"lists {gone.rows} events fewer than were published" in said.stdout


def test_an_older_manifest_is_not_accused(state: Path) -> None:
    """Versions before did not count what retention removed."""
    with changing(state / "journal") as manifest:
        manifest.removed = None
        manifest.parts.pop()

    assert ask("verify", "--state", state).exit_code == 0


def test_a_checkpoint_counts_what_is_not_sealed_yet(state: Path) -> None:
    """A run that was stopped before a day was over."""
    shutil.rmtree(state / "journal" / "rings")
    (state / "checkpoint").write_bytes(sealed({"engine": {"seq": {"engine": 10, "policy": 4}}}))
    said = ask("verify", "--state", state)

    assert said.exit_code == 1
    assert "holds 12 records where the checkpoint counts 14" in said.stdout
    shutil.rmtree(state / "journal")
    with pytest.raises(StateError, match="its journal folder is gone"):
        raise_of(ask("verify", "--state", state))


def test_records_behind_the_end_of_a_run_are_a_problem(tmp_path: Path) -> None:
    """A run that has ended writes nothing; a request that is sealed with the end is no problem."""
    ended = record_line("run.ended", RunEnded(equity=1.0, cash=1.0, trades=0, open_positions=0), DAY * NS_PER_DAY)
    asked = record_line(
        "operator.requested", OperatorRequested(action="halt", reason="r", actor="a", ts_ns=1), DAY * NS_PER_DAY + 1
    )
    state = tmp_path / "state"
    (state / "journal").mkdir(parents=True)
    (state / "records.jsonl").write_bytes(ended + b"\n" + asked + b"\n")
    journal_commands.seal(state)

    assert journal_commands.verify(state).ok
    for ts_ns in (DAY * NS_PER_DAY + 2, (DAY + 3) * NS_PER_DAY):
        added = record_line("signal.generated", signal(ts_ns=ts_ns, features_ts_ns=0), ts_ns)
        (state / "records.jsonl").write_bytes(ended + b"\n" + asked + b"\n" + added + b"\n")
        report = journal_commands.verify(state)
        assert [(one.kind, one.day) for one in report.problems] == [("added", journal_commands.day_of(ts_ns))]
        assert "1 records behind the end of the run" in report.problems[0].detail


ODD = {
    "'infinity'::timestamp": "infinity", "'290000-01-01'::timestamp": "290000-01-01T00:00:00",
    "timestamp '2024-01-01 10:00:00'": "2024-01-01T10:00:00", "'-infinity'::date": "-infinity",
    "interval 3 month": "3 months", "'101'::bit": "101", "'\\xFFa'::blob": "\\xFFa",
    "{'a': 1, 't': 'infinity'::timestamp}": {"a": 1, "t": "infinity"}, "map{[1]: 2}": {"[1]": 2}, "[1, 2]": [1, 2],
    "[1.5, 'nan'::double]": "[1.5,NaN]", "'nan'::double": None, "union_value(n := 1)": {"n": 1},
    "340282366920938463463374607431768211455::uhugeint": "340282366920938463463374607431768211455",
    "99999999999999999999::hugeint": 99999999999999999999, "'x'::enum('x')": "x", "time '10:00'": "10:00:00",
    "12345678901234567890123::bignum": "12345678901234567890123", "null": None,
}


@pytest.mark.parametrize("value", ODD)
def test_values_of_any_type_are_answered(value: str, state: Path) -> None:
    """As JSON and as a table, without a traceback."""
    asked = f"select {value} as v"

    assert msgspec.json.decode(ask("sql", asked, "--state", state, "--json").stdout) == [{"v": ODD[value]}]
    assert ask("sql", asked, "--state", state).exit_code == 0


def test_columns_of_equal_names_are_all_there(state: Path) -> None:
    """The second one gets a number behind its name that no other column has."""
    asked = "select x.seq, y.seq, x.seq as Seq, 7 as seq_1 from events x join events y using (seq) order by 1 limit 1"
    told = msgspec.json.decode(ask("sql", asked, "--state", state, "--json").stdout)

    assert told == [{"seq": 1, "seq_2": 1, "Seq_3": 1, "seq_1": 7}]
    assert Lake(state / "journal").sql(asked).column_names == ["seq", "seq_2", "Seq_3", "seq_1"]


@pytest.mark.parametrize(("query", "words", "said"), [
    ("select count(*) from range(1000000000000)", ("--timeout-s", "0.3"), r"more than 0\.3 s"),
    ("select list(x) from range(100000000) t(x)", ("--memory-mb", "64"), "more than 64 MB"),
    ("select repeat('x', 10000) from range(20000)", ("--memory-mb", "64"), "more than 64 MB"),
    ("select '\udcff'", (), "not UTF-8"), ("select decode('\\xFF'::blob)", (), "invalid UTF8"),
])
def test_a_query_is_bounded_in_time_and_memory(query: str, words: tuple[str, ...], said: str, state: Path) -> None:
    """With what to do; the machine stays usable."""
    with pytest.raises(InputError, match=said):
        raise_of(ask("sql", query, *words, "--state", state))


def test_ctrl_c_ends_a_query(state: Path) -> None:
    """At once, with the exit code of an interruption."""
    code = (
        "import sys\n"
        "from quantum_trader.app.cli.main import main\n"
        "from quantum_trader.journal import answers\n"
        "project = answers._project\n"
        "def ready(*given):\n"
        "    print('ready', flush=True)\n"
        "    return project(*given)\n"
        "answers._project = ready\n"
        "sys.exit(main())"
    )
    words = ["journal", "sql", "select count(*) from range(1000000000000)", "--state", str(state), "--timeout-s", "300"]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signals.SIGINT)
    said = child.communicate(timeout=120)[1]

    assert (child.returncode, said) == (INTERRUPTED, "stopped\n")


def test_the_views_and_their_columns_are_listed() -> None:
    """For a person and for a program; a kind leads to its view."""
    listed = msgspec.json.decode(ask("tables", "--json").stdout)
    told = msgspec.json.decode(ask("describe", "trade.closed", "--json").stdout)

    assert {"events", "signals", "decisions", "orders", "fills", "trades", "policies", "halts"} <= {
        one["view"] for one in listed
    }
    assert told["name"] == "trades"
    assert {"name": "pnl", "type": "DOUBLE", "unit": "USDT", "description": "Profit after fees and funding."} in told[
        "columns"
    ]
    assert "signal.decided" in ask("tables").stdout
    assert "Calibrated probability" in ask("describe", "decisions").stdout
