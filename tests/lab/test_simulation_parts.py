"""The parts of the simulation alone: virtual time, network, exchange, deadlines, disk, schedules and shrinking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import InputError, OutcomeUnknown, StateError, VenueError, VenueUnavailable
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest
from quantum_trader.engine.venue_port import Kline, LeverageChanged, StreamEvent, StreamState
from quantum_trader.lab.simulation.client_faults import CLIENT_FAULTS
from quantum_trader.lab.simulation.deadlines import Bounds, Disruptions
from quantum_trader.lab.simulation.disk import Disk, MemoryLog, MemoryStore
from quantum_trader.lab.simulation.exchange import SimulatedExchange
from quantum_trader.lab.simulation.exchange_faults import EXCHANGE_FAULTS
from quantum_trader.lab.simulation.loop import Deadlock, Livelock, VirtualLoop, new_loop, run_virtual
from quantum_trader.lab.simulation.market import BarsBefore
from quantum_trader.lab.simulation.network import RECEIVE_WINDOW_S, TIMEOUT_S, SimulatedVenue, WireFaults
from quantum_trader.lab.simulation.schedule import (
    CLIENT_MAKERS,
    MAKERS,
    MESSAGE_FAULTS,
    REQUEST_FAULTS,
    Fault,
    Kind,
    Schedule,
    decode,
    encode,
    generate,
    tally,
    with_other_clients,
)
from quantum_trader.lab.simulation.shrink import shrink
from quantum_trader.live.timing import LiveTiming
from quantum_trader.market.instruments import known_instruments

SYMBOL = "BTCUSDT"
BAR_NS = 1800 * 10**9
START_NS = 1_600_000_000 * 10**9 // BAR_NS * BAR_NS


class Place:
    """An exchange with one symbol standing at 10,000, and a connection to it."""

    def __init__(self, bars: int = 4, before: BarsBefore | None = None) -> None:
        self.loop: VirtualLoop = new_loop()
        ohlcv = np.tile(np.array([10_000.0, 10_000.0, 10_000.0, 10_000.0, 50.0]), (bars, 1, 1))
        self.exchange = SimulatedExchange(
            self.loop, [known_instruments()[SYMBOL]], ohlcv, START_NS, BAR_NS, 10_000.0, Random(1),
            before=before,
        )
        self.wire = WireFaults(Random(2))
        self.exchange.struck = self.wire.strike
        self.venue = SimulatedVenue(self.loop, self.exchange, self.wire, self.exchange.now_ns)
        self.exchange.publish = self.venue.deliver
        self.received: list[StreamEvent] = []

    def run(self, script: Callable[[], Awaitable[Any]]) -> Any:
        """Run *script* while the stream is read."""

        async def read() -> None:
            async for event in self.venue.stream(BAR_NS):
                self.received.append(event)

        async def main() -> Any:
            reader = asyncio.ensure_future(read())
            await asyncio.sleep(0)
            result = await script()
            await asyncio.sleep(60.0)
            await self.venue.close()
            await reader
            return result

        return run_virtual(main(), self.loop)


def order(number: int, side: OrderSide = OrderSide.BUY, qty: float = 0.1, **more: Any) -> OrderRequest:
    return OrderRequest(
        client_order_id=f"qt-{number}", intent_id=f"i{number}", trace_id="t", symbol=SYMBOL, side=side,
        type=more.pop("type", OrderType.MARKET), qty=qty, created_ns=0, **more,
    )


# ---------------------------------------------------------------------- the loop


def test_a_day_of_sleep_takes_no_time() -> None:
    """Virtual time is exact, and timers run in the order of their times."""
    loop, seen = new_loop(), []

    async def nap(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((asyncio.get_running_loop().time(), seconds))

    async def main() -> None:
        await asyncio.gather(nap(86_400.0), nap(1.5), nap(3_600.0))

    run_virtual(main(), loop)

    assert seen == [(1.5, 1.5), (3_600.0, 3_600.0), (86_400.0, 86_400.0)]


def test_task_groups_timeouts_and_cancellation_work_as_in_asyncio() -> None:
    """What the driver is made of behaves as on a real loop."""

    async def main() -> tuple[float, bool]:
        cancelled = asyncio.Event()

        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:
                group.create_task(forever())
        return asyncio.get_running_loop().time(), cancelled.is_set()

    assert run_virtual(main()) == (5.0, True)


def test_all_tasks_waiting_is_a_deadlock_and_spinning_a_livelock() -> None:
    """Neither hangs the simulation."""

    async def wait() -> None:
        await asyncio.Event().wait()

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="every task waits"):
        run_virtual(wait())
    with pytest.raises(Livelock, match="no end"):
        run_virtual(spin())


# ---------------------------------------------------------------------- exchange and wire


def test_an_order_is_acknowledged_by_the_answer_and_filled_by_the_stream() -> None:
    """Fill before status, both after the exchange took it."""
    place = Place()

    answer = place.run(lambda: place.venue.submit_order(order(1)))

    kinds = [type(event).__name__ for event in place.received if not isinstance(event, StreamState)]
    assert answer.status is OrderStatus.NEW
    assert [kind for kind in kinds if kind in ("Fill", "OrderUpdate")] == ["OrderUpdate", "Fill", "OrderUpdate"]
    assert place.exchange.position_qty(SYMBOL) == 0.1


@pytest.mark.parametrize(
    ("kind", "error", "held"),
    [
        (Kind.REQUEST_LOST, OutcomeUnknown, 0.0), (Kind.ANSWER_LOST, OutcomeUnknown, 0.1),
        (Kind.REQUEST_LATE, OutcomeUnknown, 0.1), (Kind.UNREACHABLE, VenueUnavailable, 0.0),
        (Kind.CLOCK_REFUSED, VenueUnavailable, 0.0),
    ],
)
def test_what_a_lost_request_or_answer_leaves_behind(kind: Kind, error: type[Exception], held: float) -> None:
    """The caller's error says whether there may have been an effect, and the exchange knows."""
    place = Place()
    place.wire.arm(Fault(at_s=0.0, kind=kind, on="submit", seconds=1.0))

    async def script() -> float:
        with pytest.raises(error):
            await place.venue.submit_order(order(1))
        failed_at = place.loop.time()
        await asyncio.sleep(RECEIVE_WINDOW_S)
        return failed_at

    failed_at = place.run(script)

    assert place.exchange.position_qty(SYMBOL) == held
    assert (failed_at >= TIMEOUT_S) == (error is OutcomeUnknown)  # a refusal arrives at once
    assert place.wire.struck[kind.value] == 1


