"""History is fed while live state is present: a warm-up, or bars that were missed, judge no account of now."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.live.live_world import HOUR, MINUTE, START, World, held, orders, twice

from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.live.inputs import (
    HealthChanged,
    IntentReceived,
    MoneyTransferred,
    ProcessStarted,
    SessionStarted,
)
from quantum_trader.risk.governor import GOV_ROW_PEAK
from quantum_trader.risk.limits import LOSS_LAST

BARS = 1500  # minutes of the warm-up
NOW = START + BARS * MINUTE


def first_start(*, adopted: bool = True, qty: float = 3.0, entry: float = 10_017.0) -> World:
    """A first start at which the account holds *qty* BTC (-0.5 % of the equity at the mark of 10,000)."""
    world = World()
    world.tell(SessionStarted(ts_ns=NOW, wallet=10_000.0, namespace="n-"))
    world.tell(ProcessStarted(ts_ns=NOW, life="n-"))
    if adopted:
        for order in orders(twice(world, held(qty, entry, mark=10_000.0), ts_ns=NOW)):
            world.update(order, OrderStatus.NEW)
    return world


def warm_up(world: World, before: float = 0.3) -> list[Any]:
    """The old bars, from *before* (a share) under the price to the price of now; returns the orders they led to."""
    sent: list[Any] = []
    for minute in range(BARS):
        price = 10_000.0 * (1.0 - before * (1.0 - (minute + 1) / BARS))
        sent += orders(world.bar(minute, price, 1_000.0, late_ns=(BARS - minute - 1) * MINUTE))
    return sent


def judged(world: World) -> tuple[Any, ...]:
    """What limits, governor and policy say, the halt of the adoption itself left out."""
    engine = world.engine
    engine.halts.in_force.pop("reconciliation", None)
    return (
        [round(one, 6) for one in engine.account.losses_pct()], engine.account.governor_level,
        engine.account.loss_latched, dict(engine.halts.in_force), engine.policy.used(0),
    )


@pytest.mark.parametrize("before", [0.3, -0.3])
def test_a_position_adopted_before_the_warm_up_halts_nothing_in_the_past(before: float) -> None:
    """Marked with old prices it would have lost the account twice over; it was not there."""
    world = first_start()
    sent = warm_up(world, before)
    assert [one["data"]["kind"] for one in world.records("halt.raised")] == ["reconciliation"], "the adoption, now"
    assert judged(world)[:4] == ([0.0, 0.0], 0, False, {})
    assert sent == [], "nothing old moves a stop or closes a position"
    assert world.engine.account.equity == pytest.approx(10_000.0 - 3.0 * 17.0), "as at the newest close"
    world.bar(BARS, 9_900.0, 1_000.0)
    assert world.engine.account.losses_pct()[0] == pytest.approx(-300.0 / 9_949.0 * 100.0), "what happens now counts"


def test_a_warm_up_judges_as_without_the_position() -> None:
    """The same policy, limits and governor as of an account with nothing open."""
    with_it, without = first_start(), first_start(adopted=False)
    warm_up(with_it)
    warm_up(without)
    assert judged(with_it) == judged(without)


def test_old_bars_neither_trail_nor_time_out_an_adopted_position() -> None:
    """Its stop stays where it was put; its exits begin with the first bar that opened after it was taken over."""
    world = first_start(qty=0.01)
    position = world.engine.account.books.positions["BTCUSDT"]
    before = (position.stop, position.best, position.worst, position.bars_held)
    assert warm_up(world, -0.3) == []
    assert (position.stop, position.best, position.worst, position.bars_held) == before


def test_a_high_from_before_the_adoption_moves_no_stop() -> None:
    """The bar in which a position was taken over began before: its extremes are not the position's."""
    world = World().begin()
    taken_ns = world.now_ns + MINUTE // 2
    for order in orders(twice(world, held(0.01), ts_ns=taken_ns)):
        world.update(order, OrderStatus.NEW)
    position = world.engine.account.books.positions["BTCUSDT"]
    stop = position.stop
    assert orders(world.bar(BARS, 10_000.0, 1_000.0)) == []
    assert (position.best, position.stop, position.bars_held) == (10_000.0, stop, 1)
    world.bar(BARS + 1, 10_000.0, 1_000.0)
    assert position.best == pytest.approx(10_010.0)


def test_an_account_smaller_than_the_settings_say_has_lost_nothing() -> None:
    """Health is judged before the account is read: the equity of the settings is no peak, and 2,000 no loss."""
    world = World()
    world.tell(HealthChanged(ts_ns=NOW - MINUTE, level=0, connected=True, reason=""))
    world.tell(SessionStarted(ts_ns=NOW, wallet=2_000.0, namespace="n-"))
    world.bar(BARS, 10_000.0, 1_000.0)
    assert world.engine.account.governor_level == 0
    assert world.engine.account.peak == 2_000.0


