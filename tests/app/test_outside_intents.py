"""Intents from outside in a replay, over the local venue, live, and in a sweep; their results counted by source."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.properties.live_road import live_run
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.report.data import build_report
from quantum_trader.app.report.html import html_report
from quantum_trader.app.runs import journal_commands
from quantum_trader.app.runs.intent_file import IntentFile, read_intents
from quantum_trader.app.runs.local import run_over_local_venue
from quantum_trader.app.runs.outside_intents import IntentRequest, OutsideIntents, SizedIn, request_intent
from quantum_trader.app.runs.replay import Run, run
from quantum_trader.app.runs.results import RunOptions, RunStats
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.clock import NS_PER_DAY, to_ns
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.trading import Intent
from quantum_trader.live.bus import TRADE_EXECUTED, TRADE_INTENT
from quantum_trader.live.inputs import decode_input
from quantum_trader.market.recording import open_recording

SPAN = ("2018-01-01", "2018-01-31")
DAY = "2018-01-20"
CHILD = """
import sys, pathlib
import quantum_trader.app.runs.replay as runner
runner._CHECKPOINT_EVERY_S = 0.02
from quantum_trader.app.runs.intent_file import read_intents
from quantum_trader.app.runs.results import RunOptions
from tests.app.test_outside_intents import settings
print("go", flush=True)
pace = lambda ns: __import__("time").sleep(0.001)
state, file = pathlib.Path(sys.argv[1]), read_intents(pathlib.Path(sys.argv[2]))
runner.run(settings(), RunOptions(state_dir=state, intents=file), pace=pace)
"""


def settings(start: str = SPAN[0], end: str = SPAN[1]) -> RunSettings:
    """A month of the bundled bars with the intraday models, under limits that let intents through."""
    return load_settings(None, {
        "models": (({"model": "intraday-demo"},), "t"),
        "data.start": (start, "t"), "data.end": (end, "t"), "risk.max_cost_r": (10.0, "t"),
        "risk.max_exposure_pct": (100.0, "t"), "policy.profile": ("STANDARD", "t"),
    }).settings


def written(path: Path, rows: Sequence[Any]) -> Path:
    """A file of *rows*, one JSON document a line."""
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def intents_of(start: str, end: str, every_h: int = 9) -> list[Intent]:
    """Intents of two sources, long and short, now and then with a stop of their own, and one that closes."""
    recording = open_recording(None, start=start, end=end)
    made = []
    for ts_ns, ohlcv, present, _ in recording.chunks():
        for row, moment in enumerate(ts_ns.tolist()):
            number = len(made)
            if moment % (every_h * 3_600_000_000_000) or not present[row, 0]:
                continue
            price, sign = float(ohlcv[row, 0, 3]), 1 if number % 3 else -1
            created_ns = moment + recording.interval_ns
            made.append(Intent(
                intent_id=f"n{number}", trace_id=f"trace-n{number}", symbol=recording.symbols[0],
                side=Side.LONG if sign > 0 else Side.SHORT, qty=0.05, reduce_only=number % 7 == 6,
                reference_price=price, stop_price=0.0 if number % 2 else price * (1.0 - sign * 0.03), leverage=3.0,
                created_ns=created_ns, expires_ns=created_ns + 30_000_000_000, confidence=1.0,
                source="PILOT" if number % 2 else "DESK",
            ))
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> IntentFile:
    """The month's intents as a file."""
    path = written(tmp_path_factory.mktemp("intents") / "intents.jsonl", intents_of(*SPAN))
    return read_intents(path)


