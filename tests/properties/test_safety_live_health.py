"""What must always hold (spec 2, section 5) on the live road, lines 13 and 14; ``mutations.py`` breaks each on purpose.

13: health means progress, not existence. 14: what is lost is counted, shown and alarmed.
"""

from __future__ import annotations

import asyncio
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.journal.records import decision, fill, record_line
from tests.live.live_world import MINUTE, SYMBOL, World, orders
from tests.properties.live_road import ETH, Road, live_run, refusal
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.input_log import FileInputLog
from quantum_trader.app.runs.journal_sink import LiveSink
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, bind_folder
from quantum_trader.app.runs.state_dir import RecordFile, StateDir
from quantum_trader.app.runs.status import LiveStatus, folder_status, write_status
from quantum_trader.domain.enums import GOV_CAUTIOUS, GOV_DEFENSIVE, GOV_EMERGENCY, GOV_NORMAL
from quantum_trader.domain.errors import StateError, VenueUnavailable
from quantum_trader.domain.trading import Fill
from quantum_trader.lab.simulation.schedule import Kind
from quantum_trader.live.inputs import IntentReceived
from quantum_trader.live.timing import HealthReport

NOW = 1_700_000_000_000_000_000
LOCAL = LiveSettings(mode=LiveMode.LOCAL, address="http://127.0.0.1:1")
FINE = LiveStatus(
    written_ns=NOW - 1_000_000_000, pid=os.getpid(), started_ns=NOW - 60_000_000_000, mode="LOCAL", endpoint="local",
    market_up=True, user_up=True,
)


async def unreachable(*_: Any) -> Any:
    """What a question meets while the venue is out of reach."""
    raise VenueUnavailable("out of reach")


def problems(folder: Path, **changes: Any) -> tuple[str, ...]:
    """The problems of a living process that says *changes* of itself."""
    bound = StateDir(folder)
    try:
        bind_folder(folder, LOCAL)
        write_status(folder, msgspec.structs.replace(FINE, **changes))
        return folder_status(folder, NOW).problems
    finally:
        bound.close()


# ---------------------------------------------------------------------- 13. health means progress


def test_13_a_start_that_is_stuck_says_on_what(world: World) -> None:
    """The account stream is silent and the account cannot be read: not ready, waits_for is set, nothing opens."""
    road = Road(world)
    road.wire.down_until["user"] = 1e9
    road.venue.get_positions = unreachable  # type: ignore[method-assign]

    async def script() -> HealthReport:
        await asyncio.sleep(400.0)
        assert refusal(world, "x1") == "DISCONNECTED"
        return road.driver.health()

    health = road.run(script, ready=False)
    assert (health.ready, health.user_up) == (False, False)
    assert health.waits_for == "the first comparison with the venue"


def test_13_a_silent_stream_is_asked_for_its_bars(world: World) -> None:
    """The socket is up and says nothing: the bars that are due are fetched, each minute is decided on."""
    road = Road(world)
    before = world.now_ns

    async def script() -> HealthReport:
        road.carries = lambda stream, message: stream != "market"
        await asyncio.sleep(300.0)
        return road.driver.health()

    health = road.run(script)
    assert health.market_up
    assert world.now_ns - before >= 4 * MINUTE
    assert road.driver.counts["repairs"] >= 4


def test_13_bars_that_are_overdue_raise_the_governor(world: World) -> None:
    """No bar arrives and none can be fetched: CAUTIOUS, DEFENSIVE, EMERGENCY as the lag grows; health shows it."""
    road = Road(world)

    async def script() -> list[tuple[int, bool]]:
        road.carries = lambda stream, message: stream != "market"
        road.venue.get_klines = unreachable  # type: ignore[method-assign]
        due = road.driver.timing.bar_wait_s + 60.0 - road.loop.time()
        await asyncio.sleep(due)
        told = []
        for wait in (4.0, 5.0, 25.0, 270.0):
            await asyncio.sleep(wait)
            told.append((int(world.engine.account.governor[0]), road.driver.health().lag_s > 0.0))
        return told

    told = road.run(script)
    assert told == [(GOV_NORMAL, True), (GOV_CAUTIOUS, True), (GOV_DEFENSIVE, True), (GOV_EMERGENCY, True)]
    assert refusal(world, "x1") == "GOVERNOR"


