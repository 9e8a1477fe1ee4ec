"""The training daemon, with a clock that is a number: when it trains, on what, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("jax", reason="training needs JAX: pip install 'quantum-trader[train]'")

from quantum_trader.app.runs.journal_bars import journal_recording
from quantum_trader.app.runs.pilot_daily import DailyClock, DailyTraining, last_training
from quantum_trader.app.runs.pilot_schedule import minutes_of, next_time_ns
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND, to_ns
from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.domain.records import Record
from quantum_trader.engine.facts import BarsRecord, RunStarted
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.pilot.training_checkpoint import CHECKPOINT_FILE
from quantum_trader.lab.pilot.training_result import RESULT_FILE
from quantum_trader.market.recording import open_recording

NOON_NS = to_ns(datetime(2024, 3, 1, 12, tzinfo=UTC))
SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Time:
    """A clock that waiting moves on; it is stopped after so many waits of a daemon."""

    def __init__(self, waits: int = 10_000) -> None:
        self.now_ns, self.waits = NOON_NS, waits

    def wait(self, seconds: float) -> bool:
        """Let *seconds* pass; true once it is stopped."""
        self.waits -= 1
        self.now_ns += round(seconds * NS_PER_SECOND)
        return self.waits < 0

    @property
    def clock(self) -> DailyClock:
        """As the daemon takes it."""
        return DailyClock(lambda: self.now_ns, self.wait)


class Trainings:
    """Stands for training: notes where and until when, takes an hour, and then does what *outcomes* say in turn."""

    def __init__(self, time: Time, *outcomes: Any) -> None:
        self.time, self.outcomes, self.calls = time, list(outcomes), list[tuple[str, str]]()

    def __call__(self, folder: Path, until_ns: int) -> Any:
        self.calls.append((folder.name, datetime.fromtimestamp(until_ns / 1e9, UTC).isoformat()))
        self.time.now_ns += NS_PER_HOUR
        outcome = self.outcomes.pop(0) if self.outcomes else "trained"
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "stopped":
            (folder / CHECKPOINT_FILE).write_bytes(b"begun")
            return None
        (folder / RESULT_FILE).write_bytes(b"{}")
        return object()


def daemon(state: Path, time: Time, *outcomes: Any) -> tuple[DailyTraining, Trainings, list[str]]:
    """A daemon on *state*, its trainings and what it tells."""
    told: list[str] = []
    trainings = Trainings(time, *outcomes)
    return DailyTraining(state, trainings, told.append, time.clock), trainings, told


@pytest.mark.parametrize(("text", "minutes"), [("00:00", 0), ("13:30", 810), (" 23:59 ", 1439)])
def test_times_of_the_day_are_read(text: str, minutes: int) -> None:
    """In minutes since midnight."""
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["24:00", "7:00", "12:60", "noon", "", "12"])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    """The error shows how to write one."""
    with pytest.raises(ConfigError, match=r"--at .*: must be a time of the day in UTC, such as 00:00"):
        minutes_of(text)


def test_the_next_time_is_today_or_tomorrow() -> None:
    """At noon: 13:00 is today, 11:00 and 12:00 itself are tomorrow."""
    hours = [(next_time_ns(NOON_NS, minutes) - NOON_NS) // NS_PER_HOUR for minutes in (13 * 60, 11 * 60, 12 * 60)]

    assert hours == [1, 23, 24]


def test_it_trains_every_day_at_its_time(tmp_path: Path) -> None:
    """Three midnights, each on the bars until then, each in a folder of its date; waits are at most a minute long."""
    time = Time(waits=(12 + 23 + 23 + 23) * 60 - 5)
    daily, trainings, told = daemon(tmp_path, time)
    daily.serve(0)

    assert trainings.calls == [
        (f"2024-03-0{day}", f"2024-03-0{day}T00:00:00+00:00") for day in (2, 3, 4)
    ]
    assert told[0] == "the next training is at 2024-03-02T00:00:00Z"
    assert "training in 2024-03-02 trained" in told


def test_a_failure_is_told_and_ends_nothing(tmp_path: Path) -> None:
    """It stands in last.json and in the journal, and the next day is trained."""
    (tmp_path / "journal").mkdir(mode=0o700)
    time = Time(waits=(12 + 23 + 10) * 60)
    daily, trainings, told = daemon(tmp_path, time, DataError("no bars"), RuntimeError("out of memory"))
    daily.serve(0)

    assert [name for name, _ in trainings.calls] == ["2024-03-02", "2024-03-03"]
    assert "training in 2024-03-02 failed: no bars" in told
    last = last_training(tmp_path)
    assert last is not None
    assert (last.folder, last.outcome, last.reason) == ("2024-03-03", "failed", "out of memory")
    assert last.ended_ns - last.started_ns == NS_PER_HOUR
    reasons = Lake(tmp_path / "journal").sql("select session_id, reason from trainings order by seq").to_pylist()
    assert reasons == [
        {"session_id": "pilot-2024-03-02", "reason": "failed: no bars"},
        {"session_id": "pilot-2024-03-03", "reason": "failed: out of memory"},
    ]


def test_an_interrupted_training_goes_on_with_the_same_bars(tmp_path: Path) -> None:
    """The daemon is stopped in a training; started later, it goes on in the same folder until the same time."""
    time = Time()
    daily, trainings, _ = daemon(tmp_path, time, "stopped")
    daily.serve(0)
    assert last_training(tmp_path).outcome == "stopped"  # type: ignore[union-attr]
    time.now_ns += 5 * NS_PER_HOUR
    time.waits = 10
    daily, again, _ = daemon(tmp_path, time)
    daily.serve(0)

    assert trainings.calls == again.calls == [("2024-03-02", "2024-03-02T00:00:00+00:00")]


def test_once_trains_now_and_again_in_another_folder(tmp_path: Path) -> None:
    """Until this moment; a second time on the same day gets a number; an interrupted one goes on first."""
    time = Time()
    daily, trainings, _ = daemon(tmp_path, time, "trained", "stopped", "trained", "trained")
    outcomes = [daily.once().outcome for _ in range(4)]

    assert outcomes == ["trained", "stopped", "trained", "trained"]
    assert trainings.calls == [
        ("2024-03-01", "2024-03-01T12:00:00+00:00"), ("2024-03-01-2", "2024-03-01T13:00:00+00:00"),
        ("2024-03-01-2", "2024-03-01T13:00:00+00:00"), ("2024-03-01-3", "2024-03-01T15:00:00+00:00"),
    ]


def test_once_begins_anew_where_the_last_training_failed(tmp_path: Path) -> None:
    """A training whose figures break does so each time it goes on: a job of every night trains on new bars instead."""
    time = Time()
    daily, trainings, _ = daemon(tmp_path, time, "stopped", StateError("a figure is not a finite number"))
    assert [daily.once().outcome for _ in range(3)] == ["stopped", "failed", "trained"]
    assert [name for name, _ in trainings.calls] == ["2024-03-01", "2024-03-01", "2024-03-01-2"]


def test_an_old_training_that_failed_is_not_gone_on_with(tmp_path: Path) -> None:
    """Once a newer one is done: the folder of the eleventh training of a day is newer than that of the second."""
    time = Time()
    daily, trainings, _ = daemon(tmp_path, time, "stopped", *["trained"] * 11)
    assert daily.once().outcome == "stopped"
    (tmp_path / "pilots" / "2024-02-28").mkdir()
    (tmp_path / "pilots" / "2024-02-28" / CHECKPOINT_FILE).write_bytes(b"begun")
    for _ in range(11):
        time.now_ns = NOON_NS
        assert daily.once().outcome == "trained"

    assert [name for name, _ in trainings.calls] == ["2024-03-01", "2024-03-01", *(
        f"2024-03-01-{number}" for number in range(2, 12)
    )]


def test_without_a_daemon_nothing_is_known_of_a_training(tmp_path: Path) -> None:
    """None, also where the file is damaged."""
    assert last_training(tmp_path) is None
    (tmp_path / "pilots").mkdir()
    (tmp_path / "pilots" / "last.json").write_text("{")
    assert last_training(tmp_path) is None


def logged_bars(folder: Path, rows: Callable[[Any], None], interval_ns: int) -> None:
    """A journal with a run of two symbols whose bars *rows* logs."""
    with EventLogger(folder / "journal", "engine", ring_bytes=1 << 20) as logger:
        def note(topic: str, ts_ns: int, data: Any) -> None:
            line = msgspec.json.encode(Record(
                seq=1, event_id="e", topic=topic, trace_id="", ts_ns=ts_ns, received_ns=ts_ns, source="engine",
                schema=1, data=data,
            ))
            logger.log_checked_line(topic, ts_ns, line)

        note("run.started", 0, RunStarted(symbols=list(SYMBOLS), interval_ns=interval_ns))
        rows(lambda ts_ns, symbols, ohlcv: note(
            "market.bar", ts_ns, BarsRecord(symbols=symbols, ohlcv=ohlcv, received_ns=ts_ns)
        ))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose journal has twelve days of two symbols, in records as a live run writes them."""
    folder = tmp_path_factory.mktemp("journal")
    recording = open_recording(None, None, SYMBOLS, "2018-03-01", "2018-03-12")
    chunk = recording.arrays()

    def rows(note: Any) -> None:
        for ts_ns, ohlcv, present in zip(chunk.ts_ns.tolist(), chunk.ohlcv, chunk.present, strict=True):
            names = [symbol for symbol, there in zip(SYMBOLS, present, strict=True) if there]
            note(ts_ns + recording.interval_ns, names, ohlcv[present].tolist())

    logged_bars(folder, rows, recording.interval_ns)
    return folder