def restarted(world: World) -> World:
    """Another process on the same disk."""
    again = World(world.log, world.store)
    again.session.recover()
    return again


@pytest.fixture
def stopped(world: World) -> World:
    """A process that has stopped with a long of 0.5 BTC, opened at 10,000."""
    for order in orders(twice(world, held(0.5), ts_ns=world.now_ns)):
        world.update(order, OrderStatus.NEW)
    world.bar(BARS, 10_000.0, 1_000.0)
    world.session.checkpoint()
    return world


def missed(world: World, until: int, price: Any, now_ns: int) -> None:
    """The bars that were missed, at *price* (minute), decided on at *now_ns*."""
    for minute in range(BARS + 1, until):
        closed_ns = START + (minute + 1) * MINUTE
        world.bar(minute, price(minute), 1_000.0, late_ns=now_ns - closed_ns)


def test_a_loss_between_two_processes_is_judged_when_it_is_booked(stopped: World) -> None:
    """Stopped out an hour before the start, after two days: it is not booked into the first missed bar, two days ago,
    where the next midnight would forget it."""
    minutes = 2 * 24 * 60
    now_ns = stopped.now_ns + minutes * MINUTE
    world = restarted(stopped)
    world.tell(ProcessStarted(ts_ns=now_ns, life="b-"))
    stop = next(t for t in world.engine.gateway.tickets() if t.symbol == "BTCUSDT")
    world.fill(stop.client_order_id, 0.5, 8_000.0, side=OrderSide.SELL, ts_ns=now_ns - HOUR)
    assert world.engine.account.books.cash == pytest.approx(9_000.0)
    missed(world, BARS + minutes - 5, lambda minute: 10_000.0, now_ns)
    assert not world.engine.account.loss_latched
    for minute in range(BARS + minutes - 5, BARS + minutes + 1):
        world.bar(minute, 10_000.0, 1_000.0)
    assert world.engine.account.loss_latched, "10 % are lost, and the limit is 5 %"
    assert min(one["ts_ns"] for one in world.records("halt.raised")) >= now_ns - 5 * MINUTE


def test_what_was_held_all_the_time_moves_with_the_missed_bars(stopped: World) -> None:
    """Ten hours without a process: the equity of each missed bar is that of the position that was there."""
    minutes = 600
    now_ns = stopped.now_ns + minutes * MINUTE
    world = restarted(stopped)
    world.tell(ProcessStarted(ts_ns=now_ns, life="b-"))
    missed(world, BARS + 300, lambda minute: 10_100.0, now_ns)
    assert world.engine.account.equity == pytest.approx(10_000.0 + 0.5 * 100.0)
    assert world.engine.account.governor[GOV_ROW_PEAK] == pytest.approx(10_050.0)
    assert world.engine.account.losses[LOSS_LAST] == pytest.approx(10_050.0)


def test_a_transfer_while_old_bars_are_taken_keeps_every_percentage() -> None:
    """The account is not valued at the prices of a month ago to find out what share was paid in."""
    world = first_start()
    for minute in range(100):
        world.bar(minute, 7_000.0, 1_000.0, late_ns=(BARS - minute - 1) * MINUTE)
    world.tell(MoneyTransferred(ts_ns=NOW + 1, amount=9_949.0, move_id="m1"))
    assert world.engine.account.equity == pytest.approx(2.0 * 9_949.0)
    assert world.engine.account.governor[GOV_ROW_PEAK] == pytest.approx(2.0 * 9_949.0)


def test_the_trades_of_old_bars_are_the_same_after_a_kill(stopped: World) -> None:
    """Taken again from the input log, missed bars give the same account."""
    now_ns = stopped.now_ns + 300 * MINUTE
    world = restarted(stopped)
    world.tell(ProcessStarted(ts_ns=now_ns, life="b-"))
    missed(world, BARS + 200, lambda minute: 9_990.0, now_ns)
    again = restarted(world)
    assert again.engine.account.equity == world.engine.account.equity
    assert again.engine.account.losses.tolist() == world.engine.account.losses.tolist()


def stop_filled(world: World, now_ns: int, parts: int = 1, **coin: Any) -> None:
    """The stop of the long filled at 8,900 ten minutes ago, in *parts*: 5.5 % of the account are lost."""
    stop = next(t for t in world.engine.gateway.tickets() if t.symbol == "BTCUSDT")
    for part in range(parts):
        world.fill(
            stop.client_order_id, 0.5 / parts, 8_900.0, side=OrderSide.SELL, ts_ns=now_ns - 10 * MINUTE + part,
            fee=0.1, **coin,
        )


