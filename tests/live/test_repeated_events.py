"""Messages that come twice, late or in another order: each counts once."""

from __future__ import annotations

from tests.live.live_world import HOUR, SYMBOL, World, cancels, held, look, orders, world_of

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.trading import FundingPayment


def test_a_repeated_fill_moves_the_books_once(world: World) -> None:
    """The same fill id from the stream and from the history is one fill."""
    order = orders(world.wish())[0]
    world.fill(order, 0.005, fill_id="f-1")
    world.fill(order, 0.005, fill_id="f-1")
    assert world.engine.account.books.positions[SYMBOL].qty == 0.005


def test_a_repeated_funding_payment_is_booked_once(world: World) -> None:
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


def test_a_late_fill_of_a_cancelled_order_keeps_its_plan(world: World) -> None:
    """CANCELED with a part filled, the fill after it: the part is a position with a stop."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.CANCELED, filled=0.004)
    commands = world.fill(order, 0.004)
    assert world.engine.account.books.positions[SYMBOL].qty == 0.004
    assert [one.qty for one in orders(commands) if one.type is OrderType.STOP_MARKET] == [0.004]


def test_a_late_acknowledgement_revives_no_finished_order(world: World) -> None:
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


def test_acknowledgements_out_of_order_keep_the_newer_stop(world):
    """Two stops under way (made by the gateway itself); acks arrive the other way round: the younger stays."""
    world.opened()
    gateway, position = world.engine.gateway, world.engine.account.books.positions[SYMBOL]
    (first,), (second,) = gateway.move_stop(position, 1), gateway.move_stop(position, 2)
    gone = cancels(world.update(second, OrderStatus.NEW)) + cancels(world.update(first, OrderStatus.NEW))
    assert second.client_order_id not in gone
    assert first.client_order_id in gone


def test_many_partial_fills_leave_few_resting_orders(world):
    """25 partial fills of one market order send at most 20 conditional orders before any is acknowledged."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    sent = sum(len(orders(world.fill(order, 0.0004))) for _ in range(25))
    assert sent <= 20, f"{sent} conditional orders sent at once for one position"


def test_a_fill_that_comes_after_its_position_was_adopted_counts_once(world):
    """Fills could not be fetched, two comparisons adopt the position; then the fill arrives."""
    look(world, held(qty=0.01))
    look(world, held(qty=0.01))
    assert world.engine.account.books.positions[SYMBOL].qty == 0.01
    world.fill("web_1", 0.01, side=OrderSide.BUY, ts_ns=world.now_ns - 10**9)
    assert world.engine.account.books.positions[SYMBOL].qty == 0.01, (
        f"{world.engine.account.books.positions[SYMBOL].qty}: the same 0.01 twice"
    )


def test_events_of_symbols_that_are_not_traded_change_nothing(warm: bytes) -> None:
    """A fill in a symbol that is not traded here changes nothing and breaks nothing."""
    world = world_of(warm)
    world.fill("web_1", 1.0, symbol="DOGEUSDT")
    assert world.engine.account.books.positions == {}
    assert world.session.shield.failures == 0
    assert SYMBOL in world.engine.symbols