def test_the_bars_of_a_journal_are_those_of_the_recording(run_folder: Path) -> None:
    """To the bit, as far as they closed by then, and nothing is left to be told."""
    told: list[str] = []
    expected = open_recording(None, None, ("BTCUSDT", "ETHUSDT"), "2018-03-01", "2018-03-06").arrays()
    until_ns = to_ns(datetime(2018, 3, 7, tzinfo=UTC))

    found = journal_recording(run_folder, until_ns, None, told.append)

    chunk = found.arrays()
    assert found.symbols == ("BTCUSDT", "ETHUSDT")
    assert found.interval == "30m"
    assert np.array_equal(chunk.ts_ns, expected.ts_ns)
    assert np.array_equal(chunk.ohlcv, expected.ohlcv, equal_nan=True)
    assert told == []


def test_the_symbols_of_a_journal_are_chosen_in_order(run_folder: Path) -> None:
    """As asked for; one that it does not have is refused with those it has."""
    until_ns = to_ns(datetime(2018, 3, 7, tzinfo=UTC))
    both = journal_recording(run_folder, until_ns, ("ETHUSDT", "BTCUSDT"))
    one = journal_recording(run_folder, until_ns, ("ETHUSDT",))

    assert both.symbols == ("ETHUSDT", "BTCUSDT")
    assert np.array_equal(both.arrays().ohlcv[:, 0], one.arrays().ohlcv[:, 0], equal_nan=True)
    with pytest.raises(DataError, match=r"no bars of XRPUSDT until 2018-03-07T00:00:00Z; there are BTCUSDT, ETHUSDT"):
        journal_recording(run_folder, until_ns, ("BTCUSDT", "XRPUSDT"))


