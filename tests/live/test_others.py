"""What a person or another client does on the account is told as that, once, and by no other name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.live.live_account import make, until
from tests.live.live_world import SYMBOL, World, alive, held, look, orders, twice

from quantum_trader.app.runs.live_messages import LiveWords
from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType, Side
from quantum_trader.domain.errors import ConfigError
from quantum_trader.engine.ids import closing_order_id
from quantum_trader.live.inputs import IntentReceived


def told(world: World) -> list[str]:
    """What was recorded of others."""
    return [record["data"]["what"] for record in world.records("account.by_others")]


def closed_as(world: World) -> ExitReason:
    """Why the last trade ended."""
    return world.engine.records.tally.trades[-1].exit_reason


def test_a_reduction_by_a_person_is_told_once_for_each_of_their_orders(world: World) -> None:
    """0.01 to 0.006 in two fills of one order, then a second order: two lines, and the rest of the position goes on."""
    world.opened()
    world.fill("web_1", 0.002, side=OrderSide.SELL)
    world.fill("web_1", 0.002, side=OrderSide.SELL)
    world.fill("web_2", 0.001, side=OrderSide.SELL)
    assert told(world) == ["reduced LONG 0.01 to 0.008 at 10000", "reduced LONG 0.006 to 0.005 at 10000"]
    assert [text for _, text in world.engine.records.tally.others] == [
        f"{SYMBOL}: a person or another client reduced LONG 0.01 to 0.008 at 10000 (order web_1)",
        f"{SYMBOL}: a person or another client reduced LONG 0.006 to 0.005 at 10000 (order web_2)",
    ]
    assert world.engine.account.books.positions[SYMBOL].exit_reason is None


def test_a_full_manual_close_is_external_and_told(world: World) -> None:
    """Not FLATTEN: nobody asked this program for one."""
    world.opened()
    world.fill("web_1", 0.01, side=OrderSide.SELL)
    assert closed_as(world) is ExitReason.EXTERNAL
    assert told(world) == ["closed LONG 0.01 at 10000"]


def test_a_close_by_a_command_of_this_program_is_no_other_client(world: World) -> None:
    """The order of `flatten --now`, found at the next start."""
    world.opened()
    world.fill(closing_order_id(1, SYMBOL, 0), 0.01, side=OrderSide.SELL)
    assert closed_as(world) is ExitReason.FLATTEN
    assert told(world) == []


def test_what_the_venue_itself_closes_is_no_other_client(world: World) -> None:
    """A liquidation."""
    world.opened()
    world.fill("autoclose-1", 0.01, side=OrderSide.SELL, liquidation=True)
    assert closed_as(world) is ExitReason.LIQUIDATION
    assert told(world) == []


def test_a_stop_cancelled_by_others_is_told_and_placed_again(world: World) -> None:
    """Cancelled on the website: told once, with its price, and another stop goes out."""
    _, stop = world.opened()
    world.update(stop, OrderStatus.CANCELED)
    world.update(stop, OrderStatus.CANCELED)
    assert told(world) == [f"cancelled the stop at {stop.stop_price:g}, and it is placed again"]
    commands = world.engine.on_timer(world.now_ns)
    assert [one.type for one in orders(commands)] == [OrderType.STOP_MARKET]


def test_a_stop_that_this_program_cancels_is_not_told(world: World) -> None:
    """One that was moved, and those of a position that was closed."""
    _, stop = world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    position.stop += 10.0
    (moved,) = orders(world.engine.protection.rest(position, world.now_ns))[:1]
    world.update(moved, OrderStatus.NEW)
    world.update(stop, OrderStatus.CANCELED)
    for order in orders(world.request("flatten")):
        world.fill(order, 0.01)
    world.update(moved, OrderStatus.CANCELED)
    assert told(world) == []


def test_leverage_changed_by_others_is_told(world: World) -> None:
    """5 to 20, seen by two comparisons."""
    world.opened()
    twice(world, held(leverage=20.0), orders=alive(world))
    assert told(world) == ["changed the leverage from 5 to 20"]


def test_a_position_closed_while_nobody_listened_is_told(world: World) -> None:
    """The comparison finds it gone."""
    world.opened()
    twice(world)
    assert closed_as(world) is ExitReason.EXTERNAL
    assert told(world) == ["closed LONG 0.01: the venue holds it no longer"]


def test_a_signal_does_not_turn_a_position_that_somebody_else_opened(world: World) -> None:
    """The position belongs to who opened it: an opposite wish is refused as ALREADY_HELD, and nothing is sent."""
    for order in orders(world.fill("web_1", 0.02, side=OrderSide.BUY)):
        world.update(order, OrderStatus.NEW)
    assert orders(world.wish("x1", side=Side.SHORT)) == []
    assert world.engine.account.books.positions[SYMBOL].exit_reason is None
    assert world.records("trade.failed")[-1]["data"]["reason"] == "ALREADY_HELD"


def test_a_close_by_an_intent_is_told_as_that(world: World) -> None:
    """A person closes a foreign position with an intent: INTENT, not SIGNAL_FLIP."""
    for order in orders(world.fill("web_1", 0.02, side=OrderSide.BUY)):
        world.update(order, OrderStatus.NEW)
    intent = world.intent("x1", reduce_only=True, stop_price=0.0)
    (close,) = orders(world.tell(IntentReceived(ts_ns=world.now_ns, intent=intent)))
    world.fill(close, 0.02, side=OrderSide.SELL)
    assert closed_as(world) is ExitReason.INTENT


def test_a_switch_to_hedge_mode_halts_and_stays_told_until_it_is_over(world: World) -> None:
    """Found by a comparison; a resume while it lasts is followed by another halt."""
    look(world, mode="the account is in hedge mode")
    assert world.engine.halts.held == "the account is in hedge mode; then resume"
    world.request("resume", "too early")
    look(world, mode="the account is in hedge mode")
    assert world.engine.halts.held
    look(world)
    world.request("resume", "switched back")
    look(world)
    assert world.engine.halts.closed() == ""


def test_an_opening_refused_for_hedge_mode_halts(world: World) -> None:
    """-4061 says what another client did."""
    (order, *_) = orders(world.wish("x1"))
    world.update(order, OrderStatus.REJECTED, reason="-4061 Order's position side does not match user's setting.")
    assert "another client has switched the account to hedge mode" in world.engine.halts.held


def test_a_live_process_says_what_others_did_and_reads_the_mode() -> None:
    """On standard error once; the mode that the venue reports reaches the halts."""

    async def run() -> tuple[list[str], str]:
        world, venue, driver = make(World().begin(50))
        lines: list[str] = []
        words = LiveWords(driver, lines.append)

        async def account_mode() -> str:
            return "hedge mode"

        venue.account_mode = account_mode
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        await until(lambda: bool(world.engine.halts.held))
        world.fill("web_1", 0.02, side=OrderSide.BUY)
        for _ in range(2):
            words.look(driver.health())
        driver.stop()
        await task
        return lines, world.engine.halts.held

    lines, halted = asyncio.run(run())
    assert halted == "hedge mode; then resume"
    assert [line for line in lines if "another client" in line] == [
        f"{SYMBOL}: a person or another client bought 0.02 at 10000 (order web_1)"
    ]


def test_a_key_that_is_refused_between_two_reads_fails_a_read_and_ends_nothing() -> None:
    """The account was read, the mode is not: the driver goes on, and reads it when the key is taken again."""

    async def run() -> tuple[int, str]:
        _, venue, driver = make(World().begin(50))
        refusals = [ConfigError("local refuses the key (-2015)")] * 2

        async def account_mode() -> str:
            if refusals:
                raise refusals.pop()
            return "hedge mode"

        venue.account_mode = account_mode
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        for _ in range(3):
            await driver.reconciling.compare()
        driver.stop()
        await task
        return driver.counts["modes not read"], driver.reconciling.account_mode

    assert asyncio.run(run()) == (2, "hedge mode")


def test_what_others_did_survives_a_restart(world: World) -> None:
    """A checkpoint keeps the lines that status shows."""
    world.opened()
    world.fill("web_1", 0.002, side=OrderSide.SELL)
    state: dict[str, Any] = world.engine.records.tally.state()
    fresh = World()
    fresh.engine.records.tally.load_state(state)
    assert fresh.engine.records.tally.others == world.engine.records.tally.others


def test_trades_heard_in_another_order_leave_no_result(world: World) -> None:
    """A client sells 0.004 at 10,100 and buys them back at 9,800; the sale is heard last.

    The venue has realised 0.4 USDT and holds 0.01 from 9,920. The books realise 0.63 and hold it from 9,942.86; the
    next look takes the venue's wallet together with its entry price, and the account is worth what it was.
    """
    world.opened()
    world.fill("web-2", 0.004, 9_800.0, side=OrderSide.BUY)
    world.fill("web-1", 0.004, 10_100.0, side=OrderSide.SELL)
    books, closes = world.engine.account.books, world.engine.market.closes
    position, worth = books.positions[SYMBOL], books.equity(closes)
    assert position.entry_price == pytest.approx(9_942.857, abs=1e-3)
    for _ in range(2):
        look(world, held(entry=9_920.0), orders=alive(world), wallet=10_000.4)
    assert (books.cash, position.entry_price) == (10_000.4, 9_920.0)
    assert books.equity(closes) == pytest.approx(worth, abs=1e-9)
    (adjusted,) = [one["data"] for one in world.records("cash.adjusted") if one["data"]["before"] > 10_000.4]
    assert adjusted["explained"]
    assert adjusted["why"] == "trades were heard in another order than they came"


def test_a_second_reason_that_waits_for_a_person_is_kept_and_recorded(world: World) -> None:
    """Two symbols, two reasons, each once: a reason whose figures alone change is the same one."""
    halts = world.engine.halts
    for reason in (
        "BTCUSDT: the venue holds 0.5, the books 0.4", "ETHUSDT: closing is refused again and again: -1000",
        "BTCUSDT: the venue holds 0.6, the books 0.4",
    ):
        halts.hold(reason, world.now_ns)

    assert halts.held == (
        "BTCUSDT: the venue holds 0.5, the books 0.4; also: ETHUSDT: closing is refused again and again: -1000"
    )
    raised = [record["data"]["reason"] for record in world.records("halt.raised")]
    assert [reason[:7] for reason in raised] == ["BTCUSDT", "ETHUSDT"]
    halts.resume("looked at both", world.now_ns)
    assert halts.held == ""
