"""Clocks that disagree: the venue's time stamps decide which one is right, and time never goes back."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.live.live_account import FAST, Account, make, until
from tests.live.live_world import MINUTE, OTHER, SYMBOL, World

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.engine.venue_port import Kline, MarkPrice
from quantum_trader.live.clock import LiveClock
from quantum_trader.live.driver import LiveDriver


class Clocks:
    """A wall clock, a monotonic one and a live clock on both; the venue's time is what passes for real."""

    def __init__(self) -> None:
        self.wall = self.venue = 10**18
        self.offset = 0.0
        self.mono = 0.0
        self.clock = LiveClock(lambda: self.wall, lambda: self.offset)
        self.clock.start(lambda: self.mono)

    def passes(self, seconds: int, *, asleep: bool = False, stamped: bool = False) -> None:
        """Let time pass, tick by tick; *asleep*: the monotonic clock stands still and nothing ticks."""
        for _ in range(1 if asleep else seconds):
            step = seconds if asleep else 1
            self.wall += step * NS_PER_SECOND
            self.venue += step * NS_PER_SECOND
            if not asleep:
                self.mono += step
                if stamped:
                    self.clock.observe(self.venue)
                self.clock.tick()

    @property
    def off_s(self) -> float:
        """How far the live clock is from the venue's time."""
        return (self.clock.now_ns() - self.venue) / NS_PER_SECOND


def test_after_a_sleep_the_venues_time_stamp_sets_the_time() -> None:
    """The first moment the venue names settles it, not a minute later; what it had named before is older than that."""
    clocks = Clocks()
    slept_ns = clocks.venue
    clocks.passes(3600, asleep=True)
    assert clocks.off_s == -3600.0
    assert not clocks.clock.observe(slept_ns), "a bar that waited in the socket: its age is unknown"
    assert not clocks.clock.observe(clocks.venue - NS_PER_SECOND)
    assert clocks.off_s == 0.0
    assert clocks.clock.offset_ms() == 0.0
    assert clocks.clock.observe(clocks.venue)


def test_after_a_sleep_without_messages_the_wall_clock_sets_the_time() -> None:
    """Also where a bar of before had waited in the socket."""
    clocks = Clocks()
    slept_ns = clocks.venue
    clocks.passes(3600, asleep=True)
    clocks.clock.tick()
    clocks.clock.observe(slept_ns)
    clocks.passes(120)
    assert abs(clocks.off_s) < 0.5


def test_the_clock_recovers_from_a_sleep_without_messages():
    """The machine slept an hour: monotonic stood still, wall and venue agree; the clock must come back."""
    wall, mono = [0], [0.0]
    clock = LiveClock(lambda: wall[0], lambda: 0.0)
    wall[0] = 10**18
    clock.start(lambda: mono[0])
    wall[0] += 3600 * 10**9
    for _ in range(1000):
        wall[0] += 10**9
        mono[0] += 1.0
        clock.tick()
    assert abs(clock.offset_ms()) < 500.0, f"{clock.offset_ms():.0f} ms for ever"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wall_clock_that_was_set_moves_no_time_against_the_venue(hours: int) -> None:
    """Nothing is decided on a wrong hour; once the venue confirms our time, the system clock's error is corrected."""
    clocks = Clocks()
    clocks.passes(10, stamped=True)
    clocks.wall += hours * 3600 * NS_PER_SECOND
    clocks.passes(30, stamped=True)
    assert abs(clocks.off_s) < 0.5
    assert abs(clocks.clock.offset_ms()) == 3_600_000.0, "and it shows meanwhile"
    clocks.passes(300, stamped=True)
    assert abs(clocks.off_s) < 0.5
    assert abs(clocks.clock.offset_ms()) < 500.0
    clocks.offset = -hours * 3_600_000.0  # the adapter measured anew
    clocks.passes(300, stamped=True)
    assert abs(clocks.off_s) < 0.5
    assert abs(clocks.clock.offset_ms()) < 500.0


def test_time_never_goes_back() -> None:
    """Without messages the wall clock is followed; time stands still until it is reached."""
    clocks = Clocks()
    clocks.wall -= 30 * NS_PER_SECOND
    times = []
    for _ in range(150):
        clocks.passes(1)
        times.append(clocks.clock.now_ns())
    assert times == sorted(times)
    assert abs(clocks.clock.offset_ms()) < 500.0


def test_a_jump_of_the_wall_clock_moves_no_venue_time() -> None:
    """An hour forward on the wall shows as an offset; time goes on by the monotonic clock."""
    wall, mono = [10 * MINUTE], [0.0]
    clock = LiveClock(lambda: wall[0], lambda: 0.0)
    clock.start(lambda: mono[0])
    wall[0] += 60 * MINUTE
    mono[0] += 1.0
    clock.tick()
    assert clock.now_ns() == 10 * MINUTE + 1_000_000_000
    assert clock.offset_ms() == pytest.approx(3_599_000.0)


class LateMessages:
    """A live clock, the true time, and what is wrong with it here."""

    def __init__(self) -> None:
        self.true_ns, self.loop_s, self.wall_ns, self.offset_ms = 10**15, 0.0, 0, 0.0
        self.clock = LiveClock(lambda: self.true_ns + self.wall_ns, lambda: self.offset_ms)

    def go(self, seconds: int, late_ns: int) -> LateMessages:
        """Let time pass; each second a message comes *late_ns* late, and the clock ticks."""
        for _ in range(seconds):
            self.true_ns += NS_PER_SECOND
            self.loop_s += 1.0
            self.clock.observe(self.true_ns - late_ns)
            self.clock.tick()
        return self

    @property
    def error_s(self) -> float:
        """How far the clock is off."""
        return (self.clock.now_ns() - self.true_ns) / 1e9