def test_a_late_request_arrives_after_its_caller_gave_up_and_within_the_receive_window() -> None:
    """Until then the exchange does not know the order, which proves nothing."""
    place = Place()
    place.wire.arm(Fault(at_s=0.0, kind=Kind.REQUEST_LATE, on="submit", seconds=1.0))

    async def script() -> tuple[Any, Any]:
        with pytest.raises(OutcomeUnknown):
            await place.venue.submit_order(order(1))
        before = await place.venue.get_order(SYMBOL, "qt-1")
        await asyncio.sleep(RECEIVE_WINDOW_S - TIMEOUT_S)
        return before, await place.venue.get_order(SYMBOL, "qt-1")

    before, after = place.run(script)

    assert before is None
    assert after.status is OrderStatus.FILLED


def test_a_disconnect_is_reported_and_a_silent_stream_is_not() -> None:
    """Messages of both are lost; only a disconnect has a StreamState."""
    for silent in (False, True):
        place = Place()

        async def script(place: Place = place, silent: bool = silent) -> None:
            await asyncio.sleep(1.0)
            if silent:
                place.wire.silent_until["user"] = place.loop.time() + 20.0
            else:
                place.wire.down_until["user"] = place.loop.time() + 20.0
                place.venue.disconnect("user", 20.0)
            await place.venue.submit_order(order(1))

        place.run(script)

        states = [event.up for event in place.received if isinstance(event, StreamState) and event.stream == "user"]
        assert not any(isinstance(event, Fill) for event in place.received)
        assert states == ([True] if silent else [True, False, True])


