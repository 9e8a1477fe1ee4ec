"""What a live account brings about and a replay never does: repeats, losses, strangers, other people's money."""

from __future__ import annotations

import pytest
from tests.live.live_world import HOUR, MINUTE, SYMBOL, World, cancels, orders

from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType, Side
from quantum_trader.domain.trading import FundingPayment, OrderRequest
from quantum_trader.engine.gateway import Purpose, client_order_id
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.live.inputs import Asked, HealthTold, Looked, MoneyMoved, Ticked


def held(qty: float = 0.01, entry: float = 10_000.0, leverage: float = 5.0) -> VenuePosition:
    """A position as the venue tells it."""
    return VenuePosition(
        symbol=SYMBOL, qty=qty, entry_price=entry, leverage=leverage, margin=20.0, liquidation_price=0.0,
        mark_price=10_000.0, unrealised_pnl=0.0,
    )


def resting(order: OrderRequest | str) -> VenueOrder:
    """An open order as the venue tells it."""
    name = order if isinstance(order, str) else order.client_order_id
    return VenueOrder(
        client_order_id=name, venue_order_id="1", symbol=SYMBOL, side=OrderSide.SELL, type=OrderType.STOP_MARKET,
        qty=0.01, filled_qty=0.0, average_price=0.0, price=0.0, stop_price=9_000.0, reduce_only=True,
        status=OrderStatus.NEW, created_ns=0,
    )


def look(world: World, *positions: VenuePosition, orders: tuple[VenueOrder, ...] = (), wallet: float | None = None,
         busy: tuple[str, ...] = ()) -> list[object]:
    """Compare with the venue once."""
    told = wallet if wallet is not None else world.engine.account.books.cash
    return list(world.tell(Looked(snapshot=VenueSnapshot(
        ts_ns=world.now_ns, wallet=told, positions=positions, orders=orders, busy=busy
    ))))


def alive(world: World) -> tuple[VenueOrder, ...]:
    """Every order of the gateway, as resting at the venue."""
    return tuple(resting(ticket.client_order_id) for ticket in world.engine.gateway.tickets())


def test_a_fill_told_twice_moves_the_books_once(world: World) -> None:
    """The same fill id from the stream and from a question is one fill."""
    order = orders(world.wish())[0]
    world.fill(order, 0.005, fill_id="f-1")
    world.fill(order, 0.005, fill_id="f-1")
    assert world.engine.account.books.positions[SYMBOL].qty == 0.005


def test_funding_told_twice_is_paid_once(world: World) -> None:
    """A payment is known by its symbol and time."""
    payment = FundingPayment(symbol=SYMBOL, ts_ns=HOUR, rate=1e-4, mark_price=1e4, qty=0.01, amount=-1.5)
    world.say(payment)
    world.say(payment)
    assert world.engine.account.books.cash == 9_998.5


def test_a_status_before_its_fill_keeps_the_ticket(world: World) -> None:
    """FILLED first, the fill after it: the fill opens the position and gets its stop."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.FILLED, filled=0.01)
    assert SYMBOL not in world.engine.account.books.positions
    commands = world.fill(order, 0.01)
    assert world.engine.account.books.positions[SYMBOL].qty == 0.01
    assert OrderType.STOP_MARKET in [one.type for one in orders(commands)]
    assert world.engine.gateway.ticket(order.client_order_id) is None


def test_a_cancelled_rest_whose_fill_is_late_still_finds_its_plan(world: World) -> None:
    """CANCELED with a part filled, the fill after it: the part is a position with a stop."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.CANCELED, filled=0.004)
    commands = world.fill(order, 0.004)
    assert world.engine.account.books.positions[SYMBOL].qty == 0.004
    assert [one.qty for one in orders(commands) if one.type is OrderType.STOP_MARKET] == [0.004]


def test_a_late_acknowledgement_does_not_bring_an_order_back(world: World) -> None:
    """NEW after FILLED: nothing rests."""
    _, stop = world.opened()
    world.update(stop, OrderStatus.FILLED, filled=0.01)
    world.update(stop, OrderStatus.NEW)
    assert not world.engine.gateway.is_protected(world.engine.account.books.positions[SYMBOL])


def test_an_order_that_filled_is_not_cancelled_afterwards(world: World) -> None:
    """When a moved stop closes the position, the stop it replaced is cancelled and itself is not."""
    _, old = world.opened()
    (new,) = orders(world.engine.gateway.move_stop(world.engine.account.books.positions[SYMBOL], world.now_ns))
    commands = world.fill(new, 0.01, price=9_800.0)
    assert cancels(commands) == [old.client_order_id]


def test_a_trade_by_hand_is_taken_over_and_protected(world: World) -> None:
    """Somebody buys on the website: the books hold it, with a stop below entry and price."""
    commands = world.fill("web_1", 0.02, side=OrderSide.BUY)
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.qty, position.plan.model) == (0.02, "adopted")
    (stop,) = [one for one in orders(commands) if one.type is OrderType.STOP_MARKET]
    assert 0.0 < stop.stop_price < min(position.entry_price, 10_000.0)
    assert not world.engine.halts.held
    assert "position.adopted" in world.topics()


def test_a_trade_by_hand_may_halt(world: World) -> None:
    """With on_foreign = halt nothing opens until `resume`; the position is protected all the same."""
    world.engine.adopt_quietly = False
    commands = world.fill("web_1", 0.02, side=OrderSide.SELL)
    assert any(one.type is OrderType.STOP_MARKET for one in orders(commands))
    assert orders(world.wish("x2", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1)) == []
    world.tell(Asked(ts_ns=world.now_ns, action="resume", reason="that was me", actor="me"))
    assert len(orders(world.wish("x3", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1))) == 1