@pytest.fixture(scope="module")
def whole(file: IntentFile, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run with the file that was not interrupted: its folder and its result."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(settings(), RunOptions(state_dir=folder, intents=file))


def topics(folder: Path) -> list[str]:
    """Topics of a folder's records."""
    return [msgspec.json.decode(line)["topic"] for line in (folder / "records.jsonl").read_bytes().splitlines()]


def test_a_replay_takes_the_intents_of_a_file_and_counts_each_source_apart(
    whole: tuple[Path, Any], file: IntentFile
) -> None:
    """Every intent is on record, trades carry their source, and the report has a table by source."""
    folder, result = whole
    assert topics(folder).count("intent.received") == len(file.intents)
    assert {trade.model for trade in result.facts.trades} == {"ensemble", "PILOT", "DESK"}
    assert any("outside intents lie in" in note for note in result.facts.notes)
    report = build_report(result.facts, RunStats(wall_s=1.0, bars_per_s=1.0, version="0"))
    rows = {row["name"]: row for row in report["tables"]["per_source"]}
    assert sum(row["count"] for row in rows.values()) == report["trades"]["count"]
    assert set(rows) == {"ensemble", "PILOT", "DESK"}
    assert {"pnl", "avg_r", "win_rate", "fees"} <= set(rows["DESK"])
    assert "Results by source" in html_report(report)


def test_a_run_whose_signals_alone_traded_has_one_source_and_no_table(whole: tuple[Path, Any]) -> None:
    """The table appears only where more than one source traded."""
    facts = whole[1].facts
    alone = msgspec.structs.replace(facts, trades=[trade for trade in facts.trades if trade.model == "ensemble"])
    report = build_report(alone, RunStats(wall_s=1.0, bars_per_s=1.0, version="0"))
    assert [row["name"] for row in report["tables"]["per_source"]] == ["ensemble"]
    assert "Results by source" not in html_report(report)


def test_a_killed_run_with_intents_ends_as_an_uninterrupted_one(
    whole: tuple[Path, Any], file: IntentFile, tmp_path: Path
) -> None:
    """kill -9 at random moments and continued: the same bytes, each intent once."""
    chance = random.Random(3)
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), file.path], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.uniform(0.3, 1.2))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    run(settings(), RunOptions(state_dir=tmp_path, intents=file))
    assert (tmp_path / "records.jsonl").read_bytes() == (whole[0] / "records.jsonl").read_bytes()


def test_a_saved_run_refuses_another_file_of_intents(
    whole: tuple[Path, Any], file: IntentFile, tmp_path: Path
) -> None:
    """Other intents, or none, would continue another run: refused, and nothing changes."""
    before = (whole[0] / "records.jsonl").read_bytes()
    other = read_intents(written(tmp_path / "other.jsonl", file.intents[:-1]))
    for given in (other, None):
        with pytest.raises(StateError, match="other intents"):
            run(settings(), RunOptions(state_dir=whole[0], intents=given))
    assert (whole[0] / "records.jsonl").read_bytes() == before


def test_a_day_with_intents_run_again_from_the_journal_is_identical(whole: tuple[Path, Any]) -> None:
    """The records alone bring the intents back, byte for byte."""
    proof = journal_commands.replay(whole[0], DAY)
    assert proof.identical, proof.difference
    assert proof.inputs > 10


def test_a_subscriber_of_the_bus_can_answer_an_execution_with_an_intent() -> None:
    """What is published while the engine works is taken at the next close, as a received intent."""
    session = Run(settings("2018-01-01", "2018-01-20"), RunOptions())
    executed: list[Any] = []

    def answer(_: str, record: Any) -> None:
        executed.append(record)
        session.outside.bus.publish(TRADE_INTENT, intents_of("2018-01-01", "2018-01-03")[1])

    session.outside.bus.subscribe(TRADE_EXECUTED, answer)
    try:
        for ts_ns, ohlcv, present, _ in session.recording.chunks():
            for at, moment in enumerate(ts_ns.tolist()):
                session.driver.step(moment, ohlcv[at], present[at])
        counts = session.engine.records.tally.topics
    finally:
        session.close()
    assert len(executed) == counts["trade.executed"] > 0
    assert 0 < counts["intent.received"] <= len(executed)
    assert session.engine.shield.failures == 0


