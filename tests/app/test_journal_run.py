"""What a run leaves in its journal: every record once, in order, killed or not; provable and queryable."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from quantum_trader.app.runs import journal_commands
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.state_dir import RecordFile
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.enums import ExitMode
from quantum_trader.journal.kinds import DecisionEvent, SignalEvent
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.leakage import LeakageError
from quantum_trader.journal.lines import check_line
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig

CHILD = """
import sys, pathlib
import quantum_trader.app.runs.replay as runner
runner._CHECKPOINT_EVERY_S = 0.05
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import load_settings
flags = {
    "data.start": ("2018-03-01", "t"), "data.end": ("2018-03-31", "t"), "models": (({"model": "intraday-demo"},), "t"),
}
print("go", flush=True)
pace = lambda ns: __import__("time").sleep(0.0006)
runner.run(load_settings(None, flags).settings, RunOptions(state_dir=pathlib.Path(sys.argv[1])), pace=pace)
"""


def settings() -> RunSettings:
    """A month of the bundled bars with the intraday models."""
    flags = {
        "data.start": ("2018-03-01", "t"), "data.end": ("2018-03-31", "t"),
        "models": (({"model": "intraday-demo"},), "t"),
    }
    return load_settings(None, flags).settings


def recorded(folder: Path) -> list[bytes]:
    """The records of the run's own file."""
    return (folder / "records.jsonl").read_bytes().splitlines()


def journaled(folder: Path) -> list[bytes]:
    """The records the journal holds."""
    return [bytes(line) for _, _, line in Lake(folder / "journal").lines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, sealed and booked."""
    folder = tmp_path_factory.mktemp("run")
    run(settings(), RunOptions(state_dir=folder))
    journal_commands.seal(folder)
    journal_commands.feed_book(folder)
    return folder


def test_the_journal_holds_every_record_byte_for_byte(finished: Path) -> None:
    """Same lines, same order as the run's own file; counted by SQL."""
    lines = recorded(finished)
    assert journaled(finished) == lines
    rows = Lake(finished / "journal").sql("select count(*) as n from events").to_pylist()
    assert rows == [{"n": len(lines)}]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_after_kills_each_record_is_there_once(seed: int, finished: Path, tmp_path: Path) -> None:
    """kill -9 three times: the journal ends with the uninterrupted run's records, none lost, none twice."""
    chance = random.Random(seed)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.uniform(0.4, 1.4))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    run(settings(), RunOptions(state_dir=tmp_path))
    assert recorded(tmp_path) == recorded(finished)
    assert journaled(tmp_path) == recorded(finished)


def test_a_sealed_run_verifies_and_a_changed_byte_is_named(finished: Path, tmp_path: Path) -> None:
    """Intact as it is; with one digit of one record changed the day and the record are named."""
    assert journal_commands.verify(finished).ok
    lines = recorded(finished)
    changed = bytearray((finished / "records.jsonl").read_bytes())
    place = changed.index(b'"confidence":0.5') + len(b'"confidence":0.5')
    changed[place] = ord("9") if changed[place] != ord("9") else ord("8")
    copy = tmp_path / "records.jsonl"
    copy.write_bytes(bytes(changed))
    report = journal_commands.verify(finished, lines=lambda: journal_commands.record_lines(copy))
    assert not report.ok
    changed_line = next(
        a for a, b in zip(lines, copy.read_bytes().splitlines(), strict=True) if a != b
    )
    assert [problem.record for problem in report.problems] == [msgspec.json.decode(changed_line)["event_id"]]


def test_a_day_run_again_from_its_journal_is_identical(finished: Path) -> None:
    """The proof re-runs a day from what the journal itself says of settings and data."""
    lake = Lake(finished / "journal")
    proof = journal_commands.replay(
        finished, "2018-03-15", lines=lambda: ((ts_ns, bytes(line)) for _, ts_ns, line in lake.lines())
    )
    assert proof.identical, proof.difference
    assert proof.records > 10


def test_every_record_of_a_run_is_an_event_of_its_topic(finished: Path) -> None:
    """Each line decodes with its topic's types; the typed kinds read back what the run wrote."""
    topics: Counter[str] = Counter()
    for line in recorded(finished):
        head = msgspec.json.decode(line)
        check_line(head["topic"], head["ts_ns"], line)
        topics[head["topic"]] += 1
    lake = Lake(finished / "journal")
    orders = topics["order.submitted"] + topics["order.updated"] + topics["order.cancel"]

    assert topics["signal.generated"] == sum(isinstance(one, SignalEvent) for one in lake.events("signal")) > 0
    assert topics["signal.decided"] == sum(isinstance(one, DecisionEvent) for one in lake.events("decision"))
    assert topics["order.filled"] == len(list(lake.events("fill")))
    assert orders == len(list(lake.events("order")))
    assert topics["trade.intent"] == len(list(lake.events("intent")))
    assert topics["policy.updated"] == len(list(lake.events("policy")))
    assert topics["trade.closed"] == len(list(lake.events("trade"))) > 0


def test_signals_of_models_that_partly_have_no_view_are_read_back_from_the_journal(tmp_path: Path) -> None:
    """The set trend in its first year: the models that lack bars cast no vote, and say so by their absence."""
    span = {"data.start": ("2017-12-15", "t"), "data.end": ("2018-01-31", "t")}
    run(load_settings(None, {**span, "models": ([{"model": "trend"}], "t")}).settings, RunOptions(state_dir=tmp_path))
    journal_commands.seal(tmp_path)
    signals = [one for one in Lake(tmp_path / "journal").events("signal") if isinstance(one, SignalEvent)]
    assert signals
    assert all(set(one.votes) == {"tsmom_fast"} for one in signals)


def test_a_closed_trade_names_its_exit_mode_and_what_decided_it(finished: Path) -> None:
    """A word of the exit modes, and the hash of the fixed settings, since the policy is only observed."""
    trades = Lake(finished / "journal").sql(
        "select kind, payload->>'$.data.exit_mode' as mode, payload->>'$.data.policy_hash' as used "
        "from events where kind = 'trade.closed'"
    ).to_pylist()

    assert {row["mode"] for row in trades} <= {mode.value for mode in ExitMode}
    assert {row["used"] for row in trades} == {OrchestratorIntegrationConfig().fixed_hash}
    assert len(trades) > 0


def test_a_decision_that_saw_its_future_is_not_accepted(finished: Path, tmp_path: Path) -> None:
    """One nanosecond of future in a real decision: refused with both times, and nothing is written."""
    line = next(line for line in recorded(finished) if b'"topic":"signal.decided"' in line)
    record = msgspec.json.decode(line)
    record["data"]["features_ts_ns"] = record["ts_ns"] + 1
    sink = JournalSink(tmp_path, RecordFile(tmp_path / "records.jsonl", 0), 0)
    try:
        with pytest.raises(LeakageError):
            sink.append(msgspec.json.encode(record), "signal.decided", record["ts_ns"])
        sink.append(line, "signal.decided", record["ts_ns"])
    finally:
        sink.close()
    assert journaled(tmp_path) == [line]
