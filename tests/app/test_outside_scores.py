"""Scores from outside in a run with a state folder: on record, repeated byte for byte, exported and evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.properties.live_road import live_run
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs import journal_commands
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.score_requests import ScoreRequest, request_score
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.enums import Side
from quantum_trader.journal.lake import Lake

SPAN = ("2018-02-01", "2018-02-14")
PRIOR = (3.0, 0.5)
BARS = {"bars": "4h", "horizon": "2d", "max_age": "3d"}


def settings(model: str = "outside-scores", **params: str) -> RunSettings:
    """Two weeks of the bundled bars with the scores that come as the one model, trusted enough to be traded."""
    entry = {"model": model, "params": {**BARS, **params}, "prior": PRIOR}
    return load_settings(None, {
        "models": ((entry,), "t"), "data.start": (SPAN[0], "t"), "data.end": (SPAN[1], "t"),
        "risk.max_cost_r": (10.0, "t"), "risk.max_exposure_pct": (100.0, "t"), "policy.profile": ("STANDARD", "t"),
    }).settings


def sent(name: str, value: float, symbol: str = "BTCUSDT", **more: Any) -> ScoreRequest:
    """A score of the source tv."""
    fields: dict[str, Any] = {"source": "tv", "ts_ns": 1, **more}
    return ScoreRequest(score_id=name, symbol=symbol, score=value, **fields)


SENT = {  # moment of the run -> what is sent then
    40: [sent("tv-1", 0.8), sent("tv-2", -0.4, "ETHUSDT")], 130: [sent("tv-3", 1.5)],
    131: [sent("tv-4", 0.0, leaves=Side.SHORT), sent("tv-5", 1.0, "NOPEUSDT")],
    220: [sent("tv-6", -1.2, life_ns=30 * NS_PER_HOUR), sent("tv-7", 0.9, "ETHUSDT", source="two")],
    360: [sent("tv-8", -0.7)], 420: [sent("tv-9", 0.0)], 480: [sent("tv-10", 1.1), sent("tv-11", 1.3)],
}


def sending(state: Path, seen: list[int], stop_at: int = 0) -> Callable[[int], None]:
    """A pace that stands for the senders; at *stop_at* the process ends."""
    def pace(_: int) -> None:
        seen[0] += 1
        for one in SENT.get(seen[0], ()):
            request_score(state, one)
        if seen[0] == stop_at:
            raise KeyboardInterrupt

    return pace


def records(state: Path) -> list[dict[str, Any]]:
    """The records of a folder."""
    return [msgspec.json.decode(line) for line in (state / "records.jsonl").read_bytes().splitlines()]


@pytest.fixture(scope="module", autouse=True)
def at_every_moment() -> Any:
    """The run looks at its folder after every bar, so that scores come at known moments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantum_trader.app.runs.replay._LOOK_EVERY", 1)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run to which scores were sent."""
    state = tmp_path_factory.mktemp("scores") / "state"
    run(settings(), RunOptions(state_dir=state), pace=sending(state, [0]))
    return state


def test_every_score_is_on_record_and_trades_name_theirs(finished: Path) -> None:
    """Taken and refused ones; a signal says of which scores it was made, and only of those that had come."""
    lines = records(finished)
    taken = {one["trace_id"]: one for one in lines if one["topic"] == "score.received"}
    refused = {one["trace_id"]: one["data"]["reason"] for one in lines if one["topic"] == "score.refused"}
    assert sorted(taken) == sorted(f"tv-{number}" for number in (1, 2, 3, 6, 7, 8, 9, 10, 11))
    assert refused == {"tv-4": "NO_SCORE_OF_SIDE", "tv-5": "UNKNOWN_SYMBOL"}
    signals = [one for one in lines if one["topic"] == "signal.generated"]
    assert len(signals) > 3
    for one in signals:
        (name,) = one["data"]["outside_scores"]
        assert taken[name]["data"]["symbol"] == one["data"]["symbol"]
        assert one["ts_ns"] >= taken[name]["ts_ns"] + 30 * 60 * NS_PER_SECOND  # not at the bar of its receipt
    assert {one["data"]["outside_scores"][0] for one in signals} >= {"tv-1", "tv-6"}
    assert any(one["topic"] == "trade.closed" for one in lines)


