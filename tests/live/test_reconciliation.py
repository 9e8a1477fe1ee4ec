"""Comparisons of books and venue: what differs twice is corrected, and what nothing explains halts openings."""

from __future__ import annotations

import math

import pytest
from tests.live.live_world import OTHER, SYMBOL, World, alive, cancels, held, look, orders, resting, twice

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.core import LiveAccount
from quantum_trader.engine.ids import client_order_id
from quantum_trader.live.inputs import TimerFired


def test_a_lost_stop_is_sent_again_and_then_the_position_is_closed(world: World) -> None:
    """Three stops that never arrived; the fourth loss closes."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    commands = world.fill(order, 0.01)
    for _ in range(3):
        stop = next(one for one in orders(commands) if one.type is OrderType.STOP_MARKET)
        commands = world.update(stop, OrderStatus.REJECTED, reason="LOST: the venue does not know it")
    stop = next(one for one in orders(commands) if one.type is OrderType.STOP_MARKET)
    (close,) = orders(world.update(stop, OrderStatus.REJECTED, reason="LOST: the venue does not know it"))
    assert (close.type, close.reduce_only) == (OrderType.MARKET, True)


def test_a_difference_is_confirmed_by_a_second_comparison(world: World) -> None:
    """A fill may be on its way: the first look only asks."""
    look(world, held())
    assert world.engine.account.books.positions == {}
    assert world.engine.adopting.suspects() == {SYMBOL}


def test_an_unexplained_position_is_adopted_protected_and_halts(world: World) -> None:
    """Seen twice alike: into the books, a stop at the venue, openings halted until `resume`."""
    look(world, held())
    commands = look(world, held())
    assert world.engine.account.books.positions[SYMBOL].qty == 0.01
    assert any(isinstance(one, OrderRequest) and one.type is OrderType.STOP_MARKET for one in commands)
    assert "the venue holds 0.01" in world.engine.halts.held
    notice = world.records("halt.raised")[-1]["data"]
    assert (notice["kind"], notice["exit_path"]) == ("reconciliation", "resume --reason")


def test_a_position_that_is_gone_is_closed_in_the_books(world: World) -> None:
    """The venue holds nothing: the trade is closed, its orders are cancelled, openings halt."""
    world.opened()
    rest = alive(world)
    look(world, orders=rest)
    commands = look(world, orders=rest)
    assert world.engine.account.books.positions == {}
    assert {one.client_order_id for one in rest} == set(cancels(commands))  # type: ignore[arg-type]
    assert world.engine.halts.held


def test_another_quantity_is_adopted_with_a_new_stop(world: World) -> None:
    """The venue holds less: the books follow and a stop for that quantity is sent."""
    world.opened()
    rest = alive(world)
    look(world, held(0.006), orders=rest)
    commands = look(world, held(0.006), orders=rest)
    assert world.engine.account.books.positions[SYMBOL].qty == 0.006
    assert [one.qty for one in orders(commands) if one.type is OrderType.STOP_MARKET] == [0.006]  # type: ignore[arg-type]


def test_a_busy_symbol_is_left_out_of_the_comparison(world: World) -> None:
    """What is on its way is not a difference."""
    for _ in range(3):
        look(world, held(), busy=(SYMBOL,))
    assert world.engine.account.books.positions == {}
    assert world.engine.reconciler.since_ns == 0


def test_an_own_order_without_a_ticket_is_cancelled(world: World) -> None:
    """Its id has this bot's prefix and no ticket is there; a foreign order is left alone."""
    own = client_order_id("gone", "STOP", 0, world.engine.gateway.mark)
    found = (resting(own), resting("web_7"))
    look(world, orders=found)
    assert cancels(look(world, orders=found)) == [own]  # type: ignore[arg-type]


def test_a_missing_order_is_queried(world: World) -> None:
    """A stop the venue does not list: its id is among the questions, and nothing is done about it yet."""
    _, stop = world.opened()
    rest = tuple(one for one in alive(world) if one.client_order_id != stop.client_order_id)
    assert look(world, held(), orders=rest) == []
    assert world.engine.reconciler.missing_orders() == [(SYMBOL, stop.client_order_id)]


def test_an_unexplained_wallet_is_taken_as_profit_or_loss_and_a_large_one_halts(world: World) -> None:
    """A dollar is booked; a thousand is booked and halts."""
    for wallet, halted in ((9_999.0, False), (8_999.0, True)):
        look(world, wallet=wallet)
        look(world, wallet=wallet)
        assert world.engine.account.books.cash == wallet
        assert bool(world.engine.halts.held) is halted


def test_an_opening_adopted_by_a_comparison_leaves_nothing_pending(world):
    """The fill's message is lost and get_fills fails: two comparisons adopt the position, then both arrive."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    look(world, held())
    look(world, held())
    assert SYMBOL in world.engine.account.books.positions
    world.fill(order, 0.01, ts_ns=world.now_ns - 1)
    world.update(order, OrderStatus.FILLED, filled=0.01)
    assert not world.engine.opening.orders.pending, f"pending for ever: {world.engine.opening.orders.pending}"


def test_an_own_position_adopted_by_a_comparison_keeps_its_plan(world):
    """The same: the position is ours (an opening is pending), so its plan and trace are the intent's, not 'adopted'."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    look(world, held())
    look(world, held())
    assert world.engine.account.books.positions[SYMBOL].plan.intent_id == "x1"


