"""The replay proof: a day run again from the records alone is the same day, or the difference is shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.trace import app as trace_app
from quantum_trader.app.runs import journal_commands as commands
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, ask
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.enums import OrchestratorMode
from quantum_trader.domain.errors import DataError, StateError
from quantum_trader.journal.audit import RecordLine, day_of, record_lines
from quantum_trader.journal.proof import compare_records, read_script
from quantum_trader.journal.trade_journal import TradeJournal
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.rollout import RolloutChange, RolloutState
from quantum_trader.policy.rollout_file import RolloutFile

SPAN = {"data.start": "2018-01-01", "data.end": "2018-01-29", "models": ({"model": "intraday-demo"},)}
BUSY = "2018-01-20"


def person(state: Path) -> Callable[[int], None]:
    """An operator who halts, resumes, flattens and switches the rollout during the run."""
    moments = {920: Action.FLATTEN, 985: Action.RESUME, 1100: Action.HALT, 1132: Action.RESUME}
    seen = [0]

    def pace(close_ns: int) -> None:
        seen[0] += 1
        if seen[0] in moments:
            ask(state, OperatorRequest(action=moments[seen[0]], reason="a test", actor="me", ts_ns=seen[0]))
        if seen[0] == 1050:
            config = OrchestratorIntegrationConfig(
                mode=OrchestratorMode.LIVE, use_for_confidence_threshold=True, use_for_risk_sizing=True
            )
            change = RolloutChange(
                revision=1, ts_ns=close_ns, actor="me", action="promote", switch="risk_sizing", before=(),
                after=("confidence_threshold", "risk_sizing"), mode_before=OrchestratorMode.OBSERVE,
                mode_after=OrchestratorMode.LIVE, reason="a test",
            )
            RolloutFile(state).write(RolloutState(config=config, revision=1, changes=(change,)))

    return pace


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of four weeks of the bundled bars, with operator requests."""
    state = tmp_path_factory.mktemp("run") / "state"
    state.mkdir()
    (state / "lock").touch()
    for action in (Action.HALT, Action.RESUME):  # asked before the first bar
        ask(state, OperatorRequest(action=action, reason="early", actor="me", ts_ns=1))
    settings = load_settings(None, {key: (value, "test") for key, value in SPAN.items()}).settings
    run(settings, RunOptions(state_dir=state), pace=person(state))
    commands.seal(state)
    return state


@pytest.fixture
def state(finished: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(finished, tmp_path / "state"))


def days_of(state: Path) -> list[str]:
    """Every day with records."""
    return sorted({day_of(ts_ns) for ts_ns, _ in record_lines(state / "records.jsonl")})


def test_every_day_is_identical(finished: Path) -> None:
    """The first and the last twelve, on which people halted, resumed, flattened and enforced."""
    script = read_script(record_lines(finished / "records.jsonl"))
    assert [one.topic for one in script.inputs].count("operator.requested") == 6
    assert [one.topic for one in script.inputs].count("rollout.changed") == 1
    assert script.ended
    assert any(b'"exit_reason":"FLATTEN"' in line for _, line in record_lines(finished / "records.jsonl"))
    for day in (days_of(finished)[0], *days_of(finished)[-12:]):
        proof = commands.replay(finished, day)
        assert proof.identical, proof.difference
        assert commands.replay_text(proof).endswith("identical, byte for byte")
        assert proof.complete
        assert proof.records > 0


def test_one_changed_byte_is_shown_by_replay_and_named_by_verify(state: Path) -> None:
    """Replay shows the first difference with both sides and its field; verify shows the record."""
    path = state / "records.jsonl"
    lines = path.read_bytes().splitlines()
    at = next(k for k, line in enumerate(lines)
              if b'"order.filled"' in line and day_of(msgspec.json.decode(line)["ts_ns"]) == BUSY)
    name = msgspec.json.decode(lines[at])["event_id"]
    marker = lines[at].index(b'"fee":') + len(b'"fee":')
    digit = lines[at][marker:marker + 1]
    lines[at] = lines[at][:marker] + (b"7" if digit != b"7" else b"8") + lines[at][marker + 1:]
    path.write_bytes(b"\n".join(lines) + b"\n")

    proof = commands.replay(state, BUSY)
    report = commands.verify(state)

    assert not proof.identical
    assert proof.difference is not None
    assert proof.difference.fields == ("data.fee",)
    assert proof.difference.recorded != proof.difference.replayed
    assert name in proof.difference.name
    text = commands.replay_text(proof)
    assert "data.fee" in text
    assert str(proof.difference.recorded) in text
    assert str(proof.difference.replayed) in text
    assert name in commands.verify_text(report)
    assert [(one.kind, one.day, one.record) for one in report.problems] == [("changed", BUSY, name)]