def test_a_sale_by_hand_larger_than_the_position_closes_it_and_opens_the_rest(world: World) -> None:
    """0.03 sold against 0.01 held: the long is closed as EXTERNAL, a short of 0.02 is taken over."""
    world.opened()
    world.fill("web_2", 0.03, side=OrderSide.SELL)
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.sign, position.qty) == (-1, pytest.approx(0.02))
    assert world.engine.records.tally.trades[-1].exit_reason is ExitReason.EXTERNAL


def test_a_part_sold_by_hand_leaves_the_rest_alone(world: World) -> None:
    """The rest goes on; it is not closed at the next bar."""
    world.opened()
    world.fill("web_3", 0.004, side=OrderSide.SELL)
    assert world.engine.account.books.positions[SYMBOL].exit_reason is None
    assert world.engine.account.books.positions[SYMBOL].qty == pytest.approx(0.006)


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


def test_one_difference_is_looked_at_again_before_anything_is_done(world: World) -> None:
    """A fill may be on its way: the first look only asks."""
    look(world, held())
    assert world.engine.account.books.positions == {}
    assert world.engine.adopting.suspects() == {SYMBOL}


def test_a_position_nobody_explains_is_adopted_protected_and_halts(world: World) -> None:
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


def test_another_quantity_is_taken_over_with_a_new_stop(world: World) -> None:
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


def test_an_order_of_ours_that_nobody_knows_is_cancelled(world: World) -> None:
    """Its id bears our prefix and no ticket is there; one of somebody else is left alone."""
    own = client_order_id("gone", Purpose.STOP, 0, world.engine.gateway.mark)
    found = (resting(own), resting("web_7"))
    look(world, orders=found)
    assert cancels(look(world, orders=found)) == [own]  # type: ignore[arg-type]


def test_a_missing_order_is_asked_for(world: World) -> None:
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


def test_money_paid_in_or_out_is_no_profit_and_no_drawdown(world: World) -> None:
    """Half the account is withdrawn: the governor stays where it was, the day's loss is nothing."""
    world.tell(MoneyMoved(ts_ns=world.now_ns, amount=-5_000.0))
    world.bar(1500, 10_000.0, 1_000.0)
    assert world.engine.account.books.cash == 5_000.0
    assert world.engine.account.governor[0] == 0.0
    assert abs(world.engine._account_view(0, world.engine.market.kernel.out[0].tolist(), world.now_ns).rolling_pnl_pct) < 1e-6


def test_health_raises_the_governor_at_once_and_emergency_waits_for_a_person(world: World) -> None:
    """A critical queue is EMERGENCY; health alone does not end it, `resume` does."""
    world.tell(HealthTold(ts_ns=world.now_ns, level=3, connected=True, reason="queue 100 %"))
    assert world.engine.account.governor[0] == 3.0
    assert orders(world.wish("x9")) == []
    world.tell(HealthTold(ts_ns=world.now_ns, level=0, connected=True, reason="well again"))
    assert world.engine.account.governor[0] == 3.0
    world.tell(Asked(ts_ns=world.now_ns, action="resume", reason="disk freed", actor="me"))
    assert len(orders(world.wish("x10"))) == 1


def test_nothing_opens_while_the_venue_is_not_connected(world: World) -> None:
    """A stream is down: openings are refused as DISCONNECTED, a reduction goes out."""
    world.opened()
    world.tell(HealthTold(ts_ns=world.now_ns, level=0, connected=False, reason="user stream down"))
    world.wish("x5", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1)
    assert world.records("trade.failed")[-1]["data"]["reason"] == "DISCONNECTED"
    (close,) = orders(world.wish("x6", reduce_only=True))
    assert (close.type, close.reduce_only) == (OrderType.MARKET, True)


def test_bars_that_come_late_open_nothing(warm: bytes) -> None:
    """The guard sees how late the bars were."""
    world = World()
    world.store.content = warm
    world.session.recover()
    world.bar(1500, 10_000.0, 1_000.0, late_ns=10 * MINUTE)
    world.wish("x1", created_ns=world.now_ns)
    assert world.records("trade.failed")[-1]["data"]["reason"] == "STALE_DATA"


def test_a_timer_protects_what_has_no_stop(world: World) -> None:
    """A position whose stop is gone is noticed between bars: another stop goes out, unless something is on its way."""
    _, stop = world.opened()
    world.update(stop, OrderStatus.CANCELED)
    assert not world.engine.attention(world.now_ns, {SYMBOL})
    assert world.engine.attention(world.now_ns)
    (again,) = orders(world.tell(Ticked(ts_ns=world.now_ns)))
    assert (again.type, again.qty) == (OrderType.STOP_MARKET, 0.01)


def test_a_timer_cancels_an_opening_that_expired(world: World) -> None:
    """Acknowledged and not filled within its life."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    assert cancels(world.tell(Ticked(ts_ns=world.now_ns + MINUTE))) == [order.client_order_id]


def test_flatten_closes_everything_and_halts(world: World) -> None:
    """A person's flatten goes out whatever else is wrong."""
    world.opened()
    world.tell(HealthTold(ts_ns=world.now_ns, level=3, connected=False, reason="all is lost"))
    (close,) = orders(world.tell(Asked(ts_ns=world.now_ns, action="flatten", reason="out", actor="me")))
    assert (close.side, close.reduce_only, close.qty) == (OrderSide.SELL, True, 0.01)
    assert world.engine.halts.operator_halt


def test_an_opposite_intent_closes_first(world: World) -> None:
    """SHORT against a long closes the long and opens nothing."""
    world.opened()
    (close,) = orders(world.wish("x2", side=Side.SHORT))
    assert close.reduce_only
    assert world.records("trade.failed")[-1]["data"]["reason"] == "CLOSES_FIRST"