@pytest.mark.parametrize("restarts", [True, False])
@pytest.mark.parametrize("case", ["alone", "fees in a coin", "a transfer", "an intent"])
def test_a_loss_of_an_outage_is_judged_whole_whatever_is_read_before_the_missed_bars(
    stopped: World, case: str, restarts: bool
) -> None:
    """Fills, fees, transfers and intents are taken before the first missed bar: none books the loss days ago."""
    minutes = 2 * 24 * 60 if restarts else 26 * 60
    stopped.request("resume")
    stopped.session.checkpoint()
    now_ns = stopped.now_ns + minutes * MINUTE
    world = restarted(stopped) if restarts else stopped
    if restarts:
        world.tell(ProcessStarted(ts_ns=now_ns, life="b-"))
    stop_filled(world, now_ns, **({"parts": 6, "fee_asset": "BNB"} if case == "fees in a coin" else {}))
    if case == "a transfer":
        world.tell(MoneyTransferred(ts_ns=now_ns - 5 * MINUTE, amount=1.0, move_id="m1"))
    if case == "an intent":
        world.tell(IntentReceived(ts_ns=now_ns, intent=world.intent()))
    missed(world, BARS + minutes - 2, lambda minute: 10_000.0, now_ns)
    assert not world.engine.account.loss_latched, "not at a bar of the past"
    for minute in range(BARS + minutes - 2, BARS + minutes + 2):
        world.bar(minute, 10_000.0, 1_000.0)
    assert world.engine.account.losses_pct()[0] == pytest.approx(-5.5, abs=0.01)
    assert world.engine.account.loss_latched
    raised = [one["ts_ns"] for one in world.records("halt.raised") if one["data"]["kind"] == "daily_loss"]
    assert min(raised) >= now_ns - 5 * MINUTE


def test_a_transfer_reported_out_of_order_books_no_loss_into_the_past(stopped: World) -> None:
    """A fill of now was read before a transfer of just after the newest bar."""
    now_ns = stopped.now_ns + 600 * MINUTE
    stop_filled(stopped, now_ns)
    stopped.tell(MoneyTransferred(ts_ns=stopped.now_ns + 1, amount=1.0, move_id="m1"))
    assert stopped.engine.account.equity == pytest.approx(10_001.0)


def test_a_transfer_between_two_bars_is_a_share_of_what_is_left(stopped: World) -> None:
    """While bars come in time, a fill since the newest bar counts at once: half is lost, then doubled."""
    stop = next(t for t in stopped.engine.gateway.tickets() if t.symbol == "BTCUSDT")
    stopped.fill(stop.client_order_id, 0.5, 8_000.0, side=OrderSide.SELL, ts_ns=stopped.now_ns + 1)
    stopped.tell(MoneyTransferred(ts_ns=stopped.now_ns + 2, amount=9_000.0, move_id="m1"))
    stopped.bar(BARS + 1, 10_000.0, 1_000.0)
    assert stopped.engine.account.losses_pct()[0] == pytest.approx(-10.0, abs=0.01)


@pytest.mark.parametrize("seen_by", ["a fill", "a look"])
def test_a_position_enlarged_after_missed_bars_is_not_followed_through_them(seen_by: str) -> None:
    """0.01 BTC were held for ten hours, 3 BTC since two minutes: a dip in between lost nothing of note."""
    world, minutes = World().begin(), 600
    for order in orders(twice(world, held(0.01), ts_ns=world.now_ns)):
        world.update(order, OrderStatus.NEW)
    world.bar(BARS, 10_000.0, 1_000.0)
    world.session.checkpoint()
    now_ns = world.now_ns + minutes * MINUTE
    world = restarted(world)
    world.tell(ProcessStarted(ts_ns=now_ns, life="b-"))
    if seen_by == "a fill":
        world.fill("web_7", 2.99, side=OrderSide.BUY, ts_ns=now_ns - 2 * MINUTE)
    else:
        twice(world, held(3.0), ts_ns=now_ns)
    world.session.checkpoint()
    world = restarted(world)  # what is known of its growth is saved
    dip = 1_000.0
    missed(world, BARS + minutes - 2, lambda m: 10_000.0 - dip * math.sin(math.pi * (m - BARS) / (minutes - 2)), now_ns)
    for minute in range(BARS + minutes - 2, BARS + minutes + 2):
        world.bar(minute, 10_000.0, 1_000.0)
    kinds = {one["data"]["kind"] for one in world.records("halt.raised")}
    assert kinds <= {"reconciliation"}
    assert world.engine.account.governor_level == 0
    assert world.engine.account.equity == pytest.approx(10_000.0)