def test_a_run_that_was_cut_short_is_proved_as_far_as_it_went(state: Path) -> None:
    """The last day is compared up to its last record, and the proof notes it."""
    path = state / "records.jsonl"
    lines = path.read_bytes().splitlines()
    cut = next(k for k, line in enumerate(lines) if day_of(msgspec.json.decode(line)["ts_ns"]) == BUSY) + 5
    path.write_bytes(b"\n".join(lines[:cut]) + b"\n")

    proof = commands.replay(state, BUSY)

    assert (proof.identical, proof.complete, proof.records) == (True, False, 5)
    assert "had not finished" in proof.notes[0]


def test_a_missing_record_in_a_finished_day_is_a_difference(state: Path) -> None:
    """The replay has one more."""
    lines = [line for line in record_lines(state / "records.jsonl") if day_of(line[0]) == BUSY]

    found = compare_records([line for _, line in lines[:-1]], [line for _, line in lines])

    assert found is not None
    assert (found.position, found.recorded) == (len(lines), None)


def test_other_bars_are_refused_by_their_content(state: Path) -> None:
    """Before anything is run."""
    path = state / "records.jsonl"
    content = path.read_bytes()
    wanted = msgspec.json.decode(content.splitlines()[0])["data"]["recording"]["fingerprint"]
    path.write_bytes(content.replace(wanted.encode(), b"0" * len(wanted)))

    with pytest.raises(DataError, match="other bars"):
        commands.replay(state, BUSY)


def test_bars_that_are_not_bundled_must_be_named(state: Path) -> None:
    """The record identifies the bars by content, not by path."""
    path = state / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"source":"bundled"', b'"source":"my-bars"', 1))

    with pytest.raises(StateError, match="--data DIR"):
        commands.replay(state, BUSY)


@pytest.mark.parametrize(("day", "match"), [("2031-01-01", "no record of it"), ("someday", "is not a day")])
def test_a_day_that_is_not_there(finished: Path, day: str, match: str) -> None:
    """The error lists the recorded days."""
    with pytest.raises(StateError, match=match):
        commands.replay(finished, day)


def test_records_of_an_older_program_are_refused(tmp_path: Path) -> None:
    """Their first record lacks what a replay needs."""
    old: list[RecordLine] = [(0, b'{"topic":"run.started","ts_ns":0,"data":{"settings":"ab"}}')]

    with pytest.raises(StateError, match="older program"):
        read_script(old)
    with pytest.raises(StateError, match="holds no records"):
        commands.recorded(tmp_path)


def test_the_trade_journal_is_filled_from_the_same_records(state: Path) -> None:
    """As many trades as were closed, with the operator's requests."""
    closed = sum(b'"topic":"trade.closed"' in line for _, line in record_lines(state / "records.jsonl"))

    commands.feed_book(state)
    assert not any(commands.feed_book(state).values())

    with TradeJournal(state / "journal" / "journal.db") as journal:
        stats = journal.get_stats(mode="replay")
        assert stats.total_trades - stats.shadow_trades == closed > 0
        assert len(journal.rows("audit")) == 7


def test_trace_show_draws_a_decision(finished: Path, tmp_path: Path) -> None:
    """By its signal's id, as a drawing, as JSON and as OpenTelemetry; an unknown id is refused."""
    words = ["show", "s00000003", "--state", str(finished)]

    drawn = CliRunner().invoke(trace_app, [*words, "--otlp", str(tmp_path / "t.json")])
    text = msgspec.json.decode(CliRunner().invoke(trace_app, [*words, "--json"]).stdout)
    listed = CliRunner().invoke(trace_app, ["list", "--state", str(finished), "--count", "3"])
    unknown = CliRunner().invoke(trace_app, ["show", "nothing", "--state", str(finished)])

    assert drawn.exit_code == 0
    assert "tr00000003" in drawn.stdout
    assert "decision" in drawn.stdout
    assert text["trace_id"] == "tr00000003"
    assert (tmp_path / "t.json").stat().st_mode & 0o777 == 0o600
    assert len(listed.stdout.splitlines()) == 3
    assert "no record carries it" in str(unknown.exception)