def test_duplicated_and_reordered_messages_arrive_so() -> None:
    """A duplicate is the same event twice; a reordered one is overtaken by later ones."""
    place = Place()
    place.wire.arm(Fault(at_s=0.0, kind=Kind.MESSAGE_REORDERED, on="user", seconds=5.0))

    async def script() -> None:
        await place.venue.submit_order(order(1))
        await asyncio.sleep(1.0)
        place.wire.arm(Fault(at_s=0.0, kind=Kind.MESSAGE_DUPLICATED, on="user", count=2))
        await place.venue.submit_order(order(2, OrderSide.SELL, reduce_only=True))

    place.run(script)

    statuses = [event.status.value for event in place.received if type(event).__name__ == "OrderUpdate"
            and event.client_order_id == "qt-1"]
    ids = [event.fill_id for event in place.received if isinstance(event, Fill)]
    assert statuses == ["FILLED", "NEW"]
    assert len(ids) == 3
    assert len(set(ids)) == 2


def test_a_killed_trader_receives_nothing_and_its_last_request_arrives() -> None:
    """A request that has left the machine takes effect."""
    place = Place()

    async def script() -> None:
        sending = asyncio.ensure_future(place.venue.submit_order(order(1)))
        await asyncio.sleep(0.001)
        place.venue.kill()
        await asyncio.sleep(1.0)
        sending.cancel()
        place.venue.closed = False

    place.run(script)

    assert place.exchange.position_qty(SYMBOL) == 0.1
    assert not any(isinstance(event, Fill) for event in place.received)


def test_stops_trigger_between_bars_at_the_gap() -> None:
    """A price that jumps over the stop fills it where the price is."""
    place = Place()

    async def script() -> None:
        await place.venue.submit_order(order(1))
        await place.venue.submit_order(
            order(2, OrderSide.SELL, type=OrderType.STOP_MARKET, stop_price=9_900.0, reduce_only=True)
        )
        await asyncio.sleep(700.0)
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.PRICE_GAP, on=SYMBOL, value=-0.03))

    place.run(script)

    assert place.exchange.position_qty(SYMBOL) == 0.0
    assert place.exchange.fills[-1].price < 9_710.0


@pytest.mark.parametrize(
    ("kind", "value", "left", "name"),
    [
        (Kind.ADL, 0.5, 0.05, "adl_autoclose"), (Kind.MANUAL_CLOSE, 1.0, 0.0, "web_1"),
        (Kind.DELISTED, 0.0, 0.0, "settlement_autoclose-1"), (Kind.LIQUIDATION, 0.0, 0.0, "autoclose-1"),
    ],
)
def test_what_the_exchange_and_people_do_to_a_position(kind: Kind, value: float, left: float, name: str) -> None:
    """Each has its own order id and is reported by the stream."""
    place = Place()

    async def script() -> None:
        await place.venue.set_leverage(SYMBOL, 10.0)
        await place.venue.submit_order(order(1))
        place.exchange.apply(Fault(at_s=0.0, kind=kind, on=SYMBOL, value=value))

    place.run(script)

    fills = [event for event in place.received if isinstance(event, Fill)]
    assert place.exchange.position_qty(SYMBOL) == pytest.approx(left)
    assert fills[-1].client_order_id == name
    assert fills[-1].liquidation == ("autoclose" in name and "settlement" not in name)
    assert place.wire.struck[kind.value] == 1


def test_a_thin_market_fills_in_parts_and_a_halted_one_not_at_all() -> None:
    """The rest waits for the next tick; a halted symbol refuses orders and completes no bars."""
    place = Place(bars=8)

    async def script() -> tuple[float, Any, Any]:
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.PARTIAL_FILLS, on=SYMBOL, seconds=900.0))
        await place.venue.submit_order(order(1, qty=0.2))
        await asyncio.sleep(1.0)
        part = place.exchange.position_qty(SYMBOL)
        await asyncio.sleep(1200.0)
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.SYMBOL_HALTED, on=SYMBOL, seconds=7_000.0))
        refused = await place.venue.submit_order(order(2, OrderSide.SELL, reduce_only=True))
        await asyncio.sleep(5_000.0)
        return part, refused, list(place.exchange.market.klines[SYMBOL])

    part, refused, klines = place.run(script)

    assert 0.0 < part < 0.2
    assert place.exchange.position_qty(SYMBOL) == pytest.approx(0.2)
    assert refused.status is OrderStatus.REJECTED
    assert len(klines) == 1


def test_a_leverage_that_is_not_taken_over_is_read_back() -> None:
    """A person lowered it; setting it has no effect once, and then it has."""
    place = Place()

    async def script() -> list[float]:
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.LEVERAGE_KEPT, on=SYMBOL, value=3.0))
        return [await place.venue.set_leverage(SYMBOL, 10.0) for _ in range(2)]

    assert place.run(script) == [3.0, 10.0]