def test_every_day_is_repeated_byte_for_byte_from_the_records(finished: Path) -> None:
    """The scores that came are among the inputs of the proof."""
    days = sorted({one["ts_ns"] // NS_PER_DAY for one in records(finished) if one["topic"].startswith("score.")})
    assert len(days) > 4
    for day in (days[0], days[len(days) // 2], days[-1]):
        proof = journal_commands.replay(finished, f"2018-02-{1 + day - 17_563:02d}")
        assert proof.identical, proof.difference
    assert proof.inputs == sum(map(len, SENT.values()))


@pytest.mark.parametrize("stop_at", [132, 222, 481])
def test_a_run_that_ended_between_receipt_and_bar_goes_on_to_the_same_records(
    stop_at: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped with scores in the model, before their bar: not one is lost or taken twice."""
    monkeypatch.setattr("quantum_trader.app.runs.replay._CHECKPOINT_EVERY_S", 0.0)
    state, seen = tmp_path / "state", [0]
    with pytest.raises(KeyboardInterrupt):
        run(settings(), RunOptions(state_dir=state), pace=sending(state, seen, stop_at))
    run(settings(), RunOptions(state_dir=state), pace=sending(state, seen))
    assert (state / "records.jsonl").read_bytes() == (finished / "records.jsonl").read_bytes()


def test_a_score_that_only_the_folder_has_when_the_run_ends_is_taken_by_the_next_one(tmp_path: Path) -> None:
    """Once, at the moment of its start."""
    state, seen = tmp_path / "state", [0]
    with pytest.raises(KeyboardInterrupt):
        run(settings(), RunOptions(state_dir=state), pace=sending(state, seen, 130))
    assert "tv-3" not in {one["trace_id"] for one in records(state)}
    run(settings(), RunOptions(state_dir=state), pace=sending(state, seen))
    taken = [one["trace_id"] for one in records(state) if one["topic"] == "score.received"]
    assert sorted(taken) == sorted(f"tv-{number}" for number in (1, 2, 3, 6, 7, 8, 9, 10, 11))


def test_a_trace_goes_from_the_score_to_the_order_and_why_names_the_score(finished: Path) -> None:
    """By the score's id the receipt, the signal and the fill; by the signal's id its scores."""
    shown = command("trace", "show", "tv-1", "--state", str(finished))
    steps = [one["facts"]["event"] for one in shown["spans"]]
    assert steps[0] == "score.received"
    assert {"signal.generated", "order.submitted", "order.filled"} <= set(steps)
    assert shown["spans"][0]["facts"]["source"] == "tv"
    signal = next(one for one in records(finished) if one["topic"] == "signal.generated")["data"]
    assert command("why", signal["signal_id"], "--state", str(finished))["outside_scores"] == signal["outside_scores"]
    assert command("trace", "show", "tv-4", "--state", str(finished))["spans"][0]["outcome"] == "REFUSED"


def test_the_queries_of_the_documents_list_what_came_and_what_was_refused(finished: Path) -> None:
    """As they stand in the how-to, over the journal of a run that took scores."""
    text = (Path(__file__).parents[2] / "docs" / "how-to-signals-from-outside.md").read_text()
    came, refused = re.findall(r"^    (select .* from score.*)$", text, re.MULTILINE)
    rows = Lake(finished / "journal").sql(came).to_pylist()
    assert [row["trace_id"] for row in rows][:3] == ["tv-1", "tv-2", "tv-3"]
    assert (rows[0]["symbol"], rows[0]["score"], rows[0]["source"]) == ("BTCUSDT", 0.8, "tv")
    assert {row["reason"] for row in Lake(finished / "journal").sql(refused).to_pylist()} == {
        "NO_SCORE_OF_SIDE", "UNKNOWN_SYMBOL"
    }


def command(*words: str) -> Any:
    """What a command with --json says."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_scores_that_came_can_be_evaluated_as_a_file(finished: Path, tmp_path: Path) -> None:
    """Exported and replayed as a file they are the same scores at every decision, and lead to the same trades."""
    path = tmp_path / "scores.csv"
    told = command("source", "export", str(path), "--state", str(finished))
    assert (told["scores"], told["symbols"]) == (8, ["BTCUSDT", "ETHUSDT"])
    state = tmp_path / "state"
    run(settings(str(path)), RunOptions(state_dir=state))
    kept = ("scores", "states", "confidences", "expected_bps")
    for topic, keys in (("models.decided", kept), ("trade.closed", ("pnl", "entry_ns", "exit_ns", "qty"))):
        one, other = (
            [[line["data"][key] for key in keys] for line in records(folder) if line["topic"] == topic]
            for folder in (finished, state)
        )
        assert one == other
        assert len(one) > 3
    other_source = tmp_path / "two.csv"
    assert command("source", "export", str(other_source), "--state", str(finished), "--source", "two")["scores"] == 1
    nobody = CliRunner().invoke(app, ["source", "export", str(path), "--state", str(finished), "--source", "x"])
    assert nobody.exit_code == 2
    assert "no model of this run took a score of x" in nobody.output


def test_a_replay_to_which_no_score_comes_says_so_and_trades_nothing(tmp_path: Path) -> None:
    """With the way to replay the scores that a session had."""
    result = run(settings())
    assert not result.facts.trades
    assert any("outside-scores: no score came" in note and "how-to-score-file" in note for note in result.facts.notes)


@pytest.mark.parametrize("words", [("run", "--to", "2018-02-03"), ("sweep", "--to", "2018-03-15")])
def test_commands_that_replay_warn_before_they_begin_that_no_score_will_come(words: tuple[str, ...]) -> None:
    """On standard error, so that nobody waits for trades."""
    result = CliRunner().invoke(app, [*words, "--model", "outside-scores", "--from", "2018-02-01", "--bars", "4h"])
    assert "warning: outside-scores: bars bring no score" in result.stderr


def test_a_live_process_takes_a_score_from_its_folder_once(tmp_path: Path) -> None:
    """Appended as the API appends it; after a kill what the input log has is not taken again, what it lacks is."""
    with live_run(tmp_path) as live:
        live.recover()
        request_score(tmp_path, sent("tv-1", 1.0))
        (received,) = live._received_scores()
        assert received.score.created_ns == 1  # waited since then
        live.session.apply(received)
        request_score(tmp_path, sent("tv-2", 1.0))
        assert [one.score.score_id for one in live._received_scores()] == ["tv-2"]  # and killed before it is written
    with live_run(tmp_path) as again:
        again.recover()
        assert [one.score.score_id for one in again._received_scores()] == ["tv-2"]
        assert again._received_scores() == []