@pytest.mark.parametrize(("behind_ms", "late_ms"), [(600.0, 0), (0.0, 600), (600.0, 600), (0.0, 100)])
def test_a_wall_clock_an_hour_wrong_is_not_followed_against_the_venue(behind_ms: float, late_ms: int) -> None:
    """The hour is ignored even if the first measured offset is 0.6 s wrong or messages come up to 0.6 s late."""
    here = LateMessages()
    here.offset_ms = -behind_ms
    here.clock.start(lambda: here.loop_s)
    here.go(30, late_ms * 1_000_000)
    here.wall_ns = 3600 * NS_PER_SECOND
    here.go(200, late_ms * 1_000_000)
    assert abs(here.error_s) < 1.5


def test_old_messages_after_a_sleep_do_not_set_the_time() -> None:
    """A message from the middle of the sleep comes first: the time is uncertain until a fresh one comes."""
    here = LateMessages()
    here.clock.start(lambda: here.loop_s)
    here.go(10, 100_000_000)
    here.true_ns += 3600 * NS_PER_SECOND
    assert not here.clock.observe(here.true_ns - 1800 * NS_PER_SECOND)
    assert abs(here.clock.offset_ms()) > 500.0
    here.clock.observe(here.true_ns - 100_000_000)
    assert abs(here.error_s) < 1.0


def test_a_bar_from_before_a_sleep_opens_nothing(warm: bytes) -> None:
    """It waited in the socket: the first thing the driver hears after an hour, and it looks punctual."""

    async def run() -> tuple[bool, list[str]]:
        world = World()
        world.store.content = warm
        world.session.recover()
        wall_ns = [world.now_ns + MINUTE]  # the bar that comes has closed at this moment
        venue = Account(world.engine.instruments.all)
        driver = LiveDriver(
            world.session, venue, msgspec.structs.replace(FAST, tick_s=30.0), lambda: wall_ns[0], namespace="t-"
        )
        venue.now_ns = wall_ns[0]
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and not driver.requests)
        assert world.engine.halts.connected
        opened_ns = world.now_ns
        wall_ns[0] += 3600 * NS_PER_SECOND
        for symbol, price in ((SYMBOL, 10_000.0), (OTHER, 1_000.0)):
            venue.push(Kline(
                symbol=symbol, interval_ns=MINUTE, ts_ns=opened_ns, open=price, high=price, low=price, close=price,
                volume=1.0,
            ))
        await until(lambda: world.now_ns == opened_ns + MINUTE)
        reasons = [one["data"]["reason"] for one in world.records("health.changed")]
        driver.stop()
        await task
        return world.engine.halts.connected, reasons

    connected, reasons = asyncio.run(run())
    assert not connected
    assert "clock +3599" in reasons[-1] or "clock +3600" in reasons[-1]


def test_no_session_begins_on_a_market_ahead_of_the_clock(warm: bytes) -> None:
    """What its account did before would pass for what came after; it says what to do instead of trading phantoms."""

    async def run() -> tuple[str, bool]:
        world, venue, driver = make()
        price = MarkPrice(symbol=SYMBOL, price=1e4, funding_rate=0.0, next_funding_ns=0, ts_ns=0)
        venue.push(msgspec.structs.replace(price, ts_ns=driver.clock.now_ns() + 7_200 * NS_PER_SECOND))
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: "s ahead" in driver.waits_for)
        begun, waits_for = world.engine.halts.started, driver.waits_for
        driver.stop()
        await task
        return waits_for, begun

    waits_for, begun = asyncio.run(run())
    assert not begun
    assert "speed 1" in waits_for


def test_a_venue_clock_a_day_behind_its_market_is_named_as_what_it_is(warm: bytes) -> None:
    """Nothing opens and the reason says by how much; with times that agree it is over. The lag is not the cause."""

    async def run() -> tuple[bool, list[str], bool, float]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and not driver.requests)
        mark = MarkPrice(symbol=SYMBOL, price=1e4, funding_rate=0.0, next_funding_ns=0, ts_ns=0)
        venue.push(msgspec.structs.replace(mark, ts_ns=driver.clock.now_ns() + 86_400 * NS_PER_SECOND))
        await until(lambda: not world.engine.halts.connected)
        reasons = [one["data"]["reason"] for one in world.records("health.changed")]
        behind = world.engine.halts.connected
        venue.push(msgspec.structs.replace(mark, ts_ns=driver.clock.now_ns()))
        await until(lambda: world.engine.halts.connected)
        lag_s = driver.health().lag_s
        driver.stop()
        await task
        return behind, reasons, world.engine.halts.connected, lag_s

    behind, reasons, after, lag_s = asyncio.run(run())
    assert not behind
    assert "the market's times are +86400 s from the venue's clock" in reasons[-1]
    assert after
    assert lag_s < 1e6


def test_without_any_bar_the_lag_counts_from_the_start() -> None:
    """Not from 1970: a venue without bars was "1795875931.0 s" behind."""

    async def run() -> float:
        _, _, driver = make()
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and driver.bars.caught_up)
        lag_s = driver.health().lag_s
        driver.stop()
        await task
        return lag_s

    assert asyncio.run(run()) < 60.0