def test_a_rate_limit_refuses_without_effect_and_says_how_long() -> None:
    """429 with Retry-After."""
    place = Place()
    place.wire.rate_limited_until = 30.0

    async def script() -> float:
        with pytest.raises(VenueUnavailable) as caught:
            await place.venue.cancel_order(CancelRequest(client_order_id="qt-1", symbol=SYMBOL, created_ns=0))
        return caught.value.retry_after_s

    assert 29.0 < place.run(script) <= 30.0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_backend_timeout_leaves_the_outcome_unknown_and_the_order_may_come_later(value: float) -> None:
    """-1007: unknown at once, alive seconds later or never; a query that meets it has had no effect."""
    place = Place()
    place.wire.arm(Fault(at_s=0.0, kind=Kind.BACKEND_TIMEOUT, on="submit", seconds=2.0, value=value))
    place.wire.arm(Fault(at_s=0.0, kind=Kind.BACKEND_TIMEOUT, on="query", seconds=2.0))

    async def script() -> tuple[Any, Any]:
        with pytest.raises(OutcomeUnknown):
            await place.venue.submit_order(order(1))
        with pytest.raises(VenueUnavailable):
            await place.venue.get_order(SYMBOL, "qt-1")
        before = await place.venue.get_order(SYMBOL, "qt-1")
        await asyncio.sleep(3.0)
        return before, await place.venue.get_order(SYMBOL, "qt-1")

    before, after = place.run(script)

    assert before is None
    assert (after is not None) == (value > 0.0)


def test_a_ban_refuses_without_asking_and_says_how_long() -> None:
    """418: the connection knows until when; nothing reaches the exchange."""
    place = Place()
    place.wire.banned_until = 200.0

    async def script() -> float:
        with pytest.raises(VenueUnavailable, match="418") as caught:
            await place.venue.submit_order(order(1))
        return caught.value.retry_after_s

    assert place.run(script) == pytest.approx(200.0)
    assert place.exchange.accepted == []


def test_a_refused_close_leaves_the_position_and_the_next_one_closes() -> None:
    """As often as it was armed; openings and stops pass."""
    place = Place()

    async def script() -> list[OrderStatus]:
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.CLOSE_REFUSED))
        await place.venue.submit_order(order(1))
        return [
            (await place.venue.submit_order(order(number, OrderSide.SELL, reduce_only=True))).status
            for number in (2, 3)
        ]

    assert place.run(script) == [OrderStatus.REJECTED, OrderStatus.NEW]
    assert place.exchange.position_qty(SYMBOL) == 0.0


def test_changed_filters_refuse_orders_off_their_grid_and_are_returned_when_read() -> None:
    """Ten times the tick and twice the step; reading the filters again returns both."""
    place = Place()
    was = place.exchange.market.instruments[0]

    async def script() -> tuple[list[str], Any, Any]:
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.FILTERS_CHANGED, on=SYMBOL, value=3.3))
        stop = {"type": OrderType.STOP_MARKET, "reduce_only": True}
        refused = [
            await place.venue.submit_order(order(1, qty=was.step_size * 101)),
            await place.venue.submit_order(order(2, OrderSide.SELL, stop_price=9_000.0 + was.tick_size, **stop)),
        ]
        before = place.venue.instrument(SYMBOL)
        await place.venue.read_instruments()
        return [update.reason[:5] for update in refused], before, place.venue.instrument(SYMBOL)

    reasons, before, after = place.run(script)

    assert reasons == ["-4023", "-4014"]
    assert before == was
    assert after.tick_size == pytest.approx(10.0 * was.tick_size)
    assert after.step_size == pytest.approx(2.0 * was.step_size)


def test_bars_of_a_symbol_may_be_refused_and_one_may_come_from_the_future() -> None:
    """Asking is refused for a time; the stream delivers a bar that opens later than now."""
    place = Place()

    async def script() -> None:
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.KLINES_REFUSED, on=SYMBOL, seconds=30.0))
        with pytest.raises(VenueError, match="bars"):
            await place.venue.get_klines(SYMBOL, BAR_NS, 0, START_NS)
        await asyncio.sleep(30.0)
        assert await place.venue.get_klines(SYMBOL, BAR_NS, 0, START_NS) == []
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.BAR_FROM_FUTURE, on=SYMBOL, value=3.0))

    place.run(script)

    assert [bar.ts_ns for bar in place.received if isinstance(bar, Kline)] == [START_NS + 3 * BAR_NS]