def test_timers_close_no_position_while_its_stop_is_in_doubt(world):
    """A restart while the account stream is down: the stop's outcome is in doubt, ticks go on (attention every 5 s)."""

    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    world.fill(order, 0.01)  # its stop is made, then the process dies
    sent = []
    for n in range(5):  # 25 s of a start whose user stream is not up
        sent += orders(world.tell(TimerFired(ts_ns=world.now_ns + n * 5 * 10**9, busy=())))
    assert not [o for o in sent if o.type is OrderType.MARKET], "closed as UNPROTECTED, the stop may rest at the venue"


@pytest.mark.parametrize(("qty", "mark"), [(0.5, 10_000.0), (-0.5, 10_000.0), (0.5, 0.0)])
def test_an_entry_price_that_cannot_be_read_earns_and_loses_nothing(world: World, qty: float, mark: float) -> None:
    """0.0 as entry would be a gain of the whole value: the mark takes its place, or the newest close without one."""
    close = world.engine.market.close(0)
    twice(world, held(qty, 0.0, mark=mark))
    position, books = world.engine.account.books.positions[SYMBOL], world.engine.account.books
    assert position.entry_price == (mark or close)
    assert books.equity([mark or close, 1_000.0]) == pytest.approx(10_000.0)
    side = OrderSide.SELL if qty > 0.0 else OrderSide.BUY
    world.fill("web_1", abs(qty), mark or close, side=side, ts_ns=world.now_ns + 10**9)
    assert (books.positions, books.cash) == ({}, pytest.approx(10_000.0))
    assert world.engine.shield.failures == 0
    assert world.records("trade.closed")[-1]["data"]["pnl"] == pytest.approx(0.0)


def test_a_resized_position_keeps_its_entry_where_the_venues_cannot_be_read(world: World) -> None:
    """The gain since it was opened stays what it was, per unit."""
    twice(world, held(0.5, 9_000.0))
    twice(world, held(0.4, 0.0))
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.qty, position.entry_price) == (0.4, 9_000.0)


def test_a_position_without_any_price_is_taken_over_once_one_is_known() -> None:
    """At a first start, before a bar: neither entry, mark nor close can be read."""
    world = World().begin(0)
    for minute in range(3):
        assert orders(look(world, held(0.5, 0.0, mark=0.0), ts_ns=world.now_ns + minute)) == []
    assert world.engine.account.books.positions == {}
    assert world.engine.halts.held, "nothing opens"
    world.bar(0, 10_000.0, 1_000.0)
    stop = orders(twice(world, held(0.5, 0.0, mark=0.0)))[-1]
    assert stop.type is OrderType.STOP_MARKET
    assert world.engine.account.books.positions[SYMBOL].entry_price == 10_000.0


@pytest.mark.parametrize("own", [False, True])
def test_a_quantity_that_cannot_be_read_halts_openings_and_is_not_taken_over(world: World, own: bool) -> None:
    """NaN in two looks: the halt names the symbol, the books keep what they hold; so after a resume."""
    if own:
        world.opened()
    before = {symbol: one.qty for symbol, one in world.engine.account.books.positions.items()}
    rest = alive(world)
    assert orders(twice(world, held(qty=math.nan), orders=rest)) == []
    assert f"{SYMBOL}: the position as the venue reports it cannot be read" in world.engine.halts.held
    assert len(world.records("reconciliation.difference")) == 1
    assert {symbol: one.qty for symbol, one in world.engine.account.books.positions.items()} == before
    assert orders(world.wish("x2")) == []
    world.request("resume")
    twice(world, held(qty=math.nan), orders=rest)
    assert world.engine.halts.held


def test_a_wallet_that_cannot_be_read_halts_openings_and_is_not_taken_over() -> None:
    """NaN in two looks: the books keep their money."""
    world = World(live=LiveAccount(adopt_quietly=False)).begin(50)
    before = world.engine.account.books.cash
    twice(world, wallet=math.nan)
    assert "the wallet as the venue reports it cannot be read" in world.engine.halts.held
    assert world.engine.account.books.cash == before


def test_a_quantity_that_cannot_be_read_is_the_same_after_a_restart() -> None:
    """The look before the restart counts."""
    world = World(live=LiveAccount(adopt_quietly=False)).begin(50)
    look(world, held(qty=math.nan))
    world.session.checkpoint()
    again = World(world.log, world.store, live=LiveAccount(adopt_quietly=False))
    again.session.recover()
    look(again, held(qty=math.nan))
    assert again.engine.halts.held


def test_a_difference_is_not_gone_because_its_symbol_was_busy_at_the_next_look(world: World) -> None:
    """Orders are under way at the second look, which compares nothing: the third comes at once, not in a minute."""
    look(world, held())
    since_ns = world.engine.reconciler.since_ns
    look(world, held(), busy=(SYMBOL, OTHER))
    assert world.engine.reconciler.since_ns == since_ns > 0
    look(world)
    assert world.engine.reconciler.since_ns == 0