@pytest.mark.parametrize(("queue", "level"), [((0.96, False), GOV_DEFENSIVE), ((0.1, True), GOV_EMERGENCY)])
def test_13_a_queue_that_fills_raises_the_governor(world: World, queue: tuple[float, bool], level: int) -> None:
    """The queue is nearly full, or its monitor reports critical; the health report shows the fill."""
    filling = [(0.0, False)]
    road = Road(world, queue=lambda: filling[0])

    async def script() -> float:
        filling[0] = queue
        await asyncio.sleep(1.5)
        return road.driver.health().queue_fill

    assert road.run(script) == queue[0]
    assert int(world.engine.account.governor[0]) == level


def test_13_a_difference_that_lasts_is_told_with_its_age(world: World) -> None:
    """Seen once, and since then the account cannot be read: the time goes on."""
    road = Road(world)

    async def script() -> float:
        road.strike(Kind.MANUAL_OPEN, on=SYMBOL, value=0.05)
        road.exchange.fills.clear()
        road.carries = lambda stream, message: stream != "user"
        await road.until(lambda: world.engine.reconciler.since_ns, 90.0)
        road.venue.get_cash_balance = unreachable  # type: ignore[method-assign]
        await asyncio.sleep(600.0)
        return road.driver.health().unreconciled_s

    assert 590.0 < road.run(script) < 620.0


def test_13_an_account_that_cannot_be_read_is_not_reconciled(world: World) -> None:
    """Every look fails for ten minutes: that long books and venue were not found equal."""
    road = Road(world)

    async def script() -> float:
        await asyncio.sleep(5.0)
        road.venue.get_cash_balance = unreachable  # type: ignore[method-assign]
        await asyncio.sleep(600.0)
        return road.driver.health().unreconciled_s

    assert road.run(script) > 500.0


def test_13_a_lost_account_stream_is_told_and_raises_the_governor(world: World) -> None:
    """Down for longer than a moment: DEFENSIVE, nothing opens; up again, openings go on by themselves."""
    road = Road(world)

    async def script() -> None:
        road.wire.down_until["user"] = road.loop.time() + 20.0
        road.venue.disconnect("user", 20.0)
        await asyncio.sleep(10.0)
        assert not road.driver.health().user_up
        assert int(world.engine.account.governor[0]) == GOV_DEFENSIVE
        assert refusal(world, "x1") == "DISCONNECTED"
        await asyncio.sleep(15.0)
        assert road.driver.health().user_up
        assert refusal(world, "x2") == ""

    road.run(script)


def test_13_the_last_event_and_every_tick_are_told(world: World) -> None:
    """The report says when the venue was last heard of the account, and comes each second while the loop turns."""
    reports: list[HealthReport] = []
    road = Road(world, report=reports.append)

    async def script() -> None:
        await road.opened()
        await asyncio.sleep(20.0)

    road.run(script)
    (filled,) = road.exchange.fills
    assert 20 <= len(reports) <= 22
    assert filled.ts_ns <= reports[-1].last_event_ns < filled.ts_ns + 10**9
    assert all(later.ts_ns > earlier.ts_ns for earlier, later in pairwise(reports))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"written_ns": NOW - 60_000_000_000}, "wrote no status for 60 s"), ({"lag_s": 9.0}, "lag 9.0 s"),
        ({"market_up": False}, "market stream is down"), ({"user_up": False}, "account stream is down"),
        ({"queue_fill": 0.97}, "97% full"), ({"unreconciled_s": 400.0}, "not matched the exchange for 400 s"),
        ({"differences": ("WALLET",)}, "books and exchange differ"), ({"dropped_events": 3}, "3 events were lost"),
    ],
)
def test_13_process_up_is_not_health(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """A living process that does not progress is a problem, each in words."""
    assert problems(tmp_path) == ()
    assert told in "\n".join(problems(tmp_path, **changes))


def test_13_a_start_that_is_stuck_is_a_problem(tmp_path: Path) -> None:
    """Ten minutes and not trading yet."""
    assert problems(tmp_path, stage="starting", started_ns=NOW - 600_000_000_000) != ()


# ---------------------------------------------------------------------- 14. counted, shown, alarmed


class FullDisk(RecordFile):
    """A record file whose disk is full while *full* is set."""

    full = False

    def append(self, line: bytes, topic: str = "", ts_ns: int = 0) -> None:
        """Append, unless the disk is full."""
        if self.full:
            raise StateError("no space left on device")
        super().append(line, topic, ts_ns)


def test_14_records_that_cannot_be_written_are_counted_and_stop_openings(tmp_path: Path) -> None:
    """They wait in order; beyond what can wait each is counted as lost; no checkpoint says that all is well."""
    records = FullDisk(tmp_path / "records.jsonl", 0)
    sink = LiveSink(tmp_path, records, 0, most=2)
    lines = [record_line("order.filled", fill(n), n) for n in range(5)]
    sink.append(lines[0], "order.filled", 0)
    size, records.full = records.size, True
    for number in range(1, 5):
        sink.append(lines[number], "order.filled", number)
    assert (sink.waiting, sink.lost, records.size) == (2, 2, size)
    records.full = False
    with pytest.raises(StateError, match="2 were lost"):
        sink.sync()
    sink.close()


@pytest.mark.parametrize("what", ["records", "inputs", "frames"])
def test_14_what_was_lost_is_shown(what: str, tmp_path: Path) -> None:
    """Lost records, unwritten inputs and unreadable frames are counted in the process's status."""
    with live_run(tmp_path) as run:
        if what == "records":
            run.records.lost = 3
        elif what == "inputs":
            run.session.unwritten_inputs = 3
        else:
            run.driver.counts["Unreadable"] = 3
        status = run.status(run.driver.health())
        run.records.lost = 0
    assert status.dropped_events == 3


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (2, 1)])
def test_14_what_was_lost_is_alarmed(lost: int, code: int, tmp_path: Path) -> None:
    """`status` of a process that is well otherwise ends with 1 and says it in a line of its own."""
    held = StateDir(tmp_path)
    bind_folder(tmp_path, LOCAL)
    write_status(tmp_path, msgspec.structs.replace(FINE, written_ns=time.time_ns(), dropped_events=lost))
    result = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    held.close()
    assert result.exit_code == code, result.output
    assert (f"PROBLEM      {lost} events were lost" in result.stdout) is bool(lost)
    assert f"{lost} events lost" in result.stdout