def test_a_raised_leverage_brings_the_liquidation_nearer_and_is_reported() -> None:
    """A position at 10x becomes one at 50x: its margin is freed."""
    place = Place()

    async def script() -> tuple[Any, Any]:
        await place.venue.set_leverage(SYMBOL, 10.0)
        await place.venue.submit_order(order(1))
        before = place.exchange.paper.positions()[0]
        place.exchange.apply(Fault(at_s=0.0, kind=Kind.LEVERAGE_RAISED, on=SYMBOL, value=50.0))
        return before, place.exchange.paper.positions()[0]

    before, after = place.run(script)

    reported = [event.leverage for event in place.received if isinstance(event, LeverageChanged)]
    assert (before.leverage, after.leverage) == (10.0, 50.0)
    assert before.liquidation_price < 9_200.0 < 9_700.0 < after.liquidation_price < 10_000.0
    assert reported == [10.0, 50.0]


# ---------------------------------------------------------------------- deadlines of differences

BOUNDS = Bounds.of(LiveTiming(tick_s=15.0, request_timeout_s=6.0), 5.0, 0.06, 18.0)


def test_bounds_follow_from_the_drivers_settings() -> None:
    """Without faults a second; after a lost request timeout and receive window; then a reconciliation."""
    slower = Bounds.of(LiveTiming(tick_s=15.0, request_timeout_s=9.0, reconcile_s=90.0), 5.0, 0.06, 18.0)

    assert BOUNDS.told_s < 1.0
    assert 15.0 < BOUNDS.settled_s < 20.0
    assert 60.0 < BOUNDS.found_s < 65.0
    assert slower.settled_s == pytest.approx(BOUNDS.settled_s + 3.0)
    assert slower.found_s == pytest.approx(BOUNDS.found_s + 30.0)
    assert slower.told_s == BOUNDS.told_s


def test_a_deadline_follows_from_what_struck_last_and_from_nothing_older() -> None:
    """Each kind of fault lengthens it by its own rule; a silent stream does not lengthen it to its own end."""
    disruptions = Disruptions()
    assert disruptions.deadline(1_000.0, BOUNDS) == (1_000.0 + BOUNDS.told_s, "told")

    disruptions.request(900.0)
    assert disruptions.deadline(1_000.0, BOUNDS)[1] == "told"
    disruptions.request(1_004.0)
    assert disruptions.deadline(1_000.0, BOUNDS) == (1_004.0 + BOUNDS.settled_s, "settled")
    disruptions.refused("BTCUSDT", 1_010.0)
    assert disruptions.deadline(1_000.0, BOUNDS, "BTCUSDT") == (1_010.0 + BOUNDS.attended_s, "attended")
    assert disruptions.deadline(1_000.0, BOUNDS, "ETHUSDT")[1] == "settled"
    disruptions.message("market", 3_000.0)
    assert disruptions.deadline(1_000.0, BOUNDS, "ETHUSDT")[1] == "settled"
    disruptions.message("user", 3_000.0)
    assert disruptions.deadline(1_100.0, BOUNDS) == (1_100.0 + BOUNDS.found_s, "found")
    assert disruptions.deadline(3_001.0, BOUNDS)[1] == "told"


def test_a_start_has_its_own_bound_and_begins_again_when_it_is_struck() -> None:
    """A start without the user stream waits for it; a request lost in a start adds the connection's timeout."""
    disruptions = Disruptions(patience_s=18.0)
    disruptions.down("user", 120.0)
    disruptions.begins(100.0)
    assert disruptions.deadline(90.0, BOUNDS)[0] >= 120.0 + BOUNDS.started_s

    disruptions = Disruptions(patience_s=18.0)
    disruptions.begins(100.0)
    disruptions.is_ready = lambda: False
    disruptions.request(130.0)
    assert disruptions.deadline(90.0, BOUNDS) == (148.0 + BOUNDS.started_s, "started")
    assert not disruptions.knows(150.0, BOUNDS)
    assert disruptions.knows(148.1 + BOUNDS.found_s, BOUNDS)