def test_a_journal_without_bars_is_refused(run_folder: Path, tmp_path: Path) -> None:
    """None yet, no run, no journal."""
    with pytest.raises(DataError, match=r"holds no bars until 2018-02-01T00:00:00Z; wait until some have come"):
        journal_recording(run_folder, to_ns(datetime(2018, 2, 1, tzinfo=UTC)))
    with pytest.raises(StateError, match="there is no journal"):
        journal_recording(tmp_path, 0)
    (tmp_path / "journal").mkdir()
    with pytest.raises(DataError, match="no trader has begun in it"):
        journal_recording(tmp_path, 0)


def test_bars_that_came_twice_count_once_and_bad_ones_not(tmp_path: Path) -> None:
    """A symbol that came later than the other; the first of two of the same; a high below its low."""
    good, other = [10.0, 11.0, 9.0, 10.5, 1.0], [20.0, 21.0, 19.0, 20.5, 2.0]

    def rows(note: Any) -> None:
        note(1 * NS_PER_HOUR, ["BTCUSDT"], [good])
        note(1 * NS_PER_HOUR, ["ETHUSDT"], [other])
        note(2 * NS_PER_HOUR, ["BTCUSDT", "ETHUSDT"], [good, [20.0, 18.0, 19.0, 20.5, 2.0]])
        note(2 * NS_PER_HOUR, ["BTCUSDT"], [other])

    logged_bars(tmp_path, rows, NS_PER_HOUR)
    told: list[str] = []
    chunk = journal_recording(tmp_path, 9 * NS_PER_HOUR, None, told.append).arrays()

    assert chunk.ts_ns.tolist() == [0, NS_PER_HOUR]
    assert chunk.ohlcv[:, 0].tolist() == [good, good]
    assert chunk.ohlcv[0, 1].tolist() == other
    assert chunk.present.tolist() == [[True, True], [True, False]]
    assert told == [
        "1 bars of the journal are no bars and are left out, as in trading",
        "1 bars stand in the journal more than once; the first of each counts",
    ]