def test_14_a_batch_that_failed_is_not_counted_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write of an input: an error, the place behind the last whole one, and nothing of it is read back."""
    log = FileInputLog(tmp_path / "inputs")
    log.append(b"whole")
    mark, write = log.mark(), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, block: write(descriptor, block[:-3]))
    with pytest.raises(StateError, match="nothing opens until it can"):
        log.append(b"cut in the middle")
    monkeypatch.undo()
    assert log.mark() == mark
    log.append(b"after")
    assert log.since(None) == [b"whole", b"after"]
    log.close()


def test_14_a_checkpoint_that_failed_is_not_counted_as_saved(world: World) -> None:
    """What must be durable before it could not be: False, the reason is kept, the one before stands, nothing opens."""
    world.session.checkpoint()
    before = world.store.content

    def full() -> dict[str, Any]:
        raise StateError("2 records wait")

    world.session.more_state = full
    world.tell(IntentReceived(ts_ns=world.now_ns, intent=world.intent("x1")))
    assert world.session.checkpoint() is False
    assert world.session.checkpoint_error == "2 records wait"
    assert world.store.content == before
    assert refusal(world, "x2", **ETH) == "KILL_SWITCH"


def test_14_an_input_that_could_not_be_written_is_counted_and_stops_openings(world: World) -> None:
    """It is acted on where it reduces risk, and no opening goes out that is not on disk."""
    world.opened()
    world.log.full = True
    assert refusal(world, "x2", **ETH) == "KILL_SWITCH"
    assert len(orders(world.wish("x3", reduce_only=True))) == 1
    assert world.session.unwritten_inputs == 2


def test_14_a_lost_message_of_the_account_is_made_up_for(world: World) -> None:
    """The fill is never told by the stream: it is asked for and booked once, and the one told twice is counted."""
    road = Road(world)
    dropped: list[Any] = []

    def carries(stream: str, message: tuple[Any, ...]) -> bool:
        if any(isinstance(event, Fill) for event in message) and not dropped:
            dropped.append(message)
            return False
        return True

    async def script() -> None:
        road.carries = carries
        await road.opened()
        road.venue.deliver("user", dropped[0])  # it comes after all
        await asyncio.sleep(70.0)

    road.run(script)
    assert road.held() == {SYMBOL: 0.01}
    assert world.engine.account.books.positions[SYMBOL].qty == 0.01
    assert road.driver.counts["repeated"] >= 1
    assert not world.engine.halts.held


def test_14_a_decision_from_its_future_is_lost_and_counted(tmp_path: Path) -> None:
    """It is not put on record, and what is missing there is counted."""
    sink = LiveSink(tmp_path, RecordFile(tmp_path / "records.jsonl", 0), 0)
    sink.append(record_line("signal.decided", decision(features_ts_ns=NOW + 4)), "signal.decided", NOW)
    assert (sink.lost, sink.waiting, sink.size) == (1, 0, 0)
    assert "after the decision" in sink.trouble
    sink.close()