# ---------------------------------------------------------------------- the disk


def test_the_disk_keeps_what_was_written_through_a_crash() -> None:
    """Half a record is dropped at the next start; a lost checkpoint leaves the one before."""
    disk = Disk()
    log, store = MemoryLog(disk), MemoryStore(disk)
    state = {"rows": np.arange(3.0)}
    log.append(b"one")
    store.save(state)
    state["rows"][0] = 9.0
    log.append(b"two")
    store.save(state)
    disk.tear = disk.lose = True

    disk.crash()
    log.closed = store.closed = True
    log.append(b"from a dead process")
    again = MemoryLog(disk)

    saved = MemoryStore(disk).load()
    assert again.since(None) == [b"one", b"two"]
    assert again.since(1) == [b"two"]
    assert saved is not None
    assert saved["rows"][0] == 0.0


def test_a_full_disk_raises_and_writes_nothing() -> None:
    """StateError, as often as it was armed."""
    disk = Disk()
    disk.failing = 1
    log = MemoryLog(disk)

    with pytest.raises(StateError, match="No space left"):
        log.append(b"lost")
    log.append(b"kept")

    assert log.since(None) == [b"kept"]


def test_records_can_fail_while_inputs_are_written() -> None:
    """The two are on different disks, or in different files of one."""
    disk = Disk()
    disk.records_failing = 1
    log = MemoryLog(disk)

    log.append(b"kept")
    with pytest.raises(StateError, match="record"):
        disk.check_records()
    disk.check_records()

    assert log.since(None) == [b"kept"]


# ---------------------------------------------------------------------- schedules


def test_a_schedule_comes_from_its_seed_and_survives_printing() -> None:
    """Same seed, same faults; JSON and back is the same value."""
    first, again, other = (generate(seed, ("BTCUSDT", "ETHUSDT")) for seed in (7, 7, 8))

    assert first == again != other
    assert decode(encode(first)) == first


def test_every_kind_of_fault_is_generated_and_belongs_to_one_part() -> None:
    """Within a few hundred seeds each kind comes up."""
    made: set[str] = set()
    for seed in range(400):
        made |= set(tally(generate(seed, ("BTCUSDT",))))

    assert made == {kind.value for kind in MAKERS}
    one = ("BTCUSDT",)
    others = set().union(*(tally(with_other_clients(generate(seed, one), one)) for seed in range(400)))
    assert others == {kind.value for kind in Kind}
    assert {*MAKERS, *CLIENT_MAKERS, Kind.LATE_START} == set(Kind)
    assert set(CLIENT_MAKERS) == CLIENT_FAULTS
    assert not EXCHANGE_FAULTS & set(REQUEST_FAULTS) & set(MESSAGE_FAULTS)


def test_an_invalid_schedule_is_refused_with_its_field() -> None:
    """The message names what is wrong."""
    with pytest.raises(InputError, match="kind"):
        decode('{"seed": 1, "faults": [{"at_s": 1.0, "kind": "meteor"}]}')
    with pytest.raises(InputError, match="hours"):
        decode('{"seed": 1, "faults": [], "hours": 0.0}')


def test_shrinking_finds_the_faults_that_matter() -> None:
    """Two of thirty, and the shortest day that holds both."""
    faults = tuple(Fault(at_s=float(100 * n), kind=Kind.SLOW, value=float(n)) for n in range(30))
    runs = []

    def fails(candidate: Schedule) -> bool:
        runs.append(candidate)
        values = {fault.value for fault in candidate.faults}
        return {3.0, 21.0} <= values and candidate.hours >= 5.0

    small = shrink(Schedule(seed=1, faults=faults), fails)

    assert [fault.value for fault in small.faults] == [3.0, 21.0]
    assert small.hours == 6.0
    assert len(runs) < 80


def test_shrinking_stops_when_its_runs_are_used_up() -> None:
    """What was found by then stands, and it fails."""
    faults = tuple(Fault(at_s=float(n), kind=Kind.SLOW, value=float(n)) for n in range(64))

    small = shrink(Schedule(seed=1, faults=faults), lambda s: any(f.value == 40.0 for f in s.faults), most_runs=6)

    assert any(fault.value == 40.0 for fault in small.faults)