def test_a_run_over_the_local_venue_takes_the_intents_too(tmp_path: Path) -> None:
    """Two weeks over loopback: every intent received, and a source of them has trades."""
    start, end = "2018-01-01", "2018-01-14"
    given = read_intents(written(tmp_path / "intents.jsonl", intents_of(start, end)))
    state = tmp_path / "state"
    result = run_over_local_venue(settings(start, end), RunOptions(state_dir=state, intents=given))
    assert topics(state).count("intent.received") == len(given.intents)
    assert {"PILOT", "DESK"} & {trade.model for trade in result.facts.trades}


# ---------------------------------------------------------------------- the file


def row(**changes: Any) -> dict[str, Any]:
    """A line that is good but for *changes*; None takes a key out."""
    good = msgspec.to_builtins(Intent(
        intent_id="n1", trace_id="t1", symbol="BTCUSDT", side=Side.LONG, qty=0.1, reduce_only=False,
        reference_price=10_000.0, stop_price=9_900.0, leverage=3.0, created_ns=to_ns_of("2018-01-02"),
        expires_ns=to_ns_of("2018-01-02") + NS_PER_DAY, source="DESK", confidence=0.8,
    ))
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def to_ns_of(day: str) -> int:
    """Midnight of *day*."""
    from datetime import UTC, datetime

    return to_ns(datetime.fromisoformat(day).replace(tzinfo=UTC))


@pytest.mark.parametrize(("changes", "said"), [
    ({"qty": "much"}, "qty = 'much': expected `float`, got `str`"),
    ({"qty": -1.0}, "qty = -1.0: must be a positive number"),
    ({"quantity": 1.0}, "quantity = 1.0: is not a field of an intent"),
    ({"side": "UP"}, "side = 'UP': invalid enum value 'UP'"),
    ({"source": None}, "source: is missing"),
    ({"source": ""}, "source = '': is needed"),
    ({"source": "Ensemble"}, "source = 'Ensemble': is the name of the system's own signals"),
    ({"intent_id": "i00000001"}, "intent_id = 'i00000001': has the form of the system's own ids"),
    ({"confidence": 2.0}, "confidence = 2.0: is a probability"),
    ({"stop_price": -5.0}, "stop_price = -5.0: must be a finite number"),
    ({"expires_ns": 1}, "expires_ns = 1: must not be before created_ns"),
])
def test_a_bad_line_is_refused_with_file_line_key_and_value(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """The second line is bad: the message names it, and nothing is run."""
    path = written(tmp_path / "intents.jsonl", [row(intent_id="n0"), row(**changes)])
    result = CliRunner().invoke(app, ["run", "--intents", str(path)])
    assert result.exit_code == 2
    assert f"{path}: line 2: {said}" in result.stderr


def test_lines_that_are_no_json_and_ids_that_come_twice_are_refused(tmp_path: Path) -> None:
    """Text, a list, and the same id on two lines; an empty line is nothing."""
    path = tmp_path / "intents.jsonl"
    for content, said in ((b"no\n", "line 1: 'no': is not JSON"), (b"[1]\n", "line 1: [1]: is not an object")):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            read_intents(path)
        assert said in str(caught.value)
    written(path, [row(), row()])
    with pytest.raises(ConfigError, match=r"line 2: intent_id = 'n1': is that of line 1 too"):
        read_intents(path)
    path.write_bytes(b"\n" + msgspec.json.encode(row()) + b"\n\n")
    assert [intent.intent_id for intent in read_intents(path).intents] == ["n1"]
    with pytest.raises(ConfigError, match="cannot be read"):
        read_intents(tmp_path / "missing")


def test_a_symbol_that_is_not_in_the_run_is_named_with_those_that_are(tmp_path: Path) -> None:
    """The message says what to do; no state folder is begun."""
    path = written(tmp_path / "intents.jsonl", [row(symbol="DOGEUSDT")])
    state = tmp_path / "state"
    for words in (["run", "--state", str(state)], ["sweep", "--profiles", "SAFE"]):
        result = CliRunner().invoke(app, [*words, "--intents", str(path), "--to", "2017-10-02"])
        assert result.exit_code == 2
        assert "line 1: symbol = 'DOGEUSDT': is not in this run, which has BTCUSDT" in result.stderr
    assert not state.exists()


def test_intents_from_before_the_run_are_left_out_and_the_report_says_so(tmp_path: Path) -> None:
    """They are of a market that the run has not seen; giving them at its first close would be another trade."""
    given = read_intents(written(tmp_path / "intents.jsonl", [row(), row(intent_id="n2", created_ns=1, expires_ns=2)]))
    assert [one.intent_id for one in given.of_run(("BTCUSDT",), to_ns_of("2018-01-01"))] == ["n1"]
    said = given.statement(to_ns_of("2018-01-01"), to_ns_of("2018-02-01"))
    assert "1 of 2 outside intents lie in the time of this run" in said
    assert said.endswith("1 lie before or after it and are left out")


def test_a_sweep_counts_the_intents_apart(file: IntentFile) -> None:
    """--json has one row a source, and the decisions of a setting are those of its signals."""
    result = CliRunner().invoke(app, [
        "sweep", "--model", "intraday-demo", "--profiles", "STANDARD", "--from", SPAN[0], "--to", SPAN[1],
        "--splits", "0", "--intents", file.path,
        "--json",
    ])
    assert result.exit_code == 0, result.output
    told = msgspec.json.decode(result.stdout)
    (setting,) = told["settings"]
    rows = {one["source"]: one for one in setting["sources"]}
    assert set(rows) == {"ensemble", "PILOT", "DESK"}
    assert sum(setting["decisions"].values()) == told["data"]["signals"]
    assert sum(sum(rows[name]["decisions"].values()) for name in ("PILOT", "DESK")) == len(file.intents)
    assert sum(one["trades"] for one in rows.values()) == setting["trades"]
    assert told["data"]["intents"] == file.fingerprint
    shown = CliRunner().invoke(app, [
        "sweep", "--model", "intraday-demo", "--profiles", "STANDARD", "--from", SPAN[0], "--to", SPAN[1],
        "--splits", "0", "--intents", file.path,
    ])
    assert "Results by source" in shown.stdout
    assert "PILOT" in shown.stdout


# ---------------------------------------------------------------------- a running process


def request(**changes: Any) -> IntentRequest:
    """A person's request for a small long."""
    fields: dict[str, Any] = {
        "intent_id": "PERSON-1", "symbol": "BTCUSDT", "side": Side.LONG, "qty": 0.01, "stop_price": 0.0,
        "leverage": 5.0, "closes": False, "source": "PERSON", "confidence": 1.0, "ttl_s": 30.0, "actor": "me",
        "ts_ns": 1_700_000_000_000_000_000,
    }
    return IntentRequest(**(fields | changes))


def test_the_command_hands_an_intent_to_a_running_live_process(tmp_path: Path) -> None:
    """`intent` writes a private file; at the next tick it is an input with the newest close as its price."""
    with live_run(tmp_path) as live:
        result = CliRunner().invoke(app, [
            "intent", "--state", str(tmp_path), "--symbol", "btcusdt", "--side", "short", "--qty", "0.01", "--stop",
            "10010", "--source", "RL", "--ttl", "60", "--json",
        ])
        assert result.exit_code == 0, result.output
        (received,) = live._received_intents()
        assert live._received_intents() == []
    told = msgspec.json.decode(result.stdout)
    intent = received.intent
    assert (intent.intent_id, intent.symbol, intent.side) == (told["intent_id"], "BTCUSDT", Side.SHORT)
    assert intent.source == "RL"
    assert intent.expires_ns - intent.created_ns == 60_000_000_000
    assert (tmp_path / "intents.jsonl").stat().st_mode & 0o777 == 0o600


def test_an_intent_of_the_bus_is_an_input_of_the_live_session(tmp_path: Path) -> None:
    """Published, written to the input log, answered by the engine: nothing opens before the session has begun."""
    with live_run(tmp_path) as live:
        failed: list[Any] = []
        live.outside.bus.subscribe("trade.failed", lambda _, record: failed.append(record))
        live.outside.bus.publish(TRADE_INTENT, request().intent(10_000.0))
        for event in live._received_intents():
            live.driver.tell(event)
        assert [decode_input(entry).intent.intent_id for entry in live.log.since(None)] == ["PERSON-1"]
        assert live.engine.records.tally.topics["intent.received"] == 1
        assert [record.data["reason"] for record in failed] == ["WARM_UP"]
        assert live.session.shield.failures == 0


def test_a_request_that_was_an_input_before_a_kill_is_not_taken_again(tmp_path: Path) -> None:
    """The process dies after the input was written and before a checkpoint: the next one knows it."""
    with live_run(tmp_path) as live:
        live.recover()
        live.session.checkpoint()
        request_intent(tmp_path, request(closes=True))
        for event in live._received_intents():
            live.session.apply(event)
    with live_run(tmp_path) as again:
        assert again.recover() == 1
        assert again._received_intents() == []
        request_intent(tmp_path, request(intent_id="PERSON-2", closes=True))
        assert [event.intent.intent_id for event in again._received_intents()] == ["PERSON-2"]


def test_a_running_replay_takes_an_intent_from_its_folder(tmp_path: Path) -> None:
    """A pace stands for the person: the intent is recorded at the next close, once."""
    state = tmp_path / "state"
    seen = [0]

    def pace(_: int) -> None:
        seen[0] += 1
        if seen[0] == 500:
            request_intent(state, request())

    run(settings("2018-01-01", "2018-01-14"), RunOptions(state_dir=state), pace=pace)
    assert topics(state).count("intent.received") == 1


def test_sizes_are_made_of_the_account_as_it_is_and_the_journal_repeats_them_byte_for_byte(tmp_path: Path) -> None:
    """Quote, shares of equity, margin and the risk: each is a quantity on record, and a replay needs no account."""
    state = tmp_path / "state"
    sizes = {
        400: {"sized_in": SizedIn.QUOTE, "qty": 500.0}, 430: {"closes": True, "qty": 0.0},
        500: {"sized_in": SizedIn.EQUITY_PCT, "qty": 4.0, "stop_pct": 2.0}, 530: {"closes": True, "qty": 0.0},
        600: {"sized_in": SizedIn.MARGIN_PCT, "qty": 2.0, "side": Side.SHORT, "stop_pct": 2.0},
        620: {"closes": True, "qty": 0.0, "side_only": True},  # a long, and the position is short
        630: {"closes": True, "qty": 0.0, "side_only": True, "side": Side.SHORT},
        650: {"sized_in": SizedIn.RISK, "qty": 0.0},
    }
    seen = [0]

    def pace(_: int) -> None:
        seen[0] += 1
        if changes := sizes.get(seen[0]):
            request_intent(state, request(intent_id=f"tv-{seen[0]}", source="tv", **changes))

    run(settings("2018-01-01", "2018-01-20"), RunOptions(state_dir=state), pace=pace)
    lines = [msgspec.json.decode(line) for line in (state / "records.jsonl").read_bytes().splitlines()]
    taken = {one["data"]["intent_id"]: one for one in lines if one["topic"] == "intent.received"}
    assert sorted(taken) == sorted(f"tv-{number}" for number in sizes if number != 620)
    data = {name: one["data"] for name, one in taken.items()}
    assert data["tv-400"]["qty"] * data["tv-400"]["reference_price"] == pytest.approx(500.0)
    share, margin = (data[name]["qty"] * data[name]["reference_price"] for name in ("tv-500", "tv-600"))
    assert share == pytest.approx(400.0, rel=0.2)  # of an account that began with 10,000
    assert margin == pytest.approx(2.5 * share, rel=0.1)  # 2 % at a leverage of 5
    assert data["tv-600"]["stop_price"] == pytest.approx(1.02 * data["tv-600"]["reference_price"])
    assert data["tv-650"]["qty"] > 10.0 * data["tv-500"]["qty"]
    traded = {one["data"]["intent_id"]: one["data"] for one in lines if one["topic"] == "trade.intent"}
    assert {"tv-400", "tv-650"} <= set(traded)  # the signals of the run hold the symbol at the other moments
    assert traded["tv-650"]["qty"] < data["tv-650"]["qty"]  # no more than the risk of a signal
    assert {one["data"]["model"] for one in lines if one["topic"] == "trade.closed"} >= {"tv"}
    days = sorted({one["ts_ns"] // NS_PER_DAY for one in taken.values()})
    for number in days:
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).date().isoformat()
        proof = journal_commands.replay(state, day)
        assert proof.identical, proof.difference


@pytest.mark.parametrize("reverses", [True, False])
def test_a_reversal_closes_first_and_opens_once_the_position_is_gone(
    reverses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two intents on record, one order to open; without the setting the position is closed and nothing opens."""
    monkeypatch.setattr("quantum_trader.app.runs.replay._LOOK_EVERY", 1)
    state = tmp_path / "state"
    seen = [0]
    sent = {
        417: request(intent_id="tv-1", source="tv", qty=500.0, sized_in=SizedIn.QUOTE),
        420: request(
            intent_id="tv-2", source="tv", qty=300.0, sized_in=SizedIn.QUOTE, side=Side.SHORT, reverses=reverses
        ),
    }

    def pace(_: int) -> None:
        seen[0] += 1
        if one := sent.get(seen[0]):
            request_intent(state, one)

    run(settings("2018-01-01", "2018-01-10"), RunOptions(state_dir=state), pace=pace)
    lines = [msgspec.json.decode(line) for line in (state / "records.jsonl").read_bytes().splitlines()]
    told = [
        (one["topic"], one["data"]["intent_id"]) for one in lines
        if one["topic"] in ("intent.received", "trade.intent", "trade.failed")
        and one["data"]["intent_id"].startswith("tv-")
    ]
    began = [("intent.received", "tv-1"), ("trade.intent", "tv-1")]
    if reverses:
        ended = [("intent.received", "tv-2-close"), ("intent.received", "tv-2"), ("trade.intent", "tv-2")]
    else:
        ended = [("intent.received", "tv-2"), ("trade.failed", "tv-2")]
    assert told == began + ended
    exits = [one["data"]["exit_reason"] for one in lines if one["topic"] == "trade.closed" and
             one["data"]["model"] == "tv"]
    assert exits[0] == ("INTENT" if reverses else "SIGNAL_FLIP")
    day = datetime.fromtimestamp(lines[-1]["ts_ns"] / 1e9, UTC).date().isoformat()
    assert journal_commands.replay(state, day).identical


def test_a_damaged_line_of_the_folder_is_passed_over(tmp_path: Path) -> None:
    """Half a line from a full disk is no intent; the next one is taken."""
    (tmp_path / "lock").touch()
    (tmp_path / "intents.jsonl").write_bytes(b'{"symbol":\n')
    request_intent(tmp_path, request())
    session = Run(settings("2018-01-01", "2018-01-02"), RunOptions())
    told: list[Intent] = []
    try:
        outside = OutsideIntents(session.outside.bus, session.engine, told.append, lambda: 0, tmp_path)
        assert outside.poll() == 2
    finally:
        session.close()
    assert [intent.intent_id for intent in told] == ["PERSON-1"]


@pytest.mark.parametrize(("words", "said"), [
    (["--side", "up"], "--side 'up': must be LONG or SHORT"),
    (["--qty", "nan"], "--qty nan: must be at least 0"),
    (["--leverage", "0.5"], "--leverage 0.5: must be at least 1"),
    (["--confidence", "2"], "--confidence 2: must be at least 0 and at most 1"),
    ([], "--qty: is needed to open a position"),
    (["--qty", "1"], "no process runs on it"),
    (["--qty", "1", "--source", "ensemble"], "no process runs on it"),
])
def test_the_command_refuses_what_cannot_be_meant(words: list[str], said: str, tmp_path: Path) -> None:
    """Exit code 2, one line, and nothing is written."""
    (tmp_path / "lock").touch()
    result = CliRunner().invoke(app, ["intent", "--state", str(tmp_path), "--symbol", "BTCUSDT", *words])
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "intents.jsonl").exists()
